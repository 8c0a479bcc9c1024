// SPDX-License-Identifier: GPL-2.0-or-later
/* BARs: declaring them, following what the guest makes of them, trapped accesses. PCI 3.0 §6.2.5 */
#include <assert.h>
#include <inttypes.h>

#include "common/bytes.h"
#include "common/range.h"
#include "vmm/pci_internal.h"

#define BAR_IO        0x1u
#define BAR_64        0x4u
#define BAR_PREFETCH  0x8u
#define BAR_MEM_FLAGS 0xfu
#define BAR_IO_FLAGS  0x3u

/* Bits of the address a BAR register can hold, low half. */
static uint32_t bar_mask(enum pci_bar_kind kind, unsigned int bar, uint64_t size)
{
	uint32_t mask = (uint32_t) ~(size - 1);

	if (kind == PCI_BAR_IO)
		return mask & ~BAR_IO_FLAGS;
	if (bar == PCI_ROM)
		return mask & 0xfffff800;
	return mask & ~BAR_MEM_FLAGS;
}

void pci_func_bar(
	struct pci_func *f, unsigned int bar, enum pci_bar_kind kind, bool prefetch, uint64_t size)
{
	unsigned int reg = pci_bar_reg(bar);
	uint32_t mask = bar_mask(kind, bar, size), flags = 0;

	assert(!f->root && bar <= PCI_ROM && f->bar[bar].kind == PCI_BAR_NONE);
	assert(size && (size & (size - 1)) == 0);
	assert(size >= (kind == PCI_BAR_IO ? 4 : bar == PCI_ROM ? 2048 : 16));
	assert(kind == PCI_BAR_MEM64 || size <= 0x80000000u);
	assert(kind == PCI_BAR_MEM32 || bar != PCI_ROM);
	f->bar[bar] = (struct pci_bar){.kind = kind, .prefetch = prefetch, .size = size};
	switch (kind) {
	case PCI_BAR_IO:
		flags = BAR_IO;
		f->wmask[PCI_REG_COMMAND] |= PCI_COMMAND_IO;
		break;
	case PCI_BAR_MEM64:
		assert(bar + 1 < PCI_BARS && f->bar[bar + 1].kind == PCI_BAR_NONE);
		f->bar[bar + 1].kind = PCI_BAR_UPPER;
		flags = BAR_64;
		le_store(f->cfg + reg + 4, 4, 0);
		le_store(f->wmask + reg + 4, 4, (uint32_t)(~(size - 1) >> 32));
		__attribute__((fallthrough));
	case PCI_BAR_MEM32: f->wmask[PCI_REG_COMMAND] |= PCI_COMMAND_MEMORY; break;
	case PCI_BAR_NONE:
	case PCI_BAR_UPPER: assert(!"a BAR is I/O or memory");
	}
	if (prefetch)
		flags |= BAR_PREFETCH;
	if (bar == PCI_ROM) {
		flags = 0;
		mask |= PCI_ROM_ENABLE;
	}
	le_store(f->cfg + reg, 4, flags);
	le_store(f->wmask + reg, 4, mask);
}

uint64_t pci_bar_get(const struct pci_func *f, unsigned int bar)
{
	const struct pci_bar *b = &f->bar[bar];
	unsigned int reg = pci_bar_reg(bar);
	uint64_t addr = le_load(f->cfg + reg, 4) & bar_mask(b->kind, bar, b->size);

	if (b->kind == PCI_BAR_MEM64)
		addr |= le_load(f->cfg + reg + 4, 4) << 32;
	return addr;
}

void pci_bar_set(struct pci_func *f, unsigned int bar, uint64_t addr)
{
	const struct pci_bar *b = &f->bar[bar];
	unsigned int reg = pci_bar_reg(bar);
	uint32_t mask = bar_mask(b->kind, bar, b->size);

	assert(!(addr & (b->size - 1)));
	le_store(f->cfg + reg, 4,
		((uint32_t)le_load(f->cfg + reg, 4) & ~mask) | ((uint32_t)addr & mask));
	if (b->kind == PCI_BAR_MEM64)
		le_store(f->cfg + reg + 4, 4, addr >> 32);
}

bool pci_bar_touched(unsigned int off, unsigned int len)
{
	return pci_touches(off, len, PCI_REG_COMMAND, 1) ||
	       pci_touches(off, len, PCI_REG_BAR0, PCI_BARS * 4) ||
	       pci_touches(off, len, PCI_REG_ROM, 4);
}

uint64_t pci_bar_addr(const struct pci_func *f, unsigned int bar)
{
	return bar <= PCI_ROM ? __atomic_load_n(&f->bar[bar].addr, __ATOMIC_RELAXED) : 0;
}

/* ---- trapped accesses ---- */

static bool hits(uint64_t off, unsigned int len, uint64_t start, uint64_t size)
{
	return range_overlaps((struct range){off, off + len}, (struct range){start, start + size});
}

static bool hits_table(const struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len)
{
	return f->msix && bar == f->msix_table_bar &&
	       hits(off, len, f->msix_table_off, (uint64_t)f->msix_n * MSIX_ENTRY_SIZE);
}

static bool hits_pba(const struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len)
{
	return f->msix && bar == f->msix_pba_bar &&
	       hits(off, len, f->msix_pba_off, ((uint64_t)f->msix_n + 63) / 64 * 8);
}

