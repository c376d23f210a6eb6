"""The local exchange in a separate process, for tests: started on free ports, ended by its id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from venuemesh.exchange.admin.client import AdminClient

NO_LIMITS = {"weight": 10**9, "raw_requests": 10**9, "connections": 10**6, "messages": 10**6}


class ExchangeProcess:
    """Starts the exchange and returns when it serves. `rest`, `ws`, `ws_api` and `admin` are its URLs.

    `without_limits` removes the rate limits, for tests that send more than an exchange would allow.
    """

    def __init__(self, *arguments: str, without_limits: bool = False) -> None:
        command = [sys.executable, "-m", "venuemesh.exchange", "--json", "--parent", str(os.getpid()), *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the local exchange ended with {self._process.wait()}: {' '.join(command)}")
        urls: dict[str, Any] = json.loads(line)
        self.rest: str = urls["binance"]["rest"]
        self.ws: str = urls["binance"]["ws"]
        self.ws_api: str = urls["binance"]["ws_api"]
        self.protocols: dict[str, dict[str, str]] = urls["protocols"]
        self.admin = AdminClient(urls["admin"])
        if without_limits:
            self.admin.limits(**NO_LIMITS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """End the process in an orderly way, and by force after ten seconds."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
