// SPDX-License-Identifier: MIT
/*
 * command.c - which commands there are, and how one is run: found, checked, its shards locked.
 *
 * A command that changes something does three things in this order: take all memory it needs;
 * call_log(), which may refuse; change the table, which cannot fail. So the table never holds what
 * the log does not have or will not get, and changes of a key are in the file in their order.
 *
 * A replay runs the same functions. Then nothing expires by itself: the server that wrote the log
 * wrote a DEL for each key that expired, at its place.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "kv.h"

atomic_ullong nr_calls; /* relaxed: a count for INFO */

const struct command commands[] = {
	{"get", 2, 0, 1, 1, 1, cmd_get},
	{"set", -3, CMD_WRITE, 1, 1, 1, cmd_set},
	{"mget", -2, 0, 1, -1, 1, cmd_mget},
	{"mset", -3, CMD_WRITE, 1, -1, 2, cmd_mset},
	{"del", -2, CMD_WRITE, 1, -1, 1, cmd_del},
	{"exists", -2, 0, 1, -1, 1, cmd_exists},
	{"incr", 2, CMD_WRITE, 1, 1, 1, cmd_incr},
	{"decr", 2, CMD_WRITE, 1, 1, 1, cmd_incr},
	{"incrby", 3, CMD_WRITE, 1, 1, 1, cmd_incr},
	{"decrby", 3, CMD_WRITE, 1, 1, 1, cmd_incr},
	{"expire", 3, CMD_WRITE, 1, 1, 1, cmd_expire},
	{"pexpire", 3, CMD_WRITE, 1, 1, 1, cmd_expire},
	{"expireat", 3, CMD_WRITE, 1, 1, 1, cmd_expire},
	{"pexpireat", 3, CMD_WRITE, 1, 1, 1, cmd_expire},
	{"ttl", 2, 0, 1, 1, 1, cmd_ttl},
	{"pttl", 2, 0, 1, 1, 1, cmd_ttl},
	{"persist", 2, CMD_WRITE, 1, 1, 1, cmd_persist},
	{"flushall", -1, CMD_WRITE | CMD_ALL, 0, 0, 0, cmd_flushall},
	{"dbsize", 1, CMD_ALL, 0, 0, 0, cmd_dbsize},
	{"ping", -1, 0, 0, 0, 0, cmd_ping},
	{"echo", 2, 0, 0, 0, 0, cmd_echo},
	{"select", 2, 0, 0, 0, 0, cmd_select},
	{"quit", -1, 0, 0, 0, 0, cmd_quit},
	{"info", -1, CMD_ALL, 0, 0, 0, cmd_info},
	{"config", -2, 0, 0, 0, 0, cmd_config},
	{"command", -1, 0, 0, 0, 0, cmd_command},
};
const int nr_commands = sizeof(commands) / sizeof(commands[0]);

bool arg_is(const struct arg *a, const char *word)
{
	return a->len == strlen(word) && !strncasecmp(a->data, word, a->len);
}

bool arg_int(struct call *c, const struct arg *a, int64_t *value)
{
	if (parse_int64(a->data, a->len, value))
		return true;
	reply_error(c->out, "ERR value is not an integer or out of range");
	return false;
}

bool arg_when(struct call *c, const struct arg *a, int64_t unit, bool absolute, int64_t *when)
{
	int64_t n;

	if (!arg_int(c, a, &n))
		return false;
	if (!__builtin_mul_overflow(n, unit, &n) &&
	    !__builtin_add_overflow(n, absolute ? 0 : c->now, when))
		return true;
	reply_error(c->out, "ERR invalid expire time in '%s' command", c->name);
	return false;
}

void reply_refused(struct buf *b, int error)
{
	if (error == -ENOMEM)
		reply_error(b, "OOM command not allowed: out of memory");
	else
		reply_error(b, "MISCONF Errors writing to the AOF file: %s",
			    strerrordesc_np(-error));
}

