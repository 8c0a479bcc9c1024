// SPDX-License-Identifier: GPL-2.0-or-later
/* What a switch answers, for people: columns as wide as what is in them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/switch.h"
#include "common/cleanup.h"

#define CELL_MAX 200

/* Rows of text; the last column is not padded. */
struct table {
	size_t columns, rows, max;
	char **cells;
};

static void cell_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void cell_add(struct table *t, const char *fmt, ...)
{
	char text[CELL_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (t->rows == t->max) {
		char **more = reallocarray(t->cells, t->max * 2 + 64, sizeof(*more));

		if (!more)
			return;
		t->cells = more;
		t->max = t->max * 2 + 64;
	}
	t->cells[t->rows++] = strdup(text);
}

static void table_print(struct table *t)
{
	size_t *width = calloc(t->columns, sizeof(*width));

	for (size_t i = 0; width && i < t->rows; i++) {
		size_t n = t->cells[i] ? strlen(t->cells[i]) : 0;

		if (n > width[i % t->columns])
			width[i % t->columns] = n;
	}
	for (size_t i = 0; width && i < t->rows; i++) {
		bool last = i % t->columns == t->columns - 1;

		printf("%-*s%s", last ? 0 : (int)width[i % t->columns],
			t->cells[i] ? t->cells[i] : "", last ? "\n" : "  ");
	}
	for (size_t i = 0; i < t->rows; i++)
		free(t->cells[i]);
	free(t->cells);
	free(width);
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static int64_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* "vhost-user /run/a", "pcap -> /tmp/x" */
static void backend_text(const json_t *p, char *ret, size_t size)
{
	const json_t *to = json_object_get(p, text_of(p, "kind"));

	if (json_is_object(to))
		snprintf(ret, size, "%s%s%s", text_of(to, "rx"), *text_of(to, "tx") ? " -> " : "",
			text_of(to, "tx"));
	else
		snprintf(ret, size, "%s%s", json_string_value(to) ? json_string_value(to) : "",
			json_is_true(json_object_get(p, "client")) ? " (client)" : "");
}

/* What limits it, in the words of `port set`: "vlan.access=7 isolated=true". */
static void words_print(const char *prefix, const json_t *o, bool *first)
{
	static const char *const elsewhere[] = {"name", "kind", "up", "why-down", "mtu",
		"addresses", "client", "vhost-user", "pci", "tap", "af-packet", "pcap", "device",
		"drops", "agreed-features", "last-error"};
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)o, key, v)
	{
		_cleanup_free_ char *name = NULL, *text = NULL;
		bool skip = json_is_integer(v) && !*prefix && strcmp(key, "fdb-limit");

		for (size_t i = 0; !*prefix && i < ARRAY_SIZE(elsewhere); i++)
			skip = skip || !strcmp(key, elsewhere[i]);
		if (skip || asprintf(&name, "%s%s%s", prefix, *prefix ? "." : "", key) < 0)
			continue;
		if (json_is_object(v)) {
			words_print(name, v, first);
			continue;
		}
		printf("%s%s=", *first ? "" : " ", name);
		*first = false;
		if (json_is_array(v)) {
			const json_t *item;
			size_t i;

			json_array_foreach(v, i, item)
			{
				fputs(i ? "," : "", stdout);
				if (json_is_string(item))
					fputs(json_string_value(item), stdout);
				else
					json_dumpf(item, stdout, JSON_ENCODE_ANY);
			}
		} else if (json_is_string(v)) {
			fputs(json_string_value(v), stdout);
		} else {
			text = json_dumps(v, JSON_ENCODE_ANY);
			fputs(text ? text : "", stdout);
		}
	}
}

void switch_json_print(const json_t *result)
{
	json_print(json_incref((json_t *)result));
}

void switch_ports_print(const json_t *list)
{
	struct table t = {.columns = 7};
	const json_t *p;
	size_t i;

	for (i = 0; i < t.columns; i++)
		cell_add(&t, "%s",
			(const char *[]){"NAME", "KIND", "LINK", "MTU", "ADDRESSES", "CONNECTED TO",
				"WHY"}[i]);
	json_array_foreach(list, i, p)
	{
		char to[CELL_MAX];

		backend_text(p, to, sizeof(to));
		cell_add(&t, "%s", text_of(p, "name"));
		cell_add(&t, "%s", text_of(p, "kind"));
		cell_add(&t, "%s", json_is_true(json_object_get(p, "up")) ? "up" : "down");
		cell_add(&t, "%" PRId64, number_of(p, "mtu"));
		cell_add(&t, "%" PRId64, number_of(p, "addresses"));
		cell_add(&t, "%s", to);
		cell_add(&t, "%s", text_of(p, "why-down"));
	}
	table_print(&t);
}

static void drops_print(const json_t *drops, const char *before)
{
	const char *reason;
	json_t *n;

	json_object_foreach((json_t *)drops, reason, n)
		printf("%s%s %" PRId64 "\n", before, reason, (int64_t)json_integer_value(n));
}

