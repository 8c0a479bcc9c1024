// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vfio/ against a real kernel: what vfio.sh runs in the lab.
 *   vfio_probe use A B     all calls of the module on two functions; says "ok: ..." per check
 *   vfio_probe limit A     expects dma_entry_limit to be 4
 *   vfio_probe memlock A   gives up CAP_IPC_LOCK and expects to be told the figure
 *   vfio_probe leave A     programs an e1000e's receive ring and is killed
 *   vfio_probe fresh A     finds nothing of that, nor of its own before a reset or a close
 *   vfio_probe hold A      opens it, says "held" and waits for the end of stdin
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <linux/capability.h>

#include "common/cleanup.h"
#include "vfio/vfio.h"

#define RW (IOAS_READ | IOAS_WRITE)

struct probe {
	struct sysfs sysfs;
	struct ioas *io;
	struct err e;
	int failed;
};

static void check(struct probe *p, bool ok, const char *what)
{
	printf("%s: %s%s%s\n", ok ? "ok" : "FAILED", what, ok ? "" : ": ", ok ? "" : p->e.text);
	p->failed |= !ok;
}

static bool says(const struct probe *p, const char *text)
{
	return strstr(p->e.text, text) != NULL;
}

static struct vdev *open_one(struct probe *p, const char *bdf)
{
	struct vdev *d = NULL;
	struct bdf b;

	if (bdf_parse(bdf, &b) < 0 || vdev_open(p->io, &p->sysfs, b, NULL, &p->e, &d) < 0) {
		fprintf(stderr, "vfio_probe: %s\n", p->e.text);
		exit(1);
	}
	return d;
}

static void *memory(size_t size)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		exit(1);
	return m;
}

static int fds_open(void)
{
	_cleanup_dir_ DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	return n;
}

static void probe_mappings(struct probe *p)
{
	char *m = memory(2 << 20);
	struct range_list w = {0};
	int r;

	check(p, ioas_windows(p->io, &w) == 0 && w.n >= 1 && ioas_page_sizes(p->io) & 4096,
		"the IOMMU says its windows and page sizes");
	check(p,
		range_list_contains(&w, (struct range){0x100000, 0x200000}) &&
			!range_list_find(&w, (struct range){0xfee00000, 0xfef00000}),
		"they leave out the MSI doorbell");
	range_list_finish(&w);
	check(p, ioas_map(p->io, 0x100000, 4096, m, RW, &p->e) == 0, "a page is mapped");
	check(p, ioas_map(p->io, 0x200000, 1 << 20, m + 4096, IOAS_READ, &p->e) == 0,
		"a MiB is mapped");
	r = ioas_map(p->io, 0x100000, 4096, m, RW, &p->e);
	check(p, r == -EEXIST && says(p, "[0x100000, 0x101000)"), "overlap is refused by name");
	r = ioas_map(p->io, 0xfee00000, 4096, m, RW, &p->e);
	check(p, r == -ERANGE && says(p, "(msi)"), "the doorbell is refused by name");
	r = ioas_map(p->io, 0x400000, 4096, (void *)4096, RW, &p->e);
	check(p, r == -EFAULT && says(p, "Bad address"), "memory that is not there is EFAULT");
	check(p, ioas_unmap(p->io, 0x200000, 1 << 20, &p->e) == 0, "the MiB is unmapped");
}

static bool fired(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t n = 0;

	return poll(&pfd, 1, 1000) == 1 && read(fd, &n, sizeof(n)) == sizeof(n) && n == 1;
}

