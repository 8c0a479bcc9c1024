// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/devlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/devlink_internal.h"
#include "vf-manager/internal.h"

#define DUMP_TRIES 4 /* a port that comes while ports are listed makes the list void */

static const char *const mode_names[] = {"legacy", "switchdev"};

const char *vfm_eswitch_name(enum vfm_eswitch mode)
{
	return (unsigned)mode < ARRAY_SIZE(mode_names) ? mode_names[mode] : "unknown";
}

int vfm_eswitch_parse(const char *text, enum vfm_eswitch *ret, struct err *e)
{
	for (unsigned i = 0; i < ARRAY_SIZE(mode_names); i++)
		if (!strcmp(text, mode_names[i])) {
			*ret = (enum vfm_eswitch)i;
			return 0;
		}
	return err_set(e, EINVAL, "'%s' is no eswitch mode: legacy or switchdev is", text);
}

static void cleanup_msg(struct nl_msg **m)
{
	nlmsg_free(*m);
}

/* "devlink: <strerror>; the kernel says: ...; <what it means>" */
static int refused(int r, const struct err *said, struct err *e)
{
	const char *why = explain(VFM_AT_DEVLINK, -r, "");

	err_sys(e, -r, "devlink");
	if (said->code)
		err_append(e, "%s", said->text);
	if (*why)
		err_append(e, "%s", why);
	return r;
}

/* devlink's number among the families of this kernel. */
static int family_get(struct vfm *v, uint16_t *ret, struct err *e)
{
	_cleanup_(cleanup_msg) struct nl_msg *m = devmsg_family();
	_cleanup_free_ void *reply = NULL;
	struct err said = {0};
	size_t len = 0;
	int r;

	if (v->devlink_family) {
		*ret = v->devlink_family;
		return 0;
	}
	r = netlink_talk(v, NETLINK_GENERIC, m, &reply, &len);
	if (r >= 0)
		r = devmsg_family_decode(reply, len, ret, &said);
	if (r == -ENOENT || r == -EPROTONOSUPPORT)
		return err_set(e, EOPNOTSUPP, "this kernel has no devlink (CONFIG_NET_DEVLINK)");
	if (r < 0)
		return refused(r, &said, e);
	v->devlink_family = *ret;
	return 0;
}

/* A driver that is not in devlink has no device there. */
static int no_device(int r, const struct devlink_handle *h, struct err *e)
{
	return r == -ENODEV ? err_set(e, EOPNOTSUPP,
				      "devlink has no %s/%s: its driver has no such switch", h->bus,
				      h->dev)
			    : r;
}

int devlink_eswitch_get(
	struct vfm *v, const struct devlink_handle *h, enum vfm_eswitch *ret, struct err *e)
{
	_cleanup_(cleanup_msg) struct nl_msg *m = NULL;
	_cleanup_free_ void *reply = NULL;
	struct err said = {0};
	uint16_t family;
	size_t len = 0;
	int r = family_get(v, &family, e);

	if (r < 0)
		return r;
	m = devmsg_eswitch_get(family, h);
	r = netlink_talk(v, NETLINK_GENERIC, m, &reply, &len);
	if (r >= 0)
		r = devmsg_eswitch_decode(reply, len, h, ret, &said);
	if (r == -EPROTO)
		return err_set(e, EPROTO, "the eswitch is in a mode we do not know");
	if (r == -EOPNOTSUPP)
		return err_set(e, EOPNOTSUPP, "its driver has no eswitch modes");
	return r < 0 ? no_device(refused(r, &said, e), h, e) : 0;
}

/* One request that is acknowledged. */
static int acked(struct vfm *v, struct nl_msg *request, struct err *e)
{
	_cleanup_(cleanup_msg) struct nl_msg *m = request;
	_cleanup_free_ void *reply = NULL;
	struct err said = {0};
	size_t len = 0;
	int r = netlink_talk(v, NETLINK_GENERIC, m, &reply, &len);

	if (r >= 0)
		r = devmsg_ack_decode(reply, len, &said);
	return r < 0 ? refused(r, &said, e) : 0;
}

struct mode_arg {
	struct devlink_handle h;
	uint16_t family;
	enum vfm_eswitch mode;
};

