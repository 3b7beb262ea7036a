// SPDX-License-Identifier: MIT
/*
 * scope.c - several questions at once, with one deadline for all of them.
 *
 * One "server" is slow, another breaks. The first failure, or the deadline, cancels the rest; and
 * when gr_scope_wait() is back nothing runs any more, so everything may live on this stack.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gr.h"

struct question {
	const char *server;
	int takes_ms;
	int error;
	int answer; /* out */
};

static int ask(void *arg)
{
	struct question *q = arg;
	int ret = gr_sleep(gr_after(q->takes_ms * GR_MS));

	if (ret) {
		printf("  %s: gave up\n", q->server);
		return ret;
	}
	q->answer = q->takes_ms;
	printf("  %s: %s\n", q->server, q->error ? "broken" : "has answered");
	return q->error;
}

static int ask_all(struct question *qs, int n, int64_t deadline)
{
	struct gr_scope s;
	int ret;

	gr_scope_init(&s, 0);
	for (int i = 0; i < n; i++) {
		ret = gr_scope_go(&s, ask, &qs[i]);
		if (ret) {
			gr_scope_cancel(&s);
			gr_scope_wait(&s, GR_FOREVER);
			return ret;
		}
	}
	return gr_scope_wait(&s, deadline);
}

static void report(const char *what, int ret)
{
	printf("%s: %s\n", what, ret ? strerror(-ret) : "all is well");
}

static int start(void *arg)
{
	struct question good[] = { { "north", 5, 0, 0 }, { "south", 10, 0, 0 } };
	struct question bad[] = { { "north", 5, -EIO, 0 }, { "south", 60000, 0, 0 } };
	struct question slow[] = { { "north", 5, 0, 0 }, { "south", 60000, 0, 0 } };
	int ret[3];

	(void)arg;
	report("two good servers", ret[0] = ask_all(good, 2, gr_after(30 * GR_SEC)));
	report("one is broken", ret[1] = ask_all(bad, 2, gr_after(30 * GR_SEC)));
	report("one is slow", ret[2] = ask_all(slow, 2, gr_after(50 * GR_MS)));
	return ret[0] != 0 || ret[1] != -EIO || ret[2] != -ETIMEDOUT;
}

int main(void)
{
	return gr_run(start, NULL, NULL) ? 1 : 0;
}
