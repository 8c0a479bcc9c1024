// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf monitor: what happens to SR-IOV functions, a line for each event. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/vf.h"
#include "common/cleanup.h"
#include "vf-manager/monitor.h"
#include "vf-manager/select.h"

const struct argp_option vf_monitor_options[] = {
	{"json", 'j', NULL, 0, "a JSON object on each line (the default)", 0},
	{"text", VF_KEY(VF_OPT_TEXT), NULL, 0, "for people", 0},
	{"for", VF_KEY(VF_OPT_FOR), "FUNCTION", 0, "this one, and its VFs if it is a PF", 0},
	{"all", 'a', NULL, 0, "every PCI function, not SR-IOV ones alone", 0},
	VF_COMMON_OPTIONS,
};

struct watch {
	struct vfm_monitor *m;
	struct err err;
	bool text;
	int status; /* of writing: 0 or -errno */
};

static json_t *bdf_json(struct bdf b)
{
	char name[BDF_STRLEN];

	return json_string(bdf_format(b, name));
}

static json_t *lease_json(const struct vfm_lease *l)
{
	return l ? json_pack("{s:s, s:i, s:I, s:b}", "owner", l->owner, "pid", (int)l->pid, "since",
			   (json_int_t)l->since, "held", l->held)
		 : json_null();
}

static const char *mac_text(const struct vfm_watched *f, char buf[static 18])
{
	*buf = '\0';
	if (f->has_mac)
		snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", f->mac[0], f->mac[1], f->mac[2],
			f->mac[3], f->mac[4], f->mac[5]);
	return buf;
}

static json_t *settings_json(const struct vfm_settings *s)
{
	json_t *o = json_object();
	char value[VFM_VALUE_MAX];

	for (unsigned i = 0; i < VFM_SETTING_COUNT; i++)
		json_object_set_new(
			o, vfm_setting_name(i), json_text(vfm_setting_format(s, i, value)));
	return o;
}

static json_t *function_json(const struct vfm_watched *f, const struct vfm_lease *lease)
{
	static const char *const kinds[] = {
		[VFM_OTHER] = "other", [VFM_PF] = "pf", [VFM_VF] = "vf"};
	char mac[18];
	json_t *o = json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "bdf", bdf_json(f->bdf),
		"kind", kinds[f->kind], "driver", json_text(f->driver), "interface",
		json_text(f->netdev), "link", json_text(f->link), "mac",
		json_text(mac_text(f, mac)), "lease", lease_json(lease));

	if (f->kind == VFM_PF)
		json_object_set_new(o, "num_vfs", json_integer(f->num_vfs));
	if (f->kind != VFM_VF)
		return o;
	json_object_set_new(o, "pf", bdf_json(f->pf));
	json_object_set_new(o, "index", f->index >= 0 ? json_integer(f->index) : json_null());
	json_object_set_new(o, "settings", settings_json(&f->settings));
	return o;
}

static const struct vfm_lease *lease_of(const struct vfm_event *ev, struct bdf b)
{
	for (size_t i = 0; i < ev->n_leases; i++)
		if (bdf_equal(ev->leases[i].bdf, b))
			return &ev->leases[i];
	return NULL;
}

static void snapshot_put(json_t *o, const struct vfm_event *ev)
{
	json_t *all = json_array(), *leases = json_array();

	for (size_t i = 0; i < ev->n_functions; i++)
		json_array_append_new(
			all, function_json(&ev->functions[i], lease_of(ev, ev->functions[i].bdf)));
	for (size_t i = 0; i < ev->n_leases; i++) {
		json_t *l = lease_json(&ev->leases[i]);

		json_object_set_new(l, "bdf", bdf_json(ev->leases[i].bdf));
		json_array_append_new(leases, l);
	}
	json_object_set_new(o, "functions", all);
	json_object_set_new(o, "leases", leases);
	json_object_set_new(o, "unseen", json_text(ev->unseen));
}

static void fault_put(json_t *o, const struct vfm_event *ev)
{
	char address[20];

	snprintf(address, sizeof(address), "0x%" PRIx64, ev->fault.iova);
	json_object_set_new(o, "access",
		json_string(ev->fault.interrupt ? "interrupt"
			    : ev->fault.write   ? "write"
						: "read"));
	json_object_set_new(o, "address", json_string(address));
	json_object_set_new(o, "reason", json_integer(ev->fault.reason));
	json_object_set_new(o, "holder",
		ev->holder.pid ? json_pack("{s:i, s:s}", "pid", (int)ev->holder.pid, "comm",
					 ev->holder.comm)
			       : json_null());
}

