// SPDX-License-Identifier: GPL-2.0
/*
 * unpark.c - UNPARK: idle or lazy processors get a thread.
 *
 * Three kinds. Any: whoever is parked nearest. Masked: only some processors, or only threads
 * that parked on some cores. Directed: that thread. What an "any" could not do is remembered as
 * a permit of the group, what a directed one could not do as a permit of the thread; park.c
 * consumes both. Pollers sleep in their own rings and are woken last, by completing a request
 * that they left (uring.c) or, where the kernel cannot cancel such requests, by poll().
 *
 * Callers: dev.c, for any thread of the group's process, attached or not.
 */
#include <linux/bitmap.h>
#include <linux/nospec.h>

#include "gr_kmod.h"
#include "trace.h"

struct gr_pick {
	const unsigned long *procs;	/* NULL: all */
	const unsigned long *cpus;	/* NULL: all */
	struct gr_wake wake;
	struct io_uring_cmd *cmd;	/* to complete once the lock is dropped */
};

#define GR_MASK_BITS (64 * ARRAY_SIZE(((struct gr_unpark *)0)->mask))

static struct gr_proc *gr_pick_proc(struct gr_group *g, struct gr_pick *pick)
{
	struct gr_proc *lazy = NULL;
	u32 i;

	if (!pick->procs) {
		struct gr_proc *p = gr_proc_idle(g, -1);

		return p ? p : gr_proc_lazy(g);
	}
	for_each_set_bit(i, pick->procs, g->nr_procs) {
		struct gr_proc *p = &g->procs[i];

		if (p->state == GR_P_IDLE)
			return p;
		if (!lazy && gr_proc_is_lazy(p))
			lazy = p;
	}
	return lazy;
}

/* A poller that left a request. */
static bool gr_pick_poller(struct gr_group *g, struct gr_pick *pick)
{
	u32 i;

	for (i = 0; i < g->nr_procs; i++) {
		struct gr_thread *t = g->procs[i].polls ? g->procs[i].holder : NULL;

		if (!t || !t->cmd || (pick->procs && !test_bit(i, pick->procs)))
			continue;
		pick->cmd = gr_uring_take(g, t);
		return true;
	}
	return false;
}

static void gr_permit_add(struct gr_group *g)
{
	if (g->permits < g->nr_procs)
		g->permits++;
	gr_event_wake(g);	/* POLLPRI */
}

/* One processor gets a thread. False: nobody, or nothing, to wake. */
static bool gr_unpark_one(struct gr_group *g, struct gr_pick *pick)
{
	struct gr_proc *p = gr_pick_proc(g, pick);
	struct gr_thread *spare = NULL;

	if (p)
		spare = pick->cpus ? gr_spare_on(g, pick->cpus, GR_MASK_BITS) :
				     gr_spare_near(g, p->cpu);
	if (spare) {
		trace_unpark(spare->slot, (int)(p - g->procs));
		gr_hand_over(g, p, spare, GR_WAKE_UNPARK, ktime_get_mono_fast_ns(), &pick->wake);
		return true;
	}
	if (!pick->cpus && gr_pick_poller(g, pick))
		return true;
	if (!pick->procs && !pick->cpus)
		gr_permit_add(g);
	if (p)
		gr_need_spare(g, p, &pick->wake);
	return false;
}

/* 1 woken, 0 remembered, -errno */
static int gr_unpark_thread(struct gr_group *g, s32 slot, struct gr_pick *pick)
{
	u64 now = ktime_get_mono_fast_ns();
	struct gr_thread *t = NULL;
	struct gr_proc *p;

	if (slot >= 0 && slot < g->max_threads)
		t = g->threads[array_index_nospec(slot, g->max_threads)];
	if (!t)
		return -ESRCH;
	if (t->cmd) {
		pick->cmd = gr_uring_take(g, t);
		return 1;
	}
	if (t->state != GR_T_PARKED) {
		/* a returner with a reason is in PARK, and told already */
		if (t->state != GR_T_RETURNING || !t->reason)
			t->permit = true;
		return 0;
	}
	p = gr_proc_free_for(g, t);
	if (p) {
		trace_unpark(t->slot, (int)(p - g->procs));
		gr_hand_over(g, p, t, GR_WAKE_UNPARK, now, &pick->wake);
		return 1;
	}
	/* sleeps on, and gets the next P that is given up */
	gr_unqueue(g, t);
	t->reason = GR_WAKE_UNPARK;
	gr_returner_push(g, t, false);
	return 0;
}

static int gr_unpark_check(struct gr_group *g, const struct gr_unpark *arg)
{
	bool masked = arg->flags & (GR_UNPARK_PROCS | GR_UNPARK_CPUS);

	if (arg->flags & ~(GR_UNPARK_PROCS | GR_UNPARK_CPUS | GR_UNPARK_THREAD) ||
	    hweight32(arg->flags) > 1 || arg->nr < 1 || arg->nr > g->nr_procs)
		return -EINVAL;
	if (arg->flags & GR_UNPARK_THREAD ? arg->nr != 1 : arg->slot != 0)
		return -EINVAL;
	return masked || !memchr_inv(arg->mask, 0, sizeof(arg->mask)) ? 0 : -EINVAL;
}

/* As many as the lock is worth; false: no more to be done. */
static bool gr_unpark_batch(struct gr_group *g, struct gr_unpark *arg, struct gr_pick *pick)
{
	while (arg->woken < arg->nr && pick->wake.nr < GR_WAKE_BATCH - 1 && !pick->cmd) {
		if (!gr_unpark_one(g, pick))
			return false;
		arg->woken++;
	}
	return arg->woken < arg->nr;
}

int gr_unpark(struct gr_group *g, struct gr_unpark *arg)
{
	DECLARE_BITMAP(mask, GR_MASK_BITS);
	struct gr_pick pick = {};
	int ret = gr_unpark_check(g, arg);
	bool more = true;

	if (ret)
		return ret;
	bitmap_from_arr64(mask, arg->mask, GR_MASK_BITS);
	if (arg->flags & GR_UNPARK_PROCS)
		pick.procs = mask;
	if (arg->flags & GR_UNPARK_CPUS)
		pick.cpus = mask;
	arg->woken = 0;
	while (more) {
		rcu_read_lock();
		raw_spin_lock_irq(&g->lock);
		if (g->dead) {
			ret = -ESHUTDOWN;
			more = false;
		} else if (arg->flags & GR_UNPARK_THREAD) {
			ret = gr_unpark_thread(g, arg->slot, &pick);
			more = false;
		} else {
			more = gr_unpark_batch(g, arg, &pick);
		}
		raw_spin_unlock_irq(&g->lock);
		gr_wake_flush(&pick.wake, false);
		rcu_read_unlock();
		gr_uring_done(g, pick.cmd, 0);
		pick.cmd = NULL;
	}
	if (ret > 0)
		arg->woken = ret;
	return min(ret, 0);
}
