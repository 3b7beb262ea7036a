// SPDX-License-Identifier: MIT
/*
 * san.c - what san.h does not do in place: stacks and goroutines come and go. Empty in a build
 * without sanitizers on a machine without valgrind's header.
 */
#include <pthread.h>

#include "stack.h"

#if defined(GR_ASAN) || defined(GR_TSAN) || defined(GR_VALGRIND)
void san_stack_new(struct stack *s)
{
#ifdef GR_VALGRIND
	s->san.id = VALGRIND_STACK_REGISTER(s->base, (char *)s);
#endif
	(void)s;
}

void san_stack_gone(struct stack *s)
{
#ifdef GR_VALGRIND
	VALGRIND_STACK_DEREGISTER(s->san.id);
#endif
#ifdef GR_ASAN
	/* the frames that never returned; others may get these addresses */
	__asan_unpoison_memory_region(s->base, s->size);
#endif
	(void)s;
}
#endif

#if defined(GR_ASAN) || defined(GR_TSAN)
void san_g_start(struct g *g, struct stack *s)
{
#ifdef GR_ASAN
	/* what the last one's frames poisoned that never returned: sched_ended() and below */
	__asan_unpoison_memory_region(s->lo, (size_t)((char *)s - s->lo));
	g->san.fake = NULL;
	g->san.lo = s->lo;
	g->san.size = (size_t)((char *)s - s->lo);
#endif
#ifdef GR_TSAN
	g->san.fiber = __tsan_create_fiber(0);
#endif
	(void)s;
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
	void *lo;

	if (pthread_getattr_np(pthread_self(), &attr))
		gr_throw("a thread does not know its stack");
	pthread_attr_getstack(&attr, &lo, &g0->san.size);
	pthread_attr_destroy(&attr);
	g0->san.lo = lo;
#endif
#ifdef GR_TSAN
	g0->san.fiber = __tsan_get_current_fiber();
#endif
	(void)g0;
}
#endif
