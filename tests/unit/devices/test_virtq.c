// SPDX-License-Identifier: GPL-2.0-or-later
/* Rings as a driver makes them, and as none may. Virtio 1.2 §2.7, §2.8. */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/cleanup.h"
#include "devices/virtq.h"

#define MEM    0x100000u
#define DESC   0x1000u
#define AVAIL  0x2000u
#define USED   0x3000u
#define TABLE  0x4000u /* indirect */
#define BUF    0x10000u
#define SIZE   8u
#define INDIR  (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT  (1ull << VIRTIO_RING_F_EVENT_IDX)
#define PACKED (1ull << VIRTIO_F_RING_PACKED)

#define N VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT

static struct gmem *mem;
static struct virtq q;
static struct virtq_chain chain;
static struct vring_desc *desc;
static struct vring_avail *avail;
static struct vring_used *used;
static struct vring_packed_desc *ring;
static struct vring_packed_desc_event *driver_ev, *device_ev;

static void setup(void)
{
	const struct gmem_config cfg = {.size = MEM};

	ck_assert_int_eq(gmem_create(&cfg, NULL, &mem), 0);
	desc = gmem_hva(mem, DESC, 1);
	avail = gmem_hva(mem, AVAIL, 1);
	used = gmem_hva(mem, USED, 1);
	ring = gmem_hva(mem, DESC, 1);
	driver_ev = gmem_hva(mem, AVAIL, 1);
	device_ev = gmem_hva(mem, USED, 1);
}

static void teardown(void)
{
	gmem_destroy(mem);
}

static void start(uint64_t features)
{
	const struct virtq_setup s = {
		.size = SIZE,
		.desc = DESC,
		.driver = AVAIL,
		.device = USED,
		.features = features,
		.last_avail = features & PACKED ? 0x8000 : 0,
	};

	ck_assert_int_eq(virtq_init(&q, mem, &s, NULL), 0);
}

static void put(unsigned int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	desc[i] = (struct vring_desc){addr, len, flags, next};
}

static void offer(uint16_t head)
{
	avail->ring[avail->idx % SIZE] = head;
	__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 1), __ATOMIC_RELEASE);
}

/* ---- set-up ---- */

static const struct {
	const char *name;
	uint16_t size;
	uint64_t desc, driver, device, features;
	int want;
} setups[] = {
	{"split", 8, DESC, AVAIL, USED, 0, 0},
	{"size 0", 0, DESC, AVAIL, USED, 0, -EINVAL},
	{"no power of two", 6, DESC, AVAIL, USED, 0, -EINVAL},
	{"packed may be any size", 6, DESC, AVAIL, USED, PACKED, 0},
	{"too large", 2048, DESC, AVAIL, USED, 0, -EINVAL},
	{"descriptors unaligned", 8, DESC + 8, AVAIL, USED, 0, -EINVAL},
	{"available unaligned", 8, DESC, AVAIL + 1, USED, 0, -EINVAL},
	{"available at 2", 8, DESC, AVAIL + 2, USED, 0, 0},
	{"used unaligned", 8, DESC, AVAIL, USED + 2, 0, -EINVAL},
	{"packed event area unaligned", 8, DESC, AVAIL + 2, USED, PACKED, -EINVAL},
	{"descriptors end at the end of memory", 8, MEM - 128, AVAIL, USED, 0, 0},
	{"descriptors cross the end", 8, MEM - 112, AVAIL, USED, 0, -EFAULT},
	{"available crosses the end", 8, DESC, MEM - 20, USED, 0, -EFAULT},
	{"used crosses the end", 8, DESC, AVAIL, MEM - 68, 0, -EFAULT},
	{"address wraps", 8, UINT64_MAX - 15, AVAIL, USED, 0, -EFAULT},
	{"descriptors in the interrupt window", 8, 0xfee00000, AVAIL, USED, 0, -EFAULT},
	{"available in the interrupt window", 8, DESC, 0xfee00010, USED, 0, -EFAULT},
	{"used in the interrupt window", 8, DESC, AVAIL, 0xfee00000, 0, -EFAULT},
	{"packed events in the interrupt window", 8, DESC, AVAIL, 0xfee00000, PACKED, -EFAULT},
};

