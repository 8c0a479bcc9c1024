// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "tests/unit/vmm/boot_images.h"
#include "vmm/boot.h"
#include "vmm/boot_codec.h"
#include "vmm/gmem.h"
#include "vmm/layout.h"

#ifdef HAVE_LZMA
#include <lzma.h>
#endif

#define MEMORY (8ull << 20)
#define RSDP   0xe0000ull

static char dir[64], kernel[96], initrd[96];
static struct gmem *mem;

static void memory(uint64_t size, uint64_t low_max)
{
	struct err e = {0};

	gmem_destroy(mem);
	mem = NULL;
	ck_assert_msg(
		gmem_create(&(struct gmem_config){.size = size, .low_max = low_max}, &e, &mem) == 0,
		"%s", e.text);
}

static void setup(void)
{
	strcpy(dir, "/tmp/viaduct-boot-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	snprintf(initrd, sizeof(initrd), "%s/initrd", dir);
	memory(MEMORY, 0);
}

static void teardown(void)
{
	unlink(kernel);
	unlink(initrd);
	rmdir(dir);
	gmem_destroy(mem);
	mem = NULL;
}

static void put(const char *path, const void *data, size_t len)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
}

static struct boot_config config(void)
{
	return (struct boot_config){.kernel = kernel,
		.cmdline = "console=ttyS0 x",
		.rsdp_gpa = RSDP,
		.decompress = BOOT_DECOMPRESS_GUEST};
}

static struct boot_entry load(const struct boot_config *cfg)
{
	struct boot_entry b = {0};
	struct err e = {0};

	ck_assert_msg(boot_load(cfg, mem, &e, &b) == 0, "%s", e.text);
	return b;
}

static void refuse(const struct boot_config *cfg, int want, const char *text)
{
	struct boot_entry b = {.rip = 7};
	struct err e = {0};
	int r = boot_load(cfg, mem, &e, &b);

	ck_assert_msg(r == want, "%d instead of %d: %s", r, want, e.text);
	ck_assert_int_eq(e.code, -want);
	ck_assert_msg(strstr(e.text, text) != NULL, "no \"%s\" in: %s", text, e.text);
	ck_assert_uint_eq(b.rip, 7);
	ck_assert_int_eq(boot_load(cfg, mem, NULL, &b), want);
}

static uint8_t *at(uint64_t gpa, uint64_t len)
{
	uint8_t *p = gmem_hva(mem, gpa, len);

	ck_assert_ptr_nonnull(p);
	return p;
}

/* boot.rst and zero-page.rst by their offsets, not by the structures boot.c uses. */
START_TEST(bzimage_is_loaded_by_the_64_bit_protocol)
{
	uint8_t img[IMG_BZ], *z, ramdisk[5000];
	struct boot_config cfg = config();
	struct boot_entry b;
	uint64_t rd;

	image_bzimage(img, NULL, 0);
	put(kernel, img, sizeof(img));
	for (size_t i = 0; i < sizeof(ramdisk); i++)
		ramdisk[i] = (uint8_t)(i * 3);
	put(initrd, ramdisk, sizeof(ramdisk));
	cfg.initrd = initrd;
	b = load(&cfg);
	ck_assert_int_eq(b.mode, BOOT_LONG64);
	ck_assert_uint_eq(b.rip, IMG_PREF + 0x200);
	ck_assert_uint_eq(b.rsi, LAYOUT_ZERO_PAGE);
	ck_assert_mem_eq(at(IMG_PREF, IMG_CODE), img + IMG_SETUP, IMG_CODE);

	z = at(b.rsi, 4096);
	ck_assert_mem_eq(
		z + 0x1f1, img + 0x1f1, 0x210 - 0x1f1); /* header copied up to the loader type */
	ck_assert_uint_eq(z[0x210], 0xff);
	ck_assert_uint_eq(z[0x211], 0x01); /* KASLR_FLAG is the decompressor's to set */
	ck_assert_uint_eq(z[0x1ef], 0);    /* sentinel */
	ck_assert_uint_eq(le_load(z + 0x70, 8), RSDP);
	ck_assert_str_eq((char *)at(le_load(z + 0x228, 4), 100), "console=ttyS0 x");
	rd = le_load(z + 0x218, 4);
	ck_assert_uint_eq(le_load(z + 0x21c, 4), sizeof(ramdisk));
	ck_assert_uint_eq(rd, (MEMORY - sizeof(ramdisk)) & ~4095ull); /* as high as it goes */
	ck_assert_mem_eq(at(rd, sizeof(ramdisk)), ramdisk, sizeof(ramdisk));
}
END_TEST

