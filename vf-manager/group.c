// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/group.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"

#define CLASS_PCI_BRIDGE  0x0604 /* PCI Code and ID Assignment 1.11 §1.7 */
#define CLASS_SEMI_BRIDGE 0x0609

bool vfm_driver_manages_no_dma(const char *driver)
{
	static const char *const names[] = {"vfio_pci", "vfio_platform", "vfio_amba", "vfio_fsl_mc",
		"vfio_cdx", "pci_stub", "pcieport"};
	static const char variant[] = "_vfio_pci"; /* mlx5_vfio_pci, nvgrace-gpu-vfio-pci, ... */
	char name[VFM_NAME_MAX];
	size_t len;

	/* Cut to fit, another could look like VFIO's. */
	if (strlen(driver) >= sizeof(name))
		return false;
	/* Modules are written either way. */
	snprintf(name, sizeof(name), "%s", driver);
	for (char *c = name; *c; c++) {
		if (*c == '-')
			*c = '_';
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(names[i], name))
			return true;
	}
	len = strlen(name);
	return len >= sizeof(variant) && !strcmp(name + len - (sizeof(variant) - 1), variant);
}

/* "0x00000000fee00000" and then @after. */
static bool address_parse(const char **at, char after, uint64_t *ret)
{
	const char *s = *at;
	uint64_t n = 0;
	int digits;

	if (s[0] != '0' || s[1] != 'x')
		return false;
	s += 2;
	for (digits = 0; isxdigit((unsigned char)*s); digits++, s++)
		n = n << 4 |
		    (uint64_t)(isdigit((unsigned char)*s) ? *s - '0' : (*s | 0x20) - 'a' + 10);
	if (digits < 1 || digits > 16 || *s != after)
		return false;
	*at = s + 1;
	*ret = n;
	return true;
}

/* One line: "0x00000000fee00000 0x00000000feefffff msi". */
static int region_parse(const char *line, size_t len, struct vfm_regions *to)
{
	const char *s = line;
	uint64_t start, end;
	char type[24];
	size_t n;

	if (!address_parse(&s, ' ', &start) || !address_parse(&s, ' ', &end) || end < start)
		return -EINVAL;
	n = len - (size_t)(s - line);
	if (n >= sizeof(type))
		return -EINVAL;
	memcpy(type, s, n);
	type[n] = '\0';
	if (!strcmp(type, "direct")) {
		if (!to->direct++) {
			to->direct_start = start;
			to->direct_end = end;
		}
	} else if (!strcmp(type, "direct-relaxable")) {
		to->relaxable++;
	} else if (!strcmp(type, "reserved")) {
		to->reserved++;
	} else if (!strcmp(type, "msi")) {
		if (!to->msi++) {
			to->msi_start = start;
			to->msi_end = end;
		}
	} else {
		return -EINVAL;
	}
	return 0;
}

int vfm_regions_parse(const char *text, struct vfm_regions *ret)
{
	struct vfm_regions g = {0};
	const char *end;

	for (; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		if (end != text && region_parse(text, (size_t)(end - text), &g) < 0)
			return -EINVAL;
	}
	*ret = g;
	return 0;
}

static int group_number(struct vfm *v, struct bdf b, int *ret)
{
	char path[PATH_MAX], name[16], *end;
	long n;
	int r;

	r = sysfs_link_name(
		&v->sys, sysfs_pci_path(b, "iommu_group", path, sizeof(path)), name, sizeof(name));
	if (r < 0)
		return r;
	n = strtol(name, &end, 10);
	if (!isdigit((unsigned char)*name) || *end || n > INT_MAX)
		return -EIO;
	*ret = (int)n;
	return 0;
}

static bool class_is_bridge(uint64_t class)
{
	return class >> 8 == CLASS_PCI_BRIDGE || class >> 8 == CLASS_SEMI_BRIDGE;
}

