# shellcheck shell=bash
# The tests of the hosts: each framework that memattn has layers for, with the wheel in its own
# environment (.venv-hosts/NAME, created and maintained by bench/environments.py). Sourced from the
# root of the repository, after wheels.sh.

# prepare_ahead NAME...: makes these environments in the background while other stages compile, since
# pip uses one core and waits for the network. prepare_host repeats, and reports, what fails here.
prepare_ahead() {
  local python
  python=$(choose_python)
  mkdir -p "$LOGS"
  set -m # a process group of its own, which stop_preparing ends
  (
    for host in "$@"; do nice "$python" -m bench.environments "$host" || true; done
  ) >"$LOGS/environments-ahead.log" 2>&1 </dev/null &
  set +m
  trap stop_preparing EXIT
}

stop_preparing() {
  local group
  for group in $(jobs -rp); do kill -- -"$group" 2>/dev/null || true; done
}

# prepare_host NAME: prepares its environment, with the wheel in it.
prepare_host() {
  local python wheel stamp
  python=$("$VENV/bin/python" -m bench.environments "$1")
  wheel=$(newest_wheel "$python")
  stamp=.venv-hosts/$1/.memattn
  if [[ ! -f $stamp || $wheel -nt $stamp ]]; then
    "$python" -m pip install --no-index --no-deps --force-reinstall "$wheel"
    touch "$stamp"
  fi
}

# host_files NAME: lists the tests that run there. test_keras2_* and test_keras3_* need that Keras;
# test_keras.py and test_keras_pair_layer.py run on every Keras and every backend.
host_files() {
  local folder=tests/python/hosts
  case $1 in
    keras2) find $folder -name 'test_keras*.py' ! -name 'test_keras3_*' ;;
    keras3) find $folder -name 'test_keras*.py' ! -name 'test_keras2_*' ;;
    *) find $folder -name "test_$1*.py" -o -name test_keras.py -o -name test_keras_pair_layer.py ;;
  esac | sort
}

# compile_faster [NAME]: makes XLA compile faster and run slower; for jax, five times as fast. Without
# fusion emitters, XLA makes fewer modules of LLVM, and what they share is compiled once if they are
# not split. The XLA in TensorFlow 2.15 ends the process for these two flags.
compile_faster() {
  local flags=(--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true)
  if [[ ${1:-} == jax ]]; then
    flags+=(--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1)
  fi
  export XLA_FLAGS="${flags[*]}"
}

# test_host NAME: runs its tests, its programs in examples/python, and its page in docs/.
test_host() {
  local backend=$1 files
  if [[ $1 == keras* ]]; then backend=tensorflow; fi
  mapfile -t files < <(host_files "$1")
  # JAX compiles each small function that a test calls; with a cache, later runs take a third of the
  # time.
  export JAX_COMPILATION_CACHE_DIR=$PWD/build/hosts/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
  export MEMATTN_TEST_HOST=$1 KERAS_BACKEND=$backend TF_CPP_MIN_LOG_LEVEL=3
  # Threads of PyTorch and of NumPy's BLAS that wait by spinning use half of the CPU time when each
  # core has a test process; the tests that count threads set their number.
  export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1
  if [[ ${mode:-} == --long ]]; then
    export MEMATTN_LONG_TESTS=1
  else
    compile_faster "$1"
  fi
  PATH=$PWD/.venv-hosts/$1/bin:$PATH run_pytest \
    tests/python/test_examples.py tests/python/test_pages.py "${files[@]}"
}

# test_agreement: compares what all hosts compute from one file.
test_agreement() {
  if [[ ${mode:-} != --long ]]; then compile_faster; fi
  run_pytest --numprocesses=0 tests/python/hosts/test_agreement.py
}
