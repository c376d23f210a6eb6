"""The settings of an order manager and of the machine that decides for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from ...connectors.spec import Limit
from ...journal.settings import JournalSettings
from ...model.errors import Misconfigured
from ..account.settings import GatewaySettings

CANCELLING_S = 20.0  # time to cancel open orders during a stop; an order in doubt takes its validity window
POLITE_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Guards of an account or of one pair; None: no such limit.

    `price_band` is a fraction: a buy price may not be above best ask x (1 + band), a sell price not below best bid x
    (1 - band). `max_order_notional` is in the pair's quote asset. `market_wait_s`: a MARKET order that could not be
    sent so long after its caller asked for it is refused, because it would trade at another market than its caller saw.
    """

    max_open_orders: int | None = None
    max_order_notional: Decimal | None = None
    price_band: Decimal | None = None
    market_wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """The settings of the machine of one account. Times in seconds."""

    exchange: str
    account: str
    prefix: str = "vm"  # prefix of this mesh's client order ids; an order with another prefix is external
    limits: Limits = Limits()
    pair_limits: Mapping[str, Limits] = field(default_factory=dict)
    margin_s: float = 1.0  # added to the exchange's own processing time before absence counts
    absent_again_s: float = 0.5  # between the two asks that prove absence
    query_s: tuple[float, float] = (0.25, 5.0)  # of an order in doubt: first and longest pause between asks
    reconcile_s: tuple[float, float] = (5.0, 60.0)  # between rounds: with a doubt or without the stream; otherwise
    report_s: float = 1.0  # pause before the query after an acknowledgement without an outcome
    balances_s: float = 0.5  # from a change to the request for balances, if the stream does not state them
    fee_s: float = 1.0  # pause before the fills of an order are requested because a fee is missing
    retry_s: float = 1.0  # pause before a failed ask, or a cancel that was not served, is repeated
    market_slack: Decimal = Decimal("0.02")  # a market buy reserves best ask x (1 + slack or band) x amount
    top_age_s: float = 30.0  # a top older than this counts as unknown
    owner_grace_s: float = 30.0  # lease of an owner after a restart, until the owner renews it
    max_recent: int = 10_000  # done orders that are kept in memory
    max_external: int = 1_000
    max_owners: int = 1_000  # beyond it, dead owners without open orders are forgotten
    max_waiting: int = 1_000  # commands that wait for start or a lookup
    max_unknown_reports: int = 1_000  # reports of ids that are being looked up
    max_backlog: int = 10_000  # batches kept while the journal is down
    clock_slack_s: float = 60.0  # an id made this long after the start cannot be in the journal already
    unknown_orders: Literal["adopt", "external"] = "adopt"  # orders of ours that the journal does not know


@dataclass(frozen=True, slots=True)
class OrderManagerSettings:
    """The settings of one account's order manager.

    `fees` that are set replace the exchange's own; `account_limits` replace the spec's limits of that name;
    `processing_s` replaces the value of the connector's offer. `dead_man_s`: the exchange cancels all orders of the
    account when the manager is silent for this time.
    """

    gateway: GatewaySettings
    machine: OrderSettings
    journal: JournalSettings
    send_by: Literal["rest", "websocket"] = "rest"
    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None
    account_limits: Mapping[str, Limit] = field(default_factory=dict)
    on_shutdown: Literal["keep", "cancel"] = "keep"
    processing_s: float | None = None
    dead_man_s: int | None = None

    def __post_init__(self) -> None:
        """Raises Misconfigured: machine and gateway belong to different exchanges."""
        if self.machine.exchange != self.gateway.connector.exchange:
            raise Misconfigured(
                f"orders of {self.machine.account}",
                f"the machine belongs to {self.machine.exchange}, the gateway to {self.gateway.connector.exchange}",
            )

    @property
    def stop_s(self) -> float:
        """The time limit of an orderly stop."""
        return CANCELLING_S if self.on_shutdown == "cancel" else POLITE_S
