// SPDX-License-Identifier: GPL-2.0-or-later
/* plan and apply on a kernel in a directory, with every call failing, killed, cancelled in turn. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/apply.h"
#include "vf-manager/pool.h"

#define IGB  "pfs:\n- pf: 0000:01:00.0\n"
#define NVME "- pf: 0000:03:00.0\n"

static struct vfm_plan *p;
static struct vfm_desired *d;
static char noted[512];

static void on_note(void *arg, const char *text)
{
	snprintf(noted, sizeof(noted), "%s", text);
}

static void setup(void)
{
	pci_kernel_init(&k);
	k.config.cancel = &k.knobs->cancel;
	k.config.note = on_note;
	manager_make();
	*noted = '\0';
}

static void teardown(void)
{
	vfm_plan_free(p);
	p = NULL;
	vfm_desired_free(d);
	d = NULL;
	world_down();
}

static void want(const char *text)
{
	vfm_desired_free(d);
	d = NULL;
	ck_assert_msg(vfm_desired_parse("f", text, strlen(text), &d, &e) == 0, "%s", e.text);
}

static void plan(const char *text)
{
	vfm_plan_free(p);
	p = NULL;
	want(text);
	ck_assert_msg(vfm_plan(v, d, NULL, &p, &e) == 0, "%s", e.text);
}

/* Of what was wanted last. */
static int apply_with(const struct vfm_apply_options *o)
{
	vfm_plan_free(p);
	e = (struct err){0};
	return vfm_apply(v, d, NULL, o, &p, &e);
}

static const struct vfm_apply_options plain, recreate = {.recreate = true},
					     rollback = {.recreate = true, .rollback = true};

static void apply(const char *text)
{
	want(text);
	ck_assert_msg(apply_with(&recreate) == 0, "%s", e.text);
}

static void assert_state(const char *part)
{
	_cleanup_free_ char *state = fake_state(&k);

	ck_assert_msg(strstr(state, part) != NULL, "'%s' is not in:\n%s", part, state);
}

/* The texts of the plan's steps, a line each. */
static char *steps(void)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	for (size_t i = 0; i < p->n_steps; i++)
		fprintf(f, "%s\n", p->step[i].text);
	fclose(f);
	return text;
}

static void assert_steps(const char *expected)
{
	_cleanup_free_ char *text = steps();

	ck_assert_str_eq(text, expected);
}

/* --- plans --- */

static const char full[] =
	IGB "  num-vfs: 2\n  autoprobe: false\n  pool: fast\n  vfs:\n"
	    "  - {index: 0-1, driver: vfio-pci, trust: on}\n"
	    "  - {index: 0, mac: '52:54:00:00:00:10', vlan: 100, qos: 3, max-rate: 500}\n";

START_TEST(steps_come_in_the_fixed_order)
{
	plan(full);
	assert_steps("0000:01:00.0: bring eth0 up\n"
		     "0000:01:00.0: set sriov_drivers_autoprobe off\n"
		     "0000:01:00.0: make 2 VFs\n"
		     "0000:01:00.0: VF 0 (0000:01:10.0): mac 52:54:00:00:00:10, vlan 100, qos 3, "
		     "trust on\n"
		     "0000:01:00.0: VF 1 (0000:01:10.2): trust on\n"
		     "0000:01:00.0: VF 0 (0000:01:10.0): bind to vfio-pci\n"
		     "0000:01:00.0: VF 1 (0000:01:10.2): bind to vfio-pci\n"
		     "0000:01:00.0: VF 0 (0000:01:10.0): max-rate 500\n"
		     "0000:01:00.0: put it into pool fast\n");
	ck_assert(!p->recreates);
	ck_assert_uint_eq(k.knobs->changes, 0);
}
END_TEST

START_TEST(apply_makes_it_so_and_then_writes_nothing)
{
	_cleanup_free_ char *once = NULL, *twice = NULL;
	struct vfm_settings s;

	apply(full);
	once = fake_state(&k);
	ck_assert_ptr_nonnull(strstr(once, "numvfs 2 autoprobe 0 eth0 up\n"));
	ck_assert_ptr_nonnull(strstr(once, "0000:01:10.0 driver 'vfio-pci'"));
	ck_assert_ptr_nonnull(strstr(once, "0000:01:10.2 driver 'vfio-pci'"));
	ck_assert_int_eq(vfm_get(v, vf0, &s, NULL), 0);
	ck_assert_uint_eq(s.vlan, 100);
	ck_assert_uint_eq(s.qos, 3);
	ck_assert_uint_eq(s.max_rate, 500);
	ck_assert(s.trust);
	for (size_t i = 0; i < p->n_steps; i++)
		ck_assert_int_eq(p->step[i].outcome, VFM_STEP_DONE);
	k.knobs->changes = k.knobs->writes = 0;
	apply(full);
	ck_assert_uint_eq(p->n_steps, 0);
	ck_assert_uint_eq(p->n_differences, 0);
	ck_assert_uint_eq(k.knobs->changes, 0);
	ck_assert_uint_eq(k.knobs->writes, 0);
	twice = fake_state(&k);
	ck_assert_str_eq(once, twice);
}
END_TEST

/* One attribute or driver of one VF is one step, and nobody else notices. */
static uint64_t phases_sum(const struct vfm_phases *t)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < VFM_PHASES; i++)
		sum += t->us[i];
	return sum;
}

