"""Telling a channel: one message for each release, through every fault of the service."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.config.models import Slack
from lading.errors import ServiceError, UnansweredError
from lading.services import slack
from lading.services.announcement import Announcement, Stage
from lading.services.journal import Journal
from lading.services.slack import ask_access, tell
from tests.fakes.slack import TOKEN, FakeSlack

RELEASE = "production/nightly/nightly-2025-02-05"
STAGES = {
    "released": Stage("upload:gcs", "done", "sent 3 files", 9.0),
    "unchanged": Stage("upload:gcs", "unchanged"),
    "failed": Stage("upload:gcs", "failed", "GCS: expected success, got 503"),
    "interrupted": Stage("upload:gcs", "interrupted", "1/3 files"),
}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> Iterator[FakeSlack]:
    """A workspace."""
    with FakeSlack() as server:
        yield server
    assert not server.errors


def announce(verdict: Any = "failed", **changes: Any) -> Announcement:
    """Return what is told of a run."""
    given: dict[str, Any] = {
        "project": "weather",
        "title": "",
        "channel": "nightly",
        "tag": "nightly-2025-02-05",
        "environment": "production",
        "verdict": verdict,
        "stages": [STAGES[verdict]],
        "elapsed_s": 10.0,
        "resume": "doit distribute",
    }
    return Announcement(**{**given, **changes})


class Run:
    """Runs of one release, each a process of its own: only the journal stays.

    Args:
        fake: the workspace.
        path: of the journal.
        channel: where to tell.
    """

    def __init__(self, fake: FakeSlack, path: Path, channel: str = "C0123456789") -> None:
        self.settings = Slack(channel=channel, url=fake.url)
        self.path = path
        self.naps: list[float] = []

    @property
    def journal(self) -> Journal:
        """The notes of the release."""
        return Journal(self.path, RELEASE)

    def tell(self, verdict: str = "failed", token: str = TOKEN, **options: Any) -> str:
        """Tell of a run."""
        options = {"budget_s": 30.0, "sleep": self.naps.append, **options}
        told = options.pop("announcement", None) or announce(verdict)
        return tell(told, self.settings, token, self.journal, **options)


@pytest.fixture
def run(fake: FakeSlack, tmp_path: Path) -> Run:
    """A release that is told in #data."""
    return Run(fake, tmp_path / "notify.json")


def test_release_is_posted_once(fake: FakeSlack, run: Run) -> None:
    """The first run posts the message; telling the same again asks nothing."""
    assert run.tell("released") == "posted to C0123456789"
    calls = len(fake.calls)

    assert run.tell("released") == "told already"
    assert len(fake.calls) == calls
    assert fake.changes == len(fake.messages) == 1
    assert fake.messages[0]["text"] == "weather nightly nightly-2025-02-05 released"
    assert fake.messages[0]["metadata"]["event_type"] == "lading_release"


def test_failure_becomes_the_release(fake: FakeSlack, run: Run) -> None:
    """A failed run that is resumed with success is one message, which then says so."""
    run.tell("failed")

    assert run.tell("released") == "updated the message in C0123456789"
    assert fake.changes == 2
    assert [each["text"] for each in fake.messages] == [
        "weather nightly nightly-2025-02-05 released"
    ]


def test_nothing_to_do_is_no_news(fake: FakeSlack, run: Run) -> None:
    """A run that found all as released says nothing after a release that was told."""
    run.tell("released")
    calls = len(fake.calls)

    assert run.tell("unchanged") == "told already"
    assert len(fake.calls) == calls


def test_nothing_to_do_after_a_failure_is_news(fake: FakeSlack, run: Run) -> None:
    """A run that found all as released corrects a message that tells of a failure."""
    run.tell("failed")
    run.tell("unchanged")

    assert [each["text"] for each in fake.messages] == [
        "weather nightly nightly-2025-02-05 released"
    ]


def test_channel_may_be_a_name(fake: FakeSlack, tmp_path: Path) -> None:
    """A channel given by name is posted to by name, and updated by its identifier."""
    run = Run(fake, tmp_path / "notify.json", "#data")
    run.tell("failed")
    run.tell("released")

    assert fake.methods() == ["chat.postMessage", "chat.update"]
    assert fake.calls[1].arguments["channel"] == "C0123456789"
    assert len(fake.messages) == 1


