// SPDX-License-Identifier: MIT
/*
 * load.c - the client of the echo servers: N connections, one request in flight on each.
 *
 *	load --port P --conns N [--size B] [--warm MS] [--time MS] [--pid PID] [--rate R]
 *	load --port P --conns N --idle
 *
 * One thread on epoll. Every byte that comes back is compared. After the warm-up it measures for
 * --time and prints one JSON line: requests, total (with warm-up), seconds, rate, p50 and p99 in
 * us, and cpu, the CPU time of process --pid in us per request.
 *
 * Closed loop: a connection sends its next request when it has its answer. Open loop (--rate, per
 * second): requests are due at fixed instants, the latency counts from there: a server that
 * stalls is charged with all who had to wait, also those that could not be sent meanwhile.
 * --idle: one byte there and back on each connection, "ready", then nothing until stdin ends.
 *
 * Exit 0; 4 too few descriptors are allowed, with "skip: why" on stdout; 1 failed.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NR_EVENTS 256
#define MAX_SIZE 65536
#define SEC 1000000000LL
/* values by their leading bits: 64 steps in each power of two, wrong by at most 1.6% */
#define STEP_BITS 6
#define STEPS (1 << STEP_BITS)

struct conn {
	int fd;
	uint64_t seq;
	int64_t since; /* sent, or due, at */
	size_t got;
	struct conn *next_free;
};

static int port, nr_conns, size = 64, pid, ep;
static int64_t warm = 200000000, span = SEC, rate;
static struct conn *conns, *free_conns;
static uint64_t hist[64 * STEPS], nr_measured, nr_total;
static bool measuring;
static char message[MAX_SIZE], in[MAX_SIZE];

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void wrong(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		die("clock_gettime");
	return ts.tv_sec * SEC + ts.tv_nsec;
}

static int64_t now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* CPU time of the server so far, all its threads */
static int64_t server_cpu(void)
{
	clockid_t clock;
	int ret = clock_getcpuclockid(pid, &clock);

	if (ret) {
		errno = ret;
		die("clock_getcpuclockid");
	}
	return clock_ns(clock);
}

/* ---- latencies ---- */

static void record(int64_t ns)
{
	uint64_t v = ns < STEPS ? STEPS : (uint64_t)ns;
	int power = 63 - __builtin_clzll(v);

	hist[power * STEPS + ((v >> (power - STEP_BITS)) & (STEPS - 1))]++;
	nr_measured++;
}

/* in us; the middle of its step */
static double percentile(double part)
{
	uint64_t rank = (uint64_t)(part * nr_measured), seen = 0;

	for (int i = STEP_BITS * STEPS; i < 64 * STEPS; i++) {
		int power = i / STEPS;

		seen += hist[i];
		if (seen > rank)
			return (double)(1ULL << power) *
			       (1 + (i % STEPS + 0.5) / STEPS) / 1000;
	}
	return 0;
}

/* ---- requests ---- */

/* the first bytes differ from request to request, and from connection to connection */
static void stamp(const struct conn *c)
{
	uint64_t mark = c->seq * 0x9e3779b97f4a7c15ULL + (uint64_t)(c - conns);

	memcpy(message, &mark, size < (int)sizeof(mark) ? size : (int)sizeof(mark));
}

static void send_request(struct conn *c, int64_t since)
{
	c->since = since;
	c->got = 0;
	c->seq++;
	stamp(c);
	if (send(c->fd, message, size, MSG_NOSIGNAL) != size)
		die("send");
}

/* True when the answer is complete. */
static bool receive(struct conn *c)
{
	ssize_t n = recv(c->fd, in, size - c->got, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		die("recv");
	if (!n)
		wrong("the server closed a connection");
	stamp(c);
	if (memcmp(in, message + c->got, n))
		wrong("what came back is not what was sent");
	c->got += n;
	return (int)c->got == size;
}

static void answered(struct conn *c, int64_t t)
{
	nr_total++;
	if (measuring)
		record(t - c->since);
}

/* Wait for at most so long, serve what came; free connections go to the list in open loop. */
static void turn(int64_t wait)
{
	struct epoll_event events[NR_EVENTS];
	struct timespec ts = { wait / SEC, wait % SEC };
	int n = epoll_pwait2(ep, events, NR_EVENTS, &ts, NULL);

	if (n < 0)
		die("epoll_pwait2");
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;
		int64_t t;

		if (!receive(c))
			continue;
		t = now();
		answered(c, t);
		if (rate) {
			c->next_free = free_conns;
			free_conns = c;
		} else {
			send_request(c, t);
		}
	}
}

