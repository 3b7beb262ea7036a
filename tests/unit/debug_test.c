// SPDX-License-Identifier: MIT
/*
 * debug_test.c - misuse: an error code in an ordinary build, a named abort with DEBUG=1.
 *
 * Each misuse is made in a child process, whose stderr the parent reads. `make test` runs both
 * builds of this program.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

static struct gr_mutex mu = GR_MUTEX_INIT;
static struct gr_rwmutex rw = GR_RWMUTEX_INIT;
static struct gr_cond cond = GR_COND_INIT;
static struct gr_wg wg = GR_WG_INIT;

static int unlock_free(void)
{
	return gr_mutex_unlock(&mu);
}

static int unlock_twice(void)
{
	gr_mutex_lock(&mu, GR_FOREVER);
	gr_mutex_unlock(&mu);
	return gr_mutex_unlock(&mu);
}

static void *unlock_in_thread(void *ret)
{
	*(int *)ret = gr_mutex_unlock(&mu);
	return NULL;
}

static int unlock_other_thread(void)
{
	pthread_t t;
	int ret = 1;

	gr_mutex_lock(&mu, GR_FOREVER);
	pthread_create(&t, NULL, unlock_in_thread, &ret);
	pthread_join(t, NULL);
	return ret;
}

static int unlock_in_task(void *arg)
{
	(void)arg;
	return gr_mutex_unlock(&mu);
}

static int lock_and_start(void *arg)
{
	struct gr_task *t;
	int ret = 1;

	(void)arg;
	gr_mutex_lock(&mu, GR_FOREVER);
	if (gr_task_new(&t, unlock_in_task, NULL, NULL))
		return 1;
	gr_task_join(t, &ret, GR_FOREVER);
	return ret;
}

static int unlock_other_goroutine(void)
{
	return gr_run(lock_and_start, NULL, NULL);
}

static int lock_again(void)
{
	gr_mutex_lock(&mu, GR_FOREVER);
#ifdef GR_DEBUG
	return gr_mutex_lock(&mu, GR_FOREVER);
#else
	return gr_mutex_lock(&mu, gr_after(GR_MS));
#endif
}

static int wait_unlocked(void)
{
	return gr_cond_wait(&cond, &mu, GR_FOREVER);
}

static int wg_below_zero(void)
{
	gr_wg_add(&wg, 1);
	gr_wg_done(&wg);
	return gr_wg_done(&wg);
}

static int wg_overflow(void)
{
	gr_wg_add(&wg, INT64_MAX);
	return gr_wg_add(&wg, 1);
}

static int runlock_free(void)
{
	return gr_rwmutex_runlock(&rw);
}

static int wunlock_free(void)
{
	return gr_rwmutex_unlock(&rw);
}

static int runlock_of_writer(void)
{
	gr_rwmutex_lock(&rw, GR_FOREVER);
	return gr_rwmutex_runlock(&rw);
}

static int unlock_of_reader(void)
{
	gr_rwmutex_rlock(&rw, GR_FOREVER);
	return gr_rwmutex_unlock(&rw);
}

/* right use, which neither build may object to */
static int right(void *arg)
{
	(void)arg;
	gr_mutex_lock(&mu, GR_FOREVER);
	gr_cond_wait(&cond, &mu, gr_after(GR_MS));
	gr_mutex_unlock(&mu);
	gr_mutex_lock(&mu, GR_NOW);
	if (gr_mutex_lock(&mu, GR_NOW) != -EAGAIN || gr_mutex_lock(&mu, 1) != -ETIMEDOUT)
		return 1;
	return gr_mutex_unlock(&mu);
}

static int right_in_both(void)
{
	return right(NULL) || gr_run(right, NULL, NULL);
}

static const struct misuse {
	const char *name;
	int (*fn)(void);
	int ret;	  /* of an ordinary build */
	const char *says; /* on stderr, of a debug build; NULL: no misuse */
} all[] = {
	{ "right use", right_in_both, 0, NULL },
	{ "unlock a free mutex", unlock_free, -EPERM, "gr: gr_mutex_unlock: the mutex is not locked" },
	{ "unlock it twice", unlock_twice, -EPERM, "gr: gr_mutex_unlock: the mutex is not locked" },
	{ "unlock another thread's", unlock_other_thread, 0,
	  "gr: gr_mutex_unlock: the mutex was locked by another" },
	{ "unlock another goroutine's", unlock_other_goroutine, 0,
	  "gr: gr_mutex_unlock: the mutex was locked by another" },
	{ "lock it again", lock_again, -ETIMEDOUT, "gr: gr_mutex_lock: the caller has it already" },
	{ "wait without the mutex", wait_unlocked, -EPERM, "gr: gr_cond_wait: the mutex is not locked" },
	{ "wg below zero", wg_below_zero, -EINVAL, "gr: gr_wg_add: below zero" },
	{ "wg overflow", wg_overflow, -EINVAL, "gr: gr_wg_add: the count overflows" },
	{ "runlock a free one", runlock_free, -EPERM, "gr: gr_rwmutex_runlock: it is not read-locked" },
	{ "unlock a free one", wunlock_free, -EPERM, "gr: gr_rwmutex_unlock: it is not locked" },
	{ "runlock a writer's", runlock_of_writer, -EPERM,
	  "gr: gr_rwmutex_runlock: it is not read-locked" },
	{ "unlock a reader's", unlock_of_reader, -EPERM, "gr: gr_rwmutex_unlock: it is not locked" },
};

#ifdef GR_DEBUG
static const int debug = 1;
#else
static const int debug;
#endif

/* what the child wrote, and how it ended */
static int run_child(const struct misuse *m, char *text, size_t size)
{
	int fd[2], status = -1;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	if (pipe(fd) || (pid = fork()) < 0)
		return -1;
	if (!pid) {
		tap_limit(60);
		dup2(fd[1], 2);
		close(fd[0]);
		_exit(m->fn() == m->ret ? 0 : 1);
	}
	close(fd[1]);
	while (len < size - 1 && (n = read(fd[0], text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd[0]);
	waitpid(pid, &status, 0);
	return status;
}

int main(void)
{
	char text[1024];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct misuse *m = &all[i];
		int status = run_child(m, text, sizeof(text));

		if (debug && m->says)
			tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
			       strstr(text, m->says), "debug build: %s: %s", m->name, m->says);
		else
			tap_ok(WIFEXITED(status) && !WEXITSTATUS(status), "%s: result %d", m->name,
			       m->ret);
	}
	return tap_done();
}
