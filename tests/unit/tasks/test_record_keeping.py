"""Keeping a record never fails a release."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lading.tasks.board import Board
from lading.tasks.record_keeping import RecordKeeper
from lading.tasks.session import Session, open_session

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[3]


class Broken:
    """A recorder of which every part is broken."""

    def __init__(self, *_: Any) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"broken: {name} with secret-0123456789")


@pytest.fixture
def session() -> Session:
    """The session of the example's release."""
    return open_session({"tag": "nightly-2025-02-05", "staging": "1"}, REPOSITORY)


def keeper_of(warnings: list[str]) -> RecordKeeper:
    """Make a keeper that warns into a list."""
    return RecordKeeper(Board(), warnings.append)


def test_without_a_run_it_does_nothing() -> None:
    """A plan or a look begins no record, and none of the calls minds."""
    warnings: list[str] = []
    keeper, board = keeper_of(warnings), Board()
    keeper.started(board.start("plan"))
    keeper.ended(board.end("plan", "done"))
    keeper.warned("plan", "x")
    keeper.end(0)
    keeper.report()
    keeper.close()
    assert (warnings, keeper.run) == ([], None)


@pytest.mark.parametrize("part", ["started", "ended", "warned", "end", "close"])
def test_a_fault_of_its_own_is_a_warning(
    session: Session, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Whatever breaks, the release goes on, and hears of it once, without secrets."""
    monkeypatch.setattr("lading.tasks.record_keeping.Recorder", Broken)
    monkeypatch.setenv("ZENODO_TOKEN", "secret-0123456789")
    warnings: list[str] = []
    keeper, board = keeper_of(warnings), Board()
    keeper.begin(session, ["check"], ["distribute"], is_release=True)
    row = board.start("check")
    acts: dict[str, Callable[[], None]] = {
        "started": lambda: keeper.started(row),
        "ended": lambda: keeper.ended(row),
        "warned": lambda: keeper.warned("check", "x"),
        "end": lambda: keeper.end(0),
        "close": keeper.close,
    }
    acts[part]()
    acts[part]()
    assert len(warnings) == 1
    assert warnings[0].startswith("ledger: unexpected RuntimeError: broken: ")
    assert "secret" not in warnings[0]
    assert keeper.run is None


def test_a_fault_at_the_beginning_is_a_warning(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that cannot be begun is none."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no thread can be started")

    monkeypatch.setattr("lading.tasks.record_keeping.order_of", refuse)
    warnings: list[str] = []
    keeper = keeper_of(warnings)
    keeper.begin(session, ["check"], ["distribute"], is_release=True)
    keeper.end(0)
    assert len(warnings) == 1
