// SPDX-License-Identifier: MIT
/*
 * file.c - workloads of files: file_randread, file_randread_cached.
 *
 * 64 goroutines read blocks at random places of the file that BENCH_FILE names; each block begins
 * with its number (bench.py).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define READERS 64
#define BLOCK 4096

static struct gr_wg wg;
static long each;
static int fd;
static uint32_t nr_blocks;

static void reader(void *arg)
{
	uint32_t seed = (uint32_t)(long)arg * 2654435761U;
	uint64_t *block = aligned_alloc(BLOCK, BLOCK);

	for (long i = 0; i < each; i++) {
		uint32_t at = next_random(&seed) % nr_blocks;
		ssize_t n = gr_pread(fd, block, BLOCK, (off_t)at * BLOCK, GR_FOREVER);

		must(n == BLOCK && *block == at ? 0 : n < 0 ? n : -EIO, "gr_pread");
	}
	free(block);
	gr_wg_done(&wg);
}

/* how often so far */
static uint64_t enters(void)
{
	struct gr_info info = { .size = sizeof(info) };

	gr_info(&info);
	return info.ring_enters;
}

static void reads(long n)
{
	each = (n + READERS - 1) / READERS;
	gr_wg_add(&wg, READERS);
	for (long i = 0; i < READERS; i++)
		start(reader, (void *)i);
	must(gr_wg_wait(&wg, GR_FOREVER), "gr_wg_wait");
}

static void randread(const char *bench, int flags, long n)
{
	const char *path = getenv("BENCH_FILE");
	uint64_t entered;
	int64_t t, cpu;
	char name[64];
	struct stat st;

	fd = gr_open(path ? path : "", O_RDONLY | flags, 0);
	if (fd == -EINVAL && flags) {
		printf("skip: the file system has no O_DIRECT\n");
		exit(4);
	}
	must(fd, "BENCH_FILE");
	must(fstat(fd, &st), "fstat");
	nr_blocks = st.st_size / BLOCK;
	reads(n / 10 + 1);
	entered = enters();
	cpu = cpu_ns();
	t = gr_now();
	reads(n);
	t = gr_now() - t;
	cpu = cpu_ns() - cpu;
	entered = enters() - entered;
	n = each * READERS;
	report(bench, "req/s", (double)n * GR_SEC / t);
	snprintf(name, sizeof(name), "%s_cpu", bench);
	report(name, "us", (double)cpu / n / GR_US);
	snprintf(name, sizeof(name), "%s_enters", bench);
	report(name, "calls", (double)entered / n);
}

/* past the page cache: every read waits for the device */
void bench_file_randread(long n)
{
	randread("file_randread", O_DIRECT, n);
}

/* all of it is in the page cache: nothing has to wait */
void bench_file_randread_cached(long n)
{
	randread("file_randread_cached", 0, n);
}
