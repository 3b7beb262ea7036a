#!/bin/bash
# SPDX-License-Identifier: MIT
#
# kmod.sh SERIES - build gr.ko for a cached stock kernel; prints the path of the module.
#
# Each kernel has a directory of its own under build/, so they do not clobber each other.
# A warning of the compiler (W=1) is an error here.
set -eu
cd "$(dirname "$0")/../.."
KERNELS=${GR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gr}/kernels
KVER=$(cat "$KERNELS/$1")
DIR=build/kmod-$KVER
mkdir -p "$DIR/kmod" "$DIR/include/uapi"
for f in kmod/* include/uapi/*; do
    cmp -s "$f" "$DIR/$f" || cp "$f" "$DIR/$f"
done
if ! make -C "$KERNELS/usr/src/linux-headers-$KVER" M="$PWD/$DIR/kmod" W=1 modules \
    > "$DIR/log" 2>&1 || grep -q 'warning:' "$DIR/log"; then
    cat "$DIR/log" >&2
    exit 1
fi
echo "$DIR/kmod/gr.ko"
