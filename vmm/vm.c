// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "irqremap/vtd.h"
#include "vmm/cpuid.h"
#include "vmm/kvmstat.h"
#include "vmm/layout.h"
#include "vmm/vcpu.h"

#define X2APIC_FLAGS (KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

/* Of a memfd, this much gets huge pages before the guest starts. */
#define EAGER_HUGE (512ull << 20)

static const struct {
	int cap;
	const char *name;
} needed[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
	{KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
	{KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
	{KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
	{KVM_CAP_XCRS, "KVM_CAP_XCRS"},
	{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
	{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
	{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
	{KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
	{KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
	{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
	{KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
};

/* ---- creation, in the order of vm_create() ---- */

static int vm_open_kvm(struct vm *vm, struct err *e)
{
	int version;

	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return err_sys(e, errno,
			"/dev/kvm (load kvm_intel or kvm_amd, and turn virtualisation on in the "
			"firmware)");
	if (vm->kvm_fd < 0 && (errno == EACCES || errno == EPERM))
		return err_sys(e, errno, "/dev/kvm (add the user to the group kvm, or be root)");
	if (vm->kvm_fd < 0)
		return err_sys(e, errno, "/dev/kvm");
	version = ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return err_set(e, EOPNOTSUPP, "/dev/kvm: API version %d, not %d", version,
			KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return err_set(e, EOPNOTSUPP,
				"/dev/kvm: this kernel's KVM has no %s: a newer kernel is needed",
				needed[i].name);
	return 0;
}

static int vm_cap(const struct vm *vm, int cap, int fallback)
{
	int r = ioctl(vm->fd, KVM_CHECK_EXTENSION, cap);

	return r > 0 ? r : fallback;
}

static int vm_apic_ids(struct vm *vm, const uint32_t *ids, struct err *e)
{
	int max = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);

	for (unsigned int i = 0; i < vm->cpus; i++) {
		vm->apic_ids[i] = ids ? ids[i] : i;
		if (max > 0 && vm->apic_ids[i] >= (uint32_t)max)
			return err_set(e, EINVAL, "APIC id %u: this host's KVM takes 0 to %d",
				vm->apic_ids[i], max - 1);
		for (unsigned int j = 0; j < i; j++)
			if (vm->apic_ids[j] == vm->apic_ids[i])
				return err_set(e, EINVAL,
					"APIC id %u: vCPUs %u and %u cannot both have it",
					vm->apic_ids[i], j, i);
	}
	return 0;
}

static int vm_check_cpus(struct vm *vm, unsigned int cpus, const uint32_t *apic_ids, struct err *e)
{
	int max = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);

	if (max <= 0)
		max = 4; /* what api.rst says a KVM without the capability has */
	if (cpus < 1 || cpus > (unsigned int)max)
		return err_set(e, EINVAL, "%u vCPUs: this host's KVM takes 1 to %d", cpus, max);
	vm->cpus = cpus;
	vm->apic_ids = calloc(cpus, sizeof(*vm->apic_ids));
	vm->vcpu = calloc(cpus, sizeof(struct vcpu *));
	if (!vm->apic_ids || !vm->vcpu)
		return err_sys(e, ENOMEM, "%u vCPUs", cpus);
	return vm_apic_ids(vm, apic_ids, e);
}

static int vm_open_vm(struct vm *vm, struct err *e)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {IRQ_IOAPIC_PINS}};
	struct kvm_enable_cap x2apic = {.cap = KVM_CAP_X2APIC_API};
	uint64_t identity_map = LAYOUT_IDENTITY_MAP;

	do
		vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return err_sys(e, errno, "KVM_CREATE_VM");
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0)
		return err_sys(e, errno, "KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)LAYOUT_TSS) < 0)
		return err_sys(e, errno, "KVM_SET_TSS_ADDR");
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &split) < 0)
		return err_sys(e, errno, "KVM_CAP_SPLIT_IRQCHIP");
	x2apic.args[0] = (uint64_t)vm_cap(vm, KVM_CAP_X2APIC_API, 0) & X2APIC_FLAGS;
	if (x2apic.args[0] && ioctl(vm->fd, KVM_ENABLE_CAP, &x2apic) < 0)
		return err_sys(e, errno, "KVM_CAP_X2APIC_API");
	return 0;
}

static int slots_listen_add(struct gmem_listener *l, const struct gmem_region *r, struct err *e)
{
	struct vm *vm = container_of(l, struct vm, slot_listener);
	unsigned int slot;
	int ret = slots_add(vm->slots, r->gpa, r->size, r->hva, e, &slot);

	if (ret == 0)
		vm->ram_slot[r->gpa != 0] = slot;
	return ret;
}

static void slots_listen_del(struct gmem_listener *l, const struct gmem_region *r)
{
	struct vm *vm = container_of(l, struct vm, slot_listener);

	slots_del(vm->slots, vm->ram_slot[r->gpa != 0]);
}

static int vm_memory(struct vm *vm, struct err *e)
{
	struct slots_backend be = slots_backend_kvm(vm->fd);
	int r;

	r = slots_create(&be, (unsigned int)vm_cap(vm, KVM_CAP_NR_MEMSLOTS, 32), e, &vm->slots);
	if (r < 0)
		return r;
	vm->slot_listener.add = slots_listen_add;
	vm->slot_listener.del = slots_listen_del;
	/* A booting kernel touches most of this: 27 k faults in 4 KiB pages for Debian's in 256 MiB. */
	(void)gmem_collapse(vm->mem, 0, EAGER_HUGE);
	return gmem_listen(vm->mem, &vm->slot_listener, e);
}

static uint64_t bus_ioapic_read(void *ctx, uint64_t off, unsigned int len)
{
	return ioapic_read(ctx, off, len);
}

static void bus_ioapic_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	ioapic_write(ctx, off, len, val);
}

static int vtd_mem_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	return gmem_read(ctx, gpa, buf, len);
}

static int vtd_mem_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
	return gmem_write(ctx, gpa, buf, len);
}

static uint64_t bus_vtd_read(void *ctx, uint64_t off, unsigned int len)
{
	return vtd_read(ctx, off, len);
}

static void bus_vtd_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	vtd_write(ctx, off, len, val);
}

static int vm_remapping(struct vm *vm, bool dma, struct err *e)
{
	const struct vtd_memory mem = {vtd_mem_read, vtd_mem_write, vm->mem};
	struct bus_region window = {
		.base = LAYOUT_VTD,
		.size = VTD_SIZE,
		.read = bus_vtd_read,
		.write = bus_vtd_write,
		.name = "remapping unit",
	};
	int r;

	if (((uint64_t)vm_cap(vm, KVM_CAP_X2APIC_API, 0) & X2APIC_FLAGS) != X2APIC_FLAGS)
		return err_set(e, EOPNOTSUPP,
			"interrupt remapping: this kernel's KVM has no KVM_CAP_X2APIC_API; use "
			"--irq-remap off, or a newer kernel");
	r = vtd_create(vm->irq, &mem, e, &vm->vtd);
	if (r < 0)
		return r;
	if (dma)
		vtd_dma_offer(vm->vtd);
	window.ctx = vm->vtd;
	return bus_add(vm->mmio, &window, e);
}

static int vm_interrupts(struct vm *vm, const struct vm_config *cfg, struct err *e)
{
	struct irq_backend be = irq_backend_kvm(vm->fd);
	struct bus_region window = {
		.base = IOAPIC_BASE,
		.size = IOAPIC_SIZE,
		.read = bus_ioapic_read,
		.write = bus_ioapic_write,
		.name = "IOAPIC",
	};
	int r;

	r = irq_router_create(
		&be, (unsigned int)vm_cap(vm, KVM_CAP_IRQ_ROUTING, 1024), e, &vm->irq);
	if (r < 0)
		return r;
	r = cfg->irq_remap ? vm_remapping(vm, cfg->dma_remap, e) : 0;
	if (r < 0)
		return r;
	r = ioapic_create(vm->irq, LAYOUT_RID_IOAPIC, e, &vm->ioapic);
	if (r < 0)
		return r;
	r = irq_lines_create(vm->ioapic, e, &vm->lines);
	if (r < 0)
		return r;
	window.ctx = vm->ioapic;
	return bus_add(vm->mmio, &window, e);
}

static int vm_pci(struct vm *vm, unsigned int phys_bits, struct err *e)
{
	struct pci_root_config cfg;

	vm->pci_mmio32 =
		(struct range){LAYOUT_PCI_MMIO32, LAYOUT_PCI_MMIO32 + LAYOUT_PCI_MMIO32_SIZE};
	vm->pci_pio = (struct range){LAYOUT_PCI_PIO, LAYOUT_PCI_PIO + LAYOUT_PCI_PIO_SIZE};
	if (gmem_end(vm->mem) > 1ull << phys_bits)
		return err_set(e, EINVAL,
			"guest memory ends at 0x%" PRIx64 ", a guest here has %u address bits",
			gmem_end(vm->mem), phys_bits);
	if (!layout_pci_mmio64(gmem_end(vm->mem), phys_bits, &vm->pci_mmio64))
		log_debug("no room for a 64-bit PCI window in %u address bits", phys_bits);
	cfg = (struct pci_root_config){
		.mmio = vm->mmio,
		.pio = vm->pio,
		.vtd = vm->vtd,
		.mmio32 = vm->pci_mmio32,
		.mmio64 = vm->pci_mmio64,
		.pio_window = vm->pci_pio,
	};
	return pci_root_create(&cfg, e, &vm->pci);
}

static int vm_vcpus(struct vm *vm, const struct kvm_cpuid2 *host, struct err *e)
{
	_cleanup_free_ struct kvm_msr_list *msrs = NULL;
	struct vcpu_config cfg = {
		.cpuid = {.cpus = vm->cpus,
			.tsc_deadline = vm_cap(vm, KVM_CAP_TSC_DEADLINE_TIMER, 0)},
		.host = host,
	};
	int size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0), r;

	if (size < (int)sizeof(struct kvm_run))
		return err_set(e, EOPNOTSUPP, "KVM_GET_VCPU_MMAP_SIZE: %d", size);
	cfg.run_size = (size_t)size;
	r = vcpu_state_msrs(vm->kvm_fd, e, &msrs);
	cfg.msrs = msrs;
	for (unsigned int i = 0; r == 0 && i < vm->cpus; i++)
		r = vcpu_create(vm, i, &cfg, e, &vm->vcpu[i]);
	return r;
}

