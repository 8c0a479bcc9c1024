// SPDX-License-Identifier: GPL-2.0-or-later
/* Virtio 1.2 §4.1: the modern PCI transport. */
#include "devices/virtio_pci.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/virtio_config.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/event.h"
#include "common/range.h"

#define VENDOR        0x1af4u /* §4.1.2 */
#define DEVICE_MODERN 0x1040u

/* BAR 0: a page per kind of register, so that hosts may map the doorbells alone. */
#define BAR_SIZE    0x10000u
#define COMMON_OFF  0x0000u
#define COMMON_LEN  60u /* up to queue_reset, §4.1.4.3 */
#define ISR_OFF     0x1000u
#define CONFIG_OFF  0x2000u
#define MSIX_OFF    0x3000u
#define PBA_OFF     0x4000u
#define NOTIFY_OFF  0x8000u
#define NOTIFY_STEP 4u

/* §4.1.4.3 struct virtio_pci_common_cfg; the last two are newer than Debian 12's header. */
enum {
	REG_DEVICE_FEATURE_SEL = 0,
	REG_DEVICE_FEATURE = 4,
	REG_DRIVER_FEATURE_SEL = 8,
	REG_DRIVER_FEATURE = 12,
	REG_CONFIG_VECTOR = 16,
	REG_NUM_QUEUES = 18,
	REG_STATUS = 20,
	REG_GENERATION = 21,
	REG_QUEUE_SEL = 22,
	REG_QUEUE_SIZE = 24,
	REG_QUEUE_VECTOR = 26,
	REG_QUEUE_ENABLE = 28,
	REG_QUEUE_NOTIFY_OFF = 30,
	REG_QUEUE_DESC = 32,
	REG_QUEUE_DRIVER = 40,
	REG_QUEUE_DEVICE = 48,
	REG_QUEUE_NOTIFY_DATA = 56,
	REG_QUEUE_RESET = 58,
};

#define NO_VECTOR    0xffffu
#define ISR_QUEUE    0x1u
#define ISR_CONFIG   0x2u
#define STATUS_KNOWN 0x8fu /* what a driver may set; NEEDS_RESET is the device's */

/* struct virtio_pci_cap, §4.1.4 */
#define CAP_BAR    4u
#define CAP_OFFSET 8u
#define CAP_LENGTH 12u
#define CAP_DATA   16u /* PCI_CFG; NOTIFY: the multiplier */

/* ---- interrupts ---- */

static int vector_fd(const struct vpci *v, uint16_t vector)
{
	return vector < v->n_vectors ? v->vec_fd[vector] : -1;
}

/* Tell the device of the queue's fd. @woken: it had none; what was used meanwhile is told now. */
static void queue_call_set(struct vpci *v, unsigned int i, bool woken)
{
	int fd = vector_fd(v, v->queue[i].vector);

	v->ops->set_call(v, i, fd);
	if (woken)
		event_signal(fd);
}

static int vectors_arm(void *ctx, unsigned int count, const int *fds)
{
	struct vpci *v = ctx;

	pthread_mutex_lock(&v->vec_lock);
	for (unsigned int k = 0; k < count && k < v->n_vectors; k++) {
		bool woken = v->vec_fd[k] < 0 && fds[k] >= 0;

		if (v->vec_fd[k] == fds[k])
			continue;
		v->vec_fd[k] = fds[k];
		for (unsigned int i = 0; i < v->n_queues; i++) {
			if (v->queue[i].vector == k)
				queue_call_set(v, i, woken);
		}
		if (v->config_vector == k && v->config_pending && fds[k] >= 0) {
			v->config_pending = false;
			event_signal(fds[k]);
		}
	}
	pthread_mutex_unlock(&v->vec_lock);
	return 0;
}

static void vectors_disarm(void *ctx)
{
	struct vpci *v = ctx;

	pthread_mutex_lock(&v->vec_lock);
	for (unsigned int k = 0; k < v->n_vectors; k++)
		v->vec_fd[k] = -1;
	for (unsigned int i = 0; i < v->n_queues; i++) {
		if (v->queue[i].vector < v->n_vectors)
			v->ops->set_call(v, i, -1);
	}
	pthread_mutex_unlock(&v->vec_lock);
}

