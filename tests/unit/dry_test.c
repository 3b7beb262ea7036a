// SPDX-License-Identifier: MIT
/*
 * dry_test.c - gr_read() from a socket that this goroutine has just read empty: it waits first and
 * receives then, and nobody can tell. Also when the number means something else by then.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gr_int.h"
#include "tap.h"

#define SOON gr_after(300 * GR_SEC)
#define NR_BYTES 300

static int procs;
static struct gr_wg wg;
static _Atomic int errors;

#define CHECK(cond)                                                             \
	do {                                                                    \
		if (!(cond)) {                                                  \
			fprintf(stderr, "# line %d: %s\n", __LINE__, #cond);    \
			atomic_fetch_add(&errors, 1);                           \
		}                                                               \
	} while (0)

static void write_one(void *fd)
{
	gr_yield();
	CHECK(gr_write((int)(intptr_t)fd, "x", 1, SOON) == 1);
	gr_wg_done(&wg);
}

/* Read from in what is written to out, until a read had to wait: in is known to be empty then. */
static void empty(int in, int out)
{
	char buf[16];

	do {
		gr_wg_add(&wg, 1);
		gr_go(write_one, (void *)(intptr_t)out);
		CHECK(gr_read(in, buf, sizeof(buf), SOON) == 1);
		gr_wg_wait(&wg, GR_FOREVER);
	} while (g_self()->io_dry != in);
}

static void two(int s[2])
{
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	empty(s[0], s[1]);
}

static bool reads(int fd, const char *text)
{
	char buf[16];
	ssize_t n = gr_read(fd, buf, sizeof(buf), SOON);

	return n == (ssize_t)strlen(text) && !memcmp(buf, text, n);
}

static int meanwhile(void *unused)
{
	char buf[16];
	int s[2];

	(void)unused;
	two(s);
	CHECK(write(s[1], "ab", 2) == 2);
	CHECK(recv(s[0], buf, sizeof(buf), MSG_PEEK) == 2);
	CHECK(g_self()->io_dry == s[0]);
	CHECK(reads(s[0], "ab"));

	/* somebody else takes it away */
	CHECK(write(s[1], "ab", 2) == 2 && recv(s[0], buf, sizeof(buf), 0) == 2);
	CHECK(gr_read(s[0], buf, sizeof(buf), gr_after(GR_MS)) == -ETIMEDOUT);
	empty(s[0], s[1]);
	CHECK(gr_read(s[0], buf, sizeof(buf), GR_NOW) == -EAGAIN);

	/* late, but it is there: either answer will do, nothing is lost */
	CHECK(write(s[1], "ab", 2) == 2);
	CHECK(g_self()->io_dry == s[0]);
	if (gr_read(s[0], buf, sizeof(buf), gr_now() - 1) != 2)
		CHECK(reads(s[0], "ab"));

	empty(s[0], s[1]);
	CHECK(!fcntl(s[0], F_SETFL, O_NONBLOCK));
	CHECK(gr_read(s[0], buf, sizeof(buf), gr_after(GR_MS)) == -ETIMEDOUT);
	empty(s[0], s[1]);
	CHECK(write(s[1], "ab", 2) == 2);
	CHECK(reads(s[0], "ab"));
	gr_close(s[0]);
	CHECK(g_self()->io_dry != s[0]);
	gr_close(s[1]);
	return atomic_load(&errors);
}

static void tcp(int s[2])
{
	int listener = gr_tcp_listen("127.0.0.1", "0", 8);
	char port[8];

	snprintf(port, sizeof(port), "%d", gr_tcp_port(listener));
	s[1] = gr_tcp_dial("127.0.0.1", port, SOON);
	s[0] = gr_accept(listener, SOON);
	CHECK(s[0] >= 0 && s[1] >= 0);
	gr_close(listener);
	empty(s[0], s[1]);
}

