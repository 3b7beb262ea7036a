// SPDX-License-Identifier: MIT
/*
 * fdwait_test.c - GR_OP_FD cases of a select and gr_fd_wait(): pipes and sockets, from goroutines
 * and plain threads, with deadline and cancellation; and that nothing is left in the ring.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "mix.h"

#define LONG (60 * GR_SEC)

static atomic_int wrong, woken;
static struct gr_chan *chan;
static int pipes[2][2], pair[2];

static void open_all(void)
{
	if (pipe2(pipes[0], O_NONBLOCK) || pipe2(pipes[1], O_NONBLOCK) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) ||
	    gr_chan_new(&chan, sizeof(int), 0))
		mix_fatal("pipe", errno);
	wrong = woken = 0;
}

static void close_all(void)
{
	for (int i = 0; i < 2; i++) {
		gr_close(pipes[i][0]);
		gr_close(pipes[i][1]);
		gr_close(pair[i]);
	}
	gr_chan_release(chan);
}

static void put(int fd)
{
	wrong += write(fd, "x", 1) != 1;
}

static void take(int fd)
{
	char c;

	wrong += read(fd, &c, 1) != 1;
}

static void write_later(void *arg)
{
	gr_sleep(gr_after(300 * GR_US));
	put((int)(intptr_t)arg);
}

static void send_later(void *arg)
{
	int v = 5;

	gr_sleep(gr_after(300 * GR_US));
	wrong += gr_chan_send(chan, &v, GR_FOREVER) != 0;
	(void)arg;
}

/* ---- ready, and not ---- */

static void ready_now(void)
{
	struct gr_case k[3] = { GR_FD(pipes[0][0], POLLIN), GR_FD(pair[0], POLLIN),
				GR_FD(pair[0], POLLOUT) };
	int ret, file;

	tap_ok(gr_select(k, 2, GR_NOW) == -EAGAIN, "%s: nothing to read", mix.name);
	ret = gr_select(k, 3, GR_FOREVER);
	tap_ok(ret == 2 && k[2].result == POLLOUT, "%s: room to write", mix.name);
	put(pair[1]);
	ret = gr_select(k, 2, GR_FOREVER);
	tap_ok(ret == 1 && k[1].result == POLLIN, "%s: something to read", mix.name);
	take(pair[0]);
	k[0].fd = -1;
	ret = gr_select(k, 2, GR_FOREVER);
	tap_ok(ret == 0 && k[0].result == -EBADF, "%s: -1 is no descriptor", mix.name);
	k[0].fd = 1 << 20;
	ret = gr_select(k, 2, GR_FOREVER);
	tap_ok(ret == 0 && k[0].result == -EBADF, "%s: nor is one that is not open", mix.name);
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	k[0].fd = file;
	ret = gr_select(k, 2, GR_FOREVER);
	tap_ok(ret == 0 && k[0].result & POLLIN, "%s: a file is always ready", mix.name);
	close(file);
}

static void comes_later(void)
{
	int v = 0, ret;
	struct gr_case k[3] = { GR_FD(pipes[0][0], POLLIN), GR_RECV(chan, &v),
				GR_FD(pair[0], POLLIN) };

	for (int i = 0; i < 3; i++) {
		if (i == 1)
			mix_go(send_later, NULL);
		else
			mix_go(write_later, (void *)(intptr_t)(i ? pair[1] : pipes[0][1]));
		ret = gr_select(k, 3, gr_after(LONG));
		tap_ok(ret == i && k[i].result == (i == 1 ? 0 : POLLIN), "%s: case %d comes: %d",
		       mix.name, i, ret);
		if (i != 1)
			take(k[i].fd);
	}
	tap_ok(gr_select(k, 3, gr_after(500 * GR_US)) == -ETIMEDOUT, "%s: or the deadline",
	       mix.name);
	mix_join();
}

static void hang_up(void)
{
	struct gr_case k[2] = { GR_FD(pair[0], POLLIN), GR_RECV(chan, NULL) };
	int ret;

	shutdown(pair[1], SHUT_RDWR);
	ret = gr_select(k, 2, gr_after(LONG));
	tap_ok(ret == 0 && k[0].result & POLLHUP, "%s: the other end hangs up", mix.name);
	shutdown(pair[0], SHUT_RDWR);
}

