/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON-RPC 2.0, from the text of a request to the text of its answer. Methods come in groups, one
 * table a file. Knows nothing of sockets and of whose methods they are: what a method works on is @ctx.
 */
#ifndef VIADUCT_COMMON_RPC_H
#define VIADUCT_COMMON_RPC_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "common/err.h"

#define RPC_BATCH_MAX  32 /* an answer may be a thousand times as long as its request */
#define RPC_PARAMS_MAX 6

/* JSON-RPC 2.0 §5.1; what the methods refuse is 1. */
enum {
	RPC_PARSE = -32700,
	RPC_INVALID = -32600,
	RPC_NO_METHOD = -32601,
	RPC_PARAMS = -32602,
	RPC_INTERNAL = -32603,
	RPC_REFUSED = 1
};

struct rpc_answer {
	json_t *result; /* a reference */
	int code;       /* 0 = @result is the answer */
	struct err e;
};

struct rpc_method {
	const char *name; /* NULL ends a group */
	void (*call)(void *ctx, const json_t *params, struct rpc_answer *a);
	/* The names @params may have, in the order they have when given as an array; ends with NULL. */
	const char *params[RPC_PARAMS_MAX + 1];
};

/* The answer is an error: @code and what is wrong. */
void rpc_fail(struct rpc_answer *a, int code, const char *text);

/* The answer is true, or, when @r is negative, that it was refused and why is in @a->e. */
void rpc_done(struct rpc_answer *a, int r);

/* @params' text @name, or NULL with the answer set: @what says what it must be. */
const char *rpc_text(
	const json_t *params, const char *name, const char *what, struct rpc_answer *a);

/*
 * Carry out the request, or the batch of them, in @len bytes at @line. @groups ends with NULL.
 * Returns 0 or -ENOMEM. *@ret is the answer, which the caller frees, or NULL: a notification has none.
 */
int rpc_serve(const struct rpc_method *const *groups, void *ctx, const char *line, size_t len,
	char **ret);

/* The answer to what cannot be read as far as a request: code and message. NULL: out of memory. */
char *rpc_error(int code, const char *message);

#endif
