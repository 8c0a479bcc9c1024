// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/hostfacts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"

#define KLOG_MAX ((size_t)16 << 20) /* the largest ring of usual kernels, twice over */

/* The kernel takes - for _ in names: lib/cmdline, parameq(). */
static bool name_equal(const char *a, const char *b)
{
	for (; *a || *b; a++, b++) {
		if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
			return false;
	}
	return true;
}

/* The next word of a command line, quotes taken off, cut to fit. False at its end. */
static bool word_next(const char **at, char *name, size_t name_size, char *value, size_t value_size)
{
	const char *s = *at;
	size_t n = 0, m = 0;
	bool quoted = false, in_value = false;

	while (isspace((unsigned char)*s))
		s++;
	if (!*s)
		return false;
	for (; *s && (quoted || !isspace((unsigned char)*s)); s++) {
		if (*s == '"')
			quoted = !quoted;
		else if (*s == '=' && !in_value)
			in_value = true;
		else if (!in_value && n + 1 < name_size)
			name[n++] = *s;
		else if (in_value && m + 1 < value_size)
			value[m++] = *s;
	}
	name[n] = value[m] = '\0';
	*at = s;
	return true;
}

/* Is @item one of the comma-separated items of @list? */
static bool list_has(const char *list, const char *item)
{
	size_t len = strlen(item);

	for (const char *s = list; *s; s += *s == ',') {
		const char *end = strchrnul(s, ',');

		if ((size_t)(end - s) == len && !strncmp(s, item, len))
			return true;
		s = end;
	}
	return false;
}

/* kstrtobool(); a word without a value is yes. */
static int bool_of(const char *value)
{
	if (!*value || strchr("yYtT1", *value))
		return 1;
	if (strchr("nNfF0", *value))
		return 0;
	if (*value == 'o' || *value == 'O')
		return value[1] == 'n' || value[1] == 'N';
	return -1;
}

static void word_take(const char *name, const char *value, struct cmdline_facts *f)
{
	static const char *const off[] = {"iommu", "intel_iommu", "amd_iommu"};

	for (size_t i = 0; i < ARRAY_SIZE(off); i++) {
		if (name_equal(name, off[i]) && list_has(value, "off"))
			snprintf(f->iommu_off, sizeof(f->iommu_off), "%s=off", off[i]);
		else if (name_equal(name, off[i]) &&
			 (list_has(value, "on") || list_has(value, "force")))
			f->iommu_off[0] = '\0';
	}
	if (name_equal(name, "pcie_acs_override")) {
		f->acs_override = true;
		copy_printable(f->acs_override_value, sizeof(f->acs_override_value), value);
	} else if (name_equal(name, "iommu")) {
		if (list_has(value, "pt"))
			f->passthrough = true;
		if (list_has(value, "nopt"))
			f->passthrough = false;
	} else if (name_equal(name, "iommu.passthrough")) {
		f->passthrough = bool_of(value) == 1;
	} else if (name_equal(name, "intremap")) {
		if (list_has(value, "off"))
			f->intremap_off = true;
		if (list_has(value, "on"))
			f->intremap_off = false;
		if (list_has(value, "nosid"))
			f->intremap_nosid = true;
	} else if (name_equal(name, "nointremap")) {
		f->intremap_off = true;
	} else if (name_equal(name, "pci")) {
		if (strstr(value, "disable_acs_redir=") || strstr(value, "config_acs="))
			copy_printable(f->acs_by_hand, sizeof(f->acs_by_hand), value);
	} else if (name_equal(name, "vfio_iommu_type1.allow_unsafe_interrupts")) {
		f->unsafe_interrupts = bool_of(value);
	} else if (name_equal(name, "iommufd.allow_unsafe_interrupts")) {
		f->unsafe_interrupts_iommufd = bool_of(value);
	} else if (name_equal(name, "vfio.enable_unsafe_noiommu_mode")) {
		f->unsafe_noiommu = bool_of(value);
	}
}

