// SPDX-License-Identifier: GPL-2.0
/*
 * shm.c - zeroed pages that the kernel writes or reads by address and user space maps.
 *
 * Charged to the cgroup of the caller (hence not vmalloc_user()). Because the kernel uses its
 * own mapping it never faults on them, also under the runqueue lock.
 * Callers: group.c in process context; dev.c maps them.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "gr_kmod.h"

int gr_shm_alloc(struct gr_shm *shm, size_t bytes)
{
	unsigned long nr = PAGE_ALIGN(bytes) >> PAGE_SHIFT;

	shm->pages = kvcalloc(nr, sizeof(*shm->pages), GFP_KERNEL_ACCOUNT);
	if (!shm->pages)
		return -ENOMEM;
	for (; shm->nr_pages < nr; shm->nr_pages++) {
		struct page *page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);

		if (!page)
			goto fail;
		shm->pages[shm->nr_pages] = page;
	}
	shm->addr = vmap(shm->pages, nr, VM_MAP | VM_USERMAP, PAGE_KERNEL);
	if (!shm->addr)
		goto fail;
	return 0;
fail:
	gr_shm_free(shm);
	return -ENOMEM;
}

void gr_shm_free(struct gr_shm *shm)
{
	if (shm->addr)
		vunmap(shm->addr);
	while (shm->nr_pages)
		__free_page(shm->pages[--shm->nr_pages]);
	kvfree(shm->pages);
	*shm = (struct gr_shm){};
}
