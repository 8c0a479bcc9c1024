// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lines of /proc/interrupts. One made from fields must give those fields back; any other text must
 * not crash, and gives no more than fits, with addresses that can be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passthrough/host_irqs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int held, const char *line)
{
	if (held)
		return;
	fprintf(stderr, "line: %s\n", line);
	abort();
}

static void sane(const char *line)
{
	struct host_irq got[HOST_IRQ_SHARED];
	unsigned int n = host_irq_parse(line, got);

	check(n <= HOST_IRQ_SHARED, line);
	for (unsigned int i = 0; i < n; i++)
		check(got[i].bdf.dev < 32 && got[i].bdf.fn < 8 && got[i].kind <= HOST_IRQ_MSIX &&
				(got[i].kind != HOST_IRQ_INTX || !got[i].index),
			line);
}

static void made(const uint8_t *data)
{
	static const char *const kind[] = {"intx", "msi", "msix"};
	const struct bdf b = {0, data[0], data[1] & 0x1f, data[2] & 7};
	unsigned int k = data[3] % 3, irq = data[4] << 8 | data[5], index = k ? data[6] : 0;
	struct host_irq got[HOST_IRQ_SHARED];
	char line[256], name[BDF_STRLEN], number[16] = "";

	if (k)
		snprintf(number, sizeof(number), "[%u]", index);
	snprintf(line, sizeof(line), "%3u: %8u %8u  IR-PCI-MSI 1-edge  vfio-%s%s(%s)\n", irq,
		(unsigned int)data[7], (unsigned int)data[8], kind[k], number, bdf_format(b, name));
	check(host_irq_parse(line, got) == 1, line);
	check(bdf_equal(got[0].bdf, b) && got[0].kind == (enum host_irq_kind)k &&
			got[0].irq == irq && got[0].index == index &&
			got[0].count == (uint64_t)data[7] + data[8],
		line);
	line[data[9] % strlen(line)] = (char)data[10];
	sane(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[512];

	if (size < 11)
		return 0;
	made(data);
	size = size < sizeof(line) ? size : sizeof(line) - 1;
	memcpy(line, data, size);
	line[size] = '\0';
	sane(line);
	return 0;
}