/* Phases whose work takes this fake no time at all are not looked at. */
START_TEST(apply_tells_where_the_time_went)
{
	struct vfm_phases t;
	struct vfm_apply_options o = {.rollback = true, .phases = &t};

	want(full);
	k.knobs->fail_at = 6; /* of VF 0's settings, after up, autoprobe and the number */
	k.knobs->fail_code = EIO;
	ck_assert_int_lt(apply_with(&o), 0);
	ck_assert_uint_gt(t.us[VFM_PHASE_WRITE], 0);
	ck_assert_uint_gt(t.us[VFM_PHASE_UNDO], 0);
	ck_assert_uint_eq(t.us[VFM_PHASE_DESTROY], 0);
	ck_assert_uint_eq(t.us[VFM_PHASE_BIND], 0);
	ck_assert_uint_eq(t.total_us, phases_sum(&t));

	k.knobs->links_delay_ms = 20;
	ck_assert_msg(apply_with(&o) == 0, "%s", e.text);
	ck_assert_uint_gt(t.us[VFM_PHASE_CHECK], 0);
	ck_assert_uint_gt(t.us[VFM_PHASE_UP], 0);
	ck_assert_uint_gt(t.us[VFM_PHASE_OTHER], 0);
	ck_assert_uint_gt(t.us[VFM_PHASE_WRITE], 0);
	ck_assert_uint_ge(t.us[VFM_PHASE_LINKS], 1);
	ck_assert_uint_gt(t.us[VFM_PHASE_ATTRIBUTES], 0);
	ck_assert_uint_gt(t.us[VFM_PHASE_BIND], 0);
	ck_assert_uint_gt(t.us[VFM_PHASE_VERIFY], 0);
	ck_assert_uint_eq(t.us[VFM_PHASE_UNDO], 0);
	ck_assert_uint_eq(t.total_us, phases_sum(&t));

	/* What was needed before is not counted again. */
	ck_assert_int_eq(apply_with(&o), 0);
	ck_assert_uint_gt(t.us[VFM_PHASE_CHECK], 0);
	ck_assert_uint_eq(t.total_us, t.us[VFM_PHASE_CHECK]);
	for (unsigned i = 0; i < VFM_PHASES; i++)
		ck_assert_str_ne(vfm_phase_name(i), "unknown");
}
END_TEST

START_TEST(what_differs_alone_is_changed)
{
	apply(full);
	plan(IGB "  num-vfs: 2\n  vfs:\n  - {index: 0, mac: '52:54:00:00:00:10', vlan: 7}\n"
		 "  - {index: 1, driver: igbvf}\n  autoprobe: true\n");
	assert_steps("0000:01:00.0: set sriov_drivers_autoprobe on\n"
		     "0000:01:00.0: VF 0 (0000:01:10.0): vlan 7 (is 100)\n"
		     "0000:01:00.0: VF 1 (0000:01:10.2): bind to igbvf (is vfio-pci)\n");
	ck_assert_uint_eq(p->n_differences, 3);
	ck_assert_str_eq(p->difference[1].key, "vlan");
	ck_assert_str_eq(p->difference[1].have, "100");
	ck_assert_str_eq(p->difference[1].want, "7");
	ck_assert_int_eq(p->difference[1].index, 0);
	ck_assert_int_eq(apply_with(&plain), 0);
	assert_state("0000:01:10.2 driver 'igbvf' override '(null)'");
	assert_state("vlan 7.3 rate");
}
END_TEST

START_TEST(another_number_destroys_all_and_says_so)
{
	apply(full);
	want(IGB "  num-vfs: 3\n  vfs:\n  - {index: 2, trust: on}\n");
	ck_assert_int_eq(apply_with(&plain), -EBUSY);
	assert_says("0000:01:00.0: make 3 VFs (destroys 2)");
	assert_says("--recreate");
	assert_state("numvfs 2 ");
	ck_assert(p->recreates);
	ck_assert_int_eq(p->step[0].outcome, VFM_STEP_PLANNED);
	ck_assert_int_eq(apply_with(&recreate), 0);
	assert_state("numvfs 3 ");
	want(IGB "  num-vfs: 0\n");
	ck_assert_int_eq(apply_with(&plain), -EBUSY);
	assert_says("destroy its 3 VFs");
	ck_assert_int_eq(apply_with(&recreate), 0);
	assert_state("numvfs 0 ");
}
END_TEST

START_TEST(a_dry_run_refuses_as_the_run_would_and_changes_nothing)
{
	const struct vfm_apply_options dry = {.dry_run = true},
				       dry_recreate = {.dry_run = true, .recreate = true};

	apply(full);
	k.knobs->changes = 0;
	want(IGB "  num-vfs: 3\n");
	ck_assert_int_eq(apply_with(&dry), -EBUSY);
	ck_assert_int_eq(apply_with(&dry_recreate), 0);
	ck_assert_uint_eq(p->n_steps, 1);
	ck_assert_int_eq(p->step[0].outcome, VFM_STEP_PLANNED);
	ck_assert_uint_eq(k.knobs->changes, 0);
}
END_TEST

START_TEST(vfs_that_are_not_listed_are_left_alone)
{
	apply(full);
	plan(IGB "  vfs:\n  - {index: 1, trust: on}\n");
	assert_steps("");
}
END_TEST

