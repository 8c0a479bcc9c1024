// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * passthrough/ against a real kernel: what passthrough.sh runs in the lab. A VM without a guest gets
 * the function A, and this program does what firmware and a driver would do: place BARs, read and
 * write config space, set MSI-X up, reboot. Says "ok: ..." per check.
 *   passthrough_probe A
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/pci_regs.h>

#include "common/cleanup.h"
#include "passthrough/internal.h"

#define RAM  (64ull << 20)
#define SLOT 0x18

struct probe {
	struct sysfs sysfs;
	struct ioas *io;
	struct vm *vm;
	struct dma_map *dma;
	struct assigned *a;
	struct bdf bdf;
	struct err e;
	int failed;
};

static void check(struct probe *p, bool ok, const char *what)
{
	printf("%s: %s%s%s\n", ok ? "ok" : "FAILED", what, ok ? "" : ": ", ok ? "" : p->e.text);
	p->failed |= !ok;
}

static uint32_t get(struct probe *p, unsigned int off, unsigned int len)
{
	return pci_cfg_read(p->vm->pci, 0, SLOT, off, len);
}

static void set(struct probe *p, unsigned int off, unsigned int len, uint32_t val)
{
	pci_cfg_write(p->vm->pci, 0, SLOT, off, len, val);
}

static void start(struct probe *p)
{
	const struct vm_config cfg = {.name = "probe", .cpus = 1, .mem = {.size = RAM}};

	p->vm = NULL;
	if (vm_create(&cfg, &p->e, &p->vm) < 0 ||
		ioas_create_type1(&vfio_sys_linux, &p->e, &p->io) < 0 ||
		assigned_add(p->vm, p->io, &p->sysfs, p->bdf, SLOT, &p->e, &p->a) < 0 ||
		dma_map_create(p->io, p->vm->mem, &p->e, &p->dma) < 0 ||
		pci_root_place(p->vm->pci, &p->e) < 0) {
		fprintf(stderr, "passthrough_probe: %s\n", p->e.text);
		exit(1);
	}
}

static void stop(struct probe *p)
{
	struct ioas *io = p->io;

	dma_map_destroy(p->dma);
	vm_destroy(p->vm);
	ioas_destroy(io);
}

static int fds_open(void)
{
	_cleanup_dir_ DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	return n;
}

static unsigned int cap_find(struct probe *p, uint8_t id)
{
	unsigned int off = get(p, PCI_CAPABILITY_LIST, 1);

	for (int i = 0; off && i < 48; i++, off = get(p, off + 1, 1)) {
		if (get(p, off, 1) == id)
			return off;
	}
	return 0;
}

