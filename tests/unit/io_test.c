// SPDX-License-Identifier: MIT
/*
 * io_test.c - sockets and files through the ring: data arrives whole, deadlines hold, a call
 * that was cancelled has let go of its buffer, errors are the documented ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static int procs, listener;
static char port[8];
static struct gr_wg wg;

static void listen_here(void)
{
	listener = gr_tcp_listen("127.0.0.1", "0", 128);
	CHECK(listener >= 0);
	snprintf(port, sizeof(port), "%d", gr_tcp_port(listener));
}

/* ---- echo ---- */

static void echo(void *arg)
{
	int fd = (int)(long)arg;
	char buf[4096];
	ssize_t n;

	while ((n = gr_read(fd, buf, sizeof(buf), gr_after(300 * GR_SEC))) > 0)
		CHECK(gr_write_all(fd, buf, n, gr_after(300 * GR_SEC)) == n);
	CHECK(n == 0);
	gr_close(fd);
	gr_wg_done(&wg);
}

static void acceptor(void *n)
{
	for (long i = 0; i < (long)n; i++) {
		int fd = gr_accept(listener, gr_after(300 * GR_SEC));

		CHECK(fd >= 0);
		gr_wg_add(&wg, 1);
		gr_go(echo, (void *)(long)fd);
	}
	gr_wg_done(&wg);
}

static void read_full(int fd, char *buf, size_t n)
{
	size_t at = 0;
	ssize_t ret;

	while (at < n) {
		ret = gr_read(fd, buf + at, n - at, gr_after(300 * GR_SEC));
		CHECK(ret > 0);
		if (ret <= 0)
			return;
		at += ret;
	}
}

static void client(void *arg)
{
	int fd = gr_tcp_dial("127.0.0.1", port, gr_after(300 * GR_SEC));
	char out[300], in[300];

	CHECK(fd >= 0);
	for (int i = 0; i < 50; i++) {
		size_t n = 1 + (i * 37 + (long)arg) % sizeof(out);

		memset(out, 'a' + i % 26, n);
		memset(in, 0, n);
		CHECK(gr_write_all(fd, out, n, gr_after(300 * GR_SEC)) == (ssize_t)n);
		read_full(fd, in, n);
		CHECK(!memcmp(in, out, n));
	}
	gr_close(fd);
	gr_wg_done(&wg);
}

static int echo_many(void *arg)
{
	long n = (long)arg;

	listen_here();
	gr_wg_add(&wg, n + 1);
	gr_go(acceptor, (void *)n);
	for (long i = 0; i < n; i++)
		gr_go(client, (void *)i);
	CHECK(gr_wg_wait(&wg, gr_after(1000 * GR_SEC)) == 0);
	gr_close(listener);
	return atomic_load(&errors);
}

/* ---- a megabyte to a reader that is slow ---- */

#define BIG (1 << 20)

