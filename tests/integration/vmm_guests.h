/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the guests of vmm_kvm.c find things; read by C and by the assembler. */
#ifndef VIADUCT_TESTS_VMM_GUESTS_H
#define VIADUCT_TESTS_VMM_GUESTS_H

#define CODE    0x10000
#define AP_CODE 0x18000
#define RESULT  0x30000
#define IDTR    0x31000
#define IDT     0x32000
#define STACK   0x40000

#define PORT_TEST   0x10
#define PORT_NOBODY 0x18
#define PORT_DONE   0x20
#define MMIO_TEST   0xd0000000
#define MMIO_NOBODY 0xd8000000

#define IRQ_VECTOR  0x41
#define IRQ_HANDLER 0x80 /* offset in guest irq */
#define AP_ANSWER   0x600d

#endif
