// SPDX-License-Identifier: MIT
/*
 * scope_test.c - scopes: all end together, the first failure cancels, whoever opened one takes
 * its goroutines along when he is cancelled, and nobody touches a scope that was left.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "mix.h"

static atomic_int ended, cancelled, other;

static void count(int ret)
{
	if (ret == -ECANCELED)
		cancelled++;
	else
		other++;
}

static void zero(void)
{
	ended = cancelled = other = 0;
}

static int quick(void *arg)
{
	ended++;
	return (int)(intptr_t)arg;
}

static int for_ever(void *arg)
{
	int ret = gr_sleep(GR_FOREVER);

	(void)arg;
	count(ret);
	ended++;
	return ret;
}

static int yields(void *arg)
{
	for (int i = 0; i < (int)(intptr_t)arg; i++)
		gr_yield();
	ended++;
	return 0;
}

/* fails after the others have had time to fall asleep, or not */
static int fails_late(void *arg)
{
	for (int i = 0; i < 20; i++)
		gr_yield();
	return (int)(intptr_t)arg;
}

/* what they counted they did before they ended */
static int goroutines(void)
{
	struct gr_info info = { .size = sizeof(info) };

	return gr_info(&info) ? 0 : info.nr_goroutines;
}

static void joins(void)
{
	int before = goroutines();
	struct gr_scope s;

	zero();
	tap_ok(!gr_scope_init(&s, 0) && !gr_scope_wait(&s, GR_FOREVER), "%s: an empty scope", mix.name);
	gr_scope_init(&s, 0);
	for (int i = 0; i < 100; i++)
		gr_scope_go(&s, yields, (void *)(intptr_t)(i % 10));
	tap_ok(!gr_scope_wait(&s, GR_FOREVER) && ended == 100, "%s: waits for all", mix.name);
	gr_scope_init(&s, 0);
	for (int i = 0; i < 10; i++)
		gr_scope_go(&s, quick, NULL);
	while (ended < 110 || goroutines() > before)
		gr_sleep(gr_after(100 * GR_US));
	tap_ok(!gr_scope_wait(&s, GR_NOW), "%s: GR_NOW, all have ended", mix.name);
}

static void first_failure(void)
{
	struct gr_scope s;

	zero();
	gr_scope_init(&s, 0);
	for (int i = 0; i < 10; i++)
		gr_scope_go(&s, for_ever, NULL);
	gr_scope_go(&s, fails_late, (void *)(intptr_t)-EIO);
	tap_ok(gr_scope_wait(&s, GR_FOREVER) == -EIO, "%s: the first failure is the result", mix.name);
	tap_ok(cancelled == 10 && ended == 10, "%s: and cancelled the others", mix.name);

	zero();
	gr_scope_init(&s, 0);
	gr_scope_go(&s, for_ever, NULL);
	gr_scope_go(&s, quick, (void *)(intptr_t)7);
	tap_ok(gr_scope_wait(&s, GR_FOREVER) == 7, "%s: any result but 0 is a failure", mix.name);

	zero();
	gr_scope_init(&s, 0);
	gr_scope_go(&s, quick, (void *)(intptr_t)-ECANCELED);
	tap_ok(gr_scope_wait(&s, GR_FOREVER) == -ECANCELED,
	       "%s: so is -ECANCELED when nothing was cancelled", mix.name);
}

static void all(void)
{
	struct gr_scope s;

	zero();
	gr_scope_init(&s, GR_SCOPE_ALL);
	gr_scope_go(&s, quick, (void *)(intptr_t)-EIO);
	for (int i = 0; i < 10; i++)
		gr_scope_go(&s, yields, (void *)100);
	tap_ok(gr_scope_wait(&s, GR_FOREVER) == -EIO && ended == 11 && !cancelled,
	       "%s: GR_SCOPE_ALL: a failure is kept and cancels nobody", mix.name);
}

