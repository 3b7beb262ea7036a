// SPDX-License-Identifier: MIT
/*
 * limit_test.c - at the limit of threads goroutines queue, with one warning, and all finish; and
 * what a goroutine may do with its process: fork, exec, exit.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

#define THREADS 4
#define SLEEPERS 20

static struct gr_wg wg;
static _Atomic int ran;
static int most;

static void sleeper(void *unused)
{
	struct timespec ts = { 0, 50000000 };

	(void)unused;
	while (nanosleep(&ts, &ts))
		;
	atomic_fetch_add(&ran, 1);
	gr_wg_done(&wg);
}

static int sleep_all(void *unused)
{
	struct gr_info info = { .size = sizeof(info) };
	int ret;

	(void)unused;
	gr_wg_add(&wg, SLEEPERS);
	for (int i = 0; i < SLEEPERS; i++)
		gr_go(sleeper, NULL);
	ret = gr_wg_wait(&wg, gr_after(60 * GR_SEC));
	gr_info(&info);
	most = info.nr_threads;
	return ret;
}

static void test_limit(void)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 2, .max_threads = THREADS };
	FILE *said = tmpfile();
	int err = dup(2), warnings = 0, ret;
	char line[256];

	if (!said || dup2(fileno(said), 2) != 2)
		return;
	ret = gr_run(sleep_all, NULL, &opts);
	dup2(err, 2);
	rewind(said);
	while (fgets(line, sizeof(line), said))
		warnings += !!strstr(line, "the limit; goroutines wait");
	fclose(said);
	tap_ok(ret == 0 && atomic_load(&ran) == SLEEPERS,
	       "%d goroutines block in turns on %d threads", SLEEPERS, THREADS);
	tap_ok(most <= THREADS, "there were no more threads: %d", most);
	tap_ok(warnings == 1, "one warning: %d", warnings);
}

/* ---- threads that cannot be made ---- */

static atomic_int failing;

/* instead of the C library's, for the library too */
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
		(int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))(uintptr_t)
			dlsym(RTLD_NEXT, "pthread_create");

	if (atomic_load(&failing) > 0 && atomic_fetch_sub(&failing, 1) > 0)
		return EAGAIN;
	return real(thread, attr, fn, arg);
}

#define READERS 8

static int pipes[READERS][2];

static void read_one(void *fd)
{
	char c = 0;

	if (read(*(int *)fd, &c, 1) == 1 && c == 'x')
		atomic_fetch_add(&ran, 1);
	gr_wg_done(&wg);
}

/* queued behind the readers, each of which takes a thread with it: some cannot be had at first */
static int blocked_without_threads(void *unused)
{
	(void)unused;
	atomic_store(&ran, 0);
	gr_wg_add(&wg, READERS);
	atomic_store(&failing, 3);
	for (int i = 0; i < READERS; i++)
		if (pipe(pipes[i]) || gr_go(read_one, &pipes[i][0]))
			return -1;
	while (atomic_load(&failing) > 0) /* or nobody needed one: for ever, then */
		gr_sleep(gr_after(GR_MS));
	for (int i = 0; i < READERS; i++)
		if (write(pipes[i][1], "x", 1) != 1)
			return -1;
	if (gr_wg_wait(&wg, gr_after(60 * GR_SEC)))
		return -1;
	for (int i = 0; i < READERS; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	return atomic_load(&ran) == READERS ? 0 : -1;
}

static void test_failing(void)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 1 };

	tap_ok(gr_run(blocked_without_threads, NULL, &opts) == 0,
	       "a thread that cannot be made is tried again");
	atomic_store(&failing, 0);
}

/* ---- fork, exec, exit ---- */

/* the child of a goroutine may do what is safe in a signal handler, and exec */
static int fork_and_exec(void *unused)
{
	int status, fds[2];
	pid_t pid;
	char c;

	(void)unused;
	if (pipe(fds))
		return -1;
	pid = fork();
	if (!pid)
		_exit(write(fds[1], "x", 1) == 1 ? 5 : 6);
	if (gr_read(fds[0], &c, 1, GR_FOREVER) != 1 || waitpid(pid, &status, 0) != pid ||
	    WEXITSTATUS(status) != 5)
		return -2;
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "limit_test", "exec", (char *)NULL);
		_exit(9);
	}
	if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
		return -3;
	close(fds[0]);
	close(fds[1]);
	return gr_yield();
}

static void at_exit(void)
{
	if (write(1, "# atexit() ran\n", 15) != 15)
		_exit(9);
}

static void other(void *unused)
{
	(void)unused;
	gr_sleep(GR_FOREVER);
}

static int call_exit(void *unused)
{
	(void)unused;
	gr_go(other, NULL);
	atexit(at_exit);
	exit(7);
}

static void test_exit(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		gr_run(call_exit, NULL, NULL);
		_exit(9);
	}
	if (waitpid(pid, &status, 0) != pid)
		return;
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 7,
	       "exit(7) in a goroutine ends the process: %#x", status);
}

int main(int argc, char **argv)
{
	tap_limit(120);
	if (argc > 1 && !strcmp(argv[1], "exec"))
		return gr_run(call_exit, NULL, NULL);
	test_limit();
	test_failing();
	tap_ok(gr_run(fork_and_exec, NULL, NULL) == 0, "a goroutine forks, and its child execs");
	test_exit();
	return tap_done();
}
