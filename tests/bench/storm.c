// SPDX-License-Identifier: GPL-2.0
/*
 * storm - 64 threads block and unblock at random on 2 processors; does the protocol hold?
 *
 * storm [SECONDS]	(60)
 *
 * Each thread computes a little in goroutine code and blocks: a nap, or a token from the thread
 * before it in a ring of eventfds. A hand-off or a return that is lost stops the ring, so lost
 * wake-ups show as threads that do not go on. Now and then a thread computes for three slices.
 *
 * Who runs is judged by the module's test build (debugfs gr/oracle), how long returners wait by
 * the group's own histogram (debugfs gr/PID.N/latency) and by its GR_EV_RETURN_LATE records.
 *
 * Prints JSON: hand-offs a second (median and best second); max_running and violations, n being
 * the oracle's samples (all CPUs at one instant) and looks (one thread); how long returners waited (upper bounds of the buckets) and how many of
 * them longer than four slices; lost: threads that did not go on, and that did not end.
 */
#include <glob.h>
#include <inttypes.h>
#include <sys/eventfd.h>

#include "../kselftest/gr_dev.h"

#define NR_THREADS 64
#define NR_PROCS 2
#define NR_TOKENS 16
#define SLICE_US 10000
#define MAX_SECONDS 3600

static struct dev dev;
static int ring[NR_THREADS];
static atomic_bool stop;
static struct {
	_Alignas(64) atomic_ulong rounds;
	atomic_bool gone;
} threads[NR_THREADS];

