// SPDX-License-Identifier: MIT
/*
 * pthread.c - pthread BENCH PROCS N: the workloads of ../lib on plain threads, where they make
 * sense. Same output; exit 4 with a reason where they do not.
 *
 * PROCS is how many CPUs the process may use, except for wake and parked: those are about two
 * threads that are free to run anywhere, and about memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SEC 1000000000LL
#define MS 1000000LL

static int procs;

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SEC + ts.tv_nsec;
}

static void sleep_until(int64_t when)
{
	struct timespec ts = { when / SEC, when % SEC };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void report(const char *bench, const char *unit, double value)
{
	printf("%s %s %.3f\n", bench, unit, value);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void report_late(const char *bench, int64_t *samples, long n)
{
	qsort(samples, n, sizeof(*samples), compare);
	printf("%s ns %.3f %.3f\n", bench, (double)samples[n / 2], (double)samples[n * 99 / 100]);
}

static void per_op(const char *bench, void (*run)(long n), long n)
{
	int64_t t;

	run(n / 10 + 1);
	t = now();
	run(n);
	report(bench, "ns", (double)(now() - t) / n);
}

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

/* small stacks, as many threads do */
static pthread_t thread(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	if (pthread_create(&t, &attr, fn, arg))
		fail("pthread_create");
	pthread_attr_destroy(&attr);
	return t;
}

/* only on the first so many CPUs of ours */
static void use_cpus(int n)
{
	cpu_set_t set, some;

	CPU_ZERO(&some);
	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0; i < CPU_SETSIZE && n; i++)
		if (CPU_ISSET(i, &set)) {
			CPU_SET(i, &some);
			n--;
		}
	sched_setaffinity(0, sizeof(some), &some);
}

/* ---- yield, spawn ---- */

static long each;

static void *yielder(void *unused)
{
	for (long i = 0; i < each; i++)
		sched_yield();
	return unused;
}

static void run_threads(int n, void *(*fn)(void *))
{
	pthread_t *t = calloc(n, sizeof(*t));

	for (long i = 0; i < n; i++)
		t[i] = thread(fn, (void *)i);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	free(t);
}

static void yields(long n)
{
	each = n / (2 * procs);
	run_threads(2 * procs, yielder);
}

static void *nothing(void *arg)
{
	return arg;
}

static void spawns(long n)
{
	for (long i = 0; i < n; i++)
		pthread_join(thread(nothing, NULL), NULL);
}

/* ---- pingpong, ring: a semaphore for each direction, the value in memory ---- */

static sem_t ping, pong;
static long value;

static void *ponger(void *unused)
{
	for (long i = 0; i < each; i++) {
		sem_wait(&ping);
		value = -value;
		sem_post(&pong);
	}
	return unused;
}

static void pings(long n)
{
	pthread_t t;

	each = (n + 1) / 2;
	sem_init(&ping, 0, 0);
	sem_init(&pong, 0, 0);
	t = thread(ponger, NULL);
	for (long i = 0; i < each; i++) {
		value = i;
		sem_post(&ping);
		sem_wait(&pong);
	}
	pthread_join(t, NULL);
}

#define RING 503
static sem_t links[RING], done;
static long token;

static void *node(void *arg)
{
	long me = (long)arg;

	for (;;) {
		sem_wait(&links[me]);
		sem_post(token-- ? &links[(me + 1) % RING] : &done);
	}
	return NULL;
}

static void hops(long n)
{
	token = n;
	sem_post(&links[0]);
	sem_wait(&done);
}

static void bench_ring(long n)
{
	sem_init(&done, 0, 0);
	for (long i = 0; i < RING; i++) {
		sem_init(&links[i], 0, 0);
		thread(node, (void *)i);
	}
	per_op("ring", hops, n);
}

/* ---- bufchan: a mutex and two condition variables around 128 places ---- */

#define CAP 128
static struct {
	pthread_mutex_t lock;
	pthread_cond_t room, some;
	long at[CAP], first, count;
} queue = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER,
	    { 0 }, 0, 0 };

static void *producer(void *unused)
{
	for (long i = 0; i < each; i++) {
		pthread_mutex_lock(&queue.lock);
		while (queue.count == CAP)
			pthread_cond_wait(&queue.room, &queue.lock);
		queue.at[(queue.first + queue.count++) % CAP] = i;
		pthread_cond_signal(&queue.some);
		pthread_mutex_unlock(&queue.lock);
	}
	return unused;
}