void switch_port_print(const json_t *p)
{
	char to[CELL_MAX];
	bool first = true;

	backend_text(p, to, sizeof(to));
	printf("name       %s\n", text_of(p, "name"));
	printf("connected  %s %s\n", text_of(p, "kind"), to);
	printf("link       %s%s%s\n", json_is_true(json_object_get(p, "up")) ? "up" : "down",
		*text_of(p, "why-down") ? ": " : "", text_of(p, "why-down"));
	printf("mtu        %" PRId64 "\n", number_of(p, "mtu"));
	printf("settings   ");
	words_print("", p, &first);
	printf("\nreceived   %" PRId64 " frames, %" PRId64 " bytes\n", number_of(p, "rx-packets"),
		number_of(p, "rx-bytes"));
	printf("sent       %" PRId64 " frames, %" PRId64 " bytes\n", number_of(p, "tx-packets"),
		number_of(p, "tx-bytes"));
	printf("addresses  %" PRId64 " now, %" PRId64 " learned, %" PRId64 " moved here, %" PRId64
	       " evicted, %" PRId64 " aged\n",
		number_of(p, "addresses"), number_of(p, "learned"), number_of(p, "moved"),
		number_of(p, "evicted"), number_of(p, "aged"));
	drops_print(json_object_get(p, "drops"), "dropped    ");
}

void switch_fdb_print(const json_t *list)
{
	struct table t = {.columns = 4};
	const json_t *entry;
	size_t i;

	for (i = 0; i < t.columns; i++)
		cell_add(&t, "%s", (const char *[]){"ADDRESS", "VLAN", "PORT", "AGE"}[i]);
	json_array_foreach(list, i, entry)
	{
		cell_add(&t, "%-17s", text_of(entry, "mac"));
		cell_add(&t, "%-4" PRId64, number_of(entry, "vlan"));
		cell_add(&t, "%s", text_of(entry, "port"));
		if (json_is_true(json_object_get(entry, "static")))
			cell_add(&t, "static");
		else
			cell_add(&t, "%" PRId64 " s", number_of(entry, "age"));
	}
	table_print(&t);
}

/* Only when there is something to compare. */
static void threads_print(const json_t *o)
{
	const json_t *threads = json_object_get(o, "threads"), *t, *p, *q;
	size_t i, j;

	if (json_array_size(threads) < 2)
		return;
	printf("\n%-6s %7s\n", "CORE", "BUSY %");
	json_array_foreach(threads, i, t) printf("%-6" PRId64 " %7.1f\n", number_of(t, "core"),
		json_real_value(json_object_get(t, "busy")));
	printf("\n%-16s %5s %5s %7s\n", "PORT", "QUEUE", "CORE", "BUSY %");
	json_array_foreach(json_object_get(o, "ports"), i, p)
		json_array_foreach(json_object_get(p, "rx-queues"), j, q)
			printf("%-16s %5" PRId64 " %5" PRId64 " %7.1f\n", text_of(p, "name"),
				number_of(q, "queue"), number_of(q, "core"),
				json_real_value(json_object_get(q, "busy")));
}

void switch_stats_print(const json_t *o)
{
	struct table t = {.columns = 6};
	const json_t *p, *n;
	const char *reason;
	size_t i;

	if (!json_object_get(o, "ports")) {
		switch_port_print(o);
		return;
	}
	for (i = 0; i < t.columns; i++)
		cell_add(&t, "%s",
			(const char *[]){"PORT", "RX FRAMES", "RX BYTES", "TX FRAMES", "TX BYTES",
				"DROPS"}[i]);
	json_array_foreach(json_object_get(o, "ports"), i, p)
	{
		char drops[CELL_MAX] = "";
		size_t at = 0;

		cell_add(&t, "%s", text_of(p, "name"));
		cell_add(&t, "%" PRId64, number_of(p, "rx-packets"));
		cell_add(&t, "%" PRId64, number_of(p, "rx-bytes"));
		cell_add(&t, "%" PRId64, number_of(p, "tx-packets"));
		cell_add(&t, "%" PRId64, number_of(p, "tx-bytes"));
		json_object_foreach(json_object_get(p, "drops"), reason, n) if (at < sizeof(drops))
			at += (size_t)snprintf(drops + at, sizeof(drops) - at, "%s%s=%" PRId64,
				at ? " " : "", reason, (int64_t)json_integer_value(n));
		cell_add(&t, "%s", drops);
	}
	table_print(&t);
	threads_print(o);
}

static void pair_print(const char *key, const json_t *pair)
{
	_cleanup_free_ char *before =
		json_dumps(json_array_get(pair, 0), JSON_ENCODE_ANY | JSON_COMPACT);
	_cleanup_free_ char *after =
		json_dumps(json_array_get(pair, 1), JSON_ENCODE_ANY | JSON_COMPACT);

	printf(", %s %s -> %s", key, before ? before : "?", after ? after : "?");
}

void switch_apply_print(const json_t *result)
{
	bool dry_run = json_is_true(json_object_get(result, "dry-run"));
	const json_t *steps = json_object_get(result, "steps"), *step;
	json_t *pair;
	const char *key;
	size_t i;

	if (!json_array_size(steps))
		puts("nothing to do: the switch is as described");
	json_array_foreach(steps, i, step)
	{
		printf("%s%s", dry_run ? "would do: " : "", text_of(step, "do"));
		if (*text_of(step, "mac"))
			printf(" %s vlan %" PRId64, text_of(step, "mac"), number_of(step, "vlan"));
		if (*text_of(step, "port"))
			printf(" %s", text_of(step, "port"));
		if (*text_of(step, "mirror"))
			printf(" %s", text_of(step, "mirror"));
		if (json_object_get(step, "ageing"))
			printf(" %" PRId64, number_of(step, "ageing"));
		json_object_foreach(json_object_get(step, "keys"), key, pair) pair_print(key, pair);
		putchar('\n');
	}
}
