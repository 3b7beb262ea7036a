// SPDX-License-Identifier: MIT
/*
 * work_create.c - how many goroutines can wait at once, and what one costs: all are created, each
 * has run and waits for a semaphore; then all end.
 */
#include <string.h>

#include "model.h"
#include "work.h"

#define MANY 100000
#define KERNEL_STACK 16384 /* of a thread, on x86-64 */

static struct meet all, gone;
static struct msem gate;

static void waiter(void *unused)
{
	(void)unused;
	meet_come(&all);
	model->sem_acquire(&gate);
	meet_come(&gone);
}

/* what the process holds: memory, page tables, and the kernel's stacks of its threads */
static long held(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	long kb = 0, n, threads = 0;
	char line[160];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmRSS: %ld", &n) == 1 || sscanf(line, "VmPTE: %ld", &n) == 1)
			kb += n;
		sscanf(line, "Threads: %ld", &threads);
	}
	if (f)
		fclose(f);
	return (kb << 10) + threads * KERNEL_STACK;
}

static void run(void *unused)
{
	long before = held();
	int64_t since = gr_now();

	(void)unused;
	atomic_store(&all.left, conf.size);
	atomic_store(&gone.left, conf.size);
	for (long i = 0; i < conf.size; i++)
		spawn(waiter, NULL);
	meet_wait(&all);
	cell_out("create_ns", (double)(gr_now() - since) / conf.size);
	cell_out("bytes", (double)(held() - before) / conf.size);
	for (long i = 0; i < conf.size; i++)
		model->sem_release(&gate);
	meet_wait(&gone);
	cell_done();
}

static void costs(const struct model *m, long size, long *threads, long *bytes)
{
	bool has_thread = !strcmp(m->name, "1:1") || !strcmp(m->name, "pool");

	*threads = has_thread ? size : conf.procs;
	*bytes = has_thread ? 0 : size * 4500; /* a page, its part of page tables, a descriptor */
}

static void text(const struct cell *of, int nr, char *buf, size_t n)
{
	double bytes = 0, ns = 0;
	const struct cell *c = last_with(of, nr, "bytes", &bytes);

	if (!c || !cell_figure(c, "create_ns", &ns))
		return;
	if (c->size < MANY)
		snprintf(buf, n, "%ld: %.1fK %.0fus", c->size, bytes / 1024, ns / 1000);
	else
		snprintf(buf, n, "%ldk: %.1fK %.0fus", c->size / 1000, bytes / 1024, ns / 1000);
}

static enum tick tick(const struct row *row, const struct cell *of)
{
	double unused;
	const struct cell *c = last_with(of, row->nr_sizes, "bytes", &unused);

	/* the largest that was tried is less than many: nobody was asked */
	if (of[row->nr_sizes - 1].size < MANY)
		return TICK_UNKNOWN;
	return c && c->size >= MANY ? TICK_YES : TICK_NO;
}

const struct workload work_create = {
	.name = "create",
	.claim = "goroutines by the 100000",
	.rule = "100000 or more waited at once, each having run; below: how many, memory and time "
		"for each",
	.size_name = "goroutines",
	.sizes = { 1000, 10000, 100000, 1000000 },
	.short_sizes = { 100, 1000 },
	.costs = costs,
	.run = run,
	.text = text,
	.tick = tick,
};
