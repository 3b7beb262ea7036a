#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh SERIES [OPTION]... --test "NAME|SECONDS|ENVIRONMENT|COMMAND"...
# run.sh SERIES NAME MANIFEST FILE...     (MANIFEST: lines "NAME|SECONDS|COMMAND", programs in /t)
#   - run tests inside a stock or debug kernel, in QEMU.
#
# SERIES is 6.12, 6.1 or newest, or 6.12-kasan, 6.12-rt, 6.12-kcsan (kernel/build.sh). The first word of COMMAND, where it is a file here, goes along with its
# libraries; COMMAND itself is for the guest's shell. Options:
#   --name NAME       results in build/vm/NAME.{tap,log,art}; default SERIES
#   --module kmod     build that directory's gr.ko and load it     --ko FILE   load this one
#   --modules "M..."  load these of the kernel's own first, with their dependencies
#   --file FILE[:GUEST-PATH]  goes along             --disk IMAGE  raw, as /dev/vda
#   --smp N (2)  --mem M (1G)  --limit SECONDS (1200)  --cmdline "ARGS"  --icount  --single   see
#   vm.sh
# Prints a line for each test as it ends, the details of failures, and the counts. What tests left
# in $GR_ARTEFACTS is in build/vm/NAME.artefacts/ then.
#
# Exit: 0 only if the guest's verdict is pass and nothing in its output contradicts it.
# Callers: the Makefile, selftest.sh; people. Environment: GR_CACHE (tools/setup.sh), VERBOSE=1
# for the console, QEMU_EXTRA; for the second form also SMP, MEM, VM_SECONDS, GUEST_ARGS, VM_DISK,
# VM_MODULES.
set -eu
cd "$(dirname "$0")/../.."
CACHE=${GR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gr}
SMP=${SMP:-2} MEM=${MEM:-1G} LIMIT=${VM_SECONDS:-1200} CMDLINE=${GUEST_ARGS:-}
MODULE='' KO='' MODULES=${VM_MODULES:-} DISK=${VM_DISK:-} ICOUNT=''
OUT=build/vm
T=$(mktemp -d)
FILES=() TESTS=()

die()
{
    echo "run: $*" >&2
    exit 1
}

