// SPDX-License-Identifier: GPL-2.0-or-later
/* What the doctor found, for people as it is found, for programs when all is. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/doctor_cli.h"
#include "cli/json.h"
#include "common/cleanup.h"

#define ID_WIDTH 20

/* What is printed of one device, to see whether the next has the same. */
struct device_lines {
	struct bdf bdf;
	unsigned shown, passed; /* findings */
	char *text;
	size_t len;
	FILE *f; /* open_memstream() on text */
};

struct doctor_printer {
	bool all, quiet, colour;
	json_t *findings; /* NULL: for people */
	unsigned count[VFM_FAIL + 1];
	bool in_device;
	struct device_lines now, last;
	unsigned alike; /* devices after the last one with the same lines */
	struct bdf alike_first, alike_last;
};

static void lines_finish(struct device_lines *l)
{
	if (l->f)
		fclose(l->f);
	free(l->text);
	*l = (struct device_lines){0};
}

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
	lines_finish(&p->now);
	lines_finish(&p->last);
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

static void line_print(FILE *to, const struct doctor_printer *p, const struct doctor_finding *f)
{
	fprintf(to, "%s%s%s  %-*s  %s\n", p->colour ? colour_of(f->status) : "",
		vfm_status_name(f->status), p->colour ? "\033[0m" : "", ID_WIDTH, f->check->id,
		f->text);
	if (*f->fix)
		fprintf(to, "%*s  fix: %s\n", ID_WIDTH + 6, "", f->fix);
}

static void alike_print(struct doctor_printer *p)
{
	char first[BDF_STRLEN], last[BDF_STRLEN];

	if (p->alike == 1)
		printf("      (the same: %s)\n", bdf_format(p->alike_first, first));
	else if (p->alike)
		printf("      (the same: %u more, %s to %s)\n", p->alike,
			bdf_format(p->alike_first, first), bdf_format(p->alike_last, last));
	p->alike = 0;
}

/* A card's VFs mostly have the same wrong with them. */
static bool is_alike(const struct doctor_printer *p)
{
	return p->last.text && p->now.shown == p->last.shown && p->now.passed == p->last.passed &&
	       p->now.len == p->last.len && !memcmp(p->now.text, p->last.text, p->now.len);
}

static void device_end(struct doctor_printer *p)
{
	char name[BDF_STRLEN];

	if (!p->in_device)
		return;
	p->in_device = false;
	fclose(p->now.f);
	p->now.f = NULL;
	if (p->quiet && !p->now.shown) {
		lines_finish(&p->now);
		return;
	}
	if (is_alike(p)) {
		if (!p->alike++)
			p->alike_first = p->now.bdf;
		p->alike_last = p->now.bdf;
		lines_finish(&p->now);
		return;
	}
	alike_print(p);
	printf("\n%s\n%s", bdf_format(p->now.bdf, name), p->now.text);
	if (!p->quiet && p->now.passed)
		printf("      (%u %schecks: nothing found)\n", p->now.passed,
			p->now.shown ? "more " : "");
	lines_finish(&p->last);
	p->last = p->now;
	p->now = (struct device_lines){0};
}

static void found_device(struct doctor_printer *p, const struct doctor_finding *f)
{
	if (!p->in_device || !bdf_equal(p->now.bdf, f->device)) {
		device_end(p);
		p->now = (struct device_lines){.bdf = f->device};
		p->now.f = open_memstream(&p->now.text, &p->now.len);
		p->in_device = p->now.f;
	}
	if (f->status <= VFM_SKIP && !p->all) {
		p->now.passed++;
		return;
	}
	p->now.shown++;
	if (p->now.f)
		line_print(p->now.f, p, f);
}

static void found_text(struct doctor_printer *p, const struct doctor_finding *f)
{
	if (f->has_device)
		found_device(p, f);
	else if (f->status > VFM_SKIP || !p->quiet)
		line_print(stdout, p, f);
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

		return json_print(o) ? -EIO : 0;
	}
	device_end(p);
	alike_print(p);
	if (!p->quiet)
		printf("\n%u passed, %u skipped, %u warnings, %u failed\n", p->count[VFM_PASS],
			p->count[VFM_SKIP], p->count[VFM_WARN], p->count[VFM_FAIL]);
	return fflush(stdout) ? -EIO : 0;
}
