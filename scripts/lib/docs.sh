# shellcheck shell=bash
# The documentation site: Sphinx in its own environment, .venv-docs, over docs/, the docstrings and
# Doxygen's output for the public headers. Neither memattn nor a framework is installed there.
# Sourced from the root of the repository, after setup.sh.

DOCS_VENV=.venv-docs
SITE=build/docs/html

# python_for_docs: prints an interpreter that Sphinx supports.
python_for_docs() {
  local python
  for python in "${PYTHON:-}" "$VENV/bin/python" python3 python3.{14,13,12,11}; do
    if [[ -n $python ]] && "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
      >/dev/null 2>&1; then
      printf '%s\n' "$python"
      return
    fi
  done
  return 1
}

# prepare_docs: creates .venv-docs if it is missing or requirements/docs.txt has changed.
prepare_docs() {
  local wanted
  wanted="$PWD $(sha256sum <requirements/docs.txt)"
  if [[ -f $DOCS_VENV/.stamp && $(<"$DOCS_VENV/.stamp") == "$wanted" ]]; then return; fi
  "$1" -m venv --clear "$DOCS_VENV"
  "$DOCS_VENV/bin/python" -m pip install --no-input -r requirements/docs.txt
  printf '%s' "$wanted" >"$DOCS_VENV/.stamp"
}

# build_docs: builds the site in $SITE from scratch; a warning is an error.
build_docs() {
  local python
  python=$PWD/$DOCS_VENV/bin/python
  rm -rf build/docs
  mkdir -p build/docs/doxygen
  PATH=$DOCS_VENV/bin:$PATH doxygen docs/site/Doxyfile
  PYTHONDONTWRITEBYTECODE=1 "$python" -m sphinx --builder html --conf-dir docs/site --fail-on-warning --keep-going \
    --doctree-dir build/docs/doctrees --jobs "$JOBS" docs "$SITE"
  rm "$SITE/.buildinfo"
}

# docs_site: prepares the environment, builds the site, and runs the tests that read it.
docs_site() {
  local python
  if ! python=$(python_for_docs); then
    printf 'not tested: the documentation site; Sphinx needs Python 3.11 or newer\n'
    return
  fi
  prepare_docs "$python"
  build_docs
  run_pytest tests/site
}

# archive_docs FOLDER: packs the site as FOLDER/memattn-docs-VERSION.tar.gz, reproducibly.
archive_docs() {
  local version
  version=$(sed -n 's/^#define MEMATTN_VERSION "\(.*\)"/\1/p' include/memattn/version.h)
  mkdir -p "$1"
  tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --directory=build/docs --transform='s,^html,memattn/html,' html |
    gzip --no-name --best >"$1/memattn-docs-$version.tar.gz"
}
