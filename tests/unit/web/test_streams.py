"""Live streams tell how a job stands, and each log line once, until it has ended."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lading.errors import LedgerError
from lading.ledger import claims, record
from lading.ledger.ledger import Ledger
from lading.ledger.model import LogLine, Progress, Run, Step
from lading.storage.owner import name_process
from lading.web import streams
from lading.web.app import create_app
from lading.web.streams import BATCH, Look, Looks, Pace, Streams, Told, changes, parse_last_id
from tests.unit.web.serving import (
    NOW,
    SHORT,
    Answer,
    Client,
    add_job,
    converse,
    make_client,
    make_scope,
    make_served,
)
from tests.unit.web.test_rates import Clock

RUN = Run(
    run_id="20261121T203000-0123456789",
    kind="publish",
    project="maps",
    state="running",
    created_at=NOW,
    requested_by="admin",
    steps=(Step(task="build", state="done"), Step(task="upload:here-staging", state="running")),
)


def line(number: int) -> LogLine:
    """Return a log line."""
    return LogLine(number=number, at=NOW, level=20, task="build", text=f"line {number}\nmore")


def names(text: str) -> list[str]:
    """Return the names of events."""
    return [each[0] for each in Answer(body=text).events]


def test_only_what_is_new_is_told() -> None:
    """The first look tells all; the second nothing; a third the step that moved, and the whole."""
    told = Told(after=0)
    first = "".join(changes(told, RUN, [line(4), line(7)]))
    assert names(first) == ["log", "log", "step", "step", "progress"]
    assert [each[1] for each in Answer(body=first).events] == ["4", "7", "7", "7", "7"]
    assert list(changes(told, RUN, [])) == []
    moved = replace(RUN.steps[1], progress=Progress(percent=50))
    run = replace(RUN, steps=(RUN.steps[0], moved), progress=Progress(percent=25))
    assert names("".join(changes(told, run, []))) == ["step", "progress"]


def test_an_event_is_one_line_of_data() -> None:
    """A log line with line breaks cannot end its event early."""
    event = next(iter(changes(Told(after=0), RUN, [line(1)])))
    assert event.count("\n") == 4
    assert Answer(body=event).events[0][2]["text"] == "line 1\nmore"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", (None, False)),
        ("0", (0, False)),
        ("17", (17, False)),
        ("17-end", (17, True)),
        ("-end", (None, False)),
        ("17-end!", (None, False)),
        ("-1", (None, False)),
        ("1e3", (None, False)),
        ("٣", (None, False)),
        ("9" * 19, (None, False)),
    ],
)
def test_the_last_id_is_read_or_left(text: str, meant: tuple[int | None, bool]) -> None:
    """What no event of ours had for an id is left alone."""
    assert parse_last_id(text) == meant


def test_many_who_follow_one_job_look_once() -> None:
    """Of those who ask at one time one looks; one who goes away does not take it from the rest."""
    clock, seen = Clock(), []

    def look(key: tuple[str, int]) -> Look:
        seen.append(key)
        return RUN, []

    async def ask() -> list[Look]:
        looks = Looks(look, 0.25, clock)
        impatient = asyncio.ensure_future(looks.get(("a", 0)))
        waiting = [looks.get(("a", 0)) for _ in range(50)]
        impatient.cancel()
        found = [await each for each in waiting]
        clock.at += 0.2
        found.append(await looks.get(("a", 0)))
        clock.at += 0.1
        found.append(await looks.get(("a", 0)))
        found.append(await looks.get(("a", 1)))
        return found

    assert len(asyncio.run(ask())) == 53
    assert seen == [("a", 0), ("a", 0), ("a", 1)]


def follow(
    monkeypatch: pytest.MonkeyPatch, looks: list[Look | LedgerError], pace: Pace = SHORT
) -> str:
    """Follow a job that stands differently at each look; return all that was told."""
    left = list(looks)

    async def get(key: tuple[str, int]) -> Look:
        del key
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, LedgerError):
            raise found
        return found

    async def read() -> str:
        made = Streams(None, 1, pace)  # type: ignore[arg-type]
        monkeypatch.setattr(made._looks, "get", get)
        return "".join([each async for each in made.follow(RUN.run_id, 0)])

    return asyncio.run(asyncio.wait_for(read(), 30))


def test_a_stream_ends_when_the_job_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last event is the end, with verdict and result; its id says so."""
    done = replace(RUN, state="completed", result={"asset_count": 3})
    text = follow(monkeypatch, [(RUN, []), (RUN, [line(5)]), (done, [line(6)])])
    assert text.startswith("retry: 2000\n\n")
    name, number, data = Answer(body=text).events[-1]
    assert (name, number) == ("end", "6-end")
    assert data["status"] == "completed"
    assert data["result"] == {"asset_count": 3}
    assert [each[1] for each in Answer(body=text).events if each[0] == "log"] == ["5", "6"]


