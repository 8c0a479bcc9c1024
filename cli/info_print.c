// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/info.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/table.h"
#include "common/cleanup.h"

#define MIB (1024 * 1024)

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void number_set(struct table *t, unsigned int column, const json_t *o, const char *key)
{
	if (json_is_integer(json_object_get(o, key)))
		table_set(t, column, "%" JSON_INTEGER_FORMAT, number_of(o, key));
}

/* "2d 3h", "3h 4m", "4m 5s", "5s" */
static const char *uptime_text(json_int_t s, char buf[32])
{
	int n = s < 60      ? snprintf(buf, 32, "%ds", (int)s)
		: s < 3600  ? snprintf(buf, 32, "%dm %ds", (int)s / 60, (int)s % 60)
		: s < 86400 ? snprintf(buf, 32, "%dh %dm", (int)s / 3600, (int)s / 60 % 60)
			    : snprintf(buf, 32, "%dd %dh", (int)(s / 86400), (int)(s / 3600 % 24));

	return n > 0 ? buf : "";
}

int info_list_print(const json_t *guests)
{
	static const char *const heads[] = {
		"NAME", "PID", "CPUS", "MEMORY", "UPTIME", "ASSIGNED", "NET", "NOTE"};
	const json_t *g;
	struct table t;
	char buf[32];
	size_t i;
	int r;

	table_init(&t, heads, ARRAY_SIZE(heads));
	json_array_foreach(guests, i, g)
	{
		bool mute = json_object_get(g, "error");

		table_row(&t, mute ? TABLE_NOTED : TABLE_PLAIN);
		table_set(&t, 0, "%s", text_of(g, "name"));
		number_set(&t, 1, g, "pid");
		table_set(&t, 7, "%s", text_of(g, "error"));
		if (mute)
			continue;
		number_set(&t, 2, g, "cpus");
		table_set(&t, 3, "%" JSON_INTEGER_FORMAT "M", number_of(g, "memory") / MIB);
		table_set(&t, 4, "%s", uptime_text(number_of(g, "uptime"), buf));
		table_set(&t, 5, "%zu", json_array_size(json_object_get(g, "assigned")));
		table_set(&t, 6, "%zu", json_array_size(json_object_get(g, "net")));
	}
	r = table_print(&t, true);
	table_finish(&t);
	return r;
}

static int devices_print(const json_t *guest)
{
	static const char *const heads[] = {"GUEST", "KIND", "HOST", "DRIVER", "GROUP", "STATE"};
	const json_t *list = json_object_get(guest, "assigned"), *d;
	struct table t;
	size_t i;
	int r = 0;

	table_init(&t, heads, ARRAY_SIZE(heads));
	json_array_foreach(list, i, d)
	{
		table_row(&t, TABLE_PLAIN);
		table_set(&t, 0, "%s", text_of(d, "guest_bdf"));
		table_set(&t, 1, "assigned");
		table_set(&t, 2, "%s", text_of(d, "bdf"));
		table_set(&t, 3, "%s", text_of(d, "driver"));
		number_set(&t, 4, d, "iommu_group");
		if (strcmp(text_of(d, "state"), "present") != 0)
			table_set(&t, 5, "%s", text_of(d, "state"));
	}
	list = json_object_get(guest, "net");
	json_array_foreach(list, i, d)
	{
		table_row(&t, TABLE_PLAIN);
		table_set(&t, 0, "%s", text_of(d, "guest_bdf"));
		table_set(&t, 1, "%s", text_of(d, "model"));
		table_set(&t, 2, "%s %s", text_of(d, "kind"), text_of(d, "name"));
	}
	if (t.n > 1) {
		putchar('\n');
		r = table_print(&t, true);
	}
	table_finish(&t);
	return r;
}

static const char *remap_text(const json_t *o)
{
	const json_t *remap = json_object_get(o, "remap");

	if (!json_is_object(remap))
		return "none";
	if (!json_is_true(json_object_get(remap, "enabled")))
		return "there, not used by the guest";
	return json_is_true(json_object_get(remap, "x2apic")) ? "on, x2APIC" : "on";
}

int info_guest_print(const json_t *g)
{
	char buf[32];

	printf("name       %s\n", text_of(g, "name"));
	printf("process    %" JSON_INTEGER_FORMAT "\n", number_of(g, "pid"));
	printf("cpus       %" JSON_INTEGER_FORMAT "\n", number_of(g, "cpus"));
	printf("memory     %" JSON_INTEGER_FORMAT " MiB\n", number_of(g, "memory") / MIB);
	printf("running    %s, rebooted %" JSON_INTEGER_FORMAT " times\n",
		uptime_text(number_of(g, "uptime"), buf), number_of(g, "reboots"));
	printf("remapping  %s\n", remap_text(g));
	printf("host       %s\n", text_of(json_object_get(g, "host"), "evidence"));
	return devices_print(g);
}

/* ---- interrupts ---- */

