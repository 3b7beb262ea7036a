// SPDX-License-Identifier: MIT
/*
 * plot.c - charts in SVG, drawn by gnuplot: throughput against threads, queues looked at against
 * threads, memory against goroutines. The script with the data stays beside each chart.
 *
 * gnuplot runs in the folder, so no script has a path in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plot.h"

static const struct chart {
	const struct workload *work;
	const char *key, *title, *y;
	double scale;
} charts[] = {
	{ &work_contention, "turns_per_ms", "Tiny tasks", "million turns a second", 1e-3 },
	{ &work_steal, "looks_per_scan", "To steal", "queues looked at", 1 },
	{ &work_create, "bytes", "Memory", "KiB for each goroutine", 1.0 / 1024 },
};

/* `gnuplot ARGUMENT` in dir, without what it says on stdout; 0: it did it */
static int gnuplot(const char *dir, const char *argument)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (chdir(dir) || null < 0 || dup2(null, STDOUT_FILENO) < 0)
			_exit(1);
		execlp("gnuplot", "gnuplot", argument, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool plot_begin(const char *dir)
{
	if (mkdir(dir, 0777) && errno != EEXIST) {
		fprintf(stderr, "grmodels: %s: %s\n", dir, strerror(errno));
		return false;
	}
	if (access(dir, W_OK | X_OK)) {
		fprintf(stderr, "grmodels: %s: %s\n", dir, strerror(errno));
		return false;
	}
	if (gnuplot(dir, "--version")) {
		fprintf(stderr, "grmodels: --plot needs gnuplot: install gnuplot-nox\n");
		return false;
	}
	return true;
}

static void data(FILE *f, const struct row *row, const struct chart *c)
{
	double value;

	for (int m = 0; m < row->nr_models; m++) {
		fprintf(f, "$m%d << EOD\n", m);
		for (int i = 0; i < row->nr_sizes; i++) {
			const struct cell *cell = &row->cells[m * row->nr_sizes + i];

			if (cell_figure(cell, c->key, &value))
				fprintf(f, "%ld %g\n", cell->size, value * c->scale);
		}
		fprintf(f, "EOD\n");
	}
}

static bool has_data(const struct row *row, int m, const char *key)
{
	double unused;

	return last_with(&row->cells[m * row->nr_sizes], row->nr_sizes, key, &unused) != NULL;
}

/* false: there is nothing to draw */
static bool script(FILE *f, const struct row *row, const struct chart *c)
{
	const char *comma = "";

	fprintf(f, "set terminal svg size 720,440 font 'sans,13' background 'white'\n");
	fprintf(f, "set output '%s.svg'\nset title '%s'\n", row->work->name, c->title);
	fprintf(f, "set xlabel '%s'\nset ylabel '%s'\n", row->work->size_name, c->y);
	fprintf(f, "set logscale xy\nset key outside\nset grid\n");
	data(f, row, c);
	for (int m = 0; m < row->nr_models; m++) {
		if (!has_data(row, m, c->key))
			continue;
		fprintf(f, "%s $m%d with linespoints linewidth 2 title '%s'",
			*comma ? comma : "plot", m, row->cells[m * row->nr_sizes].model->name);
		comma = ",";
	}
	fprintf(f, "\n");
	return *comma;
}

static bool draw(const char *dir, const struct row *row, const struct chart *c)
{
	char path[4096], name[64];
	bool some, good;
	FILE *f;

	snprintf(name, sizeof(name), "%s.gp", row->work->name);
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return false;
	f = fopen(path, "w");
	if (!f) {
		fprintf(stderr, "grmodels: %s: %s\n", path, strerror(errno));
		return false;
	}
	some = script(f, row, c);
	good = !fclose(f);
	return good && (!some || !gnuplot(dir, name));
}

bool plot_all(const char *dir, const struct row *rows, int nr)
{
	bool good = true;

	for (int r = 0; r < nr; r++)
		for (size_t i = 0; i < sizeof(charts) / sizeof(charts[0]); i++)
			if (charts[i].work == rows[r].work)
				good &= draw(dir, &rows[r], &charts[i]);
	return good;
}
