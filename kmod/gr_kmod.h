/* SPDX-License-Identifier: GPL-2.0 */
/*
 * gr_kmod.h - the module's own types and the calls between its files.
 *
 * LOCK ORDER: runqueue lock -> gr_group.lock, never the other way. So nothing is woken while
 * a group lock is held: choose under the lock, drop it, then wake (struct gr_wake). All of it
 * under one rcu_read_lock(), which keeps the chosen tasks from being freed in between.
 *
 * LIFETIME
 *   group   one reference for the open file (dev.c), one per thread. The last put frees it
 *           from a work item, because that takes mutexes and waits for debugfs readers.
 *   thread  one reference while attached, one while its return work is queued, one while it
 *           is on a hand-off list. Freed after an RCU grace period; it holds its task, its
 *           group and the module.
 */
#ifndef GR_KMOD_H
#define GR_KMOD_H

#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/timekeeping.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <uapi/gr.h>

/* where SETUP says the hint pages are; the mirror is at 0 */
#define GR_HINT_OFFSET (256ULL << 20)

struct file;
struct gr_group;
struct gr_thread;
struct io_uring_cmd;

struct poll_table_struct;

/* ---- stat.c: log2 histograms of nanoseconds ---- */
enum gr_hist_kind {
	GR_HIST_BLOCK_HANDOFF,	/* a thread blocked -> another runs on its P */
	GR_HIST_UNPARK_RUN,	/* UNPARK chose a thread -> it runs */
	GR_HIST_RETURN_RUN,	/* a thread that slept, queued for a P -> it runs */
	GR_HIST_PREEMPT_RUN,	/* a thread that was preempted, the same */
	GR_NR_HISTS,
};

#define GR_HIST_BUCKETS 36
struct gr_hist {
	atomic_long_t bucket[GR_HIST_BUCKETS];	/* [i]: 2^i <= ns < 2^(i+1) */
};

/* ---- shm.c: pages shared with user space ---- */
struct gr_shm {
	void *addr;
	struct page **pages;
	unsigned long nr_pages;
};

int gr_shm_alloc(struct gr_shm *shm, size_t bytes);
void gr_shm_free(struct gr_shm *shm);

struct gr_proc {
	struct gr_group *group;
	struct hrtimer slice;		/* slice.c */

	/* group->lock */
	struct gr_thread *holder;	/* RUNNING or LAZY */
	u32 state;			/* GR_P_* */
	bool polls;			/* LAZY, and its holder sleeps on the P's behalf */
	int cpu;			/* where it last ran */
	u32 handoffs;
	bool slice_on;			/* the timer is armed, or its callback will look again */
	struct gr_thread *seen;		/* at the last half slice; only compared, never followed */
	u32 seen_tick;
	u32 halves;			/* half slices with the same thread and tick */
};

struct gr_group {
	/* fixed after setup */
	refcount_t refs;
	bool ready;			/* acquire/release: everything below is set up */
	u32 id;
	u32 nr_procs;
	u32 max_threads;
	u64 slice_ns;			/* 0: no preemption */
	bool record;			/* GR_FEAT_EVENTS was asked for */
	struct mm_struct *mm;		/* who may use it: this address space ... */
	struct pid *tgid;		/* ... of this process */
	struct gr_shm mirror_shm, hint_shm;
	struct gr_mirror *mirror;
	struct gr_mirror_proc *mprocs;
	struct gr_mirror_thread *mthreads;
	struct gr_hint *hint;
	struct gr_hint_proc *hprocs;
	struct gr_hint_thread *hthreads;
	struct dentry *dir;

	struct mutex setup_lock;	/* SETUP against itself */
	struct mutex read_lock;		/* one reader takes records at a time */
	/* calls, mappings and ring requests with a file reference each: how many came and went */
	atomic_t file_held, file_dropped;
	wait_queue_head_t wait;		/* read() and poll() */
	struct irq_work wait_work;	/* wakes them: their lock may sleep on PREEMPT_RT */
	struct work_struct free_work;

	raw_spinlock_t lock;
	/* lock */
	bool dead;
	struct gr_proc *procs;
	struct gr_thread **threads;	/* by slot */
	unsigned long *slots;		/* bitmap of used slots */
	struct list_head returners;	/* slept and came back, oldest first */
	struct list_head preempted;	/* RETURNING too, but had their slice; oldest first */
	struct list_head *spares;	/* per CPU, last in first out */
	unsigned long *spare_cpus;	/* bitmap: spares[cpu] is not empty */
	u32 nr_idle, nr_lazy, nr_returners, nr_preempted, nr_spares, nr_threads;
	u32 permits;			/* wake-ups that found nobody, <= nr_procs */
	u32 spare_needed, stalls;
	struct task_struct *monitor;	/* sleeps in MONITOR */
	u64 blocks, handoffs, unblocks, preempts, wakeups, returns, events_lost;
	struct gr_event *events;	/* ring of GR_NR_EVENTS, oldest at event_head */
	u32 event_head, nr_events;

