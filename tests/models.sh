#!/bin/bash
# SPDX-License-Identifier: MIT
#
# models.sh - grmodels --short: what is true on any machine. Who hangs and who finishes, who runs in
# parallel, how many queues a thief looks at; and that bad input is refused before anything runs.
# How fast anything is stands in the table of `make models`, and is no matter for a test.
# shellcheck disable=SC2317  # check() calls it
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/tap.sh
GRMODELS=${GRMODELS:-build/grmodels}

# outcome WORKLOAD MODEL OUTCOME: of every size
outcome()
{
    awk -F, -v w="$1" -v m="$2" -v o="$3" '
        $1 == w && $2 == m { n++; bad += $4 != o; print }
        END { exit !n || bad }' "$T/csv"
}

# figure WORKLOAD MODEL SIZE FIGURE: prints it
figure()
{
    awk -F, -v w="$1" -v m="$2" -v s="$3" -v f="$4" '
        $1 == w && $2 == m && $3 == s && $5 == f { print $6 }' "$T/csv"
}

# figure_is EXPRESSION WORKLOAD MODEL SIZE FIGURE: an expression of awk about x
figure_is()
{
    local x
    x=$(figure "${@:2}")
    echo "${*:2}: \"$x\""
    [ -n "$x" ] && awk -v x="$x" "BEGIN { exit !($1) }"
}

# refused WORDS ARGUMENT...: exit 2, nothing on stdout, and it says so
refused()
{
    timeout 20 "$GRMODELS" "${@:2}" > "$T/out" 2> "$T/err"
    [ $? = 2 ] && [ ! -s "$T/out" ] && grep -q "$1" "$T/err" && return
    cat "$T/out" "$T/err"
    return 1
}

check "all of it runs" sh -c "timeout 300 '$GRMODELS' --procs 2 --short --csv > '$T/csv' 2> '$T/err' ||
    { cat '$T/err' '$T/csv'; exit 1; }"
for m in 1:1 pool stealing M:P:N; do
    check "$m: blocking system calls stop nobody" outcome syscall "$m" measured
    check "$m: the holder of a semaphore gets a thread" outcome deadlock "$m" measured
    check "$m: others run while one waits, in all five ways" figure_is "x == 5" ways "$m" 1 others_ran
done
for m in N:1 shared; do
    check "$m: hangs when all threads block, and is found" outcome syscall "$m" deadlock
    check "$m: the deadlock of a fixed pool is found" outcome deadlock "$m" deadlock
done
check "N:1: a system call stops all" figure_is "x == 4" ways N:1 1 others_ran
for m in 1:1 pool shared stealing M:P:N; do
    check "$m: two goroutines compute at once" figure_is "x == 2" parallel "$m" 5000 at_once
done
check "N:1: one computes at a time" figure_is "x == 1" parallel N:1 5000 at_once
# the threads that block, one that computes, and one that steals; it begins anywhere
check "stealing: a thief looks at the queues of many threads" \
    figure_is "x > 16" steal stealing 64 looks_per_scan
# four rounds of one other P at most
check "M:P:N: a thief looks at the Ps, however many threads there are" \
    figure_is "x <= 4" steal M:P:N 64 looks_per_scan
check "1:1: at least a thread's memory each" figure_is "x > 16384" create 1:1 1000 bytes
check "M:P:N: a page or two each" figure_is "x < 9000" create M:P:N 1000 bytes

check "an unknown model: the known ones are listed" refused '"none"; there are: 1:1 N:1 .*M:P:N' --model none
check "an unknown workload, too" refused '"none"; there are: create .*steal' --workload none
check "a number that is none" refused 'from 1 to 256, not "many"' --procs many
check "a word too many" refused usage: something
check "more threads than there can be" refused 'are too many: threads-max\|are too many: [a-zR]' \
    --model 1:1 --workload create --size 100000000
check "more memory than there is" refused 'MemAvailable\|memory.max\|RLIMIT_AS' \
    --model N:1 --workload create --size 1000000000
check "... by a limit of the process" sh -c "ulimit -v 300000 && ! timeout 60 '$GRMODELS' --model N:1 \
    --workload create --size 200000 2> '$T/err' && grep -q 'RLIMIT_AS: .* MiB are needed' '$T/err'"
check "memory that ends ends one cell" sh -c "ulimit -v 300000 && timeout 60 '$GRMODELS' --model N:1,1:1 \
    --workload create,switch --short --size 3000 --csv > '$T/oom' 2> '$T/err'; cat '$T/oom' '$T/err'
    grep -q '^create,N:1,3000,refused' '$T/oom' && grep -q '^switch,N:1,3000,measured' '$T/oom'"
check "interrupted: what was measured is printed" bash -c "
    '$GRMODELS' --model N:1 --workload switch,syscall --short --csv > '$T/cut' 2> '$T/err' & p=\$!
    for i in {1..200}; do grep -q 'syscall, N:1' '$T/err' && break; sleep 0.1; done
    kill -INT \$p; wait \$p; [ \$? = 1 ] && cat '$T/cut' '$T/err' &&
    grep -q '^switch,N:1,2000,measured' '$T/cut' && grep -q '^syscall,N:1,4,not run' '$T/cut' &&
    grep -q interrupted '$T/err'"
# one that is not found is said before anything runs; else there are charts
check "--plot without gnuplot is refused" sh -c "! PATH=/none '$GRMODELS' --plot '$T/plot' > '$T/out' 2> '$T/err' &&
    /bin/grep -q 'needs gnuplot' '$T/err'"
check "--plot in a place where nothing can be made, too" refused No.such.file --plot "$T/none/plot"
if command -v gnuplot > /dev/null; then
    check "--plot draws charts" sh -c "timeout 60 '$GRMODELS' --model N:1,stealing,M:P:N --workload create,steal \
        --short --plot '$T/plot' > '$T/out' 2>&1; cat '$T/out'
        grep -q '<title>Gnuplot' '$T/plot/create.svg' && grep -q 'M:P:N' '$T/plot/steal.svg'"
fi
check "grmodels limits: names and answers" sh -c "'$GRMODELS' limits > '$T/limits' && cat '$T/limits' &&
    grep -q threads-max '$T/limits' && grep -q pid_max '$T/limits' && grep -q 'one program can have' '$T/limits'"
check "--json is JSON, with a tick or a reason for each cell" sh -c "timeout 60 '$GRMODELS' --model N:1,1:1 \
    --workload switch,deadlock --short --json > '$T/json' 2> /dev/null; python3 -c '
import json, sys
cells = json.load(open(sys.argv[1]))[\"cells\"]
assert len(cells) == 4
assert all(c[\"figures\"] or c[\"reason\"] for c in cells), cells
assert [c[\"states\"] for c in cells if c[\"outcome\"] == \"deadlock\"][0].startswith(\"running 0, runnable\")
' '$T/json'"
tap_done
