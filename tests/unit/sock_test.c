// SPDX-License-Identifier: MIT
/*
 * sock_test.c - send, receive, messages, vectors, half-close, UDP and Unix sockets, files into
 * sockets: what comes whole, what is cut, who waits and who does not, and each documented error.
 */
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "check.h"

#define LONG gr_after(60 * GR_SEC)
#define SOON gr_after(300 * GR_US)

static int pair[2];
static char big[1 << 20];

/* this process's own: other tests may run beside */
static const char *abstract(const char *name)
{
	static char text[64];

	snprintf(text, sizeof(text), "@gr-sock-%s-%d", name, getpid());
	return text;
}

static void open_pair(int type)
{
	if (socketpair(AF_UNIX, type, 0, pair))
		mix_fatal("socketpair", errno);
}

static void close_pair(void)
{
	gr_close(pair[0]);
	gr_close(pair[1]);
}

static void fill(int fd)
{
	while (gr_write(fd, big, sizeof(big), GR_NOW) > 0)
		;
}

static void send_later(void *arg)
{
	gr_sleep(SOON);
	CHECK(gr_send(pair[1], arg, strlen(arg), 0, LONG) == (ssize_t)strlen(arg));
}

/* ---- send, receive ---- */

static void recv_send(void)
{
	char buf[16];
	int p[2];

	open_pair(SOCK_STREAM);
	CHECK(gr_recv(pair[0], buf, 9, 0, GR_NOW) == -EAGAIN);
	CHECK(gr_recv(pair[0], buf, 9, MSG_DONTWAIT, GR_FOREVER) == -EAGAIN);
	CHECK(gr_recv(pair[0], buf, 9, 0, SOON) == -ETIMEDOUT);
	CHECK(gr_send(pair[1], "hello", 5, 0, GR_FOREVER) == 5);
	CHECK(gr_recv(pair[0], buf, 9, MSG_PEEK, GR_FOREVER) == 5);
	CHECK(gr_recv(pair[0], buf, 9, 0, GR_FOREVER) == 5 && !memcmp(buf, "hello", 5));
	mix_go(send_later, "later");
	CHECK(gr_recv(pair[0], buf, 9, MSG_PEEK, LONG) == 5);
	CHECK(gr_recv(pair[0], buf, 2, 0, LONG) == 2 && gr_recv(pair[0], buf, 9, 0, LONG) == 3);
	mix_join();
	CHECK(gr_recv(pair[0], NULL, 1, 0, GR_NOW) == -EINVAL);
	CHECK(gr_send(pair[0], NULL, 1, 0, GR_NOW) == -EINVAL);
	CHECK(gr_recv(pair[0], buf, 9, MSG_WAITALL, GR_NOW) == -EINVAL);
	CHECK(gr_recv(-1, buf, 9, 0, GR_FOREVER) == -EBADF);
	CHECK(gr_send(-1, buf, 9, 0, GR_FOREVER) == -EBADF);
	CHECK(!pipe(p));
	CHECK(gr_recv(p[0], buf, 9, 0, GR_FOREVER) == -ENOTSOCK);
	CHECK(gr_send(p[1], buf, 9, 0, GR_FOREVER) == -ENOTSOCK);
	gr_close(p[0]);
	gr_close(p[1]);
	close_pair();
}

static void drain_slowly(void *arg)
{
	char *buf = malloc(20000);
	ssize_t n;

	while (buf && (n = gr_recv(pair[1], buf, 20000, 0, LONG)) > 0) {
		atomic_fetch_add((_Atomic long *)arg, n);
		gr_yield();
	}
	free(buf);
}

static void partial_writes(void)
{
	_Atomic long got = 0;
	ssize_t n, sent = 0;

	open_pair(SOCK_STREAM);
	n = gr_send(pair[0], big, sizeof(big), 0, GR_FOREVER);
	CHECK(n > 0 && n < (ssize_t)sizeof(big));
	sent = n;
	fill(pair[0]);
	CHECK(gr_send(pair[0], big, 10, 0, SOON) == -ETIMEDOUT);
	CHECK(gr_send(pair[0], big, 10, MSG_DONTWAIT, LONG) == -EAGAIN);
	close_pair();
	open_pair(SOCK_STREAM);
	mix_go(drain_slowly, &got);
	for (sent = 0; sent < (ssize_t)sizeof(big); sent += n) {
		n = gr_send(pair[0], big + sent, sizeof(big) - (size_t)sent, 0, LONG);
		CHECK(n > 0);
		if (n <= 0)
			break;
	}
	CHECK(gr_shutdown(pair[0], SHUT_WR) == 0);
	mix_join();
	CHECK(got == (long)sizeof(big));
	close_pair();
}

