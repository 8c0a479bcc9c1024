// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ELF kernels: entered by the PVH note when there is one (Xen docs/misc/pvh.pandoc), else at
 * e_entry in long mode, as a Linux vmlinux is.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/bytes.h"
#include "vmm/boot_priv.h"
#include "vmm/layout.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18u
#define NOTES_MAX                4096u

bool boot_is_elf(const uint8_t *head)
{
	return memcmp(head, ELFMAG, SELFMAG) == 0;
}

int elf_header(const uint8_t head[static 64], const char *path, struct err *e, struct boot_elf *ret)
{
	struct boot_elf elf = {.path = path};
	Elf64_Ehdr h64;
	Elf32_Ehdr h32;
	unsigned int machine;

	memcpy(&h64, head, sizeof(h64));
	memcpy(&h32, head, sizeof(h32));
	if (!boot_is_elf(head) || head[EI_DATA] != ELFDATA2LSB ||
		(head[EI_CLASS] != ELFCLASS64 && head[EI_CLASS] != ELFCLASS32))
		return err_set(e, ENOEXEC, "kernel %s: not a little-endian ELF", path);
	elf.wide = head[EI_CLASS] == ELFCLASS64;
	machine = elf.wide ? h64.e_machine : h32.e_machine;
	if (machine != EM_X86_64 && machine != EM_386)
		return err_set(
			e, ENOEXEC, "kernel %s: an ELF for machine %u, not x86", path, machine);
	if ((elf.wide ? h64.e_type : h32.e_type) != ET_EXEC &&
		(elf.wide ? h64.e_type : h32.e_type) != ET_DYN)
		return err_set(e, ENOEXEC, "kernel %s: an ELF, but not an executable", path);
	elf.entry = elf.wide ? h64.e_entry : h32.e_entry;
	elf.phoff = elf.wide ? h64.e_phoff : h32.e_phoff;
	elf.phnum = elf.wide ? h64.e_phnum : h32.e_phnum;
	elf.phentsize = elf.wide ? h64.e_phentsize : h32.e_phentsize;
	if (elf.phnum == 0 || elf.phnum > BOOT_PHDRS_MAX ||
		elf.phentsize != (elf.wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return err_set(e, ENOEXEC, "kernel %s: %u program headers of %u bytes", path,
			elf.phnum, elf.phentsize);
	*ret = elf;
	return 0;
}

static Elf64_Phdr phdr_get(const struct boot_elf *elf, const uint8_t *phdrs, unsigned int i)
{
	Elf64_Phdr p;
	Elf32_Phdr n;

	if (elf->wide) {
		memcpy(&p, phdrs + i * sizeof(p), sizeof(p));
		return p;
	}
	memcpy(&n, phdrs + i * sizeof(n), sizeof(n));
	return (Elf64_Phdr){
		.p_type = n.p_type,
		.p_offset = n.p_offset,
		.p_paddr = n.p_paddr,
		.p_filesz = n.p_filesz,
		.p_memsz = n.p_memsz,
	};
}

static int segment_add(const struct boot_elf *elf, const Elf64_Phdr *ph, const struct gmem *g,
	struct err *e, struct boot_plan *p)
{
	struct range r, file, other;

	if (ph->p_memsz == 0)
		return 0;
	if (ph->p_filesz > ph->p_memsz || !range_make(ph->p_offset, ph->p_filesz, &file) ||
		!range_make(ph->p_paddr, ph->p_memsz, &r))
		return err_set(e, ENOEXEC, "kernel %s: bad program header at 0x%" PRIx64, elf->path,
			(uint64_t)ph->p_paddr);
	if (r.start < LAYOUT_KERNEL_MIN)
		return err_set(e, ENOEXEC, "kernel %s: a segment at 0x%" PRIx64 ", below 1 MiB",
			elf->path, r.start);
	if (r.end > gmem_low_end(g) || !gmem_hva(g, r.start, range_size(r)))
		return err_set(e, E2BIG,
			"kernel %s: needs %" PRIu64 " bytes of memory at 0x%" PRIx64
			", the guest's low memory ends at 0x%" PRIx64,
			elf->path, range_size(r), r.start, gmem_low_end(g));
	for (unsigned int i = 0; i < p->segs; i++) {
		other = (struct range){p->seg[i].gpa, p->seg[i].gpa + p->seg[i].memsz};
		if (range_overlaps(r, other))
			return err_set(e, ENOEXEC, "kernel %s: segments overlap at 0x%" PRIx64,
				elf->path, r.start);
	}
	if (p->segs == BOOT_SEGS)
		return err_set(
			e, ENOEXEC, "kernel %s: more than %u segments", elf->path, BOOT_SEGS);
	p->seg[p->segs++] = (struct boot_seg){file.start, ph->p_filesz, r.start, range_size(r)};
	return 0;
}

int elf_segments(struct boot_elf *elf, const uint8_t *phdrs, const struct gmem *g, struct err *e,
	struct boot_plan *p)
{
	p->segs = 0;
	elf->n_notes = 0;
	for (unsigned int i = 0; i < elf->phnum; i++) {
		Elf64_Phdr ph = phdr_get(elf, phdrs, i);
		struct range notes;
		int r = 0;

		if (ph.p_type == PT_LOAD)
			r = segment_add(elf, &ph, g, e, p);
		else if (ph.p_type == PT_NOTE && elf->n_notes < 4 && ph.p_filesz <= NOTES_MAX &&
			 range_make(ph.p_offset, ph.p_filesz, &notes))
			elf->notes[elf->n_notes++] = notes;
		if (r < 0)
			return r;
	}
	if (!p->segs)
		return err_set(e, ENOEXEC, "kernel %s: nothing to load in it", elf->path);
	return 0;
}

bool elf_entry_ok(const struct boot_plan *p, uint64_t gpa)
{
	for (unsigned int i = 0; i < p->segs; i++)
		if (gpa >= p->seg[i].gpa && gpa - p->seg[i].gpa < p->seg[i].filesz)
			return true;
	return false;
}

/* One PT_NOTE's bytes: name size, descriptor size, type, then both padded to 4 bytes. */
static bool note_find(const uint8_t *v, size_t len, uint64_t *ret)
{
	size_t pos = 0;

	while (len - pos >= 12) {
		uint64_t namesz = le_load(v + pos, 4), descsz = le_load(v + pos + 4, 4);
		uint64_t type = le_load(v + pos + 8, 4);
		uint64_t name = pos + 12, desc = name + ((namesz + 3) & ~3ull);

		if (desc > len || descsz > len - desc)
			return false;
		if (type == XEN_ELFNOTE_PHYS32_ENTRY && namesz == 4 &&
			memcmp(v + name, "Xen", 4) == 0 && (descsz == 4 || descsz == 8)) {
			*ret = le_load(v + desc, descsz);
			return true;
		}
		desc += (descsz + 3) & ~3ull;
		if (desc > len)
			return false;
		pos = desc;
	}
	return false;
}

static int pvh_entry(const struct boot_file *f, const struct boot_elf *elf, struct err *e,
	bool *ret_found, uint64_t *ret)
{
	uint8_t buf[NOTES_MAX];

	*ret_found = false;
	for (unsigned int i = 0; i < elf->n_notes && !*ret_found; i++) {
		size_t len = range_size(elf->notes[i]);
		int r = boot_file_read(f, elf->notes[i].start, buf, len, e);

		if (r < 0)
			return err_wrap(e, r, "kernel");
		*ret_found = note_find(buf, len, ret);
	}
	return 0;
}

static int segments_load(
	const struct boot_file *f, struct gmem *g, const struct boot_plan *p, struct err *e)
{
	for (unsigned int i = 0; i < p->segs; i++) {
		const struct boot_seg *s = &p->seg[i];
		uint8_t *hva = gmem_hva(g, s->gpa, s->memsz);
		int r = boot_file_read(f, s->off, hva, s->filesz, e);

		if (r < 0)
			return err_wrap(e, r, "kernel");
		memset(hva + s->filesz, 0, s->memsz - s->filesz);
	}
	return 0;
}

void boot_hdr_default(struct boot_plan *p)
{
	struct setup_header *h = &p->hdr.fields;

	memset(&p->hdr, 0, sizeof(p->hdr));
	h->boot_flag = 0xaa55;
	h->header = 0x53726448;
	h->version = 0x020f;
	h->loadflags = LOADED_HIGH;
	h->kernel_alignment = 0x1000000;
}

int boot_elf(const struct boot_file *f, struct gmem *g, struct err *e, struct boot_plan *p)
{
	uint8_t head[64], phdrs[BOOT_PHDRS_MAX * sizeof(Elf64_Phdr)];
	struct boot_elf elf;
	bool pvh;
	int r = boot_file_read(f, 0, head, sizeof(head), e);

	if (r < 0)
		return err_wrap(e, r, "kernel");
	r = elf_header(head, f->path, e, &elf);
	if (r < 0)
		return r;
	r = boot_file_read(f, elf.phoff, phdrs, (size_t)elf.phnum * elf.phentsize, e);
	if (r < 0)
		return err_wrap(e, r, "kernel");
	r = elf_segments(&elf, phdrs, g, e, p);
	if (r < 0)
		return r;
	r = pvh_entry(f, &elf, e, &pvh, &p->entry);
	if (r < 0)
		return r;
	p->mode = pvh ? BOOT_PVH32 : BOOT_LONG64;
	if (!pvh && !elf.wide)
		return err_set(e, ENOEXEC,
			"kernel %s: a 32-bit ELF without a PVH note (XEN_ELFNOTE_PHYS32_ENTRY)",
			f->path);
	if (!pvh)
		p->entry = elf.entry;
	if (!elf_entry_ok(p, p->entry))
		return err_set(e, ENOEXEC, "kernel %s: entry 0x%" PRIx64 " is in no segment",
			f->path, p->entry);
	boot_hdr_default(p);
	p->cmdline_max = LAYOUT_CMDLINE_MAX - 1;
	p->initrd_end = LAYOUT_HIGH_RAM;
	return segments_load(f, g, p, e);
}
