// SPDX-License-Identifier: GPL-2.0
/* abi_test.c - every call with every wrong argument: an errno, the documented one. */
#include <sys/socket.h>
#include <sys/time.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

FIXTURE(abi)
{
	struct dev d;
};

FIXTURE_SETUP(abi)
{
	ASSERT_EQ(0, dev_open(&self->d, 2, 4, O_CLOEXEC));
}

FIXTURE_TEARDOWN(abi)
{
	dev_close(&self->d);
}

TEST(setup_arguments)
{
	struct gr_setup s;
	__u64 offered;
	int fd = open("/dev/gr", O_RDWR);

	ASSERT_LE(0, fd);
#define REFUSED(err, change)                                       \
	do {                                                       \
		s = gr_setup_arg(2, 4);                            \
		change;                                            \
		EXPECT_EQ(err, gr_call(fd, GR_IOC_SETUP, &s));     \
	} while (0)
	REFUSED(EINVAL, s.size--);
	REFUSED(EINVAL, s.flags = 1);
	REFUSED(EINVAL, s.slice_us = GR_SLICE_MIN_US - 1);
	REFUSED(EINVAL, s.slice_us = GR_SLICE_MAX_US + 1);
	REFUSED(EINVAL, s.reserved[3] = 1);
	REFUSED(EINVAL, s.nr_procs = 0);
	REFUSED(EINVAL, s.nr_procs = GR_MAX_PROCS + 1);
	REFUSED(EINVAL, s.max_threads = 1);
	REFUSED(EINVAL, s.max_threads = GR_MAX_THREADS + 1);
	REFUSED(EPROTO, s.abi_major++);
	REFUSED(EOPNOTSUPP, s.features = 1ULL << 63);
	offered = s.features;
	EXPECT_EQ(GR_FEAT_ALL & ~GR_FEAT_URING_PARK, offered & ~GR_FEAT_URING_PARK);
	EXPECT_EQ(EFAULT, gr_call(fd, GR_IOC_SETUP, NULL));
	/* after all that it still works, once */
	s = gr_setup_arg(2, 4);
	s.abi_minor = 999;
	EXPECT_EQ(0, gr_call(fd, GR_IOC_SETUP, &s));
	EXPECT_EQ(GR_ABI_MINOR, s.abi_minor);
	EXPECT_EQ(offered, s.features);
	EXPECT_EQ(EBUSY, gr_call(fd, GR_IOC_SETUP, &s));
	close(fd);
}

TEST(before_setup)
{
	int fd = open("/dev/gr", O_RDWR);
	struct gr_attach a = {};
	struct gr_park p = {};
	struct gr_unpark u = { .nr = 1 };
	struct gr_monitor m = {};

	ASSERT_LE(0, fd);
	EXPECT_EQ(ENXIO, gr_call(fd, GR_IOC_ATTACH, &a));
	EXPECT_EQ(ENXIO, gr_call(fd, GR_IOC_PARK, &p));
	EXPECT_EQ(ENXIO, gr_call(fd, GR_IOC_YIELD, &p));
	EXPECT_EQ(ENXIO, gr_call(fd, GR_IOC_UNPARK, &u));
	EXPECT_EQ(ENXIO, gr_call(fd, GR_IOC_MONITOR, &m));
	EXPECT_EQ(ENXIO, gr_call(fd, GR_IOC_SHUTDOWN, NULL));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(ENXIO, errno);
	close(fd);
}

TEST_F(abi, unknown_requests)
{
	char buf[256] = {};

	EXPECT_EQ(ENOTTY, gr_call(self->d.fd, _IO('G', 0x7f), buf));
	EXPECT_EQ(ENOTTY, gr_call(self->d.fd, _IO('G', 0x88), buf));
	EXPECT_EQ(ENOTTY, gr_call(self->d.fd, _IOWR('G', 0x81, char[8]), buf));
	EXPECT_EQ(ENOTTY, gr_call(self->d.fd, _IOWR('H', 0x81, struct gr_attach), buf));
}

