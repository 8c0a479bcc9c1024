// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/layout.h"

/* AMD: DMA addresses here go to HyperTransport, not to memory (AMD IOMMU spec 3.07, table 3). */
#define HT_START 0xfd00000000ull
#define HT_END   0x10000000000ull

#define WINDOW_MAX (256ull << 30)
#define WINDOW_MIN (1ull << 30)

bool layout_pci_mmio64(uint64_t ram_end, unsigned int phys_bits, struct range *ret)
{
	uint64_t limit = 1ull << phys_bits;

	if (ram_end < LAYOUT_HIGH_RAM)
		ram_end = LAYOUT_HIGH_RAM;
	if (ram_end > HT_START && ram_end < HT_END)
		ram_end = HT_END;
	if (ram_end <= HT_START && limit > HT_START)
		limit = HT_START;
	for (uint64_t size = WINDOW_MAX; size >= WINDOW_MIN; size /= 2) {
		uint64_t start = (ram_end + size - 1) & ~(size - 1);

		if (start < limit && size <= limit - start) {
			*ret = (struct range){start, start + size};
			return true;
		}
	}
	return false;
}
