#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# tracing.sh DOC - in a guest: is docs/tracing.md true? Prints TAP.
#
# Runs each block of commands ("```sh run=NAME") in the order of the page and in this very shell,
# as a reader would; what they print is left in GR_ARTEFACTS. Compares it with the block behind it. "```text out=NAME":
# every line shown must have been printed; "all=NAME": and the other way round. Before that
# figures, times, bars and names of states are made alike. The table of tracepoints must be what
# the kernel has, field by field.
#
# Wants trace-cmd, bpftrace, block and taste in PATH. Caller: suite.sh.
DOC=$1
DIR=$(mktemp -d)
EVENTS=/sys/kernel/tracing/events/gr
N=0 FAILED=0

# block KEY: the text of that block of the page
block_of()
{
    awk -v fence="^\`\`\`(sh|text) $1\$" '
        $0 ~ fence { on = 1; next }
        /^```/ { on = 0 }
        on' "$DOC"
}

alike()
{
    sed -E 's/^.*\] +([^ ]{4,6} +)?[0-9]+\.[0-9]+: +/TIME /
        s/\|[@ ]*\|/BAR/
        s/0x[0-9a-f]+/N/g
        s/-?[0-9]+[KM]?/N/g
        s/ (none|running|lazy|blocked|returning|parked|idle) / STATE /
        s/ +/ /g
        s/ $//' | sort -u
}

# result COMMAND...: passes if it succeeds and prints nothing
result()
{
    local name="$1"
    shift
    N=$((N + 1))
    if "$@" > "$DIR/why" 2>&1 && [ ! -s "$DIR/why" ]; then
        echo "ok $N - $name"
    else
        FAILED=1
        echo "not ok $N - $name"
        head -n 40 "$DIR/why" | sed 's/^/# /'
    fi
}

# differ NAME SHOWN-KEY: the lines that are not in both, as far as they must be
differ()
{
    block_of "$2" | alike > "$DIR/shown"
    alike < "$DIR/$1.out" > "$DIR/printed"
    [ -s "$DIR/shown" ] || echo "nothing is shown"
    grep -vxFf "$DIR/printed" "$DIR/shown" | sed 's/^/not printed: /'
    case $2 in
    all=*) grep -vxFf "$DIR/shown" "$DIR/printed" | sed 's/^/not shown: /' ;;
    esac
    return 0
}

# "event field..." for each event, by the kernel and by the page
kernels_table()
{
    for dir in "$EVENTS"/*/; do
        basename "$dir"
        sed -n 's/^.*field:.* \([a-z_]*\);.offset.*/\1/p' "$dir/format" | grep -v '^common_'
        echo
    done | awk -v RS= '{ $1 = $1; print }' | sort
}

pages_table()
{
    awk -F'|' '/^\| event / { on = 1 } /^$/ { on = 0 } on && $2 ~ /`/ { print $2, $3 }' "$DOC" |
        tr -d '`' | awk '{ $1 = $1; print }' | sort
}

tables_agree()
{
    kernels_table > "$DIR/kernel"
    pages_table > "$DIR/page"
    [ -s "$DIR/kernel" ] || echo "the kernel has no events"
    diff "$DIR/kernel" "$DIR/page"
}

result "the table of tracepoints is the kernel's" tables_agree
RUNS=$(sed -n 's/^```sh run=//p' "$DOC")
for name in $RUNS; do
    block_of "run=$name" > "$DIR/$name.sh"
    # shellcheck disable=SC1090
    . "$DIR/$name.sh" > "$DIR/$name.out" 2> "$DIR/$name.err"
    status=$?
    mkdir -p "$GR_ARTEFACTS/docs"
    cp "$DIR/$name.out" "$DIR/$name.err" "$GR_ARTEFACTS/docs/"
    result "$name ends well" test $status = 0
    result "$name prints something" test -s "$DIR/$name.out"
    for how in out all; do
        grep -q "^\`\`\`text $how=$name\$" "$DOC" &&
            result "$name prints what is shown" differ "$name" "$how=$name"
    done
done
result "the page has commands" test -n "$RUNS"
echo "1..$N"
[ $FAILED = 0 ]
