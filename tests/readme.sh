#!/bin/bash
# SPDX-License-Identifier: MIT
#
# readme.sh - what the README promises to a C programmer: `make install` into an empty place,
# the program under "Taste" compiled with pkg-config against it, shared and static, and run.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/tap.sh

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md > "$T/taste.c"
export PKG_CONFIG_PATH=$T/root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$T/root
check "make install" make -s install DESTDIR="$T/root" PREFIX=/usr
check "the README's program compiles" \
    sh -c "cc -Wall -Wextra -Werror -Wno-unused-parameter $T/taste.c \$(pkg-config --cflags --libs libgr) -o $T/taste"
check "... runs" env LD_LIBRARY_PATH="$T/root/usr/lib" GR_BACKEND=futex timeout 60 "$T/taste"
check "... and as a static archive" \
    sh -c "cc $T/taste.c -I$T/root/usr/include $T/root/usr/lib/libgr.a -luring -pthread -o $T/static && \
           GR_BACKEND=futex timeout 60 $T/static"
check "only gr_* is exported" \
    sh -c "! nm -D --defined-only $T/root/usr/lib/libgr.so | grep -E ' [TDBRV] ' | grep -qv ' gr_'"
check "the archive has no other global names" \
    sh -c "! nm -g --defined-only $T/root/usr/lib/libgr.a | grep -E ' [TDBRV] ' | grep -qv ' gr_'"
tap_done
