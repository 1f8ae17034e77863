"""What kubectl's standard error means: one fault for each thing that went wrong.

Sources: the texts of kubectl 1.20 to 1.33 against servers up to 1.36, the reasons of a Status
("Kubernetes API conventions", section "Response Status Kind"), and the API server's own conflict
text (apiserver, internal/conflict.go).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum


class Kind(Enum):
    """What a fault means for the one who asked."""

    REFUSED = "refused"
    """The call was refused, and would be again."""
    INVALID = "invalid"
    """One object was refused, and would be again."""
    CONFLICT = "conflict"
    """Another field manager holds fields of one object."""
    ABSENT = "absent"
    """There is no object of that name."""
    EXISTS = "exists"
    """There is an object of that name, where one was to be created."""
    EXPIRED = "expired"
    """A listing took too long to be continued."""
    DOWN = "down"
    """Nothing was asked: the server could not be reached, which may pass."""
    LOST = "lost"
    """What was asked may have been done or not; another try may be answered."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that went wrong."""

    kind: Kind
    """What it means."""
    text: str
    """One line; most of it kubectl's or the server's own words."""
    name: str = ""
    """The object, where it says which."""
    hint: str = ""
    """What to do, where that is known."""
    status: int = 0
    """HTTP status code; 0 where it does not say."""
    held: tuple[tuple[str, str], ...] = ()
    """Of a conflict: field path and manager of each field."""

    @property
    def passes(self) -> bool:
        """Whether another try may go well."""
        return self.kind in {Kind.DOWN, Kind.LOST}


_CHARS = 600  # of one fault: a proxy's answer may be a whole page
_HOLDER = re.compile(
    r'conflicts? with "(?P<manager>[^"]*)"(?: with subresource "[^"]*")?'
    r"(?: using \S+?)?(?: at \S+?Z)?:(?: (?P<path>\S.*))?$"
)
_SERVER = re.compile(r"Error from server(?: \((?P<reason>\w+)\))?: ?(?P<text>.*)")
_OBJECT = re.compile(
    r'(?:The (?:Cron)?Job "(?P<a>[^"]+)" is invalid:\s*'
    r'|(?:Cron)?Job\.batch "(?P<b>[^"]+)" is invalid:\s*'
    r'|(?:cron)?jobs\.batch "(?P<c>[^"]+)" '
    r"|failed to create typed patch object \([^/;]*/(?P<d>[^;]+); )"
)
_IS_INVALID = re.compile(r'^(?:The (?:Cron)?Job|(?:Cron)?Job\.batch) "[^"]*" is invalid:\s*')
_CREATING = re.compile(r'^(?:error when creating "STDIN": )?')
_RBAC = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)"'
    r' in API group "(?P<group>[^"]*)" in the namespace "(?P<namespace>[^"]*)"'
)
_NAMESPACE = re.compile(r'namespaces "(?P<name>[^"]*)" not found')
_ABSENT = re.compile(r'(?P<cron>cron)?jobs\.batch "(?P<name>[^"]*)" not found')
# what is applied is tried again: somebody else was a moment earlier; what is created is there
_EXISTS = re.compile(r'(?<!cron)jobs\.batch "(?P<name>[^"]*)" already exists')
_CONTEXT = re.compile(r'context "?(?P<name>[^"]*?)"? does not exist|context was not found')
_LOGIN = re.compile(
    r"getting credentials|must be logged in|asked for the client to provide credentials"
    r"|\(Unauthorized\)|^error: EOF$|error reading input for"
)
_ASKED = re.compile(r"^EOF$|error reading input for")  # kubectl asked the person for a password
_NO_API = re.compile(
    r"could not find the requested resource|doesn't have a resource type|no matches for kind"
    r"|resource mapping not found"
)
_STRICT = re.compile(
    r"strict decoding error|field not declared in schema|unknown field|typed patch|Apply failed"
)
_FOREVER = re.compile(
    r"no such host|x509:|tls: (?!.*timeout)|HTTP response to HTTPS client|certificate"
    r"|unsupported protocol|error loading config|Malformed|invalid configuration"
)
_DOWN = re.compile(
    r"was refused|connection refused|no route to host|network is unreachable|dial \w+.*i/o timeout"
    r"|TLS handshake timeout|Temporary failure in name resolution|server misbehaving"
)
_LOST = re.compile(
    r"Client\.Timeout|deadline exceeded|i/o timeout|[Tt]imed? ?out|\bEOF\b|connection reset"
    r"|broken pipe|GOAWAY|http2:|server closed|connection lost|request canceled|etcdserver"
    r"|shutting down|unable to handle the request|Too ?[Mm]any [Rr]equests|try again later"
    r"|an error on the server|unable to return a response|status code 5\d\d|InternalError"
    r"|Internal error"
)
_STATUS = {
    "AlreadyExists": 409,
    "BadRequest": 400,
    "Conflict": 409,
    "Expired": 410,
    "Forbidden": 403,
    "Gone": 410,
    "InternalError": 500,
    "Invalid": 422,
    "MethodNotAllowed": 405,
    "NotFound": 404,
    "ServerTimeout": 500,
    "ServiceUnavailable": 503,
    "Timeout": 504,
    "TooManyRequests": 429,
    "Unauthorized": 401,
}
# AlreadyExists and Conflict: somebody else was a moment earlier, and the next try sees his work
_PASSING = {409, 429, 500, 503, 504}
_LOGIN_HINT = "log in to the cluster, or look at the user of this context in the kubeconfig"
_DOWN_HINT = "is the cluster up, and is it reached from here (VPN, proxy)?"
_NO_CLUSTER = "the context may name a cluster that the kubeconfig lacks"
_NOISE = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d|Warning: |Waited for .* due to client-side")
_ADVISED = re.compile(
    r"; if you choose to ignore these errors.*$|\s*- did you specify the right host or port\?$"
)
_STARTS = re.compile(
    r"Error from server|[Ee]rror: |The \S+ \"|Unable to connect|The connection to the server"
    r"|Apply failed with|unable to |Error in configuration|\S+, Kind=\S+ "
)
_CONTINUES = re.compile(r"\* |- |conflicts? with |\s")


