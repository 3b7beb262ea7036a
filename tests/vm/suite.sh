#!/bin/bash
# SPDX-License-Identifier: MIT
#
# suite.sh [UNIT...] -- [KTEST...] - the same programs inside stock 6.12, 6.1, newest, or others.
#
# Every UNIT program runs with the module and with futexes, those that wait for descriptors without
# io_uring, too; every KTEST (the device's own tests) once. A debug kernel (6.12-kasan...) is about
# the module: no futexes, no epoll, not the UNITs of is_library(), fewer rounds, more time. The
# newest kernel has all UNITs, but with the module only, and fewer rounds; when it is not in the cache
# it counts as skipped. Each guest has an empty disk with ext4, for the tests that block on one.
# reload_test patches the kernel's text all the time and so gets a guest of its own (vm.sh -1), not on the
# newest. In debug kernels failnth_test runs there too: with each allocation that it fails kmemleak
# prints under a lock of its own, and a kernel that has seen that calls what hotplug_test makes
# the scheduler do, kfree_rcu() in a wake-up of a task whose CPU is gone, a circular dependency
# (krc.lock, kmemleak's object lock, console, pi_lock: all the kernel's, none of ours). tools_test
# needs lock_test among the UNITs. What docs/tracing.md says is tried in 6.12, in a guest that has its
# tools.
# Results: build/vm/SERIES.tap, build/vm/SERIES-reload.tap, build/vm/6.12-tracing.tap.
# Environment: SERIES (6.12 6.1 newest), TORTURE_ROUNDS (10000, newest 2000, debug 1000),
# FUZZ_SEED (1).
set -u
cd "$(dirname "$0")/../.." || exit 1
export PATH="$PATH:/usr/sbin:/sbin"
UNIT=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    UNIT+=("$1")
    shift
done
shift
KTEST=("$@")
CACHE=${GR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gr}
MISSING=$CACHE/kernel/newest/missing
TOOLS=("$CACHE/gdb/usr/bin/gdb:/bin/gdb" "$(command -v strace):/bin/strace" build/examples/block)
mkdir -p build/vm

# What a test of goroutines that only deal with one another makes the module do, others do, too.
is_library()
{
    case ${1%_test} in
    badinput | badinput_sync | barrier | chan | chan_stress | cond | dill | go_chan | go_powser | \
        go_sieve | kv_* | local | mutex | once | opcode | pool | runq | rwmutex | select | \
        select_stress | sem | shuffle | task | trace | wait | wg) return 0 ;;
    esac
    return 1
}

manifest()
{
    local t n rounds=10000 fuzz=100 slow=1 futex=1
    case $1 in
    *-*) rounds=1000 fuzz=150 slow=4 futex= ;;
    newest) rounds=2000 futex= ;;
    esac
    for t in "${KTEST[@]}"; do
        n=$(basename "$t")
        case $n in
        reload_test) continue ;;
        failnth_test) [ $slow = 1 ] || continue
            echo "$n|180|/t/$n" ;;
        # a tool takes its time; what hangs is ended by the test itself
        die_test | tools_test) echo "$n|1500|/t/$n" ;;
        torture) echo "torture|900|/t/torture ${TORTURE_ROUNDS:-$rounds}" ;;
        fuzz) echo "$n|1500|/t/fuzz --seed ${FUZZ_SEED:-1} --rounds $fuzz" ;;
        ways_test) echo "$n|$((600 * slow))|/t/$n" ;;
        *) echo "$n|$((180 * slow))|/t/$n" ;;
        esac
    done
    for t in "${UNIT[@]}"; do
        n=$(basename "$t")
        [ $slow = 1 ] || ! is_library "$n" || continue
        echo "$n.kmod|$((240 * slow))|GR_TEST_SLOW=$slow GR_BACKEND=kmod /t/$n"
        [ -z "$futex" ] || echo "$n.futex|240|GR_BACKEND=futex /t/$n"
    done
    for t in $(make -s --no-print-directory print-epoll); do
        n=$(basename "$t")
        [ -z "$futex" ] || echo "$n.epoll|240|GR_BACKEND=kmod GR_NETPOLL=epoll /t/$n"
    done
}

# Says why there is no newest kernel; fails if there is one.
no_newest()
{
    [ -f "$MISSING" ] || return 1
    echo "vm newest: skipped, $(cat "$MISSING")"
    printf '# begin newest\n1..0 # SKIP %s\n# end newest 4\nverdict: pass\n' "$(cat "$MISSING")" \
        > build/vm/newest.tap
}

# An empty ext4 and what a stock kernel needs for it; a debug kernel has no block devices.
disk()
{
    export VM_DISK='' VM_MODULES=''
    case $1 in *-*) return ;; esac
    VM_DISK=build/vm/$1.img VM_MODULES="virtio_pci virtio_blk ext4"
    rm -f "$VM_DISK"
    truncate -s 64M "$VM_DISK"
    mkfs.ext4 -q "$VM_DISK"
}

reload()
{
    local rounds=200 fail=()
    case $1 in
    newest) return ;;
    *-*)
        rounds=30
        fail=(--test "failnth_test|720||build/kselftest/failnth_test")
        ;;
    esac
    VM_DISK='' VM_MODULES='' tests/vm/run.sh "$1" --single --limit 1800 --name "$1-reload" --module kmod \
        --test "reload_test|1500|GR_ROUNDS=$rounds|build/kselftest/reload_test" "${fail[@]}"
}

tracing()
{
    local t
    [ "$1" = 6.12 ] || return 0
    for t in trace-cmd bpftrace; do
        command -v $t > /dev/null || { echo "vm: no $t: run tools/setup.sh" >&2; return 1; }
    done
    VM_DISK='' VM_MODULES='' tests/vm/run.sh "$1" --name "$1-tracing" --module kmod \
        --file "$(command -v trace-cmd):/bin/trace-cmd" --file "$(command -v bpftrace):/bin/bpftrace" \
        --file build/examples/block:/bin/block --file build/taste:/bin/taste --file docs/tracing.md \
        --test "tracing_docs|900||tests/vm/tracing.sh /t/tracing.md"
}

FAILED=0
for s in ${SERIES:-6.12 6.1 newest}; do
    [ "$s" != newest ] || ! no_newest || continue
    manifest "$s" > "build/vm/$s.manifest"
    disk "$s"
    VM_SECONDS=5400 tests/vm/run.sh "$s" "$s" "build/vm/$s.manifest" "${UNIT[@]}" "${KTEST[@]}" \
        "${TOOLS[@]}" || FAILED=1
    reload "$s" || FAILED=1
    tracing "$s" || FAILED=1
done
exit $FAILED
