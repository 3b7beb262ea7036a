// SPDX-License-Identifier: GPL-2.0
/*
 * ways_test.c - every way to block, judged by the scheduler's own trace.
 *
 * One test per way (ways/ways.h says who does what). In each round A goes into goroutine code on
 * the only P, work is published, a spare is parked, and A blocks. Expected, whatever the way:
 *
 *   as many gr:block as sleeps that the scheduler saw, each behind its own (ways/trace.h);
 *   as many gr:unblock as times the P was lost; the mirror counts the same;
 *   A runs nothing in user mode while B has the P, and has it when it comes back.
 *
 * Half of the rounds have company: a busy thread on A's CPU, and A has had more than its share
 * when it goes to sleep. Since 6.12 such a sleeper stays on the run queue for a while: whoever
 * asks only whether it is queued takes it for runnable.
 *
 * The control in each test: A computes in such company. It is switched out runnable again and
 * again, and nothing of gr's may happen.
 */
#include "kselftest_harness.h"
#include "ways/trace.h"
#include "ways/ways.h"

#define ROUNDS 8
#define CONTROL ROUNDS		/* number of its window, after those of the rounds */
#define PREEMPTIONS 10
#define GREED_NS 1000000
#define MODEST 10	/* nice */

static struct ways *w;
static struct dev *d;
static const struct way *way;

static void *b_main(void *arg)
{
	struct gr_park p;
	unsigned long beat;

	w->b = syscall(SYS_gettid);
	w->b_slot = dev_attach(d, 0, NULL);
	while (!dev_park(d, w->b_slot, GR_NO_DEADLINE, &p)) {
		beat = atomic_load(&w->beat);
		d->hint->globq_len = 0;	/* the work is taken */
		atomic_fetch_add(&w->b_handoffs, p.reason == GR_WAKE_HANDOFF);
		atomic_fetch_add(&w->b_rounds, 1);
		if (atomic_load(&w->hold))
			atomic_fetch_add(&w->b_waited, wait_until(d->mirror->nr_returners == 1));
		atomic_fetch_add(&w->a_ran, beat != atomic_load(&w->beat));
	}
	return NULL;
}

static void *other_main(void *arg)
{
	return (void *)(long)way->other(w);
}

FIXTURE(way)
{
	struct dev d;
	pthread_t b;
	const char *wrong;
};

FIXTURE_VARIANT(way)
{
	const struct way *way;
};

#define WAY(name) \
	FIXTURE_VARIANT_ADD(way, name) { .way = &way_##name }

WAY(pipe_read);
WAY(unix_recv);
WAY(poll);
WAY(epoll_wait);
WAY(nanosleep);
WAY(futex_wait);
WAY(pthread_mutex);
WAY(flock);
WAY(wait4);
WAY(vfork);
WAY(cold_read);
WAY(cold_fault);
WAY(fsync);
WAY(sync_write);
WAY(msync);
WAY(frozen_fs);
WAY(userfault);
WAY(process_vm_readv);
WAY(mmap_lock);
WAY(sigstop);
WAY(ptrace);
WAY(freezer);
WAY(cpu_max);

/* A on the only P, B parked, nothing to do */
static const char *begin(struct dev *dev, pthread_t *b)
{
	alarm(150);
	d = dev;
	w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w == MAP_FAILED || dev_open(d, 1, 4, O_CLOEXEC))
		return "no device";
	w->pid = getpid();
	w->a = syscall(SYS_gettid);
	w->a_slot = dev_attach(d, GR_ATTACH_RUN, NULL);
	if (w->a_slot < 0 || pthread_create(b, NULL, b_main, NULL) ||
	    !wait_until(d->mirror->nr_spares == 1))
		return "no spare";
	return trace_begin(w->a, w->a_slot, w->b);
}

FIXTURE_SETUP(way)
{
	way = variant->way;
	self->wrong = begin(&self->d, &self->b);
	ASSERT_EQ(NULL, self->wrong) {
		TH_LOG("%s", self->wrong);
	}
}

