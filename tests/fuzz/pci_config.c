// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Config accesses against a model: registers read as a table of writable bits says, whatever the
 * way in and the width; a BAR decodes exactly where command, registers and windows say; map and
 * unmap alternate; the bus is answered by the BAR that came first; MSI and MSI-X are armed while
 * enabled, and KVM has the vectors that the capability's bytes ask for.
 */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/fakes/irq_recorder.h"
#include "tests/fuzz/fuzz_check.h"
#include "vmm/layout.h"
#include "vmm/pci.h"

#define FUNCS 3
#define HIGH  0x800000000ull
#define HW    0xc0u /* a dword of function 1 that is the device's but for its low byte */

/* Where things are: written down by hand, not taken from the code under test. */
struct bar {
	unsigned int bar, reg;
	enum pci_bar_kind kind;
	bool prefetch;
	uint64_t size;
};

static const struct bar bars[FUNCS][4] = {
	{{0, 0x10, PCI_BAR_MEM32, false, 0x4000}, {1, 0x14, PCI_BAR_IO, false, 0x20},
		{2, 0x18, PCI_BAR_MEM64, true, 0x10000}, {6, 0x30, PCI_BAR_MEM32, false, 0x800}},
	{{0, 0x10, PCI_BAR_MEM64, false, 0x100000}, {5, 0x24, PCI_BAR_MEM32, true, 0x100}},
	{{3, 0x1c, PCI_BAR_IO, false, 0x100}, {4, 0x20, PCI_BAR_MEM64, true, 0x100000000}},
};

static const uint8_t devfns[FUNCS] = {0x08, 0x09, 0x18};

/* PCI 3.0 §6.8.1: {control at 2, address 4, 8, data 12, mask 16, pending 20}, both at 0x40. */
enum { MSIX_FUNC = 0, MSI_FUNC = 1, CAP = 0x40, MSI_PENDING = 0x54, MSIX_N = 5, MSI_N = 4 };

struct func {
	struct pci_func f;
	struct world *w;
	unsigned int index;
	uint32_t value[64], writable[64], initial[64]; /* the model, first 256 bytes */
	uint8_t hw[PCI_CFG_SIZE];
	uint64_t mapped[PCI_BARS + 1]; /* 0 = not */
	unsigned int since[PCI_BARS + 1];
	bool armed;
};

struct world {
	struct bus *mmio, *pio;
	struct irq_recorder rec;
	struct irq_router *router;
	struct pci_root *root;
	struct func *func[FUNCS];
	uint32_t cf8;
	unsigned int clock, alive;
	const uint8_t *data;
	size_t left;
};

static struct func *func_of(struct pci_func *f)
{
	return (struct func *)f;
}

/* ---- the device's side ---- */

static uint32_t on_cfg_read(struct pci_func *f, unsigned int off, unsigned int len)
{
	uint32_t v = 0;

	CHECK(off % len == 0 && off + len <= PCI_CFG_SIZE);
	memcpy(&v, func_of(f)->hw + off, len);
	return v;
}

static void on_cfg_write(struct pci_func *f, unsigned int off, unsigned int len, uint32_t val)
{
	CHECK(off % len == 0 && off + len <= PCI_CFG_SIZE);
	memcpy(func_of(f)->hw + off, &val, len);
}

static uint64_t on_bar_read(struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len)
{
	CHECK(off + len <= f->bar[bar].size);
	return func_of(f)->index << 4 | bar;
}

static void on_bar_write(
	struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len, uint64_t val)
{
	CHECK(off + len <= f->bar[bar].size);
}

static void on_bar_map(struct pci_func *f, unsigned int bar, uint64_t addr)
{
	struct func *d = func_of(f);

	CHECK(addr && !d->mapped[bar]);
	d->mapped[bar] = addr;
	d->since[bar] = d->w->clock++;
}

static void on_bar_unmap(struct pci_func *f, unsigned int bar)
{
	CHECK(func_of(f)->mapped[bar]);
	func_of(f)->mapped[bar] = 0;
}

static void on_reset(struct pci_func *f)
{
	CHECK(!func_of(f)->armed);
	memset(func_of(f)->hw, 0, PCI_CFG_SIZE);
}

