"""Cloud Run as gcloud sees it: the Admin API v1 with services and revisions in Knative's shape.

Each accepted change of a template makes a revision, which comes up while it is looked at. A
change made from an older state of the service is refused, as the real one does. Source: "Cloud
Run Admin API: REST v1, namespaces.services and namespaces.revisions", and what gcloud 528 sends.
"""

import copy
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.http_server import HttpServer, Reply, Request

ROOT = "/apis/serving.knative.dev/v1/namespaces"
PAGE = b"<html><title>502</title>Bad Gateway</html>"
FAILED = (
    "Revision '{name}' is not ready and cannot serve traffic. Container failed to start."
    " Logs for this revision might contain more information.\n\nLogs URL: https://log.invalid/x"
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
Table = dict[str, Any]


@dataclass(frozen=True)
class RunCall:
    """A request, and whether it changed something."""

    method: str
    path: str
    status: int
    changed: bool
    authorization: str


class FakeCloudRun(HttpServer):
    """A region of Cloud Run on loopback, reached as a proxy.

    Faults, by name in ``fault``: ``lost`` and ``page`` (the next change is done, but its answer is
    lost, or a 502 page), ``refused`` (changes: 403), ``hidden`` (all: 403), ``failing`` (revisions
    do not come up), ``stuck`` (they never settle), ``raced`` (another deploys before the next
    change arrives), ``quick`` (what is changed is up at once). ``too_many`` requests are
    refused with 429.

    Args:
        digest_of: what an image's name stands for, or "" where there is no such image.
    """

    def __init__(self, digest_of: Callable[[str], str], *, project: str = "example") -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._digest_of = digest_of
        self._project = project
        self._looks_left = 0
        self.fault = ""
        self.too_many = 0
        self.looks = 1
        self.region = "us-east1"
        self.services: dict[str, Table] = {}
        self.revisions: dict[str, Table] = {}
        self.calls: list[RunCall] = []

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the variables with which gcloud asks this server and nobody else."""
        host, port = self.url.removeprefix("http://").split(":")
        return {
            "CLOUDSDK_CONFIG": str(folder),
            "CLOUDSDK_CORE_PROJECT": self._project,
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": "http://run.localhost/",
            "CLOUDSDK_PROXY_TYPE": "http",
            "CLOUDSDK_PROXY_ADDRESS": host,
            "CLOUDSDK_PROXY_PORT": port,
            "CLOUDSDK_SURVEY_DISABLE_PROMPTS": "true",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        }

    def add_service(self, name: str, image: str) -> str:
        """Begin with a service that serves; return its revision."""
        template = {"metadata": {}, "spec": {"containers": [{"image": image, "ports": [{}]}]}}
        spec = {"template": template, "traffic": [{"percent": 100, "latestRevision": True}]}
        metadata = {"name": name, "namespace": self._project, "generation": 0}
        service: Table = {"metadata": metadata, "spec": spec, "status": {}}
        service |= {"apiVersion": "serving.knative.dev/v1", "kind": "Service"}
        self.services[name] = service
        self._begin(service, new_revision=True)
        self.settle()
        return str(service["status"]["latestCreatedRevisionName"])

    def serving(self, name: str) -> dict[str, int]:
        """Return the share of requests by revision."""
        return {t["revisionName"]: t["percent"] for t in self.services[name]["status"]["traffic"]}

    def settle(self) -> None:
        """Let what is coming up come up, or fail."""
        with self._guard:
            for service in self.services.values():
                self._create(service)
                self._finish(service)

    @property
    def changes(self) -> list[RunCall]:
        """What changed something."""
        return [call for call in self.calls if call.changed]

    def answer(self, request: Request) -> Reply:
        """Answer as the API does."""
        body = request.body.read()
        with self._guard:
            if self.fault == "raced" and request.method == "PUT":
                self.fault = ""
                self._deploy_by_another(next(iter(self.services.values())))
            before = json.dumps(self.services)
            reply = self._answer(request, body)
            changed = request.method != "GET" and json.dumps(self.services) != before
            given = request.headers.get("authorization", "")
            self.calls.append(RunCall(request.method, request.path, reply.status, changed, given))
            if changed and self.fault in {"lost", "page"}:
                fault, self.fault = self.fault, ""
                if fault == "lost":
                    raise ConnectionError
                return Reply(502, {"Content-Type": "text/html"}, PAGE)
        return reply

    def _deploy_by_another(self, service: Table) -> None:
        service["spec"]["template"]["metadata"]["labels"] = {"by": "another"}
        self._begin(service, new_revision=True)
        self._create(service)
        self._finish(service)

    def _answer(self, request: Request, body: bytes) -> Reply:
        if self.too_many > 0:
            self.too_many -= 1
            return _refuse(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric.")
        project, kind, name = self._parts(request)
        if self.fault == "hidden" or (self.fault == "refused" and request.method != "GET"):
            verb = "get" if request.method == "GET" else "update"
            said = f"Permission 'run.services.{verb}' denied on resource 'services/{name}'."
            return _refuse(403, "PERMISSION_DENIED", said)
        held = {"services": self.services, "revisions": self.revisions}.get(kind, {})
        at_home = request.headers.get("host") == f"{self.region}-run.localhost"
        if not at_home or project != self._project or name not in held:
            return _refuse(404, "NOT_FOUND", f"Resource '{name}' of kind '{kind}' was not found.")
        if request.method == "GET":
            return self._show(kind, held[name])
        if request.method == "PUT" and kind == "services":
            return self._replace(held[name], json.loads(body))
        return _refuse(405, "UNIMPLEMENTED", f"{request.method} {request.path}")

    def _parts(self, request: Request) -> tuple[str, str, str]:
        parts = request.path.removeprefix(f"{ROOT}/").split("/")
        return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("", "", "")

    def _show(self, kind: str, held: Table) -> Reply:
        if kind == "services" and _readiness(held) == "Unknown":
            self._look(held)
        return _show(held)

    def _look(self, service: Table) -> None:
        """Go on a step each time that somebody looks: revision made, then up or failed."""
        status = service["status"]
        if status["observedGeneration"] != service["metadata"]["generation"]:
            self._create(service)
        elif self._looks_left > 0:
            self._looks_left -= 1
        elif self.fault != "stuck":
            self._finish(service)

    def _replace(self, held: Table, given: Table) -> Reply:
        version, now = given["metadata"].get("resourceVersion"), held["metadata"]["resourceVersion"]
        if version != now:
            said = f"version '{version}' was specified but current version is '{now}'."
            return _refuse(409, "ABORTED", f"Conflict for resource 'service': {said}")
        wrong = _wrong(given, held)
        if wrong:
            return _refuse(400, "INVALID_ARGUMENT", wrong)
        new_revision = given["spec"]["template"] != held["spec"]["template"]
        held["spec"] = copy.deepcopy(given["spec"])
        for part in ("labels", "annotations"):
            held["metadata"][part] = given["metadata"].get(part, {})
        self._begin(held, new_revision=new_revision)
        if self.fault == "quick":
            self._create(held)
            self._finish(held)
        return _show(held)

    def _begin(self, service: Table, *, new_revision: bool) -> None:
        """Take a change on; nothing of it is seen but the number of changes."""
        metadata, status = service["metadata"], service["status"]
        metadata["generation"] += 1
        metadata["resourceVersion"] = f"AAAA{metadata['generation']:04d}"
        status.setdefault("observedGeneration", 0)
        status["url"] = f"https://{metadata['name']}-x.run.invalid"
        status["conditions"] = [{"type": "Ready", "status": "Unknown"}]
        service["x-new"] = new_revision
        self._looks_left = self.looks

    def _create(self, service: Table) -> None:
        metadata, status, template = (
            service["metadata"],
            service["status"],
            service["spec"]["template"],
        )
        if status["observedGeneration"] == metadata["generation"]:
            return
        status["observedGeneration"] = metadata["generation"]
        if not service["x-new"]:
            return
        name = f"{metadata['name']}-{metadata['generation']:05d}-abc"
        image = template["spec"]["containers"][0]["image"]
        digest = self._digest_of(image)
        found = f"{re.sub(r'(:[^:/]+)?(@.*)?$', '', image)}@{digest}" if digest else ""
        labels = {**template["metadata"].get("labels", {}), "serving.knative.dev/service": "x"}
        self.revisions[name] = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Revision",
            "metadata": {"name": name, "namespace": metadata["namespace"], "labels": labels},
            "spec": copy.deepcopy(template["spec"]),
            "status": {"imageDigest": found, "conditions": [_ready("Unknown")]},
        }
        status["latestCreatedRevisionName"] = name

    def _finish(self, service: Table) -> None:
        status = service["status"]
        if _readiness(service) != "Unknown":
            return
        name = status["latestCreatedRevisionName"]
        revision = self.revisions[name]
        if _readiness(revision) == "Unknown":
            image = revision["spec"]["containers"][0]["image"]
            if not revision["status"]["imageDigest"]:
                revision["status"]["conditions"] = [_ready("False", f"Image '{image}' not found.")]
            elif self.fault == "failing":
                revision["status"]["conditions"] = [_ready("False", FAILED.format(name=name))]
            else:
                revision["status"]["conditions"] = [_ready("True")]
                status["latestReadyRevisionName"] = name
        status["conditions"] = copy.deepcopy(revision["status"]["conditions"])
        status["traffic"] = [self._routed(each, status) for each in service["spec"]["traffic"]]

    def _routed(self, target: Table, status: Table) -> Table:
        name = status["latestReadyRevisionName"] if target.get("latestRevision") else ""
        return {**target, "revisionName": name or target["revisionName"]}


def _wrong(given: Table, held: Table) -> str:
    """Say what the API would refuse of a service, or ""."""
    template, metadata = given["spec"]["template"], given["metadata"]
    labels = {**metadata.get("labels", {}), **template["metadata"].get("labels", {})}
    for label, value in labels.items():
        if value and not _LABEL.fullmatch(value):
            return f"metadata.labels: Label {label} has a value that is not valid: {value}"
    if metadata["name"] != held["metadata"]["name"] or given.get("kind") != "Service":
        return "metadata.name: must be that of the path"
    if not template["spec"]["containers"][0].get("image"):
        return "spec.template.spec.containers[0].image: Should not be empty."
    if sum(each.get("percent", 0) for each in given["spec"].get("traffic", ())) != 100:
        return "spec.traffic: must add up to 100"
    return ""


def _ready(status: str, message: str = "") -> Table:
    return {"type": "Ready", "status": status, **({"message": message} if message else {})}


def _readiness(table: Table) -> str:
    return str(table["status"]["conditions"][0]["status"])


def _show(table: Table) -> Reply:
    shown = {name: value for name, value in table.items() if name != "x-new"}
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(shown).encode())


def _refuse(code: int, status: str, message: str) -> Reply:
    error = {"error": {"code": code, "message": message, "status": status}}
    return Reply(code, {"Content-Type": "application/json"}, json.dumps(error).encode())
