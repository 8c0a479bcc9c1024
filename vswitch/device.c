// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/holder.h"
#include "common/sysfs.h"
#include "vswitch/device.h"

static int pci_check(const char *bdf_text, const char *port, struct err *e)
{
	char path[128], driver[64];
	struct sysfs sys = {-1};
	struct bdf bdf;
	int r;

	if (bdf_parse(bdf_text, &bdf) < 0)
		return 0;
	r = sysfs_open("/", &sys);
	if (r < 0)
		return err_sys(e, -r, "port '%s': look at %s", port, bdf_text);
	if (!sysfs_exists(&sys, sysfs_pci_path(bdf, "", path, sizeof(path)))) {
		r = err_set(e, ENODEV,
			"port '%s': there is no PCI function %s; `viaduct vf list` shows those "
			"there "
			"are",
			port, bdf_text);
	} else if (sysfs_link_name(&sys, sysfs_pci_path(bdf, "driver", path, sizeof(path)), driver,
			   sizeof(driver)) < 0) {
		r = err_set(e, ENODEV,
			"port '%s': %s has no driver; bind it first: viaduct vf bind %s vfio-pci",
			port, bdf_text, bdf_text);
	} else if (strcmp(driver, "vfio-pci")) {
		r = err_set(e, EBUSY,
			"port '%s': %s is bound to %s; bind it first: viaduct vf bind %s vfio-pci",
			port, bdf_text, driver, bdf_text);
	}
	sysfs_close(&sys);
	return r;
}

/* Who else has the IOMMU group of @bdf_text open? Returns false when nobody is seen. */
static bool pci_holder(const char *bdf_text, struct holder *ret)
{
	char path[128], group[32], node[64];
	struct sysfs sys = {-1};
	struct bdf bdf;
	bool found = false;

	if (bdf_parse(bdf_text, &bdf) < 0 || sysfs_open("/", &sys) < 0)
		return false;
	if (sysfs_link_name(&sys, sysfs_pci_path(bdf, "iommu_group", path, sizeof(path)), group,
		    sizeof(group)) > 0) {
		snprintf(node, sizeof(node), "/dev/vfio/%s", group);
		found = holder_find(&sys, node, ret) == 1;
	}
	sysfs_close(&sys);
	return found;
}

/* -1: there is none. */
static int interface_flags(const char *name)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {0};

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%.*s", IFNAMSIZ - 1, name);
	return fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &req) ? req.ifr_flags & 0xffff : -1;
}

static int pcap_check(const struct port_config *cfg, struct err *e)
{
	char dir[CONFIG_DEV_MAX];
	int fd;

	if (cfg->path[0]) {
		fd = open(cfg->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			return err_sys(e, errno, "port '%s': read %s", cfg->name, cfg->path);
		fd_close(fd);
	}
	snprintf(dir, sizeof(dir), "%s", cfg->device);
	if (cfg->device[0] && access(dirname(dir), W_OK) < 0)
		return err_sys(e, errno, "port '%s': write %s", cfg->name, cfg->device);
	return 0;
}

int device_check(const struct port_config *cfg, struct err *e, char ret_args[DEVICE_ARGS_MAX])
{
	const char *name = cfg->name, *dev = cfg->device;
	char first[CONFIG_DEV_MAX];
	int r = 0;

	switch (cfg->kind) {
	case PORT_VHOST_USER: return err_set(e, EINVAL, "port '%s' is no device", name);
	case PORT_PCI:
		snprintf(ret_args, DEVICE_ARGS_MAX, "%s", dev);
		return pci_check(dev, name, e);
	case PORT_TAP:
		if (access("/dev/net/tun", R_OK | W_OK) < 0)
			return err_sys(e, errno, "port '%s': make the tap %s: open /dev/net/tun",
				name, dev);
		snprintf(ret_args, DEVICE_ARGS_MAX, "net_tap_%s,iface=%s", name, dev);
		return 0;
	case PORT_AF_PACKET:
		if (interface_flags(dev) < 0)
			return err_set(e, ENODEV,
				"port '%s': there is no interface '%s'; `ip link` shows those "
				"there are",
				name, dev);
		snprintf(ret_args, DEVICE_ARGS_MAX, "net_af_packet_%s,iface=%s", name, dev);
		return 0;
	case PORT_PCAP:
		r = pcap_check(cfg, e);
		snprintf(ret_args, DEVICE_ARGS_MAX, "net_pcap_%s%s%s%s%s", name,
			cfg->path[0] ? ",rx_pcap=" : "", cfg->path, dev[0] ? ",tx_pcap=" : "", dev);
		return r;
	case PORT_DEVICE:
		snprintf(ret_args, DEVICE_ARGS_MAX, "%s", dev);
		snprintf(first, sizeof(first), "%s", dev);
		first[strcspn(first, ",")] = '\0';
		return pci_check(first, name, e);
	}
	return r;
}

int device_explain(const struct port_config *cfg, int code, struct err *e)
{
	const char *name = cfg->name, *dev = cfg->device;
	struct holder h;

	switch (cfg->kind) {
	case PORT_PCI:
		if (pci_holder(dev, &h))
			return err_set(e, EBUSY,
				"port '%s': %s is in use by %s (process %d); end it first", name,
				dev, h.comm, (int)h.pid);
		return err_sys(e, code,
			"port '%s': DPDK cannot take %s: it needs access to /dev/vfio, enough "
			"RLIMIT_MEMLOCK for memory-mib, and a driver for the model (igb, e1000 and "
			"their VFs); VIADUCT_LOG=debug shows what it says",
			name, dev);
	case PORT_TAP:
		return err_sys(e, code,
			"port '%s': make the tap %s: it needs CAP_NET_ADMIN, and nobody else may "
			"have the name",
			name, dev);
	case PORT_AF_PACKET:
		return err_sys(e, code, "port '%s': open %s: it needs CAP_NET_RAW", name, dev);
	case PORT_PCAP:
		return err_sys(e, code, "port '%s': read %s, write %s: is it a capture file", name,
			cfg->path[0] ? cfg->path : "nothing", dev[0] ? dev : "nothing");
	case PORT_DEVICE:
	case PORT_VHOST_USER: break;
	}
	return err_sys(e, code,
		"port '%s': no DPDK driver takes the device '%s'; a PCI function must be bound to "
		"vfio-pci, others are named as in 'net_tap0,iface=NAME'",
		name, dev);
}

bool device_link_down(const struct port_config *cfg, const char **ret_why)
{
	int flags;

	if (cfg->kind != PORT_TAP && cfg->kind != PORT_AF_PACKET)
		return false;
	flags = interface_flags(cfg->device);
	/* A tap may have been given to another network namespace, and works there. */
	if (flags < 0 && cfg->kind == PORT_TAP)
		return false;
	if (flags < 0)
		*ret_why = "the interface is gone: delete the port and add it again";
	else if (!(flags & IFF_UP))
		*ret_why = "the interface is down: ip link set it up";
	else if (!(flags & IFF_RUNNING))
		*ret_why = "the interface has no carrier";
	else
		return false;
	return true;
}
