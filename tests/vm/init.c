// SPDX-License-Identifier: MIT
/*
 * init.c - the judge in a test guest, process 1 after init.sh: load, run, say how it went, reboot.
 *
 * Job: run each line of /t/manifest, "name|seconds|environment|command", under `sh -c`, and write
 * to the second serial port: "# begin NAME", every line that it prints behind "| ",
 * "# end NAME STATUS". STATUS is 0 (passed), 4 (skipped) or why it failed: another exit code,
 * signal-N, timeout, kernel (the log got a line that must not be there), lost (log lines were
 * overwritten before they could be judged), stuck (not even SIGKILL ended it).
 * The last line is "verdict: pass" or "verdict: fail NAME...". A guest that dies writes none, so
 * everything fails closed: whoever reads it takes a missing verdict for a failure.
 *
 * Loading and removing the module and the last look at the log are steps like any test; so is, in
 * a kernel with kmemleak, the search for memory that gr.ko lost (leaks.sh). KCSAN's reports of
 * races within the kernel proper are shown, no more. The log is read as records, from before the
 * module is loaded to the end, without a gap: what comes late counts against the next step. Files
 * in /tmp/artefacts go out as a tar archive on the third port. Static, compiled by run.sh; callers: init.sh.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SPLAT \
	"(^|[^A-Z])BUG[: ]|WARNING:|KASAN|KCSAN|UBSAN|ODEBUG:|INFO: (task|rcu|trying|lockdep|Slab)|" \
	"possible .* (deadlock|dependency)|Invalid wait context|locking correctness validator|" \
	"unreferenced object|Oops|general protection|soft lockup|hung task|blocked for more than|" \
	"Out of memory: Killed|^ *not ok [0-9]"
#define KMEMLEAK "/sys/kernel/debug/kmemleak"
#define GRACE_MS 10000
#define REPORT_LINES 60	/* shown of what follows a complaint: the stacks */

/* who is where, for a test that does not end */
static const char where[] =
	"cat /sys/kernel/debug/gr/*/summary /sys/kernel/debug/gr/*/threads 2>/dev/null; cd /proc;"
	"for p in [0-9]*; do case $(readlink $p/exe) in /t/*)"
	"  for t in $(ls -d $p/task/* | head -n 24); do"
	"    echo \"thread $t $(cat $t/comm) $(cut -d' ' -f3 $t/stat) syscall $(cat $t/syscall)\";"
	"    cat $t/stack; done;; esac; done 2>/dev/null";

static const char modules[] =
	"for m in /m/*.ko; do insmod $m || exit; done; echo 1..1; echo ok 1 modules";

static const char insmod[] =
	"insmod $GR_KO && test -c /dev/gr && echo 1..1 && echo ok 1 insmod";

/* a group whose last thread is gone is freed a moment later, by a work item: a few tries */
static const char rmmod[] =
	"grep -F '[gr]' /proc/kallsyms | sort > /tmp/symbols;"
	"for i in 1 2 3 4 5 6 7 8 9 10; do"
	"  rmmod gr && echo 1..1 && echo ok 1 rmmod && exit; sleep 0.3; done; lsmod; exit 1";

/* The taint flags are a second witness for warnings and oopses. Allowed: out of tree (12),
 * unsigned (13), KUnit ran (18). Lockdep stops after its first report, also one from booting:
 * silence of a lockdep that is off proves nothing. */
static const char kernel[] =
	"sleep 0.2; t=$(cat /proc/sys/kernel/tainted); l=/proc/lockdep_stats; echo 1..1;"
	"[ ! -e $l ] || grep -q 'debug_locks: *1$' $l || { echo not ok 1 lockdep is off; exit 1; };"
	"[ $((t & ~0x43000)) = 0 ] && echo ok 1 kernel && exit; echo not ok 1 tainted: $t; exit 1";

static const char artefacts[] =
	"cd /tmp/artefacts && [ -z \"$(ls)\" ] || tar -cf /dev/ttyS2 .";

static FILE *out;
static int kmsg_in, kmsg_out;
static regex_t splat;
static char failed[4096];

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void sysrq(const char *what)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, what, 1) < 0)
		perror("sysrq");
	close(fd);
}

static void fail(const char *name)
{
	size_t n = strlen(failed);

	snprintf(failed + n, sizeof(failed) - n, " %s", name);
}

/* a test's bytes, each line behind "| "; NULL ends a line that is open */
static void put_lines(const char *s, size_t n)
{
	static bool inside;

	for (; s && n; s++, n--) {
		if (!inside)
			fputs("| ", out);
		putc(*s, out);
		inside = *s != '\n';
	}
	if (!s && inside) {
		putc('\n', out);
		inside = false;
	}
	fflush(out);
}

/* a data race between two functions of which none is in the module */
static bool core_race(const char *text)
{
	return strstr(text, "BUG: KCSAN: ") && !strstr(text, "[gr]");
}

