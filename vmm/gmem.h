/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: the one publisher of the RAM layout. KVM memory slots, DMA mappings and (later)
 * the vhost-user memory table are its listeners; nobody else maps RAM.
 *
 * RAM is one file, shared, mapped once: on a private tmpfs that gives huge pages where the process
 * may make one, else a memfd. Layout: [0, low) and, when there is more, [4 GiB, ...).
 * Set up by the control thread before vCPUs run; gmem_hva/read/write are thread-safe after that.
 * The guest changes this memory at any time: read once into a local, check, then use.
 */
#ifndef VIADUCT_VMM_GMEM_H
#define VIADUCT_VMM_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct gmem_region {
	uint64_t gpa, size;
	void *hva;
	int fd; /* borrowed */
	uint64_t fd_offset;
};

struct gmem_listener {
	/* Called for each region, in the order of registration; a failure undoes the earlier ones. */
	int (*add)(struct gmem_listener *l, const struct gmem_region *r, struct err *e);
	void (*del)(struct gmem_listener *l, const struct gmem_region *r);
	struct gmem_listener *next; /* owned by gmem */
};

struct gmem_config {
	uint64_t size;    /* bytes, a multiple of the page size used */
	uint64_t low_max; /* RAM below 4 GiB; 0 = LAYOUT_LOW_RAM_MAX */
	bool hugepages;   /* 2 MiB pages from hugetlbfs (MFD_HUGETLB) */
	/*
	 * The fd will be lent to other processes: a memfd that none of them can cut pages from. Its
	 * pages are 4 KiB unless the host gives it huge ones (shmem_enabled).
	 */
	bool sealed;
};

struct gmem;

/*
 * Reserve and map the memory; nothing is published yet. -EINVAL: size 0 or not a multiple of the
 * page size; -ENOMEM: more than the host has (text says both figures) or not enough free huge pages
 * (text says how many are free and how to reserve them).
 */
int gmem_create(const struct gmem_config *cfg, struct err *e, struct gmem **ret);
/* Listeners still registered get their del calls first. NULL is allowed. */
void gmem_destroy(struct gmem *g);

/* Register @l (caller's memory) and call add for every region. On failure nothing is registered. */
int gmem_listen(struct gmem *g, struct gmem_listener *l, struct err *e);
/* Call del in reverse and forget @l. */
void gmem_unlisten(struct gmem *g, struct gmem_listener *l);

uint64_t gmem_size(const struct gmem *g);
/* End of RAM below 4 GiB, and end of all RAM (<= 4 GiB when there is none above). */
uint64_t gmem_low_end(const struct gmem *g);
uint64_t gmem_end(const struct gmem *g);
unsigned int gmem_regions(const struct gmem *g, const struct gmem_region **ret);

/* Host address of [gpa, gpa+len), which must lie in one region; else NULL. */
void *gmem_hva(const struct gmem *g, uint64_t gpa, uint64_t len);
/* Copy out of / into guest memory. -EFAULT: not RAM (nothing is copied). */
int gmem_read(const struct gmem *g, uint64_t gpa, void *buf, size_t len);
int gmem_write(const struct gmem *g, uint64_t gpa, const void *buf, size_t len);

/*
 * Back the RAM in [gpa, gpa+len) with huge pages now, where the kernel has them to give
 * (MADV_COLLAPSE, Linux 6.1; needs no system-wide setting). A hint: a guest's first touch, and a
 * KVM exit, then costs once per 2 MiB and not once per 4 KiB, but the memory is allocated at once.
 * Does nothing where the file gives huge pages by itself. Returns the bytes it worked for.
 */
uint64_t gmem_collapse(const struct gmem *g, uint64_t gpa, uint64_t len);

#endif
