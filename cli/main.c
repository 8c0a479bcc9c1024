// SPDX-License-Identifier: GPL-2.0-or-later
/* `viaduct COMMAND ...` runs the program viaduct-COMMAND that lies beside this one. */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"
#include "common/cleanup.h"

#define EXIT_USAGE 2

struct command {
	const char *name;
	const char *what;
};

static const struct command commands[] = {
	{"vf", "find, carve, configure, bind and release SR-IOV virtual functions"},
	{"doctor", "can this machine give devices to guests, and what to do if not"},
	{"run", "run a virtual machine with assigned PCI functions"},
	{"info", "running guests: their devices, and how each interrupt is delivered"},
	{"switch", "a virtual switch between guests and other ports"},
	{"lab", "boot an emulated host with SR-IOV, an IOMMU and nested KVM"},
};

static void usage(FILE *f)
{
	fputs("Usage: viaduct COMMAND [ARGUMENT...]\n\nCommands:\n", f);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-8s %s\n", commands[i].name, commands[i].what);
	fputs("\n`viaduct COMMAND --help` says more about one.\n", f);
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* Beside this program (a build tree), else where they are installed. Returns only on failure. */
static void command_exec(const char *name, char **argv)
{
	_cleanup_free_ char *beside = NULL, *installed = NULL;
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash &&
			asprintf(&beside, "%.*s/viaduct-%s", (int)(slash - self), self, name) > 0)
			execv(beside, argv);
	}
	if (n <= 0 || errno == ENOENT)
		if (asprintf(&installed, "%s/viaduct-%s", VIADUCT_LIBEXECDIR, name) > 0)
			execv(installed, argv);
}

int main(int argc, char **argv)
{
	_cleanup_free_ char *name = NULL;

	output_guard("viaduct");
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("viaduct " VIADUCT_VERSION);
		return 0;
	}
	if (!command_find(argv[1])) {
		fprintf(stderr, "viaduct: unknown command '%s'; `viaduct --help` lists them\n",
			argv[1]);
		return EXIT_USAGE;
	}
	/* argp's messages then name the command as it was typed. */
	if (asprintf(&name, "viaduct %s", argv[1]) > 0) {
		const char *command = argv[1];

		argv[1] = name;
		command_exec(command, argv + 1);
		fprintf(stderr,
			"viaduct: cannot run viaduct-%s: %m; build the project or install it\n",
			command);
	}
	return 1;
}
