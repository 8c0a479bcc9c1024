// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static void mac_format(const uint8_t mac[static 6], char buf[static 18])
{
	snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		mac[5]);
}

static bool mac_is_zero(const uint8_t mac[static 6])
{
	static const uint8_t zero[6];

	return !memcmp(mac, zero, 6);
}

/* Two functions with one address on one wire: their frames go to either. */
static int check_unique(const struct vfm_function *pf, unsigned index, const struct vf_attr *vf,
	size_t n, const uint8_t mac[static 6], struct err *e)
{
	char text[18];

	mac_format(mac, text);
	if (pf->has_mac && !memcmp(pf->mac, mac, 6))
		return err_set(e, EADDRINUSE, "%s is the address of its PF's interface %s", text,
			pf->netdev);
	for (size_t i = 0; i < n; i++) {
		if (i != index && vf[i].has_mac && !memcmp(vf[i].mac, mac, 6))
			return err_set(e, EADDRINUSE, "%s is the address of VF %zu of %s", text, i,
				pf->netdev);
	}
	return 0;
}

/* What the VF has after the attempt, and put back what it had if that is not what was asked. */
static int mac_verify(struct vfm *v, const struct vfm_function *pf, unsigned index,
	const struct vf_attr *before, const uint8_t mac[static 6], size_t n, struct vf_attr *vf,
	struct err *e)
{
	char want[18], have[18] = "unknown";
	struct err why = {0};
	int r = link_get_vfs(v, pf->ifindex, vf, n, e);

	if (r == 0 && vf[index].has_mac && !memcmp(vf[index].mac, mac, 6))
		return 0;
	mac_format(mac, want);
	if (r < 0) {
		err_wrap(e, r, "read the address back");
	} else {
		if (vf[index].has_mac)
			mac_format(vf[index].mac, have);
		r = err_set(e, EIO, "%s set, but %s reports %s for it", want, pf->netdev, have);
	}
	if (link_set_vf_mac(v, pf->ifindex, index, before->mac, &why) < 0) {
		mac_format(before->mac, have);
		err_append(e, "not undone: the address was %s: %s", have, why.text);
	}
	return r;
}

static int set_mac_locked(struct vfm *v, struct bdf b, const uint8_t mac[static 6], struct err *e)
{
	_cleanup_free_ struct vf_attr *vf = NULL;
	char name[BDF_STRLEN];
	struct vfm_function f, pf;
	struct vf_attr before;
	unsigned index;
	int r;

	if (mac[0] & 1)
		return err_set(
			e, EINVAL, "a multicast address (first byte odd) is no device's own");
	if (function_read(v, b, &f) < 0)
		return err_set(e, ENODEV, "no such PCI function ('viaduct vf list' shows them)");
	if (f.kind != VFM_VF || f.index < 0)
		return err_set(
			e, ENOTSUP, "not a virtual function: only a PF's VFs are set this way");
	bdf_format(f.pf, name);
	r = lock_domain(v, b, false, e);
	if (r < 0)
		return r;
	if (function_read(v, f.pf, &pf) < 0 || !*pf.netdev || pf.ifindex <= 0)
		return err_set(e, ENOTSUP,
			"its PF %s has no network interface here (driver %s): addresses are set "
			"through that; is it in another network namespace?",
			name, f.kind == VFM_VF && *pf.driver ? pf.driver : "none");
	if (!pf.admin_up)
		return err_set(e, ENETDOWN,
			"the PF's interface %s is down, its VFs do not hear of the change: 'ip "
			"link "
			"set %s up' first",
			pf.netdev, pf.netdev);
	index = (unsigned)f.index;
	vf = calloc(pf.num_vfs > index ? pf.num_vfs : index + 1, sizeof(*vf));
	if (!vf)
		return err_sys(e, ENOMEM, "VF attributes");
	r = link_get_vfs(v, pf.ifindex, vf, index + 1 > pf.num_vfs ? index + 1 : pf.num_vfs, e);
	if (r < 0)
		return err_wrap(e, r, "read the VFs of %s", pf.netdev);
	before = vf[index];
	if (before.has_mac && !memcmp(before.mac, mac, 6))
		return 0;
	if (!mac_is_zero(mac)) {
		r = check_unique(&pf, index, vf, pf.num_vfs, mac, e);
		if (r < 0)
			return r;
	}
	r = link_set_vf_mac(v, pf.ifindex, index, mac, e);
	if (r < 0)
		return err_wrap(e, r, "VF %u of %s", index, pf.netdev);
	return mac_verify(v, &pf, index, &before, mac,
		index + 1 > pf.num_vfs ? index + 1 : pf.num_vfs, vf, e);
}

int vfm_set_mac(struct vfm *v, struct bdf vf, const uint8_t mac[static 6], struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	char name[BDF_STRLEN];
	int r = set_mac_locked(v, vf, mac, e);

	return r < 0 ? err_wrap(e, r, "set address of %s", bdf_format(vf, name)) : 0;
}
