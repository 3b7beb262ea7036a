// SPDX-License-Identifier: MIT
/*
 * epoll_test.c - what is special about waiting by epoll: many on one descriptor, descriptors that
 * are closed, duplicated and used again, requests that are cancelled in every state, many
 * descriptors and too few, terminals. What holds for both back ends is in io_test.c and
 * fdwait_test.c, which run with GR_NETPOLL=epoll too (tests/check.sh).
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "check.h"

#define LONG gr_after(300 * GR_SEC)
#define SHORT gr_after(2 * GR_MS)

static int procs;
static struct gr_wg wg;
static _Atomic long got, sent;

static void start(void (*fn)(void *), long arg)
{
	gr_wg_add(&wg, 1);
	CHECK(gr_go(fn, (void *)arg) == 0);
}

static int finish(void)
{
	CHECK(gr_wg_wait(&wg, LONG) == 0);
	return atomic_load(&errors);
}

/* ---- many readers and writers ---- */

#define MANY 16
#define BYTES 20000

static void writer(void *fd)
{
	static const char block[700];
	ssize_t n;

	for (int left = BYTES; left > 0; left -= (int)n) {
		n = gr_write((int)(long)fd, block, left < 700 ? (size_t)left : 700, LONG);
		CHECK(n > 0);
		if (n <= 0)
			break;
		atomic_fetch_add(&sent, n);
	}
	gr_wg_done(&wg);
}

/* until all has come */
static void reader(void *fd)
{
	char buf[300];
	ssize_t n;

	while (atomic_load(&got) < (long)MANY * BYTES) {
		n = gr_read((int)(long)fd, buf, sizeof(buf), SHORT);
		CHECK(n > 0 || n == -ETIMEDOUT);
		if (n > 0)
			atomic_fetch_add(&got, n);
	}
	gr_wg_done(&wg);
}

static void stream(int in, int out)
{
	atomic_store(&got, 0);
	atomic_store(&sent, 0);
	for (int i = 0; i < MANY; i++) {
		start(reader, in);
		start(writer, out);
	}
	finish();
	CHECK(atomic_load(&got) == (long)MANY * BYTES && atomic_load(&sent) == atomic_load(&got));
}

static void echo(void *fd)
{
	char buf[500];
	ssize_t n;

	while ((n = gr_read((int)(long)fd, buf, sizeof(buf), LONG)) > 0)
		CHECK(gr_write_all((int)(long)fd, buf, (size_t)n, LONG) == n);
	CHECK(n == 0);
	gr_wg_done(&wg);
}

static int on_one(void *unused)
{
	int p[2], sv[2];

	(void)unused;
	CHECK(!pipe(p));
	stream(p[0], p[1]);
	gr_close(p[0]);
	gr_close(p[1]);
	/* readers and writers on the same descriptor, what they write comes back */
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	start(echo, sv[1]);
	atomic_store(&got, 0);
	for (int i = 0; i < MANY; i++) {
		start(reader, sv[0]);
		start(writer, sv[0]);
	}
	while (atomic_load(&got) < (long)MANY * BYTES)
		gr_sleep(SHORT);
	shutdown(sv[0], SHUT_WR);
	finish();
	gr_close(sv[0]);
	gr_close(sv[1]);
	return atomic_load(&errors);
}

/* ---- many that accept: who loses keeps its deadline ---- */

#define CONNS 40

static int listener;

static void acceptor(void *unused)
{
	int fd;

	(void)unused;
	while (atomic_load(&got) < CONNS) {
		fd = gr_accept(listener, SHORT);
		CHECK(fd >= 0 || fd == -ETIMEDOUT);
		if (fd < 0)
			continue;
		atomic_fetch_add(&got, 1);
		CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
		gr_close(fd);
	}
	gr_wg_done(&wg);
}

