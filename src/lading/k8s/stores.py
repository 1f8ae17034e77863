"""Stores that two versions would both write: the one mistake that costs public data."""

import posixpath
import re
from collections.abc import Mapping, Sequence

# fsspec and Hadoop know these by several names
_SAME_SCHEME = {"gcs": "gs", "s3a": "s3", "s3n": "s3"}
_DEFAULT_PORT = {"http": ":80", "https": ":443"}


def canonical_store(url: str) -> str:
    """Return the one way to write the URL of a store, or its path. Pure.

    Scheme and host in small letters, without the scheme's own port; no doubled or last slash, no
    ``.`` and ``..``. A ``file://`` URL is the path itself. Two stores that a service might keep
    apart (``a//b`` and ``a/b``) come out as one: better a false alarm than lost data.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _normal_path(url)
    scheme = scheme.lower()
    scheme = _SAME_SCHEME.get(scheme, scheme)
    host, _, path = rest.partition("/")
    if scheme == "file":
        return _normal_path(f"/{path}")
    host = host.lower().removesuffix(_DEFAULT_PORT.get(scheme, ":"))
    path = _normal_path(f"/{path}")
    return f"{scheme}://{host}{'' if path == '/' else path}"


def shared_stores(
    mine: Mapping[str, Sequence[str]], theirs: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return one line for each store that two owners would write, or that lies in another's.

    An owner shares nothing with itself. Pure.

    Args:
        mine: URLs by owner, of what is about to be deployed.
        theirs: URLs by owner, of what they must keep off.
    """
    taken = [(owner, url) for owner, urls in sorted(theirs.items()) for url in urls]
    pairs = (
        (owner, url, other, their_url)
        for owner, urls in sorted(mine.items())
        for url in urls
        for other, their_url in taken
        if owner != other
    )
    found = (_overlap(*each) for each in pairs)
    return list(dict.fromkeys(each for each in found if each))


def _overlap(owner: str, url: str, other: str, their_url: str) -> str:
    one, another = _segments(url), _segments(their_url)
    shorter = min(len(one), len(another))
    if one[:shorter] != another[:shorter]:
        return ""
    got = f"{url} of {owner}"
    if one == another:
        written = "" if url == their_url else f" (as {their_url})"
        got += f", which {other} writes, too{written}"
    elif len(one) > len(another):
        got += f", which lies inside {their_url} of {other}"
    else:
        got += f", which holds {their_url} of {other}"
    return f"store: expected one that nobody else writes, got {got}"


def _segments(url: str) -> tuple[str, ...]:
    scheme, separator, rest = canonical_store(url).partition("://")
    if not separator:
        # an absolute path begins with an empty segment; `/` alone has no other
        return tuple(scheme.rstrip("/").split("/"))
    return (separator, scheme, *rest.split("/"))


def _normal_path(path: str) -> str:
    return posixpath.normpath(re.sub(r"/+", "/", path)) if path else ""
