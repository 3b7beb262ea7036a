// SPDX-License-Identifier: MIT
/*
 * cancel_test.c - every kind of wait ends when its goroutine is cancelled: before it sleeps, while
 * it sleeps, and at the very moment when it is woken or times out; and it leaves nothing behind.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "mix.h"

static struct gr_chan *full, *empty;
static struct gr_mutex held = GR_MUTEX_INIT;
static struct gr_wg busy = GR_WG_INIT;
static struct gr_rwmutex read_locked = GR_RWMUTEX_INIT, write_locked = GR_RWMUTEX_INIT;
static struct gr_sem taken = GR_SEM_INIT(0);
static struct gr_barrier crowd = GR_BARRIER_INIT(100000);
static struct gr_cond never_signalled = GR_COND_INIT;
static struct gr_task *sleeper;
static struct gr_timer *timer; /* not armed */
static int pipe_r[2], pipe_w[2], sock[2], listener;
static int udp, file, unix_listener, unix_client[8];
static char big[1 << 16];
static const struct iovec vector = { big, 10 };
static pid_t child;
static sigset_t signals;
static char unix_name[32];

static int w_sleep(int64_t d) { return gr_sleep(d); }
static int w_send(int64_t d) { return gr_chan_send(full, &d, d); }
static int w_recv(int64_t d) { return gr_chan_recv(empty, &d, d); }
static int w_mutex(int64_t d) { return gr_mutex_lock(&held, d); }
static int w_wg(int64_t d) { return gr_wg_wait(&busy, d); }
static int w_rlock(int64_t d) { return gr_rwmutex_rlock(&write_locked, d); }
static int w_wlock(int64_t d) { return gr_rwmutex_lock(&read_locked, d); }
static int w_sem(int64_t d) { return gr_sem_acquire(&taken, 1, d); }
static int w_barrier(int64_t d) { return gr_barrier_wait(&crowd, d); }
static int w_join(int64_t d) { return gr_task_join(sleeper, NULL, d); }
static int w_read_pipe(int64_t d) { return (int)gr_read(pipe_r[0], big, 10, d); }
static int w_write_pipe(int64_t d) { return (int)gr_write(pipe_w[1], big, 10, d); }
static int w_read_sock(int64_t d) { return (int)gr_read(sock[0], big, 10, d); }
static int w_write_sock(int64_t d) { return (int)gr_write_all(sock[0], big, sizeof(big), d); }
static int w_recv_flags(int64_t d) { return (int)gr_recv(sock[0], big, 10, MSG_PEEK, d); }
static int w_send_flags(int64_t d) { return (int)gr_send(sock[0], big, 10, MSG_MORE, d); }
static int w_datagram(int64_t d) { return (int)gr_recvfrom(udp, big, 9, 0, NULL, NULL, d); }
static int w_unix_dial(int64_t d) { return gr_unix_dial(unix_name, d); }
static int w_sendfile(int64_t d) { return (int)gr_sendfile(sock[0], file, 0, sizeof(big), d); }
static int w_readv(int64_t d) { return (int)gr_readv(pipe_r[0], &vector, 1, d); }
static int w_writev(int64_t d) { return (int)gr_writev(pipe_w[1], &vector, 1, d); }
static int w_readv_sock(int64_t d) { return (int)gr_readv(sock[0], &vector, 1, d); }
static int w_writev_sock(int64_t d) { return (int)gr_writev(sock[0], &vector, 1, d); }
static int w_child(int64_t d) { return gr_wait_child(child, NULL, d); }
static int w_signal(int64_t d) { return gr_signal_wait(&signals, NULL, d); }
static int w_accept(int64_t d) { return gr_accept(listener, d); }

static int w_poll(int64_t d) { return gr_fd_wait(sock[0], POLLIN, d); }
static int w_timer(int64_t d) { return gr_timer_wait(timer, d); }

static int w_select(int64_t d)
{
	struct gr_case cases[] = { GR_SEND(full, &d), GR_RECV(empty, NULL), GR_JOIN(sleeper),
				   GR_TIMER(timer), GR_AT(GR_FOREVER), GR_RECV(empty, NULL) };

	return gr_select(cases, 6, d);
}

static int w_select_fd(int64_t d)
{
	struct gr_case cases[] = { GR_RECV(empty, NULL), GR_FD(sock[0], POLLIN),
				   GR_FD(pipe_r[0], POLLIN) };

	return gr_select(cases, 3, d);
}

static int never_ends(void *arg)
{
	(void)arg;
	return gr_sleep(GR_FOREVER);
}

