// SPDX-License-Identifier: GPL-2.0-or-later
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vmm/gmem.h"
#include "vmm/layout.h"

#define MIB(n) ((uint64_t)(n) << 20)

static unsigned int fds_open(void)
{
	_cleanup_dir_ DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	return n;
}

static struct gmem *make(uint64_t size, uint64_t low_max)
{
	struct gmem_config cfg = {.size = size, .low_max = low_max};
	struct gmem *g = NULL;
	struct err e = {0};

	ck_assert_msg(gmem_create(&cfg, &e, &g) == 0, "%s", e.text);
	return g;
}

static const struct {
	struct gmem_config cfg;
	int want;
	const char *text;
} bad_configs[] = {
	{{.size = 0}, -EINVAL, "size 0"},
	{{.size = 4097}, -EINVAL, "whole pages of 4096"},
	{{.size = MIB(3), .hugepages = true}, -EINVAL, "whole pages of 2097152"},
	{{.size = MIB(4), .low_max = 4095}, -EINVAL, "0xfff"},
	{{.size = MIB(4), .low_max = 0xc0001000}, -EINVAL, "0xc0001000"},
	{{.size = 1ull << 52}, -ENOMEM, "4294967296 MiB asked for, this host has"},
	{{.size = 1ull << 52, .hugepages = true}, -ENOMEM, "this host has"},
};

START_TEST(gmem_create_refuses_what_cannot_be)
{
	struct gmem *g = NULL;
	struct err e = {0};

	ck_assert_int_eq(gmem_create(&bad_configs[_i].cfg, &e, &g), bad_configs[_i].want);
	ck_assert_msg(strstr(e.text, bad_configs[_i].text) != NULL, "%s", e.text);
	ck_assert_ptr_null(g);
}
END_TEST

/* The remedy must be in the message: nobody remembers the file's name. */
START_TEST(gmem_create_says_how_to_reserve_huge_pages)
{
	struct gmem_config cfg = {.size = MIB(16), .hugepages = true};
	struct gmem *g = NULL;
	struct err e = {0};
	int r = gmem_create(&cfg, &e, &g);

	if (r == 0) { /* this machine has some: then they must work */
		ck_assert_int_eq(gmem_write(g, MIB(15), "x", 1), 0);
		gmem_destroy(g);
		return;
	}
	ck_assert_int_eq(r, -ENOMEM);
	ck_assert_msg(strstr(e.text, "8 needed") && strstr(e.text, "/proc/sys/vm/nr_hugepages"),
		"%s", e.text);
}
END_TEST

static const struct {
	uint64_t size, low_max, low_end, end;
	unsigned int regions;
} layouts[] = {
	{MIB(64), 0, MIB(64), MIB(64), 1},
	{MIB(64), MIB(64), MIB(64), MIB(64), 1},
	{MIB(64), MIB(16), MIB(16), LAYOUT_HIGH_RAM + MIB(48), 2},
	{MIB(64), 4096, 4096, LAYOUT_HIGH_RAM + MIB(64) - 4096, 2},
};

/* All of the memory, once, with no overlap, and the hole left free. */
START_TEST(gmem_splits_ram_around_the_hole)
{
	struct gmem *g = make(layouts[_i].size, layouts[_i].low_max);
	const struct gmem_region *r;
	unsigned int n = gmem_regions(g, &r);
	uint64_t off = 0;

	ck_assert_uint_eq(n, layouts[_i].regions);
	ck_assert_uint_eq(gmem_size(g), layouts[_i].size);
	ck_assert_uint_eq(gmem_low_end(g), layouts[_i].low_end);
	ck_assert_uint_eq(gmem_end(g), layouts[_i].end);
	for (unsigned int i = 0; i < n; i++) {
		ck_assert_uint_eq(r[i].gpa, i ? LAYOUT_HIGH_RAM : 0);
		ck_assert_uint_eq(r[i].fd_offset, off);
		off += r[i].size;
	}
	ck_assert_uint_eq(off, layouts[_i].size);
	gmem_destroy(g);
}
END_TEST

static const struct {
	uint64_t gpa, len;
	bool ok;
} accesses[] = {
	{0, 1, true},
	{0, MIB(16), true},
	{0, MIB(16) + 1, false},
	{MIB(16) - 1, 1, true},
	{MIB(16) - 1, 2, false},
	{MIB(16), 1, false},
	{LAYOUT_HIGH_RAM - 1, 1, false},
	{LAYOUT_HIGH_RAM - 1, 2, false},
	{LAYOUT_HIGH_RAM, MIB(48), true},
	{LAYOUT_HIGH_RAM, MIB(48) + 1, false},
	{LAYOUT_HIGH_RAM + MIB(48), 1, false},
	{LAYOUT_HIGH_RAM + MIB(48) - 8, 8, true},
	{UINT64_MAX, 1, false},
	{UINT64_MAX, 2, false},
	{8, UINT64_MAX, false},
	{8, UINT64_MAX - 7, false},
};

