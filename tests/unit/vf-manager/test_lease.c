// SPDX-License-Identifier: GPL-2.0-or-later
/* Leases, and who uses a function. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/check_run.h"
#include "tests/unit/vf-manager/kernel_world.h"
#include "vf-manager/lease.h"
#include "vf-manager/usage.h"

#define FILE0 "run/vf/lease/0000:01:10.0"

static char said[1024];

static void on_note(void *arg, const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

static void setup(void)
{
	pci_kernel_init(&k);
	k.config.note = on_note;
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, NULL, NULL), 0);
	e = (struct err){0};
	*said = '\0';
}

static char *at(const char *path)
{
	static char buf[256];

	snprintf(buf, sizeof(buf), "%s/%s", k.root, path);
	return buf;
}

static int take(struct bdf b, const char *owner)
{
	int fd = -1;

	ck_assert_msg(vfm_lease_take(v, b, owner, 0, &fd, &e) == 0, "%s", e.text);
	return fd;
}

/* A process that took the lease of @b and now waits to be killed. */
static pid_t taker(struct bdf b, const char *owner)
{
	int p[2], fd;
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		if (vfm_lease_take(v, b, owner, 0, &fd, NULL) < 0)
			_exit(1);
		(void)!write(p[1], "x", 1);
		pause();
		_exit(0);
	}
	close(p[1]);
	ck_assert_int_eq(read(p[0], &c, 1), 1);
	close(p[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* --- leases --- */

START_TEST(a_lease_is_refused_to_others_by_name_and_ends_with_its_holder)
{
	pid_t pid = taker(vf0, "vm1");
	struct vfm_lease l;
	char text[64];
	int fd = -1;

	ck_assert_int_eq(vfm_lease_take(v, vf0, "vm2", 0, &fd, &e), -EBUSY);
	snprintf(text, sizeof(text), "0000:01:10.0 is leased by vm1 (process %d)", (int)pid);
	assert_says(text);
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(vfm_lease_get(v, vf0, &l), 1);
	ck_assert(l.held && !l.ours && l.pid == pid && l.since > 1000000000);
	ck_assert_str_eq(l.owner, "vm1");
	end(pid);
	ck_assert_int_eq(vfm_lease_get(v, vf0, &l), 1);
	ck_assert(!l.held);
	fd = take(vf0, "vm2");
	ck_assert_int_eq(vfm_lease_get(v, vf0, &l), 1);
	ck_assert(l.held && l.ours && l.pid == getpid());
	ck_assert_str_eq(l.owner, "vm2");
	vfm_lease_drop(v, vf0, &fd);
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(vfm_lease_get(v, vf0, &l), 0);
	ck_assert(!exists(FILE0));
}
END_TEST

/* `lease take VF -- COMMAND`: what COMMAND starts may use what COMMAND has. */
START_TEST(an_inherited_lease_can_be_taken_again_and_outlives_the_drop_of_the_copy)
{
	int fd = take(vf0, "vm1"), copy = take(vf0, "other"), third = -1;
	struct vfm_lease l;

	ck_assert_int_ne(fd, copy);
	vfm_lease_drop(v, vf0, &copy);
	ck_assert_int_eq(vfm_lease_get(v, vf0, &l), 1);
	ck_assert(l.held);
	ck_assert_str_eq(l.owner, "vm1");
	if (fork() == 0) {
		/* The child shares the lock. */
		_exit(vfm_lease_take(v, vf0, "child", 0, &third, NULL) == 0 ? 0 : 1);
	}
	int status;

	wait(&status);
	ck_assert_int_eq(status, 0);
	vfm_lease_drop(v, vf0, &fd);
	ck_assert_int_eq(vfm_lease_get(v, vf0, &l), 0);
}
END_TEST

static const char *const bad_owner[] = {"", "a b", "../x", "a\nb", ".",
	"0123456789012345678901234567890123456789012345678901234567890123456789"};

START_TEST(a_lease_needs_a_plain_owner_and_a_function)
{
	int fd;

	ck_assert_int_eq(vfm_lease_take(v, vf0, bad_owner[_i], 0, &fd, &e), -EINVAL);
	assert_says("no owner's name");
	ck_assert_int_eq(vfm_lease_take(v, (struct bdf){0, 9, 0, 0}, "a", 0, &fd, &e), -ENODEV);
	ck_assert(!exists("run/vf/lease/0000:09:00.0"));
}
END_TEST

static const struct {
	const char *data;
	size_t len;
} hostile[] = {
	{"", 0},
	{"owner\n", 6},
	{"owner a b\npid -1\nsince x\nend\n", 29},
	{"owner \033[2J\npid 99999999999999999999\nsince 1\nend\n", 49},
	{"owner x\npid 1\nsince 1\n", 22}, /* cut off */
	{"\0\0\0\0", 4},
	{"owner ../../../../etc/passwd\npid 0x10\nsince 18446744073709551616\nend\n", 70},
};

/* The text only explains: whatever it says, the lock decides, and it never shows as it is. */
START_TEST(a_lease_does_not_believe_its_text)
{
	static char big[100000];
	pid_t pid = taker(vf0, "vm1");
	struct vfm_lease l;
	int fd;

	memset(big, 'A', sizeof(big));
	for (size_t i = 0; i <= ARRAY_SIZE(hostile); i++) {
		int file = open(at(FILE0), O_WRONLY | O_TRUNC);

		if (i < ARRAY_SIZE(hostile))
			ck_assert_int_eq(write(file, hostile[i].data, hostile[i].len),
				(ssize_t)hostile[i].len);
		else
			ck_assert_int_eq(write(file, big, sizeof(big)), sizeof(big));
		close(file);
		ck_assert_int_eq(vfm_lease_get(v, vf0, &l), 1);
		ck_assert(l.held);
		ck_assert_str_eq(l.owner, "?");
		ck_assert_int_eq(l.pid, 0);
		ck_assert_int_eq(vfm_lease_take(v, vf0, "vm2", 0, &fd, &e), -EBUSY);
		assert_says("leased by ?");
	}
	end(pid);
	fd = take(vf0, "vm2");
	ck_assert_int_eq(vfm_lease_get(v, vf0, &l), 1);
	ck_assert_str_eq(l.owner, "vm2");
	close(fd);
}
END_TEST

/* What is not a file of ours is not followed, opened for long or removed. */
START_TEST(a_lease_is_no_link_fifo_or_directory)
{
	struct vfm_lease l;
	int fd = take(vf1, "x");

	vfm_lease_drop(v, vf1, &fd);
	fake_puts(&k, "precious", "text");
	fake_link(&k, FILE0, "../../../precious");
	ck_assert_int_lt(vfm_lease_take(v, vf0, "vm2", 0, &fd, &e), 0);
	ck_assert_int_lt(vfm_lease_get(v, vf0, &l), 0);
	ck_assert_int_eq(unlink(at(FILE0)), 0);
	ck_assert_int_eq(mkfifo(at(FILE0), 0600), 0);
	ck_assert_int_lt(vfm_lease_take(v, vf0, "vm2", 0, &fd, &e), 0);
	ck_assert_int_eq(unlink(at(FILE0)), 0);
	ck_assert_int_eq(mkdir(at(FILE0), 0700), 0);
	ck_assert_int_lt(vfm_lease_take(v, vf0, "vm2", 0, &fd, &e), 0);
	ck_assert_int_eq(vfm_lease_gc(v, &e), 0);
	ck_assert(exists("precious") && exists(FILE0));
}
END_TEST

/* Whoever else can write there decides who holds what. */
START_TEST(a_lease_directory_that_others_can_write_is_refused)
{
	int fd = take(vf0, "x");
	struct stat st;

	close(fd);
	ck_assert_int_eq(stat(at("run/vf/lease"), &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(stat(at(FILE0), &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(chmod(at("run/vf/lease"), 0777), 0);
	ck_assert_int_eq(vfm_lease_take(v, vf0, "vm2", 0, &fd, &e), -EPERM);
	assert_says("run/vf/lease");
	ck_assert_int_eq(rename(at("run/vf/lease"), "/tmp/does-not-exist/x"), -1);
}
END_TEST

START_TEST(leases_are_listed_and_cleared_and_freed)
{
	_cleanup_free_ struct vfm_lease *l = NULL;
	pid_t a = taker(vf1, "vm1"), b = taker(vf0, "vm0");
	struct vfm_lease one;
	int fd;

	fake_puts(&k, "run/vf/lease/readme", "not a lease");
	fake_puts(&k, "run/vf/lease/01:10.0", "nor this");
	end(b);
	ck_assert_int_eq(vfm_lease_list(v, &l, &e), 2);
	ck_assert(bdf_equal(l[0].bdf, vf0) && !l[0].held);
	ck_assert(bdf_equal(l[1].bdf, vf1) && l[1].held);
	ck_assert_int_eq(vfm_lease_gc(v, &e), 1);
	ck_assert_int_eq(vfm_lease_gc(v, &e), 0);
	ck_assert(exists("run/vf/lease/readme") && exists("run/vf/lease/01:10.0"));
	ck_assert_int_eq(vfm_lease_free(v, vf0, false, NULL, &e), -ENOENT);
	ck_assert_int_eq(vfm_lease_free(v, vf1, false, NULL, &e), -EBUSY);
	assert_says("leased by vm1");
	ck_assert_str_eq(said, "");
	ck_assert_int_eq(vfm_lease_free(v, vf1, true, &one, &e), 0);
	ck_assert(strstr(said, "vm1 (process") && strstr(said, "loses its claim"));
	ck_assert(one.held && one.pid == a);
	/* The holder lives, and its lock is one of a file that is gone. */
	ck_assert_int_eq(kill(a, 0), 0);
	fd = take(vf1, "vm2");
	end(a);
	ck_assert_int_eq(vfm_lease_get(v, vf1, &one), 1);
	ck_assert(one.held);
	vfm_lease_drop(v, vf1, &fd);
}
END_TEST

/* One that was freed by force must not, as it ends, take away its successor's. */
START_TEST(a_drop_leaves_the_lease_of_a_successor)
{
	int fd = take(vf0, "vm1"), next;
	struct vfm_lease l;

	ck_assert_int_eq(vfm_lease_free(v, vf0, true, NULL, &e), 0);
	next = take(vf0, "vm2");
	vfm_lease_drop(v, vf0, &fd);
	ck_assert_int_eq(vfm_lease_get(v, vf0, &l), 1);
	ck_assert_str_eq(l.owner, "vm2");
	vfm_lease_drop(v, vf0, &next);
}
END_TEST

/* A process stopped while it has the directory: takers say so, lookers still see. */
START_TEST(a_locked_directory_is_an_answer_not_a_hang)
{
	pid_t pid = taker(vf0, "vm1");
	struct vfm_lease l;
	time_t start = time(NULL);
	int dir = open(at("run/vf/lease"), O_RDONLY), fd;

	ck_assert_int_eq(flock(dir, LOCK_EX), 0);
	ck_assert_int_eq(vfm_lease_get(v, vf0, &l), 1);
	ck_assert(l.held);
	ck_assert_int_eq(vfm_lease_take(v, vf1, "vm2", 0, &fd, &e), -EBUSY);
	assert_says("is it stopped?");
	ck_assert_int_lt(time(NULL) - start, 20);
	close(dir);
	end(pid);
}
END_TEST

/*
 * Two take and free one lease, 200 times each, while a third does nothing but look: no two ever have
 * it at once, and nobody is refused a lease that nobody has.
 */
static int race(int counter, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		struct err why = {0};
		int n, fd = -1, r = vfm_lease_take(v, vf0, "racer", 0, &fd, &why);

		if (r == -EBUSY && strstr(why.text, "leased by racer")) {
			i--;
			continue;
		}
		if (r < 0)
			return 2;
		/* The counter is ours alone as long as the lease is. */
		if (pread(counter, &n, sizeof(n), 0) != sizeof(n))
			return 3;
		n++;
		sched_yield();
		if (pwrite(counter, &n, sizeof(n), 0) != sizeof(n))
			return 4;
		if (i % 3)
			vfm_lease_drop(v, vf0, &fd);
		else
			close(fd); /* as a crash would */
	}
	return 0;
}

START_TEST(racing_takers_exclude_each_other_and_lookers_disturb_nobody)
{
	enum { ROUNDS = 200 };
	int counter = open(at("counter"), O_RDWR | O_CREAT, 0600), n = 0, status, taken = 0;
	pid_t pid[2], looker;

	ck_assert_int_eq(pwrite(counter, &n, sizeof(n), 0), sizeof(n));
	looker = fork();
	if (looker == 0) {
		for (;;) {
			_cleanup_free_ struct vfm_lease *l = NULL;
			struct vfm_lease one;

			vfm_lease_get(v, vf0, &one);
			vfm_lease_list(v, &l, NULL);
			vfm_lease_gc(v, NULL);
		}
	}
	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			_exit(race(counter, ROUNDS));
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
		ck_assert_int_eq(status, 0);
	}
	end(looker);
	ck_assert_int_eq(pread(counter, &taken, sizeof(taken), 0), sizeof(taken));
	ck_assert_int_eq(taken, 2 * ROUNDS);
	close(counter);
}
END_TEST

/* With one process alone and one looking all the time, taking never fails. */
START_TEST(looking_never_makes_a_take_fail)
{
	pid_t looker = fork();
	struct vfm_lease l;

	if (looker == 0)
		for (;;)
			vfm_lease_get(v, vf0, &l);
	for (int i = 0; i < 500; i++) {
		int fd = take(vf0, "vm1");

		close(fd);
	}
	end(looker);
}
END_TEST

/* --- usage --- */

static struct vfm_usage usage(struct bdf b)
{
	struct vfm_usage u;

	ck_assert_msg(vfm_usage(v, b, &u, &e) == 0, "%s", e.text);
	return u;
}

static void with_driver(const char *driver)
{
	ck_assert_msg(vfm_bind(v, vf0, driver, 0, &e) == 0, "%s", e.text);
}

static void give_address(const char *text, uint8_t prefix, uint8_t scope, uint8_t proto)
{
	struct fake_address *a = &k.knobs->address[k.knobs->n_addresses++];

	a->ifindex = fake_vf_ifindex(&fake_igb, 0);
	a->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	a->prefix = prefix;
	a->scope = scope;
	a->proto = proto;
	ck_assert_int_eq(inet_pton(a->family, text, a->bytes), 1);
}

START_TEST(a_vf_nobody_uses_is_not_in_use)
{
	static const char *const drivers[] = {"vfio-pci", "igbvf"};
	struct vfm_usage u = usage(vf0);

	ck_assert_uint_eq(u.uses, 0);
	ck_assert_str_eq(u.text, "");
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		with_driver(drivers[i]);
		u = usage(vf0);
		ck_assert_msg(u.uses == 0, "%s: %s", drivers[i], u.text);
	}
	ck_assert_int_eq(vfm_usage(v, (struct bdf){0, 9, 0, 0}, &u, &e), -ENODEV);
}
END_TEST

static void use_vfio(void)
{
	with_driver("vfio-pci");
	fake_hold(&k, 4242, "qemu\n", "/dev/vfio/10");
}

static void use_cdev(void)
{
	with_driver("vfio-pci");
	fake_puts(&k, DEV "0000:01:10.0/vfio-dev/vfio3/dev", "511:3\n");
	fake_puts(&k, "dev/vfio/devices/vfio3", "");
	fake_hold(&k, 4242, "qemu\n", "/dev/vfio/devices/vfio3");
}

static void use_uio(void)
{
	fake_puts(&k, DEV "0000:01:10.0/uio/uio5/dev", "");
	fake_puts(&k, "dev/uio5", "");
	fake_hold(&k, 77, "testpmd\n", "/dev/uio5");
}

static void use_address4(void)
{
	with_driver("igbvf");
	give_address("10.1.2.3", 24, RT_SCOPE_UNIVERSE, 0);
}

static void use_address6(void)
{
	with_driver("igbvf");
	give_address("fe80::1", 64, RT_SCOPE_LINK, 3);
	give_address("2001:db8::7", 64, RT_SCOPE_UNIVERSE, 0);
}

/* A kernel that tells its own link-local addresses, and one of a user's beside them. */
static void use_link_local(void)
{
	with_driver("igbvf");
	give_address("::1", 128, RT_SCOPE_HOST, 1);
	k.knobs->address[0].ifindex = 1;
	give_address("fe80::77", 64, RT_SCOPE_LINK, 0);
}

static void use_bridge(void)
{
	with_driver("igbvf");
	fake_link(&k, DEV "0000:01:10.0/net/eth0v0/master", "../../../virtual/net/br0");
	fake_link(&k, DEV "0000:01:10.0/net/eth0v0/upper_br0", "../../../virtual/net/br0");
}

static void use_vlan(void)
{
	with_driver("igbvf");
	fake_link(&k, DEV "0000:01:10.0/net/eth0v0/upper_eth0v0.5", "../../x/eth0v0.5");
}

static void use_netns(void)
{
	with_driver("igbvf");
	fake_remove(&k, DEV "0000:01:10.0/net");
	fake_remove(&k, "sys/devices/0000:01:10.0/net");
}

static void use_rdma(void)
{
	fake_puts(&k, DEV "0000:01:10.0/infiniband/mlx5_2/node_type", "1");
}

static void use_vdpa(void)
{
	fake_link(&k, "sys/bus/vdpa/devices/other", "../../../devices/0000:01:00.0/other");
	fake_link(&k, "sys/bus/vdpa/devices/w\033b0", "../../../devices/0000:01:10.0/w\033b0");
}

static void disk(const char *name)
{
	char path[128], target[128];

	fake_puts(&k, DEV "0000:01:10.0/class", "0x010802\n");
	snprintf(path, sizeof(path), "sys/class/block/%s", name);
	snprintf(target, sizeof(target), "../../devices/0000:01:10.0/nvme/nvme1/%s", name);
	fake_link(&k, path, target);
	snprintf(path, sizeof(path), "sys/devices/0000:01:10.0/nvme/nvme1/%s/dev", name);
	fake_puts(&k, path, "259:7\n");
}

static void use_mount(void)
{
	disk("nvme1n1");
	fake_puts(&k, "proc/self/mountinfo",
		"22 1 0:21 / /proc rw - proc proc rw\n"
		"23 1 259:7 / /srv/a\\040b rw - ext4 /dev/nvme1n1 rw\n");
}

static void use_holder(void)
{
	disk("nvme1n1");
	fake_puts(&k, "sys/devices/0000:01:10.0/nvme/nvme1/nvme1n1/holders/dm-3", "");
}

/* Behind a controller of several the namespace has another name. */
static void use_multipath(void)
{
	disk("nvme0c1n1");
	fake_puts(&k, "sys/class/block/nvme0n1/dev", "259:8\n");
	fake_puts(&k, "proc/self/mountinfo", "23 1 259:8 / /data rw - ext4 /dev/nvme0n1 rw\n");
}

static void use_disk_open(void)
{
	disk("nvme1n1");
	fake_puts(&k, "dev/nvme1n1", "");
	fake_hold(&k, 9, "dd\n", "/dev/nvme1n1");
}

static void use_multipath_open(void)
{
	disk("nvme0c1n1");
	fake_puts(&k, "dev/nvme0n1", "");
	fake_hold(&k, 9, "dd\n", "/dev/nvme0n1");
}

static pid_t lease_holder;

static void use_lease(void)
{
	lease_holder = taker(vf0, "vm7");
}

static void use_cni(void)
{
	fake_puts(&k, "var/lib/cni/sriov/0000:01:10.0", "/run/netns/cni-1");
	fake_puts(&k, "run/netns/cni-1", "");
}

static void use_cni_pci(void)
{
	fake_puts(&k, "var/lib/cni/sriov/pci/0000:01:10.0", "/proc/self/ns/net");
	fake_puts(&k, "proc/self/ns/net", "");
}

#define SOURCE(bus, fn)                                                                       \
	"<source><address type='pci' domain='0x0000' bus='" bus "' slot='0x10' function='" fn \
	"'/></source>"

static void use_libvirt(void)
{
	fake_puts(&k, "run/libvirt/qemu/web1.xml",
		"<domstatus state='running'><domain><devices><disk><source file='x'/></disk>"
		"<hostdev mode='subsystem' type='pci' managed='no'>" SOURCE(
			"0x01", "0x0") "</hostdev></devices></domain></domstatus>");
}

static const struct use {
	const char *name;
	void (*make)(void);
	unsigned uses;
	const char *says, *costs;
} uses[] = {
	{"vfio", use_vfio, VFM_USE_VFIO, "open in VFIO by qemu (process 4242)", "loses its device"},
	{"cdev", use_cdev, VFM_USE_VFIO, "open in VFIO by qemu (process 4242)", "loses its device"},
	{"uio", use_uio, VFM_USE_CHILD, "/dev/uio5 is open by testpmd (process 77)", "/dev/uio5"},
	{"ipv4", use_address4, VFM_USE_ADDRESS, "its interface eth0v0 has the address 10.1.2.3/24",
		"the host loses the address 10.1.2.3/24"},
	{"ipv6", use_address6, VFM_USE_ADDRESS, "2001:db8::7/64", "2001:db8::7/64"},
	{"link-local", use_link_local, VFM_USE_ADDRESS, "fe80::77/64", "fe80::77/64"},
	{"bridge", use_bridge, VFM_USE_MASTER, "eth0v0 is in br0", "br0 loses eth0v0"},
	{"vlan", use_vlan, VFM_USE_MASTER, "eth0v0.5 is on its interface eth0v0", "eth0v0.5 goes"},
	{"netns", use_netns, VFM_USE_NETNS, "another network namespace (driver igbvf", "loses"},
	{"rdma", use_rdma, VFM_USE_CHILD, "RDMA device mlx5_2", "mlx5_2 goes"},
	{"vdpa", use_vdpa, VFM_USE_CHILD, "vDPA device w?b0 is on it", "device w?b0 goes"},
	{"mount", use_mount, VFM_USE_CHILD, "nvme1n1 is mounted on /srv/a\\040b", "nvme1n1 goes"},
	{"holder", use_holder, VFM_USE_CHILD, "nvme1n1 is part of dm-3", "nvme1n1 goes"},
	{"multipath", use_multipath, VFM_USE_CHILD, "is mounted on /data", "goes"},
	{"disk open", use_disk_open, VFM_USE_CHILD, "/dev/nvme1n1 is open by dd (process 9)", "dd"},
	{"multipath open", use_multipath_open, VFM_USE_CHILD, "/dev/nvme0n1 is open by dd", "dd"},
	{"lease", use_lease, VFM_USE_LEASE, "leased by vm7 (process", "loses what it leased"},
	{"cni", use_cni, VFM_USE_CLAIM, "sriov-cni gave it to /run/netns/cni-1", "loses it"},
	{"cni pci", use_cni_pci, VFM_USE_CLAIM, "sriov-cni gave it", "loses it"},
	{"libvirt", use_libvirt, VFM_USE_CLAIM, "libvirt gave it to domain web1", "loses it"},
};

static void use_begin(int i)
{
	lease_holder = 0;
	uses[i].make();
	fake_puts(&k, "sys/bus/pci/drivers/uio_pci_generic/bind", "");
}

static void use_end(void)
{
	if (lease_holder)
		end(lease_holder);
	lease_holder = 0;
}

START_TEST(every_use_is_seen_and_named)
{
	struct vfm_usage many[2], u;
	const struct bdf both[2] = {vf1, vf0};

	use_begin(_i);
	u = usage(vf0);
	ck_assert_msg(u.uses == uses[_i].uses, "%s: %x: %s", uses[_i].name, u.uses, u.text);
	ck_assert_msg(strstr(u.text, uses[_i].says) != NULL, "%s", u.text);
	ck_assert_msg(strstr(u.consequence, uses[_i].costs) != NULL, "%s", u.consequence);
	ck_assert_int_eq(vfm_usage_many(v, both, 2, many, &e), 0);
	ck_assert_uint_eq(many[0].uses, 0);
	ck_assert_uint_eq(many[1].uses, u.uses);
	ck_assert_str_eq(many[1].text, u.text);
	use_end();
}
END_TEST

/* Refused without a write and told by whom; forced, the cost is told before. */
START_TEST(a_vf_in_use_is_not_rebound_unless_forced)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct vfm_function f;
	const char *to;

	use_begin(_i);
	ck_assert_int_eq(vfm_show(v, vf0, &f, &e), 0);
	to = strcmp(f.driver, "vfio-pci") ? "vfio-pci" : "uio_pci_generic";
	before = fake_state(&k);
	k.knobs->writes = 0;
	ck_assert_int_eq(vfm_bind(v, vf0, to, 0, &e), -EBUSY);
	assert_says(uses[_i].says);
	assert_says("--force");
	ck_assert_uint_eq(k.knobs->writes, 0);
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
	ck_assert_str_eq(said, "");
	ck_assert_msg(vfm_bind(v, vf0, to, VFM_BIND_FORCE, &e) == 0, "%s", e.text);
	ck_assert_msg(strstr(said, uses[_i].costs) != NULL, "%s", said);
	ck_assert_int_eq(vfm_show(v, vf0, &f, &e), 0);
	ck_assert_str_eq(f.driver, to);
	use_end();
}
END_TEST

START_TEST(a_release_of_a_vf_in_use_is_refused_unless_forced)
{
	fake_puts(&k, "sys/bus/pci/drivers/uio_pci_generic/bind", "");
	with_driver("uio_pci_generic");
	lease_holder = taker(vf0, "vm7");
	k.knobs->writes = 0;
	ck_assert_int_eq(vfm_release(v, vf0, 0, NULL, &e), -EBUSY);
	assert_says("leased by vm7");
	ck_assert_uint_eq(k.knobs->writes, 0);
	ck_assert_int_eq(vfm_release(v, vf0, VFM_RELEASE_FORCE, NULL, &e), 0);
	ck_assert_msg(strstr(said, "vm7") != NULL, "%s", said);
	/* There is nothing left to do, whoever uses it. */
	ck_assert_int_eq(vfm_release(v, vf0, 0, NULL, &e), 0);
	use_end();
}
END_TEST

/* What only looks like a use. */
START_TEST(what_is_no_use_is_not_taken_for_one)
{
	static const char *const not_ours[] = {"<source>" SOURCE("0x01", "0x2") "</source>",
		"<address domain='0' bus='1' slot='0x10' function='0'/>",
		("<source file='a'/><address domain='0' bus='1' slot='0x10' function='0'/><source>"
		 "</source>"),
		"<source", "<source>", "<source><address domain='", "</source><source>"};
	struct vfm_usage u;
	int fd;

	with_driver("igbvf");
	/* Of the kernel's making, on an old one and on a new one; another interface's. */
	give_address("fe80::1", 64, RT_SCOPE_LINK, 0);
	ck_assert_uint_eq(usage(vf0).uses, 0);
	k.knobs->address[0].proto = 3;
	give_address("10.0.0.1", 8, RT_SCOPE_UNIVERSE, 0);
	k.knobs->address[1].ifindex = 5;
	/* A namespace that is gone, a lease of ours, one that is stale. */
	fake_puts(&k, "var/lib/cni/sriov/0000:01:10.0", "/run/netns/gone");
	end(taker(vf0, "vm1"));
	u = usage(vf0);
	ck_assert_msg(u.uses == 0, "%s", u.text);
	fd = take(vf0, "me");
	ck_assert_uint_eq(usage(vf0).uses, 0);
	vfm_lease_drop(v, vf0, &fd);
	for (size_t i = 0; i < ARRAY_SIZE(not_ours); i++) {
		fake_puts(&k, "run/libvirt/qemu/web1.xml", not_ours[i]);
		u = usage(vf0);
		ck_assert_msg(u.uses == 0, "%s: %s", not_ours[i], u.text);
	}
}
END_TEST

/* Not to know is not to be free. */
START_TEST(usage_that_cannot_be_told_is_an_error)
{
	struct vfm_usage u;

	with_driver("igbvf");
	k.knobs->address_dump_cut = true;
	ck_assert_int_lt(vfm_usage(v, vf0, &u, &e), 0);
	assert_says("addresses");
	ck_assert_int_lt(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
	k.knobs->address_dump_cut = false;
	k.knobs->calls = 0;
	k.knobs->fail_at = 1;
	k.knobs->fail_code = ENOBUFS;
	ck_assert_int_eq(vfm_usage(v, vf0, &u, &e), -ENOBUFS);
}
END_TEST

START_TEST(usage_text_stays_in_its_bounds)
{
	static char long_name[200];
	struct vfm_usage u;

	with_driver("igbvf");
	memset(long_name, 'x', sizeof(long_name) - 1);
	for (int i = 0; i < 40; i++) {
		char path[256];

		snprintf(path, sizeof(path), DEV "0000:01:10.0/net/eth0v0/upper_%.50s%d", long_name,
			i);
		fake_puts(&k, path, "");
	}
	fake_puts(&k, DEV "0000:01:10.0/net/eth0v0/upper_\033[2J", "");
	u = usage(vf0);
	ck_assert_uint_eq(u.uses, VFM_USE_MASTER);
	ck_assert_uint_lt(strlen(u.text), sizeof(u.text));
	ck_assert_ptr_null(strchr(u.text, '\033'));
}
END_TEST

/* --- what release puts back --- */

static void set(struct bdf b, const char *word)
{
	struct vfm_settings s = {0};

	ck_assert_msg(vfm_setting_parse(word, &s, &e) == 0, "%s", e.text);
	ck_assert_msg(vfm_set(v, b, &s, NULL, &e) == 0, "%s", e.text);
}

#define RECORD0 "run/vf/0000:01:10.0.settings"

/* The settings before the first change, whatever was set how often since, and with another tool. */
START_TEST(release_puts_back_the_settings_of_before)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	_cleanup_free_ struct bdf *b = NULL;

	set(vf0, "vlan=7");
	set(vf0, "spoofchk=on");
	ck_assert_int_eq(vfm_release(v, vf0, 0, NULL, &e), 0);
	ck_assert(!exists(RECORD0));
	k.knobs->pf[0].vf[0].vlan = 5;
	k.knobs->pf[0].vf[0].qos = 2;
	before = fake_state(&k);
	set(vf0, "vlan=100");
	set(vf0, "vlan=200");
	set(vf0, "mac=52:54:00:00:00:77");
	set(vf0, "trust=on");
	ck_assert_int_eq(vfm_bind(v, vf0, "vfio-pci", 0, &e), 0);
	ck_assert_int_eq(vfm_recorded(v, &b, &e), 1);
	ck_assert(bdf_equal(b[0], vf0));
	ck_assert(exists(RECORD0));
	ck_assert_msg(vfm_release(v, vf0, 0, NULL, &e) == 0, "%s", e.text);
	after = fake_state(&k);
	ck_assert_str_eq(before, after);
	ck_assert(!exists(RECORD0));
}
END_TEST

START_TEST(what_was_set_back_by_hand_needs_no_record)
{
	set(vf0, "vlan=100");
	ck_assert(exists(RECORD0));
	set(vf0, "vlan=0");
	ck_assert(!exists(RECORD0));
	set(vf0, "vlan=100");
	ck_assert_int_eq(vfm_carve(v, pf, 0, 0, NULL, &e), 0);
	ck_assert(!exists(RECORD0));
}
END_TEST

START_TEST(release_of_the_driver_alone_leaves_the_settings)
{
	set(vf0, "vlan=100");
	with_driver("vfio-pci");
	ck_assert_int_eq(vfm_release(v, vf0, VFM_RELEASE_DRIVER_ONLY, NULL, &e), 0);
	ck_assert_uint_eq(k.knobs->pf[0].vf[0].vlan, 100);
	ck_assert(exists(RECORD0));
}
END_TEST

/* It is released because its guest has ended, and the PF may be down by then. */
START_TEST(settings_are_put_back_while_the_pf_is_down)
{
	set(vf0, "vlan=100");
	k.knobs->pf[0].up = false;
	fake_netdev_flags(&k, 0);
	ck_assert_msg(vfm_release(v, vf0, 0, NULL, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(k.knobs->pf[0].vf[0].vlan, 0);
}
END_TEST

/* Of another VF, of another boot, or nonsense: it does not count. */
START_TEST(a_damaged_record_of_settings_does_not_count)
{
	static const char *const damage[] = {
		"", "vlan 5\nend\n", "device x\nvlan 5\nend\n", "device \nmac 01\nend\n"};

	set(vf0, "vlan=100");
	fake_puts(&k, RECORD0, damage[_i]);
	ck_assert_int_eq(vfm_release(v, vf0, 0, NULL, &e), 0);
	ck_assert_uint_eq(k.knobs->pf[0].vf[0].vlan, 100);
}
END_TEST

static void sweep_start(void)
{
	setup();
	with_driver("igbvf");
	/* As if the host had bound it. */
	fake_remove(&k, "run/vf/0000:01:10.0.driver");
	set(vf0, "vlan=100");
	set(vf0, "trust=on");
	with_driver("vfio-pci");
	k.knobs->calls = 0;
}

/* One call fails, or it and all after it: as it was, or the text says what is not. */
START_TEST(a_release_with_settings_fails_at_every_call)
{
	bool done = false;

	world_down();
	for (unsigned n = 1; !done; n++) {
		_cleanup_free_ char *before = NULL, *after = NULL;

		ck_assert_uint_lt(n, 60);
		sweep_start();
		before = fake_state(&k);
		k.knobs->fail_at = n;
		k.knobs->fail_for = _i ? 1000 : 0;
		k.knobs->fail_code = EIO;
		e = (struct err){0};
		done = vfm_release(v, vf0, 0, NULL, &e) == 0;
		k.knobs->fail_at = 0;
		after = fake_state(&k);
		if (!done && strcmp(before, after))
			ck_assert_msg(strstr(e.text, "not undone") != NULL,
				"call %u: was\n%sis\n%sand only says: %s", n, before, after,
				e.text);
		if (!done && !_i)
			ck_assert_msg(!strstr(e.text, "not undone"), "call %u: %s", n, e.text);
		/* And the next one gets it done. */
		ck_assert_msg(vfm_release(v, vf0, 0, NULL, &e) == 0, "call %u: %s", n, e.text);
		ck_assert_uint_eq(k.knobs->pf[0].vf[0].vlan, 0);
		ck_assert(!k.knobs->pf[0].vf[0].trust);
		ck_assert(!exists(RECORD0));
		world_down();
	}
	setup();
}
END_TEST

/* Killed before or after any call of set, bind and release: a release then puts all of it back. */
START_TEST(a_kill_at_any_call_loses_no_setting)
{
	bool done = false;

	world_down();
	for (unsigned n = 1; !done; n++) {
		struct vfm_function f;
		int status;
		pid_t pid;

		ck_assert_uint_lt(n, 60);
		setup();
		with_driver("igbvf");
		fake_remove(&k, "run/vf/0000:01:10.0.driver");
		k.knobs->calls = 0;
		pid = fork();
		if (pid == 0) {
			k.knobs->kill_pid = getpid();
			*(_i ? &k.knobs->kill_after : &k.knobs->kill_at) = n;
			set(vf0, "vlan=100");
			set(vf0, "trust=on");
			with_driver("vfio-pci");
			_exit(vfm_release(v, vf0, 0, NULL, &e) == 0 ? 0 : 1);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		done = WIFEXITED(status);
		k.knobs->kill_at = k.knobs->kill_after = 0;
		ck_assert_msg(vfm_release(v, vf0, 0, NULL, &e) == 0, "call %u: %s", n, e.text);
		ck_assert_uint_eq(k.knobs->pf[0].vf[0].vlan, 0);
		ck_assert(!k.knobs->pf[0].vf[0].trust);
		ck_assert_int_eq(vfm_show(v, vf0, &f, &e), 0);
		ck_assert_str_eq(f.driver, "igbvf");
		ck_assert_str_eq(f.driver_override, "");
		ck_assert(!exists(RECORD0));
		world_down();
	}
	setup();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease");
	TCase *t = tcase_create("lease"), *u = tcase_create("usage"), *r = tcase_create("release");

	tcase_add_checked_fixture(t, setup, world_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_lease_is_refused_to_others_by_name_and_ends_with_its_holder);
	tcase_add_test(t, an_inherited_lease_can_be_taken_again_and_outlives_the_drop_of_the_copy);
	tcase_add_loop_test(
		t, a_lease_needs_a_plain_owner_and_a_function, 0, ARRAY_SIZE(bad_owner));
	tcase_add_test(t, a_lease_does_not_believe_its_text);
	tcase_add_test(t, a_lease_is_no_link_fifo_or_directory);
	tcase_add_test(t, a_lease_directory_that_others_can_write_is_refused);
	tcase_add_test(t, leases_are_listed_and_cleared_and_freed);
	tcase_add_test(t, a_drop_leaves_the_lease_of_a_successor);
	tcase_add_test(t, a_locked_directory_is_an_answer_not_a_hang);
	tcase_add_test(t, racing_takers_exclude_each_other_and_lookers_disturb_nobody);
	tcase_add_test(t, looking_never_makes_a_take_fail);
	suite_add_tcase(s, t);

	tcase_add_checked_fixture(u, setup, world_down);
	tcase_set_timeout(u, 30);
	tcase_add_test(u, a_vf_nobody_uses_is_not_in_use);
	tcase_add_loop_test(u, every_use_is_seen_and_named, 0, ARRAY_SIZE(uses));
	tcase_add_loop_test(u, a_vf_in_use_is_not_rebound_unless_forced, 0, ARRAY_SIZE(uses));
	tcase_add_test(u, a_release_of_a_vf_in_use_is_refused_unless_forced);
	tcase_add_test(u, what_is_no_use_is_not_taken_for_one);
	tcase_add_test(u, usage_that_cannot_be_told_is_an_error);
	tcase_add_test(u, usage_text_stays_in_its_bounds);
	suite_add_tcase(s, u);

	tcase_add_checked_fixture(r, setup, world_down);
	tcase_set_timeout(r, 60);
	tcase_add_test(r, release_puts_back_the_settings_of_before);
	tcase_add_test(r, what_was_set_back_by_hand_needs_no_record);
	tcase_add_test(r, release_of_the_driver_alone_leaves_the_settings);
	tcase_add_test(r, settings_are_put_back_while_the_pf_is_down);
	tcase_add_loop_test(r, a_damaged_record_of_settings_does_not_count, 0, 4);
	tcase_add_loop_test(r, a_release_with_settings_fails_at_every_call, 0, 2);
	tcase_add_loop_test(r, a_kill_at_any_call_loses_no_setting, 0, 2);
	suite_add_tcase(s, r);

	return suite_run(s);
}
