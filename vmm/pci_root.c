// SPDX-License-Identifier: GPL-2.0-or-later
/* The root bus: which function is where, and the two ways to its config space. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "vmm/layout.h"
#include "vmm/pci_internal.h"

#define CF8_ENABLE   0x80000000u
#define CF8_BUS(a)   ((uint8_t)((a) >> 16))
#define CF8_DEVFN(a) ((uint8_t)((a) >> 8))
#define CF8_REG(a)   ((a)&0xfcu)
#define CF8_WRITABLE 0x80fffffcu

/* The generic PCIe host bridge of the PCI id list: no driver and no quirk anywhere knows it. */
static const struct pci_ids bridge_ids = {
	.vendor = 0x1b36,
	.device = 0x0008,
	.class_code = 0x060000,
};

static const struct pci_func_ops bridge_ops = {0};

/* ---- finding a function ---- */

static struct pci_func *root_find(struct pci_root *root, uint8_t bus, uint8_t devfn)
{
	/* Software looks at functions 1..7 only after 0 answered (PCI 3.0 §3.2.2.3.4). */
	if (bus != 0 || !root->func[devfn & ~7u] || root->func[devfn & ~7u]->gone)
		return NULL;
	return root->func[devfn] && !root->func[devfn]->gone ? root->func[devfn] : NULL;
}

/* Set the multifunction bit of a device's functions as their number says. */
static void root_multi(struct pci_root *root, uint8_t devfn)
{
	unsigned int base = devfn & ~7u, n = 0;

	for (unsigned int i = 0; i < 8; i++)
		n += root->func[base + i] != NULL;
	for (unsigned int i = 0; i < 8; i++) {
		struct pci_func *f = root->func[base + i];
		uint8_t bit = n > 1 ? PCI_HEADER_MULTI : 0;

		if (!f)
			continue;
		f->cfg[PCI_REG_HEADER] = (f->cfg[PCI_REG_HEADER] & ~PCI_HEADER_MULTI) | bit;
		f->power_on[PCI_REG_HEADER] = f->cfg[PCI_REG_HEADER];
	}
}

/* ---- config accesses ---- */

static bool access_ok(unsigned int off, unsigned int len)
{
	return (len == 1 || len == 2 || len == 4) && off < PCI_CFG_SIZE && (off & 3) + len <= 4;
}

uint32_t pci_cfg_read(
	struct pci_root *root, uint8_t bus, uint8_t devfn, unsigned int off, unsigned int len)
{
	uint32_t val = (uint32_t)ones(len);
	struct pci_func *f;

	if (!access_ok(off, len))
		return val;
	pthread_mutex_lock(&root->lock);
	f = root_find(root, bus, devfn);
	if (f)
		val = pci_func_read(f, off, len);
	pthread_mutex_unlock(&root->lock);
	return val;
}

void pci_cfg_write(struct pci_root *root, uint8_t bus, uint8_t devfn, unsigned int off,
	unsigned int len, uint32_t val)
{
	struct pci_func *f;

	if (!access_ok(off, len))
		return;
	pthread_mutex_lock(&root->lock);
	f = root_find(root, bus, devfn);
	if (f)
		pci_func_write(f, off, len, val & (uint32_t)ones(len));
	pthread_mutex_unlock(&root->lock);
}

/* PCIe 5.0 §7.2.2: bus 27:20, device and function 19:12, register 11:0. */
static uint64_t ecam_read(void *ctx, uint64_t off, unsigned int len)
{
	uint8_t bus = (uint8_t)(off >> 20), devfn = (uint8_t)(off >> 12);
	unsigned int reg = off & 0xfff;

	/* A quadword becomes two requests. */
	if (len == 8 && off % 8 == 0)
		return pci_cfg_read(ctx, bus, devfn, reg, 4) |
		       (uint64_t)pci_cfg_read(ctx, bus, devfn, reg + 4, 4) << 32;
	return len == 8 ? ones(8) : pci_cfg_read(ctx, bus, devfn, reg, len);
}

