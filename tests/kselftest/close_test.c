// SPDX-License-Identifier: GPL-2.0
/*
 * close_test.c - which close() is the last one: it shuts the group down, and no other does.
 *
 * The module compares the references of the open file with those that its own calls, mappings and
 * ring requests hold (kmod/dev.c). Here: calls that hold none, because a process with one thread
 * borrows its descriptor's; calls that come and go while children close their copies; and what
 * is not counted and so keeps a group alive.
 */
#include <liburing.h>
#include <poll.h>
#include <signal.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

FIXTURE(last)
{
	struct dev d;
};

FIXTURE_SETUP(last)
{
	struct gr_setup s = gr_setup_arg(2, 16);

	alarm(120);
	s.features = GR_FEAT_EVENTS;
	ASSERT_EQ(0, dev_open_arg(&self->d, s, 0));
}

FIXTURE_TEARDOWN(last)
{
	gr_call(self->d.fd, GR_IOC_SHUTDOWN, NULL);
	dev_close(&self->d);
}

static bool asleep(pid_t pid, pid_t tid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	f = fopen(path, "r");
	if (f && fscanf(f, "%*d %*s %c", &state) != 1)
		state = 0;
	if (f)
		fclose(f);
	return state == 'S';
}

/* a child with a copy of the descriptor, which ends as soon as its parent sleeps after go() */
struct child {
	pid_t pid;
	int go[2];
};

static bool have_child(struct child *c)
{
	pid_t parent = getpid();
	char byte;

	if (pipe(c->go))
		return false;
	c->pid = fork();
	if (!c->pid)
		_exit(read(c->go[0], &byte, 1) != 1 || !wait_until(asleep(parent, parent)));
	return c->pid > 0;
}

static bool go(struct child *c)
{
	return write(c->go[1], "", 1) == 1;
}

/* Did it end while the call was under way? Else the test has seen nothing: once more, for longer. */
static bool over(struct child *c)
{
	int status;
	bool ok = waitpid(c->pid, &status, WNOHANG) == c->pid;

	if (!ok) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, &status, 0);
	}
	close(c->go[0]);
	close(c->go[1]);
	return ok && !status;
}

#define DURING(c, call)                                                       \
	bool seen_ = false;                                                   \
	for (int64_t ns_ = 500000000; ns_ < 60000000000LL; ns_ *= 2) {        \
		int64_t until = now_ns() + ns_;                               \
									      \
		ASSERT_TRUE(have_child(c));                                   \
		ASSERT_TRUE(go(c));                                           \
		EXPECT_EQ(ETIMEDOUT, call);                                   \
		seen_ = over(c);                                              \
		if (seen_)                                                    \
			break;                                                \
	}                                                                     \
	EXPECT_TRUE(seen_)

TEST_F_TIMEOUT(last, child_ends_during_a_park, 100)
{
	int slot = dev_attach(&self->d, 0, NULL);
	struct child c;

	ASSERT_LE(0, slot);
	DURING(&c, dev_park(&self->d, slot, until, NULL));
	EXPECT_EQ(0, self->d.mirror->dead);
}

TEST_F_TIMEOUT(last, child_ends_during_a_monitor, 100)
{
	struct gr_monitor m = {};
	struct child c;

	DURING(&c, (m.deadline = until, gr_call(self->d.fd, GR_IOC_MONITOR, &m)));
	EXPECT_EQ(0, self->d.mirror->dead);
}

/* ---- calls come and go meanwhile ---- */

static _Atomic bool stop;

static void *caller_main(void *arg)
{
	struct dev *d = arg;
	int slot = dev_attach(d, 0, NULL);

	while (!atomic_load(&stop)) {
		dev_unpark(d, 1);
		dev_park(d, slot, 0, NULL);
	}
	return NULL;
}

/* closing a copy: there is always another descriptor, whatever calls are under way */
TEST_F_TIMEOUT(last, copy_is_closed_among_calls, 100)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, caller_main, &self->d));
	ASSERT_TRUE(wait_until(self->d.mirror->nr_threads == 4));
	for (int i = 0; i < 20000 && !self->d.mirror->dead; i++)
		close(dup(self->d.fd));
	EXPECT_EQ(0, self->d.mirror->dead);
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* ---- what sleeps on the device ---- */

struct sleeper {
	struct dev *d;
	_Atomic pid_t tid;
	long ret;
};

static void *reader_main(void *arg)
{
	struct sleeper *s = arg;
	struct gr_event e;

	atomic_store(&s->tid, gettid());
	s->ret = read(s->d->fd, &e, sizeof(e));
	return NULL;
}

TEST_F(last, ends_a_read)
{
	struct sleeper s = { .d = &self->d, .ret = -1 };
	pthread_t t;

	ASSERT_EQ(0, pthread_create(&t, NULL, reader_main, &s));
	ASSERT_TRUE(wait_until(atomic_load(&s.tid) && asleep(getpid(), s.tid)));
	close(self->d.fd);
	EXPECT_EQ(1, self->d.mirror->dead);
	/* without an end to it, the alarm's */
	pthread_join(t, NULL);
	EXPECT_EQ(0, s.ret);
	self->d.fd = -1;
}

/* what the kernel itself has taken references for, the module does not know of */
TEST_F(last, ring_poll_keeps_it)
{
	struct io_uring ring;

	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	io_uring_prep_poll_add(io_uring_get_sqe(&ring), self->d.fd, POLLIN);
	ASSERT_EQ(1, io_uring_submit(&ring));
	close(self->d.fd);
	EXPECT_EQ(0, self->d.mirror->dead);
	io_uring_queue_exit(&ring);
	self->d.fd = -1;
}

/* a registered file is a descriptor, and what is under way on it holds no reference of its own */
TEST_F(last, registered_file_keeps_it)
{
	int slot = dev_attach(&self->d, GR_ATTACH_RUN, NULL);
	struct gr_ucmd arg = { .slot = slot };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	if (!(self->d.setup.features & GR_FEAT_URING_PARK))
		SKIP(return, "this kernel cannot cancel ring requests");
	ASSERT_LE(0, slot);
	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	ASSERT_EQ(0, io_uring_register_files(&ring, &self->d.fd, 1));
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_nop(sqe);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = 0;	/* its index */
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->off = GR_UCMD_PARK;	/* cmd_op, in the same place */
	memcpy((char *)sqe + 48, &arg, sizeof(arg));
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_EQ(-EAGAIN, io_uring_peek_cqe(&ring, &cqe));
	close(self->d.fd);
	EXPECT_EQ(0, self->d.mirror->dead);
	EXPECT_EQ(-EAGAIN, io_uring_peek_cqe(&ring, &cqe));
	io_uring_queue_exit(&ring);
	self->d.fd = -1;
}

TEST_HARNESS_MAIN
