"""Checks of messages: the content of drafts, the validity of signatures, decoded replies, and secrecy of keys."""

from __future__ import annotations

import pickle
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from ...connectors.order_codec import At, Batches, Draft, Kind, Never, Refusal, Reply, Signed, TradingCodec
from ...connectors.reports import OrderReport
from ...connectors.spec import Amend
from ...model.errors import DecodeError, MeshError, NotOffered, OutcomeUnknown, Rejected, RetryLater
from ...model.events import Side
from ...model.http import HttpResponse
from ...model.ids import OrderIds
from ...model.instrument import Instrument
from ...model.order import NewOrder, Order, OrderStatus, OrderType, TimeInForce
from ...model.time import MILLISECOND_NS, SECOND_NS
from ..market.mutations import truncated, twisted
from ..market.suite import excerpt, expect, expect_bounded, reads_or_refuses
from .bench import Desk
from .suite import TradingSuite, trading

NOW_NS = 1_700_000_000_123_456_789
NOBODY = "vmconformance0nobody0x"  # an id that no order has
SERVER_ERRORS = (500, 502, 503, 504)
NEW_WORD = "SOMETHING_NEW"
PAGES = (b"", b"<html>502 Bad Gateway</html>", b"{}", b"[]", b"null")


class Messages(TradingSuite):
    """Checks of the trading codec and the signer."""

    @trading
    async def test_the_offer_is_complete(self, desk: Desk) -> None:
        """The offer has what every strategy needs, and the exchange accepts the mesh's client order ids."""
        offer, spec = desk.codec().offer, desk.connector.spec
        ids = {offer.sent_id(client_id) for client_id in (OrderIds(NOW_NS, 1)(), OrderIds(NOW_NS, 2)(), NOBODY)}
        expect(len(ids) == 3, f"offer.sent_id maps different client order ids to one id: {ids}")
        expect(
            {OrderType.LIMIT, OrderType.MARKET} <= offer.order_types, "offer.order_types needs both LIMIT and MARKET"
        )
        expect(TimeInForce.GTC in offer.times_in_force, "offer.times_in_force needs GTC")
        expect(offer.processing_s > 0, f"offer.processing_s is {offer.processing_s}, it must be positive")
        expect(offer.max_validity_s > 0, f"offer.max_validity_s is {offer.max_validity_s}, it must be positive")
        expect(offer.fills_page > 0, f"offer.fills_page is {offer.fills_page}, it must be positive")
        for name in ("maker_fee", "taker_fee"):
            rate = getattr(offer, name)
            expect(
                isinstance(rate, Decimal) and abs(rate) < Decimal("0.1"),
                f"offer.{name} is {rate!r}, expected a Decimal fraction below 0.1",
            )
        for client_id in (OrderIds(NOW_NS, 2**64 - 1)(), NOBODY):
            expect(
                re.fullmatch(offer.client_id_pattern, client_id) is not None,
                f"offer.client_id_pattern does not match the mesh's id {client_id}",
            )
        for limit in spec.account_headers.values():
            expect(limit in spec.account_limits, f"account_headers name {limit}, which account_limits lack")
        if offer.stream:
            expect(bool(desk.codec().stream_url()), "offer.stream is true, but the codec has no stream_url")

    @trading
    async def test_drafts_have_exactly_the_requested_terms(self, desk: Desk) -> None:
        """Drafts of every offered type and side have exact amount and price, the client id, the cost and the host."""
        codec, limits = desk.codec(), {**desk.connector.spec.limits, **desk.connector.spec.key_limits}
        for order in _orders(codec, desk.instrument):
            draft = codec.place(order, desk.instrument)
            what = f"{order.order_type.value} {order.side.value}"
            numbers, texts = _values(draft)
            wanted = (order.amount, order.price, order.stop_price, order.quote_amount)
            for value in (number for number in wanted if number is not None):
                expect(value in numbers, f"{what}: the request has {sorted(map(str, numbers))}, not {value:f}")
            expect(
                codec.offer.sent_id(order.client_order_id) in texts,
                f"{what}: the request does not carry the client order id",
            )
            expect(
                draft.orders == (order.client_order_id,),
                f"{what}: draft.orders is {draft.orders}, expected {order.client_order_id}",
            )
            expect(
                draft.kind is Kind.PLACE and draft.changes and draft.signed,
                f"{what}: the draft must be a signed PLACE that changes something",
            )
            expect(draft.pair == desk.pair, f"{what}: draft.pair is {draft.pair}, expected {desk.pair}")
            cost, stated = (draft.cost, draft.order_count), codec.place_cost(order)
            expect(cost == stated, f"{what}: the draft costs {cost}, place_cost returned {stated}")
            exponents = [text for text in texts if _number(text) is not None and "e" in text.lower()]
            expect(not exponents, f"{what}: the request has numbers with an exponent: {exponents}")
        drafts = _drafts(codec, desk)
        for draft in drafts:
            unknown = [name for name, _ in draft.cost if name not in limits]
            expect(
                bool(draft.cost) and not unknown,
                f"{draft.kind.value}: the cost {draft.cost} must name limits of the spec: {list(limits)}",
            )
            if desk.venue.rest is not None:
                expect(
                    draft.host == desk.venue.rest.rstrip("/"),
                    f"{draft.kind.value} goes to {draft.host}, expected {desk.venue.rest}",
                )
        sides = [_values(codec.place(order, desk.instrument))[1] for order in _both_sides(desk.instrument)]
        expect(sides[0] != sides[1], "the requests of a buy and a sell are the same")

    @trading
    async def test_features_that_are_not_offered_are_refused_before_sending(self, desk: Desk) -> None:
        """A draft of anything that the offer lacks raises NotOffered."""
        codec = desk.codec()
        instrument, offer = desk.instrument, codec.offer
        order, _ = _both_sides(instrument)
        tries: list[tuple[str, Any]] = [
            (f"a {kind.value} order", lambda kind=kind: codec.place(_shaped(order, kind, instrument), instrument))
            for kind in OrderType
            if kind not in offer.order_types
        ]
        lists = {"OCO", "OTO", "OTOCO", "SOMETHING_NEW"} - offer.order_lists
        tries += [
            (f"an order list {kind}", lambda kind=kind: codec.place_list(kind, [order, order], instrument, NOBODY))
            for kind in sorted(lists)
        ]
        standing = _standing(desk, NOBODY, "1")
        if not offer.amend:
            tries.append(("amending", lambda: codec.amend(standing, instrument, Decimal(1))))
        if Amend.PRICE not in offer.amend:
            tries.append(("amending a price", lambda: codec.amend(standing, instrument, None, Decimal(1))))
        if not offer.replace:
            tries.append(("replacing", lambda: codec.replace(standing, instrument, order)))
        if not offer.cancel_all:
            tries.append(("cancelling all", lambda: codec.cancel_all(instrument)))
        if not offer.quote_amount:
            by_quote = replace(_shaped(order, OrderType.MARKET, instrument), amount=None, quote_amount=Decimal(10))
            tries.append(("a market order by quote amount", lambda: codec.place(by_quote, instrument)))
        if offer.by_spent_asset:
            by_amount = _shaped(order, OrderType.MARKET, instrument)
            tries.append(("a market buy by amount", lambda: codec.place(replace(by_amount, side=Side.BUY), instrument)))
        for what, attempt in tries:
            try:
                made = attempt()
            except NotOffered:
                continue
            raise AssertionError(f"the offer lacks {what}, but the codec drafted it: {made!r}")

    @trading
    async def test_signatures_are_valid_exactly_as_long_as_declared(self, desk: Desk) -> None:
        """`not_after_ns` is the end of the requested validity, and the exchange refuses the same bytes after it."""
        codec, auth, witness = desk.codec(), desk.auth(), desk.witness
        for draft in (
            codec.query(NOBODY, desk.instrument),
            codec.place(_both_sides(desk.instrument)[0], desk.instrument),
        ):
            for validity_ms in (max(1000, int(codec.offer.min_validity_s * 1000)), 5000):
                for signed in _signed(codec, draft, validity_ms, auth):
                    latest_ns = NOW_NS + (validity_ms + 1) * MILLISECOND_NS
                    if not isinstance(signed.ends, At):
                        continue
                    expect(
                        NOW_NS < signed.not_after_ns <= latest_ns,
                        f"not_after_ns is {signed.not_after_ns} for {validity_ms} ms from {NOW_NS}, expected at most "
                        f"{latest_ns}",
                    )
        query = codec.query(NOBODY, desk.instrument)
        late = await desk.ask(witness.sign(query, 1000, ago_ns=3 * SECOND_NS))
        reply = await desk.ask(witness.ask(query))
        expect(reply.absent, f"the reply to a query for an unknown id is {reply!r}, expected absent")
        expect(
            not isinstance(late.ends, At) or late.not_after_ns < await desk.ask(witness.now_ns()),
            "the not_after_ns of a request signed 3 s ago for 1 s is in the future",
        )
        expect(not isinstance(late.ends, Never), "nothing ends the validity of a query")
        answer = await desk.ask(witness.send(late))
        try:
            read = codec.reply(late, answer)
        except Rejected as error:
            sort = codec.refusal(error.code, error.reason)
            wanted = Refusal.CLOCK if isinstance(late.ends, At) else Refusal.NONCE
            expect(sort is wanted, f"the refusal of an expired request is {sort} ({error}), expected {wanted}")
        else:
            raise AssertionError(f"the exchange accepted a request 2 s after its not_after_ns: {read!r}")

    @trading
    async def test_secrets_stay_with_the_signer(self, desk: Desk) -> None:
        """Journaled or displayed text contains no key and no signature; the signer refuses to pickle."""
        codec, auth, key = desk.codec(), desk.auth(), desk.key
        longest = max(key.secret.splitlines(), key=len)
        secrets = {"API key": key.api_key, "secret": longest}
        for draft in _drafts(codec, desk):
            for signed in _signed(codec, draft, 5000, auth):
                shown = f"{signed.text} {signed!r} {signed.draft!r} {signed.request!r}"
                again = _signed_again(auth, signed)
                signatures = [part for part in _words(signed) - _words(again) if len(part) > 16]
                for name, secret in secrets.items():
                    expect(secret not in shown, f"{draft.kind.value}: the journaled text contains the {name}")
                for part in signatures:
                    expect(part not in shown, f"{draft.kind.value}: the journaled text contains the signature")
                expect(re.fullmatch(r"[0-9a-f]{64}", signed.digest) is not None, "the digest is not SHA-256 in hex")
                expect(
                    (signed.request is None) != (signed.call is None),
                    "a signed request needs either request or call, not both",
                )
        for name, secret in secrets.items():
            expect(secret not in f"{auth!r} {auth} {auth.key_hint}", f"the signer's repr contains the {name}")
        try:
            pickle.dumps(auth)
        except TypeError:
            return
        raise AssertionError("pickle.dumps accepts the signer: a key could leave its process")

    @trading
    async def test_a_server_error_is_never_an_answer(self, desk: Desk) -> None:
        """A 5xx with any body is OutcomeUnknown for a change, and OutcomeUnknown or RetryLater for a read."""
        codec, witness = desk.codec(), desk.witness
        bodies = list(PAGES)
        for draft in (codec.query(NOBODY, desk.instrument), codec.account()):
            bodies.append((await desk.ask(witness.answer(draft)))[1].body)
        refused = codec.cancel(_standing(desk, NOBODY, ""), desk.instrument)
        bodies.append((await desk.ask(witness.answer(refused)))[1].body)
        for draft in _drafts(codec, desk):
            signed = _signed(codec, draft, 5000, desk.auth())[0]
            for status in SERVER_ERRORS:
                for body in bodies:
                    _expect_open(codec, signed, status, body)

    @trading
    async def test_broken_answers_raise_decode_error_and_nothing_else(self, desk: Desk) -> None:
        """Truncated or twisted responses and frames are read, or raise DecodeError."""
        codec = desk.codec()
        for signed, body in await _answers(desk):
            for broken in (*truncated(body, 60), *_sample(twisted(body), 600)):
                _reads_or_refuses(codec, signed, broken)
        for frame in await _frames(desk):
            for broken in (*truncated(frame, 60), *_sample(twisted(frame), 600)):
                reads_or_refuses("stream_decode", lambda broken=broken: codec.stream_decode(broken, NOW_NS), broken)

    @trading
    async def test_an_unknown_status_is_never_guessed(self, desk: Desk) -> None:
        """An unknown status word in a response or a frame never changes an order's status to another known one."""
        codec = desk.codec()
        seen = 0
        for signed, body in await _answers(desk):
            for words in _new_words(body):
                reply = _reads_or_refuses(codec, signed, words)
                seen += 1
                for before, after in zip(
                    codec.reply(signed, _response(200, body)).orders, _orders_of(reply), strict=False
                ):
                    _same_status(before, after, words)
        expect(seen > 0, "no response of the exchange has a word to replace")
        for frame in await _frames(desk):
            known = _order_reports(codec, frame)
            for words in _new_words(frame):
                try:
                    read = _order_reports(codec, words)
                except DecodeError:
                    continue
                for before, after in zip(known, read, strict=False):
                    _same_status(before, after, words)


