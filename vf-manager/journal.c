// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One small file per function and kind, "key value" lines, put in place by rename so that a kill -9
 * leaves the old or the new one. It names the device by boot and by the inode of its sysfs
 * directory: a VF that was destroyed and made anew at the same address is another device.
 */
#include "vf-manager/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

#define RECORD_MAX 1024

static const char *const kind_name[] = {
	[JOURNAL_DRIVER] = "driver",
	[JOURNAL_AUTOPROBE] = "autoprobe",
	[JOURNAL_SETTINGS] = "settings",
	[JOURNAL_POOL] = "pool",
};

/* It and those above it. */
static int run_dir_make(const char *run_dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", run_dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int run_dir_open(struct vfm *v, bool create)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	int fd = open(v->run_dir, flags), r;

	if (fd < 0 && errno == ENOENT && create) {
		r = run_dir_make(v->run_dir);
		if (r < 0)
			return r;
		fd = open(v->run_dir, flags);
	}
	return fd < 0 ? -errno : fd;
}

static int device_identity(struct vfm *v, struct bdf b, char *buf, size_t size)
{
	char path[PATH_MAX];
	struct stat st;

	if (fstatat(v->sys.root_fd, sysfs_pci_path(b, "", path, sizeof(path)), &st, 0) < 0)
		return -errno;
	if (!*v->boot_id && sysfs_read(&v->sys, "proc/sys/kernel/random/boot_id", v->boot_id,
				    sizeof(v->boot_id)) < 0)
		snprintf(v->boot_id, sizeof(v->boot_id), "unknown");
	snprintf(buf, size, "%s/%llu", v->boot_id, (unsigned long long)st.st_ino);
	return 0;
}

static void entry_name(struct bdf b, enum journal_kind kind, char *buf, size_t size)
{
	char name[BDF_STRLEN];

	snprintf(buf, size, "%s.%s", bdf_format(b, name), kind_name[kind]);
}

static int entry_store(int dir, const char *name, const char *text)
{
	char tmp[96];
	_cleanup_fd_ int fd = -1;
	int r = 0;

	snprintf(tmp, sizeof(tmp), ".%s.%d", name, (int)getpid());
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) < 0 ||
		renameat(dir, tmp, dir, name) < 0 || fsync(dir) < 0) {
		r = errno ? -errno : -EIO;
		unlinkat(dir, tmp, 0);
	}
	return r;
}

/* @text: lines after the one that names the device. */
static int record_write(
	struct vfm *v, struct bdf b, enum journal_kind kind, const char *text, struct err *e)
{
	char name[64], id[128], whole[RECORD_MAX];
	_cleanup_fd_ int dir = run_dir_open(v, true);
	int r = dir < 0 ? dir : device_identity(v, b, id, sizeof(id));

	if (r >= 0) {
		entry_name(b, kind, name, sizeof(name));
		snprintf(whole, sizeof(whole), "device %s\n%send\n", id, text);
		r = entry_store(dir, name, whole);
	}
	if (r < 0)
		return err_sys(e, -r, "note its present state in %s (is it writable? run as root)",
			v->run_dir);
	return 0;
}

int journal_write(struct vfm *v, struct bdf b, enum journal_kind kind,
	const struct journal_entry *entry, struct err *e)
{
	char text[RECORD_MAX / 2];

	snprintf(text, sizeof(text), "value %s\noverride %s\n", entry->value, entry->override);
	return record_write(v, b, kind, text, e);
}

int journal_write_settings(struct vfm *v, struct bdf b, const struct vfm_settings *s, struct err *e)
{
	char text[RECORD_MAX / 2], value[VFM_VALUE_MAX];
	size_t n = 0;

	*text = '\0';
	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++) {
		if (s->set & 1u << i)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s\n",
				vfm_setting_name(i), vfm_setting_format(s, i, value));
	}
	if (n)
		return record_write(v, b, JOURNAL_SETTINGS, text, e);
	journal_remove(v, b, JOURNAL_SETTINGS);
	return 0;
}

bool record_field(const char *text, const char *key, char *buf, size_t size)
{
	const char *p = text, *end;
	size_t n = strlen(key);

	while (strncmp(p, key, n) || p[n] != ' ') {
		p = strchr(p, '\n');
		if (!p)
			return false;
		p++;
	}
	p += n + 1;
	end = strchr(p, '\n');
	if (!end || (size_t)(end - p) >= size)
		return false;
	memcpy(buf, p, (size_t)(end - p));
	buf[end - p] = '\0';
	return true;
}

