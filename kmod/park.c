// SPDX-License-Identifier: GPL-2.0
/*
 * park.c - PARK, YIELD and SWITCH: threads that sleep until there is a P for them.
 *
 * No wake-up is lost, for two reasons. A parker makes its P idle (visible in the mirror),
 * executes a full fence, and only then looks at the hints; a publisher stores the hint, fences,
 * and only then looks at the mirror: one of them sees the other (G1 in token.c). And an UNPARK
 * that finds nobody (unpark.c) leaves a permit, which the next parker consumes instead of
 * sleeping; a directed one leaves it with the thread.
 *
 * Sleep: state PARKED and TASK_INTERRUPTIBLE are set before the lock is dropped, and a waker
 * sets RUNNING under the lock before it wakes, so schedule() cannot miss it. A thread leaves
 * the loop with a P exactly when its state is RUNNING.
 */
#include <linux/err.h>
#include <linux/hrtimer.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "gr_kmod.h"
#include "trace.h"

/* Sleep once, with or without a deadline. True: the deadline passed. */
bool gr_sleep_until(s64 deadline)
{
	ktime_t at = ns_to_ktime(deadline);

	if (deadline == GR_NO_DEADLINE) {
		schedule();
		return false;
	}
	return schedule_hrtimeout_range(&at, 0, HRTIMER_MODE_ABS) == 0;
}

/* An idle processor for a thread that would otherwise sleep: a wake-up is owed, or work waits. */
static struct gr_proc *gr_park_skip(struct gr_group *g, struct gr_thread *t, u32 flags)
{
	struct gr_proc *p = NULL;

	if (g->permits || (!(flags & GR_PARK_NOWORK) && gr_work_any(g)))
		p = gr_proc_idle(g, t->last_proc);
	if (!p && !(flags & GR_PARK_NOWORK))
		/* a sleeper's processor for which no spare could be found */
		p = gr_proc_lazy_busy(g);
	if (p && g->permits)
		g->permits--;
	return p;
}

/* On the list that it waits on, with group->lock held; 0 when it has a P. */
static int gr_park_sleep(struct gr_group *g, struct gr_thread *t, s64 deadline,
			 struct gr_wake *wake)
	__must_hold(&g->lock)
{
	bool late = false;
	int ret = 0;

	t->waiting = true;
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		raw_spin_unlock_irq(&g->lock);
		gr_wake_flush(wake, true);
		rcu_read_unlock();
		late = gr_sleep_until(deadline);
		rcu_read_lock();
		raw_spin_lock_irq(&g->lock);
		if (t->state == GR_T_RUNNING)
			break;
		if (g->dead)
			ret = -ESHUTDOWN;
		else if (signal_pending(current))
			ret = -ERESTARTSYS;
		else if (late)
			ret = -ETIMEDOUT;
		if (ret) {
			/* told to run, and it has not: the next PARK must know */
			t->permit = t->state == GR_T_RETURNING;
			gr_unqueue(g, t);
			gr_thread_set_state(g, t, GR_T_BLOCKED);
			break;
		}
	}
	__set_current_state(TASK_RUNNING);
	t->waiting = false;
	if (!ret && t->since)
		gr_hist_add(g, t->reason == GR_WAKE_UNPARK ? GR_HIST_UNPARK_RUN :
							     GR_HIST_BLOCK_HANDOFF, t->since);
	return ret;
}

/*
 * The caller, which holds no P any more, goes on with one or sleeps: as a spare of this core or,
 * if it was told to run already, as a returner. 0 when it has a P.
 */
static int gr_park_wait(struct gr_group *g, struct gr_thread *t, u32 flags, s64 deadline,
			struct gr_wake *wake)
{
	struct gr_proc *p;