static void log_put(json_t *o, const struct vfm_event *ev)
{
	json_object_set_new(o, "text", json_string(ev->text));
	json_object_set_new(o, "kernel_us", json_integer((json_int_t)ev->kernel_us));
	json_object_set_new(o, "cause",
		ev->cause ? json_pack("{s:s, s:s, s:s}", "id", ev->cause->id, "text",
				    ev->cause->cause, "fix", ev->cause->fix)
			  : json_null());
}

static void change_put(json_t *o, const struct vfm_event *ev)
{
	if (ev->kind == VFM_EVENT_VFS) {
		json_object_set_new(o, "before", json_integer(atoi(ev->before)));
		json_object_set_new(o, "after", json_integer(atoi(ev->after)));
		return;
	}
	json_object_set_new(o, "before", json_text(ev->before));
	json_object_set_new(o, "after", json_text(ev->after));
}

/* What each kind of event has besides time, function and lease. */
static void event_put(json_t *o, const struct vfm_event *ev)
{
	switch (ev->kind) {
	case VFM_EVENT_SNAPSHOT: snapshot_put(o, ev); break;
	case VFM_EVENT_LOST: json_object_set_new(o, "from", json_string(ev->name)); break;
	case VFM_EVENT_ADD:
		if (ev->function)
			json_object_set_new(o, "function", function_json(ev->function, ev->lease));
		break;
	case VFM_EVENT_BIND:
	case VFM_EVENT_UNBIND: json_object_set_new(o, "driver", json_string(ev->name)); break;
	case VFM_EVENT_LINK:
	case VFM_EVENT_MAC:
		json_object_set_new(o, "interface", json_text(ev->name));
		change_put(o, ev);
		break;
	case VFM_EVENT_SETTING:
		json_object_set_new(o, "key", json_string(ev->name));
		change_put(o, ev);
		break;
	case VFM_EVENT_SETTINGS:
		if (ev->function)
			json_object_set_new(o, "settings", settings_json(&ev->function->settings));
		break;
	case VFM_EVENT_VFS:
	case VFM_EVENT_INTERFACE: change_put(o, ev); break;
	case VFM_EVENT_DMA_FAULT:
		fault_put(o, ev);
		log_put(o, ev);
		break;
	case VFM_EVENT_LOG: log_put(o, ev); break;
	case VFM_EVENT_REMOVE:
	case VFM_EVENT_LEASE_TAKEN:
	case VFM_EVENT_LEASE_FREED:
	case VFM_EVENT_LEASE_STALE:
	case VFM_EVENT_COUNT: break;
	}
}

/* UTC; without the day for people. */
static const char *time_text(uint64_t us, bool day, char *buf, size_t size)
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;
	size_t n = 0;

	gmtime_r(&s, &tm);
	if (day)
		n = strftime(buf, size, "%Y-%m-%dT", &tm);
	n += strftime(buf + n, size - n, "%H:%M:%S", &tm);
	snprintf(buf + n, size - n, ".%06uZ", (unsigned)(us % 1000000));
	return buf;
}

static int print_json(const struct vfm_event *ev)
{
	char when[64];
	json_t *o = json_pack("{s:s, s:s, s:I}", "event", vfm_event_name(ev->kind), "time",
		time_text(ev->realtime_us, true, when, sizeof(when)), "monotonic_us",
		(json_int_t)ev->monotonic_us);

	if (!o)
		return -ENOMEM;
	if (ev->has_bdf) {
		json_object_set_new(o, "bdf", bdf_json(ev->bdf));
		if (ev->function && ev->function->kind == VFM_VF)
			json_object_set_new(o, "pf", bdf_json(ev->function->pf));
		json_object_set_new(o, "lease", lease_json(ev->lease));
	}
	event_put(o, ev);
	errno = 0;
	return !json_print_line(o) ? 0 : errno ? -errno : -EIO;
}

static void print_settings(const struct vfm_settings *s)
{
	char value[VFM_VALUE_MAX];

	for (unsigned i = 0; i < VFM_SETTING_COUNT; i++)
		if (s->set & 1u << i)
			printf(" %s=%s", vfm_setting_name(i), vfm_setting_format(s, i, value));
}

