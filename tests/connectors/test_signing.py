"""Parameters as a query: the same text whether or not anything in it must be encoded."""

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from venuemesh.connectors.signing import encoded

PLAIN = st.text("aZ09._~-", max_size=6)
ANY = st.one_of(PLAIN, st.text(max_size=6))


@given(st.lists(st.tuples(ANY, ANY), max_size=4), st.sampled_from(["", ":/"]))
def test_every_pair_is_percent_encoded(params, safe):
    expected = "&".join(f"{quote(name, safe='')}={quote(value, safe=safe)}" for name, value in params)
    assert encoded(params, safe) == expected
    assert encoded(iter(params), safe) == expected
