// SPDX-License-Identifier: GPL-2.0-or-later
/* The formats that are JSON, in whole or in part. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/export_priv.h"

static int json_write(json_t *top, size_t flags, FILE *out, struct err *e)
{
	int r = top ? json_dumpf(top, out, flags | JSON_ENSURE_ASCII) : -1;

	json_decref(top);
	return r < 0 ? err_sys(e, ENOMEM, "export") : 0;
}

static json_t *hex_id(unsigned id)
{
	return json_sprintf("%04x", id);
}

static json_t *bdf_json(struct bdf b)
{
	char name[BDF_STRLEN];

	return json_string(bdf_format(b, name));
}

/* --- Kubernetes' SR-IOV network device plugin: README, "Config parameters" and "Selectors" --- */

static int plugin_check(const struct vfm_export *x, const struct vfm_function *f, struct err *e)
{
	char b[BDF_STRLEN];

	if (class_of(f) == CLASS_NETWORK || class_of(f) == CLASS_ACCELERATOR)
		return 0;
	return err_set(e, ENOTSUP,
		"%s (class %04x) is neither a network card nor an accelerator, and the device "
		"plugin knows no others: export it to cdi or libvirt",
		bdf_format(f->bdf, b), f->class >> 8);
}

static int plugin_name(const char *name, struct err *e)
{
	return export_name_check(name, "_", "a resource of the device plugin", e);
}

/* Functions that one selector object can stand for. */
static bool selects_both(const struct vfm_function *a, const struct vfm_function *b)
{
	return a->vendor == b->vendor && a->device == b->device && !strcmp(a->driver, b->driver) &&
	       a->kind == b->kind && class_of(a) == class_of(b);
}

