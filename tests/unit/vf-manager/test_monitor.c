// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The monitor: messages as recorded from kernels, and hostile ones; what they and what is read again
 * come to; and the whole of it on a fake kernel whose messages come from socket pairs.
 */
#include <check.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/fakes/pci_kernel.h"
#include "tests/unit/check_run.h"
#include "vf-manager/internal.h"
#include "vf-manager/lease.h"
#include "vf-manager/monitor.h"
#include "vf-manager/monitor_parse.h"
#include "vf-manager/monitor_state.h"

static const struct bdf pf = {0, 1, 0, 0}, vf0 = {0, 1, 0x10, 0}, vf1 = {0, 1, 0x10, 2},
			other = {0, 2, 0, 0};

/* --- messages --- */

/* Strings with their NULs, as the kernel sends them: igb on a lab's 6.1 kernel. */
static const struct {
	const char *bytes;
	size_t len;
	enum uevent_action action;
	bool net, none;
	const char *driver;
	struct bdf bdf;
} uevents[] = {
#define U(s) s, sizeof(s)
	{U("add@/devices/pci0000:00/0000:00:02.0/0000:01:10.0\0ACTION=add\0"
	   "DEVPATH=/devices/pci0000:00/0000:00:02.0/0000:01:10.0\0SUBSYSTEM=pci\0"
	   "PCI_CLASS=20000\0PCI_ID=8086:10CA\0PCI_SUBSYS_ID=1AF4:1100\0"
	   "PCI_SLOT_NAME=0000:01:10.0\0MODALIAS=pci:v00008086d000010CAsv00001AF4\0SEQNUM=1633"),
		.action = UEVENT_ADD, .bdf = {0, 1, 0x10, 0}, .driver = ""},
	{U("bind@/devices/pci0000:00/0000:00:02.0/0000:01:10.2\0ACTION=bind\0"
	   "DEVPATH=/devices/pci0000:00/0000:00:02.0/0000:01:10.2\0SUBSYSTEM=pci\0"
	   "DRIVER=igbvf\0PCI_SLOT_NAME=0000:01:10.2\0SEQNUM=1640"),
		.action = UEVENT_BIND, .bdf = {0, 1, 0x10, 2}, .driver = "igbvf"},
	{U("unbind@/devices/pci0000:00/0000:00:02.0/0000:01:10.2\0ACTION=unbind\0"
	   "DEVPATH=/devices/pci0000:00/0000:00:02.0/0000:01:10.2\0SUBSYSTEM=pci\0"
	   "PCI_SLOT_NAME=0000:01:10.2\0SEQNUM=1641"),
		.action = UEVENT_UNBIND, .bdf = {0, 1, 0x10, 2}, .driver = ""},
	{U("remove@/devices/x\0ACTION=remove\0SUBSYSTEM=pci\0PCI_SLOT_NAME=10000:e1:00.0"),
		.action = UEVENT_REMOVE, .bdf = {0x10000, 0xe1, 0, 0}, .driver = ""},
	{U("change@/devices/pci0000:00/0000:00:02.0/0000:01:00.0\0ACTION=change\0"
	   "SUBSYSTEM=pci\0DRIVER=igb\0PCI_SLOT_NAME=0000:01:00.0"),
		.action = UEVENT_OTHER, .bdf = {0, 1, 0, 0}, .driver = "igb"},
	{U("move@/devices/pci0000:00/0000:00:02.0/0000:01:10.0/net/enp1s16\0ACTION=move\0"
	   "DEVPATH=/devices/pci0000:00/0000:00:02.0/0000:01:10.0/net/enp1s16\0"
	   "DEVPATH_OLD=/devices/pci0000:00/0000:00:02.0/0000:01:10.0/net/eth1\0"
	   "SUBSYSTEM=net\0INTERFACE=enp1s16\0IFINDEX=5"),
		.action = UEVENT_OTHER, .bdf = {0, 1, 0x10, 0}, .net = true, .driver = ""},
	/* A driver's name that is none is not taken over. */
	{U("bind@/x\0ACTION=bind\0SUBSYSTEM=pci\0DRIVER=../../x\0PCI_SLOT_NAME=0000:01:00.0"),
		.action = UEVENT_BIND, .bdf = {0, 1, 0, 0}, .driver = ""},
	/* Others' devices, and what is no message of the kernel's. */
	{U("add@/devices/virtual/net/br0\0ACTION=add\0DEVPATH=/devices/virtual/net/br0\0"
	   "SUBSYSTEM=net"),
		.none = true},
	{U("add@/x\0ACTION=add\0DEVPATH=/devices/pci0000:00/net/eth0\0SUBSYSTEM=net"),
		.none = true},
	{U("add@/x\0ACTION=add\0DEVPATH=/net/\0SUBSYSTEM=net"), .none = true},
	{U("add@/x\0ACTION=add\0DEVPATH=/devices/0000000000000000000000000000000000:01:00.0/net/e\0"
	   "SUBSYSTEM=net"),
		.none = true},
	{U("add@/x\0ACTION=add\0SUBSYSTEM=usb\0PCI_SLOT_NAME=0000:01:00.0"), .none = true},
	{U("add@/x\0ACTION=add\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:01:20.0"), .none = true},
	{U("add@/x\0ACTION=add\0SUBSYSTEM=pci\0PCI_SLOT_NAME=/etc/passwd"), .none = true},
	{U("add@/x\0ACTION=add\0SUBSYSTEM=pci"), .none = true},
	{U("add@/x\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:01:00.0"), .none = true},
	{U("libudev\0\xfe\xed\xca\xfe\0ACTION=remove\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:01:00.0"),
		.none = true},
	{"add@/x\0ACTION=add\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:01:00.0", 58, .none = true},
	{"", 1, .none = true},
	{"", 0, .none = true},
};

