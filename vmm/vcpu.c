// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "vmm/x86.h"

/* The rest of a split MMIO access and nothing more: a bound for what is left to complete. */
#define COMPLETE_MAX 64u

static int vcpu_cpuid(struct vcpu *v, const struct vcpu_config *cfg, struct err *e)
{
	struct cpuid_config c = cfg->cpuid;
	_cleanup_free_ struct kvm_cpuid2 *cpuid = NULL;
	int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0), r;

	c.tsc_khz = khz > 0 ? (uint32_t)khz : 0;
	r = cpuid_guest(cfg->host, &c, v->vm->apic_ids[v->id], e, &cpuid);
	if (r < 0)
		return r;
	if (ioctl(v->fd, KVM_SET_CPUID2, cpuid) < 0)
		return err_sys(e, errno, "vCPU %u: KVM_SET_CPUID2", v->id);
	return 0;
}

/*
 * Firmware of a machine with APIC ids above 254 hands all processors over in x2APIC mode: an operating
 * system does not believe in the others' ids else (Intel SDM vol. 3 §10.12.8.1).
 */
static int vcpu_x2apic(struct vcpu *v, struct err *e)
{
	struct kvm_sregs s;
	bool high = false;

	for (unsigned int i = 0; i < v->vm->cpus; i++)
		high |= v->vm->apic_ids[i] >= APIC_ID_BROADCAST;
	if (!high)
		return 0;
	if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
		return err_sys(e, errno, "vCPU %u: KVM_GET_SREGS", v->id);
	s.apic_base |= APIC_BASE_X2APIC;
	if (ioctl(v->fd, KVM_SET_SREGS, &s) < 0)
		return err_sys(e, errno, "vCPU %u: x2APIC mode for its id %u (KVM_SET_SREGS)",
			v->id, v->vm->apic_ids[v->id]);
	return 0;
}

/* What firmware would have left in place of the reset values. */
static int vcpu_firmware(struct vcpu *v, struct err *e)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[2];
	} msrs = {
		.head.nmsrs = 2,
		.entry = {{.index = MSR_MTRR_DEF_TYPE, .data = MTRR_DEF_ENABLE | MTRR_TYPE_WB},
			{.index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING}},
	};
	struct kvm_lapic_state lapic;

	if (ioctl(v->fd, KVM_SET_MSRS, &msrs) < 2)
		log_debug("vCPU %u: this KVM keeps its own MTRR or MISC_ENABLE", v->id);
	if (ioctl(v->fd, KVM_GET_LAPIC, &lapic) < 0)
		return err_sys(e, errno, "vCPU %u: KVM_GET_LAPIC", v->id);
	le_store(lapic.regs + LAPIC_LVT0, 4, LVT_EXTINT | LVT_MASKED); /* there is no PIC */
	le_store(lapic.regs + LAPIC_LVT1, 4, LVT_NMI);
	if (ioctl(v->fd, KVM_SET_LAPIC, &lapic) < 0)
		return err_sys(e, errno, "vCPU %u: KVM_SET_LAPIC", v->id);
	return 0;
}

int vcpu_create(struct vm *vm, unsigned int id, const struct vcpu_config *cfg, struct err *e,
	struct vcpu **ret)
{
	struct vcpu *v = calloc(1, sizeof(*v));
	void *run;
	int r;

	if (!v)
		return err_sys(e, ENOMEM, "vCPU %u", id);
	v->vm = vm;
	v->id = id;
	v->stats_fd = -1;
	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)vm->apic_ids[id]);
	if (v->fd < 0) {
		r = err_sys(e, errno, "vCPU %u: KVM_CREATE_VCPU", id);
		goto fail;
	}
	run = mmap(NULL, cfg->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED) {
		r = err_sys(e, errno, "vCPU %u: map its run page", id);
		goto fail;
	}
	v->run = run;
	v->run_size = cfg->run_size;
	v->stats_fd = ioctl(v->fd, KVM_GET_STATS_FD, NULL);
	r = vcpu_cpuid(v, cfg, e);
	if (r < 0)
		goto fail;
	r = vcpu_x2apic(v, e);
	if (r < 0)
		goto fail;
	r = vcpu_firmware(v, e);
	if (r < 0)
		goto fail;
	r = vcpu_state_save(v->fd, cfg->msrs, e, &v->power_on);
	if (r < 0) {
		err_wrap(e, r, "vCPU %u", id);
		goto fail;
	}
	*ret = v;
	return 0;
