"""Tests of a build beside the last release: what is told, what is refused, at which figure."""

from collections.abc import Mapping
from typing import Any

import pytest

from lading.config.models import Gates, Limits, RowLimits, SizeLimits
from lading.errors import ManifestError
from lading.prepare.baseline import Difference, compare, read_manifest
from lading.release.layout import Artifact, Layout
from lading.release.manifest import (
    Manifest,
    ManifestFile,
    Origin,
    Tool,
    depot_key_of,
    media_type_of,
    order_files,
    render_manifest,
)
from lading.release.names import Prefix
from lading.release.objects import digest_bytes
from lading.storage import Body, MemoryStore

TAG = "nightly-2025-02-04"
NO_LIMITS = Limits()
QUIET = Gates(lost="allow", rows=RowLimits(**dict(NO_LIMITS)), sizes=SizeLimits(**dict(NO_LIMITS)))
PREFIX = Prefix("gcs", "nightly", "", immutable=False)

DATABASE = Artifact("grid.sqlite.zip", "sqlite", "grid.sqlite.zip", ("grid.sqlite",))
BUNDLE = Artifact("all.zip", "bundle", "all.zip", ("parquet/a.parquet", "parquet/b.parquet"))
NOTES = Artifact("notes.json", "file", "notes.json", ("notes.json",))


def gates(**changed: Any) -> Gates:
    """Return gates that say nothing, but for these."""
    return QUIET.model_copy(update=changed)


def file_of(
    key: str, rows: Mapping[str, int] | None = None, size_bytes: int | None = None
) -> ManifestFile:
    """Describe a public file of the last release."""
    digest = digest_bytes(key.encode())
    return ManifestFile(
        key=key,
        size_bytes=digest.size_bytes,
        sha256=digest.sha256,
        crc32c=digest.crc32c,
        media_type=media_type_of(key),
        rows=None if rows is None else dict(rows),
        origin=Origin(kind="file", path=key, size_bytes=size_bytes),
        depot_key=depot_key_of(digest.sha256),
    )


def release_of(*files: ManifestFile, channel: str = "nightly", tag: str = TAG) -> Manifest:
    """Describe the last release."""
    return Manifest(
        schema_version=1,
        project="sample",
        channel=channel,
        tag=tag,
        commit=None,
        source="build",
        tool=Tool(name="lading", version="0"),
        files=order_files(files),
    )


def compare_rows(before: int, after: int, limits: Limits) -> list[Difference]:
    """Compare one table of a database, by its rows alone."""
    last = release_of(file_of(DATABASE.key, {"plants": before}))
    asked = gates(rows=RowLimits(**dict(limits)))
    rows = {"grid.sqlite": {"plants": after}}
    return compare(asked, Layout((DATABASE,), ()), rows, {"grid.sqlite": 1}, last)


def compare_sizes(before: int | None, after: int, limits: Limits) -> list[Difference]:
    """Compare one file by its size alone."""
    last = release_of(file_of(NOTES.key, size_bytes=before))
    asked = gates(sizes=SizeLimits(**dict(limits)))
    return compare(asked, Layout((NOTES,), ()), {}, {"notes.json": after}, last)


def verdicts(found: list[Difference]) -> list[str]:
    """Return what is said, without the words."""
    return [each.verdict for each in found]


LIMITS = Limits(warn_loss=0.1, refuse_loss=0.2, warn_gain=0.5, refuse_gain=1.0)
FIGURES = [
    (1000, []),
    (901, []),
    (900, ["warned"]),
    (899, ["warned"]),
    (801, ["warned"]),
    (800, ["refused"]),
    (799, ["refused"]),
    (0, ["refused"]),
    (1001, []),
    (1499, []),
    (1500, ["warned"]),
    (1501, ["warned"]),
    (1999, ["warned"]),
    (2000, ["refused"]),
    (2001, ["refused"]),
    (10**12, ["refused"]),
]


