"""A Kubernetes API server with batch/v1 and nothing else, for the real kubectl, on loopback.

It refuses what the real one refuses, in its words, and keeps who owns which field. Answers are
those that a real API server (1.36) gave; nothing here runs a Job: a test starts and ends pods, or
the fake kubelet runs them as processes.
"""

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fakes.http_server import HttpServer, Reply, Request
from tests.fakes.kubernetes_controllers import finish_job, start_job
from tests.fakes.kubernetes_errors import ApiError, forbidden, not_found
from tests.fakes.kubernetes_fields import API_VERSION, GROUP, KINDS, Table, discovery, openapi_v2
from tests.fakes.kubernetes_jobs import JobController
from tests.fakes.kubernetes_selectors import match_fields, match_labels
from tests.fakes.kubernetes_store import KubernetesStore, Write
from tests.fakes.kubernetes_wire import (
    KubernetesCall,
    Place,
    is_dry_run,
    json_reply,
    load,
    manager_of,
    parse_place,
    read_body,
    render_namespace,
)
from tests.fakes.tls import make_certificate

VERSION = "v1.36.2"
USER = "tester"
_PATCHES = {
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/json-patch+json": "json",
    "application/apply-patch+yaml": "apply",
}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PRESERVED = (
    "child pods are preserved by default when jobs are deleted; set"
    " propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress"
    " this warning"
)


