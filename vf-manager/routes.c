// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/routes.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/doctor_priv.h"

#define NET_FILE_MAX (4u << 20)
#define SSH_PORT     22
#define ESTABLISHED  1      /* net/tcp_states.h */
#define RTF_REJECT   0x200u /* linux/route.h */

static bool stack_has(const struct iface_stack *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!strcmp(s->name[i], name))
			return true;
	}
	return false;
}

static void stack_add(struct iface_stack *s, const char *name)
{
	if (s->n < STACK_MAX && netdev_name_is_plain(name) && !stack_has(s, name))
		snprintf(s->name[s->n++], VFM_NAME_MAX, "%s", name);
}

void iface_stack_read(struct vfm *v, const char *netdev, struct iface_stack *ret)
{
	*ret = (struct iface_stack){0};
	stack_add(ret, netdev);
	/* Each is looked at once, those it brings in after it: masters, then what "upper_" links name. */
	for (size_t i = 0; i < ret->n; i++) {
		char path[160], name[VFM_NAME_MAX], **names;

		snprintf(path, sizeof(path), "sys/class/net/%s/master", ret->name[i]);
		if (sysfs_link_name(&v->sys, path, name, sizeof(name)) > 0)
			stack_add(ret, name);
		snprintf(path, sizeof(path), "sys/class/net/%s", ret->name[i]);
		if (sysfs_list(&v->sys, path, &names) < 0)
			continue;
		for (char **p = names; *p; p++) {
			if (!strncmp(*p, "upper_", 6))
				stack_add(ret, *p + 6);
		}
		sysfs_list_free(names);
	}
}

/* ---- IPv4: /proc/net/route, hexadecimal words in memory order ---- */

struct route4 {
	char iface[VFM_NAME_MAX];
	uint32_t dest, mask;
};

static bool route4_parse(const char *line, struct route4 *ret)
{
	unsigned flags;

	return sscanf(line, "%63s %8x %*8x %8x %*d %*d %*d %8x", ret->iface, &ret->dest, &flags,
		       &ret->mask) == 4 &&
	       !(flags & RTF_REJECT);
}

/* ---- IPv6: /proc/net/ipv6_route, 32 digits in network order ---- */

struct route6 {
	char iface[VFM_NAME_MAX];
	uint8_t dest[16];
	unsigned plen;
};

static bool hex_bytes(const char *s, uint8_t *ret, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char pair[3] = {s[0], s[0] ? s[1] : '\0', '\0'};

		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]))
			return false;
		ret[i] = (uint8_t)strtoul(pair, NULL, 16);
		s += 2;
	}
	return true;
}

static bool route6_parse(const char *line, struct route6 *ret)
{
	char dest[33];
	unsigned flags;

	return sscanf(line, "%32s %2x %*32s %*2x %*32s %*8x %*8x %*8x %8x %63s", dest, &ret->plen,
		       &flags, ret->iface) == 4 &&
	       strlen(dest) == 32 && ret->plen <= 128 && !(flags & RTF_REJECT) &&
	       hex_bytes(dest, ret->dest, 16);
}

void routes_default(struct vfm *v, const struct iface_stack *s, char *buf, size_t size)
{
	_cleanup_free_ char *text4 = NULL, *text6 = NULL;
	char *next, *line;
	const char *by4 = NULL, *by6 = NULL;
	struct route4 r4;
	struct route6 r6;

	next = text_load(v, "proc/net/route", NET_FILE_MAX, &text4) < 0 ? NULL : text4;
	while (!by4 && (line = line_next(&next))) {
		if (route4_parse(line, &r4) && !r4.dest && !r4.mask && stack_has(s, r4.iface))
			by4 = r4.iface;
	}
	next = text_load(v, "proc/net/ipv6_route", NET_FILE_MAX, &text6) < 0 ? NULL : text6;
	while (!by6 && (line = line_next(&next))) {
		if (route6_parse(line, &r6) && !r6.plen && stack_has(s, r6.iface))
			by6 = r6.iface;
	}
	if (by4)
		snprintf(buf, size, "the default route (by %s)", by4);
	else if (by6)
		snprintf(buf, size, "the default IPv6 route (by %s)", by6);
	else
		*buf = '\0';
}

