// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/conflicts.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"

void conflict(struct conflicts *c, const char *path, unsigned line, const char *what,
	const char *fix_fmt, ...)
{
	char fix[384], at[16] = "";
	va_list ap;

	if (line)
		snprintf(at, sizeof(at), ":%u", line);
	va_start(ap, fix_fmt);
	vsnprintf(fix, sizeof(fix), fix_fmt, ap);
	va_end(ap);
	c->found++;
	doctor_say(c->d, VFM_WARN, "/%s%s: %s", path, at, what);
	doctor_fix(c->d, "%s", fix);
}

static bool name_ends(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && !strcmp(name + n - m, suffix);
}

static bool is_hidden(
	struct conflicts *c, const char *const *dirs, const char *const *at, const char *name)
{
	char path[PATH_MAX];

	for (; dirs < at; dirs++) {
		snprintf(path, sizeof(path), "%s/%s", *dirs, name);
		if (sysfs_exists(&c->d->v->sys, path))
			return true;
	}
	return false;
}

static void note_denied(struct conflicts *c, int r)
{
	c->denied |= r == -EACCES || r == -EPERM;
}

void conflict_files(struct conflicts *c, const char *const *dirs, const char *suffix,
	void (*fn)(struct conflicts *c, const char *path, char *text))
{
	for (const char *const *dir = dirs; *dir; dir++) {
		char path[PATH_MAX], **names;
		unsigned read = 0;
		int r = sysfs_list(&c->d->v->sys, *dir, &names);

		note_denied(c, r);
		if (r < 0)
			continue;
		for (char **n = names; *n && read < CONF_FILES_MAX; n++) {
			_cleanup_free_ char *text = NULL;

			if (!name_ends(*n, suffix) || is_hidden(c, dirs, dir, *n))
				continue;
			read++;
			snprintf(path, sizeof(path), "%s/%s", *dir, *n);
			r = text_load(c->d->v, path, CONF_FILE_MAX, &text);
			note_denied(c, r);
			if (r > 0)
				fn(c, path, text);
		}
		sysfs_list_free(names);
	}
}

bool conflict_name_is(const struct conflicts *c, const char *value)
{
	return *c->f->netdev && !strcmp(value, c->f->netdev);
}

bool conflict_mac_is(const struct conflicts *c, const char *value)
{
	return *c->mac && !strcasecmp(value, c->mac);
}

bool conflict_names_fit(const char *list, const char *sep, const char *name)
{
	bool inverted = false, fits = false;

	if (*list == '!') {
		inverted = true;
		list++;
	}
	while (*list) {
		size_t n = strcspn(list, sep);
		char word[128];

		if (n && n < sizeof(word)) {
			memcpy(word, list, n);
			word[n] = '\0';
			fits |= fnmatch(word, name, 0) == 0;
		}
		list += n;
		list += strspn(list, sep);
	}
	return fits != inverted;
}

/* ---- scripts and rules that write the number themselves ---- */

/* Is @word in @text, with nothing beside it that could be part of a name? */
static bool names_it(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = text; n && (p = strstr(p, word)); p++) {
		bool before = p > text && (isalnum((unsigned char)p[-1]) || p[-1] == '_');
		bool after = isalnum((unsigned char)p[n]) || p[n] == '_';

		if (!before && !after)
			return true;
	}
	return false;
}

/* Does the line name another device than ours? */
static bool names_another(const struct conflicts *c, const char *line)
{
	if (names_it(line, c->bdf) || names_it(line, c->f->netdev))
		return false;
	return strstr(line, "/sys/class/net/") || strstr(line, "/sys/bus/pci/devices/") ||
	       strstr(line, "/sys/devices/") || strstr(line, "KERNEL==") || strstr(line, "NAME==");
}

void conflict_script_file(struct conflicts *c, const char *path, char *text)
{
	char *next = text, *line;

	for (unsigned at = 1; (line = line_next(&next)); at++) {
		line = line_trim(line);
		if (*line != '#' && strstr(line, "sriov_numvfs") && !names_another(c, line))
			conflict(c, path, at, "a line that sets sriov_numvfs by hand",
				"take line %u out; viaduct vf apply does it from a file", at);
	}
}

