// SPDX-License-Identifier: MIT
/*
 * listener_test.c - gr_listener_*(): each connection goes to exactly one of those who accept, what
 * nobody takes is closed, errors pass, and closing wakes all and frees the address at once.
 *
 * Clients connect by plain calls: these succeed as soon as the kernel has the connection.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "check.h"

#define LONG gr_after(60 * GR_SEC)
#define SOON gr_after(300 * GR_US)
#define MANY 300 /* more than a listener keeps */
#define ACCEPTORS 4

static struct gr_listener *listener;
static int port;
static _Atomic int taken, shut, failed;

static void open_listener(int backlog)
{
	int fd = gr_tcp_listen("127.0.0.1", "0", backlog);

	port = gr_tcp_port(fd);
	CHECK(fd >= 0 && gr_listener_new(&listener, fd) == 0);
}

/* a descriptor, or -errno */
static int dial(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* sockets of this process; the runtime's threads may open other things meanwhile */
static int open_sockets(void)
{
	struct stat st;
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += !fstat(fd, &st) && S_ISSOCK(st.st_mode);
	return n;
}

static uint64_t requests(void)
{
	struct gr_proc_info p = { .size = sizeof(p) };
	uint64_t n = 0;

	for (int i = 0; !gr_proc_info(i, &p); i++)
		n += p.io_requests;
	return n;
}

static bool by_uring(void)
{
	struct gr_info info = { .size = sizeof(info) };

	return !gr_info(&info) && !strcmp(info.netpoll, "uring");
}

/* until it is closed; says a byte to each and hangs up */
static void acceptor(void *unused)
{
	int fd;

	(void)unused;
	while ((fd = gr_listener_accept(listener, LONG)) >= 0) {
		CHECK(gr_write(fd, "x", 1, LONG) == 1);
		gr_close(fd);
		atomic_fetch_add(&taken, 1);
	}
	CHECK(fd == -ESHUTDOWN);
	atomic_fetch_add(&shut, 1);
}

static void start_acceptors(void)
{
	atomic_store(&taken, 0);
	atomic_store(&shut, 0);
	for (int i = 0; i < ACCEPTORS; i++)
		mix_go(acceptor, NULL);
}

static void one_client(void *unused)
{
	int fd = dial();
	char c;

	(void)unused;
	CHECK(fd >= 0 && gr_read(fd, &c, 1, LONG) == 1 && gr_read(fd, &c, 1, LONG) == 0);
	gr_close(fd);
}

static void one_request(void)
{
	int client[20], n = 20, fd;
	uint64_t before;

	open_listener(0);
	before = requests();
	for (int i = 0; i < n; i++)
		client[i] = dial();
	for (int i = 0; i < n; i++) {
		fd = gr_listener_accept(listener, i % 2 ? GR_NOW : LONG);
		/* GR_NOW: by io_uring the kernel may be a moment late */
		if (fd == -EAGAIN)
			fd = gr_listener_accept(listener, LONG);
		CHECK(fd >= 0);
		gr_close(fd);
	}
	if (by_uring())
		CHECK(requests() - before == 1);
	for (int i = 0; i < n; i++)
		close(client[i]);
	CHECK(gr_listener_release(listener) == 0);
}

static void shared(void)
{
	int before = open_sockets();

	open_listener(0);
	start_acceptors();
	for (int i = 0; i < MANY; i++)
		mix_go(one_client, NULL);
	while (atomic_load(&taken) < MANY)
		gr_sleep(SOON);
	CHECK(gr_listener_close(listener) == 0);
	mix_join();
	CHECK(atomic_load(&taken) == MANY && atomic_load(&shut) == ACCEPTORS);
	CHECK(gr_listener_release(listener) == 0);
	CHECK(open_sockets() == before);
}

/* more than it keeps, while nobody accepts; then all of them */
static void burst(void)
{
	static int client[MANY];
	int fd;
	char c;

	open_listener(0);
	client[0] = dial();
	fd = gr_listener_accept(listener, LONG); /* from now on the kernel may */
	CHECK(fd >= 0);
	gr_close(fd);
	for (int i = 1; i < MANY; i++)
		client[i] = dial();
	for (int i = 1; i < MANY; i++) {
		fd = gr_listener_accept(listener, LONG);
		CHECK(fd >= 0 && gr_write(fd, "x", 1, LONG) == 1);
		gr_close(fd);
	}
	CHECK(gr_listener_accept(listener, SOON) == -ETIMEDOUT);
	for (int i = 0; i < MANY; i++) {
		CHECK(gr_read(client[i], &c, 1, LONG) == !!i);
		close(client[i]);
	}
	CHECK(gr_listener_release(listener) == 0);
}

static void nobody_takes_them(void)
{
	int client[10], n = 10, before = open_sockets(), fd, again;
	char c;

	open_listener(0);
	for (int i = 0; i < n; i++)
		client[i] = dial();
	fd = gr_listener_accept(listener, LONG);
	CHECK(fd >= 0);
	gr_close(fd);
	CHECK(gr_listener_close(listener) == 0);
	/* the address is free, and nobody listens there */
	CHECK(dial() < 0);
	for (int i = 0; i < n; i++) {
		CHECK(gr_read(client[i], &c, 1, LONG) <= 0);
		close(client[i]);
	}
	again = gr_listener_accept(listener, LONG);
	CHECK(again == -ESHUTDOWN && gr_listener_accept(listener, GR_NOW) == -ESHUTDOWN);
	CHECK(gr_listener_close(listener) == -ESHUTDOWN);
	CHECK(gr_listener_release(listener) == 0);
	CHECK(open_sockets() == before);
}

static int cancelled_accept(void *unused)
{
	(void)unused;
	CHECK(gr_listener_accept(listener, GR_FOREVER) == -ECANCELED);
	return 0;
}

static void deadlines(void)
{
	struct gr_scope s;
	int client, fd;

	open_listener(0);
	CHECK(gr_listener_accept(listener, GR_NOW) == -EAGAIN);
	CHECK(gr_listener_accept(listener, SOON) == -ETIMEDOUT);
	gr_scope_init(&s, 0);
	for (int i = 0; i < 3; i++)
		gr_scope_go(&s, cancelled_accept, NULL);
	gr_sleep(gr_after(GR_MS));
	gr_scope_cancel(&s);
	gr_scope_wait(&s, GR_FOREVER);
	/* none of them took it along */
	client = dial();
	fd = gr_listener_accept(listener, LONG);
	CHECK(client >= 0 && fd >= 0);
	gr_close(fd);
	gr_close(client);
	CHECK(gr_listener_release(listener) == 0);
}

/* its request stays in the ring of a P that is retired, and comes from there */
static void procs_change(void)
{
	struct gr_info info = { .size = sizeof(info) };

	gr_info(&info);
	open_listener(0);
	start_acceptors();
	for (int i = 0; i < 40; i++) {
		gr_set_procs(i % 2 ? info.max_procs : 1);
		mix_go(one_client, NULL);
		gr_sleep(gr_after(100 * GR_US));
	}
	while (atomic_load(&taken) < 40)
		gr_sleep(SOON);
	gr_set_procs(info.max_procs);
	CHECK(gr_listener_close(listener) == 0);
	mix_join();
	CHECK(gr_listener_release(listener) == 0);
}

/* one that comes and goes while others hand it on */
static void close_races(void)
{
	for (int i = 0; i < 20; i++) {
		int client[3];

		open_listener(0);
		start_acceptors();
		for (int k = 0; k < 3; k++)
			client[k] = dial();
		if (i % 2)
			gr_yield();
		CHECK(gr_listener_close(listener) == 0);
		mix_join();
		for (int k = 0; k < 3; k++)
			close(client[k]);
		CHECK(gr_listener_release(listener) == 0);
	}
}

/* until it is closed, by calls that end by themselves all the time */
static void impatient(void *seed)
{
	unsigned int n = (unsigned int)(uintptr_t)seed;
	int fd;

	do {
		n = n * 1103515245 + 12345;
		fd = gr_listener_accept(listener, gr_after((20 + n / 65536 % 200) * GR_US));
		if (fd >= 0)
			gr_close(fd);
	} while (fd >= 0 || fd == -ETIMEDOUT);
	CHECK(fd == -ESHUTDOWN);
}

static void busy(void *unused)
{
	int64_t until = gr_after(100 * GR_US);

	(void)unused;
	while (gr_now() < until)
		;
}

/* who was woken goes on when it is closed, while others have timed out and are still queued */
static void close_and_deadlines(void)
{
	for (int i = 0; i < 100; i++) {
		open_listener(0);
		for (int k = 0; k < 2 * ACCEPTORS; k++)
			mix_go(impatient, (void *)(uintptr_t)(8 * i + k));
		gr_sleep(gr_after((100 + i % 4 * 100) * GR_US));
		for (int k = 0; k < 6; k++)
			mix_go(busy, NULL);
		CHECK(gr_listener_close(listener) == 0);
		mix_join();
		CHECK(gr_listener_release(listener) == 0);
	}
}

/* ---- somebody else accepts between the wait and the call, by epoll ---- */

static _Atomic bool steal;

/* libgr's call comes here */
int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	if (atomic_exchange(&steal, false))
		close((int)syscall(SYS_accept4, fd, NULL, NULL, 0));
	return (int)syscall(SYS_accept4, fd, addr, len, flags);
}

