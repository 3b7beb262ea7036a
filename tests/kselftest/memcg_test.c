// SPDX-License-Identifier: GPL-2.0
/*
 * memcg_test.c - what a group takes is charged to the cgroup of the process that sets it up, and
 * a limit there holds: an unprivileged user cannot fill the machine through /dev/gr.
 *
 * In a cgroup v2 of its own with the memory controller. The kernel counts in batches, so that
 * figures are compared with a slack of what the CPUs may have in stock.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define ROOT "/tmp/memcg"
#define BOX ROOT "/gr_test"
#define GROUPS 8
#define ROOM (6L << 20)		/* what the limited box may have beyond what it has */
#define ATTACHERS 48	/* more threads than fit into a page of the module's objects */
#define MANY 200		/* groups that do not fit into that by far */
#define LIMIT 120		/* seconds: it hangs */

/* between the test and the process in the box */
static struct shared {
	_Atomic int stage, opened, error;
	_Atomic int open_error, setup_error, attached, attach_error, attach_other;
	_Atomic int setup_again, attached_again;
} *shared;

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

static long get(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

static long current_bytes(void)
{
	return get(BOX "/memory.current");
}

static long slack(void)
{
	return 64 * sysconf(_SC_PAGESIZE) * sysconf(_SC_NPROCESSORS_CONF);
}

static void step(int stage)
{
	atomic_store(&shared->stage, stage);
}

static bool reached(int stage)
{
	return wait_until(({ sleep_us(500); atomic_load(&shared->stage) >= stage; }));
}

static struct gr_setup big(void)
{
	return gr_setup_arg(GR_MAX_PROCS, GR_MAX_THREADS);
}

/* bytes of shared pages that SETUP reports, for one big group */
static long group_bytes(void)
{
	struct dev d;
	long n = -1;

	if (!dev_open_arg(&d, big(), O_CLOEXEC)) {
		n = d.setup.mirror_size + d.setup.hint_size;
		dev_close(&d);
	}
	return n;
}

/* in the box: groups open at 1, mapped pages written at 3, closed at 5; the test says 2 and 4 */
static void charged_main(void)
{
	static struct dev d[GROUPS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!put(BOX "/cgroup.procs", "0") || !reached(1))
		_exit(1);
	for (int i = 0; i < GROUPS; i++)
		if (dev_open_arg(&d[i], big(), O_CLOEXEC))
			_exit(2);
	step(2);
	if (!reached(3))
		_exit(3);
	for (int i = 0; i < GROUPS; i++)
		memset((char *)d[i].hint + 4096, 0x55, d[i].setup.hint_size - 4096);
	step(4);
	if (!reached(5))
		_exit(4);
	for (int i = 0; i < GROUPS; i++)
		dev_close(&d[i]);
	step(6);
	for (;;)
		pause();
}

/* in the box: groups until there is no memory for one */
static void limited_main(void)
{
	int fd, ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!put(BOX "/cgroup.procs", "0"))
		_exit(1);
	for (int i = 0; i < MANY; i++) {
		struct gr_setup s = big();

		fd = open("/dev/gr", O_RDWR | O_CLOEXEC);
		ret = fd < 0 ? errno : gr_call(fd, GR_IOC_SETUP, &s);
		if (ret) {
			atomic_store(&shared->error, ret);
			break;
		}
		atomic_fetch_add(&shared->opened, 1);
	}
	_exit(0);
}

static struct dev box;
static _Atomic int asked[2];

/* asks once while there is no memory, and again later if that was refused */
static void *attacher(void *arg)
{
	int slot;

	while (atomic_load(&shared->stage) < 2)
		sched_yield();
	slot = dev_attach(&box, 0, NULL);
	if (slot == -ENOMEM)
		atomic_fetch_add(&shared->attach_error, 1);
	else
		atomic_fetch_add(slot < 0 ? &shared->attach_other : &shared->attached, 1);
	atomic_fetch_add(&asked[0], 1);
	while (atomic_load(&shared->stage) < 4)
		sched_yield();
	if (slot == -ENOMEM && dev_attach(&box, 0, NULL) >= 0)
		atomic_fetch_add(&shared->attached_again, 1);
	atomic_fetch_add(&asked[1], 1);
	for (;;)
		pause();
	return arg;
}

/*
 * In the box: 1 all is ready; the test takes the memory away, 2; 3 every call was made; memory is
 * back, 4; 5 made again. Locked, for a fault could not be served in between.
 */
