// SPDX-License-Identifier: GPL-2.0-or-later
/* --stats: the figures of a guest as JSON. */
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/run_info.h"
#include "common/cleanup.h"
#include "devices/vhost_user.h"
#include "irqremap/vtd.h"

struct stats_file {
	char *path, *tmp;
};

/* Our own file, not what somebody else may have put there under its name. */
static int stats_create(const struct stats_file *s, struct err *e)
{
	int fd;

	(void)unlink(s->tmp);
	fd = open(s->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return fd < 0 ? err_sys(e, errno, "--stats: create %s", s->tmp) : fd;
}

int stats_open(const char *path, struct err *e, struct stats_file **ret)
{
	struct stats_file *s;
	struct stat st;
	int fd;

	/* What is there will be replaced: not a directory, which would fail after the guest's whole
	 * life, and not /dev/null. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(e, S_ISDIR(st.st_mode) ? EISDIR : EINVAL,
			"--stats: %s is %s: name a regular file, or one that is not there", path,
			S_ISDIR(st.st_mode) ? "a directory" : "no regular file");
	s = calloc(1, sizeof(*s));
	if (!s || !(s->path = strdup(path)) ||
		asprintf(&s->tmp, "%s.%d.tmp", path, (int)getpid()) < 0) {
		if (s)
			s->tmp = NULL;
		stats_close(s);
		return err_set(e, ENOMEM, "out of memory");
	}
	fd = stats_create(s, e);
	if (fd < 0) {
		stats_close(s);
		return fd;
	}
	/* Only to know that it can be done: a guest that is killed leaves no file. */
	close(fd);
	unlink(s->tmp);
	*ret = s;
	return 0;
}

void stats_close(struct stats_file *s)
{
	if (!s)
		return;
	free(s->tmp);
	free(s->path);
	free(s);
}

static json_t *ms(int64_t ns)
{
	int64_t us = ns / 1000;

	return json_real((double)us / 1000.0);
}

static void put(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static json_t *exits_json(const struct vm *vm)
{
	json_t *o = json_object();
	struct vm_stats s;

	vm_stats(vm, &s);
	put(o, "total", s.total);
	for (unsigned int i = 0; i < VM_EXIT_REASONS; i++) {
		if (s.exits[i])
			put(o, vm_exit_name(i), s.exits[i]);
	}
	return o;
}

/* What KVM counted itself, where this kernel tells. */
static json_t *kvm_json(const struct vm *vm)
{
	static const char *const names[] = {"exits", "io_exits", "mmio_exits", "halt_exits",
		"irq_exits", "irq_window_exits", "irq_injections", "signal_exits", "pf_fixed",
		"pf_taken", "host_state_reload", "request_irq_exits", "hypercalls",
		"insn_emulation"};
	json_t *o = json_object();
	uint64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (vm_kvm_stat(vm, names[i], &v) == 0)
			put(o, names[i], v);
	}
	return o;
}

/* Resident memory in kB, by what is behind it. */
static json_t *rss_json(void)
{
	_cleanup_file_ FILE *f = fopen("/proc/self/status", "re");
	json_t *o = json_object();
	char line[256];
	unsigned long v;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "RssAnon: %lu", &v) == 1)
			put(o, "anon", v);
		else if (sscanf(line, "RssFile: %lu", &v) == 1)
			put(o, "file", v);
		else if (sscanf(line, "RssShmem: %lu", &v) == 1)
			put(o, "shmem", v);
	}
	return o;
}

static json_t *remap_json(const struct guest *g)
{
	json_t *o = info_remap_json(g);
	struct vtd_stats s;

	if (!g->vm->vtd)
		return o;
	vtd_stats(g->vm->vtd, &s);
	put(o, "faults_lost", s.faults_lost);
	put(o, "invalidations", s.invalidations);
	put(o, "descriptors", s.descriptors);
	put(o, "queue_errors", s.queue_errors);
	json_object_set_new(o, "dma", json_boolean(s.dma_on));
	put(o, "dma_blocked", s.dma_blocked);
	put(o, "dma_faults", s.dma_faults);
	return o;
}

static const char *assigned_state_name(enum assigned_state s)
{
	switch (s) {
	case ASSIGNED_PRESENT: return "present";
	case ASSIGNED_ISOLATED: return "isolated";
	case ASSIGNED_DETACHED: return "detached";
	}
	return "?";
}

