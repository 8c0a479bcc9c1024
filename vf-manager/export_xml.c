// SPDX-License-Identifier: GPL-2.0-or-later
/* libvirt: https://libvirt.org/formatdomain.html#host-device-assignment, formatnetwork.html#connectivity */
#include <errno.h>

#include "vf-manager/export_priv.h"

static int libvirt_check(const struct vfm_export *x, const struct vfm_function *f, struct err *e)
{
	char b[BDF_STRLEN];

	if ((x->n > 1 || x->name) && class_of(f) != CLASS_NETWORK)
		return err_set(e, ENOTSUP,
			"%s (class %04x) is no network card, and libvirt has pools of these only: "
			"export it alone and without --name",
			bdf_format(f->bdf, b), f->class >> 8);
	return export_domain_check(f, "libvirt", e);
}

/* Nothing that XML would have to escape. */
static int libvirt_name(const char *name, struct err *e)
{
	return export_name_check(name, "_-.:", "a network of libvirt", e);
}

static void address_write(const struct vfm_function *f, const char *type, FILE *out)
{
	fprintf(out, "<address%s domain='0x%04x' bus='0x%02x' slot='0x%02x' function='0x%x'/>\n",
		type, f->bdf.domain, f->bdf.bus, f->bdf.dev, f->bdf.fn);
}

static int libvirt_write(const struct vfm_export *x, const char *name, FILE *out, struct err *e)
{
	if (x->n == 1 && !x->name) {
		fputs("<hostdev mode='subsystem' type='pci' managed='no'>\n", out);
		fputs("  <driver name='vfio'/>\n  <source>\n    ", out);
		address_write(&x->f[0], "", out);
		fputs("  </source>\n</hostdev>\n", out);
		return 0;
	}
	fprintf(out, "<network>\n  <name>%s</name>\n", name);
	fputs("  <forward mode='hostdev' managed='no'>\n    <driver name='vfio'/>\n", out);
	for (size_t i = 0; i < x->n; i++) {
		fputs("    ", out);
		address_write(&x->f[i], " type='pci'", out);
	}
	fputs("  </forward>\n</network>\n", out);
	return 0;
}

const struct export_format export_libvirt = {
	.name = "libvirt",
	.needs_vfio = true,
	.default_name = "viaduct-vfs",
	.check = libvirt_check,
	.check_name = libvirt_name,
	.write = libvirt_write,
};
