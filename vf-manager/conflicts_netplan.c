// SPDX-License-Identifier: GPL-2.0-or-later
/* netplan: a PF with virtual-function-count, and VFs that name it with link. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "vf-manager/conflicts.h"

static yaml_node_t *child(yaml_document_t *doc, yaml_node_t *map, const char *key)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
		p++) {
		yaml_node_t *k = yaml_document_get_node(doc, p->key);

		if (k && k->type == YAML_SCALAR_NODE &&
			!strcmp((const char *)k->data.scalar.value, key))
			return yaml_document_get_node(doc, p->value);
	}
	return NULL;
}

static const char *scalar(yaml_node_t *n)
{
	return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : "";
}

static unsigned line_of(const yaml_node_t *n)
{
	return (unsigned)n->start_mark.line + 1;
}

/* Is the definition called @id for our PF? Without match:, its id is the interface's name. */
static bool is_ours(struct conflicts *c, yaml_document_t *doc, const char *id, yaml_node_t *def)
{
	yaml_node_t *match = child(doc, def, "match");
	const char *name = scalar(child(doc, match, "name"));
	const char *mac = scalar(child(doc, match, "macaddress"));
	const char *driver = scalar(child(doc, match, "driver"));

	if (!match)
		return conflict_name_is(c, id);
	return (!*name || conflict_names_fit(name, " ", c->f->netdev)) &&
	       (!*mac || conflict_mac_is(c, mac)) &&
	       (!*driver || conflict_names_fit(driver, " ", c->f->driver)) &&
	       (*name || *mac || *driver);
}

static void definition(struct conflicts *c, const char *path, yaml_document_t *doc, const char *id,
	yaml_node_t *def)
{
	static const char *const keys[] = {
		"virtual-function-count", "embedded-switch-mode", "delay-virtual-functions-rebind"};

	if (!is_ours(c, doc, id, def))
		return;
	for (size_t i = 0; i < 3; i++) {
		yaml_node_t *n = child(doc, def, keys[i]);

		if (n) {
			conflict(c, path, line_of(n),
				"netplan manages the VFs of this interface at boot and at each "
				"'netplan apply'",
				"take %s: %s out of ethernets: %s:, then netplan generate", keys[i],
				scalar(n), id);
			return;
		}
	}
}

static void ethernets(struct conflicts *c, const char *path, yaml_document_t *doc, yaml_node_t *map)
{
	yaml_node_pair_t *start, *top;

	if (!map || map->type != YAML_MAPPING_NODE)
		return;
	start = map->data.mapping.pairs.start;
	top = map->data.mapping.pairs.top;
	for (yaml_node_pair_t *p = start; p < top; p++) {
		yaml_node_t *def = yaml_document_get_node(doc, p->value), *link;
		const char *id = scalar(yaml_document_get_node(doc, p->key)), *pf;

		definition(c, path, doc, id, def);
		link = child(doc, def, "link");
		pf = scalar(link);
		if (*pf && is_ours(c, doc, pf, child(doc, map, pf)))
			conflict(c, path, line_of(link), "netplan defines a VF of this interface",
				"take %s: (link: %s) out, then netplan generate", id, pf);
	}
}

void conflict_netplan_file(struct conflicts *c, const char *path, char *text)
{
	yaml_parser_t parser;
	yaml_document_t doc;

	if (!yaml_parser_initialize(&parser))
		return;
	yaml_parser_set_input_string(&parser, (unsigned char *)text, strlen(text));
	/* What netplan itself cannot read does nothing. */
	if (yaml_parser_load(&parser, &doc)) {
		yaml_node_t *network = child(&doc, yaml_document_get_root_node(&doc), "network");

		ethernets(c, path, &doc, child(&doc, network, "ethernets"));
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
}

void conflict_netplan(struct conflicts *c)
{
	static const char *const dirs[] = {
		"run/netplan", "etc/netplan", "usr/lib/netplan", "lib/netplan", NULL};

	conflict_files(c, dirs, ".yaml", conflict_netplan_file);
}
