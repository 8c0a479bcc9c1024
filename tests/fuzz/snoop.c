// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames of any bytes through IGMP and MLD snooping. Input: per frame one byte of port and kind, one of
 * length, then so many bytes, of which the kind puts some right (headers, checksums) so that more gets
 * through. Whatever comes, each port has no more entries than its limit, the table and its counters
 * agree, nobody is in it who did not send, and in the end time empties it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz_check.h"
#include "vswitch/snoop.h"

#define PORTS 4
#define LIMIT 5

static uint32_t sum(const uint8_t *p, uint32_t len, uint32_t v)
{
	for (uint32_t i = 0; i < len; i++)
		v += i & 1 ? p[i] : (uint32_t)(p[i] << 8);
	return v;
}

static void csum_put(uint8_t *at, uint32_t v)
{
	while (v >> 16)
		v = (v & 0xffff) + (v >> 16);
	at[0] = (uint8_t)(~v >> 8);
	at[1] = (uint8_t)~v;
}

static void headers_put(uint8_t *b, uint32_t len, uint8_t kind)
{
	static const uint8_t igmp[] = {0x11, 0x12, 0x16, 0x17, 0x22}, mld[] = {130, 131, 132, 143};

	memset(b, 0, 12);
	b[0] = 1;
	if (kind & 1 && len >= 14 + 28) {
		uint8_t *p = b + 14, *m = p + 20;
		uint32_t n = len - 34;

		b[12] = 8;
		b[13] = 0;
		p[0] = 0x45;
		p[2] = 0;
		p[3] = (uint8_t)(len - 14);
		p[6] = p[7] = 0;
		p[9] = 2;
		m[0] = igmp[kind / 2 % 5];
		m[4] = 239;
		m[2] = m[3] = 0;
		csum_put(m + 2, sum(m, n, 0));
	} else if (len >= 14 + 40 + 24) {
		uint8_t *p = b + 14, *m = p + 40;
		uint32_t n = len - 54;

		b[12] = 0x86;
		b[13] = 0xdd;
		p[0] = 0x60;
		p[4] = 0;
		p[5] = (uint8_t)n;
		p[6] = 58;
		p[7] = 1;
		p[8] = 0xfe;
		p[9] = 0x80;
		m[0] = mld[kind / 2 % 4];
		m[2] = m[3] = 0;
		csum_put(m + 2, sum(m, n, sum(p + 8, 32, n + 58)));
	}
}

static void table_check(const struct snoop *s)
{
	uint32_t entries[PORTS] = {0}, cursor = 0;
	struct snoop_port_stats st;
	struct snoop_entry e;

	while (snoop_next(s, &cursor, 0, &e)) {
		CHECK(e.port < PORTS && e.vlan >= 1 && e.vlan <= 2);
		entries[e.port]++;
	}
	for (uint16_t i = 0; i < PORTS; i++) {
		snoop_stats_get(s, i, &st);
		CHECK(st.entries == entries[i] && st.entries <= LIMIT);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct snoop *s; /* large: made once, emptied each time */
	const struct snoop_config cfg = {.enabled = true, .drop_unregistered = true, .seed = 1};
	uint32_t now = 1;

	CHECK(s || snoop_create(&cfg, &s) == 0);
	for (uint16_t i = 0; i < PORTS; i++)
		snoop_port_set(s, i, &(struct snoop_port){.limit = LIMIT, .fast_leave = i & 1});
	for (unsigned int n = 0; size >= 2; n++) {
		uint16_t port = data[0] % PORTS;
		uint8_t kind = data[0] >> 2;
		uint32_t len = data[1] % 200;
		const struct port_set *to;
		struct frame f;
		uint8_t *copy;

		data += 2;
		size -= 2;
		if (len > size)
			len = (uint32_t)size;
		copy = malloc(len ? len : 1); /* to the byte, for ASan */
		CHECK(copy);
		memcpy(copy, data, len);
		data += len;
		size -= len;
		if (kind & 32 && len >= 14)
			headers_put(copy, len, kind & 31);
		now += kind & 7;
		if (frame_parse(copy, len, &f) == 0) {
			to = snoop_frame(s, port, (uint16_t)(1 + (n & 1)), &f, copy, len, now);
			for (uint16_t i = PORTS; to && i < PORT_SET_MAX; i++)
				CHECK(!port_set_has(to, i));
		}
		if (!(kind & 24))
			snoop_age(s, now);
		free(copy);
	}
	table_check(s);
	snoop_age(s, UINT32_MAX);
	for (uint16_t i = 0; i < PORTS; i++)
		snoop_port_remove(s, i);
	table_check(s);
	CHECK(!snoop_next(s, &(uint32_t){0}, 0, &(struct snoop_entry){0}));
	return 0;
}
