// SPDX-License-Identifier: GPL-2.0-or-later
#include "vswitch/counters.h"

const char *drop_reason_name(enum drop_reason r)
{
	static const char *const names[] = {
#define X(name, text, what) [DROP_##name] = text,
		DROP_REASONS(X)
#undef X
	};

	return r < DROP_REASON_COUNT ? names[r] : "unknown";
}

const char *drop_reason_text(enum drop_reason r)
{
	static const char *const texts[] = {
#define X(name, text, what) [DROP_##name] = what,
		DROP_REASONS(X)
#undef X
	};

	return r < DROP_REASON_COUNT ? texts[r] : "unknown";
}