static int accepts(void *unused)
{
	char port[8];
	int fd;

	(void)unused;
	listener = gr_tcp_listen("127.0.0.1", "0", 128);
	snprintf(port, sizeof(port), "%d", gr_tcp_port(listener));
	atomic_store(&got, 0);
	for (int i = 0; i < 8; i++)
		start(acceptor, 0);
	for (int i = 0; i < CONNS; i++) {
		fd = gr_tcp_dial("127.0.0.1", port, LONG);
		CHECK(fd >= 0 && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
		gr_close(fd);
	}
	finish();
	CHECK(!(fcntl(listener, F_GETFL) & O_NONBLOCK));
	gr_close(listener);
	/* nobody accepts: the queue is full at some time, and then connecting takes its time */
	listener = gr_tcp_listen("127.0.0.1", "0", 1);
	snprintf(port, sizeof(port), "%d", gr_tcp_port(listener));
	for (int i = 0, fds[16]; i < 16; i++) {
		fds[i] = gr_tcp_dial("127.0.0.1", port, gr_after(20 * GR_MS));
		CHECK(fds[i] >= 0 || fds[i] == -ETIMEDOUT);
		if (fds[i] >= 0 && i < 15)
			continue;
		CHECK(fds[i] == -ETIMEDOUT);
		while (i--)
			gr_close(fds[i]);
		break;
	}
	gr_close(listener);
	return atomic_load(&errors);
}

/* ---- descriptors that are not what they were ---- */

struct waiting {
	int fd;
	_Atomic ssize_t ret;
	int64_t deadline;
};

static void waits_to_read(void *arg)
{
	struct waiting *w = arg;
	char c;

	atomic_store(&w->ret, gr_read(w->fd, &c, 1, w->deadline));
	gr_wg_done(&wg);
}

static void asleep(struct waiting *w, int fd, int64_t deadline)
{
	*w = (struct waiting){ .fd = fd, .ret = -EINPROGRESS, .deadline = deadline };
	start(waits_to_read, (long)w);
	/* turns: its request is submitted by then, on a slow machine too */
	for (int i = 0; i < 8; i++)
		gr_sleep(gr_after(GR_MS / 2));
}

/* One P: all wait in the same set. */
static int reused(void *unused)
{
	int a[2], b[2], spare;
	struct waiting old, new;

	(void)unused;
	/* closed, and another file in its place: who waited is told when somebody waits for that */
	CHECK(!pipe(a) && !pipe(b));
	asleep(&old, a[0], LONG);
	dup2(b[0], a[0]);
	asleep(&new, a[0], LONG);
	CHECK(write(b[1], "x", 1) == 1);
	finish();
	CHECK(old.ret == -EBADF && new.ret == 1);
	close(a[1]);
	/* the file is still there under another number: it wakes, and finds no descriptor */
	CHECK(!pipe(a));
	spare = dup(a[0]);
	asleep(&old, a[0], LONG);
	close(a[0]);
	CHECK(write(a[1], "x", 1) == 1);
	finish();
	CHECK(old.ret == -EBADF);
	close(spare);
	close(a[1]);
	/* what happens to that file is not taken for something of the next one */
	CHECK(!pipe(a));
	asleep(&old, a[0], SHORT);
	finish();
	spare = dup(a[0]);
	dup2(b[0], a[0]);
	CHECK(gr_fd_wait(a[0], POLLIN, SHORT) == -ETIMEDOUT);
	CHECK(write(a[1], "x", 1) == 1);
	CHECK(gr_fd_wait(a[0], POLLIN, SHORT) == -ETIMEDOUT);
	CHECK(write(b[1], "x", 1) == 1);
	CHECK(gr_fd_wait(a[0], POLLIN, LONG) == POLLIN);
	close(spare);
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
	return finish();
}

/* the system calls by which it waits, but those that were counted before */
static long enters_since(long since)
{
	struct gr_info info = { .size = sizeof(info) };

	CHECK(!gr_info(&info));
	return (long)info.ring_enters - since;
}

/* Nobody waits any more for what comes: the thread that finds it there goes on sleeping. */
static int forgotten(void *unused)
{
	struct waiting w;
	long before;
	int p[2];

	(void)unused;
	CHECK(!pipe(p));
	asleep(&w, p[0], SHORT);
	finish();
	CHECK(w.ret == -ETIMEDOUT && write(p[1], "x", 1) == 1);
	before = enters_since(0);
	gr_sleep(gr_after(50 * GR_MS));
	CHECK(enters_since(before) < 100);
	close(p[0]);
	close(p[1]);
	return atomic_load(&errors);
}

/* Who waits for an error is not woken by data, which would be there again and again. */
static int only_errors(void *unused)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	int in = gr_udp_bind("127.0.0.1", "0"), on = 1, none;
	char buf[16], port[8];
	long before;

	(void)unused;
	none = gr_udp_bind("127.0.0.1", "0");
	at.sin_port = htons((uint16_t)gr_tcp_port(none));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	gr_close(none);
	CHECK(!setsockopt(in, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)));
	snprintf(port, sizeof(port), "%d", gr_tcp_port(in));
	none = gr_udp_dial("127.0.0.1", port);
	CHECK(gr_send(none, "data", 4, 0, LONG) == 4);
	CHECK(gr_recv(in, buf, sizeof(buf), MSG_PEEK, LONG) == 4);
	before = enters_since(0);
	CHECK(gr_recv(in, buf, sizeof(buf), MSG_ERRQUEUE, gr_after(20 * GR_MS)) == -ETIMEDOUT);
	CHECK(enters_since(before) < 100);
	CHECK(gr_sendto(in, "lost", 4, 0, (struct sockaddr *)&at, sizeof(at), LONG) == 4);
	CHECK(gr_recv(in, buf, sizeof(buf), MSG_ERRQUEUE, LONG) == 4 && !memcmp(buf, "lost", 4));
	CHECK(gr_recv(in, buf, sizeof(buf), 0, LONG) == 4 && !memcmp(buf, "data", 4));
	gr_close(in);
	gr_close(none);
	return atomic_load(&errors);
}

