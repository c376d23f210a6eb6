"""The durable record of trading: orders, fills, requests, numbered events, and the epoch that fences writers.

Theory of operation. An account has one row. A manager that takes the account writes a new epoch into this row. In one
transaction, each commit checks the epoch under the row's lock (SQLite: BEGIN IMMEDIATE; PostgreSQL: SELECT FOR UPDATE),
writes, and numbers the events from that row; it is durable when it returns. So an older writer is refused and writes
nothing, and event numbers have neither gaps nor repetitions. Many batches may share one transaction and one fsync. A
batch has an id; a batch that was committed before is answered with its numbers and not applied again. So a caller that
does not know whether a commit succeeded may repeat it.

A `Journal` is synchronous and for one thread at a time; `committer.Committer` makes it usable from asyncio. After
`JournalUnavailable` the same object works again as soon as the database does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, func, select, update

from ..model.address import orders_address
from ..model.errors import AccountHeld, EventsRewound, EventsTrimmed, Fenced, JournalMissing, JournalRewound
from ..model.failpoint import reach
from ..model.order import AccountEvent, EventType, Fill, Order
from ..model.time import SECOND_NS
from . import queries, schema
from .apply import Changes, put_new, statements
from .database import Database
from .migrate import is_current, migrate, version
from .prepared import Transaction
from .records import Filter, JournaledRequest, Loaded, Page, Standing, Transition, Trimmed
from .trim import trim
from .writes import Batch, PutEvent

T = TypeVar("T")
WAIT_S = 5.0
HELD_NS = 10 * SECOND_NS
"""For so long after its last `PutSeen` a mesh holds an account against other meshes."""
_EVERYTHING = Filter()
Key = tuple[str, str, int]
"""Exchange, account, epoch."""
Counters = tuple[int, int, int]
"""Of an account: its id in the database, the next event's number, the number of committed batches."""


class _Repeated(Exception):
    """A batch was committed before; its transaction must not be committed."""


def _standing(row: Any) -> Standing:
    return Standing(row.lineage, row.epoch, row.next_event, row.batches)


