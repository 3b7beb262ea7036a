// SPDX-License-Identifier: MIT
/*
 * run.c - start the runtime, wait for its first goroutine, stop it.
 *
 * The thread that calls gr_run() does not run goroutines: it waits. Stopping: every M leaves at
 * its next scheduling point. One that sits in a blocking call of user code cannot be stopped; it
 * is given STOP_MS, then the runtime's memory is left to it and gr_run() answers -EBUSY until it
 * is gone. The same for one whose end, where libraries destroy what they keep for it, takes longer
 * than LEAVE_MS.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"
#include "debug.h"
#include "desc.h"
#include "multi.h"
#include "netpoll.h"
#include "runq.h"
#include "proxy.h"
#include "sched.h"
#include "stack.h"

#define STOP_MS 200
#define LEAVE_MS 10000
#define MAX_THREADS 10000

static _Atomic bool busy; /* a runtime exists, maybe only its leftovers */
static _Atomic bool left_behind; /* only them: the next gr_run() may give them back */

/* the first goroutine and the thread that waits for it */
static struct {
	int (*fn)(void *);
	void *arg;
	int result;
	_Atomic bool claimed; /* by itself, when it begins, or by gr_run(): it never will */
	_Atomic int done;     /* futex */
} first;

static pthread_t monitor;
static bool has_monitor;

static void futex_wait(_Atomic int *word, int val, int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, val, ms < 0 ? NULL : &ts, NULL, 0);
}

bool run_ended(void)
{
	return atomic_load(&first.done);
}

