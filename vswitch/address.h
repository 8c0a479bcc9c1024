/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of this machine that only itself can reach. */
#ifndef VIADUCT_VSWITCH_ADDRESS_H
#define VIADUCT_VSWITCH_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

/* "127.0.0.1:9100", "[::1]:9100". Returns 0, -EINVAL, or -EACCES: others could reach it. */
int address_parse(const char *text, struct address *ret);

#endif
