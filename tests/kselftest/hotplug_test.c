// SPDX-License-Identifier: GPL-2.0
/*
 * hotplug_test.c - CPU 1 goes and comes back under threads that park, block, hand over and are
 * preempted: nobody is lost on its stack of spares, its hand-off list or its timers.
 *
 * Six kinds of threads on two Ps, one counter each; a publisher hands out one token at a time and
 * waits until a spare has eaten it, so one lost wake-up stops its counter for good. After each
 * change every counter must move. The kernel's log is judged by who runs this test.
 *
 * GR_ROUNDS=n (20). Whatever ends the test, a guard brings the CPU back.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define ONLINE "/sys/devices/system/cpu/cpu1/online"
#define SLICE_US 2000
#define LIMIT 900	/* seconds: it hangs */

enum { BLOCKER, BLOCKER2, COMPUTER, COMPUTER2, EATER, EATER2, PUBLISHER, SWITCHER, ROLES };

static const char *const names[ROLES] = {
	"blocker", "blocker2", "computer", "computer2", "eater", "eater2", "publisher", "switcher",
};

static struct dev d;
static _Atomic long count[ROLES];
static _Atomic long tokens, eaten;
static _Atomic int partner = -1;
static _Atomic bool over;

static void get_p(int slot)
{
	dev_user(&d, slot);
	while (d.mthreads[slot].proc < 0 && !atomic_load(&over))
		sleep_us(50);
}

static void block(int who, int slot)
{
	while (!atomic_load(&over)) {
		get_p(slot);
		sleep_us(300);
		atomic_fetch_add(&count[who], 1);
	}
}

/* no call at all, so only the end of a slice takes its P */
static void compute(int who, int slot)
{
	get_p(slot);
	while (!atomic_load_explicit(&over, memory_order_relaxed))
		atomic_fetch_add_explicit(&count[who], 1, memory_order_relaxed);
}

static void eat_one(void)
{
	long t = atomic_load(&tokens);

	while (t > 0 && !atomic_compare_exchange_weak(&tokens, &t, t - 1))
		;
	if (t > 0) {
		d.hint->globq_len = 0;
		atomic_fetch_add(&eaten, 1);
	}
}

/* the last spare is the first to be taken: who had a turn leaves room for the other one */
static void eat(int who, int slot)
{
	while (!dev_park(&d, slot, GR_NO_DEADLINE, NULL)) {
		do {
			eat_one();
			atomic_fetch_add(&count[who], 1);
		} while (!dev_park(&d, slot, 0, NULL));
		sleep_us(1000);
	}
}

/* the ORDER of include/uapi/gr.h: the work, a full fence, the mirror */
static void publish(int who, int slot)
{
	for (long made = 1; !atomic_load(&over); made++) {
		atomic_fetch_add(&tokens, 1);
		d.hint->globq_len = 1;
		atomic_thread_fence(memory_order_seq_cst);
		if (d.mirror->nr_idle || d.mirror->nr_lazy)
			dev_unpark(&d, 1);
		while (atomic_load(&eaten) < made && !atomic_load(&over))
			sleep_us(100);
		atomic_fetch_add(&count[who], 1);
	}
}

/* its P goes to a named spare, the deadline brings it back */
static void switch_over(int who, int slot)
{
	while (atomic_load(&partner) < 0)
		sleep_us(100);
	while (!atomic_load(&over)) {
		struct gr_switch s = { .slot = slot, .target = atomic_load(&partner),
				       .deadline = now_ns() + 500000 };
		int ret;

		get_p(slot);
		dev_runtime(&d, slot);
		ret = gr_call(d.fd, GR_IOC_SWITCH, &s);
		if (!ret || ret == ETIMEDOUT)
			atomic_fetch_add(&count[who], 1);
		else if (ret != EAGAIN)
			return;
	}
}

static void (*const roles[ROLES])(int who, int slot) = {
	block, block, compute, compute, eat, eat, publish, switch_over,
};

static void *role_main(void *arg)
{
	int who = (int)(long)arg, slot = -1;

	if (who != PUBLISHER) {
		slot = dev_attach(&d, 0, NULL);
		if (slot < 0)
			return arg;
	}
	if (who == EATER)
		atomic_store(&partner, slot);
	roles[who](who, slot);
	if (slot >= 0) {
		dev_runtime(&d, slot);
		dev_detach(&d, slot);
	}
	return arg;
}

