// SPDX-License-Identifier: GPL-2.0
/*
 * notify.c - how the module learns that a thread sleeps, wakes and dies.
 *
 *   gr_sched_out()      runqueue lock held, interrupts off. Marks a sleeping thread LAZY and
 *                       asks for the hand-off handler. May not wake, sleep, allocate, print,
 *                       touch user memory, nor add task work.
 *   gr_handoff_irq()    hard interrupt on the same CPU, as soon as the switch is over: gives
 *                       the processor to a returner or a spare, and buries dead threads.
 *   gr_sched_in()       no runqueue lock, interrupts on, preemption off. Takes a LAZY
 *                       processor up again, or arms the return work.
 *   gr_return_work()    task context, on the way to user mode, before one user instruction:
 *                       takes a processor or waits for one.
 *                       A thread whose slice is over (slice.c) gives its own away there.
 *   gr_kick()           hard interrupt, shortly after a thread was let through without a
 *                       processor: if it is still on this CPU, arms the return work again.
 *
 * The life of a block:
 *
 *	A: read() sleeps                      B: parked spare
 *	  gr_sched_out: RUNNING -> LAZY
 *	  gr_handoff_irq: work and a spare -> A BLOCKED, B RUNNING, wake B
 *	                                        returns from PARK, runs goroutines
 *	  data comes, A is woken
 *	  gr_sched_in: BLOCKED -> arm
 *	  read() finishes, gr_return_work:
 *	    a free processor? take it. Else RETURNING: sleep
 *	                                        parks or yields: its P goes to A
 *	  A runs its first user instruction
 *
 * The callback must not add itself again: task_work_run() loops until its list is empty. So on
 * a signal, and for a system call that will restart (the thread is about to sleep again), it
 * lets the thread go and leaves a timer behind.
 */
#include <linux/irq_work.h>
#include <linux/percpu.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <asm/syscall.h>

#include "compat.h"
#include "gr_kmod.h"
#include "trace.h"

#define GR_KICK_NS (50 * NSEC_PER_USEC)

struct gr_handoff_cpu {
	struct llist_head list;
	struct irq_work work;
};

static DEFINE_PER_CPU(struct gr_handoff_cpu, gr_handoff_cpus);

void gr_wake_all(struct gr_wake *wake, bool here)
{
	unsigned int i;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "gr: woken tasks may be freed");
	for (i = 0; i < wake->nr; i++)
		gr_wake_task(wake->task[i], here && i == 0);
	wake->nr = 0;
}

/* the thread belongs to a program that is gone, or to a group that is */
static bool gr_thread_is_stray(struct gr_thread *t)
{
	return current->mm != t->group->mm || READ_ONCE(t->group->dead);
}

/* ---- going to sleep ---- */

static void gr_handoff_queue(struct gr_thread *t)
{
	struct gr_handoff_cpu *h = this_cpu_ptr(&gr_handoff_cpus);

	if (test_and_set_bit(GR_TF_HANDOFF_QUEUED, &t->flags))
		return;
	gr_thread_get(t);
	llist_add(&t->handoff_node, &h->list);
	irq_work_queue(&h->work);
}

static void gr_block(struct gr_thread *t)
{
	struct gr_group *g = t->group;
	bool handoff = false, polls;
	u32 hint;

	raw_spin_lock(&g->lock);
	hint = READ_ONCE(g->hthreads[t->slot].flags);
	if (t->state == GR_T_RUNNING && !g->dead && !(hint & GR_HF_RUNTIME)) {
		polls = hint & GR_HF_POLL;
		t->blocked_at = ktime_get_mono_fast_ns();
		gr_proc_lazy_begin(g, t, polls);
		handoff = gr_wanted(g, &g->procs[t->proc], polls);
		trace_block(t->slot, t->proc, handoff);
	}
	raw_spin_unlock(&g->lock);
	if (handoff)
		gr_handoff_queue(t);
}

static void gr_sched_out(struct preempt_notifier *n, struct task_struct *next)
{
	struct gr_thread *t = container_of(n, struct gr_thread, notifier);

	if (unlikely(READ_ONCE(current->__state) == TASK_DEAD)) {
		set_bit(GR_TF_DEAD, &t->flags);
		gr_handoff_queue(t);
		return;
	}
	if (t->waiting || READ_ONCE(t->state) != GR_T_RUNNING || gr_current_runnable())
		return;
	gr_block(t);
}

static void gr_handoff(struct gr_thread *t, struct gr_wake *wake)
{
	struct gr_group *g = t->group;
	struct gr_thread *to;
	struct gr_proc *p;

	lockdep_assert_held(&g->lock);
	if (t->state != GR_T_LAZY || g->dead)
		return;
	p = &g->procs[t->proc];
	to = gr_next_for(g, p, p->polls, wake);
	if (!to)
		return;
	gr_hand_over(g, p, to, GR_WAKE_HANDOFF, t->blocked_at, wake);
}

