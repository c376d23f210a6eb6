from ...orderbook.frame import FrameScanner

class BookScanner(FrameScanner):
    """Reads changes `mbp.<levels>` and whole books `depth.step0` into fixed-point levels: no Python object per level.

    The topic comes first; the other keys, and those of `tick`, come in any order. Sizes are rounded to the scale as
    `numbers.size_raw` does. All or nothing per frame: any deviation (another topic, an unknown, missing or repeated
    key, whitespace, a minus, a number of more than 19 digits or one that does not fit, a price that is zero or finer
    than its scale, an unbound symbol, ...) makes the frame NOT_RECOGNISED. A whole book has at most `most` levels a
    side; in a feed without numbers (`is_numbered` False) it has the number 0.
    """

    def __init__(self, most: int, is_numbered: bool) -> None: ...
