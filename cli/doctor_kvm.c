// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Can this machine's KVM run Linux? Opening /dev/kvm does not tell: there are sandboxes whose KVM
 * makes virtual machines but emulates their kernel code one instruction at a time. So a guest that
 * does what Linux begins with is run, and ordinary code in it is timed.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/doctor_cli.h"
#include "cli/doctor_kvm.h"
#include "common/cleanup.h"
#include "vmm/layout.h"
#include "vmm/vm.h"

#define GUEST_RAM (16ull << 20)

/*
 * Per instruction of the guest's kernel. Hardware takes less than one, QEMU's software CPU some ten;
 * an emulator in the host's kernel takes hundreds. Until its init starts Linux executes a thousand
 * million of them: unpacking itself alone is half of that.
 */
#define NS_FAST           40
#define NS_SLOW           100
#define BOOT_INSTRUCTIONS 1000000000ull

extern const uint8_t doctor_guest[], doctor_guest_end[], doctor_guest_ud[], doctor_guest_pf[],
	doctor_guest_timer[];

static const char *const step_names[] = {
	[0] = "its first instruction",
	[STEP_SEGMENTS] = "loading descriptor tables",
	[STEP_EXCEPTION] = "taking an exception",
	[STEP_REGISTERS] = "control and model specific registers",
	[STEP_FPU] = "the FPU",
	[STEP_PAGING] = "page tables and a page fault",
	[STEP_STRINGS] = "string instructions",
	[STEP_USER] = "user mode and SYSCALL",
	[STEP_TIMER] = "an interrupt of the local APIC's timer",
	[STEP_SPEED] = "ordinary code",
};

/* What the child tells. */
struct answer {
	int error; /* of making or starting the machine: -errno */
	bool done, wrong;
	unsigned step;
	uint64_t best_ns; /* of a batch */
	char text[sizeof(((struct err *)0)->text)];
};

struct probe {
	struct vm *vm;
	struct answer *a; /* shared with the parent: a guest that hangs cannot tell it at the end */
	uint64_t mark_ns;
	bool in_batch;
};

/* The processor's time of this thread, the guest's included: another load does not count. */
static uint64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void batch_mark(struct probe *p)
{
	uint64_t now = thread_ns();

	if (p->in_batch && (!p->a->best_ns || now - p->mark_ns < p->a->best_ns))
		p->a->best_ns = now - p->mark_ns ? now - p->mark_ns : 1;
	p->in_batch = !p->in_batch;
	p->mark_ns = thread_ns();
}

/* By the vCPU's thread, the only one. */
static void port_write(void *ctx, uint64_t off, unsigned int len, uint64_t val)
{
	struct probe *p = ctx;

	switch (off + PORT_STEP) {
	case PORT_STEP: p->a->step = (unsigned)val; break;
	case PORT_MARK: batch_mark(p); break;
	case PORT_WRONG:
		p->a->wrong = true;
		vm_stop(p->vm, VM_END_STOPPED, "wrong");
		break;
	case PORT_END:
		p->a->done = true;
		vm_stop(p->vm, VM_END_POWEROFF, "done");
		break;
	default: break;
	}
}

static uint64_t port_read(void *ctx, uint64_t off, unsigned int len)
{
	return 0;
}

static int put(struct vm *vm, uint64_t gpa, const void *data, size_t len, struct err *e)
{
	return gmem_write(vm->mem, gpa, data, len) < 0
		       ? err_set(e, EFAULT, "0x%llx is not memory", (unsigned long long)gpa)
		       : 0;
}

static int put64(struct vm *vm, uint64_t gpa, uint64_t v, struct err *e)
{
	return put(vm, gpa, &v, sizeof(v), e);
}

