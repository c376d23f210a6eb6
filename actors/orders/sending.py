"""Sends the signed requests of the machine and gives it their results.

    commit submitted -> only the disk is waited for: `prepare`, on an open connection -> durable: `send` -> result

A request for orders whose rate budget was taken before (`prepaid`) may be prepared: after its commit only its bytes are
written. Any other takes its budget first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from ...connectors.order_codec import CANCELS, Ends, Reply, Signed
from ...model.errors import DecodeError, InboxFull, MeshError, OutcomeUnknown, Rejected, RetryLater
from ...model.failpoint import reach
from ..account.gateway import Gateway
from ..limits.allowance import Allowance
from .timings import ANSWERED, COMMITTED, WRITTEN, Timings

PREPARED_MAX = 8  # requests that wait for their commit on an open connection


class Sending:
    """The requests of one account; see the module.

    `spawn` runs a task of the shell. `written` is called with the id of a request when its bytes are written, and with
    their end; `answered` with its id and its result.
    """

    def __init__(
        self,
        gateway: Gateway,
        allowance: Allowance,
        timings: Timings,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        written: Callable[[str, Ends], None],
        answered: Callable[[str, Reply | MeshError], None],
    ) -> None:
        self._gateway, self._allowance, self._timings, self._spawn = gateway, allowance, timings, spawn
        self._written, self._answered = written, answered
        self.prepaid: set[str] = set()  # orders whose rate budget was taken before they were signed
        self.under_way: set[asyncio.Task[None]] = set()
        self._prepared: dict[str, tuple[asyncio.Future[None], asyncio.Task[None]]] = {}  # by request id

    def can_prepare(self, signed: Signed) -> bool:
        return not self.prepaid.isdisjoint(signed.draft.orders) and self._gateway.can_prepare(signed)

    def prepare(self, signed: Signed) -> None:
        """Prepare a request on an open connection while its intent is flushed; `send` releases it."""
        if len(self._prepared) < PREPARED_MAX:
            release: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._prepared[signed.request_id] = release, self._spawn(self._send(signed, release))

    def send(self, signed: Signed) -> None:
        """Send a request whose intent is durable."""
        self._timings.reached(COMMITTED, signed.draft.orders)
        prepared = self._prepared.pop(signed.request_id, None)
        if prepared is None:
            sending = self._spawn(self._send(signed))
        else:
            release, sending = prepared
            release.set_result(None)
        self.under_way.add(sending)
        sending.add_done_callback(self.under_way.discard)

    def drop(self, signed: Signed) -> None:
        """Forget a request that must not be sent, because its intent is not durable."""
        prepared = self._prepared.pop(signed.request_id, None)
        if prepared is not None:
            prepared[0].cancel()
        self._gateway.give_up(signed)

    async def _send(self, signed: Signed, release: asyncio.Future[None] | None = None) -> None:
        """Send a request and tell its result; with `release`, only once that future is done."""
        result = await self._result(signed, release)
        if release is not None:
            await release  # it is not done if the request failed while it was prepared
        reach("request.result")
        self._answered(signed.request_id, result)

    async def _result(self, signed: Signed, release: asyncio.Future[None] | None) -> Reply | MeshError:
        gateway, draft = self._gateway, signed.draft
        try:
            if self.prepaid.isdisjoint(draft.orders):
                try:
                    await gateway.count(draft)
                    await self._allowance.take(
                        draft.cost, draft.order_count, gateway.validity_ms / 1000, is_cancel=draft.kind in CANCELS
                    )
                except (InboxFull, OutcomeUnknown) as error:  # from the limits role: nothing was sent
                    raise RetryLater(1.0, str(error)) from error
            self.prepaid.difference_update(draft.orders)
            response = await gateway.write(signed, partial(self._note_written, signed), release)
            self._timings.reached(ANSWERED, draft.orders)
            self._allowance.answered(response, draft.cost)
            return gateway.codec.reply(signed, response)
        except DecodeError as error:
            return OutcomeUnknown(draft.kind.value, str(error))
        except Rejected as error:
            gateway.refused(error)
            return error
        except MeshError as error:
            return error
        finally:
            gateway.give_up(signed)

    def _note_written(self, signed: Signed, ends: Ends) -> None:
        self._timings.reached(WRITTEN, signed.draft.orders)
        self._written(signed.request_id, ends)
