/* SPDX-License-Identifier: GPL-2.0 */
/*
 * stage.h - lead threads into every state that the device knows, end them, and look.
 *
 * A stage is a process with one P whose threads ("actors") were led into a state that the mirror
 * shows; then it ends in some way. The mirror cannot be mapped by others, so a witness looks at
 * it afterwards: a process of its own that shares the stage's memory (CLONE_VM). It says
 * whether every slot is free and the P idle; then it goes too, and the module is unused.
 *
 * Callers: die_test.c, owner_test.c. A complaint names a line of this file or of theirs.
 */
#ifndef STAGE_H
#define STAGE_H

#include <signal.h>
#include <sys/prctl.h>

#include "kselftest_harness.h"
#include "gr_dev.h"

#define SLOTS 8
#define LIMIT 400	/* seconds per test: it hangs */

/* in a stage: leave with a word about it */
#define NEED(cond)                                                              \
	do {                                                                    \
		if (!(cond)) {                                                  \
			fprintf(stderr, "# stage: line %d: %s\n", __LINE__, #cond); \
			_exit(1);                                               \
		}                                                               \
	} while (0)

static struct dev d;
static unsigned int seed;

/* between the test and its stage */
static struct shared {
	_Atomic bool over;	/* the stage is gone: the witness may look */
	_Atomic int verdict;	/* of the witness: 0 good, else a line */
	_Atomic pid_t witness;
} *shared;

struct actor {
	void (*play)(int slot);
	int flags;
	pthread_t thread;
	_Atomic pid_t tid;
	_Atomic int slot;
};

static struct actor target, holder;
static _Atomic bool cue;

/* ---- actors ---- */

static inline void *actor_main(void *arg)
{
	struct actor *a = arg;
	int slot = dev_attach(&d, a->flags, NULL);

	NEED(slot >= 0);
	atomic_store(&a->tid, gettid());
	atomic_store(&a->slot, slot);
	a->play(slot);
	return NULL;
}

static inline void enter(struct actor *a, void (*play)(int slot), int flags)
{
	*a = (struct actor){ .play = play, .flags = flags, .slot = -1 };
	NEED(!pthread_create(&a->thread, NULL, actor_main, a));
	NEED(wait_until(atomic_load(&a->slot) >= 0));
}

static inline uint32_t state_of(struct actor *a)
{
	return d.mthreads[a->slot].state;
}

/* really switched out, not only about to be */
static inline bool asleep(struct actor *a)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", a->tid);
	f = fopen(path, "r");
	if (f && fscanf(f, "%*d %*s %c", &state) != 1)
		state = 0;
	if (f)
		fclose(f);
	return state == 'S';
}

static inline void spin(int slot)
{
	dev_user(&d, slot);
	for (;;)
		;
}

static inline void sleep_in_user(int slot)
{
	dev_user(&d, slot);
	for (;;)
		pause();
}

static inline void sleep_in_runtime(int slot)
{
	for (;;)
		pause();
}

static inline void sleep_polling(int slot)
{
	d.hthreads[slot].flags = GR_HF_POLL;
	for (;;)
		pause();
}

static inline void come_back(int slot)
{
	dev_user(&d, slot);
	for (;;)
		sleep_us(100);
}

static inline void park_then_spin(int slot)
{
	while (dev_park(&d, slot, GR_NO_DEADLINE, NULL))
		;
	spin(slot);
}

static inline void park_with_deadline(int slot)
{
	while (dev_park(&d, slot, now_ns() + 1000000000000LL, NULL))
		;
	spin(slot);
}

static inline void monitor(int slot)
{
	for (;;) {
		struct gr_monitor m = { .seen = d.mirror->spare_needed,
					.deadline = GR_NO_DEADLINE };

		gr_call(d.fd, GR_IOC_MONITOR, &m);
	}
}

static inline void yield_on_cue(int slot)
{
	struct gr_park p = { .slot = slot, .deadline = GR_NO_DEADLINE };

	dev_user(&d, slot);
	while (!atomic_load(&cue))
		;
	dev_runtime(&d, slot);
	/* a yield that was stopped starts again without a P: EAGAIN */
	if (gr_call(d.fd, GR_IOC_YIELD, &p))
		park_then_spin(slot);
	spin(slot);
}

static inline void return_then_spin(int slot)
{
	dev_user(&d, slot);
	do {
		sleep_us(100);
	} while (d.mthreads[slot].proc < 0);
	for (;;)
		;
}

