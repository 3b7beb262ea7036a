#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh SERIES NAME MANIFEST FILE... - run tests inside a stock kernel, in QEMU.
#
# Job: build gr.ko for the kernel, pack busybox, init.sh, MANIFEST and the FILEs (programs; the
# libraries they load come along) into an initramfs, boot, and leave what the tests printed in
# build/vm/NAME.tap for tests/tap.py. Prints one line per test as it goes.
#
# Exit: 0 only if the guest wrote "verdict: pass".  Callers: the Makefile; people.
# Environment: GR_CACHE (see tools/setup.sh), SMP (2), MEM (1G), VM_SECONDS (1200),
# QEMU_EXTRA, GUEST_ARGS (kernel command line), VERBOSE=1 shows the guest's console.
set -eu
cd "$(dirname "$0")/../.."
SERIES=$1 NAME=$2 MANIFEST=$3
shift 3
KERNELS=${GR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gr}/kernels
KVER=$(cat "$KERNELS/$SERIES")
OUT=build/vm
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
mkdir -p $OUT
rm -f "$OUT/$NAME.tap" "$OUT/$NAME.log"

KO=$(tests/vm/kmod.sh "$SERIES")

# a program, and the libraries that it loads
install_program()
{
    local lib
    cp "$1" "$T/t/"
    for lib in $(ldd "$1" 2> /dev/null | awk '$3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }'); do
        [ -e "$T$lib" ] && continue
        mkdir -p "$T$(dirname "$lib")"
        cp -L "$lib" "$T$lib"
    done
}

mkdir -p "$T/bin" "$T/t" "$T/etc"
cp "$(command -v busybox)" "$T/bin/busybox"
cp tests/vm/init.sh "$T/init"
cp "$MANIFEST" "$T/t/manifest"
cp "$KO" "$T/t/gr.ko"
echo "127.0.0.1 localhost" > "$T/etc/hosts"
echo "hosts: files" > "$T/etc/nsswitch.conf"
echo "root:x:0:0:root:/:/bin/sh" > "$T/etc/passwd"
for f in "$@"; do
    install_program "$f"
done
chmod +x "$T/init"
(cd "$T" && find . | cpio -o -H newc --quiet -R 0:0 | gzip -1) > "$OUT/$NAME.rd"

# one line per finished test while the guest runs
follow()
{
    exec tail -n +1 -F "$OUT/$NAME.tap" 2> /dev/null > >(sed -u -n \
        "s/\r//; s/^# end \([^ ]*\) 0$/vm $SERIES: \1 ok/p; t; s/^# end \(.*\)/vm $SERIES: \1 FAILED/p")
}

echo "vm $SERIES: booting $KVER for $NAME"
follow &
FOLLOW=$!
# shellcheck disable=SC2086
timeout "${VM_SECONDS:-1200}" qemu-system-x86_64 ${QEMU_ACCEL:--accel tcg,thread=multi} \
    -cpu max,la57=off -smp "${SMP:-2}" -m "${MEM:-1G}" -display none -no-reboot -nodefaults \
    -serial "file:$OUT/$NAME.log" -serial "file:$OUT/$NAME.tap" ${QEMU_EXTRA:-} \
    -kernel "$KERNELS/boot/vmlinuz-$KVER" -initrd "$OUT/$NAME.rd" \
    -append "console=ttyS0 quiet panic=-1 oops=panic mitigations=off nopti ${GUEST_ARGS:-}" \
    < /dev/null > "$OUT/$NAME.qemu" 2>&1 || true
sleep 0.3
kill $FOLLOW && wait $FOLLOW 2> /dev/null || true
rm -f "$OUT/$NAME.rd"
[ -z "${VERBOSE:-}" ] || cat "$OUT/$NAME.log"
VERDICT=$(tr -d '\r' < "$OUT/$NAME.tap" | sed -n 's/^verdict: //p' | tail -n 1)
echo "vm $SERIES: $NAME: ${VERDICT:-no verdict, the guest died: see $OUT/$NAME.log}"
[ "$VERDICT" = pass ]
