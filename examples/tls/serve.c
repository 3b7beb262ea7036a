// SPDX-License-Identifier: MIT
/*
 * serve.c - an HTTPS server: a goroutine per connection, keep-alive, deadlines, a drain.
 *
 * Job: HTTP/1.0 and 1.1 on four fixed pages; GET and HEAD. libhttp-parser reads the requests; it
 * is paused at the end of each, so that the reply is out before the next one is looked at.
 * Callers: main.c runs serve() as the first goroutine.
 *
 * The end: all goroutines but the first are in one scope. SIGTERM cancels it; then gr_accept()
 * returns -ECANCELED, and so does the wait of a connection between two requests. From accept
 * to the end of the handshake and from a request's first byte to the end of the reply a
 * connection is shielded: it finishes, says "Connection: close", and then sees that it is
 * cancelled. serve() leaves the scope when the last one has ended, which the deadlines below bound.
 *
 * Limits: headers as libhttp-parser's; MAX_BODY of a request, which is ignored; each wait has a
 * deadline: the handshake, the pause between requests, a request as a whole, each piece of a reply.
 */
#include <errno.h>
#include <http_parser.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include "tls.h"

#define MAX_BODY 65536
#define WRITE_TIMEOUT (30 * GR_SEC)
#define CLOSE_TIMEOUT (5 * GR_SEC)
#define BIG_LINES 65536 /* of 16 bytes: a megabyte; /big is that 16 times */
#define BIG_TIMES 16

struct conn {
	struct tls tls;
	http_parser parser;
	/* the request being read */
	bool begun, complete;
	int64_t deadline; /* of its end */
	size_t body_bytes;
	char url[64]; /* cut to this: no page has a longer one */
	size_t url_len;
	/* the reply */
	bool keep_alive;
	char text[512];	   /* a page is written here, or */
	const char *piece; /* elsewhere, and is that several times */
	size_t piece_len;
	int times;
	char in[4096];
};

static struct gr_scope conns;
static char *big;

/* ---- the parser's callbacks: non-zero stops it ---- */

static int on_begin(http_parser *p)
{
	struct conn *c = p->data;

	c->begun = true;
	c->complete = false;
	c->body_bytes = c->url_len = 0;
	return 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
	struct conn *c = p->data;
	size_t room = sizeof(c->url) - c->url_len;

	n = n < room ? n : room;
	memcpy(c->url + c->url_len, at, n);
	c->url_len += n;
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct conn *c = p->data;

	(void)at;
	c->body_bytes += n;
	return c->body_bytes > MAX_BODY;
}

static int on_complete(http_parser *p)
{
	struct conn *c = p->data;

	c->begun = false;
	c->complete = true;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_url = on_url,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

/* ---- pages ---- */

static void page_hello(struct conn *c)
{
	snprintf(c->text, sizeof(c->text), "hello over TLS from gr\n");
}

static void page_session(struct conn *c)
{
	SSL *ssl = c->tls.ssl;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	snprintf(c->text, sizeof(c->text), "version %s\ncipher %s\nresumed %s\nname %s\n",
		 SSL_get_version(ssl), SSL_get_cipher_name(ssl),
		 SSL_session_reused(ssl) ? "yes" : "no", name ? name : "none");
}

static void page_stack(struct conn *c)
{
	snprintf(c->text, sizeof(c->text), "%zd\n", gr_stack_used());
}

static void page_big(struct conn *c)
{
	c->piece = big;
	c->piece_len = 16 * (size_t)BIG_LINES;
	c->times = BIG_TIMES;
}

static const struct {
	const char *path;
	void (*fn)(struct conn *c);
} pages[] = {
	{"/", page_hello},
	{"/session", page_session},
	{"/stack", page_stack},
	{"/big", page_big},
};

/* what is behind a "?" does not matter */
static bool find_page(struct conn *c)
{
	const char *query = memchr(c->url, '?', c->url_len);
	size_t i, n = query ? (size_t)(query - c->url) : c->url_len;

	for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strlen(pages[i].path) == n && !memcmp(pages[i].path, c->url, n)) {
			pages[i].fn(c);
			return true;
		}
	}
	return false;
}

/* ---- replies ---- */

/* the server is being stopped: asked for between two requests, in the shield */
static bool draining(void)
{
	bool yes;

	gr_shield_end();
	yes = gr_cancelled();
	gr_shield_begin();
	return yes;
}

/* The page, with a status line; text goes along in one record. A slow client has time per piece. */
static int reply(struct conn *c, const char *status)
{
	bool head = c->complete && c->parser.method == HTTP_HEAD;
	size_t len = c->piece ? c->piece_len * c->times : strlen(c->text);
	char out[1024];
	int i, n, ret;

	n = snprintf(out, sizeof(out),
		     "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n%s",
		     status, len, c->keep_alive ? "" : "Connection: close\r\n",
		     c->piece || head ? "" : c->text);
	ret = tls_write_all(&c->tls, out, n, gr_after(WRITE_TIMEOUT));
	for (i = 0; c->piece && !head && !ret && i < c->times; i++)
		ret = tls_write_all(&c->tls, c->piece, c->piece_len, gr_after(WRITE_TIMEOUT));
	return ret;
}

