// SPDX-License-Identifier: GPL-2.0
/*
 * handoff - from a thread that blocks to the next thread in user mode, against the floor.
 *
 * handoff [--insns] [--cpus 1|2]
 *
 * kmod: A is in goroutine code with the only P, there is work, B is parked. A takes the time and
 * calls nanosleep(), of which nobody is told; B takes the time when its PARK returns.
 * floor: what the same kernel needs at least to do it by hand: A takes the time, wakes B with a
 * futex and calls nanosleep(); B takes the time when its FUTEX_WAIT returns.
 *
 * Both threads are SCHED_BATCH: B does not preempt A, it runs because A sleeps. Prints a line of
 * JSON each: median and 99th percentile.
 */
#include <linux/futex.h>

#include "../kselftest/gr_dev.h"

#define ROUNDS 1000
#define SLEEP_US 1000

static struct dev dev;
static int slot_a, slot_b;
static _Atomic int64_t came;	/* when B ran, 0: not yet */
static atomic_int word;
static atomic_bool stop, ready;
static int64_t values[ROUNDS];

static void die(const char *what)
{
	fprintf(stderr, "handoff: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void batch(void)
{
	struct sched_param p = { 0 };

	if (sched_setscheduler(0, SCHED_BATCH, &p))
		die("SCHED_BATCH");
}

static void *b_kmod(void *arg)
{
	struct gr_park p = { .flags = GR_PARK_NOWORK, .deadline = GR_NO_DEADLINE };

	batch();
	p.slot = slot_b = dev_attach(&dev, 0, NULL);
	if (slot_b < 0)
		die("ATTACH");
	atomic_store(&ready, true);
	while (!ioctl(dev.fd, GR_IOC_PARK, &p)) {
		atomic_store(&came, now_ns());
		if (atomic_load(&stop))
			break;
	}
	dev_detach(&dev, slot_b);
	return arg;
}

static void a_kmod(void)
{
	dev_user(&dev, slot_a);
	sleep_us(SLEEP_US);
	dev_runtime(&dev, slot_a);
	if (dev.mthreads[slot_a].proc < 0)
		die("A came back without its P");
}

static long futex(int op, int value)
{
	return syscall(SYS_futex, &word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void *b_floor(void *arg)
{
	batch();
	atomic_store(&ready, true);
	do {
		while (!atomic_load(&word))
			futex(FUTEX_WAIT, 0);
		atomic_store(&came, now_ns());
		atomic_store(&word, 0);
	} while (!atomic_load(&stop));
	return arg;
}

static void a_floor(void)
{
	atomic_store(&word, 1);
	futex(FUTEX_WAKE, 1);
	sleep_us(SLEEP_US);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static bool insns;
static int cpus = 1;

static void measure(const char *name, void *(*b)(void *), void (*a)(void))
{
	double unit = insns ? 1 : 1000;
	int missed = 0;
	pthread_t t;

	atomic_store(&stop, false);
	atomic_store(&ready, false);
	if (pthread_create(&t, NULL, b, NULL))
		die("pthread_create");
	while (!atomic_load(&ready))
		sleep_us(1000);
	sleep_us(20000);
	for (int i = -10; i < ROUNDS;) {
		int64_t t0, t1;

		atomic_store(&came, 0);
		t0 = now_ns();
		a();
		t1 = atomic_load(&came);
		if (!t1 && ++missed > ROUNDS)
			die("B does not run while A sleeps");
		if (t1 && i >= 0)
			values[i] = t1 - t0;
		i += t1 != 0;
	}
	atomic_store(&stop, true);
	a();
	if (b == b_kmod)
		dev_unpark(&dev, 1);
	pthread_join(t, NULL);
	qsort(values, ROUNDS, sizeof(*values), by_value);
	printf("{\"bench\":\"block_to_run\",\"impl\":\"%s\",\"procs\":1,\"cpus\":%d,\"unit\":\"%s\","
	       "\"median\":%.2f,\"p99\":%.2f,\"n\":%d,\"missed\":%d}\n",
	       name, cpus, insns ? "insns" : "us", values[ROUNDS / 2] / unit,
	       values[ROUNDS * 99 / 100] / unit, ROUNDS, missed);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	cpu_set_t set;
	int ret;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--insns")) {
			insns = true;
		} else if (!strcmp(argv[i], "--cpus") && i + 1 < argc) {
			cpus = atoi(argv[++i]);
		} else {
			fputs("usage: handoff [--insns] [--cpus 1|2]\n", stderr);
			return 1;
		}
	}
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	if (cpus == 1 && sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
	batch();
	measure("floor", b_floor, a_floor);
	ret = dev_open(&dev, 1, 2, O_CLOEXEC);
	errno = ret;
	if (ret)
		die("/dev/gr");
	slot_a = dev_attach(&dev, GR_ATTACH_RUN, NULL);
	if (slot_a < 0)
		die("ATTACH");
	dev.hint->globq_len = 1;
	measure("kmod", b_kmod, a_kmod);
	return 0;
}
