// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz.c - random calls on /dev/gr, valid and invalid, from many threads and processes.
 *
 * fuzz [--seed N] [--rounds N] [--round K]	(1, 100; K: that round only)
 *
 * A round is a process with a group: threads that issue random calls, one that scribbles over the
 * hint pages, children that inherit the descriptor. It is killed at a random moment, or shuts the
 * group down and must end by itself. Afterwards: everybody is gone, the module has no group, no
 * thread and no reference left, and the kernel said nothing.
 *
 * Every choice comes from the seed, the round and the number of the thread, so a replay makes the
 * same calls in each thread; how they interleave is the scheduler's choice.
 */
#include <liburing.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "gr_dev.h"

#define NR_CALLERS 6
#define STEPS 400
#define PATIENCE_S 60	/* for a process to end; far more than a busy machine needs */

struct rnd {
	uint64_t s;
};

static uint64_t next(struct rnd *r)
{
	r->s ^= r->s << 13;	/* xorshift64, Marsaglia 2003 */
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return r->s;
}

static unsigned int below(struct rnd *r, unsigned int n)
{
	return (next(r) >> 16) % n;
}

static bool one_in(struct rnd *r, unsigned int n)
{
	return !below(r, n);
}

static struct rnd seeded(uint64_t seed, uint64_t round, uint64_t who)
{
	struct rnd r = { seed * 0x9e3779b97f4a7c15ULL ^ (round + 1) * 0xbf58476d1ce4e5b9ULL ^
			 (who + 1) * 0x94d049bb133111ebULL };

	r.s = r.s ? r.s : 1;
	for (int i = 0; i < 8; i++)
		next(&r);
	return r;
}

/* ---- one process of a round ---- */

static uint64_t seed = 1, round_nr;
static struct gr_setup setup;
static int dev = -1;
static char *hint;
static char *guard;		/* one page, and one behind it that faults */
static long page;
static atomic_bool stop;
static bool keeps;		/* nobody closes the descriptor, so SHUTDOWN can end the round */

struct caller {
	struct rnd r;
	int slot;		/* what ATTACH said, or -1 */
	struct io_uring ring;
	bool has_ring;
};

static uint32_t any32(struct rnd *r)
{
	static const uint32_t edges[] = { 0, 1, 2, 255, 256, 257, 32768, 32769, INT_MAX,
					  (uint32_t)INT_MIN, UINT32_MAX };

	return one_in(r, 3) ? (uint32_t)next(r) : edges[below(r, sizeof(edges) / sizeof(*edges))];
}

static int any_slot(struct caller *c)
{
	switch (below(&c->r, 8)) {
	case 0:
		return any32(&c->r);
	case 1:
	case 2:
		return below(&c->r, 16);
	default:
		return c->slot;
	}
}

static uint32_t any_flags(struct rnd *r)
{
	return one_in(r, 3) ? 1U << below(r, one_in(r, 4) ? 32 : 3) : 0;
}

static int64_t any_deadline(struct rnd *r)
{
	switch (below(r, 10)) {
	case 0:
		return GR_NO_DEADLINE;
	case 1:
		return next(r);
	case 2:
		return 0;
	default:
		return now_ns() + below(r, 2000000);
	}
}

static void any_setup(struct rnd *r, struct gr_setup *s)
{
	*s = gr_setup_arg(1 + below(r, 4), 4 + below(r, 20));
	s->slice_us = one_in(r, 2) ? 1000 : 0;
	s->features = next(r) & GR_FEAT_ALL;
	if (!one_in(r, 4))
		return;
	((uint32_t *)s)[below(r, sizeof(*s) / 4)] = any32(r);
}

static void fill(struct caller *c, unsigned int nr, void *arg)
{
	struct rnd *r = &c->r;

	switch (nr) {
	case 0:
		any_setup(r, arg);
		break;
	case 1:
		*(struct gr_attach *)arg = (struct gr_attach){ .flags = any_flags(r) };
		break;
	case 2:
		*(struct gr_detach *)arg = (struct gr_detach){ any_slot(c), one_in(r, 20) };
		break;
	case 3:
	case 5:
		*(struct gr_park *)arg = (struct gr_park){ .slot = any_slot(c),
			.flags = any_flags(r), .deadline = any_deadline(r) };
		break;
	case 4: {
		struct gr_unpark u = { .nr = one_in(r, 8) ? any32(r) : 1 + below(r, 4),
			.flags = any_flags(r), .slot = any_slot(c) };

		if (!(u.flags & GR_UNPARK_THREAD) && !one_in(r, 8))
			u.slot = 0;
		if (u.flags & (GR_UNPARK_PROCS | GR_UNPARK_CPUS) || one_in(r, 16))
			u.mask[below(r, 4)] = next(r) & next(r);
		*(struct gr_unpark *)arg = u;
		break;
	}
	case 6:
		*(struct gr_monitor *)arg = (struct gr_monitor){ .seen = any32(r),
			.flags = any_flags(r), .deadline = any_deadline(r) };
		break;
	case 8:
		*(struct gr_switch *)arg = (struct gr_switch){ .slot = any_slot(c),
			.target = below(r, 16), .flags = one_in(r, 16) ? any32(r) : 0,
			.deadline = any_deadline(r) };
		break;
	}
}

