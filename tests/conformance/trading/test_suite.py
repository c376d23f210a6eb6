"""The trading suite can fail: for each mistake of a connector's author a check exists that catches it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

import orjson
import pytest

from venuemesh.cli.conformance import Plan, Trade, account_of, describe, remote_venue, run_plan, why_not
from venuemesh.cli.local_venue import ACCOUNT, SPEAKS, local_venue
from venuemesh.conformance.runner import Outcome, checks, run_checks
from venuemesh.conformance.trading import sizes
from venuemesh.conformance.trading.checks import TradingConformance
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.binance.orders import BinanceTrading
from venuemesh.connectors.binance.spec import SPEC
from venuemesh.connectors.order_codec import At, Kind, Refusal, Reply
from venuemesh.connectors.reports import OrderReport, StreamOpened
from venuemesh.model.errors import DecodeError, MeshError, Misconfigured, NotOffered, Rejected, RetryLater
from venuemesh.model.events import Side
from venuemesh.model.instrument import Instrument

SOON_S = 3.0  # a mistake shows at once, or is not seen at all


@pytest.fixture(scope="module")
def local():
    with local_venue("binance") as venue:
        yield venue


@dataclass
class Connector:
    """Binance's connector with a wrong codec or signer."""

    codec_class: type = BinanceTrading
    signer: type | None = None
    spec: object = SPEC
    name: str = "binance"

    def codec(self, *urls, **options):
        return CONNECTOR.codec(*urls, **options)

    def trading(self, rest=None, ws_api=None):
        return self.codec_class(SPEC, rest, ws_api)

    def auth(self, *key, **fields):
        made = CONNECTOR.auth(*key, **fields)
        return made if self.signer is None else self.signer(made)


@contextlib.contextmanager
def opened(local, connector=CONNECTOR):
    """Set up the suite for a connector; the exchange forgets earlier requests."""
    local.ledger.admin.forgive()

    class Suite(TradingConformance):
        @classmethod
        def venue(cls):
            return contextlib.nullcontext(local)

    Suite.connector = connector
    Suite.setup_class()
    try:
        yield Suite
    finally:
        Suite.teardown_class()


def assert_caught(local, check, connector):
    """Assert that the check fails, with an assertion or an error of the mesh, and describes the mistake."""
    with opened(local, connector) as suite:
        suite.desk.soon_s = SOON_S
        with pytest.raises((AssertionError, MeshError)) as caught:
            getattr(suite(), check)()
        assert str(caught.value)
        local.ledger.admin.cancel_all(ACCOUNT)


def with_fill(report, change):
    """Apply `change` to each fill of a report."""
    return replace(report, fills=tuple(change(fill) for fill in report.fills))


class ChangesFills(BinanceTrading):
    """Makes the same mistake with every fill, in replies and in the stream."""

    change = staticmethod(lambda fill: fill)

    def reply(self, signed, response):
        reply = super().reply(signed, response)
        orders = tuple(with_fill(report, self.change) for report in reply.orders)
        return replace(reply, orders=orders, fills=tuple(self.change(fill) for fill in reply.fills))

    def stream_decode(self, frame, recv_ns):
        found = super().stream_decode(frame, recv_ns)
        return [with_fill(event, self.change) if isinstance(event, OrderReport) else event for event in found]


class FillsWithoutFees(ChangesFills):
    change = staticmethod(lambda fill: replace(fill, fee=None, fee_asset=None))


class TakersAreMakers(ChangesFills):
    change = staticmethod(lambda fill: replace(fill, is_maker=True))


class StreamNamesTradesOtherwise(BinanceTrading):
    def stream_decode(self, frame, recv_ns):
        found = super().stream_decode(frame, recv_ns)
        rename = lambda fill: replace(fill, trade_id=f"{fill.trade_id}0")  # noqa: E731
        return [with_fill(event, rename) if isinstance(event, OrderReport) else event for event in found]


