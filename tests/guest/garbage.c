// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs in a guest, as root: write garbage to all of the platform that a guest can reach. The host has to
 * be none the worse for it; the guest may well be.
 *
 *   garbage SEED PHASE...
 *     bars     every BAR of every PCI function, with memory decoding and bus mastering on
 *     msix     every entry of every MSI-X table, masked and not, while MSI-X goes on and off
 *     config   every byte of config space of every PCI function, by sysfs (ECAM)
 *     cf8      config space through ports 0xCF8 and 0xCFC, any address
 *     ports    every other I/O port but those that turn the machine off, and the console's
 *     mmio     the ECAM window and everything around it (kernel parameter iomem=relaxed)
 *     ioapic   the I/O APIC
 *
 * Prints "garbage: PHASE" before and "garbage: done" after. Exit status 1: a phase found nothing to do.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"

#define PCI_COMMAND   0x04u
#define COMMAND_ON    0x0007u /* I/O, memory, bus mastering */
#define PCI_STATUS    0x06u
#define STATUS_CAPS   0x10u
#define PCI_CAPS      0x34u
#define CAP_MSIX      0x11u
#define MSIX_CONTROL  2u
#define MSIX_TABLE    4u
#define MSIX_ENABLE   0x8000u
#define MSIX_MASK_ALL 0x4000u
#define MSIX_SIZE     0x07ffu
#define MSIX_ENTRY    16u
#define MSI_WINDOW    0xfee00000u
#define BAR_COUNT     6
#define CAPS_MAX      48 /* more do not fit into 256 bytes */

#define ECAM_BASE   0xe0000000u
#define ECAM_SIZE   0x100000u
#define IOAPIC_BASE 0xfec00000u

/* What ends the guest: that is allowed, but would end the test early. */
static const struct {
	unsigned int first, last;
} spared[] = {{0x60, 0x60}, {0x64, 0x64}, {0x3f8, 0x3ff}, {0x600, 0x601}, {0xcf8, 0xcff}};

static uint64_t state;

/* xorshift64* (Vigna 2016) */
static uint32_t any(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 0x2545f4914f6cdd1dull) >> 32);
}

/* Random values seldom hit what matters: let some be all ones, zero or one bit. */
static uint32_t garbage(void)
{
	switch (any() % 8) {
	case 0: return 0;
	case 1: return 0xffffffffu;
	case 2: return 1u << any() % 32;
	default: return any();
	}
}

struct function {
	char dir[300];
	int config;
};

static uint32_t config_get(const struct function *f, unsigned int off, unsigned int len)
{
	uint32_t v = 0;

	return pread(f->config, &v, len, off) == (ssize_t)len ? v : 0;
}

static void config_set(const struct function *f, unsigned int off, unsigned int len, uint32_t v)
{
	(void)!pwrite(f->config, &v, len, off);
}

static unsigned int cap_find(const struct function *f, unsigned int id)
{
	unsigned int pos;

	if (!(config_get(f, PCI_STATUS, 2) & STATUS_CAPS))
		return 0;
	pos = config_get(f, PCI_CAPS, 1) & ~3u;
	for (int i = 0; pos && i < CAPS_MAX; i++) {
		if (config_get(f, pos, 1) == id)
			return pos;
		pos = config_get(f, pos + 1, 1) & ~3u;
	}
	return 0;
}

static volatile uint32_t *bar_map(const struct function *f, int bar, size_t *ret_size)
{
	char path[340];
	struct stat st;
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s/resource%d", f->dir, bar);
	fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || st.st_size < 16) {
		close(fd);
		return NULL;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return NULL;
	*ret_size = (size_t)st.st_size;
	return p;
}

static void any_write(volatile uint32_t *p, size_t off)
{
	volatile uint8_t *b = (volatile uint8_t *)p + off;

	switch (any() % 4) {
	case 0: b[any() % 4] = (uint8_t)garbage(); break;
	case 1: *(volatile uint16_t *)(b + (any() % 2) * 2) = (uint16_t)garbage(); break;
	default: *(volatile uint32_t *)b = garbage(); break;
	}
	if (any() % 8 == 0)
		(void)*(volatile uint32_t *)b;
}

static int bars(const struct function *f)
{
	int n = 0;

	config_set(f, PCI_COMMAND, 2, COMMAND_ON);
	for (int bar = 0; bar < BAR_COUNT; bar++) {
		size_t size;
		volatile uint32_t *p = bar_map(f, bar, &size);

		if (!p)
			continue;
		n++;
		if (size > 1u << 18)
			size = 1u << 18;
		for (size_t off = 0; off < size; off += 4)
			any_write(p, off);
	}
	return n;
}

