"""A transformation from end to end: bring, look at, read, judge, write."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lading.errors import BadDataError
from lading.jobs.dead_letters import Failure
from lading.jobs.refs import ObjectRef
from lading.jobs.run import Run
from lading.jobs.transform.bronze import load_bronze, require_columns, require_keys
from lading.jobs.transform.engine import Engine
from lading.jobs.transform.letters import Tally, number_rows, write_letters
from lading.jobs.transform.load import LoadedSchema, load_schema
from lading.jobs.transform.lookups import load_codes, load_lookups
from lading.jobs.transform.silver import Silver, mark_duplicates
from lading.jobs.transform.sources import BronzeFile, bring, list_bronze, look_at_all
from lading.jobs.transform.sql import Tables, literal
from lading.storage import Entry, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be transformed, and how."""

    schema: str
    """Path or URL of the schema file."""
    source: str
    """Path or URL of bronze."""
    destination: str
    """Path or URL of silver."""
    pattern: str
    """Which objects of the source."""
    max_bad: float
    """Share of rows, or of files, that may be bad."""
    allow_empty: bool
    """Whether a source without objects is fine."""
    memory: str
    """The engine's memory, or ""."""
    threads: int
    """The engine's threads, or 0."""


def transform(order: Order, run: Run) -> None:
    """Make silver of bronze; see ``lading.jobs.builtin.transform``.

    Effects: dead letters of bad files and rows; silver, unless too much is bad.

    Raises:
        MisconfiguredError: schema, source or destination are wrong.
        BadDataError: there is nothing to read, or too much is bad.
    """
    loaded = load_schema(order.schema, run.open_store)
    source = run.open_store(order.source)
    entries = list_bronze(source, order.pattern)
    if not entries and not order.allow_empty:
        raise BadDataError(
            f"--source {source.url}: expected objects that match {order.pattern!r}, found none",
            hint="is it the right place? --allow-empty where this is no fault",
        )
    run.began(len(entries), sum(each.size_bytes for each in entries))
    with tempfile.TemporaryDirectory(prefix="lading-transform-") as name:
        folder = Path(name)
        spill = folder / "spill"
        spill.mkdir()
        with Engine(spill, memory=order.memory, threads=order.threads, check=run.check) as engine:
            _Transformation(order, run, loaded, source, engine, folder).run(entries)


class _Transformation:
    """One transformation, with all that its steps share."""

    def __init__(
        self,
        order: Order,
        run: Run,
        loaded: LoadedSchema,
        source: Store,
        engine: Engine,
        folder: Path,
    ) -> None:
        self._order, self._run, self._loaded = order, run, loaded
        self._source, self._engine, self._folder = source, engine, folder
        self._schema = loaded.schema

    def run(self, entries: Sequence[Entry]) -> None:
        """Do all steps."""
        self._run.read(
            *self._loaded.refs, *(ObjectRef.of_entry(self._source.url, each) for each in entries)
        )
        tables = self._prepare(entries)
        files = bring(self._source, entries, self._folder / "bronze", self._run.check)
        files = look_at_all(files, self._schema, self._engine.threads, self._run.check)
        require_columns(self._schema, files, self._source.url)
        self._tell_ignored(files)
        files = load_bronze(self._engine, self._schema, tables, files)
        if self._schema.format == "jsonl":
            require_keys(self._engine, self._schema, files, self._source.url)
        tallies = number_rows(self._engine, self._schema, files)
        self._bury(files, tallies)
        self._require_good(files, tallies)
        duplicates = mark_duplicates(self._engine, self._schema)
        destination = self._run.open_store(self._order.destination)
        silver = Silver(self._run, destination, self._schema)
        written = silver.write(self._engine, tables, self._folder)
        self._finish(files)
        self._run.count("duplicates", duplicates)
        rows = sum(each.rows for each in written)
        self._run.log.info(
            "%d rows of %d files became %d rows in %d files; %d duplicates",
            sum(each.rows for each in tallies.values()),
            len(files),
            rows,
            len(written),
            duplicates,
        )

    def _prepare(self, entries: Sequence[Entry]) -> Tables:
        file_name = self._loaded.document.ref.key
        load_codes(self._engine, self._schema, file_name)
        keys = ", ".join(literal(each.key) for each in entries) or literal("")
        self._engine.execute(f"SET VARIABLE source_files = [{keys}]")
        return load_lookups(self._engine, self._loaded, self._folder)

    def _tell_ignored(self, files: Sequence[BronzeFile]) -> None:
        used = {each.origin for each in self._schema.columns}
        ignored = {
            name for each in files if each.shape is not None for name in each.shape.columns
        } - used
        if ignored:
            listed = ", ".join(sorted(ignored))
            self._run.log.info("columns that the schema does not name are left out: %s", listed)

    def _bury(self, files: Sequence[BronzeFile], tallies: dict[int, Tally]) -> None:
        for each in files:
            if each.fault is not None:
                failure = Failure(
                    error_class=each.fault.error_class,
                    message=each.fault.message,
                    reference=self._item(each),
                )
                self._run.fail(self._item(each), [failure])
        with_bad = [number for number, each in sorted(tallies.items()) if each.bad]

        def send(number: int, path: Path) -> None:
            item = self._item(files[number])
            letters = self._run.dead_letters.put_file(
                item, path, run=self._run.id, arguments=self._run.argv, reference=item
            )
            self._run.count("dead_letters", letters)

        write_letters(self._engine, with_bad, self._folder, send)
        for each in files:
            if each.fault is None and each.number not in with_bad:
                self._run.revive(self._item(each))

    def _item(self, file: BronzeFile) -> str:
        """Name a file among dead letters: other sources have files of the same key."""
        return ObjectRef.of_entry(self._source.url, file.entry).url

    def _require_good(self, files: Sequence[BronzeFile], tallies: dict[int, Tally]) -> None:
        rows = sum(each.rows for each in tallies.values())
        bad = sum(each.bad for each in tallies.values())
        faulty = [each for each in files if each.fault is not None]
        self._run.count("rows", rows)
        self._run.count("bad_rows", bad)
        most = self._order.max_bad
        first = f", first {faulty[0].key}: {faulty[0].fault.message}" if faulty else ""  # type: ignore[union-attr]
        for found, total, what in ((bad, rows, "rows"), (len(faulty), len(files), "files")):
            if found > most * total:
                raise BadDataError(
                    f"--max-bad: expected at most {most:.2%} bad {what}, got {found} of"
                    f" {total}{first if what == 'files' else ''}",
                    hint="they are in the dead letters; silver was left as it is",
                )

    def _finish(self, files: Sequence[BronzeFile]) -> None:
        for each in files:
            state = "done" if each.fault is None else "failed"
            self._run.ended(each.key, state, each.entry.size_bytes, None)
