// SPDX-License-Identifier: GPL-2.0-or-later
/* The guests of vmm_kvm.c: position-independent, copied to CODE (the AP's to AP_CODE). */
#include "vmm_guests.h"

	.section .rodata

.macro guest name
	.balign 16
	.globl guest_\name
	.hidden guest_\name
guest_\name:
.endm

.macro guest_end name
	.globl guest_\name\()_end
	.hidden guest_\name\()_end
guest_\name\()_end:
.endm

	.code64

/* Every kind of access a device sees. */
guest io64
	mov $0x1234, %eax
	outw %ax, $PORT_TEST
	inl $PORT_TEST, %eax
	mov %eax, RESULT
	mov $RESULT + 0x100, %esi
	mov $PORT_TEST + 1, %edx
	mov $4, %ecx
	cld
	rep outsb
	mov $MMIO_TEST, %ebx
	mov (%rbx), %rax
	mov %rax, RESULT + 8
	movb $0x5a, 3(%rbx)
	mov $0x1122334455667788, %rax
	mov %rax, 8(%rbx)
	/* nobody there */
	inb $PORT_NOBODY, %al
	mov %al, RESULT + 16
	mov $MMIO_NOBODY, %ebx
	mov (%rbx), %eax
	mov %eax, RESULT + 20
	outb %al, $PORT_DONE
1:	hlt
	jmp 1b
guest_end io64

/* The state a kernel is entered with. */
guest entry64
	mov %rax, RESULT
	mov $STACK, %esp
	mov %rsi, RESULT + 8
	mov %cr0, %rax
	mov %rax, RESULT + 16
	mov %cr4, %rax
	mov %rax, RESULT + 24
	pushfq
	pop %rax
	mov %rax, RESULT + 32
	mov %cs, %eax
	mov %rax, RESULT + 40
	mov $0x2ff, %ecx
	rdmsr
	mov %eax, RESULT + 48
	mov $1, %eax
	cpuid
	mov %ebx, RESULT + 56
	mov %ecx, RESULT + 60
	mov $0xb, %eax
	mov $1, %ecx
	cpuid
	mov %ebx, RESULT + 64
	mov %edx, RESULT + 68
	mov $0xfee00000, %ebx
	mov 0x350(%rbx), %eax
	mov %eax, RESULT + 72
	mov 0x360(%rbx), %eax
	mov %eax, RESULT + 76
	outb %al, $PORT_DONE
1:	hlt
	jmp 1b
guest_end entry64

/* Enables its APIC, says it is ready, and sleeps; each interrupt is counted and told. */
guest irq
	mov $STACK, %esp
	mov $0xfee00000, %ebx
	movl $0x1ff, 0xf0(%rbx)
	lidt IDTR
	sti
	outb %al, $PORT_TEST
1:	hlt
	jmp 1b
	.balign 64
	/* at CODE + IRQ_HANDLER: keep in step with the header */
	.org guest_irq + IRQ_HANDLER
	incl RESULT
	movl $0, 0xb0(%rbx)
	mov RESULT, %eax
	outb %al, $PORT_DONE
	iretq
guest_end irq

guest triple_fault
	lidt RESULT	/* zeroes: no exception can be delivered */
	ud2
guest_end triple_fault

guest spin
	outb %al, $PORT_TEST
1:	pause
	jmp 1b
guest_end spin

guest sleep
	cli
	outb %al, $PORT_TEST
1:	hlt
	jmp 1b
guest_end sleep

/* Asks a question whose answer never comes: the VM is stopped in the middle of the instruction. */
guest ask
	inl $PORT_DONE, %eax
	mov %eax, RESULT
1:	hlt
	jmp 1b
guest_end ask

/* Sends INIT and SIPI to APIC id 1 and waits for its answer. */
guest bsp
	mov $0xfee00000, %ebx
	movl $0x1ff, 0xf0(%rbx)
	movl $1 << 24, 0x310(%rbx)
	movl $0xc500, 0x300(%rbx)
	movl $0x4600 | (AP_CODE >> 12), 0x300(%rbx)
1:	cmpl $AP_ANSWER, RESULT
	pause
	jne 1b
	outb %al, $PORT_DONE
2:	hlt
	jmp 2b
guest_end bsp

	.code16
guest ap
	mov $RESULT >> 4, %ax
	mov %ax, %ds
	movl $AP_ANSWER, 0
1:	hlt
	jmp 1b
guest_end ap

	.code32
guest io32
	mov %ebx, RESULT
	mov %cr0, %eax
	mov %eax, RESULT + 4
	outb %al, $PORT_DONE
1:	hlt
	jmp 1b
guest_end io32

	.section .note.GNU-stack,"",@progbits