static int vm_build(struct vm *vm, const struct vm_config *cfg, struct err *e)
{
	_cleanup_free_ struct kvm_cpuid2 *host = NULL;
	int r;

	vm->name = strdup(cfg->name ? cfg->name : "guest");
	if (!vm->name)
		return err_sys(e, ENOMEM, "VM");
	vm->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->end_fd < 0)
		return err_sys(e, errno, "eventfd");
	r = vm_open_kvm(vm, e);
	if (r < 0)
		return r;
	r = vm_check_cpus(vm, cfg->cpus, cfg->apic_ids, e);
	if (r < 0)
		return r;
	r = gmem_create(&cfg->mem, e, &vm->mem);
	if (r < 0)
		return r;
	r = vm_open_vm(vm, e);
	if (r < 0)
		return r;
	r = vm_memory(vm, e);
	if (r < 0)
		return r;
	r = bus_create("mmio", e, &vm->mmio);
	if (r < 0)
		return r;
	r = bus_create("pio", e, &vm->pio);
	if (r < 0)
		return r;
	r = vm_interrupts(vm, cfg, e);
	if (r < 0)
		return r;
	r = cpuid_supported(vm->kvm_fd, e, &host);
	if (r < 0)
		return r;
	r = vm_pci(vm, cpuid_phys_bits(host), e);
	if (r < 0)
		return r;
	return vm_vcpus(vm, host, e);
}

