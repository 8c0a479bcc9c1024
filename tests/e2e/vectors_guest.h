/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the guest of vectors_probe.c has things; read by C and by the assembler. */
#ifndef VIADUCT_TESTS_VECTORS_GUEST_H
#define VIADUCT_TESTS_VECTORS_GUEST_H

#define GDT        0x500
#define PAGE_TABLE 0x9000 /* as in vmm/layout.h, which the assembler cannot read */

#define CODE    0x10000
#define AP_CODE 0x18000 /* a page of its own, below 1 MiB: where SIPI points */
#define IDTR    0x30000
#define IDT     0x31000
#define STACKS  0x40000 /* a page per vCPU, from here up */
#define COUNTS  0x50000 /* a page per vCPU: a counter for each vector; [0] is their sum */
#define READY   0x400   /* offset there, behind the counters: it waits for interrupts */
#define COMMAND 0x60000 /* source, destination, quadwords; what VECTOR_COPY does on the boot vCPU */
#define ENTRIES 0x70000 /* the MSI-X table as it is to become: up to 32 KiB */

#define PAGE         0x1000
#define VECTOR_FIRST 0x20
#define VECTOR_COPY \
	0x20 /* the guest's driver: copies COMMAND's quadwords, as into a device's BAR */
#define VECTOR_DEVICE 0x21  /* from here to 0xff: counted */
#define HANDLERS      0x200 /* offset in the guest: 16 bytes for each vector from VECTOR_FIRST */
#define HANDLER_SIZE  16

#endif