static void deadlines(void)
{
	struct gr_scope s;

	zero();
	gr_scope_init(&s, 0);
	gr_scope_go(&s, for_ever, NULL);
	tap_ok(gr_scope_wait(&s, gr_after(GR_MS)) == -ETIMEDOUT && cancelled == 1,
	       "%s: the deadline cancels", mix.name);
	gr_scope_init(&s, 0);
	gr_scope_go(&s, for_ever, NULL);
	tap_ok(gr_scope_wait(&s, gr_after(-GR_SEC)) == -ETIMEDOUT && cancelled == 2,
	       "%s: one in the past too", mix.name);
	gr_scope_init(&s, 0);
	gr_scope_go(&s, for_ever, NULL);
	tap_ok(gr_scope_wait(&s, GR_NOW) == -EAGAIN && cancelled == 3, "%s: GR_NOW too", mix.name);
	gr_scope_init(&s, 0);
	gr_scope_go(&s, for_ever, NULL);
	gr_scope_cancel(&s);
	gr_scope_go(&s, for_ever, NULL);
	tap_ok(gr_scope_wait(&s, GR_FOREVER) == 0 && cancelled == 5,
	       "%s: cancelled by hand: not a failure; later ones start cancelled", mix.name);
}

/* ---- nested ---- */

#define DEPTH 5000

static const struct gr_attr small = { .size = sizeof(small), .stack_size = 16384 };
static atomic_int depth;

/* one goroutine in a scope of one goroutine in a scope ... */
static int nest(void *arg)
{
	int left = (int)(intptr_t)arg, ret;
	struct gr_scope s;

	if (!left) {
		depth = 1;
		return for_ever(NULL);
	}
	gr_scope_init(&s, 0);
	ret = gr_scope_go_with(&s, nest, (void *)(intptr_t)(left - 1), &small);
	if (ret)
		gr_scope_cancel(&s);
	count(gr_scope_wait(&s, GR_FOREVER));
	ended++;
	return -ECANCELED;
}

static void nested(void)
{
	struct gr_scope s;
	int n = mix.nr_procs ? DEPTH : 100;

	zero();
	depth = 0;
	gr_scope_init(&s, 0);
	gr_scope_go_with(&s, nest, (void *)(intptr_t)n, &small);
	while (!depth)
		gr_sleep(gr_after(100 * GR_US));
	gr_scope_cancel(&s);
	tap_ok(!gr_scope_wait(&s, GR_FOREVER), "%s: %d scopes, one in the other", mix.name, n);
	tap_ok(ended == n + 1 && cancelled == n + 1 && !other, "%s: all were cancelled", mix.name);
}

/* the owner works on while its children are cancelled for its sake, and end */
static int busy_owner(void *arg)
{
	struct gr_scope s;
	int ret;

	gr_scope_init(&s, 0);
	gr_scope_go(&s, for_ever, NULL);
	atomic_store((atomic_int *)arg, 1);
	while (!ended)
		gr_yield();
	ret = gr_scope_wait(&s, GR_FOREVER);
	count(ret);
	gr_scope_init(&s, 0);
	gr_scope_go(&s, for_ever, NULL);
	while (ended < 2)
		gr_yield();
	count(gr_scope_wait(&s, GR_FOREVER));
	return ret;
}

static void owner_cancelled(void)
{
	atomic_int started = 0;
	struct gr_scope s;

	zero();
	gr_scope_init(&s, 0);
	gr_scope_go(&s, busy_owner, &started);
	while (!started)
		gr_sleep(gr_after(100 * GR_US));
	gr_scope_cancel(&s);
	gr_scope_wait(&s, GR_FOREVER);
	tap_ok(cancelled == 4, "%s: whoever is cancelled hears it from its scope, ended or not",
	       mix.name);
}