START_TEST(uevent_is_read_or_is_none_of_ours)
{
	struct uevent u = {0};
	/* Its exact size, so that a byte read past it is noticed. */
	char *exact = malloc(uevents[_i].len ? uevents[_i].len : 1);
	bool is;

	memcpy(exact, uevents[_i].bytes, uevents[_i].len);
	is = uevent_parse(exact, uevents[_i].len, &u);
	free(exact);
	ck_assert_int_eq(is, !uevents[_i].none);
	if (!is)
		return;
	ck_assert_int_eq(u.action, uevents[_i].action);
	ck_assert_int_eq(u.net, uevents[_i].net);
	ck_assert(bdf_equal(u.bdf, uevents[_i].bdf));
	ck_assert_str_eq(u.driver, uevents[_i].driver);
}
END_TEST

static const struct {
	const char *rec;
	unsigned level;
	uint64_t seq, us;
	const char *text; /* NULL: no record */
} records[] = {
	{"6,1207,54321987,-;igb 0000:01:00.0: 7 VFs allocated\n SUBSYSTEM=pci\n "
	 "DEVICE=+pci:0000:01:"
	 "00.0\n",
		6, 1207, 54321987, "igb 0000:01:00.0: 7 VFs allocated"},
	{"3,9,1,c,caller=T1;DMAR: x", 3, 9, 1, "DMAR: x"},
	/* The facility is in the higher bits. */
	{"30,1,2,-;daemon", 6, 1, 2, "daemon"},
	{"6,1,2,-;\n", 6, 1, 2, ""},
	{"6,1,2,-;a\033[2Jb\x80", 6, 1, 2, "a?[2Jb?"},
	{"6,1,2,-", .text = NULL},
	{"6,1;x", .text = NULL},
	{"-6,1,2,-;x", .text = NULL},
	{"6, 1,2,-;x", .text = NULL},
	{";6,1,2,-", .text = NULL},
	{"", .text = NULL},
};

START_TEST(kernel_log_record_is_read_and_made_printable)
{
	struct klog_record k = {0};

	if (!records[_i].text) {
		ck_assert(!klog_record_parse(records[_i].rec, strlen(records[_i].rec), &k));
		return;
	}
	ck_assert(klog_record_parse(records[_i].rec, strlen(records[_i].rec), &k));
	ck_assert_uint_eq(k.level, records[_i].level);
	ck_assert_uint_eq(k.seq, records[_i].seq);
	ck_assert_uint_eq(k.us, records[_i].us);
	ck_assert_str_eq(k.text, records[_i].text);
}
END_TEST

START_TEST(kernel_log_record_longer_than_any_is_cut)
{
	static char rec[100000];
	struct klog_record k;

	memset(rec, 'x', sizeof(rec));
	memcpy(rec, "6,1,2,-;", 8);
	ck_assert(klog_record_parse(rec, sizeof(rec), &k));
	ck_assert_uint_eq(strlen(k.text), KLOG_TEXT_MAX - 1);
}
END_TEST

