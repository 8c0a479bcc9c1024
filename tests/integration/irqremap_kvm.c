// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Vectors and the IOAPIC on this machine's KVM: interrupts are seen arriving in the local APIC of a
 * vCPU, and a guest of a few instructions ends a level interrupt.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "irqremap/irqremap.h"
#include "tests/integration/kvm_need.h"

/* Registers of the local APIC's page, SDM vol. 3 §10.4. */
#define APIC_SVR 0xf0
#define APIC_TMR 0x180
#define APIC_IRR 0x200

#define APIC_BASE_X2 (3u << 10) /* enabled, x2APIC mode */
#define CPUID_MAX    128

#define RAM_SIZE  0x10000
#define CODE      0x1000
#define HANDLER   0x1100
#define WAIT_PORT 0x10
#define DONE_PORT 0x11

static struct machine {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	size_t run_size;
	uint8_t *ram;
	struct irq_router *router;
	struct ioapic *io;
} m;

static void ck_ioctl(int r, const char *what)
{
	ck_assert_msg(r >= 0, "%s: %s", what, strerror(errno));
}

#define IOCTL(fd, request, arg) ck_ioctl(ioctl(fd, request, arg), #request)

static uint32_t apic_get(unsigned int reg)
{
	struct kvm_lapic_state apic;
	uint32_t v;

	IOCTL(m.vcpu, KVM_GET_LAPIC, &apic);
	memcpy(&v, apic.regs + reg, sizeof(v));
	return v;
}

static void apic_switch(bool on)
{
	struct kvm_lapic_state apic;
	uint32_t svr = on ? 0x1ff : 0xff;

	IOCTL(m.vcpu, KVM_GET_LAPIC, &apic);
	memcpy(apic.regs + APIC_SVR, &svr, sizeof(svr));
	IOCTL(m.vcpu, KVM_SET_LAPIC, &apic);
}

static bool requested(uint8_t vector)
{
	return apic_get(APIC_IRR + vector / 32 * 0x10) >> vector % 32 & 1;
}

/* KVM injects from a worker: wait, but not for ever. */
static bool comes(uint8_t vector)
{
	static const struct timespec ms = {.tv_nsec = 1000000};
	int i;

	for (i = 0; i < 5000; i++) {
		if (requested(vector))
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

/* Forget what is requested, as if the vCPU had taken it. */
static void apic_drop(void)
{
	struct kvm_lapic_state apic;

	IOCTL(m.vcpu, KVM_GET_LAPIC, &apic);
	memset(apic.regs + 0x100, 0, 0x180);
	IOCTL(m.vcpu, KVM_SET_LAPIC, &apic);
}

static void vcpu_up(void)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[CPUID_MAX];
	} cpuid = {.head.nent = CPUID_MAX};
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = CODE, .rsp = 0x8000, .rflags = 2};

	m.vcpu = ioctl(m.vm, KVM_CREATE_VCPU, 0);
	ck_ioctl(m.vcpu, "KVM_CREATE_VCPU");
	IOCTL(m.kvm, KVM_GET_SUPPORTED_CPUID, &cpuid.head);
	IOCTL(m.vcpu, KVM_SET_CPUID2, &cpuid.head);
	IOCTL(m.vcpu, KVM_GET_SREGS, &sregs);
	sregs.apic_base |= APIC_BASE_X2;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	IOCTL(m.vcpu, KVM_SET_SREGS, &sregs);
	IOCTL(m.vcpu, KVM_SET_REGS, &regs);
	m.run_size = (size_t)ioctl(m.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	m.run = mmap(NULL, m.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu, 0);
	ck_assert_ptr_ne(m.run, MAP_FAILED);
	apic_switch(true);
}

static void machine_up(void)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {IRQ_IOAPIC_PINS}};
	struct kvm_userspace_memory_region slot = {.memory_size = RAM_SIZE};
	struct irq_backend be;
	int routes;

	m.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ck_ioctl(m.kvm, "/dev/kvm");
	m.vm = ioctl(m.kvm, KVM_CREATE_VM, 0);
	ck_ioctl(m.vm, "KVM_CREATE_VM");
	IOCTL(m.vm, KVM_ENABLE_CAP, &split);
	m.ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(m.ram, MAP_FAILED);
	slot.userspace_addr = (uintptr_t)m.ram;
	IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &slot);
	vcpu_up();
	routes = ioctl(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING);
	ck_assert_int_gt(routes, IRQ_IOAPIC_PINS);
	be = irq_backend_kvm(m.vm);
	ck_assert_int_eq(irq_router_create(&be, (unsigned int)routes, NULL, &m.router), 0);
	ck_assert_int_eq(ioapic_create(m.router, 0xf0f8, NULL, &m.io), 0);
}

