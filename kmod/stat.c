// SPDX-License-Identifier: GPL-2.0
/*
 * stat.c - what root sees in debugfs: gr/<pid>.<group>/{summary,threads,procs,latency} and
 * gr/counters, of all groups since the module was loaded.
 *
 * Readers take group->lock for one row at a time and never block the scheduler for longer. A
 * reader may come while the group dies: debugfs_remove() in gr_group_free_work() waits for it.
 *
 * latency: a header with the units, then one line a non-empty bucket.
 */
#include <linux/debugfs.h>
#include <linux/log2.h>
#include <linux/seq_file.h>

#include "gr_kmod.h"

static struct dentry *gr_dir;
struct gr_counters gr_counters;

static const char *const gr_hist_names[GR_NR_HISTS] = {
	[GR_HIST_BLOCK_HANDOFF] = "block_handoff",
	[GR_HIST_UNPARK_RUN] = "unpark_run",
	[GR_HIST_RETURN_RUN] = "return_run",
	[GR_HIST_PREEMPT_RUN] = "preempt_run",
};

static const char *const gr_thread_states[] = {
	"none", "running", "lazy", "blocked", "returning", "parked",
};

static const char *const gr_proc_states[] = { "idle", "running", "lazy" };

/* any context; @since 0: not known, not counted */
void gr_hist_add(struct gr_group *g, enum gr_hist_kind kind, u64 since)
{
	u64 now = ktime_get_mono_fast_ns();
	unsigned int i;

	if (!since)
		return;
	i = now > since ? min(ilog2(now - since), GR_HIST_BUCKETS - 1) : 0;
	atomic_long_inc(&g->hist[kind].bucket[i]);
}

static int summary_show(struct seq_file *m, void *unused)
{
	struct gr_group *g = m->private;
	struct gr_mirror s;

	raw_spin_lock_irq(&g->lock);
	s = *g->mirror;
	raw_spin_unlock_irq(&g->lock);
	seq_printf(m, "pid %d\nprocs %u\nidle %u\nlazy %u\n", pid_nr(g->tgid), g->nr_procs,
		   s.nr_idle, s.nr_lazy);
	seq_printf(m, "threads %u\nmax_threads %u\nspares %u\nreturners %u\npreempted %u\n",
		   s.nr_threads, g->max_threads, s.nr_spares, s.nr_returners, s.nr_preempted);
	seq_printf(m, "blocks %llu\nhandoffs %llu\nunblocks %llu\npreempts %llu\n", s.blocks,
		   s.handoffs, s.unblocks, s.preempts);
	seq_printf(m, "wakeups %llu\nreturns %llu\n", s.wakeups, s.returns);
	seq_printf(m, "spare_needed %u\nstalls %u\npermits %u\n", s.spare_needed, s.stalls,
		   READ_ONCE(g->permits));
	seq_printf(m, "events %u\nevents_lost %llu\nslice_us %llu\n", READ_ONCE(g->nr_events),
		   s.events_lost, div_u64(g->slice_ns, NSEC_PER_USEC));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(summary);

static int threads_show(struct seq_file *m, void *unused)
{
	struct gr_group *g = m->private;
	u32 slot;

	seq_puts(m, "slot tid state proc hint\n");
	for (slot = 0; slot < g->max_threads; slot++) {
		struct gr_thread *t;
		u32 state = 0;
		int proc = -1;
		pid_t tid = 0;

		raw_spin_lock_irq(&g->lock);
		t = g->threads[slot];
		if (t) {
			state = t->state;
			proc = t->proc;
			tid = task_pid_nr(t->task);
		}
		raw_spin_unlock_irq(&g->lock);
		if (t)
			seq_printf(m, "%u %d %s %d %x\n", slot, tid, gr_thread_states[state],
				   proc, READ_ONCE(g->hthreads[slot].flags));
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(threads);

static int procs_show(struct seq_file *m, void *unused)
{
	struct gr_group *g = m->private;
	u32 i;

	seq_puts(m, "proc state thread cpu handoffs queue pending\n");
	for (i = 0; i < g->nr_procs; i++) {
		struct gr_hint_proc *h = &g->hprocs[i];
		struct gr_mirror_proc p;

		raw_spin_lock_irq(&g->lock);
		p = g->mprocs[i];
		raw_spin_unlock_irq(&g->lock);
		seq_printf(m, "%u %s %d %u %u %u %u\n", i, gr_proc_states[p.state], p.thread,
			   p.cpu, p.handoffs, READ_ONCE(h->tail) - READ_ONCE(h->head),
			   READ_ONCE(h->pending));
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(procs);

static int latency_show(struct seq_file *m, void *unused)
{
	struct gr_group *g = m->private;
	int kind, i;

	seq_puts(m, "name low_ns high_ns count\n");
	for (kind = 0; kind < GR_NR_HISTS; kind++) {
		for (i = 0; i < GR_HIST_BUCKETS; i++) {
			long n = atomic_long_read(&g->hist[kind].bucket[i]);

			if (n)
				seq_printf(m, "%s %llu %llu %ld\n", gr_hist_names[kind],
					   i ? 1ULL << i : 0, (1ULL << (i + 1)) - 1, n);
		}
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(latency);

static int counters_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "groups_live %d\ngroups %ld\nthreads_live %d\nthreads %ld\n",
		   atomic_read(&gr_counters.groups_live), atomic_long_read(&gr_counters.groups),
		   atomic_read(&gr_counters.threads_live), atomic_long_read(&gr_counters.threads));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

/* debugfs may be missing or locked down: nothing depends on it */
void gr_stat_group_add(struct gr_group *g)
{
	char name[32];

	snprintf(name, sizeof(name), "%d.%u", pid_nr(g->tgid), g->id);
	g->dir = debugfs_create_dir(name, gr_dir);
	debugfs_create_file("summary", 0400, g->dir, g, &summary_fops);
	debugfs_create_file("threads", 0400, g->dir, g, &threads_fops);
	debugfs_create_file("procs", 0400, g->dir, g, &procs_fops);
	debugfs_create_file("latency", 0400, g->dir, g, &latency_fops);
}

void gr_stat_init(void)
{
	gr_dir = debugfs_create_dir("gr", NULL);
	debugfs_create_file("counters", 0400, gr_dir, NULL, &counters_fops);
	gr_oracle_init(gr_dir);
}

void gr_stat_exit(void)
{
	gr_oracle_exit();
	debugfs_remove(gr_dir);
}