static int mode_set_do(struct vfm *v, const void *arg, void *reply)
{
	const struct mode_arg *a = arg;

	return acked(v, devmsg_eswitch_set(a->family, &a->h, a->mode), reply);
}

int devlink_eswitch_set(struct vfm *v, const struct devlink_handle *h, enum vfm_eswitch mode,
	pid_t *ret_stuck, struct err *e)
{
	struct mode_arg a = {.h = *h, .mode = mode};
	struct err said = {0};
	char what[64];
	const struct worker_call c = {
		.what = what,
		.fn = mode_set_do,
		.arg = &a,
		.arg_size = sizeof(a),
		.reply = &said,
		.reply_size = sizeof(said),
		.timeout_ms = v->timeout_ms,
		.with_locks = true,
		.ret_stuck = ret_stuck,
	};
	int r = family_get(v, &a.family, e);

	if (r < 0)
		return r;
	snprintf(what, sizeof(what), "the eswitch to go to %s mode", vfm_eswitch_name(mode));
	/* The driver makes or destroys a port for each VF: seconds, or never if it hangs. */
	r = worker_run(v, &c);
	if (r == -ETIMEDOUT && *ret_stuck)
		return err_set(e, ETIMEDOUT,
			"eswitch mode %s: not done after %u s; process %d still waits for the "
			"kernel",
			vfm_eswitch_name(mode), v->timeout_ms / 1000, (int)*ret_stuck);
	if (r < 0)
		err_set(e, -r, "eswitch mode %s: %s", vfm_eswitch_name(mode),
			said.code ? said.text : strerror(-r));
	return r;
}

/* @rates: else the ports. Into what is there already when the dump fails half-way. */
static int dump(struct vfm *v, uint16_t family, bool rates, const struct devlink_handle *h,
	unsigned pf_number, struct vfm_port *port, size_t n, struct err *e)
{
	struct err said = {0};
	int r = -EAGAIN;

	for (int i = 0; r == -EAGAIN && i < DUMP_TRIES; i++) {
		_cleanup_(cleanup_msg) struct nl_msg *m =
			rates ? devmsg_rates(family) : devmsg_ports(family);
		_cleanup_free_ void *reply = NULL;
		size_t len = 0;

		r = netlink_talk(v, NETLINK_GENERIC, m, &reply, &len);
		if (r < 0)
			continue;
		r = rates ? devmsg_rates_decode(reply, len, h, port, n, &said)
			  : devmsg_ports_decode(reply, len, h, pf_number, port, n, &said);
	}
	return r < 0 ? refused(r, &said, e) : 0;
}

int devlink_ports_get(struct vfm *v, const struct devlink_handle *h, unsigned pf_number,
	struct vfm_port *ret, size_t n, struct err *e)
{
	uint16_t family;
	int r = family_get(v, &family, e);

	if (r < 0)
		return r;
	memset(ret, 0, n * sizeof(*ret));
	r = dump(v, family, false, h, pf_number, ret, n, e);
	if (r < 0)
		return r;
	r = dump(v, family, true, h, pf_number, ret, n, e);
	/* Kernels before 5.14 have no rates. */
	return r == -EOPNOTSUPP || r == -EINVAL ? 0 : r;
}

int devlink_port_set_mac(struct vfm *v, const struct devlink_handle *h, uint32_t port,
	const uint8_t mac[static 6], struct err *e)
{
	uint16_t family;
	int r = family_get(v, &family, e);

	return r < 0 ? r : acked(v, devmsg_port_mac(family, h, port, mac), e);
}

int devlink_port_set_rate(struct vfm *v, const struct devlink_handle *h, uint32_t port,
	uint64_t tx_share, uint64_t tx_max, struct err *e)
{
	uint16_t family;
	int r = family_get(v, &family, e);

	return r < 0 ? r : acked(v, devmsg_port_rate(family, h, port, tx_share, tx_max), e);
}

void devlink_handle_of(struct bdf b, struct devlink_handle *ret)
{
	char name[BDF_STRLEN];

	*ret = (struct devlink_handle){.bus = "pci"};
	snprintf(ret->dev, sizeof(ret->dev), "%s", bdf_format(b, name));
}

/* --- of a PF --- */