/* The first GiB as it is, in pages that user mode may use too. */
static int tables_put(struct vm *vm, struct err *e)
{
	const uint64_t pml4 = LAYOUT_PAGE_TABLE, pdpt = pml4 + 0x1000, pd = pdpt + 0x1000;
	int r = put64(vm, pml4, pdpt | 7, e);

	if (r == 0)
		r = put64(vm, pdpt, pd | 7, e);
	/* The local APIC lies in the fourth GiB. */
	if (r == 0)
		r = put64(vm, pdpt + 24, (pd + 0x1000) | 7, e);
	for (uint64_t i = 0; r == 0 && i < 512; i++)
		r = put64(vm, pd + i * 8, i << 21 | 0x87, e);
	for (uint64_t i = 0; r == 0 && i < 512; i++)
		r = put64(vm, pd + 0x1000 + i * 8, (3ull << 30) | i << 21 | 0x97, e);
	return r;
}

static int gate_put(struct vm *vm, unsigned vector, const uint8_t *handler, struct err *e)
{
	uint64_t at = GUEST_CODE + (uint64_t)(handler - doctor_guest);
	uint64_t low = (at & 0xffff) | (uint64_t)SEL_KERNEL_CODE << 16 | 0x8eull << 40 |
		       (at >> 16 & 0xffff) << 48;
	int r = put64(vm, GUEST_IDT + vector * 16, low, e);

	return r < 0 ? r : put64(vm, GUEST_IDT + vector * 16 + 8, at >> 32, e);
}

static int guest_put(struct vm *vm, struct err *e)
{
	static const uint64_t boot_gdt[] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};
	static const uint64_t gdt[] = {
		[SEL_KERNEL_CODE / 8] = 0x00af9b000000ffff,
		[SEL_KERNEL_DATA / 8] = 0x00cf93000000ffff,
		[SEL_USER_DATA / 8] = 0x00cff3000000ffff,
		[SEL_USER_CODE / 8] = 0x00affb000000ffff,
		[SEL_TSS / 8] = 0x0000890000000067 | (uint64_t)GUEST_TSS << 16,
		[SEL_TSS / 8 + 1] = 0,
	};
	const struct {
		uint64_t gpa, value;
	} words[] = {
		{GUEST_MAGIC, GUEST_MAGIC_VALUE},
		{GUEST_GDTR, (uint64_t)GUEST_GDT << 16 | (sizeof(gdt) - 1)},
		{GUEST_IDTR, (uint64_t)GUEST_IDT << 16 | 0xfff},
		{GUEST_TSS + 4, GUEST_STACK},
	};
	/* Labels of one piece of assembler. */
	/* cppcheck-suppress comparePointers */
	const size_t size = (size_t)(doctor_guest_end - doctor_guest);
	int r = put(vm, LAYOUT_GDT, boot_gdt, sizeof(boot_gdt), e);

	if (r == 0)
		r = put(vm, GUEST_GDT, gdt, sizeof(gdt), e);
	if (r == 0)
		r = put(vm, GUEST_CODE, doctor_guest, size, e);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(words); i++)
		r = put64(vm, words[i].gpa, words[i].value, e);
	if (r == 0)
		r = gate_put(vm, VECTOR_UD, doctor_guest_ud, e);
	if (r == 0)
		r = gate_put(vm, VECTOR_PF, doctor_guest_pf, e);
	if (r == 0)
		r = gate_put(vm, VECTOR_TIMER, doctor_guest_timer, e);
	return r < 0 ? r : tables_put(vm, e);
}

