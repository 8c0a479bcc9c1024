/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the e1000*.c files. Registers are trapped on vCPU threads; rings are served by the
 * card's own thread, one descriptor or frame at a time with the lock held, so that no vCPU waits
 * for more than that and a reset takes effect at once. The tap is never called with the lock held.
 * Order: PCI root, then the card's lock, then the line.
 */
#ifndef VIADUCT_DEVICES_E1000_INTERNAL_H
#define VIADUCT_DEVICES_E1000_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/log.h"
#include "devices/e1000.h"
#include "devices/net_frame.h"

/* Register offsets, SDM table 13-2. */
enum {
	R_CTRL = 0x0000,
	R_CTRL_DUP = 0x0004,
	R_STATUS = 0x0008,
	R_EECD = 0x0010,
	R_EERD = 0x0014,
	R_CTRL_EXT = 0x0018,
	R_MDIC = 0x0020,
	R_FCAL = 0x0028,
	R_FCAH = 0x002c,
	R_FCT = 0x0030,
	R_VET = 0x0038,
	R_ICR = 0x00c0,
	R_ITR = 0x00c4,
	R_ICS = 0x00c8,
	R_IMS = 0x00d0,
	R_IMC = 0x00d8,
	R_RCTL = 0x0100,
	R_FCTTV = 0x0170,
	R_TXCW = 0x0178,
	R_TCTL = 0x0400,
	R_TIPG = 0x0410,
	R_AIT = 0x0458,
	R_LEDCTL = 0x0e00,
	R_PBA = 0x1000,
	R_FCRTL = 0x2160,
	R_FCRTH = 0x2168,
	R_RDBAL = 0x2800,
	R_RDBAH = 0x2804,
	R_RDLEN = 0x2808,
	R_RDH = 0x2810,
	R_RDT = 0x2818,
	R_RDTR = 0x2820,
	R_RXDCTL = 0x2828,
	R_RADV = 0x282c,
	R_RSRPD = 0x2c00,
	R_TXDMAC = 0x3000,
	R_TDBAL = 0x3800,
	R_TDBAH = 0x3804,
	R_TDLEN = 0x3808,
	R_TDH = 0x3810,
	R_TDT = 0x3818,
	R_TIDV = 0x3820,
	R_TXDCTL = 0x3828,
	R_TADV = 0x382c,
	R_TSPMT = 0x3830,
	R_STATS = 0x4000, /* up to 0x40ff, cleared by reading */
	R_MPC = 0x4010,
	R_PRC64 = 0x405c,
	R_GPRC = 0x4074,
	R_BPRC = 0x4078,
	R_MPRC = 0x407c,
	R_GPTC = 0x4080,
	R_GORCL = 0x4088,
	R_GOTCL = 0x4090,
	R_RNBC = 0x40a0,
	R_ROC = 0x40ac,
	R_TORL = 0x40c0,
	R_TOTL = 0x40c8,
	R_TPR = 0x40d0,
	R_TPT = 0x40d4,
	R_PTC64 = 0x40d8,
	R_MPTC = 0x40f0,
	R_BPTC = 0x40f4,
	R_TSCTC = 0x40f8,
	R_TSCTFC = 0x40fc,
	R_RXCSUM = 0x5000,
	R_MTA = 0x5200,
	R_RA = 0x5400,
	R_VFTA = 0x5600,
	R_WUC = 0x5800,
	R_WUFC = 0x5808,
	R_WUS = 0x5810,
	R_MANC = 0x5820,
	R_IPAV = 0x5838,
	R_IP4AT = 0x5840,
	R_IP6AT = 0x5880,
	R_WUPL = 0x5900,
	R_FFLT = 0x5f00,
	R_END = 0x6000, /* above are packet buffer memory and flexible filters: they read 0 */
};

#define CTRL_FD      (1u << 0)
#define CTRL_RST     (1u << 26) /* clears itself */
#define CTRL_VME     (1u << 30)
#define CTRL_PHY_RST (1u << 31)

#define ICR_TXDW   (1u << 0)
#define ICR_TXQE   (1u << 1)
#define ICR_LSC    (1u << 2)
#define ICR_RXDMT0 (1u << 4)
#define ICR_RXT0   (1u << 7)
#define ICR_MDAC   (1u << 9)
#define ICR_ALL    0x0001f6dfu /* SDM §13.4.17 */

#define RCTL_EN    (1u << 1)
#define RCTL_UPE   (1u << 3)
#define RCTL_MPE   (1u << 4)
#define RCTL_LPE   (1u << 5)
#define RCTL_BAM   (1u << 15)
#define RCTL_VFE   (1u << 18)
#define RCTL_BSEX  (1u << 25)
#define RCTL_SECRC (1u << 26)

#define TCTL_EN  (1u << 1)
#define TCTL_PSP (1u << 3)

#define RXCSUM_IPOFL  (1u << 8)
#define RXCSUM_TUOFL  (1u << 9)
#define RXCSUM_IP6OFL (1u << 10)

#define RAH_AV (1u << 31)
#define RA_N   16u

#define E1000_FCS       4u
#define E1000_FRAME_MIN 60u    /* without FCS */
#define E1000_FRAME_MAX 16288u /* with FCS, SDM §14.5 */
#define E1000_EEPROM    64u    /* words */

