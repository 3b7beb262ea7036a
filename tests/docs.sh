#!/bin/bash
# SPDX-License-Identifier: MIT
#
# docs.sh - what the manual promises: every public function stands in the NAME section of one page
# and is declared in its SYNOPSIS, every error a page names exists, pages are well formed, and
# every program in them and in examples/ compiles with pkg-config and does its job.
# shellcheck disable=SC2317  # check() calls them
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/tap.sh

# the functions that gr.h declares: a name before a bracket at the left margin's level
functions()
{
    cc -E -P -x c include/gr.h | grep -v '^#' | tr '\n' ' ' |
        sed 's/[{][^{}]*[}]//g; s/[{][^{}]*[}]//g' | tr ';' '\n' |
        sed -n 's/^[^(]*[ *]\(gr_[a-z0-9_]*\)(.*/\1/p' | sort -u
}

# its NAME section's names: file name
names()
{
    awk '/^\.Sh/ { on = $2 == "NAME" } on && $1 == ".Nm" { print FILENAME, $2 }' docs/man/*.3
}

one_page()
{
    local pages
    pages=$(awk -v f="$1" '$2 == f { print $1 }' "$T/names")
    [ "$(wc -w <<< "$pages")" = 1 ] || { echo "pages: ${pages:-none}"; return 1; }
    grep -q "^\.Fn $1 " "$pages" || { echo "$pages: not in the SYNOPSIS"; return 1; }
}

no_strangers()
{
    awk '{ print $2 }' "$T/names" | sort -u | comm -23 - "$T/functions" > "$T/strangers"
    cat "$T/strangers"
    [ ! -s "$T/strangers" ]
}

same_as_map()
{
    grep -o 'gr_[a-z0-9_]*' libgr/libgr.map | sort -u | diff "$T/functions" -
}

all_exported()
{
    nm -D --defined-only "$T/root/usr/lib/libgr.so" | grep -o ' gr_[a-z0-9_]*' | tr -d ' ' |
        sort -u | diff "$T/functions" -
}

# every SYNOPSIS as a C file of its own: must agree with gr.h
prototypes()
{
    awk '/^\.Sh/ { on = $2 == "SYNOPSIS" } !on { next }
         $1 == ".Ft" { sub(/^\.Ft /, ""); gsub(/"/, ""); type = $0 }
         $1 == ".Fn" {
             sub(/^\.Fn /, ""); name = $1; sub(/^[^ ]+ */, "")
             gsub(/" "/, ", "); gsub(/"/, "")
             print "extern __typeof__(" type ") " name "(" $0 ");"
         }' "$1" > "$T/decl"
    { echo '#include <gr.h>'; cat "$T/decl"; } > "$T/decl.c"
    [ -s "$T/decl" ] && cc -Iinclude -Werror -fsyntax-only "$T/decl.c"
}

# complete programs of a page's EXAMPLES: $T/PAGE-1.c, ...
programs()
{
    mandoc -T ascii "$1" > /dev/null || return 1
    awk -v out="$T/$(basename "$1")" '
        /^\.Sh/ { sect = $2 }
        sect == "EXAMPLES" && /^\.Bd -literal/ { n++; on = 1; next }
        /^\.Ed/ { on = 0 }
        on { gsub(/\\e/, "\\"); sub(/^\\&/, ""); print > (out "-" n ".c") }' "$1"
}

compile()
{
    # shellcheck disable=SC2046
    cc -Wall -Wextra -Werror "$1" $(pkg-config --cflags --libs libgr) -o "$T/program"
}

runs()
{
    compile "$1" && LD_LIBRARY_PATH=$T/root/usr/lib GR_BACKEND=futex timeout 10 "$T/program"
}

installed()
{
    local page man=$T/root/usr/share/man
    for page in docs/man/*.[1-9]; do
        [ -f "$man/man${page##*.}/$(basename "$page")" ] || { echo "$page"; return 1; }
    done
}

export PKG_CONFIG_PATH=$T/root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$T/root
check "make install" make -s install DESTDIR="$T/root" PREFIX=/usr
check "every page is installed" installed
functions > "$T/functions"
names > "$T/names"
check "functions of gr.h were found" test "$(wc -l < "$T/functions")" -gt 50
while read -r f; do
    check "$f is in one page" one_page "$f"
done < "$T/functions"
check "pages name only functions of gr.h" no_strangers
check "libgr.map and gr.h name the same functions" same_as_map
check "libgr.so has them all" all_exported
for page in docs/man/*.[1-9]; do
    name=$(basename "$page")
    check "$name: lint" mandoc -T lint -W warning "$page"
    case $name in
    *.3) check "$name: SYNOPSIS agrees with gr.h" prototypes "$page" ;;
    esac
    check "$name: examples found" programs "$page"
    for c in "$T/$name"-*.c; do
        [ -f "$c" ] || continue
        # a fragment has no main(), and says what it needs in words
        grep -q '^int main' "$c" && check "$(basename "$c") runs" runs "$c"
    done
    case $name in
    *.3) check "$name: has a complete program" grep -q '^int main' "$T/$name"-*.c ;;
    esac
done
for c in examples/*.c; do
    case $c in
    examples/echo.c) check "$c compiles" compile "$c" ;; # a server: tests/bench/smoke.py runs it
    *) check "$c runs" runs "$c" ;;
    esac
done
tap_done
