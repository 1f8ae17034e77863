"""The records API of InvenioRDM: what is asked, what is read, and who is never asked."""

import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import stamina

from lading.errors import GuardError, ServiceError, UnansweredError
from lading.services.inveniordm import Deposit, open_deposits, parse_deposit, parse_entry
from lading.services.rest import RestClient
from tests.fakes.http_server import HttpServer, Reply, Request
from tests.fakes.inveniordm import FakeInvenioRdm
from tests.fakes.inveniordm_state import StoredFile
from tests.unit.services.deposits import METADATA, TOKEN, Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A service with nothing in it, and clocks that do not wait."""
    monkeypatch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
    with stamina.set_testing(True, attempts=8, cap=True), FakeInvenioRdm() as fake:
        yield Scene(fake, tmp_path)
        assert fake.errors == []


@pytest.mark.parametrize("env", ["sandbox", "production"])
@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("url", ["", "https://data.example.org"])
def test_staging_reaches_no_deposit(env: str, read_only: bool, url: str) -> None:  # noqa: FBT001
    """In staging nothing is opened, whatever is configured, not even to read."""
    with pytest.raises(GuardError, match="expected no deposit in staging"):
        open_deposits(env, environment="staging", token=TOKEN, url=url, read_only=read_only)


@pytest.mark.parametrize(
    ("env", "url", "expected"),
    [
        ("sandbox", "", "https://sandbox.zenodo.org"),
        ("production", "", "https://zenodo.org"),
        ("production", "https://data.example.org/", "https://data.example.org"),
    ],
)
def test_which_service_is_opened(env: str, url: str, expected: str) -> None:
    """The sandbox is the sandbox, and another InvenioRDM goes before both."""
    assert open_deposits(env, environment="production", token=TOKEN, url=url).url == expected


def test_a_token_never_travels_in_the_clear() -> None:
    """A service without https gets no token."""
    with pytest.raises(ServiceError, match="expected https"):
        open_deposits("sandbox", environment="production", token=TOKEN, url="http://x.example")


def test_every_request_asks_for_the_new_shape_and_names_us(scene: Scene) -> None:
    """What open_deposits opens is understood by a service that refuses unnamed tools."""
    url = scene.fake.url
    api = open_deposits("sandbox", environment="production", token=TOKEN, url=url)
    assert api.mine() == []
    assert scene.fake.calls[0].agent.startswith("lading/")


def test_all_pages_of_a_search_are_read(scene: Scene) -> None:
    """A search gives a hundred rows at once; an account may have more."""
    for _ in range(205):
        scene.fake.state.begin("us").metadata = METADATA
    assert len({each.id for each in scene.api().mine()}) == 205
    assert [each.operation for each in scene.fake.calls] == ["mine"] * 3


def test_a_concept_leads_to_its_latest_version(scene: Scene) -> None:
    """The service redirects a concept; what it leads to is read."""
    first = scene.fake.state.begin("us")
    scene.fake.state.publish(first)
    second = scene.fake.state.begin("us", first.concept, 2)
    scene.fake.state.publish(second)
    api = scene.api()
    for found in (api.record(first.concept), api.latest(first.concept), api.latest(first.id)):
        assert found is not None
        assert found.id == second.id


def test_what_is_not_there_is_none(scene: Scene) -> None:
    """Neither a record, nor its draft, nor a file of it is an error where it is looked for."""
    draft = scene.fake.state.begin("us")
    api = scene.api()
    assert api.record("7") is None
    assert api.record(draft.id) is None
    assert api.latest(draft.id) is None
    assert api.draft("7") is None
    assert api.file(draft.id, "a") is None
    api.delete_file(draft.id, "a")
    with pytest.raises(ServiceError, match="403"):
        scene.api(token="token-of-theirs").draft(draft.id)


def test_names_of_files_are_quoted(scene: Scene) -> None:
    """A name with blanks, signs or letters of its own arrives as it is."""
    draft = scene.fake.state.begin("us")
    key = "a b#c?ä%2F.csv"
    draft.files[key] = StoredFile(key, b"x")
    found = scene.api().file(draft.id, key)
    assert found is not None
    assert found.key == key


def test_a_pause_ends_where_the_run_shall_stop(scene: Scene) -> None:
    """Waiting is done in short steps, each of which asks whether to go on."""
    scene.api().pause(2.5)
    assert scene.slept == [1.0, 1.0, 0.5]


def test_a_limit_is_waited_for_and_not_counted_as_a_try(scene: Scene) -> None:
    """However often the service says that it is too early, it is asked again."""
    scene.fake.fail("mine", "429", 10)
    scene.fake.fail("mine", "429-after", 1)
    assert scene.api().mine() == []
    assert sum(scene.slept) >= 5


def test_a_page_is_no_answer(scene: Scene) -> None:
    """A page in place of JSON is never taken for success, whatever its status."""
    scene.fake.fail("draft", "html", 100)
    with pytest.raises(UnansweredError, match="expected JSON, got 200"):
        scene.api().draft("1")


def test_what_files_are_missing_is_no_fault_of_the_metadata() -> None:
    """A draft without files is described all the same; hints are no faults."""
    table = {
        "id": 7,
        "parent": {"id": "6"},
        "errors": [
            {"field": "files.enabled", "messages": ["Missing uploaded files."]},
            {"field": "metadata.title", "messages": ["a", "b"]},
            {"field": "metadata.rights", "messages": ["advice"], "severity": "info"},
        ],
    }
    found = parse_deposit(table)
    assert found.faults == ("metadata.title: a, b",)
    assert (found.id, found.concept, found.is_published, found.doi) == ("7", "6", False, "")


@pytest.mark.parametrize("table", [None, [], {}, {"id": "1"}, {"id": "1", "parent": None}])
def test_another_shape_is_refused(table: object) -> None:
    """The legacy shape, or anything else, ends in one line."""
    with pytest.raises(ServiceError, match="expected a record with id and parent"):
        parse_deposit(table)


@pytest.mark.parametrize(
    ("row", "size_bytes", "md5", "whole"),
    [
        ({"key": "a", "status": "completed", "size": 3.0, "checksum": "md5:AB"}, 3, "ab", True),
        ({"key": "a", "status": "pending", "size": None, "checksum": None}, 0, "", False),
        ({"key": "a", "size": 3, "checksum": "sha256:ab"}, 3, "", True),
        ({"key": "a", "status": "failed"}, 0, "", False),
    ],
)
def test_a_file_is_whole_when_the_service_says_so(
    row: object,
    size_bytes: int,
    md5: str,
    whole: bool,  # noqa: FBT001
) -> None:
    """Only an md5 is taken for one, and only what is completed for whole."""
    found = parse_entry(row)
    assert (found.size_bytes, found.md5, found.is_complete) == (size_bytes, md5, whole)


def test_a_row_that_is_no_file_is_refused() -> None:
    """A list of something else ends in one line."""
    with pytest.raises(ServiceError, match="expected a file with a key"):
        parse_entry({"name": "a"})


class Redirecting(HttpServer):
    """Redirects every request to a place."""

    target = ""

    def answer(self, request: Request) -> Reply:
        """Redirect; answer at the end of the way."""
        if request.path == "/end":
            return Reply(200, {}, b'{"seen": true}')
        return Reply(302, {"Location": self.target})


@pytest.mark.parametrize(
    ("target", "method", "followed"),
    [
        ("/end", "GET", True),
        ("https://{host}/end", "GET", True),
        ("https://elsewhere.example/end", "GET", False),
        ("/round", "GET", False),
        ("/end", "POST", False),
    ],
)
def test_only_the_same_host_is_followed(target: str, method: str, followed: bool) -> None:  # noqa: FBT001
    """A token is sent nowhere else, a round has an end, and a write is never sent on."""
    with Redirecting() as server:
        server.target = target.format(host=server.url.partition("://")[2])
        with RestClient("Zenodo", server.url, token=TOKEN) as client:
            if followed:
                assert client.ask(method, "/start").table == {"seen": True}
            else:
                with pytest.raises(ServiceError, match="expected success, got 302"):
                    client.ask(method, "/start")


def test_a_deposit_keeps_what_is_not_ours() -> None:
    """Access, custom fields and identifiers are sent back as they were read."""
    kept = {"access": {"record": "public"}, "pids": {"doi": {"identifier": "10.1/2"}}}
    found = parse_deposit({"id": "1", "parent": {"id": "0"}, "custom_fields": {}, **kept})
    assert isinstance(found, Deposit)
    assert found.kept == kept
    assert found.doi == "10.1/2"
