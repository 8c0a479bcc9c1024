// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "vswitch/config_raw.h"
#include "vswitch/units.h"

static const cyaml_strval_t direction_names[] = {
	{"in", MIRROR_IN},
	{"out", MIRROR_OUT},
	{"both", MIRROR_IN | MIRROR_OUT},
};

static const cyaml_schema_value_t name_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, MIRROR_NAME_MAX - 1)};

static const cyaml_schema_field_t mirror_fields[] = {
	CYAML_FIELD_STRING_PTR(
		"name", CYAML_FLAG_POINTER, struct raw_mirror, name, 1, MIRROR_NAME_MAX - 1),
	CYAML_FIELD_SEQUENCE("from", CYAML_FLAG_POINTER, struct raw_mirror, from, &name_schema, 1,
		MIRROR_FROM_MAX),
	CYAML_FIELD_ENUM("direction", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct raw_mirror,
		direction, direction_names, ARRAY_SIZE(direction_names)),
	CYAML_FIELD_STRING_PTR("to", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_mirror,
		to, 1, MIRROR_NAME_MAX - 1),
	CYAML_FIELD_UINT("vlan", CYAML_FLAG_OPTIONAL, struct raw_mirror, vlan),
	CYAML_FIELD_BOOL("reserved", CYAML_FLAG_OPTIONAL, struct raw_mirror, reserved),
	CYAML_FIELD_STRING_PTR(
		"rate", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_mirror, rate, 1, 31),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t config_mirror_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_mirror, mirror_fields)};
static const cyaml_schema_value_t mirror_top_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_mirror, mirror_fields)};

int config_mirror_take(
	const struct raw_mirror *raw, struct config_at *at, struct mirror_config *ret)
{
	struct mirror_config c = {
		.nr_from = raw->from_count,
		.directions = raw->direction ? (uint8_t)raw->direction : MIRROR_IN | MIRROR_OUT,
		.vlan = raw->vlan,
		.reserved = raw->reserved,
	};

	if (!config_is_name(raw->name))
		return config_bad(at, "name",
			"mirror '%s': a name has letters, digits, '-', '_' and '.'", raw->name);
	strcpy(c.name, raw->name);
	for (unsigned int i = 0; i < raw->from_count; i++)
		strcpy(c.from[i], raw->from[i]);
	if (raw->to)
		strcpy(c.to, raw->to);
	if (raw->rate && rate_parse(raw->rate, &c.rate) < 0)
		return config_bad(at, "rate", "mirror '%s': '%s' is no rate such as 100mbit",
			c.name, raw->rate);
	if (mirror_config_check(&c, at->e) < 0)
		return -EINVAL;
	*ret = c;
	return 0;
}

int mirror_config_parse(
	const char *what, const void *text, size_t len, struct err *e, struct mirror_config *ret)
{
	const struct config_text t = {what, text, len};
	struct err own = {0};
	struct config_at at = {.e = e ? e : &own};
	void *raw;
	int r = config_yaml_load(&t, &mirror_top_schema, e, &raw);

	if (r < 0)
		return r;
	r = config_mirror_take(raw, &at, ret);
	config_yaml_free(&mirror_top_schema, raw);
	return r < 0 ? config_yaml_blame(&t, &at, r) : 0;
}
