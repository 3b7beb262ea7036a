/* SPDX-License-Identifier: MIT */
/* dial.h - the race of a name's addresses, without the name: for dial.c's test too. */
#ifndef GR_DIAL_H
#define GR_DIAL_H

#include <stdint.h>

#include "net.h"

/*
 * Connect to the first address of the list, which is not empty, that answers; the descriptor, or
 * the error of the last that failed, or why the wait ended. A goroutine, outside a section.
 */
int dial_race(const struct addrinfo *list, int64_t deadline);

#endif /* GR_DIAL_H */