TEST_F(abi, attach_and_detach)
{
	struct gr_attach a = { .flags = 2 };
	struct gr_detach x = { .slot = 0, .reserved = 1 };
	struct dev other;
	int proc;

	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_ATTACH, &a));
	a = (struct gr_attach){ .reserved = 1 };
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_ATTACH, &a));
	EXPECT_EQ(EFAULT, gr_call(self->d.fd, GR_IOC_ATTACH, NULL));
	EXPECT_EQ(ESRCH, dev_detach(&self->d, 0));
	EXPECT_EQ(0, dev_attach(&self->d, GR_ATTACH_RUN, &proc));
	EXPECT_EQ(0, proc);
	EXPECT_EQ(1, self->d.mirror->nr_threads);
	EXPECT_EQ(-EBUSY, dev_attach(&self->d, 0, NULL));
	ASSERT_EQ(0, dev_open(&other, 1, 1, 0));
	EXPECT_EQ(-EBUSY, dev_attach(&other, 0, NULL));
	dev_close(&other);
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_DETACH, &x));
	EXPECT_EQ(ESRCH, dev_detach(&self->d, 1));
	EXPECT_EQ(ESRCH, dev_detach(&self->d, -1));
	EXPECT_EQ(ESRCH, dev_detach(&self->d, 1 << 30));
	EXPECT_EQ(0, dev_detach(&self->d, 0));
	EXPECT_EQ(0, self->d.mirror->nr_threads);
	EXPECT_EQ(2, self->d.mirror->nr_idle);
}

static void *try_attach(void *arg)
{
	struct dev *d = arg;
	int slot = dev_attach(d, 0, NULL);

	if (slot >= 0)
		while (!d->hint->pad1[0])
			sleep_us(1000);
	return (void *)(long)slot;
}

TEST_F(abi, max_threads)
{
	pthread_t t[5];
	void *slot;
	int refused = 0;

	for (int i = 0; i < 5; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, try_attach, &self->d));
	EXPECT_TRUE(wait_until(self->d.mirror->nr_threads == 4));
	sleep_us(50000);
	self->d.hint->pad1[0] = 1;
	for (int i = 0; i < 5; i++) {
		pthread_join(t[i], &slot);
		refused += (long)slot == -EAGAIN;
	}
	EXPECT_EQ(1, refused);
	/* the slots of threads that ended without detaching come back */
	EXPECT_TRUE(wait_until(self->d.mirror->nr_threads == 0));
}

TEST_F(abi, park_and_unpark_arguments)
{
	struct gr_park p = { .slot = 0, .flags = 2, .deadline = GR_NO_DEADLINE };
	struct gr_unpark u = { .nr = 1, .flags = 8 };
	int slot = dev_attach(&self->d, 0, NULL);

	ASSERT_EQ(0, slot);
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_PARK, &p));
	p = (struct gr_park){ .slot = 0, .deadline = -2 };
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_PARK, &p));
	p = (struct gr_park){ .slot = 3, .deadline = GR_NO_DEADLINE };
	EXPECT_EQ(ESRCH, gr_call(self->d.fd, GR_IOC_PARK, &p));
	EXPECT_EQ(ESRCH, gr_call(self->d.fd, GR_IOC_YIELD, &p));
	p.slot = 0;
	EXPECT_EQ(EAGAIN, gr_call(self->d.fd, GR_IOC_YIELD, &p));
	EXPECT_EQ(EFAULT, gr_call(self->d.fd, GR_IOC_PARK, NULL));
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_UNPARK, &u));
	EXPECT_EQ(-EINVAL, dev_unpark(&self->d, 0));
	EXPECT_EQ(-EINVAL, dev_unpark(&self->d, 3));
	EXPECT_EQ(ETIMEDOUT, dev_park(&self->d, 0, now_ns() + 1000000, NULL));
	EXPECT_EQ(ETIMEDOUT, dev_park(&self->d, 0, 0, NULL));
	EXPECT_EQ(0, self->d.mirror->nr_spares);
}

static void on_alarm(int sig)
{
	(void)sig;
}

TEST_F(abi, signals_interrupt)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct gr_monitor m = { .deadline = GR_NO_DEADLINE };
	struct itimerval timer = { .it_value.tv_usec = 50000 };

	sigaction(SIGALRM, &sa, NULL);
	ASSERT_EQ(0, dev_attach(&self->d, GR_ATTACH_RUN, NULL));
	setitimer(ITIMER_REAL, &timer, NULL);
	EXPECT_EQ(EINTR, dev_park(&self->d, 0, GR_NO_DEADLINE, NULL));
	EXPECT_EQ(GR_NO_PROC, self->d.mthreads[0].proc);
	setitimer(ITIMER_REAL, &timer, NULL);
	EXPECT_EQ(EINTR, gr_call(self->d.fd, GR_IOC_MONITOR, &m));
}

