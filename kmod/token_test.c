// SPDX-License-Identifier: GPL-2.0
/*
 * token_test.c - KUnit: the state machine of token.c, without threads that really run.
 *
 * A group is built by hand and its threads are mere structures: all of them name the test's own
 * task, which is running, so the wake-ups that follow a decision change nothing.
 */
#include <kunit/test.h>

#include "gr_kmod.h"

#define PROCS 3
#define THREADS 6

struct token_env {
	struct gr_group *g;
	struct gr_thread t[THREADS];
};

static int token_init(struct kunit *test)
{
	struct token_env *e = kunit_kzalloc(test, sizeof(*e), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, e);
	e->g = gr_group_new();
	KUNIT_ASSERT_NOT_NULL(test, e->g);
	e->g->nr_procs = PROCS;
	e->g->max_threads = THREADS;
	test->priv = e;
	KUNIT_ASSERT_EQ(test, 0, gr_group_prepare(e->g, GR_FEAT_EVENTS));
	for (i = 0; i < THREADS; i++) {
		struct gr_thread *t = &e->t[i];

		*t = (struct gr_thread){
			.slot = i,
			.task = current,
			.group = e->g,
			.proc = GR_NO_PROC,
			.last_proc = GR_NO_PROC,
			.state = GR_T_BLOCKED,
		};
		INIT_LIST_HEAD(&t->node);
		e->g->threads[i] = t;
	}
	return 0;
}

static void token_exit(struct kunit *test)
{
	struct token_env *e = test->priv;

	if (e && e->g)
		gr_group_put(e->g);
}

/* what user space sees is what the kernel holds, and the books add up */
static void check(struct kunit *test, struct gr_group *g)
{
	u32 idle = 0, lazy = 0, i;

	for (i = 0; i < g->nr_procs; i++) {
		struct gr_proc *p = &g->procs[i];

		idle += p->state == GR_P_IDLE;
		lazy += gr_proc_is_lazy(p);
		KUNIT_EXPECT_EQ(test, p->state, g->mprocs[i].state);
		KUNIT_EXPECT_EQ(test, p->holder ? p->holder->slot : -1, g->mprocs[i].thread);
		KUNIT_EXPECT_EQ(test, p->state == GR_P_IDLE, !p->holder);
		if (p->holder)
			KUNIT_EXPECT_EQ(test, (int)i, p->holder->proc);	/* I-1 */
	}
	for (i = 0; i < THREADS; i++) {
		struct gr_thread *t = g->threads[i];
		bool has = t->state == GR_T_RUNNING || t->state == GR_T_LAZY;

		KUNIT_EXPECT_EQ(test, has, t->proc >= 0);
		if (has)
			KUNIT_EXPECT_PTR_EQ(test, t, g->procs[t->proc].holder);
		if (t->state != GR_T_BLOCKED) {
			KUNIT_EXPECT_EQ(test, t->proc, g->mthreads[i].proc);
			KUNIT_EXPECT_EQ(test, t->state, g->mthreads[i].state);
		}
	}
	KUNIT_EXPECT_EQ(test, idle, g->nr_idle);
	KUNIT_EXPECT_EQ(test, lazy, g->nr_lazy);
	KUNIT_EXPECT_EQ(test, g->nr_idle, g->mirror->nr_idle);
	KUNIT_EXPECT_EQ(test, g->nr_lazy, g->mirror->nr_lazy);
	KUNIT_EXPECT_EQ(test, g->nr_spares, g->mirror->nr_spares);
	KUNIT_EXPECT_EQ(test, g->nr_returners, g->mirror->nr_returners);
	KUNIT_EXPECT_EQ(test, g->nr_preempted, g->mirror->nr_preempted);
}

