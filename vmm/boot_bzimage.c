// SPDX-License-Identifier: GPL-2.0-or-later
/* bzImage: Linux Documentation/arch/x86/boot.rst, protocol 2.12 and later, 64-bit entry. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "common/bytes.h"
#include "vmm/boot_priv.h"
#include "vmm/layout.h"

#define SECTOR         512u
#define HDR_OFF        0x1f1u
#define HDR_JUMP_LEN   0x201u /* the byte after the jump opcode: the header ends at 0x202 + it */
#define HDR_END        0x202u
#define HDR_MAGIC      0x53726448u /* "HdrS" */
#define BOOT_FLAG      0xaa55u
#define PROTOCOL_MIN   0x020cu /* 2.12 brought xloadflags */
#define ENTRY64_OFFSET 0x200u
#define HDR_FIELD(f)   (HDR_OFF + offsetof(struct setup_header, f))

bool boot_is_bzimage(const uint8_t *head)
{
	return le_load(head + HDR_FIELD(boot_flag), 2) == BOOT_FLAG &&
	       le_load(head + HDR_FIELD(header), 4) == HDR_MAGIC;
}

static int header_check(
	const struct boot_file *f, const uint8_t *head, struct err *e, struct boot_plan *p)
{
	size_t end = HDR_END + head[HDR_JUMP_LEN];
	struct setup_header *h = &p->hdr.fields;
	unsigned int version = (unsigned int)le_load(head + HDR_FIELD(version), 2);

	if (version < PROTOCOL_MIN)
		return err_set(e, ENOEXEC,
			"%s: boot protocol %u.%02u, 2.12 or later is needed (Linux 3.8)", f->path,
			version >> 8, version & 0xff);
	/* The jump is a signed byte over the header; init_size is the last field we rely on. */
	if (end < HDR_FIELD(handover_offset) || end > HDR_OFF + BOOT_HDR_MAX)
		return err_set(
			e, ENOEXEC, "%s: setup header ends at 0x%zx, not a kernel", f->path, end);
	memset(&p->hdr, 0, sizeof(p->hdr));
	memcpy(p->hdr.bytes, head + HDR_OFF, end - HDR_OFF);
	if (!(h->xloadflags & XLF_KERNEL_64) || !(h->loadflags & LOADED_HIGH))
		return err_set(e, ENOEXEC, "%s: has no 64-bit entry (xloadflags 0x%x)", f->path,
			h->xloadflags);
	return 0;
}

/* The protected-mode part: after the boot sector and setup_sects more, syssize paragraphs. */
static int payload_find(const struct boot_file *f, const struct setup_header *h, struct err *e,
	uint64_t *ret_off, uint64_t *ret_len)
{
	/* boot.rst: "For backwards compatibility, if the setup_sects field contains 0, the real
	 * value is 4." */
	uint64_t off = ((h->setup_sects ? h->setup_sects : 4u) + 1) * (uint64_t)SECTOR;
	uint64_t len = (uint64_t)h->syssize * 16;

	if (off > f->size || len > f->size - off)
		return err_set(e, ENOEXEC,
			"kernel %s: truncated: needs %" PRIu64 " bytes, the file has %" PRIu64,
			f->path, off + len, f->size);
	if (len <= ENTRY64_OFFSET)
		return err_set(
			e, ENOEXEC, "kernel %s: only %" PRIu64 " bytes of code", f->path, len);
	*ret_off = off;
	*ret_len = len;
	return 0;
}

static int image_load(const struct boot_file *f, uint64_t off, uint64_t len, struct gmem *g,
	struct err *e, struct boot_plan *p)
{
	const struct setup_header *h = &p->hdr.fields;
	uint64_t gpa = h->pref_address, room = h->init_size > len ? h->init_size : len, low;
	void *hva;
	int r;

	low = gmem_low_end(g);
	if (gpa < LAYOUT_KERNEL_MIN)
		return err_set(e, ENOEXEC, "kernel %s: wants to be at 0x%" PRIx64 ", below 1 MiB",
			f->path, gpa);
	hva = gpa < low && room <= low - gpa ? gmem_hva(g, gpa, room) : NULL;
	if (!hva)
		return err_set(e, E2BIG,
			"kernel %s: needs %" PRIu64 " bytes of memory at 0x%" PRIx64
			", the guest's low memory ends at 0x%" PRIx64,
			f->path, room, gpa, low);
	r = boot_file_read(f, off, hva, len, e);
	if (r < 0)
		return err_wrap(e, r, "kernel");
	p->seg[0] = (struct boot_seg){off, len, gpa, room};
	p->segs = 1;
	p->entry = gpa + ENTRY64_OFFSET;
	return 0;
}

static int vmlinux_load(const struct boot_config *cfg, const struct boot_file *f, uint64_t off,
	uint64_t len, struct gmem *g, struct err *e, struct boot_plan *p)
{
	const struct setup_header *h = &p->hdr.fields;

	if (h->payload_offset > len || h->payload_length > len - h->payload_offset)
		return err_set(e, ENOEXEC,
			"kernel %s: truncated: its payload ends at %" PRIu64
			", its code has %" PRIu64 " bytes",
			f->path, (uint64_t)h->payload_offset + h->payload_length, len);
	return boot_payload(cfg, f, off + h->payload_offset, h->payload_length, g, e, p);
}

int boot_bzimage(const struct boot_config *cfg, const struct boot_file *f, struct gmem *g,
	struct err *e, struct boot_plan *p)
{
	struct setup_header *h = &p->hdr.fields;
	uint8_t head[HDR_OFF + BOOT_HDR_MAX];
	uint64_t off = 0, len = 0;
	int r = boot_file_read(f, 0, head, sizeof(head), e);

	if (r == 0)
		r = header_check(f, head, e, p);
	if (r < 0)
		return err_wrap(e, r, "kernel");
	r = payload_find(f, h, e, &off, &len);
	if (r < 0)
		return r;
	p->mode = BOOT_LONG64;
	p->cmdline_max = h->cmdline_size;
	p->initrd_end = (uint64_t)h->initrd_addr_max + 1;
	/* Left by nobody but the decompressor, which tells the kernel proper with it. */
	h->loadflags &= (uint8_t)~KASLR_FLAG;
	if (cfg->decompress != BOOT_DECOMPRESS_GUEST) {
		r = vmlinux_load(cfg, f, off, len, g, e, p);
		if (r != -EOPNOTSUPP)
			return r;
		if (cfg->decompress == BOOT_DECOMPRESS_HOST) {
			if (e)
				e->code = ENOEXEC;
			return -ENOEXEC;
		}
	}
	return image_load(f, off, len, g, e, p);
}
