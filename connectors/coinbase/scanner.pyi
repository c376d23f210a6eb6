from ...orderbook.frame import FrameScanner

class BookScanner(FrameScanner):
    """Reads messages `snapshot` and `l2update` into fixed-point levels: no Python object per level.

    The type comes first, and the product before its levels; the other keys come in any order. All or nothing per frame:
    any deviation (another type, an unknown, missing or repeated key, whitespace, an escape, an exponent, a minus, a
    number that does not fit the scale or int64, a price of zero, an unbound product, ...) makes the frame
    NOT_RECOGNISED. The messages have no numbers: `first` and `last` are 0. A book is whole if it has fewer than
    `entire` levels a side.
    """

    def __init__(self, entire: int) -> None: ...
