#!/bin/bash
# SPDX-License-Identifier: MIT
#
# setup.sh [run|test|all|bench|models] - everything `make run` and `make check` need, installed once.
# "test" builds a debug kernel too (KASAN; about 10 minutes, once); "all" two more, for
# `make check-all`; "bench" what `make bench` compares with, and no kernels; "models" what
# `make models` needs.
#
# Packages come from apt. Kernels are only unpacked, into a cache outside the tree
# (GR_CACHE, default ~/.cache/gr): nothing appears in /boot, the boot loader is not touched.
#
#   CACHE/kernels/{boot,lib/modules}        the stock kernels, as QEMU boots them
#   CACHE/kernels/SERIES                    one line: the version of 6.12, of 6.1, of newest
#   CACHE/kernels/usr/src/linux-headers-V   headers that `make -C ... M=...` accepts
#   CACHE/kernels/toolchain-V               newest only: the compiler and the like it asks for
#   CACHE/kernel/SERIES/env                 KVER= KDIR= KIMAGE= KMODDIR= KVMLINUX=, for the shell
#   CACHE/kernel/SERIES/vmlinux             the image unpacked: boots seconds faster
#   CACHE/kernel/newest/missing             why there is no newest kernel, a sentence
#   CACHE/kernel/6.12-{kasan,rt,kcsan}/     debug kernels: tests/vm/kernel/build.sh
#   CACHE/gdb/usr/bin/gdb                   the debugger of the guests, without Python
#   CACHE/nginx/usr/sbin/nginx              bench only: a peer, without its service
#   CACHE/go/{current,version}              bench only: the newest Go, GOROOT and its version
#   CACHE/kselftest/                        the kernel's own test harness headers and scripts
#
# newest is what Debian unstable has, from the host that the system's own sources name; apt works
# in CACHE/unstable for it, the system's lists stay as they are. When the archive is out of reach
# newest stays as it is in the cache, or stays away: no reason to fail.
#
# Done already: under a second. A step writes beside its place and renames at the end, so an
# interrupted run leaves nothing half done.
set -eu

cd "$(dirname "$0")/.."
WHAT=${1:-test}
case $WHAT in
run | test | all | bench | models) ;;
*) echo "usage: setup.sh [run|test|all|bench|models]" >&2; exit 1 ;;
esac
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
libssl-dev       OpenSSL, for the example of HTTPS; signing of modules
golang-go        the yardstick: Go's net/http
golang-github-mattn-go-sqlite3-dev  SQLite for it
wrk              HTTP load
curl             HTTP by hand
qemu-system-x86  boots the stock kernels
busybox-static   user space of the guests
cpio             packs it
kmod             module dependencies
e2fsprogs        disks of the guests
xz-utils         kernel modules come compressed
zstd             so do others
libelf1          tools of the kernel's build
libssl3          so does this
pahole           type information of modules: part of their build
python3          reports
ca-certificates  apt over https
"
TEST_PACKAGES="
clang            the second compiler
lld              links what it optimises as a whole
valgrind         knows goroutine stacks by its header; a test runs under it
sparse           checks the module
coccinelle       does so with the kernel's own semantic patches
ocaml            some of these are written in it
shellcheck       checks the scripts
codespell        finds typing errors
patchelf         ties the newest kernel's compiler to the C library it came with
linux-source-6.12  kselftest_harness.h, checkpatch.pl, semantic patches; debug kernels
perl             runs checkpatch.pl
spin             walks the models of the protocol
redis-tools      redis-cli and redis-benchmark: clients of examples/kv
strace           traces programs in the guests
trace-cmd        records the module's tracepoints there
bpftrace         computes with them
mandoc           checks the pages of the manual
openssl          its command: certificates, and a foreign peer for the example of HTTPS
libdebuginfod1   library of gdb-minimal, which is unpacked: it would drive out an installed gdb
libexpat1        the same
libipt2          the same
libreadline8     the same
libxxhash0       the same
bc               time constants of a kernel build
flex             its configuration language
bison            the same
libelf-dev       objtool
"
MODELS_PACKAGES="
gcc              compiles the library
make             runs it
libc6-dev        C library
liburing-dev     io_uring, of libgr
gnuplot-nox      charts of tools/grmodels
"
BENCH_PACKAGES="
gcc              compiles the library
make             runs it
libc6-dev        C library
liburing-dev     io_uring, of libgr
python3          runs the benchmarks, prints the table
golang-go        Go, where the newest one cannot be had
ca-certificates  apt over https
g++              compiles Boost.Fiber's twin
libboost-fiber-dev  a peer: fibers for C++
libboost-context-dev  its context switch
rustc            compiles Tokio's twin
cargo            builds it
librust-tokio-dev  a peer: tasks for Rust
libuv1-dev       a peer: an event loop for C
libhttp-parser-dev  HTTP parsing, of examples/httpd
libsqlite3-dev   SQLite, the same
libssl-dev       OpenSSL, of examples/tls, which is built with the others
wrk              HTTP load
redis-tools      redis-benchmark; its redis-check-rdb is also redis-server, a peer
libpcre2-8-0     library of nginx, a peer, which is unpacked
libssl3          the same
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
    if [ "$(id -u)" != 0 ] && ! command -v sudo > /dev/null; then
        say "not root and no sudo: going on with the package lists as they are"
        return
    fi
    say "asking the archive what is new"
    as_root apt-get update -q > /dev/null || say "apt-get update failed; going on with old lists"
}

