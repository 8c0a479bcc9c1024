// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel's info structures with their capability chains, against a model that thinks in pages
 * and single addresses instead of intervals. The first byte says which structure, and how far the
 * input is bent into shape: wholly random bytes seldom get past the first offset.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/internal.h"

#define PAGE      4096ull
#define MAX_PAGES 64
#define MAX_LEN   2048

#define CHECK(c)                                                                \
	do {                                                                    \
		if (!(c)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #c); \
			abort();                                                \
		}                                                               \
	} while (0)

static uint32_t u32_at(const uint8_t *b, size_t at)
{
	uint32_t v;

	memcpy(&v, b + at, sizeof(v));
	return v;
}

static uint64_t u64_at(const uint8_t *b, size_t at)
{
	uint64_t v;

	memcpy(&v, b + at, sizeof(v));
	return v;
}

static void u32_put(uint8_t *b, size_t at, uint32_t v)
{
	memcpy(b + at, &v, sizeof(v));
}

static void u64_put(uint8_t *b, size_t at, uint64_t v)
{
	memcpy(b + at, &v, sizeof(v));
}

/* Is there a valid capability header at @at? */
static bool header_ok(size_t len, size_t head, uint32_t at)
{
	return at >= head && at <= len && len - at >= 8;
}

/*
 * Make a chain out of random bytes: offsets inside the buffer, known ids, few entries of small
 * numbers. @slot is the size of what an entry's numbers are reduced by.
 */
static void bend(uint8_t *b, size_t len, size_t head, uint32_t first_at, uint64_t limit)
{
	uint32_t at = u32_at(b, first_at) % (uint32_t)(len - head) + (uint32_t)head;

	u32_put(b, first_at, at &= ~7u);
	for (int i = 0; i < 3 && header_ok(len, head, at); i++) {
		uint32_t next = u32_at(b, at + 4) % 4, n;

		b[at] &= 3;
		b[at + 1] = 0;
		u32_put(b, at + 4, next ? at + next * 48 : 0);
		if (len - at < 16)
			break;
		n = u32_at(b, at + 8) % 5;
		u32_put(b, at + 8, n);
		for (uint32_t j = 0; j < n && at + 16 + j * 16 + 16 <= len; j++) {
			/* Mostly whole half pages: unaligned ones matter too. */
			u64_put(b, at + 16 + j * 16,
				u64_at(b, at + 16 + j * 16) % limit & ~0x7ffull);
			u64_put(b, at + 24 + j * 16,
				u64_at(b, at + 24 + j * 16) % limit & ~0x7ffull);
		}
		at = next ? at + next * 48 : 0;
	}
}

/* The next header, with a loop found by what was seen; -1 = broken, 0 = end. */
static int model_step(
	const uint8_t *b, size_t len, size_t head, uint32_t *at, uint8_t *seen, unsigned int *count)
{
	if (!*at)
		return 0;
	if (!header_ok(len, head, *at) || seen[*at] || ++*count > len / 8)
		return -1;
	seen[*at] = 1;
	return 1;
}

/* Does every byte of page @p that the region has lie in [off, off+size)? */
static bool page_inside(uint64_t p, uint64_t region, uint64_t off, uint64_t size)
{
	uint64_t start = p * PAGE, end = start + PAGE < region ? start + PAGE : region;

	return start >= off && end - off <= size;
}

/* Pages of the region that one capability offers; false = it contradicts itself. */
static bool model_areas(const uint8_t *b, size_t len, uint32_t at, uint64_t region, uint8_t *pages)
{
	uint32_t n;

	if (len - at < 16)
		return false;
	n = u32_at(b, at + 8);
	if (n > (len - at - 16) / 16)
		return false;
	memset(pages, 0, MAX_PAGES);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t off = u64_at(b, at + 16 + i * 16), size = u64_at(b, at + 24 + i * 16);

		if (off > region || size > region - off)
			return false;
		for (uint64_t p = 0; p * PAGE < region; p++)
			pages[p] += page_inside(p, region, off, size);
	}
	for (uint64_t p = 0; p * PAGE < region; p++) {
		if (pages[p] > 1)
			return false;
	}
	return true;
}

/* 0 or -EPROTO, and the pages that may be mapped. */
static int model_region(const uint8_t *b, size_t len, uint8_t *pages)
{
	const size_t head = sizeof(struct vfio_region_info);
	uint8_t seen[MAX_LEN] = {0};
	uint32_t flags = u32_at(b, 4), at = u32_at(b, 12);
	uint64_t region = u64_at(b, 16), offset = u64_at(b, 24);
	bool sparse = false, mappable = region && (flags & VFIO_REGION_INFO_FLAG_MMAP);
	unsigned int count = 0;
	int r = 0;

	if (offset > INT64_MAX || region > INT64_MAX - offset)
		return -EPROTO;
	memset(pages, 0, MAX_PAGES);
	if (!(flags & VFIO_REGION_INFO_FLAG_CAPS))
		at = 0;
	while ((r = model_step(b, len, head, &at, seen, &count)) > 0) {
		if (b[at] == VFIO_REGION_INFO_CAP_SPARSE_MMAP && !b[at + 1] && mappable) {
			sparse = true;
			if (!model_areas(b, len, at, region, pages))
				return -EPROTO;
		}
		at = u32_at(b, at + 4);
	}
	if (r < 0)
		return -EPROTO;
	for (uint64_t p = 0; mappable && !sparse && p * PAGE < region; p++)
		pages[p] = 1;
	return 0;
}

