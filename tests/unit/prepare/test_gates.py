"""Tests of the gates of a build: all are asked, and each says where and why."""

import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lading.config.load import parse_config
from lading.config.models import Config
from lading.errors import GateError
from lading.prepare.baseline import Difference
from lading.prepare.build import list_build
from lading.prepare.digests import DigestCache
from lading.prepare.gates import (
    Examination,
    GateResult,
    accept,
    count_tables,
    examine,
    load_tables,
    render_report,
    require_gates,
    results_of,
    warnings_of,
)
from lading.release.layout import SourceFile
from lading.storage import Progress

JUDGEMENTS = ["unexpected", "lost", "rows", "sizes"]
FACTS = ["success_marker", "expected", "sqlite", "parquet", "readable"]


def make_config(
    gates: dict[str, Any] | None = None, sqlite: dict[str, Any] | None = None, **source: Any
) -> Config:
    """Return a configuration whose source, gates and databases say these things."""
    table = {
        "project": {"name": "sample"},
        "source": {"url": "source", "success_marker": "", **source},
        "prepare": {"sqlite": sqlite or {}},
        "gates": gates or {},
        "layout": {"leave_out": ["*.log", "/scratch/"]},
        "destinations": {"gcs": {"url": "gcs"}},
        "channels": {"nightly": {"tag": "x", "prefixes": ["nightly"]}},
    }
    return parse_config(table, "lading.toml")


def fill(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files of a build."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def database(rows: int = 0) -> bytes:
    """Return the bytes of a sound database."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table readings (id integer primary key)")
    connection.executemany("insert into readings values (?)", ((n,) for n in range(rows)))
    connection.commit()
    data = connection.serialize()
    connection.close()
    return data


def parquet(rows: int = 3) -> bytes:
    """Return the bytes of a sound parquet file."""
    written = io.BytesIO()
    pq.write_table(pa.table({"id": range(rows)}), written)
    return written.getvalue()


SOUND_PARQUET = parquet()


@contextmanager
def left_open(path: Path, *statements: str) -> Iterator[None]:
    """Keep a database open while the block runs, with committed changes in its log."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma wal_autocheckpoint = 0")
        for statement in statements:
            connection.execute(statement)
        yield
    finally:
        connection.close()


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """Return the folder of a build; what the gates make stands beside it."""
    (tmp_path / "build").mkdir()
    return tmp_path / "build"


def look(build: Path, config: Config) -> Examination:
    """Ask the gates of a build; hold that no snapshot stays."""
    scratch = build.with_name("snapshots")
    cache = DigestCache(build.with_name("digests.sqlite"))
    try:
        return examine(config, build, list_build(build), cache=cache, scratch=scratch)
    finally:
        assert [each for each in scratch.rglob("*") if each.is_file()] == []


def ask(build: Path, config: Config) -> list[GateResult]:
    """Return what the gates of a build say."""
    return list(look(build, config).results)


def refusals(build: Path, config: Config) -> list[str]:
    """Return what the gates of a build refuse."""
    return [each.refused for each in ask(build, config) if each.refused]


def test_sound_build_passes(build: Path) -> None:
    """A build with its marker, its files and sound tables is refused nothing, in a fixed order."""
    fill(
        build,
        {
            "success": b"",
            "b.parquet": SOUND_PARQUET,
            "a.sqlite": database(rows=7),
            "notes.json": b"{}",
            "build.log": b"",
        },
    )
    config = make_config(
        success_marker="success", expected=["/a.sqlite", "*.parquet"], optional=["*.json"]
    )
    expected = (
        GateResult("success_marker", "success"),
        GateResult("expected", "/a.sqlite"),
        GateResult("expected", "*.parquet"),
        GateResult("sqlite", "a.sqlite"),
        GateResult("parquet", "b.parquet"),
        GateResult("readable", "notes.json"),
    )
    found = look(build, config)
    assert expected == found.results
    assert found.rows == {"a.sqlite": {"readings": 7}, "b.parquet": {"b": 3}}
    require_gates(found.results)


def test_missing_marker(build: Path) -> None:
    """A build without its success marker is refused; marker and folder are named."""
    fill(build, {"a": b""})
    config = make_config(success_marker="success")
    expected = (
        f"success: expected the build's success marker in {build}, found none:"
        " the build has not ended well"
    )
    assert [expected] == refusals(build, config)


