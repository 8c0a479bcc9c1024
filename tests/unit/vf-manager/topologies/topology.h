/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recorded machines: a text file tells what PCI functions there are, how they hang together and what
 * their config space holds; topology_load() makes the directory that sysfs, /proc and /dev would be.
 *
 *	struct topology t;
 *	struct vfm *v;
 *
 *	topology_load(&t, "shared-root-port");
 *	vfm_create(&(struct vfm_config){.root = t.root, .run_dir = t.run_dir}, &v, NULL);
 *	...
 *	topology_finish(&t);
 *
 * With no vfm_config.ops, vf-manager knows another root by itself: writes go into the files, rtnetlink
 * answers "not supported". `topology-make FILE DIRECTORY` does the same for a shell script.
 *
 * The files are NAME.topo beside this header, a line each thing; '#' begins a comment. What is below a
 * function is indented by a tab and belongs to the last function named.
 *
 *	# where it is from, and which parts were recorded and which made from decoded facts
 *	iommu intel|amd|none            ACPI table, /sys/class/iommu
 *	cmdline TEXT                    /proc/cmdline
 *	group N type DMA-FQ             type of a group; "identity" and so on
 *	group N reserved START END TYPE one line of its reserved_regions; may be repeated
 *	file PATH TEXT                  any other file below the root; \n and \t in TEXT
 *	link PATH TARGET                a symbolic link
 *	0000:01:00.0 8086:10c9 020000   a function: address, vendor:device, class
 *		below 0000:00:1c.0      the bridge above it, said first; none: it is on a root bus
 *		driver igb
 *		group 7                 IOMMU group
 *		node 0                  numa_node; -1 unless said
 *		net eth0 52:54:00:00:00:01 up|down [IFINDEX]
 *		attr NAME TEXT          any sysfs attribute of it
 *		multi                   header type says multifunction
 *		bridge 01 02            header type 1; secondary and subordinate bus
 *		cap exp TYPE [v1] [flr] [ari-cap] [ari-fwd]
 *		                        TYPE: endpoint legacy root up down pcie-pci pci-pcie rcie
 *		cap msi N, cap msix N, cap af
 *		cap ari, cap acs CAP CTL (hexadecimal)
 *		cap sriov TOTAL OFFSET STRIDE DEVICE [ari]
 *		                        the sriov_ files of sysfs follow from it, or from config bytes
 *		size 64|256|4096        bytes of config space: 4096 with cap exp, else 256, unless said
 *		10: 86 80 ...           config bytes from that offset on, as `lspci -xxxx` prints them;
 *		                        over what the lines above made
 *		vf-of 0000:01:00.0 N    it is VF N of that PF
 *		vfs COUNT GROUP|same|none [DRIVER [NET]]
 *		                        COUNT VFs where offset and stride put them, from group GROUP on one
 *		                        each (same: the PF's, none: no group), with a driver and interfaces
 *		                        NET0, NET1, ... if said;
 *		                        config space without ids, as a VF's is; MSI-X 3, FLR
 *
 * record.sh prints such a file of the machine it runs on.
 */
#ifndef VIADUCT_TEST_TOPOLOGY_H
#define VIADUCT_TEST_TOPOLOGY_H

struct topology {
	char root[256], run_dir[272];
};

/*
 * Make @name ("shared-root-port", or a path with a '/') below a directory of its own in /tmp. A
 * mistake in the file ends the program with its line.
 */
void topology_load(struct topology *t, const char *name);
/* The same from text, in a directory that exists: for trees that a program writes. */
void topology_make(const char *root, const char *text);
/* Remove the directory. */
void topology_finish(struct topology *t);

#endif
