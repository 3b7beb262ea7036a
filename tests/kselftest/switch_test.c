// SPDX-License-Identifier: GPL-2.0
/*
 * switch_test.c - SWITCH, and UNPARK of a named thread, of some processors, of some cores.
 *
 * The threads of a fixture park, note what each park gave them, and end with ESHUTDOWN. The one
 * that runs the test is attached after them, as number NR.
 */
#include <signal.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define NR 3

struct parker {
	struct dev *d;
	pthread_t thread;
	int slot, cpu;
	_Atomic bool hold, attached;
	_Atomic int runs, proc;
	_Atomic unsigned int reason;
};

FIXTURE(sw)
{
	struct dev d;
	struct parker t[NR];
};

FIXTURE_VARIANT(sw)
{
	int procs;
};

FIXTURE_VARIANT_ADD(sw, one_proc)
{
	.procs = 1,
};

FIXTURE_VARIANT_ADD(sw, two_procs)
{
	.procs = 2,
};

static void *parker_main(void *arg)
{
	struct parker *me = arg;
	struct gr_park p;
	cpu_set_t set;

	if (me->cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET(me->cpu, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	me->slot = dev_attach(me->d, 0, NULL);
	atomic_store(&me->attached, true);
	while (!dev_park(me->d, me->slot, GR_NO_DEADLINE, &p)) {
		atomic_store(&me->reason, p.reason);
		atomic_store(&me->proc, p.proc);
		atomic_fetch_add(&me->runs, 1);
		while (atomic_load(&me->hold))
			sched_yield();
	}
	return NULL;
}

static bool start(struct dev *d, struct parker *t, int cpu)
{
	unsigned int spares = d->mirror->nr_spares;

	*t = (struct parker){ .d = d, .cpu = cpu };
	if (pthread_create(&t->thread, NULL, parker_main, t))
		return false;
	return wait_until(atomic_load(&t->attached) && d->mirror->nr_spares == spares + 1);
}

FIXTURE_SETUP(sw)
{
	alarm(60);
	ASSERT_EQ(0, dev_open(&self->d, variant->procs, 8, O_CLOEXEC));
	for (int i = 0; i < NR; i++)
		ASSERT_TRUE(start(&self->d, &self->t[i], -1));
	ASSERT_EQ(NR, dev_attach(&self->d, GR_ATTACH_RUN, NULL));
}

FIXTURE_TEARDOWN(sw)
{
	for (int i = 0; i < NR; i++)
		atomic_store(&self->t[i].hold, false);
	gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL);
	for (int i = 0; i < NR; i++)
		pthread_join(self->t[i].thread, NULL);
	dev_close(&self->d);
}

static int dev_switch(struct dev *d, int slot, int target, int64_t deadline, struct gr_switch *out)
{
	struct gr_switch s = { .slot = slot, .target = target, .deadline = deadline };
	int ret = gr_call(d->fd, GR_IOC_SWITCH, &s);

	if (out)
		*out = s;
	return ret;
}

static int unpark_thread(struct dev *d, int slot)
{
	struct gr_unpark u = { .nr = 1, .flags = GR_UNPARK_THREAD, .slot = slot };
	int ret = gr_call(d->fd, GR_IOC_UNPARK, &u);

	return ret ? -ret : (int)u.woken;
}

static int unpark_mask(struct dev *d, int nr, int flags, uint64_t mask)
{
	struct gr_unpark u = { .nr = nr, .flags = flags, .mask = { mask } };
	int ret = gr_call(d->fd, GR_IOC_UNPARK, &u);

	return ret ? -ret : (int)u.woken;
}

TEST_F(sw, arguments)
{
	struct gr_switch s = { .slot = NR, .target = 0, .flags = 1, .deadline = GR_NO_DEADLINE };
	int fd = self->d.fd;

	EXPECT_EQ(EINVAL, gr_call(fd, GR_IOC_SWITCH, &s));
	s.flags = 0;
	s.reserved = 1;
	EXPECT_EQ(EINVAL, gr_call(fd, GR_IOC_SWITCH, &s));
	s.reserved = 0;
	s.deadline = -2;
	EXPECT_EQ(EINVAL, gr_call(fd, GR_IOC_SWITCH, &s));
	EXPECT_EQ(EINVAL, dev_switch(&self->d, NR, NR, 0, NULL));
	EXPECT_EQ(ESRCH, dev_switch(&self->d, NR, NR + 1, 0, NULL));
	EXPECT_EQ(ESRCH, dev_switch(&self->d, NR, -1, 0, NULL));
	EXPECT_EQ(ESRCH, dev_switch(&self->d, NR, 1 << 30, 0, NULL));
	EXPECT_EQ(ESRCH, dev_switch(&self->d, 0, 1, 0, NULL));
	EXPECT_EQ(EFAULT, gr_call(fd, GR_IOC_SWITCH, NULL));
	EXPECT_EQ(0, self->d.mthreads[NR].proc);
	EXPECT_EQ(NR, self->d.mirror->nr_spares);
}

/* the named thread gets exactly this P, the caller sleeps until somebody gives it one */
TEST_F(sw, there_and_back)
{
	struct gr_switch s;

	for (int i = 0; i < 50; i++) {
		struct parker *to = &self->t[i % NR];
		int runs = atomic_load(&to->runs);

		/* @to parks at once, its P goes idle, and is not looked for: the deadline ends it */
		EXPECT_EQ(ETIMEDOUT, dev_switch(&self->d, NR, to->slot, now_ns() + 3000000, &s));
		EXPECT_TRUE(wait_until(atomic_load(&to->runs) == runs + 1));
		EXPECT_EQ(GR_WAKE_HANDOFF, atomic_load(&to->reason));
		EXPECT_EQ(0, atomic_load(&to->proc));
		EXPECT_TRUE(wait_until(self->d.mirror->nr_spares == NR));
		EXPECT_EQ(GR_NO_PROC, self->d.mthreads[NR].proc);
		EXPECT_EQ(EAGAIN, dev_switch(&self->d, NR, to->slot, 0, NULL));
		EXPECT_EQ(0, unpark_thread(&self->d, NR));
		EXPECT_EQ(0, dev_park(&self->d, NR, GR_NO_DEADLINE, NULL));
		EXPECT_EQ(0, self->d.mthreads[NR].proc);
	}
}

struct peer {
	struct dev *d;
	int rounds;
};

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	int slot = dev_attach(p->d, 0, NULL), n = 0;
	struct gr_park first;

	if (dev_park(p->d, slot, GR_NO_DEADLINE, &first))
		return (void *)-1L;
	/* the main thread is parked in SWITCH whenever this one runs */
	while (++n < p->rounds)
		if (dev_switch(p->d, slot, NR, GR_NO_DEADLINE, NULL))
			return (void *)(long)-n;
	unpark_thread(p->d, NR);
	dev_detach(p->d, slot);
	return (void *)(long)n;
}

