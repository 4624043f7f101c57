# shellcheck shell=bash
# Stub libraries of an old glibc for linking wheels, so that they run on Linuxes older than this
# one.
# Sourced from the root of the repository, after setup.sh.

GLIBC=2.28 # of RHEL 8, Debian 10 and Ubuntu 20.04

# glibc_stubs ARCH: prints a folder with glibc $GLIBC for that architecture. zig has a list of every
# symbol in each glibc, and makes libraries with only names and versions from it. Compilation still
# uses g++ and this machine's headers, so objects equal those of every other build.
glibc_stubs() {
  local folder=build/glibc/$1-$GLIBC
  if [[ ! -d $folder ]]; then
    rm -rf "$folder.part" && make_glibc_stubs "$1" "$folder.part" && mv "$folder.part" "$folder" || return
  fi
  printf '%s\n' "$PWD/$folder"
}

# make_glibc_stubs ARCH FOLDER. Each command's status is checked explicitly, since errexit is off to
# the left of `||`.
make_glibc_stubs() {
  local folder=$2 library
  mkdir -p "$folder/zig" &&
    ZIG_GLOBAL_CACHE_DIR=$PWD/$folder/zig ZIG_LOCAL_CACHE_DIR=$PWD/$folder/zig \
      "$VENV/bin/python" -m ziglang cc -target "$1-linux-gnu.$GLIBC" -O1 -shared -x c /dev/null \
      -o "$folder/empty.so" >&2 || return
  for library in "$folder"/zig/o/*/lib{c,m,dl,rt,util,pthread,ld}.so.* "$folder"/zig/o/*/libc_nonshared.a; do
    cp "$library" "$folder" || return
  done
  for library in m dl rt util pthread; do
    ln -s "$(basename "$folder/lib$library.so".*)" "$folder/lib$library.so" || return
  done
  printf 'GROUP ( libc.so.6 libc_nonshared.a AS_NEEDED ( %s ) )\n' \
    "$(basename "$folder"/libld.so.*)" >"$folder/libc.so" &&
    rm -rf "$folder/zig" "$folder/empty.so"
}