def test_marker_in_a_folder(build: Path) -> None:
    """A marker in a folder is found there, and named as it is configured where it is not."""
    fill(build, {"success": b"", "out/a": b""})
    config = make_config(success_marker="out/success")
    assert refusals(build, config)[0].startswith("out/success: expected the build's")
    fill(build, {"out/success": b""})
    assert refusals(build, config) == []


@pytest.mark.parametrize("pattern", ["/parquet/*.parquet", "gone.sqlite", "deep/**/x.json"])
def test_expected_pattern_without_a_match(build: Path, pattern: str) -> None:
    """A pattern that no file matches is refused, and shown as it is configured."""
    fill(build, {"a.parquet": SOUND_PARQUET})
    assert [f"{pattern}: expected at least one file that matches, found none"] == refusals(
        build, make_config(expected=[pattern])
    )


def test_optional_pattern_needs_no_match(build: Path) -> None:
    """A pattern of files that may be missing refuses nothing where they are."""
    fill(build, {"a.parquet": SOUND_PARQUET})
    config = make_config({"unexpected": "refuse"}, expected=["*.parquet"], optional=["gone.json"])
    assert refusals(build, config) == []


def test_every_refusal_is_told(build: Path) -> None:
    """One refusal stops no other gate; each names the path in the build."""
    fill(
        build,
        {"deep/a.sqlite": b"no database", "deep/b.parquet": b"", "c.parquet": SOUND_PARQUET},
    )
    found = look(build, make_config(success_marker="success", expected=["*.csv"]))
    told = [each.refused for each in found.results if each.refused]
    starts = ["success: ", "*.csv: ", "deep/a.sqlite: expected", "deep/b.parquet: expected"]
    assert len(starts) == len(told)
    assert [line.startswith(start) for line, start in zip(told, starts, strict=True)] == [True] * 4
    assert found.rows == {"c.parquet": {"c": 3}}


def test_files_of_one_name_are_told_apart(build: Path) -> None:
    """Two damaged files of one name in two folders are named by their paths."""
    fill(build, {"one/x.parquet": b"", "two/x.parquet": b""})
    found = refusals(build, make_config())
    assert [line.partition(":")[0] for line in found] == ["one/x.parquet", "two/x.parquet"]


def test_left_out_files_are_not_asked(build: Path) -> None:
    """What never ships may be anything."""
    fill(build, {"scratch/a.sqlite": b"", "scratch/b.parquet": b"", "c.json": b"{}"})
    assert ask(build, make_config()) == [GateResult("readable", "c.json")]


def test_file_that_went_away(build: Path) -> None:
    """A file that was listed and is gone is refused by its path, whatever its kind."""
    files = [SourceFile(f"deep/a.{end}", 1) for end in ("json", "parquet", "sqlite")]
    found = examine(
        make_config(),
        build,
        files,
        cache=DigestCache(build.with_name("digests.sqlite")),
        scratch=build.with_name("snapshots"),
    )
    assert [each.refused for each in found.results] == [
        f"{each.path}: expected a readable file, got 'No such file or directory'" for each in files
    ]


def test_depth_of_the_configuration_is_used(build: Path) -> None:
    """Where the configuration asks no integrity, a damaged page passes."""
    connection = sqlite3.connect(build / "a.sqlite")
    connection.execute("create table readings (value text)")
    connection.execute("insert into readings values (?)", ("x" * 20_000,))
    connection.commit()
    connection.close()
    data = bytearray((build / "a.sqlite").read_bytes())
    assert len(data) == 6 * 4096  # the schema, one leaf, four pages of its long value
    data[-4096:-4092] = (3).to_bytes(4, "big")  # the last page of the value leads back to another
    (build / "a.sqlite").write_bytes(data)
    assert len(refusals(build, make_config())) == 1
    assert refusals(build, make_config(sqlite={"integrity": "none"})) == []


def test_progress_counts_files(build: Path) -> None:
    """Every gate that passes is one file done."""
    told: list[Any] = []

    class Told(Progress):
        def set_files(self, total: int) -> None:
            told.append(total)

        def finish_file(self, name: str) -> None:
            told.append(name)

    fill(build, {"a.parquet": SOUND_PARQUET, "b.parquet": SOUND_PARQUET, "c.parquet": b""})
    examine(
        make_config(),
        build,
        list_build(build),
        cache=DigestCache(build.with_name("digests.sqlite")),
        scratch=build.with_name("snapshots"),
        progress=Told(),
    )
    assert told[0] == 3
    assert {"a.parquet", "b.parquet"} == set(told[1:])


