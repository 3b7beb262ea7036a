/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fuzz.h - what the parts of fuzz share: chance, and the state of a player.
 *
 * fuzz.c is the judge, player.c a process of a round, calls.c what goes through ioctl, deeds.c
 * all else that a thread does.
 *
 * Chance: each step of each thread has a stream of its own, made of the seed, the round, the
 * player, the thread and the number of the step. So what a step drew never changes what the next
 * one draws, and a replay issues the same calls in each thread. Two things differ: how threads
 * interleave, and what the kernel gave out before (slots, descriptors).
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <liburing.h>

#include "../gr_dev.h"

struct rnd {
	uint64_t s;
};

static inline uint64_t next(struct rnd *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15ULL;	/* splitmix64, Steele 2014 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static inline unsigned int below(struct rnd *r, unsigned int n)
{
	return (next(r) >> 16) % n;
}

static inline bool one_in(struct rnd *r, unsigned int n)
{
	return !below(r, n);
}

/* who takes part in a round */
enum { JUDGE = 100, WATCHER, THREADS = 1000, SCRIBBLER = 100, MAIN };

/* @who: JUDGE, WATCHER or player * THREADS + thread */
static inline struct rnd seeded(uint64_t seed, uint64_t round, uint64_t who, uint64_t step)
{
	struct rnd r = { seed };

	r.s = next(&r) ^ round;
	r.s = next(&r) ^ who;
	r.s = next(&r) ^ step;
	return r;
}

/* one process of a round */
struct game {
	uint64_t seed, round;
	int who;
	bool gentle;		/* nobody closes, kills or leaves: SHUTDOWN must end it */
	int mailbox;		/* descriptors from and to the other players */
	int dev;
	struct gr_setup setup;
	char *hint;		/* the group's, or NULL */
	volatile struct gr_mirror *mirror;
	char *guard;		/* one page, and one behind it that faults */
	long page;
	int pipe[2];
	atomic_bool stop;
	atomic_int running;
	struct tally *tally;	/* shared with the judge */
};
extern struct game game;

/* how the calls went that asked for what they should, all rounds together */
#define NR_CALLS 9
struct tally {
	atomic_ulong ok[NR_CALLS], refused[NR_CALLS];
};

struct caller {
	struct rnd r;
	int slot;		/* what ATTACH said, or -1 */
	int foreign;		/* another player's device, or -1 */
	struct io_uring ring;
	bool has_ring;
};

/* calls.c */
void any_setup(struct rnd *r, struct gr_setup *s, uint64_t features);
int any_slot(struct caller *c);
uint32_t any32(struct rnd *r);
void *place(struct rnd *r, void *arg, size_t size);
int device(struct caller *c);
void call(struct caller *c);

/* deeds.c */
void deed(struct caller *c);
int inherited(int fd);

/* player.c */
_Noreturn void play(void);
_Noreturn void watch(void);

#endif