static void gr_handoff_irq(struct irq_work *work)
{
	struct gr_handoff_cpu *h = container_of(work, struct gr_handoff_cpu, work);
	struct llist_node *list = llist_del_all(&h->list);
	struct gr_thread *t, *next;

	rcu_read_lock();
	llist_for_each_entry_safe(t, next, list, handoff_node) {
		struct gr_group *g = t->group;
		struct io_uring_cmd *cmd = NULL;
		struct gr_wake wake = {};
		unsigned long irqflags;
		bool dead = false;

		clear_bit(GR_TF_HANDOFF_QUEUED, &t->flags);
		/* before the state is looked at: a block after this queues anew */
		smp_mb__after_atomic();
		raw_spin_lock_irqsave(&g->lock, irqflags);
		if (test_bit(GR_TF_DEAD, &t->flags)) {
			dead = t->state != GR_T_NONE;
			if (dead) {
				cmd = gr_uring_take(g, t);
				gr_thread_unlink(g, t, &wake);
			}
		} else {
			gr_handoff(t, &wake);
		}
		raw_spin_unlock_irqrestore(&g->lock, irqflags);
		gr_wake_flush(&wake, true);
		gr_uring_bury(t, cmd);
		if (dead)
			gr_thread_put(t);	/* the reference of being attached */
		gr_thread_put(t);
	}
	rcu_read_unlock();
}

/* ---- coming back ---- */

/* @t looks at its state before its next user instruction. Any context, no lock held. */
void gr_return_arm(struct gr_thread *t)
{
	if (test_and_set_bit(GR_TF_RETURN_ARMED, &t->flags))
		return;
	gr_thread_get(t);
	if (task_work_add(t->task, &t->return_work, GR_TWA_RESUME)) {
		/* past exit_task_work(): the last context switch cleans up */
		clear_bit(GR_TF_RETURN_ARMED, &t->flags);
		gr_thread_put(t);
	}
}

static void gr_sched_in(struct preempt_notifier *n, int cpu)
{
	struct gr_thread *t = container_of(n, struct gr_thread, notifier);
	struct gr_group *g = t->group;
	unsigned long irqflags;

	if (t->waiting)
		return;
	if (READ_ONCE(t->state) == GR_T_LAZY) {
		raw_spin_lock_irqsave(&g->lock, irqflags);
		if (t->state == GR_T_LAZY)
			gr_proc_lazy_end(g, t);
		raw_spin_unlock_irqrestore(&g->lock, irqflags);
	}
	if (READ_ONCE(t->state) == GR_T_BLOCKED || gr_thread_is_stray(t))
		gr_return_arm(t);
}

/* The system call was interrupted without a signal to serve: it will start again and sleep. */
static bool gr_syscall_restarts(void)
{
	struct pt_regs *regs = current_pt_regs();

	if (syscall_get_nr(current, regs) < 0)
		return false;
	switch (syscall_get_error(current, regs)) {
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
	case -ERESTARTNOHAND:
	case -ERESTART_RESTARTBLOCK:
		return true;
	}
	return false;
}

/*
 * The thread will not be in goroutine code for long: it serves a signal, its system call starts
 * again, or a debugger steps it, who may have stopped whoever has the processor.
 */
static bool gr_passes_through(void)
{
	return signal_pending(current) || gr_syscall_restarts() ||
	       test_thread_flag(TIF_SINGLESTEP);
}

/* Sleep until some thread hands us its processor. True: got one. In an RCU read section. */
static bool gr_return_sleep(struct gr_group *g, struct gr_thread *t, bool had_slice,
			    struct gr_wake *wake)
	__must_hold(&g->lock)
{
	bool got;

	lockdep_assert_held(&g->lock);
	t->reason = 0;	/* not in PARK: a directed UNPARK is for the next one */
	gr_returner_push(g, t, had_slice);
	trace_return_wait(t->slot);
	t->waiting = true;
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		raw_spin_unlock_irq(&g->lock);
		gr_wake_flush(wake, true);
		rcu_read_unlock();
		schedule();
		rcu_read_lock();
		raw_spin_lock_irq(&g->lock);
		got = t->state == GR_T_RUNNING;
		if (got)
			break;
		if (g->dead || signal_pending(current)) {
			gr_unqueue(g, t);
			gr_thread_set_state(g, t, GR_T_BLOCKED);
			break;
		}
	}
	__set_current_state(TASK_RUNNING);
	t->waiting = false;
	if (got) {
		trace_return_run(t->slot, t->proc);
		gr_hist_add(g, had_slice ? GR_HIST_PREEMPT_RUN : GR_HIST_RETURN_RUN, t->queued_at);
		gr_hist_add(g, GR_HIST_BLOCK_HANDOFF, t->since);
	}
	return got;
}

/*
 * The slice is over: the processor goes on with another thread. False: with nobody, or this
 * thread is about to stop by itself.
 */
