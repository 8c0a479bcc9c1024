// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/vcpu_state.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "vmm/x86.h"

#define MSR_LIST_MAX 4096u

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_xcrs xcrs;
	struct kvm_lapic_state lapic;
	size_t xsave_size;
	struct kvm_xsave *xsave;
	struct kvm_msrs *msrs;
};

static bool msr_is_hyperv(uint32_t index)
{
	return index >= 0x40000000 && index < 0x40000200;
}

static void msr_list_push(struct kvm_msr_list *l, uint32_t index)
{
	for (uint32_t i = 0; i < l->nmsrs; i++)
		if (l->indices[i] == index)
			return;
	l->indices[l->nmsrs++] = index;
}

int vcpu_state_msrs(int kvm_fd, struct err *e, struct kvm_msr_list **ret)
{
	static const uint32_t fixed[] = {
		0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
	struct kvm_msr_list probe = {0};
	_cleanup_free_ struct kvm_msr_list *l = NULL;
	uint32_t n = 0;

	/* The first call only asks for the number. */
	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &probe) < 0 && errno != E2BIG)
		return err_sys(e, errno, "KVM_GET_MSR_INDEX_LIST");
	if (probe.nmsrs > MSR_LIST_MAX)
		return err_sys(e, E2BIG, "KVM_GET_MSR_INDEX_LIST: %u MSRs", probe.nmsrs);
	l = calloc(1, sizeof(*l) + (probe.nmsrs + ARRAY_SIZE(fixed) + 2 * MTRR_VARIABLE_MAX + 1) *
					   sizeof(l->indices[0]));
	if (!l)
		return err_sys(e, ENOMEM, "MSR list");
	l->nmsrs = probe.nmsrs;
	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, l) < 0)
		return err_sys(e, errno, "KVM_GET_MSR_INDEX_LIST");
	for (uint32_t i = 0; i < l->nmsrs; i++)
		if (!msr_is_hyperv(l->indices[i]))
			l->indices[n++] = l->indices[i];
	l->nmsrs = n;
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		msr_list_push(l, fixed[i]);
	for (uint32_t i = 0; i < 2 * MTRR_VARIABLE_MAX; i++)
		msr_list_push(l, MSR_MTRR_PHYS_BASE0 + i);
	/* It turns the others on: last. */
	msr_list_push(l, MSR_MTRR_DEF_TYPE);
	*ret = ptr_steal(l);
	return 0;
}

/*
 * KVM_GET_MSRS and KVM_SET_MSRS stop at the first MSR they refuse and return how many they did:
 * drop that one and go on behind it. @done of @m are kept at its front.
 */
static int msrs_each(int fd, unsigned long request, struct kvm_msrs *m, uint32_t *ret_done)
{
	size_t size = sizeof(*m) + m->nmsrs * sizeof(m->entries[0]);
	_cleanup_free_ struct kvm_msrs *part = malloc(size);
	uint32_t at = 0, kept = 0;

	if (!part)
		return -ENOMEM;
	while (at < m->nmsrs) {
		uint32_t left = m->nmsrs - at;
		int n;

		memset(part, 0, sizeof(*part));
		part->nmsrs = left;
		memcpy(part->entries, &m->entries[at], left * sizeof(m->entries[0]));
		n = ioctl(fd, request, part);
		if (n < 0)
			return -errno;
		if ((uint32_t)n > left)
			return -EBADMSG;
		memcpy(&m->entries[kept], part->entries, (size_t)n * sizeof(m->entries[0]));
		kept += (uint32_t)n;
		at += (uint32_t)n;
		if (at < m->nmsrs) {
			log_debug("MSR 0x%x: not for this vCPU", m->entries[at].index);
			at++;
		}
	}
	*ret_done = kept;
	return 0;
}

static int msrs_save(int fd, const struct kvm_msr_list *list, struct kvm_msrs **ret)
{
	struct kvm_msrs *m = calloc(1, sizeof(*m) + list->nmsrs * sizeof(m->entries[0]));
	int r;

	if (!m)
		return -ENOMEM;
	*ret = m;
	m->nmsrs = list->nmsrs;
	for (uint32_t i = 0; i < list->nmsrs; i++)
		m->entries[i].index = list->indices[i];
	r = msrs_each(fd, KVM_GET_MSRS, m, &m->nmsrs);
	for (uint32_t i = 0; r == 0 && i < m->nmsrs; i++)
		if (m->entries[i].index == MSR_TSC)
			m->entries[i].data = 0;
	return r;
}

