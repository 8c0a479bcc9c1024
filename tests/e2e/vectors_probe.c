// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A function with 2048 MSI-X vectors on a real KVM: a guest of a few instructions writes the table, each
 * vector is fired, and each must arrive once, at its vCPU with its vector, and nowhere else.
 *   vectors_probe          an emulated function; vectors are fired by their eventfds
 *   vectors_probe A        the PCI function A by VFIO; fired by VFIO_DEVICE_SET_IRQS, DATA_NONE with
 *                          ACTION_TRIGGER: the device's part is done by the kernel
 * Says "ok: ..." per check; exit status 77 with the reason where there is no KVM.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <linux/pci_regs.h>

#include "common/cleanup.h"
#include "passthrough/internal.h"
#include "vmm/layout.h"
#include "vmm/vm.h"
#include "vectors_guest.h"

#define RAM         (16ull << 20)
#define CPUS        2u
#define SLOT        0x18
#define PBA         0x8000u
#define PER_CPU     (256u - VECTOR_DEVICE) /* vectors a vCPU has for devices */
#define WAIT_TRIES  100000                 /* of 100 us at least */
#define PENDING     7u                     /* fired while masked */
#define BAR_SIZE    0x10000u
#define ENTRY_BYTES 16u

extern const uint8_t guest_vectors[], guest_vectors_end[], guest_ap16[], guest_ap16_end[];

struct probe {
	struct sysfs sysfs;
	struct ioas *io;
	struct vm *vm;
	struct dma_map *dma;
	struct assigned *a; /* NULL: emulated */
	struct pci_func *f;
	struct bdf bdf;
	struct err e;
	unsigned int n, armed; /* vectors of the table; those the host has interrupts for */
	uint32_t *counts[CPUS];
	uint32_t want[CPUS][256];
	int failed;
};

static void check(struct probe *p, bool ok, const char *what)
{
	printf("%s: %s\n", ok ? "ok" : "FAILED", what);
	p->failed |= !ok;
}

__attribute__((noreturn)) static void die(struct probe *p, const char *what)
{
	fprintf(stderr, "vectors_probe: %s: %s\n", what, p->e.text);
	exit(1);
}

/* ---- the function ---- */

static void emulated_destroy(struct pci_func *f)
{
	free(f);
}

static const struct pci_func_ops emulated_ops = {.destroy = emulated_destroy};

static int emulated_add(struct probe *p)
{
	static const struct pci_ids ids = {
		.vendor = 0x1af4, .device = 0x10f0, .class_code = 0xff0000};
	struct pci_func *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	pci_func_init(f, &emulated_ops, "many", &ids);
	f->devfn = SLOT;
	pci_func_bar(f, 0, PCI_BAR_MEM32, false, BAR_SIZE);
	r = pci_func_msix(f, p->vm->irq, 0, MSIX_MAX, 0, 0, 0, PBA, NULL, &p->e);
	if (r < 0) {
		free(f);
		return r;
	}
	p->f = f;
	return pci_root_add(p->vm->pci, f, &p->e);
}

static int assigned_open(struct probe *p)
{
	int r = ioas_create_type1(&vfio_sys_linux, &p->e, &p->io);

	if (r == 0)
		r = assigned_add(p->vm, p->io, &p->sysfs, p->bdf, SLOT, &p->e, &p->a);
	if (r == 0)
		r = dma_map_create(p->io, p->vm->mem, &p->e, &p->dma);
	if (r == 0)
		p->f = &p->a->func;
	return r;
}

static void fire(struct probe *p, unsigned int first, unsigned int n)
{
	if (p->a) {
		if (vdev_irq_fire(p->a->dev, VFIO_PCI_MSIX_IRQ_INDEX, first, n, &p->e) < 0)
			die(p, "fire");
		return;
	}
	for (unsigned int i = first; i < first + n; i++)
		msix_fire(p->f->msix, i);
}

/* ---- the guest ---- */

