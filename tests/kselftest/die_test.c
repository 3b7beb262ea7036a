// SPDX-License-Identifier: GPL-2.0
/*
 * die_test.c - threads and processes that end, stop, are stepped or exec in every state the
 * device knows, and at random moments. stage.h leads them there and looks at what they leave.
 *
 * Not here: open, close and exec with a crowd (exit_test.c), random ends (torture.c), who may
 * use a descriptor (owner_test.c).
 */
#include <sys/ptrace.h>

#include "stage.h"

static struct actor heir;	/* parked: gets what the target leaves */

/* ---- every state, every end ---- */

FIXTURE(die)
{
};

FIXTURE_VARIANT(die)
{
	void (*reach)(void);
	uint32_t state;
	bool holds;	/* the P */
};

#define STATE(name, state_, holds_)             \
	FIXTURE_VARIANT_ADD(die, name)          \
	{                                       \
		.reach = reach_##name,          \
		.state = state_,                \
		.holds = holds_,                \
	}

STATE(running, GR_T_RUNNING, true);
STATE(runtime, GR_T_RUNNING, true);
STATE(lazy, GR_T_LAZY, true);
STATE(polling, GR_T_LAZY, true);
STATE(blocked, GR_T_BLOCKED, false);
STATE(returning, GR_T_RETURNING, false);
STATE(parked, GR_T_PARKED, false);
STATE(parked_deadline, GR_T_PARKED, false);
STATE(monitor, GR_T_BLOCKED, false);
STATE(yield, GR_T_PARKED, false);
STATE(switched, GR_T_PARKED, false);
STATE(given, GR_T_RUNNING, true);

/* what the variant says, where a stage can see it */
static struct scene scene;
static uint32_t expected;
static bool holds;

FIXTURE_SETUP(die)
{
	scene = (struct scene){ .reach = variant->reach, .open_flags = O_CLOEXEC };
	expected = variant->state;
	holds = variant->holds;
}

FIXTURE_TEARDOWN(die)
{
}

TEST_F_TIMEOUT(die, by_sigkill, LIMIT)
{
	scene.kill_it = true;
	scene.witness = true;
	run_stage(_metadata, &scene, SIGKILL);
}

/* the group lives on: its threads give their P to each other while they die */
TEST_F_TIMEOUT(die, by_sigkill_with_descriptor_elsewhere, LIMIT)
{
	scene.kill_it = true;
	scene.witness = true;
	scene.keep = true;
	run_stage(_metadata, &scene, SIGKILL);
}

static void *leave(void *arg)
{
	NEED(state_of(&target) == expected);
	_exit(7);
}

static void exit_from_a_thread(void)
{
	pthread_t t;

	NEED(!pthread_create(&t, NULL, leave, NULL));
	for (;;)
		pause();
}

TEST_F_TIMEOUT(die, by_exit_group, LIMIT)
{
	scene.play = exit_from_a_thread;
	scene.witness = true;
	scene.keep = true;
	run_stage(_metadata, &scene, 7 << 8);
}

/* An attached thread that is not the first one execs: the others die under it. */
static void exec_main(int slot)
{
	char fd[16];

	snprintf(fd, sizeof(fd), "%d", d.fd);
	execl("/proc/self/exe", "die_test", "--after-exec", fd,
	      scene.open_flags ? "closed" : "kept", NULL);
	NEED(!"exec failed");
}

static void exec_from_a_thread(void)
{
	static struct actor execer;

	NEED(state_of(&target) == expected);
	enter(&execer, exec_main, 0);
	for (;;)
		pause();
}

TEST_F_TIMEOUT(die, by_exec_that_closes, LIMIT)
{
	scene.play = exec_from_a_thread;
	scene.witness = true;
	run_stage(_metadata, &scene, 0);
}

TEST_F_TIMEOUT(die, by_exec_that_keeps, LIMIT)
{
	scene.play = exec_from_a_thread;
	scene.open_flags = 0;
	scene.witness = true;
	scene.keep = true;
	run_stage(_metadata, &scene, 0);
}

/* an attached thread of the past: the new program can use the device at once */
static int after_exec(int fd, bool closed)
{
	struct gr_unpark u = { .nr = 1 };
	struct dev fresh;
	int ret = gr_call(fd, GR_IOC_UNPARK, &u);

	NEED(ret == (closed ? EBADF : EPERM));
	NEED(!dev_open(&fresh, 1, 2, 0));
	NEED(dev_attach(&fresh, GR_ATTACH_RUN, NULL) == 0);
	dev_user(&fresh, 0);
	/* a sleep that is over before it began is none */
	for (int i = 0; i < 1000 && !fresh.mirror->blocks; i++)
		sleep_us(1000);
	NEED(fresh.mirror->blocks > 0);
	NEED(fresh.mthreads[0].state == GR_T_RUNNING);
	NEED(dev_park(&fresh, 0, 0, NULL) == ETIMEDOUT);
	NEED(!dev_detach(&fresh, 0));
	return 0;
}

