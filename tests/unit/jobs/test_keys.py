"""Where jobs keep what they remember."""

import re

from lading.jobs import keys


def test_each_has_a_place_of_its_own() -> None:
    """No two things of a job share a key or stand below each other; all are Lading's own."""
    found = [
        keys.marker_key("copy", "0" * 32),
        keys.listing_key("0" * 64),
        keys.dead_letters_prefix("copy"),
        keys.audit_prefix("copy"),
        keys.plan_key("0" * 64),
        keys.result_key("0" * 64, "x"),
        keys.state_prefix("copy"),
        keys.submitted_key("copy", "x"),
    ]
    assert all(each.startswith(".lading/") for each in found)
    for one in found:
        assert not any(other.startswith(one) for other in found if other != one)


def test_items_may_be_called_anything() -> None:
    """What a person or a file has named never is a part of a key as it is."""
    for name in ("../../x", "a/b", "", "\0", "é" * 1000):
        for key in (keys.result_key("0" * 64, name), keys.submitted_key("copy", name)):
            assert re.fullmatch(r"[a-z0-9./-]+/[0-9a-f]{32}\.json", key)
    assert keys.result_key("0" * 64, "a") != keys.result_key("0" * 64, "b")