START_TEST(an_exclusive_pf_takes_the_others_back)
{
	apply(full);
	apply(IGB "  exclusive: true\n  vfs:\n  - {index: 1, driver: vfio-pci, trust: on}\n");
	assert_state("0000:01:10.0 driver '' override '(null)' record no mac 000000000000 vlan 0.0 "
		     "rate 0-0 spoofchk 0 link 0 rss 0 trust 0");
	assert_state("0000:01:10.2 driver 'vfio-pci'");
	k.knobs->changes = 0;
	ck_assert_int_eq(apply_with(&plain), 0);
	ck_assert_uint_eq(k.knobs->changes, 0);
}
END_TEST

/* The address of a VF may come from its driver: nothing here gave it, so nothing here takes it. */
START_TEST(an_exclusive_pf_leaves_a_drivers_own_address)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 0x77};

	apply(IGB "  num-vfs: 1\n  vfs: [{index: 0, driver: default}]\n");
	memcpy(k.knobs->pf[0].mac[0], mac, 6);
	fake_remove(&k, "run/vf/0000:01:10.0.driver");
	plan(IGB "  exclusive: true\n");
	assert_steps("");
}
END_TEST

START_TEST(two_vfs_can_change_addresses)
{
	apply(IGB "  num-vfs: 3\n  vfs:\n  - {index: 0, mac: '52:54:00:00:00:0a'}\n"
		  "  - {index: 1, mac: '52:54:00:00:00:0b'}\n"
		  "  - {index: 2, mac: '52:54:00:00:00:0c'}\n");
	want(IGB "  vfs:\n  - {index: 0, mac: '52:54:00:00:00:0b'}\n"
		 "  - {index: 1, mac: '52:54:00:00:00:0c'}\n"
		 "  - {index: 2, mac: '52:54:00:00:00:0a'}\n");
	ck_assert_msg(apply_with(&plain) == 0, "%s", e.text);
	ck_assert_uint_eq(k.knobs->pf[0].mac[0][5], 0xb);
	ck_assert_uint_eq(k.knobs->pf[0].mac[1][5], 0xc);
	ck_assert_uint_eq(k.knobs->pf[0].mac[2][5], 0xa);
	plan(IGB "  vfs:\n  - {index: 0, mac: '52:54:00:00:00:0c'}\n");
	ck_assert_int_eq(p->pf->why.code, EADDRINUSE);
	ck_assert_ptr_nonnull(
		strstr(p->pf->why.text, "f:4:5: 0000:01:00.0: mac 52:54:00:00:00:0c is "
					"VF 1's already"));
}
END_TEST

static const struct {
	const char *text;
	int code;
	const char *says;
} impossible[] = {
	{"pfs:\n- pf: 0000:77:00.0\n", ENODEV, "f:2:3: "},
	{"pfs:\n- pf: nosuch0\n", ENODEV, "f:2:3: "},
	{"pfs:\n- pf: 0000:02:00.0\n  num-vfs: 1\n", ENOTSUP,
		"f:2:3: 0000:02:00.0: it has no SR-IOV"},
	{IGB "  num-vfs: 8\n", ERANGE, "f:2:3: 0000:01:00.0: num-vfs is 8, it can have 7 at most"},
	{IGB "  vfs: [{index: 0}]\n", ERANGE, "f:3:9: 0000:01:00.0: there is no VF 0: it has 0"},
	{IGB "- pf: eth0\n", EEXIST, "f:3:3: 0000:01:00.0: eth0 is the PF of line 2 too"},
	{"pfs:\n" NVME "  num-vfs: 1\n  vfs: [{index: 0, vlan: 5}]\n", ENOTSUP,
		"f:4:9: 0000:03:00.0: vlan of VF 0: the PF has no network interface"},
	{IGB "  num-vfs: 2\n  vfs: [{index: 1, qos: 3}]\n", EINVAL,
		"f:4:9: 0000:01:00.0: VF 1: a priority and a protocol are a VLAN's"},
	{IGB "  num-vfs: 2\n  vfs: [{index: 1, mac: '52:54:00:00:00:01'}]\n", EADDRINUSE,
		"f:4:9: 0000:01:00.0: mac 52:54:00:00:00:01 of VF 1 is the address of the PF's "
		"interface eth0"},
	{IGB "  eswitch: switchdev\n", EOPNOTSUPP, "f:2:3: 0000:01:00.0: "},
};

START_TEST(what_cannot_be_is_said_before_anything_is_done)
{
	const struct vfm_plan_pf *bad;

	fake_pf_add(&k, &fake_nvme);
	plan(impossible[_i].text);
	ck_assert_uint_eq(p->n_bad, 1);
	ck_assert_uint_eq(p->n_steps, 0);
	bad = &p->pf[p->n_pfs - 1];
	ck_assert_msg(bad->why.code == impossible[_i].code &&
			      strstr(bad->why.text, impossible[_i].says) == bad->why.text,
		"%d %s", bad->why.code, bad->why.text);
	ck_assert_int_eq(apply_with(&recreate), -impossible[_i].code);
	ck_assert_uint_eq(k.knobs->changes, 0);
}
END_TEST

