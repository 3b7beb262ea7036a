// SPDX-License-Identifier: MIT
/*
 * echo.c - the yardstick: a plain echo server on epoll, as one writes it by hand.
 *
 * One thread, level-triggered, non-blocking sockets. What was read is written at once; only what
 * a socket does not take waits for EPOLLOUT. Prints "port N" and serves 127.0.0.1 until SIGTERM.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define NR_EVENTS 256

struct conn {
	int fd;
	size_t len, done; /* of what could not be written yet */
	char *rest;
};

static int ep, lfd;
static char buf[65536];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void set_events(struct conn *c, int op, unsigned int events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(ep, op, c->fd, &e))
		die("epoll_ctl");
}

static void drop(struct conn *c)
{
	close(c->fd);
	free(c->rest);
	free(c);
}

static void accept_one(void)
{
	struct conn *c;
	int one = 1, fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c = calloc(1, sizeof(*c));
	if (!c)
		die("calloc");
	c->fd = fd;
	set_events(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void readable(struct conn *c)
{
	ssize_t n = recv(c->fd, buf, sizeof(buf), 0), m;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop(c);
		return;
	}
	m = send(c->fd, buf, n, MSG_NOSIGNAL);
	if (m == n)
		return;
	if (m < 0 && errno != EAGAIN) {
		drop(c);
		return;
	}
	m = m < 0 ? 0 : m;
	c->rest = malloc(n - m);
	if (!c->rest)
		die("malloc");
	memcpy(c->rest, buf + m, n - m);
	c->len = n - m;
	c->done = 0;
	set_events(c, EPOLL_CTL_MOD, EPOLLOUT);
}

static void writable(struct conn *c)
{
	ssize_t n = send(c->fd, c->rest + c->done, c->len - c->done, MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		drop(c);
		return;
	}
	c->done += n;
	if (c->done < c->len)
		return;
	free(c->rest);
	c->rest = NULL;
	set_events(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void open_listener(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct epoll_event e = { .events = EPOLLIN };
	socklen_t len = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	lfd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (lfd < 0 || bind(lfd, (struct sockaddr *)&a, len) || listen(lfd, 4096) ||
	    getsockname(lfd, (struct sockaddr *)&a, &len))
		die("listen");
	if (epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &e)) /* data.ptr NULL: the listener */
		die("epoll_ctl");
	printf("port %d\n", ntohs(a.sin_port));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct epoll_event events[NR_EVENTS];
	struct rlimit files;

	if (argc > 1) {
		fprintf(stderr, "usage: %s\n", argv[0]);
		return 1;
	}
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		die("epoll_create1");
	open_listener();
	for (;;) {
		int n = epoll_wait(ep, events, NR_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (!c)
				accept_one();
			else if (c->rest)
				writable(c);
			else
				readable(c);
		}
	}
}
