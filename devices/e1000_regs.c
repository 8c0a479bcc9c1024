// SPDX-License-Identifier: GPL-2.0-or-later
/* The register file, SDM chapter 13: what keeps what is written, and what does something. */
#include <string.h>
#include <sys/eventfd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "devices/e1000_internal.h"

#define STATUS_FD   (1u << 0)
#define STATUS_LU   (1u << 1)
#define STATUS_1000 (2u << 6)

/* Registers that only keep what is written, or whose effect is looked up when it is needed. */
static const struct {
	unsigned int off, n; /* dwords */
	uint32_t wmask, reset;
} plain[] = {
	{R_CTRL, 1, 0x7bfffbe9, CTRL_FD | 2u << 8},
	{R_CTRL_EXT, 1, 0xffffffff, 0},
	{R_FCAL, 1, 0xffffffff, 0},
	{R_FCAH, 1, 0x0000ffff, 0},
	{R_FCT, 1, 0x0000ffff, 0},
	{R_VET, 1, 0x0000ffff, 0x8100},
	{R_ITR, 1, 0x0000ffff, 0},
	{R_RCTL, 1, 0x06dfb3fe, 0},
	{R_FCTTV, 1, 0x0000ffff, 0},
	{R_TXCW, 1, 0xc000ffff, 0},
	{R_TCTL, 1, 0x037ffffa, 0},
	{R_TIPG, 1, 0x3fffffff, 0x00602008},
	{R_AIT, 1, 0x0000ffff, 0},
	{R_LEDCTL, 1, 0xcfcfcfcf, 0x07061302},
	{R_PBA, 1, 0x0000ffff, 0x00100030},
	{R_FCRTL, 1, 0x8000fff8, 0},
	{R_FCRTH, 1, 0x0000fff8, 0},
	{R_RDBAL, 1, 0xfffffff0, 0},
	{R_RDBAH, 1, 0xffffffff, 0},
	{R_RDLEN, 1, 0x000fff80, 0},
	{R_RDH, 1, 0x0000ffff, 0},
	{R_RDT, 1, 0x0000ffff, 0},
	{R_RDTR, 1, 0x0000ffff, 0},
	{R_RXDCTL, 1, 0x013f3f3f, 0x00010000},
	{R_RADV, 1, 0x0000ffff, 0},
	{R_RSRPD, 1, 0x00000fff, 0},
	{R_TXDMAC, 1, 0x00000001, 0},
	{R_TDBAL, 1, 0xfffffff0, 0},
	{R_TDBAH, 1, 0xffffffff, 0},
	{R_TDLEN, 1, 0x000fff80, 0},
	{R_TDH, 1, 0x0000ffff, 0},
	{R_TDT, 1, 0x0000ffff, 0},
	{R_TIDV, 1, 0x0000ffff, 0},
	{R_TXDCTL, 1, 0xff3f3f3f, 0},
	{R_TADV, 1, 0x0000ffff, 0},
	{R_TSPMT, 1, 0xffffffff, 0x01000400},
	{R_RXCSUM, 1, 0x000007ff, 0},
	{R_MTA, 128, 0xffffffff, 0},
	{R_RA, RA_N * 2, 0xffffffff, 0},
	{R_VFTA, 128, 0xffffffff, 0},
	{R_WUC, 1, 0x0000000f, 0},
	{R_WUFC, 1, 0x000f00ff, 0},
	{R_WUS, 1, 0x000f00ff, 0},
	{R_MANC, 1, 0xffffffff, 0},
	{R_IPAV, 1, 0x0001000f, 0},
	{R_IP4AT, 8, 0xffffffff, 0},
	{R_IP6AT, 4, 0xffffffff, 0},
	{R_WUPL, 1, 0x00000fff, 0},
	{R_FFLT, 8, 0x000007ff, 0},
};

static bool plain_write(struct e1000 *n, uint32_t off, uint32_t val)
{
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		uint32_t w = plain[i].wmask, *r = e1000_reg(n, off);

		if (off < plain[i].off || off - plain[i].off >= plain[i].n * 4)
			continue;
		*r = (*r & ~w) | (val & w);
		return true;
	}
	return false;
}

void e1000_reset(struct e1000 *n)
{
	memset(n->reg, 0, sizeof(n->reg));
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		for (unsigned int k = 0; k < plain[i].n; k++)
			*e1000_reg(n, plain[i].off + k * 4) = plain[i].reset;
	}
	/* Loaded from the EEPROM, SDM §13.5.2. */
	*e1000_reg(n, R_RA) = (uint32_t)le_load(n->mac, 4);
	*e1000_reg(n, R_RA + 4) = RAH_AV | (uint32_t)le_load(n->mac + 4, 2);
	e1000_eeprom_init(&n->eeprom, n->mac);
	memset(n->tx.ctx, 0, sizeof(n->tx.ctx));
	n->tx.len = 0;
	n->tx.begun = n->tx.bad = false;
	n->irq_next = 0;
	e1000_count(&n->stat.resets, 1);
	e1000_irq_update(n);
}

