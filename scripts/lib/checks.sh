# shellcheck shell=bash
# The checks that scripts/test runs as stages, and scripts/format in part.
# Sourced from the root of the repository, after setup.sh.

# The tree as git sees it, with new files that are not ignored; an exported tree has no git.
list_files() {
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
      if [[ -f $file ]]; then printf '%s\n' "$file"; fi
    done
  else
    local pattern
    for pattern in "$@"; do
      find . \( -path ./build -o -path './.venv*' \) -prune -o -type f -name "$pattern" -print
    done
  fi
}

list_cpp() { list_files '*.cc' '*.h' '*.cpp' ; }
list_shell() { printf '%s\n' .ci/run bench/compare scripts/{bench,demo,format,test,wheel} scripts/lib/*.sh; }

check_format() {
  list_cpp | xargs clang-format --dry-run -Werror
  ruff format --check .
}

check_lint() {
  ruff check .
  mypy
  list_shell | xargs shellcheck --external-sources
  codespell
}

# configure FOLDER CMAKE-OPTION...: a folder that belongs to another checkout is made anew.
configure() {
  local folder=$1 home
  shift
  home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$folder/CMakeCache.txt" 2>/dev/null) || home=
  if [[ -n $home && $home != "$PWD" ]]; then rm -r "$folder"; fi
  cmake -B "$folder" -DMEMATTN_WERROR=ON "$@"
}

build_preset() {
  local preset=$1
  shift
  configure "build/$preset" --preset "$preset" "$@"
  cmake --build "build/$preset"
}

build_release() { build_preset release -DMEMATTN_BUILD_BENCHMARKS=ON; }

build_clang() {
  configure build/clang --preset release -DCMAKE_CXX_COMPILER="$(clang_compiler)" \
    -DMEMATTN_BUILD_BENCHMARKS=ON
  cmake --build build/clang
}

# File by file in as many processes as there are cores: what a file prepares is prepared once.
run_pytest() { python -m pytest --quiet --tb=short --numprocesses="$JOBS" --dist=loadfile "$@"; }

run_ctest() {
  ctest --test-dir "$1" --output-on-failure --no-tests=error --parallel "$JOBS" "${@:2}"
}

# The tests in which threads meet, which they do alike on every instruction set; everything under
# TSan would take minutes.
run_tsan() {
  local without_randomness=()
  configure build/tsan --preset tsan -DMEMATTN_BUILD_EXAMPLES=OFF
  cmake --build build/tsan --target kernels_executor_test layer_memory_augmented_attention_test \
    layer_passes_test
  # ThreadSanitizer of g++ 12 cannot map its shadow where addresses are random over 32 bits.
  if setarch "$(uname -m)" --addr-no-randomize true 2>/dev/null; then
    without_randomness=(setarch "$(uname -m)" --addr-no-randomize)
  fi
  MEMATTN_TEST_BEST_ISA=1 "${without_randomness[@]}" ctest --test-dir build/tsan --output-on-failure --no-tests=error \
    --tests-regex '^(kernels\.executor|layer\.memory_augmented_attention|layer\.passes)_test$'
}

# The C++ tests on an emulated 64-bit Arm machine with NEON, and some with the plain C++ kernels. Left
# out: what is about processes and threads, alike on every machine, and which qemu-user cannot do (a
# program that runs itself again, a fork while threads run).
run_arm() {
  MEMATTN_FORCE_ISA=scalar run_ctest build/arm64 --tests-regex '^layer\.(golden|special_values)_test$'
  MEMATTN_FORCE_ISA=neon run_ctest build/arm64 \
    --exclude-regex '^kernels\.(executor|thread_count)_test$'
}

# fuzz TARGET CORPUS: over the committed corpus and for a few seconds beyond it.
fuzz() {
  mkdir -p "build/fuzz/$2"
  "build/fuzz/fuzz/$1" "build/fuzz/$2" "fuzz/corpus/$2" -dict=fuzz/format.dict -timeout=5 \
    -max_len=4096 -max_total_time=5 -artifact_prefix=build/fuzz/
}

# fuzz/README.md has the long run.
run_fuzzers() {
  configure build/fuzz --preset release -DCMAKE_CXX_COMPILER="$(clang_compiler)" \
    -DMEMATTN_BUILD_FUZZERS=ON -DMEMATTN_BUILD_TESTS=OFF -DMEMATTN_BUILD_EXAMPLES=OFF \
    -DMEMATTN_SANITIZE=address,undefined,fuzzer-no-link
  cmake --build build/fuzz --target fuzz/all
  fuzz safetensors_fuzzer safetensors
  fuzz config_json_fuzzer config
}
