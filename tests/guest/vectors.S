/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest whose interrupts are known: of the virtio device at 00:01.0, if it is there, MSI-X is on, and
 *   entry 0  vector 0x31 to APIC 0, unmasked
 *   entry 1  vector 0x32, masked
 *   entry 2  an address that is no interrupt, unmasked
 *   entry 3  as at power-on
 * and of the IOAPIC pin 5 sends vector 0x45 by edges. It says "ready" on COM1 and waits for ever.
 */
#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define STACK                    0x10000
#define COM1                     0x3f8
#define CONFIG                   (0x80000000 | 1 << 11)
#define IOAPIC                   0xfec00000
#define MSI_BASE                 0xfee00000
#define CAP_ID_MSIX              0x11
#define MSIX_ENABLE              0x80000000

	.section .note.Xen, "a", @note
	.long 2f - 1f, 4f - 3f, XEN_ELFNOTE_PHYS32_ENTRY
1:	.asciz "Xen"
2:	.balign 4
3:	.long _start
4:	.balign 4

	.text
	.code32

/* Select the dword at %ebx of the device's config space; it is then at port %dx. */
config_select:
	lea CONFIG(%ebx), %eax
	mov $0xcf8, %dx
	out %eax, %dx
	mov $0xcfc, %dx
	ret

.macro entry address, data, control
	movl $\address, (%ebx)
	movl $0, 4(%ebx)
	movl $\data, 8(%ebx)
	movl $\control, 12(%ebx)
	add $16, %ebx
.endm

.macro ioapic reg, value
	movl $\reg, IOAPIC
	movl $\value, IOAPIC + 0x10
.endm

	.globl _start
_start:
	mov $STACK, %esp
	xor %ebx, %ebx
	call config_select
	in %dx, %eax
	inc %eax
	jz pins
	/* along the capabilities to MSI-X */
	mov $0x34, %ebx
	call config_select
	in %dx, %eax
1:	movzbl %al, %ebx
	call config_select
	in %dx, %eax
	cmp $CAP_ID_MSIX, %al
	je 2f
	shr $8, %eax
	jmp 1b
2:	or $MSIX_ENABLE, %eax
	mov %eax, %esi
	mov %ebx, %edi
	/* the table's offset, in BAR 0 */
	add $4, %ebx
	call config_select
	in %dx, %eax
	and $~7, %eax
	mov %eax, %ebp
	mov $0x10, %ebx
	call config_select
	in %dx, %eax
	and $~0xf, %eax
	lea (%eax, %ebp), %ebp

	mov %ebp, %ebx
	entry MSI_BASE, 0x31, 0
	entry MSI_BASE, 0x32, 1
	entry 0x1000, 0x33, 0
	mov %edi, %ebx
	call config_select
	mov %esi, %eax
	out %eax, %dx

pins:
	ioapic 0x1b, 0
	ioapic 0x1a, 0x45

	mov $COM1, %dx
	mov $text, %esi
	cld
3:	lodsb
	test %al, %al
	jz 4f
	out %al, %dx
	jmp 3b
4:	cli
	hlt
	jmp 4b
text:	.asciz "ready\n"

	.section .note.GNU-stack, "", @progbits
