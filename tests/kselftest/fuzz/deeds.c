// SPDX-License-Identifier: GPL-2.0
/*
 * deeds.c - what a thread does with the device beside ioctl, and between its calls.
 *
 * Callers: player.c, in each of its threads; fuzz.c for the program that a child becomes.
 */
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fuzz.h"

/* ---- mappings ---- */

/* looks at a page, and writes to it, without a fault of its own */
static void touch(struct caller *c, char *at)
{
	char buf[64] = { 0 };
	struct iovec here = { buf, sizeof(buf) }, there = { at, sizeof(buf) };

	process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	if (one_in(&c->r, 4))
		process_vm_writev(getpid(), &here, 1, &there, 1, 0);
}

static void pages(struct caller *c)
{
	struct rnd *r = &c->r;
	size_t size = one_in(r, 12) ? next(r) >> below(r, 64) : (1 + below(r, 8)) * game.page;
	off_t at = below(r, 64) * game.page;
	char *m, *n;

	if (one_in(r, 2))
		at += game.setup.hint_offset;
	if (one_in(r, 8))
		at = next(r) & ~(game.page - 1);
	m = mmap(NULL, size, below(r, 8), one_in(r, 4) ? MAP_PRIVATE : MAP_SHARED, device(c), at);
	if (m == MAP_FAILED)
		return;
	touch(c, m + next(r) % (size / game.page + 1) * game.page);
	if (one_in(r, 2))
		mprotect(m, game.page, below(r, 8));
	if (one_in(r, 2))
		madvise(m, size, one_in(r, 2) ? MADV_DONTNEED : MADV_DOFORK);
	if (one_in(r, 4)) {
		n = mremap(m, size, size * (1 + below(r, 2)), MREMAP_MAYMOVE);
		m = n == MAP_FAILED ? m : n;
	}
	touch(c, m);
	munmap(m, one_in(r, 4) ? game.page : size);	/* a rest stays until the end */
}

/* ---- descriptors ---- */

static void read_and_poll(struct caller *c)
{
	struct pollfd p = { device(c), below(&c->r, 64), 0 };
	bool anyway = one_in(&c->r, 50);
	char buf[512] = { 0 };
	void *at = place(&c->r, buf, 24);
	size_t size = one_in(&c->r, 8) ? next(&c->r) : below(&c->r, sizeof(buf));

	poll(&p, 1, below(&c->r, 3));
	/* else it may sleep until the group ends */
	if (p.revents & POLLIN || anyway)
		(void)!read(p.fd, at, at == buf && size > sizeof(buf) ? sizeof(buf) : size);
}

static void post(int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	*h = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	sendmsg(game.mailbox, &m, MSG_DONTWAIT);
}

static int receive(void)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *h;
	int fd;

	if (recvmsg(game.mailbox, &m, MSG_DONTWAIT) < 0)
		return -1;
	h = CMSG_FIRSTHDR(&m);
	if (!h || h->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	return fd;
}

/* made, passed and closed while others use them */
static void descriptors(struct caller *c)
{
	int fd;

	switch (below(&c->r, game.gentle ? 3 : 4)) {
	case 0:
		fd = dup(game.dev);
		if (fd >= 0)
			close(fd);
		break;
	case 1:
		post(device(c));
		break;
	case 2:
		if (c->foreign >= 0)
			close(c->foreign);
		c->foreign = receive();
		break;
	case 3:
		if (one_in(&c->r, 25))
			close(game.dev);
		break;
	}
}

/* ---- GR_UCMD_PARK ---- */

/*
 * 6.12 with lockdep warns when such a ring is closed over a command that its living owner left:
 * io_lockdep_assert_cq_locked() then wants the owner where only a worker can come. Later kernels
 * do not.
 */
static unsigned int deferred(void)
{
	return IORING_SETUP_SINGLE_ISSUER |
	       (access("/proc/lockdep_stats", F_OK) ? IORING_SETUP_DEFER_TASKRUN : 0);
}

