/* SPDX-License-Identifier: MIT */
/*
 * san.h - tell ASan, TSan and valgrind about goroutine stacks and every switch between them.
 *
 * Callers: wherever gr_switch() is called (turn.h, sched.c), g.c, stack.c, m.c. In a build without a
 * sanitizer all of it is nothing: no code, no field. A program that is built with a sanitizer needs
 * a libgr that was built with the same one (`make SAN=thread`).
 *
 *	san_leave(from, to, ends);  gr_switch(&from->sp, to->sp, ..);  san_arrive(from);
 *
 * The first code on a new stack calls san_arrive() too. These are macros or forced inline: TSan
 * counts the calls of a fiber, and a function that is entered on one and left on another would
 * disturb that.
 *
 * TSan: a goroutine is a fiber. A switch orders what was before with what comes after, because the
 * scheduler's own fields are handed over so. Goroutines that run one after the other on
 * one thread therefore never race for TSan; those on two threads do, if nothing else orders them.
 *
 * valgrind sees the stack pointer jump; registered stacks tell it that this is not a frame of a
 * megabyte. A registration is some instructions that do nothing outside of valgrind, once per
 * stack. Its header is used where it is installed; there is nothing to link.
 */
#ifndef GR_SAN_H
#define GR_SAN_H

#include <stdbool.h>
#include <stddef.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define GR_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define GR_TSAN 1
/* of tsan_interface.h, which not every compiler installs */
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned int flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned int flags);
#endif
#if !defined(GR_NO_VALGRIND) && __has_include(<valgrind/valgrind.h>)
#define GR_VALGRIND 1
#include <valgrind/valgrind.h>
#endif

/* for code that reads what others write, on purpose: not to be checked */
#define NO_SAN __attribute__((no_sanitize("address"), no_sanitize("thread")))

/* a field of struct g */
struct san_g {
#ifdef GR_ASAN
	void *fake; /* ASan's own stack for frames whose addresses escape */
	const void *lo; /* of its stack, or the thread's */
	size_t size;
#endif
#ifdef GR_TSAN
	void *fiber;
#endif
};

/* a field of struct stack */
struct san_stack {
#ifdef GR_VALGRIND
	unsigned int id;
#endif
};

#ifdef GR_ASAN
#define SAN_ASAN_LEAVE(from, to, ends)                                                  \
	__sanitizer_start_switch_fiber((ends) ? NULL : &(from)->san.fake, (to)->san.lo, \
				       (to)->san.size)
#define san_arrive(me) __sanitizer_finish_switch_fiber((me)->san.fake, NULL, NULL)
#else
#define SAN_ASAN_LEAVE(from, to, ends) ((void)0)
#define san_arrive(me) ((void)0)
#endif

#ifdef GR_TSAN
#define SAN_TSAN_LEAVE(to) __tsan_switch_to_fiber((to)->san.fiber, 0)
#else
#define SAN_TSAN_LEAVE(to) ((void)0)
#endif

/* before the switch; ends: from is never switched to again */
#define san_leave(from, to, ends)                \
	do {                                     \
		SAN_ASAN_LEAVE(from, to, ends);  \
		SAN_TSAN_LEAVE(to);              \
	} while (0)

struct g;
struct stack;
/* san.c; each is nothing in a build that does not need it */
#if defined(GR_ASAN) || defined(GR_TSAN) || defined(GR_VALGRIND)
/* memory for a stack came, and goes: stack.c */
void san_stack_new(struct stack *s);
void san_stack_gone(struct stack *s);
#else
static inline void san_stack_new(struct stack *s) { (void)s; }
static inline void san_stack_gone(struct stack *s) { (void)s; }
#endif
#if defined(GR_ASAN) || defined(GR_TSAN)
/* g starts on s, has ended: g.c. The thread's own stack: m.c */
void san_g_start(struct g *g, struct stack *s);
void san_g_gone(struct g *g);
void san_g0_new(struct g *g0);
#else
static inline void san_g_start(struct g *g, struct stack *s) { (void)g; (void)s; }
static inline void san_g_gone(struct g *g) { (void)g; }
static inline void san_g0_new(struct g *g0) { (void)g0; }
#endif

#endif /* GR_SAN_H */
