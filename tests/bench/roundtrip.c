// SPDX-License-Identifier: GPL-2.0
/*
 * roundtrip - two threads wake each other in turn: what one round costs, by several means.
 *
 * roundtrip [--cpus 1|2] [--insns] [--name BENCH] [--as IMPL] [--halves] MEANS...
 *
 * MEANS: switch, park (of /dev/gr), futex, eventfd, pipe. With one CPU both threads are bound to
 * it, with two they are free. All are SCHED_BATCH, so that a wake-up does not preempt and each
 * side really sleeps; "sleeps" in the output is how often they did, per round trip: it must be 2,
 * else the figure means something else. Free threads may find themselves woken before they sleep: then
 * it is measured again, up to TRIES times, and the try with the most sleeps counts.
 * --halves: per context switch, not per round trip.
 *
 * --insns: the guest's clock counts instructions (-icount shift=0). One line of JSON per MEANS:
 * median and largest of the batches.
 */
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "../kselftest/gr_dev.h"

#define BATCHES 40
#define ROUNDS 500	/* a batch */
#define TRIES 6

static int slots[2];
static struct dev dev;
static struct { _Alignas(64) atomic_int value; } words[2];
static int rd[2], wr[2];	/* what a side reads from, and what wakes it */
static atomic_bool stop, ready;