START_TEST(every_address_in_a_line_is_found)
{
	static const struct {
		const char *line;
		unsigned n;
	} lines[] = {
		{"igb 0000:01:00.0: VF 1 reset", 1},
		{"vfio-pci 0000:01:10.0: Relaying device request to user (#10)", 1},
		{"0000:01:00.0", 1},
		{"moved from 0000:01:00.0 to 0000:02:00.0.", 2},
		{"(0000:01:00.0)", 1},
		{"10000:e1:00.0 behind VMD", 1},
		{"x0000:01:00.0 0000:01:00 01:00.0 0000:01:20.0 0000:01:00.8", 0},
		{"00000000000000000000000000000000000000:01:00.0", 0},
		{"::::....", 0},
		{"", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *p = lines[i].line;
		struct bdf b;
		unsigned n = 0;

		while (line_next_bdf(&p, &b))
			n++;
		ck_assert_msg(n == lines[i].n, "%u in '%s'", n, lines[i].line);
	}
}
END_TEST

/* --- a link message, attribute by attribute --- */

struct message {
	_Alignas(4) char buf[1024];
	size_t len;
};

static void put(struct message *m, unsigned type, const void *data, size_t len)
{
	struct nlattr a = {.nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = (uint16_t)type};

	memcpy(m->buf + m->len, &a, sizeof(a));
	memcpy(m->buf + m->len + NLA_HDRLEN, data, len);
	m->len += (size_t)NLA_ALIGN(a.nla_len);
}

static struct message link_message(int type, int family, int ifindex, const char *name,
	uint8_t operstate, const uint8_t mac[6])
{
	struct ifinfomsg ifi = {.ifi_family = (unsigned char)family, .ifi_index = ifindex};
	struct nlmsghdr h = {.nlmsg_type = (uint16_t)type};
	struct message m = {.len = sizeof(h) + sizeof(ifi)};

	if (name)
		put(&m, IFLA_IFNAME, name, strlen(name) + 1);
	put(&m, IFLA_OPERSTATE, &operstate, 1);
	if (mac)
		put(&m, IFLA_ADDRESS, mac, 6);
	h.nlmsg_len = (uint32_t)m.len;
	memcpy(m.buf, &h, sizeof(h));
	memcpy(m.buf + sizeof(h), &ifi, sizeof(ifi));
	return m;
}

static const uint8_t mac_a[6] = {0x52, 0x54, 0, 0, 0, 1}, mac_b[6] = {0x52, 0x54, 0, 0, 0, 2};

START_TEST(link_message_is_read)
{
	struct message m = link_message(RTM_NEWLINK, AF_UNSPEC, 7, "eth3", 6, mac_a);
	struct link_note n;
	size_t at = 0;

	ck_assert(link_note_next(m.buf, m.len, &at, &n));
	ck_assert_int_eq(n.ifindex, 7);
	ck_assert(!n.gone);
	ck_assert_str_eq(n.name, "eth3");
	ck_assert_str_eq(n.link, "up");
	ck_assert(n.has_mac && !memcmp(n.mac, mac_a, 6));
	ck_assert(!link_note_next(m.buf, m.len, &at, &n));
}
END_TEST

START_TEST(link_message_of_a_bridge_port_or_with_wild_lengths_is_none)
{
	struct message m = link_message(RTM_NEWLINK, AF_BRIDGE, 7, "eth3", 6, mac_a);
	struct link_note n;
	size_t at = 0;
	uint32_t len;

	ck_assert(!link_note_next(m.buf, m.len, &at, &n));
	m = link_message(RTM_NEWADDR, AF_UNSPEC, 7, "eth3", 6, mac_a);
	at = 0;
	ck_assert(!link_note_next(m.buf, m.len, &at, &n));
	m = link_message(RTM_NEWLINK, AF_UNSPEC, 7, "eth3", 6, mac_a);
	for (len = 0; len < 2 * m.len; len++) {
		if (len == m.len)
			continue;
		memcpy(m.buf, &len, sizeof(len));
		at = 0;
		/* A shorter length cuts attributes off; a longer one than there is makes it none. */
		if (link_note_next(m.buf, m.len, &at, &n))
			ck_assert_uint_lt(len, m.len);
	}
}
END_TEST

START_TEST(link_message_with_a_name_that_is_none_or_a_state_unheard_of)
{
	struct message m = link_message(RTM_NEWLINK, AF_UNSPEC, 7, "a/b", 200, NULL);
	struct link_note n;
	size_t at = 0;

	ck_assert(link_note_next(m.buf, m.len, &at, &n));
	ck_assert_str_eq(n.name, "");
	ck_assert_str_eq(n.link, "");
	ck_assert(!n.has_mac);
}
END_TEST

/* --- what comes of news; events are written down as lines --- */

static char story[8192];
static size_t n_functions, n_leases;
static char unseen[256];

static void on_event(void *arg, const struct vfm_event *ev)
{
	char b[BDF_STRLEN] = "";
	size_t n = strlen(story);

	ck_assert(ev->monotonic_us || arg);
	n += (size_t)snprintf(story + n, sizeof(story) - n, "%s%s%s", vfm_event_name(ev->kind),
		ev->has_bdf ? " " : "", ev->has_bdf ? bdf_format(ev->bdf, b) : "");
	if (ev->name)
		n += (size_t)snprintf(story + n, sizeof(story) - n, " %s", ev->name);
	if (ev->before || ev->after)
		n += (size_t)snprintf(
			story + n, sizeof(story) - n, " %s>%s", ev->before, ev->after);
	if (ev->lease)
		n += (size_t)snprintf(story + n, sizeof(story) - n, " by %s", ev->lease->owner);
	if (ev->holder.pid)
		n += (size_t)snprintf(story + n, sizeof(story) - n, " open by %s", ev->holder.comm);
	if (ev->cause)
		n += (size_t)snprintf(story + n, sizeof(story) - n, " (%s)", ev->cause->id);
	snprintf(story + n, sizeof(story) - n, "\n");
	ck_assert_uint_lt(n, sizeof(story) - 200);
	if (ev->kind == VFM_EVENT_SNAPSHOT) {
		n_functions = ev->n_functions;
		n_leases = ev->n_leases;
		snprintf(unseen, sizeof(unseen), "%s", ev->unseen);
	}
}

static void assert_story(const char *want)
{
	ck_assert_str_eq(story, want);
	*story = '\0';
}

static void assert_told(const char *part)
{
	ck_assert_msg(strstr(story, part) != NULL, "'%s' is not in:\n%s", part, story);
}

static struct monitor_state s;

static const struct vfm_watched the_pf = {.bdf = {0, 1, 0, 0},
	.kind = VFM_PF,
	.index = -1,
	.num_vfs = 1,
	.driver = "igb",
	.netdev = "eth0",
	.ifindex = 2,
	.link = "up",
	.has_mac = true,
	.mac = {0x52, 0x54, 0, 0, 0, 1}};
static const struct vfm_watched the_vf = {.bdf = {0, 1, 0x10, 0},
	.kind = VFM_VF,
	.pf = {0, 1, 0, 0},
	.index = 0,
	.settings = {.set = VFM_BIT(MAC) | VFM_BIT(MAX_RATE) | VFM_BIT(TRUST), .max_rate = 500}};

static void state_setup(void)
{
	struct vfm_watched now[] = {the_pf, the_vf};

	s = (struct monitor_state){.event = on_event, .monotonic_us = 1};
	*story = '\0';
	ck_assert_int_eq(monitor_family(&s, pf, now, 2), 0);
	s.live = true;
	assert_story("");
}

static void state_teardown(void)
{
	monitor_state_finish(&s);
}

static void family(struct vfm_watched p, struct vfm_watched v, size_t n)
{
	struct vfm_watched now[] = {p, v};

	ck_assert_int_eq(monitor_family(&s, pf, now, n), 0);
}

START_TEST(nothing_is_told_of_what_stays)
{
	family(the_pf, the_vf, 2);
	assert_story("");
}
END_TEST

START_TEST(vfs_that_come_and_go_are_told_with_their_number)
{
	struct vfm_watched p = the_pf;

	p.num_vfs = 0;
	family(p, the_vf, 1);
	assert_story("remove 0000:01:10.0\nvfs 0000:01:00.0 1>0\n");
	family(the_pf, the_vf, 2);
	assert_story("vfs 0000:01:00.0 0>1\nadd 0000:01:10.0\n");
}
END_TEST

START_TEST(new_function_with_a_driver_and_an_interface_is_told_in_order)
{
	struct vfm_watched v = the_vf;

	family(the_pf, v, 1);
	*story = '\0';
	snprintf(v.driver, sizeof(v.driver), "igbvf");
	snprintf(v.netdev, sizeof(v.netdev), "eth1");
	v.ifindex = 5;
	family(the_pf, v, 2);
	assert_story("add 0000:01:10.0\nbind 0000:01:10.0 igbvf\ninterface 0000:01:10.0 >eth1\n");
	/* From one driver to another: the interface goes first. */
	snprintf(v.driver, sizeof(v.driver), "vfio-pci");
	*v.netdev = '\0';
	v.ifindex = 0;
	family(the_pf, v, 2);
	assert_story("interface 0000:01:10.0 eth1>\nunbind 0000:01:10.0 igbvf\n"
		     "bind 0000:01:10.0 vfio-pci\n");
}
END_TEST

START_TEST(rate_that_the_driver_dropped_is_told)
{
	struct vfm_watched v = the_vf;

	v.settings.max_rate = 0;
	family(the_pf, v, 2);
	assert_story("setting 0000:01:10.0 max-rate 500>0\n");
	memcpy(v.settings.mac, mac_b, 6);
	family(the_pf, v, 2);
	assert_story("setting 0000:01:10.0 mac none>52:54:00:00:00:02\n");
}
END_TEST

START_TEST(settings_that_could_not_be_read_are_no_change_and_not_forgotten)
{
	struct vfm_watched v = the_vf;

	v.settings = (struct vfm_settings){0};
	family(the_pf, v, 2);
	assert_story("");
	v.settings = the_vf.settings;
	v.settings.max_rate = 7;
	family(the_pf, v, 2);
	assert_story("setting 0000:01:10.0 max-rate 500>7\n");
}
END_TEST

START_TEST(settings_that_can_be_read_at_last_are_one_event)
{
	struct vfm_watched v = the_vf;

	family(the_pf, v, 1);
	v.settings = (struct vfm_settings){0};
	*story = '\0';
	family(the_pf, v, 2);
	assert_story("add 0000:01:10.0\n");
	family(the_pf, the_vf, 2);
	assert_story("settings 0000:01:10.0\n");
	family(the_pf, the_vf, 2);
	assert_story("");
}
END_TEST

START_TEST(a_pf_that_is_pulled_out_takes_its_vfs_with_it)
{
	struct uevent u = {.action = UEVENT_REMOVE, .bdf = pf};
	struct bdf root;

	ck_assert(monitor_uevent(&s, &u, &root));
	assert_story("remove 0000:01:10.0\ninterface 0000:01:00.0 eth0>\nunbind 0000:01:00.0 igb\n"
		     "remove 0000:01:00.0\n");
}
END_TEST

START_TEST(messages_that_say_what_is_new_are_told_once)
{
	struct uevent u = {.action = UEVENT_BIND, .bdf = vf0, .driver = "vfio-pci"};
	struct vfm_watched v = the_vf;
	struct bdf root;

	ck_assert(monitor_uevent(&s, &u, &root));
	ck_assert(bdf_equal(root, pf));
	assert_story("bind 0000:01:10.0 vfio-pci\n");
	snprintf(v.driver, sizeof(v.driver), "vfio-pci");
	family(the_pf, v, 2);
	assert_story("");
	u.action = UEVENT_UNBIND;
	ck_assert(monitor_uevent(&s, &u, &root));
	assert_story("unbind 0000:01:10.0 vfio-pci\n");
	family(the_pf, the_vf, 2);
	assert_story("");
}
END_TEST

START_TEST(link_and_address_of_an_interface_are_told)
{
	struct link_note n = {.ifindex = 2, .name = "eth0", .link = "down", .has_mac = true};
	struct bdf root;

	memcpy(n.mac, mac_b, 6);
	ck_assert(monitor_link(&s, &n, &root));
	ck_assert(bdf_equal(root, pf));
	assert_story("link 0000:01:00.0 eth0 up>down\n"
		     "mac 0000:01:00.0 eth0 52:54:00:00:00:01>52:54:00:00:00:02\n");
	ck_assert(monitor_link(&s, &n, &root));
	assert_story("");
	snprintf(n.name, sizeof(n.name), "lan");
	ck_assert(monitor_link(&s, &n, &root));
	assert_story("interface 0000:01:00.0 eth0>lan\n");
	n.gone = true;
	ck_assert(monitor_link(&s, &n, &root));
	assert_story("interface 0000:01:00.0 lan>\n");
	n.ifindex = 99;
	ck_assert(!monitor_link(&s, &n, &root));
}
END_TEST

static void leases(const char *owner, pid_t pid, bool held)
{
	struct vfm_lease *l = calloc(1, sizeof(*l));

	l->bdf = vf0;
	snprintf(l->owner, sizeof(l->owner), "%s", owner ? owner : "");
	l->pid = pid;
	l->held = held;
	monitor_leases(&s, l, owner ? 1 : 0);
}

START_TEST(leases_taken_freed_stale_and_taken_over_are_told)
{
	leases("vm1", 412, true);
	assert_story("lease-taken 0000:01:10.0 by vm1\n");
	leases("vm1", 412, true);
	assert_story("");
	leases("vm1", 412, false);
	assert_story("lease-stale 0000:01:10.0 by vm1\n");
	leases("vm2", 413, true);
	assert_story("lease-freed 0000:01:10.0 by vm1\nlease-taken 0000:01:10.0 by vm2\n");
	leases(NULL, 0, false);
	assert_story("lease-freed 0000:01:10.0 by vm2\n");
	leases("vm3", 414, false);
	assert_story("lease-taken 0000:01:10.0 by vm3\nlease-stale 0000:01:10.0 by vm3\n");
}
END_TEST

static void log_line(unsigned level, const char *text, const struct vfm_cause *cause)
{
	struct klog_record k = {.level = level, .us = 1};
	struct holder h = {0};

	snprintf(k.text, sizeof(k.text), "%s", text);
	monitor_klog(&s, &k, cause, &h);
}

START_TEST(dma_fault_names_who_has_the_lease)
{
	leases("vm1", 412, true);
	*story = '\0';
	log_line(3,
		"DMAR: [DMA Write NO_PASID] Request device [01:10.0] fault addr 0xdead000 [fault "
		"reason 0x05] PTE Write access is not set",
		NULL);
	assert_story("dma-fault 0000:01:10.0 by vm1\n");
	/* Of a function that is not watched too: the log is the only place that tells. */
	log_line(3,
		"vfio-pci 0000:07:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0012 "
		"address=0xdead000 flags=0x0020]",
		NULL);
	assert_story("dma-fault 0000:07:00.0\n");
}
END_TEST

START_TEST(log_lines_are_told_when_known_or_warnings_and_of_a_watched_function)
{
	const struct vfm_cause known = {.id = "numvfs-no-mmio"};

	log_line(6, "igb 0000:01:00.0: not enough MMIO resources for SR-IOV", &known);
	assert_story("kernel-log 0000:01:00.0 (numvfs-no-mmio)\n");
	log_line(4, "igb 0000:01:00.0 eth0: malicious something on VF 1", NULL);
	assert_story("kernel-log 0000:01:00.0\n");
	log_line(6, "igb 0000:01:00.0: 7 VFs allocated", NULL);
	log_line(3, "nvme 0000:09:00.0: I/O error", NULL);
	log_line(3, "something without a name", NULL);
	assert_story("");
}
END_TEST

START_TEST(only_one_function_and_its_vfs_when_asked_for)
{
	struct vfm_watched p = the_pf, v = the_vf;

	s.has_only = true;
	s.only = vf0;
	snprintf(p.link, sizeof(p.link), "down");
	v.settings.trust = true;
	family(p, v, 2);
	assert_story("setting 0000:01:10.0 trust off>on\n");
	monitor_snapshot(&s, "");
	assert_story("snapshot\n");
	ck_assert_uint_eq(n_functions, 1);
	s.only = pf;
	family(the_pf, the_vf, 2);
	assert_told("link 0000:01:00.0");
	assert_told("setting 0000:01:10.0 trust");
	*story = '\0';
	s.only = other;
	family(p, v, 2);
	monitor_lost(&s, "uevents");
	assert_story("lost uevents\n");
}
END_TEST

START_TEST(another_device_at_an_address_is_a_removal_and_an_addition)
{
	struct vfm_watched now[] = {the_pf};

	now[0].bdf = vf0;
	ck_assert_int_eq(monitor_family(&s, vf0, now, 1), 0);
	assert_told("remove 0000:01:10.0\nadd 0000:01:10.0\n");
}
END_TEST

/* --- the whole, on a fake kernel --- */

static struct pci_kernel k;
static struct vfm *v;
static struct vfm_monitor *m;
static struct err e;
static int uevent_fd, link_fd, kmsg_fd;
static int overflow_fd;    /* reading it fails once */
static int late_after;     /* so many readings of uevents later ... */
static void (*late)(void); /* ... this happens */

static ssize_t receive(void *ctx, int fd, void *buf, size_t size)
{
	ssize_t n;

	if (fd == overflow_fd) {
		overflow_fd = -1;
		return -ENOBUFS;
	}
	if (fd == ((struct vfm_monitor_io *)ctx)->uevent_fd && late_after > 0 && --late_after == 0)
		late();
	n = recv(fd, buf, size, MSG_DONTWAIT);
	return n >= 0 ? n : errno == EAGAIN ? 0 : -errno;
}

static void pair(int *ret_ours, int *ret_theirs)
{
	int p[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, p), 0);
	*ret_ours = p[0];
	*ret_theirs = p[1];
}

