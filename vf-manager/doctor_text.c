// SPDX-License-Identifier: GPL-2.0-or-later
/* Files that several checks read: bounded, and never trusted to be what they should. */
#include "vf-manager/doctor_priv.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "common/cleanup.h"

#define CPUINFO_MAX 65536u   /* the first processors are enough */
#define KCONFIG_MAX 1048576u /* Debian's has 270 KiB */

static int fd_load(int fd, size_t max, char **ret)
{
	_cleanup_free_ char *buf = malloc(max + 1);
	size_t n = 0;

	if (!buf)
		return -ENOMEM;
	while (n < max) {
		ssize_t r = read(fd, buf + n, max - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	for (size_t i = 0; i < n; i++) {
		if (!buf[i])
			buf[i] = '?';
	}
	buf[n] = '\0';
	*ret = ptr_steal(buf);
	return (int)n;
}

/* O_NONBLOCK: a FIFO in the place of a file would wait for a writer. */
static int file_open(struct vfm *v, const char *path)
{
	_cleanup_fd_ int fd =
		openat(v->sys.root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return fd_steal(&fd);
}

int text_load(struct vfm *v, const char *path, size_t max, char **ret)
{
	_cleanup_fd_ int fd = file_open(v, path);

	return fd < 0 ? fd : fd_load(fd, max, ret);
}

char *line_next(char **next)
{
	char *line = *next, *end;

	if (!line || !*line)
		return NULL;
	end = strchr(line, '\n');
	if (end)
		*end = '\0';
	*next = end ? end + 1 : NULL;
	return line;
}

char *line_trim(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	return s;
}

bool word_in(const char *text, const char *word)
{
	size_t n = strlen(word);
	bool prefix = n && word[n - 1] == '=';

	for (const char *p = text; *p;) {
		size_t len = strcspn(p, " \t\n");

		if (prefix ? len >= n && !strncmp(p, word, n) : len == n && !strncmp(p, word, n))
			return true;
		p += len;
		p += strspn(p, " \t\n");
	}
	return false;
}

bool cmdline_value(struct vfm *v, const char *key, char *buf, size_t size)
{
	_cleanup_free_ char *text = NULL;
	size_t n = strlen(key);
	bool found = false;

	if (text_load(v, "proc/cmdline", 65536, &text) < 0)
		return false;
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, " \t\n");

		if (len > n && !strncmp(p, key, n) && p[n] == '=') {
			snprintf(buf, size, "%.*s", (int)(len - n - 1), p + n + 1);
			found = true;
		}
		p += len;
		p += strspn(p, " \t\n");
	}
	return found;
}

int module_switch(struct vfm *v, const char *module, const char *parameter)
{
	char path[160], text[8];

	snprintf(path, sizeof(path), "sys/module/%s/parameters/%s", module, parameter);
	if (sysfs_read(&v->sys, path, text, sizeof(text)) < 0)
		return -1;
	if (!strcmp(text, "Y") || !strcmp(text, "1"))
		return 1;
	return !strcmp(text, "N") || !strcmp(text, "0") ? 0 : -1;
}

/* What gzip packed into @fd, which is closed; free() it. Its length or -errno. */
static int gz_load(int fd, size_t max, char **ret)
{
	gzFile gz = gzdopen(fd, "r");
	char *buf = malloc(max + 1);
	int n;

	if (!gz || !buf) {
		free(buf);
		if (gz)
			gzclose(gz);
		else
			close(fd);
		return -ENOMEM;
	}
	n = gzread(gz, buf, (unsigned)max);
	gzclose(gz);
	if (n < 0) {
		free(buf);
		return -EIO;
	}
	for (int i = 0; i < n; i++) {
		if (!buf[i])
			buf[i] = '?';
	}
	buf[n] = '\0';
	*ret = buf;
	return n;
}

/* The running kernel's configuration, from itself or from where distributions put it. */
static int kconfig_load(struct vfm *v, char **ret)
{
	int fd = file_open(v, "proc/config.gz");
	char release[96], path[128];

	if (fd >= 0)
		return gz_load(fd, KCONFIG_MAX, ret);
	kernel_version(v, release, sizeof(release));
	if (!name_is_plain(release))
		return -ENOENT;
	snprintf(path, sizeof(path), "boot/config-%s", release);
	return text_load(v, path, KCONFIG_MAX, ret);
}

char kernel_config(struct vfm *v, const char *name)
{
	_cleanup_free_ char *text = NULL;
	size_t n = strlen(name);
	char *next, *line;

	if (kconfig_load(v, &text) < 0 || !strstr(text, "CONFIG_"))
		return '?';
	next = text;
	while ((line = line_next(&next))) {
		if (!strncmp(line, name, n) && line[n] == '=')
			return line[n + 1] == 'y' || line[n + 1] == 'm' ? line[n + 1] : '?';
	}
	return 'n';
}

unsigned kernel_version(struct vfm *v, char *buf, size_t size)
{
	unsigned major, minor;

	if (sysfs_read(&v->sys, "proc/sys/kernel/osrelease", buf, size) < 0)
		*buf = '\0';
	/* Two digits each: nothing that could overflow, and no more has ever been there. */
	if (sscanf(buf, "%2u.%3u", &major, &minor) != 2 || minor > 99)
		return 0;
	return major * 100 + minor;
}

/* The first processor's line of @key ("flags"), its value. */
static bool cpuinfo_line(struct vfm *v, const char *key, char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t n = strlen(key);
	char *next, *line, *colon;

	if (text_load(v, "proc/cpuinfo", CPUINFO_MAX, &text) < 0)
		return false;
	next = text;
	while ((line = line_next(&next))) {
		colon = strchr(line, ':');
		if (!colon || strncmp(line, key, n) || !strchr(" \t:", line[n]))
			continue;
		*ret = strdup(colon + 1);
		return *ret;
	}
	return false;
}

bool cpu_flag(struct vfm *v, const char *flag)
{
	_cleanup_free_ char *flags = NULL;

	return cpuinfo_line(v, "flags", &flags) && word_in(flags, flag);
}

const char *cpu_virtualisation(struct vfm *v)
{
	if (cpu_flag(v, "vmx"))
		return "vmx";
	return cpu_flag(v, "svm") ? "svm" : "";
}

bool cpu_is_amd(struct vfm *v)
{
	_cleanup_free_ char *vendor = NULL;

	return cpuinfo_line(v, "vendor_id", &vendor) &&
	       (word_in(vendor, "AuthenticAMD") || word_in(vendor, "HygonGenuine"));
}

/* The text after "KEY:" in /proc/self/status. */
static bool status_line(struct vfm *v, const char *key, char *buf, size_t size)
{
	_cleanup_free_ char *text = NULL;
	size_t n = strlen(key);
	char *next, *line;

	if (text_load(v, "proc/self/status", 16384, &text) < 0)
		return false;
	next = text;
	while ((line = line_next(&next))) {
		if (!strncmp(line, key, n) && line[n] == ':') {
			snprintf(buf, size, "%s", line_trim(line + n + 1));
			return true;
		}
	}
	return false;
}

int capability_has(struct vfm *v, unsigned cap)
{
	unsigned long long mask;
	char text[64], *end;

	if (!status_line(v, "CapEff", text, sizeof(text)) || !isxdigit((unsigned char)*text))
		return -1;
	mask = strtoull(text, &end, 16);
	return *end ? -1 : (int)(mask >> cap & 1);
}

int effective_uid(struct vfm *v)
{
	unsigned real, effective;
	char text[64];

	if (!status_line(v, "Uid", text, sizeof(text)) ||
		sscanf(text, "%9u %9u", &real, &effective) != 2)
		return -1;
	return (int)effective;
}
