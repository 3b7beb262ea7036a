/* SPDX-License-Identifier: MIT */
/*
 * bench.h - between the files of the libgr benchmark program.
 *
 * Every workload is a function of n, how many operations; it runs as the first goroutine, measures
 * one round and prints it with report(). The twins in ../go, ../boost, ../tokio and ../pthread do
 * the same work and print the same lines; ../bench.py starts them all.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

#include "gr.h"

/* main.c: how many Ps this run has */
extern int procs;

/* one line on stdout: bench, unit, value; with a p99 where latency is the point */
void report(const char *bench, const char *unit, double value);
void report_late(const char *bench, int64_t *samples, long n);
/* a call of libgr failed: say which and leave */
void must(int ret, const char *what);

/* CPU time of the process so far, ns */
int64_t cpu_ns(void);

static inline uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525U + 1013904223U;
	return *state >> 8;
}

/* spawn or die */
void start(void (*fn)(void *), void *arg);
struct gr_chan *chan(size_t elem, size_t cap);

/* time of n operations, of run(n), after a tenth of it as a warm-up; in ns per operation */
void per_op(const char *bench, void (*run)(long n), long n);

void bench_switch(long n);
void bench_yield(long n);
void bench_spawn(long n);
void bench_pingpong(long n);
void bench_bufchan(long n);
void bench_ring(long n);
void bench_skynet(long n);
void bench_select(long n);
void bench_mutex(long n);
void bench_timers_cpu(long n);
void bench_timers_late(long n);
void bench_sleep50us_err(long n);
void bench_parked(long n);
void bench_wake(long n);
void bench_idle(long n);
void bench_file_randread(long n);
void bench_file_randread_cached(long n);

#endif /* BENCH_H */
