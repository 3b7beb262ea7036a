// SPDX-License-Identifier: MIT
/*
 * report.c - what was measured: the table of ticks with the figure under each and the reasons
 * below, JSON and CSV with everything.
 */
#include "report.h"

#define CELL 18

static const char *const outcomes[] = { "not run", "measured", "refused", "deadlock", "failed" };

static const struct cell *cells_of(const struct row *row, int model)
{
	return &row->cells[model * row->nr_sizes];
}

/* the last one tells what stopped it */
static const struct cell *worst(const struct row *row, int model)
{
	const struct cell *of = cells_of(row, model);

	for (int i = 0; i < row->nr_sizes; i++)
		if (of[i].outcome != MEASURED)
			return &of[i];
	return NULL;
}

static bool applies(const struct row *row, int model)
{
	return !row->work->steals || cells_of(row, model)->model->steals;
}

static enum tick tick_of(const struct row *row, int model)
{
	const struct cell *of = cells_of(row, model);

	if (!applies(row, model))
		return TICK_UNKNOWN;
	for (int i = 0; i < row->nr_sizes; i++)
		if (of[i].outcome == NOT_RUN || of[i].outcome == FAILED)
			return TICK_UNKNOWN;
	return row->work->tick(row, of);
}

static void figure_text(const struct row *row, int model, char *buf, size_t n)
{
	const struct cell *bad = worst(row, model);

	buf[0] = 0;
	if (!applies(row, model))
		snprintf(buf, n, "does not steal");
	else
		row->work->text(cells_of(row, model), row->nr_sizes, buf, n);
	if (!buf[0] && bad)
		snprintf(buf, n, "%s", outcomes[bad->outcome]);
}

static void heading(const struct row *row)
{
	printf("%-28s", "");
	for (int m = 0; m < row->nr_models; m++)
		printf(" %-*s", CELL, cells_of(row, m)->model->name);
	printf("\n%-28s", "");
	for (int m = 0; m < row->nr_models; m++)
		printf(" %-*s", CELL, cells_of(row, m)->model->title);
	printf("\n");
}

static void reasons(const struct row *rows, int nr)
{
	for (int r = 0; r < nr; r++)
		for (int i = 0; i < rows[r].nr_models * rows[r].nr_sizes; i++) {
			const struct cell *c = &rows[r].cells[i];

			if (c->outcome == MEASURED || !c->reason[0])
				continue;
			printf("%s, %s, %ld: %s: %s\n", rows[r].work->name, c->model->name, c->size,
			       outcomes[c->outcome], c->reason);
			if (c->outcome == DEADLOCKED)
				printf("\tgoroutines: %s\n", c->states);
		}
}

void report_table(const struct row *rows, int nr)
{
	static const char *const marks[] = { "[ ]", "[x]", " ? " };
	char buf[64];

	if (nr)
		heading(rows);
	for (int r = 0; r < nr; r++) {
		const struct row *row = &rows[r];

		printf("\n%-28s", row->work->claim);
		for (int m = 0; m < row->nr_models; m++)
			printf(" %-*s", CELL, applies(row, m) ? marks[tick_of(row, m)] : " -");
		printf("\n  %-26s", row->work->name);
		for (int m = 0; m < row->nr_models; m++) {
			figure_text(row, m, buf, sizeof(buf));
			printf(" %-*s", CELL, buf);
		}
		printf("\n");
	}
	printf("\nA tick [x] is given so; ? what it needs was not measured:\n");
	for (int r = 0; r < nr; r++)
		printf("  %-10s %s\n", rows[r].work->name, rows[r].work->rule);
	printf("\n");
	reasons(rows, nr);
}

/* no quotes or controls are in our texts but what libc's strerror() may bring */
static void json_string(const char *s)
{
	putchar('"');
	for (; *s; s++)
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s >= ' ')
			putchar(*s);
	putchar('"');
}

static void json_cell(const struct row *row, const struct cell *c, const char *tick)
{
	printf("{\"workload\": \"%s\", \"model\": \"%s\", \"size\": %ld, \"outcome\": \"%s\", ",
	       row->work->name, c->model->name, c->size, outcomes[c->outcome]);
	printf("\"tick\": %s, \"reason\": ", tick);
	json_string(c->reason);
	printf(", \"states\": ");
	json_string(c->states);
	printf(", \"figures\": {");
	for (int i = 0; i < c->nr; i++)
		printf("%s\"%s\": %.6g", i ? ", " : "", c->figures[i].key, c->figures[i].value);
	printf("}}");
}

void report_json(const struct row *rows, int nr)
{
	static const char *const ticks[] = { "false", "true", "null" };
	const char *comma = "";

	printf("{\"procs\": %d, \"cells\": [", conf.procs);
	for (int r = 0; r < nr; r++)
		for (int i = 0; i < rows[r].nr_models * rows[r].nr_sizes; i++) {
			int m = i / rows[r].nr_sizes;

			if (!applies(&rows[r], m))
				continue;
			printf("%s\n  ", comma);
			json_cell(&rows[r], &rows[r].cells[i], ticks[tick_of(&rows[r], m)]);
			comma = ",";
		}
	printf("\n]}\n");
}

void report_csv(const struct row *rows, int nr)
{
	printf("workload,model,size,outcome,figure,value\n");
	for (int r = 0; r < nr; r++)
		for (int i = 0; i < rows[r].nr_models * rows[r].nr_sizes; i++) {
			const struct cell *c = &rows[r].cells[i];

			if (!applies(&rows[r], i / rows[r].nr_sizes))
				continue;
			if (!c->nr)
				printf("%s,%s,%ld,%s,,\n", rows[r].work->name, c->model->name,
				       c->size, outcomes[c->outcome]);
			for (int f = 0; f < c->nr; f++)
				printf("%s,%s,%ld,%s,%s,%.6g\n", rows[r].work->name, c->model->name,
				       c->size, outcomes[c->outcome], c->figures[f].key,
				       c->figures[f].value);
		}
}
