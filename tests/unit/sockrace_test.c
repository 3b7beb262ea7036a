// SPDX-License-Identifier: MIT
/*
 * sockrace_test.c - sockets that somebody takes away: calls that are cancelled at any moment, and
 * sockets that are shut down or closed while others read, write, accept, connect and wait in them.
 * Each call ends, with the result that stands in the manual page; and a call that was cancelled has
 * neither taken nor sent anything.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "socks.h"

#define ROUNDS 40

/* ---- cancelled in every state ---- */

static int full[2];  /* full[0] cannot be written, nor full[1] */
static int empty[2]; /* nothing to read but what the test sends into empty[1] */
static int silent;   /* listens, and nobody connects */
static int file;
static char queue[64]; /* a Unix socket whose queue is full */

static int do_read(void)
{
	char c;

	return (int)gr_read(empty[0], &c, 1, GR_FOREVER);
}

static int do_recvmsg(void)
{
	char c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return (int)gr_recvmsg(empty[0], &msg, 0, GR_FOREVER);
}

static int do_wait_and_read(void)
{
	int ret;
	char c;

	do {
		ret = gr_fd_wait(empty[0], POLLIN, GR_FOREVER);
		if (ret > 0)
			ret = (int)gr_read(empty[0], &c, 1, GR_NOW);
	} while (ret == -EAGAIN);
	return ret;
}

static int do_select_and_read(void)
{
	struct gr_case cases[] = { GR_FD(empty[0], POLLIN), GR_FD(silent, POLLIN) };
	int ret;
	char c;

	do {
		ret = gr_select(cases, 2, GR_FOREVER);
		if (!ret)
			ret = (int)gr_read(empty[0], &c, 1, GR_NOW);
	} while (ret == -EAGAIN);
	return ret;
}

static int do_write(void)
{
	static const char data[100000];

	return (int)gr_write(full[0], data, sizeof(data), GR_FOREVER);
}

static int do_sendfile(void)
{
	return (int)gr_sendfile(full[0], file, 0, 5, GR_FOREVER);
}

static int do_wait_to_write(void)
{
	return gr_fd_wait(full[0], POLLOUT, GR_FOREVER);
}

static int do_accept(void)
{
	return gr_accept(silent, GR_FOREVER);
}

static int do_connect(void)
{
	return gr_unix_dial(queue, GR_FOREVER);
}

static const struct {
	const char *name;
	int (*fn)(void);
	bool reads;
} calls[] = {
	{ "read", do_read, true },
	{ "recvmsg", do_recvmsg, true },
	{ "wait, read", do_wait_and_read, true },
	{ "select, read", do_select_and_read, true },
	{ "write", do_write, false },
	{ "sendfile", do_sendfile, false },
	{ "wait to write", do_wait_to_write, false },
	{ "accept", do_accept, false },
	{ "connect", do_connect, false },
};

#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

static int task(void *arg)
{
	unsigned int us = chance(60);

	if (us % 2)
		gr_sleep(US(us));
	return calls[(long)arg].fn();
}

/* what the socket still held in full[0]'s direction: nothing was added to that */
static long drain(int fd)
{
	char buf[4096];
	long sum = 0;
	ssize_t n;

	while ((n = gr_read(fd, buf, sizeof(buf), GR_NOW)) > 0)
		sum += n;
	CHECK(n == -EAGAIN);
	return sum;
}

static long fill(int fd)
{
	static const char buf[4096];
	long sum = 0;
	ssize_t n;

	while ((n = gr_write(fd, buf, sizeof(buf), GR_NOW)) > 0)
		sum += n;
	CHECK(n == -EAGAIN);
	return sum;
}

static int sent, taken;