static void put(struct probe *p, uint64_t gpa, const void *data, size_t len)
{
	if (gmem_write(p->vm->mem, gpa, data, len) < 0)
		die(p, "guest memory");
}

static void put64(struct probe *p, uint64_t gpa, uint64_t val)
{
	put(p, gpa, &val, sizeof(val));
}

/* An identity map of 4 GiB in pages of 2 MiB. */
static void pages_load(struct probe *p)
{
	uint64_t pdpt = PAGE_TABLE + PAGE, pd = pdpt + PAGE;

	put64(p, PAGE_TABLE, pdpt | 3);
	for (uint64_t i = 0; i < 4; i++)
		put64(p, pdpt + 8 * i, (pd + PAGE * i) | 3);
	for (uint64_t i = 0; i < 2048; i++)
		put64(p, pd + 8 * i, i << 21 | 0x83);
}

static void guest_load(struct probe *p)
{
	static const uint64_t gdt[] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = {0xfff, IDT};

	put(p, CODE, guest_vectors, (size_t)(guest_vectors_end - guest_vectors));
	put(p, AP_CODE, guest_ap16, (size_t)(guest_ap16_end - guest_ap16));
	put(p, GDT, gdt, sizeof(gdt));
	put(p, IDTR, &idtr, sizeof(idtr));
	pages_load(p);
	for (unsigned int v = VECTOR_FIRST; v < 256; v++) {
		uint64_t at = CODE + HANDLERS + (v - VECTOR_FIRST) * HANDLER_SIZE;

		put64(p, IDT + v * 16,
			(at & 0xffff) | 0x10ull << 16 | 0x8eull << 40 | (at >> 16) << 48);
	}
	for (unsigned int c = 0; c < CPUS; c++)
		p->counts[c] = gmem_hva(p->vm->mem, COUNTS + c * PAGE, PAGE);
}

static uint32_t seen(const struct probe *p, unsigned int cpu, unsigned int vector)
{
	return __atomic_load_n(&p->counts[cpu][vector], __ATOMIC_ACQUIRE);
}

static uint32_t total(const struct probe *p)
{
	uint32_t n = 0;

	for (unsigned int c = 0; c < CPUS; c++)
		n += seen(p, c, 0);
	return n;
}

static bool total_becomes(const struct probe *p, uint32_t want)
{
	static const struct timespec pause = {.tv_nsec = 100000};

	for (unsigned int i = 0; i < WAIT_TRIES && total(p) < want; i++)
		nanosleep(&pause, NULL);
	return total(p) == want;
}

static uint32_t wanted(const struct probe *p)
{
	uint32_t n = 0;

	for (unsigned int c = 0; c < CPUS; c++) {
		for (unsigned int v = 0; v < 256; v++)
			n += p->want[c][v];
	}
	return n;
}

/* Every counter of every vCPU is what it should be. */
static bool counts_agree(const struct probe *p)
{
	bool ok = total_becomes(p, wanted(p));

	for (unsigned int c = 0; c < CPUS; c++) {
		for (unsigned int v = VECTOR_FIRST; v < 256; v++) {
			if (seen(p, c, v) == p->want[c][v])
				continue;
			printf("  vCPU %u vector %#x: %u arrived, %u fired\n", c, v, seen(p, c, v),
				p->want[c][v]);
			ok = false;
		}
	}
	return ok;
}

static void start(struct probe *p)
{
	const struct vm_config cfg = {.name = "vectors", .cpus = CPUS, .mem = {.size = RAM}};
	const struct boot_entry entry = {.mode = BOOT_LONG64,
		.rip = CODE,
		.cr3 = PAGE_TABLE,
		.gdt_base = GDT,
		.gdt_limit = 31};
	static const struct timespec pause = {.tv_nsec = 1000000};
	unsigned int ready = 0;

	if (vm_create(&cfg, &p->e, &p->vm) < 0)
		die(p, "VM");
	if ((p->sysfs.root_fd >= 0 ? assigned_open(p) : emulated_add(p)) < 0 ||
		pci_root_place(p->vm->pci, &p->e) < 0)
		die(p, "function");
	guest_load(p);
	if (vm_start(p->vm, &entry, &p->e) < 0)
		die(p, "start");
	for (unsigned int i = 0; i < 20000 && ready < CPUS; i++) {
		nanosleep(&pause, NULL);
		ready = 0;
		for (unsigned int c = 0; c < CPUS; c++)
			ready += seen(p, c, READY / 4);
	}
	check(p, ready == CPUS, "the guest's vCPUs wait for interrupts");
	if (ready < CPUS)
		exit(1);
	p->n = p->f->msix_n;
}

