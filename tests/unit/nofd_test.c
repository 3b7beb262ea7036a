// SPDX-License-Identifier: MIT
/*
 * nofd_test.c - no descriptors are left when a thread blocks for the first time: its P goes to another
 * thread all the same.
 */
#include "check.h"

static int pipe_fds[2];

static void writer(void *unused)
{
	(void)unused;
	CHECK(write(pipe_fds[1], "x", 1) == 1);
}

/* the only P's thread blocks, and what wakes it is a goroutine of that P */
static int block(void *unused)
{
	char c = 0;

	(void)unused;
	check_few_fds(true);
	for (int i = 0; i < 20; i++) {
		gr_go(writer, NULL);
		CHECK(read(pipe_fds[0], &c, 1) == 1 && c == 'x');
	}
	check_few_fds(false);
	return 0;
}

int main(void)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 1 };

	tap_limit(LIMIT_S);
	CHECK(!pipe(pipe_fds));
	CHECK(gr_run(block, NULL, &opts) == 0);
	tap_ok(!atomic_load(&errors), "a thread that blocks without descriptors gives its P away");
	return tap_done();
}
