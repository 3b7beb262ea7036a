/* SPDX-License-Identifier: MIT */
/*
 * httpd.h - what the files of the example web server share.
 *
 * main.c   options, signals
 * server.c accepting, how many at once, the end
 * conn.c   one connection: parser, keep-alive, pipelining, limits, slow clients
 * reply.c  what goes out
 * routes.c what each path answers
 * file.c   /file/: parts of files, and what a client has already
 * sql.c    /sql: the unmodified SQLite library, called as any C program would
 * buf.c    growing byte buffers, URL decoding
 */
#ifndef HTTPD_H
#define HTTPD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "gr.h"

#define MAX_HEADER 8192		     /* request line + headers; above: 431 */
#define MAX_BODY 65536		     /* of a request, read and ignored; above: 413 */
#define MAX_RESULT (4u << 20)	     /* bytes of text that one query may return */
#define MAX_BLOCK_MS 10000	     /* longest /block and longest query */
#define FILE_CHUNK (256 << 10)	     /* of a file, within one write timeout */

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
	int max_conns;	  /* more wait in the listener's queue */
	int idle_ms;	  /* between two requests of a connection */
	int header_ms;	  /* from the first byte of a request to the end of its header */
	int body_ms;	  /* from there to its end */
	int write_ms;	  /* for a reply, or for FILE_CHUNK of a file */
	int drain_ms;	  /* after SIGTERM, for what has begun */
};
extern struct config config;

static inline int64_t after_ms(int ms)
{
	return gr_after(ms * GR_MS);
}

struct request {
	const char *path;
	size_t path_len;
	const char *query; /* may be NULL */
	size_t query_len;
	bool head;
	const char *range, *if_range, *if_none_match; /* fields of the header, or NULL */
};

struct reply {
	int status;
	struct buf fields; /* more lines of the header */
	struct buf body;   /* used when file < 0 */
	int file;	   /* an open regular file, or -1 */
	off_t file_off, file_len;
	/* reply_send()'s own */
	struct buf out;
	time_t date_sec;
	char date[40];
};

/* Fill *r for a request; never fails: errors are replies too. [g] */
void route(const struct request *req, struct reply *r);
void file_reply(const struct request *req, const char *name, size_t n, struct reply *r);
/* Set a status and a line of text. */
void reply_text(struct reply *r, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
const char *reply_reason(int status);
/* Forget what was in it: empty, 200. */
void reply_begin(struct reply *r);
/* Write it, and close its file. 0 or -errno: the connection cannot be used any more. [g] */
int reply_send(struct reply *r, int fd, bool head, bool keep_alive);
void reply_free(struct reply *r);

/* what the server knows of a connection */
struct link {
	struct link *next, **prev;
	int fd;
	atomic_bool idle; /* waits for a request */
};

/* Serve until a signal of the set comes, which is blocked in all threads, and drain. Returns what
 * main() does. The first goroutine; arg: the set. */
int server_main(void *arg);
/* The server ends: no reply promises another one. */
bool server_draining(void);
/* How many connections there are. */
int server_conns(void);
/* l->fd is a connection from now on; close it, forget it, and let another one take its place. */
void server_enter(struct link *l);
void server_leave(struct link *l);

/* A goroutine that serves fd until the client has enough. -ENOMEM, or as gr_go(): fd is the
 * caller's still. */
int conn_start(int fd);

/* Open the database once, to see that it can be done; a sentence on stderr and -EIO if not. */
int sql_init(void);
void sql_fini(void);
void sql_query(const char *query, struct reply *r);

#endif /* HTTPD_H */
