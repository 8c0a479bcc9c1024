// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static const struct {
	const char *name, *text;
} settings[] = {
#define X(name, word, text) [VFM_SET_##name] = {word, text},
	VFM_SETTINGS(X)
#undef X
};

static const char *const link_states[] = {"auto", "enable", "disable"};

const char *vfm_setting_name(enum vfm_setting setting)
{
	return setting < VFM_SETTING_COUNT ? settings[setting].name : "unknown";
}

const char *vfm_setting_text(enum vfm_setting setting)
{
	return setting < VFM_SETTING_COUNT ? settings[setting].text : "";
}

static bool number_parse(const char *s, uint64_t max, uint64_t *ret)
{
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return !errno && !*end && *ret <= max;
}

static bool switch_parse(const char *s, bool *ret)
{
	*ret = !strcmp(s, "on");
	return *ret || !strcmp(s, "off");
}

static bool mac_parse(const char *s, uint8_t mac[static 6])
{
	unsigned int b[6];

	if (!strcmp(s, "none")) {
		memset(mac, 0, 6);
		return true;
	}
	if (strlen(s) != 17 || strspn(s, "0123456789abcdefABCDEF:") != 17 ||
		sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6)
		return false;
	for (unsigned int i = 0; i < 6; i++) {
		if (i && s[i * 3 - 1] != ':')
			return false;
		mac[i] = (uint8_t)b[i];
	}
	return true;
}

/* Sixteen digits, with a colon between every two as `ip link` has them, or without. */
static bool guid_parse(const char *s, uint64_t *ret)
{
	bool colons = strlen(s) == 23;
	uint64_t v = 0;

	if (!colons && strlen(s) != 16)
		return false;
	for (unsigned int i = 0; s[i]; i++) {
		char digit[2] = {s[i], 0};

		if (colons && i % 3 == 2) {
			if (s[i] != ':')
				return false;
			continue;
		}
		if (!strchr("0123456789abcdefABCDEF", s[i]))
			return false;
		v = v << 4 | strtoul(digit, NULL, 16);
	}
	*ret = v;
	return true;
}

static bool value_parse(enum vfm_setting setting, const char *text, struct vfm_settings *s)
{
	uint64_t n = 0;
	bool ok = false;

	switch (setting) {
	case VFM_SET_MAC: return mac_parse(text, s->mac);
	case VFM_SET_VLAN:
		ok = !strcmp(text, "none") || number_parse(text, 4094, &n);
		s->vlan = (uint16_t)n;
		return ok;
	case VFM_SET_QOS:
		ok = number_parse(text, 7, &n);
		s->qos = (uint8_t)n;
		return ok;
	case VFM_SET_PROTO:
		/* The standards' names have capitals, `ip` prints them so and takes them so. */
		s->proto = !strcasecmp(text, "802.1q")    ? VFM_PROTO_8021Q
			   : !strcasecmp(text, "802.1ad") ? VFM_PROTO_8021AD
							  : 0;
		return s->proto;
	case VFM_SET_MIN_RATE:
		ok = number_parse(text, UINT32_MAX, &n);
		s->min_rate = (uint32_t)n;
		return ok;
	case VFM_SET_MAX_RATE:
		ok = number_parse(text, UINT32_MAX, &n);
		s->max_rate = (uint32_t)n;
		return ok;
	case VFM_SET_SPOOFCHK: return switch_parse(text, &s->spoofchk);
	case VFM_SET_LINK_STATE:
		for (size_t i = 0; i < ARRAY_SIZE(link_states); i++)
			if (!strcmp(text, link_states[i])) {
				s->link_state = (uint8_t)i;
				ok = true;
			}
		return ok;
	case VFM_SET_RSS_QUERY: return switch_parse(text, &s->rss_query);
	case VFM_SET_TRUST: return switch_parse(text, &s->trust);
	case VFM_SET_NODE_GUID: return guid_parse(text, &s->node_guid);
	case VFM_SET_PORT_GUID: return guid_parse(text, &s->port_guid);
	case VFM_SETTING_COUNT: break;
	}
	return false;
}

static int unknown_key(const char *word, struct err *e)
{
	char known[256];
	size_t len = 0;

	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++)
		len += (size_t)snprintf(
			known + len, sizeof(known) - len, "%s%s", i ? ", " : "", settings[i].name);
	return err_set(
		e, EINVAL, "'%s' is no setting: KEY=VALUE is, with KEY one of %s", word, known);
}