fail:
	vcpu_destroy(v);
	return r;
}

void vcpu_destroy(struct vcpu *v)
{
	if (!v)
		return;
	vcpu_state_free(v->power_on);
	if (v->run)
		munmap(v->run, v->run_size);
	fd_close(v->stats_fd);
	fd_close(v->fd);
	free(v);
}

int vcpu_reset(struct vcpu *v, struct err *e)
{
	return err_wrap(e, vcpu_state_restore(v->fd, v->power_on, e), "vCPU %u", v->id);
}

/* ---- entry ---- */

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment){
		.limit = UINT32_MAX,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = long_mode && type == SEG_CODE,
		.db = !(long_mode && type == SEG_CODE),
	};
}

int vcpu_enter(struct vcpu *v, const struct boot_entry *entry, struct err *e)
{
	bool long64 = entry->mode == BOOT_LONG64;
	struct kvm_regs regs = {
		.rip = entry->rip,
		.rsi = entry->rsi,
		.rbx = entry->rbx,
		.rflags = RFLAGS_FIXED,
	};
	struct kvm_sregs s;

	if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
		return err_sys(e, errno, "vCPU %u: KVM_GET_SREGS", v->id);
	s.cs = segment(0x10, SEG_CODE, long64);
	s.ds = segment(0x18, SEG_DATA, long64);
	s.es = s.fs = s.gs = s.ss = s.ds;
	/* VMX wants a usable TR. */
	s.tr = (struct kvm_segment){.limit = 0x67, .type = SEG_TSS, .present = 1};
	s.gdt.base = entry->gdt_base;
	s.gdt.limit = entry->gdt_limit;
	s.idt.base = 0;
	s.idt.limit = 0;
	if (long64) {
		s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
		s.cr3 = entry->cr3;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
	} else {
		s.cr0 = CR0_PE | CR0_ET;
		s.cr4 = 0;
		s.efer = 0;
	}
	if (ioctl(v->fd, KVM_SET_SREGS, &s) < 0)
		return err_sys(e, errno, "vCPU %u: KVM_SET_SREGS", v->id);
	if (ioctl(v->fd, KVM_SET_REGS, &regs) < 0)
		return err_sys(e, errno, "vCPU %u: KVM_SET_REGS", v->id);
	return 0;
}

/* ---- exits ---- */

static uint64_t vcpu_rip(struct vcpu *v)
{
	struct kvm_regs regs = {0};

	(void)ioctl(v->fd, KVM_GET_REGS, &regs);
	return regs.rip;
}

static void vcpu_stop(struct vcpu *v, enum vm_end why, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void vcpu_stop(struct vcpu *v, enum vm_end why, const char *fmt, ...)
{
	char what[128], text[192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "vCPU %u: %s, rip 0x%" PRIx64, v->id, what, vcpu_rip(v));
	vm_stop(v->vm, why, text);
}

static void exit_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int size = run->io.size;

	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(v->vm->pio, run->io.port, size, le_load(data, size));
		else
			le_store(data, size, bus_read(v->vm->pio, run->io.port, size));
	}
}

/* An access that straddles a page reaches us in pieces of any size: cut to what buses take. */
static void exit_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint64_t gpa = run->mmio.phys_addr;
	uint8_t *data = run->mmio.data;
	uint32_t left = run->mmio.len <= sizeof(run->mmio.data) ? run->mmio.len : 0;

	while (left) {
		unsigned int n = 8;

		while (n > left || (n != left && gpa % n))
			n /= 2;
		if (run->mmio.is_write)
			bus_write(v->vm->mmio, gpa, n, le_load(data, n));
		else
			le_store(data, n, bus_read(v->vm->mmio, gpa, n));
		gpa += n;
		data += n;
		left -= n;
	}
}

static void exit_system_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_stop(v->vm, VM_END_POWEROFF, "the guest powered off");
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_stop(v->vm, VM_END_REBOOT, "the guest asked for a reset");
		break;
	case KVM_SYSTEM_EVENT_CRASH:
		vcpu_stop(v, VM_END_CRASH, "the guest reported a crash");
		break;
	default:
		vcpu_stop(v, VM_END_ERROR, "KVM system event %u", v->run->system_event.type);
		break;
	}
}