static inline void churn(int slot)
{
	NEED(!dev_detach(&d, slot));
	for (unsigned int i = 0;; i++) {
		slot = dev_attach(&d, i & 1 ? GR_ATTACH_RUN : 0, NULL);
		NEED(slot >= 0);
		dev_user(&d, slot);
		if (i % 3 == 0)
			sleep_us(1);
		if (i % 5 == 0) {
			dev_runtime(&d, slot);
			dev_park(&d, slot, 0, NULL);
		}
		NEED(!dev_detach(&d, slot));
	}
}

/* ---- states: each function leaves `target` in one ---- */

static inline void reach_running(void)
{
	enter(&target, spin, GR_ATTACH_RUN);
	NEED(wait_until(d.hthreads[target.slot].flags == 0));
}

static inline void reach_runtime(void)
{
	enter(&target, sleep_in_runtime, GR_ATTACH_RUN);
	NEED(wait_until(asleep(&target)));
}

static inline void reach_lazy(void)
{
	enter(&target, sleep_in_user, GR_ATTACH_RUN);
	NEED(wait_until(state_of(&target) == GR_T_LAZY && asleep(&target)));
}

static inline void reach_polling(void)
{
	enter(&target, sleep_polling, GR_ATTACH_RUN);
	NEED(wait_until(state_of(&target) == GR_T_LAZY && asleep(&target)));
	NEED(d.mirror->nr_lazy == 0);
}

static inline void reach_blocked(void)
{
	reach_lazy();
	enter(&holder, park_then_spin, 0);
	NEED(wait_until(d.mirror->nr_spares == 1));
	NEED(dev_unpark(&d, 1) == 1);
	NEED(state_of(&target) == GR_T_BLOCKED && d.mprocs[0].thread == holder.slot);
}

static inline void reach_returning(void)
{
	enter(&holder, spin, GR_ATTACH_RUN);
	enter(&target, come_back, 0);
	NEED(wait_until(state_of(&target) == GR_T_RETURNING && asleep(&target)));
}

static inline void reach_parked(void)
{
	enter(&target, park_then_spin, 0);
	NEED(wait_until(state_of(&target) == GR_T_PARKED && asleep(&target)));
}

static inline void reach_parked_deadline(void)
{
	enter(&target, park_with_deadline, 0);
	NEED(wait_until(state_of(&target) == GR_T_PARKED && asleep(&target)));
}

static inline bool monitored(void)
{
	struct gr_monitor m = { .seen = d.mirror->spare_needed };

	return gr_call(d.fd, GR_IOC_MONITOR, &m) == EBUSY;
}

static inline void reach_monitor(void)
{
	enter(&target, monitor, 0);
	NEED(wait_until(monitored() && asleep(&target)));
}

static inline void reach_yield(void)
{
	enter(&target, yield_on_cue, GR_ATTACH_RUN);
	enter(&holder, return_then_spin, 0);
	NEED(wait_until(d.mirror->nr_returners == 1));
	atomic_store(&cue, true);
	NEED(wait_until(state_of(&target) == GR_T_PARKED && asleep(&target)));
	NEED(d.mprocs[0].thread == holder.slot);
}

static inline void switch_to_holder(int slot)
{
	struct gr_switch s = { .slot = slot, .target = holder.slot, .deadline = GR_NO_DEADLINE };

	/* stopped, it starts again without a P: EAGAIN */
	if (gr_call(d.fd, GR_IOC_SWITCH, &s))
		park_then_spin(slot);
	spin(slot);
}

static inline void reach_switched(void)
{
	enter(&holder, park_then_spin, 0);
	NEED(wait_until(state_of(&holder) == GR_T_PARKED));
	enter(&target, switch_to_holder, GR_ATTACH_RUN);
	NEED(wait_until(state_of(&target) == GR_T_PARKED && asleep(&target)));
	NEED(d.mprocs[0].thread == holder.slot);
}

/* Handed a P and woken, but the CPU it must run on belongs to a real-time thread. */
static _Atomic bool hog_runs, hog_over;

static inline void on_last_cpu(pthread_t t)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
	NEED(!pthread_setaffinity_np(t, sizeof(set), &set));
}

static inline void *hog(void *arg)
{
	struct sched_param top = { .sched_priority = 50 };

	on_last_cpu(pthread_self());
	NEED(!sched_setscheduler(0, SCHED_FIFO, &top));
	atomic_store(&hog_runs, true);
	while (!atomic_load(&hog_over))
		;
	return arg;
}

static inline void reach_given(void)
{
	pthread_t t;

	enter(&target, park_then_spin, 0);
	on_last_cpu(target.thread);
	NEED(wait_until(state_of(&target) == GR_T_PARKED && asleep(&target)));
	NEED(!pthread_create(&t, NULL, hog, NULL));
	NEED(wait_until(atomic_load(&hog_runs)));
	NEED(dev_unpark(&d, 1) == 1);
}

