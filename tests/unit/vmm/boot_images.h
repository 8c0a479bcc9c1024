/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small kernel images for tests: right in every field, so that a test spoils exactly one. */
#ifndef VIADUCT_TESTS_BOOT_IMAGES_H
#define VIADUCT_TESTS_BOOT_IMAGES_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/bytes.h"

#define IMG_PREF   0x200000u
#define IMG_INIT   0x80000u
#define IMG_SETUP  1024u   /* boot sector and one more */
#define IMG_CODE   0x4000u /* bytes of protected-mode code */
#define IMG_BZ     (IMG_SETUP + IMG_CODE)
#define IMG_PAY    0x1000u /* payload offset in the code */
#define IMG_PAYMAX (IMG_CODE - IMG_PAY)

#define IMG_ELF   0x3000u
#define IMG_NOTE  0x200u
#define IMG_SEG0  0x1000u /* file offset; at 2 MiB, 0x1000 bytes of 0x2000 */
#define IMG_SEG1  0x2000u /* file offset; at 3 MiB, 0x800 bytes */
#define IMG_PHDR  64u
#define IMG_ENTRY (IMG_PREF + 0x100)

/* @payload may be NULL. */
static inline void image_bzimage(uint8_t img[static IMG_BZ], const uint8_t *payload, size_t len)
{
	memset(img, 0, IMG_BZ);
	for (size_t i = 0; i < IMG_CODE; i++)
		img[IMG_SETUP + i] = (uint8_t)(i * 7 + i / 256);
	img[0x1f1] = 1;                          /* setup_sects */
	le_store(img + 0x1f4, 4, IMG_CODE / 16); /* syssize */
	le_store(img + 0x1fe, 2, 0xaa55);        /* boot_flag */
	img[0x200] = 0xeb;                       /* jump over the header */
	img[0x201] = 0x6a;
	memcpy(img + 0x202, "HdrS", 4);
	le_store(img + 0x206, 2, 0x020f);     /* version */
	img[0x211] = 0x03;                    /* LOADED_HIGH, and KASLR_FLAG to be cleared */
	le_store(img + 0x22c, 4, 0x7fffffff); /* initrd_addr_max */
	le_store(img + 0x230, 4, 0x200000);   /* kernel_alignment */
	img[0x234] = 1;                       /* relocatable */
	le_store(img + 0x236, 2, 0x7f);       /* xloadflags */
	le_store(img + 0x238, 4, 255);        /* cmdline_size */
	le_store(img + 0x258, 8, IMG_PREF);   /* pref_address */
	le_store(img + 0x260, 4, IMG_INIT);   /* init_size */
	if (payload) {
		le_store(img + 0x248, 4, IMG_PAY);
		le_store(img + 0x24c, 4, len);
		memcpy(img + IMG_SETUP + IMG_PAY, payload, len);
	}
}

/* ELF64 with two PT_LOADs and a PT_NOTE; the note is PVH's when @pvh. */
static inline void image_elf(uint8_t img[static IMG_ELF], int pvh)
{
	Elf64_Ehdr h = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = IMG_ENTRY,
		.e_phoff = IMG_PHDR,
		.e_ehsize = sizeof(h),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
	};
	Elf64_Phdr p[3] = {
		{.p_type = PT_LOAD,
			.p_offset = IMG_SEG0,
			.p_vaddr = 0xffffffff80200000,
			.p_paddr = IMG_PREF,
			.p_filesz = 0x1000,
			.p_memsz = 0x2000},
		{.p_type = PT_LOAD,
			.p_offset = IMG_SEG1,
			.p_paddr = 0x300000,
			.p_filesz = 0x800,
			.p_memsz = 0x800},
		{.p_type = PT_NOTE, .p_offset = IMG_NOTE, .p_filesz = 40},
	};

	memset(img, 0, IMG_ELF);
	for (size_t i = IMG_SEG0; i < IMG_ELF; i++)
		img[i] = (uint8_t)(i * 5 + i / 256 + 1);
	memcpy(img, &h, sizeof(h));
	memcpy(img + IMG_PHDR, p, sizeof(p));
	/* a note of another kind first */
	le_store(img + IMG_NOTE, 4, 4);
	le_store(img + IMG_NOTE + 4, 4, 4);
	le_store(img + IMG_NOTE + 8, 4, 5);
	memcpy(img + IMG_NOTE + 12, "Xen", 4);
	le_store(img + IMG_NOTE + 20, 4, 4);
	le_store(img + IMG_NOTE + 24, 4, 4);
	le_store(img + IMG_NOTE + 28, 4, pvh ? 18 : 6);
	memcpy(img + IMG_NOTE + 32, "Xen", 4);
	le_store(img + IMG_NOTE + 36, 4, IMG_ENTRY + 0x10);
}

#endif
