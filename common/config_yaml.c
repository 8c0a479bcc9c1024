// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <yaml.h>

#include "common/cleanup.h"
#include "common/config_yaml.h"

int config_bad(struct config_at *at, const char *key, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	snprintf(at->bad, sizeof(at->bad), "%s%s%s", at->base, *at->base && *key ? "/" : "", key);
	return err_set(at->e, EINVAL, "%s", text);
}

/* What is quoted from a file must not reach a terminal as control bytes. */
static void printable(struct err *e)
{
	for (char *c = e ? e->text : NULL; c && *c; c++)
		if ((unsigned char)*c < ' ' || *c == '\177')
			*c = '?';
}

static int mark_err(
	const struct config_text *t, const yaml_mark_t *m, struct err *e, const char *text)
{
	return err_set(e, EINVAL, "%s:%zu:%zu: %s", t->what, m->line + 1, m->column + 1, text);
}

/* Where byte @offset is; a column is a character, as everywhere, and in UTF-16 a byte. */
static yaml_mark_t mark_of(const struct config_text *t, size_t offset)
{
	const unsigned char *text = t->bytes;
	yaml_mark_t m = {.index = offset};

	for (size_t i = 0; i < offset && i < t->len; i++) {
		if (text[i] == '\n') {
			m.line++;
			m.column = 0;
		} else {
			m.column += (text[i] & 0xc0) != 0x80;
		}
	}
	return m;
}

static int parser_err(const struct config_text *t, const yaml_parser_t *p, struct err *e)
{
	const char *problem = p->problem ? p->problem : "this is no YAML";
	yaml_mark_t m = p->problem_mark;

	if (p->error == YAML_MEMORY_ERROR)
		return err_set(e, ENOMEM, "%s: out of memory", t->what);
	/* The reader is ahead of the parser and counts bytes alone. */
	if (p->error == YAML_READER_ERROR)
		m = mark_of(t, p->problem_offset);
	return mark_err(t, &m, e, problem);
}

/* One document and no more: what came after it would be left unread without a word. */
static int doc_load(const struct config_text *t, struct err *e, yaml_document_t *ret)
{
	yaml_document_t next;
	yaml_parser_t parser;
	yaml_node_t *more;
	int r = 0;

	if (!yaml_parser_initialize(&parser))
		return err_set(e, ENOMEM, "%s: out of memory", t->what);
	yaml_parser_set_input_string(&parser, t->bytes, t->len);
	if (!yaml_parser_load(&parser, ret)) {
		r = parser_err(t, &parser, e);
		goto out;
	}
	if (!yaml_document_get_root_node(ret))
		goto out;
	if (!yaml_parser_load(&parser, &next)) {
		r = parser_err(t, &parser, e);
	} else {
		more = yaml_document_get_root_node(&next);
		if (more)
			r = mark_err(
				t, &more->start_mark, e, "a second document: one file holds one");
		yaml_document_delete(&next);
	}
	if (r < 0)
		yaml_document_delete(ret);
out:
	yaml_parser_delete(&parser);
	return r;
}

static const char *scalar_of(yaml_document_t *doc, int index)
{
	const yaml_node_t *n = yaml_document_get_node(doc, index);

	return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static const cyaml_schema_field_t *field_find(const cyaml_schema_value_t *s, const char *key)
{
	for (const cyaml_schema_field_t *f = s->mapping.fields; f->key; f++)
		if (!strcmp(f->key, key))
			return f;
	return NULL;
}

/* "'speed' is no key here; there are socket, core, ..." */
static int key_err(const struct config_text *t, const cyaml_schema_value_t *s,
	const yaml_node_t *node, const char *key, struct err *e)
{
	char text[640];
	size_t n;

	n = (size_t)snprintf(text, sizeof(text), "'%.64s' is no key here; there are", key);
	for (const cyaml_schema_field_t *f = s->mapping.fields; f->key && n < sizeof(text); f++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s",
			f == s->mapping.fields ? "" : ",", f->key);
	return mark_err(t, &node->start_mark, e, text);
}

static bool is_bool(const char *text)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(text, words[i]))
			return true;
	return false;
}

/* Decimal or 0x...; a zero in front of more digits is eight times as much to some, ten to others. */
static bool is_number(const char *text)
{
	const char *digits = "0123456789";

	text += *text == '-';
	if (text[0] == '0' && (text[1] | 0x20) == 'x') {
		digits = "0123456789abcdefABCDEF";
		text += 2;
	} else if (text[0] == '0' && text[1]) {
		return false;
	}
	return *text && !text[strspn(text, digits)];
}

