// SPDX-License-Identifier: MIT
/*
 * netpoll.c - which I/O back end the runtime uses: GR_NETPOLL=uring|epoll|auto.
 *
 * Callers: gr_run(), before there are threads and Ps. auto: io_uring when a ring can be had that can
 * do all that is needed, else epoll; which one it is gr_info() tells.
 */
#include <errno.h>
#include <string.h>

#include "netpoll.h"
#include "op.h"

const struct netpoll_ops *netpoll = &netpoll_uring;

int netpoll_choose(void)
{
	const char *want = getenv("GR_NETPOLL");
	char why[128];
	int ret;

	if (!want || !*want)
		want = "auto";
	if (strcmp(want, "auto") && strcmp(want, "uring") && strcmp(want, "epoll")) {
		gr_warn("GR_NETPOLL=%s: known are uring, epoll and auto", want);
		return -EINVAL;
	}
	netpoll = &netpoll_uring;
	ret = strcmp(want, "epoll") ? netpoll_uring.probe(why, sizeof(why)) : -ENOSYS;
	if (!ret)
		return 0;
	if (!strcmp(want, "uring")) {
		gr_warn("GR_NETPOLL=uring: %s", why);
		return ret;
	}
	netpoll = &netpoll_epoll;
	op_call_begin();
	return 0;
}
