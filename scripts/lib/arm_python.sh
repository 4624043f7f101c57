# shellcheck shell=bash
# The wheel for 64-bit Arm, tested on Debian's Python for that architecture under qemu-user. The packages are
# unpacked into a folder, with lists of their own: nothing of the system is changed.
# Sourced from the root of the repository, after wheels.sh.

ARM_ROOT=build/arm-python

# apt_for_arm COMMAND...: apt-get that knows 64-bit Arm alone, and no installed package.
apt_for_arm() {
  local state=$PWD/$ARM_ROOT.apt
  mkdir -p "$state"/{state/lists,cache/archives}/partial
  : >"$state/state/status"
  cat >"$state/apt.conf" <<EOT
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "$state/state";
Dir::State::status "$state/state/status";
Dir::Cache "$state/cache";
EOT
  APT_CONFIG=$state/apt.conf apt-get -q -y "$@"
}

# Python 3.11 of Debian 12, and beside it in site/ what the tests need.
make_arm_python() {
  local package part=$ARM_ROOT.part
  rm -rf "$part"
  mkdir -p "$part"
  apt_for_arm update
  apt_for_arm install --download-only python3.11 libstdc++6
  for package in "$ARM_ROOT.apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$part"; done
  "$VENV/bin/python" -m pip install --target "$part/site" --python-version 3.11 \
    --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 --only-binary=:all: \
    'numpy<3' -r requirements/pythons.txt
  rm -rf "$ARM_ROOT" "$ARM_ROOT.apt"
  mv "$part" "$ARM_ROOT"
}

run_arm_python() {
  PYTHONPATH=$PWD/$ARM_ROOT/wheel:$PWD/$ARM_ROOT/site PYTHONDONTWRITEBYTECODE=1 \
    qemu-aarch64 -L "$ARM_ROOT" "$ARM_ROOT/usr/bin/python3.11" "$@"
}

# test_on_arm: layers, files, golden values, optimizers, and one fit; tests that start processes are left
# out, since the kernel cannot run them by itself.
test_on_arm() {
  local python wheel
  if ! python=$(find_python 3.11); then
    printf 'not tested: the wheel for 64-bit Arm; no Python 3.11 was found to build it with\n'
    return
  fi
  if ! command -v dpkg-deb apt-get >/dev/null; then
    printf 'not tested: the wheel for 64-bit Arm; Debian packages cannot be unpacked here\n'
    return
  fi
  if [[ ! -d $ARM_ROOT ]]; then make_arm_python || return; fi
  wheel=$(newest_wheel "$python" aarch64) || return
  rm -rf "$ARM_ROOT/wheel"
  "$VENV/bin/python" -m zipfile -e "$wheel" "$ARM_ROOT/wheel"
  run_arm_python -c 'import memattn; assert memattn.active_isa() == "neon", memattn.active_isa()' || return
  run_arm_python -m pytest --quiet -p no:cacheprovider -p no:xdist "${ARM_TESTS[@]}"
}

ARM_TESTS=(
  tests/python/test_layer.py
  tests/python/test_layer_files.py
  tests/python/test_pair_layer_golden.py
  tests/python/test_optimizers.py
  tests/python/test_one_fit.py
)
