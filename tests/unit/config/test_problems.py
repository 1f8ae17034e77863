"""Tests of the words in which a wrong configuration is explained."""

import pytest

from lading.config.problems import nearest, render_place, render_value


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ((), ""),
        (("keep",), "keep"),
        (("channels", "nightly", "prefixes", 1), "channels.nightly.prefixes[1]"),
        (("prepare", "bundles", 0, "files", 2), "prepare.bundles[0].files[2]"),
        (("destinations", "a-b", "[key]"), "destinations.a-b"),
    ],
)
def test_place(location: tuple[str | int, ...], expected: str) -> None:
    """A place reads as a person would write it: dots for names, brackets for positions."""
    assert expected == render_place(location)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        (False, "false"),
        (3, "3"),
        ("/eel-hole", "'/eel-hole'"),
        ("a\nb", r"'a\nb'"),
        (["a"], "['a']"),
        ({"a": 1, "b": 2}, "a table of 2"),
    ],
)
def test_value(value: object, expected: str) -> None:
    """A value is shown in the words of TOML, on one line."""
    assert expected == render_value(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("s3://key:hush@bucket/root", "'s3://***bucket/root'"),
        ("gs://bucket/a@b", "'gs://bucket/a@b'"),
        (["https://user@host/x"], "['https://***host/x']"),
    ],
)
def test_secret_is_not_shown(value: object, expected: str) -> None:
    """What stands before the host of a URL is a secret, and an @ elsewhere is none."""
    shown = render_value(value)
    assert expected == shown


@pytest.mark.parametrize("length", [57, 58, 59, 1000])
def test_long_value_is_cut(length: int) -> None:
    """A long value is cut to 60 characters, and shows that it was."""
    shown = render_value("x" * length)
    assert min(length + 2, 60) == len(shown)
    assert (length > 58) == shown.endswith("...")


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("stagign", ("type", "tag", "staging"), " (did you mean 'staging'?)"),
        ("stage", ("type", "tag", "staging"), " (did you mean 'staging'?)"),
        ("prefxes", ("prefixes", "tag"), " (did you mean 'prefixes'?)"),
        ("zzz", ("type", "tag", "staging"), ""),
        ("", ("type", "tag"), ""),
        ("x", (), ""),
    ],
)
def test_nearest(name: str, known: tuple[str, ...], expected: str) -> None:
    """The nearest known name is offered, and none where none is near."""
    assert expected == nearest(name, known)


def test_nearest_is_the_same_each_time() -> None:
    """Of two names that are equally near, the first that is known is offered."""
    assert nearest("ab", ("abx", "aby")) == nearest("ab", iter(["abx", "aby"]))
    assert nearest("ab", ("aby", "abx")) == " (did you mean 'aby'?)"