static int pf_open(struct vfm *v, struct bdf pf, struct vfm_function *f, struct err *e)
{
	char name[BDF_STRLEN];

	if (function_read(v, pf, f) < 0)
		return err_set(e, ENODEV, "no such PCI function ('viaduct vf list' shows them)");
	if (f->kind == VFM_VF)
		return err_set(e, EOPNOTSUPP, "this is VF %d of %s: the PF has the eswitch",
			f->index, bdf_format(f->pf, name));
	return 0;
}

int vfm_eswitch_get(struct vfm *v, struct bdf pf, enum vfm_eswitch *ret, struct err *e)
{
	struct devlink_handle h;
	struct vfm_function f;
	char name[BDF_STRLEN];
	int r = pf_open(v, pf, &f, e);

	devlink_handle_of(pf, &h);
	if (r == 0)
		r = devlink_eswitch_get(v, &h, ret, e);
	return r < 0 ? err_wrap(e, r, "eswitch of %s", bdf_format(pf, name)) : 0;
}

int vfm_ports_get(struct vfm *v, struct bdf pf, struct vfm_port *ret, size_t n, struct err *e)
{
	struct devlink_handle h;
	struct vfm_function f;
	char name[BDF_STRLEN];
	int r = pf_open(v, pf, &f, e);

	devlink_handle_of(pf, &h);
	if (r == 0)
		r = devlink_ports_get(v, &h, pf.fn, ret, n, e);
	return r < 0 ? err_wrap(e, r, "ports of %s", bdf_format(pf, name)) : 0;
}

/* After a failure: is it as it was? Else put it back, or say in @e that it is not. */
static void eswitch_undo(struct vfm *v, const struct devlink_handle *h, enum vfm_eswitch before,
	pid_t stuck, struct err *e)
{
	const volatile sig_atomic_t *cancel = v->cancel;
	enum vfm_eswitch now = before;
	struct err why = {0};
	int r;

	if (stuck) {
		err_append(e, "the eswitch mode is left to that request");
		return;
	}
	v->cancel = NULL;
	r = devlink_eswitch_get(v, h, &now, &why);
	if (r == 0 && now != before) {
		r = devlink_eswitch_set(v, h, before, &stuck, &why);
		if (r == 0)
			r = devlink_eswitch_get(v, h, &now, &why);
		if (r == 0 && now != before)
			r = err_set(&why, EIO, "it stays %s", vfm_eswitch_name(now));
	}
	v->cancel = cancel;
	if (r < 0)
		err_append(e, "not undone: the eswitch mode was %s: %s", vfm_eswitch_name(before),
			why.text);
}

static int eswitch_set_locked(
	struct vfm *v, struct bdf pf, enum vfm_eswitch mode, bool *ret_changed, struct err *e)
{
	enum vfm_eswitch before = VFM_ESWITCH_LEGACY, now = before;
	struct devlink_handle h;
	struct vfm_function f;
	pid_t stuck = 0;
	int r = pf_open(v, pf, &f, e);

	devlink_handle_of(pf, &h);
	if (r == 0)
		r = devlink_eswitch_get(v, &h, &before, e);
	if (r < 0 || before == mode)
		return r;
	r = lock_domain(v, pf, true, e);
	if (r < 0)
		return r;
	r = refuse_if_any_used(
		v, &f, "its port on the eswitch would be made anew", false, false, e);
	if (r < 0)
		return r;
	r = devlink_eswitch_set(v, &h, mode, &stuck, e);
	if (r == 0)
		r = devlink_eswitch_get(v, &h, &now, e);
	if (r == 0 && now != mode)
		r = err_set(e, EIO, "eswitch mode %s set, but the kernel reports %s",
			vfm_eswitch_name(mode), vfm_eswitch_name(now));
	if (r < 0)
		eswitch_undo(v, &h, before, stuck, e);
	else if (ret_changed)
		*ret_changed = true;
	return r;
}

int vfm_eswitch_set(
	struct vfm *v, struct bdf pf, enum vfm_eswitch mode, bool *ret_changed, struct err *e)
{
	_drops_locks_ struct vfm *locked = v;
	char name[BDF_STRLEN];
	int r;

	if (ret_changed)
		*ret_changed = false;
	r = eswitch_set_locked(v, pf, mode, ret_changed, e);
	return r < 0 ? err_wrap(e, r, "eswitch of %s", bdf_format(pf, name)) : 0;
}
