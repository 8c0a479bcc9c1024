// SPDX-License-Identifier: GPL-2.0-or-later
/* Other managers of VFs that write down what they gave to whom: sriov-cni and libvirt. */
#include "vf-manager/usage_parts.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define DOMAIN_DIR "run/libvirt/qemu"
#define DOMAIN_MAX (4u << 20) /* bytes of one domain's state; real ones have some 10 KiB */

/*
 * A file per function with the path of the network namespace it went to; its own rule is that the
 * file means nothing once that namespace is gone.
 */
static void cni_claim(struct vfm *v, struct bdf b, struct claim *ret)
{
	static const char *const dirs[] = {"var/lib/cni/sriov/pci", "var/lib/cni/sriov"};
	char name[BDF_STRLEN], path[128], netns[256];

	*ret->text = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		int n;

		snprintf(path, sizeof(path), "%s/%s", dirs[i], bdf_format(b, name));
		if (!sysfs_exists(&v->sys, path))
			continue;
		n = sysfs_read(&v->sys, path, netns, sizeof(netns));
		if (n > 1 && netns[0] == '/' && !sysfs_exists(&v->sys, netns + 1))
			continue;
		/* Unreadable: somebody's all the same. */
		snprintf(ret->text, sizeof(ret->text), "sriov-cni gave it to %.100s",
			n > 0 ? netns : "a network namespace");
		return;
	}
}

/* The value of attribute @key of the element that begins at @p; -1 when it is not there. */
static long attribute(const char *p, const char *end, const char *key)
{
	size_t n = strlen(key);

	for (; p + n + 2 < end && *p != '>'; p++) {
		if (isspace((unsigned char)*p) && !strncmp(p + 1, key, n) && p[n + 1] == '=' &&
			(p[n + 2] == '\'' || p[n + 2] == '"'))
			return strtol(p + n + 3, NULL, 0);
	}
	return -1;
}

/*
 * Is there a <source> that holds an <address> with these numbers: of a hostdev, an interface or an
 * NVMe disk. The address a guest sees is outside of it. @xml ends with a NUL.
 */
static bool domain_has(const char *xml, struct bdf b)
{
	const char *p = xml;

	while ((p = strstr(p, "<source"))) {
		const char *open = strchr(p, '>'), *end, *address;

		if (!open)
			return false;
		p = open;
		if (open[-1] == '/')
			continue;
		end = strstr(open, "</source>");
		if (!end)
			return false;
		address = strstr(open, "<address");
		if (address && address < end &&
			attribute(address, end, "domain") == (long)b.domain &&
			attribute(address, end, "bus") == b.bus &&
			attribute(address, end, "slot") == b.dev &&
			attribute(address, end, "function") == b.fn)
			return true;
	}
	return false;
}

/* The state of a domain is a file while it runs; root's. */
static void libvirt_claims(struct vfm *v, const struct bdf *b, size_t n, struct claim *ret)
{
	_cleanup_names_ char **names = NULL;
	_cleanup_free_ char *xml = NULL;

	if (sysfs_list(&v->sys, DOMAIN_DIR, &names) <= 0)
		return;
	xml = malloc(DOMAIN_MAX);
	for (char **name = names; xml && *name; name++) {
		size_t len = strlen(*name);
		char path[PATH_MAX];

		snprintf(path, sizeof(path), DOMAIN_DIR "/%s", *name);
		if (len < 5 || strcmp(*name + len - 4, ".xml") ||
			sysfs_read(&v->sys, path, xml, DOMAIN_MAX) <= 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			if (!*ret[i].text && domain_has(xml, b[i]))
				snprintf(ret[i].text, sizeof(ret[i].text),
					"libvirt gave it to domain %.*s",
					(int)(len - 4 < 64 ? len - 4 : 64), *name);
		}
	}
}

void claims_read(struct vfm *v, const struct bdf *b, size_t n, struct claim *ret)
{
	for (size_t i = 0; i < n; i++)
		cni_claim(v, b[i], &ret[i]);
	libvirt_claims(v, b, n, ret);
	for (size_t i = 0; i < n; i++) {
		for (char *c = ret[i].text; *c; c++) {
			if (!isprint((unsigned char)*c))
				*c = '?';
		}
	}
}
