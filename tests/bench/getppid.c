// SPDX-License-Identifier: MIT
/*
 * getppid - what being attached costs a thread that only makes system calls.
 *
 * Times getppid() on one thread: not attached, then attached to a group, holding a P, in
 * goroutine code (hint flags 0), round after round in turn. Uses /dev/gr itself, not libgr.
 *
 * In a guest started with `-icount shift=0,sleep=off` the guest's clock counts instructions: with
 * --insns the figures are called so. One ns of that clock is one instruction, on any machine. The
 * clock is read twice a round, and N is large enough for that not to show.
 *
 * Prints two lines of JSON: median and largest round (p99 of few rounds), per call.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "uapi/gr.h"

#define CALLS 100000
#define ROUNDS 9

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static double per_call(void)
{
	int64_t t0;
	int i;

	t0 = now();
	for (i = 0; i < CALLS; i++)
		syscall(SYS_getppid);
	return (double)(now() - t0) / CALLS;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "getppid: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct gr_hint *setup(int fd)
{
	struct gr_setup s = {
		.size = sizeof(s),
		.abi_major = GR_ABI_MAJOR,
		.abi_minor = GR_ABI_MINOR,
		.nr_procs = 1,
		.max_threads = 4,
		.features = GR_FEAT_BLOCK,
	};
	void *hint;

	if (ioctl(fd, GR_IOC_SETUP, &s))
		die("GR_IOC_SETUP");
	hint = mmap(NULL, s.hint_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, s.hint_offset);
	if (hint == MAP_FAILED)
		die("mmap of the hints");
	return hint;
}

static double attached(int fd, struct gr_hint *hint)
{
	struct gr_attach a = {.flags = GR_ATTACH_RUN};
	struct gr_detach d = {0};
	volatile struct gr_hint_thread *t;
	double v;

	if (ioctl(fd, GR_IOC_ATTACH, &a))
		die("GR_IOC_ATTACH");
	if (a.proc == GR_NO_PROC) {
		fputs("getppid: attached without a processor\n", stderr);
		exit(1);
	}
	t = (struct gr_hint_thread *)((char *)hint + hint->thread_offset) + a.slot;
	t->flags = 0;
	v = per_call();
	t->flags = GR_HF_RUNTIME;
	d.slot = a.slot;
	if (ioctl(fd, GR_IOC_DETACH, &d))
		die("GR_IOC_DETACH");
	return v;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print(const char *impl, const char *unit, double *v)
{
	qsort(v, ROUNDS, sizeof(*v), by_value);
	printf("{\"bench\":\"getppid\",\"impl\":\"%s\",\"procs\":1,\"unit\":\"%s\",\"median\":%.1f,"
	       "\"p99\":%.1f,\"n\":%d}\n",
	       impl, unit, v[ROUNDS / 2], v[ROUNDS - 1], CALLS * ROUNDS);
}

int main(int argc, char **argv)
{
	const char *unit = argc > 1 && !strcmp(argv[1], "--insns") ? "insns" : "ns";
	int fd = open("/dev/gr", O_RDWR | O_CLOEXEC), i;
	double plain[ROUNDS], member[ROUNDS];
	struct gr_hint *hint;

	if (fd < 0)
		die("/dev/gr");
	hint = setup(fd);
	per_call();
	for (i = 0; i < ROUNDS; i++) {
		plain[i] = per_call();
		member[i] = attached(fd, hint);
	}
	print("unattached", unit, plain);
	print("attached", unit, member);
	return 0;
}
