// SPDX-License-Identifier: GPL-2.0
/*
 * uring_test.c - GR_UCMD_PARK: an UNPARK ends a wait in a ring; and every way to withdraw it.
 * Where the kernel cannot cancel such requests: that they are refused, and the poll way.
 */
#include <liburing.h>
#include <poll.h>
#include <signal.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

FIXTURE(uring)
{
	struct dev d;
	struct io_uring ring;
	bool offered;
};

FIXTURE_SETUP(uring)
{
	alarm(140);
	ASSERT_EQ(0, dev_open(&self->d, 2, 8, O_CLOEXEC));
	ASSERT_EQ(0, io_uring_queue_init(8, &self->ring, 0));
	self->offered = self->d.setup.features & GR_FEAT_URING_PARK;
	ASSERT_EQ(0, dev_attach(&self->d, GR_ATTACH_RUN, NULL));
}

FIXTURE_TEARDOWN(uring)
{
	io_uring_queue_exit(&self->ring);
	gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL);
	dev_close(&self->d);
}

#define NEEDS_CANCEL()                                                           \
	do {                                                                     \
		if (!self->offered)                                              \
			SKIP(return, "this kernel cannot cancel ring requests"); \
	} while (0)

static void submit(struct io_uring *ring, int fd, struct gr_ucmd arg, uint32_t op, uint64_t data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_nop(sqe);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->off = op; /* cmd_op, in the same place */
	memcpy((char *)sqe + 48, &arg, sizeof(arg)); /* sqe->cmd */
	sqe->user_data = data;
	io_uring_submit(ring);
}

/* result of the request @data; the wait is the test's own sleep */
static int result(struct io_uring *ring, uint64_t data)
{
	struct io_uring_cqe *cqe;
	int res;

	do {
		if (io_uring_wait_cqe(ring, &cqe))
			return -EIO;
		res = cqe->res;
		io_uring_cqe_seen(ring, cqe);
	} while (cqe->user_data != data);
	return res;
}

static bool nothing_there(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;

	return io_uring_peek_cqe(ring, &cqe) == -EAGAIN;
}

TEST_F(uring, not_offered)
{
	if (self->offered)
		SKIP(return, "this kernel can cancel ring requests");
	submit(&self->ring, self->d.fd, (struct gr_ucmd){}, GR_UCMD_PARK, 1);
	EXPECT_EQ(-EOPNOTSUPP, result(&self->ring, 1));
}

TEST_F(uring, arguments)
{
	int fd = self->d.fd;

	NEEDS_CANCEL();
	submit(&self->ring, fd, (struct gr_ucmd){ .slot = 1 }, GR_UCMD_PARK, 1);
	EXPECT_EQ(-ESRCH, result(&self->ring, 1));
	submit(&self->ring, fd, (struct gr_ucmd){ .flags = 1 }, GR_UCMD_PARK, 2);
	EXPECT_EQ(-EINVAL, result(&self->ring, 2));
	submit(&self->ring, fd, (struct gr_ucmd){ .reserved = 1 }, GR_UCMD_PARK, 3);
	EXPECT_EQ(-EINVAL, result(&self->ring, 3));
	submit(&self->ring, fd, (struct gr_ucmd){}, 7, 4);
	EXPECT_EQ(-ENOTTY, result(&self->ring, 4));
	submit(&self->ring, fd, (struct gr_ucmd){}, GR_UCMD_PARK, 5);
	submit(&self->ring, fd, (struct gr_ucmd){}, GR_UCMD_PARK, 6);
	EXPECT_EQ(-EBUSY, result(&self->ring, 6));
	EXPECT_TRUE(nothing_there(&self->ring));
}

