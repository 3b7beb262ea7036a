// SPDX-License-Identifier: MIT
/*
 * rwmutex_test.c - gr_rwmutex: readers together, writers alone, who goes first, deadlines,
 * cancellation, misuse, free after unlock. After Go's TestParallelReaders and HammerRWMutex.
 */
#include "cancelled.h"

#define WLOCKED (1U << 31)
#define WWAIT (1U << 30)
#define RWAIT (1U << 29)

static struct gr_rwmutex rw = GR_RWMUTEX_INIT;
static atomic_int readers, writers, wrong, in, go_on, order;

static uint32_t state(void)
{
	return __atomic_load_n(&rw.state, __ATOMIC_RELAXED);
}

static void until(uint32_t bits)
{
	while ((state() & bits) != bits)
		gr_sleep(gr_after(50 * GR_US));
}

static void pause_until(atomic_int *what, int value)
{
	while (*what < value)
		gr_sleep(gr_after(50 * GR_US));
}

/* ---- all at once ---- */

static void read_together(void *arg)
{
	(void)arg;
	wrong += gr_rwmutex_rlock(&rw, GR_FOREVER) != 0;
	in++;
	pause_until(&go_on, 1);
	wrong += gr_rwmutex_runlock(&rw) != 0;
}

static void parallel(void)
{
	in = go_on = wrong = 0;
	for (int i = 0; i < 8; i++)
		mix_go(read_together, NULL);
	pause_until(&in, 8); /* for ever, if they kept each other out */
	tap_ok(gr_rwmutex_lock(&rw, GR_NOW) == -EAGAIN, "%s: no writer beside readers", mix.name);
	tap_ok(gr_rwmutex_lock(&rw, gr_after(GR_MS)) == -ETIMEDOUT, "%s: a writer's deadline",
	       mix.name);
	tap_ok(gr_rwmutex_rlock(&rw, GR_NOW) == 0, "%s: it keeps nobody out any more", mix.name);
	tap_ok(gr_rwmutex_runlock(&rw) == 0, "%s: one reader less", mix.name);
	go_on = 1;
	mix_join();
	tap_ok(!wrong && !state(), "%s: eight readers inside at once", mix.name);
}

/* ---- storm ---- */

#define WORKERS 6
#define ROUNDS 3000

static long plain;
static atomic_long wrote, gave_up, got_read;

static int64_t some_deadline(uint32_t rnd)
{
	if (rnd >> 30 == 0)
		return gr_after((rnd >> 16) % 50 * GR_US);
	return rnd >> 30 == 1 ? GR_NOW : GR_FOREVER;
}

static void check_ret(int ret, int64_t deadline)
{
	if (!ret)
		return;
	wrong += deadline == GR_FOREVER || ret != (deadline == GR_NOW ? -EAGAIN : -ETIMEDOUT);
	gave_up++;
}

static void do_write(int64_t deadline)
{
	int ret = gr_rwmutex_lock(&rw, deadline);

	check_ret(ret, deadline);
	if (ret)
		return;
	wrong += atomic_fetch_add(&writers, 1) != 0 || readers;
	if (++plain % 64 == 0)
		gr_sleep(gr_after(20 * GR_US));
	atomic_fetch_sub(&writers, 1);
	wrote++;
	wrong += gr_rwmutex_unlock(&rw) != 0;
}

static void do_read(int64_t deadline)
{
	int ret = gr_rwmutex_rlock(&rw, deadline);

	check_ret(ret, deadline);
	if (ret)
		return;
	readers++;
	wrong += writers != 0;
	if (++got_read % 64 == 0)
		gr_sleep(gr_after(20 * GR_US));
	readers--;
	wrong += gr_rwmutex_runlock(&rw) != 0;
}

static void hammer(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 2654435761u;

	for (int i = 0; i < ROUNDS; i++) {
		rnd = rnd * 1664525 + 1013904223;
		if ((rnd >> 8) % 3)
			do_read(some_deadline(rnd));
		else
			do_write(some_deadline(rnd));
	}
}

static void storm(void)
{
	plain = 0;
	wrote = gave_up = got_read = wrong = 0;
	for (int i = 0; i < WORKERS; i++)
		mix_go(hammer, (void *)(uintptr_t)(i + 1));
	mix_join();
	tap_ok(wrote + got_read + gave_up == WORKERS * ROUNDS, "%s: every call returned", mix.name);
	tap_ok(plain == wrote && !wrong, "%s: writers alone, right results", mix.name);
	tap_ok(!state() && !rw.lock && !rw.rhead && !rw.whead, "%s: free in the end", mix.name);
}

/* ---- who goes first ---- */

