// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/monitor_parse.h"

#include <ctype.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"

static enum uevent_action action_of(const char *s)
{
	static const struct {
		const char *word;
		enum uevent_action action;
	} table[] = {{"add", UEVENT_ADD}, {"remove", UEVENT_REMOVE}, {"bind", UEVENT_BIND},
		{"unbind", UEVENT_UNBIND}};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(s, table[i].word))
			return table[i].action;
	return UEVENT_OTHER;
}

/* The function that /devices/pci0000:00/0000:00:1c.0/0000:01:00.0/net/eth0 is an interface of. */
static bool devpath_bdf(const char *path, struct bdf *ret)
{
	const char *end = strstr(path, "/net/"), *start;
	char name[BDF_STRLEN];

	if (!end)
		return false;
	for (start = end; start > path && start[-1] != '/'; start--)
		;
	if (end == start || (size_t)(end - start) >= sizeof(name))
		return false;
	memcpy(name, start, (size_t)(end - start));
	name[end - start] = '\0';
	return bdf_parse(name, ret) == 0;
}

bool uevent_parse(const char *buf, size_t len, struct uevent *ret)
{
	const char *action = NULL, *subsystem = NULL, *slot = NULL, *path = NULL, *driver = NULL;
	struct uevent u = {0};

	/* udev's own messages have another form, and any process can send those. */
	if (len == 0 || buf[len - 1] != '\0' || !strchr(buf, '@'))
		return false;
	for (size_t at = 0; at < len; at += strlen(buf + at) + 1) {
		const char *s = buf + at;

		if (!strncmp(s, "ACTION=", 7))
			action = s + 7;
		else if (!strncmp(s, "SUBSYSTEM=", 10))
			subsystem = s + 10;
		else if (!strncmp(s, "PCI_SLOT_NAME=", 14))
			slot = s + 14;
		else if (!strncmp(s, "DEVPATH=", 8))
			path = s + 8;
		else if (!strncmp(s, "DRIVER=", 7))
			driver = s + 7;
	}
	if (!action || !subsystem)
		return false;
	u.action = action_of(action);
	u.net = !strcmp(subsystem, "net");
	if (u.net ? !path || !devpath_bdf(path, &u.bdf)
		  : strcmp(subsystem, "pci") || !slot || bdf_parse(slot, &u.bdf) < 0)
		return false;
	if (driver && name_is_plain(driver))
		snprintf(u.driver, sizeof(u.driver), "%s", driver);
	*ret = u;
	return true;
}

/* RFC 2863 §3.1.14 as net/core/net-sysfs.c words it. */
static const char *operstate_word(uint8_t state)
{
	static const char *const words[] = {
		"unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"};

	return state < ARRAY_SIZE(words) ? words[state] : "";
}

static void link_attr(const struct nlattr *a, struct link_note *n)
{
	const char *data = nla_data(a);
	size_t len = (size_t)nla_len(a);

	switch (nla_type(a)) {
	case IFLA_IFNAME:
		if (len > 0 && len <= sizeof(n->name) && data[len - 1] == '\0' &&
			netdev_name_is_plain(data))
			snprintf(n->name, sizeof(n->name), "%s", data);
		break;
	case IFLA_OPERSTATE:
		if (len >= 1)
			snprintf(n->link, sizeof(n->link), "%s", operstate_word((uint8_t)*data));
		break;
	case IFLA_ADDRESS:
		n->has_mac = len == sizeof(n->mac);
		if (n->has_mac)
			memcpy(n->mac, data, sizeof(n->mac));
		break;
	default: break;
	}
}

bool link_note_next(const void *buf, size_t len, size_t *at, struct link_note *ret)
{
	const char *p = buf;

	while (*at < len && len - *at >= sizeof(struct nlmsghdr)) {
		struct ifinfomsg ifi;
		struct nlmsghdr h;
		size_t head = sizeof(h) + sizeof(ifi), start = *at;
		const struct nlattr *a;
		int rem;

		memcpy(&h, p + start, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len - start)
			return false;
		*at += NLMSG_ALIGN(h.nlmsg_len);
		if ((h.nlmsg_type != RTM_NEWLINK && h.nlmsg_type != RTM_DELLINK) ||
			h.nlmsg_len < head)
			continue;
		memcpy(&ifi, p + start + sizeof(h), sizeof(ifi));
		/* A bridge tells of its ports in the same form, with a family of its own. */
		if (ifi.ifi_family != AF_UNSPEC || ifi.ifi_index <= 0)
			continue;
		*ret = (struct link_note){
			.ifindex = ifi.ifi_index, .gone = h.nlmsg_type == RTM_DELLINK};
		nla_for_each_attr(a, (struct nlattr *)(void *)(p + start + head),
			(int)(h.nlmsg_len - head), rem) link_attr(a, ret);
		return true;
	}
	return false;
}

/* A number that ends with @end; *@p is moved behind that. */
static bool number_next(const char **p, char end, uint64_t *ret)
{
	char *stop;

	if (!isdigit((unsigned char)**p))
		return false;
	*ret = strtoull(*p, &stop, 10);
	if (*stop != end)
		return false;
	*p = stop + 1;
	return true;
}

bool klog_record_parse(const char *buf, size_t len, struct klog_record *ret)
{
	char rec[KLOG_TEXT_MAX + 128];
	struct klog_record k = {0};
	const char *p = rec, *text;
	uint64_t priority;
	size_t n;

	if (len >= sizeof(rec))
		len = sizeof(rec) - 1;
	memcpy(rec, buf, len);
	rec[len] = '\0';
	text = strchr(rec, ';');
	if (!text || !number_next(&p, ',', &priority) || !number_next(&p, ',', &k.seq) ||
		!number_next(&p, ',', &k.us) || p > text)
		return false;
	k.level = priority & 7;
	text++;
	n = strcspn(text, "\n");
	if (n >= sizeof(k.text))
		n = sizeof(k.text) - 1;
	for (size_t i = 0; i < n; i++)
		k.text[i] = (char)(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
	*ret = k;
	return true;
}

bool line_next_bdf(const char **line, struct bdf *ret)
{
	for (const char *s = *line; *s; s++) {
		size_t n = strspn(s, "0123456789abcdef:.");
		char name[BDF_STRLEN];

		/* "0000:01:00.0: VF 1 ...", "0000:01:00.0" at the end of a sentence. */
		while (n > 0 && (s[n - 1] == ':' || s[n - 1] == '.'))
			n--;
		if (n >= 12 && n < sizeof(name) && (s == *line || !isalnum((unsigned char)s[-1]))) {
			memcpy(name, s, n);
			name[n] = '\0';
			if (bdf_parse(name, ret) == 0) {
				*line = s + n;
				return true;
			}
		}
		/* On to the next word, as the rest of this one cannot be an address. */
		s += strspn(s, "0123456789abcdef:.");
		if (!*s)
			break;
	}
	*line += strlen(*line);
	return false;
}
