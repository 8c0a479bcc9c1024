// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/param.h>

#include "common/cleanup.h"
#include "vmm/boot_priv.h"
#include "vmm/layout.h"

#define PAGE          4096ull
#define E820_RAM      1u
#define E820_RESERVED 2u

/* Intel SDM vol. 3A §4.5: present, writable; page size in a PDE. */
#define PTE_TABLE 0x3ull
#define PDE_2M    0x83ull
#define PD_TABLES 4u /* of 1 GiB each */

#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_CODE32 0x00cf9b000000ffffull
#define GDT_DATA   0x00cf93000000ffffull
#define GDT_TSS    0x00008b0000000067ull

/* xen/include/public/arch-x86/hvm/start_info.h, version 1 */
#define HVM_START_MAGIC 0x336ec578u
struct hvm_start {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};
struct hvm_modlist {
	uint64_t paddr, size, cmdline_paddr, reserved;
};
struct hvm_memmap {
	uint64_t addr, size;
	uint32_t type, reserved;
};

static void e820_add(
	struct boot_e820_entry *v, unsigned int *n, uint64_t start, uint64_t end, uint32_t type)
{
	if (start < end && *n < BOOT_E820_MAX)
		v[(*n)++] = (struct boot_e820_entry){start, end - start, type};
}

unsigned int boot_e820(const struct gmem *g, struct boot_e820_entry ret[static BOOT_E820_MAX])
{
	unsigned int n = 0;

	e820_add(ret, &n, 0, LAYOUT_EBDA, E820_RAM);
	e820_add(ret, &n, LAYOUT_EBDA, LAYOUT_KERNEL_MIN, E820_RESERVED);
	e820_add(ret, &n, LAYOUT_KERNEL_MIN, gmem_low_end(g), E820_RAM);
	/* Linux uses ECAM only where e820 or ACPI reserves it; the BAR windows must not be. */
	e820_add(ret, &n, LAYOUT_ECAM, LAYOUT_ECAM + LAYOUT_ECAM_SIZE, E820_RESERVED);
	e820_add(ret, &n, LAYOUT_HIGH_RAM, gmem_end(g), E820_RAM);
	return n;
}

bool boot_place(const struct gmem *g, const struct boot_plan *p, uint64_t size, uint64_t end,
	uint64_t *ret_gpa)
{
	uint64_t limit = MIN(end, gmem_low_end(g)), start;
	bool moved;

	/* Each round goes below one segment, so there are at most segs of them. */
	do {
		moved = false;
		limit &= ~(PAGE - 1);
		if (size > limit || limit - size < LAYOUT_KERNEL_MIN)
			return false;
		start = (limit - size) & ~(PAGE - 1);
		if (start < LAYOUT_KERNEL_MIN)
			return false;
		for (unsigned int i = 0; i < p->segs && !moved; i++) {
			struct range seg = {p->seg[i].gpa, p->seg[i].gpa + p->seg[i].memsz};

			if (range_overlaps((struct range){start, limit}, seg)) {
				limit = seg.start;
				moved = true;
			}
		}
	} while (moved);
	*ret_gpa = start;
	return true;
}

static int initrd_load(const char *path, struct gmem *g, const struct boot_plan *p, struct err *e,
	struct range *ret)
{
	_cleanup_(boot_file_close) struct boot_file f = {.fd = -1};
	uint64_t gpa = 0, limit = MIN(p->initrd_end, gmem_low_end(g));
	uint64_t usable = limit > LAYOUT_KERNEL_MIN ? limit - LAYOUT_KERNEL_MIN : 0;
	int r = boot_file_open(path, "initrd", e, &f);

	if (r < 0)
		return r;
	if (f.size == 0)
		return err_set(e, ENOEXEC, "initrd %s: empty", path);
	if (!boot_place(g, p, f.size, p->initrd_end, &gpa))
		return err_set(e, E2BIG,
			"initrd %s: %" PRIu64
			" bytes do not fit beside the kernel: the guest has %" PRIu64
			" bytes of memory, %" PRIu64
			" of it where an initrd may be; use a larger --memory",
			path, f.size, gmem_size(g), usable);
	r = boot_file_read(&f, 0, gmem_hva(g, gpa, f.size), f.size, e);
	if (r < 0)
		return err_wrap(e, r, "initrd");
	*ret = (struct range){gpa, gpa + f.size};
	return 0;
}