static int ends(void *unused)
{
	struct linger at_once = { .l_onoff = 1 };
	char buf[16];
	int s[2];

	(void)unused;
	two(s);
	gr_close(s[1]);
	CHECK(gr_read(s[0], buf, sizeof(buf), SOON) == 0);
	gr_close(s[0]);

	tcp(s);
	CHECK(write(s[1], "ab", 2) == 2 && !shutdown(s[1], SHUT_WR));
	CHECK(reads(s[0], "ab"));
	CHECK(g_self()->io_dry == s[0]);
	CHECK(gr_read(s[0], buf, sizeof(buf), SOON) == 0);
	gr_close(s[0]);
	gr_close(s[1]);

	tcp(s);
	CHECK(!shutdown(s[0], SHUT_RD));
	CHECK(gr_read(s[0], buf, sizeof(buf), SOON) == 0);
	gr_close(s[0]);
	gr_close(s[1]);

	tcp(s);
	setsockopt(s[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	gr_close(s[1]);
	CHECK(gr_read(s[0], buf, sizeof(buf), SOON) == -ECONNRESET);
	gr_close(s[0]);
	return atomic_load(&errors);
}

/* datagrams are short reads, too, and leave others behind */
static int datagrams(void *unused)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
	char buf[16];

	(void)unused;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(!bind(in, (struct sockaddr *)&a, len));
	CHECK(!getsockname(in, (struct sockaddr *)&a, &len));
	CHECK(!connect(out, (struct sockaddr *)&a, len));
	empty(in, out);
	CHECK(write(out, "a", 1) == 1 && write(out, "", 0) == 0 && write(out, "bc", 2) == 2);
	CHECK(reads(in, "a"));
	CHECK(gr_read(in, buf, sizeof(buf), SOON) == 0);
	CHECK(reads(in, "bc"));
	gr_close(in);
	gr_close(out);
	return atomic_load(&errors);
}

static int nr_read;

static void reader(void *fd)
{
	char buf[16];
	ssize_t n;

	while ((n = gr_read((int)(intptr_t)fd, buf, sizeof(buf), gr_after(100 * GR_US))) != 0) {
		CHECK(n == -ETIMEDOUT || n > 0);
		if (n > 0)
			__atomic_fetch_add(&nr_read, (int)n, __ATOMIC_RELAXED);
	}
	gr_wg_done(&wg);
}

/* several readers of one socket, whose deadlines pass all the time: each byte once, and the end */
static int readers(void *unused)
{
	int s[2];

	(void)unused;
	two(s);
	nr_read = 0;
	gr_wg_add(&wg, 3);
	for (int i = 0; i < 3; i++)
		gr_go(reader, (void *)(intptr_t)s[0]);
	for (int i = 0; i < NR_BYTES; i++) {
		CHECK(gr_write(s[1], "x", 1, SOON) == 1);
		if (i % 3)
			gr_sleep(gr_after(i % 7 * 20 * GR_US));
	}
	gr_close(s[1]);
	gr_wg_wait(&wg, GR_FOREVER);
	CHECK(nr_read == NR_BYTES);
	gr_close(s[0]);
	return atomic_load(&errors);
}

/* ---- a number that means something else afterwards ---- */

/* dup2(): nobody tells libgr that the number changes its meaning */
static int emptied_number(int other)
{
	int s[2], fd;

	two(s);
	fd = s[0];
	CHECK(dup2(other, fd) == fd);
	CHECK(g_self()->io_dry == fd);
	gr_close(s[1]);
	return fd;
}

static int reused(void *unused)
{
	char path[] = "/tmp/gr_dry_XXXXXX", buf[16];
	int fd, p[2], s[2], file = mkstemp(path);

	(void)unused;
	CHECK(file >= 0 && !unlink(path) && !pipe(p));
	CHECK(write(file, "file", 4) == 4 && !lseek(file, 0, SEEK_SET));
	fd = emptied_number(file);
	CHECK(reads(fd, "file"));
	gr_close(fd);

	CHECK(write(p[1], "pipe", 4) == 4);
	fd = emptied_number(p[0]);
	CHECK(reads(fd, "pipe"));
	gr_close(fd);

	fd = emptied_number(p[0]);
	CHECK(gr_read(fd, buf, sizeof(buf), gr_after(GR_MS)) == -ETIMEDOUT);
	gr_close(fd);

	fd = emptied_number(p[0]);
	gr_wg_add(&wg, 1);
	gr_go(write_one, (void *)(intptr_t)p[1]);
	CHECK(reads(fd, "x"));
	gr_wg_wait(&wg, GR_FOREVER);
	gr_close(fd);

	fd = emptied_number(p[0]);
	close(p[1]);
	CHECK(gr_read(fd, buf, sizeof(buf), SOON) == 0);
	gr_close(fd);

	two(s);
	close(s[0]);
	CHECK(gr_read(s[0], buf, sizeof(buf), SOON) == -EBADF);
	gr_close(s[1]);
	gr_close(p[0]);
	gr_close(file);
	return atomic_load(&errors);
}

static void run(const char *name, int (*fn)(void *))
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = procs };

	atomic_store(&errors, 0);
	memset(&wg, 0, sizeof(wg));
	tap_ok(gr_run(fn, NULL, &opts) == 0, "procs=%d: %s", procs, name);
}

int main(void)
{
	for (procs = 1; procs <= 2; procs++) {
		run("what comes meanwhile is read", meanwhile);
		run("so is the end", ends);
		run("and the next datagram", datagrams);
		run("several readers", readers);
		run("the number of something else", reused);
	}
	return tap_done();
}
