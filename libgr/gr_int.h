/* SPDX-License-Identifier: MIT */
/*
 * gr_int.h - the private types G, M, P and the calls between libgr's files.
 *
 * Nothing here is installed. Fields are grouped by who may touch them.
 *
 * RUNTIME SECTIONS. Code that touches an M, a P or a runtime lock runs inside
 *	struct m *m = rt_enter();  ...  rt_exit();
 * rt_enter() stores GR_HF_RUNTIME into the thread's hint flags (from there the kernel, or the
 * monitor, leaves the P with this thread even if it sleeps), then reads the P again, for it
 * may be another one, or none, since the last time. It returns NULL on a thread that is not an
 * M (then there is nothing to protect). Sections nest. A goroutine may come back from g_park()
 * on another thread: take m again with m_self() after it, never keep it across.
 *
 * User code (the goroutine's function, callbacks, blocking library calls) never runs inside.
 */
#ifndef GR_INT_H
#define GR_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "gr.h"
#include "san.h"
#include "uapi/gr.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define CACHELINE 64
#define NOINLINE __attribute__((noinline))

/* a broken invariant: one line on stderr, then abort() */
_Noreturn void gr_throw(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* one line on stderr, prefixed "gr: " */
void gr_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define GR_CHECK(cond)                                                             \
	do {                                                                       \
		if (unlikely(!(cond)))                                             \
			gr_throw("%s:%d: %s is false", __FILE__, __LINE__, #cond); \
	} while (0)

/* A full fence right after a seq_cst read-modify-write, which on x86 is one already. */
static inline void rmw_is_fence(void)
{
#if defined(__x86_64__)
	atomic_signal_fence(memory_order_seq_cst);
#else
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* a clock without a unit, for "long enough since" */
static inline uint64_t cpu_cycles(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t t;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
	return t * 64;
#endif
}

/* Bring the cache line of p, which may be any address. gcc drops a loop that does only this. */
static inline void prefetch(const void *p)
{
	__builtin_prefetch(p);
	__asm__ volatile("" : : "r"(p));
}

/* a field that another thread, or the kernel, may write at any time: a plain load or store */
#define PEEK(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define POKE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

struct g;
struct m;
struct p;

struct stack;
struct cancel_point;
struct scope;
struct local;

/* ---- lock.c: the runtime's own lock; short sections, inside rt_enter() only ---- */
struct __attribute__((may_alias)) lock { /* also in struct gr_mutex, gr_wg */
	_Atomic uint32_t word; /* 0 free, 1 held, 2 held and somebody sleeps */
};
void lock_acquire_slow(struct lock *l);
void lock_wake(struct lock *l);

static inline bool lock_try(struct lock *l)
{
	uint32_t old = 0;

	/* lock.A1: pairs with R1 */
	return atomic_compare_exchange_strong_explicit(&l->word, &old, 1, memory_order_acquire,
						       memory_order_relaxed);
}

static inline void lock_acquire(struct lock *l)
{
	if (unlikely(!lock_try(l)))
		lock_acquire_slow(l);
}

static inline void lock_release(struct lock *l)
{
	/* lock.R1: pairs with A1 */
	uint32_t old = atomic_exchange_explicit(&l->word, 0, memory_order_release);

	GR_CHECK(old != 0);
	if (unlikely(old == 2))
		lock_wake(l);
}

/* ---- why a goroutine waits; one value per park site ---- */
enum wait_reason {
	WAIT_NONE,
	WAIT_SLEEP,
	WAIT_CHAN_SEND,
	WAIT_CHAN_RECV,
	WAIT_SELECT,
	WAIT_MUTEX,
	WAIT_RLOCK,
	WAIT_WLOCK,
	WAIT_COND,
	WAIT_SEM,
	WAIT_WG,
	WAIT_ONCE,
	WAIT_BARRIER,
	WAIT_TIMER,
	WAIT_JOIN,
	WAIT_SCOPE,
	WAIT_IO,
	NR_WAIT_REASONS,
};

enum g_status { G_DEAD, G_RUNNABLE, G_RUNNING, G_WAITING };

/* ---- G: in slabs of their own (desc.c), in three cache lines; a switch needs the first ---- */
struct g {
	/* gr_switch(): saved stack pointer; NULL while it runs, and before it has begun */
	void *sp;
	struct g *next; /* link in a queue or list; owner: that list */
	_Atomic uint8_t status; /* enum g_status */
	uint8_t wait_reason;
	uint16_t io_calls;	/* io.c: calls that did not have to wait, modulo */
	bool canary;		/* of its stack: no guard page, so look at the lowest word */
	bool cancellable;	/* fixed at spawn: somebody may cancel it */
	_Atomic bool cancelled; /* cancel.c: set under cancel_lock, never taken back */
	struct m *m;		/* the thread that runs it; valid while RUNNING */
	/* park handshake: run after the switch by whoever was switched to, see g_park() */
	bool (*commit)(struct g *, void *);
	void *commit_arg;
	int64_t wait_since; /* ns, of the P's last look at the clock; for gr_dump() */
	/* NULL: it gets one with its first turn. Kept at its end, as long as nobody needs it, g.c. */
	struct stack *stack;

	union {
		void (*fn)(void *);
		int (*result_fn)(void *); /* of scopes and tasks: returns is set */
	};
	void *arg;
	const char *name;
	uint64_t id;
	struct m *_Atomic pinned; /* pin.c: the only M that may run it, or NULL */
	uint32_t pins;		  /* pin.c: own */
	uint32_t shields;	  /* cancel.c: own */
	int io_dry;		  /* io.c: the socket that it waited for and emptied, or -1 */
	struct lock cancel_lock;
	int result;	    /* what result_fn returned */
	uint8_t nr_locals; /* local.c: own */
	bool odd;	   /* a stack of another size than the default, with it from gr_go() on */
	bool returns;
	bool started; /* it had its first turn */

	struct cancel_point *cancel_at; /* cancel_lock: what it waits in */
	/* scope.c, task.c: what it belongs to. scope_next, scope_prev: that scope's lock */
	struct scope *scope;
	struct gr_task *task;
	void (*ended)(struct g *); /* run by g at its end, in user code, outside a section; or NULL */
	struct g *scope_next, *scope_prev;
	struct scope *opened; /* scopes it opened and has not left, innermost first; cancel_lock */
	struct local *locals;	   /* local.c: own */
	struct san_g san;
};

#define G_LINES 8 /* of its stack: what is read on the way from g_park() back to its caller */
/*
 * Goroutines that are about to run, and parked long ago, maybe: ask for what a switch to them reads
 * first. One loop after the other: the CPU waits for many lines at once, if not much is between.
 */
static inline void g_prefetch_all(struct g *const *gs, int n)
{
	for (int i = 0; i < n; i++)
		prefetch(gs[i]);
	for (int i = 0; i < n; i++)
		for (int line = 0; line < G_LINES && gs[i]->sp; line++)
			prefetch((char *)gs[i]->sp + line * CACHELINE);
}

/* ---- timers (timer.c): a 4-ary heap per P ---- */
struct timer_at { /* in the heap */
	int64_t when;
	uint32_t slot;
};
union timer_slot {
	struct timer *t; /* NULL: it will not fire, its entry is still in the heap */
	intptr_t next;	 /* of a free slot: the link of the list */
};
#define TIMER_BATCH 32 /* timers that one look fires at most */
struct timer {
	int64_t when;	       /* absolute ns */
	struct p *_Atomic p;   /* whose heap; set by timer_add */
	int32_t slot;	       /* in p's table or -1; p->timer_lock */
	/* Runs under p->timer_lock, in a runtime section: claims the waiter and returns the
	 * goroutine to make ready, or NULL. */
	struct g *(*fire)(struct timer *);
	/* Not NULL: runs if fire() returned NULL, after it, without the lock, in the same runtime
	 * section. The timer must still be there then: its owner sees to that (ticker.c, I2). */
	void (*post)(struct timer *);
	struct timer *post_next;
};
static inline void timer_init(struct timer *t, struct g *(*fire)(struct timer *))
{
	*t = (struct timer){ .slot = -1, .fire = fire };
}
/* arm on the current P; inside rt_enter() on an M that holds a P */
void timer_add(struct timer *t, int64_t when);
/* the same on p, whoever holds it */
void timer_add_to(struct p *p, struct timer *t, int64_t when);
/* disarm; after return fire() is not running and will not run. True: it had not fired. */
bool timer_del(struct timer *t);
/* run what is due on p, a batch at most; ready goroutines are made ready. How many fired. */
int timers_run(struct p *p, int64_t now);
/* earliest deadline of p or INT64_MAX; any thread, no lock */
int64_t timers_next(struct p *p);
void timers_fini(struct p *p);
/* idle.c: a timer earlier than all others was armed on p while another thread polls it */
void sched_timer_earlier(struct p *p, int64_t when);

#define RUNQ_SIZE 256
#define SLICE_NS (10 * GR_MS) /* Go's value; the kernel preempts by it, we share by it */

/* ---- P ---- */
struct p {
	int id;
	struct gr_hint_proc *q; /* head, tail, runnext, tick, pending: shared with the kernel */
	struct g *_Atomic runq[RUNQ_SIZE];

	/* holder only */
	struct g *gfree; /* g.c: dead goroutines, some with their stacks */
	int nr_gfree;
	uint64_t next_id, end_id; /* numbers of goroutines that are this P's to give */
	uint32_t poll_tick; /* turns since requests were submitted */
	uint64_t clock_at;  /* cpu_cycles() at the last look at the clock for the timers */
	uint32_t rng;	   /* debug.c */
	uint32_t inherits; /* goroutines in a row that came from runnext */
	int32_t global_in; /* turns until the global queue is looked at before the own one */
	int64_t turn_at;   /* when this thread got the P: preempted goroutines wait since then */
	int64_t stamp;	   /* ns: the last look at the clock, good enough for gr_dump() */

	/* timer_lock */
	struct lock timer_lock;
	struct timer_at *heap;
	union timer_slot *slots;
	int nr_timers;	/* armed */
	int nr_heap;	/* entries; some may be of timers that will not fire */
	int cap_timers; /* of both tables */
	int purge_at;	/* I2 of timer.c: the search for those has come down to here */
	int nr_slots;		   /* that were ever in use */
	int32_t slot_free;	   /* list of those that are free: number + 1, 0 none */
	_Atomic int64_t timer_next;

	void *np; /* the I/O back end's: netpoll_uring.c, netpoll_epoll.c */
	/* the M that waits in this P's ring, or NULL */
	struct m *_Atomic poller;
	_Atomic bool retired; /* procs.c: runs no goroutines */

	/* counters: holder writes, anyone reads */
	_Atomic uint64_t nr_sched, nr_steals, nr_enters, nr_fired, nr_spawned, nr_ended;
	/* times its holder looked for another P to steal from; Ps it looked at */
	_Atomic uint64_t nr_scans, nr_looks;
	/* of its ring. begun: holder. results, ended, stolen: under the lock of its consumers.
	 * at_once: anybody, calls that did not need it */
	_Atomic uint64_t nr_io_begun, nr_io_results, nr_io_ended, nr_io_stolen, nr_io_at_once;
} __attribute__((aligned(CACHELINE)));

/* ---- M: a kernel thread ---- */
struct m {
	struct g g0;	/* the thread's own stack: the scheduler runs here */
	struct g *curg; /* the goroutine it runs or NULL */
	struct g *handed; /* turn.h: to begin on g0, for want of a stack, or NULL */
	struct p *p;	/* the P it holds, as of the last rt_enter() */
	int32_t proc;	/* p's number, which the mirror should still say; -2: rt_enter() looks */
	struct g *pin;	/* pin.c: the goroutine that is pinned to this thread, or NULL */
	int slot;	/* name in the group */
	int depth;	/* nesting of rt_enter() */
	bool spinning;	/* counted in sched.nr_spinning */
	struct gr_hint_thread *hint;
	const volatile struct gr_mirror_thread *mirror;
	int tid;
	pthread_t thread; /* joined by run.c: until then destructors of its values may run */
	_Atomic bool left; /* it runs nothing of ours any more */
	void *alt_stack;  /* crash.c */
	struct m *all_next; /* sched.ms_lock */
	uint32_t rng;	    /* own thread */
	/* idle.c: 0 not polling, 1 waits in poll_p's ring, 2 a waker counted it as spinning */
	_Atomic uint32_t poll_state;
	struct p *_Atomic poll_p;
	_Atomic int64_t poll_deadline;
	_Atomic bool poll_woken; /* netpoll_epoll.c: come out of the wait, or do not begin it */
	_Atomic uint32_t pin_word; /* pin.c: futex */
	int looks;		   /* deadlock.c */
	/* park_futex.c */
	_Atomic uint32_t park_word;
	unsigned int park_reason;
	struct m *park_next;
	int stat_fd;
	int64_t cpu_look, cpu_used; /* park_monitor.c */
};

/* ---- sched.c: what other files call ---- */
/*
 * The calling thread's M or NULL. A goroutine may continue on another thread after a switch, so
 * the compiler must not keep the address of the variable: it never sees it.
 */
extern __thread struct m *gr_tls_m
	__attribute__((tls_model("initial-exec"), visibility("hidden")));
#ifdef __x86_64__
static inline struct m *m_self(void)
{
	struct m *m;

	__asm__ volatile("movq gr_tls_m@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0"
			 : "=r"(m) : : "memory");
	return m;
}
#else
struct m *m_self(void);
#endif
struct g *g_self(void);	  /* the calling goroutine or NULL (plain thread, or on g0) */
struct m *rt_enter(void); /* see the head of this file */
void rt_exit(void);
/*
 * Make a waiting goroutine runnable. Inside rt_enter(). On an M with a P: that P's runnext,
 * elsewhere (plain thread too): the global queue. Wakes a P if one has nothing to do.
 */
void g_ready(struct g *g);
void g_ready_m(struct m *m, struct g *g); /* m: m_self() */
/* the same for a chain linked by g->next; n of them */
void g_ready_list(struct g *list, int n);
/*
 * Put the calling goroutine to sleep; inside rt_enter() with depth 1, on a goroutine. After
 * its context has been saved commit(g, arg) runs on another stack: it releases the lock that
 * protects the wait queue, from then on g_ready(g) may come from anywhere. commit returning
 * false has released it too, and g runs on soon. Comes back in a runtime section, maybe on
 * another M.
 */
void g_park(bool (*commit)(struct g *, void *), void *arg, enum wait_reason why);
/* the same where all there is to do is to release l; m: m_self(), returns what it is then */
struct m *g_park_unlock(struct m *m, struct lock *l, enum wait_reason why);

/* ---- cancel.c: level-triggered cancellation ---- */
/*
 * Where a goroutine waits, for who cancels it; on its stack, published while it sleeps. claim()
 * runs under g->cancel_lock, in a runtime section; returns the goroutine to make ready, or NULL
 * when something else was faster.
 */
struct cancel_point {
	struct g *(*claim)(struct cancel_point *);
};
/* The calling goroutine is cancelled and does not shield itself. m: m_self(), may be NULL. */
static inline bool m_cancelled(const struct m *m);
/*
 * In a commit() of g_park(), before anything can wake g: false if g is cancelled already (then
 * it must not sleep, nothing is held). Else g->cancel_lock is held; arm timers, release locks,
 * then cancel_published(). After the sleep: cancel_withdraw(). All three only if g->cancellable.
 */
bool cancel_publish(struct g *g, struct cancel_point *at);
void cancel_published(struct g *g);
void cancel_withdraw(struct g *g);
/* scope.c: cancel g, which cannot go away meanwhile, and all that it opened. Inside rt_enter(). */
void cancel_g(struct g *g);

/* ---- wait.c: one waiter, a goroutine or a plain thread ---- */
enum { W_WAITING, W_WOKEN, W_TIMEDOUT, W_CANCELLED };
struct waiter;
/* a place in a queue; a waiter has one, or, in gr_select(), one per case */
struct wnode {
	struct wnode *next, *prev;
	struct waiter *w;
	void *data; /* the queue's owner's: e.g. where the channel value lives */
	bool queued;
};
struct waiter {
	struct g *g;		/* NULL: a plain thread waits on state as a futex */
	_Atomic uint32_t state; /* W_* */
	int result;		/* the owner's: set by the waker before waiter_wake() */
	bool plain;		/* claimed by who takes it off its queue, see waitq_take() */
	struct wnode *won;	/* by whom it was claimed, see waitq_pop() */
	struct wnode node;
	struct timer timer;
	struct cancel_point cancel;
};
/* node belongs to w, with its data NULL */
void waiter_init(struct waiter *w);
static inline void waiter_init_g(struct waiter *w, struct g *g);
/* The one who turns W_WAITING into W_WOKEN may, and must, call waiter_wake(). */
bool waiter_claim(struct waiter *w);
/* Wake a claimed waiter. *w may be gone when this returns: it lives on the sleeper's stack. */
void waiter_wake(struct waiter *w);
/* the same, but of a goroutine, which the caller makes ready; NULL: a thread, and it is awake */
struct g *waiter_wake_later(struct waiter *w);
/*
 * Sleep until claimed, the deadline, or cancelled; releases l after the caller has been put to
 * sleep (the queue that holds w is protected by l). Inside rt_enter(). Returns 0 woken, or
 * -ETIMEDOUT or -ECANCELED: then w is still on the caller's queue, take it off under l.
 */
int waiter_wait(struct waiter *w, struct lock *l, int64_t deadline, enum wait_reason why);
/* the same with unlock(arg) instead of a lock */
int waiter_wait_fn(struct waiter *w, void (*unlock)(void *), void *arg, int64_t deadline,
		   enum wait_reason why);

/* FIFO of waiters; protected by the owner's lock */
struct __attribute__((may_alias)) waitq { /* also in struct gr_mutex, gr_wg, ... */
	struct wnode *head, *tail;
};
/* Anybody, without the lock: a guess. Pairs with nothing, only the lock tells. */
static inline bool waitq_looks_used(struct waitq *q)
{
	return __atomic_load_n(&q->head, __ATOMIC_RELAXED) != NULL;
}
static inline void waitq_set_head(struct waitq *q, struct wnode *n)
{
	__atomic_store_n(&q->head, n, __ATOMIC_RELAXED); /* read by waitq_looks_used() */
}

static inline void waitq_push(struct waitq *q, struct wnode *n)
{
	n->next = NULL;
	n->prev = q->tail;
	n->queued = true;
	if (q->tail)
		q->tail->next = n;
	else
		waitq_set_head(q, n);
	q->tail = n;
}

/* no-op when it was popped already */
void waitq_remove(struct waitq *q, struct wnode *n);
/* first waiter that can be claimed, claimed (w->won is its node) and taken off; NULL if none */
struct wnode *waitq_pop(struct waitq *q);
/* the same; but of a plain waiter only n->w is told, for it has one place and never leaves it */
static inline struct wnode *waitq_take(struct waitq *q)
{
	struct wnode *n = q->head;

	if (!n)
		return NULL;
	if (unlikely(!n->w->plain))
		return waitq_pop(q);
	waitq_set_head(q, n->next); /* wait.I1 */
	if (n->next)
		n->next->prev = NULL;
	else
		q->tail = NULL;
	return n;
}

/*
 * How most calls that wait go: queue on q, sleep, leave the queue if it was in vain. With *l
 * held, which is released on return. 0 (w->result is the waker's), -ETIMEDOUT, -ECANCELED.
 */
int waitq_wait(struct waitq *q, struct lock *l, struct waiter *w, int64_t deadline,
	       enum wait_reason why);

/* what waiter_wait_fn() needs, and a plain wait does not, is made there; g: g_self() */
static inline void waiter_init_g(struct waiter *w, struct g *g)
{
	w->g = g;
	atomic_init(&w->state, W_WAITING);
	w->result = 0;
	w->plain = false;
	w->won = NULL;
	w->node.w = w;
	w->node.data = NULL;
	w->node.queued = false;
}

static inline bool m_cancelled(const struct m *m)
{
	const struct g *g = m ? m->curg : NULL;

	return g && unlikely(atomic_load_explicit(&g->cancelled, memory_order_relaxed)) &&
	       !g->shields;
}

#endif /* GR_INT_H */
