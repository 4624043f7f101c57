# shellcheck shell=bash
# The tests of the adapters to other forecasting libraries, each in an environment of its own
# (.venv-hosts/NAME, as for the hosts), with the wheel in it: scripts/test --long.
# Sourced from the root of the repository, after hosts.sh and engines.sh.

# test_adapter NAME: its tests, and its part of docs/adapters.md.
test_adapter() {
  export MEMATTN_TEST_HOST=$1 HF_HUB_OFFLINE=1 HF_HOME=$PWD/build/hosts/fev
  # What the libraries warn of is theirs to mend.
  PATH=$PWD/.venv-hosts/$1/bin:$PATH without_network timeout 1800 \
    python -m pytest --quiet --tb=short --show-capture=no -W default \
    "tests/python/adapters/test_$1.py" tests/python/test_pages.py
}
