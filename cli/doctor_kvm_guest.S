/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Linux does with its processor before it has a console, in a few hundred instructions: its own
 * descriptor tables, an exception, control and model specific registers, the FPU, page tables with a
 * kernel half and a page fault, string instructions, user mode and back by SYSCALL, the local
 * APIC's timer; and in between how fast ordinary code runs. Intel SDM vol. 3, AMD APM vol. 2.
 * Position-independent; doctor_kvm.c puts it at GUEST_CODE and its tables in place.
 */
#include "cli/doctor_kvm.h"

#define LAPIC 0xfee00000

	.section .rodata
	.balign 16
	.globl doctor_guest, doctor_guest_end, doctor_guest_ud, doctor_guest_pf, doctor_guest_timer
	.hidden doctor_guest, doctor_guest_end, doctor_guest_ud, doctor_guest_pf, doctor_guest_timer

.macro step number
	mov $\number, %al
	out %al, $PORT_STEP
.endm

.macro msr_write number, high, low
	mov $\number, %ecx
	mov $\high, %edx
	mov $\low, %eax
	wrmsr
.endm

	.code64
doctor_guest:
	mov $GUEST_STACK, %esp

	step STEP_SEGMENTS
	lgdt GUEST_GDTR
	pushq $SEL_KERNEL_CODE
	lea 1f(%rip), %rax
	push %rax
	lretq
1:	mov $SEL_KERNEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov $SEL_TSS, %eax
	ltr %ax

	step STEP_EXCEPTION
	lidt GUEST_IDTR
	xor %r14d, %r14d
	ud2
	cmp $VECTOR_UD, %r14d
	jne wrong

	step STEP_REGISTERS
	mov %cr4, %rax
	or $0x680, %eax /* PGE, OSFXSR, OSXMMEXCPT */
	mov %rax, %cr4
	mov %cr0, %rax
	mov %rax, %cr0
	mov $0xc0000080, %ecx /* EFER */
	rdmsr
	or $0x801, %eax /* NXE, SCE */
	wrmsr
	msr_write 0xc0000081, (SEL_USER_CODE32 + 3) << 16 | SEL_KERNEL_CODE, 0 /* STAR */
	lea syscall_entry(%rip), %rax
	mov $0xc0000082, %ecx /* LSTAR */
	xor %edx, %edx
	wrmsr
	msr_write 0xc0000084, 0, 0x700 /* SFMASK: IF, TF, DF */
	msr_write 0xc0000101, 0, 0x1000 /* GS base */
	msr_write 0xc0000102, 0, 0x2000 /* kernel GS base */
	swapgs
	mov $0xc0000101, %ecx
	rdmsr
	swapgs
	cmp $0x2000, %eax
	jne wrong
	xor %eax, %eax
	cpuid
	test %eax, %eax
	jz wrong

	step STEP_FPU
	fninit
	fnstcw GUEST_FPU
	cmpw $0x37f, GUEST_FPU
	jne wrong
	fxsave GUEST_FPU
	fxrstor GUEST_FPU

	/* The first 2 MiB again, where a kernel is linked to. */
	step STEP_PAGING
	mov %cr3, %rbx
	movq $GUEST_PDPT + 3, 511 * 8(%rbx)
	movq $GUEST_PD + 3, GUEST_PDPT + 510 * 8
	movq $0x83, GUEST_PD
	mov %rbx, %cr3
	mov $0xffffffff80000000 + GUEST_MAGIC, %rsi
	cmpl $GUEST_MAGIC_VALUE, (%rsi)
	jne wrong
	movq $0, GUEST_PD
	invlpg (%rsi)
	xor %r14d, %r14d
	mov (%rsi), %eax
	cmp $VECTOR_PF, %r14d
	jne wrong
	cmp %rsi, %r15
	jne wrong
	cmp $GUEST_MAGIC_VALUE, %eax
	jne wrong

	step STEP_STRINGS
	cld
	mov $0x5a5a5a5a, %eax
	mov $GUEST_BUFFER, %edi
	mov $0x80000 / 8, %ecx
	rep stosq
	mov $GUEST_BUFFER, %esi
	mov $0x10000, %ecx
	rep movsb
	cmp %eax, GUEST_BUFFER + 0x8fff8
	jne wrong

	step STEP_SPEED
	mov $BATCHES, %r12d
3:	out %al, $PORT_MARK
	mov $BATCH_LOOPS, %ecx
	mov $GUEST_BUFFER, %esi
	xor %eax, %eax
4:	mov (%rsi), %edx
	add %edx, %eax
	mov %eax, 64(%rsi)
	call 5f
	lea 4(%rsi), %rsi
	and $~0x80000, %esi
	dec %ecx
	jnz 4b
	out %al, $PORT_MARK
	dec %r12d
	jnz 3b

	step STEP_USER
	pushq $SEL_USER_DATA + 3
	pushq $GUEST_USER
	pushq $2
	pushq $SEL_USER_CODE + 3
	lea user(%rip), %rax
	push %rax
	iretq
	/* Where an exception came from is what Linux goes by. */
user:
	ud2
	mov %r13d, %edi
	syscall
1:	jmp 1b
syscall_entry:
	mov $GUEST_STACK, %esp
	cmp $SEL_USER_CODE + 3, %edi
	jne wrong
	ud2
	cmp $SEL_KERNEL_CODE, %r13d
	jne wrong

	step STEP_TIMER
	mov $LAPIC, %ebx
	movl $0x1ff, 0xf0(%rbx) /* on; spurious vector 0xff */
	movl $0xb, 0x3e0(%rbx) /* divide by 1 */
	movl $VECTOR_TIMER, 0x320(%rbx) /* once */
	movl $100000, 0x380(%rbx)
1:	cli
	cmpl $0, GUEST_FLAG
	jne 2f
	sti
	hlt
	jmp 1b
2:

	out %al, $PORT_END
	cli
	hlt
5:	xor %edx, %eax
	ret

wrong:
	out %al, $PORT_WRONG
	cli
	hlt

	/* Past the two bytes of ud2. */
doctor_guest_ud:
	mov $VECTOR_UD, %r14d
	mov 8(%rsp), %r13
	addq $2, (%rsp)
	iretq

	/* Put the page back and try again. */
doctor_guest_pf:
	mov $VECTOR_PF, %r14d
	mov %cr2, %r15
	movq $0x83, GUEST_PD
	add $8, %rsp
	iretq

doctor_guest_timer:
	push %rbx
	movl $1, GUEST_FLAG
	mov $LAPIC, %ebx
	movl $0, 0xb0(%rbx) /* end of interrupt */
	pop %rbx
	iretq
doctor_guest_end:

	.section .note.GNU-stack, "", @progbits
