// SPDX-License-Identifier: MIT
/*
 * procs.c - how many Ps run goroutines: gr_set_procs(), and the threads that hold the others.
 *
 * The back end is set up with max_procs Ps and knows nothing of fewer. A P that is too many is
 * retired: one M holds it for good, as a thread in the runtime does, so that neither the kernel
 * nor a returner takes it. That M runs nothing. It waits in the P's ring for what was begun
 * there, timers and I/O, and makes the goroutines of it ready in the global queue.
 *
 * How it gets its holder: whoever comes from a goroutine with a retired P, or is given one, looks
 * at p->retired at its scheduling point and stays. So that an idle one is taken soon, it says that
 * it has work (pending is one too high): the back ends give away such Ps first.
 *
 * Invariants: I1 p->retired is changed, and pending with it, under procs_lock. I2 a holder shows
 * poll_state HOLDS and p->poller, so timers that are armed on its P wake it, but nobody takes it
 * for a poller that could run goroutines. I3 a holder's m->p is NULL: what it makes ready goes to
 * the global queue.
 * Order: R1 p->retired = false, then p->poller is read (set_retired()) -> A1 p->poller is stored,
 * then p->retired is read (hold_once()); both seq_cst: one of them sees the other.
 * Cost where max_procs is nr_procs and nobody calls gr_set_procs(): one branch in
 * find_runnable().
 */
#include <errno.h>

#include "netpoll.h"
#include "runq.h"
#include "sched.h"

#define HOLDS 3 /* m->poll_state */

static struct lock procs_lock;

/* Wake a thread for an idle P that is retired; for one: it sees to the next one (procs_hold()). */
static void recruit(void)
{
	for (int i = atomic_load(&sched.active_procs); i < sched.nr_procs; i++) {
		if (PEEK(park_tab.mprocs[i].state) != GR_P_IDLE)
			continue;
		/* the count moves with the wake-up, see idle.c */
		atomic_fetch_add(&sched.nr_spinning, 1);
		if (sched.ops->unpark(1) > 0)
			return;
		atomic_fetch_sub(&sched.nr_spinning, 1);
		sched_wake();
		return;
	}
}

/* with procs_lock, or before anybody runs */
void procs_set_retired(struct p *p, bool retired)
{
	struct m *m;

	__atomic_fetch_add(&p->q->pending, retired ? 1u : -1u, __ATOMIC_SEQ_CST);
	atomic_store(&p->retired, retired); /* R1 */
	m = atomic_load(&p->poller);
	if (m)
		netpoll_wake(p, m);
}

int gr_set_procs(int n)
{
	int old;

	if (!atomic_load(&sched.running))
		return -ENXIO;
	if (n < 1 || n > sched.nr_procs)
		return -EINVAL;
	rt_enter();
	lock_acquire(&procs_lock);
	old = atomic_exchange(&sched.active_procs, n);
	for (int i = n; i < old; i++)
		procs_set_retired(&sched.procs[i], true);
	for (int i = old; i < n; i++)
		procs_set_retired(&sched.procs[i], false);
	lock_release(&procs_lock);
	if (n < old)
		recruit();
	rt_exit();
	return old;
}

/* What is queued on a P that runs nothing any more goes to the others. */
static void flush(struct p *p)
{
	bool inherit, any = false;
	struct g *g;

	while ((g = runq_get_local(p, &inherit))) {
		globq_put(g);
		any = true;
	}
	if (any)
		sched_wake();
	g_fini_local(p);
}

static void wait_in_ring(struct m *m, struct p *p, int64_t deadline)
{
	int64_t again = asleep_begin(m);

	m_set_hint(m, GR_HF_RUNTIME | GR_HF_POLL); /* both: out of use, see include/uapi/gr.h */
	for (;;) {
		netpoll_wait(p, again < deadline ? again : deadline);
		if (again == GR_FOREVER || gr_now() < again)
			break;
		again = asleep_again(m);
	}
	m_set_hint(m, GR_HF_RUNTIME);
	asleep_end();
}

static void hold_once(struct m *m, struct p *p)
{
	struct g *list = NULL;
	int64_t deadline;
	int n;

	netpoll_submit(p);
	/* as in idle_poll(): until it is known, every timer counts as earlier */
	atomic_store_explicit(&m->poll_deadline, INT64_MAX, memory_order_relaxed);
	poller_set(p, m); /* A1 */
	atomic_thread_fence(memory_order_seq_cst);
	deadline = timers_next(p);
	atomic_store_explicit(&m->poll_deadline, deadline, memory_order_relaxed);
	if (atomic_load(&p->retired) && !sched_stopping() && !netpoll_ready(p))
		wait_in_ring(m, p, deadline);
	n = netpoll_harvest(p, &list);
	g_ready_list(list, n);
	if (timers_next(p) != INT64_MAX)
		timers_run(p, gr_now());
}

void procs_hold(struct m *m)
{
	struct p *p = m->p;

	if (m->spinning)
		sched_stop_spinning(m); /* woken for work, maybe: wakes another one */
	flush(p);
	atomic_store_explicit(&m->poll_p, p, memory_order_relaxed);
	atomic_store(&m->poll_state, HOLDS);
	m_hold(m, -1); /* I3 */
	recruit();
	sched_wake();
	while (atomic_load(&p->retired) && !sched_stopping())
		hold_once(m, p);
	atomic_store(&p->poller, NULL);
	atomic_store(&m->poll_state, 0);
	if (!sched_stopping())
		sched_park(m); /* the P is idle then, or we have it because there is work */
}
