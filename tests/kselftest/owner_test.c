// SPDX-License-Identifier: GPL-2.0
/*
 * owner_test.c - whose a group and a slot are: descriptors that are copied, passed on and outlive
 * their process, children, and a thread that has the number of a dead one.
 *
 * Here more than in abi_test.c: what an end changes.
 */
#include <sys/socket.h>

#include "stage.h"

FIXTURE(owner)
{
};

FIXTURE_SETUP(owner)
{
	const char *env = getenv("GR_SEED");

	seed = env ? (unsigned int)atoi(env) : (unsigned int)time(NULL);
	TH_LOG("GR_SEED=%u", seed);
}

FIXTURE_TEARDOWN(owner)
{
}

/* ---- descriptors ---- */

static void send_fd(int sock, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = {}, byte = 'f';
	struct iovec io = { &byte, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = room,
			    .msg_controllen = sizeof(room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	*c = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	NEED(sendmsg(sock, &m, 0) == 1);
}

static int receive_fd(int sock)
{
	char room[CMSG_SPACE(sizeof(int))] = {}, byte;
	struct iovec io = { &byte, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = room,
			    .msg_controllen = sizeof(room) };
	int fd;

	if (recvmsg(sock, &m, 0) != 1 || !CMSG_FIRSTHDR(&m))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

/* as a stranger: how many calls did not say EPERM */
static int strangers_calls(int fd)
{
	struct gr_attach a = {};
	struct gr_detach t = {};
	struct gr_park p = { .deadline = 0 };
	struct gr_unpark u = { .nr = 1 };
	struct gr_monitor m = {};

	return (gr_call(fd, GR_IOC_ATTACH, &a) != EPERM) + (gr_call(fd, GR_IOC_DETACH, &t) != EPERM) +
	       (gr_call(fd, GR_IOC_PARK, &p) != EPERM) + (gr_call(fd, GR_IOC_YIELD, &p) != EPERM) +
	       (gr_call(fd, GR_IOC_UNPARK, &u) != EPERM) +
	       (gr_call(fd, GR_IOC_MONITOR, &m) != EPERM) +
	       (gr_call(fd, GR_IOC_SHUTDOWN, NULL) != EPERM);
}

static int sockets[2];

static void send_and_die(void)
{
	send_fd(sockets[1], d.fd);
	kill(getpid(), SIGKILL);
}

static void send_and_exit(void)
{
	send_fd(sockets[1], d.fd);
}

/* the descriptor outlives the process that set the group up, and is good for nothing */
static void outlive(struct __test_metadata *_metadata, void (*play)(void), int want)
{
	struct gr_setup again = gr_setup_arg(1, 1);
	int status, fd;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	pid = fork();
	if (!pid) {
		open_stage(0);
		reach_blocked();
		play();
		_exit(0);
	}
	fd = receive_fd(sockets[0]);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, strangers_calls(fd));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(want, status);
	EXPECT_EQ(0, strangers_calls(fd));
	EXPECT_EQ(EBUSY, gr_call(fd, GR_IOC_SETUP, &again));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(EPERM, errno);
	/* the file only: threads took their references along */
	EXPECT_TRUE(wait_until(gr_refcount() == 1));
	close(fd);
	EXPECT_TRUE(wait_until(gr_refcount() == 0));
	close(sockets[0]);
	close(sockets[1]);
}

TEST_F_TIMEOUT(owner, descriptor_outlives_its_process, LIMIT)
{
	outlive(_metadata, send_and_die, SIGKILL);
	outlive(_metadata, send_and_exit, 0);
}

/* whoever sets it up owns it, not who opened it */
TEST_F_TIMEOUT(owner, descriptor_set_up_by_another_process, LIMIT)
{
	struct gr_setup s = gr_setup_arg(1, 2);
	int fd = open("/dev/gr", O_RDWR), status;
	struct gr_attach a = {};
	pid_t pid;

	ASSERT_LE(0, fd);
	EXPECT_EQ(ENXIO, gr_call(fd, GR_IOC_ATTACH, &a));
	pid = fork();
	if (!pid) {
		NEED(!gr_call(fd, GR_IOC_SETUP, &s));
		NEED(!gr_call(fd, GR_IOC_ATTACH, &a));
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, strangers_calls(fd));
	close(fd);
	EXPECT_TRUE(wait_until(gr_refcount() == 0));
}

/* children with and without memory of their own, and a process that only shares the memory */
static int child_calls(void *arg)
{
	_exit(strangers_calls(d.fd));
}

TEST_F_TIMEOUT(owner, children_are_strangers, LIMIT)
{
	static char stack[65536] __attribute__((aligned(16)));
	static const int flags[] = { SIGCHLD, CLONE_VM | CLONE_VFORK | SIGCHLD,
				     CLONE_VM | CLONE_FILES | SIGCHLD };
	int status;

	ASSERT_EQ(0, dev_open(&d, 1, SLOTS, 0));
	ASSERT_EQ(0, dev_attach(&d, GR_ATTACH_RUN, NULL));
	dev_user(&d, 0);
	for (int i = 0; i < 3; i++) {
		pid_t pid = clone(child_calls, stack + sizeof(stack), flags[i], NULL);

		ASSERT_LT(0, pid);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_EQ(0, d.mthreads[0].proc);
		EXPECT_EQ(1, d.mirror->nr_threads);
	}
	EXPECT_EQ(0, dev_detach(&d, 0));
	dev_close(&d);
}

static void *park_main(void *reason)
{
	int slot = dev_attach(&d, 0, NULL);

	NEED(slot >= 0);
	return (void *)(long)dev_park(&d, slot, GR_NO_DEADLINE, reason);
}

/* two descriptors of one group: it lives as long as one of them, and both are as good */
TEST_F_TIMEOUT(owner, dup_is_the_same_group, LIMIT)
{
	struct gr_unpark u = { .nr = 1 };
	struct gr_park p;
	pthread_t t;
	void *ret;
	int copy;

	ASSERT_EQ(0, dev_open(&d, 1, SLOTS, 0));
	copy = dup(d.fd);
	ASSERT_EQ(0, pthread_create(&t, NULL, park_main, &p));
	ASSERT_TRUE(wait_until(d.mirror->nr_spares == 1));
	close(d.fd);
	EXPECT_EQ(0, d.mirror->dead);
	EXPECT_EQ(0, gr_call(copy, GR_IOC_UNPARK, &u));
	EXPECT_EQ(1, u.woken);
	pthread_join(t, &ret);
	EXPECT_EQ(NULL, ret);
	EXPECT_EQ(GR_WAKE_UNPARK, p.reason);
	d.fd = copy;
	ASSERT_EQ(0, pthread_create(&t, NULL, park_main, &p));
	ASSERT_TRUE(wait_until(d.mirror->nr_spares == 1));
	close(copy);
	pthread_join(t, &ret);
	EXPECT_EQ((void *)ESHUTDOWN, ret);
	EXPECT_EQ(1, d.mirror->dead);
}

/* close() as somebody enters PARK: he may miss it, as gr.h says, but he can be killed */
TEST_F_TIMEOUT(owner, close_during_park, LIMIT)
{
	for (int i = 0; i < 100; i++) {
		pid_t pid = fork();
		pthread_t t;
		int status;

		rand_r(&seed);
		if (!pid) {
			open_stage(0);
			NEED(!pthread_create(&t, NULL, park_main, NULL));
			NEED(wait_until(d.mirror->nr_threads == 1));
			for (volatile unsigned int n = rand_r(&seed) % 5000; n; n--)
				;
			close(d.fd);
			kill(getpid(), i & 1 ? SIGKILL : SIGTERM);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(i & 1 ? SIGKILL : SIGTERM, status);
	}
	EXPECT_TRUE(wait_until(gr_refcount() == 0));
}

/* ---- a thread with the number of a dead one ---- */

static _Atomic pid_t reused;
static _Atomic bool proceed;
static _Atomic int wakes[3];

static void *namesake_main(void *arg)
{
	struct gr_park p;
	int slot;

	atomic_store(&reused, gettid());
	while (!atomic_load(&proceed))
		syscall(SYS_futex, &proceed, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
	slot = dev_attach(&d, 0, NULL);
	NEED(slot >= 0);
	for (int i = 0; i < 3; i++) {
		NEED(!dev_park(&d, slot, GR_NO_DEADLINE, &p));
		atomic_store(&wakes[i], p.reason);
	}
	return (void *)(long)slot;
}

static bool next_tid(pid_t tid)
{
	FILE *f = fopen("/proc/sys/kernel/ns_last_pid", "w");
	bool ok = f && fprintf(f, "%d", tid - 1) > 0;

	if (f && fclose(f))
		ok = false;
	return ok;
}

/* times a thread was switched out because it slept */
static long sleeps_of(pid_t tid)
{
	char path[64], line[256];
	long n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "voluntary_ctxt_switches: %ld", &n);
	if (f)
		fclose(f);
	return n;
}

static pthread_t start_namesake(pid_t tid)
{
	pthread_t t;

	/* somebody else may take the number first */
	for (int i = 0; i < 200; i++) {
		NEED(next_tid(tid));
		atomic_store(&reused, 0);
		NEED(!pthread_create(&t, NULL, namesake_main, NULL));
		NEED(wait_until(atomic_load(&reused)));
		if (reused == tid)
			return t;
		/* stays asleep, unattached */
	}
	NEED(!"the number never came back");
	return t;
}

static void wake_namesake(void)
{
	atomic_store(&proceed, true);
	syscall(SYS_futex, &proceed, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
}

static void meet_namesake(void)
{
	struct actor *a = &target;
	pid_t tid = a->tid;
	pthread_t t;
	long before;
	void *slot;

	kill_actor(&target);
	t = start_namesake(tid);
	NEED(wait_until(asleep(a)));
	before = sleeps_of(tid);
	/* the dead thread's slot is empty: the wake-up is owed to the next one who parks */
	NEED(dev_unpark(&d, 1) == 0);
	NEED(d.mirror->nr_idle == 1 && d.mthreads[a->slot].state == GR_T_NONE);
	sleep_us(10000);
	NEED(sleeps_of(tid) == before);
	wake_namesake();
	NEED(wait_until(d.mirror->nr_spares == 1 && wakes[0]));
	NEED(wakes[0] == GR_WAKE_WORK);
	NEED(state_of(a) == GR_T_PARKED);
	NEED(dev_unpark(&d, 1) == 1);
	NEED(wait_until(wakes[1] == GR_WAKE_UNPARK && d.mirror->nr_spares == 1));
	NEED(dev_unpark(&d, 1) == 1);
	NEED(!pthread_join(t, &slot));
	NEED((int)(long)slot == a->slot);
	NEED(wakes[2] == GR_WAKE_UNPARK);
}

TEST_F_TIMEOUT(owner, thread_number_comes_back, LIMIT)
{
	struct scene s = { .reach = reach_parked, .play = meet_namesake, .witness = true };

	if (access("/proc/sys/kernel/ns_last_pid", W_OK))
		SKIP(return, "thread numbers can be chosen by root, in kernels with ns_last_pid");
	run_stage(_metadata, &s, 0);
}

TEST_HARNESS_MAIN