/* every test body runs under the lock, as its subject does */
#define LOCKED_TEST(name)                                                                \
	static void name##_locked(struct kunit *test, struct gr_group *g, struct gr_thread *t); \
	static void name(struct kunit *test)                                             \
	{                                                                                \
		struct token_env *e = test->priv;                                        \
											 \
		raw_spin_lock_irq(&e->g->lock);                                          \
		check(test, e->g);                                                       \
		name##_locked(test, e->g, e->t);                                         \
		check(test, e->g);                                                       \
		raw_spin_unlock_irq(&e->g->lock);                                        \
	}                                                                                \
	static void name##_locked(struct kunit *test, struct gr_group *g, struct gr_thread *t)

LOCKED_TEST(give_and_release)
{
	struct gr_wake wake = {};

	KUNIT_EXPECT_EQ(test, (u32)PROCS, g->nr_idle);
	gr_proc_give(g, &g->procs[1], &t[0]);
	KUNIT_EXPECT_EQ(test, (u32)GR_T_RUNNING, t[0].state);
	KUNIT_EXPECT_EQ(test, 1, t[0].proc);
	check(test, g);
	gr_proc_release(g, &t[0], &wake);
	KUNIT_EXPECT_EQ(test, (u32)GR_T_BLOCKED, t[0].state);
	KUNIT_EXPECT_EQ(test, 1, t[0].last_proc);
	KUNIT_EXPECT_EQ(test, 0u, wake.nr);
	KUNIT_EXPECT_EQ(test, 0ULL, g->handoffs);
	gr_proc_release(g, &t[0], &wake);	/* without one: nothing */
}

LOCKED_TEST(lazy_is_taken_up_again)
{
	gr_proc_give(g, &g->procs[0], &t[0]);
	gr_proc_lazy_begin(g, &t[0], false);
	KUNIT_EXPECT_EQ(test, (u32)GR_T_LAZY, t[0].state);
	KUNIT_EXPECT_EQ(test, 1u, g->nr_lazy);
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[0], gr_proc_lazy(g));
	check(test, g);
	gr_proc_lazy_end(g, &t[0]);
	KUNIT_EXPECT_EQ(test, 0, t[0].proc);
	KUNIT_EXPECT_EQ(test, 1ULL, g->blocks);
	KUNIT_EXPECT_EQ(test, 0ULL, g->handoffs);
	KUNIT_EXPECT_EQ(test, 0ULL, g->wakeups);
}

LOCKED_TEST(lazy_with_work_goes_first)
{
	gr_proc_give(g, &g->procs[0], &t[0]);
	gr_proc_give(g, &g->procs[1], &t[1]);
	gr_proc_lazy_begin(g, &t[0], false);
	gr_proc_lazy_begin(g, &t[1], false);
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[0], gr_proc_lazy(g));
	KUNIT_EXPECT_NULL(test, gr_proc_lazy_busy(g));
	g->hint->globq_len = 1;
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[0], gr_proc_lazy_busy(g));
	g->hprocs[1].runnext = 1;
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[1], gr_proc_lazy(g));
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[1], gr_proc_lazy_busy(g));
	g->hint->globq_len = 0;
	g->hprocs[1].runnext = 0;
}

LOCKED_TEST(lazy_is_claimed)
{
	gr_proc_give(g, &g->procs[0], &t[0]);
	gr_proc_lazy_begin(g, &t[0], false);
	gr_proc_give(g, &g->procs[0], &t[1]);
	KUNIT_EXPECT_EQ(test, (u32)GR_T_BLOCKED, t[0].state);
	KUNIT_EXPECT_EQ(test, (int)GR_NO_PROC, t[0].proc);
	KUNIT_EXPECT_EQ(test, 0, t[1].proc);
	KUNIT_EXPECT_EQ(test, 1ULL, g->handoffs);
	KUNIT_EXPECT_EQ(test, 1u, g->procs[0].handoffs);
}

