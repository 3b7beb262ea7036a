// SPDX-License-Identifier: MIT
/*
 * op_call.c - requests done by system calls of the goroutine itself, where the I/O back end knows
 * nothing but readiness (netpoll_epoll.c).
 *
 * Job: op_call(), which takes what op_do() takes: an entry for the ring, filled in by prep(), and
 * does what the kernel would do with it. Callers: op_do().
 *
 * What may wait for somebody else (sockets, pipes, terminals) is tried without waiting; if it would
 * wait, the goroutine asks the back end for readiness, parks, and tries again. It may find that
 * another one was faster: then it waits again. So all that a request takes is taken at one instant,
 * by a goroutine that runs, and there is nothing to give back when it is cancelled.
 *
 * How to try without waiting, when descriptors are in blocking mode and O_NONBLOCK is not ours to
 * set, since it is the open file's, which others share:
 *   sockets	 MSG_DONTWAIT.
 *   read, write RWF_NOWAIT, for pipes since 6.4; else as accept.
 *   accept	 has no such flag: poll(2), then the call, with a lock for the descriptor and the
 *		 direction (turn), so that no two goroutines do it for the same connection or bytes.
 *		 Somebody outside libgr, or by a duplicate of the descriptor, may still take them in
 *		 between. Then the call blocks: that is goroutine code, so the thread's P goes to
 *		 another one (park.h), and what it cannot do is end at its deadline.
 *   connect	 has none either, and a socket that is not connected is nobody else's yet: it gets
 *		 O_NONBLOCK for the duration of the call, not of the wait.
 *   MSG_ERRQUEUE  never waits; what ends a wait for it (a hang-up, an error, urgent data) may
 *		 stay, with the queue empty: so it waits once, as in a ring, then -EAGAIN.
 *
 * What waits for disks only (files, directories, fsync) is called plainly: the P goes to
 * another thread if it takes long. Its deadline is not looked at.
 *
 * Not done, -EOPNOTSUPP: opcodes that call_one() does not name, entries with flags of the ring's
 * (fixed files, links) or ioprio (multishot). MSG_WAITALL has no effect, as in non-blocking mode.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "op.h"

#define NR_TURNS 64
#define UNIX_PAUSE GR_MS

struct call {
	struct io_uring_sqe sqe;
	bool by_turn; /* poll(2) first, one goroutine at a time */
	bool again;   /* not the first try */
	/* beside -EAGAIN: what to wait for; 0: nothing, it is the result */
	int fd;
	unsigned int events;
	bool pause; /* beside -EAGAIN: there is nothing to wait for, try again later */
};

/* by descriptor and direction; others may share one, for the time of a call */
static struct gr_mutex turns[NR_TURNS];

void op_call_begin(void)
{
	memset(turns, 0, sizeof(turns)); /* the last runtime's goroutines may have gone with one */
}

/* ---- one try each; plain thread code: no libgr call, errno is this thread's ---- */

static void *addr_of(const struct call *c)
{
	return (void *)(uintptr_t)c->sqe.addr;
}

static ssize_t result(ssize_t ret)
{
	return ret < 0 ? -errno : ret;
}

/* -EAGAIN, with what is to be waited for */
static ssize_t would_wait(struct call *c, int fd, unsigned int events)
{
	c->fd = fd;
	c->events = events;
	return -EAGAIN;
}

static bool is_ready(int fd, unsigned int events)
{
	struct pollfd p = { fd, (short)events, 0 };

	return poll(&p, 1, 0) != 0; /* an error is for the call itself to find */
}

/* nothing here waits for anybody but a disk; what it is not, the call itself will say */
static bool is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ||
	       S_ISDIR(st.st_mode);
}

static ssize_t rw(const struct call *c, const struct iovec *iov, int n, int flags)
{
	bool in = c->sqe.opcode == IORING_OP_READ || c->sqe.opcode == IORING_OP_READV;
	off_t off = (off_t)c->sqe.off;

	return result(in ? preadv2(c->sqe.fd, iov, n, off, flags | c->sqe.rw_flags) :
			   pwritev2(c->sqe.fd, iov, n, off, flags | c->sqe.rw_flags));
}

