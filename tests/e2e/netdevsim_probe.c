// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Our messages against a kernel's own rtnetlink and devlink: every setting of every VF of a netdevsim
 * device is set and read back. netdevsim has no PCI functions, so the calls below vfm.h are used, by
 * interface number and devlink handle.
 *
 * Usage: netdevsim_probe INTERFACE DEVICE VFS settings|many|devlink
 */
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/devlink_internal.h"
#include "vf-manager/internal.h"
#include "vf-manager/stats.h"

#define MBIT 125000u

static unsigned passed, failed;

struct probe {
	struct vfm *v;
	int ifindex;
	struct devlink_handle h;
	unsigned n;
	struct vfm_settings *vf;
	struct vfm_port *port;
};

__attribute__((format(printf, 2, 3))) static void check(bool good, const char *fmt, ...)
{
	va_list ap;

	if (good) {
		passed++;
		return;
	}
	failed++;
	fputs("FAILED: ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* Every other value a setting can have, different from one VF and one round to the next. */
static const struct {
	const char *words;
	uint32_t bits;
} rounds[] = {
	{"vlan=100 qos=3 proto=802.1q", VFM_VLAN_BITS},
	{"vlan=4094 qos=7 proto=802.1ad", VFM_VLAN_BITS},
	{"vlan=1 qos=0 proto=802.1ad", VFM_VLAN_BITS},
	{"vlan=0 qos=0 proto=802.1q", VFM_VLAN_BITS},
	{"min-rate=100 max-rate=1000", VFM_RATE_BITS},
	{"min-rate=100 max-rate=0", VFM_RATE_BITS},
	{"min-rate=0 max-rate=2000", VFM_RATE_BITS},
	{"min-rate=0 max-rate=0", VFM_RATE_BITS},
	{"spoofchk=off", VFM_BIT(SPOOFCHK)},
	{"spoofchk=on", VFM_BIT(SPOOFCHK)},
	{"link-state=enable", VFM_BIT(LINK_STATE)},
	{"link-state=disable", VFM_BIT(LINK_STATE)},
	{"link-state=auto", VFM_BIT(LINK_STATE)},
	{"rss-query=on", VFM_BIT(RSS_QUERY)},
	{"rss-query=off", VFM_BIT(RSS_QUERY)},
	{"trust=on", VFM_BIT(TRUST)},
	{"trust=off", VFM_BIT(TRUST)},
};

static struct vfm_settings words(const char *text)
{
	struct vfm_settings s = {0};
	char copy[128], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (vfm_setting_parse(w, &s, NULL) < 0)
			abort();
	return s;
}

static void mac_of(unsigned vf, struct vfm_settings *s)
{
	const uint8_t mac[6] = {2, 0x11, 0x22, 0x33, (uint8_t)(vf >> 8), (uint8_t)vf};

	memcpy(s->mac, mac, 6);
	s->set |= VFM_BIT(MAC);
}

/* All VFs, into p->vf; how many the kernel told of. */
static unsigned read_all(struct probe *p)
{
	struct err e = {0};
	unsigned seen = 0;
	int r = link_get_vfs(p->v, p->ifindex, p->vf, p->n, &e);

	check(r == 0, "read %u VFs: %s", p->n, e.text);
	for (unsigned i = 0; i < p->n; i++)
		seen += p->vf[i].set != 0;
	return seen;
}

static int set(
	struct probe *p, unsigned vf, const struct vfm_settings *s, uint32_t bits, struct err *e)
{
	*e = (struct err){0};
	return link_set_vf(p->v, p->ifindex, vf, s, bits, e);
}

/* One setting at a time: what was set must be there, and nothing else may have changed. */
static void settings(struct probe *p)
{
	static const uint32_t reported = VFM_BIT(MAC) | VFM_VLAN_BITS | VFM_RATE_BITS |
					 VFM_BIT(SPOOFCHK) | VFM_BIT(LINK_STATE) |
					 VFM_BIT(RSS_QUERY) | VFM_BIT(TRUST);
	struct vfm_settings want, none = {.set = VFM_ALL_BITS, .proto = VFM_PROTO_8021Q};
	struct err e;

	check(read_all(p) == p->n, "not all VFs are told of");
	for (unsigned i = 0; i < p->n; i++) {
		struct vfm_settings model = p->vf[i];

		check(model.set == reported, "VF %u reports %#x", i, model.set);
		for (size_t k = 0; k < ARRAY_SIZE(rounds); k++) {
			want = words(rounds[k].words);
			check(set(p, i, &want, rounds[k].bits, &e) == 0, "VF %u %s: %s", i,
				rounds[k].words, e.text);
			vfm_settings_merge(&model, &want, want.set);
			read_all(p);
			check(!vfm_settings_differ(&model, &p->vf[i], reported),
				"VF %u %s: differs in %#x", i, rounds[k].words,
				vfm_settings_differ(&model, &p->vf[i], reported));
		}
		mac_of(i, &want);
		check(set(p, i, &want, VFM_BIT(MAC), &e) == 0, "VF %u mac: %s", i, e.text);
		read_all(p);
		check(!memcmp(want.mac, p->vf[i].mac, 6), "VF %u mac", i);
	}
	/* Each has its own. */
	for (unsigned i = 0; i < p->n; i++)
		check(p->vf[i].mac[5] == i, "VF %u has %u's address", i, p->vf[i].mac[5]);
	check(set(p, 0, &none, VFM_BIT(MAC), &e) == 0, "no address: %s", e.text);
	/* What the driver has no call for, and what it refuses. */
	check(set(p, 0, &none, VFM_BIT(NODE_GUID), &e) == -EOPNOTSUPP, "node-guid: %s", e.text);
	check(set(p, 0, &none, VFM_BIT(PORT_GUID), &e) == -EOPNOTSUPP, "port-guid: %s", e.text);
	check(strstr(e.text, "driver cannot do this") != NULL, "says: %s", e.text);
	mac_of(0, &want);
	want.mac[0] = 1;
	check(set(p, 0, &want, VFM_BIT(MAC), &e) == -EINVAL, "multicast: %s", e.text);
	check(set(p, p->n, &none, VFM_BIT(TRUST), &e) == -EINVAL, "VF %u: %s", p->n, e.text);
	check(link_set_up(p->v, p->ifindex, true, &e) == 0, "up: %s", e.text);
	check(link_set_up(p->v, p->ifindex, false, &e) == 0, "down: %s", e.text);
	check(link_set_up(p->v, 999999, true, &e) == -ENODEV, "no interface: %s", e.text);
}

/* More than the kernel's list can say the length of: what is read is right, the rest unknown. */
static void many(struct probe *p)
{
	struct vfm_counters *c = calloc(p->n, sizeof(*c));
	struct vfm_settings s = {0};
	unsigned seen, counted = 0;
	struct err e = {0};

	for (unsigned i = 0; i < p->n; i++) {
		mac_of(i, &s);
		check(set(p, i, &s, VFM_BIT(MAC), &e) == 0, "VF %u: %s", i, e.text);
	}
	seen = read_all(p);
	for (unsigned i = 0; i < p->n; i++) {
		mac_of(i, &s);
		check(!p->vf[i].set || !memcmp(s.mac, p->vf[i].mac, 6), "VF %u: wrong address", i);
	}
	check(c && link_get_stats(p->v, p->ifindex, c, p->n, &e) == 0, "statistics: %s", e.text);
	for (unsigned i = 0; c && i < p->n; i++) {
		counted += c[i].seen;
		check(!c[i].seen || c[i].set == 0xff, "VF %u: counters %#x", i, c[i].set);
	}
	free(c);
	printf("%u VFs: %u read, %u with statistics\n", p->n, seen, counted);
	check(seen == p->n, "only %u of %u VFs were read", seen, p->n);
}

static void ports_read(struct probe *p)
{
	struct err e = {0};

	check(devlink_ports_get(p->v, &p->h, 0, p->port, p->n, &e) == 0, "ports: %s", e.text);
}

static void mode_set(struct probe *p, enum vfm_eswitch mode)
{
	enum vfm_eswitch now = VFM_ESWITCH_LEGACY;
	struct err e = {0};
	pid_t stuck = 0;

	check(devlink_eswitch_set(p->v, &p->h, mode, &stuck, &e) == 0, "set mode: %s", e.text);
	check(devlink_eswitch_get(p->v, &p->h, &now, &e) == 0, "get mode: %s", e.text);
	check(now == mode, "the mode is %s", vfm_eswitch_name(now));
}

static void devlink(struct probe *p)
{
	struct devlink_handle none = {"netdevsim", "netdevsim999"};
	enum vfm_eswitch mode = VFM_ESWITCH_SWITCHDEV;
	struct vfm_settings s = words("max-rate=10");
	struct err e = {0};

	check(devlink_eswitch_get(p->v, &p->h, &mode, &e) == 0, "get mode: %s", e.text);
	check(mode == VFM_ESWITCH_LEGACY, "it begins in %s", vfm_eswitch_name(mode));
	check(devlink_eswitch_get(p->v, &none, &mode, &e) == -EOPNOTSUPP, "no device: %s", e.text);
	ports_read(p);
	check(!p->port[0].there || !p->port[0].has_mac, "ports in legacy mode");
	mode_set(p, VFM_ESWITCH_SWITCHDEV);
	ports_read(p);
	for (unsigned i = 0; i < p->n; i++) {
		check(p->port[i].there && p->port[i].has_rate, "VF %u has no port or rate", i);
		check(devlink_port_set_rate(p->v, &p->h, p->port[i].index, (i + 1) * MBIT,
			      (i + 100) * MBIT, &e) == 0,
			"VF %u rate: %s", i, e.text);
	}
	ports_read(p);
	for (unsigned i = 0; i < p->n; i++)
		check(p->port[i].tx_share == (i + 1) * MBIT &&
				p->port[i].tx_max == (i + 100) * MBIT,
			"VF %u: %llu-%llu", i, (unsigned long long)p->port[i].tx_share,
			(unsigned long long)p->port[i].tx_max);
	/* The driver's own words. */
	e = (struct err){0};
	check(devlink_port_set_rate(p->v, &p->h, p->port[0].index, 0, 12345, &e) == -EINVAL,
		"half a unit: %s", e.text);
	check(strstr(e.text, "the kernel says: ") != NULL, "no words: %s", e.text);
	printf("refused: %s\n", e.text);
	check(devlink_port_set_rate(p->v, &p->h, 9999, 0, 0, &e) < 0, "a port that is not");
	/* Why rates go to the port: the same through rtnetlink. */
	check(link_set_vf(p->v, p->ifindex, 0, &s, VFM_RATE_BITS, &e) == -EOPNOTSUPP, "rate: %s",
		e.text);
	if (!p->port[0].has_mac) {
		e = (struct err){0};
		check(devlink_port_set_mac(p->v, &p->h, p->port[0].index,
			      (const uint8_t[6]){2, 0, 0, 0, 0, 1}, &e) < 0,
			"an address where there is none");
		printf("refused: %s\n", e.text);
	}
	mode_set(p, VFM_ESWITCH_LEGACY);
	ports_read(p);
	check(!p->port[0].there || !p->port[0].has_rate, "a rate in legacy mode");
}

int main(int argc, char **argv)
{
	struct probe p = {0};
	struct err e = {0};

	if (argc != 5)
		return 2;
	p.ifindex = (int)if_nametoindex(argv[1]);
	p.h = (struct devlink_handle){.bus = "netdevsim"};
	snprintf(p.h.dev, sizeof(p.h.dev), "%s", argv[2]);
	p.n = (unsigned)strtoul(argv[3], NULL, 10);
	p.vf = calloc(p.n + 1, sizeof(*p.vf));
	p.port = calloc(p.n + 1, sizeof(*p.port));
	if (!p.ifindex || !p.vf || !p.port || vfm_create(NULL, &p.v, &e) < 0) {
		printf("FAILED: set up: %s\n", e.text);
		return 1;
	}
	if (!strcmp(argv[4], "settings"))
		settings(&p);
	else if (!strcmp(argv[4], "many"))
		many(&p);
	else
		devlink(&p);
	vfm_destroy(p.v);
	free(p.vf);
	free(p.port);
	printf("%s: %u checks passed, %u failed\n", argv[4], passed, failed);
	return failed ? 1 : 0;
}
