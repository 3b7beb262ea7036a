// SPDX-License-Identifier: MIT
/* server.c - commands about the server and the connection, as much as the usual clients ask for. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "kv.h"

const char *const policy_names[] = {
	[FSYNC_NO] = "no",
	[FSYNC_EVERYSEC] = "everysec",
	[FSYNC_ALWAYS] = "always",
};

void cmd_ping(struct call *c)
{
	if (c->argc > 2)
		reply_error(c->out, "ERR wrong number of arguments for 'ping' command");
	else if (c->argc == 2)
		reply_bulk(c->out, c->argv[1].data, c->argv[1].len);
	else
		reply_status(c->out, "PONG");
}

void cmd_echo(struct call *c)
{
	reply_bulk(c->out, c->argv[1].data, c->argv[1].len);
}

/* There is one database. */
void cmd_select(struct call *c)
{
	int64_t n;

	if (!arg_int(c, &c->argv[1], &n))
		return;
	if (n)
		reply_error(c->out, "ERR DB index is out of range");
	else
		reply_status(c->out, "OK");
}

void cmd_quit(struct call *c)
{
	c->quit = true;
	reply_status(c->out, "OK");
}

/* All shards are locked. */
static uint64_t count(uint64_t *expire)
{
	uint64_t n = 0;
	int i;

	for (i = 0; i < NR_SHARDS; i++) {
		n += shards[i].table.nr;
		*expire += shards[i].table.nr_expire;
	}
	return n;
}

void cmd_dbsize(struct call *c)
{
	uint64_t expire = 0;

	reply_int(c->out, (int64_t)count(&expire));
}

void cmd_flushall(struct call *c)
{
	struct arg name = {.data = "FLUSHALL", .len = 8};
	int i;

	if (c->argc > 2 || (c->argc == 2 && !arg_is(&c->argv[1], "sync") &&
			    !arg_is(&c->argv[1], "async"))) {
		reply_error(c->out, "ERR syntax error");
		return;
	}
	if (!call_log(c, 1, &name))
		return;
	for (i = 0; i < NR_SHARDS; i++)
		table_clear(&shards[i].table);
	reply_status(c->out, "OK");
}

static void info_runtime(struct buf *b)
{
	struct gr_info i = {.size = sizeof(i)};

	gr_info(&i);
	buf_printf(b, "# Server\r\nserver_name:gr-kv\r\nprocess_id:%d\r\ngr_backend:%s\r\n",
		   getpid(), i.backend);
	buf_printf(b, "gr_procs:%d\r\ngr_threads:%d\r\ngr_goroutines:%d\r\n\r\n", i.nr_procs,
		   i.nr_threads, i.nr_goroutines);
}

static void info_log(struct buf *b)
{
	struct aof_stats s;

	aof_stats(&s);
	buf_printf(b, "# Persistence\r\nloading:0\r\naof_enabled:%d\r\n", aof_enabled());
	buf_printf(b, "aof_last_write_status:%s\r\n", s.error ? "err" : "ok");
	buf_printf(b, "aof_current_size:%" PRIu64 "\r\naof_synced_size:%" PRIu64 "\r\n", s.size,
		   s.synced);
	buf_printf(b, "aof_writes:%" PRIu64 "\r\naof_fsyncs:%" PRIu64 "\r\n\r\n", s.writes,
		   s.fsyncs);
}

/* All sections, whatever was asked for: redis-cli takes what it needs. */
void cmd_info(struct call *c)
{
	uint64_t expire = 0, n = count(&expire);
	struct buf b = {0};

	info_runtime(&b);
	buf_printf(&b, "# Clients\r\nconnected_clients:%d\r\nmaxclients:%d\r\n\r\n",
		   atomic_load_explicit(&nr_clients, memory_order_relaxed), config.max_clients);
	info_log(&b);
	buf_printf(&b, "# Stats\r\ntotal_commands_processed:%llu\r\n\r\n# Keyspace\r\n",
		   atomic_load_explicit(&nr_calls, memory_order_relaxed));
	if (n)
		buf_printf(&b, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n", n, expire);
	if (b.failed)
		c->out->failed = true;
	reply_bulk(c->out, b.data, b.len);
	buf_free(&b);
}

static void unknown_subcommand(struct call *c)
{
	const struct arg *a = &c->argv[1];

	reply_error(c->out, "ERR unknown subcommand '%.*s'.", a->len < 128 ? (int)a->len : 128,
		    a->data);
}

/* CONFIG GET of what redis-benchmark asks for; of anything else there is nothing. */
void cmd_config(struct call *c)
{
	const struct {
		const char *name, *value;
	} settings[] = {
		{"save", ""},
		{"appendonly", config.aof ? "yes" : "no"},
		{"appendfsync", policy_names[config.policy]},
	};
	unsigned int i;

	if (!arg_is(&c->argv[1], "get")) {
		unknown_subcommand(c);
		return;
	}
	if (c->argc != 3) {
		reply_error(c->out, "ERR wrong number of arguments for 'config|get' command");
		return;
	}
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (arg_is(&c->argv[2], settings[i].name)) {
			reply_array(c->out, 2);
			reply_bulk(c->out, settings[i].name, strlen(settings[i].name));
			reply_bulk(c->out, settings[i].value, strlen(settings[i].value));
			return;
		}
	}
	reply_array(c->out, 0);
}

static void describe(struct buf *b, const struct command *cmd)
{
	reply_array(b, 6);
	reply_bulk(b, cmd->name, strlen(cmd->name));
	reply_int(b, cmd->arity);
	reply_array(b, 1);
	reply_status(b, cmd->flags & CMD_WRITE ? "write" : "readonly");
	reply_int(b, cmd->first);
	reply_int(b, cmd->last);
	reply_int(b, cmd->step);
}

/* redis-cli asks for COMMAND DOCS first, and takes COMMAND when there is no such thing. */
void cmd_command(struct call *c)
{
	int i;

	if (c->argc == 2 && arg_is(&c->argv[1], "count")) {
		reply_int(c->out, nr_commands);
	} else if (c->argc > 1) {
		unknown_subcommand(c);
	} else {
		reply_array(c->out, nr_commands);
		for (i = 0; i < nr_commands; i++)
			describe(c->out, &commands[i]);
	}
}