/* its own mutex: that one must be locked again even in a cancelled goroutine */
static int w_cond(int64_t d)
{
	struct gr_mutex own = GR_MUTEX_INIT;
	int ret;

	gr_mutex_lock(&own, GR_FOREVER);
	ret = gr_cond_wait(&never_signalled, &own, d);
	return gr_mutex_unlock(&own) ? -EPERM : ret;
}

static int w_scope(int64_t d)
{
	struct gr_scope s;

	gr_scope_init(&s, 0);
	gr_scope_go(&s, never_ends, NULL);
	return gr_scope_wait(&s, d);
}

static const struct wait {
	const char *name;
	int (*fn)(int64_t deadline);
} waits[] = {
	{ "sleep", w_sleep },		{ "send", w_send },
	{ "receive", w_recv },		{ "mutex", w_mutex },
	{ "wg", w_wg },			{ "join", w_join },
	{ "rlock", w_rlock },		{ "wlock", w_wlock },
	{ "semaphore", w_sem },		{ "barrier", w_barrier },
	{ "condition", w_cond },
	{ "scope", w_scope },		{ "read a pipe", w_read_pipe },
	{ "write a pipe", w_write_pipe }, { "read a socket", w_read_sock },
	{ "write a socket", w_write_sock }, { "accept", w_accept },
	{ "receive with flags", w_recv_flags }, { "send with flags", w_send_flags },
	{ "a datagram", w_datagram },	{ "dial by a name that is busy", w_unix_dial },
	{ "send a file", w_sendfile },	{ "a child", w_child },
	{ "a signal", w_signal },
	{ "read a pipe by a vector", w_readv }, { "write a pipe by a vector", w_writev },
	{ "read a socket by a vector", w_readv_sock },
	{ "write a socket by a vector", w_writev_sock },
	{ "poll", w_poll },		{ "timer", w_timer },
	{ "select", w_select },		{ "select with descriptors", w_select_fd },
};
#define NR_WAITS (int)(sizeof(waits) / sizeof(waits[0]))

/* a listener whose queue is full: the next one to dial waits */
static void fill_queue(void)
{
	int n = 0;

	while (n < 8 && (unix_client[n] = gr_unix_dial(unix_name, GR_NOW)) >= 0)
		n++;
	if (n == 8 || unix_client[n] != -EAGAIN)
		mix_fatal("gr_unix_dial", n);
}

static void setup_sockets(void)
{
	char path[] = "/tmp/gr-cancel-test-XXXXXX";

	udp = gr_udp_bind("127.0.0.1", "0");
	snprintf(unix_name, sizeof(unix_name), "@gr-cancel-%d", getpid());
	unix_listener = gr_unix_listen(unix_name, 1);
	file = mkstemp(path);
	unlink(path);
	if (udp < 0 || unix_listener < 0 || write(file, big, sizeof(big)) != sizeof(big))
		mix_fatal("setup", errno);
	child = fork();
	if (!child) {
		tap_limit(LIMIT_S); /* also when this test is killed */
		pause();
		_exit(1);
	}
	if (child < 0)
		mix_fatal("fork", errno);
	fill_queue();
}

static void setup(void)
{
	int64_t v = 0;

	gr_chan_new(&full, sizeof(v), 1);
	gr_chan_new(&empty, sizeof(v), 1);
	gr_chan_send(full, &v, GR_FOREVER);
	gr_mutex_lock(&held, GR_FOREVER);
	gr_wg_add(&busy, 1);
	gr_rwmutex_lock(&write_locked, GR_FOREVER);
	gr_rwmutex_rlock(&read_locked, GR_FOREVER);
	gr_timer_new(&timer);
	gr_task_new(&sleeper, never_ends, NULL, NULL);
	if (pipe(pipe_r) || pipe(pipe_w) || socketpair(AF_UNIX, SOCK_STREAM, 0, sock))
		mix_fatal("pipe", errno);
	fcntl(pipe_w[1], F_SETFL, O_NONBLOCK);
	while (write(pipe_w[1], big, sizeof(big)) > 0)
		;
	fcntl(pipe_w[1], F_SETFL, 0);
	while (send(sock[0], big, sizeof(big), MSG_DONTWAIT) > 0)
		;
	listener = gr_tcp_listen("127.0.0.1", "0", 5);
	if (listener < 0)
		mix_fatal("gr_tcp_listen", listener);
	setup_sockets();
}