def parse_faults(stderr: str) -> list[Fault]:
    """Read what kubectl wrote when it failed.

    Returns:
        One fault for each error, in their order, the same one once; at least one.
    """
    blocks = _blocks(stderr.splitlines())
    known = [block for block in blocks if _STARTS.match(block[0])]
    # advice and a plugin's chatter are not known, and told only where nothing else is;
    # a plugin's own words, before those of kubectl about it, are nobody's business
    if told := [block for block in known if "getting credentials" in block[0]]:
        known = told[-1:]
    faults = [_parse(block) for block in known or blocks[-1:]]
    return list(dict.fromkeys(faults)) or [Fault(Kind.LOST, "expected an answer, got nothing")]


def parse_warnings(stderr: str) -> list[str]:
    """Return what the API server warned of, each once."""
    lines = (line.removeprefix("Warning: ") for line in _lines(stderr, "Warning: "))
    return list(dict.fromkeys(lines))


def _lines(stderr: str, start: str) -> list[str]:
    return [line.strip() for line in stderr.splitlines() if line.startswith(start)]


def _blocks(lines: Iterable[str]) -> list[list[str]]:
    """Put the lines of one error together, without noise; advice makes blocks of its own."""
    blocks: list[list[str]] = []
    for line in lines:
        if not line.strip() or _NOISE.match(line):
            continue
        if blocks and _CONTINUES.match(line):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return blocks


def _parse(block: Sequence[str]) -> Fault:
    """Read one error."""
    if held := _held(block):
        return Fault(Kind.CONFLICT, "held by others", held=held, status=409)
    text = _ADVISED.sub("", _join(block))
    server = _SERVER.match(text)
    reason = (server["reason"] or "") if server else ""
    words = _CREATING.sub("", server["text"] if server else re.sub(r"^[Ee]rror: ", "", text))
    fault = _general(text) or _from_server(words, reason) or _by_words(words, reason)
    return replace(fault, text=_short(fault.text), status=_STATUS.get(reason, fault.status))


