// SPDX-License-Identifier: GPL-2.0-or-later
/* What pci.ids calls a device. */
#include <pci/pci.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "vf-manager/internal.h"

/* libpci wants this never to return. Only a damaged pci.ids gets here. */
static void __attribute__((noreturn, format(printf, 1, 2))) ids_error(char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("libpci: %s (reinstall the package pci.ids)", text);
	exit(1);
}

static void ids_silent(char *fmt, ...)
{
}

void name_lookup(struct vfm *v, struct vfm_function *f)
{
	char buf[128];
	const char *s;

	if (!v->ids) {
		/* No pci_init(), which would set these, scan for a bus, and exit without one. */
		v->ids = pci_alloc();
		if (!v->ids)
			return;
		v->ids->error = ids_error;
		v->ids->warning = v->ids->debug = ids_silent;
	}
	/* libudev's hwdb holds the same file, and libpci leaks a context for each name not in it. */
	s = pci_lookup_name(v->ids, buf, sizeof(buf),
		PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE | PCI_LOOKUP_NO_NUMBERS | PCI_LOOKUP_NO_HWDB,
		f->vendor, f->device);
	snprintf(f->name, sizeof(f->name), "%s", s ? s : "");
}
