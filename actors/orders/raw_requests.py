"""Requests to the exchange that the machine does not decide: a user's own, and reads for other roles of the account.

They use the manager's key, nonces and rate budget. A user's request that changes something is journaled before it is
sent, so it is sent once per id, and a fenced manager never sends it.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import orjson

from ...connectors.order_codec import Draft, Kind, Signed
from ...journal.writes import CloseRequest
from ...model.errors import InboxFull, JournalUnavailable, MeshError, OutcomeUnknown, Rejected, UnknownOrder
from ...model.http import HttpResponse
from ...model.order import CancelResult, OrderStatus
from .machine.state import intent
from .queries import needed_text, text
from .shell import ManagerShell

TEXT_MAX = 1 << 20


class RawRequests:
    """Sends raw requests of one account; see `role` for the messages."""

    def __init__(self, shell: ManagerShell) -> None:
        self._shell = shell

    async def request(self, body: Any) -> dict[str, Any]:
        """Send a user's request; return its status and body.

        Raises:
            OutcomeUnknown: a request with this id was sent before, or the exchange gave no answer.
            Rejected: the message is malformed.
        """
        shell, params = self._shell, body.get("params") or {}
        if not isinstance(params, dict):
            raise Rejected("bad_request", "params must be a table")
        await shell.loaded()
        pairs = [(str(name), str(value)) for name, value in params.items()]
        method, path, own = needed_text(body, "method").upper(), needed_text(body, "path"), text(body, "id")
        draft = shell.gateway.codec.raw(method, path, pairs, bool(body.get("signed", True)))
        name = f"raw-{own or shell.ids()}"
        if draft.changes and own is not None and await self._was_sent(name):
            raise OutcomeUnknown(
                f"{method} {path}", "a request with this id was sent already, and its outcome is unknown"
            )
        _, response, _ = await self._sent(draft, name)
        return {"status": response.status, "body": _body(response.body)}

    async def cancel_external(self, body: Any) -> dict[str, Any]:
        """Cancel one open order that was placed outside the mesh; return the result. Reports change the order's state.

        Raises:
            UnknownOrder: the account has no such external order.
            RetryLater, OutcomeUnknown: the request was not sent, or the exchange gave no answer.
        """
        shell, name = self._shell, needed_text(body, "id")
        await shell.loaded(is_cancel=True)
        order = next((one for one in shell.machine.externals() if one.client_order_id == name), None)
        if order is None:
            raise UnknownOrder(name)
        if order.is_done:
            return CancelResult(name, True, order.status).to_dict()
        codec, request_id = shell.gateway.codec, shell.ids()
        draft = codec.cancel(replace(order, client_order_id=request_id), shell.markets.instrument(order.pair))
        signed, response, journaled = await self._sent(draft, f"raw-{request_id}", is_cancel=True)
        try:
            codec.reply(signed, response)
        except Rejected as error:
            refused = CancelResult(name, False, order.status, str(error.code), str(error.reason), journaled)
            return refused.to_dict()
        return CancelResult(name, True, OrderStatus.CANCELED, journaled=journaled).to_dict()

    async def _sent(self, draft: Draft, name: str, *, is_cancel: bool = False) -> tuple[Signed, HttpResponse, bool]:
        """Sign and send a request; journal it first, if it changes something. No order of the mesh depends on it.

        Return whether it is journaled: a cancel is sent without the journal while that cannot be written.
        """
        shell, gateway, journaled = self._shell, self._shell.gateway, draft.changes
        await shell.allowance.take(draft.cost, draft.order_count)
        signed = gateway.sign_rest(draft, name)
        try:
            if draft.changes:  # this write also fences: it fails for an earlier manager of the account
                raw = replace(signed, draft=replace(draft, kind=Kind.RAW))
                try:
                    if is_cancel and shell.is_journal_down:
                        raise JournalUnavailable(1.0, "the journal cannot be written")
                    await shell.write(intent(raw, (), shell.context.time_ns()))
                except (JournalUnavailable, InboxFull):
                    if not is_cancel:
                        raise
                    journaled = False
                    shell.unjournaled += 1
            response = await gateway.write(signed)
        finally:
            gateway.give_up(signed)
        shell.allowance.answered(response, draft.cost)
        if journaled and response.status < 500:
            with contextlib.suppress(MeshError):  # return the answer, even if the journal did not accept it
                outcome = "accepted" if response.status == 200 else "rejected"
                await shell.write([CloseRequest(name, outcome, shell.context.time_ns())])
        return signed, response, journaled

    async def signed_read(self, body: Any) -> dict[str, Any]:
        """Sign and send a read for a role that must not sign; return the whole answer. Raises Rejected."""
        shell = self._shell
        await shell.loaded()
        kind, params = Kind(needed_text(body, "kind")), body.get("params") or []
        if kind.changes or kind is Kind.RAW:
            raise Rejected("bad_request", f"{kind.value} is not a read")
        codec = shell.gateway.codec
        draft = codec.raw(needed_text(body, "method"), needed_text(body, "path"), [tuple(row) for row in params], True)
        response = await shell.gateway.relay(replace(draft, kind=kind), bool(body.get("urgent")))
        return {
            "status": response.status,
            "headers": dict(response.headers),
            "body": response.body,
            "sent_ns": response.sent_ns,
        }

    async def _was_sent(self, name: str) -> bool:
        shell = self._shell
        found = await shell.read(lambda journal: journal.request(shell.exchange, shell.account, name))
        return found is not None


def _body(raw: bytes) -> Any:
    """Return the body as plain values if it is JSON, else as text."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw[:TEXT_MAX].decode(errors="replace")
