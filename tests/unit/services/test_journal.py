"""What a call to the outside has begun, kept over a kill."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.services.journal import Journal

NAMES = st.dictionaries(st.text(), st.text(st.characters(codec="utf-8")), max_size=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place in a folder that is not there yet."""
    return tmp_path / "deep" / "zenodo.json"


def test_note_is_kept(path: Path) -> None:
    """A note is there at once for whoever opens the journal next; what is not there is empty."""
    Journal(path, "k").note(draft="12", run="ü")
    again = Journal(path, "k")

    assert (again.get("draft"), again.get("run"), again.get("other")) == ("12", "ü", "")


def test_nothing_is_kept_yet(path: Path) -> None:
    """Reading a journal that is not there makes none."""
    assert Journal(path, "k").get("draft") == ""
    assert not path.parent.exists()


def test_notes_add_up(path: Path) -> None:
    """A later note replaces the one of its name and leaves the others."""
    journal = Journal(path, "k")
    journal.note(draft="1", run="a")
    journal.note(draft="2")

    assert (journal.get("draft"), journal.get("run")) == ("2", "a")


def test_other_release(path: Path) -> None:
    """Notes on another release are not read, and end with the first note on this one."""
    Journal(path, "old").note(draft="1", run="a")
    journal = Journal(path, "new")
    assert journal.get("draft") == ""
    journal.note(draft="2")

    assert (journal.get("draft"), journal.get("run")) == ("2", "")
    assert Journal(path, "old").get("draft") == ""


@settings(max_examples=20, deadline=None)
@given(first=NAMES, second=NAMES)
def test_any_text(tmp_path_factory: pytest.TempPathFactory, first: object, second: object) -> None:
    """Whatever names and texts are noted, the last of each name is read back."""
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    path = tmp_path_factory.mktemp("journal") / "j"
    journal = Journal(path, "k")
    journal.note(**first)
    journal.note(**second)

    assert {name: journal.get(name) for name in first | second} == first | second


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"text"',
        b'{"key": "k"}',
        b'{"key": "k", "notes": null}',
        b'{"key": "k", "notes": [1]}',
        b'{"notes": {"draft": "1"}}',
        b"[" * 100_000,
    ],
)
def test_unreadable_is_lost(path: Path, content: bytes) -> None:
    """A journal that cannot be read is as none, and the next note mends it."""
    path.parent.mkdir()
    path.write_bytes(content)
    journal = Journal(path, "k")
    assert journal.get("draft") == ""
    journal.note(draft="2")

    assert Journal(path, "k").get("draft") == "2"


def test_folder_in_its_place(path: Path) -> None:
    """A folder where the journal should be is no note."""
    path.mkdir(parents=True)

    assert Journal(path, "k").get("draft") == ""


def test_cut_while_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note that is cut while it is written leaves those before it."""
    journal = Journal(path, "k")
    journal.note(draft="1")

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(self), None, str(target))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="No space"):
            journal.note(draft="2")

    assert journal.get("draft") == "1"
    journal.note(draft="3")
    assert journal.get("draft") == "3"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_killed_after_a_note(path: Path) -> None:
    """A process that is killed right after a note has kept it."""
    code = (
        "import os, sys; from pathlib import Path; from lading.services.journal import Journal;"
        "Journal(Path(sys.argv[1]), 'k').note(draft='7'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)

    assert done.returncode == -9
    assert Journal(path, "k").get("draft") == "7"


def test_for_people_to_read(path: Path) -> None:
    """The file is JSON that says of what it is."""
    Journal(path, "k").note(draft="1")

    assert json.loads(path.read_text()) == {
        "schema_version": 1,
        "key": "k",
        "notes": {"draft": "1"},
    }
