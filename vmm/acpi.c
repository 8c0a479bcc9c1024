// SPDX-License-Identifier: GPL-2.0-or-later
/* ACPI 6.4 §5.2; hardware-reduced (§3.11.1): no PM timer, no SCI, no PIC, no PIT. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"
#include "irqremap/irqremap.h"
#include "vmm/acpi.h"
#include "vmm/layout.h"
#include "vmm/x86.h"
#include "vmm/dsdt.hex" /* dsdt_aml_code[], made by iasl */

/* What the DSDT reads at run time: OperationRegion INFO in dsdt.asl. */
#define INFO_GPA (LAYOUT_ACPI_END - 0x1000)
struct acpi_info {
	uint64_t mmio32, mmio32_size;
	uint64_t mmio64, mmio64_size;
	uint64_t pio, pio_size;
};

#define PACKED __attribute__((packed))

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;

struct acpi_gas {
	uint8_t space, width, offset, access;
	uint64_t address;
} PACKED;
#define GAS_PORT8(port) ((struct acpi_gas){.space = 1, .width = 8, .access = 1, .address = (port)})

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t ext_checksum, reserved[3];
} PACKED;

struct acpi_fadt {
	struct acpi_header h;
	uint32_t facs, dsdt;
	uint8_t reserved0, pm_profile;
	uint8_t legacy[62]; /* fixed hardware: absent */
	uint8_t century;
	uint16_t boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct acpi_gas fixed[8];
	struct acpi_gas sleep_control, sleep_status;
	uint64_t hypervisor;
} PACKED;
_Static_assert(offsetof(struct acpi_fadt, boot_arch) == 109, "ACPI 6.4 table 5.9");
_Static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "ACPI 6.4 table 5.9");
_Static_assert(offsetof(struct acpi_fadt, sleep_control) == 244, "ACPI 6.4 table 5.9");
_Static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 6.4 table 5.9");

/* Table 5.10. There is no i8042 flag: the controller has no ports and only resets. */
#define BOOT_ARCH_LEGACY_DEVICES (1u << 0)
#define BOOT_ARCH_NO_VGA         (1u << 2)
#define BOOT_ARCH_NO_ASPM        (1u << 4)
#define BOOT_ARCH_NO_CMOS_RTC    (1u << 5)
/* Table 5.11 */
#define FADT_WBINVD       (1u << 0)
#define FADT_PWR_BUTTON   (1u << 4) /* no fixed-feature power button */
#define FADT_SLP_BUTTON   (1u << 5)
#define FADT_RESET_REG    (1u << 10)
#define FADT_HEADLESS     (1u << 12)
#define FADT_HW_REDUCED   (1u << 20)
#define PM_PROFILE_SERVER 4u
#define RESET_VALUE       0x06u /* hard reset through port 0xCF9 */

/* §5.2.12 */
#define MADT_ENABLED  1u
#define MADT_ALL_CPUS 0xffu
#define MADT_LINT1    1u
struct madt_head {
	struct acpi_header h;
	uint32_t lapic, flags; /* flags 0: no PC-AT pair of 8259s */
} PACKED;
struct madt_lapic {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} PACKED;
struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} PACKED;
struct madt_lapic_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
} PACKED;
struct madt_x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t apic_id, flags, uid;
} PACKED;
struct madt_x2apic_nmi {
	uint8_t type, length;
	uint16_t flags;
	uint32_t uid;
	uint8_t lint, reserved[3];
} PACKED;

/* PCI Firmware 3.2 §4.1.2 */
struct acpi_mcfg {
	struct acpi_header h;
	uint64_t reserved;
	uint64_t base;
	uint16_t segment;
	uint8_t bus_start, bus_end;
	uint32_t reserved2;
} PACKED;

/* VT-d §8.1, §8.3: one unit for all of PCI, and the IOAPIC with the source-id of its messages. */
#define DMAR_INTR_REMAP (1u << 0)
#define DRHD_ALL        (1u << 0)
#define SCOPE_IOAPIC    3u
#define DMAR_ADDR_BITS  48u
struct acpi_dmar {
	struct acpi_header h;
	uint8_t width, flags, reserved[10];
	struct {
		uint16_t type, length;
		uint8_t flags, size;
		uint16_t segment;
		uint64_t base;
	} PACKED drhd;
	struct {
		uint8_t type, length;
		uint16_t reserved;
		uint8_t id, bus, device, function;
	} PACKED scope;
} PACKED;

/* The area at LAYOUT_ACPI while it is being filled. */
struct acpi_area {
	uint8_t *buf;
	size_t len, cap;
};

static uint8_t checksum(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *b++);
	return (uint8_t)-sum;
}

