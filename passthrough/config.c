// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Config space of an assigned device: which bits are ours, which are the device's, and which of a
 * guest's writes reach it. Everything is taken from the config region VFIO offers, nothing from the
 * hardware: for a VF the kernel supplies IDs, BAR sizes and the memory enable bit that the hardware
 * does not have (PCIe SR-IOV 1.1 §3.4).
 *
 * Reads: ours where f->emu says so, else the device's. Writes: only to the bits in cfg->pass, so a
 * register nobody here knows is read-only. The kernel guards the header and the capabilities it
 * knows with permission bits of its own, but lets any write through to bytes that belong to no
 * capability (drivers/vfio/pci/vfio_pci_config.c, unassigned_perms); vendors put windows onto their
 * registers there, and a window onto the MSI-X table is a way around the one rule that matters.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "passthrough/caps.h"
#include "passthrough/internal.h"

/* PCI_COMMAND bits a guest may set; the others do not exist in PCIe or do nothing there. */
#define COMMAND_BITS                                                                     \
	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | \
		PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)
/* PCI_STATUS error bits, cleared by writing 1. */
#define STATUS_W1C 0xf900u

/* The header, PCIe 5.0 §7.5.1. What is not listed reads 0. */
static const struct {
	uint8_t off, len;
	enum span_policy policy;
} header[] = {
	{PCI_VENDOR_ID, 4, SPAN_FIXED},
	{PCI_STATUS, 2, SPAN_SHOW},
	{PCI_CLASS_REVISION, 4, SPAN_FIXED},
	{PCI_CACHE_LINE_SIZE, 1, SPAN_PASS},
	{PCI_LATENCY_TIMER, 1, SPAN_PASS},
	/* Header type 0 and no multifunction bit: it is alone in its slot whatever it was. */
	/* BARs: bars.c. */
	{PCI_SUBSYSTEM_VENDOR_ID, 4, SPAN_FIXED},
	/* Interrupt line and pin: intx.c. */
	{PCI_MIN_GNT, 2, SPAN_FIXED},
};

uint32_t dev_cfg_read(struct assigned *a, unsigned int off, unsigned int len)
{
	uint8_t buf[4] = {0xff, 0xff, 0xff, 0xff};
	int r = vdev_read(a->dev, VFIO_PCI_CONFIG_REGION_INDEX, off, buf, len);

	if (r < 0)
		a->cfg_errno = -r;
	return (uint32_t)le_load(buf, len);
}

int dev_cfg_write(const struct assigned *a, unsigned int off, unsigned int len, uint32_t val)
{
	uint8_t buf[4];

	le_store(buf, len, val);
	return vdev_write(a->dev, VFIO_PCI_CONFIG_REGION_INDEX, off, buf, len);
}

void config_span(struct assigned *a, unsigned int off, unsigned int len, enum span_policy policy)
{
	struct pci_func *f = &a->func;

	for (unsigned int i = off; i < off + len && i < PCI_CFG_SIZE; i++) {
		f->cfg[i] = f->wmask[i] = f->w1c[i] = 0;
		f->emu[i] = policy == SPAN_HIDE || policy == SPAN_FIXED ? 0xff : 0;
		a->cfg.pass[i] = policy == SPAN_PASS ? 0xff : 0;
		if (policy == SPAN_FIXED)
			f->cfg[i] = (uint8_t)dev_cfg_read(a, i, 1);
	}
}

static void command_set(struct assigned *a, uint16_t command)
{
	int r = dev_cfg_write(a, PCI_COMMAND, 2, command);

	if (r < 0)
		log_guest(&a->limit, "%s: COMMAND = %#x: %s", a->name, command, strerror(-r));
	else
		a->cfg.command = command;
}

bool config_decode(struct assigned *a, uint16_t bits)
{
	if ((a->cfg.command & bits) != bits)
		command_set(a, a->cfg.command | bits);
	return (a->cfg.command & bits) == bits;
}

void config_quiesce(struct assigned *a)
{
	command_set(a, 0);
}

