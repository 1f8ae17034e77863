"""``lading audit``: what is shown of a trail, and its proof."""

import argparse
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from lading.cli.audit import add_audit
from lading.errors import AuditError
from lading.jobs.audit import AuditStream
from lading.jobs.audit_events import event_key
from lading.jobs.events import EventType
from lading.storage import Body, LocalStore
from tests.unit.jobs.trails import NOON, end, fill, run_id, start, whole_run

Call = Callable[..., list[str]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """Return the store of a project without a configuration, where this test stands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    return LocalStore(tmp_path / "build" / "jobs")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return what calls `lading audit`, and returns the lines that it prints."""

    def act(*words: str) -> list[str]:
        parser = argparse.ArgumentParser()
        add_audit(parser.add_subparsers())
        options = parser.parse_args(["audit", *words])
        options.act(options)
        return capsys.readouterr().out.splitlines()

    return act


def test_show(store: LocalStore, call: Call) -> None:
    """Events are shown oldest first: who did what, what came of it, how many objects."""
    whole_run(store)
    known = "2025-02-05 12:00:00 {} copy 1 00000000 ada on laptop {}"
    assert [" ".join(line.split()) for line in call("show")] == [
        "time (UTC) type job try run who out message",
        known.format("START", "0"),
        known.format("COMPLETE", "0 two done"),
    ]


def test_show_long_texts(store: LocalStore, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns hold texts of any length, folded; where there is room an event is one line."""
    words = "expected a date, found 'yesterday', in three of nine rows"
    chain = AuditStream(store, "copy")
    chain.append(start(job="transform_of_everything"))
    chain.append(end(1, EventType.FAIL, message=words))

    lines = call("show")
    assert max(map(len, lines)) <= 80
    assert all("..." not in line and "…" not in line for line in lines)
    folded = "".join(line[-15:].replace(" ", "") for line in lines)
    assert folded.endswith("rows")
    monkeypatch.setenv("COLUMNS", "160")
    assert len(call("show")) == 3


def test_show_hides_what_steers_a_terminal(store: LocalStore, call: Call) -> None:
    """A message with control characters, or with marks of the table's own, moves nothing."""
    chain = AuditStream(store, "copy")
    chain.append(start())
    chain.append(end(1, EventType.FAIL, message="[red]\x1b[2J\rgone\n[/red]"))
    text = "\n".join(call("show"))
    assert "\x1b" not in text
    assert "\r" not in text
    assert "[red]" in text


def test_show_some(store: LocalStore, call: Call) -> None:
    """One job, or one run, is shown alone; several stores are shown together, by time."""
    fill(store, [1])
    other = LocalStore(Path("other").absolute())
    AuditStream(other, "move").append(start(255, "move", NOON - timedelta(days=1)))

    assert len(call("show", "copy")) == len(call("show")) == 3
    assert call("show", "move") == ["no events"]
    both = call("show", "--store", store.url, "--store", other.url, "--json")
    assert [json.loads(each)["job"]["name"] for each in both] == ["move", "copy", "copy"]
    assert len(call("show", "--store", other.url, "move", "--json")) == 1
    assert call("show", "--run", run_id(2), "--json") == []
    assert len(call("show", "--run", run_id(1)[:36].upper(), "--json")) == 2


def test_show_json(store: LocalStore, call: Call) -> None:
    """JSON lines are the events as they stand, ready for whatever reads OpenLineage."""
    fill(store, [1])
    lines = call("show", "--json")
    assert [json.loads(each)["eventType"] for each in lines] == ["START", "COMPLETE"]
    assert lines[1].encode() + b"\n" == store.get(event_key("copy", 2))


def test_show_with_a_broken_event(
    store: LocalStore, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no event is named, after all that are, and the command fails."""
    fill(store, [1])
    store.put(event_key("copy", 1), Body.of_bytes(b"x"))
    with pytest.raises(AuditError) as caught:
        call("show")
    assert str(caught.value) == (
        f"{store.url}/{event_key('copy', 1)}: expected an event of the audit trail, found another"
        " object; see `lading audit verify`"
    )
    assert caught.value.exit_code == 1
    assert "COMPLETE" in capsys.readouterr().out


def test_verify(store: LocalStore, call: Call, tmp_path: Path) -> None:
    """A whole trail is one line a store: how much was read of where."""
    assert call("verify") == [f"0 events in 0 streams of {store.url}: whole"]
    whole_run(store)
    fill(store, [5], "copy/p")
    assert call("verify") == [f"4 events in 2 streams of {store.url}: whole"]
    other = LocalStore(tmp_path / "other")
    AuditStream(other, "move").append(start())
    assert call("verify", "--store", other.url) == [f"1 event in 1 stream of {other.url}: whole"]


def test_verify_asks_all_stores(store: LocalStore, call: Call, tmp_path: Path) -> None:
    """The stores of the configuration are asked."""
    text = '[project]\nname = "acme"\n[jobs]\nstores = ["one", "two"]\n'
    (tmp_path / "lading.toml").write_text(text)
    fill(LocalStore(tmp_path / "two"), [1])
    assert call("verify") == [
        f"0 events in 0 streams of {tmp_path}/one: whole",
        f"2 events in 1 stream of {tmp_path}/two: whole",
    ]
    assert store.list() == []


def test_verify_tells_every_fault(
    store: LocalStore, call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Every fault of every store is a line of the error; whole stores are told, too."""
    whole_run(store)
    store.delete([event_key("copy", 2)])
    other = LocalStore(tmp_path / "other")
    other.put(".lading/audit/x", Body.of_bytes(b""))
    with pytest.raises(AuditError) as caught:
        call(
            "verify", "--store", str(tmp_path / "whole"), "--store", store.url, "--store", other.url
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{store.url}/.lading/jobs/copy/runs/")
    assert lines[1].startswith(f"{other.url}/.lading/audit/x: expected an event")
    assert capsys.readouterr().out == f"0 events in 0 streams of {tmp_path}/whole: whole\n"