LOCKED_TEST(a_poller_is_not_lazy_for_others)
{
	gr_proc_give(g, &g->procs[0], &t[0]);
	gr_proc_lazy_begin(g, &t[0], true);
	KUNIT_EXPECT_EQ(test, 0u, g->nr_lazy);
	KUNIT_EXPECT_NULL(test, gr_proc_lazy(g));
	KUNIT_EXPECT_EQ(test, 0ULL, g->blocks);
	check(test, g);
	gr_proc_give(g, &g->procs[0], &t[1]);
	KUNIT_EXPECT_EQ(test, 0ULL, g->handoffs);
}

/* its last one, an idle one, a lazy one, a poller's */
LOCKED_TEST(what_a_returner_may_take)
{
	t[5].last_proc = 1;
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[1], gr_proc_free_for(g, &t[5]));
	gr_proc_give(g, &g->procs[1], &t[1]);
	gr_proc_give(g, &g->procs[0], &t[0]);
	gr_proc_lazy_begin(g, &t[0], false);
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[2], gr_proc_free_for(g, &t[5]));
	gr_proc_give(g, &g->procs[2], &t[2]);
	gr_proc_lazy_begin(g, &t[2], true);
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[0], gr_proc_free_for(g, &t[5]));
	gr_proc_lazy_end(g, &t[0]);
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[2], gr_proc_free_for(g, &t[5]));
	gr_proc_lazy_end(g, &t[2]);
	KUNIT_EXPECT_NULL(test, gr_proc_free_for(g, &t[5]));
}

LOCKED_TEST(idle_with_work_first)
{
	g->hprocs[2].tail = 1;
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[2], gr_proc_idle(g, 1));
	g->hprocs[2].head = 1;
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[1], gr_proc_idle(g, 1));
	g->hprocs[0].pending = 7;
	KUNIT_EXPECT_PTR_EQ(test, &g->procs[0], gr_proc_idle(g, 1));
	KUNIT_EXPECT_TRUE(test, gr_work_any(g));
	g->hprocs[0].pending = 0;
	KUNIT_EXPECT_FALSE(test, gr_work_any(g));
	gr_proc_give(g, &g->procs[0], &t[0]);
	g->hprocs[0].pending = 7;
	KUNIT_EXPECT_FALSE(test, gr_work_any(g));
	g->hprocs[0].runnext = 1;
	KUNIT_EXPECT_TRUE(test, gr_work_any(g));
	g->hprocs[0].runnext = 0;
	KUNIT_EXPECT_FALSE(test, gr_work_any(g));
	g->hint->globq_len = 1;
	KUNIT_EXPECT_TRUE(test, gr_work_any(g));
}

/* last in, first out on one core; else the next core that has one, around the end */
LOCKED_TEST(spares_are_stacks)
{
	int far = nr_cpu_ids - 1;

	KUNIT_EXPECT_NULL(test, gr_spare_near(g, 0));
	gr_spare_push(g, &t[0], 0);
	gr_spare_push(g, &t[1], 0);
	gr_spare_push(g, &t[2], far);
	KUNIT_EXPECT_EQ(test, 3u, g->nr_spares);
	KUNIT_EXPECT_PTR_EQ(test, far ? &t[1] : &t[2], gr_spare_near(g, 0));
	KUNIT_EXPECT_PTR_EQ(test, &t[2], gr_spare_near(g, far));
	check(test, g);
	gr_unqueue(g, &t[2]);
	gr_thread_set_state(g, &t[2], GR_T_BLOCKED);
	KUNIT_EXPECT_PTR_EQ(test, &t[1], gr_spare_near(g, far));
	/* out of the middle of nowhere: the bottom one leaves */
	gr_unqueue(g, &t[0]);
	gr_thread_set_state(g, &t[0], GR_T_BLOCKED);
	KUNIT_EXPECT_PTR_EQ(test, &t[1], gr_spare_near(g, 0));
	gr_unqueue(g, &t[1]);
	gr_thread_set_state(g, &t[1], GR_T_BLOCKED);
	KUNIT_EXPECT_NULL(test, gr_spare_near(g, 0));
	KUNIT_EXPECT_TRUE(test, bitmap_empty(g->spare_cpus, nr_cpu_ids));
}