static void die(const char *what)
{
	fprintf(stderr, "roundtrip: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void nothing(int me)
{
	(void)me;
}

/* ---- /dev/gr ---- */

static void open_dev(int procs)
{
	int ret = dev_open(&dev, procs, 2, O_CLOEXEC);

	errno = ret;
	if (ret)
		die("/dev/gr");
}

static void open_switch(void)
{
	open_dev(1);
}

static void open_park(void)
{
	open_dev(2);
}

static void attach(int me)
{
	slots[me] = dev_attach(&dev, me ? 0 : GR_ATTACH_RUN, NULL);
	if (slots[me] < 0)
		die("ATTACH");
}

static void detach(int me)
{
	dev_detach(&dev, slots[me]);
}

static void park(int me)
{
	if (dev_park(&dev, slots[me], GR_NO_DEADLINE, NULL))
		die("PARK");
}

static void unpark(int other)
{
	struct gr_unpark u = { .nr = 1, .flags = GR_UNPARK_THREAD, .slot = slots[other] };

	if (ioctl(dev.fd, GR_IOC_UNPARK, &u))
		die("UNPARK");
}

static void hop_park(int me)
{
	unpark(!me);
	park(me);
}

static void hop_switch(int me)
{
	struct gr_switch s = {
		.slot = slots[me],
		.target = slots[!me],
		.deadline = GR_NO_DEADLINE,
	};

	if (ioctl(dev.fd, GR_IOC_SWITCH, &s))
		die("SWITCH");
}

/* ---- the others ---- */

static long futex(atomic_int *w, int op, int value)
{
	return syscall(SYS_futex, w, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void open_futex(void)
{
	atomic_store(&words[0].value, 0);
	atomic_store(&words[1].value, 0);
}

static void wait_futex(int me)
{
	while (!atomic_load(&words[me].value))
		futex(&words[me].value, FUTEX_WAIT, 0);
	atomic_store(&words[me].value, 0);
}

static void wake_futex(int other)
{
	atomic_store(&words[other].value, 1);
	futex(&words[other].value, FUTEX_WAKE, 1);
}

static void hop_futex(int me)
{
	wake_futex(!me);
	wait_futex(me);
}

static void open_eventfd(void)
{
	for (int i = 0; i < 2; i++) {
		rd[i] = wr[i] = eventfd(0, EFD_CLOEXEC);
		if (rd[i] < 0)
			die("eventfd");
	}
}

static void open_pipe(void)
{
	for (int i = 0; i < 2; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC))
			die("pipe");
		rd[i] = p[0];
		wr[i] = p[1];
	}
}

static void wait_fd(int me)
{
	uint64_t x;

	if (read(rd[me], &x, sizeof(x)) != sizeof(x))
		die("read");
}

static void wake_fd(int other)
{
	uint64_t x = 1;

	if (write(wr[other], &x, sizeof(x)) != sizeof(x))
		die("write");
}

static void hop_fd(int me)
{
	wake_fd(!me);
	wait_fd(me);
}

/* hop: wake the other side and sleep until it does the same */
static const struct means {
	const char *name;
	void (*open)(void);
	void (*join)(int me);
	void (*wait)(int me);
	void (*wake)(int other);
	void (*hop)(int me);
	void (*leave)(int me);
} all[] = {
	{ "switch", open_switch, attach, park, unpark, hop_switch, detach },
	{ "park", open_park, attach, park, unpark, hop_park, detach },
	{ "futex", open_futex, nothing, wait_futex, wake_futex, hop_futex, nothing },
	{ "eventfd", open_eventfd, nothing, wait_fd, wake_fd, hop_fd, nothing },
	{ "pipe", open_pipe, nothing, wait_fd, wake_fd, hop_fd, nothing },
};

static const struct means *m;

static void batch(void)
{
	struct sched_param p = { 0 };

	if (sched_setscheduler(0, SCHED_BATCH, &p))
		die("SCHED_BATCH");
}

static void *partner(void *arg)
{
	batch();
	m->join(1);
	atomic_store(&ready, true);
	for (m->wait(1); !atomic_load(&stop);)
		m->hop(1);
	m->leave(1);
	return arg;
}

static long sleeps(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_nvcsw;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static const char *bench, *as;
static bool insns, halves;
static int cpus = 1;

static double run_batch(void)
{
	int64_t t0 = now_ns();

	for (int i = 0; i < ROUNDS; i++)
		m->hop(0);
	return (double)(now_ns() - t0) / ROUNDS / (halves ? 2 : 1) / (insns ? 1 : 1000);
}

struct figure {
	double median, most, sleeps;
};

static struct figure try_once(void)
{
	double v[BATCHES];
	pthread_t t;
	long before;

	atomic_store(&stop, false);
	atomic_store(&ready, false);
	m->open();
	m->join(0);
	if (pthread_create(&t, NULL, partner, NULL))
		die("pthread_create");
	while (!atomic_load(&ready))
		sleep_us(1000);
	sleep_us(20000);	/* it waits by now; if not, the first batch is thrown away */
	run_batch();
	before = sleeps();
	for (int i = 0; i < BATCHES; i++)
		v[i] = run_batch();
	before = sleeps() - before;
	atomic_store(&stop, true);
	m->wake(1);
	m->leave(0);
	pthread_join(t, NULL);
	qsort(v, BATCHES, sizeof(*v), by_value);
	return (struct figure){ v[BATCHES / 2], v[BATCHES - 1],
				(double)before / (BATCHES * ROUNDS) };
}

static void measure(void)
{
	struct figure best = { .sleeps = -1 };

	for (int i = 0; i < TRIES && best.sleeps < 1.9; i++) {
		struct figure f = try_once();

		best = f.sleeps > best.sleeps ? f : best;
	}
	printf("{\"bench\":\"%s\",\"impl\":\"%s\",\"procs\":1,\"cpus\":%d,\"unit\":\"%s\","
	       "\"median\":%.2f,\"p99\":%.2f,\"n\":%d,\"sleeps\":%.3f}\n",
	       bench, as ? as : m->name, cpus, insns ? "insns" : "us", best.median, best.most,
	       BATCHES * ROUNDS, best.sleeps);
	fflush(stdout);
}

static void bind_to_first(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

static int usage(void)
{
	fputs("usage: roundtrip [--cpus 1|2] [--insns] [--name BENCH] [--as IMPL] [--halves] "
	      "switch|park|futex|eventfd|pipe...\n", stderr);
	return 1;
}

int main(int argc, char **argv)
{
	int i = 1;

	for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--insns"))
			insns = true;
		else if (!strcmp(argv[i], "--halves"))
			halves = true;
		else if (!strcmp(argv[i], "--cpus") && i + 1 < argc)
			cpus = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--name") && i + 1 < argc)
			bench = argv[++i];
		else if (!strcmp(argv[i], "--as") && i + 1 < argc)
			as = argv[++i];
		else
			return usage();
	}
	if (cpus < 1 || cpus > 2 || i == argc)
		return usage();
	if (!bench)
		bench = cpus == 1 ? "roundtrip_1cpu" : "roundtrip_2cpu";
	if (cpus == 1)
		bind_to_first();
	batch();
	for (; i < argc; i++) {
		for (m = all; m < all + 5 && strcmp(m->name, argv[i]); m++)
			;
		if (m == all + 5)
			return usage();
		measure();
	}
	return 0;
}
