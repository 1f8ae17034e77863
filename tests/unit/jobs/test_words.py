"""Arguments as one text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import MisconfiguredError
from lading.jobs.words import name_run, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("--agency-id 7", ("--agency-id", "7")),
        ("--title 'two words' x\\ y", ("--title", "two words", "x y")),
        ("$(rm -rf /) `a` ;b|c >d #e", ("$(rm", "-rf", "/)", "`a`", ";b|c", ">d", "#e")),
    ],
)
def test_split(text: str, words: tuple[str, ...]) -> None:
    """Quotes hold words together; nothing else of a shell means anything."""
    assert split_words(text) == words


def test_unended_quotation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quotation that does not end is told, without the secrets in it."""
    monkeypatch.setenv("APP_TOKEN", "s3cr3t-value")
    with pytest.raises(MisconfiguredError) as caught:
        split_words("--x 's3cr3t-value")
    assert str(caught.value) == (
        'arguments: expected words, got "--x \'***" (No closing quotation)'
    )


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_a_name_can_be_split_again(argv: list[str]) -> None:
    """The name of a run tells its arguments exactly: no two have one name."""
    assert split_words(name_run(argv).removeprefix("run ")) == tuple(argv)
