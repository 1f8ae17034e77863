"""The fake of an API that takes records: it refuses and counts as it says."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.records_api import Call, FakeRecordsApi


@pytest.fixture
def api() -> Iterator[FakeRecordsApi]:
    """An API."""
    with FakeRecordsApi() as served:
        yield served
        assert served.errors == []


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client that does nothing by itself."""
    with httpx.Client(verify=False) as made:
        yield made


def send(
    client: httpx.Client, api: FakeRecordsApi, ids: list[Any], key: str = "k", **more: Any
) -> httpx.Response:
    """Send records."""
    headers = {"Idempotency-Key": key, **more.pop("headers", {})}
    table = {"records": [{"id": each, "v": 1} for each in ids]}
    return client.request(more.pop("method", "POST"), more.pop("url", api.records_url),
                          json=table, headers=headers, **more)  # fmt: skip


class TestKeys:
    """What the key of a request does."""

    def test_same(self, api: FakeRecordsApi, client: httpx.Client) -> None:
        """The same request is answered as before, and done once."""
        first, second = send(client, api, [1, 2]), send(client, api, [1, 2])

        assert first.json() == second.json() == {"accepted": 2}
        assert api.writes == {1: 1, 2: 1}
        assert [each.replayed for each in api.calls] == [False, True]

    def test_other_body(self, api: FakeRecordsApi, client: httpx.Client) -> None:
        """The key of another request is refused."""
        send(client, api, [1])

        assert send(client, api, [2]).status_code == 422
        assert api.writes == {1: 1}

    def test_other_key(self, api: FakeRecordsApi, client: httpx.Client) -> None:
        """The same records under another key are written again."""
        send(client, api, [1], "a")
        send(client, api, [1], "b")

        assert api.writes == {1: 2}

    def test_refusal_is_not_kept(self, api: FakeRecordsApi, client: httpx.Client) -> None:
        """A request that was refused is judged anew."""
        api.style = "whole"
        api.refuses = lambda _: "odd"
        assert send(client, api, [1]).status_code == 422
        api.refuses = lambda _: ""

        assert send(client, api, [1]).status_code == 200


class TestRefusals:
    """What is refused before anything is done."""

    def test_token(self, api: FakeRecordsApi, client: httpx.Client) -> None:
        """Without the token, or with another, nothing is done."""
        api.token = "secret"
        assert send(client, api, [1]).status_code == 401
        assert send(client, api, [1], headers={"Authorization": "Bearer x"}).status_code == 401
        headers = {"Authorization": "Bearer secret"}

        assert send(client, api, [1], headers=headers).status_code == 200
        assert api.writes == {1: 1}

    def test_form(self, api: FakeRecordsApi, client: httpx.Client) -> None:
        """Other places, methods, types and bodies are refused, and a request without a key."""
        assert send(client, api, [1], url=f"{api.url}/other").status_code == 404
        assert send(client, api, [1], method="PATCH").status_code == 405
        assert send(client, api, [1], "").status_code == 400
        headers = {"Idempotency-Key": "k", "Content-Type": "text/plain"}
        assert client.post(api.records_url, content=b"{}", headers=headers).status_code == 415
        headers["Content-Type"] = "application/json"
        for body in (b"", b"[]", b'{"records": 1}', b'{"records": [{}]}'):
            assert client.post(api.records_url, content=body, headers=headers).status_code == 400
        assert api.writes == {}

    def test_too_many(self, api: FakeRecordsApi, client: httpx.Client) -> None:
        """Too many records are refused."""
        api.max_records = 2

        assert send(client, api, [1, 2, 3], "a").status_code == 413
        assert send(client, api, [1, 2], "b").status_code == 200


class TestStyles:
    """How records that are not taken are told."""

    @pytest.mark.parametrize(
        ("style", "status", "table", "taken"),
        [
            ("plain", 200, {"accepted": 2,
                            "errors": [{"index": 1, "status": "error", "message": "odd"}]}, [1, 3]),
            ("results", 207, {"results": [{"id": 1, "status": "ok"},
                                          {"id": 2, "status": "error", "message": "odd"},
                                          {"id": 3, "status": "ok"}]}, [1, 3]),
            ("mute", 200, {"success": False, "message": "some were refused"}, [1, 3]),
            ("whole", 422, {"message": "not all of them are valid"}, []),
            ("named", 422, {"message": "not all of them are valid",
                            "errors": [{"id": 2, "status": "error", "message": "odd"}]}, []),
            ("silent", 422, {"message": "not all of them are valid"}, []),
        ],
    )  # fmt: skip
    def test_style(
        self,
        api: FakeRecordsApi,
        client: httpx.Client,
        style: str,
        status: int,
        table: Any,
        taken: list[int],
    ) -> None:
        """Each style says it in its own way, and has taken what it says."""
        api.style = style
        api.refuses = lambda record: "odd" if record["id"] == 2 else ""
        answer = send(client, api, [1, 2, 3])

        assert (answer.status_code, answer.json()) == (status, table)
        assert sorted(api.records) == taken

    def test_silent(self, api: FakeRecordsApi, client: httpx.Client) -> None:
        """Silence is a success without a body."""
        api.style = "silent"
        answer = send(client, api, [1])

        assert (answer.status_code, answer.content) == (204, b"")

    def test_busy(self, api: FakeRecordsApi, client: httpx.Client) -> None:
        """A busy record is told so as often as was said."""
        api.style = "results"
        api.busy[1] = 1

        assert send(client, api, [1], "a").json()["results"][0]["status"] == 503
        assert send(client, api, [1], "b").json()["results"][0]["status"] == "ok"


class TestFaults:
    """What goes wrong on purpose."""

    @pytest.mark.parametrize(
        ("fault", "status", "done"),
        [
            ("limited:3", 429, 0),
            ("status:500", 500, 0),
            ("html", 502, 0),
            ("html-after", 502, 1),
            ("page", 200, 1),
            ("short", 200, 1),
            ("count", 200, 1),
        ],
    )
    def test_answers(
        self, api: FakeRecordsApi, client: httpx.Client, fault: str, status: int, done: int
    ) -> None:
        """A fault is answered as it says, once, and it is done or not done."""
        api.fail(fault)
        assert send(client, api, [1]).status_code == status
        assert api.writes.total() == done
        assert send(client, api, [1]).json() == {"accepted": 1}
        assert api.writes.total() == 1

    @pytest.mark.parametrize(("fault", "done"), [("reset", 0), ("reset-after", 1)])
    def test_cut(self, api: FakeRecordsApi, client: httpx.Client, fault: str, done: int) -> None:
        """A connection is cut before or after it is done."""
        api.fail(fault)
        with pytest.raises(httpx.TransportError):
            send(client, api, [1])

        assert api.writes.total() == done

    def test_stored(self, api: FakeRecordsApi, client: httpx.Client) -> None:
        """Whoever wants to hears of what was done before its answer goes out."""
        heard: list[Call] = []
        api.stored = heard.append
        send(client, api, [1])
        api.refuses, api.style = (lambda _: "odd"), "whole"
        send(client, api, [2], "b")

        assert [each.ids for each in heard] == [(1,)]
        assert json.dumps(heard[0].status) == "200"
