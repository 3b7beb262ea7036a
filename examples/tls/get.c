// SPDX-License-Identifier: MIT
/*
 * get.c - an HTTPS client: one GET, the body to stdout.
 *
 * Job: dial, handshake with the certificate verified, the host's name checked and sent along
 * (SNI), one request, its answer. Callers: main.c runs get() as the first goroutine.
 * What goes wrong is one sentence on stderr and exit status 1; so is a status of 400 or more, after
 * its body. An answer whose length nobody told ends with close_notify: without one it was cut.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <http_parser.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls.h"

#define CLOSE_TIMEOUT GR_SEC

struct client {
	struct tls tls;
	http_parser parser;
	bool complete, disk_full;
	int64_t deadline;
	char host[256], port[8];
	const char *authority; /* as the URL has it, with brackets and port */
	int authority_len;
	const char *target;
	int target_len;
	char in[16384]; /* a whole record */
};

__attribute__((format(printf, 1, 2))) static int fail(const char *fmt, ...)
{
	va_list ap;

	fputs("tls: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

/* ---- what to ask, and whom ---- */

/* 0, or a sentence was written */
static int parse_url(struct client *c, const char *url)
{
	static const char scheme[] = "https://";
	const unsigned int no = 1 << UF_USERINFO;
	struct http_parser_url u;
	size_t n;

	http_parser_url_init(&u);
	if (http_parser_parse_url(url, strlen(url), 0, &u) || u.field_set & no ||
	    strncmp(url, scheme, strlen(scheme)) || strlen(url) > 4000 ||
	    u.field_data[UF_HOST].len >= sizeof(c->host))
		return fail("%s: not of the form https://host[:port][/path]", url);
	memcpy(c->host, url + u.field_data[UF_HOST].off, u.field_data[UF_HOST].len);
	snprintf(c->port, sizeof(c->port), "%d", u.port ? u.port : 443);
	c->authority = url + strlen(scheme);
	n = strcspn(c->authority, "/?#");
	c->authority_len = (int)n;
	c->target = c->authority + n;
	c->target_len = (int)strcspn(c->target, "#");
	return 0;
}

/* who it must be; addresses are checked too, but not sent along */
static bool expect_host(SSL *ssl, const char *host)
{
	unsigned char addr[16];

	SSL_set_connect_state(ssl);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (!SSL_set1_host(ssl, host))
		return false;
	if (inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1)
		return true;
	return SSL_set_tlsext_host_name(ssl, host);
}

/* ---- the answer: the parser's callbacks; non-zero stops it ---- */

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct client *c = p->data;

	c->disk_full = fwrite(at, 1, n, stdout) != n || fflush(stdout);
	return c->disk_full;
}

static int on_complete(http_parser *p)
{
	struct client *c = p->data;

	c->complete = p->status_code >= 200; /* not "100 Continue" and its like */
	return 0;
}

static const http_parser_settings settings = {
	.on_body = on_body,
	.on_message_complete = on_complete,
};

static int read_answer(struct client *c)
{
	http_parser_init(&c->parser, HTTP_RESPONSE);
	c->parser.data = c;
	while (!c->complete) {
		ssize_t n = tls_read(&c->tls, c->in, sizeof(c->in), c->deadline);

		if (n < 0)
			return fail("no answer from %s: %s", c->host, c->tls.why);
		http_parser_execute(&c->parser, &settings, c->in, n);
		if (c->disk_full)
			return fail("the answer cannot be written");
		if (c->complete)
			break;
		if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK)
			return fail("the answer of %s is not HTTP", c->host);
		if (!n)
			return fail("the answer of %s is cut off", c->host);
	}
	if (c->parser.status_code >= 400)
		return fail("%s answers with status %d", c->host, c->parser.status_code);
	return 0;
}

/* ---- all of it ---- */

static int ask(struct client *c)
{
	char request[5000];
	int n = snprintf(request, sizeof(request),
			 "GET %s%.*s HTTP/1.1\r\nHost: %.*s\r\nConnection: close\r\n\r\n",
			 *c->target == '/' ? "" : "/", c->target_len, c->target, c->authority_len,
			 c->authority);

	if (!expect_host(c->tls.ssl, c->host))
		return fail("cannot ask for %s: out of memory", c->host);
	if (tls_handshake(&c->tls, c->deadline))
		return fail("no TLS with %s: %s", c->host, c->tls.why);
	if (tls_write_all(&c->tls, request, n, c->deadline))
		return fail("cannot ask %s: %s", c->host, c->tls.why);
	return read_answer(c);
}

static const char *dial_error(int err)
{
	switch (err) {
	case -ENOENT:
		return "no such host";
	case -EAGAIN:
		return "no name server answers";
	case -ETIMEDOUT:
		return "it took too long";
	default:
		return strerrordesc_np(-err);
	}
}

int get(void *unused)
{
	struct client *c = calloc(1, sizeof(*c));
	int fd, ret = 1;

	(void)unused;
	if (!c)
		return fail("out of memory");
	c->deadline = gr_after(config.timeout);
	if (parse_url(c, config.url))
		goto out;
	fd = gr_tcp_dial(c->host, c->port, c->deadline);
	if (fd < 0) {
		fail("cannot connect to %s port %s: %s", c->host, c->port, dial_error(fd));
		goto out;
	}
	if (tls_open(&c->tls, config.ctx, fd))
		fail("cannot start: %s", c->tls.why);
	else
		ret = ask(c);
	tls_close(&c->tls, gr_after(CLOSE_TIMEOUT));
out:
	free(c);
	return ret;
}
