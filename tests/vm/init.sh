#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# init.sh - process 1 of a test guest: mounts, ports, log levels; then init.c takes its place.
#
# GR_KO is the module, for tests that load it themselves. What a test leaves in GR_ARTEFACTS
# reaches the host (see run.sh).
/bin/busybox mkdir -p /bin /proc /sys /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec < /dev/console > /dev/console 2>&1
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmp /dev/shm
mount -t tmpfs tmp /tmp
mount -t devpts pts /dev/pts
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
ip link set lo up
echo 7 > /proc/sys/kernel/printk            # booting was quiet; from here warnings must be seen
echo on > /proc/sys/kernel/printk_devkmsg   # no rate limit for the marks
echo 60 > /proc/sys/kernel/hung_task_timeout_secs
echo -1 > /proc/sys/kernel/hung_task_warnings
echo 1 > /proc/sys/kernel/softlockup_panic  # a CPU that spins for 20 s ends the guest
stty -F /dev/ttyS1 raw -echo
stty -F /dev/ttyS2 raw -echo 2> /dev/null
export PATH=/bin HOME=/ GR_KO=/t/gr.ko GR_ARTEFACTS=/tmp/artefacts
mkdir -p $GR_ARTEFACTS
# when this ends, or cannot start, panic=-1 ends the guest
exec /judge
