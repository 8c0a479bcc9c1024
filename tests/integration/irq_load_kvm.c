// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Interrupts on this machine's KVM while they are moved, masked and remapped under load. A producer
 * signals a vector and waits until the guest has counted it before it signals again, so nothing may
 * coalesce: what the guest counted has to be what was signalled, each at a CPU and vector that were
 * programmed together.
 *
 * The guest has two vCPUs in real mode that sleep; vector N adds one to the Nth word of its CPU's page.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/bytes.h"
#include "irqremap/irqremap.h"
#include "irqremap/vtd.h"
#include "vmm/msi.h"
#include "tests/integration/kvm_need.h"

#define MOVES   10000u
#define ENOUGH  1000u /* interrupts among them, at the least */
#define LOST_MS 20000

#define CPUS      2u
#define CPUID_MAX 128
#define RID       0x0108

#define RAM_SIZE  0x20000u
#define CODE      0x1000u
#define COMMON    0x1100u
#define STUBS     0x1800u /* 8 bytes for each vector */
#define WAIT_PORT 0x10
#define PAGE_OF   0x4000u /* of CPU 0; the next CPU's follows */
#define TOTAL     0x400u  /* in that page, after the 256 words */
#define STACK_OF  0x8000u
#define TABLE_OF  0x10000u /* two remapping tables of 256 entries */
#define QUEUE     0x12000u

/* Targets: the CPU is the vector's lowest bit, so that a torn message shows. */
#define VECTORS 32u
#define VECTOR0 0x40u
#define STRAY   0xa0u /* in entries that are not to be used */

#define APIC_SVR     0xf0
#define APIC_BASE_X2 (3ull << 10)

static struct machine {
	int kvm, vm, vcpu[CPUS];
	struct kvm_run *run[CPUS];
	size_t run_size;
	pthread_t thread[CPUS], producer;
	uint8_t *ram;
	struct irq_router *router;
	struct vtd *vtd;
	struct ioapic *io;
	_Atomic bool stop, end;
	bool level;             /* a pin is under load, not a vector */
	_Atomic uint64_t ended; /* level interrupts */
	_Atomic uint64_t fired;
	void (*fire)(void *ctx);
	void *ctx;
} m;

#define IOCTL(fd, request, arg) ck_assert_msg(ioctl(fd, request, arg) >= 0, #request ": %m")

/* ---- the guest ---- */

static const uint8_t code_sleep[] = {
	0xfb,       /* sti */
	0xf4,       /* 1: hlt */
	0xeb, 0xfd, /* jmp 1b */
};
/*
 * The out is for a KVM that emulates the guest: it leaves for a level's EOI at its next entry only, which
 * there would be none of while the vCPU sleeps.
 */
static const uint8_t code_common[] = {
	0x66, 0xff, 0x06, TOTAL & 0xff, TOTAL >> 8, /* incl TOTAL */
	0x66, 0xb9, 0x0b, 0x08, 0, 0,               /* mov $0x80b, %ecx: x2APIC EOI */
	0x66, 0x31, 0xc0,                           /* xor %eax, %eax */
	0x66, 0x31, 0xd2,                           /* xor %edx, %edx */
	0x0f, 0x30,                                 /* wrmsr */
	0xe6, WAIT_PORT,                            /* out %al, $WAIT_PORT */
	0xcf,                                       /* iret */
};

static void code_put(void)
{
	memcpy(m.ram + CODE, code_sleep, sizeof(code_sleep));
	memcpy(m.ram + COMMON, code_common, sizeof(code_common));
	for (unsigned int v = 0; v < 256; v++) {
		uint16_t at = (uint16_t)(STUBS + 8 * v);
		uint8_t *p = m.ram + at;

		/* incl 4 * v; jmp COMMON */
		memcpy(p, (const uint8_t[]){0x66, 0xff, 0x06}, 3);
		le_store(p + 3, 2, 4 * v);
		p[5] = 0xe9;
		le_store(p + 6, 2, (uint16_t)(COMMON - (at + 8)));
		le_store(m.ram + 4 * v, 4, at);
	}
}

static uint32_t counted(unsigned int cpu, unsigned int off)
{
	return __atomic_load_n(
		(uint32_t *)(void *)(m.ram + PAGE_OF + 0x1000 * cpu + off), __ATOMIC_ACQUIRE);
}

static uint64_t counted_all(void)
{
	return (uint64_t)counted(0, TOTAL) + counted(1, TOTAL);
}

static void on_signal(int sig)
{
}

