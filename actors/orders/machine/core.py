"""What the parts of one account's machine share, and the one way in which a request comes to be sent. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ....connectors.order_codec import Draft, Kind, Signed, TradingCodec
from ....journal.writes import CloseRequest, PutRequest
from ....model.errors import JournalUnavailable, MeshError, Rejected
from ....model.instrument import Instrument
from ....model.order import Fill, NewOrder, Order
from ....model.time import in_ns
from .commits import Outbox
from .doubt import Part, Pending, Requests
from .effects import Found, Lookup, Now, OrderSettings, Send
from .funds import Funds
from .guards import Guards
from .known_ids import Makers
from .ledger import Ledger

Sign = Callable[[Draft, str, Now], Signed]
Born = Callable[[str], int | None]
BY_ID = "id:"  # how the key of a lookup by client id begins


def never(client_order_id: str) -> int | None:
    """Ids that do not tell when they were born."""
    return None


class Core:
    """One account: its orders, requests, money and guards, and the outbox of the current input."""

    def __init__(
        self,
        settings: OrderSettings,
        codec: TradingCodec,
        sign: Sign,
        new_id: Callable[[], str],
        instruments: Iterable[Instrument],
        born: Born = never,
    ) -> None:
        self.settings, self.codec, self.sign, self.new_id, self.born = settings, codec, sign, new_id, born
        self.makers = Makers()
        self.out = Outbox(settings.max_backlog, self.makers.wrote)
        self.ledger = Ledger(settings.exchange, settings.account, self.out, settings.max_recent)
        self.requests = Requests(settings, codec.offer.processing_s, self.out)
        self.funds = Funds()
        self.guards = Guards(settings, codec.offer, instruments)
        self.born_after_ns = 0  # ids born later than this cannot be in the journal without being in memory
        self._lookups: dict[str, list[Callable[[Found, Now], None]]] = {}

    def intend(
        self,
        draft: Draft,
        parts: Mapping[str, Part],
        now: Now,
        amounts: Mapping[str, Decimal] | None = None,
        token: Any = None,
    ) -> Pending:
        """Sign a request, write it as an intent, and let it be sent behind the commit.

        Raises what the signer raises (Misconfigured), and JournalUnavailable while the journal is down: what is not
        sent behind its commit never is. Nothing was written then.
        """
        if self.out.down is not None:
            raise JournalUnavailable(getattr(self.out.down, "after_s", None) or 1.0, "the journal cannot be written")
        signed = self.sign(draft, self.new_id(), now)
        self.out.write(
            PutRequest(
                signed.request_id,
                draft.kind.value,
                tuple(parts),
                signed.text,
                signed.digest,
                signed.not_after_ns,
                now.ns,
            )
        )
        self.out.do(Send(signed))
        request = Pending(
            signed.request_id, draft.kind, dict(parts), signed.not_after_ns, token=token, amounts=dict(amounts or {})
        )
        self.requests.add(request)
        return request

    def is_ours(self, client_order_id: str) -> bool:
        """Whether an id is of the shape that ids of this mesh have."""
        return client_order_id.startswith(self.settings.prefix)

    def may_be_journaled(self, client_order_id: str, now: Now) -> bool:
        """Whether the journal may have an order of this id that memory has not.

        An id from the future was made by a clock that goes wrong: it may be older than it says.
        """
        if self.makers.is_new(client_order_id):
            return False
        born = self.born(client_order_id)
        known_since = max(self.born_after_ns, self.ledger.forgotten_ns) + in_ns(self.settings.clock_slack_s)
        return born is None or born <= known_since or born > now.ns

    def look_up(self, lookup: Lookup, then: Callable[[Found, Now], None], now: Now) -> bool:
        """Ask the journal, once per key, and go on when it answers. False: too many wait already."""
        waiting = self._lookups.get(lookup.key)
        if waiting is not None:
            if len(waiting) >= self.settings.max_unknown_reports:
                return False
            waiting.append(then)
            return True
        if len(self._lookups) >= self.settings.max_waiting:
            return False
        self._lookups[lookup.key] = [then]
        self.out.do(lookup)
        return True

    def looked_up(self, key: str, found: Found, now: Now) -> None:
        if found.order is not None and found.order.client_order_id not in self.ledger and not found.order.external:
            self.ledger.restore(found.order, list(found.fills))
        if found.highest is not None:
            self.makers.told(key.removeprefix(BY_ID), found.highest)
        for then in self._lookups.pop(key, []):
            then(found, now)


def by_client_id(client_order_id: str) -> Lookup:
    return Lookup(f"{BY_ID}{client_order_id}", client_order_id=client_order_id)


def by_exchange_id(pair: str, exchange_order_id: str) -> Lookup:
    return Lookup(f"exchange:{pair}:{exchange_order_id}", pair=pair, exchange_order_id=exchange_order_id)


def said(error: BaseException) -> tuple[str, str]:
    """(code, reason) of an error, as an order or a result keeps it."""
    if isinstance(error, Rejected):
        return str(error.code), str(error.reason)
    return type(error).__name__, str(error) if isinstance(error, MeshError) else type(error).__name__


EVERYTHING = Decimal("Infinity")
KINDS = {
    "cancel": (Part.CANCEL,),
    "batch_cancel": (Part.CANCEL,),
    "amend": (Part.AMEND,),
    "replace": (Part.CANCEL, Part.PLACE),
}


def adopt(core: Core, order: Order, fills: list[Fill], now: Now) -> None:
    """Hold an order of the journal; what it takes stays reserved while it is in doubt whether it is there."""
    held = core.ledger.restore(order, fills)
    held.insist = order.cancel_requested and not order.is_done
    if order.is_done or order.exchange_order_id is not None:
        return
    asked = NewOrder(
        order.client_order_id,
        order.pair,
        order.side,
        order.order_type,
        order.amount,
        order.price,
        quote_amount=order.quote_amount,
        stop_price=order.stop_price,
    )
    instrument = core.guards.instruments.get(order.pair)
    if instrument is not None:
        asset, amount = core.guards.need(asked, now)
        core.funds.hold(order.client_order_id, asset, EVERYTHING if amount is None else amount)


def inherit(core: Core, request_id: str, kind: str, ids: Sequence[str], not_after_ns: int, now: Now) -> None:
    """A request of an earlier epoch: it may still arrive."""
    parts = KINDS.get(kind, (Part.PLACE,))
    named = {one: parts[min(index, len(parts) - 1)] for index, one in enumerate(ids) if core.ledger.get(one)}
    if not named:
        core.out.write(CloseRequest(request_id, "resolved:nothing", now.ns))
        return
    request = Pending(request_id, Kind(kind), named, not_after_ns, earlier=True, doubt=True)
    core.requests.add(request)
    for one in named:
        core.requests.ask_for(one, now)
        core.ledger.changed[one] = None
