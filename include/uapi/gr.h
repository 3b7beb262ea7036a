/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * gr.h - the contract between gr.ko and user space, and nothing else.
 *
 * WORDS
 *   thread (M)     a kernel thread attached to a group
 *   processor (P)  the right to run goroutine code; a group has nr_procs of them
 *   group          one open of /dev/gr, bound to the process that set it up
 *   spare          an attached thread that is parked and holds no P
 *   returner       a thread that lost its P while it slept and now waits in the
 *                  kernel, on its way back to user mode, for another one
 *
 * THE PROTOCOL
 *   1. open("/dev/gr", O_RDWR | O_CLOEXEC), GR_IOC_SETUP once, then mmap() the
 *      mirror (PROT_READ) and the hints (PROT_READ|PROT_WRITE), both MAP_SHARED,
 *      at the offsets that SETUP returned.
 *   2. Every thread that runs goroutines calls GR_IOC_ATTACH for itself and gets a
 *      slot: its index in the two per-thread tables and its name in every call.
 *   3. A thread without work calls GR_IOC_PARK; whoever publishes work while the
 *      mirror shows an idle or lazy P calls GR_IOC_UNPARK.
 *   4. A thread that really sleeps in the kernel while it holds a P, and whose hint
 *      flags word is 0 (goroutine code), loses its P as soon as there is something
 *      better to do with it: a returner takes it, or a spare when the hints show
 *      work. With nothing to do the P turns LAZY and the thread keeps it for free.
 *      A thread that computes for a slice while its P has something else to do loses it
 *      at its next return to user mode and waits for another one behind everybody: threads
 *      that slept, then work in the hints, then the preempted, oldest first.
 *   5. A thread that lost its P waits for one before its first user instruction.
 *      Three cases let it through without: a signal to be served, a system call that
 *      will restart (it is about to sleep again), and the GR_HF_POLL flag. So every
 *      entry into the user-space runtime reads mirror.threads[slot].proc again.
 *
 * ORDER (the one pair that both sides must keep)
 *   publisher: store the work (hints: tail, runnext, globq_len, ...), full fence,
 *              read mirror.nr_idle / nr_lazy.
 *   kernel:    raise nr_idle / nr_lazy, full fence, read the hints.
 *   One of the two sees the other, so no published work sleeps (no lost wake-up).
 *   One exception: a thread that blocks does not look at the runnext of other running
 *   processors. Those go on to it by themselves, or lose their slice.
 *
 * TRUST
 *   The kernel decides by its own memory. The mirror is a copy it never reads back; a
 *   wrong hint wastes or delays the processors of the process that wrote it, no more.
 *
 * ERRORS common to all calls: ENOTTY unknown request; EFAULT bad pointer; EINVAL
 * unknown flags or non-zero reserved fields; EPERM caller is not the process that set
 * the group up; ENXIO before GR_IOC_SETUP; ESHUTDOWN the last descriptor was closed.
 * Calls that name a slot: ESRCH when that slot is not the calling thread's.
 */
#ifndef _UAPI_GR_H
#define _UAPI_GR_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GR_ABI_MAJOR 1		/* changes break old binaries */
#define GR_ABI_MINOR 1		/* changes only add */

#define GR_MAX_PROCS 256
#define GR_MAX_THREADS 32768
#define GR_NO_PROC (-1)
#define GR_NO_DEADLINE (-1LL)

/* features: required and offered in struct gr_setup */
#define GR_FEAT_BLOCK (1ULL << 0)	/* block detection and hand-off */
#define GR_FEAT_PREEMPT (1ULL << 1)	/* slice_us */
#define GR_FEAT_SWITCH (1ULL << 2)	/* GR_IOC_SWITCH, directed UNPARK */
#define GR_FEAT_EVENTS (1ULL << 3)	/* read(); asking for it starts the recording */
#define GR_FEAT_URING_PARK (1ULL << 4)	/* GR_UCMD_PARK: the kernel can cancel commands */
#define GR_FEAT_ALL 0x1fULL

