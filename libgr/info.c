// SPDX-License-Identifier: MIT
/*
 * info.c - gr_info(), gr_proc_info(): numbers about the runtime and about one P.
 *
 * Callers: any thread, while the runtime runs. Reads what others write without a lock: each
 * number is right, or was a moment ago; together they need not belong to one instant.
 */
#include <errno.h>

#include "netpoll.h"
#include "runq.h"
#include "sched.h"
#include "stack.h"

int gr_info(struct gr_info *info)
{
	const volatile struct gr_mirror *mirror = park_tab.mirror;

	if (!info || info->size != sizeof(*info))
		return -EINVAL;
	if (!atomic_load(&sched.running) || !mirror)
		return -ENXIO;
	*info = (struct gr_info){
		.size = sizeof(*info),
		.backend = sched.ops->name,
		.netpoll = netpoll->name,
		.netpoll_uses = netpoll->uses,
		.guard = stack_guard_name(),
		.nr_procs = atomic_load(&sched.active_procs),
		.max_procs = sched.nr_procs,
		.nr_threads = atomic_load(&sched.nr_ms),
		.nr_goroutines = g_count(),
		.nr_idle = (int)PEEK(mirror->nr_idle),
		.handoffs = PEEK(mirror->handoffs),
		.blocks = PEEK(mirror->blocks),
	};
	for (int i = 0; i < sched.nr_procs; i++) {
		struct p *p = &sched.procs[i];

		info->steals += atomic_load(&p->nr_steals);
		info->schedules += atomic_load(&p->nr_sched);
		info->ring_enters += atomic_load(&p->nr_enters);
	}
	return 0;
}

int gr_proc_info(int proc, struct gr_proc_info *info)
{
	struct p *p;

	if (!info || info->size != sizeof(*info) || proc < 0)
		return -EINVAL;
	if (!atomic_load(&sched.running) || !park_tab.mirror)
		return -ENXIO;
	if (proc >= sched.nr_procs)
		return -EINVAL;
	p = &sched.procs[proc];
	*info = (struct gr_proc_info){
		.size = sizeof(*info),
		.runq = (int)runq_len(p),
		.timers = __atomic_load_n(&p->nr_timers, __ATOMIC_RELAXED),
		.free = __atomic_load_n(&p->nr_gfree, __ATOMIC_RELAXED),
		.schedules = atomic_load(&p->nr_sched),
		.steals = atomic_load(&p->nr_steals),
		.handoffs = PEEK(park_tab.mprocs[proc].handoffs),
		.ring_enters = atomic_load(&p->nr_enters),
		.timers_fired = atomic_load(&p->nr_fired),
		.io_requests = atomic_load(&p->nr_io_begun),
		.io_completions = atomic_load(&p->nr_io_results),
		.io_stolen = atomic_load(&p->nr_io_stolen),
		.io_at_once = atomic_load(&p->nr_io_at_once),
	};
	return 0;
}
