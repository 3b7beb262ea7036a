// SPDX-License-Identifier: MIT
/*
 * child_test.c - gr_wait_child() and gr_signal_wait(): children that end before, while and long
 * after somebody waits; signals that are pending already, come later, or are wanted by several.
 */
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "check.h"

#define LONG gr_after(60 * GR_SEC)
#define SOON gr_after(300 * GR_US)
#define CHILDREN 12

/* a child that ends with that status when it is told to by a byte on tell, or at once */
static int tell[2];

static pid_t spawn(int status, bool at_once)
{
	pid_t pid = fork();
	char c;

	if (!pid) {
		close(tell[1]); /* it ends with this process at the latest */
		if (!at_once && read(tell[0], &c, 1) != 1)
			_exit(99);
		_exit(status);
	}
	CHECK(pid > 0);
	return pid;
}

static void let_go(int n)
{
	while (n-- > 0)
		CHECK(write(tell[1], "x", 1) == 1);
}

static void let_one_go(void *arg)
{
	(void)arg;
	gr_sleep(SOON);
	let_go(1);
}

static void ends(void)
{
	int status = -1;
	pid_t pid = spawn(3, false);

	CHECK(gr_wait_child(pid, &status, GR_NOW) == -EAGAIN);
	CHECK(gr_wait_child(pid, &status, SOON) == -ETIMEDOUT);
	mix_go(let_one_go, NULL);
	CHECK(gr_wait_child(pid, &status, LONG) == 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	mix_join();
	CHECK(gr_wait_child(pid, &status, LONG) == -ECHILD);
	CHECK(gr_wait_child(getpid(), &status, LONG) == -ECHILD);
	CHECK(gr_wait_child(gettid(), &status, LONG) == -ECHILD);
	CHECK(gr_wait_child(0, &status, LONG) == -EINVAL);
	CHECK(gr_wait_child(-1, NULL, LONG) == -EINVAL);
	/* killed; its status is of no interest */
	pid = spawn(0, false);
	CHECK(!kill(pid, SIGKILL) && gr_wait_child(pid, &status, LONG) == 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(gr_wait_child(spawn(0, true), NULL, LONG) == 0);
	/* over before anybody asks */
	pid = spawn(7, true);
	CHECK(!waitid(P_PID, (id_t)pid, &(siginfo_t){ .si_pid = 0 }, WEXITED | WNOWAIT));
	CHECK(gr_wait_child(pid, &status, GR_NOW) == 0 && WEXITSTATUS(status) == 7);
}

static atomic_int got, missed;

static void wait_for(void *arg)
{
	int ret = gr_wait_child((pid_t)(intptr_t)arg, NULL, LONG);

	got += !ret;
	missed += ret == -ECHILD;
}

static void several(void)
{
	pid_t pid[CHILDREN];

	got = missed = 0;
	for (int i = 0; i < CHILDREN; i++) {
		pid[i] = spawn(0, i % 3 == 0);
		mix_go(wait_for, (void *)(intptr_t)pid[i]);
		mix_go(wait_for, (void *)(intptr_t)pid[i]);
	}
	gr_sleep(SOON);
	let_go(CHILDREN - CHILDREN / 3);
	mix_join();
	CHECK(got == CHILDREN && missed == CHILDREN);
}

/* ---- signals ---- */

static sigset_t usr1, real_time;

static void kill_later(void *arg)
{
	gr_sleep(SOON);
	CHECK(!kill(getpid(), (int)(intptr_t)arg));
}

static void one_signal(void)
{
	struct signalfd_siginfo info = { .ssi_signo = 0 };
	sigset_t usr2, full;

	CHECK(gr_signal_wait(&usr1, &info, GR_NOW) == -EAGAIN);
	CHECK(gr_signal_wait(&usr1, &info, SOON) == -ETIMEDOUT);
	CHECK(!kill(getpid(), SIGUSR1));
	CHECK(gr_signal_wait(&usr1, &info, GR_NOW) == SIGUSR1);
	CHECK(info.ssi_signo == SIGUSR1 && info.ssi_pid == (uint32_t)getpid());
	mix_go(kill_later, (void *)(intptr_t)SIGUSR1);
	CHECK(gr_signal_wait(&usr1, NULL, LONG) == SIGUSR1);
	mix_join();
	CHECK(gr_signal_wait(&usr1, &info, GR_NOW) == -EAGAIN);
	CHECK(gr_signal_wait(NULL, &info, LONG) == -EINVAL);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	CHECK(gr_signal_wait(&usr2, &info, LONG) == -EINVAL);
	sigaddset(&usr1, SIGKILL);
	CHECK(gr_signal_wait(&usr1, &info, SOON) == -ETIMEDOUT);
	sigdelset(&usr1, SIGKILL);
	sigfillset(&full);
	CHECK(gr_signal_wait(&full, &info, LONG) == -EINVAL);
}

static void wait_signal(void *arg)
{
	got += gr_signal_wait(arg, NULL, LONG) == SIGRTMIN;
}

/* signals of real time are queued: as many waiters as signals, and each gets one */
static void several_signals(void)
{
	got = 0;
	for (int i = 0; i < CHILDREN; i++)
		mix_go(wait_signal, &real_time);
	for (int i = 0; i < CHILDREN; i++) {
		CHECK(!kill(getpid(), SIGRTMIN));
		gr_sleep(gr_after(i * 20 * GR_US));
	}
	mix_join();
	CHECK(got == CHILDREN);
	CHECK(gr_signal_wait(&real_time, NULL, GR_NOW) == -EAGAIN);
}

/* ---- */

static void outside(void)
{
	CHECK(gr_wait_child(1, NULL, GR_NOW) == -EPERM);
	CHECK(gr_signal_wait(&usr1, NULL, GR_NOW) == -EPERM);
}

static void no_more_fds(void)
{
	pid_t pid = spawn(0, false);

	check_few_fds(true);
	CHECK(gr_wait_child(pid, NULL, LONG) == -EMFILE);
	CHECK(gr_signal_wait(&usr1, NULL, LONG) == -EMFILE);
	check_few_fds(false);
	let_go(1);
	CHECK(gr_wait_child(pid, NULL, LONG) == 0);
	CHECK(!kill(getpid(), SIGUSR1) && gr_signal_wait(&usr1, NULL, LONG) == SIGUSR1);
}

static void body(void)
{
	check_part("a child ends", ends);
	check_part("two wait for each of several", several);
	check_part("a signal", one_signal);
	check_part("several wait for a signal", several_signals);
}

int main(void)
{
	sigset_t both;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigemptyset(&real_time);
	sigaddset(&real_time, SIGRTMIN);
	both = usr1;
	sigaddset(&both, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &both, NULL);
	if (pipe(tell))
		mix_fatal("pipe", errno);
	check_in_child("too few descriptors, then enough", no_more_fds);
	check_run(body);
	check_part("-EPERM", outside);
	return tap_done();
}
