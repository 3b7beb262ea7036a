// SPDX-License-Identifier: MIT
/*
 * cpus.c - how many processors this program can use: the affinity mask and the cgroup's quota.
 *
 * A quota of 1.5 CPUs is served by 2 processors: fewer could not use it up, more would only be
 * stopped in the middle of something by the kernel's throttling. Every level of the hierarchy can
 * set a quota; the least counts. Version 2 (cpu.max) and version 1 (cpu.cfs_*) of cgroups. A
 * container may show a path that its mount does not have: then its root is what counts.
 *
 * Read once, by gr_run(); a quota that changes later is not followed.
 */
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "cpus.h"
#include "gr_int.h"

/* CPUs for a quota of @quota us in @period us; INT_MAX: no limit */
static int rounded_up(long long quota, long long period)
{
	long long n;

	if (quota <= 0 || period <= 0)
		return INT_MAX;
	n = (quota + period - 1) / period;
	return n < INT_MAX ? (int)n : INT_MAX;
}

/* the number in @dir/@name; 0: no such file, or no number */
static long long number_in(const char *dir, const char *name)
{
	char path[PATH_MAX + 32];
	long long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%lld", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

/* the quota that is set on @dir itself */
static int quota_of(const char *dir)
{
	long long quota, period;
	char path[PATH_MAX + 32];
	int fields = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/cpu.max", dir);
	f = fopen(path, "re");
	if (!f)
		return rounded_up(number_in(dir, "cpu.cfs_quota_us"),
				  number_in(dir, "cpu.cfs_period_us"));
	fields = fscanf(f, "%lld %lld", &quota, &period); /* "max 100000" has no number first */
	fclose(f);
	return fields == 2 ? rounded_up(quota, period) : INT_MAX;
}

/* the least of @path below @mount and of every level above it */
static int least_quota(const char *mount, char *path)
{
	int least = INT_MAX;
	char dir[PATH_MAX];

	for (;;) {
		char *slash = strrchr(path, '/');
		int n;

		snprintf(dir, sizeof(dir), "%s%s", mount, path);
		n = quota_of(dir);
		least = n < least ? n : least;
		if (!slash)
			return least;
		*slash = 0;
	}
}

/* is @name in a list like "cpu,cpuacct" */
static bool listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (; list; list = strchr(list, ','), list += !!list)
		if (!strncmp(list, name, n) && (!list[n] || list[n] == ','))
			return true;
	return false;
}

int cpus_quota(const char *proc_cgroup, const char *mount)
{
	char line[PATH_MAX], sub[PATH_MAX];
	int least = INT_MAX;
	FILE *f = fopen(proc_cgroup, "re");

	/* lines "id:controllers:path"; version 2 is "0::path" */
	while (f && fgets(line, sizeof(line), f)) {
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
		int n;

		if (!path)
			continue;
		line[strcspn(line, "\n")] = 0;
		*path++ = 0;
		list++;
		if (*list && !listed(list, "cpu"))
			continue;
		snprintf(sub, sizeof(sub), "%s%s", mount, *list ? "/cpu" : "");
		n = least_quota(sub, path);
		least = n < least ? n : least;
	}
	if (f)
		fclose(f);
	return least;
}

int gr_default_procs(void)
{
	int n = 1, quota = cpus_quota("/proc/self/cgroup", "/sys/fs/cgroup");
	cpu_set_t set;

	if (!sched_getaffinity(0, sizeof(set), &set))
		n = CPU_COUNT(&set);
	n = quota < n ? quota : n;
	return n > GR_MAX_PROCS ? GR_MAX_PROCS : n;
}
