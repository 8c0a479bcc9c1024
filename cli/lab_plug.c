// SPDX-License-Identifier: GPL-2.0-or-later
/* viaduct lab plug|unplug: what a command within the lab asks of the machine it runs on. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/lab.h"
#include "common/cleanup.h"
#include "lab/proto.h"

/* The lab's port for requests to plug, open, or a message and -1. */
static int hotplug_open(const char *argv0)
{
	_cleanup_dir_ DIR *dir = opendir("/sys/class/virtio-ports");
	const struct dirent *de;

	while (dir && (de = readdir(dir))) {
		char path[300], name[64] = "";
		_cleanup_file_ FILE *f = NULL;
		int fd;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", de->d_name);
		f = fopen(path, "re");
		if (!f || !fgets(name, sizeof(name), f) || strcmp(name, LAB_HOTPLUG_NAME "\n"))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", de->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			fprintf(stderr, "%s: %s: %m%s\n", argv0, path,
				errno == EBUSY ? ": another request is under way" : "");
		return fd;
	}
	fprintf(stderr, "%s: only within the lab: viaduct lab run -- COMMAND...\n", argv0);
	return -1;
}

int lab_plug(char **argv, const char *verb)
{
	const char *device = argv[2];
	char line[LAB_HOTPLUG_MAX];
	_cleanup_fd_ int fd = -1;
	struct pollfd p;
	size_t len = 0;
	int n;

	if (!device || argv[3] || *device == '-') {
		bool help = device && !strcmp(device, "--help");

		fprintf(help ? stdout : stderr,
			"Usage: viaduct lab %s DEVICE\n\nDEVICE is nic0, nic1, ... or nvme0.\n",
			verb);
		return help ? 0 : EXIT_USAGE;
	}
	n = snprintf(line, sizeof(line), "%s %.40s\n", verb, device);
	fd = hotplug_open(argv[1]);
	if (fd < 0)
		return EXIT_LAB_FAILED;
	if (strchr(device, '\n') || write(fd, line, (size_t)n) != n) {
		fprintf(stderr, "%s: the lab does not take the request: %m\n", argv[1]);
		return EXIT_LAB_FAILED;
	}
	p = (struct pollfd){.fd = fd, .events = POLLIN};
	while (len < sizeof(line) - 1 && poll(&p, 1, 30000) > 0) {
		ssize_t got = read(fd, line + len, sizeof(line) - 1 - len);
		char *end;

		if (got <= 0)
			break;
		len += (size_t)got;
		end = memchr(line, '\n', len);
		if (!end)
			continue;
		*end = '\0';
		if (!strcmp(line, "ok"))
			return 0;
		fprintf(stderr, "%s: %s\n", argv[1], line);
		return 1;
	}
	fprintf(stderr, "%s: the lab does not answer\n", argv[1]);
	return EXIT_LAB_FAILED;
}
