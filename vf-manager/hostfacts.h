/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this host's kernel tells of its IOMMU beside sysfs: its command line, the chips that deliver
 * its interrupts, its log. The parsers are pure functions and take any text.
 */
#ifndef VIADUCT_VFM_HOSTFACTS_H
#define VIADUCT_VFM_HOSTFACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vf-manager/caps.h"
#include "vf-manager/vfm.h"

#define CMDLINE_WORD_MAX 128

/* Kernel command line; -1 = the word is not there, else 0 or 1. */
struct cmdline_facts {
	bool acs_override;
	char acs_override_value[CMDLINE_WORD_MAX];
	char iommu_off[CMDLINE_WORD_MAX]; /* the word that switches it off, "" = none */
	bool passthrough;                 /* host drivers' DMA is not translated */
	bool intremap_off, intremap_nosid;
	char acs_by_hand[CMDLINE_WORD_MAX]; /* pci=disable_acs_redir= or config_acs=, "" = none */
	int unsafe_interrupts, unsafe_interrupts_iommufd, unsafe_noiommu;
};

void cmdline_parse(const char *text, struct cmdline_facts *ret);

/* Interrupts by the chip that delivers them: /proc/interrupts. */
struct irq_facts {
	unsigned remapped, plain, its; /* lines of x86's chips with and without IR-, of Arm's ITS */
	char remapped_name[64];        /* the first with: its chip and what it is for */
	char plain_name[64];           /* the first without */
};

/* Count one interrupt by its chip; @action is who asked for it. */
void interrupt_count(const char *chip, const char *action, struct irq_facts *f);
/* All zero when nothing can be told. @text need not end in NUL nor in a whole line. */
void interrupts_parse(const char *text, size_t len, struct irq_facts *ret);

/* The release "6.1.0-28-amd64" as 6 << 16 | 1; 0 when it cannot be read. */
unsigned release_parse(const char *text);
#define RELEASE(major, minor) ((unsigned)(major) << 16 | (minor))

/* A switch of a module: Y or N, as the kernel prints it. */
enum vfm_tri switch_parse(const char *text);

/*
 * One line of /dev/kmsg or of what dmesg printed of it. Returns where the kernel's own text starts,
 * NULL for what a process wrote into the log and for what is no text.
 */
const char *klog_line_text(const char *line);

/* The start of a file below the root, at most @max bytes: *ret with a NUL behind them. */
int head_read(struct vfm *v, const char *path, size_t max, char **ret, size_t *ret_len);

/* 0 or -errno. */
int cmdline_read(struct vfm *v, struct cmdline_facts *ret);
/* The running kernel's, as release_parse(). */
unsigned release_read(struct vfm *v);

/* Call @line for each of the kernel's own messages since boot. 0 or -errno (-EPERM: not root). */
int klog_walk(struct vfm *v, void (*line)(void *arg, const char *text), void *arg);

#endif
