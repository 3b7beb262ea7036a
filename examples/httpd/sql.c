// SPDX-License-Identifier: MIT
/*
 * sql.c - /sql: queries through the unmodified SQLite library.
 *
 * Job: run one request's SQL on a file database and print the rows as text, columns separated by
 * tabs. Nothing here knows that it runs in a goroutine: sqlite3_step() waits for locks, for the
 * disk and in its busy handler's sleep as it does in any thread, and libgr lends the processor
 * to other goroutines meanwhile.
 *
 * Connections are pooled: an idle one belongs to the pool, a busy one to one goroutine, so
 * SQLite's own per-connection mutex is not needed (NOMUTEX). Between two libgr calls a goroutine
 * stays on one thread, so what SQLite keeps per thread is safe.
 *
 * Limits: whoever can reach the server can run any SQL on this one database. ATTACH (and with it
 * VACUUM INTO) is switched off, results are bounded, a query ends after MAX_BLOCK_MS.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

#include "httpd.h"

#define MAX_IDLE 16
#define BUSY_TIMEOUT_MS 5000
#define PROGRESS_STEPS 10000

static struct {
	struct gr_mutex lock; /* protects the rest */
	sqlite3 *idle[MAX_IDLE];
	int nr_idle;
} pool;

/* SQLite asks this every PROGRESS_STEPS instructions of its virtual machine */
static int out_of_time(void *deadline)
{
	return gr_now() > *(int64_t *)deadline;
}

static int open_db(sqlite3 **db)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	int ret = sqlite3_open_v2(config.db, db, flags, NULL);

	if (ret != SQLITE_OK)
		return ret;
	sqlite3_busy_timeout(*db, BUSY_TIMEOUT_MS);
	sqlite3_limit(*db, SQLITE_LIMIT_ATTACHED, 0);
	return sqlite3_exec(*db, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
}

static sqlite3 *pool_take(void)
{
	sqlite3 *db = NULL;

	gr_mutex_lock(&pool.lock, GR_FOREVER);
	if (pool.nr_idle)
		db = pool.idle[--pool.nr_idle];
	gr_mutex_unlock(&pool.lock);
	return db;
}

static void pool_give(sqlite3 *db)
{
	gr_mutex_lock(&pool.lock, GR_FOREVER);
	if (pool.nr_idle < MAX_IDLE) {
		pool.idle[pool.nr_idle++] = db;
		db = NULL;
	}
	gr_mutex_unlock(&pool.lock);
	sqlite3_close(db);
}

static void print_row(sqlite3_stmt *stmt, struct buf *out)
{
	int i, n = sqlite3_column_count(stmt);

	for (i = 0; i < n; i++) {
		const void *text = sqlite3_column_text(stmt, i);

		if (i)
			buf_add(out, "\t", 1);
		if (text)
			buf_add(out, text, sqlite3_column_bytes(stmt, i));
		else
			buf_add(out, "NULL", 4);
	}
	buf_add(out, "\n", 1);
}

/* one statement to its end; SQLITE_DONE is success */
static int run_stmt(sqlite3_stmt *stmt, struct buf *out)
{
	int ret;

	while ((ret = sqlite3_step(stmt)) == SQLITE_ROW) {
		print_row(stmt, out);
		if (out->len > MAX_RESULT || out->failed)
			return SQLITE_TOOBIG;
	}
	return ret;
}

/* all statements of the text; leaves no transaction open */
static int run_all(sqlite3 *db, const char *query, struct buf *out)
{
	int ret = SQLITE_DONE;

	while (*query && ret == SQLITE_DONE) {
		sqlite3_stmt *stmt;

		if (sqlite3_prepare_v2(db, query, -1, &stmt, &query) != SQLITE_OK)
			return sqlite3_errcode(db);
		if (!stmt) /* a comment or white space */
			continue;
		ret = run_stmt(stmt, out);
		/* the error text of the statement is the connection's until the next call */
		if (ret == SQLITE_DONE || ret == SQLITE_TOOBIG)
			sqlite3_finalize(stmt);
		else
			ret = sqlite3_finalize(stmt);
	}
	return ret;
}

static void run_query(sqlite3 *db, const char *query, struct reply *r)
{
	int64_t deadline = gr_after(MAX_BLOCK_MS * GR_MS);
	int ret;

	sqlite3_progress_handler(db, PROGRESS_STEPS, out_of_time, &deadline);
	ret = run_all(db, query, &r->body);
	if (ret == SQLITE_TOOBIG)
		reply_text(r, 400, "the result is larger than %u bytes", MAX_RESULT);
	else if (ret != SQLITE_DONE)
		reply_text(r, 400, "%s", sqlite3_errmsg(db));
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_progress_handler(db, 0, NULL, NULL);
}

void sql_query(const char *query, struct reply *r)
{
	sqlite3 *db = pool_take();

	if (!db && open_db(&db) != SQLITE_OK) {
		reply_text(r, 500, "cannot open the database: %s", sqlite3_errmsg(db));
		sqlite3_close(db);
		return;
	}
	run_query(db, query, r);
	pool_give(db);
}

int sql_init(void)
{
	sqlite3 *db = NULL;
	int ret = open_db(&db);

	/* opening is lazy: reading the schema is what finds a file that is no database */
	if (ret == SQLITE_OK)
		ret = sqlite3_exec(db, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL);
	if (ret != SQLITE_OK)
		fprintf(stderr, "httpd: cannot open the database %s: %s\n", config.db,
			sqlite3_errmsg(db));
	sqlite3_close(db);
	return ret == SQLITE_OK ? 0 : -EIO;
}

void sql_fini(void)
{
	while (pool.nr_idle)
		sqlite3_close(pool.idle[--pool.nr_idle]);
}