TEST_F(sw, ping_pong)
{
	struct peer p = { .d = &self->d, .rounds = 2000 };
	struct gr_switch s;
	pthread_t thread;
	void *ret;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, peer_main, &p));
	ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == NR + 1));
	for (i = 0; i < p.rounds; i++)
		if (dev_switch(&self->d, NR, NR + 1, GR_NO_DEADLINE, &s))
			break;
	EXPECT_EQ(p.rounds, i);
	pthread_join(thread, &ret);
	EXPECT_EQ(p.rounds, (long)ret);
	EXPECT_EQ(self->d.mthreads[NR].proc, s.proc);
	EXPECT_LE(0, s.proc);
}

TEST_F(sw, target_is_not_parked)
{
	atomic_store(&self->t[1].hold, true);
	EXPECT_EQ(ETIMEDOUT, dev_switch(&self->d, NR, 1, now_ns() + 2000000, NULL));
	/* 1 runs, on P 0; with one P the caller has none */
	if (variant->procs == 2) {
		EXPECT_EQ(1, unpark_thread(&self->d, 2));
		EXPECT_TRUE(wait_until(atomic_load(&self->t[2].runs) == 1));
	}
	EXPECT_EQ(EAGAIN, dev_switch(&self->d, NR, 1, 0, NULL));
	EXPECT_EQ(EAGAIN, dev_switch(&self->d, NR, 0, 0, NULL));
}

