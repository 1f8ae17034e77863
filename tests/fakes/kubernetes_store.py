"""The objects of a fake cluster and what may be done with them; no HTTP here."""

import copy
import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.fakes import kubernetes_apply as fields
from tests.fakes.kubernetes_decode import drop_unknown, type_fault
from tests.fakes.kubernetes_defaults import fill, normalise
from tests.fakes.kubernetes_errors import (
    ApiError,
    DecodeError,
    already_exists,
    invalid,
    not_found,
    stale,
)
from tests.fakes.kubernetes_fields import API_VERSION, KINDS, Shape, Table, shape_of
from tests.fakes.kubernetes_managers import Managers, Owner, path_text
from tests.fakes.kubernetes_patch import PatchError, json_patch, merge_patch, strategic_patch
from tests.fakes.kubernetes_rules import faults_of

Key = tuple[str, str, str]
SYSTEM = (
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


@dataclass
class Write:
    """How something is written, and by whom."""

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    subresource: str = ""
    warnings: tuple[str, ...] = ()

    def owner(self, operation: str) -> Owner:
        """Return who owns what is written."""
        return Owner(self.manager, operation, self.subresource)


class KubernetesStore:
    """All objects, by plural, namespace and name."""

    def __init__(self, namespaces: set[str], clock: Callable[[], datetime] | None = None) -> None:
        self.namespaces = namespaces
        self.clock = clock or (lambda: datetime.now(UTC))
        self.objects: dict[Key, Table] = {}
        self.version = 1000

    @property
    def now(self) -> str:
        """The time, as the API writes it."""
        return self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")

    def get(self, plural: str, namespace: str, name: str) -> Table:
        """Return a copy of an object, or raise ApiError (404)."""
        held = self.objects.get((plural, namespace, name))
        if held is None:
            raise not_found(plural, name)
        return copy.deepcopy(held)

    def list(self, plural: str, namespace: str = "") -> Iterator[Table]:
        """Give copies of the objects of a namespace, or of all, sorted by name."""
        for kind, place, name in sorted(self.objects):
            if kind == plural and namespace in {"", place}:
                yield copy.deepcopy(self.objects[kind, place, name])

    def create(self, plural: str, namespace: str, given: Table, write: Write) -> Table:
        """Create an object."""
        body = self._decoded(plural, namespace, given, write)
        meta = body["metadata"]
        if meta.get("resourceVersion"):
            raise ApiError(500, "resourceVersion should not be set on objects to be created", "")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"][:58] + _suffix()
        self._require_namespace(namespace)
        if (plural, namespace, meta.get("name", "")) in self.objects:
            raise already_exists(plural, meta["name"])
        return self._create(plural, namespace, body, write, None)

    def _create(
        self,
        plural: str,
        namespace: str,
        body: Table,
        write: Write,
        managers: Managers | None,
    ) -> Table:
        kind = KINDS[plural]
        for name in (*SYSTEM, "resourceVersion"):
            body["metadata"].pop(name, None)
        body["metadata"] |= {"namespace": namespace, "uid": str(uuid.uuid4()), "generation": 1}
        body["metadata"]["creationTimestamp"] = self.now
        body["status"] = {}
        _complete(kind, body)
        if plural == "jobs":
            _select_by_uid(body)
        if faults := faults_of(kind, body, None):
            raise invalid(kind, body["metadata"].get("name", ""), faults)
        self._own(kind, None, body, write, managers)
        return self._keep(plural, body, write)

    def replace(self, plural: str, namespace: str, name: str, given: Table, write: Write) -> Table:
        """Replace an object (PUT)."""
        body = self._decoded(plural, namespace, given, write)
        _require_name(body, name)
        return self._update(plural, self.get(plural, namespace, name), body, write)

    def patch(
        self, plural: str, namespace: str, name: str, patch: tuple[str, Any], write: Write
    ) -> Table:
        """Patch an object: ``merge``, ``strategic`` or ``json``, and the patch."""
        live = self.get(plural, namespace, name)
        try:
            body = _patched(live, *patch, shape_of(KINDS[plural]))
        except PatchError as error:
            said = f"the server rejected our request due to an error in our request: {error}"
            raise ApiError(422 if patch[0] == "json" else 400, said) from error
        try:
            body = self._decoded(plural, namespace, body, write)
        except DecodeError as error:
            shown = json.dumps(json.dumps(body, separators=(",", ":")))
            raise invalid("", "", [f"patch: Invalid value: {shown}: {error.why}"]) from error
        _require_name(body, name)
        return self._update(plural, live, body, write)

    def apply(
        self, plural: str, namespace: str, name: str, config: Table, write: Write
    ) -> tuple[Table, bool]:
        """Apply a configuration; return what stands, and whether it was created."""
        kind = KINDS[plural]
        _require_kind(config, kind)
        _require_name(config, name)
        if config["metadata"].get("managedFields"):
            raise ApiError(400, "metadata.managedFields must be nil")
        live = copy.deepcopy(self.objects.get((plural, namespace, name)))
        if live is None:
            self._require_namespace(namespace)
        else:
            _require_current(plural, live, config)
        merged, managers = self._applied(kind, f"{namespace}/{name}", live, config, write)
        body = self._decoded(plural, namespace, merged, Write(validation="Ignore"))
        if live is None:
            return self._create(plural, namespace, body, write, managers), True
        return self._update(plural, live, body, write, managers), False

    def _applied(
        self, kind: str, place: str, live: Table | None, config: Table, write: Write
    ) -> tuple[Table, Managers]:
        owner, shape = write.owner("Apply"), shape_of(kind)
        try:
            return fields.apply(live, config, shape, owner, self.now, force=write.force)
        except fields.TypedError as error:
            what = f"failed to create typed patch object ({place}; {API_VERSION}, Kind={kind})"
            raise ApiError(500, f"{what}: {error}", "") from error
        except fields.ManagersError as error:
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f"conflict with {other}",
                    "field": path_text(path),
                }
                for other, path in error.conflicts
            ]
            raise ApiError(409, str(error), causes=causes) from error

    def _update(
        self,
        plural: str,
        live: Table,
        body: Table,
        write: Write,
        managers: Managers | None = None,
    ) -> Table:
        kind = KINDS[plural]
        _require_current(plural, live, body)
        meta, before = body["metadata"], live["metadata"]
        for name in (*SYSTEM, "namespace", "resourceVersion"):
            meta.pop(name, None)
            if name in before:
                meta[name] = before[name]
        if write.subresource == "status":
            kept = {**before, "managedFields": meta.get("managedFields", [])}
            body = {**live, "status": body.get("status", {}), "metadata": kept}
        else:
            body["status"] = live.get("status", {})
        _complete(kind, body)
        if faults := faults_of(kind, body, live):
            raise invalid(kind, before["name"], faults)
        self._own(kind, live, body, write, managers)
        if body["spec"] != live["spec"]:
            body["metadata"]["generation"] = before["generation"] + 1
        return live if body == live else self._keep(plural, body, write)

    def _own(
        self,
        kind: str,
        live: Table | None,
        body: Table,
        write: Write,
        managers: Managers | None,
    ) -> None:
        owner, shape = write.owner("Update"), shape_of(kind)
        body["metadata"]["managedFields"] = (
            managers.render()
            if managers is not None
            else fields.record_update(live, body, shape, owner, self.now)
        )

    def delete(self, plural: str, namespace: str, name: str, options: Table) -> Table:
        """Delete an object, and what it owns unless that is to be left; return it."""
        held = self.get(plural, namespace, name)
        wanted = options.get("preconditions") or {}
        for field, shown in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if field in wanted and wanted[field] != held["metadata"][field]:
                raise _precondition(plural, held, shown, wanted[field], held["metadata"][field])
        if not options.get("dryRun"):
            del self.objects[plural, namespace, name]
            self.version += 1
            orphan = options.get("propagationPolicy") == "Orphan" or options.get("orphanDependents")
            self._collect(namespace, held["metadata"]["uid"], orphan=bool(orphan))
        return held

    def _collect(self, namespace: str, uid: str, *, orphan: bool) -> None:
        """Do what the garbage collector does to the Jobs of a CronJob that is gone."""
        for key, body in list(self.objects.items()):
            owners = body["metadata"].get("ownerReferences") or []
            left = [each for each in owners if each["uid"] != uid]
            if key[1] != namespace or len(left) == len(owners):
                continue
            if orphan or left:
                body["metadata"]["ownerReferences"] = left
                if not left:
                    del body["metadata"]["ownerReferences"]
                self.touch(body)
            else:
                del self.objects[key]

    def touch(self, body: Table) -> None:
        """Give an object a new version."""
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)

    def _keep(self, plural: str, body: Table, write: Write) -> Table:
        if write.dry_run:
            body["metadata"].setdefault("resourceVersion", "")
            if not body["metadata"]["resourceVersion"]:
                del body["metadata"]["resourceVersion"]
            return body
        self.touch(body)
        meta = body["metadata"]
        self.objects[plural, meta["namespace"], meta["name"]] = copy.deepcopy(body)
        return body

    def _decoded(self, plural: str, namespace: str, given: Any, write: Write) -> Table:
        """Read an object as the API's own types do; say what they do not know."""
        kind = KINDS[plural]
        if not isinstance(given, dict):
            raise ApiError(400, f"the object provided is unrecognized: {given!r}")
        body: Table = copy.deepcopy(given)
        _require_kind(body, kind)
        if fault := type_fault(body, shape_of(kind)):
            raise DecodeError(kind, f"json: {fault}")
        unknown = list(drop_unknown(body, shape_of(kind)))
        if unknown and write.validation == "Strict":
            raise DecodeError(kind, f"strict decoding error: {', '.join(unknown)}")
        if write.validation == "Warn":
            write.warnings = (*write.warnings, *unknown)
        body["metadata"] = body.get("metadata") or {}
        if (body["metadata"].get("namespace") or namespace) != namespace:
            raise ApiError(
                400,
                "the namespace of the provided object does not match the namespace sent on the"
                " request",
            )
        return body

    def _require_namespace(self, namespace: str) -> None:
        if namespace not in self.namespaces:
            raise not_found("namespaces", namespace)


