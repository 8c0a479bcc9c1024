/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of interrupts on the real KVM need of it. */
#ifndef VIADUCT_TESTS_KVM_NEED_H
#define VIADUCT_TESTS_KVM_NEED_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* NULL, or why the tests cannot run here. */
static inline const char *lacking(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	const char *why = NULL;

	if (kvm < 0)
		return errno == EACCES ? "no permission on /dev/kvm" : "no /dev/kvm";
	if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) <= 0)
		why = "this KVM has no split irqchip";
	close(kvm);
	return why;
}

#endif
