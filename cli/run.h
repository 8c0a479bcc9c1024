/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct run`: its options, the guest it builds, and what it reports. Control thread only. */
#ifndef VIADUCT_CLI_RUN_H
#define VIADUCT_CLI_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/console.h"
#include "cli/run_assign.h"
#include "cli/run_device.h"
#include "common/bdf.h"
#include "common/err.h"
#include "common/sysfs.h"
#include "devices/devices.h"
#include "devices/e1000.h"
#include "devices/virtio.h"
#include "passthrough/passthrough.h"
#include "vfio/vfio.h"
#include "vmm/vm.h"

#define RUN_MAX_NET      16
#define RUN_MAX_APIC_IDS 256

/* Exit status; docs/man/viaduct-run.1.scd lists the same. */
enum run_status {
	RUN_POWEROFF = 0,
	RUN_START_FAILED = 1,
	RUN_USAGE = 2,
	RUN_CRASH = 3,
	RUN_REBOOT = 4, /* with --no-reboot */
	RUN_KVM_ERROR = 5,
	RUN_QUIT = 6,          /* escape key */
	RUN_DEVICE_ERROR = 7,  /* --on-device-error stop */
	RUN_DEVICE_WANTED = 8, /* --on-device-request shutdown, and it did not */
	RUN_SIGNAL = 128,      /* + signal number */
};

/* --net KIND=ARG[,KEY=VALUE...] */
struct net_option {
	const struct net_kind *kind; /* run_net.c */
	char *arg;                   /* what KIND= names */
	bool client;                 /* vhost-user: connect to the socket */
	bool e1000;                  /* model=e1000: of dev only the mac counts */
	struct vnet_config dev;      /* mac is zero when none was given */
};

struct run_options {
	const char *name;
	bool named; /* by its user */
	const char *kernel, *initrd, *cmdline;
	unsigned int cpus;
	uint32_t apic_ids[RUN_MAX_APIC_IDS];
	unsigned int n_apic_ids; /* 0: 0, 1, 2, ... */
	bool irq_remap;
	bool dma_remap;
	uint64_t memory;     /* bytes */
	uint64_t memory_low; /* bytes below 4 GiB at most, 0 = default */
	bool hugepages;
	bool no_reboot;
	bool kaslr;
	struct assign_option assign[RUN_MAX_ASSIGN];
	unsigned int n_assign;
	enum device_policy on_device_error, on_device_request;
	unsigned int device_timeout; /* seconds a guest has to shut down */
	struct net_option net[RUN_MAX_NET];
	unsigned int n_net;
	const char *stats;
	bool unsafe_interrupts, unsafe_isolation;
};

/* When things happened, CLOCK_MONOTONIC nanoseconds. */
struct run_times {
	int64_t start;     /* the process */
	int64_t load;      /* spent loading kernel and initrd */
	int64_t devices;   /* spent opening and resetting assigned devices */
	int64_t dma_map;   /* spent mapping RAM for DMA */
	int64_t first_run; /* from start to the first KVM_RUN */
	int64_t end;
};

/* A guest and everything it is made of, in the order it is built. */
struct guest {
	const struct run_options *opt;
	/* Asked now and then while the control thread is busy; true: someone wants the end. */
	bool (*interrupted)(void *ctx);
	void *interrupted_ctx;
	struct sysfs sysfs;
	struct console *console;
	int room_fd; /* eventfd: the UART can take input again */
	struct vm *vm;
	struct uart *uart;
	struct pm *pm;
	/* One for all devices; one per IOMMU group when the guest may block devices one by one. */
	struct ioas *ioas[RUN_MAX_ASSIGN];
	struct dma_map *dma[RUN_MAX_ASSIGN];
	unsigned int n_ioas;
	struct run_leases *leases;
	struct vfm_remapping host_irqs; /* valid with host_irqs_read */
	bool host_irqs_read;
	struct assigned *assigned[RUN_MAX_ASSIGN];
	struct vnet *net[RUN_MAX_NET]; /* the PCI root's; NULL where an e1000 is */
	struct e1000 *e1000[RUN_MAX_NET];
	struct run_times t;
	unsigned int reboots;
	uint64_t dma_faults;
};

int64_t run_now(void);

/* Build the guest; on failure the caller still calls guest_finish(). */
int guest_init(struct guest *g, const struct run_options *opt, struct err *e);
int guest_start(struct guest *g, struct err *e);
/* Does the host remap interrupts? Found out once, when first asked. NULL: out of memory. */
const struct vfm_remapping *guest_host_irqs(struct guest *g, struct err *e);
/* After vm_join(): everything as after power-on, and running again. */
int guest_restart(struct guest *g, struct err *e);
/* Press it: the guest hears of it if it listens. */
void guest_power_button(struct guest *g);
/* Tear down in reverse order of building; also for a half-built guest. */
void guest_finish(struct guest *g);

/*
 * @text: what follows --net. -EINVAL: the text says what is wrong and what would be right; -ENOMEM.
 */
int net_option_parse(const char *text, struct err *e, struct net_option *ret);
void net_option_finish(struct net_option *o);
const char *net_kind_name(const struct net_option *o);
/* Another process gets the guest's memory: it has to be sealed. */
bool net_option_lends_memory(const struct net_option *o);
/*
 * Make the back end of the @i-th option and the device before it: g->net[i] or g->e1000[i]. The number
 * also makes a MAC if none was given.
 */
int net_option_add(struct guest *g, unsigned int i, struct err *e);

struct stats_file;
/* Make "<path>.<pid>.tmp" beside @path once, so that an unwritable place is a start-up error. */
int stats_open(const char *path, struct err *e, struct stats_file **ret);
/* Write the figures of @g into that file and move it into place. */
int stats_write(struct stats_file *s, struct guest *g, const char *end, int status, struct err *e);
/* NULL is allowed. */
void stats_close(struct stats_file *s);

#endif
