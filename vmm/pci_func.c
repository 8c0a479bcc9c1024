// SPDX-License-Identifier: GPL-2.0-or-later
/* One function's config space: header, capabilities, reads and writes. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "vmm/layout.h"
#include "vmm/pci_internal.h"

#define CAP_FIRST 0x40u
#define CAP_END   0x100u
#define CAP_MAX   48u /* capabilities of 4 bytes that fit: bounds the walk of the chain */

#define CAP_ID_MSI  0x05u
#define CAP_ID_MSIX 0x11u

/* MSI-X capability, PCIe 5.0 §7.7.2. */
#define MSIX_CAP_SIZE  12u
#define MSIX_REG_CTL   2u
#define MSIX_REG_TABLE 4u
#define MSIX_REG_PBA   8u
#define MSIX_CTL_WRITE 0xc000u /* enable, function mask */

/* MSI capability, PCIe 5.0 §7.7.1: its layout depends on two bits of the control word. */
#define MSI_REG_CTL    2u
#define MSI_REG_ADDR   4u
#define MSI_CTL_ENABLE 0x0001u
#define MSI_CTL_MME(c) ((c) >> 4 & 7u)
#define MSI_CTL_MME_W  0x0070u
#define MSI_CTL_64     0x0080u
#define MSI_CTL_MASK   0x0100u

struct msi_layout {
	unsigned int data, mask, pending, size; /* mask 0 = none */
};

static struct msi_layout msi_layout(uint16_t ctl)
{
	unsigned int data = ctl & MSI_CTL_64 ? 12 : 8;

	if (ctl & MSI_CTL_MASK)
		return (struct msi_layout){data, data + 4, data + 8, data + 12};
	return (struct msi_layout){data, 0, 0, data + 2};
}

static uint16_t cfg16(const struct pci_func *f, unsigned int off)
{
	return (uint16_t)le_load(f->cfg + off, 2);
}

static uint32_t cfg32(const struct pci_func *f, unsigned int off)
{
	return (uint32_t)le_load(f->cfg + off, 4);
}

/* ---- building ---- */

