// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * BARs of an assigned device. What the kernel lets us map goes into the guest as memory slots, so
 * that the guest reaches the registers without an exit; the rest is trapped and passed on through
 * the device fd: I/O ports, the ROM, and the pages that hold the MSI-X table or its pending bits.
 *
 * The table and the pending bits themselves are vmm's (pci_func_msix()) and never the device's: an
 * access that touches them goes nowhere from here, also one that only overlaps their edge.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "passthrough/internal.h"

#define MEM_MIN   16u
#define IO_MIN    4u
#define ROM_MIN   2048u
#define MEM32_MAX 0x80000000u

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* May the kernel's answer be shown as a BAR of this kind? PCI 3.0 §6.2.5.1. */
static bool size_ok(unsigned int bar, enum pci_bar_kind kind, uint64_t size)
{
	if (!size || size & (size - 1))
		return false;
	switch (kind) {
	case PCI_BAR_IO: return size >= IO_MIN && size <= 0x10000;
	case PCI_BAR_MEM32:
		return size >= (bar == PCI_ROM ? ROM_MIN : MEM_MIN) && size <= MEM32_MAX;
	case PCI_BAR_MEM64: return size >= MEM_MIN && bar + 1 < PCI_BARS;
	case PCI_BAR_NONE:
	case PCI_BAR_UPPER: break;
	}
	return false;
}