LOCKED_TEST(spares_by_core)
{
	DECLARE_BITMAP(cpus, 256) = {};

	gr_spare_push(g, &t[0], 0);
	KUNIT_EXPECT_NULL(test, gr_spare_on(g, cpus, 256));
	__set_bit(255, cpus);
	KUNIT_EXPECT_NULL(test, gr_spare_on(g, cpus, 256));
	__set_bit(0, cpus);
	KUNIT_EXPECT_PTR_EQ(test, &t[0], gr_spare_on(g, cpus, 256));
	gr_unqueue(g, &t[0]);
	gr_thread_set_state(g, &t[0], GR_T_BLOCKED);
}

/* in the order in which they came; the preempted behind all others */
LOCKED_TEST(returners_queue)
{
	static const int order[] = { 0, 2, 3, 1, 4 };
	int i;

	gr_returner_push(g, &t[0], false);
	gr_returner_push(g, &t[1], true);
	gr_returner_push(g, &t[2], false);
	gr_returner_push(g, &t[3], false);
	gr_returner_push(g, &t[4], true);
	KUNIT_EXPECT_EQ(test, 3u, g->nr_returners);
	KUNIT_EXPECT_EQ(test, 2u, g->nr_preempted);
	check(test, g);
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		struct gr_thread *first = gr_returner_first(g);

		KUNIT_EXPECT_PTR_EQ(test, &t[order[i]], first);
		if (!first)
			return;
		gr_unqueue(g, first);
		gr_thread_set_state(g, first, GR_T_BLOCKED);
	}
	KUNIT_EXPECT_NULL(test, gr_returner_first(g));
}

LOCKED_TEST(release_serves_a_returner)
{
	struct gr_wake wake = {};

	gr_proc_give(g, &g->procs[0], &t[0]);
	gr_returner_push(g, &t[1], false);
	gr_proc_release(g, &t[0], &wake);
	KUNIT_EXPECT_EQ(test, 0, t[1].proc);
	KUNIT_EXPECT_EQ(test, (u32)GR_T_RUNNING, t[1].state);
	KUNIT_EXPECT_EQ(test, 1u, wake.nr);
	KUNIT_EXPECT_EQ(test, 0u, g->nr_returners);
	KUNIT_EXPECT_EQ(test, 1ULL, g->wakeups);
}

/* who slept; a spare if there is work; who was preempted; nobody */
LOCKED_TEST(who_goes_on)
{
	struct gr_proc *p = &g->procs[0];
	struct gr_wake wake = {};

	gr_proc_give(g, p, &t[0]);
	KUNIT_EXPECT_FALSE(test, gr_wanted(g, p, false));
	KUNIT_EXPECT_NULL(test, gr_next_for(g, p, false, &wake));
	gr_spare_push(g, &t[1], 0);
	KUNIT_EXPECT_NULL(test, gr_next_for(g, p, false, &wake));
	gr_returner_push(g, &t[2], true);
	KUNIT_EXPECT_PTR_EQ(test, &t[2], gr_next_for(g, p, false, &wake));
	g->hprocs[0].runnext = 1;
	KUNIT_EXPECT_PTR_EQ(test, &t[1], gr_next_for(g, p, false, &wake));
	/* a poller's P is not for spares */
	KUNIT_EXPECT_PTR_EQ(test, &t[2], gr_next_for(g, p, true, &wake));
	gr_returner_push(g, &t[3], false);
	KUNIT_EXPECT_PTR_EQ(test, &t[3], gr_next_for(g, p, false, &wake));
	KUNIT_EXPECT_EQ(test, 0u, g->spare_needed);
	gr_unqueue(g, &t[1]);
	gr_thread_set_state(g, &t[1], GR_T_BLOCKED);
	gr_unqueue(g, &t[3]);
	gr_thread_set_state(g, &t[3], GR_T_BLOCKED);
	/* work and no spare: says so, and does not let the P stand still */
	KUNIT_EXPECT_PTR_EQ(test, &t[2], gr_next_for(g, p, false, &wake));
	KUNIT_EXPECT_EQ(test, 1u, g->spare_needed);
	KUNIT_EXPECT_EQ(test, 1u, g->nr_events);
	gr_unqueue(g, &t[2]);
	gr_thread_set_state(g, &t[2], GR_T_BLOCKED);
}

