# shellcheck shell=bash
# The Python tests with other builds: an extension with sanitizers, and other versions of Python.
# Sourced from the root of the repository, by wheels.sh.

SANITIZED=build/python-asan

# Builds the extension with ASan and UBSan, in a folder that PYTHONPATH puts before the installed
# package.
build_sanitized_package() {
  rm -rf "$SANITIZED/site"
  python -m pip install --no-build-isolation --no-deps --target "$SANITIZED/site" \
    --config-settings=build-dir="$SANITIZED/build" --config-settings=install.strip=false \
    --config-settings=cmake.build-type=RelWithDebInfo \
    --config-settings=cmake.define.CMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1" \
    --config-settings=cmake.define.MEMATTN_SANITIZE=address,undefined .
}

# CPython and its extensions keep memory until the process ends, so leaks are not checked here; the
# C++ tests check them. libstdc++ is preloaded because ASan looks up __cxa_throw when it starts.
# Leaves out the test that the extension is stripped and needs no library such as ASan's.
test_sanitized_package() {
  local preload library stripped=tests/python/test_house.py
  stripped+=::test_extension_is_stripped_and_stands_alone
  for library in libasan.so libubsan.so libstdc++.so; do
    preload=${preload:+$preload:}$(realpath "$(g++ -print-file-name=$library)")
  done
  PYTHONPATH=$PWD/$SANITIZED/site LD_PRELOAD=$preload PYTHONMALLOC=malloc \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_odr_violation=0 \
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
    run_pytest tests/python --deselect="$stripped"
}

# find_python VERSION: prints that interpreter, from the list of programs PYTHONS, PATH or pyenv.
find_python() {
  local python
  for python in ${PYTHONS:-} "$(command -v "python$1" || true)" \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/"python$1"; do
    if [[ -n $python ]] && python_works "$python" && [[ $(python_version "$python") == "$1" ]]; then
      printf '%s\n' "$python"
      return
    fi
  done
  return 1
}

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# test_on_python VERSION: tests the layer, one fit and how a process ends, with the wheel for that
# Python.
test_on_python() {
  local python home=.venv-pythons/$1
  if ! python=$(find_python "$1"); then
    printf 'not tested: Python %s; no interpreter was found (PYTHONS="/path/to/python%s ...")\n' "$1" "$1"
    return
  fi
  if [[ ! -x $home/bin/python || $(python_identity "$home/bin/python") != "$(python_identity "$python")" ]]; then
    "$python" -m venv --clear "$home"
    "$home/bin/python" -m pip install 'numpy<3' -r requirements/pythons.txt
  fi
  "$home/bin/python" -m pip install --no-deps --force-reinstall "$(newest_wheel "$home/bin/python")"
  PATH=$PWD/$home/bin:$PATH run_pytest tests/python/test_layer*.py tests/python/test_one_fit.py tests/python/test_exit.py
}

# Tests that use other packages to read and write, without those that need newer names of pandas.
OLDEST_TESTS=(
  tests/python/test_layer.py
  tests/python/test_layer_files.py
  tests/python/test_one_fit.py
  tests/python/convert
  tests/python/inspection
  tests/python/forecast/test_forecaster.py
  tests/python/forecast/test_forecaster_file.py
)

# test_on_oldest: tests the wheel with the oldest packages that pyproject.toml allows.
test_on_oldest() {
  local python home=.venv-pythons/oldest
  if ! python=$(find_python 3.11); then
    printf 'not tested: the oldest dependencies; no Python 3.11 was found (PYTHONS="/path/to/python3.11 ...")\n'
    return
  fi
  if ! cmp --silent requirements/oldest.txt "$home/oldest.txt"; then
    "$python" -m venv --clear "$home" &&
      "$home/bin/python" -m pip install -r requirements/oldest.txt &&
      cp requirements/oldest.txt "$home" || return
  fi
  "$home/bin/python" -m pip install --no-deps --force-reinstall "$(newest_wheel "$home/bin/python")" || return
  PATH=$PWD/$home/bin:$PATH run_pytest "${OLDEST_TESTS[@]}"
}
