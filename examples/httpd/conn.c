// SPDX-License-Identifier: MIT
/*
 * conn.c - one connection: requests in, replies out, in order.
 *
 * Job: HTTP/1.0 and 1.1 with keep-alive and pipelining. The bytes are parsed by libhttp-parser;
 * it is paused at the end of each message, so that the reply is out before the next request is
 * looked at: order is kept without a queue.
 * Callers: main.c starts conn_main() as a goroutine for each accepted descriptor.
 * Limits: MAX_HEADER (431), MAX_BODY (413), IDLE_TIMEOUT between requests (closed silently),
 * HEADER_TIMEOUT from a request's first byte to its end (408). Any error ends the connection.
 */
#include <errno.h>
#include <http_parser.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "httpd.h"

struct conn {
	int fd;
	http_parser parser;
	/* the message being read */
	bool begun, fresh, complete, keep_alive;
	int error; /* status of the reply to a message that cannot be served, or 0 */
	int nr_host;
	size_t header_bytes, body_bytes;
	char field[8]; /* start of the header name being read, longer ones do not matter */
	size_t field_len;
	bool in_value;
	struct buf url;
	/* the reply */
	struct reply reply;
	struct buf out;
	time_t date_sec;
	char date[40];
	char in[MAX_HEADER];
};

/* ---- parser callbacks: non-zero stops the parser ---- */

static int on_begin(http_parser *p)
{
	struct conn *c = p->data;

	c->begun = c->fresh = true;
	c->complete = false;
	c->error = 0;
	c->nr_host = 0;
	c->header_bytes = c->body_bytes = 0;
	c->field_len = 0;
	c->in_value = false;
	buf_reset(&c->url);
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

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct conn *c = p->data;

	(void)at;
	if (!c->in_value && c->field_len == 4 && !strncasecmp(c->field, "host", 4))
		c->nr_host++;
	c->in_value = true;
	return count_header(c, n);
}

static int on_headers_done(http_parser *p)
{
	struct conn *c = p->data;

	if (p->method != HTTP_GET && p->method != HTTP_HEAD)
		c->error = 405;
	else if (c->nr_host > 1 || (!c->nr_host && p->http_major == 1 && p->http_minor >= 1))
		c->error = 400;
	else if (c->url.failed)
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

/* ---- replies ---- */

static const char *reason(int status)
{
	switch (status) {
#define XX(num, name, string) \
	case num:             \
		return #string;
		HTTP_STATUS_MAP(XX)
#undef XX
	}
	return "Unknown";
}

static const char *date(struct conn *c)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != c->date_sec) {
		c->date_sec = now;
		strftime(c->date, sizeof(c->date), "%a, %d %b %Y %H:%M:%S GMT",
			 gmtime_r(&now, &tm));
	}
	return c->date;
}

static int send_file(struct conn *c)
{
	off_t off = 0;
	ssize_t n;

	while (off < c->reply.file_size) {
		size_t want = sizeof(c->in);
		char chunk[sizeof(c->in)];

		if ((off_t)want > c->reply.file_size - off)
			want = c->reply.file_size - off;
		n = gr_pread(c->reply.file, chunk, want, off, GR_FOREVER);
		if (n <= 0) /* it became shorter: the promised length cannot be kept */
			return n ? (int)n : -EIO;
		n = gr_write_all(c->fd, chunk, n, gr_after(WRITE_TIMEOUT));
		if (n < 0)
			return n;
		off += n;
	}
	return 0;
}

static int send_reply(struct conn *c, bool head)
{
	struct reply *r = &c->reply;
	const char *type = r->file >= 0 ? "application/octet-stream" : "text/plain; charset=utf-8";
	long long len = r->file >= 0 ? (long long)r->file_size : (long long)r->body.len;
	ssize_t n;

	if (r->body.failed)
		return -ENOMEM;
	buf_reset(&c->out);
	buf_printf(&c->out, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\n", r->status,
		   reason(r->status), date(c), type);
	buf_printf(&c->out, "Content-Length: %lld\r\n%s%s\r\n", len,
		   r->status == 405 ? "Allow: GET, HEAD\r\n" : "",
		   c->keep_alive ? "" : "Connection: close\r\n");
	if (!head)
		buf_add(&c->out, r->body.data, r->body.len);
	if (c->out.failed)
		return -ENOMEM;
	n = gr_write_all(c->fd, c->out.data, c->out.len, gr_after(WRITE_TIMEOUT));
	if (n < 0)
		return n;
	return r->file >= 0 && !head ? send_file(c) : 0;
}

static int send_error(struct conn *c, int status)
{
	bool head = c->complete && c->parser.method == HTTP_HEAD;

	c->keep_alive = c->keep_alive && status == 405 && c->complete;
	reply_text(&c->reply, status, "%s", reason(status));
	return send_reply(c, head);
}

/* ---- requests ---- */

static int serve(struct conn *c)
{
	struct http_parser_url u;
	struct request req = {0};
	int ret;

	buf_reset(&c->reply.body);
	c->reply.file = -1;
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
	route(&req, &c->reply);
	ret = send_reply(c, c->parser.method == HTTP_HEAD);
	if (c->reply.file >= 0)
		gr_close(c->reply.file);
	return ret;
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
	buf_reset(&c->reply.body);
	c->reply.file = -1;
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
		data += used;
		n -= used;
	}
	return 0;
}

static void conn_loop(struct conn *c)
{
	int64_t deadline = gr_after(IDLE_TIMEOUT);

	for (;;) {
		ssize_t n = gr_read(c->fd, c->in, sizeof(c->in), deadline);

		if (n == -ETIMEDOUT && c->begun) {
			reply_text(&c->reply, 408, "%s", reason(408));
			c->keep_alive = false;
			send_reply(c, false);
		}
		if (n <= 0 || feed(c, c->in, n))
			return;
		if (!c->begun)
			deadline = gr_after(IDLE_TIMEOUT);
		else if (c->fresh)
			deadline = gr_after(HEADER_TIMEOUT);
		c->fresh = false;
	}
}

/*
 * Closing while unread bytes wait would reset the connection and take the error reply with it:
 * end our direction and read the rest, for a moment.
 */
static void linger(struct conn *c)
{
	int64_t deadline = gr_after(GR_SEC);

	shutdown(c->fd, SHUT_WR);
	while (gr_read(c->fd, c->in, sizeof(c->in), deadline) > 0)
		;
}

void conn_main(void *arg)
{
	struct conn *c = calloc(1, sizeof(*c));
	int fd = (int)(intptr_t)arg, one = 1;

	if (c) {
		c->fd = fd;
		c->reply.file = -1;
		c->parser.data = c;
		http_parser_init(&c->parser, HTTP_REQUEST);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		conn_loop(c);
		linger(c);
		buf_free(&c->url);
		buf_free(&c->out);
		buf_free(&c->reply.body);
		free(c);
	}
	gr_close(fd);
}
