"""Templates and what they may call; all that they write is escaped, and cut where it is endless.

Every page carries its style and its script in itself, and the digests of both: a browser runs
nothing else and asks nobody else.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lading.web import wording
from lading.web.download import is_web_url

_LONGEST_URL = 2000
_DOI = re.compile(r"10\.\d{4,9}/[-._;()/:A-Za-z0-9]+")
# what moves the letters around it, ends a line, or is not seen at all
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_TONES = {
    "published": "good",
    "done": "good",
    "completed": "good",
    "ready": "good",
    "unchanged": "calm",
    "up to date": "calm",
    "skipped": "calm",
    "queued": "calm",
    "draft": "calm",
    "not reached": "faint",
    "cancelled": "warn",
    "partial": "bad",
    "failed": "bad",
    "interrupted": "bad",
    "aborted": "bad",
    "running": "busy",
}
_SIGNS = {"good": "✓", "bad": "✕", "busy": "▸", "warn": "!", "calm": "○", "faint": "·"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of what is endless is shown."""

    rows: int = 1000
    """Rows of a table."""
    bars: int = 300
    """Steps of a timeline."""
    lines: int = 40
    """Log lines of a step."""
    letters: int = 4000
    """Characters of one text."""


PAGE_LIMITS = Limits()


def render(name: str, limits: Limits = PAGE_LIMITS, **context: Any) -> str:
    """Render a template; each of its tables is cut at ``limits``, and says so."""
    template = _environment(limits.letters).get_template(name)
    return template.render(limits=limits, **context)


def warm_up() -> None:
    """Compile the templates of pages now, rather than while the first reader waits."""
    environment = _environment(PAGE_LIMITS.letters)
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)


def content_policy(*, is_file: bool = False) -> str:
    """Return the Content-Security-Policy of what is rendered here.

    Args:
        is_file: whether it is a file that asks nobody for anything, not even where it came from.
    """
    parts = [
        "default-src 'none'",
        f"style-src '{_digest(load_text('page.css'))}'",
        f"script-src '{_digest(load_text('page.js'))}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'" if is_file else "form-action 'self'",
    ]
    # a browser heeds frame-ancestors in a header only, and complains of it elsewhere
    return "; ".join(parts if is_file else [*parts, "connect-src 'self'", "frame-ancestors 'none'"])


@cache
def load_text(name: str) -> str:
    """Return a file that stands beside the templates."""
    return (files("lading.web") / "templates" / name).read_text(encoding="utf-8")


def show_text(value: Any, letters: int) -> Any:
    """Make a value fit to be shown: what cannot be seen is named, what is endless is cut."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    if len(value) > letters:
        value = f"{value[:letters]}… ({len(value) - letters:,} more characters left out)"
    return _UNSEEN.sub(_name_letter, value)


def tone_of(word: str) -> str:
    """Return the tone of a state or a verdict: good, bad, busy, warn, calm or faint."""
    return _TONES.get(word, "calm")


def doi_url(doi: str) -> str:
    """Return where a DOI leads to; "" of what is none."""
    return f"https://doi.org/{quote(doi, safe='/():;._-')}" if _DOI.fullmatch(doi) else ""


def web_url(url: str) -> str:
    """Return a URL that a page may link; "" of any other, such as ``javascript:``."""
    return url if is_web_url(url) and len(url) <= _LONGEST_URL else ""


def _name_letter(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004  as Python does


def _first(rows: Sequence[Any], limit: int) -> Sequence[Any]:
    return rows[:limit]


def _path_part(text: str) -> Markup:
    # percent-encoded, so there is nothing to escape; cut it would lead elsewhere
    return Markup(quote(text, safe="", errors="replace"))  # noqa: S704


def _query(values: Mapping[str, str | int]) -> Markup:
    pairs = [Markup("{}={}").format(k, _path_part(str(v))) for k, v in values.items() if v != ""]
    return Markup("&amp;").join(pairs)


@cache
def _environment(letters: int) -> Environment:
    def finish(value: Any) -> Any:
        return show_text(value, letters)

    made = Environment(
        loader=PackageLoader("lading.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finish,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        bytes=wording.format_bytes,
        count=wording.format_count,
        percent=wording.format_percent,
        duration=wording.format_duration,
        whole=wording.format_whole,
        moment=wording.format_moment,
        clock=wording.format_clock,
        ago=wording.format_ago,
        cut=_first,
        part=_path_part,
        query=_query,
        web_url=web_url,
        doi_url=doi_url,
        tone=tone_of,
        sign=lambda word: _SIGNS[tone_of(word)],
    )
    made.globals.update(
        change=wording.format_change,
        page_style=Markup(load_text("page.css")),  # noqa: S704  ours, and its digest is in the policy
        page_script=Markup(load_text("page.js")),  # noqa: S704  as above
    )
    return made


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
