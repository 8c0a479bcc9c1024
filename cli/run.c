// SPDX-License-Identifier: GPL-2.0-or-later
/* `viaduct run`: arguments, the event loop, exit status. */
#include "cli/run.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <systemd/sd-event.h>

#include "cli/guest_socket.h"
#include "cli/output.h"
#include "cli/run_control.h"
#include "cli/run_info.h"
#include "common/cleanup.h"
#include "common/dmafault.h"
#include "common/log.h"

#define MIB (1024ull * 1024)

enum {
	OPT_KERNEL = 256,
	OPT_INITRD,
	OPT_CMDLINE,
	OPT_CPUS,
	OPT_MEMORY,
	OPT_MEMORY_LOW,
	OPT_HUGE,
	OPT_ASSIGN,
	OPT_NET,
	OPT_NAME,
	OPT_STATS,
	OPT_NO_REBOOT,
	OPT_KASLR,
	OPT_IRQ_REMAP,
	OPT_APIC_IDS,
	OPT_UNSAFE_INTERRUPTS,
	OPT_UNSAFE_ISOLATION,
	OPT_ON_DEVICE_ERROR,
	OPT_ON_DEVICE_REQUEST,
	OPT_DEVICE_TIMEOUT
};

static const struct argp_option options[] = {
	{"kernel", OPT_KERNEL, "FILE", 0, "bzImage, or ELF with a PVH note (required)", 0},
	{"initrd", OPT_INITRD, "FILE", 0, "Initial RAM disk", 0},
	{"cmdline", OPT_CMDLINE, "TEXT", 0, "Kernel command line (default: console=ttyS0)", 0},
	{"cpus", OPT_CPUS, "N", 0, "Virtual CPUs (default: 1)", 0},
	{"memory", OPT_MEMORY, "MIB", 0,
		"Guest memory, MiB; a suffix M or G is taken (default: 256)", 0},
	{"memory-below-4g", OPT_MEMORY_LOW, "MIB", 0,
		"At most this much of it below 4 GiB, the rest above (default: 3072)", 0},
	{"hugepages", OPT_HUGE, NULL, 0, "Guest memory from 2 MiB pages", 0},
	{"assign", OPT_ASSIGN, "BDF[,BDF...]|pool=NAME[,numa=prefer|strict]", 0,
		"Give the guest this PCI function, bound to vfio-pci, or a free one of a pool; may "
		"be repeated",
		0},
	{"unsafe-interrupts", OPT_UNSAFE_INTERRUPTS, NULL, 0,
		"Assign functions although this host does not remap interrupts: a guest can then "
		"attack the host with them",
		0},
	{"unsafe-isolation", OPT_UNSAFE_ISOLATION, NULL, 0,
		"Assign functions that ports without ACS let reach others past the IOMMU", 0},
	{"on-device-error", OPT_ON_DEVICE_ERROR, "WHAT", 0,
		"When an assigned function reports an uncorrectable error: isolate it, or stop the "
		"guest (default: isolate)",
		0},
	{"on-device-request", OPT_ON_DEVICE_REQUEST, "WHAT", 0,
		"When the host wants an assigned function back: detach it, or shutdown the guest "
		"(default: detach)",
		0},
	{"device-timeout", OPT_DEVICE_TIMEOUT, "SECONDS", 0,
		"How long a guest may take for that shutdown before it is ended (default: 30)", 0},
	{"net", OPT_NET, "KIND=ARG[,mac=][,model=][,queues=][,mtu=][,mode=][,packed=off]...", 0,
		"Give the guest a network device, virtio or with model=e1000 an Intel 82540EM, on "
		"a "
		"tap interface (tap=NAME) or a switch's socket (vhost-user=PATH); may be repeated",
		0},
	{"irq-remap", OPT_IRQ_REMAP, "off|on|on,dma=passthrough", 0,
		"Give the guest a remapping unit (VT-d) for its interrupts (default: on); "
		"dma=passthrough: its DMA side, too, for guests that turn it on with "
		"pass-through "
		"(Linux: intel_iommu=on iommu=pt)",
		0},
	{"apic-ids", OPT_APIC_IDS, "ID[,ID...]", 0,
		"APIC ids of the virtual CPUs, one each (default: 0,1,...); above 254 the guest "
		"needs --irq-remap",
		0},
	{"name", OPT_NAME, "NAME", 0,
		"Name of the guest, by which `viaduct info` finds it; no two running ones of a "
		"user have the same (default: guest)",
		0},
	{"stats", OPT_STATS, "FILE", 0, "Write figures as JSON at exit, and on SIGUSR1", 0},
	{"kaslr", OPT_KASLR, NULL, 0,
		"Let a bzImage unpack itself: slower, but the guest kernel's address is random", 0},
	{"no-reboot", OPT_NO_REBOOT, NULL, 0, "Exit with status 4 when the guest reboots", 0},
	{0},
};

