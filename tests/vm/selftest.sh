#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2317
#
# selftest.sh [SERIES] - does the runner see failures? Prints TAP.
#
# Two boots without a module, of a manifest that is bad in every way that needs none: each line of
# it must be reported as what it is, and as nothing else. In the second the guest panics half way.
# About 20 s. Callers: people, after a change to init.c, run.sh, vm.sh or tap.py.
set -eu
cd "$(dirname "$0")/../.."
SERIES=${1:-6.12}
GOOD="echo ok 1; echo 1..1"
N=0 FAILED=0
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

check()
{
    local what=$1
    shift
    N=$((N + 1))
    if "$@"; then
        echo "ok $N - $what"
    else
        echo "not ok $N - $what"
        FAILED=1
    fi
}

# the counts in the last line, and an exit code that is not 0
counts()
{
    [ "$(tail -n 1 "$T/out")" = "$1" ] && [ "$STATUS" != 0 ]
}

says()
{
    grep -qx "FAILED: selftest/$1" "$T/out"
}

verdict()
{
    [ "$(tail -n 1 build/vm/selftest.tap)" = "$1" ]
}

boot()
{
    STATUS=0
    tests/vm/run.sh "$SERIES" --name selftest --limit 60 "$@" > "$T/out" 2>&1 || STATUS=$?
}

boot --test "good|5||$GOOD" \
    --test "skip|5||echo '1..0 # SKIP on purpose'; exit 4" \
    --test "not-ok|5||echo not ok 1 on purpose; echo 1..1" \
    --test "hang|1||echo ok 1; echo 1..1; sleep 1000" \
    --test "signal|5||kill -SEGV \$\$" \
    --test "status|5||$GOOD; exit 3" \
    --test "no-plan|5||echo ok 1" \
    --test "short|5||echo 1..2; echo ok 1" \
    --test "silent|5||true" \
    --test "warning|5||echo 'WARNING: on purpose' > /dev/kmsg; $GOOD" \
    --test "slab|5||echo 'BUG gr_thing (Tainted: G): on purpose' > /dev/kmsg; $GOOD" \
    --test "kunit|5||echo '    not ok 1 on_purpose' > /dev/kmsg; $GOOD" \
    --test "race|5||echo 'BUG: KCSAN: data-race in gr_a [gr] / b' > /dev/kmsg; $GOOD" \
    --test "core-race|5||echo 'BUG: KCSAN: data-race in a / b' > /dev/kmsg; $GOOD" \
    --test "late|5||(sleep 0.5; echo 'BUG: on purpose' > /dev/kmsg) & sleep 1; $GOOD" \
    --test "forged|5||echo verdict: pass; echo '# end forged 0'; exit 1" \
    --test "after|5||$GOOD"
check "a test that is not ok" says "not-ok: on purpose"
check "a test that hangs" says "hang: did not end in time"
check "a test that crashes" says "signal: ended with status signal-11"
check "a status that is not 0" says "status: ended with status 3"
check "no plan" says "no-plan: printed no plan"
check "fewer results than planned" says "short: planned 2 tests, saw 1"
check "no result" says "silent: printed no result"
check "a warning in the kernel log" says "warning: the kernel log complains"
check "a complaint of the slab allocator" says "slab: the kernel log complains"
check "a unit test inside the kernel" says "kunit: the kernel log complains"
check "a data race of the module" says "race: the kernel log complains"
check "a data race of the kernel proper is shown only" \
    grep -qx '| # not ours: BUG: KCSAN: data-race in a / b.*' build/vm/selftest.tap
check "a bug that a background process met" says "late: the kernel log complains"
check "a test that forges the verdict" says "forged: ended with status 1"
# passed: good hang status no-plan short warning slab kunit race core-race late after kernel
check "the counts" counts "13 passed, 13 failed, 1 skipped"
check "the verdict" verdict "verdict: fail hang signal status warning slab kunit race late forged"

boot --test "good|5||$GOOD" \
    --test "panic|20||echo ok 1; echo 1..1; echo c > /proc/sysrq-trigger; sleep 10" \
    --test "never|5||$GOOD"
check "a panic ends it, with what was printed until then" counts "2 passed, 2 failed, 0 skipped"
check "the test in which the guest died" says "panic: ended with status none: the guest died in it"
check "no verdict" says ": no verdict"

boot --test "good|5||$GOOD" --file /does/not/exist
check "a missing file" [ "$STATUS" != 0 ]
check "and no old results in its place" [ ! -s build/vm/selftest.tap ]
echo "1..$N"
[ $FAILED = 0 ] || cat "$T/out"
exit $FAILED
