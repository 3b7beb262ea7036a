// SPDX-License-Identifier: MIT
/*
 * dial.c - connect to a name: its addresses race, the first to answer wins (RFC 8305).
 *
 * The addresses are tried in the order that getaddrinfo() prefers, but the families take turns.
 * The next one begins when those before have not answered for ATTEMPT_DELAY, or at once when one
 * has failed. A select waits for all that are on their way, by one goroutine; who loses is closed.
 * Callers: goroutines.
 *
 * Sockets are in non-blocking mode only while they connect: the winner is like any other.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "dial.h"
#include "gr_int.h"

#define ATTEMPT_DELAY (250 * GR_MS)
#define MAX_FLYING 8

struct race {
	const struct addrinfo *next[2]; /* of the first one's family, of the others; not begun */
	int family;
	int turn;	  /* whose: index of next */
	int64_t start_at; /* when the next one may begin */
	int fds[MAX_FLYING], n;
	int error; /* of the last that failed */
};

static const struct addrinfo *find(const struct addrinfo *ai, int family, bool same)
{
	while (ai && (ai->ai_family == family) != same)
		ai = ai->ai_next;
	return ai;
}

static const struct addrinfo *take_next(struct race *r)
{
	int i = r->next[r->turn] ? r->turn : !r->turn;
	const struct addrinfo *ai = r->next[i];

	r->next[i] = find(ai->ai_next, r->family, i == 0);
	r->turn = !i;
	return ai;
}

static bool more(const struct race *r)
{
	return (r->next[0] || r->next[1]) && r->n < MAX_FLYING;
}

/* a socket that connects, or has connected */
static NOINLINE int begin_one(const struct addrinfo *ai)
{
	int ret, fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
			     ai->ai_protocol);

	if (fd < 0)
		return -errno;
	if (!connect(fd, ai->ai_addr, ai->ai_addrlen) || errno == EINPROGRESS)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static void begin_next(struct race *r)
{
	int fd = begin_one(take_next(r));

	if (fd < 0) {
		r->error = fd;
		return;
	}
	r->fds[r->n++] = fd;
	r->start_at = gr_after(ATTEMPT_DELAY);
}

/* how the connect ended that is over */
static int result_of(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) ? net_error() : -err;
}

/* fds[i] is not of the race any more */
static int leave(struct race *r, int i)
{
	int fd = r->fds[i];

	r->fds[i] = r->fds[--r->n];
	return fd;
}

/* the index of one whose connect is over; n: the next may begin; -errno */
static int wait_for_one(struct race *r, int64_t deadline)
{
	struct gr_case cases[MAX_FLYING + 1];

	for (int i = 0; i < r->n; i++)
		cases[i] = (struct gr_case)GR_FD(r->fds[i], POLLOUT);
	if (more(r))
		cases[r->n] = (struct gr_case)GR_AT(r->start_at);
	else
		cases[r->n] = (struct gr_case)GR_NEVER;
	return gr_select(cases, r->n + 1, deadline);
}

static int run_race(struct race *r, int64_t deadline)
{
	int i;

	while (r->n || more(r)) {
		if (more(r) && (!r->n || r->start_at <= gr_now())) {
			begin_next(r);
			continue;
		}
		i = wait_for_one(r, deadline);
		if (i < 0)
			return i;
		if (i == r->n)
			continue;
		r->error = result_of(r->fds[i]);
		if (!r->error)
			return leave(r, i);
		gr_close(leave(r, i));
		r->start_at = 0; /* the next one, at once */
	}
	return r->error;
}

int dial_race(const struct addrinfo *list, int64_t deadline)
{
	struct race r = {
		.next = { list, find(list, list->ai_family, false) },
		.family = list->ai_family,
	};
	int fd = run_race(&r, deadline);

	while (r.n)
		gr_close(leave(&r, 0));
	if (fd >= 0) {
		fcntl(fd, F_SETFL, 0);
		net_nodelay(fd);
	}
	return fd;
}

int gr_tcp_dial(const char *host, const char *port, int64_t deadline)
{
	struct addrinfo *list;
	int ret;

	if (!g_self())
		return -EPERM;
	if (deadline != GR_NOW && gr_cancelled())
		return -ECANCELED;
	ret = net_resolve(host, port, SOCK_STREAM, 0, &list);
	if (ret)
		return ret;
	ret = dial_race(list, deadline);
	freeaddrinfo(list);
	return ret;
}
