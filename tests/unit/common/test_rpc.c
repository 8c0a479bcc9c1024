// SPDX-License-Identifier: GPL-2.0-or-later
/* JSON-RPC 2.0: what is answered to what, with the codes of its §5.1. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/rpc.h"

static void echo(void *ctx, const json_t *params, struct rpc_answer *a)
{
	(*(int *)ctx)++;
	a->result = json_incref((json_t *)params);
}

static void refuse(void *ctx, const json_t *params, struct rpc_answer *a)
{
	rpc_done(a, err_set(&a->e, 2, "not here: \xff"));
}

static const struct rpc_method first[] = {{"echo", echo, {"a", "b"}}, {NULL}};
static const struct rpc_method second[] = {{"refuse", refuse, {NULL}}, {NULL}};
static const struct rpc_method *const groups[] = {first, second, NULL};

#define V       "\"jsonrpc\":\"2.0\","
#define E(code) "\"code\":" #code

static const struct {
	const char *line, *answer; /* NULL: none; else contained in it */
	int calls;
} lines[] = {
	{"{" V "\"id\":1,\"method\":\"echo\"}", "{" V "\"id\":1,\"result\":{}}", 1},
	{"{" V "\"id\":\"x\",\"method\":\"echo\",\"params\":{\"a\":3}}",
		"\"id\":\"x\",\"result\":{\"a\":3}", 1},
	{"{" V "\"id\":1,\"method\":\"echo\",\"params\":[3,4]}", "\"result\":{\"a\":3,\"b\":4}", 1},
	{"{" V "\"id\":null,\"method\":\"echo\"}", "\"id\":null,\"result\"", 1},
	{"{" V "\"id\":1,\"method\":\"echo\",\"params\":[3,4,5]}", E(-32602), 0},
	{"{" V "\"id\":1,\"method\":\"echo\",\"params\":{\"c\":5}}", E(-32602), 0},
	{"{" V "\"id\":1,\"method\":\"echo\",\"params\":3}", E(-32600), 0},
	{"{" V "\"method\":\"echo\"}", NULL, 1},
	{"{" V "\"method\":\"none\"}", NULL, 0},
	{"{" V "\"id\":1,\"method\":\"none\"}", E(-32601), 0},
	{"{" V "\"id\":7,\"method\":1}", "\"id\":7,\"error\":{" E(-32600), 0},
	{"{\"id\":7,\"method\":\"echo\"}", "\"id\":7,\"error\":{" E(-32600), 0},
	{"{" V "\"id\":[],\"method\":\"echo\"}", "\"id\":null,\"error\":{" E(-32600), 0},
	{"{" V "\"id\":1,\"method\":\"refuse\"}", "\"errno\":\"ENOENT\"", 0},
	{"", E(-32700), 0},
	{"{", E(-32700), 0},
	{"{} {}", E(-32700), 0},
	{"{\"a\":1,\"a\":2}", E(-32700), 0},
	{"\xff", "\"id\":null,\"error\":{" E(-32700), 0},
	{"{" V "\"id\":99999999999999999999}", E(-32700), 0},
	{"1", E(-32600), 0},
	{"[]", "{" V "\"id\":null,\"error\":{" E(-32600), 0},
	{"[1,2]",
		"[{" V
		"\"id\":null,\"error\":{" E(-32600) ",\"message\":\"a request is an object\"}},"
						    "{" V "\"id\":null",
		0},
	{"[{" V "\"id\":1,\"method\":\"echo\"},{" V "\"method\":\"echo\"}]",
		"[{" V "\"id\":1,\"result\":{}}]", 2},
	{"[{" V "\"method\":\"echo\"},{" V "\"method\":\"echo\"}]", NULL, 2},
};

START_TEST(rpc_answers_as_the_specification_says)
{
	int calls = 0;
	char *answer;

	ck_assert_int_eq(
		rpc_serve(groups, &calls, lines[_i].line, strlen(lines[_i].line), &answer), 0);
	if (lines[_i].answer)
		ck_assert_msg(answer && strstr(answer, lines[_i].answer), "%s: %s", lines[_i].line,
			answer ? answer : "none");
	else
		ck_assert_ptr_null(answer);
	ck_assert_int_eq(calls, lines[_i].calls);
	free(answer);
}
END_TEST

/* An answer may be a thousand times as long as its request. */
START_TEST(rpc_bounds_a_batch)
{
	json_t *batch = json_array();
	int calls = 0;
	char *text, *answer;

	for (int i = 0; i <= RPC_BATCH_MAX; i++)
		json_array_append_new(batch,
			json_pack("{s:s, s:i, s:s}", "jsonrpc", "2.0", "id", i, "method", "echo"));
	text = json_dumps(batch, 0);
	ck_assert_int_eq(rpc_serve(groups, &calls, text, strlen(text), &answer), 0);
	ck_assert(strstr(answer, E(-32600)) && !calls);
	free(answer);
	free(text);
	json_array_remove(batch, 0);
	text = json_dumps(batch, 0);
	ck_assert_int_eq(rpc_serve(groups, &calls, text, strlen(text), &answer), 0);
	ck_assert_int_eq(calls, RPC_BATCH_MAX);
	free(answer);
	free(text);
	json_decref(batch);
}
END_TEST

START_TEST(rpc_survives_deep_nesting)
{
	size_t n = 1 << 20;
	char *line = malloc(n), *answer;
	int calls = 0;

	memset(line, '[', n);
	ck_assert_int_eq(rpc_serve(groups, &calls, line, n, &answer), 0);
	ck_assert_ptr_nonnull(strstr(answer, E(-32700)));
	free(answer);
	answer = rpc_error(RPC_INVALID, "long");
	ck_assert_ptr_nonnull(strstr(answer, "\"id\":null,\"error\":{" E(-32600)));
	free(answer);
	free(line);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rpc");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, rpc_answers_as_the_specification_says, 0, ARRAY_SIZE(lines));
	tcase_add_test(t, rpc_bounds_a_batch);
	tcase_add_test(t, rpc_survives_deep_nesting);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
