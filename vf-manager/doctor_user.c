// SPDX-License-Identifier: GPL-2.0-or-later
/* Whose rights are asked for: the caller's, or those of the user that the guests will run as. */
#include "vf-manager/doctor_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

#define GROUPS_MAX 4096

const char *user_name(struct doctor *d)
{
	return d->cfg->user ? d->cfg->user : "you";
}

const char *user_account(struct doctor *d, char buf[static USER_MAX])
{
	struct passwd p, *found = NULL;
	char text[4096];

	snprintf(buf, USER_MAX, "%s", d->cfg->user ? d->cfg->user : "USER");
	if (!d->cfg->user && getpwuid_r(geteuid(), &p, text, sizeof(text), &found) == 0 && found)
		snprintf(buf, USER_MAX, "%s", p.pw_name);
	return buf;
}

static int access_here(struct doctor *d, const char *path)
{
	if (faccessat(d->v->sys.root_fd, path, R_OK | W_OK, AT_EACCESS) == 0)
		return 1;
	return errno == EACCES || errno == EPERM || errno == EROFS ? 0 : -errno;
}

/*
 * The kernel answers for a child that has become the user: no copy of its rules (groups, access
 * control lists, security modules) could.
 */
static int access_as(struct doctor *d, const struct passwd *p, const char *path)
{
	_cleanup_free_ gid_t *groups = calloc(GROUPS_MAX, sizeof(*groups));
	int n = GROUPS_MAX, status, r;
	pid_t pid;

	if (!groups)
		return -ENOMEM;
	if (getgrouplist(p->pw_name, p->pw_gid, groups, &n) < 0)
		return -E2BIG;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (setgroups((size_t)n, groups) < 0 ||
			setresgid(p->pw_gid, p->pw_gid, p->pw_gid) < 0 ||
			setresuid(p->pw_uid, p->pw_uid, p->pw_uid) < 0)
			_exit(255);
		r = access_here(d, path);
		_exit(r == 1 ? 0 : r == 0 ? 1 : 254);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		return WIFEXITED(status) && WEXITSTATUS(status) == 255 ? -EPERM : -ENOENT;
	return WEXITSTATUS(status) == 0;
}

int user_may_write(struct doctor *d, const char *path)
{
	struct passwd p, *found = NULL;
	char buf[4096];

	if (!d->cfg->user)
		return access_here(d, path);
	if (getpwnam_r(d->cfg->user, &p, buf, sizeof(buf), &found) || !found)
		return -ESRCH;
	if (p.pw_uid == geteuid())
		return access_here(d, path);
	return geteuid() == 0 ? access_as(d, &p, path) : -EPERM;
}
