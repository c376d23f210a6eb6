/* Reading numbers and level lists from the bytes of a JSON frame.
 *
 * Every function reads from a private copy of the frame that ends with PADDING zero bytes. No recognised form contains
 * a zero byte, so no function advances past one, and loads of up to PADDING bytes from a recognised position stay
 * inside.
 */
#ifndef VENUEMESH_FRAME_H
#define VENUEMESH_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define PADDING 64
#define ONES 0x0101010101010101ULL

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LITTLE(x) __builtin_bswap64(x)
#else
#define LITTLE(x) (x)
#endif

/* Eight bytes, the first in the lowest place. */
static inline uint64_t load8(const char *p) {
    uint64_t x;
    memcpy(&x, p, 8);
    return LITTLE(x);
}

/* Bytes that are 0 to 9 stay unmarked; any other byte marks its highest bit (and may mark the bytes after it). */
static inline uint64_t not_digits(uint64_t x) { return ((x + 0x76 * ONES) | x) & (0x80 * ONES); }

/* Value of eight bytes of 0 to 9, the first the most significant. */
static inline uint64_t value8(uint64_t x) {
    x = x * 10 + (x >> 8);
    return (((x & 0x000000FF000000FFULL) * 0x000F424000000064ULL) +
            (((x >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL)) >> 32;
}

static const uint64_t POWER[20] = {1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL,
    1000000000ULL, 10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL, 100000000000000ULL,
    1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL, 10000000000000000000ULL};

/* Exactly `text` (at most PADDING bytes) at p. Return what follows it, or NULL. */
static inline const char *scan_literal(const char *p, const char *text) {
    size_t n = strlen(text); /* the length of a constant, known to the compiler */
    return memcmp(p, text, n) == 0 ? p + n : NULL;
}

/* A JSON integer >= 0 without exponent that fits int64. Return what follows it, or NULL. */
static inline const char *scan_integer(const char *p, int64_t *out) {
    uint64_t value = 0;
    const char *start = p;
    for (;;) {
        uint64_t x = load8(p) ^ (0x30 * ONES), bad = not_digits(x);
        if (bad == 0) {
            if (p - start > 8) return NULL; /* 24 digits or more */
            value = value * 100000000ULL + value8(x);
            p += 8;
            continue;
        }
        int digits = __builtin_ctzll(bad) >> 3;
        if (digits) {
            uint64_t tail = value8(x << (64 - 8 * digits)), whole;
            if (__builtin_mul_overflow(value, POWER[digits], &whole) || __builtin_add_overflow(whole, tail, &value))
                return NULL;
            p += digits;
        }
        break;
    }
    if (p == start || (*start == '0' && p - start > 1) || value > INT64_MAX) return NULL;
    *out = (int64_t)value;
    return p;
}

/* A decimal of 1 to 7 digits, with or without a point and 1 to 8 decimals, exact at `scale`. Return what follows it, or
 * NULL: then the text may be a longer decimal, or no decimal. */
static inline const char *scan_short(const char *p, int scale, int64_t *out) {
    uint64_t x = load8(p) ^ (0x30 * ONES), bad = not_digits(x);
    int whole = bad ? __builtin_ctzll(bad) >> 3 : 0, places = 0;
    if (whole == 0 || (whole > 1 && *p == '0')) return NULL;
    uint64_t value = value8(x << (64 - 8 * whole));
    p += whole;
    if (*p == '.') {
        x = load8(++p) ^ (0x30 * ONES);
        bad = not_digits(x);
        places = bad ? __builtin_ctzll(bad) >> 3 : 8;
        if (places == 0 || places > scale || (unsigned char)(p[places] - '0') < 10) return NULL;
        value = value * POWER[places] + value8(x << (64 - 8 * places));
        p += places;
    }
    if (__builtin_mul_overflow(value, POWER[scale - places], &value) || value > INT64_MAX) return NULL;
    *out = (int64_t)value;
    return p;
}

/* A decimal of any length, exact at `scale`. Return what follows it, or NULL. */
static const char *scan_long(const char *p, int scale, int64_t *out) {
    uint64_t value = 0;
    const char *start = p;
    int decimals = 0;
    for (; (unsigned char)(*p - '0') < 10; p++)
        if (__builtin_mul_overflow(value, 10ULL, &value) || __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return NULL;
    if (p == start || (*start == '0' && p - start > 1)) return NULL;
    if (*p == '.') {
        const char *fraction = ++p;
        for (; (unsigned char)(*p - '0') < 10; p++) {
            if (p - fraction >= 64) return NULL;
            if (decimals == scale) {
                if (*p != '0') return NULL;
                continue;
            }
            if (__builtin_mul_overflow(value, 10ULL, &value) ||
                __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
                return NULL;
            decimals++;
        }
        if (p == fraction) return NULL;
    }
    if (__builtin_mul_overflow(value, POWER[scale - decimals], &value) || value > INT64_MAX) return NULL;
    *out = (int64_t)value;
    return p;
}

/* A decimal of any length, up to the quote that ends it, exact at `scale`. Return the quote, or NULL. */
static inline const char *scan_decimal(const char *p, int scale, int64_t *out) {
    const char *end = scan_short(p, scale, out);
    if (end == NULL) end = scan_long(p, scale, out);
    return end != NULL && *end == '"' ? end : NULL;
}

/* A number of JSON of at most 40 digits, without sign and exponent, exact at `scale`. Return what follows it, or NULL. */
static inline const char *scan_number(const char *p, int scale, int64_t *out) {
    const char *end = scan_short(p, scale, out);
    if (end == NULL) end = scan_long(p, scale, out);
    return end != NULL && end - p <= 41 ? end : NULL;
}

/* The shape exchanges write: `before` (1 to 8) digits, a point, 8 decimals. Marks in *bad the bytes that differ. */
static inline uint64_t fixed8(const char *p, int before, uint64_t *bad) {
    uint64_t head = (load8(p) ^ (0x30 * ONES)) << (64 - 8 * before);
    uint64_t tail = load8(p + before + 1) ^ (0x30 * ONES);
    *bad |= not_digits(head) | not_digits(tail) | (uint64_t)(p[before] ^ '.') | (uint64_t)((before > 1) & (*p == '0'));
    return value8(head) * 100000000ULL + value8(tail);
}

/* The factor or divisor that brings values of 8 decimals to a scale. */
typedef struct {
    int scale;
    int64_t up, down; /* x up, / down: one of them is 1 */
} Scale;

static inline Scale scale_of(int scale) {
    Scale s = {scale, scale > 8 ? (int64_t)POWER[scale - 8] : 1, scale < 8 ? (int64_t)POWER[8 - scale] : 1};
    return s;
}

static inline int rescale(uint64_t value8_, const Scale *to, int64_t *out) {
    int64_t value = (int64_t)value8_; /* < 10^16 */
    if (to->down != 1) {
        *out = value / to->down;
        return value % to->down != 0;
    }
    return __builtin_mul_overflow(value, to->up, out);
}

/* Levels that were read, with the keys that a book uses. */
typedef struct {
    int64_t *key;
    int64_t *size;
    ptrdiff_t n;
} Column;

#if defined(__SSE2__)
/* Which of the next 32 bytes are `wanted`, and which are digits: one bit a byte, the first in the lowest place. */
static inline uint32_t places_of(const char *p, char wanted) {
    const __m128i w = _mm_set1_epi8(wanted);
    __m128i a = _mm_loadu_si128((const __m128i *)p), b = _mm_loadu_si128((const __m128i *)(p + 16));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(a, w)) | (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(b, w)) << 16;
}

static inline uint32_t digits_of(const char *p) {
    const __m128i zero = _mm_set1_epi8('0'), nine = _mm_set1_epi8(9);
    __m128i a = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)p), zero);
    __m128i b = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(p + 16)), zero);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(a, nine), a)) |
           (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(b, nine), b)) << 16;
}

