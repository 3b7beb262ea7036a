// SPDX-License-Identifier: MIT
/*
 * kv - a key-value server that Redis' clients can talk to: one goroutine per connection, a lock per
 * shard, an append-only file with one writer for all.
 *
 * SIGINT and SIGTERM are blocked in every thread and taken by one plain thread that waits for them.
 * It tells the first goroutine, which cancels the server: no new connections; those there are end
 * when what arrived is answered, within DRAIN_TIMEOUT. Then the log is synced, and the status is 0.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "kv.h"

struct config config = {
	.host = "127.0.0.1", /* anybody who can connect can do everything */
	.port = "6379",
	.policy = FSYNC_EVERYSEC,
	.max_clients = 10000,
};

static struct gr_chan *stop;

static int usage(FILE *to)
{
	fputs("usage: kv [--host ADDR] [--port PORT] [--aof FILE] [--fsync always|everysec|no]\n"
	      "          [--timeout SECONDS] [--max-clients N] [--procs N]\n",
	      to);
	return to == stdout ? 0 : 1;
}

/* false: a sentence was written */
static bool number(const char *name, const char *s, int lo, int hi, int *value)
{
	int64_t v;

	if (!parse_int64(s, strlen(s), &v) || v < lo || v > hi) {
		fprintf(stderr, "kv: --%s %s: not in %d..%d\n", name, s, lo, hi);
		return false;
	}
	*value = (int)v;
	return true;
}

static bool policy(const char *s)
{
	unsigned int i;

	for (i = FSYNC_NO; i <= FSYNC_ALWAYS; i++) {
		if (!strcmp(s, policy_names[i])) {
			config.policy = i;
			return true;
		}
	}
	fprintf(stderr, "kv: --fsync %s: not always, everysec or no\n", s);
	return false;
}

/* 0 go on; else the exit status + 1 */
static int parse_args(int argc, char **argv)
{
	static const struct option options[] = {
		{"host", 1, NULL, 'h'},	       {"port", 1, NULL, 'p'},
		{"aof", 1, NULL, 'a'},	       {"fsync", 1, NULL, 'f'},
		{"timeout", 1, NULL, 't'},     {"procs", 1, NULL, 'n'},
		{"max-clients", 1, NULL, 'm'}, {"help", 0, NULL, '?' + 128},
		{0},
	};
	int c, port;
	bool ok = true;

	while (ok && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h')
			config.host = optarg;
		else if (c == 'p')
			ok = number("port", config.port = optarg, 0, 65535, &port);
		else if (c == 'a')
			config.aof = optarg;
		else if (c == 'f')
			ok = policy(optarg);
		else if (c == 't')
			ok = number("timeout", optarg, 0, 1000000, &config.timeout);
		else if (c == 'n')
			ok = number("procs", optarg, 1, 256, &config.procs);
		else if (c == 'm')
			ok = number("max-clients", optarg, 1, 1000000, &config.max_clients);
		else
			return usage(c == '?' ? stderr : stdout) + 1;
	}
	if (!ok)
		return 2;
	return optind < argc ? usage(stderr) + 1 : 0;
}

static void *signal_thread(void *set)
{
	char byte = 0;
	int sig;

	sigwait(set, &sig);
	gr_chan_send(stop, &byte, GR_FOREVER);
	return NULL;
}

static void start_conn(struct gr_scope *scope, int fd)
{
	static const char full[] = "-ERR max number of clients reached\r\n";
	int nr = atomic_fetch_add_explicit(&nr_clients, 1, memory_order_relaxed);

	if (nr < config.max_clients && !gr_scope_go(scope, conn_main, (void *)(intptr_t)fd))
		return;
	atomic_fetch_sub_explicit(&nr_clients, 1, memory_order_relaxed);
	gr_write(fd, full, sizeof(full) - 1, GR_NOW);
	gr_close(fd);
}

/*
 * No descriptor or no memory for another connection: those there are may end, and clients wait
 * meanwhile. Said once.
 */
static void cannot_accept(int error, bool *said)
{
	if (error == -ECANCELED || error == -ECONNABORTED || error == -EINTR)
		return;
	if (!*said)
		fprintf(stderr, "kv: cannot accept, clients have to wait: %s\n",
			strerrordesc_np(-error));
	*said = true;
	gr_sleep(gr_after(50 * GR_MS));
}

/* The connections are a scope of this task: cancelled with it, and it ends after them. */
static int serve(void *arg)
{
	int lfd = (int)(intptr_t)arg;
	struct gr_scope scope;
	bool said = false;

	gr_scope_init(&scope, 0);
	while (!gr_cancelled()) {
		int fd = gr_accept(lfd, GR_FOREVER);

		if (fd >= 0)
			start_conn(&scope, fd);
		else
			cannot_accept(fd, &said);
	}
	gr_close(lfd);
	gr_scope_wait(&scope, GR_FOREVER);
	return 0;
}

/* Both tasks run until there is a signal. 0 or a negative errno. */
static int run_until_signal(int lfd)
{
	struct gr_task *server, *sweeper;
	int ret = gr_task_new(&sweeper, sweep, NULL, NULL);

	if (ret)
		return ret;
	ret = gr_task_new(&server, serve, (void *)(intptr_t)lfd, NULL);
	if (!ret) {
		gr_chan_recv(stop, NULL, GR_FOREVER);
		gr_task_cancel(server);
		gr_task_join(server, NULL, gr_after(DRAIN_TIMEOUT));
		gr_task_release(server);
	}
	gr_task_cancel(sweeper);
	gr_task_join(sweeper, NULL, GR_FOREVER);
	gr_task_release(sweeper);
	return ret;
}

static int main_goroutine(void *arg)
{
	struct gr_info info = {.size = sizeof(info)};
	int lfd = gr_tcp_listen(config.host, config.port, 1024);
	pthread_t thread;
	int ret;

	if (lfd < 0) {
		fprintf(stderr, "kv: cannot listen on %s port %s: %s\n", config.host, config.port,
			strerrordesc_np(-lfd));
		return 1;
	}
	if (config.aof && aof_start(config.aof, config.policy))
		return 1;
	ret = -pthread_create(&thread, NULL, signal_thread, arg);
	if (!ret) {
		gr_info(&info);
		fprintf(stderr, "kv: port %d, %d procs, backend %s\n", gr_tcp_port(lfd),
			info.nr_procs, info.backend);
		ret = run_until_signal(lfd);
	}
	if (ret)
		fprintf(stderr, "kv: cannot start: %s\n", strerrordesc_np(-ret));
	return aof_stop() || ret;
}

/* as many descriptors as the system lets us have: each client takes one */
static void raise_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

int main(int argc, char **argv)
{
	struct gr_opts opts = {.size = sizeof(opts)};
	sigset_t set;
	int ret = parse_args(argc, argv);

	if (ret)
		return ret - 1;
	raise_limit();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write() */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	ret = store_init();
	if (!ret)
		ret = gr_chan_new(&stop, 1, 1);
	opts.nr_procs = config.procs;
	if (!ret)
		ret = gr_run(main_goroutine, &set, &opts);
	return ret ? 1 : 0;
}