/* Addresses and lengths come from the guest. 16 MiB below the hole, 48 MiB above. */
START_TEST(gmem_hva_stays_inside_one_region)
{
	struct gmem *g = make(MIB(64), MIB(16));
	uint64_t gpa = accesses[_i].gpa, len = accesses[_i].len;
	char buf[8] = "1234567";

	ck_assert_int_eq(gmem_hva(g, gpa, len) != NULL, accesses[_i].ok);
	if (len <= sizeof(buf)) {
		int want = accesses[_i].ok ? 0 : -EFAULT;
		char back[8] = "";

		ck_assert_int_eq(gmem_write(g, gpa, buf, len), want);
		ck_assert_int_eq(gmem_read(g, gpa, back, len), want);
		ck_assert_int_eq(memcmp(back, buf, len) == 0, accesses[_i].ok);
	}
	gmem_destroy(g);
}
END_TEST

/* What a peer maps from the fd must be what the guest sees there. */
START_TEST(gmem_regions_say_where_in_the_fd_they_are)
{
	struct gmem *g = make(MIB(64), MIB(16));
	const struct gmem_region *r;
	unsigned int n = gmem_regions(g, &r);

	for (unsigned int i = 0; i < n; i++) {
		uint64_t mark = 0x1111 * (i + 1), seen = 0;

		ck_assert_int_eq(gmem_write(g, r[i].gpa + 0x3000, &mark, sizeof(mark)), 0);
		ck_assert_int_eq(
			pread(r[i].fd, &seen, sizeof(seen), (off_t)r[i].fd_offset + 0x3000), 8);
		ck_assert_uint_eq(seen, mark);
	}
	gmem_destroy(g);
}
END_TEST