static struct vfm_monitor_io io;

/* NULL: the fake's own. */
static void whole_start(const char *run_dir)
{
	struct vfm_monitor_config c = {.event = on_event, .io = &io};

	pci_kernel_init(&k);
	if (run_dir)
		k.config.run_dir = run_dir;
	ck_assert_int_eq(vfm_create(&k.config, &v, NULL), 0);
	e = (struct err){0};
	overflow_fd = -1;
	*story = '\0';
	late_after = 0;
	io = (struct vfm_monitor_io){.receive = receive, .ctx = &io};
	pair(&uevent_fd, &io.uevent_fd);
	pair(&link_fd, &io.link_fd);
	pair(&kmsg_fd, &io.kmsg_fd);
	ck_assert_msg(vfm_monitor_create(v, &c, &m, &e) == 0, "%s", e.text);
	assert_story("snapshot\n");
}

static void whole_setup(void)
{
	whole_start(NULL);
}

static void whole_teardown(void)
{
	vfm_monitor_destroy(m);
	vfm_destroy(v);
	close(uevent_fd);
	close(link_fd);
	close(kmsg_fd);
	pci_kernel_finish(&k);
}

static void uevent_of(const char *action, const char *driver, const char *bdf)
{
	char buf[256];
	int n = snprintf(buf, sizeof(buf),
		"%s@/x%cACTION=%s%cSUBSYSTEM=pci%cDRIVER=%s%cPCI_SLOT_NAME=%s", action, 0, action,
		0, 0, driver, 0, bdf);

	ck_assert_int_eq(send(uevent_fd, buf, (size_t)n + 1, 0), n + 1);
}

