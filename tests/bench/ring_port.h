/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio-net port of a guest that does nothing but send back what it gets, as cheaply as a driver can:
 * memory of its own, a pair of split rings, mergeable buffers, a vhost-user socket that a switch
 * connects to. No buffer is allocated or freed: each descriptor of both rings has one, and a received
 * frame that is sent changes places with the buffer of the descriptor it is sent by, whose own frame has
 * long been taken. It polls, so it wants no interrupts; the switch is notified when it asks to be.
 *
 * One thread. What breaks the rules of the ring or of the protocol ends the program: it is a benchmark's.
 * Virtio 1.2, 2.7 and 5.1.6.
 */
#ifndef VIADUCT_TESTS_BENCH_RING_PORT_H
#define VIADUCT_TESTS_BENCH_RING_PORT_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_ring.h>

#include "devices/vhost_user_session.h"
#include "devices/vhost_user_socket.h"

#define PORT_RING  1024u /* entries of each ring */
#define PORT_BURST 32u

struct port_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint32_t buffer[PORT_RING]; /* of each descriptor, as an offset into the memory */
	uint16_t next_avail;        /* not yet visible to the switch before port_publish() */
	uint16_t next_used;
	int kick; /* eventfd */
};

struct ring_port {
	uint8_t *memory;
	int memory_fd;
	uint64_t memory_size;
	struct port_ring rx, tx;
	uint16_t tx_used; /* what the switch's index was when it was last looked at */
	uint64_t kicks;
	struct vu_socket socket;
	struct vu_session session;
	bool connected;
};

struct port_frame {
	uint8_t *data;
	uint32_t len;
	uint32_t id; /* descriptor it came by */
};

/* Make memory, of 2 MiB pages if @huge, and rings, and listen at @path. */
void port_open(struct ring_port *p, const char *path, bool huge);
/* Take the switch that knocks and hand it the rings. False: nobody there yet. */
bool port_connect(struct ring_port *p);

/* Take up to PORT_BURST frames off the ring; they are the caller's until handed to one of the next two. */
unsigned int port_receive(struct ring_port *p, struct port_frame *f);
/* Send all of @f, and let buffers that were sent long ago receive. */
void port_send_back(struct ring_port *p, const struct port_frame *f, unsigned int n);
/* Let the same buffers receive again. */
void port_discard(struct ring_port *p, const struct port_frame *f, unsigned int n);

/* A buffer to make a frame in, waiting for one if need be; then send so many bytes of it. */
struct port_frame port_frame_new(struct ring_port *p);
void port_frame_send(struct ring_port *p, const struct port_frame *f);

#endif
