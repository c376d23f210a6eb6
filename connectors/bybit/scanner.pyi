from ...orderbook.frame import FrameScanner

class BookScanner(FrameScanner):
    """Reads raw deltas of `orderbook.<depth>.<symbol>` directly into fixed-point levels: no Python object per level.

    The topic comes first; the other keys, and those of `data`, come in any order. All or nothing per frame: any
    deviation (a snapshot, `u` = 1, another topic, an unknown, missing or repeated key, whitespace, an escape, an
    exponent, a minus, a number that does not fit the scale or int64, a price of zero, an unbound symbol, ...) makes the
    frame NOT_RECOGNISED. `first` and `last` are `u`.
    """
