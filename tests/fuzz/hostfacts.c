// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the isolation verdict reads of a host: reserved regions, command line, /proc/interrupts, kernel
 * log. Text made from facts must give them back; text with bytes changed, or any other, must not
 * crash, and a line of /proc/interrupts never be taken for remapped by what comes after its chip.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vf-manager/group.h"
#include "vf-manager/hostfacts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool held, const char *text)
{
	if (held)
		return;
	fprintf(stderr, "text: %s\n", text);
	abort();
}

static void regions(const uint8_t *data)
{
	static const char *const types[] = {"direct", "direct-relaxable", "reserved", "msi"};
	struct vfm_regions g = {0};
	unsigned want[4] = {0};
	char text[1024];
	uint64_t at = 0;
	size_t n = 0;

	for (unsigned i = 0; i < data[0] % 10u; i++) {
		unsigned type = data[i + 1] % 4u;

		n += (size_t)snprintf(text + n, sizeof(text) - n,
			"0x%016" PRIx64 " 0x%016" PRIx64 " %s\n", at, at + data[i + 2],
			types[type]);
		at += 0x100000000ull * (data[i + 3] + 1u);
		want[type]++;
	}
	text[n] = '\0';
	check(vfm_regions_parse(text, &g) == 0, text);
	check(g.direct == want[0] && g.relaxable == want[1] && g.reserved == want[2] &&
			g.msi == want[3],
		text);
}

/* @data as text of one line, without what would end it. */
static void tail_make(const uint8_t *data, size_t size, char *to, size_t max)
{
	size_t n = 0;

	for (; n < size && n + 1 < max; n++)
		to[n] = (char)(data[n] == '\n' || data[n] == '\0' ? ' ' : data[n]);
	to[n] = '\0';
}

static void interrupts(const uint8_t *data, size_t size)
{
	char text[2048], tail[512];
	struct irq_facts f;
	unsigned cpus = data[0] % 8u + 1;
	bool remapped = data[1] & 1;
	size_t n = 0;

	tail_make(data + 2, size - 2, tail, sizeof(tail));
	for (unsigned i = 0; i < cpus; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "  CPU%u", i);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "\n 24: ");
	for (unsigned i = 0; i < cpus; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %u", data[i]);
	n += (size_t)snprintf(
		text + n, sizeof(text) - n, " %sPCI-MSI %s\n", remapped ? "IR-" : "", tail);
	interrupts_parse(text, n, &f);
	check(f.remapped == (remapped ? 1 : 0), text);
	check(f.plain <= (remapped ? 0 : 1), text);
	interrupts_parse((const char *)data, size, &f);
}

static void words(const uint8_t *data, size_t size)
{
	struct cmdline_facts f;
	char text[1024], tail[512];

	tail_make(data + 1, size - 1, tail, sizeof(tail));
	snprintf(text, sizeof(text), "%s%s -- %s",
		data[0] & 1 ? "pcie_acs_override=downstream " : "",
		data[0] & 2 ? "intel_iommu=off" : "quiet", tail);
	cmdline_parse(text, &f);
	check(f.acs_override == (data[0] & 1), text);
	check(!*f.iommu_off == !(data[0] & 2), text);
	cmdline_parse(tail, &f);
	check(f.unsafe_noiommu >= -1 && f.unsafe_noiommu <= 1, tail);
	vfm_regions_parse(tail, &(struct vfm_regions){0});
	release_parse(tail);
	switch_parse(tail);
	check(klog_line_text(tail) == NULL || strlen(klog_line_text(tail)) <= strlen(tail), tail);
	check(!vfm_driver_manages_no_dma(tail) || strlen(tail) < VFM_NAME_MAX, tail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 16)
		return 0;
	regions(data);
	interrupts(data, size);
	words(data, size);
	return 0;
}
