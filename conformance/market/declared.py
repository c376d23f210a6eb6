"""Checks of a connector's declarations: options, limits, costs, names, scales, requests, subscriptions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ...actors.book.shell import CONFIRM_S
from ...connectors.market_codec import DialedByRequest, SnapshotKey
from ...model.errors import FixedPointError, MeshError
from ...model.fixed import decimals, to_decimal
from ...model.http import HttpRequest
from ...model.instrument import Instrument, scale_for
from ...model.time import SECOND_NS
from .suite import Suite, expect, skip

LOCAL_REST, LOCAL_WS = "http://127.0.0.1:18080", "ws://127.0.0.1:18081"


class Described(Suite):
    """Checks of the spec, of the instruments and of the requests."""

    def test_the_spec_is_complete(self) -> None:
        """The spec states hosts, endpoints with their manual pages, limits, and the streams of a connection."""
        spec = self.connector.spec
        expect(
            self.connector.name == spec.exchange,
            f"the connector's name {self.connector.name!r} differs from spec.exchange {spec.exchange!r}",
        )
        expect(urlsplit(spec.rest).scheme in ("http", "https"), f"spec.rest {spec.rest!r} is not an http URL")
        expect(urlsplit(spec.ws).scheme in ("ws", "wss"), f"spec.ws {spec.ws!r} is not a websocket URL")
        for name in ("instruments", "snapshot"):
            expect(name in spec.endpoints, f"spec.endpoints lacks {name!r}")
        for name, endpoint in spec.endpoints.items():
            expect(bool(endpoint.source), f"endpoint {name!r} has no source: name the manual page of its figures")
            expect(endpoint.path.startswith("/"), f"endpoint {name!r}: path {endpoint.path!r} does not begin with /")
        for name, limit in spec.limits.items():
            expect(limit.amount > 0 and limit.per_s > 0, f"limit {name!r} allows no request: {limit}")
            expect(
                limit.scope in ("egress", "connection"),
                f"limit {name!r}: scope {limit.scope!r} is neither egress nor connection",
            )
        expect(
            "connections" in spec.limits and spec.limits["connections"].scope == "egress",
            "spec.limits lacks 'connections' of scope 'egress', the limit of connection attempts",
        )
        for header, name in spec.used_headers.items():
            expect(name in spec.limits, f"used_headers: {header!r} is for {name!r}, but spec.limits lacks {name!r}")
            expect(header == header.lower(), f"used_headers: {header!r} is not in lower case")
        expect(spec.silence_s > 0, "spec.silence_s is not positive")
        expect(spec.max_connection_s > spec.silence_s, "spec.max_connection_s is not longer than silence_s")
        expect(
            0 < spec.streams_per_instrument <= spec.max_streams,
            f"an instrument needs {spec.streams_per_instrument} streams, a connection carries {spec.max_streams}: "
            "no instrument fits",
        )
        expect(bool(spec.example_pairs), "spec.example_pairs is empty: `venuemesh connect` has no pair to try")
        for pair in spec.example_pairs:
            expect(pair.count("-") == 1, f"example pair {pair!r} is not BASE-QUOTE")

    def test_options_are_declared(self) -> None:
        """Each option accepts its own default and choices, and the codec accepts each value by keyword."""
        spec = self.connector.spec
        names = [option.name for option in spec.options]
        expect(len(set(names)) == len(names), f"an option is declared twice: {names}")
        for option in spec.options:
            what = f"option {option.name!r}"
            expect(option.name.isidentifier(), f"{what} is not a Python identifier")
            expect(bool(option.words), f"{what} has no description in `words`")
            expect(option.market or option.orders, f"{what} is passed to no codec: set market or orders")
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
            raise AssertionError(
                f"codec({name}={value!r}) raised {error!r}, but the spec declares that value"
            ) from error

    def test_snapshots_have_a_size(self) -> None:
        """The codec's snapshot_limit is a number of levels that the exchange supports."""
        most, limit = self.connector.spec.max_snapshot, self.codec().snapshot_limit
        expect(type(limit) is int and 1 <= limit <= most, f"codec.snapshot_limit is {limit!r}, expected 1 to {most}")

    def test_costs_name_declared_limits(self) -> None:
        """Every request has a cost in declared limits, and no cost is more than a limit allows."""
        spec, codec, instrument = self.connector.spec, self.codec(), self.instrument()
        for name, endpoint in spec.endpoints.items():
            self._payable(f"endpoint {name!r}", endpoint.cost)
            for up_to, cost in endpoint.cost_by_size:
                expect(bool(endpoint.cost), f"endpoint {name!r} has cost_by_size but no cost")
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
        spec = self.connector.spec
        amounts = {name: limit.amount for name, limit in spec.limits.items()}
        amounts |= {name: counter.amount for name, counter in spec.key_limits.items()}
        expect(bool(cost), f"{what} has no cost: the rate budget would not count it")
        for name, amount in cost:
            expect(name in amounts, f"{what} spends {name!r}, which spec.limits lacks ({', '.join(amounts)})")
            scope = spec.limits[name].scope if name in spec.limits else "egress"
            expect(
                scope == "egress",
                f"{what} spends {name!r}, a limit of scope {scope}; a request needs one of scope egress",
            )
            expect(
                type(amount) is int and amount >= 0,
                f"{what} spends {amount!r} of {name!r}; the amount must be a whole number and not negative",
            )
            most = amounts[name]
            expect(amount <= most, f"{what} spends {amount} of {name!r}, but a window allows {most}")

    def test_names_map_both_ways(self) -> None:
        """Every listed pair has one name BASE-QUOTE and one symbol, and they map both ways."""
        listed = self.listed()
        expect(bool(listed), "the sample list gives no instrument")
        for instrument in listed:
            name, base, quote = instrument.name, instrument.base, instrument.quote
            wanted = self.connector.spec.exchange
            expect(
                instrument.exchange == wanted,
                f"the exchange of {name} is {instrument.exchange!r}, expected {wanted!r}",
            )
            expect(name == f"{base}-{quote}", f"the name {name!r} is not base-quote: {base}, {quote}")
            expect(bool(base and quote and instrument.symbol), f"{instrument} has an empty base, quote or symbol")
            again = Instrument.from_dict(instrument.to_dict())
            expect(again == instrument, f"{name} changes through to_dict and from_dict")
        by_name = {instrument.name: instrument.symbol for instrument in listed}
        by_symbol = {instrument.symbol: instrument.name for instrument in listed}
        expect(len(by_name) == len(listed), "two instruments have the same name")
        expect(len(by_symbol) == len(listed), "two instruments have the same symbol")
        for name, symbol in self.samples.symbols.items():
            found = by_name.get(name)
            expect(found == symbol, f"instruments() gives {name} the symbol {found!r}, expected {symbol!r}")
        trading = self.instrument().is_trading
        expect(trading, f"{self.samples.pair} is not TRADING in the sample list; the sample pair must trade")

    def test_scales_hold_every_decimal_of_messages(self) -> None:
        """Scales hold all decimals that the exchange writes, not only the tick's; every rule is exact at its scale."""
        spec = self.connector.spec
        wire = 0 if spec.decimals_by_pair else spec.wire_decimals
        for listed in self.listed():
            for what, scale, increment, largest, least in (
                ("price", listed.price_scale, listed.price_increment, listed.max_price, listed.min_price),
                ("size", listed.size_scale, listed.size_increment, listed.max_size, listed.min_size),
            ):
                expect(0 <= scale <= 18, f"{listed.name}: {what} scale {scale} is not within 0 to 18")
                wanted = scale_for(wire, increment, largest)
                expect(
                    scale >= wanted,
                    f"{listed.name}: {what} scale {scale} loses digits: messages have {wire} decimals, and int64 "
                    f"holds {wanted}",
                )
                for rule in (increment, largest, least):
                    if rule is None:
                        continue
                    expect(
                        decimals(rule) <= scale, f"{listed.name}: {what} rule {rule} needs more than {scale} decimals"
                    )
                    try:
                        raw = listed.price_raw(rule) if what == "price" else listed.size_raw(rule)
                    except FixedPointError as error:
                        raise AssertionError(f"{listed.name}: {what} rule {rule} does not fit: {error}") from error
                    expect(to_decimal(raw, scale) == rule, f"{listed.name}: {what} rule {rule} is not exact")

    def test_requests_go_to_the_base_url_and_are_recognised(self) -> None:
        """Base URLs can be overridden, and the codec recognises its own requests in a recording."""
        instrument = self.instrument()
        codec = self.codec(rest=LOCAL_REST, ws=LOCAL_WS)
        made = [codec.instruments_request(), codec.snapshot_request(instrument, 100), codec.tickers_request()]
        for request in made:
            expect(request.url.startswith(f"{LOCAL_REST}/"), f"{request.url} ignores rest={LOCAL_REST}")
        expect(codec.ws_url().startswith(LOCAL_WS), f"{codec.ws_url()} ignores ws={LOCAL_WS}")
        default = self.codec()
        expect(
            default.ws_url().startswith(self.connector.spec.ws),
            f"ws_url() is {default.ws_url()}, expected a URL under spec.ws {self.connector.spec.ws}",
        )
        for either in (codec, default):
            either.bind([instrument])
            url = either.instruments_request().url
            found = either.recognise(url)
            expect(found == "instruments", f"recognise({url!r}) is {found!r}, expected 'instruments'")
            most, is_whole = self.connector.spec.max_snapshot, self.connector.spec.whole_books
            for limit in (5, most, most + 1):
                url = either.snapshot_request(instrument, limit).url
                key = SnapshotKey(instrument.symbol, most if is_whole else min(limit, most))
                found = either.recognise(url)
                expect(found == key, f"recognise({url!r}) is {found!r}, expected {key}")
        for url in ("", "not a url", "https://elsewhere.test/", f"{LOCAL_REST}/nobody/knows?symbol=X"):
            found = default.recognise(url)
            expect(found is None, f"recognise({url!r}) is {found!r}, expected None")

    def test_subscriptions_fit_a_connection(self) -> None:
        """The subscriptions of a full connection name every pair, carry their ids and can be sent in time."""
        spec, codec, instrument = self.connector.spec, self.codec(), self.instrument()
        for ask in (codec.subscribe, codec.unsubscribe):
            what = ask.__name__
            messages = ask([instrument], 4711)
            expect(bool(messages), f"{what} of one instrument returns no message")
            named = any(instrument.symbol.lower() in message.frame.decode().lower() for message in messages)
            expect(named, f"the messages of {what} for {instrument.name} do not contain {instrument.symbol!r}")
            expect(ask([instrument], 4711) == messages, f"{what} returns different messages for the same arguments")
            most = spec.max_streams // spec.streams_per_instrument
            full = ask([instrument] * most, 4711)
            keys = [expected.key for message in full for expected in message.expects]
            expect(ask == codec.unsubscribe or bool(keys), f"{what}: no message expects an answer of the exchange")
            for number, message in enumerate(full):
                for expected in message.expects:
                    key = expected.key
                    if type(key) is int:
                        carried = str(key) in message.frame.decode() and key == 4711 + number
                        expect(
                            carried,
                            f"{what}: message {number} expects the id {key}: it must be in the message, and count up",
                        )
                    wrong = set(expected.symbols) - {instrument.symbol}
                    expect(bool(expected.symbols), f"{what}: the expected answer {key!r} confirms no pair")
                    expect(not wrong, f"{what}: the answer for {instrument.name} would confirm {sorted(wrong)}")
            pace = spec.limits.get("messages")
            if pace is not None:
                needs_s = (len(full) - 1) * pace.per_s / max(1, pace.amount - 2)
                expect(
                    needs_s < CONFIRM_S,
                    f"{what} of {most} instruments takes {len(full)} messages, {needs_s:.0f} s at {pace.amount} per "
                    f"{pace.per_s:g} s; a subscription expires after {CONFIRM_S:g} s: put more streams into a message",
                )

    def test_the_clock_of_the_exchange_is_read(self) -> None:
        """server_time returns nanoseconds since the Unix epoch, and the spec states their resolution."""
        if self.samples.server_time is None:
            expect(
                self.codec().time_request() is None, "the codec has a time_request, but samples.server_time is missing"
            )
            skip("the exchange has no time request")
        body, time_ns = self.samples.server_time
        found = self.codec().server_time(body)
        expect(found == time_ns, f"server_time returned {found}, expected {time_ns}")
        resolution_ns = self.connector.spec.time_resolution_ns
        expect(resolution_ns > 0, f"spec.time_resolution_ns is {resolution_ns}, it must be positive")
        expect(
            resolution_ns >= SECOND_NS or time_ns % SECOND_NS != 0,
            "the time of samples.server_time is a whole second: set spec.time_resolution_ns to a second if the "
            "exchange states no more, or take a sample with a fraction",
        )
        expect(
            resolution_ns < SECOND_NS or time_ns % resolution_ns == 0,
            f"samples.server_time is {time_ns} ns, finer than spec.time_resolution_ns {resolution_ns}",
        )
