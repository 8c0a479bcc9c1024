// SPDX-License-Identifier: GPL-2.0-or-later
/* A function with 2048 MSI-X vectors: what it costs VFIO and KVM, and a host that has too few. */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <linux/pci_regs.h>

#include "tests/unit/check_run.h"
#include "tests/unit/passthrough/host_world.h"

#define N   MSIX_MAX
#define PBA 0x8000u

static void setup(void)
{
	struct rlimit l;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = l.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
	log_level_set(LOG_LEVEL_ERROR);
	host_up();
	dev_set(h, MSIX_CTL, 2, N - 1);
	dev_set(h, CAP_MSIX + PCI_MSIX_PBA, 4, PBA | 3);
	dev_region(h, 3, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE, 0x10000);
	h->dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = N;
}

static void open_clear(bool dynamic)
{
	if (dynamic) {
		h->dynamic = true;
		h->dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags &= ~(uint32_t)VFIO_IRQ_INFO_NORESIZE;
	}
	open_placed();
	irq_recorder_clear(&h->rec);
}

static void unmask(unsigned int first, unsigned int n, unsigned int step)
{
	for (unsigned int i = first; i < first + n; i += step)
		msix_entry_set(h, i, 0x1000 + i, false);
}

static void ck_calls(unsigned int set_irqs, unsigned int routes_set, unsigned int irqfd)
{
	ck_assert_uint_eq(h->irq_calls, set_irqs);
	ck_assert_uint_eq(h->rec.routes_set, routes_set);
	ck_assert_uint_eq(h->rec.irqfd, irqfd);
	h->irq_calls = 0;
	irq_recorder_clear(&h->rec);
}

static struct assigned_stats stats(void)
{
	struct assigned_stats s;

	assigned_stats(h->a, &s);
	return s;
}

/* Vectors [0, @n) fire, the rest does not, and says why. */
static void ck_silent_from(unsigned int n)
{
	for (unsigned int i = 0; i < N; i++) {
		const char *why = assigned_silence(h->a, true, i);

		if (i < n)
			ck_assert_ptr_null(why);
		else
			ck_assert(why && strstr(why, "no interrupt left"));
	}
}

START_TEST(enable_of_2048_is_one_call_to_vfio_and_one_commit)
{
	bool dynamic = _i;

	open_clear(dynamic);
	unmask(0, N, 1);
	ck_calls(0, 0, 0);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_calls(1, 1, N);
	ck_assert_uint_eq(stats().vectors_armed, N);
	ck_assert_uint_eq(h->armed, N);
	for (unsigned int i = 0; i < N; i++)
		ck_assert_int_eq(eventfd_write(h->fds[i], 1), 0);
	irq_recorder_run(&h->rec);
	ck_assert_uint_eq(h->rec.n_msi, N);
	irq_recorder_clear(&h->rec);
	cfg_set(h, MSIX_CTL, 2, 0);
	ck_calls(0, 0, N);
	ck_assert_uint_eq(h->disarms, 1);
}
END_TEST

/* Every second entry is new: the silent ones between them are no reason for more calls. */
START_TEST(new_vectors_among_silent_ones_are_one_call)
{
	bool dynamic = _i;

	open_clear(dynamic);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	ck_calls(1, 0, 0);
	unmask(1, N - 1, 2);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_calls(1, 1, N / 2);
	ck_assert_uint_eq(stats().vectors_armed, N / 2);
	/* Those in use are left alone: a call for each gap, but 64 of them only. */
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	unmask(0, 128, 2);
	ck_calls(0, 0, N / 2);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_calls(64, 1, N / 2 + 64);
	ck_assert_uint_eq(h->disarms, 0);
}
END_TEST

/* The kernel allocates them all, and finds no place on its processors for the eventfds of most. */
START_TEST(host_with_too_few_interrupts_gives_what_it_has)
{
	static const unsigned int have[] = {1, 2, 3, 377, 1024, 2047};
	unsigned int n = have[_i / 2];
	bool dynamic = _i % 2;

	h->host_irqs = n;
	open_clear(dynamic);
	unmask(0, N, 1);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_assert_uint_le(h->irq_calls, 26);
	ck_assert_uint_eq(stats().vectors_armed, n);
	ck_assert_uint_eq(stats().vectors_silent, N - n);
	ck_silent_from(n);
	for (unsigned int i = 0; i < N; i++)
		ck_assert_int_eq(h->fds[i] >= 0, i < n);
	/* The guest sees nothing of it: they are unmasked, and nobody fires them. */
	ck_assert_uint_eq(h->rec.n_attached, N);
	ck_assert_uint_eq(msix_errors(h->a->func.msix), 0);
	ck_assert_uint_eq(bus_read(h->mmio, pci_bar_addr(&h->a->func, 3) + PBA, 8), 0);
	/* Masking and unmasking asks the host nothing. */
	h->irq_calls = 0;
	msix_entry_set(h, N - 1, 0x1234, true);
	msix_entry_set(h, N - 1, 0x1234, false);
	ck_assert_uint_eq(h->irq_calls, 0);
	/* A host that has more by the next time gives more. */
	cfg_set(h, MSIX_CTL, 2, 0);
	ck_assert_uint_eq(stats().vectors_silent, 0);
	ck_assert_ptr_nonnull(strstr(assigned_silence(h->a, true, 0), "VFIO did not"));
	h->host_irqs = 0;
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_assert_uint_eq(stats().vectors_armed, N);
	ck_silent_from(N);
	ck_assert_ptr_nonnull(assigned_silence(h->a, false, 0));
}
END_TEST

/* Vectors come one by one, as Linux makes them: a host that is full is asked once for each. */
START_TEST(full_host_is_asked_once_for_each_new_vector)
{
	h->host_irqs = 4;
	open_clear(_i);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	unmask(0, 5, 1);
	ck_assert_uint_eq(stats().vectors_armed, 4);
	ck_assert_uint_eq(stats().vectors_silent, 1);
	h->irq_calls = 0;
	unmask(5, 1, 1);
	ck_assert_uint_eq(h->irq_calls, 1);
	ck_assert_uint_eq(stats().vectors_silent, 2);
	h->host_irqs = 0;
	unmask(6, 1, 1);
	ck_assert_uint_eq(stats().vectors_armed, 7);
	ck_assert_uint_eq(stats().vectors_silent, 0);
	ck_assert_uint_eq(h->disarms, 0);
}
END_TEST

/* The kernel cannot allocate as many: it says how many it would, and gets asked for those. */
START_TEST(host_that_allocates_few_is_taken_at_its_word)
{
	h->offer = 100;
	open_clear(_i);
	unmask(0, N, 1);
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
	ck_assert_uint_eq(stats().vectors_armed, 100);
	ck_assert_uint_eq(stats().vectors_silent, N - 100);
	ck_silent_from(100);
	ck_assert_uint_eq(h->armed, 100);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("passthrough-vectors");
	TCase *t = tcase_create("vectors");

	tcase_add_checked_fixture(t, setup, host_down);
	tcase_add_loop_test(t, enable_of_2048_is_one_call_to_vfio_and_one_commit, 0, 2);
	tcase_add_loop_test(t, new_vectors_among_silent_ones_are_one_call, 0, 2);
	tcase_add_loop_test(t, host_with_too_few_interrupts_gives_what_it_has, 0, 12);
	tcase_add_loop_test(t, full_host_is_asked_once_for_each_new_vector, 0, 2);
	tcase_add_loop_test(t, host_that_allocates_few_is_taken_at_its_word, 0, 2);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	return suite_run(s);
}
