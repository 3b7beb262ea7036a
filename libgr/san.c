// SPDX-License-Identifier: MIT
/*
 * san.c - what san.h does not do in place: stacks and goroutines come and go. Empty in a build
 * without sanitizers on a machine without valgrind's header.
 */
#include <pthread.h>

#include "gr_int.h"

#if defined(GR_ASAN) || defined(GR_TSAN) || defined(GR_VALGRIND)
void san_stack_new(struct g *g)
{
#ifdef GR_VALGRIND
	g->san.stack_id = VALGRIND_STACK_REGISTER(g->stack_base, (char *)g);
#endif
	(void)g;
}

void san_stack_gone(struct g *g)
{
#ifdef GR_VALGRIND
	VALGRIND_STACK_DEREGISTER(g->san.stack_id);
#endif
#ifdef GR_ASAN
	/* the frames that never returned; others may get these addresses */
	__asan_unpoison_memory_region(g->stack_base, g->stack_size);
#endif
	(void)g;
}
#endif

#if defined(GR_ASAN) || defined(GR_TSAN)
void san_g_new(struct g *g)
{
#ifdef GR_ASAN
	/* what the last one's frames poisoned that never returned: sched_ended() and below */
	__asan_unpoison_memory_region(g->stack_lo, (size_t)((char *)g - (char *)g->stack_lo));
	g->san.fake = NULL;
#endif
#ifdef GR_TSAN
	g->san.fiber = __tsan_create_fiber(0);
#endif
}

void san_g_gone(struct g *g)
{
	(void)g;
#ifdef GR_TSAN
	__tsan_destroy_fiber(g->san.fiber);
	g->san.fiber = NULL;
#endif
}

void san_g0_new(struct g *g0)
{
#ifdef GR_ASAN
	pthread_attr_t attr;

	if (pthread_getattr_np(pthread_self(), &attr))
		gr_throw("a thread does not know its stack");
	pthread_attr_getstack(&attr, &g0->stack_base, &g0->stack_size);
	pthread_attr_destroy(&attr);
	g0->stack_lo = g0->stack_base;
#endif
#ifdef GR_TSAN
	g0->san.fiber = __tsan_get_current_fiber();
#endif
	(void)g0;
}
#endif
