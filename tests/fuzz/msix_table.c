// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The MSI-X table against a plain array: what the guest reads is what it wrote, KVM has exactly the
 * vectors the table says with the messages it says, every interrupt is delivered or pending, and
 * the owner of the device knows the fds. With a kernel that refuses calls at times, no vector is
 * ever attached that should not be, and disabling brings everything in step again.
 */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/fakes/irq_recorder.h"
#include "tests/fuzz/fuzz_check.h"
#include "vmm/msi.h"

#define ACTIVE 8 /* entries the input can name; the rest must stay as they are */

struct model {
	unsigned int n;
	bool enabled, fmask;
	uint32_t word[MSIX_MAX][4];
	bool pending[MSIX_MAX];
};

struct world {
	struct irq_recorder rec;
	struct irq_router *router;
	struct msix *msix;
	struct model m;
	/* the owner */
	bool armed;
	int fds[MSIX_MAX];
	/* failures to come: the n-th attach, route commit or arm from now; 0 = none */
	unsigned int fail_in;
	bool failed; /* one happened since the capability was last disabled */
	const uint8_t *data;
	size_t left;
};

/* ---- a kernel that fails, but never at a detach: KVM does not either ---- */

static bool fails(struct world *w)
{
	if (!w->fail_in || --w->fail_in)
		return false;
	w->failed = true;
	return true;
}

static int routes_set(void *ctx, const struct kvm_irq_routing *routes)
{
	struct world *w = ctx;
	struct irq_backend be = irq_recorder_backend(&w->rec);

	return fails(w) ? -12 : be.routes_set(be.ctx, routes);
}

static int irqfd(void *ctx, int fd, uint32_t gsi, bool assign)
{
	struct world *w = ctx;
	struct irq_backend be = irq_recorder_backend(&w->rec);

	return assign && fails(w) ? -12 : be.irqfd(be.ctx, fd, gsi, assign);
}

static int arm(void *ctx, unsigned int count, const int *fds)
{
	struct world *w = ctx;

	CHECK(count == w->m.n);
	if (fails(w))
		return -5;
	/* VFIO would lose interrupts if a vector's fd changed behind its back. */
	for (unsigned int i = 0; w->armed && i < count; i++)
		CHECK(w->fds[i] < 0 || w->fds[i] == fds[i]);
	memcpy(w->fds, fds, count * sizeof(*fds));
	w->armed = true;
	return 0;
}

static void disarm(void *ctx)
{
	struct world *w = ctx;

	w->armed = false;
	memset(w->fds, 0xff, sizeof(w->fds));
}

/* ---- the model ---- */

static bool model_live(const struct model *m, unsigned int i)
{
	return m->enabled && !m->fmask && !(m->word[i][3] & 1);
}

static bool model_delivers(const struct model *m, unsigned int i)
{
	return model_live(m, i) && m->word[i][0] >> 20 == 0xfee && !m->word[i][1];
}

static void model_disable(struct model *m)
{
	m->enabled = false;
	memset(m->pending, 0, sizeof(m->pending));
}

static bool model_access(const struct model *m, uint64_t off, unsigned int len)
{
	return (len == 4 || len == 8) && !(off & (len - 1)) && off < m->n * 16ull;
}

static uint64_t model_read(const struct model *m, uint64_t off, unsigned int len)
{
	uint64_t v = 0;

	if (!model_access(m, off, len))
		return 0;
	for (unsigned int b = len; b--;)
		v = v << 8 |
		    (m->word[(off + b) / 16][(off + b) / 4 % 4] >> ((off + b) % 4 * 8) & 255);
	return v;
}

static void model_write(struct model *m, uint64_t off, unsigned int len, uint64_t v)
{
	if (!model_access(m, off, len))
		return;
	for (unsigned int b = 0; b < len; b += 4, v >>= 32)
		m->word[(off + b) / 16][(off + b) / 4 % 4] =
			(uint32_t)v & ((off + b) % 16 == 12 ? 1 : ~0u);
}

/* ---- side by side ---- */

static uint64_t take(struct world *w, unsigned int bytes)
{
	uint64_t v = 0;

	while (bytes--) {
		v = v << 8 | (w->left ? *w->data : 0);
		w->data += w->left != 0;
		w->left -= w->left != 0;
	}
	return v;
}

/* The first, the last and those around the ends of the words of the bitmaps. */
static unsigned int active(const struct world *w, unsigned int k)
{
	static const unsigned int at[ACTIVE] = {0, 1, 2, 62, 63, 64, 65, MSIX_MAX - 1};

	return at[k % ACTIVE] % w->m.n;
}

static bool attached(const struct world *w, int fd, unsigned int *ret_gsi)
{
	for (unsigned int i = 0; i < w->rec.n_attached; i++) {
		if (w->rec.attached[i].fd != fd)
			continue;
		*ret_gsi = w->rec.attached[i].gsi;
		return true;
	}
	return false;
}

