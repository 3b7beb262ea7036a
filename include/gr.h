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
 *   Cancel    A cancelled goroutine (see scopes) gets -ECANCELED from calls that wait.
 *   Threads   [any] any thread of the process; [g] inside a goroutine only, elsewhere
 *             -EPERM. Nothing here but gr_dump() may be called from a signal handler.
 *   Blocking  Any blocking call of any C library may be made in a goroutine: only
 *             that goroutine waits. Between two libgr calls a goroutine stays on one
 *             kernel thread, so thread-local state of libraries is safe there.
 */
#ifndef GR_H
#define GR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/select.h> /* sigset_t */
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* of the C library: their headers would bring functions that programs have their own of */
struct iovec;	 /* <sys/uio.h> */
struct msghdr;	 /* <sys/socket.h> */
struct sockaddr; /* <sys/socket.h> */
struct statx;	 /* <sys/stat.h>, with _GNU_SOURCE */
struct signalfd_siginfo; /* <sys/signalfd.h> */

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
	int max_procs;		/* most that gr_set_procs() may ask for; 0: nr_procs */
	int max_threads;	/* limit of kernel threads; 0: 10000 */
	size_t stack_size;	/* of a goroutine; 0: 256 KiB reserved, committed lazily */
};

/*
 * Start the runtime, run fn(arg) as the first goroutine, and return what it returned, when
 * it did: other goroutines end with it, as in Go. Calls by which plain threads start, wake or
 * time goroutines must be over by then. opts may be NULL. One runtime at a time.
 * -EBUSY one is running, or a goroutine of the last one still sits in a system call;
 * -EINVAL bad opts or a bad GR_* variable; -ENODEV GR_BACKEND=kmod without /dev/gr; -ENOSYS
 * GR_NETPOLL=uring without io_uring, as of Linux 6.0; -ENOMEM; -EAGAIN no thread. A sentence that
 * says why goes to stderr.
 * -EDEADLK all goroutines were asleep, and nothing could have woken one: no timer, no I/O, no
 * thread of the program beside the runtime's. Every goroutine was listed on stderr. [any, not g]
 */
int gr_run(int (*fn)(void *), void *arg, const struct gr_opts *opts);

/*
 * How many P's suit this program: the CPUs of the calling thread's affinity mask, but not more
 * than the CPU quota of its cgroup (cpu.max, version 1 too), rounded up. At least 1. [any]
 */
int gr_default_procs(void);

/*
 * Change the number of P's while the runtime runs, 1..max_procs of struct gr_opts. Returns the
 * number before. P's above it finish the goroutine they run and then only poll what was begun
 * on them. -EINVAL; -ENXIO no runtime. [any]
 */
int gr_set_procs(int n);

/*
 * Write one block for each goroutine to fd: number, name, state, why it waits and for how long,
 * and its backtrace. What runs meanwhile is shown as it was at some instant. Signal safe:
 * SIGQUIT does it to stderr, unless the program ignores it or has a handler. 0; -ENXIO no
 * runtime; -ENOMEM. [any]
 */
int gr_dump(int fd);

struct gr_info {
	size_t size;		/* in: sizeof(struct gr_info) */
	const char *backend;	/* "kmod" or "futex" */
	const char *netpoll;	/* how it waits for I/O: "uring" or "epoll" */
	const char *netpoll_uses; /* means of the kernel's that not all have: words */
	const char *guard;	/* what catches a stack overflow: "madvise", "mprotect", "canary" */
	int nr_procs;		/* now, see gr_set_procs() */
	int max_procs;
	int nr_threads;		/* kernel threads now */
	int nr_goroutines;	/* alive now */
	int nr_idle;		/* Ps with nothing to do now */
	uint64_t handoffs;	/* Ps taken from blocked threads so far */
	uint64_t blocks;	/* times goroutine code fell asleep (kmod) */
	uint64_t steals;	/* goroutines stolen */
	uint64_t schedules;	/* goroutines scheduled */
	uint64_t ring_enters;	/* io_uring_enter() calls; with epoll its calls, and ppoll() */
};
/* Fill *info. -EINVAL size; -ENXIO no runtime. [any] */
int gr_info(struct gr_info *info);