int vm_create(const struct vm_config *cfg, struct err *e, struct vm **ret)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return err_sys(e, ENOMEM, "VM");
	vm->kvm_fd = vm->fd = vm->end_fd = vm->vfio_fd = -1;
	pthread_mutex_init(&vm->end_lock, NULL);
	r = vm_build(vm, cfg, e);
	if (r < 0) {
		vm_destroy(vm);
		return r;
	}
	*ret = vm;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	if (vm->vcpu)
		vm_join(vm);
	pci_root_destroy(vm->pci);
	for (unsigned int i = vm->cpus; vm->vcpu && i-- > 0;)
		vcpu_destroy(vm->vcpu[i]);
	irq_lines_destroy(vm->lines);
	ioapic_destroy(vm->ioapic);
	vtd_destroy(vm->vtd);
	irq_router_destroy(vm->irq);
	bus_destroy(vm->pio);
	bus_destroy(vm->mmio);
	gmem_destroy(vm->mem);
	slots_destroy(vm->slots);
	fd_close(vm->vfio_fd);
	fd_close(vm->fd);
	fd_close(vm->kvm_fd);
	fd_close(vm->end_fd);
	pthread_mutex_destroy(&vm->end_lock);
	free(vm->vcpu);
	free(vm->apic_ids);
	free(vm->name);
	free(vm);
}