static void uevent(const char *action, const char *bdf)
{
	uevent_of(action, "", bdf);
}

/* Until @part has been told, a few seconds at most. */
static void run_until(const char *part)
{
	struct pollfd p = {.fd = vfm_monitor_fd(m), .events = POLLIN};

	for (int i = 0; i < 100 && !strstr(story, part); i++) {
		poll(&p, 1, 100);
		ck_assert_msg(vfm_monitor_run(m, &e) == 0, "%s", e.text);
	}
	assert_told(part);
}

START_TEST(first_of_all_is_what_there_is)
{
	/* The PF alone: the other card has no SR-IOV. */
	ck_assert_uint_eq(n_functions, 1);
	ck_assert_uint_eq(n_leases, 0);
	ck_assert_str_eq(unseen, "");
}
END_TEST

START_TEST(a_carve_is_told_from_one_message_of_the_pf)
{
	ck_assert_int_eq(vfm_carve(v, pf, 3, 0, NULL, &e), 0);
	uevent("change", "0000:01:00.0");
	run_until("add 0000:01:10.4");
	assert_told("vfs 0000:01:00.0 0>3");
	assert_told("add 0000:01:10.0");
	*story = '\0';
	ck_assert_int_eq(vfm_carve(v, pf, 0, 0, NULL, &e), 0);
	uevent("remove", "0000:01:10.4");
	run_until("vfs 0000:01:00.0 3>0");
	assert_told("remove 0000:01:10.0");
}
END_TEST

