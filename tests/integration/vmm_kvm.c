// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The VM and its vCPUs on this machine's KVM, with guests of a few instructions. What a guest does
 * to a device is seen by the test as calls on a port range and an MMIO range.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vmm/doorbell.h"
#include "vmm/layout.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"
#include "vmm_guests.h"

#define RAM       (64ull << 20)
#define WAIT_MS   20000
#define PTE_TABLE 0x03ull /* present, writable */
#define PTE_2M    0x83ull

#define GUEST(name) extern const uint8_t guest_##name[], guest_##name##_end[]
GUEST(io64);
GUEST(entry64);
GUEST(irq);
GUEST(triple_fault);
GUEST(spin);
GUEST(sleep);
GUEST(ask);
GUEST(bsp);
GUEST(ap);
GUEST(io32);
#define LOAD(gpa, name)                                                        \
	ck_assert_int_eq(gmem_write(m.vm->mem, gpa, guest_##name,              \
				 (size_t)(guest_##name##_end - guest_##name)), \
		0)

/* One access a guest made. */
struct access {
	uint64_t off, val;
	unsigned int len;
};

static struct machine {
	struct vm *vm;
	struct access out[16], mmio[16];
	_Atomic unsigned int outs, mmios, done;
	unsigned int stop_after; /* this many writes to PORT_DONE end the guest */
	struct irq_vector *fire; /* fired by each write to PORT_TEST */
	bool kick;               /* the vCPU that writes to PORT_TEST kicks itself */
} m;

static void record(struct access *log, _Atomic unsigned int *n, struct access a)
{
	if (*n < 16)
		log[*n] = a;
	(*n)++;
}

static uint64_t test_read(void *ctx, uint64_t off, unsigned int len)
{
	return 0xcafe0000 + off * 16 + len;
}

static void port_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	record(m.out, &m.outs, (struct access){off, val, len});
	if (m.fire)
		irq_vector_fire(m.fire);
	if (m.kick)
		vcpu_kick(m.vm->vcpu[0]);
}

static void mmio_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	record(m.mmio, &m.mmios, (struct access){off, val, len});
}

static void done_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	if (++m.done == m.stop_after)
		vm_stop(m.vm, VM_END_POWEROFF, "done");
}

static uint64_t done_read(void *ctx, uint64_t off, unsigned int len)
{
	vm_stop(m.vm, VM_END_REBOOT, "asked");
	return 0x77777777;
}

static const struct bus_region port_region = {
	.base = PORT_TEST, .size = 8, .read = test_read, .write = port_write, .name = "test"};
static const struct bus_region done_region = {
	.base = PORT_DONE, .size = 4, .read = done_read, .write = done_write, .name = "done"};
static const struct bus_region mmio_region = {
	.base = MMIO_TEST, .size = 64, .read = test_read, .write = mmio_write, .name = "test"};

static void vm_make(unsigned int cpus)
{
	struct vm_config cfg = {.name = "t", .cpus = cpus, .mem = {.size = RAM}};
	struct err e = {0};

	memset(&m, 0, sizeof(m));
	m.stop_after = 1;
	ck_assert_msg(vm_create(&cfg, &e, &m.vm) == 0, "%s", e.text);
	ck_assert_int_eq(bus_add(m.vm->pio, &port_region, NULL), 0);
	ck_assert_int_eq(bus_add(m.vm->pio, &done_region, NULL), 0);
	ck_assert_int_eq(bus_add(m.vm->mmio, &mmio_region, NULL), 0);
}

static void put(uint64_t gpa, uint64_t v)
{
	ck_assert_int_eq(gmem_write(m.vm->mem, gpa, &v, sizeof(v)), 0);
}

static uint64_t get(uint64_t gpa, size_t len)
{
	uint64_t v = 0;

	ck_assert_int_eq(gmem_read(m.vm->mem, gpa, &v, len), 0);
	return v;
}

