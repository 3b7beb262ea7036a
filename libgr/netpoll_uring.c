// SPDX-License-Identifier: MIT
/*
 * netpoll_uring.c - the ring of a P: requests in, completions out, wake-ups between Ps.
 *
 * One ring per P, by liburing. The submission side belongs to the thread that holds the P. The
 * consumer side is under a try-lock, so that a thief can take the completions of a P whose
 * thread computes. A hand-off moves the P to another thread: so never SINGLE_ISSUER or
 * DEFER_TASKRUN, which bind a ring to one thread for life. Nor COOP_TASKRUN: after a hand-off
 * the submitter may compute for long on another P, and completions would wait for its next
 * system call while somebody else polls the ring.
 *
 * Completions are told apart by their user data: a struct req (aligned), whose done() says what
 * to do (op.c, fdwait.c), a struct m | 1 (a wake for that thread), or TAG_NONE (nobody waits
 * for it).
 *
 * p->q->pending counts requests in flight, so that the kernel, and the idle loop, know that
 * somebody must poll.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "multi.h"
#include "netpoll.h"
#include "op.h"

#define SQ_ENTRIES 256
#define CQ_ENTRIES 4096
#define TAG_NONE 2ULL
#define TAG_WAKE 1ULL

struct uring {
	struct io_uring ring;
	struct lock cq_lock; /* the consumer side */
};

static inline struct io_uring *ring_of(struct p *p)
{
	struct uring *np = p->np;

	return &np->ring;
}

/* for threads that hold no P */
static struct {
	struct lock lock;
	bool ready;
	struct io_uring ring;
} shared;

static int ring_init(struct io_uring *ring, unsigned int sq, unsigned int cq)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
		.cq_entries = cq,
	};

	return io_uring_queue_init_params(sq, ring, &params);
}

/*
 * Which of the things that this file is built on the kernel has not; NULL: none. The latest of
 * them came with Linux 6.0, multishot accept, which cannot be asked for, with 5.19.
 */
static const char *missing(struct io_uring *ring)
{
	const unsigned int features = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG |
				      IORING_FEAT_CQE_SKIP;
	/* of a request that does not exist */
	struct io_uring_sync_cancel_reg reg = { .addr = (uint64_t)(uintptr_t)ring };
	struct io_uring_probe *probe;
	bool message;

	if ((ring->features & features) != features)
		return "IORING_FEAT_CQE_SKIP";
	probe = io_uring_get_probe_ring(ring);
	message = probe && io_uring_opcode_supported(probe, IORING_OP_MSG_RING);
	io_uring_free_probe(probe);
	if (!message)
		return "IORING_OP_MSG_RING";
	return io_uring_register_sync_cancel(ring, &reg) == -ENOENT ? NULL :
								      "IORING_REGISTER_SYNC_CANCEL";
}

/* Each time: since the last one the program may have given up the right to have rings. */
static int uring_probe(char *why, size_t size)
{
	const char *lack;
	int ret;

	if (shared.ready)
		io_uring_queue_exit(&shared.ring);
	shared.ready = false;
	ret = ring_init(&shared.ring, 64, 128);
	if (ret == -ENOSYS || ret == -EPERM || ret == -EACCES) {
		snprintf(why, size, "io_uring is switched off here (sysctl "
			 "kernel.io_uring_disabled, or a sandbox)");
		return -ENOSYS;
	}
	if (ret) {
		snprintf(why, size, "cannot set up an io_uring: error %d", -ret);
		return ret;
	}
	lack = missing(&shared.ring);
	if (lack) {
		io_uring_queue_exit(&shared.ring);
		snprintf(why, size, "this kernel's io_uring has no %s; Linux 6.0 has all", lack);
		return -ENOSYS;
	}
	shared.ready = true;
	return 0;
}

static int uring_init(struct p *p)
{
	struct uring *np = aligned_alloc(CACHELINE, (sizeof(*np) + 63) & ~(size_t)63);
	int ret;

	if (!np)
		return -ENOMEM;
	memset(np, 0, sizeof(*np));
	ret = ring_init(&np->ring, SQ_ENTRIES, CQ_ENTRIES);
	if (ret) {
		free(np);
		return ret;
	}
	p->np = np;
	return 0;
}

/* ---- submission: the holder of the P ---- */

static unsigned int uring_queued(struct p *p)
{
	return io_uring_sq_ready(ring_of(p));
}

static void uring_submit(struct p *p)
{
	if (!uring_queued(p))
		return;
	netpoll_count_enter(p);
	io_uring_submit(ring_of(p));
}

static void uring_reserve(struct p *p, unsigned int n)
{
	while (io_uring_sq_space_left(ring_of(p)) < n)
		uring_submit(p);
}

static struct io_uring_sqe *uring_sqe(struct p *p)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring_of(p));

	while (!sqe) {
		uring_submit(p);
		sqe = io_uring_get_sqe(ring_of(p));
	}
	return sqe;
}

static void uring_begin(struct p *p, struct io_uring_sqe *sqe, struct req *req,
			struct g *(*done)(struct req *, int res))
{
	/* R1: pairs with A1 in take_cqe(); the kernel stands between them */
	atomic_store_explicit(&req->done, done, memory_order_release);
	sqe->user_data = (uint64_t)(uintptr_t)req;
	netpoll_pending_add(p, 1);
}

/*
 * Does not wait for a worker of the kernel that is at the request: that wait ends with the next
 * completion, and when the worker has just posted its own but still counts as being at it (up to
 * 6.12 at least), it waits for one that nobody has asked for.
 */
