// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/caps.h"

#include <ctype.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>

#include "common/bytes.h"
#include "vf-manager/internal.h"

#define CONFIG_SIZE   256  /* PCI 3.0 §6.1 */
#define EXTENDED_SIZE 4096 /* PCIe 5.0 §7.2 */
/* Capabilities are at least that long and do not overlap: no chain is longer. */
#define STD_CAP_SIZE 4
#define EXT_CAP_SIZE 4
#define SRIOV_SIZE   64 /* PCIe 5.0 §9.3.3 */

struct config {
	const uint8_t *bytes;
	size_t len;
};

/* Is all of [@pos, @pos + @size) there? */
static bool seen(const struct config *c, size_t pos, size_t size)
{
	return pos <= c->len && size <= c->len - pos;
}

static uint8_t byte_at(const struct config *c, size_t pos)
{
	return c->bytes[pos];
}

static uint16_t word_at(const struct config *c, size_t pos)
{
	return (uint16_t)le_load(c->bytes + pos, 2);
}

static uint32_t dword_at(const struct config *c, size_t pos)
{
	return (uint32_t)le_load(c->bytes + pos, 4);
}

static enum vfm_tri tri(bool yes)
{
	return yes ? VFM_YES : VFM_NO;
}

static enum vfm_port_type port_of(unsigned type)
{
	switch (type) {
	case PCI_EXP_TYPE_ENDPOINT:
	case PCI_EXP_TYPE_LEG_END: return VFM_PORT_ENDPOINT;
	case PCI_EXP_TYPE_ROOT_PORT: return VFM_PORT_ROOT;
	case PCI_EXP_TYPE_UPSTREAM: return VFM_PORT_UPSTREAM;
	case PCI_EXP_TYPE_DOWNSTREAM: return VFM_PORT_DOWNSTREAM;
	case PCI_EXP_TYPE_PCI_BRIDGE: return VFM_PORT_TO_PCI;
	case PCI_EXP_TYPE_PCIE_BRIDGE: return VFM_PORT_FROM_PCI;
	case PCI_EXP_TYPE_RC_END:
	case PCI_EXP_TYPE_RC_EC: return VFM_PORT_INTEGRATED;
	default: return VFM_PORT_UNKNOWN;
	}
}

