// SPDX-License-Identifier: GPL-2.0-or-later
/* Giving BARs their first addresses, which is firmware's work where there is firmware. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "vmm/pci_internal.h"

#define PLACE_PAGE 4096u
#define PLACE_MAX  (PCI_DEVFNS * (PCI_BARS + 1))

struct want {
	struct pci_func *func;
	unsigned int bar;
	enum pci_bar_kind kind;
	uint64_t size; /* room it takes, which is also its alignment */
	uint64_t addr;
};

struct place {
	struct range_list mmio32, mmio64, pio; /* free */
	size_t n;
	struct want *want;
};

/* BARs with one window first, then those with a choice; largest first, for then nothing is lost. */
static int want_cmp(const void *a, const void *b)
{
	const struct want *x = a, *y = b;
	bool cx = x->kind == PCI_BAR_MEM64, cy = y->kind == PCI_BAR_MEM64;

	if (cx != cy)
		return cx - cy;
	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	if (x->func->devfn != y->func->devfn)
		return x->func->devfn - y->func->devfn;
	return (int)x->bar - (int)y->bar;
}

static void place_collect(struct place *p, struct pci_root *root)
{
	for (unsigned int d = 0; d < PCI_DEVFNS; d++) {
		struct pci_func *f = root->func[d];

		for (unsigned int i = 0; f && i <= PCI_ROM; i++) {
			const struct pci_bar *b = &f->bar[i];
			uint64_t size = b->size;

			if (b->kind == PCI_BAR_NONE || b->kind == PCI_BAR_UPPER)
				continue;
			/* So that it can be mapped directly without its neighbours. */
			if (b->kind != PCI_BAR_IO && size < PLACE_PAGE)
				size = PLACE_PAGE;
			p->want[p->n++] = (struct want){f, i, b->kind, size, 0};
		}
	}
	qsort(p->want, p->n, sizeof(*p->want), want_cmp);
}

/* Take the first aligned room from @free. -ENOSPC, -ENOMEM. */
static int place_take(struct range_list *free_list, struct want *w)
{
	for (size_t i = 0; i < free_list->n; i++) {
		struct range r = free_list->v[i], got;
		uint64_t start;

		if (__builtin_add_overflow(r.start, w->size - 1, &start))
			continue;
		start &= ~(w->size - 1);
		if (!range_make(start, w->size, &got) || !range_contains(r, got))
			continue;
		w->addr = start;
		return range_list_sub(free_list, got);
	}
	return -ENOSPC;
}

static int place_one(struct place *p, struct want *w)
{
	bool high = w->kind == PCI_BAR_MEM64 && w->func->bar[w->bar].prefetch;
	int r;

	if (w->kind == PCI_BAR_IO)
		return place_take(&p->pio, w);
	if (w->kind == PCI_BAR_MEM32)
		return place_take(&p->mmio32, w);
	r = place_take(high ? &p->mmio64 : &p->mmio32, w);
	return r == -ENOSPC ? place_take(high ? &p->mmio32 : &p->mmio64, w) : r;
}

/* The free room of a window: not its first page at 0, which means "no address" in a BAR. */
static int window_add(struct range_list *l, struct range r)
{
	if (r.start == 0 && r.end)
		r.start = r.end < PLACE_PAGE ? r.end : PLACE_PAGE;
	return range_list_add(l, r);
}

static int place_plan(struct place *p, struct pci_root *root, struct err *e)
{
	p->want = calloc(PLACE_MAX, sizeof(*p->want));
	if (!p->want || window_add(&p->mmio32, root->cfg.mmio32) < 0 ||
		window_add(&p->mmio64, root->cfg.mmio64) < 0 ||
		window_add(&p->pio, root->cfg.pio_window) < 0)
		return err_sys(e, ENOMEM, "place PCI BARs");
	place_collect(p, root);
	for (size_t i = 0; i < p->n; i++) {
		struct want *w = &p->want[i];
		int r = place_one(p, w);

		if (r == -ENOSPC)
			return err_set(e, ENOSPC,
				"%s (00:%02x.%u): no room in the PCI windows for BAR %u of %" PRIu64
				" bytes; assign fewer devices to this guest",
				w->func->name, w->func->devfn >> 3, w->func->devfn & 7, w->bar,
				w->func->bar[w->bar].size);
		if (r < 0)
			return err_sys(e, -r, "place PCI BARs");
	}
	return 0;
}

static void place_apply(struct place *p, struct pci_root *root)
{
	for (struct pci_func *f = root->last; f; f = f->next)
		pci_bars_unmap_all(f);
	for (size_t i = 0; i < p->n; i++)
		pci_bar_set(p->want[i].func, p->want[i].bar, p->want[i].addr);
	/* Through the ordinary write, so that an assigned device's own enable bits follow. */
	for (unsigned int d = 0; d < PCI_DEVFNS; d++) {
		struct pci_func *f = root->func[d];
		uint8_t on = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;

		if (f && !f->gone)
			pci_func_write(f, PCI_REG_COMMAND, 2,
				(le_load(f->cfg + PCI_REG_COMMAND, 2) & ~PCI_COMMAND_MASTER) |
					(f->wmask[PCI_REG_COMMAND] & on));
	}
}

int pci_root_place(struct pci_root *root, struct err *e)
{
	struct place p = {0};
	int r;

	pthread_mutex_lock(&root->lock);
	r = place_plan(&p, root, e);
	if (r == 0)
		place_apply(&p, root);
	pthread_mutex_unlock(&root->lock);
	range_list_finish(&p.mmio32);
	range_list_finish(&p.mmio64);
	range_list_finish(&p.pio);
	free(p.want);
	return r;
}
