// SPDX-License-Identifier: MIT
/*
 * sockstorm_test.c - sockets as a bad day has them: connections that are reset at every stage,
 * half-closes, buffers of next to nothing, no descriptors left, deadlines all the time. Whatever
 * happens, each call ends, with a result that the manual page names; no byte is lost or comes
 * twice, and no descriptor stays.
 */
#include <sys/uio.h>

#include "socks.h"

#define CLIENTS 60
#define BYTES 60000

static int listener;
static char port[8];
static _Atomic int served, finished;

/* ---- connections, each with an end of its own ---- */

static bool is_gone(ssize_t ret)
{
	return ret == -ECONNRESET || ret == -EPIPE;
}

/* echoes; 'R' resets, 'Q' closes with what it has not read */
static void serve(void *arg)
{
	int fd = (int)(long)arg;
	char buf[1000];
	ssize_t n;

	while ((n = gr_read(fd, buf, sizeof(buf), LONG)) > 0) {
		if (*buf == 'R' || *buf == 'Q')
			break;
		n = gr_write_all(fd, buf, (size_t)n, LONG);
		if (n < 0)
			break;
	}
	CHECK(n >= 0 || is_gone(n));
	if (n > 0 && *buf == 'R')
		reset(fd);
	else
		CHECK(!gr_close(fd));
	atomic_fetch_add(&served, 1);
}

static void accept_clients(void *unused)
{
	int fd;

	(void)unused;
	for (int i = 0; i < CLIENTS; i++) {
		fd = gr_accept(listener, LONG);
		CHECK(fd >= 0);
		if (fd >= 0)
			mix_go(serve, (void *)(long)fd);
	}
}

/* what was sent comes back, and the end after it */
static void echo_and_end(int fd)
{
	static const char text[3000] = "abc";
	char buf[3001];
	size_t got = 0;
	ssize_t n;

	CHECK(gr_write_all(fd, text, sizeof(text), LONG) == sizeof(text));
	CHECK(!gr_shutdown(fd, SHUT_WR));
	while ((n = gr_read(fd, buf + got, sizeof(buf) - got, LONG)) > 0)
		got += (size_t)n;
	CHECK(!n && got == sizeof(text) && !memcmp(buf, text, got));
	CHECK(gr_write(fd, "x", 1, LONG) == -EPIPE);
	CHECK(!gr_close(fd));
}

/* the server ends it: a reset, or a close that becomes one because of unread bytes */
static void be_reset(int fd, const char *how)
{
	static const char much[8000];
	ssize_t ret;
	char c;

	CHECK(gr_write(fd, how, 1, LONG) == 1);
	if (*how == 'Q')
		CHECK((ret = gr_write_all(fd, much, sizeof(much), LONG)) > 0 || is_gone(ret));
	ret = gr_read(fd, &c, 1, LONG);
	CHECK(is_gone(ret) || (*how == 'Q' && !ret));
	if (*how == 'R')
		CHECK(gr_write(fd, "x", 1, LONG) == -EPIPE);
	CHECK(!gr_close(fd));
}

static void client(void *kind)
{
	int fd = gr_tcp_dial("127.0.0.1", port, LONG);

	CHECK(fd >= 0);
	if (fd < 0)
		return;
	switch ((long)kind % 6) {
	case 0:
		reset(fd);
		break;
	case 1:
		CHECK(gr_write(fd, "some", 4, LONG) == 4);
		gr_sleep(US(chance(200)));
		reset(fd); /* the echo may be unread, under way, or not written yet */
		break;
	case 2:
		CHECK(!gr_close(fd));
		break;
	case 3:
		be_reset(fd, "R");
		break;
	case 4:
		be_reset(fd, "Q");
		break;
	default:
		echo_and_end(fd);
	}
	atomic_fetch_add(&finished, 1);
}

static void connects_and_resets(void)
{
	int before = open_sockets();

	atomic_store(&served, 0);
	atomic_store(&finished, 0);
	listener = listen_here(port, CLIENTS);
	mix_go(accept_clients, NULL);
	for (long i = 0; i < CLIENTS; i++)
		mix_go(client, (void *)i);
	mix_join();
	gr_close(listener);
	CHECK(served == CLIENTS && finished == CLIENTS);
	CHECK(open_sockets() == before);
}

/* ---- one direction ends, the other goes on ---- */

struct flow {
	int fd, seed;
	ssize_t (*put)(int fd, const char *data, size_t n); /* NULL: gr_write() */
	_Atomic ssize_t bytes;
};

static char byte_at(const struct flow *f, size_t i)
{
	return (char)(i * 7 + i / 251 + (size_t)f->seed);
}