/* a group that is not set up, and one of another process */
TEST_F(uring, not_mine)
{
	int fd = open("/dev/gr", O_RDWR | O_CLOEXEC), status;
	struct io_uring ring;
	pid_t pid;

	NEEDS_CANCEL();
	submit(&self->ring, fd, (struct gr_ucmd){}, GR_UCMD_PARK, 1);
	EXPECT_EQ(-ENXIO, result(&self->ring, 1));
	close(fd);
	pid = fork();
	if (!pid) {
		if (io_uring_queue_init(4, &ring, 0))
			_exit(1);
		submit(&ring, self->d.fd, (struct gr_ucmd){}, GR_UCMD_PARK, 1);
		_exit(result(&ring, 1) != -EPERM);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

struct unparker {
	struct dev *d;
	int ret;
};

/* as soon as the poller sleeps */
static void *unpark_soon(void *arg)
{
	struct unparker *u = arg;

	if (!wait_until(u->d->mthreads[0].state == GR_T_LAZY))
		return NULL;
	/* the other P is idle, without a spare for it: the poller is all there is */
	u->ret = dev_unpark(u->d, 1);
	return NULL;
}

TEST_F(uring, unpark_ends_the_wait)
{
	NEEDS_CANCEL();
	for (int i = 0; i < 50; i++) {
		struct unparker u = { .d = &self->d, .ret = -1 };
		pthread_t t;

		submit(&self->ring, self->d.fd, (struct gr_ucmd){}, GR_UCMD_PARK, i);
		self->d.hthreads[0].flags = GR_HF_POLL;
		pthread_create(&t, NULL, unpark_soon, &u);
		EXPECT_EQ(0, result(&self->ring, i));
		dev_runtime(&self->d, 0);
		pthread_join(t, NULL);
		EXPECT_EQ(1, u.ret);
		EXPECT_EQ(0, self->d.mthreads[0].proc);
	}
	EXPECT_EQ(0, self->d.mirror->spare_needed);
}

TEST_F(uring, directed_unpark_ends_the_wait)
{
	struct gr_unpark u = { .nr = 1, .flags = GR_UNPARK_THREAD, .slot = 0 };

	NEEDS_CANCEL();
	submit(&self->ring, self->d.fd, (struct gr_ucmd){}, GR_UCMD_PARK, 1);
	EXPECT_EQ(0, gr_call(self->d.fd, GR_IOC_UNPARK, &u));
	EXPECT_EQ(1, u.woken);
	EXPECT_EQ(0, result(&self->ring, 1));
}

TEST_F(uring, detached)
{
	NEEDS_CANCEL();
	submit(&self->ring, self->d.fd, (struct gr_ucmd){}, GR_UCMD_PARK, 1);
	dev_detach(&self->d, 0);
	EXPECT_EQ(-ECANCELED, result(&self->ring, 1));
}

TEST_F(uring, shutdown)
{
	NEEDS_CANCEL();
	submit(&self->ring, self->d.fd, (struct gr_ucmd){}, GR_UCMD_PARK, 1);
	EXPECT_EQ(0, gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL));
	EXPECT_EQ(-ESHUTDOWN, result(&self->ring, 1));
	submit(&self->ring, self->d.fd, (struct gr_ucmd){}, GR_UCMD_PARK, 2);
	EXPECT_EQ(-ESHUTDOWN, result(&self->ring, 2));
}

/* comes with a ring and a request, and withdraws them, in this order or the other */
static void *come_and_go(void *arg)
{
	struct dev *d = arg;
	struct io_uring ring;
	int slot;

	for (int i = 0; i < 60; i++) {
		if (io_uring_queue_init(4, &ring, 0))
			return (void *)-1L;
		slot = dev_attach(d, 0, NULL);
		submit(&ring, d->fd, (struct gr_ucmd){ .slot = slot }, GR_UCMD_PARK, 1);
		if (i % 3 == 0)
			sleep_us(100);
		if (i & 1)
			io_uring_queue_exit(&ring);
		if (slot != 1 || dev_detach(d, slot))
			return (void *)-2L;
		if (!(i & 1))
			io_uring_queue_exit(&ring);
	}
	return NULL;
}

/* UNPARK, DETACH and the end of the ring want the same request: one of them completes it */
TEST_F_TIMEOUT(uring, everybody_ends_it, 150)
{
	struct gr_unpark u = { .nr = 1, .flags = GR_UNPARK_THREAD, .slot = 1 };
	pthread_t t;
	void *ret;

	NEEDS_CANCEL();
	ASSERT_EQ(0, pthread_create(&t, NULL, come_and_go, &self->d));
	while (pthread_tryjoin_np(t, &ret))
		gr_call(self->d.fd, GR_IOC_UNPARK, &u);
	EXPECT_EQ(NULL, ret);
	EXPECT_EQ(1, self->d.mirror->nr_threads);
}

/* threads of the module's groups whose memory is not freed, or -1 */
static int live_threads(void)
{
	FILE *f = fopen("/sys/kernel/debug/gr/counters", "r");
	int n = -1;

	if (f && fscanf(f, "groups_live %*d groups %*d threads_live %d", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

static void *leave_pending(void *arg)
{
	FIXTURE_DATA(uring) *self = arg;
	int slot = dev_attach(&self->d, 0, NULL);

	submit(&self->ring, self->d.fd, (struct gr_ucmd){ .slot = slot }, GR_UCMD_PARK, 1);
	return (void *)(long)slot;	/* and ends, attached */
}

/* a thread ends, but the ring in which its request waits is another's and lives on */
TEST_F(uring, owner_ends_alone)
{
	struct __kernel_timespec limit = { .tv_sec = 20 };
	struct io_uring_cqe *cqe = NULL;
	pthread_t t;
	void *slot;

	NEEDS_CANCEL();
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, pthread_create(&t, NULL, leave_pending, self));
		ASSERT_EQ(0, pthread_join(t, &slot));
		ASSERT_EQ((void *)1, slot);
		ASSERT_EQ(0, io_uring_wait_cqe_timeout(&self->ring, &cqe, &limit));
		EXPECT_EQ(1, cqe->user_data);
		EXPECT_EQ(-ECANCELED, cqe->res);
		io_uring_cqe_seen(&self->ring, cqe);
		ASSERT_TRUE(wait_until(self->d.mirror->nr_threads == 1));
	}
	if (live_threads() < 0)
		SKIP(return, "no debugfs: the counters cannot be seen");
	EXPECT_TRUE(wait_until(live_threads() == 1));
}

/* the last descriptor goes while a request is pending: it ends, and so does the group */
TEST_F(uring, closed)
{
	NEEDS_CANCEL();
	submit(&self->ring, self->d.fd, (struct gr_ucmd){}, GR_UCMD_PARK, 1);
	close(self->d.fd);
	EXPECT_EQ(-ESHUTDOWN, result(&self->ring, 1));
	self->d.fd = -1;
}

static void die_pending(struct dev *d, int how)
{
	struct io_uring ring;
	struct dev mine;

	(void)d;
	if (dev_open(&mine, 1, 2, O_CLOEXEC) || io_uring_queue_init(4, &ring, 0) ||
	    dev_attach(&mine, GR_ATTACH_RUN, NULL))
		_exit(1);
	submit(&ring, mine.fd, (struct gr_ucmd){}, GR_UCMD_PARK, 1);
	mine.hthreads[0].flags = GR_HF_POLL;
	if (how == 0)
		kill(getpid(), SIGKILL);
	if (how == 1)
		execl("/bin/true", "true", NULL);
	if (how == 2)
		io_uring_queue_exit(&ring);
	_exit(0);
}

TEST_F(uring, owner_dies)
{
	int before = gr_refcount(), status;

	NEEDS_CANCEL();
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();

		if (!pid)
			die_pending(&self->d, i & 3);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE((i & 3) ? !status : WIFSIGNALED(status));
	}
	/* earlier tests' groups may still have been on their way out */
	EXPECT_TRUE(wait_until(gr_refcount() <= before));
}

/* the way of kernels without it: a poll request on the device in the same ring */
TEST_F(uring, poll_way)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
	struct unparker u = { .d = &self->d, .ret = -1 };
	pthread_t t;

	io_uring_prep_poll_multishot(sqe, self->d.fd, POLLPRI);
	sqe->user_data = 1;
	io_uring_submit(&self->ring);
	self->d.hthreads[0].flags = GR_HF_POLL;
	pthread_create(&t, NULL, unpark_soon, &u);
	EXPECT_EQ(POLLPRI, result(&self->ring, 1) & POLLPRI);
	dev_runtime(&self->d, 0);
	pthread_join(t, NULL);
	EXPECT_EQ(0, u.ret);
}

TEST_HARNESS_MAIN