struct gr_proc_info {
	size_t size;		/* in: sizeof(struct gr_proc_info) */
	int runq;		/* goroutines in its run queue now */
	int timers;		/* timers pending now */
	int free;		/* descriptors kept for the next goroutines, some with a stack */
	uint64_t schedules, steals, handoffs, ring_enters, timers_fired;
	/* requests begun in its ring; results taken off it, and how many of these by others than who
	 * held it; calls that found what they wanted and needed no request */
	uint64_t io_requests, io_completions, io_stolen, io_at_once;
};
/* Fill *info about one P, 0..max_procs-1. -EINVAL; -ENXIO no runtime. [any] */
int gr_proc_info(int proc, struct gr_proc_info *info);

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
/* Sleep until the deadline; 0 or -ECANCELED. GR_FOREVER sleeps for ever. A plain thread sleeps
 * too. [any] */
int gr_sleep(int64_t deadline);
/* The calling goroutine's number, from 1, or 0 outside. [any] */
uint64_t gr_id(void);
/* Its name, or NULL; gr_set_name() keeps the pointer. -EPERM outside. [any] */
const char *gr_name(void);
int gr_set_name(const char *name);
/*
 * Stay on this kernel thread, and keep other goroutines off it, until gr_unpin(): for libraries
 * with thread-local state that lives across libgr calls. Nests. -EPERM outside, or more unpins
 * than pins; -EAGAIN one thread of max_threads stays free for the others. [g]
 */
int gr_pin(void);
int gr_unpin(void);
/* Bytes of its stack that the calling goroutine, or one before it on the same stack, has ever
 * used, to the page. -EPERM outside; -ENOSYS the kernel does not tell. [g] */
ssize_t gr_stack_used(void);

/* ---- tasks: goroutines with a handle and a result ---- */

struct gr_task;
/* Run fn(arg); *t gets a handle with one reference. As gr_go(). [any] */
int gr_task_new(struct gr_task **t, int (*fn)(void *), void *arg, const struct gr_attr *attr);
/*
 * Wait for its end; *result (may be NULL) gets what fn returned. Any number may wait, before and
 * after. -ETIMEDOUT, -EAGAIN, -ECANCELED; -EDEADLK it would wait for itself; -EINVAL. [any]
 */
int gr_task_join(struct gr_task *t, int *result, int64_t deadline);
/* Cancel it (see scopes). 0, also when it has ended. [any] */
int gr_task_cancel(struct gr_task *t);
/* Drop the handle; the goroutine goes on. NULL is allowed. [any] */
void gr_task_release(struct gr_task *t);

/* ---- scopes: goroutines that end together, and cancellation ---- */

/*
 * A cancelled goroutine gets -ECANCELED from every call that waits (deadline other than GR_NOW),
 * the one it is in and all later ones, until it ends: it cleans up and returns. An uncontended
 * gr_mutex_lock() and what does not wait at all go on working. A goroutine is cancelled with the
 * scope it was started in, with its task, and with the goroutine that opened its scope.
 * Calls that give up leave nothing behind: a cancelled read has not taken data, a cancelled send
 * was not received.
 */
struct gr_scope {
	void *opaque[12];
};

#define GR_SCOPE_ALL 1U	/* a goroutine that fails does not cancel the others */

/* Start a scope, in the calling goroutine's. -EINVAL. [any] */
int gr_scope_init(struct gr_scope *s, unsigned int flags);
/*
 * Run fn(arg) in the scope. The first result that is not 0 is kept, and cancels the scope
 * (unless GR_SCOPE_ALL); once it is cancelled, -ECANCELED does not count as a result. From any
 * goroutine or thread, while the scope has not been left. In a cancelled scope the goroutine
 * starts cancelled. -EINVAL also for a scope that was never opened, or left; else as gr_go(). [any]
 */
