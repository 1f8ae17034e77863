"""What gcloud tells of a Cloud Run service, and what a release still needs there. No I/O.

Source: "Cloud Run Admin API v1: Service, Revision"; fields as gcloud prints them as JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lading.errors import ServiceError
from lading.services.redaction import redact

LABEL = "lading-release"
_TOLD_CHARS = len("sha256:") + 12  # of a digest
_Table = dict[str, Any]
Action = Literal["none", "wait", "update", "route"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a release wants a service to run."""

    image: str
    """Name of the image, without tag and digest."""
    digest: str
    """Its digest, ``sha256:...``."""
    label: str = ""
    """The release, where each one begins a revision of its own; else ""."""
    parts: frozenset[str] = frozenset()
    """Where it is a list of images: digests of those that Cloud Run takes of it."""

    @property
    def pinned(self) -> str:
        """The image by its digest."""
        return f"{self.image}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision of a service."""

    name: str
    """Its name."""
    digests: frozenset[str]
    """Digests of its image: as it was asked for, and as it was found; of a list of images
    the latter is that of the one for linux/amd64."""
    label: str
    """The release that began it, or ""."""
    is_ready: bool | None
    """Whether it can serve; None while that is not known."""

    def is_wanted(self, wanted: Wanted) -> bool:
        """Whether it runs what a release wants."""
        found = self.digests & {wanted.digest, *wanted.parts}
        return bool(found) and wanted.label in {"", self.label}


@dataclass(frozen=True, slots=True)
class Service:
    """A service, as it was seen."""

    generation: int
    """How often it was changed."""
    is_ready: bool | None
    """Whether the last change has come up; None while that is not known."""
    message: str
    """What it says of that."""
    template: Revision
    """What the last change asked for; without a name."""
    created: str
    """Name of the newest revision, or ""."""
    serving: tuple[str, ...]
    """Names of the revisions that get requests, most requests first."""
    follows: bool
    """Whether all requests go to whatever is the newest ready revision."""
    url: str
    """Where it serves."""


@dataclass(frozen=True, slots=True)
class CloudRunState:
    """What a release wants of a service, and what there is."""

    wanted: Wanted
    """What the release wants."""
    service: Service
    """The service."""
    revisions: Mapping[str, Revision]
    """The newest revision and those that serve, by name."""


@dataclass(frozen=True, slots=True)
class CloudRunChanges:
    """What a service still needs."""

    action: Action
    """``wait``: the wanted revision is coming up. ``route``: it is ready, but a person has sent
    the requests elsewhere."""
    wanted: Wanted
    """What the release wants."""
    service: Service
    """The service as it was seen."""

    @property
    def is_empty(self) -> bool:
        """Whether it serves what the release wants."""
        return self.action == "none"

    @property
    def serving(self) -> str:
        """The revision that gets most requests, or ""."""
        return next(iter(self.service.serving), "")

    def describe(self) -> str:
        """Say it in a few words."""
        digest = self.wanted.digest[:_TOLD_CHARS]
        newest = self.service.created or "the new revision"
        return {
            "none": f"{self.serving} serves {digest}",
            "wait": f"wait for {newest}, {digest}",
            "update": f"a new revision, {digest}, instead of {self.serving or 'none'}",
            "route": f"{newest} is ready, but requests go to {self.serving or 'no revision'}",
        }[self.action]


def plan_service(state: CloudRunState) -> CloudRunChanges:
    """Compare what a release wants with what a service does. Pure.

    A revision that is coming up is waited for: gcloud would make another one of it.
    """
    return CloudRunChanges(_action(state), state.wanted, state.service)


def is_asked(state: CloudRunState) -> bool:
    """Say whether the last change of a service asked for what the release wants."""
    template, wanted = state.service.template, state.wanted
    if template.digests:
        return template.is_wanted(wanted)
    newest = state.revisions.get(state.service.created)  # a tag: known once it is resolved
    return newest is not None and newest.is_wanted(wanted)


