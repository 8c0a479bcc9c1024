// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/pf_vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_PER_MBIT 125000u

/*
 * In switchdev mode a VF's address and rates are its port's: drivers refuse them through rtnetlink,
 * or take them and forget them. An interface that is no switch's port needs no question.
 */
static int ports_alloc(struct pf_vfs *p, struct err *e)
{
	char path[PATH_MAX], attr[VFM_NAME_MAX + 24], id[128];
	enum vfm_eswitch mode;
	struct devlink_handle h;
	int r;

	snprintf(attr, sizeof(attr), "net/%s/phys_switch_id", p->pf.netdev);
	if (sysfs_read(&p->v->sys, sysfs_pci_path(p->pf.bdf, attr, path, sizeof(path)), id,
		    sizeof(id)) <= 0)
		return 0;
	devlink_handle_of(p->pf.bdf, &h);
	r = devlink_eswitch_get(p->v, &h, &mode, e);
	if (r == -EOPNOTSUPP || (r == 0 && mode != VFM_ESWITCH_SWITCHDEV))
		return 0;
	if (r < 0)
		return err_wrap(e, r, "eswitch mode of %s", p->pf.netdev);
	p->port = calloc(p->n, sizeof(*p->port));
	return p->port ? 0 : err_sys(e, ENOMEM, "VF ports");
}

static uint32_t mbit_of(uint64_t bytes)
{
	uint64_t mbit = bytes / BYTES_PER_MBIT + (bytes % BYTES_PER_MBIT != 0);

	return mbit > UINT32_MAX ? UINT32_MAX : (uint32_t)mbit;
}

static int ports_read(struct pf_vfs *p, struct err *e)
{
	struct devlink_handle h;
	int r;

	devlink_handle_of(p->pf.bdf, &h);
	r = devlink_ports_get(p->v, &h, p->pf.bdf.fn, p->port, p->n, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->n; i++) {
		struct vfm_settings *s = &p->vf[i];
		const struct vfm_port *port = &p->port[i];

		if (port->there && port->has_mac) {
			memcpy(s->mac, port->mac, 6);
			s->set |= VFM_BIT(MAC);
		}
		if (port->there && port->has_rate) {
			s->min_rate = mbit_of(port->tx_share);
			s->max_rate = mbit_of(port->tx_max);
			s->set |= VFM_RATE_BITS;
		}
	}
	return 0;
}

int pf_vfs_read(struct pf_vfs *p, struct err *e)
{
	int r = link_get_vfs(p->v, p->pf.ifindex, p->vf, p->n, e);

	if (r == 0 && p->port)
		r = ports_read(p, e);
	return r < 0 ? err_wrap(e, r, "read the VFs of %s", p->pf.netdev) : 0;
}

int settings_read_all(struct vfm *v, const struct vfm_function *pf, struct vfm_settings *vf,
	size_t n, struct err *e)
{
	struct pf_vfs p = {.v = v, .pf = *pf, .vf = vf, .n = n};
	int r = ports_alloc(&p, e);

	if (r == 0)
		r = pf_vfs_read(&p, e);
	free(p.port);
	return r;
}

int pf_vfs_init(struct pf_vfs *p, struct vfm *v, struct bdf pf, size_t min, struct err *e)
{
	char name[BDF_STRLEN];
	int r;

	*p = (struct pf_vfs){.v = v};
	if (function_read_some(v, pf, NULL, 0, FUNCTION_NO_OVERRIDE | FUNCTION_NO_RECORD, &p->pf) <
			0 ||
		!*p->pf.netdev || p->pf.ifindex <= 0)
		return err_set(e, ENOTSUP,
			"its PF %s has no network interface here (driver %s): VFs are set through "
			"that; is it in another network namespace?",
			bdf_format(pf, name), *p->pf.driver ? p->pf.driver : "none");
	p->n = p->pf.num_vfs > min ? p->pf.num_vfs : min;
	p->vf = calloc(p->n, sizeof(*p->vf));
	if (!p->vf)
		return err_sys(e, ENOMEM, "VF settings");
	r = ports_alloc(p, e);
	return r < 0 ? r : pf_vfs_read(p, e);
}

void pf_vfs_finish(struct pf_vfs *p)
{
	free(p->vf);
	free(p->port);
}

static int carrier_is_on_or_untold(struct vfm *v, void *pf)
{
	return function_carrier(v, pf) != 0;
}

/*
 * igb takes a rate, also none, only of a PF with a link, which the carve before may just have taken down.
 * One that stays without is the driver's to judge.
 */
static void rate_wait(struct pf_vfs *p)
{
	unsigned ms = p->v->timeout_ms < CARRIER_TIMEOUT_MS ? p->v->timeout_ms : CARRIER_TIMEOUT_MS;
	enum vfm_phase outer;

	if (p->no_link)
		return;
	outer = phase_enter(p->v, VFM_PHASE_LINK_UP);
	p->no_link = wait_until(p->v, "the PF's link", ms, carrier_is_on_or_untold, &p->pf) ==
		     -ETIMEDOUT;
	phase_enter(p->v, outer);
}

int pf_vfs_set(struct pf_vfs *p, unsigned index, const struct vfm_settings *s, uint32_t bits,
	struct err *e)
{
	const struct vfm_port *port = p->port ? &p->port[index] : NULL;
	struct devlink_handle h;

	devlink_handle_of(p->pf.bdf, &h);
	if (port && port->there && port->has_mac && bits == VFM_BIT(MAC))
		return devlink_port_set_mac(p->v, &h, port->index, s->mac, e);
	if (port && port->there && port->has_rate && bits == VFM_RATE_BITS)
		return devlink_port_set_rate(p->v, &h, port->index,
			(uint64_t)s->min_rate * BYTES_PER_MBIT,
			(uint64_t)s->max_rate * BYTES_PER_MBIT, e);
	if (bits == VFM_RATE_BITS)
		rate_wait(p);
	return link_set_vf(p->v, p->pf.ifindex, index, s, bits, e);
}