/* a thread that dies leaves its P to whoever has something to do on it (I-6) */
LOCKED_TEST(cover_for_the_dead)
{
	struct gr_wake wake = {};

	gr_spare_push(g, &t[1], 0);
	gr_proc_cover(g, &wake);
	KUNIT_EXPECT_EQ(test, 0u, wake.nr);
	g->permits = 1;
	gr_proc_cover(g, &wake);
	KUNIT_EXPECT_EQ(test, 1u, wake.nr);
	KUNIT_EXPECT_EQ(test, 0u, g->permits);
	KUNIT_EXPECT_EQ(test, (u32)GR_T_RUNNING, t[1].state);
	g->hint->globq_len = 1;
	gr_proc_cover(g, &wake);
	KUNIT_EXPECT_EQ(test, 1u, g->spare_needed);
}

/* UNPARKs that find nobody are remembered, one per P at most; masked ones are not */
static void permits(struct kunit *test)
{
	struct token_env *e = test->priv;
	struct gr_unpark u = { .nr = 1 };
	int i;

	for (i = 0; i < PROCS + 2; i++) {
		KUNIT_EXPECT_EQ(test, 0, gr_unpark(e->g, &u));
		KUNIT_EXPECT_EQ(test, 0u, u.woken);
		KUNIT_EXPECT_EQ(test, min_t(u32, i + 1, PROCS), e->g->permits);
	}
	e->g->permits = 0;
	u = (struct gr_unpark){ .nr = 1, .flags = GR_UNPARK_PROCS, .mask = { 1 } };
	KUNIT_EXPECT_EQ(test, 0, gr_unpark(e->g, &u));
	KUNIT_EXPECT_EQ(test, 0u, e->g->permits);
	/* directed, at a thread that is not parked: with the thread, once */
	u = (struct gr_unpark){ .nr = 1, .flags = GR_UNPARK_THREAD, .slot = 4 };
	KUNIT_EXPECT_EQ(test, 0, gr_unpark(e->g, &u));
	KUNIT_EXPECT_EQ(test, 0, gr_unpark(e->g, &u));
	KUNIT_EXPECT_TRUE(test, e->t[4].permit);
	KUNIT_EXPECT_EQ(test, 0u, e->g->permits);
	u.slot = THREADS;
	KUNIT_EXPECT_EQ(test, -ESRCH, gr_unpark(e->g, &u));
}

static struct kunit_case token_cases[] = {
	KUNIT_CASE(give_and_release),
	KUNIT_CASE(lazy_is_taken_up_again),
	KUNIT_CASE(lazy_with_work_goes_first),
	KUNIT_CASE(lazy_is_claimed),
	KUNIT_CASE(a_poller_is_not_lazy_for_others),
	KUNIT_CASE(what_a_returner_may_take),
	KUNIT_CASE(idle_with_work_first),
	KUNIT_CASE(spares_are_stacks),
	KUNIT_CASE(spares_by_core),
	KUNIT_CASE(returners_queue),
	KUNIT_CASE(release_serves_a_returner),
	KUNIT_CASE(who_goes_on),
	KUNIT_CASE(cover_for_the_dead),
	KUNIT_CASE(permits),
	{}
};

static struct kunit_suite token_suite = {
	.name = "gr_token",
	.init = token_init,
	.exit = token_exit,
	.test_cases = token_cases,
};
kunit_test_suite(token_suite);
