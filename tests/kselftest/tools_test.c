// SPDX-License-Identifier: GPL-2.0
/*
 * tools_test.c - debuggers, tracers, core dumps, stops and the freezer on a program that uses the
 * device: the tool does its work and ends, every thread goes on, nothing is lost or left behind.
 *
 * The program is a "load": one P, threads that block, come back, park, are unparked, yield and
 * monitor all the time, and count in memory that the test reads too. It makes progress when
 * every one of these counters moves.
 *
 * Needs root, /bin/gdb (without Python), /bin/strace and, beside this program, block and lock_test.
 * tests/vm/suite.sh brings them into the guest.
 */
#include <libgen.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define LIMIT 900	/* seconds per test */
#define TOOL_LIMIT 400	/* ... and per tool: it hangs */
#define OUT "/tmp/tool.out"
#define FREEZER "/tmp/freezer"

enum { BLOCKER, BLOCKER2, BLOCKER3, SPARE, SPARE2, YIELDER, MONITOR, PUBLISHER, THREADS };

static struct shared {
	_Atomic long count[THREADS];
	_Atomic int crash;	/* the next blocker that sees it dereferences NULL */
	_Atomic int lost;	/* calls that failed as they must not */
} *shared;

static struct dev d;

/* ---- the load ---- */

/* a place for breakpoints */
__attribute__((noinline)) void load_tick(int who)
{
	atomic_fetch_add(&shared->count[who], 1);
	if (who == BLOCKER && atomic_load(&shared->crash))
		*(volatile int *)NULL = 1;
}

static void must(int ret)
{
	if (ret && ret != EINTR && ret != EAGAIN && ret != ETIMEDOUT)
		atomic_store(&shared->lost, ret);
}

/* The oldest returner is next; of the spares the last one, so that would not be fair. */
static void get_p(int slot)
{
	dev_user(&d, slot);
	while (d.mthreads[slot].proc < 0)
		sleep_us(50);
}

static void blocker(int who, int slot)
{
	for (;;) {
		get_p(slot);
		load_tick(who);
		sleep_us(300);
	}
}

static void spare(int who, int slot)
{
	for (;;) {
		must(dev_park(&d, slot, GR_NO_DEADLINE, NULL));
		load_tick(who);
	}
}

/* ... and leaves room for the other one */
static void spare_at_times(int who, int slot)
{
	for (;;) {
		must(dev_park(&d, slot, now_ns() + 1000000, NULL));
		load_tick(who);
		must(dev_park(&d, slot, 0, NULL));
		sleep_us(2000);
	}
}

static void yielder(int who, int slot)
{
	struct gr_park p = { .slot = slot, .deadline = GR_NO_DEADLINE };

	for (;;) {
		get_p(slot);
		dev_runtime(&d, slot);
		must(gr_call(d.fd, GR_IOC_YIELD, &p));
		load_tick(who);
		get_p(slot);
		sleep_us(200);
	}
}

static void monitor(int who, int slot)
{
	for (;;) {
		struct gr_monitor m = { .seen = d.mirror->spare_needed,
					.deadline = now_ns() + 2000000 };

		must(gr_call(d.fd, GR_IOC_MONITOR, &m));
		load_tick(who);
	}
}

static void publisher(int who, int slot)
{
	for (;;) {
		d.hint->globq_len = !d.hint->globq_len;
		dev_unpark(&d, 1);
		load_tick(who);
		sleep_us(700);
	}
}

static const struct role {
	const char *name;
	void (*run)(int who, int slot);
	bool attached;
} roles[THREADS] = {
	[BLOCKER] = { "blocker", blocker, true },
	[BLOCKER2] = { "blocker2", blocker, true },
	[BLOCKER3] = { "blocker3", blocker, true },
	[SPARE] = { "spare", spare, true },
	[SPARE2] = { "spare2", spare_at_times, true },
	[YIELDER] = { "yielder", yielder, true },
	[MONITOR] = { "monitor", monitor, false },
	[PUBLISHER] = { "publisher", publisher, false },
};