/* A decimal of `length` characters whose point stands after `before` of them (without a point: length == before), with
 * 1 to 8 digits before and after the point, exact at `scale`. Return 0, or 1 when another reader must decide. */
static inline int scan_parts(const char *p, int before, int length, int scale, int64_t *out) {
    const uint64_t first = load8(p) ^ (0x30 * ONES);
    uint64_t head, tail = 0;
    int64_t value;
    int places = 0;
    if ((unsigned)(before - 1) >= 8 || (before > 1 && *p == '0')) return 1;
    if (length == before) {
        head = first << (64 - 8 * before);
        value = (int64_t)value8(head);
    } else if ((places = length - before - 1) > scale || places == 0) {
        return 1;
    } else if (length <= 8) { /* the digits after the point move to those before it */
        uint64_t mask = (1ULL << 8 * before) - 1;
        head = ((first & mask) | ((first >> 8) & ~mask)) << (72 - 8 * length);
        value = (int64_t)value8(head);
    } else if (places <= 8) {
        head = first << (64 - 8 * before);
        tail = (load8(p + before + 1) ^ (0x30 * ONES)) << (64 - 8 * places);
        value = (int64_t)(value8(head) * POWER[places] + value8(tail));
    } else {
        return 1;
    }
    if (not_digits(head) | not_digits(tail)) return 1;
    return __builtin_mul_overflow(value, (int64_t)POWER[scale - places], out);
}

