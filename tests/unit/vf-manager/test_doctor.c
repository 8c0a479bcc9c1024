// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Each check of the doctor on a machine where all is well and on ones where what it looks for is
 * wrong; by an ordinary user; with files that hold anything.
 */
#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/fakes/pci_kernel.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/doctor_tree.h"

#define DEVICE_PF  "0000:01:00.0"
#define DEVICE_VF0 "0000:01:10.0"
#define NOBODY     65534

static struct doctor_tree d;
static struct err e;

static void setup(void)
{
	doctor_tree_init(&d);
	e = (struct err){0};
}

static void teardown(void)
{
	doctor_tree_finish(&d);
}

struct wrong {
	const char *check, *device; /* NULL: of the host */
	enum vfm_status status;
	const char *says, *fix; /* parts of its text and fix; NULL: not looked at */
	struct mod mod[MODS];
};

#define ORDINARY "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n"
#define VM_CPU   "vendor_id\t: AuthenticAMD\nflags\t\t: fpu hypervisor sse2\n"
#define NO_ROWS  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
#define SEVEN    NO_ROWS NO_ROWS NO_ROWS NO_ROWS NO_ROWS NO_ROWS NO_ROWS
#define SIX      NO_ROWS NO_ROWS NO_ROWS NO_ROWS NO_ROWS NO_ROWS

