// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz.c - random calls on /dev/gr, valid and invalid, from many threads and processes.
 *
 * fuzz [--seed N] [--rounds N] [--round K]	(1, GR_ROUNDS or 100; K: that round only)
 *
 * A round is one to three players (fuzz/player.c), processes with a group each, that pass
 * descriptors to each other, and one that reads debugfs. Half of the rounds are gentle: players
 * shut their groups down, after which they must end by themselves. In the others they are
 * killed at random moments. All are stopped and continued now and then.
 *
 * What must hold after each round: everybody is gone; the module has no group, no thread and no
 * reference more than before; the kernel said nothing. The first round that breaks it is the
 * last: its seed and number are printed, and where its processes hang. The kernel's log has them,
 * too, in case that it dies. What comes from the seed and what cannot: fuzz/fuzz.h.
 */
#include <glob.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "fuzz/fuzz.h"

#define COUNTERS "/sys/kernel/debug/gr/counters"
#define BATCH 25	/* rounds a line of TAP */
#define MAX_PLAYERS 3
#define PATIENCE_S 60	/* for processes to end; far more than a busy machine needs */

static int kmsg;
static int refs, objects;	/* before the first round */

/* prints what the kernel complained about since the last call; true: it did */
static bool complaints(void)
{
	static const char *const bad[] = { "BUG", "WARNING:", "Oops", "KASAN", "UBSAN", "ODEBUG",
					   "INFO: ", "refcount_t" };
	char line[8193];	/* the longest record there can be */
	bool any = false;
	ssize_t n;

	/* EPIPE: records were overwritten before we came; the next ones follow */
	while ((n = read(kmsg, line, sizeof(line) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		line[n > 0 ? n : 0] = 0;
		/* most are not gr's: the guest's judge tells them apart */
		if (strstr(line, "KCSAN"))
			continue;
		for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
			if (strstr(line, bad[i])) {
				printf("# kernel: %.200s\n", line);
				any = true;
				break;
			}
		}
	}
	return any;
}

/* live groups and threads of the module, or -1 */
static int live_objects(void)
{
	FILE *f = fopen(COUNTERS, "r");
	char name[64];
	int v, sum = 0;

	if (!f)
		return -1;
	while (fscanf(f, "%63s %d", name, &v) == 2)
		if (strstr(name, "_live"))
			sum += v;
	fclose(f);
	return sum;
}

static void print_file(const char *path)
{
	char line[256];
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		printf("#   %s", line);
	if (f)
		fclose(f);
}

/* where the threads of process group @pgrp are */
static void print_stacks(pid_t pgrp)
{
	char path[300], state;
	int pid, ppid, group;
	glob_t g = { 0 };

	glob("/proc/[0-9]*/task/*", 0, NULL, &g);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/stat", g.gl_pathv[i]);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fscanf(f, "%d (%*[^)]) %c %d %d", &pid, &state, &ppid, &group) == 4 &&
		    group == pgrp) {
			printf("# %s, %c:\n", g.gl_pathv[i], state);
			snprintf(path, sizeof(path), "%s/stack", g.gl_pathv[i]);
			print_file(path);
		}
		fclose(f);
	}
	globfree(&g);
}

/* a gentle player leaves by the front door; 2 and more: it could not play at all */
static bool good_end(int status)
{
	if (WIFEXITED(status) ? !WEXITSTATUS(status) : !game.gentle)
		return true;
	printf("# a player ended with status %#x\n", status);
	return false;
}

/* Children of players are ours, too, once they lost their parents. */
static bool all_end(pid_t pgrp, bool *good)
{
	for (int64_t until = now_ns() + PATIENCE_S * 1000000000LL; now_ns() < until;) {
		int status;
		pid_t pid = waitpid(-pgrp, &status, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return true;
		if (pid > 0 && !good_end(status))
			*good = false;
		if (pid)
			continue;
		/* a child that was being forked can miss the one that followed its SIGSTOP */
		kill(-pgrp, SIGCONT);
		sleep_us(1000);
	}
	printf("# processes that do not end:\n");
	print_stacks(pgrp);
	return false;
}

/* a child in process group *@pgrp, or in a new one */
static pid_t start(pid_t *pgrp, void (*what)(void))
{
	pid_t pid = fork();

	if (!pid) {
		setpgid(0, *pgrp);
		what();
	}
	if (pid < 0) {
		puts("Bail out! fork");
		exit(1);
	}
	setpgid(pid, *pgrp);
	*pgrp = *pgrp ? *pgrp : pid;
	return pid;
}

static void disturb(struct rnd *r, pid_t pgrp, const pid_t *players, int n)
{
	for (unsigned int i = below(r, 4); i; i--) {
		sleep_us(below(r, 30000));
		kill(-pgrp, SIGSTOP);
		sleep_us(below(r, 3000));
		kill(-pgrp, SIGCONT);
	}
	if (game.gentle)
		return;
	for (int i = 0; i < n; i++) {
		sleep_us(below(r, 50000));
		kill(players[i], SIGKILL);
	}
	kill(-pgrp, SIGKILL);
}

/* false: somebody cannot be killed, and nothing that follows would mean anything */
static bool play_round(bool *held)
{
	struct rnd r = seeded(game.seed, game.round, JUDGE, 0);
	int n = 1 + below(&r, MAX_PLAYERS), box[2];
	pid_t players[MAX_PLAYERS], watchers = 0, pgrp = 0;
	bool ended, killed;

	game.gentle = one_in(&r, 2);
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, box))
		return false;
	start(&watchers, watch);
	for (game.who = 0; game.who < n; game.who++) {
		game.mailbox = box[game.who & 1];
		players[game.who] = start(&pgrp, play);
	}
	disturb(&r, pgrp, players, n);
	ended = all_end(pgrp, held);
	*held = *held && ended;
	kill(watchers, SIGKILL);
	if (!ended)
		kill(-pgrp, SIGKILL);
	if ((!ended && !all_end(pgrp, &killed)) || waitpid(watchers, NULL, 0) != watchers)
		return false;
	close(box[0]);	/* with what nobody received */
	close(box[1]);
	return true;
}

