/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the guest of doctor_kvm.c finds things; read by C and by the assembler. */
#ifndef VIADUCT_CLI_DOCTOR_KVM_H
#define VIADUCT_CLI_DOCTOR_KVM_H

#define GUEST_CODE   0x10000
#define GUEST_MAGIC  0x30000 /* GUEST_MAGIC_VALUE */
#define GUEST_GDTR   0x31000
#define GUEST_IDTR   0x31010
#define GUEST_GDT    0x31100
#define GUEST_IDT    0x32000
#define GUEST_TSS    0x33000
#define GUEST_FPU    0x34000
#define GUEST_FLAG   0x35000 /* set by the timer's interrupt */
#define GUEST_PDPT   0x36000 /* of the kernel's half, made by the guest */
#define GUEST_PD     0x37000
#define GUEST_USER   0x3c000 /* top of a stack */
#define GUEST_STACK  0x40000
#define GUEST_BUFFER 0x200000 /* and a MiB after it */

#define GUEST_MAGIC_VALUE 0x5ca1ab1e

/* Linux's own selectors (arch/x86/include/asm/segment.h), in the order that SYSCALL wants them. */
#define SEL_KERNEL_CODE 0x10
#define SEL_KERNEL_DATA 0x18
#define SEL_USER_CODE32 0x20
#define SEL_USER_DATA   0x28
#define SEL_USER_CODE   0x30
#define SEL_TSS         0x40

#define VECTOR_UD    6
#define VECTOR_PF    14
#define VECTOR_TIMER 0x40

#define PORT_STEP  0x10 /* a step begins: its number */
#define PORT_MARK  0x11 /* a batch begins or ends */
#define PORT_WRONG 0x12 /* the processor did something else than the book says */
#define PORT_END   0x13

#define STEP_SEGMENTS  1
#define STEP_EXCEPTION 2
#define STEP_REGISTERS 3
#define STEP_FPU       4
#define STEP_PAGING    5
#define STEP_STRINGS   6
#define STEP_SPEED     7
#define STEP_USER      8
#define STEP_TIMER     9

#define BATCHES            5
#define BATCH_LOOPS        5000
#define BATCH_INSTRUCTIONS (BATCH_LOOPS * 10)

#endif
