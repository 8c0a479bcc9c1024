// SPDX-License-Identifier: GPL-2.0-or-later
/* Building a guest: one function in plain order, and its reverse. */
#include "cli/run.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vmm/acpi.h"
#include "vmm/boot.h"
#include "vmm/layout.h"
#include "vmm/mptable.h"

int64_t run_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void uart_out(void *ctx, const uint8_t *buf, size_t len)
{
	struct guest *g = ctx;

	console_write(g->console, buf, len);
}

static void uart_room(void *ctx)
{
	struct guest *g = ctx;
	uint64_t one = 1;

	(void)!write(g->room_fd, &one, sizeof(one));
}

static void uart_irq(void *ctx, bool level)
{
	struct guest *g = ctx;

	ioapic_set(g->vm->ioapic, LAYOUT_GSI_COM1, level);
}

static void pm_event(void *ctx, enum pm_event ev)
{
	struct guest *g = ctx;

	switch (ev) {
	case PM_POWEROFF: vm_stop(g->vm, VM_END_POWEROFF, NULL); break;
	case PM_RESET: vm_stop(g->vm, VM_END_REBOOT, NULL); break;
	}
}

/*
 * The address space for @b: one that is there, or a new one. When the guest's tables may block one device
 * and let another through, each IOMMU group has its own; the members of a group cannot be told apart.
 */
static int guest_ioas(
	struct guest *g, struct bdf b, char (*group)[64], struct err *e, unsigned int *ret)
{
	char path[160], name[64] = "";
	int r;

	if (g->opt->dma_remap)
		(void)sysfs_link_name(&g->sysfs,
			sysfs_pci_path(b, "iommu_group", path, sizeof(path)), name, sizeof(name));
	for (unsigned int i = 0; i < g->n_ioas; i++)
		if (!strcmp(group[i], name)) {
			*ret = i;
			return 0;
		}
	r = ioas_create_type1(&vfio_sys_linux, e, &g->ioas[g->n_ioas]);
	if (r < 0)
		return r;
	memcpy(group[g->n_ioas], name, sizeof(name));
	*ret = g->n_ioas++;
	return 0;
}

const struct vfm_remapping *guest_host_irqs(struct guest *g, struct err *e)
{
	if (!g->host_irqs_read)
		g->host_irqs_read = run_remapping_read(&g->host_irqs, e) == 0;
	return g->host_irqs_read ? &g->host_irqs : NULL;
}

/* What must hold before a device is touched; then they are ours. */
static int guest_lease(struct guest *g, struct bdf *bdf, struct err *e)
{
	const struct run_options *opt = g->opt;
	const struct run_trust trust = {
		.name = opt->name,
		.unsafe_interrupts = opt->unsafe_interrupts,
		.unsafe_isolation = opt->unsafe_isolation,
		.warnings = stderr,
	};
	const struct vfm_remapping *irqs;
	int r = ioas_memlock_check(opt->memory, e);

	if (r < 0)
		return r;
	irqs = guest_host_irqs(g, e);
	if (!irqs)
		return -ENOMEM;
	r = run_remapping_check(&trust, irqs, e);
	if (r < 0)
		return r;
	return run_leases_take(opt->assign, opt->n_assign, &trust, bdf, e, &g->leases);
}

void guest_power_button(struct guest *g)
{
	/* An edge for the generic event device, vmm/dsdt.asl. */
	ioapic_set(g->vm->ioapic, LAYOUT_GSI_BUTTON, true);
	ioapic_set(g->vm->ioapic, LAYOUT_GSI_BUTTON, false);
}

static int guest_assign(struct guest *g, struct err *e)
{
	const struct run_options *opt = g->opt;
	char group[RUN_MAX_ASSIGN][64];
	unsigned int space[RUN_MAX_ASSIGN];
	struct bdf bdf[RUN_MAX_ASSIGN];
	int64_t t;
	int r;

	if (!opt->n_assign)
		return 0;
	r = guest_lease(g, bdf, e);
	if (r < 0)
		return r;
	t = run_now();
	for (unsigned int i = 0; i < opt->n_assign; i++) {
		r = guest_ioas(g, bdf[i], group, e, &space[i]);
		if (r == 0)
			r = assigned_add(g->vm, g->ioas[space[i]], &g->sysfs, bdf[i], -1, e,
				&g->assigned[i]);
		if (r < 0)
			return r;
	}
	g->t.devices = run_now() - t;
	t = run_now();
	for (unsigned int i = 0; r == 0 && i < g->n_ioas; i++)
		r = dma_map_create(g->ioas[i], g->vm->mem, e, &g->dma[i]);
	for (unsigned int i = 0; r == 0 && i < opt->n_assign; i++)
		assigned_set_dma(g->assigned[i], g->dma[space[i]]);
	g->t.dma_map = run_now() - t;
	return r;
}