/* ---- the request ends with the select: its stack is used for something else at once ---- */

static void sends_many(void *arg)
{
	for (int i = 0; i < (int)(intptr_t)arg; i++) {
		wrong += gr_chan_send(chan, &i, GR_FOREVER) != 0;
		if (i % 8 == 0)
			gr_sleep(gr_after(i % 64 * GR_US));
	}
}

static void cancels_cleanly(void)
{
	int n = mix.nr_procs && !mix.mixed ? 1000 : 100, v;
	struct gr_case k[4] = { GR_FD(pipes[0][0], POLLIN), GR_RECV(chan, &v),
				GR_FD(pipes[1][0], POLLIN), GR_AT(GR_FOREVER) };
	int bad = 0;

	mix_go(sends_many, (void *)(intptr_t)n);
	for (int i = 0; i < n; ) {
		int ret;

		k[3].when = gr_after((i % 3 + 1) * 20 * GR_US); /* a wait, or nobody else runs */
		v = -1;
		ret = gr_select(k, 4, GR_FOREVER);
		if (ret == 1)
			bad += v != i++;
		else
			bad += ret != 3;
	}
	mix_join();
	tap_ok(!bad && !wrong, "%s: %d values beside two silent pipes", mix.name, n);
}

/* ---- many goroutines, each with its pipe; a byte goes round ---- */

#define RING 16
#define ROUNDS 20

static int ring[RING][2];

static void hand_on(void *arg)
{
	int me = (int)(intptr_t)arg;
	struct gr_case k[2] = { GR_RECV(chan, NULL), GR_FD(ring[me][0], POLLIN) };

	for (int i = 0; i < ROUNDS; i++) {
		wrong += gr_select(k, 2, gr_after(LONG)) != 1 || k[1].result != POLLIN;
		take(ring[me][0]);
		if (i < ROUNDS - 1 || me < RING - 1)
			put(ring[(me + 1) % RING][1]);
	}
	woken++;
}

static void round_trip(void)
{
	for (int i = 0; i < RING; i++)
		if (pipe2(ring[i], O_NONBLOCK))
			mix_fatal("pipe", errno);
	for (int i = 0; i < RING; i++)
		mix_go(hand_on, (void *)(intptr_t)i);
	put(ring[0][1]);
	mix_join();
	tap_ok(woken == RING && !wrong, "%s: a byte round %d pipes", mix.name, RING);
	for (int i = 0; i < RING; i++) {
		gr_close(ring[i][0]);
		gr_close(ring[i][1]);
	}
}

/* ---- all that fit on the smallest stack ---- */

static void many_fds(void *arg)
{
	struct gr_case k[GR_SELECT_MAX];
	int ret;

	for (int i = 0; i < GR_SELECT_MAX; i++)
		k[i] = (struct gr_case)GR_FD(pipes[i == GR_SELECT_MAX - 1][0], POLLIN);
	ret = gr_select(k, GR_SELECT_MAX, gr_after(LONG));
	wrong += ret != GR_SELECT_MAX - 1;
	woken++;
	(void)arg;
}

static void small_stack(void)
{
	struct gr_attr attr = { .size = sizeof(attr), .stack_size = 16384 };

	wrong = woken = 0;
	if (mix.mixed)
		mix_go(many_fds, NULL);
	else
		gr_go_with(many_fds, NULL, &attr);
	gr_sleep(gr_after(200 * GR_US));
	put(pipes[1][1]);
	while (!woken)
		gr_sleep(gr_after(50 * GR_US));
	take(pipes[1][0]);
	tap_ok(!wrong, "%s: %d descriptors", mix.name, GR_SELECT_MAX);
	mix_join();
}

/* ---- cancelled; gr_fd_wait() ---- */

static int selects(void *arg)
{
	struct gr_case k[2] = { GR_FD(pipes[0][0], POLLIN), GR_RECV(chan, NULL) };

	gr_sleep(gr_after((intptr_t)arg * GR_US));
	return gr_select(k, 2, GR_FOREVER);
}

static int waits(void *arg)
{
	gr_sleep(gr_after((intptr_t)arg * GR_US));
	return gr_fd_wait(pipes[0][0], POLLIN, GR_FOREVER);
}

