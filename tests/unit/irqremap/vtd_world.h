/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A remapping unit on the router of world.h, with MEM bytes of guest memory; the program defines MEM
 * before it includes this. Registers: VT-d §10.4.
 */
#ifndef VIADUCT_TESTS_VTD_WORLD_H
#define VIADUCT_TESTS_VTD_WORLD_H

#include <errno.h>
#include <string.h>

#include "irqremap/vtd.h"
#include "tests/unit/irqremap/world.h"

#define GCMD 0x18
#define GSTS 0x1c
#define FSTS 0x34
#define IQT  0x88
#define IQA  0x90
#define FRCD 0x220

#define QIE (1u << 26)
#define F   (1ull << 63)

static uint8_t mem[MEM];
static struct vtd *vtd;
static unsigned int tail;

static inline int mem_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	if (gpa >= MEM || len > MEM - gpa)
		return -EFAULT;
	memcpy(buf, mem + gpa, len);
	return 0;
}

static inline int mem_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
	if (gpa >= MEM || len > MEM - gpa)
		return -EFAULT;
	memcpy(mem + gpa, buf, len);
	return 0;
}

static const struct vtd_memory memory = {mem_read, mem_write, NULL};

static inline uint32_t get(unsigned int off)
{
	return (uint32_t)vtd_read(vtd, off, 4);
}

static inline void put(unsigned int off, uint32_t val)
{
	vtd_write(vtd, off, 4, val);
}

#endif