int gr_scope_go(struct gr_scope *s, int (*fn)(void *), void *arg);
int gr_scope_go_with(struct gr_scope *s, int (*fn)(void *), void *arg, const struct gr_attr *attr);
/* Cancel all that is in it, now and from now on. 0; -EINVAL. [any] */
int gr_scope_cancel(struct gr_scope *s);
/*
 * Leave the scope: wait until all in it have ended. At the deadline, or when the caller is
 * cancelled itself, the scope is cancelled first; the call never returns before the last one
 * has ended. Returns the first result that was not 0, else -ECANCELED or -ETIMEDOUT (GR_NOW:
 * -EAGAIN) if that is why it was cancelled, else 0. By who called gr_scope_init(). -EPERM
 * another goroutine; -EINVAL never opened, or left. A goroutine that ends without it aborts the
 * program: its scope would be gone, with goroutines in it. [any]
 */
int gr_scope_wait(struct gr_scope *s, int64_t deadline);
/* -ECANCELED if the calling goroutine is cancelled and not shielded, else 0. [any] */
int gr_cancelled(void);
/* Between these, cancellation is not seen: for clean-up that must wait. Nests. -EPERM. [g] */
int gr_shield_begin(void);
int gr_shield_end(void);

/* ---- goroutine-local values ---- */

#define GR_KEYS_MAX 128
/*
 * A new key, for all goroutines; destroy (may be NULL) gets a value that is not NULL when its
 * goroutine ends, and may wait. -EAGAIN all keys are taken; -EINVAL. [any]
 */
int gr_key_new(unsigned int *key, void (*destroy)(void *));
/* Give the key back; values that are still set are not destroyed. -EINVAL. [any] */
int gr_key_delete(unsigned int key);
/* Set, get. -EINVAL no such key; -EPERM outside a goroutine; -ENOMEM. Get: NULL for those. [g] */
int gr_local_set(unsigned int key, void *value);
void *gr_local_get(unsigned int key);

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
/* Send *value. -EPIPE closed; -ETIMEDOUT; -EAGAIN; -ECANCELED; -EINVAL NULL. [any] */
int gr_chan_send(struct gr_chan *c, const void *value, int64_t deadline);
/* Receive into *value (NULL: discard). -ENODATA closed and drained; else as send. [any] */
int gr_chan_recv(struct gr_chan *c, void *value, int64_t deadline);
/* Close: waiting senders get -EPIPE, receivers -ENODATA. -EPIPE closed already. [any] */
int gr_chan_close(struct gr_chan *c);
size_t gr_chan_len(struct gr_chan *c);
size_t gr_chan_cap(struct gr_chan *c);

/* ---- select: the first of several things to happen ---- */

enum gr_case_op { GR_OP_NONE, GR_OP_SEND, GR_OP_RECV, GR_OP_FD, GR_OP_TIMER, GR_OP_JOIN, GR_OP_AT };

struct gr_case {
	enum gr_case_op op;
	/*
	 * out, of the case that was chosen. SEND, RECV: as gr_chan_send(), gr_chan_recv(): a closed
	 * channel is ready, with -EPIPE or -ENODATA. FD: the events, or -errno. TIMER: as
	 * gr_timer_wait(). JOIN: what the task's function returned. AT: 0.
	 */
	int result;
	union {
		struct gr_chan *chan;	/* NULL: never ready */
		struct gr_timer *timer;
		struct gr_task *task;
		int fd;
		int64_t when;
	};
	union {
		void *value;		/* RECV: where it goes, NULL: discard */
		const void *send;
		unsigned int events;	/* FD: POLLIN, POLLOUT, ... */
	};
};
#define GR_SEND(c, p) { .op = GR_OP_SEND, .chan = (c), .send = (p) }
#define GR_RECV(c, p) { .op = GR_OP_RECV, .chan = (c), .value = (p) }
#define GR_FD(f, ev) { .op = GR_OP_FD, .fd = (f), .events = (ev) }
#define GR_TIMER(t) { .op = GR_OP_TIMER, .timer = (t) }
#define GR_JOIN(t) { .op = GR_OP_JOIN, .task = (t) }
#define GR_AT(ns) { .op = GR_OP_AT, .when = (ns) }	/* ready at that time */
#define GR_NEVER { .op = GR_OP_NONE }			/* a case that is switched off */

