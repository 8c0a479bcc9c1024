// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "lab/lab.h"

static const struct machine_files files = {
	.kernel = "/k", .initrd = "/i", .control = 5, .console = 6, .disk = 7};

/* Where the argument that starts with @text is, or -1. */
static int arg_find(const struct strv *s, const char *text)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strncmp(s->v[i], text, strlen(text)))
			return (int)i;
	return -1;
}

/* A device that comes before its IOMMU is not translated. */
START_TEST(machine_puts_the_iommu_before_every_translated_device)
{
	static const char *const models[] = {"intel-iommu", "intel-iommu", "amd-iommu", NULL};
	struct lab_config cfg = {.cpus = 2,
		.memory_mib = 1024,
		.iommu = (enum lab_iommu)_i,
		.nr_nics = 1,
		.nvme_vfs = 1};
	struct strv s = {0};

	ck_assert_int_eq(machine_argv(&cfg, &files, "qemu", &s), 0);
	ck_assert_str_eq(s.v[0], "qemu");
	ck_assert_ptr_null(s.v[s.n]);
	if (models[_i]) {
		int at = arg_find(&s, models[_i]);

		ck_assert_int_gt(at, 0);
		ck_assert_int_lt(at, arg_find(&s, "virtio-serial-pci"));
		ck_assert_int_lt(at, arg_find(&s, "virtio-9p-pci"));
		ck_assert_int_lt(at, arg_find(&s, "igb,"));
		ck_assert_int_lt(at, arg_find(&s, "nvme,"));
	} else {
		ck_assert_int_eq(arg_find(&s, "intel-iommu"), -1);
		ck_assert_int_eq(arg_find(&s, "amd-iommu"), -1);
	}
	strv_finish(&s);
}
END_TEST

START_TEST(machine_gives_each_device_a_port_and_an_address_of_its_own)
{
	struct lab_config cfg = {.cpus = 1,
		.memory_mib = 1024,
		.nr_nics = 3,
		.nvme_vfs = 4,
		.nics = {LAB_NIC_IGB, LAB_NIC_E1000, LAB_NIC_E1000E}};
	struct strv s = {0};

	ck_assert_int_eq(machine_argv(&cfg, &files, "qemu", &s), 0);
	ck_assert_int_gt(arg_find(&s, "igb,bus=rp0,netdev=net0,mac=52:54:00:4c:ab:01"), 0);
	ck_assert_int_gt(arg_find(&s, "e1000,bus=rp1,netdev=net1,mac=52:54:00:4c:ab:02"), 0);
	ck_assert_int_gt(arg_find(&s, "e1000e,bus=rp2,netdev=net2,mac=52:54:00:4c:ab:03"), 0);
	ck_assert_int_gt(arg_find(&s, "nvme,id=nvme0,serial=viaduct-lab,bus=rp3,subsys=subsys0,"
				      "sriov_max_vfs=4,sriov_vq_flexible=8,sriov_vi_flexible=4"),
		0);
	strv_finish(&s);
}
END_TEST

/* A comma would otherwise start a new option of QEMU's, such as another export's path. */
START_TEST(machine_quotes_commas_of_a_shared_path)
{
	struct lab_config cfg = {
		.cpus = 1, .memory_mib = 1024, .nr_shares = 1, .shares = {"/a,readonly=on,,b"}};
	struct strv s = {0};

	ck_assert_int_eq(machine_argv(&cfg, &files, "qemu", &s), 0);
	ck_assert_int_gt(arg_find(&s, "local,id=fs0,path=/,security_model=none,readonly=on"), 0);
	ck_assert_int_gt(arg_find(&s, "local,id=fs1,path=/a,,readonly=on,,,,b,security_model=none,"
				      "readonly=off"),
		0);
	strv_finish(&s);
}
END_TEST

static int script_run(const char *text, char **ret, size_t nr, int *ret_signal, struct err *e)
{
	return image_build((char *[]){(char *)"/bin/sh", (char *)"-c", (char *)text, NULL}, ret, nr,
		ret_signal, e);
}

START_TEST(image_build_returns_the_lines_of_the_script)
{
	char *lines[2] = {0};
	struct err e = {0};
	int sig = 0;

	ck_assert_int_eq(
		script_run("echo one; sleep 0.1; echo two; echo three", lines, 2, &sig, &e), 0);
	ck_assert_str_eq(lines[0], "one");
	ck_assert_str_eq(lines[1], "two");
	free(lines[0]);
	free(lines[1]);
}
END_TEST

struct failure {
	const char *script;
	int ret;
};

static const struct failure failures[] = {
	{"echo one; echo two; exit 1", -EIO},
	{"echo one; echo two; kill -9 $$", -EIO},
	{"echo one", -EPROTO},
	{"exit 0", -EPROTO},
	{"head -c 20000 /dev/zero | tr '\\0' x", -E2BIG},
};

START_TEST(image_build_reports_a_script_that_fails)
{
	char *lines[2] = {0};
	struct err e = {0};
	int sig = 0;

	ck_assert_int_eq(script_run(failures[_i].script, lines, 2, &sig, &e), failures[_i].ret);
	ck_assert_ptr_null(lines[0]);
	ck_assert_ptr_null(lines[1]);
	ck_assert_int_eq(sig, 0);
	ck_assert_int_ne(e.text[0], 0);
}
END_TEST

/* Ctrl-C while a kernel is fetched must not wait for the download. */
START_TEST(image_build_ends_the_script_on_a_signal)
{
	char *lines[1] = {0};
	struct err e = {0};
	sigset_t set;
	int sig = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ck_assert_int_eq(script_run("kill -TERM $PPID; sleep 100", lines, 1, &sig, &e), -EINTR);
	ck_assert_int_eq(sig, SIGTERM);
	ck_assert_ptr_null(lines[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lab");
	TCase *tc = tcase_create("lab");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, machine_puts_the_iommu_before_every_translated_device, 0, 4);
	tcase_add_test(tc, machine_gives_each_device_a_port_and_an_address_of_its_own);
	tcase_add_test(tc, machine_quotes_commas_of_a_shared_path);
	tcase_add_test(tc, image_build_returns_the_lines_of_the_script);
	tcase_add_loop_test(
		tc, image_build_reports_a_script_that_fails, 0, (int)ARRAY_SIZE(failures));
	tcase_add_test(tc, image_build_ends_the_script_on_a_signal);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