void vpci_call(struct vpci *v, unsigned int queue)
{
	pthread_mutex_lock(&v->vec_lock);
	event_signal(vector_fd(v, v->queue[queue].vector));
	pthread_mutex_unlock(&v->vec_lock);
}

void vpci_config_changed(struct vpci *v)
{
	int fd;

	atomic_fetch_add(&v->generation, 1);
	if (!(atomic_load(&v->status) & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	atomic_fetch_or(&v->isr, ISR_CONFIG);
	pthread_mutex_lock(&v->vec_lock);
	fd = vector_fd(v, v->config_vector);
	v->config_pending = fd < 0;
	event_signal(fd);
	pthread_mutex_unlock(&v->vec_lock);
	v->config_irqs++;
}

void vpci_broken(struct vpci *v, const char *what, const char *why)
{
	v->broken++;
	log_guest(&v->limit, "%s: %s: %s; the device needs a reset", v->pci.name, what, why);
	atomic_fetch_or(&v->status, VIRTIO_CONFIG_S_NEEDS_RESET);
	vpci_config_changed(v);
}

/* ---- doorbells ---- */

static struct doorbell bell_of(const struct vpci *v, unsigned int i)
{
	return (struct doorbell){
		.gpa = v->bar_addr + NOTIFY_OFF + i * NOTIFY_STEP,
		.fd = v->queue[i].kick_fd,
	};
}

/* Where KVM refuses, the trapped write rings instead. */
static void bells_add(struct vpci *v)
{
	for (unsigned int i = 0; v->started && v->bar_addr && i < v->n_queues; i++) {
		struct doorbell d = bell_of(v, i);
		struct err e = {0};

		if (!v->queue[i].enabled || v->queue[i].kick_fd < 0 || v->queue[i].bell)
			continue;
		if (doorbell_add(&v->bell, &d, &e) < 0)
			log_debug("%s: queue %u: %s", v->pci.name, i, e.text);
		else
			v->queue[i].bell = true;
	}
}

static void bells_del(struct vpci *v)
{
	for (unsigned int i = 0; i < v->n_queues; i++) {
		struct doorbell d = bell_of(v, i);

		if (v->queue[i].bell)
			doorbell_del(&v->bell, &d);
		v->queue[i].bell = false;
	}
}

static void bar_map(struct pci_func *f, unsigned int bar, uint64_t addr)
{
	struct vpci *v = container_of(f, struct vpci, pci);

	pthread_mutex_lock(&v->lock);
	v->bar_addr = addr;
	bells_add(v);
	pthread_mutex_unlock(&v->lock);
}

static void bar_unmap(struct pci_func *f, unsigned int bar)
{
	struct vpci *v = container_of(f, struct vpci, pci);

	pthread_mutex_lock(&v->lock);
	bells_del(v);
	v->bar_addr = 0;
	pthread_mutex_unlock(&v->lock);
}

static void notify(struct vpci *v, uint64_t off)
{
	unsigned int i = (unsigned int)(off / NOTIFY_STEP);

	if (off % NOTIFY_STEP || i >= v->n_queues || !v->started || !v->queue[i].enabled)
		return;
	v->trapped_kicks++;
	if (v->queue[i].kick_fd >= 0)
		event_signal(v->queue[i].kick_fd);
	else
		v->ops->notify(v, i);
}

/* ---- life of the driver ---- */

static void device_stop(struct vpci *v)
{
	bells_del(v);
	v->started = false;
	v->ops->stop(v);
}

/* §2.4: what the device is after power-on, and after a driver wrote 0 to its status. */
static void device_reset(struct vpci *v)
{
	device_stop(v);
	atomic_store(&v->status, 0);
	atomic_store(&v->isr, 0);
	v->driver_features = 0;
	v->feature_sel = v->driver_feature_sel = 0;
	v->queue_sel = 0;
	pthread_mutex_lock(&v->vec_lock);
	v->config_vector = NO_VECTOR;
	v->config_pending = false;
	for (unsigned int i = 0; i < v->n_queues; i++) {
		struct vpci_queue *q = &v->queue[i];

		if (q->vector != NO_VECTOR)
			v->ops->set_call(v, i, -1);
		q->vector = NO_VECTOR;
		q->size = q->max_size;
		q->enabled = false;
		q->desc = q->driver = q->device = 0;
	}
	pthread_mutex_unlock(&v->vec_lock);
}

/* Its first access, to a ring. */
static bool device_dma(struct vpci *v)
{
	for (unsigned int i = 0; i < v->n_queues; i++)
		if (v->queue[i].enabled)
			return pci_func_dma(&v->pci, v->queue[i].desc, false);
	return true;
}

static void device_start(struct vpci *v)
{
	struct err e = {0};

	if (!device_dma(v)) {
		vpci_broken(v, "start", "the guest's remapping unit blocks its DMA");
		return;
	}
	/* Before the device runs: a ring that breaks at once finds DRIVER_OK set. */
	v->started = true;
	if (v->ops->start(v, &e) < 0)
		vpci_broken(v, "start", e.text);
	bells_add(v);
}

/* A device that runs is looking at its rings: that is refused now. What was negotiated is gone. */
static void dma_allow(struct pci_func *f, bool allowed)
{
	struct vpci *v = container_of(f, struct vpci, pci);

	pthread_mutex_lock(&v->lock);
	if (!allowed && v->started) {
		device_stop(v);
		(void)device_dma(v);
		vpci_broken(v, "running", "the guest's remapping unit blocks its DMA");
	}
	pthread_mutex_unlock(&v->lock);
}

/* §2.1, §3.1.1 */
static void status_write(struct vpci *v, uint8_t val)
{
	uint8_t old = atomic_load(&v->status), add;

	if (!val) {
		v->resets++;
		device_reset(v);
		return;
	}
	/* §2.1.1: a driver must not clear a bit. */
	add = val & STATUS_KNOWN & (uint8_t)~old;
	if (add & VIRTIO_CONFIG_S_FEATURES_OK && !v->ops->features_ok(v, v->driver_features)) {
		log_guest(&v->limit, "%s: features 0x%" PRIx64 " cannot be had together",
			v->pci.name, v->driver_features);
		add &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	}
	/* §3.1.1: features come before DRIVER_OK. */
	if (add & VIRTIO_CONFIG_S_DRIVER_OK && !((old | add) & VIRTIO_CONFIG_S_FEATURES_OK))
		add &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	atomic_fetch_or(&v->status, add);
	if (add & VIRTIO_CONFIG_S_DRIVER_OK)
		device_start(v);
}

/* ---- common config ---- */

static struct vpci_queue *queue_selected(struct vpci *v)
{
	return v->queue_sel < v->n_queues ? &v->queue[v->queue_sel] : NULL;
}

static void common_image(struct vpci *v, uint8_t *b)
{
	const struct vpci_queue *q = queue_selected(v);

	memset(b, 0, COMMON_LEN);
	le_store(b + REG_DEVICE_FEATURE_SEL, 4, v->feature_sel);
	if (v->feature_sel < 2)
		le_store(b + REG_DEVICE_FEATURE, 4, v->offered >> (v->feature_sel * 32));
	le_store(b + REG_DRIVER_FEATURE_SEL, 4, v->driver_feature_sel);
	if (v->driver_feature_sel < 2)
		le_store(b + REG_DRIVER_FEATURE, 4,
			v->driver_features >> (v->driver_feature_sel * 32));
	le_store(b + REG_CONFIG_VECTOR, 2, v->config_vector);
	le_store(b + REG_NUM_QUEUES, 2, v->n_queues);
	b[REG_STATUS] = atomic_load(&v->status);
	b[REG_GENERATION] = atomic_load(&v->generation);
	le_store(b + REG_QUEUE_SEL, 2, v->queue_sel);
	if (!q)
		return;
	le_store(b + REG_QUEUE_SIZE, 2, q->size);
	le_store(b + REG_QUEUE_VECTOR, 2, q->vector);
	le_store(b + REG_QUEUE_ENABLE, 2, q->enabled);
	le_store(b + REG_QUEUE_NOTIFY_OFF, 2, v->queue_sel);
	le_store(b + REG_QUEUE_DESC, 8, q->desc);
	le_store(b + REG_QUEUE_DRIVER, 8, q->driver);
	le_store(b + REG_QUEUE_DEVICE, 8, q->device);
}

static void vector_write(struct vpci *v, struct vpci_queue *q, uint16_t vector)
{
	/* §4.1.5.1.2.1: a vector that cannot be had reads back as none. */
	if (vector >= v->n_vectors)
		vector = NO_VECTOR;
	pthread_mutex_lock(&v->vec_lock);
	if (q) {
		q->vector = vector;
		queue_call_set(v, (unsigned int)(q - v->queue), v->started);
	} else {
		v->config_vector = vector;
	}
	pthread_mutex_unlock(&v->vec_lock);
}

static void features_write(struct vpci *v, uint32_t val)
{
	unsigned int shift = v->driver_feature_sel * 32;

	/* §2.2.1: settled by FEATURES_OK. */
	if (v->driver_feature_sel > 1 || atomic_load(&v->status) & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	v->driver_features &= ~((uint64_t)UINT32_MAX << shift);
	v->driver_features |= (uint64_t)val << shift;
}

/* Fields a driver must not touch once the queue is enabled, §4.1.4.3.2. */
static void queue_write(struct vpci *v, unsigned int off, unsigned int len, uint64_t val)
{
	struct vpci_queue *q = queue_selected(v);
	unsigned int half = off % 8;
	uint64_t *addr;

	if (!q || q->enabled)
		return;
	switch (off) {
	case REG_QUEUE_SIZE:
		if (len == 2 && val && val <= q->max_size)
			q->size = (uint16_t)val;
		return;
	case REG_QUEUE_ENABLE:
		/* §4.1.4.3.2: only 1 may be written. */
		if (len == 2 && val == 1 && !v->started)
			q->enabled = true;
		return;
	default: break;
	}
	if (off < REG_QUEUE_DESC || off >= REG_QUEUE_NOTIFY_DATA)
		return;
	/* 64-bit fields are written as two halves, §4.1.3.1; a whole does no harm. */
	addr = off < REG_QUEUE_DRIVER ? &q->desc : off < REG_QUEUE_DEVICE ? &q->driver : &q->device;
	if (len == 8 && !half)
		*addr = val;
	else if (len == 4 && half % 4 == 0)
		le_store((uint8_t *)addr + half, 4, val);
}

static void common_write(struct vpci *v, unsigned int off, unsigned int len, uint64_t val)
{
	switch (off) {
	case REG_DEVICE_FEATURE_SEL:
		if (len == 4)
			v->feature_sel = (uint32_t)val;
		return;
	case REG_DRIVER_FEATURE_SEL:
		if (len == 4)
			v->driver_feature_sel = (uint32_t)val;
		return;
	case REG_DRIVER_FEATURE:
		if (len == 4)
			features_write(v, (uint32_t)val);
		return;
	case REG_CONFIG_VECTOR:
		if (len == 2)
			vector_write(v, NULL, (uint16_t)val);
		return;
	case REG_STATUS:
		if (len == 1)
			status_write(v, (uint8_t)val);
		return;
	case REG_QUEUE_SEL:
		if (len == 2)
			v->queue_sel = (uint16_t)val;
		return;
	case REG_QUEUE_VECTOR:
		if (len == 2 && queue_selected(v))
			vector_write(v, queue_selected(v), (uint16_t)val);
		return;
	default: queue_write(v, off, len, val);
	}
}

/* ---- BAR ---- */

static bool inside(uint64_t off, unsigned int len, uint64_t start, uint64_t size)
{
	return off >= start && off - start < size && len <= size - (off - start);
}

static uint64_t region_read(struct vpci *v, uint64_t off, unsigned int len)
{
	uint8_t image[COMMON_LEN], buf[8] = {0};

	if (inside(off, len, COMMON_OFF, COMMON_LEN)) {
		common_image(v, image);
		return le_load(image + off, len);
	}
	if (inside(off, len, ISR_OFF, 1))
		return atomic_exchange(&v->isr, 0); /* §4.1.4.5.1: reading clears it */
	if (inside(off, len, CONFIG_OFF, v->cfg_len)) {
		v->ops->cfg_read(v, (unsigned int)(off - CONFIG_OFF), buf, len);
		return le_load(buf, len);
	}
	return 0;
}

static void region_write(struct vpci *v, uint64_t off, unsigned int len, uint64_t val)
{
	uint8_t buf[8];

	if (inside(off, len, COMMON_OFF, COMMON_LEN)) {
		common_write(v, (unsigned int)off, len, val);
	} else if (inside(off, len, CONFIG_OFF, v->cfg_len)) {
		le_store(buf, len, val);
		v->ops->cfg_write(v, (unsigned int)(off - CONFIG_OFF), buf, len);
	} else if (off >= NOTIFY_OFF) {
		notify(v, off - NOTIFY_OFF);
	}
}

static uint64_t bar_read(struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len)
{
	struct vpci *v = container_of(f, struct vpci, pci);
	uint64_t val;

	pthread_mutex_lock(&v->lock);
	val = region_read(v, off, len);
	pthread_mutex_unlock(&v->lock);
	return val;
}

static void bar_write(
	struct pci_func *f, unsigned int bar, uint64_t off, unsigned int len, uint64_t val)
{
	struct vpci *v = container_of(f, struct vpci, pci);

	pthread_mutex_lock(&v->lock);
	region_write(v, off, len, val);
	pthread_mutex_unlock(&v->lock);
}

/* ---- the window in config space, §4.1.4.9 ---- */

/* What the window points at: false when that is nothing of ours. */
static bool window(const struct vpci *v, uint64_t *ret_off, unsigned int *ret_len)
{
	const uint8_t *cap = v->pci.cfg + v->cfg_cap;
	uint64_t off = le_load(cap + CAP_OFFSET, 4), len = le_load(cap + CAP_LENGTH, 4);

	if (cap[CAP_BAR] || (len != 1 && len != 2 && len != 4) || off % len || off > BAR_SIZE - len)
		return false;
	*ret_off = off;
	*ret_len = (unsigned int)len;
	return true;
}

static uint32_t cfg_read(struct pci_func *f, unsigned int off, unsigned int len)
{
	struct vpci *v = container_of(f, struct vpci, pci);
	unsigned int data = v->cfg_cap + CAP_DATA, n;
	uint64_t at;

	if (off < data || off >= data + 4)
		return 0;
	if (!window(v, &at, &n))
		return (uint32_t)ones(len);
	return (uint32_t)(bar_read(f, 0, at, n) >> ((off - data) * 8));
}

static void cfg_write(struct pci_func *f, unsigned int off, unsigned int len, uint32_t val)
{
	struct vpci *v = container_of(f, struct vpci, pci);
	unsigned int n;
	uint64_t at;

	if (off == v->cfg_cap + CAP_DATA && window(v, &at, &n) && len >= n)
		bar_write(f, 0, at, n, val & ones(n));
}

static void func_reset(struct pci_func *f)
{
	struct vpci *v = container_of(f, struct vpci, pci);

	pthread_mutex_lock(&v->lock);
	device_reset(v);
	pthread_mutex_unlock(&v->lock);
}

static void func_destroy(struct pci_func *f)
{
	struct vpci *v = container_of(f, struct vpci, pci);

	v->ops->destroy(v);
}

static const struct pci_func_ops func_ops = {
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
	.bar_read = bar_read,
	.bar_write = bar_write,
	.bar_map = bar_map,
	.bar_unmap = bar_unmap,
	.dma_allow = dma_allow,
	.reset = func_reset,
	.destroy = func_destroy,
};

/* ---- making ---- */

static void cap_add(struct vpci *v, uint8_t type, uint32_t off, uint32_t len)
{
	bool longer = type == VIRTIO_PCI_CAP_NOTIFY_CFG || type == VIRTIO_PCI_CAP_PCI_CFG;
	unsigned int size = longer ? 20 : 16;
	unsigned int cap = pci_func_cap(&v->pci, PCI_CAP_ID_VNDR, size);
	uint8_t *b = v->pci.cfg + cap;

	b[2] = (uint8_t)size;
	b[3] = type;
	le_store(b + CAP_OFFSET, 4, off);
	le_store(b + CAP_LENGTH, 4, len);
	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		le_store(b + CAP_DATA, 4, NOTIFY_STEP);
	if (type != VIRTIO_PCI_CAP_PCI_CFG)
		return;
	v->cfg_cap = cap;
	v->pci.wmask[cap + CAP_BAR] = 0xff;
	memset(v->pci.wmask + cap + CAP_OFFSET, 0xff, 8);
	memset(v->pci.emu + cap + CAP_DATA, 0, 4);
}

int vpci_init(
	struct vpci *v, const struct vpci_ops *ops, const struct vpci_config *cfg, struct err *e)
{
	const struct pci_ids ids = {
		.vendor = VENDOR,
		.device = (uint16_t)(DEVICE_MODERN + cfg->device_id),
		.sub_vendor = VENDOR,
		.sub_device = (uint16_t)(DEVICE_MODERN + cfg->device_id),
		.class_code = cfg->class_code,
		.revision = 1, /* §4.1.2.1 */
	};
	const struct msi_ops msi = {.arm = vectors_arm, .disarm = vectors_disarm, .ctx = v};
	int r;

	memset(v, 0, sizeof(*v));
	pci_func_init(&v->pci, &func_ops, cfg->name, &ids);
	v->pci.devfn = cfg->devfn;
	v->ops = ops;
	v->bell = cfg->bell;
	v->offered = cfg->features;
	v->n_queues = cfg->queues;
	v->cfg_len = cfg->cfg_len;
	v->config_vector = NO_VECTOR;
	v->n_vectors = cfg->vectors;
	v->vec_fd = malloc(cfg->vectors * sizeof(*v->vec_fd));
	if (!v->vec_fd)
		return err_sys(e, ENOMEM, "%s", cfg->name);
	for (unsigned int k = 0; k < v->n_vectors; k++)
		v->vec_fd[k] = -1;
	for (unsigned int i = 0; i < v->n_queues; i++) {
		v->queue[i].kick_fd = -1;
		v->queue[i].vector = NO_VECTOR;
	}
	pthread_mutex_init(&v->lock, NULL);
	pthread_mutex_init(&v->vec_lock, NULL);
	pci_func_bar(&v->pci, 0, PCI_BAR_MEM64, false, BAR_SIZE);
	cap_add(v, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_OFF, COMMON_LEN);
	cap_add(v, VIRTIO_PCI_CAP_ISR_CFG, ISR_OFF, 1);
	cap_add(v, VIRTIO_PCI_CAP_DEVICE_CFG, CONFIG_OFF, cfg->cfg_len);
	cap_add(v, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY_OFF, cfg->queues * NOTIFY_STEP);
	cap_add(v, VIRTIO_PCI_CAP_PCI_CFG, 0, 0);
	r = pci_func_msix(&v->pci, cfg->irq, 0, cfg->vectors, 0, MSIX_OFF, 0, PBA_OFF, &msi, e);
	if (r < 0)
		vpci_finish(v);
	return r;
}

void vpci_finish(struct vpci *v)
{
	pthread_mutex_destroy(&v->vec_lock);
	pthread_mutex_destroy(&v->lock);
	free(v->vec_fd);
	v->vec_fd = NULL;
}
