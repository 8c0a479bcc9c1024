/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of `viaduct vf` share: parsed arguments, messages and exit statuses. */
#ifndef VIADUCT_CLI_VF_H
#define VIADUCT_CLI_VF_H

#include <argp.h>
#include <stdbool.h>

#include "common/bdf.h"
#include "common/err.h"
#include "vf-manager/vfm.h"

/* docs/man/vf-exit.inc lists them. */
enum exit_code {
	EXIT_DONE,
	EXIT_FAILED,
	EXIT_USAGE,
	EXIT_IN_USE,
	EXIT_TIMED_OUT,
	EXIT_WARN, /* verdicts that are not PASS */
	EXIT_FAIL,
	EXIT_DIFFERENT /* the machine is not as a file says */
};

/* Every option that a command of `viaduct vf` can have; its argp key is VF_KEY() of it. */
enum vf_opt {
	VF_OPT_ROOT,
	VF_OPT_RUN_DIR,
	VF_OPT_TIMEOUT,
	VF_OPT_QUIET,
	VF_OPT_JSON,
	VF_OPT_ALL,
	VF_OPT_WHOLE,
	VF_OPT_FORCE,
	VF_OPT_OWNER,
	VF_OPT_PID,
	VF_OPT_NAME,
	VF_OPT_FOR,
	VF_OPT_TEXT,
	VF_OPT_IOMMUFD,
	VF_OPT_PF,
	VF_OPT_DRY_RUN,
	VF_OPT_ROLLBACK,
	VF_OPT_RECREATE,
	VF_OPT_WAIT,
	VF_OPT_AUTOPROBE,
	VF_OPT_WAIT_LINK,
	VF_OPT_POOL,
	VF_OPT_TIMING,
	VF_OPT_COUNT
};

/* An option's argp key; one with a letter has that letter for its key, see vf.c. */
#define VF_KEY(opt) (0x200 + (opt))

#define VF_MAX_ARGS 32

struct vf_args {
	const char
		*opt[VF_OPT_COUNT]; /* its argument, "" when it takes none, NULL when not given */
	unsigned timeout_s;
	const char *pos[VF_MAX_ARGS];
	unsigned n;
	unsigned min, max; /* positional arguments wanted */
	char **command;    /* what follows "--", ends with NULL; NULL: nothing does */
};

static inline bool vf_flag(const struct vf_args *a, enum vf_opt opt)
{
	return a->opt[opt];
}

/* Entries of an argp_option table that every command ends with. */
#define VF_COMMON_OPTIONS                                                                \
	{"timeout", 't', "SECONDS", 0, "wait this long for the kernel (default 60)", 8}, \
		{"quiet", 'q', NULL, 0, "say nothing but errors", 8},                    \
		{"run-dir", VF_KEY(VF_OPT_RUN_DIR), "DIR", 0,                            \
			"keep state here (default " VFM_RUN_DIR ")", 9},                 \
		{"root", VF_KEY(VF_OPT_ROOT), "DIR", 0,                                  \
			"read sys, proc and dev below DIR (for tests)", 9},              \
	{                                                                                \
		0                                                                        \
	}

struct vf_command {
	const char *name;
	int (*run)(struct vfm *v, const struct vf_args *a); /* returns an exit status */
	const struct argp_option *options;
	unsigned min, max; /* positional arguments */
	const char *args_doc, *doc;
	bool takes_command; /* what follows "--" is a command of the user's */
};

/* Print @e to stderr; the exit status for @r. */
int vf_fail(int r, const struct err *e);
/* Print what is wrong with the command line; EXIT_USAGE. */
int vf_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Parse a PCI address; 0, or an exit status after a message. */
int vf_address(const char *arg, struct bdf *ret);
/* The function that a selector names (select.h); 0, or an exit status after a message. */
int vf_function(struct vfm *v, const char *arg, struct bdf *ret);

/* vf_isolate.c */
int vf_isolate(struct vfm *v, const struct vf_args *a);
/* vf_list.c */
int vf_list(struct vfm *v, const struct vf_args *a);
int vf_show(struct vfm *v, const struct vf_args *a);
/* vf_stats.c */
int vf_stats(struct vfm *v, const struct vf_args *a);
/* vf_change.c */
int vf_carve(struct vfm *v, const struct vf_args *a);
int vf_set(struct vfm *v, const struct vf_args *a);
/* vf_bind.c */
int vf_bind(struct vfm *v, const struct vf_args *a);
int vf_release(struct vfm *v, const struct vf_args *a);
/* vf_lease.c */
extern const struct argp_option vf_lease_options[];
int vf_lease(struct vfm *v, const struct vf_args *a);
/* vf_export.c */
extern const struct argp_option vf_export_options[];
int vf_export(struct vfm *v, const struct vf_args *a);
/* vf_monitor.c */
extern const struct argp_option vf_monitor_options[];
int vf_monitor(struct vfm *v, const struct vf_args *a);
/* vf_plan.c */
extern const struct argp_option vf_plan_options[], vf_apply_options[];
int vf_plan(struct vfm *v, const struct vf_args *a);
int vf_apply(struct vfm *v, const struct vf_args *a);
int vf_diff(struct vfm *v, const struct vf_args *a);

#endif
