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

#define DIGITS 20 /* the most that one int64 needs; what `write_digits` may write to, beyond what it returns too */

/* The eight decimal digits of a value below 10^8, one a byte, the first in the lowest. */
static inline uint64_t eight_digits(uint32_t value) {
    uint64_t x = value / 10000 | (uint64_t)(value % 10000) << 32;
    uint64_t hundreds = (x * 10486 >> 20) & 0x0000007F0000007FULL;
    x = hundreds | (x - 100 * hundreds) << 16;
    uint64_t tens = (x * 103 >> 10) & 0x000F000F000F000FULL;
    return tens | (x - 10 * tens) << 8;
}

static inline void store_digits(char *out, uint64_t digits) {
    digits += 0x3030303030303030ULL;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    digits = __builtin_bswap64(digits);
#endif
    memcpy(out, &digits, 8);
}

/* Write a positive integer in decimal, without sign or leading zeros; return what follows it. 0 writes nothing. */
static inline char *write_digits(char *out, int64_t value) {
    const uint64_t e8 = 100000000ULL;
    uint64_t rest = (uint64_t)value;
    uint32_t full[2];
    int n = 0;
    if (value <= 0) return out;
    for (; rest >= e8; rest /= e8) full[n++] = (uint32_t)(rest % e8);
    uint64_t digits = eight_digits((uint32_t)rest);
    int zeros = __builtin_ctzll(digits) >> 3; /* of the first eight; the value is not 0 */
    store_digits(out, digits >> (8 * zeros));
    for (out += 8 - zeros; n > 0; out += 8) store_digits(out, eight_digits(full[--n]));
    return out;
}

#endif