def test_interruption_ends_the_gates(build: Path) -> None:
    """A signal ends the gates and is not taken for a refusal."""

    class Interrupting(Progress):
        def relative_update(self, inc: int = 1) -> None:
            raise KeyboardInterrupt(inc)

    fill(build, {"a.parquet": SOUND_PARQUET})
    with pytest.raises(KeyboardInterrupt):
        examine(
            make_config(),
            build,
            list_build(build),
            cache=DigestCache(build.with_name("digests.sqlite")),
            scratch=build.with_name("snapshots"),
            progress=Interrupting(),
        )


def test_files_are_digested_on_the_way(build: Path) -> None:
    """After the gates every file that ships is digested, with MD5 where it is wanted."""
    fill(build, {"deep/a.json": b"{}", "b.parquet": SOUND_PARQUET, "c.sqlite": b"no database"})
    cache = DigestCache(build.with_name("digests.sqlite"))
    examine(
        make_config(),
        build,
        list_build(build),
        cache=cache,
        scratch=build.with_name("snapshots"),
        with_md5={"deep/a.json"},
    )
    assert all(cache.is_known(build / each.path) for each in list_build(build))
    assert cache.digest(build / "deep/a.json").md5
    assert not cache.digest(build / "b.parquet").md5


class TestOpenDatabases:
    """A database that somebody has not closed."""

    def test_snapshot_is_asked(self, build: Path) -> None:
        """By default the committed rows of the log are counted, and its files are no files."""
        fill(build, {"deep/grid.sqlite": database(rows=2)})
        with left_open(build / "deep/grid.sqlite", "insert into readings values (98), (99)"):
            found = look(build, make_config({"unexpected": "refuse"}, expected=["*.sqlite"]))
        assert found.results == (
            GateResult("expected", "*.sqlite"),
            GateResult("sqlite", "deep/grid.sqlite"),
        )
        assert found.rows == {"deep/grid.sqlite": {"readings": 4}}

    def test_size_and_sources_are_those_of_the_snapshot(self, build: Path) -> None:
        """Its size is that of the snapshot; what it was read from are database and log."""
        fill(build, {"deep/grid.sqlite": database(), "b.parquet": SOUND_PARQUET, "c.json": b"{}"})
        grow = (
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < 9000)"
            " insert into readings select i from n"
        )
        path = build / "deep/grid.sqlite"
        with left_open(path, grow):
            assert path.stat().st_size < 10_000
            found = look(build, make_config())
            log = path.with_name("grid.sqlite-wal")
            digests = {each.name: sha256(each.read_bytes()).hexdigest() for each in (path, log)}
        assert found.rows["deep/grid.sqlite"] == {"readings": 9000}
        assert found.sizes["deep/grid.sqlite"] > 50_000
        assert found.sources["deep/grid.sqlite"] == digests
        assert found.sizes["b.parquet"] == len(SOUND_PARQUET)
        assert set(found.sources["b.parquet"]) == {"b.parquet"}
        assert set(found.sizes) == set(found.sources) == set(found.rows)

    def test_refused_where_the_configuration_says_so(self, build: Path) -> None:
        """With ``live = "refuse"`` it is refused, with the way out."""
        fill(build, {"deep/grid.sqlite": database(rows=2)})
        with left_open(build / "deep/grid.sqlite", "insert into readings values (98), (99)"):
            (found,) = refusals(build, make_config(sqlite={"live": "refuse"}))
        assert found.startswith(
            "deep/grid.sqlite: expected a closed database, found a live write-ahead log"
            " grid.sqlite-wal of "
        )
        assert found.endswith("`sqlite3 OLD '.backup NEW'`")

    def test_damage_is_found_in_the_snapshot(self, build: Path) -> None:
        """A damaged database that is open is refused by its own path, not that of a copy."""
        fill(build, {"deep/grid.sqlite": database(rows=3000)})
        with left_open(build / "deep/grid.sqlite", "create table t (a)"):
            with (build / "deep/grid.sqlite").open("r+b") as file:
                file.seek(2 * 4096)
                file.write(b"\xa5" * 4096)
            (found,) = refusals(build, make_config())
        assert found.startswith("deep/grid.sqlite: expected a sound SQLite database, quick_check")

    def test_many_at_once(self, build: Path) -> None:
        """Databases of one folder are copied side by side and do not disturb each other."""
        names = [f"{folder}/{n}.sqlite" for folder in ("one", "two") for n in range(12)]
        for name in names:
            fill(build, {name: database(rows=1)})
            connection = sqlite3.connect(build / name, isolation_level=None)
            connection.execute("pragma journal_mode = wal")
            connection.execute("insert into readings values (7)")
            log = (build / f"{name}-wal").read_bytes()
            data = (build / name).read_bytes()
            connection.close()
            fill(build, {name: data, f"{name}-wal": log})  # as if it had been killed
        for _ in range(5):
            found = look(build, make_config())
            assert [each.refused for each in found.results] == [""] * len(names)
            assert found.rows == {name: {"readings": 2} for name in names}