void cmdline_parse(const char *text, struct cmdline_facts *ret)
{
	struct cmdline_facts f = {
		.unsafe_interrupts = -1, .unsafe_interrupts_iommufd = -1, .unsafe_noiommu = -1};
	char name[CMDLINE_WORD_MAX], value[1024];

	while (word_next(&text, name, sizeof(name), value, sizeof(value))) {
		/* What follows is for init. */
		if (!strcmp(name, "--"))
			break;
		word_take(name, value, &f);
	}
	*ret = f;
}

/* The next blank-separated token before @end; its length, 0 = none. */
static size_t token_next(const char **at, const char *end, const char **ret)
{
	const char *s = *at;

	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	*ret = s;
	while (s < end && *s != ' ' && *s != '\t')
		s++;
	*at = s;
	return (size_t)(s - *ret);
}

static bool all_digits(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)s[i]))
			return false;
	}
	return len > 0;
}

/* Count it, and remember the first by name. */
static void irq_note(const char *chip, const char *action, unsigned *n, char name[static 64])
{
	char text[64];

	if ((*n)++)
		return;
	snprintf(text, sizeof(text), "%.24s%s%.24s", chip, *action ? " of " : "", action);
	copy_printable(name, sizeof(text), text);
}

void interrupt_count(const char *chip, const char *action, struct irq_facts *f)
{
	if (!strncmp(chip, "IR-IO-APIC", 10) || !strncmp(chip, "IR-PCI-MSI", 10)) {
		irq_note(chip, action, &f->remapped, f->remapped_name);
	} else if (!strncmp(chip, "ITS-", 4)) {
		f->its++;
	} else if (!strncmp(chip, "IO-APIC", 7) || !strncmp(chip, "PCI-MSI", 7)) {
		/* AMD's IOMMU does not remap its own. */
		if (!strncmp(action, "AMD-Vi", 6))
			return;
		irq_note(chip, action, &f->plain, f->plain_name);
	}
}

static void token_copy(char *to, size_t size, const char *token, size_t len)
{
	len = len < size ? len : size - 1;
	memcpy(to, token, len);
	to[len] = '\0';
}

/* "  24:   17    0  IR-PCI-MSI 458752-edge  eth0", with @cpus counts. */
static void irq_line(const char *s, const char *end, unsigned cpus, struct irq_facts *f)
{
	size_t len, last_len = 0;
	char chip[32], action[64];
	const char *token, *last;

	/* NMI, LOC and so on have words of their own. */
	len = token_next(&s, end, &token);
	if (len < 2 || token[len - 1] != ':' || !all_digits(token, len - 1))
		return;
	for (unsigned i = 0; i < cpus; i++) {
		len = token_next(&s, end, &token);
		if (!all_digits(token, len))
			return;
	}
	/*
	 * What follows the chip is text of drivers and of whoever names interfaces: it must not be
	 * taken for one.
	 */
	len = token_next(&s, end, &token);
	token_copy(chip, sizeof(chip), token, len);
	for (last = token; len; len = token_next(&s, end, &token)) {
		last = token;
		last_len = len;
	}
	token_copy(action, sizeof(action), last, last_len);
	interrupt_count(chip, action, f);
}

void interrupts_parse(const char *text, size_t len, struct irq_facts *ret)
{
	const char *end = text + len, *s = text, *token, *eol;
	struct irq_facts f = {0};
	unsigned cpus = 0;
	size_t n;

	eol = memchr(s, '\n', len);
	while (eol && (n = token_next(&s, eol, &token)) > 0) {
		if (n < 4 || strncmp(token, "CPU", 3) || !all_digits(token + 3, n - 3)) {
			cpus = 0;
			break;
		}
		cpus++;
	}
	while (cpus && eol) {
		s = eol + 1;
		eol = memchr(s, '\n', (size_t)(end - s));
		if (eol)
			irq_line(s, eol, cpus, &f);
	}
	*ret = f;
}

