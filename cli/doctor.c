// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct doctor: can this machine give its devices to guests, and what to do where it cannot. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/doctor_cli.h"
#include "cli/output.h"
#include "cli/vf.h"
#include "common/cleanup.h"
#include "vf-manager/select.h"

enum { OPT_FOR = 0x200, OPT_LIST, OPT_USER, OPT_MEMORY, OPT_PROBE, OPT_ROOT, OPT_RUN_DIR };

struct arguments {
	bool json, all, quiet, list, probe;
	const char *selector, *user, *root, *run_dir;
	uint64_t memory;
};

static const struct argp_option options[] = {
	{"for", OPT_FOR, "DEVICE", 0,
		"this device alone: an address, an interface, mac=... or path=...", 0},
	{"json", 'j', NULL, 0, "print JSON", 0},
	{"all", 'a', NULL, 0, "also what passed on each device", 0},
	{"list", OPT_LIST, NULL, 0, "list the checks, in their order", 0},
	{"user", OPT_USER, "NAME", 0, "check what this user may do (needs root)", 0},
	{"memory", OPT_MEMORY, "MIB", 0, "of a guest, for the limits (default 1024)", 0},
	{"probe", OPT_PROBE, NULL, 0,
		"find out what a PF's driver can set, by setting what is set already", 0},
	{"quiet", 'q', NULL, 0, "print warnings and failures only", 8},
	{"run-dir", OPT_RUN_DIR, "DIR", 0, "leases and records are here (default " VFM_RUN_DIR ")",
		9},
	{"root", OPT_ROOT, "DIR", 0, "read sys, proc, dev, etc, ... below DIR (for tests)", 9},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	unsigned long n;
	char *end;

	switch (key) {
	case OPT_FOR: a->selector = arg; break;
	case 'j': a->json = true; break;
	case 'a': a->all = true; break;
	case 'q': a->quiet = true; break;
	case OPT_LIST: a->list = true; break;
	case OPT_USER: a->user = arg; break;
	case OPT_PROBE: a->probe = true; break;
	case OPT_ROOT: a->root = arg; break;
	case OPT_RUN_DIR: a->run_dir = arg; break;
	case OPT_MEMORY:
		errno = 0;
		n = strtoul(arg, &end, 10);
		if (*arg < '0' || *arg > '9' || *end || errno || n < 1 || n > 1ul << 30)
			argp_error(state, "--memory takes MiB, a number from 1 on, not '%s'", arg);
		a->memory = (uint64_t)n << 20;
		break;
	case ARGP_KEY_ARG: argp_error(state, "'%s' is one argument too many", arg); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int fail(int status, const struct err *e)
{
	fprintf(stderr, "viaduct doctor: %s\n", e->text);
	return status;
}

/* vf-manager's checks, with ours where they belong. */
static const struct doctor_check **checks_merge(size_t *ret_n)
{
	size_t n, out = 0;
	const struct doctor_check *const *theirs = doctor_checks(&n);
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers is what it holds */
	const struct doctor_check **all = calloc(n + 2, sizeof(*all));

	for (size_t i = 0; all && i < n; i++) {
		/* The lab's needs the answers of all that looks at the host. */
		if (theirs[i]->scope == DOCTOR_DEVICE &&
			(!i || theirs[i - 1]->scope == DOCTOR_HOST))
			all[out++] = &doctor_lab;
		all[out++] = theirs[i];
		if (!strcmp(theirs[i]->id, "kvm-access"))
			all[out++] = &doctor_kvm_linux;
	}
	*ret_n = out;
	return all;
}

static int checks_list(const struct doctor_check *const *checks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%-20s  %-6s  %s%s\n", checks[i]->id,
			checks[i]->scope == DOCTOR_HOST ? "host" : "device", checks[i]->title,
			checks[i]->stop ? " (stops)" : "");
	return EXIT_DONE;
}

static int examine(const struct arguments *a, struct doctor_config *c)
{
	const struct vfm_config cfg = {.root = a->root, .run_dir = a->run_dir};
	struct doctor_printer *p = NULL;
	struct vfm *v = NULL;
	struct err e = {0};
	int r = vfm_create(&cfg, &v, &e), status = EXIT_FAILED;

	if (r < 0)
		return fail(EXIT_FAILED, &e);
	if (a->selector) {
		r = vfm_select(v, a->selector, &c->device, &e);
		c->only = true;
	}
	if (r < 0) {
		status = fail(r == -EINVAL ? EXIT_USAGE : EXIT_FAILED, &e);
		goto out;
	}
	p = doctor_printer_create(a->json, (a->all || a->selector) && !a->quiet, a->quiet);
	if (!p) {
		err_sys(&e, ENOMEM, "doctor");
		status = fail(EXIT_FAILED, &e);
		goto out;
	}
	c->found = doctor_printer_found;
	c->arg = p;
	r = doctor_run(v, c, &e);
	if (r < 0)
		status = fail(EXIT_FAILED, &e);
	else if (doctor_printer_finish(p, (enum vfm_status)r) < 0)
		status = EXIT_FAILED;
	else
		status = r == VFM_FAIL ? EXIT_FAIL : r == VFM_WARN ? EXIT_WARN : EXIT_DONE;
out:
	doctor_printer_destroy(p);
	vfm_destroy(v);
	return status;
}

int main(int argc, char **argv)
{
	static const char doc[] =
		"Can this machine give its devices to guests? Says what it found, and what to do."
		"\vExit status: 0 all passed, 5 warnings, 1 something failed, 2 wrong usage; what "
		"was "
		"skipped does not count.";
	const struct argp argp = {options, parse, NULL, doc};
	_cleanup_free_ const struct doctor_check **checks = NULL;
	struct arguments a = {0};
	struct doctor_config c;
	size_t n;

	argp_err_exit_status = EXIT_USAGE;
	output_guard("viaduct doctor");
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	checks = checks_merge(&n);
	if (!checks) {
		fputs("viaduct doctor: out of memory\n", stderr);
		return EXIT_FAILED;
	}
	if (a.list)
		return checks_list(checks, n);
	c = (struct doctor_config){
		.checks = checks,
		.n_checks = n,
		.user = a.user,
		.memory = a.memory,
		.probe = a.probe,
		.here = !a.root || !strcmp(a.root, "/"),
	};
	return examine(&a, &c);
}
