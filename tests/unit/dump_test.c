// SPDX-License-Identifier: MIT
/*
 * dump_test.c - gr_dump() lists every goroutine with name, state and backtrace, whoever calls it,
 * SIGQUIT among them; and survives goroutines that run, start and end meanwhile.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

static struct gr_chan *empty, *full;
static struct gr_mutex mutex = GR_MUTEX_INIT;
static struct gr_wg never, up;
static int tube[2];
static _Atomic bool stop;

/* ---- reading a dump ---- */

static char text[1 << 20];

static void take(int fd)
{
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
}

/* gr_dump() into text */
static int dump(void)
{
	int fd = memfd_create("dump", MFD_CLOEXEC), ret = gr_dump(fd);

	take(fd);
	close(fd);
	return ret;
}

/* the block of goroutine name, up to the empty line; NULL */
static const char *block(const char *name)
{
	static char buf[8192];
	char head[64];
	const char *at, *line, *end;

	snprintf(head, sizeof(head), "(%s) [", name);
	at = strstr(text, head);
	if (!at)
		return NULL;
	for (line = at; line > text && line[-1] != '\n'; line--)
		;
	end = strstr(line, "\n\n");
	snprintf(buf, sizeof(buf), "%.*s", end ? (int)(end - line) : 0, line);
	return buf;
}

/* a frame of block b lies in the first bytes of fn */
static bool has_frame(const char *b, void *fn, unsigned long bytes)
{
	const char *name, *at;
	Dl_info info;

	if (!b || !dladdr(fn, &info))
		return false;
	name = strrchr(info.dli_fname, '/');
	name = name ? name + 1 : info.dli_fname;
	for (at = b; (at = strstr(at, name)); at++) {
		unsigned long off = strtoul(at + strlen(name) + 1, NULL, 16);
		unsigned long pc = (unsigned long)info.dli_fbase + off;

		if (pc > (unsigned long)fn && pc < (unsigned long)fn + bytes)
			return true;
	}
	return false;
}

/* ---- a goroutine for each state ---- */

static __attribute__((noinline)) void wait_recv(void)
{
	gr_chan_recv(empty, NULL, GR_FOREVER);
	gr_wg_done(&up);
}

/* after a call that must not become a jump */
#define KEEP_FRAME() __asm__ volatile("")

static void in_recv(void *unused)
{
	(void)unused;
	gr_set_name("receiver");
	wait_recv();
	KEEP_FRAME();
}

static void in_send(void *unused)
{
	(void)unused;
	gr_set_name("sender");
	gr_chan_send(full, NULL, GR_FOREVER);
	gr_wg_done(&up);
}

static void in_mutex(void *unused)
{
	(void)unused;
	gr_set_name("locker");
	gr_mutex_lock(&mutex, GR_FOREVER);
	gr_mutex_unlock(&mutex);
	gr_wg_done(&up);
}

static void in_sleep(void *unused)
{
	(void)unused;
	gr_set_name("sleeper");
	while (!atomic_load(&stop))
		gr_sleep(gr_after(600 * GR_SEC));
	gr_wg_done(&up);
}

static void in_wg(void *unused)
{
	(void)unused;
	gr_set_name("counter");
	gr_wg_wait(&never, GR_FOREVER);
	gr_wg_done(&up);
}

static void in_read(void *unused)
{
	char c;

	(void)unused;
	gr_set_name("reader");
	gr_read(tube[0], &c, 1, GR_FOREVER);
	gr_wg_done(&up);
}

static void in_syscall(void *unused)
{
	struct pollfd none = { .fd = tube[0], .events = 0 };

	(void)unused;
	gr_set_name("blocker");
	while (!atomic_load(&stop))
		poll(&none, 1, 20);
	gr_wg_done(&up);
}

static void in_loop(void *unused)
{
	(void)unused;
	gr_set_name("burner");
	while (!atomic_load(&stop))
		;
	gr_wg_done(&up);
}

