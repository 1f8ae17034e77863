"""What batch/v1 looks like: fields, discovery and the two OpenAPI documents kubectl looks into.

The table holds one kind a line. After a field's name stands what it is: nothing for a string,
``i`` integer, ``b`` boolean, ``q`` quantity, ``m`` map of strings, ``mq`` map of quantities, ``*``
anything, ``!`` anything, owned as one; ``[]`` after it makes a list that is owned as one,
``[name]`` a list whose elements are known by that key, ``[=]`` a set.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

GROUP, VERSION = "batch", "v1"
API_VERSION = f"{GROUP}/{VERSION}"
KINDS = {"cronjobs": "CronJob", "jobs": "Job"}
Table = dict[str, Any]

_TABLE = """
CronJob apiVersion kind metadata:ObjectMeta spec:CronJobSpec status:*
CronJobSpec schedule timeZone startingDeadlineSeconds:i concurrencyPolicy suspend:b jobTemplate:JobTemplateSpec successfulJobsHistoryLimit:i failedJobsHistoryLimit:i
JobTemplateSpec metadata:ObjectMeta spec:JobSpec
Job apiVersion kind metadata:ObjectMeta spec:JobSpec status:*
JobSpec parallelism:i completions:i activeDeadlineSeconds:i podFailurePolicy:* successPolicy:* backoffLimit:i backoffLimitPerIndex:i maxFailedIndexes:i selector:! manualSelector:b template:PodTemplateSpec ttlSecondsAfterFinished:i completionMode suspend:b podReplacementPolicy managedBy
PodTemplateSpec metadata:ObjectMeta spec:PodSpec
ObjectMeta name generateName namespace selfLink uid resourceVersion generation:i creationTimestamp deletionTimestamp deletionGracePeriodSeconds:i labels:m annotations:m ownerReferences:OwnerReference[uid] finalizers[=] managedFields:*[]
OwnerReference apiVersion kind name uid controller:b blockOwnerDeletion:b
PodSpec activeDeadlineSeconds:i affinity:* automountServiceAccountToken:b containers:Container[name] dnsConfig:* dnsPolicy enableServiceLinks:b ephemeralContainers:*[name] hostAliases:*[ip] hostIPC:b hostNetwork:b hostPID:b hostUsers:b hostname hostnameOverride imagePullSecrets:LocalObjectReference[name] initContainers:Container[name] nodeName nodeSelector:! os:* overhead:mq preemptionPolicy priority:i priorityClassName readinessGates:*[] resourceClaims:*[name] resources:ResourceRequirements restartPolicy runtimeClassName schedulerName schedulingGates:*[name] securityContext:* serviceAccount serviceAccountName setHostnameAsFQDN:b shareProcessNamespace:b subdomain terminationGracePeriodSeconds:i tolerations:*[] topologySpreadConstraints:*[topologyKey,whenUnsatisfiable] volumes:*[name]
LocalObjectReference name
Container name image command[] args[] workingDir ports:ContainerPort[containerPort,protocol] envFrom:*[] env:EnvVar[name] resources:ResourceRequirements resizePolicy:*[] restartPolicy restartPolicyRules:*[] volumeMounts:VolumeMount[mountPath] volumeDevices:*[devicePath] livenessProbe:* readinessProbe:* startupProbe:* lifecycle:* terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext:* stdin:b stdinOnce:b tty:b
ContainerPort name hostPort:i containerPort:i protocol hostIP
EnvVar name value valueFrom:EnvVarSource
EnvVarSource fieldRef:! resourceFieldRef:! configMapKeyRef:! secretKeyRef:! fileKeyRef:!
ResourceRequirements limits:mq requests:mq claims:*[name]
VolumeMount name mountPath readOnly:b recursiveReadOnly subPath subPathExpr mountPropagation
"""  # noqa: E501  a line a kind
_SCALARS = {
    "": "string",
    "i": "integer",
    "b": "boolean",
    "q": "quantity",
    "*": "free",
    "!": "atomic",
    "m": "map",
    "mq": "map",
}
KEY_DEFAULTS = {"protocol": "TCP"}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update"]


@dataclass(frozen=True)
class Shape:
    """What may stand at a place."""

    kind: str
    """A scalar, or ``object``, ``map``, ``free``, ``atomic``, ``list``, ``keyed``, ``set``."""
    of: str = ""
    """The kind of an object's fields, or of a list's elements."""
    keys: tuple[str, ...] = ()
    """What the elements of a list are known by."""

    def child(self, name: str) -> "Shape | None":
        """Return the shape of a field; None where there is no such field."""
        if self.kind == "object":
            return objects()[self.of].get(name)
        return shape_of(self.of) if self.kind == "map" else FREE

    @property
    def element(self) -> "Shape":
        """The shape of a list's elements."""
        return FREE if self.kind in {"free", "atomic"} else shape_of(self.of)


FREE = Shape("free")