class TestLimits:
    """A figure at a limit, just below it and above it."""

    @pytest.mark.parametrize(("after", "expected"), FIGURES)
    def test_rows(self, after: int, expected: list[str]) -> None:
        """Rows at the limit are beyond it; one row nearer is not."""
        assert expected == verdicts(compare_rows(1000, after, LIMITS))

    @pytest.mark.parametrize(("after", "expected"), FIGURES)
    def test_sizes(self, after: int, expected: list[str]) -> None:
        """Sizes have limits in the same way."""
        assert expected == verdicts(compare_sizes(1000, after, LIMITS))

    @pytest.mark.parametrize("share", [n / 100 for n in range(1, 101)])
    def test_no_limit_is_lost_by_rounding(self, share: float) -> None:
        """For every full per cent, exactly so much less is refused, and one row less than that not.

        A million rows, so that one row is far below a per cent.
        """
        lost = round(share * 1_000_000)
        limits = Limits(refuse_loss=share)
        assert verdicts(compare_rows(1_000_000, 1_000_000 - lost, limits)) == ["refused"]
        assert compare_rows(1_000_000, 1_000_000 - lost + 1, limits) == []
        limits = Limits(refuse_gain=share)
        assert verdicts(compare_rows(1_000_000, 1_000_000 + lost, limits)) == ["refused"]
        assert compare_rows(1_000_000, 1_000_000 + lost - 1, limits) == []

    @pytest.mark.parametrize("after", [0, 1, 999, 1001, 10**12])
    def test_none_is_no_limit(self, after: int) -> None:
        """Where no limit is set, no loss and no gain is told."""
        assert compare_rows(1000, after, NO_LIMITS) == []
        assert compare_sizes(1000, after, NO_LIMITS) == []

    def test_one_direction_alone(self) -> None:
        """A limit of losses says nothing of gains, and the other way round."""
        assert compare_rows(1000, 10**6, Limits(warn_loss=0.1, refuse_loss=0.2)) == []
        assert compare_rows(1000, 0, Limits(warn_gain=0.1, refuse_gain=0.2)) == []

    def test_refusal_without_a_warning(self) -> None:
        """A limit that refuses needs none that warns."""
        assert compare_rows(1000, 801, Limits(refuse_loss=0.2)) == []
        assert verdicts(compare_rows(1000, 800, Limits(refuse_loss=0.2))) == ["refused"]

    @pytest.mark.parametrize("after", [0, 1, 10**9])
    def test_nothing_before(self, after: int) -> None:
        """A table that had no rows, and a file that had no bytes, can neither lose nor gain."""
        assert compare_rows(0, after, LIMITS) == []
        assert compare_sizes(0, after, LIMITS) == []

    def test_size_that_is_not_known(self) -> None:
        """A release that did not tell a size is compared by nothing."""
        assert compare_sizes(None, 1, LIMITS) == []

    def test_defaults(self) -> None:
        """Rows: 1 % less is told, 20 % refused, half more told; sizes: 10 %, 50 %, twice."""
        rows, sizes = RowLimits(), SizeLimits()
        found = {after: verdicts(compare_rows(1000, after, rows)) for after in (991, 990, 801, 800)}
        assert found == {991: [], 990: ["warned"], 801: ["warned"], 800: ["refused"]}
        assert verdicts(compare_rows(1000, 1499, rows)) == []
        assert verdicts(compare_rows(1000, 10**9, rows)) == ["warned"]
        found = {after: verdicts(compare_sizes(1000, after, sizes)) for after in (901, 900, 500)}
        assert found == {901: [], 900: ["warned"], 500: ["refused"]}
        assert verdicts(compare_sizes(1000, 1999, sizes)) == []
        assert verdicts(compare_sizes(1000, 10**9, sizes)) == ["warned"]


class TestWords:
    """What a person reads."""

    def test_rows(self) -> None:
        """The message names place, table, both figures, the tag, the share and the limit."""
        (found,) = compare_rows(1000, 700, LIMITS)
        assert found == Difference(
            "rows",
            "grid.sqlite.zip: plants",
            "refused",
            f"grid.sqlite.zip: plants: expected about the 1000 rows of {TAG}, found 700:"
            " 30.0 % fewer, the limit is 20 %",
        )

    def test_sizes(self) -> None:
        """The message names the file, both sizes, the tag, the share and the limit."""
        (found,) = compare_sizes(2000, 3100, LIMITS)
        assert found == Difference(
            "sizes",
            "notes.json",
            "warned",
            f"notes.json: expected about the 2000 bytes of {TAG}, found 3100: 55.0 % more,"
            " the limit is 50 %",
        )

    @pytest.mark.parametrize(
        ("limit", "shown"), [(0.07, "7 %"), (0.125, "12.5 %"), (0.29, "29 %"), (0.001, "0.1 %")]
    )
    def test_limit_is_shown_as_it_was_written(self, limit: float, shown: str) -> None:
        """A limit is shown in per cent, without the dust of binary fractions."""
        (found,) = compare_rows(1000, 0, Limits(refuse_loss=limit))
        assert found.reason.endswith(f"the limit is {shown}")

    def test_limit_that_was_passed_is_the_one_that_is_named(self) -> None:
        """What is told names the limit of telling, what is refused that of refusing."""
        (told,) = compare_rows(1000, 850, LIMITS)
        (refused,) = compare_rows(1000, 750, LIMITS)
        assert told.reason.endswith("the limit is 10 %")
        assert refused.reason.endswith("the limit is 20 %")


