"""What a value of a lading.toml may look like: types whose errors say what was expected."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

PLACEHOLDERS = ("{tag}", "{channel}")
PREFIX_PLACEHOLDERS = (*PLACEHOLDERS, "{project}")
RESERVED_PREFIXES = ("staging", ".lading")


def _expected(what: str) -> PydanticCustomError:
    return PydanticCustomError("expected", "{what}", {"what": what})


def _slug(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value):
        raise _expected("a name of small letters, digits, '-' and '_'")
    return value


def _destination_name(value: str) -> str:
    # no '-': `upload:gcs-nightly` must be read in one way only
    if not re.fullmatch(r"[a-z][a-z0-9_]*", value):
        raise _expected("a name of small letters, digits and '_' that starts with a letter")
    return value


def _prefix(value: str) -> str:
    plain = value
    for placeholder in PREFIX_PLACEHOLDERS:
        plain = plain.replace(placeholder, "x")
    segments = plain.split("/")
    if not re.fullmatch(r"[\w.+/-]+", plain) or any(s in {"", ".", ".."} for s in segments):
        raise _expected("a relative key prefix such as 'nightly' or '{tag}'")
    if segments[0] in RESERVED_PREFIXES:
        raise _expected(f"a prefix outside {' and '.join(RESERVED_PREFIXES)}, which Lading keeps")
    return value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise _expected(f"a regular expression ({error})") from error
    return value


def _pattern(value: str) -> str:
    if not value.strip() or "\n" in value:
        raise _expected("a pattern as in .gitignore, such as '*.log' or '/parquet/*.parquet'")
    return value


def _key_template(value: str) -> str:
    plain = re.sub(r"\{(path|name|stem|folder)\}", "x", value)
    if re.search(r"[{}]", plain) or plain.startswith("/") or ".." in plain.split("/"):
        raise _expected("a relative key that may use {path}, {name}, {stem}, {folder}")
    return value


def _url(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    is_url = bool(separator) and re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme)
    has_secret = "@" in rest or "?" in value
    plain = value
    for placeholder in PLACEHOLDERS:
        plain = plain.replace(placeholder, "x")
    has_brace = "{" in plain or "}" in plain
    has_no_place = is_url and not rest and scheme != "memory"
    if not value or (":" in value and not is_url) or has_secret or has_brace or has_no_place:
        raise _expected("a path or a URL such as 'build/gcs', 'gs://bucket' or 's3://bucket/root'")
    return value


def _endpoint(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#@]*)?", value):
        raise _expected("a URL such as 'https://s3.example.org', without user or password")
    return value.rstrip("/")


def _relative_path(value: str) -> str:
    if value.startswith("/") or {"..", "."} & set(value.split("/")) or "\\" in value:
        raise _expected("a path inside the build, such as 'success', or ''")
    return value


def _folder(value: str) -> str:
    if not value.strip():
        raise _expected("a folder, such as 'build'")
    return value


def _branch(value: str) -> str:
    # git-check-ref-format(1), as far as it matters here; never an option of git
    if value and (not re.fullmatch(r"[A-Za-z0-9_][\w./-]*", value) or ".." in value):
        raise _expected("a branch, such as 'nightly', or ''")
    return value


def _repository_name(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+", value):
        raise _expected("a GitHub repository such as 'owner/name'")
    return value


def _workflow(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.ya?ml", value):
        raise _expected("the file name of a workflow such as 'deploy.yml'")
    return value


def _remote(value: str) -> str:
    # a name of git's, or a URL; never an option, never a password
    if "@" in value.partition("://")[2] or "?" in value:
        raise _expected("a remote without user or password; put tokens into the environment")
    if not re.fullmatch(r"[A-Za-z0-9_./][\w./:@~-]*", value):
        raise _expected("a git remote such as 'origin' or 'https://host/owner/name.git'")
    return value


def _variable(value: str) -> str:
    if value and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
        raise _expected("the name of an environment variable such as 'ZENODO_TOKEN'")
    return value


def _image(value: str) -> str:
    # registry/name[:tag][@sha256:digest]; never an option of gcloud
    pattern = r"[a-z0-9][\w.:-]*(/[\w.-]+)*(:[\w][\w.-]*)?(@sha256:[0-9a-f]{64})?"
    if value and not re.fullmatch(pattern, value):
        raise _expected("an image such as 'registry.example/viewer:latest'")
    return value


def _dataset(value: str) -> str:
    # a part of a branch, of a URL, and, made fit, of a name in Kubernetes
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value) or ".." in value:
        raise _expected("a name of letters, digits, '.', '-' and '_', such as 'noaa-gfs-analysis'")
    return value


def _dns_label(value: str) -> str:
    if value and (not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", value) or len(value) > 63):  # noqa: PLR2004  RFC 1123
        raise _expected("a name of at most 63 small letters, digits and '-', such as 'data'")
    return value


def _name_prefix(value: str) -> str:
    if value and not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", value):
        raise _expected("at most 20 small letters, digits and '-', such as 'staging-'")
    return value


def _context(value: str) -> str:
    # kubectl allows nearly anything; never an option, never two words
    if value and not re.fullmatch(r"[^\s-][^\s]*", value):
        raise _expected("a context of kubectl's, as `kubectl config get-contexts -o name` says")
    return value


def _git_ref(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][\w./-]*", value) or ".." in value:
        raise _expected("a ref of git's, such as 'origin/main'")
    return value


def _store_template(value: str) -> str:
    plain = re.sub(r"\{(base|dataset|version|ext)\}", "x", value)
    if re.search(r"[{}\s?]", plain) or "@" in plain.partition("://")[2]:
        raise _expected("a URL that may use {base}, {dataset}, {version}, {ext}, without secrets")
    return value


def _repository_path(value: str) -> str:
    plain = value.replace("{dataset}", "x")
    inside = not (value.startswith("/") or {"..", "."} & set(value.split("/")))
    if not value or not inside or re.search(r"[{}\\\n:]", plain):
        raise _expected("a path inside the repository that may use {dataset}")
    return value


def _cron_jobs(value: str) -> str:
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value):
        return value
    if not value.endswith((".yaml", ".yml", ".json")):
        raise _expected("a path such as 'k8s/{dataset}.yaml', or a callable 'package.module:name'")
    return _repository_path(value)


def _package(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", value):
        raise _expected("a Python package such as 'agencies.jobs'")
    return value


def _quantity(value: str) -> str:
    # as Kubernetes writes amounts, without exponents
    if value and not re.fullmatch(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?", value):
        raise _expected("an amount as Kubernetes writes it, such as '500m' or '2Gi'")
    return value


def _open_variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise _expected("the name of an environment variable such as 'AWS_REGION'")
    return value


def _ledger_url(value: str) -> str:
    if value and not re.fullmatch(r"postgres(ql)?(\+psycopg)?://([\w.-]+@)?[^\s@]*", value):
        raise _expected("a URL such as 'postgresql://user@host/lading', without a password")
    return value


def _root(value: str) -> str:
    if value and not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value):
        raise _expected("a name of small letters, digits, '-' and '_', such as 'production'")
    return value


Slug = Annotated[str, AfterValidator(_slug)]
LedgerUrl = Annotated[str, AfterValidator(_ledger_url)]
Root = Annotated[str, AfterValidator(_root)]
DestinationName = Annotated[str, AfterValidator(_destination_name)]
Prefix = Annotated[str, AfterValidator(_prefix)]
Regex = Annotated[str, AfterValidator(_regex)]
Pattern = Annotated[str, AfterValidator(_pattern)]
KeyTemplate = Annotated[str, AfterValidator(_key_template)]
Url = Annotated[str, AfterValidator(_url)]
SourceOption = bool | int | str
Endpoint = Annotated[str, AfterValidator(_endpoint)]
RelativePath = Annotated[str, AfterValidator(_relative_path)]
Folder = Annotated[str, AfterValidator(_folder)]
Branch = Annotated[str, AfterValidator(_branch)]
GithubRepository = Annotated[str, AfterValidator(_repository_name)]
Workflow = Annotated[str, AfterValidator(_workflow)]
Remote = Annotated[str, AfterValidator(_remote)]
Variable = Annotated[str, AfterValidator(_variable)]
Image = Annotated[str, AfterValidator(_image)]
DatasetName = Annotated[str, AfterValidator(_dataset)]
DnsLabel = Annotated[str, AfterValidator(_dns_label)]
NamePrefix = Annotated[str, AfterValidator(_name_prefix)]
Context = Annotated[str, AfterValidator(_context)]
GitRef = Annotated[str, AfterValidator(_git_ref)]
StoreTemplate = Annotated[str, AfterValidator(_store_template)]
RepositoryPath = Annotated[str, AfterValidator(_repository_path)]
CronJobs = Annotated[str, AfterValidator(_cron_jobs)]
Package = Annotated[str, AfterValidator(_package)]
Quantity = Annotated[str, AfterValidator(_quantity)]
OpenVariable = Annotated[str, AfterValidator(_open_variable)]
Share = Annotated[float, Field(gt=0, le=1)]
Gain = Annotated[float, Field(gt=0)]


class Model(BaseModel):
    """A table that takes what it names and nothing more, and stays as it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
