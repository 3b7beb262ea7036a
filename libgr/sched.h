/* SPDX-License-Identifier: MIT */
/*
 * sched.h - the state of the one runtime, and the calls between the scheduler's files:
 * sched.c (find work, run it), idle.c (spin, poll, park, wake), g.c (goroutines), m.c (threads),
 * run.c (start and stop).
 */
#ifndef GR_SCHED_H
#define GR_SCHED_H

#include "park.h"

struct sched {
	/* fixed while the runtime runs */
	const struct park_ops *ops;
	int nr_procs; /* how many there are; most that gr_set_procs() may ask for */
	bool alone; /* one P, for good: nobody steals, nobody else can be woken; not shuffled */
	bool shuffle; /* debug.c */
	int max_threads;
	size_t stack_size;
	struct p *procs;

	_Atomic bool running;  /* gr_go() from plain threads is welcome */
	_Atomic bool stopping; /* Ms leave at their next scheduling point */
	_Atomic uint64_t next_id;
	_Atomic int nr_gs; /* without those that Ps counted: g_count() */
	_Atomic int nr_ms; /* a futex: gr_run() waits for 0 */
	_Atomic int active_procs; /* the first so many run goroutines, see procs.c */
	_Atomic int nr_pinned; /* Ms with a pinned goroutine */
	_Atomic int odd; /* those, and one when stopping: who goes quick looks closer, turn.h */

	struct lock globq_lock;

	struct lock ms_lock;
	struct m *ms;

	/* idle.c */
	_Atomic int nr_spinning __attribute__((aligned(CACHELINE)));
	_Atomic int nr_polling; /* Ms with poll_state 1 */

	/* deadlock.c */
	_Atomic int nr_asleep; /* Ms that sleep without a goroutine, and not in a ring */
	_Atomic uint64_t wakes;
};
extern struct sched sched;

/* ---- sched.c ---- */
/* The loop of an M, on its own stack, until the runtime stops. */
void sched_loop(struct m *m);
void m_set_self(struct m *m);
/* make m->p what the backend says */
void m_set_proc(struct m *m, int proc);
/* the same without a look at the clock; proc -1: none */
static inline void m_hold(struct m *m, int proc)
{
	m->p = proc < 0 ? NULL : &sched.procs[proc];
	m->proc = m->p && !sched.shuffle ? proc : -2;
}
static inline bool sched_stopping(void)
{
	return atomic_load_explicit(&sched.stopping, memory_order_acquire);
}

/* m's hint flags, GR_HF_*: whether its P may be taken; m is the calling thread's */
static inline void m_set_hint(struct m *m, uint32_t flags)
{
	/* release: what was written into the P is visible before somebody may take it */
	atomic_store_explicit((_Atomic uint32_t *)&m->hint->flags, flags, memory_order_release);
	/* our own context switch, or a membarrier, makes this a fence for the one who decides */
	atomic_signal_fence(memory_order_seq_cst);
}

/* ---- deadlock.c ---- */
/* helpers: threads of the runtime that are no Ms, gr_run()'s caller among them */
void deadlock_start(int helpers);
void deadlock_stop(void);
/* m is about to sleep. Returns when it should wake, to call asleep_again(). */
int64_t asleep_begin(struct m *m);
int64_t asleep_again(struct m *m);
/* It runs again. */
void asleep_end(void);

/* ---- run.c ---- */
/* the first goroutine has ended, or run_end() was called */
bool run_ended(void);
/* end the runtime; gr_run() returns result. In a runtime section. */
void run_end(int result);
/*
 * Nothing of a runtime is left, or by now can be given back. -EBUSY: threads of the last one are,
 * or one runs. By a thread that runs no goroutines.
 */
int run_clear(void);

/* ---- pin.c ---- */
/* m's pinned goroutine has parked: until its turn comes. Returns it; NULL: the runtime stops. */
struct g *pin_wait(struct m *m);
/* g, taken from a queue, is another M's: wake that one */
void pin_hand(struct g *g);
/* the pinned goroutine that m runs ends */
void pin_end(struct m *m);
/* whoever waits, when the runtime stops */
void pin_stop(void);

/* ---- procs.c ---- */
void procs_set_retired(struct p *p, bool retired);
/* m's P is retired: hold it until it is wanted again. Comes back with another P, or none. */
void procs_hold(struct m *m);

/* ---- idle.c ---- */
/* give the P up, if m has one, and sleep until there is something to do */
void sched_park(struct m *m);
/* A thread waits for a P and there is none idle: one that only polls is good enough. */
void sched_wake_for_returner(void);
/* Work was published: let a P that has nothing to do look for it. */
void sched_wake(void);
/* the same, where publishing ended with a full fence */
void sched_wake_fenced(void);
/* This M found work while it counted as spinning. */
void sched_stop_spinning(struct m *m);
/* steal; NULL when there is nothing */
struct g *sched_spin(struct m *m);
/* Nothing to do: poll or park until there may be. */
void sched_idle(struct m *m);
/* m is going to wait in p's ring; seq_cst */
void poller_set(struct p *p, struct m *m);
/* every poller out of its ring, when the runtime stops */
void sched_wake_pollers(void);

/* ---- sched.c, for g.c ---- */
/* last thing on it: the goroutine has ended */
_Noreturn void sched_ended(struct m *m, struct g *g);

/* ---- g.c ---- */
/* p's cache has a stack for the next one that has none: nothing must be asked for */
static inline bool g_has_stack(struct p *p)
{
	return p->gfree && p->gfree->stack;
}
/* g's first turn, on p, and it has no stack yet */
void g_start(struct p *p, struct g *g);
/* after the switch away from a goroutine that ended */
void g_free_local(struct m *m, struct g *g);
void g_fini_local(struct p *p);
/* goroutines alive; about, while they come and go */
int g_count(void);

/* ---- m.c ---- */
/* Start another thread; -EAGAIN at the limit, which is warned of once. */
int m_start(void);
/* the body of the monitor thread */
void *m_monitor(void *unused);

#endif /* GR_SCHED_H */
