/* SPDX-License-Identifier: MIT */
/* report.h - what was measured, as a table of ticks, JSON or CSV. */
#ifndef GRMODELS_REPORT_H
#define GRMODELS_REPORT_H

#include "work.h"

/* rows[] of nr; those that were not begun show so */
void report_table(const struct row *rows, int nr);
void report_json(const struct row *rows, int nr);
void report_csv(const struct row *rows, int nr);

#endif /* GRMODELS_REPORT_H */
