/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A peer's memory as it told us over vhost-user: a few regions, each at an address of the guest's
 * (gpa), one of the front end's (uva), and mapped here (hva). Whoever fills the table maps and unmaps;
 * nothing is followed here before it was found to lie inside.
 *
 * The table may be changed only while nobody translates.
 */
#ifndef VIADUCT_VSWITCH_VMEM_H
#define VIADUCT_VSWITCH_VMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define VMEM_REGIONS 8

struct vmem_region {
	uint64_t gpa, size, uva;
	uint8_t *hva;
};

struct vmem {
	unsigned int nr;
	struct vmem_region regions[VMEM_REGIONS];
};

/*
 * Add a region. Returns 0, -EINVAL (empty, wraps around, overlaps another one in gpa or uva) or
 * -ENOSPC (there are VMEM_REGIONS already).
 */
int vmem_add(struct vmem *mem, const struct vmem_region *region, struct err *e);

/* Take the region that begins at @gpa and @uva and has @size out, into *@ret. Returns 0 or -ENOENT. */
int vmem_del(struct vmem *mem, uint64_t gpa, uint64_t uva, uint64_t size, struct vmem_region *ret);

/*
 * Where [@gpa, @gpa + @len) begins, and in *@ret_len how many of those bytes lie there in one piece:
 * at least one, unless NULL is returned. @len is not 0.
 */
static inline uint8_t *vmem_gpa_part(
	const struct vmem *mem, uint64_t gpa, uint64_t len, uint64_t *ret_len)
{
	for (unsigned int i = 0; i < mem->nr; i++) {
		const struct vmem_region *r = &mem->regions[i];
		uint64_t offset = gpa - r->gpa;

		if (offset < r->size) {
			*ret_len = len < r->size - offset ? len : r->size - offset;
			return r->hva + offset;
		}
	}
	return NULL;
}

/* Where [@gpa, @gpa + @len) is, or NULL unless all of it lies inside one region. @len is not 0. */
static inline uint8_t *vmem_gpa(const struct vmem *mem, uint64_t gpa, uint64_t len)
{
	uint64_t part;
	uint8_t *hva = vmem_gpa_part(mem, gpa, len, &part);

	return hva && part == len ? hva : NULL;
}

/*
 * As vmem_gpa() where neighbours are mostly of one region: *@near is the one to look at first, which
 * becomes the one that @gpa is in. To begin with, vmem_nowhere(). It is good until the table changes.
 */
static inline uint8_t *vmem_gpa_near(
	const struct vmem *mem, const struct vmem_region **near, uint64_t gpa, uint64_t len)
{
	const struct vmem_region *r = *near;

	if (__builtin_expect(gpa - r->gpa >= r->size, 0)) {
		unsigned int i = 0;

		while (i < mem->nr && gpa - mem->regions[i].gpa >= mem->regions[i].size)
			i++;
		if (i == mem->nr)
			return NULL;
		*near = r = &mem->regions[i];
	}
	return len <= r->size - (gpa - r->gpa) ? r->hva + (gpa - r->gpa) : NULL;
}

static inline const struct vmem_region *vmem_nowhere(void)
{
	static const struct vmem_region nowhere;

	return &nowhere;
}

/* As vmem_gpa() for an address of the front end's, which is what rings are given by. */
uint8_t *vmem_uva(const struct vmem *mem, uint64_t uva, uint64_t len);

/*
 * Copy @len bytes at @gpa, through as many adjacent regions as it takes. Each byte is read once.
 * Returns 0, or -EFAULT when some of them are in no region; @to may then hold some bytes.
 */
int vmem_read(const struct vmem *mem, uint64_t gpa, void *to, size_t len);

#endif