static void ecam_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	uint8_t bus = (uint8_t)(off >> 20), devfn = (uint8_t)(off >> 12);
	unsigned int reg = off & 0xfff;

	if (len == 8 && off % 8 == 0) {
		pci_cfg_write(ctx, bus, devfn, reg, 4, (uint32_t)val);
		pci_cfg_write(ctx, bus, devfn, reg + 4, 4, (uint32_t)(val >> 32));
	} else if (len < 8) {
		pci_cfg_write(ctx, bus, devfn, reg, len, (uint32_t)val);
	}
}

static uint32_t cf8_get(struct pci_root *root)
{
	uint32_t val;

	pthread_mutex_lock(&root->lock);
	val = root->cf8;
	pthread_mutex_unlock(&root->lock);
	return val;
}

/* PCI 3.0 §3.2.2.3.2: only a dword access is one to the address register. */
static uint64_t cf8_read(void *ctx, uint64_t off, unsigned int len)
{
	return off == 0 && len == 4 ? cf8_get(ctx) : ones(len);
}

static void cf8_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	struct pci_root *root = ctx;

	if (off != 0 || len != 4)
		return;
	pthread_mutex_lock(&root->lock);
	root->cf8 = (uint32_t)val & CF8_WRITABLE;
	pthread_mutex_unlock(&root->lock);
}

static uint64_t cfc_read(void *ctx, uint64_t off, unsigned int len)
{
	uint32_t a = cf8_get(ctx);

	if (!(a & CF8_ENABLE))
		return ones(len);
	return pci_cfg_read(ctx, CF8_BUS(a), CF8_DEVFN(a), CF8_REG(a) + (unsigned int)off, len);
}

static void cfc_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	uint32_t a = cf8_get(ctx);

	if (a & CF8_ENABLE)
		pci_cfg_write(ctx, CF8_BUS(a), CF8_DEVFN(a), CF8_REG(a) + (unsigned int)off, len,
			(uint32_t)val);
}

/* ---- functions ---- */

static void func_destroy(struct pci_func *f)
{
	vtd_dma_detach(&f->dma);
	if (f->root)
		pci_bars_unmap_all(f);
	msix_destroy(f->msix);
	msi_destroy(f->msi);
	free(f->power_on);
	f->msix = NULL;
	f->msi = NULL;
	f->power_on = NULL;
	f->root = NULL;
	/* Last: it frees the structure. */
	if (f->ops->destroy)
		f->ops->destroy(f);
}

/* What decides where a guest access goes is ours, also in a function that is mostly hardware. */
static void func_claim(struct pci_func *f)
{
	f->emu[PCI_REG_COMMAND] |= PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	f->emu[PCI_REG_HEADER] |= PCI_HEADER_MULTI;
	memset(f->emu + PCI_REG_BAR0, 0xff, PCI_BARS * 4);
	memset(f->emu + PCI_REG_ROM, 0xff, 4);
	for (unsigned int i = 0; i <= PCI_ROM; i++)
		f->bar[i].func = f;
}

static void func_dma_allow(void *ctx, bool allowed)
{
	struct pci_func *f = ctx;

	f->ops->dma_allow(f, allowed);
}

bool pci_func_dma(struct pci_func *f, uint64_t gpa, bool write)
{
	return !f->dma.vtd || vtd_dma_request(&f->dma, gpa, write);
}

int pci_root_add(struct pci_root *root, struct pci_func *f, struct err *e)
{
	assert(!f->root);
	pthread_mutex_lock(&root->lock);
	if (root->func[f->devfn]) {
		const char *holder = root->func[f->devfn]->name;

		pthread_mutex_unlock(&root->lock);
		err_set(e, EEXIST, "%s: slot 00:%02x.%u is taken by %s", f->name, f->devfn >> 3,
			f->devfn & 7, holder);
		func_destroy(f);
		return -EEXIST;
	}
	func_claim(f);
	f->power_on = malloc(sizeof(f->cfg));
	if (!f->power_on) {
		pthread_mutex_unlock(&root->lock);
		err_sys(e, ENOMEM, "%s: PCI function", f->name);
		func_destroy(f);
		return -ENOMEM;
	}
	memcpy(f->power_on, f->cfg, sizeof(f->cfg));
	f->root = root;
	f->next = root->last;
	root->last = f;
	root->func[f->devfn] = f;
	root_multi(root, f->devfn);
	pthread_mutex_unlock(&root->lock);
	/* The bus is 0, so the requester id is devfn. */
	if (root->cfg.vtd && f->ops->dma_allow)
		vtd_dma_attach(root->cfg.vtd, f->devfn, func_dma_allow, f, &f->dma);
	return 0;
}

