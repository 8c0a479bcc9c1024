// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/boot_codec.h"

#ifdef HAVE_LZMA
#include <lzma.h>

/* The kernel's build uses a 32 MiB dictionary; a stream that asks for more than this is refused. */
#define XZ_MEMORY (160ull << 20)

static void *xz_open(void)
{
	lzma_stream *s = malloc(sizeof(*s));

	if (!s)
		return NULL;
	*s = (lzma_stream)LZMA_STREAM_INIT;
	if (lzma_stream_decoder(s, XZ_MEMORY, 0) != LZMA_OK) {
		free(s);
		return NULL;
	}
	return s;
}

static int xz_run(
	void *ctx, const uint8_t **in, const uint8_t *in_end, uint8_t **out, uint8_t *out_end)
{
	lzma_stream *s = ctx;
	lzma_ret r;

	s->next_in = *in;
	s->avail_in = (size_t)(in_end - *in);
	s->next_out = *out;
	s->avail_out = (size_t)(out_end - *out);
	r = lzma_code(s, LZMA_RUN);
	*in = s->next_in;
	*out = s->next_out;
	if (r == LZMA_STREAM_END)
		return 1;
	/* LZMA_BUF_ERROR only says that this call moved nothing; the caller notices. */
	if (r == LZMA_OK || r == LZMA_BUF_ERROR)
		return 0;
	return r == LZMA_MEM_ERROR || r == LZMA_MEMLIMIT_ERROR ? -ENOMEM : -EBADMSG;
}

static void xz_close(void *ctx)
{
	lzma_end(ctx);
	free(ctx);
}
#endif

#ifdef HAVE_ZSTD
#include <zstd.h>
#include <zstd_errors.h>

/* The kernel's build uses `zstd --ultra -22`: a window of 128 MiB. */
#define ZSTD_WINDOW_LOG 27

static void *zstd_open(void)
{
	ZSTD_DStream *s = ZSTD_createDStream();

	if (s)
		ZSTD_DCtx_setParameter(s, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	return s;
}

static int zstd_run(
	void *ctx, const uint8_t **in, const uint8_t *in_end, uint8_t **out, uint8_t *out_end)
{
	ZSTD_inBuffer i = {*in, (size_t)(in_end - *in), 0};
	ZSTD_outBuffer o = {*out, (size_t)(out_end - *out), 0};
	size_t r = ZSTD_decompressStream(ctx, &o, &i);

	*in += i.pos;
	*out += o.pos;
	if (ZSTD_isError(r))
		return ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation ? -ENOMEM : -EBADMSG;
	return r == 0;
}

static void zstd_close(void *ctx)
{
	ZSTD_freeDStream(ctx);
}
#endif

static const struct boot_codec codecs[] = {
#ifdef HAVE_LZMA
	{"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6, xz_open, xz_run, xz_close},
#endif
#ifdef HAVE_ZSTD
	{"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, zstd_open, zstd_run, zstd_close},
#endif
	{.name = NULL},
};

const struct boot_codec *boot_codec_find(const uint8_t *head)
{
	for (const struct boot_codec *c = codecs; c->name; c++)
		if (memcmp(head, c->magic, c->magic_len) == 0)
			return c;
	return NULL;
}

const char *boot_codec_names(void)
{
#if defined(HAVE_LZMA) && defined(HAVE_ZSTD)
	return "xz, zstd";
#elif defined(HAVE_LZMA)
	return "xz";
#elif defined(HAVE_ZSTD)
	return "zstd";
#else
	return "nothing";
#endif
}
