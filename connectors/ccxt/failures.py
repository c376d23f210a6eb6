"""The errors of ccxt, by the classes of its hierarchy (ccxt/base/errors.py, 4.5.90), as typed errors of the mesh."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..failures import ErrorBody, Failures, coded, extractor
from ..order_codec import Refusal
from ..reading import rows, text

CODES = coded(
    {
        Refusal.NOT_THERE: "OrderNotFound",
        Refusal.NO_PAIR: "BadSymbol",
        Refusal.DUPLICATE: "DuplicateOrderId",
        Refusal.CLOCK: "InvalidNonce",
        Refusal.KEY: "AuthenticationError PermissionDenied AccountNotEnabled AccountSuspended",
        Refusal.BUSY: "RateLimitExceeded DDoSProtection OnMaintenance",
        Refusal.UNKNOWN: "RequestTimeout NetworkError BadResponse NullResponse",
        Refusal.REJECTED: (
            "ExchangeError InsufficientFunds InvalidOrder OrderNotFillable OrderNotCached OrderImmediatelyFillable "
            "ContractUnavailable BadRequest ArgumentsRequired NotSupported OperationRejected NoChange MarketClosed "
            "InvalidAddress InvalidProxySettings ManualInteractionNeeded RestrictedLocation"
        ),
    }
)


def _error(body: Any) -> ErrorBody | None:
    """Read the body of `session.error_body`: the code is the most specific class that the table knows."""
    if not isinstance(body, dict) or "error" not in body:
        return None
    kinds = [text(kind) for kind in rows(body["error"])]
    return ErrorBody(next((kind for kind in kinds if kind in CODES), kinds[0]), text(body["reason"]))


FAILURES = Failures(extractor(_error), CODES, waits_s={429: 10.0})
WITH_NONCES = replace(FAILURES, codes={**CODES, "InvalidNonce": Refusal.NONCE})  # of exchanges with rising nonces
