/* One side of an order book as C sees it, and the one operation that changes it: a merge of sorted deltas.
 *
 * A side is two parallel arrays with the best level last. Deltas are merged from the touch outward into a scratch area, in
 * steps of 16 levels without data-dependent branches, and the touched end of the side is then replaced from there.
 * Every level is moved at most twice, for any number of inserted or removed levels, and levels farther from the touch
 * than the worst delta are not touched.
 */
#ifndef VENUEMESH_LEVELS_H
#define VENUEMESH_LEVELS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define VENUEMESH_NO_PRICE INT64_MIN
#define GUARD 16 /* levels per step; as many spare elements stand before and after each array */

/* A key is the price of a bid and minus the price of an ask: a greater key is always the better one. */
typedef struct {
    int64_t *key;       /* n keys, strictly ascending */
    int64_t *size;      /* n sizes, all > 0 */
    ptrdiff_t n;        /* levels held */
    ptrdiff_t capacity; /* levels that fit before the arrays grow */
    int64_t bound;      /* keys >= bound are proven; INT64_MIN: the side is complete; INT64_MAX: nothing is proven */
    ptrdiff_t unproven; /* how many keys are < bound; -1: not counted yet */
    void *block;        /* the block to free */
} Half;

static inline void half_point(Half *half, int64_t *block, ptrdiff_t capacity) {
    half->block = block;
    half->capacity = capacity;
    half->key = block + GUARD;
    half->size = block + capacity + 3 * GUARD;
}

static inline size_t half_bytes(ptrdiff_t capacity) {
    return (size_t)(2 * capacity + 4 * GUARD) * sizeof(int64_t);
}

/* Make room for `capacity` levels, keeping what is held. Return 0, or -1 with nothing changed. */
static int half_grow(Half *half, ptrdiff_t capacity) {
    int64_t *block = (int64_t *)malloc(half_bytes(capacity));
    if (block == NULL) return -1;
    Half old = *half;
    half_point(half, block, capacity);
    for (ptrdiff_t i = -GUARD; i < 0; i++) {
        half->key[i] = INT64_MIN; /* a key worse than every delta: stops the walk at the worst level */
        half->size[i] = 0;
    }
    if (old.block != NULL) {
        memcpy(half->key, old.key, (size_t)old.n * sizeof(int64_t));
        memcpy(half->size, old.size, (size_t)old.n * sizeof(int64_t));
        free(old.block);
    }
    return 0;
}

/* Index of the first key >= `key`. */
static inline ptrdiff_t half_find(const Half *half, int64_t key) {
    const int64_t *base = half->key;
    ptrdiff_t n = half->n;
    while (n > 1) {
        ptrdiff_t middle = n >> 1;
        base += (base[middle - 1] < key) ? middle : 0;
        n -= middle;
    }
    return (base - half->key) + (n == 1 && *base < key);
}

/* Where merges write: `room` levels, filled from the end; GUARD spare elements before and after. */
typedef struct {
    int64_t *key;
    int64_t *size;
    ptrdiff_t room;
    void *block;
} Scratch;

static int scratch_reserve(Scratch *scratch, ptrdiff_t room) {
    if (room <= scratch->room) return 0;
    room += room / 2 + 256;
    int64_t *block = (int64_t *)malloc(half_bytes(room));
    if (block == NULL) return -1;
    free(scratch->block);
    scratch->block = block;
    scratch->room = room;
    scratch->key = block + GUARD;
    scratch->size = block + room + 3 * GUARD;
    return 0;
}

typedef struct {
    ptrdiff_t kept;  /* levels [0, kept) of the side stay as they are */
    ptrdiff_t fresh; /* the rest is replaced by the last `fresh` levels of the scratch area */
    int sorted;      /* 0: the deltas were not strictly best first; kept and fresh mean nothing */
} Merged;

#define STEP static inline __attribute__((always_inline))

/* Of 16 ascending keys, how many are better than `key`, and how many are better or equal. */
typedef struct {
    ptrdiff_t better, met;
} Rank;

STEP Rank rank_16_portable(const int64_t *keys, int64_t key) {
    ptrdiff_t better = 0;
    for (int i = 0; i < GUARD; i++) better += keys[i] > key;
    Rank rank = {better, better + (better < GUARD && keys[GUARD - 1 - better] == key)};
    return rank;
}

STEP void copy_16_portable(int64_t *to, const int64_t *from) { memcpy(to, from, GUARD * sizeof(int64_t)); }

#if defined(__x86_64__)
#define WIDE __attribute__((target("avx2,bmi,bmi2,popcnt")))

/* Two bits for each of 16 comparisons. */
WIDE STEP unsigned marks_16(__m256i a, __m256i b, __m256i c, __m256i d) {
    return (unsigned)_mm256_movemask_epi8(_mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)));
}

WIDE STEP Rank rank_16_wide(const int64_t *keys, int64_t key) {
    const __m256i k = _mm256_set1_epi64x(key);
    __m256i a = _mm256_loadu_si256((const __m256i *)keys), b = _mm256_loadu_si256((const __m256i *)(keys + 4));
    __m256i c = _mm256_loadu_si256((const __m256i *)(keys + 8)), d = _mm256_loadu_si256((const __m256i *)(keys + 12));
    unsigned better = marks_16(
        _mm256_cmpgt_epi64(a, k), _mm256_cmpgt_epi64(b, k), _mm256_cmpgt_epi64(c, k), _mm256_cmpgt_epi64(d, k));
    unsigned worse = marks_16(
        _mm256_cmpgt_epi64(k, a), _mm256_cmpgt_epi64(k, b), _mm256_cmpgt_epi64(k, c), _mm256_cmpgt_epi64(k, d));
    Rank rank = {__builtin_popcount(better) >> 1, __builtin_popcount(~worse) >> 1};
    return rank;
}

