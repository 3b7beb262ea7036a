/* SPDX-License-Identifier: MIT */
/*
 * kv.h - what the files of the example key-value server share.
 *
 * main.c    options, signals, start, accept loop, end
 * conn.c    one connection: requests in, replies out, in batches
 * resp.c    parser of requests;  inline.c  those typed by hand
 * buf.c     growing byte buffers, replies
 * command.c which commands there are, the locks that each needs
 * string.c  commands on values;  expire.c  on their time;  server.c  on the server
 * store.c   the shards, keys that expire;  sweep.c  looks for these
 * table.c   hash table of one shard;  hash.c  the hash
 * aof.c     the append-only file: one writer for all;  replay.c  reads it at the start
 *
 * Order of locks: shards by rising number -> the log's. Nothing waits for a disk under them.
 */
#ifndef KV_H
#define KV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gr.h"

#define MAX_ARGS 65536			 /* of a request */
#define MAX_BULK ((size_t)16 << 20)	 /* bytes of one argument */
#define MAX_REQUEST ((size_t)32 << 20)	 /* bytes of all */
#define MAX_INLINE ((size_t)64 << 10)	 /* bytes of a request that is one line */
#define MAX_REPLY ((size_t)64 << 20)	 /* bytes of one, about */
#define MAX_REPLIES ((size_t)1 << 20)	 /* kept back until they are written out */
#define MAX_LOG_QUEUE ((uint64_t)64 << 20) /* bytes the disk may be behind */
#define WRITE_TIMEOUT (30 * GR_SEC)
#define DRAIN_TIMEOUT (5 * GR_SEC)	 /* from SIGTERM on, for connections to end */
#define SWEEP_PERIOD (100 * GR_MS)

/* ---- buffers and replies: buf.c ---- */

struct buf {
	char *data;
	size_t len, cap;
	bool failed; /* memory ran out: contents incomplete */
};
/* Make room for n more bytes. false: no memory, remembered in b->failed. */
bool buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *data, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Forget the first n bytes. */
void buf_drop(struct buf *b, size_t n);
void buf_free(struct buf *b);

