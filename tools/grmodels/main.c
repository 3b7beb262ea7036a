// SPDX-License-Identifier: MIT
/*
 * main.c - grmodels: the same programs on six schedulers, side by side; docs/schedulers.md.
 *
 * Exit 0 measured, whatever the ticks; 1 a cell failed, or it was interrupted; 2 bad usage, or a
 * size that a limit refuses.
 */
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "limits.h"
#include "plot.h"
#include "report.h"

const struct model *const models[] = { &one_to_one,  &n_to_one, &pool,	  &shared_queue,
				       &distributed, &mpn,	&mpn_kmod };
const int nr_models = sizeof(models) / sizeof(models[0]);

#define ROWS_MAX 16
static struct {
	const struct model *models[16];
	int nr_models;
	const struct workload *works[ROWS_MAX];
	int nr_works;
	bool quick, json, csv;
	long size;
	const char *plot; /* folder of charts */
} want;

static volatile bool stopped;

static void on_interrupt(int sig)
{
	(void)sig;
	stopped = true;
}

static void on_quit(int sig)
{
	(void)sig;
	cell_ask();
}

static void help(FILE *f)
{
	fprintf(f, "usage: grmodels [options] [limits]\n"
		   "  --model NAME[,NAME]     models, default: all that can run here\n"
		   "  --workload NAME[,NAME]  workloads, default: all\n"
		   "  --procs N               threads that run goroutines, default: CPUs, 2 to 4\n"
		   "  --threads N             most threads of the pool, default: no limit\n"
		   "  --size N                one size instead of the workload's own\n"
		   "  --short                 small sizes, seconds in all\n"
		   "  --json, --csv           everything that was measured, instead of the table\n"
		   "  --plot DIR              charts in SVG, by gnuplot\n"
		   "  limits                  how many threads and goroutines there can be\n"
		   "SIGQUIT (Ctrl-\\) prints what the goroutines do now. Models:");
	for (int i = 0; i < nr_models; i++)
		fprintf(f, " %s", models[i]->name);
	fprintf(f, "\nworkloads:");
	for (int i = 0; i < nr_workloads; i++)
		fprintf(f, " %s", workloads[i]->name);
	fprintf(f, "\n");
}

static _Noreturn void unknown(const char *kind, const char *name)
{
	fprintf(stderr, "grmodels: no %s \"%s\"; there are:", kind, name);
	if (!strcmp(kind, "model"))
		for (int i = 0; i < nr_models; i++)
			fprintf(stderr, " %s", models[i]->name);
	else
		for (int i = 0; i < nr_workloads; i++)
			fprintf(stderr, " %s", workloads[i]->name);
	fprintf(stderr, "\n");
	exit(2);
}

static bool can_run(const struct model *m)
{
	return !m->backend || strcmp(m->backend, "kmod") || !access("/dev/gr", R_OK | W_OK);
}

static void choose_models(char *names)
{
	for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
		int i = 0;

		while (i < nr_models && strcmp(models[i]->name, name))
			i++;
		if (i == nr_models)
			unknown("model", name);
		if (!can_run(models[i])) {
			fprintf(stderr, "grmodels: %s needs /dev/gr: load gr.ko\n", name);
			exit(2);
		}
		if (want.nr_models < nr_models)
			want.models[want.nr_models++] = models[i];
	}
}

static void choose_works(char *names)
{
	for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
		int i = 0;

		while (i < nr_workloads && strcmp(workloads[i]->name, name))
			i++;
		if (i == nr_workloads)
			unknown("workload", name);
		if (want.nr_works < ROWS_MAX)
			want.works[want.nr_works++] = workloads[i];
	}
}

static long number(const char *option, const char *text, long most)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || end == text || n < 1 || n > most) {
		fprintf(stderr, "grmodels: --%s takes a number from 1 to %ld, not \"%s\"\n", option,
			most, text);
		exit(2);
	}
	return n;
}

static int default_procs(void)
{
	int n = gr_default_procs();

	return n < 2 ? 2 : n > 4 ? 4 : n;
}

