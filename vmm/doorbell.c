// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/doorbell.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/log.h"

static int doorbell_kvm_set(void *ctx, const struct kvm_ioeventfd *io)
{
	struct kvm_ioeventfd copy = *io;

	return ioctl((int)(intptr_t)ctx, KVM_IOEVENTFD, &copy) < 0 ? -errno : 0;
}

struct doorbell_backend doorbell_backend_kvm(int vm_fd)
{
	return (struct doorbell_backend){
		.set = doorbell_kvm_set,
		.ctx = (void *)(intptr_t)vm_fd,
		.any_length = ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0,
	};
}

static struct kvm_ioeventfd doorbell_kvm(
	const struct doorbell_backend *be, const struct doorbell *d, bool add)
{
	return (struct kvm_ioeventfd){
		.addr = d->gpa,
		.len = d->len || be->any_length ? d->len : 2,
		.datamatch = d->match ? d->data : 0,
		.fd = d->fd,
		.flags = (d->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) |
			 (add ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};
}

int doorbell_add(const struct doorbell_backend *be, const struct doorbell *d, struct err *e)
{
	struct kvm_ioeventfd io = doorbell_kvm(be, d, true);
	int r;

	if ((d->len & (d->len - 1)) || d->len > 8 || (d->match && !d->len) || d->fd < 0)
		return err_set(e, EINVAL, "doorbell at 0x%" PRIx64 " of %u bytes", d->gpa, d->len);
	r = be->set(be->ctx, &io);
	if (r < 0)
		return err_sys(e, -r, "KVM_IOEVENTFD at 0x%" PRIx64, d->gpa);
	return 0;
}

void doorbell_del(const struct doorbell_backend *be, const struct doorbell *d)
{
	struct kvm_ioeventfd io = doorbell_kvm(be, d, false);
	int r = be->set(be->ctx, &io);

	if (r < 0)
		log_debug("KVM_IOEVENTFD at 0x%" PRIx64 ": take away: %s", d->gpa, strerror(-r));
}