static void exit_internal_error(struct vcpu *v)
{
	const struct kvm_run *run = v->run;

	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
		vcpu_stop(v, VM_END_ERROR, "KVM cannot emulate the guest's instruction");
	else
		vcpu_stop(v, VM_END_ERROR, "KVM internal error %u", run->internal.suberror);
}

static void vcpu_exit(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO: exit_io(v); break;
	case KVM_EXIT_MMIO: exit_mmio(v); break;
	case KVM_EXIT_IOAPIC_EOI: ioapic_eoi(v->vm->ioapic, run->eoi.vector); break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_HLT: /* the LAPIC is in the kernel: nothing for us to wait for */ break;
	case KVM_EXIT_SHUTDOWN: vcpu_stop(v, VM_END_CRASH, "triple fault"); break;
	case KVM_EXIT_SYSTEM_EVENT: exit_system_event(v); break;
	case KVM_EXIT_FAIL_ENTRY:
		vcpu_stop(v, VM_END_ERROR,
			"the processor refused to enter the guest, hardware reason 0x%llx",
			run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR: exit_internal_error(v); break;
	default:
		vcpu_stop(v, VM_END_ERROR, "unexpected KVM exit %s (%u)",
			vm_exit_name(run->exit_reason), run->exit_reason);
		break;
	}
}

/* ---- the thread ---- */

static void vcpu_count(struct vcpu *v, uint32_t reason)
{
	_Atomic uint64_t *n = &v->exits[reason < VM_EXIT_REASONS ? reason : 0];

	atomic_store_explicit(
		n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

/*
 * KVM finishes an I/O instruction at the next KVM_RUN. A vCPU that stopped in the middle must do so
 * now, or it would write its old answer into the registers vm_reset() has put back.
 */
static void vcpu_complete(struct vcpu *v)
{
	for (unsigned int i = 0; i < COMPLETE_MAX; i++) {
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		if (ioctl(v->fd, KVM_RUN, 0) < 0)
			break;
	}
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct vm *vm = v->vm;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", v->id);
	pthread_setname_np(pthread_self(), name);
	while (atomic_load_explicit(&vm->end, memory_order_acquire) == VM_END_NONE) {
		if (ioctl(v->fd, KVM_RUN, 0) == 0) {
			vcpu_count(v, v->run->exit_reason);
			vcpu_exit(v);
		} else if (errno == EINTR) {
			vcpu_count(v, KVM_EXIT_INTR);
		} else if (errno != EAGAIN) { /* EAGAIN: a waiting vCPU got its SIPI */
			vcpu_stop(v, VM_END_ERROR, "KVM_RUN: %s", strerror(errno));
		}
	}
	vcpu_complete(v);
	return NULL;
}

static void kick_handler(int sig)
{
}

int vcpu_start(struct vcpu *v, struct err *e)
{
	struct sigaction sa = {.sa_handler = kick_handler};
	pthread_attr_t attr;
	sigset_t all;
	int r;

	/* Only the kick reaches a vCPU thread; the process's signals are for the control thread. */
	sigfillset(&all);
	sigdelset(&all, VCPU_KICK_SIGNAL);
	sigemptyset(&sa.sa_mask);
	if (sigaction(VCPU_KICK_SIGNAL, &sa, NULL) < 0)
		return err_sys(e, errno, "vCPU %u: kick signal", v->id);
	v->run->immediate_exit = 0;
	pthread_attr_init(&attr);
	pthread_attr_setsigmask_np(&attr, &all);
	/* Before the thread, which may be asked to kick itself. */
	v->started = true;
	r = pthread_create(&v->thread, &attr, vcpu_thread, v);
	pthread_attr_destroy(&attr);
	if (r == 0)
		return 0;
	v->started = false;
	return err_sys(e, r, "vCPU %u: thread", v->id);
}

void vcpu_kick(struct vcpu *v)
{
	if (!v->started)
		return;
	/*
	 * In this order: a thread on its way into KVM_RUN sees the flag there, one that is past that
	 * check has the signal pending, which ends KVM_RUN too.
	 */
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(v->thread, VCPU_KICK_SIGNAL);
}

void vcpu_join(struct vcpu *v)
{
	if (!v->started)
		return;
	pthread_join(v->thread, NULL);
	v->started = false;
}
