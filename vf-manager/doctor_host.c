// SPDX-License-Identifier: GPL-2.0-or-later
/* The machine as a whole: who asks, where we run, its processor, kernel and modules. */
#include "vf-manager/doctor_priv.h"

#include <errno.h>
#include <linux/capability.h>
#include <netlink/utils.h>
#include <netlink/version.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"

/* ---- who asks ---- */

static void privilege_run(struct doctor *d)
{
	static const struct {
		unsigned cap;
		const char *name, *hides;
	} wanted[] = {
		{CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "config space beyond 64 bytes, binding drivers"},
		{CAP_NET_ADMIN, "CAP_NET_ADMIN", "what VFs are given"},
		{CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "other users' open devices"},
		{CAP_SYSLOG, "CAP_SYSLOG", "the kernel log"},
	};
	char missing[256] = "";
	int uid = effective_uid(d->v);
	size_t len = 0;

	if (uid < 0) {
		doctor_say(d, VFM_SKIP, "/proc/self/status cannot be read");
		doctor_fix(d, "mount /proc");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wanted) && len < sizeof(missing); i++) {
		if (capability_has(d->v, wanted[i].cap) != 1)
			len += (size_t)snprintf(missing + len, sizeof(missing) - len, "%s%s (%s)",
				len ? ", " : "", wanted[i].name, wanted[i].hides);
	}
	if (!len) {
		doctor_say(d, VFM_PASS, "user %d has every capability this needs", uid);
		return;
	}
	doctor_say(d, VFM_WARN, "user %d lacks %s: checks that need it are skipped", uid, missing);
	doctor_fix(d, uid ? "run as root: sudo viaduct doctor"
			  : "give the container these capabilities, or run on the host");
}

const struct doctor_check doctor_privilege = {
	.id = "privilege",
	.title = "may the caller see everything",
	.scope = DOCTOR_HOST,
	.run = privilege_run,
};

/* ---- where we run ---- */

static bool container_name(struct vfm *v, char *buf, size_t size)
{
	static const struct {
		const char *file, *name;
	} marks[] = {{".dockerenv", "docker"}, {"run/.containerenv", "podman"},
		{"dev/lxd/sock", "lxd"}, {"dev/.lxc", "lxc"}};

	char comm[32];

	/* Marks outlive what they were made for (an image copied from one). The kernel's own thread
	 * is process 2 where the process ids are the machine's. */
	if (sysfs_read(&v->sys, "proc/2/comm", comm, sizeof(comm)) > 0 && !strcmp(comm, "kthreadd"))
		return false;
	if (sysfs_read(&v->sys, "run/systemd/container", buf, size) > 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		if (sysfs_exists(&v->sys, marks[i].file)) {
			snprintf(buf, size, "%s", marks[i].name);
			return true;
		}
	}
	return false;
}

static bool sysfs_is_read_only(struct vfm *v)
{
	_cleanup_free_ char *text = NULL;
	char *next, *line;

	if (text_load(v, "proc/self/mounts", CONF_FILE_MAX, &text) < 0)
		return false;
	next = text;
	while ((line = line_next(&next))) {
		char type[32], where[64], options[64];

		/* The options begin with ro or rw. */
		if (sscanf(line, "%*s %63s %31s %63s", where, type, options) == 3 &&
			!strcmp(where, "/sys") && !strcmp(type, "sysfs"))
			return !strncmp(options, "ro", 2) && strchr(",", options[2]);
	}
	return false;
}

static void environment_run(struct doctor *d)
{
	char container[64], vendor[64] = "", product[64] = "";
	bool vm = cpu_flag(d->v, "hypervisor");

	if (sysfs_read(&d->v->sys, "sys/class/dmi/id/sys_vendor", vendor, sizeof(vendor)) < 0)
		*vendor = '\0';
	if (sysfs_read(&d->v->sys, "sys/class/dmi/id/product_name", product, sizeof(product)) < 0)
		*product = '\0';
	if (sysfs_is_read_only(d->v)) {
		doctor_say(d, VFM_FAIL,
			"/sys is mounted read-only: nothing can be carved or "
			"bound from here");
		doctor_fix(d, "run on the host, or in a privileged container");
	} else if (container_name(d->v, container, sizeof(container))) {
		doctor_say(d, VFM_WARN,
			"in a container (%s)%s: the host's services, leases and other processes "
			"are not seen",
			container, vm ? " in a virtual machine" : "");
		doctor_fix(d, "run on the host");
	} else if (vm) {
		doctor_say(d, VFM_PASS,
			"in a virtual machine (%s%s%s): its IOMMU, SR-IOV and KVM are what the "
			"hypervisor gives; firmware settings are not to be seen",
			*vendor ? vendor : "unknown", *product ? " " : "", product);
	} else {
		doctor_say(d, VFM_PASS, "on the machine itself%s%s%s%s", *vendor ? ": " : "",
			vendor, *product ? " " : "", product);
	}
}