/* Both numbers of a level `price","size"` at p, found by their quotes together, so that neither number waits for the
 * other. Return the last quote, or NULL when another reader must decide. */
static inline const char *scan_pair(
    const char *p, int price_scale, int size_scale, int64_t *price_at, int64_t *size_at) {
    uint32_t quotes = places_of(p, '"'), points = places_of(p, '.');
    uint32_t second = quotes & (quotes - 1), third = second & (second - 1);
    if (third == 0) return NULL;
    int end = __builtin_ctz(quotes), size = __builtin_ctz(second) + 1, last = __builtin_ctz(third);
    if (size != end + 3 || p[end + 1] != ',') return NULL;
    int before = __builtin_ctz(points | quotes), size_before = __builtin_ctz((points | third) & (~0U << size)) - size;
    if (scan_parts(p, before, end, price_scale, price_at)) return NULL;
    if (scan_parts(p + size, size_before, last - size, size_scale, size_at)) return NULL;
    return p + last;
}

/* Two fields ,"digits","digits" at p. Return their last quote, or NULL when another reader must decide. */
static inline const char *skip_two(const char *p) {
    uint32_t quotes = places_of(p, '"'), second = quotes & (quotes - 1), third = second & (second - 1);
    uint32_t fourth = third & (third - 1);
    if (fourth == 0) return NULL;
    int end = __builtin_ctz(second), start = __builtin_ctz(third), last = __builtin_ctz(fourth);
    if (p[0] != ',' || p[1] != '"' || p[end + 1] != ',' || start != end + 2) return NULL;
    uint32_t inside = ((1U << end) - (1U << 2)) | ((1U << last) - (2U << start));
    return (inside & ~digits_of(p)) ? NULL : p + last;
}
#else
static inline const char *scan_pair(const char *p, int price, int size, int64_t *price_at, int64_t *size_at) {
    (void)p, (void)price, (void)size, (void)price_at, (void)size_at;
    return NULL;
}
static inline const char *skip_two(const char *p) {
    (void)p;
    return NULL;
}
#endif

/* A list [["price","size"],...] whose first bracket is at p; `negate` is 0 for bids, -1 for asks. Each level ends with
 * `more` further fields (0 or 2), strings of digits that are skipped. The columns must have room for one level per 6
 * bytes. `marked`: find the ends of numbers 32 bytes at a time. Return what follows the list, or NULL. */
