// SPDX-License-Identifier: GPL-2.0-or-later
#include "lab/hotplug.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "lab/proto.h"

/* QEMU gives it back with the answer. */
#define REQUEST_ID "hotplug"

static json_t *nic_arguments(const struct lab_config *cfg, unsigned i)
{
	char id[16], bus[16], net[16], mac[24];

	snprintf(id, sizeof(id), "nic%u", i);
	snprintf(bus, sizeof(bus), "rp%u", i);
	snprintf(net, sizeof(net), "net%u", i);
	snprintf(mac, sizeof(mac), LAB_MAC_FORMAT, i + 1);
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", lab_nic_names[cfg->nics[i]], "id",
		id, "bus", bus, "netdev", net, "mac", mac);
}

int hotplug_command(const struct lab_config *cfg, const char *request, char **ret, struct err *e)
{
	bool plug = !strncmp(request, "plug ", 5);
	const char *name = strchr(request, ' ');
	json_t *command = NULL;
	char nic[16];
	unsigned i;

	if (!plug && strncmp(request, "unplug ", 7))
		return err_set(e, EINVAL, "'%.40s' is neither plug nor unplug", request);
	name++;
	for (i = 0; i < cfg->nr_nics; i++) {
		snprintf(nic, sizeof(nic), "nic%u", i);
		if (!strcmp(name, nic))
			break;
	}
	if (i == cfg->nr_nics && (strcmp(name, "nvme0") || !lab_has_nvme(cfg)))
		return err_set(e, EINVAL,
			"this lab has no device '%.40s': there are %zu, nic0 up%s", name,
			cfg->nr_nics, lab_has_nvme(cfg) ? ", and nvme0" : "");
	if (i == cfg->nr_nics && plug)
		return err_set(e, EINVAL, "nvme0 cannot be plugged again");
	if (plug)
		command = json_pack("{s:s, s:s, s:o}", "id", REQUEST_ID, "execute", "device_add",
			"arguments", nic_arguments(cfg, i));
	else
		command = json_pack("{s:s, s:s, s:{s:s}}", "id", REQUEST_ID, "execute",
			"device_del", "arguments", "id", name);
	*ret = command ? json_dumps(command, JSON_COMPACT) : NULL;
	json_decref(command);
	return *ret ? 0 : -ENOMEM;
}

static void line_finish(struct line_buffer *b)
{
	free(b->data);
	*b = (struct line_buffer){0};
}

/* More of a line; false when the other end is gone, or wrote one that is too long. */
static bool line_fill(int fd, struct line_buffer *b)
{
	ssize_t n = read(fd, b->data + b->len, b->size - b->len);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0)
		return false;
	b->len += (size_t)n;
	return memchr(b->data, '\n', b->len) || b->len < b->size;
}

/* Take the first whole line out of @b into @line, NUL-terminated; false when there is none. */
static bool line_take(struct line_buffer *b, char *line)
{
	char *end = memchr(b->data, '\n', b->len);
	size_t len = end ? (size_t)(end - b->data) : 0;

	if (!end)
		return false;
	memcpy(line, b->data, len);
	line[len] = '\0';
	b->len -= len + 1;
	memmove(b->data, end + 1, b->len);
	return true;
}

static bool text_send(int fd, const char *text)
{
	size_t len = strlen(text);

	/* A line at a time and never a queue: the socket's buffer holds it. */
	return send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void answer(struct hotplug *h, const char *text)
{
	char line[LAB_HOTPLUG_MAX];

	snprintf(line, sizeof(line), "%.*s\n", LAB_HOTPLUG_MAX - 2, text);
	if (!text_send(h->port, line))
		h->port = fd_close(h->port);
	h->waiting = false;
}

static void request_handle(struct hotplug *h, const char *request)
{
	_cleanup_free_ char *command = NULL, *line = NULL;
	struct err e = {0};

	log_debug("lab: L1 asks to %s", request);
	if (hotplug_command(h->cfg, request, &command, &e) < 0) {
		answer(h, e.text);
	} else if (h->monitor < 0 || asprintf(&line, "%s\n", command) < 0 ||
		   !text_send(h->monitor, line)) {
		answer(h, "QEMU's monitor does not answer");
	} else {
		h->waiting = true;
	}
}

void hotplug_port_ready(struct hotplug *h)
{
	char line[LAB_HOTPLUG_MAX + 1];

	if (!line_fill(h->port, &h->in)) {
		h->port = fd_close(h->port);
		return;
	}
	while (h->port >= 0 && !h->waiting && line_take(&h->in, line))
		request_handle(h, line);
}

static void reply_handle(struct hotplug *h, const char *line)
{
	json_t *reply = json_loads(line, 0, NULL), *error = json_object_get(reply, "error");
	const char *why = json_string_value(json_object_get(error, "desc"));
	const char *id = json_string_value(json_object_get(reply, "id"));

	/* The greeting and events answer nothing. */
	if (h->waiting && id && !strcmp(id, REQUEST_ID))
		answer(h, error ? why ? why : "QEMU refused" : "ok");
	json_decref(reply);
}

void hotplug_monitor_ready(struct hotplug *h)
{
	char line[LAB_QMP_MAX + 1], request[LAB_HOTPLUG_MAX + 1];

	if (!line_fill(h->monitor, &h->qmp)) {
		h->monitor = fd_close(h->monitor);
		if (h->waiting)
			answer(h, "QEMU's monitor is gone");
		return;
	}
	while (line_take(&h->qmp, line))
		reply_handle(h, line);
	/* A request may have come in the meantime, and no more bytes will wake its reader. */
	while (h->port >= 0 && !h->waiting && line_take(&h->in, request))
		request_handle(h, request);
}

int hotplug_init(struct hotplug *h, const struct lab_config *cfg, int port, int monitor)
{
	*h = (struct hotplug){.cfg = cfg,
		.port = port,
		.monitor = monitor,
		.in = {.data = malloc(LAB_HOTPLUG_MAX), .size = LAB_HOTPLUG_MAX},
		.qmp = {.data = malloc(LAB_QMP_MAX), .size = LAB_QMP_MAX}};
	if (!h->in.data || !h->qmp.data ||
		!text_send(monitor, "{\"execute\":\"qmp_capabilities\"}\n"))
		return -ENOMEM;
	return 0;
}

void hotplug_finish(struct hotplug *h)
{
	fd_close(h->port);
	fd_close(h->monitor);
	h->port = h->monitor = -1;
	line_finish(&h->in);
	line_finish(&h->qmp);
}
