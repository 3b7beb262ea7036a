// SPDX-License-Identifier: MIT
/* kv_resp_test.c - the parser of examples/kv: any cut of the input gives the same requests. */
#include <string.h>

#include "../../examples/kv/inline.c"
#include "../../examples/kv/resp.c"
#include "tap.h"

/* Parse n bytes that arrive in pieces, the first of them `first` long, into one line of text. */
static void parse(const char *bytes, size_t n, size_t first, size_t step, char *text, size_t room)
{
	char *buf = malloc(n + 1), *out = text;
	size_t at = 0, have = first < n ? first : n;
	struct parser p;
	int ret, i;

	parser_init(&p);
	memcpy(buf, bytes, n);
	*out = 0;
	for (;;) {
		ret = parser_run(&p, buf + at, have - at);
		if (!ret && have < n) {
			have = have + step < n ? have + step : n;
			continue;
		}
		if (ret <= 0)
			break;
		for (i = 0; i < p.argc; i++)
			out += snprintf(out, text + room - out, "%s%.*s", i ? "," : "",
					(int)p.argv[i].len, p.argv[i].data);
		out += snprintf(out, text + room - out, ";");
		at += p.pos;
		parser_next(&p);
	}
	snprintf(out, text + room - out, "%s%s", ret ? "!" : at < n ? "..." : "",
		 ret ? p.error : "");
	parser_fini(&p);
	free(buf);
}

static void cuts(const char *name, const char *bytes, size_t n, const char *expect)
{
	char text[512];
	size_t first, bad = 0;

	for (first = 0; first <= n; first++) {
		parse(bytes, n, first, n, text, sizeof(text));
		bad += strcmp(text, expect) != 0;
	}
	parse(bytes, n, 1, 1, text, sizeof(text));
	bad += strcmp(text, expect) != 0;
	tap_ok(!bad, "%s", name);
	if (bad)
		printf("# %s\n", text);
}

#define CUTS(bytes, expect) cuts(#bytes, bytes, sizeof(bytes) - 1, expect)

static void arrays(void)
{
	CUTS("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "PING;GET,a;");
	CUTS("*2\r\n$0\r\n\r\n$4\r\n\r\n\r\n\r\n", ",\r\n\r\n;");
	CUTS("*0\r\n*-1\r\n*1\r\n$1\r\nx\r\n", ";;x;");
	CUTS("*2\r\n$3\r\nGET\r\n$5\r\nab", "...");
	CUTS("*1\r\n$1\r\nab\r\n", "!expected the end of an argument");
	CUTS("*1\r\n:1\r\n\r\n\r\n", "!expected '$', got ':'");
	CUTS("*1\r\n\001", "!expected '$', got byte 1");
	CUTS("*1\r\n$-1\r\n", "!invalid bulk length");
	CUTS("*1\r\n$16777217\r\n", "!invalid bulk length");
	CUTS("*1\r\n$1x\r\n", "!invalid bulk length");
	CUTS("*1\r\n$01\r\n", "!invalid bulk length");
	CUTS("*1\r\n$1\rx\r\n", "!invalid bulk length");
	CUTS("*65537\r\n", "!invalid multibulk length");
	CUTS("*99999999999999999999\r\n", "!invalid multibulk length");
	CUTS("*000000000000000000000000000000000000000", "!too big mbulk count string");
	CUTS("*1\r\n$00000000000000000000000000000000000", "!too big bulk count string");
}

static void lines(void)
{
	CUTS("PING\r\n\r\n  GET \t a\n", "PING;;GET,a;");
	CUTS("ECHO \"a b\\x41\\n\\q\\\"\" 'c\\'d\\n' x\"y\"\n", "ECHO,a bA\nq\",c'd\\n,xy;");
	CUTS("ECHO \"a\n", "!unbalanced quotes in request");
	CUTS("ECHO \"a\"b\n", "!unbalanced quotes in request");
	CUTS("ECHO \"\" a\\\n", "ECHO,,a\\;");
	CUTS("PING", "...");
}

static void numbers(void)
{
	static const char *const bad[] = {"", "-", "+1", "-0", "01", " 1", "1 ", "0x1",
					  "9223372036854775808", "-9223372036854775809"};
	unsigned int i, accepted = 0;
	int64_t v;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		accepted += parse_int64(bad[i], strlen(bad[i]), &v);
	tap_ok(!accepted, "numbers that are none");
	tap_ok(parse_int64("0", 1, &v) && v == 0, "0");
	tap_ok(parse_int64("9223372036854775807", 19, &v) && v == INT64_MAX, "largest");
	tap_ok(parse_int64("-9223372036854775808", 20, &v) && v == INT64_MIN, "smallest");
}

int main(void)
{
	arrays();
	lines();
	numbers();
	return tap_done();
}
