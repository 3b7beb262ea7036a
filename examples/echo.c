// SPDX-License-Identifier: MIT
/*
 * echo.c - a TCP server that sends back what it gets: a goroutine for each connection.
 *
 *	echo [--port N] [--procs N] [--idle SECONDS]
 *
 * Says its port on stdout (0 takes a free one), closes a connection that is silent for --idle (60;
 * 0 never), and ends at SIGTERM or SIGINT: what was read by then is still sent back. The signals
 * are blocked in all threads; the first goroutine waits for them.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "gr.h"

#define WRITE_TIMEOUT (10 * GR_SEC)
/* an idle connection fits into one page with its goroutine; longer input is read further down */
#define SHORT 1024
#define LONG 65536

static const char *port = "8007";
static int procs, idle = 60;
static sigset_t signals;
static struct gr_scope server;

static int64_t idle_deadline(void)
{
	return idle ? gr_after(idle * GR_SEC) : GR_FOREVER;
}

/* also when the server ends meanwhile */
static ssize_t answer(int fd, const char *buf, size_t n)
{
	ssize_t ret;

	gr_shield_begin();
	ret = gr_write_all(fd, buf, n, gr_after(WRITE_TIMEOUT));
	gr_shield_end();
	return ret;
}

/* a message that did not fit: the rest, as much as is there */
static __attribute__((noinline)) ssize_t answer_long(int fd, const char *begin)
{
	char buf[LONG];
	ssize_t n;

	memcpy(buf, begin, SHORT);
	n = gr_read(fd, buf + SHORT, sizeof(buf) - SHORT, GR_NOW);
	return answer(fd, buf, SHORT + (n > 0 ? n : 0));
}

static int serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[SHORT];
	ssize_t n;

	while ((n = gr_read(fd, buf, sizeof(buf), idle_deadline())) > 0)
		if ((n < SHORT ? answer(fd, buf, n) : answer_long(fd, buf)) < 0)
			break;
	gr_close(fd);
	return 0;
}

static int accept_all(void *arg)
{
	struct gr_listener *listener = arg;
	int fd;

	while ((fd = gr_listener_accept(listener, GR_FOREVER)) != -ECANCELED) {
		/* out of descriptors or memory, or a client that left: others may go */
		if (fd < 0 && fd != -ECONNABORTED)
			gr_sleep(gr_after(50 * GR_MS));
		else if (fd >= 0 && gr_scope_go(&server, serve, (void *)(intptr_t)fd))
			gr_close(fd);
	}
	return 0;
}

static int serve_all(struct gr_listener *listener, int bound)
{
	int ret;

	gr_scope_init(&server, GR_SCOPE_ALL);
	ret = gr_scope_go(&server, accept_all, listener);
	if (!ret) {
		printf("port %d\n", bound);
		fflush(stdout);
		ret = gr_signal_wait(&signals, NULL, GR_FOREVER);
	}
	gr_scope_cancel(&server);
	gr_scope_wait(&server, GR_FOREVER);
	return ret < 0 ? ret : 0;
}

static int run(void *unused)
{
	struct gr_info info = { .size = sizeof(info) };
	int fd = gr_tcp_listen("127.0.0.1", port, 4096), bound = gr_tcp_port(fd), ret = fd;
	struct gr_listener *listener;

	(void)unused;
	if (fd >= 0) {
		ret = gr_listener_new(&listener, fd);
		if (ret)
			gr_close(fd);
	}
	if (ret < 0) {
		fprintf(stderr, "echo: cannot listen on port %s: %s\n", port, strerror(-ret));
		return 1;
	}
	ret = serve_all(listener, bound);
	gr_listener_release(listener);
	if (ret)
		fprintf(stderr, "echo: %s\n", strerror(-ret));
	gr_info(&info);
	printf("enters %llu\n", (unsigned long long)info.ring_enters);
	return ret ? 1 : 0;
}

static int usage(void)
{
	fputs("usage: echo [--port N] [--procs N] [--idle SECONDS]\n", stderr);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", 1, NULL, 'p' }, { "procs", 1, NULL, 'n' }, { "idle", 1, NULL, 'i' }, { 0 },
	};
	struct gr_opts opts = { .size = sizeof(opts) };
	struct rlimit files;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'p')
			port = optarg;
		else if (c == 'n')
			procs = atoi(optarg);
		else if (c == 'i')
			idle = atoi(optarg);
		else
			return usage();
	}
	if (optind < argc || procs < 0 || idle < 0)
		return usage();
	/* a descriptor for each connection: as many as may be had */
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	opts.nr_procs = procs;
	return gr_run(run, NULL, &opts) ? 1 : 0;
}