static int msrs_restore(int fd, const struct kvm_msrs *saved)
{
	/* MTRRs off while they change: with a device assigned, KVM (6.1) zaps what each one that is
	 * on covers, and warns in the host's log about the empty range of one with mask 0. */
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} off = {.head = {.nmsrs = 1}, .entry = {.index = MSR_MTRR_DEF_TYPE}};
	size_t size = sizeof(*saved) + saved->nmsrs * sizeof(saved->entries[0]);
	_cleanup_free_ struct kvm_msrs *m = malloc(size);
	uint32_t done;

	if (!m)
		return -ENOMEM;
	memcpy(m, saved, size);
	if (ioctl(fd, KVM_SET_MSRS, &off) < 0)
		log_debug("MTRRs stay on while they are put back: %s", strerror(errno));
	return msrs_each(fd, KVM_SET_MSRS, m, &done);
}

static int xsave_alloc(int fd, struct vcpu_state *s)
{
	int size = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	s->xsave_size = size > (int)sizeof(*s->xsave) ? (size_t)size : sizeof(*s->xsave);
	s->xsave = calloc(1, s->xsave_size);
	return s->xsave ? 0 : -ENOMEM;
}

/* What is one fixed-size struct, in the order it is put back. */
struct part {
	const char *name;
	unsigned long get, set;
	size_t offset;
};

#define PART(what, field)                                                                 \
	{                                                                                 \
#what, KVM_GET_##what, KVM_SET_##what, offsetof(struct vcpu_state, field) \
	}

/* The APIC's base and mode come with SREGS and decide how LAPIC is read. */
static const struct part before_msrs[] = {
	PART(SREGS, sregs),
	PART(LAPIC, lapic),
	PART(REGS, regs),
	PART(XCRS, xcrs),
};

static const struct part after_msrs[] = {
	PART(DEBUGREGS, debugregs),
	PART(VCPU_EVENTS, events),
	PART(MP_STATE, mp),
};

static int parts_do(
	int fd, const struct part *p, size_t n, bool get, struct vcpu_state *s, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (ioctl(fd, get ? p[i].get : p[i].set, (uint8_t *)s + p[i].offset) < 0)
			return err_sys(e, errno, "KVM_%s_%s", get ? "GET" : "SET", p[i].name);
	return 0;
}

int vcpu_state_save(
	int vcpu_fd, const struct kvm_msr_list *list, struct err *e, struct vcpu_state **ret)
{
	struct vcpu_state *s = calloc(1, sizeof(*s));
	unsigned long get;
	int r;

	if (!s)
		return err_sys(e, ENOMEM, "vCPU state");
	r = parts_do(vcpu_fd, before_msrs, ARRAY_SIZE(before_msrs), true, s, e);
	if (r == 0)
		r = parts_do(vcpu_fd, after_msrs, ARRAY_SIZE(after_msrs), true, s, e);
	if (r < 0)
		goto fail;
	r = xsave_alloc(vcpu_fd, s);
	if (r < 0) {
		err_sys(e, -r, "vCPU state");
		goto fail;
	}
	get = s->xsave_size > sizeof(*s->xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;
	if (ioctl(vcpu_fd, get, s->xsave) < 0) {
		r = err_sys(e, errno, "KVM_GET_XSAVE");
		goto fail;
	}
	r = msrs_save(vcpu_fd, list, &s->msrs);
	if (r < 0) {
		err_sys(e, -r, "KVM_GET_MSRS");
		goto fail;
	}
	*ret = s;
	return 0;
fail:
	vcpu_state_free(s);
	return r;
}

int vcpu_state_restore(int vcpu_fd, const struct vcpu_state *saved, struct err *e)
{
	struct vcpu_state s = *saved; /* the ioctls take pointers to data that is not const */
	int r;

	r = parts_do(vcpu_fd, before_msrs, ARRAY_SIZE(before_msrs), false, &s, e);
	if (r < 0)
		return r;
	if (ioctl(vcpu_fd, KVM_SET_XSAVE, s.xsave) < 0)
		return err_sys(e, errno, "KVM_SET_XSAVE");
	r = msrs_restore(vcpu_fd, s.msrs);
	if (r < 0)
		return err_sys(e, -r, "KVM_SET_MSRS");
	return parts_do(vcpu_fd, after_msrs, ARRAY_SIZE(after_msrs), false, &s, e);
}

void vcpu_state_free(struct vcpu_state *s)
{
	if (!s)
		return;
	free(s->xsave);
	free(s->msrs);
	free(s);
}
