// SPDX-License-Identifier: GPL-2.0
/*
 * slice.c - preemption: no goroutine computes for ever while its processor has other work.
 *
 * Who gets the P then is gr_next_for()'s answer (token.c); the stopped thread waits behind
 * whoever slept and, because a spare goes first when there is work, behind the run queues. So a
 * program in which everybody computes goes round all goroutines, not only round the threads.
 *
 * Job: a timer per processor, twice a slice, while the processor is RUNNING. The holder and the
 * P's schedule count (a hint) are compared with what they were at the last look; unchanged
 * twice means that one goroutine has run for at least a slice. If the P has something else to
 * do, the holder is marked and stopped at its return to user mode (gr_preempt() in notify.c):
 * the whole thread waits there with all its state, so nothing in C can tell it from a slow CPU.
 *
 * A thread that cannot be stopped, because it is in the runtime, in the kernel, or alone (no
 * spare is parked), keeps its P; after ten slices that is a stall, and said so (event.c).
 *
 * The timer starts with the first RUNNING and finds out by itself that its P is not RUNNING any
 * more, or out of use (its holder has both hint flags, and gives it up before it uses it again):
 * taking and giving a P pays nothing for it but a flag. It stays on the CPU that started it; a
 * holder elsewhere is reached by the IPI of task_work_add().
 *
 * Callers: token.c, under group->lock.
 * Source: Go's sysmon retakes a P after one tick of 10 ms or more; here per P, without a scan.
 */
#include <linux/hrtimer.h>

#include "compat.h"
#include "gr_kmod.h"

#define GR_STALL_HALVES 20
#define GR_LATE_SLICES 4

/* Is the same goroutine on @p as at the last look? Counts. */
static bool gr_slice_over(struct gr_group *g, struct gr_proc *p)
{
	u32 tick = READ_ONCE(g->hprocs[p - g->procs].tick);

	if (p->seen != p->holder || p->seen_tick != tick) {
		p->seen = p->holder;
		p->seen_tick = tick;
		p->halves = 0;
		return false;
	}
	p->halves++;
	return p->halves >= 2;
}

static void gr_slice_stall(struct gr_group *g, struct gr_proc *p, struct gr_wake *wake)
{
	if (p->halves % GR_STALL_HALVES)
		return;
	g->stalls++;
	WRITE_ONCE(g->mirror->stalls, g->stalls);
	gr_event_add(g, GR_EV_STALL, p->holder->slot, p - g->procs,
		     div_u64(g->slice_ns * p->halves, 2 * NSEC_PER_USEC));
	if (g->monitor)
		wake->task[wake->nr++] = g->monitor;
}

/* Of those that slept: who was preempted waits behind all others, for long if many compute. */
static void gr_slice_late(struct gr_group *g)
{
	struct gr_thread *t = list_first_entry_or_null(&g->returners, struct gr_thread, node);
	u64 waits;

	if (!t || t->late_told)
		return;
	waits = ktime_get_mono_fast_ns() - t->queued_at;
	if ((s64)waits < (s64)(GR_LATE_SLICES * g->slice_ns))
		return;
	t->late_told = true;
	gr_event_add(g, GR_EV_RETURN_LATE, t->slot, GR_NO_PROC, div_u64(waits, NSEC_PER_USEC));
}

/* the holder of @p with a reference, unless it is in the runtime: that ends by itself */
static struct gr_thread *gr_slice_victim(struct gr_group *g, struct gr_proc *p)
{
	struct gr_thread *t = p->holder;

	if (READ_ONCE(g->hthreads[t->slot].flags))
		return NULL;
	gr_thread_get(t);
	return t;
}

/* The holder of @p keeps it out of use: it runs no goroutine, and nobody else shall. */
static bool gr_slice_unused(struct gr_group *g, struct gr_proc *p)
{
	u32 both = GR_HF_RUNTIME | GR_HF_POLL;

	return (READ_ONCE(g->hthreads[p->holder->slot].flags) & both) == both;
}

static enum hrtimer_restart gr_slice_fn(struct hrtimer *timer)
{
	struct gr_proc *p = container_of(timer, struct gr_proc, slice);
	enum hrtimer_restart ret = HRTIMER_NORESTART;
	struct gr_thread *victim = NULL;
	struct gr_group *g = p->group;
	struct gr_wake wake = {};
	unsigned long irqflags;

	rcu_read_lock();
	raw_spin_lock_irqsave(&g->lock, irqflags);
	p->slice_on = p->state == GR_P_RUNNING && !g->dead && !gr_slice_unused(g, p);
	if (p->slice_on) {
		gr_slice_late(g);
		if (gr_slice_over(g, p) && gr_wanted(g, p, false)) {
			gr_slice_stall(g, p, &wake);
			victim = gr_slice_victim(g, p);
		}
		hrtimer_forward_now(timer, ns_to_ktime(g->slice_ns / 2));
		ret = HRTIMER_RESTART;
	}
	raw_spin_unlock_irqrestore(&g->lock, irqflags);
	gr_wake_flush(&wake, false);
	if (victim) {
		set_bit(GR_TF_PREEMPT, &victim->flags);
		gr_return_arm(victim);
		gr_thread_put(victim);
	}
	rcu_read_unlock();
	return ret;
}

/* @p is RUNNING */
void gr_slice_start(struct gr_proc *p)
{
	struct gr_group *g = p->group;

	if (p->slice_on || !g->slice_ns)
		return;
	lockdep_assert_held(&g->lock);
	p->slice_on = true;
	p->seen = NULL;
	hrtimer_start(&p->slice, ns_to_ktime(g->slice_ns / 2), HRTIMER_MODE_REL_PINNED_HARD);
}

void gr_slice_init(struct gr_proc *p)
{
	gr_hrtimer_setup(&p->slice, gr_slice_fn, HRTIMER_MODE_REL_PINNED_HARD);
}