TEST_F(sw, directed_unpark)
{
	struct gr_unpark u = { .nr = 1, .flags = GR_UNPARK_THREAD | GR_UNPARK_CPUS };

	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_UNPARK, &u));
	u.flags = GR_UNPARK_THREAD;
	u.mask[3] = 1;
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_UNPARK, &u));
	u = (struct gr_unpark){ .nr = 1, .slot = 1 };
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_UNPARK, &u));
	EXPECT_EQ(-ESRCH, unpark_thread(&self->d, -1));
	EXPECT_EQ(-ESRCH, unpark_thread(&self->d, NR + 1));
	EXPECT_EQ(-ESRCH, unpark_thread(&self->d, 1 << 30));

	/* the oldest spare, at the bottom of its stack, and no other */
	if (variant->procs == 2) {
		EXPECT_EQ(1, unpark_thread(&self->d, 0));
		EXPECT_TRUE(wait_until(atomic_load(&self->t[0].runs) == 1));
		EXPECT_EQ(GR_WAKE_UNPARK, atomic_load(&self->t[0].reason));
		EXPECT_TRUE(wait_until(self->d.mirror->nr_spares == NR));
	} else {
		/* no P is free: it waits for this one */
		EXPECT_EQ(0, unpark_thread(&self->d, 0));
		EXPECT_EQ(1, self->d.mirror->nr_returners);
		EXPECT_EQ(NR - 1, self->d.mirror->nr_spares);
		EXPECT_EQ(0, unpark_thread(&self->d, 0));
		EXPECT_EQ(ETIMEDOUT, dev_park(&self->d, NR, now_ns() + 2000000, NULL));
		EXPECT_TRUE(wait_until(atomic_load(&self->t[0].runs) == 1));
	}
	EXPECT_EQ(0, atomic_load(&self->t[1].runs) + atomic_load(&self->t[2].runs));
	EXPECT_EQ(0, self->d.mirror->nr_returners);
}

/* it came before the park: remembered, once */
TEST_F(sw, permit_of_a_thread)
{
	struct gr_park p;

	EXPECT_EQ(0, unpark_thread(&self->d, NR));
	EXPECT_EQ(0, unpark_thread(&self->d, NR));
	EXPECT_EQ(0, dev_park(&self->d, NR, GR_NO_DEADLINE, &p));
	EXPECT_EQ(GR_WAKE_WORK, p.reason);
	EXPECT_EQ(0, p.proc);
	EXPECT_EQ(ETIMEDOUT, dev_park(&self->d, NR, now_ns() + 1000000, &p));
	/* without a P of its own it takes the free one */
	EXPECT_EQ(0, unpark_thread(&self->d, NR));
	EXPECT_EQ(0, dev_park(&self->d, NR, GR_NO_DEADLINE, &p));
	EXPECT_EQ(GR_WAKE_WORK, p.reason);
}

/* a directed permit on a thread whose P is taken: it waits as a returner, even with a deadline */
TEST_F(sw, permit_without_a_processor)
{
	struct gr_switch s;

	if (variant->procs != 1)
		SKIP(return, "about a single processor");
	atomic_store(&self->t[2].hold, true);
	EXPECT_EQ(0, unpark_thread(&self->d, NR));
	EXPECT_EQ(ETIMEDOUT, dev_switch(&self->d, NR, 2, now_ns() + 5000000, &s));
	EXPECT_EQ(0, self->d.mirror->nr_returners);
	EXPECT_EQ(0, unpark_thread(&self->d, NR));
	atomic_store(&self->t[2].hold, false);
	EXPECT_EQ(0, dev_park(&self->d, NR, GR_NO_DEADLINE, NULL));
	EXPECT_EQ(0, self->d.mthreads[NR].proc);
}

/* told to run while no P was free, and its park ends: the next one does not sleep as a spare */
TEST_F(sw, permit_outlives_a_park_that_ends)
{
	struct gr_switch s;
	struct gr_park p;

	if (variant->procs != 1)
		SKIP(return, "about a single processor");
	atomic_store(&self->t[2].hold, true);
	EXPECT_EQ(0, unpark_thread(&self->d, NR));
	/* a returner from the start of its sleep on: the permit is consumed */
	EXPECT_EQ(ETIMEDOUT, dev_switch(&self->d, NR, 2, now_ns() + 5000000, &s));
	atomic_store(&self->t[2].hold, false);
	ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == NR));
	EXPECT_EQ(0, dev_park(&self->d, NR, now_ns() + 5000000000LL, &p));
	EXPECT_EQ(GR_WAKE_WORK, p.reason);
	EXPECT_EQ(0, p.proc);
	/* it is used up now */
	EXPECT_EQ(ETIMEDOUT, dev_park(&self->d, NR, now_ns() + 1000000, &p));
}