#define GR_SLICE_MIN_US 1000
#define GR_SLICE_MAX_US 1000000

/*
 * GR_IOC_SETUP, once per open.
 * EINVAL size or ranges; EPROTO another major version; EOPNOTSUPP a required feature
 * is missing (features then says what is offered); EBUSY already set up; ENOMEM; EAGAIN
 * max_threads is over the administrator's limit (module parameter max_threads).
 */
struct gr_setup {
	__u32 size;		/* in: sizeof(struct gr_setup) */
	__u16 abi_major;	/* in/out */
	__u16 abi_minor;	/* in/out: min of both sides */
	__u32 flags;		/* in: must be 0 */
	__u32 nr_procs;		/* in: 1..GR_MAX_PROCS */
	__u32 max_threads;	/* in: nr_procs..GR_MAX_THREADS */
	__u32 slice_us;		/* in: GR_SLICE_MIN_US..GR_SLICE_MAX_US, or 0: no preemption */
	__u64 features;		/* in: required; out: offered */
	__u64 mirror_offset;	/* out: for mmap */
	__u64 mirror_size;	/* out: bytes, whole pages */
	__u64 hint_offset;	/* out */
	__u64 hint_size;	/* out */
	__u64 reserved[4];
};

/*
 * GR_IOC_ATTACH: the calling thread joins the group.
 * It starts with GR_HF_RUNTIME in its hint flags; goroutine code begins when it stores 0.
 * EBUSY attached already, here or elsewhere; EAGAIN max_threads reached; ENOMEM.
 */
#define GR_ATTACH_RUN (1U << 0)	/* take an idle P, or a lazy one that has work */
struct gr_attach {
	__u32 flags;
	__s32 slot;		/* out */
	__s32 proc;		/* out: the P taken or GR_NO_PROC */
	__u32 reserved;
};

/* GR_IOC_DETACH: the calling thread leaves; its P goes to the others. */
struct gr_detach {
	__s32 slot;
	__u32 reserved;
};

/* why a park ended */
#define GR_WAKE_UNPARK 1	/* an UNPARK chose this thread */
#define GR_WAKE_HANDOFF 2	/* a thread blocked, or yielded its P to us */
#define GR_WAKE_WORK 3		/* did not sleep: hints showed work, or a wake-up was owed */

/*
 * GR_IOC_PARK: give the P up (to a returner, else it goes idle) and sleep as a spare of
 * this core, last in first out, until given one. Also for a thread that holds none.
 * ETIMEDOUT the deadline passed; EINTR a signal: in both cases the caller holds no P.
 *
 * GR_IOC_YIELD: the same, but only if the caller holds a P and a returner waits; otherwise
 * EAGAIN at once and the P is kept. Never restarted after a signal: it would find no P.
 *
 * A directed UNPARK that came first is consumed: the caller keeps its P, or waits for one as
 * a returner, and the reason is GR_WAKE_WORK. One that finds the caller asleep and no P free
 * is not lost when the call ends with ETIMEDOUT or EINTR: the next PARK consumes it.
 */
#define GR_PARK_NOWORK (1U << 0)	/* do not look at the hints before sleeping */
struct gr_park {
	__s32 slot;
	__u32 flags;
	__s64 deadline;		/* CLOCK_MONOTONIC ns, or GR_NO_DEADLINE */
	__s32 proc;		/* out */
	__u32 reason;		/* out: GR_WAKE_* */
};

/*
 * GR_IOC_SWITCH: my P goes to the thread @target, which must be parked or waiting for a P; it
 * is woken on this core, and the caller parks: PARK's results, never restarted. One system call.
 * EAGAIN target is not parked, or the caller holds no P: nothing changed; ESRCH no such
 * thread; EINVAL target is the caller.
 */
struct gr_switch {
	__s32 slot;
	__s32 target;
	__u32 flags;		/* in: must be 0 */
	__u32 reserved;
	__s64 deadline;		/* CLOCK_MONOTONIC ns, or GR_NO_DEADLINE */
	__s32 proc;		/* out */
	__u32 reason;		/* out: GR_WAKE_* */
};

