// SPDX-License-Identifier: MIT
/* work.c - what workloads share, in the cell and when ticks are given. */
#include <errno.h>
#include <string.h>

#include "limits.h"
#include "work.h"

const struct workload *const workloads[] = {
	&work_create,  &work_switch,   &work_parallel,	 &work_ways,
	&work_syscall, &work_deadlock, &work_contention, &work_steal,
};
const int nr_workloads = sizeof(workloads) / sizeof(workloads[0]);

void spawn(void (*fn)(void *), void *arg)
{
	char reason[160];
	int ret = model->spawn(fn, arg);

	if (!ret)
		return;
	/* which limit was it? The one without room for as many as a reserve */
	if (ret == -EAGAIN && !limits_allow(1001, 0, reason, sizeof(reason)))
		cell_refuse("no more threads, %s", reason);
	cell_refuse("no more goroutines: %s", strerror(-ret));
}

void costs_threads(const struct model *m, long size, long *threads, long *bytes)
{
	(void)m;
	*threads = size;
	*bytes = 0;
}

void meet_come(struct meet *m)
{
	if (atomic_fetch_sub(&m->left, 1) == 1)
		model->sem_release(&m->all);
}

void meet_wait(struct meet *m)
{
	model->sem_acquire(&m->all);
}

const struct cell *last_with(const struct cell *of, int nr, const char *key, double *value)
{
	for (int i = nr - 1; i >= 0; i--)
		if (of[i].outcome == MEASURED && cell_figure(&of[i], key, value))
			return &of[i];
	return NULL;
}

const struct cell *row_model(const struct row *row, const char *name)
{
	for (int i = 0; i < row->nr_models; i++)
		if (!strcmp(row->cells[i * row->nr_sizes].model->name, name))
			return &row->cells[i * row->nr_sizes];
	return NULL;
}
