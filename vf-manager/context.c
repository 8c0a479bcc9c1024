// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/internal.h"

#include <ctype.h>
#include <errno.h>
#include <pci/pci.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/log.h"

static int tree_write(
	void *ctx, const struct sysfs *s, const char *path, const char *text, size_t len)
{
	return sysfs_write(s, path, text, len);
}

static int tree_talk(void *ctx, int protocol, void *req, size_t len, unsigned timeout_ms,
	void **ret_reply, size_t *ret_len)
{
	return -EOPNOTSUPP;
}

static int tree_load(void *ctx, const char *driver)
{
	return -EOPNOTSUPP;
}

/*
 * Below another root are a recorded machine's files: this one's interfaces have the same numbers but
 * are others, and its modules are of no use there.
 */
static const struct vfm_ops tree_ops = {
	.write = tree_write,
	.talk = tree_talk,
	.load = tree_load,
};

static bool is_system_root(const struct sysfs *s)
{
	struct stat a, b;

	return fstat(s->root_fd, &a) == 0 && stat("/", &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int vfm_create(const struct vfm_config *c, struct vfm **ret, struct err *e)
{
	static const struct vfm_config none;
	const char *root, *run_dir;
	struct vfm *v;
	int r;

	if (!c)
		c = &none;
	root = c->root ? c->root : "/";
	run_dir = c->run_dir ? c->run_dir : VFM_RUN_DIR;
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_sys(e, ENOMEM, "VF manager");
	*v = (struct vfm){
		.sys.root_fd = -1,
		.ops = c->ops ? c->ops : &vfm_kernel_ops,
		.ops_ctx = c->ops ? c->ops_ctx : v,
		.timeout_ms = c->timeout_ms ? c->timeout_ms : 60000,
		.progress = c->progress,
		.note = c->note,
		.arg = c->arg,
		.cancel = c->cancel,
		.lock_fd = {-1, -1},
		.worker_fd = -1,
	};
	if (strlen(run_dir) >= sizeof(v->run_dir) - 64) {
		r = err_set(e, ENAMETOOLONG, "runtime directory: name too long");
		goto fail;
	}
	snprintf(v->run_dir, sizeof(v->run_dir), "%s", run_dir);
	r = sysfs_open(root, &v->sys);
	if (r < 0) {
		err_sys(e, -r, "open %s", root);
		goto fail;
	}
	if (!c->ops && !is_system_root(&v->sys))
		v->ops = &tree_ops;
	*ret = v;
	return 0;
fail:
	vfm_destroy(v);
	return r;
}

void vfm_destroy(struct vfm *v)
{
	if (!v)
		return;
	locks_drop(&v);
	worker_finish(v);
	kernel_talk_finish(v);
	sysfs_close(&v->sys);
	if (v->ids)
		pci_cleanup(v->ids);
	free(v);
}

void vfm_note(struct vfm *v, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_debug("vf-manager: %s", text);
	if (v->note)
		v->note(v->arg, text);
}

void err_append(struct err *e, const char *fmt, ...)
{
	size_t n;
	va_list ap;

	if (!e)
		return;
	n = strnlen(e->text, sizeof(e->text) - 1);
	n += (size_t)snprintf(e->text + n, sizeof(e->text) - n, "; ");
	if (n >= sizeof(e->text))
		return;
	va_start(ap, fmt);
	vsnprintf(e->text + n, sizeof(e->text) - n, fmt, ap);
	va_end(ap);
}

int dev_write(struct vfm *v, struct bdf b, const char *attr, const char *text)
{
	char path[PATH_MAX];

	sysfs_pci_path(b, attr, path, sizeof(path));
	log_debug("vf-manager: write '%s' to %s", text, path);
	return v->ops->write(v->ops_ctx, &v->sys, path, text, strlen(text));
}

int dev_read_u64(struct vfm *v, struct bdf b, const char *attr, uint64_t *ret)
{
	char path[PATH_MAX];

	return sysfs_read_u64(&v->sys, sysfs_pci_path(b, attr, path, sizeof(path)), ret);
}

void copy_printable(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
	for (; *to; to++) {
		if (!isprint((unsigned char)*to))
			*to = '?';
	}
}

bool name_is_plain(const char *s)
{
	if (!*s || strlen(s) >= VFM_NAME_MAX || !strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (; *s; s++) {
		if (!isalnum((unsigned char)*s) && !strchr("-_.:@", *s))
			return false;
	}
	return true;
}

bool netdev_name_is_plain(const char *s)
{
	if (!*s || strlen(s) >= VFM_NAME_MAX || !strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (; *s; s++) {
		if (!isgraph((unsigned char)*s) || *s == '/')
			return false;
	}
	return true;
}

static int kernel_write(
	void *ctx, const struct sysfs *s, const char *path, const char *text, size_t len)
{
	return sysfs_write(s, path, text, len);
}

static int kernel_load(void *ctx, const char *driver)
{
	char name[VFM_NAME_MAX];
	char *argv[] = {(char *)"modprobe", (char *)"-q", (char *)"--", name, NULL};
	int status, r;
	pid_t pid;

	snprintf(name, sizeof(name), "%s", driver);
	r = posix_spawnp(&pid, "modprobe", NULL, NULL, argv, environ);
	if (r)
		return -r;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ENOENT;
}

const struct vfm_ops vfm_kernel_ops = {
	.write = kernel_write,
	.talk = kernel_talk,
	.load = kernel_load,
};
