// SPDX-License-Identifier: MIT
/*
 * dill_test.c - what libdill's tests of bundles and of signals expect, in behaviour. Own code.
 *
 * Its bundle is our scope; it cancels when it is closed, ours when it is asked to.
 */
#include <pthread.h>
#include <signal.h>

#include "mix.h"

static atomic_int ran, cancelled;

static int done(void *arg)
{
	(void)arg;
	ran++;
	return 0;
}

static int pause_then(void *arg)
{
	int ret = gr_sleep(gr_after((intptr_t)arg * GR_MS));

	ran += !ret;
	cancelled += ret == -ECANCELED;
	return ret;
}

/* goes on waiting although it was told to stop, and is told so each time */
static int stubborn(void *arg)
{
	(void)arg;
	for (int i = 0; i < 5; i++)
		cancelled += gr_sleep(GR_FOREVER) == -ECANCELED;
	return 0;
}

static int nested(void *arg)
{
	struct gr_scope s;
	int ret;

	(void)arg;
	gr_scope_init(&s, 0);
	gr_scope_go(&s, pause_then, (void *)100000);
	gr_scope_go(&s, pause_then, (void *)100000);
	ret = gr_scope_wait(&s, GR_FOREVER);
	cancelled += ret == -ECANCELED;
	return ret;
}

static void bundle(void)
{
	struct gr_scope s;
	int64_t until;

	ran = cancelled = 0;
	gr_scope_init(&s, 0);
	tap_ok(!gr_scope_wait(&s, GR_FOREVER), "%s: empty", mix.name);
	gr_scope_init(&s, 0);
	gr_scope_cancel(&s);
	tap_ok(!gr_scope_wait(&s, GR_FOREVER), "%s: empty, cancelled", mix.name);

	gr_scope_init(&s, 0);
	gr_scope_go(&s, done, NULL);
	gr_scope_go(&s, done, NULL);
	tap_ok(!gr_scope_wait(&s, GR_FOREVER) && ran == 2, "%s: end by themselves", mix.name);

	ran = 0;
	gr_scope_init(&s, 0);
	for (int i = 0; i < 3; i++)
		gr_scope_go(&s, pause_then, (void *)100000);
	gr_scope_cancel(&s);
	gr_scope_wait(&s, GR_FOREVER);
	tap_ok(!ran && cancelled == 3, "%s: cancelled while they sleep", mix.name);

	cancelled = 0;
	gr_scope_init(&s, 0);
	gr_scope_go(&s, stubborn, NULL);
	gr_scope_cancel(&s);
	gr_scope_wait(&s, GR_FOREVER);
	tap_ok(cancelled == 5, "%s: every later wait says so too", mix.name);

	ran = cancelled = 0;
	gr_scope_init(&s, 0);
	gr_scope_go(&s, pause_then, (void *)1);
	gr_scope_go(&s, pause_then, (void *)100000);
	while (!ran)
		gr_sleep(gr_after(100 * GR_US));
	until = gr_after(5 * GR_MS);
	tap_ok(gr_scope_wait(&s, until) == -ETIMEDOUT && gr_now() >= until && ran == 1 &&
	       cancelled == 1, "%s: wait with a deadline: one was done, one was not", mix.name);

	cancelled = 0;
	gr_scope_init(&s, 0);
	gr_scope_go(&s, nested, NULL);
	gr_scope_go(&s, nested, NULL);
	gr_sleep(gr_after(GR_MS));
	gr_scope_cancel(&s);
	gr_scope_wait(&s, GR_FOREVER);
	tap_ok(cancelled == 6, "%s: a bundle in a bundle", mix.name);
}

/* ---- signals: a handler writes a byte, a goroutine waits for it ---- */

#define SIGNALS 1000

static int sig_pipe[2];

/* no libgr call here: a handler may come anywhere */
static void handler(int sig)
{
	char c = (char)sig;
	int saved = errno;

	if (write(sig_pipe[1], &c, 1) != 1)
		abort();
	errno = saved;
}