def _step(instrument: Instrument) -> Decimal:
    return instrument.size_increment or Decimal(1).scaleb(-instrument.size_scale)


def _tick(instrument: Instrument) -> Decimal:
    return instrument.price_increment or Decimal(1).scaleb(-instrument.price_scale)


def _both_sides(instrument: Instrument) -> tuple[NewOrder, NewOrder]:
    """Return a limit order to buy and a limit order to sell, with many digits and different ids."""
    amount, price = _step(instrument) * 1234567, _tick(instrument) * 9876543
    return tuple(  # type: ignore[return-value]
        NewOrder(f"vmconformance0{side.value}0x", "", side, OrderType.LIMIT, amount, price, TimeInForce.GTC)
        for side in (Side.BUY, Side.SELL)
    )


def _shaped(order: NewOrder, kind: OrderType, instrument: Instrument) -> NewOrder:
    """Return the same order with another type."""
    return replace(
        order,
        pair=instrument.name,
        order_type=kind,
        price=order.price if kind.has_price else None,
        stop_price=_tick(instrument) * 9871234 if kind.has_stop else None,
        time_in_force=TimeInForce.GTC if kind.has_price and kind is not OrderType.LIMIT_MAKER else None,
    )


def _orders(codec: TradingCodec, instrument: Instrument) -> Iterator[NewOrder]:
    for order in _both_sides(instrument):
        for kind in sorted(codec.offer.order_types, key=lambda kind: kind.value):
            if kind is not OrderType.MARKET or not (codec.offer.by_spent_asset and order.side is Side.BUY):
                yield _shaped(order, kind, instrument)
        if codec.offer.quote_amount and not (codec.offer.by_spent_asset and order.side is Side.SELL):
            market = _shaped(order, OrderType.MARKET, instrument)
            yield replace(market, amount=None, quote_amount=Decimal("123.45"))


