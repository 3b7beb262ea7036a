// SPDX-License-Identifier: MIT
/*
 * cpus_test.c - the default number of Ps: affinity, and quotas of both versions of cgroups.
 *
 * The quotas are read from files laid out as the kernel's; where this user may make a cgroup,
 * also from a real one.
 */
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpus.h"
#include "gr.h"
#include "tap.h"

static char root[] = "/tmp/gr-cpus-XXXXXX";

static int put(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		return -1;
	fputs(text, f);
	return fclose(f);
}

static void make(const char *sub)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", root, sub);
	if (mkdir(path, 0755)) {
		perror(path);
		exit(1);
	}
}

static int quota(const char *cgroup)
{
	char path[PATH_MAX];

	put(root, "cgroup", cgroup);
	snprintf(path, sizeof(path), "%s/cgroup", root);
	return cpus_quota(path, root);
}

static void set(const char *sub, const char *name, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", root, sub);
	put(path, name, text);
}

static void test_files(void)
{
	make("/a");
	make("/a/b");
	tap_ok(quota("0::/a/b\n") == INT_MAX, "no cpu.max: no limit");
	set("/a/b", "cpu.max", "max 100000\n");
	tap_ok(quota("0::/a/b\n") == INT_MAX, "\"max\": no limit");
	set("/a/b", "cpu.max", "150000 100000\n");
	tap_ok(quota("0::/a/b\n") == 2, "1.5 CPUs are 2 processors");
	set("/a/b", "cpu.max", "1000 100000\n");
	tap_ok(quota("0::/a/b\n") == 1, "a hundredth of a CPU is one");
	set("/a/b", "cpu.max", "800000 100000\n");
	set("/a", "cpu.max", "300000 100000\n");
	tap_ok(quota("0::/a/b\n") == 3, "the least of all levels");
	tap_ok(quota("0::/a\n") == 3 && quota("0::/\n") == INT_MAX, "only the levels above");
	tap_ok(quota("0::/not/here/a\n") == INT_MAX, "a path that is not mounted: the root's");
	set("", "cpu.max", "100000 100000\n");
	tap_ok(quota("0::/not/here/a\n") == 1, "... which may have a quota");
	set("", "cpu.max", "rubbish\n");
	set("/a", "cpu.max", "-1 0\n");
	tap_ok(quota("0::/a\n") == INT_MAX, "rubbish is no limit");
	make("/cpu");
	make("/cpu/c");
	set("/cpu/c", "cpu.cfs_period_us", "50000\n");
	set("/cpu/c", "cpu.cfs_quota_us", "-1\n");
	tap_ok(quota("4:cpu,cpuacct:/c\n1:name=systemd:/\n") == INT_MAX, "version 1, no limit");
	set("/cpu/c", "cpu.cfs_quota_us", "125000\n");
	tap_ok(quota("1:name=systemd:/c\n4:cpuacct,cpu:/c\n0::/\n") == 3, "version 1, 2.5 CPUs");
	tap_ok(quota("4:cpuset:/c\n5:cpuacct:/c\n") == INT_MAX, "only the cpu controller");
	tap_ok(quota("") == INT_MAX && quota("x\ny:z\n") == INT_MAX, "no cgroups at all");
}

static void test_affinity(void)
{
	cpu_set_t all, one;
	int n, before;

	sched_getaffinity(0, sizeof(all), &all);
	before = gr_default_procs();
	for (n = 0; !CPU_ISSET(n, &all); n++)
		;
	CPU_ZERO(&one);
	CPU_SET(n, &one);
	sched_setaffinity(0, sizeof(one), &one);
	tap_ok(gr_default_procs() == 1, "one CPU in the mask, one processor");
	sched_setaffinity(0, sizeof(all), &all);
	tap_ok(gr_default_procs() == before && before <= CPU_COUNT(&all), "not more than the mask");
}

/* in a cgroup of its own, with a quota of half a CPU */
static int in_cgroup(const char *dir)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (put(dir, "cgroup.procs", pid))
		return 100;
	return gr_default_procs();
}

static void test_real(void)
{
	static const char *const dirs[] = { "/sys/fs/cgroup/gr-cpus-test",
					    "/sys/fs/cgroup/cpu/gr-cpus-test" };
	const char *dir = NULL;
	int status, ok = 0;
	pid_t pid;

	for (int i = 0; i < 2 && !ok; i++) {
		dir = dirs[i];
		if (mkdir(dir, 0755))
			continue;
		if (i == 0)
			put("/sys/fs/cgroup", "cgroup.subtree_control", "+cpu");
		ok = i ? !put(dir, "cpu.cfs_quota_us", "50000") :
			 !access("/sys/fs/cgroup/gr-cpus-test/cpu.max", W_OK) &&
				 !put(dir, "cpu.max", "50000 100000");
		if (!ok)
			rmdir(dir);
	}
	if (!ok) {
		tap_skip("a real cgroup with a quota", "this user cannot make one here");
		return;
	}
	pid = fork();
	if (!pid)
		_exit(in_cgroup(dir));
	waitpid(pid, &status, 0);
	rmdir(dir);
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 1, "a real cgroup with half a CPU");
}

int main(void)
{
	char rm[PATH_MAX];

	if (!mkdtemp(root))
		return 1;
	test_files();
	test_affinity();
	test_real();
	snprintf(rm, sizeof(rm), "rm -rf %s", root);
	if (system(rm))
		perror("rm");
	return tap_done();
}