static void take_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "model", required_argument, NULL, 'm' },
		{ "workload", required_argument, NULL, 'w' },
		{ "procs", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 't' },
		{ "size", required_argument, NULL, 'n' },
		{ "plot", required_argument, NULL, 'o' },
		{ "short", no_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "csv", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	conf.procs = default_procs();
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'm': choose_models(optarg); break;
		case 'w': choose_works(optarg); break;
		case 'p': conf.procs = (int)number("procs", optarg, 256); break;
		case 't': conf.max_threads = (int)number("threads", optarg, 10000); break;
		case 'n': want.size = number("size", optarg, LONG_MAX / 65536); break;
		case 'o': want.plot = optarg; break;
		case 's': want.quick = true; break;
		case 'j': want.json = true; break;
		case 'c': want.csv = true; break;
		case 'h': help(stdout); exit(0);
		default: help(stderr); exit(2);
		}
	}
}

static void defaults(void)
{
	if (!want.nr_models)
		for (int i = 0; i < nr_models; i++)
			if (can_run(models[i]))
				want.models[want.nr_models++] = models[i];
	if (!want.nr_works)
		for (int i = 0; i < nr_workloads; i++)
			want.works[want.nr_works++] = workloads[i];
}

static void make_row(struct row *row, const struct workload *w)
{
	const long *sizes = want.quick && w->short_sizes[0] ? w->short_sizes : w->sizes;

	*row = (struct row){ .work = w, .nr_models = want.nr_models };
	while (row->nr_sizes < SIZES_MAX && sizes[row->nr_sizes])
		row->nr_sizes++;
	if (want.size)
		row->nr_sizes = 1;
	row->cells = calloc((size_t)row->nr_models * row->nr_sizes, sizeof(*row->cells));
	if (!row->cells) {
		fprintf(stderr, "grmodels: no memory\n");
		exit(1);
	}
	for (int i = 0; i < row->nr_models * row->nr_sizes; i++) {
		row->cells[i].model = want.models[i / row->nr_sizes];
		row->cells[i].size = want.size ? want.size : sizes[i % row->nr_sizes];
	}
}

/* a size that somebody asked for: all of it is possible, or nothing is begun */
static void check_size(const struct row *row)
{
	char reason[200];
	long threads = 0, bytes = 0;

	if (row->work->most && want.size > row->work->most) {
		fprintf(stderr, "grmodels: %s: %ld %s are too many: the models' own limit is %ld\n",
			row->work->name, want.size, row->work->size_name, row->work->most);
		exit(2);
	}
	for (int i = 0; want.size && row->work->costs && i < row->nr_models; i++) {
		const struct model *m = row->cells[i].model;

		row->work->costs(m, want.size, &threads, &bytes);
		if (limits_allow(threads, bytes, reason, sizeof(reason)))
			continue;
		fprintf(stderr, "grmodels: %s, %s: %ld %s are too many: %s\n", row->work->name,
			m->name, want.size, row->work->size_name, reason);
		exit(2);
	}
}

static void progress(const char *text)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%-60s\r", text);
	else if (text[0])
		fprintf(stderr, "%s\n", text);
}

/* false: a cell failed */
static bool run_row(struct row *row, int at, int of)
{
	bool good = true;
	char line[160];

	for (int i = 0; i < row->nr_models * row->nr_sizes && !stopped; i++) {
		struct cell *c = &row->cells[i];

		if (row->work->steals && !c->model->steals)
			continue;
		snprintf(line, sizeof(line), "%d/%d %s, %s, size %ld", at + 1, of, row->work->name,
			 c->model->name, c->size);
		progress(line);
		cell_run(c, row->work, &stopped);
		good &= c->outcome != FAILED;
	}
	return good;
}

int main(int argc, char **argv)
{
	static struct row rows[ROWS_MAX];
	bool good = true;

	take_options(argc, argv);
	if (optind < argc && !strcmp(argv[optind], "limits")) {
		limits_print(stdout);
		return 0;
	}
	if (optind < argc) {
		help(stderr);
		return 2;
	}
	defaults();
	for (int i = 0; i < want.nr_works; i++) {
		make_row(&rows[i], want.works[i]);
		check_size(&rows[i]);
	}
	if (want.plot && !plot_begin(want.plot))
		return 2;
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_interrupt }, NULL);
	sigaction(SIGQUIT, &(struct sigaction){ .sa_handler = on_quit, .sa_flags = SA_RESTART },
		  NULL);
	for (int i = 0; i < want.nr_works && !stopped; i++)
		good &= run_row(&rows[i], i, want.nr_works);
	progress("");
	(want.json ? report_json : want.csv ? report_csv : report_table)(rows, want.nr_works);
	if (want.plot)
		good &= plot_all(want.plot, rows, want.nr_works);
	if (stopped)
		fprintf(stderr, "grmodels: interrupted: this is what was measured so far\n");
	return good && !stopped ? 0 : 1;
}
