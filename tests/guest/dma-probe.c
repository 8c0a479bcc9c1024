// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs in a guest, as root: tell an assigned 82576 VF to DMA from an address of our choice, which is
 * what a guest that wants out would do. The host's IOMMU has to stop it.
 *
 *   dma-probe BDF ADDRESS      take the VF from its driver, point transmit ring 0 at ADDRESS and ring
 *                              the doorbell, so that the NIC reads descriptors there
 *   dma-probe --forge BDF ADDRESS VALUE...
 *                              let the NIC write each VALUE, 1 to 255, at ADDRESS, as if it was an
 *                              interrupt message: head write-back of as many descriptors
 *   dma-probe --rebind BDF     give it back to igbvf and wait for its interface
 *
 * Exit status: 0 the NIC fetched (or tried to), 1 it did not, 2 usage or another device.
 * Registers: Intel 82576 datasheet 2.6, §8.28 (VF) and §8.14.4 (mailbox), §7.2.2.1 (descriptors),
 * §7.2.3 (head write-back).
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define VF_CTRL    0x0000u
#define CTRL_RST   (1u << 26)
#define VF_MAILBOX 0x0c40u
#define MBX_REQ    0x01u /* our message is there */
#define MBX_ACK    0x02u
#define MBX_VFU    0x04u /* the buffer is ours */
#define MBX_PFSTS  0x10u /* the PF's message is there */
#define MBX_PFACK  0x20u
#define MBX_RSTD   0x80u /* reset done */
#define VF_MBMEM   0x0800u
#define MSG_RESET  0x01u
#define VF_TDBAL   0x3800u
#define VF_TDBAH   0x3804u
#define VF_TDLEN   0x3808u
#define VF_TDH     0x3810u
#define VF_TDT     0x3818u
#define VF_TXDCTL  0x3828u
#define VF_TDWBAL  0x3838u
#define VF_TDWBAH  0x383cu
#define TXDCTL_ON  (1u << 25)

#define BAR_SIZE   0x4000u
#define RING_BYTES 128u /* 8 descriptors, the least the NIC takes; also its alignment */
#define RING_TAIL  1u   /* descriptors handed over */

#define PAGE         4096u
#define DESC_SIZE    16u
#define DESC_TYPE    8u          /* offset */
#define DESC_CONTEXT 0x20200000u /* nothing is sent for it */
#define DESC_REPORT  0x08000000u
#define WB_ENABLE    1u

#define PCI_COMMAND 4
#define COMMAND_MEM 0x2u
#define COMMAND_BME 0x4u

static const char *bdf;
static volatile uint32_t *regs;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list ap;

	printf("dma-probe: %s: ", bdf);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static uint32_t get(unsigned int reg)
{
	return regs[reg / 4];
}

static void set(unsigned int reg, uint32_t val)
{
	regs[reg / 4] = val;
}

static void pause_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static const char *path_of(const char *attr, char buf[static 256])
{
	snprintf(buf, 256, "/sys/bus/pci/devices/%s/%s", bdf, attr);
	return buf;
}

static bool file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

