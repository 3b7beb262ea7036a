// SPDX-License-Identifier: MIT
/*
 * mpn.c - model 6: M:P:N, which is libgr, with the module and without. Nothing is announced: a
 * system call is made, and the P of a thread that sleeps in it goes on elsewhere. States are those
 * of libgr's own descriptors.
 */
#include <string.h>

#include "cell.h"
#include "desc.h"
#include "model.h"
#include "sched.h"

struct first {
	void (*fn)(void *);
	void *arg;
};

static int run_first(void *arg)
{
	struct first *f = arg;

	f->fn(f->arg);
	return 0;
}

static void start_on(const char *backend, void (*fn)(void *), void *arg)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = conf.procs };
	struct first f = { fn, arg };
	int ret;

	setenv("GR_BACKEND", backend, 1);
	ret = gr_run(run_first, &f, &opts);
	cell_fail("gr_run: %s", strerror(-ret));
}

static void start(void (*fn)(void *), void *arg)
{
	start_on("futex", fn, arg);
}

static void start_kmod(void (*fn)(void *), void *arg)
{
	start_on("kmod", fn, arg);
}

static void must(int ret)
{
	if (ret)
		cell_fail("libgr: %s", strerror(-ret));
}

static void yield(void)
{
	gr_yield();
}

static void chan_init(struct mchan *c)
{
	must(gr_chan_new(&c->gr, sizeof(long), 0));
}

static void chan_send(struct mchan *c, long value)
{
	must(gr_chan_send(c->gr, &value, GR_FOREVER));
}

static long chan_recv(struct mchan *c)
{
	long value = 0;

	must(gr_chan_recv(c->gr, &value, GR_FOREVER));
	return value;
}

static void mutex_lock(struct msem *m)
{
	must(gr_mutex_lock(&m->mutex, GR_FOREVER));
}

static void mutex_unlock(struct msem *m)
{
	must(gr_mutex_unlock(&m->mutex));
}

static void sem_acquire(struct msem *s)
{
	must(gr_sem_acquire(&s->gr, 1, GR_FOREVER));
}

static void sem_release(struct msem *s)
{
	must(gr_sem_release(&s->gr, 1));
}

static void sleep_for(int64_t ns)
{
	gr_sleep(gr_after(ns));
}

static ssize_t read_from(int fd, void *buf, size_t n)
{
	return gr_read(fd, buf, n, GR_FOREVER);
}

static void call(void (*fn)(void *), void *arg)
{
	fn(arg);
}

/* ---- states ---- */

struct tally {
	long runs, runnable, blocked;
	long by[NR_WHY];
};

static enum why why_of(int reason)
{
	switch (reason) {
	case WAIT_CHAN_SEND:
	case WAIT_CHAN_RECV: return WHY_CHAN;
	case WAIT_MUTEX: return WHY_MUTEX;
	case WAIT_SEM: return WHY_SEM;
	case WAIT_IO: return WHY_NET;
	case WAIT_SLEEP: return WHY_TIMER;
	default: return WHY_NONE;
	}
}

/* a goroutine that runs, on a thread whose P is gone, sleeps in the kernel or waits to return */
static void tally_one(struct g *g, void *arg)
{
	struct tally *t = arg;
	int status = atomic_load(&g->status);
	enum why why = WHY_NONE;

	if (status == G_RUNNING && g->m && PEEK(g->m->mirror->proc) < 0)
		why = WHY_CALL;
	else if (status == G_WAITING)
		why = why_of(g->wait_reason);
	t->runs += status == G_RUNNING && why == WHY_NONE;
	t->runnable += status == G_RUNNABLE;
	t->blocked += status == G_WAITING || why == WHY_CALL;
	t->by[why]++;
}

static int states(char *buf, size_t n)
{
	struct tally t = { 0 };
	int len;

	if (!desc_walk_begin())
		return 0;
	desc_walk(tally_one, &t);
	desc_walk_end();
	len = snprintf(buf, n, "running %ld, runnable %ld, blocked %ld", t.runs, t.runnable,
		       t.blocked);
	for (int i = 1; i < NR_WHY && len < (int)n; i++)
		if (t.by[i])
			len += snprintf(buf + len, n - len, ", %s %ld", why_names[i], t.by[i]);
	return len < (int)n ? len : (int)n - 1;
}

static void count(struct counters *c)
{
	*c = (struct counters){ .threads = atomic_load(&sched.nr_ms) };
	for (int i = 0; i < sched.nr_procs; i++) {
		c->scans += atomic_load(&sched.procs[i].nr_scans);
		c->looks += atomic_load(&sched.procs[i].nr_looks);
		c->steals += atomic_load(&sched.procs[i].nr_steals);
	}
}

#define MPN_OPS                                                                               \
	.steals = true, .spawn = gr_go, .yield = yield, .chan_init = chan_init,               \
	.chan_send = chan_send, .chan_recv = chan_recv, .mutex_lock = mutex_lock,             \
	.mutex_unlock = mutex_unlock, .sem_acquire = sem_acquire, .sem_release = sem_release, \
	.sleep = sleep_for, .read = read_from, .call = call, .states = states, .count = count

const struct model mpn = {
	.name = "M:P:N",
	.title = "libgr",
	.backend = "futex",
	.start = start,
	MPN_OPS,
};

const struct model mpn_kmod = {
	.name = "M:P:N+gr.ko",
	.title = "libgr, module",
	.backend = "kmod",
	.start = start_kmod,
	MPN_OPS,
};
