// SPDX-License-Identifier: MIT
/*
 * conn.c - one connection: requests in, replies out, in order.
 *
 * Job: HTTP/1.0 and 1.1 with keep-alive and pipelining. The bytes are parsed by libhttp-parser;
 * it is paused at the end of each message, so that the reply is out before the next request is
 * looked at: order is kept without a queue.
 * Callers: server.c starts a connection for each accepted descriptor.
 * Limits: MAX_HEADER (431), MAX_BODY (413). A client has config.idle_ms for the first byte of a
 * request, else it is closed silently; config.header_ms from there to the end of the header and
 * config.body_ms to the end of the body, else 408: bytes that come one by one change nothing.
 * Errors that leave it open where the next request begins end the connection.
 */
#include <errno.h>
#include <http_parser.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "httpd.h"

struct conn {
	struct link link;
	http_parser parser;
	int64_t deadline; /* of what is being read */
	/* the message being read */
	bool begun, complete, keep_alive;
	int error; /* status of the reply to a message that cannot be served, or 0 */
	int nr_host;
	size_t header_bytes, body_bytes;
	char field[16]; /* start of the name being read, longer ones do not matter */
	size_t field_len;
	bool in_value;
	struct buf *value; /* where the value being read goes, or NULL */
	struct buf url, range, if_range, if_none_match;
	struct reply reply;
	char in[MAX_HEADER];
};

/* ---- parser callbacks: non-zero stops the parser ---- */

static int on_begin(http_parser *p)
{
	struct conn *c = p->data;

	c->begun = true;
	c->deadline = after_ms(config.header_ms);
	c->complete = false;
	c->error = 0;
	c->nr_host = 0;
	c->header_bytes = c->body_bytes = 0;
	c->field_len = 0;
	c->in_value = false;
	buf_reset(&c->url);
	buf_reset(&c->range);
	buf_reset(&c->if_range);
	buf_reset(&c->if_none_match);
	return 0;
}

static int count_header(struct conn *c, size_t n)
{
	c->header_bytes += n;
	if (c->header_bytes > MAX_HEADER)
		c->error = 431;
	return c->error;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
	struct conn *c = p->data;

	buf_add(&c->url, at, n);
	return count_header(c, n);
}

static int on_field(http_parser *p, const char *at, size_t n)
{
	struct conn *c = p->data;
	size_t i;

	if (c->in_value)
		c->field_len = 0;
	c->in_value = false;
	for (i = 0; i < n && c->field_len < sizeof(c->field); i++)
		c->field[c->field_len++] = at[i];
	return count_header(c, n);
}

static bool field_is(const struct conn *c, const char *name)
{
	size_t n = strlen(name);

	return c->field_len == n && !strncasecmp(c->field, name, n);
}

/* Several fields of one name are one list. */
static void begin_value(struct conn *c)
{
	c->in_value = true;
	c->value = NULL;
	if (field_is(c, "host"))
		c->nr_host++;
	else if (field_is(c, "range"))
		c->value = &c->range;
	else if (field_is(c, "if-range"))
		c->value = &c->if_range;
	else if (field_is(c, "if-none-match"))
		c->value = &c->if_none_match;
	if (c->value && c->value->len)
		buf_add(c->value, ", ", 2);
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct conn *c = p->data;

	if (!c->in_value)
		begin_value(c);
	if (c->value)
		buf_add(c->value, at, n);
	return count_header(c, n);
}

static int on_headers_done(http_parser *p)
{
	struct conn *c = p->data;

	c->deadline = after_ms(config.body_ms);
	if (p->content_length != ULLONG_MAX && p->content_length > MAX_BODY) {
		c->error = 413; /* without reading it */
		return -1;
	}
	if (p->method != HTTP_GET && p->method != HTTP_HEAD)
		c->error = 405;
	else if (c->nr_host > 1 || (!c->nr_host && p->http_major == 1 && p->http_minor >= 1))
		c->error = 400;
	else if (c->url.failed || c->range.failed || c->if_range.failed || c->if_none_match.failed)
		c->error = 500;
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct conn *c = p->data;

	(void)at;
	c->body_bytes += n;
	if (c->body_bytes > MAX_BODY)
		c->error = 413;
	return c->body_bytes > MAX_BODY;
}

