"""A person at a browser: Chromium of this machine, what it asks for, what it complains of."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
PHONE, DESK = (360, 640), (1280, 800)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CONTRAST = """
() => {
  const parse = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return { rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1 };
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map(
      (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color.alpha === 1) return color.rgb;
    }
    return parse(getComputedStyle(document.body).backgroundColor).rgb;
  };
  const faults = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.getClientRects().length) continue;
    if (["SCRIPT", "STYLE", "NOSCRIPT", "OPTION"].includes(node.tagName)) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color).rgb), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faults.push(`${ratio.toFixed(2)} ${walk.currentNode.data.trim()}`);
  }
  return faults;
}
"""
OVERFLOW = """
() => [...document.querySelectorAll("body *")]
  .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1
    && !each.closest("thead, .skip"))
  .map((each) => each.outerHTML.slice(0, 150))
"""


@contextmanager
def opened_browser() -> Iterator[Browser]:
    """Open the browser, with a profile of its own that is gone afterwards."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that is open, and what was seen behind it."""

    page: Page
    """The page."""
    shots: Path
    """Folder of pictures."""
    asked: list[str] = field(default_factory=list)
    """Addresses that were asked for."""
    said: list[str] = field(default_factory=list)
    """What the console said."""

    def __post_init__(self) -> None:
        self.page.on("request", self._note_request)
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def shoot(self, name: str) -> None:
        """Keep a picture of the whole page."""
        self.page.screenshot(path=self.shots / f"{name}.png", full_page=True)

    def is_in_sight(self, selector: str) -> bool:
        """Say whether something is seen whole without scrolling."""
        box = self.page.locator(selector).first.bounding_box()
        size = self.page.viewport_size
        assert size is not None
        return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= size["height"]

    def check(self, *allowed: str) -> None:
        """Check that nobody else was asked, nothing complained, and nothing hangs out.

        Raises:
            AssertionError: one of these.
        """
        elsewhere = [each for each in self.asked if not each.startswith((*allowed, "data:"))]
        assert not elsewhere
        assert not self.said
        assert not self.page.evaluate(OVERFLOW)
        widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        inner, outer = self.page.evaluate(widths)
        assert inner <= outer

    def _note_request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _note_message(self, message: ConsoleMessage) -> None:
        self.said.append(f"{message.type}: {message.text}")


@contextmanager
def visiting(browser: Browser, shots: Path, size: tuple[int, int], **more: Any) -> Iterator[Visit]:
    """Open a page in a fresh context while the block runs."""
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, **more)  # type: ignore[arg-type]
    context.set_default_timeout(20_000)
    yield Visit(context.new_page(), shots)
    context.close()


def shots_folder(default: Path) -> Path:
    """Return where pictures are kept: ``LADING_SCREENSHOTS``, or a folder of the test."""
    folder = Path(os.environ.get("LADING_SCREENSHOTS") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