/* No more than a pipe that is ready takes for sure: all of a small write, else a part. */
static ssize_t write_some(const struct call *c, const struct iovec *iov, int n)
{
	struct iovec some;
	size_t sum = 0;

	for (int i = 0; i < n && sum <= PIPE_BUF; i++)
		sum += iov[i].iov_len <= PIPE_BUF ? iov[i].iov_len : PIPE_BUF + 1;
	if (sum <= PIPE_BUF)
		return rw(c, iov, n, 0);
	while (!iov->iov_len)
		iov++;
	some = *iov;
	if (some.iov_len > PIPE_BUF)
		some.iov_len = PIPE_BUF;
	return rw(c, &some, 1, 0);
}

static ssize_t call_rw(struct call *c, const struct iovec *iov, int n, unsigned int events)
{
	ssize_t ret;

	if (c->sqe.off != (uint64_t)-1 || is_file(c->sqe.fd))
		return rw(c, iov, n, 0);
	if (c->by_turn) {
		if (!is_ready(c->sqe.fd, events))
			return would_wait(c, c->sqe.fd, events);
		return events == POLLIN ? rw(c, iov, n, 0) : write_some(c, iov, n);
	}
	ret = rw(c, iov, n, RWF_NOWAIT);
	if (ret == -EAGAIN)
		return would_wait(c, c->sqe.fd, events);
	if (ret == -EOPNOTSUPP) {
		c->by_turn = true;
		return -EAGAIN;
	}
	return ret;
}

static ssize_t call_socket(struct call *c)
{
	const struct io_uring_sqe *e = &c->sqe;
	int flags = (int)e->msg_flags | MSG_DONTWAIT;
	/* poll(2) tells of an error unasked, and who waits for one must not be woken by data */
	unsigned int events = e->msg_flags & MSG_ERRQUEUE ? POLLPRI : POLLIN;
	ssize_t ret;

	switch (e->opcode) {
	case IORING_OP_RECV:
		ret = recv(e->fd, addr_of(c), e->len, flags);
		break;
	case IORING_OP_RECVMSG:
		ret = recvmsg(e->fd, addr_of(c), flags);
		break;
	case IORING_OP_SEND:
		events = POLLOUT;
		ret = sendto(e->fd, addr_of(c), e->len, flags | MSG_NOSIGNAL,
			     (struct sockaddr *)(uintptr_t)e->addr2, e->addr_len);
		break;
	default: /* IORING_OP_SENDMSG */
		events = POLLOUT;
		ret = sendmsg(e->fd, addr_of(c), flags | MSG_NOSIGNAL);
	}
	ret = result(ret);
	if (ret != -EAGAIN || e->msg_flags & MSG_DONTWAIT ||
	    (e->msg_flags & MSG_ERRQUEUE && c->again))
		return ret;
	return would_wait(c, e->fd, events);
}

static ssize_t call_accept(struct call *c)
{
	const struct io_uring_sqe *e = &c->sqe;
	ssize_t ret;

	if (!is_ready(e->fd, POLLIN))
		return would_wait(c, e->fd, POLLIN);
	ret = result(accept4(e->fd, addr_of(c), (socklen_t *)(uintptr_t)e->addr2,
			     (int)e->accept_flags));
	return ret == -EAGAIN ? would_wait(c, e->fd, POLLIN) : ret;
}

static ssize_t call_connect(struct call *c)
{
	const struct io_uring_sqe *e = &c->sqe;
	int flags = fcntl(e->fd, F_GETFL);
	ssize_t ret;

	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK))
		fcntl(e->fd, F_SETFL, flags | O_NONBLOCK);
	ret = result(connect(e->fd, addr_of(c), (socklen_t)e->off));
	if (!(flags & O_NONBLOCK))
		fcntl(e->fd, F_SETFL, flags);
	if (ret == -EINPROGRESS || ret == -EALREADY)
		return would_wait(c, e->fd, POLLOUT);
	c->pause = ret == -EAGAIN; /* a Unix socket whose queue is full */
	return ret == -EISCONN && c->again ? 0 : ret;
}