/*
 * GR_IOC_UNPARK: give up to nr processors a thread: idle ones first, then lazy ones (never
 * one whose owner polls, GR_HF_POLL), last pollers with a GR_UCMD_PARK pending. Any thread of
 * the process may call it. A wake-up for which no thread or no P could be found is remembered,
 * one per P at most.
 *
 * GR_UNPARK_PROCS: only the Ps in mask. GR_UNPARK_CPUS: only threads that parked on the cores
 * in mask. What finds nobody is not remembered then.
 * GR_UNPARK_THREAD: directed, nr must be 1. The thread @slot, if parked, gets an idle or lazy
 * P or queues as a returner; if not, its next PARK does not sleep (one such permit, however
 * many calls). ESRCH no such thread.
 */
#define GR_UNPARK_PROCS (1U << 0)
#define GR_UNPARK_CPUS (1U << 1)
#define GR_UNPARK_THREAD (1U << 2)
struct gr_unpark {
	__u32 nr;		/* in: 1..nr_procs */
	__u32 flags;		/* in: at most one of GR_UNPARK_* */
	__u32 woken;		/* out: threads woken */
	__s32 slot;		/* in: GR_UNPARK_THREAD, else 0 */
	__u64 mask[4];		/* in: bit i of word i/64: P or core i; else 0 */
};

/*
 * GR_IOC_MONITOR: wait until a P had work but no spare (mirror.spare_needed moved past
 * seen) or, with GR_MONITOR_STALLS, a stall was seen (mirror.stalls moved past seen_stalls).
 * EBUSY another thread monitors; ETIMEDOUT; EINTR.
 */
#define GR_MONITOR_STALLS (1U << 0)
struct gr_monitor {
	__u32 seen;		/* in: last value handled; out: value now */
	__u32 flags;
	__s64 deadline;		/* CLOCK_MONOTONIC ns, or GR_NO_DEADLINE */
	__u32 seen_stalls;	/* in/out, as seen */
	__u32 reserved;
};

/*
 * GR_IOC_SHUTDOWN: no argument. Parked threads and the monitor leave with ESHUTDOWN, returners
 * go on without a P, every later call fails. Closing the last descriptor does the same, but a
 * PARK that another thread enters at that very moment may miss it.
 */

/*
 * read(): whole records, oldest first; EINVAL the buffer is smaller than one; EAGAIN none and
 * O_NONBLOCK; EINTR; 0 the group was shut down; EOPNOTSUPP GR_FEAT_EVENTS was not asked for.
 * Up to 256 are kept; what came after that is counted in mirror.events_lost.
 *
 * poll(): POLLIN records can be read; POLLPRI an UNPARK found nobody to wake (a poll request
 * in a ring is how pollers hear of it where GR_UCMD_PARK is not offered; PARK with a deadline
 * in the past consumes it); POLLHUP shut down.
 */
#define GR_EV_SPARE_NEEDED 1	/* proc had work and no spare; value: mirror.spare_needed */
#define GR_EV_STALL 2		/* slot kept proc for value us while others waited */
#define GR_EV_RETURN_LATE 3	/* slot slept, has waited value us for a P */
struct gr_event {
	__u64 time;		/* CLOCK_MONOTONIC ns */
	__u32 type;
	__s32 slot;		/* or -1 */
	__s32 proc;		/* or -1 */
	__u32 value;
};

/*
 * IORING_OP_URING_CMD on the device, cmd_op GR_UCMD_PARK: the request of an attached thread
 * that is about to wait in its ring (GR_HF_POLL). It completes with 0 when an UNPARK chose this
 * thread, -ECANCELED after DETACH or with the ring, -ESHUTDOWN. To withdraw it: a directed
 * UNPARK (the kernel does not let ASYNC_CANCEL reach requests of a driver). Errors at once: ESRCH not the submitter's
 * slot, EBUSY one is pending, EINVAL, EOPNOTSUPP (see GR_FEAT_URING_PARK).
 */
