// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Capability chains. The guest sees only what a table below lists; the rest is unlinked and its
 * body reads 0. Both chains come from the device and are input: bounded, each position visited once.
 *
 * Left out on purpose:
 *   bus interfaces (AGP, PCI-X, HyperTransport, CompactPCI, slot id, hot-plug, debug port) speak of
 *   the slot the device sits in, which is not the guest's; Enhanced Allocation moves BARs.
 *   SR-IOV, Resizable BAR, VF Resizable BAR, Multicast, MR-IOV change what the host allotted.
 *   ACS, ATS, PRI, PASID, TPH, DPA, LTR, L1SS, PTM, VC, link and lane capabilities steer the link, the
 *   IOMMU and the power of the host's platform; the guest's root bus has no link.
 *   ARI numbers functions of the host's bus. DVSEC and DOE are how CXL and device security are
 *   managed, which stays with the host.
 */
#include "passthrough/caps.h"

#include <errno.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "passthrough/internal.h"

#define EXT_START   0x100u
#define STD_ALIGN   4u
#define STD_MAX     ((EXT_START - PCI_STD_HEADER_SIZEOF) / STD_ALIGN)
#define EXT_MAX     ((PCI_CFG_SIZE - EXT_START) / 8u)
#define TYPE_RC_END (PCI_EXP_TYPE_RC_END << 4)
#define PM_LEN      8u
#define VPD_LEN     8u
#define AF_LEN      6u
#define MSIX_LEN    12u
#define EXP_V1_LEN  0x14u
#define EXP_V2_LEN  0x3cu
#define AER_LEN     0x2cu
#define DSN_LEN     12u
#define PWR_LEN     16u

struct cap {
	unsigned int off, id;
	unsigned int end; /* the next capability, or the end of the area */
	uint8_t version;
	bool shown;
};

struct cap_rule {
	uint16_t id;
	const char *name;
	/* Apply the policy to the body. The header is done by the caller. */
	void (*apply)(struct assigned *a, const struct cap *c);
};

/* [off, off+len) of a capability, cut where the next one starts. */
static void cap_span(struct assigned *a, const struct cap *c, unsigned int off, unsigned int len,
	enum span_policy policy)
{
	unsigned int start = c->off + off;

	if (start < c->end)
		config_span(a, start, start + len > c->end ? c->end - start : len, policy);
}

/* PCI PM 1.2 §3.2. The kernel hides PME, which would wake the host. */
static void cap_pm(struct assigned *a, const struct cap *c)
{
	cap_span(a, c, 2, PM_LEN - 2, SPAN_SHOW);
	cap_span(a, c, PCI_PM_CTRL, 2, SPAN_PASS);
	if (c->end - c->off >= PM_LEN)
		a->cfg.pmcsr = (uint16_t)(c->off + PCI_PM_CTRL);
}

/* The kernel serialises the address/data handshake. */
static void cap_vpd(struct assigned *a, const struct cap *c)
{
	cap_span(a, c, 2, VPD_LEN - 2, SPAN_PASS);
}

static void cap_vendor(struct assigned *a, const struct cap *c)
{
	unsigned int len = dev_cfg_read(a, c->off + 2, 1);

	cap_span(a, c, 2, 1, SPAN_SHOW);
	if (len > 3)
		cap_span(a, c, 3, len - 3, SPAN_PASS);
}

/* Body values of then; vmm/pci makes the registers the guest may write. PCI 3.0 §6.8.1. */
static void cap_msi(struct assigned *a, const struct cap *c)
{
	uint32_t ctl = dev_cfg_read(a, c->off + PCI_MSI_FLAGS, 2);
	unsigned int len = 10;

	if (ctl & PCI_MSI_FLAGS_64BIT)
		len += 4;
	if (ctl & PCI_MSI_FLAGS_MASKBIT)
		len += 10;
	if (a->cfg.msi.off || len > c->end - c->off)
		return;
	cap_span(a, c, 2, len - 2, SPAN_HIDE);
	le_store(&a->func.cfg[c->off + PCI_MSI_FLAGS], 2,
		ctl & (PCI_MSI_FLAGS_QMASK | PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT));
	a->cfg.msi = (struct config_cap){.off = (uint8_t)c->off, .len = (uint8_t)len};
}

/* PCI 3.0 §6.8.2. */
static void cap_msix(struct assigned *a, const struct cap *c)
{
	if (a->cfg.msix.off || c->end - c->off < MSIX_LEN)
		return;
	cap_span(a, c, 2, MSIX_LEN - 2, SPAN_FIXED);
	a->func.cfg[c->off + PCI_MSIX_FLAGS + 1] &=
		(uint8_t) ~((PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8);
	a->cfg.msix = (struct config_cap){.off = (uint8_t)c->off, .len = MSIX_LEN};
}

static void cap_flr(struct assigned *a, unsigned int off, uint8_t bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->cfg.flr); i++) {
		if (a->cfg.flr[i].off)
			continue;
		a->cfg.flr[i].off = off;
		a->cfg.flr[i].bit = bit;
		return;
	}
}