def _action(state: CloudRunState) -> Action:
    service, wanted = state.service, state.wanted
    if service.is_ready is None:
        return "wait" if is_asked(state) else "update"
    serving = [state.revisions.get(name) for name in service.serving]
    if serving and all(each and each.is_ready and each.is_wanted(wanted) for each in serving):
        return "none"
    newest = state.revisions.get(service.created)
    if newest is None or not newest.is_ready or not newest.is_wanted(wanted):
        return "update"
    if not service.follows:
        return "route"
    return "wait" if service.is_ready else "update"


def parse_service(text: str) -> Service:
    """Parse what ``gcloud run services describe --format=json`` prints.

    Raises:
        ServiceError: it is something else.
    """
    table = _parse(text, "Service")
    metadata, spec, status = (_part(table, each) for each in ("metadata", "spec", "status"))
    is_seen = status.get("observedGeneration") == metadata.get("generation")
    template = _part(spec, "template")
    image = _image(_part(template, "spec"))
    return Service(
        generation=int(metadata.get("generation") or 0),
        is_ready=_readiness(status) if is_seen else None,
        message=_message(status),
        template=Revision("", _digests(image), _label(_part(template, "metadata")), None),
        created=str(status.get("latestCreatedRevisionName") or ""),
        serving=_serving(status),
        follows=all(
            each.get("latestRevision") for each in spec.get("traffic") or () if each.get("percent")
        ),
        url=str(status.get("url") or ""),
    )


def parse_revision(text: str) -> Revision:
    """Parse what ``gcloud run revisions describe --format=json`` prints.

    Raises:
        ServiceError: it is something else.
    """
    table = _parse(text, "Revision")
    metadata, spec, status = (_part(table, each) for each in ("metadata", "spec", "status"))
    found = str(status.get("imageDigest") or "")
    name, images = str(metadata.get("name") or ""), (_image(spec), found)
    return Revision(name, _digests(*images), _label(metadata), _readiness(status))


def _digests(*images: str) -> frozenset[str]:
    return frozenset(digest for each in images if (digest := each.partition("@")[2]))


def _label(metadata: _Table) -> str:
    return str(_part(metadata, "labels").get(LABEL, ""))


def _image(spec: _Table) -> str:
    """Return the image of the container that answers requests: it alone has ports."""
    containers = [each for each in spec.get("containers") or () if isinstance(each, dict)]
    chosen = [each for each in containers if each.get("ports")] or containers
    return str(chosen[0].get("image") or "") if chosen else ""


def _serving(status: _Table) -> tuple[str, ...]:
    shares: dict[str, int] = {}
    for each in status.get("traffic") or ():
        name = each.get("revisionName") or status.get("latestReadyRevisionName") or ""
        shares[name] = shares.get(name, 0) + int(each.get("percent") or 0)
    names = [name for name, share in shares.items() if name and share]
    return tuple(sorted(names, key=lambda name: (-shares[name], name)))


def _conditions(status: _Table) -> list[_Table]:
    return [each for each in status.get("conditions") or () if isinstance(each, dict)]


def _readiness(status: _Table) -> bool | None:
    said = {each.get("type"): each.get("status") for each in _conditions(status)}.get("Ready")
    return {"True": True, "False": False}.get(str(said))


def _message(status: _Table) -> str:
    """Return the first line of what is said of readiness: why, without the advice below it."""
    faults = [each for each in _conditions(status) if each.get("message")]
    faults.sort(key=lambda each: (each.get("type") != "Ready", each.get("status") != "False"))
    lines = [line for each in faults for line in str(each["message"]).splitlines() if line.strip()]
    return redact(lines[0].strip()) if lines else ""


def _parse(text: str, kind: str) -> _Table:
    try:
        table = json.loads(text)
    except ValueError:
        table = None
    if not isinstance(table, dict) or table.get("kind") != kind:
        raise ServiceError(f"gcloud: expected the JSON of a {kind}, got {redact(text[:80])!r}")
    return table


def _part(table: _Table, name: str) -> _Table:
    part = table.get(name)
    return part if isinstance(part, dict) else {}