static void *vcpu_run(void *arg)
{
	unsigned int i = (unsigned int)(uintptr_t)arg;

	while (!m.end) {
		if (ioctl(m.vcpu[i], KVM_RUN, 0) < 0 && errno != EINTR && errno != EAGAIN) {
			perror("KVM_RUN");
			abort();
		}
		if (m.run[i]->exit_reason == KVM_EXIT_IOAPIC_EOI) {
			ioapic_eoi(m.io, m.run[i]->eoi.vector);
			m.run[i]->exit_reason = KVM_EXIT_INTR;
		}
		if (!m.end && m.run[i]->exit_reason != KVM_EXIT_INTR &&
			m.run[i]->exit_reason != KVM_EXIT_IO) {
			fprintf(stderr, "vCPU %u left with %u\n", i, m.run[i]->exit_reason);
			abort();
		}
	}
	return NULL;
}

static void vcpu_up(unsigned int i)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[CPUID_MAX];
	} cpuid = {.head.nent = CPUID_MAX};
	struct kvm_regs regs = {.rip = CODE, .rsp = STACK_OF + 0x1000 * i, .rflags = 2};
	struct kvm_mp_state runnable = {KVM_MP_STATE_RUNNABLE};
	struct kvm_lapic_state apic;
	struct kvm_sregs sregs;

	m.vcpu[i] = ioctl(m.vm, KVM_CREATE_VCPU, i);
	ck_assert_int_ge(m.vcpu[i], 0);
	IOCTL(m.kvm, KVM_GET_SUPPORTED_CPUID, &cpuid.head);
	IOCTL(m.vcpu[i], KVM_SET_CPUID2, &cpuid.head);
	IOCTL(m.vcpu[i], KVM_GET_SREGS, &sregs);
	sregs.apic_base |= APIC_BASE_X2;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	sregs.ds.base = PAGE_OF + 0x1000 * i;
	sregs.ds.selector = (uint16_t)(sregs.ds.base >> 4);
	IOCTL(m.vcpu[i], KVM_SET_SREGS, &sregs);
	IOCTL(m.vcpu[i], KVM_SET_REGS, &regs);
	IOCTL(m.vcpu[i], KVM_SET_MP_STATE, &runnable);
	IOCTL(m.vcpu[i], KVM_GET_LAPIC, &apic);
	le_store((uint8_t *)apic.regs + APIC_SVR, 4, 0x1ff);
	IOCTL(m.vcpu[i], KVM_SET_LAPIC, &apic);
	m.run[i] = mmap(NULL, m.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu[i], 0);
	ck_assert_ptr_ne(m.run[i], MAP_FAILED);
}

static int mem_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	if (gpa >= RAM_SIZE || len > RAM_SIZE - gpa)
		return -EFAULT;
	memcpy(buf, m.ram + gpa, len);
	return 0;
}

static int mem_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
	if (gpa >= RAM_SIZE || len > RAM_SIZE - gpa)
		return -EFAULT;
	memcpy(m.ram + gpa, buf, len);
	return 0;
}

static void machine_up(void)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {IRQ_IOAPIC_PINS}};
	struct kvm_userspace_memory_region slot = {.memory_size = RAM_SIZE};
	const struct vtd_memory mem = {mem_read, mem_write, NULL};
	struct sigaction sa = {.sa_handler = on_signal};
	struct irq_backend be;

	memset(&m, 0, sizeof(m));
	sigaction(SIGUSR1, &sa, NULL);
	m.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	m.vm = ioctl(m.kvm, KVM_CREATE_VM, 0);
	ck_assert_int_ge(m.vm, 0);
	IOCTL(m.vm, KVM_ENABLE_CAP, &split);
	m.ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(m.ram, MAP_FAILED);
	code_put();
	slot.userspace_addr = (uintptr_t)m.ram;
	IOCTL(m.vm, KVM_SET_USER_MEMORY_REGION, &slot);
	m.run_size = (size_t)ioctl(m.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	for (unsigned int i = 0; i < CPUS; i++)
		vcpu_up(i);
	be = irq_backend_kvm(m.vm);
	ck_assert_int_eq(irq_router_create(&be, 4096, NULL, &m.router), 0);
	ck_assert_int_eq(vtd_create(m.router, &mem, NULL, &m.vtd), 0);
	ck_assert_int_eq(ioapic_create(m.router, 0xf0f8, NULL, &m.io), 0);
	for (unsigned int i = 0; i < CPUS; i++)
		pthread_create(&m.thread[i], NULL, vcpu_run, (void *)(uintptr_t)i);
}

