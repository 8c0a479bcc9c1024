// SPDX-License-Identifier: GPL-2.0-or-later
/* libvirt: networks that hand out a PF's VFs, and machines with a function of their own. */
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vf-manager/conflicts.h"

struct reader {
	struct conflicts *c;
	const char *path;
	XML_Parser parser;
	bool network, hostdev, managed; /* of the element that is open */
	unsigned in_source;
	bool said;
};

static const char *attribute(const char **attrs, const char *name)
{
	for (; attrs[0]; attrs += 2) {
		if (!strcmp(attrs[0], name))
			return attrs[1];
	}
	return "";
}

/* domain='0x0000' bus='0x3b' slot='0x02' function='0x1' */
static bool address_parse(const char **attrs, struct bdf *ret)
{
	static const char *const names[] = {"domain", "bus", "slot", "function"};
	static const unsigned long max[] = {0xffffffff, 0xff, 0x1f, 7};
	unsigned long n[4];

	for (size_t i = 0; i < 4; i++) {
		const char *text = attribute(attrs, names[i]);
		char *end;

		n[i] = strtoul(text, &end, 0);
		if (*end || n[i] > max[i] || (!*text && i))
			return false;
	}
	*ret = (struct bdf){(uint32_t)n[0], (uint8_t)n[1], (uint8_t)n[2], (uint8_t)n[3]};
	return true;
}

static void say(struct reader *r, const char *what, const char *fix)
{
	if (r->said)
		return;
	r->said = true;
	conflict(r->c, r->path, (unsigned)XML_GetCurrentLineNumber(r->parser), what, "%s", fix);
}

static void XMLCALL element_start(void *arg, const char *name, const char **attrs)
{
	struct reader *r = arg;
	struct bdf b;

	if (!strcmp(name, "network")) {
		r->network = true;
	} else if (!strcmp(name, "forward")) {
		r->hostdev = !strcmp(attribute(attrs, "mode"), "hostdev");
		r->managed = !strcmp(attribute(attrs, "managed"), "yes");
	} else if (!strcmp(name, "hostdev") || !strcmp(name, "interface")) {
		r->managed = !strcmp(attribute(attrs, "managed"), "yes");
	} else if (!strcmp(name, "source")) {
		r->in_source++;
	} else if (r->network && r->hostdev && !strcmp(name, "pf") &&
		   conflict_name_is(r->c, attribute(attrs, "dev"))) {
		say(r, "a libvirt network hands out the VFs of this interface",
			"viaduct vf lease is not asked by libvirt: take <pf/> out (virsh "
			"net-edit), or "
			"leave the PF to it");
	} else if (!strcmp(name, "address") && (r->in_source || (r->network && r->hostdev)) &&
		   address_parse(attrs, &b) && bdf_equal(b, r->c->f->bdf)) {
		if (r->network)
			say(r, "a libvirt network hands this function out",
				"take its <address/> out (virsh net-edit)");
		else
			say(r,
				r->managed ? "a libvirt machine takes this function from its "
					     "driver by "
					     "itself (managed='yes')"
					   : "a libvirt machine is to have this function",
				r->managed
					? "set managed='no' (virsh edit) and bind it with viaduct "
					  "vf bind, or leave it to libvirt"
					: "run one of the two only");
	}
}

static void XMLCALL element_end(void *arg, const char *name)
{
	struct reader *r = arg;

	if (!strcmp(name, "forward"))
		r->hostdev = false;
	else if (!strcmp(name, "source") && r->in_source)
		r->in_source--;
}

void conflict_libvirt_file(struct conflicts *c, const char *path, char *text)
{
	struct reader r = {.c = c, .path = path, .parser = XML_ParserCreate(NULL)};

	if (!r.parser)
		return;
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, element_start, element_end);
	/* What comes before a mistake counts: libvirt may know better than we what is one. */
	(void)XML_Parse(r.parser, text, (int)strlen(text), 1);
	XML_ParserFree(r.parser);
}

void conflict_libvirt(struct conflicts *c)
{
	static const char *const dirs[] = {"etc/libvirt/qemu/networks", "etc/libvirt/qemu", NULL};

	conflict_files(c, dirs, ".xml", conflict_libvirt_file);
}
