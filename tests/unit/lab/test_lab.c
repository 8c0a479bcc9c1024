// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "lab/hotplug.h"
#include "lab/lab.h"
#include "lab/proto.h"

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
	static const char *const models[] = {
		"intel-iommu", "intel-iommu", "intel-iommu", "amd-iommu", NULL};
	struct lab_config cfg = {.cpus = 2,
		.memory_mib = 1024,
		.iommu = (enum lab_iommu)_i,
		.nr_nics = 1,
		.nvme_vfs = 1,
		.nvme_vectors = 2048};
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
		.nvme_vectors = 2048,
		.nics = {LAB_NIC_IGB, LAB_NIC_E1000, LAB_NIC_E1000E}};
	struct strv s = {0};

	ck_assert_int_eq(machine_argv(&cfg, &files, "qemu", &s), 0);
	ck_assert_int_gt(arg_find(&s, "igb,id=nic0,bus=rp0,netdev=net0,mac=52:54:00:4c:ab:01"), 0);
	ck_assert_int_gt(
		arg_find(&s, "e1000,id=nic1,bus=rp1,netdev=net1,mac=52:54:00:4c:ab:02"), 0);
	ck_assert_int_gt(
		arg_find(&s, "e1000e,id=nic2,bus=rp2,netdev=net2,mac=52:54:00:4c:ab:03"), 0);
	ck_assert_int_gt(arg_find(&s, "nvme,id=nvme0,serial=viaduct-lab,bus=rp3,subsys=subsys0,"
				      "sriov_max_vfs=4,sriov_vq_flexible=8,sriov_vi_flexible=4,"
				      "msix_qsize=2048"),
		0);
	strv_finish(&s);
}
END_TEST

/* Shared groups need a shared bus, or a port that does not keep its functions apart. */
START_TEST(machine_puts_bridged_nics_on_one_conventional_bus)
{
	struct lab_config cfg = {.cpus = 1,
		.memory_mib = 1024,
		.nr_nics = 1,
		.nr_bridged = 2,
		.no_acs = true,
		.nics = {LAB_NIC_IGB}};
	struct strv s = {0};

	ck_assert_int_eq(machine_argv(&cfg, &files, "qemu", &s), 0);
	ck_assert_int_gt(
		arg_find(&s, "pcie-root-port,id=rp0,chassis=1,addr=0x10,disable-acs=on"), 0);
	ck_assert_int_gt(arg_find(&s, "pcie-pci-bridge,id=bridge,bus=rp1"), 0);
	ck_assert_int_gt(
		arg_find(&s, "e1000,id=nic1,bus=bridge,netdev=net1,mac=52:54:00:4c:ab:02"), 0);
	ck_assert_int_gt(
		arg_find(&s, "e1000,id=nic2,bus=bridge,netdev=net2,mac=52:54:00:4c:ab:03"), 0);
	strv_finish(&s);
}
END_TEST

static const struct lab_config two_nics = {
	.nr_nics = 2, .nics = {LAB_NIC_IGB, LAB_NIC_E1000E}, .nvme_vfs = 1};

static const struct {
	const char *request, *command; /* NULL: refused */
} requests[] = {
	{"unplug nic1",
		"{\"id\":\"hotplug\",\"execute\":\"device_del\",\"arguments\":{\"id\":\"nic1\"}}"},
	{"unplug nvme0",
		"{\"id\":\"hotplug\",\"execute\":\"device_del\",\"arguments\":{\"id\":\"nvme0\"}}"},
	{"plug nic1", "{\"id\":\"hotplug\",\"execute\":\"device_add\",\"arguments\":{\"driver\":"
		      "\"e1000e\","
		      "\"id\":\"nic1\",\"bus\":\"rp1\",\"netdev\":\"net1\",\"mac\":"
		      "\"52:54:00:4c:ab:02\"}}"},
	{"plug nvme0", NULL},
	{"unplug nic2", NULL},
	{"unplug fs0", NULL},
	{"unplug ", NULL},
	{"unplug", NULL},
	{"quit nic0", NULL},
	{"plug nic0\"}", NULL},
	{"", NULL},
};