static void header_init(struct acpi_header *h, const char *signature, uint8_t revision, size_t len)
{
	*h = (struct acpi_header){.length = (uint32_t)len,
		.revision = revision,
		.oem_revision = 1,
		.creator_revision = 1};
	memcpy(h->signature, signature, 4);
	memcpy(h->oem_id, "VIADCT", 6);
	memcpy(h->oem_table_id, "VIADUCT ", 8);
	memcpy(h->creator_id, "VIAD", 4);
}

/* Append; the address is where the bytes will be. The caller made sure of the room. */
static uint64_t area_put(struct acpi_area *a, const void *p, size_t len)
{
	uint64_t gpa = LAYOUT_ACPI + a->len;

	memcpy(a->buf + a->len, p, len);
	a->len = (a->len + len + 15) & ~(size_t)15;
	return gpa;
}

static uint64_t area_table(struct acpi_area *a, void *table, size_t len)
{
	struct acpi_header *h = table;

	h->checksum = 0;
	h->checksum = checksum(table, len);
	return area_put(a, table, len);
}

static uint64_t fadt_put(struct acpi_area *a, uint64_t dsdt)
{
	struct acpi_fadt f = {
		.pm_profile = PM_PROFILE_SERVER,
		.boot_arch = BOOT_ARCH_LEGACY_DEVICES | BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_ASPM |
			     BOOT_ARCH_NO_CMOS_RTC,
		.flags = FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_RESET_REG |
			 FADT_HEADLESS | FADT_HW_REDUCED,
		.reset_reg = GAS_PORT8(LAYOUT_PORT_RESET),
		.reset_value = RESET_VALUE,
		.minor = 4,
		.dsdt = (uint32_t)dsdt,
		.x_dsdt = dsdt,
		.sleep_control = GAS_PORT8(LAYOUT_PORT_SLEEP_CTL),
		.sleep_status = GAS_PORT8(LAYOUT_PORT_SLEEP_STS),
	};

	header_init(&f.h, "FACP", 6, sizeof(f));
	return area_table(a, &f, sizeof(f));
}

/* An 8-bit entry can name neither APIC ids above 254 nor as many processors. */
static bool madt_needs_x2apic(unsigned int uid, uint32_t apic_id)
{
	return apic_id >= APIC_ID_BROADCAST || uid >= APIC_ID_BROADCAST;
}

static size_t madt_size(const struct acpi_config *cfg)
{
	size_t n = sizeof(struct madt_head) + sizeof(struct madt_ioapic) +
		   sizeof(struct madt_lapic_nmi) + sizeof(struct madt_x2apic_nmi);

	for (unsigned int i = 0; i < cfg->cpus; i++)
		n += madt_needs_x2apic(i, cfg->apic_ids[i]) ? sizeof(struct madt_x2apic)
							    : sizeof(struct madt_lapic);
	return n;
}

#define MADT_ADD(p, ...)                                      \
	do {                                                  \
		__typeof__(__VA_ARGS__) _entry = __VA_ARGS__; \
		_entry.length = sizeof(_entry);               \
		memcpy(p, &_entry, sizeof(_entry));           \
		(p) += sizeof(_entry);                        \
	} while (0)

static uint64_t madt_put(struct acpi_area *a, const struct acpi_config *cfg, uint8_t *buf)
{
	struct madt_head head = {.lapic = LAYOUT_LAPIC};
	uint8_t *p = buf + sizeof(head);
	bool x2apic = false;

	for (unsigned int i = 0; i < cfg->cpus; i++) {
		uint32_t id = cfg->apic_ids[i];

		if (madt_needs_x2apic(i, id)) {
			MADT_ADD(p,
				(struct madt_x2apic){
					.type = 9, .apic_id = id, .flags = MADT_ENABLED, .uid = i});
			x2apic = true;
		} else {
			MADT_ADD(p, (struct madt_lapic){.uid = (uint8_t)i,
					    .apic_id = (uint8_t)id,
					    .flags = MADT_ENABLED});
		}
	}
	MADT_ADD(p, (struct madt_ioapic){.type = 1, .address = IOAPIC_BASE});
	MADT_ADD(p, (struct madt_lapic_nmi){.type = 4, .uid = MADT_ALL_CPUS, .lint = MADT_LINT1});
	if (x2apic)
		MADT_ADD(p, (struct madt_x2apic_nmi){
				    .type = 10, .uid = UINT32_MAX, .lint = MADT_LINT1});
	header_init(&head.h, "APIC", 5, (size_t)(p - buf));
	memcpy(buf, &head, sizeof(head));
	return area_table(a, buf, (size_t)(p - buf));
}

