// SPDX-License-Identifier: MIT
/*
 * hash.c - SipHash-2-4 (Aumasson, Bernstein): a hash with a secret key, so that nobody can choose
 * names that all fall into one bucket.
 */
#include <endian.h>
#include <string.h>

#include "kv.h"

static uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static void rounds(uint64_t v[4], int n)
{
	while (n--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] = rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] = rotl(v[2], 32);
	}
}

static void word(uint64_t v[4], uint64_t w)
{
	v[3] ^= w;
	rounds(v, 2);
	v[0] ^= w;
}

uint64_t hash_bytes(const uint64_t key[2], const void *data, size_t n)
{
	uint64_t v[4] = {
		key[0] ^ 0x736f6d6570736575,
		key[1] ^ 0x646f72616e646f6d,
		key[0] ^ 0x6c7967656e657261,
		key[1] ^ 0x7465646279746573,
	};
	const unsigned char *p = data, *end = p + (n & ~(size_t)7);
	uint64_t w;

	for (; p < end; p += 8) {
		memcpy(&w, p, 8);
		word(v, le64toh(w));
	}
	w = 0;
	memcpy(&w, p, n & 7);
	word(v, le64toh(w) | (uint64_t)n << 56);
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