/* L1 chooses among its own devices; nothing else it writes reaches QEMU's monitor. */
START_TEST(hotplug_takes_requests_for_the_labs_own_devices_alone)
{
	_cleanup_free_ char *command = NULL;
	struct err e = {0};
	int r = hotplug_command(&two_nics, requests[_i].request, &command, &e);

	if (requests[_i].command) {
		ck_assert_int_eq(r, 0);
		ck_assert_str_eq(command, requests[_i].command);
	} else {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_ptr_null(command);
		ck_assert_int_ne(e.text[0], 0);
	}
}
END_TEST

struct ends {
	struct hotplug h;
	int guest, qemu;
};

static void ends_open(struct ends *n)
{
	int port[2], monitor[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, port), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, monitor), 0);
	ck_assert_int_eq(hotplug_init(&n->h, &two_nics, port[0], monitor[0]), 0);
	n->guest = port[1];
	n->qemu = monitor[1];
}

static void ends_close(struct ends *n)
{
	hotplug_finish(&n->h);
	close(n->guest);
	close(n->qemu);
}

static void says(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
}

static void hears(int fd, const char *want)
{
	char buf[1024];
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	buf[n > 0 ? n : 0] = '\0';
	ck_assert_str_eq(buf, want);
}

/* What QEMU says unasked in between must not be taken for the answer. */
START_TEST(hotplug_answers_each_request_once_and_in_order)
{
	struct ends n;

	ends_open(&n);
	hears(n.qemu, "{\"execute\":\"qmp_capabilities\"}\n");
	says(n.guest, "unplug nic0\nunplug nic9\nunplug ni");
	hotplug_port_ready(&n.h);
	ck_assert(n.h.waiting);
	says(n.qemu,
		"{\"QMP\": {}}\n{\"return\": {}}\n{\"event\": \"DEVICE_DELETED\"}\nnot json\n");
	hotplug_monitor_ready(&n.h);
	ck_assert(n.h.waiting);
	hears(n.guest, "");
	says(n.qemu, "{\"return\": {}, \"id\": \"hotplug\"}\n");
	hotplug_monitor_ready(&n.h);
	hears(n.guest, "ok\nthis lab has no device 'nic9': there are 2, nic0 up, and nvme0\n");
	says(n.guest, "c1\n");
	hotplug_port_ready(&n.h);
	says(n.qemu,
		"{\"id\": \"hotplug\", \"error\": {\"class\": \"X\", \"desc\": \"not there\"}}\n");
	hotplug_monitor_ready(&n.h);
	hears(n.guest, "not there\n");
	ends_close(&n);
}
END_TEST

START_TEST(hotplug_stops_listening_to_an_endless_line)
{
	char text[LAB_HOTPLUG_MAX];
	struct ends n;

	memset(text, 'x', sizeof(text));
	ends_open(&n);
	ck_assert_int_eq(write(n.guest, text, sizeof(text)), sizeof(text));
	hotplug_port_ready(&n.h);
	ck_assert_int_eq(n.h.port, -1);
	ends_close(&n);
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

	tcase_add_loop_test(tc, machine_puts_the_iommu_before_every_translated_device, 0, 5);
	tcase_add_test(tc, machine_gives_each_device_a_port_and_an_address_of_its_own);
	tcase_add_test(tc, machine_puts_bridged_nics_on_one_conventional_bus);
	tcase_add_test(tc, machine_quotes_commas_of_a_shared_path);
	tcase_add_loop_test(
		tc, hotplug_takes_requests_for_the_labs_own_devices_alone, 0, ARRAY_SIZE(requests));
	tcase_add_test(tc, hotplug_answers_each_request_once_and_in_order);
	tcase_add_test(tc, hotplug_stops_listening_to_an_endless_line);
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
