/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `viaduct lab` (L0) and L1's init say to each other over one virtio-serial port: frames of a
 * type, a length and that many bytes, little-endian. One ordered stream carries the command's
 * streams and its end, so nothing can be cut off by the end overtaking the output.
 */
#ifndef VIADUCT_LAB_PROTO_H
#define VIADUCT_LAB_PROTO_H

#include <stdint.h>

#define LAB_PORT_NAME "viaduct.lab"
/*
 * A second port, for any process of L1: a line "plug NAME" or "unplug NAME", answered by "ok" or a line
 * that says why not. NAME is one of nic0, nic1, ... in the order of the command line, or nvme0.
 */
#define LAB_HOTPLUG_NAME "viaduct.hotplug"
#define LAB_HOTPLUG_MAX  256 /* bytes of a line */
#define LAB_ROOT_TAG     "viaduct-root"

/* Longest payload: an argument or environment string is at most 128 KiB for execve(2). */
#define LAB_FRAME_MAX (160u * 1024)

/* stdin bytes L0 may send before L1 says (LAB_CREDIT) that the command took some. */
#define LAB_STDIN_WINDOW (64u * 1024)

enum lab_frame_type {
	/* L0 to L1: the command, ending with LAB_START */
	LAB_DIR = 1, /* working directory */
	LAB_ENV,     /* one NAME=VALUE */
	LAB_ARG,     /* one argument of the command */
	LAB_SHARE,   /* "TAG\0PATH": mount this 9p export there, writable */
	LAB_MODULES, /* directory of the kernel's whole module tree */
	LAB_TTY,     /* give the command a terminal of this struct lab_size */
	LAB_START,
	/* L0 to L1: while it runs */
	LAB_STDIN,  /* bytes; none = end of input */
	LAB_RESIZE, /* struct lab_size */
	/* L1 to L0 */
	LAB_READY,  /* init is up; L0 may send the command */
	LAB_STDOUT, /* bytes */
	LAB_STDERR, /* bytes */
	LAB_CREDIT, /* uint32_t: stdin bytes consumed */
	LAB_EXIT,   /* uint32_t: the command's exit status as a shell would give it */
	LAB_ERROR,  /* text: the lab could not run the command at all */
};

struct lab_frame {
	uint32_t type;
	uint32_t len;
};

struct lab_size {
	uint16_t rows;
	uint16_t cols;
};

#endif
