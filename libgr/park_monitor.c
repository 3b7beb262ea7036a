// SPDX-License-Identifier: MIT
/*
 * park_monitor.c - without the module: which thread blocks while it holds a P.
 *
 * Job: pf_monitor(), the body of the monitor thread. Not here: who gets the P (park_futex.c).
 * Callers: the monitor thread; pf_wake_monitor() any thread, pf_need_thread() with pf.lock.
 * Order: who takes a P, asks for a thread or stops stores that first, then loads mon_word; the monitor
 * stores mon_word first, then looks (sleep_until_woken()). One of them sees the other.
 *
 * The monitor looks every 20 us to 10 ms (doubling while no P is taken) at Ps that have work but
 * have not scheduled since the last look; when all is idle for a while it sleeps until
 * pf_wake_monitor(). Ps that rest for microseconds, as a server's do, are no news to it, or it would
 * look every 20 us for ever; but they have time to spare, so the pause stays short, MON_REST_US.
 * If the holder is in goroutine code (hint flags 0) and /proc says that its thread
 * sleeps, the P goes to a thread that waits for one (waiters), else to a spare. Without a descriptor
 * for that file it guesses from the thread's CPU time. Go's monitor guesses from time alone.
 *
 * Taking a P from a thread that may wake at any instant:
 *
 *	thread, rt_enter()			monitor, with the lock
 *	  flags = RUNTIME (plain)		  mirror.proc = -1
 *	  (compiler barrier)			  S1 membarrier: a full fence on the thread's CPU
 *	  p = mirror.proc (plain)		  flags == 0 ? take it : mirror.proc = p again
 *
 * If the monitor reads 0, the thread's store came after S1 and so its load sees -1. If it reads
 * RUNTIME the thread may have seen either: one that saw -1 takes the lock and looks again
 * (recheck()). After a take the thread runs on to its next libgr call: that is what the module
 * does better.
 */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "park_futex.h"
#include "sched.h"

#define MON_MIN_US 20
#define MON_MAX_US 10000
#define MON_GUESS_US 1000
#define MON_REST_US 500 /* the longest pause after a look that met all Ps idle */
#define MON_PATIENCE 50 /* quiet rounds before the pause doubles */
#define MON_IDLE 10	/* rounds in a row with all Ps idle before it sleeps until it is woken */

void pf_wake_monitor(void)
{
	/* seq_cst load: the exchange would take the line from others at every wake-up */
	if (atomic_load(&pf.mon_word) && atomic_exchange(&pf.mon_word, 0))
		pf_futex(&pf.mon_word, FUTEX_WAKE, 1, NULL);
}

void pf_need_thread(void)
{
	MIRROR_ADD(spare_needed, 1);
	atomic_store(&pf.need_thread, true);
	pf_wake_monitor();
}

/* its state is read from a file that stays open; -1: no descriptor was left */
static int stat_file(struct m *m)
{
	char path[64];

	if (m->stat_fd < 0) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", m->tid);
		m->stat_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	return m->stat_fd;
}

/*
 * Without that file: it got no CPU since the last look of this kind, MON_GUESS_US ago or more. It may
 * wait for one, too; then more threads than Ps run until its next libgr call.
 */
static bool thread_stands(struct m *m)
{
	struct timespec ts;
	clockid_t clock;
	int64_t now = gr_now(), used;

	if (now < m->cpu_look + MON_GUESS_US * GR_US)
		return false;
	if (pthread_getcpuclockid(m->thread, &clock) || clock_gettime(clock, &ts))
		return false;
	used = ts.tv_sec * GR_SEC + ts.tv_nsec;
	m->cpu_look = now;
	if (used == m->cpu_used)
		return true;
	m->cpu_used = used;
	return false;
}

/* /proc says that the thread sleeps, interruptibly or not */
static bool thread_sleeps(struct m *m)
{
	char buf[256], *state;
	ssize_t n;

	if (!m->tid)
		return false;
	if (stat_file(m) < 0)
		return thread_stands(m);
	n = pread(m->stat_fd, buf, sizeof(buf) - 1, 0);
	if (n <= 0)
		return false;
	buf[n] = 0;
	state = strrchr(buf, ')');
	return state && (state[2] == 'S' || state[2] == 'D' || state[2] == 'T' || state[2] == 't');
}

/* Try to take P i from m, whose thread sleeps; see the head of this file. */
static bool take(int i, struct m *m)
{
	int32_t *proc = &pf.threads[m->slot].proc;

	__atomic_store_n(proc, GR_NO_PROC, __ATOMIC_SEQ_CST);
	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0); /* S1 */
	if (__atomic_load_n(&m->hint->flags, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(proc, i, __ATOMIC_SEQ_CST);
		return false;
	}
	pf_hand_off(m, i);
	return true;
}

static bool look_at(int i)
{
	struct m *m = PEEK(pf.holder[i]);
	uint32_t tick;

	if (!m)
		return false;
	tick = __atomic_load_n(&sched.procs[i].q->tick, __ATOMIC_RELAXED);
	if (tick != pf.seen[i]) {
		pf.seen[i] = tick;
		return false;
	}
	if (__atomic_load_n(&m->hint->flags, __ATOMIC_RELAXED) || !pf_work_for(i))
		return false;
	return thread_sleeps(m) && take(i, m);
}

/* Every P idles or its thread polls: nothing can go wrong until somebody says so. */
static bool all_idle(void)
{
	for (int i = 0; i < sched.nr_procs; i++) {
		struct m *m = PEEK(pf.holder[i]);

		/* also with GR_HF_RUNTIME: the thread holds a P that is out of use (procs.c) */
		if (m && !(__atomic_load_n(&m->hint->flags, __ATOMIC_RELAXED) & GR_HF_POLL))
			return false;
	}
	return true;
}

static void nap(int us)
{
	struct timespec ts = { 0, (us > MON_MAX_US ? MON_MAX_US : us) * 1000L };

	nanosleep(&ts, NULL);
}

/* Returns true if it was for longer than the longest nap. */
static bool sleep_until_woken(void)
{
	int64_t t = gr_now();

	atomic_store(&pf.mon_word, 1);
	/* pairs with pf_wake_monitor(): asleep is visible before we look again */
	if (all_idle() && !atomic_load(&pf.stopping) && !atomic_load(&pf.need_thread))
		pf_futex(&pf.mon_word, FUTEX_WAIT_BITSET, 1, NULL);
	atomic_store(&pf.mon_word, 0);
	return gr_now() - t > MON_MAX_US * GR_US;
}

int pf_monitor(void)
{
	int us = MON_MIN_US, quiet = 0, idle_rounds = 0;

	while (!atomic_load(&pf.stopping)) {
		bool took = false, idle;

		if (atomic_exchange(&pf.need_thread, false))
			return 1;
		lock_acquire(&pf.lock);
		for (int i = 0; i < sched.nr_procs; i++)
			took |= look_at(i);
		idle = all_idle();
		lock_release(&pf.lock);
		if (took) {
			us = MON_MIN_US;
			quiet = 0;
			continue;
		}
		/* quick again after a long rest only */
		if (idle && ++idle_rounds > MON_IDLE && sleep_until_woken()) {
			idle_rounds = MON_IDLE;
			us = MON_MIN_US;
			quiet = 0;
			continue;
		}
		if (!idle || idle_rounds > MON_IDLE) {
			idle_rounds = 0;
			if (++quiet > MON_PATIENCE && us < MON_MAX_US)
				us *= 2;
		}
		if (idle && us > MON_REST_US)
			us = MON_REST_US;
		if (!atomic_load(&pf.need_thread))
			nap(us);
	}
	return 0;
}