static void on_destroy(struct pci_func *f)
{
	struct func *d = func_of(f);

	CHECK(!d->armed);
	for (unsigned int i = 0; i <= PCI_BARS; i++)
		CHECK(!d->mapped[i]);
	d->w->alive--;
	free(d);
}

static int on_arm(void *ctx, unsigned int count, const int *fds)
{
	struct func *d = ctx;

	CHECK(d->index == MSIX_FUNC || !d->armed);
	d->armed = true;
	return 0;
}

static void on_disarm(void *ctx)
{
	struct func *d = ctx;

	CHECK(d->armed);
	d->armed = false;
}

static const struct pci_func_ops ops = {
	.cfg_read = on_cfg_read,
	.cfg_write = on_cfg_write,
	.bar_read = on_bar_read,
	.bar_write = on_bar_write,
	.bar_map = on_bar_map,
	.bar_unmap = on_bar_unmap,
	.reset = on_reset,
	.destroy = on_destroy,
};

/* ---- the model ---- */

static void model_build(struct func *d)
{
	uint32_t *v = d->initial, *w = d->writable;

	v[0] = 0x56781234;
	v[1] = 0x00100000;
	v[2] = 0x02000001;
	w[1] = 0x404;
	w[3] = 0xff;
	w[15] = 0xff;
	if (d->index < 2)
		v[3] = 0x00800000;
	for (unsigned int i = 0; i < 4 && bars[d->index][i].size; i++) {
		const struct bar *b = &bars[d->index][i];
		unsigned int r = b->reg / 4;

		w[1] |= b->kind == PCI_BAR_IO ? 1 : 2;
		w[r] = (uint32_t)(0 - b->size);
		if (b->kind == PCI_BAR_MEM64)
			w[r + 1] = (uint32_t)((0 - b->size) >> 32);
		if (b->bar == 6)
			w[r] |= 1;
		else
			v[r] = (b->kind == PCI_BAR_IO) | (b->kind == PCI_BAR_MEM64) << 2 |
			       b->prefetch << 3;
	}
	if (d->index == MSIX_FUNC) {
		v[13] = CAP;
		v[CAP / 4] = 0x00000011 | (MSIX_N - 1) << 16;
		w[CAP / 4] = 0xc0000000;
		v[CAP / 4 + 1] = 0x1000;
		v[CAP / 4 + 2] = 0x2000;
	} else if (d->index == MSI_FUNC) {
		v[13] = CAP;
		v[CAP / 4] = 0x01840005;
		w[CAP / 4] = 0x00710000;
		w[CAP / 4 + 1] = 0xfffffffc;
		w[CAP / 4 + 2] = 0xffffffff;
		w[CAP / 4 + 3] = 0xffff;
		w[CAP / 4 + 4] = 0xf;
		w[HW / 4] = 0xf0;
	} else {
		v[1] = 0;
	}
	memcpy(d->value, d->initial, sizeof(d->value));
}

static uint32_t model_dword(const struct func *d, unsigned int reg)
{
	uint32_t v = d->value[reg / 4], hw;

	if (d->index != MSI_FUNC || reg != HW)
		return v;
	memcpy(&hw, d->hw + HW, 4);
	return (hw & 0xffffff00) | (v & 0xff);
}

static uint32_t model_read(const struct func *d, unsigned int off, unsigned int len)
{
	uint32_t v;

	if (off % 4 + len > 4)
		return len == 4 ? ~0u : (1u << len * 8) - 1;
	v = (off < 256 ? model_dword(d, off & ~3u) : 0) >> (off % 4 * 8);
	return len == 4 ? v : v & ((1u << len * 8) - 1);
}

static void model_write(struct func *d, unsigned int off, unsigned int len, uint32_t v)
{
	uint32_t mask = len == 4 ? ~0u : (1u << len * 8) - 1;

	if (off % 4 + len > 4 || off >= 256)
		return;
	mask = mask << off % 4 * 8 & d->writable[off / 4];
	d->value[off / 4] = (d->value[off / 4] & ~mask) | (v << off % 4 * 8 & mask);
}

