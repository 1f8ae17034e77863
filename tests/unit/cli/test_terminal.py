"""What commands print: tables in 80 columns, and nothing that steers a terminal."""

import argparse
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from lading.cli.terminal import (
    Column,
    Line,
    clean,
    clean_lines,
    ends_quietly,
    page_width,
    print_page,
    render_table,
)

COLUMNS = (Column("name", folds=True), Column("size", is_right=True), Column("note", folds=True))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say that somebody watches."""
        return True

    def fileno(self) -> int:
        """Have no number: nobody can ask how wide it is."""
        raise OSError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07words", "words"),
        ("\x1b]8;;https://a.example\x1b\\link", "link"),
        ("\x9b2Jone\rtwo\nthree\tfour", " 2Jone two three four"),
        ("\u202egnp.exe", " gnp.exe"),
        ("ends \n", "ends"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    """Sequences for terminals, line ends and marks of direction do not reach the page."""
    assert clean(text) == expected


@settings(max_examples=50)
@given(st.text())
def test_clean_leaves_what_can_be_printed(text: str) -> None:
    """Whatever a text holds, what comes out is one line of letters, and stays as it is."""
    cleaned = clean(text)
    assert cleaned.isprintable()
    assert clean(cleaned) == cleaned


def test_clean_lines() -> None:
    """A text of several lines stays several lines; an empty one has none."""
    assert clean_lines("one\x1b[2J\r\ntwo\n") == ["one", "two"]
    assert clean_lines("") == []


def test_table_folds_where_it_is_too_wide() -> None:
    """Only the columns that may fold give up room, the widest first; nothing is lost."""
    words = "a few words that say why it is so and not otherwise at all, however long"
    lines = [Line((f"x/{'y' * 60}", "12", words), below=["https://a.example/" + "z" * 90])]
    page = [each.plain for each in render_table(COLUMNS, lines, 60)]
    assert max(map(len, page[:-1])) <= 60
    assert page[-1] == "  https://a.example/" + "z" * 90
    assert "".join(each[:22].strip() for each in page[1:-1]).startswith("x/yyyy")
    told = " ".join(each[-28:].strip() for each in page[1:-1])
    assert words in " ".join(told.split())


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.text(max_size=40), st.integers(0, 10**9).map(str), st.text(max_size=60)),
        max_size=5,
    )
)
def test_table_is_never_too_wide(rows: list[tuple[str, str, str]]) -> None:
    """A table of whatever texts fits its page, in the cells that a terminal gives a letter."""
    for line in render_table(COLUMNS, [Line(each) for each in rows], 50):
        assert cell_len(line.plain) <= 50


def test_print_page_is_plain_without_a_terminal() -> None:
    """A pipe gets letters alone, and lines as long as they are."""
    stream = io.StringIO()
    print_page([Text("x" * 200 + "  ", style="bold red"), Text("[red]mark[/red]")], stream)
    assert stream.getvalue() == "x" * 200 + "\n[red]mark[/red]\n"
    assert page_width(stream) == 80


@pytest.mark.parametrize(
    ("variables", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"CI": "1"}, False)]
)
def test_print_page_in_colours(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, has_colour: bool
) -> None:
    """A terminal gets colours, unless somebody minds or it is a CI's."""
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    print_page([Text("failed", style="red")], stream)
    assert ("\x1b[31m" in stream.getvalue()) == has_colour
    assert page_width(stream) == 80


def test_ends_quietly() -> None:
    """A command's code is its own; without one it is 0, and Ctrl-C is 130."""

    def interrupted(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    nothing = argparse.Namespace()
    assert ends_quietly(lambda _: 1)(nothing) == 1
    assert ends_quietly(lambda _: None)(nothing) == 0
    assert ends_quietly(interrupted)(nothing) == 130