static inline __attribute__((always_inline)) const char *scan_levels_steps(
    const char *p, int64_t negate, Scale price_scale, Scale size_scale, Column *out, int more, int marked) {
    int64_t *keys = out->key, *sizes = out->size;
    ptrdiff_t n = 0;
    int predicted = 1; /* digits before the point of the last price */
    int eight = 1; /* the last level had eight decimals */
    const char after = more ? ',' : ']';
    out->n = 0;
    if (*p++ != '[') return NULL;
    if (*p == ']') return p + 1;
    const int plain = price_scale.scale == 8 && size_scale.scale == 8;
    for (;;) {
        if (p[0] != '[' || p[1] != '"') return NULL;
        p += 2;
        uint64_t bad = 0, price, size;
        int64_t price_at, size_at;
        const char *end;
        if (__builtin_expect(!eight, 0)) {
            end = marked ? scan_pair(p, price_scale.scale, size_scale.scale, &price_at, &size_at) : NULL;
            if (end == NULL) {
                end = scan_decimal(p, price_scale.scale, &price_at);
                if (end == NULL || end[1] != ',' || end[2] != '"') return NULL;
                end = scan_decimal(end + 3, size_scale.scale, &size_at);
            }
            if (end == NULL || end[1] != after) return NULL;
            goto read;
        }
        if (__builtin_expect(p[predicted + 9] != '"', 0)) {
            uint64_t x = load8(p + 10) ^ (0x22 * ONES), zero = (x - ONES) & ~x & (0x80 * ONES);
            predicted = zero ? 1 + (__builtin_ctzll(zero) >> 3) : 1;
        }
        price = fixed8(p, predicted, &bad);
        end = p + predicted + 9;
        bad |= (uint64_t)((end[0] ^ '"') | (end[1] ^ ',') | (end[2] ^ '"'));
        const char *q = end + 3;
        uint64_t x = load8(q + 10) ^ (0x22 * ONES), zero = (x - ONES) & ~x & (0x80 * ONES);
        int before = 1 + (__builtin_ctzll(zero | (1ULL << 63)) >> 3);
        size = fixed8(q, before, &bad);
        end = q + before + 9;
        bad |= (uint64_t)((end[0] ^ '"') | (end[1] ^ after));
        if (__builtin_expect(bad == 0 && plain, 1)) {
            price_at = (int64_t)price;
            size_at = (int64_t)size;
        } else if (bad == 0) {
            if (rescale(price, &price_scale, &price_at) || rescale(size, &size_scale, &size_at)) return NULL;
        } else {
            end = scan_decimal(p, price_scale.scale, &price_at);
            if (end == NULL || end[1] != ',' || end[2] != '"') return NULL;
            end = scan_decimal(end + 3, size_scale.scale, &size_at);
            if (end == NULL || end[1] != after) return NULL;
            eight = 0;
        }
    read:
        if (more) {
            const char *fields = marked ? skip_two(end + 1) : NULL;
            for (int field = 0; fields == NULL && field < more; field++) {
                if (end[1] != ',' || end[2] != '"') return NULL;
                for (end += 3; (unsigned char)(*end - '0') < 10; end++) {}
                if (*end != '"') return NULL;
            }
            if (fields != NULL) end = fields;
        }
        if (more && end[1] != ']') return NULL;
        if (__builtin_expect(price_at == 0, 0)) return NULL;
        keys[n] = (price_at ^ negate) - negate;
        sizes[n] = size_at;
        n++;
        p = end + 3;
        if (end[2] == ',') continue;
        if (end[2] != ']') return NULL;
        out->n = n;
        return p;
    }
}

static const char *scan_levels_portable(const char *p, int64_t negate, Scale price, Scale size, Column *out) {
    return scan_levels_steps(p, negate, price, size, out, 0, 0);
}

/* A list [["price","size","0","1"],...], each level with two more fields. */
static const char *scan_rows_portable(const char *p, int64_t negate, Scale price, Scale size, Column *out) {
    return scan_levels_steps(p, negate, price, size, out, 2, 0);
}

/* A list [{"price":1.0,"qty":2.0},...] of JSON numbers; in all else like the lists above. */
static const char *scan_objects(const char *p, int64_t negate, Scale price, Scale size, Column *out) {
    ptrdiff_t n = 0;
    out->n = 0;
    if (*p++ != '[') return NULL;
    if (*p == ']') return p + 1;
    for (;;) {
        int64_t price_at, size_at;
        if ((p = scan_literal(p, "{\"price\":")) == NULL) return NULL;
        if ((p = scan_number(p, price.scale, &price_at)) == NULL || price_at == 0) return NULL;
        if ((p = scan_literal(p, ",\"qty\":")) == NULL) return NULL;
        if ((p = scan_number(p, size.scale, &size_at)) == NULL || *p != '}') return NULL;
        out->key[n] = (price_at ^ negate) - negate;
        out->size[n] = size_at;
        n++;
        if (p[1] == ']') {
            out->n = n;
            return p + 2;
        }
        if (p[1] != ',') return NULL;
        p += 2;
    }
}

/* A list [["buy","price","size"],["sell",...],...] of changes of both sides: columns[0] gets those of bids ("buy"), and
 * columns[1] those of asks. In all else like the lists above. */
static const char *scan_changes(const char *p, Scale price, Scale size, Column *columns) {
    columns[0].n = columns[1].n = 0;
    if (*p++ != '[') return NULL;
    if (*p == ']') return p + 1;
    for (;;) {
        int64_t price_at, size_at;
        const char *value = scan_literal(p, "[\"buy\",\"");
        Column *out = value != NULL ? &columns[0] : &columns[1];
        if (value == NULL && (value = scan_literal(p, "[\"sell\",\"")) == NULL) return NULL;
        if ((p = scan_decimal(value, price.scale, &price_at)) == NULL || price_at == 0) return NULL;
        if ((p = scan_literal(p, "\",\"")) == NULL) return NULL;
        if ((p = scan_decimal(p, size.scale, &size_at)) == NULL || p[1] != ']') return NULL;
        out->key[out->n] = out == &columns[0] ? price_at : -price_at;
        out->size[out->n] = size_at;
        out->n++;
        if (p[2] == ']') return p + 3;
        if (p[2] != ',') return NULL;
        p += 3;
    }
}