/* "512", "512M" or "2G" into bytes. */
static int size_parse(const char *s, uint64_t *ret)
{
	uint64_t unit = MIB, v;
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end == 'G' || *end == 'g')
		unit = 1024 * MIB;
	if (*end && strchr("MmGg", *end))
		end++;
	if (*end || __builtin_mul_overflow(v, unit, ret))
		return -EINVAL;
	return 0;
}

static void assign_parse(struct run_options *o, const char *arg, struct argp_state *state)
{
	struct err e = {0};

	if (assign_option_parse(arg, o->assign, &o->n_assign, &e) < 0)
		argp_error(state, "--assign: %s", e.text);
}

static void apic_ids_parse(struct run_options *o, const char *arg, struct argp_state *state)
{
	const char *p = arg;
	unsigned long v;
	char *end;

	o->n_apic_ids = 0;
	for (;;) {
		errno = 0;
		v = strtoul(p, &end, 10);
		if (*p < '0' || *p > '9' || errno || v > UINT32_MAX - 1 || (*end && *end != ','))
			argp_error(state, "--apic-ids: '%s' is not a list such as 0,300", arg);
		if (o->n_apic_ids == RUN_MAX_APIC_IDS)
			argp_error(state, "--apic-ids: at most %u", RUN_MAX_APIC_IDS);
		o->apic_ids[o->n_apic_ids++] = (uint32_t)v;
		if (!*end)
			break;
		p = end + 1;
	}
}

