/* SPDX-License-Identifier: MIT
 *
 * CRC-32C (Castagnoli), the checksum of checkpoints: unlike CRC-32 it has Hamming distance 4 up to 256 MiB,
 * so any three flipped bits of a tensor are certain to be seen. Eight bytes a turn through eight
 * tables ("slicing by 8", Kounavis and Berry, 2005) outruns the disk; the tables are computed at
 * first use because 2048 literals could not be reviewed.
 */
#include "base.h"

#include <pthread.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the word loop reads little-endian words");

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1u ? UINT32_C(0x82f63b78) : 0u);
        table[0][i] = crc;
    }
    for (int slice = 1; slice < 8; slice++)
        for (int i = 0; i < 256; i++)
            table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 255u];
}

uint32_t nni_crc32c(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *byte = data;

    (void)pthread_once(&once, make_tables);
    crc = ~crc;
    for (; size >= 8; size -= 8, byte += 8) {
        uint32_t low, high;

        memcpy(&low, byte, sizeof low);
        memcpy(&high, byte + 4, sizeof high);
        low ^= crc;
        crc = table[7][low & 255u] ^ table[6][(low >> 8) & 255u] ^ table[5][(low >> 16) & 255u] ^
              table[4][low >> 24] ^ table[3][high & 255u] ^ table[2][(high >> 8) & 255u] ^
              table[1][(high >> 16) & 255u] ^ table[0][high >> 24];
    }
    while (size--)
        crc = (crc >> 8) ^ table[0][(crc ^ *byte++) & 255u];
    return ~crc;
}