static void print_details(const struct vfm_event *ev)
{
	if (ev->name)
		printf(" %s", ev->name);
	if (ev->before || ev->after)
		printf(" %s -> %s", ev->before && *ev->before ? ev->before : "none",
			ev->after && *ev->after ? ev->after : "none");
	if ((ev->kind == VFM_EVENT_SETTINGS || ev->kind == VFM_EVENT_ADD) && ev->function)
		print_settings(&ev->function->settings);
	if (ev->text)
		printf(": %s", ev->text);
	if (ev->cause)
		printf(" (%s)", ev->cause->text);
	if (ev->lease)
		printf(" [leased by %s, process %d%s]", ev->lease->owner, (int)ev->lease->pid,
			ev->lease->held ? "" : ", gone");
	if (ev->holder.pid)
		printf(" [open in VFIO by %s, process %d]", ev->holder.comm, (int)ev->holder.pid);
}

static int print_text(const struct vfm_event *ev)
{
	char when[64], name[BDF_STRLEN];

	printf("%s %-12s %s", time_text(ev->realtime_us, false, when, sizeof(when)),
		ev->has_bdf ? bdf_format(ev->bdf, name) : "-", vfm_event_name(ev->kind));
	if (ev->kind == VFM_EVENT_SNAPSHOT) {
		printf(" of %zu functions, %zu leases", ev->n_functions, ev->n_leases);
		if (*ev->unseen)
			printf("; not seen: %s", ev->unseen);
	} else {
		print_details(ev);
	}
	return putchar('\n') == EOF ? -errno : 0;
}

static void on_event(void *arg, const struct vfm_event *ev)
{
	struct watch *w = arg;

	if (w->status == 0)
		w->status = w->text ? print_text(ev) : print_json(ev);
}

/* After each batch: what is told is told, and who no longer listens is noticed. */
static int written(struct watch *w)
{
	if (w->status == 0 && fflush(stdout) == EOF)
		w->status = errno ? -errno : -EIO;
	return w->status;
}

static int on_messages(struct watch *w)
{
	int r = vfm_monitor_run(w->m, &w->err);

	return written(w) < 0 ? w->status : r;
}

/*
 * Until a signal, or until nobody reads any more. Not sd-event: libsystemd and what it brings is two
 * thirds of what starting `viaduct vf` costs, whatever the command.
 */
static int loop_run(struct watch *w, int signal_fd)
{
	struct pollfd fds[] = {
		{.fd = vfm_monitor_fd(w->m), .events = POLLIN},
		{.fd = signal_fd, .events = POLLIN},
		/* Without events asked for, a pipe's end tells that its reader is gone. */
		{.fd = STDOUT_FILENO},
	};

	for (;;) {
		int r = poll(fds, ARRAY_SIZE(fds), -1);

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r < 0)
			continue;
		if (fds[0].revents) {
			r = on_messages(w);
			if (r < 0)
				return r;
		}
		if (fds[1].revents || fds[2].revents)
			return 0;
	}
}

int vf_monitor(struct vfm *v, const struct vf_args *a)
{
	struct watch w = {.text = vf_flag(a, VF_OPT_TEXT)};
	struct vfm_monitor_config c = {.flags = vf_flag(a, VF_OPT_ALL) ? VFM_MONITOR_ALL : 0,
		.event = on_event,
		.arg = &w};
	_cleanup_fd_ int signal_fd = -1;
	struct bdf only;
	sigset_t set;
	int r;

	if (vf_flag(a, VF_OPT_TEXT) && vf_flag(a, VF_OPT_JSON))
		return vf_usage("--json and --text: write one of them");
	if (vf_flag(a, VF_OPT_FOR)) {
		r = vfm_select(v, a->opt[VF_OPT_FOR], &only, &w.err);
		if (r < 0)
			return vf_fail(r, &w.err);
		c.only = &only;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	/* The signals that end the command are read in the loop: none is lost before it waits. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (signal_fd < 0) {
		r = err_sys(&w.err, errno, "monitor");
		return vf_fail(r, &w.err);
	}
	r = vfm_monitor_create(v, &c, &w.m, &w.err);
	if (r == 0)
		r = written(&w);
	if (r == 0)
		r = loop_run(&w, signal_fd);
	vfm_monitor_destroy(w.m);
	/* A reader that has seen enough is no failure. */
	if (w.status == -EPIPE) {
		__fpurge(stdout);
		clearerr(stdout);
		return EXIT_DONE;
	}
	/* Of anything else that keeps events from being written, output_guard() tells. */
	if (w.status < 0)
		return EXIT_FAILED;
	if (r < 0 && !w.err.code)
		err_sys(&w.err, -r, "monitor: wait for events");
	return r < 0 ? vf_fail(r, &w.err) : EXIT_DONE;
}
