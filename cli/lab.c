// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct lab run|shell|image: arguments, messages and exit codes. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/lab.h"
#include "cli/output.h"
#include "common/cleanup.h"
#include "lab/lab.h"

enum {
	OPT_CPUS = 256,
	OPT_MEMORY,
	OPT_KERNEL,
	OPT_IOMMU,
	OPT_NIC,
	OPT_NVME,
	OPT_NVME_VECTORS,
	OPT_BRIDGED,
	OPT_NO_ACS,
	OPT_SHARE,
	OPT_CONSOLE,
	OPT_ADD
};

static const struct argp_option machine_options[] = {
	{"cpus", OPT_CPUS, "N", 0, "Virtual CPUs (default 2)", 0},
	{"memory", OPT_MEMORY, "MIB", 0,
		"Memory in MiB (default 2560; from 2816 on, BARs of virtual functions need a QEMU "
		"newer than 10.0)",
		0},
	{"kernel", OPT_KERNEL, "VERSION", 0,
		"Debian kernel by version or its beginning (default: the release's own)", 0},
	{"iommu", OPT_IOMMU, "KIND", 0, "vtd (default), vtd-eim, vtd-noir, amd or none", 0},
	{"nic", OPT_NIC, "MODEL", 0, "Add a NIC: igb, e1000 or e1000e; may be repeated", 0},
	{"nvme-vfs", OPT_NVME, "N", 0, "Add an NVMe controller with N virtual functions", 0},
	{"nvme-vectors", OPT_NVME_VECTORS, "N", 0,
		"Give the NVMe controller N MSI-X vectors; it is added if there is none", 0},
	{"bridged", OPT_BRIDGED, "N", 0,
		"Add N e1000 NICs behind one conventional PCI bridge: one IOMMU group for all", 0},
	{"no-acs", OPT_NO_ACS, NULL, 0,
		"Root ports without ACS: what is below one shares its IOMMU group, VFs as well", 0},
	{"share", OPT_SHARE, "DIR", 0,
		"Make this directory writable from inside, at the same path; may be repeated", 0},
	{"console", OPT_CONSOLE, "FILE", 0, "Write the console of the emulated host to FILE", 0},
	{0},
};

struct arguments {
	struct lab_config cfg;
	char *shares[LAB_SHARES_MAX];
	bool shell;
};

/* A decimal number in [min, max], or a message and exit. */
static unsigned number_parse(
	struct argp_state *state, const char *what, const char *text, unsigned min, unsigned max)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || v < min || v > max)
		argp_error(
			state, "%s must be a number from %u to %u, not '%s'", what, min, max, text);
	return (unsigned)v;
}

static unsigned name_parse(
	struct argp_state *state, const char *what, const char *text, const char *const *names)
{
	char list[128] = "";

	for (unsigned i = 0; names[i]; i++) {
		if (!strcmp(names[i], text))
			return i;
		strcat(strcat(list, i ? ", " : ""), names[i]);
	}
	argp_error(state, "%s must be one of %s, not '%s'", what, list, text);
	return 0;
}