/* What libcyaml takes in silence: any word for true, "9k" for 9, a text up to its first zero byte. */
static int scalar_check(const struct config_text *t, const yaml_node_t *node,
	const cyaml_schema_value_t *s, const char *key, struct err *e)
{
	const char *value = (const char *)node->data.scalar.value;
	char text[160];

	if (strlen(value) != node->data.scalar.length)
		return mark_err(t, &node->start_mark, e, "a text with a zero byte");
	if (s->type == CYAML_BOOL && !is_bool(value))
		return mark_err(t, &node->start_mark, e, "this must be true or false");
	if ((s->type != CYAML_INT && s->type != CYAML_UINT) || is_number(value))
		return 0;
	snprintf(text, sizeof(text), "%s%s'%.48s' is no whole number: digits, and no unit", key,
		*key ? ": " : "", value);
	return mark_err(t, &node->start_mark, e, text);
}

static bool has_key(yaml_document_t *doc, const yaml_node_t *mapping, const char *key)
{
	for (yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
		p < mapping->data.mapping.pairs.top; p++)
		if (!strcmp(scalar_of(doc, p->key), key))
			return true;
	return false;
}

/*
 * Keys and values of what @index is, the value of @key, and below: as deep as the schema is. libcyaml
 * names neither the keys there are nor the line of the wrong one.
 */
static int node_check(const struct config_text *t, yaml_document_t *doc, int index, const char *key,
	const cyaml_schema_value_t *s, struct err *e)
{
	yaml_node_t *node = yaml_document_get_node(doc, index);
	int r = 0;

	if (node->type == YAML_SCALAR_NODE)
		return scalar_check(t, node, s, key, e);
	if (node->type == YAML_SEQUENCE_NODE && s->type == CYAML_SEQUENCE) {
		for (yaml_node_item_t *i = node->data.sequence.items.start;
			i < node->data.sequence.items.top && r >= 0; i++)
			r = node_check(t, doc, *i, key, s->sequence.entry, e);
		return r;
	}
	if (node->type != YAML_MAPPING_NODE || s->type != CYAML_MAPPING)
		return 0;
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
		p < node->data.mapping.pairs.top && r >= 0; p++) {
		const yaml_node_t *k = yaml_document_get_node(doc, p->key);
		const char *name = scalar_of(doc, p->key);
		const cyaml_schema_field_t *f = name ? field_find(s, name) : NULL;

		if (!f)
			return key_err(t, s, k, name ? name : "", e);
		if (strlen(name) != k->data.scalar.length)
			return mark_err(t, &k->start_mark, e, "a text with a zero byte");
		for (yaml_node_pair_t *o = node->data.mapping.pairs.start; o < p; o++)
			if (!strcmp(scalar_of(doc, o->key), name)) {
				char text[96];

				snprintf(text, sizeof(text), "'%s' is given twice", f->key);
				return mark_err(t, &k->start_mark, e, text);
			}
		r = node_check(t, doc, p->value, f->key, &f->value, e);
	}
	for (const cyaml_schema_field_t *f = s->mapping.fields; f->key && r >= 0; f++) {
		char text[96];

		if (f->value.flags & CYAML_FLAG_OPTIONAL || has_key(doc, node, f->key))
			continue;
		snprintf(text, sizeof(text), "'%s' is missing here", f->key);
		r = mark_err(t, &node->start_mark, e, text);
	}
	return r;
}

