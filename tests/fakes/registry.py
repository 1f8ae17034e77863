"""A registry of images: manifests by tag and by digest, shown to whoever brings a token.

It refuses what a real one refuses: a client that does not name the manifest's media type, and a
token that was given for another image.
"""

import hashlib
import json
import threading
from dataclasses import dataclass

from tests.fakes.http_server import HttpServer, Reply, Request

INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
PARTS = ("os", "architecture")
PAGE = b"<html><title>502</title>Bad Gateway</html>"


@dataclass(frozen=True)
class RegistryCall:
    """A request as it came."""

    method: str
    path: str
    query: str
    authorization: str


class FakeRegistry(HttpServer):
    """A registry on loopback.

    Faults, by name in ``fault``: ``page`` (502 as HTML), ``empty`` (200 as HTML), ``no digest``
    (the header is missing), ``no head`` (405), ``other json``, ``forbidden`` (the token place
    gives none), ``basic`` (asks for a password), ``foreign`` (sends to ``realm`` for tokens),
    ``bad token`` (accepts none). ``too_many`` requests are refused with 429 first.
    """

    def __init__(self, *, private: bool = False) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._manifests: dict[tuple[str, str], bytes] = {}
        self.private = private
        self.fault = ""
        self.too_many = 0
        self.realm = ""
        self.google_token = ""
        self.calls: list[RegistryCall] = []

    @property
    def host(self) -> str:
        """Host and port, as an image's name begins."""
        return self.url.removeprefix("http://")

    def push(self, name: str, tag: str, content: str) -> str:
        """Put an image under a tag; return its digest."""
        child = json.dumps({"schemaVersion": 2, "mediaType": IMAGE, "config": content}).encode()
        platforms = {"linux/amd64": _digest(child), "unknown/unknown": _digest(b"attestation")}
        listed = [
            {"digest": digest, "platform": dict(zip(PARTS, each.split("/"), strict=True))}
            for each, digest in platforms.items()
        ]
        table = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
        index = json.dumps(table).encode()
        self._manifests[name, _digest(child)] = child
        self._manifests[name, tag] = self._manifests[name, _digest(index)] = index
        return _digest(index)

    def digest_of(self, image: str) -> str:
        """Return what Cloud Run finds below a name: of a list, its image for linux/amd64."""
        name, _, digest = image.removeprefix(f"{self.host}/").partition("@")
        name, _, tag = name.partition(":")
        manifest = self._manifests.get((name, digest or tag or "latest"))
        if manifest is None:
            return ""
        listed = json.loads(manifest).get("manifests", [])
        return str(listed[0]["digest"]) if listed else _digest(manifest)

    def answer(self, request: Request) -> Reply:
        """Answer as a registry does."""
        given = request.headers.get("authorization", "")
        with self._guard:
            self.calls.append(RegistryCall(request.method, request.path, request.query, given))
            if self.too_many > 0:
                self.too_many -= 1
                return _refuse(429, "TOOMANYREQUESTS", {"Retry-After": "0"})
        if self.fault == "page":
            return Reply(502, {"Content-Type": "text/html"}, PAGE)
        if request.path == "/token":
            return self._give_token(request)
        parts = request.path.split("/manifests/")
        if request.method not in {"GET", "HEAD"} or len(parts) != 2:
            return _refuse(404, "NAME_UNKNOWN", {})
        return self._show(request, parts[0].removeprefix("/v2/"), parts[1], given)

    def _show(self, request: Request, name: str, reference: str, given: str) -> Reply:
        if self.fault == "basic":
            return _refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="here"'})
        granted = {f"Bearer {_token(name)}", f"Bearer {self.google_token or _token(name)}"}
        if self.private and (given not in granted or self.fault in {"bad token", "foreign"}):
            realm = self.realm if self.fault == "foreign" else f"{self.url}/token"
            scope = f"repository:{name}:pull"
            challenge = f'Bearer realm="{realm}",service="fake",scope="{scope}"'
            return _refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
        if self.fault == "no head" and request.method == "HEAD":
            return _refuse(405, "UNSUPPORTED", {})
        manifest = self._manifests.get((name, reference))
        if manifest is None or INDEX not in request.headers.get("accept", ""):
            return _refuse(404, "MANIFEST_UNKNOWN", {})
        return self._send(manifest)

    def _send(self, manifest: bytes) -> Reply:
        headers = {"Content-Type": INDEX}
        if self.fault == "empty":
            return Reply(200, {"Content-Type": "text/html"}, PAGE)
        if self.fault == "other json":
            return Reply(200, headers, b"{}")
        if self.fault not in {"no digest", "no head"}:
            headers["Docker-Content-Digest"] = _digest(manifest)
        return Reply(200, headers, manifest)

    def _give_token(self, request: Request) -> Reply:
        asked = {name: values[-1] for name, values in request.parameters().items()}
        _, _, rest = asked.get("scope", "").partition("repository:")
        if self.fault == "forbidden" or asked.get("service") != "fake" or not rest:
            return _refuse(403, "DENIED", {})
        body = json.dumps({"token": _token(rest.removesuffix(":pull"))}).encode()
        return Reply(200, {"Content-Type": "application/json"}, body)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _token(name: str) -> str:
    return f"token-for-{name.replace('/', '-')}"


def _refuse(status: int, code: str, headers: dict[str, str]) -> Reply:
    body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
    return Reply(status, {"Content-Type": "application/json", **headers}, body)