static void slow_reader(void *arg)
{
	int fd = gr_accept(listener, gr_after(300 * GR_SEC));
	static char buf[BIG];
	unsigned long sum = 0;
	size_t at = 0;
	ssize_t n;

	while ((n = gr_read(fd, buf, 10000, gr_after(300 * GR_SEC))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			sum += (unsigned char)buf[i] * (at + i + 1);
		at += n;
		if (at % 7 == 0)
			gr_sleep(gr_after(200 * GR_US));
	}
	*(unsigned long *)arg = at == BIG ? sum : 0;
	gr_close(fd);
	gr_wg_done(&wg);
}

static int big_write(void *unused)
{
	unsigned long want = 0, got = 0;
	char *buf = malloc(BIG);
	int fd;

	(void)unused;
	listen_here();
	for (size_t i = 0; i < BIG; i++) {
		buf[i] = (char)(i * 31 >> 3);
		want += (unsigned char)buf[i] * (i + 1);
	}
	gr_wg_add(&wg, 1);
	gr_go(slow_reader, &got);
	fd = gr_tcp_dial("localhost", port, gr_after(300 * GR_SEC));
	CHECK(gr_write_all(fd, buf, BIG, gr_after(60 * GR_SEC)) == BIG);
	gr_close(fd);
	CHECK(gr_wg_wait(&wg, gr_after(60 * GR_SEC)) == 0);
	CHECK(want == got);
	gr_close(listener);
	free(buf);
	return atomic_load(&errors);
}

/* ---- deadlines ---- */

/* the buffer is on this frame: a request that outlived its call would write into it */
static __attribute__((noinline)) void timed_read(int fd)
{
	char buf[64];

	memset(buf, 7, sizeof(buf));
	CHECK(gr_read(fd, buf, sizeof(buf), gr_after(500 * GR_US)) == -ETIMEDOUT);
	for (size_t i = 0; i < sizeof(buf); i++)
		CHECK(buf[i] == 7);
}

static int deadlines(void *unused)
{
	int fd, sv[2];
	char c;

	(void)unused;
	listen_here();
	CHECK(gr_accept(listener, gr_after(GR_MS)) == -ETIMEDOUT);
	CHECK(gr_accept(listener, GR_NOW) == -EAGAIN);
	fd = gr_tcp_dial("127.0.0.1", port, gr_after(300 * GR_SEC));
	CHECK(fd >= 0);
	CHECK(gr_read(fd, &c, 1, GR_NOW) == -EAGAIN);
	CHECK(gr_read(fd, &c, 1, gr_after(-GR_SEC)) == -ETIMEDOUT);
	for (int i = 0; i < 50; i++)
		timed_read(fd);
	gr_close(fd);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	timed_read(sv[0]);
	CHECK(write(sv[1], "x", 1) == 1);
	CHECK(gr_read(sv[0], &c, 1, gr_after(GR_SEC)) == 1 && c == 'x');
	gr_close(sv[0]);
	gr_close(sv[1]);
	gr_close(listener);
	return atomic_load(&errors);
}

/* completion and deadline at the same instant: every byte is received once, or not at all */
static _Atomic long received;

static void racer(void *arg)
{
	int *sv = arg;
	ssize_t n;
	char c;

	for (int i = 0; i < 300; i++) {
		n = gr_read(sv[0], &c, 1, gr_after(100 * GR_US));
		CHECK(n == 1 || n == -ETIMEDOUT);
		if (n == 1)
			atomic_fetch_add(&received, 1);
	}
	gr_wg_done(&wg);
}

static int cancel_race(void *unused)
{
	int sv[8][2];
	long sent = 0, left = 0;
	char c;

	(void)unused;
	atomic_store(&received, 0);
	gr_wg_add(&wg, 8);
	for (int i = 0; i < 8; i++) {
		CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv[i]));
		gr_go(racer, sv[i]);
	}
	for (int i = 0; i < 200; i++) {
		gr_sleep(gr_after(100 * GR_US));
		for (int j = 0; j < 8; j++)
			sent += gr_write(sv[j][1], "x", 1, GR_NOW) == 1;
	}
	CHECK(gr_wg_wait(&wg, gr_after(60 * GR_SEC)) == 0);
	for (int j = 0; j < 8; j++) {
		while (gr_read(sv[j][0], &c, 1, GR_NOW) == 1)
			left++;
		gr_close(sv[j][0]);
		gr_close(sv[j][1]);
	}
	CHECK(atomic_load(&received) + left == sent);
	return atomic_load(&errors);
}

/* ---- files ---- */

