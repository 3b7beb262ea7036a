// SPDX-License-Identifier: GPL-2.0
/*
 * event_test.c - what tools are told: records, poll(), and the monitor's stalls.
 */
#include <poll.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define QUEUE 256

static int open_with(struct dev *d, int procs, uint64_t features, int slice_us, int flags)
{
	return dev_open_arg(d,
			    (struct gr_setup){ .size = sizeof(struct gr_setup),
					       .abi_major = GR_ABI_MAJOR,
					       .nr_procs = procs,
					       .max_threads = 8,
					       .slice_us = slice_us,
					       .features = features },
			    O_CLOEXEC | flags);
}

static short polled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLPRI };

	poll(&p, 1, 0);
	return p.revents;
}

/* an idle P and nobody to run it: one record, one wake-up owed */
static void need_spare(struct dev *d)
{
	dev_unpark(d, 1);
}

TEST(not_asked_for)
{
	struct gr_event e;
	struct dev d;

	ASSERT_EQ(0, dev_open(&d, 1, 8, O_CLOEXEC));
	need_spare(&d);
	EXPECT_EQ(-1, read(d.fd, &e, sizeof(e)));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(0, polled(d.fd) & POLLIN);
	EXPECT_EQ(0, d.mirror->events_lost);
	dev_close(&d);
}

TEST(before_setup_and_by_others)
{
	struct gr_event e;
	struct dev d;
	int status, fd = open("/dev/gr", O_RDWR);

	EXPECT_EQ(-1, read(fd, &e, sizeof(e)));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(POLLERR, polled(fd));
	close(fd);
	ASSERT_EQ(0, open_with(&d, 1, GR_FEAT_EVENTS, 0, O_NONBLOCK));
	need_spare(&d);
	if (!fork()) {
		bool refused = read(d.fd, &e, sizeof(e)) < 0 && errno == EPERM;

		_exit(!refused || polled(d.fd) != POLLERR);
	}
	wait(&status);
	EXPECT_EQ(0, status);
	EXPECT_EQ(sizeof(e), read(d.fd, &e, sizeof(e)));
	dev_close(&d);
}