static bool inside(uint64_t addr, uint64_t size, uint64_t start, uint64_t end)
{
	return addr >= start && addr < end && size <= end - addr;
}

static uint64_t model_addr(const struct func *d, const struct bar *b)
{
	uint64_t addr = d->value[b->reg / 4] & (0 - b->size);

	if (b->kind == PCI_BAR_MEM64)
		addr |= (uint64_t)d->value[b->reg / 4 + 1] << 32;
	if (b->kind == PCI_BAR_IO)
		return d->value[1] & 1 && inside(addr, b->size, 0xc000, 0x10000) ? addr : 0;
	if (!(d->value[1] & 2) || (b->bar == 6 && !(d->value[b->reg / 4] & 1)))
		return 0;
	return inside(addr, b->size, 0xc0000000, 0xe0000000) ||
			       inside(addr, b->size, HIGH, HIGH + 0x300000000)
		       ? addr
		       : 0;
}

/* ---- side by side ---- */

/* The BAR that should answer at @addr, as on_bar_read() says it; ~0 when none does. */
static uint64_t model_answer(const struct world *w, uint64_t addr, unsigned int len, bool io)
{
	unsigned int first = ~0u;
	uint64_t answer = ~0ull;

	for (unsigned int i = 0; i < FUNCS; i++) {
		for (unsigned int j = 0; j < 4 && bars[i][j].size; j++) {
			const struct bar *b = &bars[i][j];
			uint64_t at = w->func[i]->mapped[b->bar];

			if (!at || io != (b->kind == PCI_BAR_IO) || addr < at ||
				addr - at >= b->size || w->func[i]->since[b->bar] >= first)
				continue;
			first = w->func[i]->since[b->bar];
			answer = addr - at + len <= b->size ? i << 4 | b->bar : ~0ull;
		}
	}
	return answer;
}

static void compare_bars(struct world *w, struct func *d)
{
	for (unsigned int j = 0; j < 4 && bars[d->index][j].size; j++) {
		const struct bar *b = &bars[d->index][j];
		uint64_t at = model_addr(d, b), got;
		bool io = b->kind == PCI_BAR_IO;

		CHECK(d->mapped[b->bar] == at);
		CHECK(pci_bar_addr(&d->f, b->bar) == at);
		if (!at)
			continue;
		at += b->size - 4;
		got = bus_read(io ? w->pio : w->mmio, at, 4);
		CHECK(got == (model_answer(w, at, 4, io) & 0xffffffff));
	}
}

static void compare_msi(struct world *w, const struct func *d)
{
	const uint32_t *v = &d->value[CAP / 4];
	unsigned int mme = v[0] >> 20 & 7, count = 1u << (mme > 2 ? 2 : mme), n = 0;
	bool valid = v[1] >> 20 == 0xfee && !v[2];

	CHECK(d->armed == (v[0] >> 16 & 1));
	for (unsigned int i = 0; d->armed && valid && i < count; i++)
		n += !(v[4] >> i & 1);
	CHECK(w->rec.n_attached == n);
	for (unsigned int i = 0; i < n; i++) {
		const struct irq_msi *m = &w->rec.route[w->rec.attached[i].gsi];

		CHECK(m->addr == v[1]);
		CHECK((m->data & ~(count - 1)) == (v[3] & ~(count - 1)));
		CHECK(!(v[4] >> (m->data & (count - 1)) & 1));
	}
}

static void compare(struct world *w)
{
	for (unsigned int i = 0; i < FUNCS; i++) {
		struct func *d = w->func[i];

		for (unsigned int off = 0; off < 256; off += 4) {
			uint32_t v = pci_cfg_read(w->root, 0, devfns[i], off, 4);

			/* Only what is masked can be pending. */
			if (i == MSI_FUNC && off == MSI_PENDING)
				CHECK(!(v & ~(d->armed ? d->value[off / 4 - 1] : 0)));
			else
				CHECK(v == model_dword(d, off));
		}
		compare_bars(w, d);
	}
	CHECK(w->func[MSIX_FUNC]->armed == w->func[MSIX_FUNC]->value[CAP / 4] >> 31);
	compare_msi(w, w->func[MSI_FUNC]);
}