static uint64_t mcfg_put(struct acpi_area *a)
{
	struct acpi_mcfg m = {
		.base = LAYOUT_ECAM,
		.bus_end = (uint8_t)((LAYOUT_ECAM_SIZE >> 20) - 1),
	};

	header_init(&m.h, "MCFG", 1, sizeof(m));
	return area_table(a, &m, sizeof(m));
}

static uint64_t dmar_put(struct acpi_area *a)
{
	struct acpi_dmar d = {
		.width = DMAR_ADDR_BITS - 1,
		.flags = DMAR_INTR_REMAP,
		.drhd = {.length = sizeof(d.drhd) + sizeof(d.scope),
			.flags = DRHD_ALL,
			.base = LAYOUT_VTD},
		.scope = {.type = SCOPE_IOAPIC,
			.length = sizeof(d.scope),
			.bus = LAYOUT_RID_IOAPIC >> 8,
			.device = LAYOUT_RID_IOAPIC >> 3 & 0x1f,
			.function = LAYOUT_RID_IOAPIC & 7},
	};

	header_init(&d.h, "DMAR", 1, sizeof(d));
	return area_table(a, &d, sizeof(d));
}

#define TABLES_MAX 4u

static uint64_t xsdt_put(struct acpi_area *a, const uint64_t *entries, unsigned int n)
{
	struct {
		struct acpi_header h;
		uint64_t entry[TABLES_MAX];
	} PACKED x;
	size_t len = sizeof(x.h) + n * sizeof(*entries);

	header_init(&x.h, "XSDT", 1, len);
	memcpy(x.entry, entries, n * sizeof(*entries));
	return area_table(a, &x, len);
}

static void rsdp_fill(struct acpi_area *a, uint64_t xsdt)
{
	struct acpi_rsdp r = {
		.signature = "RSD PTR ",
		.oem_id = "VIADCT",
		.revision = 2,
		.length = sizeof(r),
		.xsdt = xsdt,
	};

	r.checksum = checksum(&r, offsetof(struct acpi_rsdp, length));
	r.ext_checksum = checksum(&r, sizeof(r));
	memcpy(a->buf, &r, sizeof(r));
}

static int info_write(const struct acpi_config *cfg, struct gmem *g)
{
	struct acpi_info info = {
		.mmio32 = cfg->mmio32.start,
		.mmio32_size = range_size(cfg->mmio32),
		.mmio64 = cfg->mmio64.start,
		.mmio64_size = range_size(cfg->mmio64),
		.pio = cfg->pio.start,
		.pio_size = range_size(cfg->pio),
	};

	return gmem_write(g, INFO_GPA, &info, sizeof(info));
}

int acpi_build(const struct acpi_config *cfg, struct gmem *g, struct err *e, uint64_t *ret_rsdp)
{
	_cleanup_free_ uint8_t *buf = NULL, *madt = NULL;
	struct acpi_area a = {.cap = INFO_GPA - LAYOUT_ACPI};
	size_t need = sizeof(dsdt_aml_code) + sizeof(struct acpi_fadt) + sizeof(struct acpi_mcfg) +
		      sizeof(struct acpi_rsdp) + sizeof(struct acpi_dmar) + 256 + madt_size(cfg);
	uint64_t entry[TABLES_MAX], dsdt;
	unsigned int n = 0;
	int r;

	if (need > a.cap)
		return err_set(e, E2BIG,
			"ACPI tables for %u vCPUs: %zu bytes, there is room for %zu", cfg->cpus,
			need, a.cap);
	a.buf = buf = calloc(1, a.cap);
	madt = calloc(1, madt_size(cfg));
	if (!buf || !madt)
		return err_sys(e, ENOMEM, "ACPI tables");
	/* The RSDP is first, where a guest without the zero page's pointer looks for it. */
	a.len = (sizeof(struct acpi_rsdp) + 15) & ~15ul;
	dsdt = area_put(&a, dsdt_aml_code, sizeof(dsdt_aml_code));
	entry[n++] = fadt_put(&a, dsdt);
	entry[n++] = madt_put(&a, cfg, madt);
	entry[n++] = mcfg_put(&a);
	if (cfg->remap)
		entry[n++] = dmar_put(&a);
	rsdp_fill(&a, xsdt_put(&a, entry, n));
	r = gmem_write(g, LAYOUT_ACPI, a.buf, a.len);
	if (r == 0)
		r = info_write(cfg, g);
	if (r < 0)
		return err_sys(e, -r, "ACPI tables at 0x%llx", LAYOUT_ACPI);
	*ret_rsdp = LAYOUT_ACPI;
	return 0;
}
