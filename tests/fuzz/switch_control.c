// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any bytes as a request on the control socket: what is answered is JSON-RPC 2.0 or nothing, and no
 * method is called with a parameter it does not name. Any words as changes of a port, and any two
 * descriptions of a switch: what is read back from JSON is the same, and the plan from one to the other
 * leaves nothing to do when it is carried out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/config_json.h"
#include "vswitch/plan.h"
#include "common/rpc.h"
#include "tests/fuzz/fuzz_check.h"

static void echo(void *ctx, const json_t *params, struct rpc_answer *a)
{
	const char *key;
	json_t *v;

	(*(unsigned int *)ctx)++;
	CHECK(json_is_object(params));
	json_object_foreach((json_t *)params, key, v) CHECK(!strcmp(key, "a") || !strcmp(key, "b"));
	a->result = json_incref((json_t *)params);
}

static const struct rpc_method methods[] = {{"m", echo, {"a", "b"}}, {NULL}};
static const struct rpc_method *const groups[] = {methods, NULL};

static void answer_check(const json_t *a)
{
	const json_t *error = json_object_get(a, "error"), *result = json_object_get(a, "result");

	CHECK(!strcmp(json_string_value(json_object_get(a, "jsonrpc")), "2.0"));
	CHECK(json_object_get(a, "id") && !error != !result);
	CHECK(!error || (json_is_integer(json_object_get(error, "code")) &&
				json_is_string(json_object_get(error, "message"))));
}

static void request_try(const char *text, size_t len)
{
	unsigned int calls = 0;
	char *answer;
	json_t *o, *one;
	size_t i;

	CHECK(rpc_serve(groups, &calls, text, len, &answer) == 0);
	CHECK(calls <= RPC_BATCH_MAX);
	if (!answer)
		return;
	CHECK(!strchr(answer, '\n'));
	o = json_loads(answer, 0, NULL);
	CHECK(o);
	if (json_is_array(o))
		json_array_foreach(o, i, one) answer_check(one);
	else
		answer_check(o);
	json_decref(o);
	free(answer);
}

static const char *const request_pieces[] = {"{", "}", "[", "]", ",", ":", "\"jsonrpc\":\"2.0\"",
	"\"id\":1", "\"id\":null", "\"method\":\"m\"", "\"params\":", "\"a\":", "\"b\":3", "[1]",
	"{\"jsonrpc\":\"2.0\",\"method\":\"m\"}",
	"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"m\"}", "\"c\":1", "1e999", "\"\\ud800\"",
	"{}", "-1"};

static const char *const words[] = {"mtu=9000", "mtu=", "vlan.access=7", "vlan.trunk=1-9",
	"vlan.native=3", "vlan=", "police.kbit=8", "police=1", "isolated=true", "tap=x",
	"tap=", "vhost-user=/s", "name=b", "storm.unknown=4", "no-flood=unknown",
	"anti-spoofing.mac=x", "shape.rate=1gbit", "rx-cores=1,2", "x.y=z", "=", "a.=b"};

/* Lines of which random numbers make a description that is often right. */
static const char *const lines[] = {"- {name: a, vhost-user: /a}\n",
	"- {name: b, vhost-user: /b}\n", "- {name: c, tap: t0, mtu: 9000}\n",
	"- {name: c, vhost-user: /a}\n", "- {name: a, vhost-user: /b}\n",
	"- {name: a, vhost-user: /a, isolated: true}\n",
	"- {name: b, vhost-user: /b, police: {kbit: 9000}}\n", "- {name: d, pcap: {tx: /d}}\n",
	"- {name: e, device: t0}\n", "- {name: b, vhost-user: /b, client: true}\n"};
static const char *const ends[] = {"", "fdb: {ageing: 9}\n",
	"fdb: {static: [{mac: '02:00:00:00:00:01', port: a}]}\n",
	"fdb: {static: [{mac: '02:00:00:00:00:01', port: b}]}\n",
	"mirrors: [{name: m, from: [a], to: b}]\n", "mirrors: [{name: m, from: [b], vlan: 7}]\n"};

#define NR(list) (sizeof(list) / sizeof((list)[0]))

