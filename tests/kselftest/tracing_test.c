// SPDX-License-Identifier: GPL-2.0
/*
 * tracing_test.c - what root sees: each tracepoint of gr fires with the right fields when that
 * happens to a thread, debugfs shows the group as long as it lives, and the histograms have
 * counted exactly what the tracepoints and the mirror say.
 *
 * One P and two threads that this file leads step by step: slot 0 is the test itself, slot 1 a
 * spare that parks again whenever it was given the P. So fields can be compared, not only
 * looked at. The trace goes to an instance of tracefs of its own.
 *
 * docs/tracing.md says what the fields mean; its commands are tried by tests/vm/tracing.sh.
 */
#include <glob.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define TRACE "/sys/kernel/tracing/instances/gr_test"
#define DEBUG "/sys/kernel/debug/gr"
#define SLICE_US GR_SLICE_MAX_US	/* in a step that is not about it none is over */

static struct dev d;
static char trace[1 << 18];
static _Atomic int runs;
static pthread_t spare_thread;

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

static const char *slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;

	while (fd >= 0 && n < size - 1 && (got = read(fd, buf + n, size - 1 - n)) > 0)
		n += got;
	close(fd);
	buf[n] = 0;
	return fd < 0 ? NULL : buf;
}

/* the trace has this line; digits must not go on behind it */
static int traced(const char *line)
{
	const char *at = slurp(TRACE "/trace", trace, sizeof(trace));
	size_t len = strlen(line);
	int n = 0;

	while (at && (at = strstr(at, line))) {
		n += at[len] == '\n';
		at += len;
	}
	return n;
}

static int lines_with(const char *text)
{
	const char *at = slurp(TRACE "/trace", trace, sizeof(trace));
	int n = 0;

	for (; at && (at = strstr(at, text)); at++)
		n++;
	return n;
}

/* a group's folder: "<pid>.<number>" */
static int folders(char *first)
{
	char pattern[64];
	glob_t g;
	int n;

	snprintf(pattern, sizeof(pattern), DEBUG "/%d.*", getpid());
	n = glob(pattern, 0, NULL, &g) ? 0 : (int)g.gl_pathc;
	if (n && first)
		strcpy(first, g.gl_pathv[0]);
	if (n)
		globfree(&g);
	return n;
}

static const char *debug_file(const char *name)
{
	static char text[1 << 16];
	char path[256];

	if (folders(path) != 1)
		return "";
	strcat(strcat(path, "/"), name);
	return slurp(path, text, sizeof(text)) ?: "";
}

static long summary(const char *key)
{
	const char *at = debug_file("summary");
	size_t len = strlen(key);

	for (; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (!strncmp(at, key, len) && at[len] == ' ')
			return atol(at + len);
	return -1;
}

/* how many the histogram has counted; -1: one of its lines is no bucket of nanoseconds */
static long histogram(const char *name)
{
	const char *at = debug_file("latency");
	unsigned long long low, high;
	long n = 0, count;
	char key[32];

	if (strncmp(at, "name low_ns high_ns count\n", 26))
		return -1;
	for (at += 26; *at; at = strchr(at, '\n') + 1) {
		if (sscanf(at, "%31s %llu %llu %ld\n", key, &low, &high, &count) != 4 || count < 1)
			return -1;
		if ((high & (high + 1)) || (low ? high != 2 * low - 1 : high != 1))
			return -1;
		n += strcmp(key, name) ? 0 : count;
	}
	return n;
}

static void *spare_main(void *arg)
{
	int slot = dev_attach(&d, 0, NULL);

	while (!dev_park(&d, slot, GR_NO_DEADLINE, NULL))
		atomic_fetch_add(&runs, 1);
	dev_detach(&d, slot);
	return arg;
}

static bool spare_parked(void)
{
	return wait_until(d.mthreads[1].state == GR_T_PARKED);
}

FIXTURE(trace)
{
	bool made;
};

FIXTURE_SETUP(trace)
{
	struct gr_setup s = gr_setup_arg(1, 8);

	alarm(60);
	if (mkdir(TRACE, 0700) && errno != EEXIST)
		SKIP(return, "no tracefs here: %s", strerror(errno));
	self->made = true;
	/* what a test that died has left there */
	ASSERT_TRUE(put(TRACE "/trace", ""));
	ASSERT_TRUE(put(TRACE "/events/gr/enable", "1"));
	s.slice_us = SLICE_US;
	s.features = GR_FEAT_PREEMPT | GR_FEAT_EVENTS;
	ASSERT_EQ(0, dev_open_arg(&d, s, O_CLOEXEC));
	ASSERT_EQ(0, dev_attach(&d, GR_ATTACH_RUN, NULL));
	ASSERT_EQ(0, pthread_create(&spare_thread, NULL, spare_main, NULL));
	ASSERT_TRUE(spare_parked());
}

FIXTURE_TEARDOWN(trace)
{
	if (!self->made)
		return;
	gr_call(d.fd, GR_IOC_SHUTDOWN, NULL);
	pthread_join(spare_thread, NULL);
	dev_close(&d);
	put(TRACE "/events/gr/enable", "0");
	EXPECT_EQ(0, rmdir(TRACE));
}

/* each of them, and no other, is in the module and in the list below */
TEST_F(trace, events_are_these)
{
	static const char *const names[] = { "attach", "detach", "park", "unpark", "block",
					     "handoff", "unblock", "return_wait", "return_run",
					     "preempt", "switch_to", "report" };
	char path[128];
	glob_t g;

	ASSERT_EQ(0, glob(TRACE "/events/gr/*/format", 0, NULL, &g));
	EXPECT_EQ(sizeof(names) / sizeof(*names), g.gl_pathc);
	globfree(&g);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), TRACE "/events/gr/%s/format", names[i]);
		EXPECT_EQ(0, access(path, R_OK)) { TH_LOG("%s", names[i]); }
	}
}

