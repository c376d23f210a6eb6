"""A private file that appears complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..model.errors import JournalUnavailable, Misconfigured
from .database import RETRY_S


@contextmanager
def whole_file(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a new private file; rename it to `path` at the end of the block, or delete it if the block raises.

    Its name cannot be guessed, so no other user can have put a link there.

    Raises:
        Misconfigured: the file exists already and may not be overwritten, or cannot be written.
        JournalUnavailable: the disk is full.
    """
    part = None
    try:
        _refuse_existing(path, overwrite)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")  # mode 0600
        os.close(descriptor)
        part = Path(name)
        yield part
        if overwrite:
            os.replace(part, path)
        else:
            _move_new(part, path)
    except FileExistsError as error:
        raise Misconfigured(
            str(path), "exists already; nothing was written (--force, or overwrite=True, replaces it)"
        ) from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise Misconfigured(str(path), error.strerror) from error
    except OSError as error:
        raise JournalUnavailable(RETRY_S, f"{path}: {error.strerror}") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises FileExistsError; Misconfigured: not even `overwrite` replaces a folder or a device."""
    if path.exists() and not path.is_file():
        raise Misconfigured(str(path), "is not a file")
    if not overwrite and os.path.lexists(path):
        raise FileExistsError


def _move_new(part: Path, path: Path) -> None:
    """Move a file to a path that must be free. Raises FileExistsError, also if the file appeared meanwhile."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        _refuse_existing(path, False)
        os.replace(part, path)
