/* SPDX-License-Identifier: MIT */
/*
 * multi.h - an object that is served by one request in a ring with many results (multishot), and
 * that a program may keep when its runtime ends: listener.c.
 */
#ifndef GR_MULTI_H
#define GR_MULTI_H

#include "op.h"

struct multi {
	int fd;		    /* -1: closed, and the request is over */
	int end;	    /* can be read when it is closed */
	_Atomic int inside; /* calls that use both themselves */
	/* lock: the owner's, too */
	struct lock lock;
	bool closed, armed; /* armed: the request is there, or will be in a moment */
	struct p *p;	    /* whose ring it was armed in last; NULL: none, in this runtime */
	struct req req;
	struct waitq waiters;
	/* all.lock */
	struct multi *next, *prev;
};

/*
 * Of zeros, and a socket, which gets blocking mode; its owner may choose the other one: a request in
 * a ring does not go by it. -EBADF; -EMFILE, -ENFILE, -ENOMEM. Outside a section.
 */
int multi_init(struct multi *m, int fd);
/* A call that uses fd and end itself, outside a section. False: closed. */
bool multi_enter(struct multi *m);
void multi_leave(struct multi *m);
/* In between: wait until fd can be read, as gr_select(); -ESHUTDOWN it was closed. */
int multi_readable(struct multi *m, int64_t deadline);
/* In a section: p's results that are there already. */
void multi_look(struct p *p);
/*
 * Closed is set, who waits is woken with -ESHUTDOWN, and when the request is over and nobody is
 * inside returns fd, which is the caller's again. -ESHUTDOWN closed before; nothing was done:
 * -EPERM by neither a goroutine nor without a runtime; -EBUSY threads of the last one are left.
 */
int multi_close(struct multi *m);
/* The same, also where a runtime ended while somebody was closing it; -ESHUTDOWN: it was complete. */
int multi_finish(struct multi *m);

/* run.c, without threads. Before the rings go: nobody waits any more */
void multis_stop(void);
/* netpoll_uring.c: a request is not over in p's ring */
bool multis_armed(struct p *p);
/* run.c, when they are gone */
void multis_stopped(void);

#endif /* GR_MULTI_H */
