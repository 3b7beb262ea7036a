// SPDX-License-Identifier: MIT
/*
 * dial_test.c - the race of addresses: some refuse, one is silent, one answers; deadline and
 * cancellation while nobody answers; families take turns; nothing leaks.
 *
 * Silent is a listener whose queue is full: one waits to be accepted, and there is no room for a
 * second. It drops what comes. All is on the loopback network.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "check.h"
#include "dial.h"

#define LONG gr_after(60 * GR_SEC)
#define SOON gr_after(2 * GR_MS)
#define MAX_LIST 12

struct place {
	struct addrinfo ai;
	struct sockaddr_storage addr;
	int fd; /* the listener, or -1 */
};

static struct place good, other, refused, silent, six;
static int filler;
static bool has_six;

/* a listener at a port of its own */
static int open_place(struct place *p, const char *host, int backlog)
{
	struct addrinfo *found;

	p->fd = -1;
	if (net_resolve(host, "0", SOCK_STREAM, AI_NUMERICHOST, &found))
		return -ENOENT;
	p->ai = *found;
	memcpy(&p->addr, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	p->ai.ai_addr = (struct sockaddr *)&p->addr;
	p->fd = socket(p->ai.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || bind(p->fd, p->ai.ai_addr, p->ai.ai_addrlen) || listen(p->fd, backlog) ||
	    getsockname(p->fd, p->ai.ai_addr, &p->ai.ai_addrlen)) {
		close(p->fd);
		return -errno;
	}
	return 0;
}

static void open_places(void)
{
	if (open_place(&good, "127.0.0.1", 100) || open_place(&other, "127.0.0.1", 100) ||
	    open_place(&refused, "127.0.0.1", 100) || open_place(&silent, "127.0.0.2", 0))
		mix_fatal("listen", errno);
	close(refused.fd);
	has_six = !open_place(&six, "::1", 100);
	filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(filler, silent.ai.ai_addr, silent.ai.ai_addrlen) ||
	    poll(&(struct pollfd){ silent.fd, POLLIN, 0 }, 1, -1) != 1)
		mix_fatal("connect", errno);
}

static void close_places(void)
{
	close(filler);
	close(good.fd);
	close(other.fd);
	close(silent.fd);
	if (has_six)
		close(six.fd);
}

/* dial n of them in that order */
static int dial(int64_t deadline, int n, struct place *const *places)
{
	struct addrinfo list[MAX_LIST];

	for (int i = 0; i < n; i++) {
		list[i] = places[i]->ai;
		list[i].ai_next = i + 1 < n ? &list[i + 1] : NULL;
	}
	return dial_race(list, deadline);
}

#define DIAL(deadline, ...)                                                     \
	dial(deadline, sizeof((struct place *[]){ __VA_ARGS__ }) / sizeof(void *), \
	     (struct place *[]){ __VA_ARGS__ })

/* connected to p, and as any other socket; closes it. Or an error. */
static bool is_at(int fd, const struct place *p)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer), size = sizeof(int);
	int nodelay = 0, ret;

	if (fd < 0)
		return false;
	ret = getpeername(fd, (struct sockaddr *)&peer, &len) ||
	      memcmp(&peer, &p->addr, len) != 0;
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK) && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(!getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size) && nodelay);
	gr_close(fd);
	fd = gr_accept(p->fd, GR_NOW);
	if (fd >= 0)
		gr_close(fd);
	return !ret;
}

/* the runtime's own descriptors come and go: only sockets count */
static int count_sockets(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++) {
		socklen_t len = sizeof(int);
		int type;

		n += !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	}
	return n;
}

