// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames of any bytes through the switch's decisions. Input: per frame one byte of port and switches,
 * one of length, then so many bytes. Each verdict must be one the rules allow: no frame goes back where
 * it came from, into a VLAN the port is not in, or from an isolated port to another; and what is said
 * of its VLAN is what a second reading of the bytes says.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz_check.h"
#include "vswitch/forward.h"

#define PORTS 4

static void ports_init(struct forward *fw)
{
	for (unsigned int i = 0; i < PORTS; i++)
		forward_port_init(&fw->ports[i]);
	vlan_port_trunk(&fw->ports[1].vlan, 1);
	CHECK(vlan_port_add(&fw->ports[1].vlan, 1, 100) == 0);
	fw->ports[2].isolated = fw->ports[3].isolated = true;
	fw->ports[3].guard = (struct guard){
		.nr_ipv4 = 1, .ipv4 = {1}, .nr_ipv6 = 1, .no_dhcp_server = true, .no_router = true};
	meter_init(&fw->ports[2].storm_broadcast, 10, 10, 0);
}

static void verdict_check(const struct forward *fw, uint16_t in, const uint8_t *b, uint32_t len,
	const struct verdict *v)
{
	bool tagged = len >= 14 && b[12] == 0x81 && b[13] == 0;
	uint16_t vid = tagged && len >= 18 ? (uint16_t)((b[14] & 15) << 8 | b[15]) : 0;

	CHECK(len >= (tagged ? 18 : 14) || (v->kind == VERDICT_DROP && v->reason == DROP_RUNT));
	if (v->kind == VERDICT_DROP) {
		CHECK(v->reason < DROP_REASON_COUNT && v->reason_port < PORTS);
		return;
	}
	CHECK(!(b[6] & 1));
	CHECK(v->tagged == tagged && v->priority_tag == (tagged && !vid));
	CHECK(v->vlan == (vid ? vid : 1) && vlan_port_has(&fw->ports[in].vlan, v->vlan));
	/* What is behind a tag that is taken off is no tag. */
	if (len >= 18 &&
		(b[12] == 0x88 && b[13] == 0xa8 ? true : tagged && b[16] == 0x81 && !b[17])) {
		CHECK(vid);
		CHECK(v->kind != VERDICT_PORT || forward_egress_tagged(fw, v->port, v->vlan));
		CHECK(v->kind != VERDICT_FLOOD || !forward_reaches(fw, in, 0, v));
	}
	if (v->kind == VERDICT_PORT) {
		CHECK(v->port < PORTS && v->port != in && !(b[0] & 1));
		CHECK(vlan_port_has(&fw->ports[v->port].vlan, v->vlan));
		CHECK(!(fw->ports[in].isolated && fw->ports[v->port].isolated));
	} else {
		CHECK((v->cast == FRAME_UNICAST) == !(b[0] & 1));
		CHECK(!forward_floods(fw, in, in, v->vlan, v->cast));
	}
	/* Its source is now known to be here. */
	CHECK(fdb_lookup(fw->fdb, fdb_key(frame_mac(b + 6), v->vlan)) == in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fdb_config cfg = {
		.capacity = 16, .nr_ports = PORTS, .ageing_s = 10, .seed = 1};
	struct forward *fw;
	uint64_t now = 0;

	CHECK(forward_create(&cfg, &fw) == 0);
	ports_init(fw);
	while (size >= 2) {
		uint16_t in = data[0] % PORTS;
		uint32_t len = data[1] % 128;
		struct forward_frame f;
		struct verdict v;
		uint8_t *copy;

		/* Random bytes are hardly ever a frame; the upper bits make one. */
		uint8_t how = data[0] >> 2;

		data += 2;
		size -= 2;
		if (len > size)
			len = (uint32_t)size;
		copy = malloc(len ? len : 1); /* to the byte, for ASan */
		CHECK(copy);
		memcpy(copy, data, len);
		data += len;
		size -= len;
		if (how & 1 && len >= 12) {
			memset(copy, 2, 11);
			copy[5] = how >> 3;
			copy[11] &= 7;
		}
		if (how & 2 && len >= 14) {
			static const uint16_t types[] = {0x8100, 0x0806, 0x0800, 0x86dd, 0x88a8};
			uint16_t type = types[(how >> 3) % 5];

			copy[12] = (uint8_t)(type >> 8);
			copy[13] = (uint8_t)type;
		}
		now += (uint64_t)how << 24;
		f = (struct forward_frame){copy, len, len, len};
		forward_decide(fw, in, &f, 1, now, &v);
		verdict_check(fw, in, copy, len, &v);
		if (how & 4)
			fdb_age(fw->fdb, (uint32_t)(now / 1000000000u), UINT32_MAX);
		CHECK(fdb_count(fw->fdb) <= 16);
		free(copy);
	}
	forward_destroy(fw);
	return 0;
}