static int on_complete(http_parser *p)
{
	struct conn *c = p->data;

	c->complete = true;
	c->begun = false;
	c->keep_alive = http_should_keep_alive(p) && !p->upgrade;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_done,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

/* ---- requests ---- */

static int send_error(struct conn *c, int status)
{
	bool head = c->complete && c->parser.method == HTTP_HEAD;

	c->keep_alive = c->keep_alive && status == 405 && c->complete && !server_draining();
	reply_begin(&c->reply);
	reply_text(&c->reply, status, "%s", reply_reason(status));
	if (status == 405)
		buf_printf(&c->reply.fields, "Allow: GET, HEAD\r\n");
	return reply_send(&c->reply, c->link.fd, head, c->keep_alive);
}

static const char *text_or_null(const struct buf *b)
{
	return b->len ? b->data : NULL;
}

static int serve(struct conn *c)
{
	struct request req = {
		.head = c->parser.method == HTTP_HEAD,
		.range = text_or_null(&c->range),
		.if_range = text_or_null(&c->if_range),
		.if_none_match = text_or_null(&c->if_none_match),
	};
	struct http_parser_url u;

	if (c->error)
		return send_error(c, c->error);
	http_parser_url_init(&u);
	if (http_parser_parse_url(c->url.data, c->url.len, 0, &u) ||
	    !(u.field_set & (1 << UF_PATH)))
		return send_error(c, 400);
	req.path = c->url.data + u.field_data[UF_PATH].off;
	req.path_len = u.field_data[UF_PATH].len;
	if (u.field_set & (1 << UF_QUERY)) {
		req.query = c->url.data + u.field_data[UF_QUERY].off;
		req.query_len = u.field_data[UF_QUERY].len;
	}
	reply_begin(&c->reply);
	route(&req, &c->reply);
	c->keep_alive = c->keep_alive && !server_draining();
	return reply_send(&c->reply, c->link.fd, req.head, c->keep_alive);
}

/* a well-formed word that is no method of HTTP, as against noise */
static bool looks_like_method(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n && s[i] >= 'A' && s[i] <= 'Z'; i++)
		;
	return i && i < n && s[i] == ' ';
}

/* data: what was being parsed */
static int bad_message(struct conn *c, const char *data, size_t n)
{
	enum http_errno e = HTTP_PARSER_ERRNO(&c->parser);
	int status = c->error ? c->error : 400;

	if (e == HPE_HEADER_OVERFLOW)
		status = 431;
	else if (e == HPE_INVALID_METHOD && looks_like_method(data, n))
		status = 405;
	c->keep_alive = false;
	send_error(c, status);
	return -EPROTO;
}

/* all that arrived: as many requests as are complete; non-zero ends the connection */
static int feed(struct conn *c, const char *data, size_t n)
{
	while (n) {
		size_t used = http_parser_execute(&c->parser, &settings, data, n);

		if (!c->complete) {
			if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK || used != n)
				return bad_message(c, data, n);
			return 0;
		}
		http_parser_pause(&c->parser, 0);
		if (serve(c) || !c->keep_alive)
			return -ECONNRESET;
		c->complete = false;
		c->error = 0; /* the parser may refuse the first byte, and begin nothing */
		c->deadline = after_ms(config.idle_ms);
		data += used;
		n -= used;
	}
	return 0;
}

static ssize_t read_some(struct conn *c)
{
	int64_t deadline = c->deadline;
	ssize_t n;

	atomic_store(&c->link.idle, !c->begun);
	if (!c->begun && server_draining())
		deadline = GR_NOW; /* only what is there already */
	n = gr_read(c->link.fd, c->in, sizeof(c->in), deadline);
	atomic_store(&c->link.idle, false);
	return n;
}

static void conn_loop(struct conn *c)
{
	ssize_t n;

	c->deadline = after_ms(config.idle_ms);
	do {
		n = read_some(c);
		if (n == -ETIMEDOUT && c->begun) {
			c->keep_alive = false;
			send_error(c, 408);
		}
	} while (n > 0 && !feed(c, c->in, n));
}

/*
 * Closing while unread bytes wait would reset the connection and take the error reply with it:
 * end our direction and read the rest, for a moment.
 */
static void linger(struct conn *c)
{
	int64_t deadline = gr_after(GR_SEC);

	gr_shutdown(c->link.fd, SHUT_WR);
	/* what is there is read at any time: who sends on and on ends here all the same */
	while (gr_now() < deadline && gr_read(c->link.fd, c->in, sizeof(c->in), deadline) > 0)
		;
}

static void conn_main(void *arg)
{
	struct conn *c = arg;

	server_enter(&c->link);
	conn_loop(c);
	linger(c);
	server_leave(&c->link);
	buf_free(&c->url);
	buf_free(&c->range);
	buf_free(&c->if_range);
	buf_free(&c->if_none_match);
	reply_free(&c->reply);
	free(c);
}

int conn_start(int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return -ENOMEM;
	c->link.fd = fd;
	c->parser.data = c;
	http_parser_init(&c->parser, HTTP_REQUEST);
	ret = gr_go(conn_main, c);
	if (ret)
		free(c);
	return ret;
}