def test_all_lines_are_told_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more lines are left than one look brings, it looks again at once."""
    done = replace(RUN, state="failed")
    full = [line(number) for number in range(1, BATCH + 1)]
    text = follow(monkeypatch, [(done, full), (done, [line(BATCH + 1)])])
    assert names(text).count("log") == BATCH + 1
    assert names(text)[-1] == "end"


def test_a_silent_stream_says_that_it_lives_and_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Comments come where nothing happens; after its lifetime it ends without an end event."""
    text = follow(monkeypatch, [(RUN, [])])
    assert text.count(": still here\n\n") >= 2
    assert "end" not in names(text)


def test_a_ledger_that_is_away_for_a_moment_ends_no_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who follows a job goes on where the ledger comes back."""
    away = LedgerError("away")
    text = follow(monkeypatch, [(RUN, []), away, away, (replace(RUN, state="completed"), [])])
    assert names(text)[-1] == "end"


def test_a_server_that_ends_ends_its_streams() -> None:
    """None is told on, and none begins."""
    made = Streams(None, 1, SHORT)  # type: ignore[arg-type]

    async def read(events: AsyncIterator[str]) -> list[str]:
        return [each async for each in events]

    made.close()
    assert not made.enter()
    assert asyncio.run(read(made.follow(RUN.run_id, 0))) == ["retry: 2000\n\n"]


def job_with_lines(ledger: Ledger, state: str, lines: int = 3) -> str:
    """Add a job with a step and log lines."""
    run = add_job(ledger, "running")
    record.write_step(ledger, run.run_id, 1, 0, Step(task="build", state="done"), NOW)
    told = [(NOW + timedelta(seconds=at), 20, "build", f"line {at}") for at in range(lines)]
    record.write_logs(ledger, run.run_id, told)
    if state != "running":
        process = name_process()
        given = {"exit_code": 1, "error": "no room", "result": {}}
        assert claims.finish(ledger, run.run_id, process, state=state, at=NOW, **given)  # type: ignore[arg-type]
    return run.run_id


def listen(client: Client, run_id: str, last_id: str = "", *, until: str = "never") -> Answer:
    """Follow a job over the application until a text came, or the stream has ended."""
    headers = {"Authorization": f"Bearer {client.token}"}
    headers |= {"Last-Event-ID": last_id} if last_id else {}
    scope = make_scope(f"/jobs/{run_id}/events", headers=headers)
    return asyncio.run(converse(client.app, scope, leave=lambda found: until in found.body))


def test_an_ended_job_is_told_whole(ledger: Ledger, tmp_path: Path) -> None:
    """Over the application, on each kind of ledger: lines, step, progress, end."""
    client = make_client(ledger, tmp_path)
    answer = listen(client, job_with_lines(ledger, "failed"))
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    told = [name for name, _, _ in answer.events]
    assert told == ["log", "log", "log", "step", "progress", "end"]
    assert answer.events[-1][2]["error"] == "no room"


def test_who_comes_back_misses_nothing_and_hears_nothing_twice(
    sqlite_ledger: Ledger, tmp_path: Path
) -> None:
    """Last-Event-ID goes on behind the line that it names; after the end it is 204."""
    client = make_client(sqlite_ledger, tmp_path)
    run_id = job_with_lines(sqlite_ledger, "completed")
    events = listen(client, run_id).events
    again = listen(client, run_id, events[1][1]).events
    assert [data["text"] for name, _, data in again if name == "log"] == ["line 2"]
    over = listen(client, run_id, events[-1][1])
    assert (over.status, over.body) == (204, "")


def test_a_stream_begins_with_the_last_lines_only(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long log is not told from its beginning."""
    monkeypatch.setattr("lading.web.jobs.TAIL", 2)
    client = make_client(sqlite_ledger, tmp_path)
    events = listen(client, job_with_lines(sqlite_ledger, "completed", lines=9)).events
    assert [data["text"] for name, _, data in events if name == "log"] == ["line 7", "line 8"]


