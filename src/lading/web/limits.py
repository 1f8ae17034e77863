"""What holds for every request before it is answered, and for every answer: pure ASGI.

From the outside in: headers of safety, the last resort, how often one may ask, which page may
ask, how large a body may be.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lading.web.auth import Doorkeeper
from lading.web.problems import Problem, answer_problem, too_many
from lading.web.rates import Buckets, name_address

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that ask for nothing but an answer."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}
"""Headers of every answer that does not bring its own."""
_PORTS = {"http": 80, "https": 443}


class SafeHeaders:
    """Adds to every answer the headers that keep a browser from guessing, framing, keeping.

    Args:
        app: the application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, add)


class RateLimit:
    """Answers 429 where a token, or else an address, asks too often.

    Args:
        app: the application inside.
        door: knows whose token it is, where it was valid lately.
        reads: buckets of requests that only read.
        writes: buckets of those that ask for something.
    """

    def __init__(self, app: ASGIApp, door: Doorkeeper, reads: Buckets, writes: Buckets) -> None:
        self._app = app
        self._door = door
        self._reads = reads
        self._writes = writes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say when to ask again."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        name = self._door.name_of(Headers(scope=scope).get("authorization", ""))
        host = (scope.get("client") or ("",))[0]
        who = f"token {name}" if name else f"address {name_address(host)}"
        buckets = self._reads if scope["method"] in SAFE else self._writes
        wait_s = buckets.take(who)
        if wait_s:
            problem = too_many("expected fewer requests a minute than were got", wait_s)
            return await answer_problem(problem)(scope, receive, send)
        return await self._app(scope, receive, send)


class SameOrigin:
    """Refuses what a page of another origin asks for: a browser may send a password along.

    Programs send neither ``Origin`` nor ``Sec-Fetch-Site``, and are not affected.

    Args:
        app: the application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, unless a page of another origin sent it."""
        if scope["type"] == "http" and scope["method"] not in SAFE:
            headers = Headers(scope=scope)
            fault = find_other_origin(
                headers.get("sec-fetch-site", ""),
                headers.get("origin", ""),
                headers.get("host", ""),
            )
            if fault:
                return await answer_problem(Problem("other-origin", fault))(scope, receive, send)
        return await self._app(scope, receive, send)


def find_other_origin(site: str, origin: str, host: str) -> str:
    """Say which other origin a request comes from; "" where it is ours, or no page at all.

    Args:
        site: ``Sec-Fetch-Site``; where a browser sends it, no page can forge it.
        origin: ``Origin``.
        host: ``Host``. A proxy may have taken TLS away, so that schemes are not compared.
    """
    if site and site not in {"same-origin", "none"}:
        return f"expected a request of our own pages, got one from a page that is {site[:20]!r}"
    if not site and origin and not _is_same(origin, host):
        return f"expected an origin of {host[:200]!r}, got {origin[:200]!r}"
    return ""


def _is_same(origin: str, host: str) -> bool:
    try:
        one = urlsplit(origin)
        other = urlsplit(f"{one.scheme}://{host}")
        default = _PORTS.get(one.scheme)
        return bool(one.hostname) and (one.hostname, one.port or default) == (
            other.hostname,
            other.port or default,
        )
    except ValueError:
        return False


class BodyLimit:
    """Answers 413 where a body is larger than it may be: as announced, or counted as it comes.

    Args:
        app: the application inside.
        limit_bytes: size that a body may have.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what is too much is read by nobody."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        announced = Headers(scope=scope).get("content-length", "")
        if _number(announced) > self._limit:
            return await answer_problem(self._problem())(scope, receive, send)
        seen = 0

        async def count() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise self._problem()
            return message

        return await self._app(scope, count, send)

    def _problem(self) -> Problem:
        told = f"expected a body of at most {self._limit} bytes, got more"
        return Problem("too-large", told, headers={"Connection": "close"})


def _number(text: str) -> int:
    digits = text.lstrip("0") if text.isascii() and text.isdigit() else ""
    return int(digits[:20] or 0)  # twenty digits are more than anything may have
