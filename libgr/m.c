// SPDX-License-Identifier: MIT
/*
 * m.c - kernel threads: made when a P has work and no thread is parked, gone when the runtime
 * stops.
 *
 * Threads do not end before that: requests in an io_uring are cancelled when the thread that
 * submitted them exits, and a spare costs little.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"
#include "park.h"
#include "sched.h"

#define M_STACK ((size_t)256 << 10) /* the scheduler's frames, and those of user callbacks */
#define RETRY_MAX_MS 100

static void link_m(struct m *m)
{
	lock_acquire(&sched.ms_lock);
	m->all_next = sched.ms;
	sched.ms = m;
	lock_release(&sched.ms_lock);
}

/* Threads that have joined the group, or failed to; the monitor starts one at a time. */
static _Atomic int nr_joined;

static _Atomic int nr_failed;

static void joined(void)
{
	atomic_fetch_add(&nr_joined, 1);
	syscall(SYS_futex, &nr_joined, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wait_joined(int before)
{
	while (atomic_load(&nr_joined) == before)
		syscall(SYS_futex, &nr_joined, FUTEX_WAIT_PRIVATE, before, NULL, NULL, 0);
}

/* the last one out wakes gr_run(), which joins them */
static void m_leave(void)
{
	if (atomic_fetch_sub(&sched.nr_ms, 1) == 1)
		syscall(SYS_futex, &sched.nr_ms, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *m_main(void *arg)
{
	struct m *m = arg;
	int proc;

	m_hold(m, -1);
	m->thread = pthread_self();
	m->tid = syscall(SYS_gettid);
	m->rng = m->tid * 2654435761u | 1;
	m_set_self(m);
	san_g0_new(&m->g0);
	crash_thread_begin(m);
	proc = sched.ops->attach(m, true);
	if (proc < GR_NO_PROC)
		atomic_fetch_add(&nr_failed, 1);
	joined();
	if (proc >= GR_NO_PROC) {
		m->depth = 1; /* the scheduler is the runtime */
		m_set_proc(m, proc);
		link_m(m);
		sched_loop(m);
		sched.ops->detach(m);
		crash_thread_end(m);
		m_set_self(NULL); /* destructors of the thread's values come after us */
		atomic_store(&m->left, true);
	} else {
		if (proc != -ESHUTDOWN)
			gr_warn("a thread could not join the group: error %d", -proc);
		crash_thread_end(m);
		m_set_self(NULL);
		free(m);
		pthread_detach(pthread_self()); /* not in the list of those to be joined */
	}
	m_leave();
	return NULL;
}

static int create(struct m *m)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, M_STACK);
	ret = pthread_create(&thread, &attr, m_main, m);
	pthread_attr_destroy(&attr);
	return -ret;
}

int m_start(void)
{
	static _Atomic bool warned, failed;
	struct m *m;
	int ret;

	if (atomic_fetch_add(&sched.nr_ms, 1) >= sched.max_threads) {
		m_leave();
		if (!atomic_exchange(&warned, true))
			gr_warn("%d threads are blocked, the limit; goroutines wait for one of them",
				sched.max_threads);
		return -EAGAIN;
	}
	m = calloc(1, sizeof(*m));
	ret = m ? create(m) : -ENOMEM;
	if (ret) {
		free(m);
		m_leave();
		if (!atomic_exchange(&failed, true))
			gr_warn("no further thread: error %d; goroutines wait for one", -ret);
	}
	return ret;
}

/* until it has joined, the same lack would be reported again and again */
static bool start_one(void)
{
	int before = atomic_load(&nr_joined), failures = atomic_load(&nr_failed);

	if (m_start())
		return false;
	wait_joined(before);
	return atomic_load(&nr_failed) == failures;
}

void *m_monitor(void *unused)
{
	while (sched.ops->monitor()) {
		long ms = 1;

		/* nobody asks twice; but a thread that parked meanwhile has looked for itself */
		while (!start_one() && !sched_stopping() && !PEEK(park_tab.mirror->nr_spares)) {
			struct timespec pause = { 0, ms * 1000000 };

			nanosleep(&pause, NULL);
			ms = ms < RETRY_MAX_MS ? 2 * ms : RETRY_MAX_MS;
		}
	}
	return unused;
}
