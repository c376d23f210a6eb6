"""What a market says of its account: balances, fees, rules, state; how it is paused and asked raw things."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import Future
from decimal import Decimal
from typing import Any, Protocol

from ..model import rules
from ..model.errors import Misconfigured, OutcomeUnknown, RetryLater, UnknownInstrument
from ..model.events import Side
from ..model.instrument import Instrument
from ..model.order import Balance
from .values import (
    FeeEstimate,
    Number,
    fee_estimate,
    needed_number,
    one_balance,
    read_balances,
    read_enum,
    read_number,
)

AGAIN_S = 0.5  # after a question that got no answer
STEP_S = 0.05  # between two looks at whether an account is ready


class TradingLink(Protocol):
    """What trading needs of the mesh."""

    mesh: str

    def accounts(self, exchange: str) -> list[str]:
        """The accounts of an exchange that the mesh trades on."""

    def call(self, address: str, kind: str, body: Any, timeout_s: float) -> Any: ...
    async def call_async(self, address: str, kind: str, body: Any, timeout_s: float) -> Any: ...
    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        """Hand a message over and return at once; the future has the answer or the error."""

    def own(self, address: str, owner: str, on_death: str) -> None:
        """From now on this process says that `owner` lives, for as long as it lives itself."""


class AccountFace:
    """The account of a market, apart from its orders. Part of `Market`."""

    exchange: str
    account: str | None
    _link: Any

    def _trading_instrument(self, pair: str) -> Instrument | None:
        """The trading rules of a pair as far as this process knows them without asking."""
        return self.trading_rules.get(pair)

    # ------------------------------------------------------------------ the account

    def balances(self, timeout_s: float = 5.0) -> dict[str, Balance]:
        """Return what the account holds, by asset: as the exchange said last, less what orders in flight reserve.

        Raises:
            RetryLater: the manager is away or has not reconciled yet.
        """
        return read_balances(self._ask_account("balances", None, timeout_s))

    async def balances_async(self, timeout_s: float = 5.0) -> dict[str, Balance]:
        """`balances` for async actors."""
        return read_balances(await self._ask_async("balances", None, timeout_s))

    def balance(self, asset: str, timeout_s: float = 5.0) -> Balance:
        """Return one asset; all zero when the account has none of it."""
        return one_balance(self.balances(timeout_s), asset)

    async def balance_async(self, asset: str, timeout_s: float = 5.0) -> Balance:
        """`balance` for async actors."""
        return one_balance(await self.balances_async(timeout_s), asset)

    def available(self, asset: str, timeout_s: float = 5.0) -> Decimal:
        """Return what may be spent of an asset now: free on the exchange, less the reservations of orders in flight.

        Two strategies that both see an amount cannot both spend it: the manager reserves, one after the other.
        """
        return self.balance(asset, timeout_s).available

    async def available_async(self, asset: str, timeout_s: float = 5.0) -> Decimal:
        """`available` for async actors."""
        return (await self.balance_async(asset, timeout_s)).available

    def account_status(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """Return the account's state in words and figures: ready or why not, clock offset, guards, pauses, stream."""
        found: dict[str, Any] = self._ask_account("account", None, timeout_s)
        return found

    async def account_status_async(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """`account_status` for async actors."""
        found: dict[str, Any] = await self._ask_async("account", None, timeout_s)
        return found

    async def wait_trading(self, timeout_s: float = 60.0) -> None:
        """Return when the account is reconciled and takes orders.

        Raises:
            RetryLater: it does not within `timeout_s`; the reason says what it is doing.
        """
        deadline, said = time.monotonic() + timeout_s, "its order manager is away"
        while (left := deadline - time.monotonic()) > 0:
            try:
                status = await self.account_status_async(min(left, 5.0))
            except RetryLater as error:
                said = str(error)
            else:
                if status["ready"]:
                    return
                said = f"{status['state']}: {status.get('error') or 'not reconciled yet'}"
            await asyncio.sleep(min(STEP_S, max(0.0, left)))
        raise RetryLater(1.0, f"{self.exchange} {self.account} takes no orders after {timeout_s:g} s: {said}")

    def get_fee(
        self,
        pair: str,
        amount: Number | None = None,
        price: Number | None = None,
        *,
        is_maker: bool = False,
        side: Side | str = Side.BUY,
        timeout_s: float = 10.0,
    ) -> FeeEstimate:
        """Return what an order would cost: the exchange's rate for this account, an override, or its default schedule.

        An estimate: discounts in a fee token are not in it. What was really paid is in the fills.
        """
        return fee_estimate(self._ask_account("fees", {"pair": pair}, timeout_s), pair, amount, price, is_maker, side)

    async def get_fee_async(
        self,
        pair: str,
        amount: Number | None = None,
        price: Number | None = None,
        *,
        is_maker: bool = False,
        side: Side | str = Side.BUY,
        timeout_s: float = 10.0,
    ) -> FeeEstimate:
        """`get_fee` for async actors."""
        return fee_estimate(
            await self._ask_async("fees", {"pair": pair}, timeout_s), pair, amount, price, is_maker, side
        )

    # ------------------------------------------------------------------ trading rules

    @property
    def trading_rules(self) -> dict[str, Instrument]:
        """The trading rules of the tracked pairs. Reads local memory; kept current by the mesh."""
        found: dict[str, Instrument] = self._link.tracked(self.exchange)
        return found

    def quantize_price(self, pair: str, price: Number, side: Side | str | None = None) -> Decimal:
        """Return `price` on the exchange's grid, never dearer for its side. Raises RuleViolation, UnknownInstrument."""
        chosen = None if side is None else read_enum(Side, "side", side)
        return rules.quantize_price(self._rules_of(pair), needed_number("price", price), chosen)

    def quantize_amount(self, pair: str, amount: Number, *, market: bool = False) -> Decimal:
        """Return the largest amount on the exchange's grid that is not above `amount`; it may be zero."""
        return rules.quantize_amount(self._rules_of(pair), needed_number("amount", amount), market=market)

    def price_increment(self, pair: str, price: Number | None = None) -> Decimal:
        """Return the step of prices, near `price` where the exchange's depends on it."""
        return rules.price_increment(self._rules_of(pair), read_number("price", price))

    def size_increment(self, pair: str, size: Number | None = None) -> Decimal:
        """Return the step of amounts, near `size` where the exchange's depends on it."""
        return rules.size_increment(self._rules_of(pair), read_number("size", size))

    def _rules_of(self, pair: str) -> Instrument:
        found = self._trading_instrument(pair)
        if found is None:
            raise UnknownInstrument(self.exchange, pair, "the mesh does not track it, so its rules are not known here")
        return found

    # ------------------------------------------------------------------ stopping, and what is not modelled

    def pause(self, pair: str | None = None, reason: str = "asked", timeout_s: float = 10.0) -> None:
        """Refuse new orders on this account, or on one pair of it, durably; open orders stay, cancels work. Idempotent.

        Raises:
            RetryLater: the manager is away; nothing changed.
            OutcomeUnknown: not answered; do it again.
        """
        self._command("pause", {"scope": pair or "account", "reason": reason}, timeout_s, "pause")

    def resume(self, pair: str | None = None, timeout_s: float = 10.0) -> None:
        """Take new orders again. Idempotent. Raises as `pause`."""
        self._command("resume", {"scope": pair or "account"}, timeout_s, "resume")

    async def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        signed: bool = True,
        timeout_s: float = 15.0,
    ) -> tuple[int, Any]:
        """Send any request of the exchange's interface, rate-limited and signed by the account; return status and JSON.

        Sent once; what may change something is journaled before. Orders placed this way are external to the mesh: seen,
        marked, not managed, and neither guards nor pauses stand before them.

        Raises:
            RetryLater: provably not executed.
            OutcomeUnknown: no answer; what it was for may have happened.
            Misconfigured: no such path, or the key may not.
        """
        own = secrets.token_hex(12)  # a manager's successor that gets it again does not send it again
        body = {"method": method, "path": path, "params": dict(params or {}), "signed": signed, "id": own}
        answer = await self._command_async("request", body, timeout_s, f"{method} {path}")
        return answer["status"], answer["body"]

    # ------------------------------------------------------------------ inside

    @property
    def _address(self) -> str:
        if self.account is None:
            known = self._link.accounts(self.exchange)
            said = f"name one of {', '.join(known)}" if known else "the mesh's configuration gives it none"
            raise Misconfigured(f"market {self.exchange}", f"no account: {said}")
        return f"orders/{self.exchange}/{self.account}"

    @property
    def stream_address(self) -> str:
        """Address of the role that carries this account's user stream. Raises Misconfigured: no account."""
        return "stream" + self._address.removeprefix("orders")

    async def ask_link(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        """Ask any role of the mesh, by address: for tools. Raises what the role raises, RetryLater, OutcomeUnknown."""
        return await self._link.call_async(address, kind, body, timeout_s)

    def _ask_account(self, kind: str, body: Any, timeout_s: float) -> Any:
        """Ask something that changes nothing: an outcome that is unknown only means to ask again."""
        try:
            return self._link.call(self._address, kind, body, timeout_s)
        except OutcomeUnknown as error:
            raise RetryLater(AGAIN_S, str(error)) from error

    async def _ask_async(self, kind: str, body: Any, timeout_s: float) -> Any:
        try:
            return await self._link.call_async(self._address, kind, body, timeout_s)
        except OutcomeUnknown as error:
            raise RetryLater(AGAIN_S, str(error)) from error

    def _command(self, kind: str, body: Any, timeout_s: float, what: str) -> Any:
        try:
            return self._link.call(self._address, kind, body, timeout_s)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(what, error.reason) from error

    async def _command_async(self, kind: str, body: Any, timeout_s: float, what: str) -> Any:
        try:
            return await self._link.call_async(self._address, kind, body, timeout_s)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(what, error.reason) from error
