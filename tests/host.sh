#!/bin/bash
# SPDX-License-Identifier: MIT
#
# host.sh NAME SECONDS PROGRAM... - run test programs on this machine, one after the other.
#
# What they print goes to build/NAME.tap in the form that tests/tap.py reads. Each program has
# SECONDS before it is killed. Exit 0 if all of them exited with 0 or with 4 (skipped).
set -u
cd "$(dirname "$0")/.." || exit 1
NAME=$1 LIMIT=$2
shift 2
OUT=build/$NAME.tap
FAILED=
mkdir -p build
: > "$OUT"
for p in "$@"; do
    t=$(basename "$p")
    echo "# begin $t" >> "$OUT"
    timeout -s KILL "$LIMIT" "$p" >> "$OUT" 2>&1 < /dev/null
    status=$?
    [ $status = 137 ] && status=timeout
    printf '\n# end %s %s\n' "$t" $status >> "$OUT"
    case $status in
    0) echo "$NAME: $t ok" ;;
    4) echo "$NAME: $t skipped" ;;
    *)
        echo "$NAME: $t FAILED ($status)"
        FAILED="$FAILED $t"
        ;;
    esac
done
echo "verdict:${FAILED:- pass}" >> "$OUT"
[ -z "$FAILED" ]
