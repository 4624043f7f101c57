# shellcheck shell=bash
# The libraries of an old glibc to link wheels against, so that they run on Linuxes older than this one.
# Sourced from the root of the repository, after setup.sh.

GLIBC=2.28 # of RHEL 8, Debian 10 and Ubuntu 20.04

# glibc_stubs ARCH: prints a folder with glibc $GLIBC for that architecture. zig carries a list of every
# symbol that glibc has had, and makes libraries of them that hold names and versions, no code. Compiling
# goes on with g++ and the headers of this machine: objects are those of every other build.
glibc_stubs() {
  local arch=$1 folder=build/glibc/$1-$GLIBC part library
  part=$folder.part
  if [[ ! -d $folder ]]; then
    rm -rf "$part"
    mkdir -p "$part/zig"
    ZIG_GLOBAL_CACHE_DIR=$PWD/$part/zig ZIG_LOCAL_CACHE_DIR=$PWD/$part/zig \
      "$VENV/bin/python" -m ziglang cc -target "$arch-linux-gnu.$GLIBC" -O1 -shared -x c /dev/null \
      -o "$part/empty.so" >&2
    for library in "$part"/zig/o/*/lib{c,m,dl,rt,util,pthread,ld}.so.* "$part"/zig/o/*/libc_nonshared.a; do
      cp "$library" "$part"
    done
    for library in m dl rt util pthread; do
      ln -s "$(basename "$part/lib$library.so".*)" "$part/lib$library.so"
    done
    printf 'GROUP ( libc.so.6 libc_nonshared.a AS_NEEDED ( %s ) )\n' \
      "$(basename "$part"/libld.so.*)" >"$part/libc.so"
    rm -rf "$part/zig" "$part/empty.so"
    mv "$part" "$folder"
  fi
  printf '%s\n' "$PWD/$folder"
}
