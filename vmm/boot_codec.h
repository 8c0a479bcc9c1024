/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decompressors behind one small interface, told apart by the first bytes of the stream. */
#ifndef VIADUCT_VMM_BOOT_CODEC_H
#define VIADUCT_VMM_BOOT_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_codec {
	const char *name;
	uint8_t magic[6];
	size_t magic_len;
	void *(*open)(void); /* NULL: out of memory */
	/*
	 * Move bytes from [*in, in_end) to [*out, out_end) and advance both. 1: the stream is
	 * complete; 0: more input or room wanted; -EBADMSG: corrupt; -ENOMEM.
	 */
	int (*run)(void *s, const uint8_t **in, const uint8_t *in_end, uint8_t **out,
		uint8_t *out_end);
	void (*close)(void *s);
};

/* NULL: none that this build has. @head: at least 6 bytes. */
const struct boot_codec *boot_codec_find(const uint8_t *head);
/* "xz, zstd": what this build can unpack, for messages. */
const char *boot_codec_names(void);

#endif
