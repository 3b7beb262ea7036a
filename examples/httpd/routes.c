// SPDX-License-Identifier: MIT
/*
 * routes.c - what each path answers.
 *
 * Two kinds of waiting on purpose. /file goes through gr_open() and gr_pread(), calls that libgr
 * knows. /block, /lookup and /sql call into the C library and into SQLite, which know nothing of
 * goroutines and block the thread.
 *
 * /file: a name is decoded first and checked then. Empty, "." and ".." components, a leading
 * slash and NUL bytes are refused, and the last component may not be a symbolic link; links in
 * the middle are followed, for whoever owns the directory has put them there.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "httpd.h"

void reply_text(struct reply *r, int status, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	r->status = status;
	buf_reset(&r->body);
	buf_printf(&r->body, "%s\n", line);
}

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

static bool name_is_safe(const char *name)
{
	for (;;) {
		size_t n = strcspn(name, "/");

		if (n == 0 || (n == 1 && name[0] == '.') || (n == 2 && !memcmp(name, "..", 2)))
			return false;
		if (!name[n])
			return true;
		name += n + 1;
	}
}

static int open_regular(const char *path, off_t *size)
{
	int fd = gr_open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		gr_close(fd);
		return -ENOENT;
	}
	*size = st.st_size;
	return fd;
}

static void file(const struct request *req, struct reply *r)
{
	const char *raw = req->path + strlen("/file/");
	struct buf path = {0};
	size_t root_len;
	int ret = -ENOENT;

	if (!config.root) {
		reply_text(r, 404, "no directory is served: start with --root");
		return;
	}
	buf_printf(&path, "%s/", config.root);
	root_len = path.len;
	ret = url_decode(&path, raw, req->path + req->path_len - raw, false);
	if (!ret && !name_is_safe(path.data + root_len))
		ret = -EINVAL;
	if (!ret)
		r->file = ret = open_regular(path.data, &r->file_size);
	buf_free(&path);
	if (ret >= 0)
		return;
	r->file = -1;
	if (ret == -EINVAL)
		reply_text(r, 400, "bad file name");
	else if (ret == -EMFILE || ret == -ENFILE || ret == -ENOMEM || ret == -EIO)
		reply_text(r, 500, "%s", strerrordesc_np(-ret));
	else
		reply_text(r, 404, "no such file");
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

	r->status = 200;
	for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (matches(req, routes[i].path)) {
			routes[i].fn(req, r);
			return;
		}
	}
	reply_text(r, 404, "no such page");
}