TEST(records)
{
	void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct gr_event e[4];
	struct dev d;
	int64_t before;

	ASSERT_EQ(0, open_with(&d, 2, GR_FEAT_EVENTS, 0, O_NONBLOCK));
	EXPECT_EQ(-1, read(d.fd, e, sizeof(e)));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(-1, read(d.fd, e, sizeof(e[0]) - 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, polled(d.fd));
	before = now_ns();
	for (int i = 0; i < 3; i++)
		need_spare(&d);
	EXPECT_EQ(POLLIN | POLLPRI, polled(d.fd));
	/* a bad buffer loses nothing */
	EXPECT_EQ(-1, read(d.fd, nowhere, sizeof(e)));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(2 * sizeof(e[0]), read(d.fd, e, 3 * sizeof(e[0]) - 1));
	EXPECT_EQ(sizeof(e[0]), read(d.fd, e + 2, 2 * sizeof(e[0])));
	for (unsigned int i = 0; i < 3; i++) {
		EXPECT_EQ(GR_EV_SPARE_NEEDED, e[i].type);
		EXPECT_EQ(-1, e[i].slot);
		EXPECT_EQ(0, e[i].proc);
		EXPECT_EQ(i + 1, e[i].value);
		EXPECT_LE(before, (int64_t)e[i].time);
		before = e[i].time;
	}
	EXPECT_EQ(POLLPRI, polled(d.fd));
	/* two wake-ups are owed, one per P; PARK takes them */
	ASSERT_EQ(0, dev_attach(&d, 0, NULL));
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(0, dev_park(&d, 0, 0, NULL));
	EXPECT_EQ(0, polled(d.fd));
	EXPECT_EQ(ETIMEDOUT, dev_park(&d, 0, 0, NULL));
	dev_close(&d);
}

TEST(overflow)
{
	static struct gr_event e[2 * QUEUE];
	struct dev d;
	ssize_t n = 0, got;

	ASSERT_EQ(0, open_with(&d, 1, GR_FEAT_EVENTS, 0, O_NONBLOCK));
	for (int i = 0; i < QUEUE + 5; i++)
		need_spare(&d);
	EXPECT_EQ(5, d.mirror->events_lost);
	while (n <= QUEUE && (got = read(d.fd, &e[n], sizeof(e) / 2)) > 0)
		n += got / sizeof(e[0]);
	EXPECT_EQ(QUEUE, n);
	/* the oldest are kept, in order */
	for (unsigned int i = 0; i < QUEUE; i++)
		EXPECT_EQ(i + 1, e[i].value);
	need_spare(&d);
	EXPECT_EQ(sizeof(e[0]), read(d.fd, e, sizeof(e)));
	EXPECT_EQ(QUEUE + 6, e[0].value);
	dev_close(&d);
}

static void *reader(void *arg)
{
	struct gr_event e;
	struct dev *d = arg;
	long n = 0;

	while (read(d->fd, &e, sizeof(e)) == sizeof(e))
		n++;
	return (void *)n;
}

static void *poller(void *arg)
{
	struct dev *d = arg;
	struct pollfd p = { .fd = d->fd, .events = POLLPRI };

	poll(&p, 1, -1);
	return (void *)(long)p.revents;
}

/* POLLHUP comes without being asked for; the wake-ups that nobody took are still there */
static void *hangup(void *arg)
{
	struct dev *d = arg;
	struct pollfd p = { .fd = d->fd };

	poll(&p, 1, -1);
	return (void *)(long)p.revents;
}

TEST(waiting)
{
	pthread_t r, p;
	struct dev d;
	void *ret;

	alarm(60);
	ASSERT_EQ(0, open_with(&d, 1, GR_FEAT_EVENTS, 0, 0));
	ASSERT_EQ(0, pthread_create(&r, NULL, reader, &d));
	ASSERT_EQ(0, pthread_create(&p, NULL, poller, &d));
	sleep_us(20000);
	for (int i = 0; i < 10; i++) {
		need_spare(&d);
		sleep_us(1000);
	}
	pthread_join(p, &ret);
	EXPECT_EQ(POLLPRI, (long)ret);
	ASSERT_EQ(0, pthread_create(&p, NULL, hangup, &d));
	gr_call(d.fd, GR_IOC_SHUTDOWN, NULL);
	pthread_join(r, &ret);
	EXPECT_EQ(10, (long)ret);
	pthread_join(p, &ret);
	EXPECT_EQ(POLLHUP, (long)ret);
	dev_close(&d);
}

static void *spin(void *arg)
{
	struct dev *d = arg;
	int slot = dev_attach(d, GR_ATTACH_RUN, NULL);

	/* in the runtime for ever, by its own word: nobody may take its P */
	while (!d->mirror->dead)
		d->hthreads[slot].flags = GR_HF_RUNTIME;
	return NULL;
}

static void *come_back(void *arg)
{
	struct dev *d = arg;
	int slot = dev_attach(d, 0, NULL);

	dev_user(d, slot);
	/* on a busy machine a nap can be over before it began: then there is nothing to come back from */
	while (!d->mirror->dead)
		sleep_us(1000);
	return NULL;
}

/* the alarm ends it if the records do not come */
TEST(stall_and_late_returner)
{
	struct gr_monitor m = { .flags = GR_MONITOR_STALLS, .deadline = GR_NO_DEADLINE };
	bool stall = false, late = false;
	struct gr_event e;
	pthread_t s, w;
	struct dev d;

	alarm(60);
	ASSERT_EQ(0, open_with(&d, 1, GR_FEAT_EVENTS | GR_FEAT_PREEMPT, 2000, 0));
	ASSERT_EQ(0, pthread_create(&s, NULL, spin, &d));
	ASSERT_TRUE(wait_until(d.mirror->nr_idle == 0));
	ASSERT_EQ(0, pthread_create(&w, NULL, come_back, &d));
	EXPECT_EQ(0, gr_call(d.fd, GR_IOC_MONITOR, &m));
	EXPECT_LE(1, m.seen_stalls);
	while (!stall || !late) {
		ASSERT_EQ(sizeof(e), read(d.fd, &e, sizeof(e)));
		if (e.type == GR_EV_STALL) {
			EXPECT_EQ(0, e.slot);
			EXPECT_EQ(0, e.proc);
			EXPECT_LE(20000, e.value);
			stall = true;
		} else if (e.type == GR_EV_RETURN_LATE) {
			EXPECT_EQ(1, e.slot);
			EXPECT_EQ(-1, e.proc);
			EXPECT_LE(8000, e.value);
			late = true;
		}
	}
	EXPECT_EQ(1, d.mirror->nr_returners);
	EXPECT_EQ(0, d.mirror->preempts);
	gr_call(d.fd, GR_IOC_SHUTDOWN, NULL);
	pthread_join(s, NULL);
	pthread_join(w, NULL);
	dev_close(&d);
}

TEST_HARNESS_MAIN