/* A header that claims more than the field after it allows must not spill into the zero page. */
START_TEST(setup_header_copy_ends_where_it_says)
{
	uint8_t img[IMG_BZ];
	struct boot_config cfg = config();

	image_bzimage(img, NULL, 0);
	memset(img + 0x26c, 0xee, IMG_SETUP - 0x26c);
	put(kernel, img, sizeof(img));
	load(&cfg);
	ck_assert_uint_eq(le_load(at(LAYOUT_ZERO_PAGE + 0x26c, 4), 4), 0);
	img[0x201] = 0x8f; /* one byte past 0x290 */
	put(kernel, img, sizeof(img));
	refuse(&cfg, -ENOEXEC, "not a kernel");
}
END_TEST

struct e820 {
	uint64_t start, size, type;
};

static void e820_is(const uint8_t *z, const struct e820 *want, unsigned int n)
{
	ck_assert_uint_eq(z[0x1e8], n);
	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *p = z + 0x2d0 + 20 * i;

		ck_assert_uint_eq(le_load(p, 8), want[i].start);
		ck_assert_uint_eq(le_load(p + 8, 8), want[i].size);
		ck_assert_uint_eq(le_load(p + 16, 4), want[i].type);
	}
}

START_TEST(e820_lists_ram_and_what_is_reserved)
{
	const struct e820 want[] = {
		{0, 0x9fc00, 1},
		{0x9fc00, 0x100000 - 0x9fc00, 2},
		{0x100000, (6ull << 20) - 0x100000, 1},
		{LAYOUT_ECAM, LAYOUT_ECAM_SIZE, 2},
		{LAYOUT_HIGH_RAM, 2ull << 20, 1},
	};
	struct boot_config cfg = config();
	uint8_t img[IMG_BZ];

	image_bzimage(img, NULL, 0);
	put(kernel, img, sizeof(img));
	memory(6ull << 20, 0);
	load(&cfg);
	e820_is(at(LAYOUT_ZERO_PAGE, 4096), want, 4);
	memory(8ull << 20, 6ull << 20);
	load(&cfg);
	e820_is(at(LAYOUT_ZERO_PAGE, 4096), want, 5);
}
END_TEST

/* The kernel touches the zero page, its image and the command line before it has its own tables. */
START_TEST(page_tables_map_the_first_4_gib_to_themselves)
{
	struct boot_config cfg = config();
	uint8_t img[IMG_BZ];
	struct boot_entry b;

	image_bzimage(img, NULL, 0);
	put(kernel, img, sizeof(img));
	b = load(&cfg);
	for (uint64_t va = 0; va < 4ull << 30; va += 2u << 20) {
		uint64_t e = le_load(at(b.cr3 + 8 * (va >> 39), 8), 8);

		ck_assert_uint_eq(e & 0x83, 3);
		e = le_load(at((e & ~0xfffull) + 8 * (va >> 30 & 511), 8), 8);
		ck_assert_uint_eq(e & 0x83, 3);
		e = le_load(at((e & ~0xfffull) + 8 * (va >> 21 & 511), 8), 8);
		ck_assert_uint_eq(e, va | 0x83);
	}
	/* boot.rst: __BOOT_CS 0x10 execute/read in 64-bit mode, __BOOT_DS 0x18 read/write */
	ck_assert_uint_ge(b.gdt_limit, 0x1f);
	ck_assert_uint_eq(le_load(at(b.gdt_base + 0x10, 8), 8), 0x00af9b000000ffff);
	ck_assert_uint_eq(le_load(at(b.gdt_base + 0x18, 8), 8), 0x00cf93000000ffff);
}
END_TEST

