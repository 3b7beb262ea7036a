// SPDX-License-Identifier: GPL-2.0
/*
 * uring.c - GR_UCMD_PARK: a poller hears of UNPARK in its own ring.
 *
 * A thread that is about to wait in io_uring_enter() leaves one request here; UNPARK completes
 * it when no processor is idle but this poller's. So network, timers and wake-ups end the same
 * wait. Only where the kernel can cancel such a request: elsewhere a pending one would keep a
 * dying process for ever, and poll() on the device takes its place.
 *
 * Who completes it: the one that takes t->cmd under group->lock. UNPARK, the cancellation by
 * the kernel (ring closed), DETACH, the death of the thread, or shutdown; the others find NULL. The
 * request holds the file, hence the group, and a thread reference in its pdu.
 *
 * Callers: io_uring, in the submitter's context or, to cancel, in any task; the rest in
 * process context without a lock, except gr_uring_take() and gr_uring_bury().
 */
#include "compat.h"
#include "gr_kmod.h"

#ifdef GR_HAVE_URING_CANCEL

/* The pending request, now the caller's to complete; or NULL. */
struct io_uring_cmd *gr_uring_take(struct gr_group *g, struct gr_thread *t)
{
	struct io_uring_cmd *cmd = t->cmd;

	lockdep_assert_held(&g->lock);
	t->cmd = NULL;
	return cmd;
}

static struct gr_thread **gr_cmd_thread(struct io_uring_cmd *cmd)
{
	return io_uring_cmd_to_pdu(cmd, struct gr_thread *);
}

static void gr_cmd_end(struct gr_group *g, struct io_uring_cmd *cmd, int ret, unsigned int flags)
{
	struct gr_thread *t = *gr_cmd_thread(cmd);

	if (gr_cmd_holds_file(cmd))
		gr_file_dropped(g);
	/* until it is done the kernel may still cancel it, and gr_uring_cancel() looks at @t */
	gr_cmd_done(cmd, ret, flags);
	gr_thread_put(t);
}

/* @cmd may be NULL */
void gr_uring_done(struct gr_group *g, struct io_uring_cmd *cmd, int ret)
{
	if (cmd)
		gr_cmd_end(g, cmd, ret, IO_URING_F_UNLOCKED);
}

static void gr_uring_bury_work(struct work_struct *work)
{
	struct gr_thread *t = container_of(work, struct gr_thread, orphan_work);

	/* puts what may be the last reference on @t */
	gr_uring_done(t->group, t->orphan, -ECANCELED);
}

/* @t is dead and @cmd, which may be NULL, was its; the caller may be an interrupt */
void gr_uring_bury(struct gr_thread *t, struct io_uring_cmd *cmd)
{
	if (!cmd)
		return;
	t->orphan = cmd;
	INIT_WORK(&t->orphan_work, gr_uring_bury_work);
	gr_queue_work(&t->orphan_work);
}

static int gr_uring_cancel(struct gr_group *g, struct io_uring_cmd *cmd, unsigned int flags)
{
	struct gr_thread *t = *gr_cmd_thread(cmd);
	bool ours;

	raw_spin_lock_irq(&g->lock);
	ours = t->cmd == cmd;
	if (ours)
		t->cmd = NULL;
	raw_spin_unlock_irq(&g->lock);
	if (ours)
		gr_cmd_end(g, cmd, -ECANCELED, flags);
	return 0;
}

int gr_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct gr_group *g = cmd->file->private_data;
	const struct gr_ucmd *arg = gr_cmd_payload(cmd);
	struct gr_thread *t;
	bool dead;
	int ret;

	if (issue_flags & IO_URING_F_CANCEL)
		return gr_uring_cancel(g, cmd, issue_flags);
	ret = gr_group_check_caller(g);
	if (ret)
		return ret;
	if (cmd->cmd_op != GR_UCMD_PARK)
		return -ENOTTY;
	if (READ_ONCE(arg->flags) || READ_ONCE(arg->reserved))
		return -EINVAL;
	/* a worker thread of the ring is not the poller */
	t = gr_thread_by_slot(g, READ_ONCE(arg->slot));
	if (!t)
		return -ESRCH;
	if (READ_ONCE(t->cmd))	/* only the thread itself, here, sets it */
		return -EBUSY;
	gr_thread_get(t);
	*gr_cmd_thread(cmd) = t;
	if (gr_cmd_holds_file(cmd))
		gr_file_held(g);
	io_uring_cmd_mark_cancelable(cmd, issue_flags);
	raw_spin_lock_irq(&g->lock);
	dead = g->dead;
	if (!dead)
		t->cmd = cmd;
	raw_spin_unlock_irq(&g->lock);
	if (dead)
		gr_cmd_end(g, cmd, -ESHUTDOWN, issue_flags);
	return -EIOCBQUEUED;
}

#else

struct io_uring_cmd *gr_uring_take(struct gr_group *g, struct gr_thread *t)
{
	return NULL;
}

void gr_uring_done(struct gr_group *g, struct io_uring_cmd *cmd, int ret)
{
}

void gr_uring_bury(struct gr_thread *t, struct io_uring_cmd *cmd)
{
}

#endif