class TestUnexpected:
    """Files that nobody has named."""

    FILES: dict[str, bytes] = {  # noqa: RUF012  never changed
        "success": b"",
        "a.parquet": SOUND_PARQUET,
        "b.sqlite": database(),
        "b.sqlite-wal": b"",
        "b.sqlite-shm": b"x",
        "run.log": b"",
        "scratch/x": b"",
        "known.txt": b"",
        "deep/odd.json": b"{}",
        "odd.csv": b"",
    }
    SOURCE: dict[str, Any] = {  # noqa: RUF012  never changed
        "success_marker": "success",
        "expected": ["*.parquet", "*.sqlite"],
        "optional": ["/known.txt", "/missing.txt"],
    }

    def found(self, build: Path, setting: str | None, **source: Any) -> list[GateResult]:
        """Return what is said of unexpected files."""
        fill(build, self.FILES)
        gates = {} if setting is None else {"unexpected": setting}
        config = make_config(gates, **{**self.SOURCE, **source})
        return [each for each in ask(build, config) if each.gate == "unexpected"]

    @pytest.mark.parametrize("setting", [None, "warn"])
    def test_told(self, build: Path, setting: str | None) -> None:
        """By default each is told, and the build goes on; what never ships is not unexpected."""
        found = self.found(build, setting)
        assert [each.place for each in found] == ["deep/odd.json", "odd.csv"]
        assert found[0].warned == (
            "deep/odd.json: expected only files that source.expected or source.optional name,"
            " found another"
        )
        assert {each.refused for each in found} == {""}
        require_gates(found)

    def test_refused(self, build: Path) -> None:
        """Each is refused where the configuration says so; a person may accept it."""
        found = self.found(build, "refuse")
        assert [each.refused.partition(":")[0] for each in found] == ["deep/odd.json", "odd.csv"]
        assert {each.warned for each in found} == {""}
        with pytest.raises(GateError, match="accept='why it is right'"):
            require_gates(found)

    def test_allowed(self, build: Path) -> None:
        """None is told where the configuration allows them."""
        assert self.found(build, "allow") == []

    @pytest.mark.parametrize("setting", [None, "warn", "refuse"])
    def test_nothing_is_unexpected_where_nothing_is_expected(
        self, build: Path, setting: str | None
    ) -> None:
        """Without expected patterns no file is unexpected, whatever is optional."""
        assert self.found(build, setting, expected=[]) == []

    def test_file_is_asked_all_the_same(self, build: Path) -> None:
        """An unexpected file is looked at like any other: it would ship."""
        fill(build, {"a.parquet": SOUND_PARQUET, "odd.sqlite": b"no database"})
        config = make_config(expected=["*.parquet"])
        found = {(each.gate, bool(each.refused)) for each in ask(build, config)}
        assert ("unexpected", False) in found
        assert ("sqlite", True) in found


class TestAccept:
    """A person's reason beside a refusal."""

    @pytest.mark.parametrize("gate", JUDGEMENTS)
    def test_judgement(self, gate: str) -> None:
        """A refusal that is a judgement passes with a reason, which stands in the result."""
        refused = GateResult(gate, "a", refused="a: bad")
        (found,) = accept([refused], "two plants closed")
        assert found == replace(refused, accepted="two plants closed")
        assert (refused.stops, found.stops) == (True, False)
        require_gates([found])

    @pytest.mark.parametrize("gate", FACTS)
    def test_fact(self, gate: str) -> None:
        """A file that is missing or broken is refused, whatever reason is given."""
        (found,) = accept([GateResult(gate, "a", refused="a: bad")], "two plants closed")
        assert found.accepted == ""
        with pytest.raises(GateError, match=r"^a: bad$"):
            require_gates([found])

    def test_no_reason(self) -> None:
        """Without a reason every refusal stands."""
        results = [GateResult(gate, "a", refused="a: bad") for gate in JUDGEMENTS]
        assert list(accept(results, "")) == results
        with pytest.raises(GateError):
            require_gates(accept(results, ""))

    @pytest.mark.parametrize("gate", [*JUDGEMENTS, "last_release"])
    def test_only_refusals_are_accepted(self, gate: str) -> None:
        """What passed or was only told carries no reason."""
        results = (GateResult(gate, "a"), GateResult(gate, "b", warned="b: small"))
        assert results == accept(results, "two plants closed")

    def test_fact_beside_a_judgement(self) -> None:
        """A reason for what was lost does not carry a broken file along."""
        results = [GateResult("lost", "a", refused="a: lost"), GateResult("sqlite", "b", "b: bad")]
        with pytest.raises(GateError, match=r"^b: bad$"):
            require_gates(accept(results, "two plants closed"))