/* The whole record of this very device, into @text of RECORD_MAX bytes. */
static int record_read(struct vfm *v, struct bdf b, enum journal_kind kind, char *text)
{
	char name[64], id[128], seen[128];
	_cleanup_fd_ int dir = run_dir_open(v, false);
	struct sysfs d = {.root_fd = dir};
	int r;

	if (dir < 0)
		return dir;
	entry_name(b, kind, name, sizeof(name));
	r = sysfs_read(&d, name, text, RECORD_MAX - 1);
	if (r < 0)
		return r;
	/* sysfs_read() takes the last newline away. */
	memcpy(text + r, "\n", 2);
	r = device_identity(v, b, id, sizeof(id));
	if (r < 0)
		return r;
	if (!record_field(text, "device", seen, sizeof(seen)) || strcmp(seen, id))
		return -ENOENT;
	return strncmp(text, "device ", 7) || !strstr(text, "\nend\n") ? -ENOENT : 0;
}

int journal_read(struct vfm *v, struct bdf b, enum journal_kind kind, struct journal_entry *ret)
{
	struct journal_entry entry;
	char text[RECORD_MAX];
	int r = record_read(v, b, kind, text);

	if (r < 0)
		return r;
	if (!record_field(text, "value", entry.value, sizeof(entry.value)) ||
		!record_field(text, "override", entry.override, sizeof(entry.override)))
		return -ENOENT;
	if ((*entry.value && !name_is_plain(entry.value)) ||
		(*entry.override && !name_is_plain(entry.override)))
		return -ENOENT;
	*ret = entry;
	return 0;
}

int journal_read_settings(struct vfm *v, struct bdf b, struct vfm_settings *ret)
{
	char text[RECORD_MAX], value[VFM_VALUE_MAX], word[VFM_VALUE_MAX + 32];
	struct vfm_settings s = {0};
	int r = record_read(v, b, JOURNAL_SETTINGS, text);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++) {
		struct vfm_settings one = {0};

		if (!record_field(text, vfm_setting_name(i), value, sizeof(value)))
			continue;
		snprintf(word, sizeof(word), "%s=%s", vfm_setting_name(i), value);
		if (vfm_setting_parse(word, &one, NULL) < 0)
			return -ENOENT;
		vfm_settings_merge(&s, &one, 1u << i);
	}
	if (!s.set)
		return -ENOENT;
	*ret = s;
	return 0;
}

void journal_remove(struct vfm *v, struct bdf b, enum journal_kind kind)
{
	_cleanup_fd_ int dir = run_dir_open(v, false);
	char name[64];

	if (dir < 0)
		return;
	entry_name(b, kind, name, sizeof(name));
	unlinkat(dir, name, 0);
}

/* "0000:01:10.0.driver": a record, and whose. */
static bool entry_parse(const char *name, struct bdf *ret)
{
	const char *dot = strrchr(name, '.');
	char bdf[BDF_STRLEN];

	if (!dot || (size_t)(dot - name) >= sizeof(bdf))
		return false;
	memcpy(bdf, name, (size_t)(dot - name));
	bdf[dot - name] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(kind_name); i++)
		if (!strcmp(dot + 1, kind_name[i]))
			return bdf_parse(bdf, ret) == 0;
	return false;
}

unsigned journal_sweep(struct vfm *v, uint32_t domain, bool count_only)
{
	_cleanup_fd_ int dir = run_dir_open(v, false);
	_cleanup_dir_ DIR *d = NULL;
	struct dirent *entry;
	unsigned n = 0;
	struct bdf b;
	int fd;

	fd = dir < 0 ? -1 : dup(dir);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return 0;
	while ((entry = readdir(d))) {
		char path[PATH_MAX];

		if (!entry_parse(entry->d_name, &b) || b.domain != domain ||
			sysfs_exists(&v->sys, sysfs_pci_path(b, "", path, sizeof(path))))
			continue;
		n++;
		if (!count_only)
			unlinkat(dir, entry->d_name, 0);
	}
	return n;
}

void journal_forget(struct vfm *v, struct bdf b)
{
	journal_remove(v, b, JOURNAL_DRIVER);
	journal_remove(v, b, JOURNAL_SETTINGS);
}