static void cancelled(int (*fn)(void *), const char *what)
{
	int bad = 0, n = 100;

	for (intptr_t i = 0; i < n; i++) {
		struct gr_task *t;
		int result = 0;

		if (gr_task_new(&t, fn, (void *)(i % 5 * 10), NULL))
			mix_fatal("gr_task_new", 0);
		gr_sleep(gr_after(i % 7 * 20 * GR_US));
		gr_task_cancel(t);
		gr_task_join(t, &result, GR_FOREVER);
		gr_task_release(t);
		bad += result != -ECANCELED;
	}
	tap_ok(!bad, "%s: %s is cancelled, early and late", mix.name, what);
}

static void fd_wait(void)
{
	int ret;

	tap_ok(gr_fd_wait(pipes[0][0], POLLIN, GR_NOW) == -EAGAIN, "%s: wait: not now", mix.name);
	tap_ok(gr_fd_wait(pipes[0][0], POLLIN, gr_after(200 * GR_US)) == -ETIMEDOUT,
	       "%s: wait: not in time", mix.name);
	mix_go(write_later, (void *)(intptr_t)pipes[0][1]);
	ret = gr_fd_wait(pipes[0][0], POLLIN, gr_after(LONG));
	tap_ok(ret == POLLIN, "%s: wait: now", mix.name);
	tap_ok(gr_fd_wait(pipes[0][0], POLLIN, GR_NOW) == POLLIN, "%s: wait: still", mix.name);
	mix_join();
	take(pipes[0][0]);
	tap_ok(gr_fd_wait(-1, POLLIN, GR_FOREVER) == -EBADF &&
	       gr_fd_wait(1 << 20, POLLIN, GR_FOREVER) == -EBADF, "%s: wait: no descriptor",
	       mix.name);
	tap_ok(gr_fd_wait(pipes[0][0], 1U << 20, GR_NOW) == -EINVAL, "%s: wait: no event",
	       mix.name);
	cancelled(waits, "gr_fd_wait()");
}

/* ---- a plain thread selects in a runtime that ends ---- */

static void *outlives(void *arg)
{
	struct gr_case k = GR_FD(pipes[0][0], POLLIN);

	woken = 1;
	wrong += gr_select(&k, 1, GR_FOREVER) != -ENXIO;
	return arg;
}

static int start_thread(void *arg)
{
	if (pthread_create(arg, NULL, outlives, NULL))
		return -EAGAIN;
	while (!woken)
		gr_sleep(gr_after(50 * GR_US));
	gr_sleep(gr_after(5 * GR_MS)); /* it is asleep by now; if not, the answer is the same */
	return 0;
}

static void runtime_ends(void)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 1 };
	pthread_t thread;
	int ret;

	open_all();
	ret = gr_run(start_thread, &thread, &opts);
	if (ret == -ENOSYS) {
		tap_skip("a runtime that ends", "no io_uring here");
	} else {
		pthread_join(thread, NULL);
		tap_ok(!ret && !wrong, "a thread whose select the runtime forgot gets -ENXIO");
	}
	close_all();
}

static void body(void)
{
	if (!mix.nr_procs) {
		tap_ok(gr_fd_wait(0, POLLIN, GR_NOW) == -EPERM, "gr_fd_wait() outside: -EPERM");
		return;
	}
	open_all();
	ready_now();
	comes_later();
	cancels_cleanly();
	round_trip();
	small_stack();
	fd_wait();
	cancelled(selects, "a select");
	hang_up();
	tap_ok(!wrong, "%s: every read and write did what it should", mix.name);
	close_all();
}

/* the same body on a plain thread, while goroutines do the rest */
static void *thread_main(void *arg)
{
	ready_now();
	comes_later();
	cancels_cleanly();
	hang_up();
	atomic_store((atomic_int *)arg, 1);
	return NULL;
}

static void from_thread(void)
{
	atomic_int over = 0;
	pthread_t thread;

	if (!mix.nr_procs)
		return;
	open_all();
	if (pthread_create(&thread, NULL, thread_main, &over))
		mix_fatal("pthread_create", 0);
	while (!over)
		gr_sleep(gr_after(GR_MS));
	pthread_join(thread, NULL);
	tap_ok(!wrong, "%s: from a plain thread", mix.name);
	close_all();
}

int main(void)
{
	mix_run(body);
	mix_run(from_thread);
	runtime_ends();
	return tap_done();
}
