// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The card's PHY, a Marvell 88E1011 behind MDIC (SDM §13.4.6; IEEE 802.3 clause 22 and 28). Its
 * link partner is a gigabit switch that has negotiated before anybody asks.
 */
#include "devices/e1000_internal.h"

#define MDIC_REG(v) ((v) >> 16 & 31u)
#define MDIC_PHY(v) ((v) >> 21 & 31u)
#define MDIC_OP(v)  ((v) >> 26 & 3u)
#define MDIC_READY  (1u << 28)
#define MDIC_IRQ    (1u << 29)
#define MDIC_ERROR  (1u << 30)
#define MDIC_WRITE  1u
#define MDIC_READ   2u
#define PHY_ADDR    1u

enum {
	PHY_CTRL = 0,
	PHY_STATUS = 1,
	PHY_ID1 = 2,
	PHY_ID2 = 3,
	PHY_ADV = 4,
	PHY_PARTNER = 5,
	PHY_EXPANSION = 6,
	PHY_1000T_CTRL = 9,
	PHY_1000T_STATUS = 10,
	PHY_EXT_STATUS = 15,
	PHY_SPEC_CTRL = 16,
	PHY_SPEC_STATUS = 17,
	PHY_EXT_CTRL = 20,
};

#define CTRL_RESET   0x8000u
#define CTRL_RESTART 0x0200u

/* Bits that come and go with the link. */
#define STATUS_UP      0x0024u /* negotiated, link */
#define SPEC_STATUS_UP 0xac00u /* 1000 Mb/s, full duplex, resolved, link */
#define T1000_UP       0x7c00u /* both receivers, the partner's abilities, we are master */

static const struct {
	uint8_t reg;
	uint16_t reset, wmask;
} phy_regs[] = {
	{PHY_CTRL, 0x1140, 0x7dff},
	{PHY_STATUS, 0x7949, 0},
	{PHY_ID1, 0x0141, 0},
	{PHY_ID2, 0x0c20, 0},
	{PHY_ADV, 0x01e1, 0xffff},
	{PHY_PARTNER, 0x41e1, 0},
	{PHY_EXPANSION, 0x0001, 0},
	{PHY_1000T_CTRL, 0x0300, 0xff00},
	{PHY_1000T_STATUS, 0, 0},
	{PHY_EXT_STATUS, 0x3000, 0},
	{PHY_SPEC_CTRL, 0x0360, 0xffff},
	{PHY_SPEC_STATUS, 0, 0},
	{18, 0, 0xffff},
	{PHY_EXT_CTRL, 0x0d60, 0xffff},
	{29, 0, 0xffff},
	{30, 0, 0xffff},
};

void e1000_phy_reset(struct e1000 *n)
{
	for (size_t i = 0; i < sizeof(phy_regs) / sizeof(*phy_regs); i++)
		n->phy[phy_regs[i].reg] = phy_regs[i].reset;
}

static uint16_t phy_read(const struct e1000 *n, unsigned int reg)
{
	uint16_t v = n->phy[reg];

	if (!n->link)
		return reg == PHY_PARTNER ? 0 : v;
	switch (reg) {
	case PHY_STATUS: return v | STATUS_UP;
	case PHY_SPEC_STATUS: return v | SPEC_STATUS_UP;
	case PHY_1000T_STATUS: return v | T1000_UP;
	default: return v;
	}
}

static void phy_write(struct e1000 *n, unsigned int reg, uint16_t val)
{
	if (reg == PHY_CTRL && val & CTRL_RESET)
		e1000_phy_reset(n);
	for (size_t i = 0; i < sizeof(phy_regs) / sizeof(*phy_regs); i++) {
		uint16_t w = phy_regs[i].wmask;

		if (phy_regs[i].reg == reg)
			n->phy[reg] = (uint16_t)((n->phy[reg] & ~w) | (val & w));
	}
	/* These clear themselves. */
	n->phy[PHY_CTRL] &= (uint16_t) ~(CTRL_RESET | CTRL_RESTART);
}

uint32_t e1000_phy_access(struct e1000 *n, uint32_t val)
{
	unsigned int reg = MDIC_REG(val), op = MDIC_OP(val);

	val &= ~(MDIC_READY | MDIC_ERROR);
	if (MDIC_PHY(val) != PHY_ADDR || (op != MDIC_READ && op != MDIC_WRITE))
		val |= MDIC_ERROR;
	else if (op == MDIC_READ)
		val = (val & 0xffff0000) | phy_read(n, reg);
	else
		phy_write(n, reg, (uint16_t)val);
	if (val & MDIC_IRQ)
		e1000_irq_raise(n, ICR_MDAC);
	return val | MDIC_READY;
}
