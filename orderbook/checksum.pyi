from .l2 import OrderBook
from .l3 import L3Book

MAX_LEVELS: int

def crc32(book: OrderBook, levels: int, price_decimals: int, size_decimals: int) -> int:
    """Return the CRC-32 of the digits of the best `levels` asks, then of the best `levels` bids, best first.

    Each level gives its price, then its size, both as the exchange writes them (with `price_decimals` and
    `size_decimals` decimals) without the dot and without leading zeros. A side with fewer levels gives all its levels.

    Raises:
        BookError: a level has more decimals than the exchange writes, so the book is not the exchange's.
        ValueError: levels are not 1 to `MAX_LEVELS`, or decimals not 0 to the scale of the book.
    """

def digits(book: OrderBook, levels: int, price_decimals: int, size_decimals: int) -> bytes:
    """Return the text that `crc32` is computed of; raises as `crc32` does."""

def orders_crc32(book: L3Book, levels: int, price_decimals: int, size_decimals: int) -> int:
    """Return the CRC-32 of the orders of the best `levels` asks, then of the best `levels` bids, best first.

    Each order gives its price, then its size, as a level does in `crc32`, in the order of its queue. Raises as `crc32`
    does; BookError also: orders have changed since the last commit.
    """

def orders_digits(book: L3Book, levels: int, price_decimals: int, size_decimals: int) -> bytes:
    """Return the text that `orders_crc32` is computed of; raises as it does."""
