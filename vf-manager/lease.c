// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/lease.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"
#include "vf-manager/lease_dir.h"

#define DIR_NAME "lease"
#define TEXT_MAX 512

/* How long to wait for whoever works in the directory; only a stopped process takes that long. */
#define GUARD_MS 3000
#define LOOK_MS  200

int lease_dir_open(struct vfm *v, bool create)
{
	_cleanup_fd_ int run = run_dir_open(v, create), dir = -1;
	struct stat st;

	if (run < 0)
		return run;
	if (create && mkdirat(run, DIR_NAME, 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = openat(run, DIR_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0 || fstat(dir, &st) < 0)
		return -errno;
	/* Whoever else can write there decides who holds what. */
	if ((st.st_uid != geteuid() && st.st_uid != 0) || st.st_mode & 022)
		return -EPERM;
	return fd_steal(&dir);
}

static int file_open(int dir, struct bdf b, int flags)
{
	char name[BDF_STRLEN];
	_cleanup_fd_ int fd = openat(dir, bdf_format(b, name),
		flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? fd_steal(&fd) : -EINVAL;
}

static void file_unlink(int dir, struct bdf b)
{
	char name[BDF_STRLEN];

	unlinkat(dir, bdf_format(b, name), 0);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/*
 * A descriptor of this process that holds the lock on @file, which another open of it found locked:
 * locking is then a no-op through the one that holds it and refused through any other. -1: none.
 */
static int own_fd(int file)
{
	_cleanup_dir_ DIR *d = opendir("/proc/self/fd");
	struct dirent *de;

	while (d && (de = readdir(d))) {
		int fd = isdigit((unsigned char)de->d_name[0]) ? atoi(de->d_name) : -1;

		if (fd >= 0 && fd != file && same_file(fd, file) &&
			flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
	}
	return -1;
}

static bool number_parse(const char *s, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(s, &end, 10);
	return isdigit((unsigned char)*s) && !*end && !errno && *ret <= max;
}

/* The text is anybody's who has been root: what is no name and no number is unknown. */
static void text_read(int fd, struct vfm_lease *ret)
{
	char text[TEXT_MAX + 1], field[VFM_OWNER_MAX];
	ssize_t n = pread(fd, text, TEXT_MAX, 0);
	uint64_t x;

	snprintf(ret->owner, sizeof(ret->owner), "?");
	ret->pid = 0;
	ret->since = 0;
	if (n <= 0 || memchr(text, '\0', (size_t)n))
		return;
	text[n] = '\0';
	if (!strstr(text, "\nend\n"))
		return;
	if (record_field(text, "owner", field, sizeof(field)) && name_is_plain(field))
		snprintf(ret->owner, sizeof(ret->owner), "%s", field);
	if (record_field(text, "pid", field, sizeof(field)) && number_parse(field, INT_MAX, &x))
		ret->pid = (pid_t)x;
	if (record_field(text, "since", field, sizeof(field)) &&
		number_parse(field, UINT64_MAX, &x))
		ret->since = x;
}

/* The new text over the old and then the rest cut off: never a moment without one. */
static int text_write(int fd, const char *owner, pid_t pid)
{
	char text[TEXT_MAX];
	int n = snprintf(text, sizeof(text), "owner %s\npid %d\nsince %lld\nend\n", owner, (int)pid,
		(long long)time(NULL));

	errno = 0;
	if (pwrite(fd, text, (size_t)n, 0) != n)
		return errno ? -errno : -EIO;
	return ftruncate(fd, n) < 0 ? -errno : 0;
}

/*
 * Fill @ret from the file of @b. 1, 0 when there is none, -errno. Without the directory's lock a
 * shared one is tried, which a taker may stumble over, so only when somebody has been stopped while
 * he had it.
 */
static int file_look(int dir, struct bdf b, bool guarded, struct vfm_lease *ret)
{
	_cleanup_fd_ int fd = file_open(dir, b, O_RDONLY);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	*ret = (struct vfm_lease){.bdf = b};
	if (flock(fd, (guarded ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		ret->held = true;
		ret->ours = own_fd(fd) >= 0;
	}
	text_read(fd, ret);
	return 1;
}

char *vfm_lease_who(const struct vfm_lease *l, char buf[VFM_LEASE_WHO_MAX])
{
	if (l->pid)
		snprintf(buf, VFM_LEASE_WHO_MAX, "%s (process %d)", l->owner, (int)l->pid);
	else
		snprintf(buf, VFM_LEASE_WHO_MAX, "%s", l->owner);
	return buf;
}

static int guard_take(struct vfm *v, int dir, unsigned ms, struct err *e)
{
	int r = flock_wait(v, dir, LOCK_EX, ms);

	if (r == -ETIMEDOUT)
		return err_set(e, EBUSY,
			"another process has had %s/" DIR_NAME " locked for %u s: is it stopped?",
			v->run_dir, ms / 1000);
	return r < 0 ? err_sys(e, -r, "lock %s/" DIR_NAME, v->run_dir) : 0;
}

int lease_dir_lock(struct vfm *v, int *ret_dir, struct err *e)
{
	_cleanup_fd_ int dir = lease_dir_open(v, true);
	int r;

	if (dir < 0)
		return err_sys(e, -dir, "open %s/" DIR_NAME " (run as root)", v->run_dir);
	r = guard_take(v, dir, GUARD_MS, e);
	if (r < 0)
		return r;
	*ret_dir = fd_steal(&dir);
	return 0;
}

static int refuse_held(const struct vfm_lease *l, const char *remedy, struct err *e)
{
	char name[BDF_STRLEN], who[VFM_LEASE_WHO_MAX];

	return err_set(e, EBUSY, "%s is leased by %s: %s", bdf_format(l->bdf, name),
		vfm_lease_who(l, who), remedy);
}

int lease_take_locked(struct vfm *v, int dir, struct bdf b, const char *owner, pid_t pid,
	int *ret_fd, struct err *e)
{
	_cleanup_fd_ int fd = file_open(dir, b, O_RDWR | O_CREAT);
	struct vfm_lease l = {.bdf = b};
	char name[BDF_STRLEN];
	int r;

	if (fd < 0)
		return err_sys(e, -fd, "open %s/" DIR_NAME "/%s", v->run_dir, bdf_format(b, name));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, errno, "lock %s/" DIR_NAME "/%s", v->run_dir,
				bdf_format(b, name));
		r = own_fd(fd);
		if (r < 0) {
			text_read(fd, &l);
			return refuse_held(&l,
				"end it, or take another ('viaduct vf lease list' shows who has "
				"what)",
				e);
		}
		r = fcntl(r, F_DUPFD_CLOEXEC, 3);
		if (r < 0)
			return err_sys(e, errno, "lease %s", bdf_format(b, name));
		*ret_fd = r;
		return 0;
	}
	r = text_write(fd, owner, pid);
	if (r < 0) {
		file_unlink(dir, b);
		return err_sys(e, -r, "write %s/" DIR_NAME "/%s", v->run_dir, bdf_format(b, name));
	}
	*ret_fd = fd_steal(&fd);
	return 0;
}

int lease_owner_check(const char *owner, struct err *e)
{
	if (name_is_plain(owner))
		return 0;
	return err_set(e, EINVAL,
		"'%s' is no owner's name: use letters, digits, '-', '_', '.', ':' and '@', at most "
		"%d",
		owner, VFM_OWNER_MAX - 1);
}

int vfm_lease_take(
	struct vfm *v, struct bdf b, const char *owner, pid_t pid, int *ret_fd, struct err *e)
{
	char path[PATH_MAX], name[BDF_STRLEN];
	_cleanup_fd_ int dir = -1;
	int r = lease_owner_check(owner, e);

	if (r < 0)
		return r;
	if (!sysfs_exists(&v->sys, sysfs_pci_path(b, "", path, sizeof(path))))
		return err_set(e, ENODEV,
			"lease %s: no such PCI function ('viaduct vf list' shows them)",
			bdf_format(b, name));
	r = lease_dir_lock(v, &dir, e);
	if (r == 0)
		r = lease_take_locked(v, dir, b, owner, pid ? pid : getpid(), ret_fd, e);
	return r;
}

void vfm_lease_drop(struct vfm *v, struct bdf b, int *fd)
{
	_cleanup_fd_ int dir = -1, now = -1;

	if (*fd < 0)
		return;
	/*
	 * The file at that name may be another's by now: ours was freed by force. And the lock may
	 * live on in a process that inherited it: then it is not stale, and stays.
	 */
	if (lease_dir_lock(v, &dir, NULL) == 0) {
		now = file_open(dir, b, O_RDONLY);
		if (now >= 0 && same_file(now, *fd)) {
			*fd = fd_close(*fd);
			if (flock(now, LOCK_EX | LOCK_NB) == 0)
				file_unlink(dir, b);
		}
	}
	*fd = fd_close(*fd);
}

int vfm_lease_get(struct vfm *v, struct bdf b, struct vfm_lease *ret)
{
	_cleanup_fd_ int dir = lease_dir_open(v, false);
	char name[BDF_STRLEN];

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	/* Most have none, and that needs no lock. */
	if (faccessat(dir, bdf_format(b, name), F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	return file_look(dir, b, guard_take(v, dir, LOOK_MS, NULL) == 0, ret);
}

static int lease_cmp(const void *a, const void *b)
{
	const struct vfm_lease *x = a, *y = b;

	if (x->bdf.domain != y->bdf.domain)
		return x->bdf.domain < y->bdf.domain ? -1 : 1;
	return (int)bdf_rid(x->bdf) - (int)bdf_rid(y->bdf);
}

int lease_list_locked(int dir, bool guarded, struct vfm_lease **ret)
{
	_cleanup_free_ struct vfm_lease *l = NULL;
	char **names, canon[BDF_STRLEN];
	size_t n = 0;
	int r = sysfs_list(&(struct sysfs){.root_fd = dir}, ".", &names);

	if (r < 0)
		return r;
	l = calloc((size_t)r + 1, sizeof(*l));
	for (char **name = names; l && *name; name++) {
		struct bdf b;

		if (bdf_parse(*name, &b) == 0 && !strcmp(bdf_format(b, canon), *name))
			n += file_look(dir, b, guarded, &l[n]) > 0;
	}
	sysfs_list_free(names);
	if (!l)
		return -ENOMEM;
	qsort(l, n, sizeof(*l), lease_cmp);
	*ret = ptr_steal(l);
	return (int)n;
}

int vfm_lease_list(struct vfm *v, struct vfm_lease **ret, struct err *e)
{
	_cleanup_fd_ int dir = lease_dir_open(v, false);
	int r = dir;

	if (dir >= 0)
		r = lease_list_locked(dir, guard_take(v, dir, LOOK_MS, NULL) == 0, ret);
	if (r == -ENOENT) {
		*ret = NULL;
		return 0;
	}
	if (r < 0)
		return err_sys(
			e, -r, "read the leases in %s/" DIR_NAME " (run as root)", v->run_dir);
	return r;
}

static int lease_free_locked(
	struct vfm *v, int dir, struct bdf b, bool force, struct vfm_lease *ret, struct err *e)
{
	char name[BDF_STRLEN], who[VFM_LEASE_WHO_MAX];
	int r = file_look(dir, b, true, ret);

	bdf_format(b, name);
	if (r == 0)
		return err_set(e, ENOENT, "%s is not leased", name);
	if (r < 0)
		return err_sys(e, -r, "read %s/" DIR_NAME "/%s", v->run_dir, name);
	if (ret->held && !force)
		return refuse_held(
			ret, "end it, or free it with --force, which does not end it", e);
	if (ret->held)
		vfm_note(v,
			"%s: %s loses its claim, keeps what it has open and is not told; others "
			"can lease %s from now on",
			name, vfm_lease_who(ret, who), name);
	file_unlink(dir, b);
	return 0;
}

int vfm_lease_free(struct vfm *v, struct bdf b, bool force, struct vfm_lease *ret, struct err *e)
{
	_cleanup_fd_ int dir = -1;
	struct vfm_lease l;
	int r = lease_dir_lock(v, &dir, e);

	if (r == 0)
		r = lease_free_locked(v, dir, b, force, &l, e);
	if (r == 0 && ret)
		*ret = l;
	return r;
}

int vfm_lease_gc(struct vfm *v, struct err *e)
{
	_cleanup_fd_ int dir = lease_dir_open(v, false);
	_cleanup_free_ struct vfm_lease *l = NULL;
	int r, n, gone = 0;

	if (dir == -ENOENT)
		return 0;
	if (dir < 0)
		return err_sys(e, -dir, "open %s/" DIR_NAME " (run as root)", v->run_dir);
	r = guard_take(v, dir, GUARD_MS, e);
	if (r < 0)
		return r;
	n = lease_list_locked(dir, true, &l);
	if (n < 0)
		return err_sys(e, -n, "read the leases in %s/" DIR_NAME, v->run_dir);
	for (int i = 0; i < n; i++) {
		if (l[i].held)
			continue;
		file_unlink(dir, l[i].bdf);
		gone++;
	}
	return gone;
}
