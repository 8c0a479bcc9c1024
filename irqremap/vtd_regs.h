/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registers of the remapping unit: VT-d §11.4. Offsets are of 32-bit words. */
#ifndef VIADUCT_IRQREMAP_VTD_REGS_H
#define VIADUCT_IRQREMAP_VTD_REGS_H

#define VTD_VER    0x00
#define VTD_CAP    0x08
#define VTD_ECAP   0x10
#define VTD_GCMD   0x18
#define VTD_GSTS   0x1c
#define VTD_RTADDR 0x20
#define VTD_CCMD   0x28
#define VTD_FSTS   0x34
#define VTD_FECTL  0x38 /* then data, address, upper address */
#define VTD_IQH    0x80
#define VTD_IQT    0x88
#define VTD_IQA    0x90
#define VTD_ICS    0x9c
#define VTD_IECTL  0xa0 /* then data, address, upper address */
#define VTD_IQERCD 0xb0
#define VTD_IRTA   0xb8
#define VTD_IVA    0xf0
#define VTD_IOTLB  0xf8
#define VTD_FRCD   0x220 /* 16 bytes each */
#define VTD_FRCDS  8
#define VTD_END    (VTD_FRCD + 16 * VTD_FRCDS)

#define VER_1_0 0x10u

#define VTD_DOMAIN_BITS 8  /* of domain ids: CAP.ND is 2 */
#define VTD_HAW         48 /* host address width, as in the DMAR table */
#define VTD_WIDTH       2u /* context entries' AW: 48 bits, the only one in CAP.SAGAW */

/* 256 domains, no address width, VTD_FRCDS fault records, draining of reads and writes. */
#define CAP_VALUE                                                          \
	(2ull | (VTD_HAW - 1ull) << 16 | (uint64_t)(VTD_FRCD / 16) << 24 | \
		(VTD_FRCDS - 1ull) << 40 | 1ull << 54 | 1ull << 55)
/* With DMA offered: caching mode, so that entries made present are invalidated, too; one width. */
#define CAP_DMA (1u << 7 | 1u << (8 + VTD_WIDTH))
/* Coherent walks, queued invalidation, interrupt remapping, x2APIC, pass-through, index masks. */
#define ECAP_VALUE                                                                            \
	(1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 6 | (VTD_IVA / 16ull) << 8 | \
		15ull << 20)

/* GCMD and GSTS have the same bits. */
#define CMD_TE    (1u << 31)
#define CMD_SRTP  (1u << 30)
#define CMD_QIE   (1u << 26)
#define CMD_IRE   (1u << 25)
#define CMD_SIRTP (1u << 24)
#define CMD_CFI   (1u << 23)
/* What is said once and its status stays, and what is on as long as it is written so. */
#define CMD_ONCE     (CMD_SRTP | CMD_SIRTP)
#define CMD_SWITCHES (CMD_TE | CMD_QIE | CMD_IRE | CMD_CFI)

#define FSTS_PFO (1u << 0)
#define FSTS_PPF (1u << 1)
#define FSTS_IQE (1u << 4)
#define FSTS_FRI (0xffu << 8)
#define FSTS_W1C (FSTS_PFO | FSTS_IQE)
#define FSTS_ANY (FSTS_PFO | FSTS_PPF | FSTS_IQE)

/* FECTL, IECTL */
#define EVENT_MASKED  (1u << 31)
#define EVENT_PENDING (1u << 30)

#define ICS_IWC (1u << 0)

#define IRTA_SIZE 0xfull /* 2^(n+1) entries */
#define IRTA_EIME (1ull << 11)

#define IQA_SIZE 0x7ull       /* 2^(n+8) descriptors of 16 bytes */
#define IQA_WIDE (1ull << 11) /* 32-byte descriptors: scalable mode, not offered */
#define IQ_INDEX 0x7fff0ull   /* of IQH and IQT */

#define FRCD_F    (1ull << 63) /* of the upper half */
#define FRCD_READ (1u << 30)   /* of the last word: the request was a read */
#define PAGE_ADDR 0xfffffffffffff000ull

/* Granularities of CCMD and IOTLB: 0 is reserved, 3 is a device and, not offered, pages. */
enum { GRAIN_NONE, GRAIN_GLOBAL, GRAIN_DOMAIN, GRAIN_FINEST };
/* Commands whose top bit is cleared by hardware when done. */
#define DONE_BIT (1u << 31)

#endif
