// SPDX-License-Identifier: MIT
/*
 * conn.c - one connection: requests in, replies out, in order.
 *
 * All requests that stand in the buffer are run, and their replies go out with one write. Before
 * that the log is waited for, once for all of them: with fsync "always" no reply leaves the server
 * before what it speaks of is on disk, neither that of a write nor of a read that saw one. When the
 * log fails meanwhile, nobody knows whether a write will last: the connection ends without a reply
 * to it. Reads go on, with what is in memory.
 *
 * Limits (kv.h): of a request, by the parser, which ends the connection with an error reply;
 * MAX_REPLIES are held back; WRITE_TIMEOUT for a client that does not read; --timeout for one that
 * sends no whole request.
 *
 * The end of the server cancels the goroutine. It is shielded but in gr_read(): what had arrived
 * by then is still served.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "kv.h"

#define READ_SIZE ((size_t)16 << 10)
#define KEEP_SIZE ((size_t)64 << 10) /* of buffers, between requests */
#define LINGER (1 * GR_SEC)

atomic_int nr_clients;

struct conn {
	int fd;
	bool close;   /* after what is in out */
	ssize_t left; /* bytes to read before the end; -1: no end */
	struct parser parser;
	struct buf in, out;
	bool promise; /* out says that something was changed */
	uint64_t pos; /* of the log: all of out is about what lies before */
};

static int send_replies(struct conn *c)
{
	ssize_t n = 0;
	int ret;

	if (c->out.failed)
		return -ENOMEM;
	ret = aof_wait(c->pos);
	if (ret && c->promise)
		return ret;
	if (c->out.len)
		n = gr_write_all(c->fd, c->out.data, c->out.len, gr_after(WRITE_TIMEOUT));
	c->out.len = 0;
	c->promise = false;
	if (c->out.cap > KEEP_SIZE)
		buf_free(&c->out);
	return n < 0 ? (int)n : 0;
}

static int run_request(struct conn *c)
{
	struct call call = {
		.argv = c->parser.argv,
		.argc = c->parser.argc,
		.out = &c->out,
		.now = now_ms(),
	};

	if (!call.argc)
		return 0; /* an empty line */
	command_run(&call);
	atomic_fetch_add_explicit(&nr_calls, 1, memory_order_relaxed);
	c->close = call.quit;
	if (call.pos > c->pos)
		c->pos = call.pos;
	c->promise |= call.promise;
	return c->out.len > MAX_REPLIES ? send_replies(c) : 0;
}

/* All requests that are complete. -EAGAIN: none was. Any other error ends the connection. */
static int run_requests(struct conn *c)
{
	struct parser *p = &c->parser;
	size_t used = 0;
	int ret = 0;

	while (!c->close && (ret = parser_run(p, c->in.data + used, c->in.len - used)) > 0) {
		used += p->pos;
		ret = run_request(c);
		parser_next(p);
		if (ret)
			return ret;
	}
	if (ret == -ENOMEM)
		return ret;
	if (ret == -EPROTO) {
		reply_error(&c->out, "ERR Protocol error: %s", p->error);
		c->close = true;
	}
	buf_drop(&c->in, used);
	if (!c->in.len && c->in.cap > KEEP_SIZE) {
		buf_free(&c->in);
		parser_fini(p);
		parser_init(p);
	}
	ret = send_replies(c);
	return ret ? ret : used ? 0 : -EAGAIN;
}

static int64_t patience(void)
{
	return config.timeout ? gr_after(config.timeout * GR_SEC) : GR_FOREVER;
}

/* bytes that have arrived */
static ssize_t unread(const struct conn *c)
{
	int n = 0;

	ioctl(c->fd, FIONREAD, &n);
	return n;
}

/* Read once, but not more than c->left. As gr_read(); -ENOMEM. */
static ssize_t fill(struct conn *c, int64_t deadline)
{
	size_t room;
	ssize_t n;

	if (!buf_reserve(&c->in, READ_SIZE / 2))
		return -ENOMEM;
	room = c->in.cap - c->in.len;
	if (c->left >= 0 && (size_t)c->left < room)
		room = c->left;
	n = gr_read(c->fd, c->in.data + c->in.len, room, c->left < 0 ? deadline : GR_NOW);
	if (n > 0) {
		c->in.len += n;
		c->left -= c->left < 0 ? 0 : n;
	}
	return n;
}

static void conn_loop(struct conn *c)
{
	int64_t deadline = patience();
	int ret;

	while (!c->close && c->left) {
		ssize_t n = fill(c, deadline);

		if (n == -ECANCELED && c->left < 0) {
			c->left = unread(c); /* the server ends */
			continue;
		}
		if (n <= 0)
			return;
		gr_shield_begin();
		ret = run_requests(c);
		gr_shield_end();
		if (ret && ret != -EAGAIN)
			return;
		if (!ret)
			deadline = patience();
	}
}

/*
 * Closing while unread bytes wait would reset the connection and take the last replies with it: end
 * our direction and read the rest, for a moment.
 */
static void linger(struct conn *c)
{
	int64_t deadline = gr_after(LINGER);

	gr_shield_begin();
	shutdown(c->fd, SHUT_WR);
	c->in.len = 0;
	while (buf_reserve(&c->in, 1) && gr_read(c->fd, c->in.data, c->in.cap, deadline) > 0)
		;
	gr_shield_end();
}

int conn_main(void *arg)
{
	struct conn *c = calloc(1, sizeof(*c));
	int fd = (int)(intptr_t)arg;

	if (c) {
		c->fd = fd;
		c->left = -1;
		parser_init(&c->parser);
		conn_loop(c);
		if (c->close || unread(c))
			linger(c);
		parser_fini(&c->parser);
		buf_free(&c->in);
		buf_free(&c->out);
		free(c);
	}
	gr_close(fd);
	atomic_fetch_sub_explicit(&nr_clients, 1, memory_order_relaxed);
	return 0;
}
