// SPDX-License-Identifier: MIT
/*
 * tls - HTTPS with OpenSSL, which knows nothing of goroutines, on non-blocking sockets.
 *
 *     tls serve --cert FILE --key FILE [--host ADDR] [--port PORT] [--procs N] [--verbose]
 *               [--handshake-timeout MS] [--request-timeout MS] [--idle-timeout MS]
 *     tls get [--ca FILE] [--timeout MS] URL
 *
 * The server has four pages: / /session /stack /big. SIGTERM and SIGINT end it when what has begun
 * is finished; they are blocked in every thread, and a goroutine reads them from a signalfd.
 */
#include <getopt.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tls.h"

struct config config = {
	.port = "8443",
	.handshake_timeout = 10 * GR_SEC,
	.idle_timeout = 60 * GR_SEC,
	.request_timeout = 10 * GR_SEC,
	.timeout = 30 * GR_SEC,
};

static struct gr_opts opts = {.size = sizeof(opts)};
static const char *cert, *key, *ca;

static int usage(FILE *to)
{
	fputs("usage: tls serve --cert FILE --key FILE [--host ADDR] [--port PORT] [--procs N]\n"
	      "                 [--handshake-timeout MS] [--request-timeout MS] [--idle-timeout MS]\n"
	      "                 [--verbose]\n"
	      "       tls get [--ca FILE] [--timeout MS] URL\n",
	      to);
	return to == stdout ? 0 : 1;
}

static long number(const char *name, const char *s, long lo, long hi)
{
	char *end;
	long v = strtol(s, &end, 10);

	if (end == s || *end || v < lo || v > hi) {
		fprintf(stderr, "tls: --%s %s: not in %ld..%ld\n", name, s, lo, hi);
		exit(1);
	}
	return v;
}

static int64_t milliseconds(const char *name, const char *s)
{
	return number(name, s, 1, 3600000) * GR_MS;
}

static void parse_args(int argc, char **argv)
{
	static const struct option options[] = {
		{"cert", 1, NULL, 'c'},		     {"key", 1, NULL, 'k'},
		{"ca", 1, NULL, 'a'},		     {"host", 1, NULL, 'h'},
		{"port", 1, NULL, 'p'},		     {"procs", 1, NULL, 'n'},
		{"handshake-timeout", 1, NULL, 's'}, {"idle-timeout", 1, NULL, 'i'},
		{"request-timeout", 1, NULL, 'r'},   {"timeout", 1, NULL, 't'},
		{"verbose", 0, NULL, 'v'},	     {"help", 0, NULL, 'H'},
		{0},
	};
	int c, i;

	while ((c = getopt_long(argc, argv, "", options, &i)) != -1) {
		switch (c) {
		case 'c': cert = optarg; break;
		case 'k': key = optarg; break;
		case 'a': ca = optarg; break;
		case 'h': config.host = optarg; break;
		case 'p': config.port = optarg; break;
		case 'n': opts.nr_procs = number(options[i].name, optarg, 1, 256); break;
		case 's': config.handshake_timeout = milliseconds(options[i].name, optarg); break;
		case 'i': config.idle_timeout = milliseconds(options[i].name, optarg); break;
		case 'r': config.request_timeout = milliseconds(options[i].name, optarg); break;
		case 't': config.timeout = milliseconds(options[i].name, optarg); break;
		case 'v': config.verbose = true; break;
		default: exit(usage(c == '?' ? stderr : stdout));
		}
	}
	number("port", config.port, 0, 65535);
	config.url = argv[optind];
	if (optind + 1 < argc)
		exit(usage(stderr));
}

/* in main()'s thread, before there are goroutines */
static int openssl_failed(const char *what, const char *file)
{
	fprintf(stderr, "tls: %s %s: %s\n", what, file, tls_reason());
	return 1;
}

static int make_context(const SSL_METHOD *method)
{
	config.ctx = SSL_CTX_new(method);
	if (!config.ctx || !SSL_CTX_set_min_proto_version(config.ctx, TLS1_2_VERSION))
		return openssl_failed("cannot start", "OpenSSL");
	SSL_CTX_set_options(config.ctx, SSL_OP_NO_RENEGOTIATION);
	/* a connection that waits keeps no 32 KiB of buffers */
	SSL_CTX_set_mode(config.ctx, SSL_MODE_RELEASE_BUFFERS);
	return 0;
}

static int run_server(void)
{
	sigset_t set;
	int fd, ret;

	if (!cert || !key)
		return usage(stderr);
	if (make_context(TLS_server_method()))
		return 1;
	/* sessions are in the tickets that clients keep */
	SSL_CTX_set_session_cache_mode(config.ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_use_certificate_chain_file(config.ctx, cert) != 1)
		return openssl_failed("--cert", cert);
	if (SSL_CTX_use_PrivateKey_file(config.ctx, key, SSL_FILETYPE_PEM) != 1)
		return openssl_failed("--key", key);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0) {
		perror("tls: signalfd");
		return 1;
	}
	ret = gr_run(serve, (void *)(intptr_t)fd, &opts);
	close(fd);
	return ret ? 1 : 0;
}

static int run_client(void)
{
	if (!config.url)
		return usage(stderr);
	if (make_context(TLS_client_method()))
		return 1;
	SSL_CTX_set_verify(config.ctx, SSL_VERIFY_PEER, NULL);
	if (ca ? !SSL_CTX_load_verify_file(config.ctx, ca)
	       : !SSL_CTX_set_default_verify_paths(config.ctx))
		return openssl_failed("--ca", ca ? ca : "(the system's)");
	return gr_run(get, NULL, &opts) ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "--";
	int ret;

	/* OpenSSL writes with write(), which knows no MSG_NOSIGNAL */
	signal(SIGPIPE, SIG_IGN);
	if (*command != '-') {
		argc--;
		argv++;
	}
	parse_args(argc, argv);
	if (!strcmp(command, "serve"))
		ret = config.url ? usage(stderr) : run_server();
	else if (!strcmp(command, "get"))
		ret = run_client();
	else
		ret = usage(stderr);
	SSL_CTX_free(config.ctx);
	return ret;
}
