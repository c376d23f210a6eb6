"""Places, amends and cancels orders, for REST and the websocket.

Theory of operation. An acknowledgement states that the engine has the order, but not the order's state. A post-only
order that would take is also accepted, and cancelled at once. A market order in the currency that it receives
(`base_ccy` to buy) trades at most `slippagePct` away from the best price. A market order that the account cannot pay
for is made smaller, unless it sets `banAmend`. A client id may be used again after its order has ended.

Where the manual is silent: the rest of a market order at its slippage bound is cancelled; a sale by quote amount has no
slippage bound.

Source: order/book/trading-trade-post-{place-order, place-multiple-orders, cancel-order, amend-order, cancel-all-after}
.md, trading-trade-ws-order-channel.md (cancelSource), error/code.md, read 2026-11-27.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...model.errors import Rejected
from ...model.events import Side
from ...model.time import SECOND_NS
from ..engine.accounts import Account, Fill, Order, Ticket
from ..engine.book import BookSide
from ..engine.engine import Engine
from ..engine.market import ExecutionReport, Market
from ..engine.rules import ONE
from ..floor import Floor
from ..wire.order_details import OrderDetails
from . import ids
from .client import NAME
from .errors import ApiError, refused
from .payloads import min_size

SELF_TRADE = {"cancel_maker": "EXPIRE_MAKER", "cancel_taker": "EXPIRE_TAKER", "cancel_both": "EXPIRE_BOTH"}
POST_ONLY, SWITCH = "POST_ONLY", "CANCEL_ALL_AFTER"
SOURCES = {  # why an order was cancelled: cancelSource
    "UNFILLED_FOK_ORDER_EXPIRED": "13",
    "UNFILLED_IOC_QUANTITY_EXPIRED": "14",
    "INSUFFICIENT_LIQUIDITY": "14",
    POST_ONLY: "31",
    SWITCH: "20",
}


@dataclass(slots=True)
class Details:
    """The protocol's own data of an order."""

    kind: str = "limit"  # ordType
    target: str = ""  # tgtCcy
    self_trade: str = "cancel_maker"
    tag: str = ""
    fills: list[Fill] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """The terms of a new order. Sizes and prices are raw; the size of a market order is in `details.target`."""

    market: Market
    side: Side
    size: int
    price: int | None  # None for market orders
    client_id: str
    details: Details
    slippage: int = 0  # in parts of 10**8
    may_shrink: bool = True


def _derived(order: Order) -> Details:
    """Return what an order of another protocol has of these details."""
    kind = "market" if order.price is None else "post_only" if order.kind == "LIMIT_MAKER" else "limit"
    kind = order.time_in_force.lower() if kind == "limit" and order.time_in_force != "GTC" else kind
    target = "" if order.price is not None else "base_ccy" if order.quote_size is None else "quote_ccy"
    return Details(kind, target)