struct e1000_eeprom {
	uint16_t word[E1000_EEPROM];
	/* Microwire, driven bit by bit through EECD. */
	uint32_t pins; /* what software wrote last */
	unsigned int shift, bits;
	bool start, reading, out;
	unsigned int addr;
};

/* What a context descriptor sets, SDM §3.3.6. */
struct e1000_ctx {
	uint8_t ipcss, ipcso, tucss, tucso, tucmd, hdrlen;
	uint16_t ipcse, tucse, mss;
};

struct e1000_tx {
	struct e1000_ctx ctx[2]; /* without and with segmentation */
	uint8_t *buf;            /* the frame so far; the thread's, len is the lock's */
	size_t len;
	bool begun, bad, tse;
	uint8_t popts;
};

struct e1000_held {
	uint8_t *buf; /* virtio header, frame */
	size_t len;   /* of both; 0 = nothing held */
	bool counted; /* as one that found no buffers */
};

struct e1000 {
	struct pci_func pci; /* first: the root destroys it */
	char name[32];
	uint8_t mac[6];
	struct net_backend *be;
	struct net_events events;
	const struct gmem *mem;
	uint32_t crc_table[256];
	struct log_limit limit;

	pthread_t thread;
	bool running;
	_Atomic bool stop;
	int epoll_fd, kick_fd, timer_fd;

	/* the thread's */
	struct e1000_held held;
	bool port_ready; /* it may have frames */

	pthread_mutex_t lock;
	struct irq_line line;
	bool level, link, master, intx_off;
	int64_t irq_next; /* ITR: not before this, CLOCK_MONOTONIC ns */
	uint32_t reg[R_END / 4];
	uint32_t io_addr;
	struct e1000_eeprom eeprom;
	uint16_t phy[32];
	struct e1000_tx tx;

	struct {
		_Atomic uint64_t rx_packets, rx_bytes, rx_dropped;
		_Atomic uint64_t tx_packets, tx_bytes, tx_dropped;
		_Atomic uint64_t kicks, irqs, resets, bad_rings, bad_dma;
	} stat;
};

static inline void e1000_count(_Atomic uint64_t *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static inline uint32_t *e1000_reg(struct e1000 *n, unsigned int off)
{
	return &n->reg[off / 4];
}

/* All below are called with the lock held unless they say more. */

/* e1000_regs.c: @off is a multiple of 4. */
uint32_t e1000_reg_read(struct e1000 *n, uint32_t off);
void e1000_reg_write(struct e1000 *n, uint32_t off, uint32_t val);
/* CTRL.RST: everything but the PHY. */
void e1000_reset(struct e1000 *n);
void e1000_link_set(struct e1000 *n, bool up);
/* Add to a statistics register, which stays at all ones; @off of two: low and high. */
void e1000_stat_add(struct e1000 *n, unsigned int off, uint32_t v);
void e1000_stat_add64(struct e1000 *n, unsigned int off, uint64_t v);
/* Frames of @len bytes with FCS; @len64 is the first of the six registers by size. */
void e1000_stat_size(struct e1000 *n, unsigned int len64, size_t len, unsigned int frames);

/* e1000_irq.c: causes become pending, and the pin follows. */
void e1000_irq_raise(struct e1000 *n, uint32_t causes);
void e1000_irq_update(struct e1000 *n);

/* e1000_eeprom.c */
void e1000_eeprom_init(struct e1000_eeprom *r, const uint8_t *mac);
uint32_t e1000_eeprom_pins(const struct e1000_eeprom *r);
void e1000_eeprom_drive(struct e1000_eeprom *r, uint32_t val);
/* EERD as it reads after @val was written. */
uint32_t e1000_eeprom_read(const struct e1000_eeprom *r, uint32_t val);

/* e1000_phy.c: MDIC as it reads after @val was written. */
void e1000_phy_reset(struct e1000 *n);
uint32_t e1000_phy_access(struct e1000 *n, uint32_t val);

/* A descriptor ring: entries, 0 when the registers say nothing that can be served. */
struct e1000_ring {
	uint64_t base;
	unsigned int n, head, tail;
};

/* @bal is the ring's first register. False: off, or nonsense. */
bool e1000_ring_get(struct e1000 *n, unsigned int bal, struct e1000_ring *ret);

/* e1000_tx.c, e1000_rx.c: a turn of the thread, lock not held. True: there may be more to do. */
bool e1000_tx_serve(struct e1000 *n);
bool e1000_rx_serve(struct e1000 *n);

/* e1000_csum.c: pure. One's complement sum, not inverted. */
uint32_t e1000_sum(const uint8_t *p, size_t len);
uint16_t e1000_fold(uint32_t sum);
void e1000_crc_table(uint32_t *table);
uint32_t e1000_crc(const uint32_t *table, const uint8_t *p, size_t len);

struct e1000_verdict {
	bool ip, ip_bad; /* an IPv4 header was checked */
	bool l4, l4_bad; /* a TCP or UDP checksum was checked */
};

/* What a receiver finds in a frame (SDM §3.2.9, table 3-5), with what RXCSUM asks for. */
struct e1000_verdict e1000_verify(const uint8_t *frame, size_t len, uint32_t rxcsum);

#endif