/* What the file says fits by itself, and not with what the VF has: as vfm_set() would refuse it. */
START_TEST(what_does_not_fit_what_a_vf_has_is_said_before_anything_is_done)
{
	static const struct {
		const char *vf, *says;
	} odd[] = {
		{"qos: 3", "f:3:9: 0000:01:00.0: VF 0, with what it has: a priority"},
		{"min-rate: 501", "f:3:9: 0000:01:00.0: VF 0, with what it has: min-rate 501 is"},
		{"mac: '52:54:00:00:00:01'", "f:3:9: 0000:01:00.0: mac 52:54:00:00:00:01 of VF 0"},
	};
	unsigned changes;

	apply(IGB "  num-vfs: 2\n  vfs: [{index: 0, max-rate: 500}]\n");
	changes = k.knobs->changes;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		char text[128];

		snprintf(text, sizeof(text), IGB "  vfs: [{index: 0, %s}]\n", odd[i].vf);
		plan(text);
		ck_assert_uint_eq(p->n_bad, 1);
		ck_assert_msg(strstr(p->pf->why.text, odd[i].says) == p->pf->why.text, "%s",
			p->pf->why.text);
		ck_assert_int_lt(apply_with(&plain), 0);
		ck_assert_uint_eq(k.knobs->changes, changes);
	}
	/* With the rest of it it does. */
	plan(IGB "  vfs: [{index: 0, qos: 3, vlan: 5, min-rate: 501, max-rate: 502}]\n");
	ck_assert_uint_eq(p->n_bad, 0);
}
END_TEST

START_TEST(a_pool_is_what_the_file_says_and_comes_back_with_a_rollback)
{
	char pool[VFM_NAME_MAX];

	apply(IGB "  pool: fast\n");
	vfm_pool_get(v, pf, pool);
	ck_assert_str_eq(pool, "fast");
	plan(IGB "  pool: fast\n");
	ck_assert_uint_eq(p->n_steps, 0);
	/* A file that says nothing of it leaves it. */
	plan(IGB);
	ck_assert_uint_eq(p->n_steps, 0);
	plan(IGB "  pool: slow\n");
	ck_assert_uint_eq(p->n_steps, 1);
	ck_assert_str_eq(p->step[0].text, "0000:01:00.0: put it into pool slow (is in fast)");
	fake_pf_add(&k, &fake_nvme);
	want(IGB "  pool: slow\n" NVME "  num-vfs: 1\n");
	k.knobs->short_count = 1;
	k.knobs->fail_at = k.knobs->calls + 1;
	k.knobs->fail_for = 1000;
	k.knobs->fail_code = EIO;
	ck_assert_int_lt(apply_with(&rollback), 0);
	vfm_pool_get(v, pf, pool);
	ck_assert_str_eq(pool, "fast");
}
END_TEST

/* A PF without an interface needs no netlink at all. */
START_TEST(nvme_is_carved_and_bound)
{
	fake_pf_add(&k, &fake_nvme);
	apply("pfs:\n" NVME "  num-vfs: 2\n  vfs: [{index: 0-1, driver: vfio-pci}]\n");
	assert_state("0000:03:00.0 numvfs 2");
	assert_state("0000:03:00.1 driver 'vfio-pci'");
	assert_state("0000:03:00.2 driver 'vfio-pci'");
	k.knobs->changes = 0;
	ck_assert_int_eq(apply_with(&plain), 0);
	ck_assert_uint_eq(k.knobs->changes, 0);
}
END_TEST

START_TEST(a_pf_that_fails_costs_the_others_nothing_but_with_rollback)
{
	static const char text[] = "pfs:\n- pf: 0000:77:00.0\n" NVME "  num-vfs: 2\n";

	fake_pf_add(&k, &fake_nvme);
	want(text);
	ck_assert_int_eq(apply_with(&rollback), -ENODEV);
	assert_says("all or nothing");
	assert_state("0000:03:00.0 numvfs 0");
	ck_assert_int_eq(apply_with(&plain), -ENODEV);
	assert_says("0000:77:00.0");
	assert_state("0000:03:00.0 numvfs 2");
}
END_TEST

