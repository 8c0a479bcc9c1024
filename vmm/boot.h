/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel images into guest memory, and how a vCPU enters them.
 * bzImage: Linux Documentation/arch/x86/boot.rst (64-bit boot protocol); ELF: PVH, Xen
 * docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h.
 * Image files are input: every offset and size is checked against the file and the memory.
 */
#ifndef VIADUCT_VMM_BOOT_H
#define VIADUCT_VMM_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "vmm/gmem.h"

/*
 * Who unpacks a bzImage. The host skips the guest's page faults and one copy, but the kernel then
 * runs at its link address: no KASLR in the guest. 0 keeps it; the caller weighs.
 */
enum boot_decompress {
	BOOT_DECOMPRESS_GUEST, /* the image's own decompressor, with KASLR */
	BOOT_DECOMPRESS_HOST,  /* -ENOEXEC when this build cannot unpack the image */
	BOOT_DECOMPRESS_AUTO,  /* host when it can, else guest */
};

struct boot_config {
	const char *kernel;  /* path: bzImage, or an ELF (see below) */
	const char *initrd;  /* path or NULL */
	const char *cmdline; /* not NULL */
	uint64_t rsdp_gpa;
	enum boot_decompress decompress;
	/* Asked between two blocks of a kernel that is unpacked; true: give up. May be NULL. */
	bool (*cancelled)(void *ctx);
	void *cancel_ctx;
};

enum boot_mode { BOOT_LONG64, BOOT_PVH32 };

/* The state the boot vCPU starts in. */
struct boot_entry {
	enum boot_mode mode;
	uint64_t rip;
	uint64_t rsi; /* BOOT_LONG64: zero page */
	uint64_t rbx; /* BOOT_PVH32: start info */
	uint64_t cr3; /* BOOT_LONG64: identity map of at least the first 4 GiB */
	uint64_t gdt_base;
	uint16_t gdt_limit; /* entries: null, null, 0x10 code, 0x18 data, 0x20 TSS */
};

/*
 * An ELF with a PVH note (XEN_ELFNOTE_PHYS32_ENTRY), 32 or 64 bits, is entered as BOOT_PVH32; an
 * x86-64 ELF without one at e_entry as BOOT_LONG64 with a zero page, as a vmlinux expects.
 * Kernels are loaded at or above 1 MiB; below it are the structures made here and the ACPI tables.
 *
 * Load kernel, initrd, command line, zero page/start info with e820, page tables and GDT. May be
 * called again after a guest reboot. Errors name the file: -ENOENT, -EACCES; -ENOEXEC: not a
 * kernel, or truncated, or no 64-bit entry; -E2BIG: kernel, initrd or command line does not fit
 * (text says both figures); -ECANCELED: cfg->cancelled said so.
 */
int boot_load(const struct boot_config *cfg, struct gmem *g, struct err *e, struct boot_entry *ret);

#endif