static void compare(struct world *w)
{
	unsigned int n = 0, gsi = 0;

	for (unsigned int k = 0; k < ACTIVE; k++) {
		unsigned int i = active(w, k);
		bool on = w->fds[i] >= 0 && attached(w, w->fds[i], &gsi), again = false;

		CHECK(msix_table_read(w->msix, i * 16ull, 8) == model_read(&w->m, i * 16ull, 8));
		CHECK(msix_table_read(w->msix, i * 16ull + 8, 8) ==
			model_read(&w->m, i * 16ull + 8, 8));
		CHECK(!on || model_delivers(&w->m, i));
		CHECK(on == model_delivers(&w->m, i) || w->failed);
		if (on) {
			CHECK(w->rec.route[gsi].addr ==
				((uint64_t)w->m.word[i][1] << 32 | w->m.word[i][0]));
			CHECK(w->rec.route[gsi].data == w->m.word[i][2]);
		}
		for (unsigned int j = 0; j < k; j++)
			again |= active(w, j) == i;
		n += on && !again;
		if (w->failed)
			continue;
		CHECK((msix_pba_read(w->msix, i / 64 * 8, 8) >> (i % 64) & 1) == w->m.pending[i]);
		CHECK((msix_pba_read(w->msix, i / 32 * 4, 4) >> (i % 32) & 1) == w->m.pending[i]);
	}
	/* No other vector exists. */
	CHECK(w->rec.n_attached == n);
	CHECK(w->failed || w->armed == w->m.enabled);
}

/* What a change made live and was pending arrives now, once. */
static void settle(struct world *w)
{
	unsigned int want = 0;

	for (unsigned int i = 0; i < w->m.n; i++) {
		if (!w->m.pending[i] || !model_live(&w->m, i))
			continue;
		w->m.pending[i] = false;
		want += model_delivers(&w->m, i);
	}
	irq_recorder_run(&w->rec);
	CHECK(w->rec.n_msi == want || w->failed);
	irq_recorder_clear(&w->rec);
}

static void control(struct world *w, bool enable, bool fmask)
{
	msix_control(w->msix, (uint16_t)(enable << 15 | fmask << 14 | (w->m.n - 1)));
	w->m.fmask = fmask;
	if (w->m.enabled && !enable) {
		model_disable(&w->m);
		w->failed = false;
	}
	w->m.enabled = enable;
}

static void both_write(struct world *w, uint64_t off, unsigned int len, uint64_t v)
{
	msix_table_write(w->msix, off, len, v);
	model_write(&w->m, off, len, v);
}

static void step(struct world *w)
{
	unsigned int op = (unsigned int)take(w, 1), i = active(w, op >> 4);
	uint64_t off;

	switch (op % 11) {
	case 0: both_write(w, i * 16, 4, 0xfee00000 | (take(w, 1) << 12)); break;
	case 1: both_write(w, i * 16 + 8, 4, take(w, 1)); break;
	case 2:
	case 3: both_write(w, i * 16 + 12, 4, take(w, 1)); break;
	case 4: both_write(w, i * 16 + (op & 8), 8, take(w, 8)); break;
	case 5:
		/* Anything, also past the end of the table. */
		off = take(w, 2);
		if (off / 16 < w->m.n)
			off = off % 16 + active(w, (unsigned int)(off / 16)) * 16ull;
		both_write(w, off, op >> 4, take(w, 4));
		CHECK(msix_table_read(w->msix, off, op >> 4) == model_read(&w->m, off, op >> 4));
		break;
	case 6: control(w, (op & 0x30) != 0, op & 0x40); break;
	case 7:
	case 8:
		msix_fire(w->msix, i);
		w->m.pending[i] |= w->m.enabled;
		break;
	case 9: w->fail_in = op >> 4; break;
	case 10:
		if (op < 0x80)
			break;
		msix_reset(w->msix);
		model_disable(&w->m);
		w->m.fmask = false;
		w->failed = false;
		for (unsigned int j = 0; j < w->m.n; j++)
			memcpy(w->m.word[j], (uint32_t[4]){0, 0, 0, 1}, 16);
		CHECK(!w->armed);
		break;
	}
	settle(w);
	compare(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned int sizes[] = {1, 3, 64, 65, 128, MSIX_MAX};
	struct world *w = calloc(1, sizeof(*w));
	const struct msi_ops ops = {arm, disarm, w};
	struct irq_backend be;

	CHECK(w);
	log_level_set(LOG_LEVEL_ERROR);
	w->data = data;
	w->left = size;
	memset(w->fds, 0xff, sizeof(w->fds));
	irq_recorder_init(&w->rec);
	be = irq_recorder_backend(&w->rec);
	be.routes_set = routes_set;
	be.irqfd = irqfd;
	be.ctx = w;
	CHECK(!irq_router_create(&be, IRQ_RECORDER_GSIS, NULL, &w->router));
	w->m.n = sizes[take(w, 1) % 6];
	for (unsigned int i = 0; i < w->m.n; i++)
		w->m.word[i][3] = 1;
	CHECK(!msix_create(w->router, 8, w->m.n, &ops, NULL, &w->msix));
	while (w->left)
		step(w);
	for (unsigned int i = 0; i < w->m.n; i++)
		CHECK(msix_table_read(w->msix, i * 16, 8) == model_read(&w->m, i * 16, 8));
	msix_destroy(w->msix);
	CHECK(!w->armed && !w->rec.n_attached);
	irq_router_destroy(w->router);
	irq_recorder_finish(&w->rec);
	free(w);
	return 0;
}
