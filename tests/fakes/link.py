"""`market.Link` without a mesh: the test gives the answers, and the link records the requests."""

from __future__ import annotations

from concurrent.futures import Future


def future_of(answer):
    """A future with this result, or with this error."""
    future = Future()
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
    return future


class FakeLink:
    """A mesh with one exchange, `acme`.

    `answers[kind]` is a value, an error, or a list of both that are returned one by one. `asked` has the messages with
    an answer; `handed` has the messages without an answer, each with its future.
    """

    mesh = "fake"

    def __init__(self, instruments=(), accounts=(), directory=None):
        self.held = {instrument.name: instrument for instrument in instruments}
        self.names, self.directory = list(accounts), directory
        self.answers, self.asked, self.handed, self.owned, self.running = {}, [], [], [], []

    def __reduce__(self):
        return FakeLink, (tuple(self.held.values()), tuple(self.names), self.directory)

    def exchanges(self):
        return ["acme"]

    def accounts(self, exchange):
        return self.names

    def tracked(self, exchange):
        return dict(self.held)

    def view(self, kind, address, instrument):
        return kind(self.directory, instrument, address)

    def own(self, address, owner, on_death):
        self.owned.append((address, owner, on_death))

    def submit(self, address, kind, body, timeout_s):
        if kind not in self.answers:
            future = Future()
            self.handed.append((address, kind, body, future))
            return future
        self.asked.append((address, kind, body))
        answer = self.answers[kind]
        return future_of(answer.pop(0) if isinstance(answer, list) else answer)

    def network(self, exchange, running, timeout_s):
        self.running.append((exchange, running))
        return future_of(None)