/*
 * One record, without a reply. A log that has refused one record of a command gets no other one of
 * it: they build on each other.
 */
static int log_record(struct call *c, int argc, const struct arg *argv)
{
	if (!c->replay && !c->refused)
		c->refused = aof_append(argc, argv, &c->pos);
	if (!c->refused)
		c->logged = true;
	return c->refused;
}

bool call_log(struct call *c, int argc, const struct arg *argv)
{
	int ret = log_record(c, argc, argv);

	if (ret)
		reply_refused(c->out, ret);
	return !ret;
}

int call_remove(struct call *c, struct item *i)
{
	struct arg argv[2] = {{.data = "DEL", .len = 3}, {.data = i->data, .len = i->key_len}};
	int ret = log_record(c, 2, argv);

	if (!ret)
		table_remove(&shards[shard_of(i->hash)].table, i);
	return ret;
}

struct item *call_find(struct call *c, const struct arg *key, uint64_t *hash)
{
	struct item *i;

	*hash = store_hash(key);
	i = table_find(&shards[shard_of(*hash)].table, key->data, key->len, *hash);
	if (!i || c->replay || !i->expire || i->expire > c->now)
		return i;
	call_remove(c, i); /* refused: it stays where it is, and nobody sees it */
	return NULL;
}

static const struct command *find(const struct arg *name)
{
	int i;

	for (i = 0; i < nr_commands; i++)
		if (arg_is(name, commands[i].name))
			return &commands[i];
	return NULL;
}

static int at_most(size_t n, int max)
{
	return n < (size_t)max ? (int)n : max;
}

static void unknown(struct call *c)
{
	const struct arg *name = &c->argv[0];
	char args[160] = "";
	int i, n = 0;

	for (i = 1; i < c->argc && n < 128; i++)
		n += snprintf(args + n, sizeof(args) - n, "'%.*s' ",
			      at_most(c->argv[i].len, 128 - n), c->argv[i].data);
	reply_error(c->out, "ERR unknown command '%.*s', with args beginning with: %s",
		    at_most(name->len, 128), name->data, args);
}

static uint64_t shards_of(const struct command *cmd, const struct call *c)
{
	int i, last = cmd->last < 0 ? c->argc + cmd->last : cmd->last;
	uint64_t mask = 0;

	if (cmd->flags & CMD_ALL)
		return UINT64_MAX;
	for (i = cmd->first; i && i <= last; i += cmd->step)
		mask |= 1ULL << shard_of(store_hash(&c->argv[i]));
	return mask;
}

/* what it saw of the log, for whoever sees what it did */
static void note_position(struct call *c, uint64_t mask)
{
	for (; mask; mask &= mask - 1) {
		struct shard *s = &shards[__builtin_ctzll(mask)];

		if (c->logged)
			s->pos = c->pos;
		else if (s->pos > c->pos)
			c->pos = s->pos;
	}
}

void command_run(struct call *c)
{
	const struct command *cmd = find(&c->argv[0]);
	int error = c->replay ? 0 : aof_error();
	uint64_t mask;

	if (!cmd) {
		unknown(c);
	} else if (cmd->arity < 0 ? c->argc < -cmd->arity : c->argc != cmd->arity) {
		reply_error(c->out, "ERR wrong number of arguments for '%s' command", cmd->name);
	} else if (c->replay && !(cmd->flags & CMD_WRITE)) {
		reply_error(c->out, "ERR '%s' does not belong into a log", cmd->name);
	} else if (error && cmd->flags & CMD_WRITE) {
		reply_refused(c->out, error);
	} else {
		c->name = cmd->name;
		mask = shards_of(cmd, c);
		store_lock(mask);
		cmd->fn(c);
		note_position(c, mask);
		store_unlock(mask);
		c->promise = c->logged && cmd->flags & CMD_WRITE;
	}
}