static void probe_config(struct probe *p)
{
	unsigned int exp = cap_find(p, PCI_CAP_ID_EXP), off = 0x100;
	bool ari = false;

	check(p, get(p, PCI_VENDOR_ID, 4) == 0x10ca8086, "the ids are the VF's");
	check(p, get(p, PCI_CLASS_REVISION, 4) >> 8 == 0x020000, "it is an Ethernet controller");
	check(p, get(p, PCI_INTERRUPT_PIN, 1) == 0, "it has no interrupt pin");
	check(p,
		exp && (get(p, exp + PCI_EXP_FLAGS, 2) & PCI_EXP_FLAGS_TYPE) == PCI_EXP_TYPE_RC_END
											<< 4,
		"it is a root complex integrated endpoint");
	check(p, exp && get(p, exp + PCI_EXP_LNKCAP, 4) == 0, "it has no link");
	for (int i = 0; off && i < 100; i++, off = PCI_EXT_CAP_NEXT(get(p, off, 4)))
		ari |= PCI_EXT_CAP_ID(get(p, off, 4)) == PCI_EXT_CAP_ID_ARI;
	check(p, !ari && PCI_EXT_CAP_ID(get(p, 0x100, 4)) == PCI_EXT_CAP_ID_ERR,
		"ARI is hidden, error reporting is shown");
	set(p, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	check(p,
		get(p, PCI_COMMAND, 2) == (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER) &&
			dev_cfg_read(p->a, PCI_COMMAND, 2) & PCI_COMMAND_MASTER,
		"bus mastering is turned on in the device");
}

static void probe_bars(struct probe *p)
{
	uint64_t bar0 = pci_bar_addr(&p->a->func, 0);
	uint32_t status = 0;

	check(p, bar0 && p->a->bar[0].n_pieces == 1 && p->a->bar[0].piece[0].slot >= 0,
		"BAR 0 is one memory slot");
	check(p, p->a->bar[3].n_pieces == 2 && p->a->bar[3].piece[0].off == 0x1000,
		"BAR 3 is mapped around table and pending bits");
	vdev_read(p->a->dev, 0, 8, &status, 4);
	check(p, (uint32_t)bus_read(p->vm->mmio, bar0 + 8, 4) == status,
		"its status register is read through the trap");
	set(p, PCI_COMMAND, 2, 0);
	check(p, p->a->bar[0].piece[0].slot < 0, "the slot goes with memory decode");
	set(p, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	check(p, p->a->bar[0].piece[0].slot >= 0, "and comes back");
}

static void msix_set(struct probe *p, unsigned int i, bool masked)
{
	uint64_t at = pci_bar_addr(&p->a->func, 3) + i * PCI_MSIX_ENTRY_SIZE;

	bus_write(p->vm->mmio, at, 4, 0xfee00000);
	bus_write(p->vm->mmio, at + 8, 4, 0x40 + i);
	bus_write(p->vm->mmio, at + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, masked);
}

static void probe_msix(struct probe *p)
{
	unsigned int cap = cap_find(p, PCI_CAP_ID_MSIX);
	uint64_t pba = pci_bar_addr(&p->a->func, 3) + 0x2000;
	struct assigned_stats st = {0};

	msix_set(p, 0, false);
	set(p, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	msix_set(p, 1, true);
	msix_set(p, 1, false);
	assigned_stats(p->a, &st);
	check(p, st.vectors_armed == 2, "two vectors are armed");
	msix_set(p, 1, true);
	check(p,
		vdev_irq_fire(p->a->dev, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, &p->e) == 0 &&
			bus_read(p->vm->mmio, pba, 8) == 2,
		"a masked vector that fires is pending");
	msix_set(p, 1, false);
	check(p, bus_read(p->vm->mmio, pba, 8) == 0, "and delivered when unmasked");
	set(p, cap + PCI_MSIX_FLAGS, 2, 0);
	assigned_stats(p->a, &st);
	check(p, st.vectors_armed == 0, "they are disarmed");
}

static void probe_reset(struct probe *p)
{
	unsigned int exp = cap_find(p, PCI_CAP_ID_EXP), cap = cap_find(p, PCI_CAP_ID_MSIX);

	set(p, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	if (get(p, exp + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR) {
		set(p, exp + PCI_EXP_DEVCTL, 2,
			get(p, exp + PCI_EXP_DEVCTL, 2) | PCI_EXP_DEVCTL_BCR_FLR);
		check(p, get(p, cap + PCI_MSIX_FLAGS, 2) == 2 && p->a->vec.armed == 0,
			"MSI-X is off after the guest's function-level reset");
		check(p, p->a->bar[0].piece[0].slot >= 0, "and BAR 0 still decodes");
	}
	set(p, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	pci_root_reset(p->vm->pci);
	check(p,
		p->a->vec.armed == 0 && p->a->bar[0].piece[0].slot < 0 &&
			!(dev_cfg_read(p->a, PCI_COMMAND, 2) & PCI_COMMAND_MASTER),
		"a reboot leaves it quiet");
	check(p, pci_root_place(p->vm->pci, &p->e) == 0 && p->a->bar[0].piece[0].slot >= 0,
		"and placing the BARs brings it back");
}

/* What a hostile guest does; the host's log is looked at by the script. */
static void probe_garbage(struct probe *p)
{
	for (uint32_t round = 0, val = 0xffffffff; round < 4;
		round++, val = val * 2654435761u + 1) {
		for (unsigned int off = 0; off < PCI_CFG_SIZE; off += 4)
			set(p, off, 4, val);
		for (unsigned int off = 0; off < 0x4000; off += 4)
			bus_write(p->vm->mmio, pci_bar_addr(&p->a->func, 3) + off, 4, val);
	}
	check(p, get(p, PCI_VENDOR_ID, 4) == 0x10ca8086, "it survives garbage");
}

int main(int argc, char **argv)
{
	struct probe p = {0};
	int before;

	if (argc != 2 || bdf_parse(argv[1], &p.bdf) < 0 || sysfs_open("/", &p.sysfs) < 0)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	start(&p);
	probe_config(&p);
	probe_bars(&p);
	probe_msix(&p);
	probe_reset(&p);
	probe_garbage(&p);
	stop(&p);
	before = fds_open();
	for (int i = 0; i < 20; i++) {
		start(&p);
		stop(&p);
	}
	check(&p, fds_open() == before, "20 assign and release rounds leave no fd");
	sysfs_close(&p.sysfs);
	return p.failed;
}
