// SPDX-License-Identifier: MIT
/*
 * idle10k.c - 10,000 connections on which nothing happens, each with a goroutine that reads: what
 * they cost in memory, that they cost no time, and that all of them are served afterwards.
 *
 * Not one of the *_test.c: needs 10,100 descriptors and a machine of its own size. A child process
 * has the other ends. The figures are for /proc/self/statm (resident, less what is shared with
 * files) and getrusage(), beside the kernel's own, which nobody counts here.
 */
#include <signal.h>

#include "socks.h"

#define MANY 10000
#define BYTES_EACH 6144
#define WATCH GR_SEC

static int listener, many = MANY, go_on[2];
static char port[8];
static struct gr_wg all;
static _Atomic int waiting, answered;

/* ---- the clients: plain system calls ---- */

static int connect_all(int *fds)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	at.sin_port = htons((uint16_t)atoi(port));
	for (int i = 0; i < many; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&at, sizeof(at)))
			return 1;
	}
	return 0;
}

static int clients(void)
{
	static int fds[MANY];
	char c;

	close(go_on[1]);
	if (connect_all(fds))
		return 1;
	if (read(go_on[0], &c, 1) != 0)
		return 2;
	for (int i = 0; i < many; i++)
		if (write(fds[i], "x", 1) != 1)
			return 3;
	for (int i = 0; i < many; i++)
		if (read(fds[i], &c, 1) != 1 || c != 'x')
			return 4;
	return 0;
}

/* ---- the server ---- */

static void serve(void *arg)
{
	int fd = (int)(long)arg;
	char c;

	atomic_fetch_add(&waiting, 1);
	CHECK(gr_read(fd, &c, 1, GR_FOREVER) == 1 && gr_write(fd, &c, 1, LONG) == 1);
	atomic_fetch_add(&answered, 1);
	CHECK(!gr_close(fd));
	gr_wg_done(&all);
}

static void accept_all(void)
{
	gr_wg_add(&all, many);
	for (int i = 0; i < many; i++) {
		int fd = gr_accept(listener, LONG);

		CHECK(fd >= 0 && !gr_go(serve, (void *)(long)fd));
	}
	while (atomic_load(&waiting) < many)
		gr_sleep(gr_after(GR_MS));
}

static long resident(void)
{
	long size, pages = 0, shared = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%ld %ld %ld", &size, &pages, &shared) != 3)
		mix_fatal("/proc/self/statm", errno);
	fclose(f);
	return (pages - shared) * sysconf(_SC_PAGESIZE);
}

static long cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

static long schedules(void)
{
	struct gr_info info = { .size = sizeof(info) };

	CHECK(!gr_info(&info));
	return (long)info.schedules;
}

static void idle_ones(void)
{
	long before = resident(), bytes, us, turns;

	accept_all();
	gr_sleep(gr_after(100 * GR_MS)); /* until the last of them has parked */
	bytes = (resident() - before) / many;
	turns = schedules();
	us = cpu_us();
	gr_sleep(gr_after(WATCH));
	us = cpu_us() - us;
	turns = schedules() - turns;
	printf("# %d connections: %ld bytes each; in %d ms: %ld us of CPU, %ld turns\n", many, bytes,
	       (int)(WATCH / GR_MS), us, turns);
	tap_ok(bytes <= BYTES_EACH, "an idle connection has at most %d bytes", BYTES_EACH);
	tap_ok(turns < 100, "nobody runs");
	tap_ok(us < 100000, "no time is used");
	close(go_on[1]);
	CHECK(!gr_wg_wait(&all, LONG));
	tap_ok(answered == many, "all are answered then");
}

int main(void)
{
	struct rlimit limit;
	int status = -1;
	pid_t child;

	tap_limit(LIMIT_S);
	check_few_fds(false);
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < MANY + 100)
		many = (int)limit.rlim_cur - 100;
	listener = listen_here(port, 4096);
	if (pipe(go_on))
		mix_fatal("pipe", errno);
	child = fork();
	if (!child)
		_exit(clients());
	mix.body = idle_ones;
	mix_run_in("idle", 2, false);
	tap_ok(child > 0 && waitpid(child, &status, 0) == child && !status, "the clients agree");
	tap_ok(!atomic_load(&errors), "no call failed");
	return tap_done();
}