/*
 * PCIe 5.0 §7.5.3. On the guest's root bus there is no link, and an endpoint there is a Root
 * Complex Integrated Endpoint, for which the link and slot registers do not exist (§7.5.3.2).
 */
static void cap_exp(struct assigned *a, const struct cap *c)
{
	uint32_t flags = dev_cfg_read(a, c->off + PCI_EXP_FLAGS, 2);
	unsigned int version = flags & PCI_EXP_FLAGS_VERS;

	/* 82599 VFs say version 0, which no edition defines; Linux would take it for a version 1
	 * without the registers that depend on the type. */
	if (!version)
		version = 1;
	cap_span(a, c, 2, (version == 1 ? EXP_V1_LEN : EXP_V2_LEN) - 2, SPAN_HIDE);
	cap_span(a, c, PCI_EXP_DEVCAP, 4, SPAN_SHOW);
	cap_span(a, c, PCI_EXP_DEVCTL, 4, SPAN_PASS);
	if (version > 1) {
		cap_span(a, c, PCI_EXP_DEVCAP2, 4, SPAN_SHOW);
		cap_span(a, c, PCI_EXP_DEVCTL2, 4, SPAN_PASS);
	}
	if (c->end - c->off < EXP_V1_LEN)
		return;
	le_store(&a->func.cfg[c->off + PCI_EXP_FLAGS], 2,
		version | TYPE_RC_END | (flags & PCI_EXP_FLAGS_IRQ));
	if (dev_cfg_read(a, c->off + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR)
		cap_flr(a, c->off + PCI_EXP_DEVCTL + 1, PCI_EXP_DEVCTL_BCR_FLR >> 8);
}

/* PCI ECN Advanced Capabilities, 2006. */
static void cap_af(struct assigned *a, const struct cap *c)
{
	cap_span(a, c, 2, AF_LEN - 2, SPAN_SHOW);
	cap_span(a, c, PCI_AF_CTRL, 1, SPAN_PASS);
	cap_flr(a, c->off + PCI_AF_CTRL, PCI_AF_CTRL_FLR);
}

/* The kernel lets mask, severity and the status bits through and nothing else. */
static void ext_aer(struct assigned *a, const struct cap *c)
{
	cap_span(a, c, 4, AER_LEN - 4, SPAN_PASS);
}

static void ext_dsn(struct assigned *a, const struct cap *c)
{
	cap_span(a, c, 4, DSN_LEN - 4, SPAN_SHOW);
}

/* Power budgeting: the data select byte chooses what the data register shows. */
static void ext_pwr(struct assigned *a, const struct cap *c)
{
	cap_span(a, c, 4, PWR_LEN - 4, SPAN_SHOW);
	cap_span(a, c, PCI_PWR_DSR, 1, SPAN_PASS);
}

static void ext_vendor(struct assigned *a, const struct cap *c)
{
	unsigned int len = dev_cfg_read(a, c->off + PCI_VNDR_HEADER, 4) >> 20;

	cap_span(a, c, 4, 4, SPAN_SHOW);
	if (len > 8)
		cap_span(a, c, 8, len - 8, SPAN_PASS);
}

static const struct cap_rule std_rules[] = {
	{PCI_CAP_ID_PM, "power management", cap_pm},
	{PCI_CAP_ID_VPD, "vital product data", cap_vpd},
	{PCI_CAP_ID_MSI, "MSI", cap_msi},
	{PCI_CAP_ID_VNDR, "vendor", cap_vendor},
	{PCI_CAP_ID_EXP, "PCI Express", cap_exp},
	{PCI_CAP_ID_MSIX, "MSI-X", cap_msix},
	{PCI_CAP_ID_AF, "advanced features", cap_af},
};

static const struct cap_rule ext_rules[] = {
	{PCI_EXT_CAP_ID_ERR, "error reporting", ext_aer},
	{PCI_EXT_CAP_ID_DSN, "serial number", ext_dsn},
	{PCI_EXT_CAP_ID_PWR, "power budgeting", ext_pwr},
	{PCI_EXT_CAP_ID_VNDR, "vendor", ext_vendor},
};

static const struct cap_rule *rule_find(const struct cap_rule *v, size_t n, unsigned int id)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].id == id)
			return &v[i];
	}
	return NULL;
}

