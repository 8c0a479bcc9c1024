/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lab: one emulated host (L1) with an IOMMU, SR-IOV NICs and nested KVM, that runs one command.
 * A configuration becomes a QEMU command line (machine.c); a session boots it and connects the
 * command's streams with the caller's (session.c). Nothing is left when a session ends: files are
 * anonymous, and the machine dies with this process, however that ends.
 */
#ifndef VIADUCT_LAB_LAB_H
#define VIADUCT_LAB_LAB_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/* A root port each, on the root bus's devices 0x10..0x1b. */
#define LAB_NICS_MAX   8
#define LAB_BRIDGE_MAX 4
#define LAB_SHARES_MAX 8
#define LAB_CPUS_MAX   64
#define LAB_VFS_MAX    16

/* printf format of the address of NIC number n, with n + 1. */
#define LAB_MAC_FORMAT "52:54:00:4c:ab:%02x"

#define LAB_VECTORS_MAX    2048
#define LAB_MEMORY_MIN_MIB 512
/*
 * q35 puts RAM from here on above 4 GiB; the firmware then puts BARs there as well, and QEMU 10.0
 * loses the upper half of a virtual function's BAR address.
 */
#define LAB_MEMORY_HIGH_MIB 2816

enum lab_iommu {
	LAB_IOMMU_VTD,
	LAB_IOMMU_VTD_EIM,
	LAB_IOMMU_VTD_NOIR,
	LAB_IOMMU_AMD,
	LAB_IOMMU_NONE
};
enum lab_nic { LAB_NIC_IGB, LAB_NIC_E1000, LAB_NIC_E1000E };

struct lab_config {
	unsigned cpus;
	unsigned memory_mib;
	enum lab_iommu iommu;
	enum lab_nic nics[LAB_NICS_MAX];
	size_t nr_nics;
	unsigned nvme_vfs;                  /* with nvme_vectors 0, too: no NVMe controller */
	unsigned nvme_vectors;              /* MSI-X vectors of it, 0: QEMU's number */
	unsigned nr_bridged;                /* e1000 NICs behind one conventional PCI bridge */
	bool no_acs;                        /* root ports without access control services */
	const char *shares[LAB_SHARES_MAX]; /* absolute directories of L0, writable in L1 */
	size_t nr_shares;
	const char *kernel;  /* version prefix, NULL: the distribution's own */
	const char *console; /* file for L1's console, NULL: kept only when the lab fails */
	const char *data;    /* directory of lab/ (the build scripts) */
	const char *init;    /* L1's static init program */
	const char *path;    /* directories put in front of the command's PATH */
	bool tty;            /* give the command a terminal: the caller's, raw */
	char *const *command;
};

static inline bool lab_has_nvme(const struct lab_config *cfg)
{
	return cfg->nvme_vfs || cfg->nvme_vectors;
}

/* Names as on the command line, in the order of the enums, ending with NULL. */
extern const char *const lab_iommu_names[];
extern const char *const lab_nic_names[];

/* What a machine is started with besides its configuration; descriptors are inherited by QEMU. */
struct machine_files {
	const char *kernel;
	const char *initrd;
	int control; /* a connected stream socket */
	int console; /* file */
	int disk;    /* backing of the NVMe namespace, or -1 */
	int hotplug; /* a connected stream socket: L1's requests to plug, see hotplug.h */
	int monitor; /* a connected stream socket: QMP */
};

struct strv {
	char **v; /* NULL-terminated */
	size_t n;
};

void strv_finish(struct strv *s);

/*
 * The arguments of the machine's QEMU, the program name first.
 * Returns 0 and *ret (strv_finish() it), or -ENOMEM.
 */
int machine_argv(const struct lab_config *cfg, const struct machine_files *files, const char *qemu,
	struct strv *ret);

/*
 * Run the build script @argv[0] and read its standard output, one result a line.
 * SIGINT, SIGTERM and SIGHUP must be blocked; one that arrives ends the script, which cleans up.
 * Returns 0 and @nr lines in @ret, -EINTR when signalled (*ret_signal says by which), or another
 * negative errno: the script has then printed why.
 */
int image_build(char *const argv[], char **ret, size_t nr, int *ret_signal, struct err *e);

/*
 * Boot L1, run the command in it with this process's stdin, stdout, stderr, environment and working
 * directory, and power L1 off. Blocks and restores the signals it handles; single-threaded callers
 * only. Returns 0 and the command's exit status in *ret_status (128+n after signal n, also when
 * that signal was ours), or a negative errno when the lab itself failed. The text of @e then ends
 * with the path of the console's log where there is one.
 */
int lab_session(const struct lab_config *cfg, int *ret_status, struct err *e);

#endif
