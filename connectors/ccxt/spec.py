"""An exchange of ccxt as data, from what ccxt's class describes.

ccxt describes one rate for all requests (`rateLimit`, ms between requests of cost 1). Nothing that ccxt states proves
that no message of a book is missing, so its books are `unsequenced`. Times are guesses where ccxt has none; each is on
the safe side and takes longer than with a connector of the exchange itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from ...model.order import OrderType, TimeInForce
from ...model.time import MILLISECOND_NS
from ..spec import BookFeed, BookSource, Endpoint, ExchangeSpec, Hosts, KeyField, Limit, Offer, Option, Proof
from ..uuid_ids import packed
from .package import PREFIX, has_websocket, version
from .session import CREDENTIALS, Session

DEPTH = 100  # levels a side of a streamed book that are passed on
WINDOW_S = 10.0  # of the one limit
SANDBOX = "sandbox"  # the environment of ccxt's `set_sandbox_mode`
CALL = "CCXT"  # in place of an HTTP method
METHODS = {  # ccxt's main method of each endpoint; `procedures.py` and `market.py` have what is called
    "instruments": "load_markets",
    "snapshot": "fetch_order_book",
    "tickers": "fetch_tickers",
    "time": "fetch_time",
    "place": "create_order",
    "cancel": "cancel_order",
    "order": "fetch_order",
    "open_orders": "fetch_open_orders",
    "orders": "fetch_orders",
    "fills": "fetch_my_trades",
    "account": "fetch_balance",
    "fees": "fetch_trading_fee",
}
GUESSED_FEE = Decimal("0.002")
COST = (("requests", 1),)
FIELDS = {"password": "passphrase"}  # our name of a field of ccxt's, where it differs
WORDS = {
    "password": "the one that was chosen when the API key was made",
    "uid": "the user id",
    "login": "the name of the account",
    "walletAddress": "the address of the wallet",
    "privateKey": "the private key of the wallet, hex",
    "token": "the token",
    "accountId": "the id of the account",
}
UUIDS = frozenset({"kraken", "coinbaseexchange", "coinbase"})  # client order ids of ours do not fit these exchanges
BASE_AMOUNTS = frozenset({"bybit", "okx"})  # with our settings, ccxt takes market buys by base amount there
FEES_ON_TOP = frozenset({"kraken"})  # exchanges where a buy locks its fee, too
FEES_WITH_FILLS = frozenset({"kraken"})  # exchanges that state each fill with its fee, never without
PURGES = frozenset({"coinbaseexchange"})  # exchanges that do not know an order that ended without a fill
STREAMS = ("watchOrders", "watchMyTrades", "watchBalance")
NAMELESS = frozenset({"kraken"})  # ccxt's stream of orders does not state client order ids, so orders are polled
NONCES = frozenset({"kraken"})  # exchanges that refuse a nonce below the last one, so one process signs
OPTIONS = (
    Option("depth", DEPTH, "Levels a side of a streamed book.", least=1, most=DEPTH),
    Option("poll_s", 2.0, "How often a book is requested where ccxt has no websocket for it.", least=0.5, most=60.0),
    Option("settings", "{}", "Further settings for ccxt's constructor, as a JSON object.", orders=True),
)


@cache
def described(exchange_id: str) -> Any:
    """Return an instance that only describes its exchange. Raises as `package.exchange_class`."""
    return Session(exchange_id).exchange


def _rate(value: Any) -> Decimal:
    """Return a fee of ccxt's description; some classes have other tables of fees."""
    found = Decimal(str(value)) if isinstance(value, int | float) else GUESSED_FEE
    return found if abs(found) < 1 else GUESSED_FEE


