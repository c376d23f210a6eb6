"""The request bodies of the admin interface: one class per request, checked before anything changes."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..engine.keys import PASSPHRASE
from ..engine.rules import STATUSES
from ..faults import KINDS, MODES
from ..wire.connection import ConnectionLimits
from .refusal import Refusal

TYPES = ("LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")


class Body(BaseModel):
    """A request's body. Refuses unknown fields and values of the wrong type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class FaultBody(Body):
    kind: Literal[KINDS]  # type: ignore[valid-type]
    protocol: str | None = None
    symbol: str | None = None
    stream: str | None = None
    connection: int | None = None
    endpoint: str | None = None
    account: str | None = None
    probability: float = Field(1.0, ge=0.0, le=1.0)
    count: int | None = Field(None, ge=1)
    after: int = Field(0, ge=0)
    ms: float = Field(200.0, ge=0.0, le=3_600_000.0)
    status: int = Field(503, ge=400, le=599)
    code: int | str | None = None  # one of the protocol's `unknown_outcomes`
    asset: str | None = None
    amount: str = Field("0", pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,8})?$")
    for_ms: float | None = Field(None, gt=0.0, le=3_600_000.0)
    ids: int = Field(1, ge=1, le=1_000_000)
    mode: Literal[MODES] = "text"  # type: ignore[valid-type]
    again: bool = True
    find: str = ""
    replace: str = ""

    @field_validator("find")
    @classmethod
    def _is_expression(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value


class PauseBody(Body):
    wait_s: float = Field(0.0, ge=0.0, le=60.0)


class RateBody(Body):
    rate: float = Field(ge=0.0, le=1_000_000.0)
    symbol: str | None = None


class StepBody(Body):
    slices: int = Field(10, ge=1, le=100_000)


class SkipBody(Body):
    symbol: str
    ids: int = Field(1, ge=1, le=1_000_000)


class OrderBody(Body):
    symbol: str
    side: Literal["BUY", "SELL"]
    type: Literal[TYPES] = "LIMIT"  # type: ignore[valid-type]
    quantity: str | None = None
    quote_quantity: str | None = None
    price: str | None = None
    stop_price: str | None = None
    time_in_force: Literal["GTC", "IOC", "FOK"] = "GTC"
    account: str = "admin"
    client_order_id: str = Field("", max_length=36)
    self_trade: Literal["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"] = "EXPIRE_MAKER"


class CancelBody(Body):
    symbol: str
    order_id: int


class FillBody(Body):
    symbol: str
    order_id: int
    quantity: str | None = None


class StatusBody(Body):
    symbol: str
    status: Literal[STATUSES]  # type: ignore[valid-type]


class RulesBody(Body):
    symbol: str
    tick: str | None = None
    step: str | None = None
    min_price: str | None = None
    max_price: str | None = None
    min_size: str | None = None
    max_size: str | None = None
    min_notional: str | None = None
    maker_fee: str | None = None
    taker_fee: str | None = None
    max_notional: str | None = None
    market_min: str | None = None
    market_max: str | None = None
    market_step: str | None = None
    bid_up: str | None = None
    bid_down: str | None = None
    ask_up: str | None = None
    ask_down: str | None = None
    max_position: str | None = None
    max_orders: int | None = Field(None, ge=0)
    max_algo_orders: int | None = Field(None, ge=0)
    max_lists: int | None = Field(None, ge=0)
    max_amends: int | None = Field(None, ge=0)
    average_mins: int | None = Field(None, ge=0)
    min_applies_to_market: bool | None = None
    max_applies_to_market: bool | None = None


class ListBody(Body):
    symbol: str
    start_price: str | None = None
    levels: int | None = Field(None, ge=1, le=20_000)


class SymbolBody(Body):
    symbol: str


class AmountBody(Body):
    account: str
    asset: str = Field(pattern=r"^[^\W_a-z]{1,20}$")
    amount: str


class KeyBody(Body):
    key: str = Field(pattern=r"^[A-Za-z0-9_\-]{1,128}$")
    account: str | None = None
    secret: str | None = Field(None, min_length=1, repr=False)
    passphrase: str = Field(PASSPHRASE, min_length=1, repr=False)
    public_key: str | None = None  # PEM
    only: Literal["read", "trade"] | None = None


class AccountBody(Body):
    account: str = Field(pattern=r"^[A-Za-z0-9_\-]{1,64}$")
    key: str = Field(pattern=r"^[A-Za-z0-9_\-]{1,128}$")
    secret: str | None = Field(None, min_length=1, repr=False)
    passphrase: str = Field(PASSPHRASE, min_length=1, repr=False)
    public_key: str | None = None
    only: Literal["read", "trade"] | None = None
    balances: dict[str, str] = {}


class ExpireBody(Body):
    account: str
    key: str | None = None


class CancelAllBody(Body):
    account: str
    symbol: str | None = None


class CutBody(Body):
    connection: int | None = None
    account: str | None = None


class ClockBody(Body):
    skew_ms: float = Field(ge=-1e8, le=1e8)


class LimitsBody(Body):
    """Limits of a protocol by name; `changes` checks that the protocol has them."""

    model_config = ConfigDict(extra="allow", strict=True)

    protocol: str | None = None

    def changes(self, limits: ConnectionLimits) -> dict[str, int | float]:
        """Return the given limits, checked.

        Raises:
            Refusal: a limit that the protocol does not have, or an impossible value.
        """
        known = {field.name: field for field in fields(limits)}
        given = dict(self.model_extra or {})
        for name, value in given.items():
            field = known.get(name)
            if field is None:
                raise Refusal(name, f"no such limit; the limits are {', '.join(known)}")
            numbers = (int, float) if isinstance(field.default, float) else (int,)
            least = field.metadata.get("least", 0)
            if isinstance(value, bool) or not isinstance(value, numbers) or not value >= least:
                kind = "a number" if float in numbers else "a whole number"
                raise Refusal(name, f"must be {kind} of at least {least}")
        return given


class Nothing(Body):
    pass
