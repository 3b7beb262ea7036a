/* SPDX-License-Identifier: MIT */
/* net.h - names, addresses and new sockets: what net.c, udp.c, unix.c and dial.c share. */
#ifndef GR_NET_H
#define GR_NET_H

#include <netdb.h>
#include <sys/socket.h>

/* of the system call that has just failed; no libgr call in between */
int net_error(void);
/* *list is to be freed. -EINVAL no port; -ENOENT unknown; -EAGAIN no name server; -ENOMEM */
int net_resolve(const char *host, const char *port, int type, int flags, struct addrinfo **list);
/*
 * Resolve, and open a socket for the first address that use(fd, address, arg) is content with: it
 * returns 0, or the -errno that is returned when it is the last. Returns the descriptor.
 */
int net_first(const char *host, const char *port, int type, int flags,
	      int (*use)(int fd, const struct addrinfo *ai, int arg), int arg);
void net_nodelay(int fd);

#endif /* GR_NET_H */