#define GR_UCMD_PARK 1
struct gr_ucmd {		/* in sqe->cmd */
	__s32 slot;
	__u32 flags;		/* must be 0 */
	__u64 reserved;
};

#define GR_IOC_MAGIC 'G'
#define GR_IOC_SETUP	_IOWR(GR_IOC_MAGIC, 0x80, struct gr_setup)
#define GR_IOC_ATTACH	_IOWR(GR_IOC_MAGIC, 0x81, struct gr_attach)
#define GR_IOC_DETACH	_IOW(GR_IOC_MAGIC, 0x82, struct gr_detach)
#define GR_IOC_PARK	_IOWR(GR_IOC_MAGIC, 0x83, struct gr_park)
#define GR_IOC_UNPARK	_IOWR(GR_IOC_MAGIC, 0x84, struct gr_unpark)
#define GR_IOC_YIELD	_IOWR(GR_IOC_MAGIC, 0x85, struct gr_park)
#define GR_IOC_MONITOR	_IOWR(GR_IOC_MAGIC, 0x86, struct gr_monitor)
#define GR_IOC_SHUTDOWN	_IO(GR_IOC_MAGIC, 0x87)
#define GR_IOC_SWITCH	_IOWR(GR_IOC_MAGIC, 0x88, struct gr_switch)

/* ---- shared pages ---- */

/* thread states, mirror.threads[].state */
#define GR_T_NONE 0		/* slot free */
#define GR_T_RUNNING 1		/* holds proc */
#define GR_T_LAZY 2		/* asleep, still holds proc, may lose it */
#define GR_T_BLOCKED 3		/* holds no P; asleep or in runtime code */
#define GR_T_RETURNING 4	/* waits in the kernel for a P */
#define GR_T_PARKED 5		/* spare */

/* processor states, mirror.procs[].state */
#define GR_P_IDLE 0
#define GR_P_RUNNING 1
#define GR_P_LAZY 2

struct gr_mirror_thread {
	__s32 proc;
	__u32 state;
};

struct gr_mirror_proc {
	__u32 state;
	__s32 thread;		/* slot of the holder or -1 */
	__u32 cpu;		/* where it last ran */
	__u32 handoffs;
};

/*
 * The mirror: kernel writes, user space reads. Followed by procs[nr_procs] at
 * proc_offset and threads[max_threads] at thread_offset.
 */
struct gr_mirror {
	__u32 nr_procs;
	__u32 max_threads;
	__u32 proc_offset;
	__u32 thread_offset;
	__u32 pad0[12];
	__u32 nr_idle;		/* Ps that are IDLE */
	__u32 nr_lazy;		/* Ps that are LAZY and whose owner does not poll */
	__u32 nr_returners;
	__u32 nr_spares;
	__u32 nr_threads;
	__u32 spare_needed;	/* counts: had work, found no spare */
	__u32 dead;		/* the group was shut down */
	__u32 stalls;		/* counts: a thread kept its P through ten slices, work waiting */
	__u32 nr_preempted;	/* returners whose slice was over; not in nr_returners */
	__u32 pad1[7];
	__u64 blocks;		/* a running thread fell asleep in goroutine code */
	__u64 handoffs;		/* ... and lost its P for it */
	__u64 unblocks;		/* a thread that had lost its P came back */
	__u64 preempts;		/* a running thread lost its P at the end of a slice */
	__u64 wakeups;		/* threads the module woke */
	__u64 returns;		/* times a thread was stopped at its return to user mode */
	__u64 events_lost;	/* records that found the queue full */
	__u64 pad2;
};

/* per-thread hint flags */
#define GR_HF_RUNTIME 1		/* in the runtime: keep my P when I sleep */
/* I sleep on behalf of my P: a returner may have it, a spare may not; I need none to come back */
#define GR_HF_POLL 2
/* both: my P is out of use; I keep it asleep, there are no slices until I give it up */
struct gr_hint_thread {
	__u32 flags;
	__u32 pad[15];
};