const struct doctor_check doctor_environment = {
	.id = "environment",
	.title = "machine, virtual machine or container",
	.scope = DOCTOR_HOST,
	.run = environment_run,
};

/* ---- processor and KVM ---- */

static void cpu_virtualisation_run(struct doctor *d)
{
	const char *flag = cpu_virtualisation(d->v);

	if (*flag) {
		doctor_say(d, VFM_PASS, "the processor has %s (%s)",
			strcmp(flag, "vmx") ? "AMD-V" : "VT-x", flag);
		return;
	}
	if (!cpu_flag(d->v, "fpu")) {
		doctor_say(d, VFM_SKIP, "/proc/cpuinfo has no flags of an x86 processor");
		return;
	}
	doctor_say(d, VFM_FAIL, "the processor shows neither VT-x (vmx) nor AMD-V (svm)");
	if (cpu_flag(d->v, "hypervisor"))
		doctor_fix(d,
			"turn nested virtualisation on in the hypervisor, or use the lab: viaduct "
			"lab run");
	else
		doctor_fix(d, "turn %s on in the firmware set-up",
			cpu_is_amd(d->v) ? "SVM (AMD-V)" : "VT-x");
}

const struct doctor_check doctor_cpu_virtualisation = {
	.id = "cpu-virtualization",
	.title = "the processor can run guests",
	.scope = DOCTOR_HOST,
	.stop = true,
	.run = cpu_virtualisation_run,
};

static void kvm_access_run(struct doctor *d)
{
	const char *module = cpu_is_amd(d->v) ? "kvm_amd" : "kvm_intel";
	char name[USER_MAX];
	int r;

	if (!sysfs_exists(&d->v->sys, "dev/kvm")) {
		doctor_say(d, VFM_FAIL, "there is no /dev/kvm");
		doctor_fix(d, "modprobe %s (dmesg tells why when that fails)", module);
		return;
	}
	r = user_may_write(d, "dev/kvm");
	if (r == 1) {
		doctor_say(d, VFM_PASS, "%s may open /dev/kvm", user_name(d));
	} else if (r == 0) {
		doctor_say(d, VFM_FAIL, "%s may not open /dev/kvm", user_name(d));
		doctor_fix(d, "usermod -aG kvm %s, and log in again", user_account(d, name));
	} else if (r == -ESRCH) {
		doctor_say(d, VFM_FAIL, "there is no user %s", user_name(d));
		doctor_fix(d, "name one that exists: --user");
	} else {
		doctor_say(d, VFM_SKIP, "whether %s may open /dev/kvm cannot be told: %s",
			user_name(d), strerror(-r));
		doctor_fix(d, "run as root to ask for another user");
	}
}

const struct doctor_check doctor_kvm_access = {
	.id = "kvm-access",
	.title = "/dev/kvm is there and may be opened",
	.scope = DOCTOR_HOST,
	.stop = true,
	.run = kvm_access_run,
};

/* ---- lockdown ---- */

static void lockdown_run(struct doctor *d)
{
	char text[96];
	int r = sysfs_read(&d->v->sys, "sys/kernel/security/lockdown", text, sizeof(text));

	if (r < 0 && sysfs_exists(&d->v->sys, "sys/kernel/security/lsm")) {
		doctor_say(d, VFM_PASS, "this kernel has no lockdown");
	} else if (r < 0) {
		doctor_say(d, VFM_SKIP, "/sys/kernel/security/lockdown cannot be read: %s",
			strerror(-r));
		doctor_fix(d, "mount -t securityfs securityfs /sys/kernel/security");
	} else if (strstr(text, "[none]")) {
		doctor_say(d, VFM_PASS, "the kernel is not locked down");
	} else if (strstr(text, "[integrity]") || strstr(text, "[confidentiality]")) {
		doctor_say(d, VFM_WARN,
			"the kernel is locked down (%s): mapping a BAR through sysfs, writing "
			"config "
			"space and mstconfig are refused; VFIO, carving and binding work",
			strstr(text, "[integrity]") ? "integrity" : "confidentiality");
		doctor_fix(d, "set the card up before booting with secure boot, if its firmware "
			      "tool is needed");
	} else {
		doctor_say(d, VFM_SKIP, "/sys/kernel/security/lockdown says '%s'", text);
	}
}

const struct doctor_check doctor_lockdown = {
	.id = "lockdown",
	.title = "the kernel is not locked down",
	.scope = DOCTOR_HOST,
	.run = lockdown_run,
};

/* ---- modules ---- */

