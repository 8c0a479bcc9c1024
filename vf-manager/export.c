// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/export.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vf-manager/export_priv.h"

#define NAME_MAX_LEN 63 /* the shortest of their limits */

static const struct export_format *const formats[] = {
	[VFM_EXPORT_DEVICE_PLUGIN] = &export_device_plugin,
	[VFM_EXPORT_CDI] = &export_cdi,
	[VFM_EXPORT_LIBVIRT] = &export_libvirt,
	[VFM_EXPORT_NOVA] = &export_nova,
};

const char *vfm_export_name(enum vfm_export_format format)
{
	return formats[format]->name;
}

int vfm_export_parse(const char *name, enum vfm_export_format *ret, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (strcmp(formats[i]->name, name) != 0)
			continue;
		*ret = (enum vfm_export_format)i;
		return 0;
	}
	return err_set(e, EINVAL,
		"'%s' is nothing to export to; there are device-plugin, cdi, libvirt and nova",
		name);
}

int export_name_check(const char *name, const char *also, const char *what, struct err *e)
{
	size_t n = strlen(name);
	bool good = n > 0 && n <= NAME_MAX_LEN && isalnum((unsigned char)*name) &&
		    isalnum((unsigned char)name[n - 1]);

	for (const char *c = name; *c && good; c++)
		good = isalnum((unsigned char)*c) || strchr(also, *c);
	if (good)
		return 0;
	return err_set(e, EINVAL,
		"--name %s: %s has letters, digits and '%s' in it, a letter or digit first and "
		"last, and at most %d of them",
		name, what, also, NAME_MAX_LEN);
}

int export_domain_check(const struct vfm_function *f, const char *who, struct err *e)
{
	char b[BDF_STRLEN];

	if (f->bdf.domain <= 0xffff)
		return 0;
	return err_set(e, ENOTSUP,
		"%s: %s knows PCI domains of 16 bits only, and this is VMD's: turn VMD off for its "
		"slot in the firmware set-up",
		bdf_format(f->bdf, b), who);
}

int vfm_export_check(const struct vfm_export *x, const struct vfm_function *f, struct err *e)
{
	const struct export_format *format = formats[x->format];
	char b[BDF_STRLEN];

	bdf_format(f->bdf, b);
	if (f->kind == VFM_PF && f->num_vfs > 0)
		return err_set(e, ENOTSUP, "%s is a PF that has VFs: export these", b);
	if (class_of(f) == CLASS_BRIDGE)
		return err_set(e, ENOTSUP, "%s is a bridge, which nobody can be given", b);
	if (!*f->driver)
		return err_set(e, ENOTSUP,
			"%s has no driver, and %s would find nothing to use: run 'viaduct vf bind "
			"%s vfio-pci'",
			b, format->name, b);
	if (format->needs_vfio && !strstr(f->driver, "vfio"))
		return err_set(e, ENOTSUP,
			"%s is bound to %s, and %s is told to take it as it is, from VFIO: run "
			"'viaduct vf bind %s vfio-pci'",
			b, f->driver, format->name, b);
	return format->check(x, f, e);
}

static int same_function_twice(const struct vfm_export *x, struct err *e)
{
	char b[BDF_STRLEN];

	for (size_t i = 0; i < x->n; i++)
		for (size_t k = i + 1; k < x->n; k++)
			if (bdf_equal(x->f[i].bdf, x->f[k].bdf))
				return err_set(
					e, EINVAL, "%s is named twice", bdf_format(x->f[i].bdf, b));
	return 0;
}

int vfm_export(const struct vfm_export *x, char **ret, struct err *e)
{
	const struct export_format *format = formats[x->format];
	const char *name = x->name ? x->name : format->default_name;
	char *text = NULL;
	size_t len = 0;
	FILE *out;
	int r = 0;

	if (x->n == 0)
		return err_set(e, EINVAL, "there is no function to export");
	if (x->name)
		r = format->check_name(x->name, e);
	if (r == 0)
		r = same_function_twice(x, e);
	for (size_t i = 0; r == 0 && i < x->n; i++)
		r = vfm_export_check(x, &x->f[i], e);
	if (r < 0)
		return r;
	out = open_memstream(&text, &len);
	if (!out)
		return err_sys(e, ENOMEM, "export");
	r = format->write(x, name, out, e);
	if (fclose(out) != 0 && r == 0)
		r = err_sys(e, ENOMEM, "export");
	if (r < 0) {
		free(text);
		return r;
	}
	*ret = text;
	return 0;
}
