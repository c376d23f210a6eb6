"""`Market` for sync code, `AsyncMarket` for async code. See the package for the rule that both follow.

They are small and picklable, and have no connection. Books and trades are read from the shared-memory
segments of the strategy's node: no Ray call, no lock, about a microsecond. A request to the exchange on demand is one
call to the exchange's catalog actor; orders go to the account's order manager.

A blocking method of `Market` on a thread that runs an event loop, such as a method of a Ray async actor, raises
`Misconfigured` before anything is sent, because it would stop that loop. IPython and Jupyter are the exception: a cell
may block there. `buy`, `sell`, `cancel` and reads of memory work everywhere.
"""

from __future__ import annotations

from functools import cached_property

from .aio.account import AsyncAccount
from .aio.orders import AsyncOrders
from .aio.queues import AsyncQueues
from .sync.account import Account
from .sync.orders import Orders
from .sync.queues import Queues


class AsyncMarket(AsyncQueues, AsyncOrders, AsyncAccount):
    """One exchange of a running mesh, for async code: calls that wait for another process are awaited.

    Get it from `AsyncMesh.market(exchange)` or as `market.aio`; pass it to any task or actor: it pickles.

    `account`: None takes the exchange's only account; without an account the market is for reading. `owner` names the
        strategy on
    every order it places; when the last process that placed orders as this owner dies, the orders are kept or cancelled
    according to `on_death`.
    """


class Market(Queues, Orders, Account):
    """One exchange of a running mesh, for sync code: calls that wait for another process block.

    Get it from `Mesh.market(exchange)`; pass it to any task or actor: it pickles. `account`, `owner` and `on_death` as
    in `AsyncMarket`.
    """

    @cached_property
    def aio(self) -> AsyncMarket:
        """This market for async code, with the same account, owner, order ids and orders on their way."""
        return AsyncMarket.with_state(self._state)
