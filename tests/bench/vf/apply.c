// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What an apply of 256 VFs asks of a kernel that is files and a fake of rtnetlink, and what the second
 * apply of the same file does: it must change nothing. Prints JSON. Another number as argument.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/fakes/pci_kernel.h"
#include "vf-manager/apply.h"

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void __attribute__((noreturn)) give_up(const char *what, const struct err *e)
{
	fprintf(stderr, "vf-apply-bench: %s: %s\n", what, e->text);
	exit(1);
}

/* Changes and questions of an apply. */
static void apply(
	struct pci_kernel *k, struct vfm *v, const char *path, json_t *ret, const char *name)
{
	unsigned calls = k->knobs->calls, changes = k->knobs->changes;
	struct vfm_apply_options options = {.recreate = true};
	struct vfm_desired *want = NULL;
	struct vfm_plan *plan = NULL;
	struct err e = {0};
	double start = now_ms();

	if (vfm_desired_load(path, &want, &e) < 0 ||
		vfm_apply(v, want, NULL, &options, &plan, &e) < 0)
		give_up("apply", &e);
	json_object_set_new(ret, name,
		json_pack("{s:f, s:i, s:i}", "ms", now_ms() - start, "changes",
			(int)(k->knobs->changes - changes), "questions",
			(int)(k->knobs->calls - calls) - (int)(k->knobs->changes - changes)));
	vfm_plan_free(plan);
	vfm_desired_free(want);
}

static void file_write(const struct pci_kernel *k, const char *path, int vfs)
{
	FILE *f = fopen(path, "we");
	char name[BDF_STRLEN];

	if (!f)
		exit(1);
	fprintf(f, "pfs:\n- pf: %s\n  num-vfs: %d\n  vfs:\n", bdf_format(fake_many.bdf, name), vfs);
	for (int i = 0; i < vfs; i++)
		fprintf(f,
			"  - {index: %d, mac: 02:56:00:00:01:%02x, vlan: %d, driver: vfio-pci}\n",
			i, i, i + 1);
	fclose(f);
}

int main(int argc, char **argv)
{
	int vfs = argc > 1 ? atoi(argv[1]) : 256;
	json_t *top = json_pack("{s:i}", "vfs", vfs);
	struct err e = {0};
	struct pci_kernel k;
	char path[128];
	struct vfm *v;

	pci_kernel_init(&k);
	fake_pf_add(&k, &fake_many);
	if (vfm_create(&k.config, &v, &e) < 0)
		give_up("context", &e);
	snprintf(path, sizeof(path), "%s/vf.yaml", k.root);
	file_write(&k, path, vfs);
	apply(&k, v, path, top, "apply");
	apply(&k, v, path, top, "unchanged");
	vfm_destroy(v);
	pci_kernel_finish(&k);
	json_dumpf(top, stdout, JSON_REAL_PRECISION(4));
	putchar('\n');
	json_decref(top);
	return 0;
}
