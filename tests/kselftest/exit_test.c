// SPDX-License-Identifier: GPL-2.0
/*
 * exit_test.c - every way to end: the processor goes to the others, nothing stays behind, the
 * module can be removed afterwards and not before.
 *
 * Each case runs in a child process; the parent then sees that nobody uses the module any more.
 * With GR_KO=path the module is really removed and loaded again.
 */
#include <signal.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

static struct dev d;

static void *parked(void *arg)
{
	int slot = dev_attach(&d, 0, NULL);

	dev_park(&d, slot, GR_NO_DEADLINE, NULL);
	return arg;
}

static void *lazy(void *arg)
{
	int slot = dev_attach(&d, GR_ATTACH_RUN, NULL);

	dev_user(&d, slot);
	pause();
	return arg;
}

/* three sleeping threads: a lazy holder of the P and two spares, and the main thread */
static void crowd(int flags)
{
	pthread_t t;

	alarm(30);
	if (dev_open(&d, 1, 8, flags))
		_exit(99);
	pthread_create(&t, NULL, lazy, NULL);
	pthread_create(&t, NULL, parked, NULL);
	pthread_create(&t, NULL, parked, NULL);
	if (!wait_until(d.mirror->nr_spares == 2 && d.mirror->nr_lazy == 1))
		_exit(98);
	dev_attach(&d, 0, NULL);
}

static int die_by_exit(void)
{
	crowd(O_CLOEXEC);
	return 0;
}

static int die_by_kill(void)
{
	crowd(O_CLOEXEC);
	kill(getpid(), SIGKILL);
	return 1;
}

static int die_by_exec(void)
{
	crowd(O_CLOEXEC);
	execl("/proc/self/exe", "exit_test", "--sleep", NULL);
	return 97;
}

static int die_by_exec_with_fd(void)
{
	crowd(0);
	dev_user(&d, 3);
	execl("/proc/self/exe", "exit_test", "--sleep", NULL);
	return 97;
}

static int die_by_close(void)
{
	struct gr_park p;

	crowd(O_CLOEXEC);
	if (!wait_until(d.mirror->nr_threads == 4))
		return 96;
	close(d.fd);
	/* the mappings are no descriptors: the spares must be gone */
	return !wait_until(d.mirror->nr_spares == 0 && d.mirror->dead == 1) ||
	       dev_park(&d, 3, GR_NO_DEADLINE, &p) != EBADF;
}

static int die_by_dup_close(void)
{
	int fd;

	crowd(O_CLOEXEC);
	fd = dup(d.fd);
	close(d.fd);
	if (d.mirror->dead || d.mirror->nr_spares != 2)
		return 96;
	close(fd);
	return !wait_until(d.mirror->nr_spares == 0);
}

static int die_by_munmap(void)
{
	crowd(O_CLOEXEC);
	munmap((void *)d.mirror, d.setup.mirror_size);
	munmap((void *)d.hint, d.setup.hint_size);
	sleep_us(10000);
	return 0;
}

/* the fork child outlives the parent and keeps the descriptor for a while */
static int die_by_fork(void)
{
	crowd(O_CLOEXEC);
	if (!fork()) {
		sleep_us(100000);
		_exit(0);
	}
	return 0;
}

static int die_by_vfork(void)
{
	pid_t pid;
	int status;

	crowd(O_CLOEXEC);
	dev_user(&d, 3);
	pid = vfork();
	if (!pid) {
		execl("/proc/self/exe", "exit_test", "--sleep", NULL);
		_exit(95);
	}
	return waitpid(pid, &status, 0) != pid || status;
}

static int die_by_detach(void)
{
	int i;

	alarm(30);
	if (dev_open(&d, 1, 2, 0))
		return 99;
	for (i = 0; i < 2000; i++) {
		int slot = dev_attach(&d, GR_ATTACH_RUN, NULL);

		if (slot || d.mthreads[0].proc)
			return 98;
		dev_user(&d, slot);
		if (i % 16 == 0)
			sleep_us(10);
		if (dev_detach(&d, slot))
			return 97;
	}
	return d.mirror->nr_idle != 1;
}

/* a thread that holds the P ends: a spare gets it, since there is work */
static void *hold_and_end(void *arg)
{
	int slot = dev_attach(&d, GR_ATTACH_RUN, NULL);

	while (d.mirror->nr_spares == 0)
		sched_yield();
	d.hint->globq_len = 1;
	dev_user(&d, slot);
	return arg;
}

static int die_one_thread(void)
{
	struct gr_park p;
	pthread_t t;
	int slot;

	alarm(30);
	if (dev_open(&d, 1, 4, 0))
		return 99;
	pthread_create(&t, NULL, hold_and_end, NULL);
	if (!wait_until(d.mirror->nr_idle == 0))
		return 98;
	slot = dev_attach(&d, 0, NULL);
	if (dev_park(&d, slot, GR_NO_DEADLINE, &p) || p.proc != 0)
		return 97;
	pthread_join(t, NULL);
	return !wait_until(d.mirror->nr_threads == 1);
}

static const struct way {
	const char *name;
	int (*die)(void);
	int signal;
} ways[] = {
	{ "exit_group", die_by_exit, 0 },
	{ "SIGKILL", die_by_kill, SIGKILL },
	{ "exec, close-on-exec", die_by_exec, 0 },
	{ "exec, descriptor kept", die_by_exec_with_fd, 0 },
	{ "close", die_by_close, 0 },
	{ "dup and close", die_by_dup_close, 0 },
	{ "munmap", die_by_munmap, 0 },
	{ "fork", die_by_fork, 0 },
	{ "vfork", die_by_vfork, 0 },
	{ "attach and detach", die_by_detach, 0 },
	{ "one thread ends", die_one_thread, 0 },
};

TEST(every_way_to_end)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		pid_t pid = fork();
		int status;

		if (!pid)
			_exit(ways[i].die());
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == ways[i].signal :
						  WEXITSTATUS(status) == 0) {
			TH_LOG("%s: status %x", ways[i].name, status);
		}
		EXPECT_TRUE(wait_until(gr_refcount() == 0)) {
			TH_LOG("%s: the module is still in use", ways[i].name);
		}
	}
}

static int remove_module(void)
{
	return syscall(SYS_delete_module, "gr", O_NONBLOCK) ? errno : 0;
}

TEST(module_is_refused_while_used)
{
	const char *ko = getenv("GR_KO");
	struct dev used;
	int fd;

	if (geteuid() || !ko)
		SKIP(return, "needs root and GR_KO=path of the module");
	ASSERT_EQ(0, dev_open(&used, 1, 1, 0));
	EXPECT_EQ(EWOULDBLOCK, remove_module());
	ASSERT_EQ(0, dev_attach(&used, GR_ATTACH_RUN, NULL));
	dev_close(&used);
	/* closed, but this thread was attached: it leaves on its next switch */
	EXPECT_TRUE(wait_until(gr_refcount() == 0));
	EXPECT_TRUE(wait_until(remove_module() == 0));
	fd = open(ko, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, syscall(SYS_finit_module, fd, "", 0));
	close(fd);
	EXPECT_TRUE(wait_until(access("/dev/gr", R_OK) == 0));
}

static int sleeper(void)
{
	sleep_us(20000);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--sleep"))
		return sleeper();
	return test_harness_run(argc, argv);
}