#define GR_SELECT_MAX 64
/*
 * Wait for the first of n cases, do it, return its index. Of several that are ready one is
 * chosen at random; gr_select_ordered() takes the first. The same channel may stand in several
 * cases; all objects must be there until the call returns. With GR_NOW: -EAGAIN when none is
 * ready, as Go's default. -ETIMEDOUT, -ECANCELED; -EINVAL n over GR_SELECT_MAX, an unknown op or
 * event, NULL for a value, a timer or a task; -EDEADLK a task joins itself; -ENXIO FD or TIMER
 * without a runtime. [any]
 */
int gr_select(struct gr_case *cases, int n, int64_t deadline);
int gr_select_ordered(struct gr_case *cases, int n, int64_t deadline);

/* ---- timers ---- */

struct gr_timer;
/*
 * A timer that is not armed. gr_timer_wait() and select see it fire; with gr_timer_func() each
 * time runs fn(arg) in a new goroutine instead (once for several missed ones). -EINVAL, -ENOMEM.
 * [any]
 */
int gr_timer_new(struct gr_timer **t);
int gr_timer_func(struct gr_timer **t, void (*fn)(void *), void *arg);
/*
 * Arm, or arm anew: at when, and then, if period is not 0, every period ns. What fired before
 * and was not waited for is forgotten. 1 it was armed, 0 it was not; -EINVAL; -ENXIO no
 * runtime. [any]
 */
int gr_timer_set(struct gr_timer *t, int64_t when, int64_t period);
/* Disarm; nothing of it is seen afterwards (a goroutine of gr_timer_func() that has started goes
 * on). 1 it was armed, 0 not. [any] */
int gr_timer_stop(struct gr_timer *t);
/* Wait until it has fired; returns how often since the last wait. -ETIMEDOUT, -EAGAIN,
 * -ECANCELED; -EINVAL NULL, or one of gr_timer_func(). [any] */
int gr_timer_wait(struct gr_timer *t, int64_t deadline);
/* Disarm and drop; nobody may wait for it. NULL is allowed. [any] */
void gr_timer_release(struct gr_timer *t);

/*
 * ---- synchronisation: in caller memory, zero is a valid start ----
 *
 * For goroutines and plain threads alike. Calls that wait: -ETIMEDOUT, -EAGAIN (GR_NOW),
 * -ECANCELED. NULL: -EINVAL. Memory may be reused as soon as no call is in progress.
 */

/* Mutual exclusion. A newcomer may pass those who wait, but nobody waits long: once somebody has
 * waited for 1 ms it is handed over in order. Not recursive. */
struct gr_mutex {
	uint32_t lock, state;
	void *head, *tail;
	int64_t since;
	uint64_t owner;		/* debug builds */
	uint32_t turns, pad;
};
#define GR_MUTEX_INIT { 0, 0, NULL, NULL, 0, 0, 0, 0 }
int gr_mutex_lock(struct gr_mutex *m, int64_t deadline);
/* -EPERM it was not locked. May let a goroutine run that waits for it. [any] */
int gr_mutex_unlock(struct gr_mutex *m);

/* Many readers or one writer. A writer that waits keeps new readers out; the readers that came
 * before its unlock go first. */
struct gr_rwmutex {
	uint32_t lock, state;
	void *rhead, *rtail, *whead, *wtail;
};
#define GR_RWMUTEX_INIT { 0, 0, NULL, NULL, NULL, NULL }
/* -EOVERFLOW more than 16 million readers at once */
int gr_rwmutex_rlock(struct gr_rwmutex *m, int64_t deadline);
int gr_rwmutex_runlock(struct gr_rwmutex *m);	/* -EPERM not read-locked */
int gr_rwmutex_lock(struct gr_rwmutex *m, int64_t deadline);
int gr_rwmutex_unlock(struct gr_rwmutex *m);	/* -EPERM not locked */

