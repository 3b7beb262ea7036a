// SPDX-License-Identifier: MIT
/*
 * idle_test.c - a process that has nothing to do does nothing: no thread of it is ever scheduled.
 *
 * With one goroutine in gr_read() on a pipe and one that sleeps for an hour, a plain thread counts
 * the context switches of all other threads over WINDOW. What was going on before may still end in
 * the first windows; one of TRIES must be without a single switch.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

#define WINDOW_MS 300
#define TRIES 10

static int fds[2];
static long least;

/* switches of one thread so far; -1: it is gone */
static long switches_of(const char *tid)
{
	char path[300], line[256];
	long n, sum = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%s/status", tid);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %ld", &n) == 1)
			sum += n;
	fclose(f);
	return sum;
}

static long switches_of_others(void)
{
	long self = syscall(SYS_gettid), sum = 0;
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && atol(e->d_name) != self)
			sum += switches_of(e->d_name);
	if (dir)
		closedir(dir);
	return sum;
}

static void *watch(void *unused)
{
	struct timespec window = { 0, WINDOW_MS * 1000000L };

	(void)unused;
	least = -1;
	for (int i = 0; i < TRIES && least; i++) {
		long before = switches_of_others(), n;

		nanosleep(&window, NULL);
		n = switches_of_others() - before;
		if (least < 0 || n < least)
			least = n;
	}
	if (write(fds[1], "x", 1) != 1)
		abort();
	return NULL;
}

static void far_timer(void *unused)
{
	(void)unused;
	gr_sleep(gr_after(3600 * GR_SEC));
}

static void spin(void *unused)
{
	int64_t until = gr_after(GR_MS);

	(void)unused;
	while (gr_now() < until)
		;
}

static int idle(void *unused)
{
	pthread_t t;
	char c;

	(void)unused;
	for (int i = 0; i < 8; i++)
		gr_go(spin, NULL); /* so that all Ps and some threads were awake once */
	gr_sleep(gr_after(5 * GR_MS));
	gr_go(far_timer, NULL);
	if (pthread_create(&t, NULL, watch, NULL) || gr_read(fds[0], &c, 1, GR_FOREVER) != 1)
		return -1;
	pthread_join(t, NULL);
	return 0;
}

static void test(int procs, int max)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = procs, .max_procs = max };
	int ret = gr_run(idle, NULL, &opts);

	tap_ok(ret == 0 && least == 0, "procs=%d of %d: %ld context switches in %d ms", procs, max,
	       least, WINDOW_MS);
}

int main(void)
{
	tap_limit(120);
	if (pipe(fds))
		return 1;
	test(1, 1);
	test(2, 2);
	test(4, 4);
	test(1, 4); /* threads hold Ps that are out of use */
	return tap_done();
}
