/* SPDX-License-Identifier: MIT */
/*
 * cell.h - one workload on one model: a process of its own, what it measured, why it did not.
 */
#ifndef GRMODELS_CELL_H
#define GRMODELS_CELL_H

#include "model.h"

#define FIGURES_MAX 12

enum outcome { NOT_RUN, MEASURED, REFUSED, DEADLOCKED, FAILED };

struct figure {
	char key[24];
	double value;
};
struct cell {
	const struct model *model;
	long size;
	enum outcome outcome;
	char reason[256]; /* of all but MEASURED */
	char states[256]; /* of goroutines, when it hung or somebody asked */
	int nr;
	struct figure figures[FIGURES_MAX];
};

/* ---- in the parent ---- */
struct workload;
/* Run it; fills all but model and size. Stopped when *stop is set. */
void cell_run(struct cell *c, const struct workload *w, const volatile bool *stop);
/* the goroutines' states of the running cell to stderr; signal handler */
void cell_ask(void);
/* false: there is none of that name */
bool cell_figure(const struct cell *c, const char *key, double *value);

/* ---- in the cell's process, any thread ---- */
/* One figure that was measured. */
void cell_out(const char *key, double value);
/* The end: measured; the model would not take more; something went wrong. */
_Noreturn void cell_done(void);
_Noreturn void cell_refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void cell_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* GRMODELS_CELL_H */