START_TEST(only_rings_inside_memory_are_taken)
{
	const struct virtq_setup s = {
		.size = setups[_i].size,
		.desc = setups[_i].desc,
		.driver = setups[_i].driver,
		.device = setups[_i].device,
		.features = setups[_i].features,
	};

	ck_assert_msg(virtq_init(&q, mem, &s, NULL) == setups[_i].want, "%s", setups[_i].name);
}
END_TEST

/* ---- split ---- */

START_TEST(a_chain_comes_out_as_the_driver_made_it)
{
	uint8_t buf[8] = "abcdefg";

	start(0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 0);
	gmem_write(mem, BUF, buf, 8);
	put(3, BUF, 3, N, 5);
	put(5, BUF + 3, 5, N, 1);
	put(1, BUF + 0x100, 16, W, 0);
	offer(3);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert_uint_eq(chain.id, 3);
	ck_assert_uint_eq(chain.n_out, 2);
	ck_assert_uint_eq(chain.n_in, 1);
	ck_assert_uint_eq(chain.out_len, 8);
	ck_assert_uint_eq(chain.in_len, 16);
	memset(buf, 0, sizeof(buf));
	ck_assert_uint_eq(iov_take(chain.out, chain.n_out, 2, buf, 8), 6);
	ck_assert_str_eq((char *)buf, "cdefg");
	ck_assert_uint_eq(iov_put(chain.in, chain.n_in, 0, "xyz", 3), 3);
	virtq_push(&q, &chain, 3);
	ck_assert_uint_eq(used->idx, 0); /* not before the flush */
	ck_assert(virtq_flush(&q));
	ck_assert_uint_eq(used->idx, 1);
	ck_assert_uint_eq(used->ring[0].id, 3);
	ck_assert_uint_eq(used->ring[0].len, 3);
	ck_assert_mem_eq(gmem_hva(mem, BUF + 0x100, 3), "xyz", 3);
	ck_assert_int_eq(virtq_pop(&q, &chain), 0);
	ck_assert(!virtq_flush(&q)); /* nothing new: no interrupt */
}
END_TEST

START_TEST(an_indirect_table_is_followed)
{
	struct vring_desc *t = gmem_hva(mem, TABLE, 1);

	start(INDIR);
	t[0] = (struct vring_desc){BUF, 10, N, 2};
	t[2] = (struct vring_desc){BUF + 16, 20, W, 0};
	put(0, TABLE, 48, I, 0);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert_uint_eq(chain.out_len, 10);
	ck_assert_uint_eq(chain.in_len, 20);
}
END_TEST

