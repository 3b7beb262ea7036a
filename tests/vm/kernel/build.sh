#!/bin/bash
# SPDX-License-Identifier: MIT
#
# build.sh kasan|rt|kcsan... - debug kernels from Debian's linux-source-6.12, into the cache.
#
# CACHE/kernel/6.12-VARIANT/ gets what a run needs, like the stock kernels' (see tools/setup.sh):
#   env        KVER= KDIR= KIMAGE= KMODDIR= KVMLINUX= KEY=
#   vmlinux    boots by itself (PVH)        kdir/  for `make -C KDIR M=...`, with its .config
# and CACHE/kernel/headers-KEY/ the headers and scripts of the source, which all of them share.
#
# A variant is tinyconfig and some *.config files here; one that asks for a symbol and does not get
# it is an error. It is built when there is none, or when the source package, the compiler or the
# fragments changed (KEY). Building goes on in CACHE/kernel/.build and is renamed at the end: an
# interrupted run leaves only that, and the next one removes it. The source is unpacked there too,
# and goes with it.
#
# About 10 minutes each on two free cores. What make said is in CACHE/kernel/6.12-VARIANT.log.
# Callers: tools/setup.sh; people. Environment: GR_CACHE, JOBS (number of CPUs).
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
CACHE=${GR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gr}
ROOT=$(realpath -m "$CACHE")/kernel
PACKAGE=linux-source-6.12
BUILD=$ROOT/.build
SRC=$BUILD/$PACKAGE
JOBS=${JOBS:-$(nproc)}
LOG='' MAKE=''

die()
{
    echo "build: $*" >&2
    exit 1
}

fragments()
{
    case $1 in
    kasan) echo base.config debug.config kunit.config kasan.config ;;
    kcsan) echo base.config debug.config kunit.config kcsan.config ;;
    rt) echo base.config debug.config rt.config ;;
    *) die "no variant $1: kasan, rt or kcsan" ;;
    esac
}

checksum()
{
    sha256sum | cut -c 1-16
}

source_key()
{
    {
        dpkg-query -W "$PACKAGE"
        gcc --version | head -n 1
    } | checksum
}

variant_key()
{
    {
        source_key
        cd "$HERE"
        # shellcheck disable=SC2046
        cat $(fragments "$1")
    } | checksum
}

built()
{
    local d=$ROOT/6.12-$1
    [ -f "$d/env" ] && grep -qx "KEY=$(variant_key "$1")" "$d/env" && [ -d "$HEADERS" ]
}

kmake()
{
    make -C "$SRC" O="$1" ARCH=x86 -j "$JOBS" "${@:2}" >> "$LOG" 2>&1 &
    MAKE=$!
    wait $MAKE      # not in the foreground: a signal must not wait for it
}

