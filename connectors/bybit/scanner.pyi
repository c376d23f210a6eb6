from ...orderbook.frame import FrameScanner

class BookScanner(FrameScanner):
    """Reads books and deltas of `orderbook.<depth>.<symbol>` into fixed-point levels: no Python object per level.

    The topic comes first; the other keys, and those of `data`, come in any order. All or nothing per frame: any
    deviation (another topic, an unknown, missing or repeated key, whitespace, an escape, an exponent, a minus, a number
    that does not fit the scale or int64, a price of zero, an unbound symbol, ...) makes the frame NOT_RECOGNISED.
    `first` and `last` are `u`. A delta with `u` = 1 is a whole book, too. Books of a feed without numbers
    (`is_numbered` False) have the number 0.
    """

    def __init__(self, is_numbered: bool) -> None: ...
