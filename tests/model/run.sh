#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh [--deep] - walk the models of the protocol, as TAP in build/model.tap; `make model`.
#
# token.pml is the state under group->lock; park.pml, lazy.pml and block.pml are those who use it.
# Each configuration must hold in every interleaving; each mutation (one line of the protocol taken
# out or moved, -DMUT_*) must be caught, or the model proves nothing about that line. A search
# that did not end, or was cut off by depth or memory, is a failure; so is a mutation that ends in
# anything but a violated assertion or claim, which stands behind "#". --deep: more of everything,
# an hour.
#
# Invariants: I-1 and I-2 are assertions in token.pml, block.pml at `user'; I-3 (no lost wake-up),
# I-4 and I-6 are what must be true when nobody can move any more; I-5 is a claim of block.pml
# under weak fairness: a returner does not wait for ever.
# Needs spin and a C compiler (tools/setup.sh).
set -u
cd "$(dirname "$0")/../.." || exit 1
MODELS=$PWD/tests/model
OUT=build/model.tap
LIMIT=300
[ "${1:-}" = --deep ] && LIMIT=3600
N=0 BAD=0
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
mkdir -p build
printf '# begin model\n' > $OUT

# search MODEL LIVENESS FLAG...: leaves pan's words in $T/log; fails if it could not be run
search()
{
    local model=$1 live=$2
    local -a cc=(-DSAFETY) pan=(-m400000 -n)
    shift 2
    SECONDS=0
    [ -z "$live" ] || { cc=(-DNFAIR=4); pan+=(-a -f); }
    rm -rf "$T/run"
    mkdir "$T/run"
    (
        cd "$T/run" || exit 1
        cp "$MODELS"/*.pml . &&
            spin "$@" -a "$model.pml" > spin.log 2>&1 &&
            gcc -O1 -w "${cc[@]}" -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c > cc.log 2>&1 &&
            timeout "$LIMIT" ./pan "${pan[@]}"
    ) > "$T/log" 2>&1
}

# whole: the search went through all states
whole()
{
    grep -q 'State-vector' "$T/log" &&
        ! grep -qE 'max search depth|out of memory|reached -DMEMLIM|Search not completed' "$T/log"
}

# report "" | "not " NAME [WHY]
report()
{
    local ok=$1 name=$2 why=${3:-} states
    N=$((N + 1))
    states=$(awk '/states, stored/ { print $1; exit }' "$T/log")
    echo "${ok}ok $N - $name # ${states:-?} states, $SECONDS s$why" | tee -a $OUT
    if [ -n "$ok" ]; then
        BAD=1
        tail -n 30 "$T/log" "$T"/run/*.log | sed 's/^/# /' >> $OUT
    fi
}

# holds NAME MODEL LIVENESS FLAG...
holds()
{
    local name=$1
    shift
    if search "$@" && whole && grep -q 'errors: 0$' "$T/log"; then
        report "" "$name"
    else
        report "not " "$name"
    fi
}

# caught NAME MODEL LIVENESS FLAG...
caught()
{
    local name=$1 why=
    shift
    search "$@"
    grep -qE 'errors: [1-9]' "$T/log" &&
        why=$(sed -nE 's/^pan:1: (assertion violated +[^- ].*|acceptance cycle.*)/\1/p' "$T/log")
    if [ -n "$why" ]; then
        report "" "mutation is caught: $name" "; $why"
    else
        report "not " "mutation is caught: $name"
    fi
}

ONE="-DNP=1 -DDIRECTED=1"
QUIET="-DKILLS=0 -DSLICES=0 -DSIGS=0 -DTURNS=0"
# shellcheck disable=SC2086  # words on purpose
models()
{
    holds "park: hints and fences" park "" -DNG=2
    caught "no fence between idle and the hints" park "" -DMUT_1
    caught "no fence in the publisher" park "" -DMUT_2
    caught "the task state is set after the unlock" park "" -DMUT_4
    caught "a deadline ends a PARK that was given a P" park "" -DMUT_5
    holds "park: permits only" park "" -DNOWORK
    caught "a wake-up that finds nobody is not remembered" park "" -DNOWORK -DMUT_PERMIT
    holds "park: SWITCH and directed UNPARK" park "" -DDIRECTED=1 -DNG=1 -DNSIG=0
    holds "park: ... with signals and YIELD" park "" $ONE -DNG=1
    holds "park: directed UNPARK of one who slept" park "" $ONE -DNG=2 -DSWITCHES=0
    caught "told to run, and forgotten with the PARK" park "" -DMUT_6 $ONE -DNG=1
    caught "a directed UNPARK that comes first is not remembered" park "" -DMUT_7 $ONE -DNG=1
    caught "SWITCH looks at its target before the lock" park "" -DMUT_8 $ONE -DNG=1
    caught "a returner from a sleep counts as told" park "" -DMUT_9 $ONE -DNG=2 -DSWITCHES=0
    caught "a signal restarts YIELD and SWITCH" park "" -DMUT_10 $ONE -DNG=1
    caught "a signal restarts YIELD" park "" -DMUT_10 $ONE -DNG=2 -DSWITCHES=0
    holds "lazy: claim against return" lazy "" -DNG=2
    caught "no fence between lazy and the hints" lazy "" -DMUT_1
    caught "no fence in the publisher, lazy" lazy "" -DMUT_2
    caught "a return does not look again under the lock" lazy "" -DMUT_3
    caught "a hand-off does not look again under the lock" lazy "" -DMUT_4
    caught "a claim leaves the owner its P" lazy "" -DMUT_CLAIM
    holds "block: one sleep, a publisher" block "" -DBLOCKS=1 $QUIET
    holds "block: two sleeps" block "" -DBLOCKS=2 $QUIET -DPUBS=0
    holds "block: signals and restarts" block "" -DKILLS=0 -DSLICES=0 -DTURNS=0 -DPUBS=0
    holds "block: a thread is killed" block "" -DBLOCKS=1 -DSLICES=0 -DSIGS=0 -DTURNS=0 -DPUBS=0
    holds "block: preemption" block "" -DBLOCKS=2 -DKILLS=0 -DSIGS=0 -DTURNS=0 -DPUBS=0
    holds "block: every returner gets a P" block live -DENDLESS -DBLOCKS=1 $QUIET -DPUBS=0
    holds "block: ... with preemption" block live -DENDLESS -DBLOCKS=1 -DKILLS=0 -DSLICES=1 \
        -DSIGS=0 -DPUBS=0
    caught "a scheduling point does not look for returners" block live -DMUT_7 -DENDLESS -DBLOCKS=1 \
        $QUIET -DPUBS=0
    caught "the interrupt takes one entry, not the list" block "" -DMUT_1 -DBLOCKS=1 -DSLICES=0 \
        -DSIGS=0 -DTURNS=0 -DPUBS=0
    caught "a hand-off does not ask whether the thread sleeps" block "" -DMUT_2 -DBLOCKS=2 $QUIET \
        -DPUBS=0
    caught "a dead thread keeps its P" block "" -DMUT_3 -DBLOCKS=1 -DSLICES=0 -DSIGS=0 -DTURNS=0 \
        -DPUBS=0
    caught "a wake-up does not look again under the lock" block "" -DMUT_4 -DBLOCKS=2 $QUIET -DPUBS=0
    caught "a thread that was let through is not stopped later" block "" -DMUT_5 -DBLOCKS=1 -DKILLS=0 \
        -DSLICES=0 -DTURNS=0 -DPUBS=0
    caught "the queued bit is cleared too late" block "" -DMUT_6 -DBLOCKS=2 $QUIET -DPUBS=0
    holds "runq: put, get, steal" runq "" -DNG=4 -DNTHIEF=1
    caught "a thief stores head, and does not compare" runq "" -DMUT_1
    caught "tail is stored before the slot" runq "" -DMUT_2
    caught "runnext is taken without a compare" runq "" -DMUT_3
    caught "a thief believes a head and a tail of different times" runq "" -DMUT_4
    holds "idle: spin, poll, park, publish" idle ""
    caught "no fence F1 between push and look" idle "" -DMUT_1
    caught "no fence F2 after spinning" idle "" -DMUT_2
    caught "the last spinner does not wake the next" idle "" -DMUT_3
    caught "a thread that was woken does not count as spinning" idle "" -DMUT_4
    caught "no fence F2 before polling" idle "" -DMUT_5
    caught "who found nobody to wake does not look again" idle "" -DMUT_6 -DNG=3 -DNM=3
}

# shellcheck disable=SC2086
deeper()
{
    holds "deep: park, three goroutines" park "" -DNG=3
    holds "deep: SWITCH, two processors" park "" -DDIRECTED=1 -DNG=1
    holds "deep: SWITCH, two goroutines" park "" $ONE -DNG=2
    holds "deep: two directed UNPARKs" park "" -DNP=1 -DDIRECTED=2 -DNG=1
    holds "deep: lazy, four goroutines" lazy "" -DNG=4 -DBLOCKS=3
    holds "deep: block, two processors" block "" -DNP=2 -DBLOCKS=2 $QUIET
    holds "deep: runq, two thieves" runq "" -DNG=5 -DNTHIEF=2
    holds "deep: idle, three threads" idle "" -DNG=3 -DNM=3
    holds "deep: block, kill and preemption" block "" -DBLOCKS=2 -DSIGS=0 -DTURNS=0 -DPUBS=0
}

command -v spin > /dev/null || { echo "run: no spin: run tools/setup.sh test" >&2; exit 1; }
models
[ "${1:-}" != --deep ] || deeper
printf '1..%d\n# end model 0\nverdict: done\n' $N >> $OUT
exit $BAD