class TestLost:
    """What the last release had and this build has not."""

    @pytest.mark.parametrize(
        ("setting", "expected"), [("allow", []), ("warn", ["warned"]), ("refuse", ["refused"])]
    )
    def test_file(self, setting: str, expected: list[str]) -> None:
        """A public file that is gone is told, refused or allowed, as it is configured."""
        last = release_of(file_of("gone.json", size_bytes=5), file_of(NOTES.key))
        found = compare(
            gates(lost=setting, sizes=SizeLimits()),
            Layout((NOTES,), ()),
            {},
            {"notes.json": 1},
            last,
        )
        assert expected == verdicts(found)
        for each in found:
            assert (each.gate, each.place) == ("lost", "gone.json")
            said = f"gone.json: expected the public file that {TAG} has, found none"
            assert said == each.reason

    @pytest.mark.parametrize(
        ("setting", "expected"), [("allow", []), ("warn", ["warned"]), ("refuse", ["refused"])]
    )
    def test_table(self, setting: str, expected: list[str]) -> None:
        """A table that is gone is told, refused or allowed, and named with its database."""
        last = release_of(file_of(DATABASE.key, {"plants": 3, "boilers": 4}))
        rows = {"grid.sqlite": {"plants": 3}}
        asked = gates(lost=setting, rows=RowLimits())
        found = compare(asked, Layout((DATABASE,), ()), rows, {"grid.sqlite": 1}, last)
        assert expected == verdicts(found)
        for each in found:
            assert (each.gate, each.place) == ("lost", "grid.sqlite.zip: boilers")
            said = f"grid.sqlite.zip: boilers: expected the table that {TAG} has, found none"
            assert said == each.reason

    def test_empty_table_that_is_gone(self) -> None:
        """A table without rows is lost as well when it is gone."""
        last = release_of(file_of(DATABASE.key, {"plants": 3, "empty": 0}))
        rows = {"grid.sqlite": {"plants": 3}}
        found = compare(Gates(), Layout((DATABASE,), ()), rows, {"grid.sqlite": 1}, last)
        assert [each.place for each in found] == ["grid.sqlite.zip: empty"]

    def test_lost_file_says_nothing_of_its_tables(self) -> None:
        """A file that is gone is one finding, whatever tables it had."""
        last = release_of(file_of(DATABASE.key, {"plants": 3, "boilers": 4}, 4096))
        found = compare(Gates(), Layout((NOTES,), ()), {}, {"notes.json": 1}, last)
        assert [each.place for each in found] == ["grid.sqlite.zip"]

    def test_what_is_new_is_no_finding(self) -> None:
        """A file, a table and rows that the last release had not are no finding."""
        last = release_of(file_of(DATABASE.key, {"plants": 3}))
        rows = {"grid.sqlite": {"plants": 3, "new": 9}}
        sizes = {"grid.sqlite": 1, "notes.json": 1}
        assert compare(Gates(), Layout((DATABASE, NOTES), ()), rows, sizes, last) == []

    def test_first_rows(self) -> None:
        """A release that told no rows of a file, as one of an older tool, is compared by none."""
        last = release_of(file_of(DATABASE.key))
        rows = {"grid.sqlite": {"plants": 3}}
        assert compare(Gates(), Layout((DATABASE,), ()), rows, {"grid.sqlite": 1}, last) == []

    def test_rows_that_are_not_known_now(self) -> None:
        """A file of which no rows were counted loses no tables."""
        last = release_of(file_of(DATABASE.key, {"plants": 3}))
        assert compare(Gates(), Layout((DATABASE,), ()), {}, {"grid.sqlite": 1}, last) == []


