// SPDX-License-Identifier: MIT
/*
 * cell.c - run one workload on one model in a process of its own, and watch it.
 *
 * The child writes lines to a pipe: "figure KEY VALUE", "states TEXT", "refused TEXT", "failed
 * TEXT", "done". Without a last line it died, and how says why.
 *
 * The watchdog. A child that has been silent for QUIET is looked at LOOKS times, LOOK_MS apart:
 * when all its threads sleep each time and none has been switched meanwhile, nothing in it can ever
 * move again unless a timer does, and no workload sets one for that long. On a machine that is
 * loaded a thread that waits for its CPU is in state R, not S: it is never taken for that.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell.h"
#include "limits.h"
#include "work.h"

#define QUIET (GR_SEC / 2)
#define LOOK_MS 100
#define LOOKS 12
#define LIMIT (120 * GR_SEC) /* a cell that takes longer is given up */

struct conf conf;
const struct model *model;

static int out = -1; /* the child's end */
static volatile pid_t child;

/* ---- in the child ---- */

static void put(const char *line, int n)
{
	if (write(out, line, n) != n)
		_exit(1); /* the parent is gone */
}

void cell_out(const char *key, double value)
{
	char line[80];

	put(line, snprintf(line, sizeof(line), "figure %s %.17g\n", key, value));
}

static _Noreturn void end(const char *how, const char *fmt, va_list ap)
{
	char line[320];
	int n = snprintf(line, sizeof(line), "%s ", how);

	n += vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	put(line, n);
	_exit(0);
}

void cell_done(void)
{
	put("done\n", 5);
	_exit(0);
}

void cell_refuse(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	end("refused", fmt, ap);
}

void cell_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	end("failed", fmt, ap);
}

static void tell_states(int sig)
{
	int saved = errno, n = 7;
	char line[256] = "states ";

	(void)sig;
	n += model->states(line + n, sizeof(line) - n - 1);
	line[n++] = '\n';
	put(line, n);
	errno = saved;
}

static void one_cpu(void)
{
	cpu_set_t set;

	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0, found = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set) && found++)
			CPU_CLR(i, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static _Noreturn void run_child(const struct workload *w, long size)
{
	struct sigaction sa = { .sa_handler = tell_states, .sa_flags = SA_RESTART };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	conf.size = size;
	if (w->size_is_procs)
		conf.procs = (int)size;
	if (w->one_cpu) {
		one_cpu();
		conf.procs = 1;
	}
	sigaction(SIGUSR1, &sa, NULL);
	model->start(w->run, NULL);
	_exit(1);
}

/* ---- in the parent ---- */

void cell_ask(void)
{
	if (child > 0)
		kill(child, SIGUSR1);
}

bool cell_figure(const struct cell *c, const char *key, double *value)
{
	for (int i = 0; i < c->nr; i++)
		if (!strcmp(c->figures[i].key, key)) {
			*value = c->figures[i].value;
			return true;
		}
	return false;
}

static void finish(struct cell *c, enum outcome outcome, const char *reason)
{
	c->outcome = outcome;
	snprintf(c->reason, sizeof(c->reason), "%s", reason);
}

static void take_line(struct cell *c, char *line)
{
	struct figure *f = &c->figures[c->nr];

	if (!strncmp(line, "figure ", 7) && c->nr < FIGURES_MAX) {
		if (sscanf(line + 7, "%23s %lf", f->key, &f->value) == 2)
			c->nr++;
	} else if (!strncmp(line, "states ", 7)) {
		snprintf(c->states, sizeof(c->states), "%s", line + 7);
		fprintf(stderr, "\r%s: %s\n", c->model->name, c->states);
	} else if (!strncmp(line, "refused ", 8)) {
		finish(c, REFUSED, line + 8);
	} else if (!strncmp(line, "failed ", 7)) {
		finish(c, FAILED, line + 7);
	} else if (!strcmp(line, "done")) {
		finish(c, MEASURED, "");
	}
}

/* what there is to read; false: the end of it */
static bool take_lines(struct cell *c, int fd, char *buf, size_t *len, size_t room)
{
	ssize_t n = read(fd, buf + *len, room - *len - 1);
	char *at = buf, *end;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	*len += n;
	buf[*len] = 0;
	for (; (end = strchr(at, '\n')); at = end + 1) {
		*end = 0;
		take_line(c, at);
	}
	*len -= at - buf;
	memmove(buf, at, *len);
	if (*len == room - 1)
		*len = 0; /* no line of ours is that long */
	return true;
}

/* of one thread: asleep, and its count of switches added; a thread that is gone counts as awake */
static bool thread_sleeps(pid_t pid, const char *tid, unsigned long long *switches)
{
	char path[320], line[160], state = 0;
	unsigned long long n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "State: %c", &state);
		if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %llu", &n) == 1)
			*switches += n;
	}
	fclose(f);
	return state == 'S';
}