/* ---- vectors: sockets, pipes, files ---- */

static void vector_over(int in, int out)
{
	char a[3] = "", b[5] = "";
	struct iovec put[2] = { { "abc", 3 }, { "defgh", 5 } }, get[2] = { { a, 3 }, { b, 5 } };

	CHECK(gr_writev(out, put, 2, LONG) == 8);
	CHECK(gr_readv(in, get, 2, LONG) == 8 && !memcmp(a, "abc", 3) && !memcmp(b, "defgh", 5));
}

static void vectors(void)
{
	char path[] = "/tmp/gr-sock-test-XXXXXX", c[8];
	struct iovec one = { c, sizeof(c) }, much[2] = { { big, 300000 }, { big, 700000 } };
	int p[2], fd = mkstemp(path);
	ssize_t n;

	open_pair(SOCK_STREAM);
	vector_over(pair[0], pair[1]);
	CHECK(gr_readv(pair[0], &one, 1, GR_NOW) == -EAGAIN);
	CHECK(gr_readv(pair[0], &one, 1, SOON) == -ETIMEDOUT);
	mix_go(send_later, "later");
	CHECK(gr_readv(pair[0], &one, 1, LONG) == 5);
	mix_join();
	n = gr_writev(pair[0], much, 2, GR_FOREVER);
	CHECK(n > 0 && n < 1000000);
	fill(pair[0]);
	CHECK(gr_writev(pair[0], much, 2, SOON) == -ETIMEDOUT);
	close_pair();
	CHECK(!pipe(p));
	vector_over(p[0], p[1]);
	CHECK(gr_readv(p[0], &one, 1, SOON) == -ETIMEDOUT);
	gr_close(p[0]);
	gr_close(p[1]);
	CHECK(gr_writev(fd, &one, 1, GR_FOREVER) == 8 && lseek(fd, 0, SEEK_SET) == 0);
	CHECK(gr_readv(fd, &one, 1, GR_FOREVER) == 8);
	CHECK(gr_readv(fd, &one, 1, GR_FOREVER) == 0);
	CHECK(gr_readv(fd, &one, -1, GR_FOREVER) == -EINVAL);
	CHECK(gr_readv(fd, NULL, 1, GR_FOREVER) == -EINVAL);
	CHECK(gr_writev(fd, &one, IOV_MAX + 1, GR_FOREVER) == -EINVAL);
	CHECK(gr_writev(-1, &one, 1, GR_FOREVER) == -EBADF);
	gr_close(fd);
	unlink(path);
}

/* ---- messages: a descriptor travels ---- */

union control {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void send_fd(void *arg)
{
	union control control = { .buf = "" };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), arg, sizeof(int));
	gr_sleep(SOON);
	CHECK(gr_sendmsg(pair[1], &msg, 0, LONG) == 1);
}

static void messages(void)
{
	union control control;
	char c = 0;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *got;
	int p[2], fd = -1;

	open_pair(SOCK_STREAM);
	CHECK(!pipe(p));
	CHECK(gr_recvmsg(pair[0], &msg, 0, SOON) == -ETIMEDOUT);
	mix_go(send_fd, &p[1]);
	CHECK(gr_recvmsg(pair[0], &msg, MSG_CMSG_CLOEXEC, LONG) == 1 && c == 'x');
	got = CMSG_FIRSTHDR(&msg);
	CHECK(got && got->cmsg_type == SCM_RIGHTS);
	if (got)
		memcpy(&fd, CMSG_DATA(got), sizeof(fd));
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	mix_join();
	CHECK(gr_write(fd, "y", 1, LONG) == 1 && gr_read(p[0], &c, 1, LONG) == 1 && c == 'y');
	fill(pair[0]);
	CHECK(gr_sendmsg(pair[0], &(struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 }, 0, SOON) ==
	      -ETIMEDOUT);
	CHECK(gr_recvmsg(pair[0], NULL, 0, GR_NOW) == -EINVAL);
	CHECK(gr_sendmsg(pair[0], NULL, 0, GR_NOW) == -EINVAL);
	CHECK(gr_recvmsg(pair[0], &msg, MSG_WAITALL, GR_NOW) == -EINVAL);
	gr_close(fd);
	gr_close(p[0]);
	gr_close(p[1]);
	close_pair();
}

