// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The monitor's messages and its comparing. The input is a list of steps: a message as bytes, or what
 * a small machine of one PF and its VFs looks like when it is read again. A listener keeps a picture of
 * the machine from the events alone; after each step it must be what the monitor knows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vf-manager/internal.h"
#include "vf-manager/monitor_state.h"

#define N 4 /* the PF, 0000:01:00.0, and its VFs at .1 to .3 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct picture {
	bool there, leased, stale;
	char driver[VFM_NAME_MAX], netdev[VFM_NAME_MAX], link[16];
	unsigned num_vfs;
	uint32_t max_rate;
};

struct input {
	const uint8_t *p;
	size_t left;
};

static void check(bool held, const char *what)
{
	if (held)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static uint8_t take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static struct bdf address(unsigned i)
{
	return (struct bdf){0, 1, 0, (uint8_t)i};
}

/* --- the listener --- */

static void take_over(struct picture *p, const struct vfm_watched *f)
{
	snprintf(p->netdev, sizeof(p->netdev), "%s", f->netdev);
	snprintf(p->link, sizeof(p->link), "%s", f->link);
}

static void on_event(void *arg, const struct vfm_event *ev)
{
	struct picture *p = arg;

	if (!ev->has_bdf)
		return;
	check(ev->bdf.dev < 32 && ev->bdf.fn < 8, "an address that cannot be");
	if (ev->kind == VFM_EVENT_DMA_FAULT || ev->kind == VFM_EVENT_LOG) {
		for (const char *c = ev->text; *c; c++)
			check(*c >= ' ' && *c <= '~', "text that cannot be printed");
		return;
	}
	check(ev->bdf.domain == 0 && ev->bdf.bus == 1 && ev->bdf.dev == 0 && ev->bdf.fn < N,
		"an event of a function that never was");
	p += ev->bdf.fn;
	switch (ev->kind) {
	case VFM_EVENT_ADD:
		check(!p->there, "added twice");
		p->there = true;
		p->max_rate = ev->function->settings.max_rate;
		break;
	case VFM_EVENT_REMOVE:
		check(p->there, "removed twice");
		check(!*p->driver && !*p->netdev, "removed with a driver or an interface");
		p->there = false;
		p->num_vfs = 0;
		p->max_rate = 0;
		break;
	case VFM_EVENT_VFS:
		check(p->num_vfs == (unsigned)atoi(ev->before), "another number before");
		p->num_vfs = (unsigned)atoi(ev->after);
		break;
	case VFM_EVENT_BIND:
		check(!*p->driver, "bound twice");
		check(name_is_plain(ev->name), "a driver's name that is none");
		snprintf(p->driver, sizeof(p->driver), "%s", ev->name);
		break;
	case VFM_EVENT_UNBIND:
		check(!strcmp(p->driver, ev->name), "unbound from another driver");
		*p->driver = '\0';
		break;
	case VFM_EVENT_INTERFACE:
		check(!strcmp(p->netdev, ev->before), "another interface before");
		check(!*ev->after || name_is_plain(ev->after), "an interface's name that is none");
		take_over(p, ev->function);
		break;
	case VFM_EVENT_LINK:
		check(!strcmp(p->link, ev->before), "another link before");
		snprintf(p->link, sizeof(p->link), "%s", ev->after);
		break;
	case VFM_EVENT_SETTING:
		check(!strcmp(ev->name, "max-rate"), "a setting that never changed");
		check(p->max_rate == (uint32_t)atol(ev->before), "another rate before");
		p->max_rate = (uint32_t)atol(ev->after);
		break;
	case VFM_EVENT_SETTINGS: p->max_rate = ev->function->settings.max_rate; break;
	case VFM_EVENT_LEASE_TAKEN:
		p->leased = true;
		p->stale = false;
		break;
	case VFM_EVENT_LEASE_FREED:
		check(p->leased, "freed twice");
		p->leased = p->stale = false;
		break;
	case VFM_EVENT_LEASE_STALE:
		check(p->leased && !p->stale, "stale twice");
		p->stale = true;
		break;
	case VFM_EVENT_MAC:
	case VFM_EVENT_SNAPSHOT:
	case VFM_EVENT_LOST:
	case VFM_EVENT_DMA_FAULT:
	case VFM_EVENT_LOG:
	case VFM_EVENT_COUNT: break;
	}
}

static void compare(struct monitor_state *s, const struct picture *p)
{
	size_t n = 0;

	for (unsigned i = 0; i < N; i++) {
		const struct vfm_watched *f = monitor_find(s, address(i));
		bool leased = false, stale = false;

		n += f != NULL;
		check(p[i].there == (f != NULL), "the picture has another function");
		for (size_t l = 0; l < s->n_leases; l++) {
			if (!bdf_equal(s->lease[l].bdf, address(i)))
				continue;
			leased = true;
			stale = !s->lease[l].held;
		}
		check(p[i].leased == leased && p[i].stale == stale,
			"the picture has another lease");
		if (!f)
			continue;
		check(!strcmp(p[i].driver, f->driver), "the picture has another driver");
		check(!strcmp(p[i].netdev, f->netdev), "the picture has another interface");
		check(!strcmp(p[i].link, f->link), "the picture has another link");
		check(p[i].num_vfs == f->num_vfs, "the picture has another number of VFs");
		check(p[i].max_rate == f->settings.max_rate, "the picture has another rate");
	}
	check(n == s->n, "the monitor knows of more");
}

/* --- the machine --- */

static void machine_read(struct monitor_state *s, struct input *in)
{
	static const char *const drivers[] = {"", "igbvf", "vfio-pci", "igb"};
	static const char *const links[] = {"", "up", "down", "unknown"};
	struct vfm_watched f[N] = {0};
	uint8_t which = take(in);
	size_t n = 0;

	for (unsigned i = 0; i < N; i++) {
		uint8_t what = take(in);

		if (!(which & 1 << i))
			continue;
		f[n] = (struct vfm_watched){
			.bdf = address(i),
			.kind = i ? VFM_VF : VFM_PF,
			.pf = address(0),
			.index = i ? (int)i - 1 : -1,
			.num_vfs = i ? 0 : which >> 6,
		};
		snprintf(f[n].driver, sizeof(f[n].driver), "%s", drivers[what & 3]);
		if (what & 4) {
			snprintf(f[n].netdev, sizeof(f[n].netdev), "eth%d", what >> 6);
			f[n].ifindex = 10 + (int)i;
			snprintf(f[n].link, sizeof(f[n].link), "%s", links[what >> 3 & 3]);
		}
		if (i && what & 32)
			f[n].settings = (struct vfm_settings){
				.set = VFM_BIT(MAX_RATE), .max_rate = what >> 6};
		n++;
	}
	monitor_family(s, address(0), f, n);
}

static void leases_read(struct monitor_state *s, struct input *in)
{
	struct vfm_lease *l = calloc(N, sizeof(*l));
	uint8_t which = take(in), held = take(in);
	size_t n = 0;

	if (!l)
		return;
	for (unsigned i = 0; i < N; i++) {
		if (!(which & 1 << i))
			continue;
		l[n] = (struct vfm_lease){.bdf = address(i),
			.pid = 1 + (which >> 4 & 3),
			.held = held & 1 << i,
			.owner = "vm"};
		n++;
	}
	monitor_leases(s, l, n);
}

/* A message of its exact size, so that a byte read past it is noticed. */
static void message(struct monitor_state *s, struct input *in, unsigned kind)
{
	size_t len = take(in) | (size_t)(take(in) & 3) << 8;
	struct holder holder = {0};
	struct klog_record k;
	struct link_note note;
	struct uevent u;
	struct bdf root;
	size_t at = 0;
	char *buf;

	len = len < in->left ? len : in->left;
	buf = malloc(len ? len : 1);
	if (!buf)
		return;
	memcpy(buf, in->p, len);
	in->p += len;
	in->left -= len;
	if (kind == 0 && uevent_parse(buf, len, &u))
		monitor_uevent(s, &u, &root);
	while (kind == 1 && link_note_next(buf, len, &at, &note))
		monitor_link(s, &note, &root);
	if (kind == 2 && klog_record_parse(buf, len, &k))
		monitor_klog(s, &k, NULL, &holder);
	free(buf);
}

/* One that is in order, about a function of the machine. */
static void uevent_made(struct monitor_state *s, struct input *in)
{
	static const char *const actions[] = {"add", "remove", "bind", "unbind"};
	uint8_t what = take(in);
	struct uevent u;
	struct bdf root;
	char buf[128];
	int n = snprintf(buf, sizeof(buf),
		"x@/x%cACTION=%s%cSUBSYSTEM=pci%cDRIVER=%s%cPCI_SLOT_NAME=0000:01:00.%d", 0,
		actions[what & 3], 0, 0, what & 4 ? "igbvf" : "vfio-pci", 0, what >> 3 & 3);

	check(uevent_parse(buf, (size_t)n + 1, &u), "a message in order is not read");
	monitor_uevent(s, &u, &root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct picture picture[N] = {0};
	struct monitor_state s = {.live = true, .event = on_event, .arg = picture};
	struct input in = {data, size};

	while (in.left) {
		uint8_t step = take(&in);

		switch (step % 6) {
		case 0:
		case 1:
		case 2: message(&s, &in, step % 6); break;
		case 3: machine_read(&s, &in); break;
		case 4: leases_read(&s, &in); break;
		case 5: uevent_made(&s, &in); break;
		}
		compare(&s, picture);
	}
	monitor_state_finish(&s);
	return 0;
}
