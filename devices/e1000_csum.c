// SPDX-License-Identifier: GPL-2.0-or-later
/* Checksums of a frame: Internet checksum (RFC 1071), FCS (IEEE 802.3 §3.2.9). */
#include "devices/e1000_internal.h"

#define ETH_LEN   14u
#define PROTO_TCP 6u
#define PROTO_UDP 17u

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t e1000_sum(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (; len >= 2; p += 2, len -= 2)
		sum += be16(p);
	if (len)
		sum += (uint32_t)p[0] << 8;
	while (sum >> 32)
		sum = (sum & 0xffffffff) + (sum >> 32);
	return e1000_fold((uint32_t)sum);
}

uint16_t e1000_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

void e1000_crc_table(uint32_t *table)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (unsigned int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
		table[i] = c;
	}
}

uint32_t e1000_crc(const uint32_t *table, const uint8_t *p, size_t len)
{
	uint32_t c = 0xffffffff;

	while (len--)
		c = table[(c ^ *p++) & 0xff] ^ c >> 8;
	return ~c;
}

/* The sum over pseudo header (@addrs) and @len bytes at @p is right. */
static bool l4_right(const uint8_t *p, size_t len, uint8_t proto, const uint8_t *addrs, size_t n)
{
	uint32_t sum = e1000_sum(addrs, n) + proto + (uint32_t)len + e1000_sum(p, len);

	return e1000_fold(sum) == 0xffff;
}

static void verify_l4(const uint8_t *p, size_t len, uint8_t proto, const uint8_t *addrs, size_t n,
	struct e1000_verdict *v)
{
	if (proto == PROTO_UDP) {
		/* No checksum was sent, or its length is not the packet's. */
		if (len < 8 || !be16(p + 6) || be16(p + 4) != len)
			return;
	} else if (proto != PROTO_TCP || len < 20) {
		return;
	}
	v->l4 = true;
	v->l4_bad = !l4_right(p, len, proto, addrs, n);
}

static void verify_ip4(const uint8_t *ip, size_t len, uint32_t rxcsum, struct e1000_verdict *v)
{
	size_t head, total;

	if (len < 20 || ip[0] >> 4 != 4)
		return;
	head = (ip[0] & 0xfu) * 4;
	total = be16(ip + 2);
	if (head < 20 || total < head || total > len)
		return;
	if (rxcsum & RXCSUM_IPOFL) {
		v->ip = true;
		v->ip_bad = e1000_sum(ip, head) != 0xffff;
	}
	/* Of a fragment only the whole has a checksum. */
	if (rxcsum & RXCSUM_TUOFL && !(be16(ip + 6) & 0x3fff))
		verify_l4(ip + head, total - head, ip[9], ip + 12, 8, v);
}

static void verify_ip6(const uint8_t *ip, size_t len, uint32_t rxcsum, struct e1000_verdict *v)
{
	size_t payload;

	if (len < 40 || ip[0] >> 4 != 6 || !(rxcsum & RXCSUM_TUOFL) || !(rxcsum & RXCSUM_IP6OFL))
		return;
	payload = be16(ip + 4);
	if (payload <= len - 40)
		verify_l4(ip + 40, payload, ip[6], ip + 8, 32, v);
}

struct e1000_verdict e1000_verify(const uint8_t *frame, size_t len, uint32_t rxcsum)
{
	struct e1000_verdict v = {0};
	size_t at = ETH_LEN;
	uint16_t type;

	if (len < ETH_LEN)
		return v;
	type = be16(frame + 12);
	if (type == 0x8100 && len >= ETH_LEN + 4) {
		type = be16(frame + 16);
		at += 4;
	}
	if (type == 0x0800)
		verify_ip4(frame + at, len - at, rxcsum, &v);
	else if (type == 0x86dd)
		verify_ip6(frame + at, len - at, rxcsum, &v);
	return v;
}
