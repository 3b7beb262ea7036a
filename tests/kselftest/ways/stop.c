// SPDX-License-Identifier: GPL-2.0
/*
 * stop.c - ways to be stopped from outside, in the middle of user code (see ways.h): a stop
 * signal, a tracer, the freezer; and CPU bandwidth, which takes the CPU away but is no sleep.
 *
 * sleep() runs in user mode until it is over. SIGSTOP stops B as well: whether B had the P by
 * then is luck. The cgroup files move A alone, into a threaded group.
 */
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

#include "ways.h"

/* user code that nobody asks to sleep */
static int run_on(struct ways *w)
{
	atomic_store(&w->go, true);
	while (!atomic_load_explicit(&w->over, memory_order_relaxed))
		ways_beat(w);
	return 0;
}

/* `over` ends run_on(), so other() says it; whatever happened, A must not run for ever */
static int end_run(struct ways *w, int ret)
{
	atomic_store(&w->over, true);
	return ret;
}

static void wait_go(struct ways *w)
{
	while (!atomic_load(&w->go))
		sleep_us(500);
}

static int reap(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) != pid || status;
}

/* ---- SIGSTOP ---- */

/* the state letter of a thread, from /proc */
static char task_state(pid_t pid, pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d %*s %c", &state) != 1)
		state = 0;
	if (f)
		fclose(f);
	return state;
}

static void stop_and_cont(struct ways *w)
{
	wait_go(w);
	kill(w->pid, SIGSTOP);
	while (task_state(w->pid, w->a) != 'T' || task_state(w->pid, w->b) != 'T')
		sleep_us(500);
	atomic_store(&w->over, true);
	kill(w->pid, SIGCONT);
	_exit(0);
}

static int stop_process(struct ways *w)
{
	pid_t pid = fork();

	if (!pid)
		stop_and_cont(w);
	ways_ready(w);
	return pid < 0 ? end_run(w, ways_no(w, 1, "fork")) : reap(pid);
}

const struct way way_sigstop = {
	.sleep = run_on, .other = stop_process, .handoff = MAYBE, .states = "T",
};

/* ---- ptrace ---- */

static void trace_a(struct ways *w)
{
	int status, ret;

	wait_go(w);
	ret = ptrace(PTRACE_SEIZE, w->a, 0, 0) || ptrace(PTRACE_INTERRUPT, w->a, 0, 0) ||
	      waitpid(w->a, &status, __WALL) != w->a || !WIFSTOPPED(status) || !ways_b_has_p(w);
	ret |= ptrace(PTRACE_DETACH, w->a, 0, 0) != 0;
	_exit(end_run(w, ret));
}

static int trace_thread(struct ways *w)
{
	pid_t pid = fork();

	if (!pid)
		trace_a(w);
	ways_ready(w);
	return pid < 0 ? end_run(w, ways_no(w, 1, "fork")) : reap(pid);
}

const struct way way_ptrace = { .sleep = run_on, .other = trace_thread, .states = "t" };

/* ---- cgroups ---- */

#define ROOT "/tmp/gr-cgroup"
#define GROUP ROOT "/gr_ways"

static int put(struct ways *w, const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (n < 0)
		ways_no(w, 0, file);
	if (fd >= 0)
		close(fd);
	return n < 0;
}

/* the calling thread moves */
static int move_to(struct ways *w, const char *file)
{
	char tid[16];

	snprintf(tid, sizeof(tid), "%ld", syscall(SYS_gettid));
	return put(w, file, tid);
}

/* the number behind a key of a flat keyed file, or -1 */
static long get(const char *file, const char *key)
{
	char line[64];
	long n = -1;
	FILE *f = fopen(file, "re");

	while (f && n < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ' ')
			n = atol(line + strlen(key));
	if (f)
		fclose(f);
	return n;
}

static int mount_cgroups(struct ways *w)
{
	umount2(ROOT, MNT_DETACH);	/* of a test that was killed */
	if ((mkdir(ROOT, 0700) && errno != EEXIST) || mount("none", ROOT, "cgroup2", 0, NULL))
		return ways_no(w, errno == ENODEV ? WAYS_SKIP : WAYS_FAIL, "no cgroup v2");
	return WAYS_OK;
}

