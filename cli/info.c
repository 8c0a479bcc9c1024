// SPDX-License-Identifier: GPL-2.0-or-later
/* `viaduct info`: asks running guests what they are, and how their interrupts are delivered. */
#include "cli/info.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/guest_socket.h"
#include "cli/json.h"
#include "cli/output.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/sysfs.h"

#define ANSWER_MS 5000
#define LIST_MS   1000 /* of each: one that is stopped must not hide the others for long */

/* docs/man/viaduct-info.1.scd lists the same. */
enum { INFO_DONE = 0, INFO_FAILED = 1, INFO_USAGE = 2, INFO_NO_GUEST = 3 };

enum { OPT_IRQS = 256, OPT_WATCH };

struct info {
	const char *name; /* NULL: all guests */
	bool irqs, json;
	unsigned int watch; /* seconds, 0 = once */
	int dir_fd;
};

static const struct argp_option options[] = {
	{"irqs", OPT_IRQS, NULL, 0, "Each interrupt vector of the guest and how it is delivered",
		0},
	{"json", 'j', NULL, 0, "Print JSON", 0},
	{"watch", OPT_WATCH, "SECONDS", 0,
		"Print again every so many seconds, until the guest ends; JSON then takes a line "
		"each time",
		0},
	{0},
};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct info *info = state->input;
	unsigned long v;
	char *end;

	switch (key) {
	case OPT_IRQS: info->irqs = true; break;
	case 'j': info->json = true; break;
	case OPT_WATCH:
		errno = 0;
		v = strtoul(arg, &end, 10);
		if (*arg < '0' || *arg > '9' || *end || errno || v < 1 || v > 86400)
			argp_error(
				state, "--watch: '%s' is not a number of seconds from 1 up", arg);
		info->watch = (unsigned int)v;
		break;
	case ARGP_KEY_ARG:
		if (info->name)
			argp_error(state, "one NAME; '%s' is too many", arg);
		if (!guest_name_valid(arg))
			argp_error(state, "'%s' is no name a guest can have", arg);
		info->name = arg;
		break;
	case ARGP_KEY_END:
		if (info->irqs && !info->name)
			argp_error(state, "--irqs: of which guest? Give its NAME");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const char doc[] =
	"Say what a running guest is and has, or list the running guests of this user.\v"
	"Exit status: 0 done, 1 the guest does not answer or cannot be asked, 2 wrong usage, 3 no "
	"guest of that name runs.";

/* ---- asking ---- */

static int ask(const struct info *info, const char *name, const char *method, int timeout_ms,
	struct err *e, json_t **ret)
{
	_cleanup_free_ char *line = NULL, *text = NULL;
	json_t *reply, *result;
	int r;

	if (asprintf(&line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\"}\n", method) < 0)
		return err_set(e, ENOMEM, "out of memory");
	r = guest_ask(info->dir_fd, name, line, timeout_ms, e, &text);
	if (r < 0)
		return r;
	reply = json_loads(text, 0, NULL);
	result = json_object_get(reply, "result");
	if (json_is_object(result))
		*ret = json_incref(result);
	else
		r = err_set(e, EPROTO, "guest '%s': no answer that can be read", name);
	json_decref(reply);
	return r;
}

/* One that does not answer is in the list, with the reason. NULL: it has ended. */
static json_t *list_entry(const struct info *info, const char *name)
{
	json_t *o = NULL, *pid = json_null();
	struct err e = {0};
	int r = ask(info, name, "guest", LIST_MS, &e, &o);
	pid_t process;

	if (r == 0 || r == -ENOENT) {
		json_decref(pid);
		return o;
	}
	process = guest_pid(info->dir_fd, name);
	if (process)
		pid = json_integer(process);
	return json_pack("{s:s, s:o, s:s}", "name", name, "pid", pid, "error", e.text);
}

static int list(const struct info *info, struct err *e, json_t **ret)
{
	json_t *guests = json_array();
	char **names;
	int n = info->dir_fd < 0 ? 0 : guest_names(info->dir_fd, &names);

	if (n < 0) {
		json_decref(guests);
		return err_sys(e, -n, "list the running guests");
	}
	for (int i = 0; i < n; i++) {
		json_t *o = list_entry(info, names[i]);

		if (o)
			json_array_append_new(guests, o);
	}
	if (info->dir_fd >= 0)
		sysfs_list_free(names);
	*ret = json_pack("{s:o}", "guests", guests);
	return *ret ? 0 : err_set(e, ENOMEM, "out of memory");
}

/* ---- showing ---- */

static int show(const struct info *info, struct err *e)
{
	json_t *o;
	int r;

	if (!info->name)
		r = list(info, e, &o);
	else
		r = ask(info, info->name, info->irqs ? "irqs" : "guest", ANSWER_MS, e, &o);
	if (r < 0)
		return r;
	if (info->json) {
		json_incref(o);
		r = (info->watch ? json_print_line(o) : json_print(o)) ? -EIO : 0;
	} else if (!info->name && !json_array_size(json_object_get(o, "guests"))) {
		fputs("no guests run\n", stderr);
	} else if (!info->name) {
		r = info_list_print(json_object_get(o, "guests"));
	} else {
		r = info->irqs ? info_irqs_print(o) : info_guest_print(o);
	}
	json_decref(o);
	/* The guard of stdout says why. */
	if (r < 0 || fflush(stdout))
		exit(INFO_FAILED);
	return 0;
}

static int watch(const struct info *info, struct err *e)
{
	bool screen = !info->json && isatty(STDOUT_FILENO);
	int r;

	for (bool again = false;; again = true) {
		if (screen)
			fputs("\033[H\033[J", stdout);
		else if (again && !info->json)
			putchar('\n');
		r = show(info, e);
		/* It ran when we began: that it ends is what was waited for. */
		if (r == -ENOENT && again)
			return 0;
		if (r < 0)
			return r;
		nanosleep(&(struct timespec){.tv_sec = info->watch}, NULL);
	}
}

int main(int argc, char **argv)
{
	static const struct argp argp = {options, parse_opt, "[NAME]", doc, NULL, NULL, NULL};
	struct info info = {0};
	struct err e = {0};
	int r;

	argp_err_exit_status = INFO_USAGE;
	output_guard("viaduct info");
	argp_parse(&argp, argc, argv, 0, NULL, &info);
	info.dir_fd = guest_dir_open(false, &e);
	r = info.dir_fd < 0 ? info.dir_fd : 0;
	/* Without a directory there are no guests. */
	if (r == -ENOENT && info.name)
		err_set(&e, ENOENT, "no guest '%s' runs", info.name);
	else if (r == -ENOENT)
		r = 0;
	if (r == 0)
		r = info.watch ? watch(&info, &e) : show(&info, &e);
	fd_close(info.dir_fd);
	if (r == 0)
		return INFO_DONE;
	fprintf(stderr, "viaduct info: %s\n", e.text);
	return r == -ENOENT ? INFO_NO_GUEST : INFO_FAILED;
}
