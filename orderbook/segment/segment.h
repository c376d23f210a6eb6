/* A book's shared-memory segment: one writer, any number of readers that map it read-only.
 *
 * The hot words and the levels are guarded by a sequence lock (Boehm, "Can seqlocks get along with programming language
 * memory models?", 2012): the writer makes `seq` odd, fences, stores the data as relaxed atomics, and makes `seq` even
 * with a release store; a reader loads `seq` with acquire, the data relaxed, fences, and trusts its copy only if `seq`
 * is even and unchanged. Outside the lock are separate atomics: `version` (its low half is the futex word),
 * `heartbeat_ns`, `ended` (also set by the node agent once the writer is certainly dead) and `last_trade`.
 *
 * Levels of a side lie right-aligned with the best last, so the best is always at index capacity - 1.
 */
#ifndef VENUEMESH_SEGMENT_H
#define VENUEMESH_SEGMENT_H

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

#define VM_MAGIC "vmesh-sg"
#define VM_FORMAT 2
#define VM_ADDRESS_BYTES 256
#define VM_HOT_WORDS 32
#define VM_TRADE_WORDS 8
#define VM_NONE INT64_MIN /* a time that is not known */

enum { /* hot words */
    VM_STATE, VM_SEQUENCE, VM_TS_EVENT, VM_TS_RECV, VM_PUBLISH_NS, VM_UPDATES, VM_GAPS, VM_RESYNCS,
    VM_N_BIDS, VM_N_ASKS, VM_FLAGS, VM_CHANGES, VM_BID_PRICE, VM_BID_SIZE, VM_ASK_PRICE, VM_ASK_SIZE,
    VM_REASON = 16 /* 64 bytes of text */, VM_REASON_END = 24
};
enum { VM_BIDS_WHOLE = 1, VM_ASKS_WHOLE = 2, VM_BIDS_MORE = 4, VM_ASKS_MORE = 8 };
enum { VM_SEQUENCED = 1, VM_INEXACT = 2, VM_MIRRORED = 4, VM_REDUNDANT = 8, VM_REPLICA = 16, VM_COMPARABLE = 32 };
enum { VM_T_CHECK, VM_T_ID, VM_T_PRICE, VM_T_SIZE, VM_T_SELL, VM_T_EVENT, VM_T_RECV,
       VM_T_LOST /* twice the number of trades that never arrived; odd if the number just before this one is unknown */
       };

typedef struct {
    char magic[8];
    uint32_t format, head_bytes;
    uint64_t file_bytes;
    int64_t epoch, counter;
    int32_t price_scale, size_scale;
    uint32_t levels, trades;
    int64_t heartbeat_limit_ns;
    uint32_t flags, writer_pid;
    uint64_t writer_start; /* start of the writer's process in clock ticks since boot; 0 if unknown */
    uint32_t address_bytes, reserved;
    char address[VM_ADDRESS_BYTES];
} vm_header;

typedef struct {
    vm_header head; /* constant once the file has its final name */
    char pad[512 - sizeof(vm_header)];
    _Atomic uint64_t seq, version;
    _Atomic int64_t heartbeat_ns;
    _Atomic uint64_t last_trade;
    _Atomic uint32_t ended;
    char pad2[28];
    _Atomic int64_t hot[VM_HOT_WORDS];
    _Atomic int64_t body[]; /* bid price, bid size, ask price, ask size: `levels` words each; then the trade slots */
} vm_segment;

_Static_assert(sizeof(vm_header) == 8 + 8 + 8 + 16 + 8 + 8 + 8 + 8 + 8 + 8 + VM_ADDRESS_BYTES, "packed header");
_Static_assert(sizeof(vm_segment) == 512 + 64 + 8 * VM_HOT_WORDS, "layout is part of the format");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "atomics must be lock free across processes");

static inline uint64_t vm_file_bytes(uint64_t levels, uint64_t trades) {
    return sizeof(vm_segment) + 8 * (4 * levels + VM_TRADE_WORDS * trades);
}

static inline int64_t vm_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void vm_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* ---- atomics outside the lock ---- */

static inline uint64_t vm_seq(const vm_segment *s) { return atomic_load_explicit(&s->seq, memory_order_acquire); }
static inline uint64_t vm_version(const vm_segment *s) { return atomic_load_explicit(&s->version, memory_order_acquire); }
static inline int64_t vm_heartbeat(const vm_segment *s) {
    return atomic_load_explicit(&s->heartbeat_ns, memory_order_acquire);
}
static inline uint64_t vm_last_trade(const vm_segment *s) {
    return atomic_load_explicit(&s->last_trade, memory_order_acquire);
}
static inline uint32_t vm_ended(const vm_segment *s) { return atomic_load_explicit(&s->ended, memory_order_acquire); }