static uint64_t take(struct world *w, unsigned int bytes)
{
	uint64_t v = 0;

	while (bytes--) {
		v = v << 8 | (w->left ? *w->data : 0);
		w->data += w->left != 0;
		w->left -= w->left != 0;
	}
	return v;
}

/* Values that mean something more often than chance would have it. */
static uint32_t value(struct world *w)
{
	uint32_t v = (uint32_t)take(w, 1);

	switch (v & 7) {
	case 0: return ~0u;
	case 1: return 0xc0000000 | (v >> 3) << 12;
	case 2: return 0xc000 | (v >> 3) << 5;
	case 3: return HIGH >> 32 | (v >> 3 & 3);
	case 4: return 0xfee00000 | (v >> 3) << 12;
	case 5: return v >> 3;
	case 6: return 0xc0000001 | (v >> 3) << 20;
	default: return (uint32_t)take(w, 4);
	}
}

static void model_reset(struct world *w)
{
	w->cf8 = 0;
	for (unsigned int i = 0; i < FUNCS; i++)
		memcpy(w->func[i]->value, w->func[i]->initial, sizeof(w->func[i]->value));
}

/* After a placement the model takes the addresses over and checks what was promised of them. */
static void model_place(struct world *w)
{
	for (unsigned int i = 0; i < FUNCS; i++) {
		struct func *d = w->func[i];

		for (unsigned int j = 0; j < 4 && bars[i][j].size; j++) {
			const struct bar *b = &bars[i][j];
			uint32_t reg = pci_cfg_read(w->root, 0, devfns[i], b->reg, 4);

			model_write(d, b->reg, 4, reg);
			if (b->kind == PCI_BAR_MEM64)
				model_write(d, b->reg + 4, 4,
					pci_cfg_read(w->root, 0, devfns[i], b->reg + 4, 4));
		}
		model_write(d, 4, 1, 3);
		for (unsigned int j = 0; j < 4 && bars[i][j].size; j++) {
			uint64_t at = model_addr(d, &bars[i][j]);

			CHECK(at || bars[i][j].bar == 6);
			CHECK(bars[i][j].kind == PCI_BAR_IO || at % 4096 == 0);
			CHECK(!at || model_answer(w, at, 1, bars[i][j].kind == PCI_BAR_IO) ==
					     (i << 4 | bars[i][j].bar));
		}
	}
}

static void step_cf8(struct world *w, unsigned int op)
{
	unsigned int len = 1u << (op >> 4 & 3) % 3, off = op >> 6 & 3;
	struct func *d = w->func[take(w, 1) % FUNCS];
	uint32_t reg = (uint32_t)take(w, 1) & 0xfc, v = value(w);
	bool on = take(w, 1) & 7;

	bus_write(w->pio, 0xcf8, 4, (uint32_t)on << 31 | (uint32_t)d->f.devfn << 8 | reg | 3);
	CHECK(bus_read(w->pio, 0xcf8, 4) == ((uint32_t)on << 31 | (uint32_t)d->f.devfn << 8 | reg));
	if (on && reg != MSI_PENDING)
		CHECK(bus_read(w->pio, 0xcfc + off, len) == model_read(d, reg + off, len));
	bus_write(w->pio, 0xcfc + off, len, v);
	if (on)
		model_write(d, reg + off, len, v);
}

