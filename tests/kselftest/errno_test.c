// SPDX-License-Identifier: GPL-2.0
/*
 * errno_test.c - the error codes that take more than a wrong argument: limits, signals, shutdown,
 * bad memory behind the argument, callers of another word size.
 *
 * The plain ones are in abi_test.c, ENOMEM is in memcg_test.c. docs/abi.md has the whole list, code by code, with the test
 * that provokes it; tests/lint.sh compares.
 */
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define PARAMETER "/sys/module/gr/parameters/"

static struct gr_setup with_events(void)
{
	struct gr_setup s = gr_setup_arg(2, 8);

	s.features = GR_FEAT_EVENTS;
	return s;
}

/* every call with an argument, ready to be made by slot 0 */
static struct call {
	const char *name;
	unsigned long request;
	union {
		struct gr_attach attach;
		struct gr_detach detach;
		struct gr_park park;
		struct gr_unpark unpark;
		struct gr_monitor monitor;
		struct gr_switch sw;
	} arg;
} calls[] = {
	{ "ATTACH", GR_IOC_ATTACH, {} },
	{ "DETACH", GR_IOC_DETACH, {} },
	{ "PARK", GR_IOC_PARK, { .park = { .deadline = 1 } } },
	{ "YIELD", GR_IOC_YIELD, { .park = { .deadline = 1 } } },
	{ "UNPARK", GR_IOC_UNPARK, { .unpark = { .nr = 1 } } },
	{ "MONITOR", GR_IOC_MONITOR, { .monitor = { .deadline = 1 } } },
	{ "SWITCH", GR_IOC_SWITCH, { .sw = { .target = 1, .deadline = 1 } } },
};

#define CALLS (int)(sizeof(calls) / sizeof(*calls))

FIXTURE(err)
{
	struct dev d;
};

FIXTURE_SETUP(err)
{
	alarm(60);
	ASSERT_EQ(0, dev_open_arg(&self->d, with_events(), O_CLOEXEC));
}

FIXTURE_TEARDOWN(err)
{
	gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL);
	dev_close(&self->d);
}

TEST(device_node)
{
	FILE *f = fopen(PARAMETER "mode", "r");
	unsigned int mode = 0;
	struct stat st;

	ASSERT_NE(NULL, f);
	EXPECT_EQ(1, fscanf(f, "%u", &mode));
	fclose(f);
	ASSERT_EQ(0, stat("/dev/gr", &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(mode & 0666, st.st_mode & 07777);
}

/* no file operation but those that there are */
TEST_F(err, other_file_operations)
{
	char byte = 0;

	EXPECT_EQ(-1, write(self->d.fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, lseek(self->d.fd, 0, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, pread(self->d.fd, &byte, 1, 0));
	EXPECT_EQ(ESPIPE, errno);
}

/* calls ask for no permission, mappings for both: the kernel takes others for private ones */
TEST(opened_for_reading)
{
	struct gr_setup s = gr_setup_arg(1, 1);
	int fd = open("/dev/gr", O_RDONLY | O_CLOEXEC);

	ASSERT_EQ(0, gr_call(fd, GR_IOC_SETUP, &s));
	EXPECT_NE(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED,
		  mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, s.hint_offset));
	EXPECT_EQ(EACCES, errno);
	close(fd);
}

/* a call without an argument: what ioctl() finds in the register does not matter */
TEST(shutdown_takes_no_argument)
{
	struct dev d;

	ASSERT_EQ(0, dev_open(&d, 1, 1, O_CLOEXEC));
	EXPECT_EQ(0, gr_call(d.fd, GR_IOC_SHUTDOWN, (void *)-1L));
	EXPECT_EQ(1, d.mirror->dead);
	dev_close(&d);
}

TEST(every_call_before_setup)
{
	int fd = open("/dev/gr", O_RDWR | O_CLOEXEC);

	for (int i = 0; i < CALLS; i++) {
		EXPECT_EQ(ENXIO, gr_call(fd, calls[i].request, &calls[i].arg)) {
			TH_LOG("%s", calls[i].name);
		}
	}
	EXPECT_EQ(ENXIO, gr_call(fd, GR_IOC_SHUTDOWN, NULL));
	close(fd);
}

TEST_F(err, every_call_after_shutdown)
{
	struct gr_setup s = with_events();
	struct gr_event e;

	EXPECT_EQ(0, dev_attach(&self->d, GR_ATTACH_RUN, NULL));
	EXPECT_EQ(0, gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL));
	for (int i = 0; i < CALLS; i++) {
		EXPECT_EQ(ESHUTDOWN, gr_call(self->d.fd, calls[i].request, &calls[i].arg)) {
			TH_LOG("%s", calls[i].name);
		}
	}
	EXPECT_EQ(ESHUTDOWN, gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL));
	EXPECT_EQ(EBUSY, gr_call(self->d.fd, GR_IOC_SETUP, &s));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->d.fd, 0));
	EXPECT_EQ(ESHUTDOWN, errno);
	EXPECT_EQ(0, read(self->d.fd, &e, sizeof(e)));
	/* mappings stay; the thread has left at its return to user mode */
	EXPECT_EQ(1, self->d.mirror->dead);
	EXPECT_TRUE(wait_until(self->d.mirror->nr_threads == 0));
}

