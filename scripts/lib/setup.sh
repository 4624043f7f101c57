# shellcheck shell=bash
# The prerequisites of scripts/demo and scripts/test: Debian packages, a Python, .venv and the
# package in it. A step does nothing if nothing has changed since it last succeeded. Sourced from
# the root of the repository, after stage.sh.

VENV=.venv
JOBS=$(nproc)
export CMAKE_BUILD_PARALLEL_LEVEL=$JOBS PIP_DISABLE_PIP_VERSION_CHECK=1
# Containers often set it. Without compiled modules, importing TensorFlow takes 6 s of CPU and not 2,
# in each process.
unset PYTHONDONTWRITEBYTECODE

BUILD_PACKAGES=(g++ cmake ninja-build libhwy-dev nlohmann-json3-dev python3-dev python3-venv)
TEST_PACKAGES=(pkg-config libgtest-dev libbenchmark-dev clang-14 libclang-rt-14-dev strace valgrind)
BROWSER_PACKAGES=(chromium) # opens reports
SITE_PACKAGES=(doxygen) # reads the public headers for the documentation
ENGINE_PACKAGES=(default-jre-headless iproute2) # for Spark, and for a network without interfaces
ARM_PACKAGES=(googletest g++-aarch64-linux-gnu qemu-user) # GoogleTest's sources, to build its library

PACKAGE_SOURCES=(CMakeLists.txt cmake include src python pyproject.toml) # sources of the Python package

# --- Debian packages --------------------------------------------------------------------------

has_header() { [[ -e /usr/include/$1 || -e /usr/local/include/$1 ]]; }

# clang++-14 if it is installed, else the machine's clang++.
clang_compiler() { command -v clang++-14 || command -v clang++; }

# has_package NAME: returns whether the programs or files wanted from that package exist, from any
# source.
has_package() {
  local version
  case $1 in
    cmake)
      version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version //p') &&
        [[ -n $version && $(printf '%s\n' 3.25 "$version" | sort -V | head -n 1) == 3.25 ]]
      ;;
    ninja-build) ninja --version >/dev/null 2>&1 ;;
    nlohmann-json3-dev) has_header nlohmann/json.hpp ;;
    libhwy-dev) has_header hwy/highway.h ;;
    libgtest-dev) has_header gtest/gtest.h ;;
    libbenchmark-dev) has_header benchmark/benchmark.h ;;
    googletest) [[ -e /usr/src/googletest/CMakeLists.txt ]] ;;
    g++-aarch64-linux-gnu) command -v aarch64-linux-gnu-g++ >/dev/null ;;
    qemu-user) command -v qemu-aarch64 >/dev/null ;;
    iproute2) command -v ip >/dev/null ;;
    default-jre-headless) java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' ;;
    clang-14) clang_compiler >/dev/null ;;
    libclang-rt-14-dev) compgen -G "$(dirname "$("$(clang_compiler)" -print-libgcc-file-name \
      --rtlib=compiler-rt)")/libclang_rt.fuzzer*" >/dev/null ;;
    python3-dev | python3-venv) choose_python >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

missing_packages() {
  local package
  for package in "$@"; do
    if ! has_package "$package" 2>/dev/null; then printf '%s\n' "$package"; fi
  done
}

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -q -y --no-install-recommends "$@"
}

# Compiles through ccache if it is installed, so that the release build, the Python extension, the
# wheel and the installation tests share the library's object files. For this their flags agree,
# including -Werror, which CMAKE_ARGS passes to scikit-build-core. ccache's own variables are
# respected; without CCACHE_DIR, the cache is in build/. Paths stay absolute, since build folders
# have different depths: with a CCACHE_BASEDIR, the flags for the same file would differ.
setup_ccache() {
  export CMAKE_ARGS="${CMAKE_ARGS:-} -DMEMATTN_WERROR=ON"
  if ! command -v ccache >/dev/null && ((EUID == 0)) && command -v apt-get >/dev/null; then
    mkdir -p "$LOGS"
    apt_install ccache >"$LOGS/ccache.log" 2>&1 </dev/null || true
  fi
  if ! command -v ccache >/dev/null; then
    printf 'without ccache, which is not installed: each build compiles the library again\n'
    return
  fi
  # With one name: CMake would choose c++ and scikit-build-core g++, which ccache treats as
  # different compilers.
  export CXX=${CXX:-g++}
  export CCACHE_DIR=${CCACHE_DIR:-$PWD/build/ccache} CMAKE_CXX_COMPILER_LAUNCHER=ccache
  # Without this, it does not cache files compiled with a precompiled header, as the tests are.
  export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}
}

