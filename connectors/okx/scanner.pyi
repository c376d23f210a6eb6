from ...orderbook.frame import FrameScanner

class BookScanner(FrameScanner):
    """Reads books and updates of the channel `books` into fixed-point levels: no Python object per level.

    `arg` and `action` come first; the keys of the book come in any order. All or nothing per frame: any deviation
    (another channel, two books, an unknown, missing or repeated key, whitespace, an escape, an exponent, a minus, a
    number that does not fit the scale or int64, a price of zero, an unbound symbol, ...) makes the frame
    NOT_RECOGNISED. `first` and `last` are `seqId`; `previous` is `prevSeqId` of an update, None of a whole book.
    `checksum` is None: the exchange always writes 0. A whole book has at most `depth` levels a side.
    """

    def __init__(self, depth: int) -> None: ...