def _standing(desk: Desk, client_order_id: str, exchange_order_id: str) -> Order:
    report = OrderReport(desk.instrument.symbol, client_order_id, exchange_order_id, OrderStatus.OPEN, 0)
    order = desk.stand_in(report)
    return order if exchange_order_id else replace(order, exchange_order_id=None)


def _drafts(codec: TradingCodec, desk: Desk) -> list[Draft]:
    """Return a draft of every kind that all codecs have."""
    instrument = desk.instrument
    order = _shaped(_both_sides(instrument)[0], OrderType.LIMIT, instrument)
    drafts = [
        codec.place(order, instrument),
        codec.cancel(_standing(desk, NOBODY, ""), instrument),
        codec.query(NOBODY, instrument),
        codec.open_orders(),
        codec.fills(instrument, None),
        codec.fills_after(instrument, "1"),
        codec.orders(instrument, None),
        codec.account(),
        codec.fees(instrument),
    ]
    if codec.offer.cancel_all:
        drafts.append(codec.cancel_all(instrument))
    if isinstance(codec, Batches):
        orders = [_shaped(other, OrderType.LIMIT, instrument) for other in _both_sides(instrument)]
        drafts.append(codec.batch([codec.place(other, instrument) for other in orders]))
    return drafts


def _signed(codec: TradingCodec, draft: Draft, validity_ms: int, auth: Any) -> list[Signed]:
    """Sign a draft for every transport that the exchange offers for it."""
    signed = [auth.sign(draft, "conformance-1", NOW_NS, validity_ms)]
    if codec.offer.ws_orders and draft.call is not None:
        signed.append(auth.sign_call(draft, "conformance-2", NOW_NS, validity_ms))
    return signed