/* ---- running ---- */

int vm_start(struct vm *vm, const struct boot_entry *entry, struct err *e)
{
	int r = vcpu_enter(vm->vcpu[0], entry, e);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < vm->cpus; i++) {
		r = vcpu_start(vm->vcpu[i], e);
		if (r < 0) {
			vm_stop(vm, VM_END_ERROR, "a vCPU thread could not be started");
			vm_join(vm);
			return r;
		}
	}
	return 0;
}

void vm_stop(struct vm *vm, enum vm_end why, const char *text)
{
	pthread_mutex_lock(&vm->end_lock);
	if (atomic_load_explicit(&vm->end, memory_order_relaxed) == VM_END_NONE) {
		snprintf(vm->end_text, sizeof(vm->end_text), "%s", text ? text : "");
		atomic_store_explicit(&vm->end, why, memory_order_release);
		if (eventfd_write(vm->end_fd, 1) < 0)
			log_debug("%s: end event: %s", vm->name, strerror(errno));
	}
	pthread_mutex_unlock(&vm->end_lock);
}

int vm_end_fd(const struct vm *vm)
{
	return vm->end_fd;
}

enum vm_end vm_join(struct vm *vm)
{
	vm_stop(vm, VM_END_STOPPED, "stopped");
	for (unsigned int i = 0; i < vm->cpus; i++)
		if (vm->vcpu[i])
			vcpu_kick(vm->vcpu[i]);
	for (unsigned int i = 0; i < vm->cpus; i++)
		if (vm->vcpu[i])
			vcpu_join(vm->vcpu[i]);
	return (enum vm_end)atomic_load_explicit(&vm->end, memory_order_acquire);
}

const char *vm_end_text(const struct vm *vm)
{
	return vm->end_text;
}

int vm_reset(struct vm *vm, struct err *e)
{
	eventfd_t drained;

	for (unsigned int i = 0; i < vm->cpus; i++) {
		int r = vcpu_reset(vm->vcpu[i], e);

		if (r < 0)
			return r;
	}
	ioapic_reset(vm->ioapic);
	if (vm->vtd)
		vtd_reset(vm->vtd);
	pci_root_reset(vm->pci);
	pthread_mutex_lock(&vm->end_lock);
	vm->end_text[0] = '\0';
	(void)eventfd_read(vm->end_fd, &drained);
	atomic_store_explicit(&vm->end, VM_END_NONE, memory_order_release);
	pthread_mutex_unlock(&vm->end_lock);
	return 0;
}

/* ---- counters ---- */

static const char *const exit_names[] = {
	[KVM_EXIT_UNKNOWN] = "unknown",
	[KVM_EXIT_EXCEPTION] = "exception",
	[KVM_EXIT_IO] = "io",
	[KVM_EXIT_HYPERCALL] = "hypercall",
	[KVM_EXIT_DEBUG] = "debug",
	[KVM_EXIT_HLT] = "hlt",
	[KVM_EXIT_MMIO] = "mmio",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "irq-window-open",
	[KVM_EXIT_SHUTDOWN] = "shutdown",
	[KVM_EXIT_FAIL_ENTRY] = "fail-entry",
	[KVM_EXIT_INTR] = "intr",
	[KVM_EXIT_SET_TPR] = "set-tpr",
	[KVM_EXIT_TPR_ACCESS] = "tpr-access",
	[KVM_EXIT_NMI] = "nmi",
	[KVM_EXIT_INTERNAL_ERROR] = "internal-error",
	[KVM_EXIT_SYSTEM_EVENT] = "system-event",
	[KVM_EXIT_IOAPIC_EOI] = "ioapic-eoi",
	[KVM_EXIT_HYPERV] = "hyperv",
	[KVM_EXIT_X86_RDMSR] = "rdmsr",
	[KVM_EXIT_X86_WRMSR] = "wrmsr",
	[KVM_EXIT_DIRTY_RING_FULL] = "dirty-ring-full",
	[KVM_EXIT_X86_BUS_LOCK] = "bus-lock",
};

