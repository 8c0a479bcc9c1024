// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest that counts interrupts by vCPU and vector: 64 bits, x2APIC. %rbp is the vCPU's
 * page of counters and is never changed, so that a handler has one instruction to do.
 */
#include "vectors_guest.h"

#define MSR_APIC_BASE 0x1b
#define X2APIC_ON     0xc00
#define MSR_ID        0x802
#define MSR_EOI       0x80b
#define MSR_SVR       0x80f
#define MSR_ICR       0x830
#define MSR_EFER      0xc0000080
#define EFER_LME      0x100
#define CR4_PAE       0x20
#define CR0_PG_PE     0x80000001
#define OTHERS_INIT   0xc4500
#define OTHERS_SIPI   0xc4600

	.section .rodata
	.code64
	.balign 16
	.globl guest_vectors
	.hidden guest_vectors
guest_vectors:
	mov $STACKS + 14 * PAGE, %esp
	call apic_on
	xor %edx, %edx
	mov $MSR_ICR, %ecx
	mov $OTHERS_INIT, %eax
	wrmsr
	mov $OTHERS_SIPI | (AP_CODE >> 12), %eax
	wrmsr
	jmp wait

/* Sets %ebp and %esp of this vCPU; clobbers the others. Called before there is a stack. */
apic_on:
	pop %rbx
	mov $MSR_APIC_BASE, %ecx
	rdmsr
	or $X2APIC_ON, %eax
	wrmsr
	mov $MSR_ID, %ecx
	rdmsr
	shl $12, %eax
	lea COUNTS(%rax), %ebp
	lea STACKS + PAGE(%rax), %esp
	mov $MSR_SVR, %ecx
	mov $0x1ff, %eax
	xor %edx, %edx
	wrmsr
	lidt IDTR
	jmp *%rbx

	.org guest_vectors + 0x100
	/* where the other vCPUs go on */
	mov $0x18, %eax
	mov %eax, %ds
	mov %eax, %ss
	mov $STACKS + 15 * PAGE, %esp	/* for the return address alone: they come one by one */
	call apic_on
wait:
	movl $1, READY(%rbp)
	sti
1:	hlt
	jmp 1b

copy:
	mov COMMAND, %esi
	mov COMMAND + 4, %edi
	mov COMMAND + 8, %ecx
1:	mov (%rsi), %rax
	mov %rax, (%rdi)
	add $8, %esi
	add $8, %edi
	loop 1b
end:
	mov $MSR_EOI, %ecx
	xor %eax, %eax
	xor %edx, %edx
	wrmsr
	/* Last, so that who sees the sum sees all. */
	incl (%rbp)
	iretq

	.org guest_vectors + HANDLERS
	.set vector, VECTOR_FIRST
	.rept 256 - VECTOR_FIRST
	incl vector * 4(%rbp)
	.if vector == VECTOR_COPY
	jmp copy
	.else
	jmp end
	.endif
	.set vector, vector + 1
	.balign HANDLER_SIZE
	.endr
	.globl guest_vectors_end
	.hidden guest_vectors_end
guest_vectors_end:

/* At AP_CODE. */
	.code16
	.balign 16
	.globl guest_ap16
	.hidden guest_ap16
guest_ap16:
	cli
	lgdtl %cs:(gdtr - guest_ap16)
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $PAGE_TABLE, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov %cr0, %eax
	or $CR0_PG_PE, %eax
	mov %eax, %cr0
	ljmpl $0x10, $CODE + 0x100
	.balign 4
gdtr:
	.word 31
	.long GDT
	.globl guest_ap16_end
	.hidden guest_ap16_end
guest_ap16_end:

	.section .note.GNU-stack,"",@progbits
