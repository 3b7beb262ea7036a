// SPDX-License-Identifier: MIT
/*
 * routes.c - what each path answers.
 *
 * Two kinds of waiting on purpose. /file (file.c) goes through gr_open() and gr_sendfile(), which
 * libgr knows. /block, /lookup and /sql call into the C library and into SQLite, which know
 * nothing of goroutines and block the thread.
 */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "httpd.h"

/* 0, or a reply has been written */
static int parameter(const struct request *req, const char *key, struct buf *value, struct reply *r)
{
	int ret = query_get(value, req->query, req->query_len, key);

	if (ret == -ENOENT)
		reply_text(r, 400, "the parameter %s= is missing", key);
	else if (ret == -EINVAL)
		reply_text(r, 400, "the parameter %s= is badly encoded", key);
	else if (ret)
		reply_text(r, 500, "out of memory");
	return ret;
}

static void hello(const struct request *req, struct reply *r)
{
	static const char text[] = "hello from gr\n";

	(void)req;
	buf_add(&r->body, text, sizeof(text) - 1);
}

static void file(const struct request *req, struct reply *r)
{
	size_t n = strlen("/file/");

	file_reply(req, req->path + n, req->path_len - n, r);
}

static void sql(const struct request *req, struct reply *r)
{
	struct buf q = {0};

	if (!config.db)
		reply_text(r, 404, "no database is served: start with --db");
	else if (!parameter(req, "q", &q, r))
		sql_query(q.data, r);
	buf_free(&q);
}

static void print_addresses(const struct addrinfo *ai, struct buf *out)
{
	char host[NI_MAXHOST];

	for (; ai; ai = ai->ai_next)
		if (!getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host), NULL, 0,
				 NI_NUMERICHOST))
			buf_printf(out, "%s\n", host);
}

static void lookup(const struct request *req, struct reply *r)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai;
	struct buf h = {0};
	int ret;

	if (!parameter(req, "h", &h, r)) {
		ret = getaddrinfo(h.data, NULL, &hints, &ai);
		if (ret) {
			reply_text(r, ret == EAI_NONAME ? 404 : 502, "%s", gai_strerror(ret));
		} else {
			print_addresses(ai, &r->body);
			freeaddrinfo(ai);
		}
	}
	buf_free(&h);
}

static void block(const struct request *req, struct reply *r)
{
	struct buf value = {0};
	struct timespec ts;
	char *end;
	long ms;

	if (!parameter(req, "ms", &value, r)) {
		ms = strtol(value.data, &end, 10);
		if (end == value.data || *end || ms < 0 || ms > MAX_BLOCK_MS) {
			reply_text(r, 400, "ms must be 0..%d", MAX_BLOCK_MS);
		} else {
			ts = (struct timespec){ms / 1000, ms % 1000 * 1000000};
			while (nanosleep(&ts, &ts))
				;
			buf_printf(&r->body, "slept %ld ms\n", ms);
		}
	}
	buf_free(&value);
}

static void stats(const struct request *req, struct reply *r)
{
	struct gr_info i = {.size = sizeof(i)};
	struct buf *b = &r->body;
	int ret = gr_info(&i);

	(void)req;
	if (ret) {
		reply_text(r, 500, "gr_info: %s", strerrordesc_np(-ret));
		return;
	}
	buf_printf(b, "backend %s\nprocs %d\nthreads %d\ngoroutines %d\nidle %d\n", i.backend,
		   i.nr_procs, i.nr_threads, i.nr_goroutines, i.nr_idle);
	buf_printf(b, "netpoll %s\nconnections %d\n", i.netpoll, server_conns());
	buf_printf(b, "handoffs %llu\nblocks %llu\nsteals %llu\n", (unsigned long long)i.handoffs,
		   (unsigned long long)i.blocks, (unsigned long long)i.steals);
	buf_printf(b, "schedules %llu\nring_enters %llu\n", (unsigned long long)i.schedules,
		   (unsigned long long)i.ring_enters);
}

static const struct {
	const char *path;
	void (*fn)(const struct request *req, struct reply *r);
} routes[] = {
	{"/", hello},	     {"/file/", file},	{"/sql", sql},
	{"/lookup", lookup}, {"/block", block}, {"/stats", stats},
};

/* exact, except that /file/ is a prefix */
static bool matches(const struct request *req, const char *path)
{
	size_t n = strlen(path);

	if (req->path_len < n || memcmp(req->path, path, n))
		return false;
	return req->path_len == n || (n > 1 && path[n - 1] == '/');
}

void route(const struct request *req, struct reply *r)
{
	size_t i;

	for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (matches(req, routes[i].path)) {
			routes[i].fn(req, r);
			return;
		}
	}
	reply_text(r, 404, "no such page");
}
