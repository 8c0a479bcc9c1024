// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/gmem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>
#include <linux/memfd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/range.h"
#include "common/sysfs.h"
#include "vmm/layout.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

#define HUGE_SIZE UINT64_C(0x200000)
#define MIB(x)    ((x) >> 20)

struct gmem {
	uint64_t size;
	int fd;
	/* Reserved address space: a guard, the memory (2 MiB aligned), a guard. */
	uint8_t *space, *base;
	size_t space_size;
	bool hugepages; /* hugetlbfs */
	bool huge;      /* its file gives huge pages at the first touch */
	struct gmem_region region[2];
	unsigned int regions;
	struct gmem_listener *first;
};

static uint64_t host_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int hugepages_short(uint64_t size, struct err *e)
{
	_cleanup_(sysfs_close) struct sysfs s = {.root_fd = -1};
	uint64_t free_pages = 0;

	if (sysfs_open("/", &s) == 0)
		(void)sysfs_read_u64(
			&s, "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", &free_pages);
	if (free_pages >= size / HUGE_SIZE)
		return 0;
	return err_set(e, ENOMEM,
		"guest memory: %" PRIu64 " free huge pages of 2 MiB, %" PRIu64 " needed: reserve "
		"them with `echo %" PRIu64 " > /proc/sys/vm/nr_hugepages`",
		free_pages, size / HUGE_SIZE, size / HUGE_SIZE);
}

static int gmem_check(const struct gmem_config *cfg, uint64_t low_max, struct err *e)
{
	uint64_t page = cfg->hugepages ? HUGE_SIZE : (uint64_t)sysconf(_SC_PAGESIZE);

	if (cfg->size == 0)
		return err_set(e, EINVAL, "guest memory: size 0");
	if (cfg->size % page)
		return err_set(e, EINVAL,
			"guest memory: %" PRIu64 " bytes are not whole pages of %" PRIu64 " bytes",
			cfg->size, page);
	if (low_max % page || low_max > LAYOUT_LOW_RAM_MAX)
		return err_set(e, EINVAL,
			"guest memory: it cannot end at 0x%" PRIx64 " below 4 GiB", low_max);
	if (cfg->size > host_memory())
		return err_set(e, ENOMEM,
			"guest memory: %" PRIu64 " MiB asked for, this host has %" PRIu64
			" MiB in all",
			MIB(cfg->size), MIB(host_memory()));
	return cfg->hugepages ? hugepages_short(cfg->size, e) : 0;
}

/*
 * A file on a tmpfs of our own, mounted nowhere, with huge=always: shared memory in pages of 2 MiB
 * without touching the host's settings, whose default is never to give a memfd any. Saves a guest
 * 25,000 nested page faults at boot and the IOMMU 511 of 512 entries. Needs CAP_SYS_ADMIN; the file
 * is nameless, and gone with its last user.
 */