/* Each of these is a guest that tries something: the queue breaks, nothing else happens. */
static const struct {
	const char *name;
	uint64_t features;
	struct vring_desc d[3], t[3];
	uint16_t head, jump;
	const char *why;
} bad[] = {
	{"head", 0, {{BUF, 1, 0, 0}}, {}, SIZE, 1, "a head outside the table"},
	{"head high", 0, {{BUF, 1, 0, 0}}, {}, 0xffff, 1, "a head outside the table"},
	{"jump", 0, {{BUF, 1, 0, 0}}, {}, 0, SIZE + 1, "an available index that jumped"},
	{"next", 0, {{BUF, 1, N, SIZE}}, {}, 0, 1, "a next descriptor outside the table"},
	{"loop", 0, {{BUF, 1, N, 1}, {BUF, 1, N, 0}}, {}, 0, 1, "a chain that is a loop"},
	{"self", 0, {{BUF, 1, N, 0}}, {}, 0, 1, "a chain that is a loop"},
	{"order", 0, {{BUF, 1, N | W, 1}, {BUF, 1, 0, 0}}, {}, 0, 1,
		"a readable buffer after a writable one"},
	{"beyond", 0, {{MEM, 1, 0, 0}}, {}, 0, 1, "a buffer outside guest memory"},
	{"across", 0, {{MEM - 1, 2, 0, 0}}, {}, 0, 1, "a buffer outside guest memory"},
	{"wrap", 0, {{UINT64_MAX, 2, 0, 0}}, {}, 0, 1, "a buffer outside guest memory"},
	{"huge", 0, {{BUF, UINT32_MAX, 0, 0}}, {}, 0, 1, "a buffer outside guest memory"},
	{"not negotiated", 0, {{TABLE, 16, I, 0}}, {{BUF, 1, 0, 0}}, 0, 1,
		"an indirect table that was not negotiated"},
	{"indirect and next", INDIR, {{TABLE, 16, I | N, 1}}, {{BUF, 1, 0, 0}}, 0, 1,
		"a descriptor after an indirect table"},
	{"empty table", INDIR, {{TABLE, 0, I, 0}}, {}, 0, 1,
		"an indirect table of impossible size"},
	{"odd table", INDIR, {{TABLE, 17, I, 0}}, {}, 0, 1, "an indirect table of impossible size"},
	{"giant table", INDIR, {{TABLE, 16 * 1025, I, 0}}, {}, 0, 1,
		"an indirect table of impossible size"},
	{"table outside", INDIR, {{MEM - 16, 32, I, 0}}, {}, 0, 1,
		"an indirect table outside guest memory"},
	{"nested", INDIR, {{TABLE, 16, I, 0}}, {{TABLE, 16, I, 0}}, 0, 1,
		"an indirect table in an indirect table"},
	{"table loop", INDIR, {{TABLE, 32, I, 0}}, {{BUF, 1, N, 1}, {BUF, 1, N, 0}}, 0, 1,
		"a chain that is a loop"},
	{"table next", INDIR, {{TABLE, 32, I, 0}}, {{BUF, 1, N, 2}}, 0, 1,
		"a next descriptor outside the table"},
};

START_TEST(an_impossible_split_ring_breaks_the_queue)
{
	start(bad[_i].features);
	memcpy(desc, bad[_i].d, sizeof(bad[_i].d));
	memcpy(gmem_hva(mem, TABLE, 64), bad[_i].t, sizeof(bad[_i].t));
	avail->ring[0] = bad[_i].head;
	avail->idx = bad[_i].jump;
	ck_assert_msg(virtq_pop(&q, &chain) == -EPROTO, "%s", bad[_i].name);
	ck_assert_str_eq(q.broken, bad[_i].why);
	/* It stays broken, whatever the guest repairs. */
	put(0, BUF, 1, 0, 0);
	avail->ring[0] = 0;
	avail->idx = 1;
	ck_assert_int_eq(virtq_pop(&q, &chain), -EPROTO);
	ck_assert(!virtq_listen(&q));
}
END_TEST

/*
 * CVE-2018-1059: a buffer is looked up by its length too. Two pieces of memory with a hole between
 * them, and each end of each moved by one; as a descriptor, in a table, and as a table.
 */
