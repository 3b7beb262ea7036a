// SPDX-License-Identifier: MIT
/*
 * reply.c - what goes out: the header, and a body from memory or from a file.
 *
 * A reply belongs to one connection, which uses it again and again. A client that takes its bytes
 * too slowly is given up: config.write_ms for what is in memory, and for each FILE_CHUNK of a
 * file.
 */
#include <errno.h>
#include <http_parser.h>
#include <stdarg.h>
#include <stdio.h>

#include "httpd.h"

const char *reply_reason(int status)
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

void reply_begin(struct reply *r)
{
	r->status = 200;
	r->file = -1;
	buf_reset(&r->fields);
	buf_reset(&r->body);
}

void reply_text(struct reply *r, int status, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	r->status = status;
	buf_reset(&r->body);
	buf_printf(&r->body, "%s\n", line);
}

static const char *date(struct reply *r)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != r->date_sec) {
		r->date_sec = now;
		strftime(r->date, sizeof(r->date), "%a, %d %b %Y %H:%M:%S GMT",
			 gmtime_r(&now, &tm));
	}
	return r->date;
}

static int send_file(struct reply *r, int fd)
{
	while (r->file_len) {
		off_t chunk = r->file_len < FILE_CHUNK ? r->file_len : FILE_CHUNK;
		int64_t deadline = after_ms(config.write_ms);

		r->file_len -= chunk;
		while (chunk) {
			ssize_t n = gr_sendfile(fd, r->file, r->file_off, chunk, deadline);

			if (n <= 0) /* it became shorter: the promised length cannot be kept */
				return n ? (int)n : -EIO;
			r->file_off += n;
			chunk -= n;
		}
	}
	return 0;
}

static int send_all(struct reply *r, int fd, bool head, bool keep_alive)
{
	const char *type = r->file >= 0 ? "application/octet-stream" : "text/plain; charset=utf-8";
	long long len = r->file >= 0 ? (long long)r->file_len : (long long)r->body.len;
	struct buf *out = &r->out;
	ssize_t n;

	buf_reset(out);
	buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", r->status, reply_reason(r->status),
		   date(r));
	buf_add(out, r->fields.data, r->fields.len);
	if (!keep_alive)
		buf_printf(out, "Connection: close\r\n");
	if (r->status != 304) /* which has no body, and speaks of none */
		buf_printf(out, "Content-Type: %s\r\nContent-Length: %lld\r\n", type, len);
	buf_printf(out, "\r\n");
	if (!head && r->file < 0)
		buf_add(out, r->body.data, r->body.len);
	if (out->failed || r->fields.failed || r->body.failed)
		return -ENOMEM;
	n = gr_write_all(fd, out->data, out->len, after_ms(config.write_ms));
	if (n < 0)
		return (int)n;
	return r->file >= 0 && !head ? send_file(r, fd) : 0;
}

int reply_send(struct reply *r, int fd, bool head, bool keep_alive)
{
	int ret = send_all(r, fd, head, keep_alive);

	if (r->file >= 0)
		gr_close(r->file);
	r->file = -1;
	return ret;
}

void reply_free(struct reply *r)
{
	buf_free(&r->fields);
	buf_free(&r->body);
	buf_free(&r->out);
}