static void irq_remap_parse(struct run_options *o, const char *arg, struct argp_state *state)
{
	static const struct {
		const char *text;
		bool irq, dma;
	} words[] = {
		{"on", true, false},
		{"off", false, false},
		{"on,dma=passthrough", true, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(arg, words[i].text)) {
			o->irq_remap = words[i].irq;
			o->dma_remap = words[i].dma;
			return;
		}
	argp_error(state,
		"--irq-remap: off, on, or on,dma=passthrough (without the unit there is no DMA "
		"side), not '%s'",
		arg);
}

/* What the options say only together. */
static void options_check(const struct run_options *o, struct argp_state *state)
{
	if (o->n_apic_ids && o->n_apic_ids != o->cpus)
		argp_error(
			state, "--apic-ids: %u ids for %u CPUs (--cpus)", o->n_apic_ids, o->cpus);
	for (unsigned int i = 0; i < o->n_apic_ids && !o->irq_remap; i++)
		if (o->apic_ids[i] > 254)
			argp_error(state,
				"--apic-ids: no device interrupt reaches %u without --irq-remap on",
				o->apic_ids[i]);
}

static void net_parse(struct run_options *o, const char *arg, struct argp_state *state)
{
	struct err e = {0};

	if (o->n_net == RUN_MAX_NET)
		argp_error(state, "--net: at most %u devices", RUN_MAX_NET);
	if (net_option_parse(arg, &e, &o->net[o->n_net]) < 0)
		argp_error(state, "--net: %s", e.text);
	o->n_net++;
}

static enum device_policy policy_parse(const char *option, const char *arg, const char *go_on,
	const char *end, struct argp_state *state)
{
	if (strcmp(arg, go_on) && strcmp(arg, end))
		argp_error(state, "%s: %s or %s, not '%s'", option, go_on, end, arg);
	return strcmp(arg, end) ? DEVICE_LET_GO : DEVICE_END;
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct run_options *o = state->input;
	char *end;
	unsigned long v;

	switch (key) {
	case OPT_KERNEL: o->kernel = arg; break;
	case OPT_INITRD: o->initrd = arg; break;
	case OPT_CMDLINE: o->cmdline = arg; break;
	case OPT_CPUS:
		errno = 0;
		v = strtoul(arg, &end, 10);
		if (*arg < '0' || *arg > '9' || *end || errno || v < 1 || v > 4096)
			argp_error(state, "--cpus: '%s' is not a number from 1 up", arg);
		o->cpus = (unsigned int)v;
		break;
	case OPT_MEMORY:
		if (size_parse(arg, &o->memory) < 0)
			argp_error(
				state, "--memory: '%s' is not a size in MiB (or with M or G)", arg);
		if (!o->memory)
			argp_error(state, "--memory: a guest needs memory; 0 is none");
		break;
	case OPT_MEMORY_LOW:
		if (size_parse(arg, &o->memory_low) < 0 || !o->memory_low ||
			o->memory_low > 3072 * MIB)
			argp_error(state,
				"--memory-below-4g: '%s' is not a size from 1 to 3072 MiB", arg);
		break;
	case OPT_HUGE: o->hugepages = true; break;
	case OPT_ASSIGN: assign_parse(o, arg, state); break;
	case OPT_ON_DEVICE_ERROR:
		o->on_device_error =
			policy_parse("--on-device-error", arg, "isolate", "stop", state);
		break;
	case OPT_ON_DEVICE_REQUEST:
		o->on_device_request =
			policy_parse("--on-device-request", arg, "detach", "shutdown", state);
		break;
	case OPT_DEVICE_TIMEOUT:
		errno = 0;
		v = strtoul(arg, &end, 10);
		if (*arg < '0' || *arg > '9' || *end || errno || v < 1 || v > DEVICE_TIMEOUT_MAX)
			argp_error(state, "--device-timeout: '%s' is not a number from 1 to %u",
				arg, DEVICE_TIMEOUT_MAX);
		o->device_timeout = (unsigned int)v;
		break;
	case OPT_NET: net_parse(o, arg, state); break;
	case OPT_NAME:
		if (!guest_name_valid(arg))
			argp_error(state,
				"--name: '%s': use letters, digits, '-', '_' and '.', at most 64",
				arg);
		o->name = arg;
		o->named = true;
		break;
	case OPT_STATS: o->stats = arg; break;
	case OPT_UNSAFE_INTERRUPTS: o->unsafe_interrupts = true; break;
	case OPT_UNSAFE_ISOLATION: o->unsafe_isolation = true; break;
	case OPT_KASLR: o->kaslr = true; break;
	case OPT_IRQ_REMAP: irq_remap_parse(o, arg, state); break;
	case OPT_APIC_IDS: apic_ids_parse(o, arg, state); break;
	case OPT_NO_REBOOT: o->no_reboot = true; break;
	case ARGP_KEY_ARG: argp_error(state, "'%s' is not an option", arg); break;
	case ARGP_KEY_END:
		options_check(o, state);
		if (!o->kernel)
			argp_error(state, "--kernel FILE is missing");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const char doc[] =
	"Run a guest under KVM, with PCI functions assigned through VFIO.\v"
	"The guest's serial console is on standard input and output. On a terminal, Ctrl-A x "
	"ends the guest and Ctrl-A Ctrl-A sends one Ctrl-A.\n\n"
	"Exit status: 0 guest powered off, 1 it could not be started, 2 wrong usage, 3 guest "
	"crashed (triple fault), 4 guest rebooted and --no-reboot was given, 5 KVM could not "
	"go on, 6 ended by the escape key, 7 an assigned device reported an error and "
	"--on-device-error stop was given, 8 the host wanted a device back and the guest did not "
	"shut down in time, 128+N ended by signal N.";

/* ---- the event loop ---- */

struct run {
	struct guest guest;
	struct run_devices devices;
	struct run_options *opt;
	char own_name[GUEST_NAME_MAX + 1];
	struct stats_file *stats;
	sd_event *event;
	sd_event_source *stdin_source;
	struct guest_name name;
	struct control *control; /* NULL: the guest has no name that others find */
	struct run_info info;
	int kmsg_fd;
	bool quit; /* someone outside wants the end: a guest that reboots just now must not go on */
	int status;
	/* bytes read from stdin that the UART had no room for yet */
	uint8_t input[256];
	size_t input_len;
};

static const char *end_name(enum vm_end end)
{
	switch (end) {
	case VM_END_NONE: return "running";
	case VM_END_POWEROFF: return "poweroff";
	case VM_END_REBOOT: return "reboot";
	case VM_END_CRASH: return "crash";
	case VM_END_STOPPED: return "stopped";
	case VM_END_ERROR: return "error";
	}
	return "?";
}

static void say(const struct run *r, const char *text)
{
	fprintf(stderr, "viaduct run: %s: %s\n", r->opt->name, text);
}

/* Stop the vCPUs; writers waiting for stdout must let go first. */
static enum vm_end guest_halt(struct run *r)
{
	console_stop(r->guest.console);
	return vm_join(r->guest.vm);
}

static int on_end(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct run *r = ctx;
	struct err e = {0};
	enum vm_end end = guest_halt(r);

	if (end == VM_END_REBOOT && (r->quit || run_devices_ending(&r->devices)))
		return sd_event_exit(r->event, 0);
	if (end == VM_END_REBOOT && !r->opt->no_reboot) {
		int ret = guest_restart(&r->guest, &e);

		if (ret == 0 || ret == -ECANCELED)
			return 0;
		say(r, e.text);
		r->status = RUN_START_FAILED;
		return sd_event_exit(r->event, 0);
	}
	switch (end) {
	case VM_END_POWEROFF: r->status = RUN_POWEROFF; break;
	case VM_END_REBOOT: r->status = RUN_REBOOT; break;
	case VM_END_CRASH:
		r->status = RUN_CRASH;
		err_set(&e, EIO, "the guest crashed: %s", vm_end_text(r->guest.vm));
		say(r, e.text);
		break;
	case VM_END_ERROR:
		r->status = RUN_KVM_ERROR;
		say(r, vm_end_text(r->guest.vm));
		break;
	case VM_END_STOPPED: /* status was set by who stopped it */
	case VM_END_NONE: break;
	}
	return sd_event_exit(r->event, 0);
}

static void run_quit(struct run *r, int status)
{
	r->quit = true;
	r->status = status;
	vm_stop(r->guest.vm, VM_END_STOPPED, NULL);
}

static void on_device_quit(void *ctx, int status)
{
	run_quit(ctx, status);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *ctx)
{
	run_quit(ctx, RUN_SIGNAL + (int)si->ssi_signo);
	return 0;
}

static int on_usr1(sd_event_source *s, const struct signalfd_siginfo *si, void *ctx)
{
	struct run *r = ctx;
	struct err e = {0};

	if (r->stats && stats_write(r->stats, &r->guest, end_name(VM_END_NONE), 0, &e) < 0)
		say(r, e.text);
	return 0;
}

/* Give the UART what we hold; returns true when all of it was taken. */
static bool input_flush(struct run *r)
{
	size_t n = uart_input(r->guest.uart, r->input, r->input_len);

	r->input_len -= n;
	memmove(r->input, r->input + n, r->input_len);
	return r->input_len == 0;
}

static int on_stdin(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct run *r = ctx;
	enum console_key key;
	int n;

	n = console_read(r->guest.console, r->input, sizeof(r->input), &key);
	if (n < 0) /* the end of it, or it cannot be read: there is no more to come */
		return sd_event_source_set_enabled(s, SD_EVENT_OFF);
	if (key == CONSOLE_QUIT) {
		run_quit(r, RUN_QUIT);
		return 0;
	}
	r->input_len = (size_t)n;
	/* Read on only when the guest has taken these: that is the flow control. */
	if (!input_flush(r))
		return sd_event_source_set_enabled(s, SD_EVENT_OFF);
	return 0;
}

/* The UART's FIFO was drained by the guest. */
static int on_room(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct run *r = ctx;
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return 0;
	if (r->stdin_source && input_flush(r))
		return sd_event_source_set_enabled(r->stdin_source, SD_EVENT_ON);
	return 0;
}

static void fault_say(const char *name, const struct dma_fault *f)
{
	char a[BDF_STRLEN];

	bdf_format(f->bdf, a);
	if (f->interrupt)
		fprintf(stderr,
			"viaduct run: %s: %s: the IOMMU blocked an interrupt message for entry "
			"0x%" PRIx64 " (reason 0x%x): not one of its own\n",
			name, a, f->iova, f->reason);
	else
		fprintf(stderr,
			"viaduct run: %s: %s: the IOMMU blocked a DMA %s at iova 0x%" PRIx64
			" (reason 0x%x): outside the guest's memory\n",
			name, a, f->write ? "write" : "read", f->iova, f->reason);
}

static int on_kmsg(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct run *r = ctx;
	struct guest *g = &r->guest;
	struct dma_fault f;
	char line[1024];

	while (kmsg_next(fd, line, sizeof(line)) > 0) {
		if (!dma_fault_parse(line, &f))
			continue;
		for (unsigned int i = 0; i < r->opt->n_assign; i++) {
			if (!bdf_equal(f.bdf, assigned_bdf(g->assigned[i])))
				continue;
			g->dma_faults++;
			if (!f.interrupt && assigned_dma_fault(g->assigned[i], f.iova, f.write))
				continue;
			/* The first ones tell the story; a guest must not fill the log. */
			if (g->dma_faults <= 16)
				fault_say(r->opt->name, &f);
		}
	}
	return 0;
}

static const int stops[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

/*
 * While a kernel is unpacked or a switch waited for, the event loop does not run. Signals are
 * blocked, so they wait; those that mean the end are left to the loop.
 */
static bool interrupted(void *ctx)
{
	const struct timespec now = {0};
	sigset_t usr1, pending;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	if (sigtimedwait(&usr1, NULL, &now) == SIGUSR1)
		on_usr1(NULL, NULL, ctx);
	if (run_devices_poll(&((struct run *)ctx)->devices))
		return true;
	sigpending(&pending);
	for (size_t i = 0; i < ARRAY_SIZE(stops); i++) {
		if (sigismember(&pending, stops[i]))
			return true;
	}
	return false;
}

static int run_sources(struct run *r)
{
	int ret;

	for (size_t i = 0; i < ARRAY_SIZE(stops); i++) {
		ret = sd_event_add_signal(r->event, NULL, stops[i], on_signal, r);
		if (ret < 0)
			return ret;
	}
	ret = sd_event_add_signal(r->event, NULL, SIGUSR1, on_usr1, r);
	if (ret < 0)
		return ret;
	ret = sd_event_add_io(r->event, NULL, vm_end_fd(r->guest.vm), EPOLLIN, on_end, r);
	if (ret < 0)
		return ret;
	ret = sd_event_add_io(r->event, NULL, r->guest.room_fd, EPOLLIN, on_room, r);
	if (ret < 0)
		return ret;
	/* A regular file or /dev/null cannot be polled: EPERM. Such input is not read. */
	ret = sd_event_add_io(r->event, &r->stdin_source, STDIN_FILENO, EPOLLIN, on_stdin, r);
	if (ret < 0 && ret != -EPERM)
		return ret;
	if (r->opt->n_assign) {
		r->kmsg_fd = kmsg_open();
		if (r->kmsg_fd >= 0) {
			ret = sd_event_add_io(r->event, NULL, r->kmsg_fd, EPOLLIN, on_kmsg, r);
			if (ret < 0)
				return ret;
		} else {
			log_info("kernel log not readable (%s): DMA faults are not reported",
				strerror(-r->kmsg_fd));
		}
	}
	return 0;
}

/*
 * The name, before anything is touched. Whoever was given none and may have none goes on without:
 * he is not found then, and that is all.
 */
static int run_name(struct run *r, struct err *e)
{
	int dir = guest_dir_open(true, e), ret;

	if (dir < 0) {
		log_info("%s: `viaduct info` will not find this guest", e->text);
		return 0;
	}
	ret = guest_name_take(dir, r->opt->name, e, &r->name);
	if (ret == -EEXIST && !r->opt->named) {
		snprintf(r->own_name, sizeof(r->own_name), "guest-%d", (int)getpid());
		r->opt->name = r->own_name;
		ret = guest_name_take(dir, r->opt->name, e, &r->name);
	}
	if (ret == 0)
		return 0;
	fd_close(dir);
	if (ret == -EEXIST)
		return ret;
	log_info("%s: `viaduct info` will not find this guest", e->text);
	return 0;
}

static int run_control(struct run *r, struct err *e)
{
	r->info = (struct run_info){.guest = &r->guest};
	if (r->name.listen_fd < 0)
		return 0;
	if (control_create(
		    r->event, r->name.listen_fd, run_info_methods, &r->info, e, &r->control) < 0)
		return -e->code;
	r->info.control = r->control;
	return 0;
}

static int run_guest(struct run *r)
{
	struct err e = {0};
	int ret;

	ret = run_name(r, &e);
	if (ret < 0)
		goto fail;
	ret = sd_event_new(&r->event);
	if (ret < 0) {
		err_sys(&e, -ret, "make the event loop");
		goto fail;
	}
	if (r->opt->stats) {
		ret = stats_open(r->opt->stats, &e, &r->stats);
		if (ret < 0)
			goto fail;
	}
	ret = guest_init(&r->guest, r->opt, &e);
	if (ret < 0)
		goto fail;
	ret = run_sources(r);
	if (ret < 0) {
		err_sys(&e, -ret, "watch signals and console");
		goto fail;
	}
	r->devices = (struct run_devices){.guest = &r->guest, .quit = on_device_quit, .ctx = r};
	ret = run_control(r, &e);
	if (ret < 0)
		goto fail;
	r->guest.interrupted = interrupted;
	r->guest.interrupted_ctx = r;
	ret = guest_start(&r->guest, &e);
	/* Given up for a signal: the loop takes it, and ends. */
	if (ret < 0 && ret != -ECANCELED)
		goto fail;
	if (ret == 0 && console_is_tty(r->guest.console))
		fprintf(stderr, "viaduct run: %s: running; Ctrl-A x ends it\n", r->opt->name);
	ret = run_devices_watch(&r->devices, r->event, &e);
	if (ret < 0)
		goto fail;
	ret = sd_event_loop(r->event);
	if (ret < 0) {
		err_sys(&e, -ret, "run the event loop");
		goto fail;
	}
	guest_halt(r);
	r->guest.t.end = run_now();
	if (r->kmsg_fd >= 0)
		on_kmsg(NULL, r->kmsg_fd, 0, r);
	if (r->stats && stats_write(r->stats, &r->guest, end_name((enum vm_end)r->guest.vm->end),
				r->status, &e) < 0)
		goto fail;
	return r->status;
fail:
	if (r->guest.console)
		console_leave(r->guest.console);
	say(r, e.text);
	return RUN_START_FAILED;
}

/* An assigned function may have 2048 vectors, an eventfd each. */
static void raise_fd_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

int main(int argc, char **argv)
{
	struct run_options opt = {
		.name = "guest",
		.cmdline = "console=ttyS0",
		.cpus = 1,
		.irq_remap = true,
		.memory = 256 * MIB,
		.device_timeout = DEVICE_TIMEOUT_DEFAULT,
	};
	static const struct argp argp = {options, parse_opt, NULL, doc, NULL, NULL, NULL};
	struct run r = {
		.opt = &opt,
		.name = {.dir_fd = -1, .lock_fd = -1, .listen_fd = -1},
		.kmsg_fd = -1,
	};
	char comm[16];
	sigset_t set;
	int status;

	r.guest.t.start = run_now();
	argp_err_exit_status = RUN_USAGE;
	output_guard("viaduct run");
	argp_parse(&argp, argc, argv, 0, NULL, &opt);

	/* Who holds a device is told by this name: let it be the guest's. */
	snprintf(comm, sizeof(comm), "viaduct:%s", opt.name);
	prctl(PR_SET_NAME, comm);
	/* Blocked before any thread exists: all of them inherit it, the event loop reads them. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_fd_limit();

	status = run_guest(&r);
	/* Nobody asks a guest that is taken apart; its name is free when all of it is gone. */
	control_destroy(r.control);
	r.name.listen_fd = fd_close(r.name.listen_fd);
	guest_finish(&r.guest);
	guest_name_drop(&r.name);
	stats_close(r.stats);
	fd_close(r.kmsg_fd);
	run_devices_finish(&r.devices);
	sd_event_unref(r.event);
	for (unsigned int i = 0; i < opt.n_net; i++)
		net_option_finish(&opt.net[i]);
	return status;
}
