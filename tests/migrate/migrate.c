// SPDX-License-Identifier: MIT
/*
 * migrate.c - what a compiler may and may not keep when a goroutine changes threads.
 *
 * The whole of libgr and this program are one link-time optimised unit (-O3 -flto -fPIC), built with each
 * compiler, and GR_DEBUG=migrate moves the goroutine to another thread at every call. Then: a
 * thread-local variable behind a function that is not inlined is the new thread's; malloc() and
 * free() meet on different threads; libgr knows itself where it is (gr_id(), locks, scopes);
 * and errno of no thread is changed by any call.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

#define NOINLINE __attribute__((noinline))
#define ROUNDS 100

/* ---- this thread's variables; the address is taken anew in each call ---- */

static __thread long own_tid;
static __thread int own_errno;

static NOINLINE long *tid_here(void)
{
	long *p = &own_tid;

	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static NOINLINE int *errno_here(void)
{
	int *p = &errno;

	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static NOINLINE int *kept_errno_here(void)
{
	int *p = &own_errno;

	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static long thread_number(void)
{
	return syscall(SYS_gettid);
}

static struct {
	long calls, moved, wrong_tls, wrong_errno, wrong_id;
	const char *who; /* the first call that changed errno */
	int was, is;
} seen;

static uint64_t my_id;
static long last_thread;

/* after each call */
static NOINLINE void look(const char *call)
{
	long tid = thread_number();

	seen.calls++;
	seen.moved += tid != last_thread;
	last_thread = tid;
	if (!*tid_here()) { /* first time on this thread */
		*tid_here() = tid;
		*kept_errno_here() = *errno_here() = 1000 + (int)(tid % 1000);
	}
	seen.wrong_tls += *tid_here() != tid;
	if (*errno_here() != *kept_errno_here()) {
		if (!seen.wrong_errno++) {
			seen.who = call;
			seen.was = *kept_errno_here();
			seen.is = *errno_here();
		}
		*errno_here() = *kept_errno_here();
	}
	seen.wrong_id += gr_id() != my_id;
}

#define CALL(x)                                             \
	do {                                                \
		void *mem = malloc(48 + seen.calls % 512);  \
		long ret = (long)(x);                       \
		look(#x);                                   \
		free(mem);                                  \
		look("free");                               \
		if (ret < 0)                                \
			bad(#x, ret);                       \
	} while (0)

static int failed;

static void bad(const char *what, long ret)
{
	if (!failed++)
		printf("# %s: %ld\n", what, ret);
}

static int child(void *unused)
{
	(void)unused;
	gr_yield();
	return 0;
}

static void all_calls(void)
{
	static struct gr_mutex mutex = GR_MUTEX_INIT;
	static struct gr_chan *c;
	static struct gr_timer *timer;
	static unsigned int key;
	struct gr_scope scope;
	struct gr_task *task = NULL;
	struct gr_wg wg = GR_WG_INIT;
	int64_t value = 1;
	int result = 0;

	if (!c) {
		CALL(gr_chan_new(&c, sizeof(int64_t), 1));
		CALL(gr_key_new(&key, NULL));
		CALL(gr_timer_new(&timer));
	}
	CALL(gr_yield());
	CALL(gr_mutex_lock(&mutex, GR_FOREVER));
	CALL(gr_mutex_unlock(&mutex));
	CALL(gr_chan_send(c, &value, GR_FOREVER));
	CALL(gr_chan_recv(c, &value, GR_FOREVER));
	CALL(gr_local_set(key, &value));
	CALL(gr_local_get(key) == &value ? 0 : -1);
	CALL(gr_timer_set(timer, gr_after(20 * GR_US), 0));
	CALL(gr_timer_wait(timer, GR_FOREVER));
	CALL(gr_task_new(&task, child, NULL, NULL));
	CALL(gr_task_join(task, &result, GR_FOREVER));
	gr_task_release(task);
	look("release");
	CALL(gr_scope_init(&scope, 0));
	CALL(gr_scope_go(&scope, child, NULL));
	CALL(gr_scope_wait(&scope, GR_FOREVER));
	CALL(gr_wg_add(&wg, 1));
	CALL(gr_wg_done(&wg));
	CALL(gr_wg_wait(&wg, GR_FOREVER));
}

static void slow_calls(void)
{
	static int tube[2];
	struct gr_case cases[] = { GR_AT(gr_after(50 * GR_US)), GR_NEVER };
	char b = 'x';

	if (!tube[1] && pipe(tube))
		exit(1);
	CALL(gr_sleep(gr_after(100 * GR_US)));
	CALL(gr_select(cases, 2, GR_FOREVER));
	CALL(gr_write(tube[1], &b, 1, GR_FOREVER));
	CALL(gr_read(tube[0], &b, 1, GR_FOREVER));
}

static int migrate_main(void *unused)
{
	(void)unused;
	my_id = gr_id();
	last_thread = thread_number();
	look("start");
	for (int i = 0; i < ROUNDS; i++) {
		all_calls();
		if (i % 4 == 0)
			slow_calls();
	}
	return 0;
}

int main(void)
{
	struct gr_opts two = { .size = sizeof(two), .nr_procs = 2 };

	alarm(100);
	setenv("GR_DEBUG", "migrate", 1);
	tap_ok(gr_run(migrate_main, NULL, &two) == 0 && !failed, "all calls succeed");
	/* a thread may be slow to come; that most calls move is what the rest needs */
	tap_ok(seen.moved > ROUNDS * 3, "%ld calls, %ld changes of thread", seen.calls, seen.moved);
	tap_ok(!seen.wrong_tls, "thread-local variables are the thread's");
	tap_ok(!seen.wrong_id, "libgr knows which goroutine it is called by");
	tap_ok(!seen.wrong_errno, "errno of no thread was changed");
	if (seen.wrong_errno)
		printf("# %ld times, first by %s: %d, was %d\n", seen.wrong_errno, seen.who, seen.is,
		       seen.was);
	return tap_done();
}
