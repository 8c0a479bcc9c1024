// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * packets echo PORT: send every UDP datagram back to where it came from, for ever.
 * packets blast ADDRESS PORT COUNT SIZE: COUNT datagrams of SIZE bytes to such an echo, a few under
 * way at a time, and print as JSON how many went and came back, and the milliseconds.
 * Exit status: 0, 1 no answer for a second, or an error, 2 usage.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WINDOW  8 /* less than the smallest ring or socket buffer on the way */
#define PAYLOAD 1472
#define WAIT_MS 1000

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int echo(int fd, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	char buf[2048];

	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		perror("packets: bind");
		return 1;
	}
	for (;;) {
		socklen_t len = sizeof(a);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&a, &len);

		if (n >= 0)
			(void)!sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&a, len);
	}
}

static int blast(int fd, const char *to, uint16_t port, unsigned long count, size_t size)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	unsigned long sent = 0, back = 0, lost = 0;
	int64_t start = now_ms();
	char buf[PAYLOAD] = {0};

	if (inet_pton(AF_INET, to, &a.sin_addr) != 1 || size > sizeof(buf))
		return 2;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		perror("packets: connect");
		return 1;
	}
	while (back + lost < count) {
		struct pollfd p = {fd, POLLIN, 0};

		while (sent < count && sent - back - lost < WINDOW) {
			if (send(fd, buf, size, 0) < 0)
				break; /* the previous one was refused, or there is no room */
			sent++;
		}
		if (poll(&p, 1, WAIT_MS) > 0) {
			if (recv(fd, buf, sizeof(buf), 0) >= 0)
				back++;
		} else if (sent == back + lost || !back) {
			break;
		} else {
			lost = sent - back;
		}
	}
	printf("{\"sent\": %lu, \"back\": %lu, \"ms\": %" PRId64 "}\n", sent, back,
		now_ms() - start);
	return back ? 0 : 1;
}

int main(int argc, char **argv)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 2;

	if (fd < 0) {
		perror("packets: socket");
		return 1;
	}
	if (argc == 3 && !strcmp(argv[1], "echo"))
		r = echo(fd, (uint16_t)atoi(argv[2]));
	else if (argc == 6 && !strcmp(argv[1], "blast"))
		r = blast(fd, argv[2], (uint16_t)atoi(argv[3]), strtoul(argv[4], NULL, 10),
			strtoul(argv[5], NULL, 10));
	close(fd);
	if (r == 2)
		fprintf(stderr,
			"usage: packets echo PORT | packets blast ADDRESS PORT COUNT SIZE\n");
	return r;
}