static void announce(void)
{
	char line[80];
	int n = snprintf(line, sizeof(line), "<6>fuzz: seed %llu round %llu",
			 (unsigned long long)game.seed, (unsigned long long)game.round);

	(void)!write(kmsg, line, n);
}

static bool round_holds(void)
{
	bool ok = true;

	announce();
	if (!play_round(&ok)) {
		puts("# processes that cannot be killed");
		return false;
	}
	if (!wait_until(gr_refcount() == refs && live_objects() == objects)) {
		printf("# %d references, %d objects more than before\n", gr_refcount() - refs,
		       live_objects() - objects);
		ok = false;
	}
	return !complaints() && ok;
}

static void print_tally(void)
{
	static const char *const names[NR_CALLS] = { "SETUP", "ATTACH", "DETACH", "PARK", "UNPARK",
						     "YIELD", "MONITOR", "SHUTDOWN", "SWITCH" };

	for (int i = 0; i < NR_CALLS; i++)
		printf("# %s: %lu done, %lu refused\n", names[i], atomic_load(&game.tally->ok[i]),
		       atomic_load(&game.tally->refused[i]));
}

/* rounds from game.round on, a line of TAP */
static bool batch(unsigned int nr, uint64_t end)
{
	uint64_t from = game.round;
	bool ok = true;

	while (ok && game.round < end) {
		fflush(stdout);
		ok = round_holds();
		if (!ok)
			printf("# replay: fuzz --seed %llu --round %llu\n",
			       (unsigned long long)game.seed, (unsigned long long)game.round);
		game.round++;
	}
	printf("%sok %u rounds %llu to %llu\n", ok ? "" : "not ", nr, (unsigned long long)from,
	       (unsigned long long)game.round - 1);
	return ok;
}

static int run(uint64_t first, uint64_t end)
{
	unsigned int tests = (end - first + BATCH - 1) / BATCH, nr = 0;
	bool ok = true;

	printf("# seed %llu\n1..%u\n", (unsigned long long)game.seed, tests);
	for (game.round = first; game.round < end && ok;)
		ok = batch(++nr, game.round + BATCH < end ? game.round + BATCH : end);
	if (!ok && nr < tests)
		puts("Bail out! no use to go on");
	print_file(COUNTERS);
	print_tally();
	return !ok;
}

static int usage(void)
{
	fputs("usage: fuzz [--seed N] [--rounds N] [--round K]\n", stderr);
	return 1;
}

int main(int argc, char **argv)
{
	const char *rounds = getenv("GR_ROUNDS");
	uint64_t first = 0, end = rounds ? strtoull(rounds, NULL, 0) : 100;

	game.seed = 1;
	for (int i = 1; i < argc; i += 2) {
		uint64_t v = i + 1 < argc ? strtoull(argv[i + 1], NULL, 0) : 0;

		if (i + 1 == argc)
			return usage();
		if (!strcmp(argv[i], "--inherited"))
			return inherited(v);
		if (!strcmp(argv[i], "--seed"))
			game.seed = v;
		else if (!strcmp(argv[i], "--rounds"))
			end = v;
		else if (!strcmp(argv[i], "--round"))
			end = 1 + (first = v);
		else
			return usage();
	}
	refs = gr_refcount();
	objects = live_objects();
	kmsg = open("/dev/kmsg", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0 || lseek(kmsg, 0, SEEK_END) < 0 || refs < 0 || objects < 0) {
		puts("1..0 # SKIP needs root, a loaded gr.ko and debugfs");
		return 4;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	game.tally = mmap(NULL, sizeof(*game.tally), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return run(first, end);
}
