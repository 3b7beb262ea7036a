/* SPDX-License-Identifier: MIT */
/* plot.h - charts of what was measured over sizes; see plot.c. */
#ifndef GRMODELS_PLOT_H
#define GRMODELS_PLOT_H

#include "work.h"

/* Make the folder if there is none; false, with a sentence on stderr: no charts can be drawn. */
bool plot_begin(const char *dir);
/* One chart for each row that has one, and its script beside it. False: something failed. */
bool plot_all(const char *dir, const struct row *rows, int nr);

#endif /* GRMODELS_PLOT_H */
