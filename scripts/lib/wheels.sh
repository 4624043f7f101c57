# shellcheck shell=bash
# The wheels: for Python 3.10, for 3.11, and one for 3.12 and newer by the stable ABI; on x86-64 and on
# 64-bit Arm, which is cross-compiled. Sourced from the root of the repository, after setup.sh.

source scripts/lib/glibc.sh
source scripts/lib/pythons.sh

WHEELS=build/wheel # with a folder for each wheel, such as x86_64-cp311

# The files in a wheel carry the time of the last commit that changed them, so that a second build
# gives the same wheel. In an exported tree they are from 1980, the oldest time in zip.
set_source_date() {
  local date
  date=$(git log -1 --format=%ct -- "${PACKAGE_SOURCES[@]}" 2>/dev/null) || date=
  export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-${date:-315532800}}
}

# wheel_kind PYTHON: prints the tags of its wheel.
wheel_kind() {
  "$1" -c 'import sys; v = sys.version_info; print("cp312-abi3" if v >= (3, 12) else f"cp3{v[1]}")'
}

# headers_for_arm PYTHON: prints a folder with its headers. This machine's headers work: on every
# 64-bit Linux they are the same except for two lines about x87 and byte order, which nothing here
# uses. pyconfig.h of Debian's own Python includes the one of the target processor; beside links to
# the other headers, this machine's one replaces it.
headers_for_arm() {
  local headers config folder # /usr/include/python3.11, /usr/include/x86_64-linux-gnu/python3.11/pyconfig.h
  headers=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))') || return
  config=$(dirname "$headers")/$(uname -m)-linux-gnu/$(basename "$headers")/pyconfig.h
  if [[ -e $config ]]; then
    folder=$PWD/build/headers/$(basename "$headers")
    rm -rf "$folder" && mkdir -p "$folder" && ln -s "$headers"/* "$folder" &&
      ln -sf "$config" "$folder/pyconfig.h" || return
    headers=$folder
  fi
  printf '%s\n' "$headers"
}

# cross_to_arm PYTHON: tells pip, scikit-build-core and CMake that they build for another machine.
cross_to_arm() {
  local version headers
  version=$("$1" -c 'import sys; print("%d%d" % sys.version_info[:2])') && headers=$(headers_for_arm "$1") || return
  export CXX=aarch64-linux-gnu-g++ _PYTHON_HOST_PLATFORM=linux-aarch64
  export SETUPTOOLS_EXT_SUFFIX=.cpython-$version-aarch64-linux-gnu.so
  export CMAKE_ARGS="${CMAKE_ARGS:-} -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DPython_INCLUDE_DIR=$headers"
}

# building_python PYTHON: prints a Python of that version with the packages that build wheels: from
# .venv, or from an environment that is kept, since ccache compares the paths of nanobind's headers.
building_python() {
  local version home
  version=$(python_version "$1")
  if [[ $version == "$(python_version "$VENV/bin/python")" ]]; then
    printf '%s\n' "$VENV/bin/python"
    return
  fi
  home=.venv-wheels/$version
  if [[ ! -x $home/bin/python || $(python_identity "$home/bin/python") != "$(python_identity "$1")" ]]; then
    "$1" -m venv --clear "$home" >&2 || return
  fi
  "$home/bin/python" -m pip install --quiet -r requirements/build.txt >&2 || return
  printf '%s\n' "$home/bin/python"
}

# build_wheel PYTHON ARCH: builds the wheel for release into $WHEELS/ARCH-KIND. It is linked against
# an old glibc, repaired by auditwheel, which names the oldest Linux that it runs on, and checked.
build_wheel() (
  arch=$2
  python=$(building_python "$1") && kind=$(wheel_kind "$python") && stubs=$(glibc_stubs "$arch") || return
  folder=$WHEELS/$arch-$kind
  set_source_date
  if [[ $arch != "$(uname -m)" ]]; then cross_to_arm "$python" || return; fi
  rm -rf "$folder"
  # The build folder is as deep as that of the release preset, so that ccache finds the same files.
  "$python" -m pip wheel --no-deps --no-build-isolation \
    --config-settings="build-dir=build/wheel-$arch-$kind" \
    --config-settings="cmake.define.MEMATTN_GLIBC_STUBS=$stubs" --wheel-dir "$folder/built" . &&
    "$VENV/bin/python" -m auditwheel repair --wheel-dir "$folder" "$folder"/built/*.whl &&
    "$VENV/bin/python" scripts/check_wheel.py "$folder"/*.whl
)

# newest_wheel PYTHON [ARCH]: builds the wheel unless its sources are unchanged, and prints its
# path.
newest_wheel() {
  local arch=${2:-$(uname -m)} folder sources
  folder=$WHEELS/$arch-$(wheel_kind "$1")
  set_source_date
  sources="$(hash_of_files "${PACKAGE_SOURCES[@]}" requirements/build.txt scripts/lib/{glibc,wheels}.sh)"
  sources+=" $SOURCE_DATE_EPOCH"
  if [[ ! -f $folder/.stamp || $(<"$folder/.stamp") != "$sources" ]]; then
    build_wheel "$1" "$arch" >&2 || return
    printf '%s' "$sources" >"$folder/.stamp"
  fi
  printf '%s\n' "$folder"/*.whl
}

build_sdist() {
  set_source_date
  rm -rf "$WHEELS/sdist"
  "$VENV/bin/python" -c 'import sys
from scikit_build_core import build
print(build.build_sdist(sys.argv[1]))' "$WHEELS/sdist"
}

# reproduce_wheel PYTHON: builds its wheel again without ccache, from a copy of the sources in
# another folder; the bytes must be the same.
reproduce_wheel() {
  local wheel kind copy
  wheel=$(newest_wheel "$1") && kind=$(wheel_kind "$1") || return
  set_source_date
  copy=$(mktemp -d)/a-folder-of-another-name
  mkdir -p "$copy/build"
  cp -r "${PACKAGE_SOURCES[@]}" README.md LICENSE .gitignore scripts requirements "$copy"
  ln -s "$PWD/build/glibc" "$copy/build/glibc"
  ln -s "$PWD/$VENV" "$copy/$VENV"
  if [[ -d .venv-wheels ]]; then ln -s "$PWD/.venv-wheels" "$copy/.venv-wheels"; fi
  (cd "$copy" && unset CMAKE_CXX_COMPILER_LAUNCHER && build_wheel "$1" "$(uname -m)") || return
  cmp "$wheel" "$copy/$WHEELS/$(uname -m)-$kind/$(basename "$wheel")" || return
  rm -rf "$(dirname "$copy")"
  printf '%s: the same bytes twice\n' "$(basename "$wheel")"
}
