// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/select.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/linkinfo.h"

enum form { FORM_ADDRESS, FORM_NAME, FORM_MAC, FORM_PATH };

struct selector {
	enum form form;
	const char *text; /* as given */
	struct bdf bdf;
	uint8_t mac[6];
	char path[PATH_MAX]; /* as vfm_path_format() writes it */
};

/* "1c.0" at *@s, up to '/' or the end. */
static bool slot_parse(const char **s, unsigned *ret_dev, unsigned *ret_fn)
{
	char *end;

	if (!isxdigit((unsigned char)**s))
		return false;
	*ret_dev = (unsigned)strtoul(*s, &end, 16);
	if (end - *s > 2 || *end != '.' || !isdigit((unsigned char)end[1]))
		return false;
	*ret_fn = (unsigned)(end[1] - '0');
	*s = end + 2;
	return *ret_dev < 32 && *ret_fn < 8 && (**s == '/' || !**s);
}

/* Bring "0:1c.0/0.0" into the one form that is compared. */
static bool path_parse(const char *s, char *buf, size_t size)
{
	char first[BDF_STRLEN], name[BDF_STRLEN];
	size_t len = strcspn(s, "/");
	struct bdf b;
	size_t n;

	if (len >= sizeof(first))
		return false;
	memcpy(first, s, len);
	first[len] = '\0';
	if (bdf_parse(first, &b) < 0)
		return false;
	n = (size_t)snprintf(buf, size, "path=%s", bdf_format(b, name));
	for (s += len; *s;) {
		unsigned dev, fn;

		s++;
		if (!slot_parse(&s, &dev, &fn))
			return false;
		n += (size_t)snprintf(buf + n, size - n, "/%02x.%u", dev, fn);
		if (n >= size)
			return false;
	}
	return true;
}

