// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf list and show. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/vf.h"
#include "common/cleanup.h"

static void mac_text(const struct vfm_function *f, char buf[static 18])
{
	static const uint8_t zero[6];

	*buf = '\0';
	if (f->has_mac && memcmp(f->mac, zero, 6))
		snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", f->mac[0], f->mac[1], f->mac[2],
			f->mac[3], f->mac[4], f->mac[5]);
}

static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

static json_t *number_or_null(int n)
{
	return n >= 0 ? json_integer(n) : json_null();
}

static json_t *function_json(const struct vfm_function *f)
{
	static const char *const kinds[] = {
		[VFM_OTHER] = "other", [VFM_PF] = "pf", [VFM_VF] = "vf"};
	char bdf[BDF_STRLEN], pf[BDF_STRLEN], mac[18], vendor[5], device[5];
	json_t *holder = f->holder.pid ? json_pack("{s:i, s:s}", "pid", (int)f->holder.pid, "comm",
						 f->holder.comm)
				       : json_null();
	json_t *o;

	mac_text(f, mac);
	snprintf(vendor, sizeof(vendor), "%04x", f->vendor);
	snprintf(device, sizeof(device), "%04x", f->device);
	o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "bdf",
		bdf_format(f->bdf, bdf), "kind", kinds[f->kind], "vendor", vendor, "device", device,
		"name", text_or_null(f->name), "driver", text_or_null(f->driver), "netdev",
		text_or_null(f->netdev), "mac", text_or_null(mac), "link", text_or_null(f->link),
		"iommu_group", number_or_null(f->iommu_group), "numa_node",
		number_or_null(f->numa_node), "holder", holder);
	if (!o)
		return NULL;
	json_object_set_new(o, "taken", json_boolean(f->taken));
	json_object_set_new(
		o, "original_driver", f->taken ? text_or_null(f->original_driver) : json_null());
	if (f->kind == VFM_PF) {
		json_object_set_new(o, "total_vfs", json_integer(f->total_vfs));
		json_object_set_new(o, "num_vfs", json_integer(f->num_vfs));
		json_object_set_new(o, "autoprobe", json_boolean(f->autoprobe));
	} else if (f->kind == VFM_VF) {
		json_object_set_new(o, "pf", json_string(bdf_format(f->pf, pf)));
		json_object_set_new(o, "index", number_or_null(f->index));
	}
	return o;
}