/* Linux jumps there to reboot when ACPI is hardware-reduced and there is no EFI. */
START_TEST(reset_vector_resets_the_machine)
{
	/* mov al, 6; mov dx, 0xcf9; out dx, al */
	static const uint8_t code[] = {0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee};
	struct boot_config cfg = config();
	uint8_t img[IMG_BZ];

	image_bzimage(img, NULL, 0);
	put(kernel, img, sizeof(img));
	load(&cfg);
	ck_assert_mem_eq(at(0xffff0, 16), code, sizeof(code));
}
END_TEST

static const struct {
	const char *name;
	unsigned int off, len;
	uint64_t val;
	int want;
	const char *text;
} bz_cases[] = {
	{"boot flag", 0x1fe, 2, 0, -ENOEXEC, "not a kernel"},
	{"magic", 0x202, 1, 'h', -ENOEXEC, "not a kernel"},
	{"old protocol", 0x206, 2, 0x020b, -ENOEXEC, "boot protocol 2.11"},
	{"32-bit kernel", 0x236, 2, 0x7e, -ENOEXEC, "no 64-bit entry"},
	{"zImage", 0x211, 1, 0, -ENOEXEC, "no 64-bit entry"},
	{"short header", 0x201, 1, 0x10, -ENOEXEC, "not a kernel"},
	{"more code than file", 0x1f4, 4, IMG_CODE / 16 + 1, -ENOEXEC,
		"truncated: needs 17424 bytes, the file has 17408"},
	{"huge code", 0x1f4, 4, 0xffffffff, -ENOEXEC, "truncated"},
	{"more setup than file", 0x1f1, 1, 255, -ENOEXEC, "truncated"},
	{"no code", 0x1f4, 4, 0x20, -ENOEXEC, "only 512 bytes"},
	{"init_size past memory", 0x260, 4, 0x600001, -E2BIG, "needs 6291457 bytes"},
	{"pref_address past memory", 0x258, 8, MEMORY, -E2BIG, "low memory ends at 0x800000"},
	{"pref_address that wraps", 0x258, 8, UINT64_MAX - 0xfff, -E2BIG, "low memory ends"},
	{"pref_address over the ACPI tables", 0x258, 8, 0xe0000, -ENOEXEC, "below 1 MiB"},
	{"command line limit", 0x238, 4, 14, -E2BIG, "15 characters, this kernel takes 14"},
};

START_TEST(bad_bzimage_is_refused_with_the_reason)
{
	struct boot_config cfg = config();
	uint8_t img[IMG_BZ];

	image_bzimage(img, NULL, 0);
	le_store(img + bz_cases[_i].off, bz_cases[_i].len, bz_cases[_i].val);
	put(kernel, img, sizeof(img));
	refuse(&cfg, bz_cases[_i].want, bz_cases[_i].text);
}
END_TEST

START_TEST(truncated_files_never_load)
{
	static const size_t bz[] = {0, 1, 0x1f0, 0x202, 0x28f, IMG_SETUP, IMG_BZ - 1};
	static const size_t elf[] = {
		4, 63, 64, IMG_PHDR + 100, IMG_NOTE + 10, IMG_SEG0 + 1, IMG_SEG1 + 0x7ff};
	struct boot_config cfg = config();
	uint8_t img[IMG_BZ], e[IMG_ELF];

	image_bzimage(img, NULL, 0);
	image_elf(e, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(bz); i++) {
		put(kernel, img, bz[i]);
		refuse(&cfg, -ENOEXEC, kernel);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(elf); i++) {
		put(kernel, e, elf[i]);
		refuse(&cfg, -ENOEXEC, kernel);
	}
}
END_TEST

/* Opening a FIFO must not wait for a writer, nor a device be read. */
START_TEST(only_regular_files_are_images)
{
	struct boot_config cfg = config();
	uint8_t img[IMG_BZ];

	refuse(&cfg, -ENOENT, "kernel");
	ck_assert_int_eq(mkfifo(kernel, 0600), 0);
	refuse(&cfg, -ENOEXEC, "not a regular file");
	unlink(kernel);
	cfg.kernel = "/dev/zero";
	refuse(&cfg, -ENOEXEC, "/dev/zero: not a regular file");
	cfg.kernel = dir;
	refuse(&cfg, -ENOEXEC, "not a regular file");
	cfg = config();
	image_bzimage(img, NULL, 0);
	put(kernel, img, sizeof(img));
	cfg.initrd = dir;
	refuse(&cfg, -ENOEXEC, "initrd");
	cfg.initrd = initrd;
	refuse(&cfg, -ENOENT, "initrd");
	put(initrd, "", 0);
	refuse(&cfg, -ENOEXEC, "empty");
}
END_TEST

