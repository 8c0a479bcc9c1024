// SPDX-License-Identifier: GPL-2.0-or-later
/* Any bytes as the switch's configuration: refused with a reason, or within what the switch takes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz_check.h"
#include "vswitch/config.h"

static void port_check(const struct port_config *p)
{
	CHECK(p->name[0] && strlen(p->name) < CONFIG_NAME_MAX);
	CHECK(p->forward.present && p->forward.mtu >= 68 && p->forward.mtu <= 65535);
	CHECK(p->forward.vlan.native <= VLAN_MAX);
	CHECK(!vlan_port_has(&p->forward.vlan, 0) && !vlan_port_has(&p->forward.vlan, 4095));
	CHECK(p->forward.guard.nr_mac <= GUARD_LIST_MAX);
}

/* Pieces from which random numbers make something that is nearly right. */
static const char *const pieces[] = {"socket: /s\n", "ports:\n", "- {name: a, vhost-user: /a}\n",
	"- name: b\n  device: net_tap0\n", "  vlan: {trunk: [\"1-4094\"], native: 3}\n",
	"  mtu: 70000\n", "  isolated: true\n", "  police: {kbit: 99999999999}\n",
	"  storm: {unknown: 4294967295}\n", "  anti-spoofing: {mac: [\"02:00:00:00:00:01\"]}\n",
	"fdb: {capacity: 0}\n", "core: 99999999999999999999\n", "  fdb-limit: 1\n", "*x", "&x ",
	"{", "- ", "  no-flood: [unknown, broadcast]\n"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct switch_config *c = NULL;
	struct port_config p;
	struct err e = {0};
	char text[4096];
	size_t len = 0;

	if (switch_config_parse("x", data, size, &e, &c) < 0)
		CHECK(e.code && e.text[0] && !c);
	switch_config_destroy(c);
	c = NULL;
	for (size_t i = 0; i < size && i < 24; i++) {
		const char *piece = pieces[data[i] % (sizeof(pieces) / sizeof(pieces[0]))];

		if (len + strlen(piece) < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", piece);
	}
	if (switch_config_parse("x", text, len, &e, &c) == 0) {
		CHECK(c->socket[0] == '/' && c->fdb_capacity && c->nr_ports <= FORWARD_PORTS_MAX);
		for (size_t i = 0; i < c->nr_ports; i++)
			port_check(&c->ports[i]);
		switch_config_destroy(c);
	}
	if (port_config_parse("x", data, size, &e, &p) == 0)
		port_check(&p);
	return 0;
}