install_packages()
{
    local p have
    MISSING=
    have=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2> /dev/null || true)
    for p in "$@"; do
        grep -qx "$p installed" <<< "$have" || MISSING="$MISSING $p"
    done
    [ -n "$MISSING" ] || return 0
    apt_update_once
    say "installing:$MISSING"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        $MISSING > /dev/null || die "could not install:$MISSING"
}

# latest KVER of a series, by the archive's meta packages
latest()
{
    apt-cache depends "linux-image-$1-amd64" linux-image-amd64 2> /dev/null |
        sed -n 's/.*Depends: linux-image-\([0-9].*-amd64\)$/\1/p' |
        awk -v s="$1." 'index($0, s) == 1 { print; exit }'
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
    {
        # shellcheck disable=SC2016
        [ ! -d "$root/toolchain-$2" ] || printf 'export PATH := %s:$(PATH)\n' "$root/toolchain-$2/usr/bin"
        echo "KBUILD_OUTPUT = $h"
        echo "include $common/Makefile"
    } > "$h/Makefile"
    ln -sfn "$root/usr/lib/$kbuild/scripts" "$h/scripts"
    ln -sfn "$root/usr/lib/$kbuild/tools" "$h/tools"
    ln -sfn "$root/usr/lib/$kbuild/scripts" "$common/scripts"
    ln -sfn "$root/usr/lib/$kbuild/tools" "$common/tools"
}

