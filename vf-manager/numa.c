// SPDX-License-Identifier: GPL-2.0-or-later
/* The NUMA nodes that this process runs on. */
#include "vf-manager/numa.h"

#include <ctype.h>
#include <errno.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

#define NODE_DIR "sys/devices/system/node"
#define MAX_CPUS 8192 /* what the kernel can be built for on x86 */

#define LONG_BITS (8 * sizeof(unsigned long))

/* The nodes that memory comes from by this process's policy; false when it has none. */
static bool policy_read(struct node_set *n)
{
	int mode;

	if (syscall(SYS_get_mempolicy, &mode, n->bits, (unsigned long)NODE_MAX, NULL, 0) < 0)
		return false;
	mode &= ~MPOL_MODE_FLAGS;
	if (mode == MPOL_DEFAULT || mode == MPOL_LOCAL)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(n->bits); i++)
		if (n->bits[i])
			return true;
	return false;
}

/* "0-3,8": does it name a CPU of @set? What is no list names none. */
static bool list_meets(const char *s, const cpu_set_t *set)
{
	while (isdigit((unsigned char)*s)) {
		char *end;
		unsigned long first = strtoul(s, &end, 10), last = first;

		if (*end == '-' && isdigit((unsigned char)end[1]))
			last = strtoul(end + 1, &end, 10);
		for (unsigned long cpu = first; cpu <= last && cpu < MAX_CPUS; cpu++)
			if (CPU_ISSET_S(cpu, CPU_ALLOC_SIZE(MAX_CPUS), set))
				return true;
		if (*end != ',')
			return false;
		s = end + 1;
	}
	return false;
}

void node_set_read(struct vfm *v, struct node_set *ret)
{
	_cleanup_names_ char **names = NULL;
	cpu_set_t *cpus = CPU_ALLOC(MAX_CPUS);
	bool policy;

	*ret = (struct node_set){0};
	policy = policy_read(ret);
	if (!policy)
		memset(ret->bits, 0, sizeof(ret->bits));
	if (!cpus)
		return;
	if (sched_getaffinity(0, CPU_ALLOC_SIZE(MAX_CPUS), cpus) < 0)
		CPU_ZERO_S(CPU_ALLOC_SIZE(MAX_CPUS), cpus);
	sysfs_list(&v->sys, NODE_DIR, &names);
	for (char **name = names; name && *name; name++) {
		char path[PATH_MAX], list[4096], *end;
		unsigned long node;

		if (strncmp(*name, "node", 4) || !isdigit((unsigned char)(*name)[4]))
			continue;
		node = strtoul(*name + 4, &end, 10);
		if (*end || node >= NODE_MAX)
			continue;
		ret->count++;
		snprintf(path, sizeof(path), NODE_DIR "/%s/cpulist", *name);
		if (!policy && sysfs_read(&v->sys, path, list, sizeof(list)) >= 0 &&
			list_meets(list, cpus))
			ret->bits[node / LONG_BITS] |= 1ul << node % LONG_BITS;
	}
	CPU_FREE(cpus);
}

bool node_set_has(const struct node_set *n, int node)
{
	if (n->count <= 1)
		return true;
	return node >= 0 && node < NODE_MAX &&
	       n->bits[(size_t)node / LONG_BITS] >> (size_t)node % LONG_BITS & 1;
}

char *node_set_format(const struct node_set *n, char *buf, size_t size)
{
	size_t len = 0;

	*buf = '\0';
	for (int i = 0; i < NODE_MAX; i++) {
		if (n->bits[(size_t)i / LONG_BITS] >> (size_t)i % LONG_BITS & 1 && len < size)
			len += (size_t)snprintf(buf + len, size - len, "%s%d", len ? "," : "", i);
	}
	return buf;
}
