#!/bin/bash
# SPDX-License-Identifier: MIT
#
# setup.sh [run|test] - everything `make run` and `make check` need, installed once.
#
# Packages come from apt. Kernels are only unpacked, into a cache outside the tree
# (GR_CACHE, default ~/.cache/gr): nothing appears in /boot, the boot loader is not touched.
#
#   CACHE/kernels/{boot,lib/modules}        the stock kernels, as QEMU boots them
#   CACHE/kernels/SERIES                    one line: the version of 6.12 and of 6.1
#   CACHE/kernels/usr/src/linux-headers-V   headers that `make -C ... M=...` accepts
#   CACHE/kselftest/                        the kernel's own test harness headers
#
# Done already: under a second. A step writes beside its place and renames at the end, so an
# interrupted run leaves nothing half done.
set -eu

WHAT=${1:-test}
CACHE=${GR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gr}
SERIES="6.12 6.1"

# package        what it is for
RUN_PACKAGES="
gcc              compiles everything
gcc-12           the compiler the kernels were built with
make             runs it
libc6-dev        C library
pkg-config       finds the libraries
liburing-dev     io_uring, of libgr
libsqlite3-dev   SQLite, a library that blocks, for the demonstration
sqlite3          its shell: makes the database
libhttp-parser-dev  HTTP parsing, for the demonstration
golang-go        the yardstick: Go's net/http
golang-github-mattn-go-sqlite3-dev  SQLite for it
wrk              HTTP load
curl             HTTP by hand
qemu-system-x86  boots the stock kernels
busybox-static   user space of the guests
cpio             packs it
kmod             module dependencies
e2fsprogs        disk of the demonstration's guest
xz-utils         kernel modules come compressed
zstd             so do others
libelf1          tools of the kernel's build
python3          reports
ca-certificates  apt over https
"
TEST_PACKAGES="
clang            the second compiler
libclang-rt-14-dev  its sanitizers
sparse           checks the module
git              clean clone in the tests
linux-source-6.12  kselftest_harness.h and checkpatch.pl
perl             runs checkpatch.pl
"

say()
{
    echo "setup: $*"
}

die()
{
    echo "setup: $*" >&2
    exit 1
}

names()
{
    awk 'NF { print $1 }' <<< "$1"
}

as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo > /dev/null; then
        sudo "$@"
    else
        die "not root and no sudo: install these packages by hand: $MISSING"
    fi
}

apt_update_once()
{
    [ -n "${UPDATED:-}" ] && return
    UPDATED=1
    say "asking the archive what is new"
    as_root apt-get update -q > /dev/null || say "apt-get update failed; going on with old lists"
}

install_packages()
{
    local p
    MISSING=
    for p in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2> /dev/null)" = installed ] ||
            MISSING="$MISSING $p"
    done
    [ -n "$MISSING" ] || return 0
    apt_update_once
    say "installing:$MISSING"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        $MISSING > /dev/null || die "could not install:$MISSING"
}

# newest KVER of a series, by the archive's meta package
newest()
{
    local meta=linux-image-$1-amd64
    [ "$1" = 6.1 ] && meta=linux-image-amd64
    apt-cache depends "$meta" 2> /dev/null |
        sed -n 's/.*Depends: linux-image-\([0-9].*-amd64\)$/\1/p' | head -n 1
}

# Unpack image, headers and kbuild of version $1 into directory $2.
unpack_kernel()
{
    local v=$1 dir=$2 flavour=${1%-amd64} kbuild
    kbuild=$(apt-cache depends "linux-headers-$v" | sed -n 's/.*Depends: \(linux-kbuild-.*\)/\1/p')
    (cd "$dir" && apt-get download -q "linux-image-$v" "linux-headers-$v" \
        "linux-headers-$flavour-common" "$kbuild" > /dev/null 2>&1) || return 1
    local deb
    for deb in "$dir"/*.deb; do
        dpkg-deb -x "$deb" "$dir" || return 1
        rm "$deb"
    done
}

# The unpacked headers name /usr/src and /usr/lib: point them into the cache.
fix_headers()
{
    local root=$1 h=$1/usr/src/linux-headers-$2 common=$1/usr/src/linux-headers-${2%-amd64}-common
    local kbuild
    kbuild=$(readlink "$h/scripts" | sed 's|.*/\(linux-kbuild-[^/]*\)/scripts|\1|')
    echo "include $common/Makefile" > "$h/Makefile"
    ln -sfn "$root/usr/lib/$kbuild/scripts" "$h/scripts"
    ln -sfn "$root/usr/lib/$kbuild/tools" "$h/tools"
    ln -sfn "$root/usr/lib/$kbuild/scripts" "$common/scripts"
    ln -sfn "$root/usr/lib/$kbuild/tools" "$common/tools"
}

get_kernel()
{
    local series=$1 root=$CACHE/kernels v old tmp
    old=$(cat "$root/$series" 2> /dev/null || true)
    # look for a newer one at most once a day
    if [ -n "$old" ] && [ -f "$root/boot/vmlinuz-$old" ] &&
        [ -n "$(find "$root/$series" -mtime -1)" ]; then
        return
    fi
    apt_update_once
    v=$(newest "$series")
    if [ -z "$v" ] || [ "$v" = "$old" ]; then
        [ -n "$old" ] || die "the archive has no linux-image of series $series; see docs/dependencies.md"
        touch "$root/$series"
        return
    fi
    say "unpacking stock kernel $v into $root"
    mkdir -p "$root"
    tmp=$(mktemp -d "$root/.new.XXXXXX")
    if ! unpack_kernel "$v" "$tmp"; then
        rm -rf "$tmp"
        [ -n "$old" ] || die "could not download kernel $v"
        say "could not download kernel $v; using $old"
        return
    fi
    cp -a "$tmp/." "$root/"
    rm -rf "$tmp"
    fix_headers "$root" "$v"
    echo "$v" > "$root/.$series" && mv "$root/.$series" "$root/$series"
}

get_kselftest()
{
    local src=tools/testing/selftests top=linux-source-6.12 tmp
    [ -f "$CACHE/kselftest/checkpatch.pl" ] && return
    say "taking the kernel's test harness out of $top"
    tmp=$(mktemp -d "$CACHE/.ksft.XXXXXX")
    tar -xJf "/usr/src/$top.tar.xz" -C "$tmp" --strip-components=1 \
        "$top/$src/kselftest.h" "$top/$src/kselftest_harness.h" \
        "$top/scripts/checkpatch.pl" "$top/scripts/spelling.txt" \
        "$top/scripts/const_structs.checkpatch" || die "could not unpack $top"
    mv "$tmp/$src/"*.h "$tmp/scripts/"* "$tmp/"
    rm -rf "$tmp/tools" "$tmp/scripts" "$CACHE/kselftest"
    chmod 755 "$tmp"
    mv "$tmp" "$CACHE/kselftest"
}

if ! command -v apt-get > /dev/null; then
    die "no apt here: install gcc make liburing sqlite3 http-parser go wrk curl qemu-system-x86_64" \
        "busybox cpio kmod e2fsprogs xz zstd python3 and unpack a 6.12 kernel with headers, or load gr.ko"
fi
mkdir -p "$CACHE"
PACKAGES=$(names "$RUN_PACKAGES")
[ "$WHAT" = run ] || PACKAGES="$PACKAGES $(names "$TEST_PACKAGES")"
# shellcheck disable=SC2086
install_packages $PACKAGES
for s in $SERIES; do
    [ "$WHAT" = run ] && [ "$s" != 6.12 ] && continue
    get_kernel "$s"
done
[ "$WHAT" = run ] || get_kselftest
