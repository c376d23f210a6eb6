"""Public streams: the listeners of each topic, and one encoding per message format."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..faults import Faults
from .connection import Connection
from .frames import text_frame

C = TypeVar("C", bound=Connection)
F = TypeVar("F", bound=Hashable)


@dataclass(slots=True)
class Topic:
    """One stream with listeners. `symbol` is the engine's; "" for streams of the whole market."""

    name: str
    symbol: str
    listeners: dict[Connection, None] = field(default_factory=dict)


T = TypeVar("T", bound=Topic)


class Topics(Generic[C, T, F]):
    """All topics of one protocol. `form` returns the form of a connection's messages.

    A message is encoded once per topic and form, and the same websocket frame goes to every listener of that form.
    """

    def __init__(self, faults: Faults, form: Callable[[C], F], changed: Callable[[str], None]) -> None:
        """`changed(symbol)` is called when the set of a symbol's topics has changed."""
        self.by_name: dict[str, T] = {}
        self.by_symbol: dict[str, dict[str, T]] = {}
        self.messages = 0  # encoded
        self.frames = 0  # sent, one for each listener
        self._faults = faults
        self._form = form
        self._changed = changed

    def subscribe(self, connection: C, name: str, make: Callable[[str], T | None]) -> T | None:
        """Subscribe a connection to a topic; `make` makes a topic that has no listeners yet. None: no such topic."""
        connection.streams[name] = None
        topic = self.by_name.get(name)
        if topic is None:
            topic = make(name)
            if topic is None:
                return None
            self.by_name[name] = topic
            self.by_symbol.setdefault(topic.symbol, {})[name] = topic
            self._changed(topic.symbol)
        topic.listeners[connection] = None
        return topic

    def unsubscribe(self, connection: C, name: str) -> None:
        """End a connection's subscription; a topic without listeners is dropped."""
        connection.streams.pop(name, None)
        topic = self.by_name.get(name)
        if topic is None:
            return
        topic.listeners.pop(connection, None)
        if not topic.listeners:
            del self.by_name[name]
            siblings = self.by_symbol[topic.symbol]
            del siblings[name]
            if not siblings:
                del self.by_symbol[topic.symbol]
            self._changed(topic.symbol)

    def drop(self, connection: C) -> None:
        """Drop the subscriptions of a connection that has ended."""
        for name in list(connection.streams):
            self.unsubscribe(connection, name)

    def of(self, symbol: str) -> list[T]:
        """Return the topics of a symbol."""
        topics = self.by_symbol.get(symbol)
        return list(topics.values()) if topics else []

    def send(self, topic: T, encode: Callable[[F], bytes]) -> None:
        """Encode a message once per form and send the frame to every listener."""
        frames: dict[F, bytes] = {}
        faulty = self._faults.frames_active
        for connection in list(topic.listeners):
            form = self._form(connection)  # type: ignore[arg-type]
            frame = frames.get(form)
            if frame is None:
                frame = frames[form] = text_frame(encode(form))
                self.messages += 1
            self.frames += 1
            if faulty:
                self._faults.frame(connection, topic.name, topic.symbol, frame)
            else:
                connection.write(frame)