static int guest_run(struct probe *p, struct err *e)
{
	const struct vm_config cfg = {.name = "probe", .cpus = 1, .mem = {.size = GUEST_RAM}};
	const struct bus_region ports = {.base = PORT_STEP,
		.size = PORT_END - PORT_STEP + 1,
		.read = port_read,
		.write = port_write,
		.ctx = p,
		.name = "probe"};
	const struct boot_entry entry = {.mode = BOOT_LONG64,
		.rip = GUEST_CODE,
		.cr3 = LAYOUT_PAGE_TABLE,
		.gdt_base = LAYOUT_GDT,
		.gdt_limit = 31};
	struct pollfd pfd = {.events = POLLIN};
	int r = vm_create(&cfg, e, &p->vm);

	if (r == 0)
		r = bus_add(p->vm->pio, &ports, e);
	if (r == 0)
		r = guest_put(p->vm, e);
	if (r == 0)
		r = vm_start(p->vm, &entry, e);
	if (r < 0)
		return r;
	pfd.fd = vm_end_fd(p->vm);
	while (poll(&pfd, 1, -1) < 0 && errno == EINTR)
		;
	vm_join(p->vm);
	snprintf(p->a->text, sizeof(p->a->text), "%s", vm_end_text(p->vm));
	return 0;
}

static void __attribute__((noreturn)) child(struct answer *a)
{
	struct probe p = {.a = a};
	struct err e = {0};

	a->error = guest_run(&p, &e);
	if (a->error < 0)
		snprintf(a->text, sizeof(a->text), "%s", e.text);
	_exit(0);
}

/* Did @pid end within that time? It does not when the guest hangs. */
static bool child_wait(pid_t pid, unsigned timeout_ms)
{
	_cleanup_fd_ int fd = pidfd_open(pid, 0);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int r;

	do
		r = poll(&pfd, 1, (int)timeout_ms);
	while (r < 0 && errno == EINTR);
	return fd >= 0 && r > 0;
}

static void judge(const struct answer *a, struct kvm_probe *ret)
{
	const char *step = a->step < ARRAY_SIZE(step_names) ? step_names[a->step] : "?";
	unsigned ns = (unsigned)(a->best_ns / BATCH_INSTRUCTIONS);
	char speed[96] = "";

	if (a->best_ns)
		snprintf(speed, sizeof(speed), "%s%u ns an instruction of a guest's kernel",
			ns ? "" : "less than ", ns ? ns : 1);
	if (a->error < 0) {
		ret->answer = KVM_ABSENT;
		snprintf(ret->text, sizeof(ret->text), "no guest can be made: %s", a->text);
	} else if (!a->done) {
		ret->answer = KVM_CANNOT;
		snprintf(ret->text, sizeof(ret->text),
			"a guest that does what Linux does first went wrong at %s%s%s%s%s", step,
			a->wrong ? ", not done as the processor's manual says" : ": ",
			a->wrong ? "" : a->text, *speed ? "; " : "", speed);
	} else if (ns <= NS_FAST) {
		ret->answer = KVM_BOOTS;
		snprintf(ret->text, sizeof(ret->text), "this KVM can boot Linux (%s)", speed);
	} else {
		ret->answer = ns <= NS_SLOW ? KVM_SLOW : KVM_CANNOT;
		snprintf(ret->text, sizeof(ret->text),
			"%s: it is emulated, and Linux would need more than %llu s to start its "
			"init",
			speed, ns * BOOT_INSTRUCTIONS / 1000000000);
	}
	ret->ns = ns;
}

void kvm_probe(unsigned timeout_ms, struct kvm_probe *ret)
{
	struct answer *a =
		mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = -1;
	int status;

	*ret = (struct kvm_probe){.answer = KVM_ABSENT};
	/* What is buffered must not be printed by two. */
	fflush(stdout);
	if (a != MAP_FAILED)
		pid = fork();
	if (pid < 0) {
		snprintf(ret->text, sizeof(ret->text), "start a child: %s", strerror(errno));
		goto out;
	}
	if (pid == 0)
		child(a);
	if (!child_wait(pid, timeout_ms)) {
		kill(pid, SIGKILL);
		if (!a->error && !a->done)
			snprintf(a->text, sizeof(a->text), "no end in %u s", timeout_ms / 1000);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	judge(a, ret);
out:
	if (a != MAP_FAILED)
		munmap(a, sizeof(*a));
}
