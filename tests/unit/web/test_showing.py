"""What templates may write: escaped, visible, cut; and what a browser may run of it."""

import base64
import hashlib
import re

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from lading.web.showing import (
    content_policy,
    doi_url,
    load_text,
    render,
    show_text,
    tone_of,
    web_url,
)
from tests.unit.web.reading import read_page


def test_what_cannot_be_seen_is_named() -> None:
    """Marks that move letters, and letters that are none, are written as Python would."""
    assert show_text("a\u202eb\x00c\u2028d\x9b", 99) == "a\\u202eb\\x00c\\u2028d\\x9b"


def test_lines_tabs_and_letters_stay() -> None:
    """What people write is left as it is: lines, emoji, Persian with its joiners."""
    text = "two\nlines\tand 🦆 \u0645\u06cc\u200c\u062e"
    assert show_text(text, 99) == text


def test_what_is_endless_is_cut_and_says_so() -> None:
    """A text of ten thousand letters is no page."""
    assert show_text("x" * 10_000, 10) == "xxxxxxxxxx… (9,990 more characters left out)"


def test_markup_and_numbers_pass() -> None:
    """Only texts are shown differently."""
    assert show_text(7, 1) == 7
    assert show_text(Markup("<b>"), 1) == Markup("<b>")


def test_everything_is_escaped() -> None:
    """A page is not moved by what it is told."""
    read = read_page(render("missing.html", root="", what="<script>x</script>", said="'\">&amp;"))
    assert read.tags.count("script") == 1
    assert "<script>x</script>" in read.text
    assert "'\">&amp;" in read.text


def test_what_a_template_is_not_given_is_an_error() -> None:
    """A misspelt name is no empty place on a page."""
    with pytest.raises(UndefinedError):
        render("missing.html", root="", what="x")


@pytest.mark.parametrize("is_file", [False, True])
def test_the_policy_lets_run_what_is_in_the_page(*, is_file: bool) -> None:
    """The digests are those of the style and the script as they stand in it."""
    html = render("missing.html", root="", what="x", said="y")
    policy = content_policy(is_file=is_file)
    for tag in ("script", "style"):
        found = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert found
        digest = base64.b64encode(hashlib.sha256(found.group(1).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none';")


def test_a_file_may_ask_nobody() -> None:
    """A report connects to nothing; a page only to its own server."""
    assert "connect-src" not in content_policy(is_file=True)
    assert "connect-src 'self'" in content_policy()


def test_style_and_script_ask_for_nothing() -> None:
    """No font, picture or library comes from elsewhere."""
    for name in ("page.css", "page.js"):
        assert not re.search(r"https?:|url\(|@import|//\w+\.", load_text(name))
        assert "</" not in load_text(name)


@pytest.mark.parametrize(
    ("doi", "url"),
    [
        ("10.5281/zenodo.123", "https://doi.org/10.5281/zenodo.123"),
        ("10.5281/<script>", ""),
        ("javascript:alert(1)", ""),
        ("", ""),
    ],
)
def test_only_a_doi_is_linked_as_one(doi: str, url: str) -> None:
    """What has not its form is shown as text."""
    assert doi_url(doi) == url


def test_links_lead_to_the_web() -> None:
    """Nothing that runs, and nothing that no browser takes."""
    assert web_url("https://example.org/x") == "https://example.org/x"
    assert web_url("javascript:alert(1)") == ""
    assert web_url("https://example.org/" + "x" * 3000) == ""


@pytest.mark.parametrize(
    ("word", "tone"),
    [("published", "good"), ("aborted", "bad"), ("running", "busy"), ("anything", "calm")],
)
def test_states_have_a_tone(word: str, tone: str) -> None:
    """Good, bad, busy, or nothing to say."""
    assert tone_of(word) == tone