START_TEST(one_pf_of_the_file_alone)
{
	fake_pf_add(&k, &fake_nvme);
	want("pfs:\n- pf: nosuch0\n- pf: 0000:01:00.0\n  num-vfs: 1\n" NVME "  num-vfs: 2\n");
	ck_assert_msg(vfm_apply(v, d, "0000:03:00.0", &plain, &p, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(p->n_pfs, 1);
	assert_state("\n0000:03:00.0 numvfs 2");
	assert_state("numvfs 0 autoprobe 1 eth0");
	vfm_plan_free(p);
	ck_assert_int_eq(vfm_apply(v, d, "0000:02:00.0", &plain, &p, &e), 0);
	ck_assert_uint_eq(p->n_pfs, 0);
	vfm_plan_free(p);
	ck_assert_int_eq(vfm_apply(v, d, "0000:99:00.0", &plain, &p, &e), -ENODEV);
}
END_TEST

START_TEST(what_is_acknowledged_but_not_done_is_noticed)
{
	k.knobs->mac_ignored = true;
	want(IGB "  num-vfs: 1\n  vfs: [{index: 0, mac: '52:54:00:00:00:10'}]\n");
	ck_assert_int_eq(apply_with(&rollback), -EIO);
	assert_says("everything was put back");
	assert_state("numvfs 0 autoprobe 1 eth0 down");
}
END_TEST

/* The mode of the switch is changed without VFs; in switchdev mode an address is the port's. */
START_TEST(the_switch_gets_its_mode_before_the_vfs)
{
	static const char text[] =
		"pfs:\n- pf: 0000:04:00.0\n  eswitch: switchdev\n  num-vfs: 2\n"
		"  vfs: [{index: 0, mac: '52:54:00:00:00:40', driver: vfio-pci}]\n";

	k.knobs->unsupported = 0;
	fake_pf_add(&k, &fake_switchdev);
	apply("pfs:\n- pf: eth3\n  eswitch: legacy\n  num-vfs: 2\n");
	want(text);
	ck_assert_int_eq(apply_with(&plain), -EBUSY);
	assert_steps("0000:04:00.0: destroy its 2 VFs, so that its switch can change\n"
		     "0000:04:00.0: set its switch to switchdev (is legacy)\n"
		     "0000:04:00.0: make 2 VFs\n"
		     "0000:04:00.0: VF 0 (0000:04:00.2): mac 52:54:00:00:00:40\n"
		     "0000:04:00.0: VF 0 (0000:04:00.2): bind to vfio-pci\n");
	ck_assert_msg(apply_with(&recreate) == 0, "%s", e.text);
	ck_assert_uint_eq(k.knobs->pf[1].eswitch, 1);
	ck_assert_uint_eq(k.knobs->pf[1].hw_addr[0][5], 0x40);
	k.knobs->changes = 0;
	ck_assert_int_eq(apply_with(&plain), 0);
	ck_assert_uint_eq(k.knobs->changes, 0);
}
END_TEST

START_TEST(a_pf_gets_into_a_pool_and_out_of_it)
{
	char name[VFM_NAME_MAX];

	apply(IGB "  pool: fast\n");
	assert_steps("0000:01:00.0: put it into pool fast\n");
	vfm_pool_get(v, pf, name);
	ck_assert_str_eq(name, "fast");
	apply(IGB "  pool: fast\n");
	assert_steps("");
	apply(IGB "  num-vfs: 0\n");
	vfm_pool_get(v, pf, name);
	ck_assert_str_eq(name, "fast");
	apply(IGB "  pool: slow\n");
	assert_steps("0000:01:00.0: put it into pool slow (is in fast)\n");
	apply(IGB "  pool: none\n");
	vfm_pool_get(v, pf, name);
	ck_assert_str_eq(name, "");
	ck_assert_uint_eq(k.knobs->changes, 0);
}
END_TEST

/* With no word on VFs the file leaves them to the kernel; with one, to that word. */
START_TEST(autoprobe_gives_new_vfs_their_driver_when_the_file_says_nothing_of_them)
{
	apply(IGB "  num-vfs: 1\n  autoprobe: true\n");
	assert_state("0000:01:10.0 driver 'igbvf'");
	apply(IGB "  num-vfs: 2\n  autoprobe: true\n  vfs: [{index: 0, trust: on}]\n");
	assert_state("0000:01:10.0 driver ''");
	assert_state("autoprobe 1");
}
END_TEST

/* --- VFs in use --- */

static const struct vfm_apply_options force = {.recreate = true, .force = true};

START_TEST(a_vf_in_use_is_named_and_needs_force)
{
	apply(full);
	fake_hold(&k, 412, "viaduct-run", "/dev/vfio/11");
	want(IGB "  num-vfs: 3\n");
	ck_assert_int_eq(apply_with(&plain), -EBUSY);
	assert_says("VF 1 ");
	assert_says("viaduct-run");
	assert_says("--recreate, and --force too");
	ck_assert_uint_eq(p->n_affected, 1);
	ck_assert_int_eq(p->affected->index, 1);
	ck_assert_ptr_nonnull(strstr(p->affected->text, "412"));
	ck_assert(*p->affected->consequence);
	ck_assert_int_eq(apply_with(&recreate), -EBUSY);
	assert_says("--force");
	assert_says("nothing was changed");
	assert_state("numvfs 2 ");
	assert_state("numvfs 2 ");
	ck_assert_msg(apply_with(&force) == 0, "%s", e.text);
	assert_state("numvfs 3 ");
}
END_TEST

START_TEST(the_driver_of_a_vf_in_use_needs_force_its_settings_do_not)
{
	apply(full);
	fake_hold(&k, 412, "viaduct-run", "/dev/vfio/10");
	want(IGB "  vfs: [{index: 0, vlan: 9}]\n");
	ck_assert_msg(apply_with(&plain) == 0, "%s", e.text);
	want(IGB "  vfs: [{index: 0, driver: none}]\n");
	ck_assert_int_eq(apply_with(&plain), -EBUSY);
	assert_says("412");
	assert_state("0000:01:10.0 driver 'vfio-pci'");
	ck_assert_uint_eq(p->n_affected, 1);
	ck_assert_msg(apply_with(&force) == 0, "%s", e.text);
	assert_state("0000:01:10.0 driver ''");
}
END_TEST

/* --- two at once --- */

/* Another process that has the lock of domain 0 until its pipe closes; its pid. */
static pid_t lock_elsewhere(int *ret_fd)
{
	int p2[2], ready[2];
	char path[256], c;
	pid_t pid;

	ck_assert_int_eq(pipe(p2), 0);
	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		int fd;

		snprintf(path, sizeof(path), "%s/run", k.root);
		mkdir(path, 0755);
		mkdir(k.run_dir, 0755);
		snprintf(path, sizeof(path), "%s/apply-0000.lock", k.run_dir);
		fd = open(path, O_RDWR | O_CREAT, 0600);
		flock(fd, LOCK_EX);
		dprintf(fd, "%d\n", (int)getpid());
		close(p2[1]);
		close(ready[1]);
		_exit(read(p2[0], &c, 1) == 0 ? 0 : 1);
	}
	close(p2[0]);
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &c, 1), 0);
	close(ready[0]);
	*ret_fd = p2[1];
	return pid;
}

