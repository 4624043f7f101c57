# shellcheck shell=bash
# The tests of the adapters to other forecasting libraries, for scripts/test --long. Each runs with
# the wheel in its own environment (.venv-hosts/NAME, as for the hosts). Sourced from the root of
# the repository, after hosts.sh and engines.sh.

# test_adapter NAME: runs its tests, and its part of docs/adapters.md.
test_adapter() {
  export MEMATTN_TEST_HOST=$1 HF_HUB_OFFLINE=1 HF_HOME=$PWD/build/hosts/fev
  # Warnings of the libraries are not fixed here.
  PATH=$PWD/.venv-hosts/$1/bin:$PATH without_network timeout 1800 \
    python -m pytest --quiet --tb=short --show-capture=no -W default \
    "tests/python/adapters/test_$1.py" tests/python/test_pages.py
}
