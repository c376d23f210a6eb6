from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "segment.h":
    int VM_FORMAT, VM_ADDRESS_BYTES, VM_HOT_WORDS, VM_TRADE_WORDS, VM_WAIT_MAX
    int VM_STATE, VM_SEQUENCE, VM_TS_EVENT, VM_TS_RECV, VM_PUBLISH_NS, VM_UPDATES, VM_GAPS, VM_RESYNCS
    int VM_N_BIDS, VM_N_ASKS, VM_FLAGS, VM_CHANGES, VM_BID_PRICE, VM_BID_SIZE, VM_ASK_PRICE, VM_ASK_SIZE, VM_REASON, VM_REASON_END
    int VM_BIDS_WHOLE, VM_ASKS_WHOLE, VM_BIDS_MORE, VM_ASKS_MORE, VM_SEQUENCED, VM_INEXACT
    int VM_T_ID, VM_T_PRICE, VM_T_SIZE, VM_T_SELL, VM_T_EVENT, VM_T_RECV
    const char* VM_MAGIC

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
    uint32_t* vm_version_word(const vm_segment* s) noexcept nogil
    void vm_wait_many(uint32_t** words, const uint32_t* expected, int n, int64_t until_ns, int poll) noexcept nogil
    void vm_poke(uint32_t* word) noexcept nogil
    uint32_t vm_word(const uint32_t* word) noexcept nogil


cdef class Mapping:
    """A mapped file; unmapped when the last who holds it lets go."""

    cdef vm_segment* segment
    cdef size_t size
    cdef object identity  # (device, inode): no other file has it while this is mapped


cdef class SegmentWriter:
    cdef readonly object path, address, incarnation
    cdef readonly int price_scale, size_scale, levels, trades
    cdef Mapping mapping
    cdef int64_t* scratch  # bid price, bid size, ask price, ask size: `levels` words each, right-aligned
    cdef int64_t hot[32]
    cdef int64_t last_beat_ns
    cdef bint was_live

    cdef int _ready(self) except -1
    cdef int _enter(self, object state, object reason) except -1
    cdef void _commit(self, int64_t bids, int64_t asks) noexcept
    cdef void _alive(self, int64_t now_ns) noexcept
    cdef int _book(
        self, int64_t bids, int64_t asks, int64_t flags, int64_t sequence,
        object state, object ts_event_ns, int64_t ts_recv_ns, int64_t applied,
    ) except -1


cdef class Top:
    cdef readonly object address, incarnation
    cdef readonly uint64_t version
    cdef readonly int64_t update, sequence
    cdef readonly int price_scale, size_scale
    cdef readonly bint sequence_known  # False before the first publish of a book
    cdef int _state
    cdef int64_t _flags
    cdef int64_t _held[2]
    cdef int64_t _ts_event, _ts_recv, _published
    cdef int64_t _bid_price, _bid_size, _ask_price, _ask_size

    cdef object _level(self, int64_t price, int64_t size)
    cdef int _has(self, int side) except -1


cdef class SegmentReader:
    cdef readonly object path, address, incarnation
    cdef readonly int price_scale, size_scale, levels, trade_slots, writer_pid
    cdef readonly int64_t heartbeat_limit_ns
    cdef readonly uint64_t writer_start
    cdef readonly bint sequenced, exact
    cdef Mapping mapping
    cdef double price_unit, size_unit

    cdef const vm_segment* _open(self) except NULL
    cdef int _read(self, int64_t n, int64_t* hot, int64_t words, int64_t* pairs) except -1
    cdef bint _quick(self, const vm_segment* segment) noexcept
    cdef int _judge(self, const vm_segment* segment, const int64_t* hot) noexcept
    cdef int _refuse(self, int state) except -1


cdef class WaitSet:
    cdef list _mappings
    cdef const vm_segment* _segments[127]  # 128 futexes a thread, one of them to control it
    cdef uint64_t _versions[127]
    cdef bint _alive[127]
    cdef uint32_t _control
    cdef bint _poll
    cdef int _used