def test_fresh_machine_finds_the_message(fake: FakeSlack, run: Run) -> None:
    """Where the notes are lost, the message is found in the channel and updated."""
    run.tell("failed")
    run.path.unlink()
    run.tell("released")

    assert len(fake.messages) == 1
    assert fake.messages[0]["text"].endswith("released")


def test_messages_of_others_are_not_touched(fake: FakeSlack, run: Run) -> None:
    """Another environment, tag, or project has a message of its own."""
    for number, changes in enumerate(
        ({}, {"environment": "staging"}, {"tag": "nightly-2025-02-06"}, {"project": "energy"})
    ):
        run.path = run.path.with_name(f"{number}.json")
        run.tell(announcement=announce("failed", **changes))

    assert len(fake.messages) == 4


def test_found_beyond_the_first_page(fake: FakeSlack, run: Run) -> None:
    """The message is found though others have written much since."""
    run.tell("failed")
    chatter = {"type": "message", "bot_id": "", "text": "so it is"}
    later = float(fake.messages[0]["ts"]) + 1
    fake.messages.extend({**chatter, "ts": f"{later + number:.6f}"} for number in range(250))
    run.path.unlink()
    run.tell("released")

    assert len(fake.messages) == 251
    assert fake.messages[0]["text"].endswith("released")


@pytest.mark.parametrize("fault", ["reset-after", "status-after:500", "status-after:200"])
def test_lost_answer_is_looked_for(fake: FakeSlack, run: Run, fault: str) -> None:
    """A post whose answer was lost is found in the channel, in the same run."""
    fake.fail(fault, method="chat.postMessage")
    run.tell("failed")
    run.tell("released")

    assert len(fake.messages) == 1
    assert fake.methods().count("chat.postMessage") == 1


@pytest.mark.parametrize("fault", ["reset", "status:503", "html", "internal_error"])
def test_post_that_was_not_done_is_repeated(fake: FakeSlack, run: Run, fault: str) -> None:
    """A post that the channel does not show is sent once more, and stands there once."""
    fake.fail(fault, method="chat.postMessage")
    run.tell("failed")

    assert len(fake.messages) == 1
    assert fake.methods().count("chat.postMessage") == 2


def test_lost_answer_is_not_repeated_blindly(fake: FakeSlack, run: Run) -> None:
    """Without the scope to look, a post that may have been done is not sent again in this run."""
    fake.scopes = {"chat:write"}
    fake.fail("reset-after", method="chat.postMessage")
    with pytest.raises(UnansweredError, match=r"^Slack: chat\.postMessage: expected an answer of"):
        run.tell("failed")

    assert len(fake.messages) == 1
    assert run.tell("failed") == "posted to C0123456789"  # at least once, as promised
    assert len(fake.messages) == 2


class CutError(BaseException):
    """The process ends here."""