FIXTURE_TEARDOWN(way)
{
	dev_runtime(d, w->a_slot);
	gr_call(d->fd, GR_IOC_SHUTDOWN, NULL);
	pthread_join(self->b, NULL);
	dev_close(d);
}

/* ---- company ---- */

static _Atomic bool stop_spinning;
static pthread_t spinner;

static void pin(bool one)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = 0; i < (one ? 1 : CPU_SETSIZE); i++)
		CPU_SET(i, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *spin(void *arg)
{
	pin(true);
	while (!atomic_load(&stop_spinning))
		;
	return NULL;
}

/* A's share becomes a small one: soon spent */
static int company_comes(void)
{
	atomic_store(&stop_spinning, false);
	if (pthread_create(&spinner, NULL, spin, NULL))
		return -1;
	pin(true);
	return setpriority(PRIO_PROCESS, w->a, MODEST);
}

static void company_goes(void)
{
	setpriority(PRIO_PROCESS, w->a, 0);
	pin(false);
	atomic_store(&stop_spinning, true);
	pthread_join(spinner, NULL);
}

static int64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* take more of the CPU than its share, then sleep */
static int be_greedy(struct ways *w)
{
	long switches = ways_switches(false);
	int64_t until;

	while (ways_switches(false) == switches)
		ways_beat(w);
	until = cpu_ns() + GREED_NS;
	while (cpu_ns() < until)
		ways_beat(w);
	return way->sleep(w);
}

/* ---- rounds ---- */

/* what a round of A came to */
struct outcome {
	int ret;		/* of the way itself */
	int proc;		/* A's, in its first instructions after the sleep */
	int holder;		/* the P's */
};

/* goroutine code from the first mark to the last; no call in between but the way's */
static struct outcome in_window(int n, int (*run)(struct ways *w))
{
	struct outcome o;

	trace_window(n);
	dev_user(d, w->a_slot);
	o.ret = run(w);
	ways_beat(w);
	o.proc = d->mthreads[w->a_slot].proc;
	o.holder = d->mprocs[0].thread;
	dev_runtime(d, w->a_slot);
	trace_window_end();
	return o;
}

static struct outcome one_round(int n)
{
	struct outcome o = { .ret = -1 };
	bool company = n & 2;
	void *other = NULL;
	pthread_t t;

	w->rounds = atomic_load(&w->b_rounds);
	atomic_store(&w->hold, n & 1);
	atomic_store(&w->go, false);
	atomic_store(&w->over, false);
	atomic_store(&w->ready, !way->other);
	if (!wait_until(d->mirror->nr_spares == 1) || (way->prepare && way->prepare(w)) ||
	    (way->other && pthread_create(&t, NULL, other_main, NULL)))
		return o;
	/* after other() has started: it must not inherit the CPU */
	if (wait_until(atomic_load(&w->ready)) && !(company && company_comes())) {
		d->hint->globq_len = 1;
		o = in_window(n, company ? be_greedy : way->sleep);
		d->hint->globq_len = 0;
		if (company)
			company_goes();
	}
	atomic_store(&w->over, true);
	if (way->other)
		pthread_join(t, &other);
	if (other)
		o.ret = -1;
	return o;
}

/* ---- the control ---- */

static int be_preempted(struct ways *w)
{
	long until = ways_switches(false) + PREEMPTIONS;

	while (ways_switches(false) < until)
		ways_beat(w);
	return 0;
}

static struct outcome control(int n)
{
	struct outcome o = { .ret = -1 };

	if (company_comes())
		return o;
	d->hint->globq_len = 1;
	o = in_window(n, be_preempted);
	d->hint->globq_len = 0;
	company_goes();
	return o;
}

/* ---- the tests ---- */

static void end(const struct way *way)
{
	if (way->teardown)
		way->teardown(w);
}

static void check_states(struct __test_metadata *_metadata, const struct trace_sum *s)
{
	const char *allowed = way->states ?: "SD";
	/* spin locks sleep on PREEMPT_RT, anywhere, and that is a block like any other */
	bool rt = !access("/sys/kernel/realtime", F_OK);

	for (const char *c = s->states; *c; c++) {
		if (rt && *c == 'D')
			continue;
		EXPECT_NE(NULL, strchr(allowed, *c)) {
			TH_LOG("slept in state %c, not one of %s", *c, allowed);
		}
	}
}

static void check_rounds(struct __test_metadata *_metadata, const struct trace_sum *s,
			 uint64_t blocks, uint64_t handoffs, uint64_t unblocks)
{
	EXPECT_EQ(s->sleeps, s->blocks);
	EXPECT_EQ(s->lost, s->unblocks);
	EXPECT_EQ(s->blocks, blocks);
	EXPECT_EQ(s->lost, handoffs);
	EXPECT_EQ(s->unblocks, unblocks);
	EXPECT_EQ(0, atomic_load(&w->a_ran));
	check_states(_metadata, s);
	if (way->handoff == NEVER) {
		EXPECT_EQ(0, s->sleeps);
		EXPECT_EQ(0, s->lost);
		EXPECT_EQ(0, atomic_load(&w->b_rounds));
		EXPECT_LE(ROUNDS, s->runnable);
	} else if (way->handoff == EACH_ROUND) {
		EXPECT_LE(ROUNDS, s->sleeps);
		EXPECT_EQ(ROUNDS, atomic_load(&w->b_handoffs));
		EXPECT_EQ(ROUNDS, s->lost);
		EXPECT_EQ(ROUNDS / 2, atomic_load(&w->b_waited));
		EXPECT_LE(ROUNDS / 2, s->waits);
	} else {
		EXPECT_LE(1, s->sleeps);
	}
	if (way->handoff == SOME_ROUND) {
		EXPECT_LE(1, s->lost);
	}
}

TEST_F_TIMEOUT(way, as_the_scheduler_saw, 180)
{
	uint64_t blocks, handoffs, unblocks;
	struct trace_sum rounds, preempted;
	struct outcome o;
	int ret = way->setup ? way->setup(w) : WAYS_OK;

	if (ret != WAYS_OK) {
		trace_end();
		end(way);
	}
	if (ret == WAYS_SKIP)
		SKIP(return, "%s", w->why);
	ASSERT_EQ(WAYS_OK, ret) {
		TH_LOG("%s", w->why);
	}
	blocks = d->mirror->blocks;
	handoffs = d->mirror->handoffs;
	unblocks = d->mirror->unblocks;
	for (int i = 0; i < ROUNDS; i++) {
		o = one_round(i);
		EXPECT_EQ(0, o.ret) {
			TH_LOG("round %d: %s", i, w->why);
		}
		EXPECT_EQ(0, o.proc);
		EXPECT_EQ(w->a_slot, o.holder);
	}
	blocks = d->mirror->blocks - blocks;
	handoffs = d->mirror->handoffs - handoffs;
	unblocks = d->mirror->unblocks - unblocks;
	EXPECT_TRUE(wait_until(d->mirror->nr_spares == 1));
	o = control(CONTROL);
	EXPECT_EQ(0, o.proc);
	end(way);
	self->wrong = trace_end();
	if (!self->wrong)
		self->wrong = trace_judge(0, ROUNDS - 1, &rounds);
	EXPECT_EQ(NULL, self->wrong) {
		TH_LOG("%s", self->wrong);
	}
	check_rounds(_metadata, &rounds, blocks, handoffs, unblocks);
	TH_LOG("%d sleeps (%s), %d blocks, lost %d, unblocks %d, waited %d; runnable %d, stale %d",
	       rounds.sleeps, rounds.states, rounds.blocks, rounds.lost, rounds.unblocks,
	       rounds.waits, rounds.runnable, rounds.stale);
	self->wrong = trace_judge(CONTROL, CONTROL, &preempted);
	EXPECT_EQ(NULL, self->wrong) {
		TH_LOG("control: %s", self->wrong);
	}
	EXPECT_EQ(0, preempted.blocks + preempted.lost + preempted.unblocks + preempted.sleeps);
	EXPECT_LE(PREEMPTIONS, preempted.runnable);
	if (_metadata->exit_code != KSFT_PASS)
		trace_print();
}

/* ---- blocks that cost nothing ---- */

#define NAPS 50

FIXTURE(lazy)
{
	struct dev d;
	pthread_t b;
	const char *wrong;
};

FIXTURE_SETUP(lazy)
{
	self->wrong = begin(&self->d, &self->b);
	ASSERT_EQ(NULL, self->wrong) {
		TH_LOG("%s", self->wrong);
	}
}

FIXTURE_TEARDOWN(lazy)
{
	dev_runtime(d, w->a_slot);
	gr_call(d->fd, GR_IOC_SHUTDOWN, NULL);
	pthread_join(self->b, NULL);
	dev_close(d);
}

static int naps(struct ways *w)
{
	long until = ways_switches(true) + NAPS;
	int ret = 0;

	while (ways_switches(true) < until)
		ret |= clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ 0, 500000 }, NULL);
	return ret;
}