static unsigned long file_number(const char *attr)
{
	char path[256], text[32] = "";
	int fd = open(path_of(attr, path), O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	if (fd >= 0)
		close(fd);
	return strtoul(text, NULL, 16);
}

/* Bits of the mailbox register that the PF sets are cleared by reading: keep those seen. */
static bool mailbox_wait(uint32_t bit, uint32_t *seen, int ms)
{
	for (; ms > 0 && !(*seen & bit); ms--) {
		*seen |= get(VF_MAILBOX);
		if (!(*seen & bit))
			pause_ms(1);
	}
	return *seen & bit;
}

/* The PF lets a VF transmit only after the VF has announced itself. */
static bool vf_announce(void)
{
	uint32_t seen = 0;
	int tries;

	set(VF_CTRL, CTRL_RST);
	if (!mailbox_wait(MBX_RSTD, &seen, 1000))
		say("no word that the reset is done; going on");
	for (tries = 0; tries < 1000; tries++) {
		set(VF_MAILBOX, MBX_VFU);
		if (get(VF_MAILBOX) & MBX_VFU)
			break;
		pause_ms(1);
	}
	set(VF_MBMEM, MSG_RESET);
	seen = 0;
	set(VF_MAILBOX, MBX_REQ);
	if (!mailbox_wait(MBX_PFSTS, &seen, 2000))
		return false;
	set(VF_MAILBOX, MBX_ACK);
	return true;
}

static bool device_take(void)
{
	char path[256];
	uint16_t command;
	int fd;

	if (file_number("vendor") != 0x8086 || file_number("device") != 0x10ca) {
		say("not an 82576 VF (8086:10ca)");
		return false;
	}
	if (access(path_of("driver", path), F_OK) == 0) {
		if (!file_write(path_of("driver/unbind", path), bdf)) {
			say("unbind its driver: %s", strerror(errno));
			return false;
		}
		say("taken from its driver");
	}
	/* The kernel's own bookkeeping; a VF needs no more than bus mastering. */
	file_write(path_of("enable", path), "1");
	fd = open(path_of("config", path), O_RDWR | O_CLOEXEC);
	if (fd < 0 || pread(fd, &command, 2, PCI_COMMAND) != 2) {
		say("read its config space: %s", strerror(errno));
		return false;
	}
	command |= COMMAND_MEM | COMMAND_BME;
	if (pwrite(fd, &command, 2, PCI_COMMAND) != 2) {
		say("turn bus mastering on: %s", strerror(errno));
		return false;
	}
	close(fd);
	fd = open(path_of("resource0", path), O_RDWR | O_SYNC | O_CLOEXEC);
	if (fd < 0) {
		say("open BAR 0: %s", strerror(errno));
		return false;
	}
	regs = mmap(NULL, BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (regs == MAP_FAILED) {
		say("map BAR 0: %s", strerror(errno));
		return false;
	}
	return true;
}

static void master_off(void)
{
	char path[256];
	uint16_t command;
	int fd = open(path_of("config", path), O_RDWR | O_CLOEXEC);

	if (fd >= 0 && pread(fd, &command, 2, PCI_COMMAND) == 2) {
		command &= (uint16_t)~COMMAND_BME;
		if (pwrite(fd, &command, 2, PCI_COMMAND) != 2)
			say("turn bus mastering off: %s", strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	file_write(path_of("enable", path), "0");
}

/* Hand over @tail descriptors of a ring, and return the head it comes to. */
static uint32_t transmit(uint64_t ring, uint32_t bytes, uint64_t head_at, uint32_t tail)
{
	uint32_t head = 0;

	set(VF_TXDCTL, 0);
	set(VF_TDBAL, (uint32_t)ring);
	set(VF_TDBAH, (uint32_t)(ring >> 32));
	set(VF_TDLEN, bytes);
	set(VF_TDWBAL, (uint32_t)head_at);
	set(VF_TDWBAH, (uint32_t)(head_at >> 32));
	set(VF_TDH, 0);
	set(VF_TDT, 0);
	set(VF_TXDCTL, TXDCTL_ON);
	for (int i = 0; i < 100 && !(get(VF_TXDCTL) & TXDCTL_ON); i++)
		pause_ms(1);
	set(VF_TDT, tail);
	for (int i = 0; i < 1000 && (head = get(VF_TDH)) != tail; i++)
		pause_ms(1);
	return head;
}

static int probe(uint64_t addr)
{
	uint32_t head;

	if (!device_take())
		return 2;
	say(vf_announce() ? "announced to the PF" : "the PF does not answer; transmit may be off");
	head = transmit(addr, RING_BYTES, 0, RING_TAIL);
	say("transmit ring at %#" PRIx64 ", tail %u: head is %u, the NIC %s", addr, RING_TAIL, head,
		head == RING_TAIL ? "fetched a descriptor there, or tried to" : "did not fetch");
	set(VF_TXDCTL, 0);
	master_off();
	return head == RING_TAIL ? 0 : 1;
}

/* Where our page @p is in physical memory; 0: not told. */
static uint64_t physical(const void *p)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)p / PAGE * 8)) != 8)
		entry = 0;
	if (fd >= 0)
		close(fd);
	return (entry & ((1ull << 55) - 1)) * PAGE;
}

static int forge(uint64_t addr, char **values)
{
	uint8_t *ring = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
	int status = 0;

	if (ring == MAP_FAILED || !physical(ring)) {
		say("no page whose address can be had");
		return 2;
	}
	if (!device_take())
		return 2;
	say(vf_announce() ? "announced to the PF" : "the PF does not answer; transmit may be off");
	for (; *values; values++) {
		uint32_t n = (uint32_t)strtoul(*values, NULL, 0) & 0xff, head;

		for (uint32_t i = 0; i < n; i++) {
			uint32_t type = DESC_CONTEXT | (i + 1 == n ? DESC_REPORT : 0);

			memcpy(ring + (size_t)i * DESC_SIZE + DESC_TYPE, &type, sizeof(type));
		}
		head = transmit(physical(ring), PAGE, addr | WB_ENABLE, n);
		say("value %#x at %#" PRIx64 ": %s", n, addr, head == n ? "written" : "not done");
		status |= head != n;
	}
	set(VF_TXDCTL, 0);
	set(VF_TDWBAL, 0);
	master_off();
	return status;
}

static int rebind(void)
{
	char path[256];
	glob_t g;

	if (access(path_of("driver", path), F_OK) < 0 &&
		!file_write("/sys/bus/pci/drivers/igbvf/bind", bdf)) {
		say("bind igbvf: %s", strerror(errno));
		return 1;
	}
	for (int i = 0; i < 5000; i++) {
		if (glob(path_of("net/*", path), 0, NULL, &g) == 0) {
			say("bound to igbvf, interface %s", strrchr(g.gl_pathv[0], '/') + 1);
			globfree(&g);
			return 0;
		}
		pause_ms(1);
	}
	say("bound to igbvf, but no interface came");
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t addr;
	char *end;

	if (argc >= 5 && !strcmp(argv[1], "--forge")) {
		bdf = argv[2];
		return forge(strtoull(argv[3], NULL, 0) & ~3ull, argv + 4);
	}
	if (argc != 3) {
		fprintf(stderr, "usage: dma-probe BDF ADDRESS | dma-probe --rebind BDF | "
				"dma-probe --forge BDF ADDRESS VALUE...\n");
		return 2;
	}
	if (!strcmp(argv[1], "--rebind")) {
		bdf = argv[2];
		return rebind();
	}
	bdf = argv[1];
	errno = 0;
	addr = strtoull(argv[2], &end, 0);
	if (errno || !isdigit((unsigned char)argv[2][0]) || *end || addr % RING_BYTES) {
		fprintf(stderr, "dma-probe: %s: not an address that is a multiple of %u\n", argv[2],
			RING_BYTES);
		return 2;
	}
	return probe(addr);
}
