// SPDX-License-Identifier: GPL-2.0
/* park_test.c - spares, idle processors, permits, and that no wake-up is lost. */
#include "kselftest_harness.h"
#include "gr_dev.h"

struct parker {
	struct dev *d;
	pthread_t thread;
	_Atomic int slot, rounds;
	_Atomic bool go_on;
	struct gr_park last;
	int ret;
};

/* attach, then park again and again until told otherwise or shut down */
static void *park_loop(void *arg)
{
	struct parker *p = arg;
	int slot = dev_attach(p->d, 0, NULL);

	atomic_store(&p->slot, slot);
	do {
		p->ret = dev_park(p->d, slot, GR_NO_DEADLINE, &p->last);
		atomic_fetch_add(&p->rounds, 1);
	} while (!p->ret && atomic_load(&p->go_on));
	dev_detach(p->d, slot);
	return NULL;
}

static void start(struct dev *d, struct parker *p)
{
	*p = (struct parker){ .d = d, .slot = -1 };
	pthread_create(&p->thread, NULL, park_loop, p);
}

FIXTURE(park)
{
	struct dev d;
	int slot;
};

FIXTURE_SETUP(park)
{
	alarm(60);
	ASSERT_EQ(0, dev_open(&self->d, 1, 8, O_CLOEXEC));
	self->slot = dev_attach(&self->d, GR_ATTACH_RUN, NULL);
	ASSERT_EQ(0, self->slot);
}

FIXTURE_TEARDOWN(park)
{
	gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL);
	dev_close(&self->d);
}

TEST_F(park, processor_goes_idle_and_to_a_spare)
{
	struct gr_park p;
	struct parker b;

	start(&self->d, &b);
	ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == 1));
	EXPECT_EQ(GR_T_PARKED, self->d.mthreads[1].state);
	/* the only P is held: nobody to wake, the wake-up is owed */
	EXPECT_EQ(0, dev_unpark(&self->d, 1));
	/* ... and paid at once */
	EXPECT_EQ(0, dev_park(&self->d, 0, GR_NO_DEADLINE, &p));
	EXPECT_EQ(GR_WAKE_WORK, p.reason);
	/* now nothing is owed */
	EXPECT_EQ(ETIMEDOUT, dev_park(&self->d, 0, now_ns() + 1000000, &p));
	EXPECT_EQ(GR_NO_PROC, self->d.mthreads[0].proc);
	EXPECT_EQ(1, self->d.mirror->nr_idle);
	EXPECT_EQ(GR_P_IDLE, self->d.mprocs[0].state);
	EXPECT_EQ(1, dev_unpark(&self->d, 1));
	pthread_join(b.thread, NULL);
	EXPECT_EQ(0, b.ret);
	EXPECT_EQ(0, b.last.proc);
	EXPECT_EQ(GR_WAKE_UNPARK, b.last.reason);
	EXPECT_EQ(1, self->d.mirror->nr_idle);
}

TEST_F(park, last_in_first_out)
{
	struct parker a, b;
	cpu_set_t one;

	/* one core: the stack is per core */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	start(&self->d, &a);
	ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == 1));
	start(&self->d, &b);
	ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == 2));
	EXPECT_EQ(ETIMEDOUT, dev_park(&self->d, 0, 1, NULL));
	EXPECT_EQ(1, dev_unpark(&self->d, 1));
	pthread_join(b.thread, NULL);
	EXPECT_EQ(0, atomic_load(&a.rounds));
	EXPECT_EQ(1, dev_unpark(&self->d, 1));
	pthread_join(a.thread, NULL);
}

TEST_F(park, work_is_seen_before_sleep)
{
	struct gr_park p = { .slot = 0, .flags = GR_PARK_NOWORK, .deadline = now_ns() + 1000000 };

	self->d.hint->globq_len = 1;
	EXPECT_EQ(0, dev_park(&self->d, 0, GR_NO_DEADLINE, &p));
	EXPECT_EQ(GR_WAKE_WORK, p.reason);
	self->d.hint->globq_len = 0;
	self->d.hprocs[0].tail = 1;
	EXPECT_EQ(0, dev_park(&self->d, 0, GR_NO_DEADLINE, &p));
	self->d.hprocs[0].tail = 0;
	self->d.hprocs[0].pending = 1;
	EXPECT_EQ(0, dev_park(&self->d, 0, GR_NO_DEADLINE, &p));
	p = (struct gr_park){ .slot = 0, .flags = GR_PARK_NOWORK, .deadline = now_ns() + 1000000 };
	EXPECT_EQ(ETIMEDOUT, gr_call(self->d.fd, GR_IOC_PARK, &p));
}