class FakeKubernetes(HttpServer):
    """An API server on loopback.

    Args:
        token: the bearer token that is asked for; "" where anybody may. With one, HTTPS is
            served: kubectl sends tokens over nothing else.
        namespaces: those that there are; ``add_namespace`` and ``write_kubeconfig`` add more.
        clock: tells the time.
        version: what the server says it is; kubectl of some vendors picks its own version by it.

    Attributes:
        calls: every request that was answered, in order.
        events: what the controllers would have noted, as Event objects.
        pods: the controller of Jobs: it starts their pods, and is told how each ends.
        certificate: whom to trust, as PEM; empty without a token.
    """

    def __init__(
        self,
        *,
        token: str = "",
        namespaces: tuple[str, ...] = ("default", "data", "other"),
        clock: Callable[[], datetime] | None = None,
        version: str = VERSION,
        port: int = 0,
    ) -> None:
        self.certificate, tls = _make_tls() if token else (b"", None)
        super().__init__(port=port, tls=tls)
        self.token = token
        self.store = KubernetesStore(set(namespaces), clock)
        self.calls: list[KubernetesCall] = []
        self.events: list[Table] = []
        self._guard = threading.RLock()
        self.pods = JobController(self.store, self._guard)
        self._version = version
        self._forbidden: set[tuple[str, str]] = set()
        self._refusals: list[tuple[int, int]] = []

    # what a test asks and does

    def cron_jobs(self, namespace: str = "data") -> dict[str, Table]:
        """Return the CronJobs of a namespace by name."""
        return self._by_name("cronjobs", namespace)

    def jobs(self, namespace: str = "data") -> dict[str, Table]:
        """Return the Jobs of a namespace by name."""
        return self._by_name("jobs", namespace)

    def get(self, name: str, namespace: str = "data", plural: str = "cronjobs") -> Table | None:
        """Return an object, or None."""
        return self._by_name(plural, namespace).get(name)

    def edit(self, namespace: str, name: str, manager: str, patch: Table) -> Table:
        """Change a CronJob by a merge patch, as an operator would."""
        with self._guard:
            write = Write(manager=manager)
            return self.store.patch("cronjobs", namespace, name, ("merge", patch), write)

    def create_plain(self, namespace: str, body: Table, manager: str = "kubectl-create") -> Table:
        """Create a CronJob or a Job as ``kubectl create`` does."""
        plural = "jobs" if body.get("kind") == "Job" else "cronjobs"
        with self._guard:
            return self.store.create(plural, namespace, body, Write(manager=manager))

    def add_namespace(self, namespace: str) -> None:
        """Make a namespace, unless it is there."""
        with self._guard:
            self.store.namespaces.add(namespace)

    def forbid(self, verb: str, plural: str = "cronjobs") -> None:
        """Refuse a verb (``get``, ``list``, ``create``, ``update``, ``patch``, ``delete``)."""
        with self._guard:
            self._forbidden.add((verb, plural))

    def refuse_next(self, count: int = 1, status: int = 503, *, retry_after_s: int = 0) -> None:
        """Refuse the next requests for CronJobs and Jobs with a status.

        Args:
            count: how many.
            status: 429, 500, 503 or 504.
            retry_after_s: what the header says, if not 0; kubectl then waits and asks again.
        """
        with self._guard:
            self._refusals += [(status, retry_after_s)] * count

    @property
    def writes(self) -> list[KubernetesCall]:
        """The requests that changed something, or could have."""
        return [call for call in self.calls if call.writes]

    def start_job(self, cron_name: str, namespace: str = "data") -> str:
        """Start a Job of a CronJob as its controller does; return its name, "" where it cannot."""
        with self._guard:
            name, event = start_job(self.store, namespace, cron_name)
            self.events.append(event)
            return name

    def finish_job(self, name: str, namespace: str = "data", *, failed: bool = False) -> None:
        """End a Job as its controller does."""
        with self._guard:
            finish_job(self.store, namespace, name, failed=failed)

    def _by_name(self, plural: str, namespace: str) -> dict[str, Table]:
        with self._guard:
            self.pods.look()
            return {each["metadata"]["name"]: each for each in self.store.list(plural, namespace)}

    # what HTTP asks

    def answer(self, request: Request) -> Reply:
        """Answer as the API does."""
        body = request.body.read()
        query = {name: values[-1] for name, values in request.parameters().items()}
        with self._guard:
            self.pods.look()
            try:
                reply = self._answer(request, query, body)
            except ApiError as error:
                reply = json_reply(error.code, error.status)
            self._record(request, query, body, reply.status)
        return reply

    def _record(self, request: Request, query: dict[str, str], body: bytes, status: int) -> None:
        dry_run = "dryRun" in query or (request.method == "DELETE" and b'"dryRun":["All"]' in body)
        manager = manager_of(request, query) if request.method != "GET" else ""
        kind = request.headers.get("content-type", "")
        call = KubernetesCall(request.method, request.path, query, manager, dry_run, status, kind)
        self.calls.append(call)

    def _answer(self, request: Request, query: dict[str, str], body: bytes) -> Reply:
        given = request.headers.get("authorization", "")
        if self.token and given != f"Bearer {self.token}":
            raise ApiError(401)
        if request.path == "/openapi/v2":
            kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
            return Reply(200, {"Content-Type": kind}, openapi_v2())
        found = discovery(request.path, self._version)
        if found is not None and request.method == "GET":
            return json_reply(200, found)
        if request.path.startswith("/api/v1/"):
            return self._answer_core(request)
        place = parse_place(request.path)
        if place is None:
            raise ApiError(404, "the server could not find the requested resource")
        if self._refusals:
            code, after = self._refusals.pop(0)
            reply = json_reply(code, ApiError(code).status)
            reply.headers |= {"Retry-After": str(after)} if after else {}
            return reply
        self._require_allowed(request, place)
        return self._answer_batch(request, query, body, place)

    def _answer_core(self, request: Request) -> Reply:
        parts = request.path.removeprefix("/api/v1/").split("/")
        if request.method == "GET" and parts[0] == "namespaces" and len(parts) <= 2:
            named = [render_namespace(name) for name in sorted(self.store.namespaces)]
            if len(parts) == 1:
                return json_reply(
                    200, {"kind": "NamespaceList", "apiVersion": "v1", "items": named}
                )
            if parts[1] not in self.store.namespaces:
                raise not_found("namespaces", parts[1])
            return json_reply(200, render_namespace(parts[1]))
        if request.method == "GET" and parts[-1] == "events":
            listed = {"kind": "EventList", "apiVersion": "v1", "metadata": {}}
            return json_reply(200, {**listed, "items": self.events})
        raise ApiError(404, "the server could not find the requested resource")

    def _require_allowed(self, request: Request, place: Place) -> None:
        verb = _VERBS.get(request.method) or ("get" if place.name else "list")
        if verb == "delete" and not place.name:
            verb = "deletecollection"
        if (verb, place.plural) in self._forbidden:
            raise forbidden(verb, place.plural, place.name, place.namespace, USER)

    def _answer_batch(
        self, request: Request, query: dict[str, str], body: bytes, place: Place
    ) -> Reply:
        method = request.method
        if method == "GET" and place.name:
            return json_reply(200, self.store.get(place.plural, place.namespace, place.name))
        if method == "GET":
            return self._list(query, place)
        if method == "DELETE":
            return self._delete(query, body, place)
        write = Write(
            manager=manager_of(request, query),
            dry_run=is_dry_run(query),
            validation=query.get("fieldValidation", "Warn"),
            force=query.get("force") == "true",
            subresource=place.subresource,
        )
        if method == "POST" and not place.name:
            found = self.store.create(
                place.plural, place.namespace, read_body(request, body), write
            )
            return json_reply(201, found, write.warnings)
        if method == "PUT" and place.name:
            given = read_body(request, body)
            found = self.store.replace(place.plural, place.namespace, place.name, given, write)
            return json_reply(200, found, write.warnings)
        if method == "PATCH" and place.name:
            return self._patch(request, query, body, place, write)
        raise ApiError(405, "the server does not allow this method on the requested resource")

    def _patch(
        self, request: Request, query: dict[str, str], body: bytes, place: Place, write: Write
    ) -> Reply:
        kind = _PATCHES.get(request.headers.get("content-type", "").split(";")[0])
        if kind is None:
            raise ApiError(415, "the body of the request was in an unknown format")
        where = (place.plural, place.namespace, place.name)
        if kind != "apply":
            found = self.store.patch(*where, (kind, load(body)), write)
            return json_reply(200, found, write.warnings)
        if not query.get("fieldManager"):
            said = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is'
            raise ApiError(422, f"{said} required for apply patch")
        if where not in self.store.objects and ("create", place.plural) in self._forbidden:
            raise forbidden("create", place.plural, place.name, place.namespace, USER)
        found, created = self.store.apply(*where, load(body), write)
        return json_reply(201 if created else 200, found, write.warnings)

    def _list(self, query: dict[str, str], place: Place) -> Reply:
        if query.get("watch") in {"true", "1"}:
            raise ApiError(405, "watch is not supported on resources of kind " + place.plural)
        items = self._selected(query, place)
        meta: Table = {"resourceVersion": str(self.store.version)}
        start, limit = int(query.get("continue") or 0), int(query.get("limit") or 0)
        if limit and start + limit < len(items):
            left = len(items) - start - limit
            meta |= {"continue": str(start + limit), "remainingItemCount": left}
        items = items[start : start + limit] if limit else items[start:]
        kind = f"{KINDS[place.plural]}List"
        listed = {"kind": kind, "apiVersion": API_VERSION, "metadata": meta, "items": items}
        return json_reply(200, listed)

    def _selected(self, query: dict[str, str], place: Place) -> list[Table]:
        matches = match_labels(query.get("labelSelector", ""))
        by_field = match_fields(query.get("fieldSelector", ""))
        return [
            each
            for each in self.store.list(place.plural, place.namespace)
            if by_field(each) and all(m(each["metadata"].get("labels") or {}) for m in matches)
        ]

    def _delete(self, query: dict[str, str], body: bytes, place: Place) -> Reply:
        options = load(body) if body else {}
        for name in ("propagationPolicy", "dryRun"):
            if name in query:
                options[name] = query[name]
        if not place.name:
            gone = self._selected(query, place)
            for each in gone:
                meta = each["metadata"]
                self.store.delete(place.plural, meta["namespace"], meta["name"], options)
            listed = {"kind": f"{KINDS[place.plural]}List", "apiVersion": API_VERSION}
            return json_reply(200, {**listed, "metadata": {}, "items": gone})
        held = self.store.delete(place.plural, place.namespace, place.name, options)
        details = {"name": place.name, "group": GROUP, "kind": place.plural}
        details["uid"] = held["metadata"]["uid"]
        done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        asked = "propagationPolicy" in options or "orphanDependents" in options
        warns = (_PRESERVED,) if place.plural == "jobs" and not asked else ()
        return json_reply(200, {**done, "details": details}, warns)


