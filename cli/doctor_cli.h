/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of `viaduct doctor` share. */
#ifndef VIADUCT_CLI_DOCTOR_H
#define VIADUCT_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "vf-manager/doctor.h"

enum kvm_answer {
	KVM_BOOTS,
	KVM_SLOW,   /* it would, in minutes */
	KVM_CANNOT, /* guest code is emulated, or goes wrong */
	KVM_ABSENT, /* no virtual machine can be made */
};

struct kvm_probe {
	enum kvm_answer answer;
	unsigned ns; /* an instruction of kernel code; 0: not measured */
	char text[1024];
};

/*
 * Run a small guest that does what Linux does first, in a child process that gets @timeout_ms.
 * Always fills @ret. Leaves nothing behind.
 */
void kvm_probe(unsigned timeout_ms, struct kvm_probe *ret);

/* doctor_checks.c: the checks that need more than a tree of files. */
extern const struct doctor_check doctor_kvm_linux, doctor_lab;

/* Findings as they come. doctor_print.c */
struct doctor_printer;
/* NULL when there is no memory. */
struct doctor_printer *doctor_printer_create(bool json, bool all, bool quiet);
void doctor_printer_found(void *printer, const struct doctor_finding *f);
/* Print what is left to print, @worst the verdict of all. 0 or -EIO. */
int doctor_printer_finish(struct doctor_printer *p, enum vfm_status worst);
void doctor_printer_destroy(struct doctor_printer *p); /* takes NULL */

#endif
