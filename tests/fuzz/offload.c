// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A frame and the header a guest put before it. Input: one byte picks what the frame begins as, ten
 * are the header's, then pairs of an offset and a byte change the frame. What is accepted must be a
 * checksum behind the network header, and cutting it must give frames whose lengths and checksums hold
 * by a plain second computation and whose payloads together are the first frame's.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz_check.h"
#include "vswitch/offload.h"

#define MAX 4096

/* Byte by byte, RFC 1071. */
static uint32_t sum_plain(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static uint32_t frame_make(uint8_t *b, uint8_t kind)
{
	uint32_t len = 54 + kind * 15u, at = 14;

	memset(b, 0x5a, len + 64);
	memcpy(b, "\x02\0\0\0\0\2\x02\0\0\0\0\1", 12);
	if (kind & 2) {
		memcpy(b + 12, "\x81\0\0\7", 4);
		at = 18;
	}
	if (kind & 1) {
		memcpy(b + at - 2, "\x86\xdd\x60\0\0\0\0\0\6\x40", 10);
		at += 40;
	} else {
		memcpy(b + at - 2, "\x08\0\x45\0\0\0\0\1\0\0\x40\6", 12);
		at += 20;
	}
	b[at + 12] = 0x50;
	return len + 32;
}

static void segment_check(
	const struct offload *o, const uint8_t *b, uint32_t len, uint32_t i, uint32_t *at)
{
	uint8_t out[MAX];
	uint32_t cut = len - *at < o->gso_size ? len - *at : o->gso_size;
	uint32_t total = o->hdr_len + cut, sum, tcp_len = total - o->csum_start;
	struct csum c = {0};
	const uint8_t *ip = out + o->l3;
	uint16_t sent;

	CHECK(total <= sizeof(out));
	memcpy(out, b, o->hdr_len);
	memcpy(out + o->hdr_len, b + *at, cut);
	offload_segment_header(o, i, cut, *at + cut == len, out);
	/* In three pieces of odd lengths. */
	csum_add(&c, out + o->csum_start, 7);
	csum_add(&c, out + o->csum_start + 7, 6);
	csum_add(&c, out + o->csum_start + 13, tcp_len - 13);
	sent = (uint16_t)~csum_fold(&c);
	out[o->csum_start + o->csum_offset] = (uint8_t)(sent >> 8);
	out[o->csum_start + o->csum_offset + 1] = (uint8_t)sent;

	sum = tcp_len + 6;
	if (o->needs & OFFLOAD_TSO4) {
		CHECK(sum_plain(ip, o->csum_start - o->l3, 0) == 0xffff);
		CHECK((uint32_t)(ip[2] << 8 | ip[3]) == total - o->l3);
		sum = sum_plain(ip + 12, 8, sum);
	} else {
		CHECK((uint32_t)(ip[4] << 8 | ip[5]) == total - o->l3 - 40);
		sum = sum_plain(ip + 8, 32, sum);
	}
	CHECK(sum_plain(out + o->csum_start, tcp_len, sum) == 0xffff);
	CHECK(!memcmp(out + o->hdr_len, b + *at, cut));
	*at += cut;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t b[MAX + 128], wire[OFFLOAD_WIRE_HEADER], back[OFFLOAD_WIRE_HEADER];
	uint32_t len, linear, at, n;
	struct offload o, again;

	if (size < 14)
		return 0;
	len = frame_make(b, data[0]);
	memcpy(wire, data + 1, sizeof(wire));
	if (data[11] & 1) {
		/* Mostly right, or nothing would be reached behind the first checks. */
		wire[0] |= 1;
		wire[1] = (data[0] & 1) ? 4 : 1;
		wire[6] = (uint8_t)((data[0] & 2 ? 18 : 14) + (data[0] & 1 ? 40 : 20));
		wire[7] = wire[9] = 0;
		wire[8] = 16;
	}
	linear = data[11] & 2 ? len : data[12] % (len + 1);
	for (size_t i = 13; i + 1 < size && i < 13 + 2 * (size_t)(data[12] & 15); i += 2)
		b[data[i] % len] = data[i + 1];
	if (offload_read(wire, data[11] >> 4, b, linear, len, &o) < 0)
		return 0;
	CHECK(!(o.needs & ~(data[11] >> 4)));
	offload_write(&o, back);
	if (!o.needs) {
		CHECK(!(wire[0] & 1) || !wire[1]);
		return 0;
	}
	CHECK(o.csum_start >= 34 && (uint32_t)o.csum_start + o.csum_offset + 2 <= linear);
	/* What we say to the next guest reads back as what this one said. */
	CHECK(offload_read(back, 15, b, linear, len, &again) == 0);
	CHECK(!memcmp(&o, &again, sizeof(o)));
	if (!(o.needs & (OFFLOAD_TSO4 | OFFLOAD_TSO6)))
		return 0;
	n = offload_segments(&o, len);
	CHECK(n >= 1 && n <= OFFLOAD_SEGMENTS_MAX && offload_wire_len(&o, len) <= len);
	at = o.hdr_len;
	for (uint32_t i = 0; i < n; i++)
		segment_check(&o, b, len, i, &at);
	CHECK(at == len);
	return 0;
}