static void *role_main(void *arg)
{
	int who = (int)(long)arg, slot = -1;

	prctl(PR_SET_NAME, roles[who].name);
	if (roles[who].attached) {
		slot = dev_attach(&d, 0, NULL);
		if (slot < 0)
			_exit(98);
	}
	roles[who].run(who, slot);
	return NULL;
}

static void load_main(void)
{
	pthread_t t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dev_open(&d, 1, 16, O_CLOEXEC))
		_exit(99);
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&t, NULL, role_main, (void *)i))
			_exit(97);
	for (;;)
		pause();
}

/* ---- what the test sees of it ---- */

/* for what takes long: leaves the CPU to those who do it */
#define wait_calmly(cond) wait_until(({ sleep_us(5000); cond; }))

static bool progress(void)
{
	long before[THREADS];

	for (int i = 0; i < THREADS; i++)
		before[i] = atomic_load(&shared->count[i]);
	for (int i = 0; i < THREADS; i++)
		if (!wait_calmly(atomic_load(&shared->count[i]) > before[i] + 1)) {
			fprintf(stderr, "# no progress: %s\n", roles[i].name);
			return false;
		}
	return atomic_load(&shared->lost) == 0;
}

static long sum(void)
{
	long n = 0;

	for (int i = 0; i < THREADS; i++)
		n += atomic_load(&shared->count[i]);
	return n;
}

