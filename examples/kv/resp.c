// SPDX-License-Identifier: MIT
/*
 * resp.c - parser of requests: arrays of bulk strings, or a line of words.
 *
 * It may be called again with more bytes at any point, and goes on where it stopped: a request that
 * comes byte by byte costs no more than one that comes at once. Nothing is copied: arguments are
 * places in the buffer, and become pointers when the request is complete. Nothing is reserved for a
 * length that a client only announces.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

#define MAX_LINE 32 /* of a count or a length */

void parser_init(struct parser *p)
{
	*p = (struct parser){.max_request = MAX_REQUEST};
	parser_next(p);
}

void parser_next(struct parser *p)
{
	p->pos = 0;
	p->argc = 0;
	p->missing = p->bulk = -1;
}

void parser_fini(struct parser *p)
{
	free(p->argv);
}

static int broken(struct parser *p, const char *why)
{
	snprintf(p->error, sizeof(p->error), "%s", why);
	return -EPROTO;
}

bool parse_int64(const char *s, size_t n, int64_t *value)
{
	uint64_t limit = INT64_MAX, v = 0;
	bool minus = n && *s == '-';
	size_t i = minus;

	limit += minus;
	if (i == n || (s[i] == '0' && n > 1))
		return false; /* nothing, -0, or a number that begins with 0 */
	for (; i < n; i++) {
		unsigned int digit = (unsigned char)s[i] - '0';

		if (digit > 9 || v > (limit - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*value = minus ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

int parser_add(struct parser *p, size_t off, size_t len)
{
	if (p->argc == p->cap) {
		int cap = p->cap ? p->cap * 2 : 8;
		struct arg *argv = realloc(p->argv, cap * sizeof(*argv));

		if (!argv)
			return -ENOMEM;
		p->argv = argv;
		p->cap = cap;
	}
	p->argv[p->argc++] = (struct arg){.off = off, .len = len};
	return 0;
}

/* 1 there was a number behind kind: p->pos is behind its line; 0; -EPROTO */
static int number(struct parser *p, const char *buf, size_t len, char kind, int64_t *value)
{
	bool count = kind == '*';
	size_t room = len - p->pos;
	const char *line = buf + p->pos, *end;

	if (!room)
		return 0;
	if (*line != kind) {
		unsigned char got = *line;

		snprintf(p->error, sizeof(p->error),
			 got > ' ' && got < 127 ? "expected '%c', got '%c'"
						: "expected '%c', got byte %d", kind, got);
		return -EPROTO;
	}
	end = memchr(line, '\r', room < MAX_LINE ? room : MAX_LINE);
	if (!end && room >= MAX_LINE)
		return broken(p, count ? "too big mbulk count string"
				       : "too big bulk count string");
	if (!end || end + 1 == buf + len)
		return 0;
	if (end[1] != '\n' || !parse_int64(line + 1, end - line - 1, value))
		return broken(p, count ? "invalid multibulk length" : "invalid bulk length");
	p->pos = end + 2 - buf;
	return 1;
}

static int array_begin(struct parser *p, const char *buf, size_t len)
{
	int64_t n;
	int ret = number(p, buf, len, '*', &n);

	if (ret <= 0)
		return ret;
	if (n > MAX_ARGS || (n < 1 && p->only_arrays))
		return broken(p, "invalid multibulk length");
	p->missing = n < 0 ? 0 : n; /* none: nothing to do, as in Redis */
	return 1;
}

/* 1 one argument more; 0; or an error */
static int argument(struct parser *p, const char *buf, size_t len)
{
	int64_t n;
	int ret;

	if (p->bulk < 0) {
		ret = number(p, buf, len, '$', &n);
		if (ret <= 0)
			return ret;
		if (n < 0 || n > (int64_t)MAX_BULK)
			return broken(p, "invalid bulk length");
		if (p->pos + n > p->max_request)
			return broken(p, "request too large");
		p->bulk = n;
	}
	if (len - p->pos < (size_t)p->bulk + 2)
		return 0;
	if (memcmp(buf + p->pos + p->bulk, "\r\n", 2))
		return broken(p, "expected the end of an argument");
	ret = parser_add(p, p->pos, p->bulk);
	p->pos += p->bulk + 2;
	p->bulk = -1;
	p->missing--;
	return ret ? ret : 1;
}

static int line(struct parser *p, char *buf, size_t len)
{
	char *end = memchr(buf + p->pos, '\n', len - p->pos);
	size_t n = end ? (size_t)(end - buf) : len;
	int ret;

	if (n > MAX_INLINE)
		return broken(p, "too big inline request");
	p->pos = n;
	if (!end)
		return 0;
	p->pos++;
	ret = inline_split(p, buf, n && buf[n - 1] == '\r' ? n - 1 : n);
	return ret ? ret : 1;
}

int parser_run(struct parser *p, char *buf, size_t len)
{
	int ret = 1, i;

	if (!len)
		return 0;
	if (*buf != '*' && !p->only_arrays) {
		ret = line(p, buf, len);
	} else {
		if (p->missing < 0)
			ret = array_begin(p, buf, len);
		while (ret > 0 && p->missing)
			ret = argument(p, buf, len);
	}
	for (i = 0; ret > 0 && i < p->argc; i++)
		p->argv[i].data = buf + p->argv[i].off;
	return ret;
}
