// SPDX-License-Identifier: MIT
/*
 * io.c - read and write, on any descriptor, and send and receive; only the goroutine waits.
 *
 * Sockets are tried first without waiting (data is often there, and a ring request costs more);
 * what would block, and everything that is not a socket, goes through the P's ring, where even
 * a file read does not hold a thread, or without io_uring to op_call.c. A receive that waited and got
 * less than it asked for has emptied the socket: this goroutine's next one does not try, nor does the
 * kernel before it is told that something came. That is a hint: data that is there already, as
 * much as SO_RCVLOWAT asks for, ends the kernel's wait at once, and what is no socket by then is read as
 * ever. Callers: goroutines.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "op.h"

struct rw {
	int fd;
	void *buf;
	size_t n;
	off_t off; /* -1: the current position */
	int flags; /* MSG_*, for a socket */
	bool waited; /* it went to the ring as a receive */
};

/* errno is this thread's only until the next libgr call: read in functions of their own */
static NOINLINE ssize_t try_recv(void *arg)
{
	const struct rw *a = arg;
	int saved = errno;
	ssize_t n = recv(a->fd, a->buf, a->n, a->flags | MSG_DONTWAIT);

	if (n < 0)
		n = -errno;
	errno = saved;
	return n;
}

static NOINLINE ssize_t try_send(void *arg)
{
	const struct rw *a = arg;
	int saved = errno;
	ssize_t n = send(a->fd, a->buf, a->n, a->flags | MSG_DONTWAIT);

	if (n < 0)
		n = -errno;
	errno = saved;
	return n;
}

/*
 * A peer that answers at once would let one goroutine go round and round without ever parking:
 * after this many calls that did not wait it lets the others run.
 */
#define CALLS_BEFORE_YIELD 8

ssize_t io_did_not_wait(ssize_t ret)
{
	struct m *m = m_self();

	if (!m || !m->curg)
		return ret;
	/* relaxed: a count; outside a section the P may have been taken, so others may count, too */
	atomic_fetch_add_explicit(&m->p->nr_io_at_once, 1, memory_order_relaxed);
	if (++m->curg->io_calls % CALLS_BEFORE_YIELD == 0)
		gr_yield();
	return ret;
}

ssize_t io_do(const struct io_way *way, void *arg, int64_t deadline)
{
	ssize_t ret;

	if (!g_self())
		return -EPERM;
	if (deadline != GR_NOW && gr_cancelled())
		return -ECANCELED;
	ret = way->try(arg);
	if (ret == -ENOTSOCK && way->other)
		return op_do(way->other, arg, deadline);
	if (ret != -EAGAIN || deadline == GR_NOW)
		return io_did_not_wait(ret);
	return op_do(way->wait, arg, deadline);
}

static unsigned int ring_len(size_t n)
{
	return n > 0x7ffff000 ? 0x7ffff000 : (unsigned int)n; /* as read() and write() do */
}

static void prep_read(struct io_uring_sqe *sqe, void *arg)
{
	struct rw *a = arg;

	io_uring_prep_read(sqe, a->fd, a->buf, ring_len(a->n), a->off);
}

static void prep_write(struct io_uring_sqe *sqe, void *arg)
{
	struct rw *a = arg;

	io_uring_prep_write(sqe, a->fd, a->buf, ring_len(a->n), a->off);
}

static void prep_recv(struct io_uring_sqe *sqe, void *arg)
{
	struct rw *a = arg;

	a->waited = true;
	io_uring_prep_recv(sqe, a->fd, a->buf, ring_len(a->n), a->flags);
}

