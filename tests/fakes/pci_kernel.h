/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's PCI side in a directory: sysfs, /dev/vfio and /proc as files, and a struct vfm_ops
 * whose writes change them as the kernel's stores would. It has
 *
 *   0000:00:1c.0  a bridge
 *   0000:01:00.0  igb, 7 VFs at 0000:01:10.0, .2, .4, ... whose driver is igbvf; interface eth0,
 *                 and eth0vI of VF I while igbvf has it
 *   0000:02:00.0  e1000e, no SR-IOV; interface eth1
 *
 * and whatever fake_pf_add() gives it. pci_kernel.c has the files and the stores, pci_netlink.c
 * answers rtnetlink and devlink. Its knobs and records lie in shared memory, since writes are made
 * in child processes too.
 */
#ifndef VIADUCT_FAKES_PCI_KERNEL_H
#define VIADUCT_FAKES_PCI_KERNEL_H

#include <signal.h>

#include "vf-manager/vfm.h"

#define FAKE_TOTAL   7 /* VFs of the first PF */
#define FAKE_MAX_PFS 6
#define FAKE_MAX_VFS 256

/* What a PF is. */
struct fake_pf {
	struct bdf bdf;
	const char *ids, *class; /* "0x8086:0x10c9", "0x020000" */
	const char *driver, *vf_driver;
	const char *vf_ids;
	unsigned total, offset, stride; /* of its VFs' addresses */
	const char *netdev;             /* NULL: it has no interface */
	int ifindex;
	const char *mac;
	int group;    /* the PF's IOMMU group; its VFs' follow group + 3 */
	bool devlink; /* its driver has an eswitch, port functions and rates */
};

/* The first PF; the same in PCI domain 1, eth2; NVMe, 4 VFs; 64 VFs and devlink, eth3; 256 VFs, eth4. */
extern const struct fake_pf fake_igb, fake_igb_domain1, fake_nvme, fake_switchdev, fake_many;

struct fake_counters {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, broadcast, multicast, rx_dropped,
		tx_dropped;
};

/* What a PF has besides its files. */
struct fake_port {
	bool up;
	uint8_t permanent[6]; /* IFLA_PERM_ADDRESS; zero: none is sent */
	char altname[128];    /* IFLA_ALT_IFNAME; "" */
	uint8_t mac[FAKE_MAX_VFS][6];
	struct vfm_settings vf[FAKE_MAX_VFS]; /* the rest of what it gives its VFs */
	struct fake_counters stats[FAKE_MAX_VFS];
	/* devlink */
	unsigned eswitch; /* DEVLINK_ESWITCH_MODE_* */
	uint8_t hw_addr[FAKE_MAX_VFS][6];
	uint64_t tx_share[FAKE_MAX_VFS], tx_max[FAKE_MAX_VFS]; /* bytes/s */
};

/* How an answer is spoilt. */
enum fake_garble {
	FAKE_EMPTY,     /* nothing */
	FAKE_CUT,       /* its second half is missing */
	FAKE_LONG,      /* it claims to be longer than it is */
	FAKE_SHORT,     /* it claims to be shorter than a header */
	FAKE_WRONG_SEQ, /* it answers something else */
	FAKE_OVERRUN,   /* "messages were lost" */
	FAKE_EXTACK,    /* an error with attributes that make no sense */
	FAKE_POSITIVE,  /* an error that is none */
	FAKE_GARBLES
};