static void member_read(struct vfm *v, int number, const char *name, struct vfm_member *m)
{
	char path[PATH_MAX], driver[NAME_MAX + 1];
	uint64_t class;
	int r;

	*m = (struct vfm_member){0};
	copy_printable(m->name, sizeof(m->name), name);
	m->pci = bdf_parse(name, &m->bdf) == 0;
	if (m->pci) {
		r = sysfs_link_name(&v->sys, sysfs_pci_path(m->bdf, "driver", path, sizeof(path)),
			driver, sizeof(driver));
		m->bridge = dev_read_u64(v, m->bdf, "class", &class) == 0 && class_is_bridge(class);
	} else {
		snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d/devices/%s/driver", number,
			name);
		r = sysfs_link_name(&v->sys, path, driver, sizeof(driver));
	}
	if (r == -ENOENT)
		return;
	copy_printable(m->driver, sizeof(m->driver), r < 0 || !*driver ? "?" : driver);
	m->blocks = r < 0 || !vfm_driver_manages_no_dma(driver);
}

static int member_cmp(const void *a, const void *b)
{
	const struct vfm_member *x = a, *y = b;

	if (x->pci != y->pci)
		return x->pci ? -1 : 1;
	if (!x->pci)
		return strcmp(x->name, y->name);
	if (x->bdf.domain != y->bdf.domain)
		return x->bdf.domain < y->bdf.domain ? -1 : 1;
	return (int)bdf_rid(x->bdf) - (int)bdf_rid(y->bdf);
}

static void text_read(struct vfm *v, int number, const char *attr, char *buf, size_t size)
{
	char path[PATH_MAX], text[64];

	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d/%s", number, attr);
	if (sysfs_read(&v->sys, path, text, sizeof(text)) < 0)
		*text = '\0';
	copy_printable(buf, size, text);
}

static bool rmrr_read(struct vfm *v, int number)
{
	_cleanup_free_ char *text = malloc(65536);
	char path[PATH_MAX];
	struct vfm_regions g;

	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d/reserved_regions", number);
	return text && sysfs_read(&v->sys, path, text, 65536) >= 0 &&
	       vfm_regions_parse(text, &g) == 0 && g.direct;
}

static bool group_has(const struct vfm_group *g, struct bdf b)
{
	for (size_t i = 0; i < g->n; i++) {
		if (g->member[i].pci && bdf_equal(g->member[i].bdf, b))
			return true;
	}
	return false;
}

int vfm_group(struct vfm *v, struct bdf b, struct vfm_group **ret, struct err *e)
{
	_cleanup_free_ struct vfm_group *g = NULL;
	_cleanup_names_ char **names = NULL;
	char name[BDF_STRLEN], path[PATH_MAX], label[32];
	int number, r;

	bdf_format(b, name);
	if (!sysfs_exists(&v->sys, sysfs_pci_path(b, "", path, sizeof(path))))
		return err_set(
			e, ENODEV, "%s: no such PCI function ('viaduct vf list' shows them)", name);
	r = group_number(v, b, &number);
	if (r == -ENOENT)
		return err_set(e, ENOENT,
			"%s: in no IOMMU group: switch the IOMMU on in the firmware and, on Intel, "
			"start the kernel with intel_iommu=on",
			name);
	if (r < 0)
		return err_sys(e, EIO, "%s: its link iommu_group leads to no group", name);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d/devices", number);
	r = sysfs_list(&v->sys, path, &names);
	if (r < 0)
		return err_set(e, r == -ENOMEM ? ENOMEM : EIO,
			"%s: cannot list IOMMU group %d in /%s", name, number, path);
	g = calloc(1, sizeof(*g) + (size_t)r * sizeof(g->member[0]));
	if (!g)
		return err_sys(e, ENOMEM, "%s: IOMMU group %d", name, number);
	g->number = number;
	text_read(v, number, "type", g->type, sizeof(g->type));
	text_read(v, number, "name", label, sizeof(label));
	g->no_iommu = !strcmp(label, "vfio-noiommu");
	g->rmrr = rmrr_read(v, number);
	for (char **n = names; *n; n++)
		member_read(v, number, *n, &g->member[g->n++]);
	qsort(g->member, g->n, sizeof(g->member[0]), member_cmp);
	/* A list without @b is not its group's: whoever else is in it stays unknown. */
	if (!group_has(g, b))
		return err_set(e, EIO, "%s: not among the devices of IOMMU group %d", name, number);
	*ret = g;
	g = NULL;
	return 0;
}