static void probe_irqs(struct probe *p, struct vdev *d)
{
	struct vdev_irq q = {0};
	int fds[16];
	bool ok = true;

	for (int i = 0; i < 16; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vdev_irq(d, VFIO_PCI_MSIX_IRQ_INDEX, &q);
	check(p, q.count >= 2 && q.count <= 16, "it has MSI-X vectors");
	check(p, vdev_irq_arm(d, VFIO_PCI_MSIX_IRQ_INDEX, 0, q.count, fds, &p->e) == 0,
		"all are armed");
	for (unsigned int i = 0; i < q.count; i++)
		ok = ok && !vdev_irq_fire(d, VFIO_PCI_MSIX_IRQ_INDEX, i, 1, &p->e) && fired(fds[i]);
	check(p, ok, "each fires its own eventfd, once");
	check(p,
		vdev_irq_arm(d, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, &fds[8], &p->e) == 0 &&
			!vdev_irq_fire(d, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, &p->e) && fired(fds[8]),
		"a vector moves to another eventfd");
	check(p,
		vdev_irq_disarm(d, VFIO_PCI_MSIX_IRQ_INDEX, &p->e) == 0 &&
			vdev_irq_disarm(d, VFIO_PCI_MSIX_IRQ_INDEX, &p->e) == 0,
		"they are disarmed, twice");
	for (unsigned int i = VFIO_PCI_ERR_IRQ_INDEX; i <= VFIO_PCI_REQ_IRQ_INDEX; i++) {
		ok = !vdev_irq_arm(d, i, 0, 1, &fds[i], &p->e) &&
		     !vdev_irq_fire(d, i, 0, 1, &p->e) && fired(fds[i]);
		check(p, ok,
			i == VFIO_PCI_ERR_IRQ_INDEX ? "the error interrupt fires"
						    : "the request interrupt fires");
	}
	for (int i = 0; i < 16; i++)
		fd_close(fds[i]);
}

static void probe_regions(struct probe *p, struct vdev *d)
{
	const unsigned int cfg = VFIO_PCI_CONFIG_REGION_INDEX;
	uint32_t id = 0, status = 0;
	struct vdev_region r = {0};
	volatile uint32_t *bar;
	uint16_t cmd = 0;
	void *hva;

	check(p, vdev_read(d, cfg, 0, &id, 4) == 0 && id != UINT32_MAX && id,
		"config space is read, IDs filled in");
	vdev_read(d, cfg, 4, &cmd, 2);
	cmd |= 2; /* memory decode: the kernel faults accesses to a mapped BAR without */
	check(p, vdev_write(d, cfg, 4, &cmd, 2) == 0, "config space is written");
	vdev_region(d, 0, &r);
	check(p,
		vdev_region_mmap(d, 0, 0, r.size, &p->e, &hva) == 0 &&
			((uintptr_t)hva & (r.size - 1)) == 0,
		"BAR 0 is mapped, aligned to its size");
	bar = hva;
	check(p, vdev_read(d, 0, 8, &status, 4) == 0 && bar[2] == status,
		"its status register reads the same through the fd and the mapping");
	vdev_region_munmap(d, hva, r.size);
	check(p, vdev_reset(d, true, &p->e) == 0, "it is reset");
}

static void probe_use(struct probe *p, const char *a, const char *b)
{
	struct vdev *d, *other;
	int before;

	d = open_one(p, a);
	probe_mappings(p);
	probe_irqs(p, d);
	probe_regions(p, d);
	other = open_one(p, b);
	check(p, true, "a second function joins");
	vdev_close(d);
	check(p, ioas_map(p->io, 0x300000, 4096, memory(4096), RW, &p->e) == 0,
		"the address space outlives the first");
	vdev_close(other);
	d = open_one(p, a);
	check(p,
		ioas_unmap(p->io, 0x100000, 4096, &p->e) == 0 &&
			ioas_unmap(p->io, 0x300000, 4096, &p->e) == 0,
		"mappings are back when a function opens again");
	vdev_close(d);
	before = fds_open();
	for (int i = 0; i < 20; i++)
		vdev_close(open_one(p, i & 1 ? a : b));
	check(p, fds_open() == before, "20 opens and closes leave no fd");
}

/* 8254x manual §13.4.25: where an Intel NIC receives to. */
#define RDBAL 0x2800
#define RING  0x12345600u

static uint32_t ring(const struct vdev *d)
{
	uint32_t v = UINT32_MAX;

	vdev_read(d, 0, RDBAL, &v, sizeof(v));
	return v;
}

static void decode_on(struct vdev *d)
{
	const uint16_t cmd = 2; /* memory decode */

	vdev_write(d, VFIO_PCI_CONFIG_REGION_INDEX, 4, &cmd, 2);
}

static struct vdev *ring_program(struct probe *p, struct vdev *d)
{
	const uint32_t v = RING;

	decode_on(d);
	vdev_write(d, 0, RDBAL, &v, sizeof(v));
	check(p, ring(d) == RING, "its receive ring is programmed");
	return d;
}

static void probe_leave(struct probe *p, const char *a)
{
	ring_program(p, open_one(p, a));
	raise(SIGKILL);
}

static void probe_fresh(struct probe *p, const char *a)
{
	struct vdev *d = open_one(p, a);

	decode_on(d);
	check(p, ring(d) == 0, "who was killed left no receive ring in it");
	ring_program(p, d);
	check(p, vdev_reset(d, true, &p->e) == 0 && ring(d) == 0, "a reset forgets the ring");
	vdev_close(ring_program(p, d));
	d = open_one(p, a);
	decode_on(d);
	check(p, ring(d) == 0, "so does a close");
	vdev_close(d);
}

static void probe_limit(struct probe *p, const char *a)
{
	struct vdev *d = open_one(p, a);
	char *m = memory(8 * 4096);
	int r = 0;

	for (uint64_t i = 0; i < 8 && r == 0; i++)
		r = ioas_map(p->io, 0x100000 + i * 8192, 4096, m + i * 4096, RW, &p->e);
	check(p, r == -ENOMEM && says(p, "all of the 4 mappings") && says(p, "dma_entry_limit"),
		"the limit of mappings is told");
	vdev_close(d);
}

static void probe_memlock(struct probe *p, const char *a)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct rlimit rl = {65536, 65536};
	struct __user_cap_data_struct c[2];
	struct vdev *d = open_one(p, a);
	char *m = memory(1 << 20);
	int r;

	if (syscall(SYS_capget, &h, c) < 0)
		exit(1);
	c[0].effective &= ~(1u << CAP_IPC_LOCK);
	if (syscall(SYS_capset, &h, c) < 0 || setrlimit(RLIMIT_MEMLOCK, &rl) < 0)
		exit(1);
	check(p, ioas_memlock_check(32768, &p->e) == 0, "32 KiB are allowed");
	check(p, ioas_map(p->io, 0x100000, 32768, m, RW, &p->e) == 0, "and can be mapped");
	r = ioas_memlock_check(1 << 20, &p->e);
	check(p, r == -ENOMEM && says(p, "1056 KiB"), "a MiB more is refused in advance");
	r = ioas_map(p->io, 0x200000, 1 << 20, m, RW, &p->e);
	check(p, r == -ENOMEM && says(p, "RLIMIT_MEMLOCK is 64 KiB") && says(p, "ulimit -l 1056"),
		"the kernel refuses it too, and the figure is told");
	vdev_close(d);
}

int main(int argc, char **argv)
{
	struct probe p = {.sysfs = {-1}};
	const char *mode = argc > 2 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (sysfs_open("/", &p.sysfs) < 0 || ioas_create_type1(&vfio_sys_linux, &p.e, &p.io) < 0) {
		fprintf(stderr, "vfio_probe: %s\n", p.e.text);
		return 1;
	}
	if (!strcmp(mode, "use") && argc == 4) {
		probe_use(&p, argv[2], argv[3]);
	} else if (!strcmp(mode, "limit")) {
		probe_limit(&p, argv[2]);
	} else if (!strcmp(mode, "memlock")) {
		probe_memlock(&p, argv[2]);
	} else if (!strcmp(mode, "leave")) {
		probe_leave(&p, argv[2]);
	} else if (!strcmp(mode, "fresh")) {
		probe_fresh(&p, argv[2]);
	} else if (!strcmp(mode, "hold")) {
		struct vdev *d = open_one(&p, argv[2]);

		puts("held");
		while (getchar() != EOF)
			;
		vdev_close(d);
	} else {
		return 2;
	}
	ioas_destroy(p.io);
	sysfs_close(&p.sysfs);
	return p.failed;
}
