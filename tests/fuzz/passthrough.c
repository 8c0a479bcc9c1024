// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest that writes garbage into the config space and the BARs of an assigned device. The device
 * under the fake kernel aborts when a rule of vfio-pci is broken, when its MSI-X table or pending
 * bits are written or mapped, and when a BAR is mapped while it does not decode. Here: no config
 * byte outside the policy is ever written, and the guest always finds the device by its id.
 */
#include <stdio.h>
#include <stdlib.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/log.h"
#include "tests/unit/passthrough/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a guest may write of the standard device, as [start, end). */
static const struct {
	unsigned int start, end;
} allowed[] = {
	{PCI_COMMAND, PCI_STATUS + 2},
	{PCI_CACHE_LINE_SIZE, PCI_LATENCY_TIMER + 1},
	{CAP_PM + PCI_PM_CTRL, CAP_PM + PCI_PM_CTRL + 2},
	{CAP_EXP + PCI_EXP_DEVCTL, CAP_EXP + PCI_EXP_DEVSTA + 2},
	{CAP_EXP + PCI_EXP_DEVCTL2, CAP_EXP + PCI_EXP_DEVSTA2 + 2},
	{EXT_AER + PCI_ERR_UNCOR_STATUS, EXT_AER + PCI_ERR_ROOT_COMMAND},
};

static bool may_write(unsigned int off)
{
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		if (off >= allowed[i].start && off < allowed[i].end)
			return true;
	}
	return false;
}

static void fail(const char *what, unsigned int off)
{
	fprintf(stderr, "passthrough: %s at %#x\n", what, off);
	abort();
}

static void check(struct host *h)
{
	for (unsigned int i = 0; i < PCI_CFG_SIZE; i++) {
		if (h->touched[i] && !may_write(i))
			fail("config byte written", i);
	}
	if (h->written[PCI_STATUS] || h->written[PCI_STATUS + 1] & ~0xf9u)
		fail("status bits that are not cleared by 1", PCI_STATUS);
	if (cfg_get(h, PCI_VENDOR_ID, 4) != 0x10ca8086)
		fail("another id", PCI_VENDOR_ID);
}

/* Registers where something happens, so that a random walk gets somewhere. */
static const uint16_t hot[] = {
	PCI_COMMAND,
	PCI_BASE_ADDRESS_0,
	PCI_BASE_ADDRESS_1,
	PCI_BASE_ADDRESS_3,
	PCI_BASE_ADDRESS_4,
	CAP_PM + PCI_PM_CTRL,
	CAP_MSI + PCI_MSI_FLAGS,
	CAP_MSI + 4,
	CAP_MSIX + PCI_MSIX_FLAGS,
	CAP_EXP + PCI_EXP_DEVCTL,
	CAP_EXP + PCI_EXP_DEVCTL + 1,
	PCI_ROM_ADDRESS,
};

struct step {
	uint8_t op, len;
	uint16_t at;
	uint64_t val;
} __attribute__((packed));

static void step(struct host *h, const struct step *s)
{
	unsigned int len = 1u << (s->len & 3), bar = s->len & 0x80 ? 3 : 0;
	uint64_t val = le_load(&s->val, 8), base = pci_bar_addr(&h->a->func, bar);
	unsigned int at = (unsigned int)le_load(&s->at, 2);

	switch (s->op % 16) {
	case 0: pci_root_reset(h->pci); break;
	case 1: pci_root_place(h->pci, NULL); break;
	case 2: irq_recorder_run(&h->rec); break;
	case 3: cfg_get(h, at % PCI_CFG_SIZE, len); break;
	case 4:
	case 5:
	case 6: cfg_set(h, at % PCI_CFG_SIZE, len, (uint32_t)val); break;
	case 7:
	case 8:
	case 9:
		cfg_set(h, hot[at % (sizeof(hot) / sizeof(hot[0]))], s->len & 4 ? 4 : 2,
			(uint32_t)val);
		break;
	case 10: msix_entry_set(h, at % 3, (uint32_t)val, s->len & 4); break;
	case 11: bus_read(h->mmio, base + at % 0x4004, len); break;
	case 12:
	case 13: bus_write(h->mmio, base + at % 0x4004, len, val); break;
	case 14:
	case 15: bus_write(h->mmio, base + at % 64, len, val); break;
	}
}

static char root[HOST_ROOT_LEN];

static void root_remove(void)
{
	host_root_remove(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host *h = malloc(sizeof(*h));
	struct step s;

	if (!h)
		return 0;
	if (!root[0]) {
		host_root_make(root);
		atexit(root_remove);
		log_level_set(LOG_LEVEL_ERROR);
	}
	host_init(h, root);
	/* Few slots and few host vectors are part of the weather. */
	if (size) {
		h->slot_errno = data[0] & 1 ? 28 : 0;
		h->offer = data[0] >> 1 & 3;
	}
	if (host_open(h, NULL) < 0)
		fail("the standard device was refused", 0);
	for (size_t i = 1; i + sizeof(s) <= size; i += sizeof(s)) {
		memcpy(&s, data + i, sizeof(s));
		step(h, &s);
	}
	check(h);
	host_finish(h);
	free(h);
	return 0;
}