WIDE STEP void copy_16_wide(int64_t *to, const int64_t *from) {
    __m256i a = _mm256_loadu_si256((const __m256i *)from);
    __m256i b = _mm256_loadu_si256((const __m256i *)(from + 4));
    __m256i c = _mm256_loadu_si256((const __m256i *)(from + 8));
    __m256i d = _mm256_loadu_si256((const __m256i *)(from + 12));
    _mm256_storeu_si256((__m256i *)to, a);
    _mm256_storeu_si256((__m256i *)(to + 4), b);
    _mm256_storeu_si256((__m256i *)(to + 8), c);
    _mm256_storeu_si256((__m256i *)(to + 12), d);
}
#endif

#define DEFINE_MERGE(KIND, TARGET)                                                                                        \
    TARGET static Merged merge_##KIND(                                                                                    \
        const Half *half, const int64_t *delta_key, const int64_t *delta_size, ptrdiff_t n, Scratch *scratch) {           \
        const int64_t *key = half->key, *size = half->size;                                                               \
        int64_t *out_key = scratch->key, *out_size = scratch->size;                                                       \
        ptrdiff_t read = half->n, write = scratch->room;                                                                  \
        int64_t before = INT64_MAX;                                                                                       \
        int unsorted = 0;                                                                                                 \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                               \
            int64_t at = delta_key[i], amount = delta_size[i];                                                            \
            unsorted |= at >= before;                                                                                     \
            before = at;                                                                                                  \
            while (key[read - GUARD] > at) {                                                                              \
                copy_16_##KIND(out_key + write - GUARD, key + read - GUARD);                                              \
                copy_16_##KIND(out_size + write - GUARD, size + read - GUARD);                                            \
                read -= GUARD;                                                                                            \
                write -= GUARD;                                                                                           \
            }                                                                                                             \
            Rank rank = rank_16_##KIND(key + read - GUARD, at);                                                           \
            copy_16_##KIND(out_key + write - GUARD, key + read - GUARD);                                                  \
            copy_16_##KIND(out_size + write - GUARD, size + read - GUARD);                                                \
            read -= rank.met;                                                                                             \
            write -= rank.better;                                                                                         \
            out_key[write - 1] = at;                                                                                      \
            out_size[write - 1] = amount;                                                                                 \
            write -= amount != 0;                                                                                         \
        }                                                                                                                 \
        Merged merged = {read, scratch->room - write, !unsorted};                                                         \
        return merged;                                                                                                    \
    }                                                                                                                     \
    TARGET static void commit_##KIND(Half *half, const Scratch *scratch, Merged merged) {                                 \
        const int64_t *from_key = scratch->key + scratch->room - merged.fresh;                                            \
        const int64_t *from_size = scratch->size + scratch->room - merged.fresh;                                          \
        int64_t *key = half->key + merged.kept, *size = half->size + merged.kept;                                         \
        for (ptrdiff_t i = ((merged.fresh + GUARD - 1) & -GUARD) - GUARD; i >= 0; i -= GUARD) {                                                      \
            copy_16_##KIND(key + i, from_key + i);                                                                        \
            copy_16_##KIND(size + i, from_size + i);                                                                      \
        }                                                                                                                 \
        half->n = merged.kept + merged.fresh;                                                                             \
    }

DEFINE_MERGE(portable, )
#if defined(__x86_64__)
DEFINE_MERGE(wide, WIDE)

static inline int cpu_is_wide(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}
#else
#define merge_wide merge_portable
#define commit_wide commit_portable
static inline int cpu_is_wide(void) { return 0; }
#endif

static inline Merged merge(
    const Half *half, const int64_t *key, const int64_t *size, ptrdiff_t n, Scratch *scratch, int wide) {
    return wide ? merge_wide(half, key, size, n, scratch) : merge_portable(half, key, size, n, scratch);
}

static inline void commit(Half *half, const Scratch *scratch, Merged merged, int wide) {
    if (wide)
        commit_wide(half, scratch, merged);
    else
        commit_portable(half, scratch, merged);
}

/* Sort deltas best first and keep the last delta of each key, as applying them in turn would. Return their number. */
typedef struct {
    int64_t key, size, turn;
} Delta;

static int delta_order(const void *a, const void *b) {
    const Delta *x = (const Delta *)a, *y = (const Delta *)b;
    if (x->key != y->key) return x->key > y->key ? -1 : 1;
    return x->turn > y->turn ? -1 : 1;
}

static ptrdiff_t sort_deltas(int64_t *key, int64_t *size, ptrdiff_t n, Delta *room) {
    for (ptrdiff_t i = 0; i < n; i++) {
        Delta delta = {key[i], size[i], i};
        room[i] = delta;
    }
    qsort(room, (size_t)n, sizeof(Delta), delta_order);
    ptrdiff_t m = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (m > 0 && key[m - 1] == room[i].key) continue;
        key[m] = room[i].key;
        size[m] = room[i].size;
        m++;
    }
    return m;
}

#endif
