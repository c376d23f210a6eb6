"""Checks of what a connector declares: options, limits, costs, names, scales, requests, subscriptions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ...actors.book.shell import CONFIRM_S
from ...connectors.market_codec import DialedByRequest, SnapshotKey
from ...model.errors import FixedPointError, MeshError
from ...model.fixed import decimals, to_decimal
from ...model.http import HttpRequest
from ...model.instrument import Instrument, scale_for
from .suite import Suite, expect, skip

REST_HERE, WS_HERE = "http://127.0.0.1:18080", "ws://127.0.0.1:18081"


class Described(Suite):
    """Data and requests."""

    def test_the_spec_is_complete(self) -> None:
        """The spec names hosts, endpoints with their manual pages, limits, and what a connection may carry."""
        spec = self.connector.spec
        expect(self.connector.name == spec.exchange, f"name {self.connector.name!r} is not spec {spec.exchange!r}")
        expect(urlsplit(spec.rest).scheme in ("http", "https"), f"spec.rest {spec.rest!r} is no http URL")
        expect(urlsplit(spec.ws).scheme in ("ws", "wss"), f"spec.ws {spec.ws!r} is no websocket URL")
        for name in ("instruments", "snapshot"):
            expect(name in spec.endpoints, f"spec.endpoints lacks {name!r}")
        for name, endpoint in spec.endpoints.items():
            expect(bool(endpoint.source), f"endpoint {name!r} does not say which manual page its figures are from")
            expect(endpoint.path.startswith("/"), f"endpoint {name!r}: path {endpoint.path!r} does not begin with /")
        for name, limit in spec.limits.items():
            expect(limit.amount > 0 and limit.per_s > 0, f"limit {name!r} allows nothing: {limit}")
            expect(limit.scope in ("egress", "connection"), f"limit {name!r}: scope {limit.scope!r}")
        expect(
            "connections" in spec.limits and spec.limits["connections"].scope == "egress",
            "spec.limits lacks 'connections' of scope 'egress': attempts to connect are paced by it",
        )
        for header, name in spec.used_headers.items():
            expect(name in spec.limits, f"used_headers: {header!r} reports {name!r}, which is no limit of the spec")
            expect(header == header.lower(), f"used_headers: {header!r} is not in lower case")
        expect(spec.silence_s > 0, "spec.silence_s is not positive")
        expect(spec.max_connection_s > spec.silence_s, "spec.max_connection_s is not longer than silence_s")
        expect(
            0 < spec.streams_per_instrument <= spec.max_streams,
            f"{spec.streams_per_instrument} streams an instrument, {spec.max_streams} a connection: none fits",
        )
        expect(bool(spec.example_pairs), "spec.example_pairs is empty: `venuemesh connect` has nothing to try")
        for pair in spec.example_pairs:
            expect(pair.count("-") == 1, f"example pair {pair!r} is not BASE-QUOTE")

    def test_options_are_declared(self) -> None:
        """Each option has a default that it takes, and the codec takes each of its values by keyword."""
        spec = self.connector.spec
        names = [option.name for option in spec.options]
        expect(len(set(names)) == len(names), f"an option is declared twice: {names}")
        for option in spec.options:
            what = f"option {option.name!r}"
            expect(option.name.isidentifier(), f"{what} cannot be a keyword")
            expect(bool(option.words), f"{what} does not say what it does")
            expect(option.market or option.orders, f"{what} is for neither of the codecs")
            values = [option.default, *option.choices]
            values += [bound for bound in (option.least, option.most) if bound is not None]
            for value in values:
                expect(option.problem(value) is None, f"{what} refuses its own {value!r}: {option.problem(value)}")
                if option.market:
                    self._takes(option.name, value)

    def _takes(self, name: str, value: Any) -> None:
        try:
            self.codec(**{name: value})
        except (TypeError, MeshError) as error:
            raise AssertionError(f"codec({name}={value!r}) raises {error!r}, and the spec declares it") from error

    def test_snapshots_have_a_size(self) -> None:
        """The codec says how many levels a snapshot is asked for, and the exchange has as many."""
        most, limit = self.connector.spec.max_snapshot, self.codec().snapshot_limit
        expect(type(limit) is int and 1 <= limit <= most, f"codec.snapshot_limit is {limit!r}, not within 1 and {most}")

    def test_costs_name_declared_limits(self) -> None:
        """Every request costs something of a declared limit that can be granted at all."""
        spec, codec, instrument = self.connector.spec, self.codec(), self.instrument()
        for name, endpoint in spec.endpoints.items():
            self._payable(f"endpoint {name!r}", endpoint.cost)
            for up_to, cost in endpoint.cost_by_size:
                expect(bool(endpoint.cost), f"endpoint {name!r} has cost_by_size and no cost to override")
                self._payable(f"endpoint {name!r} up to {up_to}", ((endpoint.cost[0][0], cost),))
            sizes = [up_to for up_to, _ in endpoint.cost_by_size]
            expect(sizes == sorted(sizes), f"endpoint {name!r}: cost_by_size is not ascending: {sizes}")
        requests: list[HttpRequest | None] = [
            codec.instruments_request(),
            codec.tickers_request(),
            codec.time_request(),
        ]
        requests += [codec.snapshot_request(instrument, size) for size in (1, 5, 20, 100, 1000, spec.max_snapshot)]
        if isinstance(codec, DialedByRequest):
            requests.append(codec.dial_request())
        for request in requests:
            if request is not None:
                self._payable(f"{request.method} {request.url}", request.cost)

    def _payable(self, what: str, cost: tuple[tuple[str, int], ...]) -> None:
        limits = self.connector.spec.limits
        expect(bool(cost), f"{what} costs nothing: the rate budget would not see it")
        for name, amount in cost:
            expect(name in limits, f"{what} spends {name!r}, which is no limit of the spec ({', '.join(limits)})")
            expect(limits[name].scope == "egress", f"{what} spends {name!r}, which is a connection's, not an egress's")
            expect(type(amount) is int and amount >= 0, f"{what} spends {amount!r} of {name!r}: not a whole number")
            most = limits[name].amount
            expect(amount <= most, f"{what} spends {amount} of {name!r}, of which a window holds {most}")

    def test_names_map_both_ways(self) -> None:
        """Every listed pair has one name BASE-QUOTE and one symbol, and they map both ways."""
        listed = self.listed()
        expect(bool(listed), "the sample list gives no instrument")
        for one in listed:
            expect(one.exchange == self.connector.spec.exchange, f"{one.name} says it is of {one.exchange!r}")
            expect(
                one.name == f"{one.base}-{one.quote}", f"{one.name!r} is not base and quote: {one.base}, {one.quote}"
            )
            expect(bool(one.base and one.quote and one.symbol), f"{one} has an empty name")
            expect(Instrument.from_dict(one.to_dict()) == one, f"{one.name} does not survive to_dict/from_dict")
        by_name = {one.name: one.symbol for one in listed}
        by_symbol = {one.symbol: one.name for one in listed}
        expect(len(by_name) == len(listed), "two instruments have one name")
        expect(len(by_symbol) == len(listed), "two instruments have one symbol")
        for name, symbol in self.samples.symbols.items():
            found = by_name.get(name)
            expect(found == symbol, f"{name} should be {symbol!r} at the exchange; instruments() says {found!r}")
        trading = self.instrument().is_trading
        expect(trading, f"{self.samples.pair} is not TRADING in the sample list; the story needs a pair that trades")

    def test_scales_hold_the_wire(self) -> None:
        """Scales hold what the exchange writes, not merely its tick, and every rule is exact at them."""
        spec = self.connector.spec
        wire = 0 if spec.decimals_by_pair else spec.wire_decimals
        for one in self.listed():
            for what, scale, increment, largest, least in (
                ("price", one.price_scale, one.price_increment, one.max_price, one.min_price),
                ("size", one.size_scale, one.size_increment, one.max_size, one.min_size),
            ):
                expect(0 <= scale <= 18, f"{one.name}: {what} scale {scale} is not within 0 to 18")
                wanted = scale_for(wire, increment, largest)
                expect(
                    scale >= wanted,
                    f"{one.name}: {what} scale {scale} loses digits: the wire has {wire} decimals, {wanted} fit int64",
                )
                for rule in (increment, largest, least):
                    if rule is None:
                        continue
                    expect(decimals(rule) <= scale, f"{one.name}: {what} rule {rule} needs more than {scale} decimals")
                    try:
                        raw = one.price_raw(rule) if what == "price" else one.size_raw(rule)
                    except FixedPointError as error:
                        raise AssertionError(f"{one.name}: {what} rule {rule} does not fit: {error}") from error
                    expect(to_decimal(raw, scale) == rule, f"{one.name}: {what} rule {rule} is not exact")

    def test_requests_go_to_the_base_url_and_are_recognised(self) -> None:
        """Base URLs can be overridden, and the codec knows its own requests again in a recording."""
        instrument = self.instrument()
        codec = self.codec(rest=REST_HERE, ws=WS_HERE)
        here = [codec.instruments_request(), codec.snapshot_request(instrument, 100), codec.tickers_request()]
        for request in here:
            expect(request.url.startswith(f"{REST_HERE}/"), f"{request.url} ignores rest={REST_HERE}")
        expect(codec.ws_url().startswith(WS_HERE), f"{codec.ws_url()} ignores ws={WS_HERE}")
        default = self.codec()
        expect(default.ws_url().startswith(self.connector.spec.ws), f"{default.ws_url()} is not at spec.ws")
        for made in (codec, default):
            made.bind([instrument])
            url = made.instruments_request().url
            expect(made.recognise(url) == "instruments", f"recognise({url!r}) is {made.recognise(url)!r}")
            for limit in (5, self.connector.spec.max_snapshot, self.connector.spec.max_snapshot + 1):
                url = made.snapshot_request(instrument, limit).url
                key = SnapshotKey(instrument.symbol, min(limit, self.connector.spec.max_snapshot))
                expect(made.recognise(url) == key, f"recognise({url!r}) is {made.recognise(url)!r}, not {key}")
        for url in ("", "not a url", "https://elsewhere.test/", f"{REST_HERE}/nobody/knows?symbol=X"):
            expect(default.recognise(url) is None, f"recognise({url!r}) is {default.recognise(url)!r}, not None")

    def test_subscriptions_fit_a_connection(self) -> None:
        """A full connection's subscriptions name every pair, carry their ids and can be sent in time."""
        spec, codec, instrument = self.connector.spec, self.codec(), self.instrument()
        for ask in (codec.subscribe, codec.unsubscribe):
            what = ask.__name__
            one = ask([instrument], 4711)
            expect(bool(one), f"{what} of one instrument gives no message")
            named = any(instrument.symbol.lower() in message.frame.decode().lower() for message in one)
            expect(named, f"{what} of {instrument.name} does not name {instrument.symbol!r}")
            expect(ask([instrument], 4711) == one, f"{what} gives another message for the same arguments")
            most = spec.max_streams // spec.streams_per_instrument
            full = ask([instrument] * most, 4711)
            keys = [expected.key for message in full for expected in message.expects]
            expect(ask == codec.unsubscribe or bool(keys), f"{what}: nothing that the exchange answers is expected")
            for number, message in enumerate(full):
                for expected in message.expects:
                    key = expected.key
                    if type(key) is int:
                        carried = str(key) in message.frame.decode() and key == 4711 + number
                        expect(carried, f"{what}: message {number} does not carry the id {key}, or it is not its turn")
                    wrong = set(expected.symbols) - {instrument.symbol}
                    expect(bool(expected.symbols), f"{what}: the answer {key!r} confirms no pair")
                    expect(not wrong, f"{what} of {instrument.name} confirms {sorted(wrong)}")
            pace = spec.limits.get("messages")
            if pace is not None:
                needs_s = (len(full) - 1) * pace.per_s / max(1, pace.amount - 2)
                expect(
                    needs_s < CONFIRM_S,
                    f"{what} of {most} instruments is {len(full)} messages: {needs_s:.0f} s at {pace.amount} per "
                    f"{pace.per_s:g} s, and a subscription lapses after {CONFIRM_S:g} s; put more streams in a message",
                )

    def test_the_clock_of_the_exchange_is_read(self) -> None:
        """The server's time comes out in nanoseconds since the Unix epoch."""
        if self.samples.server_time is None:
            expect(self.codec().time_request() is None, "there is a time_request, and no sample of its answer")
            skip("the exchange says no time")
        body, time_ns = self.samples.server_time
        found = self.codec().server_time(body)
        expect(found == time_ns, f"server_time reads {found}, the sample says {time_ns}")