def cut_journal(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """End the run before the note of that number is kept."""
    kept, count = Journal.note, iter(range(1, 100))

    def note(self: Journal, **notes: str) -> None:
        if next(count) == at:
            raise CutError
        kept(self, **notes)

    monkeypatch.setattr(Journal, "note", note)


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("again", ["failed", "released"])
def test_cut_anywhere_then_again(
    fake: FakeSlack, run: Run, monkeypatch: pytest.MonkeyPatch, at: int, again: str
) -> None:
    """A run cut before or after the post is followed by one that leaves one message."""
    with monkeypatch.context() as patch:
        cut_journal(patch, at)
        with pytest.raises(CutError):
            run.tell("failed")
    assert len(fake.messages) == at - 1
    run.tell(again)

    assert len(fake.messages) == 1
    assert f" {again}" in fake.messages[0]["text"]
    assert run.tell(again) == "told already"


def test_cut_after_an_update_then_again(
    fake: FakeSlack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update that was not noted is made again: the message stays one."""
    run.tell("failed")
    with monkeypatch.context() as patch:
        cut_journal(patch, 1)
        with pytest.raises(CutError):
            run.tell("released")
    run.tell("released")

    assert [each["text"][-8:] for each in fake.messages] == ["released"]


@pytest.mark.parametrize("code", ["message_not_found", "cant_update_message", "edit_window_closed"])
def test_message_that_cannot_be_edited_is_followed_by_another(
    fake: FakeSlack, run: Run, code: str
) -> None:
    """Where the message is gone or closed, a new one is posted, and updated from then on."""
    run.tell("failed")
    fake.fail(code, method="chat.update")
    run.tell("interrupted")
    run.tell("released")

    assert [each["text"].split()[-1] for each in fake.messages] == ["503", "released"]


def test_closed_message_is_not_taken_for_the_new_one(fake: FakeSlack, run: Run) -> None:
    """Looking for a post whose answer was lost does not find the closed one before it."""
    run.tell("failed")
    fake.fail("edit_window_closed", method="chat.update")
    fake.fail("reset", method="chat.postMessage")
    run.tell("released")

    assert [each["text"].split()[-1] for each in fake.messages] == ["503", "released"]


def test_other_channel_gets_its_own_message(fake: FakeSlack, run: Run, tmp_path: Path) -> None:
    """Where lading.toml names another channel, the notes on the first are of no use."""
    fake.rooms[1].is_member = True
    run.tell("failed")
    Run(fake, tmp_path / "notify.json", "C0987654321").tell("released")

    assert [len(each.messages) for each in fake.rooms] == [1, 1]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("not_in_channel", "invite the bot"),
        ("channel_not_found", r"check \[slack\] channel"),
        ("is_archived", "name a channel that is in use"),
        ("token_revoked", "set SLACK_BOT_TOKEN to the bot token"),
        ("invalid_auth", "set SLACK_BOT_TOKEN to the bot token"),
        ("missing_scope", "scope chat:write"),
        ("restricted_action", "let the app post there"),
    ],
)
def test_refusal_says_what_to_do(fake: FakeSlack, run: Run, code: str, hint: str) -> None:
    """What Slack refuses is one line with its word and a hint, asked once."""
    fake.fail(code, method="chat.postMessage")
    with pytest.raises(
        ServiceError, match=rf"^Slack: chat.postMessage: expected success, got '{code}'; .*{hint}"
    ) as caught:
        run.tell()

    assert "\n" not in str(caught.value)
    assert fake.methods().count("chat.postMessage") == 1
    assert not run.naps


def test_refused_by_the_workspace_itself(fake: FakeSlack, run: Run, tmp_path: Path) -> None:
    """A wrong token, an unknown channel and one without the bot are refused in one line."""
    with pytest.raises(ServiceError, match="invalid_auth"):
        run.tell(token="xoxb-another-one")
    with pytest.raises(ServiceError, match="channel_not_found"):
        Run(fake, tmp_path / "a.json", "#nowhere").tell()
    with pytest.raises(ServiceError, match="not_in_channel"):
        Run(fake, tmp_path / "b.json", "#private").tell()
    assert fake.changes == 0


@pytest.mark.parametrize("fault", ["html", "status:500", "status:502", "reset", "fatal_error"])
def test_lasting_fault_of_an_update_is_one_error(fake: FakeSlack, run: Run, fault: str) -> None:
    """An update is repeated a few times, then it is one error in one line."""
    run.tell("failed")
    fake.fail(*[fault] * 9)
    with pytest.raises(
        UnansweredError, match=r"^Slack: chat\.update: expected an answer"
    ) as caught:
        run.tell("released")

    assert fake.methods().count("chat.update") == 3
    assert "\n" not in str(caught.value)
    assert run.naps == [0.5, 1.0]


def test_haste_is_paced(fake: FakeSlack, run: Run) -> None:
    """A refusal for haste is repeated after the time that Slack asks for, or a second."""
    fake.fail("limited:7", "status:429", method="chat.postMessage")
    run.tell()

    assert run.naps == [7.0, 1.0]
    assert len(fake.messages) == 1


@pytest.mark.parametrize("asked", ["3600", "Fri, 21 Nov 2031 00:00:00 GMT"])
def test_long_wait_is_not_waited(fake: FakeSlack, run: Run, asked: str) -> None:
    """A wait beyond the time that telling may take is an error at once, if a number says so."""
    fake.fail(*[f"limited:{asked}"] * 3, method="chat.postMessage")
    with pytest.raises(ServiceError, match="got 'ratelimited'; the next run tells it"):
        run.tell()

    assert sum(run.naps) <= 2
    assert fake.changes == 0


def test_hanging_service_is_given_up(fake: FakeSlack, run: Run) -> None:
    """A service that does not answer costs no more than the time that telling may take."""
    fake.fail("hang")
    began = time.monotonic()
    with pytest.raises(UnansweredError, match=r"timed out|expected an answer within"):
        run.tell(budget_s=0.3)
    assert time.monotonic() - began < 2


def test_what_never_ends_is_given_up(
    fake: FakeSlack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even what no time limit of a socket ends, such as a name server, is given up in time."""

    def resolve(*_: object) -> None:
        fake.released.wait(5)
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    with pytest.raises(
        UnansweredError, match=r"^Slack: expected an answer within 0\.2 s, got none"
    ):
        run.tell(budget_s=0.2)
    fake.released.set()


@pytest.mark.parametrize("channel", ["C0123456789", "#data"])
def test_dead_host_is_one_error(fake: FakeSlack, run: Run, channel: str) -> None:
    """A host that refuses connections is tried thrice, for a post too, and told in one line."""
    run.settings = Slack(channel=channel, url=fake.url)
    fake.close()
    with pytest.raises(UnansweredError, match=r"expected an answer of 127.*Connection refused"):
        run.tell()

    assert run.naps == [0.5, 1.0]


@pytest.mark.parametrize(
    ("token", "found"), [("", "none"), ("xoxb-1\r\nX-Evil: 1", "one with other characters")]
)
def test_impossible_token_asks_nobody(fake: FakeSlack, run: Run, token: str, found: str) -> None:
    """No token, or one that cannot stand in a header, is refused here and not shown."""
    with pytest.raises(ServiceError, match=f"a token in SLACK_BOT_TOKEN, found {found};") as caught:
        run.tell(token=token)

    assert "Evil" not in str(caught.value)
    assert not fake.calls


def test_token_is_not_sent_in_the_clear(run: Run) -> None:
    """A service that is not on this machine is spoken to by https only."""
    run.settings = Slack(channel="#data", url="http://slack.example.org")
    with pytest.raises(ServiceError, match="expected https where a token is sent"):
        run.tell()


def test_no_secret_is_seen(
    fake: FakeSlack, run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither token nor secrets stand in the message, the notes, the error, or on the terminal."""
    monkeypatch.setenv("ZENODO_TOKEN", "canary-1234567")
    leaky = Stage("upload:gcs", "failed", f"with canary-1234567 and {TOKEN}")
    run.tell(announcement=announce("failed", stages=[leaky]))
    fake.fail(*["canary-1234567 " + TOKEN] * 3, method="chat.update")
    with pytest.raises(ServiceError) as caught:
        run.tell("released")
    seen = "".join(
        [run.path.read_text(), repr(fake.messages), str(caught.value), *capfd.readouterr()]
    )

    assert "canary" not in seen
    assert TOKEN not in seen
    assert all(TOKEN not in repr(each.arguments) for each in fake.calls)


def test_library_says_nothing_by_itself(
    fake: FakeSlack, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong is told by our error only, not by the library's log; without the token."""
    token = "legacy-token-1"
    fake.fail(*[f"no such token: {token}"] * 3, *["reset"] * 3)
    for _ in range(2):
        with pytest.raises(UnansweredError) as caught:
            run.tell(token=token)
        assert token not in str(caught.value)

    assert not caplog.records


def test_note_that_cannot_be_kept_is_told(fake: FakeSlack, run: Run, tmp_path: Path) -> None:
    """Where no note can be kept, nothing is posted, and one line says so."""
    (tmp_path / "file").write_text("")
    run.path = tmp_path / "file" / "notify.json"
    with pytest.raises(ServiceError, match="Slack: expected to keep a note of the message, got"):
        run.tell()
    assert fake.changes == 0


def test_access_names_the_bot(fake: FakeSlack, run: Run) -> None:
    """Access is asked without a change: who the token is, and whether it may post."""
    assert ask_access(run.settings, TOKEN) == "bot lading of Example Data"
    fake.scopes = {"channels:history"}
    with pytest.raises(ServiceError, match="expected the scope chat:write, got 'channels:history'"):
        ask_access(run.settings, TOKEN)
    with pytest.raises(ServiceError, match=r"auth\.test: expected success, got 'invalid_auth'"):
        ask_access(run.settings, "xoxb-other")
    assert fake.changes == 0


def test_library_is_loaded_where_it_is_used() -> None:
    """Who imports the module does not wait for Slack's library."""
    code = "import sys, lading.services.slack; sys.exit('slack_sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={**os.environ})


def test_short_budget_leaves_time_to_end() -> None:
    """An interrupted run is told within the time that CI services leave it."""
    assert slack.SHORT_BUDGET_S <= 5 < slack.BUDGET_S <= 30
