// SPDX-License-Identifier: GPL-2.0
/*
 * dev.c - where a request enters the kernel: the file operations of /dev/gr.
 *
 * The only file that copies from or to user memory. gr_calls[] is the map: request number ->
 * size and handler. Handlers get a copy of the argument; what they change goes back to the
 * user on success.
 *
 * The last descriptor. close() under a parked thread must not leave it asleep for ever, but
 * release() cannot come while its ioctl holds the file. So what is ours and holds the file is
 * counted: calls in progress, mappings, ring requests. flush() shuts the group down when no other
 * reference is left. A descriptor that was passed to another process keeps the group alive, as
 * with a pipe; so does what the kernel holds for itself, a poll that waits or a ring's registered
 * file.
 *
 * It may err in one direction only: count too few, and the parked threads stay until a signal
 * or the end of the process; too many, and a child that closes its copy ends its parent's
 * group. So a call is counted only if it surely has a reference of its own (gr_call_holds()), and
 * what came is counted after it has one, what went before it has none; flush() reads what came,
 * then the references, then what went. An ioctl with a reference that is not counted yet looks like
 * another descriptor, and two last ones that are closed at once like one another: missed.
 * GR_IOC_SHUTDOWN is exact.
 */
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "gr_kmod.h"

union gr_arg {
	struct gr_setup setup;
	struct gr_attach attach;
	struct gr_detach detach;
	struct gr_park park;
	struct gr_unpark unpark;
	struct gr_monitor monitor;
	struct gr_switch switch_to;
	u64 words[sizeof(struct gr_setup) / sizeof(u64)];
};

static int gr_call_setup(struct gr_group *g, union gr_arg *arg)
{
	return gr_group_setup(g, &arg->setup);
}

static int gr_call_attach(struct gr_group *g, union gr_arg *arg)
{
	return gr_thread_attach(g, &arg->attach);
}

static int gr_call_detach(struct gr_group *g, union gr_arg *arg)
{
	struct gr_thread *t = gr_thread_by_slot(g, arg->detach.slot);

	if (arg->detach.reserved)
		return -EINVAL;
	if (!t)
		return -ESRCH;
	gr_thread_detach(t);
	return 0;
}

static int gr_call_park(struct gr_group *g, union gr_arg *arg)
{
	struct gr_thread *t = gr_thread_by_slot(g, arg->park.slot);

	return t ? gr_park(t, &arg->park, false) : -ESRCH;
}

static int gr_call_yield(struct gr_group *g, union gr_arg *arg)
{
	struct gr_thread *t = gr_thread_by_slot(g, arg->park.slot);

	return t ? gr_park(t, &arg->park, true) : -ESRCH;
}

static int gr_call_unpark(struct gr_group *g, union gr_arg *arg)
{
	return gr_unpark(g, &arg->unpark);
}

static int gr_call_monitor(struct gr_group *g, union gr_arg *arg)
{
	return gr_monitor(g, &arg->monitor);
}

static int gr_call_switch(struct gr_group *g, union gr_arg *arg)
{
	struct gr_thread *t = gr_thread_by_slot(g, arg->switch_to.slot);

	return t ? gr_switch(t, &arg->switch_to) : -ESRCH;
}

static int gr_call_shutdown(struct gr_group *g, union gr_arg *arg)
{
	gr_group_shutdown(g);
	return 0;
}

static const struct gr_call {
	unsigned int cmd;
	int (*fn)(struct gr_group *g, union gr_arg *arg);
} gr_calls[] = {
	{ GR_IOC_SETUP, gr_call_setup },
	{ GR_IOC_ATTACH, gr_call_attach },
	{ GR_IOC_DETACH, gr_call_detach },
	{ GR_IOC_PARK, gr_call_park },
	{ GR_IOC_UNPARK, gr_call_unpark },
	{ GR_IOC_YIELD, gr_call_yield },
	{ GR_IOC_MONITOR, gr_call_monitor },
	{ GR_IOC_SHUTDOWN, gr_call_shutdown },
	{ GR_IOC_SWITCH, gr_call_switch },
};

