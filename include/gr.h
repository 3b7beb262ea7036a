/* SPDX-License-Identifier: MIT */
/*
 * gr.h - goroutines for C: the public interface of libgr.
 *
 * MANNERS
 *   Results   Calls return 0, a count or a descriptor; failures are negative errno
 *             values (-EINVAL, -ETIMEDOUT, ...). errno is neither read nor set: a
 *             goroutine may continue on another kernel thread after any libgr call,
 *             and the compiler may keep the old thread's errno address.
 *   Time      Deadlines are absolute CLOCK_MONOTONIC nanoseconds (int64_t), always
 *             the last parameter: GR_FOREVER, GR_NOW (do not wait), gr_after(ns).
 *             -ETIMEDOUT when the deadline passed; GR_NOW answers -EAGAIN instead.
 *   Threads   [any] any thread of the process; [g] inside a goroutine only, elsewhere
 *             -EPERM. Nothing here may be called from a signal handler.
 *   Blocking  Any blocking call of any C library may be made in a goroutine: only
 *             that goroutine waits. Between two libgr calls a goroutine stays on one
 *             kernel thread, so thread-local state of libraries is safe there.
 */
#ifndef GR_H
#define GR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define GR_VERSION_MAJOR 0
#define GR_VERSION_MINOR 1
#define GR_VERSION_PATCH 0

#define GR_FOREVER INT64_MAX
#define GR_NOW ((int64_t)0)
#define GR_US ((int64_t)1000)
#define GR_MS ((int64_t)1000000)
#define GR_SEC ((int64_t)1000000000)

/* now on the deadlines' clock, in ns [any] */
int64_t gr_now(void);
/* the deadline that lies ns from now; saturates at GR_FOREVER [any] */
int64_t gr_after(int64_t ns);

/* ---- the runtime ---- */

struct gr_opts {
	size_t size;		/* sizeof(struct gr_opts) */
	int nr_procs;		/* P's; 0: GR_PROCS, else gr_default_procs() */
	int max_threads;	/* limit of kernel threads; 0: 10000 */
	size_t stack_size;	/* of a goroutine; 0: 256 KiB reserved, committed lazily */
};

/*
 * Start the runtime, run fn(arg) as the first goroutine, and return what it returned, when
 * it did: other goroutines end with it, as in Go. opts may be NULL. One runtime at a time.
 * -EBUSY one is running, or a goroutine of the last one still sits in a system call;
 * -EINVAL bad opts or a bad GR_* variable; -ENODEV GR_BACKEND=kmod without /dev/gr; -ENOSYS
 * no io_uring; -ENOMEM, -EAGAIN. A sentence that says why goes to stderr. [any, not g]
 */
int gr_run(int (*fn)(void *), void *arg, const struct gr_opts *opts);

/*
 * How many P's suit this program: the CPUs of the calling thread's affinity mask, but not more
 * than the CPU quota of its cgroup (cpu.max, version 1 too), rounded up. At least 1. [any]
 */
int gr_default_procs(void);

struct gr_info {
	size_t size;		/* in: sizeof(struct gr_info) */
	const char *backend;	/* "kmod" or "futex" */
	int nr_procs;
	int nr_threads;		/* kernel threads now */
	int nr_goroutines;	/* alive now */
	int nr_idle;		/* Ps with nothing to do now */
	uint64_t handoffs;	/* Ps taken from blocked threads so far */
	uint64_t blocks;	/* times goroutine code fell asleep (kmod) */
	uint64_t steals;	/* goroutines stolen */
	uint64_t schedules;	/* goroutines scheduled */
	uint64_t ring_enters;	/* io_uring_enter() calls */
};
/* Fill *info. -EINVAL size; -ENXIO no runtime. [any] */
int gr_info(struct gr_info *info);

/* ---- goroutines ---- */

struct gr_attr {
	size_t size;		/* sizeof(struct gr_attr) */
	size_t stack_size;	/* bytes; 0: the default; 16 KiB..1 GiB */
	const char *name;	/* kept by reference; NULL: none */
};

/*
 * Run fn(arg) as a new goroutine. From a plain thread too, while a runtime runs.
 * -EINVAL, -ENOMEM, -ENXIO no runtime. [any]
 */
int gr_go(void (*fn)(void *), void *arg);
int gr_go_with(void (*fn)(void *), void *arg, const struct gr_attr *attr);

