// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf: SR-IOV functions from the command line. */
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "vf-manager/vfm.h"

/* docs/viaduct-vf.1 lists them. */
enum exit_code { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_IN_USE, EXIT_TIMED_OUT };

#define MAX_ARGS (1 + VFM_SETTING_COUNT)

struct args {
	const char *root, *run_dir;
	unsigned timeout_s;
	bool json, all, whole, quiet;
	const char *pos[MAX_ARGS];
	unsigned n;
	unsigned min, max; /* positional arguments wanted */
};

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
	signalled = sig;
}

enum { OPT_ROOT = 256, OPT_RUN_DIR, OPT_WHOLE };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;
	char *end;
	unsigned long n;

	switch (key) {
	case 'j': a->json = true; break;
	case 'a': a->all = true; break;
	case 'q': a->quiet = true; break;
	case OPT_WHOLE: a->whole = true; break;
	case OPT_ROOT: a->root = arg; break;
	case OPT_RUN_DIR: a->run_dir = arg; break;
	case 't':
		n = strtoul(arg, &end, 10);
		if (*end || *arg < '0' || *arg > '9' || n == 0 || n > 3600)
			argp_error(state, "--timeout takes 1 to 3600 seconds, not '%s'", arg);
		a->timeout_s = (unsigned)n;
		break;
	case ARGP_KEY_ARG:
		if (a->n >= a->max)
			argp_error(state, "'%s' is one argument too many", arg);
		a->pos[a->n++] = arg;
		break;
	case ARGP_KEY_END:
		if (a->n < a->min)
			argp_error(state, "an argument is missing");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

#define COMMON_OPTIONS                                                                           \
	{"timeout", 't', "SECONDS", 0, "wait this long for the kernel (default 60)", 8},         \
		{"quiet", 'q', NULL, 0, "say nothing but errors", 8},                            \
		{"run-dir", OPT_RUN_DIR, "DIR", 0, "keep state here (default " VFM_RUN_DIR ")",  \
			9},                                                                      \
		{"root", OPT_ROOT, "DIR", 0, "read sys, proc and dev below DIR (for tests)", 9}, \
	{                                                                                        \
		0                                                                                \
	}

static const struct argp_option list_options[] = {
	{"json", 'j', NULL, 0, "print JSON", 0},
	{"all", 'a', NULL, 0, "every PCI function, not SR-IOV ones alone", 0},
	COMMON_OPTIONS,
};
static const struct argp_option bind_options[] = {
	{"whole", OPT_WHOLE, NULL, 0, "also a function that is no VF: the host loses the device",
		0},
	COMMON_OPTIONS,
};
static const struct argp_option show_options[] = {
	{"json", 'j', NULL, 0, "print JSON", 0},
	COMMON_OPTIONS,
};
static const struct argp_option common_options[] = {COMMON_OPTIONS};

static int exit_code_of(int r)
{
	switch (-r) {
	case 0: return EXIT_DONE;
	case EBUSY: return EXIT_IN_USE;
	case ETIMEDOUT: return EXIT_TIMED_OUT;
	case EINTR: return signalled ? 128 + signalled : EXIT_FAILED;
	default: return EXIT_FAILED;
	}
}

static int fail(int r, const struct err *e)
{
	fprintf(stderr, "viaduct vf: %s\n", e->text);
	return exit_code_of(r);
}

static int __attribute__((format(printf, 1, 2))) usage(const char *fmt, ...)
{
	va_list ap;

	fputs("viaduct vf: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\nTry 'viaduct vf --help'.\n", stderr);
	return EXIT_USAGE;
}

static void mac_text(const struct vfm_function *f, char buf[static 18])
{
	static const uint8_t zero[6];

	*buf = '\0';
	if (f->has_mac && memcmp(f->mac, zero, 6))
		snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", f->mac[0], f->mac[1], f->mac[2],
			f->mac[3], f->mac[4], f->mac[5]);
}

static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

