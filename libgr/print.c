// SPDX-License-Identifier: MIT
/* print.c - the two ways in which the library speaks: a warning, and the end. Any thread. */
#include <stdarg.h>

#include "gr_int.h"

static void say(const char *fmt, va_list ap)
{
	char line[512];

	vsnprintf(line, sizeof(line), fmt, ap);
	fprintf(stderr, "gr: %s\n", line); /* one call, so that lines do not mix */
}

void gr_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void gr_throw(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	abort();
}
