// SPDX-License-Identifier: MIT
/*
 * sendfile.c - a part of a file into a socket, or into whatever can be written.
 *
 * By a buffer, piece by piece: read what the page cache has without a request, else by one, and
 * write. sendfile(2) and splice(2) would save the copy, but into a blocking socket they wait in
 * the kernel where neither deadline nor cancellation reaches them (splice() honours
 * SPLICE_F_NONBLOCK for a socket only since 6.5), and through the ring each piece costs two
 * hand-overs to a worker thread of the kernel. Callers: goroutines.
 */
#include <errno.h>
#include <sys/uio.h>

#include "op.h"

#define PIECE ((size_t)65536)

struct piece {
	int fd;
	off_t off;
	struct iovec iov;
};

/* from the page cache alone: -EAGAIN it is not there, -EOPNOTSUPP this file system cannot say */
static NOINLINE ssize_t read_cached(const struct piece *a)
{
	int saved = errno;
	ssize_t n = preadv2(a->fd, &a->iov, 1, a->off, RWF_NOWAIT);

	if (n < 0)
		n = -errno;
	errno = saved;
	return n;
}

static ssize_t read_piece(const struct piece *a, int64_t deadline)
{
	ssize_t n = read_cached(a);

	if (n == -EAGAIN || n == -EOPNOTSUPP)
		n = gr_pread(a->fd, a->iov.iov_base, a->iov.iov_len, a->off, deadline);
	return n;
}

/* how many were written: all, or up to the first error */
static size_t write_piece(int fd, const char *buf, size_t n, int64_t deadline, ssize_t *error)
{
	size_t done = 0;

	while (done < n && !*error) {
		ssize_t ret = gr_write(fd, buf + done, n - done, deadline);

		if (ret < 0)
			*error = ret;
		else
			done += (size_t)ret;
	}
	return done;
}

static ssize_t send_pieces(int out, struct piece *a, size_t n, int64_t deadline)
{
	ssize_t error = 0, got;
	size_t done = 0;

	while (done < n && !error) {
		a->iov.iov_len = n - done < PIECE ? n - done : PIECE;
		got = read_piece(a, deadline);
		if (got < 0)
			error = got;
		if (got <= 0)
			break;
		got = (ssize_t)write_piece(out, a->iov.iov_base, (size_t)got, deadline, &error);
		a->off += got;
		done += (size_t)got;
	}
	return done ? (ssize_t)done : error;
}

ssize_t gr_sendfile(int out, int in, off_t off, size_t n, int64_t deadline)
{
	struct piece a = { .fd = in, .off = off };
	ssize_t ret;

	if (!g_self())
		return -EPERM;
	if (off < 0)
		return -EINVAL;
	if (deadline != GR_NOW && gr_cancelled())
		return -ECANCELED;
	a.iov.iov_base = malloc(PIECE);
	if (!a.iov.iov_base)
		return -ENOMEM;
	ret = send_pieces(out, &a, n, deadline);
	free(a.iov.iov_base);
	return ret;
}