/* 'l' loaded, 'y' built in, 'm' can be loaded, 'n' not to be had, '?' unknown. */
static char module_state(struct vfm *v, const char *name, const char *config)
{
	_cleanup_free_ char *text = NULL;
	char path[192], release[96], file[64];

	snprintf(path, sizeof(path), "sys/module/%s", name);
	if (sysfs_exists(&v->sys, path))
		return 'l';
	kernel_version(v, release, sizeof(release));
	if (!name_is_plain(release))
		return '?';
	for (int builtin = 1; builtin >= 0; builtin--) {
		/* Files are called vfio-pci.ko or vfio_pci.ko, by the taste of their makers. */
		snprintf(path, sizeof(path), "lib/modules/%s/modules.%s", release,
			builtin ? "builtin" : "dep");
		free(ptr_steal(text));
		if (text_load(v, path, 4u << 20, &text) < 0)
			continue;
		snprintf(file, sizeof(file), "/%s.ko", name);
		if (strstr(text, file))
			return builtin ? 'y' : 'm';
		for (char *c = file; *c; c++)
			*c = *c == '_' ? '-' : *c;
		if (strstr(text, file))
			return builtin ? 'y' : 'm';
	}
	switch (kernel_config(v, config)) {
	case 'y': return 'y';
	case 'n': return 'n';
	default: return text ? 'n' : '?';
	}
}

static void vfio_modules_run(struct doctor *d)
{
	static const struct {
		const char *name, *config;
	} wanted[] = {{"vfio", "CONFIG_VFIO"}, {"vfio_pci", "CONFIG_VFIO_PCI"},
		{"vfio_iommu_type1", "CONFIG_VFIO_IOMMU_TYPE1"}};
	char absent[128] = "", later[128] = "", unknown[128] = "", *list;
	bool cdev = sysfs_exists(&d->v->sys, "dev/vfio/devices") ||
		    kernel_config(d->v, "CONFIG_VFIO_DEVICE_CDEV") == 'y';
	bool iommufd = sysfs_exists(&d->v->sys, "dev/iommu") ||
		       sysfs_exists(&d->v->sys, "sys/module/iommufd");

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		char state = module_state(d->v, wanted[i].name, wanted[i].config);
		size_t n;

		/* With iommufd the type 1 driver is one of two. */
		if (state == 'n' && i == 2 && iommufd)
			continue;
		list = state == 'n' ? absent : state == 'm' ? later : state == '?' ? unknown : NULL;
		if (!list)
			continue;
		n = strlen(list);
		snprintf(list + n, sizeof(absent) - n, "%s%s", n ? ", " : "", wanted[i].name);
	}
	if (*absent) {
		doctor_say(d, VFM_FAIL, "this kernel has no %s", absent);
		doctor_fix(d, "run a kernel with CONFIG_VFIO_PCI (Debian: linux-image-amd64; the "
			      "cloud kernels lack drivers)");
	} else if (*unknown) {
		doctor_say(d, VFM_SKIP, "whether this kernel has %s cannot be told", unknown);
		doctor_fix(d, "modprobe vfio-pci, and look again");
	} else {
		doctor_say(d, VFM_PASS, "VFIO is there%s%s%s%s", *later ? "; not loaded yet: " : "",
			later, iommufd ? "; iommufd" : "", cdev ? "; device nodes" : "");
	}
}

const struct doctor_check doctor_vfio_modules = {
	.id = "vfio-modules",
	.title = "the kernel has VFIO",
	.scope = DOCTOR_HOST,
	.stop = true,
	.run = vfio_modules_run,
};

/* ---- versions ---- */

static void versions_run(struct doctor *d)
{
	char release[96];
	unsigned version = kernel_version(d->v, release, sizeof(release));

	if (!version) {
		doctor_say(d, VFM_SKIP, "the kernel's release is not to be read");
		return;
	}
	if (version < 507) {
		doctor_say(d, VFM_WARN,
			"Linux %s: no SR-IOV of a PF that VFIO has, nor VF tokens (since 5.7)",
			release);
		doctor_fix(d, "run a kernel of 5.19 or later");
	} else if (version < 519) {
		doctor_say(d, VFM_WARN,
			"Linux %s: who may do DMA in a group is not tracked (since 5.19), so a "
			"driver can be bound beside a guest's device",
			release);
		doctor_fix(d, "run a kernel of 5.19 or later");
	} else {
		doctor_say(d, VFM_PASS, "Linux %s, libnl %d.%d.%d%s", release, nl_ver_maj,
			nl_ver_min, nl_ver_mic,
			version < 617 ? "; VF tokens are not asked for on VFIO device nodes "
					"(since 6.17)"
				      : "");
	}
	if (nl_ver_num < LIBNL_VER(3, 7)) {
		doctor_say(d, VFM_WARN, "libnl %d.%d.%d is older than 3.7", nl_ver_maj, nl_ver_min,
			nl_ver_mic);
		doctor_fix(d, "install libnl 3.7 or later");
	}
}

const struct doctor_check doctor_versions = {
	.id = "versions",
	.title = "kernel and libraries are recent enough",
	.scope = DOCTOR_HOST,
	.run = versions_run,
};
