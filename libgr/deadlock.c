// SPDX-License-Identifier: MIT
/*
 * deadlock.c - all goroutines are asleep, and nothing can wake one: say so and end gr_run().
 *
 * Job: count the Ms that sleep, and look around when the last one is about to.
 * Callers: asleep_begin(), asleep_again(): an M on g0 that has no goroutine in hand; asleep_end():
 * the same, or, for a thread with a pinned goroutine, whoever gives that one its turn.
 *
 * Why it is never wrong. What can make a goroutine run: an M that is awake (it runs one, or may
 * find one), a goroutine in a queue, a timer or I/O (p->q->pending), and threads that are not
 * ours. The checker reads, in this order:
 *
 *	1 wakes, nr_ms == nr_asleep	no M is awake
 *	2 the number of threads		nobody else is there
 *	3 queues and pending		all empty
 *	4 nr_ms == nr_asleep, wakes	as in 1
 *
 * An M that wakes lowers nr_asleep, then raises wakes, then touches queues; 4 reads the two the
 * other way round. So if 4 sees what 1 saw, no M was awake at any instant in between (an M that
 * was woken and has not said so yet has no goroutine; it will find nothing and sleep again), and
 * none was added. Nobody ran a goroutine then, so from 2 on no thread can have been started: the
 * strangers are 0 for all of 3. With no M and no stranger nobody changes a queue, a timer or a
 * request: what 3 read one by one was true at one instant. Then nothing will ever happen.
 * A pinned goroutine that was taken from its queue is in nobody's queue until its M runs it:
 * therefore its taker, who is awake, says asleep_end() for that M.
 * Signal handlers may not call libgr; what they write into a pipe is pending I/O.
 *
 * Not found: where threads live that are not ours, sanitizers' included. A thread that was joined a moment ago may still
 * be counted: then the checker looks again a few times, unless it has met that number before.
 * Cost: two atomic operations where a thread goes to sleep, and one fstat() for the last one.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netpoll.h"
#include "runq.h"
#include "sched.h"

#define LOOKS 12 /* again after 1, 2, 4 ... ms: four seconds, for threads that are ending */

static struct {
	int fd; /* /proc/self/task; -1: we cannot count threads, and say nothing */
	int helpers;
	_Atomic bool told;
	_Atomic int known; /* this many strangers have been waited for */
} dl = { .fd = -1 };

void deadlock_start(int helpers)
{
	int saved = errno;

	dl.fd = open("/proc/self/task", O_PATH | O_DIRECTORY | O_CLOEXEC);
	dl.helpers = helpers;
	atomic_store(&dl.told, false);
	atomic_store(&dl.known, 0);
	errno = saved;
}

void deadlock_stop(void)
{
	if (dl.fd >= 0)
		close(dl.fd);
	dl.fd = -1;
}

struct entry { /* of getdents64(2): readdir() allocates */
	uint64_t ino, off;
	uint16_t len;
	uint8_t type;
	char name[];
};

static bool is_worker(int dir, const char *tid)
{
	char path[32], name[8];
	bool yes = false;
	int fd;

	snprintf(path, sizeof(path), "%.16s/comm", tid);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	yes = read(fd, name, sizeof(name)) == sizeof(name) && !memcmp(name, "iou-wrk-", sizeof(name));
	close(fd);
	return yes;
}

/*
 * The kernel's threads for our rings; they stay for seconds after their last request. Without a
 * pending request they do nothing, and who started one meanwhile has made one pending.
 */
static int workers(void)
{
	char buf[1024] __attribute__((aligned(8)));
	int dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	long len;

	while (dir >= 0 && (len = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < len; at += ((struct entry *)(buf + at))->len) {
			const struct entry *e = (struct entry *)(buf + at);

			n += e->name[0] != '.' && is_worker(dir, e->name);
		}
	}
	if (dir >= 0)
		close(dir);
	return n;
}

/* threads of the process that the runtime did not start; -1 unknown */
static int strangers(int nr_ms)
{
	struct stat st;
	int n;

	/* a directory's two links, and one for each thread */
	if (dl.fd < 0 || fstat(dl.fd, &st) || st.st_nlink < 3)
		return -1;
	n = (int)st.st_nlink - 2 - nr_ms - dl.helpers;
	return n > 0 ? n - workers() : n;
}

static bool nothing_left(void)
{
	if (globq_len())
		return false;
	for (int i = 0; i < sched.nr_procs; i++) {
		struct p *p = &sched.procs[i];

		if (!runq_empty(p) || __atomic_load_n(&p->q->pending, __ATOMIC_RELAXED) !=
					      atomic_load(&p->retired)) /* see procs.c */
			return false;
	}
	return true;
}

static void report(void)
{
	if (atomic_exchange(&dl.told, true))
		return;
	gr_warn("all goroutines are asleep - deadlock!");
	gr_dump(STDERR_FILENO);
	run_end(-EDEADLK);
}

/* All Ms seem to sleep. Returns how many strangers kept us from being sure. */
static int look(void)
{
	uint64_t wakes = atomic_load(&sched.wakes);
	int nr_ms = atomic_load(&sched.nr_ms), others;

	if (atomic_load(&sched.nr_asleep) != nr_ms || sched_stopping() || run_ended() ||
	    !nothing_left()) /* not for the argument: the usual case is cheap */
		return 0;
	others = strangers(nr_ms);
	if (others)
		return others;
	if (nothing_left() && atomic_load(&sched.nr_ms) == nr_ms &&
	    atomic_load(&sched.nr_asleep) == nr_ms && atomic_load(&sched.wakes) == wakes)
		report();
	return 0;
}

int64_t asleep_again(struct m *m)
{
	int saved = errno, others = look();

	errno = saved;
	if (others <= 0 || others == atomic_load(&dl.known))
		return GR_FOREVER;
	if (m->looks < LOOKS)
		return gr_after(GR_MS << m->looks++);
	atomic_store(&dl.known, others);
	return GR_FOREVER;
}

int64_t asleep_begin(struct m *m)
{
	/* seq_cst, all of these: see the head of this file */
	if (atomic_fetch_add(&sched.nr_asleep, 1) + 1 != atomic_load(&sched.nr_ms))
		return GR_FOREVER;
	m->looks = 0;
	return asleep_again(m);
}

void asleep_end(void)
{
	atomic_fetch_sub(&sched.nr_asleep, 1);
	atomic_fetch_add(&sched.wakes, 1);
}
