// SPDX-License-Identifier: GPL-2.0-or-later
/* Listening, and reading again where the news say so; monitor_state.c makes events of it. */
#include "vf-manager/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/internal.h"
#include "vf-manager/monitor_parse.h"
#include "vf-manager/monitor_state.h"

#define BUFFER       65536
#define QUEUE_SIZE   (8 << 20) /* of a socket: bytes that may wait for a slow reader of ours */
#define CLASS_BRIDGE 0x06
/* How often a family may change while it is read before it is taken as it is. */
#define READ_TRIES 8
/* Messages handled before the caller is asked whether it wants to end. */
#define DRAIN_MAX 4096

/*
 * The kernel tells before all is done: a PF's uevent comes before its VFs are counted, a file's close
 * before its lock is gone, and igb forgets a rate after it told of the link. So what was touched is
 * read again twice.
 */
static const unsigned again_ms[] = {0, 100, 1000};

/* A PF with its VFs, or a lone function, to be read at @due_us. */
struct dirty {
	struct bdf root;
	size_t step;
	uint64_t due_us;
};

struct vfm_monitor {
	struct vfm *v;
	struct vfm_monitor_config c;
	struct vfm_monitor_io io;
	struct monitor_state s;
	int epoll_fd, timer_fd, inotify_fd, watch;
	char watched_dir[PATH_MAX + 8]; /* the lease directory, or what there is on the way to it */
	char unseen[256];
	struct dirty *dirty;
	size_t n_dirty, cap_dirty;
	struct dirty leases; /* root is not used; step at the end: nothing due */
	uint64_t klog_seq;   /* of the last record; 0 = none yet */
	const char *lost;    /* where messages were lost; NULL: nowhere */
	bool fault_seen;     /* holders are looked for once a second */
	uint64_t fault_us;
	char buf[BUFFER];
};

static uint64_t clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void stamp(struct vfm_monitor *m)
{
	m->s.realtime_us = clock_us(CLOCK_REALTIME);
	m->s.monotonic_us = clock_us(CLOCK_MONOTONIC);
}

static void unseen(struct vfm_monitor *m, const char *what, int code)
{
	size_t n = strlen(m->unseen);

	snprintf(m->unseen + n, sizeof(m->unseen) - n, "%s%s: %s", n ? "; " : "", what,
		strerror(code));
}

/* --- what is to be read --- */

static void touch(struct dirty *d)
{
	d->step = 0;
	d->due_us = 0;
}

static void touched_again(struct dirty *d)
{
	d->step++;
	if (d->step < ARRAY_SIZE(again_ms))
		d->due_us = clock_us(CLOCK_MONOTONIC) + again_ms[d->step] * 1000ull;
}

static bool is_due(const struct dirty *d, uint64_t now)
{
	return d->step < ARRAY_SIZE(again_ms) && d->due_us <= now;
}

static int family_touch(struct vfm_monitor *m, struct bdf root)
{
	for (size_t i = 0; i < m->n_dirty; i++) {
		if (bdf_equal(m->dirty[i].root, root)) {
			touch(&m->dirty[i]);
			return 0;
		}
	}
	if (m->n_dirty == m->cap_dirty) {
		size_t cap = m->cap_dirty ? m->cap_dirty * 2 : 8;
		void *p = realloc(m->dirty, cap * sizeof(*m->dirty));

		if (!p)
			return -ENOMEM;
		m->dirty = p;
		m->cap_dirty = cap;
	}
	m->dirty[m->n_dirty++] = (struct dirty){.root = root};
	return 0;
}

static void interface_mac(struct vfm_monitor *m, struct vfm_watched *w)
{
	char attr[VFM_NAME_MAX + 32], text[32];

	snprintf(attr, sizeof(attr), "net/%s/address", w->netdev);
	dev_read_text(m->v, w->bdf, attr, text, sizeof(text));
	w->has_mac = mac_parse(text, w->mac);
}

static void watched_take(struct vfm_monitor *m, const struct vfm_function *f, struct vfm_watched *w)
{
	*w = (struct vfm_watched){
		.bdf = f->bdf,
		.kind = f->kind,
		.pf = f->pf,
		.index = f->index,
		.num_vfs = f->num_vfs,
		.ifindex = f->ifindex,
	};
	memcpy(w->driver, f->driver, sizeof(w->driver));
	memcpy(w->netdev, f->netdev, sizeof(w->netdev));
	memcpy(w->link, f->link, sizeof(w->link));
	if (*w->netdev)
		interface_mac(m, w);
}

