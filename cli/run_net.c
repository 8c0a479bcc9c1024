// SPDX-License-Identifier: GPL-2.0-or-later
/* --net: a network device, virtio or an e1000, and what is behind it. */
#include "cli/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "common/cleanup.h"
#include "devices/vhost_user.h"

/*
 * How long the guest waits for a switch, once, to be offered all that it can do. One that is told to
 * connect again tries about every second.
 */
#define VHOST_WAIT_MS 3000

struct net_kind {
	const char *name, *arg; /* KIND=ARG, for messages */
	int (*create)(const struct net_option *o, struct guest *g, struct err *e,
		struct net_backend **ret);
};

static int tap_create(
	const struct net_option *o, struct guest *g, struct err *e, struct net_backend **ret)
{
	return net_tap_create(o->arg, o->dev.pairs, g->vm->mem, e, ret);
}

static int loop_create(
	const struct net_option *o, struct guest *g, struct err *e, struct net_backend **ret)
{
	return net_loop_create(o->dev.pairs, g->vm->mem, e, ret);
}

static int vhost_create(
	const struct net_option *o, struct guest *g, struct err *e, struct net_backend **ret)
{
	const struct vhost_user_config cfg = {
		.path = o->arg,
		.client = o->client,
		.pairs = o->dev.pairs,
		.mtu = o->dev.mtu,
		.mem = g->vm->mem,
		.without = o->dev.without,
		.wait_ms = VHOST_WAIT_MS,
		.interrupted = g->interrupted,
		.interrupted_ctx = g->interrupted_ctx,
	};

	return vhost_user_create(&cfg, e, ret);
}

static const struct net_kind kinds[] = {
	{"tap", "NAME", tap_create},
	{"loop", "NAME", loop_create},
	{"vhost-user", "PATH", vhost_create},
};

const char *net_kind_name(const struct net_option *o)
{
	return o->kind->name;
}

bool net_option_lends_memory(const struct net_option *o)
{
	return o->kind->create == vhost_create;
}

/* ---- parsing ---- */

static int key_mac(struct net_option *o, const char *val, struct err *e)
{
	unsigned int b[6];
	int end = 0;

	if (strlen(val) != 17 ||
		sscanf(val, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
			&end) != 6 ||
		end != 17)
		return err_set(e, EINVAL, "mac=%s: write it as 52:54:00:12:34:56", val);
	for (unsigned int i = 0; i < 6; i++)
		o->dev.mac[i] = (uint8_t)b[i];
	if (b[0] & 1 || !(b[0] | b[1] | b[2] | b[3] | b[4] | b[5]))
		return err_set(e, EINVAL, "mac=%s: that is no address of one interface", val);
	return 0;
}

static int key_number(const char *key, const char *val, unsigned int min, unsigned int max,
	struct err *e, unsigned int *ret)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(val, &end, 10);
	if (*val < '0' || *val > '9' || *end || errno || v < min || v > max)
		return err_set(e, EINVAL, "%s=%s: a number from %u to %u", key, val, min, max);
	*ret = (unsigned int)v;
	return 0;
}

#define BIT(n) (1ull << (n))

#define TSO_FEATURES                                                        \
	(BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |      \
		BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_UFO) | \
		BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | \
		BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO))

/* What a guest need not be offered though the back end has it. Segmentation needs checksums. */
static const struct {
	const char *key;
	uint64_t features;
} switches[] = {
	{"csum", BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | TSO_FEATURES},
	{"tso", TSO_FEATURES},
	{"mrg", BIT(VIRTIO_NET_F_MRG_RXBUF)},
	{"packed", BIT(VIRTIO_F_RING_PACKED)},
	{"in_order", BIT(VIRTIO_F_IN_ORDER)},
	{"indirect", BIT(VIRTIO_RING_F_INDIRECT_DESC)},
	{"event_idx", BIT(VIRTIO_RING_F_EVENT_IDX)},
};

/* 1: it is one of them. */
static int key_switch(struct net_option *o, const char *key, const char *val, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
		if (strcmp(key, switches[i].key) != 0)
			continue;
		if (!strcmp(val, "off"))
			o->dev.without |= switches[i].features;
		else if (strcmp(val, "on") != 0)
			return err_set(
				e, EINVAL, "%s=%s: write %s=on or %s=off", key, val, key, key);
		return 1;
	}
	return 0;
}