static enum pci_bar_kind kind_of(uint32_t reg)
{
	if (reg & PCI_BASE_ADDRESS_SPACE_IO)
		return PCI_BAR_IO;
	if ((reg & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64)
		return PCI_BAR_MEM64;
	return PCI_BAR_MEM32;
}

static int bar_init(struct assigned *a, unsigned int i, struct err *e)
{
	struct bar *b = &a->bar[i];
	enum pci_bar_kind kind = PCI_BAR_MEM32;
	uint32_t reg = 0;
	uint64_t size;

	if (i != PCI_ROM) {
		reg = dev_cfg_read(a, PCI_BASE_ADDRESS_0 + i * 4, 4);
		kind = kind_of(reg);
	}
	size = b->region.size;
	/* ROM images need not fill a power of two; a BAR must. */
	if (i == PCI_ROM && size < MEM32_MAX) {
		for (size = ROM_MIN; size < b->region.size;)
			size <<= 1;
	}
	if (!size_ok(i, kind, size))
		return err_set(e, EPROTO,
			"%s: the kernel describes BAR %u as %#" PRIx64
			" bytes of kind %#x, which no BAR can be",
			a->name, i, b->region.size, reg & 0xf);
	b->io = kind == PCI_BAR_IO;
	/* The kernel lets a smaller BAR be mapped only when the rest of its page is nobody's; the
	 * guest must leave that rest alone as well, or the mapping would cover a neighbour. */
	if (!b->io && b->region.n_areas && size < page_size())
		size = page_size();
	pci_func_bar(&a->func, i, kind,
		i != PCI_ROM && !b->io && reg & PCI_BASE_ADDRESS_MEM_PREFETCH, size);
	return 0;
}

int bars_init(struct assigned *a, struct err *e)
{
	int r;

	_Static_assert(PCI_ROM == VFIO_PCI_ROM_REGION_INDEX, "BAR numbers are region numbers");
	for (unsigned int i = 0; i <= PCI_ROM; i++) {
		struct bar *b = &a->bar[i];

		if (vdev_region(a->dev, i, &b->region) < 0 || !b->region.size)
			continue;
		if (a->func.bar[i].kind != PCI_BAR_NONE)
			return err_set(e, EPROTO,
				"%s: the kernel gives a size to BAR %u, the upper half of BAR %u",
				a->name, i, i - 1);
		r = bar_init(a, i, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- pieces ---- */

/* The pages of @b that may be mapped: the kernel's areas without the pages of the holes. */
static int pages_find(const struct bar *b, struct range_list *ret)
{
	uint64_t page = page_size();
	struct range r;
	int err;

	for (unsigned int i = 0; i < b->region.n_areas; i++) {
		const struct vdev_area *a = &b->region.areas[i];

		r.start = (a->offset + page - 1) & -page;
		r.end = a->offset + a->size;
		/* The rest of a BAR's last page is reserved for it by the kernel. */
		r.end = r.end == b->region.size ? (r.end + page - 1) & -page : r.end & -page;
		if (r.start >= r.end)
			continue;
		err = range_list_add(ret, r);
		if (err < 0)
			return err;
	}
	for (size_t i = 0; i < ARRAY_SIZE(b->hole); i++) {
		if (b->hole[i].start == b->hole[i].end)
			continue;
		r.start = b->hole[i].start & -page;
		r.end = (b->hole[i].end + page - 1) & -page;
		err = range_list_sub(ret, r);
		if (err < 0)
			return err;
	}
	return 0;
}

static void bar_mmap(struct assigned *a, unsigned int i)
{
	_cleanup_(range_list_finish) struct range_list pages = {0};
	struct bar *b = &a->bar[i];
	struct err e = {0};

	/* Each piece is an exit saved and nothing more: without it the guest is slower. */
	if (pages_find(b, &pages) < 0) {
		log_warn("%s: BAR %u is trapped: no memory", a->name, i);
		return;
	}
	for (size_t k = 0; k < pages.n && b->n_pieces < BAR_MAX_PIECES; k++) {
		struct range r = pages.v[k];
		struct bar_piece *p = &b->piece[b->n_pieces];
		uint64_t len = range_size(r);

		/* vdev_region_mmap() rounds up to pages, its bounds are the region's. */
		if (r.end > b->region.size)
			len = b->region.size - r.start;
		if (vdev_region_mmap(a->dev, i, r.start, len, &e, &p->hva) < 0) {
			log_warn("%s: part of BAR %u is trapped, which is slower: %s", a->name, i,
				e.text);
			continue;
		}
		p->off = r.start;
		p->size = range_size(r);
		p->slot = -1;
		b->n_pieces++;
	}
}

void bars_mmap(struct assigned *a)
{
	for (unsigned int i = 0; i <= PCI_ROM; i++) {
		if (a->bar[i].region.size && !a->bar[i].io && a->bar[i].region.mappable)
			bar_mmap(a, i);
	}
}

/* ---- slots ---- */

static void slots_take(struct assigned *a, struct bar *b)
{
	for (unsigned int k = b->n_pieces; k-- > 0;) {
		struct bar_piece *p = &b->piece[k];

		if (p->slot >= 0)
			slots_del(a->host.slots, (unsigned int)p->slot);
		p->slot = -1;
	}
}

static void slots_give(struct assigned *a, unsigned int i)
{
	struct bar *b = &a->bar[i];

	for (unsigned int k = 0; k < b->n_pieces; k++) {
		struct bar_piece *p = &b->piece[k];
		struct err e = {0};
		unsigned int slot;

		if (p->slot >= 0)
			continue;
		/* A guest may put BARs over each other, or out of slots: then they are trapped. */
		if (slots_add(a->host.slots, b->gpa + p->off, p->size, p->hva, &e, &slot) < 0)
			log_guest(&a->limit, "%s: BAR %u at %#" PRIx64 " is trapped: %s", a->name,
				i, b->gpa, e.text);
		else
			p->slot = (int)slot;
	}
}

void bars_map(struct assigned *a, unsigned int bar, uint64_t gpa)
{
	struct bar *b = &a->bar[bar];
	/* With decode off in the device a mapped BAR is an error out of KVM_RUN at first touch. */
	bool decodes = config_decode(a, b->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);

	b->gpa = gpa;
	if (decodes && !a->suspended)
		slots_give(a, bar);
}

void bars_unmap(struct assigned *a, unsigned int bar)
{
	slots_take(a, &a->bar[bar]);
	a->bar[bar].gpa = 0;
}

void bars_suspend(struct assigned *a, bool suspend)
{
	if (a->suspended == suspend)
		return;
	a->suspended = suspend;
	for (unsigned int i = 0; i <= PCI_ROM; i++) {
		if (suspend)
			slots_take(a, &a->bar[i]);
		else if (a->bar[i].gpa)
			slots_give(a, i);
	}
}

void bars_finish(struct assigned *a)
{
	for (unsigned int i = 0; i <= PCI_ROM; i++) {
		struct bar *b = &a->bar[i];

		slots_take(a, b);
		while (b->n_pieces) {
			struct bar_piece *p = &b->piece[--b->n_pieces];

			vdev_region_munmap(a->dev, p->hva, p->size);
		}
	}
}

/* ---- trapped accesses ---- */

static bool device_has(const struct bar *b, uint64_t off, unsigned int len)
{
	struct range r;

	/* The BAR of the guest may be larger than the region, see bar_init(). */
	if (!range_make(off, len, &r) || r.end > b->region.size)
		return false;
	return !range_overlaps(r, b->hole[0]) && !range_overlaps(r, b->hole[1]);
}

uint64_t bars_read(struct assigned *a, unsigned int bar, uint64_t off, unsigned int len)
{
	uint64_t val = ones(len);
	uint8_t buf[8];

	if (bar > PCI_ROM || !device_has(&a->bar[bar], off, len))
		return val;
	atomic_fetch_add_explicit(&a->bar_accesses, 1, memory_order_relaxed);
	pthread_rwlock_rdlock(&a->gate);
	if (a->dev) {
		vdev_read(a->dev, bar, off, buf, len);
		val = le_load(buf, len);
	}
	pthread_rwlock_unlock(&a->gate);
	return val;
}

void bars_write(struct assigned *a, unsigned int bar, uint64_t off, unsigned int len, uint64_t val)
{
	uint8_t buf[8];

	if (bar >= PCI_ROM || !device_has(&a->bar[bar], off, len))
		return;
	atomic_fetch_add_explicit(&a->bar_accesses, 1, memory_order_relaxed);
	le_store(buf, len, val);
	pthread_rwlock_rdlock(&a->gate);
	if (a->dev)
		vdev_write(a->dev, bar, off, buf, len);
	pthread_rwlock_unlock(&a->gate);
}