/* What the PF gives its VFs; f[0] is the PF. An interface that is being reset answers later. */
static void settings_read(struct vfm_monitor *m, struct vfm_watched *f, size_t n)
{
	_cleanup_free_ struct vfm_settings *s = NULL;
	unsigned max = 0;

	for (size_t i = 1; i < n; i++)
		max = f[i].index >= (int)max ? (unsigned)f[i].index + 1 : max;
	if (!max || !f[0].ifindex)
		return;
	s = calloc(max, sizeof(*s));
	if (!s || link_get_vfs(m->v, f[0].ifindex, s, max, NULL) < 0)
		return;
	for (size_t i = 1; i < n; i++)
		if (f[i].index >= 0)
			f[i].settings = s[f[i].index];
}

/*
 * The PF (or lone function) that @root is or belongs to, with its VFs. *ret_n is 0 when it is gone or
 * not to be watched. *root becomes the PF's address when it was a VF's.
 */
static int family_read(
	struct vfm_monitor *m, struct bdf *root, struct vfm_watched **ret, size_t *ret_n)
{
	_cleanup_free_ struct vfm_watched *f = NULL;
	struct vfm_function pf;
	size_t n = 0;
	int r = function_read(m->v, *root, &pf);

	if (r == 0 && pf.kind == VFM_VF) {
		*root = pf.pf;
		r = function_read(m->v, *root, &pf);
	}
	*ret = NULL;
	*ret_n = 0;
	if (r < 0 || pf.kind == VFM_VF ||
		(pf.kind == VFM_OTHER &&
			(!(m->c.flags & VFM_MONITOR_ALL) || pf.class >> 16 == CLASS_BRIDGE)))
		return 0;
	f = calloc((size_t)pf.num_vfs + 1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	watched_take(m, &pf, &f[n++]);
	for (unsigned i = 0; n <= pf.num_vfs && i < pf.total_vfs; i++) {
		struct vfm_function vf;
		struct bdf b;

		if (vf_bdf(m->v, *root, i, &b) == 0 &&
			function_read_vf(m->v, b, *root, i, &vf) == 0)
			watched_take(m, &vf, &f[n++]);
	}
	settings_read(m, f, n);
	*ret = ptr_steal(f);
	*ret_n = n;
	return 0;
}

/* --- messages --- */

static ssize_t kernel_receive(void *ctx, int fd, void *buf, size_t size)
{
	struct sockaddr_nl from = {0};
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	for (;;) {
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
		if (n < 0 && errno == ENOTSOCK)
			n = read(fd, buf, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : errno == EPIPE ? -ENOBUFS : -errno;
		if (msg.msg_flags & MSG_TRUNC)
			return -ENOBUFS;
		/* Only the kernel has port 0; anybody else's message is none. */
		if (msg.msg_namelen == sizeof(from) && from.nl_family == AF_NETLINK &&
			from.nl_pid != 0)
			continue;
		return n;
	}
}

static int netlink_open(int protocol, unsigned groups)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = groups};
	_cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	int size = QUEUE_SIZE;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return fd_steal(&fd);
}

static const struct vfm_monitor_io kernel_io = {
	.uevent_fd = -1,
	.link_fd = -1,
	.kmsg_fd = -1,
	.receive = kernel_receive,
};

static int uevents_take(struct vfm_monitor *m, const char *buf, size_t len)
{
	struct uevent u;
	struct bdf root;

	if (uevent_parse(buf, len, &u) && monitor_uevent(&m->s, &u, &root))
		return family_touch(m, root);
	return 0;
}

static int links_take(struct vfm_monitor *m, const char *buf, size_t len)
{
	struct link_note n;
	struct bdf root;
	size_t at = 0;
	int r = 0;

	while (r == 0 && link_note_next(buf, len, &at, &n))
		if (monitor_link(&m->s, &n, &root))
			r = family_touch(m, root);
	return r;
}