static int list_json(const struct vfm_function *f, int n)
{
	json_t *all = json_array(), *top;
	int r;

	for (int i = 0; i < n; i++)
		json_array_append_new(all, function_json(&f[i]));
	top = json_pack("{s:o}", "functions", all);
	r = json_dumpf(top, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	json_decref(top);
	putchar('\n');
	return r < 0 || fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

enum {
	COL_BDF,
	COL_KIND,
	COL_DRIVER,
	COL_NETDEV,
	COL_MAC,
	COL_LINK,
	COL_GROUP,
	COL_NUMA,
	COL_USE,
	COL_NAME,
	COLS
};

struct row {
	char text[COLS][132];
};

static void row_fill(const struct vfm_function *f, struct row *r)
{
	char bdf[BDF_STRLEN];

	snprintf(r->text[COL_BDF], sizeof(r->text[0]), "%s%s", f->kind == VFM_VF ? "  " : "",
		bdf_format(f->bdf, bdf));
	if (f->kind == VFM_PF)
		snprintf(r->text[COL_KIND], sizeof(r->text[0]), "PF %u/%u", f->num_vfs,
			f->total_vfs);
	else if (f->kind == VFM_VF)
		snprintf(r->text[COL_KIND], sizeof(r->text[0]), "VF %d", f->index);
	snprintf(r->text[COL_DRIVER], sizeof(r->text[0]), "%s", f->driver);
	snprintf(r->text[COL_NETDEV], sizeof(r->text[0]), "%s", f->netdev);
	mac_text(f, r->text[COL_MAC]);
	snprintf(r->text[COL_LINK], sizeof(r->text[0]), "%s", f->link);
	if (f->iommu_group >= 0)
		snprintf(r->text[COL_GROUP], sizeof(r->text[0]), "%d", f->iommu_group);
	if (f->numa_node >= 0)
		snprintf(r->text[COL_NUMA], sizeof(r->text[0]), "%d", f->numa_node);
	if (f->holder.pid)
		snprintf(r->text[COL_USE], sizeof(r->text[0]), "%s[%d]", f->holder.comm,
			(int)f->holder.pid);
	if (*f->name)
		snprintf(r->text[COL_NAME], sizeof(r->text[0]), "%s", f->name);
	else
		snprintf(r->text[COL_NAME], sizeof(r->text[0]), "%04x:%04x", f->vendor, f->device);
	for (int c = 0; c < COLS; c++) {
		if (!*r->text[c])
			strcpy(r->text[c], "-");
	}
}

static int list_table(const struct vfm_function *f, int n)
{
	static const struct row head = {{"ADDRESS", "KIND", "DRIVER", "NETDEV", "MAC", "LINK",
		"GROUP", "NUMA", "USED BY", "NAME"}};
	bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	_cleanup_free_ struct row *rows = calloc((size_t)n + 1, sizeof(*rows));
	int width[COLS] = {0};

	if (!rows)
		return EXIT_FAILED;
	rows[0] = head;
	for (int i = 0; i < n; i++)
		row_fill(&f[i], &rows[i + 1]);
	for (int i = 0; i <= n; i++) {
		for (int c = 0; c < COLS; c++) {
			int w = (int)strlen(rows[i].text[c]);

			width[c] = w > width[c] ? w : width[c];
		}
	}
	for (int i = 0; i <= n; i++) {
		const char *on = "";

		if (colour && i == 0)
			on = "\033[1m";
		else if (colour && f[i - 1].holder.pid)
			on = "\033[33m";
		fputs(on, stdout);
		for (int c = 0; c < COLS - 1; c++)
			printf("%-*s  ", width[c], rows[i].text[c]);
		printf("%s%s\n", rows[i].text[COL_NAME], *on ? "\033[0m" : "");
	}
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

int vf_list(struct vfm *v, const struct vf_args *a)
{
	_cleanup_free_ struct vfm_function *f = NULL;
	struct err e = {0};
	int n = vfm_list(v, vf_flag(a, VF_OPT_ALL) ? VFM_LIST_ALL : 0, &f, &e);

	if (n < 0)
		return vf_fail(n, &e);
	if (vf_flag(a, VF_OPT_JSON))
		return list_json(f, n);
	if (n == 0) {
		if (!vf_flag(a, VF_OPT_QUIET))
			fputs("no SR-IOV devices; --all lists every PCI function\n", stderr);
		return EXIT_DONE;
	}
	return list_table(f, n);
}

/* null for what the driver does not report, so that it is not taken for "off". */
static json_t *settings_json(const struct vfm_settings *s)
{
	json_t *o = json_object();
	char value[VFM_VALUE_MAX];

	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++)
		json_object_set_new(
			o, vfm_setting_name(i), text_or_null(vfm_setting_format(s, i, value)));
	return o;
}

static void show_line(const char *name, const char *value)
{
	printf("%-16s%s\n", name, *value ? value : "-");
}

static void show_text(const struct vfm_function *f, const struct vfm_settings *s)
{
	static const char *const names[COLS - 1] = {[COL_KIND] = "kind",
		[COL_DRIVER] = "driver",
		[COL_NETDEV] = "interface",
		[COL_MAC] = "mac",
		[COL_LINK] = "link",
		[COL_GROUP] = "IOMMU group",
		[COL_NUMA] = "NUMA node",
		[COL_USE] = "used by"};
	char bdf[BDF_STRLEN], value[VFM_VALUE_MAX];
	struct row r = {0};

	row_fill(f, &r);
	printf("%s %s\n", bdf_format(f->bdf, bdf), r.text[COL_NAME]);
	for (int c = COL_KIND; c < COLS - 1; c++)
		/* Among the settings it is said whether there is none. */
		if (c != COL_MAC || !s)
			show_line(names[c], r.text[c]);
	if (f->taken)
		show_line("driver before", *f->original_driver ? f->original_driver : "none");
	if (f->kind == VFM_VF)
		show_line("PF", bdf_format(f->pf, bdf));
	for (unsigned int i = 0; s && i < VFM_SETTING_COUNT; i++)
		show_line(vfm_setting_name(i),
			s->set & 1u << i ? vfm_setting_format(s, i, value) : "not reported");
}

int vf_show(struct vfm *v, const struct vf_args *a)
{
	struct vfm_function f;
	struct vfm_settings s;
	struct err e = {0};
	struct bdf b;
	bool has;
	int r = vf_address(a->pos[0], &b);

	if (r)
		return r;
	r = vfm_show(v, b, &f, &e);
	if (r < 0)
		return vf_fail(r, &e);
	has = f.kind == VFM_VF && vfm_get(v, b, &s, NULL) == 0;
	if (vf_flag(a, VF_OPT_JSON)) {
		json_t *o = function_json(&f);

		if (f.kind == VFM_VF)
			json_object_set_new(o, "settings", has ? settings_json(&s) : json_null());
		r = json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		json_decref(o);
		putchar('\n');
	} else {
		show_text(&f, has ? &s : NULL);
	}
	return r < 0 || fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}
