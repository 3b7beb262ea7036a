// SPDX-License-Identifier: MIT
/*
 * sync.c - channels, mutexes and semaphores of models 1 to 5, on block() and ready() of a model.
 *
 * Whoever is woken has what it waited for: it is handed over under the object's lock, so nobody
 * tries again. A waiter stands on the stack of its goroutine, which sleeps.
 */
#include "gor.h"

struct mwait {
	struct mwait *next;
	struct gor *g;
	long value;
};

static void push(struct mwait **head, struct mwait **tail, struct mwait *w)
{
	w->next = NULL;
	if (*head)
		(*tail)->next = w;
	else
		*head = w;
	*tail = w;
}

static struct mwait *pop(struct mwait **head)
{
	struct mwait *w = *head;

	if (w)
		*head = w->next;
	return w;
}

void sync_chan_init(struct mchan *c)
{
	*c = (struct mchan){ .head = NULL };
}

/* NULL, and c->lock is released: the caller waited. Else the partner, locked. */
static struct mwait *meet(struct mchan *c, struct mwait *me, bool sender)
{
	lock_acquire(&c->lock);
	if (c->head && c->senders != sender)
		return pop(&c->head);
	c->senders = sender;
	me->g = gor_self();
	push(&c->head, &c->tail, me);
	kern.block(&c->lock, WHY_CHAN);
	return NULL;
}

void sync_chan_send(struct mchan *c, long value)
{
	struct mwait me = { .value = value }, *w = meet(c, &me, true);
	struct gor *g;

	if (!w)
		return;
	w->value = value;
	g = w->g;
	lock_release(&c->lock);
	kern.ready(g);
}

long sync_chan_recv(struct mchan *c)
{
	struct mwait me = { .value = 0 }, *w = meet(c, &me, false);
	struct gor *g;
	long value;

	if (!w)
		return me.value;
	value = w->value;
	g = w->g;
	lock_release(&c->lock);
	kern.ready(g);
	return value;
}

/* one more than s->count may be had: a mutex begins with 1 */
static void acquire(struct msem *s, int more, enum why why)
{
	struct mwait me;

	lock_acquire(&s->lock);
	if (s->count + more > 0) {
		s->count--;
		lock_release(&s->lock);
		return;
	}
	me.g = gor_self();
	push(&s->head, &s->tail, &me);
	kern.block(&s->lock, why);
}

void sync_sem_release(struct msem *s)
{
	struct mwait *w;
	struct gor *g;

	lock_acquire(&s->lock);
	w = pop(&s->head);
	if (!w)
		s->count++;
	g = w ? w->g : NULL;
	lock_release(&s->lock);
	if (g)
		kern.ready(g);
}

void sync_sem_acquire(struct msem *s)
{
	acquire(s, 0, WHY_SEM);
}

void sync_mutex_lock(struct msem *m)
{
	acquire(m, 1, WHY_MUTEX);
}

void sync_mutex_unlock(struct msem *m)
{
	sync_sem_release(m);
}