def write_kubeconfig(
    path: Path,
    server: FakeKubernetes,
    context: str = "test",
    namespace: str = "data",
    *,
    token: str = "",
) -> Path:
    """Write a kubeconfig with a context and a second one, ``other``; make the namespace.

    Args:
        path: the file.
        server: whom both contexts ask.
        context: the name of the first, which is the current one.
        namespace: the namespace of the first; the second has ``other``.
        token: the bearer token of both; "" for that of the server.

    Returns:
        The path.
    """
    server.add_namespace(namespace)
    user = {"token": token or server.token} if token or server.token else {}
    cluster = {"server": server.url}
    if server.certificate:
        cluster["certificate-authority-data"] = b64encode(server.certificate).decode()
    contexts = [
        {"name": name, "context": {"cluster": "fake", "user": USER, "namespace": place}}
        for name, place in ((context, namespace), ("other", "other"))
    ]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": cluster}],
        "users": [{"name": USER, "user": user}],
        "contexts": contexts,
        "current-context": context,
        "preferences": {},
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    path.chmod(0o600)
    return path


def _make_tls() -> tuple[bytes, ssl.SSLContext]:
    with TemporaryDirectory() as folder:
        certificate, key = make_certificate(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return certificate.read_bytes(), context


@dataclass(frozen=True)
class ServedKubernetes:
    """A server with its kubeconfig, for programs that a test starts."""

    server: FakeKubernetes
    """The server."""
    kubeconfig: Path
    """The kubeconfig."""
    environment: Mapping[str, str]
    """The variables with which kubectl asks this server, and keeps its caches in the folder."""


@contextmanager
def serve_kubernetes(
    folder: Path, context: str = "test", namespace: str = "data", *, token: str = ""
) -> Iterator[ServedKubernetes]:
    """Serve for as long as it is entered; kubeconfig and kubectl's caches are in the folder."""
    with FakeKubernetes(token=token) as server:
        path = write_kubeconfig(folder / "kubeconfig.json", server, context, namespace)
        variables = {"KUBECONFIG": str(path), "KUBECACHEDIR": str(folder / "kube-cache")}
        yield ServedKubernetes(server, path, {**variables, "HOME": str(folder)})
