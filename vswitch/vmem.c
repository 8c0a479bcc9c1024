// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vswitch/vmem.h"

static bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

int vmem_add(struct vmem *mem, const struct vmem_region *region, struct err *e)
{
	/* No end may be 0, so that sums need no care elsewhere. */
	if (!region->size || !region->hva || region->gpa + region->size < region->size ||
		region->uva + region->size < region->size ||
		(uintptr_t)region->hva + region->size < region->size)
		return err_set(e, EINVAL,
			"memory region at 0x%" PRIx64 " of 0x%" PRIx64
			" bytes: empty or wraps around",
			region->gpa, region->size);
	for (unsigned int i = 0; i < mem->nr; i++) {
		const struct vmem_region *r = &mem->regions[i];

		if (ranges_overlap(r->gpa, r->size, region->gpa, region->size) ||
			ranges_overlap(r->uva, r->size, region->uva, region->size))
			return err_set(e, EINVAL,
				"memory region at 0x%" PRIx64 " of 0x%" PRIx64
				" bytes: overlaps the one at 0x%" PRIx64,
				region->gpa, region->size, r->gpa);
	}
	if (mem->nr == VMEM_REGIONS)
		return err_set(e, ENOSPC, "more than %d memory regions", VMEM_REGIONS);
	mem->regions[mem->nr++] = *region;
	return 0;
}

int vmem_del(struct vmem *mem, uint64_t gpa, uint64_t uva, uint64_t size, struct vmem_region *ret)
{
	for (unsigned int i = 0; i < mem->nr; i++) {
		struct vmem_region *r = &mem->regions[i];

		if (r->gpa != gpa || r->uva != uva || r->size != size)
			continue;
		*ret = *r;
		mem->nr--;
		memmove(r, r + 1, (mem->nr - i) * sizeof(*r));
		return 0;
	}
	return -ENOENT;
}

uint8_t *vmem_uva(const struct vmem *mem, uint64_t uva, uint64_t len)
{
	for (unsigned int i = 0; i < mem->nr; i++) {
		const struct vmem_region *r = &mem->regions[i];
		uint64_t offset = uva - r->uva;

		if (offset < r->size)
			return len <= r->size - offset ? r->hva + offset : NULL;
	}
	return NULL;
}

int vmem_read(const struct vmem *mem, uint64_t gpa, void *to, size_t len)
{
	uint8_t *p = to;

	while (len) {
		uint64_t part;
		const uint8_t *hva = vmem_gpa_part(mem, gpa, len, &part);

		if (!hva)
			return -EFAULT;
		memcpy(p, hva, part);
		p += part;
		gpa += part;
		len -= part;
	}
	return 0;
}
