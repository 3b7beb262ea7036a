// SPDX-License-Identifier: MIT
/*
 * unix.c - stream sockets of this machine, by a path or by an abstract name.
 *
 * A path that begins with '@' stands for an abstract name: no file, gone with its last socket.
 * Callers: gr_unix_listen(): any; gr_unix_dial(): goroutines.
 */
#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "net.h"
#include "op.h"

struct peer {
	int fd;
	struct sockaddr_un addr;
	socklen_t len;
};

/* one limit for both, although an abstract name needs no NUL at its end */
static int set_name(struct peer *p, const char *path)
{
	size_t n = path ? strlen(path) : 0;

	if (!n)
		return -EINVAL;
	if (n >= sizeof(p->addr.sun_path))
		return -ENAMETOOLONG;
	p->addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(p->addr.sun_path, path, n);
	p->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	if (*path == '@') {
		p->addr.sun_path[0] = '\0';
		p->len--;
	}
	return 0;
}

/* 0, with p ready to be bound or connected */
static int open_socket(struct peer *p, const char *path)
{
	int ret = set_name(p, path);

	if (ret)
		return ret;
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return p->fd < 0 ? net_error() : 0;
}

int gr_unix_listen(const char *path, int backlog)
{
	struct peer p;
	int ret = open_socket(&p, path);

	if (ret)
		return ret;
	if (!bind(p.fd, (struct sockaddr *)&p.addr, p.len) &&
	    !listen(p.fd, backlog > 0 ? backlog : SOMAXCONN))
		return p.fd;
	ret = net_error();
	close(p.fd);
	return ret;
}

static void prep_connect(struct io_uring_sqe *sqe, void *arg)
{
	struct peer *p = arg;

	io_uring_prep_connect(sqe, p->fd, (struct sockaddr *)&p->addr, p->len);
}

int gr_unix_dial(const char *path, int64_t deadline)
{
	struct peer p;
	int ret;

	if (!g_self())
		return -EPERM;
	ret = open_socket(&p, path);
	if (ret)
		return ret;
	ret = op_do(prep_connect, &p, deadline);
	if (!ret)
		return p.fd;
	gr_close(p.fd);
	return ret;
}
