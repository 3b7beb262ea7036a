// SPDX-License-Identifier: GPL-2.0
/*
 * hostile_test.c - a process that lies to the kernel hurts itself only.
 *
 * One thread writes random words all over the hint pages, another makes random calls with random
 * arguments, while attached threads block and park as usual. Afterwards the kernel's own count
 * (mirror, never read back) must still be consistent and a fresh group must work. GR_SEED=n
 * replays.
 */
#include "kselftest_harness.h"
#include "gr_dev.h"

#define PROCS 2
#define THREADS 6

static struct dev d;
static _Atomic bool over;
static unsigned int first_seed;

static void *scribbler(void *arg)
{
	volatile uint32_t *word = (volatile uint32_t *)d.hint;
	size_t n = d.setup.hint_size / sizeof(*word);
	unsigned int seed = first_seed;

	while (!atomic_load(&over))
		for (int i = 0; i < 64; i++)
			word[rand_r(&seed) % n] = rand_r(&seed) % 4 ? rand_r(&seed) : 0;
	return arg;
}

static void *caller(void *arg)
{
	unsigned int seed = first_seed + 1;
	unsigned char buf[256];

	while (!atomic_load(&over)) {
		unsigned int nr = 0x80 + rand_r(&seed) % 9;
		unsigned int size = rand_r(&seed) % 3 ? rand_r(&seed) % 128 : 24;

		if (nr == 0x87)
			continue; /* SHUTDOWN would end the test; a size of 0 makes it valid */
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = rand_r(&seed) % 3 ? 0 : rand_r(&seed);
		/* a park or monitor that sleeps must end: a deadline in the past */
		memset(buf + 8, 0, 8);
		ioctl(d.fd, _IOC(_IOC_READ | _IOC_WRITE, 'G', nr, size), rand_r(&seed) % 8 ? buf : NULL);
	}
	return arg;
}

static void *victim(void *arg)
{
	unsigned int seed = first_seed + 2 + (long)arg;
	int slot = dev_attach(&d, GR_ATTACH_RUN, NULL);

	while (slot >= 0 && !atomic_load(&over)) {
		sleep_us(rand_r(&seed) % 200);
		dev_park(&d, slot, now_ns() + rand_r(&seed) % 200000, NULL);
		dev_unpark(&d, 1 + rand_r(&seed) % PROCS);
	}
	return arg;
}

static uint32_t held(void)
{
	uint32_t n = 0;

	for (int i = 0; i < PROCS; i++)
		n += d.mprocs[i].state == GR_P_IDLE;
	return n;
}

TEST(scribbled_hints)
{
	pthread_t t[THREADS + 2];
	const char *env = getenv("GR_SEED");
	struct dev fresh;

	first_seed = env ? atoi(env) : (unsigned int)time(NULL);
	TH_LOG("GR_SEED=%u", first_seed);
	alarm(100);
	ASSERT_EQ(0, dev_open(&d, PROCS, 32, O_CLOEXEC));
	for (long i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, victim, (void *)i));
	ASSERT_EQ(0, pthread_create(&t[THREADS], NULL, scribbler, NULL));
	ASSERT_EQ(0, pthread_create(&t[THREADS + 1], NULL, caller, NULL));
	sleep_us(10000000);
	atomic_store(&over, true);
	for (int i = 0; i < THREADS + 2; i++)
		pthread_join(t[i], NULL);
	EXPECT_TRUE(wait_until(d.mirror->nr_threads == 0));
	EXPECT_EQ(PROCS, d.mirror->nr_idle);
	EXPECT_EQ(PROCS, held());
	EXPECT_EQ(0, d.mirror->nr_lazy);
	EXPECT_EQ(0, d.mirror->nr_spares);
	EXPECT_EQ(0, d.mirror->nr_returners);
	ASSERT_EQ(0, dev_open(&fresh, 1, 1, 0));
	EXPECT_EQ(0, dev_attach(&fresh, GR_ATTACH_RUN, NULL));
	dev_close(&fresh);
	dev_close(&d);
}

TEST_HARNESS_MAIN
