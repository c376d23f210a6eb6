"""Two addresses of one Ray cluster, written in different ways."""

from __future__ import annotations

import pytest

from venuemesh.mesh.cluster import is_same_cluster


@pytest.mark.parametrize(
    ("address", "is_same"),
    [
        ("192.0.2.7:6379", True),
        ("auto", True),
        ("localhost:6379", True),
        ("127.0.0.1:6379", True),
        ("192.0.2.7:6380", False),
        ("192.0.2.8:6379", False),
        ("no-such-host.invalid:6379", False),
        ("nonsense", False),
    ],
)
def test_an_address_is_compared_with_the_cluster_of_this_process(address: str, is_same: bool) -> None:
    assert is_same_cluster(address, "192.0.2.7:6379") is is_same
