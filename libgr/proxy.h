/* SPDX-License-Identifier: MIT */
/* proxy.h - a goroutine does for a plain thread what needs a P. */
#ifndef GR_PROXY_H
#define GR_PROXY_H

/*
 * Run fn(arg) in a goroutine and wait for what it returns, which is not negative or an error.
 * A plain thread, outside a runtime section. -ENXIO no runtime, or it ended first; -ENOMEM.
 */
int proxy_do(int (*fn)(void *), void *arg);
/* the runtime has ended, its goroutines will not come back: the threads that wait go on */
void proxy_fini(void);

#endif /* GR_PROXY_H */