TEST_F(park, shutdown_frees_everybody)
{
	struct parker p[4];

	for (int i = 0; i < 4; i++)
		start(&self->d, &p[i]);
	ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == 4));
	EXPECT_EQ(0, gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL));
	for (int i = 0; i < 4; i++) {
		pthread_join(p[i].thread, NULL);
		EXPECT_EQ(ESHUTDOWN, p[i].ret);
	}
	EXPECT_EQ(1, self->d.mirror->dead);
	EXPECT_EQ(ESHUTDOWN, dev_park(&self->d, 0, GR_NO_DEADLINE, NULL));
	EXPECT_EQ(-ESHUTDOWN, dev_unpark(&self->d, 1));
}

/* tokens: each UNPARK-worthy piece of work is a token; none may stay while a P is idle */
static _Atomic long tokens, eaten;
static _Atomic int holder[4];
static _Atomic bool two_holders;

static void eat(int proc)
{
	long t = atomic_load(&tokens);

	if (atomic_fetch_add(&holder[proc], 1))
		atomic_store(&two_holders, true);
	while (t > 0 && !atomic_compare_exchange_weak(&tokens, &t, t - 1))
		;
	if (t > 0)
		atomic_fetch_add(&eaten, 1);
	atomic_fetch_sub(&holder[proc], 1);
}

static void *eater(void *arg)
{
	struct dev *d = arg;
	int slot = dev_attach(d, 0, NULL), ret;
	struct gr_park p;

	while (!(ret = dev_park(d, slot, GR_NO_DEADLINE, &p))) {
		eat(p.proc);
		/* the queue's length, as a runtime would keep it */
		d->hint->globq_len = atomic_load(&tokens) > 0;
		atomic_thread_fence(memory_order_seq_cst);
		if (atomic_load(&tokens) > 0)
			d->hint->globq_len = 1;
	}
	return NULL;
}

TEST(no_wakeup_is_lost)
{
	pthread_t t[6];
	struct dev d;
	long made = 0;

	alarm(120);
	ASSERT_EQ(0, dev_open(&d, 2, 8, 0));
	for (int i = 0; i < 6; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, eater, &d));
	ASSERT_TRUE(wait_until(d.mirror->nr_spares == 6));
	for (int round = 0; round < 3000; round++) {
		int n = 1 + round % 5;

		made += n;
		atomic_fetch_add(&tokens, n);
		d.hint->globq_len = 1;
		atomic_thread_fence(memory_order_seq_cst);
		if (d.mirror->nr_idle)
			dev_unpark(&d, 1);
		if (!wait_until(atomic_load(&eaten) == made))
			break;
	}
	EXPECT_EQ(made, atomic_load(&eaten));
	EXPECT_EQ(0, atomic_load(&tokens));
	EXPECT_FALSE(atomic_load(&two_holders));
	gr_call(d.fd, GR_IOC_SHUTDOWN, NULL);
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	dev_close(&d);
}

#define CROWD 600

static void *crowd_main(void *arg)
{
	struct dev *d = arg;
	int slot = dev_attach(d, 0, NULL);

	return (void *)(long)dev_park(d, slot, GR_NO_DEADLINE, NULL);
}

/* more threads and slots than are looked at in one go */
TEST(shutdown_frees_a_crowd)
{
	static pthread_t t[CROWD];
	pthread_attr_t small;
	struct dev d;
	void *ret;

	alarm(100);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 32768);
	ASSERT_EQ(0, dev_open(&d, 2, GR_MAX_THREADS, 0));
	for (int i = 0; i < CROWD; i++)
		ASSERT_EQ(0, pthread_create(&t[i], &small, crowd_main, &d));
	ASSERT_TRUE(wait_until(d.mirror->nr_spares == CROWD));
	EXPECT_EQ(0, gr_call(d.fd, GR_IOC_SHUTDOWN, NULL));
	for (int i = 0; i < CROWD; i++) {
		pthread_join(t[i], &ret);
		EXPECT_EQ((void *)ESHUTDOWN, ret);
	}
	EXPECT_TRUE(wait_until(d.mirror->nr_threads == 0));
	dev_close(&d);
}

