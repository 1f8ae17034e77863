"""The fake registry holds: it refuses what a real one refuses."""

import httpx
import pytest

from tests.fakes.registry import INDEX, FakeRegistry

ACCEPT = {"Accept": INDEX}


def test_token_handshake() -> None:
    """A private image is shown only with the token that was given for it."""
    with FakeRegistry(private=True) as server, httpx.Client(base_url=server.url) as client:
        digest = server.push("p/a", "v1", "one")
        url = "/v2/p/a/manifests/v1"
        refused = client.head(url, headers=ACCEPT)
        assert refused.status_code == 401
        assert f'realm="{server.url}/token"' in refused.headers["WWW-Authenticate"]
        for name, status in (("p/b", 401), ("p/a", 200)):
            query = {"service": "fake", "scope": f"repository:{name}:pull"}
            token = client.get("/token", params=query).json()["token"]
            shown = client.head(url, headers={**ACCEPT, "Authorization": f"Bearer {token}"})
            assert shown.status_code == status
        assert shown.headers["Docker-Content-Digest"] == digest
        assert client.get("/token", params={"service": "other"}).status_code == 403


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/v2/p/a/manifests/v2", INDEX), ("/v2/p/a/manifests/v1", "*/*"), ("/v2/", INDEX)],
)
def test_not_found(path: str, accept: str) -> None:
    """An unknown tag is not found, nor a manifest whose kind was not asked for."""
    with FakeRegistry() as server:
        server.push("p/a", "v1", "one")
        assert httpx.get(server.url + path, headers={"Accept": accept}).status_code == 404


def test_by_digest() -> None:
    """A manifest is found by its digest, and a list's own part too."""
    with FakeRegistry() as server:
        digest = server.push("p/a", "v1", "one")
        part = server.digest_of(f"{server.host}/p/a:v1")
        for each in (digest, part):
            found = httpx.get(f"{server.url}/v2/p/a/manifests/{each}", headers=ACCEPT)
            assert found.headers["Docker-Content-Digest"] == each
        assert server.digest_of(f"{server.host}/p/a:v2") == ""
