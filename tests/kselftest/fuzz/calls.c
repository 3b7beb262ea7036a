// SPDX-License-Identifier: GPL-2.0
/*
 * calls.c - ioctl with arguments that are right, nearly right, or anything.
 *
 * Caller: player.c, in each of its threads.
 */
#include <limits.h>

#include "fuzz.h"

uint32_t any32(struct rnd *r)
{
	static const uint32_t edges[] = { 0, 1, 2, 255, 256, 257, 32768, 32769, INT_MAX,
					  (uint32_t)INT_MIN, UINT32_MAX };

	return one_in(r, 3) ? (uint32_t)next(r) : edges[below(r, sizeof(edges) / sizeof(*edges))];
}

int any_slot(struct caller *c)
{
	switch (below(&c->r, 16)) {
	case 0:
		return any32(&c->r);
	case 1:
		return below(&c->r, 16);
	default:
		return c->slot;
	}
}

/* @nr of them, from bit 0 on, are valid */
static uint32_t any_flags(struct rnd *r, unsigned int nr)
{
	switch (below(r, 32)) {
	case 0:
		return next(r);
	case 1:
		return 1U << below(r, 32);
	default:
		return one_in(r, 3) ? 1U << below(r, nr) : 0;
	}
}

static int64_t any_deadline(struct rnd *r)
{
	switch (below(r, 12)) {
	case 0:
	case 1:
		return GR_NO_DEADLINE;
	case 2:
		return next(r);
	case 3:
		return 0;
	case 4:	/* as if it were relative: long past */
		return below(r, 2000000);
	default:
		return now_ns() + below(r, 2000000);
	}
}

/* mostly valid; @features: what may be asked for */
void any_setup(struct rnd *r, struct gr_setup *s, uint64_t features)
{
	*s = gr_setup_arg(1 + below(r, 4), 4 + below(r, 20));
	s->slice_us = one_in(r, 2) ? 1000 : 0;
	s->features = next(r) & features;
	if (one_in(r, 4))
		((uint32_t *)s)[below(r, sizeof(*s) / 4)] = any32(r);
}

static struct gr_unpark any_unpark(struct caller *c)
{
	struct rnd *r = &c->r;
	struct gr_unpark u = {
		.nr = one_in(r, 8) ? any32(r) : 1 + below(r, 4),
		.flags = any_flags(r, 3),
	};

	if (u.flags & GR_UNPARK_THREAD || one_in(r, 8))
		u.slot = any_slot(c);
	if (u.flags & GR_UNPARK_THREAD && !one_in(r, 4))
		u.nr = 1;
	if (u.flags & (GR_UNPARK_PROCS | GR_UNPARK_CPUS))
		u.mask[one_in(r, 4) ? below(r, 4) : 0] = one_in(r, 2) ? next(r) : next(r) % 16;
	else if (one_in(r, 16))
		u.mask[below(r, 4)] = next(r);
	return u;
}

/* half of them know the news and wait for more */
static struct gr_monitor any_monitor(struct rnd *r)
{
	bool knows = one_in(r, 2) && game.mirror;
	struct gr_monitor m = {
		.seen = one_in(r, 2) ? any32(r) : 0,
		.flags = any_flags(r, 1),
		.deadline = any_deadline(r),
	};

	if (knows) {
		m.seen = game.mirror->spare_needed;
		m.seen_stalls = game.mirror->stalls;
	}
	return m;
}

/* mostly to somebody who is parked, if anybody is */
static struct gr_switch any_switch(struct caller *c)
{
	struct rnd *r = &c->r;
	struct gr_switch s = {
		.slot = any_slot(c),
		.target = below(r, 8),
		.flags = one_in(r, 32) ? any32(r) : 0,
		.deadline = any_deadline(r),
	};
	volatile struct gr_mirror_thread *t;

	if (one_in(r, 8) || !game.mirror)
		return s;
	t = (void *)((char *)game.mirror + game.mirror->thread_offset);
	for (int i = 0; i < 4 && t[s.target].state != GR_T_PARKED; i++)
		s.target = (s.target + 1) % 4;
	return s;
}

