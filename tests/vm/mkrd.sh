#!/bin/bash
# SPDX-License-Identifier: MIT
#
# mkrd.sh [-k MODDIR -m "MODULE..."] OUT INIT [FILE[:GUEST-PATH]]... - pack an initramfs.
#
# Job: busybox (static) in /bin, INIT as /init, each FILE at GUEST-PATH (default /t/NAME; the mode
# comes along) with the shared libraries that it loads, and the MODULEs of the kernel whose
# lib/modules/VERSION is MODDIR in /m, decompressed, numbered in load order, dependencies first.
# One that is built in is left out. Callers: run.sh; people.
# Promises: OUT appears complete or not at all; a FILE or a MODULE that is missing is an error.
set -eu
export PATH="$PATH:/usr/sbin:/sbin"
MODDIR='' MODULES=''

die()
{
    echo "mkrd: $*" >&2
    exit 1
}

while getopts k:m: o; do
    case $o in
    k) MODDIR=$OPTARG ;;
    m) MODULES=$OPTARG ;;
    *) die "usage: mkrd.sh [-k MODDIR -m MODULES] OUT INIT [FILE[:GUEST-PATH]]..." ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || die "OUT and INIT are missing"
OUT=$1 INIT=$2
shift 2
T=$(mktemp -d)
trap 'rm -rf "$T" "$OUT.new"' EXIT

install_file()
{
    local from=$1 to=$T$2 lib
    [ -f "$from" ] || die "no such file: $from"
    if [ -e "$to" ] && ! cmp -s "$from" "$to"; then
        die "two files want to be $2: $from is the second"
    fi
    mkdir -p "${to%/*}"
    cp -L "$from" "$to"
    { ldd "$from" 2> /dev/null || true; } |
        awk '/not found/ { print "missing:" $1 } $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' |
        while read -r lib; do
            [ "${lib#missing:}" = "$lib" ] || die "$from needs ${lib#missing:}"
            [ -e "$T$lib" ] && continue
            mkdir -p "$T${lib%/*}"
            cp -L "$lib" "$T$lib"
        done
}

# modules in load order, each once
install_modules()
{
    local m n=100 file to
    mkdir "$T/m"
    # shellcheck disable=SC2086
    for m in $MODULES; do
        modprobe -d "${MODDIR%/lib/modules/*}" -S "${MODDIR##*/}" --show-depends "$m" ||
            die "no module $m in $MODDIR"
    done > "$T/order"
    awk '$1 == "insmod" && !seen[$2]++ { print $2 }' "$T/order" > "$T/once"
    while read -r file; do
        n=$((n + 1))
        to=$T/m/$n-$(basename "${file%.ko*}").ko
        case $file in
        *.xz) xz -dc "$file" > "$to" ;;
        *.zst) zstd -qdc "$file" > "$to" ;;
        *) cp "$file" "$to" ;;
        esac
    done < "$T/once"
    rm "$T/order" "$T/once"
    rmdir --ignore-fail-on-non-empty "$T/m"
}

mkdir -p "$T/bin" "$T/t" "$T/etc"
BUSYBOX=$(command -v busybox) || die "busybox is missing: run tools/setup.sh"
if ldd "$BUSYBOX" 2> /dev/null | grep -q '=>'; then
    die "busybox must be static: busybox-static"
fi
cp "$BUSYBOX" "$T/bin/busybox"
install_file "$INIT" /init
chmod 755 "$T/init"
echo "127.0.0.1 localhost" > "$T/etc/hosts"
echo "hosts: files" > "$T/etc/nsswitch.conf"
echo "root:x:0:0:root:/:/bin/sh" > "$T/etc/passwd"
for f in "$@"; do
    case $f in
    *:/*) install_file "${f%%:/*}" "/${f#*:/}" ;;
    *) install_file "$f" "/t/$(basename "$f")" ;;
    esac
done
[ -z "$MODULES" ] || install_modules
(cd "$T" && find . | cpio -o -H newc --quiet -R 0:0 | gzip -1) > "$OUT.new"
mv "$OUT.new" "$OUT"