def _patched(live: Table, kind: str, patch: Any, shape: Shape) -> Any:
    if kind == "json":
        return json_patch(live, patch)
    if kind == "strategic":
        return strategic_patch(live, patch, shape)
    return merge_patch(live, patch)


def _complete(kind: str, body: Table) -> None:
    """Write an object as it is kept, with what the server sets."""
    try:
        whole = normalise(body, shape_of(kind))
    except ValueError as error:
        raise DecodeError(kind, str(error)) from error
    body.clear()
    body.update(whole)
    fill(body, kind)


def _require_kind(body: Table, kind: str) -> None:
    version, given = body.get("apiVersion") or API_VERSION, body.get("kind") or kind
    if version != API_VERSION:
        said = f"the API version in the data ({version}) does not match the expected API version"
        raise ApiError(400, f"{said} ({API_VERSION})")
    if given != kind:
        raise ApiError(400, f'{given} in version "v1" cannot be handled as a {kind}')
    body |= {"apiVersion": API_VERSION, "kind": kind}


def _require_name(body: Table, name: str) -> None:
    body["metadata"] = meta = body.get("metadata") or {}
    given = meta.setdefault("name", name)
    if given != name:
        said = f"the name of the object ({given}) does not match the name on the URL ({name})"
        raise ApiError(400, said)


