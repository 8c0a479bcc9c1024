// SPDX-License-Identifier: GPL-2.0-or-later
/* Intel MultiProcessor Specification 1.4, §4. */
#include "vmm/mptable.h"

#include <string.h>

#include "irqremap/irqremap.h"
#include "vmm/layout.h"

#define PACKED      __attribute__((packed))
#define APIC_ID_MAX 254u
#define SPEC_REV    4
#define VERSION     0x14 /* an integrated APIC, of LAPIC and IOAPIC alike */

/* §4.1 */
struct mp_float {
	char signature[4];
	uint32_t table;
	uint8_t paragraphs, spec_rev, checksum, feature[5];
} PACKED;
_Static_assert(sizeof(struct mp_float) == 16, "MP 1.4 §4.1");

/* §4.2 */
struct mp_header {
	char signature[4];
	uint16_t length;
	uint8_t spec_rev, checksum;
	char oem_id[8], product_id[12];
	uint32_t oem_table;
	uint16_t oem_size, entries;
	uint32_t lapic;
	uint16_t ext_length;
	uint8_t ext_checksum, reserved;
} PACKED;
_Static_assert(sizeof(struct mp_header) == 44, "MP 1.4 §4.2");

/* §4.3.1 */
#define CPU_ENABLED 1u
#define CPU_BOOT    2u
struct mp_cpu {
	uint8_t type, apic_id, version, flags;
	uint32_t signature, features, reserved[2];
} PACKED;

/* §4.3.2 */
struct mp_bus {
	uint8_t type, id;
	char name[6];
} PACKED;

/* §4.3.3 */
struct mp_ioapic {
	uint8_t type, id, version, flags;
	uint32_t address;
} PACKED;

/* §4.3.4, §4.3.5 */
enum { MP_INT, MP_NMI };
#define ALL_LAPICS 0xff
struct mp_interrupt {
	uint8_t type, kind;
	uint16_t flags;
	uint8_t bus, irq, apic, pin;
} PACKED;

/* Room for all of it, with the processors first (§4.3: sorted by type). */
struct mp_tables {
	struct mp_float pointer;
	struct mp_header header;
	uint8_t entries[MPTABLE_CPUS_MAX * sizeof(struct mp_cpu) + sizeof(struct mp_bus) +
			sizeof(struct mp_ioapic) + 2 * sizeof(struct mp_interrupt)];
} PACKED;
_Static_assert(sizeof(struct mp_tables) <= 1024, "the last KiB below 640 KiB");

static uint8_t checksum(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *b++);
	return (uint8_t)-sum;
}

static uint8_t *entry_put(struct mp_tables *t, uint8_t *p, const void *entry, size_t len)
{
	memcpy(p, entry, len);
	t->header.entries++;
	return p + len;
}
#define ENTRY(t, p, ...) entry_put(t, p, &__VA_ARGS__, sizeof(__VA_ARGS__))

int mptable_build(unsigned int cpus, const uint32_t *apic_ids, struct gmem *g, struct err *e)
{
	struct mp_tables t = {
		.pointer = {.signature = "_MP_",
			.table = LAYOUT_EBDA + sizeof(t.pointer),
			.paragraphs = sizeof(t.pointer) / 16,
			.spec_rev = SPEC_REV},
		.header = {.signature = "PCMP",
			.spec_rev = SPEC_REV,
			.oem_id = "VIADUCT ",
			.product_id = "VIADUCT     ",
			.lapic = LAYOUT_LAPIC},
	};
	uint8_t *p = t.entries;
	unsigned int n = 0;
	int r;

	for (unsigned int i = 0; i < cpus && n < MPTABLE_CPUS_MAX; i++) {
		if (apic_ids[i] > APIC_ID_MAX)
			continue;
		n++;
		p = ENTRY(&t, p,
			(struct mp_cpu){.apic_id = (uint8_t)apic_ids[i],
				.version = VERSION,
				.flags = CPU_ENABLED | (i == 0 ? CPU_BOOT : 0)});
	}
	p = ENTRY(&t, p, (struct mp_bus){.type = 1, .name = "ISA   "});
	p = ENTRY(&t, p,
		(struct mp_ioapic){
			.type = 2, .version = VERSION, .flags = 1, .address = IOAPIC_BASE});
	p = ENTRY(&t, p,
		(struct mp_interrupt){
			.type = 3, .kind = MP_INT, .irq = LAYOUT_GSI_COM1, .pin = LAYOUT_GSI_COM1});
	p = ENTRY(&t, p,
		(struct mp_interrupt){.type = 4, .kind = MP_NMI, .apic = ALL_LAPICS, .pin = 1});
	t.header.length = (uint16_t)(sizeof(t.header) + (size_t)(p - t.entries));
	t.header.checksum = checksum(&t.header, t.header.length);
	t.pointer.checksum = checksum(&t.pointer, sizeof(t.pointer));
	r = gmem_write(g, LAYOUT_EBDA, &t, (size_t)(p - (uint8_t *)&t));
	return r < 0 ? err_sys(e, -r, "MP tables at 0x%llx", LAYOUT_EBDA) : 0;
}