static void die(const char *what)
{
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void compute(unsigned int us)
{
	int64_t until = now_ns() + us * 1000LL;

	while (now_ns() < until)
		;
}

static void pass(int i)
{
	uint64_t token = 1;

	if (write(ring[i], &token, sizeof(token)) != sizeof(token))
		die("write");
}

static void block(int i, unsigned int *seed)
{
	uint64_t token;

	if (rand_r(seed) & 1) {
		sleep_us(rand_r(seed) % 2000);
		return;
	}
	if (read(ring[i], &token, sizeof(token)) != sizeof(token))
		die("read");
	pass((i + 1) % NR_THREADS);
}

static void *run(void *arg)
{
	int i = (int)(long)arg, slot = dev_attach(&dev, GR_ATTACH_RUN, NULL);
	unsigned int seed = 1 + i;

	if (slot < 0)
		die("ATTACH");
	while (!atomic_load(&stop)) {
		/* runtime: a scheduler would pick a goroutine here */
		if (dev.mthreads[slot].proc < 0 && dev_park(&dev, slot, GR_NO_DEADLINE, NULL))
			break;
		dev_user(&dev, slot);
		compute(rand_r(&seed) % 500 ? rand_r(&seed) % 100 : 3 * SLICE_US);
		block(i, &seed);
		dev_runtime(&dev, slot);
		atomic_fetch_add_explicit(&threads[i].rounds, 1, memory_order_relaxed);
	}
	dev_detach(&dev, slot);
	atomic_store(&threads[i].gone, true);
	return NULL;
}

/* the value of "name" in a file of lines "name value" */
static long value_of(const char *path, const char *name)
{
	FILE *f = fopen(path, "r");
	char word[64];
	long v, found = -1;

	if (!f)
		die(path);
	while (fscanf(f, "%63s %ld", word, &v) == 2)
		if (!strcmp(word, name))
			found = v;
	fclose(f);
	return found;
}

/* upper bound, in us, of the bucket that holds the given part of the returners' waits */
static double waited(const char *kind, double part)
{
	unsigned long low, high, n, all = 0, seen = 0;
	char name[64], line[256];
	double us = 0;
	glob_t g;

	snprintf(line, sizeof(line), "/sys/kernel/debug/gr/%d.*/latency", getpid());
	if (glob(line, 0, NULL, &g) || g.gl_pathc != 1)
		die("no latency file");
	for (int pass = 0; pass < 2; pass++) {
		FILE *f = fopen(g.gl_pathv[0], "r");

		while (f && fgets(line, sizeof(line), f)) {
			if (sscanf(line, "%63s %lu %lu %lu", name, &low, &high, &n) != 4 ||
			    strcmp(name, kind))
				continue;
			if (!pass)
				all += n;
			else if (seen < all * part)
				us = high / 1e3;
			seen += pass ? n : 0;
		}
		if (f)
			fclose(f);
	}
	globfree(&g);
	return us;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static unsigned long late;	/* GR_EV_RETURN_LATE: a returner has waited for four slices */

static void read_records(void)
{
	struct gr_event e[64];
	ssize_t n;

	while ((n = read(dev.fd, e, sizeof(e))) > 0)
		for (size_t i = 0; i < n / sizeof(*e); i++)
			late += e[i].type == GR_EV_RETURN_LATE;
}

static double handoff_rate(void)
{
	uint64_t before = dev.mirror->handoffs;
	int64_t t0 = now_ns();

	for (int i = 0; i < 50; i++) {
		sleep_us(20000);
		read_records();
	}
	return (dev.mirror->handoffs - before) * 1e9 / (now_ns() - t0);
}

static int stuck(unsigned long *before)
{
	int n = 0;

	for (int i = 0; i < NR_THREADS; i++) {
		unsigned long now = atomic_load(&threads[i].rounds);

		n += now == before[i];
		before[i] = now;
	}
	return n;
}

static void row(const char *unit, double median, double p99, long n)
{
	printf("{\"bench\":\"storm\",\"impl\":\"kmod\",\"procs\":%d,\"cpus\":%ld,\"unit\":\"%s\","
	       "\"median\":%.1f,\"p99\":%.1f,\"n\":%ld}\n",
	       NR_PROCS, sysconf(_SC_NPROCESSORS_ONLN), unit, median, p99, n);
}

static void start(pthread_t *t)
{
	for (long i = 0; i < NR_THREADS; i++) {
		ring[i] = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
		if (ring[i] < 0)
			die("eventfd");
	}
	dev.hint->globq_len = 1;
	for (long i = 0; i < NR_THREADS; i++)
		if (pthread_create(&t[i], NULL, run, (void *)i))
			die("pthread_create");
	for (int i = 0; i < NR_TOKENS; i++)
		pass(i * (NR_THREADS / NR_TOKENS));
}

/* threads that did not end within a minute of the end */
static int finish(pthread_t *t)
{
	int64_t until = now_ns() + 60000000000LL;
	int left = NR_THREADS;

	atomic_store(&stop, true);
	while (left && now_ns() < until) {
		left = NR_THREADS;
		for (int i = 0; i < NR_THREADS; i++) {
			pass(i);
			left -= atomic_load(&threads[i].gone);
		}
		dev_unpark(&dev, NR_PROCS);
		sleep_us(10000);
	}
	for (int i = 0; !left && i < NR_THREADS; i++)
		pthread_join(t[i], NULL);
	return left;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 60, lost, ret;
	struct gr_setup s = gr_setup_arg(NR_PROCS, NR_THREADS);
	static unsigned long rounds[NR_THREADS];
	static double rate[MAX_SECONDS];
	long samples, running, looks, violations;
	pthread_t t[NR_THREADS];
	FILE *oracle;

	if (seconds < 1 || seconds > MAX_SECONDS || argc > 2) {
		fputs("usage: storm [SECONDS]\n", stderr);
		return 1;
	}
	s.slice_us = SLICE_US;
	s.features = GR_FEAT_EVENTS | GR_FEAT_PREEMPT;
	ret = dev_open_arg(&dev, s, O_CLOEXEC | O_NONBLOCK);
	errno = ret;
	if (ret)
		die("/dev/gr");
	oracle = fopen("/sys/kernel/debug/gr/oracle", "w");
	if (!oracle || fputs("0\n", oracle) < 0 || fclose(oracle))
		die("debugfs gr/oracle (a module built with GR_ORACLE=1)");
	start(t);
	for (int i = 0; i < seconds; i++)
		rate[i] = handoff_rate();
	samples = value_of("/sys/kernel/debug/gr/oracle", "samples");
	running = value_of("/sys/kernel/debug/gr/oracle", "max_running");
	looks = value_of("/sys/kernel/debug/gr/oracle", "looks");
	violations = value_of("/sys/kernel/debug/gr/oracle", "violations");
	stuck(rounds);
	for (int i = 0; i < 10; i++)
		handoff_rate();
	lost = stuck(rounds);
	qsort(rate, seconds, sizeof(*rate), by_value);
	row("handoffs/s", rate[seconds / 2], rate[seconds - 1], seconds);
	row("max_running", running, running, samples);
	row("violations", violations, violations, looks);
	row("returner_wait_us", waited("return_run", 0.5), waited("return_run", 0.99),
	    (long)dev.mirror->unblocks);
	row("returner_wait_longest_us", waited("return_run", 1), waited("return_run", 1),
	    (long)dev.mirror->unblocks);
	row("preempted_wait_us", waited("preempt_run", 0.5), waited("preempt_run", 0.99),
	    (long)dev.mirror->preempts);
	row("returns_late", late, late, (long)dev.mirror->unblocks);
	row("events_lost", dev.mirror->events_lost, dev.mirror->events_lost, 1);
	row("lost", lost, finish(t), NR_THREADS);
	return running > NR_PROCS || violations || lost;
}
