// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The vmlinux inside a bzImage, unpacked straight to where its segments belong: what the kernel's
 * own decompressor does after us, but without its page faults and its second copy, and without
 * KASLR: the kernel runs at the address it was linked for.
 * boot.rst: payload_offset, payload_length; the last four bytes are the size of the result, an ELF
 * followed by relocation tables that are only needed to run it elsewhere.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "vmm/boot_codec.h"
#include "vmm/boot_priv.h"

#define INPUT (64u << 10)
#define HEAD  4096u /* the ELF and program headers must be in here */

struct unpack {
	const struct boot_config *cfg;
	const struct boot_file *f;
	const struct boot_codec *codec;
	struct gmem *g;
	struct boot_plan *p;
	uint64_t in_off, in_end; /* file offsets */
	uint64_t out, out_size;  /* position in the unpacked image, and its declared size */
	bool placed;             /* the headers were seen: p->seg is filled, sorted by offset */
	uint8_t input[INPUT], head[HEAD], waste[HEAD];
	const uint8_t *next, *avail_end; /* unread part of input */
};

static int seg_compare(const void *a, const void *b)
{
	const struct boot_seg *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* A stream passes once: each of its bytes may belong to one segment only. */
static int segs_sort(struct unpack *u, struct err *e)
{
	struct boot_plan *p = u->p;

	qsort(p->seg, p->segs, sizeof(p->seg[0]), seg_compare);
	for (unsigned int i = 0; i < p->segs; i++) {
		uint64_t end = p->seg[i].off + p->seg[i].filesz;

		if (end > u->out_size)
			return err_set(e, ENOEXEC,
				"kernel %s: truncated: its vmlinux has %" PRIu64
				" bytes, a segment ends at %" PRIu64,
				u->f->path, u->out_size, end);
		if (i + 1 < p->segs && end > p->seg[i + 1].off)
			return err_set(e, ENOEXEC,
				"kernel %s: segments overlap at offset %" PRIu64 " of its vmlinux",
				u->f->path, p->seg[i + 1].off);
	}
	return 0;
}

/* Where the image's bytes from u->out on go; at least one byte. */
static void window(struct unpack *u, uint8_t **ret, uint8_t **ret_end)
{
	uint64_t room = u->out_size - u->out;

	if (!u->placed) {
		*ret = u->head + u->out;
		*ret_end = u->head + MIN(u->out_size, HEAD);
		return;
	}
	for (unsigned int i = 0; i < u->p->segs; i++) {
		const struct boot_seg *s = &u->p->seg[i];

		if (u->out < s->off) {
			room = s->off - u->out;
			break;
		}
		if (u->out - s->off < s->filesz) {
			*ret = (uint8_t *)gmem_hva(u->g, s->gpa, s->memsz) + (u->out - s->off);
			*ret_end = *ret + (s->filesz - (u->out - s->off));
			return;
		}
	}
	/* between segments, or the relocation tables: a byte more shows a stream that is too long */
	*ret = u->waste;
	*ret_end = u->waste + MIN(MAX(room, 1), HEAD);
}

/* The headers are complete: place the segments and hand the bytes read so far to them. */
static int head_take(struct unpack *u, struct err *e)
{
	uint64_t len = MIN(u->out_size, HEAD);
	struct boot_elf elf;
	int r;

	if (len < 64)
		return err_set(e, ENOEXEC, "kernel %s: what it holds is not a vmlinux", u->f->path);
	r = elf_header(u->head, u->f->path, e, &elf);
	if (r < 0)
		return r;
	if (!elf.wide || elf.phoff > len || (uint64_t)elf.phnum * elf.phentsize > len - elf.phoff)
		return err_set(e, ENOEXEC, "kernel %s: its vmlinux has no usable program headers",
			u->f->path);
	r = elf_segments(&elf, u->head + elf.phoff, u->g, e, u->p);
	if (r == 0)
		r = segs_sort(u, e);
	if (r < 0)
		return r;
	u->placed = true;
	u->p->entry = elf.entry;
	if (!elf_entry_ok(u->p, elf.entry))
		return err_set(e, ENOEXEC, "kernel %s: entry 0x%" PRIx64 " is in no segment",
			u->f->path, elf.entry);
	u->out = 0;
	while (u->out < len) {
		uint8_t *to, *end;
		size_t n;

		window(u, &to, &end);
		n = MIN((uint64_t)(end - to), len - u->out);
		memcpy(to, u->head + u->out, n);
		u->out += n;
	}
	return 0;
}

static int refill(struct unpack *u, struct err *e)
{
	size_t n = MIN(u->in_end - u->in_off, INPUT);
	int r;

	/* Unpacking takes seconds where the CPU is slow. */
	if (u->cfg->cancelled && u->cfg->cancelled(u->cfg->cancel_ctx))
		return err_set(e, ECANCELED, "kernel %s: unpacking it was given up", u->f->path);
	if (n == 0)
		return err_set(e, ENOEXEC, "kernel %s: truncated: its %s stream does not end",
			u->f->path, u->codec->name);
	r = boot_file_read(u->f, u->in_off, u->input, n, e);
	if (r < 0)
		return err_wrap(e, r, "kernel");
	u->in_off += n;
	u->next = u->input;
	u->avail_end = u->input + n;
	return 0;
}

static int unpack_run(struct unpack *u, void *stream, struct err *e)
{
	int done = 0;

	while (!done) {
		uint8_t *to, *from, *end;
		const uint8_t *before = u->next;
		int r;

		window(u, &to, &end);
		from = to;
		done = u->codec->run(stream, &u->next, u->avail_end, &to, end);
		u->out += (uint64_t)(to - from);
		if (done == -ENOMEM)
			return err_sys(e, ENOMEM, "kernel %s: unpack its %s stream", u->f->path,
				u->codec->name);
		if (done < 0 || u->out > u->out_size)
			return err_set(e, ENOEXEC,
				"kernel %s: its %s stream is corrupt at %" PRIu64, u->f->path,
				u->codec->name, u->out);
		if (!u->placed && u->out == MIN(u->out_size, HEAD)) {
			r = head_take(u, e);
			if (r < 0)
				return r;
		}
		/* No progress is a wish for input: room there always is. */
		if (!done && to == from && u->next == before) {
			if (u->next != u->avail_end)
				return err_set(e, ENOEXEC, "kernel %s: its %s stream is corrupt",
					u->f->path, u->codec->name);
			r = refill(u, e);
			if (r < 0)
				return r;
		}
	}
	if (u->out != u->out_size)
		return err_set(e, ENOEXEC,
			"kernel %s: truncated: unpacked to %" PRIu64 " bytes, %" PRIu64
			" were announced",
			u->f->path, u->out, u->out_size);
	for (unsigned int i = 0; i < u->p->segs; i++) {
		const struct boot_seg *s = &u->p->seg[i];
		uint8_t *hva = gmem_hva(u->g, s->gpa, s->memsz);

		memset(hva + s->filesz, 0, s->memsz - s->filesz);
	}
	return 0;
}

int boot_payload(const struct boot_config *cfg, const struct boot_file *f, uint64_t off,
	uint64_t len, struct gmem *g, struct err *e, struct boot_plan *p)
{
	_cleanup_free_ struct unpack *u = NULL;
	uint8_t magic[6], size[4];
	void *stream;
	int r;

	if (len < sizeof(magic) + sizeof(size))
		return err_set(e, EOPNOTSUPP, "kernel %s: holds no compressed vmlinux", f->path);
	r = boot_file_read(f, off, magic, sizeof(magic), e);
	if (r == 0)
		r = boot_file_read(f, off + len - sizeof(size), size, sizeof(size), e);
	if (r < 0)
		return err_wrap(e, r, "kernel");
	if (!boot_codec_find(magic))
		return err_set(e, EOPNOTSUPP,
			"kernel %s: compressed with something else than this build unpacks (%s)",
			f->path, boot_codec_names());
	u = calloc(1, sizeof(*u));
	if (!u)
		return err_sys(e, ENOMEM, "kernel %s", f->path);
	*u = (struct unpack){
		.cfg = cfg,
		.f = f,
		.codec = boot_codec_find(magic),
		.g = g,
		.p = p,
		.in_off = off,
		.in_end = off + len - sizeof(size),
		.out_size = le_load(size, sizeof(size)),
	};
	u->next = u->avail_end = u->input;
	if (u->out_size == 0)
		return err_set(e, ENOEXEC, "kernel %s: what it holds is not a vmlinux", f->path);
	stream = u->codec->open();
	if (!stream)
		return err_sys(e, ENOMEM, "kernel %s: unpack", f->path);
	r = unpack_run(u, stream, e);
	u->codec->close(stream);
	return r;
}
