/* The orders of an order-level (L3) book as C sees them: a pool of orders, found by id, queued at their price.
 *
 * Orders and levels are in two arrays that grow, and refer to each other by index. An order is in the queue of its level,
 * first come first. Two open-addressing tables find an order by its id and a level by its side and price. Levels whose
 * total changed are marked, so that the aggregated book gets them all in one merge; a level without orders stays until
 * then, because its size of zero is news, too.
 */
#ifndef VENUEMESH_ORDERS_H
#define VENUEMESH_ORDERS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE (-1)
#define ID_BYTES 24
#define UUID_MARK UINT64_MAX /* the last word of a packed UUID: no text has such bytes */

/* A text of at most 24 bytes, padded with zeros; or the 16 bytes of a UUID and the mark. */
typedef struct {
    uint64_t word[3];
} OrderId;

typedef struct {
    OrderId id;
    int64_t size;    /* > 0 */
    int64_t time_ns; /* as the exchange states it; 0: not stated */
    int32_t next, prev, level;
    int32_t spare;
} Order;

typedef struct {
    int64_t key;  /* a bid's price, minus an ask's price */
    int64_t size; /* the sum of its orders */
    int32_t head, tail, count;
    int16_t side;
    int8_t changed; /* in the list of changed levels */
    int8_t held;    /* the aggregated book has the level */
} Level;

typedef struct {
    int32_t *slot; /* index + 1; 0: free */
    uint32_t mask;
} Table;

typedef struct {
    Order *order;
    int32_t orders, order_room, free_order; /* number in use, allocated, head of the free list (by `next`) */
    int32_t order_top;                      /* orders [0, top) were used at least once */
    Level *level;
    int32_t levels, level_room, free_level, level_top;
    Table by_id, by_price;
    int32_t *changed;
    int32_t n_changed, changed_room;
} Orders;

static inline uint64_t mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ULL;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ULL;
    h ^= h >> 32;
    return h;
}

static inline uint32_t id_hash(const OrderId *id) {
    return (uint32_t)mix(id->word[0] ^ mix(id->word[1] ^ mix(id->word[2] + 0x9e3779b97f4a7c15ULL)));
}

static inline uint32_t price_hash(int64_t key, int side) { return (uint32_t)mix(((uint64_t)key << 1) | (uint64_t)side); }

static inline int same_id(const OrderId *a, const OrderId *b) {
    return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2];
}

/* By character: its value as a digit of a lower-case hexadecimal number, plus 1; 0: it is no digit. */
static const unsigned char HEX[256] = {
    ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};
static const unsigned char UUID_AT[16] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}; /* of each byte */

/* Pack the text of an id. Return 0, or -1: empty, longer than 24 bytes and no lower-case UUID, or not printable ASCII. */
static int id_pack(const char *text, ptrdiff_t n, OrderId *id) {
    memset(id, 0, sizeof(*id));
    if (n == 36) {
        unsigned char *byte = (unsigned char *)id->word;
        int bad = text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-';
        for (int i = 0; i < 16; i++) {
            unsigned high = HEX[(unsigned char)text[UUID_AT[i]]], low = HEX[(unsigned char)text[UUID_AT[i] + 1]];
            bad |= !high || !low;
            byte[i] = (unsigned char)((high - 1) << 4 | (low - 1));
        }
        id->word[2] = UUID_MARK;
        return bad ? -1 : 0;
    }
    if (n < 1 || n > ID_BYTES) return -1;
    for (ptrdiff_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 33 || (unsigned char)text[i] > 126) return -1;
    memcpy(id->word, text, (size_t)n);
    return 0;
}

/* Write the text of an id (36 bytes at most) and return its length. */
static ptrdiff_t id_unpack(const OrderId *id, char *text) {
    const unsigned char *byte = (const unsigned char *)id->word;
    if (id->word[2] == UUID_MARK) {
        ptrdiff_t n = 0;
        for (int i = 0; i < 16; i++) {
            if (i == 4 || i == 6 || i == 8 || i == 10) text[n++] = '-';
            text[n++] = "0123456789abcdef"[byte[i] >> 4];
            text[n++] = "0123456789abcdef"[byte[i] & 15];
        }
        return n;
    }
    ptrdiff_t n = 0;
    while (n < ID_BYTES && byte[n]) {
        text[n] = (char)byte[n];
        n++;
    }
    return n;
}

static void orders_free(Orders *book) {
    free(book->order);
    free(book->level);
    free(book->by_id.slot);
    free(book->by_price.slot);
    free(book->changed);
    memset(book, 0, sizeof(*book));
}

