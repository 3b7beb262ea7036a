#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tap.sh - Test Anything Protocol for test scripts, which source it: check() each thing, then
# tap_done. What a check prints is shown only if it failed. T is a directory that goes at the end.
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
TAP_N=0 TAP_BAD=0

# check NAME COMMAND...: passes if the command succeeds
check()
{
    TAP_N=$((TAP_N + 1))
    if "${@:2}" > "$T/log" 2>&1; then
        echo "ok $TAP_N - $1"
    else
        echo "not ok $TAP_N - $1"
        sed 's/^/# /' "$T/log"
        TAP_BAD=1
    fi
}

# the plan, and 1 if a check failed or there was none; the script's last command
tap_done()
{
    echo "1..$TAP_N"
    [ "$TAP_N" != 0 ] || TAP_BAD=1
    exit $TAP_BAD
}