def _signed_again(auth: Any, signed: Signed) -> Signed:
    """Sign the same draft a second later: the signature differs."""
    sign = auth.sign if signed.request is not None else auth.sign_call
    again: Signed = sign(signed.draft, signed.request_id, NOW_NS + SECOND_NS, 5000)
    return again


def _words(signed: Signed) -> set[str]:
    """Split the exact bytes of a request into its values."""
    request = signed.request
    text = (signed.call or b"").decode()
    if request is not None:
        text = f"{request.url} {request.headers} {request.body.decode()}"
    return set(re.split(f"[{re.escape(string.whitespace + '&?=,:;%{}()[]')}\"']", text))


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _values(draft: Draft) -> tuple[set[Decimal], set[str]]:
    """Return the numbers and the texts of a request's parameters."""
    texts = {value for _, value in draft.params}
    return {number for text in texts if (number := _number(text)) is not None}, texts


def _response(status: int, body: bytes) -> HttpResponse:
    return HttpResponse(status, {}, body, NOW_NS, NOW_NS)


def _expect_open(codec: TradingCodec, signed: Signed, status: int, body: bytes) -> None:
    changes = signed.draft.changes
    allowed = (OutcomeUnknown,) if changes else (OutcomeUnknown, RetryLater)
    what = f"the reply to {signed.draft.kind.value} with status {status} and {excerpt(body)}"
    try:
        outcome: Reply | MeshError = codec.reply(signed, _response(status, body))
    except MeshError as error:
        outcome = error
    names = " or ".join(error.__name__ for error in allowed)
    expect(isinstance(outcome, allowed), f"{what} is {outcome!r}, expected {names}")


