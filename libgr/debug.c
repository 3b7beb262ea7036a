// SPDX-License-Identifier: MIT
/*
 * debug.c - GR_DEBUG and GR_TRACE are read; schedules are shuffled.
 *
 *	GR_DEBUG=shuffle[,seed=N]	goroutines run in another order than usual
 *	GR_DEBUG=migrate		after each call a goroutine is on another thread, if it can
 *	GR_TRACE=sched=MS[,io=MS]	lines on stderr every MS milliseconds, trace.c
 *
 * Shuffling finds what only works because of the usual order. It stays among the orders that are
 * allowed: what is made ready goes into runnext or to the end of the queue as a coin says, and a
 * goroutine may lose its turn wherever it enters the library. Each P has its own sequence of
 * numbers from the seed, so with one P, and nothing from outside, a seed stands for one order.
 * Callers: debug_read(): gr_run(). shuffle_*(): the holder of the P.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "debug.h"
#include "sched.h"

#define LOSE_ONE_IN 8

struct debug debug;

/* The number after key=, if word is that. 1 it is, 0 it is not, -EINVAL a bad number. */
static int word_number(const char *word, const char *key, uint32_t *value)
{
	size_t n = strlen(key);
	unsigned long long v;
	char *end;

	if (strncmp(word, key, n) || word[n] != '=')
		return 0;
	word += n + 1;
	errno = 0;
	v = strtoull(word, &end, 10);
	if (*word < '0' || *word > '9' || *end || errno || v > UINT32_MAX)
		return -EINVAL;
	*value = (uint32_t)v;
	return 1;
}

static int debug_word(const char *word)
{
	if (!strcmp(word, "migrate")) {
		debug.migrate = true;
		return 1;
	}
	if (!strcmp(word, "shuffle")) {
		debug.shuffle = true;
		return 1;
	}
	return word_number(word, "seed", &debug.seed);
}

static int trace_word(const char *word)
{
	int *period = &debug.sched_ms;
	uint32_t ms = 0;
	int ret = word_number(word, "sched", &ms);

	if (!ret) {
		period = &debug.io_ms;
		ret = word_number(word, "io", &ms);
	}
	if (ret != 1)
		return ret;
	if (ms < 1 || ms > INT32_MAX)
		return -EINVAL;
	*period = (int)ms;
	return 1;
}

/* take(word) of every word between commas */
static int read_words(const char *name, int (*take)(const char *), const char *known)
{
	const char *value = getenv(name);
	char copy[128], *save, *word;
	int ret;

	if (!value || !*value)
		return 0;
	if (strlen(value) >= sizeof(copy)) {
		gr_warn("%s is too long", name);
		return -EINVAL;
	}
	strcpy(copy, value);
	for (word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		ret = take(word);
		if (ret != 1) {
			gr_warn("%s: %s \"%s\"; known: %s", name,
				ret ? "bad number in" : "what is", word, known);
			return -EINVAL;
		}
	}
	return 0;
}

int debug_read(void)
{
	struct timespec ts;
	int ret;

	memset(&debug, 0, sizeof(debug));
	ret = read_words("GR_DEBUG", debug_word, "shuffle, migrate, seed=N");
	if (!ret)
		ret = read_words("GR_TRACE", trace_word, "sched=MILLISECONDS, io=MILLISECONDS");
	if (ret || !debug.shuffle)
		return ret;
	if (!debug.seed) {
		clock_gettime(CLOCK_REALTIME, &ts);
		debug.seed = (uint32_t)(ts.tv_nsec ^ ts.tv_sec) | 1;
		gr_warn("GR_DEBUG=shuffle,seed=%u", debug.seed);
	}
	return 0;
}

uint32_t shuffle_seed(int n)
{
	/* a multiplication spreads neighbours; xorshift must not start at 0 */
	return (debug.seed + (uint32_t)n * 0x9e3779b9u) * 2654435761u | 1;
}

static uint32_t draw(struct p *p)
{
	/* xorshift32 (Marsaglia) */
	p->rng ^= p->rng << 13;
	p->rng ^= p->rng >> 17;
	p->rng ^= p->rng << 5;
	return p->rng >> 8;
}

bool shuffle_lose_turn(struct p *p)
{
	return debug.migrate || draw(p) % LOSE_ONE_IN == 0;
}

bool shuffle_next(struct p *p)
{
	return draw(p) & 1;
}