/* where an argument lies: mostly where it should */
static void *place(struct rnd *r, void *arg, size_t size)
{
	char *at;

	switch (below(r, 24)) {
	case 0:
		return NULL;
	case 1:
		return (void *)(next(r) | 0xffff800000000000ULL);
	case 2:	/* the last bytes do not fit */
		at = guard + page - below(r, size + 1);
		memcpy(at, arg, guard + page - at);
		return at;
	case 3:	/* misaligned, and whole */
		at = guard + 1 + below(r, 64);
		memcpy(at, arg, size);
		return at;
	case 4:	/* the device's own pages */
		return hint ? hint + below(r, setup.hint_size) : NULL;
	default:
		return arg;
	}
}

static void call(struct caller *c)
{
	static const unsigned long requests[] = {
		GR_IOC_SETUP, GR_IOC_ATTACH, GR_IOC_DETACH, GR_IOC_PARK, GR_IOC_UNPARK,
		GR_IOC_YIELD, GR_IOC_MONITOR, GR_IOC_SHUTDOWN, GR_IOC_SWITCH,
	};
	/* PARK, UNPARK and SWITCH more often, SHUTDOWN hardly ever */
	static const unsigned char weighted[] = { 0, 1, 1, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 6, 8, 8 };
	unsigned int nr = weighted[below(&c->r, sizeof(weighted))];
	uint64_t words[16] = { 0 };
	unsigned long request;
	struct gr_attach *a = (void *)words;
	void *arg;

	if (one_in(&c->r, 300))
		nr = 7;
	request = requests[nr];
	fill(c, nr, words);
	if (one_in(&c->r, 32))
		words[below(&c->r, 6)] = next(&c->r);
	arg = place(&c->r, words, _IOC_SIZE(request));
	if (one_in(&c->r, 32))
		request ^= 1UL << below(&c->r, 32);
	if (!ioctl(dev, request, arg) && request == GR_IOC_ATTACH && arg == words)
		c->slot = a->slot;
}

static void other_pages(struct caller *c)
{
	size_t size = (1 + below(&c->r, 8)) * page;
	off_t at = one_in(&c->r, 2) ? setup.hint_offset : below(&c->r, 64) * page;
	char *m = mmap(NULL, size, below(&c->r, 8), one_in(&c->r, 4) ? MAP_PRIVATE : MAP_SHARED, dev,
		       one_in(&c->r, 8) ? (off_t)(next(&c->r) & ~(page - 1)) : at);

	if (m == MAP_FAILED)
		return;
	if (one_in(&c->r, 2))
		mprotect(m, size, below(&c->r, 8));
	if (one_in(&c->r, 2))
		madvise(m, size, MADV_DONTNEED);
	if (one_in(&c->r, 4)) {
		char *n = mremap(m, size, size * 2, MREMAP_MAYMOVE);

		m = n == MAP_FAILED ? m : n;
	}
	munmap(m, size);
}

static void read_and_poll(struct caller *c)
{
	struct pollfd p = { dev, below(&c->r, 64), 0 };
	char buf[512];

	poll(&p, 1, below(&c->r, 3));
	if (p.revents & POLLIN || one_in(&c->r, 50))
		(void)!read(dev, place(&c->r, buf, 24), below(&c->r, sizeof(buf)));
}

/* a descriptor made, passed and closed while others use it */
static void descriptors(struct caller *c)
{
	int fd = dup(dev), pair[2];
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	if (one_in(&c->r, 2) && fd >= 0 && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
		*h = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
		sendmsg(pair[0], &m, 0);	/* stays in flight when nobody receives */
		close(pair[0]);
		close(pair[1]);
	}
	if (fd >= 0)
		close(fd);
	if (!keeps && one_in(&c->r, 100))
		close(dev);
}

