// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - load and unload: each part's init in order, and the same list backwards.
 *
 * Nothing of this module may run once gr_exit() returns. A module reference is held by every
 * open file and every attached thread; what can still be under way after the last of them:
 *   RCU callbacks that free threads     -> rcu_barrier() in gr_group_exit()
 *   work items that free groups         -> destroy_workqueue() there
 *   irq_work on some CPU                -> irq_work_sync() in gr_notify_exit()
 *   a task that was preempted in the last instructions of a return work or of a notifier
 *                                       -> synchronize_rcu_tasks() there
 */
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "gr_kmod.h"

static struct miscdevice gr_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gr",
	.fops = &gr_fops,
};

static ushort mode = 0666;
module_param(mode, ushort, 0444);
MODULE_PARM_DESC(mode, "Permissions of /dev/gr (default 0666: the device needs no privilege)");

static int __init gr_init(void)
{
	int ret;

	gr_stat_init();
	ret = gr_notify_init();
	if (ret)
		goto err_stat;
	ret = gr_group_init();
	if (ret)
		goto err_notify;
	gr_misc.mode = mode & 0666;
	ret = misc_register(&gr_misc);
	if (ret)
		goto err_group;
	return 0;

err_group:
	gr_group_exit();
err_notify:
	gr_notify_exit();
err_stat:
	gr_stat_exit();
	return ret;
}

static void __exit gr_exit(void)
{
	misc_deregister(&gr_misc);
	gr_group_exit();
	gr_notify_exit();
	gr_stat_exit();
}

module_init(gr_init);
module_exit(gr_exit);
MODULE_LICENSE("GPL");
MODULE_AUTHOR("the gr authors");
MODULE_DESCRIPTION("Parking and exact block notification for user-space schedulers");
MODULE_VERSION("0.1.0");
