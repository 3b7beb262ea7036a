// SPDX-License-Identifier: MIT
/*
 * noring_test.c - io_uring switched off (here by seccomp, as in many containers), or that of an old
 * kernel: gr_run() takes epoll instead, unless GR_NETPOLL=uring; then it says so in one sentence and
 * returns -ENOSYS.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gr.h"
#include "tap.h"

static int filter(struct sock_filter *code, unsigned short n)
{
	struct sock_fprog prog = { n, code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static int forbid_io_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return filter(code, sizeof(code) / sizeof(code[0]));
}

/* as Linux 5.19: IORING_REGISTER_SYNC_CANCEL, 24, is no number of a request */
static int make_old(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_register, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 24, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return filter(code, sizeof(code) / sizeof(code[0]));
}

static int by_epoll(void *unused)
{
	struct gr_info info = { .size = sizeof(info) };
	int p[2];
	char c;

	(void)unused;
	if (gr_info(&info) || strcmp(info.netpoll, "epoll") || !*info.netpoll_uses || pipe(p))
		return 1;
	if (gr_read(p[0], &c, 1, gr_after(GR_MS)) != -ETIMEDOUT)
		return 2;
	if (gr_write(p[1], "x", 1, GR_FOREVER) != 1 || gr_read(p[0], &c, 1, GR_FOREVER) != 1)
		return 3;
	close(p[0]);
	close(p[1]);
	return 0;
}

/* gr_run() with GR_NETPOLL=value, and what it says on stderr */
static int run_with(const char *value, char *said, size_t size)
{
	int fd[2], saved = dup(2), ret;
	ssize_t n;

	if (pipe(fd))
		return -errno;
	setenv("GR_NETPOLL", value, 1);
	dup2(fd[1], 2);
	ret = gr_run(by_epoll, NULL, NULL);
	dup2(saved, 2);
	close(saved);
	close(fd[1]);
	n = read(fd[0], said, size - 1);
	close(fd[0]);
	said[n > 0 ? n : 0] = 0;
	return ret;
}

static int one_sentence(const char *said, const char *about)
{
	const char *end = strchr(said, '\n');

	return end && !end[1] && strstr(said, about);
}

static int nothing(void *unused)
{
	(void)unused;
	return 0;
}

int main(void)
{
	char said[512];
	int ret;

	tap_limit(60);
	setenv("GR_NETPOLL", "auto", 1);
	tap_ok(!gr_run(nothing, NULL, NULL), "a runtime before: what it found is not remembered");
	ret = run_with("no such", said, sizeof(said));
	tap_ok(ret == -EINVAL && one_sentence(said, "GR_NETPOLL=no such"), "a bad value: EINVAL, "
	       "and one sentence that says so");
	if (make_old()) {
		tap_skip("io_uring forbidden", "this kernel has no seccomp filters");
		return tap_done();
	}
	ret = run_with("uring", said, sizeof(said));
	tap_ok(ret == -ENOSYS && one_sentence(said, "IORING_REGISTER_SYNC_CANCEL"),
	       "an io_uring that lacks something, but it must be: ENOSYS, and what it is");
	ret = run_with("auto", said, sizeof(said));
	tap_ok(ret == 0 && !*said, "auto: epoll, and nothing is said: %d", ret);
	if (forbid_io_uring())
		return 1;
	ret = run_with("uring", said, sizeof(said));
	tap_ok(ret == -ENOSYS, "no io_uring, but it must be: ENOSYS");
	tap_ok(one_sentence(said, "io_uring"), "... and one sentence that says so");
	ret = run_with("auto", said, sizeof(said));
	tap_ok(ret == 0 && !*said, "auto: epoll, and nothing is said: %d", ret);
	ret = run_with("", said, sizeof(said));
	tap_ok(ret == 0 && !*said, "not set: the same: %d", ret);
	return tap_done();
}
