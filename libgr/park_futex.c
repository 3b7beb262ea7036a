// SPDX-License-Identifier: MIT
/*
 * park_futex.c - the parking backend without the module: the same protocol in user space.
 *
 * One lock guards who holds which P, the spares (last in, first out) and the permits; the mirror
 * and hint tables are ordinary memory of the same layout, so the rest of the library cannot
 * tell. What user space cannot know is when a thread blocks: the monitor (park_monitor.c) guesses,
 * and takes Ps from threads that may wake at any instant; recheck() is their side of it.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "park_futex.h"
#include "runq.h"
#include "sched.h"

struct park_futex_state pf;

long pf_futex(_Atomic uint32_t *word, int op, uint32_t val, const struct timespec *ts)
{
	return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, val, ts, NULL,
		       FUTEX_BITSET_MATCH_ANY);
}

/* ---- set-up ---- */

static void fini(void)
{
	if (pf.mem != MAP_FAILED)
		munmap(pf.mem, pf.bytes);
	free(pf.holder);
	free(pf.seen);
	memset(&park_tab, 0, sizeof(park_tab));
}

static int setup(int nr_procs, int max_threads, const char **why)
{
	size_t sizes[4] = {
		nr_procs * sizeof(struct gr_mirror_proc),
		max_threads * sizeof(struct gr_mirror_thread),
		nr_procs * sizeof(struct gr_hint_proc),
		max_threads * sizeof(struct gr_hint_thread),
	};
	size_t hint = (sizeof(struct gr_mirror) + sizes[0] + sizes[1] + 63) & ~(size_t)63;

	memset(&pf, 0, sizeof(pf));
	pf.waiters_end = &pf.waiters;
	pf.bytes = hint + sizeof(struct gr_hint) + sizes[2] + sizes[3];
	pf.mem = mmap(NULL, pf.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pf.holder = calloc(nr_procs, sizeof(*pf.holder));
	pf.seen = calloc(nr_procs, sizeof(*pf.seen));
	if (pf.mem == MAP_FAILED || !pf.holder || !pf.seen) {
		*why = "not enough memory";
		fini();
		return -ENOMEM;
	}
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0)) {
		*why = "the kernel has no membarrier()";
		fini();
		return -ENODEV;
	}
	pf.mirror = (void *)pf.mem;
	pf.procs = (void *)(pf.mem + sizeof(struct gr_mirror));
	pf.threads = (void *)((char *)pf.procs + sizes[0]);
	pf.mirror->nr_procs = nr_procs;
	pf.mirror->max_threads = max_threads;
	pf.mirror->nr_idle = nr_procs;
	park_tab.mirror = pf.mirror;
	park_tab.mprocs = pf.procs;
	park_tab.mthreads = pf.threads;
	park_tab.hint = (void *)(pf.mem + hint);
	park_tab.hprocs = (void *)(pf.mem + hint + sizeof(struct gr_hint));
	park_tab.hthreads = (void *)((char *)park_tab.hprocs + sizes[2]);
	return 0;
}

/* ---- who holds what; all with pf.lock ---- */

static void set_thread(struct m *m, int proc, uint32_t state)
{
	__atomic_store_n(&pf.threads[m->slot].proc, proc, __ATOMIC_RELAXED);
	__atomic_store_n(&pf.threads[m->slot].state, state, __ATOMIC_RELAXED);
}

/* an idle P to m */
static void give(int proc, struct m *m)
{
	POKE(pf.holder[proc], m);
	POKE(pf.procs[proc].state, GR_P_RUNNING);
	POKE(pf.procs[proc].thread, m->slot);
	MIRROR_ADD(nr_idle, -1);
	set_thread(m, proc, GR_T_RUNNING);
}

static void drop(struct m *m, int proc)
{
	POKE(pf.holder[proc], NULL);
	POKE(pf.procs[proc].state, GR_P_IDLE);
	POKE(pf.procs[proc].thread, -1);
	set_thread(m, GR_NO_PROC, GR_T_BLOCKED);
	MIRROR_ADD(nr_idle, 1);
	/* pairs with F1 of the publisher (idle.c): idle is visible before the hints are read */
	atomic_thread_fence(memory_order_seq_cst);
}

static bool proc_has_work(int i)
{
	struct p *p = &sched.procs[i];

	return !runq_empty(p) || __atomic_load_n(&p->q->pending, __ATOMIC_RELAXED);
}

static bool shared_work(void)
{
	if (globq_len())
		return true;
	for (int i = 0; i < sched.nr_procs; i++)
		if (__atomic_load_n(&sched.procs[i].q->head, __ATOMIC_RELAXED) !=
		    __atomic_load_n(&sched.procs[i].q->tail, __ATOMIC_RELAXED))
			return true;
	return false;
}

