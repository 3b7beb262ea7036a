/* SPDX-License-Identifier: MIT */
/*
 * work.h - the workloads: what each claims, runs, and when a model gets its tick.
 *
 * A tick is given by a function of the figures that were measured, and by nothing else.
 */
#ifndef GRMODELS_WORK_H
#define GRMODELS_WORK_H

#include "cell.h"

#define SIZES_MAX 8

enum tick { TICK_NO, TICK_YES, TICK_UNKNOWN };

/* the cells of one workload; of a model they stand together, smallest size first */
struct row {
	const struct workload *work;
	int nr_models, nr_sizes; /* of which figures were asked for */
	struct cell *cells;	 /* [model][size] */
};

struct workload {
	const char *name;
	const char *claim; /* of who has the tick */
	const char *rule;  /* of the tick, in words */
	const char *size_name;
	long sizes[SIZES_MAX];	     /* up to 0; by default */
	long short_sizes[SIZES_MAX]; /* with --short; none: the others */
	long most;		     /* size that the models have room for; 0: any */
	bool one_cpu;		     /* the process has one CPU, the model one thread or P */
	bool steals;		     /* only for models that steal */
	bool size_is_procs;
	/* what size needs of m, to be refused before it is begun; NULL: nothing much */
	void (*costs)(const struct model *m, long size, long *threads, long *bytes);
	void (*run)(void *unused); /* as the first goroutine */
	/* one model's cells -> the text under the tick */
	void (*text)(const struct cell *of, int nr, char *buf, size_t n);
	enum tick (*tick)(const struct row *row, const struct cell *of);
};
extern const struct workload work_create, work_switch, work_parallel, work_ways, work_syscall,
	work_deadlock, work_steal, work_contention;
extern const struct workload *const workloads[];
extern const int nr_workloads;

/* model->spawn(), or the end of the cell */
void spawn(void (*fn)(void *), void *arg);
/* costs() of a workload that blocks size threads */
void costs_threads(const struct model *m, long size, long *threads, long *bytes);
/* n goroutines have to come; the last one releases all */
struct meet {
	_Atomic long left;
	struct msem all;
};
void meet_come(struct meet *m);
/* until all have come */
void meet_wait(struct meet *m);
/* the last of one model's cells with a figure of that name; NULL: none */
const struct cell *last_with(const struct cell *of, int nr, const char *key, double *value);
/* the cells of the first model in the row, of that name; NULL: not in it */
const struct cell *row_model(const struct row *row, const char *name);

#endif /* GRMODELS_WORK_H */
