#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# init.sh - process 1 of the demonstration's guest: load, measure, power off.
#
# gr.demo=measure runs measure.sh, gr.demo=getppid counts instructions. Whatever fails, the guest
# ends: the host looks for the result files, and takes their absence as a failure.
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/sbin:/usr/sbin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
for m in /m/*.ko; do
	insmod "$m"
done
insmod /gr.ko || echo "demo: FAILED: insmod gr.ko"
ip link set lo up
mount -t ext4 /dev/vda /disk || echo "demo: FAILED: no disk"
for d in proc sys dev; do
	mount --bind /$d /disk/$d
done
mount --bind /sys/kernel/debug /disk/sys/kernel/debug
mount --bind /sys/kernel/tracing /disk/sys/kernel/tracing
mkdir -p /disk/out

case " $(cat /proc/cmdline) " in
*" gr.demo=getppid "*)
	chroot /disk /demo/getppid --insns > /disk/out/getppid || echo "demo: FAILED: getppid"
	;;
*)
	# shellcheck disable=SC2013
	for v in $(cat /proc/cmdline); do
		case $v in GR_DEMO_*) export "${v?}" ;; esac
	done
	chroot /disk /bin/sh /demo/measure.sh /demo /out /data
	;;
esac
dmesg | grep -E 'BUG|WARNING|Oops|Call Trace|hung task' > /disk/out/splats
sync
umount /disk/sys/kernel/debug /disk/sys/kernel/tracing /disk/proc /disk/sys /disk/dev
umount /disk || mount -o remount,ro /disk
reboot -f