/* several scopes at once, left in another order than they were opened */
static int crosswise(void *arg)
{
	struct gr_scope a, b, c;

	gr_scope_init(&a, 0);
	gr_scope_init(&b, 0);
	gr_scope_init(&c, 0);
	gr_scope_go(&a, for_ever, NULL);
	gr_scope_go(&b, for_ever, NULL);
	gr_scope_go(&c, for_ever, NULL);
	if (arg) {
		gr_scope_cancel(&b);
		if (gr_scope_wait(&b, GR_FOREVER))
			other++;
		atomic_store((atomic_int *)arg, 1);
		count(gr_scope_wait(&a, GR_FOREVER));
	} else {
		gr_scope_cancel(&a);
		if (gr_scope_wait(&a, GR_FOREVER))
			other++;
		gr_scope_cancel(&b);
		if (gr_scope_wait(&b, GR_FOREVER))
			other++;
		gr_scope_cancel(&c);
	}
	return gr_scope_wait(&c, GR_FOREVER);
}

static void several(void)
{
	atomic_int there = 0;
	struct gr_scope s;

	zero();
	tap_ok(!crosswise(NULL) && cancelled == 3 && !other, "%s: three scopes, outermost first",
	       mix.name);
	zero();
	gr_scope_init(&s, 0);
	gr_scope_go(&s, crosswise, &there);
	while (!there)
		gr_sleep(gr_after(100 * GR_US));
	gr_scope_cancel(&s);
	gr_scope_wait(&s, GR_FOREVER);
	tap_ok(cancelled == 4 && !other, "%s: two of three are left when the owner is cancelled",
	       mix.name);
}

/* ---- cancel meets everything else ---- */

static int short_life(void *arg)
{
	struct gr_scope s;
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 2654435761u;

	gr_scope_init(&s, 0);
	for (int i = 0; i < 3; i++)
		gr_scope_go(&s, rnd >> i & 1 ? for_ever : yields, (void *)(uintptr_t)(rnd >> 28));
	if (rnd >> 8 & 1)
		gr_yield();
	if (rnd >> 9 & 1)
		gr_scope_cancel(&s);
	return gr_scope_wait(&s, rnd >> 10 & 1 ? GR_FOREVER : gr_after((rnd >> 16) % 200 * GR_US));
}

static void storm(void)
{
	unsigned char ee[sizeof(struct gr_scope)];
	struct gr_scope s;
	int touched = 0;

	memset(ee, 0xee, sizeof(ee));
	zero();
	for (int i = 0; i < 400; i++) {
		gr_scope_init(&s, GR_SCOPE_ALL);
		for (int k = 0; k < 8; k++)
			gr_scope_go(&s, short_life, (void *)(intptr_t)(i * 8 + k + 1));
		if (i % 3)
			gr_sleep(gr_after(i % 50 * GR_US));
		gr_scope_wait(&s, gr_after(i % 100 * GR_US));
		memset(&s, 0xee, sizeof(s));
		gr_yield();
		touched += memcmp(&s, ee, sizeof(ee)) != 0;
	}
	tap_ok(!other && ended == 400 * 8 * 3, "%s: %d ended, %d of them cancelled", mix.name,
	       ended, cancelled);
	tap_ok(!touched, "%s: nobody writes to a scope that was left", mix.name);
}

/* ---- who may ---- */

static int not_mine(void *arg)
{
	return gr_scope_wait(arg, GR_FOREVER);
}

static void misuse(void)
{
	struct gr_scope s, never;

	memset(&never, 0, sizeof(never));
	tap_ok(gr_scope_wait(&never, GR_FOREVER) == -EINVAL && gr_scope_cancel(&never) == -EINVAL &&
	       gr_scope_go(&never, quick, NULL) == -EINVAL, "%s: never opened", mix.name);
	gr_scope_init(&s, 0);
	gr_scope_go(&s, not_mine, &s);
	tap_ok(gr_scope_wait(&s, GR_FOREVER) == -EPERM, "%s: wait is for its owner", mix.name);
	tap_ok(gr_scope_wait(&s, GR_FOREVER) == -EINVAL && gr_scope_cancel(&s) == -EINVAL &&
	       gr_scope_go(&s, quick, NULL) == -EINVAL, "%s: left already", mix.name);
}

