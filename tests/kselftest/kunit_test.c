// SPDX-License-Identifier: GPL-2.0
/*
 * kunit_test.c - what the module's KUnit suites said at insmod, as results of this run.
 *
 * The suites (kmod/token_test.c, stat_test.c) are in the module where the kernel has KUnit; their results lie
 * in debugfs until it is unloaded.
 */
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int nr, failed;

/* the cases of one suite: the lines that are indented once */
static void report(const char *path)
{
	char line[256];
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f)) {
		int no = !strncmp(line, "    not ok ", 11);
		const char *name = strchr(line + 8 + 4 * no, ' ');

		if ((!no && strncmp(line, "    ok ", 7)) || !name)
			continue;
		failed += no;
		printf("%sok %d -%s", no ? "not " : "", ++nr, name);
	}
	if (f)
		fclose(f);
}

int main(void)
{
	glob_t g;

	if (access("/sys/kernel/debug/kunit", F_OK)) {
		printf("1..0 # SKIP this kernel has no KUnit\n");
		return 4;
	}
	if (glob("/sys/kernel/debug/kunit/gr_*/results", 0, NULL, &g) || g.gl_pathc != 2) {
		printf("not ok 1 - two suites ran\n1..1\n");
		return 1;
	}
	for (size_t i = 0; i < g.gl_pathc; i++)
		report(g.gl_pathv[i]);
	printf("1..%d\n", nr);
	return failed || !nr;
}
