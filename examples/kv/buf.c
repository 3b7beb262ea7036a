// SPDX-License-Identifier: MIT
/*
 * buf.c - growing byte buffers, and replies in RESP.
 *
 * A buffer belongs to one goroutine, or to a lock. Lack of memory is remembered in b->failed;
 * whoever uses the contents looks there once.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

bool buf_reserve(struct buf *b, size_t n)
{
	size_t cap = b->cap ? b->cap : 512;
	char *data;

	if (b->failed)
		return false;
	if (b->cap - b->len >= n)
		return true;
	while (cap - b->len < n)
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
	if (!n || !buf_reserve(b, n))
		return;
	memcpy(b->data + b->len, data, n);
	b->len += n;
}

static void add_format(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n >= 0 && buf_reserve(b, (size_t)n + 1)) {
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
		b->len += n;
	}
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_format(b, fmt, ap);
	va_end(ap);
}

void buf_drop(struct buf *b, size_t n)
{
	if (!n)
		return;
	b->len -= n;
	memmove(b->data, b->data + n, b->len);
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void reply_status(struct buf *b, const char *text)
{
	buf_add(b, "+", 1);
	buf_add(b, text, strlen(text));
	buf_add(b, "\r\n", 2);
}

void reply_error(struct buf *b, const char *fmt, ...)
{
	size_t at, i;
	va_list ap;

	buf_add(b, "-", 1);
	at = b->len;
	va_start(ap, fmt);
	add_format(b, fmt, ap);
	va_end(ap);
	/* it may quote what a client sent: one line all the same */
	for (i = at; i < b->len; i++)
		if (b->data[i] == '\r' || b->data[i] == '\n')
			b->data[i] = ' ';
	buf_add(b, "\r\n", 2);
}

static void add_number(struct buf *b, char kind, int64_t n)
{
	char text[32];

	buf_add(b, text, snprintf(text, sizeof(text), "%c%" PRId64 "\r\n", kind, n));
}

void reply_int(struct buf *b, int64_t n)
{
	add_number(b, ':', n);
}

void reply_bulk(struct buf *b, const void *data, size_t n)
{
	add_number(b, '$', (int64_t)n);
	buf_add(b, data, n);
	buf_add(b, "\r\n", 2);
}

void reply_null(struct buf *b)
{
	buf_add(b, "$-1\r\n", 5);
}

void reply_array(struct buf *b, size_t n)
{
	add_number(b, '*', (int64_t)n);
}