/* to the process: whichever thread gets it */
static int sender(void *arg)
{
	struct gr_chan *turn = arg;
	int ret = 0;

	for (int i = 0; i < SIGNALS && !ret; i++) {
		ret = gr_chan_recv(turn, NULL, GR_FOREVER);
		if (!ret && kill(getpid(), SIGUSR1))
			ret = -EINVAL;
	}
	return ret;
}

static void signals(void)
{
	struct sigaction sa = { .sa_handler = handler };
	struct gr_scope s;
	struct gr_chan *turn = NULL;
	int bad = 0;

	if (pipe(sig_pipe) || gr_chan_new(&turn, 0, 0))
		mix_fatal("pipe", ENFILE);
	sigaction(SIGUSR1, &sa, NULL);
	gr_scope_init(&s, 0);
	gr_scope_go(&s, sender, turn);
	for (int i = 0; i < SIGNALS && !bad; i++) {
		char c = 0;

		bad += gr_chan_send(turn, NULL, GR_FOREVER) != 0;
		bad += gr_read(sig_pipe[0], &c, 1, GR_FOREVER) != 1 || c != SIGUSR1;
	}
	if (bad)
		gr_scope_cancel(&s);
	tap_ok(!gr_scope_wait(&s, GR_FOREVER) && !bad, "%s: %d signals, each one read", mix.name,
	       SIGNALS);
	signal(SIGUSR1, SIG_DFL);
	gr_chan_release(turn);
	close(sig_pipe[0]);
	close(sig_pipe[1]);
}

/* The same without turns, while goroutines wait in every way there is: no call fails of it. */
static atomic_bool stop;
static atomic_int failed;

static int busy(void *arg)
{
	struct gr_chan *c = arg;
	int v = 0;

	while (!stop) {
		failed += gr_sleep(gr_after(10 * GR_US)) != 0;
		failed += gr_chan_send(c, &v, GR_FOREVER) != 0;
		failed += gr_chan_recv(c, &v, GR_FOREVER) != 0;
		failed += gr_yield() != 0;
	}
	return 0;
}

static int reads_signals(void *arg)
{
	char buf[100];
	int left = (int)(intptr_t)arg;

	while (left) {
		ssize_t n = gr_read(sig_pipe[0], buf, sizeof(buf), GR_FOREVER);

		if (n <= 0)
			return -EIO;
		left -= (int)n;
	}
	return 0;
}

static void storm(void)
{
	struct sigaction sa = { .sa_handler = handler };
	struct gr_task *reader;
	struct gr_scope s;
	struct gr_chan *c;
	int result = -1;

	if (pipe(sig_pipe) || gr_chan_new(&c, sizeof(int), 2))
		mix_fatal("pipe", ENFILE);
	sigaction(SIGUSR1, &sa, NULL);
	stop = false;
	failed = 0;
	gr_scope_init(&s, 0);
	for (int i = 0; i < 8; i++)
		gr_scope_go(&s, busy, c);
	gr_task_new(&reader, reads_signals, (void *)SIGNALS, NULL);
	/* to this very thread: none is merged with one that is pending */
	for (int i = 0; i < SIGNALS; i++) {
		raise(SIGUSR1);
		if (i % 10 == 0)
			gr_yield();
	}
	gr_task_join(reader, &result, GR_FOREVER);
	gr_task_release(reader);
	stop = true;
	tap_ok(!gr_scope_wait(&s, GR_FOREVER) && !failed && !result,
	       "%s: %d signals while all others wait and run", mix.name, SIGNALS);
	signal(SIGUSR1, SIG_DFL);
	gr_chan_release(c);
	close(sig_pipe[0]);
	close(sig_pipe[1]);
}

static void body(void)
{
	bundle();
	signals();
	storm();
}

int main(void)
{
	tap_limit(LIMIT_S);
	mix.body = body;
	mix_run_in("go1", 1, false);
	mix_run_in("go2", 2, false);
	mix_run_in("go4", 4, false);
	return tap_done();
}
