// SPDX-License-Identifier: MIT
/*
 * tls.c - one TLS connection: OpenSSL on a non-blocking socket, gr_fd_wait() where it would block.
 *
 * Job: handshake, read, write and the end of a connection, each with a deadline.
 * Callers: one goroutine at a time per connection: serve.c, get.c.
 *
 * What OpenSSL keeps per thread is its error queue, which SSL_get_error() reads too, and errno.
 * After a libgr call a goroutine may be on another thread, with another queue: there the errors
 * of other goroutines' connections lie. So attempt() has ERR_clear_error(), the SSL_* call,
 * SSL_get_error() and ERR_get_error() in one piece, without a libgr call in between, and only
 * what it returns leaves it. For the same reason no callback that OpenSSL runs may call libgr.
 * A struct SSL itself belongs to no thread.
 *
 * Which way to wait is OpenSSL's to say: a read may want to write and a write to read, when the
 * peer begins another handshake. Afterwards the very same call is made again: run().
 *
 * The stack: a handshake has used up to 16 KiB here (OpenSSL 3.0; RSA and elliptic curves, a chain
 * verified), the 4 KiB of discard() are less. The 256 KiB that a goroutine has by default are
 * plenty, the 16 KiB of the smallest stack would not do. The server's page /stack tells what it
 * was: gr_stack_used().
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "tls.h"

/* A peer for which no call ever waits must not keep the others from the processor. */
#define CALLS_BEFORE_YIELD 8

struct span {
	void *buf;
	size_t n, done;
};

/* the calls of OpenSSL in one form: above 0 is success, for the rest ask SSL_get_error() */
typedef int call_fn(SSL *ssl, struct span *s);

static int call_handshake(SSL *ssl, struct span *s)
{
	(void)s;
	return SSL_do_handshake(ssl);
}

static int call_read(SSL *ssl, struct span *s)
{
	return SSL_read_ex(ssl, s->buf, s->n, &s->done);
}

static int call_write(SSL *ssl, struct span *s)
{
	return SSL_write_ex(ssl, s->buf, s->n, &s->done);
}

/* 0: ours is sent, the peer's not there yet: discard() waits for that */
static int call_shutdown(SSL *ssl, struct span *s)
{
	(void)s;
	return SSL_shutdown(ssl) < 0 ? -1 : 1;
}

const char *tls_reason(void)
{
	unsigned long e = ERR_get_error(); /* the first one, the cause of the others */
	const char *text = ERR_SYSTEM_ERROR(e) ? strerrordesc_np(ERR_GET_REASON(e))
					       : ERR_reason_error_string(e);

	return text ? text : "OpenSSL gives no reason";
}

/*
 * One call, and what became of it: 0 done, POLLIN or POLLOUT: again when there is that, or
 * -errno. A function of its own, for errno too is the thread's and a compiler keeps its address.
 */
static __attribute__((noinline)) int attempt(struct tls *t, call_fn *call, struct span *s)
{
	int ret, err;

	ERR_clear_error();
	errno = 0;
	ret = call(t->ssl, s);
	err = errno;
	if (ret > 0)
		return 0;
	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return POLLIN;
	case SSL_ERROR_WANT_WRITE:
		return POLLOUT;
	case SSL_ERROR_ZERO_RETURN:
		t->why = "the peer has ended the connection";
		return -ENODATA;
	case SSL_ERROR_SYSCALL:
		t->broken = true;
		err = err ? err : ECONNRESET;
		t->why = strerrordesc_np(err);
		return -err;
	default:
		t->broken = true;
		if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED)
			t->why = X509_verify_cert_error_string(SSL_get_verify_result(t->ssl));
		else
			t->why = tls_reason();
		return -EPROTO;
	}
}

/* until it is done; the same buffer each time, for a record of it may have been begun */
static int run(struct tls *t, call_fn *call, struct span *s, int64_t deadline)
{
	int ret, waits = 0;

	while ((ret = attempt(t, call, s)) > 0) {
		ret = gr_fd_wait(t->fd, (unsigned int)ret, deadline);
		if (ret < 0) {
			t->why = ret == -ETIMEDOUT ? "it took too long" : strerrordesc_np(-ret);
			return ret;
		}
		waits++;
	}
	if (!waits && ++t->quick % CALLS_BEFORE_YIELD == 0)
		gr_yield();
	return ret;
}

int tls_open(struct tls *t, SSL_CTX *ctx, int fd)
{
	*t = (struct tls){.fd = fd, .broken = true, .why = "out of memory"};
	t->ssl = SSL_new(ctx);
	if (!t->ssl || !SSL_set_fd(t->ssl, fd))
		return -ENOMEM;
	if (fcntl(fd, F_SETFL, O_NONBLOCK)) {
		t->why = "the socket cannot be made non-blocking";
		return -EIO;
	}
	return 0;
}

int tls_handshake(struct tls *t, int64_t deadline)
{
	struct span none = {0};
	int ret = run(t, call_handshake, &none, deadline);

	t->broken = ret < 0;
	return ret;
}

ssize_t tls_read(struct tls *t, void *buf, size_t n, int64_t deadline)
{
	struct span s = {.buf = buf, .n = n};
	int ret = run(t, call_read, &s, deadline);

	if (ret == -ENODATA)
		return 0;
	return ret < 0 ? ret : (ssize_t)s.done;
}

int tls_write_all(struct tls *t, const void *buf, size_t n, int64_t deadline)
{
	struct span s = {.buf = (void *)buf, .n = n};
	int ret = run(t, call_write, &s, deadline);

	if (ret < 0) /* perhaps in the middle of a record */
		t->broken = true;
	return ret;
}

/*
 * Closing a socket with unread bytes in it resets the connection and takes our last record with
 * it, a reply or the alert that says what was wrong: end our direction and read the rest.
 * Nobody looks at that: it may be the peer's close_notify.
 */
static void discard(int fd, int64_t deadline)
{
	char rest[4096];

	shutdown(fd, SHUT_WR);
	while (gr_now() < deadline && gr_fd_wait(fd, POLLIN, deadline) > 0 &&
	       recv(fd, rest, sizeof(rest), 0) > 0)
		;
}

/*
 * SSL_shutdown() sends close_notify, by which the peer tells the end from a cut. After a fatal
 * error it must not be called, nor before the handshake is done.
 */
void tls_close(struct tls *t, int64_t deadline)
{
	struct span none = {0};

	if (!t->broken)
		run(t, call_shutdown, &none, deadline);
	discard(t->fd, deadline);
	SSL_free(t->ssl);
	gr_close(t->fd);
}
