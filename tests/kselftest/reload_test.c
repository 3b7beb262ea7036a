// SPDX-License-Identifier: GPL-2.0
/*
 * reload_test.c - the module goes and comes back while processes want the device all the time.
 *
 * Loaders open, set up, attach, park, block and leave in every careless way. Meanwhile the test
 * removes the module whenever nobody uses it at that moment and loads it again at once. The
 * only errors a loader may see are those of a device that is not there just now.
 *
 * GR_KO=path of the module. GR_ROUNDS, default 200: how often it must have been reloaded.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define LOADERS 3
#define LIMIT 1500

static struct shared {
	_Atomic long used;		/* times a loader had the device */
	_Atomic long missed;		/* times it was not there */
	_Atomic int error;		/* the first unexpected one */
	_Atomic int line;
	_Atomic bool hush;		/* loaders begin nothing new: the module can go soon */
} *shared;

static void unexpected(int line, int error)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&shared->line, &none, line))
		atomic_store(&shared->error, error);
	_exit(1);
}

#define MUST(ret)                                       \
	do {                                            \
		int ret_ = (ret);                       \
		if (ret_)                               \
			unexpected(__LINE__, ret_);     \
	} while (0)

static struct dev d;

static void *spare_main(void *arg)
{
	int slot = dev_attach(&d, 0, NULL);

	if (slot >= 0)
		dev_park(&d, slot, GR_NO_DEADLINE, NULL);
	return arg;
}

/* one use of the device; ends the process */
static void use(unsigned int seed)
{
	pthread_t t;
	int slot, ret = dev_open(&d, 1, 4, O_CLOEXEC);

	if (ret == ENOENT || ret == ENODEV || ret == ENXIO) {
		atomic_fetch_add(&shared->missed, 1);
		_exit(0);
	}
	MUST(ret);
	slot = dev_attach(&d, GR_ATTACH_RUN, NULL);
	MUST(slot < 0 ? -slot : 0);
	atomic_fetch_add(&shared->used, 1);
	if (seed & 1)
		MUST(pthread_create(&t, NULL, spare_main, NULL));
	d.hint->globq_len = seed & 1;
	dev_user(&d, slot);
	sleep_us(seed % 500);
	dev_runtime(&d, slot);
	ret = dev_park(&d, slot, now_ns() + seed % 300000, NULL);
	MUST(ret == ETIMEDOUT ? 0 : ret);
	switch (seed % 4) {
	case 0:
		MUST(dev_detach(&d, slot));
		dev_close(&d);
		break;
	case 1:
		close(d.fd);
		break;
	case 2:
		kill(getpid(), SIGKILL);
	}
	_exit(0);
}

static void loader(unsigned int seed)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		unsigned int r = rand_r(&seed);
		pid_t pid = fork();
		int status;

		if (!pid)
			use(r);
		if (waitpid(pid, &status, 0) != pid ||
		    !(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : status == 0))
			unexpected(__LINE__, status);
		sleep_us(rand_r(&seed) % 2000);
		while (atomic_load(&shared->hush))
			sleep_us(200);
	}
}

static int remove_module(void)
{
	return syscall(SYS_delete_module, "gr", O_NONBLOCK) ? errno : 0;
}

static int insert_module(const char *ko)
{
	int fd = open(ko, O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 || syscall(SYS_finit_module, fd, "", 0) ? errno : 0;

	close(fd);
	return ret;
}

FIXTURE(reload)
{
	pid_t loader[LOADERS];
	const char *ko;
	int rounds;
};

FIXTURE_SETUP(reload)
{
	const char *env = getenv("GR_SEED"), *rounds = getenv("GR_ROUNDS");
	unsigned int seed = env ? (unsigned int)atoi(env) : (unsigned int)time(NULL);

	self->ko = getenv("GR_KO");
	self->rounds = rounds ? atoi(rounds) : 200;
	if (geteuid() || !self->ko)
		SKIP(return, "needs root and GR_KO=path of the module");
	TH_LOG("GR_SEED=%u", seed);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	for (int i = 0; i < LOADERS; i++) {
		self->loader[i] = fork();
		if (!self->loader[i])
			loader(seed + i);
	}
}

FIXTURE_TEARDOWN(reload)
{
	for (int i = 0; i < LOADERS; i++) {
		kill(self->loader[i], SIGKILL);
		waitpid(self->loader[i], NULL, 0);
	}
	/* what the loaders left dies of their death; the module stays for the others */
	EXPECT_TRUE(wait_until(gr_refcount() == 0));
	EXPECT_EQ(0, access("/dev/gr", R_OK | W_OK));
}

TEST_F_TIMEOUT(reload, under_load, LIMIT)
{
	int removed = 0, refused = 0, tries = 0, ret;

	while (removed < self->rounds && !atomic_load(&shared->line)) {
		ret = remove_module();
		if (ret == EWOULDBLOCK || ret == EBUSY) {
			refused++;
			sleep_us(100);
			/* now and then they let it become unused, and race for it again */
			if (++tries % 8 == 0) {
				atomic_store(&shared->hush, true);
				EXPECT_TRUE(wait_until(gr_refcount() == 0));
				atomic_store(&shared->hush, false);
			}
			continue;
		}
		ASSERT_EQ(0, ret);
		removed++;
		ASSERT_EQ(0, insert_module(self->ko));
	}
	TH_LOG("removed %d times, refused %d times, used %ld times, missing %ld times", removed,
	       refused, atomic_load(&shared->used), atomic_load(&shared->missed));
	EXPECT_EQ(0, atomic_load(&shared->line)) {
		TH_LOG("a loader: line %d, error %d", atomic_load(&shared->line),
		       atomic_load(&shared->error));
	}
	EXPECT_LT(0, refused);
	EXPECT_LT(0, atomic_load(&shared->used));
}

/* a mapping, a parked thread, a witness of the memory: each alone keeps the module */
TEST_F_TIMEOUT(reload, not_while_used, LIMIT)
{
	struct dev used;
	int ret;

	/* the loaders are the other tests' */
	for (int i = 0; i < LOADERS; i++)
		kill(self->loader[i], SIGKILL);
	ASSERT_TRUE(wait_until(gr_refcount() == 0));
	ret = dev_open(&used, 1, 1, 0);
	ASSERT_EQ(0, ret);
	EXPECT_EQ(EWOULDBLOCK, remove_module());
	close(used.fd);
	EXPECT_EQ(EWOULDBLOCK, remove_module());
	munmap((void *)used.hint, used.setup.hint_size);
	EXPECT_EQ(EWOULDBLOCK, remove_module());
	EXPECT_EQ(1, used.mirror->dead);
	munmap((void *)used.mirror, used.setup.mirror_size);
	EXPECT_TRUE(wait_until(remove_module() == 0));
	EXPECT_EQ(0, insert_module(self->ko));
}

TEST_HARNESS_MAIN
