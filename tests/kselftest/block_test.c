// SPDX-License-Identifier: GPL-2.0
/*
 * block_test.c - what the kernel does when goroutine code sleeps, and when it comes back.
 *
 * Thread A is the test itself, on the group's only processor; B is a spare that notes what it
 * was given and, while `hold` is set, keeps the processor.
 */
#include <linux/futex.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/resource.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

struct spare {
	struct dev *d;
	pthread_t thread;
	_Atomic bool hold, has_p;
	_Atomic int rounds, handoffs;
	_Atomic int a_ran; /* A was in user mode while B held the P */
};

static _Atomic bool a_in_user;

static void *spare_main(void *arg)
{
	struct spare *s = arg;
	int slot = dev_attach(s->d, 0, NULL);
	struct gr_park p;

	while (!dev_park(s->d, slot, GR_NO_DEADLINE, &p)) {
		atomic_store(&s->has_p, true);
		s->d->hint->globq_len = 0; /* the work is taken */
		atomic_fetch_add(&s->handoffs, p.reason == GR_WAKE_HANDOFF);
		atomic_fetch_add(&s->rounds, 1);
		do {
			if (atomic_load(&a_in_user))
				atomic_fetch_add(&s->a_ran, 1);
		} while (atomic_load(&s->hold));
		atomic_store(&s->has_p, false);
	}
	return NULL;
}

FIXTURE(block)
{
	struct dev d;
	struct spare b;
	int pipe[2];
};

FIXTURE_SETUP(block)
{
	alarm(60);
	ASSERT_EQ(0, dev_open(&self->d, 1, 8, O_CLOEXEC));
	ASSERT_EQ(0, dev_attach(&self->d, GR_ATTACH_RUN, NULL));
	self->b = (struct spare){ .d = &self->d };
	pthread_create(&self->b.thread, NULL, spare_main, &self->b);
	ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == 1));
	ASSERT_EQ(0, pipe(self->pipe));
	atomic_store(&a_in_user, false);
}

FIXTURE_TEARDOWN(block)
{
	atomic_store(&self->b.hold, false);
	dev_runtime(&self->d, 0);
	gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL);
	pthread_join(self->b.thread, NULL);
	dev_close(&self->d);
}

/* how often this thread gave the CPU away */
static long switches(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_nvcsw;
}

TEST_F(block, nothing_to_do_is_free)
{
	uint64_t handoffs = self->d.mirror->handoffs;
	uint64_t blocks = self->d.mirror->blocks;
	uint64_t wakeups = self->d.mirror->wakeups;
	uint64_t returns = self->d.mirror->returns;

	/* a nap that is over before it began is no sleep */
	dev_user(&self->d, 0);
	for (long until = switches() + 20; switches() < until;) {
		sleep_us(500);
		EXPECT_EQ(0, self->d.mthreads[0].proc);
		EXPECT_EQ(GR_T_RUNNING, self->d.mthreads[0].state);
	}
	EXPECT_EQ(handoffs, self->d.mirror->handoffs);
	EXPECT_EQ(0, atomic_load(&self->b.rounds));
	EXPECT_LE(20, self->d.mirror->blocks - blocks);
	EXPECT_EQ(0, self->d.mirror->unblocks);
	/* the price: no thread was woken, none was stopped on its way to user mode */
	EXPECT_EQ(wakeups, self->d.mirror->wakeups);
	EXPECT_EQ(returns, self->d.mirror->returns);
}

TEST_F(block, runtime_keeps_its_processor)
{
	self->d.hint->globq_len = 1;
	dev_runtime(&self->d, 0);
	sleep_us(20000);
	EXPECT_EQ(0, atomic_load(&self->b.rounds));
	EXPECT_EQ(0, self->d.mirror->blocks);
	EXPECT_EQ(0, self->d.mthreads[0].proc);
}

TEST_F(block, poller_may_lose_it_to_a_returner_only)
{
	self->d.hint->globq_len = 1;
	self->d.hthreads[0].flags = GR_HF_POLL;
	sleep_us(20000);
	EXPECT_EQ(0, atomic_load(&self->b.rounds));
	EXPECT_EQ(0, self->d.mirror->blocks);
}

/* ---- ways to sleep ---- */

static int futex_word;

/* the state letter of a process's first thread, A, from /proc */
static char proc_state(pid_t pid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f && fscanf(f, "%*d %*s %c", &state) != 1)
		state = 0;
	if (f)
		fclose(f);
	return state;
}

