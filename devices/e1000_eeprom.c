// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The card's EEPROM: 64 words, a 93C46 on four wires (SDM §5.3) and read by EERD (SDM §13.4.4).
 * It is write-protected: a write command is taken and changes nothing.
 */
#include <string.h>

#include "devices/e1000_internal.h"

#define EECD_SK   (1u << 0)
#define EECD_CS   (1u << 1)
#define EECD_DI   (1u << 2)
#define EECD_DO   (1u << 3)
#define EECD_REQ  (1u << 6)
#define EECD_GNT  (1u << 7)
#define EECD_PRES (1u << 8)
#define EECD_SOFT 0x00000077u /* what software writes: pins, FWE, REQ */

#define EERD_START (1u << 0)
#define EERD_DONE  (1u << 4)

#define OP_READ   2u /* two bits of opcode */
#define ADDR_BITS 6u

/* SDM table 5-2: the words a driver reads. */
#define WORD_ID_LED     4u
#define WORD_CONTROL_1  10u
#define WORD_SUB_DEVICE 11u
#define WORD_SUB_VENDOR 12u
#define WORD_DEVICE     13u
#define WORD_VENDOR     14u
#define WORD_CHECKSUM   63u
#define CHECKSUM        0xbabau

void e1000_eeprom_init(struct e1000_eeprom *r, const uint8_t *mac)
{
	uint16_t sum = 0;

	memset(r, 0, sizeof(*r));
	for (unsigned int i = 0; i < 3; i++)
		r->word[i] = (uint16_t)(mac[2 * i] | mac[2 * i + 1] << 8);
	r->word[WORD_ID_LED] = 0xffff; /* defaults */
	r->word[WORD_CONTROL_1] = 0x4008;
	r->word[WORD_SUB_DEVICE] = 0x001e;
	r->word[WORD_SUB_VENDOR] = 0x8086;
	r->word[WORD_DEVICE] = 0x100e;
	r->word[WORD_VENDOR] = 0x8086;
	for (unsigned int i = 0; i < WORD_CHECKSUM; i++)
		sum = (uint16_t)(sum + r->word[i]);
	r->word[WORD_CHECKSUM] = (uint16_t)(CHECKSUM - sum);
	r->out = true;
}

uint32_t e1000_eeprom_pins(const struct e1000_eeprom *r)
{
	uint32_t v = r->pins | EECD_PRES;

	if (r->pins & EECD_REQ)
		v |= EECD_GNT;
	if (r->out)
		v |= EECD_DO;
	return v;
}

/* A rising clock with the chip selected. */
static void clocked(struct e1000_eeprom *r, bool in)
{
	if (r->reading) {
		/* Most significant first; the next word follows by itself. */
		r->out = r->word[r->addr] >> (15 - r->bits) & 1;
		if (++r->bits == 16) {
			r->bits = 0;
			r->addr = (r->addr + 1) % E1000_EEPROM;
		}
		return;
	}
	if (!r->start) {
		r->start = in;
		return;
	}
	if (r->bits == 2 + ADDR_BITS)
		return; /* the data of a write */
	r->shift = r->shift << 1 | in;
	if (++r->bits < 2 + ADDR_BITS || r->shift >> ADDR_BITS != OP_READ)
		return;
	r->addr = r->shift & (E1000_EEPROM - 1);
	r->reading = true;
	r->bits = 0;
	r->out = false; /* the dummy bit */
}

void e1000_eeprom_drive(struct e1000_eeprom *r, uint32_t val)
{
	uint32_t was = r->pins;

	r->pins = val & EECD_SOFT;
	if (!(val & EECD_CS)) {
		r->start = r->reading = false;
		r->shift = r->bits = 0;
		r->out = true;
		return;
	}
	if (val & EECD_SK && !(was & EECD_SK))
		clocked(r, val & EECD_DI);
}

uint32_t e1000_eeprom_read(const struct e1000_eeprom *r, uint32_t val)
{
	unsigned int addr = val >> 8 & 0xff;

	if (!(val & EERD_START))
		return val & 0xff00;
	/* The upper address bits of a chip with 64 words go nowhere. */
	return (uint32_t)r->word[addr % E1000_EEPROM] << 16 | (addr << 8) | EERD_DONE;
}
