"""What is read of a run, and of the releases before it."""

import pytest

from lading.ledger.ledger import Ledger
from lading.web import account
from lading.web.account import load_account, load_files, previous_release
from tests.unit.web.filled import (
    FAILED_RUN,
    NIGHTS,
    RUNNING_RUN,
    digest_of,
    fill,
    run_of_night,
    tag_of_night,
    write_night,
    write_running,
)

LAST = NIGHTS - 1


def test_an_unknown_run_has_no_account(sqlite_ledger: Ledger) -> None:
    """None, and no error: who asks says what is lacking."""
    assert load_account(sqlite_ledger, "20250101T000000-0000000000") is None


def test_a_published_run_tells_all(ledger: Ledger) -> None:
    """Release, files, history and what it logged."""
    fill(ledger, nights=3)
    found = load_account(ledger, run_of_night(LAST))
    assert found is not None
    assert found.verdict.word == "published"
    assert found.release is not None
    assert found.release.tag == tag_of_night(LAST)
    assert len(found.artifacts) == 5
    assert [each.tag for each, _ in found.history] == [tag_of_night(LAST - n) for n in (2, 1, 0)]
    assert found.history[-1][1] == found.artifacts
    assert found.tails == {}


def test_an_older_run_does_not_know_what_came_after_it(sqlite_ledger: Ledger) -> None:
    """Its account today is what it was on its evening."""
    fill(sqlite_ledger, nights=3)
    found = load_account(sqlite_ledger, run_of_night(LAST - 1))
    assert found is not None
    tags = [each.tag for each, _ in found.history]
    assert tags == [tag_of_night(LAST - 2), tag_of_night(LAST - 1)]


def test_a_failed_run_brings_the_tail_of_what_failed(sqlite_ledger: Ledger) -> None:
    """The lines of the step, and the last ones of the run."""
    fill(sqlite_ledger, nights=1)
    found = load_account(sqlite_ledger, FAILED_RUN)
    assert found is not None
    assert found.release is None
    assert len(found.artifacts) == 5
    assert found.history == ()  # nothing was ever published in staging
    assert list(found.tails) == ["upload:s3-nightly", ""]
    assert [each.level for each in found.tails["upload:s3-nightly"]] == [20, 30, 40]
    assert len(found.tails[""]) == 33


def test_a_running_run_is_compared_with_what_stands(sqlite_ledger: Ledger) -> None:
    """Its history is what is published now."""
    fill(sqlite_ledger, nights=2)
    write_running(sqlite_ledger)
    found = load_account(sqlite_ledger, RUNNING_RUN)
    assert found is not None
    assert (found.release, found.artifacts) == (None, ())
    previous = previous_release(found.run, [each for each, _ in reversed(found.history)])
    assert previous is not None
    assert previous.tag == tag_of_night(LAST)


def test_a_history_of_very_many_files_is_short(
    sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two releases are read whatever they hold; the others only while it is not too much."""
    releases = [write_night(sqlite_ledger, night) for night in range(4)][::-1]
    monkeypatch.setattr(account, "_MOST_FILES", 12)
    assert [each.tag for each, _ in load_files(sqlite_ledger, releases)] == [
        tag_of_night(night) for night in (1, 2, 3)
    ]
    monkeypatch.setattr(account, "_MOST_FILES", 1)
    assert len(load_files(sqlite_ledger, releases)) == 2


def test_the_files_of_equal_manifests_are_read_once(
    sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that was published again and again costs one look."""
    release = write_night(sqlite_ledger, 1)
    asked: list[str] = []

    def read(ledger: Ledger, sha256: str) -> list[object]:
        del ledger
        asked.append(sha256)
        return []

    monkeypatch.setattr(account, "load_artifacts", read)
    assert len(load_files(sqlite_ledger, [release] * 5)) == 5
    assert asked == [digest_of("night 1")]