static bool gr_preempt(struct gr_group *g, struct gr_thread *t, struct gr_wake *wake)
{
	struct gr_proc *p = &g->procs[t->proc];
	struct gr_thread *to = NULL;

	if (!gr_passes_through())
		to = gr_next_for(g, p, false, wake);
	if (!to)
		return false;
	g->preempts++;
	WRITE_ONCE(g->mirror->preempts, g->preempts);
	trace_preempt(t->slot, to->slot, t->proc);
	p->cpu = raw_smp_processor_id();
	gr_hand_over(g, p, to, GR_WAKE_HANDOFF, 0, wake);
	return true;
}

/* @t needs a processor. True: look again soon, it goes on without one. */
static bool gr_return_wait(struct gr_group *g, struct gr_thread *t, u32 hint,
			   bool had_slice, struct gr_wake *wake)
{
	struct gr_proc *p = gr_proc_free_for(g, t);

	if (p) {
		gr_proc_give(g, p, t);
	} else {
		if (hint & GR_HF_POLL)	/* looks at the mirror itself */
			return false;
		if (gr_passes_through() || !gr_return_sleep(g, t, had_slice, wake))
			return !g->dead;
	}
	g->unblocks++;
	WRITE_ONCE(g->mirror->unblocks, g->unblocks);
	trace_unblock(t->slot, t->proc);
	return false;
}

static void gr_return(struct gr_thread *t)
{
	bool kick = false, slice = test_and_clear_bit(GR_TF_PREEMPT, &t->flags);
	struct gr_group *g = t->group;
	struct gr_wake wake = {};
	u32 hint;

	rcu_read_lock();
	raw_spin_lock_irq(&g->lock);
	g->returns++;
	WRITE_ONCE(g->mirror->returns, g->returns);
	hint = READ_ONCE(g->hthreads[t->slot].flags);
	slice = slice && t->state == GR_T_RUNNING && !hint && !g->dead && gr_preempt(g, t, &wake);
	/* runtime code without a P gave it up itself, and asks for one with PARK */
	if (t->state == GR_T_BLOCKED && !g->dead && !(hint & GR_HF_RUNTIME))
		kick = gr_return_wait(g, t, hint, slice, &wake);
	raw_spin_unlock_irq(&g->lock);
	gr_wake_flush(&wake, true);
	rcu_read_unlock();
	if (kick)
		hrtimer_start(&t->kick, GR_KICK_NS, HRTIMER_MODE_REL_PINNED_HARD);
}

static void gr_return_work(struct callback_head *work)
{
	struct gr_thread *t = container_of(work, struct gr_thread, return_work);

	clear_bit(GR_TF_RETURN_ARMED, &t->flags);
	if (READ_ONCE(t->state) == GR_T_NONE)
		;	/* detached since */
	else if ((current->flags & PF_EXITING) || gr_thread_is_stray(t))
		gr_thread_detach(t);
	else if (!fatal_signal_pending(current))
		gr_return(t);
	gr_thread_put(t);
}

/* Off this CPU gr_sched_in() arms the work, so only the running case is ours. */
static enum hrtimer_restart gr_kick(struct hrtimer *timer)
{
	struct gr_thread *t = container_of(timer, struct gr_thread, kick);

	if (current == t->task && !t->waiting && READ_ONCE(t->state) == GR_T_BLOCKED &&
	    !(current->flags & PF_EXITING))
		gr_return_arm(t);
	return HRTIMER_NORESTART;
}

/* ---- set-up ---- */

static struct preempt_ops gr_preempt_ops = {
	.sched_in = gr_sched_in,
	.sched_out = gr_sched_out,
};

bool gr_notify_is_ours(struct preempt_notifier *n)
{
	return n->ops == &gr_preempt_ops;
}

void gr_notify_thread_init(struct gr_thread *t)
{
	preempt_notifier_init(&t->notifier, &gr_preempt_ops);
	init_task_work(&t->return_work, gr_return_work);
	gr_hrtimer_setup(&t->kick, gr_kick, HRTIMER_MODE_REL_PINNED_HARD);
}

/*
 * The kernel calls preempt notifiers only while a static key is on; switching it patches the
 * scheduler's text on all CPUs. So it goes on with the first SETUP, and off when the module
 * goes: a program that sets up groups in a loop must not patch in a loop, and a module that
 * nobody uses costs nothing. From the first use on an unattached task pays one taken branch
 * and one load per context switch.
 */
static DEFINE_MUTEX(gr_key_lock);
static bool gr_key_on;	/* gr_key_lock */

/* process context */
void gr_notify_need(void)
{
	mutex_lock(&gr_key_lock);
	if (!gr_key_on)
		preempt_notifier_inc();
	gr_key_on = true;
	mutex_unlock(&gr_key_lock);
}

int gr_notify_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct gr_handoff_cpu *h = per_cpu_ptr(&gr_handoff_cpus, cpu);

		init_llist_head(&h->list);
		h->work = IRQ_WORK_INIT_HARD(gr_handoff_irq);
	}
	return 0;
}

void gr_notify_exit(void)
{
	int cpu;

	if (gr_key_on)
		preempt_notifier_dec();
	for_each_possible_cpu(cpu)
		irq_work_sync(&per_cpu_ptr(&gr_handoff_cpus, cpu)->work);
	synchronize_rcu_tasks();
}