static void teardown(void)
{
	gr_task_cancel(sleeper);
	gr_task_join(sleeper, NULL, GR_FOREVER);
	gr_task_release(sleeper);
	gr_mutex_unlock(&held);
	gr_wg_done(&busy);
	gr_rwmutex_unlock(&write_locked);
	gr_rwmutex_runlock(&read_locked);
	gr_timer_release(timer);
	gr_chan_release(full);
	gr_chan_release(empty);
	for (int i = 0; i < 2; i++) {
		close(pipe_r[i]);
		close(pipe_w[i]);
		close(sock[i]);
	}
	close(listener);
	close(udp);
	close(file);
	close(unix_listener);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	for (int i = 0; unix_client[i] >= 0; i++)
		close(unix_client[i]);
}

/* ---- one after the other ---- */

static atomic_int there;

static int wait_one(void *arg)
{
	there = 1;
	return ((struct wait *)arg)->fn(GR_FOREVER);
}

/* waits although it is cancelled: shielded, for a short time */
static int wait_shielded(void *arg)
{
	struct wait *w = arg;
	int ret;

	there = 1;
	while (!gr_cancelled())
		gr_yield();
	gr_shield_begin();
	gr_shield_begin();
	gr_shield_end();
	if (gr_cancelled())
		return 1;
	ret = w->fn(gr_after(200 * GR_US));
	gr_shield_end();
	if (ret != (w->fn == w_sleep ? 0 : -ETIMEDOUT))
		return 2;
	/* what does not wait goes on; a scope in a cancelled goroutine is another matter */
	ret = w->fn == w_scope ? -EAGAIN : w->fn(GR_NOW);
	if (ret != (w->fn == w_sleep ? 0 : -EAGAIN))
		return 3;
	return w->fn(gr_after(GR_SEC * 1000));
}

/* how: 0 asleep, surely; 1 maybe not yet; 2 before it runs */
static int cancelled_result(int (*fn)(void *), const struct wait *w, int how)
{
	struct gr_task *t;
	int result = -1, ret;

	there = 0;
	ret = gr_task_new(&t, fn, (void *)w, NULL);
	if (ret)
		return ret;
	while (how < 2 && !there)
		gr_yield();
	if (!how)
		gr_sleep(gr_after(GR_MS));
	gr_task_cancel(t);
	gr_task_join(t, &result, GR_FOREVER);
	gr_task_release(t);
	return result;
}

static void each(void)
{
	for (int i = 0; i < NR_WAITS; i++) {
		const struct wait *w = &waits[i];
		int ret, bad = 0;

		for (int how = 0; how < 3; how++)
			for (int n = 0; n < (how ? 10 : 2); n++)
				bad += cancelled_result(wait_one, w, how) != -ECANCELED;
		tap_ok(!bad, "%s: %s: -ECANCELED", mix.name, w->name);
		ret = cancelled_result(wait_shielded, w, 1);
		tap_ok(ret == -ECANCELED, "%s: %s: shielded, then GR_NOW, then not (%d)", mix.name,
		       w->name, ret);
	}
}

/* ---- all at once ---- */

#define STORM 300

static atomic_int odd, timed_out, cancelled;

static int storm_one(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg * 2654435761u;
	int ret = 0;

	for (int i = 0; i < 3; i++) {
		const struct wait *w = &waits[(rnd >> 8) % NR_WAITS];

		ret = w->fn(gr_after((rnd >> 16) % 300 * GR_US));
		if (ret == -ECANCELED)
			break;
		if (ret == -ETIMEDOUT || w->fn == w_sleep)
			timed_out++;
		else
			odd++;
		rnd = rnd * 1664525 + 1013904223;
	}
	if (ret == -ECANCELED) {
		cancelled++;
		odd += gr_cancelled() != -ECANCELED || gr_sleep(GR_FOREVER) != -ECANCELED;
	}
	return 0;
}

static void all_waits(void)
{
	struct gr_scope s;

	odd = timed_out = cancelled = 0;
	for (int i = 0; i < 6; i++) {
		gr_scope_init(&s, 0);
		for (int k = 0; k < STORM; k++)
			gr_scope_go(&s, storm_one, (void *)(intptr_t)(i * STORM + k));
		gr_scope_wait(&s, gr_after(i * 200 * GR_US));
	}
	/* what gave up holds nothing, and is not counted */
	odd += gr_rwmutex_rlock(&read_locked, GR_NOW) || gr_rwmutex_runlock(&read_locked);
	odd += gr_rwmutex_lock(&write_locked, GR_NOW) != -EAGAIN;
	odd += taken.count || taken.head || crowd.here || crowd.head || never_signalled.head;
	tap_ok(!odd, "%s: a storm on all waits: %d timed out, %d cancelled", mix.name, timed_out,
	       cancelled);
}

