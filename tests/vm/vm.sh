#!/bin/bash
# SPDX-License-Identifier: MIT
#
# vm.sh [-s CPUS] [-m MEM] [-t SECONDS] [-a CMDLINE] [-d DISK] [-i] [-1] KERNEL INITRD PREFIX
#       - boot a kernel in QEMU without hardware virtualisation; the verdict is the exit code.
#
# CPUS: a number, or what else QEMU's -smp takes. KERNEL: a bzImage, or the vmlinux inside it: saves the guest 1.3 (6.12) to 2.9 s (6.1) of
# decompression. -d: a raw image, as /dev/vda. -i: a clock that counts instructions, one CPU at a
# time: figures repeat within 0.2%. Time limits inside the guest then count its own clock.
# -1: one CPU at a time, by the ordinary clock: for guests that patch their kernel's text all the
# time, which QEMU before 8.1 gets wrong with a thread per CPU (docs/design/0001-notifier-key.md).
#   PREFIX.log  console (ttyS0)      PREFIX.tap  results, verdict (ttyS1)
#   PREFIX.art  artefacts (ttyS2)    PREFIX.qemu QEMU's own words
# Exit: 0 the last line on ttyS1 is "verdict: pass", 1 it is "verdict: fail...", 2 there is none:
# the guest died, 124 it did not end in SECONDS (600). Never reads stdin. VERBOSE=1: console on
# the screen. QEMU_EXTRA: more arguments. Callers: run.sh; people.
#
# Measured with 2 CPUs, from exec to exit, on 2 busy cores: 6.12 bzImage 5.8 s, vmlinux 4.5 s,
# 6.1 7.6 s and 4.7 s; with the command line below 4.0 s both. /init runs 2.5 to 3.2 s after the
# start. qemu64 and max, pc and q35 are alike. tsc=reliable keeps 6.1 from falling back to hpet.
set -eu
SMP=2 MEM=1G SECONDS_MAX=600 ARGS='' DISK='' ACCEL=tcg,thread=multi ICOUNT=''
CMDLINE="console=ttyS0 quiet panic=-1 oops=panic mitigations=off nopti tsc=reliable"
CMDLINE="$CMDLINE no_timer_check cryptomgr.notests audit=0 apparmor=0 log_buf_len=4M"

usage()
{
    echo "usage: vm.sh [-s CPUS] [-m MEM] [-t SECONDS] [-a CMDLINE] [-d DISK] [-i] [-1]" \
        "KERNEL INITRD PREFIX" >&2
    exit 2
}

while getopts s:m:t:a:d:i1 o; do
    case $o in
    s) SMP=$OPTARG ;;
    m) MEM=$OPTARG ;;
    t) SECONDS_MAX=$OPTARG ;;
    a) ARGS=$OPTARG ;;
    d) DISK=$OPTARG ;;
    i) ACCEL=tcg ICOUNT="-icount shift=0,sleep=off" ;;
    1) ACCEL=tcg,thread=single ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# = 3 ] || usage
KERNEL=$1 INITRD=$2 PREFIX=$3

PIDS=''
trap 'kill $PIDS 2> /dev/null || true' EXIT
trap 'exit 130' INT TERM HUP
# emptied, not removed: a caller may be following them already
for f in log tap art qemu; do
    : > "$PREFIX.$f"
done
if [ -n "${VERBOSE:-}" ]; then
    tail -f "$PREFIX.log" &
    PIDS=$!
fi
status=0
# shellcheck disable=SC2086
timeout --foreground -k 5 "$SECONDS_MAX" qemu-system-x86_64 -accel $ACCEL $ICOUNT \
    -cpu max,la57=off -smp "$SMP" -m "$MEM" -nodefaults -display none -no-reboot \
    -serial "file:$PREFIX.log" -serial "file:$PREFIX.tap" -serial "file:$PREFIX.art" \
    ${DISK:+-drive "file=$DISK,format=raw,if=virtio"} ${QEMU_EXTRA:-} \
    -kernel "$KERNEL" -initrd "$INITRD" -append "$CMDLINE $ARGS" \
    < /dev/null > "$PREFIX.qemu" 2>&1 &
PIDS="$PIDS $!"
wait $! || status=$?
if [ $status = 124 ]; then
    echo "vm: no end after $SECONDS_MAX s" >&2
    exit 124
elif [ $status != 0 ]; then
    cat "$PREFIX.qemu" >&2
    exit 2
fi
case $(tr -d '\r' < "$PREFIX.tap" | tail -n 1) in
"verdict: pass") exit 0 ;;
"verdict: fail"*) exit 1 ;;
esac
exit 2
