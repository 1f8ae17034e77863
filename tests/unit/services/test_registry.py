"""The registry holds: a name becomes a digest, and a token is shown to nobody else."""

from pathlib import Path

import pytest

from lading.errors import LadingError, ServiceError, UnansweredError
from lading.services import registry
from lading.services.registry import (
    ImageName,
    fetch_google_token,
    parse_challenge,
    parse_image,
    resolve_digest,
    resolve_platform,
)
from lading.services.shell import has_program
from tests.fakes.registry import FakeRegistry

CANARY = "ya29.canary-of-the-registry-tests"
DIGEST = "sha256:" + "0" * 64


def resolve(image: str) -> str:
    """Resolve an image; what is refused is asked once."""
    return resolve_digest(image, folder=Path.cwd(), attempts=1, sleep=lambda _: None)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every registry for Google's, and the canary for its token."""
    monkeypatch.setattr(ImageName, "is_google", property(lambda _: True))
    monkeypatch.setattr(registry, "fetch_google_token", lambda _: CANARY)


@pytest.mark.parametrize(
    ("image", "host", "path", "tag"),
    [
        ("nginx", "registry-1.docker.io", "library/nginx", "latest"),
        ("docker.io/nginx:1", "registry-1.docker.io", "library/nginx", "1"),
        ("catalyst/viewer", "registry-1.docker.io", "catalyst/viewer", "latest"),
        ("ghcr.io/a/b/c:v1.2", "ghcr.io", "a/b/c", "v1.2"),
        ("localhost/a", "localhost", "a", "latest"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000", "a", "latest"),
        (f"eu.gcr.io/p/a:t@{DIGEST}", "eu.gcr.io", "p/a", "t"),
    ],
)
def test_parse_image(image: str, host: str, path: str, tag: str) -> None:
    """A name is read as Docker reads it."""
    name = parse_image(image)
    assert (name.host, name.path, name.tag) == (host, path, tag)


def test_parse_image_untagged() -> None:
    """The name that is pinned to a digest is the one that was given, without its tag."""
    assert parse_image("127.0.0.1:5000/p/a:t").untagged == "127.0.0.1:5000/p/a"
    assert parse_image("nginx:1").untagged == "nginx"


@pytest.mark.parametrize(
    ("host", "is_google"),
    [
        ("us-docker.pkg.dev", True),
        ("gcr.io", True),
        ("eu.gcr.io", True),
        ("evil-gcr.io", False),
        ("pkg.dev.evil.io", False),
        ("gcr.io.evil.io", False),
        ("ghcr.io", False),
    ],
)
def test_is_google(host: str, is_google: bool) -> None:  # noqa: FBT001  a row of a table
    """Google's registries are known by the end of their host, at a dot."""
    name = parse_image(f"{host}/p/a")
    assert name.is_google == is_google
    assert name.url == f"https://{host}"


def test_parse_challenge() -> None:
    """Only a bearer challenge names a place for tokens."""
    text = 'Bearer realm="https://a/token",service="s",scope="repository:p/a:pull"'
    assert parse_challenge(text)["scope"] == "repository:p/a:pull"
    assert parse_challenge('Basic realm="x"') == {}


def test_pinned_needs_no_question() -> None:
    """A name that is pinned to a digest is not asked for, even where nobody answers."""
    assert resolve(f"127.0.0.1:1/p/a:t@{DIGEST}") == DIGEST


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("fault", ["", "no digest", "no head"])
def test_resolve(private: bool, fault: str) -> None:  # noqa: FBT001  a row of a table
    """A tag is its digest, with and without a token, whether the registry says it or not."""
    with FakeRegistry(private=private) as server:
        digest = server.push("p/viewer", "v1", "one")
        server.push("p/viewer", "latest", "two")
        server.fault = fault
        assert resolve(f"{server.host}/p/viewer:v1") == digest
    assert all(not c.authorization for c in server.calls if c.path == "/token")
    assert any(c.path == "/token" for c in server.calls) == private


def test_resolve_platform() -> None:
    """Of a list of images the one for linux/amd64 is found; an image alone has no other."""
    with FakeRegistry(private=True) as server:
        digest = server.push("p/viewer", "v1", "one")
        image = f"{server.host}/p/viewer:v1"
        (part,) = resolve_platform(image, digest, folder=Path.cwd())
        assert part == server.digest_of(image) != digest
        assert resolve_platform(image, part, folder=Path.cwd()) == set()


@pytest.mark.parametrize(
    ("fault", "tag", "kind", "told"),
    [
        ("", "absent", ServiceError, "to have p/viewer:absent, found none; push the image first"),
        ("basic", "v1", ServiceError, "got 'Basic realm=\"here\"'"),
        ("forbidden", "v1", ServiceError, "to show p/viewer:v1, got 401; who runs this"),
        ("bad token", "v1", ServiceError, "to show p/viewer:v1, got 401; who runs this"),
        ("page", "v1", UnansweredError, "expected success, got 502"),
        ("empty", "v1", UnansweredError, "expected JSON, got 200"),
        ("other json", "v1", UnansweredError, "expected its manifest"),
    ],
)
def test_refusals(fault: str, tag: str, kind: type[LadingError], told: str) -> None:
    """What a registry refuses is told in one line, with the image or the registry."""
    with FakeRegistry(private=True) as server:
        server.push("p/viewer", "v1", "one")
        server.fault = fault
        with pytest.raises(kind) as caught:
            resolve(f"{server.host}/p/viewer:{tag}")
        host = server.host
    message = str(caught.value)
    assert told in message
    assert host in message
    assert "\n" not in message
    assert "token-for" not in message


def test_nobody_answers() -> None:
    """A registry that is not there is no answer."""
    with pytest.raises(UnansweredError, match=r"expected an answer of 127\.0\.0\.1:1"):
        resolve("127.0.0.1:1/p/a")


def test_too_many() -> None:
    """A registry that asks to wait is asked again, and it is no try."""
    with FakeRegistry() as server:
        digest = server.push("p/viewer", "v1", "one")
        server.too_many = 2
        assert resolve(f"{server.host}/p/viewer:v1") == digest
        assert len(server.calls) == 3


@pytest.mark.usefixtures("google")
def test_google_token() -> None:
    """Google's registry gets the token at once, in a header and nowhere else."""
    with FakeRegistry(private=True) as server:
        digest = server.push("p/viewer", "v1", "one")
        server.google_token = CANARY
        assert resolve(f"{server.host}/p/viewer:v1") == digest
        (call,) = server.calls
        assert call.authorization == f"Bearer {CANARY}"
        assert CANARY not in call.path + call.query


@pytest.mark.usefixtures("google")
def test_google_token_stays() -> None:
    """Where Google's registry sends elsewhere for tokens, nobody is asked there."""
    with FakeRegistry(private=True) as server, FakeRegistry() as other:
        server.push("p/viewer", "v1", "one")
        server.fault, server.realm = "foreign", f"{other.url}/token"
        with pytest.raises(ServiceError, match="got 401") as caught:
            resolve(f"{server.host}/p/viewer:v1")
        assert not other.calls
        assert CANARY not in str(caught.value)


def test_realm_in_clear() -> None:
    """A token is fetched over https, but from loopback for a registry on loopback."""
    with FakeRegistry(private=True) as server:
        server.push("p/viewer", "v1", "one")
        server.fault, server.realm = "foreign", "http://tokens.example/token"
        with pytest.raises(ServiceError, match="an https place for tokens"):
            resolve(f"{server.host}/p/viewer:v1")


@pytest.mark.skipif(not has_program("gcloud"), reason="gcloud is not installed")
def test_fetch_google_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is the one that gcloud has."""
    (tmp_path / "token").write_text(CANARY)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", str(tmp_path / "token"))
    assert fetch_google_token(tmp_path) == CANARY
