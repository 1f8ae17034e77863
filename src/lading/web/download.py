"""Command lines that a reader pastes to fetch a file and prove it. Pure.

A name may hold anything: it is quoted for a POSIX shell, with ``$'...'`` where it holds what
cannot be seen, and never becomes an option or a folder.
"""

import re
import shlex
from urllib.parse import quote

_SAFE_IN_URL = "/!$&'()*+,;=:@~-._"
_WEB = re.compile(r"https?://[^\s/]", re.IGNORECASE)


def is_web_url(url: str) -> bool:
    """Say whether a browser may be led there: http or https, and nothing else."""
    return bool(_WEB.match(url)) and not re.search(r"[\x00-\x20\x7f\\]", url)


def file_url(base: str, key: str) -> str:
    """Return the URL of a key below a base; "" where the base is none."""
    if not is_web_url(base):
        return ""
    return base.rstrip("/") + "/" + quote(key, safe=_SAFE_IN_URL, errors="replace")


def download_line(url: str, key: str, sha256: str) -> str:
    """Return the line that fetches a file and fails unless it has this digest.

    Args:
        url: where it is.
        key: its key; what is fetched gets the last part as its name.
        sha256: its digest.
    """
    name = _name_of(key)
    mark = "\\" if _escaped(name) != name else ""
    checked = f"{mark}{sha256}  {_escaped(name)}"
    fetch = f"curl -fL -o {quote_word(name)} {quote_word(url)}"
    return f"{fetch} && printf '%s\\n' {quote_word(checked)} | sha256sum -c -"


def release_line(base: str) -> str:
    """Return the line that proves all that was fetched of a release, by its SHA256SUMS."""
    return f"curl -fL -O {quote_word(file_url(base, 'SHA256SUMS'))} && sha256sum -c SHA256SUMS"


def quote_word(text: str) -> str:
    """Quote a text as one word of a shell; what cannot be seen is written as its bytes."""
    if text.isprintable():
        return shlex.quote(text)
    written = "".join(_as_bytes(each) for each in text)
    return f"$'{written}'"


def _as_bytes(letter: str) -> str:
    if letter in "'\\":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    # three digits always: a digit that follows must not become a part of it
    return "".join(f"\\{byte:03o}" for byte in letter.encode("utf-8", "replace"))


def _name_of(key: str) -> str:
    name = key.rstrip("/").rpartition("/")[2].replace("\0", "_")
    if name in {"", ".", ".."}:
        return "download"
    return f"./{name}" if name.startswith("-") else name


def _escaped(name: str) -> str:
    """Write a name as ``sha256sum`` does. Source: GNU coreutils, "md5sum invocation"."""
    return name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