class Orders:
    """Executes requests about orders."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._details = OrderDetails(_derived)
        self._switches: dict[tuple[str, str], int] = {}  # when orders will be cancelled, by account and tag ("": all)

    @property
    def _engine(self) -> Engine:
        return self._floor.engine

    def details(self, order: Order) -> Details:
        """Return the protocol's own data of an order; for orders of other protocols the available part."""
        return self._details.of(order)

    def report(self, report: ExecutionReport) -> None:
        """Update an order's details from a report."""
        self._details.report(report)

    # ------------------------------------------------------------------------------------------------- placing

    def place(self, account: Account, new: NewOrder, now_ns: int) -> Order:
        """Accept an order.

        Raises:
            ApiError: why it is refused; nothing was placed.
        """
        rules = new.market.rules
        if rules.status != "TRADING":
            raise ApiError("51021", "The pair or contract is not yet listed")
        ticket = self._ticket(account, new)
        takes = new.details.kind == "post_only" and new.price is not None and _against(new).crosses(new.price)
        self._details.placing = new.details
        try:
            if not takes:
                order = self._floor.submit(NAME, account, rules.symbol, ticket, now_ns)
                if new.price is None:  # a purchase by size had a bound during the match, but has no price
                    order.kind, order.price = "MARKET", None
                return order
            order = self._engine.submit(account, rules.symbol, replace(ticket, kind="LIMIT"), now_ns, hold=True)
            order.kind = "LIMIT_MAKER"
            self._engine.matcher.end(new.market, order, "EXPIRED", now_ns, why=POST_ONLY)
            return order
        except Rejected as rejected:
            paid = rules.quote if new.side is Side.BUY else rules.base
            raise refused(rejected, paid) from None
        finally:
            self._details.placing = None

    def _ticket(self, account: Account, new: NewOrder) -> Ticket:
        rules, details = new.market.rules, new.details
        stp = SELF_TRADE[details.self_trade]
        if new.price is not None:
            if new.size < min_size(rules):
                raise ApiError("51020", "Your order should meet or exceed the minimum order amount.")
            time_in_force = details.kind.upper() if details.kind in ("ioc", "fok") else "GTC"
            kind = "LIMIT_MAKER" if details.kind == "post_only" else "LIMIT"
            return Ticket(new.side, kind, new.size, new.price, time_in_force, new.client_id, self_trade=stp)
        size, in_quote = new.size, details.target == "quote_ccy"
        bound = self._bound(new) if new.side is Side.BUY and not in_quote else None
        if new.may_shrink:
            size = self._affordable(account, new, bound)
        if in_quote:
            return Ticket(new.side, "MARKET", 0, None, "GTC", new.client_id, size, stp)
        if size < min_size(rules):
            raise ApiError("51020", "Your order should meet or exceed the minimum order amount.")
        if bound is None:
            return Ticket(new.side, "MARKET", size, None, "GTC", new.client_id, self_trade=stp)
        return Ticket(new.side, "LIMIT", size, bound, "IOC", new.client_id, self_trade=stp)

    @staticmethod
    def _bound(new: NewOrder) -> int:
        """Return the highest price of a purchase by size: the best price plus the slippage, on the tick."""
        best = next(iter(_against(new).depth(1)), None)
        if best is None:
            raise ApiError("51140", "Purchase failed due to insufficient sell orders, please try later.")
        price = best[0] + best[0] * new.slippage // ONE
        return int(price - price % new.market.rules.tick)

    @staticmethod
    def _affordable(account: Account, new: NewOrder, bound: int | None) -> int:
        rules = new.market.rules
        if new.side is Side.BUY:
            free = account.balance(rules.quote).free
            most = free if bound is None else free * ONE // bound
        else:
            most = account.balance(rules.base).free if new.details.target != "quote_ccy" else new.size
        if most >= new.size:
            return new.size
        return most if new.details.target == "quote_ccy" else most - most % rules.step

    # -------------------------------------------------------------------------------------------- finding, ending

    def find_open(self, account: Account, order_id: object, client_id: object, symbol: str, error: ApiError) -> Order:
        """Return an open order by the exchange's id, or else by the client's.

        Raises:
            ApiError: neither id is given; `error` if the instrument has no such open order.
        """
        if not order_id and not client_id:
            raise ApiError("51003", "Either client order ID or order ID is required.")
        number = ids.order_number(order_id) if order_id else account.client_ids.get(str(client_id))
        order = account.open.get(number) if number is not None else None
        if order is None or order.symbol != symbol:
            raise error
        return order

    def cancel(self, account: Account, order: Order, now_ns: int) -> None:
        self._engine.cancel(order.symbol, order.id, now_ns, account)

    def amend(self, order: Order, size: int | None, price: int | None, now_ns: int) -> None:
        """Change size, price or both in place; an order whose new size is filled already becomes filled.

        Raises:
            ApiError: why it is refused; nothing was changed.
        """
        market = self._engine.market(order.symbol)
        size = order.size if size is None else size
        if self.details(order).kind == "post_only" and price is not None and market.against(order).crosses(price):
            raise ApiError(
                "51511", "Modification failed as the order price did not meet the requirement for Post Only."
            )
        if size <= order.filled:
            # By the manual the order is then filled. The engine cannot end an order that way, so the rest is cancelled
            self._engine.cancel(order.symbol, order.id, now_ns, order.account)
            return
        if size == order.size and price in (None, order.price):
            return
        order.amends = 0  # only the rate limits the number of amendments of an order
        try:
            self._engine.amend(order, size, order.client_id, now_ns, price)
        except Rejected as rejected:
            paid = market.rules.quote if order.side is Side.BUY else market.rules.base
            raise refused(rejected, paid, "51502") from None

    def cancel_all_after(self, account: Account, tag: str, timeout_s: int, now_ns: int) -> int:
        """Set the dead man's switch of an account or tag, or with 0 remove it; return when it fires, or 0."""
        if timeout_s == 0:
            self._switches.pop((account.name, tag), None)
            return 0
        tagged = sum(1 for name, other in self._switches if name == account.name and other and other != tag)
        if tag and tagged >= 20:
            raise ApiError("51071", "You've reached the maximum limit for tag level cancel all after timers.")
        self._switches[account.name, tag] = due_ns = now_ns + timeout_s * SECOND_NS
        return due_ns

    def tick(self, now_ns: int) -> None:
        """Fire due switches."""
        for name, tag in [at for at, due_ns in self._switches.items() if due_ns <= now_ns]:
            del self._switches[name, tag]
            account = self._engine.accounts[name]
            for order in list(account.open.values()):
                if order.id in account.open and tag in ("", self.details(order).tag):
                    order.expiry_reason = SWITCH
                    self._engine.cancel(order.symbol, order.id, now_ns, account)


def client_id_of(order: Order) -> str:
    """Return the `clOrdId` of an order; "" without one."""
    return "" if order.client_id.rstrip("-") == f"x-{order.id}" else order.client_id


def state(order: Order) -> str:
    """Return an order's state. Orders that the engine expires or rejects are canceled in this protocol."""
    if order.status in ("NEW", "PENDING_NEW"):
        return "live"
    return order.status.lower() if order.status in ("PARTIALLY_FILLED", "FILLED") else "canceled"


def cancel_source(order: Order) -> str:
    """Return the code of the reason of a cancel; "" for other orders."""
    if state(order) != "canceled":
        return ""
    if order.status == "EXPIRED_IN_MATCH":
        return "32"
    if order.status == "REJECTED":
        return "0"
    return SOURCES.get(order.expiry_reason, "1")


def _against(new: NewOrder) -> BookSide:
    return new.market.asks if new.side is Side.BUY else new.market.bids