static size_t orders_bytes(const Orders *book) {
    return (size_t)book->order_room * sizeof(Order) + (size_t)book->level_room * sizeof(Level) +
           ((size_t)book->by_id.mask + (size_t)book->by_price.mask + 2) * sizeof(int32_t) +
           (size_t)book->changed_room * sizeof(int32_t);
}

/* ---------------------------------------------------------------- tables */

static int32_t find_order(const Orders *book, const OrderId *id) {
    const Table *table = &book->by_id;
    if (table->slot == NULL) return NOWHERE;
    for (uint32_t at = id_hash(id) & table->mask;; at = (at + 1) & table->mask) {
        int32_t found = table->slot[at] - 1;
        if (found < 0) return NOWHERE;
        if (same_id(&book->order[found].id, id)) return found;
    }
}

static int32_t find_level(const Orders *book, int64_t key, int side) {
    const Table *table = &book->by_price;
    if (table->slot == NULL) return NOWHERE;
    for (uint32_t at = price_hash(key, side) & table->mask;; at = (at + 1) & table->mask) {
        int32_t found = table->slot[at] - 1;
        if (found < 0) return NOWHERE;
        if (book->level[found].key == key && book->level[found].side == side) return found;
    }
}

static inline uint32_t order_home(const Orders *book, int32_t i) { return id_hash(&book->order[i].id); }
static inline uint32_t level_home(const Orders *book, int32_t i) {
    return price_hash(book->level[i].key, book->level[i].side);
}

#define DEFINE_TABLE(KIND)                                                                                                \
    static void KIND##_enter(const Orders *book, Table *table, int32_t i) {                                               \
        uint32_t at = KIND##_home(book, i) & table->mask;                                                                 \
        while (table->slot[at]) at = (at + 1) & table->mask;                                                              \
        table->slot[at] = i + 1;                                                                                          \
    }                                                                                                                     \
    /* Close the gap: move entries back that a removed one had pushed away from their home. */                            \
    static void KIND##_leave(const Orders *book, Table *table, int32_t i) {                                               \
        uint32_t at = KIND##_home(book, i) & table->mask;                                                                 \
        while (table->slot[at] != i + 1) at = (at + 1) & table->mask;                                                     \
        for (uint32_t next = (at + 1) & table->mask;; next = (next + 1) & table->mask) {                                  \
            int32_t moved = table->slot[next];                                                                            \
            if (!moved) break;                                                                                            \
            uint32_t home = KIND##_home(book, moved - 1) & table->mask;                                                   \
            if (((next - home) & table->mask) >= ((next - at) & table->mask)) {                                           \
                table->slot[at] = moved;                                                                                  \
                at = next;                                                                                                \
            }                                                                                                             \
        }                                                                                                                 \
        table->slot[at] = 0;                                                                                              \
    }                                                                                                                     \
    /* Make room for `count` entries, at most 5/8 full. Return 0, or -1 with nothing changed. */                          \
    static int KIND##_reserve(const Orders *book, Table *table, int32_t count) {                                             \
        if (table->slot != NULL && (uint64_t)count * 8 <= ((uint64_t)table->mask + 1) * 5) return 0;                      \
        uint64_t size = 64;                                                                                               \
        while (size * 5 < (uint64_t)count * 8) size *= 2;                                                                 \
        Table grown = {(int32_t *)calloc(size, sizeof(int32_t)), (uint32_t)(size - 1)};                                   \
        if (grown.slot == NULL) return -1;                                                                                \
        if (table->slot != NULL)                                                                                          \
            for (uint64_t at = 0; at <= table->mask; at++)                                                                \
                if (table->slot[at]) KIND##_enter(book, &grown, table->slot[at] - 1);                                     \
        free(table->slot);                                                                                                \
        *table = grown;                                                                                                   \
        return 0;                                                                                                         \
    }

DEFINE_TABLE(order)
DEFINE_TABLE(level)

/* Make an array at least `want` long, half as long again. Return 0, or -1 with nothing changed. */
static int grow(void **array, int32_t *room, int32_t want, size_t each) {
    if (want <= *room) return 0;
    int64_t more = (int64_t)want + want / 2 + 64;
    if (more > INT32_MAX - 1) more = INT32_MAX - 1;
    if (more < want) return -1;
    void *grown = realloc(*array, (size_t)more * each);
    if (grown == NULL) return -1;
    *array = grown;
    *room = (int32_t)more;
    return 0;
}

/* ---------------------------------------------------------------- changes */