static void starved_main(void)
{
	struct gr_setup s = big();
	pthread_attr_t small;
	pthread_t t;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!put(BOX "/cgroup.procs", "0") || !put("/proc/self/oom_score_adj", "-1000") ||
	    mlockall(MCL_CURRENT | MCL_FUTURE) || dev_open(&box, 1, ATTACHERS, O_CLOEXEC))
		_exit(1);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	for (int i = 0; i < ATTACHERS; i++)
		if (pthread_create(&t, &small, attacher, NULL))
			_exit(2);
	fd = open("/dev/gr", O_RDWR | O_CLOEXEC);
	step(1);
	while (atomic_load(&shared->stage) < 2)
		sched_yield();
	atomic_store(&shared->open_error, open("/dev/gr", O_RDWR | O_CLOEXEC) < 0 ? errno : 0);
	atomic_store(&shared->setup_error, gr_call(fd, GR_IOC_SETUP, &s));
	while (atomic_load(&asked[0]) < ATTACHERS)
		sched_yield();
	step(3);
	while (atomic_load(&shared->stage) < 4)
		sched_yield();
	s = big();
	atomic_store(&shared->setup_again, gr_call(fd, GR_IOC_SETUP, &s));
	while (atomic_load(&asked[1]) < ATTACHERS)
		sched_yield();
	step(5);
	for (;;)
		pause();
}

FIXTURE(memcg)
{
	bool mounted;
};

FIXTURE_SETUP(memcg)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	mkdir(ROOT, 0700);
	if (mount("none", ROOT, "cgroup2", 0, NULL))
		SKIP(return, "no cgroup v2 here: %s", strerror(errno));
	self->mounted = true;
	if (!put(ROOT "/cgroup.subtree_control", "+memory"))
		SKIP(return, "no memory controller in cgroup v2 here");
	ASSERT_EQ(0, mkdir(BOX, 0700));
}

FIXTURE_TEARDOWN(memcg)
{
	rmdir(BOX);
	if (self->mounted)
		umount(ROOT);
}

TEST_F_TIMEOUT(memcg, charged_to_the_caller, LIMIT)
{
	long before, with, bytes = group_bytes();
	int status;
	pid_t pid;

	ASSERT_LT(0, bytes);
	pid = fork();
	if (!pid)
		charged_main();
	ASSERT_TRUE(wait_until(({ sleep_us(500); current_bytes() > 0; })));
	sleep_us(20000);
	before = current_bytes();
	step(1);
	ASSERT_TRUE(reached(2));
	with = current_bytes();
	/* the pages, at least; tables of the module come on top */
	EXPECT_LE(GROUPS * bytes - slack(), with - before);
	/* a process that writes to them pays no second time, but for its page tables */
	step(3);
	ASSERT_TRUE(reached(4));
	EXPECT_GT(bytes + slack(), current_bytes() - with);
	step(5);
	ASSERT_TRUE(reached(6));
	/* groups are freed by a work item */
	EXPECT_TRUE(wait_until(({ sleep_us(500); current_bytes() < with - GROUPS / 2 * bytes; })));
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_TRUE(wait_until(({ sleep_us(500); !rmdir(BOX); })));
}

/* over the limit: ENOMEM, or the cgroup's own OOM killer ends the process that asked */
TEST_F_TIMEOUT(memcg, limit_holds, LIMIT)
{
	long bytes = group_bytes();
	char max[32];
	int status;
	struct dev d;
	pid_t pid;

	ASSERT_LT(0, bytes);
	ASSERT_LT(2 * ROOM, MANY * bytes);
	snprintf(max, sizeof(max), "%ld", ROOM);
	ASSERT_TRUE(put(BOX "/memory.max", max));
	pid = fork();
	if (!pid)
		limited_main();
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	TH_LOG("%d groups, then %s", atomic_load(&shared->opened),
	       WIFSIGNALED(status) ? "killed" : strerror(atomic_load(&shared->error)));
	EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL :
					  status == 0 && atomic_load(&shared->error) == ENOMEM);
	EXPECT_GE(ROOM, atomic_load(&shared->opened) * bytes);
	/* nothing stays, and outside nobody noticed */
	EXPECT_TRUE(wait_until(({ sleep_us(500); !rmdir(BOX); })));
	EXPECT_EQ(0, dev_open_arg(&d, big(), O_CLOEXEC));
	dev_close(&d);
}

/* ENOMEM from open, SETUP and ATTACH; afterwards the same descriptors and threads go on */
TEST_F_TIMEOUT(memcg, no_memory, LIMIT)
{
	int status, refused;
	pid_t pid = fork();

	if (!pid)
		starved_main();
	ASSERT_TRUE(reached(1));
	ASSERT_TRUE(put(BOX "/memory.max", "0"));
	step(2);
	ASSERT_TRUE(reached(3));
	EXPECT_EQ(ENOMEM, atomic_load(&shared->open_error));
	EXPECT_EQ(ENOMEM, atomic_load(&shared->setup_error));
	refused = atomic_load(&shared->attach_error);
	EXPECT_LT(0, refused);
	EXPECT_EQ(0, atomic_load(&shared->attach_other));
	ASSERT_TRUE(put(BOX "/memory.max", "max"));
	step(4);
	ASSERT_TRUE(reached(5));
	EXPECT_EQ(0, atomic_load(&shared->setup_again));
	EXPECT_EQ(refused, atomic_load(&shared->attached_again));
	EXPECT_EQ(ATTACHERS, refused + atomic_load(&shared->attached));
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_TRUE(wait_until(({ sleep_us(500); !rmdir(BOX); })));
}

TEST_HARNESS_MAIN
