#!/bin/bash
# SPDX-License-Identifier: MIT
#
# kmod.sh SERIES - build gr.ko for a kernel of the cache; prints the path of the module.
#
# SERIES is a directory of CACHE/kernel (6.12, 6.1, 6.12-kasan...). Each kernel has a directory of
# its own under build/, so they do not clobber each other; two runs for the same kernel wait for
# each other, and the module that is printed is replaced whole or not at all.
# GR_ORACLE=1 in the environment adds the judge of kmod/oracle.c. A warning (W=1) is an error. Callers: run.sh, tools/demo/run.sh; people.
set -eu
cd "$(dirname "$0")/../.."
ENV=${GR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gr}/kernel/$1/env
[ -f "$ENV" ] || { echo "kmod: no kernel $1 in the cache: run tools/setup.sh" >&2; exit 1; }
# shellcheck disable=SC1090
. "$ENV"
ORACLE=${GR_ORACLE:+1}
DIR=build/kmod-$KVER${ORACLE:+-oracle}
mkdir -p build
exec 8> "$DIR.lock"
flock 8
# another build of the same version: its headers may say something else
[ ! "$ENV" -nt "$DIR/log" ] || rm -rf "$DIR"
mkdir -p "$DIR/kmod" "$DIR/include/uapi"
for f in kmod/* include/uapi/*; do
    cmp -s "$f" "$DIR/$f" || cp "$f" "$DIR/$f"
done
if ! make -C "$KDIR" M="$PWD/$DIR/kmod" GR_ORACLE="$ORACLE" W=1 modules > "$DIR/log" 2>&1 ||
    grep -q 'warning:' "$DIR/log"; then
    cat "$DIR/log" >&2
    exit 1
fi
cp "$DIR/kmod/gr.ko" "$DIR/gr.ko.new"
mv "$DIR/gr.ko.new" "$DIR/gr.ko"
echo "$DIR/gr.ko"
