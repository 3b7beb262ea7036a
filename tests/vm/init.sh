#!/bin/busybox sh
# SPDX-License-Identifier: MIT
#
# init.sh - process 1 of a test guest.
#
# Loads gr.ko, runs the tests of /t/manifest ("name|seconds|command" lines), each with a time
# limit, and writes what they print to the second serial port between "# begin NAME" and
# "# end NAME STATUS" lines. STATUS is 0, or why not: an exit code, "timeout", or "kernel" when
# the kernel log got a line that must not be there. The last word on that port is the verdict;
# a guest that dies has none, so it fails closed.
/bin/busybox mkdir -p /bin /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ GR_KO=/t/gr.ko
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmp /dev/shm
mount -t tmpfs tmp /tmp
mount -t devpts pts /dev/pts
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
ip link set lo up
echo 7 > /proc/sys/kernel/printk
echo 60 > /proc/sys/kernel/hung_task_timeout_secs 2> /dev/null
OUT=/dev/ttyS1
stty -F $OUT raw -echo 2> /dev/null
SPLAT='BUG:|WARNING:|KASAN|KCSAN|UBSAN|INFO: (task|rcu)|possible .* (deadlock|dependency)|Invalid wait context|unreferenced object|Oops|general protection|soft lockup|blocked for more than'

# kernel log lines since the marker that must not be there
splats()
{
    dmesg | sed "1,/grtest: begin $1\$/d" | grep -E "$SPLAT"
}

run_one()
{
    name=$1 limit=$2
    shift 2
    echo "grtest: begin $name" > /dev/kmsg
    echo "# begin $name" > $OUT
    timeout -s KILL "$limit" sh -c "$*" > /tmp/out 2>&1 < /dev/null
    status=$?
    [ $status = 137 ] && status=timeout
    if splats "$name" > /tmp/splats; then
        status=kernel
        cat /tmp/splats >> /tmp/out
    fi
    cat /tmp/out > $OUT
    echo > $OUT
    echo "# end $name $status" > $OUT
    [ "$status" = 0 ] || FAILED="$FAILED $name"
}

# a fresh module must be refused while in use and leave when nobody is left
remove_module()
{
    for i in 1 2 3 4 5 6 7 8 9 10; do
        rmmod gr 2> /tmp/rmmod && echo "ok 1 rmmod" && return 0
        sleep 0.3
    done
    echo "not ok 1 rmmod: $(cat /tmp/rmmod)"
    return 1
}

FAILED=
if [ -f /t/gr.ko ]; then
    insmod /t/gr.ko && [ -c /dev/gr ] || FAILED=" insmod"
fi
while IFS='|' read -r name limit command; do
    [ -n "$name" ] && run_one "$name" "$limit" "$command"
done < /t/manifest
if [ -f /t/gr.ko ]; then
    echo "grtest: begin rmmod" > /dev/kmsg
    echo "# begin rmmod" > $OUT
    echo "1..1" > $OUT
    remove_module > /tmp/out
    status=$?
    splats rmmod > /tmp/splats && status=kernel
    cat /tmp/out /tmp/splats > $OUT
    echo "# end rmmod $status" > $OUT
    [ "$status" = 0 ] || FAILED="$FAILED rmmod"
fi
if [ -z "$FAILED" ]; then
    echo "verdict: pass" > $OUT
else
    echo "verdict: fail$FAILED" > $OUT
fi
sync
sleep 1
reboot -f