void reply_status(struct buf *b, const char *text);
/* text begins with the kind of error: "ERR ..." */
void reply_error(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void reply_int(struct buf *b, int64_t n);
void reply_bulk(struct buf *b, const void *data, size_t n);
void reply_null(struct buf *b);
void reply_array(struct buf *b, size_t n);

/* ---- requests: resp.c, inline.c ---- */

struct arg {
	size_t off; /* where it begins in the request, while that is being read */
	const char *data;
	size_t len;
};

struct parser {
	size_t pos;   /* bytes understood so far; of a whole request: its length */
	long missing; /* arguments still to come; -1: its first line is */
	ssize_t bulk; /* length of the argument being read; -1: its line is */
	struct arg *argv;
	int argc, cap;
	size_t max_request;
	bool only_arrays; /* a log: no inline, no empty requests */
	char error[64];
};
void parser_init(struct parser *p);
void parser_fini(struct parser *p);
/*
 * Go on with the request that begins at buf, of which len bytes are there; what was there before
 * stays as it is, but may lie elsewhere. 1 it is complete: p->argv points into buf, p->pos is its
 * length, argc may be 0; call parser_next() before the next one. 0 bytes are missing; -EPROTO
 * p->error says why; -ENOMEM. Quotes of an inline request are taken out of buf.
 */
int parser_run(struct parser *p, char *buf, size_t len);
void parser_next(struct parser *p);
/* Note an argument. -ENOMEM. For inline.c. */
int parser_add(struct parser *p, size_t off, size_t len);
/* Split a line of n bytes into arguments, in place. -EPROTO unbalanced quotes; -ENOMEM. */
int inline_split(struct parser *p, char *line, size_t n);

/* A whole number and nothing else, as Redis accepts them. */
bool parse_int64(const char *s, size_t n, int64_t *value);

/* ---- the table of one shard: table.c, hash.c ---- */

struct item {
	struct item *next;
	uint64_t hash;
	int64_t expire; /* ms since the epoch; 0: never. Set by table_expire() */
	uint32_t key_len, len;
	char data[]; /* key, value */
};

struct table {
	struct item **buckets; /* mask + 1 of them, or NULL */
	size_t mask, nr, nr_expire, cursor;
};
uint64_t hash_bytes(const uint64_t key[2], const void *data, size_t n);
/* A new item that is in no table, or NULL. */
struct item *item_new(const struct arg *key, const void *value, size_t len, uint64_t hash);
const char *item_value(const struct item *i);
struct item *table_find(const struct table *t, const void *key, size_t len, uint64_t hash);
/* Memory for one more item. -ENOMEM there is none at all. */
int table_reserve(struct table *t);
/* Put it in, in place of one with the same key, which is freed. After table_reserve(). */
void table_put(struct table *t, struct item *i);
void table_remove(struct table *t, struct item *i);
void table_expire(struct table *t, struct item *i, int64_t when);
/* Call fn for the items of the next n buckets; it may remove the item it is given. */
void table_walk(struct table *t, size_t n, void (*fn)(void *arg, struct item *i), void *arg);
void table_clear(struct table *t);

/* ---- the store: store.c, sweep.c ---- */

#define NR_SHARDS 64 /* bits of a mask */

struct shard {
	_Alignas(64) struct gr_mutex lock;
	/* under it */
	struct table table;
	uint64_t pos; /* end of its last record in the log */
};
extern struct shard shards[NR_SHARDS];

int64_t now_ms(void); /* since the epoch */
int store_init(void);
uint64_t store_hash(const struct arg *key);
static inline unsigned int shard_of(uint64_t hash)
{
	return hash >> 58; /* the table takes the low bits */
}
void store_lock(uint64_t mask);
void store_unlock(uint64_t mask);
/* A task that removes what has expired, until it is cancelled. */
int sweep(void *arg);

/* ---- commands: command.c and others ---- */

struct call {
	struct arg *argv;
	int argc;
	struct buf *out;
	int64_t now;  /* in ms */
	const char *name; /* of the command, lower case: command_run() sets it */
	bool replay;  /* from the log: nothing expires, nothing is logged */
	/* out */
	int refused;  /* 0, or why the log did not take a record of it */
	bool logged;  /* it changed something, if only removed what has expired */
	bool promise; /* the reply says that something was changed */
	bool quit;
	uint64_t pos; /* what it changed or saw lies before this position in the log */
};

#define CMD_WRITE 1U
#define CMD_ALL 2U /* needs every shard */

struct command {
	const char *name; /* lower case */
	int arity;	  /* with the name; negative: at least */
	unsigned int flags;
	int first, last, step; /* which arguments are keys, as COMMAND tells; 0: none */
	void (*fn)(struct call *c);
};
extern const struct command commands[];
extern const int nr_commands;
extern atomic_ullong nr_calls;

/* The reply to a command that error, a negative errno, keeps from changing anything. */
void reply_refused(struct buf *b, int error);
/* Run a request of at least one argument and add its reply to c->out. [g] */
void command_run(struct call *c);
bool arg_is(const struct arg *a, const char *word);
bool arg_int(struct call *c, const struct arg *a, int64_t *value); /* false: replied */
/* now + n units of so many ms, or until = n units. false: replied. */
bool arg_when(struct call *c, const struct arg *a, int64_t unit, bool absolute, int64_t *when);
/*
 * Write a record that stands for what the command is about to do. false: it may not, and the reply
 * says so. A command first takes memory, then calls this, then does what cannot fail.
 */
bool call_log(struct call *c, int argc, const struct arg *argv);
/* The item, or NULL; one that has expired is removed. Its shard is locked. */
struct item *call_find(struct call *c, const struct arg *key, uint64_t *hash);
/* Log that it goes, and remove it. 0, or why the log refuses. */
int call_remove(struct call *c, struct item *i);

void cmd_get(struct call *c);
void cmd_set(struct call *c);
void cmd_mget(struct call *c);
void cmd_mset(struct call *c);
void cmd_del(struct call *c);
void cmd_exists(struct call *c);
void cmd_incr(struct call *c);
void cmd_expire(struct call *c);
void cmd_ttl(struct call *c);
void cmd_persist(struct call *c);
void cmd_ping(struct call *c);
void cmd_echo(struct call *c);
void cmd_select(struct call *c);
void cmd_quit(struct call *c);
void cmd_dbsize(struct call *c);
void cmd_flushall(struct call *c);
void cmd_info(struct call *c);
void cmd_config(struct call *c);
void cmd_command(struct call *c);

/* ---- the append-only file: aof.c, replay.c ---- */

enum fsync_policy { FSYNC_NO, FSYNC_EVERYSEC, FSYNC_ALWAYS };

struct aof_stats {
	uint64_t size, synced; /* bytes */
	uint64_t writes, fsyncs;
	int error; /* 0, or why writes are refused, negative */
};
/* Open, replay, start the writer. 0, or a sentence was written and -EIO returned. [g] */
int aof_start(const char *path, enum fsync_policy policy);
/* Write what there is, end the writer. 0, or -EIO: a sentence was written. [g] */
int aof_stop(void);
bool aof_enabled(void);
/* 0, or why writes are refused: negative errno. */
int aof_error(void);
/*
 * Queue a record; *pos is where it will end. The shards it is about are locked: the order in the
 * file is the order of the changes. As aof_error(); -ENOMEM.
 */
int aof_append(int argc, const struct arg *argv, uint64_t *pos);
/*
 * Wait until the log is on disk up to pos, if the policy is "always"; else until the disk is not
 * too far behind. 0, or why it is not on disk: negative errno; only with "always". [g]
 */
int aof_wait(uint64_t pos);
void aof_stats(struct aof_stats *s);
/* Run the records of a file. The length of what is whole, or a sentence was written and -EIO. */
ssize_t aof_replay(int fd, const char *path, size_t size);

/* ---- the server: main.c, conn.c ---- */

struct config {
	const char *host, *port;
	const char *aof; /* file, or NULL */
	enum fsync_policy policy;
	int procs;	 /* 0: libgr decides */
	int timeout;	 /* seconds without a complete request; 0: for ever */
	int max_clients;
};
extern struct config config;
extern atomic_int nr_clients;
extern const char *const policy_names[];

/* Serve one connection until it ends; closes it. A goroutine's body; arg is the descriptor. */
int conn_main(void *arg);

#endif /* KV_H */
