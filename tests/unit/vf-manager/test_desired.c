// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "vf-manager/desired.h"

static struct vfm_desired *parse(const char *text)
{
	struct vfm_desired *d = NULL;
	struct err e = {0};

	ck_assert_msg(vfm_desired_parse("f", text, strlen(text), &d, &e) == 0, "%s", e.text);
	return d;
}

#define PF "pfs:\n- pf: 0000:01:00.0\n"

/* All keys, and what is left alone when they are absent. */
START_TEST(a_file_says_what_it_says)
{
	struct vfm_desired *d = parse(
		PF "  num-vfs: 4\n  autoprobe: no\n  exclusive: true\n  pool: fast\n"
		   "  eswitch: switchdev\n  vfs:\n  - index: 2\n    mac: 52:54:00:00:00:0A\n"
		   "    vlan: 7\n    qos: 1\n    proto: 802.1ad\n    min-rate: 1\n    max-rate: 2\n"
		   "    spoofchk: on\n    trust: false\n    rss-query: yes\n    link-state: auto\n"
		   "    node-guid: 0011223344556677\n    driver: vfio-pci\n- pf: eth9\n");
	const struct vfm_settings *s;
	char text[VFM_VALUE_MAX];

	ck_assert_uint_eq(d->n_pfs, 2);
	ck_assert_str_eq(d->file, "f");
	ck_assert_str_eq(d->pf[0].selector, "0000:01:00.0");
	ck_assert_int_eq(d->pf[0].num_vfs, 4);
	ck_assert_int_eq(d->pf[0].autoprobe, 0);
	ck_assert(d->pf[0].exclusive);
	ck_assert_str_eq(d->pf[0].pool, "fast");
	ck_assert_str_eq(d->pf[0].eswitch, "switchdev");
	ck_assert_uint_eq(d->pf[0].line, 2);
	ck_assert_uint_eq(d->pf[0].n_vfs, 1);
	ck_assert_uint_eq(d->pf[0].vf[0].index, 2);
	ck_assert_uint_eq(d->pf[0].vf[0].line, 9);
	ck_assert_str_eq(d->pf[0].vf[0].driver, "vfio-pci");
	s = &d->pf[0].vf[0].settings;
	ck_assert_uint_eq(s->set, VFM_ALL_BITS & ~VFM_BIT(PORT_GUID));
	ck_assert_str_eq(vfm_setting_format(s, VFM_SET_MAC, text), "52:54:00:00:00:0a");
	ck_assert_str_eq(vfm_setting_format(s, VFM_SET_PROTO, text), "802.1ad");
	ck_assert(s->spoofchk && !s->trust && s->rss_query);
	ck_assert_int_eq(d->pf[1].num_vfs, -1);
	ck_assert_int_eq(d->pf[1].autoprobe, -1);
	ck_assert(!d->pf[1].exclusive && !d->pf[1].pool[0] && !d->pf[1].eswitch[0]);
	ck_assert_uint_eq(d->pf[1].n_vfs, 0);
	vfm_desired_free(d);
}
END_TEST

/* What show prints: JSON, null for what is not known, "status" at three places. */
START_TEST(json_is_read_and_status_is_not)
{
	struct vfm_desired *d = parse(
		"{\"status\": {\"x\": [1, {\"pf\": {}}]}, \"pfs\": [{\"pf\": \"0000:01:00.0\", "
		"\"num-vfs\": 1, \"autoprobe\": null, \"pool\": null, \"status\": \"y\", \"vfs\": "
		"[{\"index\": 0, \"mac\": null, \"trust\": true, \"vlan\": 5, "
		"\"driver\": \"none\", \"status\": {\"index\": \"nine\"}}]}]}");

	ck_assert_int_eq(d->pf[0].num_vfs, 1);
	ck_assert_int_eq(d->pf[0].autoprobe, -1);
	ck_assert_uint_eq(d->pf[0].vf[0].settings.set, VFM_BIT(TRUST) | VFM_BIT(VLAN));
	ck_assert_str_eq(d->pf[0].vf[0].driver, "none");
	vfm_desired_free(d);
}
END_TEST