class GuessesThatItIsOpen(BinanceTrading):
    def reply(self, signed, response):
        try:
            return super().reply(signed, response)
        except DecodeError:
            row = orjson.loads(response.body)
            if not isinstance(row, dict) or "status" not in row:
                raise
            return super().reply(signed, replace(response, body=orjson.dumps({**row, "status": "NEW"})))


class RoundsUp(BinanceTrading):
    def place(self, order, instrument):
        amount = order.amount and order.amount.quantize(Decimal("0.001"), ROUND_CEILING)
        return super().place(replace(order, amount=amount), instrument)


class ChoosesAnotherId(BinanceTrading):
    def place(self, order, instrument):
        return super().place(replace(order, client_order_id=order.client_order_id[::-1]), instrument)


class Scientific(BinanceTrading):
    def place(self, order, instrument):
        draft = super().place(order, instrument)
        params = tuple((k, f"{Decimal(v):E}" if k == "quantity" else v) for k, v in draft.params)
        return replace(draft, params=params)


class SellsWhatIsToBeBought(BinanceTrading):
    def place(self, order, instrument):
        return super().place(replace(order, side=Side.SELL if order.side is Side.BUY else Side.BUY), instrument)


class AbsentForAServerError(BinanceTrading):
    def reply(self, signed, response):
        if response.status >= 500 and signed.draft.kind is Kind.ORDER:
            return Reply(absent=True)
        return super().reply(signed, response)


class NothingDoneForAServerError(BinanceTrading):
    def reply(self, signed, response):
        if response.status >= 500:
            raise RetryLater(1.0, "try again")
        return super().reply(signed, response)


class LetsExceptionsOut(BinanceTrading):
    def reply(self, signed, response):
        if signed.draft.kind is Kind.ORDER and response.status == 200:
            orjson.loads(response.body)["status"]
        return super().reply(signed, response)


class CancelsNothing(BinanceTrading):
    def cancel(self, order, instrument):
        return replace(super().cancel(order, instrument), rest=("GET", "/api/v3/order"))


class KeepsReasonsToItself(BinanceTrading):
    def reply(self, signed, response):
        try:
            return super().reply(signed, response)
        except Rejected as error:
            raise Rejected(error.code, "") from error


class NotThereIsNo(BinanceTrading):
    """Reads "unknown order" as a refusal that leaves the order unchanged."""

    def refusal(self, code, reason=""):
        sort = super().refusal(code, reason)
        return Refusal.REJECTED if sort is Refusal.NOT_THERE else sort


class Deaf(BinanceTrading):
    def stream_decode(self, frame, recv_ns):
        return [event for event in super().stream_decode(frame, recv_ns) if isinstance(event, StreamOpened)]


class NothingIsLocked(BinanceTrading):
    def reply(self, signed, response):
        reply = super().reply(signed, response)
        if reply.account is None:
            return reply
        held = reply.account.balances
        free = {asset: (free + locked, Decimal(0)) for asset, (free, locked) in held.balances.items()}
        return replace(reply, account=replace(reply.account, balances=replace(held, balances=free)))


class EveryListIsAnOco(BinanceTrading):
    def place_list(self, kind, orders, instrument, list_id):
        return self.cancel_all(instrument)


class Signer:
    """Signs as the real signer, with one change."""

    def __init__(self, true):
        self.true = true
        self.key_hint = true.key_hint

    def sign(self, draft, request_id, now_ns, validity_ms):
        return self.true.sign(draft, request_id, now_ns, validity_ms)

    def sign_call(self, draft, request_id, now_ns, validity_ms):
        return self.true.sign_call(draft, request_id, now_ns, validity_ms)

    def __reduce__(self):
        raise TypeError("stays here")


class EndsLater(Signer):
    """States a longer validity of requests than they have."""

    def sign(self, *asked):
        signed = self.true.sign(*asked)
        return replace(signed, ends=At(signed.not_after_ns + 60 * 10**9))


