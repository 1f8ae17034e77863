"""How the API says no: a Status with code, reason and details."""

from typing import Any

from tests.fakes.kubernetes_fields import GROUP, KINDS, Table

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
MESSAGES = {
    401: "Unauthorized",
    429: "the server has received too many requests and has asked us to try again later",
    500: "Internal error occurred: etcdserver: leader changed",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted",
}


class ApiError(Exception):
    """A refusal; ``status`` is what is sent."""

    def __init__(
        self, code: int, message: str = "", reason: str | None = None, **details: Any
    ) -> None:
        super().__init__(message or MESSAGES.get(code, ""))
        self.code = code
        self.reason = REASONS.get(code, "") if reason is None else reason
        self.details = details

    @property
    def status(self) -> Table:
        """The Status object."""
        said: Table = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        said |= {"message": str(self), "reason": self.reason, "code": self.code}
        if self.details:
            said["details"] = self.details
        return {name: value for name, value in said.items() if value != ""}


class DecodeError(ApiError):
    """What was sent cannot be read as the kind that was asked for."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(400, f'{kind} in version "v1" cannot be handled as a {kind}: {why}')
        self.why = why


def not_found(plural: str, name: str) -> ApiError:
    """Say that there is no such object."""
    group = f".{GROUP}" if plural in KINDS else ""
    details: Table = {"name": name, "kind": plural} | ({"group": GROUP} if group else {})
    return ApiError(404, f'{plural}{group} "{name}" not found', **details)


def already_exists(plural: str, name: str) -> ApiError:
    """Say that an object stands there."""
    said = f'{plural}.{GROUP} "{name}" already exists'
    return ApiError(409, said, "AlreadyExists", name=name, group=GROUP, kind=plural)


def invalid(kind: str, name: str, faults: list[str]) -> ApiError:
    """Say what is wrong with an object: each fault begins with its field."""
    said = faults[0] if len(faults) == 1 else "[" + ", ".join(faults) + "]"
    shown = f'{kind}.{GROUP} "{name}"' if kind else f' "{name}"'
    details: Table = {"causes": [_cause(fault) for fault in faults]}
    if kind:
        details |= {"name": name, "group": GROUP, "kind": kind}
    return ApiError(422, f"{shown} is invalid: {said}", **details)


def _cause(fault: str) -> Table:
    field, _, message = fault.partition(": ")
    kind = message.split(":")[0].title().replace(" ", "")
    return {"reason": f"FieldValue{kind.removesuffix('Value')}", "message": message, "field": field}


def stale(plural: str, name: str, why: str = "") -> ApiError:
    """Say that an object has changed since it was read."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version"
        " and try again"
    )
    said = f'Operation cannot be fulfilled on {plural}.{GROUP} "{name}": {why}'
    return ApiError(409, said, name=name, group=GROUP, kind=plural)


def forbidden(verb: str, plural: str, name: str, namespace: str, user: str) -> ApiError:
    """Say that a user may not do this."""
    named = f' "{name}"' if name else ""
    group = f".{GROUP}" if plural in KINDS else ""
    said = (
        f'{plural}{group}{named} is forbidden: User "{user}" cannot {verb} resource "{plural}"'
        f' in API group "{group[1:]}" in the namespace "{namespace}"'
    )
    return ApiError(403, said, name=name, group=group[1:], kind=plural)