def _held(block: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the field path and the manager of each field that others hold."""
    if "Apply failed with" not in block[0]:
        return ()
    found: list[tuple[str, str]] = []
    manager = ""
    for line in block:
        if header := _HOLDER.search(line):
            manager = header["manager"]
            found += [(header["path"].strip(), manager)] if header["path"] else []
        elif line.startswith("- "):
            found.append((line[2:].strip(), manager))
    return tuple(found)


def _general(text: str) -> Fault | None:
    """Return what is wrong before anything is asked about objects."""
    if _LOGIN.search(text):
        words = text.removeprefix("error: ").removeprefix("Unable to connect to the server: ")
        got = "no credentials" if _ASKED.search(words) else words
        return Fault(Kind.REFUSED, f"expected to be logged in, got {got}", "", _LOGIN_HINT, 401)
    if _CONTEXT.search(text):
        hint = "`kubectl config get-contexts` tells them; KUBECONFIG names other files"
        return Fault(Kind.REFUSED, "expected the context in the kubeconfig, found none", hint=hint)
    return None


def _from_server(words: str, reason: str) -> Fault | None:
    """Return what the server's own reason says for sure."""
    if fault := _about_one(words, reason):
        return fault
    if found := _NAMESPACE.search(words):
        hint = "create the namespace, or correct its name"
        return Fault(Kind.REFUSED, f"expected the namespace {found['name']}, found none", "", hint)
    if reason == "Forbidden":
        return _forbidden(words)
    if reason in {"Expired", "Gone"}:
        return Fault(Kind.EXPIRED, words)
    if _NO_API.search(words):
        hint = "CronJobs of batch/v1 need Kubernetes 1.21 or later"
        return Fault(Kind.REFUSED, f"expected the API batch/v1, got {words}", "", hint)
    return None


def _about_one(words: str, reason: str) -> Fault | None:
    """Return that an object is missing, or that it is there."""
    if (found := _ABSENT.search(words)) and reason == "NotFound":
        kind = "CronJob" if found["cron"] else "Job"
        return Fault(Kind.ABSENT, f"expected the {kind}, found none", found["name"])
    if (found := _EXISTS.search(words)) and reason == "AlreadyExists":
        return Fault(Kind.EXISTS, "expected no Job of that name, found one", found["name"])
    return None


def _forbidden(words: str) -> Fault:
    found = _RBAC.search(words)
    if found is None:  # a quota, or a policy: about one object
        return Fault(Kind.INVALID, f"refused: {words}", _name_in(words))
    verb, resource, group = found["verb"], found["resource"], found["group"]
    text = (
        f"expected {found['user']} to be allowed to {verb} {resource}.{group}"
        f" in the namespace {found['namespace']}, got forbidden"
    )
    hint = f'it needs a Role with apiGroups: ["{group}"], resources: ["{resource}"]'
    return Fault(Kind.REFUSED, text, "", f'{hint}, verbs: ["{verb}"]')


def _by_words(words: str, reason: str) -> Fault:
    """Tell what passes from what stays, for all that says no more."""
    name = _name_in(words)
    if reason in {"Invalid", "BadRequest"} or _STRICT.search(words) or _IS_INVALID.match(words):
        status = 0 if reason else 422
        text = f"refused: {_IS_INVALID.sub('', words)}"
        return Fault(Kind.INVALID, text, name, status=status)
    if _FOREVER.search(words):
        return Fault(Kind.REFUSED, f"expected to reach the cluster, got {words}")
    if _DOWN.search(words):
        hint = _NO_CLUSTER if "localhost:8080" in words else _DOWN_HINT
        return Fault(Kind.DOWN, f"expected to reach the cluster, got {words}", hint=hint)
    if not words or _STATUS.get(reason) in _PASSING or _LOST.search(words):
        return Fault(Kind.LOST, f"expected an answer, got {words or 'an error in no words'}", name)
    return Fault(Kind.REFUSED, f"refused: {words}", name)


def _name_in(words: str) -> str:
    found = _OBJECT.search(words)
    return next(filter(None, found.groups()), "") if found else ""


def _join(block: Sequence[str]) -> str:
    first, *rest = (line.strip() for line in block)
    points = "; ".join(line.removeprefix("* ").removeprefix("- ") for line in rest)
    return f"{first} {points}".strip()


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _CHARS else text[: _CHARS - 1] + "…"