static bool set_online(bool on)
{
	int fd = open(ONLINE, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, on ? "1" : "0", 1) == 1;

	close(fd);
	return ok;
}

/* a process of its own: as soon as the test is gone, in whatever way, the CPU comes back */
static void start_guard(void)
{
	int fd[2];
	char c;

	if (pipe2(fd, O_CLOEXEC) || fork())
		return;
	close(fd[1]);
	setsid();
	while (read(fd[0], &c, 1) > 0)
		;
	set_online(true);
	_exit(0);
}

static bool progress(void)
{
	long before[ROLES];

	for (int i = 0; i < ROLES; i++)
		before[i] = atomic_load(&count[i]);
	for (int i = 0; i < ROLES; i++)
		if (!wait_until(({ sleep_us(500); atomic_load(&count[i]) > before[i] + 1; }))) {
			fprintf(stderr, "# no progress: %s; idle %u lazy %u spares %u returners %u\n",
				names[i], d.mirror->nr_idle, d.mirror->nr_lazy,
				d.mirror->nr_spares, d.mirror->nr_returners);
			return false;
		}
	return true;
}

FIXTURE(hotplug)
{
	pthread_t t[ROLES];
};

FIXTURE_SETUP(hotplug)
{
	struct gr_setup s = gr_setup_arg(2, 16);

	if (access(ONLINE, W_OK))
		SKIP(return, "CPU 1 cannot be switched: no %s", ONLINE);
	if (!access("/sys/kernel/debug/gr/oracle", F_OK))
		SKIP(return, "the oracle wants all CPUs to stay");
	start_guard();
	s.slice_us = SLICE_US;
	s.features = GR_FEAT_PREEMPT | GR_FEAT_SWITCH;
	ASSERT_EQ(0, dev_open_arg(&d, s, O_CLOEXEC));
	for (long i = 0; i < ROLES; i++)
		ASSERT_EQ(0, pthread_create(&self->t[i], NULL, role_main, (void *)i));
	ASSERT_TRUE(progress());
}

FIXTURE_TEARDOWN(hotplug)
{
	if (!d.mirror)
		return;
	atomic_store(&over, true);
	EXPECT_EQ(0, gr_call(d.fd, GR_IOC_SHUTDOWN, NULL));
	for (int i = 0; i < ROLES; i++)
		pthread_join(self->t[i], NULL);
	EXPECT_TRUE(wait_until(d.mirror->nr_threads == 0));
	dev_close(&d);
}

TEST_F_TIMEOUT(hotplug, progress_on_what_is_left, LIMIT)
{
	const char *env = getenv("GR_ROUNDS");
	int rounds = env ? atoi(env) : 20;
	uint64_t blocks = d.mirror->blocks, handoffs = d.mirror->handoffs;
	uint64_t preempts = d.mirror->preempts;

	for (int i = 0; i < rounds; i++) {
		ASSERT_TRUE(set_online(false));
		EXPECT_EQ(1, sysconf(_SC_NPROCESSORS_ONLN));
		ASSERT_TRUE(progress());
		ASSERT_TRUE(set_online(true));
		EXPECT_EQ(2, sysconf(_SC_NPROCESSORS_ONLN));
		ASSERT_TRUE(progress());
	}
	/* all of it happened meanwhile */
	EXPECT_LT(blocks, d.mirror->blocks);
	EXPECT_LT(handoffs, d.mirror->handoffs);
	EXPECT_LT(preempts, d.mirror->preempts);
}

/* threads that parked on the core that went are found by UNPARK, by name and by core */
TEST_F_TIMEOUT(hotplug, spares_of_a_core_that_went, LIMIT)
{
	struct gr_unpark u = { .nr = 1, .flags = GR_UNPARK_CPUS, .mask = { 2 } };
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(1, &one);
	for (int i = 0; i < 5; i++) {
		ASSERT_TRUE(set_online(true));
		for (int e = EATER; e <= EATER2; e++)
			ASSERT_EQ(0, pthread_setaffinity_np(self->t[e], sizeof(one), &one));
		ASSERT_TRUE(progress());
		/* the kernel moves them to a CPU that is there, as it does with everybody */
		ASSERT_TRUE(set_online(false));
		EXPECT_EQ(0, gr_call(d.fd, GR_IOC_UNPARK, &u));
		ASSERT_TRUE(progress());
		ASSERT_TRUE(set_online(true));
	}
}

TEST_HARNESS_MAIN