struct pci_func *pci_root_function(const struct pci_root *root, uint8_t devfn)
{
	return root->func[devfn];
}

int pci_root_slot(const struct pci_root *root, uint8_t *ret_devfn)
{
	for (unsigned int dev = 0; dev < 32; dev++) {
		bool used = false;

		for (unsigned int fn = 0; fn < 8; fn++)
			used |= root->func[dev << 3 | fn] != NULL;
		if (used)
			continue;
		*ret_devfn = (uint8_t)(dev << 3);
		return 0;
	}
	return -ENOSPC;
}

void pci_func_gone(struct pci_func *f)
{
	pthread_mutex_lock(&f->root->lock);
	if (!f->gone) {
		f->gone = true;
		pci_bars_unmap_all(f);
		if (f->msix)
			msix_reset(f->msix);
		if (f->msi)
			msi_reset(f->msi);
	}
	pthread_mutex_unlock(&f->root->lock);
}

void pci_func_back(struct pci_func *f)
{
	f->gone = false;
}

uint64_t pci_root_refused(const struct pci_root *root)
{
	return __atomic_load_n(&root->refused, __ATOMIC_RELAXED);
}

void pci_root_reset(struct pci_root *root)
{
	pthread_mutex_lock(&root->lock);
	root->cf8 = 0;
	for (struct pci_func *f = root->last; f; f = f->next)
		pci_func_reset(f);
	pthread_mutex_unlock(&root->lock);
}

/* ---- life ---- */

static int root_register(struct pci_root *root, struct err *e)
{
	const struct bus_region ecam = {.base = LAYOUT_ECAM,
		.size = LAYOUT_ECAM_SIZE,
		.read = ecam_read,
		.write = ecam_write,
		.ctx = root,
		.name = "pci-ecam"};
	const struct bus_region cf8 = {.base = LAYOUT_PORT_CF8,
		.size = 4,
		.starts = 1,
		.read = cf8_read,
		.write = cf8_write,
		.ctx = root,
		.name = "pci-cf8"};
	const struct bus_region cfc = {.base = LAYOUT_PORT_CFC,
		.size = 4,
		.read = cfc_read,
		.write = cfc_write,
		.ctx = root,
		.name = "pci-cfc"};
	int r = bus_add(root->cfg.mmio, &ecam, e);

	if (r == 0)
		r = bus_add(root->cfg.pio, &cf8, e);
	if (r == 0)
		r = bus_add(root->cfg.pio, &cfc, e);
	return r;
}

int pci_root_create(const struct pci_root_config *cfg, struct err *e, struct pci_root **ret)
{
	struct pci_root *root = calloc(1, sizeof(*root));
	int r;

	if (!root)
		return err_sys(e, ENOMEM, "PCI root");
	pthread_mutex_init(&root->lock, NULL);
	root->cfg = *cfg;
	r = root_register(root, e);
	if (r == 0) {
		pci_func_init(&root->bridge, &bridge_ops, "PCI host bridge", &bridge_ids);
		r = pci_root_add(root, &root->bridge, e);
	}
	if (r < 0) {
		pci_root_destroy(root);
		return err_wrap(e, r, "PCI root");
	}
	*ret = root;
	return 0;
}

void pci_root_clear(struct pci_root *root)
{
	while (root->last) {
		struct pci_func *f = root->last;

		root->last = f->next;
		root->func[f->devfn] = NULL;
		func_destroy(f);
	}
}

void pci_root_destroy(struct pci_root *root)
{
	if (!root)
		return;
	pci_root_clear(root);
	bus_remove(root->cfg.pio, LAYOUT_PORT_CFC, root);
	bus_remove(root->cfg.pio, LAYOUT_PORT_CF8, root);
	bus_remove(root->cfg.mmio, LAYOUT_ECAM, root);
	pthread_mutex_destroy(&root->lock);
	free(root);
}
