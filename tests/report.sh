#!/bin/bash
# SPDX-License-Identifier: MIT
#
# report.sh - the last page of `make run`, from a histogram as the kernel writes it and nothing
# else: the table in docs/tracing.md, which a guest compares with the real one.
# shellcheck disable=SC2317  # check() calls it
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/tap.sh

# COMMAND...; the end of the page if it fails
page()
{
    "$@" || { tail -n 20 "$T/page"; return 1; }
}

mkdir "$T/out"
awk '/^```text out=latency$/ { on = 1; next } /^```$/ { on = 0 } on' docs/tracing.md > "$T/out/latency"
check "docs/tracing.md has a table" grep -q '^block_handoff [0-9]* [0-9]* [0-9]*$' "$T/out/latency"
check "the page is printed to its end" \
    page sh -c "tools/demo/report.py '$T/out' '$T/json' > '$T/page' && grep -q 'figures are in' '$T/page'"
check "every bucket of the histogram is on it" \
    page sh -c "awk '\$1 == \"block_handoff\" { print \$4 }' '$T/out/latency' | while read -r n; do
           grep -qw \"\$n\" '$T/page' || exit 1; done"
check "what was not measured is said, and no JSON made up" \
    page sh -c "grep -q 'not measured' '$T/page' && ! grep -q '[0-9]' '$T/json'"
tap_done
