# shellcheck shell=bash
# Wheels on other Linuxes: with Debian's Python for 64-bit Arm under qemu-user, and with the dynamic
# linker and glibc of Debian 11. An apt with its own lists unpacks the packages into folders, so the
# system is not changed. Sourced from the root of the repository, after wheels.sh.

ARM_ROOT=build/debian-12-arm64
OLD_ROOT=build/debian-11-amd64

# debian_mirror: prints the mirror of Debian that this machine uses.
debian_mirror() {
  local mirror
  # shellcheck disable=SC2016 # part of apt's format
  mirror=$(apt-get indextargets --format '$(SITE)' 'Identifier: Packages' 'Origin: Debian' | sed -n 1p)
  if [[ -z $mirror ]]; then
    printf 'apt knows no mirror of Debian; run apt-get update as root first\n' >&2
    return 1
  fi
  printf '%s\n' "$mirror"
}

# unpack_debian FOLDER SUITE ARCH PACKAGE...: those packages and all that they depend on, from debian_mirror.
unpack_debian() {
  local folder=$1 suite=$2 arch=$3 apt=$PWD/$1.apt mirror package
  shift 3
  mirror=$(debian_mirror) || return
  rm -rf "$folder" "$apt"
  mkdir -p "$folder" "$apt"/{state/lists,cache/archives}/partial
  : >"$apt/state/status"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite" \
    >"$apt/sources.list"
  cat >"$apt/apt.conf" <<EOT
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
EOT
  APT_CONFIG=$apt/apt.conf apt-get -q update &&
    APT_CONFIG=$apt/apt.conf apt-get -q -y install --download-only "$@" || return
  for package in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$folder" || return; done
  rm -rf "$apt"
}

# can_unpack WHAT: returns whether Debian packages can be unpacked; if not, prints that WHAT is not
# tested.
can_unpack() {
  if [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] && command -v apt-get dpkg-deb >/dev/null; then
    return
  fi
  printf 'not tested: %s; this machine has no apt for packages of Debian\n' "$1"
  return 1
}

# --- 64-bit Arm -------------------------------------------------------------------------------

ARM_TESTS=(
  tests/python/test_layer.py
  tests/python/test_layer_files.py
  tests/python/test_pair_layer_golden.py
  tests/python/test_optimizers.py
  tests/python/test_one_fit.py
)

# Unpacks Python 3.11, and installs the packages that the tests need in site/.
make_arm_python() {
  unpack_debian "$ARM_ROOT.part" bookworm arm64 python3.11 libstdc++6 &&
    "$VENV/bin/python" -m pip install --target "$ARM_ROOT.part/site" --python-version 3.11 \
      --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
      --only-binary=:all: 'numpy<3' -r requirements/pythons.txt &&
    mv "$ARM_ROOT.part" "$ARM_ROOT"
}

run_arm_python() {
  PYTHONPATH=$PWD/$ARM_ROOT/wheel:$PWD/$ARM_ROOT/site PYTHONDONTWRITEBYTECODE=1 \
    qemu-aarch64 -L "$ARM_ROOT" "$ARM_ROOT/usr/bin/python3.11" "$@"
}

# test_on_arm: tests layers, files, golden values, optimizers, and one fit. Leaves out tests that
# start processes, since the kernel cannot run programs of another machine by itself.
test_on_arm() {
  local python wheel
  can_unpack "the wheel for 64-bit Arm" || return 0
  if ! python=$(find_python 3.11); then
    printf 'not tested: the wheel for 64-bit Arm; no Python 3.11 was found to build it with\n'
    return
  fi
  if [[ ! -d $ARM_ROOT ]]; then make_arm_python || return; fi
  wheel=$(newest_wheel "$python" aarch64) || return
  rm -rf "$ARM_ROOT/wheel"
  "$VENV/bin/python" -m zipfile -e "$wheel" "$ARM_ROOT/wheel"
  run_arm_python -c 'import memattn; assert memattn.active_isa() == "neon", memattn.active_isa()' &&
    run_arm_python -m pytest --quiet -p no:cacheprovider -p no:xdist "${ARM_TESTS[@]}"
}

# --- An old glibc -----------------------------------------------------------------------------

# unbound_on_old WHEEL: prints the symbols of the extension that the dynamic linker of Debian 11
# (glibc 2.31) does not find, except those of the interpreter: that system has no Python 3.10 or
# newer.
unbound_on_old() {
  local libraries=$OLD_ROOT/lib/x86_64-linux-gnu
  rm -rf "$OLD_ROOT/wheel"
  "$VENV/bin/python" -m zipfile -e "$1" "$OLD_ROOT/wheel"
  LD_TRACE_LOADED_OBJECTS=1 LD_WARN=1 LD_BIND_NOW=1 "$libraries/ld-linux-x86-64.so.2" \
    --library-path "$libraries" "$OLD_ROOT"/wheel/memattn/_memattn.*.so 2>&1 |
    grep -E 'undefined symbol|not found' | grep -v 'undefined symbol: _\?Py' || true
}

# test_on_old_glibc: checks that every symbol is found there, binding each function at once.
test_on_old_glibc() {
  local wheel unbound
  can_unpack "wheels on an old glibc" || return 0
  if [[ ! -d $OLD_ROOT ]]; then
    if ! unpack_debian "$OLD_ROOT.part" bullseye amd64 libc6 libgcc-s1; then
      printf 'not tested: wheels on an old glibc; the mirror has no Debian 11\n'
      return
    fi
    mv "$OLD_ROOT.part" "$OLD_ROOT"
  fi
  wheel=$(newest_wheel "$VENV/bin/python") || return
  unbound=$(unbound_on_old "$wheel")
  printf '%s\n' "$unbound"
  [[ -z $unbound ]]
}