	t->reason = GR_WAKE_WORK;
	t->since = 0;
	p = t->permit ? gr_proc_free_for(g, t) : gr_park_skip(g, t, flags);
	if (p) {
		t->permit = false;
		gr_proc_give(g, p, t);
		return 0;
	}
	if (t->permit) {
		t->permit = false;
		gr_returner_push(g, t, false);
	} else {
		gr_spare_push(g, t, raw_smp_processor_id());
		trace_park(t->slot);
	}
	return gr_park_sleep(g, t, deadline, wake);
}

int gr_park(struct gr_thread *t, struct gr_park *arg, bool yield)
{
	struct gr_group *g = t->group;
	struct gr_wake wake = {};
	int ret = 0;

	if ((arg->flags & ~GR_PARK_NOWORK) || arg->deadline < GR_NO_DEADLINE)
		return -EINVAL;
	rcu_read_lock();
	raw_spin_lock_irq(&g->lock);
	if (g->dead) {
		ret = -ESHUTDOWN;
		goto out;
	}
	if (yield && (t->proc < 0 || !gr_returner_first(g))) {
		ret = -EAGAIN;
		goto out;
	}
	if (!(t->permit && t->proc >= 0)) {
		gr_proc_release(g, t, &wake);
		ret = gr_park_wait(g, t, arg->flags, arg->deadline, &wake);
		/* started again it would find no P, and say EAGAIN: "you have it still" */
		if (yield && ret == -ERESTARTSYS)
			ret = -EINTR;
	} else {
		t->permit = false;	/* told to run, and it does */
		t->reason = GR_WAKE_WORK;
	}
	arg->proc = t->proc;
	arg->reason = ret ? 0 : t->reason;
out:
	raw_spin_unlock_irq(&g->lock);
	gr_wake_flush(&wake, false);
	rcu_read_unlock();
	return ret;
}

/* The thread whose name is @slot, if a SWITCH may hand it a processor; or an ERR_PTR. */
static struct gr_thread *gr_switch_target(struct gr_group *g, struct gr_thread *t, s32 slot)
{
	struct gr_thread *to;

	lockdep_assert_held(&g->lock);
	if (g->dead)
		return ERR_PTR(-ESHUTDOWN);
	if (slot < 0 || slot >= g->max_threads)
		return ERR_PTR(-ESRCH);
	to = g->threads[array_index_nospec(slot, g->max_threads)];
	if (!to)
		return ERR_PTR(-ESRCH);
	if (to == t)
		return ERR_PTR(-EINVAL);
	if (t->proc < 0 || (to->state != GR_T_PARKED && to->state != GR_T_RETURNING))
		return ERR_PTR(-EAGAIN);
	return to;
}

int gr_switch(struct gr_thread *t, struct gr_switch *arg)
{
	struct gr_group *g = t->group;
	struct gr_wake wake = {};
	struct gr_thread *to;
	struct gr_proc *p;
	int ret;

	if (arg->flags || arg->reserved || arg->deadline < GR_NO_DEADLINE)
		return -EINVAL;
	rcu_read_lock();
	raw_spin_lock_irq(&g->lock);
	to = gr_switch_target(g, t, arg->target);
	if (IS_ERR(to)) {
		ret = PTR_ERR(to);
		goto out;
	}
	p = &g->procs[t->proc];
	trace_switch_to(t->slot, to->slot, t->proc);
	p->cpu = raw_smp_processor_id();
	gr_hand_over(g, p, to, GR_WAKE_HANDOFF, 0, &wake);
	/* the P is in use: looking for work in the hints would be UNPARK's job */
	ret = gr_park_wait(g, t, GR_PARK_NOWORK, arg->deadline, &wake);
	if (ret == -ERESTARTSYS)
		ret = -EINTR;	/* as in gr_park(): the P is gone, nothing to start again */
	arg->proc = t->proc;
	arg->reason = ret ? 0 : t->reason;
out:
	raw_spin_unlock_irq(&g->lock);
	gr_wake_flush(&wake, true);
	rcu_read_unlock();
	return ret;
}