/* ---- the stage and its witness ---- */

#define LOOK(cond)                                        \
	do {                                              \
		if (!(cond)) {                            \
			atomic_store(&shared->verdict, __LINE__); \
			return 0;                         \
		}                                         \
	} while (0)

/* Shares the stage's memory, and nothing else; it must not need a thread's own data. */
static inline int witness_main(void *keep)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	if (!keep)
		close(d.fd);
	while (!atomic_load(&shared->over))
		nanosleep(&ms, NULL);
	LOOK(wait_until(d.mirror->nr_threads == 0));
	LOOK(d.mirror->nr_idle == 1);
	LOOK(d.mirror->nr_lazy == 0);
	LOOK(d.mirror->nr_returners == 0);
	LOOK(d.mirror->nr_spares == 0);
	LOOK(d.mprocs[0].state == GR_P_IDLE);
	LOOK(d.mprocs[0].thread == -1);
	for (int i = 0; i < SLOTS; i++)
		LOOK(d.mthreads[i].state == GR_T_NONE && d.mthreads[i].proc == GR_NO_PROC);
	LOOK(d.mirror->dead == !keep);
	atomic_store(&shared->verdict, 0);
	return 0;
}

static inline void call_witness(bool keep)
{
	static char stack[65536] __attribute__((aligned(16)));
	int pid = clone(witness_main, stack + sizeof(stack), CLONE_VM | CLONE_PARENT | SIGCHLD,
			keep ? &d : NULL);

	NEED(pid > 0);
	atomic_store(&shared->witness, pid);
}

/* a signal that ends the thread which gets it, whatever it is in */
static inline void end_thread(int sig)
{
	syscall(SYS_exit, 0);
}

static inline void open_stage(int flags)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGUSR1, end_thread);
	NEED(!dev_open(&d, 1, SLOTS, flags));
}

/*
 * Fork a stage that runs @play and then waits to be killed, if it comes back. Kills it after
 * @play when @kill_it. Returns its wait status.
 */
struct scene {
	void (*reach)(void);	/* the state */
	void (*play)(void);	/* what happens then */
	int open_flags;
	bool witness, keep;	/* keep: the witness keeps the descriptor */
	bool kill_it;
};

static inline void stage_main(const struct scene *s, int ready)
{
	open_stage(s->open_flags);
	if (s->witness)
		call_witness(s->keep);
	s->reach();
	NEED(write(ready, "r", 1) == 1);
	if (s->play) {
		s->play();
		_exit(0);
	}
	for (;;)
		pause();
}

static inline void run_stage(struct __test_metadata *_metadata, const struct scene *s, int want)
{
	int pipe_fd[2], status = -1;
	pid_t pid, witness;
	char c;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	atomic_store(&shared->verdict, -1);
	ASSERT_EQ(0, pipe2(pipe_fd, O_CLOEXEC));
	pid = fork();
	if (!pid)
		stage_main(s, pipe_fd[1]);
	close(pipe_fd[1]);
	EXPECT_EQ(1, read(pipe_fd[0], &c, 1));
	if (s->kill_it)
		kill(pid, SIGKILL);
	/* stops are the stage's own: go on */
	while (waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status))
		kill(pid, SIGCONT);
	EXPECT_EQ(want, status);
	atomic_store(&shared->over, true);
	witness = atomic_load(&shared->witness);
	if (witness) {
		EXPECT_EQ(witness, waitpid(witness, &status, __WALL));
		EXPECT_EQ(0, status);
		EXPECT_EQ(0, atomic_load(&shared->verdict)) {
			TH_LOG("the witness complains in line %d", atomic_load(&shared->verdict));
		}
	}
	EXPECT_TRUE(wait_until(gr_refcount() == 0));
	close(pipe_fd[0]);
	munmap(shared, sizeof(*shared));
}

/* ---- ends of one thread ---- */

static inline void send_end(struct actor *a)
{
	NEED(!syscall(SYS_tgkill, getpid(), a->tid, SIGUSR1));
}

static inline void kill_actor(struct actor *a)
{
	send_end(a);
	atomic_store(&hog_over, true);
	NEED(!pthread_join(a->thread, NULL));
	/* the joiner is told before the thread is off its CPU for the last time */
	NEED(wait_until(state_of(a) == GR_T_NONE));
	NEED(d.mthreads[a->slot].proc == GR_NO_PROC);
}

#endif /* STAGE_H */