static void express_decode(const struct config *c, size_t pos, struct vfm_caps *f)
{
	uint16_t flags;

	if (!seen(c, pos, PCI_EXP_DEVCAP))
		return;
	flags = word_at(c, pos + PCI_EXP_FLAGS);
	f->port = port_of((flags & PCI_EXP_FLAGS_TYPE) >> 4);
	if (seen(c, pos, PCI_EXP_DEVCAP + 4))
		f->flr = tri(dword_at(c, pos + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR);
	if (f->port != VFM_PORT_ROOT && f->port != VFM_PORT_DOWNSTREAM) {
		if (f->port != VFM_PORT_UNKNOWN)
			f->ari_forwarding = f->ari_forwarding_cap = VFM_NO;
	} else if ((flags & PCI_EXP_FLAGS_VERS) < 2) {
		/* Its structure ends before the second set of registers. */
		f->ari_forwarding = f->ari_forwarding_cap = VFM_NO;
	} else if (seen(c, pos, PCI_EXP_DEVCTL2 + 2)) {
		f->ari_forwarding_cap =
			tri(dword_at(c, pos + PCI_EXP_DEVCAP2) & PCI_EXP_DEVCAP2_ARI);
		f->ari_forwarding = tri(word_at(c, pos + PCI_EXP_DEVCTL2) & PCI_EXP_DEVCTL2_ARI);
	}
}

/* One capability of the first 256 bytes. False: it is cut off. */
static bool std_decode(const struct config *c, size_t pos, uint8_t id, struct vfm_caps *f)
{
	uint16_t flags;

	switch (id) {
	case PCI_CAP_ID_EXP: express_decode(c, pos, f); return seen(c, pos, PCI_EXP_DEVCAP + 4);
	case PCI_CAP_ID_MSI:
	case PCI_CAP_ID_MSIX:
		if (!seen(c, pos, 4))
			return false;
		flags = word_at(c, pos + 2);
		if (id == PCI_CAP_ID_MSIX) {
			f->msix = (flags & PCI_MSIX_FLAGS_QSIZE) + 1u;
		} else {
			flags = (flags & PCI_MSI_FLAGS_QMASK) >> 1;
			f->msi = 1u << (flags > 5 ? 5 : flags); /* 32 at most: PCI 3.0 §6.8.1.3 */
		}
		return true;
	case PCI_CAP_ID_AF:
		if (!seen(c, pos, PCI_AF_CAP + 1))
			return false;
		if (byte_at(c, pos + PCI_AF_CAP) & PCI_AF_CAP_FLR)
			f->flr = VFM_YES;
		return true;
	default: return true;
	}
}

/* True when the end of the chain was seen. */
static bool std_walk(const struct config *c, struct vfm_caps *f, bool *ret_express)
{
	bool whole = true;
	size_t pos, at = PCI_CAPABILITY_LIST;

	if (!(word_at(c, PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return true;
	if ((byte_at(c, PCI_HEADER_TYPE) & 0x7f) == PCI_HEADER_TYPE_CARDBUS)
		at = PCI_CB_CAPABILITY_LIST;
	pos = byte_at(c, at) & ~3u;
	for (size_t n = 0; n < (CONFIG_SIZE - PCI_STD_HEADER_SIZEOF) / STD_CAP_SIZE; n++) {
		uint8_t id;

		if (pos == 0)
			return whole;
		if (pos < PCI_STD_HEADER_SIZEOF || !seen(c, pos, 2))
			return false;
		id = byte_at(c, pos);
		if (id == 0xff)
			return false;
		*ret_express = *ret_express || id == PCI_CAP_ID_EXP;
		whole = std_decode(c, pos, id, f) && whole;
		pos = byte_at(c, pos + PCI_CAP_LIST_NEXT) & ~3u;
	}
	return pos == 0 && whole;
}

static void sriov_decode(const struct config *c, size_t pos, struct vfm_caps *f)
{
	f->sriov = VFM_YES;
	if (!seen(c, pos, SRIOV_SIZE))
		return;
	f->vf_ari_hierarchy = word_at(c, pos + PCI_SRIOV_CTRL) & PCI_SRIOV_CTRL_ARI;
	f->initial_vfs = word_at(c, pos + PCI_SRIOV_INITIAL_VF);
	f->total_vfs = word_at(c, pos + PCI_SRIOV_TOTAL_VF);
	f->vf_offset = word_at(c, pos + PCI_SRIOV_VF_OFFSET);
	f->vf_stride = word_at(c, pos + PCI_SRIOV_VF_STRIDE);
	f->vf_device = word_at(c, pos + PCI_SRIOV_VF_DID);
}

static void ext_decode(const struct config *c, size_t pos, uint16_t id, struct vfm_caps *f)
{
	switch (id) {
	case PCI_EXT_CAP_ID_SRIOV:
		if (f->sriov != VFM_YES)
			sriov_decode(c, pos, f);
		break;
	case PCI_EXT_CAP_ID_ARI: f->ari = VFM_YES; break;
	case PCI_EXT_CAP_ID_ACS:
		if (f->acs == VFM_YES || !seen(c, pos, PCI_ACS_CTRL + 2))
			break;
		f->acs = VFM_YES;
		f->acs_cap = word_at(c, pos + PCI_ACS_CAP);
		f->acs_ctl = word_at(c, pos + PCI_ACS_CTRL);
		break;
	default: break;
	}
}

/* The same for the extended ones, from 256 on: PCIe 5.0 §7.6.3. */
static bool ext_walk(const struct config *c, struct vfm_caps *f)
{
	size_t pos = CONFIG_SIZE;

	for (size_t n = 0; n < (EXTENDED_SIZE - CONFIG_SIZE) / EXT_CAP_SIZE; n++) {
		uint32_t head;
		bool cut;

		if (pos < CONFIG_SIZE || !seen(c, pos, 4))
			return false;
		head = dword_at(c, pos);
		if (head == UINT32_MAX)
			return false;
		if (head == 0) /* an empty list, or a null capability that ends it */
			return true;
		ext_decode(c, pos, PCI_EXT_CAP_ID(head), f);
		cut = PCI_EXT_CAP_ID(head) == PCI_EXT_CAP_ID_ACS && f->acs != VFM_YES;
		pos = PCI_EXT_CAP_NEXT(head);
		if (pos == 0)
			return !cut;
	}
	return false;
}

void vfm_caps_decode(const void *config, size_t len, struct vfm_caps *ret)
{
	struct config c = {config, len < EXTENDED_SIZE ? len : EXTENDED_SIZE};
	bool express = false, whole;

	*ret = (struct vfm_caps){.port = VFM_PORT_UNKNOWN,
		.sriov = VFM_UNKNOWN,
		.ari = VFM_UNKNOWN,
		.ari_forwarding_cap = VFM_UNKNOWN,
		.ari_forwarding = VFM_UNKNOWN,
		.acs = VFM_UNKNOWN,
		.flr = VFM_UNKNOWN,
		.vf_total_msix = -1,
		.vf_msix_count = -1};
	/* A function that is off or gone reads as ones; a VF's ids do so too. */
	if (c.len < PCI_STD_HEADER_SIZEOF || byte_at(&c, PCI_HEADER_TYPE) == 0xff)
		return;
	ret->multifunction = byte_at(&c, PCI_HEADER_TYPE) & 0x80;
	ret->bridge = (byte_at(&c, PCI_HEADER_TYPE) & 0x7f) == PCI_HEADER_TYPE_BRIDGE;
	whole = std_walk(&c, ret, &express);
	if (whole && !express) {
		ret->port = VFM_PORT_CONVENTIONAL;
		ret->ari_forwarding_cap = ret->ari_forwarding = VFM_NO;
		if (ret->flr == VFM_UNKNOWN)
			ret->flr = VFM_NO;
	}
	ret->extended_seen = c.len > CONFIG_SIZE;
	/* PCI Express in 256 bytes is a machine that cannot reach the rest. */
	if (ret->extended_seen ? ext_walk(&c, ret)
			       : c.len == CONFIG_SIZE && ret->port == VFM_PORT_CONVENTIONAL) {
		ret->sriov = ret->sriov == VFM_YES ? VFM_YES : VFM_NO;
		ret->ari = ret->ari == VFM_YES ? VFM_YES : VFM_NO;
		ret->acs = ret->acs == VFM_YES ? VFM_YES : VFM_NO;
	}
}

static bool has(struct vfm *v, struct bdf b, const char *attr)
{
	char path[PATH_MAX];

	return sysfs_exists(&v->sys, sysfs_pci_path(b, attr, path, sizeof(path)));
}

/* -1: not there, or no number of 16 bits. */
static int count_read(struct vfm *v, struct bdf b, const char *attr)
{
	uint64_t n;

	return dev_read_u64(v, b, attr, &n) < 0 || n > UINT16_MAX ? -1 : (int)n;
}

/* As count_read(), of an attribute the kernel may keep us waiting for. */
static int count_read_guarded(struct vfm *v, struct bdf b, const char *attr)
{
	char path[PATH_MAX], text[16], *end;
	unsigned long n;

	if (!sysfs_exists(&v->sys, sysfs_pci_path(b, attr, path, sizeof(path))) ||
		dev_read_guarded(v, b, attr, text, sizeof(text)) < 0)
		return -1;
	n = strtoul(text, &end, 10);
	return *end || end == text || n > UINT16_MAX ? -1 : (int)n;
}

/* Hexadecimal digits without 0x; 0: not there. */
static uint16_t vf_device_read(struct vfm *v, struct bdf b)
{
	char text[8], *end;
	unsigned long n;

	dev_read_text(v, b, "sriov_vf_device", text, sizeof(text));
	n = strtoul(text, &end, 16);
	return !isxdigit((unsigned char)*text) || *end || n > UINT16_MAX ? 0 : (uint16_t)n;
}

/* Without root the SR-IOV capability is out of sight, but sysfs repeats most of it. */
static void sriov_from_sysfs(struct vfm *v, struct bdf b, struct vfm_caps *f)
{
	int total, offset, stride;

	if (!has(v, b, "sriov_totalvfs"))
		return;
	f->sriov = VFM_YES;
	total = count_read(v, b, "sriov_totalvfs");
	offset = count_read(v, b, "sriov_offset");
	stride = count_read(v, b, "sriov_stride");
	if (!f->total_vfs && total > 0)
		f->total_vfs = f->initial_vfs = (uint16_t)total;
	if (!f->vf_offset && offset > 0 && stride >= 0) {
		f->vf_offset = (uint16_t)offset;
		f->vf_stride = (uint16_t)stride;
	}
	if (!f->vf_device)
		f->vf_device = vf_device_read(v, b);
}

int vfm_caps(struct vfm *v, struct bdf b, struct vfm_caps *ret, struct err *e)
{
	uint8_t config[EXTENDED_SIZE];
	char path[PATH_MAX], name[BDF_STRLEN];
	int n;

	if (!has(v, b, ""))
		return err_set(e, ENODEV, "%s: no such PCI function ('viaduct vf list' shows them)",
			bdf_format(b, name));
	n = sysfs_read_bytes(
		&v->sys, sysfs_pci_path(b, "config", path, sizeof(path)), config, sizeof(config));
	vfm_caps_decode(config, n < 0 ? 0 : (size_t)n, ret);
	sriov_from_sysfs(v, b, ret);
	dev_read_text(v, b, "reset_method", ret->resets, sizeof(ret->resets));
	ret->vf_total_msix = count_read_guarded(v, b, "sriov_vf_total_msix");
	ret->vf_msix_count = count_read(v, b, "sriov_vf_msix_count");
	return 0;
}

int vfm_caps_vf(const struct vfm_caps *f, struct bdf pf, unsigned index, struct bdf *ret)
{
	uint64_t rid = bdf_rid(pf) + f->vf_offset + (uint64_t)f->vf_stride * index;

	/* Without a stride the second VF would be where the first is: PCIe 5.0 §9.3.3.10. */
	if (!f->vf_offset || (index && !f->vf_stride))
		return -ENODATA;
	if (rid > UINT16_MAX)
		return -ERANGE;
	*ret = (struct bdf){pf.domain, (uint8_t)(rid >> 8), rid >> 3 & 0x1f, rid & 7};
	return 0;
}

int vfm_predict_by(
	const struct vfm_caps *f, struct bdf pf, unsigned index, struct bdf *ret, struct err *e)
{
	char name[BDF_STRLEN];
	int r;

	bdf_format(pf, name);
	if (f->sriov != VFM_YES)
		return err_set(e, ENOTSUP, "%s: no SR-IOV here, so it has no VFs", name);
	if (f->total_vfs && index >= f->total_vfs)
		return err_set(
			e, ERANGE, "%s: VF %u: it has %u at most", name, index, f->total_vfs);
	r = vfm_caps_vf(f, pf, index, ret);
	if (r == -ENODATA)
		return err_set(e, ENODATA,
			"%s: VF %u: its offset and stride cannot be read, so its address cannot be "
			"told (run as root)",
			name, index);
	if (r == -ERANGE)
		return err_set(e, ERANGE, "%s: VF %u would be beyond bus ff", name, index);
	return r;
}

int vfm_predict(struct vfm *v, struct bdf pf, unsigned index, struct bdf *ret, struct err *e)
{
	struct vfm_caps f;
	int r;

	/* Where it is already, it need not be guessed. */
	if (index < MAX_VFS && vf_bdf(v, pf, index, ret) == 0)
		return 0;
	r = vfm_caps(v, pf, &f, e);
	return r < 0 ? r : vfm_predict_by(&f, pf, index, ret, e);
}