	struct gr_hist hist[GR_NR_HISTS];
};

/* gr_thread.flags */
enum {
	GR_TF_RETURN_ARMED,	/* return work is queued on the task */
	GR_TF_HANDOFF_QUEUED,	/* on a CPU's hand-off list */
	GR_TF_DEAD,		/* the task is dead: clean up, do not hand off */
	GR_TF_PREEMPT,		/* its slice is over: give the P up at the return to user mode */
};

struct gr_thread {
	refcount_t refs;
	int slot;
	struct task_struct *task;
	struct gr_group *group;
	unsigned long flags;			/* GR_TF_*, atomic bits */
	struct preempt_notifier notifier;
	struct callback_head return_work;
	struct llist_node handoff_node;
	struct hrtimer kick;			/* comes back for a thread that was let through */
	struct rcu_head rcu;
	struct io_uring_cmd *orphan;		/* uring.c: pending when the task died ... */
	struct work_struct orphan_work;		/* ... and who ends it */
	bool waiting;				/* own task only: inside one of our wait loops */

	/* group->lock */
	u32 state;				/* GR_T_* */
	int proc;
	int last_proc;
	u32 reason;				/* GR_WAKE_*; RETURNING: 0 slept, else in PARK */
	int spare_cpu;
	u64 blocked_at;				/* ns */
	u64 since;				/* ns: what led to the last wake-up, 0 unknown */
	u64 queued_at;				/* ns: RETURNING since */
	bool had_slice;				/* RETURNING: on preempted, not on returners */
	bool late_told;				/* ... and an event said that it is long */
	bool permit;				/* a directed UNPARK came before the park */
	struct io_uring_cmd *cmd;		/* pending GR_UCMD_PARK */
	struct list_head node;			/* spares[], returners or preempted */
};

/* who to wake once the lock is dropped */
#define GR_WAKE_BATCH 16
struct gr_wake {
	unsigned int nr;
	struct task_struct *task[GR_WAKE_BATCH];
};

/* outside group->lock, in the rcu_read_lock() section that began before it was taken */
void gr_wake_all(struct gr_wake *wake, bool here);

static inline void gr_wake_flush(struct gr_wake *wake, bool here)
{
	if (wake->nr)
		gr_wake_all(wake, here);
}


/* ---- token.c: who holds which P; all of it under group->lock ---- */
bool gr_proc_is_lazy(const struct gr_proc *p);
bool gr_work_for(struct gr_group *g, struct gr_proc *p);
bool gr_work_any(struct gr_group *g);
struct gr_proc *gr_proc_free_for(struct gr_group *g, struct gr_thread *t);
struct gr_proc *gr_proc_idle(struct gr_group *g, int prefer);
struct gr_proc *gr_proc_lazy(struct gr_group *g);
struct gr_proc *gr_proc_lazy_busy(struct gr_group *g);
void gr_proc_give(struct gr_group *g, struct gr_proc *p, struct gr_thread *t);
void gr_proc_lazy_begin(struct gr_group *g, struct gr_thread *t, bool polls);
void gr_proc_lazy_end(struct gr_group *g, struct gr_thread *t);
void gr_proc_release(struct gr_group *g, struct gr_thread *t, struct gr_wake *wake);
void gr_proc_cover(struct gr_group *g, struct gr_wake *wake);
void gr_thread_set_state(struct gr_group *g, struct gr_thread *t, u32 state);
void gr_spare_push(struct gr_group *g, struct gr_thread *t, int cpu);
struct gr_thread *gr_spare_near(struct gr_group *g, int cpu);
struct gr_thread *gr_spare_on(struct gr_group *g, const unsigned long *cpus, unsigned int nbits);
void gr_returner_push(struct gr_group *g, struct gr_thread *t, bool had_slice);
struct gr_thread *gr_returner_first(struct gr_group *g);
struct gr_thread *gr_next_for(struct gr_group *g, struct gr_proc *p, bool polls,
			      struct gr_wake *wake);
bool gr_wanted(struct gr_group *g, struct gr_proc *p, bool polls);
void gr_unqueue(struct gr_group *g, struct gr_thread *t);
void gr_wake_add(struct gr_group *g, struct gr_thread *t, struct gr_wake *wake);
void gr_hand_over(struct gr_group *g, struct gr_proc *p, struct gr_thread *to, u32 reason,
		  u64 since, struct gr_wake *wake);
