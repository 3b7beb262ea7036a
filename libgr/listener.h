/* SPDX-License-Identifier: MIT */
/* listener.h - listening sockets when a runtime ends; there are no threads left. */
#ifndef GR_LISTENER_H
#define GR_LISTENER_H

#include <stdbool.h>

struct p;

/* run.c, before the rings go: nobody waits any more */
void listeners_stop(void);
/* netpoll_uring.c: a listener's request is not over in p's ring */
bool listeners_armed(struct p *p);
/* run.c, when they are gone */
void listeners_stopped(void);

#endif /* GR_LISTENER_H */
