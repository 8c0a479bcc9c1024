// SPDX-License-Identifier: GPL-2.0-or-later
/* NetworkManager and systemd-networkd: their profiles that make or set VFs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/conflicts.h"
#include "vf-manager/ini.h"

/* ---- NetworkManager ---- */

struct nm_profile {
	char id[96];
	char name[VFM_NAME_MAX], mac[32];
	bool elsewhere; /* it is for another device */
	bool ethernet;
	unsigned line; /* where [sriov] begins; 0: it has none */
};

static void nm_entry(struct conflicts *c, struct nm_profile *p, const struct ini_entry *e)
{
	const char *s = e->section, *k = e->key, *v = e->value;

	if (!strcmp(s, "sriov") && !p->line)
		p->line = e->line;
	else if (!strcmp(s, "connection") && !strcmp(k, "id"))
		snprintf(p->id, sizeof(p->id), "%s", v);
	else if (!strcmp(s, "connection") && !strcmp(k, "type"))
		p->ethernet = !strcmp(v, "ethernet") || !strcmp(v, "802-3-ethernet");
	else if (!strcmp(s, "connection") && !strcmp(k, "interface-name") && *v)
		p->elsewhere |= !conflict_name_is(c, v);
	else if ((!strcmp(s, "ethernet") || !strcmp(s, "802-3-ethernet")) &&
		 !strcmp(k, "mac-address") && *v)
		p->elsewhere |= !conflict_mac_is(c, v);
	else if (!strcmp(s, "match") && !strcmp(k, "interface-name") && *v)
		p->elsewhere |= !conflict_names_fit(v, "; ", c->f->netdev);
	else if (!strcmp(s, "match") && !strcmp(k, "driver") && *v)
		p->elsewhere |= !conflict_names_fit(v, "; ", c->f->driver);
}

void conflict_nm_profile_file(struct conflicts *c, const char *path, char *text)
{
	struct nm_profile p = {.ethernet = true};
	struct ini_entry e;
	struct ini i;

	ini_init(&i, text);
	while (ini_next(&i, &e))
		nm_entry(c, &p, &e);
	if (!p.line || p.elsewhere || !p.ethernet)
		return;
	conflict(c, path, p.line,
		"a NetworkManager profile with [sriov]: it destroys and makes the VFs whenever it "
		"is "
		"activated",
		"take the section [sriov] out: nmcli connection modify '%s' sriov.total-vfs 0 "
		"sriov.vfs '', then remove [sriov]",
		*p.id ? p.id : path);
}

/* A rule of match-device=, NetworkManager.conf(5): what is not known may fit. */
static bool nm_device_fits(const struct conflicts *c, const char *list)
{
	static const char sep[] = ",; ";
	bool fits = false;

	while (*list) {
		size_t n = strcspn(list, sep);
		char word[96];

		snprintf(word, sizeof(word), "%.*s", (int)n, list);
		if (!strncmp(word, "interface-name:", 15))
			fits |= conflict_names_fit(
				word + 15 + (word[15] == '='), sep, c->f->netdev);
		else if (!strncmp(word, "mac:", 4))
			fits |= conflict_mac_is(c, word + 4);
		else if (!strncmp(word, "driver:", 7))
			fits |= conflict_names_fit(word + 7, sep, c->f->driver);
		else if (!strncmp(word, "except:", 7))
			;
		else if (*word)
			fits = true;
		list += n;
		list += strspn(list, sep);
	}
	return fits;
}

void conflict_nm_conf_file(struct conflicts *c, const char *path, char *text)
{
	char section[INI_NAME_MAX] = "";
	unsigned at = 0;
	bool fits = true;
	struct ini_entry e;
	struct ini i;

	ini_init(&i, text);
	for (;;) {
		int more = ini_next(&i, &e);

		/* The end of a section: match-device= may come after what it is for. */
		if ((!more || !*e.key || strcmp(section, e.section)) && at && fits)
			conflict(c, path, at,
				"NetworkManager makes VFs on this device (sriov-num-vfs)",
				"take line %u (sriov-num-vfs=) out of [%s]", at, section);
		if (!more)
			return;
		if (!*e.key || strcmp(section, e.section)) {
			snprintf(section, sizeof(section), "%s", e.section);
			at = 0;
			fits = true;
		}
		if (strncmp(section, "device", 6))
			continue;
		if (!strcmp(e.key, "sriov-num-vfs"))
			at = e.line;
		else if (!strcmp(e.key, "match-device"))
			fits = nm_device_fits(c, e.value);
	}
}