static void fill(struct caller *c, unsigned int nr, void *arg)
{
	struct rnd *r = &c->r;

	switch (nr) {
	case 0:
		any_setup(r, arg, GR_FEAT_ALL);
		break;
	case 1:
		*(struct gr_attach *)arg = (struct gr_attach){
			.flags = one_in(r, 2) ? GR_ATTACH_RUN : any_flags(r, 1) };
		break;
	case 2:
		*(struct gr_detach *)arg = (struct gr_detach){ any_slot(c), one_in(r, 20) };
		break;
	case 3:
	case 5:
		*(struct gr_park *)arg = (struct gr_park){ .slot = any_slot(c),
			.flags = any_flags(r, 1), .deadline = any_deadline(r) };
		break;
	case 4:
		*(struct gr_unpark *)arg = any_unpark(c);
		break;
	case 6:
		*(struct gr_monitor *)arg = any_monitor(r);
		break;
	case 8:
		*(struct gr_switch *)arg = any_switch(c);
		break;
	}
}

/* where an argument lies: mostly where it should */
void *place(struct rnd *r, void *arg, size_t size)
{
	char *at;

	switch (below(r, 48)) {
	case 0:
		return NULL;
	case 1:
		return (void *)(next(r) | (one_in(r, 2) ? 0xffff800000000000ULL : 0));
	case 2:	/* the last bytes do not fit */
		at = game.guard + game.page - below(r, size + 1);
		memcpy(at, arg, game.guard + game.page - at);
		return at;
	case 3:	/* misaligned, and whole */
		at = game.guard + 1 + below(r, 64);
		memcpy(at, arg, size);
		return at;
	case 4:	/* the device's own pages */
		return game.hint ? game.hint + below(r, game.setup.hint_size) : NULL;
	default:
		return arg;
	}
}

int device(struct caller *c)
{
	return c->foreign >= 0 && one_in(&c->r, 12) ? c->foreign : game.dev;
}

static unsigned long any_request(struct rnd *r, unsigned long request)
{
	switch (below(r, 64)) {
	case 0:
		return request ^ 1UL << below(r, 32);
	case 1:	/* another size, up to 16 KiB */
		return _IOC(_IOC_DIR(request), GR_IOC_MAGIC, _IOC_NR(request), below(r, 1 << 14));
	case 2:
		return _IOC(below(r, 4), GR_IOC_MAGIC, below(r, 256), below(r, 128));
	default:
		return request;
	}
}

void call(struct caller *c)
{
	static const unsigned long requests[NR_CALLS] = {
		GR_IOC_SETUP, GR_IOC_ATTACH, GR_IOC_DETACH, GR_IOC_PARK, GR_IOC_UNPARK,
		GR_IOC_YIELD, GR_IOC_MONITOR, GR_IOC_SHUTDOWN, GR_IOC_SWITCH,
	};
	/* DETACH less often than ATTACH, SHUTDOWN hardly ever */
	static const unsigned char weighted[] = { 0, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4,
						  5, 5, 5, 6, 6, 8, 8, 8 };
	unsigned int nr = weighted[below(&c->r, sizeof(weighted))];
	uint64_t words[16] = { 0 };
	struct gr_attach *a = (void *)words;
	unsigned long request;
	int fd = device(c);
	void *arg;
	bool ok;

	if (one_in(&c->r, 5000))
		nr = 7;
	fill(c, nr, words);
	if (one_in(&c->r, 32))
		words[below(&c->r, 6)] = next(&c->r);
	arg = place(&c->r, words, _IOC_SIZE(requests[nr]));
	request = any_request(&c->r, requests[nr]);
	ok = !ioctl(fd, request, arg);
	if (request == requests[nr])
		atomic_fetch_add(ok ? &game.tally->ok[nr] : &game.tally->refused[nr], 1);
	if (ok && fd == game.dev && arg == words) {
		if (request == GR_IOC_ATTACH)
			c->slot = a->slot;
		else if (request == GR_IOC_DETACH)
			c->slot = -1;
	}
}