/* Helpers go on when A really sleeps: on a busy machine they could be done before it does. */
static void wait_asleep(pid_t pid, char state)
{
	char now;

	while ((now = proc_state(pid)) && now != state)
		sleep_us(500);
	sleep_us(2000);
}

static int by_nanosleep(int *pipe)
{
	sleep_us(3000);
	return 0;
}

static void *write_soon(void *fd)
{
	wait_asleep(getpid(), 'S');
	return (void *)write(*(int *)fd, "x", 1);
}

static int by_pipe(int *pipe)
{
	pthread_t t;
	char c;
	int ret;

	pthread_create(&t, NULL, write_soon, &pipe[1]);
	ret = read(pipe[0], &c, 1) != 1;
	pthread_join(t, NULL);
	return ret;
}

static int by_poll(int *pipe)
{
	struct pollfd p = { pipe[0], POLLIN, 0 };

	return poll(&p, 1, 3);
}

static int by_futex(int *pipe)
{
	struct timespec ts = { 0, 3000000 };

	return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, &ts, NULL, 0) != -1;
}

static void *unlock_soon(void *lock)
{
	sleep_us(3000);
	pthread_mutex_unlock(lock);
	return NULL;
}

static void *lock_it(void *lock)
{
	pthread_mutex_lock(lock);
	return unlock_soon(lock);
}

static int by_pthread_mutex(int *pipe)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_t t;

	pthread_create(&t, NULL, lock_it, &lock);
	sleep_us(1500);
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	return pthread_join(t, NULL);
}

static int by_flock(int *pipe)
{
	int a = open("/tmp/gr-flock", O_CREAT | O_RDWR, 0600), b, status;
	pid_t pid;

	flock(a, LOCK_EX);
	pid = fork();
	if (!pid) {
		wait_asleep(getppid(), 'S');
		_exit(flock(a, LOCK_UN));
	}
	b = open("/tmp/gr-flock", O_RDWR);
	status = flock(b, LOCK_EX);
	close(a);
	close(b);
	waitpid(pid, NULL, 0);
	return status;
}

static int by_waitpid(int *pipe)
{
	pid_t pid = fork();

	if (!pid) {
		wait_asleep(getppid(), 'S');
		_exit(0);
	}
	return waitpid(pid, NULL, 0) != pid;
}

static int by_stop(int *pipe)
{
	pid_t pid = getpid(), child = fork();

	if (!child) {
		/* not before it has really stopped, or there is nothing to see */
		wait_asleep(pid, 'T');
		kill(pid, SIGCONT);
		_exit(0);
	}
	kill(pid, SIGSTOP);
	return waitpid(child, NULL, 0) != child;
}

static const struct way {
	const char *name;
	int (*sleep)(int *pipe);
	bool disturbs_b; /* B may not be parked at the moment A sleeps */
} ways[] = {
	{ "nanosleep", by_nanosleep, false },
	{ "pipe read", by_pipe, false },
	{ "poll", by_poll, false },
	{ "futex", by_futex, false },
	{ "pthread mutex", by_pthread_mutex, false },
	{ "flock", by_flock, false },
	{ "waitpid", by_waitpid, false },
	{ "SIGSTOP", by_stop, true },
};

/*
 * A block hands over, at the first try; but on a busy machine a short timeout can be over before
 * its thread sleeps, which is no block.
 */
TEST_F(block, every_way_hands_over)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		uint64_t unblocks = self->d.mirror->unblocks, blocks = self->d.mirror->blocks;
		int before = atomic_load(&self->b.handoffs), tries = 30, ret;

		do {
			ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == 1));
			self->d.hint->globq_len = 1;
			dev_user(&self->d, 0);
			ret = ways[i].sleep(self->pipe);
			/* first user instructions after the sleep: with a P */
			EXPECT_LE(0, self->d.mthreads[0].proc);
			dev_runtime(&self->d, 0);
			EXPECT_EQ(0, ret);
		} while (before == atomic_load(&self->b.handoffs) && --tries &&
			 (ways[i].disturbs_b || self->d.mirror->blocks == blocks));
		EXPECT_LT(before, atomic_load(&self->b.handoffs)) {
			TH_LOG("no hand-off by %s, %d blocks, %d tries left", ways[i].name,
			       (int)(self->d.mirror->blocks - blocks), tries);
		}
		EXPECT_LT(unblocks, self->d.mirror->unblocks);
	}
}