static void cancel_one(long i)
{
	struct gr_task *t;
	int ret = 0;

	CHECK(!gr_task_new(&t, task, (void *)i, NULL));
	gr_sleep(US(chance(150)));
	/* at the same time as what it waits for */
	if (calls[i].reads && chance(2))
		sent += gr_write(empty[1], "x", 1, LONG) == 1;
	if (chance(4) == 0)
		gr_sleep(US(chance(30)));
	CHECK(!gr_task_cancel(t));
	CHECK(!gr_task_join(t, &ret, LONG));
	gr_task_release(t);
	if (ret == 1 && calls[i].reads) {
		taken++;
	} else if (ret != -ECANCELED) {
		fprintf(stderr, "# %s: %d\n", calls[i].name, ret);
		CHECK(ret == -ECANCELED);
	}
}

static void cancelled(void)
{
	int before = open_sockets(), listener, waits[8], n = 0;
	long filled;

	snprintf(queue, sizeof(queue), "@gr-sockrace-%d-%s", getpid(), mix.name);
	listener = gr_unix_listen(queue, 1);
	while (n < 8 && (waits[n] = gr_unix_dial(queue, gr_after(5 * GR_MS))) >= 0)
		n++;
	CHECK(n < 8 && waits[n] == -ETIMEDOUT);
	silent = gr_tcp_listen("127.0.0.1", "0", 1);
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	unix_pair(full);
	tcp_pair(empty);
	filled = fill(full[0]);
	sent = taken = 0;
	for (long i = 0; i < ROUNDS * (long)NR_CALLS; i++)
		cancel_one(i % (long)NR_CALLS);
	CHECK(taken + drain(empty[0]) == sent);
	CHECK(drain(full[1]) == filled);
	close_both(full);
	close_both(empty);
	gr_close(silent);
	gr_close(listener);
	gr_close(file);
	while (n--)
		gr_close(waits[n]);
	CHECK(open_sockets() == before);
}

/* ---- shut down while others are in it ---- */

static _Atomic int shut;

static void reads_to_end(void *fd)
{
	char buf[500];
	ssize_t n;

	while ((n = gr_read((int)(long)fd, buf, sizeof(buf), LONG)) > 0)
		;
	/* bytes that nobody will read make the peer's end a reset */
	CHECK((!n || n == -ECONNRESET) && atomic_load(&shut));
}

static void writes_to_end(void *fd)
{
	static const char buf[3000];
	ssize_t n;

	while ((n = gr_write((int)(long)fd, buf, sizeof(buf), LONG)) > 0)
		;
	CHECK((n == -EPIPE || n == -ECONNRESET) && atomic_load(&shut));
}

static void waits_for_end(void *fd)
{
	int ret = gr_fd_wait((int)(long)fd, POLLRDHUP, LONG);

	CHECK(ret > 0 && ret & (POLLRDHUP | POLLHUP) && atomic_load(&shut));
}

static void shut_down(void)
{
	int pair[2];

	for (int i = 0; i < ROUNDS; i++) {
		if (i % 2)
			tcp_pair(pair);
		else
			unix_pair(pair);
		atomic_store(&shut, 0);
		for (int k = 0; k < 3; k++) {
			mix_go(reads_to_end, (void *)(long)pair[0]);
			mix_go(writes_to_end, (void *)(long)pair[0]);
		}
		mix_go(waits_for_end, (void *)(long)pair[0]);
		if (i % 3)
			mix_go(reads_to_end, (void *)(long)pair[1]); /* else they fill it up */
		if (i % 5 == 0)
			mix_go(writes_to_end, (void *)(long)pair[1]);
		gr_sleep(US(chance(300)));
		atomic_store(&shut, 1);
		CHECK(!gr_shutdown(pair[0], SHUT_RDWR));
		mix_join();
		close_both(pair);
	}
}

/* ---- a listener that ends while others accept and connect ---- */

static char port[8], path[64];

static void accepts_to_end(void *fd)
{
	int ret;

	while ((ret = gr_accept((int)(long)fd, LONG)) >= 0)
		gr_close(ret);
	CHECK(ret == -EINVAL && atomic_load(&shut));
}

