// SPDX-License-Identifier: GPL-2.0
/*
 * torture.c - torture [ROUNDS] [SEED]: processes that use the device hard and end badly.
 *
 * Each round is a process with a few attached threads that block, park, unpark and yield at
 * random, with a monitor that adds threads, while the main thread ends it: exec (with and
 * without close-on-exec), fork, close, munmap, pthread_exit, vfork, SIGKILL by itself, or the
 * parent kills it at a random moment. In the end nobody may use the module any more. The seed
 * is printed and can be given back.
 */
#include <signal.h>
#include <sys/resource.h>

#include "gr_dev.h"

#define PROCS 2
#define MAX_THREADS 16

static struct dev d;
static int pipe_fd[2];
static _Atomic int nr_started;

/* what a runtime does before it goes on: sleep until there is a P; false: shut down */
static bool get_p(int slot)
{
	while (d.mthreads[slot].proc < 0) {
		int ret = dev_park(&d, slot, GR_NO_DEADLINE, NULL);

		if (ret && ret != EINTR)
			return false;
	}
	return true;
}

static bool park_a_while(int slot, unsigned int *seed)
{
	dev_runtime(&d, slot);
	dev_park(&d, slot, now_ns() + rand_r(seed) % 500000, NULL);
	if (!get_p(slot))
		return false;
	dev_user(&d, slot);
	return true;
}

static bool yield(int slot)
{
	struct gr_park p = { .slot = slot, .deadline = GR_NO_DEADLINE };

	dev_runtime(&d, slot);
	gr_call(d.fd, GR_IOC_YIELD, &p);
	if (!get_p(slot))
		return false;
	dev_user(&d, slot);
	return true;
}

static bool step(int slot, unsigned int *seed)
{
	struct timespec ts = { 0, rand_r(seed) % 200000 };
	int word = 0;
	char c;

	switch (rand_r(seed) % 8) {
	case 0:
		nanosleep(&ts, NULL);
		break;
	case 1:
		if (write(pipe_fd[1], "x", 1) == 1 && read(pipe_fd[0], &c, 1) < 0)
			return false;
		break;
	case 2:
		syscall(SYS_futex, &word, 0, 0, &ts, NULL, 0);
		break;
	case 3:
		return park_a_while(slot, seed);
	case 4:
		dev_unpark(&d, 1 + rand_r(seed) % PROCS);
		break;
	case 5:
		d.hint->globq_len = rand_r(seed) & 1;
		break;
	case 6:
		return yield(slot);
	default:
		sched_yield();
	}
	return true;
}

static void *worker(void *arg)
{
	unsigned int seed = (unsigned int)(long)arg * 7919 + getpid();
	int slot = dev_attach(&d, seed & 1 ? GR_ATTACH_RUN : 0, NULL);

	if (slot < 0 || !get_p(slot))
		return NULL;
	dev_user(&d, slot);
	while (step(slot, &seed))
		for (volatile unsigned int i = rand_r(&seed) % 2000; i; i--)
			;
	return NULL;
}

static void add_worker(void)
{
	long n = atomic_fetch_add(&nr_started, 1);
	pthread_t t;

	if (n < MAX_THREADS)
		pthread_create(&t, NULL, worker, (void *)n);
}

static void *monitor(void *arg)
{
	struct gr_monitor m = { .deadline = GR_NO_DEADLINE };

	while (!gr_call(d.fd, GR_IOC_MONITOR, &m))
		add_worker();
	return arg;
}

static void *kicker(void *arg)
{
	for (;;) {
		dev_unpark(&d, 1);
		d.hint->globq_len = 1;
		usleep(1000);
	}
	return arg;
}

/* how a round ends; most do not come back */
static void end(int how, unsigned int seed)
{
	switch (how) {
	case 0:
	case 1:
		execl("/proc/self/exe", "torture", "nop", NULL);
		_exit(1);
	case 2:
		if (!fork())
			_exit(dev_unpark(&d, 1) != -EPERM);
		_exit(0);
	case 3:
		close(d.fd);
		usleep(seed % 3000);
		_exit(0);
	case 4:
		/* the other threads die of SIGSEGV */
		munmap((void *)d.mirror, d.setup.mirror_size);
		usleep(500);
		_exit(0);
	case 5:
		pthread_exit(NULL);
	case 6:
		kill(getpid(), SIGKILL);
		break;
	case 7:
		if (!vfork())
			_exit(0);
		_exit(0);
	}
}

static void one_round(unsigned int seed, int how)
{
	struct rlimit no_core = { 0, 0 };
	pthread_t t;
	int slot;

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGSEGV, SIG_DFL);
	if (dev_open(&d, PROCS, 64, how & 1 ? O_CLOEXEC : 0) || pipe(pipe_fd))
		_exit(2);
	for (unsigned int i = 0; i < 2 + seed % 6; i++)
		add_worker();
	pthread_create(&t, NULL, monitor, NULL);
	pthread_create(&t, NULL, kicker, NULL);
	if (seed & 8) {
		slot = dev_attach(&d, 0, NULL);
		if (slot >= 0)
			dev_user(&d, slot);
	}
	usleep(seed % 5000);
	end(how, seed);
	pause();
}

/* 0, or what went wrong */
static const char *reap(pid_t pid)
{
	int64_t until = now_ns() + 20000000000LL;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now_ns() > until) {
			kill(pid, SIGKILL);
			return "a process did not die";
		}
		usleep(300);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 2 ? "the device did not open" : NULL;
}

static bool nothing_left(void)
{
	return wait_until(gr_refcount() == 0);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 10000, i;
	unsigned int seed = argc > 2 ? (unsigned int)atoi(argv[2]) : (unsigned int)time(NULL);
	const char *why = NULL;

	if (argc > 1 && !strcmp(argv[1], "nop")) {
		usleep(300);
		return 0;
	}
	printf("# seed %u\n", seed);
	fflush(stdout);
	srand(seed);
	for (i = 0; i < rounds && !why; i++) {
		int how = rand() % 8;
		unsigned int r = rand();
		pid_t pid = fork();

		if (!pid)
			one_round(r, how);
		/* 5, 6: nobody else ends it; the others are killed every second time */
		if (how == 5 || how == 6 || rand() % 2) {
			usleep(rand() % 8000);
			kill(pid, SIGKILL);
		}
		why = reap(pid);
	}
	printf("%sok 1 - %d rounds%s%s\n", why ? "not " : "", i, why ? ": " : "", why ? why : "");
	printf("%sok 2 - nobody uses the module\n", nothing_left() ? "" : "not ");
	printf("1..2\n");
	return why || gr_refcount();
}