/* ---- cancelled: before, while it is queued, in the set, when it is ready ---- */

static int pipes[2][2], silent;

static int reads_pipe(void *arg)
{
	char c;

	gr_sleep(gr_after((long)arg % 5 * 10 * GR_US));
	return (int)gr_read(pipes[0][0], &c, 1, GR_FOREVER);
}

static int writes_pipe(void *arg)
{
	static const char block[70000];

	gr_sleep(gr_after((long)arg % 5 * 10 * GR_US));
	return (int)gr_write(pipes[1][1], block, sizeof(block), GR_FOREVER);
}

static int accepts_nobody(void *arg)
{
	gr_sleep(gr_after((long)arg % 5 * 10 * GR_US));
	return gr_accept(silent, GR_FOREVER);
}

static int cancels(void *unused)
{
	static int (*const what[])(void *) = { reads_pipe, writes_pipe, accepts_nobody };
	char block[4096] = "";
	int bytes = 0, taken = 0;
	char c;

	(void)unused;
	CHECK(!pipe(pipes[0]) && !pipe(pipes[1]));
	silent = gr_tcp_listen("127.0.0.1", "0", 1);
	while (gr_write(pipes[1][1], block, sizeof(block), GR_NOW) > 0)
		;
	for (long i = 0; i < 300; i++) {
		struct gr_task *t;
		int ret = 0;

		CHECK(!gr_task_new(&t, what[i % 3], (void *)(i / 3), NULL));
		gr_sleep(gr_after(i % 7 * 20 * GR_US));
		if (i % 3 == 0 && i % 2) /* at the same time as what it waits for */
			bytes += write(pipes[0][1], "x", 1) == 1;
		gr_task_cancel(t);
		CHECK(!gr_task_join(t, &ret, LONG));
		CHECK(ret == -ECANCELED || (ret == 1 && i % 3 == 0));
		taken += ret == 1;
		gr_task_release(t);
	}
	while (gr_read(pipes[0][0], &c, 1, GR_NOW) == 1)
		taken++;
	CHECK(taken == bytes);
	gr_close(silent);
	for (int i = 0; i < 4; i++)
		gr_close(pipes[i / 2][i % 2]);
	return atomic_load(&errors);
}

/* ---- many descriptors, and too few ---- */

#define PIPES 1000
#define FDS (2 * PIPES + 100)

static void one_byte(void *fd)
{
	char c;

	CHECK(gr_read((int)(long)fd, &c, 1, LONG) == 1);
	atomic_fetch_add(&got, 1);
	gr_wg_done(&wg);
}

static int thousands(void *arg)
{
	static int p[PIPES][2];
	int n = *(int *)arg;

	atomic_store(&got, 0);
	for (int i = 0; i < n; i++) {
		CHECK(!pipe(p[i]));
		start(one_byte, p[i][0]);
	}
	gr_sleep(SHORT);
	CHECK(atomic_load(&got) == 0);
	for (int i = n; i--; )
		CHECK(write(p[i][1], "x", 1) == 1);
	finish();
	for (int i = 0; i < 2 * n; i++)
		close(p[i / 2][i % 2]);
	return atomic_load(&errors);
}