/* ---- cancelled sends were not received, cancelled receives took nothing ---- */

#define SENDERS 60
#define EACH 40

static struct gr_chan *c, *never;
static unsigned char sent[SENDERS * EACH];
static atomic_uchar seen[SENDERS * EACH];
static atomic_int senders_left;

static int sender(void *arg)
{
	int first = (int)(intptr_t)arg * EACH, ret = 0;

	for (int v = first; v < first + EACH && !ret; v++) {
		struct gr_case cases[] = { GR_RECV(never, NULL), GR_SEND(c, &v) };

		if (v % 2)
			ret = gr_chan_send(c, &v, GR_FOREVER);
		else
			ret = gr_select(cases, 2, GR_FOREVER) == 1 ? cases[1].result : -ECANCELED;
		sent[v] = !ret;
	}
	senders_left--;
	return 0;
}

static int receiver(void *arg)
{
	int v = -1, ret = 0;

	while (!ret) {
		struct gr_case cases[] = { GR_RECV(c, &v), GR_RECV(never, NULL) };

		if (arg)
			ret = gr_chan_recv(c, &v, GR_FOREVER);
		else
			ret = gr_select(cases, 2, GR_FOREVER) == 0 ? cases[0].result : -ECANCELED;
		if (!ret)
			atomic_fetch_add(&seen[v], 1);
	}
	odd += ret != -ECANCELED && ret != -ENODATA;
	return 0;
}

static void drain(void *arg)
{
	int v;

	(void)arg;
	while (!gr_chan_recv(c, &v, GR_FOREVER))
		atomic_fetch_add(&seen[v], 1);
}

/* one task after the other is cancelled under the hands of the others */
static void values(size_t cap)
{
	struct gr_task *t[2 * SENDERS];
	int lost = 0, twice = 0, ghosts = 0, total = 0;
	uint32_t rnd = (uint32_t)cap + 1;

	odd = 0;
	memset(sent, 0, sizeof(sent));
	memset((void *)seen, 0, sizeof(seen));
	senders_left = SENDERS;
	gr_chan_new(&c, sizeof(int), cap);
	gr_chan_new(&never, sizeof(int), 0);
	for (int i = 0; i < SENDERS; i++) {
		gr_task_new(&t[2 * i], sender, (void *)(intptr_t)i, NULL);
		gr_task_new(&t[2 * i + 1], receiver, i % 2 ? &rnd : NULL, NULL);
	}
	for (int i = 0; i < SENDERS; i++) {
		rnd = rnd * 1664525 + 1013904223;
		gr_task_cancel(t[(rnd >> 8) % (2 * SENDERS)]);
		if (rnd >> 30 == 0)
			gr_sleep(gr_after((rnd >> 16) % 50 * GR_US));
		else
			gr_yield();
	}
	mix_go(drain, NULL);
	while (senders_left)
		gr_sleep(gr_after(100 * GR_US));
	gr_chan_close(c);
	mix_join();
	for (int i = 0; i < 2 * SENDERS; i++) {
		gr_task_join(t[i], NULL, GR_FOREVER);
		gr_task_release(t[i]);
	}
	for (int v = 0; v < SENDERS * EACH; v++) {
		total += sent[v];
		lost += sent[v] && !seen[v];
		ghosts += !sent[v] && seen[v];
		twice += seen[v] > 1;
	}
	tap_ok(!lost && !ghosts && !twice && !odd && total,
	       "%s: cap %zu: %d sent, %d lost, %d twice, %d ghosts", mix.name, cap, total, lost,
	       twice, ghosts);
	gr_chan_release(c);
	gr_chan_release(never);
}

/* ---- the same for bytes ---- */

static atomic_long bytes_in, bytes_out;
static int stream[2];

static int reader(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg;
	char buf[64];
	ssize_t n;

	for (;;) {
		rnd = rnd * 1664525 + 1013904223;
		n = gr_read(stream[0], buf, rnd >> 26, gr_after((rnd >> 16) % 100 * GR_US));
		if (n > 0)
			bytes_out += n;
		else if (n < 0 && n != -ETIMEDOUT)
			return (int)n;
	}
}

static int writer(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg;
	ssize_t n;

	for (;;) {
		rnd = rnd * 1664525 + 1013904223;
		n = gr_write(stream[1], big, rnd >> 26, gr_after((rnd >> 16) % 100 * GR_US));
		if (n > 0)
			bytes_in += n;
		else if (n < 0 && n != -ETIMEDOUT)
			return (int)n;
	}
}

