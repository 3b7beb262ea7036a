// SPDX-License-Identifier: MIT
/*
 * msg.c - messages, addresses and vectors: recvmsg, sendmsg and what is made of them.
 *
 * A struct msghdr and all that it points at are the caller's, and stay where they are until the
 * call returns. Callers: goroutines; gr_shutdown(): any.
 */
#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "op.h"

struct msg {
	int fd;
	struct msghdr *hdr;
	int flags;
};

static NOINLINE ssize_t try_recvmsg(void *arg)
{
	const struct msg *a = arg;
	int saved = errno;
	ssize_t n = recvmsg(a->fd, a->hdr, a->flags | MSG_DONTWAIT);

	if (n < 0)
		n = -errno;
	errno = saved;
	return n;
}

static NOINLINE ssize_t try_sendmsg(void *arg)
{
	const struct msg *a = arg;
	int saved = errno;
	ssize_t n = sendmsg(a->fd, a->hdr, a->flags | MSG_DONTWAIT);

	if (n < 0)
		n = -errno;
	errno = saved;
	return n;
}

static void prep_recvmsg(struct io_uring_sqe *sqe, void *arg)
{
	struct msg *a = arg;

	io_uring_prep_recvmsg(sqe, a->fd, a->hdr, (unsigned int)a->flags);
}

static void prep_sendmsg(struct io_uring_sqe *sqe, void *arg)
{
	struct msg *a = arg;

	io_uring_prep_sendmsg(sqe, a->fd, a->hdr, (unsigned int)a->flags);
}

static void prep_readv(struct io_uring_sqe *sqe, void *arg)
{
	const struct msghdr *hdr = ((struct msg *)arg)->hdr;

	io_uring_prep_readv(sqe, ((struct msg *)arg)->fd, hdr->msg_iov,
			    (unsigned int)hdr->msg_iovlen, (__u64)-1);
}

static void prep_writev(struct io_uring_sqe *sqe, void *arg)
{
	const struct msghdr *hdr = ((struct msg *)arg)->hdr;

	io_uring_prep_writev(sqe, ((struct msg *)arg)->fd, hdr->msg_iov,
			     (unsigned int)hdr->msg_iovlen, (__u64)-1);
}

static const struct io_way receiving = { try_recvmsg, prep_recvmsg, NULL };
static const struct io_way sending = { try_sendmsg, prep_sendmsg, NULL };
static const struct io_way reading = { try_recvmsg, prep_recvmsg, prep_readv };
static const struct io_way writing = { try_sendmsg, prep_sendmsg, prep_writev };

ssize_t gr_recvmsg(int fd, struct msghdr *msg, int flags, int64_t deadline)
{
	struct msg a = { fd, msg, flags };

	if (!msg || !io_flags_ok(flags, &deadline))
		return -EINVAL;
	return io_do(&receiving, &a, deadline);
}

ssize_t gr_sendmsg(int fd, const struct msghdr *msg, int flags, int64_t deadline)
{
	struct msg a = { fd, (struct msghdr *)msg, flags | MSG_NOSIGNAL };

	if (!msg || !io_flags_ok(flags, &deadline))
		return -EINVAL;
	return io_do(&sending, &a, deadline);
}

ssize_t gr_recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *from,
		    unsigned int *from_len, int64_t deadline)
{
	struct iovec iov = { buf, n };
	struct msghdr hdr = { .msg_name = from, .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t ret;

	if ((!buf && n) || (from && !from_len))
		return -EINVAL;
	if (from)
		hdr.msg_namelen = *from_len;
	ret = gr_recvmsg(fd, &hdr, flags, deadline);
	if (ret >= 0 && from)
		*from_len = hdr.msg_namelen;
	return ret;
}

ssize_t gr_sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *to,
		  unsigned int to_len, int64_t deadline)
{
	struct iovec iov = { (void *)buf, n };
	struct msghdr hdr = {
		.msg_name = (void *)to,
		.msg_namelen = to ? to_len : 0,
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};

	if (!buf && n)
		return -EINVAL;
	return gr_sendmsg(fd, &hdr, flags, deadline);
}

static ssize_t vector(const struct io_way *way, int fd, const struct iovec *iov, int n, int flags,
		      int64_t deadline)
{
	struct msghdr hdr = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	struct msg a = { fd, &hdr, flags };

	if (n < 0 || n > IOV_MAX || (!iov && n))
		return -EINVAL;
	return io_do(way, &a, deadline);
}

ssize_t gr_readv(int fd, const struct iovec *iov, int n, int64_t deadline)
{
	return vector(&reading, fd, iov, n, 0, deadline);
}

ssize_t gr_writev(int fd, const struct iovec *iov, int n, int64_t deadline)
{
	return vector(&writing, fd, iov, n, MSG_NOSIGNAL, deadline);
}

/* does not wait: a plain call */
NOINLINE int gr_shutdown(int fd, int how)
{
	int saved = errno, ret;

	ret = shutdown(fd, how) ? -errno : 0;
	errno = saved;
	return ret;
}