static int guest_nets(struct guest *g, struct err *e)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < g->opt->n_net; i++)
		r = net_option_add(g, i, e);
	return r;
}

/* What firmware would do, before every start: BARs, tables, kernel. */
static int guest_load(struct guest *g, struct err *e, struct boot_entry *ret)
{
	struct vm *vm = g->vm;
	const struct acpi_config acpi = {
		.cpus = vm->cpus,
		.apic_ids = vm->apic_ids,
		.mmio32 = vm->pci_mmio32,
		.mmio64 = vm->pci_mmio64,
		.pio = vm->pci_pio,
		.remap = vm->vtd,
	};
	struct boot_config boot = {
		.kernel = g->opt->kernel,
		.initrd = g->opt->initrd,
		.cmdline = g->opt->cmdline,
		.decompress = g->opt->kaslr ? BOOT_DECOMPRESS_GUEST : BOOT_DECOMPRESS_AUTO,
		.cancelled = g->interrupted,
		.cancel_ctx = g->interrupted_ctx,
	};
	int r;

	r = acpi_build(&acpi, vm->mem, e, &boot.rsdp_gpa);
	if (r == 0)
		r = mptable_build(vm->cpus, vm->apic_ids, vm->mem, e);
	if (r < 0)
		return r;
	return boot_load(&boot, vm->mem, e, ret);
}

int guest_init(struct guest *g, const struct run_options *opt, struct err *e)
{
	struct vm_config cfg = {
		.name = opt->name,
		.cpus = opt->cpus,
		.mem = {.size = opt->memory,
			.low_max = opt->memory_low,
			.hugepages = opt->hugepages},
		.irq_remap = opt->irq_remap,
		.dma_remap = opt->dma_remap,
		.apic_ids = opt->n_apic_ids ? opt->apic_ids : NULL,
	};
	const struct uart_ops uart_ops = {
		.out = uart_out,
		.irq = uart_irq,
		.room = uart_room,
		.ctx = g,
	};
	int r;

	g->opt = opt;
	g->sysfs.root_fd = -1;
	g->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->room_fd < 0)
		return err_sys(e, errno, "make an eventfd");
	r = sysfs_open("/", &g->sysfs);
	if (r < 0)
		return err_sys(e, -r, "open /");
	r = console_create(e, &g->console);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < opt->n_net; i++)
		cfg.mem.sealed |= net_option_lends_memory(&opt->net[i]);
	r = vm_create(&cfg, e, &g->vm);
	if (r < 0)
		return r;
	r = uart_create(g->vm->pio, LAYOUT_PORT_COM1, &uart_ops, e, &g->uart);
	if (r < 0)
		return r;
	r = pm_create(g->vm->pio, pm_event, g, e, &g->pm);
	if (r < 0)
		return r;
	return 0;
}

int guest_start(struct guest *g, struct err *e)
{
	struct boot_entry entry;
	int64_t t = run_now();
	int r;

	/* The kernel first: a wrong path must not cost a device its state. */
	r = guest_load(g, e, &entry);
	if (r < 0)
		return r;
	g->t.load = run_now() - t;
	r = guest_assign(g, e);
	if (r < 0)
		return r;
	r = guest_nets(g, e);
	if (r < 0)
		return r;
	r = pci_root_place(g->vm->pci, e);
	if (r < 0)
		return r;
	r = console_enter(g->console, e);
	if (r < 0)
		return r;
	g->t.first_run = run_now() - g->t.start;
	return vm_start(g->vm, &entry, e);
}

int guest_restart(struct guest *g, struct err *e)
{
	struct boot_entry entry;
	int r;

	r = vm_reset(g->vm, e);
	if (r < 0)
		return r;
	uart_reset(g->uart);
	r = pci_root_place(g->vm->pci, e);
	if (r < 0)
		return r;
	r = guest_load(g, e, &entry);
	if (r < 0)
		return r;
	r = console_enter(g->console, e);
	if (r < 0)
		return r;
	g->reboots++;
	return vm_start(g->vm, &entry, e);
}

void guest_finish(struct guest *g)
{
	if (g->console) {
		console_stop(g->console);
		console_leave(g->console);
	}
	if (g->vm)
		vm_join(g->vm);
	/* Devices stop doing DMA (reset, closed) before the memory they reach goes away. */
	if (g->vm)
		pci_root_clear(g->vm->pci);
	for (unsigned int i = g->n_ioas; i-- > 0;) {
		dma_map_destroy(g->dma[i]);
		ioas_destroy(g->ioas[i]);
	}
	/* Now nobody has the devices open. */
	run_leases_drop(g->leases);
	pm_destroy(g->pm);
	uart_destroy(g->uart);
	vm_destroy(g->vm);
	console_destroy(g->console);
	sysfs_close(&g->sysfs);
	g->room_fd = fd_close(g->room_fd);
}