static int uring_cancel(struct p *p, struct req *req)
{
	struct io_uring_sync_cancel_reg reg = {
		.addr = (uint64_t)(uintptr_t)req,
		.timeout = { 0, 0 },
	};

	return io_uring_register_sync_cancel(ring_of(p), &reg);
}

/* ---- completion ---- */

static bool uring_ready(struct p *p)
{
	struct io_uring *ring = ring_of(p);

	/* io_uring_cq_ready(), but thieves look too */
	return PEEK(*ring->cq.ktail) != PEEK(*ring->cq.khead) || io_uring_cq_has_overflow(ring);
}

static int take_cqe(struct p *p, struct io_uring_cqe *cqe, struct g **end)
{
	uint64_t data = cqe->user_data;
	struct req *req;
	struct g *g;

	if (data == TAG_NONE)
		return 0;
	if (data & TAG_WAKE) {
		sched_wake_harvested((struct m *)(uintptr_t)(data & ~TAG_WAKE));
		return 0;
	}
	req = (struct req *)(uintptr_t)data;
	req->cqe_flags = cqe->flags;
	netpoll_count_taken(p, 1);
	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		netpoll_pending_add(p, -1);
		netpoll_count(&p->nr_io_ended, 1);
	}
	/* A1: pairs with R1 */
	g = atomic_load_explicit(&req->done, memory_order_acquire)(req, cqe->res);
	if (!g)
		return 0;
	g->next = NULL;
	*end = g;
	return 1;
}

static int uring_harvest(struct p *p, struct g **list)
{
	struct uring *np = p->np;
	struct io_uring *ring = &np->ring;
	struct io_uring_cqe *cqe;
	struct g **end = list;
	unsigned int head, seen = 0;
	int n = 0;

	if (!uring_ready(p) || !lock_try(&np->cq_lock))
		return 0;
	if (io_uring_cq_has_overflow(ring)) {
		netpoll_count_enter(p);
		io_uring_get_events(ring);
	}
	while (*end)
		end = &(*end)->next;
	io_uring_for_each_cqe(ring, head, cqe) {
		seen++;
		if (take_cqe(p, cqe, end)) {
			end = &(*end)->next;
			n++;
		}
	}
	io_uring_cq_advance(ring, seen);
	lock_release(&np->cq_lock);
	return n;
}

static void uring_wait(struct p *p, int64_t deadline)
{
	struct io_uring_getevents_arg arg = { .sigmask_sz = _NSIG / 8 };
	struct __kernel_timespec ts;
	int64_t left;

	if (deadline != INT64_MAX) {
		left = deadline - gr_now();
		if (left <= 0)
			return;
		ts.tv_sec = left / GR_SEC;
		ts.tv_nsec = left % GR_SEC;
		arg.ts = (uint64_t)(uintptr_t)&ts;
	}
	netpoll_count_enter(p);
	io_uring_enter2(ring_of(p)->ring_fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
			(void *)&arg, sizeof(arg));
}

/* ---- waking a thread in its ring ---- */

static void prep_wake(struct io_uring_sqe *sqe, struct p *p, struct m *target)
{
	io_uring_prep_msg_ring(sqe, ring_of(p)->ring_fd, 0,
			       (uint64_t)(uintptr_t)target | TAG_WAKE, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
	sqe->user_data = TAG_NONE;
}

static void uring_wake(struct p *p, struct m *target)
{
	struct m *m = m_self();
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;

	if (m && m->p && m->depth && m->p != p) {
		prep_wake(uring_sqe(m->p), p, target);
		uring_submit(m->p);
		return;
	}
	lock_acquire(&shared.lock);
	/* only failures leave a completion behind: nobody waits there, or the ring is gone */
	while (!io_uring_peek_cqe(&shared.ring, &cqe))
		io_uring_cqe_seen(&shared.ring, cqe);
	sqe = io_uring_get_sqe(&shared.ring);
	if (sqe) {
		prep_wake(sqe, p, target);
		io_uring_submit(&shared.ring);
	}
	lock_release(&shared.lock);
}

/* ---- the end ---- */

static void uring_fini(struct p *p)
{
	struct io_uring_sync_cancel_reg reg = {
		.flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY,
		.timeout = { 1, 0 },
	};
	int64_t until = gr_after(GR_SEC);
	struct g *unused = NULL;

	if (!p->np)
		return;
	/*
	 * Buffers on stacks that are about to go: the kernel must have let go of them. But what
	 * was sent without a copy it reads until the peer has it, gr_socket(3).
	 */
	io_uring_submit(ring_of(p));
	io_uring_register_sync_cancel(ring_of(p), &reg);
	/*
	 * Nobody runs any more; but connections that were accepted have an owner. The last result
	 * comes now, or when the thread that submitted has gone.
	 */
	uring_harvest(p, &unused);
	while (multis_armed(p) && gr_now() < until) {
		uring_wait(p, gr_after(GR_MS));
		uring_harvest(p, &unused);
	}
	io_uring_queue_exit(ring_of(p));
	free(p->np);
	p->np = NULL;
}

const struct netpoll_ops netpoll_uring = {
	.name = "uring",
	.uses = "ext-arg cqe-skip msg-ring accept-multishot send-zc sync-cancel",
	.probe = uring_probe,
	.init = uring_init,
	.fini = uring_fini,
	.submit = uring_submit,
	.queued = uring_queued,
	.harvest = uring_harvest,
	.ready = uring_ready,
	.due = uring_ready,
	.wait = uring_wait,
	.wake = uring_wake,
	.reserve = uring_reserve,
	.sqe = uring_sqe,
	.begin = uring_begin,
	.cancel = uring_cancel,
};