static int chain_broken(const struct assigned *a, struct err *e, unsigned int off, const char *why)
{
	return err_set(e, EIO,
		"%s: the capability list is broken at %#x (%s): the device does not answer "
		"properly; "
		"reset its slot or rescan the bus",
		a->name, off, why);
}

/* Where each capability ends, and what the guest gets of it. */
static void caps_apply(struct assigned *a, struct cap *v, unsigned int n, unsigned int area_end,
	const struct cap_rule *rules, size_t n_rules)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct cap_rule *rule = rule_find(rules, n_rules, v[i].id);

		v[i].end = area_end;
		for (unsigned int k = 0; k < n; k++) {
			if (v[k].off > v[i].off && v[k].off < v[i].end)
				v[i].end = v[k].off;
		}
		v[i].shown = rule;
		if (rule)
			rule->apply(a, &v[i]);
		else
			config_span(a, v[i].off, v[i].end - v[i].off, SPAN_HIDE);
		log_debug("%s: capability %#x at %#x: %s", a->name, v[i].id, v[i].off,
			rule ? rule->name : "hidden");
	}
}

static int std_chain(struct assigned *a, struct err *e)
{
	struct pci_func *f = &a->func;
	struct cap v[STD_MAX];
	unsigned int n = 0, off, last = PCI_CAPABILITY_LIST;
	uint64_t seen = 0;

	if (a->cfg.size < EXT_START || !(dev_cfg_read(a, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return 0;
	off = dev_cfg_read(a, PCI_CAPABILITY_LIST, 1) & ~(STD_ALIGN - 1);
	while (off) {
		uint32_t head = dev_cfg_read(a, off, 2);

		if (off < PCI_STD_HEADER_SIZEOF)
			return chain_broken(a, e, off, "inside the header");
		if (head == 0xffff)
			return chain_broken(a, e, off, "all ones");
		if (seen >> (off / STD_ALIGN) & 1)
			return chain_broken(a, e, off, "it loops");
		seen |= 1ull << (off / STD_ALIGN);
		v[n++] = (struct cap){.off = off, .id = head & 0xff};
		off = head >> 8 & ~(STD_ALIGN - 1);
	}
	caps_apply(a, v, n, EXT_START, std_rules, ARRAY_SIZE(std_rules));
	for (unsigned int i = 0; i < n; i++) {
		if (!v[i].shown)
			continue;
		config_span(a, v[i].off, 2, SPAN_HIDE);
		f->cfg[v[i].off] = (uint8_t)v[i].id;
		f->cfg[last] = (uint8_t)v[i].off;
		f->cfg[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
		last = v[i].off + 1;
	}
	return 0;
}

static int ext_chain(struct assigned *a, struct err *e)
{
	struct pci_func *f = &a->func;
	struct cap v[EXT_MAX];
	unsigned int n = 0, off = EXT_START, last = EXT_START;

	if (a->cfg.size < PCI_CFG_SIZE)
		return 0;
	while (off) {
		uint32_t head = dev_cfg_read(a, off, 4);

		if (off < EXT_START)
			return chain_broken(a, e, off, "inside the first 256 bytes");
		if (head == UINT32_MAX)
			return chain_broken(a, e, off, "all ones");
		if (!head && off == EXT_START)
			return 0;
		for (unsigned int i = 0; i < n; i++) {
			if (v[i].off == off)
				return chain_broken(a, e, off, "it loops");
		}
		/* Each has four bytes at least, and positions that differ: the area is the bound. */
		if (n == EXT_MAX)
			return chain_broken(a, e, off, "more than fit");
		v[n++] = (struct cap){
			.off = off,
			.id = PCI_EXT_CAP_ID(head),
			.version = PCI_EXT_CAP_VER(head),
		};
		off = PCI_EXT_CAP_NEXT(head);
	}
	caps_apply(a, v, n, PCI_CFG_SIZE, ext_rules, ARRAY_SIZE(ext_rules));
	/* The head cannot move: hidden, it keeps its place with id 0 and only points on. */
	config_span(a, EXT_START, 4, SPAN_HIDE);
	for (unsigned int i = 0; i < n; i++) {
		uint32_t head = v[i].id | (uint32_t)v[i].version << 16;

		if (!v[i].shown)
			continue;
		config_span(a, v[i].off, 4, SPAN_HIDE);
		le_store(&f->cfg[v[i].off], 4, head);
		if (v[i].off != EXT_START)
			le_store(&f->cfg[last], 4, le_load(&f->cfg[last], 4) | v[i].off << 20);
		last = v[i].off;
	}
	return 0;
}

int caps_init(struct assigned *a, struct err *e)
{
	int r;

	r = std_chain(a, e);
	if (r < 0)
		return r;
	return ext_chain(a, e);
}
