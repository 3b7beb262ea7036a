// SPDX-License-Identifier: MIT
/*
 * buf.c - growing byte buffers and URL decoding.
 *
 * A buffer is owned by one goroutine. Lack of memory is remembered in b->failed instead of being
 * checked at every call: whoever uses the contents looks there once.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "httpd.h"

/* room for n more bytes and a NUL */
static bool reserve(struct buf *b, size_t n)
{
	size_t need = b->len + n + 1, cap = b->cap ? b->cap : 256;
	char *data;

	if (b->failed)
		return false;
	if (need <= b->cap)
		return true;
	while (cap < need)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_add(struct buf *b, const void *data, size_t n)
{
	if (!reserve(b, n))
		return;
	if (n)
		memcpy(b->data + b->len, data, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !reserve(b, n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, n + 1, fmt, ap);
	va_end(ap);
	b->len += n;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int url_decode(struct buf *b, const char *s, size_t n, bool plus)
{
	size_t i;

	buf_add(b, "", 0);
	for (i = 0; i < n; i++) {
		char c = s[i];

		if (c == '%') {
			int hi = i + 2 < n ? hex(s[i + 1]) : -1;
			int lo = i + 2 < n ? hex(s[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return -EINVAL;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		if (!c)
			return -EINVAL;
		buf_add(b, &c, 1);
	}
	return b->failed ? -ENOMEM : 0;
}

int query_get(struct buf *b, const char *query, size_t n, const char *key)
{
	const char *end = query ? query + n : NULL;
	size_t klen = strlen(key);

	while (query && query < end) {
		const char *amp = memchr(query, '&', end - query);
		size_t len = (amp ? amp : end) - query;

		if (len > klen && !memcmp(query, key, klen) && query[klen] == '=')
			return url_decode(b, query + klen + 1, len - klen - 1, true);
		query = amp ? amp + 1 : end;
	}
	return -ENOENT;
}