static int reply_error(struct conn *c, const char *status, const char *text)
{
	c->piece = NULL;
	snprintf(c->text, sizeof(c->text), "%s\n", text);
	return reply(c, status);
}

static int answer(struct conn *c)
{
	c->piece = NULL;
	c->keep_alive = http_should_keep_alive(&c->parser) && !c->parser.upgrade && !draining();
	if (c->parser.method != HTTP_GET && c->parser.method != HTTP_HEAD)
		return reply_error(c, "405 Method Not Allowed\r\nAllow: GET, HEAD", "GET or HEAD");
	if (!find_page(c))
		return reply_error(c, "404 Not Found", "no such page");
	return reply(c, "200 OK");
}

/* ---- a connection ---- */

static void complain(struct conn *c, const char *what)
{
	if (config.verbose)
		fprintf(stderr, "tls: %s: %s\n", what, c->tls.why);
}

/* answer all that arrived; false: the connection ends */
static bool feed(struct conn *c, const char *data, size_t n)
{
	while (n) {
		size_t used = http_parser_execute(&c->parser, &settings, data, n);

		if (!c->complete) {
			if (HTTP_PARSER_ERRNO(&c->parser) == HPE_OK)
				return true;
			c->keep_alive = false;
			reply_error(c, "400 Bad Request", "not what HTTP allows, or too long");
			return false;
		}
		http_parser_pause(&c->parser, 0);
		if (answer(c)) {
			complain(c, "reply");
			return false;
		}
		if (!c->keep_alive)
			return false;
		c->complete = false;
		c->deadline = gr_after(config.request_timeout);
		data += used;
		n -= used;
	}
	return true;
}

/* requests until one side ends it; shielded but for the pauses */
static void requests(struct conn *c)
{
	for (;;) {
		bool idle = !c->begun;
		ssize_t n;

		if (idle) {
			c->deadline = gr_after(config.idle_timeout);
			gr_shield_end();
		}
		n = tls_read(&c->tls, c->in, sizeof(c->in), c->deadline);
		if (idle) {
			gr_shield_begin();
			c->deadline = gr_after(config.request_timeout);
		}
		if (n < 0 && !idle)
			complain(c, "request");
		if (n <= 0 || !feed(c, c->in, n))
			return;
	}
}

static int conn_main(void *arg)
{
	int64_t deadline = gr_after(config.handshake_timeout);
	struct conn *c = calloc(1, sizeof(*c));
	int fd = (int)(intptr_t)arg;

	if (!c) {
		gr_close(fd);
		return -ENOMEM;
	}
	gr_shield_begin();
	c->parser.data = c;
	http_parser_init(&c->parser, HTTP_REQUEST);
	if (tls_open(&c->tls, config.ctx, fd)) {
		complain(c, "start");
	} else {
		SSL_set_accept_state(c->tls.ssl);
		if (tls_handshake(&c->tls, deadline))
			complain(c, "handshake");
		else
			requests(c);
	}
	tls_close(&c->tls, gr_after(CLOSE_TIMEOUT));
	gr_shield_end();
	free(c);
	return 0;
}

/* ---- the server ---- */

static int accept_loop(void *arg)
{
	int lfd = (int)(intptr_t)arg, fd;

	while ((fd = gr_accept(lfd, GR_FOREVER)) != -ECANCELED) {
		if (fd < 0) {
			/* out of descriptors, or a client that left: others may go meanwhile */
			gr_sleep(gr_after(10 * GR_MS));
			continue;
		}
		if (gr_scope_go(&conns, conn_main, (void *)(intptr_t)fd))
			gr_close(fd);
	}
	gr_close(lfd);
	return 0;
}

static int make_big(void)
{
	int i;

	big = malloc(16 * (size_t)BIG_LINES + 1);
	if (!big)
		return -ENOMEM;
	for (i = 0; i < BIG_LINES; i++)
		snprintf(big + 16 * i, 17, "line %10d\n", i);
	return 0;
}

int serve(void *signals)
{
	struct signalfd_siginfo info;
	int ret, lfd = gr_tcp_listen(config.host, config.port, 1024);

	if (lfd < 0) {
		fprintf(stderr, "tls: cannot listen on port %s: %s\n", config.port,
			strerrordesc_np(-lfd));
		return 1;
	}
	if (make_big()) {
		fprintf(stderr, "tls: no memory for the page /big\n");
		gr_close(lfd);
		return 1;
	}
	gr_scope_init(&conns, GR_SCOPE_ALL);
	ret = gr_scope_go(&conns, accept_loop, (void *)(intptr_t)lfd);
	if (ret) {
		gr_close(lfd);
	} else {
		fprintf(stderr, "tls: serving on port %d\n", gr_tcp_port(lfd));
		while (gr_read((int)(intptr_t)signals, &info, sizeof(info), GR_FOREVER) == -EINTR)
			;
		fprintf(stderr, "tls: finishing what has begun\n");
	}
	gr_scope_cancel(&conns);
	gr_scope_wait(&conns, GR_FOREVER);
	free(big);
	return ret ? 1 : 0;
}
