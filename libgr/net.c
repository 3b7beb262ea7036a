// SPDX-License-Identifier: MIT
/*
 * net.c - names and sockets; TCP: listen, accept. Dialling is dial.c.
 *
 * Names are resolved by getaddrinfo(), called plainly: that it blocks is the backend's business.
 * Sockets stay in blocking mode: the ring waits for them, and other code may use them as it
 * likes. Connections get TCP_NODELAY, as Go's do. Callers: goroutines; listen and port: any.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "net.h"
#include "op.h"

NOINLINE int net_error(void)
{
	return -errno;
}

/* -errno for what getaddrinfo() says */
static int resolve_error(int err)
{
	switch (err) {
	case EAI_SYSTEM:
		return net_error();
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_AGAIN:
		return -EAGAIN;
	default:
		return -ENOENT;
	}
}

int net_resolve(const char *host, const char *port, int type, int flags, struct addrinfo **list)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = type,
		.ai_flags = flags,
	};
	int err;

	if (!port)
		return -EINVAL;
	err = getaddrinfo(host, port, &hints, list);
	return err ? resolve_error(err) : 0;
}

static int open_one(const struct addrinfo *ai,
		    int (*use)(int fd, const struct addrinfo *ai, int arg), int arg)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, ai->ai_protocol), ret;

	if (fd < 0)
		return net_error();
	ret = use(fd, ai, arg);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

int net_first(const char *host, const char *port, int type, int flags,
	      int (*use)(int fd, const struct addrinfo *ai, int arg), int arg)
{
	struct addrinfo *list, *ai;
	int ret = net_resolve(host, port, type, flags, &list);

	if (ret)
		return ret;
	ret = -EADDRNOTAVAIL;
	for (ai = list; ai; ai = ai->ai_next) {
		ret = open_one(ai, use, arg);
		if (ret >= 0)
			break;
	}
	freeaddrinfo(list);
	return ret;
}

void net_nodelay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int listen_on(int fd, const struct addrinfo *ai, int backlog)
{
	int on = 1, off = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, backlog > 0 ? backlog : SOMAXCONN))
		return net_error();
	return 0;
}

int gr_tcp_listen(const char *host, const char *port, int backlog)
{
	return net_first(host, port, SOCK_STREAM, AI_PASSIVE, listen_on, backlog);
}

NOINLINE int gr_tcp_port(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &len))
		return -errno;
	if (a.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&a)->sin_port);
	if (a.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
	return -EINVAL;
}

static void prep_accept(struct io_uring_sqe *sqe, void *arg)
{
	io_uring_prep_accept(sqe, *(int *)arg, NULL, NULL, SOCK_CLOEXEC);
}

int gr_accept(int fd, int64_t deadline)
{
	int ret = op_do(prep_accept, &fd, deadline);

	if (ret >= 0)
		net_nodelay(ret);
	return ret;
}