/* The older files of Red Hat's: shell assignments. */
static void ifcfg_file(struct conflicts *c, const char *path)
{
	_cleanup_free_ char *text = NULL;
	struct ini_entry e;
	struct ini i;

	if (text_load(c->d->v, path, CONF_FILE_MAX, &text) <= 0)
		return;
	ini_init(&i, text);
	while (ini_next(&i, &e)) {
		if (!strcmp(e.key, "SRIOV_TOTAL_VFS")) {
			conflict(c, path, e.line, "a network script that makes VFs",
				"take the SRIOV_ lines out");
			return;
		}
	}
}

void conflict_networkmanager(struct conflicts *c)
{
	static const char *const profiles[] = {"etc/NetworkManager/system-connections",
		"run/NetworkManager/system-connections",
		"usr/lib/NetworkManager/system-connections", NULL};
	static const char *const conf[] = {"etc/NetworkManager", "etc/NetworkManager/conf.d",
		"run/NetworkManager/conf.d", "usr/lib/NetworkManager/conf.d", NULL};
	char path[VFM_NAME_MAX + 64];

	conflict_files(c, profiles, "", conflict_nm_profile_file);
	conflict_files(c, conf, ".conf", conflict_nm_conf_file);
	if (*c->f->netdev && name_is_plain(c->f->netdev)) {
		snprintf(
			path, sizeof(path), "etc/sysconfig/network-scripts/ifcfg-%s", c->f->netdev);
		ifcfg_file(c, path);
	}
}

/* ---- systemd-networkd and systemd-udevd ---- */

struct link_file {
	bool elsewhere, matches;
	unsigned line; /* of what makes or sets VFs */
	bool makes;
};

static void link_match(struct conflicts *c, struct link_file *l, const struct ini_entry *e)
{
	char id_path[BDF_STRLEN + 8];

	snprintf(id_path, sizeof(id_path), "pci-%s", c->bdf);
	l->matches = true;
	if (!*e->value)
		return;
	if (!strcmp(e->key, "OriginalName") || !strcmp(e->key, "Name"))
		l->elsewhere |= !conflict_names_fit(e->value, " \t", c->f->netdev);
	else if (!strcmp(e->key, "Path"))
		l->elsewhere |= !conflict_names_fit(e->value, " \t", id_path);
	else if (!strcmp(e->key, "Driver"))
		l->elsewhere |= !conflict_names_fit(e->value, " \t", c->f->driver);
	else if (!strcmp(e->key, "MACAddress") || !strcmp(e->key, "PermanentMACAddress"))
		l->elsewhere |= !*c->mac || !strcasestr(e->value, c->mac);
	else if (!strcmp(e->key, "Type"))
		l->elsewhere |= !conflict_names_fit(e->value, " \t", "ether");
}

static void link_file_read(struct conflicts *c, struct link_file *l, char *text)
{
	struct ini_entry e;
	struct ini i;

	ini_init(&i, text);
	while (ini_next(&i, &e)) {
		if (!strcmp(e.section, "Match") && *e.key) {
			link_match(c, l, &e);
		} else if (!strcmp(e.section, "Link") && !strcmp(e.key, "SR-IOVVirtualFunctions")) {
			l->line = e.line;
			l->makes = true;
		} else if (!strcmp(e.section, "SR-IOV") && !l->line) {
			l->line = e.line;
		}
	}
}

void conflict_link_file(struct conflicts *c, const char *path, char *text)
{
	struct link_file l = {0};
	char dropin[PATH_MAX], **names;
	bool own;

	link_file_read(c, &l, text);
	own = l.line;
	snprintf(dropin, sizeof(dropin), "%s.d", path);
	if (sysfs_list(&c->d->v->sys, dropin, &names) >= 0) {
		for (char **n = names; *n && !l.line; n++) {
			_cleanup_free_ char *more = NULL;

			snprintf(dropin, sizeof(dropin), "%s.d/%s", path, *n);
			if (text_load(c->d->v, dropin, CONF_FILE_MAX, &more) > 0)
				link_file_read(c, &l, more);
		}
		sysfs_list_free(names);
	}
	/* A file without [Match] is not for any device, systemd.link(5). */
	if (!l.line || l.elsewhere || !l.matches)
		return;
	conflict(c, own ? path : dropin, l.line,
		l.makes ? "systemd makes VFs when the interface appears (SR-IOVVirtualFunctions=)"
			: "systemd sets VFs ([SR-IOV])",
		l.makes ? "take SR-IOVVirtualFunctions= (line %u) and the [SR-IOV] sections out"
			: "take the [SR-IOV] sections (from line %u on) out",
		l.line);
}

void conflict_networkd(struct conflicts *c)
{
	static const char *const dirs[] = {"etc/systemd/network", "run/systemd/network",
		"usr/local/lib/systemd/network", "usr/lib/systemd/network", NULL};

	conflict_files(c, dirs, ".link", conflict_link_file);
	conflict_files(c, dirs, ".network", conflict_link_file);
}
