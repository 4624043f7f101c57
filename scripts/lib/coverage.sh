# shellcheck shell=bash
# Coverage of the C++ and Python tests, as scripts/coverage and scripts/test --long measure it.
# Sourced from the root of the repository, after cpp.sh.

COVERAGE=build/coverage

# The tests of src/io and src/layer, on the best instruction set, since kernels are not counted. The
# preset inlines nothing, or branches of the standard library would count as ours.
measure_cpp_coverage() {
  configure "$COVERAGE" --preset coverage -DMEMATTN_BUILD_EXAMPLES=OFF
  cmake --build "$COVERAGE" --target tests/cpp/io/all tests/cpp/layer/all
  find "$COVERAGE" -name '*.gcda' -delete
  MEMATTN_TEST_BEST_ISA=1 run_ctest "$COVERAGE" --tests-regex '^(io|layer)\.'
  # Leaves out branches that only an exception takes, since almost every call has one.
  gcovr --root . --filter src/io/ --filter src/layer/ \
    --exclude-throw-branches --exclude-unreachable-branches --merge-lines -j "$JOBS" \
    --json-summary "$COVERAGE/cpp.json" --txt "$COVERAGE/cpp.txt" --html-details "$COVERAGE/cpp.html" \
    "$COVERAGE/src" "$COVERAGE/tests/cpp/io" "$COVERAGE/tests/cpp/layer"
}

# Child processes count too: pyproject.toml, [tool.coverage.run]. Leaves out a test whose child may
# write only a few bytes, too few for the file of coverage.py.
measure_python_coverage() {
  local status=0 small=tests/python/cli/test_convert_command.py
  small+=::test_a_full_disk_exits_with_1
  export COVERAGE_FILE=$PWD/$COVERAGE/python.data
  mkdir -p "$COVERAGE"
  rm -f "$COVERAGE"/python.data*
  python -m coverage run -m pytest --quiet --tb=short --numprocesses="$JOBS" --dist=loadfile \
    tests/python/convert tests/python/forecast tests/python/cli tests/python/test_csv_reader.py \
    tests/python/test_files.py tests/python/test_file_kinds.py tests/python/test_layer_files.py \
    --deselect="$small" || status=$?
  python -m coverage combine --quiet
  python -m coverage json --quiet -o "$COVERAGE/python.json"
  python -m coverage html --quiet -d "$COVERAGE/python"
  return "$status"
}

coverage_stages() {
  stage "coverage of src/io and src/layer" measure_cpp_coverage
  stage "coverage of readers and writers in Python" measure_python_coverage
}
