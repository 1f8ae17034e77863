"""Requests and answers of the Kubernetes API: paths, parameters, bodies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.fakes.http_server import Reply, Request
from tests.fakes.kubernetes_errors import ApiError
from tests.fakes.kubernetes_fields import API_VERSION, KINDS, Table

ROOT = f"/apis/{API_VERSION}"


@dataclass(frozen=True)
class KubernetesCall:
    """A request as it was answered."""

    method: str
    path: str
    query: Mapping[str, str]
    manager: str
    dry_run: bool
    status: int
    content_type: str

    @property
    def writes(self) -> bool:
        """Whether it could have changed something, and was not refused."""
        return self.method != "GET" and not self.dry_run and self.status < 300


@dataclass(frozen=True)
class Place:
    """What a path names."""

    plural: str
    namespace: str
    name: str
    subresource: str


def parse_place(path: str) -> Place | None:
    """Return what a path of batch/v1 names; None where it names nothing there is."""
    parts = path.removeprefix(f"{ROOT}/").split("/") if path.startswith(f"{ROOT}/") else []
    if len(parts) == 1 and parts[0] in KINDS:
        return Place(parts[0], "", "", "")
    if len(parts) < 3 or parts[0] != "namespaces" or parts[2] not in KINDS:
        return None
    name, subresource = [*parts[3:], "", ""][:2]
    if len(parts) > 5 or subresource not in {"", "status"}:
        return None
    return Place(parts[2], parts[1], name, subresource)


def manager_of(request: Request, query: Mapping[str, str]) -> str:
    """Return the field manager of a request: as it says, or by the name of its program."""
    given = query.get("fieldManager")
    return given or request.headers.get("user-agent", "unknown").split("/")[0]


def is_dry_run(query: Mapping[str, str]) -> bool:
    """Say whether nothing is to be kept.

    Raises:
        ApiError: ``dryRun`` is something else than All.
    """
    given = query.get("dryRun", "")
    if given not in {"", "All"}:
        said = f'dryRun: Unsupported value: "{given}": supported values: "All"'
        raise ApiError(422, f' "" is invalid: {said}')
    return given == "All"


def read_body(request: Request, body: bytes) -> Any:
    """Read an object; protobuf is not understood here.

    Raises:
        ApiError: it cannot be read.
    """
    if "protobuf" in request.headers.get("content-type", ""):
        said = "the body of the request was in an unknown format - accepted media types include:"
        raise ApiError(415, f"{said} application/json, application/yaml")
    return load(body)


def load(body: bytes) -> Any:
    """Read JSON or YAML.

    Raises:
        ApiError: it is neither.
    """
    try:
        return json.loads(body)
    except ValueError:
        try:
            return yaml.safe_load(body)
        except yaml.YAMLError as error:
            raise ApiError(400, f"error decoding YAML: {error}") from error


def json_reply(status: int, body: Table, warnings: tuple[str, ...] = ()) -> Reply:
    """Return an answer, with warnings in its headers."""
    headers = {"Content-Type": "application/json"}
    if warnings:
        headers["Warning"] = ", ".join(f"299 - {json.dumps(each)}" for each in warnings)
    return Reply(status, headers, json.dumps(body).encode())


def render_namespace(name: str) -> Table:
    """Return a namespace."""
    status = {"phase": "Active"}
    return {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}, "status": status}
