/* SPDX-License-Identifier: MIT */
/*
 * gor.h - a goroutine of models 1 to 5, what it does now, and what it waits with.
 *
 * A model gives two functions (struct kern); sync.c makes channels, mutexes and semaphores of
 * them, thread.c and co.c the other ways to block.
 */
#ifndef GRMODELS_GOR_H
#define GRMODELS_GOR_H

#include "model.h"

enum state { ST_DEAD, ST_RUNNABLE, ST_RUNNING, ST_BLOCKED, NR_STATES };

struct gor {
	struct g g; /* of libgr, used as: sp, next, stack, fn, arg */
	_Atomic uint8_t state, why;
	_Atomic uint32_t word; /* a model of threads: 1 it may go on; a futex */
};

static inline struct gor *gor_of(struct g *g)
{
	return container_of(g, struct gor, g);
}

/* first in, first out; protected by its owner */
struct glist {
	struct g *head, *tail;
	long n;
};
static inline void glist_push(struct glist *l, struct gor *g)
{
	g->g.next = NULL;
	if (l->head)
		l->tail->next = &g->g;
	else
		l->head = &g->g;
	l->tail = &g->g;
	l->n++;
}
static inline struct gor *glist_pop(struct glist *l)
{
	struct g *g = l->head;

	if (!g)
		return NULL;
	l->head = g->next;
	l->n--;
	return gor_of(g);
}

/* NULL: no memory. stacks: each goes with the promise of a stack (stack.h). Any thread. */
struct gor *gor_new(void (*fn)(void *), void *arg, bool stacks);
void gor_free(struct gor *g);
/* the calling thread ends: what it kept goes to the others */
void gor_thread_end(void);
/* the one that the calling thread runs */
struct gor *gor_self(void);
void gor_set_self(struct gor *g);
void gor_state(struct gor *g, enum state state, enum why why);
/* model.h, states() */
int gor_states(char *buf, size_t n);

/* what the running model does */
struct kern {
	/* The calling goroutine sleeps until ready(); l, held, is released when it can be woken. */
	void (*block)(struct lock *l, enum why why);
	void (*ready)(struct gor *g);
};
extern struct kern kern;

/* ---- sync.c: for struct model ---- */
void sync_chan_init(struct mchan *c);
void sync_chan_send(struct mchan *c, long value);
long sync_chan_recv(struct mchan *c);
void sync_mutex_lock(struct msem *m);
void sync_mutex_unlock(struct msem *m);
void sync_sem_acquire(struct msem *s);
void sync_sem_release(struct msem *s);
#define SYNC_OPS                                                                               \
	.chan_init = sync_chan_init, .chan_send = sync_chan_send, .chan_recv = sync_chan_recv, \
	.mutex_lock = sync_mutex_lock, .mutex_unlock = sync_mutex_unlock,                      \
	.sem_acquire = sync_sem_acquire, .sem_release = sync_sem_release, .states = gor_states

/* ---- thread.c: a goroutine that has a thread, models 1 and 3 ---- */
extern const struct kern thread_kern;
/* A thread with the stack size of a goroutine, that nobody joins. -errno */
int thread_start(void *(*fn)(void *), void *arg);
/* run g on the calling thread until it ends */
void thread_run(struct gor *g);
void thread_yield(void);
void thread_sleep(int64_t ns);
ssize_t thread_read(int fd, void *buf, size_t n);
/* also where a system call stops the thread and whatever else it could have run: 2 and 4 */
void plain_call(void (*fn)(void *), void *arg);
#define THREAD_OPS \
	.yield = thread_yield, .sleep = thread_sleep, .read = thread_read, .call = plain_call

#endif /* GRMODELS_GOR_H */