/* Let the others run. -EPERM outside. [g] */
int gr_yield(void);
/* Sleep until the deadline; 0. GR_FOREVER sleeps for ever. A plain thread sleeps too. [any] */
int gr_sleep(int64_t deadline);
/* The calling goroutine's number, from 1, or 0 outside. [any] */
uint64_t gr_id(void);

/* ---- channels: values of one size, handed over in order ---- */

struct gr_chan;
/*
 * New channel for values of elem bytes (0 allowed) with room for cap values (0: unbuffered).
 * One reference. -EINVAL NULL or too large (elem <= 64 KiB); -ENOMEM. [any]
 */
int gr_chan_new(struct gr_chan **c, size_t elem, size_t cap);
struct gr_chan *gr_chan_retain(struct gr_chan *c);
/* Drop a reference; the last one frees. NULL is allowed. [any] */
void gr_chan_release(struct gr_chan *c);
/* Send *value. -EPIPE closed; -ETIMEDOUT; -EAGAIN; -EINVAL NULL. [any] */
int gr_chan_send(struct gr_chan *c, const void *value, int64_t deadline);
/* Receive into *value (NULL: discard). -ENODATA closed and drained; else as send. [any] */
int gr_chan_recv(struct gr_chan *c, void *value, int64_t deadline);
/* Close: waiting senders get -EPIPE, receivers -ENODATA. -EPIPE closed already. [any] */
int gr_chan_close(struct gr_chan *c);
size_t gr_chan_len(struct gr_chan *c);
size_t gr_chan_cap(struct gr_chan *c);

/* ---- mutex and wait group: in caller memory, zero is a valid start ---- */

struct gr_mutex {
	uint32_t lock;
	uint32_t state;
	void *head, *tail;
};
#define GR_MUTEX_INIT { 0, 0, NULL, NULL }
/* Lock. -ETIMEDOUT, -EAGAIN. Not recursive. [any] */
int gr_mutex_lock(struct gr_mutex *m, int64_t deadline);
/* Unlock: the longest waiter, if any, gets it. -EPERM it was not locked. [any] */
int gr_mutex_unlock(struct gr_mutex *m);

struct gr_wg {
	uint32_t lock;
	uint32_t pad;
	int64_t count;
	void *head, *tail;
};
#define GR_WG_INIT { 0, 0, 0, NULL, NULL }
/* Add n (may be negative); at 0 all waiters go on. -EINVAL it would fall below 0. [any] */
int gr_wg_add(struct gr_wg *wg, int64_t n);
int gr_wg_done(struct gr_wg *wg);
/* Wait for 0. -ETIMEDOUT, -EAGAIN. [any] */
int gr_wg_wait(struct gr_wg *wg, int64_t deadline);

/* ---- network and files: ordinary descriptors; only the goroutine waits ---- */

/*
 * Listen on host (NULL: any address) and port ("8080" or a service name); returns the
 * descriptor. Port "0" lets the kernel choose. -EADDRINUSE, -EACCES, -ENOENT unknown name,
 * -EMFILE ... [any]
 */
int gr_tcp_listen(const char *host, const char *port, int backlog);
/* The port a socket is bound to. [any] */
int gr_tcp_port(int fd);
/* Accept one connection; returns its descriptor. [g] */
int gr_accept(int fd, int64_t deadline);
/* Connect; tries each address of host. -ECONNREFUSED, -ENOENT unknown name ... [g] */
int gr_tcp_dial(const char *host, const char *port, int64_t deadline);
/* Read at most n bytes, 0 at the end; write some, or all. Sockets, pipes, files. [g] */
ssize_t gr_read(int fd, void *buf, size_t n, int64_t deadline);
ssize_t gr_write(int fd, const void *buf, size_t n, int64_t deadline);
ssize_t gr_write_all(int fd, const void *buf, size_t n, int64_t deadline);
ssize_t gr_pread(int fd, void *buf, size_t n, off_t off, int64_t deadline);
ssize_t gr_pwrite(int fd, const void *buf, size_t n, off_t off, int64_t deadline);
int gr_open(const char *path, int flags, mode_t mode);
int gr_fsync(int fd);
/* Close a descriptor. Calls in flight on it should have ended. [any] */
int gr_close(int fd);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif /* GR_H */
