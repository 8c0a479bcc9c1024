// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <stdio.h>

#include "cli/switch.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static int64_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

void switch_ports_print(const json_t *list)
{
	const json_t *p;
	size_t i;

	printf("%-16s %-5s %-6s %-9s %s\n", "NAME", "LINK", "MTU", "ADDRESSES", "CONNECTED TO");
	json_array_foreach(list, i, p)
	{
		bool up = json_is_true(json_object_get(p, "up"));
		const char *to = text_of(p, "vhost-user");

		printf("%-16s %-5s %-6" PRId64 " %-9" PRId64 " %s%s%s\n", text_of(p, "name"),
			up ? "up" : "down", number_of(p, "mtu"), number_of(p, "addresses"),
			*to ? to : text_of(p, "device"), up ? "" : ": ",
			up ? "" : text_of(p, "why-down"));
	}
}

void switch_fdb_print(const json_t *list)
{
	const json_t *entry;
	size_t i;

	printf("%-17s %-5s %-16s %s\n", "ADDRESS", "VLAN", "PORT", "AGE");
	json_array_foreach(list, i, entry)
	{
		printf("%-17s %-5" PRId64 " %-16s ", text_of(entry, "mac"),
			number_of(entry, "vlan"), text_of(entry, "port"));
		if (json_is_true(json_object_get(entry, "static")))
			puts("static");
		else
			printf("%" PRId64 " s\n", number_of(entry, "age"));
	}
}

void switch_stats_print(const json_t *o)
{
	const json_t *p, *n;
	const char *reason;
	size_t i;

	printf("%-16s %12s %12s %12s %12s  %s\n", "PORT", "RX FRAMES", "RX BYTES", "TX FRAMES",
		"TX BYTES", "DROPS");
	json_array_foreach(json_object_get(o, "ports"), i, p)
	{
		printf("%-16s %12" PRId64 " %12" PRId64 " %12" PRId64 " %12" PRId64 " ",
			text_of(p, "name"), number_of(p, "rx-packets"), number_of(p, "rx-bytes"),
			number_of(p, "tx-packets"), number_of(p, "tx-bytes"));
		json_object_foreach(json_object_get(p, "drops"), reason, n)
			printf(" %s=%" PRId64, reason, (int64_t)json_integer_value(n));
		putchar('\n');
	}
}