TEST_F(trace, attach_park_unpark_detach)
{
	EXPECT_EQ(1, traced("attach: slot=0 proc=0"));
	EXPECT_EQ(1, traced("attach: slot=1 proc=-1"));
	EXPECT_EQ(1, traced("park: slot=1"));
	/* the P goes idle, then to the spare */
	EXPECT_EQ(ETIMEDOUT, dev_park(&d, 0, 0, NULL));
	EXPECT_EQ(1, traced("park: slot=0"));
	EXPECT_EQ(0, lines_with(" unpark:"));
	EXPECT_EQ(1, dev_unpark(&d, 1));
	EXPECT_TRUE(wait_until(atomic_load(&runs) == 1) && spare_parked());
	EXPECT_EQ(1, traced("unpark: slot=1 proc=0"));
	EXPECT_EQ(2, traced("park: slot=1"));
	EXPECT_EQ(1, lines_with(" unpark:"));
	EXPECT_EQ(0, lines_with(" detach:"));
	EXPECT_EQ(0, dev_detach(&d, 0));
	EXPECT_EQ(1, traced("detach: slot=0 proc=-1"));
	EXPECT_EQ(1, histogram("unpark_run"));
	EXPECT_EQ(0, histogram("return_run"));
	EXPECT_EQ(0, histogram("block_handoff"));
}

TEST_F(trace, switch_to)
{
	struct gr_switch s = { .slot = 0, .target = 1, .deadline = now_ns() + 20000000 };

	EXPECT_EQ(ETIMEDOUT, gr_call(d.fd, GR_IOC_SWITCH, &s));
	EXPECT_TRUE(wait_until(atomic_load(&runs) == 1) && spare_parked());
	EXPECT_EQ(1, traced("switch_to: from=0 to=1 proc=0"));
	EXPECT_EQ(1, lines_with(" switch_to:"));
	EXPECT_EQ(0, lines_with(" report:"));
}

static void *leave(void *arg)
{
	dev_attach(&d, 0, NULL);
	return arg;
}

/* whoever attached leaves, also without a word: each attach has its detach */
TEST_F(trace, detach_of_a_thread_that_ends)
{
	pthread_t t;

	ASSERT_EQ(0, pthread_create(&t, NULL, leave, NULL));
	pthread_join(t, NULL);
	EXPECT_TRUE(wait_until(d.mirror->nr_threads == 2));
	EXPECT_EQ(1, traced("attach: slot=2 proc=-1"));
	EXPECT_EQ(1, traced("detach: slot=2 proc=-1"));
}

/* an idle P that nobody could take: no spare is left */
TEST_F(trace, report_of_a_missing_spare)
{
	gr_call(d.fd, GR_IOC_SHUTDOWN, NULL);
	pthread_join(spare_thread, NULL);
	dev_close(&d);
	ASSERT_EQ(0, dev_open(&d, 1, 8, O_CLOEXEC));
	EXPECT_EQ(0, dev_unpark(&d, 1));
	EXPECT_EQ(1, traced("report: type=1 slot=-1 proc=0 value=1"));
	EXPECT_EQ(1, d.mirror->spare_needed);
	ASSERT_EQ(0, pthread_create(&spare_thread, NULL, spare_main, NULL));
}

static long sleeps(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_nvcsw;
}

/* in goroutine code; where time passes unseen, as in a guest, a short sleep may be over at once */
static void sleep_for_sure(long us)
{
	long before = sleeps();

	dev_user(&d, 0);
	do
		sleep_us(us);
	while (sleeps() == before);
	dev_runtime(&d, 0);
}

