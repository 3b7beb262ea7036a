// SPDX-License-Identifier: MIT
/*
 * inline.c - requests typed by hand: words with blanks between, some "quoted" or 'quoted'.
 *
 * In double quotes a backslash begins \n \r \t \b \a \xHH, or stands before any other character; in
 * single quotes only \' is special. What is left of a word is never longer than the word: it stays
 * where it is in the line.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kv.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* the character behind a backslash at line[*i]; *i is then at its last character */
static char escaped(const char *line, size_t n, size_t *i)
{
	static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
	const char *at;
	char c = line[++*i];

	if (c == 'x' && *i + 2 < n && hex(line[*i + 1]) >= 0 && hex(line[*i + 2]) >= 0) {
		*i += 2;
		return (char)(hex(line[*i - 1]) << 4 | hex(line[*i]));
	}
	at = c ? strchr(from, c) : NULL;
	return at ? to[at - from] : c;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Take one word from *i on, write it to line + *i; false: quotes do not match. */
static bool word(char *line, size_t n, size_t *i, size_t *len)
{
	char quote = 0, *to = line + *i, *start = to;

	for (; *i < n && (quote || !blank(line[*i])); ++*i) {
		char c = line[*i];

		if (!quote && (c == '"' || c == '\'')) {
			quote = c;
		} else if (quote && c == quote) {
			if (*i + 1 < n && !blank(line[*i + 1]))
				return false;
			quote = 0;
		} else if (c == '\\' && *i + 1 < n &&
			   (quote == '"' || (quote == '\'' && line[*i + 1] == '\''))) {
			*to++ = escaped(line, n, i);
		} else {
			*to++ = c;
		}
	}
	*len = to - start;
	return !quote;
}

int inline_split(struct parser *p, char *line, size_t n)
{
	size_t i = 0;

	for (;;) {
		size_t start, len;
		int ret;

		while (i < n && blank(line[i]))
			i++;
		if (i == n)
			return 0;
		start = i;
		if (!word(line, n, &i, &len)) {
			snprintf(p->error, sizeof(p->error), "unbalanced quotes in request");
			return -EPROTO;
		}
		ret = parser_add(p, start, len);
		if (ret)
			return ret;
	}
}
