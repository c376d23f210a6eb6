"""Messages on the websocket: `subscribe` and `unsubscribe`, and the envelope for the executor of faults.

Theory of operation. A message is executed as soon as it is read, completely or not at all: one unknown product or
channel refuses all. Its answer lists all subscriptions of the connection. A channel begins when the answer is written,
so that the answer, whole books and changes come in this order under any fault. A signed message authenticates the
connection; a signature is checked also where no channel needs one.

Source: ws, Subscribe, Unsubscribe, Specifying Product IDs, Subscriptions Message, websocket-best-practices. The manual
shows no error: the texts are those that public clients know, or guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from ..engine.accounts import Account
from ..faults import Fault
from ..wire.executor import execute
from ..wire.frames import text_frame
from ..wire.receipts import Receipt
from ..wire.sending import OnSocket
from .auth import of_subscription
from .client import NAME, Client
from .desk import Desk
from .errors import UNKNOWN, ApiError
from .streams import CHANNELS, OTHER_NAMES, SIGNED, STATUS
from .user_data import CHANNEL as USER

KINDS = ("subscribe", "unsubscribe")
FAILED = "Failed to subscribe"
ANSWERED = {"level2_batch": "level2_50"}  # the name in answers, as public clients see it


@dataclass(slots=True)
class Reply:
    """An answer, and the subscriptions that begin when it is written."""

    message: dict[str, Any]
    begins: list[str] = field(default_factory=list)
    user: list[str] | None = None  # products of the channel `user`

    @property
    def is_good(self) -> bool:
        return bool(self.message["type"] != "error")


def error(text: str, reason: str) -> Reply:
    return Reply({"type": "error", "message": text, "reason": reason})


class Envelope(OnSocket[Reply]):
    """One message on a connection. Fault rules know it as `ws:TYPE`, and as `ws:TYPE:CHANNEL` for each channel."""

    client: Client
    protocol = NAME
    receipts: Sequence[Receipt] = ()

    def __init__(self, desk: Desk, client: Client, message: Mapping[str, Any]) -> None:
        self.desk = desk
        self.client = client
        self.message = message
        self.kind = str(message.get("type"))
        self.wanted = _wanted(message)
        self.account: Account | None = None
        self.names = (f"ws:{self.kind}", *(f"ws:{self.kind}:{channel}" for channel in self.wanted))
        products = {product for each in self.wanted.values() for product in each}
        market = desk.streams.markets.get(products.pop()) if len(products) == 1 else None
        self.symbol = None if market is None else market.symbol

    def run(self) -> Reply:
        reply = self._perform()
        self.desk.floor.count(self.names[0], 200 if reply.is_good else 400)
        return reply

    def _perform(self) -> Reply:
        client = self.client
        if self.kind not in KINDS or not self.wanted:
            return error(FAILED, f"Type has to be either subscribe or unsubscribe, with channels: {self.kind}")
        try:
            owner = of_subscription(self.desk.floor, self.message, self.desk.now_ns())
        except ApiError as refused:
            return error("Authentication Failed", refused.text)
        if owner is not None:
            client.owner = owner
            self.account = owner[0]
        if self.kind == "unsubscribe":
            return self._unsubscribe()
        for channel, products in self.wanted.items():
            if (refusal := self._refusal(channel, products)) is not None:
                return error(FAILED, refusal)
        client.has_subscribed = True
        streams, begins = self.desk.streams, []
        for channel, products in self.wanted.items():
            begins += streams.names(channel, products) if channel != USER else []
        return Reply(self._listed(begins, self.wanted.get(USER)), begins, self.wanted.get(USER))

    def _refusal(self, channel: str, products: list[str]) -> str | None:
        """Return why a channel cannot be subscribed to."""
        if OTHER_NAMES.get(channel, channel) not in (*CHANNELS, STATUS, USER):
            return f"{channel} is not a valid channel"
        for product in products:
            if product not in self.desk.streams.markets:
                return f"{product} is not a valid product"
        if channel != STATUS and not products:
            return "product_ids are required"
        owner = self.client.owner
        if channel in (*SIGNED, USER) and (owner is None or owner[1].revoked or not owner[1].can_read):
            return f"{channel} requires authentication"
        return None

    def _unsubscribe(self) -> Reply:
        """End channels, of the named products or of all."""
        streams = self.desk.streams
        for channel, products in self.wanted.items():
            if channel == USER:
                self.desk.user_data.unsubscribe(self.client)
                continue
            name = OTHER_NAMES.get(channel, channel)
            ended = streams.names(channel, products) or [
                each for each in self.client.streams if each.partition(":")[0] == name
            ]
            for topic in ended:
                streams.topics.unsubscribe(self.client, topic)
        return Reply(self._listed([], None))

    def _listed(self, begins: list[str], user: list[str] | None) -> dict[str, Any]:
        """Return the answer: all subscriptions of the connection, with those that begin now."""
        found: dict[str, list[str]] = {}
        for name in dict.fromkeys([*self.client.streams, *begins]):
            channel, _, product = name.partition(":")
            found.setdefault(ANSWERED.get(channel, channel), []).extend([product] if product else [])
        products = sorted({*self.desk.user_data.products(self.client), *(user or ())})
        if products:
            found[USER] = products
        listed = [{"name": name, "product_ids": ids, "account_ids": None} for name, ids in found.items()]
        return {"type": "subscriptions", "channels": listed}

    def good(self, answer: Reply) -> bool:
        return answer.is_good

    placed = good

    def misstate(self, answer: Reply, wrong: Callable[[], dict[str, Decimal]]) -> Reply:
        """Return the answer unchanged: no answer on the websocket has balances."""
        return answer

    def refusal(self, fault: Fault) -> Reply:
        self.desk.floor.count(self.names[0], fault.status)
        return error(FAILED, str(fault.code or UNKNOWN[0]))

    def unknown(self, fault: Fault, answer: Reply) -> Reply:
        return error(FAILED, str(fault.code or UNKNOWN[0]))

    def frame(self, answer: Reply) -> bytes:
        return text_frame(orjson.dumps(answer.message))

    def send(self, answer: Reply) -> None:
        super().send(answer)
        if self.client.number not in self.desk.floor.connections.open:
            return
        for name in answer.begins:
            self.desk.streams.subscribe(self.client, name)
        if answer.user is not None:
            self.desk.user_data.subscribe(self.client, answer.user)


def _wanted(message: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the products of each channel: those of the message, and those of the channel itself."""
    common, found = _texts(message.get("product_ids")), {}
    channels = message.get("channels")
    for channel in channels if isinstance(channels, list) else ():
        if isinstance(channel, str):
            found[channel] = common
        elif isinstance(channel, dict) and isinstance(channel.get("name"), str):
            found[channel["name"]] = list(dict.fromkeys([*common, *_texts(channel.get("product_ids"))]))
    return found


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def receive(desk: Desk, client: Client, text: bytes) -> None:
    """Execute one message and answer, or apply a fault to it."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        message = None
    if isinstance(message, dict):
        execute(desk.floor.faults, Envelope(desk, client, message))
    else:
        client.say(error("Malformed JSON", "the message is not a JSON object").message)