static void share_parse(struct argp_state *state, struct arguments *a, const char *dir)
{
	size_t n = a->cfg.nr_shares;
	struct stat st;

	if (n == LAB_SHARES_MAX)
		argp_error(state, "at most %d --share", LAB_SHARES_MAX);
	a->shares[n] = realpath(dir, NULL);
	if (!a->shares[n] || stat(a->shares[n], &st) < 0)
		argp_error(state, "--share %s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		argp_error(state, "--share %s: not a directory", dir);
	a->cfg.shares[n] = a->shares[n];
	a->cfg.nr_shares++;
}

/* The script's own check sees only what could be a version at all. */
static void kernel_parse(struct argp_state *state, struct lab_config *cfg, const char *text)
{
	if (text[0] < '0' || text[0] > '9' ||
		text[strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz.+~-")])
		argp_error(state, "--kernel must be a version such as 6.1 or 6.1.0-50, not '%s'",
			text);
	cfg->kernel = text;
}

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	struct lab_config *cfg = &a->cfg;

	switch (key) {
	case OPT_CPUS: cfg->cpus = number_parse(state, "--cpus", arg, 1, LAB_CPUS_MAX); break;
	case OPT_MEMORY:
		cfg->memory_mib =
			number_parse(state, "--memory", arg, LAB_MEMORY_MIN_MIB, 1024 * 1024);
		break;
	case OPT_KERNEL: kernel_parse(state, cfg, arg); break;
	case OPT_IOMMU: cfg->iommu = name_parse(state, "--iommu", arg, lab_iommu_names); break;
	case OPT_NIC:
		if (cfg->nr_nics == LAB_NICS_MAX)
			argp_error(state, "at most %d --nic", LAB_NICS_MAX);
		cfg->nics[cfg->nr_nics++] = name_parse(state, "--nic", arg, lab_nic_names);
		break;
	case OPT_NVME:
		cfg->nvme_vfs = number_parse(state, "--nvme-vfs", arg, 1, LAB_VFS_MAX);
		break;
	case OPT_NVME_VECTORS:
		cfg->nvme_vectors = number_parse(state, "--nvme-vectors", arg, 1, LAB_VECTORS_MAX);
		break;
	case OPT_BRIDGED:
		cfg->nr_bridged = number_parse(state, "--bridged", arg, 1, LAB_BRIDGE_MAX);
		break;
	case OPT_NO_ACS: cfg->no_acs = true; break;
	case OPT_SHARE: share_parse(state, a, arg); break;
	case OPT_CONSOLE: cfg->console = arg; break;
	case ARGP_KEY_ARGS:
		if (a->shell)
			argp_error(state, "'shell' takes no command; use 'viaduct lab run'");
		cfg->command = state->argv + state->next;
		break;
	case ARGP_KEY_NO_ARGS:
		if (!a->shell)
			argp_error(state, "no command: viaduct lab run [OPTION...] -- COMMAND...");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static bool readable(const char *path)
{
	return !access(path, R_OK);
}

/* First where an override, then the source tree, then the installation has them. */
static const char *data_find(void)
{
	const char *dir = getenv("VIADUCT_LAB_DIR");

	if (dir)
		return dir;
	return readable(LAB_SOURCE_DIR "/host/build.sh") ? LAB_SOURCE_DIR : LAB_DATA_DIR;
}

static char *own_directory(void)
{
	char *self = realpath("/proc/self/exe", NULL), *slash = self ? strrchr(self, '/') : NULL;

	if (slash)
		*slash = '\0';
	return self;
}

/* In the build tree, or beside this program where it is installed. The caller frees it. */
static char *init_find(const char *dir)
{
	char *path = NULL;

	if (asprintf(&path, "%s/../lab/viaduct-lab-init", dir) < 0)
		return NULL;
	if (readable(path))
		return path;
	free(path);
	return asprintf(&path, "%s/viaduct-lab-init", dir) < 0 ? NULL : path;
}

static const char *shell_find(void)
{
	const char *shell = getenv("SHELL");

	if (shell && shell[0] == '/' && !access(shell, X_OK))
		return shell;
	return access("/bin/bash", X_OK) ? "/bin/sh" : "/bin/bash";
}

static int session_main(int argc, char **argv, bool shell)
{
	static const char run_doc[] =
		"Boot an emulated host, run COMMAND there as root in this working directory, pass "
		"its "
		"input, output and exit status through, and power the host off.\v"
		"Exit status: COMMAND's own; 126 or 127 if it cannot be run or found; 128+N after "
		"signal N; 125 if the lab itself failed; 2 for wrong arguments.";
	static const char shell_doc[] =
		"Boot an emulated host and open a root shell on this terminal.\v"
		"Ctrl-] pressed three times within a second switches the host off.";
	const struct argp argp = {machine_options, option_parse,
		shell ? "" : "-- COMMAND [ARGUMENT...]", shell ? shell_doc : run_doc, NULL, NULL,
		NULL};
	struct arguments a = {
		.cfg = {.cpus = 2, .memory_mib = 2560, .data = data_find()},
		.shell = shell,
	};
	_cleanup_free_ char *dir = own_directory(), *init = dir ? init_find(dir) : NULL;
	char *shell_argv[] = {(char *)shell_find(), NULL};
	struct err e = {0};
	int r, status = 0;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
	if (shell) {
		if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
			fprintf(stderr, "%s: needs a terminal; use 'viaduct lab run' in a script\n",
				argv[0]);
			return EXIT_USAGE;
		}
		a.cfg.tty = true;
		a.cfg.command = shell_argv;
	}
	if (a.cfg.memory_mib >= LAB_MEMORY_HIGH_MIB && (a.cfg.nr_nics || a.cfg.nvme_vfs))
		fprintf(stderr,
			"%s: note: with %u MiB QEMU 10.0 misplaces the BARs of virtual functions; "
			"stay "
			"below %d to carve some\n",
			argv[0], a.cfg.memory_mib, LAB_MEMORY_HIGH_MIB);
	if (!init) {
		fprintf(stderr, "%s: cannot tell where this program lies: %m\n", argv[0]);
		return EXIT_LAB_FAILED;
	}
	a.cfg.path = dir;
	a.cfg.init = init;
	r = lab_session(&a.cfg, &status, &e);
	for (size_t i = 0; i < LAB_SHARES_MAX; i++)
		free(a.shares[i]);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", argv[0], e.text);
		return EXIT_LAB_FAILED;
	}
	return status;
}

#define ADDS_MAX 64

struct image_arguments {
	struct lab_config cfg;
	char *adds[ADDS_MAX];
	size_t nr_adds;
};

static const struct argp_option image_options[] = {
	{"kernel", OPT_KERNEL, "VERSION", 0,
		"Debian kernel by version or its beginning (default: the release's own)", 0},
	{"add", OPT_ADD, "FILE=DEST", 0,
		"Put FILE (a static program, a script) into the image as DEST; may be repeated", 0},
	{0},
};

static error_t image_option_parse(int key, char *arg, struct argp_state *state)
{
	struct image_arguments *a = state->input;
	char *dest;

	switch (key) {
	case OPT_KERNEL: kernel_parse(state, &a->cfg, arg); break;
	case OPT_ADD:
		dest = strchr(arg, '=');
		if (!dest || dest == arg || dest[1] != '/' || strchr(arg, '\n'))
			argp_error(state, "--add must be FILE=/PATH/IN/GUEST, not '%s'", arg);
		if (a->nr_adds == ADDS_MAX)
			argp_error(state, "at most %d --add", ADDS_MAX);
		a->adds[a->nr_adds++] = arg;
		break;
	case ARGP_KEY_ARG: argp_error(state, "unexpected argument '%s'", arg); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* NAME='VALUE', quoted for eval in a shell. */
static void assignment_print(const char *name, const char *value)
{
	printf("%s='", name);
	for (; *value; value++) {
		if (*value == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*value);
	}
	puts("'");
}

static int image_main(int argc, char **argv)
{
	static const char doc[] =
		"Build the guests' kernel and initramfs, unless they are cached, and print their "
		"paths "
		"as kernel='...' and initrd='...', ready for eval.\v"
		"The guest runs the shell script in viaduct.run=BASE64 of its kernel command line "
		"and "
		"powers off; viaduct.shell and viaduct.end=reboot|hang change that.";
	static const struct argp argp = {
		image_options, image_option_parse, "", doc, NULL, NULL, NULL};
	struct image_arguments a = {.cfg = {.data = data_find()}};
	_cleanup_free_ char *script = NULL, *kernel = NULL, *initrd = NULL;
	char *script_argv[ADDS_MAX + 3] = {0}, *paths[2] = {0};
	struct err e = {0};
	sigset_t set;
	int r, sig = 0;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (asprintf(&script, "%s/guest/build.sh", a.cfg.data) < 0)
		return EXIT_LAB_FAILED;
	script_argv[0] = script;
	script_argv[1] = (char *)(a.cfg.kernel ? a.cfg.kernel : "");
	memcpy(script_argv + 2, a.adds, a.nr_adds * sizeof(*a.adds));
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r = image_build(script_argv, paths, ARRAY_SIZE(paths), &sig, &e);
	if (r < 0) {
		if (!sig)
			fprintf(stderr, "%s: %s\n", argv[0], e.text);
		return sig ? 128 + sig : EXIT_LAB_FAILED;
	}
	kernel = paths[0];
	initrd = paths[1];
	assignment_print("kernel", kernel);
	assignment_print("initrd", initrd);
	return 0;
}

static void usage(FILE *f)
{
	fputs("Usage: viaduct lab run [OPTION...] -- COMMAND [ARGUMENT...]\n"
	      "       viaduct lab shell [OPTION...]\n"
	      "       viaduct lab image [--kernel VERSION] [--add FILE=DEST]...\n"
	      "       viaduct lab plug|unplug DEVICE          (within the lab)\n\n"
	      "An emulated host with an IOMMU, SR-IOV NICs and nested KVM for machines that have "
	      "none.\n"
	      "`viaduct lab run --help` lists the options.\n",
		f);
}

/* A stream closed by the caller must not come back as one of our own files. */
static void streams_ensure(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	char name[64];

	streams_ensure();
	output_guard("viaduct lab");

	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return 0;
	}
	snprintf(name, sizeof(name), "viaduct lab %.40s", argv[1]);
	if (!strcmp(argv[1], "run") || !strcmp(argv[1], "shell")) {
		bool shell = !strcmp(argv[1], "shell");

		argv[1] = name;
		return session_main(argc - 1, argv + 1, shell);
	}
	if (!strcmp(argv[1], "plug") || !strcmp(argv[1], "unplug")) {
		const char *verb = argv[1];

		argv[1] = name;
		return lab_plug(argv, verb);
	}
	if (!strcmp(argv[1], "image")) {
		argv[1] = name;
		return image_main(argc - 1, argv + 1);
	}
	fprintf(stderr, "viaduct lab: unknown command '%s'\n", argv[1]);
	usage(stderr);
	return EXIT_USAGE;
}