/* a P's run queue indices (the real ones) and what else it has to do */
struct gr_hint_proc {
	__u32 head;		/* consumers */
	__u32 pad0[15];
	__u32 tail;		/* producer: the holder. Queue empty: head == tail */
	__u32 tick;		/* +1 per goroutine scheduled with a fresh slice */
	__u32 pending;		/* timers armed + I/O in flight: somebody must poll */
	__u32 pad1;
	__u64 runnext;		/* non-zero: one more goroutine */
	__u32 pad2[10];
};

/* The hints: user space writes, kernel reads. Tables as in the mirror. */
struct gr_hint {
	__u32 proc_offset;	/* written once by the kernel at SETUP, never read back */
	__u32 thread_offset;
	__u32 pad0[14];
	__u32 globq_len;	/* goroutines in the global queue */
	__u32 pad1[15];
};

#define GR_ASSERT_LAYOUT(type, bytes) \
	_Static_assert(sizeof(struct type) == (bytes), "ABI size of " #type)
#define GR_ASSERT_OFFSET(type, field, at) \
	_Static_assert(__builtin_offsetof(struct type, field) == (at), \
		       "ABI offset of " #type "." #field)
#ifndef __cplusplus
GR_ASSERT_LAYOUT(gr_setup, 96);
GR_ASSERT_OFFSET(gr_setup, size, 0);
GR_ASSERT_OFFSET(gr_setup, abi_major, 4);
GR_ASSERT_OFFSET(gr_setup, abi_minor, 6);
GR_ASSERT_OFFSET(gr_setup, flags, 8);
GR_ASSERT_OFFSET(gr_setup, nr_procs, 12);
GR_ASSERT_OFFSET(gr_setup, max_threads, 16);
GR_ASSERT_OFFSET(gr_setup, slice_us, 20);
GR_ASSERT_OFFSET(gr_setup, features, 24);
GR_ASSERT_OFFSET(gr_setup, mirror_offset, 32);
GR_ASSERT_OFFSET(gr_setup, mirror_size, 40);
GR_ASSERT_OFFSET(gr_setup, hint_offset, 48);
GR_ASSERT_OFFSET(gr_setup, hint_size, 56);
GR_ASSERT_LAYOUT(gr_attach, 16);
GR_ASSERT_OFFSET(gr_attach, flags, 0);
GR_ASSERT_OFFSET(gr_attach, slot, 4);
GR_ASSERT_OFFSET(gr_attach, proc, 8);
GR_ASSERT_LAYOUT(gr_detach, 8);
GR_ASSERT_OFFSET(gr_detach, slot, 0);
GR_ASSERT_LAYOUT(gr_park, 24);
GR_ASSERT_OFFSET(gr_park, slot, 0);
GR_ASSERT_OFFSET(gr_park, flags, 4);
GR_ASSERT_OFFSET(gr_park, deadline, 8);
GR_ASSERT_OFFSET(gr_park, proc, 16);
GR_ASSERT_OFFSET(gr_park, reason, 20);
GR_ASSERT_LAYOUT(gr_switch, 32);
GR_ASSERT_OFFSET(gr_switch, slot, 0);
GR_ASSERT_OFFSET(gr_switch, target, 4);
GR_ASSERT_OFFSET(gr_switch, flags, 8);
GR_ASSERT_OFFSET(gr_switch, deadline, 16);
GR_ASSERT_OFFSET(gr_switch, proc, 24);
GR_ASSERT_OFFSET(gr_switch, reason, 28);
GR_ASSERT_LAYOUT(gr_unpark, 48);
GR_ASSERT_OFFSET(gr_unpark, nr, 0);
GR_ASSERT_OFFSET(gr_unpark, flags, 4);
GR_ASSERT_OFFSET(gr_unpark, woken, 8);
GR_ASSERT_OFFSET(gr_unpark, slot, 12);
GR_ASSERT_OFFSET(gr_unpark, mask, 16);
GR_ASSERT_LAYOUT(gr_monitor, 24);
GR_ASSERT_OFFSET(gr_monitor, seen, 0);
GR_ASSERT_OFFSET(gr_monitor, flags, 4);
GR_ASSERT_OFFSET(gr_monitor, deadline, 8);
GR_ASSERT_OFFSET(gr_monitor, seen_stalls, 16);
GR_ASSERT_LAYOUT(gr_event, 24);
GR_ASSERT_OFFSET(gr_event, time, 0);
GR_ASSERT_OFFSET(gr_event, type, 8);
GR_ASSERT_OFFSET(gr_event, slot, 12);
GR_ASSERT_OFFSET(gr_event, proc, 16);
GR_ASSERT_OFFSET(gr_event, value, 20);
GR_ASSERT_LAYOUT(gr_ucmd, 16);
GR_ASSERT_OFFSET(gr_ucmd, slot, 0);
GR_ASSERT_OFFSET(gr_ucmd, flags, 4);
GR_ASSERT_LAYOUT(gr_mirror_thread, 8);
GR_ASSERT_OFFSET(gr_mirror_thread, proc, 0);
GR_ASSERT_OFFSET(gr_mirror_thread, state, 4);
GR_ASSERT_LAYOUT(gr_mirror_proc, 16);
GR_ASSERT_OFFSET(gr_mirror_proc, state, 0);
GR_ASSERT_OFFSET(gr_mirror_proc, thread, 4);
GR_ASSERT_OFFSET(gr_mirror_proc, cpu, 8);
GR_ASSERT_OFFSET(gr_mirror_proc, handoffs, 12);
GR_ASSERT_LAYOUT(gr_mirror, 192);
GR_ASSERT_OFFSET(gr_mirror, nr_procs, 0);
GR_ASSERT_OFFSET(gr_mirror, max_threads, 4);
GR_ASSERT_OFFSET(gr_mirror, proc_offset, 8);
GR_ASSERT_OFFSET(gr_mirror, thread_offset, 12);
GR_ASSERT_OFFSET(gr_mirror, nr_idle, 64);
GR_ASSERT_OFFSET(gr_mirror, nr_lazy, 68);
GR_ASSERT_OFFSET(gr_mirror, nr_returners, 72);
GR_ASSERT_OFFSET(gr_mirror, nr_spares, 76);
GR_ASSERT_OFFSET(gr_mirror, nr_threads, 80);
GR_ASSERT_OFFSET(gr_mirror, spare_needed, 84);
GR_ASSERT_OFFSET(gr_mirror, dead, 88);
GR_ASSERT_OFFSET(gr_mirror, stalls, 92);
GR_ASSERT_OFFSET(gr_mirror, nr_preempted, 96);
GR_ASSERT_OFFSET(gr_mirror, blocks, 128);
GR_ASSERT_OFFSET(gr_mirror, handoffs, 136);
GR_ASSERT_OFFSET(gr_mirror, unblocks, 144);
GR_ASSERT_OFFSET(gr_mirror, preempts, 152);
GR_ASSERT_OFFSET(gr_mirror, wakeups, 160);
GR_ASSERT_OFFSET(gr_mirror, returns, 168);
GR_ASSERT_OFFSET(gr_mirror, events_lost, 176);
GR_ASSERT_LAYOUT(gr_hint_thread, 64);
GR_ASSERT_OFFSET(gr_hint_thread, flags, 0);
GR_ASSERT_LAYOUT(gr_hint_proc, 128);
GR_ASSERT_OFFSET(gr_hint_proc, head, 0);
GR_ASSERT_OFFSET(gr_hint_proc, tail, 64);
GR_ASSERT_OFFSET(gr_hint_proc, tick, 68);
GR_ASSERT_OFFSET(gr_hint_proc, pending, 72);
GR_ASSERT_OFFSET(gr_hint_proc, runnext, 80);
GR_ASSERT_LAYOUT(gr_hint, 128);
GR_ASSERT_OFFSET(gr_hint, proc_offset, 0);
GR_ASSERT_OFFSET(gr_hint, thread_offset, 4);
GR_ASSERT_OFFSET(gr_hint, globq_len, 64);
#endif

#endif /* _UAPI_GR_H */