static void stop(struct probe *p)
{
	vm_join(p->vm);
	dma_map_destroy(p->dma);
	vm_destroy(p->vm);
	ioas_destroy(p->io);
}

/* ---- the table ---- */

/* The target of entry @i: as many have one of their own as the vCPUs have vectors. */
static void target(
	unsigned int i, unsigned int shift, unsigned int *ret_cpu, unsigned int *ret_vector)
{
	i += shift;
	*ret_cpu = i / PER_CPU % CPUS;
	*ret_vector = VECTOR_DEVICE + i % PER_CPU;
}

static void control(struct probe *p, uint16_t bits)
{
	pci_cfg_write(p->vm->pci, 0, SLOT, p->f->msix_cap + PCI_MSIX_FLAGS, 2, bits);
}

/* The guest's driver fills the table, every entry unmasked. */
static void program(struct probe *p, unsigned int shift)
{
	uint64_t bar = pci_bar_addr(p->f, p->f->msix_table_bar) + p->f->msix_table_off;
	const uint32_t command[] = {ENTRIES, (uint32_t)bar, p->n * ENTRY_BYTES / 8};
	const struct irq_msi go = {.addr = LAYOUT_LAPIC, .data = VECTOR_COPY};

	if (bar >> 32)
		die(p, "the table lies above 4 GiB");
	for (unsigned int i = 0; i < p->n; i++) {
		unsigned int cpu, vector;
		uint32_t entry[4] = {0};

		target(i, shift, &cpu, &vector);
		entry[0] = (uint32_t)LAYOUT_LAPIC | cpu << 12;
		entry[2] = vector;
		put(p, ENTRIES + i * ENTRY_BYTES, entry, sizeof(entry));
	}
	put(p, COMMAND, command, sizeof(command));
	p->want[0][VECTOR_COPY]++;
	irq_router_send(p->vm->irq, SLOT, go);
	if (!counts_agree(p))
		die(p, "the guest did not fill the table");
}

static struct irq_stats router_stats(const struct probe *p)
{
	struct irq_stats s;

	irq_router_stats(p->vm->irq, &s);
	return s;
}

static void expect(struct probe *p, unsigned int i, unsigned int shift)
{
	unsigned int cpu, vector;

	target(i, shift, &cpu, &vector);
	p->want[cpu][vector]++;
}

static void enable(struct probe *p)
{
	struct irq_stats before = router_stats(p), after;
	struct assigned_stats s = {.vectors_armed = p->n};
	char text[160];

	control(p, PCI_MSIX_FLAGS_ENABLE);
	after = router_stats(p);
	snprintf(text, sizeof(text), "%u vectors enabled by %u commit of %u routes and %u irqfds",
		p->n, (unsigned int)(after.route_commits - before.route_commits),
		(unsigned int)(after.routes - before.routes),
		(unsigned int)(after.irqfd_calls - before.irqfd_calls));
	check(p,
		after.route_commits - before.route_commits == 1 &&
			after.routes - before.routes == p->n &&
			after.irqfd_calls - before.irqfd_calls == p->n,
		text);
	if (p->a)
		assigned_stats(p->a, &s);
	p->armed = s.vectors_armed;
	snprintf(text, sizeof(text), "the host has interrupts for %u of them, %u are silent",
		p->armed, s.vectors_silent);
	check(p, p->armed && p->armed + s.vectors_silent == p->n, text);
}