/* A sparse file of a terabyte costs its author nothing: only sizes are looked at. */
START_TEST(initrd_larger_than_memory_is_refused_with_both_figures)
{
	struct boot_config cfg = config();
	uint8_t img[IMG_BZ];
	struct boot_entry b;

	image_bzimage(img, NULL, 0);
	put(kernel, img, sizeof(img));
	put(initrd, "x", 1);
	cfg.initrd = initrd;
	ck_assert_int_eq(truncate(initrd, 1ll << 40), 0);
	refuse(&cfg, -E2BIG, "1099511627776 bytes do not fit");
	ck_assert_int_eq(truncate(initrd, 1ll << 40), 0);
	refuse(&cfg, -E2BIG, "8388608 bytes of memory");
	/* exactly the room above the kernel, and one byte more, which goes to neither side */
	ck_assert_int_eq(truncate(initrd, MEMORY - IMG_PREF - IMG_INIT), 0);
	b = load(&cfg);
	ck_assert_uint_eq(le_load(at(b.rsi + 0x218, 4), 4), IMG_PREF + IMG_INIT);
	ck_assert_int_eq(truncate(initrd, MEMORY - IMG_PREF - IMG_INIT + 1), 0);
	refuse(&cfg, -E2BIG, "do not fit");
	/* below the kernel there is room from 1 to 2 MiB when the limit forbids the top */
	le_store(img + 0x22c, 4, 0x27ffff);
	put(kernel, img, sizeof(img));
	ck_assert_int_eq(truncate(initrd, 0x1000), 0);
	b = load(&cfg);
	ck_assert_uint_eq(le_load(at(b.rsi + 0x218, 4), 4), 0x1ff000);
}
END_TEST

START_TEST(elf_with_a_pvh_note_is_entered_in_32_bit_mode)
{
	uint8_t img[IMG_ELF], *s, *m;
	struct boot_config cfg = config();
	struct boot_entry b;

	image_elf(img, 1);
	put(kernel, img, sizeof(img));
	put(initrd, "ramdisk", 7);
	cfg.initrd = initrd;
	memset(at(IMG_PREF, 0x2000), 0xaa, 0x2000);
	b = load(&cfg);
	ck_assert_int_eq(b.mode, BOOT_PVH32);
	ck_assert_uint_eq(b.rip, IMG_ENTRY + 0x10);
	ck_assert_uint_eq(le_load(at(b.gdt_base + 0x10, 8), 8), 0x00cf9b000000ffff);
	ck_assert_mem_eq(at(IMG_PREF, 0x1000), img + IMG_SEG0, 0x1000);
	ck_assert_mem_eq(at(0x300000, 0x800), img + IMG_SEG1, 0x800);
	for (unsigned int i = 0x1000; i < 0x2000; i++)
		ck_assert_uint_eq(at(IMG_PREF, 0x2000)[i], 0); /* bss, also after a reboot */
	s = at(b.rbx, 56);
	ck_assert_uint_eq(le_load(s, 4), 0x336ec578);
	ck_assert_uint_eq(le_load(s + 4, 4), 1);
	ck_assert_uint_eq(le_load(s + 12, 4), 1);
	ck_assert_str_eq((char *)at(le_load(s + 24, 8), 100), cfg.cmdline);
	ck_assert_uint_eq(le_load(s + 32, 8), RSDP);
	ck_assert_uint_eq(le_load(s + 48, 4), 4);
	m = at(le_load(s + 40, 8), 4 * 24);
	ck_assert_uint_eq(le_load(m + 2 * 24, 8), 0x100000);
	ck_assert_uint_eq(le_load(m + 2 * 24 + 8, 8), MEMORY - 0x100000);
	ck_assert_uint_eq(le_load(m + 2 * 24 + 16, 4), 1);
	m = at(le_load(s + 16, 8), 32);
	ck_assert_uint_eq(le_load(m + 8, 8), 7);
	ck_assert_mem_eq(at(le_load(m, 8), 7), "ramdisk", 7);
}
END_TEST