static void machine_down(void)
{
	m.end = true;
	for (unsigned int i = 0; i < CPUS; i++) {
		m.run[i]->immediate_exit = 1;
		pthread_kill(m.thread[i], SIGUSR1);
		pthread_join(m.thread[i], NULL);
		munmap(m.run[i], m.run_size);
		close(m.vcpu[i]);
	}
	ioapic_destroy(m.io);
	vtd_destroy(m.vtd);
	irq_router_destroy(m.router);
	close(m.vm);
	close(m.kvm);
	munmap(m.ram, RAM_SIZE);
}

/* ---- load ---- */

static struct irq_msi target(unsigned int i)
{
	unsigned int vector = VECTOR0 + i % VECTORS;

	return (struct irq_msi){0xfee00000u | (vector & 1) << 12, vector};
}

/* A level is over when its line may be raised again, another interrupt when it was counted. */
static uint64_t done(void)
{
	return m.level ? m.ended : counted_all();
}

static void *produce(void *arg)
{
	static const struct timespec step = {.tv_nsec = 20000};

	while (!m.stop) {
		struct timespec now, from;

		m.fire(m.ctx);
		m.fired++;
		clock_gettime(CLOCK_MONOTONIC, &from);
		for (unsigned int i = 0; done() != m.fired; i++) {
			if (i > 50)
				nanosleep(&step, NULL);
			else
				sched_yield();
			clock_gettime(CLOCK_MONOTONIC, &now);
			if ((now.tv_sec - from.tv_sec) * 1000 > LOST_MS ||
				counted_all() > m.fired) {
				fprintf(stderr, "signalled %llu, counted %llu\n",
					(unsigned long long)m.fired,
					(unsigned long long)counted_all());
				abort();
			}
		}
	}
	return NULL;
}

static void load_start(void (*fire)(void *ctx), void *ctx)
{
	m.fire = fire;
	m.ctx = ctx;
	ck_assert_int_eq(pthread_create(&m.producer, NULL, produce, NULL), 0);
}

static bool load_goes_on(unsigned int moves)
{
	return moves < MOVES || m.fired < ENOUGH;
}

/* A move is over when its call is: from then on interrupts come to @to. */
static void ck_arrives(struct irq_msi to)
{
	static const struct timespec step = {.tv_nsec = 20000};
	unsigned int cpu = to.addr >> 12 & 1, off = 4 * to.data;
	uint32_t n = counted(cpu, off);
	uint64_t from = m.fired;

	while (m.fired < from + 3)
		nanosleep(&step, NULL);
	ck_assert_uint_gt(counted(cpu, off), n);
}

/* Nothing was lost, nothing came twice, and nothing came where it was not sent. */
static void load_end(const char *what, unsigned int moves)
{
	uint64_t sum = 0;

	m.stop = true;
	pthread_join(m.producer, NULL);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
		for (unsigned int v = 0; v < 256; v++) {
			uint32_t n = counted(cpu, 4 * v);

			ck_assert_msg(
				!n || (v >= VECTOR0 && v < VECTOR0 + VECTORS && (v & 1) == cpu),
				"%u interrupts of vector %#x at CPU %u", n, v, cpu);
			sum += n;
		}
	}
	printf("%s: %u moves, %llu interrupts\n", what, moves, (unsigned long long)m.fired);
	ck_assert_uint_eq(sum, m.fired);
}

/*
 * Held while signalling and while unmasking, as msix_fire() and msi_fire() do. Without it KVM itself
 * doubles about one in some thousand: as it attaches an eventfd it asks whether that is signalled
 * without the eventfd's lock, and so also sees a signal that its own wake-up is about to inject.
 */
static pthread_mutex_t attaching = PTHREAD_MUTEX_INITIALIZER;

static void vector_fire(void *ctx)
{
	pthread_mutex_lock(&attaching);
	irq_vector_fire(ctx);
	pthread_mutex_unlock(&attaching);
}

START_TEST(vector_moved_and_masked_under_load_loses_and_doubles_nothing)
{
	struct irq_vector *v;
	unsigned int i;

	ck_assert_int_eq(irq_vector_create(m.router, RID, NULL, &v), 0);
	ck_assert_int_eq(irq_vector_set(v, target(0), NULL), 0);
	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	load_start(vector_fire, v);
	for (i = 0; load_goes_on(i); i++) {
		ck_assert_int_eq(irq_vector_set(v, target(i), NULL), 0);
		if (i % 7 == 0) {
			irq_vector_mask(v);
			(void)irq_vector_pending(v);
			pthread_mutex_lock(&attaching);
			ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
			pthread_mutex_unlock(&attaching);
		}
		if (i % 64 == 0)
			ck_arrives(target(i));
	}
	load_end("vector", i);
	irq_vector_destroy(v);
}
END_TEST

