// SPDX-License-Identifier: GPL-2.0
/*
 * player.c - a process of a round: a group, threads that call at random, one that scribbles over
 * the hints. Also the watcher, which reads every file in debugfs meanwhile.
 *
 * A player whose round is gentle ends by itself: it stops its threads, shuts the group down, and
 * whoever sleeps in the device must come out. Caller: fuzz.c, in a child of its own.
 */
#include <glob.h>
#include <signal.h>

#include "fuzz.h"

#define NR_CALLERS 5
#define STEPS 400

struct game game;

static void *caller(void *arg)
{
	struct caller c = { .slot = -1, .foreign = -1 };
	uint64_t who = game.who * THREADS + (long)arg;

	for (int i = 0; i < STEPS && !atomic_load(&game.stop); i++) {
		c.r = seeded(game.seed, game.round, who, i);
		if (one_in(&c.r, STEPS * 2))
			break;
		if (below(&c.r, 100) < 60)
			call(&c);
		else
			deed(&c);
	}
	if (c.has_ring && one_in(&c.r, 2))
		io_uring_queue_exit(&c.ring);
	atomic_fetch_sub(&game.running, 1);
	return NULL;	/* attached still, or not */
}

static void *scribbler(void *arg)
{
	for (int n = 0; !atomic_load(&game.stop); n++) {
		struct rnd r = seeded(game.seed, game.round, game.who * THREADS + SCRIBBLER, n);

		for (int i = 0; i < 16; i++) {
			char *at = game.hint + below(&r, game.setup.hint_size / 8) * 8;

			*(volatile uint64_t *)at = one_in(&r, 2) ? next(&r) : below(&r, 4);
		}
		sleep_us(below(&r, 300));
	}
	return arg;
}

/* a call may come at any point, also here */
static void on_signal(int nr)
{
	struct gr_unpark u = { .nr = 1, .flags = GR_UNPARK_THREAD };
	int saved = errno;

	ioctl(game.dev, GR_IOC_UNPARK, &u);
	errno = saved;
}

static void set_up(struct rnd *r)
{
	uint64_t features = GR_FEAT_ALL;

	game.dev = open("/dev/gr", O_RDWR | (one_in(r, 2) ? O_NONBLOCK : 0) |
				       (one_in(r, 2) ? O_CLOEXEC : 0));
	if (game.dev < 0)
		_exit(2);
	for (int i = 0; i < 3 && !game.hint; i++) {
		any_setup(r, &game.setup, features);
		if (ioctl(game.dev, GR_IOC_SETUP, &game.setup)) {
			features = errno == EOPNOTSUPP ? game.setup.features : features;
			continue;
		}
		game.hint = mmap(NULL, game.setup.hint_size, PROT_READ | PROT_WRITE, MAP_SHARED,
				 game.dev, game.setup.hint_offset);
		game.mirror = mmap(NULL, game.setup.mirror_size, PROT_READ, MAP_SHARED, game.dev,
				   game.setup.mirror_offset);
		if (game.hint == MAP_FAILED || game.mirror == MAP_FAILED)
			_exit(3);
	}
}

static void interrupt(struct rnd *r, pthread_t *t)
{
	for (unsigned int i = below(r, 40); i; i--) {
		sleep_us(below(r, 5000));
		/* none has been joined, so each name is good */
		if (one_in(r, 4))
			pthread_kill(t[below(r, NR_CALLERS)], SIGUSR1);
	}
}

static void end(struct rnd *r)
{
	atomic_store(&game.stop, true);
	close(game.pipe[1]);	/* readers leave */
	/* a call that had begun may still set the group up */
	while (gr_call(game.dev, GR_IOC_SHUTDOWN, NULL) == ENXIO && atomic_load(&game.running))
		sleep_us(1000);
	if (one_in(r, 2))
		close(game.dev);
}

_Noreturn void play(void)
{
	struct rnd r = seeded(game.seed, game.round, game.who * THREADS + MAIN, 0);
	struct sigaction sa = {
		.sa_handler = on_signal,
		.sa_flags = one_in(&r, 2) ? SA_RESTART : 0,
	};
	pthread_t t[NR_CALLERS + 1];
	int n = 0;

	game.page = sysconf(_SC_PAGESIZE);
	game.guard = mmap(NULL, 2 * game.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	mprotect(game.guard + game.page, game.page, PROT_NONE);
	if (pipe2(game.pipe, O_CLOEXEC) || fcntl(game.pipe[1], F_SETFL, O_NONBLOCK))
		_exit(4);
	set_up(&r);
	sigaction(SIGUSR1, &sa, NULL);
	atomic_store(&game.running, NR_CALLERS);
	for (; n < NR_CALLERS; n++)
		if (pthread_create(&t[n], NULL, caller, (void *)(long)n))
			_exit(5);
	if (game.hint && one_in(&r, 2) && !pthread_create(&t[n], NULL, scribbler, NULL))
		n++;
	interrupt(&r, t);
	end(&r);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	_exit(0);
}

_Noreturn void watch(void)
{
	struct rnd r = seeded(game.seed, game.round, WATCHER, 0);
	char buf[4096];

	for (;;) {
		glob_t g = { 0 };

		glob("/sys/kernel/debug/gr/*/*", 0, NULL, &g);
		for (size_t i = 0; i < g.gl_pathc; i++) {
			int fd = open(g.gl_pathv[i], O_RDONLY);

			while (fd >= 0 && read(fd, buf, sizeof(buf)) > 0)
				;
			if (fd >= 0)
				close(fd);
		}
		globfree(&g);
		sleep_us(below(&r, 5000));
	}
}
