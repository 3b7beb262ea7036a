// SPDX-License-Identifier: GPL-2.0
/*
 * oracle.c - test builds only (GR_ORACLE=1): how many threads are in goroutine code right now?
 *
 * A judge that does not trust the token protocol: a timer interrupt on every CPU, all at the same
 * instant. Each one waits until all have come, so nothing runs meanwhile, and then says whether
 * it interrupted user mode, in an attached thread, in goroutine code (hint flags 0). The sum
 * must not exceed nr_procs of the group (I-2). A round for which not all CPUs came in time is missed
 * and not counted: with more emulated CPUs than the host has, most are. So each such thread
 * is also looked at alone: one that is not RUNNING by the protocol is a violation.
 *
 * One group at a time: threads of several are added up. CPUs must not come or go meanwhile.
 * Result: debugfs gr/oracle; writing to it starts anew.
 */
#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/smp.h>
#include <asm/irq_regs.h>

#include "compat.h"
#include "gr_kmod.h"

#define GR_PERIOD_NS (2 * NSEC_PER_MSEC)
#define GR_PATIENCE_NS (500 * NSEC_PER_USEC)

static DEFINE_PER_CPU(struct hrtimer, gr_oracle_timers);
static DEFINE_RAW_SPINLOCK(gr_oracle_lock);

/* gr_oracle_lock */
static struct {
	u64 id;
	int come, told, running;
} gr_round;
static unsigned long gr_samples, gr_missed, gr_max_running, gr_looks, gr_violations;

static int gr_oracle_cpus;

/* This CPU has come to round @id. True once all have. */
static bool gr_round_join(u64 id)
{
	u64 until = ktime_get_mono_fast_ns() + GR_PATIENCE_NS;
	bool all;

	raw_spin_lock(&gr_oracle_lock);
	if (gr_round.id < id) {
		gr_missed += gr_round.id && gr_round.told < gr_oracle_cpus;
		gr_round.id = id;
		gr_round.come = 0;
		gr_round.told = 0;
		gr_round.running = 0;
	}
	gr_round.come += gr_round.id == id;
	raw_spin_unlock(&gr_oracle_lock);
	do {
		raw_spin_lock(&gr_oracle_lock);
		all = gr_round.id == id && gr_round.come == gr_oracle_cpus;
		raw_spin_unlock(&gr_oracle_lock);
	} while (!all && ktime_get_mono_fast_ns() < until);
	return all;
}

static void gr_round_tell(u64 id, bool all, bool running, bool violation)
{
	raw_spin_lock(&gr_oracle_lock);
	gr_looks += running;
	gr_violations += violation;
	if (all && gr_round.id == id) {
		gr_round.running += running;
		if (++gr_round.told == gr_oracle_cpus) {
			gr_samples++;
			gr_max_running = max_t(unsigned long, gr_max_running, gr_round.running);
		}
	}
	raw_spin_unlock(&gr_oracle_lock);
}

static enum hrtimer_restart gr_oracle_fn(struct hrtimer *timer)
{
	u64 id = div_u64(ktime_to_ns(hrtimer_get_expires(timer)), GR_PERIOD_NS);
	struct pt_regs *regs = get_irq_regs();
	struct gr_thread *t = regs && user_mode(regs) ? gr_thread_current() : NULL;
	bool all = gr_round_join(id), running = false, violation = false;

	if (t && t->state != GR_T_NONE && !READ_ONCE(t->group->hthreads[t->slot].flags)) {
		running = true;
		violation = t->state != GR_T_RUNNING;
	}
	gr_round_tell(id, all, running, violation);
	hrtimer_forward_now(timer, ns_to_ktime(GR_PERIOD_NS));
	return HRTIMER_RESTART;
}

static void gr_oracle_start(void *first)
{
	struct hrtimer *timer = this_cpu_ptr(&gr_oracle_timers);

	hrtimer_start(timer, *(ktime_t *)first, HRTIMER_MODE_ABS_PINNED_HARD);
}

static int oracle_show(struct seq_file *m, void *unused)
{
	raw_spin_lock_irq(&gr_oracle_lock);
	seq_printf(m, "samples %lu\nmissed %lu\nmax_running %lu\nlooks %lu\nviolations %lu\n",
		   gr_samples, gr_missed, gr_max_running, gr_looks, gr_violations);
	raw_spin_unlock_irq(&gr_oracle_lock);
	return 0;
}

static int oracle_open(struct inode *inode, struct file *file)
{
	return single_open(file, oracle_show, NULL);
}

static ssize_t oracle_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	raw_spin_lock_irq(&gr_oracle_lock);
	gr_samples = 0;
	gr_missed = 0;
	gr_max_running = 0;
	gr_looks = 0;
	gr_violations = 0;
	raw_spin_unlock_irq(&gr_oracle_lock);
	return len;
}

static const struct file_operations gr_oracle_fops = {
	.owner = THIS_MODULE,
	.open = oracle_open,
	.read = seq_read,
	.write = oracle_write,
	.llseek = seq_lseek,
	.release = single_release,
};

void gr_oracle_init(struct dentry *dir)
{
	ktime_t first;
	int cpu;

	debugfs_create_file("oracle", 0600, dir, NULL, &gr_oracle_fops);
	cpus_read_lock();
	gr_oracle_cpus = num_online_cpus();
	for_each_possible_cpu(cpu)
		gr_hrtimer_setup(per_cpu_ptr(&gr_oracle_timers, cpu), gr_oracle_fn,
				 HRTIMER_MODE_ABS_PINNED_HARD);
	/* a whole period, so that all name the round alike */
	first = ns_to_ktime((div_u64(ktime_get_ns(), GR_PERIOD_NS) + 10) * GR_PERIOD_NS);
	on_each_cpu(gr_oracle_start, &first, true);
	cpus_read_unlock();
}

void gr_oracle_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		hrtimer_cancel(per_cpu_ptr(&gr_oracle_timers, cpu));
}
