// SPDX-License-Identifier: MIT
/*
 * signal.c - wait for a signal, as a goroutine.
 *
 * A signalfd for each call: between two calls signals stay pending, so none is lost, and there
 * is nothing to set up or to give back. Callers: goroutines.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "op.h"

/* what is not blocked goes to its handler, or kills: nobody could wait for it */
static bool all_blocked(const sigset_t *set)
{
	sigset_t blocked;

	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	sigaddset(&blocked, SIGKILL); /* never blocked, never waited for, in every full set */
	sigaddset(&blocked, SIGSTOP);
	for (int s = 1; s <= SIGRTMAX; s++)
		if (sigismember(set, s) == 1 && !sigismember(&blocked, s))
			return false;
	return true;
}

static NOINLINE int open_signalfd(const sigset_t *set)
{
	int saved = errno, fd;

	fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	errno = saved;
	return fd;
}

/* the signal's number, or -EAGAIN: somebody else took it */
static NOINLINE int take(int fd, struct signalfd_siginfo *info)
{
	int saved = errno, ret;

	ret = read(fd, info, sizeof(*info)) < 0 ? -errno : (int)info->ssi_signo;
	errno = saved;
	return ret;
}

int gr_signal_wait(const sigset_t *set, struct signalfd_siginfo *info, int64_t deadline)
{
	struct signalfd_siginfo own;
	int fd, ret;

	if (!g_self())
		return -EPERM;
	if (!set || !all_blocked(set))
		return -EINVAL;
	if (deadline != GR_NOW && gr_cancelled())
		return -ECANCELED;
	fd = open_signalfd(set);
	if (fd < 0)
		return fd;
	do {
		ret = gr_fd_wait(fd, POLLIN, deadline);
		if (ret > 0)
			ret = take(fd, info ? info : &own);
	} while (ret == -EAGAIN && deadline != GR_NOW);
	gr_close(fd);
	return ret;
}
