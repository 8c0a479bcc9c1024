// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Config space as a hostile device has it: the input's first two bytes say how much of it can be read,
 * the rest are written over a sound one at places they name.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vf-manager/caps.h"

static bool is_tri(enum vfm_tri t)
{
	return t == VFM_NO || t == VFM_YES || t == VFM_UNKNOWN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfm_caps f;
	uint8_t *cfg, *cut;
	size_t len;

	if (size < 3 || size > 8192)
		return 0;
	len = (data[0] | (size_t)data[1] << 8) % 4200;
	cfg = calloc(1, 4200);
	if (!cfg)
		return 0;
	if (data[2] & 1) {
		memcpy(cfg, data + 3, size - 3 < 4200 ? size - 3 : 4200);
	} else {
		cfg[6] = 0x10;
		cfg[0x34] = 0x40;
		memcpy(cfg + 0x40, "\x10\x00\x42", 3);
		memcpy(cfg + 0x100, "\x10\x00\x01\x20\0\0\0\0\0\0\0\0\x08\0\x08\0", 16);
		memcpy(cfg + 0x200, "\x0d\x00\x01\x00\xff\0\xff", 7);
		for (size_t i = 3; i + 2 < size; i += 3)
			cfg[(data[i] | (size_t)data[i + 1] << 8) % 0x280] = data[i + 2];
	}
	/* Its exact size, so that a byte read past it is noticed. */
	cut = realloc(cfg, len ? len : 1);
	if (!cut)
		abort();
	vfm_caps_decode(cut, len, &f);
	if (!is_tri(f.sriov) || !is_tri(f.acs) || !is_tri(f.ari) || !is_tri(f.flr) ||
		!is_tri(f.ari_forwarding) || !is_tri(f.ari_forwarding_cap) || f.msi > 32 ||
		f.msix > 2048 || f.port > VFM_PORT_UNKNOWN)
		abort();
	/* What cannot have been seen is not denied. */
	if (len < 64 && (f.flr != VFM_UNKNOWN || f.msix || f.port != VFM_PORT_UNKNOWN))
		abort();
	if (len < 256 && (f.sriov != VFM_UNKNOWN || f.acs != VFM_UNKNOWN || f.ari != VFM_UNKNOWN))
		abort();
	free(cut);
	return 0;
}