static void msix_entry(struct msix *x, struct irq_msi to)
{
	msix_table_write(x, 12, 4, 1);
	msix_table_write(x, 0, 4, (uint32_t)to.addr);
	msix_table_write(x, 4, 4, 0);
	msix_table_write(x, 8, 4, to.data);
	(void)msix_pba_read(x, 0, 8);
	msix_table_write(x, 12, 4, 0);
}

static void msix_signal(void *ctx)
{
	msix_fire(ctx, 0);
}

/* As Linux moves one: mask the entry, write it, unmask; and the function mask now and then. */
START_TEST(msix_moved_and_masked_under_load_loses_and_doubles_nothing)
{
	static const struct msi_ops none;
	struct msix *x;
	unsigned int i;

	ck_assert_int_eq(msix_create(m.router, RID, 4, &none, NULL, &x), 0);
	msix_entry(x, target(0));
	msix_control(x, 0x8000);
	load_start(msix_signal, x);
	for (i = 0; load_goes_on(i); i++) {
		if (i % 5 == 0)
			msix_control(x, 0xc000);
		msix_entry(x, target(i));
		if (i % 5 == 0) {
			(void)msix_pba_read(x, 0, 8);
			msix_control(x, 0x8000);
		}
		if (i % 64 == 0)
			ck_arrives(target(i));
	}
	load_end("MSI-X", i);
	ck_assert_uint_eq(msix_errors(x), 0);
	msix_destroy(x);
}
END_TEST

static void msi_signal(void *ctx)
{
	msi_fire(ctx, 0);
}

START_TEST(msi_moved_and_masked_under_load_loses_and_doubles_nothing)
{
	static const struct msi_ops none;
	struct msi *x;
	unsigned int i;

	ck_assert_int_eq(msi_create(m.router, RID, 1, &none, NULL, &x), 0);
	msi_update(x, true, target(0).addr, (uint16_t)target(0).data, 1, 0);
	load_start(msi_signal, x);
	for (i = 0; load_goes_on(i); i++) {
		struct irq_msi to = target(i);

		if (i % 3 == 0) {
			msi_update(x, true, target(i + VECTORS - 1).addr,
				(uint16_t)target(i + VECTORS - 1).data, 1, 1);
			(void)msi_pending(x);
			msi_update(x, true, to.addr, (uint16_t)to.data, 1, 1);
		}
		msi_update(x, true, to.addr, (uint16_t)to.data, 1, 0);
		if (i % 64 == 0)
			ck_arrives(to);
	}
	load_end("MSI", i);
	ck_assert_uint_eq(msi_errors(x), 0);
	msi_destroy(x);
}
END_TEST

#define PIN    9u
#define LEVEL  0x8000u
#define REMOTE 0x4000u
#define MASKED 0x10000u

static void pin_raise(void *ctx)
{
	ioapic_set(m.io, PIN, true);
}

/* The guest's end of it, on the vCPU that left for it. */
static void pin_ended(void *ctx, unsigned int pin)
{
	ioapic_set(m.io, pin, false);
	m.ended++;
}

static uint32_t pin_get(void)
{
	ioapic_write(m.io, 0, 4, 0x10 + 2 * PIN);
	return (uint32_t)ioapic_read(m.io, 0x10, 4);
}

static void pin_put(uint32_t low)
{
	ioapic_write(m.io, 0, 4, 0x10 + 2 * PIN);
	ioapic_write(m.io, 0x10, 4, low);
}

/* As Linux moves one: masked, and not before the interrupt under way has ended. */
START_TEST(level_pin_moved_and_masked_under_load_loses_and_doubles_nothing)
{
	static const struct timespec step = {.tv_nsec = 20000};
	unsigned int i;

	m.level = true;
	ioapic_on_eoi(m.io, PIN, pin_ended, NULL);
	pin_put(target(0).data | LEVEL);
	load_start(pin_raise, NULL);
	for (i = 0; load_goes_on(i); i++) {
		struct irq_msi to = target(i);

		pin_put((pin_get() & 0xff) | LEVEL | MASKED);
		while (pin_get() & REMOTE)
			nanosleep(&step, NULL);
		ioapic_write(m.io, 0, 4, 0x11 + 2 * PIN);
		ioapic_write(m.io, 0x10, 4, (uint32_t)(to.addr >> 12 & 1) << 24);
		pin_put(to.data | LEVEL | MASKED);
		pin_put(to.data | LEVEL);
		if (i % 64 == 0)
			ck_arrives(to);
	}
	load_end("level pin", i);
	ck_assert_uint_eq(m.ended, m.fired);
}
END_TEST