static void step(struct world *w)
{
	unsigned int op = (unsigned int)take(w, 1), len = 1u << (op >> 4 & 3) % 3;
	struct func *d = w->func[(op >> 6) % FUNCS];
	unsigned int off = (unsigned int)take(w, 1);
	uint64_t ecam = LAYOUT_ECAM + ((uint64_t)d->f.devfn << 12), v;

	switch (op % 8) {
	case 0:
	case 1:
	case 2:
		v = value(w);
		pci_cfg_write(w->root, 0, d->f.devfn, off & ~3u, 4, (uint32_t)v);
		model_write(d, off & ~3u, 4, (uint32_t)v);
		break;
	case 3:
		/* The registers that matter, so that they are hit. */
		off = ((const unsigned int[]){4, 0x10, 0x14, 0x18, 0x20, 0x24, 0x30, CAP, CAP + 4,
			CAP + 8, CAP + 12, CAP + 16})[off % 12];
		v = value(w);
		bus_write(w->mmio, ecam + off, 4, v);
		model_write(d, off, 4, (uint32_t)v);
		break;
	case 4:
		v = value(w);
		bus_write(w->mmio, ecam + off, len, v);
		model_write(d, off, len, (uint32_t)v);
		if (off / 4 != MSI_PENDING / 4)
			CHECK(bus_read(w->mmio, ecam + off, len) == model_read(d, off, len));
		break;
	case 5: step_cf8(w, op); break;
	case 6:
		/* Anything in the space of all buses. */
		v = take(w, 4) & (LAYOUT_ECAM_SIZE - 1);
		if (v >> 15)
			v |= 1u << 20;
		len = 1u << (op >> 4 & 3);
		bus_write(w->mmio, LAYOUT_ECAM + v, len, take(w, 4));
		if (v >> 15)
			CHECK(bus_read(w->mmio, LAYOUT_ECAM + v, len) ==
				(len == 8 ? ~0ull : (1ull << len * 8) - 1));
		break;
	case 7:
		if (off < 0x20) {
			CHECK(!pci_root_place(w->root, NULL));
			model_place(w);
		} else if (off < 0x30) {
			pci_root_reset(w->root);
			model_reset(w);
		} else if (off < 0x80) {
			msi_fire(w->func[MSI_FUNC]->f.msi, off);
			irq_recorder_run(&w->rec);
		}
		break;
	}
	compare(w);
}

static void func_add(struct world *w, unsigned int i)
{
	const struct pci_ids ids = {
		.vendor = 0x1234, .device = 0x5678, .class_code = 0x020000, .revision = 1};
	struct func *d = calloc(1, sizeof(*d));
	const struct msi_ops mops = {on_arm, on_disarm, d};

	CHECK(d);
	pci_func_init(&d->f, &ops, "fuzzed", &ids);
	d->f.devfn = devfns[i];
	d->w = w;
	d->index = i;
	for (unsigned int j = 0; j < 4 && bars[i][j].size; j++)
		pci_func_bar(&d->f, bars[i][j].bar, bars[i][j].kind, bars[i][j].prefetch,
			bars[i][j].size);
	if (i == MSIX_FUNC)
		CHECK(!pci_func_msix(
			&d->f, w->router, 0, MSIX_N, 0, 0x1000, 0, 0x2000, &mops, NULL));
	if (i == MSI_FUNC) {
		CHECK(!pci_func_msi(&d->f, w->router, 0, MSI_N, &mops, NULL));
		memset(d->f.emu + HW + 1, 0, 3);
		d->f.wmask[HW] = 0xf0;
	}
	model_build(d);
	w->func[i] = d;
	w->alive++;
	CHECK(!pci_root_add(w->root, &d->f, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = calloc(1, sizeof(*w));
	struct pci_root_config cfg = {
		.mmio32 = {0xc0000000, 0xe0000000},
		.mmio64 = {HIGH, HIGH + 0x300000000},
		.pio_window = {0xc000, 0x10000},
	};
	struct irq_backend be;

	CHECK(w);
	log_level_set(LOG_LEVEL_ERROR);
	w->data = data;
	w->left = size;
	irq_recorder_init(&w->rec);
	be = irq_recorder_backend(&w->rec);
	CHECK(!irq_router_create(&be, IRQ_RECORDER_GSIS, NULL, &w->router));
	CHECK(!bus_create("mmio", NULL, &w->mmio) && !bus_create("pio", NULL, &w->pio));
	cfg.mmio = w->mmio;
	cfg.pio = w->pio;
	CHECK(!pci_root_create(&cfg, NULL, &w->root));
	for (unsigned int i = 0; i < FUNCS; i++)
		func_add(w, i);
	while (w->left)
		step(w);
	pci_root_destroy(w->root);
	CHECK(!w->alive && !w->rec.n_attached);
	bus_destroy(w->mmio);
	bus_destroy(w->pio);
	irq_router_destroy(w->router);
	irq_recorder_finish(&w->rec);
	free(w);
	return 0;
}
