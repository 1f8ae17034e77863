"""The fake InvenioRDM refuses what the real one refuses, and fails when told."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.inveniordm import FakeInvenioRdm

HEADERS = {
    "User-Agent": "lading/1 (test)",
    "Accept": "application/vnd.inveniordm.v1+json",
    "Authorization": "Bearer token-of-ours",
}
METADATA: dict[str, Any] = {
    "title": "Title",
    "creators": [{"person_or_org": {"type": "organizational", "name": "Team"}}],
    "resource_type": {"id": "dataset"},
    "publication_date": "2025-02-05",
}


class Client:
    """Asks the fake as plainly as can be."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/api", headers=HEADERS, verify=False)

    def __call__(
        self,
        method: str,
        path: str,
        table: Any = None,
        *,
        data: bytes | None = None,
        **headers: str,
    ) -> tuple[int, Any]:
        """Return status and JSON."""
        body = {"content": data} if data is not None else {"json": table} if table else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.http.request(method, path, headers=named, **body)
        is_json = answer.headers.get("content-type") == "application/json"
        return answer.status_code, answer.json() if is_json else answer.text

    def draft(self, **metadata: Any) -> str:
        """Begin a record and return its identifier."""
        body = {"files": {"enabled": True}, "metadata": {**METADATA, **metadata}}
        return str(self("POST", "/records", body)[1]["id"])

    def upload(self, draft: str, key: str, data: bytes) -> tuple[int, Any]:
        """Send a file in the three steps."""
        self("POST", f"/records/{draft}/draft/files", [{"key": key}])
        self("PUT", f"/records/{draft}/draft/files/{key}/content", data=data)
        return self("POST", f"/records/{draft}/draft/files/{key}/commit")

    def published(self) -> str:
        """Publish a record of one file."""
        draft = self.draft(version="1")
        self.upload(draft, "a.csv", b"1")
        assert self("POST", f"/records/{draft}/draft/actions/publish")[0] == 202
        return draft


@pytest.fixture
def fake() -> Iterator[FakeInvenioRdm]:
    """A service with nothing in it."""
    with FakeInvenioRdm() as server:
        yield server


@pytest.fixture
def ask(fake: FakeInvenioRdm) -> Iterator[Client]:
    """Somebody with a token."""
    client = Client(fake.url)
    with client.http:
        yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"User_Agent": "python-httpx/0.28"}, 403),
        ({"User_Agent": ""}, 403),
        ({"Authorization": "Bearer other"}, 401),
        ({"Authorization": ""}, 403),
        ({"Accept": "application/json"}, 406),
    ],
)
def test_who_asks_must_be_known(ask: Client, headers: dict[str, Any], status: int) -> None:
    """Unnamed tools, unknown tokens and the legacy shape are refused."""
    assert ask("GET", "/user/records", **headers)[0] == status


def test_a_record_can_be_read_without_a_token(ask: Client) -> None:
    """What is published is public."""
    record = ask.published()
    assert ask("GET", f"/records/{record}", Authorization="")[0] == 200
    assert ask("GET", f"/records/{record}/draft", Authorization="")[0] == 403


def test_what_is_not_there_is_404(ask: Client) -> None:
    """Records, drafts, files and routes."""
    draft = ask.draft()
    for path in (
        "/records/7",
        "/records/7/draft",
        f"/records/{draft}",
        f"/records/{draft}/versions/latest",
        f"/records/{draft}/draft/files/a",
        "/nothing",
    ):
        assert ask("GET", path)[0] == 404, path


def test_drafts_of_others_are_403(ask: Client) -> None:
    """A draft is its owner's."""
    draft = ask.draft()
    record = ask.published()
    theirs = "Bearer token-of-theirs"
    assert ask("GET", f"/records/{draft}/draft", Authorization=theirs)[0] == 403
    assert ask("POST", f"/records/{record}/versions", Authorization=theirs)[0] == 403
    assert ask("GET", "/user/records", Authorization=theirs)[1]["hits"]["total"] == 0