/* Wherever it stands, what is said of one VF goes over what is said of several. */
START_TEST(a_range_expands_and_one_goes_over_it)
{
	struct vfm_desired *d =
		parse(PF "  vfs:\n  - {index: 1, vlan: 9, driver: none}\n"
			 "  - {index: \"0-2\", vlan: 5, qos: 3, trust: on, driver: vfio-pci}\n"
			 "  - {index: 2, vlan: none}\n  - {index: 5-5, qos: 1}\n");
	const struct vfm_desired_vf *vf = d->pf[0].vf;

	ck_assert_uint_eq(d->pf[0].n_vfs, 4);
	ck_assert_uint_eq(vf[0].index, 0);
	ck_assert_uint_eq(vf[0].settings.vlan, 5);
	ck_assert_str_eq(vf[0].driver, "vfio-pci");
	ck_assert_uint_eq(vf[1].index, 1);
	ck_assert_uint_eq(vf[1].settings.vlan, 9);
	ck_assert_uint_eq(vf[1].settings.qos, 3);
	ck_assert(vf[1].settings.trust);
	ck_assert_str_eq(vf[1].driver, "none");
	ck_assert_uint_eq(vf[2].settings.set, VFM_BIT(VLAN) | VFM_BIT(TRUST));
	ck_assert_uint_eq(vf[3].index, 5);
	vfm_desired_free(d);
}
END_TEST