def _reads_or_refuses(codec: TradingCodec, signed: Signed, body: bytes) -> Reply | None:
    try:
        found = codec.reply(signed, _response(200, body))
    except DecodeError as error:
        expect(len(error.excerpt or "") <= 200, "the excerpt of DecodeError is longer than 200 characters")
        return None
    except OutcomeUnknown:
        return None
    except RetryLater:  # an exchange that refuses with status 200 and an unknown code
        expect(not signed.draft.changes, f"reply to {signed.draft.kind.value} claims that it was not executed")
        return None
    except Exception as error:
        raise AssertionError(f"reply to {signed.draft.kind.value} raised {error!r} for {excerpt(body)}") from error
    expect_bounded(f"reply to {signed.draft.kind.value}", found, body)
    return found


async def _answers(desk: Desk) -> list[tuple[Signed, bytes]]:
    """Return this exchange's real responses to placing, querying and cancelling an order, and to lists."""
    codec, witness = desk.witness.codec, desk.witness
    price, amount = await desk.sized(Side.BUY)
    new = desk.outside(desk.market.new_order(Side.BUY, desk.pair, amount, OrderType.LIMIT, price, TimeInForce.GTC))
    found: list[tuple[Signed, bytes]] = []

    async def keep(draft: Draft) -> Reply:
        signed, response = await desk.ask(witness.answer(draft))
        reply = codec.reply(signed, response)
        found.append((signed, response.body))
        return reply

    placed = await keep(codec.place(new, desk.instrument))
    await keep(codec.open_orders())
    exchange_id = placed.orders[0].exchange_order_id
    await keep(codec.query(new.client_order_id, desk.instrument, exchange_id))
    await keep(codec.cancel(desk.stand_in(placed.orders[0]), desk.instrument))
    if not codec.offer.purges_unfilled:
        await keep(codec.query(new.client_order_id, desk.instrument, exchange_id))
    await keep(codec.account())
    await keep(codec.fees(desk.instrument))
    return found


async def _frames(desk: Desk) -> list[bytes]:
    """Return the last two frames of the user stream that report an order; none without a stream."""
    if not desk.codec().offer.stream or desk.venue.account.get("stream") == "polling":
        return []

    async def look() -> list[bytes]:
        answer = await desk.mesh.ask_async(desk.stream_at, "poll:raw", {"after": 0, "limit": 500}, 1.0)
        frames = [frame["raw"] for frame in answer["frames"] if any(row["type"] == "order" for row in frame["decoded"])]
        return [raw.encode() for raw in frames[-2:] if "***" not in raw]

    return await desk.until("frames of the user stream that report an order", look)


def _order_reports(codec: TradingCodec, frame: bytes) -> list[OrderReport]:
    return [event for event in codec.stream_decode(frame, NOW_NS) if isinstance(event, OrderReport)]


def _sample(items: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Yield about `most` items, spread evenly."""
    listed = list(items)
    yield from listed[:: max(1, len(listed) // most)]


def _new_words(body: bytes) -> Iterator[bytes]:
    """Yield the message with each word that is a value replaced by an unknown word."""
    for word in sorted(set(re.findall(rb':\s*"([A-Za-z][A-Za-z_]{2,})"', body))):
        yield re.sub(rb'(:\s*)"' + word + rb'"', rb'\1"' + NEW_WORD.encode() + rb'"', body)


def _orders_of(reply: Reply | None) -> tuple[OrderReport, ...]:
    return () if reply is None else reply.orders


def _same_status(before: OrderReport, after: OrderReport, words: bytes) -> None:
    expect(
        after.status in (None, before.status),
        f"with an unknown word a {before.status} order is read as {after.status}: {excerpt(words)}",
    )