START_TEST(elf_without_a_note_is_entered_in_long_mode)
{
	struct boot_config cfg = config();
	uint8_t img[IMG_ELF];
	struct boot_entry b;

	image_elf(img, 0);
	put(kernel, img, sizeof(img));
	b = load(&cfg);
	ck_assert_int_eq(b.mode, BOOT_LONG64);
	ck_assert_uint_eq(b.rip, IMG_ENTRY);
	ck_assert_uint_eq(le_load(at(b.rsi + 0x202, 4), 4), 0x53726448);
	ck_assert_uint_eq(at(b.rsi + 0x210, 1)[0], 0xff);
	/* loading again, as after a guest reboot, gives the same */
	memset(at(0, MEMORY), 0x55, MEMORY);
	ck_assert_uint_eq(load(&cfg).rip, IMG_ENTRY);
	ck_assert_mem_eq(at(IMG_PREF, 0x1000), img + IMG_SEG0, 0x1000);
}
END_TEST

START_TEST(elf32_needs_a_pvh_note)
{
	Elf32_Ehdr h = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_entry = IMG_ENTRY,
		.e_phoff = IMG_PHDR,
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2,
	};
	Elf32_Phdr p[2] = {
		{.p_type = PT_LOAD,
			.p_offset = IMG_SEG0,
			.p_paddr = IMG_PREF,
			.p_filesz = 0x1000,
			.p_memsz = 0x1000},
		{.p_type = PT_NOTE, .p_offset = IMG_NOTE, .p_filesz = 40},
	};
	struct boot_config cfg = config();
	uint8_t img[IMG_ELF];
	struct boot_entry b;

	image_elf(img, 1);
	memcpy(img, &h, sizeof(h));
	memcpy(img + IMG_PHDR, p, sizeof(p));
	put(kernel, img, sizeof(img));
	b = load(&cfg);
	ck_assert_int_eq(b.mode, BOOT_PVH32);
	ck_assert_uint_eq(b.rip, IMG_ENTRY + 0x10);
	img[IMG_NOTE + 28] = 6;
	put(kernel, img, sizeof(img));
	refuse(&cfg, -ENOEXEC, "without a PVH note");
}
END_TEST

#define PH(n, f) (IMG_PHDR + (n) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, f))
#define EH(f)    offsetof(Elf64_Ehdr, f)

static const struct {
	const char *name;
	size_t off;
	unsigned int len;
	uint64_t val;
	int want;
	const char *text;
} elf_cases[] = {
	{"big endian", EI_DATA, 1, ELFDATA2MSB, -ENOEXEC, "little-endian"},
	{"class", EI_CLASS, 1, 3, -ENOEXEC, "little-endian"},
	{"machine", EH(e_machine), 2, EM_AARCH64, -ENOEXEC, "not x86"},
	{"object file", EH(e_type), 2, ET_REL, -ENOEXEC, "not an executable"},
	{"no headers", EH(e_phnum), 2, 0, -ENOEXEC, "0 program headers"},
	{"many headers", EH(e_phnum), 2, 65, -ENOEXEC, "65 program headers"},
	{"header size", EH(e_phentsize), 2, 55, -ENOEXEC, "of 55 bytes"},
	{"headers past the file", EH(e_phoff), 8, UINT64_MAX - 4, -ENOEXEC, "truncated"},
	{"nothing to load", PH(0, p_memsz), 8, 0, -ENOEXEC, "is in no segment"},
	{"file larger than memory", PH(0, p_filesz), 8, 0x2001, -ENOEXEC, "bad program header"},
	{"offset wraps", PH(0, p_offset), 8, UINT64_MAX - 0x10, -ENOEXEC, "bad program header"},
	{"address wraps", PH(0, p_paddr), 8, UINT64_MAX - 0x10, -ENOEXEC, "bad program header"},
	{"offset past the file", PH(0, p_offset), 8, IMG_ELF, -ENOEXEC, "truncated"},
	{"over the ACPI tables", PH(0, p_paddr), 8, 0xff000, -ENOEXEC, "below 1 MiB"},
	{"past memory", PH(0, p_paddr), 8, MEMORY - 0x1fff, -E2BIG, "low memory ends at 0x800000"},
	{"memory size", PH(0, p_memsz), 8, 1ull << 40, -E2BIG, "1099511627776 bytes"},
	{"overlap", PH(1, p_paddr), 8, IMG_PREF + 0x1fff, -ENOEXEC, "overlap"},
	{"entry outside", IMG_NOTE + 36, 4, 0x400000, -ENOEXEC, "is in no segment"},
	{"entry in bss", IMG_NOTE + 36, 4, IMG_PREF + 0x1000, -ENOEXEC, "is in no segment"},
};

