/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the boot loader share: image files, the plan they fill, placement. */
#ifndef VIADUCT_VMM_BOOT_PRIV_H
#define VIADUCT_VMM_BOOT_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <asm/bootparam.h>

#include "common/err.h"
#include "common/range.h"
#include "vmm/boot.h"
#include "vmm/gmem.h"

/* A regular file, read by offset with its size known. */
struct boot_file {
	int fd; /* owned; -1 when closed */
	const char *path;
	uint64_t size;
};

/* -ENOEXEC: not a regular file; errnos of open(2). @what is "kernel" or "initrd". */
int boot_file_open(const char *path, const char *what, struct err *e, struct boot_file *ret);
void boot_file_close(struct boot_file *f);
/* Exactly @len bytes at @off. -ENOEXEC: the file ends before that; -EIO and others of pread(2). */
int boot_file_read(const struct boot_file *f, uint64_t off, void *buf, size_t len, struct err *e);

/* One piece of the kernel: file bytes [off, off + filesz) at gpa, zeroes up to memsz. */
struct boot_seg {
	uint64_t off, filesz, gpa, memsz;
};

#define BOOT_SEGS 32u
/* The setup header starts at 0x1f1 of the zero page, and 0x290 is the next field (boot.rst). */
#define BOOT_HDR_MAX (0x290u - 0x1f1u)

/* What an image asks for; filled by boot_bzimage() or boot_elf(), carried out by boot_load(). */
struct boot_plan {
	enum boot_mode mode;
	uint64_t entry;
	struct boot_seg seg[BOOT_SEGS]; /* guest ranges the kernel occupies, none overlapping */
	unsigned int segs;
	union {
		uint8_t bytes[BOOT_HDR_MAX];
		struct setup_header fields;
	} hdr;
	uint64_t cmdline_max; /* characters without the NUL */
	uint64_t initrd_end;  /* the initrd must end at or below this gpa */
};

/* Does the file start like a bzImage / an ELF? @head: its first 1024 bytes, zero padded. */
bool boot_is_bzimage(const uint8_t *head);
bool boot_is_elf(const uint8_t *head);

/* Check the image, load it, and fill @p. Errors as boot_load(). */
int boot_bzimage(const struct boot_config *cfg, const struct boot_file *f, struct gmem *g,
	struct err *e, struct boot_plan *p);
/*
 * Unpack the vmlinux at [off, off + len) of a bzImage into its place and set p->seg and p->entry.
 * -EOPNOTSUPP: no compressed stream, or one this build cannot unpack; nothing was touched.
 */
int boot_payload(const struct boot_config *cfg, const struct boot_file *f, uint64_t off,
	uint64_t len, struct gmem *g, struct err *e, struct boot_plan *p);
int boot_elf(const struct boot_file *f, struct gmem *g, struct err *e, struct boot_plan *p);

/*
 * ELF headers, apart from where the bytes come from (a file, or the stream of a decompressor).
 * elf_header() reads the first 64 bytes, elf_segments() the program headers.
 */
struct boot_elf {
	const char *path;
	bool wide; /* ELF64 */
	uint64_t entry, phoff;
	unsigned int phnum, phentsize;
	struct range notes[4];
	unsigned int n_notes;
};

#define BOOT_PHDRS_MAX 64u

int elf_header(
	const uint8_t head[static 64], const char *path, struct err *e, struct boot_elf *ret);
/* Fills p->seg with the PT_LOADs, each checked against @g and the others, and elf->notes. */
int elf_segments(struct boot_elf *elf, const uint8_t *phdrs, const struct gmem *g, struct err *e,
	struct boot_plan *p);
/* Is @gpa inside the file-backed part of a segment? */
bool elf_entry_ok(const struct boot_plan *p, uint64_t gpa);
/* The setup header of a kernel entered without its real-mode part. */
void boot_hdr_default(struct boot_plan *p);

/* Find room for @size bytes below @end that touches neither the kernel nor low memory. */
bool boot_place(const struct gmem *g, const struct boot_plan *p, uint64_t size, uint64_t end,
	uint64_t *ret_gpa);

/* The e820 map of a guest with this memory. */
#define BOOT_E820_MAX 16u
unsigned int boot_e820(const struct gmem *g, struct boot_e820_entry ret[static BOOT_E820_MAX]);

#endif