/* BYTES of its own, in pieces as they are taken, and the end */
static void flow_out(void *arg)
{
	struct flow *f = arg;
	char *data = malloc(BYTES);
	ssize_t n;

	if (!data)
		mix_fatal("malloc", ENOMEM);
	for (size_t i = 0; i < BYTES; i++)
		data[i] = byte_at(f, i);
	for (size_t done = 0; done < BYTES; done += (size_t)n) {
		n = f->put ? f->put(f->fd, data + done, BYTES - done) :
			     gr_write(f->fd, data + done, BYTES - done, LONG);
		CHECK(n > 0);
		if (n <= 0)
			break;
	}
	CHECK(!gr_shutdown(f->fd, SHUT_WR));
	free(data);
}

/* all bytes in order, and the end; in pieces of any size, with pauses */
static void flow_in(void *arg)
{
	struct flow *f = arg;
	size_t done = 0;
	char buf[3000];
	ssize_t n;

	while ((n = gr_recv(f->fd, buf, 1 + chance(sizeof(buf)), 0, LONG)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			CHECK(buf[i] == byte_at(f, done + (size_t)i));
		done += (size_t)n;
		if (!chance(8))
			gr_sleep(US(chance(30)));
	}
	CHECK(!n);
	f->bytes = (ssize_t)done;
}

static void both_ways(const int *pair, ssize_t (*put)(int fd, const char *data, size_t n))
{
	struct flow a = { pair[0], 1, put, 0 }, b = { pair[1], 2, put, 0 };
	struct flow from_a = { pair[1], 1, NULL, 0 }, from_b = { pair[0], 2, NULL, 0 };

	mix_go(flow_in, &from_b);
	mix_go(flow_in, &from_a);
	mix_go(flow_out, &a);
	mix_go(flow_out, &b);
	mix_join();
	CHECK(from_a.bytes == BYTES && from_b.bytes == BYTES);
	close_both(pair);
}

static void half_closes(void)
{
	struct flow out = { .seed = 3 }, in = { .seed = 3 };
	int pair[2];
	char c;

	for (int i = 0; i < 4; i++) {
		if (i % 2)
			tcp_pair(pair);
		else
			unix_pair(pair);
		CHECK(!gr_shutdown(pair[0], SHUT_WR));
		CHECK(gr_read(pair[1], &c, 1, LONG) == 0);
		CHECK(gr_write(pair[0], "x", 1, LONG) == -EPIPE);
		/* the end has come, and is seen again and again; the other way is open */
		out.fd = pair[1];
		in.fd = pair[0];
		mix_go(flow_out, &out);
		mix_go(flow_in, &in);
		CHECK(gr_read(pair[1], &c, 1, LONG) == 0);
		mix_join();
		CHECK(in.bytes == BYTES);
		close_both(pair);
	}
}

/* ---- buffers of next to nothing ---- */

static ssize_t put_vector(int fd, const char *data, size_t n)
{
	size_t half = n / 2;
	struct iovec iov[2] = { { (char *)data, half }, { (char *)data + half, n - half } };

	return gr_writev(fd, iov, 2, LONG);
}

static ssize_t put_message(int fd, const char *data, size_t n)
{
	struct iovec iov[3] = { { (char *)data, 1 }, { NULL, 0 }, { (char *)data + 1, n - 1 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };

	return gr_sendmsg(fd, &msg, 0, LONG);
}

static void tiny_buffers(void)
{
	static ssize_t (*const put[])(int, const char *, size_t) = {
		NULL, put_vector, put_message,
	};
	int pair[2];

	for (size_t i = 0; i < 2 * sizeof(put) / sizeof(put[0]); i++) {
		if (i % 2)
			tcp_pair(pair);
		else
			unix_pair(pair);
		/* not the receive buffers: TCP would wait for its timers */
		set_size(pair[0], SO_SNDBUF, 1);
		set_size(pair[1], SO_SNDBUF, 1);
		both_ways(pair, put[i / 2]);
	}
}

/* ---- no descriptors left ---- */

#define FEW 16

/* FEW more than there are, which may leave holes in their numbers; or as many as may be */
static void few_fds(bool few)
{
	int fds[FEW], max = 0;
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (!few)
		return;
	for (int i = 0; i < FEW; i++)
		max = fds[i] = dup(STDOUT_FILENO);
	for (int i = 0; i < FEW; i++)
		close(fds[i]);
	limit.rlim_cur = (rlim_t)max + 1;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* at a time: there is always a descriptor to accept with */
static struct gr_sem dialers = GR_SEM_INIT(5);

/* until it succeeds: others close what they have */
static void dial_until(void *unused)
{
	int fd;
	char c;

	(void)unused;
	CHECK(!gr_sem_acquire(&dialers, 1, LONG));
	while ((fd = gr_tcp_dial("127.0.0.1", port, LONG)) == -EMFILE)
		gr_sleep(US(50 + chance(200)));
	CHECK(fd >= 0);
	if (fd < 0)
		return;
	CHECK(gr_write(fd, "x", 1, LONG) == 1);
	CHECK(gr_read(fd, &c, 1, LONG) == 1 && c == 'x');
	CHECK(!gr_close(fd));
	gr_sem_release(&dialers, 1);
	atomic_fetch_add(&finished, 1);
}

static void accept_until(void *unused)
{
	int fd;

	(void)unused;
	for (int i = 0; i < CLIENTS; i++) {
		while ((fd = gr_accept(listener, LONG)) == -EMFILE)
			gr_sleep(US(50 + chance(200)));
		CHECK(fd >= 0);
		if (fd >= 0)
			mix_go(serve, (void *)(long)fd);
	}
}

/* there was none; or one, for the runtime itself opens and closes some: then it is in fds, too */
static bool none_left(int fd, int *fds, int *n)
{
	CHECK(fd >= 0 || fd == -EMFILE);
	if (fd >= 0)
		fds[(*n)++] = fd;
	return fd < 0;
}

static void too_few_fds(void)
{
	int before = open_sockets(), fds[4 * FEW], n = 0, refused = 0, fd;

	listener = listen_here(port, CLIENTS);
	few_fds(true);
	while (n < 3 * FEW && !none_left(gr_tcp_dial("127.0.0.1", port, LONG), fds, &n))
		;
	CHECK(n && n < 3 * FEW);
	for (int i = 0; i < FEW; i++)
		refused += none_left(gr_accept(listener, LONG), fds, &n);
	CHECK(refused);
	none_left(gr_udp_bind("127.0.0.1", "0"), fds, &n);
	CHECK(!gr_close(fds[--n]));
	CHECK(!gr_close(fds[--n]));
	fd = gr_accept(listener, LONG);
	CHECK(fd >= 0 && !gr_close(fd));
	while (n)
		CHECK(!gr_close(fds[--n]));
	while ((fd = gr_accept(listener, GR_NOW)) >= 0)
		gr_close(fd);
	CHECK(fd == -EAGAIN);
	/* all of them, a few at a time, and nobody starves */
	atomic_store(&served, 0);
	atomic_store(&finished, 0);
	mix_go(accept_until, NULL);
	for (int i = 0; i < CLIENTS; i++)
		mix_go(dial_until, NULL);
	mix_join();
	CHECK(served == CLIENTS && finished == CLIENTS);
	few_fds(false);
	gr_close(listener);
	CHECK(open_sockets() == before);
}

/* ---- deadlines all the time ---- */

#define STORM 40
#define ROUNDS 12

static int storm[2];
static _Atomic long put, got;
static _Atomic bool over;

static int64_t soon(void)
{
	unsigned int kind = chance(8);

	return kind ? US((int64_t)chance(kind * 100) - 20) : GR_NOW;
}

static void storm_reader(void *unused)
{
	char buf[700];
	ssize_t n;

	(void)unused;
	do {
		n = gr_read(storm[1], buf, sizeof(buf), soon());
		CHECK(n > 0 || n == -ETIMEDOUT || n == -EAGAIN);
		if (n > 0)
			atomic_fetch_add(&got, n);
		else if (n == -EAGAIN)
			gr_yield();
	} while (!atomic_load(&over));
}

static void storm_writer(void *left)
{
	static const char buf[20000];
	ssize_t n;

	for (int i = 0; i < ROUNDS; i++) {
		n = gr_write(storm[0], buf, 1 + chance(sizeof(buf)), soon());
		CHECK(n > 0 || n == -ETIMEDOUT || n == -EAGAIN);
		if (n > 0)
			atomic_fetch_add(&put, n);
	}
	atomic_fetch_sub((_Atomic int *)left, 1);
}

static void deadlines(void)
{
	static _Atomic int left;
	char buf[700];
	ssize_t n;

	for (int i = 0; i < 2; i++) {
		if (i)
			tcp_pair(storm);
		else
			unix_pair(storm);
		set_size(storm[0], SO_SNDBUF, 1);
		put = got = 0;
		left = STORM;
		over = false;
		for (int k = 0; k < STORM; k++) {
			mix_go(storm_writer, (void *)&left);
			if (k % 4 == 0)
				mix_go(storm_reader, NULL);
		}
		while (atomic_load(&left))
			gr_sleep(US(200));
		over = true;
		mix_join();
		CHECK(!gr_shutdown(storm[0], SHUT_WR));
		while ((n = gr_read(storm[1], buf, sizeof(buf), LONG)) > 0)
			got += n;
		CHECK(!n && got == put);
		close_both(storm);
	}
}

static void body(void)
{
	check_part("connects and resets", connects_and_resets);
	check_part("half-closes", half_closes);
	check_part("tiny buffers", tiny_buffers);
	check_part("no descriptors left", too_few_fds);
	check_part("deadlines all the time", deadlines);
}

int main(void)
{
	check_run(body);
	return tap_done();
}