static void read_in_order(void *arg)
{
	gr_rwmutex_rlock(&rw, GR_FOREVER);
	*(int *)arg = ++order;
	in++;
	pause_until(&go_on, 1);
	gr_rwmutex_runlock(&rw);
}

static void write_in_order(void *arg)
{
	gr_rwmutex_lock(&rw, GR_FOREVER);
	*(int *)arg = ++order;
	gr_rwmutex_unlock(&rw);
}

static void write_briefly(void *arg)
{
	*(atomic_int *)arg = gr_rwmutex_lock(&rw, gr_after(5 * GR_MS));
}

static void order_of_all(void)
{
	int r1, r2, w;

	in = go_on = order = 0;
	gr_rwmutex_lock(&rw, GR_FOREVER);
	tap_ok(gr_rwmutex_rlock(&rw, GR_NOW) == -EAGAIN, "%s: no reader beside a writer", mix.name);
	tap_ok(gr_rwmutex_rlock(&rw, gr_after(GR_MS)) == -ETIMEDOUT, "%s: a reader's deadline",
	       mix.name);
	tap_ok(!(state() & RWAIT), "%s: ... leaves no trace", mix.name);
	mix_go(write_in_order, &w);
	until(WWAIT);
	mix_go(read_in_order, &r1);
	mix_go(read_in_order, &r2);
	until(RWAIT);
	gr_sleep(gr_after(GR_MS)); /* both of them, if the machine is not too busy */
	gr_rwmutex_unlock(&rw);
	pause_until(&in, 1);
	tap_ok(gr_rwmutex_rlock(&rw, GR_NOW) == -EAGAIN, "%s: a waiting writer keeps readers out",
	       mix.name);
	go_on = 1;
	mix_join();
	tap_ok((r1 < w || r2 < w) && w > 1, "%s: readers that waited before the next writer",
	       mix.name);
}

/* readers that wait behind a writer come in when it gives up, beside the reader inside */
static void writer_gives_up(void)
{
	atomic_int ret = 0;
	int r;

	in = go_on = 0;
	gr_rwmutex_rlock(&rw, GR_FOREVER);
	mix_go(write_briefly, &ret);
	while (!(state() & WWAIT) && !ret) /* it may be over before we look */
		gr_sleep(gr_after(50 * GR_US));
	mix_go(read_in_order, &r);
	pause_until(&in, 1);
	go_on = 1;
	gr_rwmutex_runlock(&rw);
	mix_join();
	tap_ok(ret == -ETIMEDOUT && !state(), "%s: a writer that gives up lets readers in",
	       mix.name);
}

/* ---- unlock while the only waiter has timed out, and still stands in the queue ---- */

static atomic_int late;

static void wlock_late(void *deadline)
{
	late = gr_rwmutex_lock(&rw, *(int64_t *)deadline);
	if (!late)
		gr_rwmutex_unlock(&rw);
}

static void rlock_late(void *deadline)
{
	late = gr_rwmutex_rlock(&rw, *(int64_t *)deadline);
	if (!late)
		gr_rwmutex_runlock(&rw);
}

static bool is_queued(void)
{
	return state() & (WWAIT | RWAIT);
}

static void timed_out_late(void)
{
	wrong = 0;
	for (int i = 0; i < 3; i++) {
		gr_rwmutex_lock(&rw, GR_FOREVER);
		time_out(i % 2 ? wlock_late : rlock_late, is_queued);
		gr_rwmutex_unlock(&rw);
		mix_join();
		wrong += late && late != -ETIMEDOUT;
		wrong += state() || rw.rhead || rw.whead;
		gr_rwmutex_rlock(&rw, GR_FOREVER);
		time_out(wlock_late, is_queued);
		gr_rwmutex_runlock(&rw);
		mix_join();
		wrong += late && late != -ETIMEDOUT;
		wrong += state() || rw.rhead || rw.whead;
	}
	tap_ok(!wrong, "%s: unlocked to one that has timed out", mix.name);
}

static void write_all_the_time(void *arg)
{
	(void)arg;
	while (!go_on) {
		gr_rwmutex_lock(&rw, GR_FOREVER);
		gr_sleep(gr_after(50 * GR_US));
		gr_rwmutex_unlock(&rw);
	}
}

static void read_all_the_time(void *arg)
{
	(void)arg;
	while (!go_on) {
		gr_rwmutex_rlock(&rw, GR_FOREVER);
		gr_sleep(gr_after(50 * GR_US));
		gr_rwmutex_runlock(&rw);
	}
}

