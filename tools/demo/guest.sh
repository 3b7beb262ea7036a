#!/bin/sh
# SPDX-License-Identifier: MIT
#
# guest.sh DISK INITRD - what the demonstration's guest is made of.
#
# INITRD: busybox, the kernel modules that the disk needs, gr.ko, an init that hands over to the
# disk. DISK: an ext4 image with the programs, their libraries and a database, on which fsync()
# waits for a virtio disk. Results come back on the same image, under /out.
#
# KERNELS: a directory with boot/ and lib/modules/; KVER: which one; GR_KO: the module for it.
set -eu
cd "$(dirname "$0")/../.."
DISK=$1 INITRD=$2
BIN=build/demo/bin
MODULES=$KERNELS/lib/modules/$KVER
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

# a module and before it what it depends on; nothing for one that is built in
with_deps()
{
	f=$(find "$MODULES/kernel" -name "$(echo "$1" | sed 's/[-_]/[-_]/g').ko*" | head -n 1)
	[ -n "$f" ] || return 0
	for d in $(modinfo -F depends "$f" | tr ',' ' '); do
		with_deps "$d"
	done
	find "$MODULES/kernel" -name "$(echo "$1" | sed 's/[-_]/[-_]/g').ko*" | head -n 1
}

initrd()
{
	r=$T/initrd
	mkdir -p "$r/bin" "$r/m" "$r/proc" "$r/sys" "$r/dev" "$r/disk"
	cp "$(command -v busybox)" "$r/bin/busybox"
	n=10
	for f in $(for m in virtio_pci virtio_blk crc32c_generic ext4; do
			with_deps $m; done | awk '!seen[$0]++'); do
		n=$((n + 1))
		case $f in
		*.xz) xz -dc "$f" > "$r/m/$n.ko" ;;
		*.zst) zstd -qdc "$f" > "$r/m/$n.ko" ;;
		*) cp "$f" "$r/m/$n.ko" ;;
		esac
	done
	cp "$GR_KO" "$r/gr.ko"
	cp tools/demo/init.sh "$r/init"
	chmod +x "$r/init"
	(cd "$r" && find . | cpio -o -H newc --quiet | gzip -1) > "$INITRD"
}

# a program and the libraries that it loads
install_program()
{
	mkdir -p "$1$(dirname "$3")"
	cp "$2" "$1$3"
	ldd "$2" 2>/dev/null | awk '$3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' |
	while read -r lib; do
		[ -e "$1$lib" ] && continue
		mkdir -p "$1$(dirname "$lib")"
		cp -L "$lib" "$1$lib"
	done
}

disk()
{
	r=$T/disk
	mkdir -p "$r/bin" "$r/demo" "$r/etc" "$r/proc" "$r/sys" "$r/dev" "$r/tmp" "$r/out" "$r/data"
	cp "$(command -v busybox)" "$r/bin/busybox"
	for a in sh nproc timeout sleep grep tail head rm mkdir cat kill uname mount; do
		ln -s busybox "$r/bin/$a"
	done
	for p in wrk curl taskset; do
		install_program "$r" "$(command -v $p)" "/usr/bin/$p"
	done
	for p in "$BIN"/*; do
		install_program "$r" "$p" "/demo/$(basename "$p")"
	done
	echo "127.0.0.1 localhost" > "$r/etc/hosts"
	echo "hosts: files" > "$r/etc/nsswitch.conf"
	echo "root:x:0:0:root:/:/bin/sh" > "$r/etc/passwd"
	truncate -s 256M "$DISK"
	mkfs.ext4 -q -F -d "$r" "$DISK"
}

rm -f "$DISK" "$INITRD"
initrd
disk