static bool all_sleep(pid_t pid, unsigned long long *switches)
{
	char path[64];
	struct dirent *e;
	bool sleep = true;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	*switches = 0;
	while (dir && sleep && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			sleep = thread_sleeps(pid, e->d_name, switches);
	if (dir)
		closedir(dir);
	return dir && sleep;
}

struct watch {
	int64_t begin, heard;
	int quiet_looks;
	unsigned long long switches;
};

/* nothing was heard for a while: true if nothing moves any more */
static bool is_stuck(struct watch *w)
{
	unsigned long long switches;

	if (gr_now() - w->heard < QUIET)
		return false;
	if (!all_sleep(child, &switches) || switches != w->switches)
		w->quiet_looks = 0;
	w->switches = switches;
	return ++w->quiet_looks > LOOKS;
}

/* The states of one that hangs: one answer is due soon, it has nothing else to do. */
static void last_states(struct cell *c, struct pollfd *p, char *buf, size_t *len, size_t room)
{
	cell_ask();
	if (poll(p, 1, 5000) == 1)
		take_lines(c, p->fd, buf, len, room);
}

static void watch(struct cell *c, int fd, const volatile bool *stop)
{
	struct watch w = { .begin = gr_now(), .heard = gr_now() };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[1024];
	size_t len = 0;

	for (;;) {
		int n = poll(&p, 1, LOOK_MS);

		if (n > 0 && !take_lines(c, fd, buf, &len, sizeof(buf)))
			return;
		if (n > 0)
			w.heard = gr_now();
		else if (*stop)
			return finish(c, NOT_RUN, "interrupted");
		else if (gr_now() - w.begin > LIMIT)
			return finish(c, FAILED, "took too long");
		else if (!n && is_stuck(&w)) {
			last_states(c, &p, buf, &len, sizeof(buf));
			return finish(c, DEADLOCKED, "every thread sleeps, nothing can wake one");
		}
	}
}

/* it died without a word */
static void by_status(struct cell *c, int status)
{
	if (WIFSIGNALED(status))
		snprintf(c->reason, sizeof(c->reason), "killed by signal %d%s", WTERMSIG(status),
			 WTERMSIG(status) == SIGKILL ? ": out of memory?" : "");
	else
		snprintf(c->reason, sizeof(c->reason), "ended with status %d", WEXITSTATUS(status));
	c->outcome = FAILED;
}

static bool allowed(struct cell *c, const struct workload *w)
{
	long threads = 0, bytes = 0;

	if (!w->costs)
		return true;
	w->costs(c->model, c->size, &threads, &bytes);
	if (limits_allow(threads, bytes, c->reason, sizeof(c->reason)))
		return true;
	c->outcome = REFUSED;
	return false;
}

void cell_run(struct cell *c, const struct workload *w, const volatile bool *stop)
{
	int fds[2], status;

	if (!allowed(c, w))
		return;
	if (pipe2(fds, O_CLOEXEC))
		return finish(c, FAILED, "no pipe");
	model = c->model;
	child = fork();
	if (!child) {
		close(fds[0]);
		out = fds[1];
		run_child(w, c->size);
	}
	close(fds[1]);
	if (child < 0) {
		close(fds[0]);
		return finish(c, FAILED, "no process");
	}
	watch(c, fds[0], stop);
	if (c->outcome == DEADLOCKED || c->outcome == FAILED || *stop)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	child = 0;
	close(fds[0]);
	if (c->outcome == NOT_RUN && !c->reason[0])
		by_status(c, status);
}
