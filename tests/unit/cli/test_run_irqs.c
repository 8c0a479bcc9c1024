// SPDX-License-Identifier: GPL-2.0-or-later
/* `viaduct info NAME --irqs` of a guest with an assigned device whose host has few interrupts. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/info.h"
#include "cli/run_irqs.h"
#include "tests/unit/check_run.h"
#include "tests/unit/passthrough/host_world.h"

#define SCHEMA SOURCE_DIR "/docs/schema/info-irqs.json"

/* ---- as told to programs ---- */

/* What the guest of host.h would answer; a new reference. */
static json_t *irqs(void)
{
	struct run_options opt = {.n_assign = 1};
	struct vm vm = {.pci = h->pci, .ioapic = h->ioapic, .irq = h->irq};
	const struct guest g = {.opt = &opt, .vm = &vm, .sysfs = h->sysfs, .assigned = {h->a}};

	return run_irqs_json(&g);
}

static const json_t *vector_of(const json_t *irqs, const char *kind, unsigned int index)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(irqs, "vectors"), i,
		v) if (!strcmp(json_string_value(json_object_get(v, "kind")), kind) &&
		       json_integer_value(json_object_get(v, "index")) == index) return v;
	ck_abort_msg("no vector %s %u", kind, index);
	return NULL;
}

/* @why: in the reason; NULL: there must be none. */
static void ck_delivery(unsigned int index, const char *delivery, const char *why)
{
	json_t *o = irqs();
	const json_t *v = vector_of(o, "msix", index), *reason = json_object_get(v, "why");

	ck_assert_str_eq(json_string_value(json_object_get(v, "delivery")), delivery);
	if (why)
		ck_assert_msg(json_is_string(reason) && strstr(json_string_value(reason), why),
			"vector %u: %s", index, json_string_value(reason));
	else
		ck_assert(json_is_null(reason));
	json_decref(o);
}

/* Four vectors, the host has interrupts for two. */
static void start(void)
{
	h->host_irqs = 2;
	dev_set(h, MSIX_CTL, 2, 3);
	h->dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = 4;
	open_placed();
	cfg_set(h, MSIX_CTL, 2, PCI_MSIX_FLAGS_ENABLE);
}

START_TEST(vector_the_host_has_no_interrupt_for_is_silent_and_says_why)
{
	start();
	msix_entry_set(h, 3, 0x44, true);
	ck_delivery(0, "masked", NULL);
	for (unsigned int i = 0; i < 3; i++)
		msix_entry_set(h, i, 0x41 + i, false);
	ck_delivery(0, "irqfd", NULL);
	ck_delivery(1, "irqfd", NULL);
	ck_delivery(2, "silent", "no interrupt left");
	/* Not in use, so that the host need not have one. */
	ck_delivery(3, "masked", NULL);
	/* Who masks it hears nothing anyhow. */
	msix_entry_set(h, 2, 0x43, true);
	ck_delivery(2, "masked", NULL);
	/* The host has more by the time the guest adds one: they are tried again. */
	h->host_irqs = 0;
	msix_entry_set(h, 2, 0x43, false);
	msix_entry_set(h, 3, 0x44, false);
	for (unsigned int i = 0; i < 4; i++)
		ck_delivery(i, "irqfd", NULL);
	cfg_set(h, MSIX_CTL, 2, 0);
	ck_delivery(2, "disabled", NULL);
}
END_TEST

START_TEST(isolated_device_has_no_silent_vectors)
{
	start();
	for (unsigned int i = 0; i < 3; i++)
		msix_entry_set(h, i, 0x41 + i, false);
	ck_delivery(2, "silent", "no interrupt left");
	assigned_isolate(h->a);
	ck_delivery(0, "disabled", NULL);
	ck_delivery(2, "disabled", NULL);
}
END_TEST

