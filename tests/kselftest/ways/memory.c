// SPDX-License-Identifier: GPL-2.0
/*
 * memory.c - ways to block on memory (see ways.h): a fault that user space resolves, one of the
 * kernel's own on behalf of a system call, and the lock of the address space.
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/uio.h>

#include "ways.h"

#define PAGES 64
#define BIG (32 << 20)

/* ---- userfaultfd ---- */

static int uffd = -1, turn;
static char *area;
static long page;

static int open_uffd(struct ways *w)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	page = sysconf(_SC_PAGESIZE);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0)
		return ways_no(w, errno == ENOSYS ? WAYS_SKIP : WAYS_FAIL, "userfaultfd");
	area = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (unsigned long)area;
	reg.range.len = PAGES * page;
	if (area == MAP_FAILED || ioctl(uffd, UFFDIO_API, &api) ||
	    ioctl(uffd, UFFDIO_REGISTER, &reg))
		return ways_no(w, WAYS_FAIL, "userfaultfd area");
	return WAYS_OK;
}

static void close_uffd(struct ways *w)
{
	close(uffd);
	munmap(area, PAGES * page);
}

static int next_page(struct ways *w)
{
	turn++;
	return turn >= PAGES;
}

static int touch_page(struct ways *w)
{
	char c = *(volatile char *)&area[turn * page];

	ways_beat(w);
	return c;
}

/* get_user_pages() faults for us, in a system call */
static int copy_page(struct ways *w)
{
	char c = 1;
	struct iovec to = { &c, 1 }, from = { &area[turn * page], 1 };

	return process_vm_readv(w->pid, &to, 1, &from, 1, 0) != 1 || c;
}

static int serve_page(struct ways *w)
{
	struct uffdio_zeropage zero = {};
	struct uffd_msg msg;
	bool ok;

	ways_ready(w);
	if (read(uffd, &msg, sizeof(msg)) != sizeof(msg) || msg.event != UFFD_EVENT_PAGEFAULT)
		return ways_no(w, 1, "userfaultfd read");
	ok = ways_b_has_p(w);
	zero.range.start = msg.arg.pagefault.address & -page;
	zero.range.len = page;
	return ioctl(uffd, UFFDIO_ZEROPAGE, &zero) || !ok;
}

const struct way way_userfault = {
	.setup = open_uffd, .prepare = next_page, .sleep = touch_page, .other = serve_page,
	.teardown = close_uffd,
};

const struct way way_process_vm_readv = {
	.setup = open_uffd, .prepare = next_page, .sleep = copy_page, .other = serve_page,
	.teardown = close_uffd,
};

/* ---- mmap lock ---- */

static char *big;

static int map_big(struct ways *w)
{
	page = sysconf(_SC_PAGESIZE);
	area = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	big = mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || big == MAP_FAILED)
		return ways_no(w, WAYS_FAIL, "mmap");
	madvise(big, BIG, MADV_NOHUGEPAGE);	/* EINVAL where there are none */
	return WAYS_OK;
}

static void unmap_big(struct ways *w)
{
	munmap(area, page);
	munmap(big, BIG);
}

/*
 * The holder reads, so A cannot spin on its being on a CPU for long, and must sleep. It holds the
 * lock nearly all the time, but who is first is not ours to say: A tries until it had to wait.
 */
static int populate(struct ways *w)
{
	int ret = 0;

	ways_ready(w);
	while (!ret && !atomic_load(&w->over))
		ret = madvise(big, BIG, MADV_POPULATE_WRITE) || madvise(big, BIG, MADV_DONTNEED);
	return ret ? ways_no(w, 1, "MADV_POPULATE_WRITE") : 0;
}

static int change_map(struct ways *w)
{
	long before = ways_switches(true);
	int ret = 0, prot = PROT_READ;

	while (!ret && ways_switches(true) == before) {
		ret = mprotect(area, page, prot);
		ways_beat(w);
		prot ^= PROT_WRITE;
	}
	return ret;
}

const struct way way_mmap_lock = {
	.setup = map_big, .sleep = change_map, .other = populate, .teardown = unmap_big,
};
