// SPDX-License-Identifier: MIT
/*
 * deadlock_test.c - all goroutines asleep: found when it is true, and never when it is not.
 *
 * Each way on 1, 2 and 4 Ps, some of them many times: a false report needs a rare order of
 * threads. What is printed goes to a file that the test reads.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

static int procs, fds[2];
static struct gr_chan *chan;
static struct gr_mutex mutex;
static struct gr_wg wg;
static FILE *said;

static int in_runtime(int (*fn)(void *))
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = procs };
	int ret;

	wg = (struct gr_wg)GR_WG_INIT;
	mutex = (struct gr_mutex)GR_MUTEX_INIT;
	if (gr_chan_new(&chan, 0, 0) || pipe(fds))
		abort();
	ret = gr_run(fn, NULL, &opts);
	gr_chan_release(chan);
	close(fds[0]);
	close(fds[1]);
	return ret;
}

/* fn in n runtimes; the first result that is not want, or want */
static int repeat(int n, int (*fn)(void *), int want)
{
	int ret = want;

	for (int i = 0; i < n && ret == want; i++)
		ret = in_runtime(fn);
	return ret;
}

static void nap(void)
{
	struct timespec ts = { 0, 3000000 };

	nanosleep(&ts, NULL);
}

/* ---- deadlocks ---- */

static int recv_nothing(void *unused)
{
	(void)unused;
	return gr_chan_recv(chan, NULL, GR_FOREVER);
}

static void lock_it(void *unused)
{
	(void)unused;
	gr_mutex_lock(&mutex, GR_FOREVER);
	gr_wg_done(&wg);
}

static int lock_twice(void *unused)
{
	(void)unused;
	gr_wg_add(&wg, 3);
	for (int i = 0; i < 3; i++)
		gr_go(lock_it, NULL);
	return gr_wg_wait(&wg, GR_FOREVER);
}

static void pinned_lock(void *unused)
{
	gr_pin();
	lock_it(unused);
}

static int lock_pinned(void *unused)
{
	(void)unused;
	gr_wg_add(&wg, 3);
	gr_pin();
	for (int i = 0; i < 3; i++)
		gr_go(pinned_lock, NULL);
	return gr_wg_wait(&wg, GR_FOREVER);
}

/* after everything else has been used and is over */
static void *short_thread(void *arg)
{
	return arg;
}

static int late(void *unused)
{
	pthread_t t;

	(void)unused;
	gr_sleep(gr_after(GR_MS));
	if (gr_write(fds[1], "x", 1, GR_FOREVER) != 1 || gr_read(fds[0], &t, 1, GR_FOREVER) != 1)
		return -1;
	gr_chan_recv(chan, NULL, gr_after(GR_MS));
	nap();
	if (pthread_create(&t, NULL, short_thread, NULL))
		return -1;
	pthread_join(t, NULL);
	return gr_chan_recv(chan, NULL, GR_FOREVER);
}

static bool was_said(const char *what)
{
	char line[512];
	bool yes = false;

	rewind(said);
	while (fgets(line, sizeof(line), said))
		yes |= !!strstr(line, what);
	return yes;
}

static void test_deadlocks(void)
{
	tap_ok(repeat(10, recv_nothing, -EDEADLK) == -EDEADLK, "procs=%d: one waits for itself",
	       procs);
	tap_ok(repeat(10, lock_twice, -EDEADLK) == -EDEADLK, "procs=%d: three and one mutex",
	       procs);
	tap_ok(repeat(20, lock_pinned, -EDEADLK) == -EDEADLK, "procs=%d: the same, pinned",
	       procs);
	tap_ok(repeat(5, late, -EDEADLK) == -EDEADLK,
	       "procs=%d: after timers, I/O, blocking calls and a thread that ended", procs);
}

/* ---- no deadlocks ---- */

static void *send_late(void *unused)
{
	nap();
	gr_chan_send(chan, NULL, GR_FOREVER);
	return unused;
}

/* a thread of the program may still send */
static int thread_sends(void *unused)
{
	pthread_t t;
	int ret;

	(void)unused;
	if (pthread_create(&t, NULL, send_late, NULL))
		return -1;
	ret = gr_chan_recv(chan, NULL, GR_FOREVER);
	pthread_join(t, NULL);
	return ret;
}

static void block_and_send(void *unused)
{
	(void)unused;
	nap();
	gr_chan_send(chan, NULL, GR_FOREVER);
}

