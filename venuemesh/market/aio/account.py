"""The account itself: balances, fees, trading rules, state; pausing it, and raw requests. Part of `AsyncMarket`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ...model import rules
from ...model.address import Address, stream_address
from ...model.arguments import read_side
from ...model.errors import RetryLater
from ...model.events import Side
from ...model.instrument import Instrument
from ...model.order import Balance
from ...orderbook.view.waits import AsyncWaits
from ..values import (
    Asked,
    FeeEstimate,
    fee_estimate,
    needed_question,
    question,
    read_balances,
    zero_balance,
)
from .room import AsyncRoom

STEP_S = 0.05  # between two checks whether an account is ready


class AsyncAccount(AsyncRoom):
    """The account's balances, fees, rules and state."""

    # ------------------------------------------------------------------ the account

    async def balances(self, timeout_s: float = 5.0) -> dict[str, Balance]:
        """Return the balances by asset: the exchange's last report, less the reservations of orders in flight.

        Raises:
            RetryLater: the manager is away or has not reconciled yet.
        """
        return read_balances(await self._ask("balances", None, timeout_s))

    async def balance(self, asset: str, timeout_s: float = 5.0) -> Balance:
        """Return the balance of one asset; all zero if the account has none."""
        return (await self.balances(timeout_s)).get(asset) or zero_balance(asset)

    async def available(self, asset: str, timeout_s: float = 5.0) -> Decimal:
        """Return the amount of an asset that may be spent now: free on the exchange, less the orders in flight.

        Two strategies that see the same amount cannot both spend it: the manager reserves for each in turn.
        """
        return (await self.balance(asset, timeout_s)).available

    async def account_status(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """Return the account's state: whether it is ready and why not, clock offset, guards, pauses, stream."""
        found: dict[str, Any] = await self._ask("account", None, timeout_s)
        return found

    async def wait_trading(self, timeout_s: float = 60.0) -> None:
        """Wait until the account is reconciled and takes orders.

        Raises:
            RetryLater: not within `timeout_s`; the reason describes the account's state.
        """
        deadline, reason = time.monotonic() + timeout_s, "its order manager is away"
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                status = await self.account_status(min(left_s, 5.0))
            except RetryLater as error:
                reason = str(error)
            else:
                if status["ready"]:
                    return
                reason = f"{status['state']}: {status.get('error') or 'not reconciled yet'}"
            await AsyncWaits.sleep(min(STEP_S, max(0.0, left_s)))
        raise RetryLater(1.0, f"{self.exchange} {self.account} takes no orders after {timeout_s:g} s: {reason}")

    async def get_fee(
        self,
        pair: str,
        amount: Asked | None = None,
        price: Asked | None = None,
        *,
        is_maker: bool = False,
        side: Side | str = Side.BUY,
        timeout_s: float = 10.0,
    ) -> FeeEstimate:
        """Return the fee of an order: the exchange's rate for this account, an override, or the published schedule.

        The fee is an estimate, without discounts for paying in a fee token. Fills have the paid fees.
        """
        return fee_estimate(await self._ask("fees", {"pair": pair}, timeout_s), pair, amount, price, is_maker, side)

    # ------------------------------------------------------------------ trading rules

    @property
    def trading_rules(self) -> dict[str, Instrument]:
        """The trading rules of the tracked pairs, from local memory. The mesh keeps them current."""
        return self._state.instruments

    def quantize_price(self, pair: str, price: Asked, side: Side | str | None = None) -> Decimal:
        """Return `price`, which may be a float, on the grid: rounded down, or up for a sell.

        Raises RuleViolation, UnknownInstrument.
        """
        chosen = None if side is None else read_side(side)
        return rules.quantize_price(self._rules(pair), needed_question("price", price), chosen)

    def quantize_amount(self, pair: str, amount: Asked, *, market: bool = False) -> Decimal:
        """Return the largest amount on the exchange's grid that is not above `amount`, a float or exact; maybe zero."""
        return rules.quantize_amount(self._rules(pair), needed_question("amount", amount), market=market)

    def price_increment(self, pair: str, price: Asked | None = None) -> Decimal:
        """Return the step of prices, near `price` where the exchange's step depends on the price."""
        return rules.price_increment(self._rules(pair), question("price", price))

    def size_increment(self, pair: str, size: Asked | None = None) -> Decimal:
        """Return the step of amounts, near `size` where the exchange's step depends on the amount."""
        return rules.size_increment(self._rules(pair), question("size", size))

    def _rules(self, pair: str) -> Instrument:
        reason = "the mesh does not track it, so its rules are not known; track it first"
        return self._state.instrument(pair, reason)

    # ------------------------------------------------------------------ pauses and raw requests

    async def pause(self, pair: str | None = None, reason: str = "asked", timeout_s: float = 10.0) -> None:
        """Refuse new orders on this account, or on one pair, durably; open orders stay, cancels work. Idempotent.

        Raises:
            RetryLater: the manager is away; nothing changed.
            OutcomeUnknown: no answer; call it again.
        """
        await self._command("pause", {"scope": pair or "account", "reason": reason}, timeout_s, "pause")

    async def resume(self, pair: str | None = None, timeout_s: float = 10.0) -> None:
        """Accept new orders again. Idempotent. Raises as `pause`."""
        await self._command("resume", {"scope": pair or "account"}, timeout_s, "resume")

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

        The request is sent once; if it may change something, it is journaled before. Orders placed this way are
        external to the mesh: shown and marked, but not managed; guards do not check them and pauses do not stop them.

        Raises:
            RetryLater: provably not executed.
            OutcomeUnknown: no answer; the exchange may have executed it.
            Misconfigured: no such path, or the key has no permission.
        """
        own = secrets.token_hex(12)  # by this id the manager's successor does not send the request again
        body = {"method": method, "path": path, "params": dict(params or {}), "signed": signed, "id": own}
        answer = await self._command("request", body, timeout_s, f"{method} {path}")
        return answer["status"], answer["body"]

    @property
    def stream_address(self) -> str:
        """Return the address of this account's user stream. Raises Misconfigured: no account."""
        manager = Address.parse(self._state.orders_address)
        return stream_address(manager.exchange, manager.name)