static void machine_down(void)
{
	ioapic_destroy(m.io);
	irq_router_destroy(m.router);
	munmap(m.run, m.run_size);
	close(m.vcpu);
	close(m.vm);
	close(m.kvm);
	munmap(m.ram, RAM_SIZE);
}

static struct irq_vector *vector_new(uint8_t vector)
{
	struct irq_vector *v = NULL;
	struct err e = {0};

	ck_assert_int_eq(irq_vector_create(m.router, 0x0100, &e, &v), 0);
	ck_assert_int_eq(irq_vector_set(v, (struct irq_msi){0xfee00000, vector}, &e), 0);
	return v;
}

static void unmask(struct irq_vector *v)
{
	struct err e = {0};

	ck_assert_msg(irq_vector_unmask(v, &e) == 0, "%s", e.text);
}

START_TEST(vector_signalled_reaches_the_local_apic)
{
	struct irq_vector *v = vector_new(0x31);

	unmask(v);
	irq_vector_fire(v);
	ck_assert(comes(0x31));
	irq_vector_destroy(v);
}
END_TEST

/* The two promises about the pending bit rest on how KVM treats the eventfd. */
START_TEST(vector_signalled_while_masked_comes_at_the_unmask)
{
	struct irq_vector *v = vector_new(0x31);
	struct irq_stats s;

	unmask(v);
	irq_vector_mask(v);
	irq_vector_fire(v);
	ck_assert(irq_vector_pending(v));
	ck_assert(!requested(0x31));
	unmask(v);
	ck_assert(comes(0x31));
	irq_vector_mask(v);
	ck_assert(!irq_vector_pending(v));
	apic_drop();
	unmask(v);
	irq_vector_mask(v); /* waits for KVM's worker */
	ck_assert(!requested(0x31));
	irq_router_stats(m.router, &s);
	ck_assert_uint_eq(s.route_commits, 1);
	ck_assert_uint_eq(s.irqfd_calls, 6);
	irq_vector_destroy(v);
}
END_TEST

START_TEST(vector_retargeted_reaches_the_new_vector_only)
{
	struct irq_vector *v = vector_new(0x31);
	struct err e = {0};

	unmask(v);
	ck_assert_int_eq(irq_vector_set(v, (struct irq_msi){0xfee00000, 0x42}, &e), 0);
	irq_vector_fire(v);
	ck_assert(comes(0x42));
	ck_assert(!requested(0x31));
	irq_vector_destroy(v);
}
END_TEST

/* With its page at 0 the destination is read from bits 19:12 alone: it must never get so far. */
START_TEST(vector_with_an_address_that_is_no_interrupt_reaches_nobody)
{
	struct irq_vector *v = vector_new(0x31);
	struct err e = {0};

	ck_assert_int_eq(irq_vector_set(v, (struct irq_msi){0x100000, 0x31}, &e), 0);
	unmask(v);
	irq_vector_fire(v);
	usleep(20000);
	ck_assert(!requested(0x31));
	irq_vector_destroy(v);
}
END_TEST

START_TEST(message_sent_is_delivered_or_reported_blocked)
{
	ck_assert_int_gt(irq_router_send(m.router, 0, (struct irq_msi){0xfee00000, 0x51}), 0);
	ck_assert(requested(0x51));
	/* nobody has id 7: KVM's -1 is no error of ours */
	ck_assert_int_eq(irq_router_send(m.router, 0, (struct irq_msi){0xfee07000, 0x52}), 0);
	apic_switch(false);
	ck_assert_int_eq(irq_router_send(m.router, 0, (struct irq_msi){0xfee00000, 0x53}), 0);
	ck_assert(!requested(0x53));
}
END_TEST

static void low_put(unsigned int pin, uint32_t val)
{
	ioapic_write(m.io, 0x00, 4, 0x10 + 2 * pin);
	ioapic_write(m.io, 0x10, 4, val);
}

