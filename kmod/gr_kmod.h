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
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/workqueue.h>

#include <uapi/gr.h>

/* where SETUP says the hint pages are; the mirror is at 0 */
#define GR_HINT_OFFSET (256ULL << 20)

struct gr_group;
struct gr_thread;

/* ---- stat.c: log2 histograms of nanoseconds ---- */
enum gr_hist_kind {
	GR_HIST_BLOCK_HANDOFF,	/* a thread blocked -> another runs on its P */
	GR_HIST_UNPARK_RUN,	/* UNPARK chose a thread -> it runs */
	GR_HIST_RETURN_RUN,	/* a returner queued -> it runs */
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
	/* group->lock */
	struct gr_thread *holder;	/* RUNNING or LAZY */
	u32 state;			/* GR_P_* */
	bool polls;			/* LAZY, and its holder sleeps on the P's behalf */
	int cpu;			/* where it last ran */
	u32 handoffs;
};

struct gr_group {
	/* fixed after setup */
	refcount_t refs;
	bool ready;			/* acquire/release: everything below is set up */
	u32 id;
	u32 nr_procs;
	u32 max_threads;
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
	atomic_t nr_calls;		/* ioctls in progress, each holds a file reference */
	atomic_t nr_vmas;		/* mappings, each holds a file reference */
	struct work_struct free_work;

	raw_spinlock_t lock;
	/* lock */
	bool dead;
	struct gr_proc *procs;
	struct gr_thread **threads;	/* by slot */
	unsigned long *slots;		/* bitmap of used slots */
	struct list_head returners;	/* oldest first */
	struct list_head *spares;	/* per CPU, last in first out */
	unsigned long *spare_cpus;	/* bitmap: spares[cpu] is not empty */
	u32 nr_idle, nr_lazy, nr_returners, nr_spares, nr_threads;
	u32 permits;			/* wake-ups that found nobody, <= nr_procs */
	u32 spare_needed;
	struct task_struct *monitor;	/* sleeps in MONITOR */
	u64 blocks, handoffs, unblocks;

	struct gr_hist hist[GR_NR_HISTS];
};

/* gr_thread.flags */
enum {
	GR_TF_RETURN_ARMED,	/* return work is queued on the task */
	GR_TF_HANDOFF_QUEUED,	/* on a CPU's hand-off list */
	GR_TF_DEAD,		/* the task is dead: clean up, do not hand off */
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
	bool waiting;				/* own task only: inside one of our wait loops */

	/* group->lock */
	u32 state;				/* GR_T_* */
	int proc;
	int last_proc;
	u32 reason;				/* GR_WAKE_* */
	int spare_cpu;
	u64 blocked_at;				/* ns */
	u64 since;				/* ns: what led to the last wake-up, 0 unknown */
	struct list_head node;			/* spares[] or returners */
};

/* tasks to wake once the lock is dropped */
#define GR_WAKE_BATCH 16
struct gr_wake {
	unsigned int nr;
	struct task_struct *task[GR_WAKE_BATCH];
};

static inline void gr_wake_add(struct gr_wake *wake, struct gr_thread *t)
{
	wake->task[wake->nr++] = t->task;
}

/* outside group->lock, in the rcu_read_lock() section that began before it was taken */
void gr_wake_flush(struct gr_wake *wake, bool here);

/* ---- token.c: who holds which P; all of it under group->lock ---- */
bool gr_work_for(struct gr_group *g, struct gr_proc *p);
bool gr_work_any(struct gr_group *g);
struct gr_proc *gr_proc_free_for(struct gr_group *g, struct gr_thread *t);
struct gr_proc *gr_proc_idle(struct gr_group *g, int prefer);
struct gr_proc *gr_proc_lazy(struct gr_group *g);
void gr_proc_give(struct gr_group *g, struct gr_proc *p, struct gr_thread *t);
void gr_proc_lazy_begin(struct gr_group *g, struct gr_thread *t, bool polls);
void gr_proc_lazy_end(struct gr_group *g, struct gr_thread *t);
void gr_proc_release(struct gr_group *g, struct gr_thread *t, struct gr_wake *wake);
void gr_proc_cover(struct gr_group *g, struct gr_wake *wake);
void gr_thread_set_state(struct gr_group *g, struct gr_thread *t, u32 state);
void gr_spare_push(struct gr_group *g, struct gr_thread *t, int cpu);
void gr_spare_remove(struct gr_group *g, struct gr_thread *t);
struct gr_thread *gr_spare_near(struct gr_group *g, int cpu);
void gr_returner_push(struct gr_group *g, struct gr_thread *t);
void gr_returner_remove(struct gr_group *g, struct gr_thread *t);
struct gr_thread *gr_returner_first(struct gr_group *g);
void gr_hand_over(struct gr_group *g, struct gr_proc *p, struct gr_thread *to, u32 reason,
		  u64 since, struct gr_wake *wake);
void gr_need_spare(struct gr_group *g, struct gr_wake *wake);

/* ---- group.c ---- */
struct gr_group *gr_group_new(void);
int gr_group_setup(struct gr_group *g, struct gr_setup *arg);
void gr_group_shutdown(struct gr_group *g);
void gr_group_put(struct gr_group *g);
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
int gr_unpark(struct gr_group *g, struct gr_unpark *arg);
int gr_monitor(struct gr_group *g, struct gr_monitor *arg);

/* ---- notify.c ---- */
void gr_notify_thread_init(struct gr_thread *t);
bool gr_notify_is_ours(struct preempt_notifier *n);
void gr_notify_need(void);
int gr_notify_init(void);
void gr_notify_exit(void);

/* ---- dev.c, stat.c ---- */
extern const struct file_operations gr_fops;
void gr_hist_add(struct gr_group *g, enum gr_hist_kind kind, u64 since);
void gr_stat_group_add(struct gr_group *g);
void gr_stat_init(void);
void gr_stat_exit(void);

#endif /* GR_KMOD_H */