static void dials_to_end(void *is_unix)
{
	int fd;

	do {
		fd = is_unix ? gr_unix_dial(path, LONG) : gr_tcp_dial("127.0.0.1", port, LONG);
		if (fd >= 0)
			gr_close(fd);
	} while (fd >= 0);
	CHECK(fd == -ECONNREFUSED || fd == -ECONNRESET);
	CHECK(atomic_load(&shut));
}

static void listeners(void)
{
	int before = open_sockets(), fd;

	for (int i = 0; i < ROUNDS / 2; i++) {
		long is_unix = i % 2;

		/* a name of its own: the kernel may still be letting go of the last one's */
		snprintf(path, sizeof(path), "@gr-sockrace-%d-%d", getpid(), i);
		fd = is_unix ? gr_unix_listen(path, 2) : listen_here(port, 4096);
		CHECK(fd >= 0);
		atomic_store(&shut, 0);
		for (int k = 0; k < 3; k++) {
			if (i % 4 < 2) /* else only the queue takes them, and it is full soon */
				mix_go(accepts_to_end, (void *)(long)fd);
			if (i % 4 != 2) /* TCP would try again each second */
				mix_go(dials_to_end, (void *)is_unix);
		}
		gr_sleep(US(chance(400)));
		atomic_store(&shut, 1);
		CHECK(!gr_shutdown(fd, SHUT_RDWR));
		if (i % 4 >= 2)
			gr_close(fd);
		mix_join();
		if (i % 4 < 2)
			gr_close(fd);
	}
	CHECK(open_sockets() == before);
}

/* ---- closed under others: they end at their deadlines, or before ---- */

static void reads_closed(void *fd)
{
	char c;
	ssize_t n = gr_read((int)(long)fd, &c, 1, gr_after(3 * GR_MS));

	CHECK(n == -ETIMEDOUT || n == -EBADF || n == 0 || n == -ECONNRESET);
}

static void writes_closed(void *fd)
{
	static const char buf[1000];
	ssize_t n = gr_write((int)(long)fd, buf, sizeof(buf), gr_after(3 * GR_MS));

	/* there may be room for so little */
	CHECK(n > 0 || n == -ETIMEDOUT || n == -EBADF || n == -EPIPE || n == -ECONNRESET);
}

static void accepts_closed(void *fd)
{
	int n = gr_accept((int)(long)fd, gr_after(3 * GR_MS));

	CHECK(n == -ETIMEDOUT || n == -EBADF || n == -EINVAL);
}

/*
 * The peer may end meanwhile. No new descriptors of these numbers, though: what they stand for then
 * is not the library's to know. What the runtime opens for itself gets the lower ones of holes.
 */
static void closed(void)
{
	int before = open_sockets(), holes[16], pair[2], fd;

	for (int i = 0; i < ROUNDS; i++) {
		for (int k = 0; k < 16; k++)
			holes[k] = dup(STDOUT_FILENO);
		if (i % 2)
			tcp_pair(pair);
		else
			unix_pair(pair);
		fd = gr_tcp_listen("127.0.0.1", "0", 4);
		fill(pair[0]);
		for (int k = 0; k < 16; k++)
			close(holes[k]);
		for (int k = 0; k < 2; k++) {
			mix_go(reads_closed, (void *)(long)pair[0]);
			mix_go(writes_closed, (void *)(long)pair[0]);
			mix_go(accepts_closed, (void *)(long)fd);
		}
		gr_sleep(US(chance(300)));
		gr_close(fd);
		gr_close(pair[0]);
		if (i % 3)
			gr_close(pair[1]);
		mix_join();
		if (i % 3 == 0)
			gr_close(pair[1]);
	}
	CHECK(open_sockets() == before);
}

static void body(void)
{
	check_part("cancelled in every state", cancelled);
	check_part("shut down under readers and writers", shut_down);
	check_part("a listener that ends", listeners);
	check_part("closed under everybody", closed);
}

int main(void)
{
	check_run(body);
	return tap_done();
}
