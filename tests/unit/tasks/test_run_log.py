"""Log lines find the task that they belong to."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from lading.tasks.run_log import RunLogHandler, attach, in_task

Heard = list[tuple[int, str, str]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What a handler hears while the test runs."""
    lines: Heard = []
    handler = RunLogHandler(
        lambda _, level, task, text: lines.append((level, task, text)), lambda: "guessed"
    )
    detach = attach(handler)
    yield lines
    detach()


def test_in_its_task(heard: Heard) -> None:
    """What is logged in a task's own context is of that task."""
    with in_task("upload:gcs-nightly"):
        logging.getLogger("lading.storage").info("sent %s", "a.zip")
    assert heard == [(logging.INFO, "upload:gcs-nightly", "sent a.zip")]


def test_in_a_thread_of_its_own(heard: Heard) -> None:
    """A thread that a task starts has no context: the guess stands."""
    with in_task("check"):
        thread = threading.Thread(target=logging.getLogger("lading.ship").warning, args=("slow",))
        thread.start()
        thread.join()
    assert heard == [(logging.WARNING, "guessed", "slow")]


def test_others_from_warnings_on(heard: Heard) -> None:
    """A library's chatter is left out, its warnings are not."""
    logging.getLogger("somebody").info("chatter")
    logging.getLogger("somebody").warning("trouble")
    logging.getLogger("lading.x").debug("detail")
    assert [text for _, _, text in heard] == ["trouble"]


def test_a_traceback_comes_along(heard: Heard) -> None:
    """An exception that is logged keeps its traceback."""
    try:
        int("no such number")
    except ValueError:
        logging.getLogger("lading.x").exception("failed")
    assert "Traceback" in heard[0][2]
    assert "no such number" in heard[0][2]


def test_ends_with_its_run(heard: Heard) -> None:
    """Nothing is heard once it was detached."""
    handler = RunLogHandler(lambda *_: heard.append((0, "", "late")), lambda: "")
    attach(handler)()
    logging.getLogger("lading.x").info("after")
    assert (0, "", "late") not in heard


def test_a_note_that_fails_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A log line that cannot be kept does not fail who logged it."""

    def refuse(at: datetime, *_: object) -> None:
        assert at.tzinfo is UTC
        raise OSError("full")

    detach = attach(RunLogHandler(refuse, lambda: ""))
    logging.getLogger("lading.x").info("hello")
    detach()
    assert "full" in capsys.readouterr().err
