#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint.sh - what a machine can say about the source, as TAP in build/lint.tap: the module with
# sparse and checkpatch, the library without a warning from gcc and from clang.
set -u
cd "$(dirname "$0")/.." || exit 1
CACHE=${GR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gr}
OUT=build/lint.tap
N=0
mkdir -p build
printf '# begin lint\n' > $OUT

# check NAME COMMAND...: passes if it succeeds and prints nothing
check()
{
    local name=$1 text
    shift
    N=$((N + 1))
    if text=$("$@" 2>&1) && [ -z "$text" ]; then
        echo "ok $N - $name" | tee -a $OUT
    else
        echo "not ok $N - $name" | tee -a $OUT
        head -n 20 <<< "$text" | sed 's/^/# /' | tee -a $OUT
    fi
}

sparse_module()
{
    local kver dir
    kver=$(cat "$CACHE/kernels/$1")
    dir=$PWD/build/sparse-$kver
    mkdir -p "$dir/include"
    cp -r kmod "$dir/" && cp -r include/uapi "$dir/include/" || return 1
    make -C "$CACHE/kernels/usr/src/linux-headers-$kver" M="$dir/kmod" C=2 CF=-Wsparse-error \
        W=1 modules 2>&1 | grep -E 'warning:|error:|\*\*\*'
    return 0
}

checkpatch()
{
    perl "$CACHE/kselftest/checkpatch.pl" --no-tree --terse --quiet --no-summary \
        --max-line-length=100 -f kmod/*.c kmod/*.h include/uapi/gr.h
}

warnings()
{
    local f
    for f in libgr/*.c; do
        "$1" -std=gnu11 -D_GNU_SOURCE -Iinclude -iquote libgr -O2 -Wall -Wextra -c -o /dev/null "$f"
    done
}

check "gcc: no warning in libgr" warnings gcc
check "clang: no warning in libgr" warnings clang
check "sparse: 6.12 module" sparse_module 6.12
check "sparse: 6.1 module" sparse_module 6.1
check "checkpatch: module and UAPI" checkpatch
printf '1..%d\n# end lint 0\nverdict: done\n' $N >> $OUT
! grep -q '^not ok' $OUT