static int join_group(struct ways *w)
{
	if (mkdir(GROUP, 0700) && errno != EEXIST)
		return ways_no(w, WAYS_FAIL, GROUP);
	if (put(w, GROUP "/cgroup.type", "threaded") || move_to(w, GROUP "/cgroup.threads"))
		return WAYS_FAIL;
	return WAYS_OK;
}

static int join_freezer(struct ways *w)
{
	return mount_cgroups(w) ?: join_group(w);
}

static void leave_group(struct ways *w)
{
	move_to(w, ROOT "/cgroup.threads");
	rmdir(GROUP);
	put(w, ROOT "/cgroup.subtree_control", "-cpu");
	umount(ROOT);
}

/* other() starts where A is, and must not be stopped with it */
static int other_out(struct ways *w)
{
	int ret = move_to(w, ROOT "/cgroup.threads");

	ways_ready(w);
	wait_go(w);
	return ret;
}

static int wait_frozen(long frozen)
{
	for (int i = 0; i < 20000 && get(GROUP "/cgroup.events", "frozen") != frozen; i++)
		sleep_us(500);
	return get(GROUP "/cgroup.events", "frozen") != frozen;
}

static int freeze(struct ways *w)
{
	int ret = other_out(w);

	ret |= put(w, GROUP "/cgroup.freeze", "1") || wait_frozen(1) || !ways_b_has_p(w);
	ret |= put(w, GROUP "/cgroup.freeze", "0") || wait_frozen(0);
	return end_run(w, ret);
}

const struct way way_freezer = {
	.setup = join_freezer, .sleep = run_on, .other = freeze, .teardown = leave_group,
};

static int other_cpus(struct ways *w, const char *online)
{
	char file[64];
	int ret = 0;

	for (long cpu = 1; !ret && cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++) {
		snprintf(file, sizeof(file), "/sys/devices/system/cpu/cpu%ld/online", cpu);
		ret = put(w, file, online);
	}
	return ret;
}

/*
 * A bandwidth of a fiftieth of a CPU, and A wants all of it. The kernel takes the group's entity
 * off the run queue and leaves A on its own: A is switched out runnable.
 *
 * The first limit of all, and the end of the last one, patch the scheduler's text. An emulated CPU
 * that runs there meanwhile may trip over the breakpoint later, when the patch is over. So a limit
 * that never bites comes first, with one CPU on line, and is never taken back.
 */
#define PLENTY "1000000 100000"
#define TOO_LITTLE "2000 100000"

static int join_cpu(struct ways *w)
{
	int ret = mount_cgroups(w);

	if (ret)
		return ret;
	if (put(w, ROOT "/cgroup.subtree_control", "+cpu"))
		return WAYS_SKIP;	/* cgroup v1 has it, or the kernel does not */
	if (join_group(w) || other_cpus(w, "0"))
		return WAYS_FAIL;
	ret = put(w, GROUP "/cpu.max", PLENTY);
	return other_cpus(w, "1") || ret ? WAYS_FAIL : WAYS_OK;
}

static int throttle(struct ways *w)
{
	long before = get(GROUP "/cpu.stat", "nr_throttled"), now = before;
	int ret = other_out(w);

	ret |= put(w, GROUP "/cpu.max", TOO_LITTLE);
	for (int i = 0; !ret && i < 20000 && now < before + 3; i++) {
		sleep_us(500);
		now = get(GROUP "/cpu.stat", "nr_throttled");
	}
	if (!ret && now < before + 3)
		ret = ways_no(w, 1, "never throttled");
	ret |= put(w, GROUP "/cpu.max", PLENTY);
	return end_run(w, ret);
}

const struct way way_cpu_max = {
	.setup = join_cpu, .sleep = run_on, .other = throttle, .teardown = leave_group,
	.handoff = NEVER, .states = "",
};
