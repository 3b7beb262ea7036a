/* SPDX-License-Identifier: MIT */
/*
 * tls.h - what the files of the HTTPS example share.
 *
 * main.c   options, OpenSSL's context, the start of the runtime
 * tls.c    one TLS connection: OpenSSL's calls, and gr_fd_wait() where they would block
 * serve.c  the server: one goroutine per connection, deadlines, the drain at SIGTERM
 * get.c    the client
 */
#ifndef TLS_H
#define TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gr.h"

struct config {
	SSL_CTX *ctx;
	/* server */
	const char *host; /* NULL: all addresses */
	const char *port;
	int64_t handshake_timeout; /* ns, from accept to the end of the handshake */
	int64_t idle_timeout;	   /* ns, between two requests */
	int64_t request_timeout;   /* ns, from a request's first byte to its last */
	bool verbose;		   /* a line on stderr for each connection that fails */
	/* client */
	const char *url;
	int64_t timeout; /* ns, for all of it */
};
extern struct config config;

/* One connection. Owned by one goroutine at a time. */
struct tls {
	SSL *ssl;
	int fd;
	bool broken;	 /* it cannot be ended in order any more */
	unsigned int quick; /* calls that did not wait */
	const char *why; /* what failed last, in words; text that stays */
};

/*
 * What OpenSSL's last call in this thread complained of; text that stays. No libgr call may lie
 * between the two: see tls.c.
 */
const char *tls_reason(void);
/*
 * Make a connection of fd, a connected socket, which becomes non-blocking and belongs to *t from
 * now on: tls_close() it, also after a failure. -ENOMEM, -EIO. [g]
 */
int tls_open(struct tls *t, SSL_CTX *ctx, int fd);
/*
 * Calls that fail return -errno and leave a sentence in t->why: -EPROTO what OpenSSL says of the
 * peer, -ETIMEDOUT, -ECANCELED, -ECONNRESET ... The side was chosen by SSL_set_accept_state() or
 * SSL_set_connect_state(). [g]
 */
int tls_handshake(struct tls *t, int64_t deadline);
/* At least one byte; 0 the peer has said that this was all. [g] */
ssize_t tls_read(struct tls *t, void *buf, size_t n, int64_t deadline);
int tls_write_all(struct tls *t, const void *buf, size_t n, int64_t deadline);
/* Say that this was all, unless it is broken, and give everything back. [g] */
void tls_close(struct tls *t, int64_t deadline);

/* Goroutines' bodies, for gr_run(); their result is the exit status. arg: a descriptor. */
int serve(void *signals);
int get(void *unused);

#endif /* TLS_H */
