"""The shared state of the parts of an account's machine, and the one way to send a request. Pure.

`AccountState` holds the orders, the pending requests, the funds, the guards, the known ids, and the effects of the
current input. It decides what a new epoch takes over from the journal (`restore_order`, `restore_request`), which ids
must be looked up in the journal (`may_be_journaled`, `look_up`), and how a request is sent (`intend`): signed, then
written as an intent, then sent behind the commit of that intent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ....connectors.drafts import batches
from ....connectors.order_codec import (
    CANCELS,
    NO_END_NS,
    At,
    Batches,
    Draft,
    Ends,
    Kind,
    Never,
    Refusal,
    Signed,
    TradingCodec,
    WhenSuperseded,
)
from ....journal.records import JournaledRequest
from ....journal.writes import CloseRequest, PutMark, PutRequest, Write
from ....model.errors import MeshError, Rejected
from ....model.instrument import Instrument
from ....model.order import Fill, Order, as_new
from ....model.shown import storable
from ....model.time import in_ns
from ..settings import OrderSettings
from .effect_buffer import EffectBuffer
from .effects import CLOCK_DOUBT_NS, Found, Lookup, Now, Send
from .funds import Funds
from .guards import Guards
from .kept_instruments import KeptInstruments
from .known_ids import KnownIds
from .ledger import UNKNOWN_TERMS, Held, Ledger
from .requests import (
    NOTHING_CHANGED,
    Part,
    PendingRequest,
    PendingRequests,
    Terms,
    read_terms,
    terms_text,
)

Sign = Callable[[Draft, str, Now], Signed]
Born = Callable[[str], int | None]
BY_ID = "id:"  # prefix of the key of a lookup by client id
EVERYTHING = Decimal("Infinity")
NONCE_MARK = "nonce"  # the journal's mark: no journaled request has a higher nonce
GROWTH = "growth:"  # prefix of the mark, and of the reservation, of a request that amends an order to larger terms
PARTS = {  # the part of each order that a request of this kind names, in order; the last one repeats
    "cancel": (Part.CANCEL,),
    "batch_cancel": (Part.CANCEL,),
    "amend": (Part.AMEND,),
    "replace": (Part.CANCEL, Part.PLACE),
}


def never(client_order_id: str) -> int | None:
    """Return None for every id: ids without the time at which they were made."""
    return None


class AccountState:
    """The state of one account; see the module."""

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
        self.known_ids = KnownIds()
        self.effects = EffectBuffer(settings.max_backlog, self.known_ids.add)
        self.ledger = Ledger(settings.exchange, settings.account, self.effects, settings.max_recent, codec.offer.amend)
        self.requests = PendingRequests(settings, codec.offer.processing_s, self.effects, self._settled)
        self.funds = Funds()
        self.guards = Guards(settings, codec.offer, instruments)
        self.kept = KeptInstruments(self.guards, self.effects)
        self.born_after_ns = 0  # ids born later than this cannot be in the journal without being in memory
        self.unjournaled = 0  # cancels that were sent while the journal was down
        self._lookups: dict[str, list[Callable[[Found, Now], None]]] = {}

    def intend(
        self,
        draft: Draft,
        parts: Mapping[str, Part],
        now: Now,
        terms: Mapping[str, Terms] | None = None,
        token: Any = None,
    ) -> PendingRequest:
        """Sign a request, write it as an intent, and send it behind the commit.

        While the journal is down, a cancel is sent at once, without an intent (docs/adr/0013).

        Raises Misconfigured (from the signer), and JournalUnavailable for all other requests while the journal is down;
        nothing was written then.
        """
        journaled = self.effects.down is None
        if draft.kind not in CANCELS and (error := self.effects.unavailable()) is not None:
            raise error
        signed = self.sign(draft, self.new_id(), now)
        if journaled:
            self.effects.write(*intent(signed, tuple(parts), now.ns))
        else:
            self.unjournaled += 1
        self.effects.do(Send(signed, journaled))
        request = PendingRequest(
            signed.request_id,
            draft.kind,
            dict(parts),
            signed.ends,
            token=token,
            terms=dict(terms or {}),
            asks=self.effects.asks,
            journaled=journaled,
        )
        self.requests.add(request)
        return request

    def intend_each(
        self,
        part: Part,
        drafted: Mapping[str, Callable[[], Draft]],
        now: Now,
        *,
        failed: Callable[[str, MeshError], None],
        sent: Callable[[str], None] = lambda one: None,
    ) -> None:
        """Place or cancel orders in as few requests as the exchange takes; `drafted` makes the request of each order.

        Calls `sent` with the id of each order whose request is written as an intent, and `failed` with all other ids.
        """
        drafts: list[Draft] = []
        for one, draft in drafted.items():
            try:
                drafts.append(draft())
            except MeshError as error:
                failed(one, error)
        for joint in self.joined(part, drafts):
            try:
                self.intend(joint, dict.fromkeys(joint.orders, part), now)
            except MeshError as error:
                for one in joint.orders:
                    failed(one, error)
                continue
            for one in joint.orders:
                sent(one)

    def joined(self, part: Part, drafts: Sequence[Draft]) -> list[Draft]:
        """Join requests of one kind into as few requests as the exchange takes."""
        codec = self.codec
        if len(drafts) < 2:
            return list(drafts)
        most = codec.offer.batch_place if part is Part.PLACE else codec.offer.batch_cancel
        if most < 2 or not isinstance(codec, Batches):
            return list(drafts)
        groups: dict[str | None, list[Draft]] = {}
        for draft in drafts:
            groups.setdefault(draft.pair if codec.offer.batch_of_pair else None, []).append(draft)
        parts = [some for group in groups.values() for some in batches(group, most)]
        return [codec.batch(some) if len(some) > 1 else some[0] for some in parts]

    def amend(self, held: Held, draft: Draft, terms: Terms, token: Any, now: Now) -> None:
        """Send a request for new terms, and reserve what they take beyond the old ones until its outcome is known."""
        order = held.order
        request = self.intend(draft, {order.client_order_id: Part.AMEND}, now, {order.client_order_id: terms}, token)
        held.amending = terms
        if self._hold_growth(request.request_id, order, terms):
            self.effects.write(PutMark(f"{GROWTH}{request.request_id}", terms_text(terms)))

    def _hold_growth(self, request_id: str, order: Order, terms: Terms) -> bool:
        """Reserve what new terms may take beyond an order's terms. Return whether they may take more."""
        asset, more = self.guards.growth(order, terms)
        if more > 0:
            self.funds.hold(f"{GROWTH}{request_id}", asset, more, order.client_order_id)
        return more > 0

    def _settled(self, request: PendingRequest, client_order_id: str, part: Part, outcome: str, now: Now) -> None:
        """End the reservation of an amendment: at once if it changed nothing, else with the next balances."""
        name = f"{GROWTH}{request.request_id}"
        if part is not Part.AMEND or not self.funds.has(name):
            return
        self.effects.write(PutMark(name, None))
        held = self.ledger.get(client_order_id)
        if outcome in NOTHING_CHANGED:
            self.funds.release(name)
        else:
            by_ns = now.exchange_ns + CLOCK_DOUBT_NS if held is None else held.seen_ns
            self.funds.placed(name, by_ns, now.mono_ns, is_dated=False)

    def restore_order(self, order: Order, fills: list[Fill], now: Now) -> None:
        """Hold an order of the journal.

        Its funds stay reserved until it is known whether the exchange has the order.
        """
        held = self.ledger.restore(order, fills)
        held.insist = order.cancel_requested and not order.is_done
        if order.is_done or order.exchange_order_id is not None or order.pair not in self.guards.instruments:
            return
        asset, amount = self.guards.need(as_new(order), now)
        self.funds.hold(order.client_order_id, asset, EVERYTHING if amount is None else amount)

    def available(self, asset: str, now: Now) -> Decimal:
        """Return the amount of an asset that may be spent now.

        A restored order whose cost was unknown, because no book was there yet, reserves everything until its cost is
        known here.
        """
        for name in self.funds.unsized(asset):
            held = self.ledger.get(name)
            amount = None if held is None else self.guards.need(as_new(held.order), now)[1]
            if amount is not None:
                self.funds.size(name, amount)
        return self.funds.available(asset)

    def restore_request(self, request: JournaledRequest, marks: Mapping[str, str], now: Now) -> None:
        """Hold an open request of an earlier epoch: it may still reach the exchange."""
        request_id, kind, order_ids = request.request_id, request.kind, request.client_order_ids
        parts = PARTS.get(kind, (Part.PLACE,))
        growth = marks.get(f"{GROWTH}{request_id}")
        named = {
            order_id: parts[min(index, len(parts) - 1)]
            for index, order_id in enumerate(order_ids)
            if self.ledger.get(order_id)
        }
        if not named:
            self.effects.write(CloseRequest(request_id, "resolved:nothing", now.ns))
            if growth is not None:
                self.effects.write(PutMark(f"{GROWTH}{request_id}", None))
            return
        terms = {} if growth is None else dict.fromkeys(named, read_terms(growth))
        ends = self._ends(request.not_after_ns)
        self.requests.add(PendingRequest(request_id, Kind(kind), named, ends, earlier=True, doubt=True, terms=terms))
        for order_id, part in named.items():
            if part is Part.AMEND and (held := self.ledger.get(order_id)) is not None:
                held.amending = terms.get(order_id, UNKNOWN_TERMS)
                if order_id in terms:
                    self._hold_growth(request_id, held.order, terms[order_id])
            self.requests.ask_for(order_id, now)
            self.ledger.changed[order_id] = None

    def _ends(self, not_after_ns: int) -> Ends:
        """Return the end of a request of an earlier epoch. Nonces of this epoch are above all journaled nonces."""
        if not_after_ns != NO_END_NS:
            return At(not_after_ns)
        return WhenSuperseded(0) if self.codec.offer.nonces else Never()

    def is_ours(self, client_order_id: str) -> bool:
        """Return whether an id has the prefix of this mesh's ids."""
        return client_order_id.startswith(self.settings.prefix)

    def may_be_journaled(self, client_order_id: str, now: Now) -> bool:
        """Return whether the journal may have an order of this id that is not in memory.

        An id with a time in the future comes from a wrong clock, so the id may be old.
        """
        if self.known_ids.is_new(client_order_id):
            return False
        born = self.born(client_order_id)
        known_since = max(self.born_after_ns, self.ledger.forgotten_ns) + in_ns(self.settings.clock_slack_s)
        return born is None or born <= known_since or born > now.ns

    def knows_no_pair(self, result: object) -> bool:
        """Return whether the exchange answered that it does not know the pair of a request."""
        if not isinstance(result, Rejected):
            return False
        return self.codec.refusal(str(result.code), str(result.reason)) is Refusal.NO_PAIR

    def look_up(self, lookup: Lookup, then: Callable[[Found, Now], None], now: Now) -> bool:
        """Look up a key in the journal, once, and call `then` with the answer. False: too many lookups wait already."""
        waiting = self._lookups.get(lookup.key)
        if waiting is not None:
            if len(waiting) >= self.settings.max_unknown_reports:
                return False
            waiting.append(then)
            return True
        if len(self._lookups) >= self.settings.max_waiting:
            return False
        self._lookups[lookup.key] = [then]
        self.effects.do(lookup)
        return True

    @property
    def looks_up(self) -> bool:
        """Whether lookups in the journal are under way."""
        return bool(self._lookups)

    def looked_up(self, key: str, found: Found, now: Now) -> None:
        if found.order is not None and found.order.client_order_id not in self.ledger and not found.order.external:
            self.ledger.restore(found.order, list(found.fills))
        if found.highest is not None:
            self.known_ids.learn(key.removeprefix(BY_ID), found.highest)
        for then in self._lookups.pop(key, []):
            then(found, now)


def intent(signed: Signed, order_ids: tuple[str, ...], now_ns: int) -> list[Write]:
    """Return the writes of an intent: the request, and its nonce as the highest nonce."""
    draft = signed.draft
    request = PutRequest(
        signed.request_id, draft.kind.value, order_ids, signed.text, signed.digest, signed.not_after_ns, now_ns
    )
    return [request] if draft.nonce is None else [request, PutMark(NONCE_MARK, str(draft.nonce))]


def by_client_id(client_order_id: str) -> Lookup:
    return Lookup(f"{BY_ID}{client_order_id}", client_order_id=client_order_id)


def by_exchange_id(pair: str, exchange_order_id: str) -> Lookup:
    return Lookup(f"exchange:{pair}:{exchange_order_id}", pair=pair, exchange_order_id=exchange_order_id)


def code_and_reason(error: BaseException) -> tuple[str, str]:
    """Return the code and the reason of an error for an order or a result, as text that the journal can keep."""
    if isinstance(error, Rejected):
        return storable(str(error.code)), storable(str(error.reason))
    return type(error).__name__, storable(str(error)) if isinstance(error, MeshError) else type(error).__name__