/* Run a tool, its output in OUT. Its exit status; -1: it did not end and was killed. */
static pid_t start_tool(char *const argv[])
{
	pid_t pid;

	unlink(OUT);	/* nobody must take the last one's words for this one's */
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(open(OUT, O_CREAT | O_TRUNC | O_WRONLY, 0600), 1);
	dup2(1, 2);
	dup2(open("/dev/null", O_RDONLY), 0);
	execv(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

static int end_tool(pid_t pid)
{
	int64_t until = now_ns() + TOOL_LIMIT * 1000000000LL;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now_ns() > until) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
		sleep_us(5000);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* how many lines of OUT contain the text */
static int says(const char *text)
{
	FILE *f = fopen(OUT, "r");
	char line[4096];
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, text) != NULL;
	if (f)
		fclose(f);
	return n;
}

static void show_output(void)
{
	FILE *f = fopen(OUT, "r");
	char line[512];

	for (int i = 0; f && i < 60 && fgets(line, sizeof(line), f); i++)
		fprintf(stderr, "# %s: %s", OUT, line);
	if (f)
		fclose(f);
}

/* the path of a program that lies beside this one */
static char *program(const char *name)
{
	static char path[512];
	char self_path[256] = {};

	if (readlink("/proc/self/exe", self_path, sizeof(self_path) - 1) < 0)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s", dirname(self_path), name);
	return path;
}

FIXTURE(tools)
{
	pid_t load;
	char pid[16];
};

FIXTURE_SETUP(tools)
{
	ASSERT_EQ(0, geteuid());
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	self->load = fork();
	if (!self->load)
		load_main();
	snprintf(self->pid, sizeof(self->pid), "%d", self->load);
	ASSERT_TRUE(progress());
}

FIXTURE_TEARDOWN(tools)
{
	if (self->load) {
		EXPECT_TRUE(progress());
		kill(self->load, SIGKILL);
		EXPECT_EQ(self->load, waitpid(self->load, NULL, 0));
	}
	EXPECT_TRUE(wait_until(gr_refcount() == 0));
	if (!__test_passed(_metadata))
		show_output();
	unlink(OUT);
}

#define GDB "/bin/gdb", "-q", "-nx", "-batch", "-ex", "set pagination off", \
	    "-ex", "set debuginfod enabled off"

TEST_F_TIMEOUT(tools, gdb_attach_and_detach, LIMIT)
{
	for (int i = 0; i < 3; i++) {
		char *argv[] = { GDB, "-p", self->pid, "-ex", "info threads",
				 "-ex", "thread apply all bt 4", "-ex", "detach", NULL };

		EXPECT_EQ(0, end_tool(start_tool(argv)));
		/* the threads above and the first one */
		EXPECT_EQ(THREADS + 1, says("\nThread ") + says("Thread "));
		EXPECT_LE(1, says("detached"));
		EXPECT_TRUE(progress());
	}
}

TEST_F_TIMEOUT(tools, gdb_breakpoint_step_continue, LIMIT)
{
	char *argv[] = { GDB, "-p", self->pid, "-ex", "break load_tick", "-ex", "continue",
			 "-ex", "next", "-ex", "stepi", "-ex", "stepi", "-ex", "continue",
			 "-ex", "finish", "-ex", "continue", "-ex", "continue", "-ex", "delete",
			 "-ex", "info threads", "-ex", "echo all done\\n", "-ex", "detach", NULL };

	EXPECT_EQ(0, end_tool(start_tool(argv)));
	EXPECT_LE(4, says("hit Breakpoint 1") + says("Breakpoint 1, "));
	EXPECT_EQ(1, says("all done"));
}

/* one thread runs, the others stay stopped in the middle of whatever they were in */
TEST_F_TIMEOUT(tools, gdb_one_thread_only, LIMIT)
{
	char *argv[] = { GDB, "-p", self->pid, "-ex", "break load_tick", "-ex", "continue",
			 "-ex", "set scheduler-locking on", "-ex", "stepi", "-ex", "stepi",
			 "-ex", "stepi", "-ex", "next", "-ex", "set scheduler-locking off",
			 "-ex", "continue", "-ex", "delete", "-ex", "echo all done\\n",
			 "-ex", "detach", NULL };

	EXPECT_EQ(0, end_tool(start_tool(argv)));
	EXPECT_LE(2, says("hit Breakpoint 1") + says("Breakpoint 1, "));
	EXPECT_EQ(1, says("all done"));
}

/* the debugger kills it in the middle */
TEST_F_TIMEOUT(tools, gdb_kill, LIMIT)
{
	char *argv[] = { GDB, "-p", self->pid, "-ex", "break load_tick", "-ex", "continue",
			 "-ex", "kill", NULL };

	EXPECT_EQ(0, end_tool(start_tool(argv)));
	EXPECT_EQ(self->load, waitpid(self->load, NULL, 0));
	self->load = 0;
}

TEST_F_TIMEOUT(tools, strace_attach, LIMIT)
{
	for (int i = 0; i < 3; i++) {
		char *argv[] = { "/bin/strace", "-f", "-p", self->pid, NULL };
		pid_t pid = start_tool(argv);

		EXPECT_TRUE(wait_calmly(says("attached") && says("ioctl") > 20));
		EXPECT_TRUE(progress());
		kill(pid, SIGINT);
		EXPECT_LE(0, end_tool(pid));
		EXPECT_LE(1, says("detached"));
		EXPECT_TRUE(progress());
	}
}

/* a tracer that dies without a word */
TEST_F_TIMEOUT(tools, strace_killed, LIMIT)
{
	char *argv[] = { "/bin/strace", "-f", "-p", self->pid, NULL };
	pid_t pid = start_tool(argv);

	EXPECT_TRUE(wait_calmly(says("attached") && says("ioctl") > 20));
	kill(pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, end_tool(pid));
}

static bool stopped(pid_t pid)
{
	siginfo_t info;

	return waitid(P_PID, pid, &info, WSTOPPED) == 0 && info.si_code == CLD_STOPPED;
}

TEST_F_TIMEOUT(tools, stop_and_continue, LIMIT)
{
	unsigned int seed = 1;

	for (int i = 0; i < 100; i++) {
		long n;

		sleep_us(rand_r(&seed) % 3000);
		ASSERT_EQ(0, kill(self->load, SIGSTOP));
		ASSERT_TRUE(stopped(self->load));
		/* the group is stopped when its last thread is */
		n = sum();
		sleep_us(1000);
		EXPECT_EQ(n, sum());
		ASSERT_EQ(0, kill(self->load, SIGCONT));
		if (i % 10 == 0)
			EXPECT_TRUE(progress());
	}
}

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

static bool frozen(bool want)
{
	char line[64];
	int is = -1;
	FILE *f = fopen(FREEZER "/load/cgroup.events", "r");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "frozen %d", &is);
	if (f)
		fclose(f);
	return is == want;
}

