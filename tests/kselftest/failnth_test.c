// SPDX-License-Identifier: GPL-2.0
/*
 * failnth_test.c - each allocation behind each call fails once; nothing is lost by it.
 *
 * /proc/thread-self/fail-nth makes the n-th allocation of the thread fail (fault injection:
 * slab, pages, and what copies from and to user space). For n = 1, 2...: a fresh group, the call
 * with the failure, then the same call without it, which must work as if nothing had been. Ends
 * with the first n that the call does not reach. What leaks shows in the module's counters and in
 * the guest's kmemleak scan.
 *
 * gr's calls read and write their arguments where no failure is injected (kmod/dev.c): EFAULT comes
 * from read() and poll() only.
 */
#include <liburing.h>
#include <poll.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define FAULTS "/sys/kernel/debug/"

static struct dev d;
static struct io_uring ring;
static int slot;

static void die(int line)
{
	fprintf(stderr, "# failnth_test.c:%d: %s\n", line, strerror(errno));
	abort();
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

static int fail_fd;

static void fail_at(int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", n);

	/* copying these bytes may be what fails: then the countdown is over, and it works */
	if (pwrite(fail_fd, text, len, 0) != len && pwrite(fail_fd, text, len, 0) != len)
		die(__LINE__);
}

/* what is left of the countdown: 0, the failure was injected */
static int fail_left(void)
{
	char text[16] = "";

	if (pread(fail_fd, text, sizeof(text) - 1, 0) <= 0)
		return 1;	/* it hit this read: the call did not get there */
	return atoi(text);
}

/* ---- the calls: 0, or an errno; undo what they did ---- */

static void no_group(void)
{
}

static void no_undo(void)
{
}

static void opened(void)
{
	d.fd = open("/dev/gr", O_RDWR | O_CLOEXEC);
}

static void closed(void)
{
	close(d.fd);
}

static void group(void)
{
	struct gr_setup s = gr_setup_arg(2, 8);

	s.slice_us = 10000;
	s.features = GR_FEAT_EVENTS | GR_FEAT_PREEMPT;
	if (dev_open_arg(&d, s, O_CLOEXEC | O_NONBLOCK))
		die(__LINE__);
}

static void attached(void)
{
	group();
	slot = dev_attach(&d, GR_ATTACH_RUN, NULL);
	if (slot < 0)
		die(__LINE__);
}

static void ungroup(void)
{
	dev_close(&d);
}

static int call_open(void)
{
	opened();
	return d.fd < 0 ? errno : 0;
}

static void reopen(void)
{
	closed();
	opened();
}

static int call_setup(void)
{
	struct gr_setup s = gr_setup_arg(4, 4000);

	s.features = GR_FEAT_EVENTS;
	return gr_call(d.fd, GR_IOC_SETUP, &s);
}

static int call_mmap(void)
{
	char *m = mmap(NULL, d.setup.hint_size, PROT_READ | PROT_WRITE, MAP_SHARED, d.fd,
		       d.setup.hint_offset);

	if (m == MAP_FAILED)
		return errno;
	for (uint64_t i = 0; i < d.setup.hint_size; i += 4096)
		((volatile char *)m)[i] = 0;
	munmap(m, d.setup.hint_size);
	return 0;
}

static int call_attach(void)
{
	slot = dev_attach(&d, GR_ATTACH_RUN, NULL);
	return slot < 0 ? -slot : 0;
}

static void undo_attach(void)
{
	dev_detach(&d, slot);
}

static int call_detach(void)
{
	return dev_detach(&d, slot);
}

static void undo_detach(void)
{
	slot = dev_attach(&d, GR_ATTACH_RUN, NULL);
}

static int call_park(void)
{
	int ret = dev_park(&d, slot, now_ns() + 100000, NULL);

	return ret == ETIMEDOUT ? 0 : ret;
}

static int call_yield(void)
{
	struct gr_park p = { .slot = slot, .deadline = GR_NO_DEADLINE };
	int ret = gr_call(d.fd, GR_IOC_YIELD, &p);

	return ret == EAGAIN ? 0 : ret;
}

static int call_unpark(void)
{
	int ret = dev_unpark(&d, 2);

	return ret < 0 ? -ret : 0;
}

static int call_switch(void)
{
	struct gr_switch s = { .slot = slot, .target = slot + 1, .deadline = now_ns() + 100000 };
	int ret = gr_call(d.fd, GR_IOC_SWITCH, &s);

	return ret == ESRCH ? 0 : ret;	/* there is no second thread */
}

static int call_monitor(void)
{
	struct gr_monitor m = { .seen = d.mirror->spare_needed, .deadline = now_ns() + 100000 };
	int ret = gr_call(d.fd, GR_IOC_MONITOR, &m);

	return ret == ETIMEDOUT ? 0 : ret;
}

/* an idle P and nobody to run it: one record */
static void record(void)
{
	if (dev_unpark(&d, 1))
		die(__LINE__);
}

static void recorded(void)
{
	attached();
	record();
}

/* a failure must not lose the record: there is one for the call that follows */
static int call_read(void)
{
	struct gr_event e[4];
	ssize_t n = read(d.fd, e, sizeof(e));

	if (n < 0)
		return errno;
	return n == sizeof(e[0]) && e[0].type == GR_EV_SPARE_NEEDED ? 0 : EBADMSG;
}

static int call_poll(void)
{
	struct pollfd p = { d.fd, POLLIN | POLLPRI, 0 };

	return poll(&p, 1, 0) < 0 ? errno : 0;
}

static void ringed(void)
{
	attached();
	if (io_uring_queue_init(4, &ring, 0))
		die(__LINE__);
}

static void unring(void)
{
	io_uring_queue_exit(&ring);
	ungroup();
}

/* GR_UCMD_PARK, submitted and withdrawn. The kernel may not have taken the one before. */
static int call_uring(void)
{
	struct gr_unpark u = { .nr = 1, .flags = GR_UNPARK_THREAD, .slot = slot };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	int ret;

	if (!io_uring_sq_ready(&ring)) {
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_rw(IORING_OP_URING_CMD, sqe, d.fd, NULL, 0, 0);
		sqe->cmd_op = GR_UCMD_PARK;
		*(struct gr_ucmd *)sqe->cmd = (struct gr_ucmd){ .slot = slot };
	}
	ret = io_uring_submit(&ring);
	if (ret < 0)
		return -ret;
	/* failed at once, or pending */
	if (io_uring_peek_cqe(&ring, &cqe) && gr_call(d.fd, GR_IOC_UNPARK, &u))
		return EBADMSG;
	if (!wait_until(!io_uring_peek_cqe(&ring, &cqe)))
		return ETIMEDOUT;
	ret = -cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return ret;
}

static int call_shutdown(void)
{
	int ret = gr_call(d.fd, GR_IOC_SHUTDOWN, NULL);

	return ret == ESHUTDOWN ? 0 : ret;
}

static int call_block(void)
{
	dev_user(&d, slot);
	sleep_us(100);
	dev_runtime(&d, slot);
	return 0;
}

FIXTURE(failnth)
{
};

FIXTURE_VARIANT(failnth)
{
	void (*before)(void);
	int (*call)(void);
	void (*undo)(void);
	void (*after)(void);
	enum { NEVER, SURELY, PERHAPS } fails;
};

#define CALL(name_, before_, undo_, after_, fails_) \
	FIXTURE_VARIANT_ADD(failnth, name_)             \
	{                                               \
		.before = before_,                      \
		.call = call_##name_,                   \
		.undo = undo_,                          \
		.after = after_,                        \
		.fails = fails_,                        \
	}

CALL(open, no_group, closed, no_undo, SURELY);
CALL(setup, opened, reopen, closed, SURELY);
CALL(mmap, group, no_undo, ungroup, SURELY);
CALL(attach, group, undo_attach, ungroup, SURELY);
CALL(detach, attached, undo_detach, ungroup, NEVER);
CALL(park, attached, no_undo, ungroup, NEVER);
CALL(yield, attached, no_undo, ungroup, NEVER);
CALL(unpark, attached, no_undo, ungroup, NEVER);
CALL(switch, attached, no_undo, ungroup, NEVER);
CALL(monitor, attached, no_undo, ungroup, NEVER);
CALL(read, recorded, record, ungroup, SURELY);
/* only the ring itself allocates; where it can do without, depends on the number of CPUs, too */
CALL(uring, ringed, no_undo, unring, PERHAPS);
CALL(poll, attached, no_undo, ungroup, SURELY);	/* the system call's own copies */
CALL(shutdown, attached, no_undo, ungroup, NEVER);
CALL(block, attached, no_undo, ungroup, NEVER);

FIXTURE_SETUP(failnth)
{
	if (access("/proc/thread-self/fail-nth", W_OK))
		SKIP(return, "the kernel injects no faults");
	ASSERT_TRUE(write_file(FAULTS "failslab/ignore-gfp-wait", "N"));
	ASSERT_TRUE(write_file(FAULTS "fail_page_alloc/ignore-gfp-wait", "N"));
	ASSERT_TRUE(write_file(FAULTS "fail_page_alloc/ignore-gfp-highmem", "N"));
	ASSERT_TRUE(write_file(FAULTS "fail_page_alloc/min-order", "0"));
	ASSERT_TRUE(write_file(FAULTS "failslab/verbose", "0"));
	ASSERT_TRUE(write_file(FAULTS "fail_page_alloc/verbose", "0"));
}

FIXTURE_TEARDOWN(failnth)
{
}

/* EAGAIN: a ring had no memory for the request */
static bool expected(int ret, bool in_ring)
{
	return !ret || ret == ENOMEM || ret == EFAULT || (in_ring && ret == EAGAIN);
}

/* live groups and threads of the module, or -1 */
static int live_objects(void)
{
	FILE *f = fopen(FAULTS "gr/counters", "r");
	int groups, threads, n = -1;

	if (f && fscanf(f, "groups_live %d groups %*d threads_live %d", &groups, &threads) == 2)
		n = groups + threads;
	if (f)
		fclose(f);
	return n;
}

/* returns true as long as there was an allocation to fail */
static bool one(struct __test_metadata *_metadata,
		const FIXTURE_VARIANT(failnth) *variant, int n, int *failures)
{
	int ret, left;

	variant->before();
	fail_at(n);
	ret = variant->call();
	left = fail_left();
	fail_at(0);
	EXPECT_TRUE(expected(ret, variant->call == call_uring)) {
		TH_LOG("allocation %d: %s", n, strerror(ret));
	}
	if (left)
		EXPECT_EQ(0, ret);
	if (ret) {
		TH_LOG("allocation %d: %s", n, strerror(ret));
		++*failures;
	} else {
		variant->undo();
	}
	EXPECT_EQ(0, variant->call());
	variant->undo();
	variant->after();
	return !left;
}

TEST_F_TIMEOUT(failnth, each_allocation_fails_once, 300)
{
	int n = 1, failures = 0;

	/* not in the set-up, which may be another process */
	fail_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fail_fd);
	while (one(_metadata, variant, n, &failures) && n < 5000)
		n++;
	TH_LOG("%d allocations, %d made the call fail", n - 1, failures);
	EXPECT_LT(n, 5000);
	if (variant->fails != PERHAPS)
		EXPECT_EQ(variant->fails == SURELY, failures > 0);
	EXPECT_TRUE(wait_until(gr_refcount() == 0 && live_objects() == 0));
	close(fail_fd);
}

TEST_HARNESS_MAIN
