#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# leaks.sh - in a guest whose kernel has kmemleak: did gr.ko lose memory? Prints TAP.
#
# Runs after rmmod, when nothing of the module may be left: what its threads, groups and its own
# set-up and end forgot is all there is. An object counts as lost when two scans found no pointer
# to it, its content did not change in between, and it is 5 s old. Once the module is gone its
# functions are bare addresses, the only ones there are: SYMBOLS, saved before, gives them names.
# Losses of the kernel proper do not count. Caller: init.c, which also saves SYMBOLS.
#
# usage: leaks.sh SYMBOLS (lines of /proc/kallsyms, sorted)
LEAKS=/sys/kernel/debug/kmemleak

echo 1..1
# a scan takes millions of locks; what they were to be checked for is over
[ ! -e /proc/sys/kernel/prove_locking ] || echo 0 > /proc/sys/kernel/prove_locking
if ! { echo scan > $LEAKS && sleep 6 && echo scan > $LEAKS && cat $LEAKS > /tmp/leaks; }; then
    echo "not ok 1 kmemleak gave up"
    exit 1
fi
# hexadecimal of one length compares like text
if awk -v symbols="$1" '
    function show() {
        if (ours)
            printf "%s", record
        bad = bad || ours
        ours = 0
        record = ""
    }
    BEGIN {
        while ((getline < symbols) > 0) {
            address[n] = $1
            name[n++] = $3
        }
    }
    /^unreferenced object/ { show() }
    / \[gr\]$/ { ours = 1 }
    / 0xffffffff[0-9a-f]+$/ {
        where = "?"
        for (i = 0; i < n && address[i] "" <= substr($1, 3) ""; i++)
            where = name[i]
        $0 = "    " $1 " " where " [gr]"
        ours = 1
    }
    { record = record "# " $0 "\n" }
    END { show(); exit bad }' /tmp/leaks; then
    echo "ok 1 gr.ko lost no memory"
else
    echo "not ok 1 gr.ko lost memory"
    exit 1
fi