/* GDT, an identity map of 4 GiB in 2 MiB pages, and the state to enter CODE with. */
static struct boot_entry entry(enum boot_mode mode)
{
	uint64_t pml4 = LAYOUT_PAGE_TABLE, pdpt = pml4 + 0x1000, pd = pdpt + 0x1000;

	put(LAYOUT_GDT, 0);
	put(LAYOUT_GDT + 8, 0);
	put(LAYOUT_GDT + 16, mode == BOOT_LONG64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	put(LAYOUT_GDT + 24, 0x00cf93000000ffff);
	put(pml4, pdpt | PTE_TABLE);
	for (uint64_t i = 0; i < 4; i++)
		put(pdpt + 8 * i, (pd + 0x1000 * i) | PTE_TABLE);
	for (uint64_t i = 0; i < 2048; i++)
		put(pd + 8 * i, i << 21 | PTE_2M);
	return (struct boot_entry){
		.mode = mode,
		.rip = CODE,
		.rsi = 0x1234567890,
		.rbx = 0xb0b0,
		.cr3 = pml4,
		.gdt_base = LAYOUT_GDT,
		.gdt_limit = 31,
	};
}

static void start(enum boot_mode mode)
{
	struct boot_entry b = entry(mode);
	struct err e = {0};

	ck_assert_msg(vm_start(m.vm, &b, &e) == 0, "%s", e.text);
}

/* Wait for the guest to end by itself, then join. */
static enum vm_end finish(void)
{
	struct pollfd p = {.fd = vm_end_fd(m.vm), .events = POLLIN};

