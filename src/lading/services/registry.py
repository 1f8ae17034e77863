"""Which image a name stands for: the digest of a tag, asked of its registry.

Nothing is downloaded but a manifest of a few kilobytes, and mostly not even that. Google's token
goes to Google's own registries and nowhere else; all others are asked as anybody may ask them.
"""

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lading.errors import ServiceError, UnansweredError
from lading.services.rest import ATTEMPTS, Answer, RestClient
from lading.services.shell import run_command

# a list of images for several machines comes first: it is what a tag names
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json,"
    " application/vnd.docker.distribution.manifest.list.v2+json,"
    " application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.v2+json"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DOCKER_HOSTS = {"docker.io", "index.docker.io"}
_LOOPBACK = {"127.0.0.1", "localhost"}
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _NO_SUCH_METHOD = 200, 401, 403, 404, 405
_ANSWERS = frozenset({_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _NO_SUCH_METHOD})


@dataclass(frozen=True, slots=True)
class ImageName:
    """The parts of an image's name."""

    host: str
    """Host of the registry, with its port where it has one."""
    path: str
    """Name inside the registry."""
    tag: str
    """Tag."""
    digest: str
    """Digest that the name is pinned to, ``sha256:...``, or ""."""
    untagged: str
    """The name as it was given, without tag and digest."""

    @property
    def is_google(self) -> bool:
        """Whether it is Google's registry, who alone may see Google's token."""
        return self.host == "gcr.io" or self.host.endswith((".gcr.io", ".pkg.dev"))

    @property
    def url(self) -> str:
        """Root of the registry's API."""
        scheme = "http" if urlsplit(f"//{self.host}").hostname in _LOOPBACK else "https"
        return f"{scheme}://{self.host}"


def parse_image(image: str) -> ImageName:
    """Parse an image's name as Docker reads it.

    Source: distribution/reference, "Grammar"; a first part with a dot or a colon is a host.
    """
    name, _, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    untagged = f"{folder}{slash}{last}"
    host, slash, path = untagged.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = "docker.io", untagged
    if host in _DOCKER_HOSTS:
        host, path = "registry-1.docker.io", path if "/" in path else f"library/{path}"
    return ImageName(host, path, tag or "latest", digest, untagged)


