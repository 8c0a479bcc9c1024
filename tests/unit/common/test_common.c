// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bdf.h"
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/dmafault.h"
#include "common/err.h"
#include "common/holder.h"
#include "common/log.h"
#include "common/range.h"
#include "common/sysfs.h"

/* A message is built from the inside out; the outermost context must come first. */
START_TEST(err_wrap_puts_context_in_front)
{
	struct err e = {0};
	int r = err_sys(&e, ENOENT, "open %s", "/x");

	ck_assert_int_eq(r, -ENOENT);
	ck_assert_int_eq(err_wrap(&e, r, "assign %d", 7), -ENOENT);
	ck_assert_str_eq(e.text, "assign 7: open /x: No such file or directory");
	ck_assert_int_eq(e.code, ENOENT);
	ck_assert_int_eq(err_set(NULL, EIO, "unused"), -EIO);
}
END_TEST

/* A hostile name must not write past the text. */
START_TEST(err_truncates_long_text)
{
	struct err e = {0};
	char big[4096];

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_sys(&e, EIO, "%s", big);
	ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
	err_wrap(&e, -EIO, "%s", big);
	ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
}
END_TEST

static const struct {
	const char *text;
	bool ok;
	struct bdf want;
} bdf_cases[] = {
	{"0000:3b:02.1", true, {0, 0x3b, 2, 1}},
	{"3b:02.1", true, {0, 0x3b, 2, 1}},
	{"10000:e1:1f.7", true, {0x10000, 0xe1, 0x1f, 7}},
	{"0000:3B:1F.7", true, {0, 0x3b, 0x1f, 7}},
	{"", false, {0}},
	{"3b:02", false, {0}},
	{"3b:02.8", false, {0}},
	{"3b:20.0", false, {0}},
	{"100:02.0", false, {0}},
	{"0000:3b:02.1 ", false, {0}},
	{"0000:3b:02.1/x", false, {0}},
	{"../3b:02.1", false, {0}},
	{"000000000:3b:02.1", false, {0}},
};

START_TEST(bdf_parse_accepts_only_addresses)
{
	struct bdf b = {9, 9, 9, 1};
	char buf[BDF_STRLEN];
	int r = bdf_parse(bdf_cases[_i].text, &b);

	ck_assert_int_eq(r, bdf_cases[_i].ok ? 0 : -EINVAL);
	if (r == 0) {
		struct bdf again;

		ck_assert(bdf_equal(b, bdf_cases[_i].want));
		ck_assert_int_eq(bdf_parse(bdf_format(b, buf), &again), 0);
		ck_assert(bdf_equal(b, again));
	} else {
		ck_assert_uint_eq(b.dev, 9);
	}
}
END_TEST

/* The list is compared with a byte map over a small universe, on random operations. */
START_TEST(range_list_agrees_with_byte_map)
{
	bool map[64] = {0};
	struct range_list l = {0};
	unsigned int seed = (unsigned int)_i + 1;

	for (int step = 0; step < 400; step++) {
		uint64_t a = (uint64_t)rand_r(&seed) % 64, b = (uint64_t)rand_r(&seed) % 64;
		struct range r = {a < b ? a : b, a < b ? b : a};
		bool add = rand_r(&seed) & 1, all = true, any = false;

		ck_assert_int_eq(add ? range_list_add(&l, r) : range_list_sub(&l, r), 0);
		for (uint64_t i = r.start; i < r.end; i++)
			map[i] = add;
		a = (uint64_t)rand_r(&seed) % 64;
		b = (uint64_t)rand_r(&seed) % 64;
		r = (struct range){a < b ? a : b, a < b ? b : a};
		for (uint64_t i = r.start; i < r.end; i++) {
			all &= map[i];
			any |= map[i];
		}
		ck_assert_msg(range_list_contains(&l, r) == all, "seed %d step %d", _i + 1, step);
		ck_assert_msg(
			(range_list_find(&l, r) != NULL) == any, "seed %d step %d", _i + 1, step);
		for (size_t i = 0; i < l.n; i++) {
			ck_assert_uint_lt(l.v[i].start, l.v[i].end);
			if (i)
				ck_assert_uint_lt(l.v[i - 1].end, l.v[i].start);
		}
	}
	range_list_finish(&l);
}
END_TEST