static const struct state {
	void (*fn)(void *);
	const char *name, *says;
} states[] = {
	{ in_recv, "receiver", "channel receive, " },
	{ in_send, "sender", "channel send, " },
	{ in_mutex, "locker", "mutex, " },
	{ in_wg, "counter", "wait group, " },
	{ in_read, "reader", "input or output, " },
	{ in_syscall, "blocker", "in system call " },
	{ in_loop, "burner", "running, thread " },
};
#define NR_STATES (int)(sizeof(states) / sizeof(states[0]))

static bool all_there(void)
{
	for (int i = 0; i < NR_STATES; i++) {
		const char *b = block(states[i].name);

		if (!b || !strstr(b, states[i].says))
			return false;
	}
	return true;
}

static void *dump_in_thread(void *ret)
{
	*(int *)ret = dump();
	return NULL;
}

static void check_blocks(const char *who)
{
	for (int i = 0; i < NR_STATES; i++) {
		const char *b = block(states[i].name);
		bool ok = b && strstr(b, states[i].says);

		tap_ok(ok, "%s: the %s is in \"%s\"", who, states[i].name, states[i].says);
		if (!ok)
			printf("# %s\n", b ? b : "not listed");
	}
	tap_ok(has_frame(block("receiver"), (void *)wait_recv, 128),
	       "%s: the backtrace of a parked one shows who called libgr", who);
	tap_ok(has_frame(block("receiver"), (void *)in_recv, 128), "%s: and its caller", who);
}

static void release_all(void)
{
	atomic_store(&stop, true);
	gr_chan_close(empty);
	gr_chan_close(full);
	gr_mutex_unlock(&mutex);
	gr_wg_done(&never);
	(void)!write(tube[1], "x", 1);
	gr_wg_wait(&up, GR_FOREVER);
}

static __attribute__((noinline)) int dump_here(void)
{
	int ret = dump();

	KEEP_FRAME();
	return ret;
}

static int list_states(void *unused)
{
	struct gr_attr odd = { .size = sizeof(odd), .stack_size = 1 << 20, .name = "large" };
	pthread_t t;
	int ret = -1;

	(void)unused;
	gr_set_name("main");
	if (pipe(tube))
		return 1;
	gr_chan_new(&empty, 0, 0);
	gr_chan_new(&full, 0, 0);
	gr_mutex_lock(&mutex, GR_FOREVER);
	gr_wg_add(&never, 1);
	gr_wg_add(&up, NR_STATES);
	for (int i = 0; i < NR_STATES; i++)
		gr_go(states[i].fn, NULL);
	gr_go_with(in_sleep, NULL, &odd);
	do
		gr_sleep(gr_after(5 * GR_MS));
	while (dump_here() || !all_there());
	check_blocks("goroutine");
	tap_ok(has_frame(block("main"), (void *)dump_here, 512), "the caller sees itself");
	tap_ok(block("sleeper") && strstr(block("sleeper"), "sleep, "),
	       "a goroutine with a stack of its own size is listed");
	do {
		pthread_create(&t, NULL, dump_in_thread, &ret);
		pthread_join(t, NULL);
	} while (ret || !all_there());
	check_blocks("plain thread");
	tap_ok(block("main") != NULL, "it sees the goroutine that runs");
	release_all();
	return 0;
}

/* ---- goroutines that had no turn yet ---- */

static void done(void *unused)
{
	(void)unused;
	gr_wg_done(&up);
}

static uint64_t turns(void)
{
	struct gr_info info = { .size = sizeof(info) };

	gr_info(&info);
	return info.schedules;
}

/* Block of one that waits for its first turn. NULL: the time slice ended meanwhile, and it had it. */
static const char *list_one(const struct gr_attr *attr)
{
	uint64_t before = turns();
	bool still;

	gr_wg_add(&up, 1);
	gr_go_with(done, NULL, attr);
	dump();
	still = turns() == before;
	gr_wg_wait(&up, GR_FOREVER);
	return still ? block(attr->name) : NULL;
}

