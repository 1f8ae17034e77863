"""GitHub's API through both of its doors, which must say the same."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

from lading.errors import GuardError, Interrupted, ServiceError, UnansweredError
from lading.services.github import GhApi, RestApi, open_github, token_of
from lading.storage.progress import Progress
from tests.fakes.github import FakeGithub
from tests.fakes.github_doors import (
    DOORS,
    MANIFEST,
    TOKEN,
    Clock,
    find_gh,
    gh_environment,
    open_door,
    put_gh_on_path,
    serve_github,
)

WORKFLOW = "/repos/owner/name/actions/workflows/deposit.yml"
DISPATCH = f"{WORKFLOW}/dispatches"
INPUTS = {"env": "sandbox", "manifest": MANIFEST}
ASKED = {"ref": "v1", "inputs": INPUTS, "return_run_details": True}

both_doors = pytest.mark.parametrize("door", DOORS)


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def github() -> Iterator[FakeGithub]:
    """Serve a repository with two workflows."""
    with serve_github() as server:
        yield server


@both_doors
def test_json_is_returned(door: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer arrives as JSON, a query and a slash in a name as they were given."""
    api = open_door(door, github, monkeypatch)
    github.refs.append("feature/x")

    assert api.call("GET", f"{WORKFLOW}?a=%3E%3D1")["state"] == "active"
    assert api.call("GET", "/repos/owner/name/commits/feature%2Fx")["sha"]
    assert [call.query for call in github.calls] == ["a=%3E%3D1", ""]
    assert api.door == door


