// SPDX-License-Identifier: MIT
/* wait.c - workloads of waiting: mutex, timers_cpu, timers_late, sleep50us_err, parked, wake, idle_ctxt. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

static struct gr_wg wg;
static struct gr_chan *gate; /* never gets a value; closed to let everybody through */

/* ---- mutex: eight want it all the time; every 16th time its holder yields with it ---- */

#define LOCKERS 8

static struct gr_mutex mutex;
static long each, counter;

static void locker(void *unused)
{
	(void)unused;
	for (long i = 0; i < each; i++) {
		must(gr_mutex_lock(&mutex, GR_FOREVER), "gr_mutex_lock");
		counter++;
		if (!(i % 16))
			gr_yield();
		gr_mutex_unlock(&mutex);
	}
	gr_wg_done(&wg);
}

static void locks(long n)
{
	each = (n + LOCKERS - 1) / LOCKERS;
	counter = 0;
	gr_wg_add(&wg, LOCKERS);
	for (int i = 0; i < LOCKERS; i++)
		start(locker, NULL);
	gr_wg_wait(&wg, GR_FOREVER);
	if (counter != each * LOCKERS)
		must(-1, "mutex: count is wrong");
}

void bench_mutex(long n)
{
	per_op("mutex", locks, n);
}

/* ---- timers_cpu: n goroutines sleep at once; when they wake there is one due each us ---- */

static int64_t spread; /* ns */

static void at_gate(void)
{
	gr_wg_done(&wg);
	gr_chan_recv(gate, NULL, GR_FOREVER);
}

/* n goroutines of fn, all at the gate when this returns */
static void gather(void (*fn)(void *), long n)
{
	gate = chan(0, 0);
	gr_wg_add(&wg, n);
	for (long i = 0; i < n; i++)
		start(fn, (void *)i);
	must(gr_wg_wait(&wg, GR_FOREVER), "gr_wg_wait");
}

static void sleeper(void *arg)
{
	uint32_t seed = (uint32_t)(long)arg * 2654435761U;

	at_gate();
	gr_sleep(gr_after(spread + next_random(&seed) * 64LL % spread));
	gr_wg_done(&wg);
}

void bench_timers_cpu(long n)
{
	int64_t cpu;

	spread = n * GR_US;
	gather(sleeper, n);
	gr_wg_add(&wg, n);
	cpu = cpu_ns();
	gr_chan_close(gate);
	must(gr_wg_wait(&wg, GR_FOREVER), "gr_wg_wait");
	report("timers_cpu", "ns", (double)(cpu_ns() - cpu) / n);
}

/* ---- timers_late: a thousand goroutines sleep 1..20 ms again and again ---- */

#define NAPPERS 1000

static int64_t *late;

static void napper(void *arg)
{
	long me = (long)arg;
	uint32_t seed = (uint32_t)me * 2654435761U;

	for (long i = 0; i < each; i++) {
		int64_t when = gr_now() + GR_MS + next_random(&seed) % (19 * GR_MS);

		gr_sleep(when);
		late[me * each + i] = gr_now() - when;
	}
	gr_wg_done(&wg);
}

void bench_timers_late(long n)
{
	each = (n + NAPPERS - 1) / NAPPERS;
	late = calloc(each * NAPPERS, sizeof(*late));
	gr_wg_add(&wg, NAPPERS);
	for (long i = 0; i < NAPPERS; i++)
		start(napper, (void *)i);
	gr_wg_wait(&wg, GR_FOREVER);
	report_late("timers_late", late, each * NAPPERS);
}

/* ---- sleep50us_err: one goroutine sleeps, nobody else is there; how far from the instant ---- */

void bench_sleep50us_err(long n)
{
	late = calloc(n, sizeof(*late));
	for (long i = 0; i < n; i++) {
		int64_t when = gr_after(50 * GR_US);

		gr_sleep(when);
		late[i] = gr_now() - when;
	}
	report_late("sleep50us_err", late, n);
}

/* ---- parked: n goroutines that wait for ever: time to create, memory ---- */

static void parker(void *unused)
{
	(void)unused;
	at_gate();
}

/* resident memory and page tables, bytes */
static void memory(double *rss, double *tables)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb;

	if (!f)
		must(-1, "/proc/self/status");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			*rss = kb * 1024.0;
		if (sscanf(line, "VmPTE: %ld", &kb) == 1)
			*tables = kb * 1024.0;
	}
	fclose(f);
}

void bench_parked(long n)
{
	double rss0 = 0, rss = 0, tables0 = 0, tables = 0;
	int64_t t;

	memory(&rss0, &tables0);
	t = gr_now();
	gather(parker, n);
	t = gr_now() - t;
	memory(&rss, &tables);
	report("parked_bytes", "bytes", (rss - rss0) / n);
	report("parked_create", "ns", (double)t / n);
	report("parked_tables", "bytes", (tables - tables0) / n);
}

/* ---- wake: a plain thread and a goroutine wake each other in turn; one way ---- */

static struct gr_chan *to_thread, *to_goroutine;

static void *thread(void *arg)
{
	long n = (long)arg;
	int64_t t = gr_now(), now;

	for (long i = 0; i < n; i++, t = now) {
		gr_chan_send(to_goroutine, NULL, GR_FOREVER);
		must(gr_chan_recv(to_thread, NULL, GR_FOREVER), "gr_chan_recv");
		now = gr_now();
		late[i] = (now - t) / 2;
	}
	gr_chan_close(to_goroutine);
	return NULL;
}

void bench_wake(long n)
{
	pthread_t tid;

	late = calloc(n, sizeof(*late));
	to_thread = chan(0, 0);
	to_goroutine = chan(0, 0);
	must(-pthread_create(&tid, NULL, thread, (void *)n), "pthread_create");
	while (!gr_chan_recv(to_goroutine, NULL, GR_FOREVER))
		must(gr_chan_send(to_thread, NULL, GR_FOREVER), "gr_chan_send");
	pthread_join(tid, NULL);
	report_late("wake", late, n);
}

/* ---- idle_ctxt: nothing happens; bench.py counts the context switches from outside ---- */

void bench_idle(long n)
{
	gather(parker, n);
	printf("ready\n");
	fflush(stdout);
	gr_sleep(gr_after(3600 * GR_SEC));
}