static void *take_slot(void *want)
{
	NEED(dev_attach(&d, 0, NULL) == (int)(long)want);
	return NULL;
}

/* One thread ends. Its P, if it has one, goes to the heir; else the heir gets it when asked. */
static void one_thread_ends(void)
{
	uint32_t threads;
	pthread_t t;

	NEED(state_of(&target) == expected);
	enter(&heir, park_then_spin, 0);
	NEED(wait_until(state_of(&heir) == GR_T_PARKED));
	threads = d.mirror->nr_threads;
	if (holds) {
		NEED(d.mprocs[0].thread == target.slot);
		d.hint->globq_len = 1;
	} else {
		/* or its signal handler would wait for the P, see all_end_in_turn() */
		dev_runtime(&d, target.slot);
	}
	kill_actor(&target);
	NEED(wait_until(d.mirror->nr_threads == threads - 1));
	if (holds) {
		NEED(wait_until(d.mprocs[0].thread == heir.slot));
	} else if (d.mirror->nr_idle) {
		NEED(dev_unpark(&d, 1) == 1);
		NEED(d.mprocs[0].thread == heir.slot);
	} else {
		NEED(d.mprocs[0].thread == holder.slot);
	}
	NEED(!monitored());
	NEED(!pthread_create(&t, NULL, take_slot, (void *)(long)target.slot));
	NEED(!pthread_join(t, NULL));
}

TEST_F_TIMEOUT(die, one_thread, LIMIT)
{
	scene.play = one_thread_ends;
	scene.witness = true;
	scene.keep = true;
	run_stage(_metadata, &scene, 0);
}

/*
 * A thread without a P whose signal handler ends it: if that takes long enough it is back in the
 * queue, in the handler, and waits. The holder goes, and whoever got the P then goes too.
 */
static void all_end_in_turn(void)
{
	enter(&heir, park_then_spin, 0);
	NEED(wait_until(state_of(&heir) == GR_T_PARKED));
	d.hint->globq_len = 1;
	send_end(&target);
	sleep_us(rand_r(&seed) % 1000);
	send_end(&holder);
	NEED(!pthread_join(holder.thread, NULL));
	NEED(wait_until(state_of(&holder) == GR_T_NONE));
	send_end(&heir);
	NEED(!pthread_join(target.thread, NULL));
	NEED(!pthread_join(heir.thread, NULL));
	NEED(wait_until(d.mirror->nr_threads == 0));
}

/*
 * Stop and go: everybody is where he was. A thread that sleeps without a P may wait for one
 * before it sleeps again: its system call starts anew, from user mode. If it is there first, the
 * holder's P is LAZY and its own until the holder comes back too.
 */
static void stop_and_go(void)
{
	uint32_t or_else = expected == GR_T_BLOCKED ? GR_T_RETURNING : expected;

	for (int i = 0; i < 10; i++) {
		NEED(!kill(getpid(), SIGSTOP));
		NEED(wait_until((state_of(&target) == expected || state_of(&target) == or_else) &&
				holds == (d.mprocs[0].thread == target.slot)));
	}
	atomic_store(&hog_over, true);
}

TEST_F_TIMEOUT(die, not_by_sigstop, LIMIT)
{
	scene.play = stop_and_go;
	scene.witness = true;
	run_stage(_metadata, &scene, 0);
}

/* SHUTDOWN in every state: the thread leaves, or does at its next switch, and can go elsewhere. */
static void shut_down_and_end(void)
{
	NEED(state_of(&target) == expected);
	NEED(!gr_call(d.fd, GR_IOC_SHUTDOWN, NULL));
	NEED(d.mirror->dead == 1);
	NEED(dev_unpark(&d, 1) == -ESHUTDOWN);
	NEED(dev_detach(&d, 0) == ESHUTDOWN);
	NEED(wait_until(d.mirror->nr_spares == 0 && d.mirror->nr_returners == 0));
	kill_actor(&target);
}

TEST_F_TIMEOUT(die, after_shutdown, LIMIT)
{
	scene.play = shut_down_and_end;
	scene.witness = true;
	run_stage(_metadata, &scene, 0);
}

/* ---- at a random moment ---- */

static void reach_churn(void)
{
	static struct actor more[3];

	enter(&target, churn, 0);
	for (int i = 0; i < 3; i++)
		enter(&more[i], churn, 0);
	sleep_us(rand_r(&seed) % 3000);
}

static void reach_traffic(void)
{
	static struct actor more[3];

	enter(&target, come_back, GR_ATTACH_RUN);
	for (int i = 0; i < 3; i++)
		enter(&more[i], i ? come_back : park_then_spin, 0);
	for (int i = rand_r(&seed) % 50; i; i--) {
		d.hint->globq_len = rand_r(&seed) & 1;
		dev_unpark(&d, 1);
		sleep_us(rand_r(&seed) % 100);
	}
}

FIXTURE(lone)
{
};

FIXTURE_SETUP(lone)
{
	const char *env = getenv("GR_SEED");

	seed = env ? (unsigned int)atoi(env) : (unsigned int)time(NULL);
	TH_LOG("GR_SEED=%u", seed);
}