class Journal:
    """An open journal, made by `Journal.open`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._statements = statements("sqlite" if database.is_sqlite else "postgresql")
        self._seen: tuple[Key, Counters] | None = None  # as the last commit of this object left them
        self._known: tuple[Key, Counters] | None = None  # the same, also after a failed commit: the row is not behind

    @classmethod
    def open(cls, url: str, wait_s: float = WAIT_S, create: bool = True) -> Journal:
        """Open a journal and return it; create it (unless told not to) or bring its tables up to date.

        `url` is `sqlite:////path` (on a local disk: network file systems break SQLite's locks) or
        `postgresql://user:password@host/database`. `wait_s`: longest wait for a lock or a connection.

        Raises:
            JournalMissing: there is none, and none may be created.
            Misconfigured: a malformed URL, a missing driver, a file that is not an intact journal, or tables newer than
            this code. The error shows no password.
            JournalUnavailable: the database cannot be reached or written now.
        """
        database = Database(url, wait_s)
        database.prepare_file(create)
        try:
            if not database.run(is_current, write=False):
                if not create and database.run(version, write=False) is None:
                    raise JournalMissing(database.name, "contains no journal")
                database.run(lambda connection: migrate(connection, database.name), write=True)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def another(self) -> Journal:
        """Return the same journal with another connection, for another thread."""
        database = Database(self.database.url.render_as_string(hide_password=False), self.database.wait_s)
        return Journal(database)

    @property
    def is_sqlite(self) -> bool:
        """Whether the journal is a file, so that its writers must run on the file's node."""
        return self.database.is_sqlite

    @property
    def name(self) -> str:
        """The file, or the URL without its password."""
        return self.database.name

    def close(self) -> None:
        """Close the connection. Idempotent; a later call reopens it."""
        self.database.close()

    # ------------------------------------------------------------------ writing

    def take(
        self,
        exchange: str,
        account: str,
        holder: str,
        now_ns: int,
        *,
        mesh: str = "",
        known: Standing | None = None,
        stale_ns: int | None = None,
    ) -> int:
        """Take the account and return the new epoch; commits under older epochs raise `Fenced` from now on. Durable.

        `holder` names the manager, `mesh` its mesh, the same for all managers of the mesh. `known` is what is known of
        the account's record from elsewhere; None: nothing, and only then may the journal be without the account.
        `stale_ns`: a mesh that stated at this time that it holds the account is dead: it has not stated it again.

        Raises:
            JournalRewound: the journal lacks something of `known`.
            AccountHeld: another mesh stated less than `HELD_NS` ago that it holds the account.
            JournalUnavailable: not taken, or unknown. Call `take` again.
        """
        named = {"of_exchange": exchange, "of_account": account}
        of = schema.accounts

        def work(connection: Connection) -> int:
            new = put_new(connection.dialect.name, of, ("exchange", "account"))
            empty = {"epoch": 0, "holder": "", "taken_ns": now_ns, "next_event": 1, "batches": 0}
            connection.execute(new, {"exchange": exchange, "account": account, **empty})
            row = connection.execute(queries.LOCKED_TAKEN, named).one()
            if known is not None and (lacks := _standing(row).behind(known)) is not None:
                raise JournalRewound(self.name, lacks)
            is_held = row.mesh not in ("", mesh) and row.seen_ns and now_ns - row.seen_ns < HELD_NS
            if mesh and is_held and row.seen_ns != stale_ns:
                since_s = max(0.0, (now_ns - row.seen_ns) / SECOND_NS)
                reason = f"it stated so {since_s:.0f} s ago, in the journal {self.name}"
                raise AccountHeld(f"account {exchange}/{account}", row.mesh, row.seen_ns, reason)
            taken = {"epoch": row.epoch + 1, "holder": holder, "taken_ns": now_ns}
            taken |= {"lineage": row.lineage or secrets.token_hex(8), "mesh": mesh, "seen_ns": now_ns}
            connection.execute(update(of).where(of.c.id == row.id).values(**taken))
            return int(row.epoch) + 1

        return self.database.run(work, write=True)

    def renew(self, reason: str, now_ns: int) -> list[tuple[str, str]]:
        """Begin a new lineage for every account, with an event of type RESTORED that gives the reason; return the
        accounts.

        For a journal that is not the continuation of the one before it. All managers are fenced. Repeating it does no
        harm.

        Raises:
            JournalUnavailable: part of the accounts may be done. Call `renew` again.
        """
        accounts = self.accounts()
        for exchange, account in accounts:
            epoch = self.take(exchange, account, "renewed", now_ns)
            restored = AccountEvent(0, EventType.RESTORED, exchange, account, now_ns, reason=reason)
            self.commit(exchange, account, epoch, [Batch(f"{epoch}-renewed", (PutEvent(restored),))])

        def work(connection: Connection) -> None:
            for exchange, account in accounts:
                row = queries.account_row(connection, exchange, account, lock=True)
                fresh = {"lineage": secrets.token_hex(8), "mesh": "", "seen_ns": 0}
                connection.execute(update(schema.accounts).where(schema.accounts.c.id == row.id).values(**fresh))

        self.database.run(work, write=True)
        return accounts

    def held(self, now_ns: int) -> list[tuple[str, str, int]]:
        """Return the accounts that a mesh holds now: account, mesh, and when the mesh stated so last (ns)."""
        of = schema.accounts.c
        chosen = select(of.exchange, of.account, of.mesh, of.seen_ns).where(
            of.mesh != "", of.seen_ns > now_ns - HELD_NS
        )
        found = self._read(lambda connection: connection.execute(chosen).all())
        return [(f"{row.exchange}/{row.account}", row.mesh, row.seen_ns) for row in found]

    def reached(self, exchange: str, account: str, lineage: str) -> Standing | None:
        """Return how far this object's own commits have brought the record, without asking the database."""
        if self._known is None or self._known[0][:2] != (exchange, account):
            return None
        (_, _, epoch), (_, next_event, batches) = self._known
        return Standing(lineage, epoch, next_event, batches)

    def standing(self, exchange: str, account: str) -> Standing | None:
        """Return how far the account's record has come; None for an account that was never taken."""
        named = {"of_exchange": exchange, "of_account": account}
        row = self._read(lambda connection: connection.execute(queries.TAKEN, named).first())
        return None if row is None else _standing(row)

    def commit(
        self,
        exchange: str,
        account: str,
        epoch: int,
        batches: Sequence[Batch],
        flushing: Callable[[], None] | None = None,
    ) -> list[list[int]]:
        """Apply the batches in one transaction; return the numbers of each batch's events. Durable on return.

        Idempotent: a batch whose id was committed before returns its original numbers. `flushing` is called when the
        writes are executed, and only the database's own commit is left; again if the connection is lost then.

        Raises:
            Fenced: a newer epoch took the account. Nothing was written, now or later.
            JournalRewound: the journal lacks an earlier commit of this object, because an older copy replaced it.
            JournalUnavailable: not written, or unknown after a lost connection or a failed fsync: repeat the same
            batches, or load.
            Misconfigured: the journal is damaged, or a write is of another account. Nothing was written.
        """

        key, seen = (exchange, account, epoch), None
        if self._seen is not None and self._seen[0] == key:
            seen = self._seen[1]
        self._seen = None  # a failed commit leaves nothing known

        def work(transaction: Transaction) -> tuple[list[list[int]], Counters]:
            done = None if seen is None else self._next(transaction, key, seen, batches)
            if done is None:
                done = self._careful(transaction, key, batches)
            if flushing is not None:
                flushing()
            return done

        try:
            numbers, after = self.database.commit(work)
        except _Repeated:
            numbers, after = self.database.commit(lambda transaction: self._careful(transaction, key, batches))
        self._seen = self._known = key, after
        return numbers

    def _next(
        self, transaction: Transaction, key: Key, seen: Counters, batches: Sequence[Batch]
    ) -> tuple[list[list[int]], Counters] | None:
        """Commit behind the last commit of this object; None if another writer committed in the meantime.

        One update under the row's lock checks the fence and that nothing came in between, so no batch of another id
        was committed, and no select is needed.

        Raises:
            _Repeated: a batch was committed before.
        """
        if len({batch.id for batch in batches}) < len(batches):
            return None
        exchange, account, epoch = key
        account_id, next_event, count = seen
        changes = Changes(exchange, account, account_id, epoch, next_event)
        numbers = [changes.add(batch.writes) for batch in batches]
        after = account_id, changes.next_event, count + len(batches)
        moved = {
            "of_account": account_id,
            "of_epoch": epoch,
            "was_next": next_event,
            "was_batches": count,
            "next_event": changes.next_event,
            "batches": after[2],
        }
        reach("journal.write")
        if transaction.write(self._statements.advance, [moved]) != 1:
            return None
        changes.flush(transaction, self._statements)
        made = {batch.id: given for batch, given in zip(batches, numbers, strict=True)}
        if self._remember(transaction, account_id, count, made) < len(made):
            raise _Repeated
        return numbers, after

    def _careful(
        self, transaction: Transaction, key: Key, batches: Sequence[Batch]
    ) -> tuple[list[list[int]], Counters]:
        """Commit after reading the account's counters, and which batches were committed before."""
        exchange, account, epoch = key
        statements, named = self._statements, {"of_exchange": exchange, "of_account": account}
        account_id, seen, next_event, count = next(iter(transaction.read(statements.account, named)), (0, 0, 1, 0))
        if seen > epoch:
            raise Fenced(orders_address(exchange, account), (epoch, 0), (seen, 0))
        had_next, had_count = self._known[1][1:] if self._known is not None and self._known[0] == key else (1, 0)
        lacks = Standing("", seen, next_event, count).behind(Standing("", epoch, had_next, had_count))
        if lacks is not None:
            raise JournalRewound(self.name, lacks)
        done = self._done(transaction, account_id, [batch.id for batch in batches])
        changes = Changes(exchange, account, account_id, epoch, next_event)
        numbers, made = [], {}
        for batch in batches:
            if batch.id not in done:
                made[batch.id] = done[batch.id] = changes.add(batch.writes)
            numbers.append(done[batch.id])
        after = account_id, changes.next_event, count + len(made)
        if made:
            changes.flush(transaction, statements)
            self._remember(transaction, account_id, count, made)
            reach("journal.write")
            moved = {"of_account": account_id, "next_event": changes.next_event, "batches": after[2]}
            transaction.write(statements.counters, [moved])
        return numbers, after

    def checkpoint(self) -> None:
        """Move the records of SQLite's log that no reader needs into the file, so that no commit has to. Commits
        continue meanwhile, on other connections.

        Raises:
            JournalUnavailable: the file cannot be written; the log keeps what it has.
        """
        self.database.checkpoint()

    def trim(self, exchange: str, account: str, before_ns: int, keep_events: int | None = None) -> Trimmed:
        """Delete records that ended before `before_ns`, and all but the newest `keep_events` events, in small
        transactions.

        Never deletes open orders, orders that an unresolved request names, their fills and transitions, or unresolved
        requests. Needs no epoch; commits continue between its transactions. Idempotent.

        Raises:
            JournalUnavailable: part of the work may be done.
        """
        return trim(self.database, exchange, account, before_ns, keep_events)

    # ------------------------------------------------------------------ reading

    def load(self, exchange: str, account: str) -> Loaded:
        """Return the open state that a manager starts from, as of one moment.

        The cost depends on the open state, not on the history.
        """
        return self._read(lambda connection: queries.load(connection, exchange, account))

    def order(self, exchange: str, account: str, client_order_id: str) -> Order | None:
        """Return an order by our id, or None."""
        return self._one_order(queries.ORDER_BY_ID, exchange, account, {"of_id": client_order_id})

    def order_by_exchange_id(self, exchange: str, account: str, pair: str, exchange_order_id: str) -> Order | None:
        """Return an order by the exchange's id, which is unique within its pair, or None."""
        named = {"of_pair": pair, "of_id": exchange_order_id}
        return self._one_order(queries.ORDER_BY_EXCHANGE_ID, exchange, account, named)

    def is_tombstone(self, exchange: str, account: str, client_order_id: str) -> bool:
        """Return whether this client order id has a tombstone."""
        of = schema.tombstones.c

        def work(connection: Connection) -> bool:
            row = queries.account_row(connection, exchange, account)
            where = (of.account_id == (row.id if row else None), of.client_order_id == client_order_id)
            return bool(queries.rows(connection, schema.tombstones, *where))

        return self._read(work)

    def highest_id(self, exchange: str, account: str, begin: str) -> str:
        """Return the alphabetically last id of orders and tombstones with the prefix `begin`; "" if there is none.

        `begin` and the ids are of [0-9a-z].
        """
        last = begin + "z" * 40

        def work(connection: Connection) -> str:
            row = queries.account_row(connection, exchange, account)
            found = ""
            for table in (schema.orders, schema.tombstones):
                of = table.c
                where = (of.account_id == (row.id if row else None), of.client_order_id.between(begin, last))
                found = max(
                    found, connection.execute(select(func.max(of.client_order_id)).where(*where)).scalar() or ""
                )
            return found

        return self._read(work)

    def request(self, exchange: str, account: str, request_id: str) -> JournaledRequest | None:
        """Return a journaled request, resolved or not; None if the journal does not have it."""
        of = schema.requests.c

        def work(connection: Connection) -> JournaledRequest | None:
            row = queries.account_row(connection, exchange, account)
            where = (of.account_id == (row.id if row else None), of.request_id == request_id)
            found = queries.rows(connection, schema.requests, *where)
            return queries.request_of(found[0]) if found else None

        return self._read(work)

    def requests(self, exchange: str, account: str, kind: str, since_ns: int) -> list[JournaledRequest]:
        """Return the requests of one kind that are unresolved or were resolved since a time, oldest first."""

        def work(connection: Connection) -> list[JournaledRequest]:
            row = queries.account_row(connection, exchange, account)
            return [] if row is None else queries.requests(connection, row.id, kind, since_ns)

        return self._read(work)

    def transitions(self, exchange: str, account: str, client_order_id: str) -> list[Transition]:
        """Return the history of one order's status, oldest first."""

        def work(connection: Connection) -> list[Transition]:
            row = queries.account_row(connection, exchange, account)
            return [] if row is None else queries.transitions(connection, row.id, client_order_id)

        return self._read(work)

    def orders(
        self,
        chosen: Filter = _EVERYTHING,
        after: int = 0,
        limit: int = 1000,
        *,
        newest: bool = False,
        before: int | None = None,
    ) -> Page[Order]:
        """Return orders, oldest first, after the page whose `next` was `after`; or the `newest`, before that page."""

        def work(connection: Connection) -> Page[Order]:
            found, more = queries.page(connection, queries.ORDERS, chosen, after, limit, newest, before)
            return Page([queries.order_of(row) for row in found], more)

        return self._read(work)

    def fills(
        self,
        chosen: Filter = _EVERYTHING,
        after: int = 0,
        limit: int = 1000,
        *,
        newest: bool = False,
        before: int | None = None,
    ) -> Page[Fill]:
        """Return fills, in the order of recording, after the page whose `next` was `after`; or the `newest`, before
        that page."""

        def work(connection: Connection) -> Page[Fill]:
            found, more = queries.page(connection, queries.FILLS, chosen, after, limit, newest, before)
            return Page([queries.fill_of(row) for row in found], more)

        return self._read(work)

    def events(self, exchange: str, account: str, after: int, limit: int = 1000) -> list[AccountEvent]:
        """Return up to `limit` events, numbered from `after` + 1; empty if there are none yet.

        Raises:
            EventsTrimmed: event `after` + 1 was deleted. `first` is the oldest kept event.
            EventsRewound: there is no event `after`.
        """
        chosen = Filter(exchange=exchange, account=account)

        def work(connection: Connection) -> list[AccountEvent]:
            row = queries.account_row(connection, exchange, account)
            if row is None:
                return []
            if after >= row.next_event:
                raise EventsRewound(after, row.next_event - 1, f"there is no event {after} in {self.name}")
            found, _ = queries.page(connection, queries.EVENTS, chosen, after, limit)
            if after + 1 < row.next_event and (not found or found[0]["number"] != after + 1):
                raise EventsTrimmed(queries.first_event(connection, row.id, row.next_event))
            return [queries.event_of(row) for row in found]

        return self._read(work)

    def event_range(self, exchange: str, account: str) -> tuple[int, int]:
        """Return the number of the first kept event and the next number; equal if no event is kept."""

        def work(connection: Connection) -> tuple[int, int]:
            row = queries.account_row(connection, exchange, account)
            if row is None:
                return 1, 1
            return queries.first_event(connection, row.id, row.next_event), row.next_event

        return self._read(work)

    def accounts(self) -> list[tuple[str, str]]:
        """Return (exchange, account) of every account that was ever taken."""
        return self._read(queries.accounts)

    def pairs(self) -> list[str]:
        """Return every trading pair that has an order or a fill."""
        return self._read(queries.pairs)

    def rows(self, listing: queries.Listing, chosen: Filter, after: int, limit: int) -> tuple[list[Any], int | None]:
        """Return a page of a listing of `queries` as rows of the table, for `export`."""
        return self._read(lambda connection: queries.page(connection, listing, chosen, after, limit))

    def _one_order(self, statement: Select[Any], exchange: str, account: str, named: dict[str, str]) -> Order | None:
        def work(connection: Connection) -> Order | None:
            found = connection.execute(statement, {"of_exchange": exchange, "of_account": account, **named})
            row = found.mappings().first()
            return None if row is None else queries.order_of(row)

        return self._read(work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        return self.database.run(work, write=False)

    def _done(self, transaction: Transaction, account_id: int, ids: list[str]) -> dict[str, list[int]]:
        """Return those of the batches that were committed before, with their event numbers."""
        if not ids:
            return {}
        found = transaction.among(self._statements.done, {"of_account": account_id}, ids)
        return {name: list(range(first, first + events)) for name, first, events in found}

    def _remember(self, transaction: Transaction, account_id: int, count: int, batches: dict[str, list[int]]) -> int:
        """Record the batches, and delete the oldest at intervals. Return how many of them were not recorded before."""
        rows = [
            {
                "account_id": account_id,
                "id": name,
                "number": number,
                "first_event": numbers[0] if numbers else 0,
                "events": len(numbers),
            }
            for number, (name, numbers) in enumerate(batches.items(), count + 1)
        ]
        after = count + len(rows)
        reach("journal.write")
        new = transaction.write(self._statements.batch, rows)
        if after // 64 != count // 64:
            old = {"of_account": account_id, "last": after - schema.BATCHES_KEPT}
            transaction.write(self._statements.old_batches, [old])
        return new