/* Take in the kernel log up to now: NULL, "kernel" or "lost". */
static const char *judge_log(void)
{
	const char *verdict = NULL;
	static int report;	/* lines of the last report that are still to be shown */
	char rec[8192], *text;
	ssize_t n;

	for (;;) {
		n = read(kmsg_in, rec, sizeof(rec) - 1);
		if (n < 0 && errno == EPIPE) {
			verdict = "lost";
			continue;
		}
		if (n <= 0)
			return verdict;
		rec[n] = 0;
		text = strchr(rec, ';');
		text = text ? text + 1 : rec;
		text[strcspn(text, "\n")] = 0;
		if (core_race(text)) {
			fprintf(out, "| # not ours: %s\n", text);
			report = 0;
		} else if (!regexec(&splat, text, 0, NULL, 0)) {
			verdict = verdict ? verdict : "kernel";
			report = REPORT_LINES;
			fprintf(out, "| # kernel: %s\n", text);
		} else if (report > 0 && strncmp(text, "grtest:", 7)) {
			report--;
			fprintf(out, "| # kernel|  %s\n", text);
		}
	}
}

static pid_t start(const char *env, const char *command, int *from)
{
	char line[8192];
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		setsid();
		dup2(open("/dev/null", O_RDWR), 0);
		dup2(p[1], 1);
		dup2(p[1], 2);
		snprintf(line, sizeof(line), "export PATH=/bin %s\n%s", env, command);
		execl("/bin/sh", "sh", "-c", line, NULL);
		_exit(127);
	}
	close(p[1]);
	*from = p[0];
	return pid;
}

/* Pass on what a child prints until it ended (true) or the time is over. Takes its group along. */
static bool follow(pid_t pid, int from, long ms, int *wstatus)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p[2] = { { .fd = from, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
	long until = now_ms() + ms, left;
	bool ended = false;
	char buf[4096];
	ssize_t n;

	while (!ended || p[0].fd >= 0) {
		left = until - now_ms();
		if (left <= 0 || poll(p, 2, left) <= 0)
			break;
		if (p[0].revents) {
			n = read(from, buf, sizeof(buf));
			if (n > 0)
				put_lines(buf, n);
			else
				p[0].fd = -1;
		} else if (p[1].revents) {
			ended = waitpid(pid, wstatus, 0) == pid;
			p[1].fd = -1;
			kill(-pid, SIGKILL);
			until = now_ms() + 1000;	/* for what is left in the pipe */
		}
	}
	close(pidfd);
	return ended;
}

static void mark(const char *what, const char *name)
{
	dprintf(kmsg_out, "grtest: %s %s\n", what, name);
	fprintf(out, "# %s %s\n", what, name);
	fflush(out);
}

/* One step; false if nothing that comes after it could be trusted. */
static bool run(const char *name, int seconds, const char *env, const char *command)
{
	const char *complaint;
	char end[160], status[32];
	bool ended, late;
	int from, peek, w = 0, unused;
	pid_t pid, look;

	mark("begin", name);
	pid = start(env, command, &from);
	ended = follow(pid, from, seconds * 1000L, &w);
	late = !ended;
	if (late) {
		look = start("", where, &peek);
		if (!follow(look, peek, GRACE_MS, &unused))
			kill(-look, SIGKILL);
		close(peek);
		kill(-pid, SIGKILL);
		ended = follow(pid, from, GRACE_MS, &w);
	}
	close(from);
	put_lines(NULL, 0);
	if (late)
		strcpy(status, ended ? "timeout" : "stuck");
	else if (WIFSIGNALED(w))
		snprintf(status, sizeof(status), "signal-%d", WTERMSIG(w));
	else
		snprintf(status, sizeof(status), "%d", WEXITSTATUS(w));
	complaint = judge_log();
	if (complaint && ended)
		strcpy(status, complaint);
	if (!ended)
		sysrq("w");	/* the console's log gets the stacks of what is blocked */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	snprintf(end, sizeof(end), "%s %s", name, status);
	mark("end", end);
	if (strcmp(status, "0") && strcmp(status, "4"))
		fail(name);
	return ended;
}

static bool run_manifest(FILE *f)
{
	char line[8192], *name, *seconds, *env, *command;

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		command = line;
		name = strsep(&command, "|");
		seconds = strsep(&command, "|");
		env = strsep(&command, "|");
		if (!command || atoi(seconds) <= 0)
			f = NULL;
		else if (!run(name, atoi(seconds), env, command))
			return false;
	}
	if (!f)
		fail("manifest");
	return true;
}

static bool run_all(void)
{
	bool module = !access("/t/gr.ko", R_OK);
	bool kmemleak = module && !access(KMEMLEAK, R_OK);

	return (access("/m", R_OK) || run("modules", 60, "", modules)) &&
	       (!module || run("insmod", 60, "", insmod)) &&
	       run_manifest(fopen("/t/manifest", "re")) &&
	       (!module || run("rmmod", 60, "", rmmod)) &&
	       (!kmemleak || run("leaks", 180, "", "/leaks /tmp/symbols")) &&
	       run("kernel", 60, "", kernel);
}

int main(void)
{
	bool trusted;

	out = fopen("/dev/ttyS1", "we");
	kmsg_out = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	kmsg_in = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (!out || kmsg_out < 0 || kmsg_in < 0 || regcomp(&splat, SPLAT, REG_EXTENDED | REG_NOSUB))
		return 1;
	lseek(kmsg_in, 0, SEEK_END);
	trusted = run_all();
	if (!trusted)
		fail("stuck");
	else if (system(artefacts))
		fail("artefacts");
	fprintf(out, "verdict: %s%s\n", failed[0] ? "fail" : "pass", failed);
	fflush(out);
	tcdrain(fileno(out));
	if (trusted) {
		sync();
		reboot(RB_AUTOBOOT);
	}
	/* an orderly restart waits for CPUs and disks; this does not */
	sysrq("b");
	return 1;
}