static void *monitor(void *arg)
{
	struct gr_monitor m = { .deadline = GR_NO_DEADLINE };
	long ret;

	/* EBUSY: the main thread's own look at it came between */
	while ((ret = gr_call(((struct dev *)arg)->fd, GR_IOC_MONITOR, &m)) == EBUSY)
		;
	return (void *)ret;
}

TEST_F(abi, monitor_arguments)
{
	struct gr_monitor m = { .flags = 2 };
	pthread_t t;
	void *ret;

	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_MONITOR, &m));
	m = (struct gr_monitor){ .deadline = -2 };
	EXPECT_EQ(EINVAL, gr_call(self->d.fd, GR_IOC_MONITOR, &m));
	m.deadline = now_ns() + 1000000;
	EXPECT_EQ(ETIMEDOUT, gr_call(self->d.fd, GR_IOC_MONITOR, &m));
	ASSERT_EQ(0, pthread_create(&t, NULL, monitor, &self->d));
	m.deadline = 1;
	EXPECT_TRUE(wait_until(gr_call(self->d.fd, GR_IOC_MONITOR, &m) == EBUSY));
	/* an idle P and no spare: it returns */
	EXPECT_EQ(0, dev_unpark(&self->d, 1));
	pthread_join(t, &ret);
	EXPECT_EQ(NULL, ret);
	EXPECT_EQ(1, self->d.mirror->spare_needed);
}

TEST_F(abi, mmap_arguments)
{
	int fd = self->d.fd;
	size_t mirror = self->d.setup.mirror_size, hint = self->d.setup.hint_size;
	off_t at = self->d.setup.hint_offset;

#define NO_MAP(err, ...)                                            \
	do {                                                        \
		EXPECT_EQ(MAP_FAILED, mmap(NULL, __VA_ARGS__));     \
		EXPECT_EQ(err, errno);                              \
	} while (0)
	NO_MAP(EACCES, mirror, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NO_MAP(EINVAL, mirror, PROT_READ, MAP_PRIVATE, fd, 0);
	NO_MAP(EINVAL, mirror + 4096, PROT_READ, MAP_SHARED, fd, 0);
	NO_MAP(EINVAL, mirror, PROT_READ, MAP_SHARED, fd, mirror);
	NO_MAP(EINVAL, hint + 4096, PROT_READ, MAP_SHARED, fd, at);
	NO_MAP(EINVAL, 4096, PROT_READ, MAP_SHARED, fd, at + (off_t)hint);
	/* what is mapped for reading stays so */
	EXPECT_EQ(-1, mprotect((void *)self->d.mirror, mirror, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(2, self->d.mirror->nr_procs);
	EXPECT_EQ(4, self->d.mirror->max_threads);
	EXPECT_EQ(2, self->d.mirror->nr_idle);
}

/* as seen from another process: 0 if every call says EPERM */
static int foreign(int fd)
{
	struct gr_attach a = {};
	struct gr_unpark u = { .nr = 1 };

	return gr_call(fd, GR_IOC_ATTACH, &a) != EPERM || gr_call(fd, GR_IOC_UNPARK, &u) != EPERM ||
	       gr_call(fd, GR_IOC_SHUTDOWN, NULL) != EPERM ||
	       mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED || errno != EPERM;
}

TEST_F(abi, other_processes)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(foreign(self->d.fd));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	pid = vfork();
	if (!pid)
		_exit(gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL) != EPERM);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, self->d.mirror->dead);
}

static void send_fd(int sock, int fd)
{
	char c = 0, buf[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf,
			      .msg_controllen = sizeof(buf) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	sendmsg(sock, &msg, 0);
}

static int recv_fd(int sock)
{
	char c, buf[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf,
			      .msg_controllen = sizeof(buf) };
	int fd = -1;

	if (recvmsg(sock, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

TEST(fd_over_a_socket)
{
	struct dev d;
	int sv[2], status;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	pid = fork();
	if (!pid)
		_exit(foreign(recv_fd(sv[1])));
	ASSERT_EQ(0, dev_open(&d, 1, 1, O_CLOEXEC));
	send_fd(sv[0], d.fd);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	dev_close(&d);
}

TEST_HARNESS_MAIN
