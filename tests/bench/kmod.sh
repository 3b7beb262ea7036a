#!/bin/bash
# SPDX-License-Identifier: MIT
#
# kmod.sh - what the module costs, beside what the kernel offers otherwise; `make bench-kmod`.
#
# Guests of one kernel: with -icount, whose clock counts instructions (one CPU; two), with the
# ordinary clock, and with the module's test build, whose oracle counts who runs (two CPUs; four).
# Security modules as the distribution boots them, not as the other tests do. Results:
# build/bench-kmod/*.json, put together by kmod.py into build/bench-kmod.json.
# Environment: SERIES (6.12), GR_STORM_SECONDS (60).
set -eu
cd "$(dirname "$0")/../.."
SERIES=${SERIES:-6.12}
SECONDS_STORM=${GR_STORM_SECONDS:-60}
OUT=build/bench-kmod
ALL="switch park futex eventfd pipe"
KO=$(tests/vm/kmod.sh "$SERIES")
ORACLE=$(GR_ORACLE=1 tests/vm/kmod.sh "$SERIES")
rm -rf $OUT build/bench-kmod.json
mkdir -p $OUT

# test NAME PROGRAM-AND-ARGUMENTS: one for guest(), its output goes to a file
test_()
{
    TESTS+=(--test "$1|400||$2 >> \$GR_ARTEFACTS/rows && echo 'ok 1' && echo 1..1")
}

guest()
{
    local name=$1 ok=0
    shift
    echo "bench: $name"
    tests/vm/run.sh "$SERIES" --name "bench-$name" --cmdline apparmor=1 --limit 900 "$@" \
        "${TESTS[@]}" > "$OUT/$name.log" 2>&1 || ok=$?
    if [ $ok != 0 ] || ! mv "build/vm/bench-$name.artefacts/rows" "$OUT/$name.json"; then
        cat "$OUT/$name.log" >&2
        exit 1
    fi
    TESTS=()
}

TESTS=()
test_ not-loaded "build/bench/roundtrip --insns --name ctxswitch_unattached --as not-loaded --halves pipe"
test_ loaded "insmod /t/module && /t/roundtrip --insns --name ctxswitch_unattached --as loaded --halves pipe"
test_ used "/t/roundtrip --insns switch > /dev/null && /t/roundtrip --insns --name ctxswitch_unattached --as loaded-and-used --halves pipe"
test_ roundtrip "build/bench/roundtrip --insns $ALL"
test_ handoff "build/bench/handoff --insns"
test_ syscall "build/bench/getppid --insns"
guest insns-1 --icount --smp 1 --file "$KO:/t/module" --file build/bench/roundtrip

test_ roundtrip "build/bench/roundtrip --insns --cpus 2 $ALL"
guest insns-2 --icount --smp 2 --ko "$KO"

for cpus in 2 4; do
    test_ one "build/bench/roundtrip $ALL"
    test_ two "build/bench/roundtrip --cpus 2 $ALL"
    test_ handoff "build/bench/handoff"
    test_ syscall "build/bench/getppid"
    guest time-$cpus --smp $cpus --ko "$KO"
    test_ storm "build/bench/storm $SECONDS_STORM"
    guest storm-$cpus --smp $cpus --ko "$ORACLE"
done
python3 tests/bench/kmod.py $OUT build/bench-kmod.json
