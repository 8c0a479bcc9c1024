/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bits of an interrupt message: Intel SDM vol. 3 §10.11. */
#ifndef VIADUCT_IRQREMAP_MESSAGE_H
#define VIADUCT_IRQREMAP_MESSAGE_H

/* Address: what all have in common as a device sends them. */
#define MSI_ADDR_MASK  0xfffffffffff00000ull
#define MSI_BASE       0xfee00000u
#define MSI_DEST_SHIFT 12
#define MSI_EXT_SHIFT  4 /* of the destination's extension, in front of it */
#define MSI_REDIRECT   (1u << 3)
#define MSI_LOGICAL    (1u << 2)

/* Data, above the vector. */
#define MSI_MODE_SHIFT 8
#define MSI_ASSERT     (1u << 14)
#define MSI_LEVEL      (1u << 15)

#endif