/* Whether the writer lives: not ended, and its heartbeat within the limit. */
static inline int vm_lives(const vm_segment *s, int64_t limit_ns) {
    int64_t beat = vm_heartbeat(s); /* before the clock, so that the age is never too small */
    return !vm_ended(s) && vm_now() - beat <= limit_ns;
}

/* ---- the writer ---- */

static inline void vm_begin(vm_segment *s) {
    uint64_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
    atomic_store_explicit(&s->seq, seq | 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static inline void vm_end(vm_segment *s) {
    uint64_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
    atomic_store_explicit(&s->seq, (seq | 1) + 1, memory_order_release);
}

static inline void vm_put(_Atomic int64_t *to, const int64_t *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) atomic_store_explicit(to + i, from[i], memory_order_relaxed);
}

static inline void vm_beat(vm_segment *s, int64_t now_ns) {
    atomic_store_explicit(&s->heartbeat_ns, now_ns, memory_order_release);
}

static inline uint32_t *vm_futex_word(const _Atomic uint64_t *version) {
    uint32_t *half = (uint32_t *)(uintptr_t)version;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    half += 1;
#endif
    return half;
}

/* Raise the version and wake its waiters. One system call even without waiters: readers cannot announce that they wait,
 * because they cannot write to the segment. */
static inline void vm_notify(vm_segment *s) {
    atomic_fetch_add_explicit(&s->version, 1, memory_order_release);
#if defined(__linux__)
    syscall(SYS_futex, vm_futex_word(&s->version), 1 /* FUTEX_WAKE */, INT_MAX, NULL, NULL, 0);
#endif
}

static inline void vm_put_hot(vm_segment *s, const int64_t *hot, int64_t n) { vm_put(s->hot, hot, n); }

/* `scratch` holds bid price, bid size, ask price, ask size of `cap` words each, right-aligned. */
static inline void vm_put_levels(vm_segment *s, const int64_t *scratch, int64_t cap, int64_t bids, int64_t asks) {
    vm_put(s->body + cap - bids, scratch + cap - bids, bids);
    vm_put(s->body + 2 * cap - bids, scratch + 2 * cap - bids, bids);
    vm_put(s->body + 3 * cap - asks, scratch + 3 * cap - asks, asks);
    vm_put(s->body + 4 * cap - asks, scratch + 4 * cap - asks, asks);
}

/* Slot of trade number k (from 1): check is 2k - 1 while the slot is written and 2k when it is complete. */
static inline void vm_put_trade(vm_segment *s, int64_t cap, int64_t ring, const int64_t *trade) {
    uint64_t number = atomic_load_explicit(&s->last_trade, memory_order_relaxed) + 1;
    _Atomic int64_t *slot = s->body + 4 * cap + VM_TRADE_WORDS * (int64_t)((number - 1) % (uint64_t)ring);
    atomic_store_explicit(slot, (int64_t)(2 * number - 1), memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    vm_put(slot + 1, trade + 1, VM_TRADE_WORDS - 1);
    atomic_store_explicit(slot, (int64_t)(2 * number), memory_order_release);
    atomic_store_explicit(&s->last_trade, number, memory_order_release);
}

/* For the node agent, after the writer's death: the only store by another process than the writer. */
static inline void vm_mark_ended(vm_segment *s) {
    atomic_store_explicit(&s->ended, 1, memory_order_release);
    vm_notify(s);
}

/* ---- the reader ---- */

/* Copy the hot words and the best min(n, held) levels of each side, best first, as (price, size) pairs: bids to
 * `pairs`, asks to `pairs + 2 n`. One attempt: 0 when the copy is consistent. */
static inline int vm_try_read(const vm_segment *s, int64_t cap, int64_t n, int64_t *hot, int64_t words, int64_t *pairs) {
    uint64_t before = atomic_load_explicit(&s->seq, memory_order_acquire);
    if (before & 1) return 1;
    for (int64_t i = 0; i < words; i++) hot[i] = atomic_load_explicit(&s->hot[i], memory_order_relaxed);
    if (n > 0) {
        for (int side = 0; side < 2; side++) {
            int64_t held = hot[VM_N_BIDS + side];
            const _Atomic int64_t *price = s->body + (2 * side + 1) * cap - 1, *size = price + cap;
            int64_t *to = pairs + 2 * n * side;
            if (held > n) held = n;
            if (held > cap) held = cap;
            for (int64_t i = 0; i < held; i++) {
                to[2 * i] = atomic_load_explicit(price - i, memory_order_relaxed);
                to[2 * i + 1] = atomic_load_explicit(size - i, memory_order_relaxed);
            }
        }
    }
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&s->seq, memory_order_relaxed) != before;
}

/* The first, cheap round: it outlasts any publish of a writer that is running. */
static inline int vm_read(const vm_segment *s, int64_t cap, int64_t n, int64_t *hot, int64_t words, int64_t *pairs) {
    for (int tries = 0; tries < 64; tries++) {
        if (vm_try_read(s, cap, n, hot, words, pairs) == 0) return 0;
        vm_pause();
    }
    return 1;
}

/* Between the further rounds, for a writer that lost its processor inside a publish: about 2 ms in all. */
#define VM_PATIENT_TRIES 36
static inline void vm_yield(int tries) {
    struct timespec nap = {0, 50000};
    if (tries < 16) sched_yield();
    else nanosleep(&nap, NULL);
}

/* Copy trade `number`: 0 copied, 1 overwritten (or being overwritten), 2 not written yet. */
static inline int vm_read_trade(const vm_segment *s, int64_t cap, int64_t ring, uint64_t number, int64_t *trade) {
    const _Atomic int64_t *slot = s->body + 4 * cap + VM_TRADE_WORDS * (int64_t)((number - 1) % (uint64_t)ring);
    int64_t check = atomic_load_explicit(slot, memory_order_acquire);
    if (check != (int64_t)(2 * number)) return check < (int64_t)(2 * number) ? 2 : 1;
    for (int i = 0; i < VM_TRADE_WORDS; i++) trade[i] = atomic_load_explicit(slot + i, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(slot, memory_order_relaxed) != check;
}

/* ---- waiting ---- */

typedef struct { /* struct futex_waitv of linux/futex.h, which older headers lack */
    uint64_t val, uaddr;
    uint32_t flags, reserved;
} vm_waitv;

#define VM_WAIT_MAX 128
#define VM_FUTEX_WAITV 449

static inline int vm_has_waitv(void) {
#if defined(__linux__)
    return syscall(VM_FUTEX_WAITV, NULL, 0, 0, NULL, 0) == -1 && errno == EINVAL;
#else
    return 0;
#endif
}

/* Wait until the low half of any word differs from its expected value, or until `until_ns` (CLOCK_MONOTONIC). Without
 * futex_waitv, or with `poll`, look every 0.5 ms instead. May return early. */
static inline void vm_wait_many(uint32_t **words, const uint32_t *expected, int n, int64_t until_ns, int poll) {
#if defined(__linux__)
    if (!poll) {
        vm_waitv list[VM_WAIT_MAX];
        struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
        for (int i = 0; i < n; i++) list[i] = (vm_waitv){expected[i], (uint64_t)(uintptr_t)words[i], 2 /* FUTEX_32 */, 0};
        syscall(VM_FUTEX_WAITV, list, n, 0, &until, CLOCK_MONOTONIC);
        return;
    }
#endif
    struct timespec nap = {0, 500000};
    (void)poll;
    for (;;) {
        for (int i = 0; i < n; i++)
            if (__atomic_load_n(words[i], __ATOMIC_ACQUIRE) != expected[i]) return;
        if (vm_now() >= until_ns) return;
        nanosleep(&nap, NULL);
    }
}

/* When the heartbeat must be judged again: just after it would be too old, or soon when it is too old. */
static inline int64_t vm_look_again(const vm_segment *s, int64_t now_ns, int64_t limit_ns) {
    int64_t until = vm_heartbeat(s) + limit_ns + 500000;
    if (vm_ended(s)) return now_ns + 1000000000;
    return until > now_ns ? until : now_ns + 20000000;
}

static inline uint32_t *vm_version_word(const vm_segment *s) { return vm_futex_word(&s->version); }
static inline uint32_t vm_word(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

static inline void vm_poke(uint32_t *word) {
    __atomic_fetch_add(word, 1, __ATOMIC_RELEASE);
#if defined(__linux__)
    syscall(SYS_futex, word, 1 /* FUTEX_WAKE */, INT_MAX, NULL, NULL, 0);
#endif
}

#endif