class LastsLonger(Signer):
    """Signs for a longer window than it states."""

    def sign(self, draft, request_id, now_ns, validity_ms):
        signed = self.true.sign(draft, request_id, now_ns, validity_ms)
        return replace(self.true.sign(draft, request_id, now_ns, 60_000), ends=signed.ends)


class ShowsTheSignature(Signer):
    def sign(self, *asked):
        signed = self.true.sign(*asked)
        return replace(signed, text=f"{signed.request.url} {signed.request.body.decode()}")


class Pickles(Signer):
    def __reduce__(self):
        return str, ("a key",)


@pytest.mark.parametrize(
    ("codec", "check"),
    [
        (FillsWithoutFees, "test_fill_record"),
        (TakersAreMakers, "test_market_buy"),
        (StreamNamesTradesOtherwise, "test_a_fill_is_reported"),
        (GuessesThatItIsOpen, "test_an_unknown_status_is_never_guessed"),
        (RoundsUp, "test_drafts_have_exactly_the_requested_terms"),
        (RoundsUp, "test_quantization"),
        (ChoosesAnotherId, "test_drafts_have_exactly_the_requested_terms"),
        (Scientific, "test_drafts_have_exactly_the_requested_terms"),
        (SellsWhatIsToBeBought, "test_limit_buy"),
        (AbsentForAServerError, "test_a_server_error_is_never_an_answer"),
        (NothingDoneForAServerError, "test_a_server_error_is_never_an_answer"),
        (LetsExceptionsOut, "test_broken_answers_raise_decode_error_and_nothing_else"),
        (CancelsNothing, "test_cancel"),
        (KeepsReasonsToItself, "test_a_post_only_order_never_takes"),
        (NotThereIsNo, "test_a_cancel_that_comes_too_late"),
        (Deaf, "test_user_stream"),
        (NothingIsLocked, "test_limit_sell"),
        (EveryListIsAnOco, "test_features_that_are_not_offered_are_refused_before_sending"),
    ],
)
def test_a_wrong_codec_is_caught(local, codec, check):
    assert_caught(local, check, Connector(codec_class=codec))


@pytest.mark.parametrize(
    ("signer", "check"),
    [
        (EndsLater, "test_signatures_are_valid_exactly_as_long_as_declared"),
        (LastsLonger, "test_signatures_are_valid_exactly_as_long_as_declared"),
        (ShowsTheSignature, "test_secrets_stay_with_the_signer"),
        (Pickles, "test_secrets_stay_with_the_signer"),
    ],
)
def test_a_wrong_signer_is_caught(local, signer, check):
    assert_caught(local, check, Connector(signer=signer))


def test_a_role_that_breaks_fails_the_check(local):
    with opened(local) as suite:
        suite.desk.mesh.failures.append(("orders/binance/main", KeyError("surprise")))
        with pytest.raises(AssertionError, match="surprise"):
            suite().test_the_offer_is_complete()
        suite().test_the_offer_is_complete()


def test_orders_of_a_run_are_cancelled_after_any_failure(local):
    """The manager is dead, and the check that placed the order did not end."""
    with opened(local) as suite:
        order = asyncio.run(suite.desk.rest(Side.BUY))
        suite.desk.mesh.kill(suite.desk.orders_at)
    rows = local.ledger.admin.orders(ACCOUNT, client_order_id=order.client_order_id)["orders"]
    assert [row["status"] for row in rows] == ["CANCELED"]


