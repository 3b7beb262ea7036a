/* SPDX-License-Identifier: GPL-2.0 */
/*
 * compat.h - every difference between kernel versions, and nothing else.
 *
 * The GR_HAVE_* switches come from Kbuild, which looks into the headers of the kernel it
 * builds for: names move inside stable series, so version numbers would lie.
 */
#ifndef GR_COMPAT_H
#define GR_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/task_work.h>
#include <linux/wait.h>

#include <uapi/gr.h>

#ifdef GR_HAVE_URING_CANCEL
#include <linux/io_uring/cmd.h>
#endif

#ifndef CONFIG_PREEMPT_NOTIFIERS
#error "gr needs CONFIG_PREEMPT_NOTIFIERS (every kernel with KVM has it)"
#endif

/*
 * Is current, which is being switched out, still runnable (preempted) or about to sleep?
 * Since delayed dequeue (6.12) a sleeper can stay on the run queue, so on_rq alone says
 * "runnable" for every block.
 */
static inline bool gr_current_runnable(void)
{
#ifdef GR_HAVE_TASK_IS_RUNNABLE
	return task_is_runnable(current);
#else
	return READ_ONCE(current->on_rq);
#endif
}

static inline void gr_vm_flags_change(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
#ifdef GR_HAVE_VM_FLAGS_MOD
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

static inline void gr_hrtimer_setup(struct hrtimer *timer,
				    enum hrtimer_restart (*fn)(struct hrtimer *),
				    enum hrtimer_mode mode)
{
#ifdef GR_HAVE_HRTIMER_SETUP
	hrtimer_setup(timer, fn, CLOCK_MONOTONIC, mode);
#else
	hrtimer_init(timer, CLOCK_MONOTONIC, mode);
	timer->function = fn;
#endif
}

/*
 * How task_work_add() is told to be brief: its caller may be a hard interrupt, where KASAN's note
 * of who added the work must not allocate. Kernels without the flag either never do, or always.
 */
#ifdef GR_HAVE_TWAF_NO_ALLOC
#define GR_TWA_RESUME (TWA_RESUME | TWAF_NO_ALLOC)
#else
#define GR_TWA_RESUME TWA_RESUME
#endif

/*
 * Wake @task if it sleeps interruptibly. @here: the caller's CPU is about to be free and its
 * caches are warm, so run it here. The flag for that is private to the scheduler; it came
 * with complete_on_current_cpu(), whose presence Kbuild tests. Without it: a sync wake-up.
 */
static inline void gr_wake_task(struct task_struct *task, bool here)
{
	struct wait_queue_entry entry = { .private = task };
	int flags = 0;

	if (here) {
#ifdef GR_HAVE_CURRENT_CPU_WAKE
		flags = 0x10 | 0x40;	/* WF_SYNC | WF_CURRENT_CPU */
#else
		flags = 0x10;		/* WF_SYNC */
#endif
	}
	default_wake_function(&entry, TASK_INTERRUPTIBLE, flags, NULL);
}

/*
 * Ring requests of a driver. Cancellation came with 6.7; without it there are none of ours.
 * io_uring_cmd_done() lost its second result later, and io_uring_sqe_cmd() got a second argument;
 * what that returned is the same everywhere.
 */
#ifdef GR_HAVE_URING_CANCEL
#define GR_FEATURES GR_FEAT_ALL

static inline const void *gr_cmd_payload(struct io_uring_cmd *cmd)
{
	return cmd->sqe->cmd;
}

/* a request on a registered file borrows the reference of the ring's table */
static inline bool gr_cmd_holds_file(struct io_uring_cmd *cmd)
{
	return !(cmd_to_io_kiocb(cmd)->flags & REQ_F_FIXED_FILE);
}

static inline void gr_cmd_done(struct io_uring_cmd *cmd, int ret, unsigned int issue_flags)
{
#ifdef GR_HAVE_URING_DONE_RES2
	io_uring_cmd_done(cmd, ret, 0, issue_flags);
#else
	io_uring_cmd_done(cmd, ret, issue_flags);
#endif
}
#else
#define GR_FEATURES (GR_FEAT_ALL & ~GR_FEAT_URING_PARK)
#endif

#endif /* GR_COMPAT_H */