static json_t *assigned_json(const struct guest *g, uint64_t *irqfd)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < g->opt->n_assign; i++) {
		struct assigned_stats s;
		char host[BDF_STRLEN], in_guest[16];
		json_t *o;

		if (!g->assigned[i])
			continue;
		assigned_stats(g->assigned[i], &s);
		snprintf(in_guest, sizeof(in_guest), "0000:00:%02x.%x",
			assigned_devfn(g->assigned[i]) >> 3, assigned_devfn(g->assigned[i]) & 7);
		o = json_object();
		json_object_set_new(
			o, "bdf", json_string(bdf_format(assigned_bdf(g->assigned[i]), host)));
		json_object_set_new(o, "guest_bdf", json_string(in_guest));
		put(o, "config_accesses", s.cfg_accesses);
		put(o, "bar_accesses", s.bar_accesses);
		put(o, "interrupts", s.host_irqs);
		put(o, "intx", s.user_irqs);
		put(o, "vectors", s.vectors_armed);
		json_object_set_new(o, "isolation",
			json_string(vfm_status_name(run_lease_isolation(g->leases, i))));
		json_object_set_new(o, "leased", json_boolean(run_lease_held(g->leases, i)));
		put(o, "vectors_silent", s.vectors_silent);
		json_object_set_new(o, "state", json_string(assigned_state_name(s.state)));
		put(o, "errors", s.signals[ASSIGNED_ERROR]);
		put(o, "requests", s.signals[ASSIGNED_REQUEST]);
		json_array_append_new(list, o);
		*irqfd += s.host_irqs > s.user_irqs ? s.host_irqs - s.user_irqs : 0;
	}
	return list;
}

/* How the guest got on with the process behind it. */
static json_t *vhost_user_json(struct net_backend *be)
{
	struct vhost_user_stats s;
	json_t *o = json_object();

	vhost_user_stats(be, &s);
	json_object_set_new(o, "connected", json_boolean(s.connected));
	json_object_set_new(o, "running", json_boolean(s.running));
	put(o, "connections", s.connections);
	put(o, "losses", s.losses);
	put(o, "protocol_errors", s.protocol_errors);
	put(o, "timeouts", s.timeouts);
	put(o, "refusals", s.refusals);
	put(o, "starts", s.starts);
	put(o, "replays", s.replays);
	put(o, "messages", s.messages);
	put(o, "announces", s.announces);
	put(o, "ring_errors", s.ring_errors);
	json_object_set_new(o, "last_reason", json_string(s.last_reason));
	return o;
}

static json_t *e1000_json(const struct net_option *opt, struct e1000 *n)
{
	json_t *o = json_object();
	struct e1000_stats s;
	char in_guest[16];

	e1000_stats(n, &s);
	snprintf(in_guest, sizeof(in_guest), "0000:00:%02x.0", e1000_devfn(n) >> 3);
	json_object_set_new(o, "kind", json_string(net_kind_name(opt)));
	json_object_set_new(o, "model", json_string("e1000"));
	json_object_set_new(o, "name", json_string(opt->arg));
	json_object_set_new(o, "guest_bdf", json_string(in_guest));
	put(o, "rx_packets", s.rx_packets);
	put(o, "rx_bytes", s.rx_bytes);
	put(o, "rx_dropped", s.rx_dropped);
	put(o, "tx_packets", s.tx_packets);
	put(o, "tx_bytes", s.tx_bytes);
	put(o, "tx_dropped", s.tx_dropped);
	put(o, "kicks", s.kicks);
	put(o, "irqs", s.irqs);
	put(o, "resets", s.resets);
	put(o, "bad_rings", s.bad_rings);
	put(o, "bad_dma", s.bad_dma);
	return o;
}