static void ring_park(struct caller *c)
{
	struct io_uring_sqe *sqe;
	struct gr_ucmd *u;

	if (!c->has_ring && io_uring_queue_init(8, &c->ring, 0))
		return;
	c->has_ring = true;
	sqe = io_uring_get_sqe(&c->ring);
	if (sqe) {
		io_uring_prep_rw(IORING_OP_URING_CMD, sqe, dev, NULL, 0, 0);
		sqe->cmd_op = one_in(&c->r, 8) ? any32(&c->r) : GR_UCMD_PARK;
		u = (void *)sqe->cmd;
		*u = (struct gr_ucmd){ any_slot(c), one_in(&c->r, 16), one_in(&c->r, 16) };
		io_uring_submit(&c->ring);
	}
	for (struct io_uring_cqe *cqe; !io_uring_peek_cqe(&c->ring, &cqe);)
		io_uring_cqe_seen(&c->ring, cqe);
	if (one_in(&c->r, 4)) {
		io_uring_queue_exit(&c->ring);
		c->has_ring = false;
	}
}

/* what a thread does between its calls: goroutine code, or the runtime; computes, or sleeps */
static void live(struct caller *c)
{
	volatile struct gr_hint *h = (void *)hint;
	static int word;

	if (hint && c->slot >= 0) {
		uint32_t at = h->thread_offset + c->slot * sizeof(struct gr_hint_thread);

		if (at < setup.hint_size - 4)	/* the scribbler is at work */
			*(volatile uint32_t *)(hint + at) = below(&c->r, 3);
	}
	switch (below(&c->r, 4)) {
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
	default:
		for (int64_t until = now_ns() + below(&c->r, 200000); now_ns() < until;)
			;
	}
}

static void child(struct caller *c)
{
	pid_t pid = one_in(&c->r, 4) ? vfork() : fork();

	if (!pid) {
		struct gr_attach a = { 0 };

		ioctl(dev, GR_IOC_ATTACH, &a);
		ioctl(dev, GR_IOC_SHUTDOWN, NULL);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void step(struct caller *c)
{
	unsigned int what = below(&c->r, 100);

	if (what < 60)
		call(c);
	else if (what < 80)
		live(c);
	else if (what < 86)
		read_and_poll(c);
	else if (what < 90)
		other_pages(c);
	else if (what < 93)
		descriptors(c);
	else if (what < 98)
		ring_park(c);
	else if (what < 99)
		child(c);
}

static void *caller(void *arg)
{
	struct caller c = { .r = seeded(seed, round_nr, (uint64_t)(long)arg), .slot = -1 };

	for (int i = 0; i < STEPS && !atomic_load(&stop) && !one_in(&c.r, STEPS * 2); i++)
		step(&c);
	if (c.has_ring && one_in(&c.r, 2))
		io_uring_queue_exit(&c.ring);
	return NULL;	/* attached still, or not */
}

static void *scribbler(void *arg)
{
	struct rnd r = seeded(seed, round_nr, 100);

	while (!atomic_load(&stop)) {
		for (int i = 0; i < 16; i++) {
			volatile uint64_t *at = (void *)(hint + below(&r, setup.hint_size / 8) * 8);

			*at = one_in(&r, 2) ? next(&r) : below(&r, 4);
		}
		sleep_us(below(&r, 300));
	}
	return arg;
}

static void on_signal(int nr)
{
	(void)nr;
}

/* The process of a round; ends by itself unless it is killed. */
static void play(void)
{
	struct rnd r = seeded(seed, round_nr, 200);
	pthread_t t[NR_CALLERS + 1];
	int n = 0;

	signal(SIGUSR1, on_signal);
	guard = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(guard + page, page, PROT_NONE);
	dev = open("/dev/gr", O_RDWR | (one_in(&r, 2) ? O_NONBLOCK : 0) | (one_in(&r, 2) ? O_CLOEXEC : 0));
	if (dev < 0)
		_exit(2);
	for (int i = 0; i < 3 && !hint; i++) {
		any_setup(&r, &setup);
		if (ioctl(dev, GR_IOC_SETUP, &setup))
			continue;
		hint = mmap(NULL, setup.hint_size, PROT_READ | PROT_WRITE, MAP_SHARED, dev,
			    setup.hint_offset);
		if (hint == MAP_FAILED)
			_exit(3);
	}
	for (; n < NR_CALLERS; n++)
		if (pthread_create(&t[n], NULL, caller, (void *)(long)n))
			_exit(4);
	if (hint && one_in(&r, 2) && !pthread_create(&t[n], NULL, scribbler, NULL))
		n++;
	for (unsigned int i = below(&r, 40); i; i--) {
		sleep_us(below(&r, 5000));
		if (one_in(&r, 4))
			pthread_kill(t[below(&r, NR_CALLERS)], SIGUSR1);
	}
	atomic_store(&stop, true);
	ioctl(dev, GR_IOC_SHUTDOWN, NULL);
	close(dev);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	_exit(0);
}

/* ---- the judge ---- */

static int kmsg;

/* prints what the kernel complained about since the last call; true: it did */
static bool complaints(void)
{
	static const char *const bad[] = { "BUG", "WARNING", "Oops", "KASAN", "UBSAN", "possible",
					   "hung", "stall", "refcount" };
	char line[2048];
	bool any = false;
	ssize_t n;

	while ((n = read(kmsg, line, sizeof(line) - 1)) > 0) {
		line[n] = 0;
		for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
			if (strstr(line, bad[i])) {
				printf("# kernel: %.200s\n", line);
				any = true;
				break;
			}
		}
	}
	return any;
}

/* live groups and threads of the module; 0 if debugfs is not there, the references tell then */
static int live_objects(void)
{
	FILE *f = fopen("/sys/kernel/debug/gr/counters", "r");
	char name[64];
	int v, sum = 0;

	while (f && fscanf(f, "%63s %d", name, &v) == 2)
		if (strstr(name, "_live"))
			sum += v;
	if (f)
		fclose(f);
	return sum;
}

static void print_stacks(pid_t pid)
{
	char cmd[128];

	printf("# process %d does not end:\n", pid);
	fflush(stdout);
	snprintf(cmd, sizeof(cmd), "cat /proc/%d/task/*/stack | sed 's/^/# /'", pid);
	(void)!system(cmd);
}

static bool ends(pid_t pid)
{
	for (int64_t until = now_ns() + PATIENCE_S * 1000000000LL; now_ns() < until;) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		sleep_us(2000);
	}
	print_stacks(pid);
	return false;
}

