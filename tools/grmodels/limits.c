// SPDX-License-Identifier: MIT
/*
 * limits.c - how many threads the system, a user, a cgroup and a process may have, how much memory
 * there is, and how many goroutines that makes.
 *
 * The figures are those of the moment. A reserve is left to the other programs of the machine.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "limits.h"

#define RESERVE 1000		 /* threads */
#define MAPS_PER_THREAD 2	 /* its stack and the guard below */
#define THREAD_BYTES (28L << 10) /* kernel stack, a page or two of stack, task_struct */
#define GOROUTINE_BYTES 4500L	 /* a page and its part of page tables, a descriptor */

struct limit {
	const char *name, *what;
	long max, used; /* max -1: none */
};

static long read_long(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

/* "4/231" of /proc/loadavg: entities that the kernel schedules */
static long threads_now(void)
{
	FILE *f = fopen("/proc/loadavg", "r");
	long n = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%*s %*s %*s %*d/%ld", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

/* a line "KEY: 123 kB" in bytes; -1: not there */
static long proc_bytes(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	char line[256];
	long kb = -1;

	while (f && kb < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			kb = strtol(line + strlen(key), NULL, 10);
	if (f)
		fclose(f);
	return kb < 0 ? -1 : kb << 10;
}

static long lines_of(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = 0;
	int c;

	while (f && (c = getc(f)) != EOF)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

/* the smallest of a file of this process's cgroup and of those above it (version 2); used with it
 */
static long cgroup_least(const char *max_file, const char *now_file, long *used)
{
	char line[512], path[800], *at, *end;
	FILE *f = fopen("/proc/self/cgroup", "r");
	long least = -1;

	line[0] = 0;
	while (f && fgets(line, sizeof(line), f) && strncmp(line, "0::", 3))
		line[0] = 0;
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = 0;
	at = line[0] ? line + 3 : line;
	for (end = at + strlen(at); end > at; end = strrchr(at, '/')) {
		long max;

		*end = 0;
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/%s", at, max_file);
		max = read_long(path);
		if (max < 0 || (least >= 0 && max >= least))
			continue;
		least = max;
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/%s", at, now_file);
		*used = read_long(path);
	}
	return least;
}

static long rlimit(int which)
{
	struct rlimit r;

	return getrlimit(which, &r) || r.rlim_cur == RLIM_INFINITY ? -1 : (long)r.rlim_cur;
}

#define NR_LIMITS 5
static void thread_limits(struct limit *l)
{
	long now = threads_now(), in_group = 0;
	long maps = read_long("/proc/sys/vm/max_map_count");

	l[0] = (struct limit){ "threads-max", "threads of the system",
			       read_long("/proc/sys/kernel/threads-max"), now };
	l[1] = (struct limit){ "pid_max", "numbers for threads of the system",
			       read_long("/proc/sys/kernel/pid_max"), now };
	l[2] = (struct limit){ "RLIMIT_NPROC", "threads of the user, not of root",
			       geteuid() ? rlimit(RLIMIT_NPROC) : -1, now };
	l[3] = (struct limit){ "pids.max", "threads of the cgroup",
			       cgroup_least("pids.max", "pids.current", &in_group), in_group };
	l[4] = (struct limit){ "max_map_count", "mappings of a process, two for a thread",
			       maps < 0 ? -1 : maps / MAPS_PER_THREAD,
			       lines_of("/proc/self/maps") / MAPS_PER_THREAD };
}

/* what a process may still use, and the name of what says so */
static long memory(const char **name)
{
	long most = proc_bytes("/proc/meminfo", "MemAvailable:"), used = 0, group, own;

	*name = "MemAvailable";
	group = cgroup_least("memory.max", "memory.current", &used);
	if (group >= 0 && group - used < most) {
		most = group - used;
		*name = "memory.max";
	}
	own = rlimit(RLIMIT_AS);
	if (own >= 0 && own < most) {
		most = own;
		*name = "RLIMIT_AS";
	}
	return most;
}

bool limits_allow(long threads, long bytes, char *reason, size_t n)
{
	struct limit l[NR_LIMITS];
	const char *name;
	long have;

	thread_limits(l);
	for (int i = 0; i < NR_LIMITS && threads > RESERVE; i++) {
		/* one that a process has to itself needs no reserve for others */
		long left = l[i].max - l[i].used - (i == 4 ? 0 : RESERVE);

		if (l[i].max < 0 || threads <= left)
			continue;
		snprintf(reason, n, "%s: %ld threads, there is room for %ld more", l[i].name,
			 threads, left < 0 ? 0 : left);
		return false;
	}
	have = memory(&name);
	bytes += threads * THREAD_BYTES;
	if (bytes <= have - have / 8)
		return true;
	snprintf(reason, n, "%s: %ld MiB are needed, there are %ld", name, bytes >> 20,
		 (have - have / 8) >> 20);
	return false;
}

void limits_print(FILE *f)
{
	struct limit l[NR_LIMITS];
	const char *memory_name;
	long bytes = memory(&memory_name), least = -1;
	int by = 0;

	thread_limits(l);
	fprintf(f, "How many kernel threads can there be?\n");
	for (int i = 0; i < NR_LIMITS; i++) {
		fprintf(f, "  %-14s ", l[i].name);
		if (l[i].max < 0) {
			fprintf(f, "%9s          %s\n", "no limit", l[i].what);
			continue;
		}
		fprintf(f, "%9ld %8ld %s\n", l[i].max, l[i].used, l[i].what);
		if (least < 0 || l[i].max - l[i].used < least) {
			least = l[i].max - l[i].used;
			by = i;
		}
	}
	fprintf(f, "  %-14s %9ld          threads of %ld KiB in %ld MiB\n", memory_name,
		bytes / THREAD_BYTES, THREAD_BYTES >> 10, bytes >> 20);
	if (least < 0 || bytes / THREAD_BYTES < least)
		fprintf(f, "  so one program can have %ld more: %s\n", bytes / THREAD_BYTES,
			memory_name);
	else
		fprintf(f, "  so one program can have %ld more: %s\n", least, l[by].name);
	fprintf(f, "How many goroutines?\n  %-14s %9ld          goroutines of %.1f KiB\n",
		memory_name, bytes / GOROUTINE_BYTES, GOROUTINE_BYTES / 1024.0);
}