unsigned release_parse(const char *text)
{
	unsigned n[2] = {0};

	for (int i = 0; i < 2; i++) {
		int digits = 0;

		for (; isdigit((unsigned char)*text) && digits < 4; digits++)
			n[i] = n[i] * 10 + (unsigned)(*text++ - '0');
		if (!digits || (i == 0 && *text++ != '.'))
			return 0;
	}
	return RELEASE(n[0], n[1]);
}

enum vfm_tri switch_parse(const char *text)
{
	if (!strcmp(text, "Y") || !strcmp(text, "1"))
		return VFM_YES;
	if (!strcmp(text, "N") || !strcmp(text, "0"))
		return VFM_NO;
	return VFM_UNKNOWN;
}

const char *klog_line_text(const char *line)
{
	char *end;
	unsigned long priority;

	/* A continuation: " SUBSYSTEM=pci". */
	if (!*line || *line == ' ')
		return NULL;
	if (!isdigit((unsigned char)*line))
		return line;
	/* "6,1234,5678,-;text"; above the lowest three bits the facility, 0 = the kernel. */
	priority = strtoul(line, &end, 10);
	if (*end != ',')
		return line;
	line = strchr(end, ';');
	return line && priority >> 3 == 0 ? line + 1 : NULL;
}

int head_read(struct vfm *v, const char *path, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_fd_ int fd = openat(v->sys.root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *buf = NULL;
	size_t n = 0, cap = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t r;

		if (n + 1 >= cap && cap <= max) {
			size_t want = cap ? cap * 2 : 16384;
			char *p;

			want = want > max + 1 ? max + 1 : want;
			p = realloc(buf, want);
			if (!p)
				return -ENOMEM;
			buf = p;
			if (want == cap)
				break;
			cap = want;
		}
		r = read(fd, buf + n, cap - 1 - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	buf[n] = '\0';
	*ret = buf;
	*ret_len = n;
	buf = NULL;
	return 0;
}

int klog_walk(struct vfm *v, void (*line)(void *arg, const char *text), void *arg)
{
	_cleanup_fd_ int fd = openat(v->sys.root_fd, "dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t n = 0, total = 0;
	char buf[16384];

	if (fd < 0)
		return -errno;
	/* A record a read, or a recorded file in pieces: lines either way. */
	while (total < KLOG_MAX) {
		ssize_t r = read(fd, buf + n, sizeof(buf) - 1 - n);
		char *s = buf, *eol;

		if (r < 0 && (errno == EINTR || errno == EPIPE))
			continue; /* EPIPE: overwritten before we read it */
		if (r < 0 && errno != EAGAIN)
			return total ? 0 : -errno;
		if (r <= 0)
			break;
		total += (size_t)r;
		n += (size_t)r;
		while ((eol = memchr(s, '\n', n - (size_t)(s - buf)))) {
			const char *text;

			*eol = '\0';
			text = klog_line_text(s);
			if (text)
				line(arg, text);
			s = eol + 1;
		}
		n -= (size_t)(s - buf);
		memmove(buf, s, n);
		/* A line of this length says nothing of use; room for a record again. */
		if (n > sizeof(buf) / 2)
			n = 0;
	}
	return 0;
}

int cmdline_read(struct vfm *v, struct cmdline_facts *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	/* The longest the kernel takes is COMMAND_LINE_SIZE, 4096 at most. */
	r = head_read(v, "proc/cmdline", 65536, &text, &len);
	if (r < 0)
		return r;
	if (!text || strlen(text) != len)
		return -EILSEQ;
	cmdline_parse(text, ret);
	return 0;
}

unsigned release_read(struct vfm *v)
{
	char text[128];

	return sysfs_read(&v->sys, "proc/sys/kernel/osrelease", text, sizeof(text)) < 0
		       ? 0
		       : release_parse(text);
}
