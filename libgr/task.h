/* SPDX-License-Identifier: MIT */
/* task.h - a goroutine's handle, for task.c and select.c. */
#ifndef GR_TASK_H
#define GR_TASK_H

#include "scope.h"

struct gr_task {
	_Atomic int refs;
	struct lock lock;
	struct g *g;	      /* until it has ended */
	bool done;
	int result;	      /* once done */
	struct waitq joiners; /* their w->result gets the result */
};

#endif /* GR_TASK_H */
