// SPDX-License-Identifier: GPL-2.0
/*
 * event.c - telling user space: MONITOR, and the records behind read() and poll().
 *
 * MONITOR is for the runtime: one thread sleeps until a spare is needed or a stall was seen.
 * Records are for tools, kept only if SETUP asked for them: a ring under group->lock, which
 * keeps the oldest and counts what it could not take.
 *
 * Waiters of read() and poll() sleep on g->wait, whose lock may itself sleep on PREEMPT_RT, so
 * it is never touched under group->lock: gr_event_wake() asks for g->wait_work, which does it.
 * No wake-up is lost: a record is stored before wq_has_sleeper()'s fence, a waiter queues
 * itself before it looks at nr_events.
 *
 * Callers: gr_event_add() and _wake() under group->lock, any context; the rest dev.c.
 */
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "gr_kmod.h"
#include "trace.h"

static void gr_event_wake_fn(struct irq_work *work)
{
	struct gr_group *g = container_of(work, struct gr_group, wait_work);

	/* without a key: io_uring does not count EPOLLPRI among the keys that wake it */
	wake_up_interruptible(&g->wait);
}

void gr_event_wake(struct gr_group *g)
{
	lockdep_assert_held(&g->lock);
	if (wq_has_sleeper(&g->wait))
		irq_work_queue(&g->wait_work);
}

void gr_event_add(struct gr_group *g, u32 type, int slot, int proc, u32 value)
{
	lockdep_assert_held(&g->lock);
	trace_report(type, slot, proc, value);
	if (!g->record)
		return;
	if (g->nr_events == GR_NR_EVENTS) {
		g->events_lost++;
		WRITE_ONCE(g->mirror->events_lost, g->events_lost);
		return;
	}
	g->events[(g->event_head + g->nr_events) % GR_NR_EVENTS] = (struct gr_event){
		.time = ktime_get_mono_fast_ns(),
		.type = type,
		.slot = slot,
		.proc = proc,
		.value = value,
	};
	WRITE_ONCE(g->nr_events, g->nr_events + 1);
	gr_event_wake(g);
}

/* Copies up to @max of the oldest records. Under g->read_lock, as gr_event_drop(). */
unsigned int gr_event_peek(struct gr_group *g, struct gr_event *out, unsigned int max)
{
	unsigned int i, n;

	lockdep_assert_held(&g->read_lock);
	raw_spin_lock_irq(&g->lock);
	n = min(max, g->nr_events);
	for (i = 0; i < n; i++)
		out[i] = g->events[(g->event_head + i) % GR_NR_EVENTS];
	raw_spin_unlock_irq(&g->lock);
	return n;
}

void gr_event_drop(struct gr_group *g, unsigned int n)
{
	lockdep_assert_held(&g->read_lock);
	raw_spin_lock_irq(&g->lock);
	g->event_head = (g->event_head + n) % GR_NR_EVENTS;
	WRITE_ONCE(g->nr_events, g->nr_events - n);
	raw_spin_unlock_irq(&g->lock);
}

/* until there is a record, or there will be none; -ERESTARTSYS */
int gr_event_wait(struct gr_group *g)
{
	return wait_event_interruptible(g->wait, READ_ONCE(g->nr_events) || READ_ONCE(g->dead));
}

__poll_t gr_event_poll(struct gr_group *g, struct file *file, struct poll_table_struct *pt)
{
	__poll_t mask = 0;

	poll_wait(file, &g->wait, pt);
	smp_mb();	/* queued before we look; pairs with wq_has_sleeper() in gr_event_wake() */
	if (READ_ONCE(g->nr_events))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(g->permits))
		mask |= EPOLLPRI;
	if (READ_ONCE(g->dead))
		mask |= EPOLLHUP;
	return mask;
}

/* process context */
int gr_event_start(struct gr_group *g)
{
	g->events = kvcalloc(GR_NR_EVENTS, sizeof(*g->events), GFP_KERNEL_ACCOUNT);
	if (!g->events)
		return -ENOMEM;
	g->record = true;
	return 0;
}

void gr_event_stop(struct gr_group *g)
{
	g->record = false;
	kvfree(g->events);
	g->events = NULL;
}

void gr_event_init(struct gr_group *g)
{
	init_waitqueue_head(&g->wait);
	init_irq_work(&g->wait_work, gr_event_wake_fn);
	mutex_init(&g->read_lock);
}

void gr_event_fini(struct gr_group *g)
{
	irq_work_sync(&g->wait_work);
	mutex_destroy(&g->read_lock);
}

/* something to report that the caller has not seen */
static bool gr_monitor_news(struct gr_group *g, const struct gr_monitor *arg)
{
	return g->spare_needed != arg->seen ||
	       ((arg->flags & GR_MONITOR_STALLS) && g->stalls != arg->seen_stalls);
}

int gr_monitor(struct gr_group *g, struct gr_monitor *arg)
{
	bool late = false;
	int ret = 0;

	if ((arg->flags & ~GR_MONITOR_STALLS) || arg->reserved ||
	    arg->deadline < GR_NO_DEADLINE)
		return -EINVAL;
	raw_spin_lock_irq(&g->lock);
	if (g->monitor) {
		raw_spin_unlock_irq(&g->lock);
		return -EBUSY;
	}
	g->monitor = current;
	while (!gr_monitor_news(g, arg)) {
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
	arg->seen_stalls = g->stalls;
	raw_spin_unlock_irq(&g->lock);
	return ret;
}