# setup_system PACKAGE...: installs missing packages. Without the rights to do so, lists them and
# exits with status 2.
setup_system() {
  local missing
  if [[ -n ${PYTHON:-} ]] && ! python_works "$PYTHON"; then
    printf 'PYTHON=%s is not a Python 3.10 or newer with venv, ensurepip and Python.h.\n' \
      "$PYTHON" >&2
    exit 2
  fi
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]} == 0)); then return; fi
  if ((EUID == 0)) && command -v apt-get >/dev/null; then
    require_stage "Debian packages (${#missing[@]} missing)" apt_install "${missing[@]}"
    mapfile -t missing < <(missing_packages "$@")
  fi
  if ((${#missing[@]} > 0)); then
    printf 'Missing on this machine: %s\nOn Debian 12 and its relatives install with:\n\n    %s\n\n' \
      "${missing[*]}" "sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 2
  fi
}

# --- Python -----------------------------------------------------------------------------------

# python_works PYTHON: returns whether it is new enough, makes virtual environments and compiles
# extensions.
python_works() {
  "$1" - <<'PYTHON' >/dev/null 2>&1
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(sys.version_info < (3, 10) or not os.path.exists(header))
PYTHON
}

choose_python() {
  local python
  if [[ -n ${PYTHON:-} ]]; then
    printf '%s\n' "$PYTHON"
    return
  fi
  for python in python3 /usr/bin/python3 python3.{14,13,12,11,10}; do
    if python_works "$python"; then
      printf '%s\n' "$python"
      return
    fi
  done
  return 1
}

python_identity() { "$1" -c 'import sys; print(sys.version, sys.base_prefix)' 2>/dev/null; }

hash_of_files() { find "$@" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum; }

# is_current STAMP TEXT, mark_current STAMP TEXT: a stamp in .venv records the inputs of a step. It
# disappears with the environment, and a moved checkout counts as another one.
is_current() { [[ -f $VENV/.stamp-$1 && $(<"$VENV/.stamp-$1") == "$PWD $2" ]]; }
mark_current() { printf '%s %s' "$PWD" "$2" >"$VENV/.stamp-$1"; }

make_venv() {
  "$1" -m venv --clear "$VENV"
  "$VENV/bin/python" -m pip --version
}

# install_package PIP-ARGUMENT...: compiles in build/python, so that builds are incremental.
install_package() {
  "$VENV/bin/python" -m pip install --no-build-isolation \
    --config-settings=build-dir=build/python "$@"
}

install_all() {
  local requirements=$1 extras=$2
  "$VENV/bin/python" -m pip install -r "$requirements"
  install_package ".[$extras]"
}

# setup_python REQUIREMENTS EXTRAS: prepares .venv with the tools of requirements/REQUIREMENTS.txt
# and the package with EXTRAS, compiled again only if one of its files has changed.
setup_python() {
  local requirements=$1 extras=$2 python identity wanted sources
  python=$(choose_python)
  identity=$(python_identity "$VENV/bin/python") || identity=none
  if [[ $identity == none || (-n ${PYTHON:-} && $identity != "$(python_identity "$python")") ]]; then
    require_stage "virtual environment .venv" make_venv "$python"
    identity=$(python_identity "$VENV/bin/python")
  fi
  wanted="$identity $(hash_of_files pyproject.toml requirements)"
  sources=$(hash_of_files "${PACKAGE_SOURCES[@]}")
  if ! is_current "$extras" "$wanted"; then
    require_stage "Python packages, memattn[$extras]" \
      install_all "requirements/$requirements.txt" "$extras"
    mark_current "$extras" "$wanted"
  elif ! is_current package "$sources"; then
    require_stage "memattn for Python" install_package --no-deps --force-reinstall .
  fi
  mark_current package "$sources"
}

setup_for_demo() {
  setup_system "${BUILD_PACKAGES[@]}"
  setup_python build forecast
}

setup_for_arm() {
  setup_system "${BUILD_PACKAGES[@]}" "${ARM_PACKAGES[@]}"
  setup_ccache
}

setup_for_test() {
  setup_system "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
  setup_ccache
  setup_python tools test
  export PATH=$PWD/$VENV/bin:$PATH
}

# setup_for_every_test ENVIRONMENT...: all packages at once, so that a user who must install them gets
# one list. The environments (prepare_ahead, hosts.sh) are made in the background.
setup_for_every_test() {
  setup_system "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" "${ARM_PACKAGES[@]}" \
    "${BROWSER_PACKAGES[@]}" "${SITE_PACKAGES[@]}" "${ENGINE_PACKAGES[@]}"
  prepare_ahead "$@"
  setup_for_test
}
