// SPDX-License-Identifier: GPL-2.0-or-later
/* topology-make FILE DIRECTORY: for scripts. DIRECTORY must exist and had better be empty. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/vf-manager/topologies/topology.h"

int main(int argc, char **argv)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	if (argc != 3) {
		fputs("usage: topology-make FILE DIRECTORY\n", stderr);
		return 2;
	}
	f = fopen(argv[1], "re");
	if (!f || getdelim(&text, &len, '\0', f) < 0) {
		perror(argv[1]);
		return 1;
	}
	fclose(f);
	topology_make(argv[2], text);
	free(text);
	return 0;
}