void gr_need_spare(struct gr_group *g, struct gr_proc *p, struct gr_wake *wake);
void gr_need_another(struct gr_group *g, struct gr_wake *wake);

/* ---- group.c ---- */
struct gr_group *gr_group_new(void);
int gr_group_prepare(struct gr_group *g, u64 features);
int gr_group_check_caller(struct gr_group *g);
int gr_group_setup(struct gr_group *g, struct gr_setup *arg);
void gr_group_shutdown(struct gr_group *g);
void gr_group_put(struct gr_group *g);
void gr_queue_work(struct work_struct *work);
static inline void gr_group_get(struct gr_group *g)
{
	refcount_inc(&g->refs);
}
int gr_group_init(void);
void gr_group_exit(void);

/* ---- thread.c ---- */
int gr_thread_attach(struct gr_group *g, struct gr_attach *arg);
void gr_thread_detach(struct gr_thread *t);
void gr_thread_unlink(struct gr_group *g, struct gr_thread *t, struct gr_wake *wake);
struct gr_thread *gr_thread_current(void);
struct gr_thread *gr_thread_by_slot(struct gr_group *g, s32 slot);
void gr_thread_put(struct gr_thread *t);
static inline void gr_thread_get(struct gr_thread *t)
{
	refcount_inc(&t->refs);
}

/* ---- park.c ---- */
int gr_park(struct gr_thread *t, struct gr_park *arg, bool yield);
int gr_switch(struct gr_thread *t, struct gr_switch *arg);
bool gr_sleep_until(s64 deadline);

/* ---- unpark.c ---- */
int gr_unpark(struct gr_group *g, struct gr_unpark *arg);

/* ---- event.c ---- */
#define GR_NR_EVENTS 256
void gr_event_add(struct gr_group *g, u32 type, int slot, int proc, u32 value);
unsigned int gr_event_peek(struct gr_group *g, struct gr_event *out, unsigned int max);
void gr_event_drop(struct gr_group *g, unsigned int n);
int gr_event_wait(struct gr_group *g);
void gr_event_wake(struct gr_group *g);
__poll_t gr_event_poll(struct gr_group *g, struct file *file, struct poll_table_struct *pt);
void gr_event_init(struct gr_group *g);
int gr_event_start(struct gr_group *g);
void gr_event_stop(struct gr_group *g);
void gr_event_fini(struct gr_group *g);
int gr_monitor(struct gr_group *g, struct gr_monitor *arg);

/* ---- slice.c ---- */
void gr_slice_init(struct gr_proc *p);
void gr_slice_start(struct gr_proc *p);

/* ---- uring.c; the first only where the kernel can cancel ---- */
int gr_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);
struct io_uring_cmd *gr_uring_take(struct gr_group *g, struct gr_thread *t);
void gr_uring_done(struct gr_group *g, struct io_uring_cmd *cmd, int ret);
void gr_uring_bury(struct gr_thread *t, struct io_uring_cmd *cmd);

/* ---- notify.c ---- */
void gr_notify_thread_init(struct gr_thread *t);
void gr_return_arm(struct gr_thread *t);
bool gr_notify_is_ours(struct preempt_notifier *n);
void gr_notify_need(void);
int gr_notify_init(void);
void gr_notify_exit(void);

/* ---- dev.c, stat.c ---- */
extern const struct file_operations gr_fops;

/* something of ours has a reference to the open file; read by gr_file_is_last() */
static inline void gr_file_held(struct gr_group *g)
{
	smp_mb__before_atomic();	/* whoever sees it counted sees the reference */
	atomic_inc(&g->file_held);
}

/* ... and is about to drop it */
static inline void gr_file_dropped(struct gr_group *g)
{
	atomic_inc(&g->file_dropped);
	smp_mb__after_atomic();		/* whoever sees the reference gone sees it uncounted */
}

/* since the module was loaded; live: whose memory is not freed yet */
struct gr_counters {
	atomic_t groups_live, threads_live;
	atomic_long_t groups, threads;
};

extern struct gr_counters gr_counters;
void gr_hist_add(struct gr_group *g, enum gr_hist_kind kind, u64 since);
void gr_stat_group_add(struct gr_group *g);
/* ---- oracle.c, test builds only ---- */
#ifdef GR_ORACLE
void gr_oracle_init(struct dentry *dir);
void gr_oracle_exit(void);
#else
static inline void gr_oracle_init(struct dentry *dir) { }
static inline void gr_oracle_exit(void) { }
#endif
void gr_stat_init(void);
void gr_stat_exit(void);

#endif /* GR_KMOD_H */
