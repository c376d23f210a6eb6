"""The layout of a segment and its atomics, as `segment.h` gives them to mapping, writer, reader and waitset."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "segment.h":
    int VM_FORMAT, VM_ADDRESS_BYTES, VM_HOT_WORDS, VM_TRADE_WORDS, VM_WAIT_MAX
    int VM_STATE, VM_SEQUENCE, VM_TS_EVENT, VM_TS_RECV, VM_PUBLISH_NS, VM_UPDATES, VM_GAPS, VM_RESYNCS
    int VM_N_BIDS, VM_N_ASKS, VM_FLAGS, VM_CHANGES, VM_BID_PRICE, VM_BID_SIZE, VM_ASK_PRICE, VM_ASK_SIZE
    int VM_REASON, VM_REASON_END
    int VM_BIDS_WHOLE, VM_ASKS_WHOLE, VM_BIDS_MORE, VM_ASKS_MORE, VM_SEQUENCED, VM_INEXACT, VM_MIRRORED
    int VM_REDUNDANT, VM_REPLICA, VM_COMPARABLE
    int VM_T_ID, VM_T_PRICE, VM_T_SIZE, VM_T_SELL, VM_T_EVENT, VM_T_RECV, VM_T_LOST
    const char* VM_MAGIC
    int64_t VM_NONE

    ctypedef struct vm_header:
        char magic[8]
        uint32_t format, head_bytes
        uint64_t file_bytes
        int64_t epoch, counter
        int32_t price_scale, size_scale
        uint32_t levels, trades
        int64_t heartbeat_limit_ns
        uint32_t flags, writer_pid
        uint64_t writer_start
        uint32_t address_bytes
        char address[256]

    ctypedef struct vm_segment:
        vm_header head

    uint64_t vm_file_bytes(uint64_t levels, uint64_t trades) noexcept nogil
    int64_t vm_now() noexcept nogil

    uint64_t vm_seq(const vm_segment* s) noexcept nogil
    uint64_t vm_version(const vm_segment* s) noexcept nogil
    int64_t vm_heartbeat(const vm_segment* s) noexcept nogil
    uint64_t vm_last_trade(const vm_segment* s) noexcept nogil
    uint32_t vm_ended(const vm_segment* s) noexcept nogil
    int vm_lives(const vm_segment* s, int64_t limit_ns) noexcept nogil

    void vm_begin(vm_segment* s) noexcept nogil
    void vm_end(vm_segment* s) noexcept nogil
    void vm_beat(vm_segment* s, int64_t now_ns) noexcept nogil
    void vm_notify(vm_segment* s) noexcept nogil
    void vm_put_hot(vm_segment* s, const int64_t* hot, int64_t n) noexcept nogil
    void vm_put_levels(vm_segment* s, const int64_t* scratch, int64_t cap, int64_t bids, int64_t asks) noexcept nogil
    void vm_put_trade(vm_segment* s, int64_t cap, int64_t ring, const int64_t* trade) noexcept nogil
    void vm_mark_ended(vm_segment* s) noexcept nogil

    int vm_read(const vm_segment* s, int64_t cap, int64_t n, int64_t* hot, int64_t words, int64_t* pairs) noexcept nogil
    void vm_yield(int tries) noexcept nogil
    int VM_PATIENT_TRIES
    int vm_read_trade(const vm_segment* s, int64_t cap, int64_t ring, uint64_t number, int64_t* trade) noexcept nogil

    int vm_has_waitv() noexcept nogil
    int64_t vm_look_again(const vm_segment* s, int64_t now_ns, int64_t limit_ns) noexcept nogil
    uint32_t* vm_version_word(const vm_segment* s) noexcept nogil
    void vm_wait_many(uint32_t** words, const uint32_t* expected, int n, int64_t until_ns, int poll) noexcept nogil
    void vm_poke(uint32_t* word) noexcept nogil
    uint32_t vm_word(const uint32_t* word) noexcept nogil