/* The machine as it is passes each check that it can; this is what else they find. */
static const struct wrong wrongs[] = {
	{"privilege", NULL, VFM_WARN, "CAP_NET_ADMIN", "sudo", {{"proc/self/status", ORDINARY}}},
	{"privilege", NULL, VFM_WARN, "lacks CAP_SYSLOG", "container",
		{{"proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001fbffffffff\n"}}},
	{"privilege", NULL, VFM_SKIP, "cannot be read", NULL, {{"proc/self/status", NULL}}},
	{"environment", NULL, VFM_WARN, "container (docker)", "host",
		{{".dockerenv", ""}, {"proc/2/comm", NULL}}},
	{"environment", NULL, VFM_WARN, "container (podman)", NULL,
		{{"run/systemd/container", "podman\n"}, {"proc/2/comm", "sh\n"}}},
	{"environment", NULL, VFM_PASS, "the machine itself: ACME", NULL, {{".dockerenv", ""}}},
	{"environment", NULL, VFM_PASS, "virtual machine (ACME Server 9)", NULL,
		{{"proc/cpuinfo", VM_CPU}}},
	{"environment", NULL, VFM_FAIL, "read-only", "host",
		{{"proc/self/mounts", "sysfs /sys sysfs ro,nosuid 0 0\n"}}},
	{"environment", NULL, VFM_PASS, NULL, NULL,
		{{"proc/self/mounts", "sysfs /sys sysfs rw,root 0 0\n"}}},
	{"versions", NULL, VFM_WARN, "since 5.7", "5.19",
		{{"proc/sys/kernel/osrelease", "5.4.0-1\n"}}},
	{"versions", NULL, VFM_WARN, "since 5.19", "5.19",
		{{"proc/sys/kernel/osrelease", "5.18.19\n"}}},
	{"versions", NULL, VFM_PASS, "since 6.17", NULL,
		{{"proc/sys/kernel/osrelease", "6.1.0-28-amd64\n"}}},
	{"versions", NULL, VFM_SKIP, NULL, NULL, {{"proc/sys/kernel/osrelease", "next\n"}}},
	{"lockdown", NULL, VFM_WARN, "integrity", "secure boot",
		{{"sys/kernel/security/lockdown", "none [integrity] confidentiality\n"}}},
	{"lockdown", NULL, VFM_SKIP, NULL, "securityfs", {{"sys/kernel/security/lockdown", NULL}}},
	{"lockdown", NULL, VFM_PASS, "has no lockdown", NULL,
		{{"sys/kernel/security/lockdown", NULL},
			{"sys/kernel/security/lsm", "capability"}}},
	{"cpu-virtualization", NULL, VFM_FAIL, "neither VT-x", "VT-x",
		{{"proc/cpuinfo", "vendor_id : GenuineIntel\nflags : fpu vmxx\n"}}},
	{"cpu-virtualization", NULL, VFM_FAIL, NULL, "SVM",
		{{"proc/cpuinfo", "vendor_id : AuthenticAMD\nflags : fpu\n"}}},
	{"cpu-virtualization", NULL, VFM_FAIL, NULL, "viaduct lab", {{"proc/cpuinfo", VM_CPU}}},
	{"cpu-virtualization", NULL, VFM_PASS, "AMD-V", NULL,
		{{"proc/cpuinfo", "vendor_id : AuthenticAMD\nflags : fpu svm\n"}}},
	{"cpu-virtualization", NULL, VFM_SKIP, NULL, NULL, {{"proc/cpuinfo", NULL}}},
	{"kvm-access", NULL, VFM_FAIL, "no /dev/kvm", "kvm_intel", {{"dev/kvm", NULL}}},
	{"kvm-access", NULL, VFM_FAIL, "no /dev/kvm", "kvm_amd",
		{{"dev/kvm", NULL}, {"proc/cpuinfo", VM_CPU}}},
	{"vfio-modules", NULL, VFM_FAIL, "no vfio_pci", "CONFIG_VFIO_PCI",
		{{"sys/module/vfio_pci", NULL}, {"lib/modules/6.18.2-amd64/modules.dep", "x.ko:\n"},
			{"boot/config-6.18.2-amd64",
				"CONFIG_VFIO=m\n# CONFIG_VFIO_PCI is not set\n"}}},
	{"vfio-modules", NULL, VFM_PASS, "not loaded yet: vfio_pci", NULL,
		{{"sys/module/vfio_pci", NULL},
			{"lib/modules/6.18.2-amd64/modules.dep", "kernel/vfio/vfio-pci.ko.xz:\n"}}},
	{"vfio-modules", NULL, VFM_PASS, NULL, NULL,
		{{"sys/module/vfio_pci", NULL},
			{"boot/config-6.18.2-amd64", "CONFIG_VFIO_PCI=y\n"}}},
	{"vfio-modules", NULL, VFM_SKIP, "vfio_pci", "modprobe", {{"sys/module/vfio_pci", NULL}}},
	{"iommu-table", NULL, VFM_FAIL, "neither", "VT-d",
		{{"sys/firmware/acpi/tables/DMAR", NULL}}},
	{"iommu-table", NULL, VFM_FAIL, "neither", "intremap=on",
		{{"sys/firmware/acpi/tables/DMAR", NULL}, {"proc/cpuinfo", VM_CPU}}},
	{"iommu-table", NULL, VFM_PASS, "IVRS", NULL,
		{{"sys/firmware/acpi/tables/DMAR", NULL}, {"sys/firmware/acpi/tables/IVRS", "x"}}},
	{"iommu-table", NULL, VFM_SKIP, NULL, NULL, {{"sys/firmware", NULL}}},
	{"iommu", NULL, VFM_FAIL, NULL, "take intel_iommu=off off",
		{{"sys/class/iommu", NULL}, {"sys/kernel/iommu_groups", NULL},
			{"proc/cmdline", "quiet intel_iommu=off\n"}}},
	{"iommu", NULL, VFM_FAIL, NULL, "boot with intel_iommu=on",
		{{"sys/class/iommu", NULL}, {"sys/kernel/iommu_groups", NULL},
			{"proc/cmdline", "quiet\n"}}},
	{"iommu", NULL, VFM_FAIL, NULL, "CONFIG_INTEL_IOMMU",
		{{"sys/class/iommu", NULL}, {"sys/kernel/iommu_groups", NULL},
			{"boot/config-6.18.2-amd64", "CONFIG_PCI=y\n"}}},
	{"iommu", NULL, VFM_FAIL, NULL, "see iommu-table",
		{{"sys/class/iommu", NULL}, {"sys/kernel/iommu_groups", NULL},
			{"sys/firmware/acpi/tables/DMAR", NULL}}},
	{"interrupt-remapping", NULL, VFM_FAIL, NULL, "",
		{{"proc/interrupts",
			"  CPU0\n 1: 0 IO-APIC 1-edge i8042\n 2: 3 PCI-MSI 4-edge a\n"}}},
	{"unsafe-interrupts", NULL, VFM_WARN, "allow_unsafe_interrupts", NULL,
		{{"sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n"}}},
	{"no-iommu", NULL, VFM_WARN, NULL, NULL,
		{{"sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n"}}},
	{"acs-override", NULL, VFM_WARN, "pcie_acs_override", NULL,
		{{"proc/cmdline", "intel_iommu=on pcie_acs_override=downstream\n"}}},
	{"memlock", NULL, VFM_WARN, "8 MiB; VFIO locks all of a guest's 1024 MiB",
		"memlock 1048576", {{"proc/self/status", ORDINARY}}},
	{"memlock", NULL, VFM_PASS, "any amount", NULL,
		{{"proc/self/status", ORDINARY},
			{"proc/self/limits", "Max locked memory  unlimited unlimited bytes\n"}}},
	{"memlock", NULL, VFM_PASS, "fits", NULL,
		{{"proc/self/status", ORDINARY},
			{"proc/self/limits", "Max locked memory 2147483648 2147483648 bytes\n"}}},
	{"memlock", NULL, VFM_SKIP, NULL, NULL,
		{{"proc/self/status", ORDINARY},
			{"proc/self/limits", "Max locked memory many x\n"}}},
	{"dma-entry-limit", NULL, VFM_WARN, "allows 64", "65535",
		{{"sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "64\n"}}},
	{"dma-entry-limit", NULL, VFM_SKIP, NULL, NULL,
		{{"sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "-1\n"}}},
	{"hugepages", NULL, VFM_WARN, "100 of 1024", "nr_hugepages=1436",
		{{"sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "100\n"}}},
	{"hugepages", NULL, VFM_PASS, "no huge pages are reserved", NULL,
		{{"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n"}}},
	{"device-cgroup", NULL, VFM_FAIL, "c 511:*", "DeviceAllow",
		{{"sys/fs/cgroup/devices/user/devices.list",
			"c 1:3 rwm\nb 511:* rwm\nc 511:1 r\n"}}},
	{"device-cgroup", NULL, VFM_PASS, NULL, NULL,
		{{"sys/fs/cgroup/devices/user/devices.list", "a *:* rwm\n"}}},
	{"device-cgroup", NULL, VFM_SKIP, "version 2", NULL, {{"proc/self/cgroup", "0::/user\n"}}},
	{"kernel-log", NULL, VFM_WARN, "0000:01:00.0", "pci=realloc",
		{{"dev/kmsg", "3,2,9,-;igb 0000:01:00.0: not enough MMIO resources for SR-IOV\n"
			      " SUBSYSTEM=pci\n6,3,9,-;last\n"}}},
	{"kernel-log", NULL, VFM_PASS, NULL, NULL,
		{{"dev/kmsg", "12,2,9,-;not enough MMIO resources for SR-IOV\n"}}},
	{"kernel-log", NULL, VFM_SKIP, NULL, "root", {{"dev/kmsg", NULL}}},

	{"sriov-devices", NULL, VFM_FAIL, "1 device has SR-IOV", "CONFIG_PCI_IOV",
		{{PF "sriov_totalvfs", NULL}, {VF0 "physfn", NULL},
			{"sys/bus/pci/devices/0000:01:10.2/physfn", NULL}}},
	{"sriov-devices", NULL, VFM_WARN, "no device here has SR-IOV", "firmware",
		{{"sys/bus/pci/devices/0000:01:00.0", NULL},
			{"sys/bus/pci/devices/0000:01:10.0", NULL},
			{"sys/bus/pci/devices/0000:01:10.2", NULL}}},
	{"sriov-devices", NULL, VFM_FAIL, "no PCI bus", "mount", {{"sys/bus", NULL}}},
	{"sriov-capability", DEVICE_PF, VFM_FAIL, "0 VFs", "NUM_OF_VFS",
		{{PF "sriov_totalvfs", "0\n"}}},
	{"sriov-capability", DEVICE_PF, VFM_SKIP, "cannot be read", NULL,
		{{PF "sriov_totalvfs", "7 or so\n"}}},
	{"pf-driver", DEVICE_PF, VFM_FAIL, "no driver", "lspci -k", {{PF "driver", NULL}}},
	{"pf-driver", DEVICE_PF, VFM_FAIL, "without enable_sriov", "release",
		{{PF "driver", "->../../../bus/pci/drivers/vfio-pci"}}},
	{"pf-driver", DEVICE_PF, VFM_WARN, "token", NULL,
		{{PF "driver", "->../../../bus/pci/drivers/vfio-pci"},
			{"sys/module/vfio_pci/parameters/enable_sriov", "Y\n"}}},
	{"bus-numbers", DEVICE_PF, VFM_FAIL, "0000:02:00.4", "ARI",
		{{PF "sriov_offset", "248\n"}, {PF "sriov_stride", "2\n"}, {PF "config", NULL}}},
	{"bus-numbers", DEVICE_PF, VFM_PASS, "within the buses", NULL,
		{{PF "sriov_offset", "248\n"}, {PF "sriov_stride", "2\n"}, {PF "config", NULL},
			{PORT "secondary_bus_number", "1\n"},
			{PORT "subordinate_bus_number", "2\n"}}},
	{"vf-bars", DEVICE_PF, VFM_FAIL, "its VF BARs have no memory", "pci=realloc",
		{{PF "resource", SEVEN SIX}}},
	{"vf-bars", DEVICE_PF, VFM_FAIL, "some of its VF BARs", "above-4G",
		{{PF "resource", SEVEN
			"0x00000000fea00000 0x00000000fea1bfff 0x0000000000140204\n" NO_ROWS NO_ROWS
			"0x0000000000000000 0x000000000001bfff 0x0000000020140204\n" NO_ROWS
				NO_ROWS}}},
	{"vf-bars", DEVICE_PF, VFM_SKIP, "no rows", NULL, {{PF "resource", SEVEN}}},
	{"vf-bars", DEVICE_PF, VFM_SKIP, NULL, NULL, {{PF "resource", "BAR\n"}}},
	{"pf-safety", DEVICE_PF, VFM_WARN, "default route (by eth0)", "before",
		{{"proc/net/route",
			"eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"}}},
	{"pf-safety", DEVICE_PF, VFM_WARN, "default route (by br0)", NULL,
		{{"proc/net/route", "br0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"},
			{"sys/class/net/eth0/master", "->../bond0"},
			{"sys/class/net/bond0/upper_br0", "->../br0"}}},
	{"pf-safety", DEVICE_PF, VFM_WARN, "default IPv6 route", NULL,
		{{"proc/net/ipv6_route",
			"00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
			"fe800000000000000000000000000001 00000400 00000001 00000000 00000003     "
			"eth0\n"}}},
	{"pf-safety", DEVICE_PF, VFM_WARN, "1 SSH session", "console",
		{{"proc/net/route", "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
				    "eth9\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"},
			{"proc/net/tcp",
				"  sl  local_address rem_address   st\n"
				"   0: 0201A8C0:0016 0301A8C0:C001 01 00000000:00000000\n"
				"   1: 0201A8C0:0016 04010A0A:C001 01 00000000:00000000\n"
				"   2: 0201A8C0:0050 0301A8C0:C002 01 00000000:00000000\n"
				"   3: 00000000:0016 00000000:0000 0A 00000000:00000000\n"}}},
	{"pf-safety", DEVICE_PF, VFM_WARN, "1 SSH session", NULL,
		{{"proc/net/ipv6_route",
			 "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 "
			 "00000000000000000000000000000000 00000100 00000001 00000000 00000001     "
			 "eth0\n"},
			{"proc/net/tcp6", "  0: B80D0120000000000000000002000000:0016 "
					  "B80D0120000000000000000003000000:9000 01 0:0\n"}}},
	{"pf-safety", DEVICE_PF, VFM_PASS, NULL, NULL, {{PF "net", NULL}}},
	{"pf-link", DEVICE_PF, VFM_WARN, "eth0 is down", "ip link set eth0 up",
		{{PF "net/eth0/flags", "0x1002\n"}}},
	{"pf-link", DEVICE_PF, VFM_WARN, "without a link", NULL, {{PF "net/eth0/carrier", "0\n"}}},
	{"pf-link", DEVICE_PF, VFM_WARN, "another network namespace", NULL, {{PF "net", NULL}}},
	{"pf-link", DEVICE_PF, VFM_SKIP, NULL, NULL,
		{{PF "net", NULL}, {PF "class", "0x010802\n"}}},
	{"attributes", DEVICE_PF, VFM_SKIP, NULL, "--probe", {{"etc/fstab", ""}}},
	{"numa", DEVICE_PF, VFM_WARN, "-1", "firmware",
		{{PF "numa_node", "-1\n"}, {"sys/devices/system/node/node1/cpulist", "8-15\n"}}},
	{"numa", DEVICE_PF, VFM_PASS, "NUMA node 0 of 2", NULL,
		{{"sys/devices/system/node/node1/cpulist", "8-15\n"}}},
	{"numa", DEVICE_PF, VFM_WARN, "no processors", NULL,
		{{PF "numa_node", "1\n"}, {"sys/devices/system/node/node1/cpulist", "\n"}}},
	{"numa", DEVICE_PF, VFM_WARN, "not there", NULL,
		{{PF "numa_node", "3\n"}, {"sys/devices/system/node/node1/cpulist", "8\n"}}},
	{"group-viable", DEVICE_VF0, VFM_FAIL, NULL, NULL,
		{{PF "iommu_group", "->../../../kernel/iommu_groups/10"},
			{"sys/kernel/iommu_groups/10/devices/0000:01:00.0",
				"->../../../../devices/pci0000:00/0000:00:1c.0/0000:01:00.0"}}},
	{"reserved-regions", DEVICE_VF0, VFM_FAIL, "RMRR", NULL,
		{{"sys/kernel/iommu_groups/10/reserved_regions",
			"0x0000000000000000 0x0000000000ffffff direct\n"}}},
	{"reserved-regions", DEVICE_VF0, VFM_PASS, NULL, NULL,
		{{"sys/kernel/iommu_groups/10/reserved_regions",
			"0x0000000000000000 0x0000000000ffffff direct-relaxable\n"}}},
	{"group-viable", DEVICE_VF0, VFM_SKIP, "iommu failed", NULL,
		{{"sys/class/iommu", NULL}, {"sys/kernel/iommu_groups", NULL},
			{VF0 "iommu_group", NULL}}},
	{"vfio-node", DEVICE_VF0, VFM_FAIL, "no node", "udev", {{"dev/vfio/10", NULL}}},
	{"vfio-node", DEVICE_VF0, VFM_SKIP, "does not have it", "bind", {{VF0 "driver", NULL}}},
	{"vfio-node", DEVICE_VF0, VFM_PASS, "vfio/devices/vfio3", NULL,
		{{VF0 "vfio-dev/vfio3/dev", "1"}, {"dev/vfio/devices/vfio3", ""}}},
	{"reset-method", DEVICE_VF0, VFM_WARN, "no way to reset", "one guest only",
		{{VF0 "reset_method", NULL}, {VF0 "config", NULL}}},
	{"reset-method", DEVICE_VF0, VFM_SKIP, "has FLR", NULL, {{VF0 "reset_method", NULL}}},
	{"reset-method", DEVICE_VF0, VFM_WARN, "no way to reset", NULL,
		{{VF0 "reset_method", "\n"}}},
	{"reset-method", DEVICE_VF0, VFM_WARN, "bus alone", NULL, {{VF0 "reset_method", "bus\n"}}},
	{"reset-method", DEVICE_VF0, VFM_PASS, "can reset it", NULL,
		{{VF0 "reset_method", NULL}, {VF0 "reset", ""}}},
	{"stale-override", DEVICE_VF0, VFM_WARN, "no driver has it", "bind it",
		{{VF0 "driver", NULL}, {VF0 "driver_override", "vfio-pci\n"}}},
	{"stale-override", DEVICE_VF0, VFM_WARN, "no driver of that name", "modprobe gone",
		{{VF0 "driver_override", "gone\n"}}},
	{"stale-override", DEVICE_VF0, VFM_PASS, "has it", NULL,
		{{VF0 "driver_override", "vfio-pci\n"}}},
	{"unused-vfs", DEVICE_PF, VFM_WARN, "2 VFs", "carve",
		{{VF0 "driver", NULL}, {"sys/bus/pci/devices/0000:01:10.2/driver", NULL}}},
	{"in-use", DEVICE_VF0, VFM_SKIP, "other users", "root", {{"proc/self/status", ORDINARY}}},

	{"managed-elsewhere", DEVICE_PF, VFM_WARN,
		"/etc/NetworkManager/system-connections/lan.nmconnection:6: ",
		"nmcli connection modify 'My LAN'",
		{{"etc/NetworkManager/system-connections/lan.nmconnection",
			"[connection]\nid=My LAN\ntype=ethernet\ninterface-name=eth0\n\n[sriov]\n"
			"total-vfs=4\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_PASS, NULL, NULL,
		{{"etc/NetworkManager/system-connections/lan.nmconnection",
			"[connection]\ninterface-name=eth1\n[sriov]\ntotal-vfs=4\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "lan", NULL,
		{{"etc/NetworkManager/system-connections/lan",
			"[sriov]\ntotal-vfs=4\n[ethernet]\nmac-address=52:54:00:00:00:01\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "conf.d/x.conf:3", "sriov-num-vfs",
		{{"etc/NetworkManager/conf.d/x.conf", "[main]\n[device-a]\nsriov-num-vfs=2\nmatch-"
						      "device=interface-name:eth0\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_PASS, NULL, NULL,
		{{"etc/NetworkManager/conf.d/x.conf", "[device-a]\nmatch-device=interface-name:"
						      "eth1\nsriov-num-vfs=2\n[main]\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "10-pf.link:5", "SR-IOVVirtualFunctions=",
		{{"etc/systemd/network/10-pf.link",
			"[Match]\nOriginalName=ens* eth*\nDriver=igb\n[Link]\n"
			"SR-IOVVirtualFunctions=4\n[SR-IOV]\nVirtualFunction=0\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "10-pf.link.d/vfs.conf", NULL,
		{{"usr/lib/systemd/network/10-pf.link", "[Match]\nPath=pci-0000:01:00.0\n[Link]\n"},
			{"usr/lib/systemd/network/10-pf.link.d/vfs.conf",
				"[SR-IOV]\nVirtualFunction=1\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_PASS, NULL, NULL,
		{{"etc/systemd/network/10-pf.link", "[Match]\nOriginalName=*\n[Link]\n"},
			{"usr/lib/systemd/network/10-pf.link",
				"[Match]\nOriginalName=*\n[Link]\nSR-IOVVirtualFunctions=4\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_PASS, NULL, NULL,
		{{"etc/systemd/network/10-pf.link",
			"[Match]\nOriginalName=!eth*\n[Link]\nSR-IOVVirtualFunctions=4\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "/etc/netplan/01.yaml:4",
		"virtual-function-count: 3 out of ethernets: eth0:",
		{{"etc/netplan/01.yaml",
			"network:\n  ethernets:\n    eth0:\n      virtual-function-count: 3\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "defines a VF", "vf1",
		{{"etc/netplan/01.yaml",
			"network:\n  ethernets:\n    pf:\n      match: {macaddress: "
			"'52:54:00:00:00:01'}\n    vf1:\n      link: pf\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_PASS, NULL, NULL,
		{{"etc/netplan/01.yaml",
			"network:\n  ethernets:\n    eth1: {virtual-function-count: 3}\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "operator manages", "externallyManaged",
		{{"etc/sriov-operator/pci/0000:01:00.0", "{\"numVfs\": 4}"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_PASS, NULL, NULL,
		{{"etc/sriov-operator/pci/0000:01:00.0", "{\"externallyManaged\": true}"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "operator sets", "0000:01:00.0",
		{{"etc/sriov-operator/sriov-interface-config.yaml", "pciaddress: 0000:01:00.0\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "libvirt network", "virsh net-edit",
		{{"etc/libvirt/qemu/networks/pool.xml",
			"<network><name>p</name>\n<forward mode='hostdev' managed='yes'>"
			"<pf dev='eth0'/></forward></network>"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_PASS, NULL, NULL,
		{{"etc/libvirt/qemu/networks/pool.xml",
			"<network><forward mode='nat'><pf dev='eth0'/></forward></network>"}}},
	{"managed-elsewhere", DEVICE_VF0, VFM_WARN, "libvirt machine takes", "managed='no'",
		{{"etc/libvirt/qemu/vm.xml",
			"<domain><devices><hostdev mode='subsystem' managed='yes'><source><address "
			"domain='0x0000' bus='0x01' slot='0x10' function='0x0'/></source></hostdev>"
			"</devices></domain>"}}},
	{"managed-elsewhere", DEVICE_VF0, VFM_PASS, NULL, NULL,
		{{"etc/libvirt/qemu/vm.xml",
			"<domain><hostdev><address domain='0' bus='1' slot='0x10' function='0'/>"
			"</hostdev></domain>"}}},
	{"managed-elsewhere", DEVICE_VF0, VFM_WARN, "driverctl", "unset-override 0000:01:10.0",
		{{"etc/driverctl.d/0000:01:10.0", "vfio-pci\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "/etc/rc.local:2", "line 2",
		{{"etc/rc.local", "#echo 4 > /sys/class/net/eth0/device/sriov_numvfs\n"
				  "echo 4 > /sys/class/net/eth0/device/sriov_numvfs\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_PASS, NULL, NULL,
		{{"etc/rc.local", "echo 4 > /sys/class/net/eth01/device/sriov_numvfs\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "99-vfs.rules:1", NULL,
		{{"etc/udev/rules.d/99-vfs.rules",
			"ACTION==\"add\", KERNEL==\"0000:01:00.0\", ATTR{sriov_numvfs}=\"2\"\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_WARN, "max_vfs", NULL,
		{{"etc/modprobe.d/igb.conf", "options igb max_vfs=4\n"}}},
	{"managed-elsewhere", DEVICE_PF, VFM_PASS, NULL, NULL,
		{{"etc/modprobe.d/igb.conf", "options ixgbe max_vfs=4\n"}}},
};

static void run(const struct doctor_config *c)
{
	int r = doctor_tree_run(&d, c, &e);

	ck_assert_msg(r >= 0, "doctor_run: %d %s", r, e.text);
}

/* ---- on a machine where all is well ---- */

/* Or a wrong finding of one check could be the good tree's, and prove nothing. */
START_TEST(a_good_machine_has_no_warning)
{
	size_t n;

	run(NULL);
	for (size_t i = 0; i < d.n; i++)
		ck_assert_msg(d.found[i].status <= VFM_SKIP, "%s: %s", d.found[i].check->id,
			d.found[i].text);
	doctor_checks(&n);
	ck_assert_uint_ge(d.n, n);
}
END_TEST

/* A check that is not among those that pass here could not be seen to fail. */
START_TEST(a_good_machine_passes_each_check_that_can_go_wrong)
{
	run(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		const struct doctor_finding *f =
			doctor_tree_worst(&d, wrongs[i].check, wrongs[i].device);

		ck_assert_msg(f != NULL, "%s did not run", wrongs[i].check);
		ck_assert_msg(f->status == VFM_PASS || !strcmp(f->check->id, "attributes"),
			"%s: %s", f->check->id, f->text);
		ck_assert_msg(f->status == VFM_SKIP || !*f->fix, "%s passed, with a fix: %s",
			f->check->id, f->fix);
	}
}
END_TEST

static bool is_wrong_somewhere(const char *id)
{
	/* What these find is tested with isolation, and a lease is not a file to be written here. */
	static const char *const elsewhere[] = {"iommu-options", "group-shared", "pf-vf-group",
		"acs-path", "vf-token", "peer-to-peer", "dma-fault", "stale-leases"};

	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
		if (!strcmp(elsewhere[i], id))
			return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		if (!strcmp(wrongs[i].check, id))
			return true;
	}
	return false;
}

START_TEST(every_check_is_seen_to_find_something)
{
	size_t n;
	const struct doctor_check *const *c = doctor_checks(&n);

	for (size_t i = 0; i < n; i++)
		ck_assert_msg(is_wrong_somewhere(c[i]->id), "no case for %s", c[i]->id);
}
END_TEST

START_TEST(ids_are_kebab_case_and_differ)
{
	size_t n;
	const struct doctor_check *const *c = doctor_checks(&n);

	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(strspn(c[i]->id, "abcdefghijklmnopqrstuvwxyz0123456789-"),
			strlen(c[i]->id));
		for (size_t k = 0; k < i; k++)
			ck_assert_str_ne(c[i]->id, c[k]->id);
		/* What a check needs comes before it. */
		if (c[i]->needs) {
			size_t k = 0;

			while (k < i && strcmp(c[k]->id, c[i]->needs))
				k++;
			ck_assert_uint_lt(k, i);
		}
	}
}
END_TEST

/* ---- what is wrong is found ---- */

static void wrong_check(const struct wrong *w)
{
	const struct doctor_finding *f;

	for (size_t k = 0; k < MODS && w->mod[k].path; k++)
		doctor_tree_mod(&d, &w->mod[k]);
	run(NULL);
	f = doctor_tree_worst(&d, w->check, w->device);
	ck_assert_msg(f != NULL, "%s did not run", w->check);
	ck_assert_msg(f->status == w->status, "%s is %s, not %s: %s", w->check,
		vfm_status_name(f->status), vfm_status_name(w->status), f->text);
	ck_assert_msg(!w->says || strstr(f->text, w->says), "'%s' is not in: %s", w->says, f->text);
	ck_assert_msg(!w->fix || strstr(f->fix, w->fix), "'%s' is not in: %s", w->fix, f->fix);
	ck_assert_msg(f->status < VFM_WARN || *f->fix, "%s: no fix for: %s", w->check, f->text);
}

static void become_nobody(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		_exit(2);
}

/* The nodes are root's, mode 644; else an ordinary user is told the same of files he may read. */
static void ordinary_user_check(const struct wrong *w)
{
	const struct doctor_finding *f;
	int status, r;
	pid_t pid = fork();

	if (pid == 0) {
		become_nobody();
		r = doctor_tree_run(&d, NULL, &e);
		f = r < 0 ? NULL : doctor_tree_worst(&d, w->check, w->device);
		if (!f || (f->status != w->status && strcmp(w->check, "vfio-node") &&
				  strcmp(w->check, "kvm-access")))
			fprintf(stderr, "to nobody: %s: %s\n", w->check, f ? f->text : e.text);
		else
			_exit(0);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", w->check);
}

START_TEST(each_check_finds_what_it_looks_for)
{
	wrong_check(&wrongs[_i]);
	ordinary_user_check(&wrongs[_i]);
}
END_TEST

/* ---- hostile files ---- */

static const struct {
	const char *data;
	size_t len; /* 0: that byte, 64 KiB of it */
} hostile[] = {
	{"", 0},
	{"\xff", 0},
	{"\n", 0},
	{"=", 0},
	{"\0x\0", sizeof("\0x\0") - 1},
	{"-1", sizeof("-1") - 1},
	{"99999999999999999999999999", sizeof("99999999999999999999999999") - 1},
	{"\033[2J\033]0;x\007", sizeof("\033[2J\033]0;x\007") - 1},
	{"[", sizeof("[") - 1},
	{"[sriov]\n=\\\n\\\n\\", sizeof("[sriov]\n=\\\n\\\n\\") - 1},
	{"0x 0x 0x\n", sizeof("0x 0x 0x\n") - 1},
	{"%s%n%s%n", sizeof("%s%n%s%n") - 1},
};

#define HOSTILE_ALONE 3 /* the first of them in each file alone too */

#define PATHS_MAX 512

static char *paths[PATHS_MAX];
static size_t n_paths;

static int path_note(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if ((type == FTW_F || type == FTW_SL) && n_paths < PATHS_MAX)
		paths[n_paths++] = strdup(path + strlen(d.t.root) + 1);
	return 0;
}

/* Files of other tools, so that they are read too. */
static void add_conflicts(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		if (strcmp(wrongs[i].check, "managed-elsewhere"))
			continue;
		for (size_t k = 0; k < MODS && wrongs[i].mod[k].path; k++)
			doctor_tree_mod(&d, &wrongs[i].mod[k]);
	}
}

static void assert_printable(const char *s)
{
	for (; *s; s++)
		ck_assert_msg(isprint((unsigned char)*s), "%02x", (unsigned char)*s);
}

static char bytes[65536];

static void hostile_put(const char *path, unsigned which)
{
	char full[PATH_MAX];
	size_t len = hostile[which].len;

	snprintf(full, sizeof(full), "%s/%s", d.t.root, path);
	ck_assert(unlink(full) == 0 || errno == ENOENT);
	memset(bytes, hostile[which].data[0], sizeof(bytes));
	if (len)
		doctor_tree_put(&d, path, hostile[which].data, len);
	else
		doctor_tree_put(&d, path, bytes, *hostile[which].data ? sizeof(bytes) : 0);
}

static void run_hostile(void)
{
	run(NULL);
	for (size_t k = 0; k < d.n; k++) {
		assert_printable(d.found[k].text);
		assert_printable(d.found[k].fix);
	}
}

/* Each file in turn holds something else than it should, then all: no crash, nothing that moves a
 * cursor. */
START_TEST(no_file_can_harm)
{
	add_conflicts();
	ck_assert_int_eq(nftw(d.t.root, path_note, 16, FTW_PHYS), 0);
	ck_assert(n_paths > 60 && n_paths < PATHS_MAX);
	for (size_t i = 0; _i < HOSTILE_ALONE && i < n_paths; i++) {
		char full[PATH_MAX], saved[PATH_MAX];

		snprintf(full, sizeof(full), "%s/%s", d.t.root, paths[i]);
		snprintf(saved, sizeof(saved), "%s/saved", d.t.root);
		ck_assert_int_eq(rename(full, saved), 0);
		hostile_put(paths[i], (unsigned)_i);
		run_hostile();
		ck_assert_int_eq(rename(saved, full), 0);
	}
	for (size_t i = 0; i < n_paths; i++) {
		hostile_put(paths[i], (unsigned)_i);
		free(paths[i]);
	}
	run_hostile();
	n_paths = 0;
}
END_TEST

/* What takes the place of a file: it must neither be waited for nor followed for ever. */
START_TEST(a_fifo_a_loop_and_a_folder_are_no_files)
{
	static const char *const files[] = {"proc/cpuinfo", "proc/self/status", "dev/kmsg",
		"etc/rc.local", "proc/config.gz", "etc/netplan/a.yaml", PF "resource"};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char full[PATH_MAX];

		doctor_tree_mod(&d, &(struct mod){files[i], "x"});
		snprintf(full, sizeof(full), "%s/%s", d.t.root, files[i]);
		ck_assert_int_eq(unlink(full), 0);
		ck_assert_int_eq(_i == 0   ? mkfifo(full, 0644)
				 : _i == 1 ? symlink(full, full)
					   : mkdir(full, 0755),
			0);
	}
	run(NULL);
	ck_assert_int_eq(doctor_tree_worst(&d, "cpu-virtualization", NULL)->status, VFM_SKIP);
	ck_assert_int_eq(doctor_tree_worst(&d, "privilege", NULL)->status, VFM_SKIP);
	ck_assert_int_eq(doctor_tree_worst(&d, "vf-bars", DEVICE_PF)->status, VFM_SKIP);
}
END_TEST

START_TEST(a_machine_without_a_pci_bus_is_still_examined)
{
	doctor_tree_mod(&d, &(struct mod){"sys/bus", NULL});
	run(NULL);
	ck_assert(doctor_tree_worst(&d, "iommu-table", NULL) != NULL);
}
END_TEST

START_TEST(an_empty_root_fails_no_check_by_a_crash)
{
	static const char *const top[] = {"sys", "proc", "dev", "etc"};

	for (size_t i = 0; i < ARRAY_SIZE(top); i++)
		doctor_tree_mod(&d, &(struct mod){top[i], NULL});
	run(NULL);
	for (size_t i = 0; i < d.n; i++) {
		ck_assert_msg(
			d.found[i].status != VFM_PASS || strcmp(d.found[i].check->id, "iommu"),
			"%s", d.found[i].text);
		ck_assert_msg(d.found[i].status < VFM_WARN || *d.found[i].fix, "%s: no fix for: %s",
			d.found[i].check->id, d.found[i].text);
	}
}
END_TEST

/* ---- one device, one user ---- */

START_TEST(one_device_is_examined_alone)
{
	struct doctor_config c = {.only = true, .device = {0, 1, 0x10, 0}};

	run(&c);
	ck_assert(doctor_tree_worst(&d, "reset-method", DEVICE_VF0) != NULL);
	for (size_t i = 0; i < d.n; i++)
		ck_assert(!d.found[i].has_device || bdf_equal(d.found[i].device, c.device));
	/* What is in use is an obstacle for it, and news of a whole machine. */
	doctor_tree_mod(&d, &(struct mod){"proc/77/comm", "guest\n"});
	doctor_tree_mod(&d, &(struct mod){"proc/77/fd/5", "->/dev/vfio/10"});
	run(&c);
	ck_assert_int_eq(doctor_tree_worst(&d, "in-use", DEVICE_VF0)->status, VFM_WARN);
	ck_assert(strstr(doctor_tree_worst(&d, "in-use", DEVICE_VF0)->text, "guest") != NULL);
	run(NULL);
	ck_assert_int_eq(doctor_tree_worst(&d, "in-use", DEVICE_VF0)->status, VFM_PASS);
}
END_TEST

START_TEST(a_device_that_is_not_there_is_an_error)
{
	struct doctor_config c = {.only = true, .device = {0, 9, 9, 1}};

	ck_assert_int_eq(doctor_tree_run(&d, &c, &e), -ENODEV);
	ck_assert(strstr(e.text, "0000:09:09.1") != NULL);
	c.device = (struct bdf){0, 0, 0x1c, 0};
	ck_assert_int_eq(doctor_tree_run(&d, &c, &e), -ENOTSUP);
	ck_assert(strstr(e.text, "bridge") != NULL);
}
END_TEST

START_TEST(a_lease_without_an_owner_is_found)
{
	const struct doctor_finding *f;

	doctor_tree_mod(&d,
		&(struct mod){"run/vf/lease/0000:01:10.0", "owner vm7\npid 4000000\nsince 1\n"});
	run(NULL);
	f = doctor_tree_worst(&d, "stale-leases", NULL);
	ck_assert_msg(f->status == VFM_WARN, "%s", f->text);
}
END_TEST

/* limits.conf(5): a user's line goes before a group's, and that before "*". */
START_TEST(another_users_limit_is_that_of_limits_conf)
{
	struct doctor_config c = {.user = "nobody", .memory = 512ull << 20};

	run(&c);
	ck_assert_int_eq(doctor_tree_worst(&d, "memlock", NULL)->status, VFM_WARN);
	doctor_tree_mod(&d, &(struct mod){"etc/security/limits.conf", "* - memlock unlimited\n"});
	run(&c);
	ck_assert_int_eq(doctor_tree_worst(&d, "memlock", NULL)->status, VFM_PASS);
	doctor_tree_mod(
		&d, &(struct mod){"etc/security/limits.d/a.conf", "nobody soft memlock 64\n"});
	run(&c);
	ck_assert_int_eq(doctor_tree_worst(&d, "memlock", NULL)->status, VFM_FAIL);
	ck_assert(strstr(doctor_tree_worst(&d, "memlock", NULL)->fix, "nobody - memlock 524288"));
	c.user = "no-such-user-here";
	run(&c);
	ck_assert_int_eq(doctor_tree_worst(&d, "kvm-access", NULL)->status, VFM_FAIL);
}
END_TEST

START_TEST(another_users_rights_are_asked_of_the_kernel)
{
	struct doctor_config c = {.user = "nobody"};
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/dev/vfio/10", d.t.root);
	run(&c);
	if (geteuid() != 0) {
		ck_assert_int_eq(doctor_tree_worst(&d, "vfio-node", DEVICE_VF0)->status, VFM_SKIP);
		return;
	}
	ck_assert_int_eq(doctor_tree_worst(&d, "vfio-node", DEVICE_VF0)->status, VFM_FAIL);
	ck_assert_int_eq(chmod(full, 0666), 0);
	run(&c);
	ck_assert_int_eq(doctor_tree_worst(&d, "vfio-node", DEVICE_VF0)->status, VFM_FAIL);
	ck_assert(strstr(doctor_tree_worst(&d, "vfio-node", DEVICE_VF0)->text, "dev/vfio/vfio"));
	snprintf(full, sizeof(full), "%s/dev/vfio/vfio", d.t.root);
	ck_assert_int_eq(chmod(full, 0666), 0);
	run(&c);
	ck_assert_int_eq(doctor_tree_worst(&d, "vfio-node", DEVICE_VF0)->status, VFM_PASS);
}
END_TEST

/* ---- what a driver can set ---- */

/* On the fake kernel, which has rtnetlink: igb has no call for a link state and RSS. */
START_TEST(probing_sets_what_is_set_and_changes_nothing)
{
	struct doctor_config c = {.found = NULL, .probe = true};
	struct pci_kernel k;
	char *before, *after;
	struct vfm *v;

	pci_kernel_init(&k);
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	ck_assert_int_eq(vfm_carve(v, (struct bdf){0, 1, 0, 0}, 2, 0, NULL, &e), 0);
	before = fake_state(&k);
	d.n = 0;
	c.found = doctor_tree_found;
	c.arg = &d;
	ck_assert_int_ge(doctor_run(v, &c, &e), 0);
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
	ck_assert_msg(
		strstr(doctor_tree_worst(&d, "attributes", DEVICE_PF)->text,
			"igb can set mac, vlan, rate, spoofchk, trust; cannot set link-state"),
		"%s", doctor_tree_worst(&d, "attributes", DEVICE_PF)->text);
	free(before);
	free(after);
	vfm_destroy(v);
	pci_kernel_finish(&k);
}
END_TEST

START_TEST(without_leave_nothing_is_written)
{
	struct doctor_config c = {.found = doctor_tree_found, .arg = &d};
	struct pci_kernel k;
	struct vfm *v;
	unsigned writes;

	pci_kernel_init(&k);
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	ck_assert_int_eq(vfm_carve(v, (struct bdf){0, 1, 0, 0}, 2, 0, NULL, &e), 0);
	writes = k.knobs->writes;
	ck_assert_int_ge(doctor_run(v, &c, &e), 0);
	ck_assert_uint_eq(k.knobs->writes, writes);
	vfm_destroy(v);
	pci_kernel_finish(&k);
}
END_TEST

static Suite *doctor_suite(void)
{
	Suite *s = suite_create("vf-doctor");
	TCase *tc = tcase_create("doctor");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, a_good_machine_has_no_warning);
	tcase_add_test(tc, a_good_machine_passes_each_check_that_can_go_wrong);
	tcase_add_test(tc, every_check_is_seen_to_find_something);
	tcase_add_test(tc, ids_are_kebab_case_and_differ);
	tcase_add_loop_test(tc, each_check_finds_what_it_looks_for, 0, ARRAY_SIZE(wrongs));
	tcase_add_loop_test(tc, no_file_can_harm, 0, ARRAY_SIZE(hostile));
	tcase_add_loop_test(tc, a_fifo_a_loop_and_a_folder_are_no_files, 0, 3);
	tcase_add_test(tc, a_machine_without_a_pci_bus_is_still_examined);
	tcase_add_test(tc, an_empty_root_fails_no_check_by_a_crash);
	tcase_add_test(tc, one_device_is_examined_alone);
	tcase_add_test(tc, a_device_that_is_not_there_is_an_error);
	tcase_add_test(tc, a_lease_without_an_owner_is_found);
	tcase_add_test(tc, another_users_limit_is_that_of_limits_conf);
	tcase_add_test(tc, another_users_rights_are_asked_of_the_kernel);
	tcase_add_test(tc, probing_sets_what_is_set_and_changes_nothing);
	tcase_add_test(tc, without_leave_nothing_is_written);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{

	return suite_run(doctor_suite());
}
