// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc.h"

void rpc_fail(struct rpc_answer *a, int code, const char *text)
{
	a->code = code;
	err_set(&a->e, EINVAL, "%s", text);
}

void rpc_done(struct rpc_answer *a, int r)
{
	if (r < 0)
		a->code = RPC_REFUSED;
	else
		a->result = json_true();
}

const char *rpc_text(const json_t *params, const char *name, const char *what, struct rpc_answer *a)
{
	const char *text = json_string_value(json_object_get(params, name));

	if (!text) {
		a->code = RPC_PARAMS;
		err_set(&a->e, EINVAL, "\"%s\" must be %s", name, what);
	}
	return text;
}

static const struct rpc_method *method_find(
	const struct rpc_method *const *groups, const char *name)
{
	for (; *groups; groups++)
		for (const struct rpc_method *m = *groups; m->name; m++)
			if (!strcmp(m->name, name))
				return m;
	return NULL;
}

static bool param_known(const struct rpc_method *m, const char *name)
{
	for (const char *const *p = m->params; *p; p++)
		if (!strcmp(*p, name))
			return true;
	return false;
}

/* Parameters by name, from either form (§4.2). Returns a reference, or NULL with the answer set. */
static json_t *params_take(const struct rpc_method *m, json_t *params, struct rpc_answer *a)
{
	json_t *named, *value;
	const char *name;
	size_t i;

	if (!params)
		return json_object();
	if (json_is_object(params)) {
		json_object_foreach(params, name, value)
		{
			if (param_known(m, name))
				continue;
			a->code = RPC_PARAMS;
			err_set(&a->e, EINVAL, "%s has no parameter \"%.64s\"", m->name, name);
			return NULL;
		}
		return json_incref(params);
	}
	named = json_object();
	json_array_foreach(params, i, value)
	{
		if (i >= RPC_PARAMS_MAX || !m->params[i]) {
			a->code = RPC_PARAMS;
			err_set(&a->e, EINVAL, "%s has no more than %zu parameters", m->name, i);
			json_decref(named);
			return NULL;
		}
		json_object_set(named, m->params[i], value);
	}
	return named;
}

static void request_do(const struct rpc_method *const *groups, void *ctx, const json_t *request,
	struct rpc_answer *a)
{
	const char *version = json_string_value(json_object_get(request, "jsonrpc"));
	const char *name = json_string_value(json_object_get(request, "method"));
	json_t *params = json_object_get(request, "params"), *taken;
	const struct rpc_method *m;

	if (!version || strcmp(version, "2.0")) {
		rpc_fail(a, RPC_INVALID, "a request has \"jsonrpc\": \"2.0\"");
		return;
	}
	if (!name || (params && !json_is_object(params) && !json_is_array(params))) {
		rpc_fail(a, RPC_INVALID,
			"a request has \"method\" and, as an object or an array, \"params\"");
		return;
	}
	m = method_find(groups, name);
	if (!m) {
		rpc_fail(a, RPC_NO_METHOD, "there is no such method");
		return;
	}
	taken = params_take(m, params, a);
	if (taken)
		m->call(ctx, taken, a);
	json_decref(taken);
}

static json_t *error_json(const struct rpc_answer *a)
{
	json_t *o = json_pack("{s:i, s:s}", "code", a->code, "message", a->e.text);
	const char *name = strerrorname_np(a->e.code);

	/* A path in the message may hold what is no UTF-8. */
	if (!o)
		o = json_pack("{s:i, s:s}", "code", a->code, "message",
			"refused; the reason cannot be told in UTF-8");
	if (a->code == RPC_REFUSED && name)
		json_object_set_new(o, "data", json_pack("{s:s}", "errno", name));
	return o;
}

static json_t *reply_json(json_t *id, struct rpc_answer *a)
{
	json_t *o = json_pack("{s:s, s:O}", "jsonrpc", "2.0", "id", id);

	if (!a->code && a->result) {
		json_object_set_new(o, "result", a->result);
		return o;
	}
	json_decref(a->result);
	if (!a->code)
		rpc_fail(a, RPC_INTERNAL, "out of memory");
	json_object_set_new(o, "error", error_json(a));
	return o;
}

/* NULL: it was a notification. */
static json_t *one_serve(const struct rpc_method *const *groups, void *ctx, const json_t *request)
{
	json_t *id = json_object_get(request, "id"), *reply = NULL, *null = json_null();
	struct rpc_answer a = {0};
	bool valid;

	if (!json_is_object(request))
		rpc_fail(&a, RPC_INVALID, "a request is an object");
	else if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		rpc_fail(&a, RPC_INVALID, "\"id\" is a string, a number or null");
	valid = !a.code;
	if (valid)
		request_do(groups, ctx, request, &a);
	/* §4.1: who gives no id wants no answer, but what is no request at all has none to tell. */
	if (!valid)
		reply = reply_json(null, &a);
	else if (id || a.code == RPC_INVALID)
		reply = reply_json(id ? id : null, &a);
	else
		json_decref(a.result);
	return reply;
}

static json_t *batch_serve(const struct rpc_method *const *groups, void *ctx, const json_t *batch)
{
	struct rpc_answer a = {0};
	json_t *list, *request;
	size_t i;

	if (!json_array_size(batch) || json_array_size(batch) > RPC_BATCH_MAX) {
		a.code = RPC_INVALID;
		err_set(&a.e, EINVAL, "a batch has 1 to %d requests", RPC_BATCH_MAX);
		return reply_json(json_null(), &a);
	}
	list = json_array();
	json_array_foreach(batch, i, request)
	{
		json_t *reply = one_serve(groups, ctx, request);

		if (reply)
			json_array_append_new(list, reply);
	}
	if (json_array_size(list))
		return list;
	json_decref(list);
	return NULL;
}

int rpc_serve(
	const struct rpc_method *const *groups, void *ctx, const char *line, size_t len, char **ret)
{
	json_error_t where;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where),
	       *reply;
	struct rpc_answer a = {0};

	if (!request) {
		a.code = RPC_PARSE;
		err_set(&a.e, EINVAL, "no JSON: %s, at byte %d", where.text, where.position);
		reply = reply_json(json_null(), &a);
	} else if (json_is_array(request)) {
		reply = batch_serve(groups, ctx, request);
	} else {
		reply = one_serve(groups, ctx, request);
	}
	json_decref(request);
	*ret = NULL;
	if (!reply)
		return 0;
	*ret = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	return *ret ? 0 : -ENOMEM;
}

char *rpc_error(int code, const char *message)
{
	struct rpc_answer a = {0};
	json_t *reply;
	char *text;

	rpc_fail(&a, code, message);
	reply = reply_json(json_null(), &a);
	text = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	return text;
}