/* An alias can unfold to more than memory holds. libcyaml refuses it too, but at the wrong place. */
static int aliases_refuse(const struct config_text *t, struct err *e)
{
	yaml_parser_t parser;
	yaml_event_t event;
	bool end = false;
	int r = 0;

	if (!yaml_parser_initialize(&parser))
		return err_set(e, ENOMEM, "%s: out of memory", t->what);
	yaml_parser_set_input_string(&parser, t->bytes, t->len);
	while (!end && r == 0) {
		if (!yaml_parser_parse(&parser, &event)) {
			r = parser_err(t, &parser, e);
			break;
		}
		end = event.type == YAML_STREAM_END_EVENT;
		if (event.type == YAML_ALIAS_EVENT)
			r = mark_err(t, &event.start_mark, e,
				"an alias (*name) is not taken: write out what it stands for");
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return r;
}

static int doc_check(const struct config_text *t, const cyaml_schema_value_t *schema, struct err *e)
{
	yaml_document_t doc;
	int r = aliases_refuse(t, e);

	if (r == 0)
		r = doc_load(t, e, &doc);
	if (r < 0)
		return r;
	if (!yaml_document_get_root_node(&doc))
		r = err_set(e, EINVAL, "%s is empty", t->what);
	else
		r = node_check(t, &doc, 1, "", schema, e);
	yaml_document_delete(&doc);
	return r;
}

/* What libcyaml says on the way: the first line is what is wrong, the next the innermost place. */
struct messages {
	char text[256], key[64];
	unsigned int line, column;
};

__attribute__((format(printf, 3, 0))) static void message_take(
	cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct messages *m = ctx;
	char text[256], *p = text, *place;

	vsnprintf(text, sizeof(text), fmt, args);
	if (!strncmp(p, "Load: ", 6))
		p += 6;
	while (isspace((unsigned char)*p))
		p++;
	p[strcspn(p, "\n")] = '\0';
	if (!strncmp(p, "Backtrace", 9))
		return;
	if (!m->text[0]) {
		snprintf(m->text, sizeof(m->text), "%s", p);
		return;
	}
	place = strstr(p, "(line: ");
	if (!m->line && place)
		sscanf(place, "(line: %u, column: %u)", &m->line, &m->column);
	if (!m->key[0])
		sscanf(p, "in mapping field '%63[^']'", m->key);
}

static int yaml_load(
	const struct config_text *t, const cyaml_schema_value_t *schema, struct err *e, void **ret)
{
	struct messages m = {0};
	const cyaml_config_t cfg = {
		.log_fn = message_take,
		.log_ctx = &m,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_WARNING,
		.flags = CYAML_CFG_NO_ALIAS,
	};
	void *data = NULL;
	cyaml_err_t c;
	int r = doc_check(t, schema, e);

	if (r < 0)
		return r;
	c = cyaml_load_data(t->bytes, t->len, &cfg, schema, &data, NULL);
	if (c == CYAML_ERR_OOM)
		return err_set(e, ENOMEM, "%s: out of memory", t->what);
	/* Without a line the first is meant: the file as a whole. */
	if (c != CYAML_OK)
		return err_set(e, EINVAL, "%s:%u:%u: %s%s%s", t->what, m.line ? m.line : 1,
			m.line ? m.column : 1, m.key, m.key[0] ? ": " : "",
			m.text[0] && strncmp(m.text, "in ", 3) ? m.text : cyaml_strerror(c));
	if (!data)
		return err_set(e, EINVAL, "%s is empty", t->what);
	*ret = data;
	return 0;
}

int config_yaml_load(
	const struct config_text *t, const cyaml_schema_value_t *schema, struct err *e, void **ret)
{
	int r = yaml_load(t, schema, e, ret);

	if (r < 0)
		printable(e);
	return r;
}

void config_yaml_free(const cyaml_schema_value_t *schema, void *data)
{
	const cyaml_config_t cfg = {.mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};

	cyaml_free(&cfg, schema, data, 0);
}

/* The child of @node that @step names: a key, or an entry's number. NULL: there is none. */
static yaml_node_t *node_step(yaml_document_t *doc, yaml_node_t *node, const char *step)
{
	if (node->type == YAML_SEQUENCE_NODE) {
		size_t i = strtoul(step, NULL, 10);
		yaml_node_item_t *first = node->data.sequence.items.start;

		return i < (size_t)(node->data.sequence.items.top - first)
			       ? yaml_document_get_node(doc, first[i])
			       : NULL;
	}
	if (node->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
		p++) {
		const char *key = scalar_of(doc, p->key);

		if (key && !strcmp(key, step))
			return yaml_document_get_node(doc, p->value);
	}
	return NULL;
}

struct config_doc {
	yaml_document_t doc;
};

int config_doc_open(const struct config_text *t, struct config_doc **ret, struct err *e)
{
	_cleanup_free_ struct config_doc *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return err_set(e, ENOMEM, "%s: out of memory", t->what);
	r = doc_load(t, e, &d->doc);
	if (r < 0)
		return r;
	*ret = ptr_steal(d);
	return 0;
}

void config_doc_close(struct config_doc *d)
{
	if (!d)
		return;
	yaml_document_delete(&d->doc);
	free(d);
}

void config_doc_find(
	struct config_doc *d, const char *path, unsigned int *ret_line, unsigned int *ret_column)
{
	char copy[sizeof(((struct config_at *)0)->bad)], *rest = copy, *step;
	yaml_node_t *node = yaml_document_get_root_node(&d->doc);
	yaml_mark_t mark = {0};

	snprintf(copy, sizeof(copy), "%s", path);
	if (node)
		mark = node->start_mark;
	/* What is missing is blamed on what it is missing in. */
	while (node && (step = strsep(&rest, "/"))) {
		node = *step ? node_step(&d->doc, node, step) : node;
		if (node)
			mark = node->start_mark;
	}
	*ret_line = (unsigned int)mark.line + 1;
	*ret_column = (unsigned int)mark.column + 1;
}

int config_yaml_blame(const struct config_text *t, const struct config_at *at, int r)
{
	struct config_doc *d = NULL;
	unsigned int line, column;

	printable(at->e);
	if (r != -EINVAL || config_doc_open(t, &d, NULL) < 0)
		return err_wrap(at->e, r, "%s", t->what);
	config_doc_find(d, at->bad[0] ? at->bad : at->base, &line, &column);
	config_doc_close(d);
	return err_wrap(at->e, r, "%s:%u:%u", t->what, line, column);
}
