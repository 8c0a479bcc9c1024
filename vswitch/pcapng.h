/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Captures as files: pcapng (draft-ietf-opsawg-pcapng), one section with one interface. Calls return 0,
 * or a negative errno when @f cannot be written.
 */
#ifndef VIADUCT_VSWITCH_PCAPNG_H
#define VIADUCT_VSWITCH_PCAPNG_H

#include <stdio.h>

#include "vswitch/capture.h"

/* The section and the interface: @port, of each frame @snaplen bytes, those @filter (or NULL) lets pass. */
int pcapng_header(FILE *f, const char *port, uint32_t snaplen, const char *filter);

/* @r->caplen bytes of a frame; @lost were left out between it and the one before. */
int pcapng_frame(FILE *f, const struct capture_record *r, const uint8_t *bytes, uint64_t lost);

/* At the end: so many were seen since @start_ns, and so many were left out. */
int pcapng_statistics(FILE *f, uint64_t start_ns, uint64_t end_ns, uint64_t seen, uint64_t dropped);

#endif
