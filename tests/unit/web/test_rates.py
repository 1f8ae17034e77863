"""Buckets give what a minute has room for, and fill up with time."""

import pytest

from lading.web.rates import Buckets, name_address


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.at


def test_a_bucket_gives_what_it_holds_and_then_says_how_long() -> None:
    """Of three a minute, the fourth has to wait for a third of it."""
    buckets = Buckets(3, Clock())
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(20)
    assert buckets.take("b") == 0


def test_a_bucket_fills_with_time_and_no_further_than_full() -> None:
    """After the time that it told there is one; after an hour there are no more than three."""
    clock = Clock()
    buckets = Buckets(3, clock)
    for _ in range(3):
        buckets.take("a")
    clock.at += 20
    assert buckets.take("a") == 0
    assert buckets.take("a") > 0
    clock.at += 3600
    assert [buckets.take("a") > 0 for _ in range(4)] == [False, False, False, True]


def test_a_refused_request_takes_nothing() -> None:
    """Who goes on asking does not wait for longer."""
    clock = Clock()
    buckets = Buckets(60, clock)
    for _ in range(100):
        buckets.take("a")
    clock.at += 1
    assert buckets.wait_s("a") == 0
    assert buckets.take("a") == 0


def test_names_are_forgotten_from_the_oldest_on() -> None:
    """The number of names that are remembered is bounded."""
    buckets = Buckets(1, Clock(), names=2)
    for name in ("a", "b", "a", "c"):
        buckets.take(name)
    assert buckets.take("a") > 0
    assert buckets.take("b") == 0


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(host: str, name: str) -> None:
    """Who has a network of 2^64 addresses has one name, and who has one address has one."""
    assert name_address(host) == name