FIXTURE_TEARDOWN(lone)
{
}

static void kill_at_random(struct __test_metadata *_metadata, void (*reach)(void))
{
	for (int i = 0; i < 40; i++) {
		struct scene s = { .reach = reach, .witness = true, .kill_it = true,
				   .keep = i & 1 };

		rand_r(&seed);
		run_stage(_metadata, &s, SIGKILL);
	}
}

TEST_F_TIMEOUT(lone, sigkill_in_attach_and_detach, LIMIT)
{
	kill_at_random(_metadata, reach_churn);
}

TEST_F_TIMEOUT(lone, sigkill_in_traffic, LIMIT)
{
	kill_at_random(_metadata, reach_traffic);
}

TEST_F_TIMEOUT(lone, a_waiter_ends_and_then_the_holder, LIMIT)
{
	static void (*const reach[])(void) = { reach_blocked, reach_returning, reach_yield };

	for (int i = 0; i < 30; i++) {
		struct scene s = { .reach = reach[i % 3], .play = all_end_in_turn, .witness = true,
				   .keep = true };

		rand_r(&seed);
		run_stage(_metadata, &s, 0);
	}
}

/* ---- detach while a P is on its way ---- */

static _Atomic int nr_served;
static _Atomic bool over;

/* takes what it is given, sleeps a moment with it, and leaves the group with it or without */
static void *guest_main(void *arg)
{
	unsigned int r = (unsigned int)(long)arg;

	while (!atomic_load(&over)) {
		int slot = dev_attach(&d, 0, NULL);

		NEED(slot >= 0);
		if (!dev_park(&d, slot, now_ns() + rand_r(&r) % 2000000, NULL)) {
			atomic_fetch_add(&nr_served, 1);
			dev_user(&d, slot);
			if (rand_r(&r) & 1)
				sleep_us(rand_r(&r) % 50);
		}
		NEED(!dev_detach(&d, slot));
	}
	return NULL;
}

TEST_F_TIMEOUT(lone, detach_with_a_processor_on_its_way, LIMIT)
{
	pthread_t t[4];

	ASSERT_EQ(0, dev_open(&d, 1, SLOTS, 0));
	for (long i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&t[i], NULL, guest_main, (void *)(i + seed)));
	for (int i = 0; i < 2000; i++) {
		d.hint->globq_len = rand_r(&seed) & 1;
		dev_unpark(&d, 1);
		sleep_us(rand_r(&seed) % 200);
	}
	/* with work there is always somebody who gets the P */
	d.hint->globq_len = 1;
	for (int i = 0; i < 20; i++) {
		int before = atomic_load(&nr_served);

		EXPECT_TRUE(wait_until(atomic_load(&nr_served) != before));
	}
	atomic_store(&over, true);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	EXPECT_EQ(0, d.mirror->nr_threads);
	EXPECT_EQ(1, d.mirror->nr_idle);
	EXPECT_EQ(0, d.mirror->nr_lazy);
	dev_close(&d);
}

/* ---- one step of a debugger, which stopped all the others ---- */

static void spin_in_runtime(int slot)
{
	for (;;)
		;
}

static void be_traced(int tell)
{
	pid_t tid[3] = { getpid() };

	open_stage(0);
	enter(&holder, spin_in_runtime, GR_ATTACH_RUN);
	enter(&target, come_back, 0);
	NEED(wait_until(state_of(&target) == GR_T_RETURNING));
	tid[1] = holder.tid;
	tid[2] = target.tid;
	NEED(write(tell, tid, sizeof(tid)) == sizeof(tid));
	for (;;)
		pause();
}

static bool stops(pid_t tid)
{
	int status;

	return wait_until(waitpid(tid, &status, __WALL | WNOHANG) == tid) && WIFSTOPPED(status);
}

/* The P is in the hands of a stopped thread that may not lose it: one step must end without. */
TEST_F_TIMEOUT(lone, single_step_without_a_processor, LIMIT)
{
	int pipe_fd[2];
	pid_t pid, tid[3];

	ASSERT_EQ(0, pipe2(pipe_fd, O_CLOEXEC));
	pid = fork();
	if (!pid)
		be_traced(pipe_fd[1]);
	ASSERT_EQ(sizeof(tid), read(pipe_fd[0], tid, sizeof(tid)));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, ptrace(PTRACE_SEIZE, tid[i], NULL, NULL));
		ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, tid[i], NULL, NULL));
		ASSERT_TRUE(stops(tid[i]));
	}
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, ptrace(PTRACE_SINGLESTEP, tid[2], NULL, NULL));
		ASSERT_TRUE(stops(tid[2])) {
			TH_LOG("step %d does not end", i);
			kill(pid, SIGKILL);
		}
	}
	kill(pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	EXPECT_TRUE(wait_until(gr_refcount() == 0));
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "--after-exec"))
		return after_exec(atoi(argv[2]), !strcmp(argv[3], "closed"));
	return test_harness_run(argc, argv);
}
