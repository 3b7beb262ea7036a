// SPDX-License-Identifier: MIT
/*
 * child.c - wait for the end of a child process.
 *
 * A pidfd is ready when the process has ended; it is waited for like any descriptor, and stands for
 * that process also when somebody else has reaped it and another one has its number. WAITID of
 * io_uring would save it, but is there only since 6.7. Callers: goroutines.
 */
#include <errno.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "op.h"

static NOINLINE int open_pidfd(pid_t pid)
{
	int saved = errno, fd;

	fd = pidfd_open(pid, 0);
	if (fd < 0)
		fd = -errno;
	errno = saved;
	/* somebody else has reaped it, or is about to; or the number is a thread's */
	return fd == -ESRCH || fd == -EINVAL || fd == -ENOENT ? -ECHILD : fd;
}

/* as waitpid(2) has it */
static int status_of(const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		return (info->si_status & 0xff) << 8;
	return info->si_status | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

/* 1: it is reaped; 0: it runs (WNOHANG) */
static NOINLINE int reap(int fd, int *status, int flags)
{
	siginfo_t info = { .si_pid = 0 };
	int saved = errno, ret;

	do {
		ret = waitid(P_PIDFD, (id_t)fd, &info, WEXITED | flags) ? -errno : info.si_pid != 0;
	} while (ret == -EINTR);
	if (ret > 0 && status)
		*status = status_of(&info);
	errno = saved;
	return ret;
}

static int wait_and_reap(int fd, int *status, int64_t deadline)
{
	int ret = reap(fd, status, WNOHANG);

	if (!ret && deadline == GR_NOW)
		return -EAGAIN;
	if (ret)
		return ret;
	ret = gr_fd_wait(fd, POLLIN, deadline);
	/* without WNOHANG: one that has ended and is held by a debugger is waited for here */
	return ret > 0 ? reap(fd, status, 0) : ret;
}

int gr_wait_child(pid_t pid, int *status, int64_t deadline)
{
	int fd, ret;

	if (!g_self())
		return -EPERM;
	if (pid <= 0)
		return -EINVAL;
	if (deadline != GR_NOW && gr_cancelled())
		return -ECANCELED;
	fd = open_pidfd(pid);
	if (fd < 0)
		return fd;
	ret = wait_and_reap(fd, status, deadline);
	gr_close(fd);
	return ret > 0 ? 0 : ret;
}