/* a goroutine sits in a system call */
static int blocker_sends(void *unused)
{
	(void)unused;
	gr_go(block_and_send, NULL);
	return gr_chan_recv(chan, NULL, GR_FOREVER);
}

static void sleep_and_send(void *unused)
{
	(void)unused;
	gr_sleep(gr_after(GR_MS));
	gr_chan_send(chan, NULL, GR_FOREVER);
}

static int sleeper_sends(void *unused)
{
	(void)unused;
	gr_go(sleep_and_send, NULL);
	return gr_chan_recv(chan, NULL, GR_FOREVER);
}

static int sleep_alone(void *unused)
{
	(void)unused;
	return gr_sleep(gr_after(2 * GR_MS));
}

/* a handler may write into a pipe that somebody reads */
static void on_alarm(int sig)
{
	(void)sig;
	if (write(fds[1], "x", 1) != 1)
		_exit(9);
}

static int signal_writes(void *unused)
{
	struct itimerval in = { .it_value = { 0, 3000 } };
	char c;

	(void)unused;
	setitimer(ITIMER_REAL, &in, NULL);
	return gr_read(fds[0], &c, 1, GR_FOREVER) == 1 ? 0 : -1;
}

static int process_writes(void *unused)
{
	char c;

	(void)unused;
	if (!fork()) {
		nap();
		_exit(write(fds[1], "x", 1) != 1);
	}
	return gr_read(fds[0], &c, 1, GR_FOREVER) == 1 ? 0 : -1;
}

/* nothing but goroutines, always one step from being all asleep */
static void echo(void *arg)
{
	struct gr_chan **c = arg;

	while (!gr_chan_recv(*c, NULL, GR_FOREVER) && !gr_chan_send(chan, NULL, GR_FOREVER))
		;
	gr_wg_done(&wg);
}

static int ping_pong(void *unused)
{
	struct gr_chan *to[3];
	int ret = 0;

	(void)unused;
	gr_wg_add(&wg, 3);
	for (int i = 0; i < 3; i++) {
		gr_chan_new(&to[i], 0, 0);
		gr_go(echo, &to[i]);
	}
	for (int i = 0; i < 3000 && !ret; i++) {
		ret = gr_chan_send(to[i % 3], NULL, GR_FOREVER);
		if (!ret)
			ret = gr_chan_recv(chan, NULL, GR_FOREVER);
	}
	for (int i = 0; i < 3; i++)
		gr_chan_close(to[i]);
	ret |= gr_wg_wait(&wg, GR_FOREVER);
	for (int i = 0; i < 3; i++)
		gr_chan_release(to[i]);
	return ret;
}

static int ping_pong_pinned(void *unused)
{
	return gr_pin() || ping_pong(unused) ? -1 : 0;
}

/* the first goroutine ends while all others sleep for ever: that is no deadlock */
static void for_ever(void *unused)
{
	(void)unused;
	gr_sleep(GR_FOREVER);
}

static int leave_them(void *unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++)
		gr_go(for_ever, NULL);
	gr_yield();
	return 0;
}

static void test_no_deadlocks(void)
{
	static const struct {
		const char *name;
		int n;
		int (*fn)(void *);
	} ways[] = { { "a thread", 10, thread_sends },	 { "a system call", 10, blocker_sends },
		     { "a timer", 20, sleeper_sends },	 { "a timer alone", 20, sleep_alone },
		     { "a signal", 10, signal_writes },	 { "a process", 10, process_writes },
		     { "each other", 4, ping_pong },	 { "each other, pinned", 4, ping_pong_pinned },
		     { "the end", 30, leave_them } };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		tap_ok(repeat(ways[i].n, ways[i].fn, 0) == 0,
		       "procs=%d: not where they wait for %s", procs, ways[i].name);
}

int main(void)
{
	static const int sizes[] = { 1, 2, 4 };
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	int err = dup(2);

	said = tmpfile();
	if (!said || dup2(fileno(said), 2) != 2)
		return 1;
	sigaction(SIGALRM, &sa, NULL);
	signal(SIGCHLD, SIG_IGN);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		procs = sizes[i];
		test_no_deadlocks();
		tap_ok(!was_said("all goroutines are asleep - deadlock!"), "nothing was said");
		test_deadlocks();
		tap_ok(was_said("all goroutines are asleep - deadlock!"), "it is said");
		if (ftruncate(fileno(said), 0))
			return 1;
	}
	dup2(err, 2);
	return tap_done();
}
