// SPDX-License-Identifier: MIT
/* hello.c - start the runtime, start goroutines, wait for them. */
#include <stdio.h>

#include "gr.h"

static struct gr_wg all = GR_WG_INIT;

static void hello(void *name)
{
	printf("hello from goroutine %llu: %s\n", (unsigned long long)gr_id(), (char *)name);
	gr_wg_done(&all);
}

static int start(void *arg)
{
	static char *names[] = { "Gopher", "Penguin", "Daemon" };

	(void)arg;
	for (int i = 0; i < 3; i++) {
		gr_wg_add(&all, 1);
		if (gr_go(hello, names[i]))
			return 1;
	}
	return gr_wg_wait(&all, GR_FOREVER);
}

int main(void)
{
	int ret = gr_run(start, NULL, NULL);

	return ret ? 1 : 0;
}
