"""The calls to an API that takes records: each batch under a key that makes it count once."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from lading.errors import (
    BadDataError,
    LadingError,
    MisconfiguredError,
    ServiceError,
    TemporaryError,
    UnansweredError,
)
from lading.jobs.ingest.answers import (
    BUSY_STATUS,
    CONTENT_STATUS,
    Reading,
    Said,
    Shape,
    Verdict,
    read_answer,
)
from lading.jobs.ingest.records import Record
from lading.services.rest import RestClient
from lading.storage.progress import NO_PROGRESS, Progress

_ATTEMPTS = 5
_SILENT_CALLS = 3  # then nobody listens, and all others need not find out by themselves


class UnsettledError(TemporaryError):
    """A record that the API has not taken yet, as far as is known.

    Attributes:
        rows: the rows that are to be sent again together.
        is_known: whether the API said so: then sending it again is another request. Where no
            answer came, the same rows under the same key are the same request.
    """

    rows: tuple[int, ...] = ()
    is_known = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How an API wants records."""

    url: str
    """Where they are sent."""
    shape: Shape
    """Where it says what became of them."""
    method: str = "POST"
    """POST or PUT."""
    records_field: str = "records"
    """Field of the list of records; "": the list is all that is sent."""
    idempotency_header: str = "Idempotency-Key"
    """Header of the key of a request; "": none."""


class RecordsApi:
    """An API that takes records. Safe from several threads.

    Args:
        protocol: how it wants them.
        token: bearer token, or "".
        check: called before each request; raises where nothing more may be sent.
        silent: told once the API has not answered several times in a row.
        progress: called while a request waits; raises where the run is to end.
        sleep: how to wait; another one in tests.

    Raises:
        MisconfiguredError: a token would be sent for everybody to read.
    """

    def __init__(
        self,
        protocol: Protocol,
        *,
        token: str = "",
        check: Callable[[], None] = lambda: None,
        silent: Callable[[LadingError], None] = lambda _: None,
        progress: Progress = NO_PROGRESS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(protocol.url)
        try:
            self._rest = RestClient(
                "API",
                f"{parts.scheme}://{parts.netloc}",
                token=token,
                attempts=_ATTEMPTS,
                sleep=sleep,
            )
        except ServiceError as error:
            raise MisconfiguredError(str(error)) from error
        self._rest.progress = progress
        self._protocol = protocol
        self._check = check
        self._silent = silent
        self._unanswered = 0
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._rest.__exit__(*ignored)

    def send(self, records: Sequence[Record], generation: int = 1) -> list[LadingError | None]:
        """Send records, and return for each why it was not taken, or None where it was.

        What is refused as a whole is halved until the records at fault are found: of ``n``
        records, each bad one costs ``2 * log2(n)`` requests more.

        Args:
            records: at least one.
            generation: see ``idempotency_key``.

        Raises:
            MisconfiguredError: the API refuses whatever is sent.
            LeaseError, Interrupted: the run must not go on.
        """
        try:
            reading = self._ask(records, generation)
        except UnansweredError as error:
            return _unsettled(records, error.args[0])
        if reading.whole is None:
            return self._settle(records, reading.records, generation)
        if reading.whole.verdict is Verdict.AGAIN:
            return _unsettled(records, reading.whole.message, is_known=reading.whole.is_known)
        if len(records) == 1:
            return [BadDataError(reading.whole.message)]
        half = len(records) // 2
        return self.send(records[:half], generation) + self.send(records[half:], generation)

    def _settle(
        self, records: Sequence[Record], said: Sequence[Said], generation: int
    ) -> list[LadingError | None]:
        """Send what was not refused itself; the rest is as the API says."""
        unsent = [
            record
            for record, each in zip(records, said, strict=True)
            if each.verdict is Verdict.UNSENT
        ]
        again = [
            record
            for record, each in zip(records, said, strict=True)
            if each.verdict is Verdict.AGAIN
        ]
        sent = iter(self.send(unsent, generation) if unsent else ())
        outcomes: list[LadingError | None] = []
        for each in said:
            if each.verdict is Verdict.UNSENT:
                outcomes.append(next(sent))
            elif each.verdict is Verdict.AGAIN:
                outcomes.append(_unsettled(again, each.message, is_known=True)[0])
            else:
                refused = each.verdict is Verdict.REFUSED
                outcomes.append(BadDataError(each.message) if refused else None)
        return outcomes

    def _ask(self, records: Sequence[Record], generation: int) -> Reading:
        """Send one request.

        Raises:
            UnansweredError: it may have been done or not.
            MisconfiguredError: the API refuses it, whatever it holds.
        """
        self._check()
        protocol, tables = self._protocol, [each.table for each in records]
        name = protocol.idempotency_header
        key = idempotency_key(protocol.url, records, generation)
        try:
            answer = self._rest.ask(
                protocol.method,
                protocol.url,
                table={protocol.records_field: tables} if protocol.records_field else tables,
                headers={name: key} if name else {},
                repeats=True,
                accepts=CONTENT_STATUS,
            )
        except UnansweredError as error:
            self._note_silence(error)
            raise
        except ServiceError as error:
            if error.status in BUSY_STATUS:
                raise UnansweredError(error.args[0]) from error
            raise MisconfiguredError(str(error), hint=_ADVICE.get(error.status, "")) from error
        with self._guard:
            self._unanswered = 0
        return read_answer(answer, tables, protocol.shape)

    def _note_silence(self, error: LadingError) -> None:
        with self._guard:
            self._unanswered += 1
            is_silent = self._unanswered == _SILENT_CALLS
        if is_silent:
            self._silent(TemporaryError(f"{error.args[0]}, as {_SILENT_CALLS - 1} times before"))


_ADVICE = {
    401: "give the name of the variable that holds the token with --token-variable",
    403: "the token may not write there",
    404: "look at --url",
    405: "look at --method",
}


def idempotency_key(url: str, records: Sequence[Record], generation: int = 1) -> str:
    """Return the key of a request, 64 hexadecimal digits: equal for equal requests alone. Pure.

    Args:
        url: where it goes.
        records: what it holds.
        generation: how often these rows held something else before, and one more: going back to
            what they once held is a new request.
    """
    digest = hashlib.sha256(f"{url}\n".encode())
    if generation > 1:
        digest.update(f"generation {generation}\n".encode())
    for each in records:
        digest.update(f"{each.salt}{each.text}\n".encode())
    return digest.hexdigest()


def _unsettled(
    records: Sequence[Record], message: str, *, is_known: bool = False
) -> list[LadingError | None]:
    error = UnsettledError(message)
    error.is_known = is_known
    error.rows = tuple(each.row for each in records)
    return [error] * len(records)
