/* SPDX-License-Identifier: GPL-2.0 */
/*
 * gr_dev.h - /dev/gr as the tests use it: raw calls, nothing of libgr.
 *
 * Calls return 0 or a positive errno. wait_until() polls: the states of other threads are read
 * from the mirror, with an alarm as the only clock.
 */
#ifndef GR_DEV_H
#define GR_DEV_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "uapi/gr.h"

struct dev {
	int fd;
	struct gr_setup setup;
	volatile struct gr_mirror *mirror;
	volatile struct gr_mirror_proc *mprocs;
	volatile struct gr_mirror_thread *mthreads;
	volatile struct gr_hint *hint;
	volatile struct gr_hint_proc *hprocs;
	volatile struct gr_hint_thread *hthreads;
};

static inline int gr_call(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? errno : 0;
}

static inline struct gr_setup gr_setup_arg(int procs, int threads)
{
	return (struct gr_setup){
		.size = sizeof(struct gr_setup),
		.abi_major = GR_ABI_MAJOR,
		.nr_procs = procs,
		.max_threads = threads,
	};
}

/* open, set up, map; 0 or an errno */
static inline int dev_open_arg(struct dev *d, struct gr_setup setup, int flags)
{
	char *m, *h;
	int ret;

	memset(d, 0, sizeof(*d));
	d->fd = open("/dev/gr", O_RDWR | flags);
	if (d->fd < 0)
		return errno;
	d->setup = setup;
	ret = gr_call(d->fd, GR_IOC_SETUP, &d->setup);
	if (ret)
		return ret;
	m = mmap(NULL, d->setup.mirror_size, PROT_READ, MAP_SHARED, d->fd, d->setup.mirror_offset);
	h = mmap(NULL, d->setup.hint_size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
		 d->setup.hint_offset);
	if (m == MAP_FAILED || h == MAP_FAILED)
		return errno;
	d->mirror = (void *)m;
	d->mprocs = (void *)(m + d->mirror->proc_offset);
	d->mthreads = (void *)(m + d->mirror->thread_offset);
	d->hint = (void *)h;
	d->hprocs = (void *)(h + d->hint->proc_offset);
	d->hthreads = (void *)(h + d->hint->thread_offset);
	return 0;
}

static inline int dev_open(struct dev *d, int procs, int threads, int flags)
{
	return dev_open_arg(d, gr_setup_arg(procs, threads), flags);
}

static inline void dev_close(struct dev *d)
{
	munmap((void *)d->mirror, d->setup.mirror_size);
	munmap((void *)d->hint, d->setup.hint_size);
	close(d->fd);
}

/* the slot, or -errno; *proc may be NULL */
static inline int dev_attach(struct dev *d, int flags, int *proc)
{
	struct gr_attach a = { .flags = flags };
	int ret = gr_call(d->fd, GR_IOC_ATTACH, &a);

	if (proc)
		*proc = a.proc;
	return ret ? -ret : a.slot;
}

static inline int dev_detach(struct dev *d, int slot)
{
	struct gr_detach a = { .slot = slot };

	return gr_call(d->fd, GR_IOC_DETACH, &a);
}

static inline int dev_park(struct dev *d, int slot, int64_t deadline, struct gr_park *out)
{
	struct gr_park p = { .slot = slot, .deadline = deadline };
	int ret = gr_call(d->fd, GR_IOC_PARK, &p);

	if (out)
		*out = p;
	return ret;
}

static inline int dev_unpark(struct dev *d, int n)
{
	struct gr_unpark u = { .nr = n };

	return gr_call(d->fd, GR_IOC_UNPARK, &u) ? -errno : (int)u.woken;
}

/* goroutine code begins and ends */
static inline void dev_user(struct dev *d, int slot)
{
	d->hthreads[slot].flags = 0;
}

static inline void dev_runtime(struct dev *d, int slot)
{
	d->hthreads[slot].flags = GR_HF_RUNTIME;
}

static inline int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline void sleep_us(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* true as soon as cond holds, false after a minute: far more than a busy machine needs */
#define wait_until(cond)                                          \
	({                                                        \
		int64_t until_ = now_ns() + 60000000000LL;        \
		bool ok_;                                         \
		while (!(ok_ = (cond)) && now_ns() < until_)      \
			sched_yield();                            \
		ok_;                                              \
	})

/* modules using gr, from sysfs */
static inline int gr_refcount(void)
{
	FILE *f = fopen("/sys/module/gr/refcnt", "r");
	int n = -1;

	if (f && fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

#endif /* GR_DEV_H */