static const struct {
	const char *text, *place, *says;
} bad[] = {
	{"", "f", "empty"},
	{"- a\n", "f:1:1", ""},
	{"pfs: 3\n", "f:1:6", ""},
	{"status: {}\n", "f:1:1", "pfs"},
	{"pfs: [\n", "f:2:1", ""},
	{"pfs: []\nspeed: 1\n", "f:2:1", "'speed' is no key here"},
	{"pfs: []\npfs: []\n", "f:2:1", "'pfs' is given twice"},
	{"pfs: []\n---\npfs: []\n", "f:3:1", "second document"},
	{"pfs:\n- num-vfs: 3\n", "f:2:3", "pf"},
	{PF "  numvfs: 3\n", "f:3:3", "'numvfs' is no key here; there are pf, num-vfs,"},
	{PF "  num-vfs: many\n", "f:3:12", "0 to 65535, not 'many'"},
	{PF "  num-vfs: -1\n", "f:3:12", "not '-1'"},
	{PF "  num-vfs: 65536\n", "f:3:12", "0 to 65535"},
	{PF "  num-vfs: 7x\n", "f:3:12", "not '7x'"},
	{PF "  num-vfs: [7]\n", "f:3:12", ""},
	{PF "  autoprobe: maybe\n", "f:3:14", "true or false"},
	{PF "  exclusive: 2\n", "f:3:14", "true or false"},
	{PF "  eswitch: fast\n", "f:3:12", "legacy or switchdev"},
	{PF "  pool: a/b\n", "f:3:9", "pool"},
	{PF "- pf: eth0\n- pf: 0000:01:00.0\n", "f:4:7", "line 2"},
	{"pfs:\n- pf: ''\n", "f:2:7", "pf"},
	{"pfs:\n- pf: mac=1\n", "f:2:7", "pf"},
	{PF "  vfs:\n  - mac: none\n", "f:4:5", "index"},
	{PF "  vfs:\n  - index: x\n", "f:4:12", "not 'x'"},
	{PF "  vfs:\n  - index: 3-\n", "f:4:12", "not '3-'"},
	{PF "  vfs:\n  - index: -3\n", "f:4:12", "not '-3'"},
	{PF "  vfs:\n  - index: 1-2-3\n", "f:4:12", "not '1-2-3'"},
	{PF "  vfs:\n  - index: 1- 3\n", "f:4:12", "not '1- 3'"},
	{PF "  vfs:\n  - index: 99999999999\n", "f:4:12", "index"},
	{PF "  vfs:\n  - index: 65535\n", "f:4:12", "0 to 65534"},
	{PF "  vfs:\n  - index: 3-1\n", "f:4:12", "backwards"},
	{PF "  num-vfs: 2\n  vfs:\n  - index: 2\n", "f:5:12", "no VF 2: num-vfs is 2"},
	{PF "  num-vfs: 2\n  vfs:\n  - index: 0-2\n", "f:5:12", "no VF 2"},
	{PF "  num-vfs: 0\n  vfs:\n  - index: 0\n", "f:5:12", "no VF 0: num-vfs is 0"},
	{PF "  vfs:\n  - index: 1\n  - index: 1\n", "f:5:12", "VF 1 of this PF is given twice"},
	{PF "  vfs:\n  - index: 1-3\n  - index: 3-4\n", "f:5:12", "VF 3 of this PF is given twice"},
	{PF "  vfs:\n  - index: 1\n    colour: red\n", "f:5:5", "'colour' is no key here"},
	{PF "  vfs:\n  - index: 1\n    mac: 01:00:00:00:00:01\n", "f:4:5", "multicast"},
	{PF "  vfs:\n  - index: 1\n    mac: 52:54\n", "f:5:10", "'52:54' is no value of mac"},
	{PF "  vfs:\n  - index: 1\n    vlan: 4095\n", "f:5:11", "1 to 4094"},
	{PF "  vfs:\n  - index: 1\n    vlan: 0\n    qos: 3\n", "f:4:5", "vlan"},
	{PF "  vfs:\n  - index: 1\n    qos: 8\n", "f:5:10", "0 to 7"},
	{PF "  vfs:\n  - index: 1\n    proto: 802.3\n", "f:5:12", "802.1ad"},
	{PF "  vfs:\n  - index: 1\n    min-rate: 9\n    max-rate: 8\n", "f:4:5", "above"},
	{PF "  vfs:\n  - index: 1\n    trust: 7\n", "f:5:12", "trust"},
	{PF "  vfs:\n  - index: 1\n    driver: a/b\n", "f:5:13", "driver"},
	{PF "  vfs:\n  - index: 0-1\n    mac: 52:54:00:00:00:01\n", "f:5:10", "entry of its own"},
	{PF "  vfs:\n  - {index: 0-1, min-rate: 5}\n  - {index: 1, max-rate: 4}\n", "f:5:5",
		"with what its range says"},
	{PF "  vfs:\n  - {index: 0, mac: '52:54:00:00:00:01'}\n"
	    "  - {index: 2, mac: '52:54:00:00:00:01'}\n",
		"f:4:3", "VFs 0 and 2 (line 5) both have mac 52:54:00:00:00:01"},
	{"pfs: &a\n- pf: eth0\nstatus: *a\n", "f:3:9:", "alias"},
	{PF "  vfs:\n  - {index: 0, vlan: &x 5}\n  - index: 1\n    vlan: *x\n", "f:6:11:", "alias"},
	{"pfs: *a\n", "f:1:6:", "alias"},
	{"pfs:\n- pf: a\001b\n", "f:2:8:", "control characters"},
	{"pfs:\n- pf: \"\303\251\" # \351t\351\n", "f:2:14:", "UTF-8"},
	{"pfs:\n- pf: \"eth\\e[31m0\\n\"\n", "f:2:7:", "pf: 'eth?[31m0?' is neither"},
	{"pfs:\n- pf: eth0\n  \"a\\eb\": 1\n", "f:3:3:", "'a?b' is no key"},
	{"pfs:\n- pf: eth0\n  vfs: [{index: 0-60000}]\n- pf: eth1\n  vfs: [{index: 0-60000}]\n",
		"f:5:17", "more than 65536 VFs"},
};