/* An access that begins before the table wraps to a huge offset, which the table answers as odd. */
static uint64_t bar_bus_read(void *ctx, uint64_t off, unsigned int len)
{
	struct pci_bar *b = ctx;
	struct pci_func *f = b->func;
	unsigned int bar = (unsigned int)(b - f->bar);

	if (hits_table(f, bar, off, len))
		return msix_table_read(f->msix, off - f->msix_table_off, len);
	if (hits_pba(f, bar, off, len))
		return msix_pba_read(f->msix, off - f->msix_pba_off, len);
	return f->ops->bar_read ? f->ops->bar_read(f, bar, off, len) : ones(len);
}

static void bar_bus_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	struct pci_bar *b = ctx;
	struct pci_func *f = b->func;
	unsigned int bar = (unsigned int)(b - f->bar);

	if (hits_table(f, bar, off, len))
		msix_table_write(f->msix, off - f->msix_table_off, len, val);
	else if (!hits_pba(f, bar, off, len) && f->ops->bar_write)
		f->ops->bar_write(f, bar, off, len, val);
}

/* ---- decode ---- */

static bool bar_enabled(const struct pci_func *f, unsigned int bar)
{
	uint8_t command = f->cfg[PCI_REG_COMMAND];

	switch (f->bar[bar].kind) {
	case PCI_BAR_NONE:
	case PCI_BAR_UPPER: return false;
	case PCI_BAR_IO: return command & PCI_COMMAND_IO;
	case PCI_BAR_MEM32:
	case PCI_BAR_MEM64: break;
	}
	return command & PCI_COMMAND_MEMORY &&
	       (bar != PCI_ROM || f->cfg[PCI_REG_ROM] & PCI_ROM_ENABLE);
}

static bool bar_in_window(const struct pci_func *f, unsigned int bar, uint64_t addr)
{
	const struct pci_root_config *cfg = &f->root->cfg;
	struct range r;

	/* Address 0 is "does not decode" to us; PCI 3.0 §6.2.5.1 gives it no meaning. */
	if (!addr || !range_make(addr, f->bar[bar].size, &r))
		return false;
	if (f->bar[bar].kind == PCI_BAR_IO)
		return range_contains(cfg->pio_window, r);
	return range_contains(cfg->mmio32, r) || range_contains(cfg->mmio64, r);
}

/* Where the registers say @bar is, 0 when it does not decode. */
static uint64_t bar_wanted(const struct pci_func *f, unsigned int bar)
{
	uint64_t addr;

	if (!bar_enabled(f, bar))
		return 0;
	addr = pci_bar_get(f, bar);
	return bar_in_window(f, bar, addr) ? addr : 0;
}

/* All ones in either half: the guest asks for the size, which is no misbehaviour. */
static bool bar_sizing(const struct pci_func *f, unsigned int bar)
{
	unsigned int reg = pci_bar_reg(bar);

	for (unsigned int i = 0; i < (f->bar[bar].kind == PCI_BAR_MEM64 ? 2u : 1u); i++) {
		uint64_t mask = le_load(f->wmask + reg + i * 4, 4);

		if (mask && (le_load(f->cfg + reg + i * 4, 4) & mask) == mask)
			return true;
	}
	return false;
}

static struct bus *bar_bus(const struct pci_func *f, unsigned int bar)
{
	return f->bar[bar].kind == PCI_BAR_IO ? f->root->cfg.pio : f->root->cfg.mmio;
}

static void bar_unmap(struct pci_func *f, unsigned int bar)
{
	struct pci_bar *b = &f->bar[bar];
	uint64_t addr = b->addr;

	if (!addr)
		return;
	__atomic_store_n(&b->addr, 0, __ATOMIC_RELAXED);
	if (f->ops->bar_unmap)
		f->ops->bar_unmap(f, bar);
	bus_remove(bar_bus(f, bar), addr, b);
}

static void bar_map(struct pci_func *f, unsigned int bar, uint64_t addr)
{
	struct pci_bar *b = &f->bar[bar];
	struct bus_region r = {
		.base = addr,
		.size = b->size,
		.read = bar_bus_read,
		.write = bar_bus_write,
		.ctx = b,
		.name = f->name,
	};
	struct err e = {0};

	if (bus_add(bar_bus(f, bar), &r, &e) < 0) {
		log_guest(&f->root->limit, "%s: BAR %u at 0x%" PRIx64 " does not decode: %s",
			f->name, bar, addr, e.text);
		return;
	}
	__atomic_store_n(&b->addr, addr, __ATOMIC_RELAXED);
	if (f->ops->bar_map)
		f->ops->bar_map(f, bar, addr);
}

void pci_bars_unmap_stale(struct pci_func *f)
{
	for (unsigned int i = 0; i <= PCI_ROM; i++) {
		if (f->bar[i].addr && f->bar[i].addr != bar_wanted(f, i))
			bar_unmap(f, i);
	}
}

void pci_bars_map(struct pci_func *f)
{
	for (unsigned int i = 0; i <= PCI_ROM; i++) {
		uint64_t addr = bar_wanted(f, i);

		if (addr && !f->bar[i].addr) {
			bar_map(f, i, addr);
		} else if (!addr && bar_enabled(f, i) && !bar_sizing(f, i)) {
			__atomic_fetch_add(&f->root->refused, 1, __ATOMIC_RELAXED);
			log_guest(&f->root->limit,
				"%s: BAR %u at 0x%" PRIx64 ", outside the PCI windows, does not "
				"decode",
				f->name, i, pci_bar_get(f, i));
		}
	}
}

void pci_bars_unmap_all(struct pci_func *f)
{
	for (unsigned int i = 0; i <= PCI_ROM; i++)
		bar_unmap(f, i);
}
