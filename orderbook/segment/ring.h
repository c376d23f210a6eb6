/* One event loop's wait for many futexes at once, by io_uring: the kernel signals an eventfd that the loop watches.
 *
 * A wait that is queued with `vm_ring_wait` reaches the kernel with the next `vm_ring_enter`. The kernel compares the
 * word with the expected value under the lock that a waker takes, so a change after the caller's last look is never
 * missed: either the wait completes at once or the writer's wake completes it. The waker only marks the completion and
 * signals the eventfd (IORING_SETUP_DEFER_TASKRUN); the ring's thread does the rest in `vm_ring_enter`.
 *
 * The eventfd stays readable until `vm_ring_hush`, after which nothing may be left unseen: it says whether there is.
 *
 * Source: io_uring_setup(2), io_uring_enter(2), io_uring_register(2), and linux/io_uring.h; IORING_OP_FUTEX_WAIT since
 * Linux 6.7. The structures and numbers are repeated here because older headers lack them.
 */
#ifndef VENUEMESH_RING_H
#define VENUEMESH_RING_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define VM_RING_SETUP 425
#define VM_RING_ENTER 426
#define VM_RING_REGISTER 427
#define VM_RING_CQSIZE (1u << 3)
#define VM_RING_CLAMP (1u << 4)
#define VM_RING_TASKRUN_FLAG (1u << 9)
#define VM_RING_SINGLE_ISSUER (1u << 12)
#define VM_RING_DEFER_TASKRUN (1u << 13)
#define VM_RING_SINGLE_MMAP (1u << 0)
#define VM_RING_GETEVENTS 1u
#define VM_RING_PENDING 6u /* IORING_SQ_CQ_OVERFLOW, IORING_SQ_TASKRUN */
#define VM_RING_OFF_SQES 0x10000000ull
#define VM_RING_REGISTER_EVENTFD 4
#define VM_RING_REGISTER_PROBE 8
#define VM_OP_CANCEL 14
#define VM_OP_FUTEX_WAIT 51

typedef struct {
    uint32_t head, tail, ring_mask, ring_entries, flags, dropped, array, resv1;
    uint64_t user_addr;
} vm_sq_offsets;
typedef struct {
    uint32_t head, tail, ring_mask, ring_entries, overflow, cqes, flags, resv1;
    uint64_t user_addr;
} vm_cq_offsets;
typedef struct {
    uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd, resv[3];
    vm_sq_offsets sq;
    vm_cq_offsets cq;
} vm_ring_params;
typedef struct {
    uint8_t opcode, flags;
    uint16_t ioprio;
    int32_t fd;
    uint64_t off, addr;
    uint32_t len, op_flags;
    uint64_t user_data;
    uint16_t buf_index, personality;
    int32_t file_index;
    uint64_t addr3, pad;
} vm_sqe;
typedef struct {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
} vm_cqe;
typedef struct {
    uint8_t last_op, ops_len;
    uint16_t resv;
    uint32_t resv2[3];
    struct { uint8_t op, resv; uint16_t flags; uint32_t resv2; } ops[64];
} vm_ring_probe;
_Static_assert(sizeof(vm_sqe) == 64 && sizeof(vm_cqe) == 16 && sizeof(vm_ring_params) == 120, "the kernel's layout");

typedef struct {
    int fd, event;
    void *rings;
    size_t ring_bytes, sqe_bytes;
    vm_sqe *sqes;
    uint32_t *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail, *sq_array;
    uint32_t sq_mask, cq_mask, sq_entries, unsent;
    vm_cqe *cqes;
} vm_ring;

static inline void vm_ring_close(vm_ring *r) {
    if (r->sqes) munmap(r->sqes, r->sqe_bytes);
    if (r->rings) munmap(r->rings, r->ring_bytes);
    if (r->fd >= 0) close(r->fd);
    if (r->event >= 0) close(r->event);
    r->sqes = NULL;
    r->rings = NULL;
    r->fd = r->event = -1;
}

/* Make the ring for this thread. Return 0, or the errno of what this system refuses. */
static inline int vm_ring_open(vm_ring *r, uint32_t sq_entries, uint32_t cq_entries) {
    vm_ring_params p;
    vm_ring_probe probe;
    int error;
    memset(r, 0, sizeof(*r));
    memset(&p, 0, sizeof(p));
    memset(&probe, 0, sizeof(probe));
    r->event = -1;
    p.flags = VM_RING_CQSIZE | VM_RING_CLAMP | VM_RING_SINGLE_ISSUER | VM_RING_DEFER_TASKRUN |
              VM_RING_TASKRUN_FLAG;
    p.cq_entries = cq_entries;
    r->fd = (int)syscall(VM_RING_SETUP, sq_entries, &p);
    if (r->fd < 0) return errno;
    if (!(p.features & VM_RING_SINGLE_MMAP)) goto unsupported;
    if (syscall(VM_RING_REGISTER, r->fd, VM_RING_REGISTER_PROBE, &probe, 64) < 0) goto failed;
    if (probe.ops_len <= VM_OP_FUTEX_WAIT || !(probe.ops[VM_OP_FUTEX_WAIT].flags & 1)) goto unsupported;
    r->ring_bytes = p.sq.array + p.sq_entries * sizeof(uint32_t);
    if (r->ring_bytes < p.cq.cqes + p.cq_entries * sizeof(vm_cqe)) r->ring_bytes = p.cq.cqes + p.cq_entries * sizeof(vm_cqe);
    r->rings = mmap(NULL, r->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, 0);
    if (r->rings == MAP_FAILED) { r->rings = NULL; goto failed; }
    r->sqe_bytes = p.sq_entries * sizeof(vm_sqe);
    r->sqes = mmap(NULL, r->sqe_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, VM_RING_OFF_SQES);
    if ((void *)r->sqes == MAP_FAILED) { r->sqes = NULL; goto failed; }
    r->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->event < 0) goto failed;
    if (syscall(VM_RING_REGISTER, r->fd, VM_RING_REGISTER_EVENTFD, &r->event, 1) < 0) goto failed;
    char *base = r->rings;
    r->sq_head = (uint32_t *)(base + p.sq.head);
    r->sq_tail = (uint32_t *)(base + p.sq.tail);
    r->sq_flags = (uint32_t *)(base + p.sq.flags);
    r->sq_array = (uint32_t *)(base + p.sq.array);
    r->cq_head = (uint32_t *)(base + p.cq.head);
    r->cq_tail = (uint32_t *)(base + p.cq.tail);
    r->cqes = (vm_cqe *)(base + p.cq.cqes);
    r->sq_mask = *(uint32_t *)(base + p.sq.ring_mask);
    r->cq_mask = *(uint32_t *)(base + p.cq.ring_mask);
    r->sq_entries = p.sq_entries;
    return 0;
