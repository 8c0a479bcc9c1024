// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct vf: SR-IOV functions from the command line. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/vf.h"
#include "cli/output.h"
#include "common/cleanup.h"
#include "vf-manager/select.h"

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t signalled;

static void on_signal(int sig)
{
	signalled = sig;
}

/* Options with a letter. */
static const struct {
	char letter;
	enum vf_opt opt;
} letters[] = {{'t', VF_OPT_TIMEOUT}, {'q', VF_OPT_QUIET}, {'j', VF_OPT_JSON}, {'a', VF_OPT_ALL}};

static int opt_of(int key)
{
	if (key >= VF_KEY(0) && key < VF_KEY(VF_OPT_COUNT))
		return key - VF_KEY(0);
	for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
		if (letters[i].letter == key)
			return (int)letters[i].opt;
	return -1;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct vf_args *a = state->input;
	int opt = opt_of(key);
	unsigned long n;
	char *end;

	if (opt >= 0)
		a->opt[opt] = arg ? arg : "";
	if (opt == VF_OPT_TIMEOUT && arg) {
		n = strtoul(arg, &end, 10);
		if (*end || *arg < '0' || *arg > '9' || n == 0 || n > 3600)
			argp_error(state, "--timeout takes 1 to 3600 seconds, not '%s'", arg);
		a->timeout_s = (unsigned)n;
	}
	if (opt >= 0)
		return 0;
	switch (key) {
	case ARGP_KEY_ARG:
		if (a->n >= a->max || a->n >= VF_MAX_ARGS)
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

static const struct argp_option list_options[] = {
	{"json", 'j', NULL, 0, "print JSON", 0},
	{"all", 'a', NULL, 0, "every PCI function, not SR-IOV ones alone", 0},
	VF_COMMON_OPTIONS,
};
static const struct argp_option bind_options[] = {
	{"whole", VF_KEY(VF_OPT_WHOLE), NULL, 0,
		"also a function that is no VF: the host loses the device", 0},
	{"force", VF_KEY(VF_OPT_FORCE), NULL, 0, "also one in use; what that costs is said before",
		0},
	VF_COMMON_OPTIONS,
};
static const struct argp_option release_options[] = {
	{"all", 'a', NULL, 0, "everything that was bound or set", 0},
	{"force", VF_KEY(VF_OPT_FORCE), NULL, 0, "also one in use; what that costs is said before",
		0},
	VF_COMMON_OPTIONS,
};
static const struct argp_option show_options[] = {
	{"json", 'j', NULL, 0, "print JSON", 0},
	VF_COMMON_OPTIONS,
};
static const struct argp_option isolate_options[] = {
	{"json", 'j', NULL, 0, "print JSON", 0},
	VF_COMMON_OPTIONS,
};
static const struct argp_option carve_options[] = {
	{"json", 'j', NULL, 0, "print JSON, with how long each part took", 0},
	{"force", VF_KEY(VF_OPT_FORCE), NULL, 0,
		"destroy VFs that are in use too, and say what is lost", 0},
	{"autoprobe", VF_KEY(VF_OPT_AUTOPROBE), NULL, 0,
		"let the kernel give the new VFs to drivers of this host", 0},
	{"wait-link", VF_KEY(VF_OPT_WAIT_LINK), NULL, 0, "return when the PF's link is back", 0},
	VF_COMMON_OPTIONS,
};
static const struct argp_option stats_options[] = {
	{"json", 'j', NULL, 0, "print JSON", 0},
	VF_COMMON_OPTIONS,
};
static const struct argp_option common_options[] = {VF_COMMON_OPTIONS};

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

int vf_fail(int r, const struct err *e)
{
	fprintf(stderr, "viaduct vf: %s\n", e->text);
	return exit_code_of(r);
}

int vf_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("viaduct vf: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\nTry 'viaduct vf --help'.\n", stderr);
	return EXIT_USAGE;
}

int vf_address(const char *arg, struct bdf *ret)
{
	if (bdf_parse(arg, ret) == 0)
		return 0;
	return vf_usage(
		"'%s' is not a PCI address such as 0000:3b:02.1 ('viaduct vf list' shows them)",
		arg);
}

int vf_function(struct vfm *v, const char *arg, struct bdf *ret)
{
	struct err e = {0};
	int r = vfm_select(v, arg, ret, &e);

	if (r == -EINVAL)
		return vf_usage("%s", e.text);
	return r < 0 ? vf_fail(r, &e) : 0;
}

static const struct vf_command commands[] = {
	{"list", vf_list, list_options, 0, 0, "", "List SR-IOV devices and their VFs."},
	{"carve", vf_carve, carve_options, 2, 2, "PF N",
		"Make PF have exactly N virtual functions; 0 destroys them."},
	{"show", vf_show, show_options, 0, VF_MAX_ARGS, "[FUNCTION...]",
		"Show everything known of each FUNCTION, or of all PFs.\v"
		"FUNCTION is an address, an interface, mac= or path=. With --json the output is "
		"what 'viaduct vf apply' reads."},
	{"isolate", vf_isolate, isolate_options, 1, 1, "FUNCTION",
		"Say whether a guest that is given FUNCTION is kept from everything else.\v"
		"FUNCTION is an address, an interface, mac= or path=. Exit status: 0 PASS, 5 WARN, "
		"6 FAIL."},
	{"set", vf_set, common_options, 2, VF_MAX_ARGS,
		"VF KEY=VALUE...\nPF eswitch=legacy|switchdev",
		"Give VF an address, a VLAN, a rate, ..., or a PF an eswitch mode: 'man "
		"viaduct-vf-set' lists the keys."},
	{"stats", vf_stats, stats_options, 0, VF_MAX_ARGS, "[SELECTOR...]",
		"Show what VFs have received and sent; SELECTOR names VFs, or PFs for all of "
		"theirs."},
	{"bind", vf_bind, bind_options, 2, 2, "VF DRIVER",
		"Bind VF to DRIVER (vfio-pci for a guest) and remember the one it had."},
	{"release", vf_release, release_options, 0, 1, "VF|PF\n--all",
		"Give VF, or all VFs of PF, what they had before: settings and driver."},
	{"lease", vf_lease, vf_lease_options, 1, 2,
		"take VF -- COMMAND...\ntake VF --pid PID\nlist\nfree VF\ngc",
		"Promise VF to somebody for as long as he lives; tell who has which.", true},
	{"monitor", vf_monitor, vf_monitor_options, 0, 0, "",
		"Tell what happens to SR-IOV functions, a line for each event."},
	{"export", vf_export, vf_export_options, 1, VF_MAX_ARGS, "FORMAT [FUNCTION...]",
		"Tell device-plugin, cdi, libvirt or nova of VFs, in their own words."},
	{"plan", vf_plan, vf_plan_options, 0, 1, "[FILE]",
		"Show what has to be done so that the machine is as FILE says."},
	{"apply", vf_apply, vf_apply_options, 0, 1, "[FILE]",
		"Make the machine as FILE says, by the smallest change."},
	{"diff", vf_diff, vf_plan_options, 0, 1, "[FILE]",
		"Show where the machine is not as FILE says."},
};

static void help(FILE *f)
{
	fputs("Usage: viaduct vf COMMAND [OPTION...] ARGUMENTS\n\n", f);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		/* Behind \v, and in further lines, stands what only the command's own --help prints. */
		fprintf(f, "  %-8s %-22.*s %.*s\n", commands[i].name,
			(int)strcspn(commands[i].args_doc, "\n"), commands[i].args_doc,
			(int)strcspn(commands[i].doc, "\v"), commands[i].doc);
	fputs("\n'viaduct vf COMMAND --help' lists the options; 'man viaduct-vf-COMMAND' tells "
	      "more.\n",
		f);
}

/* Progress on one line that later output replaces; a line each 5 s where it is no terminal. */
static void on_progress(void *arg, const char *what, unsigned elapsed_ms)
{
	const struct vf_args *a = arg;

	if (vf_flag(a, VF_OPT_QUIET) || elapsed_ms < 2000)
		return;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\rwaiting for %s: %u s \033[K\r", what, elapsed_ms / 1000);
	else if (elapsed_ms / 500 % 10 == 0)
		fprintf(stderr, "waiting for %s: %u s\n", what, elapsed_ms / 1000);
}

static void on_note(void *arg, const char *text)
{
	const struct vf_args *a = arg;

	if (!vf_flag(a, VF_OPT_QUIET))
		fprintf(stderr, "%s\n", text);
}

static int command_run(const struct vf_command *c, int argc, char **argv)
{
	struct vf_args a = {.min = c->min, .max = c->max};
	struct argp argp = {c->options, parse, c->args_doc, c->doc};
	struct sigaction sa = {.sa_handler = on_signal};
	struct vfm_config cfg;
	struct err e = {0};
	struct vfm *v;
	char title[32];
	int r;

	snprintf(title, sizeof(title), "viaduct vf %s", c->name);
	argv[0] = title;
	/* Not argp's business: it would sort our arguments behind the "--" too. */
	for (int i = 1; c->takes_command && i < argc; i++) {
		if (strcmp(argv[i], "--"))
			continue;
		a.command = i + 1 < argc ? &argv[i + 1] : NULL;
		argc = i;
	}
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	for (size_t i = 0; i < 3; i++)
		sigaction((int[]){SIGINT, SIGTERM, SIGHUP}[i], &sa, NULL);
	cfg = (struct vfm_config){
		.root = a.opt[VF_OPT_ROOT],
		.run_dir = a.opt[VF_OPT_RUN_DIR],
		.timeout_ms = a.timeout_s * 1000,
		.progress = on_progress,
		.note = on_note,
		.arg = &a,
		.cancel = &signalled,
	};
	r = vfm_create(&cfg, &v, &e);
	if (r < 0)
		return vf_fail(r, &e);
	r = c->run(v, &a);
	vfm_destroy(v);
	return r;
}

int main(int argc, char **argv)
{
	argp_err_exit_status = EXIT_USAGE;
	output_guard("viaduct vf");
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
	return vf_usage("'%s' is no command", argv[1]);
}
