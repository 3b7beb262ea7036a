// SPDX-License-Identifier: MIT
/*
 * cancel.c - level-triggered cancellation of a goroutine.
 *
 * Job: the flag, the wait it must end, and what a goroutine asks about itself. Not here: who is
 * cancelled together (scope.c, task.c), what a cancelled wait leaves behind (wait.c, op.h).
 * Callers: cancel_mark(): any thread in a runtime section, for a goroutine that cannot go away
 * (its scope's lock or its task's keeps it). The rest: the goroutine itself.
 *
 *	goroutine's commit(), after the switch	canceller
 *	  lock cancel_lock			  lock cancel_lock
 *	  cancelled? do not sleep		  cancelled = true
 *	  cancel_at = where			  claim(cancel_at): the sleeper is ours
 *	  arm timer, release locks		  unlock; scope.c: all below it
 *	  unlock				  make it ready
 *
 * Invariants: I1 cancel_at is not NULL only while its goroutine sleeps: a sleeper that was woken
 * takes it back under cancel_lock before it touches anything else, so the canceller never looks
 * at a stack that has gone on. I2 a goroutine that nobody can cancel (cancellable is false)
 * pays one branch. I3 the flag is never taken back; a shield only hides it.
 * Locks: lock of the queue it waits on -> cancel_lock -> p->timer_lock. From a cancel_lock the
 * walk goes on to locks of scopes (scope.c): no such lock may be held where its owner parks.
 */
#include <errno.h>

#include "gr_int.h"
#include "scope.h"

bool cancel_publish(struct g *g, struct cancel_point *at)
{
	lock_acquire(&g->cancel_lock);
	if (atomic_load_explicit(&g->cancelled, memory_order_relaxed) && !g->shields) {
		lock_release(&g->cancel_lock);
		return false;
	}
	g->cancel_at = at;
	return true;
}

void cancel_published(struct g *g)
{
	lock_release(&g->cancel_lock);
}

void cancel_withdraw(struct g *g)
{
	lock_acquire(&g->cancel_lock);
	g->cancel_at = NULL;
	lock_release(&g->cancel_lock);
}

bool cancel_mark(struct g *g, struct g_list *ready)
{
	struct g *sleeper = NULL;

	/* relaxed: under cancel_lock; m_cancelled() reads a flag that stands for nothing else */
	if (atomic_load_explicit(&g->cancelled, memory_order_relaxed))
		return false;
	atomic_store_explicit(&g->cancelled, true, memory_order_relaxed);
	/* shields are g's own, and do not change while it sleeps: I1 */
	if (g->cancel_at && !g->shields)
		sleeper = g->cancel_at->claim(g->cancel_at);
	if (sleeper) {
		sleeper->next = ready->first;
		ready->first = sleeper;
		ready->n++;
	}
	return true;
}

int gr_cancelled(void)
{
	return m_cancelled(m_self()) ? -ECANCELED : 0;
}

int gr_shield_begin(void)
{
	struct g *g = g_self();

	if (!g)
		return -EPERM;
	g->shields++;
	return 0;
}

int gr_shield_end(void)
{
	struct g *g = g_self();

	if (!g || !g->shields)
		return -EPERM;
	g->shields--;
	return 0;
}