/* Looked for in all of /proc: not more often than people can read. */
static void fault_holder(struct vfm_monitor *m, struct bdf b, struct holder *ret)
{
	struct vfm_function f;

	*ret = (struct holder){0};
	if (m->fault_seen && m->s.monotonic_us - m->fault_us < 1000000)
		return;
	m->fault_seen = true;
	m->fault_us = m->s.monotonic_us;
	if (function_read(m->v, b, &f) == 0 && function_holder(m->v, &f, ret) <= 0)
		ret->pid = 0;
}

static int klog_take(struct vfm_monitor *m, const char *buf, size_t len)
{
	struct holder holder = {0};
	struct klog_record k;
	struct dma_fault fault;

	if (!klog_record_parse(buf, len, &k))
		return 0;
	if (m->klog_seq && k.seq > m->klog_seq + 1)
		m->lost = "kernel-log";
	m->klog_seq = k.seq;
	if (dma_fault_parse(k.text, &fault))
		fault_holder(m, fault.bdf, &holder);
	monitor_klog(&m->s, &k, vfm_explain_line(k.text), &holder);
	return 0;
}

/* All that has come in on one of the three. Sets *any when something had. */
static int drain(struct vfm_monitor *m, int fd, const char *where,
	int (*take)(struct vfm_monitor *m, const char *buf, size_t len), bool *any)
{
	for (unsigned i = 0; fd >= 0 && i < DRAIN_MAX; i++) {
		ssize_t n = m->io.receive(m->io.ctx, fd, m->buf, sizeof(m->buf));
		int r;

		if (n == 0)
			return 0;
		*any = true;
		if (n == -ENOBUFS) {
			m->lost = where;
			continue;
		}
		if (n < 0)
			return (int)n;
		stamp(m);
		r = take(m, m->buf, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Listen to the directory of leases, or to what there is on the way to it. */
static void leases_watch(struct vfm_monitor *m)
{
	const uint32_t mask = IN_CREATE | IN_DELETE | IN_CLOSE_WRITE | IN_MODIFY | IN_MOVE |
			      IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
	char dir[sizeof(m->v->run_dir) + 8], *slash;

	/* A directory may come while we look at the one above it; each turn goes further down. */
	for (int i = 0; m->inotify_fd >= 0 && i < 16; i++) {
		int wd = -1;

		snprintf(dir, sizeof(dir), "%s/lease", m->v->run_dir);
		while (*dir) {
			wd = inotify_add_watch(m->inotify_fd, dir, mask);
			if (wd >= 0 || !strcmp(dir, "/"))
				break;
			slash = strrchr(dir, '/');
			if (!slash)
				strcpy(dir, strcmp(dir, ".") ? "." : "");
			else if (slash == dir)
				dir[1] = '\0';
			else
				*slash = '\0';
		}
		if (wd < 0 || (wd == m->watch && !strcmp(dir, m->watched_dir)))
			return;
		if (m->watch >= 0 && m->watch != wd)
			inotify_rm_watch(m->inotify_fd, m->watch);
		m->watch = wd;
		snprintf(m->watched_dir, sizeof(m->watched_dir), "%s", dir);
	}
}

static void leases_drain(struct vfm_monitor *m, bool *any)
{
	for (unsigned i = 0; m->inotify_fd >= 0 && i < DRAIN_MAX; i++) {
		ssize_t n = read(m->inotify_fd, m->buf, sizeof(m->buf));

		if (n <= 0)
			return;
		*any = true;
		touch(&m->leases);
		for (size_t at = 0; at + sizeof(struct inotify_event) <= (size_t)n;) {
			struct inotify_event ev;

			memcpy(&ev, m->buf + at, sizeof(ev));
			if (ev.mask & IN_Q_OVERFLOW)
				m->lost = "leases";
			if (ev.mask & IN_IGNORED && ev.wd == m->watch)
				m->watch = -1;
			at += sizeof(ev) + ev.len;
		}
	}
}

static int drain_all(struct vfm_monitor *m, bool *any)
{
	int r = drain(m, m->io.uevent_fd, "uevents", uevents_take, any);

	if (r == 0)
		r = drain(m, m->io.link_fd, "links", links_take, any);
	if (r == 0)
		r = drain(m, m->io.kmsg_fd, "kernel-log", klog_take, any);
	leases_drain(m, any);
	return r;
}

/* --- reading again --- */

/*
 * Messages that came while a family was read tell of steps on the way to what was read, and are told
 * first; it is then read again, so that no step is told twice or out of order.
 */
static int family_sync(struct vfm_monitor *m, struct bdf root)
{
	int r = 0;

	for (int i = 0; r == 0 && i < READ_TRIES; i++) {
		_cleanup_free_ struct vfm_watched *f = NULL;
		unsigned changes = m->s.changes;
		bool any = false;
		size_t n;

		r = family_read(m, &root, &f, &n);
		if (r == 0)
			r = drain_all(m, &any);
		if (r < 0 || (m->s.changes != changes && i + 1 < READ_TRIES))
			continue;
		stamp(m);
		return monitor_family(&m->s, root, f, n);
	}
	return r;
}

static int leases_sync(struct vfm_monitor *m)
{
	struct vfm_lease *l = NULL;
	struct err e = {0};
	int n;

	leases_watch(m);
	n = vfm_lease_list(m->v, &l, &e);
	/* Told at the start; later failures are moments at which the directory goes. */
	if (n < 0) {
		if (!m->s.live)
			unseen(m, "leases", -n);
		return n == -ENOMEM ? n : 0;
	}
	stamp(m);
	monitor_leases(&m->s, l, (size_t)n);
	return 0;
}

/* Everything, as if nothing had been heard. */
static int sync_all(struct vfm_monitor *m, struct err *e)
{
	_cleanup_free_ struct bdf *all = NULL;
	int n = functions_list(m->v, &all), r = 0;

	if (n < 0)
		return err_sys(
			e, -n, "list PCI devices in /sys/bus/pci/devices (is sysfs mounted?)");
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];

		if (sysfs_exists(&m->v->sys, sysfs_pci_path(all[i], "physfn", path, sizeof(path))))
			continue;
		r = family_sync(m, all[i]);
		if (r < 0)
			return err_sys(e, -r, "read PCI functions");
	}
	for (size_t i = m->s.n; i-- > 0;) {
		char path[PATH_MAX];

		/* A PF takes its VFs with it. */
		if (i < m->s.n && !sysfs_exists(&m->v->sys,
					  sysfs_pci_path(m->s.f[i].bdf, "", path, sizeof(path))))
			monitor_gone(&m->s, m->s.f[i].bdf);
	}
	r = leases_sync(m);
	return r < 0 ? err_sys(e, -r, "read leases") : 0;
}

static int lost_recover(struct vfm_monitor *m, struct err *e)
{
	const char *where = m->lost;
	int r;

	m->lost = NULL;
	stamp(m);
	monitor_lost(&m->s, where);
	r = sync_all(m, e);
	stamp(m);
	if (r == 0)
		monitor_snapshot(&m->s, m->unseen);
	return r;
}

/* Read what is due. Sets *any when something was. */
static int due_sync(struct vfm_monitor *m, bool *any)
{
	uint64_t now = clock_us(CLOCK_MONOTONIC);
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_dirty;) {
		struct bdf root = m->dirty[i].root;

		if (!is_due(&m->dirty[i], now)) {
			i++;
			continue;
		}
		*any = true;
		/* Before it is read: a message that comes meanwhile starts it over. */
		touched_again(&m->dirty[i]);
		r = family_sync(m, root);
		if (m->dirty[i].step >= ARRAY_SIZE(again_ms))
			m->dirty[i] = m->dirty[--m->n_dirty];
		else
			i++;
	}
	if (r == 0 && is_due(&m->leases, now)) {
		*any = true;
		touched_again(&m->leases);
		r = leases_sync(m);
	}
	return r;
}

