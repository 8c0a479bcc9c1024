/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA faults as the kernel log tells them: it is the only place where they show. One parser for the
 * Intel and the AMD form, because both the VMM (its own devices) and the VF manager (any device)
 * name the owner of a fault.
 */
#ifndef VIADUCT_COMMON_DMAFAULT_H
#define VIADUCT_COMMON_DMAFAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bdf.h"

struct dma_fault {
	struct bdf bdf; /* VT-d prints no domain: 0 then */
	uint64_t iova;
	bool write;      /* the device tried to write */
	bool interrupt;  /* a blocked interrupt request, not a memory access */
	uint32_t reason; /* VT-d fault reason, or AMD-Vi flags */
};

/*
 * Parse one line of the kernel log (with or without time stamp). True and *ret when it reports a
 * DMA fault, false for every other line. @line need not be well formed.
 */
bool dma_fault_parse(const char *line, struct dma_fault *ret);

/*
 * The kernel log, from now on. Returns a non-blocking fd of /dev/kmsg positioned at its end, or
 * -errno (-EPERM without CAP_SYSLOG). The caller closes it.
 */
int kmsg_open(void);
/*
 * Read the next record's text into @buf (NUL-terminated, cut to fit). 1: got one; 0: none now;
 * -errno. Records that were overwritten before being read are skipped.
 */
int kmsg_next(int fd, char *buf, size_t size);

#endif
