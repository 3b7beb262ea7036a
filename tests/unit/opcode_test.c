// SPDX-License-Identifier: MIT
/*
 * opcode_test.c - requests of every kind that libgr makes, by io_uring and by system calls: the
 * same results. Reaches op_do() inside the library. tests/lint.sh looks whether a kind is missing.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "check.h"
#include "op.h"

#define LONG gr_after(300 * GR_SEC)
#define SOON gr_after(GR_MS)

static void prep(struct io_uring_sqe *sqe, void *filled)
{
	*sqe = *(struct io_uring_sqe *)filled;
}

/* DO(read, fd, ...): io_uring_prep_read(), and what came of it */
#define DO_BY(deadline, name, ...)                               \
	({                                                       \
		struct io_uring_sqe e;                           \
								 \
		memset(&e, 0, sizeof(e));                        \
		io_uring_prep_##name(&e, __VA_ARGS__);           \
		op_do(prep, &e, deadline);                       \
	})
#define DO(name, ...) DO_BY(LONG, name, __VA_ARGS__)

/* ---- what does not wait for anybody ---- */

static void names(void)
{
	char dir[] = "/tmp/gr-opcode-XXXXXX";
	struct statx st;
	int at, fd;

	CHECK(mkdtemp(dir));
	at = DO(openat, AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	CHECK(at >= 0);
	CHECK(DO(mkdirat, at, "d", 0700) == 0 && DO(mkdirat, at, "d", 0700) == -EEXIST);
	fd = DO(openat, at, "f", O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0);
	CHECK(DO(openat, at, "none", O_RDONLY, 0) == -ENOENT);
	CHECK(DO(write, fd, "0123456789", 10, -1) == 10 && DO(fsync, fd, 0) == 0);
	CHECK(DO(fsync, fd, IORING_FSYNC_DATASYNC) == 0);
	CHECK(DO(statx, at, "f", 0, STATX_SIZE, &st) == 0 && st.stx_size == 10);
	CHECK(DO(statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &st) == 0 && st.stx_size == 10);
	CHECK(DO(statx, at, "none", 0, STATX_SIZE, &st) == -ENOENT);
	CHECK(DO(fallocate, fd, 0, 0, 20) == 0);
	CHECK(DO(statx, at, "f", 0, STATX_SIZE, &st) == 0 && st.stx_size == 20);
	CHECK(DO(fallocate, fd, 0, 0, -1) == -EINVAL);
	CHECK(DO(renameat, at, "f", at, "g", 0) == 0);
	CHECK(DO(renameat, at, "g", at, "d", RENAME_NOREPLACE) == -EEXIST);
	CHECK(DO(unlinkat, at, "g", 0) == 0 && DO(unlinkat, at, "g", 0) == -ENOENT);
	CHECK(DO(unlinkat, at, "d", AT_REMOVEDIR) == 0);
	close(fd);
	close(at);
	CHECK(!rmdir(dir));
}

static void data(void)
{
	char path[] = "/tmp/gr-opcode-XXXXXX", a[8] = "", b[8] = "";
	struct iovec out[2] = { { "abc", 3 }, { "defg", 4 } }, in[2] = { { a, 2 }, { b, 5 } };
	int fd = mkstemp(path), p[2];

	unlink(path);
	CHECK(DO(writev, fd, out, 2, 0) == 7);
	CHECK(DO(readv, fd, in, 2, 0) == 7 && !strcmp(a, "ab") && !strcmp(b, "cdefg"));
	CHECK(DO(read, fd, a, 4, 5) == 2 && DO(read, fd, a, 4, 7) == 0);
	CHECK(DO(write, fd, "xy", 2, 1) == 2 && DO(read, fd, a, 3, 0) == 3 && !memcmp(a, "axy", 3));
	CHECK(lseek(fd, 5, SEEK_SET) == 5 && DO(read, fd, a, 4, -1) == 2 && !memcmp(a, "fg", 2));
	CHECK(!pipe(p));
	CHECK(DO(writev, p[1], out, 2, -1) == 7 && DO(readv, p[0], in, 2, -1) == 7);
	CHECK(!memcmp(a, "ab", 2) && !memcmp(b, "cdefg", 5));
	CHECK(DO(read, -1, a, 1, -1) == -EBADF && DO(write, -1, a, 1, -1) == -EBADF);
	CHECK(DO(readv, -1, in, 2, -1) == -EBADF && DO(writev, -1, out, 2, -1) == -EBADF);
	CHECK(DO(read, p[1], a, 1, -1) == -EBADF && DO(write, p[0], a, 1, -1) == -EBADF);
	close(p[1]);
	CHECK(DO(read, p[0], a, 1, -1) == 0 && DO(readv, p[0], in, 2, -1) == 0);
	close(p[0]);
	close(fd);
}

static void streams(void)
{
	char a[8] = "";
	struct iovec v = { a, sizeof(a) };
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1 };
	int sv[2], p[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv) && !pipe(p));
	CHECK(DO(recv, sv[0], a, 1, MSG_DONTWAIT) == -EAGAIN);
	CHECK(DO(send, sv[1], "hello", 5, 0) == 5);
	CHECK(DO(recv, sv[0], a, 8, MSG_PEEK) == 5 && DO(recv, sv[0], a, 8, 0) == 5);
	CHECK(DO(sendmsg, sv[1], &msg, 0) == 8 && DO(recvmsg, sv[0], &msg, 0) == 8);
	CHECK(!memcmp(a, "hello", 5));
	CHECK(DO(poll_add, sv[0], POLLOUT | POLLIN) == POLLOUT);
	CHECK(!shutdown(sv[1], SHUT_WR) && DO(recv, sv[0], a, 8, 0) == 0);
	CHECK(DO(recvmsg, sv[0], &msg, 0) == 0);
	/* and no signal */
	CHECK(DO(send, sv[1], "x", 1, 0) == -EPIPE && DO(sendmsg, sv[1], &msg, 0) == -EPIPE);
	CHECK(DO(recv, p[0], a, 1, 0) == -ENOTSOCK && DO(send, p[1], a, 1, 0) == -ENOTSOCK);
	CHECK(DO(recvmsg, p[0], &msg, 0) == -ENOTSOCK && DO(sendmsg, p[1], &msg, 0) == -ENOTSOCK);
	CHECK(DO(send, -1, a, 1, 0) == -EBADF && DO(accept, -1, NULL, NULL, 0) == -EBADF);
	CHECK(DO(accept, sv[0], NULL, NULL, 0) == -EINVAL);
	CHECK(DO(poll_add, -1, POLLIN) == -EBADF);
	for (int i = 0; i < 2; i++) {
		close(sv[i]);
		close(p[i]);
	}
}

