/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages that say that something has happened, as bytes: uevents, rtnetlink's link messages and
 * records of the kernel log. All are hostile. Pure functions.
 */
#ifndef VIADUCT_VFM_MONITOR_PARSE_H
#define VIADUCT_VFM_MONITOR_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vf-manager/vfm.h"

enum uevent_action { UEVENT_OTHER, UEVENT_ADD, UEVENT_REMOVE, UEVENT_BIND, UEVENT_UNBIND };

struct uevent {
	enum uevent_action action;
	bool net; /* about an interface of the function, not the function */
	struct bdf bdf;
	char driver[VFM_NAME_MAX]; /* "" when it does not say */
};

/*
 * A message of the kernel's (lib/kobject_uevent.c: "ACTION@DEVPATH" and "KEY=VALUE" strings, each
 * with its NUL). True and *ret when it is about a PCI function or an interface of one.
 */
bool uevent_parse(const char *buf, size_t len, struct uevent *ret);

struct link_note {
	int ifindex;
	bool gone;
	char name[VFM_NAME_MAX]; /* "" when it does not say, or not in a plain name */
	char link[16];           /* operstate as sysfs words it; "" when it does not say */
	bool has_mac;
	uint8_t mac[6];
};

/*
 * The next message from *@at on in a datagram of the link group: true and *ret. False at the end, or
 * where lengths make no sense. Messages about anything but interfaces are passed over. *@at is 0 at
 * first.
 */
bool link_note_next(const void *buf, size_t len, size_t *at, struct link_note *ret);

#define KLOG_TEXT_MAX 1024

struct klog_record {
	unsigned level;           /* 0 emergency to 7 debug */
	uint64_t seq;             /* one more than the record before, unless some were lost */
	uint64_t us;              /* the kernel's clock */
	char text[KLOG_TEXT_MAX]; /* printable ASCII, cut to fit */
};

/* A record as /dev/kmsg gives it: "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT\n KEY=VALUE\n". */
bool klog_record_parse(const char *buf, size_t len, struct klog_record *ret);

/* The next PCI address in *@line, which is moved behind it; written with a domain. */
bool line_next_bdf(const char **line, struct bdf *ret);

#endif