static int too_few(void *unused)
{
	struct rlimit was, few;
	struct waiting w;
	char port[8];
	int p[2], fd;

	(void)unused;
	listener = gr_tcp_listen("127.0.0.1", "0", 8);
	snprintf(port, sizeof(port), "%d", gr_tcp_port(listener));
	fd = gr_tcp_dial("127.0.0.1", port, LONG);
	CHECK(fd >= 0 && !pipe(p));
	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &few);
	CHECK(gr_accept(listener, LONG) == -EMFILE);
	asleep(&w, p[0], LONG); /* waiting needs none */
	CHECK(write(p[1], "x", 1) == 1);
	finish();
	CHECK(w.ret == 1);
	setrlimit(RLIMIT_NOFILE, &was);
	gr_close(fd);
	fd = gr_accept(listener, LONG);
	CHECK(fd >= 0);
	gr_close(fd);
	gr_close(listener);
	close(p[0]);
	close(p[1]);
	return atomic_load(&errors);
}

/* ---- a terminal: no way to read without waiting, and two who want the same line ---- */

static void reads_line(void *fd)
{
	ssize_t n;
	char c[8];

	while (atomic_load(&got) < 20) {
		n = gr_read((int)(long)fd, c, sizeof(c), SHORT);
		CHECK(n == -ETIMEDOUT || (n == 2 && c[0] == 'x'));
		if (n == 2)
			atomic_fetch_add(&got, 1);
	}
	gr_wg_done(&wg);
}

static int terminal(void *arg)
{
	int master = ((int *)arg)[0], slave = ((int *)arg)[1];

	atomic_store(&got, 0);
	for (int i = 0; i < 4; i++)
		start(reads_line, slave);
	for (int i = 0; i < 20; i++) {
		CHECK(gr_write(master, "x\n", 2, LONG) == 2);
		gr_sleep(gr_after(i % 3 * 100 * GR_US));
	}
	return finish();
}

static void run(const char *name, int (*fn)(void *), void *arg)
{
	atomic_store(&errors, 0);
	memset(&wg, 0, sizeof(wg));
	tap_ok(mix_gr_run(fn, arg, procs) == 0, "procs=%d: %s", procs, name);
}

static void run_terminal(void)
{
	int fds[2] = { posix_openpt(O_RDWR | O_NOCTTY), -1 };

	if (fds[0] >= 0 && !grantpt(fds[0]) && !unlockpt(fds[0]))
		fds[1] = open(ptsname(fds[0]), O_RDWR | O_NOCTTY);
	if (fds[1] >= 0)
		run("a line of a terminal, and four readers", terminal, fds);
	else
		tap_skip("a terminal", "no devpts here");
	close(fds[0]);
	close(fds[1]);
}

static int is_epoll(void *unused)
{
	struct gr_info info = { .size = sizeof(info) };

	(void)unused;
	return gr_info(&info) || strcmp(info.netpoll, "epoll");
}

int main(void)
{
	static const int sizes[] = { 1, 2, 4 };
	struct rlimit limit;
	int n = PIPES;

	tap_limit(300);
	setenv("GR_NETPOLL", "epoll", 1);
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < FDS) {
		limit.rlim_cur = limit.rlim_max < FDS ? limit.rlim_max : FDS;
		setrlimit(RLIMIT_NOFILE, &limit);
		if (limit.rlim_cur < FDS)
			n = (int)(limit.rlim_cur - 100) / 2;
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		procs = sizes[i];
		run("gr_info() says epoll", is_epoll, NULL);
		run("many readers and writers on one descriptor", on_one, NULL);
		run("many accept, and connecting ends in time", accepts, NULL);
		run("cancelled in every state", cancels, NULL);
		run("a thousand pipes", thousands, &n);
		run("no descriptors left", too_few, NULL);
		run_terminal();
	}
	procs = 1;
	run("closed, duplicated and used again", reused, NULL);
	run("what nobody waits for is slept through", forgotten, NULL);
	run("data while only errors are waited for", only_errors, NULL);
	return tap_done();
}