TEST_F_TIMEOUT(tools, freeze_and_thaw, LIMIT)
{
	unsigned int seed = 1;

	mkdir(FREEZER, 0700);
	ASSERT_EQ(0, mount("none", FREEZER, "cgroup2", 0, NULL));
	ASSERT_EQ(0, mkdir(FREEZER "/load", 0700));
	ASSERT_TRUE(put(FREEZER "/load/cgroup.procs", self->pid));
	for (int i = 0; i < 50; i++) {
		long n;

		sleep_us(rand_r(&seed) % 3000);
		ASSERT_TRUE(put(FREEZER "/load/cgroup.freeze", "1"));
		ASSERT_TRUE(wait_calmly(frozen(true)));
		n = sum();
		sleep_us(1000);
		EXPECT_EQ(n, sum());
		ASSERT_TRUE(put(FREEZER "/load/cgroup.freeze", "0"));
		ASSERT_TRUE(wait_calmly(frozen(false)));
		if (i % 10 == 0)
			EXPECT_TRUE(progress());
	}
	/* killed while frozen: it dies at once */
	EXPECT_TRUE(progress());
	ASSERT_TRUE(put(FREEZER "/load/cgroup.freeze", "1"));
	ASSERT_TRUE(wait_calmly(frozen(true)));
	kill(self->load, SIGKILL);
	EXPECT_EQ(self->load, waitpid(self->load, NULL, 0));
	self->load = 0;
	EXPECT_TRUE(wait_until(!rmdir(FREEZER "/load")));
	EXPECT_EQ(0, umount(FREEZER));
}

static bool core_file_is(const char *pattern)
{
	return put("/proc/sys/kernel/core_pattern", pattern);
}

TEST_F_TIMEOUT(tools, core_dump, LIMIT)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	char core[64], *gdb[] = { GDB, "-ex", "info threads", "-ex", "thread apply all bt 3",
				  program("tools_test"), core, NULL };
	int status;

	snprintf(core, sizeof(core), "/tmp/core.%d", self->load);
	ASSERT_TRUE(core_file_is("/tmp/core.%p"));
	ASSERT_EQ(0, prlimit(self->load, RLIMIT_CORE, &all, NULL));
	atomic_store(&shared->crash, 1);
	ASSERT_EQ(self->load, waitpid(self->load, &status, 0));
	self->load = 0;
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && WCOREDUMP(status));
	EXPECT_TRUE(wait_until(gr_refcount() == 0));
	EXPECT_EQ(0, end_tool(start_tool(gdb)));
	EXPECT_EQ(THREADS + 1, says("Thread "));
	EXPECT_LE(1, says("load_tick"));
	EXPECT_LE(1, says("SIGSEGV"));
	EXPECT_TRUE(core_file_is("core"));
	EXPECT_EQ(0, unlink(core));
}

/* ---- programs of the library ---- */

TEST_F_TIMEOUT(tools, strace_of_a_program, LIMIT)
{
	static const char *const names[] = { "block", "lock_test" };

	setenv("GR_BACKEND", "kmod", 1);
	for (int i = 0; i < 2; i++) {
		char *argv[] = { "/bin/strace", "-f", program(names[i]), NULL };

		EXPECT_EQ(0, end_tool(start_tool(argv))) {
			TH_LOG("%s", names[i]);
			show_output();
		}
		EXPECT_LE(1, says("/dev/gr"));
		EXPECT_LE(1, says("exited with 0"));
	}
}

TEST_F_TIMEOUT(tools, gdb_runs_a_program, LIMIT)
{
	char *argv[] = { GDB, program("block"), "-ex", "run", NULL };

	setenv("GR_BACKEND", "kmod", 1);
	EXPECT_EQ(0, end_tool(start_tool(argv)));
	EXPECT_EQ(1, says("backend kmod"));
	EXPECT_EQ(1, says("exited normally"));
}

TEST_HARNESS_MAIN