/* The numbers without a name, so that every reason has a string that lives for ever. */
#define N(n) "exit-" #n
static const char *const exit_numbers[VM_EXIT_REASONS] = {
	N(0),
	N(1),
	N(2),
	N(3),
	N(4),
	N(5),
	N(6),
	N(7),
	N(8),
	N(9),
	N(10),
	N(11),
	N(12),
	N(13),
	N(14),
	N(15),
	N(16),
	N(17),
	N(18),
	N(19),
	N(20),
	N(21),
	N(22),
	N(23),
	N(24),
	N(25),
	N(26),
	N(27),
	N(28),
	N(29),
	N(30),
	N(31),
	N(32),
	N(33),
	N(34),
	N(35),
	N(36),
	N(37),
	N(38),
	N(39),
	N(40),
	N(41),
	N(42),
	N(43),
	N(44),
	N(45),
	N(46),
	N(47),
	N(48),
	N(49),
	N(50),
	N(51),
	N(52),
	N(53),
	N(54),
	N(55),
	N(56),
	N(57),
	N(58),
	N(59),
	N(60),
	N(61),
	N(62),
	N(63),
};
#undef N

const char *vm_exit_name(unsigned int reason)
{
	if (reason < ARRAY_SIZE(exit_names) && exit_names[reason])
		return exit_names[reason];
	return reason < VM_EXIT_REASONS ? exit_numbers[reason] : "exit-other";
}

void vm_stats(const struct vm *vm, struct vm_stats *ret)
{
	struct vm_stats s = {0};

	for (unsigned int i = 0; i < vm->cpus; i++) {
		for (unsigned int k = 0; k < VM_EXIT_REASONS; k++) {
			uint64_t n =
				atomic_load_explicit(&vm->vcpu[i]->exits[k], memory_order_relaxed);

			s.exits[k] += n;
			s.total += n;
		}
	}
	*ret = s;
}

/* Add the statistic of one VM or vCPU to @sum. */
static int kvm_stat_add(int stats_fd, const char *name, uint64_t *sum)
{
	uint64_t n;
	int r = stats_fd < 0 ? -ENOENT : kvmstat_read(stats_fd, name, &n);

	if (r == 0)
		*sum += n;
	return r;
}

int vm_kvm_stat(const struct vm *vm, const char *name, uint64_t *ret)
{
	_cleanup_fd_ int stats = ioctl(vm->fd, KVM_GET_STATS_FD, NULL);
	uint64_t sum = 0;
	bool found = kvm_stat_add(stats, name, &sum) == 0;

	for (unsigned int i = 0; i < vm->cpus; i++)
		if (kvm_stat_add(vm->vcpu[i]->stats_fd, name, &sum) == 0)
			found = true;
	if (!found)
		return -ENOENT;
	*ret = sum;
	return 0;
}

/* ---- VFIO ---- */

int vm_vfio_group(struct vm *vm, int group_fd, bool add, struct err *e)
{
	int32_t fd = group_fd;
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_GROUP,
		.attr = add ? KVM_DEV_VFIO_GROUP_ADD : KVM_DEV_VFIO_GROUP_DEL,
		.addr = (uintptr_t)&fd,
	};

	if (vm->vfio_fd < 0) {
		struct kvm_create_device d = {.type = KVM_DEV_TYPE_VFIO};

		if (ioctl(vm->fd, KVM_CREATE_DEVICE, &d) < 0) {
			/* Without it KVM only lacks the word that DMA may be non-coherent. */
			log_debug("%s: KVM has no VFIO device: %s", vm->name, strerror(errno));
			return 0;
		}
		vm->vfio_fd = (int)d.fd;
	}
	if (ioctl(vm->vfio_fd, KVM_SET_DEVICE_ATTR, &attr) < 0)
		return err_sys(e, errno, "%s: tell KVM %s a VFIO group", vm->name,
			add ? "of" : "to forget");
	vm->vfio_told |= add;
	return 0;
}