def resolve_digest(
    image: str,
    *,
    folder: Path,
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return the digest that an image's name stands for, ``sha256:...``.

    A name that is pinned to a digest needs no question.

    Args:
        image: registry/name[:tag][@sha256:...]; without a host, an image of docker.io.
        folder: where gcloud runs, which is asked for a token of Google's registries.
        attempts: how often the registry is asked.
        sleep: how to wait; another one in tests.

    Raises:
        ServiceError: the registry knows no such image, or does not show it.
        UnansweredError: no answer that could be read.
        CommandError: gcloud is missing, or has nobody logged in.
    """
    name = parse_image(image)
    return name.digest or _Asking(image, name.tag, folder, attempts, sleep).digest()


def resolve_platform(
    image: str,
    digest: str,
    *,
    folder: Path,
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> frozenset[str]:
    """Return the digests of what Cloud Run runs of a list of images; none where it is no list.

    Of a list, Cloud Run takes the image for linux/amd64 and shows the digest of that one.

    Args:
        image: as for ``resolve_digest``.
        digest: what its name stands for.
        folder: as for ``resolve_digest``.
        attempts: how often the registry is asked.
        sleep: how to wait; another one in tests.

    Raises:
        ServiceError, UnansweredError, CommandError: as ``resolve_digest``.
    """
    listed = _Asking(image, digest, folder, attempts, sleep).manifest().table.get("manifests")
    return frozenset(
        str(each.get("digest"))
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, dict) and _runs_here(each.get("platform"))
    )


def _runs_here(platform: Any) -> bool:
    found = platform if isinstance(platform, dict) else {}
    return (found.get("os"), found.get("architecture")) == ("linux", "amd64")


class _Asking:
    """Questions about one manifest of a registry."""

    def __init__(
        self,
        image: str,
        reference: str,
        folder: Path,
        attempts: int,
        sleep: Callable[[float], None],
    ) -> None:
        self._image = image
        self._name = parse_image(image)
        self._what = f"{self._name.path}{'@' if ':' in reference else ':'}{reference}"
        self._folder = folder
        self._attempts = attempts
        self._sleep = sleep
        self._token = ""
        self._path = f"/v2/{self._name.path}/manifests/{reference}"

    def digest(self) -> str:
        """Ask for the digest; the manifest is read only where the registry does not say it."""
        answer = self._ask_with_token("HEAD")
        announced = answer.headers.get("docker-content-digest", "")
        if answer.status == _OK and _DIGEST.fullmatch(announced):
            return announced
        if answer.status in {_OK, _NO_SUCH_METHOD}:
            return f"sha256:{hashlib.sha256(self.manifest().content).hexdigest()}"
        raise self._refusal(answer)

    def manifest(self) -> Answer:
        """Ask for the manifest; its JSON is an object."""
        answer = self._ask_with_token("GET")
        if answer.status != _OK:
            raise self._refusal(answer)
        if not isinstance(answer.table, dict) or "schemaVersion" not in answer.table:
            raise UnansweredError(
                f"image {self._image}: expected its manifest of {self._name.host}, got other JSON"
            )
        return answer

    def _ask_with_token(self, method: str) -> Answer:
        """Ask, with a token where one is asked for."""
        if self._name.is_google and not self._token:
            self._token = fetch_google_token(self._folder)
        answer = self._ask(method)
        if answer.status == _UNAUTHORIZED and not self._token:
            self._token = self._fetch_token(answer.headers.get("www-authenticate", ""))
            answer = self._ask(method)
        return answer

    def _ask(self, method: str) -> Answer:
        with self._client(self._name.url, self._token) as client:
            return client.look(self._path, _ANSWERS, method=method)

    def _client(self, url: str, token: str) -> RestClient:
        return RestClient(
            f"registry {urlsplit(url).netloc}",
            url,
            token=token,
            headers={"Accept": _MANIFESTS} if url == self._name.url else {},
            read_only=True,
            attempts=self._attempts,
            sleep=self._sleep,
        )

    def _fetch_token(self, challenge: str) -> str:
        """Fetch the token that anybody gets; no credentials are sent for it."""
        said = parse_challenge(challenge)
        realm = urlsplit(said.get("realm", ""))
        is_local = realm.hostname in _LOOPBACK and self._name.url.startswith("http://")
        if realm.scheme != "https" and not (realm.scheme == "http" and is_local):
            raise ServiceError(
                f"image {self._image}: expected {self._name.host} to show it, or to name an https"
                f" place for tokens, got {challenge.partition(',')[0]!r}"
            )
        query = dict(parse_qsl(realm.query))
        query |= {key: said[key] for key in ("service", "scope") if key in said}
        with self._client(f"{realm.scheme}://{realm.netloc}", "") as client:
            try:
                found = client.get(realm.path or "/", query)
            except UnansweredError:
                raise
            except ServiceError as error:
                raise self._refusal(Answer(_UNAUTHORIZED)) from error
        return _token_of(found)

    def _refusal(self, answer: Answer) -> ServiceError:
        what = f"image {self._image}: expected {self._name.host}"
        if answer.status == _NOT_FOUND:
            error = ServiceError(
                f"{what} to have {self._what}, found none",
                hint="push the image first, or correct its name",
            )
        else:
            error = ServiceError(
                f"{what} to show {self._what}, got {answer.status}",
                hint="who runs this may not read the image, or there is none of this name",
            )
        error.status = answer.status
        return error


def fetch_google_token(folder: Path) -> str:
    """Return gcloud's access token; it belongs into a header, and there only.

    Raises:
        CommandError: gcloud is missing, or has nobody logged in.
    """
    return run_command(["gcloud", "auth", "print-access-token"], folder=folder, attempts=2).strip()


def parse_challenge(text: str) -> dict[str, str]:
    """Parse what a registry says of tokens: realm, service and scope; nothing where it is no such.

    Source: CNCF Distribution, "Token Authentication Specification".
    """
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "bearer":
        return {}
    return {key.lower(): value for key, value in re.findall(r'(\w+)="([^"]*)"', rest)}


def _token_of(found: Any) -> str:
    token = (found.get("token") or found.get("access_token")) if isinstance(found, dict) else None
    return token if isinstance(token, str) else ""
