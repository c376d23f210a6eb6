"""`BookView` and `AsyncBookView`: what a strategy holds of a book that another process keeps.

A view reads the shared-memory segment of its address on this node: about a microsecond a read, no call to another
process. It finds the segment of the newest incarnation by itself, and the next one's when its writer retires, dies or
disappears; only then does it look into the directory. It has no connection and no thread of its own.

Every value is read from one consistent copy, and only while the book is LIVE; otherwise reads raise `NotSynced`, which
says why. `peek()` and `stale_ok=True` show what was last known of a book that is not LIVE, with its state.

Reading is the same in both classes (`reading`). What waits for the book (`changes`, `trades`, `wait_live`,
`wait_change`) blocks in `BookView` and is awaited in `AsyncBookView`.
"""

from .aio import AsyncBookView
from .reading import BookReading
from .sync import BookView

__all__ = ["AsyncBookView", "BookReading", "BookView"]
