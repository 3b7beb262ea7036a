// SPDX-License-Identifier: MIT
/*
 * stackuse_test.c - gr_stack_used(), and memory of deep stacks goes back when their goroutines end.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gr.h"
#include "stack.h"
#include "tap.h"

#if defined(GR_ASAN) || defined(GR_TSAN)
#define SANITIZER true
#else
#define SANITIZER false
#endif
#define MANY 1000
#define DEEP (160 << 10)

static long page;

static long resident_kb(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		exit(1);
	fclose(f);
	return pages * (page / 1024);
}

static __attribute__((noinline)) void use(size_t bytes)
{
	volatile char *p = __builtin_alloca(bytes);

	for (size_t i = 0; i < bytes; i += 1024)
		p[i] = 1;
}

static int measure(void *unused)
{
	ssize_t first = gr_stack_used(), then, again;

	(void)unused;
	tap_ok(first > 0 && first <= (16 << 10) && first % page == 0,
	       "a small goroutine used %zd bytes", first);
	use(100 << 10);
	then = gr_stack_used();
	tap_ok(then >= (100 << 10) && then <= (124 << 10) && then % page == 0,
	       "after 100 KiB: %zd", then);
	use(10 << 10);
	again = gr_stack_used();
	tap_ok(again == then, "it is the most ever used, not what is in use");
	return 0;
}

static struct gr_wg here, gone;
static struct gr_chan *go;

static void dive_and_wait(void *bytes)
{
	use((size_t)bytes);
	gr_wg_done(&here);
	gr_chan_recv(go, NULL, GR_FOREVER);
	gr_wg_done(&gone);
}

static void all_end(size_t bytes)
{
	gr_chan_new(&go, 0, 0);
	gr_wg_add(&here, MANY);
	gr_wg_add(&gone, MANY);
	for (int i = 0; i < MANY; i++)
		if (gr_go(dive_and_wait, (void *)bytes))
			exit(1);
	gr_wg_wait(&here, GR_FOREVER);
}

static int give_back(void *unused)
{
	struct gr_info info = { .size = sizeof(info) };
	long before = resident_kb(), peak, after;

	(void)unused;
	all_end(DEEP);
	peak = resident_kb() - before;
	gr_chan_close(go);
	gr_wg_wait(&gone, GR_FOREVER);
	do
		gr_yield();
	while (!gr_info(&info) && info.nr_goroutines > 1);
	gr_chan_release(go);
	after = resident_kb() - before;
	tap_ok(peak >= MANY * (DEEP / 1024), "%d goroutines of %d KiB hold %ld KiB", MANY,
	       DEEP / 1024, peak);
	/* what a P keeps for the next goroutines, and 16 KiB each */
	tap_ok(after < peak / 4, "when they have ended, %ld KiB", after);
	return 0;
}

/* ---- guards by mprotect() leave mappings to the program ---- */

static int max_maps;

static void wait_here(void *unused)
{
	(void)unused;
	gr_wg_done(&here);
	gr_chan_recv(go, NULL, GR_FOREVER);
	gr_wg_done(&gone);
}

/* as many mappings as the program may still make, at most n */
static int can_map(int n)
{
	void **at = calloc((size_t)n, sizeof(*at));
	int made = 0;

	/* every second one read-only, so that they do not merge */
	while (made < n) {
		at[made] = mmap(NULL, (size_t)page, made % 2 ? PROT_READ : PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at[made] == MAP_FAILED)
			break;
		made++;
	}
	for (int i = 0; i < made; i++)
		munmap(at[i], (size_t)page);
	free(at);
	return made;
}

static int park_beyond(void *unused)
{
	struct gr_info info = { .size = sizeof(info) };
	int n = max_maps / 4 + 1000, left;

	(void)unused;
	gr_chan_new(&go, 0, 0);
	gr_wg_add(&here, n);
	gr_wg_add(&gone, n);
	for (int i = 0; i < n; i++)
		if (gr_go(wait_here, NULL))
			return -1;
	gr_wg_wait(&here, GR_FOREVER); /* a stack each, from the first turn on */
	gr_info(&info);
	tap_ok(!strcmp(info.guard, "canary"), "mprotect() for some of %d stacks, canaries beyond", n);
	left = can_map(max_maps / 4);
	tap_ok(left == max_maps / 4, "%d more mappings can be made", left);
	gr_chan_close(go);
	gr_wg_wait(&gone, GR_FOREVER);
	gr_chan_release(go);
	return 0;
}

static void test_few_mappings(void)
{
	struct gr_opts one = { .size = sizeof(one), .nr_procs = 1 };
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
	const char *why = NULL;

	if (!f || fscanf(f, "%d", &max_maps) != 1)
		exit(1);
	fclose(f);
	if (SANITIZER)
		why = "a sanitizer makes mappings of its own";
	else if (max_maps > 100000)
		why = "vm.max_map_count is not the usual one";
	if (why) {
		tap_skip("few mappings", why);
		return;
	}
	stack_guard_best = GUARD_MPROTECT;
	tap_ok(gr_run(park_beyond, NULL, &one) == 0, "a runtime with mprotect() guards");
	stack_guard_best = GUARD_MADVISE;
}

int main(void)
{
	struct gr_opts one = { .size = sizeof(one), .nr_procs = 1 };

	page = sysconf(_SC_PAGESIZE);
	tap_limit(120);
	tap_ok(gr_stack_used() == -EPERM, "-EPERM outside");
	gr_run(measure, NULL, &one);
	if (SANITIZER)
		tap_skip("memory goes back", "a sanitizer's own memory hides it");
	else
		gr_run(give_back, NULL, &one);
	test_few_mappings();
	return tap_done();
}