static void answers(void)
{
	int before = count_sockets();

	CHECK(is_at(DIAL(LONG, &good), &good));
	CHECK(is_at(DIAL(LONG, &good, &other), &good));
	CHECK(is_at(DIAL(LONG, &refused, &good), &good));
	CHECK(is_at(DIAL(LONG, &refused, &refused, &refused, &refused, &refused, &refused, &refused,
			 &refused, &refused, &refused, &refused, &good), &good));
	/* the second begins while the first one is on its way, and fails; the third wins */
	CHECK(is_at(DIAL(LONG, &silent, &refused, &good), &good));
	CHECK(count_sockets() == before);
}

static int dials_silence(void *arg)
{
	(void)arg;
	return DIAL(GR_FOREVER, &silent, &refused);
}

static void no_answer(void)
{
	int before = count_sockets(), result = 0;
	struct gr_task *t;

	CHECK(DIAL(LONG, &refused) == -ECONNREFUSED);
	CHECK(DIAL(LONG, &refused, &refused) == -ECONNREFUSED);
	CHECK(DIAL(SOON, &silent) == -ETIMEDOUT);
	CHECK(DIAL(SOON, &refused, &silent) == -ETIMEDOUT);
	CHECK(DIAL(GR_NOW, &silent, &good) == -EAGAIN);
	for (int i = 0; i < 3; i++) {
		CHECK(gr_task_new(&t, dials_silence, NULL, NULL) == 0);
		gr_sleep(gr_after(i * GR_MS));
		gr_task_cancel(t);
		CHECK(gr_task_join(t, &result, LONG) == 0 && result == -ECANCELED);
		gr_task_release(t);
	}
	CHECK(count_sockets() == before);
}

/* one of the other family goes before the second of the first; not if this process was stopped */
static void families(void)
{
	int right = 0;

	for (int i = 0; i < 5; i++)
		right += is_at(DIAL(LONG, &refused, &good, &six), &six);
	CHECK(right > 0);
	right = 0;
	for (int i = 0; i < 5; i++)
		right += is_at(DIAL(LONG, &six, &good), &six);
	CHECK(right > 0);
	CHECK(DIAL(SOON, &silent) == -ETIMEDOUT);
}

/* a name that has, maybe, addresses of both families, where one listens */
static void by_name(const char *listen_at)
{
	struct addrinfo *found = NULL;
	int family = strchr(listen_at, ':') ? AF_INET6 : AF_INET, fd, listener;
	bool has = false;
	char port[8];

	if (!net_resolve("localhost", "1", SOCK_STREAM, 0, &found)) {
		for (struct addrinfo *ai = found; ai; ai = ai->ai_next)
			has |= ai->ai_family == family;
		freeaddrinfo(found);
	}
	listener = has ? gr_tcp_listen(listen_at, "0", 5) : -1;
	if (listener < 0) {
		tap_skip("dial localhost", "the name or this family is not there");
		return;
	}
	snprintf(port, sizeof(port), "%d", gr_tcp_port(listener));
	fd = gr_tcp_dial("localhost", port, LONG);
	tap_ok(fd >= 0, "%s: dial localhost, which listens at %s only", mix.name, listen_at);
	gr_close(fd);
	gr_close(listener);
}

static int cancel_itself(void *arg)
{
	CHECK(gr_scope_cancel(arg) == 0);
	CHECK(gr_tcp_dial("no such name", "1", GR_FOREVER) == -ECANCELED);
	return 0;
}

static void cancelled(void)
{
	struct gr_scope s;

	gr_scope_init(&s, 0);
	CHECK(gr_scope_go(&s, cancel_itself, &s) == 0);
	CHECK(gr_scope_wait(&s, GR_FOREVER) == 0);
}

static void body(void)
{
	open_places();
	check_part("one answers", answers);
	check_part("nobody answers", no_answer);
	check_part("cancelled before it looks up a name", cancelled);
	if (has_six)
		check_part("families take turns", families);
	else
		tap_skip("families take turns", "no ::1 here");
	close_places();
	by_name("127.0.0.1");
	by_name("::1");
}

int main(void)
{
	check_run(body);
	return tap_done();
}