/* what was noted before the shutdown can still be read */
TEST_F(err, records_after_shutdown)
{
	struct gr_event e;

	EXPECT_EQ(0, dev_unpark(&self->d, 1));
	EXPECT_EQ(0, gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL));
	EXPECT_EQ(sizeof(e), read(self->d.fd, &e, sizeof(e)));
	EXPECT_EQ(GR_EV_SPARE_NEEDED, e.type);
	EXPECT_EQ(0, read(self->d.fd, &e, sizeof(e)));
}

static void *monitor_main(void *arg)
{
	struct gr_monitor m = { .deadline = GR_NO_DEADLINE };

	return (void *)(long)gr_call(((struct dev *)arg)->fd, GR_IOC_MONITOR, &m);
}

TEST_F(err, shutdown_ends_monitor)
{
	struct gr_monitor m = { .deadline = GR_NO_DEADLINE };
	pthread_t t;
	void *ret;

	ASSERT_EQ(0, pthread_create(&t, NULL, monitor_main, &self->d));
	sleep_us(20000);
	EXPECT_EQ(0, gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL));
	pthread_join(t, &ret);
	EXPECT_EQ((void *)ESHUTDOWN, ret);
	EXPECT_EQ(ESHUTDOWN, gr_call(self->d.fd, GR_IOC_MONITOR, &m));
}

static void *spare_main(void *arg)
{
	struct dev *d = arg;
	int slot = dev_attach(d, 0, NULL);

	while (!dev_park(d, slot, GR_NO_DEADLINE, NULL))
		;
	return NULL;
}

static void on_signal(int sig)
{
	(void)sig;
}

/* a signal, again and again until the call under test is reached */
static void signal_soon(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct itimerval timer = { .it_value.tv_usec = 20000, .it_interval.tv_usec = 20000 };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

TEST_F(err, signals_interrupt)
{
	struct gr_switch s = { .target = 1, .deadline = GR_NO_DEADLINE };
	struct gr_event e;
	pthread_t t;
	sigset_t all;

	ASSERT_EQ(0, dev_attach(&self->d, GR_ATTACH_RUN, NULL));
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	ASSERT_EQ(0, pthread_create(&t, NULL, spare_main, &self->d));
	ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == 1));
	signal_soon();
	pthread_sigmask(SIG_UNBLOCK, &all, NULL);
	EXPECT_EQ(-1, read(self->d.fd, &e, sizeof(e)));
	EXPECT_EQ(EINTR, errno);
	EXPECT_EQ(EINTR, gr_call(self->d.fd, GR_IOC_SWITCH, &s));
	EXPECT_EQ(GR_NO_PROC, self->d.mthreads[0].proc);
	setitimer(ITIMER_REAL, &(struct itimerval){}, NULL);
	gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL);
	pthread_join(t, NULL);
}

