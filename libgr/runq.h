/* SPDX-License-Identifier: MIT */
/* runq.h - goroutines ready to run: a ring per P and one global queue; see runq.c, globq.c. */
#ifndef GR_RUNQ_H
#define GR_RUNQ_H

#include "gr_int.h"

/* next: into runnext, which inherits the running goroutine's slice */
void runq_put_local(struct p *p, struct g *g, bool next);
/* *inherit: it came from runnext */
struct g *runq_get_local(struct p *p, bool *inherit);
/* runnext loses its privilege: to the end of the ring */
void runq_demote_next_local(struct p *p);
/* half of victim's ring to p's, one of them returned; runnext only if take_next */
struct g *runq_steal(struct p *p, struct p *victim, bool take_next);
/* may be out of date at once; runnext counts */
bool runq_empty(struct p *p);
uint32_t runq_len(struct p *p);

void globq_put(struct g *g);
/* a chain linked by g->next, n of them */
void globq_put_list(struct g *list, int n);
/* One goroutine; up to max - 1 more go to p's ring. NULL: empty. */
struct g *globq_get_local(struct p *p, int max);
uint32_t globq_len(void);

#endif /* GR_RUNQ_H */