static json_t *net_json(const struct guest *g)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < g->opt->n_net; i++) {
		const struct net_option *opt = &g->opt->net[i];
		struct vnet_stats s;
		char in_guest[16];
		json_t *o;

		if (g->e1000[i])
			json_array_append_new(list, e1000_json(opt, g->e1000[i]));
		if (!g->net[i])
			continue;
		vnet_stats(g->net[i], &s);
		snprintf(in_guest, sizeof(in_guest), "0000:00:%02x.0", vnet_devfn(g->net[i]) >> 3);
		o = json_object();
		json_object_set_new(o, "kind", json_string(net_kind_name(opt)));
		json_object_set_new(o, "model", json_string("virtio"));
		json_object_set_new(o, "name", json_string(opt->arg));
		json_object_set_new(o, "guest_bdf", json_string(in_guest));
		put(o, "features", s.features);
		put(o, "pairs", s.pairs);
		put(o, "rx_packets", s.data.rx_packets);
		put(o, "rx_bytes", s.data.rx_bytes);
		put(o, "rx_dropped", s.data.rx_dropped);
		put(o, "tx_packets", s.data.tx_packets);
		put(o, "tx_bytes", s.data.tx_bytes);
		put(o, "tx_dropped", s.data.tx_dropped);
		put(o, "kicks", s.data.kicks);
		put(o, "calls", s.data.calls);
		put(o, "trapped_kicks", s.trapped_kicks);
		put(o, "commands", s.commands);
		put(o, "command_errors", s.command_errors);
		put(o, "needs_reset", s.broken);
		if (net_option_lends_memory(opt))
			json_object_set_new(
				o, "vhost_user", vhost_user_json(vnet_backend(g->net[i])));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *stats_json(struct guest *g, const char *end, int status)
{
	json_t *root = json_object(), *o;
	struct ioas_stats io = {0};
	struct irq_stats irq;
	uint64_t irqfd = 0;

	json_object_set_new(root, "name", json_string(g->opt->name));
	json_object_set_new(root, "end", json_string(end));
	put(root, "exit_status", (uint64_t)status);
	put(root, "reboots", g->reboots);

	o = json_object();
	json_object_set_new(o, "load", ms(g->t.load));
	json_object_set_new(o, "devices", ms(g->t.devices));
	json_object_set_new(o, "dma_map", ms(g->t.dma_map));
	json_object_set_new(o, "first_run", ms(g->t.first_run));
	json_object_set_new(o, "total", ms((g->t.end ? g->t.end : run_now()) - g->t.start));
	json_object_set_new(root, "phases_ms", o);

	json_object_set_new(root, "host", info_host_json(g));
	json_object_set_new(root, "exits", exits_json(g->vm));
	json_object_set_new(root, "kvm", kvm_json(g->vm));

	json_object_set_new(root, "assigned", assigned_json(g, &irqfd));
	json_object_set_new(root, "net", net_json(g));
	irq_router_stats(g->vm->irq, &irq);
	o = json_object();
	put(o, "irqfd", irqfd);
	put(o, "own", irq.sent);
	json_object_set_new(root, "remap", remap_json(g));
	put(o, "routes", irq.routes);
	put(o, "routes_refused", irq.refused);
	put(o, "route_commits", irq.route_commits);
	put(o, "irqfd_calls", irq.irqfd_calls);
	json_object_set_new(root, "interrupts", o);

	for (unsigned int i = 0; i < g->n_ioas; i++) {
		struct ioas_stats one;

		ioas_stats(g->ioas[i], &one);
		io.map_calls += one.map_calls;
		io.map_bytes += one.map_bytes;
		io.unmap_calls += one.unmap_calls;
	}
	o = json_object();
	put(o, "map_calls", io.map_calls);
	put(o, "map_bytes", io.map_bytes);
	put(o, "unmap_calls", io.unmap_calls);
	put(o, "faults", g->dma_faults);
	json_object_set_new(root, "dma", o);

	json_object_set_new(root, "rss_kb", rss_json());
	return root;
}

int stats_write(struct stats_file *s, struct guest *g, const char *end, int status, struct err *e)
{
	json_t *root = stats_json(g, end, status);
	int fd = stats_create(s, e), r;

	if (fd < 0) {
		json_decref(root);
		return fd;
	}
	errno = 0;
	r = root ? json_dumpfd(root, fd, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : -1;
	if (r == 0 && write(fd, "\n", 1) != 1)
		r = -1;
	if (r < 0)
		r = err_sys(e, errno ? errno : EIO, "--stats: write %s", s->tmp);
	else if (rename(s->tmp, s->path) < 0)
		r = err_sys(e, errno, "--stats: rename %s to %s", s->tmp, s->path);
	close(fd);
	json_decref(root);
	if (r < 0)
		unlink(s->tmp);
	return r;
}
