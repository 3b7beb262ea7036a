// SPDX-License-Identifier: GPL-2.0
/*
 * park.c - PARK, YIELD, UNPARK and MONITOR: threads that sleep until there is a P for them.
 *
 * No wake-up is lost, for two reasons. A parker makes its P idle (visible in the mirror),
 * executes a full fence, and only then looks at the hints; a publisher stores the hint, fences,
 * and only then looks at the mirror: one of them sees the other (G1 in token.c). And an UNPARK
 * that finds nobody leaves a permit, which the next parker consumes instead of sleeping.
 *
 * Sleep: state PARKED and TASK_INTERRUPTIBLE are set before the lock is dropped, and a waker
 * sets RUNNING under the lock before it wakes, so schedule() cannot miss it. A thread leaves
 * the loop with a P exactly when its state is RUNNING.
 */
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>

#include "compat.h"
#include "gr_kmod.h"
#include "trace.h"

/* Sleep once, with or without a deadline. True: the deadline passed. */
static bool gr_sleep_until(s64 deadline)
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
	if (!p && !(flags & GR_PARK_NOWORK)) {
		/* a sleeper's processor for which no spare could be found */
		p = gr_proc_lazy(g);
		if (p && !gr_work_for(g, p))
			p = NULL;
	}
	if (p && g->permits)
		g->permits--;
	return p;
}

/* As a spare of this core, with group->lock held; 0 when it has a P. */
static int gr_park_sleep(struct gr_group *g, struct gr_thread *t, s64 deadline,
			 struct gr_wake *wake)
{
	bool late = false;
	int ret = 0;

	gr_spare_push(g, t, raw_smp_processor_id());
	trace_park(t->slot);
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
			gr_spare_remove(g, t);
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

int gr_park(struct gr_thread *t, struct gr_park *arg, bool yield)
{
	struct gr_group *g = t->group;
	struct gr_wake wake = {};
	struct gr_proc *p;
	int ret = 0;

	if ((arg->flags & ~GR_PARK_NOWORK) || arg->deadline < GR_NO_DEADLINE)
		return -EINVAL;
	rcu_read_lock();
	raw_spin_lock_irq(&g->lock);
	if (g->dead) {
		ret = -ESHUTDOWN;
		goto out;
	}
	if (yield && (t->proc < 0 || !g->nr_returners)) {
		ret = -EAGAIN;
		goto out;
	}
	gr_proc_release(g, t, &wake);
	p = gr_park_skip(g, t, arg->flags);
	if (p) {
		gr_proc_give(g, p, t);
		t->reason = GR_WAKE_WORK;
	} else {
		ret = gr_park_sleep(g, t, arg->deadline, &wake);
	}
	arg->proc = t->proc;
	arg->reason = ret ? 0 : t->reason;
out:
	raw_spin_unlock_irq(&g->lock);
	gr_wake_flush(&wake, false);
	rcu_read_unlock();
	return ret;
}

/* One idle, else one lazy processor gets a thread. False: nobody, or nothing, to wake. */
static bool gr_unpark_one(struct gr_group *g, struct gr_wake *wake)
{
	struct gr_proc *p = gr_proc_idle(g, -1);
	struct gr_thread *spare;

	if (!p)
		p = gr_proc_lazy(g);
	spare = p ? gr_spare_near(g, p->cpu) : NULL;
	if (!spare) {
		if (g->permits < g->nr_procs)
			g->permits++;
		if (p)
			gr_need_spare(g, wake);
		return false;
	}
	trace_unpark(spare->slot, (int)(p - g->procs));
	gr_hand_over(g, p, spare, GR_WAKE_UNPARK, ktime_get_mono_fast_ns(), wake);
	return true;
}

int gr_unpark(struct gr_group *g, struct gr_unpark *arg)
{
	struct gr_wake wake = {};
	bool more = true;

	if (arg->flags || arg->reserved || arg->nr < 1 || arg->nr > g->nr_procs)
		return -EINVAL;
	arg->woken = 0;
	while (more && arg->woken < arg->nr) {
		rcu_read_lock();
		raw_spin_lock_irq(&g->lock);
		if (g->dead)
			more = false;
		while (more && arg->woken < arg->nr && wake.nr < GR_WAKE_BATCH - 1) {
			more = gr_unpark_one(g, &wake);
			arg->woken += more;
		}
		raw_spin_unlock_irq(&g->lock);
		gr_wake_flush(&wake, false);
		rcu_read_unlock();
	}
	return READ_ONCE(g->dead) ? -ESHUTDOWN : 0;
}

int gr_monitor(struct gr_group *g, struct gr_monitor *arg)
{
	bool late = false;
	int ret = 0;

	if (arg->flags || arg->deadline < GR_NO_DEADLINE)
		return -EINVAL;
	raw_spin_lock_irq(&g->lock);
	if (g->monitor) {
		raw_spin_unlock_irq(&g->lock);
		return -EBUSY;
	}
	g->monitor = current;
	while (g->spare_needed == arg->seen) {
		if (g->dead)
			ret = -ESHUTDOWN;
		else if (signal_pending(current))
			ret = -ERESTARTSYS;
		else if (late)
			ret = -ETIMEDOUT;
		if (ret)
			break;
		set_current_state(TASK_INTERRUPTIBLE);
		raw_spin_unlock_irq(&g->lock);
		late = gr_sleep_until(arg->deadline);
		raw_spin_lock_irq(&g->lock);
	}
	__set_current_state(TASK_RUNNING);
	g->monitor = NULL;
	arg->seen = g->spare_needed;
	raw_spin_unlock_irq(&g->lock);
	return ret;
}
