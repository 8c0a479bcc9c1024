/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole guest in a dozen bytes: an ELF kernel, entered through PVH, that turns the machine off. For
 * tests in which the guest is not the point.
 */
#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define SLEEP_CTL                0x600
#define SLEEP_S5_NOW             0x34 /* SLEEP_ENABLE, type 5 */

	.section .note.Xen, "a", @note
	.long 2f - 1f, 4f - 3f, XEN_ELFNOTE_PHYS32_ENTRY
1:	.asciz "Xen"
2:	.balign 4
3:	.long _start
4:	.balign 4

	.text
	.code32
	.globl _start
_start:
	movw $SLEEP_CTL, %dx
	movb $SLEEP_S5_NOW, %al
	outb %al, %dx
5:	hlt
	jmp 5b

	.section .note.GNU-stack, "", @progbits