/* gives its P up */
static void *park_once(void *arg)
{
	struct parker *p = arg;
	int slot = dev_attach(p->d, GR_ATTACH_RUN, NULL);

	p->ret = dev_park(p->d, slot, now_ns() + 1000000, &p->last);
	dev_detach(p->d, slot);
	return NULL;
}

/* the order in uapi/gr.h: who put it there may have looked before P 1 was idle */
TEST(the_runnext_of_a_running_processor_is_seen_before_sleep)
{
	struct dev d;
	struct parker p = { .d = &d };

	alarm(60);
	ASSERT_EQ(0, dev_open(&d, 2, 8, O_CLOEXEC));
	ASSERT_EQ(0, dev_attach(&d, GR_ATTACH_RUN, NULL));
	for (int next = 0; next < 2; next++) {
		d.hprocs[0].runnext = next;
		ASSERT_EQ(0, pthread_create(&p.thread, NULL, park_once, &p));
		pthread_join(p.thread, NULL);
		EXPECT_EQ(next ? 0 : ETIMEDOUT, p.ret);
	}
	EXPECT_EQ(1, p.last.proc);
	EXPECT_EQ(GR_WAKE_WORK, p.last.reason);
	gr_call(d.fd, GR_IOC_SHUTDOWN, NULL);
	dev_close(&d);
}

/* two threads sleep in goroutine code, and the second P has a goroutine of its own */
FIXTURE(two_lazy)
{
	struct dev d;
	int pipe[2];
	pthread_t t[2];
};

struct sleeper {
	struct dev *d;
	int fd;
};

static void *sleep_on_pipe(void *arg)
{
	struct sleeper *s = arg;
	int slot = dev_attach(s->d, GR_ATTACH_RUN, NULL);
	char c;

	dev_user(s->d, slot);
	if (read(s->fd, &c, 1) < 0)
		perror("# read");
	dev_runtime(s->d, slot);
	dev_detach(s->d, slot);
	return NULL;
}

FIXTURE_SETUP(two_lazy)
{
	static struct sleeper s;

	alarm(60);
	ASSERT_EQ(0, pipe(self->pipe));
	ASSERT_EQ(0, dev_open(&self->d, 2, 8, O_CLOEXEC));
	s = (struct sleeper){ &self->d, self->pipe[0] };
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&self->t[i], NULL, sleep_on_pipe, &s));
	ASSERT_TRUE(wait_until(self->d.mirror->nr_lazy == 2));
	/* the second one has blocked, but may not have read the hints yet: it does under the lock */
	ASSERT_EQ(0, dev_detach(&self->d, dev_attach(&self->d, 0, NULL)));
	self->d.hprocs[1].runnext = 1;
}

FIXTURE_TEARDOWN(two_lazy)
{
	gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL);
	close(self->pipe[1]);
	for (int i = 0; i < 2; i++)
		pthread_join(self->t[i], NULL);
	dev_close(&self->d);
}

TEST_F(two_lazy, a_new_thread_takes_the_one_with_work)
{
	int proc = -1, slot = dev_attach(&self->d, GR_ATTACH_RUN, &proc);

	EXPECT_EQ(2, slot);
	EXPECT_EQ(1, proc);
	EXPECT_EQ(0, dev_detach(&self->d, slot));
}

/* MONITOR tells once, however many are missing: each new thread asks for the next */
TEST_F(two_lazy, a_new_thread_asks_for_another_one)
{
	uint32_t before = self->d.mirror->spare_needed;
	int proc = -1, slot;

	self->d.hprocs[0].runnext = 1;
	slot = dev_attach(&self->d, GR_ATTACH_RUN, &proc);
	EXPECT_EQ(0, proc);
	EXPECT_EQ(before + 1, self->d.mirror->spare_needed);
	self->d.hprocs[0].runnext = 0;
	EXPECT_EQ(0, dev_detach(&self->d, slot));
}

TEST_F(two_lazy, so_does_one_that_parks)
{
	int slot = dev_attach(&self->d, 0, NULL);
	struct gr_park p;

	EXPECT_EQ(0, dev_park(&self->d, slot, 0, &p));
	EXPECT_EQ(1, p.proc);
	EXPECT_EQ(GR_WAKE_WORK, p.reason);
	EXPECT_EQ(0, dev_detach(&self->d, slot));
}

TEST_HARNESS_MAIN
