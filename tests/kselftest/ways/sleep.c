// SPDX-License-Identifier: GPL-2.0
/*
 * sleep.c - ways to block in a system call that waits for somebody (see ways.h).
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <linux/futex.h>

#include "ways.h"

static int fds[2], epoll;

/* ---- a byte that comes late ---- */

static int open_pipe(struct ways *w)
{
	return pipe(fds) ? ways_no(w, WAYS_FAIL, "pipe") : WAYS_OK;
}

static int open_socket(struct ways *w)
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, fds) ? ways_no(w, WAYS_FAIL, "socketpair") :
							  WAYS_OK;
}

static int open_epoll(struct ways *w)
{
	struct epoll_event e = { .events = EPOLLIN };

	epoll = epoll_create1(0);
	if (pipe(fds) || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &e))
		return ways_no(w, WAYS_FAIL, "epoll");
	return WAYS_OK;
}

static int send_byte(struct ways *w)
{
	bool ok;

	ways_ready(w);
	ok = ways_b_has_p(w);
	return write(fds[1], "x", 1) != 1 || !ok;
}

static int read_byte(struct ways *w)
{
	char c;

	return read(fds[0], &c, 1) != 1;
}

static int recv_byte(struct ways *w)
{
	char c;

	return recv(fds[0], &c, 1, 0) != 1;
}

/* the system call that sleeps comes alone: what follows it is done with the P again */
static int poll_byte(struct ways *w)
{
	struct pollfd p = { fds[0], POLLIN, 0 };
	int ret = poll(&p, 1, -1) != 1;

	ways_beat(w);
	return ret | read_byte(w);
}

static int epoll_byte(struct ways *w)
{
	struct epoll_event e;
	int ret = epoll_wait(epoll, &e, 1, -1) != 1;

	ways_beat(w);
	return ret | read_byte(w);
}

const struct way way_pipe_read = { .setup = open_pipe, .sleep = read_byte, .other = send_byte };
const struct way way_unix_recv = { .setup = open_socket, .sleep = recv_byte, .other = send_byte };
const struct way way_poll = { .setup = open_pipe, .sleep = poll_byte, .other = send_byte };
const struct way way_epoll_wait = { .setup = open_epoll, .sleep = epoll_byte, .other = send_byte };

/* ---- time ---- */

static int nap(struct ways *w)
{
	struct timespec ts = { 0, 20000000 };

	return nanosleep(&ts, NULL);
}

const struct way way_nanosleep = { .sleep = nap };

/* ---- locks ---- */

static _Atomic int word;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int futex_arm(struct ways *w)
{
	atomic_store(&word, 0);
	return 0;
}

static int futex_wait(struct ways *w)
{
	int ret = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);

	return ret || atomic_load(&word) != 1;
}

static int futex_wake(struct ways *w)
{
	bool ok;

	ways_ready(w);
	ok = ways_b_has_p(w);
	atomic_store(&word, 1);
	return syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) != 1 || !ok;
}

static int mutex_take(struct ways *w)
{
	int ret = pthread_mutex_lock(&mutex);

	ways_beat(w);
	return ret | pthread_mutex_unlock(&mutex);
}

static int mutex_hold(struct ways *w)
{
	bool ok;

	pthread_mutex_lock(&mutex);
	ways_ready(w);
	ok = ways_b_has_p(w);
	pthread_mutex_unlock(&mutex);
	return !ok;
}

/* two open files of one name exclude each other, even in one process */
static int open_locks(struct ways *w)
{
	char name[] = "/tmp/gr-flock-XXXXXX";

	fds[0] = mkstemp(name);
	fds[1] = open(name, O_RDWR);
	unlink(name);
	return fds[0] < 0 || fds[1] < 0 ? ways_no(w, WAYS_FAIL, name) : WAYS_OK;
}

static int flock_take(struct ways *w)
{
	int ret = flock(fds[0], LOCK_EX);

	ways_beat(w);
	return ret | flock(fds[0], LOCK_UN);
}

static int flock_hold(struct ways *w)
{
	bool ok;

	if (flock(fds[1], LOCK_EX))
		return 1;
	ways_ready(w);
	ok = ways_b_has_p(w);
	return flock(fds[1], LOCK_UN) || !ok;
}

const struct way way_futex_wait = { .prepare = futex_arm, .sleep = futex_wait, .other = futex_wake };
const struct way way_pthread_mutex = { .sleep = mutex_take, .other = mutex_hold };
const struct way way_flock = { .setup = open_locks, .sleep = flock_take, .other = flock_hold };

/* ---- children ---- */

static pid_t child;

static int child_start(struct ways *w)
{
	child = fork();
	if (!child)
		_exit(!ways_b_has_p(w));
	return child < 0 ? ways_no(w, WAYS_FAIL, "fork") : 0;
}

static int child_wait(struct ways *w)
{
	int status;

	return waitpid(child, &status, 0) != child || status;
}

/* The child has A's memory, all of it, and only system calls. Of its end we wait elsewhere. */
static int vfork_wait(struct ways *w)
{
	pid_t pid = vfork();

	if (!pid)
		_exit(!ways_b_has_p(w));
	ways_beat(w);
	child = pid;
	return pid < 0;
}

static int vfork_reap(struct ways *w)
{
	int status;

	ways_ready(w);
	while (!atomic_load(&w->over))
		sleep_us(500);
	return waitpid(child, &status, 0) != child || status;
}

const struct way way_wait4 = { .prepare = child_start, .sleep = child_wait };
const struct way way_vfork = { .sleep = vfork_wait, .other = vfork_reap };