static void ring(struct caller *c)
{
	const unsigned int kinds[] = { 0, 0, IORING_SETUP_SQPOLL, IORING_SETUP_COOP_TASKRUN,
				       deferred() };
	struct rnd *r = &c->r;
	unsigned int kind = kinds[below(r, sizeof(kinds) / sizeof(*kinds))];
	struct __kernel_timespec nap = { 0, below(r, 1000000) };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;

	if (!c->has_ring && io_uring_queue_init(8, &c->ring, kind))
		return;
	c->has_ring = true;
	sqe = io_uring_get_sqe(&c->ring);
	if (sqe && one_in(r, 8)) {
		io_uring_prep_poll_multishot(sqe, game.dev, below(r, 64));
	} else if (sqe) {
		io_uring_prep_rw(IORING_OP_URING_CMD, sqe, device(c), NULL, 0, 0);
		sqe->cmd_op = one_in(r, 8) ? any32(r) : GR_UCMD_PARK;
		*(struct gr_ucmd *)sqe->cmd =
			(struct gr_ucmd){ any_slot(c), one_in(r, 16), one_in(r, 16) };
		/* also by a worker of the ring */
		io_uring_sqe_set_flags(sqe, one_in(r, 8) ? IOSQE_ASYNC : 0);
	}
	io_uring_submit(&c->ring);
	if (one_in(r, 4))
		io_uring_wait_cqe_timeout(&c->ring, &cqe, &nap);
	while (!io_uring_peek_cqe(&c->ring, &cqe))
		io_uring_cqe_seen(&c->ring, cqe);
	if (one_in(r, 4)) {
		io_uring_queue_exit(&c->ring);
		c->has_ring = false;
	}
}

/* ---- life between calls: goroutine code, or the runtime; computes, or sleeps ---- */

static void live(struct caller *c)
{
	volatile struct gr_hint *h = (void *)game.hint;
	static int word;
	char byte = 0;

	if (h && c->slot >= 0) {
		uint32_t at = h->thread_offset + c->slot * sizeof(struct gr_hint_thread);

		if (at < game.setup.hint_size - 4)	/* the scribbler is at work */
			*(volatile uint32_t *)(game.hint + at) = below(&c->r, 3);
	}
	switch (below(&c->r, 7)) {
	case 0:
		sleep_us(below(&c->r, 500));
		break;
	case 1:
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0,
			&(struct timespec){ 0, below(&c->r, 300000) }, NULL, 0);
		break;
	case 2:
		sched_yield();
		break;
	case 3:	/* until somebody comes by the next case, or the end */
		(void)!read(game.pipe[0], &byte, 1);
		break;
	case 4:
		(void)!write(game.pipe[1], "......", 6);
		break;
	default:
		for (int64_t until = now_ns() + below(&c->r, 200000); now_ns() < until;)
			;
	}
}

static void move(struct caller *c)
{
	unsigned long cpus = 1 + below(&c->r, 15);

	syscall(SYS_sched_setaffinity, 0, sizeof(cpus), &cpus);
}

/* ---- children ---- */

/* In a child, maybe on its parent's memory: a stranger to that group, and with one of its own. */
static int stranger(void *arg)
{
	struct gr_setup s = gr_setup_arg(1, 4);
	struct gr_park p = { .deadline = now_ns() + 100000 };
	struct gr_attach a = { 0 };
	struct gr_detach slot = { 0 };
	int fd = *(int *)arg, own = open("/dev/gr", O_RDWR | O_CLOEXEC);

	ioctl(fd, GR_IOC_ATTACH, &a);
	ioctl(fd, GR_IOC_SHUTDOWN, NULL);
	ioctl(own, GR_IOC_SETUP, &s);
	ioctl(own, GR_IOC_ATTACH, &a);
	ioctl(own, GR_IOC_PARK, &p);
	if (fd & 1)
		ioctl(own, GR_IOC_DETACH, &slot);
	_exit(0);
}

/* what a player or its child becomes by exec, with a descriptor or without */
int inherited(int fd)
{
	char byte;

	mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	(void)!read(fd, &byte, 1);
	stranger(&fd);
	return 0;
}

static void become(int fd)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	execl("/proc/self/exe", "fuzz", "--inherited", number, (char *)NULL);
}

static void child(struct caller *c)
{
	unsigned int how = below(&c->r, 6);
	int fd = game.dev;
	char stack[16384] __attribute__((aligned(16)));
	pid_t pid;

	if (how == 0) {
		pid = clone(stranger, stack + sizeof(stack),
			    CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &fd);
	} else {
		pid = how == 1 ? vfork() : fork();
		if (!pid) {
			if (how == 2)
				become(fd);
			stranger(&fd);
		}
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* in the middle of it all */
static void leave(struct caller *c)
{
	switch (below(&c->r, 4)) {
	case 0:
		_exit(0);
	case 1:
		syscall(SYS_exit, 0);	/* this thread only */
		break;
	case 2:
		become(game.dev);
		break;
	case 3:
		raise(SIGSEGV);
		break;
	}
}

void deed(struct caller *c)
{
	unsigned int what = below(&c->r, 100);

	if (what < 50)
		live(c);
	else if (what < 62)
		read_and_poll(c);
	else if (what < 72)
		pages(c);
	else if (what < 81)
		descriptors(c);
	else if (what < 93)
		ring(c);
	else if (what < 96)
		move(c);
	else if (what < 99)
		child(c);
	else if (!game.gentle && one_in(&c->r, 4))
		leave(c);
}