static uint32_t low_get(unsigned int pin)
{
	ioapic_write(m.io, 0x00, 4, 0x10 + 2 * pin);
	return (uint32_t)ioapic_read(m.io, 0x10, 4);
}

START_TEST(level_pin_waits_for_a_local_apic_that_is_off)
{
	apic_switch(false);
	low_put(9, 0x8039);
	ioapic_set(m.io, 9, true);
	ck_assert_uint_eq(low_get(9), 0x9039);
	apic_switch(true);
	ioapic_write(m.io, 0x00, 4, 0);
	ck_assert(requested(0x39));
	ck_assert_uint_eq(low_get(9), 0xc039);
}
END_TEST

/*
 * The reason for the routes of GSI 0..23: the guest's EOI, a write to an MSR that the kernel serves,
 * comes out as KVM_EXIT_IOAPIC_EOI. An edge's EOI does not.
 */
START_TEST(eoi_of_a_level_pin_exits_and_of_an_edge_pin_does_not)
{
	static const uint8_t code[] = {
		0xfb,       /* sti */
		0xf4,       /* 1: hlt */
		0xeb, 0xfd, /* jmp 1b */
	};
	static const uint8_t handler[] = {
		0x66, 0xb9, 0x0b, 0x08, 0, 0, /* mov $0x80b, %ecx: x2APIC EOI */
		0x66, 0x31, 0xc0,             /* xor %eax, %eax */
		0x66, 0x31, 0xd2,             /* xor %edx, %edx */
		0x0f, 0x30,                   /* wrmsr */
		0xe6, WAIT_PORT,              /* out %al, $WAIT_PORT */
		0xe6, DONE_PORT,              /* out %al, $DONE_PORT */
		0xcf,                         /* iret */
	};
	static const uint16_t gate[2] = {HANDLER, 0};
	bool level = _i == 0;
	int eois = 0;

	memcpy(m.ram + CODE, code, sizeof(code));
	memcpy(m.ram + HANDLER, handler, sizeof(handler));
	memcpy(m.ram + 0x39 * 4, gate, sizeof(gate));
	low_put(9, level ? 0x8039 : 0x0039);
	ioapic_set(m.io, 9, true);
	ck_assert_uint_eq(low_get(9), level ? 0xc039 : 0x0039);
	ioapic_set(m.io, 9, false);
	for (;;) {
		IOCTL(m.vcpu, KVM_RUN, 0);
		if (m.run->exit_reason == KVM_EXIT_IO) {
			/*
			 * A KVM that emulates the guest leaves for the out first, and for the EOI
			 * when it is entered again.
			 */
			if (m.run->io.port == WAIT_PORT)
				continue;
			ck_assert_uint_eq(m.run->io.port, DONE_PORT);
			break;
		}
		ck_assert_uint_eq(m.run->exit_reason, KVM_EXIT_IOAPIC_EOI);
		ck_assert_uint_eq(m.run->eoi.vector, 0x39);
		ioapic_eoi(m.io, m.run->eoi.vector);
		eois++;
	}
	ck_assert_int_eq(eois, level);
	ck_assert_uint_eq(low_get(9), level ? 0x8039 : 0x0039);
}
END_TEST

int main(void)
{
	const char *why = lacking();
	Suite *s = suite_create("irqremap on KVM");
	TCase *t = tcase_create("kvm");
	SRunner *sr;
	int failed;

	if (why) {
		printf("skipped: %s\n", why);
		return 77;
	}
	tcase_add_checked_fixture(t, machine_up, machine_down);
	tcase_add_test(t, vector_signalled_reaches_the_local_apic);
	tcase_add_test(t, vector_signalled_while_masked_comes_at_the_unmask);
	tcase_add_test(t, vector_retargeted_reaches_the_new_vector_only);
	tcase_add_test(t, vector_with_an_address_that_is_no_interrupt_reaches_nobody);
	tcase_add_test(t, message_sent_is_delivered_or_reported_blocked);
	tcase_add_test(t, level_pin_waits_for_a_local_apic_that_is_off);
	tcase_add_loop_test(t, eoi_of_a_level_pin_exits_and_of_an_edge_pin_does_not, 0, 2);
	tcase_set_timeout(t, 30);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