def spec_of(exchange_id: str, settings: Mapping[str, Any] | None = None) -> ExchangeSpec:
    """Return the spec of `ccxt:ID`; `settings` may have another `rateLimit`.

    Raises:
        UnknownExchange, Misconfigured: as `package.exchange_class`.
    """
    exchange = described(exchange_id)
    source = f"ccxt {version()}"
    endpoints = {name: Endpoint(CALL, f"/{method}", COST, source) for name, method in METHODS.items()}
    wanted = [name for name, needed in exchange.requiredCredentials.items() if needed and name in CREDENTIALS]
    interval_ms = float((settings or {}).get("rateLimit") or exchange.rateLimit or 1000)
    return ExchangeSpec(
        exchange=f"{PREFIX}{exchange_id}",
        rest=f"ccxt://{exchange_id}",
        ws=f"ccxt://{exchange_id}",
        endpoints=endpoints,
        limits={
            "requests": Limit(max(1, int(WINDOW_S * 1000 / interval_ms)), per_s=WINDOW_S),
            "connections": Limit(10, per_s=60.0),  # ccxt states none; no known exchange allows fewer
        },
        silence_s=60.0,  # ccxt's clients ping every 30 s at the latest and end a connection without an answer
        max_connection_s=86_400.0,
        max_streams=40,
        streams_per_instrument=2,
        wire_decimals=8,
        decimals_by_pair=True,
        max_snapshot=DEPTH,
        book=BookFeed(BookSource.EVERY_FRAME, Proof.CONNECTION, first_book_s=30.0, compared=None),
        lists_halted=True,
        unknown_symbol=frozenset({"BadSymbol"}),
        time_resolution_ns=MILLISECOND_NS,
        key_fields=tuple(KeyField(FIELDS.get(name, name), WORDS[name]) for name in wanted if name in WORDS),
        options=OPTIONS,
        environments={SANDBOX: Hosts(*[f"ccxt://{exchange_id}"] * 2)} if exchange.urls.get("test") else {},
    )


def can_trade(exchange_id: str) -> bool:
    """Return whether ccxt's class has what the order manager needs."""
    has = described(exchange_id).has
    return all(has.get(name) for name in ("createOrder", "cancelOrder", "fetchBalance", "fetchOpenOrders"))


def takes_quote_amounts(has: Mapping[str, Any]) -> bool:
    """Return whether market orders of both sides may be by quote amount."""
    return all(has.get(f"createMarket{side}OrderWithCost") is True for side in ("Buy", "Sell"))


def _streams_accounts(exchange_id: str, has: Mapping[str, Any]) -> bool:
    complete = all(has.get(name) is True for name in STREAMS)
    return complete and has_websocket(exchange_id) and exchange_id not in NAMELESS


def offer_of(exchange_id: str) -> Offer:
    """Return what is offered for orders, by what ccxt's class describes."""
    exchange = described(exchange_id)
    has: Mapping[str, Any] = exchange.has
    terms = ((exchange.features or {}).get("spot") or {}).get("createOrder") or {}
    forces: Mapping[str, Any] = terms.get("timeInForce") or {}
    kinds = {OrderType.LIMIT}
    if has.get("createMarketOrder") is not False and (
        exchange_id in BASE_AMOUNTS or not terms.get("marketBuyRequiresPrice")
    ):
        kinds.add(OrderType.MARKET)
    if forces.get("PO"):
        kinds.add(OrderType.LIMIT_MAKER)
    known = {TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}
    fees = (exchange.fees or {}).get("trading") or {}
    return Offer(
        order_types=frozenset(kinds),
        times_in_force=frozenset({TimeInForce.GTC, *(force for force, name in known.items() if forces.get(name))}),
        quote_amount=takes_quote_amounts(has),
        stream=exchange_id not in NAMELESS
        and has_websocket(exchange_id)
        and all(has.get(name) is True for name in STREAMS),
        client_id_pattern="[A-Za-z0-9]{1,32}",
        late_reject=True,
        late_fees=exchange_id not in FEES_WITH_FILLS,
        processing_s=60.0,  # nothing ends the validity of a request: this long an exchange may take to execute it
        appears_s=10.0,
        max_validity_s=60.0,
        maker_fee=_rate(fees.get("maker")),
        taker_fee=_rate(fees.get("taker")),
        fills_page=10**9,  # the connector itself requests every page
        fills_by_time=True,
        asks_balances=True,
        nonces=exchange_id in NONCES,
        fee_on_top=exchange_id in FEES_ON_TOP,
        purges_unfilled=exchange_id in PURGES,
        sent_id=packed if exchange_id in UUIDS else str,
    )
