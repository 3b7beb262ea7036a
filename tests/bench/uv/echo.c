// SPDX-License-Identifier: MIT
/*
 * echo.c - the echo server on libuv: one loop, one thread; writes are tried at once.
 *
 * Prints "port N" and serves 127.0.0.1 until SIGTERM.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

struct write {
	uv_write_t req;
	char data[];
};

static char buf[65536]; /* one loop: what was read is written, or copied, before the next read */

static void must(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "echo: %s: %s\n", what, uv_strerror(ret));
	exit(1);
}

static void lend(uv_handle_t *unused, size_t hint, uv_buf_t *out)
{
	(void)unused;
	(void)hint;
	*out = uv_buf_init(buf, sizeof(buf));
}

static void closed(uv_handle_t *h)
{
	free(h);
}

static void written(uv_write_t *req, int status)
{
	(void)status; /* an error comes up at the next read, too */
	free(req);
}

static void write_rest(uv_stream_t *s, const char *data, size_t n)
{
	struct write *w = malloc(sizeof(*w) + n);
	uv_buf_t b;

	if (!w)
		must(UV_ENOMEM, "malloc");
	memcpy(w->data, data, n);
	b = uv_buf_init(w->data, n);
	if (uv_write(&w->req, s, &b, 1, written))
		free(w);
}

static void got(uv_stream_t *s, ssize_t n, const uv_buf_t *in)
{
	uv_buf_t b;
	int done;

	if (n < 0) {
		uv_close((uv_handle_t *)s, closed);
		return;
	}
	b = uv_buf_init(in->base, n);
	done = n ? uv_try_write(s, &b, 1) : 0;
	if (done < 0)
		done = 0;
	if (done < n)
		write_rest(s, in->base + done, n - done);
}

static void incoming(uv_stream_t *listener, int status)
{
	uv_tcp_t *c = malloc(sizeof(*c));

	must(status, "accept");
	if (!c)
		must(UV_ENOMEM, "malloc");
	must(uv_tcp_init(listener->loop, c), "uv_tcp_init");
	must(uv_accept(listener, (uv_stream_t *)c), "uv_accept");
	uv_tcp_nodelay(c, 1);
	must(uv_read_start((uv_stream_t *)c, lend, got), "uv_read_start");
}

int main(int argc, char **argv)
{
	uv_loop_t *loop = uv_default_loop();
	struct sockaddr_in a;
	int len = sizeof(a);
	struct rlimit files;
	uv_tcp_t l;

	if (argc == 2 && !strcmp(argv[1], "version")) {
		printf("%s\n", uv_version_string());
		return 0;
	}
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	must(uv_tcp_init(loop, &l), "uv_tcp_init");
	must(uv_ip4_addr("127.0.0.1", 0, &a), "uv_ip4_addr");
	must(uv_tcp_bind(&l, (const struct sockaddr *)&a, 0), "bind");
	must(uv_listen((uv_stream_t *)&l, 4096, incoming), "listen");
	must(uv_tcp_getsockname(&l, (struct sockaddr *)&a, &len), "getsockname");
	printf("port %d\n", ntohs(a.sin_port));
	fflush(stdout);
	return uv_run(loop, UV_RUN_DEFAULT);
}