/* Condition variable. */
struct gr_cond {
	uint32_t lock, state;
	void *head, *tail;
};
#define GR_COND_INIT { 0, 0, NULL, NULL }
/*
 * Unlock m, wait for a signal, lock m again (always: also when it returns an error). A wake-up
 * is one gr_cond_signal() and nothing else: there are no spurious ones. -EPERM m is not locked.
 */
int gr_cond_wait(struct gr_cond *c, struct gr_mutex *m, int64_t deadline);
int gr_cond_signal(struct gr_cond *c);		/* wake the longest waiter; how many: 0 or 1 */
int gr_cond_broadcast(struct gr_cond *c);	/* wake all; how many */

/* Counting semaphore, first come first served. Begins with 0 or more. */
struct gr_sem {
	uint32_t lock, state;
	int64_t count;
	void *head, *tail;
};
#define GR_SEM_INIT(n) { 0, 0, (n), NULL, NULL }
/* Take n at once. -EINVAL n < 1, or it began with less than 0. */
int gr_sem_acquire(struct gr_sem *s, int64_t n, int64_t deadline);
/* Give n back. -EINVAL n < 1, or it began with less than 0; -EOVERFLOW. */
int gr_sem_release(struct gr_sem *s, int64_t n);

/* Wait until a count of jobs has come down to 0. */
struct gr_wg {
	uint32_t lock, state;
	int64_t count;
	void *head, *tail;
};
#define GR_WG_INIT { 0, 0, 0, NULL, NULL }
/* Add n (may be negative); at 0 all waiters go on. -EINVAL it would fall below 0. */
int gr_wg_add(struct gr_wg *wg, int64_t n);
int gr_wg_done(struct gr_wg *wg);
int gr_wg_wait(struct gr_wg *wg, int64_t deadline);

/* Run fn(arg) once, whoever comes first; all others wait until it has returned. */
struct gr_once {
	uint32_t lock, state;
	void *head, *tail;
	uint64_t runner;	/* who runs it, to see it call itself */
};
#define GR_ONCE_INIT { 0, 0, NULL, NULL, 0 }
/* -EDEADLK fn calls it again; -ECANCELED: somebody else may still be running it. */
int gr_once(struct gr_once *o, void (*fn)(void *), void *arg);

/* n meet: all wait until the n-th comes; then it can be used again. */
struct gr_barrier {
	uint32_t lock, n;
	uint32_t here, round;
	void *head, *tail;
};
#define GR_BARRIER_INIT(n) { 0, (n), 0, 0, NULL, NULL }
/* 1 for one of the n, 0 for the others; one that gives up is not counted. -EINVAL n is 0. */
int gr_barrier_wait(struct gr_barrier *b, int64_t deadline);

/*
 * A pool of objects kept for reuse, per P, without atomics on the usual path. Objects may
 * vanish: destroy (may be NULL) gets them when there are too many, and when the pool goes.
 */
struct gr_pool;
/* create(arg) makes an object when the pool has none; NULL: get returns NULL then. [any] */
int gr_pool_new(struct gr_pool **p, void *(*create)(void *), void (*destroy)(void *), void *arg);
void *gr_pool_get(struct gr_pool *p);
void gr_pool_put(struct gr_pool *p, void *obj);
void gr_pool_release(struct gr_pool *p);

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
/*
 * A listener takes a listening socket over: its connections are accepted as they come, ahead of
 * the calls that want them (some 64; more, up to thousands, while all Ps compute). What nobody
 * takes is closed with it. Any number of goroutines may accept. -EINVAL NULL; -EBADF; -EMFILE;
 * -ENOMEM: then fd stays the caller's. [any]
 */
struct gr_listener;
int gr_listener_new(struct gr_listener **l, int fd);
/* As gr_accept(). -ESHUTDOWN it is closed; -EMFILE or what else the kernel says: it may be called
 * again. [g] */
