// SPDX-License-Identifier: MIT
/*
 * zerocopy_test.c - gr_send() with MSG_ZEROCOPY: when it returns the buffer is the caller's again,
 * whatever the peer does, and what it says was sent is what the peer gets. Buffers are overwritten
 * as soon as a call returns.
 */
#include "socks.h"

#define SIZE 300000 /* of a call */
#define SOON US(300)

static int sock[2]; /* 0 sends, 1 receives */
static size_t got; /* the reader's; for others when it has ended */
static _Atomic bool go_on;

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 29 + i / 255);
}

/* to the end of the stream, when it may */
static void reader(void *unused)
{
	unsigned char *buf = malloc(20000);
	int bad = 0;
	ssize_t n;

	(void)unused;
	got = 0;
	while (!atomic_load(&go_on))
		gr_sleep(SOON);
	while ((n = gr_read(sock[1], buf, 20000, LONG)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			bad += buf[i] != byte_at(got + (size_t)i);
		got += (size_t)n;
	}
	CHECK(n == 0 && !bad);
	free(buf);
}

/* bytes of the stream from at on, in a buffer that is spoilt afterwards */
static ssize_t send_part(size_t at, size_t n, int64_t deadline)
{
	unsigned char *buf = malloc(n);
	ssize_t ret;

	for (size_t i = 0; i < n; i++)
		buf[i] = byte_at(at + i);
	ret = gr_send(sock[0], buf, n, MSG_ZEROCOPY, deadline);
	memset(buf, 0xee, n);
	free(buf);
	return ret;
}

static void send_rest(size_t at, size_t end)
{
	ssize_t n;

	while (at < end) {
		n = send_part(at, end - at < SIZE ? end - at : SIZE, LONG);
		CHECK(n > 0);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	CHECK(!gr_shutdown(sock[0], SHUT_WR));
}

static void stream(void)
{
	for (int i = 0; i < 4; i++) {
		size_t n = i == 3 ? 100 : 3 * SIZE + 1000;

		if (i % 2)
			unix_pair(sock); /* cannot: copies */
		else
			tcp_pair(sock);
		atomic_store(&go_on, true);
		mix_go(reader, NULL);
		send_rest(0, n);
		mix_join();
		CHECK(got == n);
		close_both(sock);
	}
}

struct counts {
	uint64_t requests, results;
};

static struct counts counts(void)
{
	struct gr_proc_info p = { .size = sizeof(p) };
	struct counts c = { 0, 0 };

	for (int i = 0; !gr_proc_info(i, &p); i++) {
		c.requests += p.io_requests;
		c.results += p.io_completions;
	}
	return c;
}

static void *plain_reader(void *unused)
{
	char buf[10000];
	ssize_t n, sum = 0;

	(void)unused;
	while ((n = read(sock[1], buf, sizeof(buf))) > 0)
		sum += n;
	CHECK(sum == SIZE);
	return NULL;
}

/* one request with two results, and all is sent */
static void without_a_copy(void)
{
	struct gr_info info = { .size = sizeof(info) };
	struct counts before, after;
	pthread_t t;

	tcp_pair(sock);
	CHECK(!gr_info(&info) && !pthread_create(&t, NULL, plain_reader, NULL));
	before = counts();
	if (!strcmp(info.netpoll, "uring")) {
		CHECK(send_part(0, SIZE, LONG) == SIZE);
		after = counts();
		CHECK(after.requests - before.requests == 1);
		CHECK(after.results - before.results == 2);
		CHECK(!gr_shutdown(sock[0], SHUT_WR));
	} else {
		send_rest(0, SIZE);
	}
	pthread_join(t, NULL);
	close_both(sock);
}

/* ---- the peer does not read for a while: deadlines, cancelled ---- */

static size_t sent;

static int send_cancelled(void *unused)
{
	ssize_t n = send_part(sent, SIZE, LONG);

	(void)unused;
	CHECK(n > 0 || n == -ECANCELED);
	if (n > 0)
		sent += (size_t)n;
	return 0;
}

static void lets_go_on(void *unused)
{
	(void)unused;
	gr_sleep(US(chance(3000)));
	atomic_store(&go_on, true);
}

static void open_slow(void)
{
	tcp_pair(sock);
	set_size(sock[0], SO_SNDBUF, 100000);
	atomic_store(&go_on, false);
	sent = 0;
	mix_go(reader, NULL);
	mix_go(lets_go_on, NULL);
}

/* what it says was sent is there, and what follows comes behind it */
static void end_slow(void)
{
	send_rest(sent, sent + 50000);
	mix_join();
	CHECK(got == sent + 50000);
	close_both(sock);
}

static void cancelled(void)
{
	struct gr_scope s;

	for (int i = 0; i < 20; i++) {
		open_slow();
		gr_scope_init(&s, 0);
		gr_scope_go(&s, send_cancelled, NULL);
		if (i)
			gr_sleep(US(chance(2000)));
		gr_scope_cancel(&s);
		gr_scope_wait(&s, GR_FOREVER);
		end_slow();
	}
}

static void deadlines(void)
{
	for (int i = 0; i < 20; i++) {
		ssize_t n;

		open_slow();
		n = send_part(0, SIZE, US(chance(2000)));
		CHECK(n > 0 || n == -ETIMEDOUT);
		sent = n > 0 ? (size_t)n : 0;
		/* these do not wait, and so copy */
		n = send_part(sent, SIZE, GR_NOW);
		CHECK(n > 0 || n == -EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		end_slow();
	}
}

/* ---- many; errors; the end of a runtime ---- */

#define MANY 20

static void one_pair(void *arg)
{
	unsigned char *buf = malloc(SIZE);
	int *pair = arg;
	ssize_t n;

	for (int i = 0; i < 5; i++) {
		memset(buf, i, SIZE);
		for (size_t at = 0; at < SIZE; at += (size_t)n) {
			n = gr_send(pair[0], buf + at, SIZE - at, MSG_ZEROCOPY, LONG);
			CHECK(n > 0);
			if (n <= 0)
				break;
		}
	}
	CHECK(!gr_shutdown(pair[0], SHUT_WR));
	free(buf);
}

static void read_pair(void *arg)
{
	unsigned char *buf = malloc(30000);
	int *pair = arg, bad = 0;
	size_t at = 0;
	ssize_t n;

	while ((n = gr_read(pair[1], buf, 30000, LONG)) > 0)
		for (ssize_t i = 0; i < n; i++)
			bad += buf[i] != at++ / SIZE;
	CHECK(n == 0 && at == 5 * SIZE && !bad);
	free(buf);
}

static void many(void)
{
	static int pairs[MANY][2];

	for (int i = 0; i < MANY; i++) {
		tcp_pair(pairs[i]);
		mix_go(one_pair, pairs[i]);
		mix_go(read_pair, pairs[i]);
	}
	mix_join();
	for (int i = 0; i < MANY; i++)
		close_both(pairs[i]);
}

static void reset_peer(void *unused)
{
	(void)unused;
	gr_sleep(SOON);
	reset(sock[1]);
}

static void failures(void)
{
	static char buf[4 * SIZE];
	ssize_t n;
	int p[2];

	CHECK(!pipe(p));
	CHECK(gr_send(p[1], buf, SIZE, MSG_ZEROCOPY, LONG) == -ENOTSOCK);
	CHECK(gr_send(-1, buf, SIZE, MSG_ZEROCOPY, LONG) == -EBADF);
	CHECK(gr_send(0, NULL, SIZE, MSG_ZEROCOPY, LONG) == -EINVAL);
	CHECK(gr_send(0, buf, SIZE, MSG_ZEROCOPY | MSG_WAITALL, LONG) == -EINVAL);
	close_both(p);
	for (int i = 0; i < 10; i++) {
		tcp_pair(sock);
		set_size(sock[0], SO_SNDBUF, 100000);
		mix_go(reset_peer, NULL);
		do {
			n = gr_send(sock[0], buf, sizeof(buf), MSG_ZEROCOPY, LONG);
		} while (n > 0);
		CHECK(n == -ECONNRESET || n == -EPIPE);
		mix_join();
		CHECK(!gr_close(sock[0]));
	}
}

static void body(void)
{
	check_part("a stream", stream);
	check_part("one request, two results", without_a_copy);
	check_part("cancelled in every state", cancelled);
	check_part("deadlines in every state", deadlines);
	check_part("many", many);
	check_part("failures", failures);
}

static char never_read[4 * SIZE];

static void sends_for_ever(void *unused)
{
	(void)unused;
	gr_send(sock[0], never_read, sizeof(never_read), MSG_ZEROCOPY, GR_FOREVER);
}

static int leaves_early(void *unused)
{
	(void)unused;
	tcp_pair(sock);
	gr_go(sends_for_ever, NULL);
	gr_sleep(SOON);
	return 0;
}

/* one that nobody reads does not hold it up */
static void runtime_ends(void)
{
	for (int i = 0; i < 3; i++) {
		CHECK(mix_gr_run(leaves_early, NULL, 2) == 0);
		close_both(sock);
	}
	CHECK(gr_send(0, never_read, SIZE, MSG_ZEROCOPY, LONG) == -EPERM);
}

int main(void)
{
	check_run(body);
	check_part("a runtime ends", runtime_ends);
	return tap_done();
}