static void timer_arm(struct vfm_monitor *m)
{
	uint64_t next = UINT64_MAX;
	struct itimerspec t = {0};

	for (size_t i = 0; i < m->n_dirty; i++)
		next = m->dirty[i].due_us < next ? m->dirty[i].due_us : next;
	if (m->leases.step < ARRAY_SIZE(again_ms) && m->leases.due_us < next)
		next = m->leases.due_us;
	if (next != UINT64_MAX) {
		/* All zero would disarm it. */
		next = next ? next : 1;
		t.it_value.tv_sec = (time_t)(next / 1000000);
		t.it_value.tv_nsec = (long)(next % 1000000 * 1000);
	}
	timerfd_settime(m->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

int vfm_monitor_run(struct vfm_monitor *m, struct err *e)
{
	bool any = true;
	int r = 0;

	/* Bounded, so that a caller who wants to end is asked even in a storm. */
	for (int i = 0; any && r == 0 && i < 16; i++) {
		any = false;
		r = drain_all(m, &any);
		if (r == 0 && m->lost) {
			r = lost_recover(m, e);
			if (r < 0)
				return r;
		}
		if (r == 0)
			r = due_sync(m, &any);
	}
	if (r < 0)
		return err_sys(e, -r, "read the kernel's messages");
	timer_arm(m);
	return 0;
}

int vfm_monitor_fd(const struct vfm_monitor *m)
{
	return m->epoll_fd;
}

static int poll_add(struct vfm_monitor *m, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};

	return fd < 0 || epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

/* Another tree than this machine's: its kernel's messages would be about other functions. */
static bool root_is_ours(struct vfm_monitor *m)
{
	struct stat ours, root;

	return stat("/", &ours) == 0 && fstat(m->v->sys.root_fd, &root) == 0 &&
	       ours.st_dev == root.st_dev && ours.st_ino == root.st_ino;
}

/* What cannot be had without rights is said, not fatal. */
static int sources_open(struct vfm_monitor *m, struct err *e)
{
	int r;

	if (!m->c.io && root_is_ours(m)) {
		m->io.uevent_fd = netlink_open(NETLINK_KOBJECT_UEVENT, 1);
		if (m->io.uevent_fd < 0)
			return err_sys(e, -m->io.uevent_fd, "listen to the kernel's uevents");
		m->io.link_fd = netlink_open(NETLINK_ROUTE, RTMGRP_LINK);
		if (m->io.link_fd < 0)
			return err_sys(e, -m->io.link_fd, "listen to network interfaces");
		m->io.kmsg_fd = klog_open(m->v);
		if (m->io.kmsg_fd < 0)
			unseen(m, "kernel log (DMA faults)", errno);
	}
	m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	m->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	m->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (m->timer_fd < 0 || m->inotify_fd < 0 || m->epoll_fd < 0)
		return err_sys(e, errno, "monitor");
	r = poll_add(m, m->io.uevent_fd);
	if (r == 0)
		r = poll_add(m, m->io.link_fd);
	if (r == 0)
		r = poll_add(m, m->io.kmsg_fd);
	if (r == 0)
		r = poll_add(m, m->timer_fd);
	if (r == 0)
		r = poll_add(m, m->inotify_fd);
	return r < 0 ? err_sys(e, -r, "monitor: wait for messages") : 0;
}

int vfm_monitor_create(
	struct vfm *v, const struct vfm_monitor_config *c, struct vfm_monitor **ret, struct err *e)
{
	struct vfm_monitor *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return err_sys(e, ENOMEM, "monitor");
	m->v = v;
	m->c = *c;
	m->io = c->io ? *c->io : kernel_io;
	m->epoll_fd = m->timer_fd = m->inotify_fd = m->watch = -1;
	m->leases.step = ARRAY_SIZE(again_ms);
	m->s.event = c->event;
	m->s.arg = c->arg;
	m->s.has_only = c->only != NULL;
	if (c->only)
		m->s.only = *c->only;
	/* Listened to first, then read: what changes in between is heard. */
	r = sources_open(m, e);
	/* What is lost meanwhile was perhaps about what had been read by then. */
	for (int i = 0; r == 0 && i < READ_TRIES && (i == 0 || m->lost); i++) {
		m->lost = NULL;
		r = sync_all(m, e);
	}
	if (r < 0) {
		vfm_monitor_destroy(m);
		return r;
	}
	m->s.live = true;
	stamp(m);
	monitor_snapshot(&m->s, m->unseen);
	timer_arm(m);
	*ret = m;
	return 0;
}

void vfm_monitor_destroy(struct vfm_monitor *m)
{
	if (!m)
		return;
	fd_close(m->epoll_fd);
	fd_close(m->inotify_fd);
	fd_close(m->timer_fd);
	fd_close(m->io.kmsg_fd);
	fd_close(m->io.link_fd);
	fd_close(m->io.uevent_fd);
	monitor_state_finish(&m->s);
	free(m->dirty);
	free(m);
}