static void starve(void)
{
	int got = 0;

	go_on = 0;
	for (int i = 0; i < 2; i++) {
		mix_go(write_all_the_time, NULL);
		mix_go(read_all_the_time, NULL);
	}
	for (int i = 0; i < 10; i++) {
		got += !gr_rwmutex_lock(&rw, GR_FOREVER);
		gr_rwmutex_unlock(&rw);
		got += !gr_rwmutex_rlock(&rw, GR_FOREVER);
		gr_rwmutex_runlock(&rw);
	}
	go_on = 1;
	mix_join();
	tap_ok(got == 20 && !state(), "%s: neither starves", mix.name);
}

/* ---- cancellation ---- */

static int wlock_it(void *arg)
{
	return gr_rwmutex_lock(arg, GR_FOREVER);
}

static int rlock_it(void *arg)
{
	return gr_rwmutex_rlock(arg, GR_FOREVER);
}

static void cancelled(void)
{
	gr_rwmutex_lock(&rw, GR_FOREVER);
	check_cancel("rlock", rlock_it, &rw);
	check_cancel("lock", wlock_it, &rw);
	tap_ok(state() == WLOCKED, "%s: who gave up left no trace", mix.name);
	gr_rwmutex_unlock(&rw);
	gr_rwmutex_rlock(&rw, GR_FOREVER);
	check_cancel("lock behind a reader", wlock_it, &rw);
	tap_ok(state() == 1, "%s: ... nor here", mix.name);
	gr_rwmutex_runlock(&rw);
}

/* ---- the last one frees it ---- */

#define BOXES 300

static struct box {
	struct gr_rwmutex rw;
	atomic_int refs;
} boxes[BOXES];

static void drop(struct box *b, bool write)
{
	int left;

	if (write)
		gr_rwmutex_lock(&b->rw, GR_FOREVER);
	else
		gr_rwmutex_rlock(&b->rw, GR_FOREVER);
	left = --b->refs;
	if (left == 1)
		gr_sleep(gr_after(10 * GR_US)); /* the last one queues, if it has to */
	if (write)
		gr_rwmutex_unlock(&b->rw);
	else
		gr_rwmutex_runlock(&b->rw);
	if (!left && write)
		memset(b, 0xee, sizeof(*b)); /* as free() may do: all others had unlocked */
}

static void drop_write(void *b)
{
	drop(b, true);
}

static void gone(void)
{
	static struct box ee;
	int touched = 0;

	memset(&ee, 0xee, sizeof(ee));
	memset(boxes, 0, sizeof(boxes));
	for (int i = 0; i < BOXES; i++) {
		boxes[i].refs = 3;
		mix_go(drop_write, &boxes[i]);
		mix_go(drop_write, &boxes[i]);
		drop(&boxes[i], true);
	}
	mix_join();
	for (int i = 0; i < BOXES; i++)
		touched += memcmp(&boxes[i], &ee, sizeof(ee)) != 0;
	tap_ok(!touched, "%s: nobody writes to it after its last owner gave it back", mix.name);
}

static void body(void)
{
	parallel();
	storm();
	order_of_all();
	writer_gives_up();
	timed_out_late();
	starve();
	cancelled();
	gone();
}

int main(void)
{
	struct gr_rwmutex m = GR_RWMUTEX_INIT;

	tap_ok(gr_rwmutex_rlock(NULL, GR_NOW) == -EINVAL && gr_rwmutex_runlock(NULL) == -EINVAL &&
	       gr_rwmutex_lock(NULL, GR_NOW) == -EINVAL && gr_rwmutex_unlock(NULL) == -EINVAL,
	       "NULL");
	tap_ok(gr_rwmutex_runlock(&m) == -EPERM && gr_rwmutex_unlock(&m) == -EPERM, "free");
	tap_ok(gr_rwmutex_lock(&m, GR_NOW) == 0 && gr_rwmutex_runlock(&m) == -EPERM,
	       "a writer is no reader");
	tap_ok(gr_rwmutex_lock(&m, GR_NOW) == -EAGAIN, "not recursive");
	tap_ok(gr_rwmutex_lock(&m, 1) == -ETIMEDOUT && gr_rwmutex_rlock(&m, 1) == -ETIMEDOUT,
	       "a deadline long ago");
	tap_ok(gr_rwmutex_unlock(&m) == 0 && gr_rwmutex_unlock(&m) == -EPERM, "unlocked once");
	tap_ok(gr_rwmutex_rlock(&m, GR_NOW) == 0 && gr_rwmutex_rlock(&m, GR_NOW) == 0 &&
	       gr_rwmutex_unlock(&m) == -EPERM, "a reader is no writer");
	tap_ok(gr_rwmutex_runlock(&m) == 0 && gr_rwmutex_runlock(&m) == 0 && !m.state, "twice");
	m.state = (1U << 24) - 1;
	tap_ok(gr_rwmutex_rlock(&m, GR_NOW) == -EOVERFLOW, "too many readers are refused");
	mix_run(body);
	return tap_done();
}