int gr_listener_accept(struct gr_listener *l, int64_t deadline);
/*
 * Close it and its socket: who waits, and who comes later, gets -ESHUTDOWN. -ESHUTDOWN it was
 * closed. By a goroutine, or without a runtime, else -EPERM; -EBUSY then, while threads of the last
 * runtime are left, as gr_run().
 */
int gr_listener_close(struct gr_listener *l);
/* Close it, if nobody has, and free it: no call may be in progress. NULL is allowed. As close. */
int gr_listener_release(struct gr_listener *l);
/*
 * Connect to host, whose addresses race as in RFC 8305: the families take turns, the next address
 * is tried when those before have not answered for 250 ms, or at once after one that failed; the
 * first that answers wins, the others are closed. At most 8 are on their way. -ECONNREFUSED or
 * what else the last one said; -ENOENT unknown name ... [g]
 */
int gr_tcp_dial(const char *host, const char *port, int64_t deadline);
/* Read at most n bytes, 0 at the end; write some, or all. Sockets, pipes, files. [g] */
ssize_t gr_read(int fd, void *buf, size_t n, int64_t deadline);
ssize_t gr_write(int fd, const void *buf, size_t n, int64_t deadline);
ssize_t gr_write_all(int fd, const void *buf, size_t n, int64_t deadline);
/* The same in pieces; n of them, at most IOV_MAX. -EINVAL. [g] */
ssize_t gr_readv(int fd, const struct iovec *iov, int n, int64_t deadline);
ssize_t gr_writev(int fd, const struct iovec *iov, int n, int64_t deadline);
ssize_t gr_pread(int fd, void *buf, size_t n, off_t off, int64_t deadline);
ssize_t gr_pwrite(int fd, const void *buf, size_t n, off_t off, int64_t deadline);
/*
 * Write n bytes of the file in, from off on, to the socket or pipe out. How many; less than n at
 * the end of the file, or when an error came after some: the next call says which. The file's
 * position is neither used nor moved. -EINVAL negative off; -ENOMEM; else as gr_pread() and
 * gr_write(). [g]
 */
ssize_t gr_sendfile(int out, int in, off_t off, size_t n, int64_t deadline);
/*
 * Wait until fd is ready for events (POLLIN, POLLOUT, ...), for libraries that do their own I/O on
 * non-blocking descriptors. Returns the events, POLLERR and POLLHUP among them. -EBADF, -EINVAL,
 * -ETIMEDOUT, -EAGAIN, -ECANCELED. [g]
 */
int gr_fd_wait(int fd, unsigned int events, int64_t deadline);
/* Close. Calls in flight on it should have ended: cancel them, or gr_shutdown(). [any] */
int gr_close(int fd);

/*
 * ---- files ----
 *
 * As the system calls of these names. They wait, but have no deadline: what a disk has begun
 * cannot be taken back. -EINVAL NULL, -ECANCELED, -ENOENT, -EEXIST, -EACCES ... [g]
 */

/* Returns a descriptor, with O_CLOEXEC. */
int gr_open(const char *path, int flags, mode_t mode);
/*
 * The kernel's own struct, which it fills in itself: with the time of birth (STATX_BTIME in
 * stx_mask: known) and without the sizes that struct stat has here and there. flags: 0, or
 * AT_SYMLINK_NOFOLLOW for what lstat() tells.
 */
int gr_stat(const char *path, int flags, struct statx *st);
int gr_rename(const char *from, const char *to);
int gr_unlink(const char *path);
int gr_mkdir(const char *path, mode_t mode);
int gr_rmdir(const char *path);
int gr_fsync(int fd);
int gr_fdatasync(int fd);
/* mode as in fallocate(2). -EINVAL off < 0 or len < 1; -EOPNOTSUPP this file system cannot. */
int gr_fallocate(int fd, int mode, off_t off, off_t len);
/*
 * fn() for each name in a directory but "." and "..", with its type (DT_REG, ..., DT_UNKNOWN), in
 * no order, until it returns something else than 0: that is returned, else 0. -ENOTDIR; -ENOMEM.
 */