static int cmdline_load(
	const char *cmdline, struct gmem *g, const struct boot_plan *p, struct err *e)
{
	size_t len = strlen(cmdline);
	uint64_t max = MIN(p->cmdline_max, LAYOUT_CMDLINE_MAX - 1);

	if (len > max)
		return err_set(e, E2BIG,
			"kernel command line: %zu characters, this kernel takes %" PRIu64, len,
			max);
	return gmem_write(g, LAYOUT_CMDLINE, cmdline, len + 1);
}

static int zero_page(const struct boot_config *cfg, struct gmem *g, const struct boot_plan *p,
	struct range initrd)
{
	_Static_assert(offsetof(struct boot_params, hdr) == 0x1f1, "boot.rst");
	_Static_assert(offsetof(struct boot_params, acpi_rsdp_addr) == 0x70, "zero-page.rst");
	struct boot_e820_entry map[BOOT_E820_MAX];
	struct boot_params zp = {0};

	memcpy((uint8_t *)&zp + offsetof(struct boot_params, hdr), p->hdr.bytes, BOOT_HDR_MAX);
	zp.hdr.type_of_loader = 0xff; /* undefined boot loader */
	zp.hdr.ext_loader_type = 0;
	zp.hdr.ext_loader_ver = 0;
	zp.hdr.setup_data = 0;
	zp.hdr.cmd_line_ptr = LAYOUT_CMDLINE;
	zp.hdr.cmdline_size = (uint32_t)strlen(cfg->cmdline);
	zp.hdr.ramdisk_image = (uint32_t)initrd.start;
	zp.hdr.ramdisk_size = (uint32_t)range_size(initrd);
	zp.ext_ramdisk_image = (uint32_t)(initrd.start >> 32);
	zp.ext_ramdisk_size = (uint32_t)(range_size(initrd) >> 32);
	zp.acpi_rsdp_addr = cfg->rsdp_gpa;
	zp.e820_entries = (uint8_t)boot_e820(g, map);
	memcpy(zp.e820_table, map, zp.e820_entries * sizeof(map[0]));
	return gmem_write(g, LAYOUT_ZERO_PAGE, &zp, sizeof(zp));
}

static int start_info(const struct boot_config *cfg, struct gmem *g, const struct boot_plan *p,
	struct range initrd)
{
	struct {
		struct hvm_start start;
		struct hvm_modlist mod;
		struct hvm_memmap map[BOOT_E820_MAX];
	} s = {0};
	struct boot_e820_entry e820[BOOT_E820_MAX];
	unsigned int n = boot_e820(g, e820);

	_Static_assert(sizeof(struct hvm_start) == 56, "start_info.h");
	_Static_assert(LAYOUT_PVH_INFO + sizeof(s) <= LAYOUT_ZERO_PAGE, "layout.h");
	for (unsigned int i = 0; i < n; i++)
		s.map[i] = (struct hvm_memmap){e820[i].addr, e820[i].size, e820[i].type, 0};
	s.mod = (struct hvm_modlist){.paddr = initrd.start, .size = range_size(initrd)};
	s.start = (struct hvm_start){
		.magic = HVM_START_MAGIC,
		.version = 1,
		.cmdline_paddr = LAYOUT_CMDLINE,
		.rsdp_paddr = cfg->rsdp_gpa,
		.memmap_paddr = LAYOUT_PVH_INFO + offsetof(__typeof__(s), map),
		.memmap_entries = n,
	};
	if (range_size(initrd)) {
		s.start.nr_modules = 1;
		s.start.modlist_paddr = LAYOUT_PVH_INFO + offsetof(__typeof__(s), mod);
	}
	return gmem_write(g, LAYOUT_PVH_INFO, &s, sizeof(s));
}

static int page_tables(struct gmem *g)
{
	uint64_t table[512];
	int r;

	_Static_assert(LAYOUT_PAGE_TABLE + (2 + PD_TABLES) * PAGE <= 0xf000, "layout.h");
	memset(table, 0, sizeof(table));
	table[0] = (LAYOUT_PAGE_TABLE + PAGE) | PTE_TABLE;
	r = gmem_write(g, LAYOUT_PAGE_TABLE, table, sizeof(table));
	for (unsigned int i = 0; i < PD_TABLES; i++)
		table[i] = (LAYOUT_PAGE_TABLE + (2 + i) * PAGE) | PTE_TABLE;
	if (r == 0)
		r = gmem_write(g, LAYOUT_PAGE_TABLE + PAGE, table, sizeof(table));
	for (unsigned int i = 0; i < PD_TABLES && r == 0; i++) {
		for (unsigned int j = 0; j < 512; j++)
			table[j] = ((uint64_t)i << 30 | (uint64_t)j << 21) | PDE_2M;
		r = gmem_write(g, LAYOUT_PAGE_TABLE + (2 + i) * PAGE, table, sizeof(table));
	}
	return r;
}

