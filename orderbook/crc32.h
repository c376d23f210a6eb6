/* CRC-32 (IEEE 802.3, reflected, as zlib computes it), eight bytes a step, and decimal digits of integers. */
#ifndef VENUEMESH_CRC32_H
#define VENUEMESH_CRC32_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t crc32_table[8][256];

static void crc32_prepare(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = (c >> 1) ^ (c & 1 ? 0xEDB88320u : 0);
        crc32_table[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++)
            crc32_table[t][i] = (crc32_table[t - 1][i] >> 8) ^ crc32_table[0][crc32_table[t - 1][i] & 255];
}

static uint32_t crc32_text(const char *text, ptrdiff_t n) {
    const unsigned char *p = (const unsigned char *)text;
    uint32_t c = 0xFFFFFFFFu;
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        c = crc32_table[7][low & 255] ^ crc32_table[6][low >> 8 & 255] ^ crc32_table[5][low >> 16 & 255] ^
            crc32_table[4][low >> 24] ^ crc32_table[3][p[4]] ^ crc32_table[2][p[5]] ^ crc32_table[1][p[6]] ^
            crc32_table[0][p[7]];
    }
    for (; n > 0; n--, p++) c = (c >> 8) ^ crc32_table[0][(c ^ *p) & 255];
    return c ^ 0xFFFFFFFFu;
}

#define DIGITS 20 /* the most that one int64 needs */

/* Write a positive integer in decimal, without sign or leading zeros; return what follows it. 0 writes nothing. */
static char *write_digits(char *out, int64_t value) {
    char reversed[DIGITS];
    int n = 0;
    while (value > 0) {
        reversed[n++] = (char)('0' + value % 10);
        value /= 10;
    }
    while (n > 0) *out++ = reversed[--n];
    return out;
}

#endif