static long take(void)
{
	long v;

	pthread_mutex_lock(&queue.lock);
	while (!queue.count)
		pthread_cond_wait(&queue.some, &queue.lock);
	v = queue.at[queue.first];
	queue.first = (queue.first + 1) % CAP;
	queue.count--;
	pthread_cond_signal(&queue.room);
	pthread_mutex_unlock(&queue.lock);
	return v;
}

static void stream(long n)
{
	pthread_t t;
	long sum = 0;

	each = n;
	t = thread(producer, NULL);
	for (long i = 0; i < n; i++)
		sum += take();
	pthread_join(t, NULL);
	if (sum != n * (n - 1) / 2)
		fail("bufchan: wrong sum");
}

/* ---- mutex ---- */

#define LOCKERS 8
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;

static void *locker(void *unused)
{
	for (long i = 0; i < each; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		if (!(i % 16))
			sched_yield();
		pthread_mutex_unlock(&mutex);
	}
	return unused;
}

static void locks(long n)
{
	each = (n + LOCKERS - 1) / LOCKERS;
	counter = 0;
	run_threads(LOCKERS, locker);
	if (counter != each * LOCKERS)
		fail("mutex: count is wrong");
}

/* ---- timers, parked: threads that gather at a gate ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	long here;
	int open;
} gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 };
static int64_t *late;

static void at_gate(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.here++;
	pthread_cond_broadcast(&gate.changed);
	while (!gate.open)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525U + 1013904223U;
	return *state >> 8;
}

static int64_t cpu_ns(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * SEC +
	       (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000LL;
}

static int64_t spread;

static void *sleeper(void *arg)
{
	uint32_t seed = (uint32_t)(long)arg * 2654435761U;

	at_gate();
	sleep_until(now() + spread + next_random(&seed) * 64LL % spread);
	return NULL;
}

static void bench_timers_cpu(long n)
{
	pthread_t *t = calloc(n, sizeof(*t));
	int64_t cpu;

	spread = n * 1000;
	for (long i = 0; i < n; i++)
		t[i] = thread(sleeper, (void *)i);
	cpu = cpu_ns();
	pthread_mutex_lock(&gate.lock);
	gate.open = 1;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
	for (long i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	report("timers_cpu", "ns", (double)(cpu_ns() - cpu) / n);
}

#define NAPPERS 1000

static void *napper(void *arg)
{
	long me = (long)arg;
	uint32_t seed = (uint32_t)me * 2654435761U;

	for (long i = 0; i < each; i++) {
		int64_t when = now() + MS + next_random(&seed) % (19 * MS);

		sleep_until(when);
		late[me * each + i] = now() - when;
	}
	return NULL;
}

static void bench_timers_late(long n)
{
	prctl(PR_SET_TIMERSLACK, 1); /* threads inherit it: as exact as the kernel can */
	each = (n + NAPPERS - 1) / NAPPERS;
	late = calloc(each * NAPPERS, sizeof(*late));
	run_threads(NAPPERS, napper);
	report_late("timers_late", late, each * NAPPERS);
}

static void bench_sleep50us_err(long n)
{
	prctl(PR_SET_TIMERSLACK, 1);
	late = calloc(n, sizeof(*late));
	for (long i = 0; i < n; i++) {
		int64_t when = now() + MS / 20;

		sleep_until(when);
		late[i] = now() - when;
	}
	report_late("sleep50us_err", late, n);
}

static void memory(double *rss, double *tables)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb;

	if (!f)
		fail("/proc/self/status");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			*rss = kb * 1024.0;
		if (sscanf(line, "VmPTE: %ld", &kb) == 1)
			*tables = kb * 1024.0;
	}
	fclose(f);
}

static atomic_long here;

static void *parker(void *unused)
{
	atomic_fetch_add(&here, 1);
	pause();
	return unused;
}

static void park(long n)
{
	for (long i = 0; i < n; i++)
		thread(parker, NULL);
	while (atomic_load(&here) < n)
		sleep_until(now() + MS);
}

static void bench_parked(long n)
{
	double rss0 = 0, rss = 0, tables0 = 0, tables = 0;
	int64_t t;

	memory(&rss0, &tables0);
	t = now();
	park(n);
	t = now() - t;
	memory(&rss, &tables);
	report("parked_bytes", "bytes", (rss - rss0) / n);
	report("parked_create", "ns", (double)t / n);
	report("parked_tables", "bytes", (tables - tables0) / n);
}

