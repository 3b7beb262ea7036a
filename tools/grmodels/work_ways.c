// SPDX-License-Identifier: MIT
/*
 * work_ways.c - the five ways to block, one after the other: a goroutine blocks, and another one
 * sees whether it gets to run meanwhile, and whether the states say so. A timer and a system
 * call last PATIENCE, the others until the other one has run.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "model.h"
#include "work.h"

#define PATIENCE_MS 500

static struct mchan chan;
static struct msem mutex;
static int fds[2];
static _Atomic int phase; /* 1: about to block; 2: it is over */

static void block_chan(void)
{
	model->chan_recv(&chan);
}

static void end_chan(void)
{
	model->chan_send(&chan, 1);
}

static void block_mutex(void)
{
	model->mutex_lock(&mutex);
}

static void end_mutex(void)
{
	model->mutex_unlock(&mutex);
}

static void block_net(void)
{
	char c;

	if (model->read(fds[0], &c, 1) != 1)
		cell_fail("nothing read from the socket");
}

static void end_fd(void)
{
	if (write(fds[1], "x", 1) != 1)
		cell_fail("nothing written: errno %d", errno);
}

static void block_timer(void)
{
	model->sleep(PATIENCE_MS * GR_MS);
}

static void end_nothing(void)
{
}

static void poll_call(void *unused)
{
	struct pollfd p = { .fd = fds[0], .events = POLLIN };

	(void)unused;
	poll(&p, 1, PATIENCE_MS);
}

static void block_call(void)
{
	model->call(poll_call, NULL);
}

static const struct {
	enum why why;
	void (*block)(void), (*end)(void);
} ways[] = {
	{ WHY_CHAN, block_chan, end_chan }, { WHY_MUTEX, block_mutex, end_mutex },
	{ WHY_NET, block_net, end_fd },	    { WHY_TIMER, block_timer, end_nothing },
	{ WHY_CALL, block_call, end_fd },
};

static void blocker(void *way)
{
	atomic_store(&phase, 1);
	ways[(long)way].block();
	atomic_store(&phase, 2);
}

static bool says(enum why why)
{
	char buf[256];

	model->states(buf, sizeof(buf));
	return strstr(buf, why_names[why]) != NULL;
}

/* *ran: this goroutine ran while the other one blocked; *seen: the states said so */
static void try_way(long i, int *ran, int *seen)
{
	int64_t until;
	bool said = false;

	atomic_store(&phase, 0);
	spawn(blocker, (void *)i);
	while (!atomic_load(&phase))
		model->yield();
	until = gr_after(PATIENCE_MS / 2 * GR_MS);
	while (atomic_load(&phase) == 1 && !said && gr_now() < until) {
		said = says(ways[i].why);
		model->yield();
	}
	*ran += atomic_load(&phase) == 1;
	*seen += said;
	ways[i].end();
	while (atomic_load(&phase) != 2)
		model->yield();
}

static void run(void *unused)
{
	int ran = 0, seen = 0;

	(void)unused;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		cell_fail("no sockets: errno %d", errno);
	model->chan_init(&chan);
	model->mutex_lock(&mutex);
	for (long i = 0; i < 5; i++)
		try_way(i, &ran, &seen);
	cell_out("others_ran", ran);
	cell_out("states_seen", seen);
	cell_done();
}

static void text(const struct cell *of, int nr, char *buf, size_t n)
{
	double ran;

	if (last_with(of, nr, "others_ran", &ran))
		snprintf(buf, n, "%.0f of 5", ran);
}

static enum tick tick(const struct row *row, const struct cell *of)
{
	double ran;

	return last_with(of, row->nr_sizes, "others_ran", &ran) && ran == 5;
}

const struct workload work_ways = {
	.name = "ways",
	.claim = "blocks and others run",
	.rule = "another goroutine ran while one waited: channel, mutex, network, timer, system "
		"call, "
		"all five",
	.sizes = { 1 },
	.run = run,
	.text = text,
	.tick = tick,
};