void e1000_link_set(struct e1000 *n, bool up)
{
	if (n->link == up)
		return;
	n->link = up;
	e1000_irq_raise(n, ICR_LSC);
}

/* ---- statistics, SDM §13.7 ---- */

void e1000_stat_add(struct e1000 *n, unsigned int off, uint32_t v)
{
	uint32_t *r = e1000_reg(n, off);

	*r = *r > UINT32_MAX - v ? UINT32_MAX : *r + v;
}

void e1000_stat_add64(struct e1000 *n, unsigned int off, uint64_t v)
{
	uint64_t sum = *e1000_reg(n, off) | (uint64_t)*e1000_reg(n, off + 4) << 32;

	sum = sum > UINT64_MAX - v ? UINT64_MAX : sum + v;
	*e1000_reg(n, off) = (uint32_t)sum;
	*e1000_reg(n, off + 4) = (uint32_t)(sum >> 32);
}

void e1000_stat_size(struct e1000 *n, unsigned int len64, size_t len, unsigned int frames)
{
	static const uint16_t up_to[] = {64, 127, 255, 511, 1023};
	unsigned int i = 0;

	while (i < ARRAY_SIZE(up_to) && len > up_to[i])
		i++;
	e1000_stat_add(n, len64 + i * 4, frames);
}

static uint32_t stat_read(struct e1000 *n, uint32_t off)
{
	uint32_t *r = e1000_reg(n, off), v = *r;

	*r = 0;
	return v;
}

/* ---- accesses ---- */

static uint32_t status(const struct e1000 *n)
{
	return STATUS_FD | STATUS_1000 | (n->link ? STATUS_LU : 0);
}

uint32_t e1000_reg_read(struct e1000 *n, uint32_t off)
{
	uint32_t v;

	if (off >= R_END)
		return 0;
	if (off >= R_STATS && off <= R_TSCTFC)
		return stat_read(n, off);
	switch (off) {
	case R_STATUS: return status(n);
	case R_CTRL_DUP: return *e1000_reg(n, R_CTRL);
	case R_EECD: return e1000_eeprom_pins(&n->eeprom);
	case R_ICS:
	case R_IMC: return 0; /* to be written only */
	case R_ICR:
		v = *e1000_reg(n, R_ICR);
		*e1000_reg(n, R_ICR) = 0;
		e1000_irq_update(n);
		return v;
	default: return *e1000_reg(n, off);
	}
}

static void ctrl_write(struct e1000 *n, uint32_t val)
{
	if (val & CTRL_PHY_RST)
		e1000_phy_reset(n);
	if (val & CTRL_RST)
		e1000_reset(n);
	else
		plain_write(n, R_CTRL, val);
}

/* Registers that start or go on with a ring: the thread looks. */
static void kick(struct e1000 *n)
{
	e1000_count(&n->stat.kicks, 1);
	(void)eventfd_write(n->kick_fd, 1);
}

void e1000_reg_write(struct e1000 *n, uint32_t off, uint32_t val)
{
	if (off >= R_END)
		return;
	switch (off) {
	case R_CTRL:
	case R_CTRL_DUP: ctrl_write(n, val); break;
	case R_EECD: e1000_eeprom_drive(&n->eeprom, val); break;
	case R_EERD: *e1000_reg(n, R_EERD) = e1000_eeprom_read(&n->eeprom, val); break;
	case R_MDIC: *e1000_reg(n, R_MDIC) = e1000_phy_access(n, val); break;
	case R_ICR:
		/* Also by writing ones. */
		*e1000_reg(n, R_ICR) &= ~val;
		e1000_irq_update(n);
		break;
	case R_ICS: e1000_irq_raise(n, val); break;
	case R_IMS:
		*e1000_reg(n, R_IMS) |= val & ICR_ALL;
		e1000_irq_update(n);
		break;
	case R_IMC:
		*e1000_reg(n, R_IMS) &= ~val;
		e1000_irq_update(n);
		break;
	case R_TDT:
	case R_RDT:
	case R_TCTL:
	case R_RCTL:
		plain_write(n, off, val);
		kick(n);
		break;
	default: plain_write(n, off, val); break;
	}
}

/* ---- rings ---- */

bool e1000_ring_get(struct e1000 *n, unsigned int bal, struct e1000_ring *ret)
{
	*ret = (struct e1000_ring){
		.base = *e1000_reg(n, bal) | (uint64_t)*e1000_reg(n, bal + R_TDBAH - R_TDBAL) << 32,
		.n = *e1000_reg(n, bal + R_TDLEN - R_TDBAL) / 16,
		.head = *e1000_reg(n, bal + R_TDH - R_TDBAL),
		.tail = *e1000_reg(n, bal + R_TDT - R_TDBAL),
	};
	if (!n->master || ret->head == ret->tail)
		return false;
	/* The SDM leaves open what happens; here nothing does, until the guest writes sense. */
	if (ret->head >= ret->n || ret->tail >= ret->n) {
		e1000_count(&n->stat.bad_rings, 1);
		log_guest(&n->limit, "%s: a ring of %u descriptors with head %u and tail %u",
			n->name, ret->n, ret->head, ret->tail);
		return false;
	}
	return true;
}
