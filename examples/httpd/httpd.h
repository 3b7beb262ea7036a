/* SPDX-License-Identifier: MIT */
/*
 * httpd.h - what the files of the example web server share.
 *
 * main.c   options, signals, the accept loop: one goroutine per connection
 * conn.c   one connection: parser, keep-alive, pipelining, limits, writing replies
 * routes.c what each path answers
 * sql.c    /sql: the unmodified SQLite library, called as any C program would
 * buf.c    growing byte buffers, URL decoding
 */
#ifndef HTTPD_H
#define HTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gr.h"

#define MAX_HEADER 8192		     /* request line + headers; above: 431 */
#define MAX_BODY 65536		     /* of a request, read and ignored; above: 413 */
#define MAX_RESULT (4u << 20)	     /* bytes of text that one query may return */
#define MAX_BLOCK_MS 10000	     /* longest /block and longest query */
#define IDLE_TIMEOUT (60 * GR_SEC)   /* between two requests of a connection */
#define HEADER_TIMEOUT (10 * GR_SEC) /* from the first byte of a request to its end */
#define WRITE_TIMEOUT (30 * GR_SEC)

struct buf {
	char *data; /* NULL or len bytes and a NUL */
	size_t len, cap;
	bool failed; /* memory ran out: contents incomplete */
};
void buf_add(struct buf *b, const void *data, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_reset(struct buf *b);
void buf_free(struct buf *b);
/* Decode %XX (and + when plus is set) into b. -EINVAL bad escape or a NUL byte; -ENOMEM. */
int url_decode(struct buf *b, const char *s, size_t n, bool plus);
/* Decode the value of key in a query string. -ENOENT there is none; else as url_decode(). */
int query_get(struct buf *b, const char *query, size_t n, const char *key);

struct config {
	const char *host; /* NULL: all addresses */
	const char *port;
	const char *root; /* directory of /file/, or NULL */
	const char *db;	  /* database of /sql, or NULL */
	int procs;	  /* 0: libgr decides */
};
extern struct config config;

struct request {
	const char *path;
	size_t path_len;
	const char *query; /* may be NULL */
	size_t query_len;
};

struct reply {
	int status;
	struct buf body; /* used when file < 0 */
	int file;	 /* an open regular file, or -1 */
	off_t file_size;
};

/* Fill *r for a request; never fails: errors are replies too. [g] */
void route(const struct request *req, struct reply *r);
/* Set a status and a line of text. */
void reply_text(struct reply *r, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Serve one connection until it ends; closes fd. A goroutine's body; arg is the descriptor. */
void conn_main(void *arg);

/* Open the database once, to see that it can be done; a sentence on stderr and -EIO if not. */
int sql_init(void);
void sql_fini(void);
void sql_query(const char *query, struct reply *r);

#endif /* HTTPD_H */