/* with SA_RESTART the call goes on, and its deadline is still the same point in time */
TEST_F(err, restarted_park_keeps_its_deadline)
{
	struct itimerval timer = { .it_value.tv_usec = 5000, .it_interval.tv_usec = 5000 };
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	int64_t deadline;

	ASSERT_EQ(0, dev_attach(&self->d, GR_ATTACH_RUN, NULL));
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	deadline = now_ns() + 100000000;
	EXPECT_EQ(ETIMEDOUT, dev_park(&self->d, 0, deadline, NULL));
	EXPECT_LE(deadline, now_ns());
	setitimer(ITIMER_REAL, &(struct itimerval){}, NULL);
}

TEST_F(err, more_arguments)
{
	struct gr_park p = { .flags = 2, .deadline = 1 };
	struct gr_monitor m = { .deadline = 1, .reserved = 1 };
	struct gr_unpark u = { .nr = 1, .slot = 1 };

	ASSERT_EQ(0, dev_attach(&self->d, GR_ATTACH_RUN, NULL));
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_YIELD, &p));
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_MONITOR, &m));
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_UNPARK, &u));
	u = (struct gr_unpark){ .nr = 2, .flags = GR_UNPARK_THREAD };
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_UNPARK, &u));
}

TEST_F(err, every_call_without_memory)
{
	for (int i = 0; i < CALLS; i++) {
		EXPECT_EQ(EFAULT, gr_call(self->d.fd, calls[i].request, NULL)) {
			TH_LOG("%s", calls[i].name);
		}
	}
	/* SHUTDOWN has no argument */
	EXPECT_EQ(0, gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL));
}

/* the call with an argument that cannot be written to */
static int call_read_only(int fd, unsigned long request, const void *arg, size_t size)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (page == MAP_FAILED)
		return -1;
	memcpy(page, arg, size);
	mprotect(page, 4096, PROT_READ);
	ret = gr_call(fd, request, page);
	munmap(page, 4096);
	return ret;
}

#define CALL_READ_ONLY(request, ...)                                               \
	({                                                                         \
		__typeof__(__VA_ARGS__) arg_ = __VA_ARGS__;                        \
		call_read_only(self->d.fd, request, &arg_, sizeof(arg_));          \
	})

/* the result cannot be stored: the call was made all the same */
TEST_F(err, results_without_memory)
{
	struct gr_attach run = { .flags = GR_ATTACH_RUN };
	struct gr_unpark self_permit = { .nr = 1, .flags = GR_UNPARK_THREAD };
	struct gr_setup s = gr_setup_arg(1, 1);
	int fd = open("/dev/gr", O_RDWR | O_CLOEXEC);
	pthread_t t;

	EXPECT_EQ(EFAULT, call_read_only(fd, GR_IOC_SETUP, &s, sizeof(s)));
	EXPECT_EQ(EBUSY, gr_call(fd, GR_IOC_SETUP, &s));
	close(fd);
	EXPECT_EQ(EFAULT, CALL_READ_ONLY(GR_IOC_ATTACH, run));
	EXPECT_EQ(1, self->d.mirror->nr_threads);
	EXPECT_EQ(0, self->d.mthreads[0].proc);
	/* a permit for this thread, and PARK consumes it */
	EXPECT_EQ(EFAULT, CALL_READ_ONLY(GR_IOC_UNPARK, self_permit));
	EXPECT_EQ(EFAULT, CALL_READ_ONLY(GR_IOC_PARK, (struct gr_park){ .deadline = 0 }));
	EXPECT_EQ(ETIMEDOUT, dev_park(&self->d, 0, 0, NULL));
	EXPECT_EQ(EFAULT, CALL_READ_ONLY(GR_IOC_MONITOR, (struct gr_monitor){ .seen = 1 }));
	/* SWITCH gives P 0 away, and this thread's permit takes the other */
	EXPECT_EQ(0, gr_call(self->d.fd, GR_IOC_UNPARK, &self_permit));
	EXPECT_EQ(0, dev_park(&self->d, 0, 0, NULL));
	ASSERT_EQ(0, self->d.mthreads[0].proc);
	ASSERT_EQ(0, pthread_create(&t, NULL, spare_main, &self->d));
	ASSERT_TRUE(wait_until(self->d.mirror->nr_spares == 1));
	EXPECT_EQ(0, gr_call(self->d.fd, GR_IOC_UNPARK, &self_permit));
	EXPECT_EQ(EFAULT, CALL_READ_ONLY(GR_IOC_SWITCH, (struct gr_switch){ .target = 1 }));
	EXPECT_EQ(1, self->d.mthreads[0].proc);
	gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL);
	pthread_join(t, NULL);
}

