# shellcheck shell=bash
# The fuzz targets of fuzz/: C++ programs by libFuzzer, Python ones by atheris.
# Sourced from the root of the repository, after cpp.sh.

# The programs of fuzz/: X_fuzzer.cc is the target X, whose committed corpus is fuzz/corpus/X.
cpp_fuzz_targets() {
  local file
  for file in fuzz/*_fuzzer.cc; do basename "$file" _fuzzer.cc; done
}

# atheris has files for some versions of Python only; requirements/tools.txt says which.
has_atheris() { python -c 'import atheris' 2>/dev/null; }

python_fuzz_targets() { if [[ -f fuzz/fuzz_python.py ]]; then python fuzz/fuzz_python.py --list; fi; }

# fuzz KIND TARGET SECONDS: over the committed corpus and for SECONDS beyond it. What it finds worth
# keeping stays below build/fuzz for the next run, and an input that fails lies there, too. A target in
# Python knows its own folders.
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
  if ! "${command[@]}" -max_total_time="$seconds" >"build/fuzz/$target.log" 2>&1; then
    tail -n 60 "build/fuzz/$target.log"
    printf 'fuzz target %s failed\n' "$target"
    return 1
  fi
  printf '%s: %s\n' "$target" "$(grep -E '^Done|DONE' "build/fuzz/$target.log" | tail -n 1)"
}

# run_fuzzers SECONDS: every target for that long, as many at once as there are cores, those in C++ as
# build_sanitized made them.
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
