// SPDX-License-Identifier: GPL-2.0
/*
 * group.c - one open of /dev/gr: set-up, shutdown, and the end.
 *
 * Lifetime: see gr_kmod.h. Shutdown (the last descriptor was closed, or the program exec'ed)
 * lets every thread go: parked ones leave with -ESHUTDOWN, returners go on without a P, and
 * attached ones detach on their next return to user mode.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "compat.h"
#include "gr_kmod.h"

static uint gr_max_threads = GR_MAX_THREADS;
module_param_named(max_threads, gr_max_threads, uint, 0644);
MODULE_PARM_DESC(max_threads, "Most threads a group may ask for (default 32768)");

/* looked at by SHUTDOWN with interrupts off in one go */
#define GR_SHUTDOWN_SLOTS 256

static struct workqueue_struct *gr_wq;
static atomic_t gr_next_id = ATOMIC_INIT(0);

/* everything gr_group_alloc() made; after a failed SETUP it can be tried again */
static void gr_group_unalloc(struct gr_group *g)
{
	gr_shm_free(&g->mirror_shm);
	gr_shm_free(&g->hint_shm);
	gr_event_stop(g);
	kvfree(g->procs);
	kvfree(g->threads);
	kvfree(g->spares);
	bitmap_free(g->slots);
	bitmap_free(g->spare_cpus);
	g->procs = NULL;
	g->threads = NULL;
	g->spares = NULL;
	g->slots = NULL;
	g->spare_cpus = NULL;
}

static void gr_group_free_work(struct work_struct *work)
{
	struct gr_group *g = container_of(work, struct gr_group, free_work);
	u32 i;

	debugfs_remove(g->dir);
	/* nobody is left to start one: no thread holds a P */
	for (i = 0; g->procs && i < g->nr_procs; i++)
		hrtimer_cancel(&g->procs[i].slice);
	gr_group_unalloc(g);
	gr_event_fini(g);
	if (g->mm)
		mmdrop(g->mm);
	put_pid(g->tgid);
	mutex_destroy(&g->setup_lock);
	atomic_dec(&gr_counters.groups_live);
	kfree(g);
}

/* Done before the module goes. Any context, without a lock. */
void gr_queue_work(struct work_struct *work)
{
	queue_work(gr_wq, work);
}

void gr_group_put(struct gr_group *g)
{
	if (refcount_dec_and_test(&g->refs))
		gr_queue_work(&g->free_work);
}

/* process context */
struct gr_group *gr_group_new(void)
{
	struct gr_group *g = kzalloc(sizeof(*g), GFP_KERNEL_ACCOUNT);

	if (!g)
		return NULL;
	refcount_set(&g->refs, 1);
	raw_spin_lock_init(&g->lock);
	mutex_init(&g->setup_lock);
	gr_event_init(g);
	atomic_inc(&gr_counters.groups_live);
	atomic_long_inc(&gr_counters.groups);
	INIT_LIST_HEAD(&g->returners);
	INIT_LIST_HEAD(&g->preempted);
	INIT_WORK(&g->free_work, gr_group_free_work);
	return g;
}

/* nr_procs and max_threads are set */
static int gr_group_alloc(struct gr_group *g, u64 features)
{
	size_t mproc = sizeof(struct gr_mirror);
	size_t mthread = mproc + g->nr_procs * sizeof(struct gr_mirror_proc);
	size_t hproc = sizeof(struct gr_hint);
	size_t hthread = hproc + g->nr_procs * sizeof(struct gr_hint_proc);
	int ret;

	ret = gr_shm_alloc(&g->mirror_shm, mthread + g->max_threads * sizeof(*g->mthreads));
	if (!ret)
		ret = gr_shm_alloc(&g->hint_shm, hthread + g->max_threads * sizeof(*g->hthreads));
	if (ret)
		return ret;
	g->procs = kvcalloc(g->nr_procs, sizeof(*g->procs), GFP_KERNEL_ACCOUNT);
	g->threads = kvcalloc(g->max_threads, sizeof(*g->threads), GFP_KERNEL_ACCOUNT);
	g->spares = kvcalloc(nr_cpu_ids, sizeof(*g->spares), GFP_KERNEL_ACCOUNT);
	g->slots = bitmap_zalloc(g->max_threads, GFP_KERNEL_ACCOUNT);
	g->spare_cpus = bitmap_zalloc(nr_cpu_ids, GFP_KERNEL_ACCOUNT);
	if (!g->procs || !g->threads || !g->spares || !g->slots || !g->spare_cpus)
		return -ENOMEM;
	if (features & GR_FEAT_EVENTS) {
		ret = gr_event_start(g);
		if (ret)
			return ret;
	}

	g->mirror = g->mirror_shm.addr;
	g->mprocs = g->mirror_shm.addr + mproc;
	g->mthreads = g->mirror_shm.addr + mthread;
	g->hint = g->hint_shm.addr;
	g->hprocs = g->hint_shm.addr + hproc;
	g->hthreads = g->hint_shm.addr + hthread;
	g->mirror->proc_offset = mproc;
	g->mirror->thread_offset = mthread;
	g->hint->proc_offset = hproc;
	g->hint->thread_offset = hthread;
	return 0;
}

