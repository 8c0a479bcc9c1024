// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "vswitch/control.h"
#include "vswitch/taps.h"

/* Optional "direction" into MIRROR_*. Returns false with the answer set. */
static bool direction_param(const json_t *params, struct rpc_answer *a, uint8_t *ret)
{
	const json_t *v = json_object_get(params, "direction");
	const char *s = v ? json_string_value(v) : "both";

	if (s && !strcmp(s, "in"))
		*ret = MIRROR_IN;
	else if (s && !strcmp(s, "out"))
		*ret = MIRROR_OUT;
	else if (s && !strcmp(s, "both"))
		*ret = MIRROR_IN | MIRROR_OUT;
	else
		rpc_fail(a, RPC_PARAMS, "\"direction\" must be \"in\", \"out\" or \"both\"");
	return !a->code;
}

/* The connection that asked gets the memory and the eventfd along with the answer; see control.c. */
static void capture_start(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const char *port = rpc_text(params, "port", "a port's name", a);
	const json_t *size = json_object_get(params, "size");
	json_int_t snaplen = size ? json_integer_value(size) : CAPTURE_SNAPLEN;
	struct capture *c;
	uint8_t directions = 0;

	if (!port || !direction_param(params, a, &directions))
		return;
	if (snaplen < 1 || snaplen > CAPTURE_SNAPLEN) {
		rpc_fail(a, RPC_PARAMS, "\"size\" must be 1 to 65535 bytes");
		return;
	}
	rpc_done(a, taps_capture_add(
			    vswitch_datapath(ctx), port, directions, (uint32_t)snaplen, &a->e, &c));
}

const struct rpc_method control_capture_methods[] = {
	{"capture.start", capture_start, {"port", "direction", "size"}},
	{NULL},
};