/* A peer with the fd must not be able to cut pages from under us. */
START_TEST(gmem_sealed_fd_cannot_be_resized)
{
	const struct gmem_config cfg = {.size = MIB(4), .sealed = true};
	const struct gmem_region *r;
	struct gmem *g;

	ck_assert_int_eq(gmem_create(&cfg, NULL, &g), 0);
	gmem_regions(g, &r);
	ck_assert_int_eq(ftruncate(r->fd, 0), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(ftruncate(r->fd, (off_t)MIB(8)), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(fcntl(r->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	ck_assert_int_eq(fcntl(r->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	gmem_destroy(g);
}
END_TEST

/* Where it may make a tmpfs, memory comes in huge pages: a guest's first touch costs 2 MiB at once. */
START_TEST(gmem_takes_huge_pages_from_its_own_tmpfs)
{
	struct gmem *g = make(MIB(8), 0);
	const struct gmem_region *r;
	struct stat st;
	uint8_t one = 1;

	gmem_regions(g, &r);
	if (geteuid() == 0) {
		ck_assert_int_eq(gmem_write(g, MIB(2), &one, 1), 0);
		ck_assert_int_eq(fstat(r->fd, &st), 0);
		ck_assert_int_eq(st.st_nlink, 0);
		/* 2 MiB, or 4 KiB on a kernel without transparent huge pages. */
		ck_assert(st.st_blocks * 512 == (blkcnt_t)MIB(2) || st.st_blocks * 512 == 4096);
	}
	gmem_destroy(g);
}
END_TEST

/* In a child, without the sanitizers' handler: does an access at @p kill it? */
static bool faults(volatile uint8_t *p)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		(void)*p;
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

START_TEST(gmem_is_fenced_by_pages_nobody_can_touch)
{
	struct gmem *g = make(MIB(4), 0);
	uint8_t *hva = gmem_hva(g, 0, MIB(4));

	ck_assert(!faults(hva));
	ck_assert(!faults(hva + MIB(4) - 1));
	ck_assert(faults(hva - 1));
	ck_assert(faults(hva + MIB(4)));
	gmem_destroy(g);
}
END_TEST

/* A listener that keeps what it was told, and a world-wide budget of add calls. */
struct recorder {
	struct gmem_listener l;
	char id;
	unsigned int held; /* bit per region */
};

static struct {
	char log[64]; /* "a0" for an add of region 0, "A0" for its del, per listener id */
	unsigned int adds, fail_at;
} world;

static void note(char id, const struct gmem_region *r)
{
	size_t n = strlen(world.log);

	snprintf(world.log + n, sizeof(world.log) - n, "%c%d", id, r->gpa != 0);
}

static int rec_add(struct gmem_listener *l, const struct gmem_region *r, struct err *e)
{
	struct recorder *rec = container_of(l, struct recorder, l);

	if (++world.adds == world.fail_at)
		return err_set(e, EBUSY, "refused");
	rec->held |= 1u << (r->gpa != 0);
	note(rec->id, r);
	return 0;
}

static void rec_del(struct gmem_listener *l, const struct gmem_region *r)
{
	struct recorder *rec = container_of(l, struct recorder, l);

	ck_assert_uint_ne(rec->held & 1u << (r->gpa != 0), 0);
	rec->held &= ~(1u << (r->gpa != 0));
	note((char)(rec->id - 'a' + 'A'), r);
}

#define RECORDER(c)                                            \
	{                                                      \
		.l = {.add = rec_add, .del = rec_del}, .id = c \
	}

/* KVM slot before DMA map, and the reverse on the way down. */
START_TEST(gmem_tells_listeners_in_order_and_back_in_reverse)
{
	struct gmem *g = make(MIB(8), MIB(4));
	struct recorder a = RECORDER('a'), b = RECORDER('b'), c = RECORDER('c');

	memset(&world, 0, sizeof(world));
	ck_assert_int_eq(gmem_listen(g, &a.l, NULL), 0);
	ck_assert_int_eq(gmem_listen(g, &b.l, NULL), 0);
	ck_assert_int_eq(gmem_listen(g, &c.l, NULL), 0);
	gmem_unlisten(g, &b.l);
	gmem_unlisten(g, &b.l); /* not registered: nothing happens */
	gmem_destroy(g);
	ck_assert_str_eq(world.log, "a0a1b0b1c0c1B1B0C1C0A1A0");
}
END_TEST

/* Fail the 1st, 2nd, 3rd... call: whatever had been told is taken back, and a retry works. */
START_TEST(gmem_listen_undoes_what_it_did_when_a_call_fails)
{
	struct gmem *g = make(MIB(8), MIB(4));
	unsigned int fail_at;
	int r;

	for (fail_at = 1;; fail_at++) {
		struct recorder a = RECORDER('a'), b = RECORDER('b');
		struct err e = {0};

		memset(&world, 0, sizeof(world));
		world.fail_at = fail_at;
		r = gmem_listen(g, &a.l, &e);
		if (r < 0)
			ck_assert_uint_eq(a.held, 0);
		else if ((r = gmem_listen(g, &b.l, &e)) < 0)
			ck_assert_uint_eq(a.held, 3);
		ck_assert_uint_eq(b.held, r < 0 ? 0 : 3);
		if (r < 0)
			ck_assert_str_eq(e.text, "refused");
		gmem_unlisten(g, &a.l);
		gmem_unlisten(g, &b.l);
		ck_assert_uint_eq(a.held | b.held, 0);
		if (r == 0)
			break;
		ck_assert_int_eq(r, -EBUSY);
	}
	ck_assert_uint_eq(fail_at, 5);
	gmem_destroy(g);
}
END_TEST

/* A hint must never change what memory holds, nor answer for more than it was asked. */
START_TEST(gmem_collapse_keeps_the_bytes)
{
	const struct gmem_config cfg = {.size = MIB(8), .low_max = MIB(4), .sealed = true};
	uint64_t v = 42, done;
	struct gmem *g;

	ck_assert_int_eq(gmem_create(&cfg, NULL, &g), 0);
	ck_assert_int_eq(gmem_write(g, MIB(2) + 8, &v, sizeof(v)), 0);
	done = gmem_collapse(g, 0, MIB(4));
	ck_assert(done <= MIB(4) && done % MIB(2) == 0);
	ck_assert_uint_le(gmem_collapse(g, LAYOUT_HIGH_RAM + 12345, UINT64_MAX), MIB(4));
	ck_assert_uint_le(gmem_collapse(g, 0, UINT64_MAX), MIB(8));
	ck_assert_uint_eq(gmem_collapse(g, MIB(4), MIB(64)), 0);
	ck_assert_uint_eq(gmem_collapse(g, UINT64_MAX, UINT64_MAX), 0);
	v = 0;
	ck_assert_int_eq(gmem_read(g, MIB(2) + 8, &v, sizeof(v)), 0);
	ck_assert_uint_eq(v, 42);
	gmem_destroy(g);
}
END_TEST

START_TEST(gmem_create_and_destroy_leave_nothing)
{
	unsigned int before = fds_open();

	for (int i = 0; i < 100; i++)
		gmem_destroy(make(MIB(64), MIB(16)));
	gmem_destroy(NULL);
	ck_assert_uint_eq(fds_open(), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gmem");
	TCase *t = tcase_create("gmem");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, gmem_create_refuses_what_cannot_be, 0, (int)ARRAY_SIZE(bad_configs));
	tcase_add_test(t, gmem_create_says_how_to_reserve_huge_pages);
	tcase_add_loop_test(t, gmem_splits_ram_around_the_hole, 0, (int)ARRAY_SIZE(layouts));
	tcase_add_loop_test(t, gmem_hva_stays_inside_one_region, 0, (int)ARRAY_SIZE(accesses));
	tcase_add_test(t, gmem_regions_say_where_in_the_fd_they_are);
	tcase_add_test(t, gmem_sealed_fd_cannot_be_resized);
	tcase_add_test(t, gmem_takes_huge_pages_from_its_own_tmpfs);
	tcase_add_test(t, gmem_is_fenced_by_pages_nobody_can_touch);
	tcase_add_test(t, gmem_tells_listeners_in_order_and_back_in_reverse);
	tcase_add_test(t, gmem_listen_undoes_what_it_did_when_a_call_fails);
	tcase_add_test(t, gmem_collapse_keeps_the_bytes);
	tcase_add_test(t, gmem_create_and_destroy_leave_nothing);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
