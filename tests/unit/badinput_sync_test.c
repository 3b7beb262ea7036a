// SPDX-License-Identifier: MIT
/* badinput_sync_test.c - badinput_test.c's table for locks, semaphores, barriers and pools. */
#include "badinput.h"

static void locks(void)
{
	struct gr_mutex m = GR_MUTEX_INIT;
	struct gr_wg wg = GR_WG_INIT;

	IS(gr_mutex_lock(NULL, GR_FOREVER), -EINVAL);
	IS(gr_mutex_unlock(NULL), -EINVAL);
	IS(gr_mutex_unlock(&m), -EPERM);
	IS(gr_mutex_lock(&m, PAST), 0);
	IS(gr_mutex_lock(&m, PAST), -ETIMEDOUT);
	IS(gr_mutex_lock(&m, GR_NOW), -EAGAIN);
	IS(gr_mutex_unlock(&m), 0);
	IS(gr_mutex_unlock(&m), -EPERM);
	IS(gr_wg_add(NULL, 1), -EINVAL);
	IS(gr_wg_done(NULL), -EINVAL);
	IS(gr_wg_wait(NULL, GR_FOREVER), -EINVAL);
	IS(gr_wg_done(&wg), -EINVAL);
	IS(gr_wg_add(&wg, INT64_MIN), -EINVAL);
	IS(gr_wg_wait(&wg, PAST), 0);
	IS(gr_wg_add(&wg, 1), 0);
	IS(gr_wg_wait(&wg, PAST), -ETIMEDOUT);
}

static void rwlocks(void)
{
	struct gr_rwmutex m = GR_RWMUTEX_INIT;

	IS(gr_rwmutex_rlock(NULL, GR_FOREVER), -EINVAL);
	IS(gr_rwmutex_runlock(NULL), -EINVAL);
	IS(gr_rwmutex_lock(NULL, GR_FOREVER), -EINVAL);
	IS(gr_rwmutex_unlock(NULL), -EINVAL);
	IS(gr_rwmutex_runlock(&m), -EPERM);
	IS(gr_rwmutex_unlock(&m), -EPERM);
	IS(gr_rwmutex_rlock(&m, PAST), 0);
	IS(gr_rwmutex_unlock(&m), -EPERM);
	IS(gr_rwmutex_lock(&m, PAST), -ETIMEDOUT);
	IS(gr_rwmutex_lock(&m, GR_NOW), -EAGAIN);
	IS(gr_rwmutex_runlock(&m), 0);
	IS(gr_rwmutex_runlock(&m), -EPERM);
	IS(gr_rwmutex_lock(&m, GR_NOW), 0);
	IS(gr_rwmutex_runlock(&m), -EPERM);
	IS(gr_rwmutex_rlock(&m, PAST), -ETIMEDOUT);
	IS(gr_rwmutex_rlock(&m, GR_NOW), -EAGAIN);
	IS(gr_rwmutex_unlock(&m), 0);
	IS(gr_rwmutex_unlock(&m), -EPERM);
}

static void conditions(void)
{
	struct gr_mutex m = GR_MUTEX_INIT;
	struct gr_cond c = GR_COND_INIT;

	IS(gr_cond_signal(NULL), -EINVAL);
	IS(gr_cond_broadcast(NULL), -EINVAL);
	IS(gr_cond_wait(NULL, &m, GR_FOREVER), -EINVAL);
	IS(gr_cond_wait(&c, NULL, GR_FOREVER), -EINVAL);
	IS(gr_cond_wait(&c, &m, GR_FOREVER), -EPERM);
	IS(gr_cond_signal(&c), 0);
	IS(gr_cond_broadcast(&c), 0);
	IS(gr_mutex_lock(&m, GR_NOW), 0);
	IS(gr_cond_wait(&c, &m, PAST), -ETIMEDOUT);
	IS(gr_mutex_lock(&m, GR_NOW), -EAGAIN); /* it is ours again */
	IS(gr_mutex_unlock(&m), 0);
}

static void semaphores(void)
{
	struct gr_sem s = GR_SEM_INIT(2);

	IS(gr_sem_acquire(NULL, 1, GR_FOREVER), -EINVAL);
	IS(gr_sem_release(NULL, 1), -EINVAL);
	IS(gr_sem_acquire(&s, 0, GR_FOREVER), -EINVAL);
	IS(gr_sem_acquire(&s, -1, GR_FOREVER), -EINVAL);
	IS(gr_sem_acquire(&s, INT64_MIN, GR_FOREVER), -EINVAL);
	IS(gr_sem_release(&s, 0), -EINVAL);
	IS(gr_sem_release(&s, -1), -EINVAL);
	IS(gr_sem_release(&s, INT64_MAX), -EOVERFLOW);
	IS(gr_sem_acquire(&s, 3, PAST), -ETIMEDOUT);
	IS(gr_sem_acquire(&s, 3, GR_NOW), -EAGAIN);
	IS(gr_sem_acquire(&s, 2, PAST), 0);
	IS(gr_sem_acquire(&s, 1, GR_NOW), -EAGAIN);
}

static void once_fn(void *arg)
{
	*(int *)arg = gr_once((struct gr_once *)(void *)((int *)arg + 2), once_fn, arg);
}

static void once_and_barrier(void)
{
	struct {
		int ret, pad;
		struct gr_once once;
	} o = { 0, 0, GR_ONCE_INIT };
	struct gr_once fresh = GR_ONCE_INIT;
	struct gr_barrier b0 = GR_BARRIER_INIT(0), b1 = GR_BARRIER_INIT(1), b2 = GR_BARRIER_INIT(2);

	_Static_assert(offsetof(__typeof__(o), once) == 8, "once_fn() finds it there");
	IS(gr_once(NULL, once_fn, NULL), -EINVAL);
	IS(gr_once(&fresh, NULL, NULL), -EINVAL);
	IS(gr_once(&o.once, once_fn, &o), 0);
	IS(o.ret, -EDEADLK);
	IS(gr_once(&o.once, once_fn, NULL), 0); /* not called again */
	IS(gr_barrier_wait(NULL, GR_FOREVER), -EINVAL);
	IS(gr_barrier_wait(&b0, GR_FOREVER), -EINVAL);
	IS(gr_barrier_wait(&b1, PAST), 1);
	IS(gr_barrier_wait(&b1, GR_NOW), 1);
	IS(gr_barrier_wait(&b2, PAST), -ETIMEDOUT);
	IS(gr_barrier_wait(&b2, GR_NOW), -EAGAIN);
}

static void pools(void)
{
	struct gr_pool *p = NULL;

	IS(gr_pool_new(NULL, NULL, NULL, NULL), -EINVAL);
	IS(gr_pool_get(NULL) != NULL, 0);
	gr_pool_put(NULL, &p);
	gr_pool_release(NULL);
	IS(gr_pool_new(&p, NULL, NULL, NULL), 0);
	IS(gr_pool_get(p) != NULL, 0);
	gr_pool_put(p, NULL);
	IS(gr_pool_get(p) != NULL, 0);
	gr_pool_release(p);
}

static void all(void)
{
	locks();
	rwlocks();
	conditions();
	semaphores();
	once_and_barrier();
	pools();
}

int main(void)
{
	return bad_run(all);
}