int gr_readdir(const char *path, int (*fn)(const char *name, unsigned char type, void *arg),
	       void *arg);

/* ---- child processes and signals ---- */

/*
 * Wait for the end of one child and reap it; *status (may be NULL) is as waitpid(2) has it. Of
 * several who wait one gets it. -ECHILD no child, or somebody else has reaped it; -EINVAL pid
 * < 1; -EMFILE; -ETIMEDOUT, -EAGAIN, -ECANCELED. [g]
 */
int gr_wait_child(pid_t pid, int *status, int64_t deadline);
/*
 * Wait for a signal of the set that was sent to the process (kill(2)), and take it: returns its
 * number; *info may be NULL. They must be blocked in all threads: block them before gr_run().
 * What comes between two calls stays pending. -EINVAL NULL, or one is not blocked; -EMFILE;
 * -ETIMEDOUT, -EAGAIN, -ECANCELED. [g]
 */
int gr_signal_wait(const sigset_t *set, struct signalfd_siginfo *info, int64_t deadline);

/* ---- sockets ---- */

/*
 * As recv(2), send(2), recvmsg(2), sendmsg(2), with their flags. MSG_DONTWAIT is the same as
 * GR_NOW; no call raises SIGPIPE: -EPIPE. A datagram longer than the buffer is cut, and the rest
 * is lost: MSG_TRUNC tells. -EINVAL NULL, or MSG_WAITALL, which no deadline could end without
 * losing what came first; -ENOTSOCK. [g]
 */
ssize_t gr_recv(int fd, void *buf, size_t n, int flags, int64_t deadline);
/*
 * With MSG_ZEROCOPY, which is for big buffers that go to another machine: all n bytes from where
 * they are, if that can be done and n is 32 KiB or more, else as without. The call returns when
 * nobody needs buf any more: TCP's peer has acknowledged what was sent, or the connection is gone;
 * also after the deadline, and when it is cancelled. It then says how much was sent. It must be
 * over before the runtime ends. Less than n also where so much memory may not be locked.
 */
ssize_t gr_send(int fd, const void *buf, size_t n, int flags, int64_t deadline);
ssize_t gr_recvmsg(int fd, struct msghdr *msg, int flags, int64_t deadline);
ssize_t gr_sendmsg(int fd, const struct msghdr *msg, int flags, int64_t deadline);
/* With the peer's address; from and to may be NULL; lengths are of socklen_t, which is unsigned
 * int. -EINVAL from without from_len. [g] */
ssize_t gr_recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *from,
		    unsigned int *from_len, int64_t deadline);
ssize_t gr_sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *to,
		  unsigned int to_len, int64_t deadline);
/*
 * As shutdown(2): SHUT_RD, SHUT_WR, SHUT_RDWR. Calls that wait in the socket return: 0 the end,
 * -EPIPE, or -EINVAL from gr_accept(). So it can be closed when they have. [any]
 */
int gr_shutdown(int fd, int how);
/*
 * A UDP socket that receives what is sent to host and port, as gr_tcp_listen(); or one that
 * speaks to them only, whose peer's refusal is -ECONNREFUSED of a later call. gr_tcp_port() tells
 * its port. Names may take time; nothing else waits. [any]
 */
int gr_udp_bind(const char *host, const char *port);
int gr_udp_dial(const char *host, const char *port);
/*
 * Stream sockets of this machine, for gr_accept(). '@' first: an abstract name, without a file.
 * The file of a path stays when the socket is closed: gr_unlink() it, or -EADDRINUSE.
 * -ENAMETOOLONG over 107 bytes; -EINVAL NULL or empty; -ENOENT, -ECONNREFUSED nobody listens
 * there. [listen: any; dial: g]
 */
int gr_unix_listen(const char *path, int backlog);
int gr_unix_dial(const char *path, int64_t deadline);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif /* GR_H */
