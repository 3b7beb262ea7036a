// SPDX-License-Identifier: MIT
/*
 * trace_test.c - GR_TRACE=sched=MS,io=MS prints lines that can be read by a program.
 *
 * A child process runs a runtime until it is told to stop; its stderr is read here. A test that
 * waits for a line that does not come is killed by the alarm.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

#define LINES 3
#define SLEEPERS 5

static int stop_pipe[2];

static void sleeper(void *unused)
{
	(void)unused;
	gr_sleep(GR_FOREVER);
}

static int until_told(void *unused)
{
	char c;

	(void)unused;
	for (int i = 0; i < SLEEPERS; i++)
		gr_go(sleeper, NULL);
	return (int)gr_read(stop_pipe[0], &c, 1, GR_FOREVER);
}

static void child(int err)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 2 };

	setenv("GR_TRACE", "sched=10,io=15", 1);
	dup2(err, 2);
	_exit(gr_run(until_told, NULL, &opts) == 1 ? 0 : 1);
}

/* all numbers that the head of trace.c promises */
static int well_formed(const char *line, long *ms, int *threads, int *goroutines)
{
	int procs, idle, spinning, spares, global, q0, q1, handoffs, blocks, end = 0;

	return sscanf(line,
		      "SCHED %ldms: procs=%d idle=%d threads=%d spinning=%d spares=%d "
		      "runqueue=%d [%d %d] goroutines=%d handoffs=%d blocks=%d%n",
		      ms, &procs, &idle, threads, &spinning, &spares, &global, &q0, &q1,
		      goroutines, &handoffs, &blocks, &end) == 12 && line[end] == '\n' &&
	       procs == 2 && *threads >= 0 && idle >= 0 && idle <= 2;
}

/* likewise; the pipe that the first goroutine reads is the only request */
static int io_well_formed(const char *line, long *ms, int *p, int *pending)
{
	int requests, completions, enters, at_once, stolen, end = 0;
	char by[8];

	return sscanf(line,
		      "IO %ldms: %7s p=%d requests=%d completions=%d enters=%d pending=%d "
		      "at_once=%d stolen=%d%n",
		      ms, by, p, &requests, &completions, &enters, pending, &at_once, &stolen,
		      &end) == 9 && line[end] == '\n' &&
	       (!strcmp(by, "uring") || !strcmp(by, "epoll")) && *p >= 0 && *p < 2 &&
	       requests == completions + *pending && stolen <= completions;
}

int main(void)
{
	int err[2], status, seen = 0, threads = 0, most = 0, n = 0, p, io = 0, of_p[2] = { 0, 0 };
	int pending[2] = { 0, 0 }, now_pending;
	char line[1024];
	long ms, last = -1;
	pid_t pid;
	FILE *f;

	tap_limit(60);
	if (pipe(err) || pipe(stop_pipe))
		return 1;
	pid = fork();
	if (!pid)
		child(err[1]);
	close(err[1]);
	f = fdopen(err[0], "r");
	while ((seen < LINES || n != SLEEPERS + 1 || io < LINES || pending[0] + pending[1] != 1) &&
	       fgets(line, sizeof(line), f)) {
		if (line[0] == 'I') {
			tap_ok(io_well_formed(line, &ms, &p, &now_pending), "a line of a P: %.70s",
			       line);
			pending[p & 1] = now_pending;
			of_p[p & 1]++;
			io++;
			continue;
		}
		tap_ok(well_formed(line, &ms, &threads, &n) && ms >= last,
		       "a line, and time goes on: %.60s", line);
		last = ms;
		most = threads > most ? threads : most; /* the first line may come before any */
		seen++;
	}
	tap_ok(n == SLEEPERS + 1 && most >= 1, "it counts goroutines: %d, and threads: %d", n, most);
	tap_ok(of_p[0] && of_p[1] && pending[0] + pending[1] == 1,
	       "each P has lines, one of them the request");
	tap_ok(write(stop_pipe[1], "x", 1) == 1 && waitpid(pid, &status, 0) == pid && !status,
	       "the runtime ends with its trace on");
	return tap_done();
}