static void one_by_one(struct probe *p, unsigned int shift)
{
	unsigned int wrong = 0;
	char text[160];

	for (unsigned int i = 0; i < p->armed; i++) {
		unsigned int cpu, vector;

		target(i, shift, &cpu, &vector);
		expect(p, i, shift);
		fire(p, i, 1);
		if (!total_becomes(p, wanted(p)) || seen(p, cpu, vector) != p->want[cpu][vector])
			wrong++;
		if (wrong > 10)
			break;
	}
	snprintf(text, sizeof(text),
		"%u vectors fired one by one, each arrived once where it should", p->armed);
	check(p, !wrong && counts_agree(p), text);
}

/* As many at once as can be told apart. */
static void many_at_once(struct probe *p, unsigned int shift)
{
	unsigned int n, rounds = 0;
	bool ok = true;
	char text[160];

	for (unsigned int first = 0; ok && first < p->armed; first += n, rounds++) {
		n = p->armed - first < CPUS * PER_CPU ? p->armed - first : CPUS * PER_CPU;
		for (unsigned int i = first; i < first + n; i++)
			expect(p, i, shift);
		fire(p, first, n);
		ok = counts_agree(p);
	}
	snprintf(text, sizeof(text),
		"%u vectors fired in %u rounds, each arrived once where it should", p->armed,
		rounds);
	check(p, ok, text);
}

static void silent(struct probe *p)
{
	if (p->armed == p->n)
		return;
	fire(p, p->armed, p->n - p->armed);
	expect(p, 0, 0);
	fire(p, 0, 1);
	check(p, counts_agree(p), "a vector without an interrupt of the host's fires nothing");
}

static bool pending(struct probe *p, unsigned int i)
{
	uint64_t pba = pci_bar_addr(p->f, p->f->msix_pba_bar) + p->f->msix_pba_off;

	return bus_read(p->vm->mmio, pba + i / 64 * 8, 8) >> (i % 64) & 1;
}

/* The guest masks the function and gives every vector another vCPU and vector, under fire. */
static void move_all(struct probe *p, unsigned int shift)
{
	struct irq_stats before = router_stats(p), after;
	unsigned int shown = 0, step = p->armed / PENDING ? p->armed / PENDING : 1;
	char text[160];

	control(p, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	program(p, shift);
	for (unsigned int i = 0, k = 0; k < PENDING && i < p->armed; i += step, k++) {
		fire(p, i, 1);
		shown += pending(p, i) && !pending(p, i + 1);
	}
	check(p, shown == PENDING && counts_agree(p),
		"vectors fired while masked are pending and do not arrive");
	for (unsigned int i = 0, k = 0; k < PENDING && i < p->armed; i += step, k++)
		expect(p, i, shift);
	control(p, PCI_MSIX_FLAGS_ENABLE);
	after = router_stats(p);
	snprintf(text, sizeof(text),
		"all are moved by %u commit, and what was pending arrived once",
		(unsigned int)(after.route_commits - before.route_commits));
	check(p, after.route_commits - before.route_commits == 1 && counts_agree(p), text);
}

/* The exit status, when there is nothing to be done here. */
static int lacking(void)
{
	if (access("/dev/kvm", R_OK | W_OK) == 0)
		return 0;
	printf("skipped: /dev/kvm: %s\n", strerror(errno));
	return 77;
}

int main(int argc, char **argv)
{
	struct probe p = {.sysfs = {.root_fd = -1}};
	struct rlimit l;
	int r;

	if (argc > 2 ||
		(argc == 2 && (bdf_parse(argv[1], &p.bdf) < 0 || sysfs_open("/", &p.sysfs) < 0)))
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	r = lacking();
	if (r)
		return r;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	start(&p);
	program(&p, 0);
	enable(&p);
	one_by_one(&p, 0);
	many_at_once(&p, 0);
	silent(&p);
	move_all(&p, PER_CPU + 5);
	many_at_once(&p, PER_CPU + 5);
	control(&p, 0);
	check(&p, counts_agree(&p), "nothing else arrived");
	stop(&p);
	return p.failed;
}