static json_t *number_or_null(int n)
{
	return n >= 0 ? json_integer(n) : json_null();
}

static json_t *function_json(const struct vfm_function *f)
{
	static const char *const kinds[] = {
		[VFM_OTHER] = "other", [VFM_PF] = "pf", [VFM_VF] = "vf"};
	char bdf[BDF_STRLEN], pf[BDF_STRLEN], mac[18], vendor[5], device[5];
	json_t *holder = f->holder.pid ? json_pack("{s:i, s:s}", "pid", (int)f->holder.pid, "comm",
						 f->holder.comm)
				       : json_null();
	json_t *o;

	mac_text(f, mac);
	snprintf(vendor, sizeof(vendor), "%04x", f->vendor);
	snprintf(device, sizeof(device), "%04x", f->device);
	o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "bdf",
		bdf_format(f->bdf, bdf), "kind", kinds[f->kind], "vendor", vendor, "device", device,
		"name", text_or_null(f->name), "driver", text_or_null(f->driver), "netdev",
		text_or_null(f->netdev), "mac", text_or_null(mac), "link", text_or_null(f->link),
		"iommu_group", number_or_null(f->iommu_group), "numa_node",
		number_or_null(f->numa_node), "holder", holder);
	if (!o)
		return NULL;
	json_object_set_new(o, "taken", json_boolean(f->taken));
	json_object_set_new(
		o, "original_driver", f->taken ? text_or_null(f->original_driver) : json_null());
	if (f->kind == VFM_PF) {
		json_object_set_new(o, "total_vfs", json_integer(f->total_vfs));
		json_object_set_new(o, "num_vfs", json_integer(f->num_vfs));
		json_object_set_new(o, "autoprobe", json_boolean(f->autoprobe));
	} else if (f->kind == VFM_VF) {
		json_object_set_new(o, "pf", json_string(bdf_format(f->pf, pf)));
		json_object_set_new(o, "index", number_or_null(f->index));
	}
	return o;
}