/* ---- the ends ---- */

static void waits_for_end(void *arg)
{
	char c;

	CHECK(gr_recv(*(int *)arg, &c, 1, 0, LONG) == 0);
}

static void half_close(void)
{
	char c;
	int fd;

	open_pair(SOCK_STREAM);
	mix_go(waits_for_end, &pair[0]);
	gr_sleep(SOON);
	CHECK(gr_shutdown(pair[1], SHUT_WR) == 0);
	mix_join();
	CHECK(gr_send(pair[1], "x", 1, 0, LONG) == -EPIPE);
	CHECK(gr_writev(pair[1], &(struct iovec){ "x", 1 }, 1, LONG) == -EPIPE);
	CHECK(gr_send(pair[0], "x", 1, 0, LONG) == 1);
	CHECK(gr_recv(pair[1], &c, 1, 0, LONG) == 1);
	/* by oneself, while somebody waits */
	mix_go(waits_for_end, &pair[1]);
	gr_sleep(SOON);
	CHECK(gr_shutdown(pair[1], SHUT_RDWR) == 0);
	mix_join();
	CHECK(gr_shutdown(pair[1], 77) == -EINVAL && gr_shutdown(-1, SHUT_WR) == -EBADF);
	close_pair();
	fd = open("/", O_RDONLY | O_CLOEXEC);
	CHECK(gr_shutdown(fd, SHUT_WR) == -ENOTSOCK);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(gr_shutdown(fd, SHUT_WR) == -ENOTCONN);
	close(fd);
	open_pair(SOCK_STREAM);
	gr_close(pair[1]);
	CHECK(gr_sendmsg(pair[0], &(struct msghdr){ .msg_iovlen = 0 }, 0, LONG) == -EPIPE);
	gr_close(pair[0]);
}

/* a way to end goroutines that wait in a listener, before it is closed */

static void accepts(void *arg)
{
	CHECK(gr_accept(*(int *)arg, LONG) == -EINVAL);
}

static void shut_listener(int listener)
{
	CHECK(listener >= 0);
	for (int i = 0; i < 3; i++)
		mix_go(accepts, &listener);
	gr_sleep(SOON);
	CHECK(gr_shutdown(listener, SHUT_RDWR) == 0);
	mix_join();
	gr_close(listener);
}

static void shut_listeners(void)
{
	shut_listener(gr_tcp_listen("127.0.0.1", "0", 5));
	shut_listener(gr_unix_listen(abstract("shut"), 5));
}

/* ---- a queue of errors that stays empty ---- */

static void tcp_pair(int *a, int *b)
{
	int l = gr_tcp_listen("127.0.0.1", "0", 1);
	char port[8];

	snprintf(port, sizeof(port), "%d", gr_tcp_port(l));
	*a = gr_tcp_dial("127.0.0.1", port, LONG);
	*b = gr_accept(l, LONG);
	CHECK(*a >= 0 && *b >= 0);
	gr_close(l);
}

/* poll(2) tells of the event, and will for ever */
static void no_error_comes(int fd, short event)
{
	struct pollfd p = { fd, event, 0 };
	struct msghdr msg = { .msg_iov = NULL };
	char c;

	while (!poll(&p, 1, 0))
		gr_sleep(SOON);
	CHECK(p.revents & event);
	CHECK(gr_recv(fd, &c, 1, MSG_ERRQUEUE, LONG) == -EAGAIN);
	CHECK(gr_recvmsg(fd, &msg, MSG_ERRQUEUE, LONG) == -EAGAIN);
}