START_TEST(vfs_that_appear_later_than_the_message_are_found)
{
	uevent("change", "0000:01:00.0");
	ck_assert_int_eq(vfm_monitor_run(m, &e), 0);
	assert_story("");
	ck_assert_int_eq(vfm_carve(v, pf, 1, 0, NULL, &e), 0);
	run_until("vfs 0000:01:00.0 0>1");
}
END_TEST

START_TEST(a_rate_that_is_gone_after_a_link_event_is_told)
{
	struct vfm_settings want = {.set = VFM_BIT(MAX_RATE), .max_rate = 500};
	struct message msg;
	struct vfm_function f;

	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, NULL, &e), 0);
	ck_assert_msg(vfm_set(v, vf1, &want, NULL, &e) == 0, "%s", e.text);
	uevent("change", "0000:01:00.0");
	run_until("add 0000:01:10.2");
	*story = '\0';
	ck_assert_int_eq(function_read(v, pf, &f), 0);
	k.knobs->pf[0].vf[1].max_rate = 0;
	msg = link_message(RTM_NEWLINK, AF_UNSPEC, f.ifindex, "eth0", 6, NULL);
	ck_assert_int_eq(send(link_fd, msg.buf, msg.len, 0), (ssize_t)msg.len);
	run_until("setting 0000:01:10.2 max-rate 500>0");
}
END_TEST