/* what never waits for anybody */
static ssize_t call_file(struct call *c)
{
	const struct io_uring_sqe *e = &c->sqe;
	const char *path = addr_of(c);
	void *addr2 = (void *)(uintptr_t)e->addr2;

	switch (e->opcode) {
	case IORING_OP_OPENAT:
		return result(openat(e->fd, path, (int)e->open_flags, e->len));
	case IORING_OP_FSYNC:
		return result(e->fsync_flags & IORING_FSYNC_DATASYNC ? fdatasync(e->fd) :
								       fsync(e->fd));
	case IORING_OP_FALLOCATE:
		return result(fallocate(e->fd, (int)e->len, (off_t)e->off, (off_t)e->addr));
	case IORING_OP_STATX:
		return result(statx(e->fd, path, (int)e->statx_flags, e->len, addr2));
	case IORING_OP_RENAMEAT:
		return result(renameat2(e->fd, path, (int)e->len, addr2, e->rename_flags));
	case IORING_OP_UNLINKAT:
		return result(unlinkat(e->fd, path, (int)e->unlink_flags));
	case IORING_OP_MKDIRAT:
		return result(mkdirat(e->fd, path, e->len));
	default:
		return -EOPNOTSUPP;
	}
}

static ssize_t call_one(struct call *c)
{
	struct iovec one = { addr_of(c), c->sqe.len };

	switch (c->sqe.opcode) {
	case IORING_OP_READ:
		return call_rw(c, &one, 1, POLLIN);
	case IORING_OP_WRITE:
		return call_rw(c, &one, 1, POLLOUT);
	case IORING_OP_READV:
		return call_rw(c, addr_of(c), (int)c->sqe.len, POLLIN);
	case IORING_OP_WRITEV:
		return call_rw(c, addr_of(c), (int)c->sqe.len, POLLOUT);
	case IORING_OP_RECV:
	case IORING_OP_RECVMSG:
	case IORING_OP_SEND:
	case IORING_OP_SENDMSG:
		return call_socket(c);
	case IORING_OP_ACCEPT:
		return call_accept(c);
	case IORING_OP_CONNECT:
		return call_connect(c);
	default:
		return call_file(c);
	}
}

static NOINLINE ssize_t try_once(struct call *c)
{
	int saved = errno;
	ssize_t ret;

	do {
		c->events = 0;
		c->pause = false;
		ret = call_one(c);
	} while (ret == -EINTR);
	errno = saved;
	return ret;
}

/* ---- the goroutine ---- */

static ssize_t try_in_turn(struct call *c, int64_t deadline)
{
	unsigned int out = c->sqe.opcode == IORING_OP_WRITE || c->sqe.opcode == IORING_OP_WRITEV;
	struct gr_mutex *turn = &turns[(2 * (unsigned int)c->sqe.fd + out) % NR_TURNS];
	ssize_t ret = gr_mutex_lock(turn, deadline);

	if (ret)
		return ret;
	ret = try_once(c);
	gr_mutex_unlock(turn);
	return ret;
}

static void prep_wait(struct io_uring_sqe *sqe, void *arg)
{
	struct call *c = arg;

	io_uring_prep_poll_add(sqe, c->fd, c->events);
}

/* 0, or why there is no use in another try */
static int wait_for(struct call *c, int64_t deadline)
{
	int64_t later = gr_after(UNIX_PAUSE);
	int ret;

	if (deadline == GR_NOW)
		return -EAGAIN;
	if (c->pause) {
		if (gr_now() >= deadline)
			return -ETIMEDOUT;
		ret = gr_sleep(later < deadline ? later : deadline);
	} else {
		ret = op_request(prep_wait, c, deadline);
	}
	return ret < 0 ? ret : 0;
}

int op_call(void (*prep)(struct io_uring_sqe *, void *), void *arg, int64_t deadline)
{
	struct call c = { .by_turn = false };
	ssize_t ret;

	memset(&c.sqe, 0, sizeof(c.sqe));
	prep(&c.sqe, arg);
	if (c.sqe.opcode == IORING_OP_POLL_ADD)
		return op_request(prep, arg, deadline);
	if (!g_self())
		return -EPERM;
	if (deadline != GR_NOW && gr_cancelled())
		return -ECANCELED;
	if (c.sqe.flags || c.sqe.ioprio)
		return -EOPNOTSUPP;
	c.by_turn = c.sqe.opcode == IORING_OP_ACCEPT;
	for (;;) {
		bool by_turn = c.by_turn;

		ret = by_turn ? try_in_turn(&c, deadline) : try_once(&c);
		if (by_turn != c.by_turn)
			continue;
		if (ret != -EAGAIN || (!c.events && !c.pause))
			break;
		ret = wait_for(&c, deadline);
		if (ret)
			return (int)ret;
		c.again = true;
	}
	return (int)(c.again ? ret : io_did_not_wait(ret));
}