static void bytes(bool socket)
{
	struct gr_scope s;
	ssize_t n;
	int bad = 0;

	bytes_in = bytes_out = 0;
	if (socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, stream) : pipe(stream))
		mix_fatal("pipe", errno);
	for (int i = 1; i <= 40; i++) {
		gr_scope_init(&s, GR_SCOPE_ALL);
		for (int k = 0; k < 4; k++) {
			gr_scope_go(&s, reader, (void *)(intptr_t)(i * 8 + k));
			gr_scope_go(&s, writer, (void *)(intptr_t)(i * 8 + k + 4));
		}
		gr_sleep(gr_after(i * 10 * GR_US));
		gr_scope_cancel(&s);
		bad += gr_scope_wait(&s, GR_FOREVER) != 0;
	}
	close(stream[1]);
	while ((n = read(stream[0], big, sizeof(big))) > 0)
		bytes_out += n;
	close(stream[0]);
	tap_ok(bytes_in == bytes_out && bytes_in && !bad,
	       "%s: %s: %ld bytes written, %ld read, across 40 cancels", mix.name,
	       socket ? "socket" : "pipe", bytes_in, bytes_out);
}

/*
 * Readers that give up while a worker of the kernel is at their request: a pipe that was ready and
 * is empty again is read by one (before 6.4 every pipe). One that has just finished is not to be
 * waited for.
 */
#define LATE_ROUNDS 300

static atomic_int readers_left;

static void late_reader(void *arg)
{
	uint32_t rnd = (uint32_t)(uintptr_t)arg;
	char c;

	for (int i = 0; i < LATE_ROUNDS; i++) {
		ssize_t n;

		rnd = rnd * 1664525 + 1013904223;
		n = gr_read(stream[0], &c, 1, gr_after((rnd >> 16) % 100 * GR_US));
		if (n == 1)
			bytes_out++;
		else
			odd += n != -ETIMEDOUT && n != -EAGAIN;
	}
	readers_left--;
}

static void late(void)
{
	ssize_t n;

	odd = 0;
	bytes_in = bytes_out = 0;
	if (pipe(stream))
		mix_fatal("pipe", errno);
	readers_left = 8;
	for (intptr_t i = 0; i < 8; i++)
		mix_go(late_reader, (void *)i);
	while (readers_left) {
		n = gr_write(stream[1], "abc", 3, gr_after(GR_MS));
		bytes_in += n > 0 ? n : 0;
		gr_sleep(gr_after(30 * GR_US));
	}
	mix_join();
	close(stream[1]);
	while ((n = read(stream[0], big, sizeof(big))) > 0)
		bytes_out += n;
	close(stream[0]);
	tap_ok(!odd && bytes_in && bytes_in == bytes_out,
	       "%s: readers of one pipe that give up: %ld bytes written, %ld read", mix.name,
	       bytes_in, bytes_out);
}

/* a lock that is handed over to somebody cancelled is not lost */
static struct gr_mutex m = GR_MUTEX_INIT;
static long inside, counted;

static int locker(void *arg)
{
	(void)arg;
	while (!gr_cancelled() && !gr_mutex_lock(&m, GR_FOREVER)) {
		inside++;
		counted += inside == 1;
		if (counted % 16 == 0)
			gr_yield();
		inside--;
		gr_mutex_unlock(&m);
		gr_yield();
	}
	return 0;
}

static void locks(void)
{
	struct gr_task *t[20];
	long before = counted;

	for (int i = 0; i < 20; i++)
		gr_task_new(&t[i], locker, NULL, NULL);
	for (int i = 0; i < 20; i++) {
		gr_sleep(gr_after(i * 10 * GR_US));
		gr_task_cancel(t[i]);
	}
	for (int i = 0; i < 20; i++) {
		gr_task_join(t[i], NULL, GR_FOREVER);
		gr_task_release(t[i]);
	}
	tap_ok(gr_mutex_lock(&m, GR_NOW) == 0 && counted > before, "%s: the mutex is free at the end",
	       mix.name);
	gr_mutex_unlock(&m);
}

static void body(void)
{
	setup();
	each();
	all_waits();
	teardown();
	values(0);
	values(3);
	bytes(false);
	bytes(true);
	late();
	locks();
}

int main(void)
{
	tap_limit(LIMIT_S);
	tap_ok(gr_cancelled() == 0, "a plain thread is never cancelled");
	tap_ok(gr_shield_begin() == -EPERM && gr_shield_end() == -EPERM, "nor shielded");
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	mix.body = body;
	mix_run_in("go1", 1, false);
	mix_run_in("go2", 2, false);
	mix_run_in("go4", 4, false);
	return tap_done();
}