static void datagrams(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET }, from;
	socklen_t len = sizeof(at);
	char a[4] = "";
	struct iovec v = { a, sizeof(a) };
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1, .msg_name = &from,
			      .msg_namelen = sizeof(from) };
	int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(!bind(in, (struct sockaddr *)&at, len));
	CHECK(!getsockname(in, (struct sockaddr *)&at, &len));
	/* what does not wait, and does not come, leaves the message as it is */
	CHECK(DO_BY(SOON, recvmsg, in, &msg, 0) == -ETIMEDOUT);
	CHECK(msg.msg_namelen == sizeof(from) && msg.msg_iovlen == 1);
	CHECK(!connect(out, (struct sockaddr *)&at, len));
	CHECK(DO(send, out, "123456", 6, 0) == 6);
	CHECK(DO(recvmsg, in, &msg, 0) == 4 && msg.msg_flags & MSG_TRUNC);
	CHECK(msg.msg_namelen == sizeof(from) && !memcmp(a, "1234", 4));
	CHECK(DO(sendmsg, in, &msg, 0) == 4 && DO(recv, out, a, 4, 0) == 4);
	close(in);
	close(out);
}

/* ---- what waits ---- */

struct place {
	int a[2]; /* a pipe, a pair, or a listener and nothing */
	struct sockaddr_storage addr;
	socklen_t len;
};

static struct place here;
static char block[1 << 16];
static struct iovec vec = { block, 10 };
static struct msghdr hdr = { .msg_iov = &vec, .msg_iovlen = 1 };

static void a_pipe(void)
{
	CHECK(!pipe(here.a));
}

static void a_full_pipe(void)
{
	a_pipe();
	fcntl(here.a[1], F_SETFL, O_NONBLOCK);
	while (write(here.a[1], block, sizeof(block)) > 0)
		;
	fcntl(here.a[1], F_SETFL, 0);
}

static void a_pair(void)
{
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, here.a));
}

