// SPDX-License-Identifier: MIT
/*
 * httpd - a web server that blocks where it likes: one goroutine per connection, plain C
 * libraries, no callbacks.
 *
 * /             a line from memory
 * /file/NAME    a file below --root
 * /sql?q=SQL    rows from the SQLite database --db
 * /lookup?h=H   the addresses of a host, by getaddrinfo()
 * /block?ms=N   sleeps in nanosleep()
 * /stats        what the runtime counts
 *
 * SIGINT and SIGTERM are blocked in every thread and taken by one plain thread that waits for
 * them; it tells the first goroutine through a channel, which ends the program with status 0.
 */
#include <errno.h>
#include <getopt.h>
#include <http_parser.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "httpd.h"

struct config config = {.port = "8080"};

static struct gr_chan *stop;

static int usage(FILE *to)
{
	fputs("usage: httpd [--host ADDR] [--port PORT] [--root DIR] [--db FILE] [--procs N]\n",
	      to);
	return to == stdout ? 0 : 1;
}

static bool parse_int(const char *s, int lo, int hi, int *value)
{
	char *end;
	long v = strtol(s, &end, 10);

	if (end == s || *end || v < lo || v > hi)
		return false;
	*value = v;
	return true;
}

/* 0 go on; else the exit status + 1 */
static int parse_args(int argc, char **argv)
{
	static const struct option options[] = {
		{"host", 1, NULL, 'h'},
		{"port", 1, NULL, 'p'},
		{"root", 1, NULL, 'r'},
		{"db", 1, NULL, 'd'},
		{"procs", 1, NULL, 'n'},
		{"help", 0, NULL, '?' + 128},
		{0},
	};
	int c, port;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			config.host = optarg;
		} else if (c == 'p') {
			config.port = optarg;
		} else if (c == 'r') {
			config.root = optarg;
		} else if (c == 'd') {
			config.db = optarg;
		} else if (c == 'n') {
			if (!parse_int(optarg, 1, 256, &config.procs)) {
				fprintf(stderr, "httpd: --procs %s: not in 1..256\n", optarg);
				return 2;
			}
		} else {
			return usage(c == '?' ? stderr : stdout) + 1;
		}
	}
	if (!parse_int(config.port, 0, 65535, &port)) {
		fprintf(stderr, "httpd: --port %s: not in 0..65535\n", config.port);
		return 2;
	}
	return optind < argc ? usage(stderr) + 1 : 0;
}

static int check_dirs(void)
{
	struct stat st;

	if (config.root && (stat(config.root, &st) || !S_ISDIR(st.st_mode))) {
		fprintf(stderr, "httpd: --root %s: no such directory\n", config.root);
		return -ENOENT;
	}
	return config.db ? sql_init() : 0;
}

static void *signal_thread(void *set)
{
	char byte = 0;
	int sig;

	sigwait(set, &sig);
	gr_chan_send(stop, &byte, GR_FOREVER);
	return NULL;
}

static void accept_loop(void *arg)
{
	int lfd = (int)(intptr_t)arg;

	for (;;) {
		int fd = gr_accept(lfd, GR_FOREVER);

		if (fd < 0) {
			/* out of descriptors or memory, or a client that left: others may go */
			if (fd != -ECONNABORTED && fd != -EINTR)
				gr_sleep(gr_after(50 * GR_MS));
			continue;
		}
		if (gr_go(conn_main, (void *)(intptr_t)fd))
			gr_close(fd);
	}
}

static int main_goroutine(void *arg)
{
	struct gr_info info = {.size = sizeof(info)};
	int lfd = gr_tcp_listen(config.host, config.port, 1024);
	pthread_t thread;
	int ret;

	if (lfd < 0) {
		fprintf(stderr, "httpd: cannot listen on %s port %s: %s\n",
			config.host ? config.host : "*", config.port, strerrordesc_np(-lfd));
		return 1;
	}
	ret = pthread_create(&thread, NULL, signal_thread, arg);
	if (!ret)
		ret = -gr_go(accept_loop, (void *)(intptr_t)lfd);
	if (ret) {
		fprintf(stderr, "httpd: cannot start: %s\n", strerrordesc_np(ret));
		return 1;
	}
	gr_info(&info);
	fprintf(stderr, "httpd: port %d, %d procs, backend %s\n", gr_tcp_port(lfd), info.nr_procs,
		info.backend);
	gr_chan_recv(stop, NULL, GR_FOREVER);
	gr_close(lfd);
	return 0;
}

int main(int argc, char **argv)
{
	struct gr_opts opts = {.size = sizeof(opts)};
	sigset_t set;
	int ret = parse_args(argc, argv);

	if (ret)
		return ret - 1;
	if (check_dirs())
		return 1;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	http_parser_set_max_header_size(MAX_HEADER);
	ret = gr_chan_new(&stop, 1, 1);
	opts.nr_procs = config.procs;
	if (!ret)
		ret = gr_run(main_goroutine, &set, &opts);
	sql_fini();
	return ret ? 1 : 0;
}
