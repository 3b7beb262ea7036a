#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint.sh - what a machine can say about the source, as TAP in build/lint.tap: the module with
# sparse, checkpatch and the kernel's semantic patches, the library without a warning from gcc and
# from clang, the scripts with shellcheck, all of it with codespell, the list of packages, the manual
# page, the table of error codes, and what modinfo says.
#
# Callers: `make lint`, check.sh. Tools and the kernel's scripts come from tools/setup.sh; a tool
# that is missing is a failure. Exit 0 if nothing was found.
set -u
cd "$(dirname "$0")/.." || exit 1
CACHE=${GR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gr}
OUT=build/lint.tap
N=0
mkdir -p build
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
printf '# begin lint\n' > $OUT

skip()
{
    N=$((N + 1))
    echo "ok $N - $1 # SKIP $2" | tee -a $OUT
}

# check NAME COMMAND...: passes if it succeeds and prints nothing
check()
{
    local name=$1 text
    shift
    N=$((N + 1))
    if text=$("$@" 2>&1) && [ -z "$text" ]; then
        echo "ok $N - $name" | tee -a $OUT
    else
        echo "not ok $N - $name" | tee -a $OUT
        head -n 20 <<< "$text" | sed 's/^/# /' | tee -a $OUT
    fi
}

sparse_module()
{
    local kver dir
    kver=$(cat "$CACHE/kernels/$1") || return 1
    dir=$PWD/build/sparse-$kver
    mkdir -p "$dir/include"
    cp -r kmod "$dir/" && cp -r include/uapi "$dir/include/" || return 1
    make -j2 -C "$CACHE/kernels/usr/src/linux-headers-$kver" M="$dir/kmod" C=2 CF=-Wsparse-error \
        W=1 modules > "$T/sparse" 2>&1 || { cat "$T/sparse"; return 1; }
    grep -E 'warning:|error:|\*\*\*' "$T/sparse"
    return 0
}

checkpatch()
{
    perl "$CACHE/kselftest/checkpatch.pl" --no-tree --terse --quiet --no-summary \
        --max-line-length=100 -f kmod/*.c kmod/*.h include/uapi/gr.h
}

# cocci PATCH FILE...: what one semantic patch reports
cocci()
{
    local patch=$1 options
    shift
    options=$(sed -n 's|^// *Options: *||p' "$patch")
    # shellcheck disable=SC2086
    spatch -D report --very-quiet $options -I include --cocci-file "$patch" "$@" 2> "$T/$$.err" ||
        { echo "$patch: spatch failed"; cat "$T/$$.err"; }
}
export -f cocci
export T

coccicheck()
{
    local dir=$CACHE/kselftest/coccinelle
    # does it find anything at all?
    printf 'int f(int *p)\n{\n\tkfree(p);;\n\tif (p == 0)\n\t\treturn 1;\n\treturn 0;\n}\n' > "$T/bad.c"
    [ -n "$(cocci "$dir/misc/semicolon.cocci" "$T/bad.c")" ] || echo "misses a second semicolon"
    [ -n "$(cocci "$dir/null/badzero.cocci" "$T/bad.c")" ] || echo "misses a pointer compared to 0"
    find "$dir" -name '*.cocci' | sort |
        xargs -P "$(nproc)" -I '{}' bash -c 'cocci "$@"' cocci '{}' kmod/*.c
}

# every file of the tree but what was built
sources()
{
    find . -path ./.git -prune -o -path './build*' -prune -o -type f "$@"
}

scripts()
{
    local files
    mapfile -t files < <(sources -exec grep -lE '^#!.*\bsh$|^#!.*bash$' '{}' +)
    [ ${#files[@]} -gt 0 ] && shellcheck -x "${files[@]}"
}

spelling()
{
    local files
    mapfile -t files < <(sources ! -name '*.o' -print)
    codespell -L fro,parm,nd,inout,crate,exat "${files[@]}"
}

# Each package that setup.sh installs has its reason in docs/dependencies.md.
packages()
{
    local p
    awk -F'|' '/^\| / { gsub(/[(), ]+/, "\n", $2); print $2 }' docs/dependencies.md > "$T/documented"
    sed -n '/^[A-Z]*_PACKAGES="$/,/^"$/p' tools/setup.sh | sed '/"$/d; s/ .*//' > "$T/installed"
    [ -s "$T/installed" ] || echo "setup.sh: no list of packages found"
    while read -r p; do
        grep -Fqx -- "$p" "$T/documented" || echo "docs/dependencies.md: no line for $p"
    done < "$T/installed"
}

# Each error code of the module is in the table of docs/abi.md and in gr(4); each test that the table
# names is there and speaks of that code.
error_codes()
{
    local code test file names
    grep '^| .*`[a-z]*_test\.' docs/abi.md > "$T/errors"
    [ -s "$T/errors" ] || echo "docs/abi.md: no table of errors"
    grep -rhoE --include='*.c' --exclude='*_test.c' -e '-E[A-Z]{3,}' kmod | tr -d - | sort -u |
        sed '/^ERESTART/s/.*/EINTR/; /^EIOCBQUEUED/d' | while read -r code; do
        grep -q "| $code |" "$T/errors" || echo "docs/abi.md: no line for $code"
        grep -q "Er $code\\b" docs/man/gr.4 || echo "docs/man/gr.4: nothing about $code"
    done
    while IFS='|' read -r _ _ code _ names; do
        while read -r test; do
            file=tests/kselftest/${test%%.*}.c
            grep -qE "^TEST.*\b${test#*.}[,)]" "$file" || echo "docs/abi.md: no test $test"
            grep -qw -e "${code// /}" "$file" || echo "docs/abi.md: $test says nothing of$code"
        done < <(grep -oE '[a-z]+_test\.[a-z0-9_]+' <<< "$names")
    done < "$T/errors"
}

