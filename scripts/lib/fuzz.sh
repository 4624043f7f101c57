# shellcheck shell=bash
# The fuzz targets of fuzz/: C++ programs with libFuzzer, Python ones with atheris.
# Sourced from the root of the repository, after cpp.sh.

# Lists the programs of fuzz/: X_fuzzer.cc is target X, with its committed corpus in fuzz/corpus/X.
cpp_fuzz_targets() {
  local file
  for file in fuzz/*_fuzzer.cc; do basename "$file" _fuzzer.cc; done
}

# atheris has wheels for some versions of Python only; see requirements/tools.txt.
has_atheris() { python -c 'import atheris' 2>/dev/null; }

python_fuzz_targets() { if [[ -f fuzz/fuzz_python.py ]]; then python fuzz/fuzz_python.py --list; fi; }

# fuzz KIND TARGET SECONDS: runs a target over the committed corpus, and then for SECONDS. New
# inputs stay below build/fuzz for the next run, and so does an input that fails. A target in Python
# finds its own folders.
fuzz() {
  local kind=$1 target=$2 seconds=$3 command
  if [[ $kind == cpp ]]; then
    command=("build/asan-clang/fuzz/${target}_fuzzer" "build/fuzz/corpus/$target" "fuzz/corpus/$target"
      -dict=fuzz/format.dict -timeout=5 -max_len=4096 -rss_limit_mb=2048
      -artifact_prefix="build/fuzz/$target-")
    mkdir -p "build/fuzz/corpus/$target"
  else
    command=(python fuzz/fuzz_python.py "$target")
  fi
  # A target that hangs must not hold up the rest.
  if ! timeout --kill-after=10 $((seconds + 300)) "${command[@]}" \
    -max_total_time="$seconds" >"build/fuzz/$target.log" 2>&1; then
    tail -n 60 "build/fuzz/$target.log"
    printf 'fuzz target %s failed\n' "$target"
    return 1
  fi
  printf '%s: %s\n' "$target" "$(grep -E '^Done|DONE' "build/fuzz/$target.log" | tail -n 1)"
}

# run_fuzzers SECONDS: runs every target for SECONDS, as many at once as there are cores. The C++
# targets come from build_sanitized.
run_fuzzers() {
  local targets=() target
  mkdir -p build/fuzz
  while read -r target; do targets+=("cpp $target $1"); done < <(cpp_fuzz_targets)
  if has_atheris; then
    while read -r target; do targets+=("python $target $1"); done < <(python_fuzz_targets)
  else
    printf 'not tested: fuzz targets in Python; atheris has no files for %s\n' "$(python --version)"
  fi
  export -f fuzz
  printf '%s\n' "${targets[@]}" | xargs -P "$JOBS" -L 1 bash -euo pipefail -c 'fuzz "$@"' fuzz
}