/* "apic 0 vector 0x31" */
static void target_set(struct table *t, unsigned int column, const json_t *o)
{
	const json_t *target = json_object_get(o, "target");
	const char *mode = text_of(target, "mode");

	if (json_is_object(target))
		table_set(t, column, "%s %" JSON_INTEGER_FORMAT " vector 0x%02x%s%s",
			json_is_true(json_object_get(target, "logical")) ? "logical" : "apic",
			number_of(target, "destination"), (unsigned int)number_of(target, "vector"),
			strcmp(mode, "fixed") ? " " : "", strcmp(mode, "fixed") ? mode : "");
}

static void delivery_set(struct table *t, unsigned int column, const json_t *o)
{
	table_set(t, column, "%s%s", text_of(o, "delivery"),
		json_is_true(json_object_get(o, "pending")) ? ", pending" : "");
}

/* A vector nobody uses, and another next to it: one row for both. */
static bool same_row(const json_t *a, const json_t *b)
{
	return a && b && !strcmp(text_of(a, "guest_bdf"), text_of(b, "guest_bdf")) &&
	       !strcmp(text_of(a, "kind"), text_of(b, "kind")) &&
	       !strcmp(text_of(a, "delivery"), text_of(b, "delivery")) &&
	       json_is_null(json_object_get(a, "gsi")) && json_is_null(json_object_get(b, "gsi")) &&
	       json_equal(json_object_get(a, "message"), json_object_get(b, "message")) &&
	       json_equal(json_object_get(a, "pending"), json_object_get(b, "pending")) &&
	       json_is_null(json_object_get(a, "count")) &&
	       json_is_null(json_object_get(b, "count"));
}

static int vectors_print(const json_t *list)
{
	static const char *const heads[] = {"GUEST", "HOST", "KIND", "INDEX", "DELIVERY", "TARGET",
		"ENTRY", "GSI", "HOST-IRQ", "COUNT", "NOTE"};
	struct table t;
	size_t n = json_array_size(list), end;
	int r;

	table_init(&t, heads, ARRAY_SIZE(heads));
	for (size_t i = 0; i < n; i = end) {
		const json_t *v = json_array_get(list, i);

		for (end = i + 1; end < n && same_row(v, json_array_get(list, end)); end++)
			;
		table_row(&t, *text_of(v, "why") ? TABLE_NOTED : TABLE_PLAIN);
		table_set(&t, 0, "%s", text_of(v, "guest_bdf"));
		table_set(&t, 1, "%s", text_of(v, "bdf"));
		table_set(&t, 2, "%s", text_of(v, "kind"));
		number_set(&t, 3, v, "index");
		if (end > i + 1)
			table_set(&t, 3, "%" JSON_INTEGER_FORMAT "-%" JSON_INTEGER_FORMAT,
				number_of(v, "index"),
				number_of(json_array_get(list, end - 1), "index"));
		delivery_set(&t, 4, v);
		target_set(&t, 5, v);
		number_set(&t, 6, v, "remap_handle");
		number_set(&t, 7, v, "gsi");
		number_set(&t, 8, v, "host_irq");
		number_set(&t, 9, v, "count");
		table_set(&t, 10, "%s", text_of(v, "why"));
	}
	r = table_print(&t, true);
	table_finish(&t);
	return r;
}

static int pins_print(const json_t *list)
{
	static const char *const heads[] = {
		"PIN", "LINES", "DELIVERY", "TRIGGER", "LINE", "TARGET", "ENTRY", "COUNT"};
	struct table t;
	const json_t *p;
	size_t i;
	int r;

	table_init(&t, heads, ARRAY_SIZE(heads));
	json_array_foreach(list, i, p)
	{
		/* Nobody drives it, and the guest waits for nothing. */
		if (!*text_of(p, "lines") && !strcmp(text_of(p, "delivery"), "masked"))
			continue;
		table_row(&t, TABLE_PLAIN);
		number_set(&t, 0, p, "pin");
		table_set(&t, 1, "%s", text_of(p, "lines"));
		delivery_set(&t, 2, p);
		table_set(&t, 3, "%s", text_of(p, "trigger"));
		table_set(
			&t, 4, "%s", json_is_true(json_object_get(p, "asserted")) ? "high" : "low");
		target_set(&t, 5, p);
		number_set(&t, 6, p, "remap_handle");
		number_set(&t, 7, p, "count");
	}
	r = table_print(&t, true);
	table_finish(&t);
	return r;
}

int info_irqs_print(const json_t *irqs)
{
	const json_t *posting = json_object_get(irqs, "posting");
	int r;

	printf("remapping  %s\n", remap_text(irqs));
	printf("posting    %s: %s\n\n",
		json_is_true(json_object_get(posting, "possible")) ? "possible" : "no",
		text_of(posting, "why"));
	r = vectors_print(json_object_get(irqs, "vectors"));
	if (r == 0) {
		putchar('\n');
		r = pins_print(json_object_get(irqs, "pins"));
	}
	return r;
}