static void modprobe_file(struct conflicts *c, const char *path, char *text)
{
	char *next = text, *line, module[VFM_NAME_MAX];

	for (unsigned at = 1; (line = line_next(&next)); at++) {
		line = line_trim(line);
		if (sscanf(line, "options %63s", module) == 1 && !strcmp(module, c->f->driver) &&
			strstr(line, "max_vfs="))
			conflict(c, path, at, "its driver makes VFs when it is loaded (max_vfs)",
				"take max_vfs= out of line %u", at);
	}
}

static void scripts(struct conflicts *c)
{
	static const char *const files[] = {
		"etc/rc.local", "etc/rc.d/rc.local", "etc/network/interfaces"};
	static const char *const rules[] = {"etc/udev/rules.d", "run/udev/rules.d", NULL};
	static const char *const units[] = {"etc/systemd/system", "run/systemd/system", NULL};
	static const char *const modprobe[] = {
		"etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d", NULL};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *text = NULL;

		if (text_load(c->d->v, files[i], CONF_FILE_MAX, &text) > 0)
			conflict_script_file(c, files[i], text);
	}
	conflict_files(c, rules, ".rules", conflict_script_file);
	conflict_files(c, units, ".service", conflict_script_file);
	if (*c->f->driver)
		conflict_files(c, modprobe, ".conf", modprobe_file);
}

/* ---- the SR-IOV network operator ---- */

static void sriov_operator(struct conflicts *c)
{
	_cleanup_free_ char *text = NULL, *config = NULL;
	char path[96];
	json_t *o;

	snprintf(path, sizeof(path), "etc/sriov-operator/pci/%s", c->bdf);
	if (text_load(c->d->v, path, CONF_FILE_MAX, &text) > 0) {
		o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		if (!json_is_true(json_object_get(o, "externallyManaged")))
			conflict(c, path, 0, "the SR-IOV network operator manages this PF",
				"set externallyManaged: true in its SriovNetworkNodePolicy, or "
				"leave "
				"the PF to it");
		json_decref(o);
	}
	if (text_load(c->d->v, "etc/sriov-operator/sriov-interface-config.yaml", CONF_FILE_MAX,
		    &config) > 0 &&
		names_it(config, c->bdf) && !text)
		conflict(c, "etc/sriov-operator/sriov-interface-config.yaml", 0,
			"the SR-IOV network operator sets this PF up at boot",
			"take %s out of its SriovNetworkNodePolicy", c->bdf);
}

/* ---- driverctl ---- */

static void driverctl(struct conflicts *c)
{
	char path[64], driver[VFM_NAME_MAX];

	snprintf(path, sizeof(path), "etc/driverctl.d/%s", c->bdf);
	if (sysfs_read(&c->d->v->sys, path, driver, sizeof(driver)) > 0)
		conflict(c, path, 0, "driverctl binds it to a driver whenever it appears",
			"driverctl unset-override %s", c->bdf);
}

/* ---- the check ---- */

static void managed_elsewhere_run(struct doctor *d)
{
	struct conflicts c = {.d = d, .f = d->f};

	bdf_format(d->f->bdf, c.bdf);
	/* A VF's is the one its PF gives it; its interface is nothing that others are set up for. */
	if (d->f->has_mac && d->f->kind != VFM_VF)
		snprintf(c.mac, sizeof(c.mac), "%02x:%02x:%02x:%02x:%02x:%02x", d->f->mac[0],
			d->f->mac[1], d->f->mac[2], d->f->mac[3], d->f->mac[4], d->f->mac[5]);
	driverctl(&c);
	conflict_libvirt(&c);
	if (d->f->kind == VFM_PF) {
		conflict_networkmanager(&c);
		conflict_networkd(&c);
		conflict_netplan(&c);
		sriov_operator(&c);
		scripts(&c);
	}
	if (c.found)
		return;
	if (c.denied) {
		doctor_say(d, VFM_SKIP,
			"not all of the other tools' files may be read; the others "
			"do not name it");
		doctor_fix(d, "run as root");
		return;
	}
	doctor_say(d, VFM_PASS,
		d->f->kind == VFM_PF ? "no file of NetworkManager, systemd, netplan, libvirt, "
				       "driverctl, the SR-IOV "
				       "operator, udev or modprobe.d makes or sets its VFs"
				     : "no file of libvirt or driverctl has it");
}

const struct doctor_check doctor_managed_elsewhere = {
	.id = "managed-elsewhere",
	.title = "no other tool manages it",
	.scope = DOCTOR_DEVICE,
	.kinds = KIND_ANY,
	.run = managed_elsewhere_run,
};
