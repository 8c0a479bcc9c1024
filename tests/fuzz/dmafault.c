// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kernel log lines about DMA faults. A line made from fields must give those fields back; a line
 * with one byte changed, or any other text, must not crash and never give an impossible address.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dmafault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool held, const char *line)
{
	if (held)
		return;
	fprintf(stderr, "line: %s\n", line);
	abort();
}

/* The line the kernel prints for @f: drivers/iommu/intel/dmar.c, drivers/iommu/amd/iommu.c. */
static void print(const struct dma_fault *f, bool amd, char *line, size_t size)
{
	char b[BDF_STRLEN];

	if (amd)
		snprintf(line, size,
			"vfio-pci %s: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000c "
			"address=0x%" PRIx64 " flags=0x%04x]",
			bdf_format(f->bdf, b), f->iova, f->reason);
	else if (f->interrupt)
		snprintf(line, size,
			"DMAR: [INTR-REMAP] Request device [%02x:%02x.%u] fault index 0x%" PRIx64
			" [fault reason 0x%02x] Blocked",
			f->bdf.bus, f->bdf.dev, f->bdf.fn, f->iova, f->reason);
	else
		snprintf(line, size,
			"DMAR: [DMA %s NO_PASID] Request device [%02x:%02x.%u] fault addr "
			"0x%" PRIx64 " [fault reason 0x%02x] PTE",
			f->write ? "Write" : "Read", f->bdf.bus, f->bdf.dev, f->bdf.fn, f->iova,
			f->reason);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dma_fault f, got;
	char line[512];
	bool amd;

	if (size < 16)
		return 0;
	amd = data[0] & 1;
	f = (struct dma_fault){
		.bdf = {amd ? data[1] : 0, data[2], data[3] & 0x1f, data[4] & 7},
		.reason = data[5],
	};
	memcpy(&f.iova, data + 6, sizeof(f.iova));
	f.interrupt = !amd && data[14] & 1;
	f.write = amd ? f.reason & 0x20 : !f.interrupt && data[14] & 2;
	print(&f, amd, line, sizeof(line));
	check(dma_fault_parse(line, &got), line);
	check(bdf_equal(got.bdf, f.bdf) && got.iova == f.iova && got.write == f.write &&
			got.interrupt == f.interrupt && got.reason == f.reason,
		line);

	for (size_t i = 15; i + 1 < size; i += 2)
		line[data[i] % strlen(line)] = (char)(data[i + 1] ? data[i + 1] : 'x');
	if (dma_fault_parse(line, &got))
		check(got.bdf.dev < 32 && got.bdf.fn < 8, line);

	size = size < sizeof(line) ? size : sizeof(line) - 1;
	memcpy(line, data, size);
	line[size] = '\0';
	if (dma_fault_parse(line, &got))
		check(got.bdf.dev < 32 && got.bdf.fn < 8, line);
	return 0;
}