/* Room for one more order and one more level, so that the change itself cannot fail. */
static int reserve_one(Orders *book) {
    if (grow((void **)&book->order, &book->order_room, book->order_top + 1, sizeof(Order)) != 0) return -1;
    if (grow((void **)&book->level, &book->level_room, book->level_top + 1, sizeof(Level)) != 0) return -1;
    if (grow((void **)&book->changed, &book->changed_room, book->levels + 1, sizeof(int32_t)) != 0) return -1;
    if (order_reserve(book, &book->by_id, book->orders + 1) != 0) return -1;
    return level_reserve(book, &book->by_price, book->levels + 1);
}

static inline void touch(Orders *book, int32_t at) {
    if (book->level[at].changed) return;
    book->level[at].changed = 1;
    book->changed[book->n_changed++] = at;
}

static int32_t make_level(Orders *book, int64_t key, int side) {
    int32_t at = book->free_level;
    if (at > 0) {
        book->free_level = book->level[at - 1].head;
        at -= 1;
    } else {
        at = book->level_top++;
    }
    Level made = {key, 0, NOWHERE, NOWHERE, 0, (int16_t)side, 0, 0};
    book->level[at] = made;
    book->levels++;
    level_enter(book, &book->by_price, at);
    return at;
}

static void drop_level(Orders *book, int32_t at) {
    level_leave(book, &book->by_price, at);
    book->level[at].head = book->free_level;
    book->free_level = at + 1;
    book->levels--;
}

static void join_queue(Orders *book, int32_t i, int32_t at) {
    Order *order = &book->order[i];
    Level *level = &book->level[at];
    order->level = at;
    order->next = NOWHERE;
    order->prev = level->tail;
    if (level->tail == NOWHERE)
        level->head = i;
    else
        book->order[level->tail].next = i;
    level->tail = i;
    level->count++;
    level->size += order->size;
    touch(book, at);
}

static void leave_queue(Orders *book, int32_t i) {
    Order *order = &book->order[i];
    Level *level = &book->level[order->level];
    if (order->prev == NOWHERE)
        level->head = order->next;
    else
        book->order[order->prev].next = order->next;
    if (order->next == NOWHERE)
        level->tail = order->prev;
    else
        book->order[order->next].prev = order->prev;
    level->count--;
    level->size -= order->size;
    touch(book, order->level);
}

static int32_t level_for(Orders *book, int64_t key, int side) {
    int32_t at = find_level(book, key, side);
    return at != NOWHERE ? at : make_level(book, key, side);
}

/* Whether the sum of a level's sizes would leave int64. */
static inline int overflows(const Orders *book, int64_t key, int side, int64_t more) {
    int32_t at = find_level(book, key, side);
    return at != NOWHERE && book->level[at].size > INT64_MAX - more;
}

/* Enter an order at the end of its queue. The caller has checked it and called `reserve_one`. */
static void enter_order(Orders *book, const OrderId *id, int64_t key, int side, int64_t size, int64_t time_ns) {
    int32_t i = book->free_order;
    if (i > 0) {
        book->free_order = book->order[i - 1].next;
        i -= 1;
    } else {
        i = book->order_top++;
    }
    Order made = {*id, size, time_ns, NOWHERE, NOWHERE, NOWHERE, 0};
    book->order[i] = made;
    book->orders++;
    order_enter(book, &book->by_id, i);
    join_queue(book, i, level_for(book, key, side));
}

static void remove_order(Orders *book, int32_t i) {
    leave_queue(book, i);
    order_leave(book, &book->by_id, i);
    book->order[i].next = book->free_order;
    book->free_order = i + 1;
    book->orders--;
}

/* Set the size of an order; it keeps its place. */
static void resize_order(Orders *book, int32_t i, int64_t size) {
    Level *level = &book->level[book->order[i].level];
    level->size += size - book->order[i].size;
    book->order[i].size = size;
    touch(book, book->order[i].level);
}

/* Move an order to the end of the queue of a price. The caller has called `reserve_one`. */
static void move_order(Orders *book, int32_t i, int64_t key, int64_t size, int64_t time_ns) {
    int side = book->level[book->order[i].level].side;
    leave_queue(book, i);
    book->order[i].size = size;
    book->order[i].time_ns = time_ns;
    join_queue(book, i, level_for(book, key, side));
}

/* The changed levels are in the aggregated book now: forget that they changed, and those without orders. */
static void settle(Orders *book) {
    for (int32_t i = 0; i < book->n_changed; i++) {
        int32_t at = book->changed[i];
        book->level[at].changed = 0;
        book->level[at].held = 1;
        if (book->level[at].count == 0) drop_level(book, at);
    }
    book->n_changed = 0;
}

#endif