static void a_full_pair(void)
{
	a_pair();
	while (send(here.a[1], block, sizeof(block), MSG_DONTWAIT) > 0)
		;
}

static int start_connect(void)
{
	int fd = socket(here.addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (!connect(fd, (struct sockaddr *)&here.addr, here.len) || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/* its addr is filled in; backlog 0: one waits to be accepted, and there is no room for a second */
static void a_listener(void)
{
	here.a[0] = socket(here.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	here.a[1] = -1;
	CHECK(!bind(here.a[0], (struct sockaddr *)&here.addr, here.len) && !listen(here.a[0], 0));
	CHECK(!getsockname(here.a[0], (struct sockaddr *)&here.addr, &here.len));
}

static void a_unix_listener(void)
{
	/* bound without a name it gets one */
	here.addr = (struct sockaddr_storage){ .ss_family = AF_UNIX };
	here.len = sizeof(sa_family_t);
	a_listener();
	here.len = sizeof(here.addr);
	CHECK(!getsockname(here.a[0], (struct sockaddr *)&here.addr, &here.len));
}

static void a_tcp_listener(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memcpy(&here.addr, &at, sizeof(at));
	here.len = sizeof(at);
	a_listener();
}

static void fill_queue(void)
{
	struct pollfd p = { here.a[0], POLLIN, 0 };

	here.a[1] = start_connect();
	CHECK(here.a[1] >= 0 && poll(&p, 1, -1) == 1);
}

static void a_busy_unix_listener(void)
{
	a_unix_listener();
	fill_queue();
}

static void a_busy_tcp_listener(void)
{
	a_tcp_listener();
	fill_queue();
}

/* a socket that was connecting is not what it was: a new one each time */
static int connects(int64_t d)
{
	int fd = socket(here.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), ret;

	ret = DO_BY(d, connect, fd, (struct sockaddr *)&here.addr, here.len);
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	close(fd);
	return ret;
}

static int accepts(int64_t d)
{
	int fd = DO_BY(d, accept, here.a[0], NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0) {
		CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
		close(fd);
	}
	return fd;
}

static int reads(int64_t d) { return DO_BY(d, read, here.a[0], block, 10, -1); }
static int reads_vector(int64_t d) { return DO_BY(d, readv, here.a[0], &vec, 1, -1); }
static int receives(int64_t d) { return DO_BY(d, recv, here.a[0], block, 10, 0); }
static int peeks(int64_t d) { return DO_BY(d, recv, here.a[0], block, 10, MSG_PEEK); }
static int receives_message(int64_t d) { return DO_BY(d, recvmsg, here.a[0], &hdr, 0); }
static int polls(int64_t d) { return DO_BY(d, poll_add, here.a[0], POLLIN); }
static int writes(int64_t d) { return DO_BY(d, write, here.a[1], block, 10, -1); }
static int writes_vector(int64_t d) { return DO_BY(d, writev, here.a[1], &vec, 1, -1); }
static int sends(int64_t d) { return DO_BY(d, send, here.a[1], block, 10, 0); }
static int sends_message(int64_t d) { return DO_BY(d, sendmsg, here.a[1], &hdr, 0); }

static void put(void)
{
	CHECK(write(here.a[1], block, 10) == 10);
}

static void empty(void)
{
	fcntl(here.a[0], F_SETFL, O_NONBLOCK);
	while (read(here.a[0], block, sizeof(block)) > 0)
		;
}

static void come(void)
{
	here.a[1] = start_connect();
}

static void take_one(void)
{
	close(accept(here.a[0], NULL, NULL));
}

static const struct wait {
	const char *name;
	void (*make)(void);
	int (*fn)(int64_t deadline);
	void (*help)(void); /* by somebody else: then it need not wait; NULL: there is no help */
	int result;
} waits[] = {
	{ "read", a_pipe, reads, put, 10 },
	{ "readv", a_pipe, reads_vector, put, 10 },
	{ "write", a_full_pipe, writes, empty, 10 },
	{ "writev", a_full_pipe, writes_vector, empty, 10 },
	{ "recv", a_pair, receives, put, 10 },
	{ "recv, peek", a_pair, peeks, put, 10 },
	{ "recvmsg", a_pair, receives_message, put, 10 },
	{ "send", a_full_pair, sends, empty, 10 },
	{ "sendmsg", a_full_pair, sends_message, empty, 10 },
	{ "poll", a_pipe, polls, put, POLLIN },
	{ "accept, Unix", a_unix_listener, accepts, come, 0 },
	{ "accept, TCP", a_tcp_listener, accepts, come, 0 },
	{ "connect, Unix", a_busy_unix_listener, connects, take_one, 0 },
	{ "connect, TCP", a_busy_tcp_listener, connects, NULL, 0 },
};

static int for_ever(void *arg)
{
	return ((const struct wait *)arg)->fn(GR_FOREVER);
}

static int cancelled(const struct wait *w, int64_t when)
{
	struct gr_task *t;
	int result = 0;

	CHECK(!gr_task_new(&t, for_ever, (void *)w, NULL));
	gr_sleep(when);
	gr_task_cancel(t);
	CHECK(!gr_task_join(t, &result, LONG));
	gr_task_release(t);
	return result;
}

static void help_later(void *arg)
{
	gr_sleep(SOON);
	((const struct wait *)arg)->help();
}

static void wait_and_go_on(const struct wait *w)
{
	int ret;

	w->make();
	CHECK(w->fn(GR_NOW) == -EAGAIN);
	CHECK(w->fn(SOON) == -ETIMEDOUT);
	CHECK(cancelled(w, GR_NOW) == -ECANCELED);
	CHECK(cancelled(w, SOON) == -ECANCELED);
	if (w->help) {
		mix_go(help_later, (void *)w);
		ret = w->fn(LONG);
		mix_join();
		CHECK(w->result ? ret == w->result : ret >= 0);
	}
	close(here.a[0]);
	if (here.a[1] >= 0)
		close(here.a[1]);
}

/* more at once than fit into the queue */

static void connects_later(void *arg)
{
	(void)arg;
	CHECK(connects(LONG) == 0);
}

static void many_connect(void)
{
	struct sockaddr_un from;
	socklen_t len = sizeof(from);
	int n = 0;

	a_unix_listener();
	for (int i = 0; i < 8; i++)
		mix_go(connects_later, NULL);
	for (int i = 0; i < 8; i++) {
		int fd = DO(accept, here.a[0], (struct sockaddr *)&from, &len, SOCK_CLOEXEC);

		n += fd >= 0 && from.sun_family == AF_UNIX;
		close(fd);
	}
	CHECK(n == 8);
	mix_join();
	close(here.a[0]);
	CHECK(connects(LONG) == -ECONNREFUSED);
	a_tcp_listener();
	CHECK(connects(LONG) == 0);
	close(here.a[0]);
	CHECK(connects(LONG) == -ECONNREFUSED);
}

static void body(void)
{
	check_part("files and directories", names);
	check_part("files and pipes", data);
	check_part("streams", streams);
	check_part("datagrams", datagrams);
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		atomic_store(&errors, 0);
		wait_and_go_on(&waits[i]);
		tap_ok(!atomic_load(&errors), "%s: %s waits, gives up, goes on", mix.name,
		       waits[i].name);
	}
	check_part("connected, refused, and more than the queue takes", many_connect);
}

/* ---- what only io_uring could do ---- */

static void prep_fixed(struct io_uring_sqe *sqe, void *unused)
{
	(void)unused;
	io_uring_prep_fsync(sqe, 0, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
}

static void prep_nop(struct io_uring_sqe *sqe, void *unused)
{
	(void)unused;
	io_uring_prep_nop(sqe);
}

static void unknown(void)
{
	CHECK(op_do(prep_nop, NULL, GR_FOREVER) == -EOPNOTSUPP);
	CHECK(op_do(prep_fixed, NULL, GR_FOREVER) == -EOPNOTSUPP);
	CHECK(op_request(prep_nop, NULL, GR_FOREVER) == -EOPNOTSUPP);
}

static void run_by(const char *back_end, void (*fn)(void))
{
	setenv("GR_NETPOLL", back_end, 1);
	mix.body = fn;
	mix_run_in(back_end, 2, false);
	mix.name = NULL;
	tap_ok(DO(fsync, 0, 0) == -EPERM, "%s: nothing outside of a goroutine", back_end);
}

static void know_less(void)
{
	check_part("what it does not know", unknown);
}

int main(void)
{
	tap_limit(LIMIT_S);
	run_by("uring", body);
	run_by("epoll", body);
	run_by("epoll", know_less);
	return tap_done();
}