def _require_current(plural: str, live: Table, body: Table) -> None:
    """Refuse what was made from another object, or from an older state of it."""
    meta, before = body.get("metadata") or {}, live["metadata"]
    if meta.get("uid") and meta["uid"] != before["uid"]:
        raise _precondition(plural, live, "UID", meta["uid"], before["uid"])
    if meta.get("resourceVersion") and meta["resourceVersion"] != before["resourceVersion"]:
        raise stale(plural, before["name"])


def _precondition(plural: str, live: Table, shown: str, wanted: str, found: str) -> ApiError:
    said = (
        f"Precondition failed: {shown} in precondition: {wanted}, {shown} in object meta: {found}"
    )
    return stale(plural, live["metadata"]["name"], said)


def _suffix() -> str:
    return "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))


def _select_by_uid(body: Table) -> None:
    """Select a Job's pods by its uid, as the API does where nothing is said."""
    meta, spec = body["metadata"], body["spec"]
    if spec.get("manualSelector"):
        return
    prefix = "batch.kubernetes.io/"
    spec["selector"] = {"matchLabels": {f"{prefix}controller-uid": meta["uid"]}}
    labels = spec["template"]["metadata"].setdefault("labels", {})
    for name, value in (("controller-uid", meta["uid"]), ("job-name", meta.get("name", ""))):
        labels |= {name: value, prefix + name: value}