/* State of the boot vCPU: boot.rst "64-bit boot protocol"; pvh.pandoc "CPU and boot state". */
static int cpu_state(struct gmem *g, const struct boot_plan *p, struct boot_entry *ret)
{
	bool wide = p->mode == BOOT_LONG64;
	uint64_t gdt[] = {0, 0, wide ? GDT_CODE64 : GDT_CODE32, GDT_DATA, GDT_TSS, 0};
	int r = gmem_write(g, LAYOUT_GDT, gdt, sizeof(gdt));

	if (r == 0 && wide)
		r = page_tables(g);
	if (r < 0)
		return r;
	*ret = (struct boot_entry){
		.mode = p->mode,
		.rip = p->entry,
		.rsi = wide ? LAYOUT_ZERO_PAGE : 0,
		.rbx = wide ? 0 : LAYOUT_PVH_INFO,
		.cr3 = wide ? LAYOUT_PAGE_TABLE : 0,
		.gdt_base = LAYOUT_GDT,
		.gdt_limit = sizeof(gdt) - 1,
	};
	return 0;
}

/*
 * Linux with hardware-reduced ACPI reboots by EFI alone (efi_reboot_required()), and where there is
 * none by a jump to F000:FFF0 in real mode. What firmware would do there is to reset the machine.
 */
static int reset_vector(struct gmem *g)
{
	const uint8_t code[16] = {
		0xb0, 0x06,                                             /* mov al, 6 */
		0xba, LAYOUT_PORT_RESET & 0xff, LAYOUT_PORT_RESET >> 8, /* mov dx, port */
		0xee,                                                   /* out dx, al */
		0xf4,                                                   /* hlt */
		0xeb, 0xfd,                                             /* jmp to the hlt */
	};

	return gmem_write(g, LAYOUT_RESET_VECTOR, code, sizeof(code));
}

static int kernel_load(
	const struct boot_config *cfg, struct gmem *g, struct err *e, struct boot_plan *ret)
{
	_cleanup_(boot_file_close) struct boot_file f = {.fd = -1};
	uint8_t head[1024] = {0};
	int r = boot_file_open(cfg->kernel, "kernel", e, &f);

	if (r < 0)
		return r;
	r = boot_file_read(&f, 0, head, MIN(f.size, sizeof(head)), e);
	if (r < 0)
		return err_wrap(e, r, "kernel");
	if (boot_is_bzimage(head))
		return boot_bzimage(cfg, &f, g, e, ret);
	if (boot_is_elf(head))
		return boot_elf(&f, g, e, ret);
	return err_set(e, ENOEXEC,
		"kernel %s: not a kernel: neither a bzImage nor an ELF (%" PRIu64 " bytes)",
		cfg->kernel, f.size);
}

int boot_load(const struct boot_config *cfg, struct gmem *g, struct err *e, struct boot_entry *ret)
{
	struct boot_plan p = {0};
	struct range initrd = {0};
	int r;

	if (gmem_low_end(g) <= LAYOUT_KERNEL_MIN)
		return err_set(e, E2BIG,
			"kernel %s: the guest has %" PRIu64
			" bytes of memory, more than 1 MiB is needed",
			cfg->kernel, gmem_size(g));
	r = kernel_load(cfg, g, e, &p);
	if (r == 0)
		r = cmdline_load(cfg->cmdline, g, &p, e);
	if (r == 0 && cfg->initrd)
		r = initrd_load(cfg->initrd, g, &p, e, &initrd);
	if (r < 0)
		return r;
	r = p.mode == BOOT_LONG64 ? zero_page(cfg, g, &p, initrd) : start_info(cfg, g, &p, initrd);
	if (r == 0)
		r = reset_vector(g);
	if (r == 0)
		r = cpu_state(g, &p, ret);
	return r < 0 ? err_sys(e, -r, "kernel %s: hand-over structures in low memory", cfg->kernel)
		     : 0;
}
