#!/bin/bash
# SPDX-License-Identifier: MIT
#
# valgrind.sh - a program of goroutines under valgrind: no report, and none about stack switches.
# Callers: check.sh. TAP on stdout.
set -u
cd "$(dirname "$0")/.." || exit 1
make -s build/libgr-test.a || exit 1
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
cat > "$T/p.c" << 'EOF'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gr.h"
static struct gr_chan *c;
static int use(int n)
{
	volatile char here[512];
	memset((char *)here, n, sizeof(here));
	return n ? use(n - 1) + here[3] : 0;
}
static void worker(void *unused)
{
	(void)unused;
	for (int i = 0; i < 50; i++) {
		char *p = malloc(100);
		memset(p, use(40), 100);
		gr_chan_send(c, &p, GR_FOREVER);
		gr_yield();
	}
}
static int run(void *unused)
{
	char *p;
	long sum = 0;
	(void)unused;
	gr_chan_new(&c, sizeof(p), 3);
	for (int i = 0; i < 10; i++)
		gr_go(worker, NULL);
	for (int i = 0; i < 500; i++) {
		gr_chan_recv(c, &p, GR_FOREVER);
		sum += p[99];
		free(p);
	}
	gr_chan_release(c);
	printf("sum %ld\n", sum);
	return 0;
}
int main(void)
{
	struct gr_opts one = { .size = sizeof(one), .nr_procs = 2 };
	return gr_run(run, NULL, &one);
}
EOF
${CC:-cc} -O1 -g -Iinclude -o "$T/p" "$T/p.c" build/libgr-test.a -luring -pthread || exit 1
GR_BACKEND=futex valgrind --error-exitcode=9 "$T/p" > "$T/out" 2> "$T/err"
status=$?
# switches that it takes for frames show as errors, or it says so
said=0
grep -q "switching stacks" "$T/err" && said=1
n=0 bad=0
# ok NAME CONDITION: 0 is good
ok()
{
    n=$((n + 1))
    if [ "$2" = 0 ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        bad=1
    fi
}
grep -q ^sum "$T/out"
ok "the program does its work" $?
ok "no error is reported" $status
ok "no stack is guessed to be switched" $said
echo "1..$n"
[ $bad = 0 ] || sed 's/^/# /' "$T/err" | head -40
exit $bad
