/* One side of an order book, as C sees it. */
#ifndef VENUEMESH_LEVELS_H
#define VENUEMESH_LEVELS_H

#include <stddef.h>
#include <stdint.h>

/* Sorted contiguous levels, best last. A key is the price of a bid and minus the price of an ask, so that a greater key
 * is always the better one and one code path serves both sides. */
typedef struct {
    int64_t *key;       /* n keys, strictly ascending; at least GUARD readable elements before and after */
    int64_t *size;      /* n sizes, all > 0 */
    ptrdiff_t n;        /* levels held */
    ptrdiff_t capacity; /* levels that fit before the arrays grow */
    int64_t bound;      /* keys >= bound are proven; INT64_MIN: the side is complete; INT64_MAX: nothing is proven */
    ptrdiff_t unproven; /* how many keys are < bound; -1: not counted yet */
    void *block;        /* what to free */
} Half;

#endif
