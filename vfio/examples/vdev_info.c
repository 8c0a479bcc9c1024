// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Open a PCI function through VFIO and list its regions and interrupts: the smallest use of this
 * module, and a look at what an assigned device will offer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/bdf.h"
#include "vfio/vfio.h"

static const char *const region_names[] = {
	"BAR0", "BAR1", "BAR2", "BAR3", "BAR4", "BAR5", "ROM", "config", "VGA"};
static const char *const irq_names[] = {"INTx", "MSI", "MSI-X", "error", "request"};

static void regions_print(const struct vdev *d)
{
	struct vdev_region r;

	for (unsigned int i = 0; vdev_region(d, i, &r) == 0; i++) {
		if (!r.size)
			continue;
		printf("region %-7s size %#" PRIx64 " %s%s%s%s\n", region_names[i], r.size,
			r.readable ? "r" : "-", r.writable ? "w" : "-", r.mappable ? "m" : "-",
			r.msix_mappable ? " msix-mappable" : "");
		for (unsigned int a = 0; a < r.n_areas; a++)
			printf("  area [%#" PRIx64 ", %#" PRIx64 ")\n", r.areas[a].offset,
				r.areas[a].offset + r.areas[a].size);
	}
}

static void irqs_print(const struct vdev *d)
{
	struct vdev_irq q;

	for (unsigned int i = 0; vdev_irq(d, i, &q) == 0; i++) {
		if (q.count)
			printf("irq    %-7s count %u%s%s%s%s\n", irq_names[i], q.count,
				q.eventfd ? " eventfd" : "", q.maskable ? " maskable" : "",
				q.automasked ? " automasked" : "", q.noresize ? " noresize" : "");
	}
}

static void windows_print(const struct ioas *io)
{
	struct range_list w;

	if (ioas_windows(io, &w) < 0)
		return;
	for (size_t i = 0; i < w.n; i++)
		printf("window [%#" PRIx64 ", %#" PRIx64 ")\n", w.v[i].start, w.v[i].end);
	range_list_finish(&w);
}

int main(int argc, char **argv)
{
	struct sysfs sysfs = {-1};
	struct ioas *io = NULL;
	struct vdev *d = NULL;
	struct err e = {0};
	struct bdf b;
	uint8_t id[4];
	int r;

	if (argc != 2 || bdf_parse(argv[1], &b) < 0) {
		fprintf(stderr, "usage: viaduct-vdev-info DOMAIN:BUS:DEVICE.FUNCTION\n");
		return 2;
	}
	r = sysfs_open("/", &sysfs);
	if (r < 0)
		err_sys(&e, -r, "open /");
	if (r >= 0)
		r = ioas_create_type1(&vfio_sys_linux, &e, &io);
	if (r >= 0)
		r = vdev_open(io, &sysfs, b, NULL, &e, &d);
	if (r >= 0) {
		vdev_read(d, VFIO_PCI_CONFIG_REGION_INDEX, 0, id, sizeof(id));
		printf("device %s id %02x%02x:%02x%02x%s\n", argv[1], id[1], id[0], id[3], id[2],
			vdev_can_reset(d) ? " reset" : "");
		regions_print(d);
		irqs_print(d);
		windows_print(io);
	} else {
		fprintf(stderr, "viaduct-vdev-info: %s\n", e.text);
	}
	vdev_close(d);
	ioas_destroy(io);
	sysfs_close(&sysfs);
	return r < 0;
}
