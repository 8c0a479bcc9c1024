// SPDX-License-Identifier: GPL-2.0-or-later
/* Devices whose config space says something untrue. One line per known device, with its source. */
#include "common/cleanup.h"
#include "passthrough/internal.h"

static const struct quirk quirks[] = {
	/* T4, T5 and T6 virtual functions; QEMU hw/vfio/pci.c, vfio_msix_early_setup(). */
	{0x1425, 0x5800, 0xff00, true, 0x1000,
		"Chelsio VFs name a PBA offset beyond the end of their 8 KiB BAR"},
	/* KUNLUN AI processor VF; same source. */
	{0x1d22, 0x3685, 0xffff, true, 0xb400,
		"Baidu KUNLUN VFs name a PBA offset beyond the end of their BAR"},
};

const struct quirk *quirk_find(uint16_t vendor, uint16_t device)
{
	for (size_t i = 0; i < ARRAY_SIZE(quirks); i++) {
		if (quirks[i].vendor == vendor &&
			quirks[i].device == (device & quirks[i].device_mask))
			return &quirks[i];
	}
	return NULL;
}
