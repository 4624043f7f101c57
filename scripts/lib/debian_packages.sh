# shellcheck shell=bash
# The Debian packages of packaging/debian: built in a root of Debian 12 that has their Build-Depends and
# nothing else of the project; installed, used and purged in another root, which has only a compiler, CMake and
# pkgconf. mmdebstrap makes the roots, and they are kept. Sourced from the root of the repository, after
# debian_roots.sh.

DEB_BUILD_ROOT=build/debian-12-deb-build
DEB_USE_ROOT=build/debian-12-deb-use
# What the source package has: the tree without .ci, data and what git ignores.
DEB_SOURCE=(CMakeLists.txt CHANGELOG.md LICENSE README.md pyproject.toml
  bench cmake docs examples include packaging python scripts src tests)

# can_make_deb_roots: whether this machine can; if not, says so.
can_make_deb_roots() {
  can_unpack "Debian packages" || return
  if ((EUID != 0)) || ! unshare --mount --pid --net --fork true; then
    printf 'not tested: Debian packages; this user cannot make the Debian systems to build and install them in\n'
    return 1
  fi
  if ! command -v mmdebstrap >/dev/null; then apt_install mmdebstrap >&2; fi
}

# make_deb_root FOLDER PACKAGE...: Debian 12 with those packages, unless it is there already.
make_deb_root() {
  local folder=$1 packages mirror
  packages=$(IFS=, && printf '%s' "${*:2}")
  if [[ -f $folder.packages && $(<"$folder.packages") == "$packages" ]]; then return; fi
  mirror=$(debian_mirror) || return
  rm -rf "$folder" "$folder.packages"
  mmdebstrap --variant=minbase --include="$packages" bookworm "$folder" "$mirror" &&
    printf '%s' "$packages" >"$folder.packages"
}

# in_deb_root FOLDER COMMAND...: runs COMMAND in that root with mounts, processes and a network of its own, which
# has no interface. With CCACHE_DIR, that folder is /ccache there.
in_deb_root() {
  local folder=$PWD/$1
  shift
  # shellcheck disable=SC2016 # the inner shell expands them
  unshare --mount --pid --net --fork --mount-proc="$folder/proc" sh -c '
    if [ -n "${CCACHE_DIR:-}" ]; then mkdir -p "$0/ccache" && mount --bind "$CCACHE_DIR" "$0/ccache"; fi
    exec chroot "$0" env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
  ' "$folder" "$@"
}

build_dependencies() {
  sed -n 's/^Build-Depends: //p' packaging/debian/control | tr , '\n' | sed 's/[(<].*//; s/ //g'
}

# copy_deb_source FOLDER: a new copy of the source package.
copy_deb_source() {
  rm -rf "$1" && mkdir -p "$1" && cp -r "${DEB_SOURCE[@]}" "$1"
}

# build_debs: with the tests of the library, and checked by lintian and blhc.
build_debs() {
  local ccache=()
  if [[ -n ${CCACHE_DIR:-} ]]; then
    mkdir -p "$CCACHE_DIR"
    ccache=(CCACHE_DIR=/ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  copy_deb_source "$DEB_BUILD_ROOT/build/memattn" &&
    in_deb_root "$DEB_BUILD_ROOT" "${ccache[@]}" /build/memattn/packaging/build-deb
}

# build_debs_again: in another folder, locale, time zone and umask, without ccache and without tests; the bytes must
# be the same.
build_debs_again() {
  local package
  copy_deb_source "$DEB_BUILD_ROOT/again/a-folder-of-another-name" &&
    in_deb_root "$DEB_BUILD_ROOT" LC_ALL=C TZ=Pacific/Kiritimati sh -c \
      'umask 0002 && exec /again/a-folder-of-another-name/packaging/build-deb --nocheck' || return
  for package in "$DEB_BUILD_ROOT"/build/memattn/build/deb/*.deb; do
    cmp "$package" "$DEB_BUILD_ROOT/again/a-folder-of-another-name/build/deb/$(basename "$package")" || return
    printf '%s: the same bytes twice\n' "$(basename "$package")"
  done
}

# deb_root_files: every file of the root in which the packages are installed, but for logs, caches and backups.
deb_root_files() {
  in_deb_root "$DEB_USE_ROOT" find / -xdev \( -path /tmp -o -path /var/log -o -path /var/cache -o -path /ccache \) -prune \
    -o ! -path '/var/lib/dpkg/*-old' -printf '%y %p %l\n' | sort
}

# use_debs: the packages are installed, the programs of the documentation compiled with them and run (the test
# that Debian's autopkgtest would run), and run again without libmemattn-dev; purged, they leave no file.
use_debs() {
  local before name programs
  rm -rf "$DEB_USE_ROOT"/tmp/{debs,memattn,programs} && mkdir -p "$DEB_USE_ROOT"/tmp/{debs,programs} &&
    cp "$DEB_BUILD_ROOT"/build/memattn/build/deb/libmemattn*.deb "$DEB_USE_ROOT/tmp/debs" &&
    rm -f "$DEB_USE_ROOT"/tmp/debs/*-dbgsym_*.deb && copy_deb_source "$DEB_USE_ROOT/tmp/memattn" || return
  name=$(sed -n 's/^Package: \(libmemattn[0-9].*\)/\1/p' packaging/debian/control)
  in_deb_root "$DEB_USE_ROOT" dpkg --purge libmemattn-dev "$name" # of a run that failed
  before=$(deb_root_files)
  in_deb_root "$DEB_USE_ROOT" sh -c 'dpkg --install /tmp/debs/*.deb' &&
    in_deb_root "$DEB_USE_ROOT" dpkg --verify libmemattn-dev "$name" &&
    in_deb_root "$DEB_USE_ROOT" sh -c 'cd /tmp/memattn && AUTOPKGTEST_TMP=/tmp/programs packaging/debian/tests/programs' &&
    in_deb_root "$DEB_USE_ROOT" dpkg --purge libmemattn-dev || return
  programs=$(cd "$DEB_USE_ROOT/tmp/programs" && printf '/tmp/programs/%s\n' program*[0-9])
  # shellcheck disable=SC2016,SC2086 # the inner shell expands $program; one word for each of them
  in_deb_root "$DEB_USE_ROOT" sh -ec 'for program; do "$program"; done' sh $programs &&
    in_deb_root "$DEB_USE_ROOT" dpkg --purge "$name" &&
    diff <(printf '%s\n' "$before") <(deb_root_files)
}

# test_deb_packages: all of it.
test_deb_packages() {
  local dependencies
  can_make_deb_roots || return 0
  mapfile -t dependencies < <(build_dependencies)
  make_deb_root "$DEB_BUILD_ROOT" "${dependencies[@]}" build-essential lintian blhc ccache &&
    make_deb_root "$DEB_USE_ROOT" g++ cmake make pkgconf &&
    build_debs && build_debs_again && use_debs
}
