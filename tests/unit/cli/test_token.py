"""``lading token``: made once, shown once, revoked for good."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from lading.cli.token import render_tokens
from lading.ledger.tokens import Token, find_token
from tests.unit.cli.conftest import Call
from tests.unit.cli.ledger_project import NOON, LedgerProject


def test_add(bare_project: LedgerProject, call: Call) -> None:
    """The token alone is on stdout, so that a script can keep it; it opens what it says."""
    answer = call("token", "add", "ci", "--role", "admin", "--days", "3")
    assert answer.code == 0
    assert answer.err.startswith("token ci: admin until ")
    assert answer.out.strip() not in answer.err
    token = find_token(bare_project.open(), answer.out.strip())
    assert token is not None
    assert (token.name, token.role) == ("ci", "admin")
    assert token.expires_at is not None
    assert timedelta(days=2.9) < token.expires_at - datetime.now(UTC) < timedelta(days=3)


def test_it_is_shown_once(project: LedgerProject, call: Call) -> None:
    """No other command shows a token, and no file of the project holds it."""
    secret = call("token", "add", "ci", "--role", "viewer").out.strip()
    shown = call("token", "list").out + call("token", "list", "--json").out
    assert "ci" in shown
    assert secret not in shown
    for path in project.folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()


@pytest.mark.usefixtures("project")
def test_add_again(call: Call) -> None:
    """A name that is taken makes no second token: one line, exit code 1, nothing on stdout."""
    call("token", "add", "ci", "--role", "viewer")
    answer = call("token", "add", "ci", "--role", "admin")
    assert (answer.code, answer.out) == (1, "")
    assert "ci" in answer.err


def test_revoke(project: LedgerProject, call: Call) -> None:
    """A revoked token opens nothing any more; to revoke it twice is no error, to miss it is."""
    secret = call("token", "add", "ci", "--role", "viewer").out.strip()
    for _ in range(2):
        assert call("token", "revoke", "ci").code == 0
    token = find_token(project.open(), secret)
    assert token is not None
    assert not token.is_valid(datetime.now(UTC))
    assert "revoked" in call("token", "list").out
    assert call("token", "revoke", "cj").code == 1


@pytest.mark.usefixtures("project")
def test_list(call: Call) -> None:
    """All tokens are listed by name, as JSON too; none is said where there is none."""
    assert call("token", "list").lines == [
        "no tokens: `lading token add NAME --role viewer` makes one"
    ]
    for name in ("bob", "ada"):
        call("token", "add", name, "--role", "viewer")
    assert [each.split()[0] for each in call("token", "list").lines] == ["name", "ada", "bob"]
    tables = json.loads(call("token", "list", "--json").out)["tokens"]
    assert [(each["name"], each["is_valid"]) for each in tables] == [("ada", True), ("bob", True)]


def test_render_tokens() -> None:
    """Each token says until when it is valid, or since when it is not."""
    kinds = {
        "a": {},
        "b": {"expires_at": NOON + timedelta(days=1)},
        "c": {"expires_at": NOON},
        "d": {"expires_at": NOON, "revoked_at": NOON - timedelta(days=1)},
    }
    tokens = [
        Token(name=name, role="viewer", created_at=NOON - timedelta(days=9), **dates)
        for name, dates in kinds.items()
    ]
    lines = [each.plain.split("  ")[-1] for each in render_tokens(tokens, 80, NOON)]
    assert lines == [
        "valid until",
        "for ever",
        "2025-02-06 12:00",
        "ended 2025-02-05 12:00",
        "revoked 2025-02-04 12:00",
    ]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("add", "ci"), "--role"),
        (("add", "ci", "--role", "owner"), "invalid choice"),
        (("add", "ci", "--role", "viewer", "--days", "0"), "expected days from 1 to 36500"),
        (("add", "ci", "--role", "viewer", "--days", "99999"), "expected days from 1 to 36500"),
    ],
)
def test_usage(
    bare_project: LedgerProject,
    call: Call,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    wanted: str,
) -> None:
    """What cannot be meant ends as usage does, and makes no ledger."""
    with pytest.raises(SystemExit) as ended:
        call("token", *words)
    assert ended.value.code == 3
    assert wanted in capsys.readouterr().err
    assert not bare_project.file.exists()