/* another P's runnext: whoever put it there may have looked for an idle P before there was one */
static bool next_waits(void)
{
	for (int i = 0; i < sched.nr_procs; i++)
		if (runq_has_next(&sched.procs[i]))
			return true;
	return false;
}

bool pf_work_for(int i)
{
	return proc_has_work(i) || shared_work();
}

/* an idle P, first one that has something to do on it; -1 */
static int idle_proc(bool *work)
{
	int any = -1;

	*work = false;
	for (int i = 0; i < sched.nr_procs; i++) {
		if (pf.holder[i])
			continue;
		if (proc_has_work(i)) {
			*work = true;
			return i;
		}
		if (any < 0)
			any = i;
	}
	return any;
}

/* wakes it, which is harmless under the lock: it does not need it */
static void wake_spare(struct m *m, unsigned int reason)
{
	m->park_reason = reason;
	atomic_store_explicit(&m->park_word, 1, memory_order_release);
	pf_futex(&m->park_word, FUTEX_WAKE, 1, NULL);
}

static struct m *pop_spare(void)
{
	struct m *m = pf.spares;

	if (m) {
		pf.spares = m->park_next;
		MIRROR_ADD(nr_spares, -1);
	}
	return m;
}

static void remove_spare(struct m *m)
{
	struct m **at = &pf.spares;

	while (*at && *at != m)
		at = &(*at)->park_next;
	if (*at) {
		*at = m->park_next;
		MIRROR_ADD(nr_spares, -1);
	}
}

static struct m *pop_waiter(void)
{
	struct m *m = pf.waiters;

	if (m) {
		pf.waiters = m->park_next;
		if (!pf.waiters)
			pf.waiters_end = &pf.waiters;
		MIRROR_ADD(nr_returners, -1);
	}
	return m;
}

/* m's P, -1 none, goes to whoever must have one, else it is idle: then it is returned. */
static int release(struct m *m, int proc)
{
	struct m *waiter;

	if (proc < 0)
		return -1;
	drop(m, proc);
	waiter = pop_waiter();
	if (!waiter)
		return proc;
	give(proc, waiter);
	wake_spare(waiter, GR_WAKE_HANDOFF);
	return -1;
}

/* P i has just become idle: a thread for it, if it has work. -1: no P did. */
static void cover(int i)
{
	struct m *spare;

	if (i < 0 || !(pf_work_for(i) || pf.permits))
		return;
	spare = pop_spare();
	if (!spare) {
		pf_need_thread();
		return;
	}
	if (pf.permits)
		pf.permits--;
	give(i, spare);
	wake_spare(spare, GR_WAKE_HANDOFF);
}

void pf_hand_off(struct m *m, int i)
{
	MIRROR_ADD(handoffs, 1);
	pf.procs[i].handoffs++;
	cover(release(m, i));
}

/*
 * A new thread has got a P. The monitor starts one thread, however many are missing: is there
 * another P with work of its own, which nobody who is awake would see?
 */
static void need_another(void)
{
	for (int i = 0; i < sched.nr_procs; i++)
		if (!pf.holder[i] && proc_has_work(i)) {
			cover(i);
			return;
		}
}

/* ---- the calls ---- */

static int attach(struct m *m, bool take)
{
	int proc = -1;
	bool work;

	lock_acquire(&pf.lock);
	if (pf.next_slot >= (int)pf.mirror->max_threads) {
		lock_release(&pf.lock);
		return -EAGAIN;
	}
	m->slot = pf.next_slot++;
	m->hint = &park_tab.hthreads[m->slot];
	m->mirror = &pf.threads[m->slot];
	m->stat_fd = -1;
	m->hint->flags = GR_HF_RUNTIME;
	set_thread(m, GR_NO_PROC, GR_T_BLOCKED);
	MIRROR_ADD(nr_threads, 1);
	if (take)
		proc = idle_proc(&work);
	if (proc >= 0) {
		give(proc, m);
		if (pf.permits)
			pf.permits--;
		need_another();
	}
	lock_release(&pf.lock);
	pf_wake_monitor();
	return proc;
}

static void detach(struct m *m)
{
	lock_acquire(&pf.lock);
	release(m, PEEK(pf.threads[m->slot].proc));
	set_thread(m, GR_NO_PROC, GR_T_NONE);
	MIRROR_ADD(nr_threads, -1);
	if (m->stat_fd >= 0)
		close(m->stat_fd);
	m->stat_fd = -1;
	m->tid = 0;
	lock_release(&pf.lock);
}

/* until woken or late; absolute CLOCK_MONOTONIC */
static bool sleep_parked(struct m *m, int64_t deadline)
{
	struct timespec ts = { deadline / GR_SEC, deadline % GR_SEC };

	while (!atomic_load_explicit(&m->park_word, memory_order_acquire)) {
		if (pf_futex(&m->park_word, FUTEX_WAIT_BITSET, 0,
			  deadline == GR_FOREVER ? NULL : &ts) < 0 && errno == ETIMEDOUT)
			return false;
	}
	return true;
}