int vfm_setting_parse(const char *word, struct vfm_settings *s, struct err *e)
{
	const char *equals = strchr(word, '=');
	struct vfm_settings one = {0};
	enum vfm_setting setting = 0;

	if (!equals)
		return unknown_key(word, e);
	while (setting < VFM_SETTING_COUNT &&
		(strncmp(settings[setting].name, word, (size_t)(equals - word)) ||
			settings[setting].name[equals - word]))
		setting++;
	if (setting == VFM_SETTING_COUNT)
		return unknown_key(word, e);
	if (!value_parse(setting, equals + 1, &one))
		return err_set(e, EINVAL, "'%s' is no value of %s: %s", equals + 1,
			settings[setting].name, settings[setting].text);
	one.set = 1u << setting;
	if (s->set & one.set && vfm_settings_differ(s, &one, one.set))
		return err_set(e, EEXIST, "%s is given twice", settings[setting].name);
	vfm_settings_merge(s, &one, one.set);
	return 0;
}

char *vfm_setting_format(
	const struct vfm_settings *s, enum vfm_setting setting, char buf[VFM_VALUE_MAX])
{
	static const uint8_t zero[6];
	const uint8_t *m = s->mac;
	const char *word = NULL;

	*buf = '\0';
	if (!(s->set & 1u << setting))
		return buf;
	switch (setting) {
	case VFM_SET_MAC:
		if (!memcmp(m, zero, 6))
			word = "none";
		else
			snprintf(buf, VFM_VALUE_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1],
				m[2], m[3], m[4], m[5]);
		break;
	case VFM_SET_VLAN: snprintf(buf, VFM_VALUE_MAX, "%u", s->vlan); break;
	case VFM_SET_QOS: snprintf(buf, VFM_VALUE_MAX, "%u", s->qos); break;
	case VFM_SET_PROTO: word = s->proto == VFM_PROTO_8021AD ? "802.1ad" : "802.1q"; break;
	case VFM_SET_MIN_RATE: snprintf(buf, VFM_VALUE_MAX, "%u", s->min_rate); break;
	case VFM_SET_MAX_RATE: snprintf(buf, VFM_VALUE_MAX, "%u", s->max_rate); break;
	case VFM_SET_SPOOFCHK: word = s->spoofchk ? "on" : "off"; break;
	case VFM_SET_LINK_STATE:
		word = s->link_state < ARRAY_SIZE(link_states) ? link_states[s->link_state]
							       : "unknown";
		break;
	case VFM_SET_RSS_QUERY: word = s->rss_query ? "on" : "off"; break;
	case VFM_SET_TRUST: word = s->trust ? "on" : "off"; break;
	case VFM_SET_NODE_GUID: snprintf(buf, VFM_VALUE_MAX, "%016" PRIx64, s->node_guid); break;
	case VFM_SET_PORT_GUID: snprintf(buf, VFM_VALUE_MAX, "%016" PRIx64, s->port_guid); break;
	case VFM_SETTING_COUNT: break;
	}
	if (word)
		snprintf(buf, VFM_VALUE_MAX, "%s", word);
	return buf;
}

uint32_t vfm_settings_differ(
	const struct vfm_settings *a, const struct vfm_settings *b, uint32_t bits)
{
	uint32_t differ = 0;
	char x[VFM_VALUE_MAX], y[VFM_VALUE_MAX];

	/* Two values are the same when they are written the same; nothing here is in a hurry. */
	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++)
		if (bits & 1u << i &&
			strcmp(vfm_setting_format(a, i, x), vfm_setting_format(b, i, y)))
			differ |= 1u << i;
	return differ;
}

void vfm_settings_merge(struct vfm_settings *to, const struct vfm_settings *from, uint32_t bits)
{
	bits &= from->set;
#define COPY(name, field)                                                    \
	do {                                                                 \
		if (bits & VFM_BIT(name))                                    \
			memcpy(&to->field, &from->field, sizeof(to->field)); \
	} while (0)
	COPY(MAC, mac);
	COPY(VLAN, vlan);
	COPY(QOS, qos);
	COPY(PROTO, proto);
	COPY(MIN_RATE, min_rate);
	COPY(MAX_RATE, max_rate);
	COPY(SPOOFCHK, spoofchk);
	COPY(LINK_STATE, link_state);
	COPY(RSS_QUERY, rss_query);
	COPY(TRUST, trust);
	COPY(NODE_GUID, node_guid);
	COPY(PORT_GUID, port_guid);
#undef COPY
	to->set |= bits;
}

int vfm_settings_check(const struct vfm_settings *s, struct err *e)
{
	if (s->set & VFM_BIT(MAC) && s->mac[0] & 1)
		return err_set(
			e, EINVAL, "a multicast address (first byte odd) is no device's own");
	if (s->set & VFM_BIT(VLAN) && !s->vlan &&
		((s->set & VFM_BIT(QOS) && s->qos) ||
			(s->set & VFM_BIT(PROTO) && s->proto == VFM_PROTO_8021AD)))
		return err_set(
			e, EINVAL, "a priority and a protocol are a VLAN's: give a vlan too");
	if ((s->set & VFM_RATE_BITS) == VFM_RATE_BITS && s->max_rate && s->min_rate > s->max_rate)
		return err_set(
			e, EINVAL, "min-rate %u is above max-rate %u", s->min_rate, s->max_rate);
	return 0;
}
