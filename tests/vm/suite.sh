#!/bin/bash
# SPDX-License-Identifier: MIT
#
# suite.sh [UNIT...] -- [KTEST...] - the same programs inside stock 6.12 and 6.1.
#
# Every UNIT program runs with the module and with futexes; every KTEST (the device's own tests)
# once. Results: build/vm/SERIES.tap. Environment: SERIES (6.12 6.1), TORTURE_ROUNDS (10000).
set -u
cd "$(dirname "$0")/../.." || exit 1
UNIT=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    UNIT+=("$1")
    shift
done
shift
KTEST=("$@")
MANIFEST=build/vm/manifest
mkdir -p build/vm
{
    for t in "${KTEST[@]}"; do
        n=$(basename "$t")
        case $n in
        torture) echo "torture|900|/t/torture ${TORTURE_ROUNDS:-10000}" ;;
        *) echo "$n|180|/t/$n" ;;
        esac
    done
    for t in "${UNIT[@]}"; do
        n=$(basename "$t")
        echo "$n.kmod|240|GR_BACKEND=kmod /t/$n"
        echo "$n.futex|240|GR_BACKEND=futex /t/$n"
    done
} > $MANIFEST
FAILED=0
for s in ${SERIES:-6.12 6.1}; do
    VM_SECONDS=2400 tests/vm/run.sh "$s" "$s" $MANIFEST "${UNIT[@]}" "${KTEST[@]}" || FAILED=1
done
exit $FAILED
