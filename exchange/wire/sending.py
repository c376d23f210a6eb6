"""How the envelopes of all protocols send their answers: over HTTP, or on a websocket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from aiohttp import web

from .connection import Connection
from .http import HttpChannel

A = TypeVar("A")


class OverHttp(ABC, Generic[A]):
    """The part of an HTTP request's envelope that sends; the protocol writes the answer and sets `channel`."""

    slow_executes_first = False
    channel: HttpChannel

    @abstractmethod
    def response(self, answer: A) -> web.Response: ...

    def send(self, answer: A) -> None:
        self.channel.send(self.response(answer))

    def send_half(self, answer: A) -> None:
        self.channel.send_half(self.response(answer))

    def cut(self) -> None:
        self.channel.cut()


class OnSocket(ABC, Generic[A]):
    """The part of a websocket request's envelope that sends; the protocol writes the answer."""

    slow_executes_first = True
    client: Connection

    @abstractmethod
    def frame(self, answer: A) -> bytes: ...

    def send(self, answer: A) -> None:
        self.client.write(self.frame(answer))

    def send_half(self, answer: A) -> None:
        self.client.break_off(self.frame(answer))

    def cut(self) -> None:
        self.client.cut("fault")
