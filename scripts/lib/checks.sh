# shellcheck shell=bash
# Formatting, lint and pytest, which scripts/test runs as stages and scripts/format partly runs.
# Sourced from the root of the repository, after setup.sh.

# Lists the files that git tracks and new ones that it does not ignore; an exported tree has no git.
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
list_shell() { printf '%s\n' .ci/run bench/compare packaging/{build-deb,debian/tests/programs} scripts/{bench,coverage,demo,docs,format,test,wheel} scripts/lib/*.sh; }

check_format() {
  list_cpp | xargs clang-format --dry-run -Werror
  ruff format --check .
}

check_lint() {
  ruff check .
  mypy
  PYTHONPATH=python lint-imports --no-cache
  list_shell | xargs shellcheck --external-sources
  codespell
  scripts/lint-prose
}

# Runs file by file in as many processes as there are cores: a process shares the fixtures of a
# file.
run_pytest() { python -m pytest --quiet --tb=short --numprocesses="$JOBS" --dist=loadfile "$@"; }

# Makes one report, or with --long all kinds.
test_browser() {
  if [[ ${mode:-} == --long ]]; then local -x MEMATTN_LONG_TESTS=1; fi
  run_pytest tests/browser
}