def test_a_running_job_is_followed_as_it_goes(ledger: Ledger, tmp_path: Path) -> None:
    """What is written while one listens is told, and so is the end."""
    client = make_client(ledger, tmp_path, pace=replace(SHORT, lifetime_s=30))
    run_id = job_with_lines(ledger, "running")
    is_written = False

    def write(answer: Answer) -> bool:
        nonlocal is_written
        if "progress" in answer.body and not is_written:
            is_written = True
            record.write_logs(ledger, run_id, [(NOW, 40, "build", "late")])
            given = {"state": "failed", "exit_code": 1, "error": "x", "result": {}, "at": NOW}
            claims.finish(ledger, run_id, name_process(), **given)  # type: ignore[arg-type]
        return False

    headers = {"Authorization": f"Bearer {client.token}"}
    scope = make_scope(f"/jobs/{run_id}/events", headers=headers)
    answer = asyncio.run(converse(client.app, scope, leave=write))
    assert [data["text"] for name, _, data in answer.events if name == "log"][-1] == "late"
    assert answer.events[-1][0] == "end"


def test_places_are_given_back_when_listeners_leave(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    """One place: a second listener is told 429; when the first has gone away, a third gets it."""
    served = make_served(sqlite_ledger, tmp_path, streams=1, open=True)
    app = create_app(served, sqlite_ledger, pace=replace(SHORT, lifetime_s=30))
    run_id = job_with_lines(sqlite_ledger, "running")
    scope = make_scope(f"/jobs/{run_id}/events")

    async def meet() -> list[int]:
        told, leaving = asyncio.Event(), asyncio.Event()

        def stay(answer: Answer) -> bool:
            if "progress" in answer.body:
                told.set()
            return leaving.is_set()

        first = asyncio.ensure_future(converse(app, dict(scope), leave=stay))
        await told.wait()
        second = await converse(app, dict(scope))
        assert "/problems/too-many-streams" in second.body
        assert second.headers["retry-after"] == "5"
        leaving.set()
        await first
        third = await converse(app, dict(scope), leave=lambda found: "progress" in found.body)
        return [second.status, third.status, app.state.parts.streams.open]

    assert asyncio.run(meet()) == [429, 200, 0]


def test_an_unknown_job_has_no_stream(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    """It is told at once, as a problem."""
    client = make_client(sqlite_ledger, tmp_path)
    assert client.get(f"/jobs/{RUN.run_id}/events").status_code == 404


def test_the_batch_is_what_one_look_reads(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is longer than one look is told whole, over the ledger itself."""
    monkeypatch.setattr(streams, "BATCH", 2)
    client = make_client(sqlite_ledger, tmp_path)
    run_id = job_with_lines(sqlite_ledger, "completed", lines=5)
    events = listen(client, run_id, "0").events
    assert [data["text"] for name, _, data in events if name == "log"] == [
        f"line {number}" for number in range(5)
    ]
