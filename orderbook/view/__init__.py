"""`BookView` and `AsyncBookView`: a strategy's view of a book that another process keeps.

A view reads the shared-memory segment of its address on this node: about a microsecond per read, without a call to
another process. The view finds the segment of the newest incarnation, and the next one when its writer retires, dies or
disappears. It reads the directory at these moments only. It has no connection and no thread.

Every value is read from one consistent copy, and only while the book is LIVE; otherwise reads raise `NotSynced` with
the reason. `peek()` and `stale_ok=True` return the last known values of a book that is not LIVE, with its state.

Reading is the same in both classes (`reading`). Methods that wait for the book (`changes`, `trades`, `wait_live`,
`wait_change`) block in `BookView` and are awaited in `AsyncBookView`.
"""

from .aio import AsyncBookView
from .reading import BookReading
from .sync import BookView

__all__ = ["AsyncBookView", "BookReading", "BookView"]
