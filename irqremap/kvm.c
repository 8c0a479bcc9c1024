// SPDX-License-Identifier: GPL-2.0-or-later
/* The interrupt ioctls of a KVM VM: the only place that makes them. */
#include <errno.h>
#include <sys/ioctl.h>

#include "irqremap/irqremap.h"

static int kvm_call(void *ctx, unsigned long request, const void *arg)
{
	int r;

	do
		r = ioctl((int)(intptr_t)ctx, request, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static int kvm_routes_set(void *ctx, const struct kvm_irq_routing *routes)
{
	return kvm_call(ctx, KVM_SET_GSI_ROUTING, routes);
}

static int kvm_irqfd(void *ctx, int fd, uint32_t gsi, bool assign)
{
	struct kvm_irqfd arg = {
		.fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	return kvm_call(ctx, KVM_IRQFD, &arg);
}

static int kvm_msi_send(void *ctx, const struct irq_msi *m)
{
	struct kvm_msi arg = {
		.address_lo = (uint32_t)m->addr,
		.address_hi = (uint32_t)(m->addr >> 32),
		.data = m->data,
	};
	int r = kvm_call(ctx, KVM_SIGNAL_MSI, &arg);

	/* KVM answers a bare -1, which looks like EPERM, when no vCPU has the destination's id. */
	return r == -EPERM ? 0 : r;
}

struct irq_backend irq_backend_kvm(int vm_fd)
{
	return (struct irq_backend){
		.routes_set = kvm_routes_set,
		.irqfd = kvm_irqfd,
		.msi_send = kvm_msi_send,
		.ctx = (void *)(intptr_t)vm_fd,
	};
}
