/* SPDX-License-Identifier: MIT */
/*
 * model.h - what the six schedulers have in common: one interface, and goroutines on it.
 *
 * A cell of the table runs one workload on one model, in a process of its own (cell.h): a model
 * starts, runs the workload as its first goroutine, and the process ends in it. So no model
 * needs to be stopped, and what hangs or runs out of something takes nothing else along.
 *
 * Linked with build/libgr-test.a, libgr with its inner names: libgr.a hides them. Reused as they
 * are: gr_switch(), stack.c, lock.c, futex.h, the rings and the global queue (runq.c, globq.c),
 * struct g. Not reusable, as they want libgr's own M and P: g_park() and wait.c (here: sync.c),
 * timers and network (here: poll.c), the parking back ends (here: futexes).
 */
#ifndef GRMODELS_MODEL_H
#define GRMODELS_MODEL_H

#include "gr_int.h"

enum why { WHY_NONE, WHY_CHAN, WHY_MUTEX, WHY_SEM, WHY_NET, WHY_TIMER, WHY_CALL, NR_WHY };
extern const char *const why_names[NR_WHY];

struct conf {
	int procs;	 /* threads that run goroutines: fixed in model 4, at most in 5 and 6 */
	int max_threads; /* of a pool, 0: no limit */
	long size;	 /* of the workload */
};
extern struct conf conf;

/* in the models' own memory, all zero to begin with; gr: what libgr has for it */
struct msem {
	union {
		struct {
			struct lock lock;
			long count;
			struct mwait *head, *tail;
		};
		struct gr_sem gr;
		struct gr_mutex mutex;
	};
};
struct mchan { /* of longs, unbuffered */
	union {
		struct {
			struct lock lock;
			struct mwait *head, *tail; /* all senders, or all receivers */
			bool senders;
		};
		struct gr_chan *gr;
	};
};

struct counters {
	long threads;	/* that run goroutines, or did */
	long scans;	/* times a thread looked for a queue to steal from */
	long looks;	/* queues it looked at */
	long steals;	/* times it found something */
	double lock_ns; /* spent waiting for the lock of the shared queue */
};

/* All but start() are called by a goroutine of the model. */
struct model {
	const char *name, *title;
	bool steals;
	/* The shell's name for the parking back end: "futex", "kmod"; NULL: not libgr. */
	const char *backend;
	void (*start)(void (*fn)(void *), void *arg); /* does not return; failed: cell_fail() */
	int (*spawn)(void (*fn)(void *), void *arg);  /* -EAGAIN no thread, -ENOMEM */
	void (*yield)(void);
	/* the five ways to block, and a semaphore */
	void (*chan_init)(struct mchan *c);
	void (*chan_send)(struct mchan *c, long value);
	long (*chan_recv)(struct mchan *c);
	void (*mutex_lock)(struct msem *m); /* begins unlocked */
	void (*mutex_unlock)(struct msem *m);
	void (*sem_acquire)(struct msem *s); /* begins with 0 */
	void (*sem_release)(struct msem *s);
	void (*sleep)(int64_t ns);
	ssize_t (*read)(int fd, void *buf, size_t n); /* of a socket; as read(), -errno */
	void (*call)(void (*fn)(void *), void *arg);  /* fn(arg) makes a blocking system call */
	/* What goroutines do now, one line. In a signal handler. */
	int (*states)(char *buf, size_t n);
	void (*count)(struct counters *c);
};
extern const struct model one_to_one, n_to_one, pool, shared_queue, distributed, mpn, mpn_kmod;
extern const struct model *const models[];
extern const int nr_models;
extern const struct model *model; /* this process's */

#endif /* GRMODELS_MODEL_H */