START_TEST(bad_elf_is_refused_with_the_reason)
{
	struct boot_config cfg = config();
	uint8_t img[IMG_ELF];

	image_elf(img, 1);
	le_store(img + elf_cases[_i].off, elf_cases[_i].len, elf_cases[_i].val);
	put(kernel, img, sizeof(img));
	refuse(&cfg, elf_cases[_i].want, elf_cases[_i].text);
}
END_TEST

#ifdef HAVE_LZMA
static size_t xz(const uint8_t *data, size_t len, uint8_t *out, size_t room)
{
	size_t pos = 0;

	ck_assert_int_eq(
		lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, data, len, out, &pos, room - 4),
		LZMA_OK);
	le_store(out + pos, 4, len); /* boot.rst: the size of the result follows the stream */
	return pos + 4;
}

START_TEST(host_unpacks_the_vmlinux_into_place)
{
	uint8_t elf[IMG_ELF + 300], img[IMG_BZ], pay[IMG_PAYMAX];
	struct boot_config cfg = config();
	struct boot_entry b;
	size_t len;

	image_elf(elf, 1);
	memset(elf + IMG_ELF, 0x11, 300); /* the relocation tables */
	len = xz(elf, sizeof(elf), pay, sizeof(pay));
	image_bzimage(img, pay, len);
	put(kernel, img, sizeof(img));
	memset(at(IMG_PREF, 0x2000), 0xaa, 0x2000);
	cfg.decompress = BOOT_DECOMPRESS_HOST;
	b = load(&cfg);
	ck_assert_int_eq(b.mode, BOOT_LONG64);
	ck_assert_uint_eq(b.rip, IMG_ENTRY);
	ck_assert_uint_eq(b.rsi, LAYOUT_ZERO_PAGE);
	ck_assert_mem_eq(at(IMG_PREF, 0x1000), elf + IMG_SEG0, 0x1000);
	ck_assert_mem_eq(at(0x300000, 0x800), elf + IMG_SEG1, 0x800);
	for (unsigned int i = 0x1000; i < 0x2000; i++)
		ck_assert_uint_eq(at(IMG_PREF, 0x2000)[i], 0);
	ck_assert_uint_eq(at(b.rsi + 0x211, 1)[0], 1); /* no KASLR happened: say so */

	cfg.decompress = BOOT_DECOMPRESS_AUTO;
	ck_assert_uint_eq(load(&cfg).rip, IMG_ENTRY);
	cfg.decompress = BOOT_DECOMPRESS_GUEST;
	ck_assert_uint_eq(load(&cfg).rip, IMG_PREF + 0x200);
}
END_TEST

static bool asked_nth(void *ctx)
{
	return --*(int *)ctx == 0;
}

/* A signal must not wait for seconds of unpacking. */
START_TEST(unpacking_can_be_given_up)
{
	uint8_t elf[IMG_ELF], img[IMG_BZ], pay[IMG_PAYMAX];
	struct boot_config cfg = config();
	struct boot_entry b;
	int left = 1;

	image_elf(elf, 1);
	image_bzimage(img, pay, xz(elf, sizeof(elf), pay, sizeof(pay)));
	put(kernel, img, sizeof(img));
	cfg.decompress = BOOT_DECOMPRESS_AUTO;
	cfg.cancelled = asked_nth;
	cfg.cancel_ctx = &left;
	ck_assert_int_eq(boot_load(&cfg, mem, NULL, &b), -ECANCELED);
	left = 99;
	ck_assert_uint_eq(load(&cfg).rip, IMG_ENTRY);
	ck_assert_int_lt(left, 99);
}
END_TEST