static void closed_loop(int64_t end)
{
	int64_t t;

	while ((t = now()) < end)
		turn(end - t);
}

/* due: the next request's instant; returns that of the first one that is not sent */
static int64_t open_loop(int64_t due, int64_t end)
{
	int64_t t;

	while ((t = now()) < end) {
		while (due <= t && free_conns) {
			struct conn *c = free_conns;

			free_conns = c->next_free;
			send_request(c, due);
			due += SEC / rate;
		}
		t = due < end && free_conns ? due - now() : end - t;
		turn(t > 0 ? t : 0);
	}
	return due;
}

static void measure(void)
{
	int64_t t = now(), due = t, cpu = 0;

	if (!rate)
		for (int i = 0; i < nr_conns; i++)
			send_request(&conns[i], now());
	if (rate)
		due = open_loop(due, t + warm);
	else
		closed_loop(t + warm);
	measuring = true;
	if (pid)
		cpu = server_cpu();
	t = now();
	if (rate)
		open_loop(due, t + span);
	else
		closed_loop(t + span);
	if (pid)
		cpu = server_cpu() - cpu;
	t = now() - t;
	if (!nr_measured)
		wrong("not one answer");
	printf("{\"requests\": %llu, \"total\": %llu, \"seconds\": %.3f, \"rate\": %.1f, "
	       "\"p50\": %.2f, \"p99\": %.2f, \"cpu\": %.3f}\n",
	       (unsigned long long)nr_measured, (unsigned long long)nr_total, (double)t / SEC,
	       (double)nr_measured * SEC / t, percentile(0.5), percentile(0.99),
	       (double)cpu / 1000 / nr_measured);
}

/* ---- connections ---- */

static void raise_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		die("getrlimit");
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_max < (rlim_t)nr_conns + 64) {
		printf("skip: %d connections, but only %llu descriptors allowed (ulimit -Hn)\n",
		       nr_conns, (unsigned long long)files.rlim_max);
		exit(4);
	}
}

static void dial(struct conn *c)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)))
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e))
		die("epoll_ctl");
	c->next_free = free_conns;
	free_conns = c;
}

static void stay_idle(void)
{
	char byte = 1;

	for (int i = 0; i < nr_conns; i++)
		if (send(conns[i].fd, &byte, 1, MSG_NOSIGNAL) != 1 ||
		    recv(conns[i].fd, &byte, 1, 0) != 1 || byte != 1)
			die("a byte there and back");
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
}

static int usage(void)
{
	fputs("usage: load --port P --conns N [--size B] [--warm MS] [--time MS] [--pid PID]"
	      " [--rate R] [--idle]\n", stderr);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", 1, NULL, 'p' }, { "conns", 1, NULL, 'c' }, { "size", 1, NULL, 's' },
		{ "warm", 1, NULL, 'w' }, { "time", 1, NULL, 't' }, { "pid", 1, NULL, 'i' },
		{ "rate", 1, NULL, 'r' }, { "idle", 0, NULL, 'd' }, { 0 },
	};
	bool idle = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p': port = atoi(optarg); break;
		case 'c': nr_conns = atoi(optarg); break;
		case 's': size = atoi(optarg); break;
		case 'w': warm = atoi(optarg) * (SEC / 1000); break;
		case 't': span = atoi(optarg) * (SEC / 1000); break;
		case 'i': pid = atoi(optarg); break;
		case 'r': rate = atoi(optarg); break;
		case 'd': idle = true; break;
		default: return usage();
		}
	}
	if (optind < argc || port < 1 || nr_conns < 1 || size < 1 || size > MAX_SIZE || rate < 0)
		return usage();
	raise_limit();
	prctl(PR_SET_TIMERSLACK, 1UL);
	memset(message, 'x', sizeof(message));
	ep = epoll_create1(EPOLL_CLOEXEC);
	conns = calloc(nr_conns, sizeof(*conns));
	if (ep < 0 || !conns)
		die("cannot start");
	for (int i = 0; i < nr_conns; i++)
		dial(&conns[i]);
	if (idle)
		stay_idle();
	else
		measure();
	return 0;
}