/* ---- what comes between: signals that restart system calls, sleeps ---- */

static void nothing(int sig)
{
}

/* sends a signal to the thread of the test once it sleeps as a spare */
struct poker {
	struct dev *d;
	pthread_t to;
	bool parked;
};

static void *poker_main(void *arg)
{
	struct poker *p = arg;

	p->parked = wait_until(p->d->mthreads[NR].state == GR_T_PARKED);
	pthread_kill(p->to, SIGUSR1);
	return NULL;
}

static bool start_poker(struct poker *p, pthread_t *thread, struct dev *d)
{
	struct sigaction sa = { .sa_handler = nothing, .sa_flags = SA_RESTART };

	*p = (struct poker){ .d = d, .to = pthread_self() };
	return !sigaction(SIGUSR1, &sa, NULL) && !pthread_create(thread, NULL, poker_main, p);
}

/*
 * The P was given away before the signal came. Started again, the call would find a caller without
 * one and say EAGAIN: to the caller that means that it still has it.
 */
TEST_F(sw, a_switch_is_not_restarted)
{
	struct poker poker;
	pthread_t thread;

	atomic_store(&self->t[1].hold, true);
	ASSERT_TRUE(start_poker(&poker, &thread, &self->d));
	EXPECT_EQ(EINTR, dev_switch(&self->d, NR, 1, now_ns() + 60000000000LL, NULL));
	pthread_join(thread, NULL);
	EXPECT_TRUE(poker.parked);
	EXPECT_EQ(GR_NO_PROC, self->d.mthreads[NR].proc);
}

TEST_F(sw, a_yield_is_not_restarted)
{
	struct gr_park p = { .slot = NR, .deadline = now_ns() + 60000000000LL };
	struct poker poker;
	pthread_t thread;

	if (variant->procs != 1)
		SKIP(return, "about a single processor");
	atomic_store(&self->t[0].hold, true);
	EXPECT_EQ(0, unpark_thread(&self->d, 0));
	ASSERT_EQ(1, self->d.mirror->nr_returners);
	ASSERT_TRUE(start_poker(&poker, &thread, &self->d));
	EXPECT_EQ(EINTR, gr_call(self->d.fd, GR_IOC_YIELD, &p));
	pthread_join(thread, NULL);
	EXPECT_TRUE(poker.parked);
	EXPECT_EQ(GR_NO_PROC, self->d.mthreads[NR].proc);
	EXPECT_EQ(0, self->d.mthreads[0].proc);
}

TEST_F(sw, deadline_of_a_yield)
{
	struct gr_park p = { .slot = NR };

	if (variant->procs != 1)
		SKIP(return, "about a single processor");
	atomic_store(&self->t[0].hold, true);
	EXPECT_EQ(0, unpark_thread(&self->d, 0));
	p.deadline = now_ns() + 2000000;
	EXPECT_EQ(ETIMEDOUT, gr_call(self->d.fd, GR_IOC_YIELD, &p));
	EXPECT_EQ(GR_NO_PROC, self->d.mthreads[NR].proc);
	EXPECT_EQ(0, self->d.mthreads[0].proc);
}

static void *shutdown_main(void *arg)
{
	struct dev *d = arg;
	bool parked = wait_until(d->mthreads[NR].state == GR_T_PARKED);

	gr_call(d->fd, GR_IOC_SHUTDOWN, NULL);
	return (void *)(long)parked;
}

TEST_F(sw, shutdown_ends_a_switch)
{
	pthread_t thread;
	void *parked;

	atomic_store(&self->t[1].hold, true);
	ASSERT_EQ(0, pthread_create(&thread, NULL, shutdown_main, &self->d));
	EXPECT_EQ(ESHUTDOWN, dev_switch(&self->d, NR, 1, GR_NO_DEADLINE, NULL));
	pthread_join(thread, &parked);
	EXPECT_EQ((void *)1, parked);
}

TEST_F(sw, shutdown_ends_a_yield)
{
	struct gr_park p = { .slot = NR, .deadline = GR_NO_DEADLINE };
	pthread_t thread;
	void *parked;

	if (variant->procs != 1)
		SKIP(return, "about a single processor");
	atomic_store(&self->t[0].hold, true);
	EXPECT_EQ(0, unpark_thread(&self->d, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, shutdown_main, &self->d));
	EXPECT_EQ(ESHUTDOWN, gr_call(self->d.fd, GR_IOC_YIELD, &p));
	pthread_join(thread, &parked);
	EXPECT_EQ((void *)1, parked);
}