def test_a_draft_may_be_wrong_and_cannot_be_published(ask: Client) -> None:
    """What is wrong is told when it is written, and refused when it is published."""
    body = {"files": {"enabled": True}, "metadata": {"title": "x", "rights": [{"id": "no"}]}}
    status, table = ask("POST", "/records", body)
    assert status == 201
    fields = {each["field"] for each in table["errors"]}
    assert {"metadata.creators", "metadata.rights", "metadata.publication_date"} <= fields
    assert "rights" not in table["metadata"]
    status, table = ask("POST", f"/records/{table['id']}/draft/actions/publish")
    assert status == 400
    fields = {each["field"] for each in table["errors"]}
    assert {"metadata.creators", "files.enabled"} <= fields


def test_a_file_must_be_sent_and_completed(ask: Client) -> None:
    """Register, send, commit: in this order, once, and never empty."""
    draft = ask.draft()
    files = f"/records/{draft}/draft/files"
    assert ask("PUT", f"{files}/a/content", data=b"1")[0] == 404
    assert ask("POST", files, [{"key": "a"}])[0] == 201
    assert ask("POST", files, [{"key": "a"}])[0] == 400
    assert ask("POST", files, [{"key": "b/c"}])[0] == 400
    assert ask("POST", f"{files}/a/commit")[0] == 500
    assert ask("PUT", f"{files}/a/content", data=b"")[0] == 200
    assert ask("POST", f"{files}/a/commit")[0] == 400
    ask("PUT", f"{files}/a/content", data=b"12")
    assert ask("GET", f"{files}/a")[1]["status"] == "pending"
    assert ask("POST", f"/records/{draft}/draft/actions/publish")[0] == 400
    status, table = ask("POST", f"{files}/a/commit")
    assert (status, table["status"], table["size"]) == (200, "completed", 2)
    assert table["checksum"] == "md5:c20ad4d76fe97759aa27a0c99bff6710"
    ask("PUT", f"{files}/a/content", data=b"3")  # of a completed file, which is then lost
    assert ask("GET", f"{files}/a")[0] == 404


def test_parts_are_announced_and_refused(ask: Client) -> None:
    """Zenodo takes the announcement of parts, and none of them."""
    draft = ask.draft()
    row = {"key": "a", "transfer": {"type": "M", "parts": 1, "part_size": 5}}
    assert ask("POST", f"/records/{draft}/draft/files", [row])[0] == 201
    assert ask("PUT", f"/records/{draft}/draft/files/a/content/1", data=b"1")[0] == 403


def test_a_record_has_a_hundred_files(ask: Client) -> None:
    """The next one is refused."""
    draft = ask.draft()
    rows = [{"key": str(index)} for index in range(100)]
    assert ask("POST", f"/records/{draft}/draft/files", rows)[0] == 201
    assert ask("POST", f"/records/{draft}/draft/files", [{"key": "x"}])[0] == 400


def test_what_is_published_is_not_changed(ask: Client) -> None:
    """A version has no draft any more, and is published once."""
    record = ask.published()
    assert ask("POST", f"/records/{record}/draft/actions/publish")[0] == 404
    assert ask("DELETE", f"/records/{record}/draft/files/a.csv")[0] == 404
    assert ask("PUT", f"/records/{record}/draft", {"metadata": {}})[0] == 404


def test_a_new_version_has_the_metadata_and_not_the_files(ask: Client) -> None:
    """There is one draft a concept; files are linked into an empty one only."""
    record = ask.published()
    status, draft = ask("POST", f"/records/{record}/versions")
    assert status == 201
    assert draft["metadata"]["title"] == "Title"
    assert "version" not in draft["metadata"]
    assert ask("POST", f"/records/{record}/versions")[1]["id"] == draft["id"]
    assert ask("GET", f"/records/{draft['id']}/draft/files")[1]["entries"] == []
    linking = f"/records/{draft['id']}/draft/actions/files-import"
    status, table = ask("POST", linking)
    assert (status, [each["key"] for each in table["entries"]]) == (201, ["a.csv"])
    assert ask("POST", linking)[0] == 400
    assert ask("POST", f"/records/{draft['id']}/versions")[0] == 404


