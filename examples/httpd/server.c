// SPDX-License-Identifier: MIT
/*
 * server.c - accepting, how many connections at once, and the end.
 *
 * Places: a connection has one of config.max_conns places, from before it is accepted until it is
 * closed. When none is free the others wait in the listener's queue. At the end all places are
 * taken at once: that is the wait for the last connection.
 *
 * Out of descriptors: the connection stays in the queue, and accepting goes on a moment later.
 *
 * Drain: first nobody accepts any more and the listener is closed. Then `draining` is set, and
 * connections that wait for a request are shut down for reading: what a client had sent before is
 * still read and served. A connection says that it is idle before it looks at `draining`, and
 * the drain sets `draining` before it looks who is idle: so no idle one is missed. Others end
 * with the reply that they are at. What is not over after config.drain_ms is cut.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "httpd.h"

#define ACCEPT_PAUSE (50 * GR_MS)

static struct gr_sem places;
static atomic_bool draining;

static struct {
	struct gr_mutex lock; /* protects the rest, and the descriptors from being closed */
	struct link *first;
	int n;
} conns;

bool server_draining(void)
{
	return atomic_load(&draining);
}

int server_conns(void)
{
	int n;

	gr_mutex_lock(&conns.lock, GR_FOREVER);
	n = conns.n;
	gr_mutex_unlock(&conns.lock);
	return n;
}

void server_enter(struct link *l)
{
	gr_mutex_lock(&conns.lock, GR_FOREVER);
	l->next = conns.first;
	if (l->next)
		l->next->prev = &l->next;
	l->prev = &conns.first;
	conns.first = l;
	conns.n++;
	gr_mutex_unlock(&conns.lock);
}

void server_leave(struct link *l)
{
	gr_mutex_lock(&conns.lock, GR_FOREVER);
	*l->prev = l->next;
	if (l->next)
		l->next->prev = l->prev;
	conns.n--;
	gr_mutex_unlock(&conns.lock);
	gr_close(l->fd);
	gr_sem_release(&places, 1);
}

/* a descriptor, or -ECANCELED */
static int accept_one(int lfd)
{
	int last = 0;

	for (;;) {
		int fd = gr_accept(lfd, GR_FOREVER);

		if (fd >= 0 || fd == -ECANCELED)
			return fd;
		if (fd == -ECONNABORTED || fd == -EINTR) /* a client that left */
			continue;
		if (fd != last)
			fprintf(stderr, "httpd: cannot accept: %s\n", strerrordesc_np(-fd));
		last = fd;
		if (gr_sleep(gr_after(ACCEPT_PAUSE)))
			return -ECANCELED;
	}
}

/* until it is cancelled */
static int accept_loop(void *arg)
{
	int lfd = *(int *)arg, fd;

	while (!gr_sem_acquire(&places, 1, GR_FOREVER)) {
		fd = accept_one(lfd);
		if (fd >= 0 && !conn_start(fd))
			continue;
		gr_sem_release(&places, 1);
		if (fd < 0)
			break;
		gr_close(fd);
	}
	return 0;
}

static void drain(void)
{
	atomic_store(&draining, true);
	gr_mutex_lock(&conns.lock, GR_FOREVER);
	for (struct link *l = conns.first; l; l = l->next)
		if (atomic_load(&l->idle))
			gr_shutdown(l->fd, SHUT_RD);
	gr_mutex_unlock(&conns.lock);
	if (gr_sem_acquire(&places, config.max_conns, after_ms(config.drain_ms)))
		fprintf(stderr, "httpd: %d connections did not end in time\n", server_conns());
}

static int listen_or_say(void)
{
	int lfd = gr_tcp_listen(config.host, config.port, 1024);

	if (lfd < 0)
		fprintf(stderr, "httpd: cannot listen on %s port %s: %s\n",
			config.host ? config.host : "*", config.port, strerrordesc_np(-lfd));
	return lfd;
}

int server_main(void *set)
{
	struct gr_info info = {.size = sizeof(info)};
	int lfd = listen_or_say(), ret;
	struct gr_task *acceptor;

	if (lfd < 0)
		return 1;
	gr_sem_release(&places, config.max_conns);
	ret = gr_task_new(&acceptor, accept_loop, &lfd, NULL);
	if (!ret) {
		gr_info(&info);
		fprintf(stderr, "httpd: port %d, %d procs, backend %s\n", gr_tcp_port(lfd),
			info.nr_procs, info.backend);
		ret = gr_signal_wait(set, NULL, GR_FOREVER);
		gr_task_cancel(acceptor);
		gr_task_join(acceptor, NULL, GR_FOREVER);
		gr_task_release(acceptor);
	}
	gr_close(lfd);
	if (ret < 0) {
		fprintf(stderr, "httpd: cannot start: %s\n", strerrordesc_np(-ret));
		return 1;
	}
	drain();
	gr_info(&info);
	fprintf(stderr, "httpd: enters %llu\n", (unsigned long long)info.ring_enters);
	return 0;
}