TEST_F(lazy, a_block_with_nothing_to_do_wakes_nobody)
{
	uint64_t blocks = d->mirror->blocks, handoffs = d->mirror->handoffs;
	uint64_t unblocks = d->mirror->unblocks;
	struct trace_sum s;
	struct outcome o = in_window(0, naps);

	EXPECT_EQ(0, o.ret);
	EXPECT_EQ(0, o.proc);
	self->wrong = trace_end();
	if (!self->wrong)
		self->wrong = trace_judge(0, 0, &s);
	EXPECT_EQ(NULL, self->wrong) {
		TH_LOG("%s", self->wrong);
	}
	EXPECT_LE(NAPS, s.sleeps + s.stale);
	EXPECT_EQ(s.sleeps, s.blocks);
	EXPECT_EQ(s.sleeps, d->mirror->blocks - blocks);
	EXPECT_EQ(handoffs, d->mirror->handoffs);
	EXPECT_EQ(unblocks, d->mirror->unblocks);
	EXPECT_EQ(0, s.lost + s.unblocks + s.waits + s.b_woken);
	EXPECT_EQ(0, atomic_load(&w->b_rounds));
	if (_metadata->exit_code != KSFT_PASS)
		trace_print();
}

/* not a spare yet when A goes to sleep: comes to park, finds a lazy P and work for it */
static void *come_to_park(void *arg)
{
	int slot = dev_attach(d, 0, NULL);
	struct gr_park p = {};
	bool ok = slot >= 0 && wait_until(d->mirror->nr_lazy == 1);

	d->hint->globq_len = 1;
	ok = ok && !dev_park(d, slot, GR_NO_DEADLINE, &p) && p.reason == GR_WAKE_WORK;
	d->hint->globq_len = 0;
	atomic_store(&w->over, true);
	return (void *)(long)(dev_detach(d, slot) || !ok);
}

static int nap_until_over(struct ways *w)
{
	int ret = 0;

	while (!ret && !atomic_load(&w->over))
		ret = clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ 1, 0 }, NULL);
	return ret;
}

TEST_F(lazy, taken_by_a_park_is_a_handoff)
{
	uint64_t handoffs = d->mirror->handoffs;
	struct trace_sum s;
	struct outcome o;
	void *failed;
	pthread_t c;

	ASSERT_EQ(0, pthread_create(&c, NULL, come_to_park, NULL));
	o = in_window(0, nap_until_over);
	EXPECT_EQ(0, o.ret);
	EXPECT_EQ(0, o.proc);
	pthread_join(c, &failed);
	EXPECT_EQ(NULL, failed);
	self->wrong = trace_end();
	if (!self->wrong)
		self->wrong = trace_judge(0, 0, &s);
	EXPECT_EQ(NULL, self->wrong) {
		TH_LOG("%s", self->wrong);
	}
	EXPECT_EQ(1, d->mirror->handoffs - handoffs);
	EXPECT_EQ(1, s.lost);
	EXPECT_EQ(1, s.unblocks);
	if (_metadata->exit_code != KSFT_PASS)
		trace_print();
}

TEST_HARNESS_MAIN
