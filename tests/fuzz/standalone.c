// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs a fuzz target without libFuzzer: the files given, or else pseudo-random inputs from a
 * printed seed.
 *
 *   fuzz-x [-seed=N] [-runs=N] [FILE...]
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* splitmix64, Steele et al. 2014 */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static int replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(1 << 20);
	size_t size;

	if (!f || !data) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	size = fread(data, 1, 1 << 20, f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

static void run(uint64_t seed, unsigned long runs)
{
	while (runs--) {
		uint64_t state = seed++;
		size_t size = random_next(&state) % (INPUT_MAX + 1), i;
		/* to the byte, so that ASan sees a read past the end */
		uint8_t *data = malloc(size ? size : 1);

		if (!data)
			exit(2);
		for (i = 0; i < size; i++)
			data[i] = (uint8_t)random_next(&state);
		LLVMFuzzerTestOneInput(data, size);
		free(data);
	}
}

int main(int argc, char **argv)
{
	uint64_t seed = (uint64_t)time(NULL) << 20;
	unsigned long runs = 1000;
	int files = 0, i;

	for (i = 1; i < argc; i++) {
		if (!strncmp(argv[i], "-seed=", 6))
			seed = strtoull(argv[i] + 6, NULL, 0);
		else if (!strncmp(argv[i], "-runs=", 6))
			runs = strtoul(argv[i] + 6, NULL, 0);
		else
			files += !replay(argv[i]);
	}
	if (files)
		return 0;
	printf("-seed=%llu -runs=%lu\n", (unsigned long long)seed, runs);
	fflush(stdout);
	run(seed, runs);
	return 0;
}