START_TEST(the_second_of_two_applies_refuses_by_name)
{
	char text[64];
	pid_t pid;
	int fd;

	vfm_destroy(v);
	k.config.timeout_ms = 200;
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	pid = lock_elsewhere(&fd);
	want(full);
	ck_assert_int_eq(apply_with(&plain), -EBUSY);
	snprintf(text, sizeof(text), "another viaduct vf apply (process %d)", (int)pid);
	assert_says(text);
	ck_assert_ptr_nonnull(strstr(noted, text));
	ck_assert_uint_eq(k.knobs->changes, 0);
	close(fd);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* The other ends as soon as we say that we wait for it. */
static int other_fd;

static void on_waiting(void *arg, const char *text)
{
	on_note(arg, text);
	if (strstr(text, "waiting for it"))
		other_fd = fd_close(other_fd);
}

START_TEST(the_second_of_two_applies_waits)
{
	pid_t pid;

	vfm_destroy(v);
	k.config.note = on_waiting;
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	pid = lock_elsewhere(&other_fd);
	want(full);
	ck_assert_msg(apply_with(&plain) == 0, "%s", e.text);
	ck_assert_int_eq(other_fd, -1);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* Eight at once, with two files: the end is one of the two, and nobody fails but by name. */
START_TEST(many_at_once_end_in_one_of_the_states)
{
	static const char *const files[] = {
		full, IGB "  num-vfs: 2\n  vfs:\n  - {index: 0-1, driver: none, trust: off}\n"};
	pid_t pid[8];
	int status;

	apply(full);
	for (int i = 0; i < 8; i++) {
		pid[i] = fork();
		if (pid[i])
			continue;
		want(files[i % 2]);
		_exit(apply_with(&plain) == 0 ? 0 : 1);
	}
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
		ck_assert_int_eq(status, 0);
	}
	plan(full);
	if (p->n_steps)
		plan(files[1]);
	assert_steps("");
}
END_TEST

/* --- sweeps --- */

static void start_empty(void)
{
}

/* Two VFs of which the first is a guest's with everything, the second the host's. */
static void start_two(void)
{
	apply(IGB "  num-vfs: 2\n  vfs:\n"
		  "  - {index: 0, mac: '52:54:00:00:00:10', vlan: 100, qos: 3, max-rate: 500, "
		  "trust: on, driver: vfio-pci}\n  - {index: 1, driver: igbvf}\n");
	/* As if the host, not we, had bound it. */
	fake_remove(&k, "run/vf/0000:01:10.2.driver");
}

static void start_switch(void)
{
	k.knobs->unsupported = 0;
	fake_pf_add(&k, &fake_switchdev);
	apply("pfs:\n- pf: eth3\n  num-vfs: 1\n  vfs:\n"
	      "  - {index: 0, mac: '52:54:00:00:00:41', vlan: 5, driver: vfio-pci}\n");
}

static void start_nvme(void)
{
	fake_pf_add(&k, &fake_nvme);
	apply("pfs:\n" NVME "  num-vfs: 1\n  vfs: [{index: 0, driver: vfio-pci}]\n");
}

static const struct sweep {
	const char *name;
	void (*start)(void);
	const char *file;
} sweeps[] = {
	{"first", start_empty, full},
	{"grow", start_two,
		IGB "  num-vfs: 3\n  autoprobe: false\n  vfs:\n  - {index: 1, mac: "
		    "'52:54:00:00:00:22', "
		    "driver: vfio-pci}\n"},
	{"shrink", start_two, IGB "  num-vfs: 1\n  vfs:\n  - {index: 0, vlan: 9}\n"},
	{"destroy", start_two, IGB "  num-vfs: 0\n"},
	{"attributes", start_two,
		IGB "  vfs:\n  - {index: 0, mac: none, vlan: none, max-rate: 0, trust: off}\n"
		    "  - {index: 1, mac: '52:54:00:00:00:10', spoofchk: on, driver: none}\n"},
	{"exclusive", start_two, IGB "  exclusive: true\n  vfs: [{index: 1, driver: vfio-pci}]\n"},
	{"switch", start_switch,
		"pfs:\n- pf: 0000:04:00.0\n  eswitch: switchdev\n  num-vfs: 2\n"
		"  vfs: [{index: 0, mac: '52:54:00:00:00:40', max-rate: 100, driver: vfio-pci}]\n"},
	{"two PFs", start_nvme,
		IGB "  num-vfs: 2\n  vfs: [{index: 0, driver: default}]\n" NVME
		    "  num-vfs: 3\n  vfs: [{index: 0-2, driver: vfio-pci}]\n"},
};

static void sweep_start(const struct sweep *s)
{
	setup();
	s->start();
	want(s->file);
	k.knobs->calls = 0;
}

/* The names in the runtime directory but locks, which stay; free it. */
static char *records(void)
{
	struct dirent **names;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int n = scandir(k.run_dir, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (names[i]->d_type == DT_REG && !strstr(names[i]->d_name, ".lock"))
			fprintf(f, "%s\n", names[i]->d_name);
		free(names[i]);
	}
	free(n < 0 ? NULL : names);
	fclose(f);
	return text;
}

/* What an undisturbed apply makes of it. */
static void reference(const struct sweep *s, char **ret_state, char **ret_records)
{
	sweep_start(s);
	ck_assert_msg(apply_with(&recreate) == 0, "%s: %s", s->name, e.text);
	*ret_state = fake_state(&k);
	*ret_records = records();
	teardown();
}

static void assert_same(const struct sweep *s, unsigned call, const char *state, const char *recs)
{
	_cleanup_free_ char *now = fake_state(&k), *now_records = records();

	ck_assert_msg(!strcmp(now, state), "%s, call %u: is\n%snot\n%s(%s)", s->name, call, now,
		state, e.text);
	ck_assert_msg(!strcmp(now_records, recs), "%s, call %u: records\n%snot\n%s", s->name, call,
		now_records, recs);
}

/* A call fails, or it and all after it: then the same command goes on from there. */
static void sweep_faults(
	const struct sweep *s, unsigned fail_for, const struct vfm_apply_options *o)
{
	_cleanup_free_ char *state = NULL, *recs = NULL;
	bool done = false;

	reference(s, &state, &recs);
	for (unsigned n = 1; !done; n++) {
		_cleanup_free_ char *before = NULL, *after = NULL, *records_before = NULL;

		ck_assert_uint_lt(n, 300);
		sweep_start(s);
		before = fake_state(&k);
		records_before = records();
		k.knobs->fail_at = n;
		k.knobs->fail_for = fail_for;
		k.knobs->fail_code = EIO;
		done = apply_with(o) == 0;
		k.knobs->fail_at = 0;
		if (done) {
			assert_same(s, n, state, recs);
			teardown();
			continue;
		}
		after = fake_state(&k);
		/* One fault never stops the undo itself. */
		if (o->rollback && !fail_for)
			assert_same(s, n, before, records_before);
		else if (o->rollback && strcmp(before, after))
			ck_assert_msg(strstr(e.text, "not undone") != NULL,
				"%s, call %u: was\n%sis\n%sand only says: %s", s->name, n, before,
				after, e.text);
		else if (o->rollback)
			ck_assert_msg(fail_for || !strstr(e.text, "not undone"), "%s", e.text);
		else if (!p || !p->n_steps || p->step[0].outcome == VFM_STEP_PLANNED)
			assert_same(s, n, before, records_before);
		if (!o->rollback || strcmp(before, after)) {
			ck_assert_msg(apply_with(&recreate) == 0, "%s, call %u, again: %s", s->name,
				n, e.text);
			assert_same(s, n, state, recs);
		}
		teardown();
	}
}

START_TEST(every_call_fails_in_turn)
{
	sweep_faults(&sweeps[_i], 0, &recreate);
}
END_TEST

START_TEST(every_call_fails_in_turn_and_all_is_put_back)
{
	sweep_faults(&sweeps[_i], 0, &rollback);
}
END_TEST

START_TEST(every_call_and_all_after_it_fail)
{
	sweep_faults(&sweeps[_i], 1000, &recreate);
}
END_TEST

START_TEST(every_call_and_all_after_it_fail_with_rollback)
{
	sweep_faults(&sweeps[_i], 1000, &rollback);
}
END_TEST

/* Killed before or after each call, and once more while it goes on; then apply ends where it would. */
static void sweep_kills(const struct sweep *s, bool after)
{
	_cleanup_free_ char *state = NULL, *recs = NULL;
	bool done = false;

	reference(s, &state, &recs);
	for (unsigned n = 1; !done; n++) {
		ck_assert_uint_lt(n, 300);
		sweep_start(s);
		for (unsigned time = 0; time < 2; time++) {
			int status;
			pid_t pid = fork();

			ck_assert_int_ge(pid, 0);
			if (pid == 0) {
				k.knobs->kill_pid = getpid();
				*(after ? &k.knobs->kill_after : &k.knobs->kill_at) =
					time ? k.knobs->calls + 3 : n;
				_exit(apply_with(&recreate) == 0 ? 0 : 1);
			}
			ck_assert_int_eq(waitpid(pid, &status, 0), pid);
			done |= !time && WIFEXITED(status);
			ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
			k.knobs->kill_at = k.knobs->kill_after = 0;
		}
		ck_assert_msg(apply_with(&recreate) == 0, "%s, call %u: %s", s->name, n, e.text);
		assert_same(s, n, state, recs);
		teardown();
	}
}

START_TEST(killed_at_any_call_the_next_apply_ends_the_same)
{
	sweep_kills(&sweeps[_i], false);
}
END_TEST

START_TEST(killed_after_any_call_the_next_apply_ends_the_same)
{
	sweep_kills(&sweeps[_i], true);
}
END_TEST

START_TEST(cancelled_at_any_call_it_is_put_back_or_goes_on)
{
	const struct sweep *s = &sweeps[_i / 2];
	const struct vfm_apply_options *o = _i % 2 ? &rollback : &recreate;
	_cleanup_free_ char *state = NULL, *recs = NULL;
	bool done = false;

	reference(s, &state, &recs);
	for (unsigned n = 1; !done; n++) {
		_cleanup_free_ char *before = NULL, *records_before = NULL;
		int r;

		ck_assert_uint_lt(n, 300);
		sweep_start(s);
		before = fake_state(&k);
		records_before = records();
		k.knobs->cancel_at = n;
		r = apply_with(o);
		done = !k.knobs->cancel;
		k.knobs->cancel = k.knobs->cancel_at = 0;
		ck_assert_msg(r == 0 || r == -EINTR, "%s, call %u: %d %s", s->name, n, r, e.text);
		if (r == -EINTR && o->rollback)
			assert_same(s, n, before, records_before);
		if (r == -EINTR)
			ck_assert_msg(apply_with(&recreate) == 0, "%s", e.text);
		assert_same(s, n, state, recs);
		teardown();
	}
}
END_TEST

/* Pulled out at any call: an error, no hang, and nothing of it is left. */
START_TEST(a_pf_that_goes_away_is_an_error)
{
	const struct sweep *s = &sweeps[_i / 2];
	bool done = false;

	if (s->start == start_nvme || s->start == start_switch)
		return; /* it is the first PF that goes */
	for (unsigned n = 1; !done; n++) {
		int r;

		ck_assert_uint_lt(n, 300);
		sweep_start(s);
		k.knobs->vanish_at = n;
		r = apply_with(_i % 2 ? &rollback : &recreate);
		done = k.knobs->calls < n;
		ck_assert_msg(done ? r == 0 : r < 0, "%s, call %u: %d %s", s->name, n, r, e.text);
		ck_assert(done || *e.text);
		k.knobs->vanish_at = 0;
		teardown();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-apply");
	TCase *t = tcase_create("plan"), *sweep = tcase_create("sweep");
	const int n = (int)ARRAY_SIZE(sweeps);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_test(t, steps_come_in_the_fixed_order);
	tcase_add_test(t, apply_makes_it_so_and_then_writes_nothing);
	tcase_add_test(t, apply_tells_where_the_time_went);
	tcase_add_test(t, what_differs_alone_is_changed);
	tcase_add_test(t, another_number_destroys_all_and_says_so);
	tcase_add_test(t, a_dry_run_refuses_as_the_run_would_and_changes_nothing);
	tcase_add_test(t, vfs_that_are_not_listed_are_left_alone);
	tcase_add_test(t, an_exclusive_pf_takes_the_others_back);
	tcase_add_test(t, an_exclusive_pf_leaves_a_drivers_own_address);
	tcase_add_test(t, two_vfs_can_change_addresses);
	tcase_add_loop_test(
		t, what_cannot_be_is_said_before_anything_is_done, 0, ARRAY_SIZE(impossible));
	tcase_add_test(t, what_does_not_fit_what_a_vf_has_is_said_before_anything_is_done);
	tcase_add_test(t, a_pool_is_what_the_file_says_and_comes_back_with_a_rollback);
	tcase_add_test(t, nvme_is_carved_and_bound);
	tcase_add_test(t, a_pf_that_fails_costs_the_others_nothing_but_with_rollback);
	tcase_add_test(t, one_pf_of_the_file_alone);
	tcase_add_test(t, what_is_acknowledged_but_not_done_is_noticed);
	tcase_add_test(t, the_switch_gets_its_mode_before_the_vfs);
	tcase_add_test(t, a_pf_gets_into_a_pool_and_out_of_it);
	tcase_add_test(t, autoprobe_gives_new_vfs_their_driver_when_the_file_says_nothing_of_them);
	tcase_add_test(t, a_vf_in_use_is_named_and_needs_force);
	tcase_add_test(t, the_driver_of_a_vf_in_use_needs_force_its_settings_do_not);
	tcase_add_test(t, the_second_of_two_applies_refuses_by_name);
	tcase_add_test(t, the_second_of_two_applies_waits);
	tcase_add_test(t, many_at_once_end_in_one_of_the_states);
	suite_add_tcase(s, t);
	tcase_set_timeout(sweep, 120);
	tcase_add_loop_test(sweep, every_call_fails_in_turn, 0, n);
	tcase_add_loop_test(sweep, every_call_fails_in_turn_and_all_is_put_back, 0, n);
	tcase_add_loop_test(sweep, every_call_and_all_after_it_fail, 0, n);
	tcase_add_loop_test(sweep, every_call_and_all_after_it_fail_with_rollback, 0, n);
	tcase_add_loop_test(sweep, killed_at_any_call_the_next_apply_ends_the_same, 0, n);
	tcase_add_loop_test(sweep, killed_after_any_call_the_next_apply_ends_the_same, 0, n);
	tcase_add_loop_test(sweep, cancelled_at_any_call_it_is_put_back_or_goes_on, 0, n * 2);
	tcase_add_loop_test(sweep, a_pf_that_goes_away_is_an_error, 0, n * 2);
	suite_add_tcase(s, sweep);
	return suite_run(s);
}
