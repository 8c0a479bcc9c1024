// SPDX-License-Identifier: GPL-2.0-or-later
/* Any bytes as the file of `vf apply`: refused with a reason, or something that makes sense. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz_check.h"
#include "vf-manager/desired.h"

static void pf_check(const struct vfm_desired_pf *pf)
{
	static const uint8_t none[6];

	CHECK(pf->selector[0] && memchr(pf->selector, 0, sizeof(pf->selector)));
	CHECK(pf->num_vfs >= -1 && pf->num_vfs <= 65535);
	CHECK(pf->autoprobe >= -1 && pf->autoprobe <= 1);
	CHECK(pf->line > 0);
	for (size_t i = 0; i < pf->n_vfs; i++) {
		const struct vfm_desired_vf *vf = &pf->vf[i];
		const struct vfm_settings *s = &vf->settings;

		CHECK(!i || vf->index > vf[-1].index);
		CHECK(pf->num_vfs < 0 || vf->index < (unsigned)pf->num_vfs);
		CHECK(vfm_settings_check(s, NULL) == 0);
		CHECK(vf->line > 0);
		for (size_t j = 0; j < i && i < 64; j++)
			CHECK(!(s->set & pf->vf[j].settings.set & VFM_BIT(MAC)) ||
				memcmp(s->mac, pf->vf[j].settings.mac, 6) ||
				!memcmp(s->mac, none, 6));
	}
}

/* Pieces from which random numbers make something that is nearly right. */
static const char *const pieces[] = {"pfs:\n", "- pf: 0000:01:00.0\n", "- pf: eth0\n",
	"  num-vfs: 7\n", "  num-vfs: 0\n", "  vfs:\n", "  - index: 0\n", "  - index: 0-3\n",
	"  - {index: 3, mac: 52:54:00:00:00:01}\n", "    mac: 52:54:00:00:00:01\n",
	"    mac: null\n", "    vlan: 100\n", "    vlan: 4095\n", "    vlan: 0\n", "    qos: 7\n",
	"    proto: 802.1ad\n", "    min-rate: 10\n", "    max-rate: 5\n", "    driver: vfio-pci\n",
	"    status: {a: [1, {b: c}]}\n", "  exclusive: true\n", "  pool: p\n", "*x", "&x ", "{",
	"---\n", "  - index: 9-1\n", "  status: x\n"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfm_desired *d = NULL;
	struct err e = {0};
	char text[4096];
	size_t len = 0;

	if (vfm_desired_parse("x", data, size, &d, &e) < 0)
		CHECK(e.code && !strncmp(e.text, "x", 1) && !d);
	vfm_desired_free(d);
	d = NULL;
	for (size_t i = 0; i < size && i < 24; i++) {
		/* The first lines are right more often than not, so that there is a middle. */
		const char *piece =
			i < 2 && data[i] & 1
				? pieces[i]
				: pieces[data[i] % (sizeof(pieces) / sizeof(pieces[0]))];

		if (len + strlen(piece) < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", piece);
	}
	if (vfm_desired_parse("x", text, len, &d, &e) < 0)
		CHECK(e.code && e.text[0] && !d);
	for (size_t i = 0; d && i < d->n_pfs; i++)
		pf_check(&d->pf[i]);
	vfm_desired_free(d);
	return 0;
}
