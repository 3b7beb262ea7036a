/* SPDX-License-Identifier: MIT */
/* limits.h - how many threads and how much memory may be had; see limits.c. */
#ifndef GRMODELS_LIMITS_H
#define GRMODELS_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* So many more threads, so many bytes: false, and reason names the limit that says no. */
bool limits_allow(long threads, long bytes, char *reason, size_t n);
/* `grmodels limits` */
void limits_print(FILE *f);

#endif /* GRMODELS_LIMITS_H */
