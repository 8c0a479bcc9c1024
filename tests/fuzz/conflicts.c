// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any bytes as a file of NetworkManager, systemd, netplan or libvirt: read to the end, each thing found
 * at a line that the file has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/fuzz/fuzz_check.h"
#include "vf-manager/conflicts.h"

/* Pieces from which random numbers make something that is nearly right. */
static const char *const pieces[] = {"[connection]\n", "[sriov]\n", "interface-name=eth0\n",
	"interface-name=eth1\n", "total-vfs=4\n", "[device-a]\n", "match-device=", "driver:igb",
	"interface-name:=eth0;", "sriov-num-vfs=2\n", "[Match]\n", "[Link]\n", "[SR-IOV]\n",
	"OriginalName=", "eth* ", "!", "SR-IOVVirtualFunctions=4\n", "\\\n", "network:\n",
	"  ethernets:\n", "    eth0:\n", "      virtual-function-count: 3\n", "      link: eth0\n",
	"    vf: {link: eth0}\n", "&a ", "*a", "{", "}", "<network>", "<forward mode='hostdev'>",
	"<pf dev='eth0'/>", "<source>", "<address domain='0' bus='1' slot='0' function='0'/>",
	"</source>", "<!DOCTYPE x [<!ENTITY e 'aaaaaaaa'>]>", "&e;",
	"echo 4 > /sys/class/net/eth0/device/sriov_numvfs\n", "#", "=", "\n"};

static void (*const readers[])(struct conflicts *c, const char *path, char *text) = {
	conflict_nm_profile_file, conflict_nm_conf_file, conflict_link_file, conflict_netplan_file,
	conflict_libvirt_file, conflict_script_file};

struct noted {
	unsigned lines; /* that the text has */
};

static void found(void *arg, const struct doctor_finding *f)
{
	const struct noted *n = arg;
	const char *at = strchr(f->text, ':');
	unsigned line;

	CHECK(f->status == VFM_WARN && *f->fix);
	if (at && sscanf(at, ":%u:", &line) == 1)
		CHECK(line >= 1 && line <= n->lines);
}

static char *text_make(const uint8_t *data, size_t size)
{
	char *text = malloc(size * 96 + 1);
	size_t n = 0;

	CHECK(text);
	for (size_t i = 0; i < size; i++) {
		if (data[i] >= 0x80) {
			const char *piece = pieces[data[i] % ARRAY_SIZE(pieces)];

			memcpy(text + n, piece, strlen(piece));
			n += strlen(piece);
		} else {
			text[n++] = data[i] ? (char)data[i] : '?';
		}
	}
	text[n] = '\0';
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct doctor_check check = {.id = "managed-elsewhere", .title = "fuzz"};
	const struct doctor_check *const checks[] = {&check};
	struct vfm_function f = {.bdf = {0, 1, 0, 0}, .kind = VFM_PF, .driver = "igb"};
	struct noted noted = {.lines = 1};
	struct doctor_config cfg = {.found = found, .arg = &noted};
	struct doctor d = {.cfg = &cfg, .checks = checks, .n_checks = 1, .f = &f};
	struct conflicts c = {.d = &d, .f = &f, .bdf = "0000:01:00.0", .mac = "52:54:00:00:00:01"};
	bool ours;
	char *text;

	if (size < 2 || size > 4096)
		return 0;
	CHECK(vfm_create(&(struct vfm_config){.root = "/proc/self/ns"}, &d.v, NULL) == 0);
	ours = data[0] & 0x80;
	snprintf(f.netdev, sizeof(f.netdev), "%s", ours ? "eth0" : "zz9");
	text = text_make(data + 1, size - 1);
	/* XML knows lines that end in CR alone. */
	for (const char *p = text; (p = strpbrk(p, "\r\n")); p++)
		noted.lines++;
	readers[data[0] % ARRAY_SIZE(readers)](&c, "etc/x", text);
	/* The last one is given out when the next begins. */
	if (d.has_pending)
		found(&noted, &d.pending);
	free(text);
	vfm_destroy(d.v);
	return 0;
}
