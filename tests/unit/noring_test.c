// SPDX-License-Identifier: MIT
/*
 * noring_test.c - io_uring switched off (here by seccomp, as in many containers): gr_run() says
 * so in one sentence and returns -ENOSYS.
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

static int forbid_io_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static int never(void *unused)
{
	(void)unused;
	return 0;
}

int main(void)
{
	char said[512] = "";
	int fd[2], saved = dup(2), ret;
	ssize_t n;

	if (forbid_io_uring()) {
		tap_skip("io_uring forbidden", "this kernel has no seccomp filters");
		return tap_done();
	}
	if (pipe(fd))
		return 1;
	dup2(fd[1], 2);
	ret = gr_run(never, NULL, NULL);
	dup2(saved, 2);
	close(fd[1]);
	n = read(fd[0], said, sizeof(said) - 1);
	tap_ok(ret == -ENOSYS, "no io_uring: ENOSYS");
	tap_ok(n > 0 && strchr(said, '\n') == said + n - 1 && strstr(said, "io_uring"),
	       "... and one sentence that says so");
	return tap_done();
}
