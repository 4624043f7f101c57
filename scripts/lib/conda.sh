# shellcheck shell=bash
# The recipe of conda-forge, built and tested by rattler-build. Sourced from the root of the repository, after
# setup.sh.

# test_conda_recipe: in an environment that is kept; the channel and the package lie in build/conda.
test_conda_recipe() {
  local home=.venv-recipes
  if [[ ! -x $home/bin/python ]]; then "$VENV/bin/python" -m venv --clear "$home" || return; fi
  "$home/bin/python" -m pip install --quiet -r requirements/recipes.txt &&
    "$home/bin/python" scripts/build_conda.py build/conda
}
