/* SPDX-License-Identifier: MIT */
/*
 * check.h - for tests of many small facts: CHECK() counts what is wrong and says where, and
 * check_part() makes one line of a part. check_run(body) runs them on 1, 2 and 4 Ps.
 */
#ifndef CHECK_H
#define CHECK_H

#include <sys/resource.h>
#include <sys/wait.h>

#include "mix.h"

static _Atomic int errors;

#define CHECK(cond)                                                             \
	do {                                                                    \
		if (!(cond)) {                                                  \
			fprintf(stderr, "# line %d: %s\n", __LINE__, #cond);    \
			atomic_fetch_add(&errors, 1);                           \
		}                                                               \
	} while (0)

/* in a goroutine, or outside */
__attribute__((unused)) static void check_part(const char *name, void (*part)(void))
{
	atomic_store(&errors, 0);
	part();
	tap_ok(!atomic_load(&errors), "%s: %s", mix.name ? mix.name : "outside", name);
}

__attribute__((unused)) static void check_run(void (*body)(void))
{
	tap_limit(LIMIT_S);
	mix.body = body;
	mix_run_in("go1", 1, false);
	mix_run_in("go2", 2, false);
	mix_run_in("go4", 4, false);
	mix.name = NULL;
}

/* in a process of its own, where it may spoil what it likes; before this one has a runtime */
__attribute__((unused)) static void check_in_child(const char *name, void (*part)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		tap_limit(LIMIT_S);
		mix.body = part;
		mix_run_in("child", 2, false);
		_exit(!!atomic_load(&errors));
	}
	tap_ok(pid > 0 && waitpid(pid, &status, 0) == pid && !status, "%s", name);
}

/* no new descriptors, or as many as there may be */
__attribute__((unused)) static void check_few_fds(bool few)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = few ? 3 : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

#endif /* CHECK_H */