static int bdf_cmp(const void *a, const void *b)
{
	const struct bdf *x = a, *y = b;

	if (x->domain != y->domain)
		return x->domain < y->domain ? -1 : 1;
	return (int)bdf_rid(*x) - (int)bdf_rid(*y);
}

int vfm_recorded(struct vfm *v, struct bdf **ret, struct err *e)
{
	_cleanup_fd_ int dir = run_dir_open(v, false);
	_cleanup_names_ char **names = NULL;
	_cleanup_free_ struct bdf *list = NULL;
	int r = dir, n = 0;

	if (dir >= 0)
		r = sysfs_list(&(struct sysfs){.root_fd = dir}, ".", &names);
	if (r < 0 && r != -ENOENT)
		return err_sys(e, -r, "read %s", v->run_dir);
	list = calloc(r < 0 ? 1 : (size_t)r + 1, sizeof(*list));
	if (!list)
		return err_sys(e, ENOMEM, "read %s", v->run_dir);
	for (char **name = names; name && *name; name++) {
		struct journal_entry entry;
		struct vfm_settings s;
		struct bdf b;

		if (!entry_parse(*name, &b) || (n && bdf_equal(list[n - 1], b)))
			continue;
		/* One that is of an earlier device counts no more than none. */
		if (journal_read(v, b, JOURNAL_DRIVER, &entry) == 0 ||
			journal_read_settings(v, b, &s) == 0)
			list[n++] = b;
	}
	qsort(list, (size_t)n, sizeof(*list), bdf_cmp);
	*ret = ptr_steal(list);
	return n;
}

struct lock_arg {
	int fd, how;
};

static int lock_try(struct vfm *v, void *arg)
{
	struct lock_arg *l = arg;

	if (flock(l->fd, l->how | LOCK_NB) == 0)
		return 1;
	return errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
}

int flock_wait(struct vfm *v, int fd, int how, unsigned timeout_ms)
{
	struct lock_arg arg = {fd, how};

	return wait_until(v, "another viaduct vf to finish", timeout_ms, lock_try, &arg);
}

/* Only for the message of those who wait; so a failure costs no more than a name. */
static void lock_sign(int fd, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d\n", (int)pid);
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0)
		log_debug("vf-manager: sign lock file: %s", strerror(errno));
}

void lock_hand_over(struct vfm *v, pid_t pid)
{
	if (v->lock_fd[0] >= 0 && v->domain_exclusive)
		lock_sign(v->lock_fd[0], pid);
}

static int lock_take(struct vfm *v, const char *name, int how, int *ret_fd, struct err *e)
{
	_cleanup_fd_ int dir = run_dir_open(v, true), fd = -1;
	struct sysfs d = {.root_fd = dir};
	char pid[16];
	int r;

	if (dir >= 0)
		fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(
			e, dir < 0 ? -dir : errno, "lock %s/%s (run as root)", v->run_dir, name);
	r = flock_wait(v, fd, how, 3000);
	if (r == -ETIMEDOUT) {
		if (sysfs_read(&d, name, pid, sizeof(pid)) <= 0)
			snprintf(pid, sizeof(pid), "unknown");
		return err_set(e, EBUSY,
			"another viaduct vf is at work (process %s, lock %s/%s): wait for it to "
			"end",
			pid, v->run_dir, name);
	}
	if (r < 0)
		return err_sys(e, -r, "lock %s/%s", v->run_dir, name);
	if (how == LOCK_EX)
		lock_sign(fd, getpid());
	*ret_fd = fd_steal(&fd);
	return 0;
}

int lock_domain(struct vfm *v, struct bdf b, bool exclusive, struct err *e)
{
	char name[32];

	v->domain_exclusive = exclusive;
	snprintf(name, sizeof(name), "domain-%04x.lock", b.domain);
	return lock_take(v, name, exclusive ? LOCK_EX : LOCK_SH, &v->lock_fd[0], e);
}

int lock_function(struct vfm *v, struct bdf b, struct err *e)
{
	char bdf[BDF_STRLEN], name[BDF_STRLEN + 8];

	snprintf(name, sizeof(name), "%s.lock", bdf_format(b, bdf));
	return lock_take(v, name, LOCK_EX, &v->lock_fd[1], e);
}

void locks_drop(struct vfm **v)
{
	/* The files stay: removing a lock file another process waits on would split the lock. */
	for (int i = 1; i >= 0; i--)
		(*v)->lock_fd[i] = fd_close((*v)->lock_fd[i]);
}
