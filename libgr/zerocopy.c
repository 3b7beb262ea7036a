// SPDX-License-Identifier: MIT
/*
 * zerocopy.c - send from the caller's memory: gr_send() with MSG_ZEROCOPY.
 *
 * One request (IORING_OP_SEND_ZC, Linux 6.0) with two completions: how much was sent, and that the
 * kernel needs the memory no more, for which the call waits (op.c), so that its buffer may be on a
 * stack, as any call's. With TCP that is when the peer's kernel has it all. So:
 *   - the request sends all of the buffer (MSG_WAITALL): a wait for each part that fits into the
 *     socket would make every part a round trip;
 *   - what was handed to the socket cannot be called back: at its deadline, or cancelled, the
 *     call ends when that is acknowledged, or the connection broken;
 *   - it is asked for by a flag of a call, and never done unasked.
 * Callers: gr_send(), in a goroutine or not.
 */
#include <errno.h>
#include <sys/socket.h>

#include "op.h"

/*
 * Shorter ones are copied. Pinning pages and the second completion cost about what copying 10 KB
 * does (the kernel's msg_zerocopy.rst), and the wait for the peer comes on top.
 */
#define ZEROCOPY_MIN 32768
#define ZEROCOPY_MAX 0x7ffff000 /* as send() */

struct zerocopy {
	int fd;
	const void *buf;
	size_t n;
	int flags;
};

static void prep(struct io_uring_sqe *sqe, void *arg)
{
	const struct zerocopy *a = arg;

	io_uring_prep_send_zc(sqe, a->fd, a->buf, a->n < ZEROCOPY_MAX ? a->n : ZEROCOPY_MAX,
			      a->flags | MSG_WAITALL, 0);
}

ssize_t zerocopy_send(int fd, const void *buf, size_t n, int flags, int64_t deadline)
{
	struct zerocopy a = { fd, buf, n, flags };
	ssize_t ret;

	if (!g_self() || netpoll->polls_only || n < ZEROCOPY_MIN || deadline == GR_NOW)
		return -EOPNOTSUPP;
	ret = op_request(prep, &a, deadline);
	/* no such socket; no more memory may be pinned: RLIMIT_MEMLOCK */
	return ret == -EINVAL || ret == -ENOMEM ? -EOPNOTSUPP : ret;
}
