// SPDX-License-Identifier: MIT
/*
 * udp.c - UDP sockets: bound to an address, or connected to a peer. Neither waits.
 *
 * Datagrams go through gr_recvfrom(), gr_sendto() and the others of msg.c. Callers: any.
 */
#include <netinet/in.h>

#include "gr_int.h"
#include "net.h"

static int bind_to(int fd, const struct addrinfo *ai, int arg)
{
	int off = 0;

	(void)arg;
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	return bind(fd, ai->ai_addr, ai->ai_addrlen) ? net_error() : 0;
}

static int connect_to(int fd, const struct addrinfo *ai, int arg)
{
	(void)arg;
	return connect(fd, ai->ai_addr, ai->ai_addrlen) ? net_error() : 0;
}

int gr_udp_bind(const char *host, const char *port)
{
	return net_first(host, port, SOCK_DGRAM, AI_PASSIVE, bind_to, 0);
}

int gr_udp_dial(const char *host, const char *port)
{
	return net_first(host, port, SOCK_DGRAM, 0, connect_to, 0);
}