def test_results_of_differences() -> None:
    """What a comparison tells or refuses becomes the result of its gate."""
    found = results_of(
        [
            Difference("rows", "a.zip: t", "warned", "a.zip: t: fewer"),
            Difference("lost", "b", "refused", "b: lost"),
        ]
    )
    assert found == [
        GateResult("rows", "a.zip: t", warned="a.zip: t: fewer"),
        GateResult("lost", "b", refused="b: lost"),
    ]


class TestRequire:
    """The one error of many refusals."""

    def test_five_are_shown_and_the_rest_counted(self) -> None:
        """Of seven refusals five stand in the message, and two are counted."""
        results = [GateResult("parquet", str(n), f"{n}: bad") for n in range(7)]
        with pytest.raises(GateError) as caught:
            require_gates(results)
        assert [f"{n}: bad" for n in range(5)] + ["and 2 more"] == str(caught.value).split("\n")

    def test_five_are_not_counted(self) -> None:
        """Five refusals are told in full, with nothing more."""
        with pytest.raises(GateError) as caught:
            require_gates([GateResult("parquet", str(n), f"{n}: bad") for n in range(5)])
        assert "more" not in str(caught.value)

    def test_none_passes(self) -> None:
        """Where nothing is refused, nothing is raised."""
        require_gates([GateResult("parquet", "a"), GateResult("rows", "b", warned="b: fewer")])
        require_gates([])

    def test_hint_where_a_reason_would_do(self) -> None:
        """The way out is told once, behind the last line, where all refusals are judgements."""
        results = [GateResult(gate, gate, f"{gate}: bad") for gate in JUDGEMENTS]
        with pytest.raises(GateError) as caught:
            require_gates(results)
        expected = "; where that is right, run it again with accept='why it is right'"
        assert str(caught.value).endswith(f"sizes: bad{expected}")
        assert str(caught.value).count("accept=") == 1

    @pytest.mark.parametrize("gate", FACTS)
    def test_no_hint_where_no_reason_would_do(self, gate: str) -> None:
        """Where one refusal is a fact, no reason is asked for: it would not help."""
        results = [GateResult("rows", "a", "a: fewer"), GateResult(gate, "b", "b: bad")]
        with pytest.raises(GateError) as caught:
            require_gates(results)
        assert "accept" not in str(caught.value)

    def test_accepted_are_not_told_again(self) -> None:
        """Only what still stops the build stands in the message."""
        results = [
            GateResult("rows", "a", "a: fewer", accepted="known since May"),
            GateResult("sqlite", "b", "b: bad"),
        ]
        with pytest.raises(GateError, match=r"^b: bad$"):
            require_gates(results)


@pytest.mark.parametrize(("number", "more"), [(0, []), (1, []), (5, []), (6, [1]), (200, [195])])
def test_warnings_are_few(number: int, more: list[int]) -> None:
    """Of many warnings five are told in full; the others are counted, with where they stand."""
    results = [GateResult("rows", str(n), warned=f"{n}: fewer") for n in range(number)]
    results.insert(0, GateResult("lost", "a", refused="a: lost", accepted="two plants closed"))
    told = [f"{n}: fewer" for n in range(min(number, 5))]
    assert warnings_of(results) == (*told, *(f"and {n} more, see check.json" for n in more))