static int huge_tmpfs_file(void)
{
	_cleanup_fd_ int fs = fsopen("tmpfs", FSOPEN_CLOEXEC), mnt = -1;
	int fd;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "huge", "always", 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_STRING, "size", "100%", 0) < 0 ||
		fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mnt = fsmount(
		fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (mnt < 0)
		return -errno;
	fd = openat(mnt, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int gmem_file(struct gmem *g, bool sealed, struct err *e)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

	if (!g->hugepages && !sealed) {
		g->fd = huge_tmpfs_file();
		if (g->fd >= 0) {
			g->huge = true;
			if (ftruncate(g->fd, (off_t)g->size) < 0)
				return err_sys(e, errno, "guest memory: file of %" PRIu64 " MiB",
					MIB(g->size));
			return 0;
		}
		log_debug("guest memory: no huge tmpfs (%s): memfd", strerror(-g->fd));
	}
	if (g->hugepages)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	g->fd = memfd_create("guest-memory", flags);
	if (g->fd < 0)
		return err_sys(e, errno, "guest memory: memfd_create");
	if (ftruncate(g->fd, (off_t)g->size) < 0)
		return err_sys(e, errno, "guest memory: memfd of %" PRIu64 " MiB", MIB(g->size));
	/* A peer that maps the memory may trust its size: nobody can cut pages from under it. */
	if (fcntl(g->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, errno, "guest memory: seal the memfd");
	return 0;
}

static int gmem_map(struct gmem *g, struct err *e)
{
	void *p;

	/*
	 * Address space first, inaccessible, so that an overrun at either end faults. Aligned to
	 * 2 MiB: KVM maps huge only where gpa and hva agree below that.
	 */
	g->space_size = g->size + 3 * HUGE_SIZE;
	p = mmap(
		NULL, g->space_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "guest memory: reserve %" PRIu64 " MiB of address space",
			MIB(g->space_size));
	g->space = p;
	g->base = (uint8_t *)(((uintptr_t)p + 2 * HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
	p = mmap(g->base, g->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, g->fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "guest memory: map %" PRIu64 " MiB", MIB(g->size));
	if (madvise(g->base, g->size, MADV_DONTDUMP) < 0)
		log_debug("guest memory: MADV_DONTDUMP: %s", strerror(errno));
	if (!g->hugepages && madvise(g->base, g->size, MADV_HUGEPAGE) < 0)
		log_debug("guest memory: MADV_HUGEPAGE: %s", strerror(errno));
	return 0;
}

static void gmem_split(struct gmem *g, uint64_t low_max)
{
	uint64_t low = g->size < low_max ? g->size : low_max;

	g->region[g->regions++] = (struct gmem_region){
		.gpa = 0,
		.size = low,
		.hva = g->base,
		.fd = g->fd,
		.fd_offset = 0,
	};
	if (low < g->size)
		g->region[g->regions++] = (struct gmem_region){
			.gpa = LAYOUT_HIGH_RAM,
			.size = g->size - low,
			.hva = g->base + low,
			.fd = g->fd,
			.fd_offset = low,
		};
}

int gmem_create(const struct gmem_config *cfg, struct err *e, struct gmem **ret)
{
	uint64_t low_max = cfg->low_max ? cfg->low_max : LAYOUT_LOW_RAM_MAX;
	struct gmem *g;
	int r;

	r = gmem_check(cfg, low_max, e);
	if (r < 0)
		return r;
	g = calloc(1, sizeof(*g));
	if (!g)
		return err_sys(e, ENOMEM, "guest memory");
	g->fd = -1;
	g->size = cfg->size;
	g->hugepages = cfg->hugepages;
	r = gmem_file(g, cfg->sealed, e);
	if (r == 0)
		r = gmem_map(g, e);
	if (r < 0) {
		gmem_destroy(g);
		return r;
	}
	gmem_split(g, low_max);
	*ret = g;
	return 0;
}

void gmem_destroy(struct gmem *g)
{
	if (!g)
		return;
	while (g->first) {
		struct gmem_listener *last = g->first;

		while (last->next)
			last = last->next;
		gmem_unlisten(g, last);
	}
	if (g->space)
		munmap(g->space, g->space_size);
	fd_close(g->fd);
	free(g);
}

int gmem_listen(struct gmem *g, struct gmem_listener *l, struct err *e)
{
	struct gmem_listener **tail = &g->first;

	for (unsigned int i = 0; i < g->regions; i++) {
		int r = l->add(l, &g->region[i], e);

		if (r < 0) {
			while (i-- > 0)
				l->del(l, &g->region[i]);
			return r;
		}
	}
	while (*tail)
		tail = &(*tail)->next;
	l->next = NULL;
	*tail = l;
	return 0;
}

void gmem_unlisten(struct gmem *g, struct gmem_listener *l)
{
	struct gmem_listener **p = &g->first;

	while (*p && *p != l)
		p = &(*p)->next;
	if (!*p)
		return;
	for (unsigned int i = g->regions; i-- > 0;)
		l->del(l, &g->region[i]);
	*p = l->next;
	l->next = NULL;
}

uint64_t gmem_size(const struct gmem *g)
{
	return g->size;
}

uint64_t gmem_low_end(const struct gmem *g)
{
	return g->region[0].size;
}

uint64_t gmem_end(const struct gmem *g)
{
	const struct gmem_region *last = &g->region[g->regions - 1];

	return last->gpa + last->size;
}

unsigned int gmem_regions(const struct gmem *g, const struct gmem_region **ret)
{
	*ret = g->region;
	return g->regions;
}

void *gmem_hva(const struct gmem *g, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < g->regions; i++) {
		const struct gmem_region *r = &g->region[i];

		if (gpa >= r->gpa && gpa - r->gpa <= r->size && len <= r->size - (gpa - r->gpa))
			return (uint8_t *)r->hva + (gpa - r->gpa);
	}
	return NULL;
}

int gmem_read(const struct gmem *g, uint64_t gpa, void *buf, size_t len)
{
	const void *hva = gmem_hva(g, gpa, len);

	if (!hva)
		return -EFAULT;
	memcpy(buf, hva, len);
	return 0;
}

int gmem_write(const struct gmem *g, uint64_t gpa, const void *buf, size_t len)
{
	void *hva = gmem_hva(g, gpa, len);

	if (!hva)
		return -EFAULT;
	memcpy(hva, buf, len);
	return 0;
}

uint64_t gmem_collapse(const struct gmem *g, uint64_t gpa, uint64_t len)
{
	uint64_t done = 0, end = len < UINT64_MAX - gpa ? gpa + len : UINT64_MAX;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (g->hugepages || g->huge)
		return 0;
	for (unsigned int i = 0; i < g->regions; i++) {
		const struct gmem_region *r = &g->region[i];
		uint64_t from = gpa > r->gpa ? gpa - r->gpa : 0;
		uint64_t to = end < r->gpa + r->size ? end : r->gpa + r->size;

		to = to > r->gpa ? to - r->gpa : 0;
		for (from &= ~(HUGE_SIZE - 1); from < to; from += HUGE_SIZE) {
			uint8_t *hva = (uint8_t *)r->hva + from;

			if (r->size - from < HUGE_SIZE)
				break;
			/* Where nothing was touched there is no page table to put a huge page in. */
			if (madvise(hva, page, MADV_POPULATE_READ) == 0 &&
				madvise(hva, HUGE_SIZE, MADV_COLLAPSE) == 0) {
				done += HUGE_SIZE;
			} else if (errno != EAGAIN && errno != EBUSY) {
				log_debug("guest memory: huge pages for 0x%" PRIx64 ": %s",
					r->gpa + from, strerror(errno));
				return done;
			}
		}
	}
	return done;
}
