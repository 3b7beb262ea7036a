// SPDX-License-Identifier: MIT
/*
 * work_switch.c - what it costs to go from one goroutine to another: two of them wake each other
 * in turn and wait, on one CPU.
 */
#include "model.h"
#include "work.h"

static struct msem ping, pong;

static void other(void *unused)
{
	(void)unused;
	for (long i = 0; i < conf.size; i++) {
		model->sem_acquire(&ping);
		model->sem_release(&pong);
	}
}

static void run(void *unused)
{
	int64_t since;

	(void)unused;
	spawn(other, NULL);
	since = gr_now();
	for (long i = 0; i < conf.size; i++) {
		model->sem_release(&ping);
		model->sem_acquire(&pong);
	}
	cell_out("switch_ns", (double)(gr_now() - since) / conf.size / 2);
	cell_done();
}

static void text(const struct cell *of, int nr, char *buf, size_t n)
{
	double ns;

	if (last_with(of, nr, "switch_ns", &ns))
		snprintf(buf, n, "%.0f ns", ns);
}

static enum tick tick(const struct row *row, const struct cell *of)
{
	const struct cell *threads = row_model(row, "1:1");
	double ns, thread_ns;

	if (!threads || !last_with(threads, row->nr_sizes, "switch_ns", &thread_ns))
		return TICK_UNKNOWN;
	return last_with(of, row->nr_sizes, "switch_ns", &ns) && ns * 3 <= thread_ns;
}

const struct workload work_switch = {
	.name = "switch",
	.claim = "cheap to switch",
	.rule = "to wake another goroutine and wait takes at most a third of what it takes 1:1",
	.size_name = "rounds",
	.sizes = { 200000 },
	.short_sizes = { 2000 },
	.one_cpu = true,
	.run = run,
	.text = text,
	.tick = tick,
};