/* What the kernel has told by the time the function has been read. */
static void driver_messages(void)
{
	uevent("unbind", "0000:01:10.0");
	uevent_of("bind", "vfio-pci", "0000:01:10.0");
}

START_TEST(messages_that_come_while_it_is_read_are_told_once_and_in_order)
{
	ck_assert_int_eq(vfm_carve(v, pf, 1, 0, NULL, &e), 0);
	ck_assert_msg(vfm_bind(v, vf0, "igbvf", 0, &e) == 0, "%s", e.text);
	uevent("change", "0000:01:00.0");
	run_until("bind 0000:01:10.0 igbvf");
	ck_assert_msg(vfm_bind(v, vf0, "vfio-pci", 0, &e) == 0, "%s", e.text);
	*story = '\0';
	uevent("change", "0000:01:00.0");
	/* The message itself, the end of the queue, and then the look after reading. */
	late_after = 3;
	late = driver_messages;
	run_until("bind 0000:01:10.0 vfio-pci");
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(vfm_monitor_run(m, &e), 0);
	assert_story("interface 0000:01:10.0 eth0v0>\nunbind 0000:01:10.0 igbvf\n"
		     "bind 0000:01:10.0 vfio-pci\n");
}
END_TEST

/* What there is on the way to it is listened to; of a relative one that is the working directory at last. */
START_TEST(run_directory_may_be_relative_and_not_there)
{
	static const char *const dirs[] = {"no-such-folder/vf", "no-such-folder", "/", "/dev/null"};

	whole_teardown();
	whole_start(dirs[_i]);
	ck_assert_uint_eq(n_leases, 0);
}
END_TEST

START_TEST(leases_are_seen_as_they_are_taken_and_left)
{
	int fd = -1;

	ck_assert_int_eq(vfm_carve(v, pf, 1, 0, NULL, &e), 0);
	uevent("change", "0000:01:00.0");
	run_until("add 0000:01:10.0");
	ck_assert_msg(vfm_lease_take(v, vf0, "vm1", 0, &fd, &e) == 0, "%s", e.text);
	run_until("lease-taken 0000:01:10.0 by vm1");
	/* As when its holder is killed: nothing tells but the end of the descriptor. */
	close(fd);
	run_until("lease-stale 0000:01:10.0 by vm1");
	ck_assert_int_eq(vfm_lease_gc(v, &e), 1);
	run_until("lease-freed 0000:01:10.0 by vm1");
}
END_TEST

START_TEST(a_loss_is_said_and_all_is_told_that_had_changed)
{
	ck_assert_int_eq(vfm_carve(v, pf, 2, 0, NULL, &e), 0);
	overflow_fd = io.uevent_fd;
	ck_assert_msg(vfm_monitor_run(m, &e) == 0, "%s", e.text);
	assert_story("lost uevents\nvfs 0000:01:00.0 0>2\nlink 0000:01:00.0 eth0 down>up\nadd "
		     "0000:01:10.0\nadd 0000:01:10.2\n"
		     "snapshot\n");
	ck_assert_uint_eq(n_functions, 3);
}
END_TEST

START_TEST(a_gap_in_the_kernel_log_is_a_loss)
{
	static const char *const rec[] = {"4,10,1,-;igb 0000:01:00.0: one\n",
		"4,11,1,-;igb 0000:01:00.0: two\n", "4,13,1,-;igb 0000:01:00.0: four\n"};

	for (size_t i = 0; i < ARRAY_SIZE(rec); i++)
		ck_assert_int_gt(send(kmsg_fd, rec[i], strlen(rec[i]), 0), 0);
	ck_assert_int_eq(vfm_monitor_run(m, &e), 0);
	assert_story("kernel-log 0000:01:00.0\nkernel-log 0000:01:00.0\nkernel-log 0000:01:00.0\n"
		     "lost kernel-log\nsnapshot\n");
}
END_TEST