START_TEST(message_never_unmasked_is_told_with_its_target)
{
	const json_t *target;
	json_t *o;

	start();
	msix_entry_set(h, 3, 0x44, true);
	o = irqs();
	target = json_object_get(vector_of(o, "msix", 3), "target");
	ck_assert_int_eq(json_integer_value(json_object_get(target, "vector")), 0x44);
	/* As at power-on it has none. */
	ck_assert(json_is_null(json_object_get(vector_of(o, "msix", 2), "message")));
	ck_assert(json_is_null(json_object_get(vector_of(o, "msix", 2), "target")));
	json_decref(o);
}
END_TEST

/* ---- and to people ---- */

static void printed(char *text, size_t size)
{
	json_t *o = irqs();
	FILE *f = tmpfile();
	int out = dup(STDOUT_FILENO);
	size_t n;

	ck_assert(f && out >= 0);
	fflush(stdout);
	ck_assert_int_ge(dup2(fileno(f), STDOUT_FILENO), 0);
	ck_assert_int_eq(info_irqs_print(o), 0);
	fflush(stdout);
	ck_assert_int_ge(dup2(out, STDOUT_FILENO), 0);
	close(out);
	rewind(f);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	fclose(f);
	json_decref(o);
}

START_TEST(table_has_a_note_where_a_vector_is_silent_and_no_column_elsewhere)
{
	char text[8192];

	start();
	msix_entry_set(h, 0, 0x41, false);
	printed(text, sizeof(text));
	ck_assert_msg(!strstr(text, "NOTE") && strstr(text, "irqfd"), "%s", text);
	msix_entry_set(h, 1, 0x42, false);
	msix_entry_set(h, 2, 0x43, false);
	printed(text, sizeof(text));
	ck_assert_msg(strstr(text, "NOTE") && strstr(text, " silent ") &&
			      strstr(text, "the host has no interrupt left for it\n"),
		"%s", text);
}
END_TEST

/* ---- the schema ---- */

/* It lists each delivery a vector can have and none besides, and wants every key there is. */
START_TEST(schema_lists_what_a_vector_can_be)
{
	json_t *schema = json_load_file(SCHEMA, 0, NULL), *o, *items = NULL, *list = NULL;
	const json_t *value;
	const char *key;
	size_t i, n = 0;

	ck_assert_int_eq(
		json_unpack(schema, "{s:{s:{s:o}}}", "properties", "vectors", "items", &items), 0);
	ck_assert_int_eq(
		json_unpack(items, "{s:{s:{s:o}}}", "properties", "delivery", "enum", &list), 0);
	for (int d = IRQ_POSTED; d <= IRQ_SILENT; d++) {
		json_array_foreach(list, i, value) n +=
			!strcmp(json_string_value(value), irq_delivery_name(d));
		ck_assert_msg(n == (size_t)d + 1, "%s", irq_delivery_name(d));
	}
	ck_assert_uint_eq(n, json_array_size(list));
	start();
	o = irqs();
	json_object_foreach((json_t *)vector_of(o, "msix", 0), key, value)
	{
		n = 0;
		json_array_foreach(json_object_get(items, "required"), i, list) n +=
			!strcmp(json_string_value(list), key);
		ck_assert_msg(n == 1, "%s is not required", key);
	}
	json_decref(o);
	json_decref(schema);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("run-irqs");
	TCase *t = tcase_create("irqs");

	tcase_add_checked_fixture(t, host_up, host_down);
	tcase_add_test(t, vector_the_host_has_no_interrupt_for_is_silent_and_says_why);
	tcase_add_test(t, isolated_device_has_no_silent_vectors);
	tcase_add_test(t, message_never_unmasked_is_told_with_its_target);
	tcase_add_test(t, table_has_a_note_where_a_vector_is_silent_and_no_column_elsewhere);
	tcase_add_test(t, schema_lists_what_a_vector_can_be);
	suite_add_tcase(s, t);
	return suite_run(s);
}
