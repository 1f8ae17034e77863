"""A page as a browser takes it apart: its elements, its links, what a person reads of it."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "br", "input"})
KNOWN = frozenset(
    "a article body br button code dd details div dl dt figcaption figure footer form h1 h2 h3"  # noqa: SIM905  a list of words
    " head header html input label li line link main meta nav noscript ol option p path pre"
    " progress rect script section select span strong style summary svg table tbody td th thead"
    " time title tr ul".split()
)
"""Every element that our templates write."""


@dataclass
class Read(HTMLParser):
    """What is in a page."""

    tags: list[str] = field(default_factory=list)
    """Its elements, in order."""
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    """Its attributes: (element, name, value)."""
    texts: list[tuple[str, str]] = field(default_factory=list)
    """Its texts: (element that holds it, text)."""
    faults: list[str] = field(default_factory=list)
    """Elements that are closed in a wrong place, or never."""
    open: list[str] = field(default_factory=list)
    """Elements that are open."""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that closes itself, such as a path."""
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        """Note where an element ends."""
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append((self.open[-1] if self.open else "", data))

    def values(self, name: str) -> list[str]:
        """Return the values of an attribute, in order."""
        return [value for _, each, value in self.attributes if each == name]

    @property
    def text(self) -> str:
        """What a person reads, with one space between words."""
        seen = (text for tag, text in self.texts if tag not in {"script", "style"})
        return " ".join(" ".join(seen).split())


def read_page(html: str) -> Read:
    """Take a page apart.

    Raises:
        AssertionError: it holds what no template of ours writes: another element, a handler, a
            second script, an address that a browser would ask or run.
    """
    read = Read()
    read.feed(html)
    read.close()
    assert not read.faults
    assert not read.open
    assert set(read.tags) <= KNOWN
    assert read.tags.count("script") <= 1
    assert not [each for each in read.attributes if each[1].startswith("on")]
    assert not read.values("style")
    assert not read.values("src")
    for tag, name, value in read.attributes:
        if name == "href":
            pattern = r"data:image/svg\+xml,.*" if tag == "link" else r"(https?://[^/].*|[/#?].*|)"
            assert re.fullmatch(pattern, value, re.DOTALL), value
    return read
