// SPDX-License-Identifier: MIT
/*
 * park_kmod.c - the parking backend that asks /dev/gr. Thin: the protocol is in
 * include/uapi/gr.h, the work in the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "park.h"
#include "sched.h"

static struct {
	int fd;
	size_t mirror_size, hint_size;
	uint32_t seen; /* monitor thread: spare_needed that was answered */
} dev = { .fd = -1 };

/* ioctl() that restarts after signals and leaves errno alone */
static int call(unsigned long request, void *arg)
{
	int saved = errno, ret;

	do {
		ret = ioctl(dev.fd, request, arg) < 0 ? -errno : 0;
	} while (ret == -EINTR);
	errno = saved;
	return ret;
}

static void fini(void)
{
	if (park_tab.mirror)
		munmap((void *)park_tab.mirror, dev.mirror_size);
	if (park_tab.hint)
		munmap(park_tab.hint, dev.hint_size);
	memset(&park_tab, 0, sizeof(park_tab));
	if (dev.fd >= 0)
		close(dev.fd);
	dev.fd = -1;
}

static int map(const struct gr_setup *s)
{
	char *mirror = mmap(NULL, s->mirror_size, PROT_READ, MAP_SHARED, dev.fd, s->mirror_offset);
	char *hint = mmap(NULL, s->hint_size, PROT_READ | PROT_WRITE, MAP_SHARED, dev.fd,
			  s->hint_offset);

	dev.mirror_size = s->mirror_size;
	dev.hint_size = s->hint_size;
	park_tab.mirror = mirror == MAP_FAILED ? NULL : (void *)mirror;
	park_tab.hint = hint == MAP_FAILED ? NULL : (void *)hint;
	if (!park_tab.mirror || !park_tab.hint)
		return -ENOMEM;
	park_tab.mprocs = (void *)(mirror + park_tab.mirror->proc_offset);
	park_tab.mthreads = (void *)(mirror + park_tab.mirror->thread_offset);
	park_tab.hprocs = (void *)(hint + park_tab.hint->proc_offset);
	park_tab.hthreads = (void *)(hint + park_tab.hint->thread_offset);
	return 0;
}

static int setup(int nr_procs, int max_threads, const char **why)
{
	struct gr_setup s = {
		.size = sizeof(s),
		.abi_major = GR_ABI_MAJOR,
		.abi_minor = GR_ABI_MINOR,
		.nr_procs = nr_procs,
		.max_threads = max_threads,
		.slice_us = SLICE_NS / 1000,
		.features = GR_FEAT_BLOCK | GR_FEAT_PREEMPT,
	};
	int ret;

	dev.seen = 0;
	dev.fd = open("/dev/gr", O_RDWR | O_CLOEXEC);
	if (dev.fd < 0) {
		*why = errno == ENOENT ? "there is no /dev/gr: load gr.ko" : "/dev/gr cannot be opened";
		return -ENODEV;
	}
	ret = call(GR_IOC_SETUP, &s);
	if (ret) {
		*why = ret == -EPROTO  ? "the loaded gr.ko speaks another version" :
		       ret == -EAGAIN ? "max_threads is over gr.ko's own parameter of that name" :
					"/dev/gr refused the set-up";
		fini();
		return ret == -ENOMEM ? ret : -ENODEV;
	}
	ret = map(&s);
	if (ret) {
		*why = "the shared pages of /dev/gr cannot be mapped";
		fini();
	}
	return ret;
}

static int attach(struct m *m, bool take)
{
	struct gr_attach a = { .flags = take ? GR_ATTACH_RUN : 0 };
	int ret = call(GR_IOC_ATTACH, &a);

	if (ret)
		return ret == -EPERM ? -EBUSY : ret; /* -1 would read as "no P" */
	m->slot = a.slot;
	m->hint = &park_tab.hthreads[a.slot];
	m->mirror = &park_tab.mthreads[a.slot];
	return a.proc;
}

static void detach(struct m *m)
{
	struct gr_detach d = { .slot = m->slot };

	call(GR_IOC_DETACH, &d);
}

static int park(struct m *m, int64_t deadline, unsigned int *reason)
{
	struct gr_park p = {
		.slot = m->slot,
		.deadline = deadline == GR_FOREVER ? GR_NO_DEADLINE : deadline,
	};
	int ret = call(GR_IOC_PARK, &p);

	if (ret)
		return ret;
	*reason = p.reason;
	return p.proc;
}

static int unpark(int n)
{
	struct gr_unpark u = { .nr = n };

	return call(GR_IOC_UNPARK, &u) ? 0 : (int)u.woken;
}

static int recheck(struct m *m)
{
	return m->mirror->proc; /* the kernel's word is exact */
}

/* A directed UNPARK of oneself makes the next PARK wait as a returner, not as a spare. */
static int acquire(struct m *m)
{
	int proc;

	do {
		struct gr_unpark u = { .nr = 1, .flags = GR_UNPARK_THREAD, .slot = m->slot };
		unsigned int reason;

		proc = call(GR_IOC_UNPARK, &u);
		if (!proc)
			proc = park(m, GR_FOREVER, &reason);
	} while (proc < 0 && proc != -ESHUTDOWN);
	return proc;
}

static int yield(struct m *m, unsigned int *reason)
{
	struct gr_park p = { .slot = m->slot, .deadline = GR_NO_DEADLINE };
	int saved = errno;
	int ret = ioctl(dev.fd, GR_IOC_YIELD, &p) < 0 ? -errno : 0;

	errno = saved;
	if (ret == -EINTR) /* the P is given away already */
		return park(m, GR_FOREVER, reason);
	if (ret)
		return ret;
	*reason = p.reason;
	return p.proc;
}

static int monitor(void)
{
	struct gr_monitor w = { .seen = dev.seen, .deadline = GR_NO_DEADLINE };

	do {
		if (call(GR_IOC_MONITOR, &w))
			return 0;
		dev.seen = w.seen;
		/* a thread that parked since then has looked for itself */
	} while (park_tab.mirror->nr_spares);
	return 1;
}

static void stop(void)
{
	call(GR_IOC_SHUTDOWN, NULL);
}

const struct park_ops park_kmod = {
	.name = "kmod",
	.setup = setup,
	.fini = fini,
	.attach = attach,
	.detach = detach,
	.park = park,
	.unpark = unpark,
	.recheck = recheck,
	.acquire = acquire,
	.yield = yield,
	.monitor = monitor,
	.stop = stop,
};