def test_a_doi_is_reserved_once(ask: Client) -> None:
    """A second one is refused, and publishing keeps the first."""
    draft = ask.draft()
    status, table = ask("POST", f"/records/{draft}/draft/pids/doi")
    assert status == 201
    doi = table["pids"]["doi"]["identifier"]
    assert ask("POST", f"/records/{draft}/draft/pids/doi")[0] == 400
    ask.upload(draft, "a", b"1")
    table = ask("POST", f"/records/{draft}/draft/actions/publish")[1]
    assert table["pids"]["doi"]["identifier"] == doi


def test_a_search_has_pages_and_may_lag(fake: FakeInvenioRdm, ask: Client) -> None:
    """A page has a hundred rows at most; what was just begun may be missing."""
    ask.draft()
    assert ask("GET", "/user/records?size=101")[0] == 400
    fake.search_lags = 1
    assert ask("GET", "/user/records")[1]["hits"]["total"] == 0
    assert ask("GET", "/user/records")[1]["hits"]["total"] == 1
    assert ask("GET", "/user/records?page=2")[1]["hits"]["hits"] == []


def test_a_concept_redirects(fake: FakeInvenioRdm, ask: Client) -> None:
    """A concept leads to its latest version, where the service knows concepts."""
    record = ask.published()
    concept = fake.state.drafts[record].concept
    assert ask("GET", f"/records/{concept}")[0] == 302
    assert ask("GET", f"/records/{concept}/versions/latest")[0] == 301
    fake.state.knows_concepts = False
    assert ask("GET", f"/records/{concept}")[0] == 404


@pytest.mark.parametrize(
    ("kind", "status", "done"),
    [
        ("502", 502, False),
        ("502-after", 502, True),
        ("504-after", 504, True),
        ("html", 200, True),
        ("429", 429, False),
        ("429-after", 429, False),
        ("429-reset", 429, False),
        ("reset", 0, False),
        ("reset-after", 0, True),
    ],
)
def test_faults(fake: FakeInvenioRdm, ask: Client, kind: str, status: int, done: bool) -> None:  # noqa: FBT001
    """A fault happens as often as told, before the work is done or after."""
    fake.fail("create", kind)
    body = {"files": {"enabled": True}, "metadata": METADATA}
    if status:
        assert ask("POST", "/records", body)[0] == status
    else:
        with pytest.raises(httpx.HTTPError):
            ask("POST", "/records", body)
    assert len(fake.state.drafts) == done
    assert ask("POST", "/records", body)[0] == 201


def test_bytes_may_be_lost(fake: FakeInvenioRdm, ask: Client) -> None:
    """A file is stored short, or forgotten, and the answer is 200 all the same."""
    draft = ask.draft()
    fake.fail("content", "truncate")
    assert ask.upload(draft, "a", b"1234")[1]["size"] == 2
    fake.fail("content", "forget")
    assert ask.upload(draft, "b", b"1234")[0] == 404


def test_calls_are_recorded_and_cut(fake: FakeInvenioRdm, ask: Client) -> None:
    """Each request is written down, and a test may step in at any of them."""
    seen: list[int] = []
    fake.cut(1, lambda: seen.append(len(fake.state.drafts)))
    fake.cut(1, lambda: seen.append(len(fake.state.drafts)), after=True)
    draft = ask.draft()
    ask("GET", f"/records/{draft}/draft")
    assert seen == [0, 1]
    assert [(each.operation, each.writes) for each in fake.calls] == [
        ("create", True),
        ("draft", False),
    ]
    assert fake.writes() == ["create"]
    assert json.dumps(fake.calls[1].path) == f'"/api/records/{draft}/draft"'
