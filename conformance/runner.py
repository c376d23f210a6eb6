"""Run a suite's checks one by one without pytest, for the command line, and load their samples."""

from __future__ import annotations

import importlib.util
import inspect
import time
import unittest
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..connectors.market_codec import Connector
from ..connectors.samples import MarketDataSamples
from ..model.errors import Misconfigured
from .market.checks import MarketDataConformance


class Outcome(Enum):
    """The outcome of one check."""

    PASSED = "ok"
    SKIPPED = "skipped"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Result:
    """One check: its name, its title, and why it failed or was skipped."""

    name: str
    title: str
    outcome: Outcome
    reason: str
    seconds: float


def checks(suite: type) -> list[tuple[str, str]]:
    """Names and titles of a suite's checks, in the order of their definition."""
    methods = [
        (name, value) for base in reversed(suite.__mro__) for name, value in vars(base).items() if name[:5] == "test_"
    ]
    return [(name, (inspect.getdoc(method) or name).splitlines()[0]) for name, method in dict(methods).items()]


def run_checks(suite: type) -> Iterator[Result]:
    """Run every check of a suite and yield each result at once. A check that raises any exception has failed.

    The suite's `setup_class` runs before the first check, `teardown_class` after the last; their exceptions propagate.
    """
    set_up, take_down = getattr(suite, "setup_class", None), getattr(suite, "teardown_class", None)
    if set_up is not None:
        set_up()
    try:
        yield from _run(suite)
    finally:
        if take_down is not None:
            take_down()


def _run(suite: type) -> Iterator[Result]:
    for name, title in checks(suite):
        began = time.perf_counter()
        outcome, reason = Outcome.PASSED, ""
        try:
            check = getattr(suite(), name)
            if inspect.iscoroutinefunction(check):
                raise TypeError(f"{name} is a coroutine, which no loop runs: decorate it as the suite's own checks")
            check()
        except unittest.SkipTest as skipped:
            outcome, reason = Outcome.SKIPPED, str(skipped)
        except Exception as error:  # any error of a connector is a result here
            outcome = Outcome.FAILED
            reason = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        yield Result(name, title, outcome, reason, time.perf_counter() - began)


def suite_of(connector: Connector, samples: MarketDataSamples) -> type[MarketDataConformance]:
    """The suite for one connector."""
    return type(f"Test{connector.name}", (MarketDataConformance,), {"connector": connector, "samples": samples})


def samples_of(connector: Connector, file: Path | None) -> MarketDataSamples | None:
    """Return the SAMPLES of a Python file; without a file, the connector's samples, or None if it has no samples.

    Raises:
        Misconfigured: the file cannot be run, or defines no SAMPLES.
    """
    if file is None:
        own = getattr(connector, "samples", None)
        return own() if own is not None else None
    spec = importlib.util.spec_from_file_location("_venuemesh_samples", file)
    if spec is None or spec.loader is None:
        raise Misconfigured(str(file), "is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # any error of the file
        raise Misconfigured(str(file), f"cannot be run: {type(error).__name__}: {error}") from error
    found = getattr(module, "SAMPLES", None)
    if not isinstance(found, MarketDataSamples):
        raise Misconfigured(str(file), "defines no SAMPLES of type MarketDataSamples")
    return found