static void prep_recv_later(struct io_uring_sqe *sqe, void *arg)
{
	prep_recv(sqe, arg);
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

static void prep_send(struct io_uring_sqe *sqe, void *arg)
{
	struct rw *a = arg;

	io_uring_prep_send(sqe, a->fd, a->buf, ring_len(a->n), a->flags);
}

static const struct io_way reading = { try_recv, prep_recv, prep_read };
static const struct io_way writing = { try_send, prep_send, prep_write };
static const struct io_way receiving = { try_recv, prep_recv, NULL };
static const struct io_way sending = { try_send, prep_send, NULL };

/*
 * A receive that had to wait is over: where it got less than it asked for, the socket is empty now.
 * Of sockets that never make anybody wait nothing is remembered: some cannot be polled.
 */
static ssize_t did_wait(struct g *g, const struct rw *a, ssize_t ret)
{
	g->io_dry = ret > 0 && (size_t)ret < a->n ? a->fd : -1;
	return ret;
}

ssize_t gr_read(int fd, void *buf, size_t n, int64_t deadline)
{
	struct rw a = { .fd = fd, .buf = buf, .n = n, .off = -1 };
	struct g *g = g_self();
	ssize_t ret;

	if (g && g->io_dry == fd && deadline != GR_NOW && !gr_cancelled()) {
		ret = did_wait(g, &a, op_do(prep_recv_later, &a, deadline));
		/* else the number belongs to something that is not a socket by now */
		if (ret != -ENOTSOCK && ret != -EAGAIN)
			return ret;
		a.waited = false;
	}
	ret = io_do(&reading, &a, deadline);
	/* where requests are done by system calls it is they who try, at once */
	return a.waited && !netpoll->polls_only ? did_wait(g, &a, ret) : ret;
}

ssize_t gr_write(int fd, const void *buf, size_t n, int64_t deadline)
{
	struct rw a = {
		.fd = fd, .buf = (void *)buf, .n = n, .off = -1, .flags = MSG_NOSIGNAL,
	};

	return io_do(&writing, &a, deadline);
}

bool io_flags_ok(int flags, int64_t *deadline)
{
	if (flags & MSG_DONTWAIT)
		*deadline = GR_NOW;
	return !(flags & MSG_WAITALL);
}

ssize_t gr_recv(int fd, void *buf, size_t n, int flags, int64_t deadline)
{
	struct rw a = { .fd = fd, .buf = buf, .n = n, .flags = flags };

	if ((!buf && n) || !io_flags_ok(flags, &deadline))
		return -EINVAL;
	return io_do(&receiving, &a, deadline);
}

ssize_t gr_send(int fd, const void *buf, size_t n, int flags, int64_t deadline)
{
	/* never the plain call's own way not to copy, which returns while the buffer is in use */
	int copying = (flags & ~MSG_ZEROCOPY) | MSG_NOSIGNAL;
	struct rw a = { .fd = fd, .buf = (void *)buf, .n = n, .flags = copying };
	ssize_t ret;

	if ((!buf && n) || !io_flags_ok(flags, &deadline))
		return -EINVAL;
	if (flags & MSG_ZEROCOPY) {
		ret = zerocopy_send(fd, buf, n, copying, deadline);
		if (ret != -EOPNOTSUPP)
			return ret;
	}
	return io_do(&sending, &a, deadline);
}

ssize_t gr_write_all(int fd, const void *buf, size_t n, int64_t deadline)
{
	size_t done = 0;
	ssize_t ret;

	if (!g_self())
		return -EPERM;
	while (done < n) {
		ret = gr_write(fd, (const char *)buf + done, n - done, deadline);
		if (ret < 0)
			return ret;
		done += ret;
	}
	return n;
}

ssize_t gr_pread(int fd, void *buf, size_t n, off_t off, int64_t deadline)
{
	struct rw a = { .fd = fd, .buf = buf, .n = n, .off = off };

	return off < 0 ? -EINVAL : op_do(prep_read, &a, deadline);
}

ssize_t gr_pwrite(int fd, const void *buf, size_t n, off_t off, int64_t deadline)
{
	struct rw a = { .fd = fd, .buf = (void *)buf, .n = n, .off = off };

	return off < 0 ? -EINVAL : op_do(prep_write, &a, deadline);
}

NOINLINE int gr_close(int fd)
{
	int saved = errno, ret;
	struct g *g = g_self();

	if (g && g->io_dry == fd)
		g->io_dry = -1;
	ret = close(fd) ? -errno : 0;
	errno = saved;
	return ret;
}
