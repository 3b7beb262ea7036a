// SPDX-License-Identifier: MIT
/*
 * netpoll.c - which I/O back end the runtime uses.
 *
 * Callers: gr_run(), before there are threads and Ps.
 */
#include "netpoll.h"

const struct netpoll_ops *netpoll = &netpoll_uring;

int netpoll_choose(void)
{
	char why[128];
	int ret = netpoll->probe(why, sizeof(why));

	if (ret)
		gr_warn("%s; libgr needs it", why);
	return ret;
}
