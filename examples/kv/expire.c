// SPDX-License-Identifier: MIT
/*
 * expire.c - commands on the time that keys have left.
 *
 * Times are kept and logged as points of the system's clock, in milliseconds: a server that was off
 * in between has not stopped them.
 */
#include <inttypes.h>
#include <stdio.h>

#include "kv.h"

/* EXPIRE and PEXPIRE count from now, EXPIREAT and PEXPIREAT do not */
void cmd_expire(struct call *c)
{
	const struct arg *name = &c->argv[0];
	bool absolute = arg_is(name, "expireat") || arg_is(name, "pexpireat");
	int64_t unit = arg_is(name, "expire") || arg_is(name, "expireat") ? 1000 : 1, when;
	char text[32];
	struct arg argv[3] = {{.data = "PEXPIREAT", .len = 9}, c->argv[1], {.data = text}};
	struct item *i;
	uint64_t hash;

	if (!arg_when(c, &c->argv[2], unit, absolute, &when))
		return;
	i = call_find(c, &c->argv[1], &hash);
	if (!i) {
		reply_int(c->out, 0);
		return;
	}
	if (when <= c->now && !c->replay) {
		int ret = call_remove(c, i);

		if (ret)
			reply_refused(c->out, ret);
		else
			reply_int(c->out, 1);
		return;
	}
	argv[2].len = snprintf(text, sizeof(text), "%" PRId64, when);
	if (call_log(c, 3, argv)) {
		table_expire(&shards[shard_of(hash)].table, i, when);
		reply_int(c->out, 1);
	}
}

/* TTL and PTTL: -2 no such key, -1 it stays */
void cmd_ttl(struct call *c)
{
	uint64_t hash;
	struct item *i = call_find(c, &c->argv[1], &hash);
	int64_t left = i ? i->expire - c->now : 0;

	if (!i)
		reply_int(c->out, -2);
	else if (!i->expire)
		reply_int(c->out, -1);
	else if (arg_is(&c->argv[0], "pttl"))
		reply_int(c->out, left);
	else
		reply_int(c->out, left / 1000 + (left % 1000 >= 500));
}

void cmd_persist(struct call *c)
{
	uint64_t hash;
	struct item *i = call_find(c, &c->argv[1], &hash);

	if (!i || !i->expire) {
		reply_int(c->out, 0);
	} else if (call_log(c, c->argc, c->argv)) {
		table_expire(&shards[shard_of(hash)].table, i, 0);
		reply_int(c->out, 1);
	}
}
