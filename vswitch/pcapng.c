// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "vswitch/pcapng.h"

#define BLOCK_SECTION    0x0a0d0d0a
#define BLOCK_INTERFACE  1
#define BLOCK_STATISTICS 5
#define BLOCK_PACKET     6
#define BYTE_ORDER_MAGIC 0x1a2b3c4d
#define LINKTYPE_ETH     1

enum {
	OPT_END = 0,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_TSRESOL = 9,
	IF_FILTER = 11,
	ISB_STARTTIME = 2,
	ISB_ENDTIME = 3,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
	EPB_FLAGS = 2,
	EPB_DROPCOUNT = 4,
};

/* A block's body but for a frame's bytes: our own texts are short, a filter may be long. */
struct block {
	uint8_t b[4096];
	uint32_t len;
};

static void put(struct block *k, const void *p, uint32_t len)
{
	if (len > sizeof(k->b) - k->len)
		len = (uint32_t)sizeof(k->b) - k->len;
	memcpy(k->b + k->len, p, len);
	k->len += len;
}

static void put_u16(struct block *k, uint16_t v)
{
	put(k, &v, sizeof(v));
}

static void put_u32(struct block *k, uint32_t v)
{
	put(k, &v, sizeof(v));
}

static void put_option(struct block *k, uint16_t code, const void *p, uint16_t len)
{
	static const uint8_t zero[4];

	put_u16(k, code);
	put_u16(k, len);
	put(k, p, len);
	put(k, zero, -(uint32_t)len & 3);
}

/* Times are 64 bits, the high half first. */
static void put_time_option(struct block *k, uint16_t code, uint64_t ns)
{
	const uint32_t halves[2] = {(uint32_t)(ns >> 32), (uint32_t)ns};

	put_option(k, code, halves, sizeof(halves));
}

/* @k, of which the first @at bytes come before @more, which is padded. */
static int block_write(
	FILE *f, uint32_t type, const struct block *k, uint32_t at, const void *more, uint32_t len)
{
	static const uint8_t zero[4];
	uint32_t padding = -len & 3, total = 12 + k->len + len + padding;
	const uint32_t head[2] = {type, total};

	errno = 0;
	if (fwrite(head, sizeof(head), 1, f) != 1 || fwrite(k->b, 1, at, f) != at ||
		fwrite(more, 1, len, f) != len || fwrite(zero, 1, padding, f) != padding ||
		fwrite(k->b + at, 1, k->len - at, f) != k->len - at ||
		fwrite(&total, sizeof(total), 1, f) != 1)
		return errno ? -errno : -EIO;
	return 0;
}

int pcapng_header(FILE *f, const char *port, uint32_t snaplen, const char *filter)
{
	static const char program[] = "viaduct switch capture";
	const uint8_t nanoseconds = 9;
	struct block k = {.len = 0};
	int r;

	put_u32(&k, BYTE_ORDER_MAGIC);
	put_u16(&k, 1);
	put_u16(&k, 0);
	put_u32(&k, UINT32_MAX); /* the section's length is not known yet: -1 */
	put_u32(&k, UINT32_MAX);
	put_option(&k, SHB_USERAPPL, program, sizeof(program) - 1);
	put_u32(&k, OPT_END);
	r = block_write(f, BLOCK_SECTION, &k, k.len, "", 0);
	if (r < 0)
		return r;
	k.len = 0;
	put_u16(&k, LINKTYPE_ETH);
	put_u16(&k, 0);
	put_u32(&k, snaplen);
	put_option(&k, IF_NAME, port, (uint16_t)strlen(port));
	put_option(&k, IF_TSRESOL, &nanoseconds, 1);
	if (filter && strlen(filter) < 2048) {
		char text[2049] = {0}; /* 0 = an expression of libpcap */

		memcpy(text + 1, filter, strlen(filter) + 1);
		put_option(&k, IF_FILTER, text, (uint16_t)(1 + strlen(filter)));
	}
	put_u32(&k, OPT_END);
	return block_write(f, BLOCK_INTERFACE, &k, k.len, "", 0);
}

int pcapng_frame(FILE *f, const struct capture_record *r, const uint8_t *bytes, uint64_t lost)
{
	struct block k = {.len = 0};
	uint32_t fixed;

	put_u32(&k, 0);
	put_u32(&k, (uint32_t)(r->time_ns >> 32));
	put_u32(&k, (uint32_t)r->time_ns);
	put_u32(&k, r->caplen);
	put_u32(&k, r->len);
	fixed = k.len;
	put_option(&k, EPB_FLAGS, &r->direction, 4);
	if (lost)
		put_option(&k, EPB_DROPCOUNT, &lost, 8);
	put_u32(&k, OPT_END);
	return block_write(f, BLOCK_PACKET, &k, fixed, bytes, r->caplen);
}

int pcapng_statistics(FILE *f, uint64_t start_ns, uint64_t end_ns, uint64_t seen, uint64_t dropped)
{
	struct block k = {.len = 0};

	put_u32(&k, 0);
	put_u32(&k, (uint32_t)(end_ns >> 32));
	put_u32(&k, (uint32_t)end_ns);
	put_time_option(&k, ISB_STARTTIME, start_ns);
	put_time_option(&k, ISB_ENDTIME, end_ns);
	put_option(&k, ISB_IFRECV, &seen, 8);
	put_option(&k, ISB_IFDROP, &dropped, 8);
	put_u32(&k, OPT_END);
	return block_write(f, BLOCK_STATISTICS, &k, k.len, "", 0);
}