/* children that start children, from plain threads too */
static struct gr_scope *shared;
static atomic_int adders;

static int grow(void *arg)
{
	int n = (int)(intptr_t)arg;

	ended++;
	for (int i = 0; i < n; i++)
		if (gr_scope_go(shared, grow, (void *)(intptr_t)(n - 1)))
			other++;
	return 0;
}

static void adder(void *arg)
{
	(void)arg;
	for (int i = 0; i < 50; i++)
		if (gr_scope_go(shared, quick, NULL))
			other++;
	adders--;
}

static void growing(void)
{
	struct gr_scope s;

	zero();
	shared = &s;
	adders = 3;
	gr_scope_init(&s, 0);
	gr_scope_go(&s, grow, (void *)5);
	for (int i = 0; i < 3; i++)
		mix_go(adder, NULL);
	while (adders)
		gr_sleep(gr_after(100 * GR_US));
	/* 1 + 5 * (1 + 4 * (1 + 3 * (1 + 2 * (1 + 1)))) */
	tap_ok(!gr_scope_wait(&s, GR_FOREVER) && ended == 326 + 150 && !other,
	       "%s: goroutines and threads add to a scope", mix.name);
	mix_join();
}

static void body(void)
{
	joins();
	first_failure();
	all();
	deadlines();
	nested();
	owner_cancelled();
	several();
	storm();
	misuse();
	growing();
}

/* The scope belongs to a plain thread; a runtime runs beside. */
static atomic_int thread_done;

static void *thread_main(void *unused)
{
	(void)unused;
	body();
	thread_done = 1;
	return NULL;
}

static int beside(void *arg)
{
	pthread_t t;

	(void)arg;
	pthread_create(&t, NULL, thread_main, NULL);
	while (!thread_done)
		gr_sleep(gr_after(GR_MS));
	pthread_join(t, NULL);
	return 0;
}

/* ---- a scope that is never left ---- */

static int forgets(void *arg)
{
	struct gr_scope s;

	(void)arg;
	gr_scope_init(&s, 0);
	gr_scope_go(&s, for_ever, NULL);
	return 0;
}

static int runs_forgets(void *arg)
{
	struct gr_task *t;

	(void)arg;
	if (gr_task_new(&t, forgets, NULL, NULL))
		return 77;
	return gr_task_join(t, NULL, GR_FOREVER);
}

/* in a process of its own: it has to abort, and to say why */
static void never_left(void)
{
	struct rlimit no_core = { 0, 0 };
	char said[200] = "";
	int status, fds[2];
	pid_t pid;

	if (pipe(fds))
		mix_fatal("pipe", ENFILE);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		dup2(fds[1], 2);
		_exit(gr_run(runs_forgets, NULL, NULL) == -ENOSYS ? 4 : 0);
	}
	close(fds[1]);
	for (ssize_t n, at = 0; (n = read(fds[0], said + at, sizeof(said) - 1 - at)) > 0; at += n)
		;
	close(fds[0]);
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		tap_skip("never left", "no io_uring here");
	else
		tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
		       strstr(said, "gr_scope_wait()"), "a scope that is never left: abort, and why");
}

int main(void)
{
	struct gr_scope s;

	tap_limit(LIMIT_S);
	mix.name = "alone";
	never_left();
	tap_ok(!gr_scope_init(&s, 0) && gr_scope_go(&s, quick, NULL) == -ENXIO &&
	       !gr_scope_wait(&s, GR_FOREVER), "without a runtime: -ENXIO");
	for (int n = 1; n <= 4; n *= 2) {
		mix.body = body;
		mix_run_in(n == 1 ? "go1" : n == 2 ? "go2" : "go4", n, false);
	}
	mix.name = "thread";
	mix.nr_procs = 2;
	tap_ok(!gr_run(beside, NULL, NULL), "a plain thread's scopes");
	return tap_done();
}