/* The interface on the way to @to: the longest prefix wins. */
static void way4(char *routes, uint32_t to, char iface[VFM_NAME_MAX])
{
	char *next = routes, *line;
	struct route4 r;
	uint32_t best = 0;

	*iface = '\0';
	while ((line = line_next(&next))) {
		bool fits = route4_parse(line, &r) && (to & r.mask) == r.dest &&
			    (!*iface || ntohl(r.mask) > best);

		if (line + strlen(line) + 1 == next)
			line[strlen(line)] = '\n'; /* the text is read again for the next session */
		if (!fits)
			continue;
		best = ntohl(r.mask);
		snprintf(iface, VFM_NAME_MAX, "%s", r.iface);
	}
}

static bool prefix_fits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8))
		return false;
	return !(bits % 8) || !((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8));
}

static void way6(char *routes, const uint8_t to[16], char iface[VFM_NAME_MAX])
{
	char *next = routes, *line;
	struct route6 r;
	unsigned best = 0;

	*iface = '\0';
	while ((line = line_next(&next))) {
		bool fits = route6_parse(line, &r) && prefix_fits(to, r.dest, r.plen) &&
			    (!*iface || r.plen > best);

		if (line + strlen(line) + 1 == next)
			line[strlen(line)] = '\n';
		if (!fits)
			continue;
		best = r.plen;
		snprintf(iface, VFM_NAME_MAX, "%s", r.iface);
	}
}

/* "0: 0100007F:0016 0100007F:A3F2 01 ...": who is at the other end of a session with our port 22. */
static bool session_parse(const char *line, char remote[33])
{
	unsigned port, state;

	return sscanf(line, " %*d: %*32[0-9A-Fa-f]:%4x %32[0-9A-Fa-f]:%*4x %2x", &port, remote,
		       &state) == 3 &&
	       port == SSH_PORT && state == ESTABLISHED;
}

/* Four words in memory order, as the kernel prints an IPv6 address here. */
static bool session_address(const char *remote, uint8_t ret[16])
{
	for (int i = 0; i < 4; i++) {
		uint8_t word[4];

		if (!hex_bytes(remote + i * 8, word, 4))
			return false;
		for (int k = 0; k < 4; k++)
			ret[i * 4 + k] = word[3 - k];
	}
	return true;
}

unsigned routes_ssh(struct vfm *v, const struct iface_stack *s, bool *ret_seen)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	_cleanup_free_ char *tcp4 = NULL, *tcp6 = NULL, *routes4 = NULL, *routes6 = NULL;
	char *next, *line, remote[33], iface[VFM_NAME_MAX];
	unsigned n = 0;

	*ret_seen = text_load(v, "proc/net/tcp", NET_FILE_MAX, &tcp4) >= 0;
	(void)text_load(v, "proc/net/tcp6", NET_FILE_MAX, &tcp6);
	(void)text_load(v, "proc/net/route", NET_FILE_MAX, &routes4);
	(void)text_load(v, "proc/net/ipv6_route", NET_FILE_MAX, &routes6);
	next = tcp4;
	while ((line = line_next(&next))) {
		if (!session_parse(line, remote) || strlen(remote) != 8)
			continue;
		way4(routes4, (uint32_t)strtoul(remote, NULL, 16), iface);
		n += stack_has(s, iface);
	}
	next = tcp6;
	while ((line = line_next(&next))) {
		uint8_t to[16];
		uint32_t to4;

		if (!session_parse(line, remote) || strlen(remote) != 32 ||
			!session_address(remote, to))
			continue;
		memcpy(&to4, to + 12, 4);
		if (memcmp(to, mapped, 12) == 0)
			way4(routes4, to4, iface);
		else
			way6(routes6, to, iface);
		n += stack_has(s, iface);
	}
	return n;
}