@both_doors
def test_a_body_arrives_as_it_is(
    door: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strings that look like numbers, truth or a file stay strings; the answer has the run."""
    api = open_door(door, github, monkeypatch)
    odd = {"env": "sandbox", "manifest": "@123 'é\n$(x)", "publish": "true"}
    table = api.call("POST", DISPATCH, {**ASKED, "inputs": odd})

    assert table["workflow_run_id"] == github.runs[0].run_id
    assert github.runs[0].inputs == odd


@both_doors
def test_an_answer_without_a_body_is_none(
    door: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that tells no run answers with nothing, and that is a success."""
    github.api = "old"

    assert open_door(door, github, monkeypatch).call("POST", DISPATCH, ASKED) is None
    assert len(github.runs) == 1


@both_doors
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ref": "gone"}, "No ref found for: gone"),
        ({"inputs": {**INPUTS, "x": "1"}}, 'Unexpected inputs provided: ["x"]'),
    ],
)
def test_a_refusal_has_the_words_of_github(
    door: str,
    change: dict[str, object],
    said: str,
    github: FakeGithub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What GitHub refuses is one line with its message and the status."""
    with pytest.raises(ServiceError) as caught:
        open_door(door, github, monkeypatch).call("POST", DISPATCH, {**ASKED, **change})

    assert str(caught.value) == (f"GitHub: POST {DISPATCH}: expected success, got 422 {said!r}")
    assert caught.value.status == 422
    assert not isinstance(caught.value, UnansweredError)


@both_doors
def test_a_wrong_token_is_told(
    door: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that GitHub does not know is its 401, asked once; the token is not told."""
    with pytest.raises(ServiceError, match="got 401 'Bad credentials'") as caught:
        open_door(door, github, monkeypatch, token="ghp_wrongwrongwrongwrong").call("GET", WORKFLOW)

    assert caught.value.status == 401
    assert "ghp_" not in str(caught.value)
    assert len(github.calls) == 1


@both_doors
@pytest.mark.parametrize("fault", ["502-before", "reset-before", "page"])
def test_what_reads_is_asked_again(
    door: str, fault: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question without a readable answer is asked again."""
    github.fail("workflow", fault)

    assert open_door(door, github, monkeypatch).call("GET", WORKFLOW)["state"] == "active"
    assert len(github.calls) == 2


@both_doors
@pytest.mark.parametrize("fault", ["502-after", "502-before", "reset-after", "page"])
def test_what_changes_is_never_sent_twice(
    door: str, fault: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispatch whose answer is lost is an UnansweredError after one request."""
    github.fail("dispatch", fault)
    with pytest.raises(UnansweredError) as caught:
        open_door(door, github, monkeypatch).call("POST", DISPATCH, ASKED)

    assert caught.value.was_sent
    assert len(github.writes) == 1
    assert len(github.runs) == (0 if fault == "502-before" else 1)
    assert "\n" not in str(caught.value)


@both_doors
def test_an_outage_ends(door: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that never answers is asked a few times, then told with its status."""
    github.fail("workflow", *["502-before"] * 9)
    with pytest.raises(UnansweredError, match="502") as caught:
        open_door(door, github, monkeypatch).call("GET", WORKFLOW)

    assert caught.value.status == 502
    assert 3 <= len(github.calls) <= 4


@both_doors
@pytest.mark.parametrize("fault", ["haste", "haste-429", "haste-retry-after"])
def test_haste_is_waited_out(
    door: str, fault: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal for haste is no answer to the dispatch: it is waited, and then it is done once."""
    clock = Clock()
    github.fail("dispatch", fault)
    open_door(door, github, monkeypatch, sleep=clock.sleep).call("POST", DISPATCH, ASKED)

    assert len(github.runs) == 1
    assert 1 <= sum(clock.naps) <= 60
    assert max(clock.naps) <= 1


def test_haste_without_end_is_told(github: FakeGithub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where gh hides for how long to wait, it is a minute, once; then the refusal is told."""
    clock = Clock()
    github.fail("dispatch", *["haste"] * 5)
    with pytest.raises(ServiceError, match="rate limit") as caught:
        open_door("gh", github, monkeypatch, sleep=clock.sleep).call("POST", DISPATCH, ASKED)

    assert caught.value.status == 403
    assert len(github.calls) == 2
    assert sum(clock.naps) == 60


class Stop(Progress):
    """A progress of a run that was asked to stop."""

    def relative_update(self, inc: int = 1) -> None:
        """Stop."""
        del inc
        raise Interrupted(15)


@both_doors
def test_a_wait_can_be_stopped(
    door: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal ends a wait at once."""
    clock = Clock()
    api = open_door(door, github, monkeypatch, sleep=clock.sleep)
    github.fail("workflow", "haste")
    api.progress = Stop()
    with pytest.raises(Interrupted):
        api.call("GET", WORKFLOW)

    assert clock.naps == []


@both_doors
def test_one_that_only_reads_refuses_to_write(
    door: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan asks nothing of GitHub that could change it."""
    api = open_door(door, github, monkeypatch, read_only=True)
    with pytest.raises(GuardError, match="expected to read only, got POST"):
        api.call("POST", DISPATCH, ASKED)

    assert github.calls == []
    assert api.call("GET", WORKFLOW)["state"] == "active"


@both_doors
def test_nobody_there_is_not_sent(
    door: str, github: FakeGithub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no connection comes about, it is said that nothing was sent."""
    api = open_door(door, github, monkeypatch)
    github.close()
    with pytest.raises(UnansweredError) as caught:
        api.call("POST", DISPATCH, ASKED)

    assert not caught.value.was_sent


def test_gh_gets_no_secret_and_no_body_in_its_arguments(
    github: FakeGithub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the token nor an input stands where everybody on the machine can read it."""
    put_gh_on_path(monkeypatch)
    spy = tmp_path / "bin" / "gh"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/argv\nexec {find_gh()} "$@"\n')
    spy.chmod(spy.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{spy.parent}{os.pathsep}{os.environ['PATH']}")
    GhApi(tmp_path, gh_environment(github)).call("POST", DISPATCH, ASKED)
    argv = (tmp_path / "argv").read_text()

    assert len(github.runs) == 1
    assert DISPATCH in argv
    assert "canary" not in argv
    assert MANIFEST not in argv


def test_what_a_person_has_set_does_not_change_the_answer(
    github: FakeGithub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colours, debugging and a forced terminal are switched off."""
    for name in ("GH_FORCE_TTY", "GH_DEBUG", "CLICOLOR_FORCE", "DEBUG"):
        monkeypatch.setenv(name, "1")
    put_gh_on_path(monkeypatch)
    given = {k: v for k, v in os.environ.items() if k in {"GH_FORCE_TTY", "GH_DEBUG"}}
    api = GhApi(Path(github.gh_folder), {**gh_environment(github), **given})

    assert api.call("GET", WORKFLOW)["state"] == "active"
    with pytest.raises(ServiceError, match=r"got 404 'Not Found'$"):
        api.call("GET", f"{WORKFLOW}.gone")


def test_gh_is_taken_where_it_has_a_token(
    github: FakeGithub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With gh and a token the door is gh, in a job of Actions too."""
    put_gh_on_path(monkeypatch)
    environment = {**gh_environment(github), "GITHUB_API_URL": "https://api.github.com"}
    api = open_github(tmp_path, environment)

    assert isinstance(api, GhApi)
    assert api.call("GET", WORKFLOW)["state"] == "active"
    assert github.calls[0].agent.startswith("GitHub CLI")


def test_http_is_taken_without_gh(
    github: FakeGithub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without gh a token is enough, and reading only is kept."""
    monkeypatch.setenv("PATH", "/nowhere")
    environment = {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": github.url}
    api = open_github(tmp_path, environment, read_only=True)

    assert isinstance(api, RestApi)
    assert api.call("GET", WORKFLOW)["state"] == "active"
    assert github.calls[0].agent.startswith("lading/")
    with pytest.raises(GuardError):
        api.call("POST", DISPATCH, ASKED)


def test_gh_is_not_taken_to_a_plain_server(
    github: FakeGithub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without TLS is reached over HTTP though gh is there, which speaks TLS only."""
    put_gh_on_path(monkeypatch)
    environment = {**gh_environment(github), "GITHUB_API_URL": github.url}

    assert isinstance(open_github(tmp_path, environment), RestApi)


def test_both_cures_are_told(
    github: FakeGithub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With neither a login nor a token, one line tells both cures; nothing is asked."""
    put_gh_on_path(monkeypatch)
    with pytest.raises(ServiceError) as caught:
        open_github(tmp_path, gh_environment(github, token=""))

    assert str(caught.value) == (
        "GitHub: expected a token or a login of gh for api.github.com, found neither;"
        " set GH_TOKEN (or GITHUB_TOKEN), or run `gh auth login`"
    )
    assert github.calls == []


@pytest.mark.parametrize(
    ("url", "names", "chosen"),
    [
        ("https://api.github.com", "GITHUB_TOKEN GH_TOKEN GH_ENTERPRISE_TOKEN", "GH_TOKEN"),
        ("https://api.github.com", "GITHUB_TOKEN GH_ENTERPRISE_TOKEN", "GITHUB_TOKEN"),
        ("https://api.github.com", "GH_ENTERPRISE_TOKEN", ""),
        ("https://api.octo.ghe.com", "GH_TOKEN GH_ENTERPRISE_TOKEN", "GH_TOKEN"),
        ("https://git.example/api/v3", "GH_TOKEN GH_ENTERPRISE_TOKEN", "GH_ENTERPRISE_TOKEN"),
        ("https://git.example/api/v3", "GITHUB_TOKEN", "GITHUB_TOKEN"),
    ],
)
def test_tokens_have_the_order_of_gh(url: str, names: str, chosen: str) -> None:
    """The token is that which gh would take for the host."""
    assert token_of({name: name for name in names.split()}, url) == chosen


def test_a_server_of_ones_own_is_named_to_gh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gh is told the host where it is not GitHub's own; its answer is told in one line."""
    spy = tmp_path / "gh"
    spy.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/argv\necho "{{}}"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    open_github(tmp_path, {"GITHUB_API_URL": "https://git.example/api/v3"}).call("GET", "/x")
    open_github(tmp_path, {"GITHUB_API_URL": "https://api.octo.ghe.com"}).call("GET", "/x")
    open_github(tmp_path, {"GITHUB_API_URL": "https://api.github.com"}).call("GET", "/x")
    told = [
        line.partition("--hostname ")[2] for line in (tmp_path / "argv").read_text().split("\n")
    ]

    assert told == ["git.example"] * 2 + ["octo.ghe.com"] * 2 + ["github.com"] * 2 + [""]


def test_the_answer_of_gh_is_json_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no JSON is no answer, and is told shortened and without secrets."""
    spy = tmp_path / "gh"
    spy.write_text(f"#!/bin/sh\necho '<html>{TOKEN}'\n")
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UnansweredError) as caught:
        GhApi(tmp_path, {}, sleep=lambda _: None).call("GET", "/x?secret=1")

    assert str(caught.value).startswith("GitHub: GET /x: expected JSON, got '<html>***'")
    assert json.dumps(str(caught.value)).count("\\n") == 0
