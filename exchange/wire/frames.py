"""Makes WebSocket frames of a server (RFC 6455): unmasked, unfragmented, made once for all receivers."""

from __future__ import annotations

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    head = 0x80 | opcode
    if size < 126:
        return bytes((head, size)) + payload
    if size < 65_536:
        return bytes((head, 126)) + size.to_bytes(2, "big") + payload
    return bytes((head, 127)) + size.to_bytes(8, "big") + payload


def text_frame(payload: bytes) -> bytes:
    return frame(TEXT, payload)


def close_frame(code: int, reason: str) -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode()[:120])


def payload_of(whole: bytes) -> bytes:
    """The payload of a frame made by `frame`."""
    size = whole[1]
    return whole[2:] if size < 126 else whole[4:] if size == 126 else whole[10:]