static int key_parse(struct net_option *o, const char *key, const char *val, struct err *e)
{
	char known[128] = "";
	unsigned int v = 0;
	int r;

	if (!strcmp(key, "mac"))
		return key_mac(o, val, e);
	if (!strcmp(key, "queues")) {
		r = key_number(key, val, 1, NET_MAX_PAIRS, e, &v);
		if (r == 0)
			o->dev.pairs = v;
		return r;
	}
	if (!strcmp(key, "mtu")) {
		r = key_number(key, val, VNET_MTU_MIN, VNET_MTU_MAX, e, &v);
		if (r == 0)
			o->dev.mtu = (uint16_t)v;
		return r;
	}
	if (!strcmp(key, "mode") && o->kind->create == vhost_create) {
		o->client = !strcmp(val, "client");
		if (!o->client && strcmp(val, "server") != 0)
			return err_set(e, EINVAL, "mode=%s: write mode=server or mode=client", val);
		return 0;
	}
	if (!strcmp(key, "model")) {
		o->e1000 = !strcmp(val, "e1000");
		if (!o->e1000 && strcmp(val, "virtio") != 0)
			return err_set(
				e, EINVAL, "model=%s: write model=virtio or model=e1000", val);
		return 0;
	}
	r = key_switch(o, key, val, e);
	if (r)
		return r < 0 ? r : 0;
	for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
		snprintf(known + strlen(known), sizeof(known) - strlen(known),
			", %s=", switches[i].key);
	return err_set(e, EINVAL,
		"'%s' is no setting of %s; there are mac=, model=, queues=, mtu=%s%s", key,
		o->kind->name, o->kind->create == vhost_create ? ", mode=" : "", known);
}

static int kind_parse(struct net_option *o, char *text, struct err *e)
{
	char *arg = strchr(text, '=');
	char known[128] = "";

	if (arg)
		*arg++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!strcmp(text, kinds[i].name))
			o->kind = &kinds[i];
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s=%s",
			i ? ", " : "", kinds[i].name, kinds[i].arg);
	}
	if (!o->kind)
		return err_set(e, EINVAL, "'%s' is no kind of network; there are: %s", text, known);
	if (!arg || !*arg)
		return err_set(e, EINVAL, "%s: write %s=%s", text, text, o->kind->arg);
	o->arg = strdup(arg);
	return o->arg ? 0 : err_sys(e, ENOMEM, "%s", text);
}

/* A card that was built in 2002 has one queue, no wish for an MTU, and rings only we can serve. */
static int model_check(const struct net_option *o, struct err *e)
{
	if (!o->e1000)
		return 0;
	if (o->kind->create == vhost_create)
		return err_set(e, EINVAL,
			"model=e1000: its rings are not those of vhost-user; use tap=NAME, or "
			"model=virtio");
	if (o->dev.pairs != 1 || o->dev.mtu || o->dev.without)
		return err_set(e, EINVAL, "model=e1000: of the settings it takes only mac=");
	return 0;
}

int net_option_parse(const char *text, struct err *e, struct net_option *ret)
{
	_cleanup_free_ char *copy = strdup(text);
	struct net_option o = {.dev.pairs = 1};
	char *save = NULL, *s;
	int r;

	if (!copy)
		return err_sys(e, ENOMEM, "%s", text);
	s = strtok_r(copy, ",", &save);
	r = s ? kind_parse(&o, s, e) : err_set(e, EINVAL, "write tap=NAME or vhost-user=PATH");
	while (r == 0 && (s = strtok_r(NULL, ",", &save))) {
		char *val = strchr(s, '=');

		if (val)
			*val++ = '\0';
		r = key_parse(&o, s, val ?: "", e);
	}
	if (r == 0)
		r = model_check(&o, e);
	if (r < 0) {
		net_option_finish(&o);
		return r;
	}
	*ret = o;
	return 0;
}

void net_option_finish(struct net_option *o)
{
	free(o->arg);
	o->arg = NULL;
}

/* ---- making ---- */

/*
 * The same guest has the same addresses each time, and another guest other ones: FNV-1a of its name
 * and the device's number, locally administered.
 */
static void mac_default(const char *name, unsigned int i, uint8_t *ret)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (const char *p = name; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3u;
	h = (h ^ i) * 0x100000001b3u;
	ret[0] = 0x52;
	ret[1] = 0x54;
	for (unsigned int k = 2; k < 6; k++)
		ret[k] = (uint8_t)(h >> (k * 8));
}

static int virtio_add(struct guest *g, unsigned int i, const struct vnet_config *cfg,
	struct net_backend *be, struct err *e)
{
	const struct vnet_host host = {
		.pci = g->vm->pci,
		.mem = g->vm->mem,
		.irq = g->vm->irq,
		.bell = doorbell_backend_kvm(g->vm->fd),
	};

	return vnet_create(&host, cfg, be, e, &g->net[i]);
}

int net_option_add(struct guest *g, unsigned int i, struct err *e)
{
	static const uint8_t none[6];
	const struct net_option *o = &g->opt->net[i];
	const struct e1000_host host = {
		.pci = g->vm->pci,
		.mem = g->vm->mem,
		.lines = g->vm->lines,
	};
	struct vnet_config cfg = o->dev;
	struct net_backend *be;
	int r;

	if (!memcmp(cfg.mac, none, sizeof(none)))
		mac_default(g->opt->name, i, cfg.mac);
	r = o->kind->create(o, g, e, &be);
	if (r < 0)
		return r;
	if (o->e1000)
		return e1000_create(&host, cfg.mac, be, e, &g->e1000[i]);
	return virtio_add(g, i, &cfg, be, e);
}