void run_end(int result)
{
	first.result = result;
	atomic_store(&first.done, 1);
	syscall(SYS_futex, &first.done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void first_main(void *unused)
{
	(void)unused;
	if (!atomic_exchange(&first.claimed, true)) {
		run_end(first.fn(first.arg));
		return;
	}
	while (!run_ended()) /* a moment; asleep, all would look like a deadlock */
		gr_yield();
}

/* ---- options ---- */

static int env_int(const char *name, int max, int *value)
{
	const char *s = getenv(name);
	char *end;
	long n;

	if (!s || !*s)
		return 0;
	n = strtol(s, &end, 10);
	if (*end || n < 1 || n > max) {
		gr_warn("%s=%s is not a number from 1 to %d", name, s, max);
		return -EINVAL;
	}
	*value = (int)n;
	return 0;
}

/* nr_procs is what to begin with; from here on it is how many there are. */
static int read_max_procs(const struct gr_opts *opts)
{
	int active = sched.nr_procs, max = opts && opts->max_procs ? opts->max_procs : active;

	if (max < active) {
		gr_warn("gr_run: max_procs %d is less than the %d to begin with", max, active);
		return -EINVAL;
	}
	atomic_store(&sched.active_procs, active);
	sched.nr_procs = max;
	/* a P out of use needs a thread, which is not one of those that were asked for */
	if (sched.max_threads < active)
		sched.max_threads = active;
	sched.max_threads += max - active;
	if (sched.max_threads > GR_MAX_THREADS)
		sched.max_threads = GR_MAX_THREADS;
	return 0;
}

static int read_opts(const struct gr_opts *opts)
{
	int ret;

	sched.nr_procs = gr_default_procs();
	ret = env_int("GR_PROCS", GR_MAX_PROCS, &sched.nr_procs);
	if (ret)
		return ret;
	sched.max_threads = MAX_THREADS;
	sched.stack_size = STACK_DEFAULT;
	if (opts) {
		if (opts->size != sizeof(*opts) || opts->nr_procs < 0 ||
		    opts->nr_procs > GR_MAX_PROCS || opts->max_procs < 0 ||
		    opts->max_procs > GR_MAX_PROCS || opts->max_threads < 0 ||
		    opts->max_threads > GR_MAX_THREADS ||
		    (opts->stack_size &&
		     (opts->stack_size < STACK_MIN || opts->stack_size > STACK_MAX))) {
			gr_warn("gr_run: bad options");
			return -EINVAL;
		}
		if (opts->nr_procs)
			sched.nr_procs = opts->nr_procs;
		if (opts->max_threads)
			sched.max_threads = opts->max_threads;
		if (opts->stack_size)
			sched.stack_size = opts->stack_size;
	}
	return read_max_procs(opts);
}

/* the backend of GR_BACKEND, or the best there is */
static int choose_backend(void)
{
	const char *want = getenv("GR_BACKEND"), *why = "";
	int ret = -ENODEV;

	if (!want || !*want)
		want = "auto";
	if (strcmp(want, "auto") && strcmp(want, "kmod") && strcmp(want, "futex")) {
		gr_warn("GR_BACKEND=%s: known are kmod, futex and auto", want);
		return -EINVAL;
	}
	if (strcmp(want, "futex")) {
		sched.ops = &park_kmod;
		ret = sched.ops->setup(sched.nr_procs, sched.max_threads, &why);
	}
	if (ret && strcmp(want, "kmod")) {
		sched.ops = &park_futex;
		ret = sched.ops->setup(sched.nr_procs, sched.max_threads, &why);
	}
	if (ret)
		gr_warn("no parking backend: %s", why);
	return ret;
}

/* ---- start ---- */

static int init_procs(void)
{
	int ret;

	sched.procs = aligned_alloc(CACHELINE, sched.nr_procs * sizeof(struct p));
	if (!sched.procs) {
		gr_warn("no memory for %d processors", sched.nr_procs);
		return -ENOMEM;
	}
	memset(sched.procs, 0, sched.nr_procs * sizeof(struct p));
	for (int i = 0; i < sched.nr_procs; i++) {
		struct p *p = &sched.procs[i];

		p->id = i;
		p->rng = shuffle_seed(i);
		p->q = &park_tab.hprocs[i];
		atomic_store(&p->timer_next, INT64_MAX);
		if (i >= atomic_load(&sched.active_procs))
			procs_set_retired(p, true);
		ret = netpoll_init(p);
		if (ret) {
			gr_warn("no %s for processor %d: error %d", netpoll->name, i, -ret);
			while (i--)
				netpoll_fini(&sched.procs[i]);
			free(sched.procs);
			return ret;
		}
	}
	return 0;
}

static int start(const struct gr_opts *opts)
{
	int ret;

	memset(&sched, 0, sizeof(sched));
	ret = read_opts(opts);
	if (!ret)
		ret = debug_read();
	sched.shuffle = debug.shuffle || debug.migrate;
	sched.alone = sched.nr_procs == 1 && !sched.shuffle;
	if (!ret)
		ret = netpoll_choose();
	if (!ret)
		ret = choose_backend();
	if (ret)
		return ret;
	ret = init_procs();
	if (ret) {
		sched.ops->fini();
		return ret;
	}
	atomic_store(&sched.running, true);
	return 0;
}

/* ---- stop ---- */

static struct m *ended_ms; /* joined; goroutines that were pinned still name them */

/* until: CLOCK_MONOTONIC, ns */
static int join_until(pthread_t thread, int64_t until)
{
	struct timespec ts = { until / GR_SEC, until % GR_SEC };

#ifdef GR_TSAN /* it does not know the other call, and each thread would be a leak */
	clock_gettime(CLOCK_REALTIME, &ts);
	until += ts.tv_sec * GR_SEC + ts.tv_nsec - gr_now();
	ts = (struct timespec){ until / GR_SEC, until % GR_SEC };
	return pthread_timedjoin_np(thread, NULL, &ts);
#else
	return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &ts);
#endif
}

/*
 * What libraries keep for a thread is destroyed in it only when it has left, and may use libgr:
 * wait up to ms until those that have left have ended. False: some have not; may be called again.
 */
static bool join_threads(int ms)
{
	struct m **at = &sched.ms, *m;
	int64_t until = gr_now() + ms * GR_MS;
	bool all = true;

	while ((m = *at)) {
		/* another error: the program has detached or joined it itself */
		if (!atomic_load(&m->left) || join_until(m->thread, until) == ETIMEDOUT) {
			all = false;
			at = &m->all_next;
			continue;
		}
		lock_acquire(&sched.ms_lock);
		*at = m->all_next;
		lock_release(&sched.ms_lock);
		m->all_next = ended_ms;
		ended_ms = m;
	}
	return all;
}

static void free_all(void)
{
	desc_walk_wait();
	proxy_fini();
	multis_stop();
	for (int i = 0; i < sched.nr_procs; i++) {
		netpoll_fini(&sched.procs[i]);
		timers_fini(&sched.procs[i]);
	}
	multis_stopped();
	while (ended_ms) {
		struct m *m = ended_ms;

		ended_ms = m->all_next;
		free(m);
	}
	deadlock_stop();
	globq_fini();
	desc_fini();
	stack_fini();
	sched.ops->fini();
	free(sched.procs);
}

/* Ms in goroutine code, where they may stay for ever; the others leave as soon as they get a CPU */
static int in_user_code(void)
{
	int n = 0;

	lock_acquire(&sched.ms_lock);
	for (struct m *m = sched.ms; m; m = m->all_next)
		n += !__atomic_load_n(&m->hint->flags, __ATOMIC_RELAXED);
	lock_release(&sched.ms_lock);
	return n;
}

/* Every thread ended; false: some are stuck in user code. */
static bool stop_threads(void)
{
	int n;

	atomic_store(&sched.running, false);
	atomic_store(&sched.stopping, true);
	atomic_fetch_add(&sched.odd, 1);
	trace_stop();
	sched.ops->stop();
	if (has_monitor)
		pthread_join(monitor, NULL);
	for (int ms = 0; (n = atomic_load(&sched.nr_ms)); ms++) {
		if (ms >= STOP_MS && (n == in_user_code() || ms >= LEAVE_MS))
			break;
		sched_wake_pollers();
		pin_stop();
		futex_wait(&sched.nr_ms, n, 1);
	}
	return join_threads(LEAVE_MS) && !n;
}

/* the last runtime left threads behind: gone by now? */
static int clear_leftovers(void)
{
	if (!atomic_exchange(&busy, true))
		return 0;
	if (!atomic_exchange(&left_behind, false))
		return -EBUSY;
	if (!join_threads(0) || atomic_load(&sched.nr_ms)) {
		atomic_store(&left_behind, true);
		return -EBUSY;
	}
	crash_end();
	free_all();
	return 0;
}

int run_clear(void)
{
	int ret;

	if (!atomic_load(&busy))
		return 0;
	ret = clear_leftovers();
	if (!ret)
		atomic_store(&busy, false);
	return ret;
}

/* First those that run no goroutines: deadlock.c must know how many there are. */
static int start_threads(void)
{
	int ret = -pthread_create(&monitor, NULL, m_monitor, NULL);

	has_monitor = !ret;
	if (!ret)
		ret = trace_start();
	deadlock_start(trace_on() ? 3 : 2);
	if (!ret)
		ret = gr_go(first_main, NULL);
	/* the back end gives the retired Ps away first */
	for (int i = atomic_load(&sched.active_procs); !ret && i < sched.nr_procs; i++)
		ret = m_start();
	if (!ret)
		ret = m_start();
	return ret;
}

/*
 * Without its threads the runtime ends at once, before the first goroutine has begun. If it has, on
 * a thread that the monitor could make, the program runs as any does that gets no more threads.
 */
static void begin(void)
{
	int ret = start_threads();

	if (!ret || atomic_exchange(&first.claimed, true))
		return;
	gr_warn("gr_run: cannot start: error %d", -ret);
	run_end(ret);
}

int gr_run(int (*fn)(void *), void *arg, const struct gr_opts *opts)
{
	int ret;

	if (!fn || m_self())
		return -EINVAL;
	ret = clear_leftovers();
	if (ret) {
		gr_warn("gr_run: a runtime is running, or a thread of the last one still blocks");
		return ret;
	}
	ret = start(opts);
	if (ret) {
		atomic_store(&busy, false);
		return ret;
	}
	crash_begin();
	first.fn = fn;
	first.arg = arg;
	atomic_store(&first.claimed, false);
	atomic_store(&first.done, 0);
	begin();
	while (!atomic_load(&first.done))
		futex_wait(&first.done, 0, -1);
	ret = first.result;
	if (stop_threads()) {
		crash_end();
		free_all();
		atomic_store(&busy, false);
	} else {
		atomic_store(&left_behind, true);
	}
	return ret;
}