@pytest.mark.parametrize("problem", ["orders", "balance"])
def test_an_account_that_does_something_else_or_holds_too_little_is_refused(local, problem):
    admin = local.ledger.admin
    (held,) = [one for one in admin.accounts()["accounts"] if one["account"] == ACCOUNT]
    free = held["balances"]["USDT"]["free"]
    if problem == "orders":
        admin.order("BTCUSDT", "BUY", quantity="0.001", price="30000.00", account=ACCOUNT)
    else:
        admin.withdraw(ACCOUNT, "USDT", free)
    try:
        expected = pytest.raises(Misconfigured, match="1 open orders" if problem == "orders" else "a run needs")
        with expected, opened(local):
            pass
    finally:
        if problem == "orders":
            admin.cancel_all(ACCOUNT)
        else:
            admin.deposit(ACCOUNT, "USDT", free)


def test_checks_are_listed_once_and_the_last_accounts_for_all():
    listed = checks(TradingConformance)
    assert len({name for name, _ in listed}) == len(listed) >= 35
    assert all(title.endswith(".") for _, title in listed)
    assert listed[-1][0] == "test_every_order_and_fill_is_in_both_records"


def test_set_up_and_take_down_are_done_around_the_checks():
    done = []

    class Suite:
        @classmethod
        def setup_class(cls):
            done.append("up")

        @classmethod
        def teardown_class(cls):
            done.append("down")

        def test_one(self):
            """One."""
            done.append("one")

    assert [result.outcome for result in run_checks(Suite)] == [Outcome.PASSED]
    assert done == ["up", "one", "down"]


BTC = Instrument(
    "acme", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 2, 5,
    price_increment=Decimal("0.01"), size_increment=Decimal("0.00001"), min_notional=Decimal(5),
)  # fmt: skip


def test_orders_are_the_least_that_is_taken_and_rest_within_what_is_allowed():
    bid, ask = Decimal("49999.99"), Decimal("50000.00")
    low, high = sizes.far(BTC, Side.BUY, bid, ask), sizes.far(BTC, Side.SELL, bid, ask)
    assert (low, high) == (Decimal("44999.99"), Decimal("55000.00"))
    assert sizes.far(BTC, Side.BUY, bid, ask, 1) > low
    narrow = replace(BTC, percent_price=(Decimal("0.96"), Decimal(5), Decimal("0.2"), Decimal("1.04")))
    assert sizes.far(narrow, Side.BUY, bid, ask) == Decimal("48999.99")
    assert sizes.far(narrow, Side.SELL, bid, ask) == Decimal("51000.00")
    amount = sizes.least(BTC, low)
    assert amount == Decimal("0.00014")
    assert amount * low > 5
    assert sizes.least(replace(BTC, min_size=Decimal("0.5")), low) == Decimal("0.5")
    needs = sizes.needs(BTC, bid, ask, Decimal("0.001"))
    assert needs.base > 3 * amount
    assert needs.recommended[1] > needs.quote > 3 * amount * ask
    assert Decimal(0) < needs.cost < needs.quote / 100


def test_trading_is_on_the_named_urls_or_the_testnet_and_never_on_the_real_exchange_by_default(tmp_path):
    key = account_of(None, None, None, tmp_path / "key", tmp_path / "secret", None)
    assert key == {"api_key_file": f"{tmp_path}/key", "secret_file": f"{tmp_path}/secret"}
    assert account_of("main", None, tmp_path / "word", None, None, None) == {
        "keys": "main",
        "passphrase_file": f"{tmp_path}/word",
    }
    fields = account_of(None, None, None, tmp_path / "key", tmp_path / "secret", None, ["passphrase=/a/word"])
    assert fields == {**key, "field_files": {"passphrase": "/a/word"}}
    assert account_of(None, None, None, None, None, None) is None
    venue = remote_venue(CONNECTOR, Trade(account=key), None, None, None)
    assert venue.rest == SPEC.environments["testnet"].rest
    assert venue.ws_api == SPEC.environments["testnet"].ws_api
    venue = remote_venue(CONNECTOR, Trade(account=key, ws_api="wss://w"), "https://r", "wss://s", "ETH-USDT")
    assert (venue.rest, venue.ws, venue.ws_api, venue.pair) == ("https://r", "wss://s", "wss://w", "ETH-USDT")
    nowhere = Connector(spec=replace(SPEC, environments={}))
    with pytest.raises(Misconfigured, match="no testnet"):
        remote_venue(nowhere, Trade(account=key), None, None, None)
    for files in ((tmp_path, None), (None, tmp_path)):
        with pytest.raises(Misconfigured, match="together"):
            account_of(None, None, None, *files, None)
    with pytest.raises(Misconfigured, match="--keys, or"):
        account_of("main", None, None, tmp_path, tmp_path, None)
    with pytest.raises(Misconfigured, match="--field-file"):
        account_of("main", None, None, None, None, None, ["passphrase=/a/word"])
    with pytest.raises(Misconfigured, match="is not one of rest, websocket"):
        Trade(orders="pigeon")


