// SPDX-License-Identifier: GPL-2.0-or-later
/* The small parts of a VM that need no KVM: its address layout, statistics files, exit names. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "common/cleanup.h"
#include "vmm/kvmstat.h"
#include "vmm/layout.h"
#include "vmm/vm.h"

#define GIB(n) ((uint64_t)(n) << 30)

static const struct {
	uint64_t ram_end;
	unsigned int bits;
	uint64_t start, end; /* 0: none */
} windows[] = {
	{GIB(1) / 4, 48, GIB(256), GIB(512)},
	{GIB(6), 48, GIB(256), GIB(512)},
	{GIB(256), 48, GIB(256), GIB(512)},
	{GIB(257), 48, GIB(512), GIB(768)},
	{GIB(800), 48, GIB(832), GIB(896)}, /* 128 GiB would reach HyperTransport's hole */
	{GIB(1010), 48, GIB(1010), GIB(1012)},
	{GIB(1020), 48, GIB(1024), GIB(1280)},
	{GIB(2), 39, GIB(256), GIB(512)},
	{GIB(2), 36, GIB(32), GIB(64)},
	{GIB(33), 36, GIB(48), GIB(64)},
	{GIB(63), 36, GIB(63), GIB(64)},
	{GIB(64), 36, 0, 0},
	{GIB(2), 32, 0, 0},
};

START_TEST(layout_64_bit_window_lies_above_ram_and_inside_the_width)
{
	struct range r = {1, 2};
	bool found = layout_pci_mmio64(windows[_i].ram_end, windows[_i].bits, &r);

	ck_assert_int_eq(found, windows[_i].end != 0);
	if (!found) {
		ck_assert_uint_eq(r.start, 1);
		return;
	}
	ck_assert_uint_eq(r.start, windows[_i].start);
	ck_assert_uint_eq(r.end, windows[_i].end);
	ck_assert_uint_eq(r.start % range_size(r), 0);
}
END_TEST

/* A statistics file as KVM lays it out: header, id, descriptors, data. */
#define NAME_SIZE 48u

struct stats_file {
	struct kvm_stats_header h;
	struct {
		struct kvm_stats_desc d;
		char name[NAME_SIZE];
	} desc[3];
	uint64_t data[4];
};

static struct stats_file stats_make(void)
{
	static const char *const names[] = {"exits", "hist", "io_exits"};
	struct stats_file f = {
		.h = {.name_size = NAME_SIZE,
			.num_desc = 3,
			.desc_offset = offsetof(struct stats_file, desc),
			.data_offset = offsetof(struct stats_file, data)},
		.data = {111, 222, 223, 333},
	};

	for (unsigned int i = 0; i < 3; i++) {
		f.desc[i].d.size = i == 1 ? 2 : 1;
		f.desc[i].d.offset = (i == 2 ? 3 : i) * 8;
		snprintf(f.desc[i].name, NAME_SIZE, "%s", names[i]);
	}
	return f;
}

static int stats_read(const struct stats_file *f, size_t len, const char *name, uint64_t *ret)
{
	_cleanup_fd_ int fd = memfd_create("stats", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, f, len), (ssize_t)len);
	return kvmstat_read(fd, name, ret);
}

START_TEST(kvmstat_finds_a_counter_by_its_whole_name)
{
	struct stats_file f = stats_make();
	uint64_t v = 0;

	ck_assert_int_eq(stats_read(&f, sizeof(f), "exits", &v), 0);
	ck_assert_uint_eq(v, 111);
	ck_assert_int_eq(stats_read(&f, sizeof(f), "io_exits", &v), 0);
	ck_assert_uint_eq(v, 333);
	ck_assert_int_eq(stats_read(&f, sizeof(f), "exit", &v), -ENOENT);
	ck_assert_int_eq(stats_read(&f, sizeof(f), "exitss", &v), -ENOENT);
	ck_assert_int_eq(stats_read(&f, sizeof(f), "", &v), -ENOENT);
	ck_assert_uint_eq(v, 333);
}
END_TEST

static void no_names(struct stats_file *f)
{
	f->h.name_size = 0;
}
static void long_names(struct stats_file *f)
{
	f->h.name_size = UINT32_MAX;
}
static void many(struct stats_file *f)
{
	f->h.num_desc = UINT32_MAX;
}
static void more_than_there_are(struct stats_file *f)
{
	f->h.num_desc = 100;
}
static void far_descriptors(struct stats_file *f)
{
	f->h.desc_offset = UINT32_MAX;
}
static void far_data(struct stats_file *f)
{
	f->h.data_offset = UINT32_MAX;
}
static void far_value(struct stats_file *f)
{
	f->desc[2].d.offset = UINT32_MAX;
}
static void empty_value(struct stats_file *f)
{
	f->desc[2].d.size = 0;
}

static void (*const spoil[])(struct stats_file *f) = {no_names, long_names, many,
	more_than_there_are, far_descriptors, far_data, far_value, empty_value};

START_TEST(kvmstat_refuses_a_file_laid_out_wrongly)
{
	struct stats_file f = stats_make();
	uint64_t v = 7;

	spoil[_i](&f);
	ck_assert_int_eq(stats_read(&f, sizeof(f), "io_exits", &v), -EBADMSG);
	ck_assert_uint_eq(v, 7);
}
END_TEST

/* Every length a truncated file can have, and names without their NUL. */
START_TEST(kvmstat_refuses_every_truncated_file)
{
	struct stats_file f = stats_make();
	uint64_t v = 7;

	for (size_t len = 0; len < sizeof(f); len++)
		ck_assert_int_eq(stats_read(&f, len, "io_exits", &v), -EBADMSG);
	memset(f.desc[2].name, 'x', NAME_SIZE);
	ck_assert_int_eq(stats_read(&f, sizeof(f), "io_exits", &v), -ENOENT);
	ck_assert_uint_eq(v, 7);
}
END_TEST

START_TEST(vm_exit_name_has_one_for_every_number)
{
	ck_assert_str_eq(vm_exit_name(KVM_EXIT_IO), "io");
	ck_assert_str_eq(vm_exit_name(KVM_EXIT_IOAPIC_EOI), "ioapic-eoi");
	ck_assert_str_eq(vm_exit_name(63), "exit-63");
	ck_assert_str_eq(vm_exit_name(64), "exit-other");
	for (unsigned int i = 0; i < VM_EXIT_REASONS; i++)
		for (unsigned int k = 0; k < i; k++)
			ck_assert_str_ne(vm_exit_name(i), vm_exit_name(k));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vm-parts");
	TCase *t = tcase_create("vm-parts");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, layout_64_bit_window_lies_above_ram_and_inside_the_width, 0,
		(int)ARRAY_SIZE(windows));
	tcase_add_test(t, kvmstat_finds_a_counter_by_its_whole_name);
	tcase_add_loop_test(t, kvmstat_refuses_a_file_laid_out_wrongly, 0, (int)ARRAY_SIZE(spoil));
	tcase_add_test(t, kvmstat_refuses_every_truncated_file);
	tcase_add_test(t, vm_exit_name_has_one_for_every_number);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
