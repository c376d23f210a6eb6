from ...orderbook.frame import FrameScanner

class BookScanner(FrameScanner):
    """Reads books and their updates of websocket version 2 into fixed-point levels: no Python object per level.

    Keys of the book may come in any order after `symbol`. All or nothing per frame: any deviation (another channel, an
    unknown, missing or repeated key, whitespace, an escape, an exponent, a minus, a number that does not fit the scale
    or int64, a price of zero, an unbound symbol, ...) makes the frame NOT_RECOGNISED. `first` and `last` are 0, because
    messages have no numbers. A whole book has at most the subscribed `depth` levels a side. The checksum of the best
    `checked` levels is compared in C; scales of the bound books are the decimals of the pair.
    """

    def __init__(self, depth: int, checked: int) -> None: ...