static void error_queues(void)
{
	struct linger reset = { 1, 0 };
	int a, b;

	tcp_pair(&a, &b);
	CHECK(gr_recv(b, &a, 1, MSG_ERRQUEUE, SOON) == -ETIMEDOUT);
	shutdown(a, SHUT_RDWR);
	shutdown(b, SHUT_RDWR);
	no_error_comes(b, POLLHUP);
	gr_close(a);
	gr_close(b);
	tcp_pair(&a, &b);
	CHECK(send(a, "u", 1, MSG_OOB) == 1);
	no_error_comes(b, POLLPRI);
	setsockopt(a, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	gr_close(a);
	no_error_comes(b, POLLERR);
	gr_close(b);
}

/* ---- UDP ---- */

static const char *port_of(int fd)
{
	static char text[8];

	snprintf(text, sizeof(text), "%d", gr_tcp_port(fd));
	return text;
}

static void datagram_later(void *arg)
{
	gr_sleep(SOON);
	CHECK(gr_send(*(int *)arg, big, 100, 0, LONG) == 100);
}

static void udp_truncation(int server, int client)
{
	char buf[10];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	for (int i = 0; i < 3; i++)
		CHECK(gr_send(client, big, 100, 0, LONG) == 100);
	CHECK(gr_recv(server, buf, sizeof(buf), 0, LONG) == 10);
	CHECK(gr_recv(server, buf, sizeof(buf), MSG_TRUNC, LONG) == 100);
	CHECK(gr_recvmsg(server, &msg, 0, LONG) == 10 && msg.msg_flags & MSG_TRUNC);
	CHECK(gr_recv(server, buf, sizeof(buf), 0, GR_NOW) == -EAGAIN);
	mix_go(datagram_later, &client);
	CHECK(gr_recvmsg(server, &msg, 0, LONG) == 10 && msg.msg_flags & MSG_TRUNC);
	mix_join();
	mix_go(datagram_later, &client);
	CHECK(gr_recv(server, buf, sizeof(buf), MSG_TRUNC, LONG) == 100);
	mix_join();
}

static void udp(void)
{
	struct sockaddr_in from = { 0 };
	socklen_t len = sizeof(from);
	struct sockaddr *sa = (struct sockaddr *)&from;
	int server = gr_udp_bind("127.0.0.1", "0"), client;
	char buf[16];

	CHECK(server >= 0);
	client = gr_udp_dial("127.0.0.1", port_of(server));
	CHECK(client >= 0);
	CHECK(gr_udp_bind("127.0.0.1", port_of(server)) == -EADDRINUSE);
	CHECK(gr_recvfrom(server, buf, 16, 0, sa, &len, SOON) == -ETIMEDOUT);
	CHECK(gr_send(client, "ask", 3, 0, LONG) == 3);
	CHECK(gr_recvfrom(server, buf, 16, 0, sa, &len, LONG) == 3);
	CHECK(len == sizeof(from) && ntohs(from.sin_port) == gr_tcp_port(client));
	CHECK(gr_sendto(server, "answer", 6, 0, sa, len, LONG) == 6);
	CHECK(gr_recv(client, buf, 16, 0, LONG) == 6);
	CHECK(gr_send(client, "", 0, 0, LONG) == 0);
	CHECK(gr_recvfrom(server, buf, 16, 0, NULL, NULL, LONG) == 0);
	CHECK(gr_recvfrom(server, buf, 16, 0, sa, NULL, LONG) == -EINVAL);
	CHECK(gr_recvfrom(server, NULL, 16, 0, NULL, NULL, LONG) == -EINVAL);
	CHECK(gr_sendto(server, NULL, 16, 0, sa, len, LONG) == -EINVAL);
	CHECK(gr_sendto(server, buf, 1, 0, NULL, 0, LONG) == -EDESTADDRREQ);
	CHECK(gr_send(client, big, 70000, 0, LONG) == -EMSGSIZE);
	udp_truncation(server, client);
	/* nobody there any more: the first call asks, a later one is told */
	gr_close(server);
	CHECK(gr_send(client, "?", 1, 0, LONG) == 1);
	CHECK(gr_recv(client, buf, 16, 0, LONG) == -ECONNREFUSED);
	gr_close(client);
	CHECK(gr_udp_bind("127.0.0.1", NULL) == -EINVAL);
	CHECK(gr_udp_dial("127.0.0.1", NULL) == -EINVAL);
	CHECK(gr_udp_dial("127.0.0.1", "no such service") == -ENOENT);
}

/* ---- Unix sockets ---- */

static void unix_talk(const char *path)
{
	int listener = gr_unix_listen(path, 1), a, b, many[8], n = 0;
	char c;

	CHECK(listener >= 0);
	CHECK(gr_unix_listen(path, 1) == -EADDRINUSE);
	CHECK(gr_accept(listener, SOON) == -ETIMEDOUT);
	a = gr_unix_dial(path, LONG);
	b = gr_accept(listener, LONG);
	CHECK(a >= 0 && b >= 0);
	CHECK(gr_write(a, "x", 1, LONG) == 1 && gr_read(b, &c, 1, LONG) == 1);
	gr_close(a);
	CHECK(gr_read(b, &c, 1, LONG) == 0 && gr_write(b, "x", 1, LONG) == -EPIPE);
	gr_close(b);
	/* more than the listener lets wait: the last one waits itself */
	while (n < 8 && (many[n] = gr_unix_dial(path, gr_after(5 * GR_MS))) >= 0)
		n++;
	CHECK(n > 0 && n < 8 && many[n] == -ETIMEDOUT);
	a = gr_accept(listener, LONG);
	b = gr_unix_dial(path, LONG);
	CHECK(a >= 0 && b >= 0);
	gr_close(a);
	gr_close(b);
	while (n-- > 0)
		gr_close(many[n]);
	gr_close(listener);
}

static void unix_sockets(void)
{
	char path[64], name[120];

	snprintf(path, sizeof(path), "/tmp/gr-sock-%d", getpid());
	CHECK(gr_unix_dial(path, LONG) == -ENOENT);
	unix_talk(path);
	CHECK(gr_unix_dial(path, LONG) == -ECONNREFUSED);
	CHECK(gr_unix_listen(path, 1) == -EADDRINUSE);
	CHECK(!unlink(path));
	path[0] = '@';
	unix_talk(path);
	CHECK(gr_unix_dial(path, LONG) == -ECONNREFUSED);
	/* as long as they may be, and longer */
	snprintf(name, sizeof(name), "@%0106d", getpid());
	unix_talk(name);
	snprintf(name, sizeof(name), "@%0107d", getpid());
	CHECK(gr_unix_listen(name, 1) == -ENAMETOOLONG);
	CHECK(gr_unix_dial(name, LONG) == -ENAMETOOLONG);
	CHECK(gr_unix_listen(NULL, 1) == -EINVAL && gr_unix_listen("", 1) == -EINVAL);
	CHECK(gr_unix_dial(NULL, LONG) == -EINVAL && gr_unix_dial("", LONG) == -EINVAL);
	CHECK(gr_unix_listen("/no/such/directory", 1) == -ENOENT);
}

/* ---- a file into a socket ---- */

#define FILE_SIZE 300000

static void reads_file(void *arg)
{
	char *buf = malloc(FILE_SIZE);
	ssize_t n, got = 0;

	while (buf && got < FILE_SIZE &&
	       (n = gr_read(pair[1], buf + got, FILE_SIZE - (size_t)got, LONG)) > 0) {
		got += n;
		gr_yield();
	}
	CHECK(got == FILE_SIZE - 1000 && !memcmp(buf, (char *)arg + 1000, (size_t)got));
	free(buf);
}

static void sendfile_whole(int fd)
{
	ssize_t n, off = 1000;

	open_pair(SOCK_STREAM);
	mix_go(reads_file, big);
	while ((n = gr_sendfile(pair[0], fd, off, 100000, LONG)) > 0)
		off += n;
	CHECK(n == 0 && off == FILE_SIZE);
	gr_shutdown(pair[0], SHUT_WR);
	mix_join();
	close_pair();
}

static void send_file(void)
{
	char path[] = "/tmp/gr-sock-test-XXXXXX";
	int fd = mkstemp(path), p[2];
	ssize_t n;

	for (int i = 0; i < FILE_SIZE; i++)
		big[i] = (char)(i * 7 + i / 256);
	CHECK(gr_write_all(fd, big, FILE_SIZE, LONG) == FILE_SIZE);
	sendfile_whole(fd);
	open_pair(SOCK_STREAM);
	/* nobody reads: as much as there is room for, then nothing */
	do {
		n = gr_sendfile(pair[0], fd, 0, FILE_SIZE, SOON);
	} while (n > 0);
	CHECK(n == -ETIMEDOUT);
	CHECK(gr_sendfile(pair[0], fd, 0, 1, GR_NOW) == -EAGAIN);
	CHECK(gr_sendfile(pair[0], fd, 0, 0, GR_NOW) == 0);
	CHECK(gr_sendfile(pair[0], fd, FILE_SIZE, 1, LONG) == 0);
	CHECK(gr_sendfile(pair[0], fd, -1, 1, LONG) == -EINVAL);
	CHECK(gr_sendfile(pair[0], -1, 0, 1, LONG) == -EBADF);
	CHECK(gr_sendfile(-1, fd, 0, 1, LONG) == -EBADF);
	gr_close(pair[1]);
	CHECK(gr_sendfile(pair[0], fd, 0, 1, LONG) == -EPIPE);
	gr_close(pair[0]);
	CHECK(!pipe(p));
	CHECK(gr_sendfile(p[1], fd, 0, 100, LONG) == 100);
	CHECK(gr_sendfile(p[1], p[0], 0, 100, LONG) == -ESPIPE);
	gr_close(p[0]);
	gr_close(p[1]);
	gr_close(fd);
	unlink(path);
	memset(big, 0, FILE_SIZE);
}

/* ---- too few descriptors: in a process of its own ---- */

static void no_more_fds(void)
{
	int listener = gr_tcp_listen("127.0.0.1", "0", 5), client;
	char c;

	client = gr_tcp_dial("127.0.0.1", port_of(listener), LONG);
	CHECK(client >= 0);
	check_few_fds(true);
	CHECK(gr_accept(listener, LONG) == -EMFILE);
	CHECK(gr_unix_listen(abstract("emfile"), 1) == -EMFILE);
	CHECK(gr_unix_dial(abstract("emfile"), LONG) == -EMFILE);
	CHECK(gr_udp_bind("127.0.0.1", "0") == -EMFILE);
	check_few_fds(false);
	/* the client was not lost */
	CHECK(gr_send(client, "x", 1, 0, LONG) == 1);
	gr_close(client);
	client = gr_accept(listener, LONG);
	CHECK(client >= 0 && gr_recv(client, &c, 1, 0, LONG) == 1);
	gr_close(client);
	gr_close(listener);
}

static void outside(void)
{
	struct msghdr msg = { 0 };
	struct iovec iov = { big, 1 };
	int fd = gr_unix_listen(abstract("outside"), 1);

	CHECK(gr_recv(0, big, 1, 0, GR_NOW) == -EPERM && gr_send(0, big, 1, 0, GR_NOW) == -EPERM);
	CHECK(gr_recvmsg(0, &msg, 0, GR_NOW) == -EPERM && gr_sendmsg(0, &msg, 0, GR_NOW) == -EPERM);
	CHECK(gr_recvfrom(0, big, 1, 0, NULL, NULL, GR_NOW) == -EPERM);
	CHECK(gr_sendto(0, big, 1, 0, NULL, 0, GR_NOW) == -EPERM);
	CHECK(gr_readv(0, &iov, 1, GR_NOW) == -EPERM && gr_writev(0, &iov, 1, GR_NOW) == -EPERM);
	CHECK(gr_unix_dial("@x", GR_NOW) == -EPERM && gr_sendfile(1, 0, 0, 1, GR_NOW) == -EPERM);
	CHECK(fd >= 0 && gr_shutdown(fd, SHUT_RDWR) == 0 && gr_close(fd) == 0);
}

static void body(void)
{
	check_part("send and receive", recv_send);
	check_part("partial writes, a slow reader", partial_writes);
	check_part("vectors", vectors);
	check_part("messages, a descriptor in one", messages);
	check_part("half-close and a peer that is gone", half_close);
	check_part("listeners that are shut down", shut_listeners);
	check_part("a queue of errors that stays empty", error_queues);
	check_part("UDP", udp);
	check_part("Unix sockets", unix_sockets);
	check_part("a file into a socket", send_file);
}

int main(void)
{
	check_in_child("accept and others with too few descriptors, then with enough", no_more_fds);
	check_run(body);
	check_part("-EPERM", outside);
	return tap_done();
}