/* A number of JSON without a sign and of at most 19 digits, with or without an exponent of two digits, at `scale`. A
 * number with more decimals than the scale is rounded to the nearest unit if `rounds`, but not to zero; if not, it is not
 * read. Return what follows it, or NULL. */
static const char *scan_double(const char *p, int scale, int rounds, int64_t *out) {
    const char *start = p;
    uint64_t value = 0;
    int digits = 0, places = 0, exponent = 0, n = 0;
    for (; (unsigned char)(*p - '0') < 10; p++, digits++) {
        if (digits == 19) return NULL;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    if (digits == 0 || (*start == '0' && digits > 1)) return NULL;
    if (*p == '.') {
        for (p++; (unsigned char)(*p - '0') < 10; p++, digits++, places++) {
            if (digits == 19) return NULL;
            value = value * 10 + (uint64_t)(*p - '0');
        }
        if (places == 0) return NULL;
    }
    if (*p == 'e' || *p == 'E') {
        int is_negative = *++p == '-';
        if (*p == '-' || *p == '+') p++;
        for (; (unsigned char)(*p - '0') < 10; p++, n++) {
            if (n == 2) return NULL;
            exponent = exponent * 10 + (*p - '0');
        }
        if (n == 0) return NULL;
        if (is_negative) exponent = -exponent;
    }
    int shift = scale - places + exponent;
    if (value != 0 && shift > 0) {
        if (shift > 18 || __builtin_mul_overflow(value, POWER[shift], &value)) return NULL;
    } else if (shift < 0) {
        uint64_t power = shift < -19 ? 0 : POWER[-shift], rest = power ? value % power : value;
        if (rest != 0 && !rounds) return NULL;
        int is_some = value != 0;
        value = power ? value / power + (rest >= power - power / 2) : 0;
        if (value == 0) value = (uint64_t)is_some;
    }
    if (value > INT64_MAX) return NULL;
    *out = (int64_t)value;
    return p;
}

/* A list [[price,size],...] of such numbers, with exact prices and rounded sizes; in all else like the lists above. */
static const char *scan_pairs(const char *p, int64_t negate, Scale price, Scale size, Column *out) {
    ptrdiff_t n = 0;
    out->n = 0;
    if (*p++ != '[') return NULL;
    if (*p == ']') return p + 1;
    for (;;) {
        int64_t price_at, size_at;
        if (*p++ != '[') return NULL;
        if ((p = scan_double(p, price.scale, 0, &price_at)) == NULL || price_at == 0 || *p++ != ',') return NULL;
        if ((p = scan_double(p, size.scale, 1, &size_at)) == NULL || *p++ != ']') return NULL;
        out->key[n] = (price_at ^ negate) - negate;
        out->size[n] = size_at;
        n++;
        if (*p == ']') {
            out->n = n;
            return p + 1;
        }
        if (*p++ != ',') return NULL;
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2,bmi,bmi2"))) static const char *scan_levels_wide(
    const char *p, int64_t negate, Scale price, Scale size, Column *out) {
    return scan_levels_steps(p, negate, price, size, out, 0, 1);
}

__attribute__((target("avx2,bmi,bmi2"))) static const char *scan_rows_wide(
    const char *p, int64_t negate, Scale price, Scale size, Column *out) {
    return scan_levels_steps(p, negate, price, size, out, 2, 1);
}
#else
#define scan_levels_wide scan_levels_portable
#define scan_rows_wide scan_rows_portable
#endif

/* A string of JSON whose first quote is at p, without escapes. Return what follows its last quote, or NULL. */
static const char *scan_string(const char *p) {
    const unsigned char *s = (const unsigned char *)p;
    if (*s++ != '"') return NULL;
    for (;;) {
        uint64_t x = load8((const char *)s), quote = x ^ (0x22 * ONES), slash = x ^ (0x5C * ONES);
        uint64_t special = ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | ((x - 0x20 * ONES) & ~x) | x;
        special &= 0x80 * ONES; /* the first mark is right; later marks may be wrong */
        if (special == 0) {
            s += 8;
            continue;
        }
        s += __builtin_ctzll(special) >> 3;
        if (*s < 0x80) {
            if (*s == '"') return (const char *)s + 1;
            if (*s < 0x20 || *s == '\\') return NULL;
            s++;
        } else if (*s >= 0xC2 && *s <= 0xDF) {
            if ((s[1] & 0xC0) != 0x80) return NULL;
            s += 2;
        } else if ((*s & 0xF0) == 0xE0) {
            if ((s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80 || (*s == 0xE0 && s[1] < 0xA0) || (*s == 0xED && s[1] > 0x9F))
                return NULL;
            s += 3;
        } else if (*s >= 0xF0 && *s <= 0xF4) {
            if ((s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80 || (s[3] & 0xC0) != 0x80 || (*s == 0xF0 && s[1] < 0x90) ||
                (*s == 0xF4 && s[1] > 0x8F))
                return NULL;
            s += 4;
        } else {
            return NULL;
        }
    }
}

/* Two bytes of `x` from byte `at`, each 0 to 9, as a number. */
static inline int two_digits(uint64_t x, int at) { return (int)(x >> 8 * at & 15) * 10 + (int)(x >> 8 * (at + 1) & 15); }

/* A string "2023-10-06T17:35:55.440295Z", with up to 9 decimals or none, of 1970 to 2261, whose first quote is at p,
 * read as nanoseconds since the Unix epoch. Return what follows its last quote, or NULL. */
static const char *scan_time(const char *p, int64_t *out) {
    static const unsigned char DAYS[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const uint64_t date = load8(p + 1) ^ load8("0000-00-"), clock = load8(p + 9) ^ load8("00T00:00");
    const uint64_t rest = load8(p + 17) ^ load8(":00\0\0\0\0");
    const uint64_t marks = (date & 0xFF0000FF00000000ULL) | (clock & 0x0000FF0000FF0000ULL) | (rest & 0xFF);
    if (p[0] != '"' || marks || not_digits(date) || not_digits(clock) || not_digits(rest & 0xFFFF00)) return NULL;
    int year = two_digits(date, 0) * 100 + two_digits(date, 2), month = two_digits(date, 5), day = two_digits(clock, 0);
    int hour = two_digits(clock, 3), minute = two_digits(clock, 6), second = two_digits(rest, 1);
    if (year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1) return NULL;
    int is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > DAYS[month] + (month == 2 && is_leap) || hour > 23 || minute > 59 || second > 59) return NULL;
    int from_march = month > 2 ? month - 3 : month + 9, years = year - (month <= 2); /* years are counted from March */
    int64_t days = years * 365LL + years / 4 - years / 100 + years / 400 + (153 * from_march + 2) / 5 + day - 1 - 719468;
    int64_t fraction = 0;
    p += 20;
    if (*p == '.') {
        const char *start = ++p;
        uint64_t x = load8(p) ^ (0x30 * ONES), bad = not_digits(x);
        int places = bad ? __builtin_ctzll(bad) >> 3 : 8;
        if (places == 0) return NULL;
        fraction = (int64_t)value8(x << (64 - 8 * places));
        for (p += places; (unsigned char)(*p - '0') < 10; p++) {
            if (p - start == 9) return NULL;
            fraction = fraction * 10 + (*p - '0');
        }
        fraction *= (int64_t)POWER[9 - (p - start)];
    }
    if (p[0] != 'Z' || p[1] != '"') return NULL;
    *out = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000000000LL + fraction;
    return p + 2;
}

/* Skip what should be a level list at p, to be read later: return what follows its first "]]" (or "[]"), or NULL. */
static const char *skip_levels(const char *p) {
    if (p[0] == '[' && p[1] == ']') return p + 2;
    for (; *p; p++)
        if (p[0] == ']' && p[1] == ']') return p + 2;
    return NULL;
}

static inline uint64_t hash_text(const char *p, ptrdiff_t n) {
    uint64_t h = 0x9E3779B97F4A7C15ULL ^ (uint64_t)n;
    for (; n >= 8; n -= 8, p += 8) h = (h ^ load8(p)) * 0xD6E8FEB86659FD93ULL, h ^= h >> 32;
    if (n) {
        uint64_t x = 0;
        memcpy(&x, p, (size_t)n);
        h = (h ^ x) * 0xD6E8FEB86659FD93ULL;
        h ^= h >> 32;
    }
    return h;
}

#endif