# What `modinfo gr.ko` must say.
module_info()
{
    local ko parameter
    ko=$(tests/vm/kmod.sh 6.12) || return 1
    PATH=$PATH:/usr/sbin:/sbin modinfo "$ko" > "$T/modinfo" || return 1
    grep -qE '^description: +[A-Z].{20}' "$T/modinfo" || echo "no description"
    grep -qE '^author: +.{3}' "$T/modinfo" || echo "no author"
    grep -qE '^license: +GPL( v2)?$' "$T/modinfo" || echo "no licence, or not the GPL"
    grep -qE "^version: +$(sed -n 's/^VERSION := //p' Makefile)\$" "$T/modinfo" ||
        echo "no version, or not the Makefile's"
    grep -hoE 'module_param(_named)?\([a-z_]+' kmod/*.c | sed 's/.*(//' > "$T/parameters"
    [ -s "$T/parameters" ] || echo "kmod: no parameters found"
    grep -cE '^parm: +[a-z_]+:[A-Z].{10}' "$T/modinfo" |
        grep -qx "$(wc -l < "$T/parameters")" || echo "a parameter without a description"
    grep '^parm:' "$T/modinfo" | sed 's/^parm: *//; s/:.*//' | while read -r parameter; do
        grep -q "^| .$parameter. |" docs/abi.md || echo "docs/abi.md: nothing about $parameter"
        grep -q "$parameter" docs/man/gr.4 || echo "docs/man/gr.4: nothing about $parameter"
    done
}

# Each request that libgr makes of the kernel is one that op_call.c can do by system calls, and
# opcode_test tries both; op_call.c can do no others. Not so what is made only where there are
# rings: messages between them, multishot requests and sends without a copy, which are done another
# way without.
requests()
{
    local name
    grep -hoE 'io_uring_prep_[a-z_]+' libgr/*.c | sed 's/^io_uring_prep_//; /^msg_ring$/d; /^send_zc$/d; /multishot/d' |
        sort -u > "$T/made"
    [ -s "$T/made" ] || echo "libgr: no requests found"
    while read -r name; do
        grep -qE "\\bDO(_BY\\(d)?[(,] ?$name," tests/unit/opcode_test.c ||
            echo "tests/unit/opcode_test.c: nothing about $name"
    done < "$T/made"
    grep -oE 'case IORING_OP_[A-Z_]+:' libgr/op_call.c | sed 's/.*_OP_//; s/:$//' |
        tr '[:upper:]' '[:lower:]' | sort -u > "$T/done"
    # that one is for the back end
    printf 'poll_add\n' | sort -u - "$T/done" | diff "$T/made" -
}

# The description for syzkaller knows the calls, their structures, and the flags of the header.
syzkaller()
{
    local name
    grep -oE '\b(GR_IOC|GR_UCMD|GR_FEAT|GR_UNPARK|GR_ATTACH|GR_PARK|GR_MONITOR)_[A-Z_]+' include/uapi/gr.h |
        grep -vE '_(MAGIC|ALL|)$' | sort -u | while read -r name; do
        grep -qw "$name" tests/syzkaller/gr.txt || echo "tests/syzkaller/gr.txt: no $name"
    done
    for name in setup attach detach park unpark monitor switch ucmd; do
        # names of the fields, without comments and arrays' sizes
        sed -n "/^struct gr_$name {/,/^};/p" include/uapi/gr.h |
            sed -n 's/^\t__[us][0-9]* \([a-z_]*\).*/\1/p' > "$T/header"
        sed -n "/^gr_$name {/,/^}/p" tests/syzkaller/gr.txt | sed -n 's/^\t\([a-z_]*\).*/\1/p' > "$T/syz"
        [ -s "$T/header" ] || echo "include/uapi/gr.h: no struct gr_$name"
        cmp -s "$T/header" "$T/syz" || echo "tests/syzkaller/gr.txt: gr_$name has other fields"
    done
}

warnings()
{
    local f
    for f in libgr/*.c; do
        "$1" -std=gnu11 -D_GNU_SOURCE -Iinclude -iquote libgr -O2 -Wall -Wextra -c -o /dev/null "$f"
    done
}

check "gcc: no warning in libgr" warnings gcc
check "clang: no warning in libgr" warnings clang
check "sparse: 6.12 module" sparse_module 6.12
check "sparse: 6.1 module" sparse_module 6.1
MISSING=$CACHE/kernel/newest/missing
if [ -f "$MISSING" ]; then
    skip "sparse: newest module" "$(cat "$MISSING")"
else
    check "sparse: newest module" sparse_module newest
fi
check "checkpatch: module and UAPI" checkpatch
check "coccinelle: module" coccicheck
check "shellcheck: scripts" scripts
check "codespell: everything" spelling
check "every package has its reason" packages
check "mandoc: gr(4)" mandoc -Tlint -W warning docs/man/gr.4
check "every error code is documented and tested" error_codes
check "every request is done by system calls, too, and tested" requests
check "the description for syzkaller is the header's" syzkaller
check "modinfo: gr.ko says what it is" module_info
printf '1..%d\n# end lint 0\nverdict: done\n' $N >> $OUT
! grep -q '^not ok' $OUT