add_test()
{
    local name seconds environment command program
    IFS='|' read -r name seconds environment command <<< "$1"
    [[ $name =~ ^[^[:space:]]+$ && $seconds =~ ^[1-9][0-9]*$ && -n $command ]] ||
        die "not NAME|SECONDS|ENVIRONMENT|COMMAND: $1"
    program=${command%%[[:space:]]*}
    if [ -f "$program" ]; then
        FILES+=("$program")
        command="/t/$(basename "$program")${command#"$program"}"
    elif [[ $program == */* && $program != /t/* && $program != /bin/* ]]; then
        die "test $name: no program $program"
    fi
    echo "$name|$seconds|$environment|$command" >> "$T/manifest"
}

options()
{
    while [ $# -gt 0 ]; do
        case $1 in
        --icount) ICOUNT=-i; shift; continue ;;
        --single) ICOUNT=-1; shift; continue ;;
        esac
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --test) TESTS+=("$2") ;;
        --name) ;; # known already
        --module) MODULE=$2 ;;
        --ko) KO=$2 ;;
        --modules) MODULES=$2 ;;
        --file) FILES+=("$2") ;;
        --disk) DISK=$2 ;;
        --smp) SMP=$2 ;;
        --mem) MEM=$2 ;;
        --limit) LIMIT=$2 ;;
        --cmdline) CMDLINE=$2 ;;
        *) die "unknown option $1" ;;
        esac
        shift 2
    done
}

# Debug kernels: CPUs come from a table that knows sockets only, a restart is a triple fault, and the
# clock needs to be told its rate.
without_acpi()
{
    CPUS=$SMP,sockets=$SMP,cores=1,threads=1
    ${CC:-cc} -std=gnu11 -O2 -Wall -o "$T/tsc" tests/vm/tsc.c
    CMDLINE="reboot=t tsc_early_khz=$("$T/tsc") $CMDLINE"
}

# one line per finished test, until vm.sh is done
follow()
{
    tail -n +1 -s 0.2 -f --pid="$VM" "$PREFIX.tap" | sed -u -n "
        s/^# end \([^ ]*\) 0$/vm $SERIES: \1 ok/p; t
        s/^# end \([^ ]*\) 4$/vm $SERIES: \1 skipped/p; t
        s/^# end \(.*\)/vm $SERIES: \1 FAILED/p"
}

VM=''
trap '[ -z "$VM" ] || kill $VM 2> /dev/null; rm -rf "$T"' EXIT
trap 'exit 130' INT TERM HUP
[ $# -ge 2 ] || die "usage: run.sh SERIES [OPTION]... --test \"NAME|SECONDS|ENV|COMMAND\"..."
SERIES=$1
shift
# Old results go first: whatever fails from here on, nobody takes them for new ones.
NAME=$SERIES
if [[ $1 != --* ]]; then
    NAME=$1
else
    for ((i = 1; i < $#; i++)); do
        [ "${!i}" != --name ] || { j=$((i + 1)) && NAME=${!j}; }
    done
fi
PREFIX=$OUT/$NAME
mkdir -p "$OUT"
rm -rf "$PREFIX".{tap,log,art,qemu,artefacts}

if [[ $1 == --* ]]; then
    options "$@"
    for i in "${TESTS[@]}"; do
        add_test "$i"
    done
else
    MODULE=kmod
    sed '/^#/d; /./!d; s/^\([^|]*|[^|]*|\)/\1|/' "$2" > "$T/manifest"
    shift 2
    FILES=("$@")
fi
[ -s "$T/manifest" ] || die "no tests"
[ -f "$CACHE/kernel/$SERIES/env" ] || die "no kernel $SERIES in the cache: run tools/setup.sh all"
# shellcheck disable=SC1090
. "$CACHE/kernel/$SERIES/env"
CPUS=$SMP
case $SERIES in
*-*) without_acpi ;;
esac
case $MODULE in
'') ;;
kmod) KO=$(tests/vm/kmod.sh "$SERIES") ;;
*) die "--module knows kmod only; build yours and give --ko" ;;
esac
[ -z "$KO" ] || FILES+=("$KO:/t/gr.ko")
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -Wall -static -o "$T/judge" tests/vm/init.c
tests/vm/mkrd.sh -k "$KMODDIR" -m "$MODULES" "$T/rd" tests/vm/init.sh \
    "$T/judge:/judge" tests/vm/leaks.sh:/leaks "$T/manifest" "${FILES[@]}"

echo "vm $SERIES: booting $KVER for $NAME"
for try in 1 2 3; do
    status=0
    : > "$PREFIX.tap"
    # shellcheck disable=SC2086
    tests/vm/vm.sh -s "$CPUS" -m "$MEM" -t "$LIMIT" -a "$CMDLINE" $ICOUNT ${DISK:+-d "$DISK"} \
        "${KVMLINUX:-$KIMAGE}" "$T/rd" "$PREFIX" &
    VM=$!
    follow
    wait $VM || status=$?
    VM=''
    # QEMU can execute a breakpoint that text patching has removed already (design/0001): that
    # says nothing about the tests, and nothing else makes the kernel meet an int3 of its own
    [ $status = 2 ] || break
    grep -m 1 'Oops' "$PREFIX.log" | grep -q 'Oops: int3' || break
    echo "vm $SERIES: the emulator executed stale code; attempt $try of 3 does not count"
done
if [ -s "$PREFIX.art" ]; then
    mkdir "$PREFIX.artefacts"
    tar -xf "$PREFIX.art" -C "$PREFIX.artefacts" || status=1
fi
case $status in
0 | 1) ;;
*) echo "vm $SERIES: no verdict, the guest died: the end of $PREFIX.log"
    tail -n 30 "$PREFIX.log" ;;
esac
tests/tap.py "$PREFIX.tap" && [ "$status" = 0 ]