unsupported:
    vm_ring_close(r);
    return ENOSYS;
failed:
    error = errno;
    vm_ring_close(r);
    return error;
}

/* Hand what was queued to the kernel, and let it finish what is due. Return 0 or an errno. */
static inline int vm_ring_enter(vm_ring *r) {
    do {
        long done = syscall(VM_RING_ENTER, r->fd, r->unsent, 0, VM_RING_GETEVENTS, NULL, 0);
        if (done < 0) {
            if (errno == EINTR) continue;
            return errno;
        }
        if (done == 0 && r->unsent) return EBUSY;
        r->unsent -= (uint32_t)done;
    } while (r->unsent);
    return 0;
}

static inline vm_sqe *vm_ring_next(vm_ring *r) {
    uint32_t tail = *r->sq_tail;
    if (tail - __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE) >= r->sq_entries) return NULL;
    vm_sqe *sqe = &r->sqes[tail & r->sq_mask];
    memset(sqe, 0, sizeof(*sqe));
    r->sq_array[tail & r->sq_mask] = tail & r->sq_mask;
    return sqe;
}

static inline void vm_ring_push(vm_ring *r) {
    __atomic_store_n(r->sq_tail, *r->sq_tail + 1, __ATOMIC_RELEASE);
    r->unsent++;
}

/* Queue a wait: `token` completes when the word differs from `expected` or its writer wakes it. 1 when the queue is full. */
static inline int vm_ring_wait(vm_ring *r, uint64_t token, const uint32_t *word, uint32_t expected) {
    vm_sqe *sqe = vm_ring_next(r);
    if (!sqe) return 1;
    sqe->opcode = VM_OP_FUTEX_WAIT;
    sqe->fd = 2; /* FUTEX2_SIZE_U32, shared */
    sqe->addr = (uint64_t)(uintptr_t)word;
    sqe->off = expected;
    sqe->addr3 = 0xffffffffu; /* any wake */
    sqe->user_data = token;
    vm_ring_push(r);
    return 0;
}

/* Queue the end of the wait `token`; the end itself completes as `token_none`. 1 when the queue is full. */
static inline int vm_ring_cancel(vm_ring *r, uint64_t token, uint64_t token_none) {
    vm_sqe *sqe = vm_ring_next(r);
    if (!sqe) return 1;
    sqe->opcode = VM_OP_CANCEL;
    sqe->fd = -1;
    sqe->addr = token;
    sqe->user_data = token_none;
    vm_ring_push(r);
    return 0;
}

/* Take one completion. 0 when there is none. Completions that had no room come after the next `vm_ring_enter`. */
static inline int vm_ring_take(vm_ring *r, uint64_t *token, int32_t *result) {
    uint32_t head = *r->cq_head;
    if (head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE)) return 0;
    *token = r->cqes[head & r->cq_mask].user_data;
    *result = r->cqes[head & r->cq_mask].res;
    __atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
    return 1;
}

/* Reset the eventfd. Return whether there is more to take or to hand over, which nothing would signal now. */
static inline int vm_ring_hush(vm_ring *r) {
    uint64_t count;
    while (read(r->event, &count, 8) < 0 && errno == EINTR) {}
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return r->unsent || (__atomic_load_n(r->sq_flags, __ATOMIC_RELAXED) & VM_RING_PENDING) ||
           *r->cq_head != __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE);
}
#else
typedef struct { int fd, event; } vm_ring;
static inline int vm_ring_open(vm_ring *r, uint32_t sq_entries, uint32_t cq_entries) {
    (void)sq_entries, (void)cq_entries;
    r->fd = r->event = -1;
    return ENOSYS;
}
static inline void vm_ring_close(vm_ring *r) { (void)r; }
static inline int vm_ring_enter(vm_ring *r) { (void)r; return ENOSYS; }
static inline int vm_ring_wait(vm_ring *r, uint64_t token, const uint32_t *word, uint32_t expected) {
    (void)r, (void)token, (void)word, (void)expected;
    return 0;
}
static inline int vm_ring_cancel(vm_ring *r, uint64_t token, uint64_t token_none) {
    (void)r, (void)token, (void)token_none;
    return 0;
}
static inline int vm_ring_take(vm_ring *r, uint64_t *token, int32_t *result) {
    (void)r, (void)token, (void)result;
    return 0;
}
static inline int vm_ring_hush(vm_ring *r) { (void)r; return 0; }
#endif
#endif
