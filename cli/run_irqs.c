// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/run_irqs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/pci_regs.h>

#include "common/cleanup.h"
#include "vmm/layout.h"

/* What is looked up once for a whole answer. */
struct irqs {
	const struct guest *g;
	json_t *vectors;
	struct posting posting;
	struct host_irq *host;
	int n_host;
	/* who drives a pin: "com1", or functions as the guest names them */
	char users[IRQ_IOAPIC_PINS][64];
};

/* The function under way. */
struct function {
	const struct pci_func *f;
	struct assigned *assigned; /* NULL: emulated */
	const char *kind;
};

void info_put(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

void info_put_text(json_t *o, const char *key, const char *text)
{
	json_t *s = text && *text ? json_string(text) : NULL;

	json_object_set_new(o, key, s ? s : json_null());
}

const char *info_guest_bdf(uint8_t devfn, char buf[static BDF_STRLEN])
{
	return bdf_format((struct bdf){.dev = devfn >> 3, .fn = devfn & 7}, buf);
}

const char *irq_delivery_name(enum irq_delivery d)
{
	switch (d) {
	case IRQ_POSTED: return "posted";
	case IRQ_IRQFD: return "irqfd";
	case IRQ_USER: return "user-space";
	case IRQ_MASKED: return "masked";
	case IRQ_DISABLED: return "disabled";
	case IRQ_BLOCKED: return "blocked";
	case IRQ_NOWHERE: return "nowhere";
	case IRQ_FAILED: return "failed";
	case IRQ_SILENT: return "silent";
	}
	return "?";
}

enum irq_delivery irq_vector_delivery(const struct msi_vector *v, bool posting)
{
	if (!v->enabled)
		return IRQ_DISABLED;
	if (v->masked)
		return IRQ_MASKED;
	if (!v->made || v->vec.state == IRQ_VECTOR_MASKED)
		return IRQ_FAILED;
	switch (v->vec.state) {
	case IRQ_VECTOR_ATTACHED:
		return posting && posting_takes(irq_target_of(v->vec.way.out)) ? IRQ_POSTED
									       : IRQ_IRQFD;
	case IRQ_VECTOR_BLOCKED: return IRQ_BLOCKED;
	case IRQ_VECTOR_NOWHERE:
	case IRQ_VECTOR_MASKED: break;
	}
	return IRQ_NOWHERE;
}

enum irq_delivery irq_pin_delivery(const struct ioapic_pin *p)
{
	if (p->masked)
		return IRQ_MASKED;
	if (!p->sends)
		return IRQ_NOWHERE;
	return p->way.reaches ? IRQ_USER : IRQ_BLOCKED;
}

/* ---- parts of a vector ---- */

static json_t *target_json(const struct irq_way *w)
{
	struct irq_target t = irq_target_of(w->out);
	json_t *o;

	if (!w->reaches)
		return json_null();
	o = json_object();
	info_put(o, "destination", t.dest);
	json_object_set_new(o, "logical", json_boolean(t.logical));
	info_put(o, "vector", t.vector);
	info_put_text(o, "mode", irq_mode_name(t.mode));
	json_object_set_new(o, "level", json_boolean(t.level));
	return o;
}

static void way_put(json_t *o, const struct irq_way *w)
{
	json_t *m = json_null();
	char text[24];

	if (w->msg.addr || w->msg.data) {
		m = json_object();
		snprintf(text, sizeof(text), "0x%llx", (unsigned long long)w->msg.addr);
		info_put_text(m, "address", text);
		snprintf(text, sizeof(text), "0x%x", w->msg.data);
		info_put_text(m, "data", text);
	}
	json_object_set_new(o, "message", m);
	json_object_set_new(o, "remap_handle", w->remapped ? json_integer(w->handle) : json_null());
	json_object_set_new(o, "target", target_json(w));
}

/* By device, kind and index: a function may have thousands. */
static int host_irq_cmp(const void *a, const void *b)
{
	const struct host_irq *x = a, *y = b;

	if (x->bdf.domain != y->bdf.domain)
		return x->bdf.domain < y->bdf.domain ? -1 : 1;
	if (bdf_rid(x->bdf) != bdf_rid(y->bdf))
		return bdf_rid(x->bdf) < bdf_rid(y->bdf) ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->index == y->index ? 0 : x->index < y->index ? -1 : 1;
}

static void host_put(json_t *o, const struct irqs *s, const struct function *f,
	enum host_irq_kind kind, unsigned int index)
{
	struct host_irq key = {.kind = kind, .index = index};
	const struct host_irq *found = NULL;

	if (f->assigned && s->n_host > 0) {
		key.bdf = assigned_bdf(f->assigned);
		found = bsearch(&key, s->host, (size_t)s->n_host, sizeof(key), host_irq_cmp);
	}
	json_object_set_new(o, "host_irq", found ? json_integer(found->irq) : json_null());
	json_object_set_new(
		o, "count", found ? json_integer((json_int_t)found->count) : json_null());
}

static json_t *vector_json(const struct function *f, const char *kind, unsigned int index,
	enum irq_delivery d, const char *why)
{
	char buf[BDF_STRLEN];
	json_t *o = json_object();

	info_put_text(o, "guest_bdf", info_guest_bdf(f->f->devfn, buf));
	info_put_text(o, "bdf", f->assigned ? bdf_format(assigned_bdf(f->assigned), buf) : NULL);
	info_put_text(o, "device", f->kind);
	info_put_text(o, "kind", kind);
	info_put(o, "index", index);
	info_put_text(o, "delivery", irq_delivery_name(d));
	info_put_text(o, "why", why);
	return o;
}

/* ---- the kinds ---- */

static void message_snapshot(
	const struct function *f, bool msix, unsigned int i, struct msi_vector *ret)
{
	if (msix)
		msix_snapshot(f->f->msix, i, ret);
	else
		msi_snapshot(f->f->msi, i, ret);
}

/* Why a vector that the guest has unmasked does not fire. NULL: it does, or it is not unmasked. */
static const char *silence(const struct function *f, bool msix, unsigned int i,
	const struct msi_vector *v, enum irq_delivery d)
{
	const char *why;
	struct msi_vector now;

	if (!f->assigned || !v->enabled || v->masked || d == IRQ_FAILED)
		return NULL;
	why = assigned_silence(f->assigned, msix, i);
	if (!why)
		return NULL;
	/* Unless the guest has turned it off since it was looked at. */
	message_snapshot(f, msix, i, &now);
	return now.enabled && !now.masked ? why : NULL;
}

/* Returns whether the guest has turned this kind of interrupt on. */
static bool message_add(struct irqs *s, const struct function *f, bool msix, unsigned int i)
{
	bool posting = f->assigned && s->posting.possible;
	struct msi_vector v;
	enum irq_delivery d;
	const char *why;
	json_t *o;

	message_snapshot(f, msix, i, &v);
	d = irq_vector_delivery(&v, posting);
	why = silence(f, msix, i, &v, d);
	o = vector_json(f, msix ? "msix" : "msi", i, why ? IRQ_SILENT : d, why);
	json_object_set_new(o, "pending", json_boolean(v.pending));
	json_object_set_new(
		o, "gsi", v.made && v.vec.gsi >= 0 ? json_integer(v.vec.gsi) : json_null());
	host_put(o, s, f, msix ? HOST_IRQ_MSIX : HOST_IRQ_MSI, i);
	way_put(o, &v.vec.way);
	json_array_append_new(s->vectors, o);
	return v.enabled;
}

/* INTx of an emulated function: what its config space says; of its line the pin tells. */
static void intx_emulated(
	const struct irqs *s, const struct function *f, bool messages, struct assigned_intx *ret)
{
	uint32_t command = pci_cfg_read(s->g->vm->pci, 0, f->f->devfn, PCI_COMMAND, 2);

	*ret = (struct assigned_intx){.pin = f->f->cfg[PCI_INTERRUPT_PIN]};
	if (ret->pin < 1 || ret->pin > 4) {
		ret->pin = 0;
		return;
	}
	ret->gsi = pci_intx_gsi(f->f->devfn, ret->pin);
	ret->armed = !messages;
	ret->disabled = command & PCI_COMMAND_INTX_DISABLE;
}

static void intx_add(struct irqs *s, const struct function *f, bool messages)
{
	unsigned int devfn = f->f->devfn;
	struct assigned_intx x;
	struct ioapic_pin pin;
	enum irq_delivery d;
	char *users;
	size_t len;
	json_t *o;

	if (f->assigned)
		assigned_intx(f->assigned, &x);
	else
		intx_emulated(s, f, messages, &x);
	if (!x.pin)
		return;
	ioapic_snapshot(s->g->vm->ioapic, x.gsi, &pin);
	d = x.armed && !x.disabled ? irq_pin_delivery(&pin) : IRQ_DISABLED;
	o = vector_json(f, "intx", x.pin - 1, d, NULL);
	json_object_set_new(o, "pending",
		json_boolean(d == IRQ_MASKED && (f->assigned ? x.asserted : pin.asserted)));
	info_put(o, "gsi", x.gsi);
	host_put(o, s, f, HOST_IRQ_INTX, 0);
	if (f->assigned)
		info_put(o, "count", x.raised);
	way_put(o, &pin.way);
	json_array_append_new(s->vectors, o);

	users = s->users[x.gsi];
	len = strlen(users);
	snprintf(users + len, sizeof(s->users[0]) - len, "%s00:%02x.%u", len ? " " : "", devfn >> 3,
		devfn & 7);
}

static void function_add(struct irqs *s, const struct function *f)
{
	const struct pci_func *func = f->f;
	bool messages = false;

	for (unsigned int i = 0; func->msix && i < func->msix_n; i++)
		messages |= message_add(s, f, true, i);
	for (unsigned int i = 0; func->msi && i < msi_count(func->msi); i++)
		messages |= message_add(s, f, false, i);
	intx_add(s, f, messages);
}

static void functions_add(struct irqs *s)
{
	const struct guest *g = s->g;

	for (unsigned int devfn = 0; devfn < 256; devfn++) {
		struct function f = {.f = pci_root_function(g->vm->pci, (uint8_t)devfn)};

		if (!f.f)
			continue;
		f.kind = f.f->name;
		for (unsigned int i = 0; i < g->opt->n_assign; i++)
			if (g->assigned[i] && assigned_devfn(g->assigned[i]) == devfn)
				f.assigned = g->assigned[i];
		if (f.assigned)
			f.kind = "assigned";
		function_add(s, &f);
	}
}

static json_t *pins_json(struct irqs *s)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < IRQ_IOAPIC_PINS; i++) {
		struct ioapic_pin p;
		json_t *o = json_object();

		ioapic_snapshot(s->g->vm->ioapic, i, &p);
		info_put(o, "pin", i);
		info_put_text(o, "lines", s->users[i]);
		info_put_text(o, "delivery", irq_delivery_name(irq_pin_delivery(&p)));
		info_put_text(o, "trigger", p.level ? "level" : "edge");
		json_object_set_new(o, "asserted", json_boolean(p.asserted));
		json_object_set_new(o, "remote_irr", json_boolean(p.remote_irr));
		json_object_set_new(o, "pending", json_boolean(p.pending));
		info_put(o, "count", p.sent);
		way_put(o, &p.way);
		json_array_append_new(list, o);
	}
	return list;
}

json_t *run_irqs_json(const struct guest *g)
{
	struct irqs s = {.g = g, .vectors = json_array()};
	json_t *root = json_object(), *posting = json_object();

	posting_read(&g->sysfs, &s.posting);
	if (s.posting.possible && !g->vm->vfio_told) {
		s.posting.possible = false;
		snprintf(s.posting.why, sizeof(s.posting.why), "KVM knows of no assigned device");
	}
	s.n_host = host_irqs_read(&g->sysfs, &s.host);
	if (s.n_host > 0)
		qsort(s.host, (size_t)s.n_host, sizeof(*s.host), host_irq_cmp);
	snprintf(s.users[LAYOUT_GSI_COM1], sizeof(s.users[0]), "com1");
	functions_add(&s);
	free(s.host);
	json_object_set_new(posting, "possible", json_boolean(s.posting.possible));
	info_put_text(posting, "why", s.posting.why);
	json_object_set_new(root, "posting", posting);
	json_object_set_new(root, "vectors", s.vectors);
	json_object_set_new(root, "pins", pins_json(&s));
	return root;
}