/* a sleep in goroutine code, from the block to the first instruction after it; n times */
TEST_F(trace, block_handoff_return)
{
	const int n = 5;

	/* nothing else to do: the P stays */
	sleep_for_sure(1000);
	EXPECT_LE(1, traced("block: slot=0 proc=0 handoff=0"));
	EXPECT_EQ(0, lines_with(" handoff:"));
	for (int i = 0; i < n; i++) {
		ASSERT_TRUE(spare_parked());
		/* work: the spare takes the P, and parks in vain until somebody wants it */
		d.hprocs[0].pending = 1;
		sleep_for_sure(1000);
		d.hprocs[0].pending = 0;
		ASSERT_EQ(0, d.mthreads[0].proc);
	}
	EXPECT_EQ(n, traced("block: slot=0 proc=0 handoff=1"));
	EXPECT_EQ(n, traced("handoff: from=0 to=1 proc=0"));
	EXPECT_EQ(n, traced("return_wait: slot=0"));
	EXPECT_EQ(n, traced("return_run: slot=0 proc=0"));
	EXPECT_EQ(n, traced("unblock: slot=0 proc=0"));
	EXPECT_EQ(n, d.mirror->handoffs);
	EXPECT_EQ(n, d.mirror->unblocks);
	EXPECT_EQ(n, histogram("block_handoff"));
	EXPECT_EQ(n, histogram("return_run"));
	EXPECT_EQ(0, histogram("unpark_run"));
}

/* computes through a slice while a queue has work: the spare goes on with the P */
TEST_F(trace, preempt)
{
	d.hprocs[0].pending = 1;
	dev_user(&d, 0);
	while (!atomic_load(&runs))
		;
	/* the spare has parked again by now, its P came back, or this would not run */
	dev_runtime(&d, 0);
	d.hprocs[0].pending = 0;
	EXPECT_LE(1, traced("preempt: from=0 to=1 proc=0"));
	EXPECT_EQ(d.mirror->preempts, lines_with(" preempt:"));
	EXPECT_LE(1, traced("return_wait: slot=0"));
	EXPECT_LE(1, traced("return_run: slot=0 proc=0"));
	EXPECT_EQ(lines_with(" preempt:"), histogram("preempt_run"));
	EXPECT_EQ(lines_with(" return_run:"), histogram("return_run") + histogram("preempt_run"));
}

TEST_F(trace, debugfs_of_a_group)
{
	char row[64], path[256];
	struct dev two;

	EXPECT_EQ(1, folders(path));
	EXPECT_EQ(getpid(), summary("pid"));
	EXPECT_EQ(1, summary("procs"));
	EXPECT_EQ(0, summary("idle"));
	EXPECT_EQ(8, summary("max_threads"));
	EXPECT_EQ(2, summary("threads"));
	EXPECT_EQ(1, summary("spares"));
	EXPECT_EQ(SLICE_US, summary("slice_us"));
	EXPECT_EQ(0, strncmp(debug_file("threads"), "slot tid state proc hint\n", 25));
	snprintf(row, sizeof(row), "\n0 %d running 0 1\n1 ", getpid());
	EXPECT_NE(NULL, strstr(debug_file("threads"), row));
	EXPECT_NE(NULL, strstr(debug_file("threads"), " parked -1 1\n"));
	d.hprocs[0].tail = 3;
	d.hprocs[0].pending = 7;
	EXPECT_EQ(0, strncmp(debug_file("procs"),
			     "proc state thread cpu handoffs queue pending\n0 running 0 ", 56));
	EXPECT_NE(NULL, strstr(debug_file("procs"), " 0 3 7\n"));
	/* another group of the same process, a folder more; it goes with its last user */
	ASSERT_EQ(0, dev_open(&two, 1, 1, O_CLOEXEC));
	EXPECT_EQ(2, folders(NULL));
	dev_close(&two);
	EXPECT_TRUE(wait_until(folders(NULL) == 1));
}

static long counter(const char *key)
{
	char text[256], *at;

	slurp(DEBUG "/counters", text, sizeof(text));
	for (at = strtok(text, "\n"); at; at = strtok(NULL, "\n"))
		if (!strncmp(at, key, strlen(key)) && at[strlen(key)] == ' ')
			return atol(at + strlen(key));
	return -1;
}

TEST_F(trace, global_counters)
{
	long groups = counter("groups"), threads = counter("threads");
	struct dev two;

	EXPECT_LE(1, counter("groups_live"));
	EXPECT_LE(2, counter("threads_live"));
	ASSERT_EQ(0, dev_open(&two, 1, 1, O_CLOEXEC));
	EXPECT_EQ(groups + 1, counter("groups"));
	EXPECT_EQ(0, dev_detach(&d, 0));
	EXPECT_EQ(0, dev_attach(&d, 0, NULL));
	EXPECT_EQ(threads + 1, counter("threads"));
	dev_close(&two);
	/* memory goes later, after a grace period */
	EXPECT_TRUE(wait_until(counter("threads_live") == 2 && counter("groups_live") == 1));
}

TEST_HARNESS_MAIN