/* Every single spoiled byte is noticed or harmless; the stream has its own checksums. */
START_TEST(corrupt_streams_are_refused)
{
	uint8_t elf[IMG_ELF], img[IMG_BZ], pay[IMG_PAYMAX];
	struct boot_config cfg = config();
	size_t len;

	image_elf(elf, 1);
	len = xz(elf, sizeof(elf), pay, sizeof(pay));
	cfg.decompress = BOOT_DECOMPRESS_HOST;
	for (size_t i = 0; i < len; i += 3) {
		struct boot_entry b;

		image_bzimage(img, pay, len);
		img[IMG_SETUP + IMG_PAY + i] ^= 0x10;
		put(kernel, img, sizeof(img));
		ck_assert_msg(boot_load(&cfg, mem, NULL, &b) == -ENOEXEC, "byte %zu", i);
	}
	image_bzimage(img, pay, len);
	le_store(img + 0x24c, 4, len - 40);
	put(kernel, img, sizeof(img));
	refuse(&cfg, -ENOEXEC, "kernel");
	le_store(img + 0x24c, 4, IMG_CODE);
	put(kernel, img, sizeof(img));
	refuse(&cfg, -ENOEXEC, "truncated");
}
END_TEST
#endif

/* What this build cannot unpack the guest still can. */
START_TEST(unknown_compression_is_left_to_the_guest)
{
	uint8_t img[IMG_BZ], pay[64] = "\x02\x21\x4c\x18";
	struct boot_config cfg = config();

	image_bzimage(img, pay, sizeof(pay));
	put(kernel, img, sizeof(img));
	cfg.decompress = BOOT_DECOMPRESS_AUTO;
	ck_assert_uint_eq(load(&cfg).rip, IMG_PREF + 0x200);
	cfg.decompress = BOOT_DECOMPRESS_HOST;
	refuse(&cfg, -ENOEXEC, boot_codec_names());
}
END_TEST

START_TEST(memory_below_1_mib_is_too_little)
{
	struct boot_config cfg = config();
	uint8_t img[IMG_BZ];

	image_bzimage(img, NULL, 0);
	put(kernel, img, sizeof(img));
	memory(1ull << 20, 0);
	refuse(&cfg, -E2BIG, "1048576 bytes of memory");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("boot");
	TCase *t = tcase_create("images");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, bzimage_is_loaded_by_the_64_bit_protocol);
	tcase_add_test(t, setup_header_copy_ends_where_it_says);
	tcase_add_test(t, e820_lists_ram_and_what_is_reserved);
	tcase_add_test(t, page_tables_map_the_first_4_gib_to_themselves);
	tcase_add_test(t, reset_vector_resets_the_machine);
	tcase_add_loop_test(
		t, bad_bzimage_is_refused_with_the_reason, 0, (int)ARRAY_SIZE(bz_cases));
	tcase_add_test(t, truncated_files_never_load);
	tcase_add_test(t, only_regular_files_are_images);
	tcase_add_test(t, initrd_larger_than_memory_is_refused_with_both_figures);
	tcase_add_test(t, elf_with_a_pvh_note_is_entered_in_32_bit_mode);
	tcase_add_test(t, elf_without_a_note_is_entered_in_long_mode);
	tcase_add_test(t, elf32_needs_a_pvh_note);
	tcase_add_loop_test(t, bad_elf_is_refused_with_the_reason, 0, (int)ARRAY_SIZE(elf_cases));
#ifdef HAVE_LZMA
	tcase_add_test(t, host_unpacks_the_vmlinux_into_place);
	tcase_add_test(t, unpacking_can_be_given_up);
	tcase_add_test(t, corrupt_streams_are_refused);
#endif
	tcase_add_test(t, unknown_compression_is_left_to_the_guest);
	tcase_add_test(t, memory_below_1_mib_is_too_little);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