void pci_func_init(struct pci_func *f, const struct pci_func_ops *ops, const char *name,
	const struct pci_ids *ids)
{
	memset(f, 0, sizeof(*f));
	f->ops = ops;
	f->name = name;
	f->cap_end = CAP_FIRST;
	memset(f->emu, 0xff, sizeof(f->emu));
	le_store(f->cfg + PCI_REG_ID, 2, ids->vendor);
	le_store(f->cfg + PCI_REG_ID + 2, 2, ids->device);
	f->cfg[PCI_REG_REVISION] = ids->revision;
	le_store(f->cfg + PCI_REG_CLASS, 3, ids->class_code);
	le_store(f->cfg + PCI_REG_SUBSYSTEM, 2, ids->sub_vendor);
	le_store(f->cfg + PCI_REG_SUBSYSTEM + 2, 2, ids->sub_device);
	le_store(f->wmask + PCI_REG_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
	le_store(f->w1c + PCI_REG_STATUS, 2, PCI_STATUS_ERRORS);
	f->wmask[PCI_REG_CACHE_LINE] = 0xff;
	f->wmask[PCI_REG_IRQ_LINE] = 0xff;
}

unsigned int pci_func_cap(struct pci_func *f, uint8_t id, unsigned int len)
{
	unsigned int off = f->cap_end, link = PCI_REG_CAPS;

	assert(len >= 2);
	if (len > CAP_END - off)
		return 0;
	for (unsigned int i = 0; i < CAP_MAX && f->cfg[link]; i++)
		link = (f->cfg[link] & ~3u) + 1;
	f->cfg[link] = (uint8_t)off;
	f->cfg[off] = id;
	f->cfg[off + 1] = 0;
	f->cfg[PCI_REG_STATUS] |= PCI_STATUS_CAPS;
	f->cap_end = (off + len + 3) & ~3u;
	return off;
}

/* [off, off + size) lies in a memory BAR. */
static bool bar_holds(const struct pci_func *f, unsigned int bar, uint64_t off, uint64_t size)
{
	if (bar >= PCI_BARS ||
		(f->bar[bar].kind != PCI_BAR_MEM32 && f->bar[bar].kind != PCI_BAR_MEM64))
		return false;
	return off <= f->bar[bar].size && size <= f->bar[bar].size - off;
}

int pci_func_msix(struct pci_func *f, struct irq_router *r, unsigned int cap_off, unsigned int n,
	unsigned int table_bar, uint64_t table_off, unsigned int pba_bar, uint64_t pba_off,
	const struct msi_ops *ops, struct err *e)
{
	uint64_t table = (uint64_t)n * MSIX_ENTRY_SIZE, pba = ((uint64_t)n + 63) / 64 * 8;
	int ret;

	assert(!f->msix && !f->root);
	if (!bar_holds(f, table_bar, table_off, table) || !bar_holds(f, pba_bar, pba_off, pba) ||
		(table_off | pba_off) & 7 || table_off > UINT32_MAX || pba_off > UINT32_MAX)
		return err_set(e, EINVAL,
			"%s: MSI-X table of %u entries at offset 0x%llx of BAR %u, pending bits at "
			"0x%llx of BAR %u: they must lie in a memory BAR, aligned to 8 bytes",
			f->name, n, (unsigned long long)table_off, table_bar,
			(unsigned long long)pba_off, pba_bar);
	ret = msix_create(r, f->devfn, n, ops, e, &f->msix);
	if (ret < 0)
		return err_wrap(e, ret, "%s", f->name);
	if (!cap_off)
		cap_off = pci_func_cap(f, CAP_ID_MSIX, MSIX_CAP_SIZE);
	if (!cap_off || cap_off > CAP_END - MSIX_CAP_SIZE) {
		msix_destroy(f->msix);
		f->msix = NULL;
		return err_set(e, ENOSPC, "%s: no room for an MSI-X capability", f->name);
	}
	f->msix_cap = (uint16_t)cap_off;
	f->msix_n = n;
	f->msix_table_bar = table_bar;
	f->msix_table_off = table_off;
	f->msix_pba_bar = pba_bar;
	f->msix_pba_off = pba_off;
	le_store(f->cfg + cap_off + MSIX_REG_CTL, 2, n - 1);
	le_store(f->cfg + cap_off + MSIX_REG_TABLE, 4, table_off | table_bar);
	le_store(f->cfg + cap_off + MSIX_REG_PBA, 4, pba_off | pba_bar);
	memset(f->emu + cap_off + 2, 0xff, MSIX_CAP_SIZE - 2);
	memset(f->wmask + cap_off + 2, 0, MSIX_CAP_SIZE - 2);
	memset(f->w1c + cap_off + 2, 0, MSIX_CAP_SIZE - 2);
	le_store(f->wmask + cap_off + MSIX_REG_CTL, 2, MSIX_CTL_WRITE);
	return 0;
}

int pci_func_msi(struct pci_func *f, struct irq_router *r, unsigned int cap_off, unsigned int n,
	const struct msi_ops *ops, struct err *e)
{
	uint16_t ctl = MSI_CTL_64 | MSI_CTL_MASK;
	struct msi_layout at;
	int ret;

	assert(!f->msi && !f->root);
	ret = msi_create(r, f->devfn, n, ops, e, &f->msi);
	if (ret < 0)
		return err_wrap(e, ret, "%s", f->name);
	if (!cap_off)
		cap_off = pci_func_cap(f, CAP_ID_MSI, msi_layout(ctl).size);
	else if (cap_off <= CAP_END - 4)
		ctl = cfg16(f, cap_off + MSI_REG_CTL) & (MSI_CTL_64 | MSI_CTL_MASK);
	at = msi_layout(ctl);
	if (!cap_off || cap_off > CAP_END - at.size) {
		msi_destroy(f->msi);
		f->msi = NULL;
		return err_set(e, ENOSPC, "%s: no room for an MSI capability", f->name);
	}
	f->msi_cap = (uint16_t)cap_off;
	memset(f->cfg + cap_off + 2, 0, at.size - 2);
	memset(f->emu + cap_off + 2, 0xff, at.size - 2);
	memset(f->wmask + cap_off + 2, 0, at.size - 2);
	memset(f->w1c + cap_off + 2, 0, at.size - 2);
	ctl |= (uint16_t)(__builtin_ctz(n) << 1);
	le_store(f->cfg + cap_off + MSI_REG_CTL, 2, ctl);
	le_store(f->wmask + cap_off + MSI_REG_CTL, 2, MSI_CTL_ENABLE | MSI_CTL_MME_W);
	le_store(f->wmask + cap_off + MSI_REG_ADDR, 4, 0xfffffffc);
	if (ctl & MSI_CTL_64)
		le_store(f->wmask + cap_off + MSI_REG_ADDR + 4, 4, 0xffffffff);
	le_store(f->wmask + cap_off + at.data, 2, 0xffff);
	if (at.mask)
		le_store(f->wmask + cap_off + at.mask, 4, n == 32 ? UINT32_MAX : (1u << n) - 1);
	return 0;
}

/* ---- accesses ---- */

/* Config operations take aligned accesses only: two bytes in the middle of a dword become two. */
static uint32_t hw_read(struct pci_func *f, unsigned int off, unsigned int len)
{
	uint32_t val = 0;

	if (!f->ops->cfg_read)
		return 0;
	if (!(off & (len - 1)))
		return f->ops->cfg_read(f, off, len);
	for (unsigned int i = 0; i < len; i++)
		val |= (f->ops->cfg_read(f, off + i, 1) & 0xff) << (i * 8);
	return val;
}

static void hw_write(struct pci_func *f, unsigned int off, unsigned int len, uint32_t val)
{
	if (!f->ops->cfg_write)
		return;
	if (!(off & (len - 1))) {
		f->ops->cfg_write(f, off, len, val);
		return;
	}
	for (unsigned int i = 0; i < len; i++)
		f->ops->cfg_write(f, off + i, 1, val >> (i * 8) & 0xff);
}

/* Pending bits change by themselves: bring them into cfg before it is read. */
static void msi_refresh(struct pci_func *f, unsigned int off, unsigned int len)
{
	struct msi_layout at;

	if (!f->msi)
		return;
	at = msi_layout(cfg16(f, f->msi_cap + MSI_REG_CTL));
	if (at.mask && pci_touches(off, len, f->msi_cap + at.pending, 4))
		le_store(f->cfg + f->msi_cap + at.pending, 4, msi_pending(f->msi));
}

uint32_t pci_func_read(struct pci_func *f, unsigned int off, unsigned int len)
{
	uint32_t emu = (uint32_t)le_load(f->emu + off, len), val;

	msi_refresh(f, off, len);
	val = (uint32_t)le_load(f->cfg + off, len) & emu;
	if (emu != ones(len))
		val |= hw_read(f, off, len) & ~emu & (uint32_t)ones(len);
	return val;
}

/* The capability may be written in any order and width: look at all of it each time. */
static void msi_sync(struct pci_func *f)
{
	unsigned int cap = f->msi_cap;
	uint16_t ctl = cfg16(f, cap + MSI_REG_CTL);
	struct msi_layout at = msi_layout(ctl);
	uint64_t addr = cfg32(f, cap + MSI_REG_ADDR);

	if (ctl & MSI_CTL_64)
		addr |= (uint64_t)cfg32(f, cap + MSI_REG_ADDR + 4) << 32;
	msi_update(f->msi, ctl & MSI_CTL_ENABLE, addr, cfg16(f, cap + at.data),
		1u << MSI_CTL_MME(ctl), at.mask ? cfg32(f, cap + at.mask) : 0);
}

void pci_func_write(struct pci_func *f, unsigned int off, unsigned int len, uint32_t val)
{
	bool bars = pci_bar_touched(off, len);

	for (unsigned int i = 0; i < len; i++) {
		uint8_t b = (uint8_t)(val >> (i * 8)), *c = &f->cfg[off + i];
		uint8_t w = f->wmask[off + i];

		*c = (uint8_t)(((*c & ~w) | (b & w)) & ~(b & f->w1c[off + i]));
	}
	if (bars)
		pci_bars_unmap_stale(f);
	/* The device must not see its enable bit before the vectors are armed. */
	if (f->msix && pci_touches(off, len, f->msix_cap + MSIX_REG_CTL, 2))
		msix_control(f->msix, cfg16(f, f->msix_cap + MSIX_REG_CTL));
	if (f->msi && pci_touches(off, len, f->msi_cap,
			      msi_layout(cfg16(f, f->msi_cap + MSI_REG_CTL)).size))
		msi_sync(f);
	hw_write(f, off, len, val);
	if (bars)
		pci_bars_map(f);
}

void pci_func_reset(struct pci_func *f)
{
	pci_bars_unmap_all(f);
	if (f->msix)
		msix_reset(f->msix);
	if (f->msi)
		msi_reset(f->msi);
	memcpy(f->cfg, f->power_on, sizeof(f->cfg));
	if (f->ops->reset)
		f->ops->reset(f);
}

unsigned int pci_intx_gsi(uint8_t devfn, unsigned int pin)
{
	return LAYOUT_GSI_INTX + ((devfn >> 3) + pin - 1) % LAYOUT_GSI_INTX_N;
}