/* ends the sleep of the test's thread, and tells it to run while it waits for a P */
struct teller {
	struct dev *d;
	struct parker *t;
	int fd;
	bool blocked, returning;
	int woken;
};

static void *teller_main(void *arg)
{
	struct teller *me = arg;

	me->blocked = wait_until(me->d->mthreads[NR].state == GR_T_BLOCKED);
	if (write(me->fd, "x", 1) != 1)
		me->blocked = false;
	me->returning = wait_until(me->d->mthreads[NR].state == GR_T_RETURNING);
	me->woken = unpark_thread(me->d, NR);
	me->d->hint->globq_len = 0;
	for (int i = 0; i < NR; i++)
		atomic_store(&me->t[i].hold, false);
	return NULL;
}

/* a thread that waits for a P after a sleep is not parked: its next PARK does not sleep */
TEST_F(sw, permit_of_a_returner)
{
	struct teller teller = { .d = &self->d, .t = self->t };
	struct gr_park p;
	pthread_t thread;
	int pipe_fd[2];
	char c;

	if (variant->procs != 1)
		SKIP(return, "about a single processor");
	ASSERT_EQ(0, pipe(pipe_fd));
	teller.fd = pipe_fd[1];
	for (int i = 0; i < NR; i++)
		atomic_store(&self->t[i].hold, true);
	self->d.hint->globq_len = 1;
	ASSERT_EQ(0, pthread_create(&thread, NULL, teller_main, &teller));
	dev_user(&self->d, NR);
	EXPECT_EQ(1, read(pipe_fd[0], &c, 1));
	dev_runtime(&self->d, NR);
	pthread_join(thread, NULL);
	EXPECT_TRUE(teller.blocked && teller.returning);
	EXPECT_EQ(0, teller.woken);
	EXPECT_EQ(0, self->d.mthreads[NR].proc);
	EXPECT_EQ(0, dev_park(&self->d, NR, now_ns() + 5000000000LL, &p));
	EXPECT_EQ(GR_WAKE_WORK, p.reason);
	EXPECT_EQ(0, p.proc);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

TEST_F(sw, unpark_some_processors)
{
	EXPECT_EQ(-EINVAL, unpark_mask(&self->d, 1, 0, 1));
	/* P 0 is the caller's */
	EXPECT_EQ(0, unpark_mask(&self->d, variant->procs, GR_UNPARK_PROCS, 1));
	EXPECT_EQ(0, unpark_mask(&self->d, 1, GR_UNPARK_PROCS, ~3ULL));
	if (variant->procs == 2) {
		EXPECT_EQ(1, unpark_mask(&self->d, 2, GR_UNPARK_PROCS, 3));
		EXPECT_TRUE(wait_until(self->d.mirror->nr_spares == NR));
		EXPECT_EQ(1, atomic_load(&self->t[0].runs) + atomic_load(&self->t[1].runs) +
				     atomic_load(&self->t[2].runs));
	}
	/* not remembered: the next park sleeps */
	EXPECT_EQ(ETIMEDOUT, dev_park(&self->d, NR, now_ns() + 1000000, NULL));
}

TEST(unpark_some_cores)
{
	struct parker t[2];
	struct dev d;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one core");
	alarm(60);
	ASSERT_EQ(0, dev_open(&d, 2, 8, O_CLOEXEC));
	for (int i = 0; i < 2; i++)
		ASSERT_TRUE(start(&d, &t[i], i));
	for (int i = 0; i < 20; i++) {
		int cpu = i & 1, runs = atomic_load(&t[cpu].runs);

		EXPECT_EQ(1, unpark_mask(&d, 2, GR_UNPARK_CPUS, 1ULL << cpu));
		EXPECT_TRUE(wait_until(d.mirror->nr_spares == 2));
		EXPECT_EQ(runs + 1, atomic_load(&t[cpu].runs));
	}
	EXPECT_EQ(0, unpark_mask(&d, 1, GR_UNPARK_CPUS, 1ULL << 63));
	gr_call(d.fd, GR_IOC_SHUTDOWN, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i].thread, NULL);
	dev_close(&d);
}

TEST_HARNESS_MAIN
