// SPDX-License-Identifier: GPL-2.0-or-later
#include "passthrough/host_irqs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define INTERRUPTS "proc/interrupts"
#define INTERRUPTS_MAX \
	(16u << 20) /* a column per CPU and a line per interrupt; more is no such file */
#define LINE_CPUS_MAX 8192u
#define IRQS_MAX      65536u /* 31 devices of 2048 vectors, and a few more */
#define PREFIX        "vfio-"

static bool number_take(const char **p, char end, unsigned int *ret)
{
	char *stop;
	unsigned long v;

	if (**p < '0' || **p > '9')
		return false;
	v = strtoul(*p, &stop, 10);
	if (*stop != end || v > INT_MAX)
		return false;
	*p = stop + 1;
	*ret = (unsigned int)v;
	return true;
}

/* The columns of the CPUs, summed. */
static uint64_t counts_sum(const char *p)
{
	uint64_t sum = 0, n;
	char *end;

	for (unsigned int i = 0; i < LINE_CPUS_MAX; i++) {
		p += strspn(p, " ");
		if (*p < '0' || *p > '9')
			break;
		n = strtoull(p, &end, 10);
		/* Behind the columns comes the chip's name, which may begin with a digit. */
		if (*end != ' ')
			break;
		sum += n;
		p = end;
	}
	return sum;
}

/* "msix[3](0000:01:10.0)" */
static bool name_parse(const char *p, struct host_irq *ret)
{
	static const struct {
		const char *text;
		enum host_irq_kind kind;
	} kinds[] = {{"intx", HOST_IRQ_INTX}, {"msix[", HOST_IRQ_MSIX}, {"msi[", HOST_IRQ_MSI}};
	char name[BDF_STRLEN];
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strncmp(p, kinds[i].text, strlen(kinds[i].text)))
			break;
	if (i == ARRAY_SIZE(kinds))
		return false;
	p += strlen(kinds[i].text);
	ret->kind = kinds[i].kind;
	ret->index = 0;
	if (ret->kind != HOST_IRQ_INTX && !number_take(&p, ']', &ret->index))
		return false;
	n = *p == '(' ? strcspn(p + 1, ")") : 0;
	if (!n || n >= sizeof(name) || p[1 + n] != ')')
		return false;
	memcpy(name, p + 1, n);
	name[n] = '\0';
	return bdf_parse(name, &ret->bdf) == 0;
}

unsigned int host_irq_parse(const char *line, struct host_irq ret[HOST_IRQ_SHARED])
{
	const char *p = line + strspn(line, " ");
	unsigned int irq, n = 0;
	uint64_t count;

	if (!number_take(&p, ':', &irq))
		return 0;
	count = counts_sum(p);
	while (n < HOST_IRQ_SHARED && (p = strstr(p, " " PREFIX))) {
		p += strlen(" " PREFIX);
		ret[n] = (struct host_irq){.irq = irq, .count = count};
		n += name_parse(p, &ret[n]);
	}
	return n;
}

int host_irqs_read(const struct sysfs *sysfs, struct host_irq **ret)
{
	_cleanup_fd_ int fd = openat(sysfs->root_fd, INTERRUPTS, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ struct host_irq *list = NULL;
	_cleanup_free_ char *line = NULL;
	_cleanup_file_ FILE *f = NULL;
	size_t size = 0, total = 0, n = 0, cap = 0;
	ssize_t len;

	if (fd < 0)
		return -errno;
	f = fdopen(fd, "re");
	if (!f)
		return -errno;
	fd = -1;
	while (total < INTERRUPTS_MAX && n < IRQS_MAX && (len = getline(&line, &size, f)) > 0) {
		total += (size_t)len;
		if (cap < n + HOST_IRQ_SHARED) {
			struct host_irq *more =
				realloc(list, (cap * 2 + HOST_IRQ_SHARED) * sizeof(*list));

			if (!more)
				return -ENOMEM;
			list = more;
			cap = cap * 2 + HOST_IRQ_SHARED;
		}
		n += host_irq_parse(line, list + n);
	}
	*ret = ptr_steal(list);
	return (int)n;
}