static int msix(const struct function *f)
{
	unsigned int pos = cap_find(f, CAP_MSIX), table, count;
	volatile uint32_t *p;
	size_t size;

	if (!pos)
		return 0;
	config_set(f, PCI_COMMAND, 2, COMMAND_ON);
	count = (config_get(f, pos + MSIX_CONTROL, 2) & MSIX_SIZE) + 1;
	table = config_get(f, pos + MSIX_TABLE, 4);
	p = bar_map(f, (int)(table & 7u), &size);
	table &= ~7u;
	if (!p || table + count * MSIX_ENTRY > size)
		return 0;
	for (unsigned int round = 0; round < 64; round++) {
		for (unsigned int i = 0; i < count; i++) {
			volatile uint32_t *e = p + (table + i * MSIX_ENTRY) / 4;

			/* Half of them look like an MSI, with any destination, mode and vector. */
			e[0] = any() % 2 ? MSI_WINDOW | (any() & 0xfffff) : garbage();
			e[1] = any() % 2 ? 0 : garbage();
			e[2] = garbage();
			e[3] = garbage();
		}
		config_set(f, pos + MSIX_CONTROL, 2,
			(any() % 4 ? MSIX_ENABLE : 0) | (any() % 2 ? MSIX_MASK_ALL : 0));
		/* And past the end, where the pending bits may be. */
		for (int i = 0; i < 64; i++)
			any_write(p, any() % (size / 4) * 4);
	}
	return 1;
}

static int config(const struct function *f)
{
	unsigned int size = lseek(f->config, 0, SEEK_END) > 256 ? 4096 : 256;

	for (int round = 0; round < 4; round++) {
		for (unsigned int off = 0; off < size; off += 4) {
			unsigned int len = 1u << any() % 3;

			config_set(f, off + any() % 4 / len * len, len, garbage());
		}
	}
	return 1;
}

static int functions(int (*what)(const struct function *f))
{
	DIR *d = opendir(DEVICES);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d))) {
		struct function f;
		char path[320];

		if (e->d_name[0] == '.')
			continue;
		snprintf(f.dir, sizeof(f.dir), DEVICES "/%s", e->d_name);
		snprintf(path, sizeof(path), "%s/config", f.dir);
		f.config = open(path, O_RDWR | O_CLOEXEC);
		if (f.config < 0)
			continue;
		n += what(&f);
		close(f.config);
	}
	if (d)
		closedir(d);
	return n;
}

static int cf8(void)
{
	for (int i = 0; i < 4000; i++) {
		/* Mostly bus 0, where something is. */
		outl(any() % 4 ? 0x80000000u | (any() & 0xffff) : garbage(), 0xcf8);
		switch (any() % 3) {
		case 0: outb((uint8_t)garbage(), (uint16_t)(0xcfc + any() % 4)); break;
		case 1: outw((uint16_t)garbage(), (uint16_t)(0xcfc + any() % 2 * 2)); break;
		case 2: outl(garbage(), 0xcfc); break;
		}
		if (any() % 4 == 0)
			(void)inl(0xcfc);
	}
	return 1;
}

static int ports(void)
{
	for (unsigned int port = 0; port < 0xfffd; port += 1 + any() % 8) {
		bool spare = false;

		for (size_t i = 0; i < sizeof(spared) / sizeof(spared[0]); i++)
			spare |= port + 3 >= spared[i].first && port <= spared[i].last;
		if (spare)
			continue;
		switch (any() % 3) {
		case 0: outb((uint8_t)garbage(), (uint16_t)port); break;
		case 1: outw((uint16_t)garbage(), (uint16_t)port); break;
		case 2: outl(garbage(), (uint16_t)port); break;
		}
		if (any() % 4 == 0)
			(void)inb((uint16_t)port);
	}
	return 1;
}

static int physical(uint32_t base, size_t size, unsigned int writes)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
	volatile uint32_t *p;

	if (fd < 0)
		return 0;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, base);
	close(fd);
	if (p == MAP_FAILED)
		return 0;
	for (unsigned int i = 0; i < writes; i++)
		any_write(p, any() % (size / 4) * 4);
	munmap((void *)p, size);
	return 1;
}

static int mmio(void)
{
	/* The host bridge and the slots after it, then all of the window, then beside it. */
	return physical(ECAM_BASE, 0x8000 * 4, 4000) && physical(ECAM_BASE, ECAM_SIZE, 4000) &&
	       physical(ECAM_BASE + ECAM_SIZE, ECAM_SIZE, 1000);
}

static int ioapic(void)
{
	return physical(IOAPIC_BASE, 0x1000, 4000);
}

static int on_bars(void)
{
	return functions(bars);
}

static int on_msix(void)
{
	return functions(msix);
}

static int on_config(void)
{
	return functions(config);
}

static const struct {
	const char *name;
	int (*run)(void);
} phases[] = {{"bars", on_bars}, {"msix", on_msix}, {"config", on_config}, {"cf8", cf8},
	{"ports", ports}, {"mmio", mmio}, {"ioapic", ioapic}};

int main(int argc, char **argv)
{
	int status = 0;

	if (argc < 3 || iopl(3) < 0) {
		fprintf(stderr, "usage (as root): garbage SEED PHASE...\n");
		return 2;
	}
	state = strtoull(argv[1], NULL, 0) * 2 + 1;
	setvbuf(stdout, NULL, _IONBF, 0);
	for (int i = 2; i < argc; i++) {
		for (size_t j = 0; j < sizeof(phases) / sizeof(phases[0]); j++) {
			if (strcmp(argv[i], phases[j].name) != 0)
				continue;
			printf("garbage: %s\n", argv[i]);
			if (!phases[j].run()) {
				printf("garbage: nothing to do for %s\n", argv[i]);
				status = 1;
			}
		}
	}
	printf("garbage: done\n");
	return status;
}