get_kernel()
{
    local series=$1 root=$CACHE/kernels v old tmp
    old=$(cat "$root/$series" 2> /dev/null || true)
    [ -f "$root/boot/vmlinuz-$old" ] || old=
    # look for a newer one at most once a day
    [ -n "$old" ] && [ -n "$(find "$root/$series" -mtime -1)" ] && return
    apt_update_once
    v=$(latest "$series")
    if [ -z "$v" ] || [ "$v" = "$old" ]; then
        [ -n "$old" ] || die "the archive has no linux-image of series $series: use Debian 12"
        [ -n "$v" ] || say "the archive names no kernel $series; using $old from the cache"
        touch "$root/$series"
        return
    fi
    say "unpacking stock kernel $v into $root"
    mkdir -p "$root"
    rm -rf "$root"/.new.*
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

# apt with a state of its own, which knows unstable and not one installed package: what a package
# needs comes along, down to the C library.
unstable()
{
    APT_CONFIG=$CACHE/unstable/apt.conf "$@"
}

# Fetch the lists of unstable.
update_unstable()
{
    local dir=$CACHE/unstable site
    # shellcheck disable=SC2016
    site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' \
        'Label: Debian' 'Component: main' | head -n 1)
    [ -n "$site" ] || return 1
    mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial"
    : > "$dir/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site sid main" \
        > "$dir/sources.list"
    cat > "$dir/apt.conf" << EOF
Dir::State "$dir/state";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Etc::SourceList "$dir/sources.list";
Dir::Etc::SourceParts "-";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
EOF
    unstable apt-get update -qq > /dev/null 2>&1
}

# Unpack the newest kernel, its headers and all that building a module for it takes into $2.
unpack_newest()
{
    local v=$1 dir=$2 debs=$CACHE/unstable/cache/archives deb parts status=0
    parts=$(unstable apt-cache depends "linux-image-$v" |
        sed -n "s/.*Depends: \(linux-\(binary\|modules\)-$v\)$/\1/p")
    rm -f "$debs"/*.deb
    # shellcheck disable=SC2086
    unstable apt-get install -d -qq -y "linux-headers-$v" > /dev/null 2>&1 &&
        (cd "$debs" && unstable apt-get download -qq "linux-image-$v" $parts sparse) \
            > /dev/null 2>&1 || return 1
    for deb in "$debs"/*.deb; do
        dpkg-deb -x "$deb" "$dir" || { status=1; break; }
    done
    rm -f "$debs"/*.deb
    return $status
}

# Bring what unpack_newest left in $2 into the order of the older kernels' packages.
sort_newest()
{
    local v=$1 dir=$2 tool=$2/toolchain-$1/usr f
    mkdir -p "$dir/lib" "$dir/boot" "$dir/keep" "$tool"
    [ ! -d "$dir/usr/lib/modules" ] || mv "$dir/usr/lib/modules" "$dir/lib/"
    for f in vmlinuz System.map config; do
        [ ! -f "$dir/lib/modules/$v/$f" ] || mv "$dir/lib/modules/$v/$f" "$dir/boot/$f-$v"
    done
    [ -f "$dir/boot/vmlinuz-$v" ] && mv "$dir"/usr/lib/linux-kbuild-* "$dir/keep/" &&
        mv "$dir/usr/bin" "$dir/usr/lib" "$dir/usr/lib64" "$tool/" || return 1
    [ ! -d "$dir/usr/libexec" ] || mv "$dir/usr/libexec" "$tool/"
    mkdir "$dir/usr/lib"
    mv "$dir/keep/"* "$dir/usr/lib/"
    find "$tool/bin" ! -type d ! -name 'x86_64-linux-gnu-*' ! -name pahole ! -name sparse -delete
    (cd "$dir" && rm -rf keep etc var usr/share usr/sbin)
}

# The programs below the directories $2... will run with the C library in $1.
own_libc()
{
    local lib=$1/usr/lib/x86_64-linux-gnu f
    shift
    find "$@" -type f -perm -100 ! -name '*.so*' | while read -r f; do
        patchelf --print-interpreter "$f" > /dev/null 2>&1 || continue
        patchelf --set-interpreter "$lib/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$lib" "$f" ||
            exit 1
    done
}

# Nothing newer to be had, for the reason $1: the cached one stays in use; if there is none the
# suite will say why.
no_newest()
{
    mkdir -p "$CACHE/kernel/newest"
    if [ -n "$2" ]; then
        say "$1; using kernel $2 from the cache"
    else
        say "$1; going on without the newest kernel"
        rm -f "$CACHE/kernel/newest/env" "$CACHE/kernels/newest"
        echo "$1" > "$CACHE/kernel/newest/missing"
    fi
}

# version $1, which nothing names any more
drop_newest()
{
    local root=$CACHE/kernels
    [ -n "$1" ] || return 0
    rm -rf "$root/toolchain-$1" "$root/lib/modules/$1" "$root/boot/"*"-$1" \
        "$root/usr/src/linux-headers-$1" "$root/usr/src/linux-headers-${1%-amd64}-common" \
        "$root/usr/lib/linux-kbuild-${1%-amd64}"
}

get_newest()
{
    local root=$CACHE/kernels v old tmp
    old=$(cat "$root/newest" 2> /dev/null || true)
    [ -f "$root/boot/vmlinuz-$old" ] || old=
    [ -n "$old" ] && [ -n "$(find "$root/newest" -mtime -1)" ] && return
    update_unstable || { no_newest "the archive's unstable suite is out of reach" "$old"; return; }
    v=$(unstable apt-cache depends linux-image-amd64 |
        sed -n 's/.*Depends: linux-image-\([0-9].*-amd64\)$/\1/p')
    [ -n "$v" ] || { no_newest "the archive's unstable suite names no kernel" "$old"; return; }
    if [ "$v" = "$old" ]; then
        touch "$root/newest"
        return
    fi
    say "unpacking the newest kernel, $v, and its compiler into $root"
    tmp=$(mktemp -d "$root/.new.XXXXXX")
    if unpack_newest "$v" "$tmp" && sort_newest "$v" "$tmp" &&
        own_libc "$root/toolchain-$v" "$tmp/toolchain-$v" "$tmp/usr/lib"; then
        drop_newest "$old"
        cp -a "$tmp/." "$root/"
        fix_headers "$root" "$v"
        echo "$v" > "$root/.newest" && mv "$root/.newest" "$root/newest"
    else
        no_newest "kernel $v of unstable could not be fetched and unpacked" "$old"
    fi
    rm -rf "$tmp"
}

# The newest Go, for the benchmarks: they are to be won against that one. What is there stays in
# use, and else the distribution's, when the archive is out of reach.
get_go()
{
    local root=$CACHE/go v old series tmp
    old=$(cat "$root/version" 2> /dev/null || true)
    [ -n "$old" ] && [ -n "$(find "$root/version" -mtime -1)" ] && return
    update_unstable || { say "the archive's unstable suite is out of reach: ${old:-the distribution}'s Go"; return 0; }
    series=$(unstable apt-cache depends golang-go | sed -n 's/.*Depends: golang-\([0-9.]*\)-go$/\1/p')
    v=$(unstable apt-cache show "golang-$series-go" 2> /dev/null | sed -n '/^Version: /{s///p;q}')
    if [ -z "$v" ] || [ "$v" = "$old" ]; then
        [ -n "$v" ] || say "the archive's unstable suite names no Go"
        [ -z "$old" ] || touch "$root/version"
        return 0
    fi
    say "unpacking Go $v into $root"
    tmp=$(mktemp -d "$CACHE/.go.XXXXXX")
    if (cd "$tmp" && unstable apt-get download -qq "golang-$series-go" "golang-$series-src") \
        > /dev/null 2>&1 && unpack_all "$tmp"; then
        ln -s "usr/lib/go-$series" "$tmp/current"
        echo "$v" > "$tmp/version"
        chmod 755 "$tmp"
        rm -rf "$root"
        mv "$tmp" "$root"
    else
        say "Go $v of unstable could not be fetched and unpacked"
        rm -rf "$tmp"
    fi
}

# every package in directory $1, there
unpack_all()
{
    local deb
    for deb in "$1"/*.deb; do
        dpkg-deb -x "$deb" "$1" || return 1
        rm "$deb"
    done
}

# the ELF image inside a bzImage: try each place that looks like the start of compressed data
extract_vmlinux()
{
    python3 - "$1" "$2" << 'EOF'
import subprocess, sys
data = open(sys.argv[1], 'rb').read()
for magic, tool in ((b'\x28\xb5\x2f\xfd', 'zstd'), (b'\xfd7zXZ\0', 'xz'), (b'\x1f\x8b\x08', 'gzip')):
    at = data.find(magic)
    while at >= 0:
        elf = subprocess.run([tool, '-dcq'], input=data[at:], capture_output=True).stdout
        if elf.startswith(b'\x7fELF'):
            open(sys.argv[2], 'wb').write(elf)
            sys.exit(0)
        at = data.find(magic, at + 1)
sys.exit(1)
EOF
}

# What the test runner reads about a series; env comes last: with it everything is there.
write_env()
{
    local root=$CACHE/kernels d=$CACHE/kernel/$1 v fast
    v=$(cat "$root/$1")
    [ -f "$d/env" ] && grep -qx "KVER=$v" "$d/env" && return
    mkdir -p "$d"
    rm -f "$d/env"
    PATH=$PATH:/usr/sbin:/sbin depmod -b "$root" "$v"
    fast=$d/vmlinux
    if extract_vmlinux "$root/boot/vmlinuz-$v" "$d/.vmlinux"; then
        mv "$d/.vmlinux" "$fast"
    else
        say "no ELF image found in kernel $v: it boots from its bzImage, slower"
        fast=$root/boot/vmlinuz-$v
    fi
    {
        echo "KVER=$v"
        printf '%s=%q\n' KDIR "$root/usr/src/linux-headers-$v" KIMAGE "$root/boot/vmlinuz-$v" \
            KMODDIR "$root/lib/modules/$v" KVMLINUX "$fast"
    } > "$d/.env"
    mv "$d/.env" "$d/env"
}

get_kselftest()
{
    local src=tools/testing/selftests top=linux-source-6.12 tmp
    [ -d "$CACHE/kselftest/coccinelle" ] && return
    say "taking the kernel's test harness and checks out of $top"
    tmp=$(mktemp -d "$CACHE/.ksft.XXXXXX")
    tar -xJf "/usr/src/$top.tar.xz" -C "$tmp" --strip-components=1 \
        "$top/$src/kselftest.h" "$top/$src/kselftest_harness.h" \
        "$top/scripts/checkpatch.pl" "$top/scripts/spelling.txt" \
        "$top/scripts/const_structs.checkpatch" "$top/scripts/coccinelle" || die "could not unpack $top"
    mv "$tmp/$src/"*.h "$tmp/scripts/"* "$tmp/"
    rm -rf "$tmp/tools" "$tmp/scripts" "$CACHE/kselftest"
    chmod 755 "$tmp"
    mv "$tmp" "$CACHE/kselftest"
}

# Unpack package $2 into $1 of the cache, once: its program $3 is not to be installed.
get_tool()
{
    local tmp
    [ -x "$CACHE/$1/$3" ] && return
    say "unpacking $2 into $CACHE/$1"
    tmp=$(mktemp -d "$CACHE/.$1.XXXXXX")
    if ! (cd "$tmp" && apt-get download -q "$2" > /dev/null 2>&1); then
        apt_update_once
        (cd "$tmp" && apt-get download -q "$2" > /dev/null 2>&1) || { rm -rf "$tmp"; return 1; }
    fi
    unpack_all "$tmp" || { rm -rf "$tmp"; return 1; }
    rm -rf "${CACHE:?}/$1"
    chmod 755 "$tmp"
    mv "$tmp" "$CACHE/$1"
}

if ! command -v apt-get > /dev/null; then
    die "no apt here: install gcc make liburing sqlite3 http-parser openssl go wrk curl qemu-system-x86_64" \
        "busybox cpio kmod e2fsprogs xz zstd python3 and unpack a 6.12 kernel with headers, or load gr.ko"
fi
mkdir -p "$CACHE"
exec 9> "$CACHE/.lock"
flock 9
if [ "$WHAT" = models ]; then
    # shellcheck disable=SC2046
    install_packages $(names "$MODELS_PACKAGES")
    exit 0
fi
if [ "$WHAT" = bench ]; then
    # shellcheck disable=SC2046
    install_packages $(names "$BENCH_PACKAGES")
    get_go
    # installed it would be a service
    get_tool nginx nginx usr/sbin/nginx || say "nginx could not be fetched and unpacked"
    exit 0
fi
PACKAGES=$(names "$RUN_PACKAGES")
[ "$WHAT" = run ] || PACKAGES="$PACKAGES $(names "$TEST_PACKAGES$MODELS_PACKAGES")"
# shellcheck disable=SC2086
install_packages $PACKAGES
for s in $SERIES; do
    [ "$WHAT" = run ] && [ "$s" != 6.12 ] && continue
    get_kernel "$s"
    write_env "$s"
done
[ "$WHAT" != run ] || exit 0
get_newest
if [ -f "$CACHE/kernels/newest" ]; then
    rm -f "$CACHE/kernel/newest/missing"
    write_env newest
fi
get_kselftest
get_tool gdb gdb-minimal usr/bin/gdb || die "could not download and unpack gdb-minimal"
exec 9>&-     # the builds have a lock of their own
case $WHAT in
test) tests/vm/kernel/build.sh kasan ;;
all) tests/vm/kernel/build.sh kasan rt kcsan ;;
esac
