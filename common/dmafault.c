// SPDX-License-Identifier: GPL-2.0-or-later
#include "common/dmafault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Hex number after @key in @s, ended by anything that is not a hex digit. */
static bool hex_after(const char *s, const char *key, uint64_t *ret)
{
	const char *p = strstr(s, key);
	char *end;

	if (!p)
		return false;
	p += strlen(key);
	/* strtoull would skip blanks and take a sign. */
	if (*p == ' ' || *p == '-' || *p == '+')
		return false;
	errno = 0;
	*ret = strtoull(p, &end, 16);
	return end != p && !errno;
}

/* The PCI address that fills the @n bytes at @p. */
static bool bdf_in(const char *p, size_t n, struct bdf *ret)
{
	char buf[BDF_STRLEN];

	if (n >= sizeof(buf))
		return false;
	memcpy(buf, p, n);
	buf[n] = '\0';
	return bdf_parse(buf, ret) == 0;
}

/* The PCI address between @p and the next of @stop. */
static bool bdf_until(const char *p, const char *stop, struct bdf *ret)
{
	size_t n = strcspn(p, stop);

	return p[n] && bdf_in(p, n, ret);
}

/*
 * drivers/iommu/intel/dmar.c, dmar_fault_do_one():
 *   DMAR: [DMA Read NO_PASID] Request device [01:10.0] fault addr 0xfffff000 [fault reason 0x06] ...
 *   DMAR: [INTR-REMAP] Request device [01:00.0] fault index 0x8000 [fault reason 0x25] ...
 */
static bool parse_vtd(const char *s, struct dma_fault *f)
{
	static const char device[] = "Request device [";
	const char *p = strstr(s, "DMAR: ["), *d;
	uint64_t reason;

	if (!p)
		return false;
	d = strstr(p, device);
	if (!d || !bdf_until(d + strlen(device), "]", &f->bdf))
		return false;
	f->write = strstr(p, "[DMA Write") != NULL;
	f->interrupt = strstr(p, "[INTR-REMAP]") != NULL;
	if (!f->write && !f->interrupt && !strstr(p, "[DMA Read"))
		return false;
	if (!hex_after(d, f->interrupt ? "fault index 0x" : "fault addr 0x", &f->iova) ||
		!hex_after(d, "fault reason 0x", &reason))
		return false;
	f->reason = (uint32_t)reason;
	return true;
}

/*
 * drivers/iommu/amd/iommu.c:
 *   AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:10.0 domain=0x0012 address=0xdead000 flags=0x0020]
 *   vfio-pci 0000:01:10.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0012 address=0xdead000 flags=0x0]
 */
static bool parse_amd(const char *s, struct dma_fault *f)
{
	const char *p = strstr(s, "AMD-Vi: Event logged [IO_PAGE_FAULT "), *d, *dev;
	uint64_t flags = 0;

	if (!p)
		return false;
	dev = strstr(p, "device=");
	if (dev) {
		if (!bdf_until(dev + strlen("device="), " ]", &f->bdf))
			return false;
	} else {
		/* The device is named in front: "<driver> <bdf>: AMD-Vi: ..." */
		if (p - s < 3 || p[-1] != ' ' || p[-2] != ':')
			return false;
		for (d = p - 2; d > s && d[-1] != ' '; d--)
			;
		if (!bdf_in(d, (size_t)(p - 2 - d), &f->bdf))
			return false;
	}
	if (!hex_after(p, "address=0x", &f->iova) || !hex_after(p, "flags=0x", &flags))
		return false;
	f->reason = (uint32_t)flags;
	f->write = flags & 0x20; /* EVENT_FLAG_RW */
	f->interrupt = false;
	return true;
}

bool dma_fault_parse(const char *line, struct dma_fault *ret)
{
	struct dma_fault f = {0};

	if (!parse_vtd(line, &f) && !parse_amd(line, &f))
		return false;
	*ret = f;
	return true;
}

int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	if (lseek(fd, 0, SEEK_END) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int kmsg_next(int fd, char *buf, size_t size)
{
	char rec[8192]; /* a record is at most CONSOLE_EXT_LOG_MAX bytes */
	char *text;
	ssize_t n;

	for (;;) {
		n = read(fd, rec, sizeof(rec) - 1);
		if (n >= 0)
			break;
		if (errno == EPIPE || errno == EINTR)
			continue;
		return errno == EAGAIN ? 0 : -errno;
	}
	if (n == 0)
		return 0;
	rec[n] = '\0';
	/* "<prio>,<seq>,<usec>,<flags>;<text>\n <key>=<value>\n..." */
	text = strchr(rec, ';');
	text = text ? text + 1 : rec;
	text[strcspn(text, "\n")] = '\0';
	strncpy(buf, text, size - 1);
	buf[size - 1] = '\0';
	return 1;
}