class TestMembers:
    """A bundle is compared by all of its members."""

    LAYOUT = Layout((BUNDLE,), ())

    def test_rows_by_table(self) -> None:
        """Each table of a bundle has limits of its own."""
        last = release_of(file_of(BUNDLE.key, {"a": 100, "b": 100}))
        rows = {"parquet/a.parquet": {"a": 50}, "parquet/b.parquet": {"b": 100}}
        sizes = dict.fromkeys(BUNDLE.members, 1)
        found = compare(gates(rows=RowLimits()), self.LAYOUT, rows, sizes, last)
        assert [(each.place, each.verdict) for each in found] == [("all.zip: a", "refused")]

    def test_size_is_that_of_all_members(self) -> None:
        """The size of a bundle is the sum of its members, before they are packed."""
        last = release_of(file_of(BUNDLE.key, size_bytes=100))
        asked = gates(sizes=SizeLimits())
        fits = {"parquet/a.parquet": 60, "parquet/b.parquet": 40}
        less = {"parquet/a.parquet": 30, "parquet/b.parquet": 19}
        assert compare(asked, self.LAYOUT, {}, fits, last) == []
        assert verdicts(compare(asked, self.LAYOUT, {}, less, last)) == ["refused"]


def test_all_findings_in_the_order_of_the_release() -> None:
    """Findings stand by public key, and the size of a file before its tables."""
    last = release_of(
        file_of("z.json"),
        file_of("a.json"),
        file_of(DATABASE.key, {"plants": 100, "boilers": 100}, 1000),
    )
    rows = {"grid.sqlite": {"plants": 10}}
    found = compare(Gates(), Layout((DATABASE,), ()), rows, {"grid.sqlite": 10}, last)
    assert [(each.gate, each.place) for each in found] == [
        ("lost", "a.json"),
        ("sizes", "grid.sqlite.zip"),
        ("rows", "grid.sqlite.zip: plants"),
        ("lost", "grid.sqlite.zip: boilers"),
        ("lost", "z.json"),
    ]


def test_same_build_again_is_no_finding() -> None:
    """A build compared with a release of itself differs in nothing."""
    last = release_of(file_of(DATABASE.key, {"plants": 5, "empty": 0}, 4096), file_of(NOTES.key))
    rows = {"grid.sqlite": {"plants": 5, "empty": 0}}
    sizes = {"grid.sqlite": 4096, "notes.json": 0}
    assert compare(Gates(), Layout((DATABASE, NOTES), ()), rows, sizes, last) == []


class TestReadManifest:
    """The last release, as readers have it."""

    def test_none_yet(self) -> None:
        """A prefix without a release has nothing to compare with."""
        store = MemoryStore()
        store.put("nightly/notes.json", Body.of_bytes(b"{}"))
        assert read_manifest(store, f"{PREFIX.key_prefix}release.json", "nightly") is None

    def test_release_of_the_channel(self) -> None:
        """The manifest of a prefix is read back whole, rows and sizes included."""
        store, last = MemoryStore(), release_of(file_of(DATABASE.key, {"plants": 3}, 4096))
        store.put("nightly/release.json", Body.of_bytes(render_manifest(last)))
        assert last == read_manifest(store, f"{PREFIX.key_prefix}release.json", "nightly")

    def test_release_of_another_channel(self) -> None:
        """A prefix that another channel has taken is compared with by nobody."""
        store = MemoryStore()
        other = release_of(file_of(NOTES.key), channel="stable")
        store.put("nightly/release.json", Body.of_bytes(render_manifest(other)))
        assert read_manifest(store, f"{PREFIX.key_prefix}release.json", "nightly") is None

    @pytest.mark.parametrize("data", [b"", b"{", b"{}", b"null", b"\xff\xfe"])
    def test_damaged(self, data: bytes) -> None:
        """Something else under that name is an error that names the place."""
        store = MemoryStore("memory://public")
        store.put("nightly/release.json", Body.of_bytes(data))
        with pytest.raises(ManifestError, match=r"^memory://public/nightly/release\.json: "):
            read_manifest(store, f"{PREFIX.key_prefix}release.json", "nightly")
