// SPDX-License-Identifier: MIT
/* lock_test.c - struct lock: exclusion under contention, try, and misuse that must not pass. */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "gr_int.h"
#include "mix.h"

#define WORKERS 4
#define ROUNDS 20000

static struct lock lock;
static long plain; /* protected by lock */

/* now and then the holder sleeps, so that all others sleep on the lock, and must all be woken */
static void count_up(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		rt_enter();
		if (i % 3 || !lock_try(&lock))
			lock_acquire(&lock);
		plain++;
		if (i % 512 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
		lock_release(&lock);
		rt_exit();
	}
}

static void body(void)
{
	plain = 0;
	for (int i = 0; i < WORKERS; i++)
		mix_go(count_up, NULL);
	mix_join();
	tap_ok(plain == (long)WORKERS * ROUNDS, "%s: no increment is lost (%ld)", mix.name, plain);
	tap_ok(atomic_load(&lock.word) == 0, "%s: free in the end", mix.name);
}

static void states(void)
{
	struct lock l = { 0 };

	tap_ok(lock_try(&l), "try takes a free lock");
	tap_ok(!lock_try(&l), "try refuses a held lock");
	lock_release(&l);
	lock_acquire(&l);
	tap_ok(atomic_load(&l.word) == 1, "uncontended: nobody to wake");
	lock_release(&l);
	tap_ok(atomic_load(&l.word) == 0, "free again");
}

/* releasing a free lock is a broken invariant: it must abort, not go on */
static void release_of_free_aborts(void)
{
	struct lock l = { 0 };
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		lock_release(&l);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "release of a free lock aborts");
}

int main(void)
{
	states();
	release_of_free_aborts();
	mix_run(body);
	return tap_done();
}