static void pieces_join(const uint8_t *data, size_t size, const char *const *pieces, size_t nr,
	char *ret, size_t max)
{
	size_t len = strlen(ret);

	for (size_t i = 0; i < size; i++)
		if (len + strlen(pieces[data[i] % nr]) < max)
			len += (size_t)snprintf(ret + len, max - len, "%s", pieces[data[i] % nr]);
}

static void port_try(const uint8_t *data, size_t size)
{
	json_t *o = json_pack("{s:s, s:s}", "name", "a", "tap", "t");
	struct port_config c, again;
	struct err e = {0};
	char *text;

	for (size_t i = 0; i < size && i < 8; i++)
		port_words_apply(o, &words[data[i] % NR(words)], 1, &e);
	text = json_dumps(o, 0);
	CHECK(text);
	json_decref(o);
	if (port_config_parse("x", text, strlen(text), &e, &c) == 0) {
		free(text);
		o = port_config_json(&c);
		text = json_dumps(o, 0);
		CHECK(port_config_parse("x", text, strlen(text), &e, &again) == 0);
		CHECK(!memcmp(&c, &again, sizeof(c)));
		json_decref(o);
	}
	free(text);
}

static struct switch_config *switch_make(const uint8_t *data, size_t size)
{
	char text[2048] = "socket: /s\nports:\n";
	struct switch_config *c = NULL;

	if (!size)
		return NULL;
	pieces_join(data + 1, size - 1 < 5 ? size - 1 : 5, lines, NR(lines), text, sizeof(text));
	pieces_join(data, 1, ends, NR(ends), text, sizeof(text));
	return switch_config_parse("x", text, strlen(text), NULL, &c) < 0 ? NULL : c;
}

/* The ports of the model after the plan, by name, in @have. */
static void plan_play(const struct plan *p, const struct switch_config *now,
	const struct port_config **have, size_t *n)
{
	for (size_t i = 0; i < now->nr_ports; i++)
		have[(*n)++] = &now->ports[i];
	for (size_t s = 0; s < p->nr_steps; s++) {
		const struct port_config *port = p->steps[s].port;
		size_t at = 0;

		while (port && at < *n && strcmp(have[at]->name, port->name))
			at++;
		switch (p->steps[s].kind) {
		case PLAN_PORT_ADD:
			CHECK(at == *n);
			for (size_t i = 0; i < *n; i++)
				CHECK(!port_config_shared(have[i], port));
			have[(*n)++] = port;
			break;
		case PLAN_PORT_REPLACE:
		case PLAN_PORT_DEL:
			CHECK(at < *n);
			have[at] = have[--*n];
			break;
		case PLAN_PORT_SET:
			CHECK(at < *n && port_config_same_backend(have[at], port));
			have[at] = port;
			break;
		case PLAN_MIRROR_DEL:
		case PLAN_MIRROR_ADD:
		case PLAN_STATIC_DEL:
		case PLAN_STATIC_ADD:
		case PLAN_AGEING: break;
		}
	}
}

static void plan_try(const struct switch_config *now, const struct switch_config *want)
{
	const struct port_config *have[32];
	struct plan *p = NULL;
	size_t n = 0;

	CHECK(plan_create(now, want, NULL, &p) == 0);
	plan_play(p, now, have, &n);
	CHECK(n == want->nr_ports);
	for (size_t i = 0; i < n; i++) {
		const struct port_config *w = switch_config_port(want, have[i]->name);

		CHECK(w && !memcmp(w, have[i], sizeof(*w)));
	}
	plan_destroy(p);
	CHECK(plan_create(want, want, NULL, &p) == 0 && !p->nr_steps);
	plan_destroy(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct switch_config *now, *want;
	char text[2048] = "";

	request_try((const char *)data, size);
	pieces_join(data, size, request_pieces, NR(request_pieces), text, sizeof(text));
	request_try(text, strlen(text));
	port_try(data, size);
	now = switch_make(data, size / 2);
	want = switch_make(data + size / 2, size - size / 2);
	if (now && want)
		plan_try(now, want);
	switch_config_destroy(now);
	switch_config_destroy(want);
	return 0;
}
