// SPDX-License-Identifier: GPL-2.0-or-later
/* What the doctor found, for people as it is found, for programs when all is. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/doctor_cli.h"
#include "common/cleanup.h"

#define ID_WIDTH 20

struct doctor_printer {
	bool all, quiet, colour;
	json_t *findings; /* NULL: for people */
	unsigned count[VFM_FAIL + 1];
	bool in_device, said_device;
	struct bdf device;
	unsigned passed; /* of this device, not shown */
};

struct doctor_printer *doctor_printer_create(bool json, bool all, bool quiet)
{
	struct doctor_printer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->all = all;
	p->quiet = quiet;
	p->colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	if (json) {
		p->findings = json_array();
		if (!p->findings) {
			free(p);
			return NULL;
		}
	}
	return p;
}

void doctor_printer_destroy(struct doctor_printer *p)
{
	if (!p)
		return;
	json_decref(p->findings);
	free(p);
}

static const char *colour_of(enum vfm_status status)
{
	switch (status) {
	case VFM_PASS: return "\033[32m";
	case VFM_SKIP: return "\033[2m";
	case VFM_WARN: return "\033[33m";
	case VFM_FAIL: return "\033[1;31m";
	}
	return "";
}

static void line_print(const struct doctor_printer *p, const struct doctor_finding *f)
{
	printf("%s%s%s  %-*s  %s\n", p->colour ? colour_of(f->status) : "",
		vfm_status_name(f->status), p->colour ? "\033[0m" : "", ID_WIDTH, f->check->id,
		f->text);
	if (*f->fix)
		printf("%*s  fix: %s\n", ID_WIDTH + 6, "", f->fix);
}

/* What passed without a word, and what is done with a device. */
static void device_end(struct doctor_printer *p)
{
	char name[BDF_STRLEN];

	if (!p->in_device || p->quiet)
		return;
	if (!p->said_device)
		printf("\n%s: %u checks, nothing found\n", bdf_format(p->device, name), p->passed);
	else if (p->passed)
		printf("      (%u more checks: nothing found)\n", p->passed);
	p->in_device = false;
}

static void device_begin(struct doctor_printer *p, const struct doctor_finding *f)
{
	if (p->in_device && bdf_equal(p->device, f->device))
		return;
	device_end(p);
	p->in_device = true;
	p->said_device = false;
	p->device = f->device;
	p->passed = 0;
}

static void found_text(struct doctor_printer *p, const struct doctor_finding *f)
{
	char name[BDF_STRLEN];
	bool good = f->status == VFM_PASS || f->status == VFM_SKIP;

	if (f->has_device)
		device_begin(p, f);
	if (good && (p->quiet || (f->has_device && !p->all))) {
		p->passed++;
		return;
	}
	if (f->has_device && !p->said_device) {
		printf("\n%s\n", bdf_format(f->device, name));
		p->said_device = true;
	}
	line_print(p, f);
}

static void found_json(struct doctor_printer *p, const struct doctor_finding *f)
{
	char name[BDF_STRLEN];
	json_t *o = json_pack("{s:s, s:s, s:s, s:b, s:o, s:s, s:o}", "id", f->check->id, "status",
		vfm_status_name(f->status), "scope",
		f->check->scope == DOCTOR_HOST ? "host" : "device", "stop", (int)f->check->stop,
		"device", f->has_device ? json_string(bdf_format(f->device, name)) : json_null(),
		"text", f->text, "fix", *f->fix ? json_string(f->fix) : json_null());

	if (o)
		json_array_append_new(p->findings, o);
}

void doctor_printer_found(void *printer, const struct doctor_finding *f)
{
	struct doctor_printer *p = printer;

	p->count[f->status]++;
	if (p->findings)
		found_json(p, f);
	else
		found_text(p, f);
}

int doctor_printer_finish(struct doctor_printer *p, enum vfm_status worst)
{
	if (p->findings) {
		json_t *o = json_pack("{s:s, s:{s:i, s:i, s:i, s:i}, s:O}", "verdict",
			vfm_status_name(worst), "count", "pass", (int)p->count[VFM_PASS], "skip",
			(int)p->count[VFM_SKIP], "warn", (int)p->count[VFM_WARN], "fail",
			(int)p->count[VFM_FAIL], "findings", p->findings);
		int r = o ? json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) : -1;

		json_decref(o);
		putchar('\n');
		return r < 0 || fflush(stdout) ? -EIO : 0;
	}
	device_end(p);
	if (!p->quiet)
		printf("\n%u passed, %u skipped, %u warnings, %u failed\n", p->count[VFM_PASS],
			p->count[VFM_SKIP], p->count[VFM_WARN], p->count[VFM_FAIL]);
	return fflush(stdout) ? -EIO : 0;
}