/*
 * Every argument is a few whole words. copy_from_user() and copy_to_user() cost a SWITCH some 4%
 * of its instructions, most of it to check that the words on our stack are on our stack.
 */
static int gr_words_in(u64 *to, const u64 __user *from, size_t size)
{
	size_t i;

	BUILD_BUG_ON(sizeof(union gr_arg) % sizeof(u64));
	if (!user_read_access_begin(from, size))
		return -EFAULT;
	for (i = 0; i < size / sizeof(u64); i++)
		unsafe_get_user(to[i], from + i, fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

static int gr_words_out(u64 __user *to, const u64 *from, size_t size)
{
	size_t i;

	if (!user_write_access_begin(to, size))
		return -EFAULT;
	for (i = 0; i < size / sizeof(u64); i++)
		unsafe_put_user(from[i], to + i, fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

static long gr_call_run(struct gr_group *g, const struct gr_call *call, void __user *uarg)
{
	size_t size = _IOC_SIZE(call->cmd);
	union gr_arg arg = {};
	int ret;

	if (call->fn != gr_call_setup) {
		ret = gr_group_check_caller(g);
		if (ret)
			return ret;
	}
	if (size && gr_words_in(arg.words, uarg, size))	/* SHUTDOWN's pointer is anything */
		return -EFAULT;
	ret = call->fn(g, &arg);
	if (ret < 0 && ret != -EOPNOTSUPP)	/* SETUP: tells what is offered */
		return ret;
	if ((_IOC_DIR(call->cmd) & _IOC_READ) && gr_words_out(uarg, arg.words, size))
		return -EFAULT;
	return ret;
}

/*
 * Does the system call that we are in hold a reference of its own? A task with a table of
 * descriptors for itself borrows the table's. Only such a task can share its table, and it is here:
 * what we see is what the call saw, or there were others then and it holds one that we leave
 * out. A ring's worker may have none beside that of a registered file.
 */
static bool gr_call_holds(void)
{
	return !(current->flags & PF_IO_WORKER) && atomic_read(&current->files->count) > 1;
}

static long gr_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct gr_group *g = file->private_data;
	unsigned int nr = _IOC_NR(cmd) - _IOC_NR(GR_IOC_SETUP);
	bool holds = gr_call_holds();
	long ret;

	if (nr >= ARRAY_SIZE(gr_calls) || gr_calls[nr].cmd != cmd)
		return -ENOTTY;
	if (holds)
		gr_file_held(g);
	ret = gr_call_run(g, &gr_calls[nr], (void __user *)arg);
	if (holds)
		gr_file_dropped(g);
	return ret;
}

/* ---- read and poll ---- */

#define GR_READ_BATCH 16

/* bytes copied, 0 nothing there */
static ssize_t gr_read_some(struct gr_group *g, char __user *buf, size_t len)
{
	struct gr_event events[GR_READ_BATCH];
	unsigned int n;

	n = gr_event_peek(g, events, min_t(size_t, len / sizeof(*events), GR_READ_BATCH));
	if (copy_to_user(buf, events, n * sizeof(*events)))
		return -EFAULT;
	gr_event_drop(g, n);
	return n * sizeof(*events);
}

/* until there is a record, or there will be none */
static ssize_t gr_read_wait(struct gr_group *g, char __user *buf, size_t len, bool block)
{
	ssize_t ret;

	for (;;) {
		ret = mutex_lock_interruptible(&g->read_lock);
		if (ret)
			return ret;
		ret = gr_read_some(g, buf, len);
		mutex_unlock(&g->read_lock);
		if (ret || READ_ONCE(g->dead))
			return ret;
		if (!block)
			return -EAGAIN;
		ret = gr_event_wait(g);
		if (ret)
			return ret;
	}
}

static ssize_t gr_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	bool block = !(file->f_flags & O_NONBLOCK), holds = block && gr_call_holds();
	struct gr_group *g = file->private_data;
	ssize_t ret = gr_group_check_caller(g);

	if (ret && ret != -ESHUTDOWN)
		return ret;
	if (!g->record)
		return -EOPNOTSUPP;
	if (len < sizeof(struct gr_event))
		return -EINVAL;
	if (holds)
		gr_file_held(g);
	ret = gr_read_wait(g, buf, len, block);
	if (holds)
		gr_file_dropped(g);
	return ret;
}

static __poll_t gr_poll(struct file *file, struct poll_table_struct *pt)
{
	struct gr_group *g = file->private_data;
	int ret = gr_group_check_caller(g);

	return ret && ret != -ESHUTDOWN ? EPOLLERR : gr_event_poll(g, file, pt);
}

/* ---- mmap ---- */

static void gr_vma_open(struct vm_area_struct *vma)
{
	struct gr_group *g = vma->vm_private_data;

	gr_file_held(g);
}

static void gr_vma_close(struct vm_area_struct *vma)
{
	struct gr_group *g = vma->vm_private_data;

	gr_file_dropped(g);
}

static const struct vm_operations_struct gr_vm_ops = {
	.open = gr_vma_open,
	.close = gr_vma_close,
};

static int gr_mmap(struct file *file, struct vm_area_struct *vma)
{
	const unsigned long hint_page = GR_HINT_OFFSET >> PAGE_SHIFT;
	struct gr_group *g = file->private_data;
	bool hint = vma->vm_pgoff >= hint_page;
	struct gr_shm *shm = hint ? &g->hint_shm : &g->mirror_shm;
	unsigned long first = vma->vm_pgoff - (hint ? hint_page : 0);
	int ret = gr_group_check_caller(g);

	if (ret)
		return ret;
	if (!(vma->vm_flags & VM_MAYSHARE))	/* VM_SHARED is cleared on a read-only descriptor */
		return -EINVAL;
	if (!hint && (vma->vm_flags & VM_WRITE))
		return -EACCES;
	if (first >= shm->nr_pages || vma_pages(vma) > shm->nr_pages - first)
		return -EINVAL;
	ret = remap_vmalloc_range(vma, shm->addr, first);
	if (ret)
		return ret;
	/* not for children: the group is this process's */
	gr_vm_flags_change(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP,
			   hint ? 0 : VM_MAYWRITE);
	vma->vm_ops = &gr_vm_ops;
	vma->vm_private_data = g;
	gr_vma_open(vma);
	return 0;
}

/* ---- open and close ---- */

static int gr_open(struct inode *inode, struct file *file)
{
	struct gr_group *g = gr_group_new();

	if (!g)
		return -ENOMEM;
	file->private_data = g;
	return nonseekable_open(inode, file);
}

/* Is the descriptor that is being closed the only reference that is not ours? */
static bool gr_file_is_last(struct gr_group *g, struct file *file)
{
	/* acquire: what came has its reference before it is counted, gr_file_held() */
	int came = atomic_read_acquire(&g->file_held);
	long count = file_count(file);

	smp_rmb();	/* what went is counted before its reference goes: gr_file_dropped() */
	/* below 0, if some came and went meanwhile */
	return count <= 1 + (int)((u32)came - (u32)atomic_read(&g->file_dropped));
}

static int gr_flush(struct file *file, fl_owner_t id)
{
	struct gr_group *g = file->private_data;

	if (gr_file_is_last(g, file))
		gr_group_shutdown(g);
	return 0;
}

static int gr_release(struct inode *inode, struct file *file)
{
	struct gr_group *g = file->private_data;
	struct gr_thread *t = gr_thread_current();

	gr_group_shutdown(g);
	if (t && t->group == g)		/* close-on-exec: this task goes on as another program */
		gr_thread_detach(t);
	gr_group_put(g);
	return 0;
}

const struct file_operations gr_fops = {
	.owner = THIS_MODULE,
	.open = gr_open,
	.flush = gr_flush,
	.release = gr_release,
	.unlocked_ioctl = gr_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.read = gr_read,
	.poll = gr_poll,
#ifdef GR_HAVE_URING_CANCEL
	.uring_cmd = gr_uring_cmd,
#endif
	.mmap = gr_mmap,
};
