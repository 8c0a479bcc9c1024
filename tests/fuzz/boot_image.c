// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kernel images: whatever the file says, the loader writes only
 * - below 1 MiB: the hand-over structures of layout.h, never the ACPI tables;
 * - above: the kernel and the initrd, which do not touch each other;
 * and it either succeeds with an entry inside RAM and an intact initrd, or fails with a clean error.
 *
 * Input: byte 0 chooses the template (bzImage, ELF with and without a note, bzImage with an xz
 * stream, with the patches outside or inside, or none: the input is the file), byte 1 the decompress option and whether there is an
 * initrd; then six-byte patches (offset:2, value:4) and at last the file's length when it is cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/fuzz/fuzz_check.h"
#include "tests/unit/vmm/boot_images.h"
#include "vmm/boot.h"
#include "vmm/gmem.h"
#include "vmm/layout.h"

#ifdef HAVE_LZMA
#include <lzma.h>
#endif

#define MEMORY  (8ull << 20)
#define PATTERN 0xa5
#define INITRD  9000u

static void patch(const uint8_t *data, size_t size, uint8_t *img, size_t len)
{
	for (size_t i = 2; i + 6 <= size && i < 2 + 6 * 16; i += 6) {
		/* most patches in the headers, where they matter */
		size_t off = le_load(data + i, 2), room = off & 0x8000 ? len : 0x270;

		le_store(img + off % (room - 4), 1 + (off >> 13 & 3), le_load(data + i + 2, 4));
	}
}

static void bzimage_xz(const uint8_t *elf, uint8_t img[static IMG_BZ])
{
#ifdef HAVE_LZMA
	uint8_t pay[IMG_PAYMAX];
	size_t pos = 0;

	/* no checksum, so that a spoiled stream gets further */
	CHECK(lzma_easy_buffer_encode(0, LZMA_CHECK_NONE, NULL, elf, IMG_ELF, pay, &pos,
		      sizeof(pay) - 4) == LZMA_OK);
	le_store(pay + pos, 4, IMG_ELF);
	image_bzimage(img, pay, pos + 4);
#else
	image_bzimage(img, NULL, 0);
#endif
}

static size_t image_make(const uint8_t *data, size_t size, uint8_t img[static IMG_BZ])
{
	uint8_t elf[IMG_ELF];
	size_t len = IMG_BZ;

	image_elf(elf, data[0] % 6 == 1);
	switch (data[0] % 6) {
	case 0:
		image_bzimage(img, NULL, 0);
		patch(data, size, img, len);
		break;
	case 1:
	case 2:
		len = IMG_ELF;
		memcpy(img, elf, len);
		patch(data, size, img, len);
		break;
	case 3:
		bzimage_xz(elf, img);
		patch(data, size, img, len);
		break;
	case 4:
		patch(data, size, elf, IMG_ELF);
		bzimage_xz(elf, img);
		break;
	default:
		len = size - 2 < IMG_BZ ? size - 2 : IMG_BZ;
		memcpy(img, data + 2, len);
		return len;
	}
	return data[1] & 8 ? le_load(data + size - 2, 2) % (len + 1) : len;
}

static int file_make(const void *data, size_t len, char path[static 32])
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	CHECK(fd >= 0 && pwrite(fd, data, len, 0) == (ssize_t)len);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

/* Bytes below 1 MiB that are not the loader's keep the pattern. */
static void low_memory_check(const uint8_t *ram)
{
	static const struct range ours[] = {
		{0, LAYOUT_GDT},
		{LAYOUT_GDT + 0x100, LAYOUT_PVH_INFO},
		{LAYOUT_ZERO_PAGE + 0x1000, LAYOUT_PAGE_TABLE},
		{LAYOUT_PAGE_TABLE + 0x6000, LAYOUT_CMDLINE},
		{LAYOUT_CMDLINE + LAYOUT_CMDLINE_MAX, LAYOUT_RESET_VECTOR},
	};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		const uint8_t *p = ram + ours[i].start;

		/* each byte equals the one before: a compare loop is what takes the time here */
		CHECK(p[0] == PATTERN);
		CHECK(memcmp(p, p + 1, range_size(ours[i]) - 1) == 0);
	}
}

static void entry_check(const struct boot_entry *b, const uint8_t *ram, const uint8_t *initrd)
{
	uint64_t gpa, len;

	CHECK(b->rip >= LAYOUT_KERNEL_MIN && b->rip < MEMORY);
	if (b->mode == BOOT_LONG64) {
		CHECK(b->rsi == LAYOUT_ZERO_PAGE && b->cr3 == LAYOUT_PAGE_TABLE);
		gpa = le_load(ram + b->rsi + 0x218, 4);
		len = le_load(ram + b->rsi + 0x21c, 4);
	} else {
		CHECK(b->rbx == LAYOUT_PVH_INFO);
		if (!initrd)
			return;
		gpa = le_load(ram + b->rbx + 16, 8);
		CHECK(gpa < LAYOUT_ZERO_PAGE);
		len = le_load(ram + gpa + 8, 8);
		gpa = le_load(ram + gpa, 8);
	}
	CHECK(len == (initrd ? INITRD : 0));
	if (!initrd)
		return;
	CHECK(gpa >= LAYOUT_KERNEL_MIN && gpa <= MEMORY - INITRD && gpa % 4096 == 0);
	CHECK(memcmp(ram + gpa, initrd, INITRD) == 0);
	CHECK(b->rip < gpa || b->rip >= gpa + INITRD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gmem *mem; /* kept between runs: making it costs more than a run */
	uint8_t img[IMG_BZ], initrd[INITRD], *ram;
	char kernel_path[32], initrd_path[32];
	int kernel, ramdisk, r;
	struct boot_config cfg = {.kernel = kernel_path, .cmdline = "x", .rsdp_gpa = LAYOUT_ACPI};
	struct boot_entry b = {.rip = 1};
	struct err e = {0};
	size_t len;

	if (size < 8)
		return 0;
	if (!mem)
		CHECK(gmem_create(&(struct gmem_config){.size = MEMORY}, NULL, &mem) == 0);
	ram = gmem_hva(mem, 0, MEMORY);
	memset(ram, PATTERN, LAYOUT_KERNEL_MIN);
	memset(initrd, 0x3c, sizeof(initrd));
	len = image_make(data, size, img);
	kernel = file_make(img, len, kernel_path);
	ramdisk = file_make(initrd, sizeof(initrd), initrd_path);
	cfg.decompress = (enum boot_decompress)((data[1] & 3) % 3);
	if (data[1] & 4)
		cfg.initrd = initrd_path;
	r = boot_load(&cfg, mem, &e, &b);
	low_memory_check(ram);
	if (r == 0) {
		entry_check(&b, ram, cfg.initrd ? initrd : NULL);
	} else {
		CHECK(r == -ENOEXEC || r == -E2BIG || r == -ENOMEM);
		CHECK(e.code == -r && e.text[0] && b.rip == 1);
	}
	close(kernel);
	close(ramdisk);
	return 0;
}