static bool round_holds(int refs)
{
	struct rnd r = seeded(seed, round_nr, 300);
	pid_t pid;
	bool ok;

	keeps = one_in(&r, 2);
	pid = fork();
	if (!pid)
		play();
	if (!keeps || one_in(&r, 4)) {
		sleep_us(below(&r, 100000));
		kill(pid, SIGKILL);
	}
	ok = ends(pid);
	if (!ok) {
		kill(pid, SIGKILL);
		if (!ends(pid))
			return false;
	}
	if (!wait_until(gr_refcount() <= refs && !live_objects())) {
		printf("# %d references, %d objects left\n", gr_refcount() - refs, live_objects());
		ok = false;
	}
	return !complaints() && ok;
}

static int usage(void)
{
	fputs("usage: fuzz [--seed N] [--rounds N] [--round K]\n", stderr);
	return 1;
}

int main(int argc, char **argv)
{
	unsigned long rounds = 100, first = 0;
	int refs = gr_refcount(), failed = 0;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			return usage();
		if (!strcmp(argv[i], "--seed")) {
			seed = strtoull(argv[i + 1], NULL, 0);
		} else if (!strcmp(argv[i], "--rounds")) {
			rounds = strtoul(argv[i + 1], NULL, 0);
		} else if (!strcmp(argv[i], "--round")) {
			first = strtoul(argv[i + 1], NULL, 0);
			rounds = first + 1;
		} else {
			return usage();
		}
	}
	page = sysconf(_SC_PAGESIZE);
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (kmsg < 0 || lseek(kmsg, 0, SEEK_END) < 0 || refs < 0) {
		puts("1..0 # SKIP needs root and a loaded gr.ko");
		return 4;
	}
	printf("# seed %llu, %lu rounds\n1..1\n", (unsigned long long)seed, rounds);
	fflush(stdout);
	for (round_nr = first; round_nr < rounds && !failed; round_nr++) {
		if (!round_holds(refs)) {
			printf("# replay: fuzz --seed %llu --round %llu\n",
			       (unsigned long long)seed, (unsigned long long)round_nr);
			failed = 1;
		}
	}
	(void)!system("sed 's/^/# /' /sys/kernel/debug/gr/counters");
	printf("%sok 1 %lu rounds of random calls\n", failed ? "not " : "", rounds);
	return failed;
}
