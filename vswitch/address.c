// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vswitch/address.h"

int address_parse(const char *text, struct address *ret)
{
	const char *colon = strrchr(text, ':');
	bool six = text[0] == '[';
	char host[INET6_ADDRSTRLEN] = "", *end;
	unsigned long port;
	size_t len;

	if (!colon || !isdigit((unsigned char)colon[1]))
		return -EINVAL;
	port = strtoul(colon + 1, &end, 10);
	len = (size_t)(colon - text);
	if (*end || !port || port > 65535 || (six && (len < 2 || text[len - 1] != ']')))
		return -EINVAL;
	len -= six ? 2 : 0;
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text + six, len);
	*ret = (struct address){0};
	if (six) {
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = htons((uint16_t)port);
		ret->len = sizeof(ret->in6);
		if (inet_pton(AF_INET6, host, &ret->in6.sin6_addr) != 1)
			return -EINVAL;
		return IN6_IS_ADDR_LOOPBACK(&ret->in6.sin6_addr) ? 0 : -EACCES;
	}
	ret->in.sin_family = AF_INET;
	ret->in.sin_port = htons((uint16_t)port);
	ret->len = sizeof(ret->in);
	if (inet_pton(AF_INET, host, &ret->in.sin_addr) != 1)
		return -EINVAL;
	return ntohl(ret->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET ? 0 : -EACCES;
}
