// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/passthrough/host.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <linux/pci_regs.h>

#include "common/bytes.h"
#include "common/cleanup.h"

#define RW (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

/* A broken rule is an error of the code under test, in a unit test and in a fuzzer alike. */
#define rule(cond, ...)                                        \
	do {                                                   \
		if (!(cond)) {                                 \
			fprintf(stderr, "host: " __VA_ARGS__); \
			fprintf(stderr, " [%s]\n", #cond);     \
			abort();                               \
		}                                              \
	} while (0)

/* ---- the device behind the fake kernel ---- */

static void config_wrote(struct host *h, unsigned int off, unsigned int len, uint32_t val)
{
	for (unsigned int i = 0; i < len; i++) {
		h->touched[off + i] = 1;
		h->written[off + i] |= (uint8_t)(val >> (8 * i));
	}
	if (h->n_writes < HOST_WRITES)
		h->write[h->n_writes] = (struct host_write){off, len, val};
	h->n_writes++;
	for (unsigned int i = 0; i < len; i++) {
		uint8_t b = (uint8_t)(val >> (8 * i));

		switch (off + i) {
		case CAP_EXP + PCI_EXP_DEVCTL + 1:
			if (b & PCI_EXP_DEVCTL_BCR_FLR >> 8)
				h->flrs++;
			b &= (uint8_t) ~(PCI_EXP_DEVCTL_BCR_FLR >> 8);
			__attribute__((fallthrough));
		case PCI_COMMAND:
		case PCI_COMMAND + 1:
		case PCI_CACHE_LINE_SIZE:
		case CAP_PM + PCI_PM_CTRL:
		case CAP_EXP + PCI_EXP_DEVCTL: h->dev->config[off + i] = b; break;
		default: break;
		}
	}
	/* What KVM would meet: a mapped BAR whose pages the kernel has taken away. */
	for (unsigned int i = 0; i < HOST_SLOTS; i++)
		rule(!h->slot[i].size || (h->dev->config[PCI_COMMAND] & PCI_COMMAND_MEMORY &&
						 (h->dev->config[CAP_PM + PCI_PM_CTRL] & 3) != 3),
			"slot at %#" PRIx64 " while the device does not decode", h->slot[i].gpa);
	if (h->command_written && off < PCI_COMMAND + 2 && off + len > PCI_COMMAND)
		h->command_written(h);
}

static bool dev_access(uint64_t off, unsigned int *ret_index, uint64_t *ret_off)
{
	*ret_index = (unsigned int)(off >> 40);
	*ret_off = off & ((1ull << 40) - 1);
	return *ret_index <= PCI_ROM;
}

/* The bytes of the MSI-X table and its pending bits, from the device's own capability. */
static void holes(struct host *h, unsigned int *ret_bar, struct range ret[2])
{
	uint32_t table = dev_get(h, CAP_MSIX + PCI_MSIX_TABLE, 4), n;

	n = (dev_get(h, CAP_MSIX + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
	*ret_bar = table & PCI_MSIX_TABLE_BIR;
	range_make(table & PCI_MSIX_TABLE_OFFSET, n * PCI_MSIX_ENTRY_SIZE, &ret[0]);
	range_make(dev_get(h, CAP_MSIX + PCI_MSIX_PBA, 4) & PCI_MSIX_PBA_OFFSET, (n + 63) / 64 * 8,
		&ret[1]);
}

static ssize_t host_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	struct host *h = ctx;
	unsigned int index;
	uint64_t at;

	if (!dev_access(off, &index, &at))
		return h->k.sys.pread(&h->k, fd, buf, len, off);
	rule(at + len <= HOST_BAR_MAX, "BAR %u read at %#" PRIx64, index, at);
	pthread_mutex_lock(&h->bar_lock);
	h->bar_reads++;
	memcpy(buf, &h->bar[index][at], len);
	pthread_mutex_unlock(&h->bar_lock);
	return (ssize_t)len;
}

static ssize_t host_pwrite(void *ctx, int fd, const void *buf, size_t len, uint64_t off)
{
	struct host *h = ctx;
	unsigned int index, bar;
	struct range hole[2];
	uint64_t at;

	if (!dev_access(off, &index, &at)) {
		ssize_t n;
		uint8_t keep[PCI_CFG_SIZE];

		rule(index == VFIO_PCI_CONFIG_REGION_INDEX && at + len <= PCI_CFG_SIZE && len <= 4,
			"write of region %u at %#" PRIx64, index, at);
		memcpy(keep, h->dev->config, sizeof(keep));
		n = h->k.sys.pwrite(&h->k, fd, buf, len, off);
		memcpy(h->dev->config, keep, sizeof(keep));
		if (n > 0)
			config_wrote(h, (unsigned int)at, (unsigned int)len,
				(uint32_t)le_load(buf, len));
		return n;
	}
	rule(at + len <= HOST_BAR_MAX && index != PCI_ROM, "BAR %u write at %#" PRIx64, index, at);
	holes(h, &bar, hole);
	for (unsigned int i = 0; i < 2; i++)
		rule(index != bar || !range_overlaps(hole[i], (struct range){at, at + len}),
			"MSI-X table or PBA written at %#" PRIx64, at);
	pthread_mutex_lock(&h->bar_lock);
	h->bar_writes++;
	memcpy(&h->bar[index][at], buf, len);
	pthread_mutex_unlock(&h->bar_lock);
	return (ssize_t)len;
}

/* vfio_msi_set_block(): each takes an interrupt of the host's; one that fails takes all down. */
static int fds_set(struct host *h, const struct vfio_irq_set *s)
{
	unsigned int live = 0;
	int fd;

	for (unsigned int i = 0; i < h->armed; i++)
		live += h->fds[i] >= 0;
	for (unsigned int i = 0; i < s->count; i++) {
		int *have = &h->fds[s->start + i];

		memcpy(&fd, s->data + i * 4, 4);
		if (s->start + i < h->armed && *have >= 0) {
			rule(fd != *have, "vector %u made anew with the same eventfd",
				s->start + i);
			live--;
		}
		*have = fd;
		if (fd >= 0 && ++live > h->host_irqs && h->host_irqs) {
			for (unsigned int k = 0; k < s->count; k++)
				h->fds[s->start + k] = -1;
			return -ENOSPC;
		}
	}
	return 0;
}

static int irqs_set(struct host *h, const struct vfio_irq_set *s)
{
	if (s->flags & VFIO_IRQ_SET_ACTION_UNMASK && s->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		rule(s->index == VFIO_PCI_INTX_IRQ_INDEX && h->armed_index == (int)s->index,
			"unmask of what is not INTx, or not armed");
		memcpy(&h->unmask_fd, s->data, sizeof(h->unmask_fd));
		return 0;
	}
	if (!(s->flags & VFIO_IRQ_SET_ACTION_TRIGGER) || s->index > VFIO_PCI_MSIX_IRQ_INDEX)
		return 0;
	if (s->flags & VFIO_IRQ_SET_DATA_NONE && !s->count) {
		rule(h->armed_index == (int)s->index, "disarm of what is not armed");
		h->armed_index = -1;
		h->armed = 0;
		h->disarms++;
		return 0;
	}
	if (!(s->flags & VFIO_IRQ_SET_DATA_EVENTFD))
		return 0;
	/* vfio_pci_set_msi_trigger(): is_irq_none() or the same kind. */
	rule(h->armed_index < 0 || h->armed_index == (int)s->index, "two kinds armed");
	if (h->offer && s->start + s->count > h->offer)
		return (int)h->offer;
	rule(h->armed_index < 0 || h->dynamic || s->start + s->count <= h->armed,
		"grown to %u vectors from %u", s->start + s->count, h->armed);
	h->irq_calls++;
	if (fds_set(h, s) < 0)
		return -ENOSPC;
	if (s->start + s->count > h->armed)
		h->armed = s->start + s->count;
	h->armed_index = (int)s->index;
	h->arms++;
	return 0;
}

/* The error and the request interrupt; a loopback signals the eventfd that was lent for it. */
static int signal_set(struct host *h, int fd, struct vfio_irq_set *s)
{
	int r = h->k.sys.ioctl(&h->k, fd, VFIO_DEVICE_SET_IRQS, s);
	const uint64_t one = 1;

	if (r == 0 && s->flags & VFIO_IRQ_SET_DATA_NONE && s->count)
		rule(write(h->dev->fds[s->index][0], &one, sizeof(one)) == sizeof(one),
			"signal %u is not armed", s->index);
	return r;
}

static int host_ioctl(void *ctx, int fd, unsigned long req, void *arg)
{
	struct host *h = ctx;
	struct vfio_irq_set all;
	int r;

	if (req != VFIO_DEVICE_SET_IRQS) {
		r = h->k.sys.ioctl(&h->k, fd, req, arg);
		/* The kernel brings it to D0 first, vfio_pci_ioctl_reset(). */
		if (req == VFIO_DEVICE_RESET && r == 0)
			h->dev->config[CAP_PM + PCI_PM_CTRL] = 0;
		return r;
	}
	memcpy(&all, arg, sizeof(all));
	if (all.index > VFIO_PCI_MSIX_IRQ_INDEX)
		return signal_set(h, fd, arg);
	/* Counted and failed like any other call; the state is kept here. */
	r = h->k.sys.ioctl(&h->k, fd, 0, arg);
	return r == -ENOTTY ? irqs_set(h, arg) : r;
}

static int host_mmap(
	void *ctx, void *addr, size_t len, int prot, int flags, int fd, uint64_t off, void **ret)
{
	struct host *h = ctx;
	unsigned int index, bar;
	struct range hole[2];
	uint64_t at;

	if (fd >= 0 && dev_access(off, &index, &at)) {
		holes(h, &bar, hole);
		for (unsigned int i = 0; i < 2; i++)
			rule(index != bar || !range_overlaps(hole[i], (struct range){at, at + len}),
				"MSI-X table or PBA mapped with [%#" PRIx64 ", +%#zx)", at, len);
	}
	return h->k.sys.mmap(&h->k, addr, len, prot, flags, fd, off, ret);
}

static int host_munmap(void *ctx, void *addr, size_t len)
{
	struct host *h = ctx;

	for (unsigned int i = 0; i < HOST_SLOTS; i++)
		rule(!h->slot[i].size || (char *)h->slot[i].hva >= (char *)addr + len ||
				(char *)h->slot[i].hva + h->slot[i].size <= (char *)addr,
			"slot at %#" PRIx64 " outlives its memory", h->slot[i].gpa);
	return h->k.sys.munmap(&h->k, addr, len);
}

static int host_open_(void *ctx, const char *path, int flags)
{
	struct host *h = ctx;

	return h->k.sys.open(&h->k, path, flags);
}

static int host_close(void *ctx, int fd)
{
	struct host *h = ctx;

	return h->k.sys.close(&h->k, fd);
}

static void host_pause(void *ctx, unsigned int msec)
{
	struct host *h = ctx;

	h->pauses++;
}

static int slot_set(void *ctx, const struct kvm_userspace_memory_region *r)
{
	struct host *h = ctx;

	rule(r->slot < HOST_SLOTS, "slot %u", r->slot);
	if (r->memory_size && h->slot_errno)
		return -h->slot_errno;
	rule(!r->memory_size || (h->dev->config[PCI_COMMAND] & PCI_COMMAND_MEMORY),
		"slot at %#llx before the device decodes", (unsigned long long)r->guest_phys_addr);
	h->slot[r->slot] = (struct host_slot){
		r->guest_phys_addr, r->memory_size, (void *)(uintptr_t)r->userspace_addr};
	return 0;
}

/* ---- the standard device ---- */

void dev_set(struct host *h, unsigned int off, unsigned int len, uint64_t val)
{
	le_store(&h->dev->config[off], len, val);
}

uint32_t dev_get(struct host *h, unsigned int off, unsigned int len)
{
	return (uint32_t)le_load(&h->dev->config[off], len);
}

void dev_region(struct host *h, unsigned int index, uint32_t flags, uint64_t size)
{
	fk_region(&h->dev->regions[index], index, flags, size);
}

static void device_init(struct host *h)
{
	dev_set(h, PCI_VENDOR_ID, 4, 0x10ca8086);
	dev_set(h, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	dev_set(h, PCI_STATUS, 2, PCI_STATUS_CAP_LIST | PCI_STATUS_INTERRUPT);
	dev_set(h, PCI_CLASS_REVISION, 4, 0x02000001);
	dev_set(h, PCI_HEADER_TYPE, 1, 0x80);
	dev_set(h, PCI_BASE_ADDRESS_0, 4, 0xc);
	dev_set(h, PCI_BASE_ADDRESS_3, 4, 0xc);
	dev_set(h, PCI_SUBSYSTEM_VENDOR_ID, 4, 0xa03c8086);
	dev_set(h, PCI_INTERRUPT_PIN, 1, 1);
	dev_set(h, PCI_CAPABILITY_LIST, 1, CAP_PM);
	dev_set(h, CAP_PM, 2, PCI_CAP_ID_PM | CAP_MSI << 8);
	dev_set(h, CAP_PM + 2, 2, 3);
	dev_set(h, CAP_MSI, 2, PCI_CAP_ID_MSI | CAP_MSIX << 8);
	dev_set(h, CAP_MSI + PCI_MSI_FLAGS, 2,
		PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | 2 << 1);
	dev_set(h, CAP_MSIX, 2, PCI_CAP_ID_MSIX | CAP_EXP << 8);
	dev_set(h, CAP_MSIX + PCI_MSIX_FLAGS, 2, 2);
	dev_set(h, CAP_MSIX + PCI_MSIX_TABLE, 4, 3);
	dev_set(h, CAP_MSIX + PCI_MSIX_PBA, 4, 0x2000 | 3);
	dev_set(h, CAP_EXP, 2, PCI_CAP_ID_EXP);
	dev_set(h, CAP_EXP + PCI_EXP_FLAGS, 2, 2);
	dev_set(h, CAP_EXP + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_FLR | 1);
	dev_set(h, CAP_EXP + PCI_EXP_LNKCAP, 4, 0x1234);
	dev_set(h, CAP_EXP + PCI_EXP_DEVCAP2, 4, 0x55);
	dev_set(h, EXT_AER, 4, PCI_EXT_CAP_ID_ERR | 1 << 16 | EXT_ARI << 20);
	dev_set(h, EXT_ARI, 4, PCI_EXT_CAP_ID_ARI | 1 << 16 | EXT_DSN << 20);
	dev_set(h, EXT_ARI + 4, 4, 0x77);
	dev_set(h, EXT_DSN, 4, PCI_EXT_CAP_ID_DSN | 1 << 16);
	dev_set(h, EXT_DSN + 4, 4, 0xdeadbeef);
	h->dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].count = 4;
	h->dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
}

/* ---- the world ---- */

static void put(const struct sysfs *s, const char *path, const char *text, const char *link)
{
	char buf[256];
	int fd;

	snprintf(buf, sizeof(buf), "%s", path);
	for (char *p = buf; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		mkdirat(s->root_fd, buf, 0755);
	}
	if (link) {
		rule(symlinkat(link, s->root_fd, path) == 0, "%s", path);
		return;
	}
	fd = openat(s->root_fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	rule(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
	close(fd);
}

void host_root_make(char root[static HOST_ROOT_LEN])
{
	struct sysfs s;

	strcpy(root, "/tmp/viaduct-passthrough-XXXXXX");
	rule(mkdtemp(root) && sysfs_open(root, &s) == 0, "%s", root);
	put(&s, "sys/bus/pci/devices/" HOST_BDF "/class", "0x020000\n", NULL);
	put(&s, "sys/bus/pci/devices/" HOST_BDF "/driver", NULL, "../../drivers/vfio-pci");
	put(&s, "sys/bus/pci/devices/" HOST_BDF "/iommu_group", NULL,
		"../../../../kernel/iommu_groups/6");
	put(&s, "sys/kernel/iommu_groups/6/devices/" HOST_BDF, NULL,
		"../../../../bus/pci/devices/" HOST_BDF);
	put(&s, "sys/kernel/iommu_groups/6/reserved_regions",
		"0x00000000fee00000 0x00000000feefffff msi\n", NULL);
	put(&s, "sys/bus/pci/devices/0000:01:10.2/class", "0x020000\n", NULL);
	put(&s, "sys/bus/pci/devices/0000:01:10.2/driver", NULL, "../../drivers/vfio-pci");
	put(&s, "sys/bus/pci/devices/0000:01:10.2/iommu_group", NULL,
		"../../../../kernel/iommu_groups/7");
	put(&s, "proc/interrupts",
		"            CPU0       CPU1\n"
		"  24:          5          7  IR-PCI-MSIX-0000:01:10.0  0-edge  "
		"vfio-msix[0](" HOST_BDF ")\n"
		"  25:          1          0  IR-PCI-MSIX-0000:01:10.2  0-edge  "
		"vfio-msix[0](0000:01:10.2)"
		"\n",
		NULL);
	sysfs_close(&s);
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

void host_root_remove(const char *root)
{
	nftw(root, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static int tables_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	return -EFAULT;
}

static int tables_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
	return -EFAULT;
}

static void guest_make(struct host *h)
{
	const struct vtd_memory no_memory = {tables_read, tables_write, NULL};
	struct slots_backend sb = {slot_set, h};
	struct pci_root_config pc = {
		.mmio32 = {0xc0000000, 0xe0000000},
		.mmio64 = {0x200000000, 0x300000000},
		.pio_window = {0xc000, 0x10000},
	};
	struct irq_backend ib;

	irq_recorder_init(&h->rec);
	ib = irq_recorder_backend(&h->rec);
	rule(bus_create("mmio", NULL, &h->mmio) == 0 && bus_create("pio", NULL, &h->pio) == 0,
		"bus");
	pc.mmio = h->mmio;
	pc.pio = h->pio;
	rule(irq_router_create(&ib, 4096, NULL, &h->irq) == 0, "router");
	rule(vtd_create(h->irq, &no_memory, NULL, &h->vtd) == 0, "remapping unit");
	vtd_dma_offer(h->vtd);
	pc.vtd = h->vtd;
	rule(pci_root_create(&pc, NULL, &h->pci) == 0, "root");
	rule(slots_create(&sb, HOST_SLOTS, NULL, &h->slots) == 0, "slots");
	rule(ioapic_create(h->irq, 0xf0f8, NULL, &h->ioapic) == 0, "IOAPIC");
	rule(irq_lines_create(h->ioapic, NULL, &h->lines) == 0, "lines");
	h->ah = (struct assigned_host){
		.pci = h->pci, .slots = h->slots, .irq = h->irq, .lines = h->lines};
}

void host_init(struct host *h, const char *root)
{
	memset(h, 0, sizeof(*h));
	pthread_mutex_init(&h->bar_lock, NULL);
	h->armed_index = -1;
	rule(sysfs_open(root, &h->sysfs) == 0, "%s", root);
	vfio_kernel_init(&h->k);
	vfio_kernel_group(&h->k, 6);
	h->dev = vfio_kernel_device(&h->k, HOST_BDF, 6);
	h->sys = (struct vfio_sys){host_open_, host_close, host_ioctl, host_pread, host_pwrite,
		host_mmap, host_munmap, host_pause, h};
	device_init(h);
	guest_make(h);
	rule(ioas_create_type1(&h->sys, NULL, &h->io) == 0, "ioas");
}

int host_open(struct host *h, struct err *e)
{
	struct bdf b;

	rule(bdf_parse(HOST_BDF, &b) == 0, "bdf");
	return assigned_create(&h->ah, h->io, &h->sysfs, b, HOST_DEVFN, e, &h->a);
}

void host_finish(struct host *h)
{
	pci_root_destroy(h->pci);
	rule(host_slots(h) == 0, "slots left");
	rule(h->armed_index < 0, "interrupts left armed");
	slots_destroy(h->slots);
	rule(h->rec.n_attached == 0, "irqfds left");
	irq_lines_destroy(h->lines);
	ioapic_destroy(h->ioapic);
	vtd_destroy(h->vtd);
	irq_router_destroy(h->irq);
	irq_recorder_finish(&h->rec);
	bus_destroy(h->mmio);
	bus_destroy(h->pio);
	ioas_destroy(h->io);
	rule(!vfio_kernel_leaks(&h->k), "kernel objects left");
	vfio_kernel_finish(&h->k);
	sysfs_close(&h->sysfs);
}

uint32_t cfg_get(struct host *h, unsigned int off, unsigned int len)
{
	return pci_cfg_read(h->pci, 0, HOST_DEVFN, off, len);
}

void cfg_set(struct host *h, unsigned int off, unsigned int len, uint32_t val)
{
	pci_cfg_write(h->pci, 0, HOST_DEVFN, off, len, val);
}

void host_place(struct host *h)
{
	rule(pci_root_place(h->pci, NULL) == 0, "place");
}

const struct host_slot *host_slot_at(const struct host *h, uint64_t gpa)
{
	for (unsigned int i = 0; i < HOST_SLOTS; i++) {
		if (gpa >= h->slot[i].gpa && gpa - h->slot[i].gpa < h->slot[i].size)
			return &h->slot[i];
	}
	return NULL;
}

unsigned int host_slots(const struct host *h)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < HOST_SLOTS; i++)
		n += h->slot[i].size != 0;
	return n;
}

void msix_entry_set(struct host *h, unsigned int i, uint32_t data, bool masked)
{
	uint64_t at = pci_bar_addr(&h->a->func, h->a->func.msix_table_bar) +
		      h->a->func.msix_table_off + i * PCI_MSIX_ENTRY_SIZE;

	bus_write(h->mmio, at + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 1);
	bus_write(h->mmio, at, 4, 0xfee00000);
	bus_write(h->mmio, at + 4, 4, 0);
	bus_write(h->mmio, at + 8, 4, data);
	bus_write(h->mmio, at + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, masked);
}
