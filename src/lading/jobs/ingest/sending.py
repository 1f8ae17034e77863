"""All records of some files, sent: what was taken before is passed over, the rest goes in cuts."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from lading.errors import BadDataError, LadingError, TemporaryError
from lading.jobs.batch import SKIPPED, Batch, BatchReport
from lading.jobs.canonical import canonical_json
from lading.jobs.dead_letters import Failure
from lading.jobs.ingest.api import Protocol, RecordsApi, UnsettledError
from lading.jobs.ingest.marks import Cut, Marks
from lading.jobs.ingest.records import Record, Selection, read_records
from lading.jobs.ingest.values import render_record
from lading.jobs.keys import state_prefix
from lading.jobs.refs import ObjectRef
from lading.jobs.retries import RetryPolicy, Threshold
from lading.jobs.run import Run
from lading.storage import Body, Store

_TRIES = RetryPolicy(attempts=3)  # each of them is several requests, with pauses of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingestion:
    """What is to be sent, and how."""

    protocol: Protocol
    """How the API wants it."""
    selection: Selection
    """What of the files is sent."""
    target: str
    """Name of the API among what is remembered."""
    name: str
    """Name of what is sent among what is remembered of the API."""
    token: str = field(default="", repr=False)
    """Bearer token, or ""."""
    batch_size: int = 500
    """Records of a request."""
    concurrency: int = 4
    """Requests at one time."""
    max_failed: float = 0.0
    """Share of the records that may be refused."""
    sleep: Callable[[float], None] = time.sleep
    """How to wait; another one in tests."""

    def send(self, run: Run, store: Store, files: Sequence[ObjectRef]) -> BatchReport:
        """Send the records of files.

        Effects: the API has them; marks in the store of the run; at the end, what it has now.
        """
        dead = run.dead_letters.items()
        records = read_records(store, files, self.selection, dead)
        with self._open(run) as api:
            sender = _Sender(api, run, self._marks(run), dead)
            report = run.batch(records, self._batch(sender.send))
        if report.exit_code == 0:
            # an output, so that a run of before is not believed once others have sent something
            held = {"url": self.protocol.url, "files": [each.table() for each in sorted(files)]}
            body = Body.of_bytes(canonical_json(held))
            run.put(run.store, f"{self._prefix}held/{self.name}.json", body)
        return report

    def send_again(self, run: Run) -> BatchReport:
        """Send records whose dead letters a retry names, each by itself, as they were refused."""
        with self._open(run) as api:
            sender = _Sender(api, run, self._marks(run), frozenset())
            return run.batch(_letters(run), self._batch(sender.send_alone))

    @property
    def _prefix(self) -> str:
        return f"{state_prefix('ingest_api')}{self.target}/"

    def _marks(self, run: Run) -> Marks:
        return Marks(run.store, f"{self._prefix}sent/")

    def _open(self, run: Run) -> RecordsApi:
        return RecordsApi(
            self.protocol,
            token=self.token,
            check=run.check,
            silent=run.stop,
            progress=run.progress,
            sleep=self.sleep,
        )

    def _batch(self, send: Callable[[Sequence[Record]], list[Any]]) -> Batch[Record]:
        return Batch(
            work_many=send,
            name=lambda record: record.name,
            size_bytes=lambda record: len(record.text),
            size=self.batch_size,
            together=lambda record: record.file_url,
            concurrency=self.concurrency,
            retries=_TRIES,
            threshold=Threshold(tolerated=self.max_failed),
            letter=_letter,
        )


class _Sender:
    """Sends records in cuts: rows of one file that come together. From several threads.

    Args:
        api: where to.
        run: the run. What was refused before, for the time being or for good, is another request
            each time: the answer to the same one may be kept.
        marks: what was taken before.
        dead: names of records that were refused for good before.
    """

    def __init__(self, api: RecordsApi, run: Run, marks: Marks, dead: Collection[str]) -> None:
        self._api = api
        self._run = run
        self._marks = marks
        self._dead = dead
        self._tries: Counter[str] = Counter()
        self._open: dict[tuple[str, int], Cut] = {}
        self._guard = threading.Lock()

    def send(self, records: Sequence[Record]) -> list[Any]:
        """Return for each record, in order, what became of it: see ``Batch.work_many``."""
        outcomes: dict[str, Any] = {}
        for _, rows in groupby(records, key=lambda each: each.file_url):
            outcomes |= self._send_rows(list(rows))
        return [outcomes[each.name] for each in records]

    def send_alone(self, records: Sequence[Record]) -> list[Any]:
        """As ``send``, of records that go by themselves, whatever was taken before."""
        return [each.fault or self._send_alone(each) for each in records]

    def _send_rows(self, rows: Sequence[Record]) -> Mapping[str, Any]:
        outcomes: dict[str, Any] = {
            each.name: each.fault or SKIPPED for each in rows if each.fault or not each.row
        }
        whole = [each for each in rows if each.row]
        good = [each for each in whole if not each.fault]
        if whole:
            cut = self._cut(whole)
            outcomes |= {each.name: SKIPPED for each in good if each.row in cut.taken}
            left = [each for each in good if each.row not in cut.taken]
            outcomes |= self._send_cut(cut, left)
        return outcomes

    def _send_alone(self, record: Record) -> LadingError | None:
        [error] = self._request([record], 1)
        if error is None:
            self._marks.add(record)
        return error

    def _send_cut(self, cut: Cut, left: Sequence[Record]) -> dict[str, Any]:
        outcomes: dict[str, Any] = {}
        dead = {each.row for each in left if each.name in self._dead}
        wanted = {each.row for each in left} - dead
        rows = [row for row in cut.records if row not in dead]
        taken = []
        try:
            requests = choose_requests(rows, wanted, cut.sent_with)
            for request in [*requests, *((row,) for row in sorted(dead))]:
                records = [self._renewed(cut.records[row]) for row in request]
                errors = self._request(records, cut.generation)
                for record, error in zip(records, errors, strict=True):
                    outcomes[record.name] = error
                    if isinstance(error, UnsettledError):
                        cut.sent_with[record.row] = error.rows
                    elif error is None:
                        taken.append(record.row)
        finally:
            cut.note(taken)
        self._keep_open(cut, outcomes)
        return outcomes

    def _renewed(self, record: Record) -> Record:
        """Return a record as it is sent after it was refused for good, as a retry does."""
        if record.name not in self._dead:
            return record
        letters = self._run.dead_letters.letters(record.name)
        return replace(record, salt=_salt(max((each.attempt for each in letters), default=0)))

    def _request(self, records: Sequence[Record], generation: int) -> list[LadingError | None]:
        salted = [
            replace(each, salt=f"{each.salt}{self._run.attempt}.{self._tries[each.name]}\n")
            if self._tries[each.name]
            else each
            for each in records
        ]
        errors = self._api.send(salted, generation)
        self._tries.update(
            record.name
            for record, error in zip(records, errors, strict=True)
            if isinstance(error, UnsettledError) and error.is_known
        )
        return errors

    def _cut(self, rows: Sequence[Record]) -> Cut:
        """Return the cut that rows belong to: one that has begun, or a new one."""
        with self._guard:
            begun = self._open.get((rows[0].file_url, rows[0].row))
        return begun or Cut(self._marks, rows)

    def _keep_open(self, cut: Cut, outcomes: Mapping[str, Any]) -> None:
        """Keep a cut for as long as some of it will be tried again."""
        with self._guard:
            for row, record in cut.records.items():
                name = (record.file_url, row)
                if isinstance(outcomes.get(record.name), UnsettledError):
                    self._open[name] = cut
                else:
                    self._open.pop(name, None)


def choose_requests(
    rows: Sequence[int], wanted: Collection[int], sent_with: Mapping[int, tuple[int, ...]]
) -> Iterator[tuple[int, ...]]:
    """Yield rows that go into a request each, so that none is sent in new company. Pure.

    A request whose answer was lost is the same request only with the same rows. So those are
    repeated that were sent before; and of the rest, halves and halves of halves, as they were
    sent where a whole was refused.

    Args:
        rows: all rows of the cut, in order.
        wanted: those that are to be sent.
        sent_with: by row the rows that it was sent with, where no answer came.
    """
    repeated = {sent_with[row] for row in wanted if row in sent_with}
    repeated = {each for each in repeated if set(each) <= set(wanted)}
    yield from sorted(repeated)
    yield from _halves(rows, set(wanted) - {row for each in repeated for row in each})


def _halves(rows: Sequence[int], wanted: set[int]) -> Iterator[tuple[int, ...]]:
    chosen = wanted.intersection(rows)
    if not chosen:
        return
    if len(chosen) == len(rows):
        yield tuple(rows)
        return
    half = len(rows) // 2
    yield from _halves(rows[:half], wanted)
    yield from _halves(rows[half:], wanted)


def _letter(record: Record, error: Exception) -> Failure:
    return Failure(
        error_class=type(error).__name__,
        message=str(error),
        payload=record.text or None,
        reference=record.name,
    )


def _letters(run: Run) -> Iterator[Record]:
    """Yield the records that a retry wants, out of their dead letters."""
    for item in sorted(run.only or ()):
        for letter in run.dead_letters.letters(item):
            yield _revive(item, letter.payload, letter.attempt)


def _revive(item: str, payload: str | None, attempt: int) -> Record:
    """Make a record of a dead letter: a refusal may be remembered by the key of its request."""
    file_url, _, number = item.rpartition("#")
    fault: LadingError | None = None
    table: Any = None
    try:
        table = json.loads(payload or "")
    except ValueError:
        fault = BadDataError(f"{item}: expected the record in its dead letter, found none")
    if not file_url or not number.isdigit():
        # its rows are items of their own, which this retry does not want
        told = TemporaryError(f"{item}: expected a record; run the job again to send a file")
        return Record(file_url=item, row=0, fault=told)
    return Record(
        file_url=file_url,
        row=int(number),
        table=table or {},
        text=render_record(table) if table else "",
        salt=_salt(attempt),
        fault=fault,
    )


def _salt(attempt: int) -> str:
    """Return what makes a record's request after so many refusals another one."""
    return f"try {attempt + 1}\n"