/* ---- the guest's remapping unit ---- */

#define GCMD  0x18
#define FSTS  0x34
#define IQH   0x80
#define IQT   0x88
#define IQA   0x90
#define IRTA  0xb8
#define QIE   (1u << 26)
#define IRE   (1u << 25)
#define SIRTP (1u << 24)

static void entries_put(unsigned int table, unsigned int cpu, unsigned int vector)
{
	uint64_t lo = 1 | (uint64_t)vector << 16 | (uint64_t)cpu << 40;

	for (unsigned int i = 0; i < 256; i++) {
		le_store(m.ram + TABLE_OF + 0x1000 * table + 16 * i + 8, 8, RID | 1 << 18);
		le_store(m.ram + TABLE_OF + 0x1000 * table + 16 * i, 8, lo);
	}
}

static void invalidate(void)
{
	uint32_t tail = (uint32_t)vtd_read(m.vtd, IQT, 8);

	le_store(m.ram + QUEUE + tail, 8, 4);
	le_store(m.ram + QUEUE + tail + 8, 8, 0);
	vtd_write(m.vtd, IQT, 8, (tail + 16) % 4096);
	ck_assert_uint_eq(vtd_read(m.vtd, IQH, 8), vtd_read(m.vtd, IQT, 8));
}

/*
 * The table is another one each time. The one that is not used has other vectors in it, before and
 * after it was the one: none of them may ever be seen.
 */
START_TEST(remapping_table_exchanged_under_load_delivers_only_what_was_programmed)
{
	struct irq_msi request = {0xfee00010u | 9 << 5, 0};
	struct irq_vector *v;
	struct irq_msi to = target(0);
	unsigned int i;

	entries_put(0, to.addr >> 12 & 1, to.data);
	vtd_write(m.vtd, IQA, 8, QUEUE);
	vtd_write(m.vtd, GCMD, 4, QIE);
	vtd_write(m.vtd, IRTA, 8, TABLE_OF | 7);
	vtd_write(m.vtd, GCMD, 4, QIE | SIRTP);
	vtd_write(m.vtd, GCMD, 4, QIE | IRE);
	ck_assert_int_eq(irq_vector_create(m.router, RID, NULL, &v), 0);
	ck_assert_int_eq(irq_vector_set(v, request, NULL), 0);
	ck_assert_int_eq(irq_vector_unmask(v, NULL), 0);
	load_start(vector_fire, v);
	for (i = 1; load_goes_on(i); i++) {
		unsigned int table = i % 2;

		to = target(i);
		entries_put(table, 0, STRAY);
		vtd_write(m.vtd, IRTA, 8, (TABLE_OF + 0x1000 * table) | 7);
		/* An invalidation looks at the table that was set, not at the one to come. */
		invalidate();
		entries_put(table, to.addr >> 12 & 1, to.data);
		vtd_write(m.vtd, GCMD, 4, QIE | IRE | SIRTP);
		invalidate();
		entries_put(!table, 1, STRAY + 1);
		if (i % 64 == 0)
			ck_arrives(to);
	}
	load_end("remapped", i);
	ck_assert_uint_eq(vtd_read(m.vtd, FSTS, 4), 0);
	irq_vector_destroy(v);
}
END_TEST

int main(void)
{
	const char *why = lacking();
	Suite *s = suite_create("interrupts under load on KVM");
	TCase *t = tcase_create("load");
	SRunner *sr;
	int failed;

	if (why) {
		printf("skipped: %s\n", why);
		return 77;
	}
	tcase_add_checked_fixture(t, machine_up, machine_down);
	tcase_add_test(t, vector_moved_and_masked_under_load_loses_and_doubles_nothing);
	tcase_add_test(t, msix_moved_and_masked_under_load_loses_and_doubles_nothing);
	tcase_add_test(t, msi_moved_and_masked_under_load_loses_and_doubles_nothing);
	tcase_add_test(t, level_pin_moved_and_masked_under_load_loses_and_doubles_nothing);
	tcase_add_test(t, remapping_table_exchanged_under_load_delivers_only_what_was_programmed);
	tcase_set_timeout(t, 100);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
