/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things are in the guest's physical address space and its I/O ports. One list, so that the
 * e820 map, the ACPI tables and the buses cannot disagree.
 */
#ifndef VIADUCT_VMM_LAYOUT_H
#define VIADUCT_VMM_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/range.h"

/* Guest RAM below 4 GiB ends here at the latest; the rest of RAM starts at 4 GiB. */
#define LAYOUT_LOW_RAM_MAX 0xc0000000ull
#define LAYOUT_HIGH_RAM    0x100000000ull

/* PCI windows. The 64-bit one starts above RAM, see vm_config and pci_root_config. */
#define LAYOUT_PCI_MMIO32      0xc0000000ull
#define LAYOUT_PCI_MMIO32_SIZE 0x20000000ull
#define LAYOUT_ECAM            0xe0000000ull
/*
 * Every function is on bus 0. Room for 256 buses would make Linux look for a device on each of them
 * (pcibios_fixup_peer_bridges): 16,000 exits at every boot.
 */
#define LAYOUT_ECAM_SIZE    0x100000ull
#define LAYOUT_PCI_PIO      0xc000u
#define LAYOUT_PCI_PIO_SIZE 0x4000u

/* 0xfec00000 IOAPIC, 0xfee00000 LAPIC and MSI doorbell. */
#define LAYOUT_LAPIC 0xfee00000ull
/* Register block of the remapping unit, where chipsets have it. */
#define LAYOUT_VTD 0xfed90000ull

/* Low memory used for the hand-over to the kernel. */
#define LAYOUT_GDT          0x500ull
#define LAYOUT_ZERO_PAGE    0x7000ull
#define LAYOUT_PAGE_TABLE   0x9000ull /* PML4, PDPT, PDs: up to 0xf000 */
#define LAYOUT_PVH_INFO     0x6000ull
#define LAYOUT_CMDLINE      0x20000ull
#define LAYOUT_CMDLINE_MAX  0x10000ull
#define LAYOUT_EBDA         0x9fc00ull
#define LAYOUT_ACPI         0xe0000ull /* RSDP first; reserved up to 1 MiB */
#define LAYOUT_ACPI_END     0x100000ull
#define LAYOUT_RESET_VECTOR 0xffff0ull /* F000:FFF0, where a PC's firmware starts */
#define LAYOUT_KERNEL_MIN   0x100000ull

/* I/O ports */
#define LAYOUT_PORT_COM1      0x3f8u
#define LAYOUT_PORT_I8042     0x60u  /* data; 0x64 command */
#define LAYOUT_PORT_SLEEP_CTL 0x600u /* ACPI sleep control register (HW-reduced) */
#define LAYOUT_PORT_SLEEP_STS 0x601u
#define LAYOUT_PORT_CF8       0xcf8u
#define LAYOUT_PORT_RESET     0xcf9u
#define LAYOUT_PORT_CFC       0xcfcu

#define LAYOUT_GSI_COM1   4u
#define LAYOUT_GSI_BUTTON 9u /* edge: the power button was pressed */
/* INTx of bus 0: pin INTA# to INTD# of a slot turn around these, as vmm/dsdt.asl says. */
#define LAYOUT_GSI_INTX   16u
#define LAYOUT_GSI_INTX_N 8u

/* Pages KVM keeps for itself on Intel CPUs without unrestricted guest; outside RAM and windows. */
#define LAYOUT_IDENTITY_MAP 0xfeffc000ull
#define LAYOUT_TSS          0xfeffd000ull /* 3 pages */

/* Requester id of the IOAPIC's messages: f0:1f.0, a bus no device is on. */
#define LAYOUT_RID_IOAPIC 0xf0f8u

/*
 * The 64-bit PCI window for a guest whose RAM ends at @ram_end: the largest of 1..256 GiB that
 * fits @phys_bits, aligned to its size, and outside AMD's HyperTransport hole. False: none fits.
 */
bool layout_pci_mmio64(uint64_t ram_end, unsigned int phys_bits, struct range *ret);

#endif