START_TEST(range_make_refuses_wrap)
{
	struct range r;

	ck_assert(!range_make(UINT64_MAX, 1, &r));
	ck_assert(!range_make(0x1000, UINT64_MAX, &r));
	ck_assert(range_make(UINT64_MAX - 1, 1, &r));
	ck_assert(!range_overlaps((struct range){0, 4}, (struct range){4, 8}));
}
END_TEST

static char tree[] = "/tmp/viaduct-common-XXXXXX";

static void put(const char *name, const void *data, size_t len)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fd_ int fd = -1;

	ck_assert_int_gt(asprintf(&path, "%s/%s", tree, name), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
}

static void tree_setup(void)
{
	strcpy(tree, "/tmp/viaduct-common-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(tree));
}

static void tree_teardown(void)
{
	_cleanup_free_ char *cmd = NULL;

	ck_assert_int_gt(asprintf(&cmd, "rm -rf %s", tree), 0);
	ck_assert_int_eq(system(cmd), 0);
}

/* sysfs text is input: binary, long, or missing its newline. */
START_TEST(sysfs_read_bounds_and_checks_text)
{
	struct sysfs s;
	char buf[8];
	uint64_t v;

	ck_assert_int_eq(sysfs_open(tree, &s), 0);
	put("ok", "abc\n", 4);
	put("raw", "abc", 3);
	put("full", "12345678", 8);
	put("nul", "a\0b\n", 4);
	put("num", "0x1f\n", 5);
	put("neg", "-1\n", 3);
	put("junk", "12x\n", 4);
	put("none", "", 0);
	ck_assert_int_eq(sysfs_read(&s, "ok", buf, sizeof(buf)), 3);
	ck_assert_str_eq(buf, "abc");
	ck_assert_int_eq(sysfs_read(&s, "raw", buf, sizeof(buf)), 3);
	ck_assert_int_eq(sysfs_read(&s, "full", buf, sizeof(buf)), -EOVERFLOW);
	ck_assert_int_eq(sysfs_read(&s, "nul", buf, sizeof(buf)), -EILSEQ);
	ck_assert_int_eq(sysfs_read(&s, "absent", buf, sizeof(buf)), -ENOENT);
	ck_assert_int_eq(sysfs_read(&s, "none", buf, sizeof(buf)), 0);
	ck_assert_int_eq(sysfs_read_u64(&s, "num", &v), 0);
	ck_assert_uint_eq(v, 0x1f);
	ck_assert_int_eq(sysfs_read_u64(&s, "neg", &v), -EINVAL);
	ck_assert_int_eq(sysfs_read_u64(&s, "junk", &v), -EINVAL);
	ck_assert_int_eq(sysfs_read_u64(&s, "none", &v), -EINVAL);
	sysfs_close(&s);
}
END_TEST

START_TEST(sysfs_lists_sorted_and_names_links)
{
	struct sysfs s;
	char buf[16], **names;

	ck_assert_int_eq(sysfs_open(tree, &s), 0);
	put("b", "", 0);
	put("a", "", 0);
	ck_assert_int_eq(symlinkat("../../drivers/vfio-pci", s.root_fd, "driver"), 0);
	ck_assert_int_eq(sysfs_list(&s, ".", &names), 3);
	ck_assert_str_eq(names[0], "a");
	ck_assert_str_eq(names[1], "b");
	ck_assert_ptr_null(names[3]);
	sysfs_list_free(names);
	ck_assert_int_eq(sysfs_link_name(&s, "driver", buf, sizeof(buf)), 8);
	ck_assert_str_eq(buf, "vfio-pci");
	ck_assert_int_eq(sysfs_link_name(&s, "driver", buf, 4), -EOVERFLOW);
	ck_assert(sysfs_exists(&s, "driver"));
	ck_assert(!sysfs_exists(&s, "nope"));
	sysfs_close(&s);
}
END_TEST

/* The holder's name comes from another process: it must not reach a terminal as control bytes. */
START_TEST(holder_is_found_and_its_name_made_printable)
{
	struct sysfs s;
	struct holder h;

	ck_assert_int_eq(sysfs_open(tree, &s), 0);
	ck_assert_int_eq(mkdirat(s.root_fd, "proc", 0755), 0);
	ck_assert_int_eq(mkdirat(s.root_fd, "proc/4242424", 0755), 0);
	ck_assert_int_eq(mkdirat(s.root_fd, "proc/4242424/fd", 0755), 0);
	ck_assert_int_eq(symlinkat("/dev/vfio/12", s.root_fd, "proc/4242424/fd/3"), 0);
	put("proc/4242424/comm", "ba\033d\n", 5);
	ck_assert_int_eq(holder_find(&s, "/dev/vfio/1", &h), 0);
	ck_assert_int_eq(holder_find(&s, "/dev/vfio/12", &h), 1);
	ck_assert_int_eq(h.pid, 4242424);
	ck_assert_str_eq(h.comm, "ba?d");
	sysfs_close(&s);
}
END_TEST

/* One walk for all of them; of several holders of a node the one with the lowest number. */
START_TEST(holder_table_knows_the_holders_of_all_nodes)
{
	struct holder_table *t = NULL;
	const struct holder *h;
	struct sysfs s;

	ck_assert_ptr_null(holder_table_find(NULL, "/dev/vfio/1"));
	holder_table_destroy(NULL);
	ck_assert_int_eq(sysfs_open(tree, &s), 0);
	ck_assert_int_eq(holder_table_create(&s, "/dev/vfio/", &t), -ENOENT);
	for (size_t i = 0; i < 6; i++) {
		static const char *const dirs[] = {"proc", "proc/self", "proc/4242425",
			"proc/4242425/fd", "proc/4242424", "proc/4242424/fd"};

		ck_assert_int_eq(mkdirat(s.root_fd, dirs[i], 0755), 0);
	}
	ck_assert_int_eq(symlinkat("/dev/vfio/12", s.root_fd, "proc/4242425/fd/3"), 0);
	ck_assert_int_eq(symlinkat("/dev/vfio/devices/vfio0", s.root_fd, "proc/4242425/fd/4"), 0);
	ck_assert_int_eq(symlinkat("/dev/null", s.root_fd, "proc/4242425/fd/5"), 0);
	ck_assert_int_eq(symlinkat("/dev/vfio/12", s.root_fd, "proc/4242424/fd/3"), 0);
	put("proc/4242424/comm", "one\n", 4);
	ck_assert_int_eq(holder_table_create(&s, "/dev/vfio/", &t), 0);
	h = holder_table_find(t, "/dev/vfio/12");
	ck_assert(h && h->pid == 4242424);
	ck_assert_str_eq(h->comm, "one");
	h = holder_table_find(t, "/dev/vfio/devices/vfio0");
	ck_assert(h && h->pid == 4242425);
	ck_assert_str_eq(h->comm, "?");
	ck_assert_ptr_null(holder_table_find(t, "/dev/null"));
	ck_assert_ptr_null(holder_table_find(t, "/dev/vfio/1"));
	holder_table_destroy(t);
	sysfs_close(&s);
}
END_TEST

START_TEST(sysfs_read_bytes_takes_zeros_and_stops_at_its_size)
{
	unsigned char buf[8];
	struct sysfs s;

	ck_assert_int_eq(sysfs_open(tree, &s), 0);
	put("config", "\x86\x80\0\0\xff", 5);
	ck_assert_int_eq(sysfs_read_bytes(&s, "config", buf, sizeof(buf)), 5);
	ck_assert_mem_eq(buf, "\x86\x80\0\0\xff", 5);
	ck_assert_int_eq(sysfs_read_bytes(&s, "config", buf, 3), 3);
	ck_assert_int_eq(sysfs_read_bytes(&s, "nope", buf, 3), -ENOENT);
	ck_assert_int_lt(sysfs_read_bytes(&s, ".", buf, 3), 0);
	sysfs_close(&s);
}
END_TEST

static const struct {
	const char *line;
	bool is;
	struct dma_fault want;
} fault_cases[] = {
	{"[   12.3] DMAR: [DMA Read NO_PASID] Request device [01:10.0] fault addr 0x1dead000 "
	 "[fault reason 0x06] PTE Read access is not set",
		true, {{0, 1, 0x10, 0}, 0x1dead000, false, false, 6}},
	{"DMAR: [DMA Write NO_PASID] Request device [00:1f.7] fault addr 0xffffffffffff0000 "
	 "[fault reason 0x05] PTE Write access is not set",
		true, {{0, 0, 0x1f, 7}, 0xffffffffffff0000, true, false, 5}},
	{"DMAR: [INTR-REMAP] Request device [01:00.0] fault index 0x8000 [fault reason 0x25] "
	 "Blocked",
		true, {{0, 1, 0, 0}, 0x8000, false, true, 0x25}},
	{"vfio-pci 0000:01:10.1: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000d "
	 "address=0x80000000 flags=0x0020]",
		true, {{0, 1, 0x10, 1}, 0x80000000, true, false, 0x20}},
	{"AMD-Vi: Event logged [IO_PAGE_FAULT device=0001:02:00.0 domain=0x0 address=0x40 "
	 "flags=0x0]",
		true, {{1, 2, 0, 0}, 0x40, false, false, 0}},
	{"DMAR: DRHD: handling fault status reg 2", false, {{0}}},
	{"DMAR: [DMA Read NO_PASID] Request device [01:10.0", false, {{0}}},
	{"DMAR: [DMA Read NO_PASID] Request device [01:10.9] fault addr 0x1 [fault reason 0x06]",
		false, {{0}}},
	{"DMAR: [DMA Read NO_PASID] Request device [01:10.0] fault addr 0x [fault reason 0x06]",
		false, {{0}}},
	{"AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0 address=0x40 flags=0x0]", false, {{0}}},
	{"", false, {{0}}},
};

/* A fault is shown with the BDF: the two vendors' lines, and lines that only look like one. */
START_TEST(dma_fault_lines_of_both_vendors_are_parsed)
{
	struct dma_fault f;
	bool is = dma_fault_parse(fault_cases[_i].line, &f);

	ck_assert(is == fault_cases[_i].is);
	if (is) {
		const struct dma_fault *w = &fault_cases[_i].want;

		ck_assert(bdf_equal(f.bdf, w->bdf));
		ck_assert_uint_eq(f.iova, w->iova);
		ck_assert(f.write == w->write && f.interrupt == w->interrupt);
		ck_assert_uint_eq(f.reason, w->reason);
	}
}
END_TEST

START_TEST(le_load_store_every_length)
{
	uint8_t b[8] = {0};

	le_store(b, 3, 0x11223344);
	ck_assert_uint_eq(le_load(b, 8), 0x223344);
	ck_assert_uint_eq(ones(1), 0xff);
	ck_assert_uint_eq(ones(8), UINT64_MAX);
}
END_TEST

/* A guest in a loop must not flood the log, but every event is counted. */
START_TEST(log_guest_counts_what_it_does_not_print)
{
	struct log_limit l = {0};

	log_level_set(LOG_LEVEL_ERROR);
	for (int i = 0; i < 1000; i++)
		log_guest(&l, "bad descriptor %d", i);
	ck_assert_uint_eq(l.count, 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("common");
	TCase *t = tcase_create("common"), *f = tcase_create("tree");
	SRunner *sr;
	int failed;

	tcase_add_test(t, err_wrap_puts_context_in_front);
	tcase_add_test(t, err_truncates_long_text);
	tcase_add_loop_test(t, bdf_parse_accepts_only_addresses, 0, (int)ARRAY_SIZE(bdf_cases));
	tcase_add_loop_test(t, range_list_agrees_with_byte_map, 0, 20);
	tcase_add_test(t, range_make_refuses_wrap);
	tcase_add_test(t, le_load_store_every_length);
	tcase_add_test(t, log_guest_counts_what_it_does_not_print);
	tcase_add_loop_test(
		t, dma_fault_lines_of_both_vendors_are_parsed, 0, (int)ARRAY_SIZE(fault_cases));
	tcase_add_checked_fixture(f, tree_setup, tree_teardown);
	tcase_add_test(f, sysfs_read_bounds_and_checks_text);
	tcase_add_test(f, sysfs_lists_sorted_and_names_links);
	tcase_add_test(f, holder_is_found_and_its_name_made_printable);
	tcase_add_test(f, holder_table_knows_the_holders_of_all_nodes);
	tcase_add_test(f, sysfs_read_bytes_takes_zeros_and_stops_at_its_size);
	suite_add_tcase(s, t);
	suite_add_tcase(s, f);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