START_TEST(a_buffer_over_the_edge_of_memory_breaks_the_queue)
{
	const struct gmem_config cfg = {.size = MEM, .low_max = MEM / 2};
	const uint64_t high = 1ull << 32;
	const struct {
		uint64_t addr;
		uint32_t len;
		bool inside;
	} at[] = {
		{MEM / 2 - 32, 32, true},
		{MEM / 2 - 32, 33, false},
		{MEM / 2 - 31, 32, false},
		{MEM / 2, 1, false},
		{high - 1, 1, false},
		{high - 1, 32, false},
		{high, 32, true},
		{high + MEM / 2 - 32, 32, true},
		{high + MEM / 2 - 32, 33, false},
		{high + MEM / 2, 1, false},
		{UINT64_MAX, 1, false},
		{UINT64_MAX - 31, 32, false},
		{UINT64_MAX - 15, UINT32_MAX, false},
		{0, UINT32_MAX, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(at) * 3; i++) {
		unsigned int way = i % 3, k = (unsigned int)(i / 3);
		struct vring_desc *t;
		int want = at[k].inside ? 1 : -EPROTO;

		/* A table has to be a multiple of 16 long. */
		if (way == 2 && at[k].len % 16)
			continue;
		gmem_destroy(mem);
		ck_assert_int_eq(gmem_create(&cfg, NULL, &mem), 0);
		desc = gmem_hva(mem, DESC, 1);
		avail = gmem_hva(mem, AVAIL, 1);
		t = gmem_hva(mem, TABLE, 1);
		start(INDIR);
		put(0, at[k].addr, at[k].len, way == 2 ? I : 0, 0);
		if (way == 1) {
			*t = desc[0];
			put(0, TABLE, 16, I, 0);
		}
		offer(0);
		ck_assert_msg(virtq_pop(&q, &chain) == want, "0x%llx+%u, way %u",
			(unsigned long long)at[k].addr, at[k].len, way);
	}
}
END_TEST

START_TEST(lengths_of_a_chain_cannot_overflow)
{
	struct vring_desc *t = gmem_hva(mem, TABLE, 1);

	/* 1024 x the largest buffer that memory has room for is below 4 GiB here: 5 GiB by a table. */
	start(INDIR);
	for (unsigned int i = 0; i < 1024; i++)
		t[i] = (struct vring_desc){0, MEM, N, (uint16_t)(i + 1)};
	t[1023].flags = 0;
	put(0, TABLE, 1024 * 16, I, 0);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert_uint_eq(chain.n_out, VIRTQ_IOV);
	ck_assert_uint_eq(chain.out_len, 1024u * MEM);
}
END_TEST

/* Without EVENT_IDX flags decide; with it the index the driver named, also where it wraps. */
START_TEST(interrupts_are_raised_as_the_driver_asked)
{
	start(0);
	for (unsigned int i = 0; i < SIZE; i++)
		put(i, BUF, 1, 0, 0);
	offer(0);
	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	virtq_push(&q, &chain, 0);
	ck_assert(!virtq_flush(&q));
	avail->flags = 0;
	offer(1);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	virtq_push(&q, &chain, 0);
	ck_assert(virtq_flush(&q));

	avail->idx = used->idx = 0;
	start(EVENT);
	for (unsigned int i = 0; i < 0x10010; i++) {
		uint16_t *used_event = &avail->ring[SIZE];
		bool want = i % 3 == 0;

		*used_event = (uint16_t)(want ? i : i + 1);
		offer((uint16_t)(i % SIZE));
		ck_assert_int_eq(virtq_pop(&q, &chain), 1);
		virtq_push(&q, &chain, 0);
		ck_assert_msg(virtq_flush(&q) == (want || i == 0), "%u", i);
	}
}
END_TEST

START_TEST(doorbells_are_asked_for_and_a_late_chain_is_seen)
{
	start(0);
	put(0, BUF, 1, 0, 0);
	virtq_quiet(&q);
	ck_assert_uint_eq(used->flags, VRING_USED_F_NO_NOTIFY);
	ck_assert(!virtq_listen(&q));
	ck_assert_uint_eq(used->flags, 0);
	offer(0);
	ck_assert(virtq_listen(&q));
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);

	avail->idx = 0;
	start(EVENT);
	offer(0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	ck_assert(!virtq_listen(&q));
	ck_assert_uint_eq(*(uint16_t *)&used->ring[SIZE], 1);
}
END_TEST

/* A frame that needs three buffers where the guest gave two: sleep until there is a third. */
START_TEST(a_rewound_chain_comes_again_and_does_not_spin)
{
	struct virtq_pos mark;

	for (int packed = 0; packed < 2; packed++) {
		memset(gmem_hva(mem, DESC, 0x3000), 0, 0x3000);
		start(packed ? PACKED : 0);
		for (unsigned int i = 0; i < 3; i++) {
			put(i, BUF + i * 64, 64, W, 0);
			if (packed)
				ring[i] = (struct vring_packed_desc){
					BUF + i * 64, 64, (uint16_t)i, W | 1 << 7};
		}
		if (packed)
			ring[2].flags = 0;
		offer(0);
		offer(1);
		mark = q.next;
		ck_assert_int_eq(virtq_pop(&q, &chain), 1);
		ck_assert_int_eq(virtq_pop(&q, &chain), 1);
		ck_assert_int_eq(virtq_pop(&q, &chain), 0);
		virtq_rewind(&q, mark);
		ck_assert(!virtq_listen(&q));
		offer(2);
		ring[2].flags = packed ? W | 1 << 7 : ring[2].flags;
		if (!packed)
			put(2, BUF + 128, 64, W, 0);
		ck_assert(virtq_listen(&q));
		for (unsigned int i = 0; i < 3; i++) {
			ck_assert_int_eq(virtq_pop(&q, &chain), 1);
			ck_assert_uint_eq(chain.id, i);
		}
		ck_assert_int_eq(virtq_pop(&q, &chain), 0);
		avail->idx = 0;
	}
}
END_TEST

/* ---- packed ---- */

static uint16_t packed_flags(uint16_t flags, bool wrap)
{
	return (uint16_t)(flags | (wrap ? 1 << 7 : 1 << 15));
}

START_TEST(packed_chains_go_round_with_the_wrap_counter)
{
	unsigned int at = 0, done = 0;
	bool wrap = true, done_wrap = true;

	start(PACKED);
	for (unsigned int i = 0; i < 50; i++) {
		unsigned int n = i % 3 + 1, first = at;
		uint16_t first_flags = 0;

		for (unsigned int k = 0; k < n; k++) {
			uint16_t f =
				packed_flags((uint16_t)((k + 1 < n ? N : 0) | (k ? W : 0)), wrap);

			ring[at] = (struct vring_packed_desc){
				BUF + k * 32, 32, (uint16_t)i, ring[at].flags};
			if (k)
				ring[at].flags = f;
			else
				first_flags = f;
			if (++at == SIZE) {
				at = 0;
				wrap = !wrap;
			}
		}
		ck_assert_int_eq(virtq_pop(&q, &chain), 0);
		ring[first].flags = first_flags;
		ck_assert_int_eq(virtq_pop(&q, &chain), 1);
		ck_assert_uint_eq(chain.id, i);
		ck_assert_uint_eq(chain.slots, n);
		ck_assert_uint_eq(chain.out_len, 32);
		ck_assert_uint_eq(chain.in_len, 32 * (n - 1));
		virtq_push(&q, &chain, 7);
		ck_assert(virtq_flush(&q));
		ck_assert_uint_eq(ring[done].id, i);
		ck_assert_uint_eq(ring[done].len, 7);
		ck_assert_uint_eq(!!(ring[done].flags & 1 << 7), done_wrap);
		ck_assert_uint_eq(!!(ring[done].flags & 1 << 15), done_wrap);
		done += n;
		if (done >= SIZE) {
			done -= SIZE;
			done_wrap = !done_wrap;
		}
	}
}
END_TEST

static const struct {
	const char *name;
	uint64_t features;
	uint16_t flags;
	uint64_t addr;
	uint32_t len;
	const char *why;
} packed_bad[] = {
	{"outside", 0, 0, MEM, 1, "a buffer outside guest memory"},
	{"not negotiated", 0, I, TABLE, 16, "an indirect table that was not negotiated"},
	{"in a chain", INDIR, I | N, TABLE, 16, "an indirect table in a chain"},
	{"odd", INDIR, I, TABLE, 15, "an indirect table of impossible size"},
	{"table outside", INDIR, I, MEM, 16, "an indirect table outside guest memory"},
	{"endless", 0, N, BUF, 16, "a chain longer than the ring"},
};

START_TEST(an_impossible_packed_ring_breaks_the_queue)
{
	start(PACKED | packed_bad[_i].features);
	for (unsigned int i = 0; i < SIZE; i++)
		ring[i] = (struct vring_packed_desc){packed_bad[_i].addr, packed_bad[_i].len, 0,
			packed_flags(packed_bad[_i].flags, true)};
	ck_assert_msg(virtq_pop(&q, &chain) == -EPROTO, "%s", packed_bad[_i].name);
	ck_assert_str_eq(q.broken, packed_bad[_i].why);
}
END_TEST

START_TEST(packed_events_follow_the_driver)
{
	start(PACKED | EVENT);
	ck_assert(!virtq_listen(&q));
	ck_assert_uint_eq(device_ev->flags, VRING_PACKED_EVENT_FLAG_DESC);
	ck_assert_uint_eq(device_ev->off_wrap, 0x8000);
	virtq_quiet(&q);
	ck_assert_uint_eq(device_ev->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	for (unsigned int i = 0; i < 6; i++)
		ring[i] = (struct vring_packed_desc){BUF, 1, (uint16_t)i, packed_flags(0, true)};
	driver_ev->flags = VRING_PACKED_EVENT_FLAG_DESC;
	driver_ev->off_wrap = 0x8000 | 3;
	for (unsigned int i = 0; i < 6; i++) {
		ck_assert_int_eq(virtq_pop(&q, &chain), 1);
		virtq_push(&q, &chain, 0);
		ck_assert_msg(virtq_flush(&q) == (i == 0 || i == 3), "%u", i);
	}
	/* A batch is seen at once: the first descriptor's flags come last. */
	driver_ev->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	ring[6] = ring[7] = (struct vring_packed_desc){BUF, 1, 9, packed_flags(0, true)};
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	virtq_push(&q, &chain, 0);
	ck_assert_int_eq(virtq_pop(&q, &chain), 1);
	virtq_push(&q, &chain, 0);
	ck_assert_uint_eq(ring[6].flags, packed_flags(0, true));
	ck_assert(!virtq_flush(&q));
	ck_assert_uint_eq(ring[6].flags, 1 << 7 | 1 << 15);
}
END_TEST

/* ---- a driver on another thread ---- */

#define TRIPS 5000u

static void *driver(void *arg)
{
	uint16_t seen = 0;

	for (unsigned int i = 0; i < TRIPS; i++) {
		uint16_t slot = (uint16_t)(i % SIZE);

		while ((uint16_t)(i - seen) >= SIZE) {
			sched_yield();
			seen = __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
		}
		*(uint32_t *)gmem_hva(mem, BUF + slot * 64u, 4) = i;
		put(slot, BUF + slot * 64u, 4, 0, 0);
		avail->ring[i % SIZE] = slot;
		__atomic_store_n(&avail->idx, (uint16_t)(i + 1), __ATOMIC_RELEASE);
	}
	return NULL;
}

START_TEST(buffers_of_a_running_driver_come_in_order_and_whole)
{
	pthread_t t;

	start(0);
	ck_assert_int_eq(pthread_create(&t, NULL, driver, NULL), 0);
	for (unsigned int i = 0; i < TRIPS;) {
		uint32_t v;

		if (virtq_pop(&q, &chain) == 0) {
			sched_yield();
			continue;
		}
		ck_assert_uint_eq(iov_take(chain.out, chain.n_out, 0, &v, 4), 4);
		ck_assert_uint_eq(v, i++);
		virtq_push(&q, &chain, 0);
		virtq_flush(&q);
	}
	pthread_join(t, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("virtq");
	TCase *t = tcase_create("virtq");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, only_rings_inside_memory_are_taken, 0, (int)ARRAY_SIZE(setups));
	tcase_add_test(t, a_chain_comes_out_as_the_driver_made_it);
	tcase_add_test(t, an_indirect_table_is_followed);
	tcase_add_loop_test(t, an_impossible_split_ring_breaks_the_queue, 0, (int)ARRAY_SIZE(bad));
	tcase_add_test(t, a_buffer_over_the_edge_of_memory_breaks_the_queue);
	tcase_add_test(t, lengths_of_a_chain_cannot_overflow);
	tcase_add_test(t, interrupts_are_raised_as_the_driver_asked);
	tcase_add_test(t, doorbells_are_asked_for_and_a_late_chain_is_seen);
	tcase_add_test(t, a_rewound_chain_comes_again_and_does_not_spin);
	tcase_add_test(t, packed_chains_go_round_with_the_wrap_counter);
	tcase_add_loop_test(
		t, an_impossible_packed_ring_breaks_the_queue, 0, (int)ARRAY_SIZE(packed_bad));
	tcase_add_test(t, packed_events_follow_the_driver);
	tcase_add_test(t, buffers_of_a_running_driver_come_in_order_and_whole);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
