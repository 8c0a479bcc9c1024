// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"
#include "vf-manager/vfattr.h"

#define SYMBOLS_MAX (128u << 20) /* bytes of /proc/kallsyms; some 10 MB on a big kernel */

/* Files of net/NAME/statistics too, but for broadcast, which has none. */
static const char *const counter_names[VFM_COUNTERS] = {
	[VFM_RX_PACKETS] = "rx_packets",
	[VFM_TX_PACKETS] = "tx_packets",
	[VFM_RX_BYTES] = "rx_bytes",
	[VFM_TX_BYTES] = "tx_bytes",
	[VFM_BROADCAST] = "broadcast",
	[VFM_MULTICAST] = "multicast",
	[VFM_RX_DROPPED] = "rx_dropped",
	[VFM_TX_DROPPED] = "tx_dropped",
};

const char *vfm_counter_name(enum vfm_counter counter)
{
	return counter < VFM_COUNTERS ? counter_names[counter] : "unknown";
}

static void own_read(struct vfm *v, struct bdf b, const char *netdev, struct vfm_counters *ret)
{
	char attr[VFM_NAME_MAX + 48];

	for (unsigned i = 0; i < VFM_COUNTERS; i++) {
		snprintf(attr, sizeof(attr), "net/%s/statistics/%s", netdev, counter_names[i]);
		if (dev_read_u64(v, b, attr, &ret->value[i]) == 0)
			ret->set |= 1u << i;
	}
	ret->seen = ret->set;
}

/* "0000000000000000 t igb_xmit_frame	[igb]": its name, and its module or "" when built in. */
static bool symbol_parse(char *line, char **ret_name, char **ret_module)
{
	char *save = NULL;
	char *address = strtok_r(line, " \t\n", &save);
	char *type = address ? strtok_r(NULL, " \t\n", &save) : NULL;
	char *name = type ? strtok_r(NULL, " \t\n", &save) : NULL;
	char *module = name ? strtok_r(NULL, " \t\n", &save) : NULL;

	if (!name)
		return false;
	*ret_name = name;
	*ret_module = name + strlen(name);
	if (module && *module == '[') {
		*ret_module = module + 1;
		module[strcspn(module, "]")] = '\0';
	}
	return true;
}

/* "ixgbe_ndo_get_vf_stats", "ionic_get_vf_stat"; not "ice_set_vf_state_dis". */
static bool is_stats_call(const char *name)
{
	static const char call[] = "get_vf_stat";
	const char *at = strstr(name, call);

	return at && at[strlen(call)] != 'e';
}

/*
 * Has @driver a call that counts for VFs? The kernel fills in zeros where it has none and does not
 * say so; but a function's name is in the table of symbols, and all drivers in the kernel's sources
 * that have this call have "get_vf_stat" in its name.
 */
static enum vfm_tri driver_counts(struct vfm *v, const char *driver)
{
	char path[VFM_NAME_MAX + 32], module[VFM_NAME_MAX], *name, *of;
	_cleanup_free_ char *line = NULL;
	size_t size = 0, total = 0;
	bool any = false, found = false;
	ssize_t n;
	FILE *f;
	int fd;

	snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s/module", driver);
	if (sysfs_link_name(&v->sys, path, module, sizeof(module)) < 0)
		*module = '\0';
	fd = openat(v->sys.root_fd, "proc/kallsyms", O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f) {
		fd_close(fd);
		return VFM_UNKNOWN;
	}
	while (!found && total < SYMBOLS_MAX && (n = getline(&line, &size, f)) > 0) {
		total += (size_t)n;
		if (!symbol_parse(line, &name, &of) || strcmp(of, module))
			continue;
		/* Of what is built in, only what has the driver's name in front is its. */
		if (!*module && strncmp(name, driver, strlen(driver)))
			continue;
		any = true;
		found = is_stats_call(name);
	}
	fclose(f);
	if (found)
		return VFM_YES;
	return any && *module ? VFM_NO : VFM_UNKNOWN;
}

static bool counts_anything(const struct vfm_counters *c)
{
	for (unsigned i = 0; i < VFM_COUNTERS; i++)
		if (c->set & 1u << i && c->value[i])
			return true;
	return false;
}

/* What the PF's driver counts, into all of @s. */
static int counted_read(
	struct vfm *v, const struct vfm_function *pf, struct vfm_stats *s, size_t n, struct err *e)
{
	_cleanup_free_ struct vfm_counters *c = calloc(n, sizeof(*c));
	enum vfm_tri reported = VFM_NO;
	int r;

	if (!c)
		return err_sys(e, ENOMEM, "statistics of VFs");
	if (*pf->netdev && pf->ifindex > 0) {
		r = link_get_stats(v, pf->ifindex, c, n, e);
		if (r < 0)
			return err_wrap(e, r, "read the VFs of %s", pf->netdev);
		for (size_t i = 0; reported == VFM_NO && i < n; i++)
			if (counts_anything(&c[i]))
				reported = VFM_YES;
		if (reported == VFM_NO)
			reported = driver_counts(v, pf->driver);
	}
	for (size_t i = 0; i < n; i++) {
		s[i].reported = reported == VFM_YES && !c[i].set ? VFM_UNKNOWN : reported;
		if (reported != VFM_NO)
			s[i].counted = c[i];
	}
	return 0;
}

static int stats_read(struct vfm *v, struct bdf pf, struct vfm_stats **ret, struct err *e)
{
	_cleanup_free_ struct vfm_stats *s = NULL;
	struct vfm_function p, f;
	size_t n;
	int r;

	if (function_read(v, pf, &p) < 0)
		return err_set(e, ENODEV, "no such PCI function ('viaduct vf list' shows them)");
	if (p.kind != VFM_PF)
		return err_set(e, ENOTSUP, "not an SR-IOV PF");
	n = p.num_vfs;
	s = calloc(n + 1, sizeof(*s));
	if (!s)
		return err_sys(e, ENOMEM, "statistics of VFs");
	r = n ? counted_read(v, &p, s, n, e) : 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		s[i].pf = pf;
		s[i].index = (int)i;
		memcpy(s[i].driver, p.driver, sizeof(s[i].driver));
		/* One that went away meanwhile stays, as what its PF counted. */
		if (vf_bdf(v, pf, (unsigned)i, &s[i].bdf) < 0 || function_read(v, s[i].bdf, &f) < 0)
			continue;
		s[i].leased = vfm_lease_get(v, s[i].bdf, &s[i].lease) > 0;
		if (!*f.netdev)
			continue;
		memcpy(s[i].netdev, f.netdev, sizeof(s[i].netdev));
		own_read(v, s[i].bdf, f.netdev, &s[i].own);
	}
	*ret = s;
	s = NULL;
	return (int)n;
}

int vfm_stats(struct vfm *v, struct bdf pf, struct vfm_stats **ret, struct err *e)
{
	char name[BDF_STRLEN];
	int r = stats_read(v, pf, ret, e);

	return r < 0 ? err_wrap(e, r, "statistics of %s", bdf_format(pf, name)) : r;
}