# each symbol that the fragments ask for (the last one counts) against what .config says
refused()
{
    awk '
        { sub(/#.*/, "", $0) }
        FILENAME == ARGV[1] { next }
        match($0, /^CONFIG_[A-Za-z0-9_]+=/) {
            want[substr($0, 1, RLENGTH - 1)] = substr($0, RLENGTH + 1)
        }
        END {
            while ((getline line < ARGV[1]) > 0)
                if (match(line, /^CONFIG_[A-Za-z0-9_]+=/))
                    have[substr(line, 1, RLENGTH - 1)] = substr(line, RLENGTH + 1)
            for (s in want) {
                is = s in have ? have[s] : "n"
                if (is != want[s])
                    print s ": asked for " want[s] ", is " is
            }
        }' "$@"
}

# .config in $2 for variant $1
configure()
{
    local o=$2 f bad
    local -a frag=()
    for f in $(fragments "$1"); do
        frag+=("$HERE/$f")
    done
    kmake "$o" tinyconfig || return 1
    (cd "$o" && "$SRC/scripts/kconfig/merge_config.sh" -m -O . .config "${frag[@]}") \
        >> "$LOG" 2>&1 || return 1
    kmake "$o" olddefconfig || return 1
    bad=$(refused "$o/.config" "${frag[@]}")
    [ -z "$bad" ] || die "$1: the configuration refuses"$'\n'"$bad"
}

# What modules are compiled against, of the source: 60 MB instead of 1.7 GB.
keep_headers()
{
    local new=$BUILD/headers
    [ -d "$HEADERS" ] && return
    mkdir -p "$new/arch/x86" "$new/tools"
    cp -a "$SRC"/{Makefile,Kbuild,Kconfig,include,scripts} "$new/"
    cp -a "$SRC"/arch/x86/{Makefile*,include} "$new/arch/x86/"
    mv "$new" "$HEADERS"
}

# the same of the build directory $1, into $2, which will be at $3
keep_kdir()
{
    local o=$1 new=$2 place=$3
    mkdir -p "$new"
    (cd "$o" && find . \( -path ./source -o -path ./arch/x86/boot -o -path ./usr \) -prune -o -type f \
        ! -name '*.o' ! -name '*.a' ! -name '*.ko' ! -name '*.cmd' ! -name 'vmlinux*' \
        ! -name 'System.map' ! -name '.tmp_*' ! -name '*.order' -print0 |
        cpio -0 -pdm --quiet "$new")
    cp "$o/vmlinux.symvers" "$new/Module.symvers"
    ln -sfn "$HEADERS" "$new/source"
    echo "include $HEADERS/Makefile" > "$new/Makefile"
    if grep -rlF "$BUILD" "$new" --include=Makefile --include='*.sh'; then
        die "$place would refer to the build directory"
    fi
}

# The env file comes with the rename of the directory: what is there is whole.
keep()
{
    local v=$1 o=$2 key=$3 d=$ROOT/6.12-$1 new=$BUILD/new
    rm -rf "$new"
    keep_headers
    keep_kdir "$o" "$new/kdir" "$d/kdir"
    mkdir "$new/modules"
    cp "$o/vmlinux" "$new/vmlinux"
    {
        echo "KVER=$(cat "$o/include/config/kernel.release")"
        printf '%s=%q\n' KDIR "$d/kdir" KIMAGE "$d/vmlinux" KMODDIR "$d/modules" \
            KVMLINUX "$d/vmlinux" KEY "$key"
    } > "$new/env"
    rm -rf "$d"
    mv "$new" "$d"
}

# headers of an older source that no kernel refers to any more
drop_headers()
{
    local h
    for h in "$ROOT"/headers-*; do
        [ -n "$(find "$ROOT"/6.12-*/kdir/source -lname "$h" 2> /dev/null)" ] || rm -rf "$h"
    done
}

unpack()
{
    [ ! -d "$SRC" ] || return 0
    echo "build: unpacking $PACKAGE"
    tar -xJf "/usr/src/$PACKAGE.tar.xz" -C "$BUILD"
}

build()
{
    local v=$1 o=$BUILD/$1 key
    key=$(variant_key "$v")
    LOG=$ROOT/6.12-$v.log
    : > "$LOG"
    mkdir "$o"
    unpack
    echo "build: kernel 6.12-$v, some 10 minutes; $LOG"
    if ! { configure "$v" "$o" && kmake "$o" vmlinux modules_prepare; }; then
        tail -n 30 "$LOG" >&2
        die "kernel 6.12-$v: see $LOG"
    fi
    keep "$v" "$o" "$key"
    rm -rf "$o"
    drop_headers
    echo "build: $ROOT/6.12-$v is done"
}

[ $# -gt 0 ] || die "usage: build.sh kasan|rt|kcsan..."
for v in "$@"; do
    fragments "$v" > /dev/null
done
mkdir -p "$ROOT"
exec 8> "$ROOT/.build.lock"
flock 8
[ -f "/usr/src/$PACKAGE.tar.xz" ] || die "no package $PACKAGE: run tools/setup.sh test"
HEADERS=$ROOT/headers-$(source_key)
trap '[ -z "$MAKE" ] || kill $MAKE 2> /dev/null; rm -rf "$BUILD"' EXIT
trap 'exit 130' INT TERM HUP
rm -rf "$BUILD"
mkdir "$BUILD"
for v in "$@"; do
    built "$v" || build "$v"
done