/* YIELD needs a returner: with one P a thread that was told to run is one */
TEST(yields_result_without_memory)
{
	struct gr_unpark u = { .nr = 1, .flags = GR_UNPARK_THREAD, .slot = 1 };
	struct gr_park p = { .deadline = 0 };
	pthread_t t;
	struct dev d;

	alarm(60);
	ASSERT_EQ(0, dev_open(&d, 1, 4, O_CLOEXEC));
	ASSERT_EQ(0, dev_attach(&d, GR_ATTACH_RUN, NULL));
	ASSERT_EQ(0, pthread_create(&t, NULL, spare_main, &d));
	ASSERT_TRUE(wait_until(d.mirror->nr_spares == 1));
	EXPECT_EQ(0, gr_call(d.fd, GR_IOC_UNPARK, &u));
	ASSERT_EQ(1, d.mirror->nr_returners);
	u.slot = 0;
	EXPECT_EQ(0, gr_call(d.fd, GR_IOC_UNPARK, &u));
	EXPECT_EQ(EFAULT, call_read_only(d.fd, GR_IOC_YIELD, &p, sizeof(p)));
	/* the permit is used up: this one gives the P away */
	EXPECT_EQ(ETIMEDOUT, gr_call(d.fd, GR_IOC_YIELD, &p));
	gr_call(d.fd, GR_IOC_SHUTDOWN, NULL);
	pthread_join(t, NULL);
	dev_close(&d);
}

static bool set_limit(const char *text)
{
	int fd = open(PARAMETER "max_threads", O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

/* the administrator's limit; running groups keep what they have */
TEST_F(err, limit_of_threads)
{
	struct gr_setup s = gr_setup_arg(1, 5);
	int fd = open("/dev/gr", O_RDWR | O_CLOEXEC);
	char old[16] = {};
	int limit = open(PARAMETER "max_threads", O_RDONLY | O_CLOEXEC);

	ASSERT_LT(0, read(limit, old, sizeof(old) - 1));
	close(limit);
	ASSERT_TRUE(set_limit("4"));
	EXPECT_EQ(EAGAIN, gr_call(fd, GR_IOC_SETUP, &s));
	EXPECT_EQ(0, dev_attach(&self->d, 0, NULL));
	s.max_threads = 4;
	EXPECT_EQ(0, gr_call(fd, GR_IOC_SETUP, &s));
	EXPECT_TRUE(set_limit(old));
	close(fd);
}

/* ---- a 32-bit caller: the same structures, pointers below 4 GiB ---- */

static long ioctl32(int fd, unsigned long request, void *arg)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(54), "b"((long)fd), "c"(request), "d"(arg)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static void no_int80(int sig)
{
	(void)sig;
	_exit(4);
}

/* in a child: 4 where the kernel does not take such calls */
static int compat_main(void)
{
	void *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int fd = open("/dev/gr", O_RDWR | O_CLOEXEC);
	struct gr_attach *a = low;
	struct gr_setup *s = low;

	signal(SIGSEGV, no_int80);
	*s = gr_setup_arg(1, 2);
	if (ioctl32(fd, GR_IOC_ATTACH, low) != -ENXIO || ioctl32(fd, GR_IOC_SETUP, low) ||
	    !s->mirror_size || ioctl32(fd, GR_IOC_SETUP, low) != -EBUSY)
		return 1;
	*a = (struct gr_attach){ .flags = GR_ATTACH_RUN };
	if (ioctl32(fd, GR_IOC_ATTACH, low) || a->proc != 0)
		return 2;
	return ioctl32(fd, GR_IOC_SHUTDOWN, NULL) ? 3 : 0;
}

TEST(caller_of_32_bits)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(compat_main());
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		SKIP(return, "this kernel takes no 32-bit calls");
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