static int files(void *unused)
{
	char path[] = "/tmp/gr-io-test-XXXXXX", buf[8192];
	int fd = mkstemp(path), p[2];

	(void)unused;
	close(fd);
	fd = gr_open(path, O_RDWR | O_TRUNC, 0600);
	CHECK(fd >= 0);
	memset(buf, 'z', sizeof(buf));
	CHECK(gr_write_all(fd, buf, sizeof(buf), GR_FOREVER) == sizeof(buf));
	CHECK(gr_pwrite(fd, "abc", 3, 100, GR_FOREVER) == 3);
	CHECK(gr_fsync(fd) == 0);
	CHECK(gr_pread(fd, buf, 5, 99, GR_FOREVER) == 5 && !memcmp(buf, "zabcz", 5));
	CHECK(gr_pread(fd, buf, sizeof(buf), 8190, GR_FOREVER) == 2);
	CHECK(gr_pread(fd, buf, 1, 8192, GR_FOREVER) == 0);
	CHECK(gr_pread(fd, buf, 1, -1, GR_FOREVER) == -EINVAL);
	CHECK(lseek(fd, 0, SEEK_SET) == 0 && gr_read(fd, buf, 3, GR_FOREVER) == 3);
	CHECK(gr_close(fd) == 0);
	CHECK(gr_close(fd) == -EBADF);
	CHECK(gr_read(fd, buf, 1, GR_FOREVER) == -EBADF);
	unlink(path);
	CHECK(gr_open(path, O_RDONLY, 0) == -ENOENT);
	CHECK(gr_open(NULL, O_RDONLY, 0) == -EINVAL);
	CHECK(!pipe(p));
	CHECK(gr_read(p[0], buf, 1, gr_after(GR_MS)) == -ETIMEDOUT);
	CHECK(gr_write(p[1], "q", 1, GR_FOREVER) == 1 && gr_read(p[0], buf, 9, GR_FOREVER) == 1);
	close(p[0]);
	close(p[1]);
	return atomic_load(&errors);
}

/* ---- errors ---- */

static int failures(void *unused)
{
	struct rlimit was, few;
	int fd, twice, sv[2];
	char dead[8];

	(void)unused;
	listen_here();
	twice = gr_tcp_listen("127.0.0.1", port, 1);
	CHECK(twice == -EADDRINUSE);
	memcpy(dead, port, sizeof(dead));
	gr_close(listener);
	CHECK(gr_tcp_dial("127.0.0.1", dead, gr_after(300 * GR_SEC)) == -ECONNREFUSED);
	CHECK(gr_tcp_dial("127.0.0.1", NULL, GR_FOREVER) == -EINVAL);
	CHECK(gr_tcp_dial("no-such-host.invalid", "1", gr_after(300 * GR_SEC)) < 0);
	CHECK(gr_tcp_port(-1) == -EBADF);
	/* a peer that went away: EPIPE, no signal */
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	close(sv[1]);
	CHECK(gr_write(sv[0], "x", 1, GR_FOREVER) == -EPIPE);
	CHECK(gr_read(sv[0], dead, 1, GR_FOREVER) == 0);
	close(sv[0]);
	/* too few descriptors, and it works again afterwards */
	listen_here();
	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &few);
	CHECK(gr_tcp_dial("127.0.0.1", port, gr_after(GR_SEC)) == -EMFILE);
	setrlimit(RLIMIT_NOFILE, &was);
	fd = gr_tcp_dial("127.0.0.1", port, gr_after(300 * GR_SEC));
	CHECK(fd >= 0);
	gr_close(fd);
	gr_close(listener);
	return atomic_load(&errors);
}

static void run(const char *name, int (*fn)(void *), void *arg)
{
	atomic_store(&errors, 0);
	memset(&wg, 0, sizeof(wg));
	tap_ok(mix_gr_run(fn, arg, procs) == 0, "procs=%d: %s", procs, name);
}

int main(void)
{
	static const int sizes[] = { 1, 2, 4 };
	char c;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		procs = sizes[i];
		run("echo, one client", echo_many, (void *)1L);
		run("echo, 64 clients", echo_many, (void *)64L);
		run("a megabyte to a slow reader", big_write, NULL);
		run("deadlines", deadlines, NULL);
		run("deadline and completion at once", cancel_race, NULL);
		run("files and pipes", files, NULL);
		run("errors", failures, NULL);
	}
	tap_ok(gr_read(0, &c, 1, GR_NOW) == -EPERM, "gr_read() outside: EPERM");
	tap_ok(gr_accept(0, GR_NOW) == -EPERM, "gr_accept() outside: EPERM");
	tap_ok(gr_tcp_dial("a", "1", GR_NOW) == -EPERM, "gr_tcp_dial() outside: EPERM");
	return tap_done();
}