static int list_queued(void *unused)
{
	struct gr_attr usual = { .size = sizeof(usual), .name = "queued" };
	struct gr_attr odd = { .size = sizeof(odd), .stack_size = 1 << 20, .name = "queued, large" };
	const struct gr_attr *attrs[] = { &usual, &usual, &odd };

	(void)unused;
	for (int i = 0; i < 3; i++) { /* the second one finds a stack that was used */
		const char *b = NULL;

		for (int tries = 0; !b && tries < 100; tries++)
			b = list_one(attrs[i]);
		tap_ok(b && strstr(b, "[runnable, not started]") && !strstr(b, "\n\t"),
		       "%s: not started, and no backtrace", attrs[i]->name);
	}
	return 0;
}

/* ---- SIGQUIT ---- */

static int quit_main(void *unused)
{
	struct gr_attr attr = { .size = sizeof(attr), .name = "sleeper" };

	(void)unused;
	gr_set_name("questioned");
	gr_go_with(in_sleep, NULL, &attr);
	raise(SIGQUIT);
	return 7;
}

static void test_sigquit(void)
{
	int fd = memfd_create("stderr", 0), status = 0;
	pid_t pid;

	atomic_store(&stop, false);
	pid = fork();
	if (!pid) {
		dup2(fd, 2);
		signal(SIGQUIT, SIG_DFL); /* a shell's background job ignores it */
		_exit(gr_run(quit_main, NULL, NULL));
	}
	waitpid(pid, &status, 0);
	take(fd);
	close(fd);
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 7, "SIGQUIT: the program goes on");
	tap_ok(has_frame(block("questioned"), (void *)quit_main, 512),
	       "SIGQUIT: the goroutine it came to is listed, through the handler's frame");
	tap_ok(block("sleeper") != NULL, "SIGQUIT: so are others");
}

/* ---- while goroutines run, start and end ---- */

static __attribute__((noinline)) int recurse(int n)
{
	volatile char fill[64];

	fill[0] = (char)n;
	if (!n)
		gr_yield();
	return n ? recurse(n - 1) + fill[0] : 0;
}

static void short_life(void *unused)
{
	(void)unused;
	recurse(5);
	gr_wg_done(&up);
}

static void churn(void *n)
{
	struct gr_attr odd = { .size = sizeof(odd), .stack_size = 32 << 10 };

	while (!atomic_load(&stop)) {
		recurse((int)(long)n);
		gr_wg_add(&up, 2);
		gr_go(short_life, NULL);
		gr_go_with(short_life, NULL, &odd);
	}
	gr_wg_done(&up);
}

static int dump_churn(void *rounds)
{
	int bad = 0;

	atomic_store(&stop, false);
	gr_wg_add(&up, 8);
	for (long i = 0; i < 8; i++)
		gr_go(churn, (void *)(i * 7));
	for (int i = 0; i < *(int *)rounds; i++) {
		int fd = open("/dev/null", O_WRONLY);

		bad += gr_dump(fd) != 0;
		close(fd);
		gr_yield();
	}
	atomic_store(&stop, true);
	gr_wg_wait(&up, GR_FOREVER);
	return bad;
}

int main(void)
{
	struct gr_opts opts = { .size = sizeof(opts), .nr_procs = 3 };
	struct gr_opts one = { .size = sizeof(one), .nr_procs = 1 };
	int rounds = 100;

	tap_limit(120);
	tap_ok(gr_dump(1) == -ENXIO, "-ENXIO without a runtime");
	test_sigquit(); /* first: TSan wants no thread before a fork */
	tap_ok(gr_run(list_states, NULL, &opts) == 0, "a goroutine in each state");
	tap_ok(gr_run(list_queued, NULL, &one) == 0, "one after the other is queued");
	tap_ok(gr_run(dump_churn, &rounds, &opts) == 0,
	       "%d dumps while goroutines start, run and end", rounds);
	return tap_done();
}
