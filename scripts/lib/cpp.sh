# shellcheck shell=bash
# The builds of the C++ code and its tests: g++, clang++, sanitizers, valgrind, 64-bit Arm.
# Sourced from the root of the repository, after setup.sh.

# configure FOLDER CMAKE-OPTION...: recreates a folder that belongs to another checkout.
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

# Prints the instruction sets of x86 that this machine's best one makes unnecessary, plain C++ apart:
# the kernels of each take half a minute to compile with sanitizers.
unneeded_isas() {
  if grep -qw avx512bw /proc/cpuinfo; then
    printf 'avx2;sse4'
  elif grep -qw avx2 /proc/cpuinfo; then
    printf 'avx3;sse4'
  else
    printf 'avx3;avx2'
  fi
}

# One build with clang++, for its warnings, its sanitizers, and the fuzz targets. The short form has
# the kernels of the best instruction set, and only checks benchmarks and examples.
build_sanitized() {
  local all=OFF skipped
  skipped=$(unneeded_isas)
  if [[ ${mode:-} == --long ]]; then all=ON skipped=; fi
  configure build/asan-clang --preset asan -DCMAKE_CXX_COMPILER="$(clang_compiler)" \
    -DMEMATTN_BUILD_FUZZERS=ON -DMEMATTN_SKIP_ISAS="$skipped" \
    -DMEMATTN_BUILD_BENCHMARKS="$all" -DMEMATTN_BUILD_EXAMPLES="$all"
  cmake --build build/asan-clang
  if [[ $all == OFF ]]; then check_with_clang bench/*.cc examples/cpp/*.cc; fi
}

# check_with_clang FILE...: the errors and warnings of clang++, without code.
check_with_clang() {
  printf '%s\n' "$@" | xargs -P "$JOBS" -I '{}' "$(clang_compiler)" -std=c++20 -fsyntax-only \
    -Wall -Wextra -Wshadow -Wconversion -Werror -Iinclude -Isrc -iquote . '-DCOMPILER=""' '{}'
}

build_sanitized_by_gcc() {
  configure build/asan-gcc --preset asan -DCMAKE_CXX_COMPILER=g++
  cmake --build build/asan-gcc
}

run_ctest() {
  ctest --test-dir "$1" --output-on-failure --no-tests=error --parallel "$JOBS" "${@:2}"
}

# Runs every program on the best instruction set.
asan_some() { MEMATTN_TEST_BEST_ISA=1 run_ctest build/asan-clang; }

# g++ 12's ThreadSanitizer cannot map its shadow memory if addresses have more than 32 random bits.
run_tsan() {
  local without_randomness=()
  if setarch "$(uname -m)" --addr-no-randomize true 2>/dev/null; then
    without_randomness=(setarch "$(uname -m)" --addr-no-randomize)
  fi
  MEMATTN_TEST_BEST_ISA=1 "${without_randomness[@]}" ctest --test-dir build/tsan --output-on-failure \
    --no-tests=error "$@"
}

# The programs that use the most threads, on the best instruction set; threads do not depend on it.
tsan_some() {
  configure build/tsan --preset tsan -DMEMATTN_BUILD_EXAMPLES=OFF \
    -DMEMATTN_SKIP_ISAS="$(unneeded_isas)"
  cmake --build build/tsan --target kernels_executor_test layer_memory_augmented_attention_test \
    layer_passes_test
  run_tsan --tests-regex '^(kernels\.executor|layer\.memory_augmented_attention|layer\.passes)_test$'
}

# Runs every program, since each one that computes uses the executor's threads. Leaves out a program
# without threads that limits its seconds, which TSan multiplies.
tsan_all() {
  build_preset tsan -DMEMATTN_BUILD_EXAMPLES=OFF -DMEMATTN_SKIP_ISAS=
  run_tsan --parallel "$JOBS" --exclude-regex '^io\.safetensors_hostile_test$'
}

# Under valgrind, runs some quick programs, or all except one that forks while threads run.
valgrind_some() { run_valgrind io/io_json_test io/io_safetensors_test layer/layer_config_test; }
valgrind_all() {
  local programs
  mapfile -t programs < <(cd build/release/tests/cpp && printf '%s\n' */*_test |
    grep -vx 'kernels/kernels_executor_test')
  run_valgrind "${programs[@]}"
}

# run_valgrind PROGRAM...: runs programs of build/release/tests/cpp under memcheck, on AVX2, since
# valgrind 3.19 does not support AVX-512. Definite leaks count as errors. A program that replaces
# operator new keeps its own, which calls a malloc that valgrind does replace (somalloc).
run_valgrind() {
  local isa
  isa=$(if grep -qw avx2 /proc/cpuinfo; then printf avx2; else printf scalar; fi)
  printf '%s\n' "$@" | MEMATTN_FORCE_ISA=$isa xargs -P "$JOBS" -I '{}' \
    valgrind --quiet --error-exitcode=1 --leak-check=full --show-leak-kinds=definite \
    --errors-for-leak-kinds=definite --show-mismatched-frees=no \
    --soname-synonyms=somalloc=nouserintercepts build/release/tests/cpp/'{}'
}

# Runs the C++ tests on an emulated 64-bit Arm machine with NEON, and some with the plain C++
# kernels. Leaves out tests of processes and threads, which do not depend on the machine and which
# qemu-user cannot run (a program that runs itself again, a fork while threads run).
arm_all() {
  build_preset arm64 -DMEMATTN_BUILD_EXAMPLES=OFF -DMEMATTN_SKIP_ISAS=
  MEMATTN_FORCE_ISA=scalar run_ctest build/arm64 --tests-regex '^layer\.(golden|special_values)_test$'
  MEMATTN_FORCE_ISA=neon run_ctest build/arm64 \
    --exclude-regex '^kernels\.(executor|thread_count)_test$'
}

# The programs that check kernels against their definition and other software, and a reader. None
# links the module forecast, whose code takes a quarter of the build.
ARM_PROGRAMS=(
  kernels.{attention,exp2,fold,pairs,product,softmax}_test
  io.safetensors_test layer.{golden,sequence_golden,special_values}_test
)
# Of the hundred shapes of kernels.attention_test, those whose number ends in 3, 7 (the largest are
# among them) or 9.
arm_some() {
  local regex others=('Shapes/Attention*'{0,1,2,4,5,6,8})
  configure build/arm64 --preset arm64 -DMEMATTN_BUILD_EXAMPLES=OFF -DMEMATTN_SKIP_ISAS=scalar
  cmake --build build/arm64 --target "${ARM_PROGRAMS[@]//./_}"
  regex=$(IFS='|' && printf '%s' "${ARM_PROGRAMS[*]}")
  GTEST_FILTER=-$(IFS=':' && printf '%s' "${others[*]}")
  export GTEST_FILTER
  MEMATTN_FORCE_ISA=neon run_ctest build/arm64 --tests-regex "^(${regex//./\\.})\$"
}