	ck_assert_msg(poll(&p, 1, WAIT_MS) == 1, "the guest does not end");
	return vm_join(m.vm);
}

static void wait_for(_Atomic unsigned int *n, unsigned int want)
{
	struct timespec t = {.tv_nsec = 1000000};

	for (int i = 0; i < WAIT_MS && *n < want; i++)
		nanosleep(&t, NULL);
	ck_assert_uint_ge(*n, want);
}

static void teardown(void)
{
	irq_vector_destroy(m.fire);
	vm_destroy(m.vm);
	memset(&m, 0, sizeof(m));
}

static void ck_access(struct access a, uint64_t off, unsigned int len, uint64_t val)
{
	ck_assert_uint_eq(a.off, off);
	ck_assert_uint_eq(a.len, len);
	ck_assert_uint_eq(a.val, val);
}

/* Offsets, sizes and values must arrive as the guest made them, also those of string instructions. */
START_TEST(vm_guest_reaches_devices_on_both_buses)
{
	struct vm_stats s;
	uint64_t unclaimed;

	vm_make(1);
	LOAD(CODE, io64);
	put(RESULT + 0x100, 0x44332211);
	unclaimed = bus_unclaimed(m.vm->pio) + bus_unclaimed(m.vm->mmio);
	start(BOOT_LONG64);
	ck_assert_int_eq(finish(), VM_END_POWEROFF);
	ck_assert_str_eq(vm_end_text(m.vm), "done");
	ck_assert_uint_eq(m.outs, 5);
	ck_access(m.out[0], 0, 2, 0x1234);
	for (unsigned int i = 0; i < 4; i++)
		ck_access(m.out[1 + i], 1, 1, 0x11 * (i + 1));
	ck_assert_uint_eq(get(RESULT, 4), 0xcafe0004);
	ck_assert_uint_eq(get(RESULT + 8, 8), 0xcafe0008);
	ck_assert_uint_eq(m.mmios, 2);
	ck_access(m.mmio[0], 3, 1, 0x5a);
	ck_access(m.mmio[1], 8, 8, 0x1122334455667788);
	ck_assert_uint_eq(get(RESULT + 16, 1), 0xff);
	ck_assert_uint_eq(get(RESULT + 20, 4), 0xffffffff);
	ck_assert_uint_eq(bus_unclaimed(m.vm->pio) + bus_unclaimed(m.vm->mmio), unclaimed + 2);
	vm_stats(m.vm, &s);
	ck_assert_uint_eq(s.exits[KVM_EXIT_MMIO], 4);
	ck_assert_uint_ge(s.exits[KVM_EXIT_IO], 5);
	ck_assert_uint_ge(s.total, 9);
}
END_TEST

/* The same guest with a bell over the first of its two writes: that one exits no more. */
START_TEST(vm_guest_rings_a_doorbell_without_an_exit)
{
	struct doorbell d = {.gpa = MMIO_TEST + 3, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	struct doorbell narrow = d;
	struct doorbell_backend be;
	struct vm_stats s;
	eventfd_t n = 0;

	vm_make(1);
	be = doorbell_backend_kvm(m.vm->fd);
	narrow.len = 1;
	narrow.match = true;
	narrow.data = 0x5b; /* another value than the guest writes */
	ck_assert_int_eq(doorbell_add(&be, &narrow, NULL), 0);
	ck_assert_int_eq(doorbell_add(&be, &narrow, NULL), -EEXIST);
	doorbell_del(&be, &narrow);
	if (be.any_length)
		d.len = 0;
	else
		d.len = 1;
	ck_assert_int_eq(doorbell_add(&be, &d, NULL), 0);
	LOAD(CODE, io64);
	put(RESULT + 0x100, 0x44332211);
	start(BOOT_LONG64);
	ck_assert_int_eq(finish(), VM_END_POWEROFF);
	ck_assert_uint_eq(m.mmios, 1);
	ck_access(m.mmio[0], 8, 8, 0x1122334455667788);
	ck_assert_int_eq(eventfd_read(d.fd, &n), 0);
	ck_assert_uint_eq(n, 1);
	vm_stats(m.vm, &s);
	ck_assert_uint_eq(s.exits[KVM_EXIT_MMIO], 3);
	doorbell_del(&be, &d);
	close(d.fd);
}
END_TEST

/* Linux Documentation/arch/x86/boot.rst, 64-bit boot protocol; MTRR, LAPIC as firmware leaves them. */
START_TEST(vm_guest_starts_as_the_64_bit_boot_protocol_says)
{
	vm_make(2);
	LOAD(CODE, entry64);
	start(BOOT_LONG64);
	ck_assert_int_eq(finish(), VM_END_POWEROFF);
	ck_assert_uint_eq(get(RESULT, 8), 0);
	ck_assert_uint_eq(get(RESULT + 8, 8), 0x1234567890);
	ck_assert_uint_eq(get(RESULT + 16, 8) & 0x80000001, 0x80000001);
	ck_assert_uint_eq(get(RESULT + 24, 8) & 0x20, 0x20);
	ck_assert_uint_eq(get(RESULT + 32, 8) & 0x202, 2); /* interrupts off */
	ck_assert_uint_eq(get(RESULT + 40, 8), 0x10);
	ck_assert_uint_eq(get(RESULT + 48, 4), 0x806);
	ck_assert_uint_eq(get(RESULT + 56, 4) >> 16, 2);           /* APIC id 0 of 2 */
	ck_assert_uint_eq(get(RESULT + 60, 4) >> 31, 1);           /* hypervisor */
	ck_assert_uint_eq(get(RESULT + 64, 4), 2);                 /* logical processors */
	ck_assert_uint_eq(get(RESULT + 68, 4), 0);                 /* x2APIC id */
	ck_assert_uint_eq(get(RESULT + 72, 4) & 0x10700, 0x10700); /* LINT0 ExtINT masked */
	ck_assert_uint_eq(get(RESULT + 76, 4) & 0x10700, 0x400);   /* LINT1 NMI */
}
END_TEST

START_TEST(vm_guest_starts_as_pvh_says)
{
	vm_make(1);
	LOAD(CODE, io32);
	start(BOOT_PVH32);
	ck_assert_int_eq(finish(), VM_END_POWEROFF);
	ck_assert_uint_eq(get(RESULT, 4), 0xb0b0);
	ck_assert_uint_eq(get(RESULT + 4, 4) & 0x80000001, 1);
}
END_TEST

/* The whole way of an interrupt: eventfd, irqfd, route, LAPIC, a sleeping vCPU, EOI. */
START_TEST(vm_guest_asleep_is_woken_by_a_vector)
{
	uint64_t at = CODE + IRQ_HANDLER;
	uint64_t gate[2] = {
		(at & 0xffff) | 0x10ull << 16 | 0x8eull << 40 | (at >> 16 & 0xffff) << 48,
		at >> 32};
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = {0xfff, IDT};
	struct irq_msi msi = {.addr = LAYOUT_LAPIC, .data = IRQ_VECTOR};

	vm_make(1);
	m.stop_after = 100;
	LOAD(CODE, irq);
	ck_assert_int_eq(gmem_write(m.vm->mem, IDTR, &idtr, sizeof(idtr)), 0);
	ck_assert_int_eq(gmem_write(m.vm->mem, IDT + 16 * IRQ_VECTOR, gate, sizeof(gate)), 0);
	ck_assert_int_eq(irq_vector_create(m.vm->irq, 8, NULL, &m.fire), 0);
	ck_assert_int_eq(irq_vector_set(m.fire, msi, NULL), 0);
	ck_assert_int_eq(irq_vector_unmask(m.fire, NULL), 0);
	start(BOOT_LONG64);
	for (unsigned int i = 1; i <= 100; i++) {
		wait_for(&m.done, i);
		if (i < 100)
			irq_vector_fire(m.fire);
	}
	ck_assert_int_eq(finish(), VM_END_POWEROFF);
	ck_assert_uint_eq(get(RESULT, 4), 100);
}
END_TEST

START_TEST(vm_guest_with_a_triple_fault_has_crashed)
{
	vm_make(1);
	LOAD(CODE, triple_fault);
	start(BOOT_LONG64);
	ck_assert_int_eq(finish(), VM_END_CRASH);
	ck_assert_ptr_nonnull(strstr(vm_end_text(m.vm), "vCPU 0: triple fault, rip 0x"));
}
END_TEST

START_TEST(vm_ap_wakes_by_init_and_sipi)
{
	vm_make(2);
	LOAD(CODE, bsp);
	LOAD(AP_CODE, ap);
	start(BOOT_LONG64);
	ck_assert_int_eq(finish(), VM_END_POWEROFF);
	ck_assert_uint_eq(get(RESULT, 4), AP_ANSWER);
	/* and again: the AP must be back where it waits */
	put(RESULT, 0);
	ck_assert_int_eq(vm_reset(m.vm, NULL), 0);
	m.done = 0;
	start(BOOT_LONG64);
	ck_assert_int_eq(finish(), VM_END_POWEROFF);
	ck_assert_uint_eq(get(RESULT, 4), AP_ANSWER);
}
END_TEST

/* KVM finishes the stopped instruction at the next KVM_RUN: its answer must not show up later. */
START_TEST(vm_reset_forgets_an_instruction_in_flight)
{
	struct err e = {0};

	vm_make(1);
	for (unsigned int i = 0; i < 20; i++) {
		m.done = 0;
		put(RESULT, 0);
		LOAD(CODE, ask);
		start(BOOT_LONG64);
		ck_assert_int_eq(finish(), VM_END_REBOOT);
		ck_assert_uint_eq(get(RESULT, 8), 0);
		ck_assert_msg(vm_reset(m.vm, &e) == 0, "%s", e.text);
		ck_assert_str_eq(vm_end_text(m.vm), "");
		LOAD(CODE, entry64);
		put(RESULT, UINT64_MAX);
		start(BOOT_LONG64);
		ck_assert_int_eq(finish(), VM_END_POWEROFF);
		ck_assert_uint_eq(get(RESULT, 8), 0);
		ck_assert_uint_eq(get(RESULT + 48, 4), 0x806);
		ck_assert_int_eq(vm_reset(m.vm, &e), 0);
	}
}
END_TEST

static void *stop_later(void *arg)
{
	struct timespec t = {.tv_nsec = *(long *)arg};

	nanosleep(&t, NULL);
	vm_stop(m.vm, VM_END_STOPPED, "from outside");
	vm_stop(m.vm, VM_END_CRASH, "too late");
	return NULL;
}

static const struct {
	const uint8_t *code, *end;
} endless[] = {{guest_spin, guest_spin_end}, {guest_sleep, guest_sleep_end}};

/* A lost kick would hang vm_join(): try it at many moments, also before the thread is up. */
START_TEST(vm_stop_ends_a_guest_that_never_exits)
{
	unsigned int seed = (unsigned int)time(NULL);
	struct boot_entry b;

	printf("seed %u\n", seed);
	srand(seed);
	vm_make(2);
	gmem_write(m.vm->mem, CODE, endless[_i].code, (size_t)(endless[_i].end - endless[_i].code));
	b = entry(BOOT_LONG64);
	for (unsigned int i = 0; i < 200; i++) {
		long ns = rand() % (i < 100 ? 20000 : 2000000);
		pthread_t t;

		ck_assert_int_eq(pthread_create(&t, NULL, stop_later, &ns), 0);
		ck_assert_int_eq(vm_start(m.vm, &b, NULL), 0);
		ck_assert_int_eq(finish(), VM_END_STOPPED);
		pthread_join(t, NULL);
		ck_assert_str_eq(vm_end_text(m.vm), "from outside");
		ck_assert_int_eq(vm_reset(m.vm, NULL), 0);
	}
}
END_TEST

/* The signal alone would be spent in the handler here, and the guest sleep for ever. */
START_TEST(vcpu_kick_outside_kvm_run_is_not_lost)
{
	struct vm_stats s = {0};

	vm_make(1);
	m.kick = true;
	LOAD(CODE, sleep);
	start(BOOT_LONG64);
	wait_for(&m.outs, 1);
	for (int i = 0; i < WAIT_MS && s.exits[KVM_EXIT_INTR] == 0; i++) {
		poll(NULL, 0, 1);
		vm_stats(m.vm, &s);
	}
	ck_assert_uint_gt(s.exits[KVM_EXIT_INTR], 0);
}
END_TEST

START_TEST(vm_stop_before_start_runs_nothing)
{
	vm_make(1);
	LOAD(CODE, spin);
	vm_stop(m.vm, VM_END_STOPPED, "early");
	start(BOOT_LONG64);
	ck_assert_int_eq(finish(), VM_END_STOPPED);
	ck_assert_uint_eq(m.outs, 0);
}
END_TEST

/* vm_join() without a vm_stop(), and vm_destroy() of a guest that runs. */
START_TEST(vm_join_stops_a_guest_that_runs)
{
	vm_make(1);
	LOAD(CODE, spin);
	start(BOOT_LONG64);
	wait_for(&m.outs, 1);
	ck_assert_int_eq(vm_join(m.vm), VM_END_STOPPED);
	ck_assert_int_eq(vm_join(m.vm), VM_END_STOPPED);
	ck_assert_int_eq(vm_reset(m.vm, NULL), 0);
	start(BOOT_LONG64);
	wait_for(&m.outs, 2);
	vm_destroy(m.vm);
	m.vm = NULL;
}
END_TEST

static unsigned int fds_open(void)
{
	_cleanup_dir_ DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	return n;
}

START_TEST(vm_create_and_destroy_leave_no_fd)
{
	unsigned int before = fds_open();

	for (unsigned int i = 0; i < 200; i++) {
		vm_make(1 + i % 2);
		vm_destroy(m.vm);
		ck_assert_uint_eq(fds_open(), before);
	}
	m.vm = NULL;
}
END_TEST

static const struct {
	struct vm_config cfg;
	int want;
	const char *text;
} bad_configs[] = {
	{{.cpus = 0, .mem = {.size = RAM}}, -EINVAL, "0 vCPUs"},
	{{.cpus = 1000000, .mem = {.size = RAM}}, -EINVAL, "1000000 vCPUs"},
	{{.cpus = 1, .mem = {.size = 0}}, -EINVAL, "size 0"},
	{{.cpus = 1, .mem = {.size = 1ull << 50}}, -ENOMEM, "this host has"},
};

START_TEST(vm_create_refuses_what_cannot_be)
{
	unsigned int before = fds_open();
	struct vm *vm = NULL;
	struct err e = {0};

	ck_assert_int_eq(vm_create(&bad_configs[_i].cfg, &e, &vm), bad_configs[_i].want);
	ck_assert_ptr_nonnull(strstr(e.text, bad_configs[_i].text));
	ck_assert_ptr_null(vm);
	ck_assert_uint_eq(fds_open(), before);
}
END_TEST

START_TEST(vm_kvm_stat_reads_the_kernels_counters)
{
	uint64_t before, n;

	vm_make(2);
	ck_assert_int_eq(vm_kvm_stat(m.vm, "exits", &before), 0);
	LOAD(CODE, io64);
	start(BOOT_LONG64);
	ck_assert_int_eq(finish(), VM_END_POWEROFF);
	ck_assert_int_eq(vm_kvm_stat(m.vm, "exits", &n), 0);
	ck_assert_uint_gt(n, before);
	ck_assert_int_eq(vm_kvm_stat(m.vm, "no such thing", &n), -ENOENT);
}
END_TEST

/* The control thread asks while guests run: an ioctl on a vCPU would wait until one leaves KVM_RUN. */
START_TEST(vm_kvm_stat_waits_for_no_guest)
{
	uint64_t n = 0;

	vm_make(1);
	LOAD(CODE, spin);
	start(BOOT_LONG64);
	wait_for(&m.outs, 1);
	ck_assert_int_eq(vm_kvm_stat(m.vm, "exits", &n), 0);
	ck_assert_uint_gt(n, 0);
	ck_assert_int_eq(vm_join(m.vm), VM_END_STOPPED);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vmm-kvm");
	TCase *t = tcase_create("vm");
	SRunner *r;
	bool stats;
	int failed, fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		printf("SKIP: /dev/kvm: %s\n", strerror(errno));
		return 77;
	}
	stats = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_BINARY_STATS_FD) > 0;
	close(fd);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, vm_guest_reaches_devices_on_both_buses);
	tcase_add_test(t, vm_guest_rings_a_doorbell_without_an_exit);
	tcase_add_test(t, vm_guest_starts_as_the_64_bit_boot_protocol_says);
	tcase_add_test(t, vm_guest_starts_as_pvh_says);
	tcase_add_test(t, vm_guest_asleep_is_woken_by_a_vector);
	tcase_add_test(t, vm_guest_with_a_triple_fault_has_crashed);
	tcase_add_test(t, vm_ap_wakes_by_init_and_sipi);
	tcase_add_test(t, vm_reset_forgets_an_instruction_in_flight);
	tcase_add_loop_test(t, vm_stop_ends_a_guest_that_never_exits, 0, (int)ARRAY_SIZE(endless));
	tcase_add_test(t, vcpu_kick_outside_kvm_run_is_not_lost);
	tcase_add_test(t, vm_stop_before_start_runs_nothing);
	tcase_add_test(t, vm_join_stops_a_guest_that_runs);
	tcase_add_test(t, vm_create_and_destroy_leave_no_fd);
	tcase_add_loop_test(t, vm_create_refuses_what_cannot_be, 0, (int)ARRAY_SIZE(bad_configs));
	if (stats) {
		tcase_add_test(t, vm_kvm_stat_reads_the_kernels_counters);
		tcase_add_test(t, vm_kvm_stat_waits_for_no_guest);
	} else {
		printf("not run, KVM without KVM_CAP_BINARY_STATS_FD: vm_kvm_stat\n");
	}
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
