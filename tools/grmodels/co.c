// SPDX-License-Identifier: MIT
/*
 * co.c - switch to a goroutine on its own stack and back, with libgr's gr_switch() and stacks.
 *
 * A goroutine that blocks holds the lock of what it waits for until its thread has left its stack:
 * only then may somebody find it and run it elsewhere. Likewise one that yields is queued by
 * the thread it ran on, after the switch.
 */
#include <errno.h>
#include <sys/socket.h>

#include "cell.h"
#include "co.h"
#include "sched.h"
#include "stack.h"
#include "switch.h"

static const struct queue *queue;
static __thread struct worker *current;

NOINLINE struct worker *co_worker(void)
{
	struct worker *w = current;

	/* the caller may come back on another thread: no address of current is kept */
	__asm__ volatile("" : "+r"(w) : : "memory");
	return w;
}

void co_set_queue(const struct queue *q)
{
	sched.stack_size = STACK_DEFAULT;
	queue = q;
	kern = co_kern;
	poll_init();
}

static void body(void *arg, void *pass)
{
	struct gor *g = arg;
	struct worker *w;

	(void)pass;
	g->g.fn(g->g.arg);
	w = co_worker();
	w->ended = true;
	gr_switch_last(w->sp, NULL);
}

static void run(struct worker *w, struct gor *g)
{
	if (!g->g.sp) {
		if (!g->g.stack)
			g->g.stack = stack_get();
		g->g.sp = gr_switch_init(g->g.stack, body, g);
	}
	w->unlock = NULL;
	w->ended = false;
	gor_set_self(g);
	gor_state(g, ST_RUNNING, WHY_NONE);
	gr_switch(&w->sp, g->g.sp, NULL);
	gor_set_self(NULL);
	if (w->ended)
		gor_free(g); /* with its stack */
	else if (w->unlock)
		lock_release(w->unlock);
	else
		queue->put(g, true);
}

_Noreturn void co_loop(struct worker *w)
{
	current = w;
	for (;;)
		run(w, queue->next(w));
}

static void leave(struct gor *g)
{
	gr_switch(&g->g.sp, co_worker()->sp, NULL);
}

static void block(struct lock *l, enum why why)
{
	struct gor *g = gor_self();

	gor_state(g, ST_BLOCKED, why);
	co_worker()->unlock = l;
	leave(g);
}

static void ready(struct gor *g)
{
	gor_state(g, ST_RUNNABLE, WHY_NONE);
	queue->put(g, false);
}

const struct kern co_kern = { .block = block, .ready = ready };

struct gor *co_new(void (*fn)(void *), void *arg)
{
	return gor_new(fn, arg, true);
}

int co_spawn(void (*fn)(void *), void *arg)
{
	struct gor *g = co_new(fn, arg);

	if (!g)
		return -ENOMEM;
	queue->put(g, false);
	return 0;
}

void co_yield (void)
{
	struct gor *g = gor_self();

	gor_state(g, ST_RUNNABLE, WHY_NONE);
	leave(g);
}

void co_sleep(int64_t ns)
{
	poll_until(gr_after(ns));
}

/* the call after a wait may be made by another thread: errno is read by one that stays */
static NOINLINE ssize_t try_read(int fd, void *buf, size_t n)
{
	ssize_t ret = recv(fd, buf, n, MSG_DONTWAIT);

	return ret < 0 ? -errno : ret;
}

ssize_t co_read(int fd, void *buf, size_t n)
{
	ssize_t ret;

	while ((ret = try_read(fd, buf, n)) == -EAGAIN)
		poll_readable(fd);
	return ret;
}