def test_why_not_states_the_reason():
    class ReadsOnly:
        name, spec = "acme", SPEC

    assert why_not(CONNECTOR, Trade(), live=False) is None
    assert why_not(CONNECTOR, Trade(wanted=False), live=False) == "--no-trading was given"
    assert "key" in why_not(CONNECTOR, Trade(), live=True)
    assert "trading through this connector" in why_not(ReadsOnly(), Trade(), live=False)
    assert f"speaks only {', '.join(SPEAKS)}" in why_not(Connector(name="acme"), Trade(), live=False)
    with pytest.raises(NotOffered):
        why_not(ReadsOnly(), Trade(account={}), live=False)


def test_a_venue_shows_no_secret(local):
    secret = Path(local.account["secret_file"]).read_text().strip()
    assert secret
    assert secret not in repr(local)


def plan(local, **more):
    """Return the plan of a command line with a key in files and URLs, without the admin interface."""
    account = {name: local.account[name] for name in ("api_key_file", "secret_file")}
    trade = Trade(account=account, ws_api=local.ws_api)
    return Plan("binance", None, False, local.rest, local.ws, None, 1.0, replace(trade, **more))


def test_a_dry_run_with_a_key_states_its_needs_and_costs_from_public_answers(local):
    text = "\n".join(describe(plan(local)))
    assert local.rest in text
    needed = re.search(r"balances needed: ([0-9.]+) USDT and ([0-9.]+) BTC; recommended: ([0-9.]+) USDT", text)
    quote, base, recommended = map(Decimal, needed.groups())
    assert Decimal(30) < quote < Decimal(60)
    assert Decimal("0.0001") < base < Decimal("0.01")
    assert abs(recommended - 2 * quote) <= Decimal("0.002")  # both are rounded up
    assert re.search(r"a run costs about 0\.0[0-9]+ USDT", text)
    assert re.search(r"requests spend about [0-9]+ of 6000 weight per 60 s", text)
    assert "missed_events_are_recovered" in text
    assert not local.ledger.admin.orders(ACCOUNT, client_order_id="nobody")["orders"]


def test_a_run_with_a_key_needs_no_admin_interface(local):
    """A run with only URLs and a key, as on a testnet, skips checks that need another account."""
    local.ledger.admin.forgive()
    lines = []
    assert run_plan(plan(local, orders="websocket"), lines.append) == 0, "\n".join(lines)
    assert any(line.startswith("skipped a fill is reported (no other account can trade") for line in lines)
    assert any(line.startswith("ok      missed events are recovered") for line in lines)
    assert re.fullmatch(r"[0-9]+ passed, 0 failed, [0-9]+ skipped", lines[-1])
    assert not [row for row in local.ledger.admin.orders(ACCOUNT)["orders"] if row["status"] == "NEW"]


def test_a_check_that_no_loop_runs_has_failed() -> None:
    class Suite:
        async def test_later(self) -> None:
            """Never awaited."""

    (result,) = run_checks(Suite)
    assert result.outcome is Outcome.FAILED
    assert "test_later is a coroutine" in result.reason