START_TEST(what_is_wrong_is_said_with_its_place)
{
	struct vfm_desired *d = NULL;
	struct err e = {0};

	ck_assert_int_eq(
		vfm_desired_parse("f", bad[_i].text, strlen(bad[_i].text), &d, &e), -EINVAL);
	ck_assert_ptr_null(d);
	ck_assert_msg(!strncmp(e.text, bad[_i].place, strlen(bad[_i].place)) &&
			      strstr(e.text, bad[_i].says),
		"%s\ngave: %s\nnot: %s: ...%s", bad[_i].text, e.text, bad[_i].place, bad[_i].says);
}
END_TEST

static void expect_load(const char *path, int code, const char *says)
{
	struct vfm_desired *d = NULL;
	struct err e = {0};
	int r = vfm_desired_load(path, &d, &e);

	ck_assert_msg(r == -code, "%s: %d %s", path, r, e.text);
	ck_assert_msg(strstr(e.text, says), "%s", e.text);
}

START_TEST(a_file_that_cannot_be_read_is_an_error)
{
	char big[] = "/tmp/viaduct-big-XXXXXX";
	int fd = mkstemp(big);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (4 << 20) + 1), 0);
	expect_load("/nonexistent/vf.yaml", ENOENT, "/nonexistent/vf.yaml");
	expect_load("/tmp", EISDIR, "/tmp");
	expect_load(big, EFBIG, "4 MiB");
	ck_assert_int_eq(ftruncate(fd, 4 << 20), 0);
	expect_load(big, EINVAL, big); /* zero bytes are no text */
	close(fd);
	unlink(big);
}
END_TEST

START_TEST(standard_input_and_pipes_are_read)
{
	static const char text[] = "pfs:\n- pf: eth0\n  bad: 1\n";
	int p[2], saved = dup(STDIN_FILENO);
	struct vfm_desired *d = NULL;
	char path[64];

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(write(p[1], text, 16), 16);
	close(p[1]);
	snprintf(path, sizeof(path), "/dev/fd/%d", p[0]);
	ck_assert_int_eq(vfm_desired_load(path, &d, NULL), 0);
	ck_assert_str_eq(d->pf[0].selector, "eth0");
	vfm_desired_free(d);
	close(p[0]);

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(write(p[1], text, strlen(text)), strlen(text));
	close(p[1]);
	dup2(p[0], STDIN_FILENO);
	expect_load("-", EINVAL, "standard input:3:3: 'bad'");
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(p[0]);
}
END_TEST

/* What users copy has to be right, and say what the README says it does. */
START_TEST(the_example_loads)
{
	struct vfm_desired *d = NULL;
	struct err e = {0};

	ck_assert_msg(
		vfm_desired_load(SOURCE_DIR "/docs/examples/vf.yaml", &d, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(d->n_pfs, 2);
	ck_assert_uint_eq(d->pf[0].n_vfs, 7);
	ck_assert_str_eq(d->pf[0].pool, "fast");
	ck_assert_uint_eq(d->pf[0].vf[0].settings.vlan, 200);
	ck_assert_uint_eq(d->pf[0].vf[3].settings.vlan, 100);
	ck_assert_str_eq(d->pf[0].vf[3].driver, "vfio-pci");
	ck_assert_str_eq(d->pf[0].vf[6].driver, "default");
	ck_assert(d->pf[1].exclusive);
	vfm_desired_free(d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vf-file");
	TCase *tc = tcase_create("file");

	tcase_add_test(tc, a_file_says_what_it_says);
	tcase_add_test(tc, json_is_read_and_status_is_not);
	tcase_add_test(tc, a_range_expands_and_one_goes_over_it);
	tcase_add_loop_test(tc, what_is_wrong_is_said_with_its_place, 0, (int)ARRAY_SIZE(bad));
	tcase_add_test(tc, a_file_that_cannot_be_read_is_an_error);
	tcase_add_test(tc, standard_input_and_pipes_are_read);
	tcase_add_test(tc, the_example_loads);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
