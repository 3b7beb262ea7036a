#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - the demonstration: `make run`.
#
# Where this machine's kernel has /dev/gr, everything runs here. Elsewhere a stock 6.12 kernel is
# booted in QEMU without hardware virtualisation, twice: once to measure, once more with a clock
# that counts instructions. Figures from an emulated machine compare with each other, not with
# figures from elsewhere.
#
# KERNELS: where tools/setup.sh unpacked boot/, lib/modules/ and headers. KVER: which one (the
# 6.12 of setup.sh). GR_KO: a module for it that is built already. GR_DEMO_SECONDS (5): length of
# one run of wrk. CC, LIBGR: see build.sh.
set -eu
cd "$(dirname "$0")/../.."
DIR=build/demo
OUT=$DIR/out
SECONDS_EACH=${GR_DEMO_SECONDS:-5}

say()
{
	echo "demo: $*"
}

die()
{
	say "FAILED: $*" >&2
	exit 1
}

find_kernel()
{
	KERNELS=${KERNELS:-${GR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gr}/kernels}
	KVER=${KVER:-$(cat "$KERNELS/6.12" 2>/dev/null || true)}
	if [ -z "$KVER" ] || [ ! -f "$KERNELS/boot/vmlinuz-$KVER" ]; then
		die "no 6.12 kernel in $KERNELS: run tools/setup.sh run"
	fi
	GR_KO=${GR_KO:-$(tests/vm/kmod.sh 6.12)} || die "the module does not build for $KVER"
	export KERNELS KVER GR_KO
}

# boot LIMIT CPUS KERNEL-ARGUMENTS QEMU-ARGUMENTS...: the guest's progress lines, its log in a file
boot()
{
	limit=$1 cpus=$2 args=$3
	shift 3
	timeout "$limit" qemu-system-x86_64 "$@" -cpu max,la57=off -smp "$cpus" -m 1G -nodefaults \
		-display none -no-reboot -serial stdio \
		-kernel "$KERNELS/boot/vmlinuz-$KVER" -initrd "$DIR/initrd.gz" \
		-drive "file=$DIR/disk.img,format=raw,if=virtio" \
		-append "console=ttyS0 quiet panic=-1 oops=panic mitigations=off nopti $args" \
		</dev/null 2>&1 | tee -a "$DIR/console.log" |
		sed -u -n 's/\r$//; /^demo: /p'
}

in_guest()
{
	find_kernel
	say "this kernel has no /dev/gr: stock $KVER in QEMU, two emulated CPUs"
	sh tools/demo/guest.sh "$DIR/disk.img" "$DIR/initrd.gz"
	: > "$DIR/console.log"
	say "booting to measure"
	boot 300 2 "gr.demo=measure GR_DEMO_SECONDS=$SECONDS_EACH" -accel tcg,thread=multi
	say "booting to count instructions"
	boot 200 2 "gr.demo=getppid" -accel tcg -icount shift=0,sleep=off
	rm -rf "$OUT"
	debugfs -R "rdump /out $DIR" "$DIR/disk.img" 2>/dev/null
	echo "in QEMU, 2 emulated CPUs without hardware virtualisation" > "$OUT/where"
	[ ! -s "$OUT/splats" ] || die "the guest's kernel complained: $(head -n 3 "$OUT/splats")"
}

natively()
{
	say "/dev/gr is here: measuring on this kernel"
	mkdir -p "$DIR/data"
	sh tools/demo/measure.sh "$PWD/$DIR/bin" "$PWD/$OUT" "$PWD/$DIR/data"
	"$DIR/bin/getppid" > "$OUT/getppid"
	echo "on this machine" > "$OUT/where"
}

mkdir -p "$DIR"
rm -rf "$OUT"
mkdir -p "$OUT"
rm -f build/run.json
sh tools/demo/build.sh
if [ -c /dev/gr ]; then
	natively
else
	in_guest
fi
[ -f "$OUT/done" ] || die "the measurement did not end; see $DIR/console.log"
[ -s "$OUT/getppid" ] || die "getppid was not measured; see $DIR/console.log"
python3 tools/demo/report.py "$OUT" build/run.json