def shape_of(name: str) -> Shape:
    """Return the shape of a field's type as the table writes it."""
    if name in {"m", "mq"}:
        return Shape("map", name[1:])
    return Shape(_SCALARS[name]) if name in _SCALARS else Shape("object", name)


@cache
def objects() -> dict[str, dict[str, Shape]]:
    """Return the fields of every kind."""
    lines = [line.split() for line in _TABLE.strip().splitlines()]
    return {kind: dict(_parse(word) for word in words) for kind, *words in lines}


def _parse(word: str) -> tuple[str, Shape]:
    head, bracket, inside = word.partition("[")
    name, _, kind = head.partition(":")
    keys = tuple(inside.rstrip("]").split(",")) if inside != "]" else ()
    if not bracket:
        return name, shape_of(kind)
    if not keys:
        return name, Shape("list", kind)
    return name, Shape("set", kind) if keys == ("=",) else Shape("keyed", kind, keys)


def discovery(path: str, version: str) -> Table | None:
    """Return what kubectl asks first: versions, groups, resources; None for another path."""
    major, minor, _ = version.removeprefix("v").split(".")
    group = {
        "name": GROUP,
        "versions": [{"groupVersion": API_VERSION, "version": VERSION}],
        "preferredVersion": {"groupVersion": API_VERSION, "version": VERSION},
    }
    listed = {"kind": "APIResourceList", "apiVersion": "v1"}
    found: dict[str, Table] = {
        "/version": {"major": major, "minor": minor, "gitVersion": version, "platform": "fake"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]},
        f"/apis/{GROUP}": {"kind": "APIGroup", "apiVersion": "v1", **group},
        "/api/v1": {**listed, "groupVersion": "v1", "resources": [_NAMESPACES, _EVENTS]},
        f"/apis/{API_VERSION}": {
            **listed,
            "groupVersion": API_VERSION,
            "resources": [each for plural in KINDS for each in _resources(plural)],
        },
        "/openapi/v3": {
            "paths": {
                f"apis/{API_VERSION}": {
                    "serverRelativeURL": f"/openapi/v3/apis/{API_VERSION}?hash=1"
                }
            }
        },
        f"/openapi/v3/apis/{API_VERSION}": _openapi_v3(),
    }
    return found.get(path)


_NAMESPACES = {
    "name": "namespaces",
    "singularName": "namespace",
    "namespaced": False,
    "kind": "Namespace",
    "verbs": ["get", "list"],
    "shortNames": ["ns"],
}
_EVENTS = {
    "name": "events",
    "singularName": "event",
    "namespaced": True,
    "kind": "Event",
    "verbs": ["list"],
    "shortNames": ["ev"],
}


def _resources(plural: str) -> list[Table]:
    kind = KINDS[plural]
    base = {"singularName": kind.lower(), "namespaced": True, "kind": kind, "categories": ["all"]}
    short = {"shortNames": ["cj"]} if plural == "cronjobs" else {}
    status = {"name": f"{plural}/status", "singularName": "", "namespaced": True, "kind": kind}
    verbs = ["get", "patch", "update"]
    return [{"name": plural, **base, "verbs": VERBS, **short}, {**status, "verbs": verbs}]


def _openapi_v3() -> Table:
    """Say which parameters a patch takes: newer kubectl looks for them before it sends them."""
    paths = {}
    for plural, kind in KINDS.items():
        names = ("dryRun", "fieldManager", "fieldValidation", "force")
        patch = {
            "parameters": [{"name": name, "in": "query"} for name in names],
            "x-kubernetes-group-version-kind": _kind_of(kind),
        }
        paths[f"/apis/{API_VERSION}/namespaces/{{namespace}}/{plural}/{{name}}"] = {"patch": patch}
    info = {"title": "Kubernetes", "version": "fake"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}


def _kind_of(kind: str) -> Table:
    return {"group": GROUP, "version": VERSION, "kind": kind}


def openapi_v2() -> bytes:
    """Return the same in the form that kubectl before 1.27 reads.

    Source: gnostic's ``OpenAPIv2.proto``, for the numbers of the fields.
    """
    paths = b""
    for plural, kind in KINDS.items():
        extension = _message(1, b"x-kubernetes-group-version-kind") + _message(
            2, _message(2, json.dumps(_kind_of(kind)).encode())
        )
        patch = _message(13, extension)
        for name in ("dryRun", "fieldManager", "fieldValidation", "force"):
            query = _message(2, b"query") + _message(4, name.encode())
            patch += _message(8, _message(1, _message(2, _message(3, query))))
        place = f"/apis/{API_VERSION}/namespaces/{{namespace}}/{plural}/{{name}}".encode()
        paths += _message(2, _message(1, place) + _message(2, _message(8, patch)))
    return _message(1, b"2.0") + _message(8, paths)


def _message(number: int, data: bytes) -> bytes:
    """Return a field of a protobuf message that has a length."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
