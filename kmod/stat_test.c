// SPDX-License-Identifier: GPL-2.0
/*
 * stat_test.c - KUnit: the histograms of stat.c and the queue of records of event.c.
 */
#include <kunit/test.h>

#include "gr_kmod.h"

static int stat_init(struct kunit *test)
{
	struct gr_group *g = gr_group_new();

	KUNIT_ASSERT_NOT_NULL(test, g);
	test->priv = g;
	g->nr_procs = 1;
	g->max_threads = 1;
	KUNIT_ASSERT_EQ(test, 0, gr_group_prepare(g, GR_FEAT_EVENTS));
	return 0;
}

static void stat_exit(struct kunit *test)
{
	if (test->priv)
		gr_group_put(test->priv);
}

static long total(struct gr_group *g, int kind, int from, int to)
{
	long n = 0;

	for (; from < to; from++)
		n += atomic_long_read(&g->hist[kind].bucket[from]);
	return n;
}

static void histogram_buckets(struct kunit *test)
{
	struct gr_group *g = test->priv;
	const int kind = GR_HIST_UNPARK_RUN;
	u64 now = ktime_get_mono_fast_ns();

	gr_hist_add(g, kind, 0);	/* not known: not counted */
	KUNIT_EXPECT_EQ(test, 0L, total(g, kind, 0, GR_HIST_BUCKETS));
	gr_hist_add(g, kind, now + NSEC_PER_SEC);	/* a clock that went back */
	KUNIT_EXPECT_EQ(test, 1L, total(g, kind, 0, 1));
	/* at least 2^20 ns ago, and less than a minute */
	gr_hist_add(g, kind, now - (1 << 20));
	KUNIT_EXPECT_EQ(test, 1L, total(g, kind, 20, GR_HIST_BUCKETS));
	KUNIT_EXPECT_EQ(test, 0L, total(g, kind, 1, 20));
	/* longer than the last bucket begins: in the last */
	gr_hist_add(g, kind, now > 1ULL << 40 ? now - (1ULL << 40) : 1);
	KUNIT_EXPECT_EQ(test, 3L, total(g, kind, 0, GR_HIST_BUCKETS));
	KUNIT_EXPECT_EQ(test, 0L, total(g, GR_HIST_RETURN_RUN, 0, GR_HIST_BUCKETS));
}

static void add(struct gr_group *g, u32 value)
{
	raw_spin_lock_irq(&g->lock);
	gr_event_add(g, GR_EV_STALL, 0, 0, value);
	raw_spin_unlock_irq(&g->lock);
}

/* the oldest are kept, what did not fit is counted, and the ring goes round */
static void records_overflow(struct kunit *test)
{
	struct gr_group *g = test->priv;
	struct gr_event e[4];
	u32 i, next = 0;

	for (i = 0; i < GR_NR_EVENTS + 3; i++)
		add(g, i);
	KUNIT_EXPECT_EQ(test, 3ULL, g->mirror->events_lost);
	mutex_lock(&g->read_lock);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, 4u, gr_event_peek(g, e, 4));
		KUNIT_EXPECT_EQ(test, 4u, gr_event_peek(g, e, 4));	/* takes nothing */
		KUNIT_EXPECT_EQ(test, next, e[0].value);
		KUNIT_EXPECT_EQ(test, next + 3, e[3].value);
		gr_event_drop(g, 4);
		next += 4;
	}
	for (i = 0; i < 12; i++)
		add(g, GR_NR_EVENTS + i);
	KUNIT_EXPECT_EQ(test, 3ULL, g->events_lost);
	for (; next < GR_NR_EVENTS + 12; next++) {
		KUNIT_EXPECT_EQ(test, 1u, gr_event_peek(g, e, 1));
		KUNIT_EXPECT_EQ(test, next, e[0].value);
		gr_event_drop(g, 1);
	}
	KUNIT_EXPECT_EQ(test, 0u, gr_event_peek(g, e, 4));
	mutex_unlock(&g->read_lock);
}

static struct kunit_case stat_cases[] = {
	KUNIT_CASE(histogram_buckets),
	KUNIT_CASE(records_overflow),
	{}
};

static struct kunit_suite stat_suite = {
	.name = "gr_stat",
	.init = stat_init,
	.exit = stat_exit,
	.test_cases = stat_cases,
};
kunit_test_suite(stat_suite);