START_TEST(dma_fault_without_a_lease_names_who_has_the_device_open)
{
	static const char rec[] =
		"3,10,1,-;DMAR: [DMA Read NO_PASID] Request device [01:10.0] "
		"fault addr 0x1000 [fault reason 0x06] PTE Read access is not set\n";
	struct vfm_function f;
	char node[64];

	ck_assert_int_eq(vfm_carve(v, pf, 1, 0, NULL, &e), 0);
	ck_assert_msg(vfm_bind(v, vf0, "vfio-pci", 0, &e) == 0, "%s", e.text);
	ck_assert_int_eq(function_read(v, vf0, &f), 0);
	snprintf(node, sizeof(node), "/dev/vfio/%d", f.iommu_group);
	fake_hold(&k, 412, "vm1", node);
	ck_assert_int_gt(send(kmsg_fd, rec, sizeof(rec) - 1, 0), 0);
	run_until("dma-fault 0000:01:10.0 open by vm1");
}
END_TEST

START_TEST(a_pf_that_vanishes_while_it_is_read_is_told_as_gone)
{
	fake_remove(&k, "sys/bus/pci/devices/0000:01:00.0");
	uevent("change", "0000:01:00.0");
	run_until("remove 0000:01:00.0");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vf-monitor");
	TCase *messages = tcase_create("messages"), *state = tcase_create("state"),
	      *whole = tcase_create("whole");

	suite_add_tcase(suite, messages);
	tcase_add_loop_test(
		messages, uevent_is_read_or_is_none_of_ours, 0, (int)ARRAY_SIZE(uevents));
	tcase_add_loop_test(messages, kernel_log_record_is_read_and_made_printable, 0,
		(int)ARRAY_SIZE(records));
	tcase_add_test(messages, kernel_log_record_longer_than_any_is_cut);
	tcase_add_test(messages, every_address_in_a_line_is_found);
	tcase_add_test(messages, link_message_is_read);
	tcase_add_test(messages, link_message_of_a_bridge_port_or_with_wild_lengths_is_none);
	tcase_add_test(messages, link_message_with_a_name_that_is_none_or_a_state_unheard_of);

	suite_add_tcase(suite, state);
	tcase_add_checked_fixture(state, state_setup, state_teardown);
	tcase_add_test(state, nothing_is_told_of_what_stays);
	tcase_add_test(state, vfs_that_come_and_go_are_told_with_their_number);
	tcase_add_test(state, new_function_with_a_driver_and_an_interface_is_told_in_order);
	tcase_add_test(state, rate_that_the_driver_dropped_is_told);
	tcase_add_test(state, settings_that_could_not_be_read_are_no_change_and_not_forgotten);
	tcase_add_test(state, settings_that_can_be_read_at_last_are_one_event);
	tcase_add_test(state, a_pf_that_is_pulled_out_takes_its_vfs_with_it);
	tcase_add_test(state, messages_that_say_what_is_new_are_told_once);
	tcase_add_test(state, link_and_address_of_an_interface_are_told);
	tcase_add_test(state, leases_taken_freed_stale_and_taken_over_are_told);
	tcase_add_test(state, dma_fault_names_who_has_the_lease);
	tcase_add_test(state, log_lines_are_told_when_known_or_warnings_and_of_a_watched_function);
	tcase_add_test(state, only_one_function_and_its_vfs_when_asked_for);
	tcase_add_test(state, another_device_at_an_address_is_a_removal_and_an_addition);

	suite_add_tcase(suite, whole);
	tcase_add_checked_fixture(whole, whole_setup, whole_teardown);
	tcase_set_timeout(whole, 60);
	tcase_add_test(whole, first_of_all_is_what_there_is);
	tcase_add_test(whole, a_carve_is_told_from_one_message_of_the_pf);
	tcase_add_test(whole, vfs_that_appear_later_than_the_message_are_found);
	tcase_add_test(whole, a_rate_that_is_gone_after_a_link_event_is_told);
	tcase_add_test(whole, messages_that_come_while_it_is_read_are_told_once_and_in_order);
	tcase_add_loop_test(whole, run_directory_may_be_relative_and_not_there, 0, 4);
	tcase_add_test(whole, leases_are_seen_as_they_are_taken_and_left);
	tcase_add_test(whole, a_loss_is_said_and_all_is_told_that_had_changed);
	tcase_add_test(whole, a_gap_in_the_kernel_log_is_a_loss);
	tcase_add_test(whole, dma_fault_without_a_lease_names_who_has_the_device_open);
	tcase_add_test(whole, a_pf_that_vanishes_while_it_is_read_is_told_as_gone);

	return suite_run(suite);
}
