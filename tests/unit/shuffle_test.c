// SPDX-License-Identifier: MIT
/*
 * shuffle_test.c - GR_DEBUG=shuffle: the tests of waiting pass in any order of goroutines.
 *
 * Runs the test programs that stand beside it, each with some seeds; and what GR_DEBUG says about
 * its words. That the order really changes is checked by itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

#define N 64

static int order[N], ran;
static struct gr_wg wg;

static void note(void *arg)
{
	order[ran++] = (int)(long)arg;
	gr_wg_done(&wg);
}

static int go_all(void *unused)
{
	(void)unused;
	ran = 0;
	gr_wg_add(&wg, N);
	for (long i = 0; i < N; i++)
		gr_go(note, (void *)i);
	return gr_wg_wait(&wg, GR_FOREVER);
}

/* the order in which N goroutines run on one P, into out */
static int run_with(const char *debug, int *out)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 1 };
	int ret;

	if (debug)
		setenv("GR_DEBUG", debug, 1);
	else
		unsetenv("GR_DEBUG");
	ret = gr_run(go_all, NULL, &opts);
	unsetenv("GR_DEBUG");
	memcpy(out, order, sizeof(order));
	return ret;
}

static void test_order(void)
{
	int plain[N], one[N], again[N], two[N];

	tap_ok(!run_with(NULL, plain) && !run_with("shuffle,seed=1", one) &&
		       !run_with("seed=1,shuffle", again) && !run_with("shuffle,seed=2", two),
	       "runtimes with and without shuffling");
	tap_ok(memcmp(plain, one, sizeof(one)) && memcmp(one, two, sizeof(one)),
	       "a seed changes the order, another seed another way");
	tap_ok(!memcmp(one, again, sizeof(one)), "with one P the same seed gives the same order");
}

static void test_words(void)
{
	static const char *const bad[] = { "shuf", "shuffle,", "seed=", "seed=x", "seed=-1",
					   "shuffle,seed=99999999999", "seed" };
	int out[N];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int want = !strcmp(bad[i], "shuffle,") ? 0 : -EINVAL; /* an empty word is none */

		tap_ok(run_with(bad[i], out) == want, "GR_DEBUG=%s: %d", bad[i], want);
	}
	setenv("GR_TRACE", "sched=0", 1);
	tap_ok(run_with(NULL, out) == -EINVAL, "GR_TRACE=sched=0: EINVAL");
	setenv("GR_TRACE", "what", 1);
	tap_ok(run_with(NULL, out) == -EINVAL, "GR_TRACE=what: EINVAL");
	unsetenv("GR_TRACE");
}

/* the program NAME beside this one, with a seed; its exit code */
static int run_program(const char *dir, const char *name, int seed)
{
	char path[4096], env[64];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(env, sizeof(env), "shuffle,seed=%d", seed);
	if (access(path, X_OK))
		return -1;
	pid = fork();
	if (!pid) {
		setenv("GR_DEBUG", env, 1);
		if (!freopen("/dev/null", "w", stdout))
			_exit(9);
		execl(path, path, (char *)NULL);
		_exit(9);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 9;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_seeds(const char *dir, const char *name, int seeds)
{
	for (int seed = 1; seed <= seeds; seed++) {
		int ret = run_program(dir, name, seed);

		tap_ok(ret == 0 || ret == 4, "%s shuffled with seed %d: %d", name, seed, ret);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int seeds;
	} programs[] = { { "chan_test", 3 }, { "chan_stress_test", 1 }, { "mutex_test", 1 },
			 { "wait_test", 1 }, { "select_test", 2 }, { "rwmutex_test", 1 },
			 { "cond_test", 1 }, { "sem_test", 1 },
			 { "scope_test", 1 }, { "pin_test", 3 } };
	char *slash = argc ? strrchr(argv[0], '/') : NULL;

	tap_limit(280);
	test_order();
	test_words();
	if (slash)
		*slash = 0;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		run_seeds(slash ? argv[0] : ".", programs[i].name, programs[i].seeds);
	return tap_done();
}
