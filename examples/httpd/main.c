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
 * SIGINT and SIGTERM are blocked in every thread; the first goroutine waits for them, and ends the
 * program with status 0 when the connections have ended, or did not in time (server.c).
 */
#include <errno.h>
#include <getopt.h>
#include <http_parser.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "httpd.h"

struct config config = {
	.port = "8080",
	.max_conns = 10000,
	.idle_ms = 60000,
	.header_ms = 10000,
	.body_ms = 10000,
	.write_ms = 30000,
	.drain_ms = 10000,
};

/* options with a number */
static const struct {
	const char *name;
	int *value, lo, hi;
} numbers[] = {
	{"procs", &config.procs, 1, 256},
	{"max-conns", &config.max_conns, 1, 1000000},
	{"idle-ms", &config.idle_ms, 1, 3600000},
	{"header-ms", &config.header_ms, 1, 3600000},
	{"body-ms", &config.body_ms, 1, 3600000},
	{"write-ms", &config.write_ms, 1, 3600000},
	{"drain-ms", &config.drain_ms, 1, 3600000},
};

#define NR_NUMBERS ((int)(sizeof(numbers) / sizeof(numbers[0])))

static int usage(FILE *to)
{
	fputs("usage: httpd [--host ADDR] [--port PORT] [--root DIR] [--db FILE] [--procs N]\n"
	      "             [--max-conns N] [--idle-ms N] [--header-ms N] [--body-ms N]\n"
	      "             [--write-ms N] [--drain-ms N]\n",
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
static int parse_number(int i, const char *text)
{
	if (parse_int(text, numbers[i].lo, numbers[i].hi, numbers[i].value))
		return 0;
	fprintf(stderr, "httpd: --%s %s: not in %d..%d\n", numbers[i].name, text, numbers[i].lo,
		numbers[i].hi);
	return 2;
}

/* the same */
static int parse_args(int argc, char **argv)
{
	static struct option options[NR_NUMBERS + 6] = {
		{"host", 1, NULL, 'h'}, {"port", 1, NULL, 'p'}, {"root", 1, NULL, 'r'},
		{"db", 1, NULL, 'd'},	{"help", 0, NULL, 'u'},
	};
	int c, port, ret = 0;

	for (int i = 0; i < NR_NUMBERS; i++)
		options[5 + i] = (struct option){numbers[i].name, 1, NULL, 256 + i};
	while (!ret && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h')
			config.host = optarg;
		else if (c == 'p')
			config.port = optarg;
		else if (c == 'r')
			config.root = optarg;
		else if (c == 'd')
			config.db = optarg;
		else if (c >= 256)
			ret = parse_number(c - 256, optarg);
		else
			return usage(c == '?' ? stderr : stdout) + 1;
	}
	if (!ret && !parse_int(config.port, 0, 65535, &port)) {
		fprintf(stderr, "httpd: --port %s: not in 0..65535\n", config.port);
		return 2;
	}
	if (!ret && optind < argc)
		return usage(stderr) + 1;
	return ret;
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
	opts.nr_procs = config.procs;
	ret = gr_run(server_main, &set, &opts);
	sql_fini();
	return ret ? 1 : 0;
}
