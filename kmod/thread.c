// SPDX-License-Identifier: GPL-2.0
/*
 * thread.c - a thread joins a group and leaves it.
 *
 * A thread is found again through its own list of preempt notifiers: only the task itself
 * changes that list, so gr_thread_current() needs no lock and no table.
 *
 * Ways to leave: DETACH; the return work when the process execs, exits or the group is shut
 * down (notify.c); the last context switch of a dead task (notify.c). All meet in
 * gr_thread_unlink(); the memory goes after an RCU grace period, when no callback of a
 * notifier can still be looking at it.
 */
#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "gr_kmod.h"
#include "trace.h"

struct gr_thread *gr_thread_current(void)
{
	struct preempt_notifier *n;

	hlist_for_each_entry(n, &current->preempt_notifiers, link)
		if (gr_notify_is_ours(n))
			return container_of(n, struct gr_thread, notifier);
	return NULL;
}

/* The calling thread, if it is attached to @g under the name @slot; else NULL. */
struct gr_thread *gr_thread_by_slot(struct gr_group *g, s32 slot)
{
	struct gr_thread *t = gr_thread_current();

	return t && t->group == g && t->slot == slot ? t : NULL;
}

static void gr_thread_free_rcu(struct rcu_head *rcu)
{
	struct gr_thread *t = container_of(rcu, struct gr_thread, rcu);

	hrtimer_cancel(&t->kick);
	put_task_struct(t->task);
	gr_group_put(t->group);
	kfree(t);
	atomic_dec(&gr_counters.threads_live);
	module_put(THIS_MODULE);
}

void gr_thread_put(struct gr_thread *t)
{
	if (refcount_dec_and_test(&t->refs))
		call_rcu(&t->rcu, gr_thread_free_rcu);
}

/* a slot, and a processor if asked for; -errno */
static int gr_thread_link(struct gr_group *g, struct gr_thread *t, bool run)
{
	struct gr_wake wake = {};
	struct gr_proc *p;
	int ret = 0;

	rcu_read_lock();
	raw_spin_lock_irq(&g->lock);
	if (g->dead) {
		ret = -ESHUTDOWN;
		goto out;
	}
	t->slot = find_first_zero_bit(g->slots, g->max_threads);
	if (t->slot >= g->max_threads) {
		ret = -EAGAIN;
		goto out;
	}
	__set_bit(t->slot, g->slots);
	g->threads[t->slot] = t;
	g->nr_threads++;
	WRITE_ONCE(g->mirror->nr_threads, g->nr_threads);
	/* a former owner's flags must not speak for this thread */
	WRITE_ONCE(g->hthreads[t->slot].flags, GR_HF_RUNTIME);
	gr_thread_set_state(g, t, GR_T_BLOCKED);
	if (run) {
		p = gr_proc_idle(g, 0);
		if (!p)
			p = gr_proc_lazy_busy(g);
		if (p) {
			gr_proc_give(g, p, t);
			if (g->permits)
				g->permits--;
			gr_need_another(g, &wake);
		}
	}
out:
	raw_spin_unlock_irq(&g->lock);
	gr_wake_flush(&wake, false);
	rcu_read_unlock();
	return ret;
}

int gr_thread_attach(struct gr_group *g, struct gr_attach *arg)
{
	struct gr_thread *t;
	int ret;

	if ((arg->flags & ~GR_ATTACH_RUN) || arg->reserved)
		return -EINVAL;
	if (gr_thread_current())
		return -EBUSY;
	t = kzalloc(sizeof(*t), GFP_KERNEL_ACCOUNT);
	if (!t)
		return -ENOMEM;
	refcount_set(&t->refs, 1);
	t->group = g;
	t->task = current;
	t->proc = GR_NO_PROC;
	t->last_proc = GR_NO_PROC;
	INIT_LIST_HEAD(&t->node);
	gr_notify_thread_init(t);
	ret = gr_thread_link(g, t, arg->flags & GR_ATTACH_RUN);
	if (ret) {
		kfree(t);
		return ret;
	}
	get_task_struct(current);
	gr_group_get(g);
	atomic_inc(&gr_counters.threads_live);
	atomic_long_inc(&gr_counters.threads);
	__module_get(THIS_MODULE);	/* safe: the open file holds one */
	preempt_notifier_register(&t->notifier);
	arg->slot = t->slot;
	arg->proc = t->proc;
	trace_attach(t->slot, t->proc);
	return 0;
}

/*
 * Take @t, the current or a dead task, out of its group. Its processor goes to a returner, to
 * a spare if there is work, or idle.
 */
void gr_thread_unlink(struct gr_group *g, struct gr_thread *t, struct gr_wake *wake)
{
	lockdep_assert_held(&g->lock);
	trace_detach(t->slot, t->proc);
	gr_unqueue(g, t);
	gr_proc_release(g, t, wake);
	gr_thread_set_state(g, t, GR_T_NONE);
	g->threads[t->slot] = NULL;
	__clear_bit(t->slot, g->slots);
	g->nr_threads--;
	WRITE_ONCE(g->mirror->nr_threads, g->nr_threads);
	gr_proc_cover(g, wake);
}

/* The calling thread leaves. */
void gr_thread_detach(struct gr_thread *t)
{
	struct gr_group *g = t->group;
	struct gr_wake wake = {};
	struct io_uring_cmd *cmd;

	preempt_notifier_unregister(&t->notifier);
	rcu_read_lock();
	raw_spin_lock_irq(&g->lock);
	cmd = gr_uring_take(g, t);
	gr_thread_unlink(g, t, &wake);
	raw_spin_unlock_irq(&g->lock);
	gr_wake_flush(&wake, false);
	rcu_read_unlock();
	gr_uring_done(g, cmd, -ECANCELED);
	gr_thread_put(t);
}
