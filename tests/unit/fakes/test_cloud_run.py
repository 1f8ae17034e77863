"""The fake of Cloud Run holds: it refuses what the real one refuses, and comes up in steps."""

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.cloud_run import ROOT, FakeCloudRun

PATH = f"{ROOT}/example/services/viewer"
HOST = {"Host": "us-east1-run.localhost"}
Table = dict[str, Any]


class Client:
    """Asks as gcloud does."""

    def __init__(self, region: FakeCloudRun) -> None:
        self.region = region

    def get(self, path: str = PATH, host: str = HOST["Host"]) -> httpx.Response:
        """Ask for something."""
        return httpx.get(self.region.url + path, headers={"Host": host})

    def put(self, table: Table) -> httpx.Response:
        """Replace the service."""
        return httpx.put(self.region.url + PATH, json=table, headers=HOST)

    def changed(self, image: str = "h/a:v2") -> Table:
        """Return the service with another image."""
        table: Table = copy.deepcopy(self.get().json())
        table["spec"]["template"]["spec"]["containers"][0]["image"] = image
        return table


@pytest.fixture
def client() -> Iterator[Client]:
    """Serve a region with one service."""
    digests = {"h/a:v1": "sha256:1", "h/a:v2": "sha256:2"}
    with FakeCloudRun(lambda image: digests.get(image, "")) as region:
        region.add_service("viewer", "h/a:v1")
        yield Client(region)


def ready(table: Table) -> str:
    """Return whether a service or revision is ready."""
    return str(table["status"]["conditions"][0]["status"])


def test_comes_up(client: Client) -> None:
    """A change is first taken on, then seen, then up; the old one serves until then."""
    put = client.put(client.changed()).json()
    assert put["metadata"]["generation"] == 2
    assert put["status"]["observedGeneration"] == 1
    steps = []
    for _ in range(4):
        table = client.get().json()
        made = table["status"]["latestCreatedRevisionName"]
        steps.append((made[:12], ready(table), table["status"]["traffic"][0]["revisionName"][:12]))
    first, second = "viewer-00001", "viewer-00002"
    assert steps[:2] == [(second, "Unknown", first)] * 2
    assert steps[2:] == [(second, "True", second)] * 2
    shown = client.get(f"{ROOT}/example/revisions/{made}").json()
    assert shown["status"]["imageDigest"] == "h/a@sha256:2"
    assert [call.changed for call in client.region.calls].count(True) == 1


def test_stale_change(client: Client) -> None:
    """A change that was made from an older state is refused."""
    table = client.changed()
    assert client.put(table).status_code == 200
    again = client.put(table)
    assert again.status_code == 409
    assert again.json()["error"]["status"] == "ABORTED"
    assert len(client.region.changes) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["metadata"].update(labels={"x": "UPPER"}), "not valid"),
        (lambda t: t["metadata"].update(labels={"x": "a" * 64}), "not valid"),
        (lambda t: t["metadata"].update(name="other"), "metadata.name"),
        (lambda t: t["spec"]["traffic"][0].update(percent=90), "add up to 100"),
        (lambda t: t["spec"]["template"]["spec"]["containers"][0].update(image=""), "empty"),
    ],
)
def test_refusals(client: Client, change: Any, said: str) -> None:
    """What the API would not accept is refused, and nothing is changed."""
    table = client.changed()
    change(table)
    refused = client.put(table)
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]
    assert not client.region.changes


@pytest.mark.parametrize(
    ("image", "fault", "said"),
    [
        ("h/a:v9", "", "Image 'h/a:v9' not found"),
        ("h/a:v2", "failing", "Container failed to start"),
    ],
)
def test_failing(client: Client, image: str, fault: str, said: str) -> None:
    """What cannot start does not come up, and the old one serves."""
    client.region.fault = fault
    client.put(client.changed(image))
    client.region.settle()
    table = client.get().json()
    assert ready(table) == "False"
    assert said in table["status"]["conditions"][0]["message"]
    assert list(client.region.serving("viewer")) == ["viewer-00001-abc"]


def test_traffic_alone(client: Client) -> None:
    """Sending requests elsewhere makes no revision."""
    client.put(client.changed())
    client.region.settle()
    table = client.get().json()
    table["spec"]["traffic"] = [{"revisionName": "viewer-00001-abc", "percent": 100}]
    client.put(table)
    client.region.settle()
    assert len(client.region.revisions) == 2
    assert client.region.serving("viewer") == {"viewer-00001-abc": 100}


def test_elsewhere(client: Client) -> None:
    """Another region, project or name has no such service."""
    assert client.get(host="mars-east1-run.localhost").status_code == 404
    assert client.get(PATH.replace("example", "other")).status_code == 404
    assert client.get(PATH.replace("viewer", "other")).status_code == 404


@pytest.mark.parametrize("fault", ["page", "lost"])
def test_answer_lost(client: Client, fault: str) -> None:
    """A change whose answer is lost is made."""
    table = client.changed()
    client.region.fault = fault
    if fault == "lost":
        with pytest.raises(httpx.RemoteProtocolError):
            client.put(table)
    else:
        assert client.put(table).status_code == 502
    assert len(client.region.changes) == 1


def test_denied(client: Client) -> None:
    """Who may not, or asks too often, is refused."""
    table = client.changed()
    client.region.fault = "refused"
    assert client.put(table).status_code == 403
    client.region.fault = "hidden"
    assert client.get().status_code == 403
    client.region.too_many = 1
    assert client.get().status_code == 429
    assert not client.region.changes
