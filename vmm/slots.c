// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/slots.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/log.h"
#include "common/range.h"

struct slot {
	struct range gpa; /* empty: the slot is free */
};

struct slots {
	struct slots_backend be;
	pthread_mutex_t lock;
	unsigned int max, n; /* n: entries of v, free ones included */
	struct slot *v;
};

static int slots_kvm_set(void *ctx, const struct kvm_userspace_memory_region *r)
{
	return ioctl((int)(intptr_t)ctx, KVM_SET_USER_MEMORY_REGION, r) < 0 ? -errno : 0;
}

struct slots_backend slots_backend_kvm(int vm_fd)
{
	return (struct slots_backend){.set = slots_kvm_set, .ctx = (void *)(intptr_t)vm_fd};
}

int slots_create(
	const struct slots_backend *be, unsigned int max, struct err *e, struct slots **ret)
{
	struct slots *s = calloc(1, sizeof(*s));

	if (!s)
		return err_sys(e, ENOMEM, "KVM memory slots");
	s->be = *be;
	s->max = max;
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void slots_destroy(struct slots *s)
{
	if (!s)
		return;
	for (unsigned int i = s->n; i-- > 0;)
		slots_del(s, i);
	pthread_mutex_destroy(&s->lock);
	free(s->v);
	free(s);
}

/* Index of a free entry, growing the array when there is none; -ENOSPC, -ENOMEM. */
static int slots_free_index(struct slots *s)
{
	struct slot *v;

	for (unsigned int i = 0; i < s->n; i++)
		if (range_size(s->v[i].gpa) == 0)
			return (int)i;
	if (s->n >= s->max)
		return -ENOSPC;
	v = realloc(s->v, (s->n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	s->v = v;
	v[s->n] = (struct slot){0};
	return (int)s->n++;
}

static int slots_add_locked(struct slots *s, struct range want, void *hva, struct err *e)
{
	struct kvm_userspace_memory_region r;
	int i, ret;

	for (unsigned int k = 0; k < s->n; k++)
		if (range_overlaps(s->v[k].gpa, want))
			return err_set(e, EEXIST,
				"KVM memory slot at gpa 0x%" PRIx64 "-0x%" PRIx64
				" overlaps slot %u at 0x%" PRIx64 "-0x%" PRIx64,
				want.start, want.end, k, s->v[k].gpa.start, s->v[k].gpa.end);
	i = slots_free_index(s);
	if (i == -ENOSPC)
		return err_set(e, ENOSPC,
			"KVM memory slot at gpa 0x%" PRIx64 ": all %u slots of this KVM are used",
			want.start, s->max);
	if (i < 0)
		return err_sys(e, -i, "KVM memory slot at gpa 0x%" PRIx64, want.start);
	r = (struct kvm_userspace_memory_region){
		.slot = (uint32_t)i,
		.guest_phys_addr = want.start,
		.memory_size = range_size(want),
		.userspace_addr = (uintptr_t)hva,
	};
	ret = s->be.set(s->be.ctx, &r);
	if (ret < 0)
		return err_sys(e, -ret,
			"KVM_SET_USER_MEMORY_REGION slot %d gpa 0x%" PRIx64 " size 0x%" PRIx64, i,
			want.start, range_size(want));
	s->v[i].gpa = want;
	return i;
}

int slots_add(struct slots *s, uint64_t gpa, uint64_t size, void *hva, struct err *e,
	unsigned int *ret_slot)
{
	uint64_t mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1;
	struct range want;
	int r;

	if (size == 0 || ((gpa | size | (uintptr_t)hva) & mask) || !range_make(gpa, size, &want))
		return err_set(e, EINVAL,
			"KVM memory slot at gpa 0x%" PRIx64 " size 0x%" PRIx64
			": not whole pages of %" PRIu64 " bytes",
			gpa, size, mask + 1);
	pthread_mutex_lock(&s->lock);
	r = slots_add_locked(s, want, hva, e);
	pthread_mutex_unlock(&s->lock);
	if (r < 0)
		return r;
	*ret_slot = (unsigned int)r;
	return 0;
}

void slots_del(struct slots *s, unsigned int slot)
{
	struct kvm_userspace_memory_region r = {.slot = slot};
	int ret;

	pthread_mutex_lock(&s->lock);
	if (slot < s->n && range_size(s->v[slot].gpa) != 0) {
		r.guest_phys_addr = s->v[slot].gpa.start;
		ret = s->be.set(s->be.ctx, &r);
		if (ret < 0)
			log_debug("KVM memory slot %u: delete: errno %d", slot, -ret);
		s->v[slot].gpa = (struct range){0};
	}
	pthread_mutex_unlock(&s->lock);
}