struct fake_knobs {
	unsigned calls;   /* writes and netlink requests so far */
	unsigned writes;  /* writes alone */
	unsigned changes; /* writes and requests that are no questions */
	pid_t writer[8];  /* the processes that wrote */
	unsigned n_writers;
	unsigned fail_at;        /* this call fails, 1 = the next; 0 = none */
	unsigned fail_for;       /* and so do that many after it */
	int fail_code;           /* with this errno */
	unsigned garble_at;      /* this call acts, but its netlink answer is spoilt */
	unsigned garble;         /* enum fake_garble */
	unsigned kill_at;        /* the process that makes this call is killed before it acts */
	unsigned kill_after;     /* the same, after it acted */
	pid_t kill_pid;          /* and this one with it: the parent of a child that writes */
	unsigned short_count;    /* sriov_numvfs makes at most so many; 0 = as many as asked */
	unsigned links_delay_ms; /* the links come so much later than the write returns */
	bool links_missing;      /* VFs are counted, but their links never come */
	_Atomic unsigned late;   /* processes that still bring such links */
	bool block_numvfs;       /* a write of sriov_numvfs never returns */
	unsigned vanish_at;      /* the first PF is pulled out at this call */
	unsigned cancel_at;      /* at this call a signal comes: */
	volatile sig_atomic_t cancel; /* to be given to vfm_create() */
	bool vanish_at_numvfs;        /* the PF is pulled out while sriov_numvfs is written */
	bool autoprobe_at_carve;      /* what sriov_drivers_autoprobe was when VFs were made */
	bool driver_refuses;          /* vfio-pci takes no device */
	bool no_node;                 /* and makes no node in /dev/vfio */
	bool mac_ignored;             /* the address is acknowledged, not set */
	int mac_code;                 /* setting an address fails with this errno */
	const char *log;              /* the kernel says this of the first PF when a call fails */
	/* What its drivers have no call for: all but igb's, until a test says otherwise. */
	uint32_t unsupported;
	unsigned rate_ignored; /* a maximum rate is acknowledged, not set */
	_Atomic bool no_link;  /* igb refuses any rate, also none, without a link */
	bool no_devlink;       /* this kernel has no such netlink family */
	bool eswitch_ignored;  /* a mode is acknowledged, not set */
	/* Addresses of interfaces. */
	struct fake_address {
		int ifindex;
		uint8_t family, prefix, scope; /* AF_*, length, RT_SCOPE_* */
		uint8_t proto;                 /* IFA_PROTO, 0: not told */
		uint8_t bytes[16];
	} address[4];
	unsigned n_addresses;
	bool address_dump_cut; /* the dump of them ends without saying so */
	struct fake_port pf[FAKE_MAX_PFS];
	/* Here, so that a process that writes for its parent knows those plugged in since. */
	const struct fake_pf *plugged[FAKE_MAX_PFS];
	unsigned n_pfs;
};

struct pci_kernel {
	char root[64], run_dir[96];
	struct fake_knobs *knobs;
	struct vfm_config config;  /* for vfm_create(): root, run_dir, ops; the caller may add */
	const struct fake_pf **pf; /* knobs->plugged */
};

void pci_kernel_init(struct pci_kernel *k);
void pci_kernel_finish(struct pci_kernel *k);

/* Plug another PF in; its index in k->knobs->pf. */
unsigned fake_pf_add(struct pci_kernel *k, const struct fake_pf *pf);
/* Pull PF @i out, with all its VFs. */
void fake_pf_remove(struct pci_kernel *k, unsigned i);
/* The address of VF @vf of it. */
struct bdf fake_vf_bdf(const struct fake_pf *pf, unsigned vf);
/* Of the interface that VF @vf has while its own driver has it. */
int fake_vf_ifindex(const struct fake_pf *pf, unsigned vf);
/* sriov_numvfs of PF @i. */
unsigned fake_num_vfs(struct pci_kernel *k, unsigned i);

/* Files below the root, by path. */
void fake_put(struct pci_kernel *k, const char *path, const void *data, size_t len);
void fake_puts(struct pci_kernel *k, const char *path, const char *text);
void fake_link(struct pci_kernel *k, const char *path, const char *target);
void fake_remove(struct pci_kernel *k, const char *path);

/* A process that has @node open. */
void fake_hold(struct pci_kernel *k, int pid, const char *comm, const char *node);
void fake_unhold(struct pci_kernel *k, int pid);

/* The interface of PF @i as pf[i].up has it, in its files. */
void fake_netdev_flags(struct pci_kernel *k, unsigned i);

struct nlmsghdr;
/* pci_netlink.c: does @req change something? */
bool fake_is_change(int protocol, const struct nlmsghdr *req);
/* pci_netlink.c: what answers @req; the negative errno @code if that is not 0. Malloc'd. */
void fake_answer(struct pci_kernel *k, int protocol, struct nlmsghdr *req, int code,
	void **ret_reply, size_t *ret_len);

/* pci_netlink.c: spoil an answer that was malloc'd. */
void fake_garble(enum fake_garble how, void **reply, size_t *len);

/* Everything that a failed call must leave as it was, as text; free it. */
char *fake_state(struct pci_kernel *k);

#endif
