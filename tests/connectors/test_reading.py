"""The readers of JSON: each takes exactly its type; anything unreadable is one DecodeError with an excerpt."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest

from venuemesh.connectors import reading as readers
from venuemesh.connectors.listing import listing
from venuemesh.connectors.reading import excerpt, known_decimal, left_out_text, levels, positive_decimal, reading
from venuemesh.model.errors import DecodeError, FixedPointError, OutcomeUnknown
from venuemesh.model.instrument import Instrument

PAIR = Instrument("acme", "BTC-USDT", "BTCUSDT", "BTC", "USDT", 2, 3)


@pytest.mark.parametrize(
    ("reader", "value", "read"),
    [
        ("text", "x", "x"),
        ("flag", False, False),
        ("rows", [1], [1]),
        ("integer", 0, 0),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("identifier", 7, "7"),
        ("milliseconds", 1, 1_000_000),
        ("seconds", 7, 7_000_000_000),
        ("rfc3339", "2023-10-06T17:35:55.440295Z", 1_696_613_755_440_295_000),
        ("rfc3339", "1970-01-01T00:00:01Z", 1_000_000_000),
        ("number", 12, "12"),
        ("signed_number", -12, Decimal(-12)),
        ("signed_number", readers.Written("-0.50"), Decimal("-0.50")),
        ("request_key", 7, 7),
        ("request_key", "7", "7"),
        ("digits", "0", 0),
        ("digits", "9223372036854775807", 2**63 - 1),
        ("decimal", "-0.10", Decimal("-0.10")),
        ("decimal", "1" * 40, Decimal("1" * 40)),
        ("plain_decimal", "0.10", Decimal("0.10")),
        ("amount_text", "0.00", "0.00"),
        ("price_text", "1.50", "1.50"),
        ("price_text", "0.00", None),
        ("price_text", "", None),
    ],
)
def test_reads_its_type(reader, value, read):
    found = getattr(readers, reader)(value)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        ("text", 1),
        ("text", None),
        *(
            ("plain_decimal", wrong)
            for wrong in ("", ".", "-1", "+1", "1e5", "NaN", "1.2.3", " 1", "١", "1" * 41, 1, None)
        ),
        ("amount_text", ""),
        ("price_text", "-1"),
        ("price_text", None),
        ("flag", 1),
        ("flag", "true"),
        ("rows", {}),
        ("rows", "ab"),
        ("integer", True),
        ("integer", 1.0),
        ("integer", -1),
        ("integer", 2**63),
        ("integer", "1"),
        ("identifier", "7"),
        ("milliseconds", 2**62),
        ("seconds", 2**62),
        ("rfc3339", "2023-10-06T17:35:55"),
        ("rfc3339", "2023-10-06T17:35:55+00:00"),
        ("rfc3339", "2023-10-06T17:35:55.1234567890Z"),
        ("rfc3339", "1969-12-31T23:59:59Z"),
        ("rfc3339", 1),
        ("number", 1.5),
        ("number", "1.5"),
        ("number", True),
        ("number", -1),
        ("number", 10**50),
        ("digits", 1),
        ("digits", ""),
        ("digits", "-1"),
        ("digits", "1.0"),
        ("digits", "\u0661"),
        ("digits", "9223372036854775808"),
        ("digits", "1" * 5000),
        ("decimal", 1),
        ("request_key", True),
        ("request_key", None),
        ("request_key", ["a"]),
        ("request_key", 2**63),
        ("signed_number", "-1"),
        ("signed_number", readers.Written("1e99999999")),
        ("signed_number", readers.Written("-1E5")),
        ("signed_number", 10**40),
        *(
            ("decimal", wrong)
            for wrong in ("x", "", "-", ".", "NaN", "Infinity", "1e5", "1E-8", "+1", "--1", "1_000", " 1", "1" * 41)
        ),
    ],
)
def test_refuses_everything_else(reader, value):
    with pytest.raises(DecodeError, match="is not"):
        getattr(readers, reader)(value)


def test_numbers_that_may_be_absent():
    row = {"below": "-1", "zero": "0", "some": "2.5"}
    assert known_decimal(row, "none", "some") == Decimal("2.5")
    assert known_decimal(row, "zero") == 0
    assert known_decimal(row, "below") is None
    assert known_decimal(row, "none") is None
    assert positive_decimal(row, "some") == Decimal("2.5")
    assert positive_decimal(row, "zero") is None
    assert positive_decimal(row, "below", "some") is None  # the first that is there decides


def test_levels_are_exact_at_the_scales():
    assert levels(PAIR, [["1.25", "0.001"], ["1", "2.000000"]]).tolist() == [[125, 1], [100, 2000]]
    assert levels(PAIR, []).shape == (0, 2)
    with pytest.raises(FixedPointError):
        levels(PAIR, [["1.255", "1"]])
    for bad in (None, [["1"]], [["1", "2", "3"]], [[1, "2"]], ["12"], [{"0": "1"}]):
        with pytest.raises(DecodeError):
            levels(PAIR, bad)


def test_levels_may_have_further_unused_fields():
    assert levels(PAIR, [["1.25", "0.001", "0", "4"]], 4).tolist() == [[125, 1]]
    for bad in ([["1", "2"]], [["1", "2", "0"]], [["1", 2, "0", "4"]]):
        with pytest.raises(DecodeError):
            levels(PAIR, bad, 4)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a"),
        IndexError("a"),
        TypeError("a"),
        ValueError("a"),
        OverflowError("a"),
        StopIteration(),
        RecursionError("too deep"),
    ],
)
def test_what_the_block_cannot_read_is_a_decode_error(error):
    with pytest.raises(DecodeError, match=r"cannot read a test: .*\{\}") as caught, reading("a test", b"{}"):
        raise error
    assert caught.value.excerpt == "{}"
    assert caught.value.__cause__ is error


def test_the_reason_of_a_reader_and_the_cause_of_a_misfit_are_kept():
    with pytest.raises(DecodeError) as caught, reading("a test", b"[1]") as read:
        readers.text(read[0])
    assert (caught.value.reason, caught.value.excerpt) == ("cannot read a test: 1 is not text", "[1]")
    with pytest.raises(DecodeError) as caught, reading("a test", b"{}"):
        levels(PAIR, [["1.255", "1"]])
    assert isinstance(caught.value.__cause__, FixedPointError)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    "raw", [b'{"a": "' + b"\xff" * 50_000, b"9" * 50_000, b"[" * 50_000, b'["' + b"x" * 50_000 + b'"]']
)
def test_the_reason_is_short_however_long_the_message(raw, exact):
    """The repr of a UnicodeDecodeError has the whole message."""
    with pytest.raises(DecodeError) as caught, reading("a test", raw, exact=exact) as read:
        {"known": 1}[read[0]]
    assert len(str(caught.value)) < 1_500


@pytest.mark.parametrize("exact", [False, True])
def test_nul_in_a_text_becomes_its_escape(exact):
    """PostgreSQL refuses text with NUL: a reason that has one would stop every commit of the account."""
    raw = rb'{"a\u0000": ["x\u0000", {"k": "\u0000y"}, 1, null, "\\u0000"]}'
    for given in (raw, memoryview(raw)):
        with reading("a test", given, exact=exact) as read:
            assert read == {r"a\u0000": [r"x\u0000", {"k": r"\u0000y"}, 1, None, r"\u0000"]}
    with pytest.raises(DecodeError) as caught, reading("a test", b"a\0", exact=exact):
        pass
    assert caught.value.excerpt == r"a\u0000"
    assert len(excerpt(b"\x00" * 200)) == 200  # the escapes are no reason to be longer


def test_bytes_that_are_no_json_are_a_decode_error():
    for raw in (b"", b"{", b"\xff", memoryview(b"nope")):
        with pytest.raises(DecodeError) as caught, reading("a test", raw):
            pytest.fail("the block ran")
        assert isinstance(caught.value.__cause__, orjson.JSONDecodeError)
    with pytest.raises(DecodeError) as caught, reading("a test", b"x" * 1000):
        pytest.fail("the block ran")
    assert caught.value.excerpt == "x" * 200


def test_numbers_come_as_they_were_written():
    raw = b'{"whole": 7, "long": 0.10000000, "small": 1e-8, "below": -0.5, "more": 1.%s}' % (b"0" * 40)
    for written in (raw, memoryview(raw)):
        with reading("a test", written, exact=True) as read:
            assert readers.number(read["long"]) == "0.10000000"
            assert readers.number(read["whole"]) == "7"
            for bad in ("small", "below", "more"):
                with pytest.raises(DecodeError, match="in plain digits"):
                    readers.number(read[bad])
            with pytest.raises(DecodeError, match="text"):
                readers.text(read["long"])


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"NaN", b"[" * 100_000, b"1" * 5000])
def test_exact_reading_refuses_json_that_no_exchange_writes(raw):
    with pytest.raises(DecodeError), reading("a test", raw, exact=True):
        pytest.fail("the block ran")


def test_what_became_of_a_request_passes_through():
    with pytest.raises(OutcomeUnknown), reading("a test", b"{}"):
        raise OutcomeUnknown("request", "the exchange does not know")
    with pytest.raises(KeyboardInterrupt), reading("a test", b"{}"):
        raise KeyboardInterrupt


def test_one_unreadable_row_does_not_affect_others():
    def read(row):
        return readers.text(row["pair"]), readers.plain_decimal(row["price"])

    good, odd = {"pair": "A", "price": "1"}, {"pair": "B", "price": "x"}
    assert readers.readable([odd, good, 7, {}], read) == {"A": Decimal(1)}
    assert readers.readable([], read) == {}
    with pytest.raises(KeyError):
        readers.readable([odd, {}], read)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("body", [b"9" * 5000, b"1e99999999", b'"\\ud800"', b'["\\udfff x"]', b"[" * 100_000])
def test_json_that_no_program_can_keep_is_refused(body, exact):
    with pytest.raises(DecodeError), reading("a test", body, exact=exact) as read:
        readers.number(read)


def test_a_whole_surrogate_pair_is_a_character():
    with reading("a test", b'"\\ud83d\\ude00"', exact=True) as read:
        assert read == "\U0001f600"


@pytest.mark.parametrize("name", ["X\x1b[2J", "X\x00", "X\n", "../X", "X/Y", "\u202eX", "X Y", "X" * 65])
def test_a_pair_with_a_hostile_name_is_left_out_and_named_safely(name):
    rows = [{"symbol": "BTCUSDT", "base": "BTC"}, {"symbol": f"{name}USDT", "base": name}]
    read = lambda row: Instrument("acme", f"{row['base']}-USDT", row["symbol"], row["base"], "USDT", 2, 3)  # noqa: E731
    listed = listing(rows, read)
    assert [one.name for one in listed] == ["BTC-USDT"]
    named = left_out_text(listed.left_out)
    assert named.endswith("a name has a space, a slash, a control character or over 64 characters")
    assert named.isprintable()


def test_a_product_is_exact_and_bounded_like_a_number_that_is_read():
    price, amount = Decimal("64250.03000000"), Decimal("0.00011000000000000000000000000000000000")
    assert str(readers.product(price, amount)) == "7.0675033"
    whole = readers.product(Decimal("123456789012345678901.1"), Decimal("1234567890.12345678"))
    assert str(whole) == "152415787532388366392152123443.043744458"
    with pytest.raises(DecodeError, match="digits"):
        readers.product(Decimal("1e-25"), Decimal("1e-25"))
    with pytest.raises(DecodeError, match="digits"):
        readers.product(Decimal("1e25"), Decimal("1e25"))