static void stolen(void)
{
	int client, fd;

	open_listener(0);
	client = dial();
	atomic_store(&steal, true);
	fd = gr_listener_accept(listener, gr_after(20 * GR_MS));
	if (atomic_exchange(&steal, false)) { /* by io_uring: it was not called */
		CHECK(fd >= 0 || fd == -ETIMEDOUT);
		gr_close(fd);
	} else {
		CHECK(fd == -ETIMEDOUT);
	}
	close(client);
	client = dial();
	fd = gr_listener_accept(listener, LONG);
	CHECK(fd >= 0 && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
	gr_close(fd);
	close(client);
	CHECK(gr_listener_release(listener) == 0);
}

static void one_failure(void *unused)
{
	(void)unused;
	CHECK(gr_listener_accept(listener, LONG) == -EMFILE);
	atomic_fetch_add(&failed, 1);
}

/* each who waits hears of it; nobody is lost */
static void no_more_fds(void)
{
	int client, fd;
	char c;

	open_listener(0);
	client = dial();
	check_few_fds(true);
	atomic_store(&failed, 0);
	for (int i = 0; i < 3; i++)
		mix_go(one_failure, NULL);
	mix_join();
	CHECK(atomic_load(&failed) == 3);
	check_few_fds(false);
	CHECK(write(client, "x", 1) == 1);
	fd = gr_listener_accept(listener, LONG);
	CHECK(fd >= 0 && gr_read(fd, &c, 1, LONG) == 1);
	gr_close(fd);
	gr_close(client);
	CHECK(gr_listener_release(listener) == 0);
}

static void wrong_calls(void)
{
	struct gr_listener *l = NULL;
	int file = open("/dev/null", O_RDWR), ret = -EAGAIN;

	CHECK(gr_listener_new(NULL, 0) == -EINVAL && gr_listener_new(&l, -1) == -EBADF);
	CHECK(gr_listener_accept(NULL, GR_NOW) == -EINVAL && gr_listener_close(NULL) == -EINVAL);
	CHECK(gr_listener_release(NULL) == 0);
	CHECK(gr_listener_new(&l, file) == 0);
	CHECK(gr_listener_accept(l, LONG) == -ENOTSOCK);
	/* mostly at once */
	for (int i = 0; i < 1000 && ret == -EAGAIN; i++) {
		ret = gr_listener_accept(l, GR_NOW);
		gr_yield();
	}
	CHECK(ret == -ENOTSOCK);
	CHECK(gr_listener_release(l) == 0);
	CHECK(fcntl(file, F_GETFD) < 0);
}

static void body(void)
{
	check_part("one request for all", one_request);
	check_part("many clients, several that accept", shared);
	check_part("more than it keeps", burst);
	check_part("closed with those nobody took", nobody_takes_them);
	check_part("deadlines, cancelled", deadlines);
	check_part("Ps come and go", procs_change);
	check_part("closed in between", close_races);
	check_part("another one was faster", stolen);
	check_part("closed while deadlines pass", close_and_deadlines);
	check_part("wrong calls", wrong_calls);
}

/* ---- a runtime ends, the listener does not ---- */

static int client_of_last, nr_waiting;

static void waits_for_ever(void *unused)
{
	(void)unused;
	gr_listener_accept(listener, GR_FOREVER);
}

static int first_runtime(void *unused)
{
	int fd;

	(void)unused;
	open_listener(0);
	close(dial());
	fd = gr_listener_accept(listener, LONG);
	CHECK(fd >= 0);
	gr_close(fd);
	for (int i = 0; i < nr_waiting; i++)
		gr_go(waits_for_ever, NULL);
	gr_yield();
	return 0;
}

static int second_runtime(void *unused)
{
	int fd = gr_listener_accept(listener, LONG);
	char c;

	(void)unused;
	CHECK(fd >= 0 && gr_read(fd, &c, 1, LONG) == 1);
	gr_close(fd);
	return 0;
}

static void two_runtimes(void)
{
	int before = open_sockets(), last;

	for (nr_waiting = 0; nr_waiting < 3; nr_waiting++) {
		CHECK(mix_gr_run(first_runtime, NULL, 2) == 0);
		client_of_last = dial();
		CHECK(write(client_of_last, "x", 1) == 1);
		CHECK(mix_gr_run(second_runtime, NULL, 1) == 0);
		last = dial();
		CHECK(gr_listener_accept(listener, GR_NOW) == -EPERM);
		CHECK(gr_listener_release(listener) == 0);
		CHECK(dial() < 0);
		close(last);
		close(client_of_last);
		CHECK(open_sockets() == before);
	}
}

/* ---- the next one goes without io_uring: what was accepted ahead is there ---- */

#define AHEAD 5

static int dials_ahead(void *client)
{
	int fd;

	open_listener(0);
	close(dial());
	fd = gr_listener_accept(listener, LONG); /* from now on the kernel may */
	CHECK(fd >= 0);
	gr_close(fd);
	for (int i = 0; i < AHEAD; i++)
		((int *)client)[i] = dial();
	return 0;
}

static int takes_ahead(void *unused)
{
	(void)unused;
	for (int i = 0; i < AHEAD; i++) {
		int fd = gr_listener_accept(listener, LONG);

		CHECK(fd >= 0);
		gr_close(fd);
	}
	return gr_listener_accept(listener, GR_NOW) == -EAGAIN ? 0 : 1;
}

static void then_epoll(void)
{
	const char *env = getenv("GR_NETPOLL");
	int client[AHEAD], before = open_sockets();

	CHECK(mix_gr_run(dials_ahead, client, 1) == 0);
	setenv("GR_NETPOLL", "epoll", 1);
	CHECK(mix_gr_run(takes_ahead, NULL, 1) == 0);
	if (env)
		setenv("GR_NETPOLL", env, 1);
	else
		unsetenv("GR_NETPOLL");
	CHECK(gr_listener_release(listener) == 0);
	for (int i = 0; i < AHEAD; i++)
		close(client[i]);
	CHECK(open_sockets() == before);
}

/* ---- a runtime leaves a thread behind ---- */

static int hold[2];
static _Atomic bool in_read;

static void stays(void *unused)
{
	char c;

	(void)unused;
	atomic_store(&in_read, true);
	CHECK(read(hold[0], &c, 1) == 1);
}

/* some who accept wait in the kernel by then, or the request of one is queued */
static int leaves_one(void *yields)
{
	open_listener(0);
	gr_go(stays, NULL);
	while (!atomic_load(&in_read))
		gr_yield();
	gr_go(waits_for_ever, NULL);
	for (int i = 0; i < *(int *)yields; i++)
		gr_sleep(gr_after(GR_MS));
	return 0;
}

static int nothing(void *unused)
{
	(void)unused;
	return 0;
}

static void one_stays(void)
{
	int before, ret;

	for (int yields = 0; yields < 3; yields++) {
		atomic_store(&in_read, false);
		before = open_sockets();
		CHECK(!pipe(hold) && mix_gr_run(leaves_one, &yields, 1 + yields % 2) == 0);
		CHECK(gr_listener_close(listener) == -EBUSY);
		CHECK(gr_listener_release(listener) == -EBUSY);
		CHECK(write(hold[1], "x", 1) == 1);
		while ((ret = gr_listener_release(listener)) == -EBUSY)
			usleep(100);
		CHECK(ret == 0 && dial() < 0 && open_sockets() == before);
		CHECK(mix_gr_run(nothing, NULL, 1) == 0);
		close(hold[0]);
		close(hold[1]);
	}
}

int main(void)
{
	check_in_child("too few descriptors, then enough", no_more_fds);
	check_run(body);
	check_part("two runtimes, one listener", two_runtimes);
	check_part("the next runtime goes without io_uring", then_epoll);
	check_part("a runtime leaves a thread behind", one_stays);
	return tap_done();
}