class TestReport:
    """check.json."""

    def test_same_build_same_report(self, build: Path) -> None:
        """Equal builds give equal reports, refusals included."""
        fill(build, {f"{n}.parquet": b"" if n % 2 else SOUND_PARQUET for n in range(20)})
        reports = set()
        for _ in range(3):
            found = look(build, make_config())
            tables = {path: {"rows": rows} for path, rows in reversed(found.rows.items())}
            reports.add(render_report(found.results, tables))
            tables = {path: {"rows": rows} for path, rows in found.rows.items()}
            reports.add(render_report(found.results, tables))
        assert len(reports) == 1
        table = json.loads(reports.pop())
        assert table["schema_version"] == 2
        assert {"gate", "place", "refused"} == set(table["gates"][0])
        assert sum(1 for row in table["gates"] if row["refused"]) == 10
        assert {f"{n}.parquet": {"rows": {f"{n}": 3}} for n in range(0, 20, 2)} == table["tables"]

    def test_what_was_told_and_accepted_stands(self) -> None:
        """A warning and a reason stand in the report where there are any, in the words given."""
        results = [
            GateResult("rows", "a", refused="a: fewer", accepted="zwei Werke sind stillgelegt: ü"),
            GateResult("rows", "b", warned="b: fewer"),
            GateResult("rows", "c"),
        ]
        report = render_report(results, {})
        assert json.loads(report) == {
            "schema_version": 2,
            "gates": [
                {
                    "gate": "rows",
                    "place": "a",
                    "refused": "a: fewer",
                    "accepted": "zwei Werke sind stillgelegt: ü",
                },
                {"gate": "rows", "place": "b", "refused": "", "warned": "b: fewer"},
                {"gate": "rows", "place": "c", "refused": ""},
            ],
            "tables": {},
        }
        assert "stillgelegt: ü".encode() in report
        assert report.endswith(b"}\n")


class TestLoadTables:
    """What an earlier report of ``check`` still tells."""

    TOLD: dict[str, Any] = {  # noqa: RUF012  never changed
        "sources": {"a.sqlite": "0" * 64},
        "size_bytes": 4096,
        "rows": {"t": 3, "empty": 0},
    }

    def test_what_was_rendered(self, tmp_path: Path) -> None:
        """What is rendered is loaded again."""
        report = tmp_path / "check.json"
        report.write_bytes(render_report([GateResult("rows", "a")], {"deep/a.sqlite": self.TOLD}))
        (found,) = load_tables(report).items()
        assert found[0] == "deep/a.sqlite"
        assert found[1].model_dump() == self.TOLD

    @pytest.mark.parametrize(
        "change",
        [
            lambda table: table.pop("rows"),
            lambda table: table.pop("sources"),
            lambda table: table.update(rows={"t": "three"}),
            lambda table: table.update(rows=[3]),
            lambda table: table.update(sources="a.sqlite"),
            lambda table: table.update(size_bytes=None),
        ],
    )
    def test_damaged_entry(self, tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
        """An entry that is not whole makes the report none."""
        table = {**self.TOLD}
        change(table)
        (tmp_path / "check.json").write_bytes(render_report([], {"deep/a.sqlite": table}))
        assert load_tables(tmp_path / "check.json") == {}

    @pytest.mark.parametrize(
        "data", [b"", b"{", b"[]", b"null", b"{}", b'{"tables": []}', b'{"tables": null}', b"\xff"]
    )
    def test_no_report(self, tmp_path: Path, data: bytes) -> None:
        """A file that is no report tells nothing, as one that is not there."""
        (tmp_path / "check.json").write_bytes(data)
        assert load_tables(tmp_path / "check.json") == {}
        assert load_tables(tmp_path / "missing.json") == {}


class TestCountTables:
    """The rows of one file."""

    def test_by_kind(self, build: Path) -> None:
        """A database and a parquet file have rows by table, any other file has none."""
        fill(build, {"a.sqlite": database(rows=4), "deep/b.parquet": parquet(5), "c.json": b"{}"})
        config = make_config()
        assert count_tables(config, build, "a.sqlite") == {"a.sqlite": {"readings": 4}}
        assert count_tables(config, build, "deep/b.parquet") == {"deep/b.parquet": {"b": 5}}
        assert count_tables(config, build, "c.json") == {}

    def test_which_files_are_databases(self, build: Path) -> None:
        """The configuration says which files are databases, whatever they are called."""
        fill(build, {"a.db": database(rows=4), "b.sqlite": b"no database"})
        config = make_config(sqlite={"match": ["*.db"]})
        assert count_tables(config, build, "a.db") == {"a.db": {"readings": 4}}
        assert count_tables(config, build, "b.sqlite") == {}

    @pytest.mark.parametrize("name", ["a.sqlite", "a.parquet"])
    def test_broken(self, build: Path, name: str) -> None:
        """A file that is broken is refused, not counted as empty."""
        fill(build, {name: b"neither this nor that"})
        with pytest.raises(GateError, match=f"^{name}: "):
            count_tables(make_config(), build, name)
