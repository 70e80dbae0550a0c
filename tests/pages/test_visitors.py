"""Who asks is known by the network that they are on, and never by what they say."""

import pytest
from flask import Flask
from in_process import context

from app.payments.visitors import address_hash


def seen(address: str, forwarded: str = "") -> str:
    with Flask("test").test_request_context(
        headers={"X-Forwarded-For": forwarded}, environ_base={"REMOTE_ADDR": address}
    ):
        return address_hash(context())


SAME = [
    ("203.0.113.7", "203.0.113.7"),
    ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
    ("2001:db8:1:2::1", "2001:0DB8:1:2:0:0:0:9"),
    ("::ffff:203.0.113.7", "203.0.113.7"),
]
OTHERS = [
    ("203.0.113.7", "203.0.113.8"),
    ("2001:db8:1:2::1", "2001:db8:1:3::1"),
    ("::ffff:203.0.113.7", "::ffff:203.0.113.8"),
    ("unknown", "203.0.113.7"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_visitor_is_known_by_any_address_of_their_network(one: str, other: str) -> None:
    assert seen(one) == seen(other)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_other_networks_are_other_visitors(one: str, other: str) -> None:
    assert seen(one) != seen(other)


def test_what_a_header_says_is_not_believed() -> None:
    assert seen("203.0.113.7", "198.51.100.1") == seen("203.0.113.7", "198.51.100.2")
