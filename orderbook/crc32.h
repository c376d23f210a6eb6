/* CRC-32 (IEEE 802.3, reflected, as zlib computes it) and decimal digits of integers. */
#ifndef VENUEMESH_CRC32_H
#define VENUEMESH_CRC32_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

#if defined(__x86_64__)
static inline int crc32_can_fold(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

#define FOLD __attribute__((target("pclmul,sse4.1")))

FOLD static inline __m128i crc32_load(const unsigned char *p) { return _mm_loadu_si128((const __m128i *)p); }

/* Both halves of `x` times powers of x modulo the polynomial: `x` moved towards the end of the text. */
FOLD static inline __m128i crc32_fold(__m128i x, __m128i powers) {
    return _mm_xor_si128(_mm_clmulepi64_si128(x, powers, 0x00), _mm_clmulepi64_si128(x, powers, 0x11));
}

/* Continue the CRC `c` over n bytes, n >= 64 and a multiple of 16, by carry-less multiplication.
 * Source: Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009, which has
 * the constants of this polynomial, bits reversed. */
FOLD static uint32_t crc32_folded(const unsigned char *p, ptrdiff_t n, uint32_t c) {
    const __m128i by64 = _mm_set_epi64x(0x1C6E41596, 0x154442BD4), by16 = _mm_set_epi64x(0x0CCAA009E, 0x1751997D0);
    const __m128i by8 = _mm_set_epi64x(0, 0x163CD6124), barrett = _mm_set_epi64x(0x1F7011641, 0x1DB710641);
    const __m128i low = _mm_setr_epi32(~0, 0, ~0, 0);
    __m128i a = _mm_xor_si128(crc32_load(p), _mm_cvtsi32_si128((int)c));
    __m128i b = crc32_load(p + 16), d = crc32_load(p + 32), e = crc32_load(p + 48);
    for (p += 64, n -= 64; n >= 64; p += 64, n -= 64) {
        a = _mm_xor_si128(crc32_fold(a, by64), crc32_load(p));
        b = _mm_xor_si128(crc32_fold(b, by64), crc32_load(p + 16));
        d = _mm_xor_si128(crc32_fold(d, by64), crc32_load(p + 32));
        e = _mm_xor_si128(crc32_fold(e, by64), crc32_load(p + 48));
    }
    a = _mm_xor_si128(crc32_fold(a, by16), b);
    a = _mm_xor_si128(crc32_fold(a, by16), d);
    a = _mm_xor_si128(crc32_fold(a, by16), e);
    for (; n >= 16; p += 16, n -= 16) a = _mm_xor_si128(crc32_fold(a, by16), crc32_load(p));
    a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by16, 0x10));
    a = _mm_xor_si128(_mm_srli_si128(a, 4), _mm_clmulepi64_si128(_mm_and_si128(a, low), by8, 0x00));
    __m128i quotient = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(a, low), barrett, 0x10), low);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(a, _mm_clmulepi64_si128(quotient, barrett, 0x00)), 1);
}
#else
static inline int crc32_can_fold(void) { return 0; }
static inline uint32_t crc32_folded(const unsigned char *p, ptrdiff_t n, uint32_t c) {
    (void)p, (void)n;
    return c;
}
#endif

/* `fold`: by carry-less multiplication where there is enough text; else by tables, eight bytes a step. */
static uint32_t crc32_text(const char *text, ptrdiff_t n, int fold) {
    const unsigned char *p = (const unsigned char *)text;
    uint32_t c = 0xFFFFFFFFu;
    if (fold && n >= 64) {
        c = crc32_folded(p, n & ~(ptrdiff_t)15, c);
        p += n & ~(ptrdiff_t)15;
        n &= 15;
    }
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        c = crc32_table[7][low & 255] ^ crc32_table[6][low >> 8 & 255] ^ crc32_table[5][low >> 16 & 255] ^
            crc32_table[4][low >> 24] ^ crc32_table[3][p[4]] ^ crc32_table[2][p[5]] ^ crc32_table[1][p[6]] ^
            crc32_table[0][p[7]];
    }
    for (; n > 0; n--, p++) c = (c >> 8) ^ crc32_table[0][(c ^ *p) & 255];
    return c ^ 0xFFFFFFFFu;
}

#define DIGITS 20 /* bytes that writing one int64 may touch; it needs 19 at most */

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
    int zeros = __builtin_ctzll(digits) >> 3; /* leading zeros of the first eight; the value is not 0 */
    store_digits(out, digits >> (8 * zeros));
    for (out += 8 - zeros; n > 0; out += 8) store_digits(out, eight_digits(full[--n]));
    return out;
}

/* The digits of a level that was written recently. Few of a book's best levels change from one frame to the next. */
typedef struct {
    int64_t price, size;
    int length;
    char text[2 * DIGITS + 4];
} Written;

#define WRITTEN 1024 /* a power of two */

/* Write the digits of a price and a size; return what follows them. The write may touch sizeof(Written.text) bytes. */
static inline char *write_level(char *out, int64_t price, int64_t size, Written *known) {
    uint64_t hash = ((uint64_t)price * 0x9E3779B97F4A7C15ULL ^ (uint64_t)size) * 0xD6E8FEB86659FD93ULL;
    Written *level = known + (hash >> 54);
    if (level->price != price || level->size != size) {
        level->length = (int)(write_digits(write_digits(level->text, price), size) - level->text);
        level->price = price;
        level->size = size;
    }
    memcpy(out, level->text, 16);
    if (__builtin_expect(level->length > 16, 0)) memcpy(out + 16, level->text + 16, sizeof(level->text) - 16);
    return out + level->length;
}

#endif