static int park(struct m *m, int64_t deadline, unsigned int *reason)
{
	int proc, saved = errno;
	bool work;

	lock_acquire(&pf.lock);
	release(m, PEEK(pf.threads[m->slot].proc));
	if (atomic_load(&pf.stopping)) {
		lock_release(&pf.lock);
		return -ESHUTDOWN;
	}
	proc = idle_proc(&work);
	if (proc >= 0 && (work || pf.permits || shared_work() || next_waits())) {
		if (pf.permits)
			pf.permits--;
		give(proc, m);
		lock_release(&pf.lock);
		pf_wake_monitor();
		*reason = GR_WAKE_WORK;
		return proc;
	}
	atomic_store_explicit(&m->park_word, 0, memory_order_relaxed);
	m->park_next = pf.spares;
	pf.spares = m;
	MIRROR_ADD(nr_spares, 1);
	set_thread(m, GR_NO_PROC, GR_T_PARKED);
	lock_release(&pf.lock);

	if (!sleep_parked(m, deadline)) {
		lock_acquire(&pf.lock);
		remove_spare(m);
		if (PEEK(pf.threads[m->slot].state) == GR_T_PARKED)
			set_thread(m, GR_NO_PROC, GR_T_BLOCKED);
		lock_release(&pf.lock);
	}
	errno = saved;
	proc = PEEK(pf.threads[m->slot].proc);
	if (proc >= 0)
		*reason = m->park_reason;
	else
		proc = atomic_load(&pf.stopping) ? -ESHUTDOWN : -ETIMEDOUT;
	return proc;
}

static int unpark(int n)
{
	int woken = 0, saved = errno;
	bool work;

	lock_acquire(&pf.lock);
	while (woken < n) {
		int proc = idle_proc(&work);
		struct m *m = proc >= 0 ? pop_spare() : NULL;

		if (!m) {
			if (pf.permits < pf.mirror->nr_procs)
				pf.permits++;
			if (proc >= 0)
				pf_need_thread();
			break;
		}
		give(proc, m);
		wake_spare(m, GR_WAKE_UNPARK);
		woken++;
	}
	lock_release(&pf.lock);
	pf_wake_monitor();
	errno = saved;
	return woken;
}

static int recheck(struct m *m)
{
	int proc;

	lock_acquire(&pf.lock);
	proc = PEEK(pf.threads[m->slot].proc);
	lock_release(&pf.lock);
	return proc;
}

static int yield(struct m *m, unsigned int *reason)
{
	bool waits;

	lock_acquire(&pf.lock);
	waits = pf.waiters;
	lock_release(&pf.lock);
	return waits ? park(m, GR_FOREVER, reason) : -EAGAIN;
}

static void leave(struct m *m)
{
	lock_acquire(&pf.lock);
	cover(release(m, PEEK(pf.threads[m->slot].proc)));
	lock_release(&pf.lock);
}

static int acquire(struct m *m)
{
	int proc = GR_NO_PROC, saved = errno;
	bool work, stopping;

	lock_acquire(&pf.lock);
	stopping = atomic_load(&pf.stopping);
	if (!stopping)
		proc = idle_proc(&work);
	if (proc >= 0) {
		give(proc, m);
	} else if (!stopping) {
		atomic_store_explicit(&m->park_word, 0, memory_order_relaxed);
		m->park_next = NULL;
		*pf.waiters_end = m;
		pf.waiters_end = &m->park_next;
		set_thread(m, GR_NO_PROC, GR_T_RETURNING);
		MIRROR_ADD(nr_returners, 1);
		/* pairs with F2 in idle.c: a thread that is about to poll sees us, or we see it */
		atomic_thread_fence(memory_order_seq_cst);
	}
	lock_release(&pf.lock);
	pf_wake_monitor();
	if (proc < 0 && !stopping) {
		sched_wake_for_returner();
		sleep_parked(m, GR_FOREVER);
		proc = PEEK(pf.threads[m->slot].proc);
	}
	errno = saved;
	return proc >= 0 ? proc : -ESHUTDOWN;
}

static void stop(void)
{
	struct m *m;

	lock_acquire(&pf.lock);
	atomic_store(&pf.stopping, true);
	while ((m = pop_spare()) || (m = pop_waiter()))
		wake_spare(m, 0);
	lock_release(&pf.lock);
	pf_wake_monitor();
}

const struct park_ops park_futex = {
	.name = "futex",
	.setup = setup,
	.fini = fini,
	.attach = attach,
	.detach = detach,
	.park = park,
	.unpark = unpark,
	.recheck = recheck,
	.leave = leave,
	.acquire = acquire,
	.yield = yield,
	.busy = pf_wake_monitor,
	.monitor = pf_monitor,
	.stop = stop,
};
