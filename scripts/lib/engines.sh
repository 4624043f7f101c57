# shellcheck shell=bash
# The tests of the engines: Ray, Dask and Spark in local mode, and fugue. Each runs with the wheel
# in its own environment (.venv-hosts/NAME, as for the hosts), and in its own network with only a
# loopback interface, since Ray's servers would listen on all interfaces. Sourced from the root of
# the repository, after hosts.sh.

# without_network COMMAND...: uses the machine's network if it forbids new ones, as many containers
# do.
without_network() {
  local isolate=(unshare --map-root-user --net)
  if "${isolate[@]}" true 2>/dev/null; then
    "${isolate[@]}" bash -c 'ip link set lo up && exec "$@"' bash "$@"
  else
    printf 'no network of its own: unshare is not permitted here\n'
    "$@"
  fi
}

# run_on_engine NAME FILE...: runs files in one process, which starts the engine once; NAME-KIND is
# another kind of the engine.
run_on_engine() {
  local environment=${1%%-*}
  export MEMATTN_TEST_ENGINE=$1 MEMATTN_TEST_HOST=$environment
  shift
  export RAY_USAGE_STATS_ENABLED=0 SPARK_LOCAL_IP=127.0.0.1 PYSPARK_PYTHON=$PWD/.venv-hosts/$environment/bin/python
  # Warnings of the engines are not fixed here.
  PATH=$PWD/.venv-hosts/$environment/bin:$PATH \
    without_network timeout 900 python -m pytest --quiet --tb=short --show-capture=no -W default "$@"
}

# test_engine NAME: runs one fit and one forecast.
test_engine() { run_on_engine "$1" tests/python/engines/test_one_result.py; }

# test_engine_all NAME: tests all kinds of data, killed workers, and the engine's part of docs/scale.md,
# which starts the engine again.
test_engine_all() {
  run_on_engine "$1" tests/python/engines tests/python/test_pages.py \
    --ignore=tests/python/engines/test_fugue.py --ignore=tests/python/engines/test_duplicates.py
}

# test_spark_kinds: tests a cluster of processes that runs slow tasks twice, and a client of Spark
# Connect.
test_spark_kinds() {
  run_on_engine spark-cluster tests/python/engines/test_duplicates.py
  run_on_engine spark-connect tests/python/engines/test_one_result.py tests/python/engines/test_windows.py
}

# test_fugue: tests its transform with the functions that workers of the engines run.
test_fugue() { run_on_engine fugue tests/python/engines/test_fugue.py; }
