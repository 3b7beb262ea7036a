/* SPDX-License-Identifier: MIT */
/*
 * socks.h - for tests of sockets: pairs that are connected, those that nobody closed, chance.
 */
#ifndef SOCKS_H
#define SOCKS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "check.h"

#define LONG gr_after(120 * GR_SEC)
#define US(n) gr_after((n) * GR_US)

/* any number below n */
__attribute__((unused)) static unsigned int chance(unsigned int n)
{
	static _Atomic uint64_t state = 1;
	uint64_t x = atomic_fetch_add(&state, 0x9e3779b97f4a7c15u);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (unsigned int)((x ^ x >> 31) % n);
}

/* listens on this machine's own network; *port has room for 8 */
__attribute__((unused)) static int listen_here(char *port, int backlog)
{
	int fd = gr_tcp_listen("127.0.0.1", "0", backlog);

	if (fd < 0)
		mix_fatal("gr_tcp_listen", fd);
	snprintf(port, 8, "%d", gr_tcp_port(fd));
	return fd;
}

__attribute__((unused)) static void unix_pair(int *pair)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		mix_fatal("socketpair", errno);
}

__attribute__((unused)) static void tcp_pair(int *pair)
{
	char port[8];
	int fd = listen_here(port, 1);

	pair[0] = gr_tcp_dial("127.0.0.1", port, LONG);
	pair[1] = gr_accept(fd, LONG);
	gr_close(fd);
	if (pair[0] < 0 || pair[1] < 0)
		mix_fatal("a TCP connection", pair[0] < 0 ? pair[0] : pair[1]);
}

__attribute__((unused)) static void close_both(const int *pair)
{
	CHECK(!gr_close(pair[0]));
	CHECK(!gr_close(pair[1]));
}

/* close it so that the peer gets a reset */
__attribute__((unused)) static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	CHECK(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	CHECK(!gr_close(fd));
}

__attribute__((unused)) static void set_size(int fd, int which, int bytes)
{
	CHECK(!setsockopt(fd, SOL_SOCKET, which, &bytes, sizeof(bytes)));
}

/* how many sockets are open: the same before and after, or one was lost. The runtime has none. */
__attribute__((unused)) static int open_sockets(void)
{
	struct stat st;
	int n = 0;

	for (int fd = 0; fd < 1000; fd++)
		n += !fstat(fd, &st) && S_ISSOCK(st.st_mode);
	return n;
}

#endif /* SOCKS_H */