static int index_order(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* "0000:3b:00.0#0-3,5": VFs of one PF, which keep their numbers when addresses move. */
static json_t *root_device(const struct vfm_function *f, size_t n, struct bdf pf,
	const struct vfm_function *like, int *scratch)
{
	char name[BDF_STRLEN], *text = NULL;
	size_t len = 0, found = 0;
	json_t *o;
	FILE *out;

	for (size_t i = 0; i < n; i++)
		if (bdf_equal(f[i].pf, pf) && selects_both(&f[i], like))
			scratch[found++] = f[i].index;
	qsort(scratch, found, sizeof(*scratch), index_order);
	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	fprintf(out, "%s", bdf_format(pf, name));
	for (size_t i = 0, end; i < found; i = end) {
		for (end = i + 1; end < found && scratch[end] == scratch[end - 1] + 1; end++)
			;
		fprintf(out, "%c%d", i ? ',' : '#', scratch[i]);
		if (end > i + 1)
			fprintf(out, "-%d", scratch[end - 1]);
	}
	o = fclose(out) == 0 ? json_string(text) : NULL;
	free(text);
	return o;
}

/* One selector object for all that are like f[first]; its own place is the first among them. */
static json_t *selector(const struct vfm_function *f, size_t n, size_t first, int *scratch)
{
	const struct vfm_function *like = &f[first];
	json_t *o = json_pack("{s:[o], s:[o], s:[s]}", "vendors", hex_id(like->vendor), "devices",
		hex_id(like->device), "drivers", like->driver);
	/* Accelerators have no rootDevices. */
	bool by_pf = like->kind == VFM_VF && class_of(like) == CLASS_NETWORK;
	json_t *list = json_array();

	for (size_t i = first; i < n; i++) {
		bool seen = false;

		if (!selects_both(&f[i], like))
			continue;
		for (size_t k = first; by_pf && k < i; k++)
			seen |= selects_both(&f[k], like) && bdf_equal(f[k].pf, f[i].pf);
		if (!by_pf)
			json_array_append_new(list, bdf_json(f[i].bdf));
		else if (!seen)
			json_array_append_new(list, root_device(f, n, f[i].pf, like, scratch));
	}
	json_object_set_new(o, by_pf ? "rootDevices" : "pciAddresses", list);
	return o;
}

static int plugin_write(const struct vfm_export *x, const char *name, FILE *out, struct err *e)
{
	_cleanup_free_ int *scratch = calloc(x->n, sizeof(*scratch));
	bool accelerator = class_of(&x->f[0]) == CLASS_ACCELERATOR;
	json_t *selectors = json_array(), *resource, *top;
	char a[BDF_STRLEN], b[BDF_STRLEN];

	for (size_t i = 0; scratch && i < x->n; i++) {
		bool seen = false;

		if ((class_of(&x->f[i]) == CLASS_ACCELERATOR) != accelerator) {
			json_decref(selectors);
			return err_set(e, ENOTSUP,
				"%s and %s are a network card and an accelerator, which cannot be "
				"one resource: export them apart, each with its --name",
				bdf_format(x->f[0].bdf, a), bdf_format(x->f[i].bdf, b));
		}
		for (size_t k = 0; k < i; k++)
			seen |= selects_both(&x->f[k], &x->f[i]);
		if (!seen)
			json_array_append_new(selectors, selector(x->f, x->n, i, scratch));
	}
	if (!scratch) {
		json_decref(selectors);
		return err_sys(e, ENOMEM, "export");
	}
	resource = json_pack("{s:s, s:s, s:o}", "resourceName", name, "deviceType",
		accelerator ? "accelerator" : "netDevice", "selectors", selectors);
	top = json_pack("{s:[o]}", "resourceList", resource);
	if (json_write(top, JSON_INDENT(2), out, e) < 0)
		return -ENOMEM;
	fputc('\n', out);
	return 0;
}

const struct export_format export_device_plugin = {
	.name = "device-plugin",
	.default_name = "viaduct_vfs",
	.check = plugin_check,
	.check_name = plugin_name,
	.write = plugin_write,
};

/* --- Container Device Interface: SPEC.md --- */

/* The lowest version with all that is used, since a reader refuses newer ones: digits first in a
 * device's name came with it. */
#define CDI_VERSION "0.5.0"
#define CDI_VENDOR  "viaduct"

static int cdi_check(const struct vfm_export *x, const struct vfm_function *f, struct err *e)
{
	char b[BDF_STRLEN];

	bdf_format(f->bdf, b);
	if (x->iommufd && !*f->vfio_cdev)
		return err_set(e, ENOTSUP,
			"%s has no node in /dev/vfio/devices: this kernel's VFIO is without "
			"iommufd (CONFIG_VFIO_DEVICE_CDEV, Linux 6.6), or leave --iommufd out",
			b);
	if (!x->iommufd && f->iommu_group < 0)
		return err_set(e, ENOTSUP,
			"%s has no IOMMU group and so no node in /dev/vfio: 'viaduct doctor' tells "
			"how to turn the IOMMU on",
			b);
	return 0;
}

static int cdi_name(const char *name, struct err *e)
{
	return export_name_check(name, "_-", "a CDI class", e);
}

static json_t *cdi_device(const struct vfm_export *x, const struct vfm_function *f)
{
	char name[BDF_STRLEN], variable[BDF_STRLEN];
	json_t *node;

	bdf_format(f->bdf, name);
	bdf_format(f->bdf, variable);
	for (char *c = variable; *c; c++)
		*c = *c == ':' || *c == '.' ? '_' : *c;
	node = x->iommufd ? json_sprintf("/dev/vfio/devices/%s", f->vfio_cdev)
			  : json_sprintf("/dev/vfio/%d", f->iommu_group);
	return json_pack("{s:s, s:{s:[o], s:[{s:o, s:s}]}}", "name", name, "containerEdits", "env",
		json_sprintf("PCIDEVICE_%s=%s", variable, name), "deviceNodes", "path", node,
		"permissions", "rw");
}

static int cdi_write(const struct vfm_export *x, const char *name, FILE *out, struct err *e)
{
	char a[BDF_STRLEN], b[BDF_STRLEN];
	json_t *devices, *top;

	for (size_t i = 0; !x->iommufd && i < x->n; i++)
		for (size_t k = i + 1; k < x->n; k++)
			if (x->f[i].iommu_group == x->f[k].iommu_group)
				return err_set(e, ENOTSUP,
					"%s and %s are in IOMMU group %d: who is given the node of "
					"one reaches the other; export one of them",
					bdf_format(x->f[i].bdf, a), bdf_format(x->f[k].bdf, b),
					x->f[i].iommu_group);
	devices = json_array();
	for (size_t i = 0; i < x->n; i++)
		json_array_append_new(devices, cdi_device(x, &x->f[i]));
	/* What every device needs besides its own node. */
	top = json_pack("{s:s, s:o, s:o, s:{s:[{s:s, s:s}]}}", "cdiVersion", CDI_VERSION, "kind",
		json_sprintf(CDI_VENDOR "/%s", name), "devices", devices, "containerEdits",
		"deviceNodes", "path", x->iommufd ? "/dev/iommu" : "/dev/vfio/vfio", "permissions",
		"rw");
	if (json_write(top, JSON_INDENT(2), out, e) < 0)
		return -ENOMEM;
	fputc('\n', out);
	return 0;
}

const struct export_format export_cdi = {
	.name = "cdi",
	.needs_vfio = true,
	.default_name = "vf",
	.check = cdi_check,
	.check_name = cdi_name,
	.write = cdi_write,
};

/* --- OpenStack Nova: [pci] device_spec, nova/conf/pci.py --- */

static int nova_check(const struct vfm_export *x, const struct vfm_function *f, struct err *e)
{
	return export_domain_check(f, "Nova", e);
}

/* No '$', which oslo.config would replace. */
static int nova_name(const char *name, struct err *e)
{
	return export_name_check(name, "_-.:", "a physical network", e);
}

static int nova_write(const struct vfm_export *x, const char *name, FILE *out, struct err *e)
{
	fputs("[pci]\n", out);
	for (size_t i = 0; i < x->n; i++) {
		const struct vfm_function *f = &x->f[i];
		json_t *o = json_pack("{s:o, s:o, s:o}", "vendor_id", hex_id(f->vendor),
			"product_id", hex_id(f->device), "address", bdf_json(f->bdf));

		if (name && class_of(f) == CLASS_NETWORK)
			json_object_set_new(o, "physical_network", json_string(name));
		json_object_set_new(o, "managed", json_string("no"));
		fputs("device_spec = ", out);
		if (json_write(o, JSON_COMPACT, out, e) < 0)
			return -ENOMEM;
		fputc('\n', out);
	}
	return 0;
}

const struct export_format export_nova = {
	.name = "nova",
	.needs_vfio = true,
	.check = nova_check,
	.check_name = nova_name,
	.write = nova_write,
};
