"""Checks of a configuration against its exchanges, before `venuemesh up` starts anything.

What cannot heal stops the start at once: a host that does not exist or refuses connections, a server that is not the
exchange, a pair that is not listed, a key that is refused. What may heal is named, and the mesh waits for it: an
exchange that does not answer in time, or answers that it is overloaded or in maintenance. The checks run on this
machine, so they leave out exchanges that are bound to nodes with labels.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..config.accounts import AccountTable
from ..config.mesh import ExchangeTable, MeshConfig
from ..connectors.market_codec import Codec, DialedByRequest
from ..connectors.settings import ConnectorSettings
from ..connectors.transport import Rest
from ..connectors.transport.proxy import proxy_for
from ..connectors.transport.tunnel import system_reason
from ..keystore.key import Key
from ..keystore.secrets import read_key_async
from ..model.errors import (
    DecodeError,
    InboxFull,
    JournalUnavailable,
    MeshError,
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    UnknownInstrument,
)
from ..model.spelling import similar_pairs
from .connect import OFFSET_SAMPLES, VALIDITY_MS, measure_clock
from .export import journal_of
from .output import Say

SAY_S = 2.0  # until the exchanges that have not answered are named
GIVE_UP_S = 5.0  # until the mesh is started without their answers
MAY_HEAL = (RetryLater, OutcomeUnknown, InboxFull)
PORTS = {"ws": 80, "wss": 443}


def check_exchanges(config: MeshConfig, say: Say) -> None:
    """Ask every exchange for its pairs, its websockets for a connection, and each account's key for its account.

    Raises:
        RetryLater: a host cannot be reached.
        UnknownInstrument: an exchange does not list a configured pair.
        Misconfigured: an exchange refuses a key, a key's file cannot be read, or a server is not the exchange.
    """
    asked = {name: table for name, table in config.exchanges.items() if not table.nodes}
    if asked:
        say(f"asking {', '.join(asked)} for pairs and accounts")
        asyncio.run(_check_all(asked, say))


def check_journal_here(config: MeshConfig, say: Say) -> None:
    """Check the journal if it is a file of this host. What may heal is named, and the mesh waits for it.

    Raises:
        JournalRewound: the journal is missing, another one, or an older copy.
        Misconfigured: it is damaged, or cannot be used.
        AccountHeld: another mesh trades on an account by it.
    """
    accounts = [(name, account) for name, table in config.exchanges.items() for account in table.accounts]
    if not accounts or not config.journal.is_sqlite:
        return
    from ..actors.orders.account_journal import check_journal  # slow to import, and a mesh without accounts has none

    try:
        check_journal(config.journal.settings(journal_of(config.mesh.name)), accounts, say)
    except JournalUnavailable as error:
        say(f"the journal cannot be read now, and the mesh waits for it: {error.reason}")


async def _check_all(asked: dict[str, ExchangeTable], say: Say) -> None:
    tasks = {asyncio.ensure_future(_Check(name, table, say).run()): name for name, table in asked.items()}
    try:
        done, late = await asyncio.wait(tasks, timeout=SAY_S, return_when=asyncio.FIRST_EXCEPTION)
        if late and not any(task.exception() for task in done):
            say(f"waiting for {', '.join(tasks[task] for task in late)}, at most {GIVE_UP_S:g} s")
            done, late = await asyncio.wait(tasks, timeout=GIVE_UP_S - SAY_S, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task in done:
                task.result()
        for task in late:
            say(f"{tasks[task]} has not answered within {GIVE_UP_S:g} s; the mesh waits for it")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Check:
    """The check of one exchange."""

    def __init__(self, name: str, table: ExchangeTable, say: Say) -> None:
        self._name, self._table, self._say = name, table, say
        self._settings: ConnectorSettings = table.connector_settings(name)
        self._codec: Codec = self._settings.market_codec()
        self._keys: dict[str, Key] = {}

    async def run(self) -> None:
        for account, table in self._table.accounts.items():
            try:
                self._keys[account] = await read_key_async(table.key, self._settings.connector)
            except Misconfigured as error:
                raise Misconfigured(self._place(f"accounts.{account}"), str(error)) from error
        rest = Rest(timeout_s=GIVE_UP_S)
        try:
            await self._pairs(rest)
            for key, url in self._sockets():
                await self._reach(key, url)
            for account, table in self._table.accounts.items():
                await self._account(rest, account, table)
        except MAY_HEAL as error:
            self._say(f"{self._name} does not serve now, and the mesh waits for it: {error}")
        except Unreachable as error:
            raise RetryLater(GIVE_UP_S, str(error)) from error
        finally:
            await rest.close()

    async def _pairs(self, rest: Rest) -> None:
        request = self._codec.instruments_request()
        try:
            answer = await rest.send(request)
        except RetryLater as error:
            raise self._unreachable("rest", error.reason) from error
        failure = self._codec.failure(answer)
        if isinstance(failure, MAY_HEAL):
            raise failure
        try:
            if failure is not None:
                raise failure
            listed = {instrument.name for instrument in self._codec.instruments(answer.body)}
        except MeshError as unread:
            reason = f"{request.url} does not answer as {self._settings.connector} (status {answer.status}): {unread}"
            raise Misconfigured(self._place("rest"), f"{reason}; {self._remedy('rest')}") from unread
        for pair in self._table.pairs:
            if pair not in listed and not any(sign in pair for sign in "*?"):
                reason = f"{self._place('pairs')} names a pair that the exchange does not list"
                raise UnknownInstrument(self._name, pair, reason, similar_pairs(pair, listed))

    def _sockets(self) -> Iterator[tuple[str, str]]:
        """Yield key and URL of the websockets that the exchange's actors open, where they are known in advance."""
        if not isinstance(self._codec, DialedByRequest):
            yield "ws", self._codec.ws_url()
        if self._table.books == "orders":
            yield "ws_l3", self._settings.order_level_codec().ws_url()
        if self._table.ws_api is not None:
            yield "ws_api", self._table.ws_api

    async def _reach(self, key: str, url: str) -> None:
        """Open a TCP connection to the host of a URL, if that host is known."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or proxy_for(url) is not None or parts.hostname is None:
            return  # a proxy leads there, or ccxt chooses the address
        try:
            async with asyncio.timeout(GIVE_UP_S):
                _, writer = await asyncio.open_connection(parts.hostname, parts.port or PORTS[parts.scheme])
        except TimeoutError:
            raise RetryLater(GIVE_UP_S, f"{url} has not accepted a connection within {GIVE_UP_S:g} s") from None
        except OSError as error:
            raise self._unreachable(key, f"{url} cannot be reached: {system_reason(error)}") from error
        writer.close()

    async def _account(self, rest: Rest, account: str, table: AccountTable) -> None:
        """Request the account once, signed with the exchange's time."""
        place = self._place(f"accounts.{account}")
        key = self._keys[account]
        try:
            trading = self._settings.order_codec()
            auth = self._settings.find_trading().auth(key.kind, key.api_key, key.secret, **key.fields)
            offset = await measure_clock(self._codec, rest, OFFSET_SAMPLES)
            now_ns = time.time_ns() + (0 if offset is None else offset[0])
            signed = auth.sign(trading.account(), "up", now_ns, VALIDITY_MS)
            if signed.request is None:
                return
            report = trading.reply(signed, await rest.send(signed.request)).account
        except (Misconfigured, Rejected, DecodeError) as error:
            file = table.secret_file or (f"entry {table.keys!r} of the keystore" if table.keys else "the key")
            raise Misconfigured(place, f"{error}; check {file}, and that the key is of this exchange") from error
        if report is not None and not report.can_trade:
            self._say(f"{place}: the exchange does not let this key trade; its orders will be refused")

    def _unreachable(self, key: str, reason: str) -> Unreachable:
        return Unreachable(f"{self._place(key)}: {reason}; {self._remedy(key)}")

    def _place(self, key: str) -> str:
        return f"exchanges.{self._name}.{key}"

    def _remedy(self, key: str) -> str:
        if getattr(self._table, key) is None:
            return "check the network of this machine, or the proxy that it needs (HTTPS_PROXY)"
        return f"correct {self._place(key)} if the host or port is wrong, or start what shall listen there"


class Unreachable(Exception):
    """A host does not exist, or refuses connections."""