static void region_one(uint8_t *b, size_t len, bool shaped)
{
	uint8_t want[MAX_PAGES], got[MAX_PAGES] = {0};
	struct vdev_region r;
	int ret;

	if (len >= sizeof(struct vfio_region_info) + 8 && shaped) {
		u64_put(b, 16, u64_at(b, 16) % (MAX_PAGES * PAGE));
		u64_put(b, 24, u64_at(b, 24) >> 2);
		bend(b, len, sizeof(struct vfio_region_info), 12, u64_at(b, 16) + 1);
	}
	ret = region_info_parse(b, len, PAGE, &r);
	if (len < sizeof(struct vfio_region_info)) {
		CHECK(ret == -EPROTO);
		return;
	}
	if (ret == 0) {
		CHECK(r.n_areas <= VDEV_MAX_AREAS && r.size == u64_at(b, 16));
		CHECK(r.mappable || !r.n_areas);
		for (unsigned int i = 0; i < r.n_areas; i++) {
			uint64_t end = r.areas[i].offset + r.areas[i].size;

			CHECK(r.areas[i].offset % PAGE == 0 && r.areas[i].size);
			CHECK(end > r.areas[i].offset && end <= r.size);
			CHECK(end % PAGE == 0 || end == r.size);
			CHECK(!i ||
				r.areas[i - 1].offset + r.areas[i - 1].size <= r.areas[i].offset);
			for (uint64_t p = r.areas[i].offset; r.size <= MAX_PAGES * PAGE && p < end;
				p += PAGE)
				got[p / PAGE]++;
		}
	}
	/* The model counts pages of small regions, and knows no limit of areas. */
	if (u64_at(b, 16) > MAX_PAGES * PAGE || (ret == 0 && r.n_areas == VDEV_MAX_AREAS))
		return;
	CHECK(ret == model_region(b, len, want));
	CHECK(ret || !memcmp(want, got, sizeof(want)));
}

/* Is @a in the intervals of the iova capabilities? -1 = the structure contradicts itself. */
static int model_window(const uint8_t *b, size_t len, uint64_t a, bool *known)
{
	uint8_t seen[MAX_LEN] = {0};
	uint32_t at = u32_at(b, 4) & VFIO_IOMMU_INFO_CAPS ? u32_at(b, 16) : 0, n;
	unsigned int count = 0;
	bool in = false;
	int r;

	while ((r = model_step(b, len, 20, &at, seen, &count)) > 0) {
		if (b[at] == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE && !b[at + 1]) {
			if (len - at < 16)
				return -1;
			n = u32_at(b, at + 8);
			if (n > (len - at - 16) / 16)
				return -1;
			for (uint32_t i = 0; i < n; i++) {
				uint64_t s = u64_at(b, at + 16 + i * 16);
				uint64_t l = u64_at(b, at + 24 + i * 16);

				if (l < s)
					return -1;
				in |= a >= s && a <= l && a != UINT64_MAX;
			}
			*known = true;
		}
		if (b[at] == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL && !b[at + 1] && len - at < 12)
			return -1;
		at = u32_at(b, at + 4);
	}
	return r < 0 ? -1 : in;
}

static void iommu_one(uint8_t *b, size_t len, bool shaped)
{
	struct ioas_info info = {0};
	bool known = false;
	int ret;

	if (shaped && len >= 32)
		bend(b, len, 24, 16, 32 * PAGE);
	ret = type1_info_parse(b, len, &info);
	if (len < 20) {
		CHECK(ret == -EPROTO);
		return;
	}
	for (uint64_t a = 0; a < 40 * PAGE; a += PAGE / 2) {
		int want = model_window(b, len, a, &known);
		bool got = range_list_contains(&info.windows, (struct range){a, a + 1});

		CHECK((ret < 0) == (want < 0));
		if (ret < 0)
			break;
		CHECK(got == want && known == info.windows_known);
	}
	range_list_finish(&info.windows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t mode = size ? data[0] : 0, *b;
	size_t len = size ? size - 1 : 0;

	if (len > MAX_LEN)
		len = MAX_LEN;
	/* Exactly as long as said, so that ASan sees a read past the end. */
	b = malloc(len ? len : 1);
	if (!b)
		return 0;
	if (len)
		memcpy(b, data + 1, len);
	if (mode & 1)
		region_one(b, len, mode & 6);
	else
		iommu_one(b, len, mode & 6);
	free(b);
	return 0;
}
