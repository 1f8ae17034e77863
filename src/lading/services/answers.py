"""What a service's answer says: whether to wait or ask again, and its words in one line."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from lading.services.redaction import redact

LONGEST_WAIT_S = 3600.0
"""An hour's allowance is the longest that a service counts."""
_SECONDARY_S = 60.0
_TRANSIENT = frozenset({408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TOO_MANY, _FORBIDDEN = 429, 403
_SUCCESS = 2  # hundred
_TOLD_CHARS = 300
_TAGS = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said."""

    status: int
    """HTTP status code."""
    table: Any = None
    """Its JSON; None where there was none to be."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Its headers, names in small letters."""
    content: bytes = field(default=b"", repr=False)
    """Its body as it came."""

    @property
    def is_success(self) -> bool:
        """Whether it calls itself a success of any kind."""
        return self.status // 100 == _SUCCESS

    @property
    def is_passing(self) -> bool:
        """Whether another try may be answered otherwise."""
        return self.status in _TRANSIENT

    @property
    def redirect(self) -> str:
        """Where it sends us, as it says it; "" where it does not."""
        return self.headers.get("location", "") if self.status in _REDIRECTS else ""

    @property
    def is_last(self) -> bool:
        """Whether the service's allowance is used up by it."""
        return self.headers.get("x-ratelimit-remaining", "") == "0"

    @property
    def until_reset_s(self) -> float:
        """Seconds until there is a new allowance; 0 where it does not tell."""
        text = self.headers.get("x-ratelimit-reset", "")
        return max(0.0, min(float(text) - time.time(), LONGEST_WAIT_S)) if _is_number(text) else 0.0

    def asked_pause_s(self, waited_s: float) -> float | None:
        """Return the seconds that the service asks to wait; None where it took the request.

        Args:
            waited_s: seconds that this request has waited so far.
        """
        # GitHub, "Rate limits for the REST API": then a minute, where nothing else is said
        secondary = b"secondary rate limit" in self.content
        asked = "retry-after" in self.headers or self.is_last or secondary
        if self.status != _TOO_MANY and not (self.status == _FORBIDDEN and asked):
            return None
        text = self.headers.get("retry-after", "")
        if _is_number(text):
            return max(1.0, float(text))
        # as long as all before together, so that the waiting doubles
        return self.until_reset_s or max(_SECONDARY_S if secondary else 1.0, waited_s)

    def describe(self) -> str:
        """Say it in one line without secrets: its message, or how it begins."""
        text = self.content.decode(errors="replace")
        try:
            table = json.loads(text)
            if isinstance(table, dict) and table.get("message"):
                text = "; ".join([str(table["message"]), *_faults(table.get("errors"))])
        except (ValueError, RecursionError):
            kind = self.headers.get("content-type", "no type").partition(";")[0]
            text = f"({kind}) {_TAGS.sub(' ', text)}"
        if self.redirect:
            parts = urlsplit(self.redirect)
            text = f"a redirect to {parts._replace(query='', fragment='').geturl()}"
        return f"{self.status} {redact(' '.join(text.split()))[:_TOLD_CHARS]!r}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _faults(errors: Any) -> Iterator[str]:
    for each in errors if isinstance(errors, list) else ():
        if isinstance(each, dict):
            said = each.get("messages") or [each.get("message") or each.get("code") or ""]
            yield f"{each.get('field', '')}: {', '.join(map(str, said))}".strip(": ")
        else:
            yield str(each)