/* ---- wake: a bare pair of futexes ---- */

static _Atomic uint32_t words[2];

static void wake(int who)
{
	atomic_store(&words[who], 1);
	syscall(SYS_futex, &words[who], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void await(int who)
{
	while (!atomic_exchange(&words[who], 0))
		syscall(SYS_futex, &words[who], FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void *answerer(void *unused)
{
	for (long i = 0; i < each; i++) {
		await(1);
		wake(0);
	}
	return unused;
}

static void bench_wake(long n)
{
	pthread_t t;
	int64_t start = now(), end;

	each = n;
	late = calloc(n, sizeof(*late));
	t = thread(answerer, NULL);
	for (long i = 0; i < n; i++, start = end) {
		wake(1);
		await(0);
		end = now();
		late[i] = (end - start) / 2;
	}
	pthread_join(t, NULL);
	report_late("wake", late, n);
}

static void bench_idle(long n)
{
	park(n);
	printf("ready\n");
	fflush(stdout);
	pause();
}

/* ---- file_randread: a pool of 64 threads, each with a read of its own at any time ---- */

#define READERS 64
#define BLOCK 4096

static int file;
static uint32_t nr_blocks;

static void *reader(void *arg)
{
	uint32_t seed = (uint32_t)(long)arg * 2654435761U;
	uint64_t *block = aligned_alloc(BLOCK, BLOCK);

	for (long i = 0; i < each; i++) {
		uint32_t at = next_random(&seed) % nr_blocks;

		if (pread(file, block, BLOCK, (off_t)at * BLOCK) != BLOCK || *block != at)
			fail("pread");
	}
	free(block);
	return NULL;
}

static void randread(const char *bench, int flags, long n)
{
	const char *path = getenv("BENCH_FILE");
	int64_t t, cpu;
	char name[64];

	file = open(path ? path : "", O_RDONLY | O_CLOEXEC | flags);
	if (file < 0 && errno == EINVAL && flags) {
		printf("skip: the file system has no O_DIRECT\n");
		exit(4);
	}
	if (file < 0)
		fail("BENCH_FILE");
	nr_blocks = lseek(file, 0, SEEK_END) / BLOCK;
	each = n / 10 / READERS + 1;
	run_threads(READERS, reader);
	each = (n + READERS - 1) / READERS;
	cpu = cpu_ns();
	t = now();
	run_threads(READERS, reader);
	t = now() - t;
	cpu = cpu_ns() - cpu;
	n = each * READERS;
	report(bench, "req/s", (double)n * SEC / t);
	snprintf(name, sizeof(name), "%s_cpu", bench);
	report(name, "us", (double)cpu / n / 1000);
}

static void bench_randread(long n)
{
	randread("file_randread", O_DIRECT, n);
}

static void bench_randread_cached(long n)
{
	randread("file_randread_cached", 0, n);
}

static const struct {
	const char *name;
	void (*run)(long n), (*ops)(long n);
} table[] = {
	{ "yield", NULL, yields },	     { "spawn", NULL, spawns },
	{ "pingpong", NULL, pings },	     { "bufchan", NULL, stream },
	{ "ring", bench_ring, NULL },	     { "mutex", NULL, locks },
	{ "timers_cpu", bench_timers_cpu, NULL },
	{ "timers_late", bench_timers_late, NULL },
	{ "sleep50us_err", bench_sleep50us_err, NULL },
	{ "parked", bench_parked, NULL },    { "wake", bench_wake, NULL },
	{ "idle_ctxt", bench_idle, NULL },
	{ "file_randread", bench_randread, NULL },
	{ "file_randread_cached", bench_randread_cached, NULL },
};

int main(int argc, char **argv)
{
	long n = argc == 4 ? atol(argv[3]) : 0;

	if (n < 1 || (procs = atoi(argv[2])) < 1) {
		fprintf(stderr, "usage: pthread BENCH PROCS N\n");
		return 1;
	}
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (strcmp(table[i].name, argv[1]))
			continue;
		if (table[i].run != bench_wake)
			use_cpus(procs);
		if (table[i].run)
			table[i].run(n);
		else
			per_op(table[i].name, table[i].ops, n);
		fflush(stdout);
		_exit(0); /* threads of ring and parked never end */
	}
	printf("skip: threads have nothing of the kind, or cannot be that many\n");
	return 4;
}
