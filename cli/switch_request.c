// SPDX-License-Identifier: GPL-2.0-or-later
/* One request to a switch that runs, and its answer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/switch.h"
#include "common/cleanup.h"
#include "vswitch/vswitch.h"

const char *switch_socket(const char *given, struct err *e)
{
	const char *path = given ? given : getenv("VIADUCT_SWITCH");

	if (!path)
		err_set(e, EDESTADDRREQ, "give --socket PATH or set VIADUCT_SWITCH");
	return path;
}

char *switch_request_line(const char *method, json_t *params, struct err *e)
{
	json_t *request = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 1, "method",
		method, "params", params);
	_cleanup_free_ char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	char *line = NULL;

	json_decref(request);
	if (!text || asprintf(&line, "%s\n", text) < 0)
		err_set(e, EILSEQ, "arguments must be text in UTF-8");
	return line;
}

int switch_answer(const char *text, struct err *e, json_t **ret)
{
	json_t *reply = json_loads(text, 0, NULL), *result = json_object_get(reply, "result");
	const char *message =
		json_string_value(json_object_get(json_object_get(reply, "error"), "message"));
	int r = 0;

	if (result)
		*ret = json_incref(result);
	else
		r = err_set(e, EPROTO, "%s", message ? message : "no answer that can be read");
	json_decref(reply);
	return r;
}

int switch_request(
	const char *socket, const char *method, json_t *params, struct err *e, json_t **ret)
{
	_cleanup_free_ char *line = switch_request_line(method, params, e), *answer = NULL;
	const char *path = switch_socket(socket, e);
	int r;

	if (!line || !path)
		return -e->code;
	r = control_ask(path, line, e, &answer);
	return r < 0 ? r : switch_answer(answer, e, ret);
}