/* As dev_valid_name() of the kernel; alternative names are longer than names. */
static bool ifname_is_valid(const char *s)
{
	if (!strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (; *s; s++) {
		if (!isgraph((unsigned char)*s) || strchr("/:=", *s))
			return false;
	}
	return true;
}

static int selector_parse(const char *text, struct selector *ret, struct err *e)
{
	*ret = (struct selector){.text = text};
	if (!*text || strlen(text) >= VFM_SELECTOR_MAX)
		return err_set(e, EINVAL,
			"a selector has 1 to %d characters: an address (0000:3b:00.0), an "
			"interface's name, mac= or path=",
			VFM_SELECTOR_MAX - 1);
	if (!strncmp(text, "mac=", 4)) {
		ret->form = FORM_MAC;
		if (!mac_parse(text + 4, ret->mac))
			return err_set(e, EINVAL,
				"'%s': mac= takes an address such as 52:54:00:12:34:56", text);
		return 0;
	}
	if (!strncmp(text, "path=", 5)) {
		ret->form = FORM_PATH;
		if (!path_parse(text + 5, ret->path, sizeof(ret->path)))
			return err_set(e, EINVAL,
				"'%s': path= takes an address on a root bus and the "
				"device.function of each level below it, such as "
				"0000:00:1c.0/00.0",
				text);
		return 0;
	}
	if (bdf_parse(text, &ret->bdf) == 0) {
		ret->form = FORM_ADDRESS;
		return 0;
	}
	ret->form = FORM_NAME;
	if (!ifname_is_valid(text))
		return err_set(e, EINVAL,
			"'%s' is neither a PCI address (0000:3b:00.0), nor an interface's name, "
			"nor mac= or path=",
			text);
	return 0;
}

int vfm_selector_check(const char *text, struct err *e)
{
	struct selector s;

	return selector_parse(text, &s, e);
}

int vfm_path_format(struct vfm *v, struct bdf b, char *buf, size_t size)
{
	char path[PATH_MAX], target[PATH_MAX], *save = NULL;
	size_t n = 0;
	ssize_t len;

	len = readlinkat(v->sys.root_fd, sysfs_pci_path(b, "", path, sizeof(path)), target,
		sizeof(target) - 1);
	if (len < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	target[len] = '\0';
	*buf = '\0';
	for (char *s = strtok_r(target, "/", &save); s; s = strtok_r(NULL, "/", &save)) {
		struct bdf at;
		char name[BDF_STRLEN];

		/* A new root bus: behind VMD there is one below a function of another domain. */
		if (!strncmp(s, "pci", 3))
			n = 0;
		if (bdf_parse(s, &at) < 0)
			continue;
		if (n == 0)
			n = (size_t)snprintf(buf, size, "path=%s", bdf_format(at, name));
		else
			n += (size_t)snprintf(buf + n, size - n, "/%02x.%u", at.dev, at.fn);
		if (n >= size)
			return -ENAMETOOLONG;
	}
	return n ? 0 : -ENODEV;
}

/* The address it has now is the permanent one unless it was set. */
static bool permanent_from_sysfs(
	struct vfm *v, struct bdf b, const char *netdev, uint8_t ret[static 6])
{
	char attr[VFM_NAME_MAX + 32], text[32], path[PATH_MAX];
	uint64_t type;

	snprintf(attr, sizeof(attr), "net/%s/addr_assign_type", netdev);
	if (dev_read_u64(v, b, attr, &type) == 0 && type != 0)
		return false;
	snprintf(attr, sizeof(attr), "net/%s/address", netdev);
	sysfs_pci_path(b, attr, path, sizeof(path));
	return sysfs_read(&v->sys, path, text, sizeof(text)) >= 0 && mac_parse(text, ret);
}

/* Is one of the function's interfaces the one that is meant? */
static bool interface_fits(
	struct vfm *v, struct bdf b, const char *netdev, const struct selector *s, bool alt)
{
	static const uint8_t none[6];
	struct link_info link = {0};
	char attr[VFM_NAME_MAX + 32];
	uint8_t mac[6];
	uint64_t index;

	if (s->form == FORM_NAME && !alt)
		return !strcmp(netdev, s->text);
	snprintf(attr, sizeof(attr), "net/%s/ifindex", netdev);
	if (dev_read_u64(v, b, attr, &index) == 0 && index && index <= INT_MAX)
		link_info_get(v, (int)index, &link);
	for (unsigned i = 0; s->form == FORM_NAME && i < link.n_alt; i++) {
		if (!strcmp(link.alt[i], s->text))
			return true;
	}
	if (s->form == FORM_NAME)
		return false;
	if (memcmp(link.permanent, none, 6))
		return !memcmp(link.permanent, s->mac, 6);
	/* rtnetlink does not tell. */
	return permanent_from_sysfs(v, b, netdev, mac) && !memcmp(mac, s->mac, 6);
}

static bool function_fits(struct vfm *v, struct bdf b, const struct selector *s, bool alt)
{
	char path[PATH_MAX], **names;
	bool fits = false;

	if (s->form == FORM_PATH)
		return vfm_path_format(v, b, path, sizeof(path)) == 0 && !strcmp(path, s->path);
	if (sysfs_list(&v->sys, sysfs_pci_path(b, "net", path, sizeof(path)), &names) < 0)
		return false;
	for (char **n = names; *n && !fits; n++)
		fits = strlen(*n) < VFM_NAME_MAX && interface_fits(v, b, *n, s, alt);
	sysfs_list_free(names);
	return fits;
}

/* Those that fit: their number, the first two in @ret. */
static unsigned functions_fit(struct vfm *v, const struct selector *s, bool alt,
	const struct bdf *all, int n, struct bdf ret[static 2])
{
	unsigned found = 0;

	for (int i = 0; i < n; i++) {
		if (!function_fits(v, all[i], s, alt))
			continue;
		if (found < 2)
			ret[found] = all[i];
		found++;
	}
	return found;
}

int vfm_select(struct vfm *v, const char *text, struct bdf *ret, struct err *e)
{
	char path[PATH_MAX], one[BDF_STRLEN], two[BDF_STRLEN];
	_cleanup_free_ struct bdf *all = NULL;
	struct bdf hit[2];
	struct selector s;
	unsigned found;
	int n;

	n = selector_parse(text, &s, e);
	if (n < 0)
		return n;
	if (s.form == FORM_ADDRESS) {
		if (!sysfs_exists(&v->sys, sysfs_pci_path(s.bdf, "", path, sizeof(path))))
			return err_set(e, ENODEV,
				"%s: no such PCI function ('viaduct vf list' shows them)", text);
		*ret = s.bdf;
		return 0;
	}
	n = functions_list(v, &all);
	if (n < 0)
		return err_sys(e, -n, "list PCI devices in /sys/bus/pci/devices");
	found = functions_fit(v, &s, false, all, n, hit);
	if (!found && s.form == FORM_NAME)
		found = functions_fit(v, &s, true, all, n, hit);
	if (!found)
		return err_set(e, ENODEV,
			"%s: no PCI function has this %s ('viaduct vf list' shows those here; an "
			"interface in another network namespace is not seen)",
			text,
			s.form == FORM_NAME  ? "interface"
			: s.form == FORM_MAC ? "permanent address"
					     : "path");
	if (found > 1)
		return err_set(e, ENOTUNIQ, "%s: %u functions fit, %s and %s first: use an address",
			text, found, bdf_format(hit[0], one), bdf_format(hit[1], two));
	*ret = hit[0];
	return 0;
}

#define SELECTORS_MAX 64

struct selectors {
	char (*text)[VFM_SELECTOR_MAX];
	int n;
};

static void selector_add(struct selectors *s, const char *prefix, const char *text)
{
	struct selector parsed;

	if (s->n == SELECTORS_MAX ||
		snprintf(s->text[s->n], VFM_SELECTOR_MAX, "%s%s", prefix, text) >= VFM_SELECTOR_MAX)
		return;
	/* Such as a name that is an address too, or has a '='. */
	if (selector_parse(s->text[s->n], &parsed, NULL) == 0 &&
		(*prefix || s->n == 0 || parsed.form == FORM_NAME))
		s->n++;
}

static void mac_add(struct selectors *s, const uint8_t mac[static 6])
{
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	selector_add(s, "mac=", text);
}

int vfm_selectors(struct vfm *v, struct bdf b, char (**ret)[VFM_SELECTOR_MAX])
{
	static const uint8_t none[6];
	struct selectors s = {.text = calloc(SELECTORS_MAX, VFM_SELECTOR_MAX)};
	char path[PATH_MAX], name[BDF_STRLEN];
	struct link_info link = {0};
	struct vfm_function f;

	if (!s.text)
		return -ENOMEM;
	if (function_read(v, b, &f) < 0) {
		free(s.text);
		return -ENODEV;
	}
	selector_add(&s, "", bdf_format(b, name));
	if (*f.netdev)
		selector_add(&s, "", f.netdev);
	if (f.ifindex > 0)
		link_info_get(v, f.ifindex, &link);
	for (unsigned i = 0; i < link.n_alt; i++)
		selector_add(&s, "", link.alt[i]);
	if (memcmp(link.permanent, none, 6))
		mac_add(&s, link.permanent);
	else if (*f.netdev && permanent_from_sysfs(v, b, f.netdev, link.permanent))
		mac_add(&s, link.permanent);
	if (vfm_path_format(v, b, path, sizeof(path)) == 0)
		selector_add(&s, "path=", path + strlen("path="));
	*ret = s.text;
	return s.n;
}
