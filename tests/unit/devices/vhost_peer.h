/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vhost-user back end for tests: a thread that answers the front end and writes down what it was
 * told. It serves no ring. Told to, it breaks the protocol at one message.
 */
#ifndef VIADUCT_TESTS_VHOST_PEER_H
#define VIADUCT_TESTS_VHOST_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/vhost_user_msg.h"

enum mischief {
	WELL_BEHAVED,
	SAYS_NOTHING,
	HANGS_UP,        /* instead of an answer */
	HANGS_UP_INSIDE, /* after half of one */
	OTHER_NUMBER,    /* answers another request */
	NO_REPLY_FLAG,
	WRONG_VERSION,
	SHORT_PAYLOAD,
	LONG_PAYLOAD,
	HUGE_PAYLOAD, /* announced */
	TWO_FDS,
	MANY_FDS,
	ANSWERS_TWICE,
	REFUSES, /* REPLY_ACK with 1; other numbers: all ones */
	MISCHIEFS
};

struct peer_config {
	uint64_t features, protocol, queues;
	enum mischief mischief;
	uint32_t at; /* the request it happens at */
	unsigned int inflight_size;
	uint16_t base; /* answer to GET_VRING_BASE */
};

struct peer_ring {
	uint32_t num, base;
	bool enabled;
	struct vu_vring_addr addr;
	int kick, call, err; /* -1 = none */
};

struct peer {
	struct peer_config cfg;
	int sock, end_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	_Atomic bool over; /* the connection has ended */
	unsigned int messages;
	unsigned int count[64]; /* by request */
	uint64_t features, protocol, status, mtu, rarp;
	struct vu_mem_table mem;
	int mem_fd[VU_MAX_REGIONS];
	struct peer_ring ring[8];
	struct vu_inflight inflight;
	int inflight_fd; /* what SET_INFLIGHT_FD brought */
};

#define PEER_FEATURES (1ull << 32 | 1ull << VU_F_PROTOCOL_FEATURES | 1ull << 15 | 3ull << 28)
#define PEER_PROTOCOL \
	(1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_MTU | 1ull << VU_PF_STATUS)

/* Serve @sock, which is the peer's from here on. */
struct peer *peer_create(const struct peer_config *cfg, int sock);
/* As a crash would: the connection just ends. Returns when the thread has. */
void peer_kill(struct peer *p);
/* Kills it first. */
void peer_destroy(struct peer *p);
/* Wait until @request has come @n times; false after five seconds or the end. */
bool peer_saw(struct peer *p, uint32_t request, unsigned int n);
/* Wait for the connection to end; false after five seconds. */
bool peer_dropped(struct peer *p);

/* Sockets as a back end opens them; wait up to five seconds for the other side. */
int peer_connect(const char *path);
int peer_listen(const char *path);
int peer_accept(int listener);

#endif