static int list_json(const struct vfm_function *f, int n)
{
	json_t *all = json_array(), *top;
	int r;

	for (int i = 0; i < n; i++)
		json_array_append_new(all, function_json(&f[i]));
	top = json_pack("{s:o}", "functions", all);
	r = json_dumpf(top, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	json_decref(top);
	putchar('\n');
	return r < 0 || fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

enum {
	COL_BDF,
	COL_KIND,
	COL_DRIVER,
	COL_NETDEV,
	COL_MAC,
	COL_LINK,
	COL_GROUP,
	COL_NUMA,
	COL_USE,
	COL_NAME,
	COLS
};

struct row {
	char text[COLS][132];
};

static void row_fill(const struct vfm_function *f, struct row *r)
{
	char bdf[BDF_STRLEN];

	snprintf(r->text[COL_BDF], sizeof(r->text[0]), "%s%s", f->kind == VFM_VF ? "  " : "",
		bdf_format(f->bdf, bdf));
	if (f->kind == VFM_PF)
		snprintf(r->text[COL_KIND], sizeof(r->text[0]), "PF %u/%u", f->num_vfs,
			f->total_vfs);
	else if (f->kind == VFM_VF)
		snprintf(r->text[COL_KIND], sizeof(r->text[0]), "VF %d", f->index);
	snprintf(r->text[COL_DRIVER], sizeof(r->text[0]), "%s", f->driver);
	snprintf(r->text[COL_NETDEV], sizeof(r->text[0]), "%s", f->netdev);
	mac_text(f, r->text[COL_MAC]);
	snprintf(r->text[COL_LINK], sizeof(r->text[0]), "%s", f->link);
	if (f->iommu_group >= 0)
		snprintf(r->text[COL_GROUP], sizeof(r->text[0]), "%d", f->iommu_group);
	if (f->numa_node >= 0)
		snprintf(r->text[COL_NUMA], sizeof(r->text[0]), "%d", f->numa_node);
	if (f->holder.pid)
		snprintf(r->text[COL_USE], sizeof(r->text[0]), "%s[%d]", f->holder.comm,
			(int)f->holder.pid);
	if (*f->name)
		snprintf(r->text[COL_NAME], sizeof(r->text[0]), "%s", f->name);
	else
		snprintf(r->text[COL_NAME], sizeof(r->text[0]), "%04x:%04x", f->vendor, f->device);
	for (int c = 0; c < COLS; c++) {
		if (!*r->text[c])
			strcpy(r->text[c], "-");
	}
}

static int list_table(const struct vfm_function *f, int n)
{
	static const struct row head = {{"ADDRESS", "KIND", "DRIVER", "NETDEV", "MAC", "LINK",
		"GROUP", "NUMA", "USED BY", "NAME"}};
	bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	_cleanup_free_ struct row *rows = calloc((size_t)n + 1, sizeof(*rows));
	int width[COLS] = {0};

	if (!rows)
		return EXIT_FAILED;
	rows[0] = head;
	for (int i = 0; i < n; i++)
		row_fill(&f[i], &rows[i + 1]);
	for (int i = 0; i <= n; i++) {
		for (int c = 0; c < COLS; c++) {
			int w = (int)strlen(rows[i].text[c]);

			width[c] = w > width[c] ? w : width[c];
		}
	}
	for (int i = 0; i <= n; i++) {
		const char *on = "";

		if (colour && i == 0)
			on = "\033[1m";
		else if (colour && f[i - 1].holder.pid)
			on = "\033[33m";
		fputs(on, stdout);
		for (int c = 0; c < COLS - 1; c++)
			printf("%-*s  ", width[c], rows[i].text[c]);
		printf("%s%s\n", rows[i].text[COL_NAME], *on ? "\033[0m" : "");
	}
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int cmd_list(struct vfm *v, const struct args *a)
{
	_cleanup_free_ struct vfm_function *f = NULL;
	struct err e = {0};
	int n = vfm_list(v, a->all ? VFM_LIST_ALL : 0, &f, &e);

	if (n < 0)
		return fail(n, &e);
	if (a->json)
		return list_json(f, n);
	if (n == 0) {
		if (!a->quiet)
			fputs("no SR-IOV devices; --all lists every PCI function\n", stderr);
		return EXIT_DONE;
	}
	return list_table(f, n);
}

static int address_of(const char *arg, struct bdf *ret)
{
	if (bdf_parse(arg, ret) == 0)
		return 0;
	return usage(
		"'%s' is not a PCI address such as 0000:3b:02.1 ('viaduct vf list' shows them)",
		arg);
}

static int cmd_carve(struct vfm *v, const struct args *a)
{
	struct vfm_carve_result res;
	struct err e = {0};
	struct bdf pf;
	unsigned long n;
	char *end;
	int r = address_of(a->pos[0], &pf);

	if (r)
		return r;
	n = strtoul(a->pos[1], &end, 10);
	if (*end || *a->pos[1] < '0' || *a->pos[1] > '9' || n > 65535)
		return usage("'%s' is not a number of VFs", a->pos[1]);
	r = vfm_carve(v, pf, (unsigned)n, &res, &e);
	if (r < 0)
		return fail(r, &e);
	if (a->quiet)
		return EXIT_DONE;
	if (!res.changed)
		printf("%s: has %u VFs already, nothing to do\n", a->pos[0], res.after);
	else if (res.after == 0)
		printf("%s: %u VFs destroyed (%u ms)\n", a->pos[0], res.before, res.ready_ms);
	else if (res.before)
		printf("%s: %u VFs destroyed, %u made (%u ms)\n", a->pos[0], res.before, res.after,
			res.ready_ms);
	else
		printf("%s: %u VFs made (%u ms)\n", a->pos[0], res.after, res.ready_ms);
	return EXIT_DONE;
}

/* null for what the driver does not report, so that it is not taken for "off". */
static json_t *settings_json(const struct vfm_settings *s)
{
	json_t *o = json_object();
	char value[VFM_VALUE_MAX];

	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++)
		json_object_set_new(
			o, vfm_setting_name(i), text_or_null(vfm_setting_format(s, i, value)));
	return o;
}

static void show_line(const char *name, const char *value)
{
	printf("%-16s%s\n", name, *value ? value : "-");
}

static void show_text(const struct vfm_function *f, const struct vfm_settings *s)
{
	static const char *const names[COLS - 1] = {[COL_KIND] = "kind",
		[COL_DRIVER] = "driver",
		[COL_NETDEV] = "interface",
		[COL_MAC] = "mac",
		[COL_LINK] = "link",
		[COL_GROUP] = "IOMMU group",
		[COL_NUMA] = "NUMA node",
		[COL_USE] = "used by"};
	char bdf[BDF_STRLEN], value[VFM_VALUE_MAX];
	struct row r = {0};

	row_fill(f, &r);
	printf("%s %s\n", bdf_format(f->bdf, bdf), r.text[COL_NAME]);
	for (int c = COL_KIND; c < COLS - 1; c++)
		/* Among the settings it is said whether there is none. */
		if (c != COL_MAC || !s)
			show_line(names[c], r.text[c]);
	if (f->taken)
		show_line("driver before", *f->original_driver ? f->original_driver : "none");
	if (f->kind == VFM_VF)
		show_line("PF", bdf_format(f->pf, bdf));
	for (unsigned int i = 0; s && i < VFM_SETTING_COUNT; i++)
		show_line(vfm_setting_name(i),
			s->set & 1u << i ? vfm_setting_format(s, i, value) : "not reported");
}

static int cmd_show(struct vfm *v, const struct args *a)
{
	struct vfm_function f;
	struct vfm_settings s;
	struct err e = {0};
	struct bdf b;
	bool has;
	int r = address_of(a->pos[0], &b);

	if (r)
		return r;
	r = vfm_show(v, b, &f, &e);
	if (r < 0)
		return fail(r, &e);
	has = f.kind == VFM_VF && vfm_get(v, b, &s, NULL) == 0;
	if (a->json) {
		json_t *o = function_json(&f);

		if (f.kind == VFM_VF)
			json_object_set_new(o, "settings", has ? settings_json(&s) : json_null());
		r = json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		json_decref(o);
		putchar('\n');
	} else {
		show_text(&f, has ? &s : NULL);
	}
	return r < 0 || fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int cmd_set(struct vfm *v, const struct args *a)
{
	struct vfm_settings want = {0};
	char value[VFM_VALUE_MAX];
	struct err e = {0};
	uint32_t changed;
	struct bdf vf;
	int r = address_of(a->pos[0], &vf);

	if (r)
		return r;
	for (unsigned int i = 1; i < a->n; i++)
		if (vfm_setting_parse(a->pos[i], &want, &e) < 0)
			return usage("%s", e.text);
	r = vfm_set(v, vf, &want, &changed, &e);
	if (r < 0)
		return fail(r, &e);
	if (a->quiet)
		return EXIT_DONE;
	printf("%s:", a->pos[0]);
	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++)
		if (want.set & 1u << i)
			printf(" %s %s%s", vfm_setting_name(i), vfm_setting_format(&want, i, value),
				changed & 1u << i ? "" : " (already)");
	putchar('\n');
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

static int cmd_bind(struct vfm *v, const struct args *a)
{
	struct err e = {0};
	struct bdf b;
	int r = address_of(a->pos[0], &b);

	if (r)
		return r;
	r = vfm_bind(v, b, a->pos[1], a->whole ? VFM_BIND_WHOLE : 0, &e);
	if (r < 0)
		return fail(r, &e);
	if (!a->quiet)
		printf("%s: bound to %s\n", a->pos[0], a->pos[1]);
	return EXIT_DONE;
}

static int cmd_release(struct vfm *v, const struct args *a)
{
	char driver[VFM_NAME_MAX] = "";
	struct err e = {0};
	struct bdf b;
	int r = address_of(a->pos[0], &b);

	if (r)
		return r;
	r = vfm_release(v, b, driver, &e);
	if (r < 0)
		return fail(r, &e);
	if (a->quiet)
		return EXIT_DONE;
	if (*driver)
		printf("%s: released, driver %s\n", a->pos[0], driver);
	else
		printf("%s: released, no driver\n", a->pos[0]);
	return EXIT_DONE;
}

static const struct command {
	const char *name;
	int (*run)(struct vfm *v, const struct args *a);
	const struct argp_option *options;
	unsigned min, max;
	const char *args_doc, *doc;
} commands[] = {
	{"list", cmd_list, list_options, 0, 0, "", "List SR-IOV devices and their VFs."},
	{"carve", cmd_carve, common_options, 2, 2, "PF N",
		"Make PF have exactly N virtual functions; 0 destroys them."},
	{"show", cmd_show, show_options, 1, 1, "BDF",
		"Show one function and, of a VF, what its PF gives it."},
	{"set", cmd_set, common_options, 2, MAX_ARGS, "VF KEY=VALUE...",
		"Give VF an address, a VLAN, a rate, ...: 'man viaduct-vf' lists the keys."},
	{"bind", cmd_bind, bind_options, 2, 2, "VF DRIVER",
		"Bind VF to DRIVER (vfio-pci for a guest) and remember the one it had."},
	{"release", cmd_release, common_options, 1, 1, "VF",
		"Give VF back to the driver it had, or to none if it had none."},
};

static void help(FILE *f)
{
	fputs("Usage: viaduct vf COMMAND [OPTION...] ARGUMENTS\n\n", f);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-8s %-16s %s\n", commands[i].name, commands[i].args_doc,
			commands[i].doc);
	fputs("\n'viaduct vf COMMAND --help' lists the options; 'man viaduct-vf' tells more.\n", f);
}

/* Progress on one line that later output replaces; a line each 5 s where it is no terminal. */
static void on_progress(void *arg, const char *what, unsigned elapsed_ms)
{
	const struct args *a = arg;

	if (a->quiet || elapsed_ms < 2000)
		return;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\rwaiting for %s: %u s \033[K\r", what, elapsed_ms / 1000);
	else if (elapsed_ms / 500 % 10 == 0)
		fprintf(stderr, "waiting for %s: %u s\n", what, elapsed_ms / 1000);
}

static void on_note(void *arg, const char *text)
{
	const struct args *a = arg;

	if (!a->quiet)
		fprintf(stderr, "%s\n", text);
}

static int command_run(const struct command *c, int argc, char **argv)
{
	struct args a = {.min = c->min, .max = c->max};
	struct argp argp = {c->options, parse, c->args_doc, c->doc};
	struct sigaction sa = {.sa_handler = on_signal};
	struct vfm_config cfg;
	struct err e = {0};
	struct vfm *v;
	char title[32];
	int r;

	snprintf(title, sizeof(title), "viaduct vf %s", c->name);
	argv[0] = title;
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	for (size_t i = 0; i < 3; i++)
		sigaction((int[]){SIGINT, SIGTERM, SIGHUP}[i], &sa, NULL);
	cfg = (struct vfm_config){
		.root = a.root,
		.run_dir = a.run_dir,
		.timeout_ms = a.timeout_s * 1000,
		.progress = on_progress,
		.note = on_note,
		.arg = &a,
		.cancel = &signalled,
	};
	r = vfm_create(&cfg, &v, &e);
	if (r < 0)
		return fail(r, &e);
	r = c->run(v, &a);
	vfm_destroy(v);
	return r;
}

int main(int argc, char **argv)
{
	argp_err_exit_status = EXIT_USAGE;
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-?") || !strcmp(argv[1], "-h") ||
		!strcmp(argv[1], "help")) {
		help(stdout);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, argv[1]))
			return command_run(&commands[i], argc - 1, argv + 1);
	}
	return usage("'%s' is no command", argv[1]);
}
