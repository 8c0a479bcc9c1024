/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Register bits of the x86 used to set up vCPUs. Intel SDM vol. 3 §2.5, §4.1, §10.5, §11.11. */
#ifndef VIADUCT_VMM_X86_H
#define VIADUCT_VMM_X86_H

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_PG (1u << 31)

#define CR4_PAE (1u << 5)

#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)

#define RFLAGS_FIXED (1u << 1)

/* Segment types: code execute/read accessed, data read/write accessed, busy 32/64-bit TSS. */
#define SEG_CODE 0xbu
#define SEG_DATA 0x3u
#define SEG_TSS  0xbu

#define MSR_TSC             0x10u
#define MSR_MISC_ENABLE     0x1a0u
#define MSR_MTRR_PHYS_BASE0 0x200u
#define MSR_MTRR_DEF_TYPE   0x2ffu

#define MISC_ENABLE_FAST_STRING 1u
#define MTRR_DEF_ENABLE         (1u << 11)
#define MTRR_TYPE_WB            6u
#define MTRR_VARIABLE_MAX       16u

/* Local APIC register offsets and LVT bits */
#define LAPIC_LVT0 0x350u
#define LAPIC_LVT1 0x360u
#define LVT_NMI    (4u << 8)
#define LVT_EXTINT (7u << 8)
#define LVT_MASKED (1u << 16)

#define APIC_BASE_X2APIC  (1u << 10) /* IA32_APIC_BASE.EXTD */
#define APIC_ID_BROADCAST 255u       /* of 8 bits: no processor's id */

#endif