static void gr_group_fill(struct gr_group *g)
{
	u32 i;

	for (i = 0; i < nr_cpu_ids; i++)
		INIT_LIST_HEAD(&g->spares[i]);
	for (i = 0; i < g->nr_procs; i++) {
		g->mprocs[i].thread = -1;
		g->procs[i].group = g;
		gr_slice_init(&g->procs[i]);
	}
	for (i = 0; i < g->max_threads; i++)
		g->mthreads[i].proc = GR_NO_PROC;
	g->nr_idle = g->nr_procs;
	g->mirror->nr_idle = g->nr_idle;
	g->mirror->nr_procs = g->nr_procs;
	g->mirror->max_threads = g->max_threads;
}

/* The tables of a group whose sizes are set, with nothing in them. -ENOMEM: nothing is left. */
int gr_group_prepare(struct gr_group *g, u64 features)
{
	int ret = gr_group_alloc(g, features);

	if (ret)
		gr_group_unalloc(g);
	else
		gr_group_fill(g);
	return ret;
}

static int gr_group_check(const struct gr_setup *arg)
{
	if (arg->size != sizeof(*arg) || arg->flags ||
	    memchr_inv(arg->reserved, 0, sizeof(arg->reserved)))
		return -EINVAL;
	if (arg->abi_major != GR_ABI_MAJOR)
		return -EPROTO;
	if (arg->features & ~GR_FEATURES)
		return -EOPNOTSUPP;
	if (arg->slice_us &&
	    (arg->slice_us < GR_SLICE_MIN_US || arg->slice_us > GR_SLICE_MAX_US))
		return -EINVAL;
	if (arg->nr_procs < 1 || arg->nr_procs > GR_MAX_PROCS ||
	    arg->max_threads < arg->nr_procs || arg->max_threads > GR_MAX_THREADS)
		return -EINVAL;
	return arg->max_threads > READ_ONCE(gr_max_threads) ? -EAGAIN : 0;
}

/* -errno unless the caller may use @g */
int gr_group_check_caller(struct gr_group *g)
{
	if (!smp_load_acquire(&g->ready))	/* pairs with gr_group_setup() */
		return -ENXIO;
	if (current->mm != g->mm || task_tgid(current) != g->tgid)
		return -EPERM;
	return READ_ONCE(g->dead) ? -ESHUTDOWN : 0;
}

int gr_group_setup(struct gr_group *g, struct gr_setup *arg)
{
	int ret = gr_group_check(arg);

	if (ret == -EOPNOTSUPP)
		arg->features = GR_FEATURES;
	if (ret)
		return ret;
	mutex_lock(&g->setup_lock);
	if (g->ready) {
		ret = -EBUSY;
		goto out;
	}
	g->nr_procs = arg->nr_procs;
	g->max_threads = arg->max_threads;
	g->slice_ns = arg->slice_us * NSEC_PER_USEC;
	ret = gr_group_prepare(g, arg->features);
	if (ret)
		goto out;
	gr_notify_need();	/* not in open(), which misc.c calls with a mutex of all drivers */
	g->mm = current->mm;
	mmgrab(g->mm);
	g->tgid = get_pid(task_tgid(current));
	g->id = atomic_inc_return(&gr_next_id);
	gr_stat_group_add(g);
	/* pairs with the acquire in gr_group_check_caller(): all of the above is visible */
	smp_store_release(&g->ready, true);
	arg->abi_minor = min_t(u16, arg->abi_minor, GR_ABI_MINOR);
	arg->features = GR_FEATURES;
	arg->mirror_offset = 0;
	arg->mirror_size = g->mirror_shm.nr_pages << PAGE_SHIFT;
	arg->hint_offset = GR_HINT_OFFSET;
	arg->hint_size = g->hint_shm.nr_pages << PAGE_SHIFT;
out:
	mutex_unlock(&g->setup_lock);
	return ret;
}

void gr_group_shutdown(struct gr_group *g)
{
	struct io_uring_cmd *cmd = NULL;
	struct gr_wake wake = {};
	u32 slot = 0, end;

	if (!smp_load_acquire(&g->ready))	/* pairs with gr_group_setup() */
		return;
	/* in batches: nobody can start to wait once dead is set */
	do {
		rcu_read_lock();
		raw_spin_lock_irq(&g->lock);
		g->dead = true;
		WRITE_ONCE(g->mirror->dead, 1);
		end = min(g->max_threads, slot + GR_SHUTDOWN_SLOTS);
		for (; slot < end && wake.nr < GR_WAKE_BATCH - 1; slot++) {
			struct gr_thread *t = g->threads[slot];

			if (!t)
				continue;
			if (t->state == GR_T_PARKED || t->state == GR_T_RETURNING)
				gr_wake_add(g, t, &wake);
			cmd = gr_uring_take(g, t);
			if (cmd) {
				slot++;
				break;
			}
		}
		if (g->monitor)
			wake.task[wake.nr++] = g->monitor;
		raw_spin_unlock_irq(&g->lock);
		gr_wake_flush(&wake, false);
		rcu_read_unlock();
		gr_uring_done(g, cmd, -ESHUTDOWN);
		cmd = NULL;
	} while (slot < g->max_threads);
	wake_up_interruptible_all(&g->wait);
}

int gr_group_init(void)
{
	gr_wq = alloc_workqueue("gr", WQ_UNBOUND, 0);
	return gr_wq ? 0 : -ENOMEM;
}

void gr_group_exit(void)
{
	rcu_barrier();			/* threads freed, last group references put */
	destroy_workqueue(gr_wq);	/* groups freed */
}
