"""Plain HTTP to an object store: pooled, retried by type, bodies straight from the disk.

The dialects (``s3_dialect``, ``gcs_dialect``) say how a request is authorised and what an
answer means; nothing here knows a cloud. A request is sent again only where the service, or
the network, may answer otherwise the next time.
"""

import http.client
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import uniform
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import google_crc32c
import stamina
import stamina.instrumentation
import urllib3

from lading.errors import ChecksumError, ConditionError, StoreError, UnavailableError
from lading.release.objects import encode_crc32c
from lading.storage.bytes import crc_of
from lading.storage.progress import NO_PROGRESS, Progress
from lading.storage.retries import note_retry

WORKERS = 32
NEAR_WORKERS = 8
_NEAR_S = 0.003  # a service that answers within is not waited for: more threads only contend
STREAMS = 16
ATTEMPTS = 9
PIECE_BYTES = 1 << 18
_LONGEST_PAUSE_S = 20.0
_LONGEST_PATIENCE_S = 300.0
_CONNECT_S = 15.0
_SUCCESS = 2  # hundred

Headers = Mapping[str, str]

# what is tried again is no event of its own: it stands in the log, and the end is told
stamina.instrumentation.set_on_retry_hooks([note_retry])


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """Bytes of a file as the body of a request."""

    path: Path
    """The file."""
    start: int
    """First byte."""
    size: int
    """Number of bytes."""
    crc32c: str
    """CRC32C of the file's bytes up to the end of this part, from ``checked_from`` on; base64."""
    checked_from: int | None = None
    """Where ``crc32c`` begins; None: at ``start``."""
    head: bytes = b""
    """What goes before the bytes."""
    tail: bytes = b""
    """What goes after them."""
    progress: Progress = NO_PROGRESS
    """Told of the bytes sent; told again, less, of those of a try that failed."""

    @property
    def length(self) -> int:
        """Size of the body, in bytes."""
        return len(self.head) + self.size + len(self.tail)

    def pieces(self, sent: list[int]) -> Iterator[bytes]:
        """Yield the body; its last piece only once the checksum was found right.

        So no service, however careless, ever holds other bytes than those announced.

        Args:
            sent: one number, raised by the bytes of the file that were handed out.

        Raises:
            ChecksumError: the file is shorter, or its bytes are others.
        """
        descriptor = _open(self.path)
        try:
            crc = self._crc_before(descriptor)
            if self.head:
                yield self.head
            position, end = self.start, self.start + self.size
            while position < end:
                piece = os.pread(descriptor, min(PIECE_BYTES, end - position), position)
                if not piece:
                    raise ChecksumError(f"{self.path}: expected {end} bytes, found {position}")
                crc = google_crc32c.extend(crc, piece)
                position += len(piece)
                if position == end:
                    self._require(crc)
                sent[0] += len(piece)
                self.progress.relative_update(len(piece))  # may end the run: the piece stays here
                yield piece
            if not self.size:
                self._require(crc)
            if self.tail:
                yield self.tail
        finally:
            os.close(descriptor)

    def _crc_before(self, descriptor: int) -> int:
        first = self.start if self.checked_from is None else self.checked_from
        return crc_of(descriptor, first, self.start - first)

    def _require(self, crc: int) -> None:
        found = encode_crc32c(crc)
        if found != self.crc32c:
            raise ChecksumError(
                f"{self.path}: expected crc32c {self.crc32c} ({self.size} bytes),"
                f" got crc32c {found} ({self.size} bytes)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of a store's API, before it is authorised."""

    operation: str
    """The service's own word for it, e.g. ``PutObject``."""
    place: str
    """What it is about, for messages: bucket and key."""
    method: str
    """HTTP method."""
    url: str
    """Whole URL; never holds a secret."""
    headers: Headers = field(default_factory=dict)
    """Headers beside those that authorise."""
    body: bytes | FilePart = b""
    """What to send."""
    accepts: frozenset[int] = frozenset({200})
    """Status codes that mean success."""
    expects: str = ""
    """What a genuine answer holds, in the words of the dialect; "" asks for nothing."""
    sha256: str = ""
    """Of the body, where it is known."""
    patience: float = 60.0
    """Seconds without a byte after which an answer is given up."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    """Status code."""
    headers: urllib3.HTTPHeaderDict
    """Headers."""
    data: bytes
    """Body."""

    @property
    def ok(self) -> bool:
        """Whether it calls itself a success of any kind."""
        return self.status // 100 == _SUCCESS

    @property
    def retry_after(self) -> float:
        """Seconds that the service asks to wait, at most a few; 0 where it asks for none."""
        text = self.headers.get("Retry-After", "")
        return min(float(text), _LONGEST_PAUSE_S) if text.isdigit() else 0.0


class Dialect(Protocol):
    """What a cloud's API asks of a request, and means by an answer."""

    def authorise(self, request: Request) -> dict[str, str]:
        """Return all headers of a request, with what proves who sends it.

        Raises:
            StoreError: there are no credentials.
        """

    def refresh(self) -> None:
        """Fetch new credentials: the service called those in use expired."""

    def judge(self, request: Request, reply: Reply) -> None:
        """Accept an answer, or raise what it means.

        Raises:
            UnavailableError: another try may succeed.
            StoreError: none will.
        """


class ExpiredError(UnavailableError):
    """The credentials have expired; with new ones another try may succeed."""


class _WatchedLines:
    """Passes on the lines of an answer's head, and remembers the last one."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self.stream.readline(limit)
        return bytes(self.last)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _WholeHead(http.client.HTTPResponse):
    """An answer whose head must have come whole: the standard library takes a cut one for one."""

    def begin(self) -> None:
        watched = _WatchedLines(self.fp)
        self.fp = watched  # type: ignore[assignment]  # only its lines are read here
        super().begin()
        self.fp = watched.stream
        if watched.last not in {b"\r\n", b"\n"}:
            self.close()
            raise http.client.RemoteDisconnected("the head of the answer was cut")


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _WholeHead


class _TlsConnection(urllib3.connection.HTTPSConnection):
    response_class = _WholeHead


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Wire:
    """Connections to one service.

    Args:
        dialect: how it is spoken to.
        url: any URL of the service.
        ca_bundle: file of the authorities to trust instead of the system's, or "".
        workers: how many connections at most.

    Raises:
        StoreError: the file of authorities cannot be used.
    """

    def __init__(
        self, dialect: Dialect, url: str, *, ca_bundle: str = "", workers: int = WORKERS
    ) -> None:
        self._dialect = dialect
        self._quickest_s = float("inf")
        self._streams = threading.BoundedSemaphore(STREAMS)
        self._manager = _open_manager(url, ca_bundle, workers)
        parts = urlsplit(url)
        self._host = f"{parts.scheme}://{parts.netloc}"
        is_relayed = isinstance(self._manager, urllib3.ProxyManager) and parts.scheme == "http"
        self._pool = None if is_relayed else self._manager.connection_from_url(url)

    @property
    def workers(self) -> int:
        """How many calls at once the service answers best, by how far away it was found to be."""
        return NEAR_WORKERS if self._quickest_s < _NEAR_S else WORKERS

    def send(self, request: Request) -> Reply:
        """Send a request, again where that may help, and return the answer.

        Raises:
            StoreError: the service refused.
            UnavailableError: it did not answer, or asked to come back, every time.
            ConditionError: with ``repeated`` set where an earlier try may have been done.
        """
        try:
            return self.send_once(request)
        except UnavailableError as error:
            time.sleep(error.retry_after)
        for attempt in stamina.retry_context(
            on=_pause_of,
            attempts=ATTEMPTS - 1,
            timeout=_LONGEST_PATIENCE_S,
            wait_initial=0.05,
            wait_max=_LONGEST_PAUSE_S,
            wait_jitter=0.2,
        ):
            with attempt:
                try:
                    return self.send_once(request)
                except ConditionError as error:
                    error.repeated = True
                    raise
                except UnavailableError as error:
                    error.tries = attempt.num + 1
                    raise
        raise AssertionError  # pragma: no cover  a retry context returns or raises

    def send_once(self, request: Request) -> Reply:
        """Send a request once.

        Raises:
            StoreError, UnavailableError: as ``send``.
        """
        headers = self._dialect.authorise(request)
        body = request.body
        sent = [0]
        headers["Content-Length"] = str(len(body) if isinstance(body, bytes) else body.length)
        begun = time.monotonic()
        sent_body: Any = body if isinstance(body, bytes) else self._stream(body, sent)
        try:
            sender, target = self._route(request.url)
            response = sender.urlopen(
                request.method,
                target,
                headers=headers,
                body=sent_body,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=_CONNECT_S, read=request.patience),
                decode_content=False,
            )
            reply = Reply(response.status, response.headers, response.data)
            self._quickest_s = min(self._quickest_s, time.monotonic() - begun)
            self._dialect.judge(request, reply)
        except BaseException as error:
            if not isinstance(body, bytes):
                body.progress.relative_update(-sent[0])
            if isinstance(error, ExpiredError):
                self._dialect.refresh()
            if isinstance(error, urllib3.exceptions.HTTPError | OSError):
                raise _explain(request, error) from error
            raise
        finally:
            if not isinstance(body, bytes):
                sent_body.close()  # an error refers to it: it would keep its file and its turn
        return reply

    def _stream(self, body: FilePart, sent: list[int]) -> Iterator[bytes]:
        """Send one of few bodies at once: more threads would only wait for each other."""
        with self._streams:
            yield from body.pieces(sent)

    def _route(self, url: str) -> tuple[urllib3.PoolManager | urllib3.HTTPConnectionPool, str]:
        """Return who sends to a URL, and what the request line says; the pool costs least."""
        if self._pool is not None and url.startswith(f"{self._host}/"):
            return self._pool, url[len(self._host) :]
        return self._manager, url


def crc_of_part(path: Path, start: int, size: int) -> str:
    """Return the CRC32C of a part of a file, base64.

    Raises:
        ChecksumError: the file is gone.
    """
    descriptor = _open(path)
    try:
        return encode_crc32c(crc_of(descriptor, start, size))
    finally:
        os.close(descriptor)


def until_it_moves(act: Callable[[], None], position: Callable[[], int]) -> None:
    """Act again and again while that gets on, and for a bounded number of times where it does not.

    Args:
        act: what to do; it goes on from where it stands.
        position: how far it has come.

    Raises:
        UnavailableError: the last one, when it no longer got on.
    """
    stalled, best = 0, -1
    while True:
        try:
            return act()
        except UnavailableError as error:
            now = position()
            stalled = 0 if now > best else stalled + 1
            best = max(best, now)
            if stalled >= ATTEMPTS:
                raise
            backoff = min(_LONGEST_PAUSE_S, 0.05 * 2**stalled) + uniform(0, 0.2)  # noqa: S311
            time.sleep(error.retry_after or backoff)


def _pause_of(error: Exception) -> bool | float:
    """Say whether to try again: no, yes, or yes after so many seconds."""
    if not isinstance(error, UnavailableError):
        return False
    return error.retry_after or True


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise ChecksumError(f"{path}: expected to send it, got {error.strerror!r}") from error


def _explain(request: Request, error: Exception) -> StoreError:
    """Say in one line what the network did; most of it may go better the next time."""
    cause: BaseException = error
    while cause.__cause__ is not None or cause.__context__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
        if isinstance(cause, ssl.SSLCertVerificationError):
            return StoreError(
                f"{request.place}: {request.operation}: expected a certificate that this machine"
                f" trusts, got {cause.verify_message!r}",
                hint="name the authorities' file in AWS_CA_BUNDLE (for S3) or SSL_CERT_FILE",
            )
    host = urlsplit(request.url).netloc
    reason = (getattr(cause, "strerror", "") or str(cause) or type(cause).__name__).splitlines()[0]
    return UnavailableError(
        f"{request.place}: {request.operation}: expected an answer of {host}, got {reason!r}"
    )


def _open_context(ca_bundle: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_bundle or None)
    except OSError as error:  # ssl.SSLError among them: the file is no certificate
        raise StoreError(
            f"{ca_bundle}: expected a file of authorities to trust, got {error.strerror!r}"
        ) from error


def _open_manager(url: str, ca_bundle: str, workers: int) -> urllib3.PoolManager:
    parts = urlsplit(url)
    context = _open_context(ca_bundle) if parts.scheme != "http" else None
    # blocking: no more connections than workers, however many parts wait
    options: dict[str, Any] = {"maxsize": workers, "block": True, "ssl_context": context}
    proxy = getproxies().get(parts.scheme, "")
    manager = (
        urllib3.ProxyManager(proxy, num_pools=2, **options)
        if proxy and not proxy_bypass(parts.hostname or "")
        else urllib3.PoolManager(num_pools=2, **options)
    )
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager
