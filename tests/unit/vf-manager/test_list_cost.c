// SPDX-License-Identifier: GPL-2.0-or-later
/* What a list costs, in what it opens and asks: no clock is needed to see that it stays small. */
#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/fakes/vf_link.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/topologies/topology.h"
#include "vf-manager/vfm.h"

static struct {
	unsigned opens, proc, config, vfio;
} seen;

/* In place of libc's, for what vf-manager opens and for the rest of this program. */
int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if (flags & (O_CREAT | __O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	seen.opens++;
	seen.proc += !strcmp(path, "proc");
	seen.config += strstr(path, "/config") != NULL;
	seen.vfio += !strncmp(path, "dev/vfio/", 9) && (flags & O_ACCMODE) != O_RDONLY;
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static struct topology t;
static struct vf_link kernel;

/* @pfs of @vfs each, all with this driver and an interface each; then one list. */
static void list_of(unsigned pfs, unsigned vfs, const char *driver)
{
	_cleanup_free_ struct vfm_function *f = NULL;
	_cleanup_free_ char *text = NULL;
	struct err e = {0};
	struct vfm *v;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (unsigned i = 0; i < pfs; i++)
		fprintf(out,
			"0000:%02x:00.0 8086:158b 020000\n\tgroup %u\n\tdriver i40e\n"
			"\tnet pf%u 02:00:00:00:01:%02x up\n\tcap exp endpoint flr\n"
			"\tcap sriov %u 16 1 154c ari\n\tvfs %u %u %s v%uf\n",
			i * 2 + 1, i, i, i, vfs, vfs, 1000 * (i + 1), driver, i);
	fclose(out);
	snprintf(t.root, sizeof(t.root), "/tmp/viaduct-list-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(t.root));
	topology_make(t.root, text);
	kernel = (struct vf_link){.vfs = vfs};
	ck_assert_int_eq(vfm_create(&(struct vfm_config){.root = t.root,
					    .run_dir = "/nonexistent",
					    .ops = &vf_link_ops,
					    .ops_ctx = &kernel},
				 &v, &e),
		0);
	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(vfm_list(v, VFM_LIST_QUICK, &f, &e), (int)(pfs * (vfs + 1)));
	ck_assert(f[vfs].has_mac && f[vfs].mac[5] == (uint8_t)(vfs - 1));
	vfm_destroy(v);
	topology_finish(&t);
}

/* The same for the last VF as for the first. */
START_TEST(list_opens_a_fixed_number_of_files_for_each_vf)
{
	unsigned few, some, many;

	list_of(1, 8, "iavf");
	few = seen.opens;
	list_of(1, 24, "iavf");
	some = seen.opens;
	list_of(1, 72, "iavf");
	many = seen.opens;
	ck_assert_uint_eq((some - few) % 16, 0);
	ck_assert_uint_eq((many - some) % 48, 0);
	ck_assert_uint_eq((many - some) / 48, (some - few) / 16);
	ck_assert_uint_le((many - some) / 48, 10);
}
END_TEST

START_TEST(list_asks_rtnetlink_once_for_each_pf)
{
	list_of(1, 9, "iavf");
	ck_assert_uint_eq(kernel.requests, 1);
	list_of(4, 4, "iavf");
	ck_assert_uint_eq(kernel.requests, 4);
}
END_TEST

START_TEST(list_walks_proc_once_and_only_where_there_are_nodes)
{
	list_of(4, 4, "iavf");
	ck_assert_uint_eq(seen.proc, 0);
	list_of(4, 4, "vfio-pci");
	ck_assert_uint_eq(seen.proc, 1);
}
END_TEST

/* Both would wake a device, or get in a guest's way. */
START_TEST(list_reads_no_config_space_and_opens_no_device)
{
	list_of(4, 4, "vfio-pci");
	ck_assert_uint_eq(seen.config, 0);
	ck_assert_uint_eq(seen.vfio, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-list-cost");
	TCase *tc = tcase_create("cost");

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, list_opens_a_fixed_number_of_files_for_each_vf);
	tcase_add_test(tc, list_asks_rtnetlink_once_for_each_pf);
	tcase_add_test(tc, list_walks_proc_once_and_only_where_there_are_nodes);
	tcase_add_test(tc, list_reads_no_config_space_and_opens_no_device);
	return suite_run(s);
}