static void header_init(struct assigned *a)
{
	struct pci_func *f = &a->func;

	config_span(a, 0, PCI_STD_HEADER_SIZEOF, SPAN_HIDE);
	for (size_t i = 0; i < ARRAY_SIZE(header); i++)
		config_span(a, header[i].off, header[i].len, header[i].policy);
	/* pci_func_bar() adds the decode bits the device's BARs need. */
	le_store(&f->wmask[PCI_COMMAND], 2, COMMAND_BITS & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
	/* No INTx to report unless intx.c finds a pin; the capability bit goes with our chain, caps.c. */
	f->emu[PCI_STATUS] = PCI_STATUS_INTERRUPT | PCI_STATUS_CAP_LIST;
	le_store(&a->cfg.pass[PCI_STATUS], 2, STATUS_W1C);
	f->wmask[PCI_INTERRUPT_LINE] = 0xff;
}

int config_init(struct assigned *a, struct err *e)
{
	uint32_t id = dev_cfg_read(a, PCI_VENDOR_ID, 4);
	uint8_t type = (uint8_t)dev_cfg_read(a, PCI_HEADER_TYPE, 1);
	struct vdev_region region;
	int r;

	/* A VF's ids come from the kernel also when the device is dead; its header does not. */
	if ((uint16_t)id == 0xffff || type == 0xff || dev_cfg_read(a, PCI_STATUS, 2) == 0xffff)
		return err_set(e, EIO,
			"%s: the device does not answer (config space reads all ones): it is "
			"powered "
			"off or gone; reset its slot or rescan the bus",
			a->name);
	if ((type & 0x7f) != PCI_HEADER_TYPE_NORMAL)
		return err_set(e, ENXIO, "%s: header type %#x: only endpoints can be assigned",
			a->name, type & 0x7f);
	r = vdev_region(a->dev, VFIO_PCI_CONFIG_REGION_INDEX, &region);
	if (r < 0 || region.size < PCI_STD_HEADER_SIZEOF)
		return err_set(e, EPROTO, "%s: VFIO offers no config space", a->name);
	a->cfg.size = region.size < 256 ? PCI_STD_HEADER_SIZEOF : region.size < 4096 ? 256 : 4096;

	header_init(a);
	config_span(a, PCI_STD_HEADER_SIZEOF, PCI_CFG_SIZE - PCI_STD_HEADER_SIZEOF, SPAN_SHOW);
	config_span(a, a->cfg.size, PCI_CFG_SIZE - a->cfg.size, SPAN_HIDE);
	r = caps_init(a, e);
	if (r < 0)
		return r;
	if (a->cfg_errno)
		return err_sys(e, a->cfg_errno, "%s: read its config space through VFIO", a->name);
	config_quiesce(a);
	return 0;
}

uint32_t config_read(struct assigned *a, unsigned int off, unsigned int len)
{
	bool ours = true;

	for (unsigned int i = 0; i < len; i++)
		ours &= a->func.emu[off + i] == 0xff;
	if (ours)
		return 0;
	atomic_fetch_add_explicit(&a->cfg_accesses, 1, memory_order_relaxed);
	return dev_cfg_read(a, off, len);
}

static bool touches(unsigned int off, unsigned int len, unsigned int reg, unsigned int reg_len)
{
	return off < reg + reg_len && reg < off + len;
}

/* Byte @reg of the value written at @off; only when it is inside. */
static uint8_t byte_of(unsigned int off, uint32_t val, unsigned int reg)
{
	return (uint8_t)(val >> (8 * (reg - off)));
}

/*
 * The function-level reset the guest asked for has happened inside the write: the kernel carries it
 * out and restores the header and the armed interrupts. To the guest MSI and MSI-X are off after it
 * (PCIe 5.0 §6.6.2), so they go off for good.
 */
static void config_flr(struct assigned *a)
{
	const struct config_cap *cap[] = {&a->cfg.msi, &a->cfg.msix};
	struct pci_func *f = &a->func;

	for (size_t c = 0; c < ARRAY_SIZE(cap); c++) {
		for (unsigned int i = cap[c]->off; i < cap[c]->off + cap[c]->len; i++)
			f->cfg[i] &= (uint8_t)~f->wmask[i];
	}
	if (f->msi)
		msi_reset(f->msi);
	if (f->msix)
		msix_reset(f->msix);
	vectors_reset(a);
}

/* Pass on each run of bytes that the policy lets through. */
static bool config_forward(struct assigned *a, unsigned int off, unsigned int len, uint32_t val)
{
	const uint8_t *pass = &a->cfg.pass[off];
	unsigned int end;
	bool any = false;

	for (unsigned int i = 0; i < len; i = end) {
		uint32_t run = 0;

		end = i + 1;
		if (!pass[i])
			continue;
		for (end = i; end < len && pass[end]; end++)
			run |= (uint32_t)(byte_of(0, val, end) & pass[end]) << (8 * (end - i));
		/* 3 bytes are no bus access. */
		if (end - i == 3)
			end--, run &= 0xffff;
		dev_cfg_write(a, off + i, end - i, run);
		any = true;
	}
	return any;
}

static void config_power(struct assigned *a, bool before, uint32_t val)
{
	uint32_t state = before ? byte_of(0, val, 0) : dev_cfg_read(a, a->cfg.pmcsr, 2);

	state &= PCI_PM_CTRL_STATE_MASK;
	/* The kernel takes BAR mappings away in D3hot, and a vCPU that then touched one would get
	 * an error out of KVM_RUN: no slot may be left when it goes there. */
	if (before && state == 3)
		bars_suspend(a, true);
	else if (!before)
		bars_suspend(a, state == 3);
}

void config_write(struct assigned *a, unsigned int off, unsigned int len, uint32_t val)
{
	struct config *c = &a->cfg;
	bool power = c->pmcsr && touches(off, len, c->pmcsr, 1), any = false;

	if (touches(off, len, PCI_COMMAND, 2)) {
		/* Our own copy took the write already. */
		uint16_t command = (uint16_t)le_load(&a->func.cfg[PCI_COMMAND], 2) & COMMAND_BITS;

		/* First: what the kernel signals as it unmasks INTx comes once and must be taken. */
		intx_command(a, command);
		command_set(a, command);
		any = true;
	}
	if (power)
		config_power(a, true, byte_of(off, val, c->pmcsr));
	any |= config_forward(a, off, len, val);
	if (power)
		config_power(a, false, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(c->flr); i++) {
		if (c->flr[i].off && touches(off, len, c->flr[i].off, 1) &&
			byte_of(off, val, c->flr[i].off) & c->flr[i].bit)
			config_flr(a);
	}
	if (any)
		atomic_fetch_add_explicit(&a->cfg_accesses, 1, memory_order_relaxed);
}
