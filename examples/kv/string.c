// SPDX-License-Identifier: MIT
/* string.c - commands on values. What they may assume, and in which order they work: command.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kv.h"

static struct table *table_of(uint64_t hash)
{
	return &shards[shard_of(hash)].table;
}

static void reply_item(struct call *c, const struct item *i)
{
	if (i)
		reply_bulk(c->out, item_value(i), i->len);
	else
		reply_null(c->out);
}

void cmd_get(struct call *c)
{
	uint64_t hash;

	reply_item(c, call_find(c, &c->argv[1], &hash));
}

void cmd_mget(struct call *c)
{
	size_t begin = c->out->len;
	uint64_t hash;
	int i;

	reply_array(c->out, c->argc - 1);
	for (i = 1; i < c->argc && c->out->len - begin <= MAX_REPLY; i++)
		reply_item(c, call_find(c, &c->argv[i], &hash));
	if (i < c->argc) {
		c->out->len = begin;
		reply_error(c->out, "ERR reply too large");
	}
}

struct set_options {
	int64_t expire; /* 0: never */
	bool nx, xx;
};

/* EX, PX, EXAT or PXAT and its number; false: replied */
static bool set_expire(struct call *c, const struct arg *word, const struct arg *number,
		       struct set_options *o)
{
	int64_t unit = arg_is(word, "ex") || arg_is(word, "exat") ? 1000 : 1;
	bool absolute = arg_is(word, "exat") || arg_is(word, "pxat");

	if (!arg_when(c, number, unit, absolute, &o->expire))
		return false;
	if (o->expire > (absolute ? 0 : c->now))
		return true;
	reply_error(c->out, "ERR invalid expire time in 'set' command");
	return false;
}

static bool set_options(struct call *c, struct set_options *o)
{
	int i;

	for (i = 3; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];

		if (arg_is(a, "nx") && !o->xx) {
			o->nx = true;
		} else if (arg_is(a, "xx") && !o->nx) {
			o->xx = true;
		} else if ((arg_is(a, "ex") || arg_is(a, "px") || arg_is(a, "exat") ||
			    arg_is(a, "pxat")) && !o->expire && i + 1 < c->argc) {
			if (!set_expire(c, a, &c->argv[++i], o))
				return false;
		} else {
			reply_error(c->out, "ERR syntax error");
			return false;
		}
	}
	return true;
}

static bool log_set(struct call *c, int64_t expire)
{
	char text[32];
	struct arg argv[5] = {{.data = "SET", .len = 3}, c->argv[1], c->argv[2],
			      {.data = "PXAT", .len = 4}, {.data = text}};

	argv[4].len = snprintf(text, sizeof(text), "%" PRId64, expire);
	return call_log(c, expire ? 5 : 3, argv);
}

void cmd_set(struct call *c)
{
	struct set_options o = {0};
	struct item *old, *new;
	uint64_t hash;

	if (!set_options(c, &o))
		return;
	old = call_find(c, &c->argv[1], &hash);
	if ((o.nx && old) || (o.xx && !old)) {
		reply_null(c->out);
		return;
	}
	new = item_new(&c->argv[1], c->argv[2].data, c->argv[2].len, hash);
	if (!new || table_reserve(table_of(hash))) {
		free(new);
		reply_refused(c->out, -ENOMEM);
		return;
	}
	if (!log_set(c, o.expire)) {
		free(new);
		return;
	}
	new->expire = o.expire;
	table_put(table_of(hash), new);
	reply_status(c->out, "OK");
}

/* all items of an MSET, in a list; NULL: no memory */
static struct item *mset_items(struct call *c)
{
	struct item *list = NULL, *i;
	int n;

	for (n = c->argc - 2; n > 0; n -= 2) {
		uint64_t hash = store_hash(&c->argv[n]);

		i = item_new(&c->argv[n], c->argv[n + 1].data, c->argv[n + 1].len, hash);
		if (!i || table_reserve(table_of(hash))) {
			free(i);
			while ((i = list)) {
				list = i->next;
				free(i);
			}
			return NULL;
		}
		i->next = list;
		list = i;
	}
	return list;
}

void cmd_mset(struct call *c)
{
	struct item *list, *next;
	bool logged;

	if (c->argc % 2 == 0) {
		reply_error(c->out, "ERR wrong number of arguments for 'mset' command");
		return;
	}
	list = mset_items(c);
	if (!list) {
		reply_refused(c->out, -ENOMEM);
		return;
	}
	logged = call_log(c, c->argc, c->argv);
	for (; list; list = next) {
		next = list->next;
		if (logged)
			table_put(table_of(list->hash), list);
		else
			free(list);
	}
	if (logged)
		reply_status(c->out, "OK");
}

/* One record for all, so that they go together in a replay too. */
void cmd_del(struct call *c)
{
	int n, found = 0, removed = 0;
	struct item *i;
	uint64_t hash;

	for (n = 1; n < c->argc; n++)
		found += call_find(c, &c->argv[n], &hash) != NULL;
	if (found && !call_log(c, c->argc, c->argv))
		return;
	for (n = 1; found && n < c->argc; n++) {
		i = call_find(c, &c->argv[n], &hash);
		if (i) {
			table_remove(table_of(hash), i);
			removed++;
		}
	}
	reply_int(c->out, removed);
}

void cmd_exists(struct call *c)
{
	int n, found = 0;
	uint64_t hash;

	for (n = 1; n < c->argc; n++)
		found += call_find(c, &c->argv[n], &hash) != NULL;
	reply_int(c->out, found);
}

/* how much to add; false: replied */
static bool incr_by(struct call *c, int64_t *by)
{
	*by = 1;
	if (c->argc == 3 && !arg_int(c, &c->argv[2], by))
		return false;
	if (!arg_is(&c->argv[0], "decr") && !arg_is(&c->argv[0], "decrby"))
		return true;
	if (__builtin_sub_overflow(0, *by, by)) {
		reply_error(c->out, "ERR decrement would overflow");
		return false;
	}
	return true;
}

/* INCR, DECR, INCRBY, DECRBY; the time it has left stays */
void cmd_incr(struct call *c)
{
	int64_t by, value = 0;
	struct item *old, *new;
	char text[32];
	uint64_t hash;

	if (!incr_by(c, &by))
		return;
	old = call_find(c, &c->argv[1], &hash);
	if (old && !parse_int64(item_value(old), old->len, &value)) {
		reply_error(c->out, "ERR value is not an integer or out of range");
		return;
	}
	if (__builtin_add_overflow(value, by, &value)) {
		reply_error(c->out, "ERR increment or decrement would overflow");
		return;
	}
	new = item_new(&c->argv[1], text, snprintf(text, sizeof(text), "%" PRId64, value), hash);
	if (!new || table_reserve(table_of(hash))) {
		free(new);
		reply_refused(c->out, -ENOMEM);
		return;
	}
	if (!call_log(c, c->argc, c->argv)) {
		free(new);
		return;
	}
	new->expire = old ? old->expire : 0;
	table_put(table_of(hash), new);
	reply_int(c->out, value);
}
