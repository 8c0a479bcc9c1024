// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "vswitch/eal.h"

/* Behind ours: it defines container_of() unless somebody has. */
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#define WORDS 24

struct words {
	char text[WORDS][192];
	char *argv[WORDS];
	int argc;
};

static void word_add(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void word_add(struct words *w, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(w->text[w->argc], sizeof(w->text[0]), fmt, args);
	va_end(args);
	w->argv[w->argc] = w->text[w->argc];
	w->argc++;
}

/* By default the last CPU we may use: the first has most of the interrupts. */
static int cores_choose(const struct switch_config *cfg, const cpu_set_t *set, struct err *e,
	int cores[SWITCH_CORES_MAX], unsigned int *n)
{
	*n = cfg->nr_cores ? cfg->nr_cores : 1;
	for (unsigned int i = 0; i < cfg->nr_cores; i++) {
		if (!CPU_ISSET(cfg->cores[i], set))
			return switch_config_blame(cfg,
				err_set(e, EINVAL, "core: %d is no CPU this process may use",
					cfg->cores[i]),
				e, "%s", cfg->cores_key);
		cores[i] = cfg->cores[i];
	}
	if (cfg->nr_cores)
		return 0;
	for (int i = CPU_SETSIZE - 1; i >= 0; i--)
		if (CPU_ISSET(i, set)) {
			cores[0] = i;
			return 0;
		}
	return err_set(e, EINVAL, "no CPU may be used");
}

/* DPDK makes DIR/dpdk/PREFIX and its socket in there: DIR is that of our control socket. */
struct run_dir {
	char dir[CONFIG_PATH_MAX], prefix[CONFIG_PATH_MAX];
	char sub[CONFIG_PATH_MAX + 8], own[2 * CONFIG_PATH_MAX + 8];
	char socket[2 * CONFIG_PATH_MAX + 32];
	bool fits;
};

static struct run_dir run_dir_of(const struct switch_config *cfg)
{
	const char *slash = strrchr(cfg->socket, '/');
	struct run_dir r = {0};

	snprintf(r.dir, sizeof(r.dir), "%.*s", (int)(slash - cfg->socket), cfg->socket);
	if (!r.dir[0])
		strcpy(r.dir, "/");
	snprintf(r.prefix, sizeof(r.prefix), "%s", slash + 1);
	snprintf(r.sub, sizeof(r.sub), "%s/dpdk", r.dir);
	snprintf(r.own, sizeof(r.own), "%s/%s", r.sub, r.prefix);
	snprintf(r.socket, sizeof(r.socket), "%s/dpdk_telemetry.v2", r.own);
	r.fits = strlen(r.socket) < CONFIG_PATH_MAX;
	return r;
}

void eal_finish(const struct switch_config *cfg)
{
	struct run_dir r = run_dir_of(cfg);

	unlink(r.socket);
	rmdir(r.own);
	rmdir(r.sub);
}

int eal_start(const struct switch_config *cfg, struct err *e, int ret_cores[SWITCH_CORES_MAX],
	unsigned int *ret_n)
{
	_cleanup_free_ struct words *w = calloc(1, sizeof(*w));
	struct run_dir run = run_dir_of(cfg);
	unsigned int nr_cores;
	cpu_set_t set;
	char *lcores;
	size_t at;
	int r;

	if (!w)
		return err_set(e, ENOMEM, "out of memory");
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return err_sys(e, errno, "read the CPUs this process may use");
	r = cores_choose(cfg, &set, e, ret_cores, &nr_cores);
	if (r < 0)
		return r;
	word_add(w, "viaduct-switch");
	word_add(w, "--lcores=0@%d", ret_cores[0]);
	lcores = w->text[w->argc - 1];
	at = strlen(lcores);
	for (unsigned int i = 0; i < nr_cores && at < sizeof(w->text[0]); i++)
		at += (size_t)snprintf(
			lcores + at, sizeof(w->text[0]) - at, ",%u@%d", i + 1, ret_cores[i]);
	/* What a killed switch left: its control socket is ours now. */
	eal_finish(cfg);
	if (run.fits) {
		word_add(w, "--telemetry");
	} else {
		log_warn("the path of the control socket is too long for a telemetry socket "
			 "beside it: there is no telemetry");
		word_add(w, "--no-telemetry");
	}
	word_add(w, "--no-shconf");
	word_add(w, "--file-prefix=%s", run.prefix);
	word_add(w, "-m");
	word_add(w, "%u", cfg->memory_mib);
	if (cfg->hugepages) {
		word_add(w, "--in-memory");
		word_add(w, "--single-file-segments");
	} else {
		word_add(w, "--no-huge");
		/* Nothing else fits memory whose physical addresses nobody promises. */
		word_add(w, "--iova-mode=va");
	}
	/* With a list of one that cannot be, nothing is taken until a port asks for it. */
	word_add(w, "--allow=ffff:ff:1f.7");
	if (log_level_get() < LOG_LEVEL_DEBUG) {
		word_add(w, "--log-level=*:error");
		/* They complain of what they try in vain and then do without. */
		word_add(w, "--log-level=pmd.net.tap:emergency");
		word_add(w, "--log-level=lib.ethdev:critical");
	}

	setenv("RUNTIME_DIRECTORY", run.dir, 1);
	r = rte_eal_init(w->argc, w->argv);
	unsetenv("RUNTIME_DIRECTORY");
	if (r < 0)
		eal_finish(cfg);
	if (r < 0)
		return err_sys(e, rte_errno,
			"start DPDK with %u MiB of %s; VIADUCT_LOG=debug shows what it says",
			cfg->memory_mib, cfg->hugepages ? "huge pages" : "memory");
	/* It has pinned us to the first thread's core. */
	sched_setaffinity(0, sizeof(set), &set);
	*ret_n = nr_cores;
	return 0;
}
