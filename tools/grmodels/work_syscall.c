// SPDX-License-Identifier: MIT
/*
 * work_syscall.c - more goroutines than procs block in a system call while another one is ready:
 * the one that is going to wake them. Where it never runs, all hang.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "model.h"
#include "work.h"

static int fds[2];
static _Atomic long calling;
static struct meet done;

static void read_call(void *unused)
{
	char c;

	(void)unused;
	atomic_fetch_add(&calling, 1);
	if (read(fds[0], &c, 1) != 1)
		cell_fail("nothing read from the pipe: errno %d", errno);
}

static void reader(void *unused)
{
	(void)unused;
	model->call(read_call, NULL);
	meet_come(&done);
}

static void run(void *unused)
{
	long n = conf.procs + conf.size;
	int64_t since;

	(void)unused;
	if (pipe2(fds, O_CLOEXEC))
		cell_fail("no pipe: errno %d", errno);
	atomic_store(&done.left, n);
	since = gr_now();
	for (long i = 0; i < n; i++)
		spawn(reader, NULL);
	while (atomic_load(&calling) < n)
		model->yield();
	cell_out("ready_us", (double)(gr_now() - since) / 1000 / n);
	for (long i = 0; i < n; i++)
		if (write(fds[1], "x", 1) != 1)
			cell_fail("nothing written to the pipe: errno %d", errno);
	meet_wait(&done);
	cell_done();
}

static void text(const struct cell *of, int nr, char *buf, size_t n)
{
	double us;

	if (last_with(of, nr, "ready_us", &us))
		snprintf(buf, n, "%.0f us each", us);
}

static enum tick tick(const struct row *row, const struct cell *of)
{
	double us;

	return last_with(of, row->nr_sizes, "ready_us", &us) == &of[row->nr_sizes - 1];
}

const struct workload work_syscall = {
	.name = "syscall",
	.claim = "system calls stop nobody",
	.rule = "with more goroutines in blocking system calls than procs another one runs, and "
		"wakes "
		"them; below: how long for each until it does",
	.size_name = "more than procs",
	.sizes = { 8, 64 },
	.short_sizes = { 4 },
	.most = 9000,
	.costs = costs_threads,
	.run = run,
	.text = text,
	.tick = tick,
};
