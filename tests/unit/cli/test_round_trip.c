// SPDX-License-Identifier: GPL-2.0-or-later
/* What `vf show --json` prints, `vf apply` takes: nothing changes; and after a loss, all is there again. */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/vf.h"
#include "common/cleanup.h"
#include "tests/fakes/pci_kernel.h"
#include "vf-manager/apply.h"
#include "vf-manager/devlink.h"
#include "vf-manager/pool.h"

static struct pci_kernel k;
static struct vfm *v;

/* What cli/vf.c has beside its main(). */
int vf_fail(int r, const struct err *e)
{
	ck_abort_msg("%d: %s", r, e->text);
	return EXIT_FAILED;
}

int vf_usage(const char *fmt, ...)
{
	ck_abort_msg("%s", fmt);
	return EXIT_USAGE;
}

/* Standard output of `show --json`, into a file. */
static void show(const char *path)
{
	const struct vf_args a = {.opt = {[VF_OPT_JSON] = ""}};
	int saved, fd;

	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	dup2(fd, STDOUT_FILENO);
	close(fd);
	ck_assert_int_eq(vf_show(v, &a), EXIT_DONE);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
}

static size_t apply(struct vfm_desired *d, bool expect_none)
{
	const struct vfm_apply_options o = {.recreate = true};
	struct vfm_plan *p = NULL;
	struct err e = {0};
	size_t n;

	ck_assert_msg(vfm_apply(v, d, NULL, &o, &p, &e) == 0, "%s", e.text);
	n = p->n_steps;
	if (expect_none && n)
		ck_abort_msg("%s", p->step->text);
	vfm_plan_free(p);
	vfm_desired_free(d);
	return n;
}

static struct vfm_desired *load(const char *path)
{
	struct vfm_desired *d = NULL;
	struct err e = {0};

	ck_assert_msg(vfm_desired_load(path, &d, &e) == 0, "%s", e.text);
	return d;
}

/* As it is without what show found besides. */
static json_t *wanted_part(const char *path)
{
	json_t *o = json_load_file(path, 0, NULL), *pf, *vf;
	size_t i, j;

	json_object_del(o, "status");
	json_array_foreach(json_object_get(o, "pfs"), i, pf)
	{
		json_object_del(pf, "status");
		json_array_foreach(json_object_get(pf, "vfs"), j, vf) json_object_del(vf, "status");
	}
	return o;
}

static const char full[] =
	"pfs:\n"
	"- pf: 0000:01:00.0\n  num-vfs: 3\n  pool: fast\n  vfs:\n"
	"  - {index: 0, mac: '52:54:00:00:00:10', vlan: 100, qos: 3, max-rate: 500, trust: on, "
	"spoofchk: on, driver: vfio-pci}\n"
	"  - {index: 1, driver: igbvf}\n"
	"- pf: 0000:03:00.0\n  num-vfs: 2\n  autoprobe: false\n"
	"  vfs: [{index: 1, driver: vfio-pci}]\n"
	"- pf: 0000:04:00.0\n  num-vfs: 2\n  eswitch: switchdev\n"
	"  vfs: [{index: 1, mac: '52:54:00:00:00:40', max-rate: 100}]\n";

START_TEST(what_show_prints_can_be_applied)
{
	_cleanup_free_ char *before = NULL, *same = NULL, *after = NULL;
	struct vfm_desired *d = NULL;
	char one[128], two[128], pool[VFM_NAME_MAX];
	json_t *a, *b;

	pci_kernel_init(&k);
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	fake_pf_add(&k, &fake_nvme);
	fake_pf_add(&k, &fake_switchdev);
	ck_assert_int_eq(vfm_desired_parse("f", full, strlen(full), &d, NULL), 0);
	ck_assert_uint_gt(apply(d, false), 0);
	before = fake_state(&k);
	snprintf(one, sizeof(one), "%s/one.json", k.root);
	snprintf(two, sizeof(two), "%s/two.json", k.root);

	show(one);
	k.knobs->changes = 0;
	apply(load(one), true);
	ck_assert_uint_eq(k.knobs->changes, 0);
	same = fake_state(&k);
	ck_assert_str_eq(before, same);

	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(vfm_carve(v, k.pf[i]->bdf, 0, 0, NULL, NULL), 0);
	ck_assert_int_eq(vfm_eswitch_set(v, k.pf[2]->bdf, VFM_ESWITCH_LEGACY, NULL, NULL), 0);
	ck_assert_int_eq(vfm_pool_set(v, k.pf[0]->bdf, "", NULL), 0);
	fake_puts(&k, "sys/bus/pci/devices/0000:03:00.0/sriov_drivers_autoprobe", "1");
	ck_assert_uint_gt(apply(load(one), false), 0);
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
	vfm_pool_get(v, k.pf[0]->bdf, pool);
	ck_assert_str_eq(pool, "fast");

	show(two);
	a = wanted_part(one);
	b = wanted_part(two);
	ck_assert(json_equal(a, b));
	json_decref(a);
	json_decref(b);
	vfm_destroy(v);
	pci_kernel_finish(&k);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-round-trip");
	TCase *t = tcase_create("show and apply");
	SRunner *sr;
	int failed;

	tcase_set_timeout(t, 30);
	tcase_add_test(t, what_show_prints_can_be_applied);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
