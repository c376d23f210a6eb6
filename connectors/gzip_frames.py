"""Reads messages that an exchange compresses with gzip, each message separately."""

from __future__ import annotations

import zlib

from ..model.errors import DecodeError

MAGIC = b"\x1f\x8b"
MAX_BYTES = 64 << 20  # of one decompressed message


def inflate(frame: bytes | memoryview) -> bytes | memoryview:
    """Return the message in a gzip frame. A frame without gzip's magic number is returned unchanged.

    Raises:
        DecodeError: the frame is damaged or cut off, or its message is longer than `MAX_BYTES`.
    """
    if bytes(frame[:2]) != MAGIC:
        return frame
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        message = inflater.decompress(frame, MAX_BYTES)
    except zlib.error as error:
        raise DecodeError(f"not a gzip frame: {error}", bytes(frame[:20]).hex()) from error
    if not inflater.eof or inflater.unused_data:
        raise DecodeError("a gzip frame that is cut off, too long or followed by more bytes", bytes(frame[:20]).hex())
    return message