/* lets B go once A waits; 1 if A did */
static void *release_b(void *arg)
{
	struct spare *b = arg;
	bool waits = wait_until(b->d->mirror->nr_returners == 1);

	sleep_us(20000);
	atomic_store(&b->hold, false);
	return (void *)(long)waits;
}

TEST_F(block, returner_waits_for_its_turn)
{
	struct timespec ts = { 0, 3000000 };
	void *returned;
	pthread_t t;

	atomic_store(&self->b.hold, true);
	self->d.hint->globq_len = 1;
	dev_user(&self->d, 0);
	pthread_create(&t, NULL, release_b, &self->b);
	nanosleep(&ts, NULL);
	atomic_store(&a_in_user, true);
	EXPECT_LE(0, self->d.mthreads[0].proc);
	atomic_store(&a_in_user, false);
	dev_runtime(&self->d, 0);
	pthread_join(t, &returned);
	EXPECT_EQ((void *)1L, returned);
	EXPECT_EQ(0, atomic_load(&self->b.a_ran));
	EXPECT_EQ(0, self->d.mirror->nr_returners);
}

static void *unpark_lazy(void *arg)
{
	struct dev *d = arg;

	wait_until(d->mirror->nr_lazy == 1);
	return (void *)(long)dev_unpark(d, 1);
}

TEST_F(block, unpark_takes_a_lazy_processor)
{
	void *woken;
	pthread_t t;

	dev_user(&self->d, 0);
	pthread_create(&t, NULL, unpark_lazy, &self->d);
	sleep_us(50000);
	dev_runtime(&self->d, 0);
	pthread_join(t, &woken);
	EXPECT_EQ((void *)1L, woken);
	EXPECT_EQ(1, atomic_load(&self->b.rounds));
	EXPECT_LE(1, self->d.mirror->handoffs);
}

static _Atomic bool stop_spinning;

static void *spin(void *arg)
{
	while (!atomic_load(&stop_spinning))
		;
	return arg;
}

TEST_F(block, preemption_is_no_block)
{
	uint64_t blocks;
	pthread_t t;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	pthread_create(&t, NULL, spin, NULL);
	self->d.hint->globq_len = 1;
	dev_user(&self->d, 0);
	blocks = self->d.mirror->blocks;
	for (int64_t until = now_ns() + 100000000; now_ns() < until;)
		;
	for (int i = 0; i < 100; i++)
		sched_yield();
	EXPECT_EQ(blocks, self->d.mirror->blocks);
	EXPECT_EQ(0, self->d.mthreads[0].proc);
	dev_runtime(&self->d, 0);
	atomic_store(&stop_spinning, true);
	pthread_join(t, NULL);
	EXPECT_EQ(0, atomic_load(&self->b.handoffs));
}

/* ---- I-2: never more threads in goroutine code than processors ---- */

static _Atomic int inside, most;
static _Atomic bool storm_over;

static void *storm(void *arg)
{
	struct dev *d = arg;
	int slot = dev_attach(d, 0, NULL);
	unsigned int seed = slot + 1;

	if (dev_park(d, slot, GR_NO_DEADLINE, NULL))
		return NULL;
	dev_user(d, slot);
	while (!atomic_load(&storm_over)) {
		int n = atomic_fetch_add(&inside, 1) + 1;

		if (n > atomic_load(&most))
			atomic_store(&most, n);
		for (volatile int i = 0; i < (int)(rand_r(&seed) % 3000); i++)
			;
		atomic_fetch_sub(&inside, 1);
		sleep_us(rand_r(&seed) % 300);
	}
	dev_runtime(d, slot);
	dev_detach(d, slot);
	return NULL;
}

TEST(at_most_nr_procs_run)
{
	pthread_t t[16];
	struct dev d;

	alarm(120);
	ASSERT_EQ(0, dev_open(&d, 2, 32, 0));
	d.hint->globq_len = 1;
	for (int i = 0; i < 16; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, storm, &d));
	sleep_us(5000000);
	atomic_store(&storm_over, true);
	for (int i = 0; i < 16; i++)
		pthread_join(t[i], NULL);
	EXPECT_LE(1, atomic_load(&most));
	EXPECT_GE(2, atomic_load(&most));
	EXPECT_LT(100, d.mirror->handoffs);
	EXPECT_TRUE(wait_until(d.mirror->nr_threads == 0));
	EXPECT_EQ(2, d.mirror->nr_idle);
	dev_close(&d);
}

TEST_HARNESS_MAIN
